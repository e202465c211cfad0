/* SPDX-License-Identifier: BSD-3-Clause */
/* What other bindings need of bind_surrogate.c. */
#ifndef SG_BINDINGS_BIND_SURROGATE_H
#define SG_BINDINGS_BIND_SURROGATE_H

#include "bindings/convert.h"

#include "simgraft/surrogate.h"

/* The surrogate of a Surrogate object, alive as long as it is; NULL with a TypeError that names the argument. */
const sg_surrogate *sg_bind_surrogate_of(PyObject *object, const char *name);

#endif
