/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "check.h"

static void blocks_are_aligned_and_cleared_when_asked(void)
{
    for (size_t bytes = 0; bytes < 300; bytes += 7) {
        char *block = sg_alloc(bytes), *zero = sg_calloc(bytes, 1);
        CHECK(block && (uintptr_t)block % SG_ALIGNMENT == 0);
        CHECK(zero && (uintptr_t)zero % SG_ALIGNMENT == 0);
        for (size_t i = 0; zero && i < bytes; i++)
            CHECK(zero[i] == 0);
        sg_free(block);
        sg_free(zero);
    }
    sg_free(NULL);
}

static void sizes_that_overflow_are_refused(void)
{
    CHECK(sg_size_mul(3, 5) == 15);
    CHECK(sg_size_mul(SIZE_MAX, 1) == SIZE_MAX);
    CHECK(sg_size_mul(SIZE_MAX / 2 + 1, 2) == SIZE_MAX);
    CHECK(sg_calloc(SIZE_MAX / 2, 4) == NULL);
    CHECK(sg_alloc(SIZE_MAX) == NULL);
    double  *array = (double *)1;
    sg_error error = {0};
    CHECK(sg_alloc_array(&array, SIZE_MAX / 4, 8, "weights", &error) == SG_ERR_MEMORY);
    CHECK(array == NULL && strcmp(error.argument, "weights") == 0);
}

static void nth_allocation_fails_once(void)
{
    sg_memory_fail_after(2, 0);
    void *block[4];
    for (int i = 0; i < 4; i++)
        block[i] = sg_alloc(8);
    CHECK(block[0] && block[1] && !block[2] && block[3]);
    for (int i = 0; i < 4; i++)
        sg_free(block[i]);
    CHECK(sg_memory_fail_after(-1, 0) == 4);
}

static void every_later_allocation_fails_when_asked(void)
{
    sg_memory_fail_after(1, 1);
    void *first = sg_alloc(8);
    CHECK(first && !sg_alloc(8) && !sg_alloc(8) && !sg_calloc(1, 8));
    sg_free(first);
    sg_memory_fail_after(-1, 0);
    void *after = sg_alloc(8);
    CHECK(after);
    sg_free(after);
}

static int   live;
static void *count_allocate(size_t bytes, void *context)
{
    ++*(int *)context;
    return aligned_alloc(SG_ALIGNMENT, sg_round_up(bytes ? bytes : 1, SG_ALIGNMENT));
}

static void count_release(void *block, void *context)
{
    --*(int *)context;
    free(block);
}

static void allocator_can_be_replaced(void)
{
    sg_allocator counting = {count_allocate, count_release, &live};
    sg_allocator_set(&counting);
    void *a = sg_alloc(10), *b = sg_calloc(3, 3);
    CHECK(live == 2);
    sg_free(a);
    sg_free(b);
    CHECK(live == 0);
    sg_allocator_set(NULL);
    sg_free(sg_alloc(1));
    CHECK(live == 0);
}

static void blocks_are_counted_until_they_are_released(void)
{
    size_t before = sg_memory_blocks();
    void  *a = sg_alloc(8), *b = sg_calloc(2, 2);
    CHECK(sg_memory_blocks() == before + 2);
    sg_memory_fail_after(0, 0);
    CHECK(sg_alloc(8) == NULL && sg_memory_blocks() == before + 2);
    sg_free(a);
    sg_free(NULL);
    CHECK(sg_memory_blocks() == before + 1);
    sg_free(b);
    CHECK(sg_memory_blocks() == before);
}

int main(void)
{
    blocks_are_counted_until_they_are_released();
    blocks_are_aligned_and_cleared_when_asked();
    sizes_that_overflow_are_refused();
    nth_allocation_fails_once();
    every_later_allocation_fails_when_asked();
    allocator_can_be_replaced();
    return check_result();
}
