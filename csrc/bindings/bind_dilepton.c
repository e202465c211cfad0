/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/events/dilepton. The front end (simgraft.events.dilepton) has checked the physics. */
#include "bindings/bind_events.h"

#include "events/dilepton.h"

enum { BLOCK = 1 << 13, AT_ONCE = 16 };  /* events, and energies, of a thread at a time */

/* A tuple (energy, spread, mass, width, running, alpha, sin2, kappa, order, least, electron, muon, flavours). */
static int process_from(PyObject *tuple, sg_dilepton *p)
{
    if (!PyTuple_Check(tuple)) {
        PyErr_Format(PyExc_TypeError, "process: expected a tuple of 13 numbers, got %R", tuple);
        return 0;
    }
    return PyArg_ParseTuple(tuple, "ddddpdddidddi", &p->energy, &p->spread, &p->mass, &p->width, &p->running, &p->alpha, &p->sin2,
                            &p->kappa, &p->order, &p->least, &p->lepton[0], &p->lepton[1], &p->flavours);
}

typedef struct {
    sg_dilepton   process;
    const double *energy;  /* (n) */
    double       *out;     /* (n, 3) or (n, SG_RADIATION_ROW) */
} energies_job;

static size_t total_block(void *context, size_t from, size_t n, int thread)
{
    (void)thread;
    const energies_job *j = context;
    for (size_t i = from; i < from + n; i++)
        sg_events_dilepton_total(&j->process, j->energy[i], j->out + 3 * i);
    return n;
}

static size_t row_block(void *context, size_t from, size_t n, int thread)
{
    (void)thread;
    const energies_job *j = context;
    for (size_t i = from; i < from + n; i++)
        sg_events_dilepton_row(&j->process, j->energy[i], j->out + SG_RADIATION_ROW * i);
    return n;
}

static PyObject *of_energies(PyObject *arguments, size_t (*block)(void *, size_t, size_t, int), npy_intp columns)
{
    PyObject    *process, *energy_object;
    energies_job j           = {0};
    int          num_threads = 0;
    sg_dims      dims        = {0};
    if (!PyArg_ParseTuple(arguments, "OO|i", &process, &energy_object, &num_threads) || !process_from(process, &j.process))
        return NULL;
    PyArrayObject *energy = sg_array_in(&dims, energy_object, "energy", NPY_DOUBLE, "n", SG_FINITE), *out = NULL;
    if (!energy)
        return NULL;
    sg_dim_set(&dims, "columns", columns);
    out = sg_array_out(&dims, Py_None, "out", NPY_DOUBLE, "n columns", 0);
    if (out) {
        sg_status status;
        size_t    failed, n = (size_t)PyArray_DIM(energy, 0);
        j.energy = PyArray_DATA(energy);
        j.out    = PyArray_DATA(out);
        Py_BEGIN_ALLOW_THREADS
        status = sg_events_run(n, AT_ONCE, num_threads, block, &j, &failed);
        Py_END_ALLOW_THREADS
        if (status != SG_OK) {
            Py_CLEAR(out);
            sg_raise(status, NULL);
        }
    }
    Py_DECREF(energy);
    return (PyObject *)out;
}

static PyObject *dilepton_total(PyObject *self, PyObject *arguments)
{
    (void)self;
    return of_energies(arguments, total_block, 3);
}

static PyObject *dilepton_rows(PyObject *self, PyObject *arguments)
{
    (void)self;
    return of_energies(arguments, row_block, SG_RADIATION_ROW);
}

static PyObject *dilepton_radiator(PyObject *self, PyObject *arguments)
{
    (void)self;
    int       order;
    double    s;
    PyObject *x_object;
    sg_dims   dims = {0};
    if (!PyArg_ParseTuple(arguments, "idO", &order, &s, &x_object))
        return NULL;
    PyArrayObject *x = sg_array_in(&dims, x_object, "x", NPY_DOUBLE, "n", SG_FINITE), *out = NULL;
    if (x)
        out = sg_array_out(&dims, Py_None, "out", NPY_DOUBLE, "n", 0);
    for (npy_intp i = 0; out && i < PyArray_DIM(x, 0); i++)
        ((double *)PyArray_DATA(out))[i] = sg_events_radiator(order, s, ((const double *)PyArray_DATA(x))[i]);
    Py_XDECREF(x);
    return (PyObject *)out;
}

static PyObject *dilepton_spread(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject   *process, *rows_object;
    double      first, step;
    sg_dilepton p    = {0};
    sg_dims     dims = {0};
    if (!PyArg_ParseTuple(arguments, "OOdd", &process, &rows_object, &first, &step) || !process_from(process, &p))
        return NULL;
    sg_dim_set(&dims, "row", SG_RADIATION_ROW);
    sg_dim_set(&dims, "table", SG_SPREAD_SIZE);
    PyArrayObject *rows = sg_array_in(&dims, rows_object, "rows", NPY_DOUBLE, "n row", SG_OPTIONAL), *out = NULL;
    if (!rows && PyErr_Occurred())
        return NULL;
    if (rows && PyArray_DIM(rows, 0) < 4)
        PyErr_Format(PyExc_ValueError, "rows: expected at least 4, got %zd", PyArray_DIM(rows, 0));
    else if ((out = sg_array_out(&dims, Py_None, "out", NPY_DOUBLE, "table", 0)))
        sg_events_dilepton_spread(&p, rows ? (size_t)PyArray_DIM(rows, 0) : 0, rows ? PyArray_DATA(rows) : NULL, first, step,
                                  PyArray_DATA(out));
    Py_XDECREF(rows);
    return (PyObject *)out;
}

typedef struct {
    sg_dilepton process;
    uint64_t    seed, first;
    size_t      stride, n_rows;
    int         is_float, stream;
    const void *energy, *spread, *rows;
    double      row_first, row_step;
    void       *out;
} pairs_job;

static size_t pairs_block(void *context, size_t from, size_t n, int thread)
{
    (void)thread;
    const pairs_job *j = context;
#define RUN(now, real)                                                                                                      \
    now()->pairs(n, j->stride, &j->process, j->seed, j->first + from, j->stream,                                            \
                 j->energy ? (const real *)j->energy + from : NULL, j->spread, j->n_rows, j->rows, j->row_first, j->row_step, \
                 (real *)j->out + from)
    if (j->is_float)
        RUN(sg_dilepton_f32_now, float);
    else
        RUN(sg_dilepton_f64_now, double);
#undef RUN
    return n;
}

static PyObject *dilepton(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *process, *object[4]; /* energy, spread, rows, out */
    int       num_threads = 0;
    pairs_job j           = {0};
    sg_dims   dims        = {0};
    if (!PyArg_ParseTuple(arguments, "OO&O&OOOddO|i", &process, sg_to_u64, &j.seed, sg_to_u64, &j.first, &object[0], &object[1],
                          &object[2], &j.row_first, &j.row_step, &object[3], &num_threads) ||
        !process_from(process, &j.process))
        return NULL;
    if (object[3] == Py_None)
        return PyErr_Format(PyExc_TypeError, "out: expected a float32 or float64 array of shape (16, n), got None");
    int            type = sg_real_type(object[3]);
    PyArrayObject *out = NULL, *array[3] = {0};
    sg_status      status = SG_OK;
    size_t         failed;
    sg_dim_set(&dims, "row", SG_RADIATION_ROW);
    sg_dim_set(&dims, "table", SG_SPREAD_SIZE);
    static const char *const name[] = {"energy", "spread", "rows"}, *const shape[] = {"n", "table", "n_rows row"};
    if (!(out = sg_array_out(&dims, object[3], "out", type, "16 n", 0)))
        return NULL;
    for (int i = 0; i < 3; i++)
        if (!(array[i] = sg_array_in(&dims, object[i], name[i], type, shape[i], SG_OPTIONAL)) && PyErr_Occurred())
            goto done;
    j.is_float = type == NPY_FLOAT;
    j.stride   = (size_t)PyArray_DIM(out, 1);
    j.stream   = (size_t)PyArray_NBYTES(out) > SG_STREAM_BYTES;
    j.out      = PyArray_DATA(out);
    j.energy   = array[0] ? PyArray_DATA(array[0]) : NULL;
    j.spread   = array[1] ? PyArray_DATA(array[1]) : NULL;
    j.rows     = array[2] ? PyArray_DATA(array[2]) : NULL;
    j.n_rows   = array[2] ? (size_t)PyArray_DIM(array[2], 0) : 0;
    if (array[2] && (j.n_rows < 1 || j.n_rows > SG_RADIATION_ROWS)) {
        PyErr_Format(PyExc_ValueError, "rows: expected 1 to %d, got %zu", (int)SG_RADIATION_ROWS, j.n_rows);
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    status = sg_events_run(j.stride, BLOCK, num_threads, pairs_block, &j, &failed);
    Py_END_ALLOW_THREADS
    if (status != SG_OK)
        sg_raise(status, NULL);
done:
    for (int i = 0; i < 3; i++)
        Py_XDECREF(array[i]);
    if (PyErr_Occurred())
        Py_CLEAR(out);
    return (PyObject *)out;
}

static PyMethodDef methods[] = {
    {"dilepton_total", dilepton_total, METH_VARARGS,
     "dilepton_total(process, energy (n), num_threads=0) -> (n, 3): cross-section and its error [nb], asymmetry"},
    {"dilepton_rows", dilepton_rows, METH_VARARGS, "dilepton_rows(process, energy (n), num_threads=0) -> (n, row): tables of radiation"},
    {"dilepton_radiator", dilepton_radiator, METH_VARARGS, "dilepton_radiator(order, s, x (n)) -> (n)"},
    {"dilepton_spread", dilepton_spread, METH_VARARGS,
     "dilepton_spread(process, rows or None, first, step) -> table of the energy of the collision"},
    {"dilepton", dilepton, METH_VARARGS,
     "dilepton(process, seed, first, energy or None, spread or None, rows or None, row_first, row_step, out, num_threads=0) -> out"
     "\n\nEvents into out (16, n), float32 or float64; energy, spread and rows of the same precision."},
    {NULL, NULL, 0, NULL},
};

int sg_bind_dilepton(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "DILEPTON_ROWS", SG_RADIATION_ROWS) < 0)
        return -1;
    return sg_bind_add(module, methods);
}
