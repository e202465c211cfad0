/* SPDX-License-Identifier: BSD-3-Clause */
/* Neural surrogates in the optics slot. Of each output of the slot one surrogate stands in for the whole column, or
 * several share it by pressure; as a rule with a bound at the tropopause, where the tables change their key gases.
 *
 * Rows of a block are sorted by pressure, some hundreds at a time, so that every surrogate sees contiguous rows. What
 * a row gives depends on that row only: bits do not depend on blocks, threads or instruction sets (v3 and v4). */
#ifndef SG_RADIATION_NETWORK_SLOT_H
#define SG_RADIATION_NETWORK_SLOT_H

#include "radiation/radiation.h"
#include "simgraft/surrogate.h"

#define SG_NETWORK_PARTS 16  /* surrogates that share one output at most */

/* What the surrogates give, each n_g values. Names of their outputs must be these. */
typedef enum sg_network_outputs {
    SG_NETWORK_PLANCK,   /* longwave:  "absorption" [cm2 molecule-1], "planck_fraction" [1]                          */
    SG_NETWORK_RAYLEIGH, /* shortwave: "absorption", "rayleigh" [cm2 molecule-1]                                     */
    SG_NETWORK_ALBEDO    /* shortwave: "extinction" [cm2 molecule-1], "single_scattering_albedo" [1], as Veerman
                          * et al. 2021, doi:10.1098/rsta.2020.0095 */
} sg_network_outputs;

/* What to do with rows outside the domain of a surrogate. */
typedef enum sg_network_guard {
    SG_NETWORK_UNCHECKED,
    SG_NETWORK_COUNT,  /* compute and count them                                        */
    SG_NETWORK_STOP    /* SG_ERR_DOMAIN, or SG_ERR_NOT_FINITE, names one of the first    */
} sg_network_guard;

/* One surrogate. Its inputs may be "temperature" [K], "pressure" [Pa] and mole fractions by the name of the gas [1], in
 * any order; a gas that the table does not know is 0. */
typedef struct sg_network_part {
    const sg_surrogate *surrogate;
    double              p_low;  /* [Pa] it holds above this, up to the p_low of the part before; ignored in the last */
    sg_network_guard    guard;
} sg_network_part;

/* Surrogates and table must outlive the slot. */
typedef struct sg_network_setup {
    const sg_kdist        *kdist;
    sg_network_outputs     outputs;
    size_t                 n_part[2];    /* of the first and of the second output, 1 to SG_NETWORK_PARTS           */
    const sg_network_part *part[2];      /* from the surface upwards                                               */
    int                    renormalise;  /* scale Planck fractions to the sum 1 in each band                        */
} sg_network_setup;

typedef struct sg_network_slot sg_network_slot;

/* SG_ERR_VALUE when a surrogate does not fit the table, SG_ERR_MEMORY. */
sg_status sg_radiation_network_slot_create(const sg_network_setup *setup, sg_network_slot **slot, sg_error *error);
void      sg_radiation_network_slot_free(sg_network_slot *slot);  /* NULL is allowed; no call may be using it */

/* For the calls of radiation.h, from any number of threads. */
sg_optics_slot_f32 sg_radiation_network_slot_f32(sg_network_slot *slot);
sg_optics_slot_f64 sg_radiation_network_slot_f64(sg_network_slot *slot);

/* SG_ERR_VALUE unless the slot can compute the optics of this table: its g-points and gases, in its order. */
sg_status sg_radiation_network_slot_check(const sg_network_slot *slot, const sg_kdist *kdist, sg_error *error);

typedef struct sg_network_counts {
    size_t n_rows, n_outside, n_box, n_density, n_not_finite; /* as in sg_guard */
} sg_network_counts;

/* The counts of part i of an output since the last call, and starts anew. Counts per input are added to
 * outside_of_input (n_in). */
sg_network_counts sg_radiation_network_slot_take_counts(sg_network_slot *slot, int output, size_t i,
                                                           size_t *outside_of_input);

#endif
