/* SPDX-License-Identifier: BSD-3-Clause */
/* For hot files: VL events at a time to the columns of a sample. Large samples are written past the caches, in whole cache lines:
 * memory then is not read before it is overwritten. Where columns do not start alike within a line they are written as usual. */
#ifndef SG_EVENTS_COLUMNS_H
#define SG_EVENTS_COLUMNS_H

#include "base/simd.h"

#define SG_MAX_COLUMNS 64
#define SG_LINE ((int)(64 / sizeof(real)))  /* numbers of a cache line */

typedef struct sg_columns {
    size_t n_columns, stride, head;  /* head: events before the first whole line */
    int    stream;
    real  *out;                      /* (n_columns, stride) */
    real   line[SG_MAX_COLUMNS][SG_LINE] __attribute__((aligned(64)));  /* of each column, where a line is several vectors */
} sg_columns;

SG_INLINE sg_columns sg_columns_of(size_t n_columns, size_t stride, size_t n, int stream, real *out)
{
    size_t     beyond = (uintptr_t)out % 64 / sizeof(real);
    sg_columns c;
    c.n_columns = n_columns;
    c.stride    = stride;
    c.out       = out;
    c.head      = beyond ? SG_LINE - beyond : 0;
    c.stream    = 0;
#ifdef __AVX2__
    c.stream = stream && stride % SG_LINE == 0 && n > SG_LINE;
#endif
    (void)stream;
    (void)n;
    if (!c.stream)
        c.head = 0;
    return c;
}

/* How many events to make now: VL, or fewer before the first line and at the end. */
SG_INLINE size_t sg_columns_lanes(const sg_columns *c, size_t i, size_t n)
{
    size_t left = i < c->head ? c->head - i : n - i;
    return left < VL ? left : VL;
}

/* Puts events i, ..., i + lanes - 1: one vector for each column. */
SG_INLINE void sg_columns_put(sg_columns *c, size_t i, size_t lanes, const vr *column /* (n_columns) */)
{
    real  *to = c->out + i;
    size_t n  = c->n_columns, stride = c->stride;
    if (lanes < VL) {
        for (size_t k = 0; k < n; k++)
            vr_store_n(to + k * stride, column[k], lanes);
#ifdef __AVX2__
    } else if (c->stream && i >= c->head) {
        if (VL == SG_LINE) {
            for (size_t k = 0; k < n; k++)
                SG_VR(stream)(to + k * stride, column[k]);
            return;
        }
        size_t part = (i - c->head) % SG_LINE;
        for (size_t k = 0; k < n; k++)
            vr_store(c->line[k] + part, column[k]);
        if (part + VL < SG_LINE)
            return;
        for (size_t k = 0; k < n; k++)
            for (int j = 0; j < SG_LINE; j += VL)
                SG_VR(stream)(to + k * stride - part + j, vr_load(c->line[k] + j));
#endif
    } else {
        for (size_t k = 0; k < n; k++)
            vr_store(to + k * stride, column[k]);
    }
}

SG_INLINE void sg_columns_end(sg_columns *c, size_t n)
{
#ifdef __AVX2__
    if (!c->stream)
        return;
    /* A line begun by the last whole vectors. */
    size_t whole = (n - c->head) / VL * VL, part = whole % SG_LINE;
    for (size_t k = 0; VL < SG_LINE && part && k < c->n_columns; k++)
        memcpy(c->out + k * c->stride + c->head + whole - part, c->line[k], part * sizeof(real));
    _mm_sfence();
#endif
    (void)c;
    (void)n;
}

#endif
