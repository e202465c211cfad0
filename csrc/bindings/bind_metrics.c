/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/metrics. */
#include "bindings/convert.h"

#include "base/memory.h"
#include "base/threads.h"
#include "metrics/metrics.h"

enum { ROWS = 1024 };  /* rows between two looks at Ctrl-C, and of a thread's block */

static size_t at_most(size_t rows, size_t n, size_t from) { return n - from < rows ? n - from : rows; }
static size_t block_rows(size_t n, size_t from) { return at_most(ROWS, n, from); }

/* Row weights: (n) float64 >= 0 or None. -1 on failure. */
static int weight_in(sg_dims *dims, PyObject *object, PyArrayObject **weight)
{
    *weight = sg_array_in(dims, object, "weight", NPY_DOUBLE, "n", SG_FINITE | SG_OPTIONAL);
    if (!*weight)
        return PyErr_Occurred() ? -1 : 0;
    const double *w = PyArray_DATA(*weight);
    for (npy_intp i = 0; i < PyArray_SIZE(*weight); i++)
        if (w[i] < 0) {
            PyObject *value = PyFloat_FromDouble(w[i]);
            PyErr_Format(PyExc_ValueError, "weight[%zd]: expected a number >= 0, got %R", i, value);
            Py_XDECREF(value);
            Py_CLEAR(*weight);
            return -1;
        }
    return 0;
}

#define MAX_STATE 6
typedef struct {
    PyArrayObject *array[MAX_STATE];
} state_arrays;

static void *data_of(PyArrayObject *array) { return array ? PyArray_DATA(array) : NULL; }

static void release(state_arrays *state)
{
    for (int i = 0; i < MAX_STATE; i++)
        Py_CLEAR(state->array[i]);
}

/* Takes the arrays of a state from a tuple; shapes: one specification per array, None allowed for the last if optional_last. */
static int state_in(sg_dims *dims, PyObject *tuple, const char *const *names, const char *const *shapes, int n,
                    int optional_last, state_arrays *state)
{
    memset(state, 0, sizeof *state);
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != n) {
        PyErr_Format(PyExc_TypeError, "state: expected a tuple of %d arrays", n);
        return -1;
    }
    for (int i = 0; i < n; i++) {
        PyObject *object = PyTuple_GET_ITEM(tuple, i);
        if (object == Py_None && optional_last && i == n - 1)
            continue;
        if (object == Py_None) {
            PyErr_Format(PyExc_TypeError, "%s: expected an array, got None", names[i]);
            release(state);
            return -1;
        }
        state->array[i] = sg_array_out(dims, object, names[i], NPY_DOUBLE, shapes[i], 0);
        if (!state->array[i]) {
            release(state);
            return -1;
        }
    }
    return 0;
}

static const char *const moment_names[]  = {"total", "mean", "square", "low", "high", "product"};
static const char *const moment_shapes[] = {"2", "m", "m", "m", "m", "m m"};
static const char *const error_names[]   = {"total", "sum", "absolute", "square", "largest"};
static const char *const error_shapes[]  = {"2", "m", "m", "m", "m"};

static sg_moments moments_of(const state_arrays *state)
{
    return (sg_moments){data_of(state->array[0]), data_of(state->array[1]), data_of(state->array[2]),
                        data_of(state->array[3]), data_of(state->array[4]), data_of(state->array[5])};
}

static PyObject *moments_update(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *x_object, *weight_object, *state_object;
    if (!PyArg_ParseTuple(arguments, "OOO", &x_object, &weight_object, &state_object))
        return NULL;
    sg_dims        dims = {0};
    state_arrays   held = {0};
    PyArrayObject *weight = NULL, *x = sg_array_in(&dims, x_object, "x", sg_real_type(x_object), "n m", SG_FINITE);
    double        *work   = NULL;
    PyObject      *result = NULL;
    if (!x || weight_in(&dims, weight_object, &weight) ||
        state_in(&dims, state_object, moment_names, moment_shapes, 6, 1, &held))
        goto done;
    size_t     n = (size_t)PyArray_DIM(x, 0), m = (size_t)PyArray_DIM(x, 1);
    sg_error   error = {0};
    sg_status  status = sg_alloc_array(&work, 2 * m, sizeof *work, "x", &error);
    if (status != SG_OK) {
        sg_raise(status, &error);
        goto done;
    }
    const void           *data  = PyArray_DATA(x);
    const double         *w     = data_of(weight);
    int                   is_f  = PyArray_TYPE(x) == NPY_FLOAT, stop = 0;
    sg_moments            state = moments_of(&held);
    const sg_metrics_f32 *f32   = sg_metrics_f32_now();
    const sg_metrics_f64 *f64   = sg_metrics_f64_now();
    sg_poll               poll  = sg_python_poll(Py_None);
    size_t                cost  = (m + 1) * (state.product ? m + 1 : 1), rows = cost < 4000 ? ROWS : 4000000 / cost + 1;
    Py_BEGIN_ALLOW_THREADS
    for (size_t i = 0; i < n && !stop; i += rows) {
        if (is_f)
            f32->moments(at_most(rows, n, i), m, (const float *)data + i * m, w ? w + i : NULL, work, state);
        else
            f64->moments(at_most(rows, n, i), m, (const double *)data + i * m, w ? w + i : NULL, work, state);
        stop = sg_poll_due(&poll, (double)i, (double)n);
    }
    Py_END_ALLOW_THREADS
    result = stop ? sg_raise(SG_ERR_INTERRUPTED, NULL) : Py_NewRef(Py_None);
done:
    sg_free(work);
    release(&held);
    Py_XDECREF(weight);
    Py_XDECREF(x);
    return result;
}

static PyObject *moments_merge(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *state_object, *other_object;
    if (!PyArg_ParseTuple(arguments, "OO", &state_object, &other_object))
        return NULL;
    sg_dims      dims = {0};
    state_arrays state, other;
    if (state_in(&dims, state_object, moment_names, moment_shapes, 6, 1, &state))
        return NULL;
    if (state_in(&dims, other_object, moment_names, moment_shapes, 6, 1, &other)) {
        release(&state);
        return NULL;
    }
    sg_metrics_moments_merge((size_t)sg_dim(&dims, "m"), moments_of(&state), moments_of(&other));
    release(&state);
    release(&other);
    Py_RETURN_NONE;
}

static PyObject *errors_update(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *prediction_object, *truth_object, *weight_object, *state_object;
    if (!PyArg_ParseTuple(arguments, "OOOO", &prediction_object, &truth_object, &weight_object, &state_object))
        return NULL;
    sg_dims        dims = {0};
    state_arrays   held = {0};
    int            type = sg_real_type(prediction_object);
    PyArrayObject *weight = NULL, *truth = NULL;
    PyArrayObject *prediction = sg_array_in(&dims, prediction_object, "prediction", type, "n m", 0);
    PyObject      *result     = NULL;
    if (!prediction || !(truth = sg_array_in(&dims, truth_object, "truth", type, "n m", 0)) ||
        weight_in(&dims, weight_object, &weight) || state_in(&dims, state_object, error_names, error_shapes, 5, 0, &held))
        goto done;
    size_t                n = (size_t)PyArray_DIM(prediction, 0), m = (size_t)PyArray_DIM(prediction, 1);
    const void           *y = PyArray_DATA(prediction), *t = PyArray_DATA(truth);
    const double         *w     = data_of(weight);
    sg_errors             state = {data_of(held.array[0]), data_of(held.array[1]), data_of(held.array[2]),
                                   data_of(held.array[3]), data_of(held.array[4])};
    const sg_metrics_f32 *f32   = sg_metrics_f32_now();
    const sg_metrics_f64 *f64   = sg_metrics_f64_now();
    sg_poll               poll  = sg_python_poll(Py_None);
    int                   stop  = 0;
    Py_BEGIN_ALLOW_THREADS
    for (size_t i = 0; i < n && !stop; i += ROWS) {
        if (type == NPY_FLOAT)
            f32->errors(block_rows(n, i), m, (const float *)y + i * m, (const float *)t + i * m, w ? w + i : NULL, state);
        else
            f64->errors(block_rows(n, i), m, (const double *)y + i * m, (const double *)t + i * m, w ? w + i : NULL, state);
        stop = sg_poll_due(&poll, (double)i, (double)n);
    }
    Py_END_ALLOW_THREADS
    result = stop ? sg_raise(SG_ERR_INTERRUPTED, NULL) : Py_NewRef(Py_None);
done:
    release(&held);
    Py_XDECREF(weight);
    Py_XDECREF(truth);
    Py_XDECREF(prediction);
    return result;
}

static PyObject *percentiles(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *x_object, *percent_object;
    if (!PyArg_ParseTuple(arguments, "OO", &x_object, &percent_object))
        return NULL;
    sg_dims        dims = {0};
    PyArrayObject *percent = NULL, *copy = NULL, *out = NULL;
    PyArrayObject *x = sg_array_in(&dims, x_object, "x", NPY_DOUBLE, "n", SG_NONEMPTY);
    if (!x || !(percent = sg_array_in(&dims, percent_object, "percent", NPY_DOUBLE, "k", SG_FINITE)))
        goto done;
    const double *p = PyArray_DATA(percent);
    for (npy_intp i = 0; i < PyArray_SIZE(percent); i++)
        if (p[i] < 0 || p[i] > 100) {
            PyObject *value = PyFloat_FromDouble(p[i]);
            PyErr_Format(PyExc_ValueError, "percent[%zd]: expected 0 to 100, got %R", i, value);
            Py_XDECREF(value);
            goto done;
        }
    copy = (PyArrayObject *)PyArray_NewCopy(x, NPY_CORDER);
    if (copy)
        out = sg_array_out(&dims, Py_None, "out", NPY_DOUBLE, "k", 0);
    if (out) {
        Py_BEGIN_ALLOW_THREADS
        sg_metrics_percentiles((size_t)PyArray_SIZE(x), (size_t)PyArray_SIZE(percent), p, PyArray_DATA(copy),
                               PyArray_DATA(out));
        Py_END_ALLOW_THREADS
    }
done:
    Py_XDECREF(copy);
    Py_XDECREF(percent);
    Py_XDECREF(x);
    return (PyObject *)out;
}

static PyObject *whitening(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *object;
    double    ridge = 0;
    if (!PyArg_ParseTuple(arguments, "O|d", &object, &ridge))
        return NULL;
    sg_dims        dims       = {0};
    PyArrayObject *covariance = sg_array_in(&dims, object, "covariance", NPY_DOUBLE, "m m", SG_FINITE);
    PyArrayObject *out        = covariance ? sg_array_out(&dims, Py_None, "out", NPY_DOUBLE, "m m", 0) : NULL;
    if (out) {
        sg_error  error  = {0};
        sg_status status = sg_metrics_whitening((size_t)PyArray_DIM(covariance, 0), PyArray_DATA(covariance), ridge,
                                                PyArray_DATA(out), &error);
        if (status != SG_OK) {
            Py_CLEAR(out);
            sg_raise(status, &error);
        }
    }
    Py_XDECREF(covariance);
    return (PyObject *)out;
}

typedef struct {
    int         is_float;
    size_t      n, m;
    const void *x, *mean, *whitening;
    char       *work;        /* one piece per thread */
    size_t      work_bytes;  /* of a piece */
    void       *out;
} distance_job;

static int distance_block(void *context, size_t block, int thread)
{
    const distance_job *job  = context;
    size_t              from = block * ROWS, rows = block_rows(job->n, from), m = job->m;
    void               *work = job->work + (size_t)thread * job->work_bytes;
    if (job->is_float)
        sg_metrics_f32_now()->distance(rows, m, (const float *)job->x + from * m, job->mean, job->whitening, work,
                                       (float *)job->out + from);
    else
        sg_metrics_f64_now()->distance(rows, m, (const double *)job->x + from * m, job->mean, job->whitening, work,
                                       (double *)job->out + from);
    return 0;
}

static PyObject *squared_distance(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *x_object, *mean_object, *whitening_object;
    int       num_threads = 0;
    if (!PyArg_ParseTuple(arguments, "OOO|i", &x_object, &mean_object, &whitening_object, &num_threads))
        return NULL;
    sg_dims        dims = {0};
    int            type = sg_real_type(x_object);
    PyArrayObject *mean = NULL, *w = NULL, *out = NULL, *x = sg_array_in(&dims, x_object, "x", type, "n m", 0);
    if (x && (mean = sg_array_in(&dims, mean_object, "mean", type, "m", 0)) &&
        (w = sg_array_in(&dims, whitening_object, "whitening", type, "m m", 0)))
        out = sg_array_out(&dims, Py_None, "out", type, "n", 0);
    if (out) {
        distance_job job = {.is_float = type == NPY_FLOAT, .n = (size_t)PyArray_DIM(x, 0), .m = (size_t)PyArray_DIM(x, 1),
                            .x = PyArray_DATA(x), .mean = PyArray_DATA(mean), .whitening = PyArray_DATA(w),
                            .out = PyArray_DATA(out)};
        size_t   n_blocks = (job.n + ROWS - 1) / ROWS;
        int      threads  = sg_threads_resolve(num_threads, n_blocks);
        sg_error error    = {0};
        job.work_bytes    = sg_round_up(job.m * SG_DISTANCE_LANES * sizeof(double), SG_ALIGNMENT);
        sg_status status  = sg_alloc_array(&job.work, (size_t)threads, job.work_bytes, "x", &error);
        if (status == SG_OK) {
            Py_BEGIN_ALLOW_THREADS
            sg_threads_blocks(n_blocks, threads, distance_block, &job);
            Py_END_ALLOW_THREADS
            sg_free(job.work);
        } else {
            Py_CLEAR(out);
            sg_raise(status, &error);
        }
    }
    Py_XDECREF(w);
    Py_XDECREF(mean);
    Py_XDECREF(x);
    return (PyObject *)out;
}

static PyMethodDef methods[] = {
    {"moments_update", moments_update, METH_VARARGS,
     "moments_update(x, weight, (total, mean, square, low, high, product or None))\n\nAdd rows x (n, m) to running moments."},
    {"moments_merge", moments_merge, METH_VARARGS, "moments_merge(state, other)\n\nAdd the moments of other rows to state."},
    {"errors_update", errors_update, METH_VARARGS,
     "errors_update(prediction, truth, weight, (total, sum, absolute, square, largest))\n\nAdd rows to running errors."},
    {"percentiles", percentiles, METH_VARARGS, "percentiles(x, percent) -> (k,) float64"},
    {"whitening", whitening, METH_VARARGS, "whitening(covariance, ridge=0) -> (m, m) float64, lower triangular"},
    {"squared_distance", squared_distance, METH_VARARGS,
     "squared_distance(x, mean, whitening, num_threads=0) -> (n,)\n\n|whitening (x - mean)|^2 of each row."},
    {NULL, NULL, 0, NULL},
};

int sg_bind_metrics(PyObject *module)
{
    return sg_bind_add(module, methods);
}
