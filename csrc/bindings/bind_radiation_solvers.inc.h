/* SPDX-License-Identifier: BSD-3-Clause */
/* The solvers of bind_radiation.c, included once per precision. */

static int SG_TYPED(call_solve_lw)(const solver_arguments *a, holder *h, PyObject *result)
{
    SG_TYPED(call_of) c = {.poll = sg_python_poll(Py_None)};
    const real *tau, *lay, *lev, *sfc, *emissivity, *jacobian = NULL, *toa = NULL;
    if (!(tau = input(h, a->tau, "tau", "n_col n_lay n_g", 0)) ||
        !(lay = input(h, a->lay_source, "lay_source", "n_col n_lay n_g", 0)) ||
        !(lev = input(h, a->lev_source, "lev_source", "n_col n_lay+1 n_g", 0)) ||
        !(sfc = input(h, a->sfc_source, "sfc_source", "n_col n_g", 0)) ||
        !(emissivity = input(h, a->emissivity, "emissivity", "n_col", 0)) ||
        (a->sfc_jacobian != Py_None && !(jacobian = input(h, a->sfc_jacobian, "sfc_jacobian", "n_col n_g", 0))) ||
        (a->down_toa != Py_None && !(toa = input(h, a->down_toa, "down_toa", "n_col n_g", 0))))
        return -1;
    size_t n_col = (size_t)sg_dim(&h->dims, "n_col"), n_lay = (size_t)sg_dim(&h->dims, "n_lay");
    SG_TYPED(sg_fluxes) fluxes = {.up          = output(h, result, 1, "up", "n_col n_lay+1"),
                                  .down        = output(h, result, 1, "down", "n_col n_lay+1"),
                                  .up_jacobian = output(h, result, jacobian != NULL, "up_jacobian", "n_col n_lay+1"),
                                  .up_g        = output(h, result, a->want_by_g, "up_g", "n_col n_lay+1 n_g"),
                                  .down_g      = output(h, result, a->want_by_g, "down_g", "n_col n_lay+1 n_g")};
    if (SG_TYPED(make_work)(&c, n_col, n_lay, NULL, a->num_threads))
        return -1;
    sg_lw_angles angles = {a->n_angles, a->diffusivity};
    sg_status    status;
    Py_BEGIN_ALLOW_THREADS
    status = SG_TYPED(sg_radiation_solve_lw)(n_col, n_lay, (size_t)sg_dim(&h->dims, "n_g"), a->top_first, tau, lay, lev,
                                             sfc, jacobian, emissivity, toa, angles, c.work, &fluxes, &c.error);
    Py_END_ALLOW_THREADS
    return SG_TYPED(finish)(&c, status, NULL, result);
}

static int SG_TYPED(call_solve_sw)(const solver_arguments *a, holder *h, PyObject *result)
{
    SG_TYPED(call_of) c = {.poll = sg_python_poll(Py_None)};
    const real *tau, *ssa, *asymmetry = NULL, *mu0, *toa, *direct, *diffuse;
    if (!(tau = input(h, a->tau, "tau", "n_col n_lay n_g", 0)) ||
        !(ssa = input(h, a->ssa, "ssa", "n_col n_lay n_g", 0)) ||
        (a->asymmetry != Py_None && !(asymmetry = input(h, a->asymmetry, "asymmetry", "n_col n_lay n_g", 0))) ||
        !(mu0 = input(h, a->mu0, "mu0", "n_col", 0)) ||
        !(toa = input(h, a->toa_source, "toa_source", "n_col n_g", 0)) ||
        !(direct = input(h, a->albedo_direct, "albedo_direct", "n_col", 0)) ||
        !(diffuse = input(h, a->albedo_diffuse, "albedo_diffuse", "n_col", 0)))
        return -1;
    size_t n_col = (size_t)sg_dim(&h->dims, "n_col"), n_lay = (size_t)sg_dim(&h->dims, "n_lay");
    SG_TYPED(sg_fluxes) fluxes = {.up     = output(h, result, 1, "up", "n_col n_lay+1"),
                                  .down   = output(h, result, 1, "down", "n_col n_lay+1"),
                                  .direct = output(h, result, a->want_direct, "direct", "n_col n_lay+1"),
                                  .up_g   = output(h, result, a->want_by_g, "up_g", "n_col n_lay+1 n_g"),
                                  .down_g = output(h, result, a->want_by_g, "down_g", "n_col n_lay+1 n_g")};
    if (SG_TYPED(make_work)(&c, n_col, n_lay, NULL, a->num_threads))
        return -1;
    sg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = SG_TYPED(sg_radiation_solve_sw)(n_col, n_lay, (size_t)sg_dim(&h->dims, "n_g"), a->top_first, tau, ssa,
                                             asymmetry, mu0, toa, direct, diffuse, c.work, &fluxes, &c.error);
    Py_END_ALLOW_THREADS
    return SG_TYPED(finish)(&c, status, NULL, result);
}
