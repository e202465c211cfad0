/* SPDX-License-Identifier: BSD-3-Clause */
#include "surrogate/surrogate.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "surrogate/parts.h"

#define ROWS SG_GUARD_ROWS

sg_status sg_surrogate_open(const char *path, sg_surrogate **surrogate, sg_error *error)
{
    if (!surrogate)
        return sg_fail(error, SG_ERR_VALUE, "surrogate", "expected a pointer, got NULL");
    *surrogate = NULL;
    if (!path)
        return sg_fail(error, SG_ERR_VALUE, "path", "expected a file name, got NULL");
    sg_container *file;
    SG_TRY(sg_container_open(path, SG_SURROGATE_KIND, SG_SURROGATE_VERSION, &file, error));
    sg_status status = sg_surrogate_from_container(file, surrogate, error);
    sg_container_free(file);
    return status;
}

/* --------------------------------------------------------------------------------------------- describing */

sg_surrogate_info sg_surrogate_describe(const sg_surrogate *s)
{
    return (sg_surrogate_info){
        .name          = s->name,
        .version       = s->version,
        .description   = s->description,
        .n_in          = s->n_in,
        .n_out         = s->n_out,
        .n_parameters  = s->n_parameters,
        .flops_per_row = sg_net_flops(s->network),
        .network_bits  = s->bits,
        .has_domain    = s->domain != NULL,
        .max_distance  = s->domain ? s->domain->max_distance : INFINITY,
    };
}

static const sg_surrogate_variable no_variable = {"", "", 0, 0};

sg_surrogate_variable sg_surrogate_input(const sg_surrogate *s, size_t i)
{
    return i < s->n_in ? s->in[i] : no_variable;
}
sg_surrogate_variable sg_surrogate_output(const sg_surrogate *s, size_t i)
{
    return i < s->n_out ? s->out[i] : no_variable;
}

const char *sg_surrogate_isa(const sg_surrogate *s) { return sg_net_isa(s->network); }
int         sg_surrogate_is_folded(const sg_surrogate *s) { return s->folded; }

/* ---------------------------------------------------------------------------------------------- workspace */

/* Parts of the workspace of one thread. Encoded rows and whitened rows lie column by column (ROWS apart) for fused networks,
 * row by row for others; network outputs row by row. d_encoded and d_raw are derivatives in the places of encoded and raw. */
typedef struct space {
    char   *encoded, *raw, *d_encoded, *d_raw, *whitened, *square, *network;
    double *kernel_in, *kernel_d, *kernel_out;
} space;

static size_t take(size_t *used, size_t count, size_t size)
{
    size_t at = *used;
    *used     = sg_round_up(at + count * size, SG_ALIGNMENT);
    return at;
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static size_t lay_out(const sg_surrogate *s, int derivatives, char *base, space *w)
{
    size_t used = 0, real = (size_t)s->bits / 8, d = derivatives ? ROWS : 0, widest = larger(s->n_in, s->n_out);
    size_t network = sg_net_workspace_bytes(s->network, SG_NET_EVAL);
    if (s->whitening)
        network = larger(network, sg_dense_workspace_bytes(s->whitening));
    if (derivatives)
        network = larger(network, larger(sg_net_workspace_bytes(s->network, SG_NET_JVP),
                                         sg_net_workspace_bytes(s->network, SG_NET_VJP)));
    w->encoded    = base + take(&used, ROWS * s->n_encoded, real);
    w->raw        = base + take(&used, ROWS * s->n_raw, real);
    w->d_encoded  = base + take(&used, d * s->n_encoded, real);
    w->d_raw      = base + take(&used, d * s->n_raw, real);
    w->whitened   = base + take(&used, ROWS * s->rank, real);
    w->square     = base + take(&used, ROWS, real);
    w->network    = base + take(&used, network, 1);
    w->kernel_in  = (double *)(base + take(&used, s->n_in, sizeof(double)));
    w->kernel_d   = (double *)(base + take(&used, derivatives ? widest : 0, sizeof(double)));
    w->kernel_out = (double *)(base + take(&used, widest, sizeof(double)));
    return used;
}

/* The offsets alone: no address is formed from a null pointer. */
static size_t space_bytes(const sg_surrogate *s, int derivatives)
{
    space w;
    char  base[1];
    return lay_out(s, derivatives, base, &w);
}

size_t sg_surrogate_workspace_bytes(const sg_surrogate *s) { return space_bytes(s, 0) + SG_ALIGNMENT; }
size_t sg_surrogate_derivative_workspace_bytes(const sg_surrogate *s) { return space_bytes(s, 1) + SG_ALIGNMENT; }

/* --------------------------------------------------------------------------------------------- one block */

typedef sg_surrogate_table table;

static char *table_row(table t, size_t row)
{
    return (char *)t.data + (ptrdiff_t)row * t.row * (ptrdiff_t)(t.single ? sizeof(float) : sizeof(double));
}

static table table_from(table t, size_t row) { return (table){table_row(t, row), t.row, t.col, t.single}; }

static double table_at(table t, size_t row, size_t col)
{
    ptrdiff_t at = (ptrdiff_t)row * t.row + (ptrdiff_t)col * t.col;
    return t.single ? (double)((const float *)t.data)[at] : ((const double *)t.data)[at];
}

static void table_put(table t, size_t row, size_t col, double x)
{
    ptrdiff_t at = (ptrdiff_t)row * t.row + (ptrdiff_t)col * t.col;
    if (t.single)
        ((float *)t.data)[at] = (float)x;
    else
        ((double *)t.data)[at] = x;
}

/* A program from one table to another; computes in double unless both are float. */
static void convert(const sg_surrogate *s, const sg_program *program, size_t n, table in, table out)
{
    if (in.single && out.single)
        s->encode_f32->sss(program, n, (const float *)in.data, in.row, in.col, (float *)out.data, out.row,
                           out.col);
    else if (in.single)
        s->encode_f64->sdd(program, n, (const float *)in.data, in.row, in.col, (double *)out.data, out.row,
                           out.col);
    else if (out.single)
        s->encode_f64->dds(program, n, (const double *)in.data, in.row, in.col, (float *)out.data, out.row,
                           out.col);
    else
        s->encode_f64->ddd(program, n, (const double *)in.data, in.row, in.col, (double *)out.data, out.row,
                           out.col);
}

/* Derivatives of a program: d_in has the type of in, d_out that of what the program makes. */
static void convert_jvp(const sg_surrogate *s, const sg_program *program, size_t n, table in, table d_in, table d_out)
{
    const sg_encode_table x = {in.data, in.row, in.col}, d = {d_in.data, d_in.row, d_in.col}, y = {d_out.data, d_out.row, d_out.col};
    sg_encode_jvp *jvp = in.single && d_out.single ? s->encode_f32->jvp_sss : s->encode_f64->jvp[in.single ? 2 : d_out.single];
    jvp(program, n, &x, &d, &y);
}

static void convert_vjp(const sg_surrogate *s, const sg_program *program, size_t n, table in, table d_out, table d_in)
{
    const sg_encode_table x = {in.data, in.row, in.col}, d = {d_in.data, d_in.row, d_in.col}, y = {d_out.data, d_out.row, d_out.col};
    sg_encode_vjp *vjp = in.single && d_out.single ? s->encode_f32->vjp_sss : s->encode_f64->vjp[in.single ? 2 : d_out.single];
    vjp(program, n, &x, &y, &d);
}

/* The network; all tables have its precision. d is not looked at in an evaluation. */
static void run_network(const sg_surrogate *s, sg_net_task task, size_t n, table in, table d, table out, void *workspace)
{
    if (in.single) {
        const sg_dense_input_f32  x = {.data = in.data, .row_stride = in.row, .column_stride = in.col};
        const sg_dense_input_f32  t = {.data = d.data, .row_stride = d.row, .column_stride = d.col};
        const sg_dense_output_f32 y = {.data = out.data, .row_stride = out.row, .column_stride = out.col};
        sg_net_run_f32(s->network, task, n, &x, &t, &y, workspace);
    } else {
        const sg_dense_input_f64  x = {.data = in.data, .row_stride = in.row, .column_stride = in.col};
        const sg_dense_input_f64  t = {.data = d.data, .row_stride = d.row, .column_stride = d.col};
        const sg_dense_output_f64 y = {.data = out.data, .row_stride = out.row, .column_stride = out.col};
        sg_net_run_f64(s->network, task, n, &x, &t, &y, workspace);
    }
}

/* The whitening; both tables have its precision. */
static void run_plan(const sg_dense_plan *plan, size_t n, table in, table out, void *workspace)
{
    if (in.single) {
        sg_dense_input_f32 x = {
            .data = (const float *)in.data, .row_stride = in.row, .column_stride = in.col};
        sg_dense_output_f32 y = {.data = (float *)out.data, .row_stride = out.row, .column_stride = out.col};
        sg_dense_eval_f32(plan, n, &x, &y, workspace);
    } else {
        sg_dense_input_f64 x = {
            .data = (const double *)in.data, .row_stride = in.row, .column_stride = in.col};
        sg_dense_output_f64 y = {.data = (double *)out.data, .row_stride = out.row, .column_stride = out.col};
        sg_dense_eval_f64(plan, n, &x, &y, workspace);
    }
}

/* flags[i] = SG_OUTSIDE_BOX and SG_OUTSIDE_NOT_FINITE of each row. */
static void check_box(const sg_surrogate *s, size_t n, table in, uint8_t *flags, sg_guard *guard)
{
    const sg_domain *d = s->domain;
    if (in.single)
        s->guard_f32->box(n, s->n_in, (const float *)in.data, in.row, in.col, d->low_f32, d->high_f32, flags);
    else
        s->guard_f64->box(n, s->n_in, (const double *)in.data, in.row, in.col, d->low, d->high, flags);
    for (size_t i = 0; i < n; i++) {
        if (!flags[i] && !d->has_category)
            continue;
        flags[i] = 0;
        for (size_t j = 0; j < s->n_in; j++) {
            int outside = sg_domain_flags(d, j, table_at(in, i, j), in.single);
            flags[i] |= (uint8_t)outside;
            if (outside && guard->outside_of_input)
                guard->outside_of_input[j]++;
        }
    }
}

/* Squares of the distances of encoded rows, as double. */
static void distances(const sg_surrogate *s, size_t n, table encoded, const space *w, double *square)
{
    table z = {w->whitened, 1, ROWS, encoded.single};
    run_plan(s->whitening, n, encoded, z, w->network);
    if (encoded.single) {
        float *sum = (float *)w->square;
        s->guard_f32->square(n, s->rank, (const float *)z.data, sum);
        for (size_t i = 0; i < n; i++)
            square[i] = (double)sum[i];
    } else {
        s->guard_f64->square(n, s->rank, (const double *)z.data, square);
    }
}

/* Counts the rows outside; returns how many there are in this block. */
static size_t note_rows(const sg_surrogate *s, size_t n, table in, const uint8_t *flags, const double *square,
                        sg_guard *guard)
{
    size_t n_outside = 0;
    for (size_t i = 0; i < n; i++) {
        if (!flags[i])
            continue;
        n_outside++;
        ptrdiff_t input = -1;
        double    value = 0;
        if (!guard->first_flags) {
            for (size_t j = 0; j < s->n_in && input < 0; j++)
                if (sg_domain_flags(s->domain, j, table_at(in, i, j), in.single))
                    input = (ptrdiff_t)j;
            value = input < 0 ? sqrt(square[i]) : table_at(in, i, (size_t)input);
        }
        sg_guard_note(guard, i, flags[i], input, value);
    }
    return n_outside;
}

static int has_fallback(const sg_guard *guard, sg_net_task task)
{
    return task == SG_NET_EVAL ? guard->fallback != NULL : task == SG_NET_JVP ? guard->fallback_jvp != NULL : guard->fallback_vjp != NULL;
}

/* Rows outside from the kernel of the host. */
static sg_status fall_back(const sg_surrogate *s, sg_net_task task, size_t n, table in, table d, table out, const uint8_t *flags,
                           const space *w, sg_guard *guard)
{
    const size_t n_d = task == SG_NET_EVAL ? 0 : task == SG_NET_JVP ? s->n_in : s->n_out, n_result = task == SG_NET_VJP ? s->n_in : s->n_out;
    void *const  context = guard->fallback_context;
    for (size_t i = 0; i < n; i++) {
        if (!flags[i])
            continue;
        for (size_t j = 0; j < s->n_in; j++)
            w->kernel_in[j] = table_at(in, i, j);
        for (size_t j = 0; j < n_d; j++)
            w->kernel_d[j] = table_at(d, i, j);
        int failed = task == SG_NET_EVAL  ? guard->fallback(1, w->kernel_in, w->kernel_out, context)
                     : task == SG_NET_JVP ? guard->fallback_jvp(1, w->kernel_in, w->kernel_d, w->kernel_out, context)
                                          : guard->fallback_vjp(1, w->kernel_in, w->kernel_d, w->kernel_out, context);
        if (failed)
            return SG_ERR_DIVERGED;
        for (size_t j = 0; j < n_result; j++)
            table_put(out, i, j, w->kernel_out[j]);
        guard->n_fallback++;
    }
    return SG_OK;
}

/* Looks at the rows of a block and counts those outside; *n_outside of them. */
static sg_status check_block(const sg_surrogate *s, size_t n, table in, table encoded, const space *w, sg_guard *guard,
                             uint8_t *flags, size_t *n_outside)
{
    double square[ROWS];
    check_box(s, n, in, flags, guard);
    if (s->rank) {
        distances(s, n, encoded, w, square);
        double limit = s->domain->max_distance * s->domain->max_distance;
        for (size_t i = 0; i < n; i++)
            if (!(flags[i] & SG_OUTSIDE_NOT_FINITE) && !(square[i] <= limit))
                flags[i] |= SG_OUTSIDE_DENSITY;
    }
    *n_outside = note_rows(s, n, in, flags, square, guard);
    guard->n_rows += n;
    return *n_outside && guard->policy == SG_GUARD_STOP ? sg_guard_explain(s, guard, NULL) : SG_OK;
}

static void eval_encoded(const sg_surrogate *s, size_t n, table encoded, table raw, table out, const space *w)
{
    if (s->direct_out && out.single == raw.single) {
        run_network(s, SG_NET_EVAL, n, encoded, encoded, out, w->network);
    } else {
        run_network(s, SG_NET_EVAL, n, encoded, encoded, raw, w->network);
        convert(s, s->decoder, n, raw, out);
    }
}

/* The decoder's derivative needs the network's outputs, unless it is the same everywhere. */
static void eval_for_decoder(const sg_surrogate *s, size_t n, table encoded, table raw, const space *w)
{
    if (sg_program_is_affine(s->decoder))
        memset(raw.data, 0, n * s->n_raw * (size_t)s->bits / 8);
    else
        run_network(s, SG_NET_EVAL, n, encoded, encoded, raw, w->network);
}

static void jvp_encoded(const sg_surrogate *s, size_t n, table in, table d, table out, table encoded, table raw, const space *w)
{
    table d_encoded = {w->d_encoded, encoded.row, encoded.col, raw.single}, d_raw = {w->d_raw, raw.row, raw.col, raw.single};
    if (s->direct_in && in.single == raw.single)
        d_encoded = d;
    else
        convert_jvp(s, s->encoder, n, in, d, d_encoded);
    if (s->direct_out && out.single == raw.single) {
        run_network(s, SG_NET_JVP, n, encoded, d_encoded, out, w->network);
        return;
    }
    eval_for_decoder(s, n, encoded, raw, w);
    run_network(s, SG_NET_JVP, n, encoded, d_encoded, d_raw, w->network);
    convert_jvp(s, s->decoder, n, raw, d_raw, out);
}

static void vjp_encoded(const sg_surrogate *s, size_t n, table in, table d, table out, table encoded, table raw, const space *w)
{
    table d_encoded = {w->d_encoded, 1, ROWS, raw.single}, d_raw = {w->d_raw, raw.row, raw.col, raw.single};
    if (s->direct_out && d.single == raw.single) {
        d_raw = d;
    } else {
        eval_for_decoder(s, n, encoded, raw, w);
        convert_vjp(s, s->decoder, n, raw, d, d_raw);
    }
    if (s->direct_in && in.single == raw.single) {
        run_network(s, SG_NET_VJP, n, encoded, d_raw, out, w->network);
        return;
    }
    run_network(s, SG_NET_VJP, n, encoded, d_raw, d_encoded, w->network);
    convert_vjp(s, s->encoder, n, in, d_encoded, out);
}

/* At most ROWS rows. */
static sg_status run_block(const sg_surrogate *s, sg_net_task task, size_t n, table in, table d, table out, const space *w,
                           sg_guard *guard, uint8_t *row_flags)
{
    int     single    = s->bits == 32, fused = sg_net_is_fused(s->network);
    size_t  n_outside = 0;
    uint8_t flags[ROWS];
    table   encoded = {w->encoded, fused ? 1 : (ptrdiff_t)s->n_encoded, fused ? ROWS : 1, single};
    table   raw     = {w->raw, (ptrdiff_t)s->n_raw, 1, single};
    /* An input block of the network's precision that needs no encoding is read where it is. */
    if (s->direct_in && in.single == single)
        encoded = in;
    else
        convert(s, s->encoder, n, in, encoded);
    if (guard) {
        SG_TRY(check_block(s, n, in, encoded, w, guard, flags, &n_outside));
        if (row_flags)
            memcpy(row_flags, flags, n);
    }
    if (task == SG_NET_EVAL)
        eval_encoded(s, n, encoded, raw, out, w);
    else if (task == SG_NET_JVP)
        jvp_encoded(s, n, in, d, out, encoded, raw, w);
    else
        vjp_encoded(s, n, in, d, out, encoded, raw, w);
    if (n_outside && guard->policy == SG_GUARD_FALLBACK)
        return fall_back(s, task, n, in, d, out, flags, w, guard);
    return SG_OK;
}

/* --------------------------------------------------------------------------------------------- whole calls */

/* All rows in the calling thread; the calls are not counted here. */
static sg_status run_rows(const sg_surrogate *s, sg_net_task task, size_t n, table in, table d, table out, char *workspace,
                          sg_guard *guard)
{
    if (guard && (!s->domain || guard->policy == SG_GUARD_UNCHECKED)) {
        if (guard->row_flags)
            memset(guard->row_flags, 0, n);
        guard->n_rows += n;
        guard = NULL;
    }
    space w;
    lay_out(s, task != SG_NET_EVAL, workspace, &w);
    if (!guard && s->direct_in && s->direct_out && in.single == out.single && in.single == (s->bits == 32)) {
        run_network(s, task, n, in, d, out, w.network);
        return SG_OK;
    }
    for (size_t row = 0; row < n; row += ROWS) {
        size_t rows = n - row < ROWS ? n - row : ROWS;
        SG_TRY(run_block(s, task, rows, table_from(in, row), d.data ? table_from(d, row) : d, table_from(out, row), &w, guard,
                         guard && guard->row_flags ? guard->row_flags + row : NULL));
    }
    return SG_OK;
}

static sg_status check_call(const sg_surrogate *s, const sg_surrogate_job *job)
{
    if (!s || !job->workspace || (job->n && (!job->in.data || !job->out.data || (job->task != SG_NET_EVAL && !job->d.data))))
        return SG_ERR_VALUE;
    if (job->guard && job->guard->policy == SG_GUARD_FALLBACK && !has_fallback(job->guard, job->task))
        return SG_ERR_VALUE;
    return SG_OK;
}

static char *aligned(void *workspace) { return (char *)sg_round_up((uintptr_t)workspace, SG_ALIGNMENT); }

static sg_status run_here(const sg_surrogate *s, const sg_surrogate_job *job)
{
    SG_TRY(check_call(s, job));
    if (job->guard)
        job->guard->n_calls++;
    return run_rows(s, job->task, job->n, job->in, job->d, job->out, aligned(job->workspace), job->guard);
}

/* A call over threads: rows go out in chunks, each looked at by a guard of its own. */
#define CHUNK ((size_t)16 * ROWS) /* some hundred microseconds of work */

/* What a thread has seen; first_row counts from the start of the call. */
typedef struct tally {
    sg_guard  guard;
    size_t   *outside_of_input; /* (n_in) or NULL */
} tally;

typedef struct threads_call {
    const sg_surrogate     *surrogate;
    const sg_surrogate_job *job;
    char                   *workspace;
    size_t                  workspace_bytes;
    tally                  *tally;  /* per thread; NULL without a guard */
    pthread_mutex_t         lock;   /* held while the fallback runs */
} threads_call;

static int locked_fallback(size_t n, const double *in, double *out, void *context)
{
    threads_call *call = context;
    pthread_mutex_lock(&call->lock);
    int failed = call->job->guard->fallback(n, in, out, call->job->guard->fallback_context);
    pthread_mutex_unlock(&call->lock);
    return failed;
}

/* Adds counts; the caller takes care of the first row. */
static void add_counts(sg_guard *total, const sg_guard *part)
{
    total->n_calls += part->n_calls;
    total->n_rows += part->n_rows;
    total->n_outside += part->n_outside;
    total->n_box += part->n_box;
    total->n_density += part->n_density;
    total->n_not_finite += part->n_not_finite;
    total->n_fallback += part->n_fallback;
}

static void take_first(sg_guard *total, const sg_guard *part, size_t first_row)
{
    total->first_row   = first_row;
    total->first_input = part->first_input;
    total->first_value = part->first_value;
    total->first_flags = part->first_flags;
}

void sg_guard_merge(sg_guard *total, const sg_guard *part)
{
    if (!total->first_flags && part->first_flags)
        take_first(total, part, total->n_rows + part->first_row);
    add_counts(total, part);
}

static int run_chunk(void *context, size_t chunk, int thread)
{
    threads_call           *call = context;
    const sg_surrogate_job *job  = call->job;
    if (job->poll && thread == 0 && chunk > 0 && sg_poll_due(job->poll, (double)chunk, 0))
        return SG_ERR_INTERRUPTED;
    const size_t row = chunk * CHUNK, n = job->n - row < CHUNK ? job->n - row : CHUNK;
    sg_guard     guard;
    if (job->guard) {
        sg_guard_init(&guard);
        guard.policy           = job->guard->policy;
        guard.fallback         = locked_fallback;
        guard.fallback_context = call;
        guard.row_flags        = job->guard->row_flags ? job->guard->row_flags + row : NULL;
        guard.outside_of_input = call->tally[thread].outside_of_input;
    }
    sg_status status = run_rows(call->surrogate, job->task, n, table_from(job->in, row), job->d.data ? table_from(job->d, row) : job->d,
                                table_from(job->out, row), call->workspace + (size_t)thread * call->workspace_bytes,
                                job->guard ? &guard : NULL);
    if (job->guard) {
        sg_guard *seen = &call->tally[thread].guard;
        if (guard.first_flags && (!seen->first_flags || row + guard.first_row < seen->first_row))
            take_first(seen, &guard, row + guard.first_row);
        add_counts(seen, &guard);
    }
    return (int)status;
}

static size_t n_chunks(size_t n) { return n / CHUNK + (n % CHUNK != 0); }

int sg_surrogate_job_threads(size_t n, int num_threads) { return sg_threads_resolve(num_threads, n_chunks(n)); }

static size_t thread_bytes(const sg_surrogate *s, sg_net_task task)
{
    return sg_round_up(space_bytes(s, task != SG_NET_EVAL), SG_ALIGNMENT) + sg_round_up(sizeof(tally), SG_ALIGNMENT) +
           sg_round_up(s->n_in * sizeof(size_t), SG_ALIGNMENT);
}

size_t sg_surrogate_job_bytes(const sg_surrogate *s, sg_net_task task, int num_threads)
{
    return sg_size_mul((size_t)num_threads, thread_bytes(s, task)) + SG_ALIGNMENT;
}

sg_status sg_surrogate_run(const sg_surrogate *s, const sg_surrogate_job *job, int num_threads)
{
    SG_TRY(check_call(s, job));
    if (job->task != SG_NET_EVAL && job->guard && job->guard->policy == SG_GUARD_FALLBACK)
        return SG_ERR_UNSUPPORTED;
    sg_guard    *guard     = job->guard;
    const int    n_threads = sg_surrogate_job_threads(job->n, num_threads);
    const size_t bytes     = sg_round_up(space_bytes(s, job->task != SG_NET_EVAL), SG_ALIGNMENT);
    threads_call call      = {s, job, aligned(job->workspace), bytes, NULL, PTHREAD_MUTEX_INITIALIZER};
    char        *at        = call.workspace + bytes * (size_t)n_threads;
    if (guard) {
        call.tally = (tally *)at;
        at += sg_round_up((size_t)n_threads * sizeof(tally), SG_ALIGNMENT);
        for (int t = 0; t < n_threads; t++) {
            sg_guard_init(&call.tally[t].guard);
            call.tally[t].outside_of_input = NULL;
            if (!guard->outside_of_input)
                continue;
            call.tally[t].outside_of_input = (size_t *)at + (size_t)t * s->n_in;
            memset(call.tally[t].outside_of_input, 0, s->n_in * sizeof(size_t));
        }
    }
    sg_status status = (sg_status)sg_threads_blocks(n_chunks(job->n), n_threads, run_chunk, &call);
    if (!guard)
        return status;
    tally *all = call.tally; /* of all threads, in the first one */
    for (int t = 1; t < n_threads; t++) {
        const sg_guard *part = &call.tally[t].guard;
        if (part->first_flags && (!all->guard.first_flags || part->first_row < all->guard.first_row))
            take_first(&all->guard, part, part->first_row);
        add_counts(&all->guard, part);
    }
    all->guard.n_calls = 1;
    sg_guard_merge(guard, &all->guard);
    for (int t = 0; guard->outside_of_input && t < n_threads; t++)
        for (size_t j = 0; j < s->n_in; j++)
            guard->outside_of_input[j] += call.tally[t].outside_of_input[j];
    return status;
}

/* ---------------------------------------------------------------------------------------- the C interface */

#define DEFINE_CALLS(bits, real, is_single)                                                                                     \
    sg_status sg_surrogate_eval_f##bits(const sg_surrogate *surrogate, size_t n, const real *in, ptrdiff_t in_row,              \
                                        ptrdiff_t in_col, real *out, ptrdiff_t out_row, ptrdiff_t out_col, void *workspace,     \
                                        sg_guard *guard)                                                                        \
    {                                                                                                                           \
        return run_here(surrogate, &(sg_surrogate_job){.task      = SG_NET_EVAL,                                                \
                                                       .n         = n,                                                          \
                                                       .in        = {(real *)(uintptr_t)in, in_row, in_col, is_single},         \
                                                       .out       = {out, out_row, out_col, is_single},                         \
                                                       .workspace = workspace,                                                  \
                                                       .guard     = guard});                                                    \
    }                                                                                                                           \
    sg_status sg_surrogate_eval_threads_f##bits(const sg_surrogate *surrogate, size_t n, const real *in, ptrdiff_t in_row,      \
                                                ptrdiff_t in_col, real *out, ptrdiff_t out_row, ptrdiff_t out_col,              \
                                                int num_threads, void *workspace, sg_guard *guard)                              \
    {                                                                                                                           \
        if (num_threads < 1)                                                                                                    \
            return SG_ERR_VALUE;                                                                                                \
        return sg_surrogate_run(surrogate, &(sg_surrogate_job){.task      = SG_NET_EVAL,                                        \
                                                               .n         = n,                                                  \
                                                               .in        = {(real *)(uintptr_t)in, in_row, in_col, is_single}, \
                                                               .out       = {out, out_row, out_col, is_single},                 \
                                                               .workspace = workspace,                                          \
                                                               .guard     = guard},                                             \
                                num_threads);                                                                                   \
    }                                                                                                                           \
    sg_status sg_surrogate_jvp_f##bits(const sg_surrogate *surrogate, size_t n, const real *in, ptrdiff_t in_row,               \
                                       ptrdiff_t in_col, const real *d_in, ptrdiff_t d_in_row, ptrdiff_t d_in_col, real *d_out, \
                                       ptrdiff_t d_out_row, ptrdiff_t d_out_col, void *workspace, sg_guard *guard)              \
    {                                                                                                                           \
        return run_here(surrogate, &(sg_surrogate_job){.task      = SG_NET_JVP,                                                 \
                                                       .n         = n,                                                          \
                                                       .in        = {(real *)(uintptr_t)in, in_row, in_col, is_single},         \
                                                       .d         = {(real *)(uintptr_t)d_in, d_in_row, d_in_col, is_single},   \
                                                       .out       = {d_out, d_out_row, d_out_col, is_single},                   \
                                                       .workspace = workspace,                                                  \
                                                       .guard     = guard});                                                    \
    }                                                                                                                           \
    sg_status sg_surrogate_vjp_f##bits(const sg_surrogate *surrogate, size_t n, const real *in, ptrdiff_t in_row,               \
                                       ptrdiff_t in_col, const real *d_out, ptrdiff_t d_out_row, ptrdiff_t d_out_col,           \
                                       real *d_in, ptrdiff_t d_in_row, ptrdiff_t d_in_col, void *workspace, sg_guard *guard)    \
    {                                                                                                                           \
        return run_here(surrogate, &(sg_surrogate_job){.task      = SG_NET_VJP,                                                 \
                                                       .n         = n,                                                          \
                                                       .in        = {(real *)(uintptr_t)in, in_row, in_col, is_single},         \
                                                       .d         = {(real *)(uintptr_t)d_out, d_out_row, d_out_col, is_single}, \
                                                       .out       = {d_in, d_in_row, d_in_col, is_single},                      \
                                                       .workspace = workspace,                                                  \
                                                       .guard     = guard});                                                    \
    }
DEFINE_CALLS(64, double, 0)
DEFINE_CALLS(32, float, 1)

sg_status sg_surrogate_eval(const sg_surrogate *surrogate, size_t n, const double *in, ptrdiff_t in_stride,
                            double *out, ptrdiff_t out_stride, void *workspace, sg_guard *guard)
{
    return sg_surrogate_eval_f64(surrogate, n, in, in_stride, 1, out, out_stride, 1, workspace, guard);
}

size_t sg_surrogate_threads_workspace_bytes(const sg_surrogate *s, int num_threads)
{
    return sg_surrogate_job_bytes(s, SG_NET_EVAL, num_threads > 0 ? num_threads : 1);
}

int sg_surrogate_max_threads(void) { return sg_threads_resolve(0, SIZE_MAX); }

sg_status sg_surrogate_distance_f64(const sg_surrogate *s, size_t n, const double *in, ptrdiff_t in_row,
                                    ptrdiff_t in_col, double *distance, void *workspace, sg_error *error)
{
    if (!s->rank)
        return sg_fail(error, SG_ERR_VALUE, "surrogate",
                       "it has no training density to measure distances to");
    space w;
    lay_out(s, 0, aligned(workspace), &w);
    table all = {(char *)in, in_row, in_col, 0}, encoded = {w.encoded, 1, ROWS, s->bits == 32};
    for (size_t row = 0; row < n; row += ROWS) {
        size_t rows = n - row < ROWS ? n - row : ROWS;
        double square[ROWS];
        convert(s, s->encoder, rows, (table){table_row(all, row), in_row, in_col, 0}, encoded);
        distances(s, rows, encoded, &w, square);
        for (size_t i = 0; i < rows; i++)
            distance[row + i] = sqrt(square[i]);
    }
    return SG_OK;
}

sg_status sg_guard_explain(const sg_surrogate *s, const sg_guard *guard, sg_error *error)
{
    if (!guard->first_flags)
        return SG_OK;
    if (guard->first_input < 0)
        return sg_fail(error, SG_ERR_DOMAIN, "inputs",
                       "row %zu is far from the training data: distance %.4g, at most %.4g allowed",
                       guard->first_row, guard->first_value, s->domain ? s->domain->max_distance : INFINITY);
    sg_surrogate_variable v = sg_surrogate_input(s, (size_t)guard->first_input);
    double                x = guard->first_value;
    if (isnan(x) || isinf(x))
        return sg_fail(error, SG_ERR_NOT_FINITE, v.name, "row %zu is %s", guard->first_row,
                       isnan(x) ? "NaN" : "infinite");
    if (x >= v.low && x <= v.high)
        return sg_fail(error, SG_ERR_DOMAIN, v.name, "value %.9g in row %zu is no category (a whole number)",
                       x, guard->first_row);
    return sg_fail(error, SG_ERR_DOMAIN, v.name,
                   "value %.9g %s in row %zu lies outside the domain (%.9g to %.9g %s)", x, v.unit,
                   guard->first_row, v.low, v.high, v.unit);
}
