/* SPDX-License-Identifier: BSD-3-Clause */
#include "metrics/metrics.h"

#include "base/simd.h"

_Static_assert(VL <= SG_DISTANCE_LANES, "the workspace holds one vector per column");

static void moments(size_t n_row, size_t n_col, const real *x, const double *weight, double *restrict work,
                    sg_moments state)
{
    double *restrict mean = state.mean, *restrict square = state.square;
    double *restrict low = state.low, *restrict high = state.high;
    for (size_t row = 0; row < n_row; row++, x += n_col) {
        double w = weight ? weight[row] : 1.0;
        if (w == 0)
            continue;
        state.total[0] += 1;
        state.total[1] += w;
        double share = w / state.total[1];
        for (size_t i = 0; i < n_col; i++) {
            double value  = (double)x[i];
            double before = value - mean[i];
            mean[i] += share * before;
            square[i] += w * before * (value - mean[i]);
            low[i]  = value < low[i] ? value : low[i];
            high[i] = value > high[i] ? value : high[i];
            if (state.product) {
                work[i]         = w * before;
                work[n_col + i] = value - mean[i];
            }
        }
        if (!state.product)
            continue;
        const double *restrict before = work, *restrict after = work + n_col;
        for (size_t i = 0; i < n_col; i++) {
            double *restrict line = state.product + i * n_col;
            for (size_t j = 0; j <= i; j++)
                line[j] += before[i] * after[j];
        }
    }
}

static void errors(size_t n_row, size_t n_col, const real *prediction, const real *truth, const double *weight,
                   sg_errors state)
{
    double *restrict sum = state.sum, *restrict absolute = state.absolute;
    double *restrict square = state.square, *restrict largest = state.largest;
    for (size_t row = 0; row < n_row; row++, prediction += n_col, truth += n_col) {
        double w = weight ? weight[row] : 1.0;
        if (w == 0)
            continue;
        state.total[0] += 1;
        state.total[1] += w;
        for (size_t i = 0; i < n_col; i++) {
            double e = (double)prediction[i] - (double)truth[i];
            double a = e < 0 ? -e : e;
            sum[i] += w * e;
            absolute[i] += w * a;
            square[i] += w * e * e;
            largest[i] = a > largest[i] || a != a ? a : largest[i]; /* a NaN stays */
        }
    }
}

/* VL rows side by side: each lane is one chain over the columns in order, whatever the other lanes hold. */
static void distance(size_t n_row, size_t n_col, const real *x, const real *mean, const real *whitening, real *work,
                     real *out)
{
    for (size_t row = 0; row < n_row; row += VL) {
        size_t lanes = n_row - row < VL ? n_row - row : VL;
        for (size_t j = 0; j < n_col; j++) {
            real lane[VL] = {0};
            for (size_t r = 0; r < lanes; r++)
                lane[r] = x[(row + r) * n_col + j] - mean[j];
            vr_store(work + j * VL, vr_load(lane));
        }
        vr total = vr_zero();
        for (size_t i = 0; i < n_col; i++) {
            vr          z    = vr_zero();
            const real *line = whitening + i * n_col;
            for (size_t j = 0; j <= i; j++)
                z = vr_fma(vr_set1(line[j]), vr_load(work + j * VL), z);
            total = vr_fma(z, z, total);
        }
        vr_store_n(out + row, total, lanes);
    }
}

#if SG_REAL_IS_FLOAT
const sg_metrics_f32 SG_HOT(sg_metrics_kernels) = {
#else
const sg_metrics_f64 SG_HOT(sg_metrics_kernels) = {
#endif
    .moments  = moments,
    .errors   = errors,
    .distance = distance,
};
