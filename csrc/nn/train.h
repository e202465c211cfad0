/* SPDX-License-Identifier: BSD-3-Clause */
/* Training of a graph. The trainer owns everything a step needs beside the data: plan, workspaces, gradient buffers. Parameters and
 * the state of the optimiser belong to the caller, so that they can be read, stored and restored as plain arrays.
 *
 * Bits: a batch is cut into chunks of rows that stay in cache (forward, loss and backward of a chunk in one go). Chunks are dealt
 * to groups by their number, each group adds its gradients up in order, and the groups are added up in order. Chunks and groups
 * depend on the network and the number of rows alone, so the result has the same bits for any number of threads. */
#ifndef SG_NN_TRAIN_H
#define SG_NN_TRAIN_H

#include "base/poll.h"
#include "nn/graph.h"
#include "nn/loss_terms.h"
#include "nn/optim.h"

typedef struct sg_trainer sg_trainer;

typedef struct sg_train_options {
    int      bits;         /* 32 or 64                                                                  */
    size_t   n_target;     /* columns of y                                                              */
    size_t   n_terms;      /* of the loss; 0 where all of the gradient comes from outside               */
    const sg_loss_term *terms;
    sg_optim optim;
    double   clip_norm;    /* largest Euclidean norm of the gradient; 0: not clipped                    */
    double   clip_value;   /* largest size of one element of the gradient; 0: not clipped               */
    double   ema_decay;    /* of the moving average of the parameters, (0, 1); 0: none                  */
    int      num_threads;  /* 0: OMP_NUM_THREADS or all                                                 */
    uint64_t seed;         /* of random operators (dropout)                                             */
} sg_train_options;

/* The caller's arrays. */
typedef struct sg_train_state {
    void   *parameters;                /* (n_parameters)                                                */
    void   *slot[SG_OPTIM_MAX_SLOTS];  /* (n_parameters) each, zero at the start; n_slots of the optimiser */
    void   *ema;                       /* (n_parameters), the parameters at the start; NULL without EMA */
    int64_t step;                      /* steps done so far                                             */
} sg_train_state;

typedef struct sg_train_rows {
    size_t         n_rows;
    const void    *x;       /* (n, n_in)                                         */
    const void    *y;       /* (n, n_target)                                     */
    const void    *weight;  /* (n) or NULL                                       */
    const int64_t *order;   /* (n_rows) rows of the arrays to use, NULL: 0, 1 .. */
    const void    *outside; /* (n_rows, n_out) gradient of a loss computed elsewhere, in the order of the batch, added to
                             * that of the terms; NULL: none. For one batch, not for a whole epoch. */
} sg_train_rows;

/* graph and options are copied where needed; the graph must live as long as the trainer. */
sg_status sg_trainer_create(const sg_graph *graph, const sg_train_options *options, sg_trainer **trainer, sg_error *error);
void      sg_trainer_free(sg_trainer *trainer);

size_t               sg_trainer_chunk_rows(const sg_trainer *trainer);
const sg_loss_terms *sg_trainer_loss(const sg_trainer *trainer);

/* Mean loss of the rows and its gradient (n_parameters, owned by the trainer, valid until the next call), with the random numbers
 * of step. Constants and statistics among the parameters have no gradient: zeros. */
sg_status sg_trainer_gradient(sg_trainer *trainer, const void *parameters, int64_t step, const sg_train_rows *rows, sg_poll *poll,
                              double *loss, void **gradient, sg_error *error);

/* One update with a gradient; NULL: that of the last sg_trainer_gradient call, from which statistics take up what it observed. */
void sg_trainer_update(sg_trainer *trainer, sg_train_state *state, const void *gradient /* (n_parameters) */, double rate);

/* What the last sg_trainer_gradient call observed for statistics (and constants) among the parameters, which the next update uses;
 * writable, for means over several processes. */
void *sg_trainer_observed(sg_trainer *trainer, size_t *n);

/* One batch: gradient and update. A loss that is not finite gives SG_ERR_DIVERGED, and an interrupt SG_ERR_INTERRUPTED; in both
 * cases the state is that before the step. */
sg_status sg_trainer_step(sg_trainer *trainer, sg_train_state *state, const sg_train_rows *rows, double rate, sg_poll *poll,
                          double *loss, sg_error *error);

/* All rows in batches of batch_size (the last one may be smaller), rate[b] for batch b. *loss is the mean over all rows done. */
sg_status sg_trainer_epoch(sg_trainer *trainer, sg_train_state *state, const sg_train_rows *rows, size_t batch_size,
                           const double *rate, sg_poll *poll, double *loss, sg_error *error);

/* Mean loss without a gradient; value_loss (n_values of the loss, for most losses one for each column) gets the mean over the rows of
 * each value, NULL: not wanted. */
sg_status sg_trainer_evaluate(sg_trainer *trainer, const void *parameters, const sg_train_rows *rows, sg_poll *poll, double *loss,
                              double *value_loss, sg_error *error);

#endif
