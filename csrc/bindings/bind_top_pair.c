/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/events/top_pair. */
#include "bindings/bind_events.h"

#include <stdatomic.h>

#include "base/memory.h"
#include "base/threads.h"
#include "events/top_pair.h"
#include "events/vegas.h"

enum { BLOCK = SG_TOP_PAIR_BLOCK, COLUMNS = SG_TOP_PAIR_COLUMNS_OUT };

/* The process of a tuple of numbers and its table; a new reference to the table, NULL with an exception set. */
static PyArrayObject *process_from(PyObject *numbers, PyObject *table_object, int with_decays, sg_top_pair *t)
{
    int decays;
    *t = (sg_top_pair){0};
    if (!PyTuple_Check(numbers))
        return (PyArrayObject *)PyErr_Format(PyExc_TypeError, "process: expected a tuple, got %R", numbers);
    if (!PyArg_ParseTuple(numbers, "dddddddddddddiii", &t->energy, &t->mass, &t->width, &t->w_mass, &t->w_width, &t->b_mass, &t->cut,
                          &t->alpha_s, &t->leptonic, &t->jet_stochastic, &t->jet_constant, &t->lepton_resolution,
                          &t->met_resolution, &decays, &t->channels, &t->smear))
        return NULL;
    t->decays            = (sg_top_decays)decays;
    sg_dims        dims  = {0};
    PyArrayObject *table = sg_array_in(&dims, table_object, "pdf", NPY_FLOAT, "n_x 16", SG_FINITE);
    if (!table)
        return NULL;
    t->n_x           = (size_t)PyArray_DIM(table, 0);
    t->pdf           = PyArray_DATA(table);
    sg_error  error  = {0};
    sg_status status = sg_events_top_pair_prepare(t, &error);
    if (status == SG_OK && with_decays)
        status = sg_events_top_pair_prepare_decays(t, &error);
    if (status == SG_OK)
        return table;
    Py_DECREF(table);
    return (PyArrayObject *)sg_raise(status, &error);
}

static PyObject *top_pair_check(PyObject *self, PyObject *numbers)
{
    (void)self;
    npy_intp       shape[] = {2, SG_TOP_PAIR_ROW};
    sg_top_pair    process;
    PyObject      *table   = PyArray_ZEROS(2, shape, NPY_FLOAT, 0);
    PyArrayObject *checked = table ? process_from(numbers, table, 1, &process) : NULL;
    Py_XDECREF(table);
    if (!checked)
        return NULL;
    Py_DECREF(checked);
    Py_RETURN_NONE;
}

static PyObject *top_pair_integrate(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject  *numbers, *table_object, *edges_object;
    Py_ssize_t n_points, n_iterations, first;
    double     damping;
    uint64_t   seed;
    int        num_threads = 0;
    if (!PyArg_ParseTuple(arguments, "OOOnnndO&|i", &numbers, &table_object, &edges_object, &n_points, &n_iterations, &first,
                          &damping, sg_to_u64, &seed, &num_threads))
        return NULL;
    if (n_points < 2 || n_iterations < 1 || first < 0)
        return PyErr_Format(PyExc_ValueError, "n: expected at least 2 points in each iteration, got %zd", n_points);
    sg_top_pair    process;
    PyArrayObject *table = process_from(numbers, table_object, 0, &process), *edges = NULL, *out = NULL;
    sg_dims        dims  = {0};
    sg_error       error = {0};
    sg_status      status = SG_OK;
    npy_intp       shape[] = {n_iterations, 3, 2};
    if (table && (edges = sg_array_out(&dims, edges_object, "edges", NPY_DOUBLE, "3 n_edges", SG_NONEMPTY)) &&
        (out = (PyArrayObject *)PyArray_SimpleNew(3, shape, NPY_DOUBLE))) {
        sg_poll  poll = sg_python_poll(Py_None);
        sg_vegas run  = {.n_dim           = SG_TOP_PAIR_DIM,
                         .n_bins          = (size_t)PyArray_DIM(edges, 1) - 1,
                         .n_out           = 3,
                         .n_points        = (size_t)n_points,
                         .n_iterations    = (size_t)n_iterations,
                         .first_iteration = (size_t)first,
                         .damping         = damping,
                         .seed            = seed,
                         .num_threads     = num_threads,
                         .integrand       = sg_events_top_pair_integrand,
                         .context         = &process,
                         .poll            = &poll};
        double  *edge = PyArray_DATA(edges), *result = PyArray_DATA(out);
        Py_BEGIN_ALLOW_THREADS
        status = sg_events_vegas_run(&run, edge, result, &error);
        Py_END_ALLOW_THREADS
        if (status != SG_OK) {
            Py_CLEAR(out);
            sg_raise(status, &error);
        }
    }
    Py_XDECREF(table);
    Py_XDECREF(edges);
    return (PyObject *)out;
}

typedef struct {
    const sg_top_pair *process;
    sg_top_sampling    sampling;
    uint64_t           seed;
    size_t             n;
    const uint64_t    *number;
    int                is_float;
    void              *out;     /* (26, n) or NULL */
    double            *weight;  /* (n) */
    double            *work;    /* (threads, 26, BLOCK) of float columns */
    atomic_uint_least64_t attempts;
} job;

static size_t events_block(void *context, size_t from, size_t n, int thread)
{
    job     *j      = context;
    uint64_t tried  = 0;
    double  *work   = j->work + (size_t)thread * COLUMNS * BLOCK; /* not touched where the columns are double */
    double  *out    = !j->out ? NULL : j->is_float ? work : (double *)j->out + from;
    size_t   stride = j->is_float ? BLOCK : j->n;
    size_t   done   = sg_top_pair_f64_now()->events(n, stride, j->process, &j->sampling, j->seed, j->number + from, out,
                                                    j->weight + from, &tried);
    atomic_fetch_add(&j->attempts, tried);
    for (size_t k = 0; j->is_float && out && done == n && k < COLUMNS; k++)
        for (size_t i = 0; i < n; i++)
            ((float *)j->out)[k * j->n + from + i] = (float)work[k * BLOCK + i];
    return done;
}

static PyObject *top_pair_events(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *numbers, *table_object, *edges_object, *number_object, *out_object;
    int       num_threads = 0;
    job       j           = {0};
    if (!PyArg_ParseTuple(arguments, "OOOdO&OO|i", &numbers, &table_object, &edges_object, &j.sampling.w_max, sg_to_u64, &j.seed,
                          &number_object, &out_object, &num_threads))
        return NULL;
    sg_top_pair    process;
    sg_dims        dims  = {0};
    sg_error       error = {0};
    PyObject      *result = NULL;
    PyArrayObject *edges = NULL, *number = NULL, *out = NULL, *weight = NULL;
    PyArrayObject *table = process_from(numbers, table_object, out_object != Py_None, &process);
    double        *grid = NULL;
    j.is_float = PyArray_Check(out_object) && PyArray_TYPE((PyArrayObject *)out_object) == NPY_FLOAT;
    if (!table || !(edges = sg_array_in(&dims, edges_object, "edges", NPY_DOUBLE, "3 n_edges", SG_FINITE | SG_NONEMPTY)) ||
        !(number = sg_array_in(&dims, number_object, "event", NPY_UINT64, "n", 0)))
        goto done;
    if (out_object != Py_None &&
        !(out = sg_array_out(&dims, out_object, "out", j.is_float ? NPY_FLOAT : NPY_DOUBLE, "26 n", 0)))
        goto done;
    if (!(weight = sg_array_out(&dims, Py_None, "weight", NPY_DOUBLE, "n", 0)))
        goto done;
    j.n                    = (size_t)PyArray_DIM(number, 0);
    size_t n_blocks        = (j.n + BLOCK - 1) / BLOCK;
    int    threads         = sg_threads_resolve(num_threads, n_blocks);
    size_t n_bins          = (size_t)PyArray_DIM(edges, 1) - 1;
    sg_status status       = n_bins < 1 ? sg_fail(&error, SG_ERR_VALUE, "edges", "expected at least 2, got %zu", n_bins + 1)
                                        : sg_alloc_array(&grid, 6 * n_bins + (j.is_float ? (size_t)threads * COLUMNS * BLOCK : 0),
                                                         sizeof *grid, "grid and columns", &error);
    if (status == SG_OK) {
        const double *edge = PyArray_DATA(edges);
        for (size_t d = 0; d < 3; d++)
            for (size_t k = 0; k < n_bins; k++) {
                const double *e                = edge + d * (n_bins + 1) + k;
                grid[2 * (d * n_bins + k)]     = e[0];
                grid[2 * (d * n_bins + k) + 1] = e[1] - e[0];
            }
        j.process         = &process;
        j.sampling.n_bins = n_bins;
        j.sampling.grid   = grid;
        j.number          = PyArray_DATA(number);
        j.out             = out ? PyArray_DATA(out) : NULL;
        j.weight          = PyArray_DATA(weight);
        j.work            = grid + 6 * n_bins;
        size_t failed     = 0;
        Py_BEGIN_ALLOW_THREADS
        status = sg_events_run(j.n, BLOCK, threads, events_block, &j, &failed);
        Py_END_ALLOW_THREADS
        if (status == SG_ERR_VALUE)
            sg_fail(&error, status, "event", "%llu found no accepted point or no open decay in %d attempts",
                    (unsigned long long)j.number[failed], (int)SG_TOP_PAIR_MASSES);
    }
    if (status != SG_OK)
        sg_raise(status, &error);
    else
        result = Py_BuildValue("OK", weight, (unsigned long long)atomic_load(&j.attempts));
done:
    sg_free(grid);
    Py_XDECREF(table);
    Py_XDECREF(edges);
    Py_XDECREF(number);
    Py_XDECREF(out);
    Py_XDECREF(weight);
    return result;
}

static PyMethodDef methods[] = {
    {"top_pair_check", top_pair_check, METH_O, "top_pair_check(process)\n\nRaise what is wrong with the numbers of a process."},
    {"top_pair_integrate", top_pair_integrate, METH_VARARGS,
     "top_pair_integrate(process, pdf, edges, n_points, n_iterations, first_iteration, damping, seed, num_threads=0)\n\n"
     "(n_iterations, 3, 2): cross-section [pb] and its variance, all, g g and q qbar; edges (3, n_bins + 1) are moved."},
    {"top_pair_events", top_pair_events, METH_VARARGS,
     "top_pair_events(process, pdf, edges, w_max, seed, event, out or None, num_threads=0) -> weight, attempts\n\n"
     "Columns into out (26, n), float32 or float64; w_max = 0 [pb]: weighted events."},
    {NULL, NULL, 0, NULL},
};

int sg_bind_top_pair(PyObject *module)
{
    return sg_bind_add(module, methods);
}
