/* SPDX-License-Identifier: BSD-3-Clause */
/* What other bindings need of bind_spline_chain.c. */
#ifndef SG_BINDINGS_BIND_SPLINE_CHAIN_H
#define SG_BINDINGS_BIND_SPLINE_CHAIN_H

#include "bindings/convert.h"

#include "nn/spline_chain.h"

/* The chain of a SplineChain object, alive as long as it is; NULL with a TypeError that names the argument. */
const sg_spline_chain *sg_bind_spline_chain_of(PyObject *object, const char *name);

#endif
