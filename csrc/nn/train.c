/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/train.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/threads.h"

enum { MAX_GROUPS = 64, UPDATE_BLOCK = 16384 };

/* Parameters that are not trained. */
typedef struct held_range {
    size_t first, n;    /* elements of the parameter vector */
    double momentum;    /* of a statistic; 0: a constant    */
} held_range;

struct sg_trainer {
    const sg_graph         *graph;
    sg_train_options        options;
    sg_plan                *plan;
    sg_loss_terms          *loss;
    const sg_optim_kernels *optim;
    size_t                  real_bytes, n_parameters, n_in, n_out, n_target, n_values;
    size_t                  max_groups;     /* partial gradients                                     */
    size_t                  least_rows;     /* of a chunk: what stays in L2                          */
    int                     n_threads;
    size_t                  loss_bytes;     /* of one thread's loss scratch                          */
    char                   *packed;
    char                   *workspace;      /* (n_threads) plan workspaces                           */
    char                   *loss_scratch;   /* (n_threads, loss_bytes)                               */
    char                   *partial;        /* (max_groups, n_parameters) gradients                  */
    char                   *gradient;       /* (n_parameters)                                        */
    double                 *group_loss;     /* (MAX_GROUPS, n_values) sums over rows                 */
    double                 *value_loss;     /* (n_values)                                            */
    size_t                  n_held, held_size;
    held_range             *held;           /* (n_held)                                              */
    char                   *observed;       /* (held_size) statistics of the last batch              */
    char                   *kept;           /* (held_size) held parameters while the optimiser runs  */
};

void sg_trainer_free(sg_trainer *trainer)
{
    if (!trainer)
        return;
    sg_plan_free(trainer->plan);
    sg_loss_terms_free(trainer->loss);
    sg_free(trainer->packed);
    sg_free(trainer->workspace);
    sg_free(trainer->loss_scratch);
    sg_free(trainer->partial);
    sg_free(trainer->gradient);
    sg_free(trainer->group_loss);
    sg_free(trainer->value_loss);
    sg_free(trainer->held);
    sg_free(trainer->observed);
    sg_free(trainer->kept);
    sg_free(trainer);
}

static sg_status find_held(sg_trainer *t, sg_error *error)
{
    for (int pass = 0; pass < 2; pass++) {
        t->n_held = t->held_size = 0;
        for (int i = 0; i < sg_graph_n_nodes(t->graph); i++) {
            const sg_op_site *site = sg_graph_site(t->graph, i);
            for (int j = 0; j < site->n_parameters; j++) {
                const sg_op_parameter *p = &site->parameter[j];
                if (p->kind == SG_PARAMETER_TRAINED)
                    continue;
                size_t n = sg_shape_size(&p->shape);
                if (pass)
                    t->held[t->n_held] = (held_range){sg_graph_offset(t->graph, i) + p->offset, n,
                                                      p->kind == SG_PARAMETER_STATISTIC ? p->momentum : 0};
                t->n_held++;
                t->held_size += n;
            }
        }
        if (!pass)
            SG_TRY(sg_alloc_array(&t->held, t->n_held, sizeof *t->held, "statistics", error));
    }
    if (t->held_size >= t->n_parameters)
        return sg_fail(error, SG_ERR_VALUE, "network", "has no parameters to train");
    SG_TRY(sg_alloc_array(&t->observed, t->held_size, t->real_bytes, "statistics", error));
    return sg_alloc_array(&t->kept, t->held_size, t->real_bytes, "statistics", error);
}

/* Moves what backward wrote for parameters that are not trained out of the gradient. */
static void take_observations(sg_trainer *t)
{
    size_t at = 0;
    for (size_t k = 0; k < t->n_held; at += t->held[k++].n) {
        char *gradient = t->gradient + t->held[k].first * t->real_bytes;
        memcpy(t->observed + at * t->real_bytes, gradient, t->held[k].n * t->real_bytes);
        memset(gradient, 0, t->held[k].n * t->real_bytes);
    }
}

/* Before the optimiser runs, which may decay every parameter: the values that held parameters have after the step. */
static void keep_held(sg_trainer *t, const void *parameters)
{
    size_t at = 0;
    for (size_t k = 0; k < t->n_held; k++)
        for (size_t i = t->held[k].first; i < t->held[k].first + t->held[k].n; i++, at++) {
            double momentum = t->held[k].momentum;
            if (t->options.bits == 32) {
                float p                   = ((const float *)parameters)[i];
                ((float *)t->kept)[at]    = momentum ? p + (float)momentum * (((const float *)t->observed)[at] - p) : p;
            } else {
                double p                  = ((const double *)parameters)[i];
                ((double *)t->kept)[at]   = momentum ? p + momentum * (((const double *)t->observed)[at] - p) : p;
            }
        }
}

static void put_held(const sg_trainer *t, void *parameters)
{
    size_t at = 0;
    for (size_t k = 0; parameters && k < t->n_held; at += t->held[k++].n)
        memcpy((char *)parameters + t->held[k].first * t->real_bytes, t->kept + at * t->real_bytes, t->held[k].n * t->real_bytes);
}

/* Rows of the largest chunk. A chunk reads all weights forward and backward, and its gradients twice: a network whose parameters
 * weigh more than the values of a chunk that stays in L2 takes more rows at a time, although their values are then read from L3.
 * Coupling flow of 611,000 parameters, batch 1024: 52 us a row with 384 rows, 77 us with 24. */
static size_t largest_chunk(const sg_trainer *t)
{
    enum { MOST = 384 };
    const size_t least = sg_plan_chunk_rows(t->plan), bytes = sg_plan_workspace_bytes(t->plan);
    if (4 * t->n_parameters * t->real_bytes <= 3 * bytes)
        return least;
    const double flops = 3 * sg_graph_flops(t->graph);
    size_t       rows  = MOST, fit = ((size_t)64 << 20) / (bytes / least + 1);
    rows               = rows < fit ? rows : fit;
    if ((double)rows * flops > 2e9) /* polls every few ten milliseconds */
        rows = (size_t)(2e9 / flops);
    const size_t group = sg_loss_terms_rows_per_group(t->loss);
    rows               = rows / group * group;
    return rows > least ? rows : least;
}

/* Of the rows of one batch: an eighth, so that as many threads have work, within what is worth while. */
static size_t rows_of_chunk(const sg_trainer *t, size_t n_rows)
{
    const size_t most = sg_plan_chunk_rows(t->plan), step = 12 * sg_loss_terms_rows_per_group(t->loss);
    size_t       rows = sg_round_up((n_rows + 7) / 8, step);
    rows              = rows < t->least_rows ? t->least_rows : rows;
    return rows < most ? rows : most;
}

static sg_status build(sg_trainer *t, sg_error *error)
{
    const sg_train_options *o = &t->options;
    if (o->bits != 32 && o->bits != 64)
        return sg_fail(error, SG_ERR_VALUE, "bits", "expected 32 or 64, got %d", o->bits);
    if (!(o->clip_norm >= 0) || !(o->clip_value >= 0))
        return sg_fail(error, SG_ERR_VALUE, o->clip_norm >= 0 ? "clip_value" : "clip_norm", "expected 0 (off) or more");
    if (!(o->ema_decay >= 0 && o->ema_decay < 1))
        return sg_fail(error, SG_ERR_VALUE, "ema", "expected a decay in [0, 1), got %g", o->ema_decay);
    SG_TRY(sg_loss_terms_create(o->n_terms, o->terms, sg_graph_n_out(t->graph), o->n_target, o->bits, &t->loss, error));
    t->options.terms = NULL; /* the caller's */
    SG_TRY(sg_optim_resolve(&t->options.optim, error));
    if (sg_graph_n_parameters(t->graph) == 0)
        return sg_fail(error, SG_ERR_VALUE, "network", "has no parameters to train");
    SG_TRY(sg_plan_create(t->graph, o->bits, SG_PLAN_TRAIN, 0, sg_loss_terms_rows_per_group(t->loss), &t->plan, error));
    t->optim        = sg_optim_kernels_get(o->bits, sg_cpu_isa());
    t->real_bytes   = (size_t)o->bits / 8;
    t->n_parameters = sg_graph_n_parameters(t->graph);
    t->least_rows   = sg_plan_chunk_rows(t->plan);
    const size_t most_rows = largest_chunk(t);
    if (most_rows > t->least_rows) {
        sg_plan_free(t->plan);
        t->plan = NULL;
        SG_TRY(sg_plan_create(t->graph, o->bits, SG_PLAN_TRAIN, most_rows, 1, &t->plan, error));
    }
    t->n_in         = sg_graph_n_in(t->graph);
    t->n_out        = sg_graph_n_out(t->graph);
    t->n_target     = o->n_target;
    t->n_values     = sg_loss_terms_n_values(t->loss);
    /* At most 64 MiB of partial gradients, from the size of the network alone. */
    size_t gradient_bytes = t->n_parameters * t->real_bytes;
    t->max_groups         = ((size_t)64 << 20) / gradient_bytes;
    t->max_groups         = t->max_groups < 4 ? 4 : t->max_groups > MAX_GROUPS ? MAX_GROUPS : t->max_groups;
    t->n_threads          = sg_threads_resolve(o->num_threads, MAX_GROUPS);
    t->loss_bytes         = sg_loss_terms_scratch_bytes(t->loss, sg_plan_chunk_rows(t->plan));
    SG_TRY(sg_alloc_array(&t->packed, sg_plan_packed_bytes(t->plan), 1, "packed parameters", error));
    SG_TRY(sg_alloc_array(&t->workspace, (size_t)t->n_threads, sg_plan_workspace_bytes(t->plan), "training workspace", error));
    SG_TRY(sg_alloc_array(&t->loss_scratch, (size_t)t->n_threads, t->loss_bytes, "loss scratch", error));
    SG_TRY(sg_alloc_array(&t->partial, t->max_groups, gradient_bytes, "partial gradients", error));
    SG_TRY(sg_alloc_array(&t->gradient, t->n_parameters, t->real_bytes, "gradient", error));
    SG_TRY(sg_alloc_array(&t->group_loss, MAX_GROUPS * t->n_values, sizeof(double), "loss sums", error));
    SG_TRY(find_held(t, error));
    return sg_alloc_array(&t->value_loss, t->n_values, sizeof(double), "loss sums", error);
}

sg_status sg_trainer_create(const sg_graph *graph, const sg_train_options *options, sg_trainer **trainer, sg_error *error)
{
    sg_trainer *made;
    SG_TRY(sg_alloc_array(&made, 1, sizeof *made, "trainer", error));
    made->graph      = graph;
    made->options    = *options;
    sg_status status = build(made, error);
    if (status != SG_OK) {
        sg_trainer_free(made);
        return status;
    }
    *trainer = made;
    return SG_OK;
}

size_t               sg_trainer_chunk_rows(const sg_trainer *trainer) { return sg_plan_chunk_rows(trainer->plan); }
const sg_loss_terms *sg_trainer_loss(const sg_trainer *trainer) { return trainer->loss; }

/* One pass over the rows of a batch, with or without gradients. */
typedef struct pass {
    sg_trainer          *trainer;
    const void          *parameters;
    const sg_train_rows *rows;
    sg_poll             *poll;
    double               done, total;  /* rows, for progress: before this pass, and of the whole call */
    size_t               chunk, n_chunks, n_groups;
    int                  backward;
    int64_t              step;         /* for random operators */
} pass;

static int run_group(void *context, size_t group, int thread)
{
    const pass          *p         = context;
    sg_trainer          *t         = p->trainer;
    const sg_train_rows *rows      = p->rows;
    const size_t         chunk     = p->chunk;
    char                *workspace = t->workspace + (size_t)thread * sg_plan_workspace_bytes(t->plan);
    const size_t         target_bytes = t->n_target * t->real_bytes, out_bytes = t->n_out * t->real_bytes;
    const size_t         first = group * p->n_chunks / p->n_groups, last = (group + 1) * p->n_chunks / p->n_groups;
    sg_loss_terms_call   loss  = {
          .batch_rows   = (double)rows->n_rows,
          .prediction   = sg_plan_output(t->plan, workspace),
          .d_prediction = p->backward ? sg_plan_output_gradient(t->plan, workspace) : NULL,
          .scratch      = t->loss_scratch + (size_t)thread * t->loss_bytes,
          .value_sum    = t->group_loss + group * t->n_values,
    };
    memset(loss.value_sum, 0, t->n_values * sizeof(double));
    for (size_t c = first; c < last; c++) {
        /* Only the calling thread may call back. */
        const size_t row = c * chunk;
        if (thread == 0 && sg_poll_due(p->poll, p->done + (double)row, p->total))
            return SG_ERR_INTERRUPTED;
        loss.n_rows      = rows->n_rows - row < chunk ? rows->n_rows - row : chunk;
        for (size_t i = 0; i < loss.n_rows; i++) {
            size_t from = rows->order ? (size_t)rows->order[row + i] : row + i;
            size_t next = rows->order && i + 8 < loss.n_rows ? (size_t)rows->order[row + i + 8] : from;
            __builtin_prefetch((const char *)rows->x + next * t->n_in * t->real_bytes);
            /* The targets come from main memory, in random order: ask for them before the forward pass that they are needed after. */
            for (size_t line = 0; line < target_bytes; line += SG_ALIGNMENT)
                __builtin_prefetch((const char *)rows->y + from * target_bytes + line, 0, 2);
            sg_plan_set_input(t->plan, i, (const char *)rows->x + from * t->n_in * t->real_bytes, workspace);
        }
        const sg_op_random random = {.seed = t->options.seed, .step = (uint64_t)p->step, .first_row = row};
        sg_plan_forward(t->plan, loss.n_rows, p->parameters, t->packed, workspace, p->backward ? &random : NULL);
        loss.order      = rows->order ? rows->order + row : NULL;
        loss.target     = rows->order ? rows->y : (const char *)rows->y + row * target_bytes;
        loss.row_weight = !rows->weight || rows->order ? rows->weight : (const char *)rows->weight + row * t->real_bytes;
        loss.outside    = rows->outside ? (const char *)rows->outside + row * out_bytes : NULL;
        sg_loss_terms_run(t->loss, &loss);
        if (p->backward)
            sg_plan_backward(t->plan, loss.n_rows, p->parameters, t->packed, workspace, &random,
                             t->partial + group * t->n_parameters * t->real_bytes, c > first);
    }
    return SG_OK;
}

/* Operators that couple rows get the whole batch in one chunk. */
static sg_status grow_chunk(sg_trainer *t, size_t n_rows, sg_error *error)
{
    sg_plan     *plan;
    char        *workspace = NULL, *scratch = NULL;
    const size_t loss_bytes = sg_loss_terms_scratch_bytes(t->loss, n_rows);
    SG_TRY(sg_plan_create(t->graph, t->options.bits, SG_PLAN_TRAIN, n_rows, sg_loss_terms_rows_per_group(t->loss), &plan, error));
    sg_status status = sg_alloc_array(&workspace, (size_t)t->n_threads, sg_plan_workspace_bytes(plan), "training workspace", error);
    if (status == SG_OK)
        status = sg_alloc_array(&scratch, (size_t)t->n_threads, loss_bytes, "loss scratch", error);
    if (status != SG_OK) {
        sg_plan_free(plan);
        sg_free(workspace);
        return status;
    }
    sg_plan_free(t->plan);
    sg_free(t->workspace);
    sg_free(t->loss_scratch);
    t->plan         = plan;
    t->workspace    = workspace;
    t->loss_scratch = scratch;
    t->loss_bytes   = loss_bytes;
    return SG_OK;
}

static sg_status run_pass(pass *p, double *loss, double *value_loss, sg_error *error)
{
    sg_trainer  *t      = p->trainer;
    const size_t n_rows = p->rows->n_rows;
    if (n_rows == 0)
        return sg_fail(error, SG_ERR_SHAPE, "x", "expected at least one row");
    const size_t group = sg_loss_terms_rows_per_group(t->loss);
    if (n_rows % group)
        return sg_fail(error, SG_ERR_SHAPE, "x", "the loss compares groups of %zu rows, got %zu rows in a batch", group, n_rows);
    if (p->backward && n_rows > sg_plan_chunk_rows(t->plan) && sg_graph_flags(t->graph) & SG_OP_COUPLES_ROWS)
        SG_TRY(grow_chunk(t, n_rows, error));
    p->chunk = p->backward && sg_graph_flags(t->graph) & SG_OP_COUPLES_ROWS ? sg_plan_chunk_rows(t->plan) : rows_of_chunk(t, n_rows);
    const size_t chunk = p->chunk;
    /* Few groups for small batches, because their gradients must be added up; more for large ones, for many threads. */
    p->n_chunks       = (n_rows + chunk - 1) / chunk;
    size_t max_groups = p->backward ? t->max_groups : MAX_GROUPS;
    p->n_groups       = p->n_chunks < 64 ? 8 : p->n_chunks / 8;
    p->n_groups       = p->n_groups > max_groups ? max_groups : p->n_groups;
    p->n_groups       = p->n_groups > p->n_chunks ? p->n_chunks : p->n_groups;
    sg_plan_prepare(t->plan, p->parameters, t->packed);
    if (sg_threads_blocks(p->n_groups, t->n_threads, run_group, p) != SG_OK)
        return sg_fail(error, SG_ERR_INTERRUPTED, NULL, "training was interrupted");
    for (size_t j = 0; j < t->n_values; j++) {
        t->value_loss[j] = 0;
        for (size_t g = 0; g < p->n_groups; g++)
            t->value_loss[j] += t->group_loss[g * t->n_values + j];
        if (value_loss)
            value_loss[j] = t->value_loss[j] / (double)n_rows;
    }
    *loss = sg_loss_terms_total(t->loss, t->value_loss, n_rows);
    return SG_OK;
}

static int reduce_block(void *context, size_t block, int thread)
{
    (void)thread;
    const pass   *p     = context;
    sg_trainer   *t     = p->trainer;
    const size_t  first = block * UPDATE_BLOCK, left = t->n_parameters - first;
    t->optim->reduce(p->n_groups, t->n_parameters, first, left < UPDATE_BLOCK ? left : UPDATE_BLOCK, t->partial, t->gradient);
    return 0;
}

static size_t n_update_blocks(const sg_trainer *t) { return (t->n_parameters + UPDATE_BLOCK - 1) / UPDATE_BLOCK; }

static sg_status compute_gradient(pass *p, double *loss, sg_error *error)
{
    p->backward = 1;
    SG_TRY(run_pass(p, loss, NULL, error));
    sg_threads_blocks(n_update_blocks(p->trainer), p->trainer->n_threads, reduce_block, p);
    take_observations(p->trainer);
    return SG_OK;
}

sg_status sg_trainer_gradient(sg_trainer *trainer, const void *parameters, int64_t step, const sg_train_rows *rows, sg_poll *poll,
                              double *loss, void **gradient, sg_error *error)
{
    pass p = {.trainer = trainer, .parameters = parameters, .rows = rows, .poll = poll, .total = (double)rows->n_rows, .step = step};
    SG_TRY(compute_gradient(&p, loss, error));
    *gradient = trainer->gradient;
    return SG_OK;
}

typedef struct update_job {
    sg_trainer   *trainer;
    sg_optim_call call;
} update_job;

static int update_block(void *context, size_t block, int thread)
{
    (void)thread;
    const update_job *job  = context;
    sg_optim_call     call = job->call;
    const size_t      left = job->trainer->n_parameters - block * UPDATE_BLOCK;
    call.first             = block * UPDATE_BLOCK;
    call.n                 = left < UPDATE_BLOCK ? left : UPDATE_BLOCK;
    job->trainer->optim->update[call.optim->id](&call);
    return 0;
}

void sg_trainer_update(sg_trainer *trainer, sg_train_state *state, const void *gradient, double rate)
{
    const sg_train_options *o = &trainer->options;
    state->step++;
    if (!gradient)
        gradient = trainer->gradient;
    update_job job = {trainer, {
        .optim          = &o->optim,
        .gradient       = gradient,
        .parameters     = state->parameters,
        .slot           = {state->slot[0], state->slot[1]},
        .ema            = o->ema_decay > 0 ? state->ema : NULL,
        .ema_decay      = o->ema_decay,
        .rate           = rate,
        .step           = (double)state->step,
        .gradient_scale = 1,
        .clip_value     = o->clip_value,
    }};
    if (o->clip_norm > 0) {
        double norm = sqrt(trainer->optim->sum_of_squares(trainer->n_parameters, gradient));
        if (norm > o->clip_norm)
            job.call.gradient_scale = o->clip_norm / norm;
    }
    keep_held(trainer, state->parameters);
    sg_threads_blocks(n_update_blocks(trainer), trainer->n_threads, update_block, &job);
    put_held(trainer, state->parameters);
    put_held(trainer, job.call.ema);
}

void *sg_trainer_observed(sg_trainer *trainer, size_t *n)
{
    *n = trainer->held_size;
    return trainer->observed;
}

static sg_status step(pass *p, sg_train_state *state, double rate, double *loss, sg_error *error)
{
    p->parameters = state->parameters;
    p->step       = state->step;
    SG_TRY(compute_gradient(p, loss, error));
    if (!isfinite(*loss))
        return sg_fail(error, SG_ERR_DIVERGED, "loss", "is %s in step %lld", isnan(*loss) ? "NaN" : "infinite",
                       (long long)state->step + 1);
    sg_trainer_update(p->trainer, state, NULL, rate);
    return SG_OK;
}

sg_status sg_trainer_step(sg_trainer *trainer, sg_train_state *state, const sg_train_rows *rows, double rate, sg_poll *poll,
                          double *loss, sg_error *error)
{
    pass p = {.trainer = trainer, .rows = rows, .poll = poll, .total = (double)rows->n_rows};
    return step(&p, state, rate, loss, error);
}

sg_status sg_trainer_epoch(sg_trainer *trainer, sg_train_state *state, const sg_train_rows *rows, size_t batch_size,
                           const double *rate, sg_poll *poll, double *loss, sg_error *error)
{
    const size_t row_bytes[2] = {trainer->n_in * trainer->real_bytes, trainer->n_target * trainer->real_bytes};
    double       sum          = 0;
    *loss                     = NAN;
    for (size_t b = 0, first = 0; first < rows->n_rows; b++, first += batch_size) {
        sg_train_rows batch = *rows;
        double        batch_loss;
        batch.n_rows = rows->n_rows - first < batch_size ? rows->n_rows - first : batch_size;
        if (rows->order) {
            batch.order += first;
        } else {
            batch.x = (const char *)rows->x + first * row_bytes[0];
            batch.y = (const char *)rows->y + first * row_bytes[1];
            if (rows->weight)
                batch.weight = (const char *)rows->weight + first * trainer->real_bytes;
        }
        pass p = {.trainer = trainer, .rows = &batch, .poll = poll, .done = (double)first, .total = (double)rows->n_rows};
        SG_TRY(step(&p, state, rate[b], &batch_loss, error));
        sum += batch_loss * (double)batch.n_rows;
        *loss = sum / (double)(first + batch.n_rows);
    }
    return SG_OK;
}

sg_status sg_trainer_evaluate(sg_trainer *trainer, const void *parameters, const sg_train_rows *rows, sg_poll *poll, double *loss,
                              double *value_loss, sg_error *error)
{
    pass p = {.trainer = trainer, .parameters = parameters, .rows = rows, .poll = poll, .total = (double)rows->n_rows};
    return run_pass(&p, loss, value_loss, error);
}
