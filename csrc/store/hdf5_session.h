/* SPDX-License-Identifier: BSD-3-Clause */
/* How the core talks to HDF5: one mutex for the process, its error printing silenced and its error text kept for our
 * messages. Every stretch of HDF5 calls stands between sg_hdf5_enter and sg_hdf5_leave; handles stay inside
 * csrc/store. A fork() waits for the mutex, so that a child finds HDF5 in a consistent state. */
#ifndef SG_STORE_HDF5_SESSION_H
#define SG_STORE_HDF5_SESSION_H

#include <hdf5.h>

#include "base/error.h"

typedef struct sg_hdf5 {
    H5E_auto2_t print; /* the caller's error printer, restored on leave */
    void       *data;
} sg_hdf5;

void sg_hdf5_enter(sg_hdf5 *session);
void sg_hdf5_leave(sg_hdf5 *session);

/* Closes data sets, spaces, types and property lists in the order given; a negative handle was never opened. */
void sg_hdf5_close(size_t n, const hid_t *handles);
#define SG_HDF5_CLOSE(...) \
    sg_hdf5_close(sizeof((const hid_t[]){__VA_ARGS__}) / sizeof(hid_t), (const hid_t[]){__VA_ARGS__})

/* sg_fail with the message "'path': what (HDF5: its innermost reason)". Call inside a session, right after the
 * failure. A file locked by somebody else is named as such. */
sg_status sg_hdf5_fail(sg_error *error, sg_status status, const char *path, const char *what);

/* The end of a path, short enough for a message. */
const char *sg_path_text(const char *path);

/* Status for a failed system call: SG_ERR_NOT_FOUND for ENOENT, else SG_ERR_IO; "'path': what: strerror". */
sg_status sg_errno_fail(sg_error *error, int number, const char *path, const char *what);

#endif
