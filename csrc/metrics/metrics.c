/* SPDX-License-Identifier: BSD-3-Clause */
#include "metrics/metrics.h"

#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

void sg_metrics_moments_merge(size_t n_col, sg_moments state, sg_moments other)
{
    double weight = state.total[1] + other.total[1];
    double share  = weight > 0 ? other.total[1] / weight : 0;
    double common = state.total[1] * share; /* n_a n_b / (n_a + n_b) */
    if (state.product && other.product)
        for (size_t i = 0; i < n_col; i++)
            for (size_t j = 0; j <= i; j++)
                state.product[i * n_col + j] += other.product[i * n_col + j] + common * (other.mean[i] - state.mean[i]) *
                                                                                   (other.mean[j] - state.mean[j]);
    for (size_t i = 0; i < n_col; i++) {
        double delta = other.mean[i] - state.mean[i];
        state.square[i] += other.square[i] + common * delta * delta;
        state.mean[i] += share * delta;
        state.low[i]  = other.low[i] < state.low[i] ? other.low[i] : state.low[i];
        state.high[i] = other.high[i] > state.high[i] ? other.high[i] : state.high[i];
    }
    state.total[0] += other.total[0];
    state.total[1] = weight;
}

/* LAPACK, Fortran order: what we store as a lower triangle in rows is its upper triangle in columns. */
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t uplo_length);
void dtrtri_(const char *uplo, const char *diag, const int *n, double *a, const int *lda, int *info, size_t uplo_length,
             size_t diag_length);

sg_status sg_metrics_whitening(size_t n_col, const double *covariance, double ridge, double *whitening, sg_error *error)
{
    if (n_col < 1 || n_col > 32768)
        return sg_fail(error, SG_ERR_SHAPE, "covariance", "expected 1 to 32768 columns, got %zu", n_col);
    if (!(ridge >= 0 && ridge < HUGE_VAL))
        return sg_fail(error, SG_ERR_VALUE, "ridge", "expected a finite number >= 0, got %g", ridge);
    for (size_t i = 0; i < n_col; i++)
        for (size_t j = 0; j < n_col; j++) {
            double c = j <= i ? covariance[i * n_col + j] : 0;
            if (!isfinite(c))
                return sg_fail(error, SG_ERR_NOT_FINITE, "covariance", "element [%zu, %zu] is %g", i, j, c);
            whitening[i * n_col + j] = i == j ? c + ridge * c : c;
        }
    int n = (int)n_col, info = 0;
    dpotrf_("U", &n, whitening, &n, &info, 1);
    /* Round-off makes a singular matrix pass with a tiny pivot: 1e-14 of the column's variance is noise. */
    for (int i = 0; i < n && info == 0; i++) {
        double pivot = whitening[i * n_col + i];
        if (!(pivot * pivot > 1e-14 * (1 + ridge) * covariance[i * n_col + i]))
            info = i + 1;
    }
    if (info > 0)
        return sg_fail(error, SG_ERR_VALUE, "covariance",
                       "column %d is constant or a combination of the columns before it; leave it out or pass ridge > 0",
                       info - 1);
    dtrtri_("U", "N", &n, whitening, &n, &info, 1, 1);
    if (info)
        return sg_fail(error, SG_ERR_INTERNAL, "covariance", "the triangular inverse failed with %d", info);
    return SG_OK;
}

static void swap(double *a, double *b)
{
    double t = *a;
    *a       = *b;
    *b       = t;
}

/* Puts the k-th smallest of x[low..high] at x[k], smaller ones before, larger ones after. Hoare's selection with three-way
 * partition; the pivot is the median of three places that a counter moves about, so that no fixed input is always slow. */
static void select_kth(double *x, size_t low, size_t high, size_t k)
{
    uint64_t mix = 0x9E3779B97F4A7C15u;
    while (low < high) {
        size_t span = high - low + 1;
        double sample[3];
        for (int i = 0; i < 3; i++) {
            mix       = mix * 6364136223846793005u + 1442695040888963407u;
            sample[i] = x[low + (size_t)((mix >> 33) % span)];
        }
        double small = fmin(sample[0], sample[1]), large = fmax(sample[0], sample[1]);
        double pivot = fmax(small, fmin(large, sample[2]));
        size_t less = low, next = low, more = high + 1;
        while (next < more) {
            if (x[next] < pivot)
                swap(&x[less++], &x[next++]);
            else if (x[next] > pivot)
                swap(&x[next], &x[--more]);
            else
                next++;
        }
        if (k < less)
            high = less - 1;
        else if (k >= more)
            low = more;
        else
            return;
    }
}

void sg_metrics_percentiles(size_t n, size_t n_percent, const double *percent, double *x, double *out)
{
    int broken = 0;
    for (size_t i = 0; i < n; i++)
        broken |= isnan(x[i]);
    for (size_t p = 0; p < n_percent; p++) {
        double place = percent[p] / 100 * (double)(n - 1);
        size_t below = (size_t)place < n - 1 ? (size_t)place : n - 1;
        double part  = place - (double)below;
        if (broken) {
            out[p] = NAN;
            continue;
        }
        select_kth(x, 0, n - 1, below);
        out[p] = x[below];
        if (part > 0 && below + 1 < n) {
            double above = x[below + 1];
            for (size_t i = below + 2; i < n; i++)
                above = x[i] < above ? x[i] : above;
            /* NumPy's form of the line, exact at both ends */
            double step = above - out[p];
            out[p]      = part < 0.5 ? out[p] + step * part : above - step * (1 - part);
        }
    }
}
