/* SPDX-License-Identifier: BSD-3-Clause */
/* The typed part of front.c, included once per precision with real, SG_TYPED, PICK (kernel table of the instruction
 * set in use) and PRECISION (index of the tables). */

/* --------------------------------------------------------------------------------------------------------- checks */

/* Values of (n_col, n_in) with strides must lie in [low, high]. Clipping is done where they are read. */
static sg_status SG_TYPED(check_values)(const char *name, size_t n_col, size_t n_in, const real *x, size_t col_stride,
                                        size_t in_stride, double low, double high, const char *unit, const char *what,
                                        int clip, size_t *n_outside, sg_error *error)
{
    const real bottom = (real)low, top = (real)high;
    size_t     outside = 0;
    if (!col_stride)
        n_col = n_col ? 1 : 0;
    if (!in_stride)
        n_in = n_in ? 1 : 0;
    for (size_t c = 0; c < n_col; c++)
        for (size_t i = 0; i < n_in; i++) {
            real value = x[c * col_stride + i * in_stride];
            outside += !(value >= bottom && value <= top);
        }
    if (!outside)
        return SG_OK;
    for (size_t c = 0; c < n_col; c++)
        for (size_t i = 0; i < n_in; i++) {
            real value = x[c * col_stride + i * in_stride];
            if (!(value >= bottom && value <= top) && (!clip || !isfinite(value)))
                return check_range_value(name, c, i, in_stride != 0, (double)value, low, high, unit, what, error);
        }
    *n_outside += outside;
    return SG_OK;
}

/* A surface or beam property, one per column. Never clipped. */
static sg_status SG_TYPED(check_property)(const char *name, size_t n_col, const real *x, double low, double high,
                                          const char *unit, sg_error *error)
{
    if (!x)
        return sg_fail(error, SG_ERR_VALUE, name, "is missing");
    for (size_t c = 0; c < n_col; c++)
        if (!((double)x[c] >= low && (double)x[c] <= high))
            return sg_fail(error, isfinite(x[c]) ? SG_ERR_DOMAIN : SG_ERR_NOT_FINITE, name,
                           "element %zu is %.7g%s, expected %g to %g", c, (double)x[c], unit, low, high);
    return SG_OK;
}

static sg_status SG_TYPED(check_levels)(const SG_TYPED(sg_columns) *in, int *top_first, sg_error *error)
{
    size_t n_lev = in->n_lay + 1;
    *top_first   = in->n_col && in->p_lev[0] < in->p_lev[in->n_lay];
    for (size_t c = 0; c < in->n_col; c++) {
        const real *p = in->p_lev + c * n_lev;
        for (size_t l = 0; l < n_lev; l++) {
            if (!(p[l] >= 0 && isfinite(p[l])))
                return sg_fail(error, SG_ERR_VALUE, "pressure_level", "element [%zu, %zu] is %.7g Pa", c, l,
                               (double)p[l]);
            if (l && !(*top_first ? p[l] > p[l - 1] : p[l] < p[l - 1]))
                return sg_fail(
                    error, SG_ERR_VALUE, "pressure_level",
                    "elements [%zu, %zu] and [%zu, %zu] are %.7g and %.7g Pa, expected strictly %s pressures in "
                    "every column",
                    c, l - 1, c, l, (double)p[l - 1], (double)p[l], *top_first ? "increasing" : "decreasing");
        }
    }
    return SG_OK;
}

static sg_status SG_TYPED(check_gases)(const sg_kdist *kdist, size_t n_col, size_t n_lay, const SG_TYPED(sg_gas) *gas,
                                       sg_range *range, sg_error *error)
{
    if (!gas)
        return sg_fail(error, SG_ERR_VALUE, "gases", "is missing");
    for (size_t i = 0; i < kdist->n_gas; i++)
        if (gas[i].vmr) {
            char name[64];
            snprintf(name, sizeof name, "gases[\"%s\"]", kdist->gas_name[i]);
            SG_TRY(SG_TYPED(check_values)(name, n_col, n_lay, gas[i].vmr, gas[i].col_stride, gas[i].lay_stride, 0, 1,
                                          "", "the range of mole fractions", range->clip, &range->n_gas, error));
        }
    return SG_OK;
}

static sg_status SG_TYPED(check_columns)(const sg_kdist *kdist, const SG_TYPED(sg_columns) *in, int shortwave,
                                         int surface, sg_range *range, int *top_first, sg_error *error)
{
    if (!kdist->shortwave != !shortwave)
        return sg_fail(error, SG_ERR_VALUE, "kdist", "is a %s table, expected a %s one",
                       kdist->shortwave ? "shortwave" : "longwave", shortwave ? "shortwave" : "longwave");
    if (in->n_lay < 1)
        return sg_fail(error, SG_ERR_VALUE, "n_lay", "expected at least one layer");
    const char *table = "the table";
    size_t      n_col = in->n_col, n_lay = in->n_lay;
    SG_TRY(SG_TYPED(check_levels)(in, top_first, error));
    SG_TRY(SG_TYPED(check_values)("temperature_layer", n_col, n_lay, in->t_lay, n_lay, 1, kdist->temp_min,
                                  kdist->temp_max, " K", table, range->clip, &range->n_temperature, error));
    SG_TRY(SG_TYPED(check_values)("pressure_layer", n_col, n_lay, in->p_lay, n_lay, 1, kdist->press_min,
                                  kdist->press_max, " Pa", table, range->clip, &range->n_pressure, error));
    if (!shortwave && in->t_lev)
        SG_TRY(SG_TYPED(check_values)("temperature_level", n_col, n_lay + 1, in->t_lev, n_lay + 1, 1, kdist->temp_min,
                                      kdist->temp_max, " K", table, range->clip, &range->n_temperature, error));
    if (surface && !in->t_sfc)
        return sg_fail(error, SG_ERR_VALUE, "temperature_surface", "is missing");
    if (surface)
        SG_TRY(SG_TYPED(check_values)("temperature_surface", n_col, 1, in->t_sfc, 1, 0, kdist->temp_min,
                                      kdist->temp_max, " K", table, range->clip, &range->n_temperature, error));
    return SG_TYPED(check_gases)(kdist, n_col, n_lay, in->gas, range, error);
}

/* ------------------------------------------------------------------------------------------- blocks and workspace */

/* What one thread works with. */
typedef struct SG_TYPED(space) {
    sg_error                  error;
    size_t                    failed_block;
    size_t                    column[SG_RADIATION_COLUMNS];     /* columns of the block                        */
    real                     *t, *p, *col_dry, *vmr;            /* the block's cells, see sg_optics_block      */
    real                     *tau, *second;
    real                     *t_lev;                            /* (n_lay+1) of one column                     */
    SG_TYPED(sg_planck_point) *lay_point, *lev_point;           /* (n_lay), (n_lay+1) of one column            */
    void                     *slot_scratch, *solver_scratch;
} SG_TYPED(space);

/* Sizes of a call. */
typedef struct SG_TYPED(plan) {
    size_t n_col, n_lay, n_gas, stride;
    size_t n_block_col;  /* columns per block */
    size_t n_block;
    int    n_thread;
    size_t slot_bytes, solver_bytes, thread_bytes;
} SG_TYPED(plan);

/* Lays out one thread's space at base (NULL: only counts). Returns its size. */
static size_t SG_TYPED(lay_out)(const SG_TYPED(plan) *plan, char *base)
{
    size_t           used = 0, n_row = plan->n_lay * plan->n_block_col;
    SG_TYPED(space) *space = (SG_TYPED(space) *)base;
#define TAKE(pointer, bytes)                                             \
    do {                                                                 \
        if (base)                                                        \
            pointer = (void *)(base + used);                             \
        used += sg_round_up((bytes), SG_ALIGNMENT);                      \
    } while (0)
    used += sg_round_up(sizeof *space, SG_ALIGNMENT);
    TAKE(space->solver_scratch, plan->solver_bytes);
    if (plan->stride) {
        TAKE(space->t, n_row * sizeof(real));
        TAKE(space->p, n_row * sizeof(real));
        TAKE(space->col_dry, n_row * sizeof(real));
        TAKE(space->vmr, n_row * plan->n_gas * sizeof(real));
        TAKE(space->tau, (n_row * plan->stride + 16) * sizeof(real));
        TAKE(space->second, (n_row * plan->stride + 16) * sizeof(real));
        TAKE(space->t_lev, (plan->n_lay + 1) * sizeof(real));
        TAKE(space->lay_point, plan->n_lay * sizeof *space->lay_point);
        TAKE(space->lev_point, (plan->n_lay + 3) * sizeof *space->lev_point); /* two more for the surface */
        TAKE(space->slot_scratch, plan->slot_bytes);
    }
#undef TAKE
    return used;
}

static SG_TYPED(plan) SG_TYPED(make_plan)(const sg_kdist *kdist, size_t n_col, size_t n_lay,
                                          const SG_TYPED(sg_optics_slot) *slot, int num_threads)
{
    SG_TYPED(plan) plan = {.n_col = n_col, .n_lay = n_lay};
    plan.n_thread       = sg_threads_resolve(num_threads, n_col);
    plan.solver_bytes   = PICK(sg_radiation_solver)->scratch_bytes(n_lay);
    plan.n_block_col    = SG_RADIATION_COLUMNS;
    if (kdist) {
        plan.n_gas      = kdist->n_gas;
        plan.stride     = block_stride(kdist->n_g);
        plan.slot_bytes = slot ? slot->scratch_bytes : PICK(sg_radiation_optics)->scratch_bytes(kdist);
        size_t fit      = BLOCK_BYTES / (2 * n_lay * plan.stride * sizeof(real) + 1);
        plan.n_block_col = fit < 8 ? 8 : fit < SG_RADIATION_COLUMNS ? fit : SG_RADIATION_COLUMNS;
    }
    size_t share = (n_col + (size_t)plan.n_thread - 1) / (size_t)plan.n_thread;
    if (plan.n_block_col > share)
        plan.n_block_col = share ? share : 1;
    plan.n_block      = (n_col + plan.n_block_col - 1) / plan.n_block_col;
    plan.thread_bytes = SG_TYPED(lay_out)(&plan, NULL);
    return plan;
}

size_t SG_TYPED(sg_radiation_workspace_bytes)(const sg_kdist *kdist, size_t n_col, size_t n_lay,
                                              const SG_TYPED(sg_optics_slot) *slot, int num_threads)
{
    SG_TYPED(plan) plan = SG_TYPED(make_plan)(kdist, n_col, n_lay, slot, num_threads);
    return plan.thread_bytes * (size_t)plan.n_thread;
}

/* One call: everything its blocks read. */
typedef struct SG_TYPED(call) {
    const sg_kdist                 *kdist;
    const SG_TYPED(sg_columns)     *in;
    const SG_TYPED(sg_optics_slot) *slot;
    const SG_TYPED(sg_solver_kernels) *solver;
    SG_TYPED(plan)                  plan;
    char                           *workspace;
    int                             top_first;
    int                             n_angle;
    real                            secant[4], weight[4];
    const real                     *emissivity, *mu0, *tsi, *albedo_direct, *albedo_diffuse;
    const SG_TYPED(sg_fluxes)      *fluxes;
    const SG_TYPED(sg_optics_lw)   *optics_lw;
    const SG_TYPED(sg_optics_sw)   *optics_sw;
    const SG_TYPED(sg_lw_column)   *lw;  /* the first column of arrays given to the solvers */
    const SG_TYPED(sg_sw_column)   *sw;
    const real                     *toa_source;
    real                           *absorption, *second;  /* cross-sections */
} SG_TYPED(call);

typedef sg_status (*SG_TYPED(block_body))(const SG_TYPED(call) *call, SG_TYPED(space) *space, size_t first, size_t n,
                                          sg_error *error);

typedef struct SG_TYPED(work_item) {
    const SG_TYPED(call) *call;
    SG_TYPED(block_body)  body;
    sg_poll              *poll;
} SG_TYPED(work_item);

static SG_TYPED(space) *SG_TYPED(space_of)(const SG_TYPED(call) *call, int thread)
{
    return (SG_TYPED(space) *)(call->workspace + (size_t)thread * call->plan.thread_bytes);
}

static int SG_TYPED(run_block)(void *context, size_t block, int thread)
{
    const SG_TYPED(work_item) *item  = context;
    const SG_TYPED(plan)      *plan  = &item->call->plan;
    SG_TYPED(space)           *space = SG_TYPED(space_of)(item->call, thread);
    size_t    first = block * plan->n_block_col, left = plan->n_col - first;
    sg_status status =
        item->body(item->call, space, first, left < plan->n_block_col ? left : plan->n_block_col, &space->error);
    /* Thread 0 is the caller's, the only one that may poll. */
    if (status == SG_OK && thread == 0 && sg_poll_due(item->poll, (double)block, (double)plan->n_block))
        status = sg_fail(&space->error, SG_ERR_INTERRUPTED, NULL, "interrupted in block %zu of %zu", block + 1,
                         plan->n_block);
    if (status != SG_OK && space->failed_block > block)
        space->failed_block = block;
    return (int)status;
}

/* Checks the workspace and runs body over all blocks; reports the error of the lowest block that failed. */
static sg_status SG_TYPED(run)(SG_TYPED(call) *call, SG_TYPED(block_body) body, sg_work work, sg_error *error)
{
    SG_TYPED(plan) *plan = &call->plan;
    size_t          need = plan->thread_bytes * (size_t)plan->n_thread;
    if (!work.workspace || work.bytes < need)
        return sg_fail(error, SG_ERR_VALUE, "workspace", "expected %zu bytes, got %zu", need,
                       work.workspace ? work.bytes : 0);
    call->workspace = work.workspace;
    for (int thread = 0; thread < plan->n_thread; thread++) {
        SG_TYPED(space) *space = SG_TYPED(space_of)(call, thread);
        *space                 = (SG_TYPED(space)){.failed_block = SIZE_MAX};
        SG_TYPED(lay_out)(plan, (char *)space);
    }
    SG_TYPED(work_item) item = {call, body, work.poll};
    sg_status status = (sg_status)sg_threads_blocks(plan->n_block, plan->n_thread, SG_TYPED(run_block), &item);
    size_t    lowest = SIZE_MAX;
    for (int thread = 0; status != SG_OK && thread < plan->n_thread; thread++) {
        SG_TYPED(space) *space = SG_TYPED(space_of)(call, thread);
        if (space->failed_block < lowest) {
            lowest = space->failed_block;
            if (error)
                *error = space->error;
        }
    }
    return status;
}

/* ------------------------------------------------------------------------------------------------ filling a block */

static real SG_TYPED(clip)(real x, double low, double high)
{
    return x < (real)low ? (real)low : x > (real)high ? (real)high : x;
}

/* Molecules of dry air per area in a layer of pressure thickness dp with water vapour q [molecule cm-2]: hydrostatic
 * balance, the mass of moist air per mole of dry air being m_dry + q m_h2o. */
static real SG_TYPED(dry_air)(real dp, real q)
{
    const real per_pascal = (real)(10 * SG_AVOGADRO / (1000 * 100 * SG_GRAVITY));
    return per_pascal * dp / ((real)SG_MASS_DRY_AIR + (real)SG_MASS_H2O * q);
}

/* Reads the columns space->column[0 .. n-1] into rows, top layer first, clipped to the table. */
static void SG_TYPED(read_block)(const SG_TYPED(call) *call, SG_TYPED(space) *space, size_t n)
{
    const sg_kdist             *kdist = call->kdist;
    const SG_TYPED(sg_columns) *in    = call->in;
    size_t                      n_lay = in->n_lay, n_row = n_lay * n;
    for (size_t j = 0; j < n; j++)
        for (size_t l = 0; l < n_lay; l++) {
            size_t here           = space->column[j] * n_lay + (call->top_first ? l : n_lay - 1 - l);
            space->t[l * n + j]   = SG_TYPED(clip)(in->t_lay[here], kdist->temp_min, kdist->temp_max);
            space->p[l * n + j]   = SG_TYPED(clip)(in->p_lay[here], kdist->press_min, kdist->press_max);
        }
    for (size_t i = 0; i < kdist->n_gas; i++) {
        SG_TYPED(sg_gas) gas  = in->gas[i];
        real            *rows = space->vmr + i * n_row;
        if (!gas.vmr) {
            memset(rows, 0, n_row * sizeof(real));
            continue;
        }
        for (size_t j = 0; j < n; j++)
            for (size_t l = 0; l < n_lay; l++)
                rows[l * n + j] = SG_TYPED(clip)(
                    gas.vmr[space->column[j] * gas.col_stride + (call->top_first ? l : n_lay - 1 - l) * gas.lay_stride],
                    0, 1);
    }
    const real *q = space->vmr + (kdist->h2o - 1) * n_row;
    for (size_t j = 0; j < n; j++)
        for (size_t l = 0; l < n_lay; l++) {
            const real *p_lev = in->p_lev + space->column[j] * (n_lay + 1) + (call->top_first ? l : n_lay - 1 - l);
            real        dp    = call->top_first ? p_lev[1] - p_lev[0] : p_lev[0] - p_lev[1];
            space->col_dry[l * n + j] = SG_TYPED(dry_air)(dp, q[l * n + j]);
        }
}

static sg_status SG_TYPED(fill_optics)(const SG_TYPED(call) *call, SG_TYPED(space) *space, size_t n, sg_error *error)
{
    size_t                    n_lay = call->in->n_lay;
    SG_TYPED(sg_optics_block) block = {n,          n_lay,       n_lay * n,         space->t,   space->p,
                                       space->col_dry, space->vmr, call->plan.stride, space->tau, space->second};
    return call->slot->optics(call->slot->context, &block, space->slot_scratch, error);
}

/* ---- the table kernel as a slot ---- */

static sg_status SG_TYPED(table_optics)(void *context, const SG_TYPED(sg_optics_block) *block, void *scratch,
                                        sg_error *error)
{
    (void)error;
    const sg_kdist                     *kdist   = context;
    const SG_TYPED(sg_optics_kernels) *kernels = PICK(sg_radiation_optics);
    for (size_t l = 0; l < block->n_lay; l++) {
        size_t row = l * block->n_col;
        kernels->cells(kdist, block->n_col, block->t_lay + row, block->p_lay + row, block->col_dry + row,
                       block->vmr + row, block->n_row, block->g_stride, block->tau + row * block->g_stride,
                       block->second + row * block->g_stride, scratch);
    }
    return SG_OK;
}

SG_TYPED(sg_optics_slot) SG_TYPED(sg_radiation_table_slot)(const sg_kdist *kdist)
{
    return (SG_TYPED(sg_optics_slot)){SG_TYPED(table_optics), (void *)(uintptr_t)kdist,
                                      PICK(sg_radiation_optics)->scratch_bytes(kdist)};
}

/* ------------------------------------------------------------------------------------------------- Planck sources */

static SG_TYPED(sg_planck_point) SG_TYPED(planck_point)(const sg_kdist *kdist, real t)
{
    real   place = (t - (real)kdist->temp_min) / (real)kdist->planck_delta, last = (real)(kdist->n_planck - 2);
    real   below = place < 0 ? 0 : place < last ? (real)floor((double)place) : last;
    return (SG_TYPED(sg_planck_point)){(size_t)below * kdist->g_stride, place - below};
}

/* Level temperatures of a column, top first, from layer temperatures weighted with p: linear in p at the ends. */
static void SG_TYPED(level_temperatures)(size_t n_lay, size_t n, const real *p /* (n_lay, n) */, const real *t,
                                         const real *p_lev, ptrdiff_t p_lev_stride, real *t_lev)
{
    if (n_lay == 1) {
        t_lev[0] = t_lev[1] = t[0];
        return;
    }
    for (size_t l = 1; l < n_lay; l++) {
        real pa = p[(l - 1) * n], pb = p[l * n], level = p_lev[(ptrdiff_t)l * p_lev_stride];
        t_lev[l] = (pa * t[(l - 1) * n] * (level - pb) + pb * t[l * n] * (pa - level)) / (level * (pa - pb));
    }
    size_t last  = n_lay - 1;
    t_lev[0]     = t[0] + (p_lev[0] - p[0]) * (t[n] - t[0]) / (p[n] - p[0]);
    t_lev[n_lay] = t[last * n] + (p_lev[(ptrdiff_t)n_lay * p_lev_stride] - p[last * n]) *
                                     (t[last * n] - t[(last - 1) * n]) / (p[last * n] - p[(last - 1) * n]);
}

/* Column j of the block as the longwave solver wants it, sources from Planck fractions. */
static SG_TYPED(sg_lw_column) SG_TYPED(lw_column_of)(const SG_TYPED(call) *call, SG_TYPED(space) *space, size_t n,
                                                     size_t j)
{
    const sg_kdist             *kdist = call->kdist;
    const SG_TYPED(sg_columns) *in    = call->in;
    size_t                      n_lay = in->n_lay, c = space->column[j], start = call->top_first ? 0 : n_lay;
    ptrdiff_t                   step  = call->top_first ? 1 : -1;
    if (in->t_lev)
        for (size_t l = 0; l <= n_lay; l++)
            space->t_lev[l] = SG_TYPED(clip)(in->t_lev[c * (n_lay + 1) + (call->top_first ? l : n_lay - l)],
                                             kdist->temp_min, kdist->temp_max);
    else
        SG_TYPED(level_temperatures)(n_lay, n, space->p + j, space->t + j, in->p_lev + c * (n_lay + 1) + start, step,
                                     space->t_lev);
    for (size_t l = 0; l < n_lay; l++)
        space->lay_point[l] = SG_TYPED(planck_point)(kdist, space->t[l * n + j]);
    for (size_t l = 0; l <= n_lay; l++)
        space->lev_point[l] = SG_TYPED(planck_point)(kdist, space->t_lev[l]);
    SG_TYPED(sg_planck_point) *surface = NULL;
    if (in->t_sfc) {
        real t_sfc = SG_TYPED(clip)(in->t_sfc[c], kdist->temp_min, kdist->temp_max);
        surface    = space->lev_point + n_lay + 1;
        surface[0] = SG_TYPED(planck_point)(kdist, t_sfc);
        surface[1] = SG_TYPED(planck_point)(kdist, t_sfc + 1);
    }
    return (SG_TYPED(sg_lw_column)){
        .n_lay           = n_lay,
        .n_g             = kdist->n_g,
        .tau             = space->tau + j * call->plan.stride,
        .tau_stride      = (ptrdiff_t)(n * call->plan.stride),
        .fraction        = space->second + j * call->plan.stride,
        .fraction_stride = (ptrdiff_t)(n * call->plan.stride),
        .planck          = kdist->table[PRECISION].planck,
        .planck_row      = kdist->g_stride,
        .lay_point       = space->lay_point,
        .lev_point       = space->lev_point,
        .sfc_point       = surface,
    };
}

/* ----------------------------------------------------------------------------------------------- fluxes, longwave */

/* Where the fluxes of column c begin, at the top, and the step downwards. */
#define FLUX_AT(array, c, row) ((array) ? (array) + ((c) * n_lev + start) * (row) : NULL)

static void SG_TYPED(place_lw)(const SG_TYPED(call) *call, size_t c, SG_TYPED(sg_lw_column) *column)
{
    size_t n_lev = column->n_lay + 1, start = call->top_first ? 0 : column->n_lay;
    column->n_angle       = call->n_angle;
    column->secant        = call->secant;
    column->weight        = call->weight;
    column->emissivity    = call->emissivity[c];
    column->flux_stride   = call->top_first ? 1 : -1;
    column->flux_g_stride = column->flux_stride * (ptrdiff_t)column->n_g;
    column->up            = FLUX_AT(call->fluxes->up, c, 1);
    column->down          = FLUX_AT(call->fluxes->down, c, 1);
    column->up_jacobian   = FLUX_AT(call->fluxes->up_jacobian, c, 1);
    column->up_g          = FLUX_AT(call->fluxes->up_g, c, column->n_g);
    column->down_g        = FLUX_AT(call->fluxes->down_g, c, column->n_g);
}

static sg_status SG_TYPED(set_angles)(SG_TYPED(call) *call, sg_lw_angles angles, sg_error *error)
{
    if (!(angles.diffusivity >= 0 && angles.diffusivity < 1e3))
        return sg_fail(error, SG_ERR_VALUE, "diffusivity", "expected a positive secant, got %g", angles.diffusivity);
    if (angles.diffusivity > 0) {
        call->n_angle   = 1;
        call->secant[0] = (real)angles.diffusivity;
        call->weight[0] = 1;
        return SG_OK;
    }
    if (angles.n < 1 || angles.n > 4)
        return sg_fail(error, SG_ERR_VALUE, "n_angles", "expected 1 to 4, got %d", angles.n);
    call->n_angle = angles.n;
    for (int i = 0; i < angles.n; i++) {
        call->secant[i] = (real)(1 / angle_cosine[angles.n - 1][i]);
        call->weight[i] = (real)angle_weight[angles.n - 1][i];
    }
    return SG_OK;
}

static sg_status SG_TYPED(fluxes_lw_block)(const SG_TYPED(call) *call, SG_TYPED(space) *space, size_t first, size_t n,
                                           sg_error *error)
{
    for (size_t j = 0; j < n; j++)
        space->column[j] = first + j;
    SG_TYPED(read_block)(call, space, n);
    SG_TRY(SG_TYPED(fill_optics)(call, space, n, error));
    for (size_t j = 0; j < n; j++) {
        SG_TYPED(sg_lw_column) column = SG_TYPED(lw_column_of)(call, space, n, j);
        SG_TYPED(place_lw)(call, first + j, &column);
        call->solver->longwave(&column, space->solver_scratch);
    }
    return SG_OK;
}

sg_status SG_TYPED(sg_radiation_fluxes_lw)(const sg_kdist *kdist, const SG_TYPED(sg_columns) *columns,
                                           const real *emissivity, sg_lw_angles angles,
                                           const SG_TYPED(sg_optics_slot) *slot, sg_work work, sg_range *range,
                                           const SG_TYPED(sg_fluxes) *fluxes, sg_error *error)
{
    SG_TYPED(sg_optics_slot) table = SG_TYPED(sg_radiation_table_slot)(kdist);
    SG_TYPED(call)           call  = {.kdist      = kdist,
                                      .in         = columns,
                                      .slot       = slot ? slot : &table,
                                      .solver     = PICK(sg_radiation_solver),
                                      .emissivity = emissivity,
                                      .fluxes     = fluxes};
    SG_TRY(SG_TYPED(check_columns)(kdist, columns, 0, 1, range, &call.top_first, error));
    SG_TRY(SG_TYPED(check_property)("emissivity", columns->n_col, emissivity, 0, 1, "", error));
    SG_TRY(SG_TYPED(set_angles)(&call, angles, error));
    call.plan = SG_TYPED(make_plan)(kdist, columns->n_col, columns->n_lay, slot, work.num_threads);
    return SG_TYPED(run)(&call, SG_TYPED(fluxes_lw_block), work, error);
}

/* ---------------------------------------------------------------------------------------------- fluxes, shortwave */

static void SG_TYPED(place_sw)(const SG_TYPED(call) *call, size_t c, SG_TYPED(sg_sw_column) *column)
{
    size_t n_lev = column->n_lay + 1, start = call->top_first ? 0 : column->n_lay;
    column->mu0            = call->mu0[c];
    column->albedo_direct  = call->albedo_direct[c];
    column->albedo_diffuse = call->albedo_diffuse[c];
    column->flux_stride    = call->top_first ? 1 : -1;
    column->flux_g_stride  = column->flux_stride * (ptrdiff_t)column->n_g;
    column->up             = FLUX_AT(call->fluxes->up, c, 1);
    column->down           = FLUX_AT(call->fluxes->down, c, 1);
    column->direct         = FLUX_AT(call->fluxes->direct, c, 1);
    column->up_g           = FLUX_AT(call->fluxes->up_g, c, column->n_g);
    column->down_g         = FLUX_AT(call->fluxes->down_g, c, column->n_g);
}

/* No sun: all fluxes of the column are zero. */
static void SG_TYPED(night)(const SG_TYPED(sg_fluxes) *fluxes, size_t c, size_t n_lev, size_t n_g)
{
    real *const broadband[] = {fluxes->up, fluxes->down, fluxes->direct};
    real *const by_g[]      = {fluxes->up_g, fluxes->down_g};
    for (size_t i = 0; i < 3; i++)
        if (broadband[i])
            memset(broadband[i] + c * n_lev, 0, n_lev * sizeof(real));
    for (size_t i = 0; i < 2; i++)
        if (by_g[i])
            memset(by_g[i] + c * n_lev * n_g, 0, n_lev * n_g * sizeof(real));
}

static sg_status SG_TYPED(fluxes_sw_block)(const SG_TYPED(call) *call, SG_TYPED(space) *space, size_t first, size_t n,
                                           sg_error *error)
{
    const sg_kdist *kdist = call->kdist;
    size_t          n_day = 0;
    for (size_t c = first; c < first + n; c++)
        if (call->mu0[c] > 0)
            space->column[n_day++] = c;
        else
            SG_TYPED(night)(call->fluxes, c, call->in->n_lay + 1, kdist->n_g);
    if (!n_day)
        return SG_OK;
    SG_TYPED(read_block)(call, space, n_day);
    SG_TRY(SG_TYPED(fill_optics)(call, space, n_day, error));
    for (size_t j = 0; j < n_day; j++) {
        size_t                 c      = space->column[j];
        SG_TYPED(sg_sw_column) column = {
            .n_lay      = call->in->n_lay,
            .n_g        = kdist->n_g,
            .tau        = space->tau + j * call->plan.stride,
            .rayleigh   = space->second + j * call->plan.stride,
            .lay_stride = (ptrdiff_t)(n_day * call->plan.stride),
            .toa_source = kdist->table[PRECISION].solar,
            .toa_scale  = call->tsi ? call->tsi[c] : (real)kdist->solar_total,
        };
        SG_TYPED(place_sw)(call, c, &column);
        call->solver->shortwave(&column, space->solver_scratch);
    }
    return SG_OK;
}

static sg_status SG_TYPED(check_sun)(size_t n_col, const real *mu0, const real *albedo_direct,
                                     const real *albedo_diffuse, sg_error *error)
{
    SG_TRY(SG_TYPED(check_property)("mu0", n_col, mu0, -1, 1, "", error));
    SG_TRY(SG_TYPED(check_property)("albedo_direct", n_col, albedo_direct, 0, 1, "", error));
    return SG_TYPED(check_property)("albedo_diffuse", n_col, albedo_diffuse, 0, 1, "", error);
}

sg_status SG_TYPED(sg_radiation_fluxes_sw)(const sg_kdist *kdist, const SG_TYPED(sg_columns) *columns, const real *mu0,
                                           const real *tsi, const real *albedo_direct, const real *albedo_diffuse,
                                           const SG_TYPED(sg_optics_slot) *slot, sg_work work, sg_range *range,
                                           const SG_TYPED(sg_fluxes) *fluxes, sg_error *error)
{
    SG_TYPED(sg_optics_slot) table = SG_TYPED(sg_radiation_table_slot)(kdist);
    SG_TYPED(call)           call  = {.kdist          = kdist,
                                      .in             = columns,
                                      .slot           = slot ? slot : &table,
                                      .solver         = PICK(sg_radiation_solver),
                                      .mu0            = mu0,
                                      .tsi            = tsi,
                                      .albedo_direct  = albedo_direct,
                                      .albedo_diffuse = albedo_diffuse,
                                      .fluxes         = fluxes};
    SG_TRY(SG_TYPED(check_columns)(kdist, columns, 1, 0, range, &call.top_first, error));
    SG_TRY(SG_TYPED(check_sun)(columns->n_col, mu0, albedo_direct, albedo_diffuse, error));
    if (tsi)
        SG_TRY(SG_TYPED(check_property)("total_solar_irradiance", columns->n_col, tsi, 0, 1e9, " W m-2", error));
    call.plan = SG_TYPED(make_plan)(kdist, columns->n_col, columns->n_lay, slot, work.num_threads);
    return SG_TYPED(run)(&call, SG_TYPED(fluxes_sw_block), work, error);
}

/* ----------------------------------------------------------------------------------------------------- gas optics */

/* Copies rows of the block to (n_col, n_lay, n_g). */
static void SG_TYPED(write_rows)(const SG_TYPED(call) *call, size_t first, size_t n, const real *rows, real *out)
{
    size_t n_lay = call->in->n_lay, n_g = call->kdist->n_g;
    for (size_t j = 0; out && j < n; j++)
        for (size_t l = 0; l < n_lay; l++)
            memcpy(out + ((first + j) * n_lay + (call->top_first ? l : n_lay - 1 - l)) * n_g,
                   rows + (l * n + j) * call->plan.stride, n_g * sizeof(real));
}

static sg_status SG_TYPED(optics_lw_block)(const SG_TYPED(call) *call, SG_TYPED(space) *space, size_t first, size_t n,
                                           sg_error *error)
{
    const SG_TYPED(sg_optics_lw) *out = call->optics_lw;
    size_t n_lay = call->in->n_lay, n_g = call->kdist->n_g;
    for (size_t j = 0; j < n; j++)
        space->column[j] = first + j;
    SG_TYPED(read_block)(call, space, n);
    SG_TRY(SG_TYPED(fill_optics)(call, space, n, error));
    SG_TYPED(write_rows)(call, first, n, space->tau, out->tau);
    SG_TYPED(write_rows)(call, first, n, space->second, out->planck_fraction);
    if (!out->lay_source && !out->lev_source && !out->sfc_source && !out->sfc_jacobian)
        return SG_OK;
    for (size_t j = 0; j < n; j++) {
        size_t                 c      = first + j;
        SG_TYPED(sg_lw_column) column = SG_TYPED(lw_column_of)(call, space, n, j);
        column.lay_stride = column.lev_stride = call->top_first ? (ptrdiff_t)n_g : -(ptrdiff_t)n_g;
        size_t top_lay = c * n_lay + (call->top_first ? 0 : n_lay - 1);
        size_t top_lev = c * (n_lay + 1) + (call->top_first ? 0 : n_lay);
        call->solver->sources(&column, out->lay_source ? out->lay_source + top_lay * n_g : NULL,
                              out->lev_source ? out->lev_source + top_lev * n_g : NULL,
                              out->sfc_source ? out->sfc_source + c * n_g : NULL,
                              out->sfc_jacobian ? out->sfc_jacobian + c * n_g : NULL);
    }
    return SG_OK;
}

sg_status SG_TYPED(sg_radiation_gas_optics_lw)(const sg_kdist *kdist, const SG_TYPED(sg_columns) *columns, sg_work work,
                                               sg_range *range, const SG_TYPED(sg_optics_lw) *optics, sg_error *error)
{
    SG_TYPED(sg_optics_slot) table = SG_TYPED(sg_radiation_table_slot)(kdist);
    SG_TYPED(call)           call  = {
        .kdist = kdist, .in = columns, .slot = &table, .solver = PICK(sg_radiation_solver), .optics_lw = optics};
    SG_TRY(SG_TYPED(check_columns)(kdist, columns, 0, optics->sfc_source || optics->sfc_jacobian, range,
                                   &call.top_first, error));
    call.plan = SG_TYPED(make_plan)(kdist, columns->n_col, columns->n_lay, NULL, work.num_threads);
    return SG_TYPED(run)(&call, SG_TYPED(optics_lw_block), work, error);
}

static sg_status SG_TYPED(optics_sw_block)(const SG_TYPED(call) *call, SG_TYPED(space) *space, size_t first, size_t n,
                                           sg_error *error)
{
    const SG_TYPED(sg_optics_sw) *out = call->optics_sw;
    for (size_t j = 0; j < n; j++)
        space->column[j] = first + j;
    SG_TYPED(read_block)(call, space, n);
    SG_TRY(SG_TYPED(fill_optics)(call, space, n, error));
    SG_TYPED(write_rows)(call, first, n, space->second, out->tau_rayleigh);
    const real least =
        PRECISION ? (real)4.4501477170144028e-308 : (real)2.3509887e-38f; /* twice the smallest normal number */
    for (size_t row = 0; row < call->in->n_lay * n; row++) {
        real *tau = space->tau + row * call->plan.stride, *scattering = space->second + row * call->plan.stride;
        for (size_t g = 0; g < call->kdist->n_g; g++) {
            real total    = tau[g] + scattering[g];
            scattering[g] = total > least ? scattering[g] / total : 0;
            tau[g]        = total;
        }
    }
    SG_TYPED(write_rows)(call, first, n, space->tau, out->tau);
    SG_TYPED(write_rows)(call, first, n, space->second, out->ssa);
    return SG_OK;
}

sg_status SG_TYPED(sg_radiation_gas_optics_sw)(const sg_kdist *kdist, const SG_TYPED(sg_columns) *columns, sg_work work,
                                               sg_range *range, const SG_TYPED(sg_optics_sw) *optics, sg_error *error)
{
    SG_TYPED(sg_optics_slot) table = SG_TYPED(sg_radiation_table_slot)(kdist);
    SG_TYPED(call)           call  = {
        .kdist = kdist, .in = columns, .slot = &table, .solver = PICK(sg_radiation_solver), .optics_sw = optics};
    SG_TRY(SG_TYPED(check_columns)(kdist, columns, 1, 0, range, &call.top_first, error));
    call.plan = SG_TYPED(make_plan)(kdist, columns->n_col, columns->n_lay, NULL, work.num_threads);
    return SG_TYPED(run)(&call, SG_TYPED(optics_sw_block), work, error);
}

/* ---- cross-sections of single cells ---- */

static sg_status SG_TYPED(cross_sections_block)(const SG_TYPED(call) *call, SG_TYPED(space) *space, size_t first,
                                                size_t n, sg_error *error)
{
    /* An amount of air as in a real layer keeps float in range; a power of two leaves the digits alone. */
    const real amount = (real)0x1p80, per_amount = (real)0x1p-80;
    const sg_kdist             *kdist = call->kdist;
    const SG_TYPED(sg_columns) *in    = call->in;
    for (size_t j = 0; j < n; j++) {
        space->t[j]       = SG_TYPED(clip)(in->t_lay[first + j], kdist->temp_min, kdist->temp_max);
        space->p[j]       = SG_TYPED(clip)(in->p_lay[first + j], kdist->press_min, kdist->press_max);
        space->col_dry[j] = amount;
        for (size_t i = 0; i < kdist->n_gas; i++)
            space->vmr[i * n + j] =
                in->gas[i].vmr ? SG_TYPED(clip)(in->gas[i].vmr[(first + j) * in->gas[i].col_stride], 0, 1) : 0;
    }
    SG_TRY(SG_TYPED(fill_optics)(call, space, n, error));
    for (size_t j = 0; j < n; j++)
        for (size_t g = 0; g < kdist->n_g; g++) {
            size_t from = j * call->plan.stride + g, to = (first + j) * kdist->n_g + g;
            call->absorption[to] = per_amount * space->tau[from];
            call->second[to]     = kdist->shortwave ? per_amount * space->second[from] : space->second[from];
        }
    return SG_OK;
}

sg_status SG_TYPED(sg_radiation_cross_sections)(const sg_kdist *kdist, size_t n_row, const real *t, const real *p,
                                                const SG_TYPED(sg_gas) *gas, sg_work work, sg_range *range,
                                                real *absorption, real *second, sg_error *error)
{
    SG_TYPED(sg_optics_slot) table = SG_TYPED(sg_radiation_table_slot)(kdist);
    SG_TYPED(sg_columns)     cells = {.n_col = n_row, .n_lay = 1, .p_lay = p, .t_lay = t, .gas = gas};
    SG_TYPED(call)           call  = {.kdist      = kdist,
                                      .in         = &cells,
                                      .slot       = &table,
                                      .top_first  = 1,
                                      .absorption = absorption,
                                      .second     = second};
    SG_TRY(SG_TYPED(check_values)("temperature", n_row, 1, t, 1, 0, kdist->temp_min, kdist->temp_max, " K", "the table",
                                  range->clip, &range->n_temperature, error));
    SG_TRY(SG_TYPED(check_values)("pressure", n_row, 1, p, 1, 0, kdist->press_min, kdist->press_max, " Pa", "the table",
                                  range->clip, &range->n_pressure, error));
    SG_TRY(SG_TYPED(check_gases)(kdist, n_row, 1, gas, range, error));
    call.plan = SG_TYPED(make_plan)(kdist, n_row, 1, NULL, work.num_threads);
    return SG_TYPED(run)(&call, SG_TYPED(cross_sections_block), work, error);
}

/* -------------------------------------------------------------------------------------------------------- solvers */

static sg_status SG_TYPED(solve_lw_block)(const SG_TYPED(call) *call, SG_TYPED(space) *space, size_t first, size_t n,
                                          sg_error *error)
{
    (void)error;
    for (size_t c = first; c < first + n; c++) {
        SG_TYPED(sg_lw_column) column = *call->lw;
        size_t n_lay = column.n_lay, n_g = column.n_g, top_lay = c * n_lay + (call->top_first ? 0 : n_lay - 1);
        size_t top_lev = c * (n_lay + 1) + (call->top_first ? 0 : n_lay);
        column.tau_stride = column.lay_stride = column.lev_stride = call->top_first ? (ptrdiff_t)n_g : -(ptrdiff_t)n_g;
        column.tau += top_lay * n_g;
        column.lay_source += top_lay * n_g;
        column.lev_source += top_lev * n_g;
        column.sfc_source += c * n_g;
        if (column.sfc_jacobian)
            column.sfc_jacobian += c * n_g;
        if (column.down_toa)
            column.down_toa += c * n_g;
        SG_TYPED(place_lw)(call, c, &column);
        call->solver->longwave(&column, space->solver_scratch);
    }
    return SG_OK;
}

sg_status SG_TYPED(sg_radiation_solve_lw)(size_t n_col, size_t n_lay, size_t n_g, int top_first, const real *tau,
                                          const real *lay_source, const real *lev_source, const real *sfc_source,
                                          const real *sfc_jacobian, const real *emissivity, const real *down_toa,
                                          sg_lw_angles angles, sg_work work, const SG_TYPED(sg_fluxes) *fluxes,
                                          sg_error *error)
{
    SG_TYPED(sg_lw_column) all = {.n_lay        = n_lay,
                                  .n_g          = n_g,
                                  .tau          = tau,
                                  .lay_source   = lay_source,
                                  .lev_source   = lev_source,
                                  .sfc_source   = sfc_source,
                                  .sfc_jacobian = sfc_jacobian,
                                  .down_toa     = down_toa};
    SG_TYPED(call) call = {.solver = PICK(sg_radiation_solver), .top_first = top_first, .emissivity = emissivity,
                           .fluxes = fluxes, .lw = &all};
    if (n_lay < 1 || n_g < 1)
        return sg_fail(error, SG_ERR_VALUE, "tau", "expected at least one layer and one g-point, got %zu and %zu",
                       n_lay, n_g);
    if (fluxes->up_jacobian && !sfc_jacobian)
        return sg_fail(error, SG_ERR_VALUE, "sfc_jacobian", "is needed for the derivative of the upward flux");
    SG_TRY(SG_TYPED(check_property)("emissivity", n_col, emissivity, 0, 1, "", error));
    SG_TRY(SG_TYPED(set_angles)(&call, angles, error));
    call.plan = SG_TYPED(make_plan)(NULL, n_col, n_lay, NULL, work.num_threads);
    return SG_TYPED(run)(&call, SG_TYPED(solve_lw_block), work, error);
}

static sg_status SG_TYPED(solve_sw_block)(const SG_TYPED(call) *call, SG_TYPED(space) *space, size_t first, size_t n,
                                          sg_error *error)
{
    (void)error;
    for (size_t c = first; c < first + n; c++) {
        SG_TYPED(sg_sw_column) column = *call->sw;
        size_t n_lay = column.n_lay, n_g = column.n_g, top = (c * n_lay + (call->top_first ? 0 : n_lay - 1)) * n_g;
        if (!(call->mu0[c] > 0)) {
            SG_TYPED(night)(call->fluxes, c, n_lay + 1, n_g);
            continue;
        }
        column.lay_stride = call->top_first ? (ptrdiff_t)n_g : -(ptrdiff_t)n_g;
        column.tau += top;
        column.ssa += top;
        if (column.asymmetry)
            column.asymmetry += top;
        column.toa_source = call->toa_source + c * n_g;
        column.toa_scale  = 1;
        SG_TYPED(place_sw)(call, c, &column);
        call->solver->shortwave(&column, space->solver_scratch);
    }
    return SG_OK;
}

sg_status SG_TYPED(sg_radiation_solve_sw)(size_t n_col, size_t n_lay, size_t n_g, int top_first, const real *tau,
                                          const real *ssa, const real *asymmetry, const real *mu0,
                                          const real *toa_source, const real *albedo_direct, const real *albedo_diffuse,
                                          sg_work work, const SG_TYPED(sg_fluxes) *fluxes, sg_error *error)
{
    SG_TYPED(sg_sw_column) all  = {.n_lay = n_lay, .n_g = n_g, .tau = tau, .ssa = ssa, .asymmetry = asymmetry};
    SG_TYPED(call)         call = {.solver         = PICK(sg_radiation_solver),
                                   .top_first      = top_first,
                                   .mu0            = mu0,
                                   .albedo_direct  = albedo_direct,
                                   .albedo_diffuse = albedo_diffuse,
                                   .toa_source     = toa_source,
                                   .fluxes         = fluxes,
                                   .sw             = &all};
    if (n_lay < 1 || n_g < 1)
        return sg_fail(error, SG_ERR_VALUE, "tau", "expected at least one layer and one g-point, got %zu and %zu",
                       n_lay, n_g);
    SG_TRY(SG_TYPED(check_sun)(n_col, mu0, albedo_direct, albedo_diffuse, error));
    call.plan = SG_TYPED(make_plan)(NULL, n_col, n_lay, NULL, work.num_threads);
    return SG_TYPED(run)(&call, SG_TYPED(solve_sw_block), work, error);
}

#undef FLUX_AT

void SG_TYPED(sg_radiation_heating_rate)(size_t n_col, size_t n_lay, const real *p_lev, const real *up,
                                         const real *down, real *heating)
{
    for (size_t c = 0; c < n_col; c++)
        for (size_t l = 0; l < n_lay; l++) {
            size_t at  = c * (n_lay + 1) + l;
            real   net = (up[at + 1] - down[at + 1]) - (up[at] - down[at]); /* upward, gain over one level */
            heating[c * n_lay + l] = (real)(SG_GRAVITY / SG_HEAT_CAPACITY) * net / (p_lev[at + 1] - p_lev[at]);
        }
}
