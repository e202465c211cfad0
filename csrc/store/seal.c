/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/hdf5_session.h"

/* A byte above 127, both line ends and control-Z show every common way of damaging a binary file in transfer. */
static const char magic[16] = "\x89simgraft\r\n\x1a\n";

enum {
    AT_MAGIC        = 0,
    AT_HEADER_BYTES = 16,
    AT_VERSION      = 20,
    AT_N_BYTES      = 24,
    AT_SHA256       = 32,
    AT_KIND         = 64,
    AT_ZEROS        = 128
};

#define PIECE (1u << 20) /* bytes read and hashed at a time */

static void put(uint8_t *at, uint64_t value, int n)
{
    for (int i = 0; i < n; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *at, int n)
{
    uint64_t value = 0;
    for (int i = 0; i < n; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static void header_write(uint8_t header[SG_SEAL_BYTES], const sg_seal *seal)
{
    memset(header, 0, SG_SEAL_BYTES);
    memcpy(header + AT_MAGIC, magic, sizeof magic);
    put(header + AT_HEADER_BYTES, SG_SEAL_BYTES, 4);
    put(header + AT_VERSION, seal->version, 4);
    put(header + AT_N_BYTES, seal->n_bytes, 8);
    memcpy(header + AT_SHA256, seal->sha256, SG_SHA256_BYTES);
    memcpy(header + AT_KIND, seal->kind, SG_SEAL_KIND_BYTES);
}

/* Reads until n bytes are there or the file ends. */
static ssize_t read_all(int fd, void *data, size_t n, off_t offset)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = pread(fd, (char *)data + done, n - done, offset + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static int write_all(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n) {
        ssize_t put_out = write(fd, p, n);
        if (put_out < 0 && errno == EINTR)
            continue;
        if (put_out < 0)
            return -1;
        p += put_out;
        n -= (size_t)put_out;
    }
    return 0;
}

/* SHA-256 over the header (its checksum field zero) and the image in the file. image may be NULL. */
static sg_status hash_file(int fd, const char *path, const sg_seal *seal, void *image, sg_poll *poll,
                           uint8_t digest[SG_SHA256_BYTES], sg_error *error)
{
    uint8_t header[SG_SEAL_BYTES];
    sg_seal blank = *seal;
    memset(blank.sha256, 0, sizeof blank.sha256);
    header_write(header, &blank);
    sg_sha256 hash;
    sg_sha256_init(&hash);
    sg_sha256_update(&hash, header, sizeof header);
    uint8_t *piece = image ? NULL : sg_alloc(PIECE);
    if (!image && !piece)
        return sg_fail(error, SG_ERR_MEMORY, NULL, "'%s': no memory for a read buffer", sg_path_text(path));
    sg_status status = SG_OK;
    for (uint64_t done = 0; done < seal->n_bytes && status == SG_OK;) {
        size_t   n   = seal->n_bytes - done < PIECE ? (size_t)(seal->n_bytes - done) : PIECE;
        uint8_t *to  = image ? (uint8_t *)image + done : piece;
        ssize_t  got = read_all(fd, to, n, (off_t)(SG_SEAL_BYTES + done));
        if (got < 0)
            status = sg_errno_fail(error, errno, path, "cannot read");
        else if ((size_t)got < n)
            status = sg_fail(error, SG_ERR_CHANGED, NULL, "'%s': the file became shorter while it was read",
                             sg_path_text(path));
        else if (sg_poll_due(poll, (double)done, (double)seal->n_bytes))
            status = sg_fail(error, SG_ERR_INTERRUPTED, NULL, "'%s': interrupted", sg_path_text(path));
        else
            sg_sha256_update(&hash, to, n);
        done += n;
    }
    sg_free(piece);
    sg_sha256_final(&hash, digest);
    return status;
}

/* Printable ASCII, then zeros. */
static int kind_is_text(const char kind[SG_SEAL_KIND_BYTES])
{
    int n = 0;
    while (n < SG_SEAL_KIND_BYTES && kind[n] >= ' ' && kind[n] <= '~')
        n++;
    if (n == 0 || n == SG_SEAL_KIND_BYTES)
        return 0;
    while (n < SG_SEAL_KIND_BYTES && kind[n] == 0)
        n++;
    return n == SG_SEAL_KIND_BYTES;
}

/* ---------------------------------------------------------------------------------------------- writing */

sg_status sg_seal_create(const char *path, sg_seal_writer *writer, sg_error *error)
{
    static atomic_uint counter;
    *writer            = (sg_seal_writer){NULL, NULL, -1};
    const char *slash  = strrchr(path, '/');
    size_t      folder = slash ? (size_t)(slash - path) + 1 : 0, length = strlen(path);
    if (length == folder)
        return sg_fail(error, SG_ERR_VALUE, NULL, "path: expected the name of a file, got '%s'", sg_path_text(path));
    writer->path      = sg_alloc(length + 1);
    writer->temporary = sg_alloc(length + 64);
    if (!writer->path || !writer->temporary) {
        sg_seal_abandon(writer);
        return sg_fail(error, SG_ERR_MEMORY, NULL, "'%s': no memory for the file name", sg_path_text(path));
    }
    memcpy(writer->path, path, length + 1);
    do {
        /* Names may have 255 bytes: a long one is cut, the numbers keep it unique. */
        snprintf(writer->temporary, length + 64, "%.*s.%.200s.%ld-%u.tmp", (int)folder, path, path + folder,
                 (long)getpid(), atomic_fetch_add(&counter, 1));
        writer->fd = open(writer->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (writer->fd < 0 && errno == EEXIST);
    if (writer->fd < 0) {
        sg_status status = sg_errno_fail(error, errno, path, "cannot create a file there");
        sg_free(writer->temporary);
        writer->temporary = NULL;
        sg_seal_abandon(writer);
        return status;
    }
    uint8_t zeros[SG_SEAL_BYTES] = {0};
    if (write_all(writer->fd, zeros, sizeof zeros)) {
        sg_status status = sg_errno_fail(error, errno, path, "cannot write");
        sg_seal_abandon(writer);
        return status;
    }
    return SG_OK;
}

void sg_seal_abandon(sg_seal_writer *writer)
{
    if (writer->fd >= 0)
        close(writer->fd);
    if (writer->temporary)
        unlink(writer->temporary);
    sg_free(writer->temporary);
    sg_free(writer->path);
    *writer = (sg_seal_writer){NULL, NULL, -1};
}

sg_status sg_seal_write(sg_seal_writer *writer, const void *data, size_t n_bytes, sg_error *error)
{
    if (write_all(writer->fd, data, n_bytes))
        return sg_errno_fail(error, errno, writer->path, "cannot write");
    return SG_OK;
}

/* Syncs the folder of a file, whose path is cut for that, so that the new name survives a power cut. Some file
 * systems cannot sync folders (EINVAL): nothing to be done. */
static int sync_folder(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path] = 0; /* "/file" lies in "/" */
    int fd     = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd >= 0 && fsync(fd) && errno != EINVAL && errno != ENOTSUP;
    int number = errno;
    if (fd >= 0)
        close(fd);
    errno = number;
    return failed;
}

sg_status sg_seal_commit(sg_seal_writer *writer, const char *kind, uint32_t version, sg_poll *poll, sg_seal *seal,
                         sg_error *error)
{
    sg_seal     own    = {.version = version};
    sg_status   status = SG_OK;
    struct stat s;
    uint8_t     header[SG_SEAL_BYTES];
    snprintf(own.kind, sizeof own.kind, "%s", kind);
    if (strlen(kind) >= sizeof own.kind || !kind_is_text(own.kind))
        status = sg_fail(error, SG_ERR_VALUE, NULL, "kind: expected 1 to %zu printable ASCII characters",
                         sizeof own.kind - 1);
    if (status == SG_OK && fstat(writer->fd, &s))
        status = sg_errno_fail(error, errno, writer->path, "cannot write");
    if (status == SG_OK) {
        own.n_bytes = (uint64_t)s.st_size - SG_SEAL_BYTES;
        status      = hash_file(writer->fd, writer->path, &own, NULL, poll, own.sha256, error);
    }
    if (status == SG_OK) {
        header_write(header, &own);
        if (lseek(writer->fd, 0, SEEK_SET) || write_all(writer->fd, header, sizeof header) || fsync(writer->fd))
            status = sg_errno_fail(error, errno, writer->path, "cannot write");
    }
    if (status == SG_OK) {
        int failed = close(writer->fd);
        writer->fd = -1;
        if (failed || rename(writer->temporary, writer->path)) {
            status = sg_errno_fail(error, errno, writer->path, "cannot write");
        } else {
            /* The file is complete under its name now: nothing to remove from here on. */
            char *spent       = writer->temporary;
            writer->temporary = NULL;
            if (sync_folder(spent))
                status = sg_errno_fail(error, errno, writer->path,
                                       "the file is written, but its folder could not be synced");
            sg_free(spent);
        }
    }
    sg_seal_abandon(writer);
    if (status == SG_OK && seal)
        *seal = own;
    return status;
}

/* ---------------------------------------------------------------------------------------------- reading */

static sg_status check_header(const uint8_t *header, ssize_t got, const char *path, const char *kind,
                              uint32_t max_version, uint64_t file_bytes, sg_seal *seal, sg_error *error)
{
    const char *name = sg_path_text(path);
    if (got < (ssize_t)sizeof magic || memcmp(header, magic, sizeof magic)) {
        const char *what = got == 0 ? "it is empty"
                           : got >= 8 && memcmp(header, "\x89HDF\r\n\x1a\n", 8) == 0
                               ? "it is an HDF5 file without the simgraft header"
                           : got >= 3 && memcmp(header, "CDF", 3) == 0
                               ? "it is a netCDF-3 file"
                               : "it does not start with the simgraft signature";
        return sg_fail(error, SG_ERR_FORMAT, NULL, "'%s': not a simgraft file: %s", name, what);
    }
    if (got < SG_SEAL_BYTES || get(header + AT_HEADER_BYTES, 4) != SG_SEAL_BYTES)
        return sg_fail(error, SG_ERR_FORMAT, NULL, "'%s': damaged or truncated simgraft file (bad header)", name);
    seal->version = (uint32_t)get(header + AT_VERSION, 4);
    seal->n_bytes = get(header + AT_N_BYTES, 8);
    memcpy(seal->sha256, header + AT_SHA256, SG_SHA256_BYTES);
    memcpy(seal->kind, header + AT_KIND, SG_SEAL_KIND_BYTES);
    uint8_t again[SG_SEAL_BYTES];
    header_write(again, seal);
    if (!kind_is_text(seal->kind) || memcmp(header, again, SG_SEAL_BYTES))
        return sg_fail(error, SG_ERR_FORMAT, NULL, "'%s': damaged simgraft file (bad header)", name);
    if (kind && strcmp(kind, seal->kind))
        return sg_fail(error, SG_ERR_FORMAT, NULL, "'%s': expected a %s file, got a '%s' file", name, kind,
                       seal->kind);
    if (seal->version > max_version)
        return sg_fail(error, SG_ERR_VERSION, NULL,
                       "'%s': %s format version %" PRIu32 " is newer than %" PRIu32
                       ", which this simgraft reads; upgrade simgraft",
                       name, seal->kind, seal->version, max_version);
    if (file_bytes - SG_SEAL_BYTES != seal->n_bytes)
        return sg_fail(error, SG_ERR_FORMAT, NULL,
                       "'%s': truncated or damaged simgraft file: %" PRIu64 " bytes, its header says %" PRIu64, name,
                       file_bytes, seal->n_bytes + SG_SEAL_BYTES);
    return SG_OK;
}

sg_status sg_seal_open(const char *path, const char *kind, uint32_t max_version, int *fd, sg_seal *seal,
                       struct stat *stat, sg_error *error)
{
    /* O_NONBLOCK: a named pipe must not hang us. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return sg_errno_fail(error, errno, path, "cannot open");
    sg_status status = SG_OK;
    uint8_t   header[SG_SEAL_BYTES];
    if (fstat(*fd, stat))
        status = sg_errno_fail(error, errno, path, "cannot read");
    else if (!S_ISREG(stat->st_mode))
        status = sg_fail(error, SG_ERR_IO, NULL, "'%s': expected a file, got a %s", sg_path_text(path),
                         S_ISDIR(stat->st_mode) ? "folder" : "special file");
    /* HDF5 libraries lock a file they write to: its contents may change under us. */
    else if (flock(*fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK)
        status = sg_fail(error, SG_ERR_IO, NULL,
                         "'%s': the file is open for writing elsewhere; if that is h5py, close it in h5py first",
                         sg_path_text(path));
    if (status == SG_OK) {
        ssize_t got = read_all(*fd, header, sizeof header, 0);
        status = got < 0 ? sg_errno_fail(error, errno, path, "cannot read")
                         : check_header(header, got, path, kind, max_version, (uint64_t)stat->st_size, seal, error);
    }
    if (status != SG_OK) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

sg_status sg_seal_verify(int fd, const char *path, const sg_seal *seal, void *image, sg_poll *poll, sg_error *error)
{
    uint8_t digest[SG_SHA256_BYTES];
    SG_TRY(hash_file(fd, path, seal, image, poll, digest, error));
    if (memcmp(digest, seal->sha256, sizeof digest))
        return sg_fail(error, SG_ERR_CHECKSUM, NULL,
                       "'%s': the contents do not match their checksum; the file is damaged or was edited",
                       sg_path_text(path));
    return SG_OK;
}
