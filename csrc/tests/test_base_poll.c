/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/poll.h"
#include "check.h"

static int    calls;
static double last_done;

static int count(void *context, double done, double total)
{
    calls++;
    CHECK(total == 100 && done >= last_done);
    last_done = done;
    return context && calls == *(int *)context;
}

static void callback_comes_at_most_every_50_ms_and_is_not_forgotten(void)
{
    sg_poll poll  = {count, NULL, 0};
    double  start = sg_time_wall(), now = start;
    while (now - start < 0.4) {
        now = sg_time_wall();
        CHECK(sg_poll_due(&poll, now - start, 100) == 0);
    }
    CHECK(calls >= 2 && calls <= 9); /* 0.4 s / 50 ms = 8, and one at the start; few when the machine is busy */
}

static void non_zero_stops(void)
{
    int     stop_at = 1;
    sg_poll poll    = {count, &stop_at, 0};
    calls           = 0;
    last_done       = 0;
    CHECK(sg_poll_due(&poll, 1, 100) == 1);
    CHECK(sg_poll_due(NULL, 1, 100) == 0);
}

int main(void)
{
    callback_comes_at_most_every_50_ms_and_is_not_forgotten();
    non_zero_stops();
    return check_result();
}
