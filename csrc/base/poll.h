/* SPDX-License-Identifier: BSD-3-Clause */
/* One callback for Ctrl-C, progress and cancel. Long calls ask sg_poll_due() in their loops; it calls back at most every
 * 50 ms. A callback that returns non-zero ends the call with SG_ERR_INTERRUPTED, the state left valid. */
#ifndef SG_BASE_POLL_H
#define SG_BASE_POLL_H

#include "base/error.h"

typedef struct sg_poll {
    int (*call)(void *context, double done, double total);  /* return non-zero to stop */
    void  *context;
    double last;  /* time of the last call, seconds; set to 0 at the start */
} sg_poll;

double sg_time_wall(void);        /* monotonic wall clock [s] */
double sg_time_thread_cpu(void);  /* CPU time of this thread [s] */

/* Non-zero when the call should stop. poll may be NULL. Call from one thread only. */
int sg_poll_due(sg_poll *poll, double done, double total);

#endif
