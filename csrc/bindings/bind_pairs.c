/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/metrics/pairs: searches and sums over all pairs of rows. */
#include "bindings/convert.h"

#include "base/memory.h"
#include "base/threads.h"
#include "metrics/pairs.h"

enum { QUERIES = 64 };  /* of a thread's block */

typedef enum { NEAREST, WITHIN, DISTANCE, POLYNOMIAL } pairs_kind;

typedef struct {
    pairs_kind  kind;
    int         is_float, degree;
    size_t      n_query, n_reference, n_col, k;
    ptrdiff_t   self;
    double      scale, offset;
    const void *query;
    void       *tiles, *lane;  /* packed reference; radius or weight of each of its rows */
    void       *out;
    int64_t    *index;
    sg_poll     poll;
} pairs_job;

#define RUN(table, real)                                                                                                  \
    do {                                                                                                                  \
        const real *query = (const real *)j->query + from * m;                                                            \
        switch (j->kind) {                                                                                                \
        case NEAREST:                                                                                                     \
            (table)->nearest(n, j->n_reference, m, j->k, query, j->tiles,                                                 \
                             j->self == PTRDIFF_MIN ? PTRDIFF_MIN : j->self + (ptrdiff_t)from,                            \
                             (real *)j->out + from * j->k, j->index + from * j->k);                                       \
            break;                                                                                                        \
        case WITHIN:                                                                                                      \
            (table)->within(n, j->n_reference, m, query, j->tiles, j->lane, j->index + from);                             \
            break;                                                                                                        \
        case DISTANCE:                                                                                                    \
            (table)->distance_sum(n, j->n_reference, m, query, j->tiles, j->lane, (double *)j->out + from);               \
            break;                                                                                                        \
        case POLYNOMIAL:                                                                                                  \
            (table)->polynomial_sum(n, j->n_reference, m, query, j->tiles, j->lane, (real)j->scale, (real)j->offset,      \
                                    j->degree, (double *)j->out + from);                                                  \
            break;                                                                                                        \
        }                                                                                                                 \
    } while (0)

static int pairs_block(void *context, size_t block, int thread)
{
    pairs_job *j    = context;
    size_t     from = block * QUERIES, n = j->n_query - from < QUERIES ? j->n_query - from : QUERIES, m = j->n_col;
    if (j->is_float)
        RUN(sg_pairs_f32_now(), float);
    else
        RUN(sg_pairs_f64_now(), double);
    return thread == 0 && sg_poll_due(&j->poll, (double)from, (double)j->n_query);
}

/* Packs the reference and one value for each of its rows, `fill` behind the last (lane NULL: none). */
static sg_status pack(pairs_job *j, const void *reference, const void *lane, double fill, sg_error *error)
{
    size_t n_tile = sg_metrics_tiles(j->n_reference), size = j->is_float ? sizeof(float) : sizeof(double);
    SG_TRY(sg_alloc_array(&j->tiles, n_tile, sg_size_mul(j->n_col * SG_PAIR_TILE, size), "reference", error));
    if (j->is_float)
        sg_pairs_f32_now()->pack(j->n_reference, j->n_col, reference, j->tiles);
    else
        sg_pairs_f64_now()->pack(j->n_reference, j->n_col, reference, j->tiles);
    if (!lane)
        return SG_OK;
    SG_TRY(sg_alloc_array(&j->lane, n_tile, SG_PAIR_TILE * size, "reference", error));
    memcpy(j->lane, lane, j->n_reference * size);
    for (size_t i = j->n_reference; i < n_tile * SG_PAIR_TILE; i++)
        if (j->is_float)
            ((float *)j->lane)[i] = (float)fill;
        else
            ((double *)j->lane)[i] = fill;
    return SG_OK;
}

/* -1 with an exception on failure. */
static int run(pairs_job *j, const void *reference, const void *lane, double fill, int num_threads)
{
    size_t    n_blocks = (j->n_query + QUERIES - 1) / QUERIES;
    int       stop     = 0;
    sg_error  error    = {0};
    sg_status status   = SG_OK;
    j->poll            = sg_python_poll(Py_None);
    Py_BEGIN_ALLOW_THREADS
    status = pack(j, reference, lane, fill, &error);
    if (status == SG_OK)
        stop = sg_threads_blocks(n_blocks, sg_threads_resolve(num_threads, n_blocks), pairs_block, j);
    Py_END_ALLOW_THREADS
    sg_free(j->tiles);
    sg_free(j->lane);
    if (status != SG_OK || stop)
        sg_raise(stop ? SG_ERR_INTERRUPTED : status, stop ? NULL : &error);
    return status != SG_OK || stop ? -1 : 0;
}

static PyObject *nearest(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject  *query_object, *reference_object;
    Py_ssize_t k;
    int        same, num_threads = 0;
    if (!PyArg_ParseTuple(arguments, "OOnp|i", &query_object, &reference_object, &k, &same, &num_threads))
        return NULL;
    sg_dims        dims      = {0};
    int            type      = sg_real_type(query_object);
    PyArrayObject *reference = NULL, *square = NULL, *index = NULL;
    PyObject      *result    = NULL;
    PyArrayObject *query     = sg_array_in(&dims, query_object, "query", type, "n m", 0);
    if (!query || !(reference = sg_array_in(&dims, reference_object, "reference", type, "n_reference m", SG_NONEMPTY)))
        goto done;
    if (k < 1 || k > PyArray_DIM(reference, 0) - (same != 0)) {
        PyErr_Format(PyExc_ValueError, "k: expected 1 to %zd, the rows of the reference%s, got %zd",
                     PyArray_DIM(reference, 0) - (same != 0), same ? " but one" : "", k);
        goto done;
    }
    sg_dim_set(&dims, "k", k);
    square = sg_array_out(&dims, Py_None, "square", type, "n k", 0);
    index  = square ? sg_array_out(&dims, Py_None, "index", NPY_INT64, "n k", 0) : NULL;
    if (index) {
        pairs_job job = {.kind        = NEAREST,
                         .is_float    = type == NPY_FLOAT,
                         .n_query     = (size_t)PyArray_DIM(query, 0),
                         .n_reference = (size_t)PyArray_DIM(reference, 0),
                         .n_col       = (size_t)PyArray_DIM(query, 1),
                         .k           = (size_t)k,
                         .self        = same ? 0 : PTRDIFF_MIN,
                         .query       = PyArray_DATA(query),
                         .out         = PyArray_DATA(square),
                         .index       = PyArray_DATA(index)};
        if (run(&job, PyArray_DATA(reference), NULL, 0, num_threads) == 0)
            result = PyTuple_Pack(2, square, index);
    }
done:
    Py_XDECREF(index);
    Py_XDECREF(square);
    Py_XDECREF(reference);
    Py_XDECREF(query);
    return result;
}

/* query (n, m), reference (n_reference, m), one value per reference row -> (n) of out_type */
static PyObject *pair_sums(pairs_kind kind, PyObject *query_object, PyObject *reference_object, PyObject *lane_object,
                           const char *lane_name, double fill, double scale, double offset, int degree, int num_threads)
{
    sg_dims        dims      = {0};
    int            type      = sg_real_type(query_object);
    PyArrayObject *reference = NULL, *lane = NULL, *out = NULL;
    PyArrayObject *query     = sg_array_in(&dims, query_object, "query", type, "n m", 0);
    if (query && (reference = sg_array_in(&dims, reference_object, "reference", type, "n_reference m", 0)) &&
        (lane = sg_array_in(&dims, lane_object, lane_name, type, "n_reference", 0)))
        out = sg_array_out(&dims, Py_None, "out", kind == WITHIN ? NPY_INT64 : NPY_DOUBLE, "n", 0);
    if (out) {
        pairs_job job = {.kind        = kind,
                         .is_float    = type == NPY_FLOAT,
                         .degree      = degree,
                         .n_query     = (size_t)PyArray_DIM(query, 0),
                         .n_reference = (size_t)PyArray_DIM(reference, 0),
                         .n_col       = (size_t)PyArray_DIM(query, 1),
                         .scale       = scale,
                         .offset      = offset,
                         .query       = PyArray_DATA(query),
                         .out         = PyArray_DATA(out),
                         .index       = kind == WITHIN ? PyArray_DATA(out) : NULL};
        if (run(&job, PyArray_DATA(reference), PyArray_DATA(lane), fill, num_threads))
            Py_CLEAR(out);
    }
    Py_XDECREF(lane);
    Py_XDECREF(reference);
    Py_XDECREF(query);
    return (PyObject *)out;
}

static PyObject *within(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *query, *reference, *radius;
    int       num_threads = 0;
    if (!PyArg_ParseTuple(arguments, "OOO|i", &query, &reference, &radius, &num_threads))
        return NULL;
    return pair_sums(WITHIN, query, reference, radius, "square_radius", -1, 0, 0, 0, num_threads);
}

static PyObject *distance_sum(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *query, *reference, *weight;
    int       num_threads = 0;
    if (!PyArg_ParseTuple(arguments, "OOO|i", &query, &reference, &weight, &num_threads))
        return NULL;
    return pair_sums(DISTANCE, query, reference, weight, "weight", 0, 0, 0, 0, num_threads);
}

static PyObject *polynomial_sum(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *query, *reference, *weight;
    double    scale, offset;
    int       degree, num_threads = 0;
    if (!PyArg_ParseTuple(arguments, "OOOddi|i", &query, &reference, &weight, &scale, &offset, &degree, &num_threads))
        return NULL;
    return pair_sums(POLYNOMIAL, query, reference, weight, "weight", 0, scale, offset, degree, num_threads);
}

static PyMethodDef methods[] = {
    {"pairs_nearest", nearest, METH_VARARGS,
     "pairs_nearest(query, reference, k, same, num_threads=0) -> (square (n, k), index (n, k))\n\n"
     "Nearest rows of the reference; same: row i of both is the same, and not its own neighbour."},
    {"pairs_within", within, METH_VARARGS,
     "pairs_within(query, reference, square_radius, num_threads=0) -> (n,) int64\n\nReference rows whose radius holds the query."},
    {"pairs_distance_sum", distance_sum, METH_VARARGS, "pairs_distance_sum(query, reference, weight, num_threads=0) -> (n,) float64"},
    {"pairs_polynomial_sum", polynomial_sum, METH_VARARGS,
     "pairs_polynomial_sum(query, reference, weight, scale, offset, degree, num_threads=0) -> (n,) float64"},
    {NULL, NULL, 0, NULL},
};

int sg_bind_pairs(PyObject *module)
{
    return sg_bind_add(module, methods);
}
