/* SPDX-License-Identifier: BSD-3-Clause */
/* What the bindings need beyond include/simgraft/surrogate.h. The contents of a surrogate file:
 * docs/files.md. */
#ifndef SG_SURROGATE_SURROGATE_H
#define SG_SURROGATE_SURROGATE_H

#include "base/poll.h"
#include "nn/infer.h"
#include "simgraft/surrogate.h"
#include "store/container.h"
#include "surrogate/encode.h"

#define SG_SURROGATE_KIND "simgraft surrogate"
#define SG_SURROGATE_VERSION 2

/* Builds a surrogate from the entries of a container, which are copied. SG_ERR_FORMAT names the entry that
 * is wrong. */
sg_status sg_surrogate_from_container(const sg_container *container, sg_surrogate **surrogate,
                                      sg_error *error);

/* The program stored under prefix/column, prefix/op and prefix/value. */
sg_status sg_program_from_container(const sg_container *container, const char *prefix, size_t n_in,
                                    size_t n_out, sg_program **program, sg_error *error);

/* A table of the host: floats (single) or doubles, element (row, column) at data[row * row + column * col]. */
typedef struct sg_surrogate_table {
    void     *data;
    ptrdiff_t row, col;
    int       single;
} sg_surrogate_table;

/* One call of the C interface. d: direction or gradient of a derivative; in, d and out are of one type. */
typedef struct sg_surrogate_job {
    sg_net_task        task;
    size_t             n;
    sg_surrogate_table in, d, out;
    void              *workspace;  /* sg_surrogate_job_bytes */
    sg_guard          *guard;      /* or NULL */
    sg_poll           *poll;       /* looked at by the first thread, or NULL */
} sg_surrogate_job;

/* Runs it on num_threads threads (0: all) and merges what their guards saw, so that results and counts are those of one thread.
 * SG_ERR_UNSUPPORTED for a derivative with the policy fallback, SG_ERR_INTERRUPTED when poll says so. */
sg_status sg_surrogate_run(const sg_surrogate *surrogate, const sg_surrogate_job *job, int num_threads);
int       sg_surrogate_job_threads(size_t n, int num_threads); /* that would be used */
size_t    sg_surrogate_job_bytes(const sg_surrogate *surrogate, sg_net_task task, int num_threads);

/* Mahalanobis distance of each row to the training data, as the guard computes it. SG_ERR_VALUE when none
 * was learnt. */
sg_status sg_surrogate_distance_f64(const sg_surrogate *surrogate, size_t n, const double *in,
                                    ptrdiff_t in_row, ptrdiff_t in_col, double *distance,
                                    /* (n) */ void *workspace, sg_error *error);

/* Name of the instruction set the network was packed for, and whether the output scaling went into its
 * last layer. */
const char *sg_surrogate_isa(const sg_surrogate *surrogate);
int         sg_surrogate_is_folded(const sg_surrogate *surrogate);

#endif
