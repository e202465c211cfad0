/* SPDX-License-Identifier: BSD-3-Clause */
#include "surrogate/guard.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"

void sg_domain_free(sg_domain *domain)
{
    if (!domain)
        return;
    sg_free(domain->low);
    sg_free(domain->high);
    sg_free(domain->low_f32);
    sg_free(domain->high_f32);
    sg_free(domain->missing);
    sg_free(domain->flags);
    sg_free(domain);
}

/* Rounding keeps the order: what is inside in double is inside as float. */
static float limit_f32(double x) { return x >= FLT_MAX ? FLT_MAX : x <= -FLT_MAX ? -FLT_MAX : (float)x; }

static sg_status fill(sg_domain *d, const double *low, const double *high, const double *missing,
                      const uint8_t *flags, sg_error *error)
{
    SG_TRY(sg_alloc_array(&d->low, d->n_in, sizeof(double), "domain", error));
    SG_TRY(sg_alloc_array(&d->high, d->n_in, sizeof(double), "domain", error));
    SG_TRY(sg_alloc_array(&d->low_f32, d->n_in, sizeof(float), "domain", error));
    SG_TRY(sg_alloc_array(&d->high_f32, d->n_in, sizeof(float), "domain", error));
    SG_TRY(sg_alloc_array(&d->missing, d->n_in, sizeof(double), "domain", error));
    SG_TRY(sg_alloc_array(&d->flags, d->n_in, 1, "domain", error));
    for (size_t j = 0; j < d->n_in; j++) {
        if (!(low[j] <= high[j]))
            return sg_fail(error, SG_ERR_VALUE, "domain", "input %zu ranges from %g to %g", j, low[j],
                           high[j]);
        d->low[j]      = fmax(low[j], -DBL_MAX);
        d->high[j]     = fmin(high[j], DBL_MAX);
        d->low_f32[j]  = limit_f32(low[j]);
        d->high_f32[j] = limit_f32(high[j]);
        d->missing[j]  = missing[j];
        d->flags[j]    = flags[j];
        d->has_category |= (flags[j] & SG_INPUT_CATEGORY) != 0;
    }
    return SG_OK;
}

sg_status sg_domain_create(size_t n_in, const double *low, const double *high, const double *missing,
                           const uint8_t *flags, double max_distance, sg_domain **domain, sg_error *error)
{
    *domain = NULL;
    if (!(max_distance >= 0))
        return sg_fail(error, SG_ERR_VALUE, "max_distance", "expected a number >= 0, got %g", max_distance);
    sg_domain *d;
    SG_TRY(sg_alloc_array(&d, 1, sizeof *d, "domain", error));
    d->n_in          = n_in;
    d->max_distance  = max_distance;
    sg_status status = fill(d, low, high, missing, flags, error);
    if (status != SG_OK) {
        sg_domain_free(d);
        return status;
    }
    *domain = d;
    return SG_OK;
}

int sg_domain_flags(const sg_domain *d, size_t j, double value, int single)
{
    if (d->flags[j] & SG_INPUT_MAY_MISS) {
        double missing = single ? (double)(float)d->missing[j] : d->missing[j];
        if (value == missing || (isnan(value) && isnan(missing)))
            return 0;
    }
    if (isnan(value) || isinf(value))
        return SG_OUTSIDE_NOT_FINITE;
    double low  = single ? (double)d->low_f32[j] : d->low[j],
           high = single ? (double)d->high_f32[j] : d->high[j];
    if (value < low || value > high || ((d->flags[j] & SG_INPUT_CATEGORY) && value != floor(value)))
        return SG_OUTSIDE_BOX;
    return 0;
}

void sg_guard_init(sg_guard *guard)
{
    memset(guard, 0, sizeof *guard);
    guard->first_input = -1;
}

void sg_guard_note(sg_guard *guard, size_t row, int flags, ptrdiff_t input, double value)
{
    if (!guard->first_flags) {
        guard->first_row   = guard->n_rows + row;
        guard->first_input = input;
        guard->first_value = value;
        guard->first_flags = flags;
    }
    guard->n_outside++;
    guard->n_box += (flags & SG_OUTSIDE_BOX) != 0;
    guard->n_density += (flags & SG_OUTSIDE_DENSITY) != 0;
    guard->n_not_finite += (flags & SG_OUTSIDE_NOT_FINITE) != 0;
}

SG_ISA_DECLARE(sg_guard_kernels_f32, sg_surrogate_guard_f32);
SG_ISA_DECLARE(sg_guard_kernels_f64, sg_surrogate_guard_f64);

const sg_guard_kernels_f32 *sg_guard_kernels_f32_pick(sg_isa isa)
{
    return SG_ISA_PICK(sg_surrogate_guard_f32, isa);
}
const sg_guard_kernels_f64 *sg_guard_kernels_f64_pick(sg_isa isa)
{
    return SG_ISA_PICK(sg_surrogate_guard_f64, isa);
}
