/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/ops.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "nn/op_entry.h"

size_t sg_shape_size(const sg_shape *shape)
{
    size_t size = 1;
    for (int i = 0; i < shape->rank; i++)
        size = sg_size_mul(size, shape->dim[i]);
    return size;
}

/* ------------------------------------------------------------------------------------------------- parts of entries */
#define X(name, parameter, formula) #name,
const char *const sg_op_activation_names[] = {SG_ACTIVATION_LIST(X) NULL};
#undef X

int sg_shape_same(const sg_shape *a, const sg_shape *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]) == 0;
}

size_t sg_op_channels(const sg_shape *shape) { return shape->dim[shape->rank - 1]; }

sg_shape sg_op_with_channels(sg_shape shape, size_t n)
{
    shape.dim[shape.rank - 1] = n;
    return shape;
}

size_t sg_op_integer(const sg_op_site *site, const char *name)
{
    return (size_t)site->attribute[sg_op_attribute(site->op, name)].v[0];
}

int sg_op_is_one_channel(const sg_shape *one, const sg_shape *all)
{
    const sg_shape column = sg_op_with_channels(*all, 1), none = {all->rank - 1, {all->dim[0], all->dim[1], all->dim[2], all->dim[3]}};
    return sg_shape_same(one, &column) || (none.rank > 0 && sg_shape_same(one, &none));
}

sg_status sg_op_check_set(const sg_op_site *site, int items, int mask, sg_error *error)
{
    if (site->in[items].rank != 2)
        return sg_fail(error, SG_ERR_SHAPE, "inputs", "expected a set (n_items, channels) as input %d, got %d dimensions", items,
                       site->in[items].rank);
    if (mask < site->n_inputs && (site->in[mask].rank != 1 || site->in[mask].dim[0] != site->in[items].dim[0]))
        return sg_fail(error, SG_ERR_SHAPE, "inputs", "expected a mask (n_items = %zu) as input %d, got %d dimensions and %zu elements",
                       site->in[items].dim[0], mask, site->in[mask].rank, site->in_size[mask]);
    return SG_OK;
}

void sg_op_default_parameter(sg_op_site *site)
{
    sg_attribute_value *parameter = &site->attribute[sg_op_attribute(site->op, "parameter")];
    if (!parameter->n)
        *parameter = (sg_attribute_value)SG_OP_ONE(sg_activation_parameter((sg_activation)sg_op_integer(site, "activation")));
}

void sg_op_add_parameter(sg_op_site *site, const char *name, sg_shape shape, sg_init init, size_t fan_in, size_t fan_out)
{
    site->parameter[site->n_parameters++] =
        (sg_op_parameter){.name = name, .shape = shape, .init = init, .fan_in = fan_in, .fan_out = fan_out};
}

void sg_op_add_constant(sg_op_site *site, const char *name, sg_shape shape, sg_init init)
{
    site->parameter[site->n_parameters++] =
        (sg_op_parameter){.name = name, .shape = shape, .init = init, .kind = SG_PARAMETER_CONSTANT};
}

void sg_op_add_statistic(sg_op_site *site, const char *name, sg_shape shape, sg_init init, double momentum)
{
    site->parameter[site->n_parameters++] =
        (sg_op_parameter){.name = name, .shape = shape, .init = init, .kind = SG_PARAMETER_STATISTIC, .momentum = momentum};
}

void sg_op_set(sg_op_site *site, const char *name, double value)
{
    site->attribute[sg_op_attribute(site->op, name)] = (sg_attribute_value)SG_OP_ONE(value);
}

void sg_op_set_input(sg_op_site *site, int input, sg_shape shape)
{
    site->in[input] = shape;
    if (site->n_inputs <= input)
        site->n_inputs = input + 1;
}

/* SplitMix64 (Steele, Lea & Flood 2014, doi:10.1145/2714064.2660195). */
size_t sg_op_draw_integer(sg_op_draw *draw, size_t low, size_t high)
{
    uint64_t z = draw->state += 0x9e3779b97f4a7c15u;
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return low + (size_t)((z ^ (z >> 31)) % (high - low + 1));
}

size_t sg_op_draw_size(sg_op_draw *draw)
{
    static const size_t sizes[] = {1, 2, 3, 5, 7, 17, 33};
    return sizes[sg_op_draw_integer(draw, 0, SG_OP_COUNT_OF(sizes) - 1)];
}

/* ----------------------------------------------------------------------------------------------------------- lookup */
#define X(name) extern const sg_op sg_op_entry_##name;
SG_OP_LIST(X)
#undef X

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
            return sg_fail(error, SG_ERR_VALUE, attribute->name, "expected %s in [%.10g, %.10g], got %.10g",
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
