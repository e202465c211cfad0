/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/store: containers and data set shards. */
#include "bindings/bind_store.h"

#include "store/container.h"
#include "store/seal.h"
#include "store/shard.h"

#include <unistd.h>

static int numpy_type(sg_dtype dtype)
{
    static const int type[SG_DTYPE_COUNT] = {[SG_F32] = NPY_FLOAT, [SG_F64] = NPY_DOUBLE, [SG_I32] = NPY_INT32,
                                             [SG_I64] = NPY_INT64, [SG_U8] = NPY_UINT8,   [SG_U32] = NPY_UINT32,
                                             [SG_U64] = NPY_UINT64};
    return type[dtype];
}

static int find_dtype(PyArrayObject *array)
{
    for (int i = 0; i < SG_DTYPE_COUNT; i++)
        if (PyArray_ISNOTSWAPPED(array) && PyArray_EquivTypenums(PyArray_TYPE(array), numpy_type((sg_dtype)i)))
            return i;
    return -1;
}

/* Adds one item of the dictionary; -1 with an exception set. */
static int put_item(sg_container *container, PyObject *key, PyObject *value)
{
    sg_error    error  = {0};
    sg_status   status = SG_OK;
    Py_ssize_t  length;
    const char *name = PyUnicode_Check(key) ? PyUnicode_AsUTF8AndSize(key, &length) : NULL;
    if (!name || (size_t)length != strlen(name)) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "items: expected names as keys, got %R", key);
        return -1;
    }
    if (PyUnicode_Check(value)) {
        const char *text = PyUnicode_AsUTF8AndSize(value, &length);
        if (!text)
            return -1;
        if ((size_t)length != strlen(text)) {
            PyErr_Format(PyExc_ValueError, "items['%s']: a text must not hold NUL characters", name);
            return -1;
        }
        status = sg_container_put_text(container, name, text, &error);
    } else {
        int dtype = PyArray_Check(value) ? find_dtype((PyArrayObject *)value) : -1;
        if (dtype < 0) {
            PyErr_Format(PyExc_TypeError,
                         "items['%s']: expected a str or an array of float32, float64, int32, int64, uint8, uint32 "
                         "or uint64, got %.100S",
                         name,
                         PyArray_Check(value) ? (PyObject *)PyArray_DESCR((PyArrayObject *)value)
                                              : (PyObject *)Py_TYPE(value));
            return -1;
        }
        PyArrayObject *array = (PyArrayObject *)PyArray_FromArray((PyArrayObject *)value, NULL, NPY_ARRAY_CARRAY_RO);
        if (!array)
            return -1;
        size_t shape[NPY_MAXDIMS];
        for (int i = 0; i < PyArray_NDIM(array); i++)
            shape[i] = (size_t)PyArray_DIM(array, i);
        status = sg_container_put(container, name, (sg_dtype)dtype, PyArray_NDIM(array), shape, PyArray_DATA(array),
                                  &error);
        Py_DECREF(array);
    }
    if (status != SG_OK) {
        sg_raise(status, &error);
        return -1;
    }
    return 0;
}

sg_container *sg_container_from_dict(const char *kind, unsigned version, PyObject *items)
{
    sg_container *container;
    sg_error      error  = {0};
    sg_status     status = sg_container_create(kind, version, &container, &error);
    if (status != SG_OK) {
        sg_raise(status, &error);
        return NULL;
    }
    PyObject  *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(items, &at, &key, &value))
        if (put_item(container, key, value)) {
            sg_container_free(container);
            return NULL;
        }
    return container;
}

static PyObject *container_write(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject   *path, *items;
    const char *kind;
    unsigned    version;
    if (!PyArg_ParseTuple(arguments, "O&sIO!", PyUnicode_FSConverter, &path, &kind, &version, &PyDict_Type, &items))
        return NULL;
    sg_container *container = sg_container_from_dict(kind, version, items);
    if (!container) {
        Py_DECREF(path);
        return NULL;
    }
    sg_error               error = {0};
    sg_status              status;
    const char            *name   = PyBytes_AS_STRING(path);
    Py_BEGIN_ALLOW_THREADS status = sg_container_write(container, name, &error);
    Py_END_ALLOW_THREADS   sg_container_free(container);
    Py_DECREF(path);
    if (status != SG_OK)
        return sg_raise(status, &error);
    Py_RETURN_NONE;
}

static PyObject *entry_object(const sg_entry *entry)
{
    if (entry->dtype == SG_TEXT)
        return PyUnicode_DecodeUTF8(entry->data, (Py_ssize_t)entry->n_bytes, NULL);
    npy_intp shape[SG_CONTAINER_MAX_DIMS];
    for (int i = 0; i < entry->ndim; i++)
        shape[i] = (npy_intp)entry->shape[i];
    PyObject *array = PyArray_SimpleNew(entry->ndim, shape, numpy_type(entry->dtype));
    if (array && entry->n_bytes)
        memcpy(PyArray_DATA((PyArrayObject *)array), entry->data, entry->n_bytes);
    return array;
}

static PyObject *container_read(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject   *path;
    const char *kind;
    unsigned    max_version;
    if (!PyArg_ParseTuple(arguments, "O&zI", PyUnicode_FSConverter, &path, &kind, &max_version))
        return NULL;
    sg_container          *container;
    sg_error               error = {0};
    sg_status              status;
    const char            *name   = PyBytes_AS_STRING(path);
    Py_BEGIN_ALLOW_THREADS status = sg_container_open(name, kind, max_version, &container, &error);
    Py_END_ALLOW_THREADS   Py_DECREF(path);
    if (status != SG_OK)
        return sg_raise(status, &error);
    PyObject *result = PyDict_New();
    for (size_t i = 0; result && i < sg_container_size(container); i++) {
        const sg_entry *entry = sg_container_entry(container, i);
        PyObject       *value = entry_object(entry);
        if (!value || PyDict_SetItemString(result, entry->name, value) < 0)
            Py_CLEAR(result);
        Py_XDECREF(value);
    }
    sg_container_free(container);
    return result;
}

/* The header of any simgraft file. */
static PyObject *file_info(PyObject *self, PyObject *argument)
{
    (void)self;
    PyObject *path;
    if (!PyUnicode_FSConverter(argument, &path))
        return NULL;
    int         fd;
    sg_seal     seal;
    struct stat stat;
    sg_error    error  = {0};
    sg_status   status = sg_seal_open(PyBytes_AS_STRING(path), NULL, UINT32_MAX, &fd, &seal, &stat, &error);
    Py_DECREF(path);
    if (status != SG_OK)
        return sg_raise(status, &error);
    close(fd);
    char hex[2 * SG_SHA256_BYTES + 1];
    sg_sha256_hex(seal.sha256, hex);
    return Py_BuildValue("{s:s,s:I,s:K,s:s}", "kind", seal.kind, "version", (unsigned)seal.version, "n_bytes",
                         (unsigned long long)(seal.n_bytes + SG_SEAL_BYTES), "sha256", hex);
}

static PyObject *sha256(PyObject *self, PyObject *argument)
{
    (void)self;
    Py_buffer buffer;
    if (PyObject_GetBuffer(argument, &buffer, PyBUF_SIMPLE))
        return NULL;
    sg_sha256 hash;
    uint8_t   digest[SG_SHA256_BYTES];
    char      hex[2 * SG_SHA256_BYTES + 1];
    sg_sha256_init(&hash);
    sg_sha256_update(&hash, buffer.buf, (size_t)buffer.len);
    sg_sha256_final(&hash, digest);
    sg_sha256_hex(digest, hex);
    PyBuffer_Release(&buffer);
    return PyUnicode_FromString(hex);
}

/* -------------------------------------------------------------------------------------------- shard writer */

typedef struct {
    PyObject_HEAD sg_shard_writer *writer; /* NULL when finished, and while a call without the GIL uses it */
    sg_shard_layout                layout;
} writer_object;

static PyObject *writer_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char    *names[] = {"path",  "provenance", "n_in",       "n_out",   "dtype",
                               "group", "weight",     "chunk_rows", "deflate", NULL};
    PyObject       *path;
    const char     *provenance, *dtype;
    Py_ssize_t      n_in, n_out, chunk_rows = 1;
    sg_shard_layout layout = {0};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O&snns|ppni", names, PyUnicode_FSConverter, &path,
                                     &provenance, &n_in, &n_out, &dtype, &layout.has_group, &layout.has_weight,
                                     &chunk_rows, &layout.deflate))
        return NULL;
    layout.n_in       = n_in < 0 ? 0 : (size_t)n_in;
    layout.n_out      = n_out < 0 ? 0 : (size_t)n_out;
    layout.chunk_rows = chunk_rows < 0 ? 0 : (size_t)chunk_rows;
    layout.dtype      = strcmp(dtype, "float64") == 0 ? SG_F64 : strcmp(dtype, "float32") == 0 ? SG_F32 : SG_TEXT;
    sg_error               error = {0};
    sg_status              status;
    sg_shard_writer       *writer;
    const char            *name   = PyBytes_AS_STRING(path);
    Py_BEGIN_ALLOW_THREADS status = sg_shard_create(name, &layout, provenance, &writer, &error);
    Py_END_ALLOW_THREADS   Py_DECREF(path);
    if (status != SG_OK)
        return sg_raise(status, &error);
    writer_object *self = (writer_object *)type->tp_alloc(type, 0);
    if (!self) {
        sg_shard_abandon(writer);
        return NULL;
    }
    self->writer = writer;
    self->layout = layout;
    return (PyObject *)self;
}

/* Takes the writer out of the object, so that no second thread can use it meanwhile. */
static sg_shard_writer *writer_take(writer_object *self)
{
    sg_shard_writer *writer = self->writer;
    if (!writer)
        PyErr_SetString(PyExc_ValueError, "the shard writer is finished or in use by another thread");
    self->writer = NULL;
    return writer;
}

static PyObject *writer_append(PyObject *object, PyObject *arguments)
{
    writer_object *self = (writer_object *)object;
    PyObject      *x, *y, *group = Py_None, *weight = Py_None;
    if (!PyArg_ParseTuple(arguments, "OO|OO", &x, &y, &group, &weight))
        return NULL;
    sg_dims dims = {0};
    sg_dim_set(&dims, "n_in", (npy_intp)self->layout.n_in);
    sg_dim_set(&dims, "n_out", (npy_intp)self->layout.n_out);
    int            type   = numpy_type(self->layout.dtype);
    PyArrayObject *a[4]   = {NULL, NULL, NULL, NULL};
    PyObject      *result = NULL;
    if ((a[0] = sg_array_in(&dims, x, "x", type, "n n_in", 0)) &&
        (a[1] = sg_array_in(&dims, y, "y", type, "n n_out", 0)) &&
        ((a[2] = sg_array_in(&dims, group, "group", NPY_INT64, "n", SG_OPTIONAL)) || !PyErr_Occurred()) &&
        ((a[3] = sg_array_in(&dims, weight, "weight", NPY_DOUBLE, "n", SG_OPTIONAL)) || !PyErr_Occurred())) {
        sg_shard_writer *writer = writer_take(self);
        if (writer) {
            sg_rows                rows  = {PyArray_DATA(a[0]), PyArray_DATA(a[1]), a[2] ? PyArray_DATA(a[2]) : NULL,
                                            a[3] ? PyArray_DATA(a[3]) : NULL};
            size_t                 n     = (size_t)PyArray_DIM(a[0], 0);
            sg_error               error = {0};
            sg_status              status;
            Py_BEGIN_ALLOW_THREADS status       = sg_shard_append(writer, n, &rows, &error);
            Py_END_ALLOW_THREADS   self->writer = writer;
            result                              = status == SG_OK ? Py_NewRef(Py_None) : sg_raise(status, &error);
        }
    }
    for (int i = 0; i < 4; i++)
        Py_XDECREF(a[i]);
    return result;
}

static PyObject *writer_commit(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    sg_shard_writer *writer = writer_take((writer_object *)object);
    if (!writer)
        return NULL;
    sg_poll                poll  = sg_python_poll(Py_None);
    sg_error               error = {0};
    sg_seal                seal;
    sg_status              status;
    Py_BEGIN_ALLOW_THREADS status = sg_shard_commit(writer, &poll, &seal, &error);
    Py_END_ALLOW_THREADS if (status != SG_OK) return sg_raise(status, &error);
    char hex[2 * SG_SHA256_BYTES + 1];
    sg_sha256_hex(seal.sha256, hex);
    return PyUnicode_FromString(hex);
}

static PyObject *writer_abandon(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    writer_object *self = (writer_object *)object;
    sg_shard_abandon(self->writer);
    self->writer = NULL;
    Py_RETURN_NONE;
}

static void writer_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    sg_shard_abandon(((writer_object *)object)->writer);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef writer_methods[] = {
    {"append", writer_append, METH_VARARGS,
     "append(x, y, group=None, weight=None)\n\nAppend rows: x (n, n_in), y (n, n_out), group (n,) int64, weight (n,) "
     "float64."},
    {"commit", writer_commit, METH_NOARGS, "commit() -> str\n\nSeal the file, give it its name, return its SHA-256."},
    {"abandon", writer_abandon, METH_NOARGS, "abandon()\n\nRemove the temporary file."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot writer_slots[] = {
    {Py_tp_new, writer_new},
    {Py_tp_dealloc, writer_dealloc},
    {Py_tp_methods, writer_methods},
    {Py_tp_doc, "ShardWriter(path, provenance, n_in, n_out, dtype, group=False, weight=False, chunk_rows=1, "
                "deflate=0)\n\nWrites one data set shard; "
                "dropped without commit() it leaves no file."},
    {0, NULL},
};

static PyType_Spec writer_spec = {"simgraft._core.ShardWriter", sizeof(writer_object), 0, Py_TPFLAGS_DEFAULT,
                                  writer_slots};

/* ---------------------------------------------------------------------------------------------- shard set */

typedef struct {
    PyObject_HEAD sg_shard_set *set;
} shards_object;

static PyObject *shards_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"paths", "verify", NULL};
    PyObject    *list;
    int          verify = 1;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|p", names, &list, &verify))
        return NULL;
    PyObject *paths = PySequence_Tuple(list), *encoded = NULL;
    if (!paths)
        return NULL;
    Py_ssize_t     n    = PyTuple_GET_SIZE(paths);
    const char   **name = PyMem_Calloc((size_t)n + 1, sizeof *name);
    shards_object *self = NULL;
    encoded             = PyTuple_New(n);
    if (!name)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; name && encoded && i < n; i++) {
        PyObject *bytes;
        if (!PyUnicode_FSConverter(PyTuple_GET_ITEM(paths, i), &bytes))
            break;
        PyTuple_SET_ITEM(encoded, i, bytes);
        name[i] = PyBytes_AS_STRING(bytes);
    }
    if (!PyErr_Occurred()) {
        sg_poll                poll  = sg_python_poll(Py_None);
        sg_error               error = {0};
        sg_status              status;
        sg_shard_set          *set;
        Py_BEGIN_ALLOW_THREADS status = sg_shard_set_open((size_t)n, name, verify, &poll, &set, &error);
        Py_END_ALLOW_THREADS if (status != SG_OK) sg_raise(status, &error);
        else if ((self = (shards_object *)type->tp_alloc(type, 0))) self->set = set;
        else sg_shard_set_free(set);
    }
    PyMem_Free(name);
    Py_XDECREF(encoded);
    Py_DECREF(paths);
    return (PyObject *)self;
}

static void shards_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    sg_shard_set *set  = ((shards_object *)object)->set;
    Py_BEGIN_ALLOW_THREADS /* the HDF5 mutex may be held by a thread that reads */
                         sg_shard_set_free(set);
    Py_END_ALLOW_THREADS type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *shards_info(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    const sg_shard_set *set  = ((shards_object *)object)->set;
    PyObject           *list = PyList_New((Py_ssize_t)sg_shard_set_size(set));
    for (size_t i = 0; list && i < sg_shard_set_size(set); i++) {
        const sg_shard_info *info = sg_shard_set_info(set, i);
        char                 hex[2 * SG_SHA256_BYTES + 1];
        sg_sha256_hex(info->seal.sha256, hex);
        PyObject *row = Py_BuildValue(
            "{s:n,s:n,s:n,s:s,s:O,s:O,s:n,s:i,s:s,s:s,s:K}", "n_rows", (Py_ssize_t)info->n_rows, "n_in",
            (Py_ssize_t)info->layout.n_in, "n_out", (Py_ssize_t)info->layout.n_out, "dtype",
            sg_dtype_name(info->layout.dtype), "group", info->layout.has_group ? Py_True : Py_False, "weight",
            info->layout.has_weight ? Py_True : Py_False, "chunk_rows", (Py_ssize_t)info->layout.chunk_rows,
            "deflate", info->layout.deflate, "provenance", info->provenance, "sha256", hex, "n_bytes",
            (unsigned long long)(info->seal.n_bytes + SG_SEAL_BYTES));
        if (row)
            PyList_SET_ITEM(list, (Py_ssize_t)i, row);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* Converts a (n_segments, 3) int64 array; -1 with an exception set. *n_rows is the sum of the rows. */
static int segments_in(PyObject *object, PyArrayObject **array, size_t *n_rows)
{
    sg_dims dims = {0};
    *array       = sg_array_in(&dims, object, "segments", NPY_INT64, "n_segments 3", 0);
    if (!*array)
        return -1;
    const sg_segment *s = PyArray_DATA(*array);
    *n_rows             = 0;
    for (npy_intp i = 0; i < PyArray_DIM(*array, 0); i++)
        if (s[i].n < 0 || __builtin_add_overflow(*n_rows, (size_t)s[i].n, n_rows)) {
            PyErr_SetString(PyExc_ValueError, "segments: expected row counts >= 0");
            Py_CLEAR(*array);
            return -1;
        }
    return 0;
}

/* Converts the output arrays of a read, a tuple (x, y, group, weight) with None for what is not wanted, all of the
 * same number of rows; -1 with an exception set. The references go to hold. */
static int rows_out(const sg_shard_set *set, PyObject *tuple, const char *name, PyArrayObject *hold[4], sg_rows *rows,
                    npy_intp *n)
{
    static const char *const part[4]  = {"x", "y", "group", "weight"};
    static const char *const shape[4] = {"n n_in", "n n_out", "n", "n"};
    const sg_shard_layout   *layout   = &sg_shard_set_info(set, 0)->layout;
    int                      type[4]  = {numpy_type(layout->dtype), numpy_type(layout->dtype), NPY_INT64, NPY_DOUBLE};
    sg_dims                  dims     = {0};
    sg_dim_set(&dims, "n_in", (npy_intp)layout->n_in);
    sg_dim_set(&dims, "n_out", (npy_intp)layout->n_out);
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != 4) {
        PyErr_Format(PyExc_TypeError, "%s: expected a tuple (x, y, group, weight)", name);
        return -1;
    }
    void *data[4] = {NULL, NULL, NULL, NULL};
    for (int i = 0; i < 4; i++) {
        PyObject *item = PyTuple_GET_ITEM(tuple, i);
        hold[i]        = item == Py_None ? NULL : sg_array_out(&dims, item, part[i], type[i], shape[i], 0);
        if (item != Py_None && !hold[i])
            return -1;
        data[i] = hold[i] ? PyArray_DATA(hold[i]) : NULL;
    }
    *rows = (sg_rows){data[0], data[1], data[2], data[3]};
    *n    = sg_dim(&dims, "n");
    return 0;
}

static PyObject *shards_read(PyObject *object, PyObject *arguments)
{
    shards_object *self = (shards_object *)object;
    PyObject      *segment_object, *out;
    if (!PyArg_ParseTuple(arguments, "OO", &segment_object, &out))
        return NULL;
    PyArrayObject *segments = NULL, *hold[4] = {NULL, NULL, NULL, NULL};
    sg_rows        rows;
    size_t         n_rows;
    npy_intp       n;
    PyObject      *result = NULL;
    if (segments_in(segment_object, &segments, &n_rows) == 0 &&
        rows_out(self->set, out, "out", hold, &rows, &n) == 0) {
        if (n >= 0 && (size_t)n != n_rows) {
            PyErr_Format(PyExc_ValueError, "out: expected %zu rows, got %zd", n_rows, (Py_ssize_t)n);
        } else {
            sg_poll                poll  = sg_python_poll(Py_None);
            sg_error               error = {0};
            sg_status              status;
            Py_BEGIN_ALLOW_THREADS status = sg_shard_set_read(self->set, (size_t)PyArray_DIM(segments, 0),
                                                              PyArray_DATA(segments), &rows, &poll, &error);
            Py_END_ALLOW_THREADS   result = status == SG_OK ? Py_NewRef(Py_None) : sg_raise(status, &error);
        }
    }
    Py_XDECREF(segments);
    for (int i = 0; i < 4; i++)
        Py_XDECREF(hold[i]);
    return result;
}

static PyMethodDef shards_methods[] = {
    {"info", shards_info, METH_NOARGS,
     "info() -> list of dict\n\nRows, columns, provenance and checksum of every shard."},
    {"read", shards_read, METH_VARARGS,
     "read(segments, (x, y, group, weight))\n\nRead segments, an int64 array of rows (shard, first, n), into arrays; "
     "None for what is not wanted."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot shards_slots[] = {
    {Py_tp_new, shards_new},
    {Py_tp_dealloc, shards_dealloc},
    {Py_tp_methods, shards_methods},
    {Py_tp_doc, "Shards(paths, verify=True)\n\nThe shards of one data set, open for reading from any thread."},
    {0, NULL},
};

static PyType_Spec shards_spec = {"simgraft._core.Shards", sizeof(shards_object), 0, Py_TPFLAGS_DEFAULT,
                                  shards_slots};
static PyObject   *shards_type; /* lives as long as the process */

/* ------------------------------------------------------------------------------------------------- stream */

typedef struct {
    PyObject_HEAD sg_stream *stream;    /* NULL when closed, and while a call without the GIL uses it */
    PyArrayObject           *buffer[8]; /* two times x, y, group, weight; written by the reading thread */
} stream_object;

/* The largest number of rows in a window. */
static size_t largest_window(const sg_segment *segments, const int64_t *window_end, npy_intp n_windows)
{
    size_t largest = 0;
    for (npy_intp w = 0; w < n_windows; w++) {
        size_t n = 0;
        for (int64_t i = w ? window_end[w - 1] : 0; i < window_end[w]; i++)
            n += (size_t)segments[i].n;
        largest = n > largest ? n : largest;
    }
    return largest;
}

static PyObject *stream_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"shards", "window_end", "segments", "buffers", NULL};
    PyObject    *shards, *ends, *segment_object, *first, *second;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O!OO(OO)", names, (PyTypeObject *)shards_type, &shards,
                                     &ends, &segment_object, &first, &second))
        return NULL;
    sg_shard_set  *set      = ((shards_object *)shards)->set;
    stream_object *self     = (stream_object *)type->tp_alloc(type, 0);
    PyArrayObject *segments = NULL, *window_end = NULL;
    sg_dims        dims = {0};
    size_t         n_rows;
    sg_rows        rows[2];
    npy_intp       n[2];
    int            good = self && segments_in(segment_object, &segments, &n_rows) == 0 &&
                          (window_end = sg_array_in(&dims, ends, "window_end", NPY_INT64, "n_windows", 0)) &&
                          rows_out(set, first, "buffers", self->buffer, &rows[0], &n[0]) == 0 &&
                          rows_out(set, second, "buffers", self->buffer + 4, &rows[1], &n[1]) == 0;
    if (good) {
        npy_intp       n_windows = PyArray_DIM(window_end, 0);
        const int64_t *end       = PyArray_DATA(window_end);
        for (npy_intp w = 0; w < n_windows; w++)
            good = good && end[w] >= (w ? end[w - 1] : 0) && end[w] <= PyArray_DIM(segments, 0);
        if (!good) {
            PyErr_SetString(PyExc_ValueError, "window_end: expected ascending numbers of segments");
        } else {
            size_t largest = largest_window(PyArray_DATA(segments), end, n_windows);
            for (int k = 0; k < 2; k++)
                good = good && (n[k] < 0 || (size_t)n[k] >= largest);
            if (!good)
                PyErr_SetString(PyExc_ValueError, "buffers: too small for the largest window");
        }
        if (good) {
            sg_error  error  = {0};
            sg_status status = sg_stream_open(set, (size_t)n_windows, PyArray_DATA(window_end),
                                              PyArray_DATA(segments), rows, &self->stream, &error);
            if (status != SG_OK) {
                good = 0;
                sg_raise(status, &error);
            }
        }
    }
    Py_XDECREF(segments);
    Py_XDECREF(window_end);
    if (!good)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static PyObject *stream_next(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    stream_object *self   = (stream_object *)object;
    sg_stream     *stream = self->stream;
    if (!stream) {
        PyErr_SetString(PyExc_ValueError, "the stream is closed or in use by another thread");
        return NULL;
    }
    self->stream                 = NULL;
    sg_poll                poll  = sg_python_poll(Py_None);
    sg_error               error = {0};
    sg_status              status;
    int                    slot;
    size_t                 n_rows;
    Py_BEGIN_ALLOW_THREADS status       = sg_stream_next(stream, &poll, &slot, &n_rows, &error);
    Py_END_ALLOW_THREADS   self->stream = stream;
    return status == SG_OK ? Py_BuildValue("in", slot, (Py_ssize_t)n_rows) : sg_raise(status, &error);
}

static PyObject *stream_close(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    stream_object *self   = (stream_object *)object;
    sg_stream     *stream = self->stream;
    self->stream          = NULL;
    Py_BEGIN_ALLOW_THREADS sg_stream_close(stream);
    Py_END_ALLOW_THREADS   Py_RETURN_NONE;
}

static void stream_dealloc(PyObject *object)
{
    stream_object         *self = (stream_object *)object;
    PyTypeObject          *type = Py_TYPE(object);
    Py_BEGIN_ALLOW_THREADS sg_stream_close(self->stream);
    Py_END_ALLOW_THREADS for (int i = 0; i < 8; i++) Py_XDECREF(self->buffer[i]);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyMethodDef stream_methods[] = {
    {"next", stream_next, METH_NOARGS,
     "next() -> (slot, n_rows)\n\nThe buffer that holds the next window, valid until the next call; n_rows 0 at the "
     "end."},
    {"close", stream_close, METH_NOARGS, "close()\n\nStop reading ahead."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_new, stream_new},
    {Py_tp_dealloc, stream_dealloc},
    {Py_tp_methods, stream_methods},
    {Py_tp_doc, "Stream(shards, window_end, segments, buffers)\n\nReads windows of segments ahead, in a thread, into "
                "two tuples (x, y, group, weight)."},
    {0, NULL},
};

static PyType_Spec stream_spec = {"simgraft._core.Stream", sizeof(stream_object), 0, Py_TPFLAGS_DEFAULT,
                                  stream_slots};

static int add_type(PyObject *module, PyType_Spec *spec, PyObject **keep)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int       bad  = !type || PyModule_AddType(module, (PyTypeObject *)type) < 0;
    if (keep && !bad)
        Py_XSETREF(*keep, Py_NewRef(type));
    Py_XDECREF(type);
    return bad ? -1 : 0;
}

static PyMethodDef methods[] = {
    {"container_write", container_write, METH_VARARGS,
     "container_write(path, kind, version, items)\n\nWrite a dict of name -> array or str as a sealed file: "
     "temporary name, fsync, rename."},
    {"container_read", container_read, METH_VARARGS,
     "container_read(path, kind, max_version) -> dict\n\nRead and verify a file; kind None takes any."},
    {"file_info", file_info, METH_O,
     "file_info(path) -> dict\n\nkind, version, n_bytes and sha256 from the header of a simgraft file; nothing is "
     "verified."},
    {"sha256", sha256, METH_O, "sha256(bytes) -> str\n\nFor tests."},
    {NULL, NULL, 0, NULL},
};

int sg_bind_store(PyObject *module)
{
    if (add_type(module, &writer_spec, NULL) || add_type(module, &shards_spec, &shards_type) ||
        add_type(module, &stream_spec, NULL))
        return -1;
    return sg_bind_add(module, methods);
}
