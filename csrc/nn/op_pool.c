/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_pool.h"

#include "nn/op_entry.h"

/* ------------------------------------------------------------------------------- max_pool, average_pool */
enum { SIZE, STRIDE, PADDING }; /* attributes, in the order of the table */

static const char *const padding_names[] = {"valid", "same", NULL};

static const sg_attribute pool_attributes[] = {
    {"size", SG_ATTRIBUTE_INTS, SG_OP_REQUIRED, 1, SG_CONV_MAX_STEP, NULL,
     "positions of the window, for all dimensions or for each"},
    {"stride", SG_ATTRIBUTE_INTS, SG_OP_ONE(0), 0, SG_CONV_MAX_STEP, NULL,
     "positions from one window to the next, for all dimensions or for each; 0: the size of the window"},
    {"padding", SG_ATTRIBUTE_CHOICE, SG_OP_ONE(0), 0, 0, padding_names,
     "valid: only windows inside the field; same: ceil(n / stride) windows, of which only positions inside "
     "the field count"},
};

sg_pool sg_pool_of(const sg_op_site *site)
{
    const sg_attribute_value *size = &site->attribute[SIZE], *stride = &site->attribute[STRIDE];
    const int                 rank  = site->in[0].rank - 1;
    const int                 valid = site->attribute[PADDING].v[0] == 0;
    sg_pool                   pool  = {.n_channels = sg_op_channels(&site->in[0])};
    for (int i = 0; i < 3; i++) {
        const int from = i - (3 - rank);
        if (from < 0) {
            pool.dim[i] = sg_conv_dim_of(1, 1, 1, 1, 1);
            continue;
        }
        const size_t n    = (size_t)size->v[size->n == 1 ? 0 : from],
                     step = (size_t)stride->v[stride->n == 1 ? 0 : from];
        pool.dim[i]       = sg_conv_dim_of(site->in[0].dim[from], n, step ? step : n, 1, valid);
    }
    return pool;
}

static sg_status pool_rule(sg_op_site *site, sg_error *error)
{
    const int rank = site->in[0].rank - 1;
    if (rank < 1 || rank > 3)
        return sg_fail(error, SG_ERR_SHAPE, "inputs",
                       "expected a field of 1 to 3 dimensions with channels last, got rank %d",
                       site->in[0].rank);
    for (int i = SIZE; i <= STRIDE; i++)
        if (site->attribute[i].n != 1 && site->attribute[i].n != rank)
            return sg_fail(error, SG_ERR_VALUE, pool_attributes[i].name,
                           "expected 1 or %d numbers for a field of %d dimensions, got %d", rank, rank,
                           site->attribute[i].n);
    const sg_pool pool = sg_pool_of(site);
    site->out          = site->in[0];
    site->flops        = (double)pool.n_channels;
    for (int i = 0; i < rank; i++) {
        const sg_conv_dim *dim = &pool.dim[i + 3 - rank];
        if (!dim->out)
            return sg_fail(error, SG_ERR_VALUE, "size",
                           "the window has %zu positions in dimension %d, where the field has %zu",
                           dim->kernel, i, dim->in);
        site->out.dim[i] = dim->out;
        site->flops *= (double)dim->out * (double)dim->kernel;
    }
    site->scratch_fixed = pool.dim[2].in * pool.n_channels; /* a line of the field */
    return SG_OK;
}

static void pool_example(sg_op_draw *draw, sg_op_site *site)
{
    const int rank  = (int)sg_op_draw_integer(draw, 1, 3);
    sg_shape  shape = {rank + 1, {0}};
    for (int i = 0; i < rank; i++)
        shape.dim[i] = rank == 1 ? sg_op_draw_integer(draw, 3, 17) : sg_op_draw_integer(draw, 3, 6);
    shape.dim[rank] = rank == 1 ? sg_op_draw_size(draw) : sg_op_draw_integer(draw, 1, 3);
    sg_op_set_input(site, 0, shape);
    sg_op_set(site, "padding", (double)sg_op_draw_integer(draw, 0, 1));
    for (int i = SIZE; i <= STRIDE; i++) {
        site->attribute[i].n = sg_op_draw_integer(draw, 0, 1) ? rank : 1;
        for (int j = 0; j < site->attribute[i].n; j++)
            site->attribute[i].v[j] = (double)sg_op_draw_integer(draw, i == SIZE, 3);
    }
}

#define POOL_ENTRY(NAME, TEXT, FLAGS)                     \
    const sg_op sg_op_entry_##NAME = {                    \
        .name          = #NAME,                           \
        .doc           = TEXT,                            \
        .min_inputs    = 1,                               \
        .max_inputs    = 1,                               \
        .n_attributes  = SG_OP_COUNT_OF(pool_attributes), \
        .attributes    = pool_attributes,                 \
        .flags         = FLAGS,                           \
        .tolerance_f64 = 1e-6,                            \
        .tolerance_f32 = 1e-3,                            \
        .rule          = pool_rule,                       \
        .example       = pool_example,                    \
    };

POOL_ENTRY(max_pool,
           "Largest value of each channel in windows of a field with one, two or three dimensions before its "
           "channels. Of equal values the first gets the gradient.",
           SG_OP_BACKWARD_READS_INPUT | SG_OP_BACKWARD_READS_OUTPUT)
POOL_ENTRY(
    average_pool,
    "Mean of each channel in windows of a field with one, two or three dimensions before its channels.", 0)

/* ------------------------------------------------------------------------------------------ global_pool */
static const char *const kind_names[] = {"max", "average", NULL};

static const sg_attribute global_pool_attributes[] = {
    {"kind", SG_ATTRIBUTE_CHOICE, SG_OP_ONE(SG_POOL_AVERAGE), 0, 0, kind_names, "largest value or mean"},
};

static sg_status global_pool_rule(sg_op_site *site, sg_error *error)
{
    if (site->in[0].rank < 2)
        return sg_fail(error, SG_ERR_SHAPE, "inputs", "expected a field with channels last, got rank %d",
                       site->in[0].rank);
    site->out   = (sg_shape){1, {sg_op_channels(&site->in[0])}};
    site->flops = (double)site->in_size[0];
    return SG_OK;
}

static void global_pool_example(sg_op_draw *draw, sg_op_site *site)
{
    const int rank  = (int)sg_op_draw_integer(draw, 1, 3);
    sg_shape  shape = {rank + 1, {0}};
    for (int i = 0; i < rank; i++)
        shape.dim[i] = sg_op_draw_integer(draw, 1, 5);
    shape.dim[rank] = sg_op_draw_size(draw);
    sg_op_set_input(site, 0, shape);
    sg_op_set(site, "kind", (double)sg_op_draw_integer(draw, 0, 1));
}

const sg_op sg_op_entry_global_pool = {
    .name = "global_pool",
    .doc  = "Mean or largest value of each channel over all positions of a field; of equal values the first "
           "gets the gradient.",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(global_pool_attributes),
    .attributes    = global_pool_attributes,
    .flags         = SG_OP_BACKWARD_READS_INPUT | SG_OP_BACKWARD_READS_OUTPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = global_pool_rule,
    .example       = global_pool_example,
};
