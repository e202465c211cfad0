/* SPDX-License-Identifier: BSD-3-Clause */
/* Loss, sum per column, and gradient of a chunk of rows. Sums run over rows inside a lane, so no bit depends
 * on the vector width. */
#include <math.h>

#include "base/vmath.h"
#include "nn/lanes.h"
#include "nn/loss.h"

typedef struct loss_rows {
    const real *prediction, *target, *row_weight, *column_weight;
    real       *d, *sum;
    size_t      n_out;
} loss_rows;

static loss_rows rows_of(const sg_loss_call *call)
{
    const size_t n_out = call->loss->n_out;
    memset(call->sum, 0, n_out * sizeof(real));
    return (loss_rows){call->prediction,   call->target, call->row_weight, call->column_weight,
                       call->d_prediction, call->sum,    n_out};
}

static void add_to_columns(const sg_loss_call *call)
{
    const real *sum = call->sum;
    for (size_t j = 0; j < call->loss->n_out; j++)
        call->column_loss[j] += (double)sum[j];
}

static size_t source(const sg_loss_call *call, size_t row)
{
    return call->order ? (size_t)call->order[row] : row;
}

/* ------------------------------------------------------------------------------------ elementwise losses */
/* One elementwise loss: LOSS and SLOPE are expressions of the prediction x, the target t and their difference
 * e = x - t (vectors). Four rows at a time, because the sums would otherwise be loaded and stored once per
 * row; they are still added row by row. */
#define ELEMENTWISE(name, LOSS, SLOPE)                                                                 \
    SG_INLINE void name##_rows(const sg_loss_call *call, const loss_rows *r, size_t row,               \
                               const size_t n_rows)                                                    \
    {                                                                                                  \
        const vr    scale     = vr_set1((real)call->scale);                                            \
        const vr    parameter = vr_set1((real)call->loss->attribute[0].v[0]);                          \
        const real *p         = r->prediction + row * r->n_out, *y[4];                                 \
        real       *d         = r->d ? r->d + row * r->n_out : NULL;                                   \
        vr          w[4];                                                                              \
        (void)parameter;                                                                               \
        for (size_t q = 0; q < n_rows; q++) {                                                          \
            const size_t from = source(call, row + q);                                                 \
            y[q]              = r->target + from * r->n_out;                                           \
            w[q]              = vr_set1(r->row_weight ? r->row_weight[from] : 1);                      \
        }                                                                                              \
        for (size_t j = 0; j < r->n_out; j += VL) {                                                    \
            const size_t n   = sg_lanes(r->n_out - j);                                                 \
            const vr     v   = r->column_weight ? sg_lanes_load(r->column_weight + j, n) : vr_set1(1); \
            vr           sum = sg_lanes_load(r->sum + j, n);                                           \
            for (size_t q = 0; q < n_rows; q++) {                                                      \
                const vr x = sg_lanes_load(p + q * r->n_out + j, n), t = sg_lanes_load(y[q] + j, n);   \
                const vr e = vr_sub(x, t), wv = vr_mul(w[q], v);                                       \
                (void)e;                                                                               \
                sum = vr_fma(wv, LOSS, sum);                                                           \
                if (d)                                                                                 \
                    sg_lanes_store(d + q * r->n_out + j, vr_mul(vr_mul(scale, wv), SLOPE), n);         \
            }                                                                                          \
            sg_lanes_store(r->sum + j, sum, n);                                                        \
        }                                                                                              \
    }                                                                                                  \
    static void name(const sg_loss_call *call)                                                         \
    {                                                                                                  \
        const loss_rows r   = rows_of(call);                                                           \
        size_t          row = 0;                                                                       \
        for (; row + 4 <= call->n_rows; row += 4)                                                      \
            name##_rows(call, &r, row, 4);                                                             \
        for (; row < call->n_rows; row++)                                                              \
            name##_rows(call, &r, row, 1);                                                             \
        add_to_columns(call);                                                                          \
    }

/* -1, 0 or 1 */
SG_INLINE vr sign(vr e) { return vr_select(vr_eq(e, vr_zero()), vr_zero(), vr_copysign(vr_set1(1), e)); }

SG_INLINE vr huber_loss(vr e, vr delta)
{
    const vr a = vr_abs(e), half = vr_set1(R(0.5));
    return vr_select(vr_le(a, delta), vr_mul(half, vr_mul(e, e)), vr_mul(delta, vr_fnma(half, delta, a)));
}
SG_INLINE vr huber_slope(vr e, vr delta) { return vr_min(delta, vr_max(vr_neg(delta), e)); }

/* parameter is the level */
SG_INLINE vr pinball_slope(vr e, vr level)
{
    const vr above = vr_sub(vr_set1(1), level);
    return vr_select(vr_eq(e, vr_zero()), vr_zero(), vr_select(vr_lt(e, vr_zero()), vr_neg(level), above));
}

/* parameter is the weight of t = 1 */
SG_INLINE vr binary_loss(vr x, vr t, vr positive)
{
    return vr_fma(vr_mul(positive, t), vr_softplus(vr_neg(x)), vr_mul(vr_sub(vr_set1(1), t), vr_softplus(x)));
}
SG_INLINE vr binary_slope(vr x, vr t, vr positive)
{
    return vr_fnma(vr_mul(positive, t), vr_sigmoid(vr_neg(x)), vr_mul(vr_sub(vr_set1(1), t), vr_sigmoid(x)));
}

SG_INLINE vr hinge_loss(vr x, vr t) { return vr_max(vr_zero(), vr_fnma(t, x, vr_set1(1))); }
SG_INLINE vr hinge_slope(vr x, vr t)
{
    return vr_select(vr_lt(vr_mul(t, x), vr_set1(1)), vr_neg(t), vr_zero());
}

ELEMENTWISE(mse, vr_mul(e, e), vr_add(e, e))
ELEMENTWISE(mae, vr_abs(e), sign(e))
ELEMENTWISE(huber, huber_loss(e, parameter), huber_slope(e, parameter))
ELEMENTWISE(pinball, vr_mul(e, pinball_slope(e, parameter)), pinball_slope(e, parameter))
ELEMENTWISE(binary_cross_entropy, binary_loss(x, t, parameter), binary_slope(x, t, parameter))
ELEMENTWISE(wasserstein, vr_neg(vr_mul(t, x)), vr_neg(t))
ELEMENTWISE(hinge, hinge_loss(x, t), hinge_slope(x, t))

/* (1 - alpha) MSE + alpha MAE of the differences between neighbouring rows of a group. There are group - 1
 * differences for group rows, hence the factor that makes their sum a mean. A pair weighs as much as its two
 * rows on average. */
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
            const size_t n   = sg_lanes(r.n_out - j);
            const vr     v   = r.column_weight ? sg_lanes_load(r.column_weight + j, n) : vr_set1(1);
            const vr     e   = vr_sub(sg_lanes_load(p + j, n), sg_lanes_load(t + j, n));
            const vr     ws  = vr_mul(of_square, vr_mul(vr_set1(weight), v));
            vr           sum = vr_fma(ws, vr_mul(e, e), sg_lanes_load(r.sum + j, n));
            vr           d   = vr_mul(ws, vr_add(e, e));
            if (row % group) {
                const vr step =
                    vr_sub(e, vr_sub(sg_lanes_load(p_before + j, n), sg_lanes_load(t_before + j, n)));
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

/* --------------------------------------------------------------------------------- losses of whole rows */
/* A lane is a row: sums over columns are made in the order of the columns, whatever the width of a vector. */
typedef struct row_lanes {
    const sg_loss_call *call;
    size_t              n;         /* rows here */
    const real         *p, *t[VL]; /* first row of the prediction, rows of the target */
    real               *d;
    vr                  weight, gain; /* of the loss, of the gradient */
} row_lanes;

SG_INLINE row_lanes lanes_of(const sg_loss_call *call, size_t row)
{
    const sg_loss *loss       = call->loss;
    const real    *row_weight = call->row_weight;
    row_lanes      b          = {.call = call,
                                 .n    = sg_lanes(call->n_rows - row),
                                 .p    = (const real *)call->prediction + row * loss->n_out};
    real           weight[VL];
    for (size_t q = 0; q < VL; q++) {
        const size_t from = source(call, row + (q < b.n ? q : 0));
        b.t[q]            = (const real *)call->target + from * loss->n_target;
        weight[q]         = row_weight ? row_weight[from] : 1;
    }
    b.d      = call->d_prediction ? (real *)call->d_prediction + row * loss->n_out : NULL;
    b.weight = vr_load(weight);
    b.gain   = vr_mul(b.weight, vr_set1((real)call->scale));
    return b;
}

SG_INLINE vr prediction_at(const row_lanes *b, size_t column)
{
    real v[VL];
    for (size_t q = 0; q < VL; q++)
        v[q] = b->p[(q < b->n ? q : 0) * b->call->loss->n_out + column];
    return vr_load(v);
}

SG_INLINE vr target_at(const row_lanes *b, size_t column)
{
    real v[VL];
    for (size_t q = 0; q < VL; q++)
        v[q] = b->t[q][column];
    return vr_load(v);
}

SG_INLINE vr column_weight_at(const row_lanes *b, size_t i)
{
    const real *weight = b->call->column_weight;
    return vr_set1(weight ? weight[i] : 1);
}

/* d is the derivative of the loss of one row before weights. */
SG_INLINE void set_gradient(const row_lanes *b, size_t column, vr d)
{
    real v[VL];
    vr_store(v, vr_mul(b->gain, d));
    for (size_t q = 0; q < b->n; q++)
        b->d[q * b->call->loss->n_out + column] = v[q];
}

SG_INLINE void add_value(const row_lanes *b, size_t value, vr l)
{
    real v[VL];
    vr_store(v, vr_mul(b->weight, l));
    for (size_t q = 0; q < b->n; q++)
        b->call->column_loss[value] += (double)v[q];
}

#define ROWWISE(name)                                         \
    static void name(const sg_loss_call *call)                \
    {                                                         \
        for (size_t row = 0; row < call->n_rows; row += VL) { \
            const row_lanes b = lanes_of(call, row);          \
            name##_lanes(&b, call->loss);                     \
        }                                                     \
    }

/* log(exp(a_0) + exp(a_1) + ...), one term after the other. */
typedef struct log_sum {
    vr top, sum;
} log_sum;

SG_INLINE log_sum log_sum_start(vr a) { return (log_sum){a, vr_set1(1)}; }
SG_INLINE log_sum log_sum_add(log_sum s, vr a)
{
    const vr top = vr_max(s.top, a);
    return (log_sum){top, vr_fma(s.sum, vr_exp(vr_sub(s.top, top)), vr_exp(vr_sub(a, top)))};
}
SG_INLINE vr log_sum_value(log_sum s) { return vr_add(s.top, vr_log(s.sum)); }

/* The target is the number of the class, or one column of probability per class. A number that is no class
 * gives NaN. */
SG_INLINE vr class_share(const row_lanes *b, const sg_loss *loss, size_t group, size_t class, vr number)
{
    const size_t classes = loss->n_weights;
    const vr     share   = loss->n_target == loss->n_out
                               ? target_at(b, group * classes + class)
                               : vr_select(vr_eq(number, vr_set1((real)class)), vr_set1(1), vr_zero());
    return vr_mul(column_weight_at(b, class), share);
}

static void cross_entropy_lanes(const row_lanes *b, const sg_loss *loss)
{
    const size_t classes = loss->n_weights;
    const int    numbers = loss->n_target != loss->n_out;
    for (size_t g = 0; g < loss->n_values; g++) {
        const vr number = numbers ? target_at(b, g) : vr_zero();
        log_sum  sum    = log_sum_start(prediction_at(b, g * classes));
        for (size_t c = 1; c < classes; c++)
            sum = log_sum_add(sum, prediction_at(b, g * classes + c));
        const vr all  = log_sum_value(sum);
        vr       mass = vr_zero(), l = vr_zero(), found = vr_zero();
        for (size_t c = 0; c < classes; c++) {
            const vr share = class_share(b, loss, g, c, number);
            mass           = vr_add(mass, share);
            l              = vr_fma(share, vr_sub(all, prediction_at(b, g * classes + c)), l);
            found          = vr_select(vr_eq(number, vr_set1((real)c)), vr_set1(1), found);
        }
        add_value(b, g, numbers ? vr_select(vr_eq(found, vr_zero()), vr_set1((real)NAN), l) : l);
        for (size_t c = 0; b->d && c < classes; c++)
            set_gradient(b, g * classes + c,
                         vr_sub(vr_mul(mass, vr_exp(vr_sub(prediction_at(b, g * classes + c), all))),
                                class_share(b, loss, g, c, number)));
    }
}
ROWWISE(cross_entropy)

#define LOG_2PI 1.8378770664093454836

static void gaussian_nll_lanes(const row_lanes *b, const sg_loss *loss)
{
    const size_t n    = loss->n_target;
    const vr     half = vr_set1(R(0.5)), one = vr_set1(1);
    for (size_t j = 0; j < n; j++) {
        const vr s = prediction_at(b, n + j), e = vr_sub(prediction_at(b, j), target_at(b, j));
        const vr precision = vr_exp(vr_neg(s)), square = vr_mul(vr_mul(e, e), precision),
                 w = column_weight_at(b, j);
        add_value(b, j, vr_mul(w, vr_mul(half, vr_add(vr_set1(R(LOG_2PI)), vr_add(s, square)))));
        if (b->d) {
            set_gradient(b, j, vr_mul(w, vr_mul(e, precision)));
            set_gradient(b, n + j, vr_mul(w, vr_mul(half, vr_sub(one, square))));
        }
    }
}
ROWWISE(gaussian_nll)

/* log density of component k at the target */
SG_INLINE vr component_density(const row_lanes *b, size_t components, size_t n, size_t k)
{
    vr sum = vr_set1((real)(-0.5 * LOG_2PI * (double)n));
    for (size_t j = 0; j < n; j++) {
        const vr e = vr_sub(prediction_at(b, components + k * n + j), target_at(b, j));
        const vr s = prediction_at(b, components * (1 + n) + k * n + j);
        sum        = vr_fnma(vr_set1(R(0.5)), vr_fma(vr_mul(e, e), vr_exp(vr_neg(s)), s), sum);
    }
    return sum;
}

static void mixture_nll_lanes(const row_lanes *b, const sg_loss *loss)
{
    const size_t n = loss->n_target, components = (size_t)loss->attribute[0].v[0];
    log_sum      prior = {0}, joint = {0};
    for (size_t k = 0; k < components; k++) {
        const vr logit = prediction_at(b, k), density = vr_add(logit, component_density(b, components, n, k));
        prior = k ? log_sum_add(prior, logit) : log_sum_start(logit);
        joint = k ? log_sum_add(joint, density) : log_sum_start(density);
    }
    const vr all_prior = log_sum_value(prior), all_joint = log_sum_value(joint), w = column_weight_at(b, 0);
    add_value(b, 0, vr_mul(w, vr_sub(all_prior, all_joint)));
    for (size_t k = 0; b->d && k < components; k++) {
        const vr logit = prediction_at(b, k), density = vr_add(logit, component_density(b, components, n, k));
        const vr share = vr_mul(w, vr_exp(vr_sub(density, all_joint))); /* of the component in this row */
        set_gradient(b, k, vr_sub(vr_mul(w, vr_exp(vr_sub(logit, all_prior))), share));
        for (size_t j = 0; j < n; j++) {
            const size_t mean = components + k * n + j, spread = components * (1 + n) + k * n + j;
            const vr     e         = vr_sub(prediction_at(b, mean), target_at(b, j)),
                         precision = vr_exp(vr_neg(prediction_at(b, spread)));
            set_gradient(b, mean, vr_mul(share, vr_mul(e, precision)));
            const vr part = vr_mul(share, vr_set1(R(0.5)));
            set_gradient(b, spread, vr_mul(part, vr_fnma(vr_mul(e, e), precision, vr_set1(1))));
        }
    }
}
ROWWISE(mixture_nll)

/* sigma (z erf(z / sqrt(2)) + 2 phi(z) - 1 / sqrt(pi)), z = (t - mean) / sigma */
static void crps_lanes(const row_lanes *b, const sg_loss *loss)
{
    const size_t n    = loss->n_target;
    const vr     half = vr_set1(R(0.5)), root = vr_set1(R(0.56418958354775628695)); /* 1 / sqrt(pi) */
    const vr     peak = vr_set1(R(0.79788456080286535588));                         /* 2 / sqrt(2 pi) */
    for (size_t j = 0; j < n; j++) {
        const vr sigma = vr_exp(vr_mul(half, prediction_at(b, n + j)));
        const vr z     = vr_div(vr_sub(target_at(b, j), prediction_at(b, j)), sigma);
        const vr inner = vr_erf(vr_mul(z, vr_set1(R(0.70710678118654752440))));
        const vr rest  = vr_sub(vr_mul(peak, vr_exp(vr_mul(vr_neg(half), vr_mul(z, z)))), root);
        const vr w     = column_weight_at(b, j);
        add_value(b, j, vr_mul(w, vr_mul(sigma, vr_fma(z, inner, rest))));
        if (b->d) {
            set_gradient(b, j, vr_neg(vr_mul(w, inner)));
            set_gradient(b, n + j, vr_mul(w, vr_mul(vr_mul(half, sigma), rest)));
        }
    }
}
ROWWISE(crps)

static void ensemble_crps_lanes(const row_lanes *b, const sg_loss *loss)
{
    const size_t n = loss->n_target, members = (size_t)loss->attribute[0].v[0];
    const double m     = (double)members;
    const vr     share = vr_set1((real)(1 / m)); /* of |x_i - t|, and of |x_i - x_k| for every pair: */
    const vr     pair  = vr_set1((real)(loss->attribute[1].v[0] != 0 ? 1 / (m * (m - 1)) : 1 / (m * m)));
    for (size_t j = 0; j < n; j++) {
        const vr t = target_at(b, j), w = column_weight_at(b, j);
        vr       distance = vr_zero(), spread = vr_zero();
        for (size_t i = 0; i < members; i++) {
            const vr x    = prediction_at(b, i * n + j);
            vr       side = vr_zero();
            for (size_t k = 0; k < members; k++) {
                const vr e = vr_sub(x, prediction_at(b, k * n + j));
                side       = vr_add(side, sign(e));
                if (k < i)
                    spread = vr_add(spread, vr_abs(e));
            }
            distance = vr_add(distance, vr_abs(vr_sub(x, t)));
            if (b->d)
                set_gradient(b, i * n + j, vr_mul(w, vr_fnma(pair, side, vr_mul(share, sign(vr_sub(x, t))))));
        }
        add_value(b, j, vr_mul(w, vr_fnma(pair, spread, vr_mul(share, distance))));
    }
}
ROWWISE(ensemble_crps)

static void kl_lanes(const row_lanes *b, const sg_loss *loss)
{
    const size_t n    = loss->n_out / 2;
    const vr     half = vr_set1(R(0.5)), w = column_weight_at(b, 0);
    vr           l = vr_zero();
    for (size_t j = 0; j < n; j++) {
        const vr m = prediction_at(b, j), s = prediction_at(b, n + j), excess = vr_expm1(s);
        l = vr_fma(half, vr_fma(m, m, vr_sub(excess, s)), l);
        if (b->d) {
            set_gradient(b, j, vr_mul(w, m));
            set_gradient(b, n + j, vr_mul(w, vr_mul(half, excess)));
        }
    }
    add_value(b, 0, vr_mul(w, l));
}
ROWWISE(kl)

static void flow_nll_lanes(const row_lanes *b, const sg_loss *loss)
{
    const size_t n = loss->n_out - 1;
    const vr     w = column_weight_at(b, 0);
    vr           l = vr_sub(vr_set1((real)(0.5 * LOG_2PI * (double)n)), prediction_at(b, n));
    for (size_t j = 0; j < n; j++) {
        const vr z = prediction_at(b, j);
        l          = vr_fma(vr_mul(vr_set1(R(0.5)), z), z, l);
        if (b->d)
            set_gradient(b, j, vr_mul(w, z));
    }
    if (b->d)
        set_gradient(b, n, vr_neg(w));
    add_value(b, 0, vr_mul(w, l));
}
ROWWISE(flow_nll)

const sg_loss_kernels SG_HOT(sg_loss_kernels) = {{
#define X(name) name,
    SG_LOSS_LIST(X)
#undef X
}};
