/* SPDX-License-Identifier: BSD-3-Clause */
/* Convolution, direct: every output is one chain of multiply-adds over kernel positions and channels, from
 * the bias.
 *
 * The field is taken in blocks of outputs. What a block reads is copied with its padding (a few hundred KiB
 * at most), unless all of it lies inside the field; from there the tile of tile_nest.h reads the inputs where
 * they are. Lanes lie along the units, or, where there are only a few units, along the field. The gradient
 * along the input is a convolution of the output's gradient with the reversed kernel, one for each position
 * of an input relative to the stride. The bits do not depend on any of these choices. */
#include "nn/activation_rows.h"
#include "nn/op_conv.h"
#include "nn/tile_nest.h"

static const real zero = 0;

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }
static size_t vectors(size_t n) { return (n + VL - 1) / VL; }

/* --------------------------------------------------------------------------------------------- the copy */
typedef struct field {
    const real *x; /* (n[0], n[1], n[2], n_channels) */
    size_t      n[3], n_channels;
    sg_padding  padding;
} field;

/* Where inputs of a block are: element (d, h, w, channel) from the first position at x[d * step[0] + ... +
 * channel * channel_step]. */
typedef struct view {
    const real *x;
    ptrdiff_t   step[3], channel_step;
} view;

/* The position of a field that stands at position i, -1 for none. */
static ptrdiff_t inside(ptrdiff_t i, size_t n, sg_padding padding)
{
    const ptrdiff_t size = (ptrdiff_t)n;
    if (i >= 0 && i < size)
        return i;
    if (padding == SG_PADDING_PERIODIC)
        return (i % size + size) % size;
    if (padding == SG_PADDING_REPLICATE)
        return i < 0 ? 0 : size - 1;
    return -1;
}

/* to[c * channel_step + i] = x[i * n_channels + c], four by four. */
typedef real four __attribute__((vector_size(4 * sizeof(real))));

static size_t put_fours(size_t n, size_t n_channels, const real *x, real *to, ptrdiff_t channel_step)
{
#if defined(__has_builtin) && __has_builtin(__builtin_shufflevector)
    for (size_t i = 0; i + 4 <= n; i += 4, x += 4 * n_channels, to += 4)
        for (size_t c = 0; c + 4 <= n_channels; c += 4) {
            four a[4], b[4];
            for (int k = 0; k < 4; k++)
                memcpy(&a[k], x + (size_t)k * n_channels + c, sizeof a[k]);
            const four low_0  = __builtin_shufflevector(a[0], a[1], 0, 4, 1, 5),
                       high_0 = __builtin_shufflevector(a[0], a[1], 2, 6, 3, 7);
            const four low_2  = __builtin_shufflevector(a[2], a[3], 0, 4, 1, 5),
                       high_2 = __builtin_shufflevector(a[2], a[3], 2, 6, 3, 7);
            b[0]              = __builtin_shufflevector(low_0, low_2, 0, 1, 4, 5);
            b[1]              = __builtin_shufflevector(low_0, low_2, 2, 3, 6, 7);
            b[2]              = __builtin_shufflevector(high_0, high_2, 0, 1, 4, 5);
            b[3]              = __builtin_shufflevector(high_0, high_2, 2, 3, 6, 7);
            for (int k = 0; k < 4; k++)
                memcpy(to + (ptrdiff_t)(c + (size_t)k) * channel_step, &b[k], sizeof b[k]);
        }
    return n_channels / 4 * 4;
#else
    (void)n, (void)n_channels, (void)x, (void)to, (void)channel_step;
    return 0;
#endif
}

/* n positions of a line, channels side by side, to a copy. */
static void put(size_t n, size_t n_channels, const real *x, real *to, const view *v)
{
    if (v->channel_step == 1) {
        for (size_t i = 0; i < n * n_channels; i++)
            to[i] = x[i];
        return;
    }
    const size_t by_four = put_fours(n, n_channels, x, to, v->channel_step), rest = by_four ? n / 4 * 4 : 0;
    for (size_t c = 0; c < n_channels; c++)
        for (size_t i = c < by_four ? rest : 0; i < n; i++)
            to[(ptrdiff_t)i + (ptrdiff_t)c * v->channel_step] = x[i * n_channels + c];
}

static void put_zeros(size_t n, size_t n_channels, real *to, const view *v)
{
    if (v->channel_step == 1)
        memset(to, 0, n * n_channels * sizeof *to);
    else
        for (size_t c = 0; c < n_channels; c++)
            memset(to + (ptrdiff_t)c * v->channel_step, 0, n * sizeof *to);
}

/* What a block of outputs reads. */
typedef struct reader {
    const field *from;
    ptrdiff_t    first[3];
    size_t       count[3]; /* positions, from first on */
    int          copied;   /* in is a copy, lines of which must be filled before they are read */
    view         in;
} reader;

/* The inputs of a block: in the field where all of them lie in it, else in a copy; planar: channels apart,
 * always a copy. */
static reader reader_of(const field *from, const ptrdiff_t first[3], const size_t count[3], int planar,
                        real *copy)
{
    const ptrdiff_t c = (ptrdiff_t)from->n_channels;
    reader          s = {
        from, {first[0], first[1], first[2]}, {count[0], count[1], count[2]}, planar, {copy, {0, 0, 0}, 1}};
    for (int i = 0; i < 3; i++)
        s.copied |= first[i] < 0 || first[i] + (ptrdiff_t)count[i] > (ptrdiff_t)from->n[i];
    if (planar)
        s.in.channel_step = (ptrdiff_t)sg_conv_channel_step(count[0] * count[1] * count[2]);
    s.in.step[2] = planar ? 1 : c;
    s.in.step[1] = s.in.step[2] * (ptrdiff_t)(s.copied ? count[2] : from->n[2]);
    s.in.step[0] = s.in.step[1] * (ptrdiff_t)(s.copied ? count[1] : from->n[1]);
    if (!s.copied)
        s.in.x = from->x + first[0] * s.in.step[0] + first[1] * s.in.step[1] + first[2] * c;
    return s;
}

static void fill_line(const reader *s, size_t d, size_t h, real *to)
{
    const field    *from = s->from;
    const size_t    c = from->n_channels, line = s->count[2];
    const ptrdiff_t size = (ptrdiff_t)from->n[2], first = s->first[2];
    const ptrdiff_t at_d = inside(s->first[0] + (ptrdiff_t)d, from->n[0], from->padding);
    const ptrdiff_t at_h = inside(s->first[1] + (ptrdiff_t)h, from->n[1], from->padding);
    if (at_d < 0 || at_h < 0) {
        put_zeros(line, c, to, &s->in);
        return;
    }
    const real *x = from->x + ((size_t)at_d * from->n[1] + (size_t)at_h) * from->n[2] * c;
    /* Left of the field, in it, and right of it. */
    const size_t left  = first < 0 ? smaller((size_t)-first, line) : 0;
    const size_t right = first + (ptrdiff_t)left < size ? smaller(line, (size_t)(size - first)) : left;
    put(right - left, c, x + (first + (ptrdiff_t)left) * (ptrdiff_t)c, to + (ptrdiff_t)left * s->in.step[2],
        &s->in);
    for (size_t w = left ? 0 : right; w < line; w = w + 1 == left ? right : w + 1) {
        const ptrdiff_t at = inside(first + (ptrdiff_t)w, from->n[2], from->padding);
        if (at < 0)
            put_zeros(1, c, to + (ptrdiff_t)w * s->in.step[2], &s->in);
        else
            put(1, c, x + at * (ptrdiff_t)c, to + (ptrdiff_t)w * s->in.step[2], &s->in);
    }
}

static void fill(const reader *s, size_t d_first, size_t d_last, size_t h_first, size_t h_last)
{
    real *copy = (real *)(uintptr_t)s->in.x; /* the caller's scratch, not the field */
    for (size_t d = d_first; d < d_last && s->copied; d++)
        for (size_t h = h_first; h < h_last; h++)
            fill_line(s, d, h, copy + (ptrdiff_t)d * s->in.step[0] + (ptrdiff_t)h * s->in.step[1]);
}

/* First position that output o of a dimension reads and the one before it did not. */
static size_t newly_read(size_t output, size_t stride, size_t reach)
{
    return output == 0 ? 0 : larger((output - 1) * stride + reach, output * stride);
}

/* ------------------------------------------------------------------------------------------ correlation */
/* to[o] = bias + sum over taps t and channels of from[first + o * stride + t * tap_step] * weight[t]: the
 * forward pass, and the gradient along the input. */
typedef struct correlation {
    field       from;
    size_t      n[3];      /* outputs */
    size_t      stride[3]; /* positions from one output to the next */
    ptrdiff_t   first[3];  /* position that output 0 reads in tap 0 */
    size_t      taps[3], tap_step[3];
    const real *weight; /* (taps, group_channels) rows of group_units, once for each group */
    ptrdiff_t   weight_row, weight_group;
    size_t      groups, group_channels, group_units;
    const real *bias; /* (groups * group_units), NULL: 0 */
    real       *to;
    ptrdiff_t   to_step[3]; /* elements from one output to the next */
    int         add;        /* add to what is there */
    /* Applied to every finished line, unless linear: y = f(to). */
    sg_activation activation;
    real          parameter;
    real         *y;
} correlation;

/* What of it belongs to one block. */
typedef struct block {
    size_t first[3], n[3]; /* first output, outputs */
    reader source;
    view   in;
} block;

static size_t extent(const correlation *c, int i)
{
    return c->taps[i] ? (c->taps[i] - 1) * c->tap_step[i] + 1 : 1;
}

static void finish_line(const correlation *c, real *line, size_t n)
{
    if (c->activation != SG_ACTIVATION_linear)
        sg_activate_rows(c->activation, c->parameter, n * c->groups * c->group_units, line,
                         c->y + (line - c->to));
}

/* Loops over taps and channels, for both ways. */
static sg_nest nest_of(const correlation *c)
{
    const ptrdiff_t tap = (ptrdiff_t)c->group_channels * c->weight_row;
    return (sg_nest){.n      = {c->taps[0], c->taps[1], c->taps[2]},
                     .n_k    = c->group_channels,
                     .b_k    = c->weight_row,
                     .b_step = {(ptrdiff_t)(c->taps[1] * c->taps[2]) * tap, (ptrdiff_t)c->taps[2] * tap, tap},
                     .start  = &zero};
}

/* Weights of one panel of columns at a time where all of them do not fit into a part of L2. */
static size_t columns_at_once(const correlation *c)
{
    const size_t rows = c->taps[0] * c->taps[1] * c->taps[2] * c->group_channels;
    return rows * c->group_units * sizeof(real) > (size_t)512 << 10 ? SG_PANEL : c->group_units;
}

/* Lanes along the units. */
static void block_by_units(const correlation *c, const block *b)
{
    sg_nest      nest = nest_of(c);
    const size_t most = columns_at_once(c);
    for (int i = 0; i < 3; i++)
        nest.a_step[i] = (ptrdiff_t)c->tap_step[i] * b->in.step[i];
    if (c->groups == 1 && c->tap_step[2] == 1) { /* taps along a line and channels are one run */
        nest.n_k *= nest.n[2];
        nest.n[2] = 1;
    }
    nest.n_rows = b->n[2];
    nest.a_row  = (ptrdiff_t)c->stride[2] * b->in.step[2];
    nest.a_k    = 1;
    nest.c_row  = c->to_step[2];
    nest.add    = c->add;
    for (size_t g = 0; g < c->groups; g++)
        for (size_t column = 0; column < c->group_units; column += most)
            for (size_t d = 0; d < b->n[0]; d++)
                for (size_t h = 0; h < b->n[1]; h++) {
                    const size_t unit = g * c->group_units + column;
                    real        *line = c->to + (ptrdiff_t)(b->first[0] + d) * c->to_step[0] +
                                        (ptrdiff_t)(b->first[1] + h) * c->to_step[1] +
                                        (ptrdiff_t)b->first[2] * c->to_step[2];
                    if (unit == 0) { /* copies are made line by line between sums, while the memory fetches
                                        the next one */
                        const size_t e_0 = extent(c, 0), e_1 = extent(c, 1);
                        fill(&b->source, newly_read(d, c->stride[0], e_0), d * c->stride[0] + e_0,
                             newly_read(h, c->stride[1], e_1), h * c->stride[1] + e_1);
                    }
                    nest.n_cols = smaller(most, c->group_units - column);
                    nest.a      = b->in.x + (ptrdiff_t)(d * c->stride[0]) * b->in.step[0] +
                                  (ptrdiff_t)(h * c->stride[1]) * b->in.step[1] +
                                  (ptrdiff_t)(g * c->group_channels);
                    nest.b      = c->weight + (ptrdiff_t)g * c->weight_group + column;
                    if (c->bias)
                        nest.start = c->bias + unit, nest.start_col = 1;
                    nest.c = line + unit;
                    sg_nest_run(&nest);
                    if (unit + nest.n_cols == c->groups * c->group_units)
                        finish_line(c, line, b->n[2]);
                }
}

/* Lanes along the field, through the ends of lines: what is computed there is not used. */
static void block_by_field(const correlation *c, const block *b, real *narrow)
{
    sg_nest nest = nest_of(c);
    memcpy(nest.a_step, nest.b_step, sizeof nest.a_step);
    nest.a_k   = nest.b_k;
    nest.a_row = 1;
    nest.b_k   = b->in.channel_step;
    for (int i = 0; i < 3; i++)
        nest.b_step[i] = (ptrdiff_t)c->tap_step[i] * b->in.step[i];
    nest.n_rows             = c->group_units;
    const size_t line_count = b->source.count[1], line_length = b->source.count[2];
    nest.n_cols = (b->n[1] - 1) * line_length + b->n[2];
    nest.c      = narrow;
    nest.c_row  = (ptrdiff_t)nest.n_cols;
    for (size_t g = 0; g < c->groups; g++)
        for (size_t d = 0; d < b->n[0]; d++) {
            if (g == 0)
                fill(&b->source, newly_read(d, c->stride[0], extent(c, 0)), d * c->stride[0] + extent(c, 0),
                     0, line_count);
            nest.a = c->weight + (ptrdiff_t)g * c->weight_group;
            nest.b = b->in.x + (ptrdiff_t)(d * c->stride[0]) * b->in.step[0] +
                     (ptrdiff_t)(g * c->group_channels) * nest.b_k;
            if (c->bias)
                nest.start = c->bias + g * c->group_units, nest.start_row = 1;
            sg_nest_run(&nest);
            for (size_t h = 0; h < b->n[1]; h++) {
                real       *line = c->to + (ptrdiff_t)(b->first[0] + d) * c->to_step[0] +
                                   (ptrdiff_t)(b->first[1] + h) * c->to_step[1] +
                                   (ptrdiff_t)b->first[2] * c->to_step[2];
                const real *sum  = narrow + h * line_length;
                for (size_t w = 0; w < b->n[2]; w++) {
                    real *to = line + (ptrdiff_t)w * c->to_step[2] + g * c->group_units;
                    for (size_t u = 0; u < c->group_units; u++)
                        to[u] = c->add ? to[u] + sum[u * nest.n_cols + w] : sum[u * nest.n_cols + w];
                }
                if (g + 1 == c->groups)
                    finish_line(c, line, b->n[2]);
            }
        }
}

/* Vectors computed decide; a copy with channels apart and the way back cost about a quarter more. */
static int along_field(const correlation *c, const sg_conv_block *most)
{
    if (c->stride[1] != 1 || c->stride[2] != 1 || c->group_units > SG_CONV_NARROW)
        return 0;
    const size_t line = most->n[2] + extent(c, 2) - 1, flat = (most->n[1] - 1) * line + most->n[2];
    return 5 * c->group_units * vectors(flat) < 4 * most->n[1] * most->n[2] * vectors(c->group_units);
}

static void correlate(const correlation *c, real *copy, real *narrow)
{
    const size_t extents[3] = {extent(c, 0), extent(c, 1), extent(c, 2)};
    if (!c->n[0] || !c->n[1] || !c->n[2])
        return;
    const sg_conv_block most   = sg_conv_pick_block(c->n, c->stride, extents, c->from.n_channels);
    const int           planar = along_field(c, &most);
    for (size_t d = 0; d < c->n[0]; d += most.n[0])
        for (size_t h = 0; h < c->n[1]; h += most.n[1])
            for (size_t w = 0; w < c->n[2]; w += most.n[2]) {
                block     b = {.first = {d, h, w}};
                ptrdiff_t first[3];
                size_t    count[3];
                for (int i = 0; i < 3; i++) {
                    b.n[i]   = smaller(most.n[i], c->n[i] - b.first[i]);
                    count[i] = (b.n[i] - 1) * c->stride[i] + extents[i];
                    first[i] = c->first[i] + (ptrdiff_t)(b.first[i] * c->stride[i]);
                }
                b.source = reader_of(&c->from, first, count, planar, copy);
                b.in     = b.source.in;
                if (planar)
                    block_by_field(c, &b, narrow);
                else
                    block_by_units(c, &b);
            }
}

/* ---------------------------------------------------------------------------------- gradient of weights */
typedef struct work {
    real *copy, *narrow, *padded;
} work;

static work work_of(const sg_conv *conv, const sg_op_call *call)
{
    const sg_conv_scratch s       = sg_conv_scratch_of(conv);
    real                 *scratch = call->scratch;
    return (work){scratch, scratch + s.copy, scratch + s.copy + s.narrow};
}

static field input_field(const sg_conv *conv, const real *x)
{
    return (field){x, {conv->dim[0].in, conv->dim[1].in, conv->dim[2].in}, conv->n_channels, conv->padding};
}

/* c[j * c_row + i] += t[i * n_j + j] */
static void add_transposed(size_t n_i, size_t n_j, const real *t, real *c, size_t c_row, int add)
{
    for (size_t j = 0; j < n_j; j++)
        for (size_t i = 0; i < n_i; i++)
            c[j * c_row + i] = add ? c[j * c_row + i] + t[i * n_j + j] : t[i * n_j + j];
}

/* Rows are taps along a line and channels, columns are units, and the sum runs over the positions of a block;
 * or rows and columns change places where there are few units. */
static void weight_gradient(const sg_conv *conv, const real *x, const real *d_y, real *d_weight, int add,
                            const work *scratch)
{
    const sg_conv_dim  *dim       = conv->dim;
    const size_t        n[3]      = {dim[0].out, dim[1].out, dim[2].out},
                        stride[3] = {dim[0].stride, dim[1].stride, dim[2].stride};
    const size_t        reach[3] = {dim[0].extent, dim[1].extent, dim[2].extent}, units = conv->n_units;
    const sg_conv_block most   = sg_conv_pick_block(n, stride, reach, conv->n_channels);
    const field         from   = input_field(conv, x);
    const int           run    = conv->groups == 1 && dim[2].dilation == 1;
    const size_t        n_rows = run ? dim[2].kernel * conv->n_channels : conv->group_channels,
                        n_cols = conv->group_units;
    const int           turned = n_cols <= 2 * SG_CONV_NARROW &&
                                 9 * n_cols * vectors(n_rows) < 8 * n_rows * vectors(n_cols);
    for (size_t d = 0; d < n[0]; d += most.n[0])
        for (size_t h = 0; h < n[1]; h += most.n[1])
            for (size_t w = 0; w < n[2]; w += most.n[2]) {
                const size_t begin[3] = {d, h, w};
                size_t       here[3], count[3];
                ptrdiff_t    first[3];
                for (int i = 0; i < 3; i++) {
                    here[i]  = smaller(most.n[i], n[i] - begin[i]);
                    count[i] = (here[i] - 1) * stride[i] + reach[i];
                    first[i] = (ptrdiff_t)(begin[i] * stride[i]) - (ptrdiff_t)dim[i].before;
                }
                const reader source = reader_of(&from, first, count, 0, scratch->copy);
                const view   in     = source.in;
                fill(&source, 0, count[0], 0, count[1]);
                const real     *d_first   = d_y + ((d * n[1] + h) * n[2] + w) * units;
                sg_nest         nest      = {.n = {1, here[0], here[1]}, .n_k = here[2], .start = &zero};
                const ptrdiff_t x_step[4] = {0, (ptrdiff_t)stride[0] * in.step[0],
                                             (ptrdiff_t)stride[1] * in.step[1],
                                             (ptrdiff_t)stride[2] * in.step[2]};
                const ptrdiff_t d_step[4] = {0, (ptrdiff_t)(n[1] * n[2] * units), (ptrdiff_t)(n[2] * units),
                                             (ptrdiff_t)units};
                memcpy(nest.a_step, turned ? d_step : x_step, sizeof nest.a_step);
                memcpy(nest.b_step, turned ? x_step : d_step, sizeof nest.b_step);
                nest.a_k    = turned ? d_step[3] : x_step[3];
                nest.b_k    = turned ? x_step[3] : d_step[3];
                nest.a_row  = 1;
                nest.n_rows = turned ? n_cols : n_rows;
                nest.n_cols = turned ? n_rows : n_cols;
                for (size_t k = 0; k < dim[0].kernel * dim[1].kernel * (run ? 1 : dim[2].kernel); k++)
                    for (size_t g = 0; g < conv->groups; g++) {
                        const size_t k_2     = run ? 0 : k % dim[2].kernel,
                                     k_1     = (run ? k : k / dim[2].kernel) % dim[1].kernel;
                        const size_t k_0     = (run ? k : k / dim[2].kernel) / dim[1].kernel;
                        const real  *x_first = in.x + (ptrdiff_t)(k_0 * dim[0].dilation) * in.step[0] +
                                               (ptrdiff_t)(k_1 * dim[1].dilation) * in.step[1] +
                                               (ptrdiff_t)(k_2 * dim[2].dilation) * in.step[2] +
                                               g * conv->group_channels;
                        const real  *d_group = d_first + g * n_cols;
                        real        *to      = d_weight + k * n_rows * units + g * n_cols;
                        nest.a               = turned ? d_group : x_first;
                        nest.b               = turned ? x_first : d_group;
                        nest.c               = turned ? scratch->narrow : to;
                        nest.c_row           = (ptrdiff_t)(turned ? n_rows : units);
                        nest.add             = !turned && add;
                        sg_nest_run(&nest);
                        if (turned)
                            add_transposed(n_cols, n_rows, scratch->narrow, to, units, add);
                    }
                add = 1;
            }
}

/* Four sums for each unit, because one would wait for its own addition in every step. */
static void bias_gradient(size_t n_positions, size_t units, const real *d_y, real *d_bias, int add)
{
    for (size_t j = 0; j < units; j += VL) {
        const size_t n = sg_lanes(units - j), whole = n_positions / 4 * 4;
        const real  *d    = d_y + j;
        vr           s[4] = {add ? sg_lanes_load(d_bias + j, n) : vr_zero(), vr_zero(), vr_zero(), vr_zero()};
        for (size_t i = 0; i < whole; i += 4, d += 4 * units) {
            s[0] = vr_add(s[0], sg_lanes_load(d, n));
            s[1] = vr_add(s[1], sg_lanes_load(d + units, n));
            s[2] = vr_add(s[2], sg_lanes_load(d + 2 * units, n));
            s[3] = vr_add(s[3], sg_lanes_load(d + 3 * units, n));
        }
        for (size_t i = whole; i < n_positions; i++, d += units)
            s[0] = vr_add(s[0], sg_lanes_load(d, n));
        sg_lanes_store(d_bias + j, vr_add(vr_add(s[0], s[1]), vr_add(s[2], s[3])), n);
    }
}

/* ----------------------------------------------------------------------------- gradient along the input */
/* The weights of all phases one after the other: (group, taps, group_units, group_channels). */
static void prepare(const sg_op_call *call)
{
    if (call->mode == SG_PLAN_INFER || call->mode == SG_PLAN_TANGENT)
        return;
    const sg_conv      conv   = sg_conv_of(call->site);
    const real        *weight = call->parameters;
    real              *to     = call->packed;
    const sg_conv_dim *dim    = conv.dim;
    for (size_t p_0 = 0; p_0 < dim[0].stride; p_0++)
        for (size_t p_1 = 0; p_1 < dim[1].stride; p_1++)
            for (size_t p_2 = 0; p_2 < dim[2].stride; p_2++) {
                const sg_conv_phase phase[3] = {sg_conv_phase_of(&dim[0], p_0, 0, 1),
                                                sg_conv_phase_of(&dim[1], p_1, 0, 1),
                                                sg_conv_phase_of(&dim[2], p_2, 0, 1)};
                for (size_t g = 0; g < conv.groups; g++)
                    for (size_t t_0 = 0; t_0 < phase[0].n_taps; t_0++)
                        for (size_t t_1 = 0; t_1 < phase[1].n_taps; t_1++)
                            for (size_t t_2 = 0; t_2 < phase[2].n_taps; t_2++) {
                                const size_t k_0 = phase[0].last - t_0 * phase[0].kernel_step;
                                const size_t k_1 = phase[1].last - t_1 * phase[1].kernel_step;
                                const size_t k_2 = phase[2].last - t_2 * phase[2].kernel_step;
                                const real  *tap = weight + g * conv.group_units +
                                                   ((k_0 * dim[1].kernel + k_1) * dim[2].kernel + k_2) *
                                                       conv.group_channels * conv.n_units;
                                for (size_t u = 0; u < conv.group_units; u++)
                                    for (size_t c = 0; c < conv.group_channels; c++)
                                        *to++ = tap[c * conv.n_units + u];
                            }
            }
}

/* Adds the gradient of the padded field to the positions its values were taken from. */
static void fold(const sg_conv *conv, const real *padded, real *d_x)
{
    const sg_conv_dim *dim        = conv->dim;
    const size_t       n_channels = conv->n_channels;
    for (size_t d = 0; d < dim[0].before + dim[0].in + dim[0].after; d++)
        for (size_t h = 0; h < dim[1].before + dim[1].in + dim[1].after; h++) {
            const ptrdiff_t at_d = inside((ptrdiff_t)d - (ptrdiff_t)dim[0].before, dim[0].in, conv->padding);
            const ptrdiff_t at_h = inside((ptrdiff_t)h - (ptrdiff_t)dim[1].before, dim[1].in, conv->padding);
            real           *line = d_x + ((size_t)at_d * dim[1].in + (size_t)at_h) * dim[2].in * n_channels;
            for (size_t w = 0; w < dim[2].before + dim[2].in + dim[2].after; w++, padded += n_channels) {
                real *to = line + inside((ptrdiff_t)w - (ptrdiff_t)dim[2].before, dim[2].in, conv->padding) *
                                      (ptrdiff_t)n_channels;
                for (size_t c = 0; c < n_channels; c++)
                    to[c] += padded[c];
            }
        }
}

static void input_gradient(const sg_conv *conv, const real *d_y, const real *packed, real *d_x, int add,
                           const work *scratch)
{
    const sg_conv_dim *dim    = conv->dim;
    const int          folded = sg_conv_must_fold(conv);
    ptrdiff_t          low[3], high[3], step[3];
    for (int i = 0; i < 3; i++) {
        low[i]  = folded ? -(ptrdiff_t)dim[i].before : 0;
        high[i] = (ptrdiff_t)(dim[i].in + (folded ? dim[i].after : 0));
    }
    step[2] = (ptrdiff_t)conv->n_channels;
    step[1] = step[2] * (high[2] - low[2]);
    step[0] = step[1] * (high[1] - low[1]);

    correlation c = {
        .from   = {d_y,
                   {dim[0].out, dim[1].out, dim[2].out},
                   conv->n_units,
                   conv->padding == SG_PADDING_PERIODIC && !folded ? SG_PADDING_PERIODIC : SG_PADDING_SAME},
        .stride = {1, 1, 1},
        .weight = packed,
        .weight_row     = (ptrdiff_t)conv->group_channels,
        .groups         = conv->groups,
        .group_channels = conv->group_units,
        .group_units    = conv->group_channels,
        .add            = add && !folded,
    };
    for (size_t p_0 = 0; p_0 < dim[0].stride; p_0++)
        for (size_t p_1 = 0; p_1 < dim[1].stride; p_1++)
            for (size_t p_2 = 0; p_2 < dim[2].stride; p_2++) {
                const size_t phase[3] = {p_0, p_1, p_2};
                c.to                  = folded ? scratch->padded : d_x;
                c.weight_group        = (ptrdiff_t)(conv->group_units * conv->group_channels);
                for (int i = 0; i < 3; i++) {
                    const sg_conv_phase p = sg_conv_phase_of(&dim[i], phase[i], low[i], high[i]);
                    c.n[i]                = p.n;
                    c.first[i]            = p.start;
                    c.taps[i]             = p.n_taps;
                    c.tap_step[i]         = p.step;
                    c.to_step[i]          = (ptrdiff_t)dim[i].stride * step[i];
                    c.to += (p.first - low[i]) * step[i];
                    c.weight_group *= (ptrdiff_t)p.n_taps;
                }
                correlate(&c, scratch->copy, scratch->narrow);
                c.weight += (ptrdiff_t)conv->groups * c.weight_group;
            }
    if (folded) {
        if (!add)
            memset(d_x, 0, dim[0].in * dim[1].in * dim[2].in * conv->n_channels * sizeof *d_x);
        fold(conv, scratch->padded, d_x);
    }
}

/* ---------------------------------------------------------------------------------------------- kernels */
static correlation forward_of(const sg_conv *conv, const real *weight, const real *x, real *to)
{
    const sg_conv_dim *dim = conv->dim;
    correlation        c   = {
        .from           = input_field(conv, x),
        .weight         = weight,
        .weight_row     = (ptrdiff_t)conv->n_units,
        .weight_group   = (ptrdiff_t)conv->group_units,
        .groups         = conv->groups,
        .group_channels = conv->group_channels,
        .group_units    = conv->group_units,
        .to             = to,
    };
    for (int i = 0; i < 3; i++) {
        c.n[i]        = dim[i].out;
        c.stride[i]   = dim[i].stride;
        c.first[i]    = -(ptrdiff_t)dim[i].before;
        c.taps[i]     = dim[i].kernel;
        c.tap_step[i] = dim[i].dilation;
    }
    c.to_step[2] = (ptrdiff_t)conv->n_units;
    c.to_step[1] = c.to_step[2] * (ptrdiff_t)dim[2].out;
    c.to_step[0] = c.to_step[1] * (ptrdiff_t)dim[1].out;
    return c;
}

static const real *bias_of(const sg_op_call *call)
{
    return (const real *)call->parameters + call->site->parameter[1].offset;
}

static void forward(const sg_op_call *call)
{
    const sg_op_site *site    = call->site;
    const sg_conv     conv    = sg_conv_of(site);
    const work        scratch = work_of(&conv, call);
    real             *y = call->out, *z = call->saved ? call->saved : y;
    for (size_t row = 0; row < call->n_rows; row++) {
        correlation c = forward_of(&conv, call->parameters,
                                   (const real *)call->in[0] + row * site->in_size[0],
                                   z + row * site->out_size);
        c.bias        = bias_of(call);
        c.activation  = conv.activation;
        c.parameter   = (real)conv.parameter;
        c.y           = y + row * site->out_size;
        correlate(&c, scratch.copy, scratch.narrow);
    }
}

static void backward(const sg_op_call *call)
{
    const sg_op_site *site    = call->site;
    const sg_conv     conv    = sg_conv_of(site);
    const work        scratch = work_of(&conv, call);
    const size_t      n_out = site->out_size, bias = site->parameter[1].offset;
    real             *d_weight = call->d_parameters;
    const real       *y = call->out, *z = call->saved ? call->saved : y;
    for (size_t row = 0; row < call->n_rows; row++) {
        const int add = call->add_parameters || row > 0;
        real     *d   = (real *)call->d_out + row * n_out;
        if (conv.activation != SG_ACTIVATION_linear)
            sg_activate_rows_back(conv.activation, (real)conv.parameter, n_out, z + row * n_out,
                                  y + row * n_out, d, d, 0);
        if (d_weight) {
            weight_gradient(&conv, (const real *)call->in[0] + row * site->in_size[0], d, d_weight, add,
                            &scratch);
            bias_gradient(n_out / conv.n_units, conv.n_units, d, d_weight + bias, add);
        }
        if (call->d_in[0])
            input_gradient(&conv, d, call->packed, (real *)call->d_in[0] + row * site->in_size[0],
                           call->add_in[0], &scratch);
    }
}

/* Along a direction of the input: the convolution without its bias, times the slope of the activation. */
static void tangent(const sg_op_call *call)
{
    const sg_op_site *site    = call->site;
    const sg_conv     conv    = sg_conv_of(site);
    const work        scratch = work_of(&conv, call);
    const size_t      n_out   = site->out_size;
    const real       *y = call->out, *z = call->saved ? call->saved : y;
    for (size_t row = 0; row < call->n_rows; row++) {
        real             *t = (real *)call->t_out + row * n_out;
        const correlation c = forward_of(&conv, call->parameters,
                                         (const real *)call->t_in[0] + row * site->in_size[0], t);
        correlate(&c, scratch.copy, scratch.narrow);
        if (conv.activation != SG_ACTIVATION_linear)
            sg_activate_rows_back(conv.activation, (real)conv.parameter, n_out, z + row * n_out,
                                  y + row * n_out, t, t, 0);
    }
}

const sg_op_kernel SG_HOT(sg_op_kernel_conv) = {prepare, forward, backward, tangent};
