/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/loss_terms.h"

#include <string.h>

#include "base/memory.h"

struct sg_loss_terms {
    size_t                 n, n_out, n_target, n_values, rows_per_group, real_bytes;
    const sg_loss_kernels *kernels;
    sg_loss_term          *term;           /* (n) */
    char                  *column_weights; /* of all terms, (n_values or classes) each */
};

void sg_loss_terms_free(sg_loss_terms *terms)
{
    if (!terms)
        return;
    sg_free(terms->term);
    sg_free(terms->column_weights);
    sg_free(terms);
}

static size_t common_multiple(size_t a, size_t b)
{
    size_t x = a, y = b;
    while (y) {
        size_t rest = x % y;
        x           = y;
        y           = rest;
    }
    return sg_size_mul(a / x, b);
}

static sg_status resolve(sg_loss_terms *t, sg_error *error)
{
    size_t n_weights = 0;
    for (size_t i = 0; i < t->n; i++) {
        sg_loss_term *term = &t->term[i];
        if (term->first_out > t->n_out || term->loss.n_out > t->n_out - term->first_out)
            return sg_fail(error, SG_ERR_SHAPE, "loss",
                           "term %zu wants columns %zu to %zu of an output row of %zu", i, term->first_out,
                           term->first_out + term->loss.n_out, t->n_out);
        SG_TRY(sg_loss_resolve(&term->loss, error));
        if (term->first_target > t->n_target || term->loss.n_target > t->n_target - term->first_target)
            return sg_fail(error, SG_ERR_SHAPE, "y",
                           "term %zu (%s) wants columns %zu to %zu of a target row of %zu", i,
                           sg_loss_get(term->loss.id)->name, term->first_target,
                           term->first_target + term->loss.n_target, t->n_target);
        t->n_values += term->loss.n_values;
        t->rows_per_group = common_multiple(t->rows_per_group, term->loss.rows_per_group);
        n_weights += term->loss.n_weights;
    }
    SG_TRY(sg_alloc_array(&t->column_weights, n_weights, t->real_bytes, "column weights", error));
    char *next = t->column_weights;
    for (size_t i = 0; i < t->n; i++) {
        sg_loss_term *term = &t->term[i];
        if (term->column_weight) {
            memcpy(next, term->column_weight, term->loss.n_weights * t->real_bytes);
            term->column_weight = next;
        }
        next += term->loss.n_weights * t->real_bytes;
    }
    return SG_OK;
}

sg_status sg_loss_terms_create(size_t n_terms, const sg_loss_term *terms, size_t n_out, size_t n_target,
                               int bits, sg_loss_terms **made, sg_error *error)
{
    sg_loss_terms *t;
    SG_TRY(sg_alloc_array(&t, 1, sizeof *t, "loss", error));
    t->n              = n_terms;
    t->n_out          = n_out;
    t->n_target       = n_target;
    t->rows_per_group = 1;
    t->real_bytes     = (size_t)bits / 8;
    t->kernels        = sg_loss_kernels_get(bits, sg_cpu_isa());
    sg_status status  = sg_alloc_array(&t->term, n_terms, sizeof *t->term, "loss", error);
    if (status == SG_OK) {
        if (n_terms)
            memcpy(t->term, terms, n_terms * sizeof *terms);
        status = resolve(t, error);
    }
    if (status != SG_OK) {
        sg_loss_terms_free(t);
        return status;
    }
    *made = t;
    return SG_OK;
}

size_t sg_loss_terms_n_values(const sg_loss_terms *terms) { return terms->n_values; }
size_t sg_loss_terms_rows_per_group(const sg_loss_terms *terms) { return terms->rows_per_group; }

/* A single loss on whole rows works in the caller's arrays. */
static int is_whole(const sg_loss_terms *t)
{
    return t->n == 1 && t->term[0].loss.n_out == t->n_out && t->term[0].loss.n_target == t->n_target;
}

size_t sg_loss_terms_scratch_bytes(const sg_loss_terms *terms, size_t max_rows)
{
    /* Sums of a term; its prediction, gradient, target and row weights side by side. */
    const size_t rows = is_whole(terms) ? 0 : max_rows;
    return sg_round_up((terms->n_out + rows * (2 * terms->n_out + terms->n_target + 1)) * terms->real_bytes,
                       SG_ALIGNMENT);
}

double sg_loss_terms_total(const sg_loss_terms *terms, const double *value_sum, size_t n_rows)
{
    double total = 0;
    for (size_t i = 0, v = 0; i < terms->n; i++) {
        const sg_loss_term *term = &terms->term[i];
        double              sum  = 0;
        for (size_t last = v + term->loss.n_values; v < last; v++)
            sum += value_sum[v] / (double)n_rows / (double)term->loss.n_values;
        total += term->weight * sum;
    }
    return total;
}

static double scale_of(const sg_loss_term *term, double batch_rows)
{
    return term->weight / (batch_rows * (double)term->loss.n_values);
}

/* (n_rows, width) columns first .. of rows of `from`, which are `stride` wide and numbered by order. */
static void gather(size_t n_rows, size_t width, size_t first, size_t stride, const int64_t *order,
                   size_t real_bytes, const char *from, char *to)
{
    for (size_t i = 0; width && i < n_rows; i++)
        memcpy(to + i * width * real_bytes,
               from + ((order ? (size_t)order[i] : i) * stride + first) * real_bytes, width * real_bytes);
}

static void add_columns(size_t n_rows, size_t width, size_t first, size_t stride, int bits, const void *from,
                        void *to)
{
    for (size_t i = 0; i < n_rows; i++)
        for (size_t j = 0; j < width; j++)
            if (bits == 32)
                ((float *)to)[i * stride + first + j] += ((const float *)from)[i * width + j];
            else
                ((double *)to)[i * stride + first + j] += ((const double *)from)[i * width + j];
}

static void run_parts(const sg_loss_terms *t, const sg_loss_terms_call *call)
{
    const size_t bytes = t->real_bytes, out_bytes = call->n_rows * t->n_out * bytes;
    char        *prediction = (char *)call->scratch + t->n_out * bytes, *d = prediction + out_bytes;
    char        *target = d + out_bytes, *weight = target + call->n_rows * t->n_target * bytes;
    double      *value_sum = call->value_sum;
    if (call->row_weight)
        gather(call->n_rows, 1, 0, 1, call->order, bytes, call->row_weight, weight);
    if (call->d_prediction)
        memset(call->d_prediction, 0, call->n_rows * t->n_out * bytes);
    for (size_t i = 0; i < t->n; i++) {
        const sg_loss_term *term = &t->term[i];
        gather(call->n_rows, term->loss.n_out, term->first_out, t->n_out, NULL, bytes, call->prediction,
               prediction);
        gather(call->n_rows, term->loss.n_target, term->first_target, t->n_target, call->order, bytes,
               call->target, target);
        t->kernels->run[term->loss.id](&(sg_loss_call){
            .loss          = &term->loss,
            .n_rows        = call->n_rows,
            .prediction    = prediction,
            .target        = target,
            .row_weight    = call->row_weight ? weight : NULL,
            .column_weight = term->column_weight,
            .scale         = scale_of(term, call->batch_rows),
            .d_prediction  = call->d_prediction ? d : NULL,
            .sum           = call->scratch,
            .column_loss   = value_sum,
        });
        value_sum += term->loss.n_values;
        if (call->d_prediction)
            add_columns(call->n_rows, term->loss.n_out, term->first_out, t->n_out, (int)bytes * 8, d,
                        call->d_prediction);
    }
}

void sg_loss_terms_run(const sg_loss_terms *terms, const sg_loss_terms_call *call)
{
    const sg_loss_term *term = terms->term;
    if (is_whole(terms))
        terms->kernels->run[term->loss.id](&(sg_loss_call){
            .loss          = &term->loss,
            .n_rows        = call->n_rows,
            .prediction    = call->prediction,
            .target        = call->target,
            .row_weight    = call->row_weight,
            .order         = call->order,
            .column_weight = term->column_weight,
            .scale         = scale_of(term, call->batch_rows),
            .d_prediction  = call->d_prediction,
            .sum           = call->scratch,
            .column_loss   = call->value_sum,
        });
    else
        run_parts(terms, call);
    if (call->outside && call->d_prediction)
        add_columns(call->n_rows, terms->n_out, 0, terms->n_out, (int)terms->real_bytes * 8, call->outside,
                    call->d_prediction);
}
