/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/hdf5_session.h"

#define MAX_PROVENANCE_BYTES ((size_t)64 << 20)
#define MAX_ROWS ((hsize_t)1 << 48)
#define MAX_OPEN_FILES 8

/* The arrays of a shard, in the order they are written. */
enum { X, Y, GROUP, WEIGHT, N_ARRAYS };
static const char *const array_name[N_ARRAYS] = {"x", "y", "group", "weight"};

static int has_array(const sg_shard_layout *layout, int array)
{
    return array == GROUP ? layout->has_group : array == WEIGHT ? layout->has_weight : 1;
}

static size_t n_columns(const sg_shard_layout *layout, int array)
{
    return array == X ? layout->n_in : array == Y ? layout->n_out : 1;
}

static size_t row_bytes(const sg_shard_layout *layout, int array)
{
    return array == X || array == Y ? n_columns(layout, array) * sg_dtype_bytes(layout->dtype) : 8;
}

static void *rows_data(const sg_rows *rows, int array)
{
    void *data[N_ARRAYS] = {rows->x, rows->y, rows->group, rows->weight};
    return data[array];
}

static hid_t memory_type(const sg_shard_layout *layout, int array)
{
    if (array == GROUP)
        return H5T_NATIVE_INT64;
    return array == WEIGHT || layout->dtype == SG_F64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT;
}

static hid_t file_type(const sg_shard_layout *layout, int array)
{
    if (array == GROUP)
        return H5T_STD_I64LE;
    return array == WEIGHT || layout->dtype == SG_F64 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE;
}

/* Bytes of the largest chunk, SIZE_MAX if the layout is out of all bounds. */
static size_t chunk_bytes(const sg_shard_layout *layout)
{
    size_t widest = layout->n_in > layout->n_out ? layout->n_in : layout->n_out;
    return widest > SG_SHARD_MAX_COLUMNS ? SIZE_MAX : sg_size_mul(layout->chunk_rows, widest * 8);
}

/* ----------------------------------------------------------------------------------------------- writing */

struct sg_shard_writer {
    sg_seal_writer  seal;
    sg_shard_layout layout;
    hid_t           file;
    hid_t           set[N_ARRAYS];
    hsize_t         n_rows;
};

/* Access properties with a cache of two chunks: rows are written and read in order. */
static hid_t chunk_cache(const sg_shard_layout *layout, int array)
{
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    if (access >= 0 && H5Pset_chunk_cache(access, 101, 2 * layout->chunk_rows * row_bytes(layout, array), 1.0) < 0) {
        H5Pclose(access);
        return H5I_INVALID_HID;
    }
    return access;
}

static hid_t create_array(hid_t file, const sg_shard_layout *layout, int array)
{
    int     ndim   = array == X || array == Y ? 2 : 1;
    hsize_t now[2] = {0, n_columns(layout, array)}, most[2] = {H5S_UNLIMITED, now[1]};
    hsize_t chunk[2] = {layout->chunk_rows, now[1]};
    hid_t   space = H5Screate_simple(ndim, now, most), creation = H5Pcreate(H5P_DATASET_CREATE),
            access = chunk_cache(layout, array);
    hid_t   set    = H5I_INVALID_HID;
    int     good   = space >= 0 && creation >= 0 && access >= 0 && H5Pset_obj_track_times(creation, 0) >= 0 &&
                     H5Pset_chunk(creation, ndim, chunk) >= 0;
    if (good && layout->deflate)
        good = H5Pset_shuffle(creation) >= 0 && H5Pset_deflate(creation, (unsigned)layout->deflate) >= 0;
    if (good)
        set = H5Dcreate2(file, array_name[array], file_type(layout, array), space, H5P_DEFAULT, creation, access);
    SG_HDF5_CLOSE(space, creation, access);
    return set;
}

static int write_provenance(hid_t file, const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR), creation = H5Pcreate(H5P_DATASET_CREATE),
          set  = H5I_INVALID_HID;
    int   good = type >= 0 && space >= 0 && creation >= 0 && H5Tset_size(type, strlen(text)) >= 0 &&
                 H5Tset_cset(type, H5T_CSET_UTF8) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0 &&
                 H5Pset_obj_track_times(creation, 0) >= 0 &&
                 (set = H5Dcreate2(file, "provenance", type, space, H5P_DEFAULT, creation, H5P_DEFAULT)) >= 0 &&
                 H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text) >= 0;
    SG_HDF5_CLOSE(set, creation, space, type);
    return good ? 0 : -1;
}

/* Reserves disk space for n more bytes than the file has now, so that HDF5, which cannot back out of a failed write,
 * does not meet a full disk. */
static sg_status reserve(sg_shard_writer *w, size_t n, sg_error *error)
{
    hsize_t size;
    if (H5Fget_filesize(w->file, &size) < 0)
        return sg_hdf5_fail(error, SG_ERR_IO, w->seal.path, "cannot write");
    int number;
    do
        number = posix_fallocate(w->seal.fd, (off_t)size, (off_t)n);
    while (number == EINTR);
    if (number && number != EINVAL && number != EOPNOTSUPP)
        return sg_errno_fail(error, number, w->seal.path, "cannot write");
    return SG_OK;
}

/* What HDF5 may write besides the rows of an append: chunks that wait in its cache, headers and index nodes. */
static size_t overhead(const sg_shard_layout *layout)
{
    size_t n = 65536;
    for (int i = 0; i < N_ARRAYS; i++)
        n += has_array(layout, i) ? 2 * layout->chunk_rows * row_bytes(layout, i) : 0;
    return n;
}

static sg_status check_layout(const sg_shard_layout *layout, const char *provenance, sg_error *error)
{
    if (layout->dtype != SG_F64 && layout->dtype != SG_F32)
        return sg_fail(error, SG_ERR_VALUE, "dtype", "expected float64 or float32, got %s",
                       sg_dtype_name(layout->dtype));
    if (layout->n_in < 1 || layout->n_in > SG_SHARD_MAX_COLUMNS || layout->n_out < 1 ||
        layout->n_out > SG_SHARD_MAX_COLUMNS)
        return sg_fail(error, SG_ERR_VALUE, NULL, "n_in, n_out: expected 1 to %zu columns, got %zu and %zu",
                       SG_SHARD_MAX_COLUMNS, layout->n_in, layout->n_out);
    if (layout->chunk_rows < 1 || chunk_bytes(layout) > SG_SHARD_MAX_CHUNK_BYTES)
        return sg_fail(error, SG_ERR_VALUE, "chunk_rows",
                       "expected at least 1 row and at most %zu bytes of the wider array, got %zu rows",
                       SG_SHARD_MAX_CHUNK_BYTES, layout->chunk_rows);
    if (layout->deflate < 0 || layout->deflate > 9)
        return sg_fail(error, SG_ERR_VALUE, "deflate", "expected 0 to 9, got %d", layout->deflate);
    if (!*provenance || strlen(provenance) > MAX_PROVENANCE_BYTES)
        return sg_fail(error, SG_ERR_VALUE, "provenance", "expected a text of 1 to %zu bytes, got %zu",
                       MAX_PROVENANCE_BYTES, strlen(provenance));
    return SG_OK;
}

/* Closes what HDF5 has open; -1 if it could not write something. */
static int close_file(sg_shard_writer *w)
{
    int bad = 0;
    for (int i = 0; i < N_ARRAYS; i++) {
        if (w->set[i] >= 0)
            bad |= H5Dclose(w->set[i]) < 0;
        w->set[i] = H5I_INVALID_HID;
    }
    if (w->file >= 0)
        bad |= H5Fclose(w->file) < 0;
    w->file = H5I_INVALID_HID;
    return bad ? -1 : 0;
}

sg_status sg_shard_create(const char *path, const sg_shard_layout *layout, const char *provenance,
                          sg_shard_writer **writer, sg_error *error)
{
    *writer = NULL;
    SG_TRY(check_layout(layout, provenance, error));
    sg_shard_writer *w = sg_calloc(1, sizeof *w);
    if (!w)
        return sg_fail(error, SG_ERR_MEMORY, NULL, "'%s': no memory for a writer", sg_path_text(path));
    w->layout = *layout;
    w->file   = H5I_INVALID_HID;
    for (int i = 0; i < N_ARRAYS; i++)
        w->set[i] = H5I_INVALID_HID;
    sg_status status = sg_seal_create(path, &w->seal, error);
    if (status != SG_OK) {
        sg_free(w);
        return status;
    }
    sg_hdf5 session;
    sg_hdf5_enter(&session);
    hid_t root = H5Pcreate(H5P_FILE_CREATE);
    /* The header must not be wiped: HDF5 truncates the file and keeps the first 512 bytes for us. */
    if (root < 0 || H5Pset_userblock(root, SG_SEAL_BYTES) < 0 ||
        (w->file = H5Fcreate(w->seal.temporary, H5F_ACC_TRUNC, root, H5P_DEFAULT)) < 0)
        status = sg_hdf5_fail(error, SG_ERR_IO, path, "cannot create the file");
    if (status == SG_OK)
        status = reserve(w, overhead(layout) + strlen(provenance), error);
    for (int i = 0; i < N_ARRAYS && status == SG_OK; i++)
        if (has_array(layout, i) && (w->set[i] = create_array(w->file, layout, i)) < 0)
            status = sg_hdf5_fail(error, SG_ERR_IO, path, "cannot create the file");
    if (status == SG_OK && write_provenance(w->file, provenance))
        status = sg_hdf5_fail(error, SG_ERR_IO, path, "cannot write");
    SG_HDF5_CLOSE(root);
    sg_hdf5_leave(&session);
    if (status == SG_OK)
        *writer = w;
    else
        sg_shard_abandon(w);
    return status;
}

static int append_array(hid_t set, const sg_shard_layout *layout, int array, hsize_t first, hsize_t n,
                        const void *data)
{
    int     ndim    = array == X || array == Y ? 2 : 1;
    hsize_t size[2] = {first + n, n_columns(layout, array)}, start[2] = {first, 0}, count[2] = {n, size[1]};
    if (H5Dset_extent(set, size) < 0)
        return -1;
    hid_t file = H5Dget_space(set), memory = H5Screate_simple(ndim, count, NULL);
    int good = file >= 0 && memory >= 0 && H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
               H5Dwrite(set, memory_type(layout, array), memory, file, H5P_DEFAULT, data) >= 0;
    SG_HDF5_CLOSE(file, memory);
    return good ? 0 : -1;
}

sg_status sg_shard_append(sg_shard_writer *writer, size_t n, const sg_rows *rows, sg_error *error)
{
    if (n == 0)
        return SG_OK;
    size_t bytes = overhead(&writer->layout);
    for (int i = 0; i < N_ARRAYS; i++) {
        if (has_array(&writer->layout, i) != (rows_data(rows, i) != NULL))
            return sg_fail(error, SG_ERR_VALUE, array_name[i], "the shard was made %s it",
                           has_array(&writer->layout, i) ? "with" : "without");
        bytes += has_array(&writer->layout, i) ? n * row_bytes(&writer->layout, i) : 0;
    }
    sg_hdf5 session;
    sg_hdf5_enter(&session);
    sg_status status = reserve(writer, bytes, error);
    for (int i = 0; i < N_ARRAYS && status == SG_OK; i++)
        if (writer->set[i] >= 0 &&
            append_array(writer->set[i], &writer->layout, i, writer->n_rows, n, rows_data(rows, i)))
            status = sg_hdf5_fail(error, SG_ERR_IO, writer->seal.path, "cannot write");
    sg_hdf5_leave(&session);
    writer->n_rows += n;
    return status;
}

sg_status sg_shard_commit(sg_shard_writer *writer, sg_poll *poll, sg_seal *seal, sg_error *error)
{
    sg_status status = SG_OK;
    hsize_t   size   = 0;
    sg_hdf5   session;
    sg_hdf5_enter(&session);
    if (H5Fflush(writer->file, H5F_SCOPE_LOCAL) < 0 || H5Fget_filesize(writer->file, &size) < 0)
        status = sg_hdf5_fail(error, SG_ERR_IO, writer->seal.path, "cannot write");
    if (close_file(writer) && status == SG_OK)
        status = sg_hdf5_fail(error, SG_ERR_IO, writer->seal.path, "cannot write");
    sg_hdf5_leave(&session);
    /* Give back what was reserved and not used, if HDF5 has not done so. */
    struct stat s;
    if (status == SG_OK &&
        (fstat(writer->seal.fd, &s) || (s.st_size > (off_t)size && ftruncate(writer->seal.fd, (off_t)size))))
        status = sg_errno_fail(error, errno, writer->seal.path, "cannot write");
    if (status == SG_OK)
        status = sg_seal_commit(&writer->seal, SG_SHARD_KIND, SG_SHARD_VERSION, poll, seal, error);
    sg_seal_abandon(&writer->seal);
    sg_free(writer);
    return status;
}

void sg_shard_abandon(sg_shard_writer *writer)
{
    if (!writer)
        return;
    sg_hdf5 session;
    sg_hdf5_enter(&session);
    close_file(writer);
    sg_hdf5_leave(&session);
    sg_seal_abandon(&writer->seal);
    sg_free(writer);
}

/* ----------------------------------------------------------------------------------------------- reading */

typedef struct shard {
    sg_shard_info info;
    char         *path;
    char         *provenance;
    struct stat   stat; /* when it was opened */
    hid_t         file; /* invalid while closed */
    hid_t         set[N_ARRAYS];
    uint64_t      last_use;
} shard;

struct sg_shard_set {
    atomic_int holders;
    size_t     n;
    shard     *shards;
    pid_t      process; /* whose handles these are; this and below: under the HDF5 mutex */
    size_t     n_open;
    uint64_t   clock;
    size_t     scratch_bytes;
    void      *scratch;
};

static int same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static sg_status check_unchanged(const shard *s, sg_error *error)
{
    struct stat now;
    if (stat(s->path, &now))
        return sg_fail(error, SG_ERR_CHANGED, NULL, "'%s': the file was removed while the data set was in use",
                       sg_path_text(s->path));
    if (!same_file(&now, &s->stat))
        return sg_fail(error, SG_ERR_CHANGED, NULL,
                       "'%s': the file changed while the data set was in use; open the data set again",
                       sg_path_text(s->path));
    return SG_OK;
}

static void close_shard(sg_shard_set *set, shard *s)
{
    if (s->file < 0)
        return;
    for (int i = 0; i < N_ARRAYS; i++) {
        SG_HDF5_CLOSE(s->set[i]);
        s->set[i] = H5I_INVALID_HID;
    }
    H5Fclose(s->file);
    s->file = H5I_INVALID_HID;
    set->n_open--;
}

static hid_t open_array(hid_t file, const sg_shard_layout *layout, int array)
{
    hid_t access = chunk_cache(layout, array);
    hid_t set    = access >= 0 ? H5Dopen2(file, array_name[array], access) : H5I_INVALID_HID;
    SG_HDF5_CLOSE(access);
    return set;
}

static sg_status bad_shard(const shard *s, const char *array, const char *what, sg_error *error)
{
    return sg_fail(error, SG_ERR_FORMAT, NULL, "'%s': '%s' %s", sg_path_text(s->path), array, what);
}

/* Checks an array of the file against the format and fills the layout (X first). */
static sg_status inspect_array(shard *s, int array, sg_error *error)
{
    sg_shard_layout *layout = &s->info.layout;
    hid_t            set = s->set[array], type = H5Dget_type(set), space = H5Dget_space(set),
                     creation = H5Dget_create_plist(set);
    int       want = array == X || array == Y ? 2 : 1, ndim = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    hsize_t   size[2] = {0, 1}, chunk[2] = {0, 1};
    sg_status status = SG_OK;
    if (type < 0 || space < 0 || creation < 0)
        status = sg_hdf5_fail(error, SG_ERR_FORMAT, s->path, "cannot read");
    else if (ndim != want || H5Sget_simple_extent_dims(space, size, NULL) != want ||
             H5Pget_layout(creation) != H5D_CHUNKED || H5Pget_chunk(creation, want, chunk) != want)
        status = bad_shard(s, array_name[array], "is not a chunked array of the right dimensions", error);
    else if (array == X && H5Tequal(type, H5T_IEEE_F64LE) <= 0 && H5Tequal(type, H5T_IEEE_F32LE) <= 0)
        status = bad_shard(s, array_name[array], "is neither float64 nor float32", error);
    if (status == SG_OK && array == X) {
        layout->dtype      = H5Tequal(type, H5T_IEEE_F64LE) > 0 ? SG_F64 : SG_F32;
        layout->n_in       = (size_t)size[1];
        layout->chunk_rows = (size_t)chunk[0];
        s->info.n_rows     = (size_t)size[0];
    }
    if (status == SG_OK && array == Y)
        layout->n_out = (size_t)size[1];
    if (status == SG_OK &&
        (H5Tequal(type, file_type(layout, array)) <= 0 || size[0] != s->info.n_rows || size[0] > MAX_ROWS ||
         size[1] < 1 || size[1] > SG_SHARD_MAX_COLUMNS || chunk[0] != layout->chunk_rows || chunk[1] != size[1]))
        status = bad_shard(s, array_name[array], "does not have the type and shape of the format", error);
    int n_filters = status == SG_OK ? H5Pget_nfilters(creation) : 0;
    for (int i = 0; i < n_filters && status == SG_OK; i++) {
        unsigned     flags, level[1] = {0}, config;
        size_t       n      = 1;
        H5Z_filter_t filter = H5Pget_filter2(creation, (unsigned)i, &flags, &n, level, 0, NULL, &config);
        /* No other filters: HDF5 would look for plugins outside the file. */
        if (filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_DEFLATE)
            status = bad_shard(s, array_name[array], "uses a filter that is not of the format", error);
        else if (filter == H5Z_FILTER_DEFLATE)
            layout->deflate = (int)level[0];
    }
    SG_HDF5_CLOSE(type, space, creation);
    return status;
}

static sg_status read_provenance(shard *s, sg_error *error)
{
    hid_t  set = H5Dopen2(s->file, "provenance", H5P_DEFAULT), type = set >= 0 ? H5Dget_type(set) : H5I_INVALID_HID;
    hid_t  space     = set >= 0 ? H5Dget_space(set) : H5I_INVALID_HID;
    size_t n         = 0;
    sg_status status = SG_OK;
    if (set < 0 || type < 0 || space < 0 || H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 ||
        H5Sget_simple_extent_type(space) != H5S_SCALAR || (n = H5Tget_size(type)) == 0 || n > MAX_PROVENANCE_BYTES)
        status = bad_shard(s, "provenance", "is not a text of the format", error);
    else if (!(s->provenance = sg_calloc(n + 1, 1)))
        status = sg_fail(error, SG_ERR_MEMORY, NULL, "'%s': could not allocate %zu bytes", sg_path_text(s->path), n);
    else if (H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, s->provenance) < 0)
        status = sg_hdf5_fail(error, SG_ERR_FORMAT, s->path, "cannot read");
    s->info.provenance = s->provenance;
    SG_HDF5_CLOSE(space, type, set);
    return status;
}

/* Opens the HDF5 file of a shard that was open before (or is new: then its layout is read). Inside a session. */
static sg_status open_shard(sg_shard_set *set, shard *s, int is_new, sg_error *error)
{
    if (set->process != getpid()) {
        /* A child of fork() shares file positions with its parent: it must open its own. */
        for (size_t i = 0; i < set->n; i++)
            close_shard(set, &set->shards[i]);
        set->process = getpid();
    }
    s->last_use = ++set->clock;
    if (s->file >= 0)
        return SG_OK;
    if (set->n_open >= MAX_OPEN_FILES) {
        shard *oldest = NULL;
        for (size_t i = 0; i < set->n; i++)
            if (set->shards[i].file >= 0 && (!oldest || set->shards[i].last_use < oldest->last_use))
                oldest = &set->shards[i];
        close_shard(set, oldest);
    }
    SG_TRY(check_unchanged(s, error));
    s->file = H5Fopen(s->path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (s->file < 0)
        return sg_hdf5_fail(error, is_new ? SG_ERR_FORMAT : SG_ERR_IO, s->path, "cannot open");
    set->n_open++;
    /* The file behind the handle is the one that was verified, not a newer one of the same name. */
    void       *handle;
    struct stat now;
    sg_status   status = SG_OK;
    if (H5Fget_vfd_handle(s->file, H5P_DEFAULT, &handle) < 0 || fstat(*(int *)handle, &now) ||
        !same_file(&now, &s->stat))
        status = sg_fail(error, SG_ERR_CHANGED, NULL, "'%s': the file changed while it was opened",
                         sg_path_text(s->path));
    for (int i = 0; i < N_ARRAYS && status == SG_OK; i++) {
        htri_t there = is_new ? H5Lexists(s->file, array_name[i], H5P_DEFAULT) : has_array(&s->info.layout, i);
        if (there <= 0 && i <= Y)
            status = bad_shard(s, array_name[i], "is missing", error);
        else if (is_new && i == GROUP)
            s->info.layout.has_group = there > 0;
        else if (is_new && i == WEIGHT)
            s->info.layout.has_weight = there > 0;
        if (there <= 0 || status != SG_OK)
            continue;
        s->set[i] = is_new ? H5Dopen2(s->file, array_name[i], H5P_DEFAULT) : open_array(s->file, &s->info.layout, i);
        if (s->set[i] < 0)
            status = sg_hdf5_fail(error, SG_ERR_FORMAT, s->path, "cannot open");
        else if (is_new)
            status = inspect_array(s, i, error);
    }
    if (status == SG_OK && is_new && chunk_bytes(&s->info.layout) > SG_SHARD_MAX_CHUNK_BYTES)
        status = bad_shard(s, "x", "has chunks that are larger than the format allows", error);
    if (status == SG_OK && is_new)
        status = read_provenance(s, error);
    if (status != SG_OK || is_new)
        close_shard(set, s);
    return status;
}

/* One shard of a new set: seal, then layout. */
static sg_status load_shard(sg_shard_set *set, shard *s, const char *path, int verify, sg_poll *poll, sg_error *error)
{
    s->path = sg_alloc(strlen(path) + 1);
    if (!s->path)
        return sg_fail(error, SG_ERR_MEMORY, NULL, "'%s': no memory for the file name", sg_path_text(path));
    memcpy(s->path, path, strlen(path) + 1);
    s->info.path = s->path;
    int fd;
    SG_TRY(sg_seal_open(path, SG_SHARD_KIND, SG_SHARD_VERSION, &fd, &s->info.seal, &s->stat, error));
    sg_status status = verify ? sg_seal_verify(fd, path, &s->info.seal, NULL, poll, error) : SG_OK;
    close(fd);
    SG_TRY(status);
    sg_hdf5 session;
    sg_hdf5_enter(&session);
    status = open_shard(set, s, 1, error);
    sg_hdf5_leave(&session);
    return status;
}

static int same_layout(const sg_shard_layout *a, const sg_shard_layout *b)
{
    return a->n_in == b->n_in && a->n_out == b->n_out && a->dtype == b->dtype && a->has_group == b->has_group &&
           a->has_weight == b->has_weight;
}

sg_status sg_shard_set_open(size_t n_shards, const char *const *paths, int verify, sg_poll *poll, sg_shard_set **set,
                            sg_error *error)
{
    *set = NULL;
    if (n_shards == 0)
        return sg_fail(error, SG_ERR_VALUE, "paths", "expected at least one shard");
    sg_shard_set *s = sg_calloc(1, sizeof *s);
    if (!s)
        return sg_fail(error, SG_ERR_MEMORY, NULL, "no memory for a data set");
    atomic_store(&s->holders, 1);
    s->process       = getpid();
    sg_status status = sg_alloc_array(&s->shards, n_shards, sizeof *s->shards, "shards", error);
    for (size_t i = 0; i < n_shards && status == SG_OK; i++) {
        shard *new = &s->shards[i];
        new->file  = H5I_INVALID_HID;
        for (int k = 0; k < N_ARRAYS; k++)
            new->set[k] = H5I_INVALID_HID;
        s->n   = i + 1;
        status = load_shard(s, new, paths[i], verify, poll, error);
        if (status == SG_OK && !same_layout(&new->info.layout, &s->shards[0].info.layout))
            status = sg_fail(error, SG_ERR_FORMAT, NULL,
                             "'%s': columns, dtype, groups or weights differ from those of '%s'",
                             sg_path_text(paths[i]), sg_path_text(paths[0]));
        size_t bytes = 0;
        for (int k = 0; k < N_ARRAYS && status == SG_OK; k++)
            bytes += new->info.layout.chunk_rows * row_bytes(&new->info.layout, k);
        if (bytes > s->scratch_bytes)
            s->scratch_bytes = bytes;
    }
    if (status == SG_OK && !(s->scratch = sg_alloc(s->scratch_bytes)))
        status = sg_fail(error, SG_ERR_MEMORY, NULL, "could not allocate %zu bytes for reading", s->scratch_bytes);
    if (status == SG_OK)
        *set = s;
    else
        sg_shard_set_free(s);
    return status;
}

sg_shard_set *sg_shard_set_hold(sg_shard_set *set)
{
    atomic_fetch_add(&set->holders, 1);
    return set;
}

void sg_shard_set_free(sg_shard_set *set)
{
    if (!set || atomic_fetch_sub(&set->holders, 1) > 1)
        return;
    sg_hdf5 session;
    sg_hdf5_enter(&session);
    for (size_t i = 0; i < set->n; i++) {
        close_shard(set, &set->shards[i]);
        sg_free(set->shards[i].path);
        sg_free(set->shards[i].provenance);
    }
    sg_hdf5_leave(&session);
    sg_free(set->shards);
    sg_free(set->scratch);
    sg_free(set);
}

size_t sg_shard_set_size(const sg_shard_set *set) { return set->n; }

const sg_shard_info *sg_shard_set_info(const sg_shard_set *set, size_t index)
{
    return index < set->n ? &set->shards[index].info : NULL;
}

/* Rows first .. first + n - 1 of the wanted arrays. Inside a session. */
static sg_status read_range(shard *s, int64_t first, int64_t n, const sg_rows *rows, sg_error *error)
{
    const sg_shard_layout *layout = &s->info.layout;
    for (int i = 0; i < N_ARRAYS; i++) {
        if (!rows_data(rows, i))
            continue;
        int     ndim     = i == X || i == Y ? 2 : 1;
        hsize_t start[2] = {(hsize_t)first, 0}, count[2] = {(hsize_t)n, n_columns(layout, i)};
        hid_t   file = H5Dget_space(s->set[i]), memory = H5Screate_simple(ndim, count, NULL);
        int     good = file >= 0 && memory >= 0 &&
                       H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                       H5Dread(s->set[i], memory_type(layout, i), memory, file, H5P_DEFAULT, rows_data(rows, i)) >= 0;
        sg_status status = good ? SG_OK : sg_hdf5_fail(error, SG_ERR_IO, s->path, "cannot read");
        SG_HDF5_CLOSE(file, memory);
        SG_TRY(status);
    }
    return SG_OK;
}

/* The rows that start at row k of rows. */
static sg_rows rows_at(const sg_rows *rows, const sg_shard_layout *layout, size_t k)
{
    return (sg_rows){rows->x ? (char *)rows->x + k * row_bytes(layout, X) : NULL,
                     rows->y ? (char *)rows->y + k * row_bytes(layout, Y) : NULL,
                     rows->group ? rows->group + k : NULL, rows->weight ? rows->weight + k : NULL};
}

static void copy_rows(const sg_rows *from, const sg_rows *to, const sg_shard_layout *layout, size_t n)
{
    for (int i = 0; i < N_ARRAYS; i++)
        if (rows_data(to, i))
            memcpy(rows_data(to, i), rows_data(from, i), n * row_bytes(layout, i));
}

/* The set's scratch memory, shared out to the wanted arrays: room for chunk_rows rows. */
static sg_rows scratch_rows(const sg_shard_set *set, const sg_shard_layout *layout, const sg_rows *wanted)
{
    char *p = set->scratch, *at[N_ARRAYS];
    for (int i = 0; i < N_ARRAYS; i++) {
        at[i] = rows_data(wanted, i) ? p : NULL;
        p += layout->chunk_rows * row_bytes(layout, i);
    }
    return (sg_rows){at[X], at[Y], (int64_t *)(void *)at[GROUP], (double *)(void *)at[WEIGHT]};
}

sg_status sg_shard_set_read(sg_shard_set *set, size_t n_segments, const sg_segment *segments, const sg_rows *rows,
                            sg_poll *poll, sg_error *error)
{
    const sg_shard_layout *first_layout = &set->shards[0].info.layout;
    for (int i = GROUP; i <= WEIGHT; i++)
        if (rows_data(rows, i) && !has_array(first_layout, i))
            return sg_fail(error, SG_ERR_VALUE, array_name[i], "the data set has none");
    size_t done = 0;
    for (size_t i = 0; i < n_segments;) {
        const sg_segment *a = &segments[i];
        if (a->shard < 0 || (size_t)a->shard >= set->n || a->first < 0 || a->n < 0 ||
            (uint64_t)a->first > set->shards[a->shard].info.n_rows ||
            (uint64_t)a->n > set->shards[a->shard].info.n_rows - (uint64_t)a->first)
            return sg_fail(error, SG_ERR_VALUE, "segments", "rows %lld to %lld of shard %lld are outside the data",
                           (long long)a->first, (long long)(a->first + a->n), (long long)a->shard);
        shard                 *s      = &set->shards[a->shard];
        const sg_shard_layout *layout = &s->info.layout;
        /* Short runs of rows within the span of a chunk: one read of the span, then copies. */
        size_t  j   = i + 1;
        int64_t end = a->first + a->n;
        if ((size_t)a->n < layout->chunk_rows)
            while (j < n_segments && segments[j].shard == a->shard && segments[j].first >= end &&
                   segments[j].n >= 0 && segments[j].first <= (int64_t)s->info.n_rows - segments[j].n &&
                   segments[j].first + segments[j].n - a->first <= (int64_t)layout->chunk_rows) {
                end = segments[j].first + segments[j].n;
                j++;
            }
        sg_rows to = rows_at(rows, layout, done);
        sg_hdf5 session;
        sg_hdf5_enter(&session);
        sg_status status = open_shard(set, s, 0, error);
        if (status == SG_OK && j == i + 1) {
            status = a->n ? read_range(s, a->first, a->n, &to, error) : SG_OK;
            done += (size_t)a->n;
        } else if (status == SG_OK) {
            sg_rows span = scratch_rows(set, layout, rows);
            status       = end > a->first ? read_range(s, a->first, end - a->first, &span, error) : SG_OK;
            for (size_t k = i; k < j && status == SG_OK; k++) {
                sg_rows from = rows_at(&span, layout, (size_t)(segments[k].first - a->first));
                to           = rows_at(rows, layout, done);
                copy_rows(&from, &to, layout, (size_t)segments[k].n);
                done += (size_t)segments[k].n;
            }
        }
        sg_hdf5_leave(&session);
        sg_error changed;
        if (status == SG_ERR_CHANGED)
            return status;
        /* A failed read of a file that changed is a change, and a good read of one is not to be trusted. */
        if (check_unchanged(s, &changed) != SG_OK) {
            if (error)
                *error = changed;
            return SG_ERR_CHANGED;
        }
        SG_TRY(status);
        if (sg_poll_due(poll, (double)j, (double)n_segments))
            return sg_fail(error, SG_ERR_INTERRUPTED, NULL, "reading was interrupted");
        i = j;
    }
    return SG_OK;
}

/* ----------------------------------------------------------------------------------------------- streaming */

struct sg_stream {
    sg_shard_set   *set;
    size_t          n_windows;
    size_t         *window_end;
    sg_segment     *segments;
    sg_rows         buffer[2];
    pthread_t       thread;
    pid_t           process;
    pthread_mutex_t mutex;
    pthread_cond_t  changed;
    atomic_int      stop;
    size_t          filled; /* windows read so far; this and below: under the mutex */
    size_t          asked;  /* windows the caller has asked for: window w may be read once asked >= w */
    sg_status       status;
    sg_error        error;
};

static int asked_to_stop(void *context, double done, double total)
{
    (void)done, (void)total;
    return atomic_load(&((sg_stream *)context)->stop);
}

static void *read_ahead(void *context)
{
    sg_stream *s    = context;
    sg_poll    poll = {asked_to_stop, s, 0};
    for (size_t w = 0; w < s->n_windows; w++) {
        pthread_mutex_lock(&s->mutex);
        while (s->asked < w && !atomic_load(&s->stop))
            pthread_cond_wait(&s->changed, &s->mutex);
        pthread_mutex_unlock(&s->mutex);
        if (atomic_load(&s->stop))
            break;
        size_t    begin  = w ? s->window_end[w - 1] : 0;
        sg_error  error  = {0};
        sg_status status = sg_shard_set_read(s->set, s->window_end[w] - begin, s->segments + begin, &s->buffer[w % 2],
                                             &poll, &error);
        pthread_mutex_lock(&s->mutex);
        s->filled += status == SG_OK;
        s->status = status;
        s->error  = error;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->mutex);
        if (status != SG_OK)
            break;
    }
    return NULL;
}

/* Starts the reading thread with all signals blocked: Ctrl-C belongs to the caller's threads. */
static int start(sg_stream *s)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(&s->thread, NULL, read_ahead, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return number;
}

sg_status sg_stream_open(sg_shard_set *set, size_t n_windows, const size_t *window_end, const sg_segment *segments,
                         const sg_rows buffer[2], sg_stream **stream, sg_error *error)
{
    *stream = NULL;
    for (size_t w = 1; w < n_windows; w++)
        if (window_end[w] < window_end[w - 1])
            return sg_fail(error, SG_ERR_VALUE, "window_end", "expected ascending numbers");
    size_t     n_segments = n_windows ? window_end[n_windows - 1] : 0;
    sg_stream *s          = sg_calloc(1, sizeof *s);
    if (!s)
        return sg_fail(error, SG_ERR_MEMORY, NULL, "no memory for a stream");
    s->window_end = sg_calloc(n_windows, sizeof *s->window_end);
    s->segments   = sg_calloc(n_segments, sizeof *s->segments);
    if (!s->window_end || !s->segments) {
        sg_free(s->window_end);
        sg_free(s->segments);
        sg_free(s);
        return sg_fail(error, SG_ERR_MEMORY, NULL, "could not allocate the list of %zu segments", n_segments);
    }
    if (n_windows)
        memcpy(s->window_end, window_end, n_windows * sizeof *window_end);
    if (n_segments)
        memcpy(s->segments, segments, n_segments * sizeof *segments);
    memcpy(s->buffer, buffer, sizeof s->buffer);
    s->set       = sg_shard_set_hold(set);
    s->n_windows = n_windows;
    s->process   = getpid();
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &clock);
    pthread_condattr_destroy(&clock);
    int number = start(s);
    if (number) {
        s->process = -1; /* no thread to join */
        sg_stream_close(s);
        return sg_fail(error, SG_ERR_IO, NULL, "could not start the reading thread: error %d", number);
    }
    *stream = s;
    return SG_OK;
}

sg_status sg_stream_next(sg_stream *stream, sg_poll *poll, int *slot, size_t *n_rows, sg_error *error)
{
    if (stream->process != getpid())
        return sg_fail(error, SG_ERR_UNSUPPORTED, NULL,
                       "the stream was opened before this process was forked; open a new one here");
    *n_rows          = 0;
    *slot            = 0;
    sg_status status = SG_OK;
    pthread_mutex_lock(&stream->mutex);
    if (stream->asked < stream->n_windows) {
        size_t w = stream->asked++; /* the buffer of window w - 1 is free from here on */
        pthread_cond_broadcast(&stream->changed);
        while (stream->filled <= w && stream->status == SG_OK && status == SG_OK) {
            struct timespec until;
            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_nsec += 50 * 1000 * 1000;
            until.tv_sec += until.tv_nsec / 1000000000;
            until.tv_nsec %= 1000000000;
            pthread_cond_timedwait(&stream->changed, &stream->mutex, &until);
            pthread_mutex_unlock(&stream->mutex);
            if (sg_poll_due(poll, (double)w, (double)stream->n_windows))
                status = sg_fail(error, SG_ERR_INTERRUPTED, NULL, "reading was interrupted");
            pthread_mutex_lock(&stream->mutex);
        }
        if (status == SG_OK && stream->filled <= w) {
            status = stream->status;
            if (error)
                *error = stream->error;
        }
        *slot = (int)(w % 2);
        for (size_t i = w ? stream->window_end[w - 1] : 0; i < stream->window_end[w] && status == SG_OK; i++)
            *n_rows += (size_t)stream->segments[i].n;
    }
    pthread_mutex_unlock(&stream->mutex);
    return status;
}

void sg_stream_close(sg_stream *stream)
{
    if (!stream)
        return;
    if (stream->process == getpid()) {
        atomic_store(&stream->stop, 1);
        pthread_mutex_lock(&stream->mutex);
        pthread_cond_broadcast(&stream->changed);
        pthread_mutex_unlock(&stream->mutex);
        pthread_join(stream->thread, NULL);
        pthread_cond_destroy(&stream->changed);
        pthread_mutex_destroy(&stream->mutex);
    }
    sg_shard_set_free(stream->set);
    sg_free(stream->window_end);
    sg_free(stream->segments);
    sg_free(stream);
}
