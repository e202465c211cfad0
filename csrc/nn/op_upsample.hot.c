/* SPDX-License-Identifier: BSD-3-Clause */
/* Upsampling: the lines of the field that an output line lies between are mixed first, then positions along
 * the line. */
#include "nn/lanes.h"
#include "nn/op_upsample.h"

/* Positions below and above an output, and the weight of the upper one. */
typedef struct between {
    size_t low, high;
    real   weight;
} between;

static between locate(const sg_upsample *up, int i, size_t output)
{
    const size_t f = up->factor[i], cell = output / f, last = up->n[i] - 1;
    if (up->method == SG_UPSAMPLE_NEAREST)
        return (between){cell, cell, 0};
    /* Centre of the output from the centre of its cell, in units of 1 / (2 f) of a cell. */
    const ptrdiff_t offset = (ptrdiff_t)(2 * (output % f) + 1) - (ptrdiff_t)f;
    if (offset < 0)
        return cell == 0 ? (between){0, 0, 0}
                         : (between){cell - 1, cell, R(1) + (real)offset / (real)(2 * f)};
    return cell == last ? (between){last, last, 0} : (between){cell, cell + 1, (real)offset / (real)(2 * f)};
}

/* to = (or += ) weight * from */
static void scale_line(size_t n, real weight, const real *from, real *to, int add)
{
    const vr w = vr_set1(weight);
    for (size_t i = 0; i < n; i += VL) {
        const size_t m = sg_lanes(n - i);
        const vr     x = sg_lanes_load(from + i, m);
        sg_lanes_store(to + i, add ? vr_fma(w, x, sg_lanes_load(to + i, m)) : vr_mul(w, x), m);
    }
}

/* The four lines around an output line with their weights; equal lines are joined. */
typedef struct mix {
    int    n;
    size_t line[4];
    real   weight[4];
} mix;

static mix mix_of(const sg_upsample *up, size_t d, size_t h)
{
    const between b_0 = locate(up, 0, d), b_1 = locate(up, 1, h);
    mix           m = {0};
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            if ((i && b_0.low == b_0.high) || (j && b_1.low == b_1.high))
                continue;
            const real w_0  = b_0.low == b_0.high ? 1 : i ? b_0.weight : 1 - b_0.weight;
            const real w_1  = b_1.low == b_1.high ? 1 : j ? b_1.weight : 1 - b_1.weight;
            m.line[m.n]     = (i ? b_0.high : b_0.low) * up->n[1] + (j ? b_1.high : b_1.low);
            m.weight[m.n++] = w_0 * w_1;
        }
    return m;
}

static void upsample_row(const sg_upsample *up, const real *x, real *y, real *line)
{
    const size_t c = up->n_channels, n_line = up->n[2] * c, n_out = up->n[2] * up->factor[2];
    for (size_t d = 0; d < up->n[0] * up->factor[0]; d++)
        for (size_t h = 0; h < up->n[1] * up->factor[1]; h++) {
            const mix   m     = mix_of(up, d, h);
            const real *mixed = line;
            if (m.n == 1)
                mixed = x + m.line[0] * n_line;
            for (int i = 0; i < m.n && m.n > 1; i++)
                scale_line(n_line, m.weight[i], x + m.line[i] * n_line, line, i > 0);
            for (size_t w = 0; w < n_out; w++, y += c) {
                const between b      = locate(up, 2, w);
                const vr      weight = vr_set1(b.weight);
                for (size_t k = 0; k < c; k += VL) {
                    const size_t n   = sg_lanes(c - k);
                    const vr     low = sg_lanes_load(mixed + b.low * c + k, n);
                    vr           v   = low;
                    if (b.low != b.high)
                        v = vr_fma(weight, vr_sub(sg_lanes_load(mixed + b.high * c + k, n), low), low);
                    sg_lanes_store(y + k, v, n);
                }
            }
        }
}

/* d_x has the values it is added to. */
static void upsample_row_back(const sg_upsample *up, const real *d_y, real *d_x, real *line)
{
    const size_t c = up->n_channels, n_line = up->n[2] * c, n_out = up->n[2] * up->factor[2];
    for (size_t d = 0; d < up->n[0] * up->factor[0]; d++)
        for (size_t h = 0; h < up->n[1] * up->factor[1]; h++) {
            memset(line, 0, n_line * sizeof *line);
            for (size_t w = 0; w < n_out; w++, d_y += c) {
                const between b      = locate(up, 2, w);
                const vr      weight = vr_set1(b.weight);
                for (size_t k = 0; k < c; k += VL) {
                    const size_t n   = sg_lanes(c - k);
                    const vr     g   = sg_lanes_load(d_y + k, n);
                    real        *low = line + b.low * c + k, *high = line + b.high * c + k;
                    if (b.low == b.high) {
                        sg_lanes_store(low, vr_add(sg_lanes_load(low, n), g), n);
                        continue;
                    }
                    sg_lanes_store(low, vr_add(sg_lanes_load(low, n), vr_fnma(weight, g, g)), n);
                    sg_lanes_store(high, vr_fma(weight, g, sg_lanes_load(high, n)), n);
                }
            }
            const mix m = mix_of(up, d, h);
            for (int i = 0; i < m.n; i++)
                scale_line(n_line, m.weight[i], line, d_x + m.line[i] * n_line, 1);
        }
}

static void apply(const sg_op_call *call, const void *x, void *y)
{
    const sg_upsample up = sg_upsample_of(call->site);
    for (size_t row = 0; row < call->n_rows; row++)
        upsample_row(&up, (const real *)x + row * call->site->in_size[0],
                     (real *)y + row * call->site->out_size, call->scratch);
}

static void forward(const sg_op_call *call) { apply(call, call->in[0], call->out); }
static void tangent(const sg_op_call *call) { apply(call, call->t_in[0], call->t_out); }

static void backward(const sg_op_call *call)
{
    const sg_upsample up   = sg_upsample_of(call->site);
    const size_t      n_in = call->site->in_size[0];
    if (!call->d_in[0])
        return;
    if (!call->add_in[0])
        memset(call->d_in[0], 0, call->n_rows * n_in * sizeof(real));
    for (size_t row = 0; row < call->n_rows; row++)
        upsample_row_back(&up, (const real *)call->d_out + row * call->site->out_size,
                          (real *)call->d_in[0] + row * n_in, call->scratch);
}

const sg_op_kernel SG_HOT(sg_op_kernel_upsample) = {NULL, forward, backward, tangent};
