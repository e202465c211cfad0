/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/cpu.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[SG_ISA_COUNT] = {"portable", "v2", "v3", "v4"};

const char *sg_cpu_isa_name(sg_isa isa)
{
    return isa < SG_ISA_COUNT ? names[isa] : "unknown";
}

sg_isa sg_cpu_isa_best(void)
{
#if defined(__x86_64__) && !defined(SG_PORTABLE)
    /* GCC's feature test also asks XCR0 whether the operating system saves the wide registers. */
    __builtin_cpu_init();
    int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    int v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512cd");
    if (v4)
        return SG_ISA_V4;
    if (v3)
        return SG_ISA_V3;
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"))
        return SG_ISA_V2;
#endif
    return SG_ISA_PORTABLE;
}

static int find(const char *name)
{
    for (int i = 0; i < SG_ISA_COUNT; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

static atomic_int chosen = -1;

static sg_isa default_isa(void)
{
    sg_isa      best = sg_cpu_isa_best();
    const char *wish = getenv("SIMGRAFT_ISA");
    int         isa  = wish ? find(wish) : -1;
    /* A wish the CPU cannot grant must not end in an illegal instruction; show_config() tells what is in use. */
    return isa >= 0 && isa <= (int)best ? (sg_isa)isa : best;
}

sg_isa sg_cpu_isa(void)
{
    int isa = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (isa < 0) {
        isa = (int)default_isa();
        atomic_store_explicit(&chosen, isa, memory_order_relaxed);
    }
    return (sg_isa)isa;
}

sg_status sg_cpu_isa_set(const char *name, sg_error *error)
{
    if (!*name || strcmp(name, "auto") == 0) {
        atomic_store(&chosen, (int)default_isa());
        return SG_OK;
    }
    int isa = find(name);
    if (isa < 0)
        return sg_fail(error, SG_ERR_VALUE, "isa", "expected portable, v2, v3, v4 or auto, got \"%s\"", name);
    if (isa > (int)sg_cpu_isa_best())
        return sg_fail(error, SG_ERR_UNSUPPORTED, "isa", "this CPU offers at most %s, got \"%s\"",
                       names[sg_cpu_isa_best()], name);
    atomic_store(&chosen, isa);
    return SG_OK;
}
