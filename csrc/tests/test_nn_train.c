/* SPDX-License-Identifier: BSD-3-Clause */
/* Training from C alone: a network with a branch learns a function; threads and failed allocations. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "check.h"
#include "nn/activation.h"
#include "nn/init.h"
#include "nn/train.h"

enum { ROWS = 300, N_IN = 2, N_PARAMETERS = 2 * 9 + 9 + 9 * 9 + 9 + 9 + 1 };

static sg_attribute_value one(double value) { return (sg_attribute_value){1, {value}}; }

/* tanh layer, residual block, linear output */
static sg_status make_graph(sg_graph **graph, sg_error *error)
{
    const sg_node nodes[] = {
        {.op = SG_OP_input, .attribute = {one(N_IN)}},
        {.op = SG_OP_dense, .n_inputs = 1, .input = {0}, .attribute = {one(9), one(SG_ACTIVATION_tanh)}},
        {.op = SG_OP_dense, .n_inputs = 1, .input = {1}, .attribute = {one(9), one(SG_ACTIVATION_swish)}},
        {.op = SG_OP_add, .n_inputs = 2, .input = {1, 2}},
        {.op = SG_OP_dense, .n_inputs = 1, .input = {3}, .attribute = {one(1)}},
    };
    return sg_graph_create(sizeof nodes / sizeof *nodes, nodes, graph, error);
}

/* Trains from the same start; the caller looks at the parameters. */
static sg_status train(int num_threads, int epochs, float *parameters, double *first_loss, double *last_loss, sg_error *error)
{
    static float x[ROWS * N_IN], y[ROWS], slot[2][N_PARAMETERS];
    for (int i = 0; i < ROWS; i++) {
        x[2 * i]     = (float)((i * 37 % 101) / 50.0 - 1);
        x[2 * i + 1] = (float)((i * 53 % 89) / 44.0 - 1);
        y[i]         = sinf(2 * x[2 * i]) * x[2 * i + 1];
    }
    memset(slot, 0, sizeof slot);
    const sg_train_rows    rows    = {ROWS, x, y, NULL, NULL, NULL};
    const double           rate[3] = {1e-2, 1e-2, 1e-2};
    const sg_loss_term     term    = {.loss = {.id = SG_LOSS_mse, .n_out = 1, .n_target = 1}, .weight = 1};
    const sg_train_options options = {.bits = 32, .n_target = 1, .n_terms = 1, .terms = &term, .optim = {.id = SG_OPTIM_adam}, .num_threads = num_threads};
    sg_train_state         state   = {parameters, {slot[0], slot[1]}, NULL, 0};
    sg_graph              *graph   = NULL;
    sg_trainer            *trainer = NULL;
    sg_status              status  = make_graph(&graph, error);
    if (status == SG_OK)
        status = sg_trainer_create(graph, &options, &trainer, error);
    if (status == SG_OK) {
        CHECK(sg_graph_n_parameters(graph) == N_PARAMETERS);
        sg_graph_initialise(graph, 32, SG_INIT_glorot_uniform, 5, parameters);
    }
    for (int e = 0; status == SG_OK && e < epochs; e++)
        status = sg_trainer_epoch(trainer, &state, &rows, 128, rate, NULL, e ? last_loss : first_loss, error);
    CHECK(status != SG_OK || state.step == 3 * epochs);
    sg_trainer_free(trainer);
    sg_graph_free(graph);
    return status;
}

static void a_network_with_a_branch_learns(void)
{
    float  parameters[N_PARAMETERS];
    double first, last;
    CHECK(train(1, 150, parameters, &first, &last, NULL) == SG_OK);
    CHECK(last < 0.02 * first); /* the function is smooth: 0.25 falls below 0.003 */
}

static void threads_do_not_change_a_bit(void)
{
    float  a[N_PARAMETERS], b[N_PARAMETERS];
    double first, last;
    CHECK(train(1, 5, a, &first, &last, NULL) == SG_OK);
    CHECK(train(3, 5, b, &first, &last, NULL) == SG_OK);
    CHECK(memcmp(a, b, sizeof a) == 0);
}

static void every_failed_allocation_is_reported(void)
{
    float  parameters[N_PARAMETERS];
    double first, last;
    for (long n = 0; n < 100; n++) {
        sg_error error = {0};
        sg_memory_fail_after(n, 0);
        sg_status status = train(1, 2, parameters, &first, &last, &error);
        sg_memory_fail_after(-1, 0);
        if (status == SG_OK) {
            CHECK(n >= 15); /* graph 6, trainer 7, loss 3, plan 4 */
            return;
        }
        CHECK(status == SG_ERR_MEMORY && error.message[0]);
    }
    CHECK(!"still failing after 100 allocations");
}

static int stop_at_once(void *context, double done, double total)
{
    (void)done, (void)total;
    ++*(int *)context;
    return 1;
}

static void an_interrupt_leaves_the_state_as_it_was(void)
{
    static double    x[2 * 50], y[50], parameters[N_PARAMETERS], before[N_PARAMETERS];
    sg_graph        *graph;
    sg_trainer      *trainer;
    int              calls   = 0;
    double           loss;
    sg_poll          poll    = {stop_at_once, &calls, 0};
    sg_train_rows    rows    = {50, x, y, NULL, NULL, NULL};
    sg_loss_term     term    = {.loss = {.id = SG_LOSS_mse, .n_out = 1, .n_target = 1}, .weight = 1};
    sg_train_options options = {.bits = 64, .n_target = 1, .n_terms = 1, .terms = &term, .optim = {.id = SG_OPTIM_sgd}, .num_threads = 1};
    sg_train_state   state   = {.parameters = parameters};
    CHECK(make_graph(&graph, NULL) == SG_OK);
    sg_graph_initialise(graph, 64, SG_INIT_he_normal, 1, parameters);
    memcpy(before, parameters, sizeof before);
    CHECK(sg_trainer_create(graph, &options, &trainer, NULL) == SG_OK);
    CHECK(sg_trainer_step(trainer, &state, &rows, 0.1, &poll, &loss, NULL) == SG_ERR_INTERRUPTED);
    CHECK(calls == 1 && state.step == 0 && memcmp(before, parameters, sizeof before) == 0);
    sg_trainer_free(trainer);
    sg_graph_free(graph);
}

int main(void)
{
    a_network_with_a_branch_learns();
    threads_do_not_change_a_bit();
    every_failed_allocation_is_reported();
    an_interrupt_leaves_the_state_as_it_was();
    return check_result();
}
