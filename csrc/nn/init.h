/* SPDX-License-Identifier: BSD-3-Clause */
/* Random start values of parameters. Element i of parameter p of node k is a function of (seed, k, p, i). */
#ifndef SG_NN_INIT_H
#define SG_NN_INIT_H

#include "nn/graph.h"

/* X(name, text): weights are uniform in +-limit, or normal with the standard deviation given. */
#define SG_INIT_LIST(X)                                                                                     \
    X(glorot_uniform, "limit sqrt(6 / (fan_in + fan_out)); Glorot & Bengio 2010")                           \
    X(glorot_normal, "standard deviation sqrt(2 / (fan_in + fan_out)); Glorot & Bengio 2010")               \
    X(he_uniform, "limit sqrt(6 / fan_in); He et al. 2015, arXiv:1502.01852")                               \
    X(he_normal, "standard deviation sqrt(2 / fan_in); He et al. 2015, arXiv:1502.01852")                   \
    X(lecun_uniform, "limit sqrt(3 / fan_in); LeCun et al. 1998")                                           \
    X(lecun_normal, "standard deviation sqrt(1 / fan_in); LeCun et al. 1998")

typedef enum sg_init_scheme {
#define X(name, text) SG_INIT_##name,
    SG_INIT_LIST(X)
#undef X
    SG_INIT_COUNT
} sg_init_scheme;

const char *sg_init_name(sg_init_scheme scheme);
const char *sg_init_text(sg_init_scheme scheme);

/* Fills parameters (n_parameters), float for bits = 32 and double for 64; both start from the same double-precision numbers. */
void sg_graph_initialise(const sg_graph *graph, int bits, sg_init_scheme scheme, uint64_t seed, void *parameters);

/* Random order of rows for an epoch; groups of consecutive rows stay together. n_rows must be a multiple of group. */
void sg_train_shuffle(uint64_t seed, uint64_t epoch, size_t n_rows, size_t group, int64_t *order /* (n_rows) */);

#endif
