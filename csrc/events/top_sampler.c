/* SPDX-License-Identifier: BSD-3-Clause */
#include "events/top_sampler.h"

#include "base/memory.h"
#include "base/philox.h"

/* Streams of random numbers: the normal number of each step, then whether there is a second lepton, then the symmetries; and the
 * normal numbers of further attempts. */
#define STREAM ((uint64_t)0x65767400 << 32)
enum { STREAM_SECOND = SG_TOP_COORDINATES, STREAM_SYMMETRY, STREAM_AGAIN = 64 };
enum { ATTEMPTS = 8 };

enum { BLOCK = SG_SPLINE_CHAIN_BLOCK };

static const size_t n_features[] = {SG_TOP_FEATURES_OF_STEP};

/* The parts of the workspace. */
typedef struct parts {
    double  coordinates64[SG_TOP_COORDINATES * BLOCK], symmetries[SG_TOP_SYMMETRIES * BLOCK], second64[BLOCK];
    float   features[SG_TOP_FEATURES * BLOCK], coordinates[SG_TOP_COORDINATES * BLOCK], state[SG_TOP_STATE * BLOCK];
    float   second[BLOCK], normal[BLOCK], few_normal[BLOCK], few_value[BLOCK];
    float   few_features[SG_TOP_FEATURES * BLOCK]; /* of the events with a second lepton */
    int32_t few[BLOCK];
} parts;

static size_t parts_bytes(void) { return sg_round_up(sizeof(parts), SG_ALIGNMENT); }

sg_status sg_top_sampler_check(const sg_top_sampler *sampler, sg_error *error)
{
    if (sg_spline_chain_n_steps(sampler->chain) != SG_TOP_COORDINATES)
        return sg_fail(error, SG_ERR_SHAPE, "chain", "expected %d steps, got %zu", SG_TOP_COORDINATES,
                       sg_spline_chain_n_steps(sampler->chain));
    for (size_t step = 0; step < SG_TOP_COORDINATES; step++)
        if (sg_spline_chain_n_features(sampler->chain, step) != n_features[step])
            return sg_fail(error, SG_ERR_SHAPE, "chain", "expected step %zu with %zu features, got %zu", step, n_features[step],
                           sg_spline_chain_n_features(sampler->chain, step));
    if (!(sampler->closest_jet >= 0 && sampler->closest_lepton >= 0))
        return sg_fail(error, SG_ERR_VALUE, "closest", "expected >= 0, got %g and %g", sampler->closest_jet, sampler->closest_lepton);
    if (!(sampler->least_jet > 0 && sampler->least_lepton > 0))
        return sg_fail(error, SG_ERR_VALUE, "least pT", "expected > 0, got %g and %g", sampler->least_jet, sampler->least_lepton);
    return SG_OK;
}

size_t sg_top_sampler_workspace_bytes(const sg_top_sampler *sampler)
{
    return parts_bytes() + sg_spline_chain_workspace_bytes(sampler->chain);
}

/* A step of the n_few events that p->few lists, with features from row `from` on new to them. */
static void run_few(const sg_spline_chain *chain, size_t step, size_t n_few, size_t from, parts *p, void *workspace)
{
    float *value = p->coordinates + step * BLOCK;
    for (size_t row = from; row < n_features[step]; row++)
        for (size_t i = 0; i < n_few; i++)
            p->few_features[row * BLOCK + i] = p->features[row * BLOCK + (size_t)p->few[i]];
    for (size_t i = 0; i < n_few; i++)
        p->few_normal[i] = p->normal[p->few[i]];
    sg_spline_chain_run(chain, step, n_few, BLOCK, p->few_features, p->few_normal, p->few_value, workspace);
    for (size_t i = 0; i < n_few; i++)
        value[p->few[i]] = p->few_value[i];
}

/* Whether the object whose azimuth was just made is closer than `closest` to one before it. */
static int is_close(const float *coordinates, size_t step, size_t event, float closest)
{
    const float  two_pi = 6.28318530717958647692f, *eta = coordinates + SG_TOP_ETA * BLOCK + event;
    const size_t o   = step - SG_TOP_PHI + 1;
    const float  phi = coordinates[step * BLOCK + event];
    for (size_t k = 0; k < o; k++) {
        const float other = k ? coordinates[(SG_TOP_PHI + k - 1) * BLOCK + event] : 0;
        const float d = phi < other ? other - phi : phi - other, d_phi = two_pi - d < d ? two_pi - d : d;
        const float d_eta = eta[o * BLOCK] - eta[k * BLOCK];
        if (d_phi * d_phi + d_eta * d_eta < closest * closest)
            return 1;
    }
    return 0;
}

/* Draws the azimuth of a step again where it is too close; what is left after some attempts stays. */
static void keep_apart(const sg_top_sampler *sampler, size_t step, uint64_t seed, uint64_t first, size_t n, parts *p, void *workspace)
{
    const float closest = (float)(step == SG_TOP_LEPTON_PHI ? sampler->closest_lepton : sampler->closest_jet);
    for (uint64_t attempt = 1; attempt <= ATTEMPTS; attempt++) {
        size_t few = 0;
        for (size_t i = 0; i < n; i++)
            if (is_close(p->coordinates, step, i, closest))
                p->few[few++] = (int32_t)i;
        if (few == 0)
            return;
        sg_philox_f32_now()->normal(seed, STREAM + STREAM_AGAIN * attempt + step, first, n, p->normal);
        run_few(sampler->chain, step, few, 0, p, workspace);
    }
}

void sg_top_sampler_run(const sg_top_sampler *sampler, uint64_t seed, uint64_t first, size_t n, size_t stride, double *columns,
                        uint8_t *second, void *workspace)
{
    parts               *p    = workspace;
    void                *rest = (char *)workspace + parts_bytes();
    const sg_philox_f32 *r32  = sg_philox_f32_now();
    const sg_philox_f64 *r64  = sg_philox_f64_now();
    const sg_top_f32    *top  = sg_top_f32_now();
    size_t               few  = 0;
    r64->uniform(seed, STREAM + STREAM_SECOND, first, n, p->second64);
    for (size_t i = 0; i < n; i++) {
        second[i]      = p->second64[i] < sampler->second_share;
        p->second64[i] = second[i];
        p->second[i]   = second[i];
    }
    for (size_t step = 0; step < SG_TOP_COORDINATES; step++) {
        top->features(step, n, BLOCK, (float)sampler->least_jet, (float)sampler->least_lepton, p->coordinates, p->second, p->state,
                      p->features);
        r32->normal(seed, STREAM + step, first, n, p->normal);
        if (step >= SG_TOP_SECOND && step < SG_TOP_SECOND + 3) {
            if (step == SG_TOP_SECOND) /* azimuths are done: the list is of the events with a second lepton from here on */
                for (size_t i = 0; i < n; i++)
                    if (second[i])
                        p->few[few++] = (int32_t)i;
            for (size_t i = 0; i < n; i++)
                p->coordinates[step * BLOCK + i] = 0;
            run_few(sampler->chain, step, few, step == SG_TOP_SECOND ? 0 : n_features[step - 1], p, rest);
        } else {
            sg_spline_chain_run(sampler->chain, step, n, BLOCK, p->features, p->normal, p->coordinates + step * BLOCK, rest);
        }
        if (step >= SG_TOP_PHI && step <= SG_TOP_LEPTON_PHI)
            keep_apart(sampler, step, seed, first, n, p, rest);
    }
    for (size_t row = 0; row < SG_TOP_COORDINATES; row++)
        for (size_t i = 0; i < n; i++)
            p->coordinates64[row * BLOCK + i] = (double)p->coordinates[row * BLOCK + i];
    for (size_t k = 0; k < SG_TOP_SYMMETRIES; k++) {
        double *value = p->symmetries + k * BLOCK;
        r64->uniform(seed, STREAM + STREAM_SYMMETRY + k, first, n, value);
        for (size_t i = 0; i < n; i++)
            value[i] = k < 2 ? (value[i] < 0.5 ? -1 : 1) : (2 * value[i] - 1) * 3.14159265358979323846;
    }
    sg_top_f64_now()->decode(n, BLOCK, sampler->least_jet, sampler->least_lepton, p->coordinates64, p->second64, p->symmetries,
                             stride, columns);
}
