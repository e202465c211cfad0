/* SPDX-License-Identifier: BSD-3-Clause */
/* Binds csrc/surrogate: programs (encoder, decoder) and surrogates. */
#include "bindings/bind_surrogate.h"

#include "base/memory.h"
#include "base/threads.h"
#include "bindings/bind_store.h"
#include "surrogate/surrogate.h"

/* ----------------------------------------------------------------------------------------------- programs */

typedef struct program_object {
    PyObject_HEAD sg_program *program;
} program_object;

static PyObject *program_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"n_in", "column", "op", "value", NULL};
    Py_ssize_t   n_in;
    PyObject    *column_object, *op_object, *value_object;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "nOOO:Program", names, &n_in, &column_object,
                                     &op_object, &value_object))
        return NULL;
    sg_dims            dims   = {0};
    program_object    *self   = NULL;
    sg_program_column *list   = NULL;
    sg_step           *steps  = NULL;
    PyArrayObject     *column = sg_array_in(&dims, column_object, "column", NPY_INT32, "n_out 5", 0);
    PyArrayObject     *op     = column ? sg_array_in(&dims, op_object, "op", NPY_INT32, "n_step", 0) : NULL;
    PyArrayObject *value = op ? sg_array_in(&dims, value_object, "value", NPY_DOUBLE, "n_step 2", 0) : NULL;
    if (!value)
        goto done;
    size_t    n_out = (size_t)sg_dim(&dims, "n_out"), n_step = (size_t)sg_dim(&dims, "n_step");
    sg_error  error  = {0};
    sg_status status = sg_alloc_array(&list, n_out, sizeof *list, "program", &error);
    if (status == SG_OK)
        status = sg_alloc_array(&steps, n_step, sizeof *steps, "program", &error);
    if (status != SG_OK) {
        sg_raise(status, &error);
        goto done;
    }
    const int32_t *c = PyArray_DATA(column), *o = PyArray_DATA(op);
    const double  *v = PyArray_DATA(value);
    for (size_t j = 0; j < n_out; j++, c += 5)
        list[j] = (sg_program_column){c[0], c[1], c[2], c[3], c[4]};
    for (size_t k = 0; k < n_step; k++)
        steps[k] = (sg_step){o[k], v[2 * k], v[2 * k + 1]};
    sg_program *program;
    status = sg_program_create(n_in < 0 ? 0 : (size_t)n_in, n_out, list, n_step, steps, "program", &program,
                               &error);
    if (status != SG_OK) {
        sg_raise(status, &error);
        goto done;
    }
    self = (program_object *)type->tp_alloc(type, 0);
    if (self)
        self->program = program;
    else
        sg_program_free(program);
done:
    sg_free(list);
    sg_free(steps);
    Py_XDECREF(column);
    Py_XDECREF(op);
    Py_XDECREF(value);
    return (PyObject *)self;
}

static void program_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    sg_program_free(((program_object *)self)->program);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Stride of dimension k in elements. */
static ptrdiff_t stride(PyArrayObject *array, int k)
{
    return PyArray_STRIDE(array, k) / PyArray_ITEMSIZE(array);
}

static int is_single(PyObject *object)
{
    return PyArray_Check(object) && PyArray_TYPE((PyArrayObject *)object) == NPY_FLOAT;
}

static PyObject *program_run(PyObject *object, PyObject *arguments)
{
    const sg_program *program = ((program_object *)object)->program;
    PyObject         *in_object, *out_object;
    if (!PyArg_ParseTuple(arguments, "OO:run", &in_object, &out_object))
        return NULL;
    int     single_in = is_single(in_object), single_out = is_single(out_object);
    sg_dims dims = {0};
    sg_dim_set(&dims, "n_in", (npy_intp)program->n_in);
    sg_dim_set(&dims, "n_out", (npy_intp)program->n_out);
    PyArrayObject *in =
        sg_array_in(&dims, in_object, "x", single_in ? NPY_FLOAT : NPY_DOUBLE, "n n_in", SG_STRIDED);
    PyArrayObject *out = in ? sg_array_out(&dims, out_object, "out", single_out ? NPY_FLOAT : NPY_DOUBLE,
                                           "n n_out", SG_STRIDED)
                            : NULL;
    if (!out || sg_array_separate(in, "x", out, "out")) {
        Py_XDECREF(in);
        Py_XDECREF(out);
        return NULL;
    }
    size_t                        n      = (size_t)sg_dim(&dims, "n");
    const void                   *from   = PyArray_DATA(in);
    void                         *to     = PyArray_DATA(out);
    ptrdiff_t                     in_row = stride(in, 0), in_col = stride(in, 1), out_row = stride(out, 0),
                                  out_col = stride(out, 1);
    Py_BEGIN_ALLOW_THREADS sg_isa isa     = sg_cpu_isa();
    if (single_in && single_out)
        sg_encode_kernels_f32_pick(isa)->sss(program, n, from, in_row, in_col, to, out_row, out_col);
    else if (single_in)
        sg_encode_kernels_f64_pick(isa)->sdd(program, n, from, in_row, in_col, to, out_row, out_col);
    else if (single_out)
        sg_encode_kernels_f64_pick(isa)->dds(program, n, from, in_row, in_col, to, out_row, out_col);
    else
        sg_encode_kernels_f64_pick(isa)->ddd(program, n, from, in_row, in_col, to, out_row, out_col);
    Py_END_ALLOW_THREADS Py_DECREF(in);
    return (PyObject *)out;
}

static PyObject *program_reference(PyObject *object, PyObject *argument)
{
    const sg_program *program = ((program_object *)object)->program;
    sg_dims           dims    = {0};
    sg_dim_set(&dims, "n_in", (npy_intp)program->n_in);
    sg_dim_set(&dims, "n_out", (npy_intp)program->n_out);
    PyArrayObject *in  = sg_array_in(&dims, argument, "x", NPY_DOUBLE, "n n_in", 0);
    PyArrayObject *out = in ? sg_array_out(&dims, Py_None, "out", NPY_DOUBLE, "n n_out", 0) : NULL;
    if (out)
        for (npy_intp i = 0; i < sg_dim(&dims, "n"); i++)
            sg_program_reference(program, (double *)PyArray_DATA(in) + (size_t)i * program->n_in,
                                 (double *)PyArray_DATA(out) + (size_t)i * program->n_out);
    Py_XDECREF(in);
    return (PyObject *)out;
}

static PyObject *program_explain(PyObject *object, PyObject *arguments)
{
    const sg_program *program = ((program_object *)object)->program;
    PyObject         *in_object, *labels;
    Py_ssize_t        first_row;
    if (!PyArg_ParseTuple(arguments, "OO!n:explain", &in_object, &PyList_Type, &labels, &first_row))
        return NULL;
    if ((size_t)PyList_GET_SIZE(labels) != program->n_in)
        return PyErr_Format(PyExc_ValueError, "labels: expected %zu names, got %zd", program->n_in,
                            PyList_GET_SIZE(labels));
    sg_dims dims = {0};
    sg_dim_set(&dims, "n_in", (npy_intp)program->n_in);
    PyArrayObject *in = sg_array_in(&dims, in_object, "x", NPY_DOUBLE, "n n_in", SG_STRIDED);
    if (!in)
        return NULL;
    const char **label  = NULL;
    sg_error     error  = {0};
    sg_status    status = sg_alloc_array(&label, program->n_in, sizeof *label, "labels", &error);
    for (size_t j = 0; status == SG_OK && j < program->n_in; j++) {
        label[j] = PyUnicode_AsUTF8(PyList_GET_ITEM(labels, (Py_ssize_t)j));
        if (!label[j])
            status = SG_ERR_TYPE;
    }
    if (status == SG_OK)
        status = sg_program_explain(program, (size_t)PyArray_DIM(in, 0), PyArray_DATA(in), stride(in, 0),
                                    stride(in, 1), label, (size_t)first_row, &error);
    sg_free(label);
    Py_DECREF(in);
    if (status != SG_OK)
        return sg_raise(status, &error);
    Py_RETURN_NONE;
}

static PyMethodDef program_methods[] = {
    {"run", program_run, METH_VARARGS,
     "run(x, out) -> out\n\nx: (n, n_in), out: (n, n_out), float32 or float64, any strides. Computes in "
     "double unless both are float32."},
    {"reference", program_reference, METH_O,
     "reference(x) -> (n, n_out) float64\n\nThe plain version with libm; for tests."},
    {"explain", program_explain, METH_VARARGS,
     "explain(x, labels, first_row)\n\nRaise for the first value that cannot be encoded; do nothing when "
     "there is none."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot program_slots[] = {
    {Py_tp_new, program_new},
    {Py_tp_dealloc, program_dealloc},
    {Py_tp_methods, program_methods},
    {Py_tp_doc, "Program(n_in, column, op, value)\n\nElementary steps from columns to columns; see "
                "csrc/surrogate/encode.h."},
    {0, NULL},
};
static PyType_Spec program_spec = {"simgraft._core.Program", sizeof(program_object), 0, Py_TPFLAGS_DEFAULT,
                                   program_slots};

static PyObject *step_table(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    PyObject *table = PyDict_New();
    for (int op = 0; table && op < SG_STEP_COUNT; op++) {
        PyObject *number = PyLong_FromLong(op);
        if (!number || PyDict_SetItemString(table, sg_step_name(op), number) < 0)
            Py_CLEAR(table);
        Py_XDECREF(number);
    }
    return table;
}

/* --------------------------------------------------------------------------------------------- surrogates */

typedef struct surrogate_object {
    PyObject_HEAD sg_surrogate *surrogate;
} surrogate_object;

static PyObject *surrogate_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"entries", NULL};
    PyObject    *entries;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O!:Surrogate", names, &PyDict_Type, &entries))
        return NULL;
    sg_container *container = sg_container_from_dict(SG_SURROGATE_KIND, SG_SURROGATE_VERSION, entries);
    if (!container)
        return NULL;
    sg_surrogate *surrogate = NULL;
    sg_error      error     = {0};
    sg_status     status    = sg_surrogate_from_container(container, &surrogate, &error);
    sg_container_free(container);
    if (status != SG_OK)
        return sg_raise(status, &error);
    surrogate_object *self = (surrogate_object *)type->tp_alloc(type, 0);
    if (self)
        self->surrogate = surrogate;
    else
        sg_surrogate_close(surrogate);
    return (PyObject *)self;
}

static void surrogate_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    sg_surrogate_close(((surrogate_object *)self)->surrogate);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Counts of the guard, the text about its first row, and the counts per input when asked for. */
static PyObject *guard_result(const sg_surrogate *surrogate, const sg_guard *guard)
{
    sg_error error = {0};
    sg_guard_explain(surrogate, guard, &error);
    return Py_BuildValue("{s:n,s:n,s:n,s:n,s:n,s:s}", "n_rows", (Py_ssize_t)guard->n_rows, "n_outside",
                         (Py_ssize_t)guard->n_outside, "n_box", (Py_ssize_t)guard->n_box, "n_density",
                         (Py_ssize_t)guard->n_density, "n_not_finite", (Py_ssize_t)guard->n_not_finite,
                         "first", error.message);
}

static sg_surrogate_table table_of(PyArrayObject *array)
{
    return (sg_surrogate_table){PyArray_DATA(array), stride(array, 0), stride(array, 1), PyArray_TYPE(array) == NPY_FLOAT};
}

/* x, d (derivatives only), out, policy, flags, counts, num_threads: policy -1 for no guard, else sg_guard_policy (not the
 * fallback). */
static PyObject *run_task(PyObject *object, const char *method, sg_net_task task, PyObject *const *argument, Py_ssize_t n_arguments)
{
    const sg_surrogate *surrogate  = ((surrogate_object *)object)->surrogate;
    const int           derivative = task != SG_NET_EVAL;
    if (n_arguments != 6 + derivative)
        return PyErr_Format(PyExc_TypeError, "%s: expected %d arguments, got %zd", method, 6 + derivative, n_arguments);
    PyObject *const *rest   = argument + 1 + derivative; /* out, policy, flags, counts, num_threads */
    int              policy = (int)PyLong_AsLong(rest[1]), num_threads = (int)PyLong_AsLong(rest[4]);
    if (PyErr_Occurred())
        return NULL;
    sg_surrogate_info info = sg_surrogate_describe(surrogate);
    const int         type = is_single(argument[0]) ? NPY_FLOAT : NPY_DOUBLE;
    const char       *wide[2] = {"n n_in", "n n_out"};
    const int         adjoint = task == SG_NET_VJP;
    sg_dims           dims = {0};
    sg_dim_set(&dims, "n_in", (npy_intp)info.n_in);
    sg_dim_set(&dims, "n_out", (npy_intp)info.n_out);
    PyArrayObject *in = sg_array_in(&dims, argument[0], "x", type, wide[0], SG_STRIDED), *d = NULL, *out = NULL, *flags = NULL,
                  *counts = NULL;
    PyObject *result    = NULL;
    char     *workspace = NULL;
    if (!in || (derivative && !(d = sg_array_in(&dims, argument[1], adjoint ? "d_y" : "d_x", type, wide[adjoint], SG_STRIDED))) ||
        !(out = sg_array_out(&dims, rest[0], "out", type, wide[!adjoint], SG_STRIDED)) || sg_array_separate(in, "x", out, "out") ||
        (d && sg_array_separate(d, "d", out, "out")))
        goto done;
    if (rest[2] != Py_None && !(flags = sg_array_out(&dims, rest[2], "flags", NPY_UINT8, "n", 0)))
        goto done;
    if (rest[3] != Py_None && !(counts = sg_array_out(&dims, rest[3], "counts", NPY_INT64, "n_in", 0)))
        goto done;

    sg_error         error = {0};
    sg_guard         guard;
    sg_poll          poll = sg_python_poll(Py_None);
    sg_surrogate_job job  = {.task = task, .n = (size_t)sg_dim(&dims, "n"), .in = table_of(in), .out = table_of(out), .poll = &poll};
    if (d)
        job.d = table_of(d);
    if (policy >= 0) {
        sg_guard_init(&guard);
        guard.policy           = (sg_guard_policy)policy;
        guard.row_flags        = flags ? PyArray_DATA(flags) : NULL;
        guard.outside_of_input = counts ? PyArray_DATA(counts) : NULL; /* counts of 64 bits, as size_t is */
        job.guard              = &guard;
    }
    num_threads        = sg_surrogate_job_threads(job.n, num_threads);
    const size_t bytes = sg_surrogate_job_bytes(surrogate, task, num_threads);
    job.workspace = workspace = sg_alloc(bytes);
    if (!workspace) {
        PyErr_Format(PyExc_MemoryError, "workspace: could not allocate %zu bytes", bytes);
        goto done;
    }
    sg_status              status;
    Py_BEGIN_ALLOW_THREADS status = sg_surrogate_run(surrogate, &job, num_threads);
    Py_END_ALLOW_THREADS if (status != SG_OK)
    {
        if (job.guard && guard.first_flags && (status == SG_ERR_DOMAIN || status == SG_ERR_NOT_FINITE))
            status = sg_guard_explain(surrogate, &guard, &error);
        sg_raise(status, &error);
        goto done;
    }
    result = job.guard ? guard_result(surrogate, &guard) : Py_NewRef(Py_None);
done:
    sg_free(workspace);
    Py_XDECREF(in);
    Py_XDECREF(d);
    Py_XDECREF(out);
    Py_XDECREF(flags);
    Py_XDECREF(counts);
    return result;
}

_Static_assert(sizeof(size_t) == sizeof(npy_int64), "counts of a guard are int64 in Python");

static PyObject *surrogate_evaluate(PyObject *object, PyObject *const *argument, Py_ssize_t n_arguments)
{
    return run_task(object, "evaluate", SG_NET_EVAL, argument, n_arguments);
}

static PyObject *surrogate_jvp(PyObject *object, PyObject *const *argument, Py_ssize_t n_arguments)
{
    return run_task(object, "jvp", SG_NET_JVP, argument, n_arguments);
}

static PyObject *surrogate_vjp(PyObject *object, PyObject *const *argument, Py_ssize_t n_arguments)
{
    return run_task(object, "vjp", SG_NET_VJP, argument, n_arguments);
}

static PyObject *surrogate_distance(PyObject *object, PyObject *argument)
{
    const sg_surrogate *surrogate = ((surrogate_object *)object)->surrogate;
    sg_dims             dims      = {0};
    sg_dim_set(&dims, "n_in", (npy_intp)sg_surrogate_describe(surrogate).n_in);
    PyArrayObject *in  = sg_array_in(&dims, argument, "x", NPY_DOUBLE, "n n_in", SG_STRIDED);
    PyArrayObject *out = in ? sg_array_out(&dims, Py_None, "distance", NPY_DOUBLE, "n", 0) : NULL;
    if (out) {
        sg_error  error     = {0};
        void     *workspace = sg_alloc(sg_surrogate_workspace_bytes(surrogate));
        sg_status status    = SG_ERR_MEMORY;
        if (workspace) {
            Py_BEGIN_ALLOW_THREADS status =
                sg_surrogate_distance_f64(surrogate, (size_t)PyArray_DIM(in, 0), PyArray_DATA(in),
                                          stride(in, 0), stride(in, 1), PyArray_DATA(out), workspace, &error);
            Py_END_ALLOW_THREADS
        }
        sg_free(workspace);
        if (status != SG_OK) {
            sg_raise(status, &error);
            Py_CLEAR(out);
        }
    }
    Py_XDECREF(in);
    return (PyObject *)out;
}

static PyObject *variables(const sg_surrogate *surrogate, size_t n,
                           sg_surrogate_variable (*get)(const sg_surrogate *, size_t))
{
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; list && i < n; i++) {
        sg_surrogate_variable v   = get(surrogate, i);
        PyObject             *row = Py_BuildValue("(ssdd)", v.name, v.unit, v.low, v.high);
        if (!row) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, row);
    }
    return list;
}

static PyObject *surrogate_describe(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    const sg_surrogate *surrogate = ((surrogate_object *)object)->surrogate;
    sg_surrogate_info   info      = sg_surrogate_describe(surrogate);
    PyObject           *in        = variables(surrogate, info.n_in, sg_surrogate_input);
    PyObject           *out       = in ? variables(surrogate, info.n_out, sg_surrogate_output) : NULL;
    if (!out) {
        Py_XDECREF(in);
        return NULL;
    }
    return Py_BuildValue(
        "{s:s,s:s,s:n,s:n,s:n,s:d,s:i,s:O,s:d,s:s,s:O,s:n,s:N,s:N}", "name", info.name, "version",
        info.version, "n_in", (Py_ssize_t)info.n_in, "n_out", (Py_ssize_t)info.n_out, "n_parameters",
        (Py_ssize_t)info.n_parameters, "flops_per_row", info.flops_per_row, "network_bits", info.network_bits,
        "has_domain", info.has_domain ? Py_True : Py_False, "max_distance", info.max_distance, "isa",
        sg_surrogate_isa(surrogate), "folded", sg_surrogate_is_folded(surrogate) ? Py_True : Py_False,
        "workspace_bytes", (Py_ssize_t)sg_surrogate_workspace_bytes(surrogate), "inputs", in, "outputs", out);
}

static PyMethodDef surrogate_methods[] = {
    {"evaluate", SG_METHOD(surrogate_evaluate), METH_FASTCALL,
     "evaluate(x, out, policy, flags, counts, num_threads) -> dict or None\n\n"
     "x (n, n_in) and out (n, n_out): both float32 or both float64, any strides. policy: -1 no guard, 0 "
     "count, 1 stop.\n"
     "flags: (n,) uint8 or None; counts: (n_in,) int64, added to, or None."},
    {"jvp", SG_METHOD(surrogate_jvp), METH_FASTCALL,
     "jvp(x, d, out, policy, flags, counts, num_threads) -> dict or None\n\n"
     "d (n, n_in): direction of the inputs; out (n, n_out): derivative along it. The rest as in evaluate."},
    {"vjp", SG_METHOD(surrogate_vjp), METH_FASTCALL,
     "vjp(x, d, out, policy, flags, counts, num_threads) -> dict or None\n\n"
     "d (n, n_out): gradient with respect to the outputs; out (n, n_in): with respect to the inputs."},
    {"distance", surrogate_distance, METH_O,
     "distance(x) -> (n,) float64\n\nMahalanobis distance of each row to the training data."},
    {"describe", surrogate_describe, METH_NOARGS, "describe() -> dict"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot surrogate_slots[] = {
    {Py_tp_new, surrogate_new},
    {Py_tp_dealloc, surrogate_dealloc},
    {Py_tp_methods, surrogate_methods},
    {Py_tp_doc, "Surrogate(entries)\n\nFrom the entries of a surrogate file; see docs/files.md."},
    {0, NULL},
};
static PyType_Spec surrogate_spec = {"simgraft._core.Surrogate", sizeof(surrogate_object), 0,
                                     Py_TPFLAGS_DEFAULT, surrogate_slots};

static PyMethodDef methods[] = {
    {"encode_steps", step_table, METH_NOARGS, "encode_steps() -> dict of step name -> number"},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject *surrogate_type;

const sg_surrogate *sg_bind_surrogate_of(PyObject *object, const char *name)
{
    if (!PyObject_TypeCheck(object, surrogate_type)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a Surrogate of the core, got %.100s", name, Py_TYPE(object)->tp_name);
        return NULL;
    }
    return ((surrogate_object *)object)->surrogate;
}

int sg_bind_surrogate(PyObject *module)
{
    PyType_Spec *spec[2] = {&program_spec, &surrogate_spec};
    for (int i = 0; i < 2; i++) {
        PyObject *type = PyType_FromSpec(spec[i]);
        if (!type || PyModule_AddType(module, (PyTypeObject *)type) < 0) {
            Py_XDECREF(type);
            return -1;
        }
        if (spec[i] == &surrogate_spec)
            surrogate_type = (PyTypeObject *)type; /* lives as long as the process */
        else
            Py_DECREF(type);
    }
    return sg_bind_add(module, methods);
}
