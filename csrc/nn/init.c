/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/init.h"

#include <math.h>

#include "base/philox.h"

/* Streams of one seed: parameters of node k from k * SG_OP_MAX_PARAMETERS on, epochs from EPOCHS on. */
#define EPOCHS ((uint64_t)1 << 32)

static const char *const names[SG_INIT_COUNT] = {
#define X(name, text) #name,
    SG_INIT_LIST(X)
#undef X
};
static const char *const texts[SG_INIT_COUNT] = {
#define X(name, text) text,
    SG_INIT_LIST(X)
#undef X
};

const char *sg_init_name(sg_init_scheme scheme) { return names[scheme]; }
const char *sg_init_text(sg_init_scheme scheme) { return texts[scheme]; }

/* Standard deviation of the weights. */
static double deviation(sg_init_scheme scheme, double fan_in, double fan_out)
{
    switch (scheme) {
    case SG_INIT_glorot_uniform:
    case SG_INIT_glorot_normal: return sqrt(2 / (fan_in + fan_out));
    case SG_INIT_he_uniform:
    case SG_INIT_he_normal: return sqrt(2 / fan_in);
    default: return sqrt(1 / fan_in);
    }
}

static int is_normal(sg_init_scheme scheme)
{
    return scheme == SG_INIT_glorot_normal || scheme == SG_INIT_he_normal || scheme == SG_INIT_lecun_normal;
}

static void put(void *to, int bits, size_t i, double value)
{
    if (bits == 32)
        ((float *)to)[i] = (float)value;
    else
        ((double *)to)[i] = value;
}

static void fill_weights(int bits, sg_init_scheme scheme, const sg_op_parameter *p, uint64_t seed, uint64_t stream, size_t at,
                         void *parameters)
{
    enum { BLOCK = 256 };
    const size_t n     = sg_shape_size(&p->shape);
    const double sigma = deviation(scheme, (double)p->fan_in, (double)p->fan_out);
    double       draw[BLOCK];
    for (size_t first = 0; first < n; first += BLOCK) {
        const size_t m = n - first < BLOCK ? n - first : BLOCK;
        if (is_normal(scheme))
            sg_philox_f64_now()->normal(seed, stream, first, m, draw);
        else
            sg_philox_f64_now()->uniform(seed, stream, first, m, draw);
        for (size_t i = 0; i < m; i++)
            put(parameters, bits, at + first + i, is_normal(scheme) ? sigma * draw[i] : sigma * sqrt(3.0) * (2 * draw[i] - 1));
    }
}

void sg_graph_initialise(const sg_graph *graph, int bits, sg_init_scheme scheme, uint64_t seed, void *parameters)
{
    for (int k = 0; k < sg_graph_n_nodes(graph); k++) {
        const sg_op_site *site = sg_graph_site(graph, k);
        for (int j = 0; j < site->n_parameters; j++) {
            const sg_op_parameter *p  = &site->parameter[j];
            const size_t           at = sg_graph_offset(graph, k) + p->offset;
            if (p->init == SG_INIT_WEIGHT)
                fill_weights(bits, scheme, p, seed, (uint64_t)k * SG_OP_MAX_PARAMETERS + (uint64_t)j, at, parameters);
            else
                for (size_t i = 0; i < sg_shape_size(&p->shape); i++)
                    put(parameters, bits, at + i, p->init == SG_INIT_ONE);
        }
    }
}

void sg_train_shuffle(uint64_t seed, uint64_t epoch, size_t n_rows, size_t group, int64_t *order)
{
    const size_t n = n_rows / group;
    sg_philox_shuffle(seed, EPOCHS + epoch, n, order);
    /* Spread from the back, so that no group number is overwritten before it is used. */
    for (size_t i = n; group > 1 && i-- > 0;) {
        const int64_t first = order[i] * (int64_t)group;
        for (size_t j = 0; j < group; j++)
            order[i * group + j] = first + (int64_t)j;
    }
}
