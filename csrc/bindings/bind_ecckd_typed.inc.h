/* SPDX-License-Identifier: BSD-3-Clause */
/* The optics call of bind_ecckd.c, included once per precision. Returns 0, or -1 with an exception set. */
static int SG_TYPED(call_optics)(const optics_arguments *a, holder *h, PyObject *result)
{
    int                    longwave                = !a->ecckd->shortwave;
    SG_TYPED(sg_gas)       gas[SG_ECCKD_MAX_GAS]     = {{0}};
    real                   numbers[SG_ECCKD_MAX_GAS] = {0};
    SG_TYPED(sg_columns)   columns                   = {.gas = gas};
    if (!(columns.p_lay = input(h, a->p_lay, "pressure_layer", "n_col n_lay")) ||
        !(columns.p_lev = input(h, a->p_lev, "pressure_level", "n_col n_lay+1")) ||
        !(columns.t_lay = input(h, a->t_lay, "temperature_layer", "n_col n_lay")) ||
        (longwave && !(columns.t_lev = input(h, a->t_lev, "temperature_level", "n_col n_lay+1"))) ||
        (longwave && !(columns.t_sfc = input(h, a->t_sfc, "temperature_surface", "n_col"))))
        return -1;
    columns.n_col = (size_t)sg_dim(&h->dims, "n_col");
    columns.n_lay = (size_t)sg_dim(&h->dims, "n_lay");
    sg_dim_set(&h->dims, "n_g", (npy_intp)a->ecckd->n_g);
    for (size_t i = 0; i < a->ecckd->n_gas; i++) {
        PyObject *entry = PyList_GET_ITEM(a->gases, (Py_ssize_t)i);
        if (entry == Py_None)
            continue;
        if (PyArray_Check(entry) && PyArray_NDIM((PyArrayObject *)entry) > 0) {
            int two = PyArray_NDIM((PyArrayObject *)entry) != 1;
            char name[32];
            snprintf(name, sizeof name, "gases[%zu]", i);
            if (!(gas[i].vmr = input(h, entry, name, two ? "n_col n_lay" : "n_col")))
                return -1;
            gas[i].col_stride = two ? columns.n_lay : 1;
            gas[i].lay_stride = two ? 1 : 0;
        } else {
            double value = PyFloat_AsDouble(entry);
            if (value == -1 && PyErr_Occurred())
                return -1;
            numbers[i] = (real)value;
            gas[i].vmr = numbers + i;
        }
    }
    SG_TYPED(sg_optics_lw) lw = {0};
    SG_TYPED(sg_optics_sw) sw = {0};
    if (longwave) {
        if (!(lw.tau = output(h, result, "tau", "n_col n_lay n_g")) ||
            !(lw.lay_source = output(h, result, "lay_source", "n_col n_lay n_g")) ||
            !(lw.lev_source = output(h, result, "lev_source", "n_col n_lay+1 n_g")) ||
            !(lw.sfc_source = output(h, result, "sfc_source", "n_col n_g")))
            return -1;
    } else if (!(sw.tau = output(h, result, "tau", "n_col n_lay n_g")) || !(sw.ssa = output(h, result, "ssa", "n_col n_lay n_g")) ||
               !(sw.tau_rayleigh = output(h, result, "tau_rayleigh", "n_col n_lay n_g")))
        return -1;
    sg_poll   poll  = sg_python_poll(Py_None);
    sg_range  range = {.clip = a->clip};
    sg_work   work  = {.num_threads = a->num_threads, .poll = &poll};
    sg_error  error = {0};
    sg_status status;
    work.bytes     = SG_TYPED(sg_ecckd_workspace_bytes)(a->ecckd, columns.n_lay, a->num_threads);
    work.workspace = sg_alloc(work.bytes);
    if (!work.workspace) {
        PyErr_NoMemory();
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    status = longwave ? SG_TYPED(sg_ecckd_optics_lw)(a->ecckd, &columns, (size_t)a->h2o, work, &range, &lw, &error)
                      : SG_TYPED(sg_ecckd_optics_sw)(a->ecckd, &columns, (size_t)a->h2o, work, &range, &sw, &error);
    Py_END_ALLOW_THREADS
    sg_free(work.workspace);
    if (status != SG_OK) {
        sg_raise(status, &error);
        return -1;
    }
    PyObject *counts = Py_BuildValue("{s:n,s:n}", "temperature", (Py_ssize_t)range.n_temperature, "pressure",
                                     (Py_ssize_t)range.n_pressure);
    int failed = !counts || PyDict_SetItemString(result, "clipped", counts) < 0;
    Py_XDECREF(counts);
    return failed ? -1 : 0;
}
