/* SPDX-License-Identifier: BSD-3-Clause */
/* Every allocation fails once on the way through graphs, plans, nets, trainers, chains, containers and shards: SG_ERR_MEMORY with a
 * text, no object half made, no block left, no output touched. The sanitizer build sees reads of what was not allocated. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "check.h"
#include "nn/infer.h"
#include "nn/init.h"
#include "nn/spline_chain.h"
#include "nn/train.h"
#include "store/shard.h"

/* Does the work with allocation 0, 1, 2 ... failing until it succeeds; work frees all it made, however it ends. */
static void sweep(const char *what, long at_least, sg_status (*work)(void *context, sg_error *error), void *context)
{
    long n = 0;
    for (sg_status status = SG_ERR_MEMORY; status == SG_ERR_MEMORY && n < 2000; n++) {
        sg_error error  = {0};
        size_t   before = sg_memory_blocks();
        sg_memory_fail_after(n, 0);
        status = work(context, &error);
        sg_memory_fail_after(-1, 0);
        int clean = sg_memory_blocks() == before && (status == SG_OK || (status == SG_ERR_MEMORY && error.message[0]));
        if (!clean)
            fprintf(stderr, "%s, allocation %ld: status %d \"%s\", %zu blocks before, %zu after\n", what, n, (int)status,
                    error.message, before, sg_memory_blocks());
        CHECK(clean);
    }
    if (n <= at_least || n >= 2000)
        fprintf(stderr, "%s: succeeded after %ld failures, expected at least %ld\n", what, n - 1, at_least);
    CHECK(n > at_least && n < 2000);
}

/* ------------------------------------------------------------------------------------------------------------ networks */
enum { ROWS = 3, LARGEST = 1 << 16 };

typedef struct {
    int     n_nodes;
    sg_node node[SG_OP_MAX_INPUTS + 2];
} network;

/* The operator alone on its inputs, as its example has it, or on inputs of three channels. */
static network network_of(sg_op_id id)
{
    network    net  = {0};
    sg_op_draw draw = {5};
    sg_op_site site = {.op = sg_op_get(id), .n_inputs = sg_op_get(id)->min_inputs};
    if (site.op->example) {
        site.op->example(&draw, &site);
    } else {
        for (int i = 0; i < site.n_inputs; i++)
            site.in[i] = (sg_shape){1, {3}};
        for (int k = 0; k < site.op->n_attributes; k++)
            if (site.op->attributes[k].standard.n == 0 && site.op->attributes[k].type != SG_ATTRIBUTE_REAL)
                site.attribute[k] = (sg_attribute_value){1, {2}};
    }
    net.n_nodes    = site.n_inputs + 1;
    sg_node *last  = &net.node[site.n_inputs];
    last->op       = id;
    last->n_inputs = site.n_inputs;
    memcpy(last->attribute, site.attribute, sizeof site.attribute);
    for (int i = 0; i < site.n_inputs; i++) {
        sg_node *input = &net.node[i];
        input->op      = SG_OP_input;
        last->input[i] = i;
        input->attribute[0].n = site.in[i].rank;
        for (int k = 0; k < site.in[i].rank; k++)
            input->attribute[0].v[k] = (double)site.in[i].dim[k];
    }
    return net;
}

static double parameters[LARGEST], x[LARGEST], y[LARGEST], other[LARGEST], gradient[LARGEST];

static int untouched(const double *array)
{
    for (size_t i = 0; i < LARGEST; i++)
        if (array[i] != -7)
            return 0;
    return 1;
}

static sg_status run_whole(void *context, sg_error *error)
{
    const network *net   = context;
    sg_graph      *graph = NULL;
    sg_status      status = sg_graph_create(net->n_nodes, net->node, &graph, error);
    CHECK((status == SG_OK) == (graph != NULL));
    for (size_t i = 0; i < LARGEST; i++)
        y[i] = other[i] = -7;
    if (status == SG_OK) {
        CHECK(sg_graph_n_parameters(graph) < LARGEST && ROWS * (sg_graph_n_in(graph) + sg_graph_n_out(graph)) < LARGEST);
        status = sg_graph_forward(graph, 64, ROWS, parameters, x, y, NULL, 2, error);
        CHECK(status == SG_OK || untouched(y));
    }
    if (status == SG_OK) {
        status = sg_graph_tangent(graph, 64, ROWS, parameters, x, x, y, other, 2, error);
        CHECK(status == SG_OK || untouched(other));
    }
    if (status == SG_OK) {
        for (size_t i = 0; i < LARGEST; i++)
            other[i] = -7;
        status = sg_graph_backward(graph, 64, ROWS, parameters, x, y, gradient, other, NULL, 1, error);
        CHECK(status == SG_OK || untouched(other));
    }
    if (status == SG_OK)
        status = sg_graph_backward(graph, 64, ROWS, parameters, x, y, NULL, other, NULL, 2, error);
    sg_graph_free(graph);
    return status;
}

static sg_status make_net(void *context, sg_error *error)
{
    const network *net   = context;
    sg_graph      *graph = NULL;
    sg_net        *packed = NULL;
    sg_status      status = sg_graph_create(net->n_nodes, net->node, &graph, error);
    if (status == SG_OK) {
        status = sg_net_create(graph, 64, parameters, 1, &packed, error);
        CHECK((status == SG_OK) == (packed != NULL));
    }
    sg_net_free(packed);
    sg_graph_free(graph);
    return status;
}

/* With a dense layer behind it, so that there is something to train. */
static sg_status train(void *context, sg_error *error)
{
    network        dense   = *(const network *)context, *net = &dense;
    static double  slot[2][LARGEST], start[LARGEST];
    const double   rate[1] = {1e-3};
    double         loss;
    sg_graph      *graph   = NULL;
    sg_trainer    *trainer = NULL;
    net->node[net->n_nodes] = (sg_node){.op = SG_OP_dense, .n_inputs = 1, .input = {net->n_nodes - 1}, .attribute = {{1, {2}}}};
    net->n_nodes++;
    sg_status      status  = sg_graph_create(net->n_nodes, net->node, &graph, error);
    if (status == SG_OK) {
        const size_t           n = sg_graph_n_out(graph);
        const sg_loss_term     term    = {.loss = {.id = SG_LOSS_mse, .n_out = n, .n_target = n}, .weight = 1};
        const sg_train_options options = {.bits = 64, .n_target = n, .n_terms = 1, .terms = &term, .optim = {.id = SG_OPTIM_adam},
                                          .clip_norm = 1, .num_threads = 2};
        const sg_train_rows    rows    = {ROWS, x, y, NULL, NULL, NULL};
        memcpy(start, parameters, sizeof start);
        memset(slot, 0, sizeof slot);
        sg_train_state state = {start, {slot[0], slot[1]}, NULL, 0};
        status               = sg_trainer_create(graph, &options, &trainer, error);
        CHECK((status == SG_OK) == (trainer != NULL));
        if (status == SG_OK)
            status = sg_trainer_epoch(trainer, &state, &rows, ROWS, rate, NULL, &loss, error);
        /* An allocation that fails in a step leaves the state before it. */
        CHECK(status == SG_OK || (state.step == 0 && memcmp(start, parameters, sizeof start) == 0));
        if (status == SG_OK)
            status = sg_trainer_evaluate(trainer, start, &rows, NULL, &loss, NULL, error);
    }
    sg_trainer_free(trainer);
    sg_graph_free(graph);
    return status;
}

/* --------------------------------------------------------------------------------------------------------------- store */
static char folder[] = "/tmp/simgraft_allocations_XXXXXX";
static char file[128], shard[128];

static sg_status store_container(void *context, sg_error *error)
{
    (void)context;
    const size_t   shape[]   = {2, 3};
    const double   numbers[] = {1, 2, 3, 4, 5, 6};
    sg_container  *container = NULL;
    sg_status      status    = sg_container_create("test", 1, &container, error);
    CHECK((status == SG_OK) == (container != NULL));
    if (status == SG_OK)
        status = sg_container_put(container, "group/numbers", SG_F64, 2, shape, numbers, error);
    if (status == SG_OK)
        status = sg_container_put_text(container, "text", "words", error);
    if (status == SG_OK)
        status = sg_container_write(container, file, error);
    sg_container_free(container);
    if (status != SG_OK)
        return status;
    container = NULL;
    status    = sg_container_open(file, "test", 1, &container, error);
    CHECK((status == SG_OK) == (container != NULL));
    if (status == SG_OK)
        CHECK(sg_container_size(container) == 2 && memcmp(sg_container_find(container, "group/numbers")->data, numbers, sizeof numbers) == 0);
    sg_container_free(container);
    return status;
}

static sg_status write_shard(sg_error *error)
{
    const sg_shard_layout layout = {.n_in = 2, .n_out = 1, .dtype = SG_F64, .has_weight = 1, .chunk_rows = 4, .deflate = 1};
    double                in[20], out[10], weight[10];
    for (int i = 0; i < 10; i++)
        in[2 * i] = in[2 * i + 1] = out[i] = weight[i] = i;
    const sg_rows    rows   = {.x = in, .y = out, .weight = weight};
    sg_shard_writer *writer = NULL;
    SG_TRY(sg_shard_create(shard, &layout, "{}", &writer, error));
    sg_status status = sg_shard_append(writer, 10, &rows, error);
    if (status != SG_OK) {
        sg_shard_abandon(writer);
        return status;
    }
    return sg_shard_commit(writer, NULL, NULL, error);
}

static sg_status store_shard(void *context, sg_error *error)
{
    (void)context;
    const char *const paths[] = {shard};
    const sg_segment  segments[] = {{0, 1, 3}, {0, 6, 4}};
    const size_t      ends[]     = {1, 2};
    double            buffer[2][3 * 4];
    sg_rows           rows[2]    = {{.x = buffer[0], .y = buffer[0] + 8}, {.x = buffer[1], .y = buffer[1] + 8}};
    sg_shard_set     *set        = NULL;
    sg_stream        *stream     = NULL;
    int               slot;
    size_t            n_rows     = 1;
    SG_TRY(write_shard(error));
    sg_status status = sg_shard_set_open(1, paths, 1, NULL, &set, error);
    CHECK((status == SG_OK) == (set != NULL));
    if (status == SG_OK)
        status = sg_shard_set_read(set, 2, (const sg_segment[]){{0, 0, 1}, {0, 5, 2}}, &rows[0], NULL, error);
    if (status == SG_OK)
        status = sg_stream_open(set, 2, ends, segments, rows, &stream, error);
    while (status == SG_OK && n_rows) {
        status = sg_stream_next(stream, NULL, &slot, &n_rows, error);
        CHECK(status != SG_OK || n_rows == 0 || buffer[slot][0] == (n_rows == 3 ? 1 : 6));
    }
    sg_stream_close(stream);
    sg_shard_set_free(set);
    return status;
}

static sg_status make_chain(void *context, sg_error *error)
{
    (void)context;
    static const float         weight[2 * 11], bias[11], knots[] = {0, 1, 1, 3};
    const sg_dense_layer_f32   layer = {2, 11, weight, bias, SG_ACTIVATION_linear, 0};
    const sg_spline_chain_step step  = {1, &layer, 4, 5, 4, knots, 3}, steps[] = {step, step};
    sg_spline_chain           *chain = NULL;
    sg_status                  status = sg_spline_chain_create(2, steps, &chain, error);
    CHECK((status == SG_OK) == (chain != NULL));
    sg_spline_chain_free(chain);
    return status;
}

int main(void)
{
    for (size_t i = 0; i < LARGEST; i++) {
        parameters[i] = 0.1 + 0.01 * (double)(i % 7);
        x[i]          = 0.3 + 0.1 * (double)(i % 11);
    }
    for (int id = 0; id < SG_OP_COUNT; id++)
        if (id != SG_OP_input) {
            network net = network_of((sg_op_id)id);
            sweep(sg_op_get((sg_op_id)id)->name, 20, run_whole, &net);
            sweep(sg_op_get((sg_op_id)id)->name, 8, make_net, &net);
            sweep(sg_op_get((sg_op_id)id)->name, 12, train, &net);
        }
    sweep("chain", 6, make_chain, NULL);
    CHECK(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/container", folder);
    snprintf(shard, sizeof shard, "%s/shard.h5", folder);
    sweep("container", 10, store_container, NULL);
    sweep("shard", 8, store_shard, NULL);
    remove(file);
    remove(shard);
    CHECK(rmdir(folder) == 0); /* no temporary file was left */
    return check_result();
}
