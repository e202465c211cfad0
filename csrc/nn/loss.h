/* SPDX-License-Identifier: BSD-3-Clause */
/* Losses: a table like that of the operators. A loss compares n_out columns of a prediction with n_target
 * columns of a target and makes n_values numbers per row; it is the mean over rows and values,
 *     L = 1 / (n_rows n_values) sum over rows r and values c of  w_r v_c l_rc,
 * with row weights w (rare events, quadrature) and column weights v, both 1 where they are not given. Weights
 * are not normalised: a mini-batch then has the expectation of the whole data set. Give them a mean of 1 to
 * keep the size of the loss.
 *
 * To add a loss NAME: a line X(NAME) below, its entry in loss.c (text, attributes, rule of sizes) and its
 * kernel in loss.hot.c. The tests find it here and check its gradient. */
#ifndef SG_NN_LOSS_H
#define SG_NN_LOSS_H

#include "nn/ops.h"

#define SG_LOSS_LIST(X)       \
    X(mse)                    \
    X(mae)                    \
    X(huber)                  \
    X(hybrid)                 \
    X(pinball)                \
    X(binary_cross_entropy)   \
    X(wasserstein)            \
    X(hinge)                  \
    X(cross_entropy)          \
    X(gaussian_nll)           \
    X(mixture_nll)            \
    X(crps)                   \
    X(ensemble_crps)          \
    X(kl)                     \
    X(flow_nll)

typedef enum sg_loss_id {
#define X(name) SG_LOSS_##name,
    SG_LOSS_LIST(X)
#undef X
    SG_LOSS_COUNT
} sg_loss_id;

enum { SG_LOSS_MAX_ATTRIBUTES = 2 };

typedef enum sg_loss_target {
    SG_TARGET_REAL,         /* any number                   */
    SG_TARGET_PROBABILITY,  /* in [0, 1]                    */
    SG_TARGET_SIGN,         /* -1 or 1                      */
    SG_TARGET_CLASS,        /* 0, 1 .. n_classes - 1        */
    SG_TARGET_NONE          /* the loss has no target       */
} sg_loss_target;

typedef struct sg_loss {
    sg_loss_id         id;
    sg_attribute_value attribute[SG_LOSS_MAX_ATTRIBUTES];
    size_t             n_out;           /* columns of the prediction                                      */
    size_t             n_target;        /* of the target; SG_LOSS_NATURAL before sg_loss_resolve          */
    size_t             n_values;        /* per row, over which the mean is taken                          */
    size_t             n_weights;       /* column weights: one for each value, or for each class          */
    size_t             rows_per_group;  /* consecutive rows that must stay in one batch; 1 for most       */
} sg_loss;

#define SG_LOSS_NATURAL SIZE_MAX

typedef struct sg_loss_entry {
    const char         *name, *doc;
    int                 n_attributes;
    const sg_attribute *attributes;
    sg_loss_target      target;                        /* kind of numbers the natural target holds        */
    size_t              example_out;                   /* columns that go with the default attributes     */
    double              tolerance_f64, tolerance_f32;  /* of a gradient check                             */
    /* Reads n_out, n_target and attribute; fills n_target where it is SG_LOSS_NATURAL, n_values, n_weights
     * and rows_per_group. */
    sg_status         (*sizes)(sg_loss *loss, sg_error *error);
} sg_loss_entry;

typedef struct sg_loss_call {
    const sg_loss *loss;
    size_t         n_rows;
    const void    *prediction;     /* (n_rows, n_out)                                                     */
    const void    *target;         /* (n, n_target): row i of this call is row order[i]                   */
    const void    *row_weight;     /* (n), in the same order; NULL: 1                                     */
    const int64_t *order;          /* (n_rows); NULL: 0, 1 ..                                             */
    const void    *column_weight;  /* (n_weights); NULL: 1                                                */
    double         scale;          /* of the gradient: 1 / (rows of the batch * n_values)                 */
    void          *d_prediction;   /* (n_rows, n_out) gradient of L; NULL: not wanted                     */
    void          *sum;            /* (n_out) scratch                                                     */
    double        *column_loss;    /* (n_values), sums over rows are added, not scaled                    */
} sg_loss_call;

typedef struct sg_loss_kernels {
    void (*run[SG_LOSS_COUNT])(const sg_loss_call *call);
} sg_loss_kernels;

const sg_loss_entry   *sg_loss_get(sg_loss_id id);
const sg_loss_entry   *sg_loss_find(const char *name, sg_loss_id *id); /* NULL if there is none */
const sg_loss_kernels *sg_loss_kernels_get(int bits, sg_isa isa);

/* Checks attributes and sizes and fills in what is not given. id, attribute, n_out and n_target are set by
 * the caller. */
sg_status sg_loss_resolve(sg_loss *loss, sg_error *error);

#endif
