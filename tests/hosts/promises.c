/* SPDX-License-Identifier: BSD-3-Clause */
/* What surrogate.h promises to hosts: threads share a surrogate, it may be used after a fork, nothing is printed.
 *
 *     promises threads FILE.sg | openmp FILE.sg | fork FILE.sg | silence FILE.sg
 *
 * Exit status 0 if the promise is kept; else a line on standard error says where it was not. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <simgraft/simgraft.h>

#define N 300      /* rows */
#define REPEATS 100 /* of every call, so that threads overlap */

static sg_surrogate *surrogate;
static size_t        n_in, n_out;

/* Inputs, directions and weights, the same for all; and what one thread computed. */
static double in[N * 8], d_in[N * 8], d_out[N * 8];
static double expected_out[N * 8], expected_jvp[N * 8], expected_vjp[N * 8];

static int fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    return 1;
}

static double number(size_t i) { return (double)(i * 2654435761u % 1000003u) / 1000003.0; }

static void fill(void)
{
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < n_in; j++) {
            sg_surrogate_variable v = sg_surrogate_input(surrogate, j);
            /* one row in fifty outside */
            in[i * n_in + j]   = v.low + (v.high - v.low) * (number(i * n_in + j) + (i % 50 == 49 ? 2 : 0));
            d_in[i * n_in + j] = (v.high - v.low) * (number(7 + i * n_in + j) - 0.5);
        }
        for (size_t j = 0; j < n_out; j++)
            d_out[i * n_out + j] = number(3 + i * n_out + j) - 0.5;
    }
}

/* Rows first ... last - 1. */
static int evaluate(size_t first, size_t last, void *workspace, sg_guard *guard, double *out, double *jvp, double *vjp)
{
    ptrdiff_t a = (ptrdiff_t)n_in, b = (ptrdiff_t)n_out;
    size_t    n = last - first, i = first * n_in, o = first * n_out;
    return sg_surrogate_eval(surrogate, n, in + i, a, out + o, b, workspace, guard) != SG_OK ||
           sg_surrogate_jvp_f64(surrogate, n, in + i, a, 1, d_in + i, a, 1, jvp + o, b, 1, workspace, guard) != SG_OK ||
           sg_surrogate_vjp_f64(surrogate, n, in + i, a, 1, d_out + o, b, 1, vjp + i, a, 1, workspace, guard) != SG_OK;
}

/* NULL if everything has the expected bits and counts, else the name of what differs. context is the row where this
 * thread begins: threads are at different rows at any time, so that what they shared by mistake would show. */
static void *one_thread(void *context)
{
    size_t      start     = *(size_t *)context;
    static char wrong[] = "a thread computed other bits or counts", memory[] = "no memory";
    size_t      bytes     = sg_surrogate_derivative_workspace_bytes(surrogate);
    void       *workspace = malloc(bytes);
    double     *out       = malloc(3 * sizeof expected_out);
    void       *answer    = workspace && out ? NULL : memory;
    sg_guard    guard;
    sg_guard_init(&guard);
    for (int repeat = 0; repeat < REPEATS && !answer; repeat++) {
        double *jvp = out + N * 8, *vjp = jvp + N * 8;
        if (evaluate(start, N, workspace, &guard, out, jvp, vjp) || evaluate(0, start, workspace, &guard, out, jvp, vjp) ||
            memcmp(out, expected_out, N * n_out * sizeof *out) || memcmp(jvp, expected_jvp, N * n_out * sizeof *out) ||
            memcmp(vjp, expected_vjp, N * n_in * sizeof *out))
            answer = wrong;
    }
    if (!answer && (guard.n_calls != 6 * REPEATS || guard.n_rows != 3 * REPEATS * N || guard.n_outside != 3 * REPEATS * (N / 50)))
        answer = wrong;
    free(workspace);
    free(out);
    return answer;
}

enum { COUNT = 4 };
static size_t starts[COUNT] = {17, 80, 160, 240};

static int threads(void)
{
    pthread_t   thread[COUNT];
    const char *wrong = NULL;
    for (int i = 0; i < COUNT; i++)
        if (pthread_create(&thread[i], NULL, one_thread, &starts[i]))
            return fail("a thread could not be started");
    for (int i = 0; i < COUNT; i++) {
        void *answer;
        pthread_join(thread[i], &answer);
        wrong = answer ? answer : wrong;
    }
    return wrong ? fail(wrong) : 0;
}

static int openmp(void)
{
    int failures = 0;
#pragma omp parallel for num_threads(2) reduction(+ : failures) schedule(dynamic, 1)
    for (int i = 0; i < COUNT; i++)
        failures += one_thread(&starts[i]) != NULL;
    return failures ? fail("a thread computed other bits or counts") : 0;
}

/* Threads of the library, before the fork and after it. */
static int library_threads(void)
{
    size_t    bytes     = sg_surrogate_threads_workspace_bytes(surrogate, 2);
    void     *workspace = malloc(bytes);
    double   *out       = malloc(sizeof expected_out);
    ptrdiff_t a = (ptrdiff_t)n_in, b = (ptrdiff_t)n_out;
    int       bad = !workspace || !out ||
              sg_surrogate_eval_threads_f64(surrogate, N, in, a, 1, out, b, 1, 2, workspace, NULL) != SG_OK ||
              memcmp(out, expected_out, N * n_out * sizeof *out);
    free(workspace);
    free(out);
    return bad;
}

static int after_fork(const char *path)
{
    if (library_threads())
        return fail("threads of the library computed other bits");
    pid_t child = fork();
    if (child == 0) {
        sg_surrogate *again = NULL;
        int           bad   = one_thread(&starts[0]) != NULL || library_threads() || sg_surrogate_open(path, &again, NULL) != SG_OK;
        sg_surrogate_close(again);
        _exit(bad);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status))
        return fail("the child of a fork failed");
    return one_thread(&starts[0]) ? fail("the parent of a fork failed") : 0;
}

/* All calls, failures too, with both output streams turned into a file, which must stay empty. */
static int silence(const char *path)
{
    char  name[] = "silence-XXXXXX", cut[] = "cut-XXXXXX", bytes[3000];
    int   file = mkstemp(name), damaged = mkstemp(cut), error = dup(2), output = dup(1);
    FILE *whole = fopen(path, "rb");
    if (file < 0 || damaged < 0 || error < 0 || output < 0 || !whole || fread(bytes, 1, sizeof bytes, whole) != sizeof bytes ||
        write(damaged, bytes, sizeof bytes) != (ssize_t)sizeof bytes)
        return fail("the test could not be set up");
    fclose(whole);
    dup2(file, 1);
    dup2(file, 2);
    sg_surrogate *none;
    sg_error      report;
    sg_guard      guard;
    sg_guard_init(&guard);
    guard.policy = SG_GUARD_STOP;
    int kept     = sg_surrogate_open(cut, &none, &report) != SG_OK && sg_surrogate_open("/nowhere", &none, &report) != SG_OK &&
               sg_surrogate_open("/", &none, NULL) != SG_OK && one_thread(&starts[0]) == NULL && library_threads() == 0 &&
               sg_surrogate_eval(surrogate, 1, NULL, 1, NULL, 1, NULL, &guard) != SG_OK;
    fflush(NULL);
    off_t size = lseek(file, 0, SEEK_END);
    dup2(output, 1);
    dup2(error, 2);
    unlink(name);
    unlink(cut);
    if (!kept)
        return fail("a call did not end as it should");
    return size ? fail("something was printed") : 0;
}

int main(int argc, char **argv)
{
    sg_error error;
    if (argc != 3 || sg_surrogate_open(argv[2], &surrogate, &error) != SG_OK)
        return fail(argc != 3 ? "usage: promises WHAT FILE.sg" : error.message);
    sg_surrogate_info info = sg_surrogate_describe(surrogate);
    n_in = info.n_in, n_out = info.n_out;
    void    *workspace = malloc(sg_surrogate_derivative_workspace_bytes(surrogate));
    sg_guard guard;
    sg_guard_init(&guard);
    if (n_in > 8 || n_out > 8 || !workspace)
        return fail("the surrogate is too large for this program");
    fill();
    if (evaluate(0, N, workspace, &guard, expected_out, expected_jvp, expected_vjp))
        return fail("the surrogate could not be evaluated");
    free(workspace);
    int bad = !strcmp(argv[1], "threads")   ? threads()
              : !strcmp(argv[1], "openmp")  ? openmp()
              : !strcmp(argv[1], "fork")    ? after_fork(argv[2])
              : !strcmp(argv[1], "silence") ? silence(argv[2])
                                            : fail("WHAT: expected threads, openmp, fork or silence");
    sg_surrogate_close(surrogate);
    return bad;
}
