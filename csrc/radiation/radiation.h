/* SPDX-License-Identifier: BSD-3-Clause */
/* Clear-sky radiation: gas optics from an RRTMGP k-distribution, transfer solvers, and both fused block by block.
 *
 *   sg_radiation_gas_optics_lw_f64, ..._sw_f64   optical properties of columns
 *   sg_radiation_solve_lw_f64, ..._sw_f64        fluxes from optical properties
 *   sg_radiation_fluxes_lw_f64, ..._sw_f64       optics and solver together, optics in a slot: tables, or anything else
 *   sg_radiation_cross_sections_f64              optics of single cells per molecule of air: what a surrogate learns
 *   sg_radiation_heating_rate_f64                temperature tendency from fluxes
 *
 * and the same with _f32. Layers may run top-down or bottom-up; the direction is read from p_lay or said by the
 * caller, and outputs follow it. Level l lies between layers l-1 and l. Every output row has the same bits for any
 * number of columns, threads and blocks, and for instruction sets v3 and v4. The precisions are declared by one
 * header, radiation_typed.inc.h. */
#ifndef SG_RADIATION_RADIATION_H
#define SG_RADIATION_RADIATION_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/poll.h"
#include "radiation/kdist.h"

#define SG_GRAVITY       9.80665        /* [m s-2]                    */
#define SG_HEAT_CAPACITY 1004.64        /* dry air [J kg-1 K-1]       */
#define SG_AVOGADRO      6.02214076e23  /* [molecule mol-1]           */
#define SG_MASS_DRY_AIR  0.028964       /* [kg mol-1]                 */
#define SG_MASS_H2O      0.018016       /* [kg mol-1]                 */

/* What to do with temperature, pressure and concentrations outside the table. Calls need one (not NULL). */
typedef struct sg_range {
    int    clip;           /* 0: SG_ERR_DOMAIN names the first one; 1: move to the limit and count */
    size_t n_temperature;  /* counts, added to: layer, level and surface temperatures             */
    size_t n_pressure;     /* layer pressures                                                     */
    size_t n_gas;          /* concentrations below 0 or above 1                                   */
} sg_range;

/* Angles of the longwave solver. */
typedef struct sg_lw_angles {
    int    n;          /* 1 to 4: Gauss-Jacobi-5 quadrature, Hogan 2023, doi:10.1002/qj.4598 */
    double diffusivity; /* > 0: one angle with this secant instead (Elsasser's 1.66)         */
} sg_lw_angles;

/* Threads and memory of a call. Calls that do not allocate need workspace for all their threads. */
typedef struct sg_work {
    int      num_threads;  /* 0: OMP_NUM_THREADS or all CPUs; a request, as in base/threads.h            */
    void    *workspace;    /* sg_radiation_workspace_bytes_..., aligned to SG_ALIGNMENT                  */
    size_t   bytes;        /* SG_ERR_VALUE when there are too few                                        */
    sg_poll *poll;         /* asked after every block, in the calling thread; NULL: never                */
} sg_work;

#define SG_RADIATION_COLUMNS 64  /* columns in a block at most */

#define real        float
#define SG_TYPED(n) n##_f32
#include "radiation/radiation_typed.inc.h"
#undef real
#undef SG_TYPED

#define real        double
#define SG_TYPED(n) n##_f64
#include "radiation/radiation_typed.inc.h"
#undef real
#undef SG_TYPED

#endif
