/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Surrogates in a host code: open a file, ask what it is, evaluate it, differentiate it.
 *
 *     sg_error      error;
 *     sg_surrogate *rates;
 *     if (sg_surrogate_open("rates.sg", &rates, &error) != SG_OK)
 *         stop(error.message);
 *     void    *workspace = malloc(sg_surrogate_workspace_bytes(rates));    // one per thread
 *     sg_guard guard;
 *     sg_guard_init(&guard);
 *     for (each time step)
 *         sg_surrogate_eval(rates, n, in, n_in, out, n_out, workspace, &guard);
 *     if (guard.n_outside)
 *         warn(...);
 *     sg_surrogate_close(rates);
 *
 * What it computes. A row of n_in physical inputs goes through the encoder (logarithms, roots, scaling),
 * the network and the decoder, and comes out as n_out physical values, in the order and units that
 * sg_surrogate_input and sg_surrogate_output tell.
 *
 * Threads. A surrogate never changes after it was opened: any number of threads may evaluate it at once,
 * each with its own workspace and its own sg_guard. Evaluation runs in the calling thread, allocates
 * nothing, prints nothing and reads no file. It may be used in a process that was forked after it was opened.
 * For hosts without threads of their own there is sg_surrogate_eval_threads_*.
 *
 * Bits. The outputs of a row depend on the inputs of that row only: not on n, nor on its position, the
 * strides, the thread, or the instruction set (AVX2 with FMA, AVX-512). f32 and f64 calls of the same
 * surrogate differ in rounding.
 *
 * docs/hosts.md tells how to compile and link; examples/c, examples/cpp and examples/fortran are complete.
 */
#ifndef SIMGRAFT_SURROGATE_H
#define SIMGRAFT_SURROGATE_H

#include <stddef.h>
#include <stdint.h>

#include "simgraft/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sg_surrogate sg_surrogate;

/* -------------------------------------------------------------------------------------- open and describe */

/* Reads a surrogate file. The checksum is verified and every size checked before memory is allocated. On
 * failure *surrogate is NULL and the return value (and error, which may be NULL) says why:
 * SG_ERR_NOT_FOUND, SG_ERR_IO, SG_ERR_FORMAT, SG_ERR_CHECKSUM, SG_ERR_VERSION, SG_ERR_MEMORY. Free with
 * sg_surrogate_close. */
SG_API sg_status sg_surrogate_open(const char *path, sg_surrogate **surrogate, sg_error *error);

/* Frees a surrogate; NULL is allowed. No thread may be using it. */
SG_API void sg_surrogate_close(sg_surrogate *surrogate);

typedef struct sg_surrogate_info {
    const char *name;          /* of the kernel it replaces                                                 */
    const char *version;       /* of that kernel                                                            */
    const char *description;   /* JSON: kernel, encoder, decoder, guard, provenance (docs/files.md) */
    size_t      n_in, n_out;   /* columns of a row                                                          */
    size_t      n_parameters;  /* of the network                                                            */
    double      flops_per_row; /* multiplications and additions of the network's matrix products            */
    int         network_bits;  /* 32: the network computes in float; 64: in double                          */
    int         has_domain;    /* a domain was learnt: sg_guard can tell rows outside */
    double      max_distance;  /* to the training data, that counts as inside; infinite: not checked */
} sg_surrogate_info;

/* Texts belong to the surrogate. */
SG_API sg_surrogate_info sg_surrogate_describe(const sg_surrogate *surrogate);

typedef struct sg_surrogate_variable {
    const char *name;       /* "pressure", or "profile[3]" for an element of a variable with a shape */
    const char *unit;       /* "Pa", "1" for a pure number */
    double      low, high;  /* domain: inputs outside count as outside; infinite where nothing is known */
} sg_surrogate_variable;

/* Input column i < n_in, output column i < n_out. An index beyond gives empty texts and zeros. */
SG_API sg_surrogate_variable sg_surrogate_input(const sg_surrogate *surrogate, size_t i);
SG_API sg_surrogate_variable sg_surrogate_output(const sg_surrogate *surrogate, size_t i);

/* ------------------------------------------------------------------------------------------- domain guard */

/* A network knows nothing outside its training data, and does not say so. The guard compares every row
 * with what was seen: each input with its range, and the encoded row as a whole with the training density
 * (Mahalanobis distance). NaN and infinity are always outside. */
enum { /* reasons, added up in row_flags */
    SG_OUTSIDE_BOX      = 1, /* an input is outside its range                                     */
    SG_OUTSIDE_DENSITY  = 2, /* the inputs together are far from the training data               */
    SG_OUTSIDE_NOT_FINITE = 4 /* an input is NaN or infinite (and that is not its missing value)  */
};

typedef enum sg_guard_policy {
    SG_GUARD_COUNT,    /* evaluate all rows, count those outside */
    SG_GUARD_STOP,     /* return an error at the first row outside; out is then undefined */
    SG_GUARD_FALLBACK, /* call the kernel for each row outside */
    SG_GUARD_UNCHECKED /* check nothing, at no cost; n_calls and n_rows are counted */
} sg_guard_policy;

/* A kernel in the host: n rows of inputs to n rows of outputs, both packed row after row. Returns 0 for
 * success. */
typedef int (*sg_kernel_function)(size_t n, const double *in /* (n, n_in) */, double *out /* (n, n_out) */,
                                  void *context);

/* The derivative of a kernel in the host at n rows of inputs. As fallback_jvp: from a direction d (n, n_in) of
 * the inputs to the derivative of the outputs along it, result (n, n_out). As fallback_vjp: from d (n, n_out) to
 * the gradient with respect to the inputs, result (n, n_in). Returns 0 for success. */
typedef int (*sg_kernel_derivative)(size_t n, const double *in /* (n, n_in) */, const double *d, double *result,
                                    void *context);

/* Owned by the caller, one per thread. Wishes are set before the call, counts are added to by every call of
 * eval, jvp and vjp: the statistics of a host. */
typedef struct sg_guard {
    /* wishes */
    sg_guard_policy      policy;
    sg_kernel_function   fallback;         /* for SG_GUARD_FALLBACK in eval; called with n = 1 */
    sg_kernel_derivative fallback_jvp;     /* the same in jvp */
    sg_kernel_derivative fallback_vjp;     /* the same in vjp */
    void                *fallback_context;
    uint8_t             *row_flags;        /* (n) of each call: SG_OUTSIDE_... or 0; may be NULL */
    size_t              *outside_of_input; /* (n_in) values outside their range or not finite, or NULL */
    /* counts */
    size_t               n_calls;
    size_t               n_rows;           /* rows looked at */
    size_t               n_outside;        /* rows outside for any reason */
    size_t               n_box, n_density, n_not_finite; /* rows outside by reason, or several */
    size_t               n_fallback;       /* rows the kernel computed */
    /* the first row outside */
    size_t               first_row;        /* counted from the first row looked at */
    ptrdiff_t            first_input;      /* input column to blame, -1 for the density */
    double               first_value;      /* its value, or the distance */
    int                  first_flags;      /* 0: no row outside yet */
} sg_guard;

/* Clears wishes and counts: SG_GUARD_COUNT, no arrays. */
SG_API void sg_guard_init(sg_guard *guard);

/* Adds the counts of part to those of total, as if total had seen the rows of part after its own: for the report
 * over all threads. Neither wishes nor the arrays change. */
SG_API void sg_guard_merge(sg_guard *total, const sg_guard *part);

/* Writes what is known about the first row outside into error: names the variable, the row, the value and
 * the limit. Returns SG_ERR_DOMAIN or SG_ERR_NOT_FINITE, or SG_OK when no row was outside. */
SG_API sg_status sg_guard_explain(const sg_surrogate *surrogate, const sg_guard *guard, sg_error *error);

/* --------------------------------------------------------------------------------------------- evaluation */

/* Bytes of workspace per thread, for any n. The block needs no particular alignment. */
SG_API size_t sg_surrogate_workspace_bytes(const sg_surrogate *surrogate);

/* Evaluates n rows. Input column j of row i is in[i * in_row + j * in_col], output column j is
 * out[i * out_row + j * out_col]; strides count elements, may be negative, and serve C order (in_row = n_in,
 * in_col = 1), Fortran order (in_row = 1, in_col = n) and parts of larger arrays. in and out must not
 * overlap. guard may be NULL: no check, no cost.
 *
 * Returns SG_OK, SG_ERR_VALUE for a NULL pointer, and with a guard SG_ERR_DOMAIN, SG_ERR_NOT_FINITE
 * (policy stop; see sg_guard_explain), SG_ERR_VALUE (policy fallback without a kernel) or SG_ERR_DIVERGED
 * (the fallback kernel failed). After an error out is undefined and the counts are those up to the row that
 * caused it, or a few more. */
SG_API sg_status sg_surrogate_eval_f64(const sg_surrogate *surrogate, size_t n,
                                       const double *in, ptrdiff_t in_row, ptrdiff_t in_col,
                                       double *out, ptrdiff_t out_row, ptrdiff_t out_col,
                                       void *workspace, sg_guard *guard);
SG_API sg_status sg_surrogate_eval_f32(const sg_surrogate *surrogate, size_t n,
                                       const float *in, ptrdiff_t in_row, ptrdiff_t in_col,
                                       float *out, ptrdiff_t out_row, ptrdiff_t out_col,
                                       void *workspace, sg_guard *guard);

/* The usual case: double, the columns of a row next to each other, rows in_stride and out_stride elements
 * apart. */
SG_API sg_status sg_surrogate_eval(const sg_surrogate *surrogate, size_t n,
                                   const double *in, ptrdiff_t in_stride,
                                   double *out, ptrdiff_t out_stride, void *workspace, sg_guard *guard);

/* The same on num_threads >= 1 threads (OpenMP), for hosts without threads of their own: fewer where there is
 * little to do, one inside a parallel region of the host and in a forked process. The outputs and the counts
 * are those of one thread. The fallback kernel is called by one thread at a time.
 * sg_surrogate_threads_workspace_bytes tells the workspace for all of them. */
SG_API sg_status sg_surrogate_eval_threads_f64(const sg_surrogate *surrogate, size_t n,
                                               const double *in, ptrdiff_t in_row, ptrdiff_t in_col,
                                               double *out, ptrdiff_t out_row, ptrdiff_t out_col,
                                               int num_threads, void *workspace, sg_guard *guard);
SG_API sg_status sg_surrogate_eval_threads_f32(const sg_surrogate *surrogate, size_t n,
                                               const float *in, ptrdiff_t in_row, ptrdiff_t in_col,
                                               float *out, ptrdiff_t out_row, ptrdiff_t out_col,
                                               int num_threads, void *workspace, sg_guard *guard);
SG_API size_t sg_surrogate_threads_workspace_bytes(const sg_surrogate *surrogate, int num_threads);

/* Threads worth asking for: OMP_NUM_THREADS, or the CPUs this process may use. */
SG_API int sg_surrogate_max_threads(void);

/* -------------------------------------------------------------------------------------------- derivatives */

/* Tangent-linear: with J the Jacobian (n_out, n_in) of the whole function (encoder, network, decoder) at a row
 * of in, in physical units on both sides,
 *
 *     d_out = J d_in        for each row: d_in (n, n_in) a direction, d_out (n, n_out).
 *
 * Where the function has a kink or a jump (relu, a clipped input, a category) the derivative is that of one
 * side: 0 for categories, for values that stand for "missing", and beyond the bounds of a clipped variable. The
 * root of 0 has the derivative infinity. Strides as in eval; d_out must not overlap the others.
 *
 * guard as in eval: a row outside is counted, or stops, or (policy fallback) gets its derivative from
 * fallback_jvp; SG_ERR_VALUE when that is NULL. Otherwise the derivative is that of the surrogate, which far from
 * the training data means little. Counts go up by every call: use a second guard to keep them apart from those
 * of eval. */
SG_API sg_status sg_surrogate_jvp_f64(const sg_surrogate *surrogate, size_t n,
                                      const double *in, ptrdiff_t in_row, ptrdiff_t in_col,
                                      const double *d_in, ptrdiff_t d_in_row, ptrdiff_t d_in_col,
                                      double *d_out, ptrdiff_t d_out_row, ptrdiff_t d_out_col,
                                      void *workspace, sg_guard *guard);
SG_API sg_status sg_surrogate_jvp_f32(const sg_surrogate *surrogate, size_t n,
                                      const float *in, ptrdiff_t in_row, ptrdiff_t in_col,
                                      const float *d_in, ptrdiff_t d_in_row, ptrdiff_t d_in_col,
                                      float *d_out, ptrdiff_t d_out_row, ptrdiff_t d_out_col,
                                      void *workspace, sg_guard *guard);

/* Adjoint: d_in = J' d_out for each row: d_out (n, n_out) is the gradient of some number with respect to the
 * outputs, d_in (n, n_in) that with respect to the inputs. Everything else as in jvp; the fallback is
 * fallback_vjp. */
SG_API sg_status sg_surrogate_vjp_f64(const sg_surrogate *surrogate, size_t n,
                                      const double *in, ptrdiff_t in_row, ptrdiff_t in_col,
                                      const double *d_out, ptrdiff_t d_out_row, ptrdiff_t d_out_col,
                                      double *d_in, ptrdiff_t d_in_row, ptrdiff_t d_in_col,
                                      void *workspace, sg_guard *guard);
SG_API sg_status sg_surrogate_vjp_f32(const sg_surrogate *surrogate, size_t n,
                                      const float *in, ptrdiff_t in_row, ptrdiff_t in_col,
                                      const float *d_out, ptrdiff_t d_out_row, ptrdiff_t d_out_col,
                                      float *d_in, ptrdiff_t d_in_row, ptrdiff_t d_in_col,
                                      void *workspace, sg_guard *guard);

/* Bytes of workspace per thread of jvp and vjp, for any n; enough for eval too. */
SG_API size_t sg_surrogate_derivative_workspace_bytes(const sg_surrogate *surrogate);

#ifdef __cplusplus
}
#endif
#endif
