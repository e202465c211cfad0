/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static void *default_allocate(size_t bytes, void *context)
{
    (void)context;
    return aligned_alloc(SG_ALIGNMENT, sg_round_up(bytes ? bytes : 1, SG_ALIGNMENT));
}

static void default_release(void *block, void *context)
{
    (void)context;
    free(block);
}

static sg_allocator current = {default_allocate, default_release, NULL};

void sg_allocator_set(const sg_allocator *allocator)
{
    current = allocator ? *allocator : (sg_allocator){default_allocate, default_release, NULL};
}

static atomic_long   calls_left = -1;  /* -1: never fail */
static atomic_int    stay_failed;
static atomic_size_t calls_made, blocks;

size_t sg_memory_fail_after(long n, int keep_failing)
{
    atomic_store(&calls_left, n < 0 ? -1 : n);
    atomic_store(&stay_failed, keep_failing);
    return atomic_exchange(&calls_made, 0);
}

static int must_fail(void)
{
    atomic_fetch_add_explicit(&calls_made, 1, memory_order_relaxed);
    long left = atomic_load_explicit(&calls_left, memory_order_relaxed);
    if (left < 0)
        return 0;
    if (left == 0) {
        if (!atomic_load(&stay_failed))
            atomic_store(&calls_left, -1);
        return 1;
    }
    atomic_store(&calls_left, left - 1);
    return 0;
}

void *sg_alloc(size_t bytes)
{
    if (must_fail() || bytes > SIZE_MAX - SG_ALIGNMENT)
        return NULL;
    void *block = current.allocate(bytes, current.context);
    if (block)
        atomic_fetch_add_explicit(&blocks, 1, memory_order_relaxed);
    return block;
}

void *sg_calloc(size_t count, size_t size)
{
    size_t bytes = sg_size_mul(count, size);
    void  *block = sg_alloc(bytes);
    if (block)
        memset(block, 0, bytes);
    return block;
}

void sg_free(void *block)
{
    if (!block)
        return;
    atomic_fetch_sub_explicit(&blocks, 1, memory_order_relaxed);
    current.release(block, current.context);
}

size_t sg_memory_blocks(void) { return atomic_load(&blocks); }

sg_status sg_alloc_array(void *pointer_to_pointer, size_t count, size_t size, const char *what, sg_error *error)
{
    void *block = sg_calloc(count, size);
    memcpy(pointer_to_pointer, &block, sizeof block);
    if (!block)
        return sg_fail(error, SG_ERR_MEMORY, what, "could not allocate %zu x %zu bytes", count, size);
    return SG_OK;
}

size_t sg_size_mul(size_t a, size_t b)
{
    size_t product;
    return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}
