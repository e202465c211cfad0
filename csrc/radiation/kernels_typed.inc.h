/* SPDX-License-Identifier: BSD-3-Clause */
/* The typed part of kernels.h, included once per precision (see radiation_typed.inc.h). Pure functions: no checks, no
 * allocation. Pointers to rows need no alignment. */

/* Where a temperature lies in the Planck table. */
typedef struct SG_TYPED(sg_planck_point) {
    size_t row;     /* element of the row below, a multiple of the row length */
    real   weight;  /* of the row above                                       */
} SG_TYPED(sg_planck_point);

/* The optics of up to SG_RADIATION_COLUMNS cells. */
typedef struct SG_TYPED(sg_optics_kernels) {
    size_t (*scratch_bytes)(const sg_kdist *kdist);
    void (*cells)(
        const sg_kdist *kdist,
        size_t          n,           /* cells, at most SG_RADIATION_COLUMNS */
        const real     *t,           /* (n)        [K], within the table */
        const real     *p,           /* (n)        [Pa], within the table */
        const real     *col_dry,     /* (n)        [molecule cm-2] */
        const real     *vmr,         /* (n_gas, n) [1] */
        size_t          vmr_stride,  /* elements from gas to gas */
        size_t          g_stride,    /* elements from cell to cell in the outputs, room for whole segments: n_g + 15 */
        real           *tau,         /* (n, n_g)   absorption optical depth [1] */
        real           *second,      /* (n, n_g)   [1] longwave: Planck fraction; shortwave: Rayleigh optical depth */
        void           *scratch);
} SG_TYPED(sg_optics_kernels);

/* One column for the longwave solver, top layer first. Strides count elements and may be negative. */
typedef struct SG_TYPED(sg_lw_column) {
    size_t      n_lay, n_g;
    const real *tau;           /* (n_lay, n_g) [1]                                                     */
    ptrdiff_t   tau_stride;    /* from layer to layer                                                  */

    /* Sources [W m-2 sr-1], given ... */
    const real *lay_source;    /* (n_lay, n_g)                                                         */
    ptrdiff_t   lay_stride;
    const real *lev_source;    /* (n_lay+1, n_g)                                                       */
    ptrdiff_t   lev_stride;
    const real *sfc_source;    /* (n_g)                                                                */
    const real *sfc_jacobian;  /* (n_g) [W m-2 sr-1 K-1], NULL: not wanted                             */

    /* ... or, with fraction not NULL, made from Planck fractions and band Planck functions. */
    const real *fraction;      /* (n_lay, n_g) [1]                                                     */
    ptrdiff_t   fraction_stride;
    const real *planck;        /* (n_planck, n_g) [W m-2 sr-1], the k-distribution's                   */
    const SG_TYPED(sg_planck_point) *lay_point;  /* (n_lay)                                            */
    const SG_TYPED(sg_planck_point) *lev_point;  /* (n_lay+1)                                          */
    const SG_TYPED(sg_planck_point) *sfc_point;  /* (2) at the surface temperature and 1 K above       */
    size_t                           planck_row; /* elements per row of planck                         */

    real        emissivity;    /* [1]                                                                  */
    const real *down_toa;      /* (n_g) [W m-2], NULL: none                                            */
    int         n_angle;
    const real *secant;        /* (n_angle) [1]                                                        */
    const real *weight;        /* (n_angle) [1], sums to 1                                             */

    ptrdiff_t   flux_stride;   /* from level to level in the broadband fluxes                          */
    real       *up, *down, *up_jacobian;  /* (n_lay+1) [W m-2], NULL: not wanted                       */
    ptrdiff_t   flux_g_stride;
    real       *up_g, *down_g;            /* (n_lay+1, n_g)                                            */
} SG_TYPED(sg_lw_column);

/* One column for the shortwave solver, top layer first. */
typedef struct SG_TYPED(sg_sw_column) {
    size_t      n_lay, n_g;
    const real *tau;         /* (n_lay, n_g) [1]: total, or absorption if rayleigh is given            */
    const real *ssa;         /* (n_lay, n_g) [1], or ...                                               */
    const real *rayleigh;    /* (n_lay, n_g) ... scattering optical depth [1], not NULL: use this one  */
    const real *asymmetry;   /* (n_lay, n_g) [1], NULL: zero                                           */
    ptrdiff_t   lay_stride;  /* of all four                                                            */
    real        mu0;         /* [1] > 0                                                                */
    const real *toa_source;  /* (n_g) [1 or W m-2] across the beam, times toa_scale                    */
    real        toa_scale;
    real        albedo_direct, albedo_diffuse;  /* [1]                                                 */
    ptrdiff_t   flux_stride;
    real       *up, *down, *direct;
    ptrdiff_t   flux_g_stride;
    real       *up_g, *down_g;
} SG_TYPED(sg_sw_column);

typedef struct SG_TYPED(sg_solver_kernels) {
    size_t (*scratch_bytes)(size_t n_lay);
    void (*longwave)(const SG_TYPED(sg_lw_column) *column, void *scratch);
    void (*shortwave)(const SG_TYPED(sg_sw_column) *column, void *scratch);
    /* Sources of one column as arrays: outputs as in sg_optics_lw, NULL where not wanted, strides from the column. */
    void (*sources)(const SG_TYPED(sg_lw_column) *column, real *lay_source, real *lev_source, real *sfc_source,
                    real *sfc_jacobian);
} SG_TYPED(sg_solver_kernels);
