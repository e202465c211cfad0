/* SPDX-License-Identifier: BSD-3-Clause */
/* Doors for the tests of what no public function shows alone: array conversion, exceptions, polling, threads. */
#include "bindings/convert.h"

#include "base/threads.h"

static const struct {
    const char *name;
    int         type;
} types[] = {
    {"float32", NPY_FLOAT}, {"float64", NPY_DOUBLE}, {"int32", NPY_INT32}, {"int64", NPY_INT64},
    {"uint32", NPY_UINT32}, {"uint64", NPY_UINT64},  {"uint8", NPY_UINT8}, {"bool", NPY_BOOL},
};

/* [(object, name, dtype, shape, flags, is_output), ...] -> (arrays, {dimension: value}) */
static PyObject *test_arrays(PyObject *self, PyObject *requests)
{
    (void)self;
    sg_dims   dims   = {0};
    PyObject *arrays = PyList_New(0), *values = NULL, *result = NULL;
    if (!arrays)
        return NULL;
    for (Py_ssize_t i = 0; i < PySequence_Size(requests); i++) {
        PyObject   *request = PySequence_GetItem(requests, i), *object;
        const char *name, *dtype, *shape;
        int         flags, is_output, type = NPY_NOTYPE;
        if (!request || !PyArg_ParseTuple(request, "Osssip", &object, &name, &dtype, &shape, &flags, &is_output)) {
            Py_XDECREF(request);
            goto done;
        }
        for (size_t k = 0; k < sizeof types / sizeof types[0]; k++)
            if (strcmp(types[k].name, dtype) == 0)
                type = types[k].type;
        PyArrayObject *array = is_output ? sg_array_out(&dims, object, name, type, shape, flags)
                                         : sg_array_in(&dims, object, name, type, shape, flags);
        Py_DECREF(request);
        if (!array && PyErr_Occurred())
            goto done;
        int failed = PyList_Append(arrays, array ? (PyObject *)array : Py_None);
        Py_XDECREF(array);
        if (failed)
            goto done;
    }
    values = PyDict_New();
    for (int i = 0; values && i < dims.n; i++) {
        PyObject *value = PyLong_FromSsize_t(dims.value[i]);
        if (!value || PyDict_SetItemString(values, dims.name[i], value)) {
            Py_XDECREF(value);
            goto done;
        }
        Py_DECREF(value);
    }
    if (values)
        result = PyTuple_Pack(2, arrays, values);
done:
    Py_XDECREF(values);
    Py_DECREF(arrays);
    return result;
}

static PyObject *test_separate(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyArrayObject *a, *b;
    if (!PyArg_ParseTuple(arguments, "O!O!", &PyArray_Type, &a, &PyArray_Type, &b) ||
        sg_array_separate(a, "a", b, "b"))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *test_raise(PyObject *self, PyObject *arguments)
{
    (void)self;
    int         status;
    const char *message = NULL;
    if (!PyArg_ParseTuple(arguments, "i|z", &status, &message))
        return NULL;
    sg_error error = {0};
    if (message)
        sg_fail(&error, (sg_status)status, NULL, "%s", message);
    return sg_raise((sg_status)status, message ? &error : NULL);
}

/* Works for at most `seconds`, polling; returns the number of times the loop turned. */
static PyObject *test_poll(PyObject *self, PyObject *arguments)
{
    (void)self;
    double    seconds;
    PyObject *progress = Py_None;
    if (!PyArg_ParseTuple(arguments, "d|O", &seconds, &progress))
        return NULL;
    sg_poll   poll  = sg_python_poll(progress);
    long long turns = 0;
    int       stop  = 0;
    double    start = sg_time_wall(), now = start;
    Py_BEGIN_ALLOW_THREADS
    for (; !stop && now - start < seconds; turns++) {
        now  = sg_time_wall();
        stop = sg_poll_due(&poll, now - start, seconds);
    }
    Py_END_ALLOW_THREADS
    if (stop)
        return sg_raise(SG_ERR_INTERRUPTED, NULL);
    return PyLong_FromLongLong(turns);
}

typedef struct {
    npy_int64 *visits;   /* (n_blocks) */
    npy_int64  fail_from; /* blocks from here on fail with their number + 1; -1: none */
} blocks_job;

static int visit_block(void *context, size_t block, int thread)
{
    (void)thread;
    blocks_job *job = context;
    job->visits[block]++;
    return job->fail_from >= 0 && (npy_int64)block >= job->fail_from ? (int)block + 1 : 0;
}

/* (n_blocks, num_threads, fail_from) -> (result, visits of each block) */
static PyObject *test_blocks(PyObject *self, PyObject *arguments)
{
    (void)self;
    npy_intp   n_blocks;
    int        num_threads, result;
    blocks_job job = {NULL, -1};
    if (!PyArg_ParseTuple(arguments, "ni|L", &n_blocks, &num_threads, &job.fail_from))
        return NULL;
    PyArrayObject *visits = (PyArrayObject *)PyArray_ZEROS(1, &n_blocks, NPY_INT64, 0);
    if (!visits)
        return NULL;
    job.visits = PyArray_DATA(visits);
    Py_BEGIN_ALLOW_THREADS
    result = sg_threads_blocks((size_t)n_blocks, num_threads, visit_block, &job);
    Py_END_ALLOW_THREADS
    return Py_BuildValue("iN", result, visits);
}

static PyMethodDef methods[] = {
    {"_test_arrays", test_arrays, METH_O,
     "_test_arrays([(object, name, dtype, shape, flags, is_output), ...]) -> (arrays, dimensions)"},
    {"_test_separate", test_separate, METH_VARARGS, "_test_separate(a, b)"},
    {"_test_raise", test_raise, METH_VARARGS, "_test_raise(status, message=None)"},
    {"_test_poll", test_poll, METH_VARARGS, "_test_poll(seconds, progress=None) -> turns"},
    {"_test_blocks", test_blocks, METH_VARARGS, "_test_blocks(n_blocks, num_threads, fail_from=-1) -> (result, visits)"},
    {NULL, NULL, 0, NULL},
};

int sg_bind_test(PyObject *module)
{
    return sg_bind_add(module, methods);
}
