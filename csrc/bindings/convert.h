/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The one place where Python objects become C arrays. Strict: the dtype must match exactly, nothing is cast; the shape must
 * match a specification; strided input is copied into contiguous memory when the kernel needs that, never misread. A masked array
 * is refused: what it masks is not data.
 *
 * A shape specification is a string of dimensions: "n_col n_lay", "n_col n_lay+1", "n 18". The first array that uses a name
 * fixes its value, later ones must agree, and the message of a mismatch names the argument and both shapes:
 *
 *     sg_dims dims = {0};
 *     PyArrayObject *t = sg_array_in(&dims, t_object, "temperature_layer", NPY_DOUBLE, "n_col n_lay", SG_FINITE);
 */
#ifndef SG_BINDINGS_CONVERT_H
#define SG_BINDINGS_CONVERT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#ifndef SG_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#define PY_ARRAY_UNIQUE_SYMBOL simgraft_ARRAY_API
#include <numpy/arrayobject.h>

#include "base/error.h"
#include "base/poll.h"

#define SG_MAX_DIM_NAMES 16

typedef struct sg_dims {
    int      n;
    char     name[SG_MAX_DIM_NAMES][24];
    npy_intp value[SG_MAX_DIM_NAMES];
} sg_dims;

/* Value of a dimension by name; -1 when no array has fixed it. */
npy_intp sg_dim(const sg_dims *dims, const char *name);
/* Fixes a dimension before any array does. */
void sg_dim_set(sg_dims *dims, const char *name, npy_intp value);

enum {
    SG_FINITE   = 1,  /* NaN or infinity is a NotFiniteError that names the first index */
    SG_NONEMPTY = 2,  /* a zero-size array is a ValueError */
    SG_STRIDED  = 4,  /* hand over as it is (strides read by the caller); default: C-contiguous and aligned, copied if needed */
    SG_OPTIONAL = 8   /* None gives NULL without an error (check PyErr_Occurred()) */
};

/* The precision of a call is that of this argument: NPY_FLOAT of a float32 array, else NPY_DOUBLE. */
int sg_real_type(PyObject *object);

/* New reference, or NULL with an exception set. */
PyArrayObject *sg_array_in(sg_dims *dims, PyObject *object, const char *name, int type, const char *shape, int flags);

/* An output array of the caller: exact dtype and shape, writable, aligned, C-contiguous unless SG_STRIDED (then without
 * elements that overlap each other). With object == None a
 * new array is made (every dimension must be known). New reference. */
PyArrayObject *sg_array_out(sg_dims *dims, PyObject *object, const char *name, int type, const char *shape, int flags);

/* ValueError when two arrays share an element, naming both: kernels take const inputs and separate outputs. */
int sg_array_separate(PyArrayObject *a, const char *a_name, PyArrayObject *b, const char *b_name);

/* "O&" converter of PyArg_ParseTuple: an int of 0 .. 2^64 - 1, for seeds, streams and numbers of elements. */
int sg_to_u64(PyObject *object, void *result);

/* Raises the exception that SG_STATUS_LIST pairs with the status; returns NULL so that callers can return it. */
PyObject *sg_raise(sg_status status, const sg_error *error);

/* A poll that checks for Ctrl-C (with the GIL taken) and calls progress(done, total) when progress is not None. An exception of
 * the callback stops the call; sg_raise(SG_ERR_INTERRUPTED) then keeps that exception. Use from the thread that released the GIL. */
sg_poll sg_python_poll(PyObject *progress);

/* What each room adds to the module: NULL-terminated method tables, and types. */
int sg_bind_add(PyObject *module, PyMethodDef *methods);

#define SG_METHOD(function) ((PyCFunction)(void (*)(void))(function))

#endif
