/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/simd.h"
#include "nn/op_linear.h"
#include "nn/op_pad.h"

enum { DIMS = SG_MAX_RANK - 1 }; /* of a field, channels apart */

typedef struct {
    size_t      in[DIMS], out[DIMS], before[DIMS], channels;
    sg_pad_mode mode;
} frame;

static frame frame_of(const sg_op_site *site)
{
    frame     f    = {.channels = site->in[0].dim[site->in[0].rank - 1], .mode = (sg_pad_mode)(int)site->attribute[2].v[0]};
    const int lead = DIMS - (site->in[0].rank - 1);
    for (int i = 0; i < DIMS; i++) {
        const sg_attribute_value *before = &site->attribute[0];
        f.in[i]     = i < lead ? 1 : site->in[0].dim[i - lead];
        f.out[i]    = i < lead ? 1 : site->out.dim[i - lead];
        f.before[i] = i < lead ? 0 : (size_t)before->v[before->n == 1 ? 0 : i - lead];
    }
    return f;
}

/* Position of the field that stands at position i of the result in a dimension, -1 for none. */
static ptrdiff_t source(const frame *f, int dimension, size_t i)
{
    const ptrdiff_t n = (ptrdiff_t)f->in[dimension];
    ptrdiff_t       p = (ptrdiff_t)i - (ptrdiff_t)f->before[dimension];
    if (p >= 0 && p < n)
        return p;
    switch (f->mode) {
    case SG_PAD_PERIODIC: return p < 0 ? p + n : p - n;
    case SG_PAD_REPLICATE: return p < 0 ? 0 : n - 1;
    case SG_PAD_REFLECT: return p < 0 ? -p : 2 * (n - 1) - p;
    case SG_PAD_ZERO: break;
    }
    return -1;
}

/* Adds or copies the channels of every position between a field and its padded form, one row. */
static void each(const frame *f, const real *field, real *padded, const real *d_padded, real *d_field)
{
    const size_t c  = f->channels;
    size_t       at = 0;
    for (size_t i0 = 0; i0 < f->out[0]; i0++)
        for (size_t i1 = 0; i1 < f->out[1]; i1++)
            for (size_t i2 = 0; i2 < f->out[2]; i2++)
                for (size_t i3 = 0; i3 < f->out[3]; i3++, at += c) {
                    const ptrdiff_t s0 = source(f, 0, i0), s1 = source(f, 1, i1), s2 = source(f, 2, i2), s3 = source(f, 3, i3);
                    if (s0 < 0 || s1 < 0 || s2 < 0 || s3 < 0) {
                        if (padded)
                            memset(padded + at, 0, c * sizeof(real));
                        continue;
                    }
                    const size_t from = ((((size_t)s0 * f->in[1] + (size_t)s1) * f->in[2] + (size_t)s2) * f->in[3] + (size_t)s3) * c;
                    if (padded)
                        memcpy(padded + at, field + from, c * sizeof(real));
                    else
                        for (size_t j = 0; j < c; j++)
                            d_field[from + j] += d_padded[at + j];
                }
}

static void forward(const sg_op_call *call)
{
    const frame f = frame_of(call->site);
    for (size_t row = 0; row < call->n_rows; row++)
        each(&f, (const real *)call->in[0] + row * call->site->in_size[0], (real *)call->out + row * call->site->out_size, NULL, NULL);
}

static void backward(const sg_op_call *call)
{
    const frame  f = frame_of(call->site);
    const size_t n = call->site->in_size[0];
    if (!call->d_in[0])
        return;
    if (!call->add_in[0])
        memset(call->d_in[0], 0, call->n_rows * n * sizeof(real));
    for (size_t row = 0; row < call->n_rows; row++)
        each(&f, NULL, NULL, (const real *)call->d_out + row * call->site->out_size, (real *)call->d_in[0] + row * n);
}

static void tangent(const sg_op_call *call) { sg_op_linear_tangent(forward, call); }

const sg_op_kernel SG_HOT(sg_op_kernel_pad) = {NULL, forward, backward, tangent};
