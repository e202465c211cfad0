/* SPDX-License-Identifier: BSD-3-Clause */
/* Multi-head scaled dot-product attention of one row, for hot files: what op_attention and op_attention_pool
 * share. Vaswani et al. 2017, arXiv:1706.03762, eq. 1. Every score is one chain over the channels of its
 * head, every result one chain over the items that are present. Items that are not present are never read. */
#ifndef SG_NN_ATTENTION_ROWS_H
#define SG_NN_ATTENTION_ROWS_H

#include "nn/ops.h"
#include "nn/sums.h"

typedef struct sg_attention {
    size_t n_queries, n_items, n_heads;
    size_t n_key;   /* channels of a query and a key, all heads together */
    size_t n_value; /* channels of a value, all heads together           */
} sg_attention;

/* One row. */
typedef struct sg_attention_row {
    const real *query; /* (n_queries, n_key)                                                   */
    const real *key;   /* (n_items, n_key)                                                     */
    const real *value; /* (n_items, n_value)                                                   */
    const real *mask;  /* (n_items), present where > 0.5, or NULL                              */
    real       *share; /* (n_queries, n_heads, n_items): softmax of the scores, 0 where absent */
    int         keep;  /* 0: share has room for one query and head only, in inference          */
    real       *work;  /* (2 max(n_key, n_value) + 1, n_items)                                 */
} sg_attention_row;

SG_INLINE int sg_attention_present(const sg_attention_row *r, size_t item)
{
    return !r->mask || r->mask[item] > R(0.5);
}

/* at = a^T: (n_items, n) to (n, n_items); zeros for items that are not present */
static inline void sg_attention_transpose(const sg_attention *s, const sg_attention_row *r, size_t n,
                                          const real *a, real *at)
{
    for (size_t i = 0; i < s->n_items; i++) {
        const int present = sg_attention_present(r, i);
        for (size_t c = 0; c < n; c++)
            at[c * s->n_items + i] = present ? a[i * n + c] : 0;
    }
}

/* to[i] = scale sum over c of x[c] at[c][i], added if add */
static inline void sg_attention_scores(const sg_attention *s, size_t n, const real *x, const real *at,
                                       real scale, real *to, int add)
{
    for (size_t i = 0; i < s->n_items; i += VL) {
        const size_t left = sg_lanes(s->n_items - i);
        vr           sum  = vr_zero();
        for (size_t c = 0; c < n; c++)
            sum = vr_fma(vr_set1(x[c]), sg_lanes_load(at + c * s->n_items + i, left), sum);
        sum = vr_mul(vr_set1(scale), sum);
        sg_lanes_store(to + i, add ? vr_add(sg_lanes_load(to + i, left), sum) : sum, left);
    }
}

/* to[c] = sum over items of weight[i] a[i][c], added if add; a has rows of n_row channels, of which n are
 * taken */
static inline void sg_attention_mix(const sg_attention *s, const sg_attention_row *r, size_t n, size_t n_row,
                                    const real *weight, const real *a, real *to, int add)
{
    for (size_t c = 0; c < n; c += VL) {
        const size_t left = sg_lanes(n - c);
        vr           sum  = add ? sg_lanes_load(to + c, left) : vr_zero();
        for (size_t i = 0; i < s->n_items; i++)
            if (sg_attention_present(r, i))
                sum = vr_fma(vr_set1(weight[i]), sg_lanes_load(a + i * n_row + c, left), sum);
        sg_lanes_store(to + c, sum, left);
    }
}

/* a[i][c] += weight[i] x[c] for the items that are present */
static inline void sg_attention_spread(const sg_attention *s, const sg_attention_row *r, size_t n,
                                       size_t n_row, const real *weight, const real *x, real *a)
{
    for (size_t i = 0; i < s->n_items; i++)
        if (sg_attention_present(r, i))
            for (size_t c = 0; c < n; c += VL) {
                const size_t left = sg_lanes(n - c);
                real        *to   = a + i * n_row + c;
                sg_lanes_store(
                    to, vr_fma(vr_set1(weight[i]), sg_lanes_load(x + c, left), sg_lanes_load(to, left)),
                    left);
            }
}

/* Scores to shares, in place; all 0 where no item is present. */
static inline void sg_attention_softmax(const sg_attention *s, const sg_attention_row *r, real *score)
{
    real top = -SG_INFINITY;
    for (size_t i = 0; i < s->n_items; i++)
        if (sg_attention_present(r, i) && score[i] > top)
            top = score[i];
    for (size_t i = 0; i < s->n_items; i += VL) {
        const size_t left = sg_lanes(s->n_items - i);
        vr           e    = vr_exp(vr_sub(sg_lanes_load(score + i, left), vr_set1(top)));
        if (r->mask)
            e = vr_select(vr_lt(vr_set1(R(0.5)), sg_lanes_load(r->mask + i, left)), e, vr_zero());
        sg_lanes_store(score + i, e, left);
    }
    const real sum = sg_sum(s->n_items, score);
    for (size_t i = 0; sum != 0 && i < s->n_items; i += VL) {
        const size_t left = sg_lanes(s->n_items - i);
        sg_lanes_store(score + i, vr_div(sg_lanes_load(score + i, left), vr_set1(sum)), left);
    }
}

SG_INLINE real sg_attention_scale(const sg_attention *s)
{
    real lane[VL];
    vr_store(lane, vr_div(vr_set1(1), vr_sqrt(vr_set1((real)(s->n_key / s->n_heads)))));
    return lane[0];
}

/* out: (n_queries, n_value) */
static inline void sg_attention_forward(const sg_attention *s, const sg_attention_row *r, real *out)
{
    const size_t n_k = s->n_key / s->n_heads, n_v = s->n_value / s->n_heads;
    const real   scale = sg_attention_scale(s);
    real        *key_t = r->work;
    sg_attention_transpose(s, r, s->n_key, r->key, key_t);
    for (size_t q = 0; q < s->n_queries; q++)
        for (size_t h = 0; h < s->n_heads; h++) {
            real *share = r->share + (r->keep ? (q * s->n_heads + h) * s->n_items : 0);
            sg_attention_scores(s, n_k, r->query + q * s->n_key + h * n_k, key_t + h * n_k * s->n_items,
                                scale, share, 0);
            sg_attention_softmax(s, r, share);
            sg_attention_mix(s, r, n_v, s->n_value, share, r->value + h * n_v, out + q * s->n_value + h * n_v,
                             0);
        }
}

/* to = scale share (pull - sum(share pull)): from the gradient (or tangent) of the shares to that of the
 * scores. */
SG_INLINE void sg_attention_softmax_slope(const sg_attention *s, const real *share, real scale, real *pull)
{
    const real mean = sg_dot(s->n_items, share, pull);
    for (size_t i = 0; i < s->n_items; i += VL) {
        const size_t left = sg_lanes(s->n_items - i);
        const vr     p    = vr_mul(vr_set1(scale), sg_lanes_load(share + i, left));
        sg_lanes_store(pull + i, vr_mul(p, vr_sub(sg_lanes_load(pull + i, left), vr_set1(mean))), left);
    }
}

/* Gradients are added; NULL: not wanted. */
static inline void sg_attention_backward(const sg_attention *s, const sg_attention_row *r, const real *d_out,
                                         real *d_query, real *d_key, real *d_value)
{
    const size_t n_k = s->n_key / s->n_heads, n_v = s->n_value / s->n_heads;
    const real   scale   = sg_attention_scale(s);
    real        *value_t = r->work, *pull = value_t + s->n_value * s->n_items;
    sg_attention_transpose(s, r, s->n_value, r->value, value_t);
    for (size_t q = 0; q < s->n_queries; q++)
        for (size_t h = 0; h < s->n_heads; h++) {
            const real *share = r->share + (q * s->n_heads + h) * s->n_items,
                       *d     = d_out + q * s->n_value + h * n_v;
            const real *query = r->query + q * s->n_key + h * n_k;
            if (d_value)
                sg_attention_spread(s, r, n_v, s->n_value, share, d, d_value + h * n_v);
            sg_attention_scores(s, n_v, d, value_t + h * n_v * s->n_items, 1, pull, 0);
            sg_attention_softmax_slope(s, share, scale, pull);
            if (d_query)
                sg_attention_mix(s, r, n_k, s->n_key, pull, r->key + h * n_k,
                                 d_query + q * s->n_key + h * n_k, 1);
            if (d_key)
                sg_attention_spread(s, r, n_k, s->n_key, pull, query, d_key + h * n_k);
        }
}

/* Derivative of out along t_query (NULL: 0), t_key, t_value. */
static inline void sg_attention_tangent(const sg_attention *s, const sg_attention_row *r, const real *t_query,
                                        const real *t_key, const real *t_value, real *t_out)
{
    const size_t n_k = s->n_key / s->n_heads, n_v = s->n_value / s->n_heads;
    const real   scale = sg_attention_scale(s);
    real *key_t = r->work, *t_key_t = key_t + s->n_key * s->n_items, *along = t_key_t + s->n_key * s->n_items;
    sg_attention_transpose(s, r, s->n_key, r->key, key_t);
    sg_attention_transpose(s, r, s->n_key, t_key, t_key_t);
    for (size_t q = 0; q < s->n_queries; q++)
        for (size_t h = 0; h < s->n_heads; h++) {
            const real  *share = r->share + (q * s->n_heads + h) * s->n_items;
            const size_t at    = q * s->n_key + h * n_k;
            real        *to    = t_out + q * s->n_value + h * n_v;
            sg_attention_scores(s, n_k, r->query + at, t_key_t + h * n_k * s->n_items, 1, along, 0);
            if (t_query)
                sg_attention_scores(s, n_k, t_query + at, key_t + h * n_k * s->n_items, 1, along, 1);
            sg_attention_softmax_slope(s, share, scale, along);
            sg_attention_mix(s, r, n_v, s->n_value, along, r->value + h * n_v, to, 0);
            sg_attention_mix(s, r, n_v, s->n_value, share, t_value + h * n_v, to, 1);
        }
}

/* Row of a call whose inputs key, key + 1, key + 2 are keys, values and, if there, the mask. */
static inline sg_attention_row sg_attention_row_of(const sg_op_call *call, const sg_attention *s, size_t row,
                                                   const real *query, int key)
{
    const size_t n_share = s->n_queries * s->n_heads * s->n_items;
    return (sg_attention_row){
        .query = query,
        .key   = (const real *)call->in[key] + row * s->n_items * s->n_key,
        .value = (const real *)call->in[key + 1] + row * s->n_items * s->n_value,
        .mask  = call->site->n_inputs > key + 2 ? (const real *)call->in[key + 2] + row * s->n_items : NULL,
        .share = call->saved ? (real *)call->saved + row * n_share : call->scratch,
        .keep  = call->saved != NULL,
        .work  = (real *)call->scratch + s->n_items,
    };
}

/* Zeros where backward will add. */
static inline void sg_attention_clear(const sg_op_call *call)
{
    for (int i = 0; i < call->site->n_inputs; i++)
        if (call->d_in[i] && !call->add_in[i])
            memset(call->d_in[i], 0, call->n_rows * call->site->in_size[i] * sizeof(real));
    if (call->d_parameters && !call->add_parameters)
        memset(call->d_parameters, 0, call->site->parameter_size * sizeof(real));
}

#endif
