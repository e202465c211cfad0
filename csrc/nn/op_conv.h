/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes of a convolution, shared by its rule (op_conv.c) and its kernels (op_conv.hot.c). Fields of rank 1
 * and 2 are fields of rank 3 with leading dimensions of 1. */
#ifndef SG_NN_OP_CONV_H
#define SG_NN_OP_CONV_H

#include "nn/activation.h"
#include "nn/ops.h"

typedef enum sg_padding {
    SG_PADDING_SAME,     /* zeros outside the field */
    SG_PADDING_VALID,    /* no value outside the field is used */
    SG_PADDING_PERIODIC, /* the field repeats itself */
    SG_PADDING_REPLICATE /* the nearest value of the field */
} sg_padding;

/* One spatial dimension: output o reads positions o * stride - before + k * dilation for k = 0 .. kernel-1.
 */
typedef struct sg_conv_dim {
    size_t in, out, kernel, stride, dilation;
    size_t extent;        /* positions from the first to the last tap, both included */
    size_t before, after; /* positions read outside the field, below and above */
} sg_conv_dim;

typedef struct sg_conv {
    sg_conv_dim   dim[3];
    size_t        n_channels, n_units, groups, group_channels, group_units;
    sg_padding    padding;
    sg_activation activation;
    double        parameter;
} sg_conv;

/* A block of outputs whose inputs are copied together with what lies outside the field. */
typedef struct sg_conv_block {
    size_t n[3];  /* outputs; the last block of a dimension may be smaller */
    size_t size;  /* positions of the copy */
    size_t plane; /* of these, of one plane */
} sg_conv_block;

enum {
    SG_CONV_BLOCK      = 1 << 17, /* elements of a copy: 512 KiB of floats, a part of L2 */
    SG_CONV_MAX_STEP   = 4096,    /* of kernel and dilation */
    SG_CONV_MAX_STRIDE = 64,
    SG_CONV_NARROW     = 8 /* up to so many units lanes may lie along the field, half of the widest vector */
};

/* Sizes of a window that goes over one dimension; out = 0 where valid leaves no output. */
sg_conv_dim sg_conv_dim_of(size_t in, size_t kernel, size_t stride, size_t dilation, int valid);

/* Reads sizes and attributes. */
sg_conv sg_conv_of(const sg_op_site *site);

/* Blocks of n outputs with the given step between outputs and positions read by one output. */
sg_conv_block sg_conv_pick_block(const size_t n[3], const size_t stride[3], const size_t extent[3],
                                 size_t n_channels);

/* Elements from one channel to the next where channels are apart: an odd number of 64-byte lines of floats,
 * so that channels do not share the sets of the L1 cache. */
static inline size_t sg_conv_channel_step(size_t positions) { return (positions + 15) / 16 * 16 | 16; }

/* Parts of a gradient along the input: with a stride, inputs i with (i + before) mod stride = phase see the
 * same taps. Taps are counted from the last to the first, so that they read outputs in ascending order: input
 * first + j * stride reads output j + start + t * step in tap t, which is kernel position last - t *
 * kernel_step. */
typedef struct sg_conv_phase {
    ptrdiff_t first, start;
    size_t    n, n_taps, step, last, kernel_step;
} sg_conv_phase;

/* low .. high-1 is the range of inputs, which reaches beyond the field where padding copies values. */
sg_conv_phase sg_conv_phase_of(const sg_conv_dim *dim, size_t phase, ptrdiff_t low, ptrdiff_t high);

/* Non-zero if the gradient along the input must be made for the padded field and then be added up where
 * padding took copies. */
int sg_conv_must_fold(const sg_conv *conv);

/* Elements of scratch, for all passes. */
typedef struct sg_conv_scratch {
    size_t copy;   /* of the positions read by a block */
    size_t narrow; /* sums of a block with lanes the other way */
    size_t padded; /* gradient of the padded field, if folded */
} sg_conv_scratch;

sg_conv_scratch sg_conv_scratch_of(const sg_conv *conv);

#endif
