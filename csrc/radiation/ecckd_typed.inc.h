/* SPDX-License-Identifier: BSD-3-Clause */
/* The typed part of ecckd.h, included once per precision (see radiation_typed.inc.h). */

/* Pure functions of the hot file. */
typedef struct SG_TYPED(sg_ecckd_kernels) {
    void (*cells)(
        const sg_ecckd *ecckd,
        size_t          n,
        const real     *t,           /* (n)        [K]                                              */
        const real     *p,           /* (n)        [Pa]                                             */
        const real     *moles,       /* (n)        dry air [mol m-2]                                */
        const real     *vmr,         /* (n_gas, n) [1] relative to dry air                          */
        const real     *h2o,         /* (n)        [1] the same of water vapour                     */
        real           *tau,         /* (n, n_g)   absorption optical depth [1]                     */
        real           *rayleigh);   /* (n, n_g)   [1], shortwave                                   */
    void (*planck)(
        const sg_ecckd *ecckd,
        size_t          n,
        const real     *t,           /* (n)        [K]                                              */
        real           *source);     /* (n, n_g)   [W m-2 sr-1]                                     */
} SG_TYPED(sg_ecckd_kernels);

/* Bytes of work.workspace in the two calls below. */
size_t SG_TYPED(sg_ecckd_workspace_bytes)(const sg_ecckd *ecckd, size_t n_lay, int num_threads);

/* Optical depth and sources; columns->gas in the order of the definition, h2o among them. planck_fraction and sfc_jacobian of
 * optics must be NULL. Pressures and temperatures off the tables are held at their ends by the model; as elsewhere that is an
 * SG_ERR_DOMAIN unless range->clip says that it is wanted. */
sg_status SG_TYPED(sg_ecckd_optics_lw)(
    const sg_ecckd               *ecckd,
    const SG_TYPED(sg_columns)   *columns,
    size_t                        h2o,          /* index of water vapour in columns->gas                  */
    sg_work                       work,
    sg_range                     *range,
    const SG_TYPED(sg_optics_lw) *optics,
    sg_error                     *error);

sg_status SG_TYPED(sg_ecckd_optics_sw)(
    const sg_ecckd               *ecckd,
    const SG_TYPED(sg_columns)   *columns,
    size_t                        h2o,
    sg_work                       work,
    sg_range                     *range,
    const SG_TYPED(sg_optics_sw) *optics,
    sg_error                     *error);
