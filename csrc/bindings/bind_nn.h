/* SPDX-License-Identifier: BSD-3-Clause */
/* What other bindings need of bind_nn.c. */
#ifndef SG_BINDINGS_BIND_NN_H
#define SG_BINDINGS_BIND_NN_H

#include "bindings/convert.h"

#include "nn/graph.h"

/* The graph of a Graph object, alive as long as it is; NULL with a TypeError that names the argument. */
const sg_graph *sg_bind_graph_of(PyObject *object, const char *name);

#endif
