/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/philox.h"
#include "check.h"

/* Random123, kat_vectors, "philox4x32 10" */
static void known_answer(void)
{
    sg_philox_block b = sg_philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88);
    CHECK(b.word[0] == 0xd16cfe09 && b.word[1] == 0x94fdcceb && b.word[2] == 0x5001e420 && b.word[3] == 0x24126ea1);
}

static void scalar_and_array_forms_agree(void)
{
    double u[101];
    sg_philox_f64_now()->uniform(3, 4, 7, 101, u);
    for (uint64_t i = 0; i < 101; i++)
        CHECK(u[i] == sg_philox_uniform(3, 4, 7 + i));
}

static void integers_stay_below_their_bound(void)
{
    for (uint64_t bound = 1; bound < 50; bound += 7) {
        uint64_t top = 0;
        for (uint64_t i = 0; i < 2000; i++) {
            uint64_t k = sg_philox_below(1, bound, i, bound);
            CHECK(k < bound);
            top = k > top ? k : top;
        }
        CHECK(top == bound - 1);
    }
}

int main(void)
{
    known_answer();
    scalar_and_array_forms_agree();
    integers_stay_below_their_bound();
    return check_result();
}
