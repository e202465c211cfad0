/* SPDX-License-Identifier: BSD-3-Clause */
/* Measured multiply-add peak of one core: what the speed of inference and training is expressed in. */
#ifndef SG_NN_PEAK_H
#define SG_NN_PEAK_H

/* Operations per second of thread CPU time (two for a multiply-add) with the instruction set in use; bits = 32 or 64.
 * Runs for about the given time and returns the mean rate. */
double sg_peak_flops(int bits, double seconds);

typedef struct sg_peak_kernels {
    double (*run)(long n); /* n rounds; returns the operations done */
} sg_peak_kernels;

#endif
