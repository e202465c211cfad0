/* SPDX-License-Identifier: BSD-3-Clause */
#include "events/vegas.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/philox.h"
#include "base/threads.h"

enum { PORTIONS = 64, BLOCK = SG_VEGAS_BLOCK }; /* portions of an iteration; the number fixes the order of the sums */

void sg_events_vegas_even(size_t n_dim, size_t n_bins, double *edges)
{
    for (size_t d = 0; d < n_dim; d++)
        for (size_t k = 0; k <= n_bins; k++)
            edges[d * (n_bins + 1) + k] = (double)k / (double)n_bins;
}

void sg_events_vegas_map(size_t n_dim, size_t n_bins, size_t n, const double *edges, double *u, double *jacobian,
                         uint32_t *bin)
{
    for (size_t i = 0; i < n; i++)
        jacobian[i] = 1;
    for (size_t d = 0; d < n_dim; d++) {
        const double *edge = edges + d * (n_bins + 1);
        double       *x    = u + d * n;
        for (size_t i = 0; i < n; i++) {
            double   place = x[i] * (double)n_bins;
            uint32_t k     = (uint32_t)place < n_bins ? (uint32_t)place : (uint32_t)n_bins - 1;
            double   width = edge[k + 1] - edge[k];
            x[i]           = edge[k] + (place - (double)k) * width;
            jacobian[i] *= (double)n_bins * width;
            if (bin)
                bin[d * n + i] = k;
        }
    }
}

void sg_events_vegas_refine(size_t n_dim, size_t n_bins, double damping, const double *square, double *work, double *edges)
{
    double *importance = work, *moved = work + n_bins;
    for (size_t d = 0; d < n_dim && damping > 0 && n_bins > 1; d++) {
        const double *s    = square + d * n_bins;
        double       *edge = edges + d * (n_bins + 1), sum = 0, total = 0;
        for (size_t k = 0; k < n_bins; k++) {
            double low = k ? s[k - 1] : s[k], high = k + 1 < n_bins ? s[k + 1] : s[k];
            importance[k] = (low + 6 * s[k] + high) / 8;
            sum += importance[k];
        }
        if (!(sum > 0))
            continue; /* nothing was found: keep the grid */
        for (size_t k = 0; k < n_bins; k++) {
            double share  = importance[k] / sum;
            double damped = share <= 0 ? 0 : share >= 1 ? 1 : (1 - share) / -log(share);
            importance[k] = pow(damped, damping);
            total += importance[k];
        }
        double wanted = total / (double)n_bins, have = 0;
        size_t from   = 0;
        moved[0]      = edge[0];
        for (size_t k = 1; k < n_bins; k++) {
            while (from + 1 < n_bins && have + importance[from] < wanted)
                have += importance[from++];
            double share = importance[from] > 0 ? (wanted - have) / importance[from] : 1;
            moved[k]     = edge[from] + fmin(share, 1) * (edge[from + 1] - edge[from]);
            have -= wanted;
        }
        memcpy(edge, moved, n_bins * sizeof *edge);
    }
}

typedef struct job {
    const sg_vegas *call;
    const double   *edges;
    uint64_t        stream;
    size_t          iteration;
    double         *sums;     /* (PORTIONS, 2 n_out) of f jacobian, of its square */
    double         *square;   /* (PORTIONS, n_dim, n_bins) */
    double         *work;     /* (threads, n_work) */
    size_t          n_work;
    sg_error       *failed;   /* (PORTIONS) */
} job;

static sg_status not_finite(const job *j, size_t point, const double *x, size_t n, double f, sg_error *error)
{
    char   text[256];
    size_t used = 0;
    for (size_t d = 0; d < j->call->n_dim && used + 24 < sizeof text; d++)
        used += (size_t)snprintf(text + used, sizeof text - used, d ? ", %.6g" : "%.6g", x[d * n]);
    return sg_fail(error, SG_ERR_NOT_FINITE, "integrand", "%g at point %zu of iteration %zu, x = (%s)", f, point,
                   j->iteration, text);
}

static int portion(void *context, size_t number, int thread)
{
    job            *j     = context;
    const sg_vegas *v     = j->call;
    size_t          first = v->n_points * number / PORTIONS, end = v->n_points * (number + 1) / PORTIONS;
    size_t          per = (v->n_dim + 1) / 2;
    double         *x = j->work + (size_t)thread * j->n_work, *f = x + BLOCK * v->n_dim, *jacobian = f + BLOCK * v->n_out;
    uint32_t       *bin = (uint32_t *)(jacobian + BLOCK);
    double         *sum = j->sums + number * 2 * v->n_out, *square = j->square + number * v->n_dim * v->n_bins;
    sg_error       *error = &j->failed[number];
    if (thread == 0 && sg_poll_due(v->poll, (double)j->iteration, (double)v->n_iterations))
        return (int)sg_fail(error, SG_ERR_INTERRUPTED, NULL, "interrupted");
    while (first < end) {
        size_t n = end - first < BLOCK ? end - first : BLOCK;
        for (size_t d = 0; d < v->n_dim; d++)
            for (size_t i = 0; i < n; i++)
                x[d * n + i] = sg_philox_uniform(v->seed, j->stream, 2 * ((first + i) * per) + d);
        sg_events_vegas_map(v->n_dim, v->n_bins, n, j->edges, x, jacobian, bin);
        sg_status status = v->integrand(v->context, n, x, f, error);
        if (status != SG_OK)
            return (int)status;
        for (size_t o = 0; o < v->n_out; o++)
            for (size_t i = 0; i < n; i++) {
                if (!isfinite(f[o * n + i]))
                    return (int)not_finite(j, first + i, x + i, n, f[o * n + i], error);
                double w = f[o * n + i] * jacobian[i];
                sum[2 * o] += w;
                sum[2 * o + 1] += w * w;
                for (size_t d = 0; o == 0 && d < v->n_dim; d++)
                    square[d * v->n_bins + bin[d * n + i]] += w * w;
            }
        first += n;
    }
    return 0;
}

sg_status sg_events_vegas_run(const sg_vegas *v, double *edges, double *result, sg_error *error)
{
    if (v->n_dim < 1 || v->n_dim > SG_VEGAS_MAX_DIM)
        return sg_fail(error, SG_ERR_VALUE, "n_dim", "expected 1 to %d, got %zu", SG_VEGAS_MAX_DIM, v->n_dim);
    if (v->n_bins < 1 || v->n_bins > 4096)
        return sg_fail(error, SG_ERR_VALUE, "n_bins", "expected 1 to 4096, got %zu", v->n_bins);
    if (v->n_out < 1 || v->n_out > SG_VEGAS_MAX_OUT)
        return sg_fail(error, SG_ERR_VALUE, "n_out", "expected 1 to %d, got %zu", SG_VEGAS_MAX_OUT, v->n_out);
    if (v->n_points < 2)
        return sg_fail(error, SG_ERR_VALUE, "n_points", "expected at least 2, got %zu", v->n_points);
    if (!(v->damping >= 0 && v->damping <= 10))
        return sg_fail(error, SG_ERR_VALUE, "damping", "expected 0 to 10, got %g", v->damping);
    size_t threads = (size_t)sg_threads_resolve(v->num_threads, PORTIONS);
    size_t n_sums = PORTIONS * 2 * v->n_out, n_bins = v->n_dim * v->n_bins;
    job    j      = {.call = v, .edges = edges};
    j.n_work      = sg_round_up(BLOCK * (v->n_dim + v->n_out + 1) + BLOCK * v->n_dim, 8);
    double   *memory = NULL;
    sg_status status = sg_alloc_array(&memory, n_sums + (PORTIONS + 1) * n_bins + threads * j.n_work + 2 * v->n_bins + 1,
                                      sizeof *memory, "sums of VEGAS", error);
    if (status == SG_OK)
        status = sg_alloc_array(&j.failed, PORTIONS, sizeof *j.failed, "errors of VEGAS", error);
    if (status != SG_OK) {
        sg_free(memory);
        return status;
    }
    double *merged = memory + n_sums + PORTIONS * n_bins;
    j.sums         = memory;
    j.square       = memory + n_sums;
    j.work         = merged + n_bins;
    double *work   = j.work + threads * j.n_work;
    for (size_t it = 0; it < v->n_iterations && status == SG_OK; it++) {
        j.iteration = v->first_iteration + it;
        j.stream    = SG_VEGAS_STREAM + j.iteration;
        memset(memory, 0, (n_sums + (PORTIONS + 1) * n_bins) * sizeof *memory);
        memset(j.failed, 0, PORTIONS * sizeof *j.failed);
        status = (sg_status)sg_threads_blocks(PORTIONS, (int)threads, portion, &j);
        if (status != SG_OK) {
            for (size_t p = 0; p < PORTIONS && error; p++)
                if (j.failed[p].status == status) {
                    *error = j.failed[p];
                    break;
                }
            break;
        }
        for (size_t o = 0; o < v->n_out; o++) {
            double sum = 0, square = 0, n = (double)v->n_points;
            for (size_t p = 0; p < PORTIONS; p++) {
                sum += j.sums[p * 2 * v->n_out + 2 * o];
                square += j.sums[p * 2 * v->n_out + 2 * o + 1];
            }
            double mean                          = sum / n;
            result[(it * v->n_out + o) * 2]     = mean;
            result[(it * v->n_out + o) * 2 + 1] = fmax(square / n - mean * mean, 0) / (n - 1);
        }
        for (size_t p = 0; p < PORTIONS; p++)
            for (size_t k = 0; k < n_bins; k++)
                merged[k] += j.square[p * n_bins + k];
        sg_events_vegas_refine(v->n_dim, v->n_bins, v->damping, merged, work, edges);
    }
    sg_free(j.failed);
    sg_free(memory);
    return status;
}
