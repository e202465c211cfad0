/* SPDX-License-Identifier: BSD-3-Clause */
/* The extension module simgraft._core: one init, one exec slot that lets every room add what it binds. */
#define SG_IMPORTS_NUMPY
#include "bindings/convert.h"

#include "base/threads.h"

int sg_bind_exceptions(PyObject *module);

/* Rooms, in the order their types depend on each other. To bind a new room, add its function here and a file bind_ROOM.c. */
#define SG_BIND_ROOMS(X) \
    X(base)              \
    X(infer)             \
    X(metrics)           \
    X(nn)                \
    X(pairs)             \
    X(samples)           \
    X(store)             \
    X(surrogate)         \
    X(test)              \
    X(column)            \
    X(dilepton)          \
    X(ecckd)             \
    X(network_slot)      \
    X(observables)       \
    X(phase_space)       \
    X(radiation)         \
    X(spline_chain)      \
    X(top_coordinates)   \
    X(top_pair)          \
    X(two_body)          \
    X(vegas)

#define X(room) int sg_bind_##room(PyObject *module);
SG_BIND_ROOMS(X)
#undef X

static int execute(PyObject *module)
{
    if (PyArray_ImportNumPyAPI() < 0)
        return -1;
    sg_threads_resolve(1, 1); /* starts watching fork() before anybody's OpenMP threads exist */
    if (sg_bind_exceptions(module) < 0 || PyModule_AddStringConstant(module, "__version__", SG_VERSION) < 0)
        return -1;
#define X(room)                     \
    if (sg_bind_##room(module) < 0) \
        return -1;
    SG_BIND_ROOMS(X)
#undef X
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name  = "simgraft._core",
    .m_doc   = "The compute core of simgraft. Use the Python package; this module may change at any time.",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
