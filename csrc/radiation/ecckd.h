/* SPDX-License-Identifier: BSD-3-Clause */
/* Gas optics of ecCKD definition files: molar absorption coefficients of each gas and g-point over temperature, pressure and,
 * for some gases, mole fraction. Hogan & Matricardi 2022, doi:10.1029/2022MS003033.
 *
 * Optical properties come out in the arrays of radiation.h and go to its solvers. Two conventions of the model differ from
 * RRTMGP's: Planck functions belong to g-points, so that levels and layers have sources of their own, and longwave
 * coefficients were fitted with a diffusivity secant of 1.66. */
#ifndef SG_RADIATION_ECCKD_H
#define SG_RADIATION_ECCKD_H

#include "base/cpu.h"
#include "radiation/radiation.h"

#define SG_ECCKD_MAX_GAS 32

/* How absorption depends on the mole fraction of the gas; the files' own codes. */
typedef enum sg_ecckd_dependence {
    SG_ECCKD_NONE,      /* a mixture with fixed fractions: coefficients per mole of dry air  */
    SG_ECCKD_LINEAR,    /* proportional                                                     */
    SG_ECCKD_LOOK_UP,   /* proportional, with a coefficient that depends on the fraction    */
    SG_ECCKD_RELATIVE   /* proportional to the difference from a reference fraction         */
} sg_ecckd_dependence;

typedef struct sg_ecckd_gas {
    sg_ecckd_dependence dependence;
    size_t              n_fraction;    /* mole fractions tabulated; 1 unless LOOK_UP                         */
    const double       *fraction;      /* (n_fraction) [1], even in the logarithm; LOOK_UP only              */
    double              reference;     /* [1]; RELATIVE only                                                 */
    const double       *absorption;    /* (n_fraction, n_temperature, n_pressure, n_g) [m2 mol-1]            */
} sg_ecckd_gas;

typedef struct sg_ecckd_arrays {
    size_t              n_temperature, n_pressure, n_g, n_gas;
    const double       *pressure;      /* (n_pressure) [Pa], ascending, even in the logarithm                */
    const double       *temperature;   /* (n_temperature, n_pressure) [K], even steps, the same at every p   */
    const sg_ecckd_gas *gas;           /* (n_gas)                                                            */
    size_t              n_planck;
    const double       *planck_temperature;  /* (n_planck) [K], even steps; longwave                         */
    const double       *planck;        /* (n_planck, n_g) [W m-2]; NULL: shortwave                           */
    const double       *rayleigh;      /* (n_g) [m2 mol-1]; NULL: longwave                                   */
} sg_ecckd_arrays;

/* Both precisions of one definition, immutable. */
typedef struct sg_ecckd {
    int    shortwave;
    size_t n_temperature, n_pressure, n_g, n_gas, n_planck;
    size_t g_stride;                                  /* n_g rounded up to 16                                        */
    double log_p_first, log_p_step;
    double p_min, p_max;                              /* [Pa]                                                        */
    double t_step;                                    /* [K]                                                         */
    double *t_first;                                  /* (n_pressure) [K]                                            */
    double planck_first, planck_step;                 /* [K]                                                         */
    struct {
        sg_ecckd_dependence dependence;
        size_t              n_fraction, table;        /* table: first element of (n_fraction, n_temperature, n_pressure, g_stride) */
        double              log_first, log_step, first, reference;
    } gas[SG_ECCKD_MAX_GAS];
    void *absorption[2];                              /* [0] float, [1] double                                       */
    void *planck[2];                                  /* (n_planck, g_stride) [W m-2 sr-1]                           */
    void *rayleigh[2];                                /* (g_stride) [m2 mol-1]                                       */
} sg_ecckd;

/* SG_ERR_VALUE names the array that contradicts itself. */
sg_status sg_ecckd_create(const sg_ecckd_arrays *arrays, sg_ecckd **ecckd, sg_error *error);
void      sg_ecckd_free(sg_ecckd *ecckd);  /* NULL is allowed */

#define real        float
#define SG_TYPED(n) n##_f32
#include "radiation/ecckd_typed.inc.h"
#undef real
#undef SG_TYPED

#define real        double
#define SG_TYPED(n) n##_f64
#include "radiation/ecckd_typed.inc.h"
#undef real
#undef SG_TYPED

SG_ISA_DECLARE(sg_ecckd_kernels_f32, sg_radiation_ecckd_f32);
SG_ISA_DECLARE(sg_ecckd_kernels_f64, sg_radiation_ecckd_f64);

#endif
