/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/metrics/samples: statistics of sorted values. */
#include "bindings/convert.h"

#include "base/memory.h"
#include "base/threads.h"
#include "metrics/pairs.h"
#include "metrics/samples.h"

static void *data_of(PyArrayObject *array) { return array ? PyArray_DATA(array) : NULL; }

/* --------------------------------------------------------------------------------------------------- distances */

typedef struct {
    int           is_float;
    size_t        n, n_col;
    const void   *columns;  /* (n_col, n) */
    const double *weight;
} columns_of;

typedef struct {
    columns_of    sample[2];
    const double *direction;  /* (n_job, n_col) or NULL: job j is column j */
    char         *work;       /* one piece per thread */
    size_t        work_bytes;
    double       *out;  /* (n_job, 4) */
    size_t        n_job;
    sg_poll       poll;
} distances_job;

/* The values of a job, sorted with their weights: x (n), w (n). */
static void sorted_values(const columns_of *s, const double *direction, size_t job, double *x, double *w, void *scratch)
{
    size_t n = s->n;
    if (direction && s->is_float)
        sg_pairs_f32_now()->project(n, s->n_col, s->columns, direction + job * s->n_col, x);
    else if (direction)
        sg_pairs_f64_now()->project(n, s->n_col, s->columns, direction + job * s->n_col, x);
    else if (s->is_float)
        for (size_t i = 0; i < n; i++)
            x[i] = (double)((const float *)s->columns)[job * n + i];
    else
        memcpy(x, (const double *)s->columns + job * n, n * sizeof *x);
    if (s->weight)
        memcpy(w, s->weight, n * sizeof *w);
    sg_metrics_sort(n, x, s->weight ? w : NULL, scratch);
}

static int distances_block(void *context, size_t job, int thread)
{
    distances_job *j = context;
    size_t         n_a = j->sample[0].n, n_b = j->sample[1].n;
    double        *a = (double *)(void *)(j->work + (size_t)thread * j->work_bytes), *b = a + 2 * n_a;
    void          *scratch = b + 2 * n_b;
    sorted_values(&j->sample[0], j->direction, job, a, a + n_a, scratch);
    sorted_values(&j->sample[1], j->direction, job, b, b + n_b, scratch);
    sg_distances d = sg_metrics_distances(n_a, a, j->sample[0].weight ? a + n_a : NULL, n_b, b,
                                          j->sample[1].weight ? b + n_b : NULL);
    double      *out = j->out + 4 * job;
    out[0] = d.wasserstein, out[1] = d.cramer, out[2] = d.above, out[3] = d.below;
    return thread == 0 && sg_poll_due(&j->poll, (double)job, (double)j->n_job);
}

static PyObject *sample_distances(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *a_object, *wa_object, *b_object, *wb_object, *direction_object;
    int       num_threads = 0;
    if (!PyArg_ParseTuple(arguments, "OOOOO|i", &a_object, &wa_object, &b_object, &wb_object, &direction_object, &num_threads))
        return NULL;
    sg_dims        dims      = {0};
    int            type_a    = sg_real_type(a_object), type_b = sg_real_type(b_object);
    PyArrayObject *b = NULL, *wa = NULL, *wb = NULL, *direction = NULL, *out = NULL;
    PyArrayObject *a = sg_array_in(&dims, a_object, "a", type_a, "m n_a", SG_NONEMPTY);
    if (!a || !(b = sg_array_in(&dims, b_object, "b", type_b, "m n_b", SG_NONEMPTY)) ||
        (!(wa = sg_array_in(&dims, wa_object, "weight_a", NPY_DOUBLE, "n_a", SG_OPTIONAL)) && PyErr_Occurred()) ||
        (!(wb = sg_array_in(&dims, wb_object, "weight_b", NPY_DOUBLE, "n_b", SG_OPTIONAL)) && PyErr_Occurred()) ||
        (!(direction = sg_array_in(&dims, direction_object, "directions", NPY_DOUBLE, "k m", SG_OPTIONAL)) && PyErr_Occurred()))
        goto done;
    sg_dim_set(&dims, "job", direction ? PyArray_DIM(direction, 0) : PyArray_DIM(a, 0));
    out = sg_array_out(&dims, Py_None, "out", NPY_DOUBLE, "job 4", 0);
    if (out) {
        size_t        n_a = (size_t)PyArray_DIM(a, 1), n_b = (size_t)PyArray_DIM(b, 1), m = (size_t)PyArray_DIM(a, 0);
        distances_job job = {
            .sample    = {{type_a == NPY_FLOAT, n_a, m, PyArray_DATA(a), data_of(wa)},
                          {type_b == NPY_FLOAT, n_b, m, PyArray_DATA(b), data_of(wb)}},
            .direction = data_of(direction),
            .out       = PyArray_DATA(out),
            .n_job     = (size_t)PyArray_DIM(out, 0),
            .poll      = sg_python_poll(Py_None),
        };
        int      threads = sg_threads_resolve(num_threads, job.n_job), stop = 0;
        sg_error error   = {0};
        job.work_bytes   = sg_round_up(2 * (n_a + n_b) * sizeof(double) + sg_metrics_sort_bytes(n_a > n_b ? n_a : n_b), SG_ALIGNMENT);
        sg_status status = sg_alloc_array(&job.work, (size_t)threads, job.work_bytes, "a", &error);
        if (status == SG_OK) {
            Py_BEGIN_ALLOW_THREADS
            stop = sg_threads_blocks(job.n_job, threads, distances_block, &job);
            Py_END_ALLOW_THREADS
            sg_free(job.work);
            status = stop ? SG_ERR_INTERRUPTED : SG_OK;
        }
        if (status != SG_OK) {
            Py_CLEAR(out);
            sg_raise(status, stop ? NULL : &error);
        }
    }
done:
    Py_XDECREF(direction);
    Py_XDECREF(wb);
    Py_XDECREF(wa);
    Py_XDECREF(b);
    Py_XDECREF(a);
    return (PyObject *)out;
}

/* --------------------------------------------------------------------------------------------- Kolmogorov-Smirnov */

#define KS_CELLS 1e8 /* of the exact recursion: half a second */

static PyObject *ks_probability(PyObject *self, PyObject *arguments)
{
    (void)self;
    Py_ssize_t  n_a, n_b;
    double      statistic, p = 0;
    const char *method;
    if (!PyArg_ParseTuple(arguments, "nnds", &n_a, &n_b, &statistic, &method))
        return NULL;
    if (n_a < 1 || n_b < 1 || !(statistic >= 0 && statistic <= 1)) {
        PyErr_SetString(PyExc_ValueError, "statistic: expected 0 to 1 of two samples of at least one value");
        return NULL;
    }
    int exact = strcmp(method, "exact") == 0;
    if (strcmp(method, "auto") == 0)
        exact = sg_metrics_ks_cost((size_t)n_a, (size_t)n_b, statistic) <= KS_CELLS;
    if (!exact)
        return PyFloat_FromDouble(sg_metrics_ks_limit((double)n_a * (double)n_b / ((double)n_a + (double)n_b), statistic));
    double   *work;
    sg_error  error  = {0};
    sg_status status = sg_alloc_array(&work, (size_t)n_b + 1, sizeof *work, "b", &error);
    if (status != SG_OK)
        return sg_raise(status, &error);
    Py_BEGIN_ALLOW_THREADS
    p = sg_metrics_ks_exact((size_t)n_a, (size_t)n_b, statistic, work);
    Py_END_ALLOW_THREADS
    sg_free(work);
    return PyFloat_FromDouble(p);
}

/* A sorted copy of float64 values (n), with their weights in the same order where there are any. */
typedef struct {
    double *x, *weight;
    size_t  n;
} sorted;

static sg_status sort_copy(PyArrayObject *x, PyArrayObject *weight, sorted *out, sg_error *error)
{
    void     *scratch = NULL;
    size_t    n = out->n = (size_t)PyArray_SIZE(x);
    sg_status status     = sg_alloc_array(&out->x, 2 * n, sizeof(double), "scores", error);
    if (status == SG_OK)
        status = sg_alloc_array(&scratch, 1, sg_metrics_sort_bytes(n), "scores", error);
    if (status == SG_OK) {
        memcpy(out->x, PyArray_DATA(x), n * sizeof(double));
        if (weight) {
            out->weight = out->x + n;
            memcpy(out->weight, PyArray_DATA(weight), n * sizeof(double));
        }
        Py_BEGIN_ALLOW_THREADS
        sg_metrics_sort(n, out->x, out->weight, scratch);
        Py_END_ALLOW_THREADS
    }
    sg_free(scratch);
    return status;
}

static PyObject *auc(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *p_object, *wp_object, *n_object, *wn_object;
    if (!PyArg_ParseTuple(arguments, "OOOO", &p_object, &wp_object, &n_object, &wn_object))
        return NULL;
    sg_dims        dims = {0};
    PyArrayObject *n = NULL, *wp = NULL, *wn = NULL, *p = sg_array_in(&dims, p_object, "positive", NPY_DOUBLE, "p", SG_NONEMPTY);
    sorted         positive = {0}, negative = {0};
    PyObject      *result   = NULL;
    if (!p || !(n = sg_array_in(&dims, n_object, "negative", NPY_DOUBLE, "n", SG_NONEMPTY)) ||
        (!(wp = sg_array_in(&dims, wp_object, "weight", NPY_DOUBLE, "p", SG_OPTIONAL)) && PyErr_Occurred()) ||
        (!(wn = sg_array_in(&dims, wn_object, "weight", NPY_DOUBLE, "n", SG_OPTIONAL)) && PyErr_Occurred()))
        goto done;
    sg_error  error  = {0};
    sg_status status = sort_copy(p, wp, &positive, &error);
    if (status == SG_OK)
        status = sort_copy(n, wn, &negative, &error);
    if (status == SG_OK) {
        sg_auc value;
        Py_BEGIN_ALLOW_THREADS
        value = sg_metrics_auc(positive.n, positive.x, positive.weight, negative.n, negative.x, negative.weight);
        Py_END_ALLOW_THREADS
        result = Py_BuildValue("dd", value.auc, value.error);
    } else {
        sg_raise(status, &error);
    }
done:
    sg_free(negative.x);
    sg_free(positive.x);
    Py_XDECREF(wn);
    Py_XDECREF(wp);
    Py_XDECREF(n);
    Py_XDECREF(p);
    return result;
}

/* ------------------------------------------------------------------------------------------------------- isotonic */

static PyObject *isotonic(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *x_object, *y_object, *w_object;
    if (!PyArg_ParseTuple(arguments, "OOO", &x_object, &y_object, &w_object))
        return NULL;
    sg_dims        dims = {0};
    PyArrayObject *y = NULL, *w = NULL, *knots = NULL, *x = sg_array_in(&dims, x_object, "x", NPY_DOUBLE, "n", SG_NONEMPTY);
    if (!x || !(y = sg_array_in(&dims, y_object, "y", NPY_DOUBLE, "n", 0)) ||
        !(w = sg_array_in(&dims, w_object, "weight", NPY_DOUBLE, "n", 0)))
        goto done;
    size_t    n = (size_t)PyArray_SIZE(x), n_knot = 0;
    double   *copy    = NULL;
    size_t   *order   = NULL;
    void     *scratch = NULL;
    sg_error  error   = {0};
    sg_status status  = sg_alloc_array(&copy, 3 * n, sizeof *copy, "x", &error);
    if (status == SG_OK)
        status = sg_alloc_array(&order, n + 1, sizeof *order, "x", &error);
    if (status == SG_OK)
        status = sg_alloc_array(&scratch, 1, sg_metrics_sort_bytes(n), "x", &error);
    if (status == SG_OK) {
        const double *y_in = PyArray_DATA(y), *w_in = PyArray_DATA(w);
        Py_BEGIN_ALLOW_THREADS
        memcpy(copy, PyArray_DATA(x), n * sizeof *copy);
        for (size_t i = 0; i < n; i++)
            order[i] = i;
        sg_metrics_sort(n, copy, order, scratch);
        for (size_t i = 0; i < n; i++) {
            copy[n + i]     = y_in[order[i]];
            copy[2 * n + i] = w_in[order[i]];
        }
        n_knot = sg_metrics_isotonic(n, copy, copy + n, copy + 2 * n, order);
        Py_END_ALLOW_THREADS
        sg_dim_set(&dims, "k", (npy_intp)n_knot);
        knots = sg_array_out(&dims, Py_None, "out", NPY_DOUBLE, "2 k", 0);
        if (knots) {
            memcpy(PyArray_DATA(knots), copy, n_knot * sizeof *copy);
            memcpy((double *)PyArray_DATA(knots) + n_knot, copy + n, n_knot * sizeof *copy);
        }
    } else {
        sg_raise(status, &error);
    }
    sg_free(scratch);
    sg_free(order);
    sg_free(copy);
done:
    Py_XDECREF(w);
    Py_XDECREF(y);
    Py_XDECREF(x);
    return (PyObject *)knots;
}

/* -------------------------------------------------------------------------------------------------------- Frechet */

static PyObject *frechet(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *object[4];
    if (!PyArg_ParseTuple(arguments, "OOOO", &object[0], &object[1], &object[2], &object[3]))
        return NULL;
    static const char *const names[]  = {"mean_a", "covariance_a", "mean_b", "covariance_b"};
    static const char *const shapes[] = {"m", "m m", "m", "m m"};
    sg_dims        dims     = {0};
    PyArrayObject *array[4] = {0};
    PyObject      *result   = NULL;
    for (int i = 0; i < 4; i++)
        if (!(array[i] = sg_array_in(&dims, object[i], names[i], NPY_DOUBLE, shapes[i], SG_FINITE)))
            goto done;
    size_t    m = (size_t)sg_dim(&dims, "m");
    double    distance = 0;
    void     *work   = NULL;
    sg_error  error  = {0};
    sg_status status = sg_alloc_array(&work, 1, sg_metrics_frechet_bytes(m), "covariance", &error);
    if (status == SG_OK) {
        Py_BEGIN_ALLOW_THREADS
        status = sg_metrics_frechet(m, PyArray_DATA(array[0]), PyArray_DATA(array[1]), PyArray_DATA(array[2]),
                                    PyArray_DATA(array[3]), work, &distance, &error);
        Py_END_ALLOW_THREADS
    }
    sg_free(work);
    result = status == SG_OK ? PyFloat_FromDouble(distance) : sg_raise(status, &error);
done:
    for (int i = 0; i < 4; i++)
        Py_XDECREF(array[i]);
    return result;
}

static PyMethodDef methods[] = {
    {"sample_distances", sample_distances, METH_VARARGS,
     "sample_distances(a, weight_a, b, weight_b, directions, num_threads=0) -> (m or k, 4) float64\n\n"
     "Wasserstein-1, integral of the squared difference of the distribution functions, and its largest positive and negative\n"
     "values, for each column of a (m, n_a) and b (m, n_b), or for their projections on directions (k, m)."},
    {"ks_probability", ks_probability, METH_VARARGS, "ks_probability(n_a, n_b, statistic, method) -> float"},
    {"auc", auc, METH_VARARGS, "auc(positive, weight, negative, weight) -> (area, standard error)"},
    {"isotonic", isotonic, METH_VARARGS, "isotonic(x, y, weight) -> (2, knots) float64"},
    {"frechet", frechet, METH_VARARGS, "frechet(mean_a, covariance_a, mean_b, covariance_b) -> float"},
    {NULL, NULL, 0, NULL},
};

int sg_bind_samples(PyObject *module)
{
    return sg_bind_add(module, methods);
}
