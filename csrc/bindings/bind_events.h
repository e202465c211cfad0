/* SPDX-License-Identifier: BSD-3-Clause */
/* What the bindings of the event generators share. */
#ifndef SG_BINDINGS_BIND_EVENTS_H
#define SG_BINDINGS_BIND_EVENTS_H

#include "bindings/convert.h"
#include "events/law.h"

/* Total size from which columns are written past the caches: nothing of them would stay there. */
#define SG_STREAM_BYTES ((size_t)4 << 20)

/* The law of a tuple (kind, centre, spread, low, high); -1 with an exception set. */
int sg_law_from(PyObject *tuple, const char *name, sg_law *law);

/* Events in blocks, on several threads, with a look at Ctrl-C. body makes the events from, ..., from + n - 1 of the call and returns
 * n, or the number (below n) of one that could not be made. *failed: the least such number of the call. Call without the GIL;
 * SG_ERR_VALUE where an event could not be made. */
sg_status sg_events_run(size_t n, size_t block, int num_threads,
                        size_t (*body)(void *context, size_t from, size_t n, int thread), void *context, size_t *failed);

#endif
