/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/loss.h"

#include <string.h>

#define ONE(x) {1, {x}}

static const sg_attribute huber_attributes[] = {
    {"delta", SG_ATTRIBUTE_REAL, ONE(1), 1e-30, 1e30, NULL, "error at which the parabola turns into a straight line"},
};
static const sg_attribute hybrid_attributes[] = {
    {"alpha", SG_ATTRIBUTE_REAL, ONE(0.5), 0, 1, NULL, "share of the differences in the loss"},
    {"group", SG_ATTRIBUTE_INT, ONE(2), 2, 4096, NULL, "number of consecutive rows that are compared with each other"},
};

static const sg_loss_entry table[SG_LOSS_COUNT] = {
    [SG_LOSS_mse]    = {"mse", "Mean squared error: l(e) = e^2.", 0, NULL, 1e-6, 1e-3},
    [SG_LOSS_mae]    = {"mae", "Mean absolute error: l(e) = |e|.", 0, NULL, 1e-6, 1e-3},
    [SG_LOSS_huber]  = {"huber", "Huber: l(e) = e^2 / 2 for |e| <= delta, delta (|e| - delta / 2) beyond.", 1,
                        huber_attributes, 1e-6, 1e-3},
    [SG_LOSS_hybrid] = {"hybrid", "alpha * (mean absolute error of the differences between neighbours in a group of rows) + "
                        "(1 - alpha) * (mean squared error); Ukkonen & Hogan 2023, doi:10.5194/gmd-16-3241-2023.", 2,
                        hybrid_attributes, 1e-6, 1e-3},
};

SG_ISA_DECLARE(sg_loss_kernels, sg_loss_kernels_f32);
SG_ISA_DECLARE(sg_loss_kernels, sg_loss_kernels_f64);

const sg_loss_entry *sg_loss_get(sg_loss_id id) { return &table[id]; }

const sg_loss_entry *sg_loss_find(const char *name, sg_loss_id *id)
{
    for (int i = 0; i < SG_LOSS_COUNT; i++)
        if (strcmp(table[i].name, name) == 0) {
            *id = (sg_loss_id)i;
            return &table[i];
        }
    return NULL;
}

const sg_loss_kernels *sg_loss_kernels_get(int bits, sg_isa isa)
{
    return bits == 32 ? SG_ISA_PICK(sg_loss_kernels_f32, isa) : SG_ISA_PICK(sg_loss_kernels_f64, isa);
}

sg_status sg_loss_resolve(sg_loss *loss, sg_error *error)
{
    const sg_loss_entry *entry = &table[loss->id];
    for (int i = 0; i < entry->n_attributes; i++)
        SG_TRY(sg_attribute_check(&entry->attributes[i], &loss->attribute[i], error));
    loss->rows_per_group = loss->id == SG_LOSS_hybrid ? (size_t)loss->attribute[1].v[0] : 1;
    return SG_OK;
}
