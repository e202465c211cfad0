/* SPDX-License-Identifier: BSD-3-Clause */
/* The front end: checks what comes in, cuts columns into blocks, hands blocks to threads and calls the kernels.
 * Written once for both precisions in front.inc.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "radiation/kernels.h"

/* Cosines and weights of Gauss-Jacobi-5 quadrature for fluxes, Hogan 2023, doi:10.1002/qj.4598, one row per number of
 * angles. */
static const double angle_cosine[4][4] = {
    {0.6096748751},
    {0.2509907356, 0.7908473988},
    {0.1024922169, 0.4417960320, 0.8633751621},
    {0.0454586727, 0.2322334416, 0.5740198775, 0.9030775973},
};
static const double angle_weight[4][4] = {
    {1.0},
    {0.2300253764, 0.7699746236},
    {0.0437820218, 0.3875796738, 0.5686383044},
    {0.0092068785, 0.1285704278, 0.4323381850, 0.4298845087},
};

enum { BLOCK_BYTES = 1 << 21 }; /* optical properties of a block: what stays in the caches while the solver reads it */

/* Elements from row to row of a block: whole segments fit behind the last g-point, and rows do not share cache sets. */
static size_t block_stride(size_t n_g) { return sg_round_up(n_g, 16) + 16; }

static sg_status check_range_value(const char *name, size_t col, size_t lay, int two, double value, double low,
                                   double high, const char *unit, const char *what, sg_error *error)
{
    char place[80];
    if (two)
        snprintf(place, sizeof place, "%s[%zu, %zu]", name, col, lay);
    else
        snprintf(place, sizeof place, "%s[%zu]", name, col);
    sg_status status;
    if (!isfinite(value))
        status = sg_fail(error, SG_ERR_NOT_FINITE, NULL, "%s is %s", place, isnan(value) ? "NaN" : "infinite");
    else
        status = sg_fail(
            error, SG_ERR_DOMAIN, NULL,
            "%s = %.7g%s lies outside %s (%.6g to %.6g%s); pass out_of_range=\"clip\" to clip and count instead", place,
            value, unit, what, low, high, unit);
    if (error)
        snprintf(error->argument, sizeof error->argument, "%s", name);
    return status;
}

#define real        float
#define SG_TYPED(n) n##_f32
#define PICK(table) SG_ISA_PICK(table##_f32, sg_cpu_isa())
#define PRECISION   0
#include "radiation/front.inc.h"
#undef real
#undef SG_TYPED
#undef PICK
#undef PRECISION

#define real        double
#define SG_TYPED(n) n##_f64
#define PICK(table) SG_ISA_PICK(table##_f64, sg_cpu_isa())
#define PRECISION   1
#include "radiation/front.inc.h"
