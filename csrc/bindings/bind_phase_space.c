/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/events/phase_space. */
#include "bindings/bind_events.h"

#include "events/phase_space.h"

enum { BLOCK = 1 << 13 };  /* events of a thread at a time */

typedef struct {
    sg_phase_space space;
    uint64_t       seed, first;
    size_t         stride;
    int            is_float, stream, forward;
    const void    *in;      /* maps: (3 bodies - 4, n) or (4 bodies, n) */
    void          *out;     /* (4 bodies, n), or (3 bodies - 4, n) */
    void          *weight;  /* (n) or NULL */
} job;

static size_t generate_block(void *context, size_t from, size_t n, int thread)
{
    (void)thread;
    const job *j = context;
    if (j->is_float)
        return sg_phase_space_f32_now()->generate(n, j->stride, &j->space, j->seed, j->first + from, j->stream,
                                                  (float *)j->out + from, j->weight ? (float *)j->weight + from : NULL);
    return sg_phase_space_f64_now()->generate(n, j->stride, &j->space, j->seed, j->first + from, j->stream,
                                              (double *)j->out + from, j->weight ? (double *)j->weight + from : NULL);
}

#define MAP(table, real)                                                                                              \
    do {                                                                                                              \
        const real *in  = (const real *)j->in + from;                                                                 \
        real       *out = (real *)j->out + from;                                                                      \
        if (j->forward)                                                                                               \
            (table)->diet(n, j->stride, &j->space, in, out, (real *)j->weight + from);                                \
        else                                                                                                          \
            (table)->diet_inverse(n, j->stride, &j->space, in, out);                                                  \
    } while (0)

static size_t map_block(void *context, size_t from, size_t n, int thread)
{
    (void)thread;
    const job *j = context;
    if (j->is_float)
        MAP(sg_phase_space_f32_now(), float);
    else
        MAP(sg_phase_space_f64_now(), double);
    return n;
}

/* (mass, masses, method, weighted) */
static int space_from(PyObject *tuple, sg_phase_space *space)
{
    PyObject *masses;
    int       method;
    if (!PyTuple_Check(tuple)) {
        PyErr_Format(PyExc_TypeError, "space: expected a tuple (mass, masses, method, weighted), got %R", tuple);
        return -1;
    }
    if (!PyArg_ParseTuple(tuple, "dO!ip", &space->total, &PyTuple_Type, &masses, &method, &space->weighted))
        return -1;
    if (method != SG_RAUBOLD_LYNCH && method != SG_RAMBO) {
        PyErr_Format(PyExc_ValueError, "method: expected 0 or 1, got %d", method);
        return -1;
    }
    space->method = (sg_phase_space_method)method;
    space->bodies = (size_t)PyTuple_GET_SIZE(masses);
    for (size_t i = 0; i < space->bodies && i < SG_BODIES_MAX; i++) {
        space->mass[i] = PyFloat_AsDouble(PyTuple_GET_ITEM(masses, (Py_ssize_t)i));
        if (PyErr_Occurred())
            return -1;
    }
    sg_error  error  = {0};
    sg_status status = sg_events_phase_space_prepare(space, &error);
    if (status == SG_OK)
        return 0;
    sg_raise(status, &error);
    return -1;
}

static PyObject *phase_space_units(PyObject *self, PyObject *tuple)
{
    (void)self;
    sg_phase_space space = {0};
    return space_from(tuple, &space) ? NULL : Py_BuildValue("dd", space.unit, space.massless);
}

static PyObject *phase_space(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *tuple, *out_object, *weight_object;
    int       num_threads = 0;
    job       j           = {0};
    if (!PyArg_ParseTuple(arguments, "OO&O&OO|i", &tuple, sg_to_u64, &j.seed, sg_to_u64, &j.first, &out_object, &weight_object,
                          &num_threads) ||
        space_from(tuple, &j.space))
        return NULL;
    if (out_object == Py_None)
        return PyErr_Format(PyExc_TypeError, "out: expected a float32 or float64 array of shape (4 particles, n), got None");
    sg_dims dims = {0};
    int     type = sg_real_type(out_object);
    sg_dim_set(&dims, "columns", 4 * (npy_intp)j.space.bodies);
    PyArrayObject *out    = sg_array_out(&dims, out_object, "out", type, "columns n", 0);
    PyArrayObject *weight = NULL;
    if (!out || (weight_object != Py_None && !(weight = sg_array_out(&dims, weight_object, "weight", type, "n", 0))) ||
        (weight && sg_array_separate(out, "out", weight, "weight"))) {
        Py_XDECREF(out);
        Py_XDECREF(weight);
        return NULL;
    }
    size_t    n = (size_t)PyArray_DIM(out, 1), failed;
    sg_status status;
    sg_error  error = {0};
    j.is_float      = type == NPY_FLOAT;
    j.stride        = n;
    j.out           = PyArray_DATA(out);
    j.weight        = weight ? PyArray_DATA(weight) : NULL;
    j.stream        = (size_t)PyArray_NBYTES(out) >= SG_STREAM_BYTES;
    Py_BEGIN_ALLOW_THREADS
    status = sg_events_run(n, BLOCK, num_threads, generate_block, &j, &failed);
    Py_END_ALLOW_THREADS
    Py_XDECREF(weight);
    if (status == SG_OK)
        return (PyObject *)out;
    Py_DECREF(out);
    if (status == SG_ERR_VALUE)
        sg_fail(&error, status, "weighted", "event %llu: none of %d attempts was accepted; take weighted events",
                (unsigned long long)(j.first + failed), (int)SG_PHASE_SPACE_ATTEMPTS);
    return sg_raise(status, &error);
}

static PyObject *map(PyObject *arguments, int forward)
{
    PyObject *tuple, *in_object;
    int       num_threads = 0;
    job       j           = {.forward = forward};
    if (!PyArg_ParseTuple(arguments, "OO|i", &tuple, &in_object, &num_threads) || space_from(tuple, &j.space))
        return NULL;
    sg_dims dims = {0};
    int     type = sg_real_type(in_object);
    sg_dim_set(&dims, "numbers", 3 * (npy_intp)j.space.bodies - 4);
    sg_dim_set(&dims, "columns", 4 * (npy_intp)j.space.bodies);
    PyArrayObject *in     = sg_array_in(&dims, in_object, forward ? "u" : "momenta", type, forward ? "numbers n" : "columns n",
                                        SG_FINITE);
    PyArrayObject *out    = in ? sg_array_out(&dims, Py_None, "out", type, forward ? "columns n" : "numbers n", 0) : NULL;
    PyArrayObject *weight = out && forward ? sg_array_out(&dims, Py_None, "weight", type, "n", 0) : NULL;
    PyObject      *result = NULL;
    if (out && (weight || !forward)) {
        size_t    n = (size_t)PyArray_DIM(in, 1), failed;
        sg_status status;
        j.is_float = type == NPY_FLOAT;
        j.stride   = n;
        j.in       = PyArray_DATA(in);
        j.out      = PyArray_DATA(out);
        j.weight   = weight ? PyArray_DATA(weight) : NULL;
        Py_BEGIN_ALLOW_THREADS
        status = sg_events_run(n, BLOCK, num_threads, map_block, &j, &failed);
        Py_END_ALLOW_THREADS
        if (status != SG_OK)
            sg_raise(status, NULL);
        else
            result = forward ? PyTuple_Pack(2, out, weight) : Py_NewRef((PyObject *)out);
    }
    Py_XDECREF(in);
    Py_XDECREF(out);
    Py_XDECREF(weight);
    return result;
}

static PyObject *diet(PyObject *self, PyObject *arguments)
{
    (void)self;
    return map(arguments, 1);
}

static PyObject *diet_inverse(PyObject *self, PyObject *arguments)
{
    (void)self;
    return map(arguments, 0);
}

static PyMethodDef methods[] = {
    {"phase_space_units", phase_space_units, METH_O,
     "phase_space_units((mass, masses, method, weighted)) -> volume of a weight of 1, volume without masses\n\n"
     "Checks the arguments."},
    {"phase_space", phase_space, METH_VARARGS,
     "phase_space(space, seed, first, out, weight or None, num_threads=0) -> out\n\nEvents into out (4 particles, n), float32 or "
     "float64; weights of at most 1 into weight (n)."},
    {"rambo_diet", diet, METH_VARARGS,
     "rambo_diet(space, u, num_threads=0) -> momenta, weight\n\nFrom (3 particles - 4, n) to (4 particles, n) and (n)."},
    {"rambo_diet_inverse", diet_inverse, METH_VARARGS, "rambo_diet_inverse(space, momenta, num_threads=0) -> u"},
    {NULL, NULL, 0, NULL},
};

int sg_bind_phase_space(PyObject *module)
{
    return sg_bind_add(module, methods);
}
