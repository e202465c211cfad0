/* SPDX-License-Identifier: BSD-3-Clause */
/* Gated recurrent unit, Cho et al. 2014, arXiv:1406.1078, in the form with the reset gate behind the
 * recurrent product:
 *
 *     r, z = sigmoid(x_t W_rz + b_rz + h_(t-1) U_rz + d_rz)
 *     q    = h_(t-1) U_n + d_n
 *     n    = tanh(x_t W_n + b_n + r q)
 *     h_t  = n + z (h_(t-1) - n)
 *
 * The gates of a row stand in the order r, z, x_t W_n + b_n, q. */
#include "nn/recurrent.h"

typedef sg_recurrent layer;

SG_TILE_PRODUCT(product_bias, sg_target, sg_start_bias, sg_store_result, SG_B_PACKED)
SG_TILE_PRODUCT(product_packed, sg_target, sg_start_zero, sg_store_result, SG_B_PACKED)
SG_TILE_PRODUCT(product_packed_add, sg_target, sg_start_there, sg_store_result, SG_B_PACKED)
SG_TILE_PRODUCT(product_plain, sg_target, sg_start_zero, sg_store_result, SG_B_PLAIN)
SG_TILE_PRODUCT(product_plain_add, sg_target, sg_start_there, sg_store_result, SG_B_PLAIN)

/* packed: for forward [W_rz; U_rz], W_n, U_n and biases in the order of the gates; behind them, for backward,
 * U^T and W^T. */
typedef struct packs {
    real *rz, *w_n, *u_n, *bias, *u_back, *w_back;
} packs;

static packs packs_of(const layer *l, void *packed)
{
    packs p;
    p.rz     = packed;
    p.w_n    = p.rz + sg_recurrent_panels(l->n_x + l->n_h, 2 * l->n_h);
    p.u_n    = p.w_n + sg_recurrent_panels(l->n_x, l->n_h);
    p.bias   = p.u_n + sg_recurrent_panels(l->n_h, l->n_h);
    p.u_back = p.bias + 4 * l->n_h;
    p.w_back = p.u_back + sg_recurrent_panels(3 * l->n_h, l->n_h);
    return p;
}

static void prepare(const sg_op_call *call)
{
    const layer     l = sg_recurrent_of(call);
    const packs     p = packs_of(&l, call->packed);
    const size_t    n = 3 * l.n_h, two = 2 * l.n_h;
    const ptrdiff_t row = (ptrdiff_t)n;
    const real     *w = call->parameters, *u = w + l.n_x * n, *b = u + l.n_h * n, *d = b + n;
    sg_panels_pack(l.n_x + l.n_h, two, w, row, 1, p.rz);
    sg_panels_pack(l.n_x, l.n_h, w + two, row, 1, p.w_n);
    sg_panels_pack(l.n_h, l.n_h, u + two, row, 1, p.u_n);
    for (size_t j = 0; j < two; j++)
        p.bias[j] = b[j] + d[j];
    memcpy(p.bias + two, b + two, l.n_h * sizeof *b);
    memcpy(p.bias + n, d + two, l.n_h * sizeof *b);
    if (call->mode == SG_PLAN_INFER || call->mode == SG_PLAN_TANGENT)
        return;
    sg_panels_pack(n, l.n_h, u, 1, row, p.u_back);
    sg_panels_pack(n, l.n_x, w, 1, row, p.w_back);
}

typedef void product(const sg_product *, const sg_target *);

/* gate (n_rows, 4 n_h) before the nonlinearities, from xh; bias NULL for run = product_packed. */
static void gate_products(const layer *l, const packs *p, product *run, const real *xh, const real *bias,
                          real *gate)
{
    const size_t     n_h = l->n_h, two = 2 * n_h, three = 3 * n_h;
    const ptrdiff_t  row = (ptrdiff_t)l->gate_row;
    const sg_product rz  = sg_product_packed(l->n_rows, two, l->n_x + n_h, xh, l->xh_row, p->rz);
    const sg_product n   = sg_product_packed(l->n_rows, n_h, l->n_x, xh, l->xh_row, p->w_n);
    const sg_product q   = sg_product_packed(l->n_rows, n_h, n_h, xh + l->n_x, l->xh_row, p->u_n);
    run(&rz, &(sg_target){bias, gate, row});
    run(&n, &(sg_target){bias ? bias + two : NULL, gate + two, row});
    run(&q, &(sg_target){bias ? bias + three : NULL, gate + three, row});
}

/* What forward leaves for backward, of one block: a step is a slice of each. After forward gate holds r, z,
 * n, q. */
typedef struct kept {
    real *xh, *gate;
} kept;

static kept kept_of(const layer *l, void *saved)
{
    return (kept){saved, (real *)saved + l->n_steps * l->n_rows * l->xh_row};
}

/* One step after the products. h (n_rows, xh_row) is the state before and may be next, where the new one
 * goes. */
SG_INLINE void cell(const layer *l, int keep, real *gate, const real *h, real *next)
{
    const size_t n_h = l->n_h;
    for (size_t row = 0; row < l->n_rows; row++)
        for (size_t j = 0; j < n_h; j += VL) {
            const size_t m = sg_lanes(n_h - j), at = row * l->xh_row + j;
            real        *g = gate + row * l->gate_row + j;
            const vr     r = vr_sigmoid(sg_lanes_load(g, m)), z = vr_sigmoid(sg_lanes_load(g + n_h, m));
            const vr     q = sg_lanes_load(g + 3 * n_h, m);
            const vr     n = vr_tanh(vr_fma(r, q, sg_lanes_load(g + 2 * n_h, m)));
            sg_lanes_store(next + at, vr_fma(z, vr_sub(sg_lanes_load(h + at, m), n), n), m);
            if (keep) {
                sg_lanes_store(g, r, m);
                sg_lanes_store(g + n_h, z, m);
                sg_lanes_store(g + 2 * n_h, n, m);
            }
        }
}

static void forward_infer(const sg_op_call *call)
{
    const layer l  = sg_recurrent_of(call);
    const packs p  = packs_of(&l, call->packed);
    real       *xh = call->scratch, *gate = xh + l.n_rows * l.xh_row;
    sg_recurrent_clear_state(&l, xh);
    for (size_t s = 0; s < l.n_steps; s++) {
        sg_recurrent_gather(&l, s, call->in[0], xh);
        gate_products(&l, &p, product_bias, xh, p.bias, gate);
        cell(&l, 0, gate, xh + l.n_x, xh + l.n_x);
        sg_recurrent_put(&l, s, xh, call->out);
    }
}

static void forward_keep(const sg_op_call *call)
{
    const layer  l = sg_recurrent_of(call);
    const packs  p = packs_of(&l, call->packed);
    const kept   k = kept_of(&l, call->saved);
    const size_t x = l.n_rows * l.xh_row;
    sg_recurrent_clear_state(&l, k.xh);
    for (size_t s = 0; s < l.n_steps; s++) {
        real *xh = k.xh + s * x, *gate = k.gate + s * l.n_rows * l.gate_row;
        /* The last state goes to scratch, because nothing comes after it. */
        real *next = s + 1 < l.n_steps ? xh + x : call->scratch;
        sg_recurrent_gather(&l, s, call->in[0], xh);
        gate_products(&l, &p, product_bias, xh, p.bias, gate);
        cell(&l, 1, gate, xh + l.n_x, next + l.n_x);
        sg_recurrent_put(&l, s, next, call->out);
    }
}

static void forward(const sg_op_call *call)
{
    sg_recurrent_blocks(call, call->saved ? forward_keep : forward_infer);
}

/* One step: gate becomes the gradients before the nonlinearities, of r, z, x W_n + b_n and q; d_h what
 * reaches the state before directly. d_b and d_d, the gradients of the biases, are NULL where not wanted. */
SG_INLINE void cell_back(const layer *l, real *gate, const real *h, real *d_h, real *d_b, real *d_d)
{
    const size_t n_h = l->n_h;
    const vr     one = vr_set1(1);
    for (size_t j = 0; j < n_h; j += VL) {
        const size_t m     = sg_lanes(n_h - j);
        vr           sum_r = vr_zero(), sum_z = sum_r, sum_n = sum_r, sum_q = sum_r;
        for (size_t row = 0; row < l->n_rows; row++) {
            real    *g = gate + row * l->gate_row + j, *d_at = d_h + row * l->h_row + j;
            const vr r = sg_lanes_load(g, m), z = sg_lanes_load(g + n_h, m);
            const vr n = sg_lanes_load(g + 2 * n_h, m), q = sg_lanes_load(g + 3 * n_h, m);
            const vr d   = sg_lanes_load(d_at, m);
            const vr old = sg_lanes_load(h + row * l->xh_row + j, m);
            const vr d_z = vr_mul(vr_mul(d, vr_sub(old, n)), vr_fnma(z, z, z));
            const vr d_n = vr_mul(vr_fnma(d, z, d), vr_fnma(n, n, one));
            const vr d_r = vr_mul(vr_mul(d_n, q), vr_fnma(r, r, r));
            const vr d_q = vr_mul(d_n, r);
            sum_r = vr_add(sum_r, d_r), sum_z = vr_add(sum_z, d_z);
            sum_n = vr_add(sum_n, d_n), sum_q = vr_add(sum_q, d_q);
            sg_lanes_store(g, d_r, m);
            sg_lanes_store(g + n_h, d_z, m);
            sg_lanes_store(g + 2 * n_h, d_n, m);
            sg_lanes_store(g + 3 * n_h, d_q, m);
            sg_lanes_store(d_at, vr_mul(d, z), m);
        }
        if (d_b) {
            const vr sum[2][3] = {{sum_r, sum_z, sum_n}, {sum_r, sum_z, sum_q}};
            for (size_t k = 0; k < 3; k++) {
                sg_lanes_store(d_b + k * n_h + j, vr_add(sg_lanes_load(d_b + k * n_h + j, m), sum[0][k]), m);
                sg_lanes_store(d_d + k * n_h + j, vr_add(sg_lanes_load(d_d + k * n_h + j, m), sum[1][k]), m);
            }
        }
    }
}

/* Gradients of W and U from n_k rows of xh and of gate. */
static void weight_gradients(const layer *l, size_t n_k, const real *xh, const real *gate, real *d_w,
                             product *run)
{
    const size_t     n_h = l->n_h, n = 3 * n_h, x_row = l->xh_row, row = l->gate_row;
    const real      *h = xh + l->n_x;
    real            *d_u = d_w + l->n_x * n;
    const sg_product w    = sg_product_transposed(l->n_x, n, n_k, xh, x_row, gate, row);
    const sg_product u_rz = sg_product_transposed(n_h, 2 * n_h, n_k, h, x_row, gate, row);
    const sg_product u_n  = sg_product_transposed(n_h, n_h, n_k, h, x_row, gate + n, row);
    run(&w, &(sg_target){NULL, d_w, (ptrdiff_t)n});
    run(&u_rz, &(sg_target){NULL, d_u, (ptrdiff_t)n});
    run(&u_n, &(sg_target){NULL, d_u + 2 * n_h, (ptrdiff_t)n});
}

/* d_h += gradients of r, z and q times U^T, whose panels the two parts of a row of gate share. */
static void state_gradients(const layer *l, const packs *p, const real *gate, real *d_h)
{
    const size_t    n_h = l->n_h, n = 3 * n_h, row = l->gate_row;
    const sg_target to = {NULL, d_h, (ptrdiff_t)l->h_row};
    sg_product      rz = sg_product_packed(l->n_rows, n_h, 2 * n_h, gate, row, p->u_back);
    const real     *u_n = p->u_back + 2 * n_h * SG_PANEL;
    sg_product      q   = sg_product_packed(l->n_rows, n_h, n_h, gate + n, row, u_n);
    rz.b_panel = q.b_panel = (ptrdiff_t)(n * SG_PANEL);
    product_packed_add(&rz, &to);
    product_packed_add(&q, &to);
}

static void backward_block(const sg_op_call *call)
{
    const layer  l   = sg_recurrent_of(call);
    const packs  p   = packs_of(&l, call->packed);
    const kept   k   = kept_of(&l, call->saved);
    const size_t n   = 3 * l.n_h;
    real        *d_h = call->scratch, *d_in = call->d_in[0], *d_w = call->d_parameters;
    real        *d_b = d_w ? d_w + (l.n_x + l.n_h) * n : NULL, *d_d = d_w ? d_b + n : NULL;
    int          add = call->add_parameters;
    if (d_b && !add)
        memset(d_b, 0, 2 * n * sizeof *d_b);
    for (size_t s = l.n_steps, waiting = 0; s-- > 0;) {
        real *xh = k.xh + s * l.n_rows * l.xh_row, *gate = k.gate + s * l.n_rows * l.gate_row;
        sg_recurrent_take(&l, s, call->d_out, d_h);
        cell_back(&l, gate, xh + l.n_x, d_h, d_b, d_d);
        if (s)
            state_gradients(&l, &p, gate, d_h);
        if (d_in) {
            const sg_product w  = sg_product_packed(l.n_rows, l.n_x, n, gate, l.gate_row, p.w_back);
            const sg_target  to = sg_recurrent_to_input(&l, s, d_in);
            (call->add_in[0] ? product_packed_add : product_packed)(&w, &to);
        }
        waiting += l.n_rows;
        if (d_w && (waiting >= SG_RECURRENT_GROUP || s == 0)) {
            weight_gradients(&l, waiting, xh, gate, d_w, add ? product_plain_add : product_plain);
            add = 1, waiting = 0;
        }
    }
}

static void backward(const sg_op_call *call) { sg_recurrent_blocks(call, backward_block); }

/* One step: t_gate comes from the products, t_h (n_rows, xh_row) is the tangent of the state before and
 * after. */
static void cell_tangent(const layer *l, const real *gate, const real *h, const real *t_gate, real *t_h)
{
    const size_t n_h = l->n_h;
    const vr     one = vr_set1(1);
    for (size_t row = 0; row < l->n_rows; row++)
        for (size_t j = 0; j < n_h; j += VL) {
            const size_t m = sg_lanes(n_h - j), at = row * l->xh_row + j;
            const real  *g = gate + row * l->gate_row + j, *t_g = t_gate + row * l->gate_row + j;
            const vr     r = sg_lanes_load(g, m), z = sg_lanes_load(g + n_h, m);
            const vr     n = sg_lanes_load(g + 2 * n_h, m), q = sg_lanes_load(g + 3 * n_h, m);
            const vr     t_r = vr_mul(sg_lanes_load(t_g, m), vr_fnma(r, r, r));
            const vr     t_z = vr_mul(sg_lanes_load(t_g + n_h, m), vr_fnma(z, z, z));
            const vr     t_q = sg_lanes_load(t_g + 3 * n_h, m), t_old = sg_lanes_load(t_h + at, m);
            const vr     t_n = vr_mul(vr_fma(t_r, q, vr_fma(r, t_q, sg_lanes_load(t_g + 2 * n_h, m))),
                                      vr_fnma(n, n, one));
            const vr     old = sg_lanes_load(h + at, m);
            sg_lanes_store(t_h + at, vr_fma(t_z, vr_sub(old, n), vr_fma(z, vr_sub(t_old, t_n), t_n)), m);
        }
}

static void tangent_block(const sg_op_call *call)
{
    const layer l    = sg_recurrent_of(call);
    const packs p    = packs_of(&l, call->packed);
    const kept  k    = kept_of(&l, call->saved);
    real       *t_xh = call->scratch, *t_gate = t_xh + l.n_rows * l.xh_row;
    sg_recurrent_clear_state(&l, t_xh);
    for (size_t s = 0; s < l.n_steps; s++) {
        sg_recurrent_gather(&l, s, call->t_in[0], t_xh);
        gate_products(&l, &p, product_packed, t_xh, NULL, t_gate);
        cell_tangent(&l, k.gate + s * l.n_rows * l.gate_row, k.xh + s * l.n_rows * l.xh_row + l.n_x, t_gate,
                     t_xh + l.n_x);
        sg_recurrent_put(&l, s, t_xh, call->t_out);
    }
}

static void tangent(const sg_op_call *call) { sg_recurrent_blocks(call, tangent_block); }

const sg_op_kernel SG_HOT(sg_op_kernel_gru) = {prepare, forward, backward, tangent};
