/* SPDX-License-Identifier: BSD-3-Clause */
#include "radiation/column_radiation.h"

#include <string.h>

#include "base/memory.h"

struct sg_column_radiation {
    sg_column_radiation_setup setup;
    sg_work                   work;
    sg_gas_f64               *gas;     /* (the larger n_gas): concentrations of the columns asked for */
    double                   *vmr;     /* (the larger n_gas, n_col, n_lay)                            */
    double                   *column;  /* (4, n_col): a surface property of the columns asked for     */
};

void sg_column_radiation_free(sg_column_radiation *radiation)
{
    if (!radiation)
        return;
    sg_free(radiation->work.workspace);
    sg_free(radiation->gas);
    sg_free(radiation->vmr);
    sg_free(radiation->column);
    sg_free(radiation);
}

sg_status sg_column_radiation_create(const sg_column_radiation_setup *setup, sg_column_radiation **out, sg_error *error)
{
    *out = NULL;
    for (size_t c = 0; c < setup->n_col; c++)
        if (!(setup->day_fraction[c] >= 0 && setup->day_fraction[c] <= 1))
            return sg_fail(error, SG_ERR_VALUE, "day_fraction", "expected 0 to 1, got %g for column %zu", setup->day_fraction[c], c);
    sg_column_radiation *radiation;
    SG_TRY(sg_alloc_array(&radiation, 1, sizeof *radiation, "radiation of columns", error));
    radiation->setup = *setup;
    size_t n_gas     = setup->lw->n_gas > setup->sw->n_gas ? setup->lw->n_gas : setup->sw->n_gas;
    size_t n_cell    = sg_size_mul(setup->n_col, setup->n_lay);
    size_t lw        = sg_radiation_workspace_bytes_f64(setup->lw, setup->n_col, setup->n_lay, setup->lw_optics, setup->num_threads);
    size_t sw        = sg_radiation_workspace_bytes_f64(setup->sw, setup->n_col, setup->n_lay, setup->sw_optics, setup->num_threads);
    radiation->work  = (sg_work){.num_threads = setup->num_threads, .bytes = lw > sw ? lw : sw};
    sg_status status = sg_alloc_array(&radiation->work.workspace, radiation->work.bytes, 1, "the radiation workspace", error);
    if (status == SG_OK)
        status = sg_alloc_array(&radiation->gas, n_gas, sizeof(sg_gas_f64), "gases", error);
    if (status == SG_OK)
        status = sg_alloc_array(&radiation->vmr, sg_size_mul(n_gas, n_cell), sizeof(double), "concentrations", error);
    if (status == SG_OK)
        status = sg_alloc_array(&radiation->column, sg_size_mul(4, setup->n_col), sizeof(double), "surface properties", error);
    if (status != SG_OK) {
        sg_column_radiation_free(radiation);
        return status;
    }
    *out = radiation;
    return SG_OK;
}

/* The concentrations of the columns in state, in the order of the table, water vapour from the state itself. */
static void take_gases(sg_column_radiation *r, const sg_kdist *kdist, const sg_gas_f64 *all, const sg_column_state *state)
{
    size_t n_lay = state->n_lay;
    for (size_t i = 0; i < kdist->n_gas; i++) {
        const sg_gas_f64 *gas = all + i;
        if (i + 1 == kdist->h2o) {
            r->gas[i] = (sg_gas_f64){state->h2o, n_lay, 1};
        } else if (!gas->vmr || (gas->col_stride == 0)) {
            r->gas[i] = *gas; /* absent, or the same in every column */
        } else {
            double *vmr = r->vmr + i * r->setup.n_col * n_lay;
            for (size_t c = 0; c < state->n_col; c++)
                for (size_t l = 0; l < n_lay; l++)
                    vmr[c * n_lay + l] = gas->vmr[state->column[c] * gas->col_stride + l * gas->lay_stride];
            r->gas[i] = (sg_gas_f64){vmr, n_lay, 1};
        }
    }
}

static sg_status fluxes(void *context, const sg_column_state *state, const sg_column_fluxes *out, sg_poll *poll, sg_error *error)
{
    sg_column_radiation             *r     = context;
    const sg_column_radiation_setup *s     = &r->setup;
    size_t                           n_lev = state->n_lay + 1, n_col = state->n_col;
    double *first = r->column, *second = first + n_col, *third = second + n_col, *fourth = third + n_col;
    sg_columns_f64 columns = {n_col, state->n_lay, state->p_lay, state->p_lev, state->t_lay, state->t_lev, state->t_sfc, r->gas};
    sg_range       range   = {0};
    sg_work        work    = r->work;
    work.poll              = poll;

    take_gases(r, s->lw, s->lw_gas, state);
    for (size_t c = 0; c < n_col; c++)
        first[c] = s->emissivity[state->column[c]];
    sg_fluxes_f64 lw = {.up = out->lw_up, .down = out->lw_down};
    SG_TRY(sg_radiation_fluxes_lw_f64(s->lw, &columns, first, s->angles, s->lw_optics, work, &range, &lw, error));

    take_gases(r, s->sw, s->sw_gas, state);
    for (size_t c = 0; c < n_col; c++) {
        size_t i  = state->column[c];
        first[c]  = s->mu0[i];
        second[c] = s->tsi[i];
        third[c]  = s->albedo[i];
        fourth[c] = s->day_fraction[i];
    }
    sg_fluxes_f64 sw = {.up = out->sw_up, .down = out->sw_down};
    SG_TRY(sg_radiation_fluxes_sw_f64(s->sw, &columns, first, second, third, third, s->sw_optics, work, &range, &sw, error));
    for (size_t c = 0; c < n_col; c++)
        for (size_t l = 0; l < n_lev; l++) {
            out->sw_up[c * n_lev + l] *= fourth[c];
            out->sw_down[c * n_lev + l] *= fourth[c];
        }
    return SG_OK;
}

sg_column_slot sg_column_radiation_slot(sg_column_radiation *radiation)
{
    return (sg_column_slot){fluxes, radiation};
}
