/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of a surrogate: shared by read.c, which makes it, and surrogate.c, which runs it. */
#ifndef SG_SURROGATE_PARTS_H
#define SG_SURROGATE_PARTS_H

#include "nn/infer.h"
#include "surrogate/encode.h"
#include "surrogate/guard.h"

struct sg_surrogate {
    size_t         n_in, n_out, n_encoded, n_raw; /* columns: physical in and out, network in and out */
    size_t         rank;                          /* of the whitening matrix; 0: density not checked   */
    size_t         n_parameters;
    int            bits;                  /* of the network */
    int            folded;                /* the decoder's leading affine step is in the last layer */
    int            direct_in, direct_out; /* nothing to encode, nothing (left) to decode */
    sg_program    *encoder, *decoder;
    sg_net        *network;
    sg_dense_plan *whitening;
    sg_domain     *domain; /* NULL: none */
    char          *name, *version, *description;
    char          *text;                   /* the strings that in_ and out_ point to */
    sg_surrogate_variable       *in, *out; /* (n_in), (n_out) */
    const sg_encode_kernels_f32 *encode_f32;
    const sg_encode_kernels_f64 *encode_f64;
    const sg_guard_kernels_f32  *guard_f32;
    const sg_guard_kernels_f64  *guard_f64;
};

#endif
