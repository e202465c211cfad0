/* SPDX-License-Identifier: BSD-3-Clause */
/* Rational-quadratic splines: Durkan, Bekasov, Murray & Papamakarios 2019, arXiv:1906.04032. One lane is one
 * element (a channel of a position), so that every sum over bins is a chain inside a lane. Names as in the
 * paper: a bin from (x0, y0) with width w, height h, slope s = h / w and derivatives d0, d1 at its ends; xi =
 * (x - x0) / w. */
#include "nn/ops.h"
#include "nn/sums.h"

enum { DIRECTION, BINS, BOUND }; /* attributes, in the order of the table */
enum { X, CONDITIONER };         /* inputs */
enum { MAX_BINS = 32 };

#define MIN_SHARE R(1e-3) /* of a bin in the width and height of the box */
#define MIN_SLOPE R(1e-3)
#define SLOPE_SHIFT R(0.539742417236952) /* MIN_SLOPE + softplus(SLOPE_SHIFT) = 1 */

typedef struct sizes {
    size_t n, n_elements, bins, n_parameters; /* n_parameters: of the conditioner, for each element */
    int    inverse;
    real   bound;
} sizes;

static sizes sizes_of(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    sizes z = {.n = site->in[X].dim[site->in[X].rank - 1], .n_elements = call->n_rows * site->in_size[X]};
    z.bins  = (size_t)site->attribute[BINS].v[0];
    z.n_parameters = 3 * z.bins - 1;
    z.inverse      = site->attribute[DIRECTION].v[0] != 0;
    z.bound        = (real)site->attribute[BOUND].v[0];
    return z;
}

/* ------------------------------------------------------------------------------- lanes from and to memory */
/* (lanes, n) to (n, VL); lanes that are not there become 0 */
static void gather(size_t lanes, size_t n, const real *from, real *to)
{
    for (size_t k = 0; k < n; k++)
        for (size_t l = 0; l < VL; l++)
            to[k * VL + l] = l < lanes ? from[l * n + k] : 0;
}

static void scatter(size_t lanes, size_t n, const real *from, real *to, int add)
{
    for (size_t l = 0; l < lanes; l++)
        for (size_t k = 0; k < n; k++)
            to[l * n + k] = add ? to[l * n + k] + from[k * VL + l] : from[k * VL + l];
}

/* Elements lie in rows of n + 1, the last being the log-determinant of the position. */
static size_t place(const sizes *z, size_t element) { return element / z->n * (z->n + 1) + element % z->n; }

static void scatter_result(const sizes *z, size_t first, size_t lanes, vr value, real *to)
{
    real lane[VL];
    vr_store(lane, value);
    for (size_t l = 0; l < lanes; l++)
        to[place(z, first + l)] = lane[l];
}

static vr gather_result(const sizes *z, size_t first, size_t lanes, const real *from, int log_determinant)
{
    real lane[VL] = {0};
    for (size_t l = 0; l < lanes; l++)
        lane[l] = from[log_determinant ? (first + l) / z->n * (z->n + 1) + z->n : place(z, first + l)];
    return vr_load(lane);
}

/* --------------------------------------------------------------------------------------------- the spline */
/* The spline of VL elements: shares of the box that widths and heights take, and the raw slopes. */
typedef struct spline {
    real width[MAX_BINS * VL], height[MAX_BINS * VL], slope[MAX_BINS * VL];
} spline;

static void softmax(size_t bins, const real *raw, real *share)
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

static void load_spline(const sizes *z, size_t first, size_t lanes, const real *conditioner, spline *s)
{
    real raw[3 * MAX_BINS * VL];
    gather(lanes, z->n_parameters, conditioner + first * z->n_parameters, raw);
    softmax(z->bins, raw, s->width);
    softmax(z->bins, raw + z->bins * VL, s->height);
    memcpy(s->slope, raw + 2 * z->bins * VL, (z->bins - 1) * VL * sizeof(real));
}

/* What a share is in units of x or y. */
SG_INLINE vr share_size(const sizes *z) { return vr_set1(2 * z->bound * (1 - (real)z->bins * MIN_SHARE)); }
SG_INLINE vr bin_size(const sizes *z, const real *share, size_t k)
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
static bin find_bin(const sizes *z, const spline *s, vr at)
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

static point point_at(const bin *b, vr xi)
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
static vr solve(const bin *b, vr y)
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

static point find_point(const sizes *z, const bin *b, vr at)
{
    return point_at(b, z->inverse ? solve(b, at) : unit_interval(vr_div(vr_sub(at, b->x0), b->w)));
}

static void forward(const sg_op_call *call)
{
    const sizes z   = sizes_of(call);
    const real *x   = call->in[X];
    real       *out = call->out, *log_slope = call->scratch;
    spline      s;
    for (size_t i = 0; i < z.n_elements; i += VL) {
        const size_t lanes = sg_lanes(z.n_elements - i);
        const vr     at    = sg_lanes_load(x + i, lanes);
        load_spline(&z, i, lanes, call->in[CONDITIONER], &s);
        const bin   b  = find_bin(&z, &s, at);
        const point p  = find_point(&z, &b, at);
        const vr    to = z.inverse ? vr_fma(p.xi, b.w, b.x0) : vr_fma(b.h, p.ratio, b.y0),
                    l  = vr_log(derivative(&p));
        scatter_result(&z, i, lanes, vr_select(b.inside, to, at), out);
        sg_lanes_store(log_slope + i, vr_select(b.inside, z.inverse ? vr_neg(l) : l, vr_zero()), lanes);
    }
    for (size_t i = 0; i < z.n_elements / z.n; i++)
        out[i * (z.n + 1) + z.n] = sg_sum(z.n, log_slope + i * z.n);
}

/* ----------------------------------------------------------------------------------------------- backward */
/* One number for x and one for each quantity of the bin: a gradient, or a direction. */
typedef struct bin_slopes {
    vr x, x0, y0, w, h, d0, d1;
} bin_slopes;

/* Gradient of g_y y + g_l log(dy/dx). */
static bin_slopes pull_back(const bin *b, const point *p, vr g_y, vr g_l)
{
    const vr   one = vr_set1(1), two = vr_set1(2), rest = vr_sub(one, p->xi), xi2 = vr_mul(p->xi, p->xi);
    bin_slopes g      = {.y0 = g_y, .h = vr_mul(g_y, p->ratio)};
    const vr   top    = vr_div(vr_mul(g_y, b->h), p->bottom);
    const vr   bottom = vr_neg(vr_fma(top, p->ratio, vr_div(vr_mul(two, g_l), p->bottom)));
    const vr   curve  = vr_div(g_l, p->curve);
    /* curve = d1 xi^2 + 2 s t + d0 (1 - xi)^2, top = s xi^2 + d0 t, bottom = s + q t */
    const vr q  = vr_mul(bottom, p->t);
    vr       s  = vr_fma(vr_mul(two, p->t), curve, vr_fma(xi2, top, bottom));
    s           = vr_add(s, vr_sub(vr_div(vr_mul(two, g_l), p->s), vr_mul(two, q)));
    const vr t  = vr_fma(vr_mul(two, p->s), curve, vr_fma(b->d0, top, vr_mul(p->q, bottom)));
    vr       xi = vr_mul(vr_mul(two, curve), vr_sub(vr_mul(b->d1, p->xi), vr_mul(b->d0, rest)));
    xi          = vr_fma(vr_mul(two, vr_mul(p->s, p->xi)), top, vr_fma(t, vr_sub(rest, p->xi), xi));
    g.d0        = vr_fma(curve, vr_mul(rest, rest), vr_fma(top, p->t, q));
    g.d1        = vr_fma(curve, xi2, q);
    g.x         = vr_div(xi, b->w);
    g.x0        = vr_neg(g.x);
    g.h         = vr_add(g.h, vr_div(s, b->w));
    g.w         = vr_neg(vr_fma(g.x, p->xi, vr_div(vr_mul(s, p->s), b->w)));
    return g;
}

/* From gradients of the start and size of one bin to those of the logits: the start is the sum of the sizes
 * below. */
static void to_logits(const sizes *z, const bin *b, const real *share, vr start, vr size, real *d_raw)
{
    vr mean = vr_zero();
    for (size_t k = 0; k < z->bins; k++) {
        const vr number = vr_set1((real)k);
        const vr d = vr_mul(share_size(z), vr_select(vr_lt(number, b->number), start,
                                                     vr_select(vr_eq(number, b->number), size, vr_zero())));
        mean       = vr_fma(vr_load(share + k * VL), d, mean);
        vr_store(d_raw + k * VL, d);
    }
    for (size_t k = 0; k < z->bins; k++)
        vr_store(d_raw + k * VL, vr_mul(vr_load(share + k * VL), vr_sub(vr_load(d_raw + k * VL), mean)));
}

SG_INLINE vr slope_gradient(vr raw, vm fixed, vr d)
{
    return vr_select(fixed, vr_zero(), vr_mul(d, vr_sigmoid(vr_add(raw, vr_set1(SLOPE_SHIFT)))));
}

static void to_conditioner(const sizes *z, const bin *b, const spline *s, const bin_slopes *g, real *d_raw)
{
    const vr zero = vr_zero();
    const vr d0 = slope_gradient(b->raw0, b->first, g->d0), d1 = slope_gradient(b->raw1, b->last, g->d1);
    to_logits(z, b, s->width, g->x0, g->w, d_raw);
    to_logits(z, b, s->height, g->y0, g->h, d_raw + z->bins * VL);
    for (size_t k = 1; k < z->bins;
         k++) { /* inner knot k is the lower end of bin k and the upper end of bin k - 1 */
        const vr d = vr_select(vr_eq(b->number, vr_set1((real)k)), d0,
                               vr_select(vr_eq(b->number, vr_set1((real)(k - 1))), d1, zero));
        vr_store(d_raw + (2 * z->bins + k - 1) * VL, d);
    }
    for (size_t k = 0; k < z->n_parameters; k++)
        vr_store(d_raw + k * VL, vr_select(b->inside, vr_load(d_raw + k * VL), zero));
}

static void backward(const sg_op_call *call)
{
    const sizes z   = sizes_of(call);
    const real *x   = call->in[X];
    real       *d_x = call->d_in[X], *d_c = call->d_in[CONDITIONER];
    real        d_raw[3 * MAX_BINS * VL];
    spline      s;
    for (size_t i = 0; i < z.n_elements; i += VL) {
        const size_t lanes = sg_lanes(z.n_elements - i);
        const vr     at = sg_lanes_load(x + i, lanes), d = gather_result(&z, i, lanes, call->d_out, 0);
        const vr     d_log = gather_result(&z, i, lanes, call->d_out, 1);
        load_spline(&z, i, lanes, call->in[CONDITIONER], &s);
        const bin   b = find_bin(&z, &s, at);
        const point p = find_point(&z, &b, at);
        bin_slopes  g;
        vr          through;
        if (z.inverse) {
            /* x solves f(x, b) = y and the output is (x, -log f'): dx = (dy - df/db db) / f', so that a
             * gradient g_x of x, including what comes through log f', is g_x / f' of y and -g_x / f' df/db of
             * the bin. */
            const bin_slopes of_log = pull_back(&b, &p, vr_zero(), vr_neg(d_log));
            through                 = vr_div(vr_add(d, of_log.x), derivative(&p));
            g                       = pull_back(&b, &p, vr_neg(through), vr_neg(d_log));
        } else {
            g       = pull_back(&b, &p, d, d_log);
            through = g.x;
        }
        if (d_x) {
            through = vr_select(b.inside, through, d);
            sg_lanes_store(d_x + i,
                           call->add_in[X] ? vr_add(sg_lanes_load(d_x + i, lanes), through) : through, lanes);
        }
        if (d_c) {
            to_conditioner(&z, &b, &s, &g, d_raw);
            scatter(lanes, z.n_parameters, d_raw, d_c + i * z.n_parameters, call->add_in[CONDITIONER]);
        }
    }
}

/* ------------------------------------------------------------------------------------------------ tangent */
/* Derivatives of y and log(dy/dx) along t. */
static void push_forward(const bin *b, const point *p, const bin_slopes *t, vr *t_y, vr *t_log)
{
    const vr one = vr_set1(1), two = vr_set1(2), rest = vr_sub(one, p->xi), xi2 = vr_mul(p->xi, p->xi);
    const vr s      = vr_div(vr_fnma(p->s, t->w, t->h), b->w);
    const vr xi     = vr_div(vr_fnma(p->xi, t->w, vr_sub(t->x, t->x0)), b->w);
    const vr tt     = vr_mul(vr_sub(rest, p->xi), xi);
    const vr q      = vr_fnma(two, s, vr_add(t->d0, t->d1));
    const vr bottom = vr_fma(q, p->t, vr_fma(p->q, tt, s));
    vr       top    = vr_fma(s, xi2, vr_mul(vr_mul(two, vr_mul(p->s, p->xi)), xi));
    top             = vr_fma(t->d0, p->t, vr_fma(b->d0, tt, top));
    vr curve        = vr_fma(t->d1, xi2, vr_mul(t->d0, vr_mul(rest, rest)));
    curve           = vr_fma(vr_mul(two, vr_sub(vr_mul(b->d1, p->xi), vr_mul(b->d0, rest))), xi, curve);
    curve           = vr_fma(two, vr_fma(s, p->t, vr_mul(p->s, tt)), curve);
    const vr ratio  = vr_div(vr_fnma(p->ratio, bottom, top), p->bottom);
    *t_y            = vr_fma(t->h, p->ratio, vr_fma(b->h, ratio, t->y0));
    *t_log = vr_add(vr_mul(two, vr_sub(vr_div(s, p->s), vr_div(bottom, p->bottom))), vr_div(curve, p->curve));
}

/* Directions of the start and size of the bin from those of the logits. */
static void from_logits(const sizes *z, const bin *b, const real *share, const real *t_raw, vr *start,
                        vr *size)
{
    vr mean = vr_zero();
    for (size_t k = 0; k < z->bins; k++)
        mean = vr_fma(vr_load(share + k * VL), vr_load(t_raw + k * VL), mean);
    *start = *size = vr_zero();
    for (size_t k = 0; k < z->bins; k++) {
        const vr number = vr_set1((real)k);
        const vr t      = vr_mul(share_size(z),
                                 vr_mul(vr_load(share + k * VL), vr_sub(vr_load(t_raw + k * VL), mean)));
        *start          = vr_select(vr_lt(number, b->number), vr_add(*start, t), *start);
        *size           = vr_select(vr_eq(number, b->number), t, *size);
    }
}

static bin_slopes from_conditioner(const sizes *z, const bin *b, const spline *s, const real *t_raw)
{
    bin_slopes t    = {.x = vr_zero()};
    vr         raw0 = vr_zero(), raw1 = vr_zero();
    from_logits(z, b, s->width, t_raw, &t.x0, &t.w);
    from_logits(z, b, s->height, t_raw + z->bins * VL, &t.y0, &t.h);
    for (size_t k = 1; k < z->bins; k++) {
        const vr raw = vr_load(t_raw + (2 * z->bins + k - 1) * VL);
        raw0         = vr_select(vr_eq(b->number, vr_set1((real)k)), raw, raw0);
        raw1         = vr_select(vr_eq(b->number, vr_set1((real)(k - 1))), raw, raw1);
    }
    t.d0 = slope_gradient(b->raw0, b->first, raw0);
    t.d1 = slope_gradient(b->raw1, b->last, raw1);
    return t;
}

static void tangent(const sg_op_call *call)
{
    const sizes z = sizes_of(call);
    const real *x = call->in[X], *t_x = call->t_in[X], *t_c = call->t_in[CONDITIONER];
    real       *out = call->t_out, *log_slope = call->scratch, t_raw[3 * MAX_BINS * VL];
    spline      s;
    for (size_t i = 0; i < z.n_elements; i += VL) {
        const size_t lanes = sg_lanes(z.n_elements - i);
        const vr     at = sg_lanes_load(x + i, lanes), along = sg_lanes_load(t_x + i, lanes);
        load_spline(&z, i, lanes, call->in[CONDITIONER], &s);
        gather(lanes, z.n_parameters, t_c + i * z.n_parameters, t_raw);
        const bin   b = find_bin(&z, &s, at);
        const point p = find_point(&z, &b, at);
        bin_slopes  t = from_conditioner(&z, &b, &s, t_raw);
        vr          t_y, t_log;
        if (z.inverse) { /* f(x, b) = y: dx = (dy - df/db db) / f' */
            push_forward(&b, &p, &t, &t_y, &t_log);
            t.x = vr_div(vr_sub(along, t_y), derivative(&p));
        } else {
            t.x = along;
        }
        push_forward(&b, &p, &t, &t_y, &t_log);
        scatter_result(&z, i, lanes, vr_select(b.inside, z.inverse ? t.x : t_y, along), out);
        sg_lanes_store(log_slope + i, vr_select(b.inside, z.inverse ? vr_neg(t_log) : t_log, vr_zero()),
                       lanes);
    }
    for (size_t i = 0; i < z.n_elements / z.n; i++)
        out[i * (z.n + 1) + z.n] = sg_sum(z.n, log_slope + i * z.n);
}

const sg_op_kernel SG_HOT(sg_op_kernel_spline_coupling) = {NULL, forward, backward, tangent};
