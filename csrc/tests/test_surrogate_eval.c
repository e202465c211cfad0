/* SPDX-License-Identifier: BSD-3-Clause */
/* The C interface of a surrogate: evaluation and derivatives allocate nothing, strides, guard counts, stop, fallback, threads,
 * bad arguments. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "check.h"
#include "surrogate/surrogate.h"

/* y = 2 (ln a) + 3 b, z = (1 + b)^2 of a in 1 ... 10 and b in -1 ... 1, through a linear network: all of
 * it can be followed by hand. */
static sg_container *contents(void)
{
    sg_container *c;
    const int32_t column[10] = {0, 0, 1, 0, 1, 0, 1, 1, 1, 0}, op[1] = {SG_STEP_LOG};
    const int32_t back[10] = {0, 0, 1, 0, 0, 0, 1, 1, 0, 1}, back_op[1] = {SG_STEP_POWER};
    const double  value[2] = {0, 0}, back_value[2] = {2, 0};
    const double  low[2] = {1, -1}, high[2] = {10, 1}, none_low[2] = {-INFINITY, 0},
                  none_high[2] = {INFINITY, INFINITY};
    const float   weight[4] = {2, 0, 3, 1}, bias[2] = {0, 1};
    const double  parameter[1] = {0}, missing[2] = {0, 0}, max_distance = 2, mean[2] = {0, 0},
                  whitening[2] = {0, 2};
    const uint8_t flags[2]     = {0, 0};
    const size_t  two = 2, one = 1, columns[2] = {2, 5}, values[2] = {1, 2}, square[2] = {2, 2},
                  matrix[2] = {2, 1};
    CHECK(sg_container_create(SG_SURROGATE_KIND, SG_SURROGATE_VERSION, &c, NULL) == SG_OK);
    CHECK(sg_container_put_text(c, "kernel/name", "law", NULL) == SG_OK);
    CHECK(sg_container_put_text(c, "kernel/version", "1", NULL) == SG_OK);
    CHECK(sg_container_put_text(c, "description", "{}", NULL) == SG_OK);
    CHECK(sg_container_put_text(c, "input/name", "a\nb\n", NULL) == SG_OK);
    CHECK(sg_container_put_text(c, "input/unit", "Pa\n1\n", NULL) == SG_OK);
    CHECK(sg_container_put_text(c, "output/name", "y\nz\n", NULL) == SG_OK);
    CHECK(sg_container_put_text(c, "output/unit", "W\n1\n", NULL) == SG_OK);
    CHECK(sg_container_put(c, "input/low", SG_F64, 1, &two, low, NULL) == SG_OK);
    CHECK(sg_container_put(c, "input/high", SG_F64, 1, &two, high, NULL) == SG_OK);
    CHECK(sg_container_put(c, "output/low", SG_F64, 1, &two, none_low, NULL) == SG_OK);
    CHECK(sg_container_put(c, "output/high", SG_F64, 1, &two, none_high, NULL) == SG_OK);
    CHECK(sg_container_put_text(c, "network/activation", "linear\n", NULL) == SG_OK);
    CHECK(sg_container_put(c, "network/parameter", SG_F64, 1, &one, parameter, NULL) == SG_OK);
    CHECK(sg_container_put(c, "network/weight_0", SG_F32, 2, square, weight, NULL) == SG_OK);
    CHECK(sg_container_put(c, "network/bias_0", SG_F32, 1, &two, bias, NULL) == SG_OK);
    CHECK(sg_container_put(c, "encoder/column", SG_I32, 2, columns, column, NULL) == SG_OK);
    CHECK(sg_container_put(c, "encoder/op", SG_I32, 1, &one, op, NULL) == SG_OK);
    CHECK(sg_container_put(c, "encoder/value", SG_F64, 2, values, value, NULL) == SG_OK);
    CHECK(sg_container_put(c, "decoder/column", SG_I32, 2, columns, back, NULL) == SG_OK);
    CHECK(sg_container_put(c, "decoder/op", SG_I32, 1, &one, back_op, NULL) == SG_OK);
    CHECK(sg_container_put(c, "decoder/value", SG_F64, 2, values, back_value, NULL) == SG_OK);
    CHECK(sg_container_put(c, "domain/flags", SG_U8, 1, &two, flags, NULL) == SG_OK);
    CHECK(sg_container_put(c, "domain/missing", SG_F64, 1, &two, missing, NULL) == SG_OK);
    CHECK(sg_container_put(c, "domain/max_distance", SG_F64, 0, NULL, &max_distance, NULL) == SG_OK);
    CHECK(sg_container_put(c, "domain/mean", SG_F64, 1, &two, mean, NULL) == SG_OK);
    CHECK(sg_container_put(c, "domain/whitening", SG_F64, 2, matrix, whitening, NULL) ==
          SG_OK); /* distance = 2 |b| */
    return c;
}

static int law(size_t n, const double *in, double *out, void *context)
{
    (*(size_t *)context) += n;
    out[0] = -in[0];
    out[1] = -in[1];
    return 0;
}

static int broken(size_t n, const double *in, double *out, void *context)
{
    (void)n, (void)in, (void)out, (void)context;
    return 7;
}

#define N 1000

/* d_out = J d with J = ((2 / a, 3), (0, 2 (1 + b))). */
static int law_jvp(size_t n, const double *in, const double *d, double *result, void *context)
{
    (*(size_t *)context) += n;
    result[0] = 2 / in[0] * d[0] + 3 * d[1];
    result[1] = 2 * (1 + in[1]) * d[1];
    return 0;
}

static int law_vjp(size_t n, const double *in, const double *d, double *result, void *context)
{
    (*(size_t *)context) += n;
    result[0] = 2 / in[0] * d[0];
    result[1] = 3 * d[0] + 2 * (1 + in[1]) * d[1];
    return 0;
}

/* in: N rows inside the domain, but for row 3 beyond the range of b. */
static void check_derivatives(const sg_surrogate *s, const double *in, void *workspace)
{
    static double d[2 * N], tangent[2 * N], adjoint[2 * N], other[2 * N];
    size_t        calls = 0;
    for (size_t i = 0; i < 2 * N; i++)
        d[i] = cos((double)i);
    sg_guard guard;
    sg_guard_init(&guard);
    CHECK(sg_surrogate_jvp_f64(s, N, in, 2, 1, d, 2, 1, tangent, 2, 1, workspace, &guard) == SG_OK);
    CHECK(sg_surrogate_vjp_f64(s, N, in, 2, 1, d, 2, 1, adjoint, 2, 1, workspace, &guard) == SG_OK);
    CHECK(guard.n_calls == 2 && guard.n_rows == 2 * N && guard.n_outside == 2 && guard.first_row == 3);
    double worst = 0;
    for (size_t i = 0; i < N; i++) {
        double t[2], a[2];
        law_jvp(1, in + 2 * i, d + 2 * i, t, &calls);
        law_vjp(1, in + 2 * i, d + 2 * i, a, &calls);
        for (int j = 0; j < 2; j++)
            worst = fmax(worst, fmax(fabs(tangent[2 * i + j] - t[j]), fabs(adjoint[2 * i + j] - a[j])));
    }
    CHECK(worst < 4 * 6e-8 * 5); /* float network: 4 roundings of values up to 5 */

    /* Strides do not change the bits; Fortran order in, every second row out. */
    static double in_f[2 * N], d_f[2 * N], wide[4 * N];
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < 2; j++)
            in_f[j * N + i] = in[2 * i + j], d_f[j * N + i] = d[2 * i + j];
    CHECK(sg_surrogate_jvp_f64(s, N, in_f, 1, N, d_f, 1, N, wide, 4, 1, workspace, NULL) == SG_OK);
    for (size_t i = 0; i < N; i++)
        CHECK(memcmp(wide + 4 * i, tangent + 2 * i, 2 * sizeof *wide) == 0);
    CHECK(sg_surrogate_vjp_f64(s, N, in_f, 1, N, d_f, 1, N, wide, 1, N, workspace, NULL) == SG_OK);
    for (size_t i = 0; i < N; i++)
        CHECK(wide[i] == adjoint[2 * i] && wide[N + i] == adjoint[2 * i + 1]);

    /* A row outside stops, or gets its derivative from the kernel's. */
    guard.policy = SG_GUARD_STOP;
    CHECK(sg_surrogate_jvp_f64(s, N, in, 2, 1, d, 2, 1, other, 2, 1, workspace, &guard) == SG_ERR_DOMAIN);
    sg_guard_init(&guard);
    guard.policy           = SG_GUARD_FALLBACK;
    guard.fallback_context = &calls;
    CHECK(sg_surrogate_jvp_f64(s, N, in, 2, 1, d, 2, 1, other, 2, 1, workspace, &guard) == SG_ERR_VALUE);
    guard.fallback_jvp = law_jvp;
    CHECK(sg_surrogate_vjp_f64(s, N, in, 2, 1, d, 2, 1, other, 2, 1, workspace, &guard) == SG_ERR_VALUE);
    guard.fallback_vjp = law_vjp;
    calls              = 0;
    CHECK(sg_surrogate_jvp_f64(s, N, in, 2, 1, d, 2, 1, other, 2, 1, workspace, &guard) == SG_OK);
    CHECK(other[6] == 2 / in[6] * d[6] + 3 * d[7] && memcmp(other + 8, tangent + 8, (2 * N - 8) * sizeof *other) == 0);
    CHECK(sg_surrogate_vjp_f64(s, N, in, 2, 1, d, 2, 1, other, 2, 1, workspace, &guard) == SG_OK);
    CHECK(other[6] == 2 / in[6] * d[6] && memcmp(other + 8, adjoint + 8, (2 * N - 8) * sizeof *other) == 0);
    CHECK(calls == 2 && guard.n_fallback == 2 && guard.n_outside == 2 && guard.n_calls == 2);
    CHECK(sg_surrogate_jvp_f64(s, 1, in, 2, 1, NULL, 2, 1, other, 2, 1, workspace, NULL) == SG_ERR_VALUE);
}

/* Many rows on several threads: the bits, counts and fallbacks of one thread. */
static void check_threads(const sg_surrogate *s)
{
    enum { ROWS = 20 * N, THREADS = 3 };
    double  *in = malloc(2 * ROWS * sizeof *in), *one = malloc(2 * ROWS * sizeof *one), *many = malloc(2 * ROWS * sizeof *many);
    uint8_t *flags = malloc(2 * ROWS);
    size_t   calls = 0, per_input[4] = {0};
    void    *workspace = malloc(sg_surrogate_threads_workspace_bytes(s, THREADS));
    for (size_t i = 0; i < ROWS; i++) {
        in[2 * i]     = 1 + 9.0 * (double)i / ROWS;
        in[2 * i + 1] = i % 777 == 5 ? 1.5 : 0.9 * sin((double)i);
    }
    sg_guard guard[2];
    for (int k = 0; k < 2; k++) {
        sg_guard_init(&guard[k]);
        guard[k].policy           = SG_GUARD_FALLBACK;
        guard[k].fallback         = law;
        guard[k].fallback_context = &calls;
        guard[k].row_flags        = flags + k * ROWS;
        guard[k].outside_of_input = per_input + 2 * k;
    }
    CHECK(sg_surrogate_eval_f64(s, ROWS, in, 2, 1, one, 2, 1, workspace, &guard[0]) == SG_OK);
    CHECK(sg_surrogate_eval_threads_f64(s, ROWS, in, 2, 1, many, 2, 1, THREADS, workspace, &guard[1]) == SG_OK);
    CHECK(memcmp(one, many, 2 * ROWS * sizeof *one) == 0 && memcmp(flags, flags + ROWS, ROWS) == 0);
    CHECK(guard[0].n_outside == ROWS / 777 + 1 && calls == 2 * guard[0].n_outside && guard[0].first_row == 5);
    for (int k = 0; k < 2; k++) {
        const sg_guard *g = &guard[k];
        CHECK(g->n_calls == 1 && g->n_rows == ROWS && g->n_outside == guard[0].n_outside && g->n_box == guard[0].n_box &&
              g->n_density == guard[0].n_density && g->n_fallback == g->n_outside && g->first_row == 5 && g->first_input == 1 &&
              g->first_value == 1.5 && per_input[2 * k] == 0 && per_input[2 * k + 1] == g->n_outside);
    }
    /* Merged guards count the rows of the second one after those of the first. */
    sg_guard total;
    sg_guard_init(&total);
    total.n_rows = 100;
    sg_guard_merge(&total, &guard[1]);
    CHECK(total.n_rows == ROWS + 100 && total.first_row == 105 && total.n_calls == 1);
    /* Counting without checking. */
    guard[0].policy = SG_GUARD_UNCHECKED;
    CHECK(sg_surrogate_eval_threads_f64(s, ROWS, in, 2, 1, many, 2, 1, THREADS, workspace, &guard[0]) == SG_OK);
    CHECK(guard[0].n_rows == 2 * ROWS && guard[0].n_calls == 2 && guard[0].n_outside == ROWS / 777 + 1);
    guard[1].policy = SG_GUARD_STOP;
    sg_guard_init(&guard[0]);
    guard[0].policy = SG_GUARD_STOP;
    CHECK(sg_surrogate_eval_threads_f64(s, ROWS, in, 2, 1, many, 2, 1, THREADS, workspace, &guard[0]) == SG_ERR_DOMAIN);
    CHECK(guard[0].first_row == 5);
    CHECK(sg_surrogate_eval_threads_f64(s, ROWS, in, 2, 1, many, 2, 1, 0, workspace, NULL) == SG_ERR_VALUE);
    CHECK(sg_surrogate_max_threads() >= 1);
    free(in);
    free(one);
    free(many);
    free(flags);
    free(workspace);
}

int main(void)
{
    sg_container *file = contents();
    sg_surrogate *s;
    CHECK(sg_surrogate_from_container(file, &s, NULL) == SG_OK);
    if (!s)
        return 1;

    static double in[2 * N], out[2 * N], other[2 * N];
    static float  in_f32[2 * N], out_f32[2 * N];
    for (size_t i = 0; i < N; i++) {
        in[2 * i]     = 1 + 9.0 * (double)i / N;
        in[2 * i + 1] = 0.9 * sin((double)i);
        in_f32[i]     = (float)in[2 * i]; /* Fortran order */
        in_f32[N + i] = (float)in[2 * i + 1];
    }
    void *workspace = malloc(sg_surrogate_derivative_workspace_bytes(s) + 1);

    /* From here on any allocation fails. An odd address: the workspace needs no alignment. */
    sg_memory_fail_after(0, 1);
    sg_guard guard;
    sg_guard_init(&guard);
    CHECK(sg_surrogate_eval(s, N, in, 2, out, 2, (char *)workspace + 1, &guard) == SG_OK);
    CHECK(guard.n_rows == N && guard.n_outside == 0 && guard.first_flags == 0);
    CHECK(sg_guard_explain(s, &guard, NULL) == SG_OK);
    /* Float network: 4 roundings of values up to 7.6 and 3.6. */
    for (size_t i = 0; i < N; i++) {
        double y = 2 * log(in[2 * i]) + 3 * in[2 * i + 1], z = (1 + in[2 * i + 1]) * (1 + in[2 * i + 1]);
        CHECK(fabs(out[2 * i] - y) < 4 * 6e-8 * 7.6 && fabs(out[2 * i + 1] - z) < 4 * 6e-8 * 3.7);
    }

    /* Backwards, with gaps: the same bits. */
    CHECK(sg_surrogate_eval_f64(s, N, in + 2 * (N - 1), -2, 1, other + 2 * (N - 1), -2, 1, workspace, NULL) ==
          SG_OK);
    CHECK(memcmp(out, other, sizeof out) == 0);
    CHECK(sg_surrogate_eval_f64(s, N / 2, in, 4, 1, other, 1, N / 2, workspace, NULL) == SG_OK);
    for (size_t i = 0; i < N / 2; i++)
        CHECK(other[i] == out[4 * i] && other[N / 2 + i] == out[4 * i + 1]);

    /* A float host in Fortran order: float rounding of the inputs besides. */
    sg_guard_init(&guard);
    CHECK(sg_surrogate_eval_f32(s, N, in_f32, 1, N, out_f32, 1, N, workspace, &guard) == SG_OK);
    CHECK(guard.n_outside == 0);
    for (size_t i = 0; i < N; i++)
        CHECK(fabs((double)out_f32[i] - out[2 * i]) < 1e-5);

    /* Rows outside: row 3 by range (and distance: 2 * 1.5 > 2), row 5 by NaN, row 700 by infinity. */
    uint8_t flags[N];
    size_t  per_input[2] = {0, 0}, calls = 0;
    double  save[6] = {in[6], in[7], in[10], in[11], in[1400], in[1401]};
    in[7]           = 1.5;
    in[10]          = NAN;
    in[1401]        = -INFINITY;
    sg_guard_init(&guard);
    guard.row_flags        = flags;
    guard.outside_of_input = per_input;
    CHECK(sg_surrogate_eval(s, N, in, 2, other, 2, workspace, &guard) == SG_OK);
    CHECK(guard.n_rows == N && guard.n_outside == 3 && guard.n_box == 1 && guard.n_density == 1 &&
          guard.n_not_finite == 2);
    CHECK(per_input[0] == 1 && per_input[1] == 2);
    CHECK(flags[3] == (SG_OUTSIDE_BOX | SG_OUTSIDE_DENSITY) && flags[5] == SG_OUTSIDE_NOT_FINITE &&
          flags[700] == SG_OUTSIDE_NOT_FINITE);
    for (size_t i = 0; i < N; i++)
        CHECK(!flags[i] == (i != 3 && i != 5 && i != 700));
    CHECK(guard.first_row == 3 && guard.first_input == 1 && guard.first_value == 1.5);
    sg_error error;
    CHECK(sg_guard_explain(s, &guard, &error) == SG_ERR_DOMAIN);
    CHECK(strcmp(error.argument, "b") == 0 && strstr(error.message, "1.5") && strstr(error.message, "row 3"));

    /* The kernel computes them. */
    guard.policy = SG_GUARD_FALLBACK;
    CHECK(sg_surrogate_eval(s, N, in, 2, other, 2, workspace, &guard) == SG_ERR_VALUE); /* no kernel */
    guard.fallback         = law;
    guard.fallback_context = &calls;
    CHECK(sg_surrogate_eval(s, N, in, 2, other, 2, workspace, &guard) == SG_OK);
    CHECK(calls == 3 && guard.n_fallback == 3 && guard.n_rows == 2 * N && guard.n_outside == 6);
    CHECK(other[6] == -in[6] && other[7] == -1.5 && other[1401] == INFINITY && isnan(other[10]) &&
          other[11] == -in[11]);
    for (size_t i = 0; i < N; i++)
        CHECK(flags[i] || memcmp(other + 2 * i, out + 2 * i, 2 * sizeof *out) == 0);
    guard.fallback = broken;
    CHECK(sg_surrogate_eval(s, N, in, 2, other, 2, workspace, &guard) == SG_ERR_DIVERGED);

    /* Stop. */
    sg_guard_init(&guard);
    guard.policy = SG_GUARD_STOP;
    CHECK(sg_surrogate_eval(s, N, in, 2, other, 2, workspace, &guard) == SG_ERR_DOMAIN &&
          guard.first_row == 3);
    sg_guard_init(&guard);
    guard.policy = SG_GUARD_STOP;
    CHECK(sg_surrogate_eval(s, N - 4, in + 8, 2, other, 2, workspace, &guard) == SG_ERR_NOT_FINITE &&
          guard.first_row == 1);
    memcpy(in + 6, save, 2 * sizeof *in);
    memcpy(in + 10, save + 2, 2 * sizeof *in);
    memcpy(in + 1400, save + 4, 2 * sizeof *in);

    in[7] = 1.5;
    check_derivatives(s, in, workspace);
    in[7] = save[1];
    check_threads(s);

    /* Wrong use. */
    CHECK(sg_surrogate_eval(NULL, 1, in, 2, other, 2, workspace, NULL) == SG_ERR_VALUE);
    CHECK(sg_surrogate_eval(s, 1, in, 2, other, 2, NULL, NULL) == SG_ERR_VALUE);
    CHECK(sg_surrogate_eval(s, 1, NULL, 2, other, 2, workspace, NULL) == SG_ERR_VALUE);
    CHECK(sg_surrogate_eval(s, 0, NULL, 2, NULL, 2, workspace, NULL) == SG_OK);
    CHECK(sg_surrogate_input(s, 2).name[0] == 0 && strcmp(sg_surrogate_output(s, 1).name, "z") == 0);
    sg_memory_fail_after(-1, 0);

    sg_surrogate_info info = sg_surrogate_describe(s);
    CHECK(info.n_in == 2 && info.n_out == 2 && info.n_parameters == 6 && info.network_bits == 32 &&
          info.has_domain);
    CHECK(strcmp(info.name, "law") == 0 && strcmp(sg_surrogate_input(s, 0).unit, "Pa") == 0 &&
          sg_surrogate_input(s, 0).high == 10);
    sg_surrogate_close(s);

    /* Every allocation of the way up fails once; nothing leaks (seen by the sanitizer build) and nothing
     * half-made is returned. */
    sg_status status = SG_ERR_MEMORY;
    long      n      = 0;
    for (; status == SG_ERR_MEMORY && n < 200; n++) {
        sg_memory_fail_after(n, 0);
        status = sg_surrogate_from_container(file, &s, &error);
        sg_memory_fail_after(-1, 0);
        CHECK((status == SG_OK) == (s != NULL));
    }
    CHECK(status == SG_OK && n > 20);
    sg_surrogate_close(s);
    sg_surrogate_close(NULL);
    sg_container_free(file);
    free(workspace);
    CHECK(sg_surrogate_open("no such file", &s, &error) == SG_ERR_NOT_FOUND && s == NULL);
    CHECK(sg_surrogate_open(NULL, &s, &error) == SG_ERR_VALUE);
    return check_result();
}
