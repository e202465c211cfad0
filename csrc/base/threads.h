/* SPDX-License-Identifier: BSD-3-Clause */
/* OpenMP over blocks. libgomp hangs in a child after fork(), so a child of a process that used threads runs serially. */
#ifndef SG_BASE_THREADS_H
#define SG_BASE_THREADS_H

#include <stddef.h>

/* Threads to use for a request: n > 0 as asked, 0 = OMP_NUM_THREADS or all CPUs allowed; 1 after fork and inside a parallel
 * region of the caller; never more than n_blocks. */
int sg_threads_resolve(int num_threads, size_t n_blocks);

/* Calls body(context, block, thread) for block = 0 .. n_blocks-1 on num_threads threads (resolved by sg_threads_resolve).
 * Which thread gets which block is not fixed: results must depend on the block number only. A non-zero return of body
 * stops handing out new blocks; the return value is that of the lowest failing block, 0 if none failed. */
int sg_threads_blocks(size_t n_blocks, int num_threads, int (*body)(void *context, size_t block, int thread),
                      void *context);

#endif
