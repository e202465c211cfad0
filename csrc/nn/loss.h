/* SPDX-License-Identifier: BSD-3-Clause */
/* Losses: a table like that of the operators. A loss is a mean over rows and columns,
 *     L = 1 / (n_rows n_out) sum over rows r and columns c of  w_r v_c l(prediction_rc - target_rc),
 * with row weights w (rare events, quadrature) and column weights v, both 1 where they are not given. Weights are not normalised:
 * a mini-batch then has the expectation of the whole data set. Give them a mean of 1 to keep the size of the loss. */
#ifndef SG_NN_LOSS_H
#define SG_NN_LOSS_H

#include "nn/ops.h"

#define SG_LOSS_LIST(X) \
    X(mse)              \
    X(mae)              \
    X(huber)            \
    X(hybrid)

typedef enum sg_loss_id {
#define X(name) SG_LOSS_##name,
    SG_LOSS_LIST(X)
#undef X
    SG_LOSS_COUNT
} sg_loss_id;

enum { SG_LOSS_MAX_ATTRIBUTES = 2 };

typedef struct sg_loss_entry {
    const char         *name, *doc;
    int                 n_attributes;
    const sg_attribute *attributes;
    double              tolerance_f64, tolerance_f32;  /* of a gradient check */
} sg_loss_entry;

typedef struct sg_loss {
    sg_loss_id         id;
    sg_attribute_value attribute[SG_LOSS_MAX_ATTRIBUTES];
    size_t             rows_per_group;  /* consecutive rows that belong together and must stay in one batch; 1 for most */
} sg_loss;

typedef struct sg_loss_call {
    const sg_loss *loss;
    size_t         n_rows, n_out;
    const void    *prediction;       /* (n_rows, n_out)                                                        */
    const void    *target;           /* (n, n_out): row i of this call is row order[i], or i if order is NULL  */
    const void    *row_weight;       /* (n), in the same order; NULL: 1                                        */
    const int64_t *order;            /* (n_rows) or NULL                                                       */
    const void    *column_weight;    /* (n_out); NULL: 1                                                       */
    double         scale;            /* 1 / (rows of the batch * n_out)                                        */
    void          *d_prediction;     /* (n_rows, n_out) gradient of L; NULL: not wanted                        */
    void          *sum;              /* (n_out) scratch                                                        */
    double        *column_loss;      /* (n_out), sums over rows are added, not scaled                          */
} sg_loss_call;

typedef struct sg_loss_kernels {
    void (*run[SG_LOSS_COUNT])(const sg_loss_call *call);
} sg_loss_kernels;

const sg_loss_entry   *sg_loss_get(sg_loss_id id);
const sg_loss_entry   *sg_loss_find(const char *name, sg_loss_id *id); /* NULL if there is none */
const sg_loss_kernels *sg_loss_kernels_get(int bits, sg_isa isa);

/* Checks attributes, fills in defaults and rows_per_group. id and attribute are set by the caller. */
sg_status sg_loss_resolve(sg_loss *loss, sg_error *error);

#endif
