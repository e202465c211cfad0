/* SPDX-License-Identifier: BSD-3-Clause */
/* From the entries of the file of a model to a sampler: the interface of simgraft/events.h. */
#include "simgraft/events.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "events/top_sampler.h"
#include "store/container.h"

enum { MAX_LAYERS = 16, N_CONSTANTS = 7 };
#define MAX_WIDTH ((int64_t)1 << 16)

struct sg_event_sampler {
    sg_spline_chain *chain;
    sg_top_sampler   sampler;
};

/* What the entries of a file hold; the data belong to the container. */
typedef struct entries {
    const int64_t *widths;     /* (23, n_widths): of each step features, hidden layers, outputs, then zeros */
    const float   *parameters; /* weights (n_in, n_out) and biases of each layer in turn */
    const float   *curves;     /* (23, n_knots) */
    const double  *edges;      /* (23) */
    const double  *constants;  /* share of second leptons, least pT of jets and leptons, distances of both, bound, bins */
    const uint8_t *activation; /* name */
    size_t         n_widths, n_parameters, n_knots, n_name;
} entries;

static sg_status read_entries(const sg_container *file, entries *e, sg_error *error)
{
    const void *data[6];
    size_t widths[] = {SG_TOP_COORDINATES, SIZE_MAX}, parameters[] = {SIZE_MAX}, curves[] = {SG_TOP_COORDINATES, SIZE_MAX},
           edges[] = {SG_TOP_COORDINATES}, constants[] = {N_CONSTANTS}, name[] = {SIZE_MAX};
    SG_TRY(sg_container_get(file, "array/widths", SG_I64, 2, widths, &data[0], error));
    SG_TRY(sg_container_get(file, "array/parameters", SG_F32, 1, parameters, &data[1], error));
    SG_TRY(sg_container_get(file, "array/curves", SG_F32, 2, curves, &data[2], error));
    SG_TRY(sg_container_get(file, "array/edges", SG_F64, 1, edges, &data[3], error));
    SG_TRY(sg_container_get(file, "array/constants", SG_F64, 1, constants, &data[4], error));
    SG_TRY(sg_container_get(file, "array/activation", SG_U8, 1, name, &data[5], error));
    *e = (entries){data[0], data[1], data[2], data[3], data[4], data[5], widths[1], parameters[0], curves[1], name[0]};
    return SG_OK;
}

/* The layers of a step, whose parameters start at *used. */
static sg_status read_step(const entries *e, size_t step, int activation, size_t *used, sg_dense_layer_f32 *layers,
                           sg_spline_chain_step *to, sg_error *error)
{
    const int64_t *width = e->widths + step * e->n_widths;
    size_t         n     = 0;
    while (n + 1 < e->n_widths && width[n + 1] > 0) {
        if (n == MAX_LAYERS || width[n] < 1 || width[n] > MAX_WIDTH || width[n + 1] > MAX_WIDTH)
            return sg_fail(error, SG_ERR_FORMAT, "array/widths", "step %zu: expected at most %d layers of 1 to %lld", step, MAX_LAYERS,
                           (long long)MAX_WIDTH);
        const size_t n_in = (size_t)width[n], n_out = (size_t)width[n + 1], size = (n_in + 1) * n_out;
        if (size > e->n_parameters - *used)
            return sg_fail(error, SG_ERR_FORMAT, "array/parameters", "expected more than %zu for the layers of step %zu", e->n_parameters,
                           step);
        layers[n++] = (sg_dense_layer_f32){n_in, n_out, e->parameters + *used, e->parameters + *used + n_in * n_out,
                                           (sg_activation)activation, sg_activation_parameter((sg_activation)activation)};
        *used += size;
    }
    if (n == 0)
        return sg_fail(error, SG_ERR_FORMAT, "array/widths", "step %zu: expected a layer", step);
    layers[n - 1].activation = SG_ACTIVATION_linear;
    const double bins        = e->constants[6];
    *to = (sg_spline_chain_step){n, layers, bins >= 2 && bins <= 32 ? (size_t)bins : 0, (float)e->constants[5], e->n_knots,
                                 e->curves + step * e->n_knots, (float)e->edges[step]};
    return SG_OK;
}

static sg_status build(const sg_container *file, sg_event_sampler *s, sg_error *error)
{
    entries              e;
    sg_spline_chain_step steps[SG_TOP_COORDINATES];
    sg_dense_layer_f32   layers[SG_TOP_COORDINATES][MAX_LAYERS];
    char                 name[32] = "";
    size_t               used     = 0;
    SG_TRY(read_entries(file, &e, error));
    memcpy(name, e.activation, e.n_name < sizeof name ? e.n_name : sizeof name - 1);
    const int activation = sg_activation_find(name);
    if (activation < 0)
        return sg_fail(error, SG_ERR_FORMAT, "array/activation", "expected the name of an activation, got \"%s\"", name);
    for (size_t step = 0; step < SG_TOP_COORDINATES; step++)
        SG_TRY(read_step(&e, step, activation, &used, layers[step], steps + step, error));
    SG_TRY(sg_spline_chain_create(SG_TOP_COORDINATES, steps, &s->chain, error));
    s->sampler = (sg_top_sampler){s->chain, e.constants[0], e.constants[1], e.constants[2], e.constants[3], e.constants[4]};
    return sg_top_sampler_check(&s->sampler, error);
}

sg_status sg_event_sampler_open(const char *path, sg_event_sampler **sampler, sg_error *error)
{
    sg_container     *file;
    sg_event_sampler *made;
    *sampler = NULL;
    SG_TRY(sg_container_open(path, "event model", 1, &file, error));
    sg_status status = sg_alloc_array(&made, 1, sizeof *made, "sampler", error);
    if (status == SG_OK) {
        status = build(file, made, error);
        if (status == SG_OK)
            *sampler = made;
        else
            sg_event_sampler_close(made);
    }
    sg_container_free(file);
    return status;
}

void sg_event_sampler_close(sg_event_sampler *sampler)
{
    if (sampler)
        sg_spline_chain_free(sampler->chain);
    sg_free(sampler);
}

size_t sg_event_sampler_n_columns(const sg_event_sampler *sampler)
{
    (void)sampler;
    return SG_TOP_COLUMNS;
}

size_t sg_event_sampler_workspace_bytes(const sg_event_sampler *sampler)
{
    return sg_top_sampler_workspace_bytes(&sampler->sampler) + SG_ALIGNMENT;
}

void sg_event_sampler_run(const sg_event_sampler *sampler, uint64_t seed, uint64_t first, size_t n, double *columns, size_t stride,
                          unsigned char *second, void *workspace)
{
    char *aligned = (char *)workspace + (SG_ALIGNMENT - (uintptr_t)workspace % SG_ALIGNMENT) % SG_ALIGNMENT;
    for (size_t i = 0; i < n; i += SG_SPLINE_CHAIN_BLOCK)
        sg_top_sampler_run(&sampler->sampler, seed, first + i, n - i < SG_SPLINE_CHAIN_BLOCK ? n - i : SG_SPLINE_CHAIN_BLOCK, stride,
                           columns + i, second + i, aligned);
}
