/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIMGRAFT_VERSION_H
#define SIMGRAFT_VERSION_H

#include "simgraft/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Version of the library in use, "major.minor.patch". */
SG_API const char *sg_version(void);

#ifdef __cplusplus
}
#endif
#endif
