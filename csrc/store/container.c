/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/container.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/hdf5_session.h"
#include "store/seal.h"

#define MAX_DEPTH 8 /* components of a name */

struct sg_container {
    char      kind[SG_SEAL_KIND_BYTES];
    uint32_t  version;
    char     *path; /* NULL: made in memory */
    size_t    n;
    size_t    room;
    sg_entry *entry; /* (n), sorted by name */
};

const char *sg_dtype_name(sg_dtype dtype)
{
    switch (dtype) {
#define X(name, number, text, bytes, memory, file) \
    case name: return text;
        SG_DTYPE_LIST(X)
#undef X
    case SG_TEXT: return "text";
    default: return "unknown";
    }
}

size_t sg_dtype_bytes(sg_dtype dtype)
{
    switch (dtype) {
#define X(name, number, text, bytes, memory, file) \
    case name: return bytes;
        SG_DTYPE_LIST(X)
#undef X
    default: return 1;
    }
}

static hid_t type_in_memory(sg_dtype dtype)
{
    switch (dtype) {
#define X(name, number, text, bytes, memory, file) \
    case name: return memory;
        SG_DTYPE_LIST(X)
#undef X
    default: return H5I_INVALID_HID;
    }
}

static hid_t type_in_file(sg_dtype dtype)
{
    switch (dtype) {
#define X(name, number, text, bytes, memory, file) \
    case name: return file;
        SG_DTYPE_LIST(X)
#undef X
    default: return H5I_INVALID_HID;
    }
}

/* --------------------------------------------------------------------------------------------- in memory */

sg_status sg_container_create(const char *kind, uint32_t version, sg_container **container, sg_error *error)
{
    *container = NULL;
    if (strlen(kind) >= SG_SEAL_KIND_BYTES)
        return sg_fail(error, SG_ERR_VALUE, "kind", "expected at most %d bytes, got %zu", SG_SEAL_KIND_BYTES - 1,
                       strlen(kind));
    sg_container *c = sg_calloc(1, sizeof *c);
    if (!c)
        return sg_fail(error, SG_ERR_MEMORY, NULL, "no memory for a container");
    snprintf(c->kind, sizeof c->kind, "%s", kind);
    c->version = version;
    *container = c;
    return SG_OK;
}

void sg_container_free(sg_container *container)
{
    if (!container)
        return;
    for (size_t i = 0; i < container->n; i++) {
        sg_free(container->entry[i].name);
        sg_free(container->entry[i].data);
    }
    sg_free(container->entry);
    sg_free(container->path);
    sg_free(container);
}

/* Length of the UTF-8 sequence at s, 0 if it is not one (RFC 3629: no overlong forms, no surrogates). */
static int utf8_sequence(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    int n = s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] >= 0x90))
        return 0;
    return n;
}

static int is_utf8(const char *text, int printable)
{
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        int n = utf8_sequence(s);
        if (!n || (printable && (*s < 0x20 || *s == 0x7f)))
            return 0;
        s += n;
    }
    return 1;
}

static int name_is_good(const char *name)
{
    size_t length = strlen(name), depth = 0;
    if (length > SG_CONTAINER_MAX_NAME || !is_utf8(name, 1))
        return 0;
    for (const char *part = name;; part++) {
        size_t n = strcspn(part, "/");
        if (n == 0 || (n <= 2 && strncmp(part, "..", n) == 0) || ++depth > MAX_DEPTH)
            return 0;
        part += n;
        if (!*part)
            return 1;
    }
}

/* The first entry whose name is not below the given one. */
static size_t position(const sg_container *c, const char *name)
{
    size_t low = 0, high = c->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(c->entry[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const sg_entry *sg_container_find(const sg_container *container, const char *name)
{
    size_t i = position(container, name);
    return i < container->n && strcmp(container->entry[i].name, name) == 0 ? &container->entry[i] : NULL;
}

/* "a" and "a/b" cannot both exist: the first would be an array and a group. */
static int name_clashes(const sg_container *c, const char *name)
{
    char   below[SG_CONTAINER_MAX_NAME + 2], above[SG_CONTAINER_MAX_NAME + 1];
    int    n = snprintf(below, sizeof below, "%s/", name);
    size_t i = position(c, below);
    if (i < c->n && strncmp(c->entry[i].name, below, (size_t)n) == 0)
        return 1;
    snprintf(above, sizeof above, "%s", name);
    for (char *slash; (slash = strrchr(above, '/'));) {
        *slash = 0;
        if (sg_container_find(c, above))
            return 1;
    }
    return sg_container_find(c, name) != NULL;
}

/* Adds an entry and takes over data, which is freed on failure. */
static sg_status adopt(sg_container *c, const char *name, sg_dtype dtype, int ndim, const size_t *shape,
                       size_t n_bytes, void *data, sg_error *error)
{
    sg_status status = SG_OK;
    char     *copy   = NULL;
    if (!name_is_good(name))
        status = sg_fail(
            error, SG_ERR_VALUE, NULL,
            "entry '%s': not a good name: expected 1 to %d printable components joined by '/', at most %d bytes",
            is_utf8(name, 1) ? name : "?", MAX_DEPTH, SG_CONTAINER_MAX_NAME);
    else if (name_clashes(c, name))
        status = sg_fail(error, SG_ERR_VALUE, NULL,
                         "entry '%s': the name exists already, or one is a group of the other", name);
    else if (c->n == SG_CONTAINER_MAX_ENTRIES)
        status = sg_fail(error, SG_ERR_VALUE, NULL, "entry '%s': a container holds at most %d entries", name,
                         SG_CONTAINER_MAX_ENTRIES);
    if (status == SG_OK) {
        copy = sg_alloc(strlen(name) + 1);
        if (copy && c->n == c->room) {
            size_t    room = c->room ? 2 * c->room : 16;
            sg_entry *more = sg_calloc(room, sizeof *more);
            if (more) {
                if (c->n)
                    memcpy(more, c->entry, c->n * sizeof *more);
                sg_free(c->entry);
                c->entry = more;
                c->room  = room;
            }
        }
        if (!copy || c->n == c->room)
            status = sg_fail(error, SG_ERR_MEMORY, NULL, "entry '%s': no memory for its name", name);
    }
    if (status != SG_OK) {
        sg_free(copy);
        sg_free(data);
        return status;
    }
    memcpy(copy, name, strlen(name) + 1);
    size_t at = position(c, name);
    memmove(c->entry + at + 1, c->entry + at, (c->n - at) * sizeof *c->entry);
    c->entry[at] = (sg_entry){.name = copy, .dtype = dtype, .ndim = ndim, .n_bytes = n_bytes, .data = data};
    for (int i = 0; i < ndim; i++)
        c->entry[at].shape[i] = shape[i];
    c->n++;
    return SG_OK;
}

/* Bytes of an array, SIZE_MAX when that overflows. */
static size_t array_bytes(sg_dtype dtype, int ndim, const size_t *shape)
{
    size_t n = sg_dtype_bytes(dtype);
    for (int i = 0; i < ndim; i++)
        if (shape[i] == 0)
            return 0;
    for (int i = 0; i < ndim; i++)
        n = sg_size_mul(n, shape[i]);
    return n;
}

sg_status sg_container_put(sg_container *container, const char *name, sg_dtype dtype, int ndim, const size_t *shape,
                           const void *data, sg_error *error)
{
    if ((unsigned)dtype >= SG_DTYPE_COUNT || ndim < 0 || ndim > SG_CONTAINER_MAX_DIMS)
        return sg_fail(error, SG_ERR_VALUE, NULL,
                       "entry '%s': expected at most %d dimensions and a known dtype, got %d dimensions of %s", name,
                       SG_CONTAINER_MAX_DIMS, ndim, sg_dtype_name(dtype));
    size_t n_bytes = array_bytes(dtype, ndim, shape);
    if (n_bytes > SG_CONTAINER_MAX_BYTES)
        return sg_fail(error, SG_ERR_VALUE, NULL, "entry '%s': larger than %llu bytes", name,
                       (unsigned long long)SG_CONTAINER_MAX_BYTES);
    void *copy = sg_alloc(n_bytes);
    if (!copy)
        return sg_fail(error, SG_ERR_MEMORY, NULL, "entry '%s': could not allocate %zu bytes", name, n_bytes);
    if (n_bytes)
        memcpy(copy, data, n_bytes);
    return adopt(container, name, dtype, ndim, shape, n_bytes, copy, error);
}

sg_status sg_container_put_text(sg_container *container, const char *name, const char *text, sg_error *error)
{
    size_t length = strlen(text);
    if (!is_utf8(text, 0))
        return sg_fail(error, SG_ERR_VALUE, NULL, "entry '%s': the text is not UTF-8", name);
    char *copy = sg_alloc(length + 1);
    if (!copy)
        return sg_fail(error, SG_ERR_MEMORY, NULL, "entry '%s': could not allocate %zu bytes", name, length + 1);
    memcpy(copy, text, length + 1);
    return adopt(container, name, SG_TEXT, 0, NULL, length, copy, error);
}

const char *sg_container_kind(const sg_container *container) { return container->kind; }
uint32_t    sg_container_version(const sg_container *container) { return container->version; }
const char *sg_container_path(const sg_container *container) { return container->path ? container->path : ""; }
size_t      sg_container_size(const sg_container *container) { return container->n; }

const sg_entry *sg_container_entry(const sg_container *container, size_t index)
{
    return index < container->n ? &container->entry[index] : NULL;
}

static size_t print_shape(char *text, size_t size, int ndim, const size_t *shape)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < ndim && used < size; i++)
        used += (size_t)(shape[i] == SIZE_MAX ? snprintf(text + used, size - used, "%sany", i ? ", " : "")
                                              : snprintf(text + used, size - used, "%s%zu", i ? ", " : "", shape[i]));
    if (used < size)
        used += (size_t)snprintf(text + used, size - used, ndim == 1 ? ",)" : ")");
    return used;
}

sg_status sg_container_get(const sg_container *container, const char *name, sg_dtype dtype, int ndim, size_t *shape,
                           const void **data, sg_error *error)
{
    const char     *file  = sg_path_text(sg_container_path(container));
    const sg_entry *entry = sg_container_find(container, name);
    if (!entry)
        return sg_fail(error, SG_ERR_FORMAT, NULL, "'%s': the entry '%s' is missing", file, name);
    int ok = entry->dtype == dtype && entry->ndim == ndim;
    for (int i = 0; ok && i < ndim; i++)
        ok = shape[i] == SIZE_MAX || shape[i] == entry->shape[i];
    if (!ok) {
        char want[100], have[100];
        print_shape(want, sizeof want, ndim, shape);
        print_shape(have, sizeof have, entry->ndim, entry->shape);
        return sg_fail(error, SG_ERR_FORMAT, NULL, "'%s': entry '%s': expected %s %s, got %s %s", file, name,
                       sg_dtype_name(dtype), want, sg_dtype_name(entry->dtype), have);
    }
    for (int i = 0; i < ndim; i++)
        shape[i] = entry->shape[i];
    *data = entry->data;
    return SG_OK;
}

sg_status sg_container_get_text(const sg_container *container, const char *name, const char **text, sg_error *error)
{
    const void *data = NULL;
    SG_TRY(sg_container_get(container, name, SG_TEXT, 0, NULL, &data, error));
    *text = data;
    return SG_OK;
}

/* ----------------------------------------------------------------------------------------------- writing */

static hid_t text_type(size_t length)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && (H5Tset_size(type, length ? length : 1) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
                      H5Tset_strpad(type, H5T_STR_NULLPAD) < 0)) {
        H5Tclose(type);
        return H5I_INVALID_HID;
    }
    return type;
}

/* Creates one dataset. Returns 0, or -1 with the HDF5 error stack set. */
static int write_entry(hid_t file, const sg_entry *entry, hid_t links, hid_t creation)
{
    hid_t   type   = entry->dtype == SG_TEXT ? text_type(entry->n_bytes) : H5Tcopy(type_in_file(entry->dtype));
    hid_t   memory = entry->dtype == SG_TEXT ? type : type_in_memory(entry->dtype);
    hsize_t shape[SG_CONTAINER_MAX_DIMS];
    for (int i = 0; i < entry->ndim; i++)
        shape[i] = entry->shape[i];
    hid_t space = entry->ndim ? H5Screate_simple(entry->ndim, shape, NULL) : H5Screate(H5S_SCALAR);
    hid_t set   = type >= 0 && space >= 0 ? H5Dcreate2(file, entry->name, type, space, links, creation, H5P_DEFAULT)
                                          : H5I_INVALID_HID;
    int   bad   = set < 0 || (array_bytes(entry->dtype, entry->ndim, entry->shape) &&
                              H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, entry->data) < 0);
    SG_HDF5_CLOSE(set, space, type);
    return bad ? -1 : 0;
}

/* The HDF5 image of a container, made in memory: HDF5 does not touch the disk, so every disk error is one of our own
 * calls. */
static sg_status build_image(const sg_container *c, const char *path, void **image, size_t *n_bytes, sg_error *error)
{
    *image = NULL;
    sg_hdf5 session;
    sg_hdf5_enter(&session);
    sg_status status = SG_OK;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), root = H5Pcreate(H5P_FILE_CREATE), links = H5Pcreate(H5P_LINK_CREATE);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE), file = H5I_INVALID_HID;
    if (access < 0 || root < 0 || links < 0 || creation < 0 || H5Pset_userblock(root, SG_SEAL_BYTES) < 0 ||
        H5Pset_fapl_core(access, 1 << 20, 0) < 0 || H5Pset_create_intermediate_group(links, 1) < 0 ||
        H5Pset_char_encoding(links, H5T_CSET_UTF8) < 0 || H5Pset_obj_track_times(creation, 0) < 0 ||
        H5Pset_layout(creation, H5D_CONTIGUOUS) < 0 ||
        (file = H5Fcreate("simgraft-container", H5F_ACC_TRUNC, root, access)) < 0)
        status = sg_hdf5_fail(error, SG_ERR_IO, path, "cannot build the file");
    for (size_t i = 0; i < c->n && status == SG_OK; i++)
        if (write_entry(file, &c->entry[i], links, creation))
            status = sg_hdf5_fail(error, SG_ERR_IO, path, "cannot build the file");
    if (status == SG_OK) {
        ssize_t size = H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 ? -1 : H5Fget_file_image(file, NULL, 0);
        if (size < 0)
            status = sg_hdf5_fail(error, SG_ERR_IO, path, "cannot build the file");
        else if (!(*image = sg_alloc((size_t)size)))
            status = sg_fail(error, SG_ERR_MEMORY, NULL, "'%s': could not allocate %zd bytes", sg_path_text(path),
                             size);
        else if (H5Fget_file_image(file, *image, (size_t)size) != size)
            status = sg_hdf5_fail(error, SG_ERR_IO, path, "cannot build the file");
        else
            *n_bytes = (size_t)size;
    }
    if (file >= 0)
        H5Fclose(file);
    hid_t lists[] = {access, root, links, creation};
    for (int i = 0; i < 4; i++)
        SG_HDF5_CLOSE(lists[i]);
    sg_hdf5_leave(&session);
    if (status != SG_OK) {
        sg_free(*image);
        *image = NULL;
    }
    return status;
}

sg_status sg_container_write(const sg_container *container, const char *path, sg_error *error)
{
    void  *image;
    size_t n_bytes = 0;
    SG_TRY(build_image(container, path, &image, &n_bytes, error));
    sg_seal_writer writer;
    sg_status      status = SG_OK;
    if (n_bytes > SG_CONTAINER_MAX_BYTES)
        status = sg_fail(error, SG_ERR_VALUE, NULL, "'%s': the file would have %zu bytes, the limit is %llu",
                         sg_path_text(path), n_bytes, (unsigned long long)SG_CONTAINER_MAX_BYTES);
    if (status == SG_OK)
        status = sg_seal_create(path, &writer, error);
    if (status == SG_OK) {
        status = sg_seal_write(&writer, image, n_bytes, error);
        if (status == SG_OK)
            status = sg_seal_commit(&writer, container->kind, container->version, NULL, NULL, error);
        else
            sg_seal_abandon(&writer);
    }
    sg_free(image);
    return status;
}

/* ----------------------------------------------------------------------------------------------- reading */

typedef struct reader {
    sg_container *container;
    const char   *path;
    uint64_t      bytes_left; /* of array data: contiguous arrays cannot be larger than the file */
    sg_error     *error;
} reader;

static sg_status bad_entry(reader *r, const char *name, const char *what)
{
    return sg_fail(r->error, SG_ERR_FORMAT, NULL, "'%s': entry '%s': %s", sg_path_text(r->path), name, what);
}

/* dtype of an HDF5 type: exactly the ones we write. */
static int find_dtype(hid_t type)
{
    if (H5Tget_class(type) == H5T_STRING)
        return H5Tis_variable_str(type) == 0 && H5Tget_cset(type) == H5T_CSET_UTF8 &&
                       H5Tget_strpad(type) == H5T_STR_NULLPAD
                   ? SG_TEXT
                   : -1;
    for (int i = 0; i < SG_DTYPE_COUNT; i++)
        if (H5Tequal(type, type_in_file((sg_dtype)i)) > 0)
            return i;
    return -1;
}

/* Reads one dataset, after its size was checked against what the file can hold. */
static sg_status read_dataset(reader *r, hid_t set, const char *name)
{
    hid_t     type = H5Dget_type(set), space = H5Dget_space(set), creation = H5Dget_create_plist(set);
    sg_status status = SG_OK;
    hsize_t   dims[H5S_MAX_RANK];
    size_t    shape[SG_CONTAINER_MAX_DIMS];
    int       ndim  = space >= 0 && H5Sis_simple(space) > 0 ? H5Sget_simple_extent_ndims(space) : -1;
    int       dtype = type >= 0 ? find_dtype(type) : -1;
    void     *data  = NULL;
    if (type < 0 || space < 0 || creation < 0)
        status = sg_hdf5_fail(r->error, SG_ERR_FORMAT, r->path, "cannot read an entry");
    else if (dtype < 0)
        status = bad_entry(r, name, "its type is not one of the format");
    else if (H5Pget_layout(creation) != H5D_CONTIGUOUS || H5Pget_external_count(creation) != 0)
        status = bad_entry(r, name, "its storage is not contiguous in the file");
    else if (ndim < 0 || ndim > SG_CONTAINER_MAX_DIMS || (dtype == SG_TEXT && ndim) ||
             H5Sget_simple_extent_dims(space, dims, NULL) != ndim)
        status = bad_entry(r, name, "its shape is not one of the format");
    size_t n_bytes = 0;
    if (status == SG_OK) {
        for (int i = 0; i < ndim; i++)
            shape[i] = (size_t)dims[i];
        n_bytes = dtype == SG_TEXT ? H5Tget_size(type) : array_bytes((sg_dtype)dtype, ndim, shape);
        if (n_bytes > r->bytes_left)
            status = bad_entry(r, name, "it is larger than the file");
    }
    if (status == SG_OK) {
        r->bytes_left -= n_bytes;
        data = sg_alloc(n_bytes + 1);
        if (!data)
            status = sg_fail(r->error, SG_ERR_MEMORY, NULL, "'%s': entry '%s': could not allocate %zu bytes",
                             sg_path_text(r->path), name, n_bytes);
        else if (n_bytes && H5Dread(set, dtype == SG_TEXT ? type : type_in_memory((sg_dtype)dtype), H5S_ALL, H5S_ALL,
                                    H5P_DEFAULT, data) < 0)
            status = sg_hdf5_fail(r->error, SG_ERR_FORMAT, r->path, "cannot read an entry");
    }
    if (status == SG_OK && dtype == SG_TEXT) {
        ((char *)data)[n_bytes] = 0;
        n_bytes                 = strlen(data);
        if (!is_utf8(data, 0))
            status = bad_entry(r, name, "the text is not UTF-8");
    }
    if (status == SG_OK)
        status = adopt(r->container, name, (sg_dtype)dtype, ndim, shape, n_bytes, data, r->error);
    else
        sg_free(data);
    SG_HDF5_CLOSE(type, space, creation);
    return status;
}

static sg_status read_group(reader *r, hid_t group, const char *prefix, int depth)
{
    H5G_info_t info;
    if (H5Gget_info(group, &info) < 0)
        return sg_hdf5_fail(r->error, SG_ERR_FORMAT, r->path, "cannot read a group");
    for (hsize_t i = 0; i < info.nlinks; i++) {
        char       name[SG_CONTAINER_MAX_NAME + 1], path[2 * SG_CONTAINER_MAX_NAME + 2];
        H5L_info_t link;
        ssize_t    length = H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name,
                                               H5P_DEFAULT);
        if (length < 0)
            return sg_hdf5_fail(r->error, SG_ERR_FORMAT, r->path, "cannot read a name");
        int used = snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "/" : "", name);
        if ((size_t)length >= sizeof name || (size_t)used >= sizeof path || !name_is_good(path))
            return sg_fail(r->error, SG_ERR_FORMAT, NULL, "'%s': an entry has a name that is not allowed",
                           sg_path_text(r->path));
        /* Only hard links: soft and external ones could lead out of the verified file. */
        if (H5Lget_info(group, name, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
            return bad_entry(r, path, "it is a link");
        hid_t      object = H5Oopen(group, name, H5P_DEFAULT);
        H5I_type_t kind   = object < 0 ? H5I_BADID : H5Iget_type(object);
        sg_status  status;
        if (object < 0)
            return sg_hdf5_fail(r->error, SG_ERR_FORMAT, r->path, "cannot read an entry");
        if (kind == H5I_DATASET)
            status = read_dataset(r, object, path);
        else if (kind == H5I_GROUP && depth < MAX_DEPTH)
            status = read_group(r, object, path, depth + 1);
        else
            status = bad_entry(r, path, "it is neither an array nor a text");
        H5Oclose(object);
        SG_TRY(status);
    }
    return SG_OK;
}

/* Reads all entries of an HDF5 image. */
static sg_status read_image(reader *r, void *image, size_t n_bytes)
{
    sg_hdf5 session;
    sg_hdf5_enter(&session);
    sg_status status;
    hid_t     access = H5Pcreate(H5P_FILE_ACCESS), file = H5I_INVALID_HID;
    if (access < 0 || H5Pset_fapl_core(access, 1 << 20, 0) < 0 || H5Pset_file_image(access, image, n_bytes) < 0 ||
        (file = H5Fopen("simgraft-container", H5F_ACC_RDONLY, access)) < 0)
        status = sg_hdf5_fail(r->error, SG_ERR_FORMAT, r->path, "cannot read the file");
    else
        status = read_group(r, file, "", 1);
    if (file >= 0)
        H5Fclose(file);
    SG_HDF5_CLOSE(access);
    sg_hdf5_leave(&session);
    return status;
}

sg_status sg_container_open(const char *path, const char *kind, uint32_t max_version, sg_container **container,
                            sg_error *error)
{
    *container = NULL;
    int         fd;
    sg_seal     seal;
    struct stat stat;
    void       *image = NULL;
    SG_TRY(sg_seal_open(path, kind, max_version, &fd, &seal, &stat, error));
    sg_status status = SG_OK;
    if (seal.n_bytes > SG_CONTAINER_MAX_BYTES)
        status = sg_fail(error, SG_ERR_FORMAT, NULL, "'%s': %llu bytes, the limit is %llu", sg_path_text(path),
                         (unsigned long long)seal.n_bytes, (unsigned long long)SG_CONTAINER_MAX_BYTES);
    else if (!(image = sg_alloc((size_t)seal.n_bytes)))
        status = sg_fail(error, SG_ERR_MEMORY, NULL, "'%s': could not allocate %llu bytes", sg_path_text(path),
                         (unsigned long long)seal.n_bytes);
    if (status == SG_OK)
        status = sg_seal_verify(fd, path, &seal, image, NULL, error);
    close(fd);
    if (status == SG_OK)
        status = sg_container_create(seal.kind, seal.version, container, error);
    if (status == SG_OK) {
        sg_container *c = *container;
        c->path         = sg_alloc(strlen(path) + 1);
        if (!c->path) {
            status = sg_fail(error, SG_ERR_MEMORY, NULL, "'%s': no memory for the file name", sg_path_text(path));
        } else {
            memcpy(c->path, path, strlen(path) + 1);
            reader r = {c, path, seal.n_bytes, error};
            status   = read_image(&r, image, (size_t)seal.n_bytes);
        }
    }
    sg_free(image);
    if (status != SG_OK) {
        sg_container_free(*container);
        *container = NULL;
    }
    return status;
}
