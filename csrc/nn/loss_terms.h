/* SPDX-License-Identifier: BSD-3-Clause */
/* The loss of a training: a weighted sum of losses, each on its own columns of the output row and of the
 * target row, and a gradient that comes from outside (a callback of the user, the critic of a generator). */
#ifndef SG_NN_LOSS_TERMS_H
#define SG_NN_LOSS_TERMS_H

#include "nn/loss.h"

typedef struct sg_loss_term {
    sg_loss     loss;           /* n_out and n_target are the columns of this term                     */
    size_t      first_out;      /* column of the output row at which they start                        */
    size_t      first_target;   /* column of the target row                                            */
    double      weight;         /* of this term in the sum                                             */
    const void *column_weight;  /* (loss.n_weights) or NULL; copied                                    */
} sg_loss_term;

typedef struct sg_loss_terms sg_loss_terms;

/* n_out, n_target: columns of a whole row. n_terms may be 0 where all of the gradient comes from outside.
 * Terms may overlap. bits: 32 or 64, also of the column weights. */
sg_status sg_loss_terms_create(size_t n_terms, const sg_loss_term *terms, size_t n_out, size_t n_target,
                               int bits, sg_loss_terms **made, sg_error *error);
void      sg_loss_terms_free(sg_loss_terms *terms);

size_t sg_loss_terms_n_values(const sg_loss_terms *terms);        /* of all terms, one after the other    */
size_t sg_loss_terms_rows_per_group(const sg_loss_terms *terms);  /* of all terms together                */
size_t sg_loss_terms_scratch_bytes(const sg_loss_terms *terms, size_t max_rows);

/* The loss from sums over n_rows rows of every value. */
double sg_loss_terms_total(const sg_loss_terms *terms,
                           const double        *value_sum,  /* (n_values) */
                           size_t               n_rows);

typedef struct sg_loss_terms_call {
    size_t         n_rows;
    double         batch_rows;    /* rows of the whole batch, over which the mean is taken                */
    const void    *prediction;    /* (n_rows, n_out)                                                      */
    const void    *target;        /* (n, n_target): row i of this call is row order[i]                    */
    const void    *row_weight;    /* (n), in the same order; NULL: 1                                      */
    const int64_t *order;         /* (n_rows); NULL: 0, 1 ..                                              */
    const void    *outside;       /* (n_rows, n_out) gradient from outside, added; NULL: none             */
    void          *d_prediction;  /* (n_rows, n_out) gradient; NULL: not wanted                           */
    void          *scratch;       /* sg_loss_terms_scratch_bytes                                          */
    double        *value_sum;     /* (n_values), sums over rows are added                                 */
} sg_loss_terms_call;

void sg_loss_terms_run(const sg_loss_terms *terms, const sg_loss_terms_call *call);

#endif
