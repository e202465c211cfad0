/* SPDX-License-Identifier: BSD-3-Clause */
/* Optimisers: elementwise updates of the flat parameter vector. */
#ifndef SG_NN_OPTIM_H
#define SG_NN_OPTIM_H

#include "nn/ops.h"

#define SG_OPTIM_LIST(X) \
    X(sgd)               \
    X(adam)              \
    X(adamw)

typedef enum sg_optim_id {
#define X(name) SG_OPTIM_##name,
    SG_OPTIM_LIST(X)
#undef X
    SG_OPTIM_COUNT
} sg_optim_id;

enum { SG_OPTIM_MAX_ATTRIBUTES = 4, SG_OPTIM_MAX_SLOTS = 2 };

typedef struct sg_optim_entry {
    const char         *name, *doc;
    int                 n_slots;  /* vectors of state as long as the parameters, zero at the start */
    int                 n_attributes;
    const sg_attribute *attributes;
} sg_optim_entry;

typedef struct sg_optim {
    sg_optim_id        id;
    sg_attribute_value attribute[SG_OPTIM_MAX_ATTRIBUTES];
} sg_optim;

typedef struct sg_optim_call {
    const sg_optim *optim;
    size_t          first, n;        /* elements first .. first + n - 1 of the vectors below             */
    const void     *gradient;        /* (n_parameters)                                                    */
    void           *parameters;      /* (n_parameters)                                                    */
    void           *slot[SG_OPTIM_MAX_SLOTS];
    void           *ema;             /* (n_parameters) exponential moving average of the parameters, NULL */
    double          ema_decay;
    double          rate;            /* learning rate of this step                                        */
    double          step;            /* 1, 2, 3 ...                                                       */
    double          gradient_scale;  /* of clipping by norm, else 1                                       */
    double          clip_value;      /* gradients are held within +-clip_value after scaling; 0: not      */
} sg_optim_call;

typedef struct sg_optim_kernels {
    void (*update[SG_OPTIM_COUNT])(const sg_optim_call *call);
    /* sum[i] = ((partial[0][i] + partial[1][i]) + partial[2][i]) + ...; partial (n_partial, stride), i = first .. first + n - 1. */
    void (*reduce)(size_t n_partial, size_t stride, size_t first, size_t n, const void *partial, void *sum);
    /* Sum of squares, in an order fixed by n. */
    double (*sum_of_squares)(size_t n, const void *x);
} sg_optim_kernels;

const sg_optim_entry   *sg_optim_get(sg_optim_id id);
const sg_optim_entry   *sg_optim_find(const char *name, sg_optim_id *id); /* NULL if there is none */
const sg_optim_kernels *sg_optim_kernels_get(int bits, sg_isa isa);

/* Checks attributes and fills in defaults. id and attribute are set by the caller. */
sg_status sg_optim_resolve(sg_optim *optim, sg_error *error);

#endif
