/* SPDX-License-Identifier: BSD-3-Clause */
/* prepare writes into packed, as whole numbers of the size of real, where each channel of the result comes from. */
#include "base/simd.h"
#include "base/philox.h"
#include "nn/op_linear.h"

enum { SEED, DIRECTION }; /* attributes, in the order of the table */
#define ORDERS ((uint64_t)0x73687566 << 32) /* the stream of Philox */

static size_t channels(const sg_op_site *site) { return site->out.dim[site->out.rank - 1]; }

/* Fisher-Yates as in sg_philox_shuffle, in place. */
static void draw_order(uint64_t seed, size_t n, sg_int *order)
{
    for (size_t i = 0; i < n; i++) {
        const size_t j = (size_t)sg_philox_below(seed, ORDERS, i, i + 1);
        order[i]       = order[j];
        order[j]       = (sg_int)i;
    }
}

/* Turns an order around in place, cycle by cycle; places already done are marked by their complement. */
static void invert(size_t n, sg_int *order)
{
    for (size_t start = 0; start < n; start++) {
        size_t from = start;
        sg_int at   = order[start];
        if (at < 0)
            continue;
        while ((size_t)at != start) {
            const sg_int next = order[at];
            order[at]         = ~(sg_int)from;
            from              = (size_t)at;
            at                = next;
        }
        order[start] = ~(sg_int)from;
    }
    for (size_t i = 0; i < n; i++)
        order[i] = ~order[i];
}

static void prepare(const sg_op_call *call)
{
    const size_t n = channels(call->site);
    draw_order((uint64_t)call->site->attribute[SEED].v[0], n, call->packed);
    if (call->site->attribute[DIRECTION].v[0] != 0)
        invert(n, call->packed);
}

static void forward(const sg_op_call *call)
{
    const size_t  n = channels(call->site), n_rows = call->n_rows * (call->site->out_size / n);
    const sg_int *from = call->packed;
    const real   *in   = call->in[0];
    real         *out  = call->out;
    for (size_t row = 0; row < n_rows; row++, in += n, out += n)
        for (size_t j = 0; j < n; j++)
            out[j] = in[from[j]];
}

static void backward(const sg_op_call *call)
{
    const size_t  n = channels(call->site), n_rows = call->n_rows * (call->site->out_size / n);
    const sg_int *from = call->packed;
    const real   *d    = call->d_out;
    real         *d_in = call->d_in[0];
    for (size_t row = 0; d_in && row < n_rows; row++, d += n, d_in += n)
        for (size_t j = 0; j < n; j++)
            d_in[from[j]] = (call->add_in[0] ? d_in[from[j]] : 0) + d[j];
}

static void tangent(const sg_op_call *call) { sg_op_linear_tangent(forward, call); }

const sg_op_kernel SG_HOT(sg_op_kernel_shuffle) = {prepare, forward, backward, tangent};
