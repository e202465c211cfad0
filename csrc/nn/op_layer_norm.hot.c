/* SPDX-License-Identifier: BSD-3-Clause */
/* Sums over channels are made of 16 partial sums, of channels j, j + 16, ..., added up in one order, so that
 * they have the same bits for any width of vectors. */
#include "nn/lanes.h"
#include "nn/ops.h"

enum { STRIPES = 16, PER = STRIPES / VL };

typedef struct stripes {
    vr part[PER];
} stripes;

SG_INLINE real total(const stripes *s)
{
    real lane[STRIPES];
    for (int v = 0; v < PER; v++)
        vr_store(lane + v * VL, s->part[v]);
    for (int half = STRIPES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

/* A loop over channels: BODY(v, j, m) for the vector of m lanes at channel j, which belongs to part v. */
#define FOR_CHANNELS(n, BODY)                            \
    do {                                                 \
        size_t j = 0;                                    \
        for (; j + STRIPES <= (n); j += STRIPES)         \
            for (int v = 0; v < PER; v++)                \
                BODY(v, j + (size_t)v * VL, (size_t)VL); \
        for (int v = 0; v < PER; v++, j += VL)           \
            if (j < (n))                                 \
                BODY(v, j, sg_lanes((n) - j));           \
    } while (0)

typedef struct sizes {
    size_t      n, n_positions;
    real        epsilon;
    const real *scale, *shift;
} sizes;

static sizes sizes_of(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    sizes             s    = {.n = site->parameter[0].shape.dim[0], .scale = call->parameters};
    s.n_positions          = call->n_rows * (site->out_size / s.n);
    s.epsilon              = (real)site->attribute[0].v[0];
    s.shift                = s.scale + s.n;
    return s;
}

static void forward(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    const real *x = call->in[0];
    real       *y = call->out, *saved = call->saved;
    const real  count = (real)s.n;
    for (size_t i = 0; i < s.n_positions; i++, x += s.n, y += s.n) {
        stripes sum = {0}, squares = {0};
#define ADD(v, j, m) sum.part[v] = vr_add(sum.part[v], sg_lanes_load(x + (j), m))
        FOR_CHANNELS(s.n, ADD);
#undef ADD
        const vr mean = vr_set1(total(&sum) / count);
        /* The differences go through y, because the idle lanes of the last vector must be zero in the second
         * sum. */
#define DIFFERENCE(v, j, m)                                              \
    sg_lanes_store(y + (j), vr_sub(sg_lanes_load(x + (j), m), mean), m); \
    const vr d      = sg_lanes_load(y + (j), m);                         \
    squares.part[v] = vr_fma(d, d, squares.part[v])
#define BLOCK(v, j, m)       \
    do {                     \
        DIFFERENCE(v, j, m); \
    } while (0)
        FOR_CHANNELS(s.n, BLOCK);
#undef BLOCK
#undef DIFFERENCE
        const vr variance = vr_set1(total(&squares) / count + s.epsilon);
        const vr inverse  = vr_div(vr_set1(1), vr_sqrt(variance));
        for (size_t j = 0; j < s.n; j += VL) {
            const size_t m = sg_lanes(s.n - j);
            const vr     d = vr_mul(sg_lanes_load(y + j, m), inverse);
            sg_lanes_store(y + j, vr_fma(d, sg_lanes_load(s.scale + j, m), sg_lanes_load(s.shift + j, m)), m);
        }
        if (saved) {
            vr_store_n(saved + 2 * i, mean, 1);
            vr_store_n(saved + 2 * i + 1, inverse, 1);
        }
    }
}

/* The derivative of the normalised x along d, which is also its transpose: inverse (d - mean of d - xhat mean
 * of xhat d). before and after: factors of d and of the result, or NULL. */
SG_INLINE void project(size_t n, const real *x, const real *saved, const real *d, const real *before,
                       const real *after, real *to, int add)
{
    const vr mean = vr_set1(saved[0]), inverse = vr_set1(saved[1]);
    stripes  sum = {0}, product = {0};
#define XHAT(j, m) vr_mul(vr_sub(sg_lanes_load(x + (j), m), mean), inverse)
#define FACTOR(j, m) \
    (before ? vr_mul(sg_lanes_load(d + (j), m), sg_lanes_load(before + (j), m)) : sg_lanes_load(d + (j), m))
#define ADD(v, j, m)                                              \
    do {                                                          \
        const vr f      = FACTOR(j, m); /* zero in idle lanes */  \
        sum.part[v]     = vr_add(sum.part[v], f);                 \
        product.part[v] = vr_fma(f, XHAT(j, m), product.part[v]); \
    } while (0)
    FOR_CHANNELS(n, ADD);
    const vr m_sum = vr_set1(total(&sum) / (real)n), m_product = vr_set1(total(&product) / (real)n);
    for (size_t j = 0; j < n; j += VL) {
        const size_t m = sg_lanes(n - j);
        vr           r = vr_mul(inverse, vr_sub(vr_sub(FACTOR(j, m), m_sum), vr_mul(XHAT(j, m), m_product)));
        if (after)
            r = vr_mul(r, sg_lanes_load(after + j, m));
        sg_lanes_store(to + j, add ? vr_add(sg_lanes_load(to + j, m), r) : r, m);
    }
#undef ADD
#undef FACTOR
}

static void backward(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    const real *x = call->in[0], *saved = call->saved, *d = call->d_out;
    real       *d_in = call->d_in[0], *d_scale = call->d_parameters;
    if (d_scale && !call->add_parameters)
        memset(d_scale, 0, 2 * s.n * sizeof *d_scale);
    for (size_t i = 0; i < s.n_positions; i++, x += s.n, d += s.n, saved += 2) {
        const vr mean = vr_set1(saved[0]), inverse = vr_set1(saved[1]);
        if (d_in)
            project(s.n, x, saved, d, s.scale, NULL, d_in + i * s.n, call->add_in[0]);
        for (size_t j = 0; d_scale && j < s.n; j += VL) {
            const size_t m = sg_lanes(s.n - j);
            const vr     y = sg_lanes_load(d + j, m);
            sg_lanes_store(d_scale + j, vr_fma(y, XHAT(j, m), sg_lanes_load(d_scale + j, m)), m);
            sg_lanes_store(d_scale + s.n + j, vr_add(y, sg_lanes_load(d_scale + s.n + j, m)), m);
        }
    }
}

static void tangent(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    const real *x = call->in[0], *saved = call->saved;
    for (size_t i = 0; i < s.n_positions; i++)
        project(s.n, x + i * s.n, saved + 2 * i, (const real *)call->t_in[0] + i * s.n, NULL, s.scale,
                (real *)call->t_out + i * s.n, 0);
}

const sg_op_kernel SG_HOT(sg_op_kernel_layer_norm) = {NULL, forward, backward, tangent};
