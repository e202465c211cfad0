/* SPDX-License-Identifier: BSD-3-Clause */
/* Long short-term memory, Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735, with the forget gate
 * of Gers et al. 2000, doi:10.1162/089976600300015015.
 *
 *     [i f g o] = [x_t h_(t-1)] [W; U] + b,   i, f, o = sigmoid,  g = tanh
 *     c_t = f c_(t-1) + i g
 *     h_t = o tanh(c_t)
 *
 * One product and one pass over the gates per step. A gate is one chain of multiply-adds from the bias over
 * x, then over h. */
#include "nn/recurrent.h"

typedef sg_recurrent layer;

SG_TILE_PRODUCT(product_bias, sg_target, sg_start_bias, sg_store_result, SG_B_PACKED)
SG_TILE_PRODUCT(product_packed, sg_target, sg_start_zero, sg_store_result, SG_B_PACKED)
SG_TILE_PRODUCT(product_packed_add, sg_target, sg_start_there, sg_store_result, SG_B_PACKED)
SG_TILE_PRODUCT(product_plain, sg_target, sg_start_zero, sg_store_result, SG_B_PLAIN)
SG_TILE_PRODUCT(product_plain_add, sg_target, sg_start_there, sg_store_result, SG_B_PLAIN)

/* packed: [W; U] for forward; behind it, for backward, U^T and W^T. */
static real *packed_u(const layer *l, void *packed)
{
    return (real *)packed + sg_recurrent_panels(l->n_x + l->n_h, 4 * l->n_h);
}
static real *packed_w(const layer *l, void *packed)
{
    return packed_u(l, packed) + sg_recurrent_panels(4 * l->n_h, l->n_h);
}

static void prepare(const sg_op_call *call)
{
    const layer     l = sg_recurrent_of(call);
    const real     *w = call->parameters, *u = w + l.n_x * 4 * l.n_h;
    const size_t    n   = 4 * l.n_h;
    const ptrdiff_t row = (ptrdiff_t)n;
    sg_panels_pack(l.n_x + l.n_h, n, w, row, 1, call->packed);
    if (call->mode == SG_PLAN_INFER || call->mode == SG_PLAN_TANGENT)
        return;
    sg_panels_pack(n, l.n_h, u, 1, row, packed_u(&l, call->packed));
    sg_panels_pack(n, l.n_x, w, 1, row, packed_w(&l, call->packed));
}

/* gates (n_rows, 4 n_h) = [x h] [W; U] + b, or without b. */
static sg_product gate_product(const layer *l, const real *xh, const void *packed)
{
    return sg_product_packed(l->n_rows, 4 * l->n_h, l->n_x + l->n_h, xh, l->xh_row, packed);
}

/* What forward leaves for backward, of one block: a step is a slice of each. */
typedef struct kept {
    real *xh, *gate, *c, *tanh_c;
} kept;

static kept kept_of(const layer *l, void *saved)
{
    kept k;
    k.xh     = saved;
    k.gate   = k.xh + l->n_steps * l->n_rows * l->xh_row;
    k.c      = k.gate + l->n_steps * l->n_rows * l->gate_row;
    k.tanh_c = k.c + l->n_steps * l->n_rows * l->h_row;
    return k;
}

/* One step after the product. c_before NULL: zeros. gate and tanh_c are written where keep is set. h goes
 * beside the next x. */
SG_INLINE void cell(const layer *l, int keep, real *gate, const real *c_before, real *c, real *tanh_c,
                    real *h)
{
    const size_t n_h = l->n_h;
    for (size_t row = 0; row < l->n_rows; row++)
        for (size_t j = 0; j < n_h; j += VL) {
            const size_t n = sg_lanes(n_h - j), at = row * l->h_row + j;
            real        *z = gate + row * l->gate_row + j;
            const vr     i = vr_sigmoid(sg_lanes_load(z, n)), f = vr_sigmoid(sg_lanes_load(z + n_h, n));
            const vr     g = vr_tanh(sg_lanes_load(z + 2 * n_h, n));
            const vr     o = vr_sigmoid(sg_lanes_load(z + 3 * n_h, n));
            const vr     old = c_before ? sg_lanes_load(c_before + at, n) : vr_zero();
            const vr     now = vr_fma(f, old, vr_mul(i, g)), t = vr_tanh(now);
            sg_lanes_store(c + at, now, n);
            sg_lanes_store(h + row * l->xh_row + j, vr_mul(o, t), n);
            if (keep) {
                sg_lanes_store(z, i, n);
                sg_lanes_store(z + n_h, f, n);
                sg_lanes_store(z + 2 * n_h, g, n);
                sg_lanes_store(z + 3 * n_h, o, n);
                sg_lanes_store(tanh_c + at, t, n);
            }
        }
}

static void forward_infer(const sg_op_call *call)
{
    const layer l  = sg_recurrent_of(call);
    real       *xh = call->scratch, *gate = xh + l.n_rows * l.xh_row, *c = gate + l.n_rows * l.gate_row;
    const real *bias = (const real *)call->parameters + (l.n_x + l.n_h) * 4 * l.n_h;
    sg_recurrent_clear_state(&l, xh);
    for (size_t s = 0; s < l.n_steps; s++) {
        sg_recurrent_gather(&l, s, call->in[0], xh);
        const sg_product p = gate_product(&l, xh, call->packed);
        product_bias(&p, &(sg_target){bias, gate, (ptrdiff_t)l.gate_row});
        cell(&l, 0, gate, s ? c : NULL, c, NULL, xh + l.n_x);
        sg_recurrent_put(&l, s, xh, call->out);
    }
}

static void forward_keep(const sg_op_call *call)
{
    const layer  l = sg_recurrent_of(call);
    const kept   k = kept_of(&l, call->saved);
    const size_t h = l.n_rows * l.h_row, x = l.n_rows * l.xh_row;
    const real  *bias = (const real *)call->parameters + (l.n_x + l.n_h) * 4 * l.n_h;
    sg_recurrent_clear_state(&l, k.xh);
    for (size_t s = 0; s < l.n_steps; s++) {
        real *xh = k.xh + s * x, *gate = k.gate + s * l.n_rows * l.gate_row;
        /* The last state goes to scratch, because nothing comes after it. */
        real *next = s + 1 < l.n_steps ? xh + x : call->scratch;
        sg_recurrent_gather(&l, s, call->in[0], xh);
        const sg_product p = gate_product(&l, xh, call->packed);
        product_bias(&p, &(sg_target){bias, gate, (ptrdiff_t)l.gate_row});
        cell(&l, 1, gate, s ? k.c + (s - 1) * h : NULL, k.c + s * h, k.tanh_c + s * h, next + l.n_x);
        sg_recurrent_put(&l, s, next, call->out);
    }
}

static void forward(const sg_op_call *call)
{
    sg_recurrent_blocks(call, call->saved ? forward_keep : forward_infer);
}

/* One step: gate becomes the gradient before the nonlinearities, d_c that of the step before. d_bias NULL:
 * not wanted. */
SG_INLINE void cell_back(const layer *l, real *gate, const real *c_before, const real *tanh_c,
                         const real *d_h, real *d_c, real *d_bias)
{
    const size_t n_h = l->n_h;
    const vr     one = vr_set1(1);
    for (size_t j = 0; j < n_h; j += VL) {
        const size_t n     = sg_lanes(n_h - j);
        vr           sum_i = vr_zero(), sum_f = sum_i, sum_g = sum_i, sum_o = sum_i;
        if (d_bias) {
            sum_i = sg_lanes_load(d_bias + j, n);
            sum_f = sg_lanes_load(d_bias + n_h + j, n);
            sum_g = sg_lanes_load(d_bias + 2 * n_h + j, n);
            sum_o = sg_lanes_load(d_bias + 3 * n_h + j, n);
        }
        for (size_t row = 0; row < l->n_rows; row++) {
            const size_t at = row * l->h_row + j;
            real        *z  = gate + row * l->gate_row + j;
            const vr     i = sg_lanes_load(z, n), f = sg_lanes_load(z + n_h, n);
            const vr     g = sg_lanes_load(z + 2 * n_h, n), o = sg_lanes_load(z + 3 * n_h, n);
            const vr     t = sg_lanes_load(tanh_c + at, n), d = sg_lanes_load(d_h + at, n);
            const vr     d_t = vr_fma(vr_mul(d, o), vr_fnma(t, t, one), sg_lanes_load(d_c + at, n));
            const vr     old = c_before ? sg_lanes_load(c_before + at, n) : vr_zero();
            const vr     d_i = vr_mul(vr_mul(d_t, g), vr_fnma(i, i, i));
            const vr     d_f = vr_mul(vr_mul(d_t, old), vr_fnma(f, f, f));
            const vr     d_g = vr_mul(vr_mul(d_t, i), vr_fnma(g, g, one));
            const vr     d_o = vr_mul(vr_mul(d, t), vr_fnma(o, o, o));
            sum_i = vr_add(sum_i, d_i), sum_f = vr_add(sum_f, d_f);
            sum_g = vr_add(sum_g, d_g), sum_o = vr_add(sum_o, d_o);
            sg_lanes_store(z, d_i, n);
            sg_lanes_store(z + n_h, d_f, n);
            sg_lanes_store(z + 2 * n_h, d_g, n);
            sg_lanes_store(z + 3 * n_h, d_o, n);
            sg_lanes_store(d_c + at, vr_mul(d_t, f), n);
        }
        if (d_bias) {
            sg_lanes_store(d_bias + j, sum_i, n);
            sg_lanes_store(d_bias + n_h + j, sum_f, n);
            sg_lanes_store(d_bias + 2 * n_h + j, sum_g, n);
            sg_lanes_store(d_bias + 3 * n_h + j, sum_o, n);
        }
    }
}

static void backward_block(const sg_op_call *call)
{
    const layer  l      = sg_recurrent_of(call);
    const kept   k      = kept_of(&l, call->saved);
    const size_t n_gate = 4 * l.n_h, n_xh = l.n_x + l.n_h, h = l.n_rows * l.h_row;
    real        *d_h = call->scratch, *d_c = d_h + h, *d_in = call->d_in[0], *d_weight = call->d_parameters;
    real        *d_bias = d_weight ? d_weight + n_xh * n_gate : NULL;
    int          add    = call->add_parameters;
    memset(d_c, 0, h * sizeof *d_c);
    if (d_bias && !add)
        memset(d_bias, 0, n_gate * sizeof *d_bias);
    for (size_t s = l.n_steps, waiting = 0; s-- > 0;) {
        real *gate = k.gate + s * l.n_rows * l.gate_row;
        sg_recurrent_take(&l, s, call->d_out, d_h);
        cell_back(&l, gate, s ? k.c + (s - 1) * h : NULL, k.tanh_c + s * h, d_h, d_c, d_bias);
        if (s) {
            const real      *u = packed_u(&l, call->packed);
            const sg_product p = sg_product_packed(l.n_rows, l.n_h, n_gate, gate, l.gate_row, u);
            product_packed(&p, &(sg_target){NULL, d_h, (ptrdiff_t)l.h_row});
        }
        if (d_in) {
            const real      *w  = packed_w(&l, call->packed);
            const sg_product p  = sg_product_packed(l.n_rows, l.n_x, n_gate, gate, l.gate_row, w);
            const sg_target  to = sg_recurrent_to_input(&l, s, d_in);
            (call->add_in[0] ? product_packed_add : product_packed)(&p, &to);
        }
        waiting += l.n_rows;
        if (d_weight && (waiting >= SG_RECURRENT_GROUP || s == 0)) {
            const real      *xh = k.xh + s * l.n_rows * l.xh_row;
            const sg_product p =
                sg_product_transposed(n_xh, n_gate, waiting, xh, l.xh_row, gate, l.gate_row);
            (add ? product_plain_add : product_plain)(&p, &(sg_target){NULL, d_weight, (ptrdiff_t)n_gate});
            add = 1, waiting = 0;
        }
    }
}

static void backward(const sg_op_call *call) { sg_recurrent_blocks(call, backward_block); }

/* One step: t_gate comes from the product, t_c is the tangent of c before and after. */
static void cell_tangent(const layer *l, const real *gate, const real *c_before, const real *tanh_c,
                         const real *t_gate, real *t_c, real *t_h)
{
    const size_t n_h = l->n_h;
    const vr     one = vr_set1(1);
    for (size_t row = 0; row < l->n_rows; row++)
        for (size_t j = 0; j < n_h; j += VL) {
            const size_t n = sg_lanes(n_h - j), at = row * l->h_row + j;
            const real  *z = gate + row * l->gate_row + j, *t_z = t_gate + row * l->gate_row + j;
            const vr     i = sg_lanes_load(z, n), f = sg_lanes_load(z + n_h, n);
            const vr     g = sg_lanes_load(z + 2 * n_h, n), o = sg_lanes_load(z + 3 * n_h, n);
            const vr     t   = sg_lanes_load(tanh_c + at, n);
            const vr     old = c_before ? sg_lanes_load(c_before + at, n) : vr_zero();
            const vr     t_i = vr_mul(sg_lanes_load(t_z, n), vr_fnma(i, i, i));
            const vr     t_f = vr_mul(sg_lanes_load(t_z + n_h, n), vr_fnma(f, f, f));
            const vr     t_g = vr_mul(sg_lanes_load(t_z + 2 * n_h, n), vr_fnma(g, g, one));
            const vr     t_o = vr_mul(sg_lanes_load(t_z + 3 * n_h, n), vr_fnma(o, o, o));
            const vr     d   = vr_fma(t_f, old,
                                      vr_fma(f, sg_lanes_load(t_c + at, n), vr_fma(t_i, g, vr_mul(i, t_g))));
            sg_lanes_store(t_c + at, d, n);
            sg_lanes_store(t_h + row * l->xh_row + j,
                           vr_fma(t_o, t, vr_mul(vr_mul(o, d), vr_fnma(t, t, one))), n);
        }
}

static void tangent_block(const sg_op_call *call)
{
    const layer  l = sg_recurrent_of(call);
    const kept   k = kept_of(&l, call->saved);
    const size_t h = l.n_rows * l.h_row;
    real        *t_xh = call->scratch, *t_gate = t_xh + l.n_rows * l.xh_row;
    real        *t_c = t_gate + l.n_rows * l.gate_row;
    sg_recurrent_clear_state(&l, t_xh);
    memset(t_c, 0, h * sizeof *t_c);
    for (size_t s = 0; s < l.n_steps; s++) {
        sg_recurrent_gather(&l, s, call->t_in[0], t_xh);
        const sg_product p = gate_product(&l, t_xh, call->packed);
        product_packed(&p, &(sg_target){NULL, t_gate, (ptrdiff_t)l.gate_row});
        cell_tangent(&l, k.gate + s * l.n_rows * l.gate_row, s ? k.c + (s - 1) * h : NULL, k.tanh_c + s * h,
                     t_gate, t_c, t_xh + l.n_x);
        sg_recurrent_put(&l, s, t_xh, call->t_out);
    }
}

static void tangent(const sg_op_call *call) { sg_recurrent_blocks(call, tangent_block); }

const sg_op_kernel SG_HOT(sg_op_kernel_lstm) = {prepare, forward, backward, tangent};
