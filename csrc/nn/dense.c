/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/dense.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "nn/dense_plan.h"

SG_ISA_DECLARE(sg_dense_kernels, sg_dense_kernels_f32);
SG_ISA_DECLARE(sg_dense_kernels, sg_dense_kernels_f64);

/* A layer of either precision. */
typedef struct layer {
    size_t        n_in, n_out;
    const char   *weight, *bias;
    sg_activation activation;
    double        parameter;
} layer;

static sg_status check(size_t n_layers, const layer *layers, sg_error *error)
{
    if (n_layers == 0)
        return sg_fail(error, SG_ERR_VALUE, "layers", "expected at least one layer");
    for (size_t i = 0; i < n_layers; i++) {
        const layer *l = &layers[i];
        if (l->n_in == 0 || l->n_out == 0)
            return sg_fail(error, SG_ERR_SHAPE, "layers", "layer %zu has shape (%zu, %zu), expected at least (1, 1)", i,
                           l->n_in, l->n_out);
        if (i && l->n_in != layers[i - 1].n_out)
            return sg_fail(error, SG_ERR_SHAPE, "layers", "layer %zu takes %zu inputs, but layer %zu gives %zu outputs",
                           i, l->n_in, i - 1, layers[i - 1].n_out);
        if (!l->weight)
            return sg_fail(error, SG_ERR_VALUE, "layers", "layer %zu has no weights", i);
        if (!sg_activation_name(l->activation))
            return sg_fail(error, SG_ERR_VALUE, "layers", "layer %zu: unknown activation number %d", i,
                           (int)l->activation);
        if (!(l->parameter >= 0) || isinf(l->parameter))
            return sg_fail(error, SG_ERR_VALUE, "layers",
                           "layer %zu: the parameter of %s must be finite and >= 0, got %g", i,
                           sg_activation_name(l->activation), l->parameter);
    }
    return SG_OK;
}

/* weight (n_in, n_out) -> (n_panels, n_in, panel); both zeroed beforehand. */
static void pack(const layer *l, size_t panel, size_t size, char *weight, char *bias)
{
    for (size_t first = 0; first < l->n_out; first += panel) {
        size_t n = l->n_out - first < panel ? l->n_out - first : panel;
        for (size_t k = 0; k < l->n_in; k++)
            memcpy(weight + (first * l->n_in + k * panel) * size, l->weight + (k * l->n_out + first) * size, n * size);
    }
    if (l->bias)
        memcpy(bias, l->bias, l->n_out * size);
}

/* weight (n_in, n_out) -> panels of its transpose, zeroed beforehand. */
static void pack_transposed(const layer *l, size_t panel, size_t size, char *transposed)
{
    for (size_t j = 0; j < l->n_in; j++)
        for (size_t k = 0; k < l->n_out; k++)
            memcpy(transposed + ((j - j % panel) * l->n_out + k * panel + j % panel) * size,
                   l->weight + (j * l->n_out + k) * size, size);
}

static size_t add(size_t a, size_t b)
{
    size_t sum;
    return __builtin_add_overflow(a, b, &sum) ? SIZE_MAX : sum;
}

static size_t padded_bytes(size_t n, size_t panel, size_t size)
{
    return n > SIZE_MAX - panel ? SIZE_MAX : sg_size_mul(sg_round_up(n, panel), size);
}

/* Bytes of a block of rows of n columns, in either layout. */
static size_t block_bytes(size_t n, size_t size) { return SG_DENSE_BLOCK * sg_dense_ld(n, size) * size; }

/* Places of what derivatives keep: two halves, the inputs, and of each layer the results and, where the slope needs them, the
 * sums. A last layer whose slope is 1 has nothing to keep. */
static void place_derivatives(sg_dense_plan *plan, size_t size)
{
    size_t used = 2 * plan->half + block_bytes(plan->n_in, size);
    for (size_t i = 0; i < plan->n_layers; i++) {
        sg_dense_step *s = &plan->step[i];
        if (i + 1 == plan->n_layers && s->activation == SG_ACTIVATION_linear)
            break;
        s->y = s->z = used;
        used += block_bytes(s->n_out, size);
        if (sg_activation_needs_input(s->activation)) {
            s->z = used;
            used += block_bytes(s->n_out, size);
        }
    }
    plan->derivative_bytes = used;
}

static sg_status create(size_t n_layers, const layer *layers, int bits, sg_dense_plan **out, sg_error *error)
{
    SG_TRY(check(n_layers, layers, error));
    const sg_isa            isa = sg_cpu_isa();
    const sg_dense_kernels *kernels =
        bits == 32 ? SG_ISA_PICK(sg_dense_kernels_f32, isa) : SG_ISA_PICK(sg_dense_kernels_f64, isa);
    const size_t size = (size_t)bits / 8, panel = kernels->panel;

    const size_t head  = sg_round_up(sizeof(sg_dense_plan) + n_layers * sizeof(sg_dense_step), SG_ALIGNMENT);
    size_t       total = head, widest = layers[0].n_in;
    for (size_t i = 0; i < n_layers; i++) {
        if (layers[i].n_out > widest)
            widest = layers[i].n_out;
        total = add(total, sg_size_mul(add(layers[i].n_in, 1), padded_bytes(layers[i].n_out, panel, size)));
        total = add(total, sg_size_mul(layers[i].n_out, padded_bytes(layers[i].n_in, panel, size)));
    }
    total = add(total, padded_bytes(widest, panel, size));
    if (total > SIZE_MAX / 4 || widest > SIZE_MAX / (4 * SG_DENSE_BLOCK * size * (2 * n_layers + 3)))
        return sg_fail(error, SG_ERR_MEMORY, "layers", "the network is too large for the address space");
    sg_dense_plan *plan = sg_alloc(total);
    if (!plan)
        return sg_fail(error, SG_ERR_MEMORY, "layers", "could not allocate %zu bytes for the packed weights", total);
    memset(plan, 0, total);

    plan->kernels    = kernels;
    plan->isa        = isa;
    plan->bits       = bits;
    plan->n_layers   = n_layers;
    plan->n_in       = layers[0].n_in;
    plan->n_out      = layers[n_layers - 1].n_out;
    plan->half       = block_bytes(widest, size);
    char *free_space = (char *)plan + head;
    for (size_t i = 0; i < n_layers; i++) {
        const layer  *l      = &layers[i];
        const size_t  padded = padded_bytes(l->n_out, panel, size);
        sg_dense_step step   = {.n_in       = l->n_in,
                                .n_out      = l->n_out,
                                .activation = l->activation,
                                .parameter  = l->parameter,
                                .weight     = free_space,
                                .bias       = free_space + l->n_in * padded};
        pack(l, panel, size, step.weight, step.bias);
        plan->step[i] = step;
        plan->flops += 2.0 * (double)l->n_in * (double)l->n_out;
        free_space += (l->n_in + 1) * padded;
    }
    /* What an evaluation reads comes first, without gaps; then what derivatives need. */
    for (size_t i = 0; i < n_layers; i++) {
        plan->step[i].transposed = free_space;
        pack_transposed(&layers[i], panel, size, free_space);
        free_space += layers[i].n_out * padded_bytes(layers[i].n_in, panel, size);
    }
    plan->zeros = free_space;
    place_derivatives(plan, size);
    *out = plan;
    return SG_OK;
}

void        sg_dense_plan_free(sg_dense_plan *plan) { sg_free(plan); }
size_t      sg_dense_workspace_bytes(const sg_dense_plan *plan) { return 2 * plan->half; }
size_t      sg_dense_derivative_bytes(const sg_dense_plan *plan) { return plan->derivative_bytes; }
size_t      sg_dense_n_in(const sg_dense_plan *plan) { return plan->n_in; }
size_t      sg_dense_n_out(const sg_dense_plan *plan) { return plan->n_out; }
int         sg_dense_bits(const sg_dense_plan *plan) { return plan->bits; }
const char *sg_dense_isa(const sg_dense_plan *plan) { return sg_cpu_isa_name(plan->isa); }
double      sg_dense_flops(const sg_dense_plan *plan) { return plan->flops; }

/* -------------------------------------------------------------------------------------------------------- threads */

/* Rows handed to a thread at a time. */
#define CHUNK ((size_t)4 * SG_DENSE_BLOCK)

typedef struct job {
    const sg_dense_plan *plan;
    size_t               n_rows;
    const void          *input, *output;
    char                *workspace;
} job;

static int run_chunk(void *context, size_t chunk, int thread)
{
    const job   *j     = context;
    const size_t first = chunk * CHUNK, left = j->n_rows - first;
    j->plan->kernels->eval(j->plan, first, left < CHUNK ? left : CHUNK, j->input, j->output, thread,
                           j->workspace + (size_t)thread * sg_dense_workspace_bytes(j->plan));
    return 0;
}

static size_t n_chunks(size_t n_rows) { return n_rows / CHUNK + (n_rows % CHUNK != 0); }

int sg_dense_threads(size_t n_rows, int num_threads) { return sg_threads_resolve(num_threads, n_chunks(n_rows)); }

static void run_threads(job j, int num_threads)
{
    sg_threads_blocks(n_chunks(j.n_rows), sg_dense_threads(j.n_rows, num_threads), run_chunk, &j);
}

/* ------------------------------------------------------------------------------------------------------ both
 * precisions */

#define SG_DENSE_DEFINE(bits, real)                                                                                   \
    sg_status sg_dense_plan_create_f##bits(size_t n_layers, const sg_dense_layer_f##bits *layers,                     \
                                           sg_dense_plan **plan, sg_error *error)                                     \
    {                                                                                                                 \
        layer *list;                                                                                                  \
        SG_TRY(sg_alloc_array(&list, n_layers, sizeof *list, "layers", error));                                       \
        for (size_t i = 0; i < n_layers; i++)                                                                         \
            list[i] = (layer){layers[i].n_in,                                                                         \
                              layers[i].n_out,                                                                        \
                              (const char *)layers[i].weight,                                                         \
                              (const char *)layers[i].bias,                                                           \
                              layers[i].activation,                                                                   \
                              layers[i].parameter};                                                                   \
        sg_status status = create(n_layers, list, bits, plan, error);                                                 \
        sg_free(list);                                                                                                \
        return status;                                                                                                \
    }                                                                                                                 \
    void sg_dense_eval_f##bits(const sg_dense_plan *plan, size_t n_rows, const sg_dense_input_f##bits *input,         \
                               const sg_dense_output_f##bits *output, void *workspace)                                \
    {                                                                                                                 \
        plan->kernels->eval(plan, 0, n_rows, input, output, 0, workspace);                                            \
    }                                                                                                                 \
    void sg_dense_eval_threads_f##bits(const sg_dense_plan *plan, size_t n_rows, const sg_dense_input_f##bits *input, \
                                       const sg_dense_output_f##bits *output, int num_threads, void *workspace)       \
    {                                                                                                                 \
        run_threads((job){plan, n_rows, input, output, workspace}, num_threads);                                      \
    }                                                                                                                 \
    void sg_dense_jvp_f##bits(const sg_dense_plan *plan, size_t n_rows, const sg_dense_input_f##bits *input,          \
                              const sg_dense_input_f##bits *d, const sg_dense_output_f##bits *output, void *workspace) \
    {                                                                                                                 \
        plan->kernels->jvp(plan, 0, n_rows, input, d, output, 0, workspace);                                          \
    }                                                                                                                 \
    void sg_dense_vjp_f##bits(const sg_dense_plan *plan, size_t n_rows, const sg_dense_input_f##bits *input,          \
                              const sg_dense_input_f##bits *d, const sg_dense_output_f##bits *output, void *workspace) \
    {                                                                                                                 \
        plan->kernels->vjp(plan, 0, n_rows, input, d, output, 0, workspace);                                          \
    }                                                                                                                 \
    void sg_dense_reference_f##bits(const sg_dense_layer_f##bits *l, size_t n_rows, const double *x, double *y)       \
    {                                                                                                                 \
        for (size_t row = 0; row < n_rows; row++, x += l->n_in, y += l->n_out)                                        \
            for (size_t j = 0; j < l->n_out; j++) {                                                                   \
                double sum = l->bias ? (double)l->bias[j] : 0;                                                        \
                for (size_t k = 0; k < l->n_in; k++)                                                                  \
                    sum += x[k] * (double)l->weight[k * l->n_out + j];                                                \
                y[j] = sg_activation_value(l->activation, l->parameter, sum);                                         \
            }                                                                                                         \
    }

SG_DENSE_DEFINE(32, float)
SG_DENSE_DEFINE(64, double)
