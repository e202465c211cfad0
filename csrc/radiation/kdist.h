/* SPDX-License-Identifier: BSD-3-Clause */
/* A correlated-k distribution of the RRTMGP kind: absorption per molecule tabulated over temperature, pressure and
 * the mixing fraction eta of a band's two key gases, plus minor gases and, for the shortwave, Rayleigh scattering and
 * the solar source. Pincus, Mlawer & Delamere 2019, doi:10.1029/2019MS001621.
 *
 * An sg_kdist is built once from the arrays of a table file for the gases a host has. It is immutable and may be used
 * by any number of threads. Inside, the tables are laid out for the kernels: every band is cut into segments of 16 or
 * 8 g-points (padded with zeros), and all that a segment needs for one (temperature, pressure, eta) lies together. */
#ifndef SG_RADIATION_KDIST_H
#define SG_RADIATION_KDIST_H

#include <stdint.h>

#include "base/error.h"

/* The lower atmosphere lies at pressures above press_ref_trop. */
enum { SG_LOWER, SG_UPPER, SG_N_ATMOSPHERE };

/* The arrays of a table file, in its own order: C order, indices from 1. Pointers are read during sg_kdist_create
 * only. */
typedef struct sg_kdist_arrays {
    size_t             n_temperature;  /* 14: points of temp_ref          */
    size_t             n_pressure;     /* 59: points of press_ref         */
    size_t             n_mixing;       /* 9:  points of eta in [0, 1]     */
    size_t             n_band;         /* 16 longwave, 14 shortwave       */
    size_t             n_g;            /* g-points of all bands           */
    size_t             n_gas;          /* gases the file knows            */
    const char *const *gas_name;       /* (n_gas)                         */
    const uint8_t     *gas_wanted;     /* (n_gas), non-zero: the host has this gas */

    const double  *temp_ref;       /* (n_temperature)                [K], ascending, even          */
    const double  *press_ref;      /* (n_pressure)                   [Pa], descending, even in ln p */
    double         press_ref_trop; /*                                [Pa]                          */
    const double  *vmr_ref;        /* (n_temperature, n_gas+1, 2)    [1], gas 0 is dry air         */
    const int32_t *key_species;    /* (n_band, 2 atmospheres, 2)     1-based gas, 0 for none       */
    const int32_t *band_limits_g;  /* (n_band, 2)                    1-based, inclusive            */
    const double  *kmajor;         /* (n_temperature, n_pressure+1, n_mixing, n_g) [cm2 molecule-1] */

    size_t         n_minor[SG_N_ATMOSPHERE];             /* intervals: one minor gas in one band                    */
    size_t         n_contributor[SG_N_ATMOSPHERE];       /* g-points of all intervals                               */
    const double  *kminor[SG_N_ATMOSPHERE];              /* (n_temperature, n_mixing, n_contributor) [cm2 molecule-1] */
    const int32_t *minor_gas[SG_N_ATMOSPHERE];           /* (n_minor)    1-based gas                                */
    const int32_t *minor_limits_g[SG_N_ATMOSPHERE];      /* (n_minor, 2) 1-based, inclusive                         */
    const int32_t *minor_start[SG_N_ATMOSPHERE];         /* (n_minor)    1-based first contributor                  */
    const int32_t *minor_density[SG_N_ATMOSPHERE];       /* (n_minor)    1: scales with 0.01 p / T                  */
    const int32_t *minor_scaling_gas[SG_N_ATMOSPHERE];   /* (n_minor)    1-based gas that scales it, 0: none */
    const int32_t *minor_complement[SG_N_ATMOSPHERE];    /* (n_minor)    1: scales with one minus that fraction     */

    /* Longwave only; NULL in a shortwave table. */
    const double *planck_fraction;  /* as kmajor                 [1]                               */
    size_t        n_planck;         /* 196                                                         */
    const double *totplnk;          /* (n_band, n_planck)        [W m-2 sr-1], even over the range of temp_ref */

    /* Shortwave only; NULL in a longwave table. */
    const double *rayleigh[SG_N_ATMOSPHERE];  /* (n_temperature, n_mixing, n_g) [cm2 molecule-1]   */
    const double *solar_source;               /* (n_g)           [W m-2]                           */
} sg_kdist_arrays;

typedef struct sg_kdist sg_kdist;

/* Builds a table set. Gases that are not wanted leave the minor lists; key gases must all be wanted. SG_ERR_VALUE
 * names the array that contradicts itself, SG_ERR_MEMORY if there is no room. */
sg_status sg_kdist_create(const sg_kdist_arrays *arrays, sg_kdist **kdist, sg_error *error);
void      sg_kdist_free(sg_kdist *kdist);  /* NULL is allowed */

/* ------------------------------------------------------------------------------------------ what the kernels read */

/* 16 or 8 g-points of one band. */
typedef struct sg_kdist_segment {
    uint32_t band;
    uint32_t first_g;                  /* 0-based                                                              */
    uint32_t n_g;                      /* g-points that count; the other lanes hold zeros                      */
    uint32_t n_lane;                   /* 16 or 8                                                              */
    uint32_t flavor[SG_N_ATMOSPHERE];  /* pair of key gases                                                    */
    uint32_t n_minor[SG_N_ATMOSPHERE];
    uint32_t first_minor[SG_N_ATMOSPHERE];    /* its n_minor entries of sg_kdist.scaling                       */
    size_t   major;                    /* first element of its (n_temperature, n_pressure+1, n_mixing, m, n_lane) block:
                                        * m = 2 longwave (k, Planck fraction), 1 shortwave (k)                 */
    size_t   minor[SG_N_ATMOSPHERE];   /* first element of its (n_temperature, n_mixing, m, n_lane) block:
                                        * m = n_minor longwave, n_minor + 1 (Rayleigh last) shortwave          */
} sg_kdist_segment;

/* How the amount of a minor gas in one segment is scaled. */
typedef struct sg_kdist_scaling {
    uint16_t gas;          /* index into gases, 0 = dry air           */
    uint16_t scaling_gas;  /* 0 = none                                */
    uint8_t  density;      /* times 0.01 p / T                        */
    uint8_t  complement;   /* times 1 - y instead of y                */
} sg_kdist_scaling;

/* One precision of the tables; the element type is float or double. */
typedef struct sg_kdist_table {
    const void *major;    /* blocks of the segments                               [cm2 molecule-1], [1] */
    const void *minor;    /* blocks of the segments                                              [cm2 molecule-1] */
    const void *ratio;    /* (n_flavor, 2 atmospheres, n_temperature): vmr_ref of the first key gas by the second's */
    const void *press_grid; /* (n_pressure)           [Pa], exactly even in ln p                                      */
    const void *planck;   /* (n_planck, g_stride): band Planck radiance of each g-point's band   [W m-2 sr-1] */
    const void *solar;    /* (g_stride): share of the solar source                               [1], sums to 1 */
} sg_kdist_table;

struct sg_kdist {
    int    shortwave;
    size_t n_gas;       /* gases in use; gas i of the host is gas i + 1 here, 0 is dry air   */
    size_t n_gas_file;  /* gases the file knows                                              */
    size_t n_band, n_g;
    size_t g_stride;    /* n_g rounded up to 16                                              */
    size_t n_temperature, n_pressure, n_mixing, n_flavor, n_segment, n_planck;
    size_t n_minor[SG_N_ATMOSPHERE];  /* minor gases of all segments                                     */
    size_t h2o;         /* index of water vapour among the gases in use                      */

    double temp_min, temp_max, temp_delta;        /* [K]                                                     */
    double press_min, press_max, press_trop;      /* [Pa]                                                    */
    double log_press_max, log_press_delta;        /* ln p of the first point, spacing (negative)             */
    double planck_delta;                          /* [K]                                                     */
    double solar_total;                           /* sum of the solar source [W m-2]                         */

    const char             **gas_name;            /* (n_gas)                                                 */
    const uint32_t          *file_gas;            /* (n_gas): 0-based index of the gas in the file           */
    const uint32_t          *band_limits_g;       /* (n_band, 2), 0-based first and one past the last        */
    const uint16_t         (*flavor)[2];          /* (n_flavor): indices of the two key gases                */
    const uint8_t          (*flavor_used)[SG_N_ATMOSPHERE];    /* (n_flavor)                                 */
    const sg_kdist_segment  *segment;             /* (n_segment), ascending g                                */
    const sg_kdist_scaling  *scaling[SG_N_ATMOSPHERE];         /* (n_minor), segment by segment              */
    sg_kdist_table           table[2];            /* [0] float, [1] double                                   */
};

/* Multiply-add count of the gas optics of one cell in that atmosphere, padding not counted: per g-point 8 for the key
 * gases (16 with the Planck fraction), 2 for their amounts, 5 per minor gas, 5 for Rayleigh. For benchmarks. */
size_t sg_kdist_fma_count(const sg_kdist *kdist, int atmosphere);

#endif
