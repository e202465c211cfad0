/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/events/two_body. */
#include "bindings/bind_events.h"

#include "events/two_body.h"

enum { BLOCK = 1 << 14 };  /* events of a thread at a time */

typedef struct {
    sg_two_body decay;
    uint64_t    seed, first;
    size_t      stride;
    int         is_float, stream;
    const void *mass;  /* (n) or NULL */
    void       *out;   /* (10, n) */
} job;

static size_t decay_block(void *context, size_t from, size_t n, int thread)
{
    (void)thread;
    const job *j = context;
    if (j->is_float)
        return sg_two_body_f32_now()->decay(n, j->stride, &j->decay, j->seed, j->first + from, j->stream,
                                            j->mass ? (const float *)j->mass + from : NULL, (float *)j->out + from);
    return sg_two_body_f64_now()->decay(n, j->stride, &j->decay, j->seed, j->first + from, j->stream,
                                        j->mass ? (const double *)j->mass + from : NULL, (double *)j->out + from);
}

static int laws_from(PyObject *laws, sg_two_body *decay)
{
    static const char *const name[] = {"mass", "m1", "m2", "momentum", "momentum", "momentum"};
    if (!PyTuple_Check(laws) || PyTuple_GET_SIZE(laws) != 6) {
        PyErr_Format(PyExc_TypeError, "laws: expected six, of three masses and three components, got %R", laws);
        return -1;
    }
    for (int i = 0; i < 6; i++)
        if (sg_law_from(PyTuple_GET_ITEM(laws, i), name[i], i < 3 ? &decay->mass[i] : &decay->momentum[i - 3]))
            return -1;
    return 0;
}

static PyObject *two_body_check(PyObject *self, PyObject *laws)
{
    (void)self;
    sg_two_body decay = {0};
    sg_error    error = {0};
    if (laws_from(laws, &decay))
        return NULL;
    sg_status status = sg_events_two_body_prepare(&decay, 0, &error);
    return status == SG_OK ? Py_NewRef(Py_None) : sg_raise(status, &error);
}

static PyObject *two_body(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject *laws, *mass_object, *out_object;
    int       num_threads = 0;
    job       j           = {0};
    if (!PyArg_ParseTuple(arguments, "OO&O&OO|i", &laws, sg_to_u64, &j.seed, sg_to_u64, &j.first, &mass_object, &out_object,
                          &num_threads) ||
        laws_from(laws, &j.decay))
        return NULL;
    j.is_float = PyArray_Check(out_object) && PyArray_TYPE((PyArrayObject *)out_object) == NPY_FLOAT;
    if (out_object == Py_None)
        return PyErr_Format(PyExc_TypeError, "out: expected a float32 or float64 array of shape (10, n), got None");
    sg_dims        dims = {0};
    int            type = j.is_float ? NPY_FLOAT : NPY_DOUBLE;
    PyArrayObject *out  = sg_array_out(&dims, out_object, "out", type, "10 n", 0), *mass = NULL;
    if (!out || (mass_object != Py_None && !(mass = sg_array_in(&dims, mass_object, "mass", type, "n", SG_FINITE)))) {
        Py_XDECREF(out);
        return NULL;
    }
    size_t    n     = (size_t)PyArray_DIM(out, 1), failed = n;
    sg_error  error = {0};
    sg_status status;
    j.stride        = n;
    j.out           = PyArray_DATA(out);
    j.mass          = mass ? PyArray_DATA(mass) : NULL;
    j.stream        = (size_t)PyArray_NBYTES(out) >= SG_STREAM_BYTES;
    if (mass) {
        sg_law *law = &j.decay.mass[0];
        law->low    = INFINITY;
        law->high   = -INFINITY;
        size_t lowest = 0;
        for (size_t i = 0; i < n; i++) {
            double m = j.is_float ? (double)((const float *)j.mass)[i] : ((const double *)j.mass)[i];
            if (m < law->low)
                law->low = m, lowest = i;
            law->high = m > law->high ? m : law->high;
        }
        failed = lowest;
    }
    status = n ? sg_events_two_body_prepare(&j.decay, mass != NULL, &error) : SG_OK;
    if (status == SG_OK) {
        Py_BEGIN_ALLOW_THREADS
        status = sg_events_run(n, BLOCK, num_threads, decay_block, &j, &failed);
        Py_END_ALLOW_THREADS
        if (status == SG_ERR_VALUE)
            sg_fail(&error, status, "mass", "event %llu found no open decay in %d draws of the masses",
                    (unsigned long long)(j.first + failed), (int)SG_TWO_BODY_ATTEMPTS);
    } else if (mass && status == SG_ERR_VALUE) {
        sg_error reason = error;
        sg_fail(&error, status, NULL, "event %llu: %s", (unsigned long long)(j.first + failed), reason.message);
    }
    Py_XDECREF(mass);
    if (status != SG_OK) {
        Py_DECREF(out);
        return sg_raise(status, &error);
    }
    return (PyObject *)out;
}

static PyMethodDef methods[] = {
    {"two_body_check", two_body_check, METH_O, "two_body_check(laws)\n\nRaise what is wrong with the laws of a decay."},
    {"two_body", two_body, METH_VARARGS,
     "two_body(laws, seed, first, mass or None, out, num_threads=0) -> out\n\nDecays into out (10, n), float32 or float64."},
    {NULL, NULL, 0, NULL},
};

int sg_bind_two_body(PyObject *module)
{
    return sg_bind_add(module, methods);
}
