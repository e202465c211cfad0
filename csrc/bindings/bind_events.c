/* SPDX-License-Identifier: BSD-3-Clause */
#include "bindings/bind_events.h"

#include <stdatomic.h>

#include "base/threads.h"

int sg_law_from(PyObject *tuple, const char *name, sg_law *law)
{
    int kind;
    if (!PyTuple_Check(tuple)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a tuple (kind, centre, spread, low, high), got %R", name, tuple);
        return -1;
    }
    *law = (sg_law){0};
    if (!PyArg_ParseTuple(tuple, "idddd", &kind, &law->centre, &law->spread, &law->low, &law->high))
        return -1;
    if (kind < SG_LAW_FIXED || kind > SG_LAW_GAUSSIAN) {
        PyErr_Format(PyExc_ValueError, "%s: expected a kind of law of 0 to 3, got %d", name, kind);
        return -1;
    }
    law->kind = (sg_law_kind)kind;
    return 0;
}

typedef struct {
    size_t  n, block;
    size_t  (*body)(void *, size_t, size_t, int);
    void   *context;
    sg_poll poll;
    atomic_size_t failed;
} run_job;

static int run_block(void *context, size_t block, int thread)
{
    run_job *job  = context;
    size_t   from = block * job->block, n = job->n - from < job->block ? job->n - from : job->block;
    if (thread == 0 && sg_poll_due(&job->poll, (double)from, (double)job->n))
        return SG_ERR_INTERRUPTED;
    size_t done = job->body(job->context, from, n, thread);
    if (done == n)
        return SG_OK;
    size_t event = from + done, seen = atomic_load(&job->failed);
    while (event < seen && !atomic_compare_exchange_weak(&job->failed, &seen, event))
        continue;
    return SG_ERR_VALUE;
}

sg_status sg_events_run(size_t n, size_t block, int num_threads, size_t (*body)(void *, size_t, size_t, int), void *context,
                        size_t *failed)
{
    run_job job = {n, block, body, context, sg_python_poll(Py_None), n};
    int     status = sg_threads_blocks((n + block - 1) / block, num_threads, run_block, &job);
    *failed        = atomic_load(&job.failed);
    return (sg_status)status;
}
