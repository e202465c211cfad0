/* SPDX-License-Identifier: BSD-3-Clause */
/* The typed part of bind_radiation.c, included once per precision with real, SG_TYPED and NPY_REAL. Functions return
 * 0, or -1 with an exception set. */

/* What a call needs beside its arrays: start, make_work and end are its beginning, middle and end. numbers holds the concentrations
 * that are plain numbers, one per gas. */
typedef struct SG_TYPED(call_of) {
    const sg_kdist       *kdist;
    SG_TYPED(sg_columns)  columns;
    SG_TYPED(sg_gas)     *gas;
    real                 *numbers;
    sg_work               work;
    sg_range              range;
    sg_poll               poll;
    sg_error              error;
} SG_TYPED(call_of);

static SG_TYPED(call_of) SG_TYPED(start)(const arguments_of *a)
{
    return (SG_TYPED(call_of)){.range = {.clip = a->clip}, .poll = sg_python_poll(Py_None)};
}

/* Frees what the call has, and gives failed back. */
static int SG_TYPED(end)(SG_TYPED(call_of) *c, int failed)
{
    sg_free(c->work.workspace);
    PyMem_Free(c->gas);
    PyMem_Free(c->numbers);
    return failed;
}

/* gases: sequence in the order of kdist->gas_name; entries None, a number, (n_col,) or (n_col, n_lay). */
static int SG_TYPED(read_gases)(PyObject *gases, holder *h, SG_TYPED(call_of) *c, int layers)
{
    PyObject *list = PySequence_Fast(gases, "gases: expected a sequence");
    if (!list)
        return -1;
    size_t n   = c->kdist->n_gas;
    c->gas     = PyMem_Calloc(n + 1, sizeof *c->gas);
    c->numbers = PyMem_Calloc(n + 1, sizeof *c->numbers);
    if (!c->gas || !c->numbers) {
        PyErr_NoMemory();
        goto fail;
    }
    if ((size_t)PySequence_Fast_GET_SIZE(list) != n) {
        PyErr_Format(PyExc_ValueError, "gases: expected %zu entries, got %zd", n, PySequence_Fast_GET_SIZE(list));
        goto fail;
    }
    for (size_t i = 0; i < n; i++) {
        PyObject *entry = PySequence_Fast_GET_ITEM(list, (Py_ssize_t)i);
        char      name[64];
        snprintf(name, sizeof name, "gases[\"%s\"]", c->kdist->gas_name[i]);
        if (entry == Py_None)
            continue;
        if (PyArray_Check(entry) && PyArray_NDIM((PyArrayObject *)entry) > 0) {
            int two            = layers && PyArray_NDIM((PyArrayObject *)entry) != 1;
            c->gas[i].vmr      = input(h, entry, name, two ? "n_col n_lay" : "n_col", 0);
            if (!c->gas[i].vmr)
                goto fail;
            c->gas[i].col_stride = two ? (size_t)sg_dim(&h->dims, "n_lay") : 1;
            c->gas[i].lay_stride = two ? 1 : 0;
        } else {
            double value = PyFloat_AsDouble(entry);
            if (value == -1 && PyErr_Occurred())
                goto fail;
            c->numbers[i] = (real)value;
            c->gas[i].vmr = &c->numbers[i];
        }
    }
    c->columns.gas = c->gas;
    Py_DECREF(list);
    return 0;
fail:
    Py_DECREF(list);
    return -1;
}

static int SG_TYPED(read_columns)(const arguments_of *a, holder *h, SG_TYPED(call_of) *c)
{
    if (!(c->kdist = kdist_of(a->kdist)) ||
        !(c->columns.p_lay = input(h, a->p_lay, "pressure_layer", "n_col n_lay", 0)) ||
        !(c->columns.p_lev = input(h, a->p_lev, "pressure_level", "n_col n_lay+1", 0)) ||
        !(c->columns.t_lay = input(h, a->t_lay, "temperature_layer", "n_col n_lay", 0)))
        return -1;
    if (a->t_lev && a->t_lev != Py_None &&
        !(c->columns.t_lev = input(h, a->t_lev, "temperature_level", "n_col n_lay+1", 0)))
        return -1;
    if (a->t_sfc && a->t_sfc != Py_None && !(c->columns.t_sfc = input(h, a->t_sfc, "temperature_surface", "n_col", 0)))
        return -1;
    c->columns.n_col = (size_t)sg_dim(&h->dims, "n_col");
    c->columns.n_lay = (size_t)sg_dim(&h->dims, "n_lay");
    sg_dim_set(&h->dims, "n_g", (npy_intp)c->kdist->n_g);
    return SG_TYPED(read_gases)(a->gases, h, c, 1);
}

/* ---- a Python callable in the optics slot: f(temperature, pressure, col_dry, vmr) -> (tau, second) ---- */

typedef struct SG_TYPED(callable_slot) {
    PyObject *callable;
    size_t    n_gas, n_g;
} SG_TYPED(callable_slot);

static PyObject *SG_TYPED(rows_copy)(int n_dim, npy_intp first, npy_intp second, const real *data)
{
    npy_intp  shape[2] = {first, second};
    PyObject *array    = PyArray_SimpleNew(n_dim, shape, NPY_REAL);
    if (array)
        memcpy(PyArray_DATA((PyArrayObject *)array), data, (size_t)PyArray_NBYTES((PyArrayObject *)array));
    return array;
}

static int SG_TYPED(rows_in)(PyObject *object, const char *name, size_t n_row, size_t n_g, size_t stride, real *rows)
{
    sg_dims dims = {0};
    sg_dim_set(&dims, "n_row", (npy_intp)n_row);
    sg_dim_set(&dims, "n_g", (npy_intp)n_g);
    PyArrayObject *array = sg_array_in(&dims, object, name, NPY_REAL, "n_row n_g", 0);
    if (!array)
        return -1;
    for (size_t row = 0; row < n_row; row++)
        memcpy(rows + row * stride, (const real *)PyArray_DATA(array) + row * n_g, n_g * sizeof(real));
    Py_DECREF(array);
    return 0;
}

static sg_status SG_TYPED(call_optics)(void *context, const SG_TYPED(sg_optics_block) *block, void *scratch,
                                       sg_error *error)
{
    (void)scratch, (void)error;
    const SG_TYPED(callable_slot) *slot = context;
    PyGILState_STATE               gil  = PyGILState_Ensure();
    npy_intp  n_row = (npy_intp)block->n_row;
    PyObject *t = SG_TYPED(rows_copy)(1, n_row, 0, block->t_lay), *p = SG_TYPED(rows_copy)(1, n_row, 0, block->p_lay);
    PyObject *dry = SG_TYPED(rows_copy)(1, n_row, 0, block->col_dry);
    PyObject *vmr = SG_TYPED(rows_copy)(2, (npy_intp)slot->n_gas, n_row, block->vmr);
    PyObject *both = t && p && dry && vmr ? PyObject_CallFunctionObjArgs(slot->callable, t, p, dry, vmr, NULL) : NULL;
    int       ok   = 0;
    if (both && (!PyTuple_Check(both) || PyTuple_GET_SIZE(both) != 2))
        PyErr_Format(PyExc_TypeError, "optics: expected a tuple of two arrays, got %.100s", Py_TYPE(both)->tp_name);
    else if (both)
        ok = SG_TYPED(rows_in)(PyTuple_GET_ITEM(both, 0), "optics()[0]", block->n_row, slot->n_g, block->g_stride,
                               block->tau) == 0 &&
             SG_TYPED(rows_in)(PyTuple_GET_ITEM(both, 1), "optics()[1]", block->n_row, slot->n_g, block->g_stride,
                               block->second) == 0;
    Py_XDECREF(both);
    Py_XDECREF(vmr);
    Py_XDECREF(dry);
    Py_XDECREF(p);
    Py_XDECREF(t);
    PyGILState_Release(gil);
    return ok ? SG_OK : SG_ERR_INTERRUPTED; /* sg_raise keeps the callable's own exception */
}

/* Fills slot from the optics argument; *use = NULL for the table kernel. A callable runs in this thread only, networks in all. */
static int SG_TYPED(optics_of)(const arguments_of *a, const sg_kdist *kdist, SG_TYPED(callable_slot) *python,
                               SG_TYPED(sg_optics_slot) *slot, const SG_TYPED(sg_optics_slot) **use, int *num_threads)
{
    *use = NULL;
    if (a->optics == Py_None)
        return 0;
    sg_network_slot *networks = sg_bind_network_slot_of(a->optics, kdist, "optics");
    if (networks) {
        *slot = SG_TYPED(sg_radiation_network_slot)(networks);
        *use  = slot;
        return 0;
    }
    if (PyErr_Occurred())
        return -1;
    if (!PyCallable_Check(a->optics)) {
        PyErr_Format(PyExc_TypeError, "optics: expected None, a NetworkSlot or a callable, got %.100s", Py_TYPE(a->optics)->tp_name);
        return -1;
    }
    *python      = (SG_TYPED(callable_slot)){a->optics, kdist->n_gas, kdist->n_g};
    *slot        = (SG_TYPED(sg_optics_slot)){SG_TYPED(call_optics), python, 0};
    *use         = slot;
    *num_threads = 1;
    return 0;
}

/* ---- calls ---- */

/* Workspace and Ctrl-C of a call whose arrays are all there. */
static int SG_TYPED(make_work)(SG_TYPED(call_of) *c, size_t n_col, size_t n_lay, const SG_TYPED(sg_optics_slot) *slot,
                               int num_threads)
{
    if (PyErr_Occurred())
        return -1;
    c->work       = (sg_work){.num_threads = num_threads, .poll = &c->poll};
    c->work.bytes = SG_TYPED(sg_radiation_workspace_bytes)(c->kdist, n_col, n_lay, slot, num_threads);
    if (!(c->work.workspace = sg_alloc(c->work.bytes)))
        PyErr_NoMemory();
    return c->work.workspace ? 0 : -1;
}

/* range: NULL for calls that look nothing up. */
static int SG_TYPED(finish)(SG_TYPED(call_of) *c, sg_status status, const sg_range *range, PyObject *result)
{
    if (status != SG_OK)
        sg_raise(status, &c->error);
    return SG_TYPED(end)(c, status != SG_OK ? -1 : range ? set_clipped(result, range) : 0);
}

static int SG_TYPED(call_fluxes_lw)(const arguments_of *a, holder *h, PyObject *result)
{
    SG_TYPED(call_of) c = SG_TYPED(start)(a);
    SG_TYPED(callable_slot) python;
    SG_TYPED(sg_optics_slot) own;
    const SG_TYPED(sg_optics_slot) *slot;
    int num_threads = a->num_threads;
    const real *emissivity;
    if (SG_TYPED(read_columns)(a, h, &c) || !(emissivity = input(h, a->emissivity, "emissivity", "n_col", 0)) ||
        SG_TYPED(optics_of)(a, c.kdist, &python, &own, &slot, &num_threads))
        return SG_TYPED(end)(&c, -1);
    SG_TYPED(sg_fluxes) fluxes = {.up          = output(h, result, 1, "up", "n_col n_lay+1"),
                                  .down        = output(h, result, 1, "down", "n_col n_lay+1"),
                                  .up_jacobian = output(h, result, a->want_jacobian, "up_jacobian", "n_col n_lay+1"),
                                  .up_g        = output(h, result, a->want_by_g, "up_g", "n_col n_lay+1 n_g"),
                                  .down_g      = output(h, result, a->want_by_g, "down_g", "n_col n_lay+1 n_g")};
    if (SG_TYPED(make_work)(&c, c.columns.n_col, c.columns.n_lay, slot, num_threads))
        return SG_TYPED(end)(&c, -1);
    sg_lw_angles angles = {a->n_angles, a->diffusivity};
    sg_status    status;
    Py_BEGIN_ALLOW_THREADS
    status = SG_TYPED(sg_radiation_fluxes_lw)(c.kdist, &c.columns, emissivity, angles, slot, c.work, &c.range, &fluxes,
                                              &c.error);
    Py_END_ALLOW_THREADS
    return SG_TYPED(finish)(&c, status, &c.range, result);
}

static int SG_TYPED(call_fluxes_sw)(const arguments_of *a, holder *h, PyObject *result)
{
    SG_TYPED(call_of) c = SG_TYPED(start)(a);
    SG_TYPED(callable_slot) python;
    SG_TYPED(sg_optics_slot) own;
    const SG_TYPED(sg_optics_slot) *slot;
    int num_threads = a->num_threads;
    const real *mu0, *tsi = NULL, *direct, *diffuse;
    if (SG_TYPED(read_columns)(a, h, &c) || !(mu0 = input(h, a->mu0, "mu0", "n_col", 0)) ||
        (a->tsi != Py_None && !(tsi = input(h, a->tsi, "total_solar_irradiance", "n_col", 0))) ||
        !(direct = input(h, a->albedo_direct, "albedo_direct", "n_col", 0)) ||
        !(diffuse = input(h, a->albedo_diffuse, "albedo_diffuse", "n_col", 0)) ||
        SG_TYPED(optics_of)(a, c.kdist, &python, &own, &slot, &num_threads))
        return SG_TYPED(end)(&c, -1);
    SG_TYPED(sg_fluxes) fluxes = {.up     = output(h, result, 1, "up", "n_col n_lay+1"),
                                  .down   = output(h, result, 1, "down", "n_col n_lay+1"),
                                  .direct = output(h, result, a->want_direct, "direct", "n_col n_lay+1"),
                                  .up_g   = output(h, result, a->want_by_g, "up_g", "n_col n_lay+1 n_g"),
                                  .down_g = output(h, result, a->want_by_g, "down_g", "n_col n_lay+1 n_g")};
    if (SG_TYPED(make_work)(&c, c.columns.n_col, c.columns.n_lay, slot, num_threads))
        return SG_TYPED(end)(&c, -1);
    sg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = SG_TYPED(sg_radiation_fluxes_sw)(c.kdist, &c.columns, mu0, tsi, direct, diffuse, slot, c.work, &c.range,
                                              &fluxes, &c.error);
    Py_END_ALLOW_THREADS
    return SG_TYPED(finish)(&c, status, &c.range, result);
}

static int SG_TYPED(call_gas_optics_lw)(const arguments_of *a, holder *h, PyObject *result)
{
    SG_TYPED(call_of) c = SG_TYPED(start)(a);
    if (SG_TYPED(read_columns)(a, h, &c))
        return SG_TYPED(end)(&c, -1);
    SG_TYPED(sg_optics_lw) optics = {
        .tau             = output(h, result, a->want_tau, "tau", "n_col n_lay n_g"),
        .planck_fraction = output(h, result, a->want_fraction, "planck_fraction", "n_col n_lay n_g"),
        .lay_source      = output(h, result, a->want_sources, "lay_source", "n_col n_lay n_g"),
        .lev_source      = output(h, result, a->want_sources, "lev_source", "n_col n_lay+1 n_g"),
        .sfc_source      = output(h, result, a->want_surface, "sfc_source", "n_col n_g"),
        .sfc_jacobian    = output(h, result, a->want_surface, "sfc_jacobian", "n_col n_g"),
    };
    if (SG_TYPED(make_work)(&c, c.columns.n_col, c.columns.n_lay, NULL, a->num_threads))
        return SG_TYPED(end)(&c, -1);
    sg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = SG_TYPED(sg_radiation_gas_optics_lw)(c.kdist, &c.columns, c.work, &c.range, &optics, &c.error);
    Py_END_ALLOW_THREADS
    return SG_TYPED(finish)(&c, status, &c.range, result);
}

static int SG_TYPED(call_gas_optics_sw)(const arguments_of *a, holder *h, PyObject *result)
{
    SG_TYPED(call_of) c = SG_TYPED(start)(a);
    if (SG_TYPED(read_columns)(a, h, &c))
        return SG_TYPED(end)(&c, -1);
    SG_TYPED(sg_optics_sw) optics = {
        .tau          = output(h, result, 1, "tau", "n_col n_lay n_g"),
        .ssa          = output(h, result, 1, "ssa", "n_col n_lay n_g"),
        .tau_rayleigh = output(h, result, a->want_rayleigh, "tau_rayleigh", "n_col n_lay n_g"),
    };
    if (SG_TYPED(make_work)(&c, c.columns.n_col, c.columns.n_lay, NULL, a->num_threads))
        return SG_TYPED(end)(&c, -1);
    sg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = SG_TYPED(sg_radiation_gas_optics_sw)(c.kdist, &c.columns, c.work, &c.range, &optics, &c.error);
    Py_END_ALLOW_THREADS
    return SG_TYPED(finish)(&c, status, &c.range, result);
}

static int SG_TYPED(call_cross_sections)(const arguments_of *a, holder *h, PyObject *result)
{
    SG_TYPED(call_of) c = SG_TYPED(start)(a);
    const real *t, *p;
    if (!(c.kdist = kdist_of(a->kdist)) || !(p = input(h, a->p_lay, "pressure", "n_col", 0)) ||
        !(t = input(h, a->t_lay, "temperature", "n_col", 0)) || SG_TYPED(read_gases)(a->gases, h, &c, 0))
        return SG_TYPED(end)(&c, -1);
    sg_dim_set(&h->dims, "n_g", (npy_intp)c.kdist->n_g);
    size_t n_row      = (size_t)sg_dim(&h->dims, "n_col");
    real  *absorption = output(h, result, 1, "absorption", "n_col n_g");
    real  *second     = output(h, result, 1, c.kdist->shortwave ? "rayleigh" : "planck_fraction", "n_col n_g");
    if (SG_TYPED(make_work)(&c, n_row, 1, NULL, a->num_threads))
        return SG_TYPED(end)(&c, -1);
    sg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = SG_TYPED(sg_radiation_cross_sections)(c.kdist, n_row, t, p, c.gas, c.work, &c.range, absorption, second,
                                                   &c.error);
    Py_END_ALLOW_THREADS
    return SG_TYPED(finish)(&c, status, &c.range, result);
}
