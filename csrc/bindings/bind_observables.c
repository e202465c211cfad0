/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/events/observables. */
#include "bindings/convert.h"

#include "base/threads.h"
#include "events/observables.h"

enum { EVENTS = 1024 }; /* of a thread's block */

typedef enum { SYSTEM, TWO_BODY, DILEPTON, TOP_PAIR } what;

static const struct {
    const char *name, *shape;
    npy_intp    rows;
} kinds[] = {
    [SYSTEM]   = {"system", "columns n", SG_SYSTEM_COLUMNS},
    [TWO_BODY] = {"two_body", "10 n", SG_TWO_BODY_COLUMNS},
    [DILEPTON] = {"dilepton", "16 n", SG_DILEPTON_COLUMNS},
    [TOP_PAIR] = {"top_pair", "26 n", SG_TOP_PAIR_COLUMNS},
};

static const char *const two_body_names[] = {SG_TWO_BODY_COMPOSITES};
static const char *const dilepton_names[] = {SG_DILEPTON_COMPOSITES};
static const char *const top_pair_names[] = {SG_TOP_PAIR_COMPOSITES};
_Static_assert(sizeof two_body_names / sizeof *two_body_names == SG_TWO_BODY_COLUMNS, "a name for each column");
_Static_assert(sizeof dilepton_names / sizeof *dilepton_names == SG_DILEPTON_COLUMNS, "a name for each column");
_Static_assert(sizeof top_pair_names / sizeof *top_pair_names == SG_TOP_PAIR_COLUMNS, "a name for each column");

typedef struct {
    what           kind;
    sg_coordinates coordinates;
    int            is_float;
    size_t         n, n_objects;
    const int64_t *index;
    const void    *columns;
    void          *out;
    sg_poll        poll;
} observables_job;

#define RUN(table, real)                                                                                     \
    do {                                                                                                     \
        const real *columns = (const real *)j->columns + from;                                               \
        real       *out     = (real *)j->out + from;                                                         \
        switch (j->kind) {                                                                                   \
        case SYSTEM: (table)->system(n, j->n, columns, j->coordinates, j->n_objects, j->index, out); break;  \
        case TWO_BODY: (table)->two_body(n, j->n, columns, out); break;                                      \
        case DILEPTON: (table)->dilepton(n, j->n, columns, out); break;                                      \
        case TOP_PAIR: (table)->top_pair(n, j->n, columns, out); break;                                      \
        }                                                                                                    \
    } while (0)

static int observables_block(void *context, size_t block, int thread)
{
    observables_job *j    = context;
    size_t           from = block * EVENTS, n = j->n - from < EVENTS ? j->n - from : EVENTS;
    if (j->is_float)
        RUN(sg_observables_f32_now(), float);
    else
        RUN(sg_observables_f64_now(), double);
    return thread == 0 && sg_poll_due(&j->poll, (double)from, (double)j->n);
}

static PyObject *run(what kind, sg_coordinates coordinates, PyObject *object, PyObject *index_object, int num_threads)
{
    sg_dims        dims = {0};
    int            type = sg_real_type(object);
    PyArrayObject *index = NULL, *out = NULL, *columns = sg_array_in(&dims, object, "values", type, kinds[kind].shape, 0);
    if (!columns || (!(index = sg_array_in(&dims, index_object, "index", NPY_INT64, "k 4", SG_OPTIONAL)) && PyErr_Occurred()))
        goto done;
    for (npy_intp i = 0; index && i < PyArray_SIZE(index); i++) {
        int64_t at = ((const int64_t *)PyArray_DATA(index))[i];
        if (at < 0 || at >= PyArray_DIM(columns, 0)) {
            PyErr_Format(PyExc_ValueError, "index: expected 0 to %zd, got %lld", PyArray_DIM(columns, 0) - 1, (long long)at);
            goto done;
        }
    }
    sg_dim_set(&dims, "rows", kinds[kind].rows);
    out = sg_array_out(&dims, Py_None, "out", type, "rows n", 0);
    if (out) {
        observables_job job = {.kind        = kind,
                               .coordinates = coordinates,
                               .is_float    = type == NPY_FLOAT,
                               .n           = (size_t)PyArray_DIM(columns, 1),
                               .n_objects   = index ? (size_t)PyArray_DIM(index, 0) : 0,
                               .index       = index ? PyArray_DATA(index) : NULL,
                               .columns     = PyArray_DATA(columns),
                               .out         = PyArray_DATA(out),
                               .poll        = sg_python_poll(Py_None)};
        size_t n_blocks = (job.n + EVENTS - 1) / EVENTS;
        int    stop;
        Py_BEGIN_ALLOW_THREADS
        stop = sg_threads_blocks(n_blocks, sg_threads_resolve(num_threads, n_blocks), observables_block, &job);
        Py_END_ALLOW_THREADS
        if (stop) {
            Py_CLEAR(out);
            sg_raise(SG_ERR_INTERRUPTED, NULL);
        }
    }
done:
    Py_XDECREF(index);
    Py_XDECREF(columns);
    return (PyObject *)out;
}

static PyObject *event_composites(PyObject *self, PyObject *arguments)
{
    (void)self;
    const char *name;
    PyObject   *values;
    int         num_threads = 0;
    if (!PyArg_ParseTuple(arguments, "sO|i", &name, &values, &num_threads))
        return NULL;
    for (what kind = TWO_BODY; kind <= TOP_PAIR; kind++)
        if (strcmp(name, kinds[kind].name) == 0)
            return run(kind, SG_CARTESIAN, values, Py_None, num_threads);
    return PyErr_Format(PyExc_ValueError, "name: expected two_body, dilepton or top_pair, got %s", name);
}

static PyObject *event_system(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *values, *index;
    int       detector, num_threads = 0;
    if (!PyArg_ParseTuple(arguments, "OpO|i", &values, &detector, &index, &num_threads))
        return NULL;
    return run(SYSTEM, detector ? SG_DETECTOR : SG_CARTESIAN, values, index, num_threads);
}

static PyObject *event_separation(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *object[4];
    if (!PyArg_ParseTuple(arguments, "OOOO", &object[0], &object[1], &object[2], &object[3]))
        return NULL;
    static const char *const names[] = {"eta_a", "phi_a", "eta_b", "phi_b"};
    int            type = sg_real_type(object[0]);
    sg_dims        dims = {0};
    PyArrayObject *in[4] = {0}, *out = NULL;
    for (int i = 0; i < 4; i++)
        if (!(in[i] = sg_array_in(&dims, object[i], names[i], type, "n", 0)))
            goto done;
    out = sg_array_out(&dims, Py_None, "out", type, "2 n", 0);
    if (out) {
        size_t n = (size_t)PyArray_DIM(out, 1);
        Py_BEGIN_ALLOW_THREADS
        if (type == NPY_FLOAT)
            sg_observables_f32_now()->separation(n, PyArray_DATA(in[0]), PyArray_DATA(in[1]), PyArray_DATA(in[2]),
                                                 PyArray_DATA(in[3]), PyArray_DATA(out), (float *)PyArray_DATA(out) + n);
        else
            sg_observables_f64_now()->separation(n, PyArray_DATA(in[0]), PyArray_DATA(in[1]), PyArray_DATA(in[2]),
                                                 PyArray_DATA(in[3]), PyArray_DATA(out), (double *)PyArray_DATA(out) + n);
        Py_END_ALLOW_THREADS
    }
done:
    for (int i = 0; i < 4; i++)
        Py_XDECREF(in[i]);
    return (PyObject *)out;
}

static PyObject *event_composite_names(PyObject *self, PyObject *name_object)
{
    (void)self;
    const char *name = PyUnicode_Check(name_object) ? PyUnicode_AsUTF8(name_object) : "";
    const char *const *names = !name ? NULL : strcmp(name, "two_body") == 0 ? two_body_names : strcmp(name, "dilepton") == 0 ? dilepton_names
                                              : strcmp(name, "top_pair") == 0 ? top_pair_names : NULL;
    npy_intp n = names == two_body_names ? SG_TWO_BODY_COLUMNS : names == dilepton_names ? SG_DILEPTON_COLUMNS : SG_TOP_PAIR_COLUMNS;
    if (!names)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "name: expected two_body, dilepton or top_pair, got %R", name_object);
    PyObject *list = PyList_New(n);
    for (npy_intp i = 0; list && i < n; i++) {
        PyObject *text = PyUnicode_FromString(names[i]);
        if (!text)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i, text);
    }
    return list;
}

static PyMethodDef methods[] = {
    {"event_composites", event_composites, METH_VARARGS,
     "event_composites(name, values, num_threads=0) -> (k, n)\n\nComposite quantities of the columns of events."},
    {"event_composite_names", event_composite_names, METH_O, "event_composite_names(name) -> list of \"name unit\""},
    {"event_system", event_system, METH_VARARGS,
     "event_system(values, detector, index, num_threads=0) -> (7, n)\n\nE, px, py, pz, mass, pT, rapidity of a sum of objects."},
    {"event_separation", event_separation, METH_VARARGS,
     "event_separation(eta_a, phi_a, eta_b, phi_b) -> (2, n): |delta phi|, Delta R"},
    {NULL, NULL, 0, NULL},
};

int sg_bind_observables(PyObject *module)
{
    return sg_bind_add(module, methods);
}
