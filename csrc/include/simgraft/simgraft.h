/* SPDX-License-Identifier: BSD-3-Clause
 *
 * All of simgraft's interface for host codes. Each header reads as a manual of its topic:
 *
 *     simgraft/events.h     draw events from a generative model
 *     simgraft/status.h     status numbers and error reports
 *     simgraft/surrogate.h  open, describe and evaluate a surrogate
 *     simgraft/version.h    version of the library
 *
 * Names that begin with sg_ and SG_ belong to simgraft.
 */
#ifndef SIMGRAFT_SIMGRAFT_H
#define SIMGRAFT_SIMGRAFT_H

#include "simgraft/events.h"
#include "simgraft/status.h"
#include "simgraft/surrogate.h"
#include "simgraft/version.h"

#endif
