/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/peak.h"

#include "base/simd.h"

/* Twelve independent chains cover latency times width of every core so far (4 cycles, 2 units), and fit into 16
 * registers. */
#define CHAINS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static double run(long n)
{
    volatile real factor = R(0.999), shift = R(0.001); /* unknown to the compiler; the chains stay between 0 and 11 */
    const vr      a = vr_set1(factor), b = vr_set1(shift);
#define X(i) vr c##i = vr_set1(R(i));
    CHAINS(X)
#undef X
    for (long k = 0; k < n; k++) {
#define X(i) c##i = vr_fma(c##i, a, b);
        CHAINS(X)
#undef X
    }
    vr sum = c0;
#define X(i) sum = vr_add(sum, c##i);
    CHAINS(X)
#undef X
    volatile real sink = vr_sum(sum);
    (void)sink;
    return 2.0 * 12 * VL * (double)n;
}

extern const sg_peak_kernels SG_HOT(sg_peak_kernels);
const sg_peak_kernels SG_HOT(sg_peak_kernels) = {run};
