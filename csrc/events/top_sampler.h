/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Top-pair events from a chain of conditional laws of their coordinates (nn/spline_chain.h, events/top_coordinates.h): random
 * numbers, features, networks, coordinates and columns of a block of events, all in one call. An event is a function of the seed
 * and its number. An azimuth that puts an object closer to another than any may be is drawn again, which is the law without that
 * region: a network alone would blur the edge that a jet algorithm makes. Any number of threads may run one sampler, each with its own workspace; a run allocates nothing.
 */
#ifndef SG_EVENTS_TOP_SAMPLER_H
#define SG_EVENTS_TOP_SAMPLER_H

#include <stdint.h>

#include "events/top_coordinates.h"
#include "nn/spline_chain.h"

typedef struct sg_top_sampler {
    const sg_spline_chain *chain;
    double second_share;            /* of events with a second lepton                        */
    double least_jet, least_lepton; /* pT from which the coordinates count, as in encode [GeV] */
    double closest_jet, closest_lepton; /* Delta R that jets keep from each other, and the first lepton from jets; 0: none */
} sg_top_sampler;

/* Whether the chain has a step for each coordinate, with its features. SG_ERR_SHAPE names the step. */
sg_status sg_top_sampler_check(const sg_top_sampler *sampler, sg_error *error);

size_t sg_top_sampler_workspace_bytes(const sg_top_sampler *sampler); /* per thread, a multiple of 64 */

void sg_top_sampler_run(const sg_top_sampler *sampler, uint64_t seed, uint64_t first, /* number of the first event           */
                        size_t   n,         /* <= SG_SPLINE_CHAIN_BLOCK                                                    */
                        size_t   stride,    /* of a column                                                                 */
                        double  *columns,   /* (26, stride) [GeV, rad, 1]                                                  */
                        uint8_t *second,    /* (n) 1 with a second lepton                                                  */
                        void    *workspace); /* aligned to 64 bytes                                                        */

#endif
