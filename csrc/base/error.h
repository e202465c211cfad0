/* SPDX-License-Identifier: BSD-3-Clause */
/* How the core reports failures: fill the caller's sg_error and return the status. */
#ifndef SG_BASE_ERROR_H
#define SG_BASE_ERROR_H

#include "simgraft/status.h"

typedef struct sg_status_entry {
    sg_status   status;
    const char *name;       /* "SG_ERR_VALUE"  */
    const char *exception;  /* "ValueError" or "New(Base)", see SG_STATUS_LIST */
    const char *text;
} sg_status_entry;

/* The table behind SG_STATUS_LIST, in order of the numbers. */
const sg_status_entry *sg_status_table(size_t *n_entries);

/* Writes "argument: message" into error (which may be NULL) and returns status, so that a caller can write
 * return sg_fail(error, SG_ERR_VALUE, "n_col", "expected at least 1, got %zu", n_col). argument may be NULL. */
sg_status sg_fail(sg_error *error, sg_status status, const char *argument, const char *format, ...) SG_PRINTF(4, 5);

/* Hands a failure on to the caller. */
#define SG_TRY(call)                          \
    do {                                      \
        sg_status sg_try_status = (call);     \
        if (sg_try_status != SG_OK)           \
            return sg_try_status;             \
    } while (0)

#endif
