/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/store: containers and data set shards. */
#include "bindings/bind_store.h"

#include "store/container.h"
#include "store/seal.h"

#include <unistd.h>

static int numpy_type(sg_dtype dtype)
{
    static const int type[SG_DTYPE_COUNT] = {[SG_F32] = NPY_FLOAT, [SG_F64] = NPY_DOUBLE, [SG_I32] = NPY_INT32, [SG_I64] = NPY_INT64,
                                             [SG_U8] = NPY_UINT8, [SG_U32] = NPY_UINT32, [SG_U64] = NPY_UINT64};
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
            PyErr_Format(PyExc_TypeError, "items['%s']: expected a str or an array of float32, float64, int32, int64, uint8, uint32 or uint64, got %.100S", name,
                         PyArray_Check(value) ? (PyObject *)PyArray_DESCR((PyArrayObject *)value) : (PyObject *)Py_TYPE(value));
            return -1;
        }
        PyArrayObject *array = (PyArrayObject *)PyArray_FromArray((PyArrayObject *)value, NULL, NPY_ARRAY_CARRAY_RO);
        if (!array)
            return -1;
        size_t shape[NPY_MAXDIMS];
        for (int i = 0; i < PyArray_NDIM(array); i++)
            shape[i] = (size_t)PyArray_DIM(array, i);
        status = sg_container_put(container, name, (sg_dtype)dtype, PyArray_NDIM(array), shape, PyArray_DATA(array), &error);
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
    sg_error  error = {0};
    sg_status status;
    const char *name = PyBytes_AS_STRING(path);
    Py_BEGIN_ALLOW_THREADS
    status = sg_container_write(container, name, &error);
    Py_END_ALLOW_THREADS
    sg_container_free(container);
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
    sg_container *container;
    sg_error      error = {0};
    sg_status     status;
    const char   *name = PyBytes_AS_STRING(path);
    Py_BEGIN_ALLOW_THREADS
    status = sg_container_open(name, kind, max_version, &container, &error);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
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
    sg_error    error = {0};
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

static PyMethodDef methods[] = {
    {"container_write", container_write, METH_VARARGS,
     "container_write(path, kind, version, items)\n\nWrite a dict of name -> array or str as a sealed file: temporary name, fsync, rename."},
    {"container_read", container_read, METH_VARARGS,
     "container_read(path, kind, max_version) -> dict\n\nRead and verify a file; kind None takes any."},
    {"file_info", file_info, METH_O, "file_info(path) -> dict\n\nkind, version, n_bytes and sha256 from the header of a simgraft file; nothing is verified."},
    {"sha256", sha256, METH_O, "sha256(bytes) -> str\n\nFor tests."},
    {NULL, NULL, 0, NULL},
};

int sg_bind_store(PyObject *module)
{
    return sg_bind_add(module, methods);
}
