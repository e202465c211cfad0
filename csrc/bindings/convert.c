/* SPDX-License-Identifier: BSD-3-Clause */
#include "bindings/convert.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

npy_intp sg_dim(const sg_dims *dims, const char *name)
{
    for (int i = 0; i < dims->n; i++)
        if (strcmp(dims->name[i], name) == 0)
            return dims->value[i];
    return -1;
}

void sg_dim_set(sg_dims *dims, const char *name, npy_intp value)
{
    if (dims->n < SG_MAX_DIM_NAMES) {
        snprintf(dims->name[dims->n], sizeof dims->name[0], "%s", name);
        dims->value[dims->n++] = value;
    }
}

/* One dimension of a specification: a name with an optional +k, or a number. */
typedef struct {
    char     name[24];  /* "" for a number */
    npy_intp offset;    /* the number, or k */
} dim_spec;

static int parse_shape(const char *shape, dim_spec *spec)
{
    int n = 0;
    while (*shape) {
        while (*shape == ' ')
            shape++;
        if (!*shape)
            break;
        size_t length = strcspn(shape, " +");
        spec[n]       = (dim_spec){{0}, 0};
        if (isdigit((unsigned char)*shape)) {
            spec[n].offset = strtol(shape, NULL, 10);
        } else {
            memcpy(spec[n].name, shape, length < sizeof spec[n].name ? length : sizeof spec[n].name - 1);
            if (shape[length] == '+')
                spec[n].offset = strtol(shape + length + 1, NULL, 10);
        }
        shape += strcspn(shape, " ");
        n++;
    }
    return n;
}

/* "(100, 60)" */
static void print_shape(char *text, size_t size, int ndim, const npy_intp *shape)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < ndim && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (used < size)
        snprintf(text + used, size - used, ndim == 1 ? ",)" : ")");
}

/* "(n_col, n_lay)", with the values that are known: "(n_col=100, n_lay)" */
static void print_spec(char *text, size_t size, const sg_dims *dims, int n, const dim_spec *spec)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < n && used < size; i++) {
        const char *comma = i ? ", " : "";
        npy_intp    known = spec[i].name[0] ? sg_dim(dims, spec[i].name) : -1;
        if (!spec[i].name[0])
            used += (size_t)snprintf(text + used, size - used, "%s%lld", comma, (long long)spec[i].offset);
        else if (spec[i].offset && known >= 0)
            used += (size_t)snprintf(text + used, size - used, "%s%s+%lld=%lld", comma, spec[i].name,
                                     (long long)spec[i].offset, (long long)(known + spec[i].offset));
        else if (spec[i].offset)
            used += (size_t)snprintf(text + used, size - used, "%s%s+%lld", comma, spec[i].name,
                                     (long long)spec[i].offset);
        else if (known >= 0)
            used += (size_t)snprintf(text + used, size - used, "%s%s=%lld", comma, spec[i].name, (long long)known);
        else
            used += (size_t)snprintf(text + used, size - used, "%s%s", comma, spec[i].name);
    }
    if (used < size)
        snprintf(text + used, size - used, n == 1 ? ",)" : ")");
}

static const char *type_name(int type)
{
    switch (type) {
    case NPY_FLOAT: return "float32";
    case NPY_DOUBLE: return "float64";
    case NPY_INT32: return "int32";
    case NPY_INT64: return "int64";
    case NPY_UINT32: return "uint32";
    case NPY_UINT64: return "uint64";
    case NPY_UINT8: return "uint8";
    case NPY_BOOL: return "bool";
    default: return "?";
    }
}

/* A masked array is an ndarray whose masked elements hold anything: 1 if object is one, -1 on failure. */
static int is_masked(PyObject *object)
{
    PyObject *module = PyImport_ImportModule("numpy.ma");
    PyObject *class  = module ? PyObject_GetAttrString(module, "MaskedArray") : NULL;
    int       result = class ? PyObject_IsInstance(object, class) : -1;
    Py_XDECREF(class);
    Py_XDECREF(module);
    return result;
}

static int check_type(PyObject *object, const char *name, int type, const dim_spec *spec, int n, const sg_dims *dims)
{
    char expected[160];
    print_spec(expected, sizeof expected, dims, n, spec);
    if (!PyArray_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s: expected %s array of shape %s, got %.100s; convert with np.asarray(..., dtype=np.%s)",
                     name, type_name(type), expected, Py_TYPE(object)->tp_name, type_name(type));
        return -1;
    }
    PyArrayObject *array = (PyArrayObject *)object;
    if (!PyArray_CheckExact(object)) {
        int masked = is_masked(object);
        if (masked > 0)
            PyErr_Format(PyExc_TypeError, "%s: expected %s array of shape %s, got a masked array; choose a value for what is masked "
                         "with .filled(...)", name, type_name(type), expected);
        if (masked)
            return -1;
    }
    /* long and long long are two type numbers of one type */
    if (!PyArray_EquivTypenums(PyArray_TYPE(array), type) || !PyArray_ISNOTSWAPPED(array)) {
        char got[160];
        print_shape(got, sizeof got, PyArray_NDIM(array), PyArray_DIMS(array));
        PyErr_Format(PyExc_TypeError, "%s: expected %s array of shape %s, got %S %s; convert with .astype(np.%s)", name,
                     type_name(type), expected, (PyObject *)PyArray_DESCR(array), got, type_name(type));
        return -1;
    }
    return 0;
}

static int check_shape(PyArrayObject *array, sg_dims *dims, const char *name, const dim_spec *spec, int n)
{
    int ok = PyArray_NDIM(array) == n;
    for (int i = 0; ok && i < n; i++) {
        npy_intp have = PyArray_DIM(array, i), known = sg_dim(dims, spec[i].name);
        if (!spec[i].name[0])
            ok = have == spec[i].offset;
        else if (known >= 0)
            ok = have == known + spec[i].offset;
        else
            ok = have >= spec[i].offset;
    }
    if (!ok) {
        char expected[160], got[160];
        print_spec(expected, sizeof expected, dims, n, spec);
        print_shape(got, sizeof got, PyArray_NDIM(array), PyArray_DIMS(array));
        PyErr_Format(PyExc_ValueError, "%s: expected shape %s, got %s", name, expected, got);
        return -1;
    }
    for (int i = 0; i < n; i++) {
        if (!spec[i].name[0])
            continue;
        if (sg_dim(dims, spec[i].name) < 0)
            sg_dim_set(dims, spec[i].name, PyArray_DIM(array, i) - spec[i].offset);
        /* A name used twice in one array ("n n") was unknown when it was compared above. */
        if (PyArray_DIM(array, i) != sg_dim(dims, spec[i].name) + spec[i].offset) {
            char expected[160], got[160];
            print_spec(expected, sizeof expected, dims, n, spec);
            print_shape(got, sizeof got, PyArray_NDIM(array), PyArray_DIMS(array));
            PyErr_Format(PyExc_ValueError, "%s: expected shape %s, got %s", name, expected, got);
            return -1;
        }
    }
    return 0;
}

static PyObject *exception_for(sg_status status);

static int check_finite(PyArrayObject *array, const char *name)
{
    npy_intp size = PyArray_SIZE(array), bad = -1;
    double   value = 0;
    if (PyArray_TYPE(array) == NPY_DOUBLE) {
        const double *x = PyArray_DATA(array);
        for (npy_intp i = 0; i < size && bad < 0; i++)
            if (!(x[i] - x[i] == 0))
                bad = i, value = x[i];
    } else if (PyArray_TYPE(array) == NPY_FLOAT) {
        const float *x = PyArray_DATA(array);
        for (npy_intp i = 0; i < size && bad < 0; i++)
            if (!(x[i] - x[i] == 0))
                bad = i, value = (double)x[i];
    }
    if (bad < 0)
        return 0;
    char     where[128];
    npy_intp index[NPY_MAXDIMS], rest = bad;
    int      n = PyArray_NDIM(array);
    for (int i = n - 1; i >= 0; i--) {
        index[i] = rest % PyArray_DIM(array, i);
        rest /= PyArray_DIM(array, i);
    }
    size_t used = 0;
    where[0]    = 0;
    for (int i = 0; i < n && used < sizeof where; i++)
        used += (size_t)snprintf(where + used, sizeof where - used, "%s%lld", i ? ", " : "", (long long)index[i]);
    PyErr_Format(exception_for(SG_ERR_NOT_FINITE), "%s[%s] is %s", name, where, value != value ? "NaN" : "infinite");
    return -1;
}

int sg_real_type(PyObject *object)
{
    return PyArray_Check(object) && PyArray_TYPE((PyArrayObject *)object) == NPY_FLOAT ? NPY_FLOAT : NPY_DOUBLE;
}

PyArrayObject *sg_array_in(sg_dims *dims, PyObject *object, const char *name, int type, const char *shape, int flags)
{
    if ((flags & SG_OPTIONAL) && (!object || object == Py_None))
        return NULL;
    dim_spec spec[NPY_MAXDIMS];
    int      n = parse_shape(shape, spec);
    if (check_type(object, name, type, spec, n, dims) || check_shape((PyArrayObject *)object, dims, name, spec, n))
        return NULL;
    if ((flags & SG_NONEMPTY) && PyArray_SIZE((PyArrayObject *)object) == 0) {
        char got[160];
        print_shape(got, sizeof got, n, PyArray_DIMS((PyArrayObject *)object));
        PyErr_Format(PyExc_ValueError, "%s: expected at least one element, got shape %s", name, got);
        return NULL;
    }
    int            want  = NPY_ARRAY_ALIGNED | ((flags & SG_STRIDED) ? 0 : NPY_ARRAY_C_CONTIGUOUS);
    PyArrayObject *array = (PyArrayObject *)PyArray_FromArray((PyArrayObject *)object, NULL, want);
    if (!array)
        return NULL;
    if (flags & SG_FINITE) {
        PyArrayObject *flat = (PyArrayObject *)PyArray_FromArray(array, NULL, NPY_ARRAY_CARRAY_RO);
        int            bad  = !flat || check_finite(flat, name);
        Py_XDECREF(flat);
        if (bad) {
            Py_DECREF(array);
            return NULL;
        }
    }
    return array;
}

/* An output array made by stride tricks may visit one address twice. Views by slicing and transposing never do: ordered by
 * stride, each step leaps over all that the smaller steps reach. */
static int overlaps_itself(PyArrayObject *array)
{
    if (PyArray_SIZE(array) < 2 || PyArray_IS_C_CONTIGUOUS(array))
        return 0;
    npy_intp reach = PyArray_ITEMSIZE(array);
    int      used[NPY_MAXDIMS] = {0};
    for (int k = 0; k < PyArray_NDIM(array); k++) {
        int      next = -1;
        npy_intp step = 0;
        for (int i = 0; i < PyArray_NDIM(array); i++) {
            npy_intp s = PyArray_STRIDE(array, i) < 0 ? -PyArray_STRIDE(array, i) : PyArray_STRIDE(array, i);
            if (!used[i] && PyArray_DIM(array, i) > 1 && (next < 0 || s < step))
                next = i, step = s;
        }
        if (next < 0)
            break;
        if (step < reach)
            return 1;
        used[next] = 1;
        reach += step * (PyArray_DIM(array, next) - 1);
    }
    return 0;
}

PyArrayObject *sg_array_out(sg_dims *dims, PyObject *object, const char *name, int type, const char *shape, int flags)
{
    dim_spec spec[NPY_MAXDIMS];
    int      n = parse_shape(shape, spec);
    if (!object || object == Py_None) {
        npy_intp size[NPY_MAXDIMS];
        for (int i = 0; i < n; i++) {
            npy_intp known = spec[i].name[0] ? sg_dim(dims, spec[i].name) : 0;
            if (known < 0) {
                PyErr_Format(PyExc_SystemError, "%s: dimension %s is not known", name, spec[i].name);
                return NULL;
            }
            size[i] = known + spec[i].offset;
        }
        return (PyArrayObject *)PyArray_SimpleNew(n, size, type);
    }
    if (check_type(object, name, type, spec, n, dims) || check_shape((PyArrayObject *)object, dims, name, spec, n))
        return NULL;
    PyArrayObject *array = (PyArrayObject *)object;
    if (!PyArray_ISWRITEABLE(array)) {
        PyErr_Format(PyExc_ValueError, "%s: the output array is read-only", name);
        return NULL;
    }
    if (!PyArray_ISALIGNED(array) || (!(flags & SG_STRIDED) && !PyArray_IS_C_CONTIGUOUS(array))) {
        PyErr_Format(PyExc_ValueError, "%s: the output array must be aligned and C-contiguous", name);
        return NULL;
    }
    if (overlaps_itself(array)) {
        PyErr_Format(PyExc_ValueError, "%s: elements of the output array overlap each other", name);
        return NULL;
    }
    Py_INCREF(array);
    return array;
}

/* Lowest and one past the highest address of a non-empty array. */
static void extent(PyArrayObject *array, const char **low, const char **high)
{
    *low = *high = PyArray_BYTES(array);
    for (int i = 0; i < PyArray_NDIM(array); i++) {
        npy_intp reach = PyArray_STRIDE(array, i) * (PyArray_DIM(array, i) - 1);
        *(reach < 0 ? low : high) += reach;
    }
    *high += PyArray_ITEMSIZE(array);
}

int sg_array_separate(PyArrayObject *a, const char *a_name, PyArrayObject *b, const char *b_name)
{
    if (!a || !b || PyArray_SIZE(a) == 0 || PyArray_SIZE(b) == 0)
        return 0;
    const char *a_low, *a_high, *b_low, *b_high;
    extent(a, &a_low, &a_high);
    extent(b, &b_low, &b_high);
    if (a_high <= b_low || b_high <= a_low)
        return 0;
    /* Columns of one array may interleave without sharing an element; NumPy solves that, up to a cap on the work. */
    PyObject *numpy  = PyImport_ImportModule("numpy");
    PyObject *shared = numpy ? PyObject_CallMethod(numpy, "shares_memory", "OOi", a, b, 1000000) : NULL;
    Py_XDECREF(numpy);
    int share = shared ? PyObject_IsTrue(shared) : 1;
    Py_XDECREF(shared);
    PyErr_Clear();
    if (share) {
        PyErr_Format(PyExc_ValueError, "%s and %s share memory; pass separate arrays", a_name, b_name);
        return -1;
    }
    return 0;
}

/* ----------------------------------------------------------------------------------------------------- exceptions */

static PyObject *exceptions[32];  /* by status number; filled by the module, classes live as long as the process */

static PyObject *exception_for(sg_status status)
{
    PyObject *found = (size_t)status < sizeof exceptions / sizeof exceptions[0] ? exceptions[status] : NULL;
    return found ? found : PyExc_RuntimeError;
}

static PyObject *lookup(PyObject *module, const char *name)
{
    PyObject *found = PyObject_GetAttrString(module, name);  /* one of ours, made earlier in the list */
    if (found)
        return found;
    PyErr_Clear();
    PyObject *builtins = PyImport_ImportModule("builtins");
    if (!builtins)
        return NULL;
    found = PyObject_GetAttrString(builtins, name);
    Py_DECREF(builtins);
    return found;
}

/* Makes the classes that SG_STATUS_LIST names as "New(Base)" and fills the map. */
int sg_bind_exceptions(PyObject *module)
{
    size_t                 n;
    const sg_status_entry *table = sg_status_table(&n);
    for (size_t i = 0; i < n; i++) {
        char  name[64], qualified[96];
        snprintf(name, sizeof name, "%s", table[i].exception);
        if (!*name)
            continue;
        PyObject *exception;
        char     *open = strchr(name, '(');
        if (open) {
            *open       = 0;
            char *base  = open + 1;
            base[strcspn(base, ")")] = 0;
            PyObject *parent = lookup(module, base);
            if (!parent)
                return -1;
            snprintf(qualified, sizeof qualified, "simgraft.%s", name);
            exception = PyErr_NewExceptionWithDoc(qualified, table[i].text, parent, NULL);
            Py_DECREF(parent);
            if (!exception || PyModule_AddObjectRef(module, name, exception) < 0)
                return -1;
        } else {
            exception = lookup(module, name);
            if (!exception)
                return -1;
        }
        Py_XSETREF(exceptions[table[i].status], exception);
    }
    return 0;
}

PyObject *sg_raise(sg_status status, const sg_error *error)
{
    if (PyErr_Occurred())  /* the callback's own exception, or Ctrl-C */
        return NULL;
    const char *text = error && error->message[0] ? error->message : sg_status_text(status);
    /* A message may be cut inside a character, or name a path that is not UTF-8. */
    PyObject *message = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
    if (message)
        PyErr_SetObject(exception_for(status), message);
    Py_XDECREF(message);
    return NULL;
}

static int python_poll(void *context, double done, double total)
{
    PyGILState_STATE gil  = PyGILState_Ensure();
    int              stop = PyErr_CheckSignals() != 0;
    if (!stop && context) {
        PyObject *result = PyObject_CallFunction((PyObject *)context, "dd", done, total);
        stop             = !result;
        Py_XDECREF(result);
    }
    PyGILState_Release(gil);
    return stop;
}

sg_poll sg_python_poll(PyObject *progress)
{
    return (sg_poll){python_poll, progress == Py_None ? NULL : (void *)progress, 0};
}

int sg_to_u64(PyObject *object, void *result)
{
    PyObject *number = PyNumber_Index(object);
    if (!number)
        return 0;
    uint64_t value = PyLong_AsUnsignedLongLong(number);
    Py_DECREF(number);
    if (PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "seed, stream and index: expected integers from 0 to 2**64 - 1, got %R", object);
        return 0;
    }
    *(uint64_t *)result = value;
    return 1;
}

int sg_bind_add(PyObject *module, PyMethodDef *methods)
{
    return PyModule_AddFunctions(module, methods);
}
