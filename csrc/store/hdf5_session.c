/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/hdf5_session.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t  once  = PTHREAD_ONCE_INIT;

static void lock(void) { pthread_mutex_lock(&mutex); }
static void unlock(void) { pthread_mutex_unlock(&mutex); }
static void watch_fork(void) { pthread_atfork(lock, unlock, unlock); }

void sg_hdf5_enter(sg_hdf5 *session)
{
    pthread_once(&once, watch_fork);
    lock();
    H5Eget_auto2(H5E_DEFAULT, &session->print, &session->data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5Eclear2(H5E_DEFAULT);
}

void sg_hdf5_leave(sg_hdf5 *session)
{
    H5Eclear2(H5E_DEFAULT);
    H5Eset_auto2(H5E_DEFAULT, session->print, session->data);
    unlock();
}

void sg_hdf5_close(size_t n, const hid_t *handles)
{
    for (size_t i = 0; i < n; i++)
        if (handles[i] >= 0)
            H5Idec_ref(handles[i]);
}

static herr_t innermost(unsigned n, const H5E_error2_t *entry, void *text)
{
    (void)n;
    if (entry->desc && *entry->desc)
        snprintf(text, 200, "%s", entry->desc);
    return 0;
}

const char *sg_path_text(const char *path)
{
    size_t length = strlen(path);
    return length > 200 ? path + length - 200 : path;
}

sg_status sg_hdf5_fail(sg_error *error, sg_status status, const char *path, const char *what)
{
    char reason[200] = "no reason given";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, innermost, reason);
    H5Eclear2(H5E_DEFAULT);
    if (strstr(reason, "unable to lock file"))
        return sg_fail(error, SG_ERR_IO, NULL,
                       "'%s': %s: the file is open for writing elsewhere; if it is open in h5py or netCDF4, close it "
                       "in h5py first (HDF5: %s)",
                       sg_path_text(path), what, reason);
    return sg_fail(error, status, NULL, "'%s': %s (HDF5: %s)", sg_path_text(path), what, reason);
}

sg_status sg_errno_fail(sg_error *error, int number, const char *path, const char *what)
{
    char reason[128];
    if (strerror_r(number, reason, sizeof reason))
        snprintf(reason, sizeof reason, "error %d", number);
    return sg_fail(error, number == ENOENT ? SG_ERR_NOT_FOUND : SG_ERR_IO, NULL, "'%s': %s: %s", sg_path_text(path),
                   what, reason);
}
