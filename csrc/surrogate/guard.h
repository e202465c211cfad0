/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The domain of a surrogate: a box per input and the training density in encoded space. The distance of an
 * encoded row e is Mahalanobis', |W' (e - m)| with m the mean and W W' the (pseudo-)inverse covariance of
 * the training rows. A sum of squares of many terms, it notices combinations that a box lets pass: a hot,
 * dry row where all hot rows of the training data were humid.
 */
#ifndef SG_SURROGATE_GUARD_H
#define SG_SURROGATE_GUARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/error.h"
#include "nn/dense.h"
#include "simgraft/surrogate.h"

enum {
    SG_INPUT_MAY_MISS = 1, /* the value `missing` is allowed, whatever the box */
    SG_INPUT_CATEGORY = 2  /* whole numbers only                               */
};

typedef struct sg_domain {
    size_t   n_in;
    double  *low,
        *high; /* (n_in), finite: +-DBL_MAX where there is no limit, so that infinity stays outside */
    float   *low_f32, *high_f32; /* (n_in), the same for hosts in float */
    double  *missing;     /* (n_in) */
    uint8_t *flags;       /* (n_in) SG_INPUT_... */
    int      has_category; /* some input is one */
    double   max_distance; /* infinite: the density is not checked */
} sg_domain;

/* Copies and checks the limits; what names them in messages. */
sg_status sg_domain_create(size_t n_in, const double *low, const double *high, const double *missing,
                           const uint8_t *flags, double max_distance, sg_domain **domain, sg_error *error);
void      sg_domain_free(sg_domain *domain);

/* Rows of one block, the network's; the arrays below have this many elements. */
#define SG_GUARD_ROWS SG_DENSE_BLOCK

/* Hot parts, per precision of the inputs. */
typedef struct sg_guard_kernels_f32 {
    /* bad[i] = 1 where row i has a value that is not within [low, high] (or NaN). */
    void (*box)(size_t n_rows, size_t n_in, const float *in, ptrdiff_t in_row, ptrdiff_t in_col,
                const float *low, const float *high, uint8_t *bad);
    /* square[i] = sum over j of z[j * SG_GUARD_ROWS + i]^2, in the order of j. */
    void (*square)(size_t n_rows, size_t rank, const float *z, float *square);
} sg_guard_kernels_f32;

typedef struct sg_guard_kernels_f64 {
    void (*box)(size_t n_rows, size_t n_in, const double *in, ptrdiff_t in_row, ptrdiff_t in_col,
                const double *low, const double *high, uint8_t *bad);
    void (*square)(size_t n_rows, size_t rank, const double *z, double *square);
} sg_guard_kernels_f64;

const sg_guard_kernels_f32 *sg_guard_kernels_f32_pick(sg_isa isa);
const sg_guard_kernels_f64 *sg_guard_kernels_f64_pick(sg_isa isa);

/* What is wrong with value in input column j: 0 or SG_OUTSIDE_BOX or SG_OUTSIDE_NOT_FINITE. value is what
 * the host passed; single says that it was a float. */
int sg_domain_flags(const sg_domain *domain, size_t j, double value, int single);

/* Adds a row with its flags to the counts, and remembers the first one. input and value: see sg_guard.
 * Call for every row outside, in order; row counts from the start of the block, whose rows are added to
 * n_rows afterwards. */
void sg_guard_note(sg_guard *guard, size_t row, int flags, ptrdiff_t input, double value);

#endif
