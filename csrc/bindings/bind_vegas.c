/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/events/vegas for integrands in Python. */
#include "bindings/convert.h"

#include "events/vegas.h"

typedef struct {
    PyObject *function;
    npy_intp  n_dim;
    int       raised;
} call;

/* One block of points: a new array for each, because the function may keep it. */
static sg_status integrand(void *context, size_t n, const double *x, double *f, sg_error *error)
{
    call          *c      = context;
    npy_intp       shape[] = {c->n_dim, (npy_intp)n};
    sg_dims        dims    = {0};
    PyArrayObject *points  = (PyArrayObject *)PyArray_SimpleNew(2, shape, NPY_DOUBLE), *values = NULL;
    PyObject      *result  = NULL;
    if (points) {
        memcpy(PyArray_DATA(points), x, (size_t)c->n_dim * n * sizeof *x);
        result = PyObject_CallOneArg(c->function, (PyObject *)points);
    }
    if (result) {
        sg_dim_set(&dims, "n_points", shape[1]);
        values = sg_array_in(&dims, result, "integrand", NPY_DOUBLE, "n_points", 0);
    }
    if (values)
        memcpy(f, PyArray_DATA(values), n * sizeof *f);
    c->raised = !values;
    Py_XDECREF(points);
    Py_XDECREF(result);
    Py_XDECREF(values);
    return c->raised ? sg_fail(error, SG_ERR_VALUE, "integrand", "raised an exception") : SG_OK;
}

static PyObject *vegas_run(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject  *function, *edges_object;
    Py_ssize_t n_points, n_iterations, first;
    double     damping;
    uint64_t   seed;
    if (!PyArg_ParseTuple(arguments, "OOnnndO&", &function, &edges_object, &n_points, &n_iterations, &first, &damping,
                          sg_to_u64, &seed))
        return NULL;
    if (n_points < 2 || n_iterations < 1 || first < 0)
        return PyErr_Format(PyExc_ValueError, "n_points, n_iterations: expected at least 2 and 1, got %zd and %zd", n_points,
                            n_iterations);
    sg_dims        dims  = {0};
    PyArrayObject *edges = sg_array_out(&dims, edges_object, "edges", NPY_DOUBLE, "n_dim n_edges", SG_NONEMPTY), *out = NULL;
    if (!edges)
        return NULL;
    npy_intp shape[] = {n_iterations, 2};
    sg_error error   = {0};
    call     context = {function, PyArray_DIM(edges, 0), 0};
    out              = (PyArrayObject *)PyArray_SimpleNew(2, shape, NPY_DOUBLE);
    sg_status status = SG_OK;
    if (out) {
        sg_poll  poll = sg_python_poll(Py_None);
        sg_vegas run  = {.n_dim           = (size_t)PyArray_DIM(edges, 0),
                         .n_bins          = (size_t)PyArray_DIM(edges, 1) - 1,
                         .n_out           = 1,
                         .n_points        = (size_t)n_points,
                         .n_iterations    = (size_t)n_iterations,
                         .first_iteration = (size_t)first,
                         .damping         = damping,
                         .seed            = seed,
                         .num_threads     = 1, /* the function needs the GIL, which stays taken */
                         .integrand       = integrand,
                         .context         = &context,
                         .poll            = &poll};
        status = sg_events_vegas_run(&run, PyArray_DATA(edges), PyArray_DATA(out), &error);
    }
    Py_DECREF(edges);
    if (status != SG_OK || PyErr_Occurred()) {
        Py_XDECREF(out);
        return context.raised || PyErr_Occurred() ? NULL : sg_raise(status, &error);
    }
    return (PyObject *)out;
}

static PyMethodDef methods[] = {
    {"vegas_run", vegas_run, METH_VARARGS,
     "vegas_run(function, edges, n_points, n_iterations, first_iteration, damping, seed) -> (n_iterations, 2)\n\n"
     "Integral and variance of each iteration; edges (n_dim, n_bins + 1) are moved."},
    {NULL, NULL, 0, NULL},
};

int sg_bind_vegas(PyObject *module)
{
    return sg_bind_add(module, methods);
}
