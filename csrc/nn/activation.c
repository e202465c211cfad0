/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/activation.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    double      parameter;
    const char *formula;
} table[SG_ACTIVATION_COUNT] = {
#define X(name, parameter, formula) {#name, parameter, formula},
    SG_ACTIVATION_LIST(X)
#undef X
};

static int known(sg_activation kind) { return (unsigned)kind < SG_ACTIVATION_COUNT; }

const char *sg_activation_name(sg_activation kind) { return known(kind) ? table[kind].name : NULL; }
const char *sg_activation_formula(sg_activation kind) { return known(kind) ? table[kind].formula : NULL; }
double      sg_activation_parameter(sg_activation kind) { return known(kind) ? table[kind].parameter : 0; }

int sg_activation_find(const char *name)
{
    for (int kind = 0; kind < SG_ACTIVATION_COUNT; kind++)
        if (strcmp(name, table[kind].name) == 0)
            return kind;
    return -1;
}

int sg_activation_needs_input(sg_activation kind) { return kind == SG_ACTIVATION_swish || kind == SG_ACTIVATION_gelu; }

static double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
static double sigmoid_slope(double x) { return sigmoid(x) * sigmoid(-x); }

static double normal_cdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }
static double normal_density(double x) { return 0.39894228040143267794 * exp(-0.5 * x * x); }

double sg_activation_value(sg_activation kind, double parameter, double x)
{
    switch (kind) {
    case SG_ACTIVATION_relu: return x > 0 ? x : 0;
    case SG_ACTIVATION_leaky_relu: return x > 0 ? x : parameter * x;
    case SG_ACTIVATION_elu: return x > 0 ? x : parameter * expm1(x);
    case SG_ACTIVATION_softsign: return x / (1 + fabs(x));
    case SG_ACTIVATION_tanh: return tanh(x);
    case SG_ACTIVATION_sigmoid: return sigmoid(x);
    case SG_ACTIVATION_swish: return x * sigmoid(x);
    case SG_ACTIVATION_gelu: return x * normal_cdf(x);
    case SG_ACTIVATION_softplus: return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
    default: return x;
    }
}

double sg_activation_derivative(sg_activation kind, double parameter, double x)
{
    switch (kind) {
    case SG_ACTIVATION_relu: return x > 0;
    case SG_ACTIVATION_leaky_relu: return x > 0 ? 1 : parameter;
    case SG_ACTIVATION_elu: return x > 0 ? 1 : parameter * exp(x);
    case SG_ACTIVATION_softsign: return 1 / ((1 + fabs(x)) * (1 + fabs(x)));
    case SG_ACTIVATION_tanh: return 1 - tanh(x) * tanh(x);
    case SG_ACTIVATION_sigmoid: return sigmoid_slope(x);
    case SG_ACTIVATION_swish: return sigmoid(x) + x * sigmoid_slope(x);
    case SG_ACTIVATION_gelu: return normal_cdf(x) + x * normal_density(x);
    case SG_ACTIVATION_softplus: return sigmoid(x);
    default: return 1;
    }
}
