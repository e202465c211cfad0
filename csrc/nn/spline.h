/* SPDX-License-Identifier: BSD-3-Clause */
/* Monotone rational-quadratic splines in a box, a vector of elements at a time: Durkan, Bekasov, Murray & Papamakarios 2019,
 * arXiv:1906.04032. One lane is one element, so that every sum over bins is a chain inside a lane. Names as in the paper: a bin
 * from (x0, y0) with width w, height h, slope s = h / w and derivatives d0, d1 at its ends; xi = (x - x0) / w. For hot files. */
#ifndef SG_NN_SPLINE_H
#define SG_NN_SPLINE_H

#include "base/vmath.h"

enum { MAX_BINS = 32 };

#define MIN_SHARE R(1e-3) /* of a bin in the width and height of the box */
#define MIN_SLOPE R(1e-3)
#define SLOPE_SHIFT R(0.539742417236952) /* MIN_SLOPE + softplus(SLOPE_SHIFT) = 1 */

typedef struct sg_spline_box {
    size_t bins;
    int    inverse;
    real   bound; /* the spline maps [-bound, bound] onto itself; outside it is the identity */
} sg_spline_box;

/* The spline of VL elements: shares of the box that widths and heights take, and the raw slopes. */
typedef struct spline {
    real width[MAX_BINS * VL], height[MAX_BINS * VL], slope[MAX_BINS * VL];
} spline;

SG_INLINE void spline_softmax(size_t bins, const real *raw, real *share)
{
    vr top = vr_load(raw), sum = vr_zero();
    for (size_t k = 1; k < bins; k++)
        top = vr_max(vr_load(raw + k * VL), top);
    for (size_t k = 0; k < bins; k++) {
        const vr e = vr_exp(vr_sub(vr_load(raw + k * VL), top));
        sum        = vr_add(sum, e);
        vr_store(share + k * VL, e);
    }
    for (size_t k = 0; k < bins; k++)
        vr_store(share + k * VL, vr_div(vr_load(share + k * VL), sum));
}

/* What a share is in units of x or y. */
SG_INLINE vr share_size(const sg_spline_box *z) { return vr_set1(2 * z->bound * (1 - (real)z->bins * MIN_SHARE)); }
SG_INLINE vr bin_size(const sg_spline_box *z, const real *share, size_t k)
{
    return vr_fma(share_size(z), vr_load(share + k * VL), vr_set1(2 * z->bound * MIN_SHARE));
}

typedef struct bin {
    vm inside; /* the box; outside is the identity */
    vr number, x0, y0, w, h;
    vr raw0, raw1, d0, d1; /* raw: arguments of softplus */
    vm first, last;        /* the slope at this end is 1, not raw */
} bin;

SG_INLINE vr slope_of(vr raw)
{
    return vr_add(vr_set1(MIN_SLOPE), vr_softplus(vr_add(raw, vr_set1(SLOPE_SHIFT))));
}

/* The bin that holds x, or y for the inverse. A point on a knot belongs to the bin above it. */
SG_INLINE bin find_bin(const sg_spline_box *z, const spline *s, vr at)
{
    const vr low = vr_set1(-z->bound), one = vr_set1(1);
    vr       x0 = low, y0 = low;
    bin      b = {.inside = vm_and(vr_lt(low, at), vr_lt(at, vr_set1(z->bound))),
                  .number = vr_zero(),
                  .x0     = low,
                  .y0     = low};
    b.w        = bin_size(z, s->width, 0);
    b.h        = bin_size(z, s->height, 0);
    b.raw0     = vr_zero();
    b.raw1     = vr_load(s->slope);
    for (size_t k = 1; k < z->bins; k++) {
        x0           = vr_add(x0, bin_size(z, s->width, k - 1));
        y0           = vr_add(y0, bin_size(z, s->height, k - 1));
        const vm hit = vr_le(z->inverse ? y0 : x0, at);
        b.number     = vr_select(hit, vr_set1((real)k), b.number);
        b.x0         = vr_select(hit, x0, b.x0);
        b.y0         = vr_select(hit, y0, b.y0);
        b.w          = vr_select(hit, bin_size(z, s->width, k), b.w);
        b.h          = vr_select(hit, bin_size(z, s->height, k), b.h);
        b.raw0       = vr_select(hit, vr_load(s->slope + (k - 1) * VL), b.raw0);
        b.raw1       = vr_select(hit, k + 1 < z->bins ? vr_load(s->slope + k * VL) : vr_zero(), b.raw1);
    }
    b.first = vr_eq(b.number, vr_zero());
    b.last  = vr_eq(b.number, vr_set1((real)(z->bins - 1)));
    b.d0    = vr_select(b.first, one, slope_of(b.raw0));
    b.d1    = vr_select(b.last, one, slope_of(b.raw1));
    return b;
}

/* A point of a bin, eq. 4-5: y = y0 + h top / bottom, dy/dx = s^2 curve / bottom^2. */
typedef struct point {
    vr xi, t, s, q; /* t = xi (1 - xi), q = d0 + d1 - 2 s */
    vr top, bottom, ratio, curve;
} point;

SG_INLINE point point_at(const bin *b, vr xi)
{
    const vr one = vr_set1(1), rest = vr_sub(one, xi);
    point    p = {.xi = xi, .t = vr_mul(xi, rest), .s = vr_div(b->h, b->w)};
    p.q        = vr_sub(vr_add(b->d0, b->d1), vr_add(p.s, p.s));
    p.bottom   = vr_fma(p.q, p.t, p.s);
    p.top      = vr_fma(p.s, vr_mul(xi, xi), vr_mul(b->d0, p.t));
    p.ratio    = vr_div(p.top, p.bottom);
    p.curve = vr_fma(b->d1, vr_mul(xi, xi), vr_fma(vr_add(p.s, p.s), p.t, vr_mul(b->d0, vr_mul(rest, rest))));
    return p;
}

SG_INLINE vr derivative(const point *p)
{
    const vr r = vr_div(p->s, p->bottom);
    return vr_mul(vr_mul(r, r), p->curve);
}

/* Rounded knots may leave a point just outside its bin. */
SG_INLINE vr unit_interval(vr xi) { return vr_min(vr_set1(1), vr_max(vr_zero(), xi)); }

/* The root of eq. 6, a xi^2 + b xi + c = 0, in [0, 1]. With half = b / 2, up = y - y0 and e = half + c the
 * discriminant is e^2 + s^2 up (h - up): no cancellation, never negative. Of the two forms of the root the one
 * that adds is taken. */
SG_INLINE vr solve(const bin *b, vr y)
{
    const vr s = vr_div(b->h, b->w), q = vr_sub(vr_add(b->d0, b->d1), vr_add(s, s));
    const vr up   = vr_min(b->h, vr_max(vr_zero(), vr_sub(y, b->y0)));
    const vr half = vr_mul(vr_set1(R(0.5)), vr_fnma(up, q, vr_mul(b->h, b->d0)));
    const vr a    = vr_fma(up, q, vr_mul(b->h, vr_sub(s, b->d0)));
    const vr less = vr_mul(s, up); /* -c */
    const vr e    = vr_sub(half, less);
    const vr root = vr_sqrt(vr_fma(e, e, vr_mul(vr_mul(s, s), vr_mul(up, vr_sub(b->h, up)))));
    const vm plus = vr_le(vr_zero(), half);
    return unit_interval(
        vr_div(vr_select(plus, less, vr_sub(root, half)), vr_select(plus, vr_add(half, root), a)));
}

SG_INLINE point find_point(const sg_spline_box *z, const bin *b, vr at)
{
    return point_at(b, z->inverse ? solve(b, at) : unit_interval(vr_div(vr_sub(at, b->x0), b->w)));
}

#endif
