/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/base: status table, instruction set, test allocator, and (for tests) random numbers and vector math. */
#include "bindings/convert.h"

#include <cblas.h>
#include <hdf5.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/philox.h"
#include "base/threads.h"
#include "base/vmath_arrays.h"

static PyObject *status_table(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    size_t                 n;
    const sg_status_entry *table = sg_status_table(&n);
    PyObject              *list  = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; list && i < n; i++) {
        PyObject *row = Py_BuildValue("(siss)", table[i].name, (int)table[i].status, table[i].exception, table[i].text);
        if (!row) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, row);
    }
    return list;
}

static PyObject *isa(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    return PyUnicode_FromString(sg_cpu_isa_name(sg_cpu_isa()));
}

static PyObject *isa_best(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    return PyUnicode_FromString(sg_cpu_isa_name(sg_cpu_isa_best()));
}

static PyObject *isa_set(PyObject *self, PyObject *argument)
{
    (void)self;
    const char *name = PyUnicode_AsUTF8(argument);
    if (!name)
        return NULL;
    sg_error  error  = {0};
    sg_status status = sg_cpu_isa_set(name, &error);
    if (status != SG_OK)
        return sg_raise(status, &error);
    Py_RETURN_NONE;
}

static PyObject *memory_fail_after(PyObject *self, PyObject *arguments)
{
    (void)self;
    long n;
    int  keep_failing = 0;
    if (!PyArg_ParseTuple(arguments, "l|p", &n, &keep_failing))
        return NULL;
    return PyLong_FromSize_t(sg_memory_fail_after(n, keep_failing));
}

static PyObject *memory_blocks(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    return PyLong_FromSize_t(sg_memory_blocks());
}

static PyObject *threads_resolve(PyObject *self, PyObject *arguments)
{
    (void)self;
    int        num_threads;
    Py_ssize_t n_blocks = PY_SSIZE_T_MAX;
    if (!PyArg_ParseTuple(arguments, "i|n", &num_threads, &n_blocks))
        return NULL;
    return PyLong_FromLong(sg_threads_resolve(num_threads, (size_t)n_blocks));
}

static PyObject *library_versions(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    unsigned major = 0, minor = 0, release = 0;
    if (H5get_libversion(&major, &minor, &release) < 0)
        return PyErr_Format(PyExc_RuntimeError, "the HDF5 library does not tell its version");
    PyObject *hdf5 = PyUnicode_FromFormat("%u.%u.%u", major, minor, release);
    return Py_BuildValue("{sNss}", "hdf5", hdf5, "openblas", openblas_get_config());
}

/* The input of a function that takes float32 or float64: the dtype of the array decides. */
static PyArrayObject *real_in(sg_dims *dims, PyObject *object, const char *name)
{
    int is_float = PyArray_Check(object) && PyArray_TYPE((PyArrayObject *)object) == NPY_FLOAT;
    return sg_array_in(dims, object, name, is_float ? NPY_FLOAT : NPY_DOUBLE, "n", 0);
}

static PyObject *vmath(PyObject *self, PyObject *arguments)
{
    (void)self;
    const char *name;
    PyObject   *x_object;
    int         n = 0;
    if (!PyArg_ParseTuple(arguments, "sO|i", &name, &x_object, &n))
        return NULL;
    const sg_vmath_f32 *f32             = sg_vmath_f32_now();
    const sg_vmath_f64 *f64             = sg_vmath_f64_now();
    void (*call_f32)(size_t, const float *, float *)    = NULL;
    void (*call_f64)(size_t, const double *, double *)  = NULL;
#define X(function, expression)                              \
    if (strcmp(name, #function) == 0)                        \
        call_f32 = f32->function, call_f64 = f64->function;
    SG_VMATH_UNARY(X)
#undef X
    int powi = strcmp(name, "powi") == 0, root = strcmp(name, "root") == 0;
    if (!call_f32 && !powi && !root)
        return PyErr_Format(PyExc_ValueError, "name: unknown function \"%s\"", name);
    if (root && n < 1)
        return PyErr_Format(PyExc_ValueError, "n: expected a root of degree at least 1, got %d", n);
    sg_dims        dims = {0};
    PyArrayObject *x    = real_in(&dims, x_object, "x");
    if (!x)
        return NULL;
    PyArrayObject *y = sg_array_out(&dims, Py_None, "y", PyArray_TYPE(x), "n", 0);
    if (y) {
        size_t size = (size_t)PyArray_SIZE(x);
        if (PyArray_TYPE(x) == NPY_FLOAT) {
            const float *in  = PyArray_DATA(x);
            float       *out = PyArray_DATA(y);
            powi ? f32->powi(size, n, in, out) : root ? f32->root(size, n, in, out) : call_f32(size, in, out);
        } else {
            const double *in  = PyArray_DATA(x);
            double       *out = PyArray_DATA(y);
            powi ? f64->powi(size, n, in, out) : root ? f64->root(size, n, in, out) : call_f64(size, in, out);
        }
    }
    Py_DECREF(x);
    return (PyObject *)y;
}

static PyObject *vmath_atan2(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *y_object, *x_object;
    if (!PyArg_ParseTuple(arguments, "OO", &y_object, &x_object))
        return NULL;
    sg_dims        dims = {0};
    PyArrayObject *y    = real_in(&dims, y_object, "y");
    PyArrayObject *x = y ? sg_array_in(&dims, x_object, "x", PyArray_TYPE(y), "n", 0) : NULL, *out = NULL;
    if (x && (out = sg_array_out(&dims, Py_None, "angle", PyArray_TYPE(y), "n", 0))) {
        size_t n = (size_t)PyArray_SIZE(y);
        if (PyArray_TYPE(y) == NPY_FLOAT)
            sg_vmath_f32_now()->atan2(n, PyArray_DATA(y), PyArray_DATA(x), PyArray_DATA(out));
        else
            sg_vmath_f64_now()->atan2(n, PyArray_DATA(y), PyArray_DATA(x), PyArray_DATA(out));
    }
    Py_XDECREF(y);
    Py_XDECREF(x);
    return (PyObject *)out;
}

static PyObject *philox_blocks(PyObject *self, PyObject *arguments)
{
    (void)self;
    uint64_t   seed, stream, first;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(arguments, "O&O&O&n", sg_to_u64, &seed, sg_to_u64, &stream, sg_to_u64, &first, &n))
        return NULL;
    if (n < 0)
        return PyErr_Format(PyExc_ValueError, "n_blocks: expected at least 0, got %zd", n);
    npy_intp       shape[] = {n, 4};
    PyArrayObject *out     = (PyArrayObject *)PyArray_SimpleNew(2, shape, NPY_UINT32);
    if (!out)
        return NULL;
    uint32_t *word = PyArray_DATA(out);
    for (Py_ssize_t i = 0; i < n; i++) {
        sg_philox_block block = sg_philox(seed, stream, first + (uint64_t)i);
        memcpy(word + 4 * i, block.word, sizeof block.word);
    }
    return (PyObject *)out;
}

enum { RANDOM_BLOCK = 1 << 16 };  /* elements a thread fills at a time */

typedef struct {
    void (*f32)(uint64_t, uint64_t, uint64_t, size_t, float *);
    void (*f64)(uint64_t, uint64_t, uint64_t, size_t, double *);
    uint64_t seed, stream, first;
    size_t   n;
    void    *out;
} random_job;

static int fill_block(void *context, size_t block, int thread)
{
    (void)thread;
    const random_job *job  = context;
    size_t            from = block * RANDOM_BLOCK, n = job->n - from < RANDOM_BLOCK ? job->n - from : RANDOM_BLOCK;
    if (job->f32)
        job->f32(job->seed, job->stream, job->first + from, n, (float *)job->out + from);
    else
        job->f64(job->seed, job->stream, job->first + from, n, (double *)job->out + from);
    return 0;
}

static PyObject *random_fill(PyObject *self, PyObject *arguments)
{
    (void)self;
    const char *kind;
    PyObject   *out_object;
    int         num_threads = 0;
    random_job  job         = {0};
    if (!PyArg_ParseTuple(arguments, "sO&O&O&O|i", &kind, sg_to_u64, &job.seed, sg_to_u64, &job.stream, sg_to_u64, &job.first,
                          &out_object, &num_threads))
        return NULL;
    int is_float = PyArray_Check(out_object) && PyArray_TYPE((PyArrayObject *)out_object) == NPY_FLOAT;
    const sg_philox_f32 *f32 = sg_philox_f32_now();
    const sg_philox_f64 *f64 = sg_philox_f64_now();
    if (strcmp(kind, "uniform") == 0)
        job.f32 = f32->uniform, job.f64 = f64->uniform;
    else if (strcmp(kind, "normal") == 0)
        job.f32 = f32->normal, job.f64 = f64->normal;
    else if (strcmp(kind, "exponential") == 0)
        job.f32 = f32->exponential, job.f64 = f64->exponential;
    else
        return PyErr_Format(PyExc_ValueError, "kind: expected uniform, normal or exponential, got \"%s\"", kind);
    if (!is_float)
        job.f32 = NULL;
    if (out_object == Py_None)
        return PyErr_Format(PyExc_TypeError, "out: expected a float32 or float64 array of shape (n,), got None");
    sg_dims        dims = {0};
    PyArrayObject *out  = sg_array_out(&dims, out_object, "out", is_float ? NPY_FLOAT : NPY_DOUBLE, "n", 0);
    if (!out)
        return NULL;
    job.n   = (size_t)PyArray_SIZE(out);
    job.out = PyArray_DATA(out);
    Py_BEGIN_ALLOW_THREADS
    sg_threads_blocks((job.n + RANDOM_BLOCK - 1) / RANDOM_BLOCK, num_threads, fill_block, &job);
    Py_END_ALLOW_THREADS
    return (PyObject *)out;
}

static PyObject *shuffle(PyObject *self, PyObject *arguments)
{
    (void)self;
    uint64_t   seed, stream;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(arguments, "O&O&n", sg_to_u64, &seed, sg_to_u64, &stream, &n))
        return NULL;
    if (n < 0)
        return PyErr_Format(PyExc_ValueError, "n: expected at least 0, got %zd", n);
    npy_intp       shape[] = {n};
    PyArrayObject *order   = (PyArrayObject *)PyArray_SimpleNew(1, shape, NPY_INT64);
    if (!order)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    sg_philox_shuffle(seed, stream, (size_t)n, PyArray_DATA(order));
    Py_END_ALLOW_THREADS
    return (PyObject *)order;
}

static PyMethodDef methods[] = {
    {"status_table", status_table, METH_NOARGS, "status_table() -> list of (name, number, exception, text)"},
    {"isa", isa, METH_NOARGS, "isa() -> str\n\nThe instruction set in use."},
    {"isa_best", isa_best, METH_NOARGS, "isa_best() -> str\n\nThe best instruction set of this machine."},
    {"isa_set", isa_set, METH_O, "isa_set(name)\n\nSwitch the instruction set: portable, v2, v3, v4 or auto."},
    {"memory_fail_after", memory_fail_after, METH_VARARGS,
     "memory_fail_after(n, keep_failing=False) -> int\n\nFail the n-th allocation from now; for tests."},
    {"memory_blocks", memory_blocks, METH_NOARGS, "memory_blocks() -> int\n\nBlocks of the core not released yet; for tests."},
    {"threads_resolve", threads_resolve, METH_VARARGS, "threads_resolve(num_threads, n_blocks) -> int"},
    {"library_versions", library_versions, METH_NOARGS, "library_versions() -> dict of the libraries linked in"},
    {"vmath", vmath, METH_VARARGS,
     "vmath(name, x, n=0) -> array\n\nElementary function of a float32 or float64 array (n,); powi and root take n."},
    {"vmath_atan2", vmath_atan2, METH_VARARGS, "vmath_atan2(y, x) -> angle [rad] of (x, y) from the axis of x"},
    {"philox_blocks", philox_blocks, METH_VARARGS,
     "philox_blocks(seed, stream, first, n_blocks) -> (n_blocks, 4) uint32\n\nRaw Philox 4x32-10 blocks."},
    {"random_fill", random_fill, METH_VARARGS,
     "random_fill(kind, seed, stream, first, out, num_threads=0) -> out\n\nElements first, first + 1, ... of the uniform, normal "
     "or exponential sequence of (seed, stream), into a float32 or float64 array (n,)."},
    {"shuffle", shuffle, METH_VARARGS, "shuffle(seed, stream, n) -> (n,) int64\n\nA random order of 0 .. n-1."},
    {NULL, NULL, 0, NULL},
};

int sg_bind_base(PyObject *module)
{
    return sg_bind_add(module, methods);
}
