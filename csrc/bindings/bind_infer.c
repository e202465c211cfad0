/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/nn/infer: the type Net, made from a graph or from dense layers; and the activation list with its scalar reference. */
#include "bindings/bind_nn.h"
#include "bindings/convert.h"

#include <limits.h>

#include "base/memory.h"
#include "nn/infer.h"
#include "nn/peak.h"

typedef struct net_object {
    PyObject_HEAD sg_net *net;
    void                 *workspace; /* of evaluation in one thread; lent to one call at a time */
    int                   lent;
} net_object;

static PyTypeObject *net_type; /* lives as long as the process */

/* A Net object of net, which it takes over. */
static PyObject *net_wrap(sg_net *net)
{
    net_object *self = (net_object *)net_type->tp_alloc(net_type, 0);
    if (!self) {
        sg_net_free(net);
        return NULL;
    }
    const size_t bytes = sg_net_workspace_bytes(net, SG_NET_EVAL);
    self->net          = net;
    self->workspace    = sg_alloc(bytes);
    if (!self->workspace) {
        PyErr_Format(PyExc_MemoryError, "workspace: could not allocate %zu bytes", bytes);
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

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

static PyObject *dense_net(PyObject *module, PyObject *arguments, PyObject *keywords)
{
    static char   *names[] = {"weights", "biases", "activations", "dtype", NULL};
    PyObject      *given[3], *fast[3] = {0}, *self = NULL;
    PyArray_Descr *dtype = NULL;
    layer_list     list  = {0};
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOO&:dense_net", names, &given[0], &given[1], &given[2],
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
    sg_dense_plan *plan   = NULL;
    sg_net        *net    = NULL;
    sg_error       error  = {0};
    sg_status      status = type == NPY_FLOAT ? sg_dense_plan_create_f32((size_t)list.n, list.layers, &plan, &error)
                                              : sg_dense_plan_create_f64((size_t)list.n, list.layers, &plan, &error);
    if (status == SG_OK)
        status = sg_net_from_dense(plan, &net, &error);
    self = status == SG_OK ? net_wrap(net) : sg_raise(status, &error);
done:
    list_free(&list);
    for (int i = 0; i < 3; i++)
        Py_XDECREF(fast[i]);
    return self;
}

static PyObject *net_new(PyTypeObject *cls, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"graph", "parameters", "derivatives", NULL};
    PyObject    *graph_object, *parameters_object;
    int          derivatives = 1;
    (void)cls;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO|p:Net", names, &graph_object, &parameters_object, &derivatives))
        return NULL;
    const sg_graph *graph = sg_bind_graph_of(graph_object, "graph");
    if (!graph)
        return NULL;
    int type = PyArray_Check(parameters_object) ? PyArray_TYPE((PyArrayObject *)parameters_object) : NPY_NOTYPE;
    if (type != NPY_FLOAT && type != NPY_DOUBLE)
        return PyErr_Format(PyExc_TypeError, "parameters: expected a float32 or float64 array, got %.100s",
                            Py_TYPE(parameters_object)->tp_name);
    sg_dims dims = {0};
    sg_dim_set(&dims, "n_parameters", (npy_intp)sg_graph_n_parameters(graph));
    PyArrayObject *parameters = sg_array_in(&dims, parameters_object, "parameters", type, "n_parameters", 0);
    if (!parameters)
        return NULL;
    sg_net   *net    = NULL;
    sg_error  error  = {0};
    sg_status status = sg_net_create(graph, type == NPY_FLOAT ? 32 : 64, PyArray_DATA(parameters), derivatives, &net, &error);
    Py_DECREF(parameters);
    return status == SG_OK ? net_wrap(net) : sg_raise(status, &error);
}

static void net_dealloc(net_object *self)
{
    PyTypeObject *cls = Py_TYPE(self);
    sg_net_free(self->net);
    sg_free(self->workspace);
    cls->tp_free((PyObject *)self);
    Py_DECREF(cls);
}

/* ----------------------------------------------------------------------------------------------------- evaluation */

/* Below this many operations a call is so short that giving up the GIL would cost more than it gives others. */
#define KEEP_GIL 5e5
/* Between two looks for Ctrl-C, per thread: about 10 ms. */
#define SLICE 5e8

typedef struct rows {
    char     *data;
    ptrdiff_t row, column; /* strides in bytes */
} rows;

typedef struct call {
    const sg_net *net;
    sg_net_task   task;
    size_t        n_rows;
    rows          x, d, out;
    int           num_threads;
    void         *workspace;
} call;

static rows rows_of(PyArrayObject *array)
{
    return (rows){PyArray_BYTES(array), PyArray_STRIDE(array, 0), PyArray_STRIDE(array, 1)};
}

static void run(const call *c, size_t first, size_t n)
{
#define ROWS(real, r)                                                                               \
    {                                                                                               \
        (real *)(r.data + (ptrdiff_t)first * r.row), r.row / (ptrdiff_t)sizeof(real),               \
            r.column / (ptrdiff_t)sizeof(real), NULL, NULL                                          \
    }
#define RUN(bits, real)                                                                             \
    {                                                                                               \
        const sg_dense_input_f##bits  x   = ROWS(real, c->x);                                 \
        const sg_dense_input_f##bits  d   = ROWS(real, c->d);                                 \
        const sg_dense_output_f##bits out = ROWS(real, c->out);                               \
        if (c->num_threads == 1)                                                                    \
            sg_net_run_f##bits(c->net, c->task, n, &x, &d, &out, c->workspace);                     \
        else                                                                                        \
            sg_net_run_threads_f##bits(c->net, c->task, n, &x, &d, &out, c->num_threads, c->workspace); \
    }
    if (sg_net_bits(c->net) == 32)
        RUN(32, float)
    else
        RUN(64, double)
#undef RUN
#undef ROWS
}

/* Slices of rows with the GIL released, looking for Ctrl-C in between. */
static int run_released(const call *c)
{
    const double wish  = SLICE * c->num_threads / (sg_net_flops(c->net) + 1);
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

static int is_plain_pair(PyObject *x, PyObject *y, int type, size_t n_x, size_t n_y)
{
    return is_plain(x, type, n_x) && is_plain(y, type, n_y) && PyArray_DIM((PyArrayObject *)x, 0) == PyArray_DIM((PyArrayObject *)y, 0);
}

/* Arguments x, d_x or d_y (derivatives only), out and num_threads, positional or by name. */
static int read_arguments(const char *method, sg_net_task task, PyObject *const *args, Py_ssize_t n_args, PyObject *names,
                          PyObject **given)
{
    const int                derivative = task != SG_NET_EVAL, n_known = derivative ? 4 : 3;
    static const char *const all[3][4]  = {
        {"x", "out", "num_threads", NULL}, {"x", "d_x", "out", "num_threads"}, {"x", "d_y", "out", "num_threads"}};
    const char *const *known = all[!derivative ? 0 : task == SG_NET_VJP ? 2 : 1];
    Py_ssize_t               n_names     = names ? PyTuple_GET_SIZE(names) : 0;
    if (n_args > n_known) {
        PyErr_Format(PyExc_TypeError, "%s takes at most %d arguments, got %zd", method, n_known, n_args);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n_args; i++)
        given[i] = args[i];
    for (Py_ssize_t i = 0; i < n_names; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int       k    = 0;
        while (k < n_known && PyUnicode_CompareWithASCIIString(name, known[k]) != 0)
            k++;
        if (k == n_known || given[k]) {
            PyErr_Format(PyExc_TypeError, k == n_known ? "%s has no argument %R" : "%s got argument %R twice", method, name);
            return -1;
        }
        given[k] = args[n_args + i];
    }
    for (int k = 0; k <= derivative; k++)
        if (!given[k]) {
            PyErr_Format(PyExc_TypeError, "%s misses argument %s", method, known[k]);
            return -1;
        }
    return 0;
}

static int read_threads(PyObject *object, long *num_threads)
{
    if (object && !PyIndex_Check(object)) {
        PyErr_Format(PyExc_TypeError, "num_threads: expected an integer, got %.100s", Py_TYPE(object)->tp_name);
        return -1;
    }
    *num_threads = object ? PyLong_AsLong(object) : 1;
    if (*num_threads == -1 && PyErr_Occurred())
        return -1;
    if (*num_threads < 0 || *num_threads > INT_MAX) {
        PyErr_Format(PyExc_ValueError, "num_threads: expected 0 (all) or a positive number, got %ld", *num_threads);
        return -1;
    }
    return 0;
}

static PyObject *run_task(net_object *self, const char *method, sg_net_task task, PyObject *const *args, Py_ssize_t n_args,
                          PyObject *names)
{
    const int derivative = task != SG_NET_EVAL;
    PyObject *given[4]   = {NULL, NULL, NULL, NULL};
    long      num_threads;
    if (read_arguments(method, task, args, n_args, names, given) || read_threads(given[2 + derivative], &num_threads))
        return NULL;
    if (derivative && !sg_net_has_derivatives(self->net))
        return PyErr_Format(PyExc_ValueError, "%s: this net was made with derivatives=False", method);
    PyObject *x_given = given[0], *d_given = derivative ? given[1] : NULL, *out_given = given[1 + derivative];
    if (out_given == Py_None)
        out_given = NULL;

    const int      type = sg_net_bits(self->net) == 32 ? NPY_FLOAT : NPY_DOUBLE;
    const size_t   n_in = sg_net_n_in(self->net), n_out = sg_net_n_out(self->net);
    const size_t   n_d = task == SG_NET_VJP ? n_out : n_in, n_y = task == SG_NET_VJP ? n_in : n_out;
    PyArrayObject *x = NULL, *d = NULL, *y = NULL;
    if (is_plain(x_given, type, n_in) && (!derivative || is_plain_pair(x_given, d_given, type, n_in, n_d)) &&
        (!out_given || (is_plain_pair(x_given, out_given, type, n_in, n_y) && PyArray_ISWRITEABLE((PyArrayObject *)out_given)))) {
        x                 = (PyArrayObject *)Py_NewRef(x_given);
        d                 = (PyArrayObject *)Py_XNewRef(d_given);
        npy_intp shape[2] = {PyArray_DIM(x, 0), (npy_intp)n_y};
        y                 = (PyArrayObject *)(out_given ? Py_NewRef(out_given) : PyArray_SimpleNew(2, shape, type));
    } else {
        sg_dims dims = {0};
        sg_dim_set(&dims, "n_in", (npy_intp)n_in);
        sg_dim_set(&dims, "n_out", (npy_intp)n_out);
        const char *d_name = task == SG_NET_VJP ? "d_y" : "d_x";
        const char *d_shape = task == SG_NET_VJP ? "n n_out" : "n n_in", *y_shape = task == SG_NET_VJP ? "n n_in" : "n n_out";
        x = sg_array_in(&dims, x_given, "x", type, "n n_in", SG_STRIDED);
        if (x && (!derivative || (d = sg_array_in(&dims, d_given, d_name, type, d_shape, SG_STRIDED))))
            y = sg_array_out(&dims, out_given, "out", type, y_shape, SG_STRIDED);
    }
    if (!y || (out_given && (sg_array_separate(x, "x", y, "out") || (d && sg_array_separate(d, "d", y, "out")))))
        goto fail;

    call c = {self->net, task, (size_t)PyArray_DIM(x, 0), rows_of(x), rows_of(d ? d : x), rows_of(y), 1, self->workspace};
    if (num_threads != 1)
        c.num_threads = sg_net_threads(self->net, c.n_rows, (int)num_threads);
    const int borrowed = c.num_threads == 1 && !self->lent && !derivative;
    if (borrowed) {
        self->lent = 1;
    } else {
        const size_t bytes = sg_size_mul((size_t)c.num_threads, sg_net_workspace_bytes(self->net, task));
        c.workspace        = sg_alloc(bytes);
        if (!c.workspace) {
            PyErr_Format(PyExc_MemoryError, "workspace: could not allocate %zu bytes", bytes);
            goto fail;
        }
    }
    int stopped = 0;
    if (sg_net_flops(self->net) * (double)c.n_rows < KEEP_GIL)
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
    Py_XDECREF(d);
    return (PyObject *)y;
fail:
    Py_XDECREF(x);
    Py_XDECREF(d);
    Py_XDECREF(y);
    return NULL;
}

static PyObject *net_eval(net_object *self, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    return run_task(self, "eval", SG_NET_EVAL, args, n_args, names);
}

static PyObject *net_jvp(net_object *self, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    return run_task(self, "jvp", SG_NET_JVP, args, n_args, names);
}

static PyObject *net_vjp(net_object *self, PyObject *const *args, Py_ssize_t n_args, PyObject *names)
{
    return run_task(self, "vjp", SG_NET_VJP, args, n_args, names);
}

static PyObject *net_get_n_in(net_object *self, void *unused)
{
    return (void)unused, PyLong_FromSize_t(sg_net_n_in(self->net));
}
static PyObject *net_get_n_out(net_object *self, void *unused)
{
    return (void)unused, PyLong_FromSize_t(sg_net_n_out(self->net));
}
static PyObject *net_get_isa(net_object *self, void *unused)
{
    return (void)unused, PyUnicode_FromString(sg_net_isa(self->net));
}
static PyObject *net_get_flops(net_object *self, void *unused)
{
    return (void)unused, PyFloat_FromDouble(sg_net_flops(self->net));
}
static PyObject *net_get_dtype(net_object *self, void *unused)
{
    (void)unused;
    return (PyObject *)PyArray_DescrFromType(sg_net_bits(self->net) == 32 ? NPY_FLOAT : NPY_DOUBLE);
}

static PyObject *net_get_fused(net_object *self, void *unused)
{
    return (void)unused, PyBool_FromLong(sg_net_is_fused(self->net));
}

#define THREADS_DOC                                                                                 \
    "num_threads : int\n    0 for all CPUs allowed (or OMP_NUM_THREADS).\n\n"                       \
    "Notes\n-----\nA row has the same bits for any n, position, strides and num_threads."

static PyMethodDef net_methods[] = {
    {"eval", SG_METHOD(net_eval), METH_FASTCALL | METH_KEYWORDS,
     "eval(x, out=None, num_threads=1) -> out\n\n"
     "Run rows through the network.\n\n"
     "Parameters\n----------\n"
     "x : (n, n_in) array of the net's dtype\n    Any strides.\n"
     "out : (n, n_out) array of the net's dtype, optional\n    Any strides; must not share memory with x. A new "
     "C-ordered array by default.\n" THREADS_DOC},
    {"jvp", SG_METHOD(net_jvp), METH_FASTCALL | METH_KEYWORDS,
     "jvp(x, d_x, out=None, num_threads=1) -> out\n\n"
     "Derivative of the outputs at x along the direction d_x of the inputs.\n\n"
     "Parameters\n----------\n"
     "x, d_x : (n, n_in) arrays of the net's dtype\n    Any strides.\n"
     "out : (n, n_out) array, optional\n    As in eval.\n" THREADS_DOC},
    {"vjp", SG_METHOD(net_vjp), METH_FASTCALL | METH_KEYWORDS,
     "vjp(x, d_y, out=None, num_threads=1) -> out\n\n"
     "Gradient with respect to the inputs at x, from the gradient d_y with respect to the outputs.\n\n"
     "Parameters\n----------\n"
     "x : (n, n_in) array of the net's dtype\n    Any strides.\n"
     "d_y : (n, n_out) array\n    Any strides.\n"
     "out : (n, n_in) array, optional\n    As in eval.\n" THREADS_DOC},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef net_getset[] = {
    {"n_in", (getter)net_get_n_in, NULL, "Number of inputs.", NULL},
    {"n_out", (getter)net_get_n_out, NULL, "Number of outputs.", NULL},
    {"dtype", (getter)net_get_dtype, NULL, "float32 or float64.", NULL},
    {"isa", (getter)net_get_isa, NULL, "Instruction set the weights were packed for.", NULL},
    {"flops", (getter)net_get_flops, NULL, "Operations per row: two for each weight of a dense layer.", NULL},
    {"is_fused", (getter)net_get_fused, NULL, "True for a chain of dense layers.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot net_slots[] = {
    {Py_tp_new, net_new},
    {Py_tp_dealloc, net_dealloc},
    {Py_tp_methods, net_methods},
    {Py_tp_getset, net_getset},
    {Py_tp_doc, "Net(graph, parameters, derivatives=True)\n\n"
                "A network ready to run, packed once; immutable.\n\n"
                "Parameters\n----------\n"
                "graph : Graph\n"
                "parameters : (n_parameters,) float32 or float64 array\n    Copied.\n"
                "derivatives : bool\n    False saves the memory of what jvp and vjp need."},
    {0, NULL},
};

static PyType_Spec net_spec = {"simgraft._core.Net", sizeof(net_object), 0, Py_TPFLAGS_DEFAULT, net_slots};

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
    {"dense_net", SG_METHOD(dense_net), METH_VARARGS | METH_KEYWORDS,
     "dense_net(weights, biases, activations, dtype) -> Net\n\n"
     "Chain of dense layers from arrays.\n\n"
     "Parameters\n----------\n"
     "weights : sequence of (n_in, n_out) arrays\n    Copied.\n"
     "biases : sequence of (n_out,) arrays or None\n    Copied.\n"
     "activations : sequence of str or (str, float)\n    Name, or name and parameter (leaky_relu, elu), see "
     "activations().\n"
     "dtype : float32 or float64\n    Of all arrays, also those given to eval."},
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
    PyObject *type = PyType_FromSpec(&net_spec);
    if (!type || PyModule_AddType(module, (PyTypeObject *)type) < 0) {
        Py_XDECREF(type);
        return -1;
    }
    net_type = (PyTypeObject *)type;
    return sg_bind_add(module, methods);
}
