/* SPDX-License-Identifier: BSD-3-Clause */
/* Pooling: lines of the field under a window are joined first, whole vectors at a time, and then the
 * positions along the line. */
#include "nn/lanes.h"
#include "nn/op_pool.h"

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* The larger one; NaN if one of them is. */
SG_INLINE vr join_max(vr a, vr b) { return vr_select(vm_or(vr_lt(a, b), vr_isnan(b)), b, a); }

/* Positions first .. last-1 of a dimension that the window of an output covers. */
typedef struct range {
    size_t first, last;
} range;

static range window(const sg_conv_dim *dim, size_t output)
{
    const size_t start = output * dim->stride, end = start + dim->kernel;
    return (range){start > dim->before ? start - dim->before : 0, smaller(end - dim->before, dim->in)};
}

static size_t length(range r) { return r.last - r.first; }

/* to[i] = a[i] joined with b[i]. */
#define DEFINE_JOIN(name, JOIN)                                                                \
    static void name(size_t n, const real *a, const real *b, real *to)                         \
    {                                                                                          \
        for (size_t i = 0; i < n; i += VL) {                                                   \
            const size_t m = sg_lanes(n - i);                                                  \
            sg_lanes_store(to + i, JOIN(sg_lanes_load(a + i, m), sg_lanes_load(b + i, m)), m); \
        }                                                                                      \
    }
DEFINE_JOIN(join_lines_max, join_max)
DEFINE_JOIN(join_lines_sum, vr_add)

/* One row: y from x, or a derivative of y from that of x, for means. */
static void pool_row(const sg_pool *pool, sg_pool_kind kind, const real *x, real *y, real *line)
{
    const sg_conv_dim *dim = pool->dim;
    const size_t       c = pool->n_channels, n_line = dim[2].in * c;
    for (size_t d = 0; d < dim[0].out; d++)
        for (size_t h = 0; h < dim[1].out; h++) {
            const range r_0 = window(&dim[0], d), r_1 = window(&dim[1], h);
            const real *joined = NULL;
            for (size_t i = r_0.first; i < r_0.last; i++)
                for (size_t j = r_1.first; j < r_1.last; j++) {
                    const real *next = x + (i * dim[1].in + j) * n_line;
                    if (joined) {
                        (kind == SG_POOL_MAX ? join_lines_max : join_lines_sum)(n_line, joined, next, line);
                        next = line;
                    }
                    joined = next;
                }
            for (size_t w = 0; w < dim[2].out; w++, y += c) {
                const range r_2   = window(&dim[2], w);
                const vr    share = vr_set1(R(1) / (real)(length(r_0) * length(r_1) * length(r_2)));
                for (size_t k = 0; k < c; k += VL) {
                    const size_t n = sg_lanes(c - k);
                    vr           v = sg_lanes_load(joined + r_2.first * c + k, n);
                    for (size_t i = r_2.first + 1; i < r_2.last; i++) {
                        const vr next = sg_lanes_load(joined + i * c + k, n);
                        v             = kind == SG_POOL_MAX ? join_max(v, next) : vr_add(v, next);
                    }
                    sg_lanes_store(y + k, kind == SG_POOL_MAX ? v : vr_mul(v, share), n);
                }
            }
        }
}

/* Gradient of one row. d_x has the values it is added to. */
static void pool_row_back(const sg_pool *pool, sg_pool_kind kind, const real *x, const real *y,
                          const real *d_y, real *d_x)
{
    const sg_conv_dim *dim = pool->dim;
    const size_t       c   = pool->n_channels;
    for (size_t d = 0; d < dim[0].out; d++)
        for (size_t h = 0; h < dim[1].out; h++)
            for (size_t w = 0; w < dim[2].out; w++, y += c, d_y += c) {
                const range r_0 = window(&dim[0], d), r_1 = window(&dim[1], h), r_2 = window(&dim[2], w);
                const vr    share = vr_set1(R(1) / (real)(length(r_0) * length(r_1) * length(r_2)));
                for (size_t k = 0; k < c; k += VL) {
                    const size_t n = sg_lanes(c - k);
                    const vr     g = sg_lanes_load(d_y + k, n), mean = vr_mul(g, share);
                    const vr     result = kind == SG_POOL_MAX ? sg_lanes_load(y + k, n) : g;
                    vr           left   = g; /* until the position of the largest value has taken it */
                    for (size_t i = r_0.first; i < r_0.last; i++)
                        for (size_t j = r_1.first; j < r_1.last; j++)
                            for (size_t l = r_2.first; l < r_2.last; l++) {
                                const size_t at   = ((i * dim[1].in + j) * dim[2].in + l) * c + k;
                                vr           part = mean;
                                if (kind == SG_POOL_MAX) {
                                    const vm here = vr_eq(sg_lanes_load(x + at, n), result);
                                    part          = vr_select(here, left, vr_zero());
                                    left          = vr_select(here, vr_zero(), left);
                                }
                                sg_lanes_store(d_x + at, vr_add(sg_lanes_load(d_x + at, n), part), n);
                            }
                }
            }
}

/* Derivative of one row of maxima: that of the first position with the largest value. */
static void max_row_tangent(const sg_pool *pool, const real *x, const real *y, const real *t_x, real *t_y)
{
    const sg_conv_dim *dim = pool->dim;
    const size_t       c   = pool->n_channels;
    for (size_t d = 0; d < dim[0].out; d++)
        for (size_t h = 0; h < dim[1].out; h++)
            for (size_t w = 0; w < dim[2].out; w++, y += c, t_y += c) {
                const range r_0 = window(&dim[0], d), r_1 = window(&dim[1], h), r_2 = window(&dim[2], w);
                for (size_t k = 0; k < c; k += VL) {
                    const size_t n      = sg_lanes(c - k);
                    const vr     result = sg_lanes_load(y + k, n);
                    vr           t      = vr_zero();
                    for (size_t i = r_0.last; i-- > r_0.first;)
                        for (size_t j = r_1.last; j-- > r_1.first;)
                            for (size_t l = r_2.last; l-- > r_2.first;) {
                                const size_t at = ((i * dim[1].in + j) * dim[2].in + l) * c + k;
                                t               = vr_select(vr_eq(sg_lanes_load(x + at, n), result),
                                                            sg_lanes_load(t_x + at, n), t);
                            }
                    sg_lanes_store(t_y + k, t, n);
                }
            }
}

/* ------------------------------------------------------------------------------------------------ calls */
static void forward_kind(const sg_op_call *call, const sg_pool *pool, sg_pool_kind kind)
{
    const sg_op_site *site = call->site;
    for (size_t row = 0; row < call->n_rows; row++)
        pool_row(pool, kind, (const real *)call->in[0] + row * site->in_size[0],
                 (real *)call->out + row * site->out_size, call->scratch);
}

static void backward_kind(const sg_op_call *call, const sg_pool *pool, sg_pool_kind kind)
{
    const sg_op_site *site = call->site;
    const size_t      n_in = site->in_size[0], n_out = site->out_size;
    if (!call->d_in[0])
        return;
    if (!call->add_in[0])
        memset(call->d_in[0], 0, call->n_rows * n_in * sizeof(real));
    for (size_t row = 0; row < call->n_rows; row++)
        pool_row_back(pool, kind, kind == SG_POOL_MAX ? (const real *)call->in[0] + row * n_in : NULL,
                      (const real *)call->out + row * n_out, (const real *)call->d_out + row * n_out,
                      (real *)call->d_in[0] + row * n_in);
}

static void tangent_kind(const sg_op_call *call, const sg_pool *pool, sg_pool_kind kind)
{
    const sg_op_site *site = call->site;
    const size_t      n_in = site->in_size[0], n_out = site->out_size;
    for (size_t row = 0; row < call->n_rows; row++) {
        const real *t_x = (const real *)call->t_in[0] + row * n_in;
        real       *t_y = (real *)call->t_out + row * n_out;
        if (kind == SG_POOL_MAX)
            max_row_tangent(pool, (const real *)call->in[0] + row * n_in,
                            (const real *)call->out + row * n_out, t_x, t_y);
        else
            pool_row(pool, kind, t_x, t_y, call->scratch);
    }
}

#define KIND_OF_NAME(verb, NAME, KIND)                \
    static void verb##_##NAME(const sg_op_call *call) \
    {                                                 \
        const sg_pool pool = sg_pool_of(call->site);  \
        verb##_kind(call, &pool, KIND);               \
    }
KIND_OF_NAME(forward, max, SG_POOL_MAX)
KIND_OF_NAME(backward, max, SG_POOL_MAX)
KIND_OF_NAME(tangent, max, SG_POOL_MAX)
KIND_OF_NAME(forward, average, SG_POOL_AVERAGE)
KIND_OF_NAME(backward, average, SG_POOL_AVERAGE)
KIND_OF_NAME(tangent, average, SG_POOL_AVERAGE)

const sg_op_kernel SG_HOT(sg_op_kernel_max_pool)     = {NULL, forward_max, backward_max, tangent_max};
const sg_op_kernel SG_HOT(sg_op_kernel_average_pool) = {NULL, forward_average, backward_average,
                                                        tangent_average};

/* The whole field is one window along a line. */
#define GLOBAL(verb)                                                                                       \
    static void verb##_global(const sg_op_call *call)                                                      \
    {                                                                                                      \
        const size_t  c = call->site->out_size, n = call->site->in_size[0] / c;                            \
        const sg_pool pool = {                                                                             \
            {sg_conv_dim_of(1, 1, 1, 1, 1), sg_conv_dim_of(1, 1, 1, 1, 1), sg_conv_dim_of(n, n, 1, 1, 1)}, \
            c};                                                                                            \
        verb##_kind(call, &pool, (sg_pool_kind)call->site->attribute[0].v[0]);                             \
    }
GLOBAL(forward)
GLOBAL(backward)
GLOBAL(tangent)

const sg_op_kernel SG_HOT(sg_op_kernel_global_pool) = {NULL, forward_global, backward_global, tangent_global};
