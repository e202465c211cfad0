/* SPDX-License-Identifier: BSD-3-Clause */
#include "radiation/network_slot.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "nn/dense.h"
#include "radiation/network_slot_kernels.h"

enum {
    CHUNK   = 8 * SG_DENSE_BLOCK, /* rows sorted at a time: most chunks lie in one part, inputs stay in the caches */
    STEP    = 2 * SG_DENSE_BLOCK, /* rows through a network before its outputs are put in place, from the caches  */
    CLASSES = 2 * SG_NETWORK_PARTS
};

/* Where an input comes from; not negative: the gas of this number. */
enum { TEMPERATURE = -3, PRESSURE = -2, ABSENT = -1 };

/* Rows outside the domain, counted by all threads. */
typedef struct counts {
    atomic_size_t n_rows, n_outside, n_box, n_density, n_not_finite;
} counts;

typedef struct network {
    const sg_surrogate *surrogate;
    int                 output;                  /* 0 or 1                                                    */
    sg_network_guard    guard;
    size_t              first_class, end_class;  /* of the rows it computes                                   */
    size_t              n_in;
    int                *source;                  /* (n_in)                                                    */
    size_t              layout;                  /* the first network with the same sources                   */
    counts              counts;
    atomic_size_t      *outside_of_input;        /* (n_in)                                                    */
} network;

struct sg_network_slot {
    const sg_kdist    *kdist;
    sg_network_outputs outputs;
    int                renormalise;
    size_t             n_part[2], n_network;
    network           *network;        /* (n_network): those of the first output, then those of the second          */
    size_t             n_edge;
    double             edge[CLASSES];  /* ascending; pressures of class i are above edge[i-1], up to edge[i] [Pa] */
    size_t             max_in;
    size_t             workspace_bytes;
};

static const char *const output_name[][2] = {
    [SG_NETWORK_PLANCK]   = {"absorption", "planck_fraction"},
    [SG_NETWORK_RAYLEIGH] = {"absorption", "rayleigh"},
    [SG_NETWORK_ALBEDO]   = {"extinction", "single_scattering_albedo"},
};

void sg_radiation_network_slot_free(sg_network_slot *slot)
{
    if (!slot)
        return;
    for (size_t i = 0; slot->network && i < slot->n_network; i++) {
        sg_free(slot->network[i].source);
        sg_free(slot->network[i].outside_of_input);
    }
    sg_free(slot->network);
    sg_free(slot);
}

/* ----------------------------------------------------------------------------------------------------- making one */

static int source_of(const sg_kdist *kdist, const char *name)
{
    if (strcmp(name, "temperature") == 0)
        return TEMPERATURE;
    if (strcmp(name, "pressure") == 0)
        return PRESSURE;
    for (size_t i = 0; i < kdist->n_gas; i++)
        if (strcmp(name, kdist->gas_name[i]) == 0)
            return (int)i;
    return ABSENT;
}

static sg_status read_network(const sg_network_slot *slot, network *net, sg_error *error)
{
    const char           *want  = output_name[slot->outputs][net->output];
    sg_surrogate_info     info  = sg_surrogate_describe(net->surrogate);
    sg_surrogate_variable first = sg_surrogate_output(net->surrogate, 0);
    size_t                length = strlen(want);
    /* "absorption[0]", or "absorption" where there is one g-point */
    int same = strncmp(first.name, want, length) == 0 && (first.name[length] == '[' || first.name[length] == '\0');
    if (info.n_out != slot->kdist->n_g || !same)
        return sg_fail(error, SG_ERR_VALUE, want,
                       "expected a surrogate of %s with %zu g-points, got one of %s with %zu outputs", want, slot->kdist->n_g, first.name, info.n_out);
    net->n_in = info.n_in;
    SG_TRY(sg_alloc_array(&net->source, info.n_in, sizeof *net->source, "inputs of a network", error));
    SG_TRY(sg_alloc_array(&net->outside_of_input, info.n_in, sizeof *net->outside_of_input, "counts of a network",
                          error));
    for (size_t k = 0; k < info.n_in; k++) {
        const char *name = sg_surrogate_input(net->surrogate, k).name;
        if (strchr(name, '['))
            return sg_fail(error, SG_ERR_VALUE, want,
                           "the surrogate has the input %s; expected temperature, pressure and gases", name);
        net->source[k] = source_of(slot->kdist, name);
    }
    for (net->layout = 0; slot->network + net->layout != net; net->layout++) {
        const network *other = slot->network + net->layout;
        if (other->n_in == net->n_in && memcmp(other->source, net->source, net->n_in * sizeof *net->source) == 0)
            break;
    }
    return SG_OK;
}

static void add_edge(sg_network_slot *slot, double pressure)
{
    size_t i = slot->n_edge;
    for (size_t k = 0; k < slot->n_edge; k++)
        if (slot->edge[k] == pressure)
            return;
    for (; i > 0 && slot->edge[i - 1] > pressure; i--)
        slot->edge[i] = slot->edge[i - 1];
    slot->edge[i] = pressure;
    slot->n_edge++;
}

static sg_status check_setup(const sg_network_setup *setup, sg_error *error)
{
    if (setup->outputs < SG_NETWORK_PLANCK || setup->outputs > SG_NETWORK_ALBEDO)
        return sg_fail(error, SG_ERR_VALUE, "outputs", "expected 0, 1 or 2, got %d", (int)setup->outputs);
    if (!setup->kdist->shortwave != (setup->outputs == SG_NETWORK_PLANCK))
        return sg_fail(error, SG_ERR_VALUE, "kdist", "is a %s table, expected a %s one",
                       setup->kdist->shortwave ? "shortwave" : "longwave",
                       setup->kdist->shortwave ? "longwave" : "shortwave");
    for (int output = 0; output < 2; output++) {
        const char *name = output_name[setup->outputs][output];
        size_t      n    = setup->n_part[output];
        if (n < 1 || n > SG_NETWORK_PARTS)
            return sg_fail(error, SG_ERR_VALUE, name, "expected 1 to %d surrogates, got %zu", SG_NETWORK_PARTS, n);
        for (size_t i = 0; i + 1 < n; i++) {
            double p = setup->part[output][i].p_low, before = i ? setup->part[output][i - 1].p_low : INFINITY;
            if (!(p > 0 && p < before))
                return sg_fail(error, SG_ERR_VALUE, name,
                               "expected parts from the surface upwards, got a lower limit of %g Pa after %g Pa", p,
                               before);
        }
    }
    return SG_OK;
}

/* The number of edges at or below a limit: the first class above it. */
static size_t class_above(const sg_network_slot *slot, double pressure)
{
    size_t n = 0;
    while (n < slot->n_edge && slot->edge[n] <= pressure)
        n++;
    return n;
}

static sg_status fill(sg_network_slot *slot, const sg_network_setup *setup, sg_error *error)
{
    for (int output = 0; output < 2; output++)
        for (size_t i = 0; i + 1 < setup->n_part[output]; i++)
            add_edge(slot, setup->part[output][i].p_low);
    network *net = slot->network;
    for (int output = 0; output < 2; output++)
        for (size_t i = 0; i < setup->n_part[output]; i++, net++) {
            const sg_network_part *part = setup->part[output] + i;
            net->surrogate   = part->surrogate;
            net->output      = output;
            net->guard       = part->guard;
            net->first_class = i + 1 < setup->n_part[output] ? class_above(slot, part->p_low) : 0;
            net->end_class   = i ? class_above(slot, part[-1].p_low) : slot->n_edge + 1;
            SG_TRY(read_network(slot, net, error));
            size_t bytes = sg_surrogate_workspace_bytes(part->surrogate);
            if (slot->workspace_bytes < bytes)
                slot->workspace_bytes = bytes;
            if (slot->max_in < net->n_in)
                slot->max_in = net->n_in;
        }
    return SG_OK;
}

sg_status sg_radiation_network_slot_create(const sg_network_setup *setup, sg_network_slot **out, sg_error *error)
{
    *out = NULL;
    SG_TRY(check_setup(setup, error));
    sg_network_slot *slot;
    SG_TRY(sg_alloc_array(&slot, 1, sizeof *slot, "the network slot", error));
    *slot = (sg_network_slot){.kdist       = setup->kdist,
                              .outputs     = setup->outputs,
                              .renormalise = setup->renormalise,
                              .n_part      = {setup->n_part[0], setup->n_part[1]},
                              .n_network   = setup->n_part[0] + setup->n_part[1]};
    sg_status status = sg_alloc_array(&slot->network, slot->n_network, sizeof *slot->network, "networks", error);
    if (status == SG_OK)
        status = fill(slot, setup, error);
    if (status != SG_OK) {
        sg_radiation_network_slot_free(slot);
        return status;
    }
    *out = slot;
    return SG_OK;
}

sg_status sg_radiation_network_slot_check(const sg_network_slot *slot, const sg_kdist *kdist, sg_error *error)
{
    const sg_kdist *own = slot->kdist;
    if (own == kdist)
        return SG_OK;
    if (!own->shortwave != !kdist->shortwave || own->n_g != kdist->n_g || own->n_band != kdist->n_band ||
        memcmp(own->band_limits_g, kdist->band_limits_g, 2 * own->n_band * sizeof *own->band_limits_g) != 0)
        return sg_fail(error, SG_ERR_VALUE, "optics",
                       "the networks were made for a %s table of %zu g-points in %zu bands; this is a %s one of %zu in "
                       "%zu, or with other bands",
                       own->shortwave ? "shortwave" : "longwave", own->n_g, own->n_band,
                       kdist->shortwave ? "shortwave" : "longwave", kdist->n_g, kdist->n_band);
    for (size_t i = 0; i < own->n_gas || i < kdist->n_gas; i++) {
        const char *mine = i < own->n_gas ? own->gas_name[i] : "none";
        const char *its  = i < kdist->n_gas ? kdist->gas_name[i] : "none";
        if (strcmp(mine, its) != 0)
            return sg_fail(error, SG_ERR_VALUE, "optics",
                           "the networks were made for a table whose gas %zu is %s; here it is %s", i, mine, its);
    }
    return SG_OK;
}

/* --------------------------------------------------------------------------------------------------------- counts */

static void note_counts(network *net, const sg_guard *guard)
{
    atomic_fetch_add_explicit(&net->counts.n_rows, guard->n_rows, memory_order_relaxed);
    if (!guard->n_outside)
        return;
    atomic_fetch_add_explicit(&net->counts.n_outside, guard->n_outside, memory_order_relaxed);
    atomic_fetch_add_explicit(&net->counts.n_box, guard->n_box, memory_order_relaxed);
    atomic_fetch_add_explicit(&net->counts.n_density, guard->n_density, memory_order_relaxed);
    atomic_fetch_add_explicit(&net->counts.n_not_finite, guard->n_not_finite, memory_order_relaxed);
    for (size_t k = 0; k < net->n_in; k++)
        if (guard->outside_of_input[k])
            atomic_fetch_add_explicit(net->outside_of_input + k, guard->outside_of_input[k], memory_order_relaxed);
}

sg_network_counts sg_radiation_network_slot_take_counts(sg_network_slot *slot, int output, size_t i,
                                                           size_t *outside_of_input)
{
    network *net = slot->network + (output ? slot->n_part[0] : 0) + i;
    for (size_t k = 0; k < net->n_in; k++)
        outside_of_input[k] += atomic_exchange(net->outside_of_input + k, 0);
    return (sg_network_counts){atomic_exchange(&net->counts.n_rows, 0), atomic_exchange(&net->counts.n_outside, 0),
                               atomic_exchange(&net->counts.n_box, 0), atomic_exchange(&net->counts.n_density, 0),
                               atomic_exchange(&net->counts.n_not_finite, 0)};
}

/* The message of the surrogate, with the network and the layer instead of a row that means nothing to the caller. */
static sg_status explain(const sg_network_slot *slot, const network *net, const sg_guard *guard, size_t layer,
                         sg_error *error)
{
    sg_error  reason = {0};
    sg_status status = sg_guard_explain(net->surrogate, guard, &reason);
    sg_fail(error, status, NULL, "%.300s; row %zu is layer %zu from the top, network for %s", reason.message,
            guard->first_row, layer, output_name[slot->outputs][net->output]);
    if (error)
        snprintf(error->argument, sizeof error->argument, "%s", reason.argument);
    return status;
}

#define real         float
#define SG_TYPED(n)  n##_f32
#define PICK(table)  SG_ISA_PICK(table##_f32, sg_cpu_isa())
#include "radiation/network_slot.inc.h"
#undef real
#undef SG_TYPED
#undef PICK

#define real         double
#define SG_TYPED(n)  n##_f64
#define PICK(table)  SG_ISA_PICK(table##_f64, sg_cpu_isa())
#include "radiation/network_slot.inc.h"
