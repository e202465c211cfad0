/* SPDX-License-Identifier: BSD-3-Clause */
/* The equilibrium column and the ecCKD optics without Python: fixed point, restarts, failing allocations, a failing slot. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "check.h"
#include "radiation/column.h"
#include "radiation/ecckd.h"

enum { COLUMNS = 3, LAYERS = 12 };

/* A grey atmosphere, transparent to sunlight; calls left before it fails in *context (negative: never). */
static sg_status grey(void *context, const sg_column_state *s, const sg_column_fluxes *out, sg_poll *poll, sg_error *error)
{
    (void)poll;
    int *left = context;
    if (*left >= 0 && (*left)-- == 0)
        return sg_fail(error, SG_ERR_IO, "slot", "out of order");
    for (size_t c = 0; c < s->n_col; c++) {
        size_t o = c * (s->n_lay + 1), l;
        out->lw_down[o] = 0;
        for (l = 0; l < s->n_lay; l++) {
            double t = exp(-2e-5 * (s->p_lev[o + l + 1] - s->p_lev[o + l]));
            out->lw_down[o + l + 1] = out->lw_down[o + l] * t + (1 - t) * 5.67e-8 * pow(s->t_lay[c * s->n_lay + l], 4);
        }
        out->lw_up[o + l] = 5.67e-8 * pow(s->t_sfc[c], 4);
        for (l = s->n_lay; l-- > 0;) {
            double t        = exp(-2e-5 * (s->p_lev[o + l + 1] - s->p_lev[o + l]));
            out->lw_up[o + l] = out->lw_up[o + l + 1] * t + (1 - t) * 5.67e-8 * pow(s->t_lay[c * s->n_lay + l], 4);
        }
        for (l = 0; l <= s->n_lay; l++) {
            out->sw_down[o + l] = 340;
            out->sw_up[o + l]   = 340 * (0.2 + 0.05 * (double)s->column[c]);
        }
    }
    return SG_OK;
}

static double p_lay[COLUMNS * LAYERS], p_lev[COLUMNS * (LAYERS + 1)], t_lay[COLUMNS * LAYERS], t_sfc[COLUMNS], dry[COLUMNS * LAYERS];

static sg_column_setup setup(void)
{
    for (size_t c = 0; c < COLUMNS; c++) {
        for (size_t l = 0; l <= LAYERS; l++)
            p_lev[c * (LAYERS + 1) + l] = 100 + 99900.0 * (double)l / LAYERS;
        for (size_t l = 0; l < LAYERS; l++) {
            p_lay[c * LAYERS + l] = 0.5 * (p_lev[c * (LAYERS + 1) + l] + p_lev[c * (LAYERS + 1) + l + 1]);
            t_lay[c * LAYERS + l] = 250;
        }
        t_sfc[c] = 280;
    }
    return (sg_column_setup){COLUMNS, LAYERS, p_lay, p_lev, t_lay, t_sfc, dry, NULL, 0, SG_CONVECTION_LAPSE, 6.5e-3, 4e6,
                             86400, 8, 1e-3, 1e-3, 150, 350};
}

static sg_column *made(void)
{
    sg_column_setup s      = setup();
    sg_column      *column = NULL;
    CHECK(sg_column_create(&s, &column, NULL) == SG_OK);
    return column;
}

static void columns_come_to_rest_in_balance(void)
{
    sg_column     *column = made();
    int            never  = -1;
    sg_column_slot slot   = {grey, &never};
    size_t         n;
    CHECK(sg_column_run(column, &slot, 1000, NULL, &n, NULL, NULL) == SG_OK);
    for (size_t c = 0; c < COLUMNS; c++) {
        CHECK(column->converged[c] && !column->limited[c]);
        CHECK(fabs(column->imbalance[c]) < 1e-3);
        CHECK(c == 0 || column->t_sfc[c] < column->t_sfc[c - 1]); /* brighter, so colder */
    }
    CHECK(sg_column_run(column, &slot, 1000, NULL, &n, NULL, NULL) == SG_OK && n == 0);
    sg_column_free(column);
}

static void two_runs_give_the_bits_of_one(void)
{
    sg_column     *once = made(), *twice = made();
    int            never = -1;
    sg_column_slot slot  = {grey, &never};
    size_t         n;
    sg_column_run(once, &slot, 20, NULL, &n, NULL, NULL);
    sg_column_run(twice, &slot, 7, NULL, &n, NULL, NULL);
    sg_column_run(twice, &slot, 13, NULL, &n, NULL, NULL);
    CHECK(memcmp(once->t_lay, twice->t_lay, sizeof t_lay) == 0);
    sg_column_free(once);
    sg_column_free(twice);
}

static void a_failing_slot_leaves_the_last_state(void)
{
    sg_column     *column = made(), *same = made();
    int            five = 5, never = -1;
    sg_column_slot slot = {grey, &five}, good = {grey, &never};
    sg_error       error = {0};
    size_t         n;
    CHECK(sg_column_run(column, &slot, 100, NULL, &n, NULL, &error) == SG_ERR_IO && n == 5);
    CHECK(strcmp(error.message, "slot: out of order") == 0);
    sg_column_run(same, &good, 5, NULL, &n, NULL, NULL);
    CHECK(memcmp(column->t_lay, same->t_lay, sizeof t_lay) == 0);
    sg_column_free(column);
    sg_column_free(same);
}

static void every_failing_allocation_is_reported(void)
{
    sg_column_setup s = setup();
    sg_column      *column;
    long            n = 0;
    for (;; n++) {
        sg_memory_fail_after(n, 0);
        sg_error  error  = {0};
        sg_status status = sg_column_create(&s, &column, &error);
        sg_memory_fail_after(-1, 0);
        if (status == SG_OK)
            break;
        CHECK(status == SG_ERR_MEMORY && error.message[0] && !column);
    }
    CHECK(n > 40);
    sg_column_free(column);
}

/* A definition with 3 g-points: k grows with pressure and temperature, h2o from a look-up table. */
static void ecckd_interpolates_its_tables(void)
{
    enum { T = 2, P = 3, G = 3, X = 2 };
    double pressure[P] = {1e3, 1e4, 1e5}, temperature[T * P] = {200, 220, 240, 260, 280, 300}, fraction[X] = {1e-4, 1e-2};
    double flat[T * P * G], h2o[X * T * P * G], planck_t[2] = {200, 300}, planck[2 * G] = {1, 2, 3, 2, 4, 6};
    for (size_t i = 0; i < T * P * G; i++)
        flat[i] = 1e-6 * (double)(1 + i % G);
    for (size_t i = 0; i < X * T * P * G; i++)
        h2o[i] = i < T * P * G ? 1e-3 : 3e-3;
    sg_ecckd_gas    gas[2]   = {{SG_ECCKD_NONE, 1, NULL, 0, flat}, {SG_ECCKD_LOOK_UP, X, fraction, 0, h2o}};
    sg_ecckd_arrays arrays   = {T, P, G, 2, pressure, temperature, gas, 2, planck_t, planck, NULL};
    sg_ecckd       *ecckd;
    sg_error        error = {0};
    CHECK(sg_ecckd_create(&arrays, &ecckd, &error) == SG_OK);

    double         p = 3e4, level[2] = {2e4, 4e4}, t = 250, t_level[2] = {240, 260}, surface = 250, x = 1e-3;
    double         tau[G], lay[G], lev[2 * G], sfc[G];
    sg_gas_f64     gases[2] = {{NULL, 0, 0}, {&x, 0, 0}};
    sg_columns_f64 columns  = {1, 1, &p, level, &t, t_level, &surface, gases};
    sg_optics_lw_f64 optics = {.tau = tau, .lay_source = lay, .lev_source = lev, .sfc_source = sfc};
    sg_range         range  = {0};
    sg_work          work   = {.num_threads = 1, .bytes = sg_ecckd_workspace_bytes_f64(ecckd, 1, 1)};
    work.workspace          = sg_alloc(work.bytes);
    CHECK(sg_ecckd_optics_lw_f64(ecckd, &columns, 1, work, &range, &optics, &error) == SG_OK);
    double moles = 2e4 / (SG_GRAVITY * (SG_MASS_DRY_AIR + SG_MASS_H2O * x));
    for (size_t g = 0; g < G; g++) {
        /* 1e-3 lies half way between 1e-4 and 1e-2 in the logarithm: k = 2e-3. */
        CHECK(fabs(tau[g] / (moles * (1e-6 * (double)(g + 1) + 1e-3 * 2e-3)) - 1) < 1e-12);
        CHECK(fabs(lay[g] - 1.5 * (double)(g + 1) / 3.14159265358979323846) < 1e-14);
        CHECK(fabs(sfc[g] - lay[g]) < 1e-15 && lev[g] < lay[g] && lev[G + g] > lay[g]);
    }
    work.bytes = 8;
    CHECK(sg_ecckd_optics_lw_f64(ecckd, &columns, 1, work, &range, &optics, &error) == SG_ERR_VALUE);
    sg_free(work.workspace);
    sg_ecckd_free(ecckd);

    pressure[1] = 2e4;
    CHECK(sg_ecckd_create(&arrays, &ecckd, &error) == SG_ERR_VALUE && !ecckd);
    CHECK(strcmp(error.argument, "pressure") == 0);
}

int main(void)
{
    columns_come_to_rest_in_balance();
    two_runs_give_the_bits_of_one();
    a_failing_slot_leaves_the_last_state();
    every_failing_allocation_is_reported();
    ecckd_interpolates_its_tables();
    return check_result();
}
