/* SPDX-License-Identifier: BSD-3-Clause */
/* The splines of nn/spline.h as a layer: an element is a channel of a position. */
#include "nn/ops.h"
#include "nn/spline.h"
#include "nn/sums.h"

enum { DIRECTION, BINS, BOUND }; /* attributes, in the order of the table */
enum { X, CONDITIONER };         /* inputs */

typedef struct sizes {
    size_t        n, n_elements, n_parameters; /* n_parameters: of the conditioner, for each element */
    sg_spline_box box;
} sizes;

static sizes sizes_of(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    sizes z = {.n = site->in[X].dim[site->in[X].rank - 1], .n_elements = call->n_rows * site->in_size[X]};
    z.box          = (sg_spline_box){(size_t)site->attribute[BINS].v[0], site->attribute[DIRECTION].v[0] != 0,
                                     (real)site->attribute[BOUND].v[0]};
    z.n_parameters = 3 * z.box.bins - 1;
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

static void load_spline(const sizes *z, size_t first, size_t lanes, const real *conditioner, spline *s)
{
    real raw[3 * MAX_BINS * VL];
    gather(lanes, z->n_parameters, conditioner + first * z->n_parameters, raw);
    spline_softmax(z->box.bins, raw, s->width);
    spline_softmax(z->box.bins, raw + z->box.bins * VL, s->height);
    memcpy(s->slope, raw + 2 * z->box.bins * VL, (z->box.bins - 1) * VL * sizeof(real));
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
        const bin   b  = find_bin(&z.box, &s, at);
        const point p  = find_point(&z.box, &b, at);
        const vr    to = z.box.inverse ? vr_fma(p.xi, b.w, b.x0) : vr_fma(b.h, p.ratio, b.y0),
                    l  = vr_log(derivative(&p));
        scatter_result(&z, i, lanes, vr_select(b.inside, to, at), out);
        sg_lanes_store(log_slope + i, vr_select(b.inside, z.box.inverse ? vr_neg(l) : l, vr_zero()), lanes);
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
    for (size_t k = 0; k < z->box.bins; k++) {
        const vr number = vr_set1((real)k);
        const vr d = vr_mul(share_size(&z->box), vr_select(vr_lt(number, b->number), start,
                                                     vr_select(vr_eq(number, b->number), size, vr_zero())));
        mean       = vr_fma(vr_load(share + k * VL), d, mean);
        vr_store(d_raw + k * VL, d);
    }
    for (size_t k = 0; k < z->box.bins; k++)
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
    to_logits(z, b, s->height, g->y0, g->h, d_raw + z->box.bins * VL);
    for (size_t k = 1; k < z->box.bins;
         k++) { /* inner knot k is the lower end of bin k and the upper end of bin k - 1 */
        const vr d = vr_select(vr_eq(b->number, vr_set1((real)k)), d0,
                               vr_select(vr_eq(b->number, vr_set1((real)(k - 1))), d1, zero));
        vr_store(d_raw + (2 * z->box.bins + k - 1) * VL, d);
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
        const bin   b = find_bin(&z.box, &s, at);
        const point p = find_point(&z.box, &b, at);
        bin_slopes  g;
        vr          through;
        if (z.box.inverse) {
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
    for (size_t k = 0; k < z->box.bins; k++)
        mean = vr_fma(vr_load(share + k * VL), vr_load(t_raw + k * VL), mean);
    *start = *size = vr_zero();
    for (size_t k = 0; k < z->box.bins; k++) {
        const vr number = vr_set1((real)k);
        const vr t      = vr_mul(share_size(&z->box),
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
    from_logits(z, b, s->height, t_raw + z->box.bins * VL, &t.y0, &t.h);
    for (size_t k = 1; k < z->box.bins; k++) {
        const vr raw = vr_load(t_raw + (2 * z->box.bins + k - 1) * VL);
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
        const bin   b = find_bin(&z.box, &s, at);
        const point p = find_point(&z.box, &b, at);
        bin_slopes  t = from_conditioner(&z, &b, &s, t_raw);
        vr          t_y, t_log;
        if (z.box.inverse) { /* f(x, b) = y: dx = (dy - df/db db) / f' */
            push_forward(&b, &p, &t, &t_y, &t_log);
            t.x = vr_div(vr_sub(along, t_y), derivative(&p));
        } else {
            t.x = along;
        }
        push_forward(&b, &p, &t, &t_y, &t_log);
        scatter_result(&z, i, lanes, vr_select(b.inside, z.box.inverse ? t.x : t_y, along), out);
        sg_lanes_store(log_slope + i, vr_select(b.inside, z.box.inverse ? vr_neg(t_log) : t_log, vr_zero()),
                       lanes);
    }
    for (size_t i = 0; i < z.n_elements / z.n; i++)
        out[i * (z.n + 1) + z.n] = sg_sum(z.n, log_slope + i * z.n);
}

const sg_op_kernel SG_HOT(sg_op_kernel_spline_coupling) = {NULL, forward, backward, tangent};
