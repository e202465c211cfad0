/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks and loops over columns of ecckd.c, included once per precision. Workspace per thread: temperatures, pressures, moles,
 * concentrations, and an optical depth where only the single-scattering albedo is wanted. */

typedef struct SG_TYPED(ecckd_job) {
    const sg_ecckd                   *ecckd;
    const SG_TYPED(sg_columns)       *columns;
    const SG_TYPED(sg_ecckd_kernels) *kernels;
    const SG_TYPED(sg_optics_lw)     *lw;
    const SG_TYPED(sg_optics_sw)     *sw;
    size_t                            h2o;
    sg_work                           work;
} SG_TYPED(ecckd_job);

static size_t SG_TYPED(ecckd_thread_bytes)(const sg_ecckd *ecckd, size_t n_lay)
{
    return sg_round_up((3 + ecckd->n_gas + 2 * ecckd->n_g) * (n_lay + 1) * sizeof(real), SG_ALIGNMENT);
}

size_t SG_TYPED(sg_ecckd_workspace_bytes)(const sg_ecckd *ecckd, size_t n_lay, int num_threads)
{
    return (size_t)sg_threads_resolve(num_threads, SIZE_MAX) * SG_TYPED(ecckd_thread_bytes)(ecckd, n_lay);
}

static int SG_TYPED(ecckd_column)(void *context, size_t c, int thread)
{
    const SG_TYPED(ecckd_job)  *job     = context;
    const SG_TYPED(sg_columns) *columns = job->columns;
    const sg_ecckd             *e       = job->ecckd;
    size_t                      n = columns->n_lay, n_g = e->n_g, cells = n * n_g;
    char *own = (char *)job->work.workspace + (size_t)thread * SG_TYPED(ecckd_thread_bytes)(e, n);
    real *t = (real *)own, *p = t + n + 1, *moles = p + n + 1;
    real *vmr = moles + n + 1, *tau_own = vmr + e->n_gas * (n + 1), *ray_own = tau_own + (n + 1) * n_g;
    for (size_t l = 0; l < n; l++) {
        t[l] = columns->t_lay[c * n + l];
        p[l] = columns->p_lay[c * n + l];
        for (size_t g = 0; g < e->n_gas; g++) {
            const SG_TYPED(sg_gas) *gas = columns->gas + g;
            vmr[g * n + l]              = gas->vmr ? gas->vmr[c * gas->col_stride + l * gas->lay_stride] : 0;
        }
        const real *level = columns->p_lev + c * (n + 1) + l;
        double      q = (double)vmr[job->h2o * n + l], dp = fabs((double)level[1] - (double)level[0]);
        moles[l]      = (real)(dp / (SG_GRAVITY * (SG_MASS_DRY_AIR + SG_MASS_H2O * q)));
    }
    const real *h2o = vmr + job->h2o * n;
    if (job->lw) {
        const SG_TYPED(sg_optics_lw) *out = job->lw;
        job->kernels->cells(e, n, t, p, moles, vmr, h2o, out->tau + c * cells, NULL);
        if (out->lay_source)
            job->kernels->planck(e, n, t, out->lay_source + c * cells);
        if (out->lev_source)
            job->kernels->planck(e, n + 1, columns->t_lev + c * (n + 1), out->lev_source + c * (cells + n_g));
        if (out->sfc_source)
            job->kernels->planck(e, 1, columns->t_sfc + c, out->sfc_source + c * n_g);
        return thread == 0 && sg_poll_due(job->work.poll, (double)c, (double)columns->n_col);
    }
    const SG_TYPED(sg_optics_sw) *out = job->sw;
    real *tau = out->tau ? out->tau + c * cells : tau_own, *ray = out->tau_rayleigh ? out->tau_rayleigh + c * cells : ray_own;
    job->kernels->cells(e, n, t, p, moles, vmr, h2o, tau, ray);
    for (size_t i = 0; i < cells; i++) {
        tau[i] += ray[i];
        if (out->ssa)
            out->ssa[c * cells + i] = tau[i] > 0 ? ray[i] / tau[i] : 0;
    }
    return thread == 0 && sg_poll_due(job->work.poll, (double)c, (double)columns->n_col);
}

static sg_status SG_TYPED(ecckd_blocks)(SG_TYPED(ecckd_job) *job, sg_error *error)
{
    const sg_work *work  = &job->work;
    size_t         n_col = job->columns->n_col, need = SG_TYPED(sg_ecckd_workspace_bytes)(job->ecckd, job->columns->n_lay, work->num_threads);
    if (work->bytes < need)
        return sg_fail(error, SG_ERR_VALUE, "workspace", "expected %zu bytes, got %zu", need, work->bytes);
    if (sg_threads_blocks(n_col, work->num_threads, SG_TYPED(ecckd_column), job) != 0)
        return sg_fail(error, SG_ERR_INTERRUPTED, NULL, "interrupted");
    return SG_OK;
}

/* Refuses or counts what lies outside the tables, in column order so that the first one is named. */
static sg_status SG_TYPED(ecckd_check)(const sg_ecckd *e, const SG_TYPED(sg_columns) *columns, sg_range *range, sg_error *error)
{
    size_t n = columns->n_lay;
    for (size_t c = 0; c < columns->n_col; c++) {
        for (size_t l = 0; l < n; l++) {
            double p = (double)columns->p_lay[c * n + l], t = (double)columns->t_lay[c * n + l];
            if (!(p >= e->p_min && p <= e->p_max)) {
                if (!range->clip || !isfinite(p))
                    return refuse("pressure_layer", c, l, p, e->p_min, e->p_max, " Pa", "the table", error);
                range->n_pressure++;
            }
            double place = (log(fmin(fmax(p, e->p_min), e->p_max)) - e->log_p_first) / e->log_p_step;
            size_t i     = (size_t)fmin(fmax(place, 0), (double)(e->n_pressure - 2));
            double w = place - (double)i, low = (1 - w) * e->t_first[i] + w * e->t_first[i + 1];
            double high = low + e->t_step * (double)(e->n_temperature - 1);
            if (!(t >= low && t <= high)) {
                if (!range->clip || !isfinite(t))
                    return refuse("temperature_layer", c, l, t, low, high, " K", "the table at its pressure", error);
                range->n_temperature++;
            }
        }
        for (size_t g = 0; g < e->n_gas; g++)
            for (size_t l = 0; columns->gas[g].vmr && l < n; l++) {
                double x = (double)columns->gas[g].vmr[c * columns->gas[g].col_stride + l * columns->gas[g].lay_stride];
                if (!(x >= 0 && x <= 1))
                    return refuse("gases", c, l, x, 0, 1, "", "the possible", error);
            }
        double low = e->planck_first, high = low + e->planck_step * ((double)e->n_planck - 1);
        for (size_t l = 0; !e->shortwave && l <= n + 1; l++) {
            double t = (double)(l <= n ? columns->t_lev[c * (n + 1) + l] : columns->t_sfc[c]);
            if (!(t >= low && t <= high)) {
                if (!range->clip || !isfinite(t))
                    return refuse(l <= n ? "temperature_level" : "temperature_surface", c, l, t, low, high, " K", "the Planck table",
                                  error);
                range->n_temperature++;
            }
        }
    }
    return SG_OK;
}

sg_status SG_TYPED(sg_ecckd_optics_lw)(const sg_ecckd *ecckd, const SG_TYPED(sg_columns) *columns, size_t h2o, sg_work work,
                                       sg_range *range, const SG_TYPED(sg_optics_lw) *optics, sg_error *error)
{
    if (ecckd->shortwave)
        return sg_fail(error, SG_ERR_VALUE, "definition", "expected a longwave definition, got a shortwave one");
    if (!optics->tau || optics->planck_fraction || optics->sfc_jacobian)
        return sg_fail(error, SG_ERR_VALUE, "optics", "expected tau, and no Planck fraction or Jacobian");
    SG_TRY(SG_TYPED(ecckd_check)(ecckd, columns, range, error));
    const SG_TYPED(sg_ecckd_kernels) *kernels = PICK_KERNELS(SG_TYPED(sg_radiation_ecckd), sg_cpu_isa());
    SG_TYPED(ecckd_job) job = {ecckd, columns, kernels, optics, NULL, h2o, work};
    return SG_TYPED(ecckd_blocks)(&job, error);
}

sg_status SG_TYPED(sg_ecckd_optics_sw)(const sg_ecckd *ecckd, const SG_TYPED(sg_columns) *columns, size_t h2o, sg_work work,
                                       sg_range *range, const SG_TYPED(sg_optics_sw) *optics, sg_error *error)
{
    if (!ecckd->shortwave)
        return sg_fail(error, SG_ERR_VALUE, "definition", "expected a shortwave definition, got a longwave one");
    SG_TRY(SG_TYPED(ecckd_check)(ecckd, columns, range, error));
    const SG_TYPED(sg_ecckd_kernels) *kernels = PICK_KERNELS(SG_TYPED(sg_radiation_ecckd), sg_cpu_isa());
    SG_TYPED(ecckd_job) job = {ecckd, columns, kernels, NULL, optics, h2o, work};
    return SG_TYPED(ecckd_blocks)(&job, error);
}
