/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/poll.h"

#include <time.h>

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double sg_time_wall(void) { return seconds(CLOCK_MONOTONIC); }
double sg_time_thread_cpu(void) { return seconds(CLOCK_THREAD_CPUTIME_ID); }

int sg_poll_due(sg_poll *poll, double done, double total)
{
    if (!poll || !poll->call)
        return 0;
    double now = sg_time_wall();
    if (now - poll->last < 0.05)
        return 0;
    poll->last = now;
    return poll->call(poll->context, done, total);
}
