/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/ops.h"
#include "nn/sums.h"

typedef struct sizes {
    size_t      n, n_constraints, n_right, n_positions;
    const real *matrix;     /* (n_constraints, n)                     */
    const real *correction; /* (n_constraints, n)                     */
    const real *constant;   /* (n_constraints)                        */
    const real *right;      /* (n_constraints, n_right)               */
} sizes;

static sizes sizes_of(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    const real       *p    = call->parameters;
    sizes s   = {.n = site->out.dim[site->out.rank - 1], .n_constraints = site->parameter[2].shape.dim[0]};
    s.n_right = site->n_inputs == 2 ? site->parameter[3].shape.dim[1] : 0;
    s.n_positions = call->n_rows * (site->out_size / s.n);
    s.matrix      = p + site->parameter[0].offset;
    s.correction  = p + site->parameter[1].offset;
    s.constant    = p + site->parameter[2].offset;
    s.right       = s.n_right ? p + site->parameter[3].offset : NULL;
    return s;
}

/* to[j] = from[j] + sum over c of weight[c] a[c][j], one chain over c for each j; from NULL: 0; add: to what
 * is there */
static void combine(size_t n_constraints, size_t n, const real *weight, const real *a, const real *from,
                    real *to, int add)
{
    for (size_t j = 0; j < n; j += VL) {
        const size_t left = sg_lanes(n - j);
        vr           sum  = from ? sg_lanes_load(from + j, left) : vr_zero();
        for (size_t c = 0; c < n_constraints; c++)
            sum = vr_fma(vr_set1(weight[c]), sg_lanes_load(a + c * n + j, left), sum);
        sg_lanes_store(to + j, add ? vr_add(sg_lanes_load(to + j, left), sum) : sum, left);
    }
}

static void project(const sg_op_call *call, const real *x, const real *z, int with_constant, real *out)
{
    const sizes s      = sizes_of(call);
    real       *defect = call->scratch;
    for (size_t i = 0; i < s.n_positions; i++, x += s.n, z += s.n_right, out += s.n) {
        for (size_t c = 0; c < s.n_constraints; c++) {
            const real right = s.n_right ? sg_dot(s.n_right, s.right + c * s.n_right, z) : 0;
            defect[c] = (with_constant ? s.constant[c] : 0) + right - sg_dot(s.n, s.matrix + c * s.n, x);
        }
        combine(s.n_constraints, s.n, defect, s.correction, x, out, 0);
    }
}

static void forward(const sg_op_call *call)
{
    project(call, call->in[0], call->site->n_inputs == 2 ? call->in[1] : call->in[0], 1, call->out);
}

static void tangent(const sg_op_call *call)
{
    project(call, call->t_in[0], call->site->n_inputs == 2 ? call->t_in[1] : call->t_in[0], 0, call->t_out);
}

static void backward(const sg_op_call *call)
{
    const sizes s    = sizes_of(call);
    real       *pull = call->scratch, *d_x = call->d_in[0], *d_z = s.n_right ? call->d_in[1] : NULL;
    const real *d = call->d_out;
    for (size_t i = 0; i < s.n_positions; i++, d += s.n) {
        for (size_t c = 0; c < s.n_constraints; c++)
            pull[c] = sg_dot(s.n, s.correction + c * s.n, d);
        if (d_z)
            combine(s.n_constraints, s.n_right, pull, s.right, NULL, d_z + i * s.n_right, call->add_in[1]);
        for (size_t c = 0; c < s.n_constraints; c++)
            pull[c] = -pull[c];
        if (d_x)
            combine(s.n_constraints, s.n, pull, s.matrix, d, d_x + i * s.n, call->add_in[0]);
    }
    if (call->d_parameters && !call->add_parameters) /* constants */
        memset(call->d_parameters, 0, call->site->parameter_size * sizeof(real));
}

const sg_op_kernel SG_HOT(sg_op_kernel_conserve) = {NULL, forward, backward, tangent};
