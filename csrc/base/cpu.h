/* SPDX-License-Identifier: BSD-3-Clause */
/* Which instruction set the hot code uses. Decided once from CPU feature bits (never from family or model), and
 * overridden by the environment variable SIMGRAFT_ISA = portable | v2 | v3 | v4 (read at first use). */
#ifndef SG_BASE_CPU_H
#define SG_BASE_CPU_H

#include "base/error.h"

typedef enum sg_isa {
    SG_ISA_PORTABLE,  /* plain C with vector extensions; the only one off x86-64 */
    SG_ISA_V2,        /* x86-64-v2: SSE4.2, no FMA */
    SG_ISA_V3,        /* x86-64-v3: AVX2 + FMA     */
    SG_ISA_V4,        /* x86-64-v4: AVX-512 F, BW, DQ, VL, CD */
    SG_ISA_COUNT
} sg_isa;

sg_isa      sg_cpu_isa(void);               /* the instruction set in use */
sg_isa      sg_cpu_isa_best(void);          /* the best one this CPU and operating system offer */
const char *sg_cpu_isa_name(sg_isa isa);    /* "portable", "v2", "v3", "v4" */

/* Switches the instruction set of later calls (tests and benchmarks). "" or "auto" restores the default. Objects that packed
 * their weights for another instruction set keep it. SG_ERR_VALUE for an unknown name, SG_ERR_UNSUPPORTED if the CPU lacks it. */
sg_status sg_cpu_isa_set(const char *name, sg_error *error);

/* Declares and picks per-ISA variants: SG_ISA_TABLE(type, name) gives a function-like lookup over name_portable ... name_v4. */
#if defined(__x86_64__) && !defined(SG_PORTABLE)
#define SG_ISA_DECLARE(type, name) extern const type name##_portable, name##_v2, name##_v3, name##_v4
#define SG_ISA_PICK(name, isa)                                                                         \
    ((isa) == SG_ISA_V4 ? &name##_v4 : (isa) == SG_ISA_V3 ? &name##_v3 : (isa) == SG_ISA_V2 ? &name##_v2 \
                                                                                           : &name##_portable)
#else
#define SG_ISA_DECLARE(type, name) extern const type name##_portable
#define SG_ISA_PICK(name, isa) ((void)(isa), &name##_portable)
#endif

#endif
