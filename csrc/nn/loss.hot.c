/* SPDX-License-Identifier: BSD-3-Clause */
/* Loss, sum per column, and gradient of a chunk of rows. Sums run over rows inside a lane, so no bit depends on the vector width. */
#include "nn/lanes.h"
#include "nn/loss.h"

typedef struct loss_rows {
    const real *prediction, *target, *row_weight, *column_weight;
    real       *d, *sum;
    size_t      n_out;
} loss_rows;

static loss_rows rows_of(const sg_loss_call *call)
{
    memset(call->sum, 0, call->n_out * sizeof(real));
    return (loss_rows){call->prediction, call->target, call->row_weight, call->column_weight,
                       call->d_prediction, call->sum, call->n_out};
}

static void add_to_columns(const sg_loss_call *call)
{
    const real *sum = call->sum;
    for (size_t j = 0; j < call->n_out; j++)
        call->column_loss[j] += (double)sum[j];
}

static size_t source(const sg_loss_call *call, size_t row) { return call->order ? (size_t)call->order[row] : row; }

/* One elementwise loss: LOSS and SLOPE are expressions of the error e (a vector). Four rows at a time, because the sums would
 * otherwise be loaded and stored once per row; they are still added row by row. */
#define ELEMENTWISE(name, LOSS, SLOPE)                                                                             \
    SG_INLINE void name##_rows(const sg_loss_call *call, const loss_rows *r, size_t row, const size_t n_rows)      \
    {                                                                                                              \
        const vr    scale     = vr_set1((real)call->scale);                                                        \
        const vr    parameter = vr_set1((real)call->loss->attribute[0].v[0]);                                      \
        const real *p = r->prediction + row * r->n_out, *t[4];                                                     \
        real       *d = r->d ? r->d + row * r->n_out : NULL;                                                       \
        vr          w[4];                                                                                          \
        (void)parameter;                                                                                           \
        for (size_t q = 0; q < n_rows; q++) {                                                                      \
            const size_t from = source(call, row + q);                                                             \
            t[q]              = r->target + from * r->n_out;                                                       \
            w[q]              = vr_set1(r->row_weight ? r->row_weight[from] : 1);                                  \
        }                                                                                                          \
        for (size_t j = 0; j < r->n_out; j += VL) {                                                                \
            const size_t n   = sg_lanes(r->n_out - j);                                                             \
            const vr     v   = r->column_weight ? sg_lanes_load(r->column_weight + j, n) : vr_set1(1);             \
            vr           sum = sg_lanes_load(r->sum + j, n);                                                       \
            for (size_t q = 0; q < n_rows; q++) {                                                                  \
                const vr e  = vr_sub(sg_lanes_load(p + q * r->n_out + j, n), sg_lanes_load(t[q] + j, n));          \
                const vr wv = vr_mul(w[q], v);                                                                     \
                sum         = vr_fma(wv, LOSS, sum);                                                               \
                if (d)                                                                                             \
                    sg_lanes_store(d + q * r->n_out + j, vr_mul(vr_mul(scale, wv), SLOPE), n);                     \
            }                                                                                                      \
            sg_lanes_store(r->sum + j, sum, n);                                                                    \
        }                                                                                                          \
    }                                                                                                              \
    static void name(const sg_loss_call *call)                                                                     \
    {                                                                                                              \
        const loss_rows r   = rows_of(call);                                                                       \
        size_t          row = 0;                                                                                   \
        for (; row + 4 <= call->n_rows; row += 4)                                                                  \
            name##_rows(call, &r, row, 4);                                                                         \
        for (; row < call->n_rows; row++)                                                                          \
            name##_rows(call, &r, row, 1);                                                                         \
        add_to_columns(call);                                                                                      \
    }

/* -1, 0 or 1 */
SG_INLINE vr sign(vr e) { return vr_select(vr_eq(e, vr_zero()), vr_zero(), vr_copysign(vr_set1(1), e)); }

SG_INLINE vr huber_loss(vr e, vr delta)
{
    const vr a = vr_abs(e), half = vr_set1(R(0.5));
    return vr_select(vr_le(a, delta), vr_mul(half, vr_mul(e, e)), vr_mul(delta, vr_fnma(half, delta, a)));
}
SG_INLINE vr huber_slope(vr e, vr delta) { return vr_min(delta, vr_max(vr_neg(delta), e)); }

ELEMENTWISE(mse, vr_mul(e, e), vr_add(e, e))
ELEMENTWISE(mae, vr_abs(e), sign(e))
ELEMENTWISE(huber, huber_loss(e, parameter), huber_slope(e, parameter))

/* (1 - alpha) MSE + alpha MAE of the differences between neighbouring rows of a group. There are group - 1 differences for group
 * rows, hence the factor that makes their sum a mean. A pair weighs as much as its two rows on average. */
static void hybrid(const sg_loss_call *call)
{
    const loss_rows r         = rows_of(call);
    const double    alpha     = call->loss->attribute[0].v[0];
    const size_t    group     = call->loss->rows_per_group;
    const vr        scale     = vr_set1((real)call->scale);
    const vr        of_square = vr_set1((real)(1 - alpha));
    const vr        of_pair   = vr_set1((real)(alpha * (double)group / (double)(group - 1)));
    for (size_t row = 0; row < call->n_rows; row++) {
        const size_t from = source(call, row), before = row % group ? source(call, row - 1) : from;
        const real  *p = r.prediction + row * r.n_out, *t = r.target + from * r.n_out;
        const real  *p_before = row % group ? p - r.n_out : p, *t_before = r.target + before * r.n_out;
        const real   weight = r.row_weight ? r.row_weight[from] : 1;
        const real   pair   = r.row_weight ? R(0.5) * (weight + r.row_weight[before]) : 1;
        for (size_t j = 0; j < r.n_out; j += VL) {
            const size_t n  = sg_lanes(r.n_out - j);
            const vr     v  = r.column_weight ? sg_lanes_load(r.column_weight + j, n) : vr_set1(1);
            const vr     e  = vr_sub(sg_lanes_load(p + j, n), sg_lanes_load(t + j, n));
            const vr     ws = vr_mul(of_square, vr_mul(vr_set1(weight), v));
            vr           sum = vr_fma(ws, vr_mul(e, e), sg_lanes_load(r.sum + j, n));
            vr           d   = vr_mul(ws, vr_add(e, e));
            if (row % group) {
                const vr step = vr_sub(e, vr_sub(sg_lanes_load(p_before + j, n), sg_lanes_load(t_before + j, n)));
                const vr wp   = vr_mul(of_pair, vr_mul(vr_set1(pair), v));
                const vr push = vr_mul(wp, sign(step));
                sum           = vr_fma(wp, vr_abs(step), sum);
                d             = vr_add(d, push);
                if (r.d) {
                    real *d_before = r.d + (row - 1) * r.n_out + j;
                    sg_lanes_store(d_before, vr_fnma(scale, push, sg_lanes_load(d_before, n)), n);
                }
            }
            sg_lanes_store(r.sum + j, sum, n);
            if (r.d)
                sg_lanes_store(r.d + row * r.n_out + j, vr_mul(scale, d), n);
        }
    }
    add_to_columns(call);
}

const sg_loss_kernels SG_HOT(sg_loss_kernels) = {{
#define X(name) name,
    SG_LOSS_LIST(X)
#undef X
}};
