/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/vmath.h"
#include "nn/lanes.h"
#include "nn/ops.h"

enum { MEAN, SUM, MAX }; /* attribute pool */

typedef struct sizes {
    size_t n_items, n;
    int    pool, masked;
} sizes;

static sizes sizes_of(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    return (sizes){site->in[0].dim[0], site->in[0].dim[1], (int)site->attribute[0].v[0], site->n_inputs == 2};
}

static const real *mask_of(const sg_op_call *call, const sizes *s, size_t row)
{
    return s->masked ? (const real *)call->in[1] + row * s->n_items : NULL;
}

static int is_present(const real *mask, size_t item) { return !mask || mask[item] > R(0.5); }

/* One over the number of items that are present, or one where the sum is wanted. */
static real weight_of(const sizes *s, const real *mask)
{
    size_t n_present = 0;
    for (size_t i = 0; i < s->n_items; i++)
        n_present += (size_t)is_present(mask, i);
    return s->pool == MEAN && n_present ? 1 / (real)n_present : 1;
}

/* Sum or mean over items of x, one chain over the items for each channel. */
static void add_items(const sizes *s, const real *mask, const real *x, real *out)
{
    const vr weight = vr_set1(weight_of(s, mask));
    for (size_t j = 0; j < s->n; j += VL) {
        const size_t left = sg_lanes(s->n - j);
        vr           sum  = vr_zero();
        for (size_t i = 0; i < s->n_items; i++)
            if (is_present(mask, i))
                sum = vr_add(sum, sg_lanes_load(x + i * s->n + j, left));
        sg_lanes_store(out + j, vr_mul(weight, sum), left);
    }
}

/* Largest value over the items, the first where several are equal; which: its item, -1 for an empty set;
 * NULL: not wanted. */
static void take_largest(const sizes *s, const real *mask, const real *x, real *out, real *which)
{
    for (size_t j = 0; j < s->n; j += VL) {
        const size_t left = sg_lanes(s->n - j);
        vr           top = vr_zero(), item = vr_set1(-1);
        int          found = 0;
        for (size_t i = 0; i < s->n_items; i++)
            if (is_present(mask, i)) {
                const vr value = sg_lanes_load(x + i * s->n + j, left);
                /* NaN wins, so that it is seen. */
                const vm larger = found ? vm_or(vr_lt(top, value), vr_isnan(value)) : vr_eq(top, top);
                top             = vr_select(larger, value, top);
                item            = vr_select(larger, vr_set1((real)i), item);
                found           = 1;
            }
        sg_lanes_store(out + j, top, left);
        if (which)
            sg_lanes_store(which + j, item, left);
    }
}

static void forward(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    for (size_t row = 0; row < call->n_rows; row++) {
        const real *x   = (const real *)call->in[0] + row * s.n_items * s.n;
        real       *out = (real *)call->out + row * s.n;
        if (s.pool == MAX)
            take_largest(&s, mask_of(call, &s, row), x, out,
                         call->saved ? (real *)call->saved + row * s.n : NULL);
        else
            add_items(&s, mask_of(call, &s, row), x, out);
    }
}

static void backward(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    if (s.masked && call->d_in[1] && !call->add_in[1])
        memset(call->d_in[1], 0, call->n_rows * s.n_items * sizeof(real));
    for (size_t row = 0; call->d_in[0] && row < call->n_rows; row++) {
        const real *mask = mask_of(call, &s, row), *d = (const real *)call->d_out + row * s.n;
        const real *which = s.pool == MAX ? (const real *)call->saved + row * s.n : NULL,
                   weight = weight_of(&s, mask);
        for (size_t i = 0; i < s.n_items; i++) {
            real *d_x = (real *)call->d_in[0] + (row * s.n_items + i) * s.n;
            for (size_t j = 0; j < s.n; j++) {
                const int  mine = s.pool == MAX ? which[j] == (real)i : is_present(mask, i);
                const real part = mine ? d[j] * weight : 0;
                d_x[j]          = call->add_in[0] ? d_x[j] + part : part;
            }
        }
    }
}

static void tangent(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    for (size_t row = 0; row < call->n_rows; row++) {
        const real *t   = (const real *)call->t_in[0] + row * s.n_items * s.n;
        real       *out = (real *)call->t_out + row * s.n;
        if (s.pool != MAX) {
            add_items(&s, mask_of(call, &s, row), t, out);
            continue;
        }
        const real *which = (const real *)call->saved + row * s.n;
        for (size_t j = 0; j < s.n; j++)
            out[j] = which[j] < 0 ? 0 : t[(size_t)which[j] * s.n + j];
    }
}

const sg_op_kernel SG_HOT(sg_op_kernel_set_pool) = {NULL, forward, backward, tangent};
