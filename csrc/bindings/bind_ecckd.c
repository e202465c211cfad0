/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/radiation/ecckd.h: definitions as a type with their optics as methods; precision follows the pressures' dtype. */
#include "bindings/convert.h"

#include "base/memory.h"
#include "radiation/ecckd.h"

typedef struct {
    PyObject_HEAD
    sg_ecckd *ecckd;
} ecckd_object;

static void ecckd_dealloc(ecckd_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    sg_ecckd_free(self->ecckd);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static const double *keep(PyObject *held, sg_dims *dims, PyObject *object, const char *name, const char *shape, int flags)
{
    PyArrayObject *array = sg_array_in(dims, object, name, NPY_DOUBLE, shape, SG_FINITE | flags);
    if (!array)
        return NULL;
    int failed = PyList_Append(held, (PyObject *)array);
    Py_DECREF(array);
    return failed ? NULL : PyArray_DATA(array);
}

/* One entry (name, dependence, fractions or None, reference, absorption) of the list of gases. */
static int read_gas(PyObject *entry, PyObject *held, const sg_dims *common, sg_ecckd_gas *gas)
{
    const char *name;
    int         dependence;
    PyObject   *fractions, *absorption;
    if (!PyArg_ParseTuple(entry, "siOdO", &name, &dependence, &fractions, &gas->reference, &absorption))
        return -1;
    sg_dims dims = *common;
    char    text[80];
    snprintf(text, sizeof text, "%s_molar_absorption_coeff", name);
    gas->dependence = (sg_ecckd_dependence)dependence;
    gas->absorption = keep(held, &dims, absorption, text, "n_fraction n_temperature n_pressure n_g", SG_NONEMPTY);
    if (!gas->absorption)
        return -1;
    gas->n_fraction = (size_t)sg_dim(&dims, "n_fraction");
    snprintf(text, sizeof text, "%s_mole_fraction", name);
    gas->fraction = keep(held, &dims, fractions, text, "n_fraction", SG_OPTIONAL);
    if (PyErr_Occurred())
        return -1;
    if (dependence == SG_ECCKD_LOOK_UP && !gas->fraction) {
        PyErr_Format(PyExc_ValueError, "%s: a look-up table needs its mole fractions", text);
        return -1;
    }
    return 0;
}

static PyObject *ecckd_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char    *names[] = {"pressure", "temperature", "gases", "planck_temperature", "planck", "rayleigh", NULL};
    PyObject       *pressure, *temperature, *gases, *planck_temperature, *planck, *rayleigh;
    sg_ecckd_gas    gas[SG_ECCKD_MAX_GAS] = {{0}};
    sg_ecckd_arrays a                     = {.gas = gas};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOO!OOO:EcCKD", names, &pressure, &temperature, &PyList_Type, &gases,
                                     &planck_temperature, &planck, &rayleigh))
        return NULL;
    if (PyList_GET_SIZE(gases) > SG_ECCKD_MAX_GAS) {
        PyErr_Format(PyExc_ValueError, "gases: expected at most %d, got %zd", SG_ECCKD_MAX_GAS, PyList_GET_SIZE(gases));
        return NULL;
    }
    sg_dims       dims = {0};
    PyObject     *held = PyList_New(0);
    ecckd_object *self = NULL;
    if (!held || !(a.pressure = keep(held, &dims, pressure, "pressure", "n_pressure", SG_NONEMPTY)) ||
        !(a.temperature = keep(held, &dims, temperature, "temperature", "n_temperature n_pressure", SG_NONEMPTY)))
        goto end;
    a.planck = keep(held, &dims, planck, "planck_function", "n_planck n_g", SG_OPTIONAL);
    if (PyErr_Occurred())
        goto end;
    a.rayleigh = keep(held, &dims, rayleigh, "rayleigh_molar_scattering_coeff", "n_g", SG_OPTIONAL);
    if (PyErr_Occurred())
        goto end;
    if (a.planck && !(a.planck_temperature = keep(held, &dims, planck_temperature, "temperature_planck", "n_planck", 0)))
        goto end;
    a.n_gas = (size_t)PyList_GET_SIZE(gases);
    for (size_t i = 0; i < a.n_gas; i++)
        if (read_gas(PyList_GET_ITEM(gases, (Py_ssize_t)i), held, &dims, gas + i))
            goto end;
    a.n_pressure    = (size_t)sg_dim(&dims, "n_pressure");
    a.n_temperature = (size_t)sg_dim(&dims, "n_temperature");
    a.n_g           = sg_dim(&dims, "n_g") > 0 ? (size_t)sg_dim(&dims, "n_g") : 0;
    a.n_planck      = a.planck ? (size_t)sg_dim(&dims, "n_planck") : 0;
    self            = (ecckd_object *)type->tp_alloc(type, 0);
    if (self) {
        sg_error  error  = {0};
        sg_status status = sg_ecckd_create(&a, &self->ecckd, &error);
        if (status != SG_OK) {
            Py_CLEAR(self);
            sg_raise(status, &error);
        }
    }
end:
    Py_XDECREF(held);
    return (PyObject *)self;
}

/* -------------------------------------------------------------------------------------------------------- optics */

typedef struct {
    const sg_ecckd *ecckd;
    PyObject       *p_lay, *p_lev, *t_lay, *t_lev, *t_sfc, *gases;
    Py_ssize_t      h2o;
    int             clip, num_threads;
} optics_arguments;

enum { MAX_OPTICS_ARRAYS = SG_ECCKD_MAX_GAS + 12 };

typedef struct {
    int            n, type;
    PyArrayObject *array[MAX_OPTICS_ARRAYS];
    sg_dims        dims;
} holder;

static void *hold(holder *h, PyArrayObject *array)
{
    if (!array)
        return NULL;
    h->array[h->n++] = array;
    return PyArray_DATA(array);
}

static void *input(holder *h, PyObject *object, const char *name, const char *shape)
{
    return hold(h, sg_array_in(&h->dims, object, name, h->type, shape, 0));
}

static void *output(holder *h, PyObject *result, const char *name, const char *shape)
{
    PyArrayObject *array = sg_array_out(&h->dims, Py_None, name, h->type, shape, 0);
    if (array && PyDict_SetItemString(result, name, (PyObject *)array) < 0)
        Py_CLEAR(array);
    return hold(h, array);
}

#define real        float
#define SG_TYPED(n) n##_f32
#include "bindings/bind_ecckd_typed.inc.h"
#undef real
#undef SG_TYPED

#define real        double
#define SG_TYPED(n) n##_f64
#include "bindings/bind_ecckd_typed.inc.h"
#undef real
#undef SG_TYPED

static PyObject *ecckd_optics(ecckd_object *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"pressure_layer", "pressure_level", "temperature_layer", "temperature_level", "temperature_surface",
                            "gases", "h2o", "clip", "num_threads", NULL};
    optics_arguments a = {.ecckd = self->ecckd};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOOOO!npi:optics", names, &a.p_lay, &a.p_lev, &a.t_lay, &a.t_lev,
                                     &a.t_sfc, &PyList_Type, &a.gases, &a.h2o, &a.clip, &a.num_threads))
        return NULL;
    if ((size_t)PyList_GET_SIZE(a.gases) != self->ecckd->n_gas || a.h2o < 0 || (size_t)a.h2o >= self->ecckd->n_gas) {
        PyErr_Format(PyExc_ValueError, "gases: expected %zu entries with h2o among them", self->ecckd->n_gas);
        return NULL;
    }
    PyObject *result = PyDict_New();
    if (!result)
        return NULL;
    int    single = PyArray_Check(a.p_lay) && PyArray_TYPE((PyArrayObject *)a.p_lay) == NPY_FLOAT;
    holder h      = {.type = single ? NPY_FLOAT : NPY_DOUBLE};
    int    failed = single ? call_optics_f32(&a, &h, result) : call_optics_f64(&a, &h, result);
    for (int i = 0; i < h.n; i++)
        Py_DECREF(h.array[i]);
    if (failed)
        Py_CLEAR(result);
    return result;
}

static PyObject *ecckd_shortwave(ecckd_object *self, void *ignored)
{
    (void)ignored;
    return PyBool_FromLong(self->ecckd->shortwave);
}

static PyObject *ecckd_n_g(ecckd_object *self, void *ignored)
{
    (void)ignored;
    return PyLong_FromSize_t(self->ecckd->n_g);
}

static PyGetSetDef ecckd_fields[] = {
    {"shortwave", (getter)ecckd_shortwave, NULL, "True for a shortwave definition", NULL},
    {"n_g", (getter)ecckd_n_g, NULL, "number of g-points", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef ecckd_methods[] = {
    {"optics", SG_METHOD(ecckd_optics), METH_VARARGS | METH_KEYWORDS, "optics(...) -> dict; see simgraft.radiation.ecckd."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot ecckd_slots[] = {
    {Py_tp_new, ecckd_new},         {Py_tp_dealloc, ecckd_dealloc}, {Py_tp_getset, ecckd_fields},
    {Py_tp_methods, ecckd_methods}, {Py_tp_doc, "An immutable ecCKD definition in the core."},
    {0, NULL},
};

static PyType_Spec ecckd_spec = {"simgraft._core.EcCKD", sizeof(ecckd_object), 0, Py_TPFLAGS_DEFAULT, ecckd_slots};

int sg_bind_ecckd(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&ecckd_spec);
    int       failed = !type || PyModule_AddObjectRef(module, "EcCKD", type) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}
