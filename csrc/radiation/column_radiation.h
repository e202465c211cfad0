/* SPDX-License-Identifier: BSD-3-Clause */
/* The slot of an equilibrium column (column.h) filled with this room's radiation in double precision: gas optics of two
 * tables, or of what sits in their optics slots, and the solvers. */
#ifndef SG_RADIATION_COLUMN_RADIATION_H
#define SG_RADIATION_COLUMN_RADIATION_H

#include "radiation/column.h"
#include "radiation/radiation.h"

/* Everything of the columns that does not change while they run. Pointers must outlive the slot. */
typedef struct sg_column_radiation_setup {
    size_t                    n_col, n_lay;
    const sg_kdist           *lw, *sw;
    const sg_optics_slot_f64 *lw_optics, *sw_optics;  /* NULL: the tables                                              */
    const sg_gas_f64         *lw_gas;                 /* (lw->n_gas) in the order of lw->gas_name; h2o is ignored: the
                                                       * columns have their own. Whole columns, (n_col, n_lay) or less */
    const sg_gas_f64         *sw_gas;                 /* (sw->n_gas)                                                   */
    const double             *emissivity;             /* (n_col) [1]                                                   */
    const double             *albedo;                 /* (n_col) [1]                                                   */
    const double             *mu0;                    /* (n_col) [1] cosine of the solar zenith angle                  */
    const double             *tsi;                    /* (n_col) [W m-2] across the beam                               */
    const double             *day_fraction;           /* (n_col) [1] share of the time the sun is at mu0               */
    sg_lw_angles              angles;
    int                       num_threads;
} sg_column_radiation_setup;

typedef struct sg_column_radiation sg_column_radiation;

sg_status sg_column_radiation_create(const sg_column_radiation_setup *setup, sg_column_radiation **radiation, sg_error *error);
void      sg_column_radiation_free(sg_column_radiation *radiation);  /* NULL is allowed */

/* The slot; one run at a time may use it, since it holds the workspace. */
sg_column_slot sg_column_radiation_slot(sg_column_radiation *radiation);

#endif
