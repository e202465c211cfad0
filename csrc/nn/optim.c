/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/optim.h"

#include <string.h>

#define ONE(x) {1, {x}}

static const sg_attribute sgd_attributes[] = {
    {"momentum", SG_ATTRIBUTE_REAL, ONE(0), 0, 1, NULL, "share of the last step that is kept"},
    {"nesterov", SG_ATTRIBUTE_INT, ONE(0), 0, 1, NULL, "1: look ahead along the momentum"},
    {"weight_decay", SG_ATTRIBUTE_REAL, ONE(0), 0, 1e6, NULL, "added to the gradient as weight_decay * parameter"},
};
static const sg_attribute adam_attributes[] = {
    {"beta1", SG_ATTRIBUTE_REAL, ONE(0.9), 0, 0.9999999, NULL, "memory of the mean of the gradient"},
    {"beta2", SG_ATTRIBUTE_REAL, ONE(0.999), 0, 0.9999999, NULL, "memory of the mean of its square"},
    {"epsilon", SG_ATTRIBUTE_REAL, ONE(1e-8), 0, 1, NULL, "added to the root of the mean square"},
    {"weight_decay", SG_ATTRIBUTE_REAL, ONE(0), 0, 1e6, NULL, "added to the gradient as weight_decay * parameter"},
};
static const sg_attribute adamw_attributes[] = {
    {"beta1", SG_ATTRIBUTE_REAL, ONE(0.9), 0, 0.9999999, NULL, "memory of the mean of the gradient"},
    {"beta2", SG_ATTRIBUTE_REAL, ONE(0.999), 0, 0.9999999, NULL, "memory of the mean of its square"},
    {"epsilon", SG_ATTRIBUTE_REAL, ONE(1e-8), 0, 1, NULL, "added to the root of the mean square"},
    {"weight_decay", SG_ATTRIBUTE_REAL, ONE(0.01), 0, 1e6, NULL, "parameters shrink by 1 - rate * weight_decay in every step"},
};

static const sg_optim_entry table[SG_OPTIM_COUNT] = {
    [SG_OPTIM_sgd]   = {"sgd", "Stochastic gradient descent with momentum or Nesterov momentum.", 1, 3, sgd_attributes},
    [SG_OPTIM_adam]  = {"adam", "Adam; Kingma & Ba 2015, arXiv:1412.6980.", 2, 4, adam_attributes},
    [SG_OPTIM_adamw] = {"adamw", "Adam with decoupled weight decay; Loshchilov & Hutter 2019, arXiv:1711.05101.", 2, 4,
                        adamw_attributes},
};

SG_ISA_DECLARE(sg_optim_kernels, sg_optim_kernels_f32);
SG_ISA_DECLARE(sg_optim_kernels, sg_optim_kernels_f64);

const sg_optim_entry *sg_optim_get(sg_optim_id id) { return &table[id]; }

const sg_optim_entry *sg_optim_find(const char *name, sg_optim_id *id)
{
    for (int i = 0; i < SG_OPTIM_COUNT; i++)
        if (strcmp(table[i].name, name) == 0) {
            *id = (sg_optim_id)i;
            return &table[i];
        }
    return NULL;
}

const sg_optim_kernels *sg_optim_kernels_get(int bits, sg_isa isa)
{
    return bits == 32 ? SG_ISA_PICK(sg_optim_kernels_f32, isa) : SG_ISA_PICK(sg_optim_kernels_f64, isa);
}

sg_status sg_optim_resolve(sg_optim *optim, sg_error *error)
{
    const sg_optim_entry *entry = &table[optim->id];
    for (int i = 0; i < entry->n_attributes; i++)
        SG_TRY(sg_attribute_check(&entry->attributes[i], &optim->attribute[i], error));
    return SG_OK;
}
