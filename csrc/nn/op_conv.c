/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_conv.h"

#include "nn/op_entry.h"

static const char *const padding_names[] = {"same", "valid", "periodic", "replicate", NULL};

enum { UNITS, KERNEL, STRIDE, PADDING, DILATION, GROUPS }; /* attributes, in the order of the table */

static const sg_attribute conv_attributes[] = {
    {"units", SG_ATTRIBUTE_INT, SG_OP_REQUIRED, 1, SG_OP_MAX_SIZE, NULL, "number of output channels"},
    {"kernel", SG_ATTRIBUTE_INTS, SG_OP_REQUIRED, 1, SG_CONV_MAX_STEP, NULL,
     "positions of the kernel, for all dimensions or for each"},
    {"stride", SG_ATTRIBUTE_INTS, SG_OP_ONE(1), 1, SG_CONV_MAX_STRIDE, NULL,
     "positions from one output to the next, for all dimensions or for each"},
    {"padding", SG_ATTRIBUTE_CHOICE, SG_OP_ONE(SG_PADDING_SAME), 0, 0, padding_names,
     "what is outside the field: same: zeros; periodic: the field again; replicate: the nearest value; "
     "valid: nothing, only outputs that see the field alone. Except for valid there are ceil(n / stride) "
     "outputs, and the kernel reaches as far before as beyond the field (one more beyond if the number is "
     "odd)"},
    {"dilation", SG_ATTRIBUTE_INTS, SG_OP_ONE(1), 1, SG_CONV_MAX_STEP, NULL,
     "distance of kernel positions, for all dimensions or for each"},
    {"groups", SG_ATTRIBUTE_INT, SG_OP_ONE(1), 1, SG_OP_MAX_SIZE, NULL,
     "parts of the channels that are convolved by themselves; a divisor of input and output channels"},
    SG_OP_ACTIVATION_ATTRIBUTES,
};

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* Value of a list of integers for dimension i of rank. */
static size_t of_dim(const sg_attribute_value *value, int i)
{
    return (size_t)value->v[value->n == 1 ? 0 : i];
}

/* ------------------------------------------------------------------------------------------------ sizes */
sg_conv_dim sg_conv_dim_of(size_t in, size_t kernel, size_t stride, size_t dilation, int valid)
{
    sg_conv_dim d = {.in       = in,
                     .kernel   = kernel,
                     .stride   = stride,
                     .dilation = dilation,
                     .extent   = (kernel - 1) * dilation + 1};
    if (valid) {
        d.out = in < d.extent ? 0 : (in - d.extent) / stride + 1;
        return d;
    }
    d.out                = (in + stride - 1) / stride;
    const size_t reached = (d.out - 1) * stride + d.extent;
    if (reached > in) {
        d.before = (reached - in) / 2;
        d.after  = reached - in - d.before;
    }
    return d;
}

sg_conv sg_conv_of(const sg_op_site *site)
{
    const sg_attribute_value *a    = site->attribute;
    const int                 rank = site->in[0].rank - 1;
    sg_conv                   conv = {
        .n_channels = sg_op_channels(&site->in[0]),
        .n_units    = (size_t)a[UNITS].v[0],
        .groups     = (size_t)a[GROUPS].v[0],
        .padding    = (sg_padding)a[PADDING].v[0],
        .activation = (sg_activation)a[GROUPS + 1].v[0],
        .parameter  = a[GROUPS + 2].v[0],
    };
    for (int i = 0; i < 3; i++) {
        const int from = i - (3 - rank);
        conv.dim[i]    = from < 0 ? sg_conv_dim_of(1, 1, 1, 1, 1)
                                  : sg_conv_dim_of(site->in[0].dim[from], of_dim(&a[KERNEL], from),
                                                   of_dim(&a[STRIDE], from), of_dim(&a[DILATION], from),
                                                   conv.padding == SG_PADDING_VALID);
    }
    conv.group_channels = conv.n_channels / conv.groups;
    conv.group_units    = conv.n_units / conv.groups;
    return conv;
}

/* Largest count of outputs of a dimension whose positions fit, in equal parts. */
static size_t pick(size_t n, size_t stride, size_t extent, size_t positions)
{
    const size_t fit    = positions < extent ? 1 : smaller((positions - extent) / stride + 1, n);
    const size_t blocks = (n + fit - 1) / fit;
    return (n + blocks - 1) / blocks;
}

sg_conv_block sg_conv_pick_block(const size_t n[3], const size_t stride[3], const size_t extent[3],
                                 size_t n_channels)
{
    sg_conv_block b;
    size_t        count[3] = {extent[0], extent[1], extent[2]};
    for (int i = 2; i >= 0; i--) {
        size_t others = n_channels;
        for (int j = 0; j < 3; j++)
            others = j == i ? others : others * count[j];
        b.n[i]   = pick(n[i], stride[i], extent[i], SG_CONV_BLOCK / others);
        count[i] = (b.n[i] - 1) * stride[i] + extent[i];
    }
    b.plane = count[1] * count[2];
    b.size  = count[0] * b.plane;
    return b;
}

static size_t common_divisor(size_t a, size_t b)
{
    while (b) {
        size_t rest = a % b;
        a = b, b = rest;
    }
    return a;
}

sg_conv_phase sg_conv_phase_of(const sg_conv_dim *dim, size_t phase, ptrdiff_t low, ptrdiff_t high)
{
    const ptrdiff_t s = (ptrdiff_t)dim->stride, before = (ptrdiff_t)dim->before;
    sg_conv_phase   p = {.kernel_step = dim->stride / common_divisor(dim->stride, dim->dilation)};
    /* The first input of the range with (first + before) mod stride = phase; first + before is never
     * negative. */
    p.first = low + (ptrdiff_t)((phase + dim->stride - (size_t)(low + before) % dim->stride) % dim->stride);
    p.n     = p.first < high ? (size_t)((high - p.first + s - 1) / s) : 0;
    p.step  = dim->dilation * p.kernel_step / dim->stride;
    for (size_t k = 0; k < dim->kernel && k < p.kernel_step; k++)
        if (k * dim->dilation % dim->stride == phase) {
            p.n_taps = (dim->kernel - k + p.kernel_step - 1) / p.kernel_step;
            p.last   = k + (p.n_taps - 1) * p.kernel_step;
            p.start  = (p.first + before - (ptrdiff_t)(p.last * dim->dilation)) / s;
        }
    return p;
}

int sg_conv_must_fold(const sg_conv *conv)
{
    if (conv->padding == SG_PADDING_REPLICATE)
        return 1;
    /* A periodic field of outputs repeats itself where its outputs stand for as many inputs. */
    int fold = 0;
    for (int i = 0; i < 3; i++)
        fold |= conv->padding == SG_PADDING_PERIODIC && conv->dim[i].stride > 1;
    return fold;
}

/* What one correlation needs. */
static void include(sg_conv_scratch *s, const size_t n[3], const size_t stride[3], const size_t extent[3],
                    size_t n_channels, size_t n_units)
{
    const sg_conv_block block = sg_conv_pick_block(n, stride, extent, n_channels);
    s->copy                   = larger(s->copy, sg_conv_channel_step(block.size) * n_channels);
    s->narrow = larger(s->narrow, sg_round_up(block.plane * smaller(n_units, SG_CONV_NARROW), 16));
}

sg_conv_scratch sg_conv_scratch_of(const sg_conv *conv)
{
    const sg_conv_dim *dim       = conv->dim;
    const size_t       out[3]    = {dim[0].out, dim[1].out, dim[2].out},
                       stride[3] = {dim[0].stride, dim[1].stride, dim[2].stride};
    const size_t       extent[3] = {dim[0].extent, dim[1].extent, dim[2].extent}, one[3] = {1, 1, 1};
    const int          folded = sg_conv_must_fold(conv);
    sg_conv_scratch    s      = {0};
    include(&s, out, stride, extent, conv->n_channels, conv->group_units);
    /* A gradient of the weights with rows and columns in each other's place. */
    s.narrow = larger(s.narrow, sg_round_up(smaller(conv->group_units, 2 * SG_CONV_NARROW) * dim[2].kernel *
                                                conv->group_channels,
                                            16));
    for (size_t i = 0; i < stride[0] * stride[1] * stride[2]; i++) {
        const size_t phase[3] = {i / (stride[1] * stride[2]), i / stride[2] % stride[1], i % stride[2]};
        size_t       n[3], reach[3];
        for (int j = 0; j < 3; j++) {
            const sg_conv_phase p = sg_conv_phase_of(&dim[j], phase[j],
                                                     folded ? -(ptrdiff_t)dim[j].before : 0,
                                                     (ptrdiff_t)(dim[j].in + (folded ? dim[j].after : 0)));
            n[j]                  = p.n;
            reach[j]              = p.n_taps ? (p.n_taps - 1) * p.step + 1 : 1;
        }
        if (n[0] && n[1] && n[2])
            include(&s, n, one, reach, conv->n_units, conv->group_channels);
    }
    if (folded) {
        s.padded = conv->n_channels;
        for (int i = 0; i < 3; i++)
            s.padded *= dim[i].before + dim[i].in + dim[i].after;
    }
    return s;
}

/* ------------------------------------------------------------------------------------------------ entry */
static sg_status check(const sg_op_site *site, sg_error *error)
{
    const int rank = site->in[0].rank - 1;
    if (rank < 1 || rank > 3)
        return sg_fail(error, SG_ERR_SHAPE, "inputs",
                       "expected a field of 1 to 3 dimensions with channels last, got rank %d",
                       site->in[0].rank);
    for (int i = KERNEL; i <= DILATION; i++)
        if (i != PADDING && site->attribute[i].n != 1 && site->attribute[i].n != rank)
            return sg_fail(error, SG_ERR_VALUE, conv_attributes[i].name,
                           "expected 1 or %d numbers for a field of %d dimensions, got %d", rank, rank,
                           site->attribute[i].n);
    const size_t channels = sg_op_channels(&site->in[0]), units = sg_op_integer(site, "units"),
                 groups = sg_op_integer(site, "groups");
    if (channels % groups || units % groups)
        return sg_fail(error, SG_ERR_VALUE, "groups",
                       "expected a divisor of %zu channels and %zu units, got %zu", channels, units, groups);
    return SG_OK;
}

static sg_status conv_rule(sg_op_site *site, sg_error *error)
{
    SG_TRY(check(site, error));
    sg_op_default_parameter(site);
    const sg_conv conv   = sg_conv_of(site);
    const int     rank   = site->in[0].rank - 1;
    sg_shape      weight = {rank + 2, {0}};
    size_t        window = 1, reach = larger(conv.n_channels, conv.n_units);
    site->out = sg_op_with_channels(site->in[0], conv.n_units);
    for (int i = 0; i < rank; i++) {
        const sg_conv_dim *dim = &conv.dim[i + 3 - rank];
        if (!dim->out)
            return sg_fail(error, SG_ERR_VALUE, "kernel",
                           "reaches over %zu positions of dimension %d, which has %zu; use another padding"
                           " than valid or a smaller kernel",
                           dim->extent, i, dim->in);
        site->out.dim[i] = dim->out;
        weight.dim[i]    = dim->kernel;
        window           = sg_size_mul(window, dim->kernel);
        reach            = sg_size_mul(reach, dim->extent);
    }
    if (reach > SG_OP_MAX_SIZE)
        return sg_fail(error, SG_ERR_SHAPE, "kernel", "one output reaches over more than %d elements",
                       SG_OP_MAX_SIZE);
    weight.dim[rank]     = conv.group_channels;
    weight.dim[rank + 1] = conv.n_units;
    const size_t fan_in  = sg_size_mul(window, conv.group_channels),
                 weights = sg_size_mul(fan_in, conv.n_units);
    if (weights > SG_OP_MAX_SIZE || sg_shape_size(&site->out) > SG_OP_MAX_SIZE)
        return sg_fail(error, SG_ERR_SHAPE, weights > SG_OP_MAX_SIZE ? "weight" : "output",
                       "more than %d elements", SG_OP_MAX_SIZE);
    sg_op_add_parameter(site, "weight", weight, SG_INIT_WEIGHT, fan_in,
                        sg_size_mul(window, conv.group_units));
    sg_op_add_parameter(site, "bias", (sg_shape){1, {conv.n_units}}, SG_INIT_ZERO, fan_in, conv.n_units);
    const sg_conv_scratch scratch = sg_conv_scratch_of(&conv);
    site->scratch_fixed           = scratch.copy + scratch.narrow + scratch.padded;
    if (sg_activation_needs_input(conv.activation))
        site->saved_per_row = sg_shape_size(&site->out);
    site->packed_size = weights; /* in the order of the gradient along the input */
    site->flops       = 2.0 * (double)sg_shape_size(&site->out) * (double)fan_in;
    return SG_OK;
}

static void set_each(sg_op_site *site, int attribute, sg_op_draw *draw, int rank, size_t low, size_t high)
{
    site->attribute[attribute].n = sg_op_draw_integer(draw, 0, 1) ? rank : 1;
    for (int i = 0; i < site->attribute[attribute].n; i++)
        site->attribute[attribute].v[i] = (double)sg_op_draw_integer(draw, low, high);
}

/* Lanes along units and along the field, both ways to sum over positions, strides that do and do not divide
 * the field, groups. */
static void conv_example(sg_op_draw *draw, sg_op_site *site)
{
    static const size_t units[] = {1, 2, 3, 5, 17}, channels[] = {1, 2, 3, 5, 9};
    const int           rank   = (int)sg_op_draw_integer(draw, 1, 3);
    const size_t        groups = sg_op_draw_integer(draw, 0, 3) ? 1 : sg_op_draw_integer(draw, 2, 3);
    sg_shape            shape  = {rank + 1, {0}};
    for (int i = 0; i < rank; i++)
        shape.dim[i] = rank == 1 ? sg_op_draw_integer(draw, 5, 19)
                                 : sg_op_draw_integer(draw, 3, rank == 2 ? 6 : 4);
    shape.dim[rank] = channels[sg_op_draw_integer(draw, 0, rank == 3 ? 2 : 4)] * groups;
    sg_op_set_input(site, 0, shape);
    sg_op_set(site, "units", (double)(units[sg_op_draw_integer(draw, 0, groups > 1 ? 2 : 4)] * groups));
    sg_op_set(site, "padding", (double)sg_op_draw_integer(draw, 0, 3));
    sg_op_set(site, "groups", (double)groups);
    sg_op_set(site, "activation",
              (double)(sg_op_draw_integer(draw, 0, 2) ? SG_ACTIVATION_swish : SG_ACTIVATION_tanh));
    set_each(site, KERNEL, draw, rank, 1, rank == 1 ? 5 : 3);
    set_each(site, STRIDE, draw, rank, 1, sg_op_draw_integer(draw, 0, 1) ? 1 : 3);
    set_each(site, DILATION, draw, rank, 1,
             sg_op_draw_integer(draw, 0, 2) || (rank > 1 && shape.dim[0] < 5) ? 1 : 2);
}

const sg_op sg_op_entry_conv = {
    .name = "conv",
    .doc = "activation(convolution + bias) of a field with one, two or three dimensions before its channels; "
           "weight (kernel ..., channels / groups, units), bias (units). The kernel is not mirrored.",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(conv_attributes),
    .attributes    = conv_attributes,
    .flags         = SG_OP_BACKWARD_READS_INPUT | SG_OP_BACKWARD_READS_OUTPUT,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = conv_rule,
    .example       = conv_example,
};
