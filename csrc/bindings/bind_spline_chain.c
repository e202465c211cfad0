/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/nn/spline_chain: the type SplineChain. */
#include "bindings/bind_spline_chain.h"

#include "base/memory.h"

typedef struct chain_object {
    PyObject_HEAD sg_spline_chain *chain;
} chain_object;

static PyTypeObject *chain_type; /* lives as long as the process */

const sg_spline_chain *sg_bind_spline_chain_of(PyObject *object, const char *name)
{
    if (Py_TYPE(object) == chain_type)
        return ((chain_object *)object)->chain;
    PyErr_Format(PyExc_TypeError, "%s: expected a SplineChain, got %.100s", name, Py_TYPE(object)->tp_name);
    return NULL;
}

/* What the steps borrow from while the chain is made. */
typedef struct borrowed {
    Py_ssize_t            n_steps, n_arrays;
    sg_spline_chain_step *steps;
    sg_dense_layer_f32   *layers;
    PyArrayObject       **arrays;
} borrowed;

static void give_back(borrowed *b)
{
    for (Py_ssize_t i = 0; b->arrays && i < b->n_arrays; i++)
        Py_XDECREF(b->arrays[i]);
    PyMem_Free(b->steps);
    PyMem_Free(b->layers);
    PyMem_Free(b->arrays);
}

static PyArrayObject *lend(borrowed *b, PyObject *object, const char *name, const char *shape)
{
    sg_dims dims = {0};
    return b->arrays[b->n_arrays++] = sg_array_in(&dims, object, name, NPY_FLOAT, shape, SG_FINITE | SG_NONEMPTY);
}

/* A step is (weights, biases, activation, bins, bound, knots, edge), the last layer being linear. */
static int read_step(borrowed *b, PyObject *item, Py_ssize_t k, sg_dense_layer_f32 *layers)
{
    PyObject   *weights, *biases, *knots_object;
    const char *activation;
    Py_ssize_t  bins;
    float       bound, edge;
    if (!PyTuple_Check(item)) {
        PyErr_Format(PyExc_TypeError, "steps[%zd]: expected a tuple, got %.100s", k, Py_TYPE(item)->tp_name);
        return -1;
    }
    if (!PyArg_ParseTuple(item, "O!O!snfOf;a step is (weights, biases, activation, bins, bound, knots, edge)", &PyTuple_Type, &weights,
                          &PyTuple_Type, &biases, &activation, &bins, &bound, &knots_object, &edge))
        return -1;
    const Py_ssize_t n    = PyTuple_GET_SIZE(weights);
    const int        kind = sg_activation_find(activation);
    if (kind < 0 || n < 1 || PyTuple_GET_SIZE(biases) != n || bins < 0) {
        PyErr_Format(PyExc_ValueError, "steps[%zd]: expected as many biases as weights, a known activation and bins >= 2", k);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyArrayObject *w = lend(b, PyTuple_GET_ITEM(weights, i), "weights", "n_in n_out");
        PyArrayObject *v = w ? lend(b, PyTuple_GET_ITEM(biases, i), "biases", "n_out") : NULL;
        if (!v)
            return -1;
        if (PyArray_DIM(v, 0) != PyArray_DIM(w, 1)) {
            PyErr_Format(PyExc_ValueError, "steps[%zd]: layer %zd has %zd outputs and %zd biases", k, i, PyArray_DIM(w, 1),
                         PyArray_DIM(v, 0));
            return -1;
        }
        const sg_activation act = i + 1 < n ? (sg_activation)kind : SG_ACTIVATION_linear;
        layers[i] = (sg_dense_layer_f32){(size_t)PyArray_DIM(w, 0), (size_t)PyArray_DIM(w, 1), PyArray_DATA(w), PyArray_DATA(v), act,
                                         sg_activation_parameter(act)};
    }
    PyArrayObject *knots = lend(b, knots_object, "knots", "n_knots");
    if (!knots)
        return -1;
    b->steps[k] = (sg_spline_chain_step){(size_t)n, layers, (size_t)bins, bound, (size_t)PyArray_DIM(knots, 0), PyArray_DATA(knots), edge};
    return 0;
}

static PyObject *chain_new(PyTypeObject *cls, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"steps", NULL};
    PyObject    *steps, *self = NULL;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O!:SplineChain", names, &PyList_Type, &steps))
        return NULL;
    borrowed b        = {.n_steps = PyList_GET_SIZE(steps)};
    size_t   n_layers = 0;
    for (Py_ssize_t k = 0; k < b.n_steps; k++) {
        PyObject *item    = PyList_GET_ITEM(steps, k);
        PyObject *weights = PyTuple_Check(item) && PyTuple_GET_SIZE(item) ? PyTuple_GET_ITEM(item, 0) : NULL;
        n_layers += weights && PyTuple_Check(weights) ? (size_t)PyTuple_GET_SIZE(weights) : 0;
    }
    b.steps  = PyMem_Calloc((size_t)b.n_steps + 1, sizeof *b.steps);
    b.layers = PyMem_Calloc(n_layers + 1, sizeof *b.layers);
    b.arrays = PyMem_Calloc(2 * n_layers + (size_t)b.n_steps + 1, sizeof *b.arrays);
    if (!b.steps || !b.layers || !b.arrays) {
        PyErr_NoMemory();
        goto done;
    }
    size_t used = 0;
    for (Py_ssize_t k = 0; k < b.n_steps; used += b.steps[k++].n_layers)
        if (read_step(&b, PyList_GET_ITEM(steps, k), k, b.layers + used))
            goto done;
    sg_spline_chain *chain  = NULL;
    sg_error         error  = {0};
    sg_status        status = sg_spline_chain_create((size_t)b.n_steps, b.steps, &chain, &error);
    if (status != SG_OK)
        sg_raise(status, &error);
    else if ((self = cls->tp_alloc(cls, 0)))
        ((chain_object *)self)->chain = chain;
    else
        sg_spline_chain_free(chain);
done:
    give_back(&b);
    return self;
}

static void chain_dealloc(chain_object *self)
{
    PyTypeObject *cls = Py_TYPE(self);
    sg_spline_chain_free(self->chain);
    cls->tp_free((PyObject *)self);
    Py_DECREF(cls);
}

static PyObject *chain_run(chain_object *self, PyObject *arguments)
{
    Py_ssize_t step;
    PyObject  *features_object, *normal_object;
    if (!PyArg_ParseTuple(arguments, "nOO", &step, &features_object, &normal_object))
        return NULL;
    if (step < 0 || (size_t)step >= sg_spline_chain_n_steps(self->chain))
        return PyErr_Format(PyExc_ValueError, "step: expected 0 to %zu, got %zd", sg_spline_chain_n_steps(self->chain) - 1, step);
    sg_dims dims = {0};
    sg_dim_set(&dims, "n_features", (npy_intp)sg_spline_chain_n_features(self->chain, (size_t)step));
    PyArrayObject *features  = sg_array_in(&dims, features_object, "features", NPY_FLOAT, "n_features n", 0), *normal = NULL, *out = NULL;
    void          *workspace = NULL;
    if (!features || !(normal = sg_array_in(&dims, normal_object, "normal", NPY_FLOAT, "n", 0)) ||
        !(out = sg_array_out(&dims, Py_None, "out", NPY_FLOAT, "n", 0)))
        goto done;
    const size_t bytes = sg_spline_chain_workspace_bytes(self->chain), n = (size_t)PyArray_DIM(normal, 0);
    workspace          = sg_alloc(bytes);
    if (!workspace) {
        PyErr_NoMemory();
        Py_CLEAR(out);
        goto done;
    }
    const float *f = PyArray_DATA(features), *z = PyArray_DATA(normal);
    float       *value = PyArray_DATA(out);
    Py_BEGIN_ALLOW_THREADS
    for (size_t i = 0; i < n; i += SG_SPLINE_CHAIN_BLOCK)
        sg_spline_chain_run(self->chain, (size_t)step, n - i < SG_SPLINE_CHAIN_BLOCK ? n - i : SG_SPLINE_CHAIN_BLOCK, n, f + i, z + i,
                            value + i, workspace);
    Py_END_ALLOW_THREADS
done:
    sg_free(workspace);
    Py_XDECREF(features);
    Py_XDECREF(normal);
    return (PyObject *)out;
}

static PyObject *chain_flops(chain_object *self, void *closure)
{
    (void)closure;
    const Py_ssize_t n    = (Py_ssize_t)sg_spline_chain_n_steps(self->chain);
    PyObject        *list = PyTuple_New(n);
    for (Py_ssize_t k = 0; list && k < n; k++) {
        PyObject *value = PyFloat_FromDouble(sg_spline_chain_flops(self->chain, (size_t)k));
        if (!value)
            Py_CLEAR(list);
        else
            PyTuple_SET_ITEM(list, k, value);
    }
    return list;
}

static PyMethodDef chain_methods[] = {
    {"run", SG_METHOD(chain_run), METH_VARARGS,
     "run(step, features (n_features, n), normal (n)) -> (n)\n\nOne number of each event, from normal numbers."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef chain_attributes[] = {
    {"flops", (getter)chain_flops, NULL, "operations of the network of each step, for one event", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot chain_slots[] = {
    {Py_tp_doc, "SplineChain(steps)\n\nConditional one-dimensional laws, one after another; immutable."},
    {Py_tp_new, chain_new},
    {Py_tp_dealloc, chain_dealloc},
    {Py_tp_methods, chain_methods},
    {Py_tp_getset, chain_attributes},
    {0, NULL},
};

static PyType_Spec chain_spec = {
    "simgraft._core.SplineChain", sizeof(chain_object), 0, Py_TPFLAGS_DEFAULT, chain_slots};

int sg_bind_spline_chain(PyObject *module)
{
    chain_type = (PyTypeObject *)PyType_FromSpec(&chain_spec);
    return chain_type ? PyModule_AddObjectRef(module, "SplineChain", (PyObject *)chain_type) : -1;
}
