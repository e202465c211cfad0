/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/radiation: the table set as a type, optics, solvers and fluxes as functions. Keyword logic, defaults and
 * units live in the Python package; precision follows the dtype of the pressures. */
#include "bindings/bind_radiation.h"

#include "bindings/bind_network_slot.h"

#include "base/memory.h"
#include "radiation/radiation.h"

#include <structmember.h>

/* -------------------------------------------------------------------------------------------------- KDistribution */

typedef struct {
    PyObject_HEAD
    sg_kdist *kdist;
} kdist_object;

static PyTypeObject *kdist_type;

static const char *const side_name[SG_N_ATMOSPHERE] = {"lower", "upper"};

/* Borrowed entry of the dict, checked; owner keeps the array alive until the table set is built. NULL with KeyError
 * etc. */
static void *take(PyObject *arrays, PyObject *owner, sg_dims *dims, const char *name, int type, const char *shape)
{
    PyObject *entry = PyDict_GetItemString(arrays, name);
    if (!entry) {
        PyErr_Format(PyExc_KeyError, "%s", name);
        return NULL;
    }
    PyArrayObject *array = sg_array_in(dims, entry, name, type, shape, 0);
    if (!array)
        return NULL;
    int failed = PyList_Append(owner, (PyObject *)array);
    Py_DECREF(array);
    return failed ? NULL : PyArray_DATA(array);
}

static int take_side(PyObject *arrays, PyObject *owner, sg_dims *dims, int side, sg_kdist_arrays *a)
{
    const struct { const char *name; const int32_t **to; const char *shape; } integers[] = {
        {"minor_gas", &a->minor_gas[side], "n_minor"},
        {"minor_limits_gpt", &a->minor_limits_g[side], "n_minor 2"},
        {"kminor_start", &a->minor_start[side], "n_minor"},
        {"minor_scales_with_density", &a->minor_density[side], "n_minor"},
        {"scaling_gas", &a->minor_scaling_gas[side], "n_minor"},
        {"scale_by_complement", &a->minor_complement[side], "n_minor"},
    };
    char name[64], shape[64];
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        snprintf(name, sizeof name, "%s_%s", integers[i].name, side_name[side]);
        snprintf(shape, sizeof shape, "n_minor_%s%s", side_name[side], integers[i].shape + strlen("n_minor"));
        if (!(*integers[i].to = take(arrays, owner, dims, name, NPY_INT32, shape)))
            return -1;
    }
    snprintf(name, sizeof name, "kminor_%s", side_name[side]);
    snprintf(shape, sizeof shape, "n_temperature n_mixing n_contributor_%s", side_name[side]);
    if (!(a->kminor[side] = take(arrays, owner, dims, name, NPY_DOUBLE, shape)))
        return -1;
    if (a->solar_source) {
        snprintf(name, sizeof name, "rayl_%s", side_name[side]);
        if (!(a->rayleigh[side] = take(arrays, owner, dims, name, NPY_DOUBLE, "n_temperature n_mixing n_g")))
            return -1;
    }
    snprintf(name, sizeof name, "n_minor_%s", side_name[side]);
    a->n_minor[side] = (size_t)sg_dim(dims, name);
    snprintf(name, sizeof name, "n_contributor_%s", side_name[side]);
    a->n_contributor[side] = (size_t)sg_dim(dims, name);
    return 0;
}

#define TAKE(field, name, type, shape)                                          \
    if (!(a->field = take(arrays, owner, &dims, name, type, shape)))            \
        return -1

static int take_arrays(PyObject *arrays, PyObject *owner, sg_kdist_arrays *a)
{
    sg_dims dims = {0};
    sg_dim_set(&dims, "n_gas", (npy_intp)a->n_gas);
    TAKE(temp_ref, "temp_ref", NPY_DOUBLE, "n_temperature");
    TAKE(press_ref, "press_ref", NPY_DOUBLE, "n_pressure");
    TAKE(vmr_ref, "vmr_ref", NPY_DOUBLE, "n_temperature n_gas+1 2");
    TAKE(key_species, "key_species", NPY_INT32, "n_band 2 2");
    TAKE(band_limits_g, "bnd_limits_gpt", NPY_INT32, "n_band 2");
    TAKE(kmajor, "kmajor", NPY_DOUBLE, "n_temperature n_pressure+1 n_mixing n_g");
    PyObject *trop = PyDict_GetItemString(arrays, "press_ref_trop");
    a->press_ref_trop = trop ? PyFloat_AsDouble(trop) : -1;
    if (a->press_ref_trop == -1 && PyErr_Occurred())
        return -1;
    if (PyDict_GetItemString(arrays, "solar_source")) {
        TAKE(solar_source, "solar_source", NPY_DOUBLE, "n_g");
    } else {
        TAKE(planck_fraction, "plank_fraction", NPY_DOUBLE, "n_temperature n_pressure+1 n_mixing n_g");
        TAKE(totplnk, "totplnk", NPY_DOUBLE, "n_band n_planck");
        a->n_planck = (size_t)sg_dim(&dims, "n_planck");
    }
    for (int side = 0; side < SG_N_ATMOSPHERE; side++)
        if (take_side(arrays, owner, &dims, side, a))
            return -1;
    a->n_temperature = (size_t)sg_dim(&dims, "n_temperature");
    a->n_pressure    = (size_t)sg_dim(&dims, "n_pressure");
    a->n_mixing      = (size_t)sg_dim(&dims, "n_mixing");
    a->n_band        = (size_t)sg_dim(&dims, "n_band");
    a->n_g           = (size_t)sg_dim(&dims, "n_g");
    return 0;
}

/* names: sequence of str, wanted: sequence of bool of the same length */
static int take_gases(PyObject *names, PyObject *wanted, sg_kdist_arrays *a, const char ***gas_name,
                      uint8_t **gas_wanted)
{
    Py_ssize_t n = PySequence_Fast_GET_SIZE(names);
    if (PySequence_Fast_GET_SIZE(wanted) != n) {
        PyErr_Format(PyExc_ValueError, "wanted: expected %zd entries, one per gas, got %zd", n,
                     PySequence_Fast_GET_SIZE(wanted));
        return -1;
    }
    *gas_name   = PyMem_Calloc((size_t)n + 1, sizeof **gas_name);
    *gas_wanted = PyMem_Calloc((size_t)n + 1, 1);
    if (!*gas_name || !*gas_wanted) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        (*gas_name)[i] = PyUnicode_AsUTF8(PySequence_Fast_GET_ITEM(names, i));
        int want       = PyObject_IsTrue(PySequence_Fast_GET_ITEM(wanted, i));
        if (!(*gas_name)[i] || want < 0)
            return -1;
        (*gas_wanted)[i] = (uint8_t)want;
    }
    a->n_gas      = (size_t)n;
    a->gas_name   = *gas_name;
    a->gas_wanted = *gas_wanted;
    return 0;
}

static PyObject *kdist_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"arrays", "gas_names", "wanted", NULL};
    PyObject    *arrays, *gas_names, *wanted;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O!OO", names, &PyDict_Type, &arrays, &gas_names, &wanted))
        return NULL;
    PyObject *list_names  = PySequence_Fast(gas_names, "gas_names: expected a sequence of str");
    PyObject *list_wanted = list_names ? PySequence_Fast(wanted, "wanted: expected a sequence of bool") : NULL;
    PyObject *owner       = list_wanted ? PyList_New(0) : NULL;
    const char    **gas_name   = NULL;
    uint8_t        *gas_wanted = NULL;
    sg_kdist_arrays a          = {0};
    kdist_object   *self       = NULL;
    if (owner && take_gases(list_names, list_wanted, &a, &gas_name, &gas_wanted) == 0 &&
        take_arrays(arrays, owner, &a) == 0)
        self = (kdist_object *)type->tp_alloc(type, 0);
    if (self) {
        sg_error  error = {0};
        sg_status status;
        Py_BEGIN_ALLOW_THREADS
        status = sg_kdist_create(&a, &self->kdist, &error);
        Py_END_ALLOW_THREADS
        if (status != SG_OK) {
            Py_CLEAR(self);
            sg_raise(status, &error);
        }
    }
    PyMem_Free(gas_name);
    PyMem_Free(gas_wanted);
    Py_XDECREF(owner);
    Py_XDECREF(list_wanted);
    Py_XDECREF(list_names);
    return (PyObject *)self;
}

static void kdist_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    sg_kdist_free(((kdist_object *)object)->kdist);
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *kdist_gases(PyObject *object, void *ignored)
{
    (void)ignored;
    const sg_kdist *k     = ((kdist_object *)object)->kdist;
    PyObject       *names = PyTuple_New((Py_ssize_t)k->n_gas);
    for (size_t i = 0; names && i < k->n_gas; i++) {
        PyObject *name = PyUnicode_FromString(k->gas_name[i]);
        if (!name)
            Py_CLEAR(names);
        else
            PyTuple_SET_ITEM(names, (Py_ssize_t)i, name);
    }
    return names;
}

static PyObject *kdist_bands(PyObject *object, void *ignored)
{
    (void)ignored;
    const sg_kdist *k     = ((kdist_object *)object)->kdist;
    npy_intp        shape[2] = {(npy_intp)k->n_band, 2};
    PyArrayObject  *array = (PyArrayObject *)PyArray_SimpleNew(2, shape, NPY_INT64);
    for (size_t i = 0; array && i < 2 * k->n_band; i++)
        ((int64_t *)PyArray_DATA(array))[i] = k->band_limits_g[i];
    return (PyObject *)array;
}

static PyObject *kdist_number(PyObject *object, void *which)
{
    const sg_kdist *k = ((kdist_object *)object)->kdist;
    switch ((int)(intptr_t)which) {
    case 0: return PyLong_FromSize_t(k->n_g);
    case 1: return PyLong_FromSize_t(k->n_band);
    case 2: return PyBool_FromLong(k->shortwave);
    case 3: return Py_BuildValue("(dd)", k->temp_min, k->temp_max);
    case 4: return Py_BuildValue("(dd)", k->press_min, k->press_max);
    case 5: return PyFloat_FromDouble(k->press_trop);
    default: return PyFloat_FromDouble(k->solar_total);
    }
}

static PyObject *kdist_fma_count(PyObject *object, PyObject *argument)
{
    long atmosphere = PyLong_AsLong(argument);
    if (atmosphere == -1 && PyErr_Occurred())
        return NULL;
    if (atmosphere != SG_LOWER && atmosphere != SG_UPPER)
        return PyErr_Format(PyExc_ValueError, "atmosphere: expected 0 (lower) or 1 (upper), got %ld", atmosphere);
    return PyLong_FromSize_t(sg_kdist_fma_count(((kdist_object *)object)->kdist, (int)atmosphere));
}

static PyGetSetDef kdist_fields[] = {
    {"gases", kdist_gases, NULL, "names of the gases in use, in the order of concentration lists", NULL},
    {"band_limits_g", kdist_bands, NULL, "(n_band, 2) int64 array: first g-point and one past the last", NULL},
    {"n_g", kdist_number, NULL, "number of g-points", (void *)0},
    {"n_band", kdist_number, NULL, "number of bands", (void *)1},
    {"shortwave", kdist_number, NULL, "True for a shortwave table", (void *)2},
    {"temperature_range", kdist_number, NULL, "lowest and highest temperature [K]", (void *)3},
    {"pressure_range", kdist_number, NULL, "lowest and highest pressure [Pa]", (void *)4},
    {"pressure_tropopause", kdist_number, NULL, "pressure between lower and upper atmosphere [Pa]", (void *)5},
    {"solar_total", kdist_number, NULL, "sum of the solar source [W m-2], 0 for a longwave table", (void *)6},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef kdist_methods[] = {
    {"fma_count", kdist_fma_count, METH_O,
     "fma_count(atmosphere) -> int\n\nMultiply-adds of one cell's gas optics in the lower (0) or upper (1) "
     "atmosphere."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot kdist_slots[] = {
    {Py_tp_new, kdist_new},
    {Py_tp_dealloc, kdist_dealloc},
    {Py_tp_getset, kdist_fields},
    {Py_tp_methods, kdist_methods},
    {Py_tp_doc, "KDist(arrays, gas_names, wanted)\n\nAn immutable table set in the core."},
    {0, NULL},
};

static PyType_Spec kdist_spec = {"simgraft._core.KDist", sizeof(kdist_object), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, kdist_slots};

/* --------------------------------------------------------------------------------------------------------- arrays */

enum { MAX_ARRAYS = 96 };

/* All arrays of one call: released together. */
typedef struct {
    int            n;
    PyArrayObject *array[MAX_ARRAYS];
    sg_dims        dims;
    int            type;  /* NPY_FLOAT or NPY_DOUBLE */
} holder;

static void release(holder *h)
{
    for (int i = 0; i < h->n; i++)
        Py_DECREF(h->array[i]);
    h->n = 0;
}

static void *hold(holder *h, PyArrayObject *array)
{
    if (array && h->n == MAX_ARRAYS) {
        Py_DECREF(array);
        PyErr_SetString(PyExc_ValueError, "too many arrays");
        return NULL;
    }
    if (!array)
        return NULL;
    h->array[h->n++] = array;
    return PyArray_DATA(array);
}

static void *input(holder *h, PyObject *object, const char *name, const char *shape, int flags)
{
    return hold(h, sg_array_in(&h->dims, object, name, h->type, shape, flags));
}

/* A new output array that ends up in the result dict; NULL where not wanted or on failure. */
static void *output(holder *h, PyObject *result, int wanted, const char *name, const char *shape)
{
    if (!wanted || PyErr_Occurred())
        return NULL;
    PyArrayObject *array = sg_array_out(&h->dims, Py_None, name, h->type, shape, 0);
    if (array && PyDict_SetItemString(result, name, (PyObject *)array) < 0)
        Py_CLEAR(array);
    return hold(h, array);
}

const sg_kdist *sg_bind_kdist(PyObject *object, const char *name)
{
    if (!PyObject_TypeCheck(object, kdist_type)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a KDist, got %.100s", name, Py_TYPE(object)->tp_name);
        return NULL;
    }
    return ((kdist_object *)object)->kdist;
}

static const sg_kdist *kdist_of(PyObject *object) { return sg_bind_kdist(object, "kdist"); }

static int set_clipped(PyObject *result, const sg_range *range)
{
    PyObject *counts = Py_BuildValue("{s:n,s:n,s:n}", "temperature", (Py_ssize_t)range->n_temperature, "pressure",
                                     (Py_ssize_t)range->n_pressure, "gases", (Py_ssize_t)range->n_gas);
    int failed = !counts || PyDict_SetItemString(result, "clipped", counts) < 0;
    Py_XDECREF(counts);
    return failed ? -1 : 0;
}

/* -------------------------------------------------------------------------------------------- arguments in common */

typedef struct {
    PyObject   *kdist, *p_lay, *p_lev, *t_lay, *t_lev, *t_sfc, *gases;
    PyObject   *emissivity, *mu0, *tsi, *albedo_direct, *albedo_diffuse;
    PyObject   *optics;  /* None, a NetworkSlot or a callable */
    int         n_angles, clip, num_threads;
    double      diffusivity;
    int         want_jacobian, want_direct, want_by_g;
    int         want_tau, want_fraction, want_sources, want_surface, want_rayleigh;
} arguments_of;

#define real        float
#define SG_TYPED(n) n##_f32
#define NPY_REAL    NPY_FLOAT
#include "bindings/bind_radiation_typed.inc.h"
#undef real
#undef SG_TYPED
#undef NPY_REAL

#define real        double
#define SG_TYPED(n) n##_f64
#define NPY_REAL    NPY_DOUBLE
#include "bindings/bind_radiation_typed.inc.h"
#undef real
#undef SG_TYPED
#undef NPY_REAL

/* Runs the f32 or f64 version of call and turns its outcome into the result dict. */
#define DISPATCH(call, decides)                                                                      \
    PyObject *result = PyDict_New();                                                                 \
    if (!result)                                                                                     \
        return NULL;                                                                                 \
    holder h      = {.type = sg_real_type(decides)};                                                 \
    int    failed = h.type == NPY_FLOAT ? call##_f32(&a, &h, result) : call##_f64(&a, &h, result);   \
    release(&h);                                                                                     \
    if (failed)                                                                                      \
        Py_CLEAR(result);                                                                            \
    return result

static PyObject *fluxes_lw(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    static char *names[] = {"kdist", "pressure_layer", "pressure_level", "temperature_layer", "temperature_level",
                            "temperature_surface", "gases", "emissivity", "n_angles", "diffusivity", "optics", "clip",
                            "num_threads", "jacobian", "by_g", NULL};
    arguments_of a = {.optics = Py_None, .n_angles = 1};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOOOOOO|idOpipp", names, &a.kdist, &a.p_lay, &a.p_lev,
                                     &a.t_lay, &a.t_lev, &a.t_sfc, &a.gases, &a.emissivity, &a.n_angles, &a.diffusivity,
                                     &a.optics, &a.clip, &a.num_threads, &a.want_jacobian, &a.want_by_g))
        return NULL;
    DISPATCH(call_fluxes_lw, a.p_lay);
}

static PyObject *fluxes_sw(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    static char *names[] = {"kdist", "pressure_layer", "pressure_level", "temperature_layer", "gases", "mu0",
                            "total_solar_irradiance", "albedo_direct", "albedo_diffuse", "optics", "clip",
                            "num_threads", "direct", "by_g", NULL};
    arguments_of a = {.optics = Py_None};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOOOOOOO|Opipp", names, &a.kdist, &a.p_lay, &a.p_lev,
                                     &a.t_lay, &a.gases, &a.mu0, &a.tsi, &a.albedo_direct, &a.albedo_diffuse, &a.optics,
                                     &a.clip, &a.num_threads, &a.want_direct, &a.want_by_g))
        return NULL;
    DISPATCH(call_fluxes_sw, a.p_lay);
}

static PyObject *gas_optics_lw(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    static char *names[] = {"kdist", "pressure_layer", "pressure_level", "temperature_layer", "temperature_level",
                            "temperature_surface", "gases", "clip", "num_threads", "tau", "planck_fraction", "sources",
                            "surface", NULL};
    arguments_of a = {.want_tau = 1, .want_fraction = 1};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOOOOO|pipppp", names, &a.kdist, &a.p_lay, &a.p_lev,
                                     &a.t_lay, &a.t_lev, &a.t_sfc, &a.gases, &a.clip, &a.num_threads, &a.want_tau,
                                     &a.want_fraction, &a.want_sources, &a.want_surface))
        return NULL;
    DISPATCH(call_gas_optics_lw, a.p_lay);
}

static PyObject *gas_optics_sw(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    static char *names[] = {"kdist", "pressure_layer", "pressure_level", "temperature_layer", "gases", "clip",
                            "num_threads", "rayleigh", NULL};
    arguments_of a = {.want_tau = 1};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOOO|pip", names, &a.kdist, &a.p_lay, &a.p_lev, &a.t_lay,
                                     &a.gases, &a.clip, &a.num_threads, &a.want_rayleigh))
        return NULL;
    DISPATCH(call_gas_optics_sw, a.p_lay);
}

static PyObject *cross_sections(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    static char *names[] = {"kdist", "temperature", "pressure", "gases", "clip", "num_threads", NULL};
    arguments_of a       = {0};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOO|pi", names, &a.kdist, &a.t_lay, &a.p_lay, &a.gases,
                                     &a.clip, &a.num_threads))
        return NULL;
    DISPATCH(call_cross_sections, a.p_lay);
}

typedef struct {
    PyObject *tau, *lay_source, *lev_source, *sfc_source, *sfc_jacobian, *down_toa, *emissivity;
    PyObject *ssa, *asymmetry, *mu0, *toa_source, *albedo_direct, *albedo_diffuse;
    int       top_first, n_angles, num_threads, want_direct, want_by_g;
    double    diffusivity;
} solver_arguments;

#define real        float
#define SG_TYPED(n) n##_f32
#include "bindings/bind_radiation_solvers.inc.h"
#undef real
#undef SG_TYPED

#define real        double
#define SG_TYPED(n) n##_f64
#include "bindings/bind_radiation_solvers.inc.h"
#undef real
#undef SG_TYPED

static PyObject *solve_lw(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    static char     *names[] = {"tau", "lay_source", "lev_source", "sfc_source", "emissivity", "top_first",
                                "sfc_jacobian", "down_toa", "n_angles", "diffusivity", "num_threads", "by_g", NULL};
    solver_arguments a       = {.sfc_jacobian = Py_None, .down_toa = Py_None, .n_angles = 1};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOOOp|OOidip", names, &a.tau, &a.lay_source, &a.lev_source,
                                     &a.sfc_source, &a.emissivity, &a.top_first, &a.sfc_jacobian, &a.down_toa,
                                     &a.n_angles, &a.diffusivity, &a.num_threads, &a.want_by_g))
        return NULL;
    DISPATCH(call_solve_lw, a.tau);
}

static PyObject *solve_sw(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    (void)self;
    static char *names[] = {
        "tau", "ssa", "asymmetry", "mu0", "toa_source", "albedo_direct", "albedo_diffuse", "top_first", "num_threads",
        "by_g", NULL};
    solver_arguments a       = {.want_direct = 1};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOOOOOp|ip", names, &a.tau, &a.ssa, &a.asymmetry, &a.mu0,
                                     &a.toa_source, &a.albedo_direct, &a.albedo_diffuse, &a.top_first, &a.num_threads,
                                     &a.want_by_g))
        return NULL;
    DISPATCH(call_solve_sw, a.tau);
}

static PyObject *heating_rate(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *p, *up, *down;
    if (!PyArg_ParseTuple(arguments, "OOO", &p, &up, &down))
        return NULL;
    holder    h = {.type = sg_real_type(p)};
    void     *p_lev = input(&h, p, "pressure_level", "n_col n_lay+1", 0), *flux_up = NULL, *flux_down = NULL;
    PyArrayObject *heating = NULL;
    if (p_lev && (flux_up = input(&h, up, "flux_up", "n_col n_lay+1", 0)) &&
        (flux_down = input(&h, down, "flux_down", "n_col n_lay+1", 0)))
        heating = sg_array_out(&h.dims, Py_None, "heating_rate", h.type, "n_col n_lay", 0);
    if (heating) {
        size_t n_col = (size_t)sg_dim(&h.dims, "n_col"), n_lay = (size_t)sg_dim(&h.dims, "n_lay");
        if (h.type == NPY_FLOAT)
            sg_radiation_heating_rate_f32(n_col, n_lay, p_lev, flux_up, flux_down, PyArray_DATA(heating));
        else
            sg_radiation_heating_rate_f64(n_col, n_lay, p_lev, flux_up, flux_down, PyArray_DATA(heating));
    }
    release(&h);
    return (PyObject *)heating;
}

#define KEYWORDS METH_VARARGS | METH_KEYWORDS

static PyMethodDef methods[] = {
    {"radiation_fluxes_lw", SG_METHOD(fluxes_lw), KEYWORDS,
     "Longwave fluxes of columns; see simgraft.radiation.kernel."},
    {"radiation_fluxes_sw", SG_METHOD(fluxes_sw), KEYWORDS,
     "Shortwave fluxes of columns; see simgraft.radiation.kernel."},
    {"radiation_gas_optics_lw", SG_METHOD(gas_optics_lw), KEYWORDS,
     "Longwave gas optics; see simgraft.radiation.kernel."},
    {"radiation_gas_optics_sw", SG_METHOD(gas_optics_sw), KEYWORDS,
     "Shortwave gas optics; see simgraft.radiation.kernel."},
    {"radiation_cross_sections", SG_METHOD(cross_sections), KEYWORDS,
     "Optics per molecule; see simgraft.radiation.kernel."},
    {"radiation_solve_lw", SG_METHOD(solve_lw), KEYWORDS, "Longwave solver; see simgraft.radiation.kernel."},
    {"radiation_solve_sw", SG_METHOD(solve_sw), KEYWORDS, "Shortwave solver; see simgraft.radiation.kernel."},
    {"radiation_heating_rate", heating_rate, METH_VARARGS, "radiation_heating_rate(pressure_level, up, down) -> K s-1"},
    {NULL, NULL, 0, NULL},
};

int sg_bind_radiation(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &kdist_spec, NULL);
    if (!type || PyModule_AddObjectRef(module, "KDist", type) < 0)
        return -1;
    Py_XSETREF(kdist_type, (PyTypeObject *)type); /* lives as long as the process */
    return sg_bind_add(module, methods);
}
