/* SPDX-License-Identifier: BSD-3-Clause */
/* What other rooms' bindings need of the store's. */
#ifndef SG_BINDINGS_BIND_STORE_H
#define SG_BINDINGS_BIND_STORE_H

#include "bindings/convert.h"

#include "store/container.h"

/* A container with the items of a dictionary name -> array or str; NULL with an exception set. Free with sg_container_free. */
sg_container *sg_container_from_dict(const char *kind, unsigned version, PyObject *items);

#endif
