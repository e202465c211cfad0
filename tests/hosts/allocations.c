/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts the allocations of evaluations and derivatives of a surrogate file: prints a line "call number" for each. The
 * allocator of the C library is replaced by one that counts, for the program and every library in it. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <simgraft/simgraft.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static volatile size_t count;

void *malloc(size_t bytes) { return count++, __libc_malloc(bytes); }
void *calloc(size_t n, size_t bytes) { return count++, __libc_calloc(n, bytes); }
void *realloc(void *old, size_t bytes) { return count++, __libc_realloc(old, bytes); }
void *memalign(size_t alignment, size_t bytes) { return count++, __libc_memalign(alignment, bytes); }
void *aligned_alloc(size_t alignment, size_t bytes) { return count++, __libc_memalign(alignment, bytes); }
int   posix_memalign(void **block, size_t alignment, size_t bytes)
{
    *block = (count++, __libc_memalign(alignment, bytes));
    return *block ? 0 : ENOMEM;
}

static int kernel(size_t n, const double *in, double *out, void *context)
{
    (void)n, (void)in, (void)context;
    out[0] = 0;
    return 0;
}

static int derivative(size_t n, const double *in, const double *d, double *result, void *context)
{
    (void)n, (void)in, (void)d, (void)context;
    result[0] = 0;
    return 0;
}

#define N 777 /* several blocks, and a part of one */
static double in[N * 8], d_in[N * 8], out[N * 8];
static float  in_f32[N * 8], d_in_f32[N * 8], out_f32[N * 8];

#define COUNT(name, call)                                             \
    do {                                                              \
        size_t    before = count;                                     \
        sg_status status = call;                                      \
        size_t    after  = count;                                     \
        printf("%s %zu\n", name, after - before);                     \
        if (status != SG_OK)                                          \
            return 1;                                                 \
    } while (0)

int main(int argc, char **argv)
{
    size_t        before = count;
    sg_surrogate *s;
    if (argc != 2 || sg_surrogate_open(argv[1], &s, NULL) != SG_OK)
        return 2;
    printf("open %zu\n", count - before);
    sg_surrogate_info info = sg_surrogate_describe(s);
    ptrdiff_t         a = (ptrdiff_t)info.n_in, b = (ptrdiff_t)info.n_out;
    void             *w = malloc(sg_surrogate_derivative_workspace_bytes(s));
    for (size_t i = 0; i < N * info.n_in; i++) { /* row 5 outside */
        sg_surrogate_variable v = sg_surrogate_input(s, i % info.n_in);
        in[i]                   = i / info.n_in == 5 ? 2 * v.high : 0.5 * (v.low + v.high);
        in_f32[i]               = (float)in[i];
        d_in[i]                 = d_in_f32[i] = 1;
    }
    sg_guard guard;
    sg_guard_init(&guard);
    guard.policy       = SG_GUARD_FALLBACK;
    guard.fallback     = kernel;
    guard.fallback_jvp = guard.fallback_vjp = derivative;
    COUNT("eval", sg_surrogate_eval(s, N, in, a, out, b, w, NULL));
    COUNT("eval_columns", sg_surrogate_eval_f64(s, N, in, 1, N, out, 1, N, w, NULL));
    COUNT("eval_f32", sg_surrogate_eval_f32(s, N, in_f32, a, 1, out_f32, b, 1, w, NULL));
    COUNT("eval_one", sg_surrogate_eval(s, 1, in, a, out, b, w, NULL));
    COUNT("eval_fallback", sg_surrogate_eval(s, N, in, a, out, b, w, &guard));
    COUNT("jvp", sg_surrogate_jvp_f64(s, N, in, a, 1, d_in, a, 1, out, b, 1, w, &guard));
    COUNT("jvp_f32", sg_surrogate_jvp_f32(s, N, in_f32, a, 1, d_in_f32, a, 1, out_f32, b, 1, w, NULL));
    COUNT("vjp", sg_surrogate_vjp_f64(s, N, in, a, 1, d_in, b, 1, out, a, 1, w, &guard));
    COUNT("vjp_f32", sg_surrogate_vjp_f32(s, N, in_f32, a, 1, d_in_f32, b, 1, out_f32, a, 1, w, NULL));
    COUNT("one_thread", sg_surrogate_eval_threads_f64(s, N, in, a, 1, out, b, 1, 1, w, NULL));
    free(w);
    sg_surrogate_close(s);
    return guard.n_fallback == 3 ? 0 : 3;
}
