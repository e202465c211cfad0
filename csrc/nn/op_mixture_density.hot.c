/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/ops.h"
#include "nn/softmax_rows.h"

enum { COMPONENTS, LOW, HIGH }; /* attributes, in the order of the table */

typedef struct sizes {
    size_t k, n_means, n, n_positions; /* n = k + 2 n_means channels */
    real   low, high, slope;           /* slope: of the argument of the sigmoid */
} sizes;

static sizes sizes_of(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    sizes s       = {.k = (size_t)site->attribute[COMPONENTS].v[0], .n = site->out.dim[site->out.rank - 1]};
    s.n_means     = (s.n - s.k) / 2;
    s.n_positions = call->n_rows * (site->out_size / s.n);
    s.low         = (real)site->attribute[LOW].v[0];
    s.high        = (real)site->attribute[HIGH].v[0];
    s.slope       = 4 / (s.high - s.low);
    return s;
}

/* Share of the way from low to high: sigmoid, slope 1 of the log-variance in the middle. */
SG_INLINE vr share(const sizes *s, vr x)
{
    const vr middle = vr_set1(R(0.5) * (s->low + s->high));
    return vr_sigmoid(vr_mul(vr_set1(s->slope), vr_sub(x, middle)));
}

static void forward(const sg_op_call *call)
{
    const sizes s = sizes_of(call);
    const real *x = call->in[0];
    real       *y = call->out;
    for (size_t i = 0; i < s.n_positions; i++, x += s.n, y += s.n) {
        const size_t spread = s.k + s.n_means;
        sg_log_softmax(s.k, x, y, call->scratch);
        memcpy(y + s.k, x + s.k, s.n_means * sizeof(real));
        for (size_t j = 0; j < s.n_means; j += VL) {
            const size_t left = sg_lanes(s.n_means - j);
            const vr bent = vr_fma(vr_set1(s.high - s.low), share(&s, sg_lanes_load(x + spread + j, left)),
                                   vr_set1(s.low));
            sg_lanes_store(y + spread + j, vr_min(vr_set1(s.high), bent), left);
        }
    }
}

/* The Jacobian at (x, y), or its transpose, times d. */
static void multiply(const sg_op_call *call, const real *d, int transposed, real *to, int add)
{
    const sizes s = sizes_of(call);
    const real *x = call->in[0], *y = call->out;
    real       *p = call->scratch; /* (k) weights */
    for (size_t i = 0; i < s.n_positions; i++, x += s.n, y += s.n, d += s.n, to += s.n) {
        for (size_t j = 0; j < s.k; j += VL) {
            const size_t left = sg_lanes(s.k - j);
            sg_lanes_store(p + j, vr_exp(sg_lanes_load(y + j, left)), left);
        }
        /* d log(p_j) / d x_i = delta_ij - p_i */
        const real along = transposed ? sg_sum(s.k, d) : sg_dot(s.k, p, d);
        for (size_t j = 0; j < s.k + s.n_means; j++) {
            const real part = j >= s.k ? d[j] : d[j] - (transposed ? p[j] * along : along);
            to[j]           = add ? to[j] + part : part;
        }
        for (size_t j = s.k + s.n_means; j < s.n; j += VL) {
            const size_t left = sg_lanes(s.n - j);
            const vr     way  = share(&s, sg_lanes_load(x + j, left));
            const vr part = vr_mul(sg_lanes_load(d + j, left), vr_mul(vr_set1(4), vr_fnma(way, way, way)));
            sg_lanes_store(to + j, add ? vr_add(sg_lanes_load(to + j, left), part) : part, left);
        }
    }
}

static void backward(const sg_op_call *call)
{
    if (call->d_in[0])
        multiply(call, call->d_out, 1, call->d_in[0], call->add_in[0]);
}

static void tangent(const sg_op_call *call) { multiply(call, call->t_in[0], 0, call->t_out, 0); }

const sg_op_kernel SG_HOT(sg_op_kernel_mixture_density) = {NULL, forward, backward, tangent};
