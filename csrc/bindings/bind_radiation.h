/* SPDX-License-Identifier: BSD-3-Clause */
/* What other bindings need of bind_radiation.c. */
#ifndef SG_BINDINGS_BIND_RADIATION_H
#define SG_BINDINGS_BIND_RADIATION_H

#include "bindings/convert.h"

#include "radiation/kdist.h"

/* The tables of a KDist object, alive as long as it is; NULL with a TypeError that names the argument. */
const sg_kdist *sg_bind_kdist(PyObject *object, const char *name);

#endif
