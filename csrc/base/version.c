/* SPDX-License-Identifier: BSD-3-Clause */
#include "simgraft/version.h"

const char *sg_version(void)
{
    return SG_VERSION;
}
