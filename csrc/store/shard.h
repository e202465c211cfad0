/* SPDX-License-Identifier: BSD-3-Clause */
/* Data set shards: packed samples of one kernel in sealed HDF5 files (store/seal.h), specified in docs/files.md.
 *
 * A writer appends rows in blocks. A shard set opens the shards of one data set, reads any rows of them, and notices
 * when a file changes under it. A stream reads a list of windows ahead in a thread of its own, into two buffers of
 * the caller: memory stays bounded whatever the size of the data set. */
#ifndef SG_STORE_SHARD_H
#define SG_STORE_SHARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/poll.h"
#include "store/container.h"
#include "store/seal.h"

#define SG_SHARD_KIND "simgraft dataset shard"
#define SG_SHARD_VERSION 1
#define SG_SHARD_MAX_COLUMNS ((size_t)1 << 24)
#define SG_SHARD_MAX_CHUNK_BYTES ((size_t)64 << 20)

typedef struct sg_shard_layout {
    size_t   n_in;       /* columns of x, >= 1 */
    size_t   n_out;      /* columns of y, >= 1 */
    sg_dtype dtype;      /* of x and y: SG_F64 or SG_F32 */
    int      has_group;  /* one int64 per row: site, trajectory, ... */
    int      has_weight; /* one float64 per row */
    size_t   chunk_rows; /* rows of one HDF5 chunk, the smallest piece that is read */
    int      deflate;    /* 0: not compressed, 1 to 9: byte shuffle and deflate of this level */
} sg_shard_layout;

/* Rows in memory. Members a data set does not have, or the caller does not want to read, are NULL. */
typedef struct sg_rows {
    void    *x;      /* (n, n_in)  of the layout's dtype */
    void    *y;      /* (n, n_out) of the layout's dtype */
    int64_t *group;  /* (n) */
    double  *weight; /* (n) */
} sg_rows;

/* ----------------------------------------------------------------------------------------------- writing */

typedef struct sg_shard_writer sg_shard_writer;

/* Starts a shard under a temporary name. provenance is a JSON text that is stored with the data. */
sg_status sg_shard_create(const char *path, const sg_shard_layout *layout, const char *provenance,
                          sg_shard_writer **writer, sg_error *error);

/* Appends n rows. Disk space is reserved before HDF5 writes, so a full disk is found here. After a failure only
 * abandon is allowed. */
sg_status sg_shard_append(sg_shard_writer *writer, size_t n, const sg_rows *rows, sg_error *error);

/* Seals the file and gives it its name; frees the writer either way. seal may be NULL. */
sg_status sg_shard_commit(sg_shard_writer *writer, sg_poll *poll, sg_seal *seal, sg_error *error);

/* Removes the temporary file and frees the writer, which may be NULL. */
void sg_shard_abandon(sg_shard_writer *writer);

/* ----------------------------------------------------------------------------------------------- reading */

typedef struct sg_shard_info {
    const char     *path;
    sg_shard_layout layout;
    size_t          n_rows;
    const char     *provenance;
    sg_seal         seal;
} sg_shard_info;

typedef struct sg_shard_set sg_shard_set;

/* Opens the shards of one data set; they must agree in everything but their rows. With verify every checksum is
 * compared, which reads the files once; without it only headers are checked and the HDF5 library sees unverified
 * bytes. */
sg_status sg_shard_set_open(size_t n_shards, const char *const *paths, int verify, sg_poll *poll, sg_shard_set **set,
                            sg_error *error);

/* A set is shared by its streams: hold takes a reference, free gives one back. */
sg_shard_set *sg_shard_set_hold(sg_shard_set *set);
void          sg_shard_set_free(sg_shard_set *set);

size_t               sg_shard_set_size(const sg_shard_set *set);
const sg_shard_info *sg_shard_set_info(const sg_shard_set *set, size_t index);

/* Rows first .. first + n - 1 of one shard. */
typedef struct sg_segment {
    int64_t shard;
    int64_t first;
    int64_t n;
} sg_segment;

/* Reads segments one after the other into rows. Short segments that lie close to each other in ascending order are
 * read together. SG_ERR_VALUE for a segment outside the data, SG_ERR_CHANGED when a file changed since the set was
 * opened. Any thread. */
sg_status sg_shard_set_read(sg_shard_set *set, size_t n_segments, const sg_segment *segments, const sg_rows *rows,
                            sg_poll *poll, sg_error *error);

/* ----------------------------------------------------------------------------------------------- streaming */

typedef struct sg_stream sg_stream;

/* Starts a thread that reads window after window, at most one ahead of the caller. Windows alternate between the two
 * buffers, which must hold the largest window and live until close. segments and window_end are copied. */
sg_status sg_stream_open(
    sg_shard_set     *set,
    size_t            n_windows,
    const size_t     *window_end, /* (n_windows) number of segments up to the end of each window, ascending */
    const sg_segment *segments,   /* (window_end[n_windows - 1]) */
    const sg_rows     buffer[2],
    sg_stream       **stream,
    sg_error         *error);

/* Waits for the next window. *slot is the buffer that holds it, valid until the next call; *n_rows = 0 after the last
 * window. In a child of fork() the reading thread does not exist: SG_ERR_UNSUPPORTED. */
sg_status sg_stream_next(sg_stream *stream, sg_poll *poll, int *slot, size_t *n_rows, sg_error *error);

/* Stops the thread and frees the stream, which may be NULL. */
void sg_stream_close(sg_stream *stream);

#endif
