/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Generative surrogates in a host code: open the file of a model of events, draw events from it.
 *
 *     sg_error          error;
 *     sg_event_sampler *pairs;
 *     if (sg_event_sampler_open("top.sg", &pairs, &error) != SG_OK)
 *         stop(error.message);
 *     void *workspace = malloc(sg_event_sampler_workspace_bytes(pairs));    // one per thread
 *     for (first = 0; first < wanted; first += n)
 *         sg_event_sampler_run(pairs, seed, first, n, columns, n, second, workspace);
 *     sg_event_sampler_close(pairs);
 *
 * What it draws. Top-pair events as columns: missing transverse momentum [GeV] and its azimuth, then E [GeV], pT [GeV], eta and phi of
 * four jets and of one or two leptons, each in order of pT; columns of an absent second lepton are 0. The file is what
 * simgraft.events.chain.ChainModel.save wrote.
 *
 * Threads and bits. Event i of a seed is a pure function of the seed and of i: the same bits whatever n, the thread, and the instruction
 * set (AVX2 with FMA, AVX-512), and the same as in Python. A sampler never changes after it was opened: any number of threads may run
 * it at once, each with its own workspace. A run allocates nothing, prints nothing and reads no file.
 */
#ifndef SIMGRAFT_EVENTS_H
#define SIMGRAFT_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "simgraft/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sg_event_sampler sg_event_sampler;

/* Reads a model. The checksum is verified and every size checked before memory is allocated. On failure *sampler is NULL and the return
 * value (and error, which may be NULL) says why: SG_ERR_NOT_FOUND, SG_ERR_IO, SG_ERR_FORMAT, SG_ERR_CHECKSUM, SG_ERR_VERSION,
 * SG_ERR_VALUE, SG_ERR_SHAPE, SG_ERR_MEMORY. Free with sg_event_sampler_close. */
SG_API sg_status sg_event_sampler_open(const char *path, sg_event_sampler **sampler, sg_error *error);

/* Frees a sampler; NULL is allowed. No thread may be using it. */
SG_API void sg_event_sampler_close(sg_event_sampler *sampler);

/* Columns of an event: 26. */
SG_API size_t sg_event_sampler_n_columns(const sg_event_sampler *sampler);

/* Bytes of workspace per thread, for any n. The block needs no particular alignment. */
SG_API size_t sg_event_sampler_workspace_bytes(const sg_event_sampler *sampler);

/* Draws events first ... first + n - 1 of a seed. */
SG_API void sg_event_sampler_run(const sg_event_sampler *sampler, uint64_t seed, uint64_t first, size_t n,
                                 double        *columns, /* (n_columns, stride): event i of column c at columns[c * stride + i] */
                                 size_t         stride,  /* >= n                                                              */
                                 unsigned char *second,  /* (n) 1 with a second lepton, else 0                                */
                                 void          *workspace);

#ifdef __cplusplus
}
#endif
#endif
