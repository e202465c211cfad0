/* SPDX-License-Identifier: BSD-3-Clause */
/* A container: named arrays and texts, held in memory, read and written whole. Surrogate files and training
 * checkpoints are containers. On disk it is a sealed file (store/seal.h); every entry is one HDF5 dataset, and a name
 * such as "network/weight" puts it into groups. Entries are kept and written in the order of their names, so equal
 * contents give equal files.
 *
 * A container may be read by several threads at once, and written by one. */
#ifndef SG_STORE_CONTAINER_H
#define SG_STORE_CONTAINER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SG_CONTAINER_MAX_DIMS 8
#define SG_CONTAINER_MAX_ENTRIES 65536
#define SG_CONTAINER_MAX_NAME 255                  /* bytes, whole path */
#define SG_CONTAINER_MAX_BYTES ((uint64_t)8 << 30) /* of a file; larger data belong into data set shards */

/* X(name, number, NumPy and message name, bytes, HDF5 type in memory, HDF5 type in the file) */
#define SG_DTYPE_LIST(X)                                          \
    X(SG_F32, 0, "float32", 4, H5T_NATIVE_FLOAT, H5T_IEEE_F32LE)  \
    X(SG_F64, 1, "float64", 8, H5T_NATIVE_DOUBLE, H5T_IEEE_F64LE) \
    X(SG_I32, 2, "int32", 4, H5T_NATIVE_INT32, H5T_STD_I32LE)     \
    X(SG_I64, 3, "int64", 8, H5T_NATIVE_INT64, H5T_STD_I64LE)     \
    X(SG_U8, 4, "uint8", 1, H5T_NATIVE_UINT8, H5T_STD_U8LE)       \
    X(SG_U32, 5, "uint32", 4, H5T_NATIVE_UINT32, H5T_STD_U32LE)   \
    X(SG_U64, 6, "uint64", 8, H5T_NATIVE_UINT64, H5T_STD_U64LE)

typedef enum sg_dtype {
#define X(name, number, text, bytes, memory, file) name = number,
    SG_DTYPE_LIST(X)
#undef X
    SG_DTYPE_COUNT,
    SG_TEXT = 100 /* UTF-8; shape () and no NUL inside */
} sg_dtype;

const char *sg_dtype_name(sg_dtype dtype);
size_t      sg_dtype_bytes(sg_dtype dtype);

typedef struct sg_entry {
    char    *name;
    sg_dtype dtype;
    int      ndim;
    size_t   shape[SG_CONTAINER_MAX_DIMS];
    size_t   n_bytes; /* of data; for a text its length */
    void    *data;    /* C order; a text has a NUL after its end */
} sg_entry;

typedef struct sg_container sg_container;

/* kind: printable ASCII, at most 63 bytes ("simgraft surrogate"); version: of the format of this kind. */
sg_status sg_container_create(const char *kind, uint32_t version, sg_container **container, sg_error *error);
void      sg_container_free(sg_container *container);

/* Adds an entry; data are copied. Names are 1 to 8 components of printable UTF-8 joined by '/', none of them "." or
 * "..". SG_ERR_VALUE for a bad name, a name that exists, or one that is a group of another ("a" beside "a/b"). */
sg_status sg_container_put(
    sg_container *container,
    const char   *name,
    sg_dtype      dtype,
    int           ndim,  /* 0 (a scalar) to SG_CONTAINER_MAX_DIMS */
    const size_t *shape, /* (ndim) */
    const void   *data,  /* shape, C order */
    sg_error     *error);
sg_status sg_container_put_text(sg_container *container, const char *name, const char *text, sg_error *error);

/* Writes to a temporary name, syncs, renames. SG_ERR_IO; the container is unchanged. */
sg_status sg_container_write(const sg_container *container, const char *path, sg_error *error);

/* Reads and verifies a whole file. kind NULL takes any; a version above max_version is SG_ERR_VERSION. */
sg_status sg_container_open(const char *path, const char *kind, uint32_t max_version, sg_container **container,
                            sg_error *error);

const char *sg_container_kind(const sg_container *container);
uint32_t    sg_container_version(const sg_container *container);
const char *sg_container_path(const sg_container *container); /* where it was read from, "" if it was not */

size_t          sg_container_size(const sg_container *container);
const sg_entry *sg_container_entry(const sg_container *container, size_t index);    /* in the order of names */
const sg_entry *sg_container_find(const sg_container *container, const char *name); /* NULL if there is none */

/* An array of the expected dtype and shape; SG_ERR_FORMAT names the entry, what was expected and what came. A
 * dimension given as SIZE_MAX may have any size; *shape then gets the real one. The data belong to the container. */
sg_status sg_container_get(const sg_container *container, const char *name, sg_dtype dtype, int ndim, size_t *shape,
                           const void **data, sg_error *error);
sg_status sg_container_get_text(const sg_container *container, const char *name, const char **text, sg_error *error);

#endif
