/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/ops.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "nn/activation.h"

size_t sg_shape_size(const sg_shape *shape)
{
    size_t size = 1;
    for (int i = 0; i < shape->rank; i++)
        size = sg_size_mul(size, shape->dim[i]);
    return size;
}

static int same_shape(const sg_shape *a, const sg_shape *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]) == 0;
}

/* Channels: the last dimension of a shape. */
static size_t channels(const sg_shape *shape) { return shape->dim[shape->rank - 1]; }

static sg_shape with_channels(sg_shape shape, size_t n)
{
    shape.dim[shape.rank - 1] = n;
    return shape;
}

static void add_parameter(sg_op_site *site, const char *name, sg_shape shape, sg_init init, size_t fan_in, size_t fan_out)
{
    site->parameter[site->n_parameters++] =
        (sg_op_parameter){.name = name, .shape = shape, .init = init, .fan_in = fan_in, .fan_out = fan_out};
}

static size_t integer(const sg_op_site *site, const char *name)
{
    return (size_t)site->attribute[sg_op_attribute(site->op, name)].v[0];
}

#define SHAPE(n) {n, {0}}
#define ONE(x) {1, {x}}
#define REQUIRED {0, {0}}
#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

#define X(name, parameter, formula) #name,
static const char *const activation_names[] = {SG_ACTIVATION_LIST(X) NULL};
#undef X

#define ACTIVATION_ATTRIBUTES                                                                                              \
    {"activation", SG_ATTRIBUTE_CHOICE, ONE(SG_ACTIVATION_linear), 0, 0, activation_names,                                  \
     "function applied to every element"},                                                                                 \
    {"parameter", SG_ATTRIBUTE_REAL, REQUIRED, 0, 100, NULL,                                                               \
     "slope of leaky_relu below zero (default 0.01), alpha of elu (default 1); not used by the others"}

/* The default of parameter depends on the activation. */
static void default_parameter(sg_op_site *site)
{
    sg_attribute_value *parameter = &site->attribute[sg_op_attribute(site->op, "parameter")];
    if (!parameter->n)
        *parameter = (sg_attribute_value)ONE(sg_activation_parameter((sg_activation)integer(site, "activation")));
}

/* ------------------------------------------------------------------------------------------------------------ input */
static const sg_attribute input_attributes[] = {
    {"shape", SG_ATTRIBUTE_INTS, REQUIRED, 1, SG_OP_MAX_SIZE, NULL, "shape of one row, channels last"},
};

static sg_status input_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    const sg_attribute_value *shape = &site->attribute[0];
    site->out.rank                  = shape->n;
    for (int i = 0; i < shape->n; i++)
        site->out.dim[i] = (size_t)shape->v[i];
    return SG_OK;
}

static const sg_op sg_op_entry_input = {
    .name         = "input",
    .doc          = "A part of the network's input row. Several inputs lie side by side in the row, in order of the graph.",
    .n_attributes = COUNT(input_attributes),
    .attributes   = input_attributes,
    .rule         = input_rule,
};

/* ------------------------------------------------------------------------------------------------------------ dense */
static const sg_attribute dense_attributes[] = {
    {"units", SG_ATTRIBUTE_INT, REQUIRED, 1, SG_OP_MAX_SIZE, NULL, "number of output channels"},
    ACTIVATION_ATTRIBUTES,
};

static sg_status dense_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    size_t n_in = channels(&site->in[0]), n_out = integer(site, "units"), n_positions = site->in_size[0] / n_in;
    default_parameter(site);
    site->out = with_channels(site->in[0], n_out);
    add_parameter(site, "weight", (sg_shape){2, {n_in, n_out}}, SG_INIT_WEIGHT, n_in, n_out);
    add_parameter(site, "bias", (sg_shape){1, {n_out}}, SG_INIT_ZERO, n_in, n_out);
    if (sg_activation_needs_input((sg_activation)integer(site, "activation")))
        site->saved_per_row = n_positions * n_out;
    /* The transposed weights in panels, padded to the widest panel of any instruction set (32 columns). */
    site->packed_size = sg_size_mul(sg_round_up(n_in, 32), n_out);
    site->flops       = 2.0 * (double)n_positions * (double)n_in * (double)n_out;
    return SG_OK;
}

static const sg_op sg_op_entry_dense = {
    .name         = "dense",
    .doc          = "activation(x W + b) over the channels (last dimension); weight (n_in, units), bias (units).",
    .min_inputs   = 1,
    .max_inputs   = 1,
    .n_attributes = COUNT(dense_attributes),
    .attributes   = dense_attributes,
    .flags        = SG_OP_BACKWARD_READS_INPUT | SG_OP_BACKWARD_READS_OUTPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule         = dense_rule,
};

/* ------------------------------------------------------------------------------------------------------- activation */
static const sg_attribute activation_attributes[] = {ACTIVATION_ATTRIBUTES};

static sg_status activation_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    default_parameter(site);
    site->out   = site->in[0];
    site->flops = (double)site->in_size[0];
    return SG_OK;
}

static const sg_op sg_op_entry_activation = {
    .name         = "activation",
    .doc          = "A function of every element.",
    .min_inputs   = 1,
    .max_inputs   = 1,
    .n_attributes = COUNT(activation_attributes),
    .attributes   = activation_attributes,
    .flags        = SG_OP_BACKWARD_READS_INPUT | SG_OP_BACKWARD_READS_OUTPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule         = activation_rule,
};

/* -------------------------------------------------------------------------------------------------------------- add */
static sg_status add_rule(sg_op_site *site, sg_error *error)
{
    for (int i = 1; i < site->n_inputs; i++)
        if (!same_shape(&site->in[i], &site->in[0]))
            return sg_fail(error, SG_ERR_SHAPE, "inputs", "expected the same shape for all, input 0 has %zu elements and input %d"
                           " has %zu", site->in_size[0], i, site->in_size[i]);
    site->out   = site->in[0];
    site->flops = (double)(site->n_inputs - 1) * (double)site->in_size[0];
    return SG_OK;
}

static const sg_op sg_op_entry_add = {
    .name          = "add",
    .doc           = "Sum of inputs of the same shape: residual connections.",
    .min_inputs    = 2,
    .max_inputs    = SG_OP_MAX_INPUTS,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = add_rule,
};

/* ------------------------------------------------------------------------------------------------------ concatenate */
static sg_status concatenate_rule(sg_op_site *site, sg_error *error)
{
    size_t n = 0;
    for (int i = 0; i < site->n_inputs; i++) {
        sg_shape like = with_channels(site->in[i], site->in[i].rank == site->in[0].rank ? channels(&site->in[0]) : 1);
        if (!same_shape(&like, &site->in[0]))
            return sg_fail(error, SG_ERR_SHAPE, "inputs", "expected shapes that agree in all but the last dimension, input %d"
                           " does not agree with input 0", i);
        n += channels(&site->in[i]);
    }
    site->out = with_channels(site->in[0], n);
    return SG_OK;
}

static const sg_op sg_op_entry_concatenate = {
    .name          = "concatenate",
    .doc           = "Inputs side by side along the channels (last dimension).",
    .min_inputs    = 2,
    .max_inputs    = SG_OP_MAX_INPUTS,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = concatenate_rule,
};

/* ------------------------------------------------------------------------------------------------------------ slice */
static const sg_attribute slice_attributes[] = {
    {"start", SG_ATTRIBUTE_INT, ONE(0), 0, SG_OP_MAX_SIZE, NULL, "first channel"},
    {"stop", SG_ATTRIBUTE_INT, REQUIRED, 1, SG_OP_MAX_SIZE, NULL, "one past the last channel"},
};

static sg_status slice_rule(sg_op_site *site, sg_error *error)
{
    size_t start = integer(site, "start"), stop = integer(site, "stop"), n = channels(&site->in[0]);
    if (start >= stop || stop > n)
        return sg_fail(error, SG_ERR_VALUE, "stop", "expected start < stop <= %zu channels, got start %zu and stop %zu", n,
                       start, stop);
    site->out = with_channels(site->in[0], stop - start);
    return SG_OK;
}

static const sg_op sg_op_entry_slice = {
    .name          = "slice",
    .doc           = "Channels start .. stop-1 (last dimension).",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = COUNT(slice_attributes),
    .attributes    = slice_attributes,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = slice_rule,
};

/* ----------------------------------------------------------------------------------------------------------- affine */
static sg_status affine_rule(sg_op_site *site, sg_error *error)
{
    (void)error;
    size_t n = channels(&site->in[0]);
    add_parameter(site, "scale", (sg_shape){1, {n}}, SG_INIT_ONE, n, n);
    add_parameter(site, "shift", (sg_shape){1, {n}}, SG_INIT_ZERO, n, n);
    site->out   = site->in[0];
    site->flops = 2.0 * (double)site->in_size[0];
    return SG_OK;
}

static const sg_op sg_op_entry_affine = {
    .name          = "affine",
    .doc           = "x * scale + shift per channel (last dimension); scale (channels), shift (channels).",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .flags         = SG_OP_BACKWARD_READS_INPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = affine_rule,
};

/* ----------------------------------------------------------------------------------------------------------- lookup */
static const sg_op *const table[SG_OP_COUNT] = {
#define X(name) &sg_op_entry_##name,
    SG_OP_LIST(X)
#undef X
};

#define X(name)                                                \
    SG_ISA_DECLARE(sg_op_kernel, sg_op_kernel_##name##_f32);   \
    SG_ISA_DECLARE(sg_op_kernel, sg_op_kernel_##name##_f64);
SG_OP_KERNEL_LIST(X)
#undef X

const sg_op *sg_op_get(sg_op_id id) { return table[id]; }

const sg_op *sg_op_find(const char *name, sg_op_id *id)
{
    for (int i = 0; i < SG_OP_COUNT; i++)
        if (strcmp(table[i]->name, name) == 0) {
            if (id)
                *id = (sg_op_id)i;
            return table[i];
        }
    return NULL;
}

const sg_op_kernel *sg_op_kernels(sg_op_id id, int bits, sg_isa isa)
{
    switch (id) {
#define X(name)                                                              \
    case SG_OP_##name:                                                       \
        return bits == 32 ? SG_ISA_PICK(sg_op_kernel_##name##_f32, isa)      \
                          : SG_ISA_PICK(sg_op_kernel_##name##_f64, isa);
        SG_OP_KERNEL_LIST(X)
#undef X
    case SG_OP_input:
    case SG_OP_COUNT: break;
    }
    return NULL;
}

int sg_op_attribute(const sg_op *op, const char *name)
{
    for (int i = 0; i < op->n_attributes; i++)
        if (strcmp(op->attributes[i].name, name) == 0)
            return i;
    return -1;
}

sg_status sg_attribute_check(const sg_attribute *attribute, sg_attribute_value *value, sg_error *error)
{
    if (!value->n) {
        *value = attribute->standard;
        /* A default of n = 0 may still be filled by the rule (parameter): only integers and lists have none. */
        if (!value->n && attribute->type != SG_ATTRIBUTE_REAL)
            return sg_fail(error, SG_ERR_VALUE, attribute->name, "must be given");
        return SG_OK;
    }
    double low = attribute->low, high = attribute->high;
    if (attribute->type == SG_ATTRIBUTE_CHOICE)
        for (low = 0, high = -1; attribute->choices[(int)high + 1]; high++)
            continue;
    for (int i = 0; i < value->n; i++) {
        double v = value->v[i];
        if (!(v >= low && v <= high) || (attribute->type != SG_ATTRIBUTE_REAL && v != floor(v)))
            return sg_fail(error, SG_ERR_VALUE, attribute->name, "expected %s in [%g, %g], got %g",
                           attribute->type == SG_ATTRIBUTE_REAL ? "a number" : "an integer", low, high, v);
    }
    if (attribute->type != SG_ATTRIBUTE_INTS && value->n != 1)
        return sg_fail(error, SG_ERR_VALUE, attribute->name, "expected one value, got %d", value->n);
    return SG_OK;
}

static sg_status resolve(sg_op_site *site, sg_error *error)
{
    const sg_op *op = site->op;
    if (site->n_inputs < op->min_inputs || site->n_inputs > op->max_inputs)
        return sg_fail(error, SG_ERR_VALUE, "inputs", "expected %d to %d, got %d", op->min_inputs, op->max_inputs, site->n_inputs);
    for (int i = 0; i < op->n_attributes; i++)
        SG_TRY(sg_attribute_check(&op->attributes[i], &site->attribute[i], error));
    for (int i = 0; i < site->n_inputs; i++)
        site->in_size[i] = sg_shape_size(&site->in[i]);
    SG_TRY(op->rule(site, error));
    site->out_size = sg_shape_size(&site->out);
    if (site->out_size > SG_OP_MAX_SIZE)
        return sg_fail(error, SG_ERR_SHAPE, "output", "more than %d elements per row", SG_OP_MAX_SIZE);
    for (int i = 0; i < site->n_parameters; i++) {
        size_t size = sg_shape_size(&site->parameter[i].shape);
        if (size > SG_OP_MAX_SIZE)
            return sg_fail(error, SG_ERR_SHAPE, site->parameter[i].name, "more than %d elements", SG_OP_MAX_SIZE);
        site->parameter[i].offset = site->parameter_size;
        site->parameter_size += size;
    }
    return SG_OK;
}

sg_status sg_op_resolve(sg_op_site *site, const char *where, sg_error *error)
{
    sg_error  inner  = {0};
    sg_status status = resolve(site, &inner);
    if (status != SG_OK)
        return sg_fail(error, status, where, "%s", inner.message);
    return SG_OK;
}
