/* SPDX-License-Identifier: BSD-3-Clause */
/* Radiative-convective equilibrium columns: the host in which radiation runs.
 *
 * A column is a stack of layers in pressure over a surface. Radiation heats and cools it; where the lapse rate exceeds a
 * critical one, convection mixes heat upwards at once; it is stepped until nothing changes any more. Manabe & Strickler 1964,
 * doi:10.1175/1520-0469(1964)021<0361:TEOTAW>2.0.CO;2; with relative instead of specific humidity held fixed, Manabe &
 * Wetherald 1967, doi:10.1175/1520-0469(1967)024<0241:TEOTAW>2.0.CO;2.
 *
 * The fluxes come through a slot: the table kernel, a network or anybody's function can sit in it. Columns are independent of
 * each other; a column that has reached equilibrium is not computed again.
 *
 * One step maps the state x = (layer temperatures, surface temperature) to G(x) = adjust(x + dt * heating / heat capacity).
 * Equilibrium is x = G(x). With memory > 0 the fixed point is approached by Anderson acceleration (Walker & Ni 2011,
 * doi:10.1137/10078356X), which needs some ten times fewer steps; with memory = 0 the steps are a run in physical time. */
#ifndef SG_RADIATION_COLUMN_H
#define SG_RADIATION_COLUMN_H

#include "base/error.h"
#include "base/poll.h"

#define SG_COLUMN_GRAVITY 9.80665       /* m s-2                                          */
#define SG_COLUMN_CP 1004.64            /* J kg-1 K-1, that of the RFMIP heating rates    */
#define SG_COLUMN_R_DRY 287.058         /* J kg-1 K-1                                     */
#define SG_COLUMN_R_VAPOUR 461.523      /* J kg-1 K-1                                     */
#define SG_COLUMN_LATENT_HEAT 2.501e6   /* J kg-1                                         */
#define SG_COLUMN_MAX_MEMORY 16
#define SG_COLUMN_PATIENCE 100
#define SG_COLUMN_N_HISTORY 3           /* numbers per step and column, see sg_column_run */

/* What a slot has to compute: some of the host's columns, top down. */
typedef struct sg_column_state {
    size_t        n_col, n_lay;
    const size_t *column;  /* (n_col)           number of each column in the host, ascending                 */
    const double *p_lay;   /* (n_col, n_lay)    [Pa]                                                         */
    const double *p_lev;   /* (n_col, n_lay+1)  [Pa], ascending: level 0 is the top                          */
    const double *t_lay;   /* (n_col, n_lay)    [K]                                                          */
    const double *t_lev;   /* (n_col, n_lay+1)  [K]                                                          */
    const double *t_sfc;   /* (n_col)           [K]                                                          */
    const double *h2o;     /* (n_col, n_lay)    [1], mole fraction relative to dry air                       */
} sg_column_state;

/* Where a slot puts its fluxes: (n_col, n_lay+1) [W m-2] each. */
typedef struct sg_column_fluxes {
    double *lw_up, *lw_down, *sw_up, *sw_down;
} sg_column_fluxes;

typedef struct sg_column_slot {
    sg_status (*fluxes)(void *context, const sg_column_state *state, const sg_column_fluxes *out,
                        sg_poll *poll, /* may be NULL; to be asked every 50 ms where the fluxes take longer */
                        sg_error *error);
    void *context;
} sg_column_slot;

typedef enum sg_column_convection {
    SG_CONVECTION_NONE,   /* pure radiative equilibrium                                               */
    SG_CONVECTION_LAPSE,  /* up to a critical lapse rate, 6.5 K/km in the papers                      */
    SG_CONVECTION_MOIST   /* up to the saturated pseudo-adiabat from the surface temperature          */
} sg_column_convection;

typedef struct sg_column_setup {
    size_t        n_col, n_lay;
    const double *p_lay;              /* (n_col, n_lay)    [Pa]                                                */
    const double *p_lev;              /* (n_col, n_lay+1)  [Pa], ascending                                     */
    const double *t_lay;              /* (n_col, n_lay)    [K], start                                          */
    const double *t_sfc;              /* (n_col)           [K], start; kept where the surface is fixed         */
    const double *h2o;                /* (n_col, n_lay)    [1] relative to dry air; NULL with relative_humidity */
    const double *relative_humidity;  /* (n_col, n_lay)    [1], held fixed, or NULL                            */
    double        h2o_floor;          /* [1] least water vapour with relative_humidity (the stratosphere's)    */

    sg_column_convection convection;
    double lapse_rate;             /* [K m-1], for SG_CONVECTION_LAPSE                                         */
    double surface_heat_capacity;  /* [J m-2 K-1] of the slab; 0: surface temperature fixed                    */
    double step;                   /* [s] time step; with memory > 0 it is halved where the columns run away    */
    size_t memory;                 /* depth of the acceleration, 0 .. SG_COLUMN_MAX_MEMORY                     */
    double flux_tolerance;         /* [W m-2] equilibrium: net flux at the top below this (slab only) and      */
    double rate_tolerance;         /* [K day-1] every temperature changes by less than this                    */
    double t_min, t_max;           /* [K] the slot's range: the state is kept inside                           */
} sg_column_setup;

/* All columns with their steps, open for reading. */
typedef struct sg_column {
    size_t         n_col, n_lay;
    size_t        *steps;      /* (n_col)          flux evaluations so far                                          */
    unsigned char *converged;  /* (n_col)                                                                           */
    unsigned char *limited;    /* (n_col)          a temperature stands at t_min or t_max                             */
    double        *t_lay;      /* (n_col, n_lay)   [K]     the state                                                */
    double        *t_sfc;      /* (n_col)          [K]                                                              */
    double        *h2o;        /* (n_col, n_lay)   [1]     consistent with the state                                */
    double        *flux[4];    /* (n_col, n_lay+1) [W m-2] lw up, lw down, sw up, sw down of the state              */
    double        *imbalance;  /* (n_col)          [W m-2] net downward flux at the top                             */
    double        *rate;       /* (n_col)          [K day-1] largest change of a temperature                        */
    double        *time;       /* (n_col)          [s]     sum of the steps; physical time only with memory = 0     */
    void          *work;
} sg_column;

/* Copies what setup points to; SG_ERR_VALUE names a field that cannot be. */
sg_status sg_column_create(const sg_column_setup *setup, sg_column **column, sg_error *error);
void      sg_column_free(sg_column *column);  /* NULL is allowed */

/* At most n_steps further steps of every column that is not at rest: it has converged, or its way out of t_min .. t_max was
 * barred for SG_COLUMN_PATIENCE steps, as in a runaway greenhouse. Running twice n steps gives the same bits as running
 * 2 n once. history (n_steps, n_col, 3), or NULL, receives imbalance [W m-2], surface temperature [K] and rate [K day-1] of
 * each step, NaN for columns at rest; *n_done the rows used. Failures of the slot are handed on, SG_ERR_DIVERGED names the
 * column with a flux that is not finite, SG_ERR_INTERRUPTED comes from the poll; the state is then that of the last whole
 * step, and the run can go on. */
sg_status sg_column_run(sg_column *column, const sg_column_slot *slot, size_t n_steps, double *history, size_t *n_done,
                        sg_poll *poll, sg_error *error);

/* Hard convective adjustment of one column, top down. Where the potential temperature t / exner falls upwards, layers are
 * mixed to a common one; the pool-adjacent-violators scheme finds the unique result in one sweep, and the sum of heat
 * capacity times temperature stays. Akmaev 1991, doi:10.1175/1520-0493(1991)119<2499:ADAFCA>2.0.CO;2. */
void sg_column_adjust(size_t        n_lay,
                      const double *heat_capacity,          /* (n_lay)       [J m-2 K-1]                              */
                      double        surface_heat_capacity,  /*               [J m-2 K-1]; 0: fixed temperature        */
                      const double *exner,                  /* (n_lay)       [1], relative to the surface             */
                      double       *t_lay,                  /* (n_lay)       [K], in and out                          */
                      double       *t_sfc,                  /*               [K], in and out                          */
                      double       *work);                  /* (3 (n_lay+1))                                          */

/* Saturation vapour pressure [Pa] at temperature t [K], over water above freezing and over ice below. Alduchov & Eskridge
 * 1996, doi:10.1175/1520-0450(1996)035<0601:IMFAOS>2.0.CO;2. */
double sg_column_saturation(double t);

/* Temperature relative to the surface along the saturated pseudo-adiabat. */
void sg_column_moist_exner(size_t        n_lay,
                           double        p_sfc,   /*          [Pa]                          */
                           double        t_sfc,   /*          [K]                           */
                           const double *p_lay,   /* (n_lay)  [Pa], ascending               */
                           double       *exner);  /* (n_lay)  [1]                           */

#endif
