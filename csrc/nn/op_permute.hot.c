/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/simd.h"
#include "nn/op_linear.h"

/* Sizes of the result and the step in the input from one position of it to the next, SG_MAX_RANK dimensions. */
typedef struct {
    size_t n[SG_MAX_RANK], step[SG_MAX_RANK];
} order;

static order order_of(const sg_op_site *site)
{
    order     o;
    const int lead = SG_MAX_RANK - site->out.rank;
    for (int i = 0; i < SG_MAX_RANK; i++) {
        o.n[i]    = i < lead ? 1 : site->out.dim[i - lead];
        o.step[i] = i < lead ? 0 : 1;
        if (i >= lead)
            for (int j = (int)site->attribute[0].v[i - lead] + 1; j < site->in[0].rank; j++)
                o.step[i] *= site->in[0].dim[j];
    }
    return o;
}

/* Runs body for every position of a row, in order of the result: at counts the result, from is the place in the input. */
#define EACH(o, body)                                                                                        \
    do {                                                                                                     \
        size_t at = 0;                                                                                       \
        for (size_t i0 = 0; i0 < (o).n[0]; i0++)                                                             \
            for (size_t i1 = 0; i1 < (o).n[1]; i1++)                                                         \
                for (size_t i2 = 0; i2 < (o).n[2]; i2++)                                                     \
                    for (size_t i3 = 0; i3 < (o).n[3]; i3++) {                                               \
                        size_t from = i0 * (o).step[0] + i1 * (o).step[1] + i2 * (o).step[2] + i3 * (o).step[3]; \
                        for (size_t i4 = 0; i4 < (o).n[4]; i4++, at++, from += (o).step[4])                  \
                            body;                                                                            \
                    }                                                                                        \
    } while (0)

static void forward(const sg_op_call *call)
{
    const order  o = order_of(call->site);
    const size_t n = call->site->out_size;
    for (size_t row = 0; row < call->n_rows; row++) {
        const real *in  = (const real *)call->in[0] + row * n;
        real       *out = (real *)call->out + row * n;
        EACH(o, out[at] = in[from]);
    }
}

static void backward(const sg_op_call *call)
{
    const order  o = order_of(call->site);
    const size_t n = call->site->out_size;
    if (!call->d_in[0])
        return;
    for (size_t row = 0; row < call->n_rows; row++) {
        const real *d_out = (const real *)call->d_out + row * n;
        real       *d_in  = (real *)call->d_in[0] + row * n;
        if (call->add_in[0])
            EACH(o, d_in[from] += d_out[at]);
        else
            EACH(o, d_in[from] = d_out[at]);
    }
}

static void tangent(const sg_op_call *call) { sg_op_linear_tangent(forward, call); }

const sg_op_kernel SG_HOT(sg_op_kernel_permute) = {NULL, forward, backward, tangent};
