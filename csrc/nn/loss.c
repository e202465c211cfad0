/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/loss.h"

#include <string.h>

#define ONE(x) {1, {x}}

static const sg_attribute huber_attributes[] = {
    {"delta", SG_ATTRIBUTE_REAL, ONE(1), 1e-30, 1e30, NULL,
     "error at which the parabola turns into a straight line"},
};
static const sg_attribute hybrid_attributes[] = {
    {"alpha", SG_ATTRIBUTE_REAL, ONE(0.5), 0, 1, NULL, "share of the differences in the loss"},
    {"group", SG_ATTRIBUTE_INT, ONE(2), 2, 4096, NULL,
     "number of consecutive rows that are compared with each other"},
};

static const sg_attribute pinball_attributes[] = {
    {"level", SG_ATTRIBUTE_REAL, ONE(0.5), 1e-9, 1 - 1e-9, NULL, "probability of the quantile"},
};
static const sg_attribute binary_attributes[] = {
    {"positive_weight", SG_ATTRIBUTE_REAL, ONE(1), 0, 1e30, NULL, "weight of the class 1"},
};
static const sg_attribute class_attributes[] = {
    {"classes", SG_ATTRIBUTE_INT, ONE(0), 0, 1 << 24, NULL,
     "classes of one distribution, which lie side by side; 0: all columns"},
};
static const sg_attribute mixture_attributes[] = {
    {"components", SG_ATTRIBUTE_INT, ONE(3), 1, 1 << 16, NULL, "components of the mixture"},
};
static const sg_attribute ensemble_attributes[] = {
    {"members", SG_ATTRIBUTE_INT, ONE(5), 2, 4096, NULL, "members of the ensemble"},
    {"fair", SG_ATTRIBUTE_INT, ONE(1), 0, 1, NULL,
     "1: unbiased for a small ensemble; 0: of the empirical distribution"},
};

/* ---------------------------------------------------------------------------------------- rules of sizes */
static sg_status fail_columns(const sg_loss *loss, const char *expected, sg_error *error)
{
    if (loss->n_target == SG_LOSS_NATURAL)
        return sg_fail(error, SG_ERR_SHAPE, "loss", "%s needs %s, got %zu columns of prediction",
                       sg_loss_get(loss->id)->name, expected, loss->n_out);
    return sg_fail(error, SG_ERR_SHAPE, "loss",
                   "%s needs %s, got %zu columns of prediction and %zu of target",
                   sg_loss_get(loss->id)->name, expected, loss->n_out, loss->n_target);
}

/* The target has expected columns, and as many values are made of it. */
static sg_status with_target(sg_loss *loss, size_t natural, int fits, const char *expected, sg_error *error)
{
    if (!fits || (loss->n_target != SG_LOSS_NATURAL && loss->n_target != natural))
        return fail_columns(loss, expected, error);
    loss->n_target = loss->n_values = loss->n_weights = natural;
    return SG_OK;
}

static sg_status equal_sizes(sg_loss *loss, sg_error *error)
{
    if (loss->id == SG_LOSS_hybrid)
        loss->rows_per_group = (size_t)loss->attribute[1].v[0];
    return with_target(loss, loss->n_out, 1, "as many columns of target as of prediction", error);
}

static sg_status gaussian_sizes(sg_loss *loss, sg_error *error)
{
    return with_target(loss, loss->n_out / 2, loss->n_out % 2 == 0,
                       "a mean and a log-variance for every column of target", error);
}

static sg_status ensemble_sizes(sg_loss *loss, sg_error *error)
{
    const size_t members = (size_t)loss->attribute[0].v[0];
    return with_target(loss, loss->n_out / members, loss->n_out % members == 0,
                       "one column per member for every column of target", error);
}

static sg_status class_sizes(sg_loss *loss, sg_error *error)
{
    if (loss->attribute[0].v[0] == 0)
        loss->attribute[0].v[0] = (double)loss->n_out;
    const size_t classes = (size_t)loss->attribute[0].v[0], groups = loss->n_out / classes;
    if (classes < 2 || loss->n_out % classes ||
        (loss->n_target != SG_LOSS_NATURAL && loss->n_target != groups && loss->n_target != loss->n_out))
        return fail_columns(
            loss, "at least 2 classes and a target that is one class number or one probability per class",
            error);
    loss->n_target  = loss->n_target == SG_LOSS_NATURAL ? groups : loss->n_target;
    loss->n_values  = groups;
    loss->n_weights = classes;
    return SG_OK;
}

static sg_status row_value(sg_loss *loss, size_t natural, int fits, const char *expected, sg_error *error)
{
    SG_TRY(with_target(loss, natural, fits, expected, error));
    loss->n_values = loss->n_weights = 1;
    return SG_OK;
}

static sg_status mixture_sizes(sg_loss *loss, sg_error *error)
{
    const size_t k = (size_t)loss->attribute[0].v[0], each = loss->n_out / k;
    return row_value(loss, each / 2, loss->n_out % k == 0 && each % 2 == 1 && each > 1,
                     "for every component a logit, and a mean and a log-variance for every column of target",
                     error);
}

static sg_status kl_sizes(sg_loss *loss, sg_error *error)
{
    return row_value(loss, 0, loss->n_out % 2 == 0, "means and log-variances, and no target", error);
}

static sg_status flow_sizes(sg_loss *loss, sg_error *error)
{
    return row_value(loss, 0, loss->n_out > 1, "latent variables and a log-determinant, and no target",
                     error);
}

static const sg_loss_entry table[SG_LOSS_COUNT] = {
    [SG_LOSS_mse]   = {"mse", "Mean squared error: l(e) = e^2.", 0, NULL, SG_TARGET_REAL, 19, 1e-6, 1e-3,
                       equal_sizes},
    [SG_LOSS_mae]   = {"mae", "Mean absolute error: l(e) = |e|.", 0, NULL, SG_TARGET_REAL, 19, 1e-6, 1e-3,
                       equal_sizes},
    [SG_LOSS_huber] = {"huber", "Huber: l(e) = e^2 / 2 for |e| <= delta, delta (|e| - delta / 2) beyond.", 1,
                       huber_attributes, SG_TARGET_REAL, 19, 1e-6, 1e-3, equal_sizes},
    [SG_LOSS_hybrid] =
        {"hybrid",
         "alpha * (mean absolute error of the differences between neighbours in a group of rows) + "
         "(1 - alpha) * (mean squared error); Ukkonen & Hogan 2023, doi:10.5194/gmd-16-3241-2023.",
         2, hybrid_attributes, SG_TARGET_REAL, 19, 1e-6, 1e-3, equal_sizes},
    [SG_LOSS_pinball] =
        {"pinball",
         "Quantile loss: l(e) = (1 - level) e for e = prediction - target >= 0, -level e below; Koenker & "
         "Bassett 1978, doi:10.2307/1913643.",
         1, pinball_attributes, SG_TARGET_REAL, 19, 1e-6, 1e-3, equal_sizes},
    [SG_LOSS_binary_cross_entropy] = {"binary_cross_entropy",
                                      "Cross-entropy of a probability t and a logit x: positive_weight t "
                                      "log(1 + exp(-x)) + (1 - t) log(1 + exp(x)).",
                                      1, binary_attributes, SG_TARGET_PROBABILITY, 19, 1e-6, 1e-3,
                                      equal_sizes},
    [SG_LOSS_wasserstein] =
        {"wasserstein",
         "Critic's term of a Wasserstein GAN: l = -t x with t = 1 for real and -1 for generated "
         "rows; Arjovsky, Chintala & Bottou 2017, arXiv:1701.07875.",
         0, NULL, SG_TARGET_SIGN, 19, 1e-6, 1e-3, equal_sizes},
    [SG_LOSS_hinge] = {"hinge", "l = max(0, 1 - t x) with t = 1 or -1.", 0, NULL, SG_TARGET_SIGN, 19, 1e-6,
                       1e-3, equal_sizes},
    [SG_LOSS_cross_entropy] =
        {"cross_entropy",
         "Cross-entropy of a class (its number, or one probability per class) and logits; "
         "column weights are class weights.",
         1, class_attributes, SG_TARGET_CLASS, 7, 1e-6, 1e-3, class_sizes},
    [SG_LOSS_gaussian_nll] =
        {"gaussian_nll",
         "Negative log-likelihood of Gaussians; columns: all means, then all log-variances; Nix & "
         "Weigend 1994, doi:10.1109/ICNN.1994.374138.",
         0, NULL, SG_TARGET_REAL, 14, 1e-6, 1e-3, gaussian_sizes},
    [SG_LOSS_mixture_nll] =
        {"mixture_nll",
         "Negative log-likelihood of a mixture of diagonal Gaussians; columns: logits (components), "
         "means (components, n_target), log-variances (components, n_target); Bishop 1994, mixture density "
         "networks.",
         1, mixture_attributes, SG_TARGET_REAL, 15, 1e-6, 1e-3, mixture_sizes},
    [SG_LOSS_crps] = {"crps",
                      "Continuous ranked probability score of Gaussians; columns as gaussian_nll; Gneiting & "
                      "Raftery 2007, doi:10.1198/016214506000001437.",
                      0, NULL, SG_TARGET_REAL, 14, 1e-6, 1e-3, gaussian_sizes},
    [SG_LOSS_ensemble_crps] =
        {"ensemble_crps",
         "Continuous ranked probability score of an ensemble; columns: member after member; "
         "fair form of Ferro 2014, doi:10.1002/qj.2270.",
         2, ensemble_attributes, SG_TARGET_REAL, 15, 1e-6, 1e-3, ensemble_sizes},
    [SG_LOSS_kl] = {"kl",
                    "Kullback-Leibler divergence of a diagonal Gaussian from N(0, 1), summed over the latent "
                    "variables; columns: all means, then all log-variances; Kingma & Welling 2014, "
                    "arXiv:1312.6114.",
                    0, NULL, SG_TARGET_NONE, 14, 1e-6, 1e-3, kl_sizes},
    [SG_LOSS_flow_nll] =
        {"flow_nll",
         "Negative log-likelihood of a normalising flow with a standard normal base; columns: latent "
         "variables, then the log-determinant; Dinh, Sohl-Dickstein & Bengio 2017, arXiv:1605.08803.",
         0, NULL, SG_TARGET_NONE, 6, 1e-6, 1e-3, flow_sizes},
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
    loss->rows_per_group = 1;
    if (loss->n_out == 0)
        return sg_fail(error, SG_ERR_SHAPE, "loss", "%s needs at least one column of prediction",
                       entry->name);
    return entry->sizes(loss, error);
}
