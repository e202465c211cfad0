/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Activation functions y = f(x): one list with names, a scalar reference in double, and (in hot files) the vector forms that
 * inference and training share. The vector forms have the same bits in every instruction set with fused multiply-add.
 */
#ifndef SG_NN_ACTIVATION_H
#define SG_NN_ACTIVATION_H

#include <stddef.h>

/* X(name, default parameter, formula). The parameter is the slope of leaky_relu and alpha of elu, and unused elsewhere. */
#define SG_ACTIVATION_LIST(X)                                                                                            \
    X(linear, 0, "x")                                                                                                    \
    X(relu, 0, "max(x, 0)")                                                                                              \
    X(leaky_relu, 0.01, "x for x > 0, parameter x elsewhere (parameter >= 0)")                                           \
    X(elu, 1, "x for x > 0, parameter (exp(x) - 1) elsewhere")                                                           \
    X(softsign, 0, "x / (1 + |x|)")                                                                                      \
    X(tanh, 0, "tanh(x)")                                                                                                \
    X(sigmoid, 0, "1 / (1 + exp(-x))")                                                                                   \
    X(swish, 0, "x sigmoid(x)")                                                                                          \
    X(gelu, 0, "x (1 + erf(x / sqrt(2))) / 2: Hendrycks & Gimpel, arXiv:1606.08415, exact form")                          \
    X(softplus, 0, "log(1 + exp(x))")

/* The numbers are positions in the list; files store names. */
typedef enum sg_activation {
#define X(name, parameter, formula) SG_ACTIVATION_##name,
    SG_ACTIVATION_LIST(X)
#undef X
    SG_ACTIVATION_COUNT
} sg_activation;

const char *sg_activation_name(sg_activation kind);       /* NULL outside the list */
const char *sg_activation_formula(sg_activation kind);    /* NULL outside the list */
double      sg_activation_parameter(sg_activation kind);  /* the default parameter */
int         sg_activation_find(const char *name);         /* position in the list, -1 for an unknown name */

/* Non-zero when the derivative needs the input x (swish, gelu); for the others the output y is enough. */
int sg_activation_needs_input(sg_activation kind);

/* Scalar reference in double: value and derivative, both from the input. At the kink of relu, leaky_relu and elu the
 * derivative is that of the left side. */
double sg_activation_value(sg_activation kind, double parameter, double x);
double sg_activation_derivative(sg_activation kind, double parameter, double x);

#ifdef SG_REAL_BITS /* ---------------------------------------------------------------------------------- hot files */

#include "base/vmath.h"

/* Distribution function of the standard normal, what gelu multiplies x with. */
SG_INLINE vr sg_normal_cdf(vr x)
{
    const vr half = vr_set1(R(0.5));
    return vr_fma(vr_erf(vr_mul(x, vr_set1(R(0.70710678118654752440)))), half, half);
}

/* f(x). kind must be a constant where it matters for speed; parameter is a vector so that it is broadcast once. */
SG_INLINE vr vr_activate(sg_activation kind, vr parameter, vr x)
{
    const vr zero = vr_zero();
    switch (kind) {
    case SG_ACTIVATION_relu:
        return vr_max(zero, x); /* in this order NaN stays NaN */
    case SG_ACTIVATION_leaky_relu:
        return vr_select(vr_lt(zero, x), x, vr_mul(parameter, x));
    case SG_ACTIVATION_elu:
        return vr_select(vr_lt(zero, x), x, vr_mul(parameter, vr_expm1(vr_min(zero, x))));
    case SG_ACTIVATION_softsign:
        return vr_div(x, vr_add(vr_set1(1), vr_abs(x)));
    case SG_ACTIVATION_tanh:
        return vr_tanh(x);
    case SG_ACTIVATION_sigmoid:
        return vr_sigmoid(x);
    case SG_ACTIVATION_swish:
        return vr_mul(x, vr_sigmoid(x));
    case SG_ACTIVATION_gelu:
        return vr_mul(x, sg_normal_cdf(x));
    case SG_ACTIVATION_softplus:
        return vr_softplus(x);
    default:
        return x;
    }
}

/* f'(x), from the output y = f(x); x is used by the kinds of sg_activation_needs_input only and may be anything for
 * the others. */
SG_INLINE vr vr_activate_slope(sg_activation kind, vr parameter, vr x, vr y)
{
    const vr one = vr_set1(1), zero = vr_zero();
    switch (kind) {
    case SG_ACTIVATION_relu:
        return vr_select(vr_lt(zero, y), one, zero);
    case SG_ACTIVATION_leaky_relu:
        return vr_select(vr_lt(zero, y), one, parameter);
    case SG_ACTIVATION_elu:
        return vr_select(vr_lt(zero, y), one, vr_add(y, parameter));
    case SG_ACTIVATION_softsign: {
        vr rest = vr_sub(one, vr_abs(y));
        return vr_mul(rest, rest);
    }
    case SG_ACTIVATION_tanh:
        return vr_fnma(y, y, one);
    case SG_ACTIVATION_sigmoid:
        return vr_fnma(y, y, y);
    case SG_ACTIVATION_swish: {
        vr s = vr_sigmoid(x);
        return vr_fma(y, vr_sub(one, s), s);
    }
    case SG_ACTIVATION_gelu: {
        vr density = vr_mul(vr_exp(vr_mul(vr_mul(x, x), vr_set1(R(-0.5)))), vr_set1(R(0.39894228040143267794)));
        return vr_fma(x, density, sg_normal_cdf(x));
    }
    case SG_ACTIVATION_softplus:
        return vr_neg(vr_expm1(vr_neg(y)));
    default:
        return one;
    }
}

#endif
#endif
