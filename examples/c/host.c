/* SPDX-License-Identifier: BSD-3-Clause */
/* A small host: opens a surrogate file, tells what it is, reads rows of inputs from standard input and writes rows of outputs.
 *
 *     make && ./host rates.sg < inputs.txt > outputs.txt
 *
 * Numbers are written with 17 digits, so that they are read back with the same bits. */
#include <stdio.h>
#include <stdlib.h>

#include <simgraft/surrogate.h>
#include <simgraft/version.h>

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

/* Reads up to ROWS rows of n_in numbers; returns the number of whole rows. */
static size_t read_rows(double *in, size_t n_in)
{
    size_t n = 0;
    while (n < ROWS * n_in && scanf("%lf", in + n) == 1)
        n++;
    return n / n_in;
}

static int run(const sg_surrogate *surrogate)
{
    sg_surrogate_info info      = sg_surrogate_describe(surrogate);
    double           *in        = malloc(ROWS * info.n_in * sizeof *in);
    double           *out       = malloc(ROWS * info.n_out * sizeof *out);
    void             *workspace = malloc(sg_surrogate_workspace_bytes(surrogate));
    int               failed    = !in || !out || !workspace;
    sg_guard          guard;
    sg_guard_init(&guard);

    size_t n;
    while (!failed && (n = read_rows(in, info.n_in)) > 0) {
        failed = sg_surrogate_eval(surrogate, n, in, (ptrdiff_t)info.n_in, out, (ptrdiff_t)info.n_out, workspace, &guard) != SG_OK;
        for (size_t i = 0; i < n * info.n_out; i++)
            printf("%.17g%c", out[i], (i + 1) % info.n_out ? ' ' : '\n');
    }
    fprintf(stderr, "%zu rows, %zu outside the domain\n", guard.n_rows, guard.n_outside);
    sg_error error;
    if (sg_guard_explain(surrogate, &guard, &error) != SG_OK)
        fprintf(stderr, "first: %s\n", error.message);
    free(in);
    free(out);
    free(workspace);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE.sg < inputs > outputs\n", argv[0]);
        return 2;
    }
    sg_surrogate *surrogate;
    sg_error      error;
    if (sg_surrogate_open(argv[1], &surrogate, &error) != SG_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    tell(surrogate);
    int failed = run(surrogate);
    sg_surrogate_close(surrogate);
    return failed;
}
