/* SPDX-License-Identifier: BSD-3-Clause */
/* The operator table: everything the workshop knows about a layer. Python's layer classes, the docs, the schema of files, the
 * gradient checks and the summary are all driven from it.
 *
 * To add an operator NAME (docs/adding-an-operator.md does one):
 *   1. its entry op_NAME.c: `const sg_op sg_op_entry_NAME` (text, attributes, rule; op_entry.h has the parts),
 *   2. its kernels op_NAME.hot.c: `const sg_op_kernel SG_HOT(sg_op_kernel_NAME)`,
 *   3. a line X(NAME) in SG_OP_KERNEL_LIST below.
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
    X(affine)                \
    X(permute)               \
    X(pad)                   \
    X(layer_norm)            \
    X(batch_norm)            \
    X(dropout)               \
    X(lstm)                  \
    X(gru)                   \
    X(conv)                  \
    X(max_pool)              \
    X(average_pool)          \
    X(global_pool)           \
    X(upsample)              \
    X(softmax)               \
    X(reshape)               \
    X(multiply)              \
    X(positive)              \
    X(bound)                 \
    X(simplex)               \
    X(conserve)              \
    X(set_pool)              \
    X(mixture_density)       \
    X(attention)             \
    X(attention_pool)        \
    X(gaussian_sample)       \
    X(affine_coupling)       \
    X(spline_coupling)       \
    X(shuffle)

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

typedef enum sg_parameter_kind {
    SG_PARAMETER_TRAINED,
    SG_PARAMETER_CONSTANT,  /* given by the user, kept as it is: coefficients of a constraint                              */
    SG_PARAMETER_STATISTIC  /* running mean of an observation: backward in training writes that of the batch into its place */
                            /* of d_parameters, and the trainer does p += momentum * (observation - p)                      */
} sg_parameter_kind;

typedef struct sg_op_parameter {
    const char       *name;
    sg_shape          shape;
    sg_init           init;
    size_t            fan_in, fan_out;  /* for SG_INIT_WEIGHT */
    sg_parameter_kind kind;
    double            momentum;         /* of a statistic, (0, 1] */
    size_t            offset;           /* in elements from the first parameter of the node */
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
    size_t          scratch_fixed;     /* elements of scratch of one call, however many rows it has       */
    size_t          packed_size;       /* elements of parameters rearranged by prepare for training and adjoints */
    size_t          infer_packed_size; /* the same for inference and tangents                             */
    double          flops;             /* of the forward pass, per row; a fused multiply-add counts 2     */
} sg_op_site;

/* What a plan is for. */
typedef enum sg_plan_mode {
    SG_PLAN_INFER,        /* forward; values share memory as soon as they are used up                     */
    SG_PLAN_TRAIN,        /* forward and backward: gradients of parameters                                */
    SG_PLAN_TRAIN_INPUT,  /* the same, and the gradient of the input rows                                 */
    SG_PLAN_ADJOINT,      /* forward and backward: gradient of the input rows alone                       */
    SG_PLAN_TANGENT       /* forward, and derivatives along a direction of the input rows                 */
} sg_plan_mode;

/* Where random operators find their numbers: they draw with Philox counters made of these and of the row and element, so that the
 * numbers do not depend on chunks or threads. */
typedef struct sg_op_random {
    uint64_t seed;       /* of the training                                      */
    uint64_t step;       /* number of the training step                          */
    uint64_t first_row;  /* number in the batch of the first row of this call    */
    uint32_t node;       /* number of the node in the graph; set by the plan     */
} sg_op_random;

/* What a kernel gets. Pointers are to float or double, as the kernel's precision is. */
typedef struct sg_op_call {
    const sg_op_site *site;
    sg_plan_mode      mode;
    int               training;  /* 1: dropout is on, statistics are those of the batch; 0 in inference, adjoints, tangents */
    sg_op_random      random;    /* in training */
    size_t            n_rows;
    const void       *in[SG_OP_MAX_INPUTS];    /* (n_rows, in_size[i])                                           */
    void             *out;                     /* (n_rows, out_size); in backward the result of forward          */
    const void       *parameters;              /* (parameter_size)                                               */
    void             *packed;                  /* (packed_size), written by prepare, read by the others          */
    void             *saved;                   /* (n_rows, saved_per_row), written by forward, NULL in inference */
    void             *scratch;                 /* (n_rows * scratch_per_row + scratch_fixed), of this call       */
    /* backward only */
    void *d_out;                               /* (n_rows, out_size) gradient of the loss; may be overwritten    */
    void *d_in[SG_OP_MAX_INPUTS];              /* (n_rows, in_size[i]); NULL: not wanted                         */
    int   add_in[SG_OP_MAX_INPUTS];            /* add to d_in[i] instead of overwriting it                       */
    void *d_parameters;                        /* (parameter_size); NULL: not wanted                             */
    int   add_parameters;                      /* add to d_parameters instead of overwriting it                  */
    /* tangent only */
    const void *t_in[SG_OP_MAX_INPUTS];        /* (n_rows, in_size[i]) direction                                 */
    void       *t_out;                         /* (n_rows, out_size) derivative of out along it                  */
} sg_op_call;

typedef struct sg_op_kernel {
    void (*prepare)(const sg_op_call *call);   /* fills packed from parameters; NULL: nothing to do */
    void (*forward)(const sg_op_call *call);
    void (*backward)(const sg_op_call *call);
    void (*tangent)(const sg_op_call *call);   /* right after forward of the same rows: in, out, saved are there */
} sg_op_kernel;

enum {
    SG_OP_BACKWARD_READS_INPUT  = 1,  /* the plan keeps the inputs until backward                           */
    SG_OP_BACKWARD_READS_OUTPUT = 2,  /* the plan keeps the output until backward                           */
    SG_OP_RANDOM                = 4,  /* draws random numbers in training                                   */
    SG_OP_COUPLES_ROWS          = 8,  /* in training all rows of a batch must come in one call; statistics  */
    SG_OP_STEPS_THROUGH_ROWS    = 16  /* looks at a small part of every row at a time: chunks of many rows  */
};

/* A stream of integers for examples. */
typedef struct sg_op_draw {
    uint64_t state;
} sg_op_draw;

size_t sg_op_draw_integer(sg_op_draw *draw, size_t low, size_t high); /* both ends included */

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
    /* A small case with odd sizes for the gradient checks and the docs: fills n_inputs, in and attribute (n = 0: default). Over many
     * draws it must reach every choice. NULL: the tests draw inputs of one shape and all attributes from their ranges. */
    void              (*example)(sg_op_draw *draw, sg_op_site *site);
    unsigned          no_gradient_inputs;  /* bit i: input i (a mask) has no gradient; backward writes zeros */
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
