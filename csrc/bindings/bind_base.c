/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/base: status table, instruction set, test allocator, and (for tests) random numbers and vector math. */
#include "bindings/convert.h"

#include "base/cpu.h"
#include "base/memory.h"
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

static PyObject *threads_resolve(PyObject *self, PyObject *arguments)
{
    (void)self;
    int        num_threads;
    Py_ssize_t n_blocks = PY_SSIZE_T_MAX;
    if (!PyArg_ParseTuple(arguments, "i|n", &num_threads, &n_blocks))
        return NULL;
    return PyLong_FromLong(sg_threads_resolve(num_threads, (size_t)n_blocks));
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

static PyMethodDef methods[] = {
    {"status_table", status_table, METH_NOARGS, "status_table() -> list of (name, number, exception, text)"},
    {"isa", isa, METH_NOARGS, "isa() -> str\n\nThe instruction set in use."},
    {"isa_best", isa_best, METH_NOARGS, "isa_best() -> str\n\nThe best instruction set of this machine."},
    {"isa_set", isa_set, METH_O, "isa_set(name)\n\nSwitch the instruction set: portable, v2, v3, v4 or auto."},
    {"memory_fail_after", memory_fail_after, METH_VARARGS,
     "memory_fail_after(n, keep_failing=False) -> int\n\nFail the n-th allocation from now; for tests."},
    {"threads_resolve", threads_resolve, METH_VARARGS, "threads_resolve(num_threads, n_blocks) -> int"},
    {"vmath", vmath, METH_VARARGS,
     "vmath(name, x, n=0) -> array\n\nElementary function of a float32 or float64 array (n,); powi and root take n."},
    {NULL, NULL, 0, NULL},
};

int sg_bind_base(PyObject *module)
{
    return sg_bind_add(module, methods);
}
