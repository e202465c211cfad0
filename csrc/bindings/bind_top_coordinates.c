/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/events/top_coordinates and top_sampler. */
#include "bindings/bind_spline_chain.h"

#include "base/memory.h"
#include "base/threads.h"
#include "events/top_sampler.h"

static const char *const names[]      = {SG_TOP_NAMES};
static const size_t      n_features[] = {SG_TOP_FEATURES_OF_STEP};
_Static_assert(sizeof names / sizeof *names == SG_TOP_COORDINATES, "a name for each coordinate");
_Static_assert(sizeof n_features / sizeof *n_features == SG_TOP_COORDINATES, "features for each coordinate");

static PyObject *top_names(PyObject *self, PyObject *arguments)
{
    (void)self;
    (void)arguments;
    PyObject *list = PyList_New(SG_TOP_COORDINATES);
    for (Py_ssize_t i = 0; list && i < SG_TOP_COORDINATES; i++) {
        PyObject *pair = Py_BuildValue("(sn)", names[i], (Py_ssize_t)n_features[i]);
        if (!pair)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, pair);
    }
    return list;
}

static PyObject *top_encode(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *columns_object, *even_object;
    double    jet, lepton;
    if (!PyArg_ParseTuple(arguments, "OOdd", &columns_object, &even_object, &jet, &lepton))
        return NULL;
    sg_dims        dims = {0};
    PyObject      *result = NULL;
    PyArrayObject *columns = sg_array_in(&dims, columns_object, "columns", NPY_DOUBLE, "26 n", 0), *even = NULL, *out[3] = {0};
    if (!columns || !(even = sg_array_in(&dims, even_object, "even", NPY_DOUBLE, "4 n", 0)) ||
        !(out[0] = sg_array_out(&dims, Py_None, "coordinates", NPY_DOUBLE, "23 n", 0)) ||
        !(out[1] = sg_array_out(&dims, Py_None, "second", NPY_DOUBLE, "n", 0)) ||
        !(out[2] = sg_array_out(&dims, Py_None, "symmetries", NPY_DOUBLE, "3 n", 0)))
        goto done;
    const size_t n = (size_t)PyArray_DIM(columns, 1);
    Py_BEGIN_ALLOW_THREADS
    sg_top_f64_now()->encode(n, n, jet, lepton, PyArray_DATA(columns), PyArray_DATA(even), PyArray_DATA(out[0]), PyArray_DATA(out[1]),
                             PyArray_DATA(out[2]));
    Py_END_ALLOW_THREADS
    result = PyTuple_Pack(3, out[0], out[1], out[2]);
done:
    Py_XDECREF(columns);
    Py_XDECREF(even);
    for (int i = 0; i < 3; i++)
        Py_XDECREF(out[i]);
    return result;
}

static PyObject *top_features(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *coordinates_object, *second_object;
    double    jet, lepton;
    if (!PyArg_ParseTuple(arguments, "OOdd", &coordinates_object, &second_object, &jet, &lepton))
        return NULL;
    sg_dims        dims        = {0};
    PyArrayObject *coordinates = sg_array_in(&dims, coordinates_object, "coordinates", NPY_FLOAT, "23 n", 0), *second = NULL, *out = NULL;
    float         *state       = NULL;
    if (!coordinates || !(second = sg_array_in(&dims, second_object, "second", NPY_FLOAT, "n", 0)))
        goto done;
    const size_t n = (size_t)PyArray_DIM(coordinates, 1);
    state          = sg_alloc(sg_size_mul(SG_TOP_STATE * sizeof *state, n));
    if (!state) {
        PyErr_NoMemory();
        goto done;
    }
    sg_dim_set(&dims, "n_features", SG_TOP_FEATURES);
    out = sg_array_out(&dims, Py_None, "features", NPY_FLOAT, "n_features n", 0);
    if (out) {
        Py_BEGIN_ALLOW_THREADS
        for (size_t step = 0; step < SG_TOP_COORDINATES; step++)
            sg_top_f32_now()->features(step, n, n, (float)jet, (float)lepton, PyArray_DATA(coordinates), PyArray_DATA(second), state,
                                       PyArray_DATA(out));
        Py_END_ALLOW_THREADS
    }
done:
    sg_free(state);
    Py_XDECREF(coordinates);
    Py_XDECREF(second);
    return (PyObject *)out;
}

static PyObject *top_decode(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *object[3];
    double    jet, lepton;
    if (!PyArg_ParseTuple(arguments, "OOOdd", &object[0], &object[1], &object[2], &jet, &lepton))
        return NULL;
    static const char *const shape[] = {"23 n", "n", "3 n"}, *const name[] = {"coordinates", "second", "symmetries"};
    sg_dims        dims = {0};
    PyArrayObject *in[3] = {0}, *out = NULL;
    for (int i = 0; i < 3; i++)
        if (!(in[i] = sg_array_in(&dims, object[i], name[i], NPY_DOUBLE, shape[i], 0)))
            goto done;
    out = sg_array_out(&dims, Py_None, "columns", NPY_DOUBLE, "26 n", 0);
    if (out) {
        const size_t n = (size_t)PyArray_DIM(out, 1);
        Py_BEGIN_ALLOW_THREADS
        sg_top_f64_now()->decode(n, n, jet, lepton, PyArray_DATA(in[0]), PyArray_DATA(in[1]), PyArray_DATA(in[2]), n, PyArray_DATA(out));
        Py_END_ALLOW_THREADS
    }
done:
    for (int i = 0; i < 3; i++)
        Py_XDECREF(in[i]);
    return (PyObject *)out;
}

typedef struct sample_job {
    sg_top_sampler sampler;
    uint64_t       seed, first;
    size_t         n, bytes;
    double        *columns;
    uint8_t       *second;
    char          *workspace;
    sg_poll        poll;
} sample_job;

static int sample_block(void *context, size_t block, int thread)
{
    sample_job  *j    = context;
    const size_t from = block * SG_SPLINE_CHAIN_BLOCK, n = j->n - from < SG_SPLINE_CHAIN_BLOCK ? j->n - from : SG_SPLINE_CHAIN_BLOCK;
    sg_top_sampler_run(&j->sampler, j->seed, j->first + from, n, j->n, j->columns + from, j->second + from,
                       j->workspace + (size_t)thread * j->bytes);
    return thread == 0 && sg_poll_due(&j->poll, (double)from, (double)j->n);
}

static PyObject *top_sample(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject          *chain_object;
    double             share, jet, lepton, closest_jet, closest_lepton;
    unsigned long long seed, first;
    Py_ssize_t         n;
    int                num_threads = 0;
    if (!PyArg_ParseTuple(arguments, "OdddddKKn|i", &chain_object, &share, &jet, &lepton, &closest_jet, &closest_lepton, &seed, &first, &n,
                          &num_threads))
        return NULL;
    const sg_spline_chain *chain = sg_bind_spline_chain_of(chain_object, "chain");
    if (!chain)
        return NULL;
    sg_error   error  = {0};
    sample_job job    = {.sampler = {chain, share, jet, lepton, closest_jet, closest_lepton}, .seed = seed, .first = first, .n = (size_t)n};
    sg_status  status = sg_top_sampler_check(&job.sampler, &error);
    if (status != SG_OK)
        return sg_raise(status, &error);
    sg_dims dims = {0};
    sg_dim_set(&dims, "n", n);
    PyObject      *result  = NULL;
    PyArrayObject *columns = sg_array_out(&dims, Py_None, "columns", NPY_DOUBLE, "26 n", 0);
    PyArrayObject *second  = columns ? sg_array_out(&dims, Py_None, "second", NPY_UINT8, "n", 0) : NULL;
    if (!second)
        goto done;
    const size_t n_blocks = (job.n + SG_SPLINE_CHAIN_BLOCK - 1) / SG_SPLINE_CHAIN_BLOCK;
    const int    threads  = sg_threads_resolve(num_threads, n_blocks ? n_blocks : 1);
    job.columns           = PyArray_DATA(columns);
    job.second            = PyArray_DATA(second);
    job.bytes             = sg_top_sampler_workspace_bytes(&job.sampler);
    job.workspace         = sg_alloc(sg_size_mul(job.bytes, (size_t)threads));
    job.poll              = sg_python_poll(Py_None);
    if (!job.workspace) {
        PyErr_NoMemory();
        goto done;
    }
    int stop;
    Py_BEGIN_ALLOW_THREADS
    stop = sg_threads_blocks(n_blocks, threads, sample_block, &job);
    Py_END_ALLOW_THREADS
    result = stop ? sg_raise(SG_ERR_INTERRUPTED, NULL) : PyTuple_Pack(2, columns, second);
done:
    sg_free(job.workspace);
    Py_XDECREF(columns);
    Py_XDECREF(second);
    return result;
}

static PyMethodDef methods[] = {
    {"top_names", top_names, METH_NOARGS, "top_names() -> list of (name, number of features)"},
    {"top_encode", top_encode, METH_VARARGS,
     "top_encode(columns, even, least_jet, least_lepton) -> coordinates (23, n), second (n), symmetries (3, n)"},
    {"top_features", top_features, METH_VARARGS, "top_features(coordinates, second, least_jet, least_lepton) -> (126, n)"},
    {"top_decode", top_decode, METH_VARARGS,
     "top_decode(coordinates, second, symmetries, least_jet, least_lepton) -> columns (26, n)"},
    {"top_sample", top_sample, METH_VARARGS,
     "top_sample(chain, second_share, least_jet, least_lepton, closest_jet, closest_lepton, seed, first, n, num_threads=0)\n"
     "-> columns (26, n), second (n)"},
    {NULL, NULL, 0, NULL},
};

int sg_bind_top_coordinates(PyObject *module)
{
    return sg_bind_add(module, methods);
}
