/* SPDX-License-Identifier: BSD-3-Clause */
/* Sealed files: what every file of simgraft has in common, described in docs/files.md.
 *
 * A sealed file is a 512-byte header (an HDF5 user block, which HDF5 tools skip) and an HDF5 image. The header holds
 * the kind of file, its format version, the number of bytes that follow and a SHA-256 over all of it. The checksum is
 * verified before HDF5 sees a byte, so a damaged file can neither be read wrongly nor crash the HDF5 library.
 *
 * A file is written under a temporary name in the same folder, synced and renamed: readers see the old file or the
 * new one, and a failure at any point leaves no file behind. */
#ifndef SG_STORE_SEAL_H
#define SG_STORE_SEAL_H

#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/poll.h"
#include "store/sha256.h"

#define SG_SEAL_BYTES 512
#define SG_SEAL_KIND_BYTES 64

typedef struct sg_seal {
    char     kind[SG_SEAL_KIND_BYTES]; /* "simgraft surrogate", ... */
    uint32_t version;                  /* of the format of this kind */
    uint64_t n_bytes;                  /* of the HDF5 image after the header */
    uint8_t  sha256[SG_SHA256_BYTES];  /* over the header with this field zero, then the image */
} sg_seal;

/* ---------------------------------------------------------------------------------------------- writing */

typedef struct sg_seal_writer {
    char *path;      /* the name wished for */
    char *temporary; /* the name for now, in the same folder */
    int   fd;        /* of the temporary file, positioned after the header */
} sg_seal_writer;

/* Makes the temporary file (0666 less the umask). On success end with commit or abandon. */
sg_status sg_seal_create(const char *path, sg_seal_writer *writer, sg_error *error);

/* Hashes what follows the header, writes the header, syncs the file, renames it and syncs the folder. Removes the
 * temporary file on failure. The writer is finished either way. seal may be NULL. */
sg_status sg_seal_commit(sg_seal_writer *writer, const char *kind, uint32_t version, sg_poll *poll, sg_seal *seal,
                         sg_error *error);

/* Removes the temporary file. Does nothing to a finished writer. */
void sg_seal_abandon(sg_seal_writer *writer);

/* write() until all bytes are out. */
sg_status sg_seal_write(sg_seal_writer *writer, const void *data, size_t n_bytes, sg_error *error);

/* ---------------------------------------------------------------------------------------------- reading */

/* Opens for reading and checks magic, kind (NULL: any), version (<= max_version) and length, not the checksum. *fd is
 * the caller's to close. SG_ERR_NOT_FOUND, SG_ERR_FORMAT, SG_ERR_VERSION, or SG_ERR_IO, also when somebody holds a
 * lock for writing. */
sg_status sg_seal_open(const char *path, const char *kind, uint32_t max_version, int *fd, sg_seal *seal,
                       struct stat *stat, sg_error *error);

/* Reads the image and compares the checksum; SG_ERR_CHECKSUM when it does not match. The image is copied to image
 * (n_bytes) unless that is NULL. */
sg_status sg_seal_verify(int fd, const char *path, const sg_seal *seal, void *image, sg_poll *poll, sg_error *error);

#endif
