/* SPDX-License-Identifier: BSD-3-Clause */
/* Load and store hooks of fused inference: the same bits as plain arrays, every row once, in blocks as promised. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "nn/dense.h"

static int failures;
#define CHECK(condition)                                           \
    do {                                                           \
        if (!(condition)) {                                        \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            failures++;                                            \
        }                                                          \
    } while (0)

enum { N_IN = 20, N_HIDDEN = 33, N_OUT = 18, N_MAX = 700 };

typedef struct rows {
    const float *in;
    float       *out;
    int          loaded[N_MAX], stored[N_MAX], bad_ld;
} rows;

static void load(void *context, int thread, size_t first, size_t n_rows, float *block, size_t ld)
{
    (void)thread;
    rows *r = context;
    r->bad_ld |= n_rows > SG_DENSE_BLOCK || (ld != n_rows && (ld % 16 || ld < n_rows));
    for (size_t c = 0; c < N_IN; c++)
        for (size_t i = 0; i < ld; i++) /* beyond n_rows: allowed, and must not matter */
            block[c * ld + i] = i < n_rows ? r->in[(first + i) * N_IN + c] : 1e30f;
    for (size_t i = 0; i < n_rows; i++)
        r->loaded[first + i]++;
}

static void store(void *context, int thread, size_t first, size_t n_rows, const float *block, size_t ld)
{
    (void)thread;
    rows *r = context;
    for (size_t i = 0; i < n_rows; i++) {
        for (size_t c = 0; c < N_OUT; c++)
            r->out[(first + i) * N_OUT + c] = block[c * ld + i];
        r->stored[first + i]++;
    }
}

static float random_number(void) { return (float)rand() / (float)RAND_MAX - 0.5f; }

static void test_hooks(const char *isa)
{
    sg_error error = {0};
    if (sg_cpu_isa_set(isa, &error) != SG_OK)
        return; /* this CPU lacks it */
    static float w1[N_IN * N_HIDDEN], w2[N_HIDDEN * N_OUT], b1[N_HIDDEN], in[N_MAX * N_IN], plain[N_MAX * N_OUT],
        hooked[N_MAX * N_OUT];
    for (size_t i = 0; i < sizeof w1 / sizeof *w1; i++)
        w1[i] = random_number();
    for (size_t i = 0; i < sizeof w2 / sizeof *w2; i++)
        w2[i] = random_number();
    for (size_t i = 0; i < N_HIDDEN; i++)
        b1[i] = random_number();
    for (size_t i = 0; i < sizeof in / sizeof *in; i++)
        in[i] = random_number();
    const sg_dense_layer_f32 layers[2] = {{N_IN, N_HIDDEN, w1, b1, SG_ACTIVATION_tanh, 0},
                                          {N_HIDDEN, N_OUT, w2, NULL, SG_ACTIVATION_sigmoid, 0}};
    sg_dense_plan           *plan      = NULL;
    CHECK(sg_dense_plan_create_f32(2, layers, &plan, &error) == SG_OK);

    static const size_t sizes[] = {0, 1, 2, 3, 5, 16, 31, 32, 33, 48, 95, 96, 97, 130, N_MAX};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int num_threads = 1; num_threads <= 2; num_threads++) {
            static rows  r;
            const size_t n         = sizes[k];
            void        *workspace = sg_alloc(2 * sg_dense_workspace_bytes(plan));
            CHECK(workspace != NULL);
            memset(workspace, 0xff,
                   2 * sg_dense_workspace_bytes(plan)); /* NaN: no result may depend on what was there */
            memset(&r, 0, sizeof r);
            r.in = in, r.out = hooked;
            memset(plain, 0, sizeof plain);
            memset(hooked, 0, sizeof hooked);
            sg_dense_eval_f32(plan, n, &(sg_dense_input_f32){in, N_IN, 1, NULL, NULL},
                              &(sg_dense_output_f32){plain, N_OUT, 1, NULL, NULL}, workspace);
            sg_dense_eval_threads_f32(plan, n, &(sg_dense_input_f32){NULL, 0, 0, load, &r},
                                      &(sg_dense_output_f32){NULL, 0, 0, store, &r}, num_threads, workspace);
            CHECK(memcmp(plain, hooked, sizeof plain) == 0);
            CHECK(!r.bad_ld);
            for (size_t i = 0; i < N_MAX; i++)
                CHECK(r.loaded[i] == (i < n) && r.stored[i] == (i < n));
            /* One hook alone. */
            memset(hooked, 0, sizeof hooked);
            sg_dense_eval_f32(plan, n, &(sg_dense_input_f32){NULL, 0, 0, load, &r},
                              &(sg_dense_output_f32){hooked, N_OUT, 1, NULL, NULL}, workspace);
            CHECK(memcmp(plain, hooked, sizeof plain) == 0);
            sg_free(workspace);
        }
    sg_dense_plan_free(plan);
}

/* Every activation of both precisions against the plain loops of the reference. */
static void test_reference(void)
{
    enum { ROWS = 70, IN = 9, OUT = 21 };
    static double w[IN * OUT], b[OUT], x[ROWS * IN], expected[ROWS * OUT], y[ROWS * OUT];
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        w[i] = random_number();
    for (size_t i = 0; i < OUT; i++)
        b[i] = random_number();
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = random_number();
    for (int kind = 0; kind < SG_ACTIVATION_COUNT; kind++) {
        const sg_dense_layer_f64 layer = {
            IN, OUT, w, b, (sg_activation)kind, sg_activation_parameter((sg_activation)kind)};
        sg_dense_plan *plan = NULL;
        CHECK(sg_dense_plan_create_f64(1, &layer, &plan, NULL) == SG_OK);
        void *workspace = sg_alloc(sg_dense_workspace_bytes(plan));
        sg_dense_eval_f64(plan, ROWS, &(sg_dense_input_f64){x, IN, 1, NULL, NULL},
                          &(sg_dense_output_f64){y, OUT, 1, NULL, NULL}, workspace);
        sg_dense_reference_f64(&layer, ROWS, x, expected);
        double worst = 0;
        for (size_t i = 0; i < ROWS * OUT; i++) {
            double error = y[i] - expected[i];
            worst        = error > worst ? error : -error > worst ? -error : worst;
        }
        CHECK(worst < 20 * 2.3e-16 * 4); /* ten multiply-adds twice over, on sums below 4 */
        sg_free(workspace);
        sg_dense_plan_free(plan);
    }
}

int main(void)
{
    static const char *const isas[] = {"portable", "v2", "v3", "v4"};
    for (int i = 0; i < 4; i++)
        test_hooks(isas[i]);
    sg_cpu_isa_set("auto", NULL);
    test_reference();
    return failures != 0;
}
