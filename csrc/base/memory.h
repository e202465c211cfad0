/* SPDX-License-Identifier: BSD-3-Clause */
/* Aligned memory through a replaceable allocator. Tests replace it to fail the n-th allocation. */
#ifndef SG_BASE_MEMORY_H
#define SG_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SG_ALIGNMENT 64  /* bytes: one cache line and one 512-bit vector */

typedef struct sg_allocator {
    void *(*allocate)(size_t bytes, void *context);  /* SG_ALIGNMENT-aligned, NULL on failure */
    void (*release)(void *block, void *context);     /* block may be NULL */
    void *context;
} sg_allocator;

/* Replaces the allocator of the whole process; NULL restores the default. Not thread-safe: call it before any other
 * thread uses simgraft. Blocks must be released by the allocator that made them. */
void sg_allocator_set(const sg_allocator *allocator);

void *sg_alloc(size_t bytes);   /* aligned, not cleared; NULL on failure; a zero size gives a valid block */
void *sg_calloc(size_t count, size_t size);  /* cleared; checks the product for overflow */
void  sg_free(void *block);

/* *pointer = cleared array of count objects of size bytes; SG_ERR_MEMORY names what was to be stored there. */
sg_status sg_alloc_array(void *pointer_to_pointer, size_t count, size_t size, const char *what, sg_error *error);

/* Makes the n-th allocation from now fail (0 = the next one), every later one too if keep_failing; a negative n
 * restores normal service. For tests. Returns the number of allocations asked for since the last call. */
size_t sg_memory_fail_after(long n, int keep_failing);

/* Blocks that have not been released yet, in the whole process. For tests: what fails must leave none behind. */
size_t sg_memory_blocks(void);

/* a * b, or SIZE_MAX when that overflows: sizes read from files are multiplied with this before any allocation. */
size_t sg_size_mul(size_t a, size_t b);

static inline size_t sg_round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

#endif
