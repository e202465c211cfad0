/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "check.h"

static void wish_of_the_environment_is_granted_up_to_what_the_cpu_offers(void)
{
    sg_isa best = sg_cpu_isa_best();
    for (int isa = 0; isa < SG_ISA_COUNT; isa++) {
        setenv("SIMGRAFT_ISA", sg_cpu_isa_name((sg_isa)isa), 1);
        CHECK(sg_cpu_isa_set("auto", NULL) == SG_OK);
        CHECK(sg_cpu_isa() == ((sg_isa)isa <= best ? (sg_isa)isa : best));
    }
    setenv("SIMGRAFT_ISA", "z80", 1);
    CHECK(sg_cpu_isa_set("", NULL) == SG_OK && sg_cpu_isa() == best);
    unsetenv("SIMGRAFT_ISA");
}

static void wrong_name_is_refused_and_changes_nothing(void)
{
    sg_error error  = {0};
    sg_isa   before = sg_cpu_isa();
    CHECK(sg_cpu_isa_set("v5", &error) == SG_ERR_VALUE);
    CHECK(strcmp(error.message, "isa: expected portable, v2, v3, v4 or auto, got \"v5\"") == 0);
    CHECK(sg_cpu_isa() == before);
    CHECK(strcmp(sg_cpu_isa_name(SG_ISA_COUNT), "unknown") == 0);
}

int main(void)
{
    wish_of_the_environment_is_granted_up_to_what_the_cpu_offers();
    wrong_name_is_refused_and_changes_nothing();
    return check_result();
}
