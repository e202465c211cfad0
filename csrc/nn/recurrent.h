/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernels of LSTM and GRU share. For hot files.
 *
 * Rows are taken in blocks through all steps, so that the state and the gates of a step stay in L1. Inside a
 * block data lie step by step: (step, row, channel). The input of a step and the state before it stand side
 * by side,
 *
 *     xh  (steps, n_rows, xh_row)   x_t in columns 0 .. n_x-1, h_(t-1) in columns n_x .. n_x+n_h-1,
 *
 * because the parameters begin with the matrix [weight; recurrent] of n_x + n_h rows: one product gives a
 * gate. */
#ifndef SG_NN_RECURRENT_H
#define SG_NN_RECURRENT_H

#include "nn/activation.h"
#include "nn/lanes.h"
#include "nn/op_recurrent.h"
#include "nn/ops.h"
#include "nn/products.h"

enum {
    SG_RECURRENT_BLOCK = 48 /* rows */,
    SG_RECURRENT_GROUP = 96 /* rows of one product for the gradient of weights */
};

typedef struct sg_recurrent {
    size_t n_rows, n_steps, n_x, n_h;
    size_t xh_row, gate_row, h_row; /* elements from row to row of xh, gates (four to a unit), states */
    int    sequence, reverse;
} sg_recurrent;

SG_INLINE sg_recurrent sg_recurrent_of(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    sg_recurrent      l = {.n_rows = call->n_rows, .n_steps = site->in[0].dim[0], .n_x = site->in[0].dim[1]};
    l.n_h               = (size_t)site->attribute[SG_RECURRENT_UNITS].v[0];
    l.sequence          = site->attribute[SG_RECURRENT_OUTPUT].v[0] == SG_RECURRENT_SEQUENCE;
    l.reverse           = site->attribute[SG_RECURRENT_REVERSE].v[0] != 0;
    l.xh_row            = sg_recurrent_xh_row(l.n_x, l.n_h);
    l.gate_row          = sg_recurrent_gate_row(l.n_h);
    l.h_row             = sg_recurrent_h_row(l.n_h);
    return l;
}

/* Position in the row of the s-th step taken. */
SG_INLINE size_t sg_recurrent_position(const sg_recurrent *l, size_t s)
{
    return l->reverse ? l->n_steps - 1 - s : s;
}

/* The part of call that is about n rows from first on. Scratch is used again by every block. */
SG_INLINE sg_op_call sg_recurrent_block(const sg_op_call *call, size_t first, size_t n)
{
    const sg_op_site *site  = call->site;
    sg_op_call        block = *call;
    block.n_rows            = n;
    block.in[0]             = (const real *)call->in[0] + first * site->in_size[0];
    block.out               = (real *)call->out + first * site->out_size;
    if (call->saved)
        block.saved = (real *)call->saved + first * site->saved_per_row;
    if (call->d_out)
        block.d_out = (real *)call->d_out + first * site->out_size;
    if (call->d_in[0])
        block.d_in[0] = (real *)call->d_in[0] + first * site->in_size[0];
    if (call->t_in[0])
        block.t_in[0] = (const real *)call->t_in[0] + first * site->in_size[0];
    if (call->t_out)
        block.t_out = (real *)call->t_out + first * site->out_size;
    block.add_parameters = call->add_parameters || first;
    return block;
}

static inline void sg_recurrent_blocks(const sg_op_call *call, void (*run)(const sg_op_call *block))
{
    for (size_t first = 0; first < call->n_rows; first += SG_RECURRENT_BLOCK) {
        const size_t     left  = call->n_rows - first;
        const sg_op_call block = sg_recurrent_block(call, first,
                                                    left < SG_RECURRENT_BLOCK ? left : SG_RECURRENT_BLOCK);
        run(&block);
    }
}

/* Where step s has its part of the gradient of the input: (n_rows, n_x) in the rows of d_in. */
SG_INLINE sg_target sg_recurrent_to_input(const sg_recurrent *l, size_t s, real *d_in)
{
    return (sg_target){NULL, d_in + sg_recurrent_position(l, s) * l->n_x, (ptrdiff_t)(l->n_steps * l->n_x)};
}

/* Puts x of step s beside the state. in: (n_rows, n_steps, n_x). */
static inline void sg_recurrent_gather(const sg_recurrent *l, size_t s, const real *in, real *xh)
{
    in += sg_recurrent_position(l, s) * l->n_x;
    for (size_t row = 0; row < l->n_rows; row++)
        memcpy(xh + row * l->xh_row, in + row * l->n_steps * l->n_x, l->n_x * sizeof(real));
}

static inline void sg_recurrent_clear_state(const sg_recurrent *l, real *xh)
{
    for (size_t row = 0; row < l->n_rows; row++)
        memset(xh + row * l->xh_row + l->n_x, 0, l->n_h * sizeof(real));
}

/* Puts the states after step s, columns n_x .. of xh, into out: (n_rows, n_steps, n_h) or (n_rows, n_h). */
static inline void sg_recurrent_put(const sg_recurrent *l, size_t s, const real *xh, real *out)
{
    if (!l->sequence && s + 1 < l->n_steps)
        return;
    const size_t out_row = l->sequence ? l->n_steps * l->n_h : l->n_h;
    if (l->sequence)
        out += sg_recurrent_position(l, s) * l->n_h;
    for (size_t row = 0; row < l->n_rows; row++)
        memcpy(out + row * out_row, xh + row * l->xh_row + l->n_x, l->n_h * sizeof(real));
}

/* The gradient of the states after step s: adds that of the output to what comes from the next step. */
static inline void sg_recurrent_take(const sg_recurrent *l, size_t s, const real *d_out, real *d_h)
{
    const size_t out_row = l->sequence ? l->n_steps * l->n_h : l->n_h;
    const int    last    = s + 1 == l->n_steps;
    if (!l->sequence && !last)
        return;
    if (l->sequence)
        d_out += sg_recurrent_position(l, s) * l->n_h;
    for (size_t row = 0; row < l->n_rows; row++)
        for (size_t j = 0; j < l->n_h; j += VL) {
            const size_t n = sg_lanes(l->n_h - j);
            const vr     d = sg_lanes_load(d_out + row * out_row + j, n);
            real        *h = d_h + row * l->h_row + j;
            sg_lanes_store(h, last ? d : vr_add(sg_lanes_load(h, n), d), n);
        }
}

#endif
