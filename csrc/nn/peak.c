/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/peak.h"

#include "base/cpu.h"
#include "base/poll.h"

SG_ISA_DECLARE(sg_peak_kernels, sg_peak_kernels_f32);
SG_ISA_DECLARE(sg_peak_kernels, sg_peak_kernels_f64);

double sg_peak_flops(int bits, double seconds)
{
    const sg_isa           isa = sg_cpu_isa();
    const sg_peak_kernels *kernels =
        bits == 32 ? SG_ISA_PICK(sg_peak_kernels_f32, isa) : SG_ISA_PICK(sg_peak_kernels_f64, isa);
    double start = sg_time_thread_cpu(), used, done = 0;
    do {
        done += kernels->run(10000); /* some 30 us: the clock does not count */
        used = sg_time_thread_cpu() - start;
    } while (used < seconds);
    return done / used;
}
