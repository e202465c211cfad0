/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/nn/dense: the type DensePlan, and the activation list with its scalar reference. */
#include "bindings/convert.h"

#include <limits.h>

#include "base/memory.h"
#include "nn/dense.h"
#include "nn/peak.h"

typedef struct dense_plan {
    PyObject_HEAD sg_dense_plan *plan;
    void                        *workspace; /* for one thread; lent to one call at a time */
    int                          lent;
} dense_plan;

/* ------------------------------------------------------------------------------------------------------- creation */

/* What the layers borrow from while the plan is made. */
typedef struct layer_list {
    Py_ssize_t      n;
    PyArrayObject **array;  /* (2 n) weights and biases */
    void           *layers; /* sg_dense_layer_f32 or _f64 */
} layer_list;

static void list_free(layer_list *list)
{
    for (Py_ssize_t i = 0; list->array && i < 2 * list->n; i++)
        Py_XDECREF(list->array[i]);
    PyMem_Free(list->array);
    PyMem_Free(list->layers);
}

/* "tanh" or ("elu", 0.5) */
static int activation_of(PyObject *item, Py_ssize_t i, sg_activation *kind, double *parameter)
{
    PyObject *name = item, *value = NULL;
    if (PyTuple_Check(item) && PyTuple_GET_SIZE(item) == 2)
        name = PyTuple_GET_ITEM(item, 0), value = PyTuple_GET_ITEM(item, 1);
    if (!PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "activations[%zd]: expected a name or (name, parameter), got %.100s", i,
                     Py_TYPE(item)->tp_name);
        return -1;
    }
    const char *text = PyUnicode_AsUTF8(name);
    if (!text)
        return -1;
    int found = sg_activation_find(text);
    if (found < 0) {
        char   known[256] = "";
        size_t used       = 0;
        for (int k = 0; k < SG_ACTIVATION_COUNT; k++)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", k ? ", " : "",
                                     sg_activation_name((sg_activation)k));
        PyErr_Format(PyExc_ValueError, "activations[%zd]: expected one of %s, got \"%s\"", i, known, text);
        return -1;
    }
    *kind      = (sg_activation)found;
    *parameter = value ? PyFloat_AsDouble(value) : sg_activation_parameter(*kind);
    return PyErr_Occurred() ? -1 : 0;
}

static int list_fill(layer_list *list, PyObject *weights, PyObject *biases, PyObject *activations, int type)
{
    Py_ssize_t n = PySequence_Fast_GET_SIZE(weights);
    if (PySequence_Fast_GET_SIZE(biases) != n || PySequence_Fast_GET_SIZE(activations) != n) {
        PyErr_Format(PyExc_ValueError, "biases, activations: expected as many as weights (%zd), got %zd and %zd", n,
                     PySequence_Fast_GET_SIZE(biases), PySequence_Fast_GET_SIZE(activations));
        return -1;
    }
    list->n      = n;
    list->array  = PyMem_Calloc((size_t)(2 * n) + 1, sizeof *list->array);
    list->layers = PyMem_Calloc((size_t)n + 1, sizeof(sg_dense_layer_f64));
    if (!list->array || !list->layers) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        sg_dims dims = {0};
        char    name[40];
        snprintf(name, sizeof name, "weights[%zd]", i);
        PyArrayObject *w = list->array[2 * i] =
            sg_array_in(&dims, PySequence_Fast_GET_ITEM(weights, i), name, type, "n_in n_out", 0);
        if (!w)
            return -1;
        snprintf(name, sizeof name, "biases[%zd]", i);
        PyArrayObject *b = list->array[2 * i + 1] =
            sg_array_in(&dims, PySequence_Fast_GET_ITEM(biases, i), name, type, "n_out", SG_OPTIONAL);
        if (!b && PyErr_Occurred())
            return -1;
        sg_activation kind;
        double        parameter;
        if (activation_of(PySequence_Fast_GET_ITEM(activations, i), i, &kind, &parameter))
            return -1;
        /* The two layer types differ only in what the pointers point to. */
        const size_t n_in = (size_t)PyArray_DIM(w, 0), n_out = (size_t)PyArray_DIM(w, 1);
        if (type == NPY_FLOAT)
            ((sg_dense_layer_f32 *)list->layers)[i] =
                (sg_dense_layer_f32){n_in, n_out, PyArray_DATA(w), b ? PyArray_DATA(b) : NULL, kind, parameter};
        else
            ((sg_dense_layer_f64 *)list->layers)[i] =
                (sg_dense_layer_f64){n_in, n_out, PyArray_DATA(w), b ? PyArray_DATA(b) : NULL, kind, parameter};
    }
    return 0;
}

static int real_type(PyArray_Descr *dtype)
{
    int type = dtype->type_num;
    if (type != NPY_FLOAT && type != NPY_DOUBLE) {
        PyErr_Format(PyExc_ValueError, "dtype: expected float32 or float64, got %S", (PyObject *)dtype);
        return -1;
    }
    return type;
}

static PyObject *plan_new(PyTypeObject *cls, PyObject *arguments, PyObject *keywords)
{
    static char   *names[] = {"weights", "biases", "activations", "dtype", NULL};
    PyObject      *given[3], *fast[3] = {0};
    PyArray_Descr *dtype = NULL;
    dense_plan    *self  = NULL;
    layer_list     list  = {0};
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOO&:DensePlan", names, &given[0], &given[1], &given[2],
                                     PyArray_DescrConverter, &dtype))
        return NULL;
    int type = real_type(dtype);
    Py_DECREF(dtype);
    if (type < 0)
        return NULL;
    for (int i = 0; i < 3; i++)
        if (!(fast[i] =
                  PySequence_Fast(given[i], "weights, biases and activations must be sequences, one entry per layer")))
            goto done;
    if (list_fill(&list, fast[0], fast[1], fast[2], type))
        goto done;
    self = (dense_plan *)cls->tp_alloc(cls, 0);
    if (!self)
        goto done;
    sg_error  error  = {0};
    sg_status status = type == NPY_FLOAT ? sg_dense_plan_create_f32((size_t)list.n, list.layers, &self->plan, &error)
                                         : sg_dense_plan_create_f64((size_t)list.n, list.layers, &self->plan, &error);
    if (status == SG_OK && !(self->workspace = sg_alloc(sg_dense_workspace_bytes(self->plan))))
        status = sg_fail(&error, SG_ERR_MEMORY, "workspace", "could not allocate %zu bytes",
                         sg_dense_workspace_bytes(self->plan));
    if (status != SG_OK) {
        sg_raise(status, &error);
        Py_CLEAR(self);
    }
done:
    list_free(&list);
    for (int i = 0; i < 3; i++)
        Py_XDECREF(fast[i]);
    return (PyObject *)self;
}

static void plan_dealloc(dense_plan *self)
{
    PyTypeObject *cls = Py_TYPE(self);
    sg_dense_plan_free(self->plan);
    sg_free(self->workspace);
    cls->tp_free((PyObject *)self);
    Py_DECREF(cls);
}

/* ----------------------------------------------------------------------------------------------------- evaluation */

/* Below this many operations a call is so short that giving up the GIL would cost more than it gives others. */
#define KEEP_GIL 5e5
/* Between two looks for Ctrl-C, per thread: about 10 ms. */
#define SLICE 5e8

typedef struct call {
    const sg_dense_plan *plan;
    size_t               n_rows;
    char                *in, *out;
    ptrdiff_t            in_row, in_column, out_row, out_column; /* bytes */
    int                  num_threads;
    void                *workspace;
} call;

static void run(const call *c, size_t first, size_t n)
{
    char *in = c->in + (ptrdiff_t)first * c->in_row, *out = c->out + (ptrdiff_t)first * c->out_row;
#define RUN(bits, real)                                                                                               \
    {                                                                                                                 \
        const ptrdiff_t               size   = (ptrdiff_t)sizeof(real);                                               \
        const sg_dense_input_f##bits  input  = {(const real *)in, c->in_row / size, c->in_column / size, NULL, NULL}; \
        const sg_dense_output_f##bits output = {(real *)out, c->out_row / size, c->out_column / size, NULL, NULL};    \
        if (c->num_threads == 1)                                                                                      \
            sg_dense_eval_f##bits(c->plan, n, &input, &output, c->workspace);                                         \
        else                                                                                                          \
            sg_dense_eval_threads_f##bits(c->plan, n, &input, &output, c->num_threads, c->workspace);                 \
    }
    if (sg_dense_bits(c->plan) == 32)
        RUN(32, float)
    else
        RUN(64, double)
#undef RUN
}

/* Slices of rows with the GIL released, looking for Ctrl-C in between. */
static int run_released(const call *c)
{
    const double wish  = SLICE * c->num_threads / sg_dense_flops(c->plan);
    const size_t least = (size_t)64 * SG_DENSE_BLOCK,
                 slice = wish > (double)least ? (size_t)wish / least * least : least;
    for (size_t first = 0; first < c->n_rows; first += slice) {
        Py_BEGIN_ALLOW_THREADS run(c, first, c->n_rows - first < slice ? c->n_rows - first : slice);
        Py_END_ALLOW_THREADS if (PyErr_CheckSignals()) return -1;
    }
    return 0;
}

static int is_plain(PyObject *object, int type, size_t n_columns)
{
    if (!object || !PyArray_Check(object))
        return 0;
    PyArrayObject *a = (PyArrayObject *)object;
    return PyArray_TYPE(a) == type && PyArray_NDIM(a) == 2 && (size_t)PyArray_DIM(a, 1) == n_columns &&
           PyArray_ISBEHAVED_RO(a);
}

static PyObject *plan_eval(dense_plan *self, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    PyObject  *given[3] = {NULL, NULL, NULL}; /* x, out, num_threads */
    Py_ssize_t n_names  = names ? PyTuple_GET_SIZE(names) : 0;
    if (n_args > 3)
        return PyErr_Format(PyExc_TypeError, "eval takes x, out and num_threads, got %zd positional arguments", n_args);
    for (Py_ssize_t i = 0; i < n_args; i++)
        given[i] = args[i];
    for (Py_ssize_t i = 0; i < n_names; i++) {
        static const char *const known[3] = {"x", "out", "num_threads"};
        PyObject                *name     = PyTuple_GET_ITEM(names, i);
        int                      k        = 0;
        while (k < 3 && PyUnicode_CompareWithASCIIString(name, known[k]) != 0)
            k++;
        if (k == 3 || given[k])
            return PyErr_Format(PyExc_TypeError, k == 3 ? "eval has no argument %R" : "eval got argument %R twice",
                                name);
        given[k] = args[n_args + i];
    }
    if (!given[0])
        return PyErr_Format(PyExc_TypeError, "eval misses argument x");
    long num_threads = 1;
    if (given[2]) {
        num_threads = PyLong_AsLong(given[2]);
        if (num_threads == -1 && PyErr_Occurred())
            return NULL;
        if (num_threads < 0 || num_threads > INT_MAX)
            return PyErr_Format(PyExc_ValueError, "num_threads: expected 0 (all) or a positive number, got %ld",
                                num_threads);
    }
    if (given[1] == Py_None)
        given[1] = NULL;

    const int      type = sg_dense_bits(self->plan) == 32 ? NPY_FLOAT : NPY_DOUBLE;
    const size_t   n_in = sg_dense_n_in(self->plan), n_out = sg_dense_n_out(self->plan);
    PyArrayObject *x, *y;
    if (is_plain(given[0], type, n_in) &&
        (!given[1] || (is_plain(given[1], type, n_out) && PyArray_ISWRITEABLE((PyArrayObject *)given[1]) &&
                       PyArray_DIM((PyArrayObject *)given[0], 0) == PyArray_DIM((PyArrayObject *)given[1], 0)))) {
        x                 = (PyArrayObject *)Py_NewRef(given[0]);
        npy_intp shape[2] = {PyArray_DIM(x, 0), (npy_intp)n_out};
        y                 = (PyArrayObject *)(given[1] ? Py_NewRef(given[1]) : PyArray_SimpleNew(2, shape, type));
    } else {
        sg_dims dims = {0};
        sg_dim_set(&dims, "n_in", (npy_intp)n_in);
        sg_dim_set(&dims, "n_out", (npy_intp)n_out);
        x = sg_array_in(&dims, given[0], "x", type, "n n_in", SG_STRIDED);
        y = x ? sg_array_out(&dims, given[1], "out", type, "n n_out", SG_STRIDED) : NULL;
    }
    if (!y || (given[1] && sg_array_separate(x, "x", y, "out")))
        goto fail;

    call c = {self->plan,           (size_t)PyArray_DIM(x, 0), PyArray_BYTES(x),
              PyArray_BYTES(y),     PyArray_STRIDE(x, 0),      PyArray_STRIDE(x, 1),
              PyArray_STRIDE(y, 0), PyArray_STRIDE(y, 1),      1,
              self->workspace};
    if (num_threads != 1)
        c.num_threads = sg_dense_threads(c.n_rows, (int)num_threads);
    const int borrowed = c.num_threads == 1 && !self->lent;
    if (borrowed) {
        self->lent = 1;
    } else {
        const size_t bytes = sg_size_mul((size_t)c.num_threads, sg_dense_workspace_bytes(self->plan));
        c.workspace        = sg_alloc(bytes);
        if (!c.workspace) {
            PyErr_Format(PyExc_MemoryError, "workspace: could not allocate %zu bytes", bytes);
            goto fail;
        }
    }
    int stopped = 0;
    if (sg_dense_flops(self->plan) * (double)c.n_rows < KEEP_GIL)
        run(&c, 0, c.n_rows);
    else
        stopped = run_released(&c);
    if (borrowed)
        self->lent = 0;
    else
        sg_free(c.workspace);
    if (stopped)
        goto fail;
    Py_DECREF(x);
    return (PyObject *)y;
fail:
    Py_XDECREF(x);
    Py_XDECREF(y);
    return NULL;
}

static PyObject *plan_get_n_in(dense_plan *self, void *unused)
{
    return (void)unused, PyLong_FromSize_t(sg_dense_n_in(self->plan));
}
static PyObject *plan_get_n_out(dense_plan *self, void *unused)
{
    return (void)unused, PyLong_FromSize_t(sg_dense_n_out(self->plan));
}
static PyObject *plan_get_isa(dense_plan *self, void *unused)
{
    return (void)unused, PyUnicode_FromString(sg_dense_isa(self->plan));
}
static PyObject *plan_get_flops(dense_plan *self, void *unused)
{
    return (void)unused, PyFloat_FromDouble(sg_dense_flops(self->plan));
}
static PyObject *plan_get_dtype(dense_plan *self, void *unused)
{
    (void)unused;
    return (PyObject *)PyArray_DescrFromType(sg_dense_bits(self->plan) == 32 ? NPY_FLOAT : NPY_DOUBLE);
}

static PyMethodDef plan_methods[] = {
    {"eval", SG_METHOD(plan_eval), METH_FASTCALL | METH_KEYWORDS,
     "eval(x, out=None, num_threads=1) -> out\n\n"
     "Run rows through the network.\n\n"
     "Parameters\n----------\n"
     "x : (n, n_in) array of the plan's dtype\n    Any strides.\n"
     "out : (n, n_out) array of the plan's dtype, optional\n    Any strides; must not share memory with x. A new "
     "C-ordered array by default.\n"
     "num_threads : int\n    0 for all CPUs allowed (or OMP_NUM_THREADS).\n\n"
     "Notes\n-----\nA row has the same bits for any n, position, strides and num_threads."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef plan_getset[] = {
    {"n_in", (getter)plan_get_n_in, NULL, "Number of inputs.", NULL},
    {"n_out", (getter)plan_get_n_out, NULL, "Number of outputs.", NULL},
    {"dtype", (getter)plan_get_dtype, NULL, "float32 or float64.", NULL},
    {"isa", (getter)plan_get_isa, NULL, "Instruction set the weights were packed for.", NULL},
    {"flops", (getter)plan_get_flops, NULL, "Operations per row: two for each weight.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot plan_slots[] = {
    {Py_tp_new, plan_new},
    {Py_tp_dealloc, plan_dealloc},
    {Py_tp_methods, plan_methods},
    {Py_tp_getset, plan_getset},
    {Py_tp_doc, "DensePlan(weights, biases, activations, dtype)\n\n"
                "Chain of dense layers, packed for fused inference; immutable.\n\n"
                "Parameters\n----------\n"
                "weights : sequence of (n_in, n_out) arrays\n    Copied.\n"
                "biases : sequence of (n_out,) arrays or None\n    Copied.\n"
                "activations : sequence of str or (str, float)\n    Name, or name and parameter (leaky_relu, elu), see "
                "activations().\n"
                "dtype : float32 or float64\n    Of all arrays, also those given to eval."},
    {0, NULL},
};

static PyType_Spec plan_spec = {"simgraft._core.DensePlan", sizeof(dense_plan), 0, Py_TPFLAGS_DEFAULT, plan_slots};

/* --------------------------------------------------------------------------------------------------- module level */

static PyObject *activations(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    PyObject *list = PyList_New(SG_ACTIVATION_COUNT);
    for (int k = 0; list && k < SG_ACTIVATION_COUNT; k++) {
        sg_activation kind = (sg_activation)k;
        PyObject     *row =
            Py_BuildValue("(sdsO)", sg_activation_name(kind), sg_activation_parameter(kind),
                          sg_activation_formula(kind), sg_activation_needs_input(kind) ? Py_True : Py_False);
        if (!row) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, k, row);
    }
    return list;
}

static PyObject *activation_reference(PyObject *self, PyObject *arguments)
{
    (void)self;
    PyObject     *item;
    double        x, parameter;
    sg_activation kind;
    if (!PyArg_ParseTuple(arguments, "Od", &item, &x) || activation_of(item, 0, &kind, &parameter))
        return NULL;
    return Py_BuildValue("(dd)", sg_activation_value(kind, parameter, x), sg_activation_derivative(kind, parameter, x));
}

static PyObject *fma_peak(PyObject *self, PyObject *arguments)
{
    (void)self;
    int    bits;
    double seconds;
    if (!PyArg_ParseTuple(arguments, "id", &bits, &seconds))
        return NULL;
    if ((bits != 32 && bits != 64) || !(seconds > 0 && seconds < 1))
        return PyErr_Format(PyExc_ValueError, "fma_peak: expected 32 or 64 bits and between 0 and 1 s");
    double                 rate;
    Py_BEGIN_ALLOW_THREADS rate = sg_peak_flops(bits, seconds);
    Py_END_ALLOW_THREADS return PyFloat_FromDouble(rate);
}

static PyMethodDef methods[] = {
    {"activations", activations, METH_NOARGS,
     "activations() -> list of (name, default parameter, formula, derivative needs the input)"},
    {"activation_reference", activation_reference, METH_VARARGS,
     "activation_reference(activation, x) -> (value, derivative)\n\nScalar reference in double; activation as in "
     "DensePlan."},
    {"fma_peak", fma_peak, METH_VARARGS,
     "fma_peak(bits, seconds) -> float\n\nFloating-point operations per second of CPU time that independent "
     "multiply-adds reach in one "
     "thread with the instruction set in use, two operations each."},
    {NULL, NULL, 0, NULL},
};

int sg_bind_infer(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&plan_spec);
    if (!type)
        return -1;
    int failed = PyModule_AddObjectRef(module, "DensePlan", type);
    Py_DECREF(type);
    return failed ? -1 : sg_bind_add(module, methods);
}
