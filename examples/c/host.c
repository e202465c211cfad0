/* SPDX-License-Identifier: BSD-3-Clause */
/* A small host: opens a surrogate file, tells what it is, reads rows of inputs from standard input and writes rows of
 * outputs. Threads share the surrogate, each with its own workspace and guard; with MPI, each rank has a share of the rows.
 *
 *     make         && OMP_NUM_THREADS=2 ./host rates.sg < inputs.txt > outputs.txt
 *     make host_mpi && mpirun -n 2 ./host_mpi rates.sg < inputs.txt > outputs.txt
 *
 * Numbers are written with 17 digits, so that they are read back with the same bits. */
#include <stdio.h>
#include <stdlib.h>

#include <omp.h>
#include <simgraft/simgraft.h>

#include "ranks.h"

#define ROWS 256 /* rows evaluated at once: in a real host, the columns or cells of a subdomain */

static void tell(const sg_surrogate *surrogate)
{
    sg_surrogate_info info = sg_surrogate_describe(surrogate);
    fprintf(stderr, "simgraft %s: surrogate of %s %s, %zu parameters, %.0f operations a row\n", sg_version(), info.name,
            info.version, info.n_parameters, info.flops_per_row);
    for (size_t i = 0; i < info.n_in; i++) {
        sg_surrogate_variable v = sg_surrogate_input(surrogate, i);
        fprintf(stderr, "  in   %s [%s], %g to %g\n", v.name, v.unit, v.low, v.high);
    }
    for (size_t i = 0; i < info.n_out; i++) {
        sg_surrogate_variable v = sg_surrogate_output(surrogate, i);
        fprintf(stderr, "  out  %s [%s]\n", v.name, v.unit);
    }
}

/* Reads numbers up to the end of standard input; *n is the number of whole rows. NULL without memory. */
static double *read_rows(size_t n_in, size_t *n)
{
    size_t  room = 1024, have = 0;
    double *in = malloc(room * sizeof *in);
    double  number;
    while (in && scanf("%lf", &number) == 1) {
        if (have == room) {
            double *more = realloc(in, 2 * room * sizeof *in);
            if (!more)
                free(in);
            in = more;
            room *= 2;
        }
        if (in)
            in[have++] = number;
    }
    *n = have / n_in;
    return in;
}

/* n rows by all threads. The counts of the threads are merged in the order of their rows. Returns 0 for success. */
static int evaluate(const sg_surrogate *surrogate, size_t n, const double *in, double *out, sg_guard *total)
{
    sg_surrogate_info info     = sg_surrogate_describe(surrogate);
    int               failures = 0;
    sg_guard         *guards   = calloc((size_t)omp_get_max_threads(), sizeof *guards);
    if (!guards)
        return 1;
#pragma omp parallel reduction(+ : failures)
    {
        sg_guard *guard     = &guards[omp_get_thread_num()];
        void     *workspace = malloc(sg_surrogate_workspace_bytes(surrogate));
        sg_guard_init(guard);
        failures += !workspace;
#pragma omp for schedule(static)
        for (size_t row = 0; row < n; row += ROWS) {
            size_t rows = n - row < ROWS ? n - row : ROWS;
            if (workspace && sg_surrogate_eval(surrogate, rows, in + row * info.n_in, (ptrdiff_t)info.n_in,
                                               out + row * info.n_out, (ptrdiff_t)info.n_out, workspace, guard) != SG_OK)
                failures++;
        }
        free(workspace);
    }
    for (int i = 0; i < omp_get_max_threads(); i++)
        sg_guard_merge(total, &guards[i]);
    free(guards);
    return failures;
}

static int run(const sg_surrogate *surrogate)
{
    sg_surrogate_info info = sg_surrogate_describe(surrogate);
    size_t            n    = 0;
    double           *all  = ranks_first() ? read_rows(info.n_in, &n) : NULL, *all_out = NULL;
    sg_guard          guard;
    sg_guard_init(&guard);

    size_t  mine = ranks_share(n); /* of this rank */
    double *in   = malloc((mine + 1) * info.n_in * sizeof *in);
    double *out  = malloc((mine + 1) * info.n_out * sizeof *out);
    if (ranks_first())
        all_out = malloc((n + 1) * info.n_out * sizeof *all_out);
    int failed = !in || !out || (ranks_first() && (!all || !all_out));
    if (!ranks_any(failed)) {
        ranks_scatter(all, in, info.n_in);
        failed = ranks_any(evaluate(surrogate, mine, in, out, &guard));
        ranks_gather(out, all_out, info.n_out);
        ranks_merge(&guard);
    }
    if (!failed && ranks_first()) {
        for (size_t i = 0; i < n * info.n_out; i++)
            printf("%.17g%c", all_out[i], (i + 1) % info.n_out ? ' ' : '\n');
        fprintf(stderr, "%zu rows, %zu outside the domain\n", guard.n_rows, guard.n_outside);
        sg_error error;
        if (sg_guard_explain(surrogate, &guard, &error) != SG_OK)
            fprintf(stderr, "first: %s\n", error.message);
    }
    free(all);
    free(all_out);
    free(in);
    free(out);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE.sg < inputs > outputs\n", argv[0]);
        return 2;
    }
    ranks_start(&argc, &argv);
    sg_surrogate *surrogate;
    sg_error      error;
    int           failed = sg_surrogate_open(argv[1], &surrogate, &error) != SG_OK;
    if (failed && ranks_first())
        fprintf(stderr, "%s\n", error.message);
    if (!ranks_any(failed)) {
        if (ranks_first())
            tell(surrogate);
        failed = run(surrogate);
    }
    sg_surrogate_close(surrogate);
    ranks_stop();
    return failed;
}
