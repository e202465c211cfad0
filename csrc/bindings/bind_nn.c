/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/nn: the tables of operators, losses and optimisers, the types Graph and Trainer, start values. */
#include "bindings/bind_nn.h"

#include "nn/graph.h"
#include "nn/init.h"
#include "nn/loss.h"
#include "nn/optim.h"
#include "nn/train.h"

/* ------------------------------------------------------------------------------------------------ tables for Python */
static PyObject *value_object(const sg_attribute *attribute, const sg_attribute_value *value)
{
    if (!value->n)
        Py_RETURN_NONE;
    switch (attribute->type) {
    case SG_ATTRIBUTE_INT: return PyLong_FromDouble(value->v[0]);
    case SG_ATTRIBUTE_REAL: return PyFloat_FromDouble(value->v[0]);
    case SG_ATTRIBUTE_CHOICE: return PyUnicode_FromString(attribute->choices[(int)value->v[0]]);
    case SG_ATTRIBUTE_INTS: break;
    }
    PyObject *tuple = PyTuple_New(value->n);
    for (int i = 0; tuple && i < value->n; i++) {
        PyObject *item = PyLong_FromDouble(value->v[i]);
        if (!item) {
            Py_CLEAR(tuple);
            break;
        }
        PyTuple_SET_ITEM(tuple, i, item);
    }
    return tuple;
}

static int append_stolen(PyObject *list, PyObject *item)
{
    int bad = !item || PyList_Append(list, item) < 0;
    Py_XDECREF(item);
    return bad ? -1 : 0;
}

static PyObject *choices_object(const sg_attribute *attribute)
{
    if (attribute->type != SG_ATTRIBUTE_CHOICE)
        Py_RETURN_NONE;
    PyObject *list = PyList_New(0);
    for (int i = 0; list && attribute->choices[i]; i++)
        if (append_stolen(list, PyUnicode_FromString(attribute->choices[i])))
            Py_CLEAR(list);
    return list;
}

static PyObject *attributes_object(int n, const sg_attribute *attributes)
{
    static const char *const types[] = {"int", "float", "choice", "ints"};
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < n; i++) {
        const sg_attribute *a = &attributes[i];
        PyObject *standard = value_object(a, &a->standard), *choices = choices_object(a);
        if (!standard || !choices ||
            append_stolen(list, Py_BuildValue("{s:s,s:s,s:O,s:O,s:d,s:d,s:s}", "name", a->name, "type", types[a->type], "default",
                                              standard, "choices", choices, "low", a->low, "high", a->high, "doc", a->doc)))
            Py_CLEAR(list);
        Py_XDECREF(standard);
        Py_XDECREF(choices);
    }
    return list;
}

static PyObject *nn_ops(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < SG_OP_COUNT; i++) {
        const sg_op *op = sg_op_get((sg_op_id)i);
        PyObject    *attributes = attributes_object(op->n_attributes, op->attributes);
        if (!attributes || append_stolen(list, Py_BuildValue("{s:s,s:s,s:i,s:i,s:N,s:d,s:d,s:O,s:O,s:O,s:I}", "name", op->name, "doc",
                                                            op->doc, "min_inputs", op->min_inputs, "max_inputs", op->max_inputs,
                                                            "attributes", attributes, "tolerance_f64", op->tolerance_f64,
                                                            "tolerance_f32", op->tolerance_f32, "random",
                                                            op->flags & SG_OP_RANDOM ? Py_True : Py_False, "couples_rows",
                                                            op->flags & SG_OP_COUPLES_ROWS ? Py_True : Py_False, "has_example",
                                                            op->example ? Py_True : Py_False, "no_gradient_inputs",
                                                            op->no_gradient_inputs)))
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *shape_object(const sg_shape *shape)
{
    PyObject *tuple = PyTuple_New(shape->rank);
    for (int i = 0; tuple && i < shape->rank; i++)
        PyTuple_SET_ITEM(tuple, i, PyLong_FromSize_t(shape->dim[i]));
    return tuple;
}

static PyObject *nn_op_example(PyObject *self, PyObject *arguments)
{
    (void)self;
    const char        *name;
    unsigned long long seed;
    if (!PyArg_ParseTuple(arguments, "sK", &name, &seed))
        return NULL;
    const sg_op *op = sg_op_find(name, NULL);
    if (!op || !op->example)
        return PyErr_Format(PyExc_ValueError, "name: there is no example of an operator called \"%s\"", name);
    sg_op_site site = {.op = op};
    op->example(&(sg_op_draw){seed}, &site);
    PyObject *shapes = PyList_New(0), *attributes = PyDict_New();
    for (int i = 0; shapes && i < site.n_inputs; i++)
        if (append_stolen(shapes, shape_object(&site.in[i])))
            Py_CLEAR(shapes);
    for (int i = 0; attributes && i < op->n_attributes; i++) {
        PyObject *value = site.attribute[i].n ? value_object(&op->attributes[i], &site.attribute[i]) : NULL;
        if ((site.attribute[i].n && !value) || (value && PyDict_SetItemString(attributes, op->attributes[i].name, value) < 0))
            Py_CLEAR(attributes);
        Py_XDECREF(value);
    }
    if (!shapes || !attributes) {
        Py_XDECREF(shapes);
        Py_XDECREF(attributes);
        return NULL;
    }
    return Py_BuildValue("(NN)", shapes, attributes);
}

static PyObject *nn_losses(PyObject *self, PyObject *ignored)
{
    static const char *const targets[] = {"real", "probability", "sign", "class", "none"};
    (void)self, (void)ignored;
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < SG_LOSS_COUNT; i++) {
        const sg_loss_entry *e = sg_loss_get((sg_loss_id)i);
        PyObject            *attributes = attributes_object(e->n_attributes, e->attributes);
        if (!attributes || append_stolen(list, Py_BuildValue("{s:s,s:s,s:N,s:s,s:n,s:d,s:d}", "name", e->name, "doc", e->doc,
                                                            "attributes", attributes, "target", targets[e->target], "example_out",
                                                            (Py_ssize_t)e->example_out, "tolerance_f64", e->tolerance_f64,
                                                            "tolerance_f32", e->tolerance_f32)))
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *nn_optimizers(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < SG_OPTIM_COUNT; i++) {
        const sg_optim_entry *e = sg_optim_get((sg_optim_id)i);
        PyObject             *attributes = attributes_object(e->n_attributes, e->attributes);
        if (!attributes || append_stolen(list, Py_BuildValue("{s:s,s:s,s:N,s:i}", "name", e->name, "doc", e->doc, "attributes",
                                                            attributes, "n_slots", e->n_slots)))
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *nn_initializers(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < SG_INIT_COUNT; i++)
        if (append_stolen(list, Py_BuildValue("(ss)", sg_init_name((sg_init_scheme)i), sg_init_text((sg_init_scheme)i))))
            Py_CLEAR(list);
    return list;
}

/* ----------------------------------------------------------------------------------------------- attributes from Python */
static int read_number(PyObject *object, const char *name, int integer, double *number)
{
    if (integer && !PyLong_Check(object) && !PyArray_IsScalar(object, Integer)) {
        PyErr_Format(PyExc_TypeError, "%s: expected an integer, got %.100s", name, Py_TYPE(object)->tp_name);
        return -1;
    }
    *number = PyFloat_AsDouble(object);
    if (*number == -1 && PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError, "%s: expected a number, got %.100s", name, Py_TYPE(object)->tp_name);
        return -1;
    }
    return 0;
}

static int read_choice(const sg_attribute *attribute, PyObject *object, double *number)
{
    const char *text = PyUnicode_Check(object) ? PyUnicode_AsUTF8(object) : NULL;
    char        known[256];
    size_t      used = 0;
    known[0]         = 0;
    for (int i = 0; attribute->choices[i]; i++) {
        if (text && strcmp(text, attribute->choices[i]) == 0) {
            *number = i;
            return 0;
        }
        if (used < sizeof known)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", attribute->choices[i]);
    }
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_ValueError, "%s: expected one of %s, got %R", attribute->name, known, object);
    return -1;
}

static int read_attribute(const sg_attribute *attribute, PyObject *object, sg_attribute_value *value)
{
    if (object == Py_None)
        return 0;
    value->n = 1;
    if (attribute->type == SG_ATTRIBUTE_CHOICE)
        return read_choice(attribute, object, &value->v[0]);
    if (attribute->type != SG_ATTRIBUTE_INTS || PyLong_Check(object))
        return read_number(object, attribute->name, attribute->type != SG_ATTRIBUTE_REAL, &value->v[0]);
    PyObject *fast = PySequence_Fast(object, "expected a sequence of integers");
    if (!fast)
        return -1;
    Py_ssize_t n   = PySequence_Fast_GET_SIZE(fast);
    int        bad = n < 1 || n > SG_MAX_RANK;
    if (bad)
        PyErr_Format(PyExc_ValueError, "%s: expected 1 to %d integers, got %zd", attribute->name, SG_MAX_RANK, n);
    for (Py_ssize_t i = 0; !bad && i < n; i++)
        bad = read_number(PySequence_Fast_GET_ITEM(fast, i), attribute->name, 1, &value->v[i]);
    value->n = (int)n;
    Py_DECREF(fast);
    return bad ? -1 : 0;
}

/* The dictionary {name: value} of the operator, loss or optimiser called owner. */
static int read_attributes(const char *owner, int n, const sg_attribute *attributes, PyObject *dictionary, sg_attribute_value *values)
{
    PyObject  *key, *object;
    Py_ssize_t position = 0;
    if (!PyDict_Check(dictionary)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a dict of attributes, got %.100s", owner, Py_TYPE(dictionary)->tp_name);
        return -1;
    }
    while (PyDict_Next(dictionary, &position, &key, &object)) {
        int found = -1;
        for (int i = 0; i < n && found < 0; i++)
            if (PyUnicode_Check(key) && PyUnicode_CompareWithASCIIString(key, attributes[i].name) == 0)
                found = i;
        if (found < 0) {
            PyErr_Format(PyExc_ValueError, "%s has no attribute %R", owner, key);
            return -1;
        }
        if (read_attribute(&attributes[found], object, &values[found]))
            return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------- Graph */
typedef struct graph_object {
    PyObject_HEAD
    sg_graph *graph;
} graph_object;

static int read_node(PyObject *item, sg_node *node)
{
    const char *name;
    PyObject   *inputs, *attributes;
    if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "sO!O!", &name, &PyTuple_Type, &inputs, &PyDict_Type, &attributes)) {
        PyErr_Format(PyExc_TypeError, "nodes: expected tuples (operator, inputs, attributes), got %R", item);
        return -1;
    }
    const sg_op *op = sg_op_find(name, &node->op);
    if (!op) {
        PyErr_Format(PyExc_ValueError, "nodes: there is no operator called \"%s\"", name);
        return -1;
    }
    if (PyTuple_GET_SIZE(inputs) > SG_OP_MAX_INPUTS) {
        PyErr_Format(PyExc_ValueError, "%s: expected at most %d inputs, got %zd", name, SG_OP_MAX_INPUTS, PyTuple_GET_SIZE(inputs));
        return -1;
    }
    node->n_inputs = (int)PyTuple_GET_SIZE(inputs);
    for (int i = 0; i < node->n_inputs; i++) {
        node->input[i] = (int)PyLong_AsLong(PyTuple_GET_ITEM(inputs, i));
        if (node->input[i] == -1 && PyErr_Occurred())
            return -1;
    }
    return read_attributes(name, op->n_attributes, op->attributes, attributes, node->attribute);
}

static PyObject *graph_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"nodes", NULL};
    PyObject    *nodes;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O", names, &nodes))
        return NULL;
    PyObject *fast = PySequence_Fast(nodes, "nodes: expected a sequence");
    if (!fast)
        return NULL;
    Py_ssize_t    n     = PySequence_Fast_GET_SIZE(fast);
    sg_node      *list  = n <= SG_GRAPH_MAX_NODES ? PyMem_Calloc((size_t)n + 1, sizeof *list) : NULL;
    graph_object *self  = NULL;
    sg_graph     *graph = NULL;
    sg_error      error = {0};
    if (!list) {
        PyErr_Format(PyExc_ValueError, "nodes: expected at most %d, got %zd", SG_GRAPH_MAX_NODES, n);
        goto done;
    }
    for (Py_ssize_t i = 0; i < n; i++)
        if (read_node(PySequence_Fast_GET_ITEM(fast, i), &list[i]))
            goto done;
    sg_status status = sg_graph_create((int)n, list, &graph, &error);
    if (status != SG_OK) {
        sg_raise(status, &error);
        goto done;
    }
    self = (graph_object *)type->tp_alloc(type, 0);
    if (self)
        self->graph = graph;
    else
        sg_graph_free(graph);
done:
    PyMem_Free(list);
    Py_DECREF(fast);
    return (PyObject *)self;
}

static void graph_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    sg_graph_free(((graph_object *)self)->graph);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *node_object(const sg_graph *graph, int k)
{
    const sg_op_site *site       = sg_graph_site(graph, k);
    const sg_node    *node       = sg_graph_node(graph, k);
    PyObject         *inputs     = PyTuple_New(node->n_inputs);
    PyObject         *attributes = PyDict_New(), *parameters = PyList_New(0), *kinds = PyList_New(0), *result = NULL;
    static const char *const kind_names[] = {"trained", "constant", "statistic"};
    if (!inputs || !attributes || !parameters || !kinds)
        goto done;
    for (int i = 0; i < node->n_inputs; i++) {
        PyObject *item = PyLong_FromLong(node->input[i]);
        if (!item)
            goto done;
        PyTuple_SET_ITEM(inputs, i, item);
    }
    for (int i = 0; i < site->op->n_attributes; i++) {
        PyObject *value = value_object(&site->op->attributes[i], &site->attribute[i]);
        int       bad   = !value || PyDict_SetItemString(attributes, site->op->attributes[i].name, value) < 0;
        Py_XDECREF(value);
        if (bad)
            goto done;
    }
    for (int i = 0; i < site->n_parameters; i++)
        if (append_stolen(parameters,
                          Py_BuildValue("(snN)", site->parameter[i].name, (Py_ssize_t)(sg_graph_offset(graph, k) + site->parameter[i].offset),
                                        shape_object(&site->parameter[i].shape))))
            goto done;
    for (int i = 0; i < site->n_parameters; i++)
        if (append_stolen(kinds, PyUnicode_FromString(kind_names[site->parameter[i].kind])))
            goto done;
    result = Py_BuildValue("{s:s,s:O,s:O,s:N,s:O,s:O,s:d}", "op", site->op->name, "inputs", inputs, "attributes", attributes, "shape",
                           shape_object(&site->out), "parameters", parameters, "kinds", kinds, "flops", site->flops);
done:
    Py_XDECREF(inputs);
    Py_XDECREF(attributes);
    Py_XDECREF(parameters);
    Py_XDECREF(kinds);
    return result;
}

static PyObject *graph_nodes(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    const sg_graph *graph = ((graph_object *)self)->graph;
    PyObject       *list  = PyList_New(0);
    for (int k = 0; list && k < sg_graph_n_nodes(graph); k++)
        if (append_stolen(list, node_object(graph, k)))
            Py_CLEAR(list);
    return list;
}

/* float32 or float64 as the parameters are; -1 with an exception. */
static int real_type(PyObject *parameters)
{
    int type = PyArray_Check(parameters) ? PyArray_TYPE((PyArrayObject *)parameters) : NPY_NOTYPE;
    if (type != NPY_FLOAT && type != NPY_DOUBLE) {
        PyErr_Format(PyExc_TypeError, "parameters: expected a float32 or float64 array, got %.100s", Py_TYPE(parameters)->tp_name);
        return -1;
    }
    return type;
}

static int bits_of(int type) { return type == NPY_FLOAT ? 32 : 64; }

static void graph_dims(const sg_graph *graph, sg_dims *dims)
{
    sg_dim_set(dims, "n_parameters", (npy_intp)sg_graph_n_parameters(graph));
    sg_dim_set(dims, "n_in", (npy_intp)sg_graph_n_in(graph));
    sg_dim_set(dims, "n_out", (npy_intp)sg_graph_n_out(graph));
}

/* training: None, or (seed, step). */
static int read_random(PyObject *training, sg_op_random *random)
{
    unsigned long long seed = 0, step = 0;
    if (training != Py_None && (!PyTuple_Check(training) || !PyArg_ParseTuple(training, "KK", &seed, &step))) {
        PyErr_SetString(PyExc_TypeError, "training: expected None or (seed, step)");
        return -1;
    }
    *random = (sg_op_random){.seed = seed, .step = step};
    return 0;
}

static PyObject *graph_forward(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char    *names[] = {"parameters", "x", "out", "num_threads", "training", NULL};
    const sg_graph *graph   = ((graph_object *)self)->graph;
    PyObject       *parameters_object, *x_object, *out_object = Py_None, *training = Py_None;
    int             num_threads = 0;
    sg_op_random    random;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO|OiO", names, &parameters_object, &x_object, &out_object, &num_threads,
                                     &training) ||
        read_random(training, &random))
        return NULL;
    int            type = real_type(parameters_object);
    sg_dims        dims = {0};
    PyArrayObject *p = NULL, *x = NULL, *y = NULL;
    graph_dims(graph, &dims);
    if (type < 0 || !(p = sg_array_in(&dims, parameters_object, "parameters", type, "n_parameters", 0)) ||
        !(x = sg_array_in(&dims, x_object, "x", type, "n n_in", 0)) ||
        !(y = sg_array_out(&dims, out_object, "out", type, "n n_out", 0)) || sg_array_separate(x, "x", y, "out") ||
        sg_array_separate(p, "parameters", y, "out")) {
        Py_CLEAR(y);
        goto done;
    }
    sg_error  error = {0};
    sg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = sg_graph_forward(graph, bits_of(type), (size_t)sg_dim(&dims, "n"), PyArray_DATA(p), PyArray_DATA(x), PyArray_DATA(y),
                              training == Py_None ? NULL : &random, num_threads, &error);
    Py_END_ALLOW_THREADS
    if (status != SG_OK) {
        Py_CLEAR(y);
        sg_raise(status, &error);
    }
done:
    Py_XDECREF(p);
    Py_XDECREF(x);
    return (PyObject *)y;
}

static PyObject *graph_backward(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char    *names[] = {"parameters", "x", "d_y", "want_parameters", "num_threads", "training", NULL};
    const sg_graph *graph   = ((graph_object *)self)->graph;
    PyObject       *parameters_object, *x_object, *d_y_object, *training = Py_None, *result = NULL;
    int             want_parameters = 1, num_threads = 0;
    sg_op_random    random;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOO|piO", names, &parameters_object, &x_object, &d_y_object,
                                     &want_parameters, &num_threads, &training) ||
        read_random(training, &random))
        return NULL;
    int            type = real_type(parameters_object);
    sg_dims        dims = {0};
    PyArrayObject *p = NULL, *x = NULL, *d_y = NULL, *d_p = NULL, *d_x = NULL;
    graph_dims(graph, &dims);
    if (type < 0 || !(p = sg_array_in(&dims, parameters_object, "parameters", type, "n_parameters", 0)) ||
        !(x = sg_array_in(&dims, x_object, "x", type, "n n_in", 0)) ||
        !(d_y = sg_array_in(&dims, d_y_object, "d_y", type, "n n_out", 0)) ||
        (want_parameters && !(d_p = sg_array_out(&dims, Py_None, "d_parameters", type, "n_parameters", 0))) ||
        !(d_x = sg_array_out(&dims, Py_None, "d_x", type, "n n_in", 0)))
        goto done;
    sg_error  error = {0};
    sg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = sg_graph_backward(graph, bits_of(type), (size_t)sg_dim(&dims, "n"), PyArray_DATA(p), PyArray_DATA(x), PyArray_DATA(d_y),
                               d_p ? PyArray_DATA(d_p) : NULL, PyArray_DATA(d_x), training == Py_None ? NULL : &random, num_threads,
                               &error);
    Py_END_ALLOW_THREADS
    result = status == SG_OK ? PyTuple_Pack(2, d_p ? (PyObject *)d_p : Py_None, d_x) : sg_raise(status, &error);
done:
    Py_XDECREF(p);
    Py_XDECREF(x);
    Py_XDECREF(d_y);
    Py_XDECREF(d_p);
    Py_XDECREF(d_x);
    return result;
}

static PyObject *graph_tangent(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char    *names[] = {"parameters", "x", "t_x", "num_threads", NULL};
    const sg_graph *graph   = ((graph_object *)self)->graph;
    PyObject       *parameters_object, *x_object, *t_x_object, *result = NULL;
    int             num_threads = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOO|i", names, &parameters_object, &x_object, &t_x_object, &num_threads))
        return NULL;
    int            type = real_type(parameters_object);
    sg_dims        dims = {0};
    PyArrayObject *p = NULL, *x = NULL, *t_x = NULL, *y = NULL, *t_y = NULL;
    graph_dims(graph, &dims);
    if (type < 0 || !(p = sg_array_in(&dims, parameters_object, "parameters", type, "n_parameters", 0)) ||
        !(x = sg_array_in(&dims, x_object, "x", type, "n n_in", 0)) ||
        !(t_x = sg_array_in(&dims, t_x_object, "t_x", type, "n n_in", 0)) ||
        !(y = sg_array_out(&dims, Py_None, "y", type, "n n_out", 0)) ||
        !(t_y = sg_array_out(&dims, Py_None, "t_y", type, "n n_out", 0)))
        goto done;
    sg_error  error = {0};
    sg_status status;
    Py_BEGIN_ALLOW_THREADS
    status = sg_graph_tangent(graph, bits_of(type), (size_t)sg_dim(&dims, "n"), PyArray_DATA(p), PyArray_DATA(x), PyArray_DATA(t_x),
                              PyArray_DATA(y), PyArray_DATA(t_y), num_threads, &error);
    Py_END_ALLOW_THREADS
    result = status == SG_OK ? PyTuple_Pack(2, y, t_y) : sg_raise(status, &error);
done:
    Py_XDECREF(p);
    Py_XDECREF(x);
    Py_XDECREF(t_x);
    Py_XDECREF(y);
    Py_XDECREF(t_y);
    return result;
}

static PyObject *graph_initialise(PyObject *self, PyObject *arguments)
{
    const sg_graph    *graph = ((graph_object *)self)->graph;
    const char        *name;
    unsigned long long seed;
    PyObject          *parameters_object;
    if (!PyArg_ParseTuple(arguments, "OsK", &parameters_object, &name, &seed))
        return NULL;
    int scheme = 0, type = real_type(parameters_object);
    if (type < 0)
        return NULL;
    while (scheme < SG_INIT_COUNT && strcmp(name, sg_init_name((sg_init_scheme)scheme)) != 0)
        scheme++;
    if (scheme == SG_INIT_COUNT)
        return PyErr_Format(PyExc_ValueError, "initializer: there is none called \"%s\"", name);
    sg_dims dims = {0};
    graph_dims(graph, &dims);
    PyArrayObject *p = sg_array_out(&dims, parameters_object, "parameters", type, "n_parameters", 0);
    if (!p)
        return NULL;
    sg_graph_initialise(graph, bits_of(type), (sg_init_scheme)scheme, seed, PyArray_DATA(p));
    Py_DECREF(p);
    Py_RETURN_NONE;
}

static PyObject *graph_get(PyObject *self, void *what)
{
    const sg_graph *graph = ((graph_object *)self)->graph;
    switch ((intptr_t)what) {
    case 0: return PyLong_FromSize_t(sg_graph_n_in(graph));
    case 1: return PyLong_FromSize_t(sg_graph_n_out(graph));
    case 2: return PyLong_FromSize_t(sg_graph_n_parameters(graph));
    default: return PyFloat_FromDouble(sg_graph_flops(graph));
    }
}

static PyGetSetDef graph_getset[] = {
    {"n_in", graph_get, NULL, "elements of one input row", (void *)0},
    {"n_out", graph_get, NULL, "elements of one output row", (void *)1},
    {"n_parameters", graph_get, NULL, "number of parameters", (void *)2},
    {"flops", graph_get, NULL, "floating-point operations of one forward row", (void *)3},
    {0},
};

static PyMethodDef graph_methods[] = {
    {"nodes", graph_nodes, METH_NOARGS, "nodes() -> list of dict\n\nOperators with attributes, shapes and parameters (name, offset, shape)."},
    {"forward", SG_METHOD(graph_forward), METH_VARARGS | METH_KEYWORDS, "forward(parameters, x, out=None, num_threads=0, training=None) -> y\n\ntraining: (seed, step) to run as in training."},
    {"backward", SG_METHOD(graph_backward), METH_VARARGS | METH_KEYWORDS,
     "backward(parameters, x, d_y, want_parameters=True, num_threads=0, training=None) -> (d_parameters, d_x)\n\n"
     "Gradients of sum(d_y * y)."},
    {"tangent", SG_METHOD(graph_tangent), METH_VARARGS | METH_KEYWORDS,
     "tangent(parameters, x, t_x, num_threads=0) -> (y, t_y)\n\nDerivative of y along t_x."},
    {"initialise", graph_initialise, METH_VARARGS, "initialise(parameters, initializer, seed)\n\nFill parameters with start values."},
    {0},
};

static PyType_Slot graph_slots[] = {
    {Py_tp_doc, "Graph(nodes)\n\nnodes: sequence of (operator, inputs, attributes); the last node is the output."},
    {Py_tp_new, graph_new},
    {Py_tp_dealloc, graph_dealloc},
    {Py_tp_methods, graph_methods},
    {Py_tp_getset, graph_getset},
    {0, NULL},
};
static PyType_Spec graph_spec = {"simgraft._core.Graph", sizeof(graph_object), 0, Py_TPFLAGS_DEFAULT, graph_slots};

static PyTypeObject *graph_type; /* lives as long as the process, like the exceptions */

const sg_graph *sg_bind_graph_of(PyObject *object, const char *name)
{
    if (!PyObject_TypeCheck(object, graph_type)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a Graph of the core, got %.100s", name, Py_TYPE(object)->tp_name);
        return NULL;
    }
    return ((graph_object *)object)->graph;
}

/* ----------------------------------------------------------------------------------------------------------- Trainer */
typedef struct trainer_object {
    PyObject_HEAD
    PyObject      *graph;
    sg_trainer    *trainer;
    sg_train_state state;
    int            type;        /* NPY_FLOAT or NPY_DOUBLE */
    int            n_slots;
    npy_intp       n_target;
    int            busy;        /* a call is running without the GIL */
    PyArrayObject *parameters, *slot[SG_OPTIM_MAX_SLOTS], *ema;
} trainer_object;

static void trainer_dealloc(PyObject *object)
{
    trainer_object *self = (trainer_object *)object;
    PyTypeObject   *type = Py_TYPE(object);
    sg_trainer_free(self->trainer);
    Py_XDECREF(self->graph);
    Py_XDECREF(self->parameters);
    Py_XDECREF(self->ema);
    for (int i = 0; i < SG_OPTIM_MAX_SLOTS; i++)
        Py_XDECREF(self->slot[i]);
    type->tp_free(object);
    Py_DECREF(type);
}

static int read_loss(const char *name, PyObject *attributes, sg_loss *loss)
{
    const sg_loss_entry *entry = sg_loss_find(name, &loss->id);
    if (!entry) {
        PyErr_Format(PyExc_ValueError, "loss: there is none called \"%s\"", name);
        return -1;
    }
    return read_attributes(name, entry->n_attributes, entry->attributes, attributes, loss->attribute);
}

/* The loss of a Trainer, and the arrays its terms point to. */
typedef struct loss_arguments {
    Py_ssize_t      n;
    sg_loss_term   *term;
    PyArrayObject **weight;
} loss_arguments;

static void drop_loss(loss_arguments *loss)
{
    for (Py_ssize_t i = 0; loss->weight && i < loss->n; i++)
        Py_XDECREF(loss->weight[i]);
    PyMem_Free(loss->weight);
    PyMem_Free(loss->term);
}

static int read_weight(PyObject *object, int type, sg_loss_term *term, PyArrayObject **weight)
{
    sg_error  error  = {0};
    sg_dims   dims   = {0};
    sg_loss   loss   = term->loss;
    sg_status status = sg_loss_resolve(&loss, &error);
    if (status != SG_OK) {
        sg_raise(status, &error);
        return -1;
    }
    sg_dim_set(&dims, loss.n_weights == loss.n_out ? "n_out" : "n_weights", (npy_intp)loss.n_weights);
    *weight = sg_array_in(&dims, object, "column_weight", type, loss.n_weights == loss.n_out ? "n_out" : "n_weights",
                          SG_OPTIONAL | SG_FINITE);
    if (!*weight && PyErr_Occurred())
        return -1;
    term->column_weight = *weight ? PyArray_DATA(*weight) : NULL;
    return 0;
}

static size_t size_or_natural(Py_ssize_t n) { return n < 0 ? SG_LOSS_NATURAL : (size_t)n; }

/* ("mse", {}) on whole rows, or a list of (name, attributes, column_weight, first_out, n_out, first_target, n_target, weight). */
static int read_terms(PyObject *object, PyObject *whole_weight, size_t n_out, Py_ssize_t n_target, int type, loss_arguments *loss)
{
    const char *name;
    PyObject   *attributes;
    const int   single = PyTuple_Check(object);
    if (!single && !PyList_Check(object)) {
        PyErr_Format(PyExc_TypeError, "loss: expected (name, attributes) or a list of terms, got %.100s", Py_TYPE(object)->tp_name);
        return -1;
    }
    loss->n      = single ? 1 : PyList_GET_SIZE(object);
    loss->term   = PyMem_Calloc((size_t)loss->n + 1, sizeof *loss->term);
    loss->weight = PyMem_Calloc((size_t)loss->n + 1, sizeof *loss->weight);
    if (!loss->term || !loss->weight) {
        PyErr_NoMemory();
        return -1;
    }
    if (single) {
        if (!PyArg_ParseTuple(object, "sO", &name, &attributes) || read_loss(name, attributes, &loss->term->loss))
            return -1;
        loss->term->loss.n_out    = n_out;
        loss->term->loss.n_target = size_or_natural(n_target);
        loss->term->weight        = 1;
        return read_weight(whole_weight, type, loss->term, loss->weight);
    }
    for (Py_ssize_t i = 0; i < loss->n; i++) {
        sg_loss_term *term = &loss->term[i];
        PyObject     *weight, *item = PyList_GET_ITEM(object, i);
        Py_ssize_t    first_out, columns, first_target, targets;
        if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "sOOnnnnd", &name, &attributes, &weight, &first_out, &columns, &first_target,
                                                      &targets, &term->weight) ||
            read_loss(name, attributes, &term->loss))
            return -1;
        if (first_out < 0 || columns < 0 || first_target < 0) {
            PyErr_Format(PyExc_ValueError, "loss: term %zd: expected columns from 0 on", i);
            return -1;
        }
        term->first_out     = (size_t)first_out;
        term->loss.n_out    = (size_t)columns;
        term->first_target  = (size_t)first_target;
        term->loss.n_target = size_or_natural(targets);
        if (read_weight(weight, type, term, &loss->weight[i]))
            return -1;
    }
    return 0;
}

/* What a loss makes of its columns. */
static PyObject *nn_loss_sizes(PyObject *self, PyObject *arguments)
{
    (void)self;
    const char *name;
    PyObject   *attributes;
    Py_ssize_t  n_out, n_target = -1;
    sg_loss     loss  = {0};
    sg_error    error = {0};
    if (!PyArg_ParseTuple(arguments, "sOn|n", &name, &attributes, &n_out, &n_target) || read_loss(name, attributes, &loss))
        return NULL;
    loss.n_out       = n_out < 0 ? 0 : (size_t)n_out;
    loss.n_target    = size_or_natural(n_target);
    sg_status status = sg_loss_resolve(&loss, &error);
    if (status != SG_OK)
        return sg_raise(status, &error);
    return Py_BuildValue("{s:n,s:n,s:n,s:n}", "n_target", (Py_ssize_t)loss.n_target, "n_values", (Py_ssize_t)loss.n_values, "n_weights",
                         (Py_ssize_t)loss.n_weights, "rows_per_group", (Py_ssize_t)loss.rows_per_group);
}

static int read_optim(PyObject *pair, sg_optim *optim)
{
    const char *name;
    PyObject   *attributes;
    if (!PyTuple_Check(pair) || !PyArg_ParseTuple(pair, "sO", &name, &attributes))
        return -1;
    const sg_optim_entry *entry = sg_optim_find(name, &optim->id);
    if (!entry) {
        PyErr_Format(PyExc_ValueError, "optimizer: there is none called \"%s\"", name);
        return -1;
    }
    return read_attributes(name, entry->n_attributes, entry->attributes, attributes, optim->attribute);
}

static PyArrayObject *zeros(npy_intp n, int type) { return (PyArrayObject *)PyArray_ZEROS(1, &n, type, 0); }

/* The arrays the trainer changes: the caller's parameters, and state that starts at zero. */
static int make_state(trainer_object *self, const sg_graph *graph, PyObject *parameters, const sg_train_options *options)
{
    sg_dims dims = {0};
    graph_dims(graph, &dims);
    npy_intp n       = (npy_intp)sg_graph_n_parameters(graph);
    self->parameters = sg_array_out(&dims, parameters, "parameters", self->type, "n_parameters", 0);
    if (!self->parameters)
        return -1;
    self->state.parameters = PyArray_DATA(self->parameters);
    self->n_slots          = sg_optim_get(options->optim.id)->n_slots;
    for (int i = 0; i < self->n_slots; i++) {
        if (!(self->slot[i] = zeros(n, self->type)))
            return -1;
        self->state.slot[i] = PyArray_DATA(self->slot[i]);
    }
    if (options->ema_decay > 0) {
        self->ema = (PyArrayObject *)PyArray_NewCopy(self->parameters, NPY_CORDER);
        if (!self->ema)
            return -1;
        self->state.ema = PyArray_DATA(self->ema);
    }
    return 0;
}

static int make_trainer(trainer_object *self, PyObject *parameters, PyObject *loss_object, PyObject *weight, Py_ssize_t n_target,
                        sg_train_options *options)
{
    const sg_graph *graph = ((graph_object *)self->graph)->graph;
    loss_arguments  loss  = {0};
    sg_error        error = {0};
    int             bad   = read_terms(loss_object, weight, sg_graph_n_out(graph), n_target, self->type, &loss) ||
              make_state(self, graph, parameters, options);
    if (!bad) {
        options->terms    = loss.term;
        options->n_terms  = (size_t)loss.n;
        options->n_target = size_or_natural(n_target);
        if (n_target < 0) { /* what one loss on whole rows takes, else as many as there are outputs */
            sg_loss one       = loss.n == 1 ? loss.term->loss : (sg_loss){0};
            options->n_target = PyTuple_Check(loss_object) && sg_loss_resolve(&one, &error) == SG_OK ? one.n_target : sg_graph_n_out(graph);
        }
        sg_status status = sg_trainer_create(graph, options, &self->trainer, &error);
        bad              = status != SG_OK;
        if (bad)
            sg_raise(status, &error);
    }
    drop_loss(&loss);
    self->n_target = (npy_intp)options->n_target;
    return bad ? -1 : 0;
}

static PyObject *trainer_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"graph", "parameters", "loss", "optimizer", "column_weight", "clip_norm", "clip_value", "ema",
                            "num_threads", "seed", "n_target", NULL};
    PyObject        *graph_arg, *parameters, *loss, *optimizer, *weight = Py_None;
    Py_ssize_t       n_target = -1;
    sg_train_options options  = {0};
    unsigned long long seed   = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O!OOO|OdddiKn", names, graph_type, &graph_arg, &parameters, &loss, &optimizer,
                                     &weight, &options.clip_norm, &options.clip_value, &options.ema_decay, &options.num_threads,
                                     &seed, &n_target))
        return NULL;
    options.seed = seed;
    if (read_optim(optimizer, &options.optim))
        return NULL;
    int kind = real_type(parameters);
    if (kind < 0)
        return NULL;
    options.bits         = bits_of(kind);
    trainer_object *self = (trainer_object *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->type  = kind;
    self->graph = Py_NewRef(graph_arg);
    if (make_trainer(self, parameters, loss, weight, n_target, &options))
        Py_CLEAR(self);
    return (PyObject *)self;
}

/* The data arguments of one call. */
typedef struct batch_arrays {
    PyArrayObject *x, *y, *weight, *order, *outside;
    sg_train_rows  rows;
} batch_arrays;

static void drop_batch(batch_arrays *b)
{
    Py_XDECREF(b->x);
    Py_XDECREF(b->y);
    Py_XDECREF(b->weight);
    Py_XDECREF(b->order);
    Py_XDECREF(b->outside);
}

static int read_batch(trainer_object *self, PyObject *x, PyObject *y, PyObject *weight, PyObject *order, PyObject *outside,
                      batch_arrays *b)
{
    sg_dims dims = {0};
    graph_dims(((graph_object *)self->graph)->graph, &dims);
    *b = (batch_arrays){0};
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "this Trainer is running in another thread");
        return -1;
    }
    /* The widths have the same name where they are the same, as for most losses. */
    const char *y_shape = self->n_target == sg_dim(&dims, "n_out") ? "n n_out" : "n n_target";
    sg_dim_set(&dims, "n_target", self->n_target);
    if (!(b->x = sg_array_in(&dims, x, "x", self->type, "n n_in", 0)) || !(b->y = sg_array_in(&dims, y, "y", self->type, y_shape, 0)))
        goto bad;
    if (!(b->weight = sg_array_in(&dims, weight, "weight", self->type, "n", SG_OPTIONAL)) && PyErr_Occurred())
        goto bad;
    if (!(b->order = sg_array_in(&dims, order, "order", NPY_INT64, "n_rows", SG_OPTIONAL)) && PyErr_Occurred())
        goto bad;
    if (!(b->outside = sg_array_in(&dims, outside, "d_prediction", self->type, b->order ? "n_rows n_out" : "n n_out", SG_OPTIONAL)) &&
        PyErr_Occurred())
        goto bad;
    b->rows = (sg_train_rows){(size_t)sg_dim(&dims, b->order ? "n_rows" : "n"), PyArray_DATA(b->x), PyArray_DATA(b->y),
                              b->weight ? PyArray_DATA(b->weight) : NULL, b->order ? PyArray_DATA(b->order) : NULL,
                              b->outside ? PyArray_DATA(b->outside) : NULL};
    for (size_t i = 0; b->order && i < b->rows.n_rows; i++)
        if (b->rows.order[i] < 0 || b->rows.order[i] >= sg_dim(&dims, "n")) {
            PyErr_Format(PyExc_ValueError, "order[%zd] = %lld is not a row of x", (Py_ssize_t)i, (long long)b->rows.order[i]);
            goto bad;
        }
    return 0;
bad:
    drop_batch(b);
    return -1;
}

static PyObject *trainer_epoch(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    static char    *names[] = {"x", "y", "weight", "order", "batch_size", "rate", "progress", NULL};
    trainer_object *self    = (trainer_object *)object;
    PyObject       *x, *y, *weight, *order, *rate_object, *progress = Py_None;
    Py_ssize_t      batch_size;
    batch_arrays    b;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOOOnO|O", names, &x, &y, &weight, &order, &batch_size, &rate_object, &progress))
        return NULL;
    if (batch_size < 1)
        return PyErr_Format(PyExc_ValueError, "batch_size: expected at least 1, got %zd", batch_size);
    if (read_batch(self, x, y, weight, order, Py_None, &b))
        return NULL;
    sg_dims dims = {0};
    sg_dim_set(&dims, "n_batches", (npy_intp)((b.rows.n_rows + (size_t)batch_size - 1) / (size_t)batch_size));
    PyArrayObject *rate = sg_array_in(&dims, rate_object, "rate", NPY_DOUBLE, "n_batches", SG_FINITE);
    if (!rate) {
        drop_batch(&b);
        return NULL;
    }
    double    loss;
    sg_error  error = {0};
    sg_poll   poll  = sg_python_poll(progress);
    sg_status status;
    self->busy = 1;
    Py_BEGIN_ALLOW_THREADS
    status = sg_trainer_epoch(self->trainer, &self->state, &b.rows, (size_t)batch_size, PyArray_DATA(rate), &poll, &loss, &error);
    Py_END_ALLOW_THREADS
    self->busy = 0;
    Py_DECREF(rate);
    drop_batch(&b);
    return status == SG_OK ? PyFloat_FromDouble(loss) : sg_raise(status, &error);
}

static PyObject *trainer_evaluate(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    static char    *names[] = {"x", "y", "weight", "order", "parameters", "progress", NULL};
    trainer_object *self    = (trainer_object *)object;
    PyObject       *x, *y, *weight = Py_None, *order = Py_None, *parameters = Py_None, *progress = Py_None, *result = NULL;
    batch_arrays    b;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO|OOOO", names, &x, &y, &weight, &order, &parameters, &progress) ||
        read_batch(self, x, y, weight, order, Py_None, &b))
        return NULL;
    sg_dims dims = {0};
    sg_dim_set(&dims, "n_values", (npy_intp)sg_loss_terms_n_values(sg_trainer_loss(self->trainer)));
    graph_dims(((graph_object *)self->graph)->graph, &dims);
    PyArrayObject *p = sg_array_in(&dims, parameters, "parameters", self->type, "n_parameters", SG_OPTIONAL);
    PyArrayObject *columns = !p && PyErr_Occurred() ? NULL : sg_array_out(&dims, Py_None, "columns", NPY_DOUBLE, "n_values", 0);
    if (columns) {
        double    loss;
        sg_error  error = {0};
        sg_poll   poll  = sg_python_poll(progress);
        sg_status status;
        self->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        status = sg_trainer_evaluate(self->trainer, p ? PyArray_DATA(p) : self->state.parameters, &b.rows, &poll, &loss,
                                     PyArray_DATA(columns), &error);
        Py_END_ALLOW_THREADS
        self->busy = 0;
        result     = status == SG_OK ? Py_BuildValue("(dO)", loss, columns) : sg_raise(status, &error);
    }
    Py_XDECREF(columns);
    Py_XDECREF(p);
    drop_batch(&b);
    return result;
}

static PyObject *trainer_gradient(PyObject *object, PyObject *arguments, PyObject *keywords)
{
    static char    *names[] = {"x", "y", "weight", "order", "d_prediction", NULL};
    trainer_object *self    = (trainer_object *)object;
    PyObject       *x, *y, *weight = Py_None, *order = Py_None, *outside = Py_None, *result = NULL;
    batch_arrays    b;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO|OOO", names, &x, &y, &weight, &order, &outside) ||
        read_batch(self, x, y, weight, order, outside, &b))
        return NULL;
    double    loss;
    void     *gradient;
    sg_error  error = {0};
    sg_poll   poll  = sg_python_poll(Py_None);
    sg_status status;
    self->busy = 1;
    Py_BEGIN_ALLOW_THREADS
    status = sg_trainer_gradient(self->trainer, self->state.parameters, self->state.step, &b.rows, &poll, &loss, &gradient, &error);
    Py_END_ALLOW_THREADS
    self->busy = 0;
    drop_batch(&b);
    if (status != SG_OK)
        return sg_raise(status, &error);
    PyArrayObject *copy = zeros(PyArray_SIZE(self->parameters), self->type);
    if (copy) {
        memcpy(PyArray_DATA(copy), gradient, (size_t)PyArray_NBYTES(copy));
        result = Py_BuildValue("(dN)", loss, copy);
    }
    return result;
}

static PyObject *trainer_update(PyObject *object, PyObject *arguments)
{
    trainer_object *self = (trainer_object *)object;
    PyObject       *gradient_object, *observed_object = Py_None;
    double          rate;
    sg_dims         dims = {0};
    if (!PyArg_ParseTuple(arguments, "Od|O", &gradient_object, &rate, &observed_object))
        return NULL;
    if (self->busy)
        return PyErr_Format(PyExc_RuntimeError, "this Trainer is running in another thread");
    graph_dims(((graph_object *)self->graph)->graph, &dims);
    size_t n_observed;
    void  *observed = sg_trainer_observed(self->trainer, &n_observed);
    sg_dim_set(&dims, "n_observed", (npy_intp)n_observed);
    PyArrayObject *gradient = sg_array_in(&dims, gradient_object, "gradient", self->type, "n_parameters", 0);
    if (!gradient)
        return NULL;
    PyArrayObject *statistics = sg_array_in(&dims, observed_object, "observed", self->type, "n_observed", SG_OPTIONAL);
    if (!statistics && PyErr_Occurred()) {
        Py_DECREF(gradient);
        return NULL;
    }
    if (statistics && n_observed)
        memcpy(observed, PyArray_DATA(statistics), (size_t)PyArray_NBYTES(statistics));
    Py_XDECREF(statistics);
    self->busy = 1;
    Py_BEGIN_ALLOW_THREADS
    sg_trainer_update(self->trainer, &self->state, PyArray_DATA(gradient), rate);
    Py_END_ALLOW_THREADS
    self->busy = 0;
    Py_DECREF(gradient);
    Py_RETURN_NONE;
}

static PyObject *trainer_get(PyObject *object, void *what)
{
    trainer_object *self = (trainer_object *)object;
    switch ((intptr_t)what) {
    case 0: return Py_NewRef((PyObject *)self->parameters);
    case 1: return self->ema ? Py_NewRef((PyObject *)self->ema) : Py_NewRef(Py_None);
    case 2: return PyLong_FromLongLong(self->state.step);
    case 3: return PyLong_FromSize_t(sg_trainer_chunk_rows(self->trainer));
    case 4: {
        size_t         n;
        void          *observed = sg_trainer_observed(self->trainer, &n);
        PyArrayObject *copy     = zeros((npy_intp)n, self->type);
        if (copy && n)
            memcpy(PyArray_DATA(copy), observed, (size_t)PyArray_NBYTES(copy));
        return (PyObject *)copy;
    }
    default: break;
    }
    PyObject *slots = PyTuple_New(self->n_slots);
    for (int i = 0; slots && i < self->n_slots; i++)
        PyTuple_SET_ITEM(slots, i, Py_NewRef((PyObject *)self->slot[i]));
    return slots;
}

static int trainer_set_step(PyObject *object, PyObject *value, void *ignored)
{
    (void)ignored;
    long long step = value ? PyLong_AsLongLong(value) : -1;
    if (step < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "step: expected an integer >= 0");
        return -1;
    }
    ((trainer_object *)object)->state.step = step;
    return 0;
}

static PyGetSetDef trainer_getset[] = {
    {"parameters", trainer_get, NULL, "flat parameter vector, the caller's array", (void *)0},
    {"ema", trainer_get, NULL, "moving average of the parameters or None", (void *)1},
    {"step", trainer_get, trainer_set_step, "number of steps done", (void *)2},
    {"chunk_rows", trainer_get, NULL, "rows that are taken through the network at once", (void *)3},
    {"observed", trainer_get, NULL, "what the last gradient observed for statistics and constants among the parameters", (void *)4},
    {"slots", trainer_get, NULL, "state vectors of the optimizer", (void *)5},
    {0},
};

static PyMethodDef trainer_methods[] = {
    {"epoch", SG_METHOD(trainer_epoch), METH_VARARGS | METH_KEYWORDS,
     "epoch(x, y, weight, order, batch_size, rate, progress=None) -> loss\n\nOne pass over the rows in batches; rate has one value per batch."},
    {"evaluate", SG_METHOD(trainer_evaluate), METH_VARARGS | METH_KEYWORDS,
     "evaluate(x, y, weight=None, order=None, parameters=None, progress=None) -> (loss, loss per column)"},
    {"gradient", SG_METHOD(trainer_gradient), METH_VARARGS | METH_KEYWORDS,
     "gradient(x, y, weight=None, order=None, d_prediction=None) -> (loss, gradient)\n\n"
     "d_prediction (rows of the batch, n_out): gradient of a loss computed elsewhere, added to that of the terms."},
    {"update", trainer_update, METH_VARARGS, "update(gradient, rate, observed=None)\n\nOne step of the optimizer with this gradient, of statistics with what was observed."},
    {0},
};

static PyType_Slot trainer_slots[] = {
    {Py_tp_doc, "Trainer(graph, parameters, loss, optimizer, column_weight=None, clip_norm=0, clip_value=0, ema=0, num_threads=0, seed=0, n_target=-1)\n\n"
                "loss: (name, attributes) on whole rows, or a list of terms (name, attributes, column_weight, first_out, n_out, "
                "first_target, n_target, weight)."},
    {Py_tp_new, trainer_new},
    {Py_tp_dealloc, trainer_dealloc},
    {Py_tp_methods, trainer_methods},
    {Py_tp_getset, trainer_getset},
    {0, NULL},
};
static PyType_Spec trainer_spec = {"simgraft._core.Trainer", sizeof(trainer_object), 0, Py_TPFLAGS_DEFAULT, trainer_slots};

static PyObject *shuffle(PyObject *self, PyObject *arguments)
{
    (void)self;
    unsigned long long seed, epoch;
    Py_ssize_t         n, group = 1;
    if (!PyArg_ParseTuple(arguments, "KKn|n", &seed, &epoch, &n, &group))
        return NULL;
    if (n < 0 || group < 1 || n % group)
        return PyErr_Format(PyExc_ValueError, "n: expected a multiple of the group size %zd, got %zd", group, n);
    npy_intp  size  = n;
    PyObject *order = PyArray_SimpleNew(1, &size, NPY_INT64);
    if (order)
        sg_train_shuffle(seed, epoch, (size_t)n, (size_t)group, PyArray_DATA((PyArrayObject *)order));
    return order;
}

static PyMethodDef methods[] = {
    {"nn_ops", nn_ops, METH_NOARGS, "nn_ops() -> list of dict\n\nThe operator table."},
    {"nn_op_example", nn_op_example, METH_VARARGS,
     "nn_op_example(name, seed) -> (input shapes, attributes)\n\nA small random case of an operator."},
    {"nn_losses", nn_losses, METH_NOARGS, "nn_losses() -> list of dict"},
    {"nn_loss_sizes", nn_loss_sizes, METH_VARARGS,
     "nn_loss_sizes(name, attributes, n_out, n_target=-1) -> dict\n\nColumns of the target, values per row, column weights, rows per group."},
    {"nn_optimizers", nn_optimizers, METH_NOARGS, "nn_optimizers() -> list of dict"},
    {"nn_initializers", nn_initializers, METH_NOARGS, "nn_initializers() -> list of (name, text)"},
    {"nn_shuffle", shuffle, METH_VARARGS, "nn_shuffle(seed, epoch, n, group=1) -> order\n\nRandom order of rows, groups kept together."},
    {0},
};

int sg_bind_nn(PyObject *module)
{
    if (sg_bind_add(module, methods))
        return -1;
    PyObject *graph = PyType_FromModuleAndSpec(module, &graph_spec, NULL);
    if (!graph || PyModule_AddType(module, (PyTypeObject *)graph) < 0)
        return -1;
    Py_XSETREF(graph_type, (PyTypeObject *)graph);
    PyObject *trainer = PyType_FromModuleAndSpec(module, &trainer_spec, NULL);
    if (!trainer || PyModule_AddType(module, (PyTypeObject *)trainer) < 0)
        return -1;
    Py_DECREF(trainer);
    return 0;
}
