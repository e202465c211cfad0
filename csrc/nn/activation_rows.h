/* SPDX-License-Identifier: BSD-3-Clause */
/* Activations over whole arrays, for the hot files of operators: the switch over the kind stands outside the loop. */
#ifndef SG_NN_ACTIVATION_ROWS_H
#define SG_NN_ACTIVATION_ROWS_H

#include "nn/activation.h"
#include "nn/lanes.h"

/* y = f(x); y may be x. */
#define X(name, standard, formula)                                                                          \
    static void sg_activate_##name(real parameter, size_t n, const real *x, real *y)                        \
    {                                                                                                       \
        const vr p = vr_set1(parameter);                                                                    \
        size_t   i = 0;                                                                                     \
        for (; i + VL <= n; i += VL)                                                                        \
            vr_store(y + i, vr_activate(SG_ACTIVATION_##name, p, vr_load(x + i)));                          \
        if (i < n)                                                                                          \
            sg_lanes_store(y + i, vr_activate(SG_ACTIVATION_##name, p, sg_lanes_load(x + i, n - i)), n - i);        \
    }                                                                                                       \
    /* d_x = d_y f'(x), added to d_x if add; d_x may be d_y. x may be y where f' needs only y. */           \
    static void sg_activate_back_##name(real parameter, size_t n, const real *x, const real *y,             \
                                        const real *d_y, real *d_x, int add)                                \
    {                                                                                                       \
        const vr p = vr_set1(parameter);                                                                    \
        for (size_t i = 0; i < n; i += VL) {                                                                \
            size_t left = sg_lanes(n - i);                                                                  \
            vr     d    = vr_mul(sg_lanes_load(d_y + i, left),                                                  \
                                 vr_activate_slope(SG_ACTIVATION_##name, p, sg_lanes_load(x + i, left),         \
                                                   sg_lanes_load(y + i, left)));                                \
            sg_lanes_store(d_x + i, add ? vr_add(sg_lanes_load(d_x + i, left), d) : d, left);                       \
        }                                                                                                   \
    }
SG_ACTIVATION_LIST(X)
#undef X

static inline void sg_activate_rows(sg_activation kind, real parameter, size_t n, const real *x, real *y)
{
    switch (kind) {
#define X(name, standard, formula)                    \
    case SG_ACTIVATION_##name:                        \
        sg_activate_##name(parameter, n, x, y);       \
        break;
        SG_ACTIVATION_LIST(X)
#undef X
    case SG_ACTIVATION_COUNT: break;
    }
}

static inline void sg_activate_rows_back(sg_activation kind, real parameter, size_t n, const real *x, const real *y,
                                         const real *d_y, real *d_x, int add)
{
    switch (kind) {
#define X(name, standard, formula)                                      \
    case SG_ACTIVATION_##name:                                          \
        sg_activate_back_##name(parameter, n, x, y, d_y, d_x, add);     \
        break;
        SG_ACTIVATION_LIST(X)
#undef X
    case SG_ACTIVATION_COUNT: break;
    }
}

#endif
