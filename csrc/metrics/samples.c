/* SPDX-License-Identifier: BSD-3-Clause */
#include "metrics/samples.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

/* ------------------------------------------------------------------------------------------------------- sorting */

enum { DIGIT = 11, RADIX = 1 << DIGIT, PASSES = (64 + DIGIT - 1) / DIGIT };

typedef uint64_t __attribute__((may_alias)) bits64;

size_t sg_metrics_sort_bytes(size_t n) { return (2 * n + (size_t)PASSES * RADIX) * sizeof(uint64_t); }

/* An unsigned integer with the order of the double. */
static uint64_t key_of(uint64_t bits) { return bits ^ (bits >> 63 ? ~(uint64_t)0 : (uint64_t)1 << 63); }
static uint64_t bits_of(uint64_t key) { return key ^ (key >> 63 ? (uint64_t)1 << 63 : ~(uint64_t)0); }

void sg_metrics_sort(size_t n, double *x, void *payload, void *work)
{
    bits64 *count = work, *key = (bits64 *)x, *value = payload;
    bits64 *other_key = count + PASSES * RADIX, *other_value = other_key + n;
    memset(count, 0, PASSES * RADIX * sizeof *count);
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        double   positive_zero = x[i] + 0.0;
        memcpy(&bits, &positive_zero, sizeof bits);
        key[i] = bits = key_of(bits);
        for (int pass = 0; pass < PASSES; pass++)
            count[pass * RADIX + (int)(bits >> (pass * DIGIT) & (RADIX - 1))]++;
    }
    for (int pass = 0; pass < PASSES; pass++) {
        bits64  *place = count + pass * RADIX;
        int      shift = pass * DIGIT;
        uint64_t sum   = 0;
        if (n && place[key[0] >> shift & (RADIX - 1)] == n)
            continue;
        for (int digit = 0; digit < RADIX; digit++) {
            uint64_t here = place[digit];
            place[digit]  = sum;
            sum += here;
        }
        if (value) {
            for (size_t i = 0; i < n; i++) {
                uint64_t to     = place[key[i] >> shift & (RADIX - 1)]++;
                other_key[to]   = key[i];
                other_value[to] = value[i];
            }
            bits64 *swap = value;
            value        = other_value;
            other_value  = swap;
        } else {
            for (size_t i = 0; i < n; i++)
                other_key[place[key[i] >> shift & (RADIX - 1)]++] = key[i];
        }
        bits64 *swap = key;
        key          = other_key;
        other_key    = swap;
    }
    bits64 *out = (bits64 *)x;
    for (size_t i = 0; i < n; i++)
        out[i] = bits_of(key[i]);
    if (payload && value != payload)
        memcpy(payload, value, n * sizeof *value);
}

/* ----------------------------------------------------------------------------------------------------- distances */

/* A running sum with the rounding of each step kept (Neumaier 1974). */
typedef struct {
    double sum, lost;
} long_sum;

static void add(long_sum *s, double x)
{
    double t = s->sum + x;
    s->lost += fabs(s->sum) >= fabs(x) ? (s->sum - t) + x : (x - t) + s->sum;
    s->sum = t;
}

static double total_of(size_t n, const double *weight)
{
    double sum = 0;
    for (size_t i = 0; weight && i < n; i++)
        sum += weight[i];
    return weight ? sum : (double)n;
}

/* Adds the weights of the values equal to `at` and moves on behind them. */
static size_t pass_equal(size_t i, size_t n, const double *x, const double *weight, double at, double *sum)
{
    for (; i < n && x[i] == at; i++)
        *sum += weight ? weight[i] : 1;
    return i;
}

static double next_value(size_t i, size_t n_a, const double *a, size_t j, size_t n_b, const double *b)
{
    return j >= n_b || (i < n_a && a[i] <= b[j]) ? a[i] : b[j];
}

sg_distances sg_metrics_distances(size_t n_a, const double *a, const double *weight_a, size_t n_b, const double *b,
                                  const double *weight_b)
{
    double       all_a = total_of(n_a, weight_a), all_b = total_of(n_b, weight_b), sum_a = 0, sum_b = 0, last = 0;
    double       difference = 0;
    long_sum     area = {0}, square = {0};
    sg_distances out = {0};
    for (size_t i = 0, j = 0; i < n_a || j < n_b;) {
        double x = next_value(i, n_a, a, j, n_b, b);
        if (i || j) {
            add(&area, fabs(difference) * (x - last));
            add(&square, difference * difference * (x - last));
        }
        i          = pass_equal(i, n_a, a, weight_a, x, &sum_a);
        j          = pass_equal(j, n_b, b, weight_b, x, &sum_b);
        last       = x;
        difference = sum_a / all_a - sum_b / all_b;
        out.above  = fmax(out.above, difference);
        out.below  = fmax(out.below, -difference);
    }
    out.wasserstein = area.sum + area.lost;
    out.cramer      = square.sum + square.lost;
    return out;
}

/* --------------------------------------------------------------------------------------------- Kolmogorov-Smirnov */

double sg_metrics_ks_cost(size_t n_a, size_t n_b, double statistic)
{
    return ((double)n_a + 1) * fmin((double)n_b + 1, 2 * statistic * (double)n_b + 3);
}

double sg_metrics_ks_exact(size_t n_a, size_t n_b, double statistic, double *work)
{
    double a = (double)n_a, b = (double)n_b, h = rint(statistic * a * b);
    if (h <= 0)
        return 1;
    for (size_t j = 0; j <= n_b; j++)
        work[j] = 1; /* a place outside the band: every path there has left it */
    size_t low = 0;
    for (size_t i = 0; i <= n_a; i++) {
        double x = (double)i;
        for (; low <= n_b && x * b - (double)low * a >= h; low++)
            work[low] = 1;
        for (size_t j = low; j <= n_b && (double)j * a - x * b < h; j++) {
            double y = (double)j;
            if (i + j == 0)
                work[j] = 0;
            else /* the last step of a path to (i, j) was one of a with probability i / (i + j) */
                work[j] = (x * (i ? work[j] : 0) + y * (j ? work[j - 1] : 0)) / (x + y);
        }
    }
    return work[n_b];
}

double sg_metrics_ks_limit(double effective_size, double statistic)
{
    const double pi = 3.14159265358979323846;
    double       s = sqrt(effective_size), z = statistic * (s + 0.12 + 0.11 / s), sum = 0;
    if (z <= 0)
        return 1;
    if (z < 1) { /* the same function by its theta transformation */
        for (int k = 1; k < 20; k += 2)
            sum += exp(-k * k * pi * pi / (8 * z * z));
        return fmin(1, fmax(0, 1 - sqrt(2 * pi) / z * sum));
    }
    for (int k = 1; k < 20; k++)
        sum += (k % 2 ? 2 : -2) * exp(-2.0 * k * k * z * z);
    return fmin(1, fmax(0, sum));
}

/* ------------------------------------------------------------------------------------------------------------ AUC */

typedef struct {
    size_t        n;
    const double *x, *weight;
} sample;

/* Sum over the members of `inner` of w^power (share of `outer` below, ties half, - centre)^power. */
static double placements(sample inner, sample outer, double all_outer, double centre, int power)
{
    double   below = 0;
    long_sum sum   = {0};
    for (size_t i = 0, j = 0; i < inner.n;) {
        double x = inner.x[i], equal = 0;
        for (; j < outer.n && outer.x[j] < x; j++)
            below += outer.weight ? outer.weight[j] : 1;
        j            = pass_equal(j, outer.n, outer.x, outer.weight, x, &equal);
        double place = (below + 0.5 * equal) / all_outer - centre;
        for (; i < inner.n && inner.x[i] == x; i++) {
            double term = (inner.weight ? inner.weight[i] : 1) * place;
            add(&sum, power == 2 ? term * term : term);
        }
        below += equal;
    }
    return sum.sum + sum.lost;
}

static double variance_of_mean(sample inner, double all_inner, sample outer, double all_outer, double mean)
{
    double n = (double)inner.n;
    return inner.n < 2 ? 0 : placements(inner, outer, all_outer, mean, 2) / (all_inner * all_inner) * n / (n - 1);
}

sg_auc sg_metrics_auc(size_t n_positive, const double *positive, const double *weight_positive, size_t n_negative,
                      const double *negative, const double *weight_negative)
{
    sample p = {n_positive, positive, weight_positive}, n = {n_negative, negative, weight_negative};
    double all_p = total_of(p.n, p.weight), all_n = total_of(n.n, n.weight);
    sg_auc out;
    out.auc = placements(p, n, all_n, 0, 1) / all_p;
    /* of a negative: the share of positives below it, whose mean is 1 - auc */
    out.error = sqrt(variance_of_mean(p, all_p, n, all_n, out.auc) + variance_of_mean(n, all_n, p, all_p, 1 - out.auc));
    return out;
}

/* ------------------------------------------------------------------------------------------------------- isotonic */

size_t sg_metrics_isotonic(size_t n, double *x, double *y, double *weight, size_t *start)
{
    size_t n_knot = 0;
    for (size_t i = 0; i < n; i++) { /* one knot for each x: the weighted mean */
        if (weight[i] <= 0)
            continue;
        if (n_knot && x[n_knot - 1] == x[i]) {
            size_t k = n_knot - 1;
            double w = weight[k] + weight[i];
            y[k] += (y[i] - y[k]) * (weight[i] / w);
            weight[k] = w;
        } else {
            x[n_knot] = x[i], y[n_knot] = y[i], weight[n_knot] = weight[i];
            n_knot++;
        }
    }
    size_t n_pool = 0; /* pools are y[0 .. n_pool), pool p from knot start[p] */
    for (size_t i = 0; i < n_knot; i++) {
        double value = y[i], w = weight[i];
        size_t from = i;
        while (n_pool && y[n_pool - 1] >= value) {
            n_pool--;
            double sum = w + weight[n_pool];
            value += (y[n_pool] - value) * (weight[n_pool] / sum);
            w    = sum;
            from = start[n_pool];
        }
        y[n_pool] = value, weight[n_pool] = w, start[n_pool] = from;
        n_pool++;
    }
    start[n_pool] = n_knot;
    for (size_t p = n_pool; p-- > 0;) /* from the end: pool p lies at or before its first knot */
        for (size_t i = start[p + 1]; i-- > start[p];)
            y[i] = y[p];
    return n_knot;
}

/* -------------------------------------------------------------------------------------------------------- Frechet */

void dsyev_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w, double *work,
            const int *lwork, int *info, size_t jobz_length, size_t uplo_length);

enum { BLOCK = 34 }; /* columns of LAPACK's workspace: n_b + 2 */

size_t sg_metrics_frechet_bytes(size_t n_col)
{
    return sg_size_mul(sizeof(double), 3 * n_col * n_col + (BLOCK + 1) * n_col);
}

sg_status sg_metrics_frechet(size_t n_col, const double *mean_a, const double *covariance_a, const double *mean_b,
                             const double *covariance_b, void *work, double *distance, sg_error *error)
{
    if (n_col < 1 || n_col > 8192)
        return sg_fail(error, SG_ERR_SHAPE, "covariance", "expected 1 to 8192 columns, got %zu", n_col);
    int     m = (int)n_col, size = BLOCK * m, info = 0;
    double *vector = work, *product = vector + n_col * n_col, *inner = product + n_col * n_col;
    double *value = inner + n_col * n_col, *scratch = value + n_col, sum = 0;
    memcpy(vector, covariance_a, n_col * n_col * sizeof *vector);
    dsyev_("V", "U", &m, vector, &m, value, scratch, &size, &info, 1, 1);
    if (info)
        return sg_fail(error, SG_ERR_INTERNAL, "covariance", "the eigenvalues failed with %d", info);
    /* With A = V D V^T the matrices A^1/2 B A^1/2 and D^1/2 V^T B V D^1/2 have the same eigenvalues. Row i of `vector` is the
     * i-th eigenvector. */
    for (size_t i = 0; i < n_col; i++)
        for (size_t j = 0; j < n_col; j++) {
            double dot = 0;
            for (size_t k = 0; k < n_col; k++)
                dot += vector[i * n_col + k] * covariance_b[k * n_col + j];
            product[i * n_col + j] = dot;
        }
    for (size_t i = 0; i < n_col; i++)
        for (size_t j = 0; j < n_col; j++) {
            double dot = 0;
            for (size_t k = 0; k < n_col; k++)
                dot += product[i * n_col + k] * vector[j * n_col + k];
            inner[i * n_col + j] = dot * sqrt(fmax(value[i], 0) * fmax(value[j], 0));
        }
    dsyev_("N", "U", &m, inner, &m, value, scratch, &size, &info, 1, 1);
    if (info)
        return sg_fail(error, SG_ERR_INTERNAL, "covariance", "the eigenvalues failed with %d", info);
    for (size_t i = 0; i < n_col; i++) {
        double delta = mean_a[i] - mean_b[i];
        sum += delta * delta + (covariance_a[i * n_col + i] + covariance_b[i * n_col + i] - 2 * sqrt(fmax(value[i], 0)));
    }
    *distance = sum;
    return SG_OK;
}
