/* SPDX-License-Identifier: BSD-3-Clause */
/* What other bindings need of bind_network_slot.c. */
#ifndef SG_BINDINGS_BIND_NETWORK_SLOT_H
#define SG_BINDINGS_BIND_NETWORK_SLOT_H

#include "bindings/convert.h"

#include "radiation/network_slot.h"

/* The slot of a NetworkSlot object, alive as long as it is; NULL without an error for any other object, and NULL with a
 * ValueError that names the argument if it does not fit the table. */
sg_network_slot *sg_bind_network_slot_of(PyObject *object, const sg_kdist *kdist, const char *name);

#endif
