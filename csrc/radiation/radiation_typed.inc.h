/* SPDX-License-Identifier: BSD-3-Clause */
/* The typed part of radiation.h, included once per precision with
 *   real         float or double
 *   SG_TYPED(n)  n_f32 or n_f64
 * Only radiation.h includes this file. */

/* Concentration of one gas: one number (strides 0, 0), one per column (1, 0), or (n_col, n_lay) with strides (n_lay,
 * 1). */
typedef struct SG_TYPED(sg_gas) {
    const real *vmr;         /* mole fraction relative to dry air [1]; NULL: none of it */
    size_t      col_stride;  /* in elements                                             */
    size_t      lay_stride;
} SG_TYPED(sg_gas);

/* Atmospheric columns. */
typedef struct SG_TYPED(sg_columns) {
    size_t                  n_col, n_lay;
    const real             *p_lay;  /* (n_col, n_lay)   [Pa]                                                    */
    const real             *p_lev;  /* (n_col, n_lay+1) [Pa]                                                    */
    const real             *t_lay;  /* (n_col, n_lay)   [K]                                                     */
    const real             *t_lev;  /* (n_col, n_lay+1) [K], longwave; NULL: interpolated in pressure from t_lay */
    const real             *t_sfc;  /* (n_col)          [K], longwave                                           */
    const SG_TYPED(sg_gas) *gas;    /* (kdist->n_gas) in the order of kdist->gas_name                           */
} SG_TYPED(sg_columns);

/* ------------------------------------------------------------------------------------------------ the optics slot */

/* One block of columns as an optics function sees it: cells in rows, top layer first, row = layer * n_col + column. */
typedef struct SG_TYPED(sg_optics_block) {
    size_t      n_col, n_lay, n_row;  /* n_row = n_lay * n_col                                                      */
    const real *t_lay;                /* (n_row)        [K]                                                         */
    const real *p_lay;                /* (n_row)        [Pa]                                                        */
    const real *col_dry;              /* (n_row)        [molecule cm-2] of dry air                                  */
    const real *vmr;                  /* (n_gas, n_row) [1], gases in the order of kdist->gas_name                  */
    size_t      g_stride;             /* elements from row to row in the outputs, at least n_g                      */
    real       *tau;                  /* (n_row, n_g)   absorption optical depth [1]                                */
    real       *second;               /* (n_row, n_g)   [1] longwave Planck fraction, shortwave Rayleigh optical depth */
} SG_TYPED(sg_optics_block);

/* Something that computes optical properties: the table kernel, a network, foreign code. optics() fills both outputs of
 * the block, elements n_g .. g_stride-1 of a row excluded; it is called from several threads at once, each with its own
 * scratch of scratch_bytes, aligned to SG_ALIGNMENT. */
typedef struct SG_TYPED(sg_optics_slot) {
    sg_status (*optics)(void *context, const SG_TYPED(sg_optics_block) *block, void *scratch, sg_error *error);
    void  *context;
    size_t scratch_bytes;
} SG_TYPED(sg_optics_slot);

/* The table kernel as a slot. kdist must outlive it. */
SG_TYPED(sg_optics_slot) SG_TYPED(sg_radiation_table_slot)(const sg_kdist *kdist);

/* Bytes of workspace that any call of this precision needs for these sizes. kdist may be NULL for the solvers alone,
 * slot NULL for the table kernel. */
size_t SG_TYPED(sg_radiation_workspace_bytes)(const sg_kdist *kdist, size_t n_col, size_t n_lay,
                                              const SG_TYPED(sg_optics_slot) *slot, int num_threads);

/* --------------------------------------------------------------------------------------------------------- fluxes */

/* Fluxes a solver writes; NULL for what is not wanted. Positive numbers, upward and downward. */
typedef struct SG_TYPED(sg_fluxes) {
    real *up;           /* (n_col, n_lay+1)      [W m-2]                                                  */
    real *down;         /* (n_col, n_lay+1)      [W m-2], shortwave: diffuse and direct                   */
    real *direct;       /* (n_col, n_lay+1)      [W m-2], shortwave: direct beam, down                    */
    real *up_jacobian;  /* (n_col, n_lay+1)      [W m-2 K-1], longwave: d up / d surface temperature      */
    real *up_g;         /* (n_col, n_lay+1, n_g) [W m-2], up by g-point                                   */
    real *down_g;       /* (n_col, n_lay+1, n_g) [W m-2]                                                  */
} SG_TYPED(sg_fluxes);

/* Clear-sky longwave fluxes of columns over a surface. */
sg_status SG_TYPED(sg_radiation_fluxes_lw)(
    const sg_kdist                 *kdist,        /* bands and Planck function; its tables unless slot is given       */
    const SG_TYPED(sg_columns)     *columns,
    const real                     *emissivity,   /* (n_col) [1], 0 to 1                                              */
    sg_lw_angles                    angles,
    const SG_TYPED(sg_optics_slot) *slot,         /* NULL: the table kernel                                           */
    sg_work                         work,
    sg_range                       *range,
    const SG_TYPED(sg_fluxes)      *fluxes,
    sg_error                       *error);

/* Clear-sky shortwave fluxes of columns over a surface. Columns with mu0 <= 0 get zeros. */
sg_status SG_TYPED(sg_radiation_fluxes_sw)(
    const sg_kdist                 *kdist,
    const SG_TYPED(sg_columns)     *columns,
    const real                     *mu0,             /* (n_col) [1] cosine of the solar zenith angle                  */
    const real                     *tsi,             /* (n_col) [W m-2] across the beam; NULL: kdist->solar_total */
    const real                     *albedo_direct,   /* (n_col) [1], 0 to 1                                           */
    const real                     *albedo_diffuse,  /* (n_col) [1], 0 to 1                                           */
    const SG_TYPED(sg_optics_slot) *slot,
    sg_work                         work,
    sg_range                       *range,
    const SG_TYPED(sg_fluxes)      *fluxes,
    sg_error                       *error);

/* ----------------------------------------------------------------------------------------------------- gas optics */

/* Longwave optical properties; NULL for what is not wanted. */
typedef struct SG_TYPED(sg_optics_lw) {
    real *tau;              /* (n_col, n_lay, n_g)   absorption optical depth [1]                           */
    real *planck_fraction;  /* (n_col, n_lay, n_g)   share of the g-point in its band's Planck function [1] */
    real *lay_source;       /* (n_col, n_lay, n_g)   [W m-2 sr-1]                                           */
    real *lev_source;       /* (n_col, n_lay+1, n_g) [W m-2 sr-1], geometric mean of both layers' fractions */
    real *sfc_source;       /* (n_col, n_g)          [W m-2 sr-1]                                           */
    real *sfc_jacobian;     /* (n_col, n_g)          [W m-2 sr-1 K-1], source at t_sfc + 1 K less source    */
} SG_TYPED(sg_optics_lw);

/* Shortwave optical properties; NULL for what is not wanted. The asymmetry of gases is zero. */
typedef struct SG_TYPED(sg_optics_sw) {
    real *tau;           /* (n_col, n_lay, n_g) optical depth, absorption and Rayleigh [1] */
    real *ssa;           /* (n_col, n_lay, n_g) single-scattering albedo [1]               */
    real *tau_rayleigh;  /* (n_col, n_lay, n_g) [1]                                        */
} SG_TYPED(sg_optics_sw);

sg_status SG_TYPED(sg_radiation_gas_optics_lw)(
    const sg_kdist               *kdist,
    const SG_TYPED(sg_columns)   *columns,  /* t_sfc may be NULL when no surface source is wanted */
    sg_work                       work,
    sg_range                     *range,
    const SG_TYPED(sg_optics_lw) *optics,
    sg_error                     *error);

sg_status SG_TYPED(sg_radiation_gas_optics_sw)(
    const sg_kdist               *kdist,
    const SG_TYPED(sg_columns)   *columns,
    sg_work                       work,
    sg_range                     *range,
    const SG_TYPED(sg_optics_sw) *optics,
    sg_error                     *error);

/* Optics of single cells per molecule of dry air. */
sg_status SG_TYPED(sg_radiation_cross_sections)(
    const sg_kdist         *kdist,
    size_t                  n_row,
    const real             *t,        /* (n_row)      [K]                                                          */
    const real             *p,        /* (n_row)      [Pa]                                                         */
    const SG_TYPED(sg_gas) *gas,      /* (n_gas), col_stride from row to row                                       */
    sg_work                 work,
    sg_range               *range,
    real                   *absorption,  /* (n_row, n_g) [cm2 molecule-1]                                          */
    real                   *second,      /* (n_row, n_g) longwave: Planck fraction [1]; shortwave: Rayleigh [cm2] */
    sg_error               *error);

/* -------------------------------------------------------------------------------------------------------- solvers */

/* Longwave fluxes without scattering. */
sg_status SG_TYPED(sg_radiation_solve_lw)(
    size_t      n_col,
    size_t      n_lay,
    size_t      n_g,
    int         top_first,     /* 1: layer 0 is at the top, 0: at the surface             */
    const real *tau,           /* (n_col, n_lay, n_g)   [1]                               */
    const real *lay_source,    /* (n_col, n_lay, n_g)   [W m-2 sr-1]                      */
    const real *lev_source,    /* (n_col, n_lay+1, n_g) [W m-2 sr-1]                      */
    const real *sfc_source,    /* (n_col, n_g)          [W m-2 sr-1], black surface       */
    const real *sfc_jacobian,  /* (n_col, n_g)          [W m-2 sr-1 K-1], NULL: not wanted */
    const real *emissivity,    /* (n_col)               [1]                               */
    const real *down_toa,      /* (n_col, n_g)          [W m-2], NULL: none               */
    sg_lw_angles                angles,
    sg_work                     work,
    const SG_TYPED(sg_fluxes)  *fluxes,
    sg_error                   *error);

/* Shortwave fluxes: two-stream and adding. */
sg_status SG_TYPED(sg_radiation_solve_sw)(
    size_t      n_col,
    size_t      n_lay,
    size_t      n_g,
    int         top_first,
    const real *tau,             /* (n_col, n_lay, n_g) [1]                                */
    const real *ssa,             /* (n_col, n_lay, n_g) [1]                                */
    const real *asymmetry,       /* (n_col, n_lay, n_g) [1], NULL: zero                    */
    const real *mu0,             /* (n_col)             [1]                                */
    const real *toa_source,      /* (n_col, n_g)        [W m-2] across the beam            */
    const real *albedo_direct,   /* (n_col)             [1]                                */
    const real *albedo_diffuse,  /* (n_col)             [1]                                */
    sg_work                     work,
    const SG_TYPED(sg_fluxes)  *fluxes,
    sg_error                   *error);

/* Heating by the divergence of net flux, with SG_GRAVITY and SG_HEAT_CAPACITY. */
void SG_TYPED(sg_radiation_heating_rate)(
    size_t      n_col,
    size_t      n_lay,
    const real *p_lev,    /* (n_col, n_lay+1) [Pa]    */
    const real *up,       /* (n_col, n_lay+1) [W m-2] */
    const real *down,     /* (n_col, n_lay+1) [W m-2] */
    real       *heating); /* (n_col, n_lay)   [K s-1] */
