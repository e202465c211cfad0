/* SPDX-License-Identifier: BSD-3-Clause */
/* The operator table: everything the workshop knows about a layer. Python's layer classes, the docs, the schema of files, the
 * gradient checks and the summary are all driven from it.
 *
 * To add an operator NAME:
 *   1. a line X(NAME) in SG_OP_KERNEL_LIST below and its entry sg_op_entry_NAME in ops.c (text, attributes, rule),
 *   2. a kernel file op_NAME.hot.c that exports `const sg_op_kernel SG_HOT(sg_op_kernel_NAME)`.
 * Nothing else: the tests find it here and check its gradients with random shapes.
 *
 * Data is row-local: a value of the graph holds one array per row (sample) of the shape given by the operator's rule, channels
 * last, rows contiguous: (n_rows, size). Kernels see a chunk of rows that stays in cache. Parameters of a node lie one after the
 * other in the flat parameter vector of the network. */
#ifndef SG_NN_OPS_H
#define SG_NN_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/error.h"

/* input has no kernel: the graph copies it out of the caller's rows. */
#define SG_OP_LIST(X) X(input) SG_OP_KERNEL_LIST(X)
#define SG_OP_KERNEL_LIST(X) \
    X(dense)                 \
    X(activation)            \
    X(add)                   \
    X(concatenate)           \
    X(slice)                 \
    X(affine)

typedef enum sg_op_id {
#define X(name) SG_OP_##name,
    SG_OP_LIST(X)
#undef X
    SG_OP_COUNT
} sg_op_id;

enum {
    SG_MAX_RANK          = 5,  /* of a value's shape per row, and of a parameter (3-D convolution weights) */
    SG_OP_MAX_INPUTS     = 8,
    SG_OP_MAX_PARAMETERS = 6,
    SG_OP_MAX_ATTRIBUTES = 12,
    SG_OP_MAX_SIZE       = 1 << 28  /* elements of one value per row, and of one parameter */
};

typedef struct sg_shape {
    int    rank;              /* 0: not known */
    size_t dim[SG_MAX_RANK];
} sg_shape;

size_t sg_shape_size(const sg_shape *shape); /* number of elements; SIZE_MAX on overflow */

/* ------------------------------------------------------------------------------------------------------- attributes */
typedef enum sg_attribute_type {
    SG_ATTRIBUTE_INT,     /* one integer                                       */
    SG_ATTRIBUTE_REAL,    /* one real number                                   */
    SG_ATTRIBUTE_CHOICE,  /* one of a list of names, stored as its index       */
    SG_ATTRIBUTE_INTS     /* 1 to SG_MAX_RANK integers (shapes, strides)       */
} sg_attribute_type;

typedef struct sg_attribute_value {
    int    n;               /* how many numbers; 0: not given */
    double v[SG_MAX_RANK];  /* integers are exact in a double */
} sg_attribute_value;

typedef struct sg_attribute {
    const char        *name;
    sg_attribute_type  type;
    sg_attribute_value standard;            /* default value; n = 0: must be given */
    double             low, high;           /* allowed range of each number, both ends included */
    const char *const *choices;             /* NULL-terminated names, for SG_ATTRIBUTE_CHOICE */
    const char        *doc;
} sg_attribute;

/* Checks a value against its attribute and fills in the default. */
sg_status sg_attribute_check(const sg_attribute *attribute, sg_attribute_value *value, sg_error *error);

/* ------------------------------------------------------------------------------------- an operator placed in a graph */
typedef enum sg_init {
    SG_INIT_WEIGHT,  /* drawn with the initialiser of the network (Glorot, He, LeCun) */
    SG_INIT_ZERO,
    SG_INIT_ONE
} sg_init;

typedef struct sg_op_parameter {
    const char *name;
    sg_shape    shape;
    sg_init     init;
    size_t      fan_in, fan_out;  /* for SG_INIT_WEIGHT */
    size_t      offset;           /* in elements from the first parameter of the node */
} sg_op_parameter;

/* The rule of an operator reads op, n_inputs, in and attribute, and fills the rest. */
typedef struct sg_op_site {
    const struct sg_op *op;
    int                 n_inputs;
    sg_shape            in[SG_OP_MAX_INPUTS];
    size_t              in_size[SG_OP_MAX_INPUTS];  /* elements per row */
    sg_attribute_value  attribute[SG_OP_MAX_ATTRIBUTES];

    sg_shape        out;
    size_t          out_size;
    int             n_parameters;
    sg_op_parameter parameter[SG_OP_MAX_PARAMETERS];
    size_t          parameter_size;    /* elements of all parameters of this node */
    size_t          saved_per_row;     /* elements kept from forward to backward beside inputs and output */
    size_t          scratch_per_row;   /* elements of scratch for the rows of one call                    */
    size_t          packed_size;       /* elements of parameters rearranged for backward (prepare)        */
    double          flops;             /* of the forward pass, per row; a fused multiply-add counts 2     */
} sg_op_site;

/* What a kernel gets. Pointers are to float or double, as the kernel's precision is. */
typedef struct sg_op_call {
    const sg_op_site *site;
    size_t            n_rows;
    const void       *in[SG_OP_MAX_INPUTS];    /* (n_rows, in_size[i])                                           */
    void             *out;                     /* (n_rows, out_size); in backward the result of forward          */
    const void       *parameters;              /* (parameter_size)                                               */
    void             *packed;                  /* (packed_size), written by prepare, read by the others          */
    void             *saved;                   /* (n_rows, saved_per_row), written by forward, NULL in inference */
    void             *scratch;                 /* (n_rows, scratch_per_row)                                      */
    /* backward only */
    void *d_out;                               /* (n_rows, out_size) gradient of the loss; may be overwritten    */
    void *d_in[SG_OP_MAX_INPUTS];              /* (n_rows, in_size[i]); NULL: not wanted                         */
    int   add_in[SG_OP_MAX_INPUTS];            /* add to d_in[i] instead of overwriting it                       */
    void *d_parameters;                        /* (parameter_size)                                               */
    int   add_parameters;                      /* add to d_parameters instead of overwriting it                  */
} sg_op_call;

typedef struct sg_op_kernel {
    void (*prepare)(const sg_op_call *call);   /* fills packed from parameters; NULL: nothing to do */
    void (*forward)(const sg_op_call *call);
    void (*backward)(const sg_op_call *call);
} sg_op_kernel;

enum {
    SG_OP_BACKWARD_READS_INPUT  = 1,  /* the plan keeps the inputs until backward */
    SG_OP_BACKWARD_READS_OUTPUT = 2   /* the plan keeps the output until backward */
};

/* One line of the table. */
typedef struct sg_op {
    const char         *name;
    const char         *doc;
    int                 min_inputs, max_inputs;
    int                 n_attributes;
    const sg_attribute *attributes;
    int                 flags;
    /* Largest relative error of a gradient check allowed in double and float: |numeric - analytic| over the largest |analytic| of
     * the array. Both come from the size of a central difference's error, see tests/nn/test_ops.py. */
    double              tolerance_f64, tolerance_f32;
    sg_status         (*rule)(sg_op_site *site, sg_error *error);
} sg_op;

const sg_op *sg_op_get(sg_op_id id);
const sg_op *sg_op_find(const char *name, sg_op_id *id);  /* NULL if there is none; id may be NULL */

/* The kernels of an operator for a precision (32 or 64 bits) and an instruction set; NULL for input. */
const sg_op_kernel *sg_op_kernels(sg_op_id id, int bits, sg_isa isa);

/* Index of an attribute of op by name, -1 if there is none. */
int sg_op_attribute(const sg_op *op, const char *name);

/* Checks attributes against the table, fills in defaults, runs the rule and computes sizes and offsets.
 * site->op, n_inputs, in and attribute are set by the caller. where names the node in messages, as in "node 3 (dense)". */
sg_status sg_op_resolve(sg_op_site *site, const char *where, sg_error *error);

#endif
