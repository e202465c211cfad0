/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/radiation/column.h and column_radiation.h: ColumnHost, whose run() takes a slot, ColumnRadiation, the slot of this
 * package, and the pure functions for tests. */
#include "bindings/bind_network_slot.h"
#include "bindings/bind_radiation.h"

#include "radiation/column_radiation.h"

typedef struct {
    PyObject_HEAD
    sg_column *column;
    int        running;
} column_object;

/* ------------------------------------------------------------------------------------------------ a Python slot */

typedef struct {
    PyObject *function;
} python_slot;

static PyObject *copy_of(const void *data, int type, int ndim, const npy_intp *shape)
{
    PyArrayObject *array = (PyArrayObject *)PyArray_SimpleNew(ndim, (npy_intp *)shape, type);
    if (array)
        memcpy(PyArray_DATA(array), data, (size_t)PyArray_NBYTES(array));
    return (PyObject *)array;
}

static int take_flux(PyObject *result, Py_ssize_t i, const char *name, size_t n_col, size_t n_lev, double *out)
{
    sg_dims dims = {0};
    sg_dim_set(&dims, "n_col", (npy_intp)n_col);
    sg_dim_set(&dims, "n_lev", (npy_intp)n_lev);
    PyArrayObject *flux = sg_array_in(&dims, PyTuple_GET_ITEM(result, i), name, NPY_DOUBLE, "n_col n_lev", 0);
    if (!flux)
        return -1;
    memcpy(out, PyArray_DATA(flux), n_col * n_lev * sizeof(double));
    Py_DECREF(flux);
    return 0;
}

/* Calls function(column, p_lay, p_lev, t_lay, t_lev, t_sfc, h2o) -> (lw_up, lw_down, sw_up, sw_down). */
static sg_status python_fluxes(void *context, const sg_column_state *state, const sg_column_fluxes *out, sg_poll *poll,
                               sg_error *error)
{
    (void)poll; /* signals are checked by the interpreter that runs the function */
    python_slot     *slot = context;
    PyGILState_STATE gil  = PyGILState_Ensure();
    npy_intp         n_col = (npy_intp)state->n_col, n_lay = (npy_intp)state->n_lay;
    npy_intp         layers[2] = {n_col, n_lay}, levels[2] = {n_col, n_lay + 1};
    static const char *const names[4] = {"the slot's lw_up", "the slot's lw_down", "the slot's sw_up", "the slot's sw_down"};
    double *const            where[4] = {out->lw_up, out->lw_down, out->sw_up, out->sw_down};

    PyArrayObject *column = (PyArrayObject *)PyArray_SimpleNew(1, layers, NPY_INT64);
    for (npy_intp c = 0; column && c < n_col; c++)
        ((npy_int64 *)PyArray_DATA(column))[c] = (npy_int64)state->column[c];
    PyObject *arguments[7] = {(PyObject *)column,
                              copy_of(state->p_lay, NPY_DOUBLE, 2, layers),
                              copy_of(state->p_lev, NPY_DOUBLE, 2, levels),
                              copy_of(state->t_lay, NPY_DOUBLE, 2, layers),
                              copy_of(state->t_lev, NPY_DOUBLE, 2, levels),
                              copy_of(state->t_sfc, NPY_DOUBLE, 1, layers),
                              copy_of(state->h2o, NPY_DOUBLE, 2, layers)};
    int       bad    = 0;
    PyObject *result = NULL;
    for (int i = 0; i < 7; i++)
        bad |= !arguments[i];
    if (!bad)
        result = PyObject_Vectorcall(slot->function, arguments, 7, NULL);
    for (int i = 0; i < 7; i++)
        Py_XDECREF(arguments[i]);
    if (result && (!PyTuple_Check(result) || PyTuple_GET_SIZE(result) != 4)) {
        PyErr_Format(PyExc_TypeError, "slot: expected a tuple (lw_up, lw_down, sw_up, sw_down), got %.100s", Py_TYPE(result)->tp_name);
        bad = 1;
    }
    for (Py_ssize_t i = 0; result && !bad && i < 4; i++)
        bad = take_flux(result, i, names[i], state->n_col, state->n_lay + 1, where[i]) != 0;
    bad |= !result;
    Py_XDECREF(result);
    PyGILState_Release(gil);
    /* The exception waits in the thread state for sg_raise. */
    return bad ? sg_fail(error, SG_ERR_VALUE, "slot", "the slot failed") : SG_OK;
}

/* ---------------------------------------------------------------------------------------------- ColumnRadiation */

enum { MAX_HELD = 96 };

typedef struct {
    PyObject_HEAD
    sg_column_radiation *radiation;
    size_t               n_col, n_lay;
    PyObject            *held;  /* list of the table sets and arrays the slot points into */
    sg_gas_f64           gas[2][MAX_HELD / 2];
    sg_optics_slot_f64   optics[2];  /* networks in place of the tables */
} radiation_object;

static PyTypeObject *radiation_type;

static void radiation_dealloc(radiation_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    sg_column_radiation_free(self->radiation);
    Py_XDECREF(self->held);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static const double *keep(radiation_object *self, sg_dims *dims, PyObject *object, const char *name, const char *shape)
{
    PyArrayObject *array = sg_array_in(dims, object, name, NPY_DOUBLE, shape, SG_FINITE);
    if (!array)
        return NULL;
    int failed = PyList_Append(self->held, (PyObject *)array);
    Py_DECREF(array);
    return failed ? NULL : PyArray_DATA(array);
}

/* gases: list in the order of the table; entries None or (n_col, n_lay). */
static int keep_gases(radiation_object *self, sg_dims *dims, const sg_kdist *kdist, PyObject *gases, const char *what, sg_gas_f64 *gas)
{
    if (!PyList_Check(gases) || (size_t)PyList_GET_SIZE(gases) != kdist->n_gas || kdist->n_gas > MAX_HELD / 2) {
        PyErr_Format(PyExc_ValueError, "%s: expected a list of %zu entries", what, kdist->n_gas);
        return -1;
    }
    for (size_t i = 0; i < kdist->n_gas; i++) {
        PyObject *entry = PyList_GET_ITEM(gases, (Py_ssize_t)i);
        if (entry == Py_None)
            continue;
        char name[64];
        snprintf(name, sizeof name, "gases[\"%s\"]", kdist->gas_name[i]);
        gas[i].vmr = keep(self, dims, entry, name, "n_col n_lay");
        if (!gas[i].vmr)
            return -1;
        gas[i].col_stride = (size_t)sg_dim(dims, "n_lay");
        gas[i].lay_stride = 1;
    }
    return 0;
}

/* optics: None for the table, or a NetworkSlot that fits it. *use = NULL for the table. */
static int keep_optics(radiation_object *self, PyObject *optics, const sg_kdist *kdist, const char *name, sg_optics_slot_f64 *slot,
                       const sg_optics_slot_f64 **use)
{
    if (optics == Py_None)
        return 0;
    sg_network_slot *networks = sg_bind_network_slot_of(optics, kdist, name);
    if (!networks) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "%s: expected None or a NetworkSlot, got %.100s", name, Py_TYPE(optics)->tp_name);
        return -1;
    }
    *slot = sg_radiation_network_slot_f64(networks);
    *use  = slot;
    return PyList_Append(self->held, optics);
}

static PyObject *radiation_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"longwave", "shortwave", "n_layer", "longwave_gases", "shortwave_gases", "emissivity", "albedo", "mu0",
                            "total_solar_irradiance", "day_fraction", "diffusivity", "num_threads", "longwave_optics",
                            "shortwave_optics", NULL};
    PyObject *lw, *sw, *lw_gases, *sw_gases, *emissivity, *albedo, *mu0, *tsi, *day;
    PyObject *lw_optics = Py_None, *sw_optics = Py_None;
    Py_ssize_t                n_lay;
    sg_column_radiation_setup s = {.angles = {1, 0}};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOnOOOOOOOdi|OO:ColumnRadiation", names, &lw, &sw, &n_lay, &lw_gases,
                                     &sw_gases, &emissivity, &albedo, &mu0, &tsi, &day, &s.angles.diffusivity, &s.num_threads,
                                     &lw_optics, &sw_optics))
        return NULL;
    if (!(s.lw = sg_bind_kdist(lw, "longwave")) || !(s.sw = sg_bind_kdist(sw, "shortwave")))
        return NULL;
    radiation_object *self = (radiation_object *)type->tp_alloc(type, 0);
    if (!self || !(self->held = Py_BuildValue("[OO]", lw, sw))) {
        Py_XDECREF(self);
        return NULL;
    }
    sg_dims dims = {0};
    sg_dim_set(&dims, "n_lay", (npy_intp)n_lay);
    if (!(s.emissivity = keep(self, &dims, emissivity, "emissivity", "n_col")) ||
        !(s.albedo = keep(self, &dims, albedo, "albedo", "n_col")) || !(s.mu0 = keep(self, &dims, mu0, "mu0", "n_col")) ||
        !(s.tsi = keep(self, &dims, tsi, "total_solar_irradiance", "n_col")) ||
        !(s.day_fraction = keep(self, &dims, day, "day_fraction", "n_col")) ||
        keep_gases(self, &dims, s.lw, lw_gases, "longwave_gases", self->gas[0]) ||
        keep_gases(self, &dims, s.sw, sw_gases, "shortwave_gases", self->gas[1]) ||
        keep_optics(self, lw_optics, s.lw, "longwave_optics", &self->optics[0], &s.lw_optics) ||
        keep_optics(self, sw_optics, s.sw, "shortwave_optics", &self->optics[1], &s.sw_optics)) {
        Py_DECREF(self);
        return NULL;
    }
    s.lw_gas = self->gas[0];
    s.sw_gas = self->gas[1];
    s.n_col = self->n_col = (size_t)sg_dim(&dims, "n_col");
    s.n_lay = self->n_lay = (size_t)n_lay;
    sg_error  error       = {0};
    sg_status status      = sg_column_radiation_create(&s, &self->radiation, &error);
    if (status != SG_OK) {
        Py_DECREF(self);
        return sg_raise(status, &error);
    }
    return (PyObject *)self;
}

static PyType_Slot radiation_slots[] = {
    {Py_tp_new, radiation_new},
    {Py_tp_dealloc, radiation_dealloc},
    {Py_tp_doc, "Tables and surfaces of all columns of a ColumnHost, for its run(); see simgraft.radiation.host."},
    {0, NULL},
};

static PyType_Spec radiation_spec = {"simgraft._core.ColumnRadiation", sizeof(radiation_object), 0, Py_TPFLAGS_DEFAULT,
                                     radiation_slots};

/* --------------------------------------------------------------------------------------------------- ColumnHost */

static void column_dealloc(column_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    sg_column_free(self->column);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *column_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"pressure_layer", "pressure_level", "temperature_layer", "temperature_surface", "h2o",
                            "relative_humidity", "h2o_floor", "convection", "lapse_rate", "surface_heat_capacity", "step",
                            "memory", "flux_tolerance", "rate_tolerance", "t_min", "t_max", NULL};
    PyObject       *p_lay_, *p_lev_, *t_lay_, *t_sfc_, *h2o_, *rh_;
    sg_column_setup s = {0};
    int             convection;
    Py_ssize_t      memory;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOOOOdidddndddd:ColumnHost", names, &p_lay_, &p_lev_, &t_lay_, &t_sfc_,
                                     &h2o_, &rh_, &s.h2o_floor, &convection, &s.lapse_rate, &s.surface_heat_capacity, &s.step,
                                     &memory, &s.flux_tolerance, &s.rate_tolerance, &s.t_min, &s.t_max))
        return NULL;
    if (memory < 0 || convection < SG_CONVECTION_NONE || convection > SG_CONVECTION_MOIST) {
        PyErr_SetString(PyExc_ValueError, memory < 0 ? "memory: expected 0 or more" : "convection: expected 0, 1 or 2");
        return NULL;
    }
    s.memory     = (size_t)memory;
    s.convection = (sg_column_convection)convection;

    sg_dims        dims  = {0};
    column_object *self  = NULL;
    PyArrayObject *p_lay = NULL, *p_lev = NULL, *t_lay = NULL, *t_sfc = NULL, *h2o = NULL, *rh = NULL;
    if (!(p_lay = sg_array_in(&dims, p_lay_, "pressure_layer", NPY_DOUBLE, "n_col n_lay", SG_FINITE)) ||
        !(p_lev = sg_array_in(&dims, p_lev_, "pressure_level", NPY_DOUBLE, "n_col n_lay+1", SG_FINITE)) ||
        !(t_lay = sg_array_in(&dims, t_lay_, "temperature_layer", NPY_DOUBLE, "n_col n_lay", SG_FINITE)) ||
        !(t_sfc = sg_array_in(&dims, t_sfc_, "temperature_surface", NPY_DOUBLE, "n_col", SG_FINITE)))
        goto end;
    h2o = sg_array_in(&dims, h2o_, "h2o", NPY_DOUBLE, "n_col n_lay", SG_FINITE | SG_OPTIONAL);
    if (PyErr_Occurred())
        goto end;
    rh = sg_array_in(&dims, rh_, "relative_humidity", NPY_DOUBLE, "n_col n_lay", SG_FINITE | SG_OPTIONAL);
    if (PyErr_Occurred())
        goto end;
    if (!h2o == !rh) {
        PyErr_SetString(PyExc_ValueError, "h2o, relative_humidity: expected exactly one of them");
        goto end;
    }
    s.n_col             = (size_t)sg_dim(&dims, "n_col");
    s.n_lay             = (size_t)sg_dim(&dims, "n_lay");
    s.p_lay             = PyArray_DATA(p_lay);
    s.p_lev             = PyArray_DATA(p_lev);
    s.t_lay             = PyArray_DATA(t_lay);
    s.t_sfc             = PyArray_DATA(t_sfc);
    s.h2o               = h2o ? PyArray_DATA(h2o) : NULL;
    s.relative_humidity = rh ? PyArray_DATA(rh) : NULL;
    self                = (column_object *)type->tp_alloc(type, 0);
    if (self) {
        sg_error  error  = {0};
        sg_status status = sg_column_create(&s, &self->column, &error);
        if (status != SG_OK) {
            Py_CLEAR(self);
            sg_raise(status, &error);
        }
    }
end:
    Py_XDECREF(p_lay);
    Py_XDECREF(p_lev);
    Py_XDECREF(t_lay);
    Py_XDECREF(t_sfc);
    Py_XDECREF(h2o);
    Py_XDECREF(rh);
    return (PyObject *)self;
}

static PyObject *column_run(column_object *self, PyObject *arguments)
{
    PyObject  *slot_, *progress;
    Py_ssize_t n_steps;
    if (!PyArg_ParseTuple(arguments, "OnO:run", &slot_, &n_steps, &progress))
        return NULL;
    if (n_steps < 0) {
        PyErr_Format(PyExc_ValueError, "n_steps: expected 0 or more, got %zd", n_steps);
        return NULL;
    }
    radiation_object *ours = PyObject_TypeCheck(slot_, radiation_type) ? (radiation_object *)slot_ : NULL;
    if (!ours && !PyCallable_Check(slot_)) {
        PyErr_Format(PyExc_TypeError, "slot: expected a ColumnRadiation or a callable, got %.100s", Py_TYPE(slot_)->tp_name);
        return NULL;
    }
    if (ours && (ours->n_col != self->column->n_col || ours->n_lay != self->column->n_lay)) {
        PyErr_Format(PyExc_ValueError, "slot: made for %zu columns of %zu layers, these are %zu of %zu", ours->n_col, ours->n_lay,
                     self->column->n_col, self->column->n_lay);
        return NULL;
    }
    if (self->running) {
        PyErr_SetString(PyExc_RuntimeError, "run: these columns are running already");
        return NULL;
    }
    npy_intp       shape[3] = {n_steps, (npy_intp)self->column->n_col, SG_COLUMN_N_HISTORY};
    PyArrayObject *history  = (PyArrayObject *)PyArray_SimpleNew(3, shape, NPY_DOUBLE);
    if (!history)
        return NULL;
    python_slot    python = {slot_};
    sg_column_slot slot   = ours ? sg_column_radiation_slot(ours->radiation) : (sg_column_slot){python_fluxes, &python};
    sg_poll        poll   = sg_python_poll(progress);
    sg_error       error  = {0};
    sg_status      status;
    size_t         n_done;
    self->running = 1;
    Py_BEGIN_ALLOW_THREADS
    status = sg_column_run(self->column, &slot, (size_t)n_steps, PyArray_DATA(history), &n_done, &poll, &error);
    Py_END_ALLOW_THREADS
    self->running = 0;
    if (status != SG_OK) {
        Py_DECREF(history);
        return sg_raise(status, &error);
    }
    PyObject *stop = PyLong_FromSize_t(n_done), *range = stop ? PySlice_New(NULL, stop, NULL) : NULL, *rows = NULL;
    if (range)
        rows = PyObject_GetItem((PyObject *)history, range);
    Py_XDECREF(stop);
    Py_XDECREF(range);
    Py_DECREF(history);
    return rows;
}

/* A copy of one field of the state, by the number in the getter's closure. */
enum { T_LAY, T_SFC, H2O, LW_UP, LW_DOWN, SW_UP, SW_DOWN, IMBALANCE, RATE, TIME, STEPS, CONVERGED, LIMITED };

static PyObject *column_get(column_object *self, void *closure)
{
    const sg_column *c         = self->column;
    npy_intp         layers[2] = {(npy_intp)c->n_col, (npy_intp)c->n_lay}, levels[2] = {layers[0], layers[1] + 1};
    if (self->running) {
        PyErr_SetString(PyExc_RuntimeError, "these columns are running");
        return NULL;
    }
    switch ((int)(intptr_t)closure) {
    case T_LAY: return copy_of(c->t_lay, NPY_DOUBLE, 2, layers);
    case T_SFC: return copy_of(c->t_sfc, NPY_DOUBLE, 1, layers);
    case H2O: return copy_of(c->h2o, NPY_DOUBLE, 2, layers);
    case LW_UP: return copy_of(c->flux[0], NPY_DOUBLE, 2, levels);
    case LW_DOWN: return copy_of(c->flux[1], NPY_DOUBLE, 2, levels);
    case SW_UP: return copy_of(c->flux[2], NPY_DOUBLE, 2, levels);
    case SW_DOWN: return copy_of(c->flux[3], NPY_DOUBLE, 2, levels);
    case IMBALANCE: return copy_of(c->imbalance, NPY_DOUBLE, 1, layers);
    case RATE: return copy_of(c->rate, NPY_DOUBLE, 1, layers);
    case TIME: return copy_of(c->time, NPY_DOUBLE, 1, layers);
    case STEPS: return copy_of(c->steps, NPY_UINTP, 1, layers);
    case LIMITED: return copy_of(c->limited, NPY_BOOL, 1, layers);
    default: return copy_of(c->converged, NPY_BOOL, 1, layers);
    }
}

#define FIELD(name, number) {name, (getter)column_get, NULL, NULL, (void *)(intptr_t)(number)}
static PyGetSetDef column_fields[] = {
    FIELD("temperature_layer", T_LAY),
    FIELD("temperature_surface", T_SFC),
    FIELD("h2o", H2O),
    FIELD("lw_up", LW_UP),
    FIELD("lw_down", LW_DOWN),
    FIELD("sw_up", SW_UP),
    FIELD("sw_down", SW_DOWN),
    FIELD("imbalance", IMBALANCE),
    FIELD("rate", RATE),
    FIELD("time", TIME),
    FIELD("steps", STEPS),
    FIELD("converged", CONVERGED),
    FIELD("limited", LIMITED),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef column_methods[] = {
    {"run", SG_METHOD(column_run), METH_VARARGS,
     "run(slot, n_steps, progress) -> (n_done, n_col, 3) array: imbalance, surface temperature, rate of each step"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot column_slots[] = {
    {Py_tp_new, column_new},         {Py_tp_dealloc, column_dealloc}, {Py_tp_getset, column_fields},
    {Py_tp_methods, column_methods}, {Py_tp_doc, "Radiative-convective columns with their steps; see simgraft.radiation.host."},
    {0, NULL},
};

static PyType_Spec column_spec = {"simgraft._core.ColumnHost", sizeof(column_object), 0, Py_TPFLAGS_DEFAULT, column_slots};

/* ---------------------------------------------------------------------------------------------- pure functions */

static PyObject *column_adjust(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *capacity_, *exner_, *t_lay_;
    double    surface_capacity, t_sfc;
    if (!PyArg_ParseTuple(arguments, "OdOOd:column_adjust", &capacity_, &surface_capacity, &exner_, &t_lay_, &t_sfc))
        return NULL;
    sg_dims        dims     = {0};
    PyObject      *result   = NULL;
    PyArrayObject *capacity = sg_array_in(&dims, capacity_, "heat_capacity", NPY_DOUBLE, "n_lay", SG_FINITE | SG_NONEMPTY);
    PyArrayObject *exner    = capacity ? sg_array_in(&dims, exner_, "exner", NPY_DOUBLE, "n_lay", SG_FINITE) : NULL;
    PyArrayObject *t_in     = exner ? sg_array_in(&dims, t_lay_, "temperature_layer", NPY_DOUBLE, "n_lay", SG_FINITE) : NULL;
    PyArrayObject *t_lay    = t_in ? (PyArrayObject *)PyArray_NewCopy(t_in, NPY_CORDER) : NULL;
    if (t_lay) {
        size_t  n_lay = (size_t)sg_dim(&dims, "n_lay");
        double *work  = PyMem_Malloc(3 * (n_lay + 1) * sizeof(double));
        if (work) {
            sg_column_adjust(n_lay, PyArray_DATA(capacity), surface_capacity, PyArray_DATA(exner), PyArray_DATA(t_lay), &t_sfc, work);
            PyMem_Free(work);
            result = Py_BuildValue("(Od)", t_lay, t_sfc);
        } else
            PyErr_NoMemory();
    }
    Py_XDECREF(capacity);
    Py_XDECREF(exner);
    Py_XDECREF(t_in);
    Py_XDECREF(t_lay);
    return result;
}

static PyObject *column_moist_exner(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *p_lay_;
    double    p_sfc, t_sfc;
    if (!PyArg_ParseTuple(arguments, "ddO:column_moist_exner", &p_sfc, &t_sfc, &p_lay_))
        return NULL;
    sg_dims        dims  = {0};
    PyArrayObject *p_lay = sg_array_in(&dims, p_lay_, "pressure_layer", NPY_DOUBLE, "n_lay", SG_FINITE);
    PyArrayObject *exner = p_lay ? sg_array_out(&dims, NULL, "exner", NPY_DOUBLE, "n_lay", 0) : NULL;
    if (exner)
        sg_column_moist_exner((size_t)sg_dim(&dims, "n_lay"), p_sfc, t_sfc, PyArray_DATA(p_lay), PyArray_DATA(exner));
    Py_XDECREF(p_lay);
    return (PyObject *)exner;
}

static PyObject *column_saturation(PyObject *module, PyObject *t)
{
    (void)module;
    double value = PyFloat_AsDouble(t);
    return PyErr_Occurred() ? NULL : PyFloat_FromDouble(sg_column_saturation(value));
}

static PyMethodDef methods[] = {
    {"column_adjust", column_adjust, METH_VARARGS,
     "column_adjust(heat_capacity, surface_heat_capacity, exner, temperature_layer, temperature_surface) -> (layers, surface)"},
    {"column_moist_exner", column_moist_exner, METH_VARARGS, "column_moist_exner(p_sfc, t_sfc, pressure_layer) -> array"},
    {"column_saturation", column_saturation, METH_O, "column_saturation(t) -> float\n\nSaturation vapour pressure [Pa]."},
    {NULL, NULL, 0, NULL},
};

int sg_bind_column(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&column_spec);
    if (!type || PyModule_AddObjectRef(module, "ColumnHost", type) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    Py_DECREF(type);
    radiation_type = (PyTypeObject *)PyType_FromSpec(&radiation_spec);
    if (!radiation_type || PyModule_AddObjectRef(module, "ColumnRadiation", (PyObject *)radiation_type) < 0)
        return -1;
    return sg_bind_add(module, methods);
}
