/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/threads.h"
#include "check.h"

enum { N = 1000 };
static atomic_int visits[N];
static size_t     fail_from = N;

static int visit(void *context, size_t block, int thread)
{
    (void)context, (void)thread;
    atomic_fetch_add(&visits[block], 1);
    return block >= fail_from ? (int)block : 0;
}

static int visited_once(size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (atomic_exchange(&visits[i], 0) != 1)
            return 0;
    return 1;
}

static void every_block_is_visited_once(void)
{
    for (int threads = 1; threads <= 4; threads++) {
        CHECK(sg_threads_blocks(N, threads, visit, NULL) == 0);
        CHECK(visited_once(N));
    }
    CHECK(sg_threads_blocks(0, 4, visit, NULL) == 0);
}

static void lowest_failing_block_is_reported(void)
{
    for (int threads = 1; threads <= 4; threads++)
        for (fail_from = 1; fail_from < N; fail_from += 97) {
            CHECK(sg_threads_blocks(N, threads, visit, NULL) == (int)fail_from);
            CHECK(visited_once(fail_from));  /* all blocks before the failing one were done */
            for (size_t i = 0; i < N; i++)
                atomic_store(&visits[i], 0);
        }
    fail_from = N;
}

static int nested(void *context, size_t block, int thread)
{
    (void)context, (void)block, (void)thread;
    return sg_threads_resolve(4, 100) == 1 ? 0 : 1;
}

static void threads_are_not_nested_and_never_more_than_blocks(void)
{
    CHECK(sg_threads_resolve(4, 100) == 4);
    CHECK(sg_threads_resolve(4, 3) == 3);
    CHECK(sg_threads_resolve(4, 0) == 1);
    CHECK(sg_threads_resolve(0, 100) >= 1);
    CHECK(sg_threads_blocks(8, 2, nested, NULL) == 0);
}

static void child_of_a_threaded_process_finishes(void)
{
    CHECK(sg_threads_blocks(N, 2, visit, NULL) == 0);
    visited_once(N);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(20);
        int ok = sg_threads_resolve(2, N) == 1 && sg_threads_blocks(N, 2, visit, NULL) == 0 && visited_once(N);
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    every_block_is_visited_once();
    lowest_failing_block_is_reported();
    threads_are_not_nested_and_never_more_than_blocks();
    child_of_a_threaded_process_finishes();
    return check_result();
}
