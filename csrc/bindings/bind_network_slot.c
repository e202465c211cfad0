/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/radiation/network_slot.h: NetworkSlot, which every argument that takes optics accepts. */
#include "bindings/bind_network_slot.h"

#include "bindings/bind_radiation.h"
#include "bindings/bind_surrogate.h"

typedef struct {
    PyObject_HEAD
    sg_network_slot *slot;
    PyObject        *held;  /* tuple of the table set and both lists of parts */
    size_t           n_part[2];
    size_t           n_in[2][SG_NETWORK_PARTS];
} slot_object;

static PyTypeObject *slot_type;

static void slot_dealloc(slot_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    sg_radiation_network_slot_free(self->slot);
    Py_XDECREF(self->held);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* parts: tuple of (Surrogate, lowest pressure, guard). */
static int read_parts(slot_object *self, PyObject *parts, int output, const char *name, sg_network_part *part)
{
    Py_ssize_t n = PyTuple_GET_SIZE(parts);
    if (n > SG_NETWORK_PARTS) {
        PyErr_Format(PyExc_ValueError, "%s: expected 1 to %d surrogates, got %zd", name, SG_NETWORK_PARTS, n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *surrogate, *entry = PyTuple_GET_ITEM(parts, i);
        int       guard;
        if (!PyTuple_Check(entry)) {
            PyErr_Format(PyExc_TypeError, "%s: expected tuples (Surrogate, lowest pressure, guard), got %.100s", name,
                         Py_TYPE(entry)->tp_name);
            return -1;
        }
        if (!PyArg_ParseTuple(entry, "Odi", &surrogate, &part[i].p_low, &guard) ||
            !(part[i].surrogate = sg_bind_surrogate_of(surrogate, name)))
            return -1;
        if (guard < SG_NETWORK_UNCHECKED || guard > SG_NETWORK_STOP) {
            PyErr_Format(PyExc_ValueError, "%s: expected a guard of 0, 1 or 2, got %d", name, guard);
            return -1;
        }
        part[i].guard         = (sg_network_guard)guard;
        self->n_in[output][i] = sg_surrogate_describe(part[i].surrogate).n_in;
    }
    self->n_part[output] = (size_t)n;
    return 0;
}

static PyObject *slot_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char     *names[] = {"kdist", "first", "second", "outputs", "renormalise", NULL};
    PyObject        *kdist, *first, *second;
    int              outputs, renormalise;
    sg_network_part  part[2][SG_NETWORK_PARTS];
    sg_network_setup setup = {0};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO!O!ip:NetworkSlot", names, &kdist, &PyTuple_Type, &first,
                                     &PyTuple_Type, &second, &outputs, &renormalise) ||
        !(setup.kdist = sg_bind_kdist(kdist, "kdist")))
        return NULL;
    slot_object *self = (slot_object *)type->tp_alloc(type, 0);
    if (!self || !(self->held = PyTuple_Pack(3, kdist, first, second)) ||
        read_parts(self, first, 0, "first", part[0]) || read_parts(self, second, 1, "second", part[1])) {
        Py_XDECREF(self);
        return NULL;
    }
    setup.outputs     = (sg_network_outputs)outputs;
    setup.renormalise = renormalise;
    for (int i = 0; i < 2; i++) {
        setup.n_part[i] = self->n_part[i];
        setup.part[i]   = part[i];
    }
    sg_error  error  = {0};
    sg_status status = sg_radiation_network_slot_create(&setup, &self->slot, &error);
    if (status != SG_OK) {
        Py_DECREF(self);
        return sg_raise(status, &error);
    }
    return (PyObject *)self;
}

static PyObject *part_counts(slot_object *self, int output, size_t i)
{
    npy_intp       n_in   = (npy_intp)self->n_in[output][i];
    PyArrayObject *inputs = (PyArrayObject *)PyArray_ZEROS(1, &n_in, NPY_UINTP, 0);
    if (!inputs)
        return NULL;
    sg_network_counts c = sg_radiation_network_slot_take_counts(self->slot, output, i, PyArray_DATA(inputs));
    return Py_BuildValue("{s:n,s:n,s:n,s:n,s:n,s:N}", "n_rows", (Py_ssize_t)c.n_rows, "n_outside",
                         (Py_ssize_t)c.n_outside, "n_box", (Py_ssize_t)c.n_box, "n_density", (Py_ssize_t)c.n_density, "n_not_finite",
                         (Py_ssize_t)c.n_not_finite, "inputs", (PyObject *)inputs);
}

static PyObject *slot_take_counts(slot_object *self, PyObject *ignored)
{
    (void)ignored;
    PyObject *both = PyTuple_New(2);
    for (int output = 0; both && output < 2; output++) {
        PyObject *list = PyList_New((Py_ssize_t)self->n_part[output]);
        for (size_t i = 0; list && i < self->n_part[output]; i++) {
            PyObject *counts = part_counts(self, output, i);
            if (counts)
                PyList_SET_ITEM(list, (Py_ssize_t)i, counts);
            else
                Py_CLEAR(list);
        }
        if (list)
            PyTuple_SET_ITEM(both, output, list);
        else
            Py_CLEAR(both);
    }
    return both;
}

static PyMethodDef slot_methods[] = {
    {"take_counts", SG_METHOD(slot_take_counts), METH_NOARGS,
     "take_counts() -> (list of dict, list of dict)\n\n"
     "Rows looked at and outside the domain, of each part of both outputs, since the last call; \"inputs\": (n_in,)\n"
     "per input."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slot_slots[] = {
    {Py_tp_new, slot_new},
    {Py_tp_dealloc, slot_dealloc},
    {Py_tp_methods, slot_methods},
    {Py_tp_doc, "NetworkSlot(kdist, first, second, outputs, renormalise)\n\n"
                "Surrogates in the optics slot. first, second: tuples of (Surrogate, lowest pressure [Pa], guard)\n"
                "from the surface upwards; guard 0 unchecked, 1 count, 2 stop; outputs 0 absorption and Planck fraction,\n"
                "1 absorption and Rayleigh, 2 extinction and albedo. See csrc/radiation/network_slot.h."},
    {0, NULL},
};
static PyType_Spec slot_spec = {"simgraft._core.NetworkSlot", sizeof(slot_object), 0, Py_TPFLAGS_DEFAULT, slot_slots};

sg_network_slot *sg_bind_network_slot_of(PyObject *object, const sg_kdist *kdist, const char *name)
{
    if (!PyObject_TypeCheck(object, slot_type))
        return NULL;
    sg_error  error  = {0};
    sg_status status = sg_radiation_network_slot_check(((slot_object *)object)->slot, kdist, &error);
    if (status == SG_OK)
        return ((slot_object *)object)->slot;
    PyErr_Format(PyExc_ValueError, "%s%s", name, error.message + strlen("optics"));
    return NULL;
}

int sg_bind_network_slot(PyObject *module)
{
    slot_type = (PyTypeObject *)PyType_FromSpec(&slot_spec); /* lives as long as the process */
    return slot_type ? PyModule_AddType(module, slot_type) : -1;
}
