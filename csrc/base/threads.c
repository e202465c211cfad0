/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/threads.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>

static atomic_int     forked;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void in_child(void) { atomic_store(&forked, 1); }
static void watch_fork(void) { pthread_atfork(NULL, NULL, in_child); }

int sg_threads_resolve(int num_threads, size_t n_blocks)
{
    pthread_once(&once, watch_fork);
    if (atomic_load(&forked) || omp_in_parallel())
        return 1;
    int n = num_threads > 0 ? num_threads : omp_get_max_threads();
    if ((size_t)n > n_blocks)
        n = n_blocks ? (int)n_blocks : 1;
    return n;
}

int sg_threads_blocks(size_t n_blocks, int num_threads, int (*body)(void *context, size_t block, int thread),
                      void *context)
{
    int n = sg_threads_resolve(num_threads, n_blocks);
    if (n <= 1) {
        for (size_t block = 0; block < n_blocks; block++) {
            int result = body(context, block, 0);
            if (result)
                return result;
        }
        return 0;
    }
    int             result = 0;
    size_t          failed = n_blocks;
    atomic_size_t   next   = 0;
    pthread_mutex_t lock   = PTHREAD_MUTEX_INITIALIZER; /* guards result and failed */
#pragma omp parallel num_threads(n)
    {
        for (;;) {
            size_t block = atomic_fetch_add(&next, 1);
            if (block >= n_blocks)
                break;
            int r = body(context, block, omp_get_thread_num());
            if (r) {
                atomic_store(&next, n_blocks);
                pthread_mutex_lock(&lock);
                if (block < failed) {
                    failed = block;
                    result = r;
                }
                pthread_mutex_unlock(&lock);
                break;
            }
        }
    }
    return result;
}
