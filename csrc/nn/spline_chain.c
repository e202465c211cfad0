/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/spline_chain.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

typedef struct step {
    sg_dense_plan *network;
    float         *knots;
    size_t         bins, n_knots;
    float          bound, edge;
} step;

struct sg_spline_chain {
    size_t                     n_steps, width; /* width: most numbers that a network makes */
    const sg_spline_chain_f32 *kernels;
    step                      *steps;
};

void sg_spline_chain_free(sg_spline_chain *chain)
{
    if (!chain)
        return;
    for (size_t k = 0; chain->steps && k < chain->n_steps; k++) {
        sg_dense_plan_free(chain->steps[k].network);
        sg_free(chain->steps[k].knots);
    }
    sg_free(chain->steps);
    sg_free(chain);
}

static sg_status fill(const sg_spline_chain_step *from, size_t number, step *to, sg_error *error)
{
    char name[40];
    snprintf(name, sizeof name, "steps[%zu]", number);
    if (from->bins < 2 || from->bins > 32)
        return sg_fail(error, SG_ERR_VALUE, name, "expected 2 to 32 bins, got %zu", from->bins);
    if (!(from->bound > 0 && isfinite(from->bound) && from->edge > 0 && isfinite(from->edge)))
        return sg_fail(error, SG_ERR_VALUE, name, "expected finite bound and edge > 0, got %g and %g", (double)from->bound,
                       (double)from->edge);
    if (from->n_knots < 2 || from->n_knots > 1 << 20)
        return sg_fail(error, SG_ERR_VALUE, name, "expected 2 to 1048576 knots, got %zu", from->n_knots);
    for (size_t k = 0; k < from->n_knots; k++)
        if (!isfinite(from->knots[k]) || (k && from->knots[k] < from->knots[k - 1]))
            return sg_fail(error, SG_ERR_VALUE, name, "expected finite knots that do not fall; knot %zu is %g", k,
                           (double)from->knots[k]);
    SG_TRY(sg_dense_plan_create_f32(from->n_layers, from->layers, &to->network, error));
    if (sg_dense_n_out(to->network) != 3 * from->bins - 1)
        return sg_fail(error, SG_ERR_SHAPE, name, "expected a network with %zu outputs for %zu bins, got %zu", 3 * from->bins - 1,
                       from->bins, sg_dense_n_out(to->network));
    SG_TRY(sg_alloc_array(&to->knots, from->n_knots, sizeof *to->knots, "knots", error));
    memcpy(to->knots, from->knots, from->n_knots * sizeof *to->knots);
    to->bins    = from->bins;
    to->n_knots = from->n_knots;
    to->bound   = from->bound;
    to->edge    = from->edge;
    return SG_OK;
}

sg_status sg_spline_chain_create(size_t n_steps, const sg_spline_chain_step *steps, sg_spline_chain **chain, sg_error *error)
{
    sg_spline_chain *made;
    *chain = NULL;
    if (n_steps == 0)
        return sg_fail(error, SG_ERR_VALUE, "steps", "expected at least one");
    SG_TRY(sg_alloc_array(&made, 1, sizeof *made, "chain", error));
    made->n_steps    = n_steps;
    made->kernels    = SG_ISA_PICK(sg_nn_spline_chain_f32, sg_cpu_isa());
    sg_status status = sg_alloc_array(&made->steps, n_steps, sizeof *made->steps, "steps", error);
    for (size_t k = 0; status == SG_OK && k < n_steps; k++) {
        status            = fill(steps + k, k, made->steps + k, error);
        const size_t outs = 3 * steps[k].bins - 1;
        made->width       = outs > made->width ? outs : made->width;
    }
    if (status != SG_OK) {
        sg_spline_chain_free(made);
        return status;
    }
    *chain = made;
    return SG_OK;
}

size_t sg_spline_chain_n_steps(const sg_spline_chain *chain) { return chain->n_steps; }
size_t sg_spline_chain_n_features(const sg_spline_chain *chain, size_t k) { return sg_dense_n_in(chain->steps[k].network); }
double sg_spline_chain_flops(const sg_spline_chain *chain, size_t k) { return sg_dense_flops(chain->steps[k].network); }

static size_t conditioner_bytes(const sg_spline_chain *chain)
{
    return sg_round_up(chain->width * SG_SPLINE_CHAIN_BLOCK * sizeof(float), SG_ALIGNMENT);
}

size_t sg_spline_chain_workspace_bytes(const sg_spline_chain *chain)
{
    size_t most = 0;
    for (size_t k = 0; k < chain->n_steps; k++) {
        const size_t bytes = sg_dense_workspace_bytes(chain->steps[k].network);
        most               = bytes > most ? bytes : most;
    }
    return conditioner_bytes(chain) + most;
}

void sg_spline_chain_run(const sg_spline_chain *chain, size_t number, size_t n, size_t stride, const float *features,
                         const float *normal, float *value, void *workspace)
{
    const step               *s           = chain->steps + number;
    float                    *conditioner = workspace;
    void                     *rest        = (char *)workspace + conditioner_bytes(chain);
    const sg_dense_input_f32  in          = {features, 1, (ptrdiff_t)stride, NULL, NULL};
    const sg_dense_output_f32 out         = {conditioner, 1, SG_SPLINE_CHAIN_BLOCK, NULL, NULL};
    sg_dense_eval_f32(s->network, n, &in, &out, rest);
    chain->kernels->inverse(n, SG_SPLINE_CHAIN_BLOCK, s->bins, s->bound, conditioner, normal, value);
    chain->kernels->look_up(n, s->n_knots, s->knots, s->edge, value, value);
}
