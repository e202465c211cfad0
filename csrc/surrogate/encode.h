/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Programs that map columns of one table to columns of another: the encoder (physical inputs to network
 * inputs) and the decoder (network outputs to physical outputs) of a surrogate. One output column gathers
 * one source column (or a few: angle from sine and cosine, category from a one-hot group) and sends it
 * through a chain of elementary steps.
 *
 * Training batches, the domain guard and fused inference all run the same code, so what was trained is
 * what runs. Each element goes through its steps alone: its bits depend neither on the batch nor on the
 * strides, threads or (v3, v4) instruction set.
 */
#ifndef SG_SURROGATE_ENCODE_H
#define SG_SURROGATE_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/error.h"

/* X(name, number, text, what it does to x with the parameters a and b). The numbers are stored in
 * surrogate files. */
#define SG_STEP_LIST(X)                                                                              \
    X(SG_STEP_STANDARDISE, 0, "standardise", "(x - a) b")                                            \
    X(SG_STEP_AFFINE, 1, "affine", "a x + b, one rounding")                                          \
    X(SG_STEP_LOG, 2, "log", "ln x")                                                                 \
    X(SG_STEP_EXP, 3, "exp", "e^x")                                                                  \
    X(SG_STEP_ROOT, 4, "root", "x^(1/a), a = 2 ... 64; square roots where a is a power of two")      \
    X(SG_STEP_POWER, 5, "power", "x^a, a = 1 ... 64, by repeated squaring")                          \
    X(SG_STEP_SIGNED_LOG, 6, "signed_log", "sign(x) ln(1 + |x| / a)")                                \
    X(SG_STEP_SIGNED_EXP, 7, "signed_exp", "sign(x) a (e^|x| - 1)")                                  \
    X(SG_STEP_SIN, 8, "sin", "sin(a x)")                                                             \
    X(SG_STEP_COS, 9, "cos", "cos(a x)")                                                             \
    X(SG_STEP_ONE_HOT, 10, "one_hot", "1 where x == a, else 0")                                      \
    X(SG_STEP_PRESENT, 11, "present", "0 where x is the missing value a (NaN is NaN here), else 1")  \
    X(SG_STEP_FILL, 12, "fill", "b where x is the missing value a, else x")                          \
    X(SG_STEP_CLIP, 13, "clip", "a where x < a, b where x > b, else x (NaN stays)")                  \
    X(SG_STEP_UNMASK, 14, "unmask", "a where source column b is below 0.5, else x")                  \
    X(SG_STEP_CURVE, 15, "curve", "the monotone curve through a knots, those of the steps from b on") \
    X(SG_STEP_UNCURVE, 16, "uncurve", "the inverse of that curve")                                   \
    X(SG_STEP_KNOT, 17, "knot", "a point (a, b) of a curve: data, not part of any column's chain")

typedef enum sg_step_op {
#define X(name, number, text, doc) name = number,
    SG_STEP_LIST(X)
#undef X
    SG_STEP_COUNT
} sg_step_op;

typedef struct sg_step {
    int32_t op;   /* sg_step_op */
    double  a, b;
} sg_step;

static inline int sg_step_is_curve(const sg_step *step) { return step->op == SG_STEP_CURVE || step->op == SG_STEP_UNCURVE; }

/* How the value of an output column starts. The numbers are stored in surrogate files. */
typedef enum sg_gather {
    SG_GATHER_COLUMN,  /* x = source[first]                                             */
    SG_GATHER_ANGLE,   /* angle in [0, 2 pi) of (sin, cos) = (source[first], source[first + 1]) */
    SG_GATHER_ARGMAX,  /* index 0 ... n-1 of the largest of n sources, the first one of equals     */
    SG_GATHER_COUNT
} sg_gather;

typedef struct sg_program_column {
    int32_t gather;      /* sg_gather                          */
    int32_t first, n;    /* source columns first ... first+n-1 */
    int32_t step, n_step; /* steps step ... step+n_step-1       */
} sg_program_column;

/* Neighbouring columns that run the same steps on neighbouring sources, with parameters laid out per step
 * for vectors that run across the columns. */
typedef struct sg_program_run {
    size_t first, n;   /* output columns */
    size_t first_source;
    size_t parameter;  /* step s of column first + j has a at value[parameter + 2 s n + j], b n further */
    int    across;     /* plain gathers of neighbouring sources: may run across the columns of a row */
} sg_program_run;

/* Between two knots a curve is a monotone rational quadratic (Gregory & Delbourgo 1982, doi:10.1093/imanum/2.2.123)
 * whose slope at a knot is the geometric mean of the two secants there; beyond its ends it goes on straight, with the
 * first and last secant. The inverse is exact. Piece k from (x, y), with width w, height h and slopes d0, d1 at its ends. The first piece says how
 * many knots there are per unit of x where they are at equal distances to within a hundredth of one, else 0. */
enum { SG_PIECE_X, SG_PIECE_Y, SG_PIECE_W, SG_PIECE_H, SG_PIECE_D0, SG_PIECE_D1, SG_PIECE_PER_UNIT, SG_PIECE_SIZE = 8 };

typedef struct sg_program {
    size_t             n_in, n_out, n_step, n_run;
    sg_program_column *column;  /* (n_out) */
    sg_step           *step;    /* (n_step) */
    sg_program_run    *run;     /* (n_run) */
    float             *value_f32;
    double            *value_f64;
    float             *piece_f32; /* (n_step, SG_PIECE_SIZE) of the piece that starts at a knot; NULL without knots */
    double            *piece_f64;
} sg_program;

/* Copies and checks a program: sources and steps within range, parameters that make sense. what names it
 * in messages ("encoder"). Free with sg_program_free. */
sg_status sg_program_create(size_t n_in, size_t n_out, const sg_program_column *column, /* (n_out) */
                            size_t n_step, const sg_step *step,                          /* (n_step) */
                            const char *what, sg_program **program, sg_error *error);
void      sg_program_free(sg_program *program);

/* The program without the first step of every column, which is AFFINE throughout (n_out columns): scale
 * and shift get its parameters. For folding an output affine into the last layer. SG_ERR_VALUE when a
 * column does not start with AFFINE. */
int       sg_program_starts_affine(const sg_program *program);
sg_status sg_program_drop_affine(const sg_program *program, double *scale,
                                 /* (n_out) */ double *shift, /* (n_out) */
                                 sg_program **rest, sg_error *error);
/* Non-zero when the derivative of every column does not depend on the inputs. */
int sg_program_is_affine(const sg_program *program);
/* Non-zero when output column j is source column j unchanged for all j. */
int sg_program_is_identity(const sg_program *program);

/* Runs a program on n_rows rows. Element (row, column) of a table is at [row * row_stride + column *
 * col_stride]; strides count elements and may be negative. in and out must not overlap. The letters give
 * in, arithmetic, out: dds reads double, computes in double and rounds to float. */
/* A table of floats or doubles: element (row, column) at data[row * row + column * col]. */
typedef struct sg_encode_table {
    void     *data;
    ptrdiff_t row, col;
} sg_encode_table;

/* Derivatives at the rows of in: jvp d_out = J d_in, vjp d_in = J' d_out (overwritten). d_in has the type of in, d_out that of the
 * outputs. Steps that jump (one_hot, present, argmax) have the derivative 0, clip and masks 0 where they replace the value. */
typedef void sg_encode_jvp(const sg_program *program, size_t n_rows, const sg_encode_table *in, const sg_encode_table *d_in,
                           const sg_encode_table *d_out);
typedef void sg_encode_vjp(const sg_program *program, size_t n_rows, const sg_encode_table *in, const sg_encode_table *d_out,
                           const sg_encode_table *d_in);

typedef struct sg_encode_kernels_f32 {
    void (*sss)(const sg_program *program, size_t n_rows, const float *in, ptrdiff_t in_row, ptrdiff_t in_col,
                float *out, ptrdiff_t out_row, ptrdiff_t out_col);
    sg_encode_jvp *jvp_sss;
    sg_encode_vjp *vjp_sss;
} sg_encode_kernels_f32;

typedef struct sg_encode_kernels_f64 {
    void (*ddd)(const sg_program *program, size_t n_rows, const double *in, ptrdiff_t in_row,
                ptrdiff_t in_col, double *out, ptrdiff_t out_row, ptrdiff_t out_col);
    void (*dds)(const sg_program *program, size_t n_rows, const double *in, ptrdiff_t in_row,
                ptrdiff_t in_col, float *out, ptrdiff_t out_row, ptrdiff_t out_col);
    void (*sdd)(const sg_program *program, size_t n_rows, const float *in, ptrdiff_t in_row, ptrdiff_t in_col,
                double *out, ptrdiff_t out_row, ptrdiff_t out_col);
    sg_encode_jvp *jvp[3]; /* ddd, dds, sdd */
    sg_encode_vjp *vjp[3];
} sg_encode_kernels_f64;

const sg_encode_kernels_f32 *sg_encode_kernels_f32_pick(sg_isa isa);
const sg_encode_kernels_f64 *sg_encode_kernels_f64_pick(sg_isa isa);

/* The plain version with libm, one row in double; the oracle of the tests and the one that finds what went
 * wrong. */
double sg_step_reference(const sg_step *step, double x, double mask);
void   sg_program_reference(const sg_program *program, const double *in /* (n_in) */,
                            double *out /* (n_out) */);

/* Looks for the first row of in that the program cannot encode (log of a non-positive value, root of a
 * negative one, NaN or infinity that no mask covers) and says so: names the variable (label, (n_in)), the
 * row (counted from first_row), the value. SG_OK when every row can be encoded. */
sg_status sg_program_explain(const sg_program *program, size_t n_rows, const double *in, ptrdiff_t in_row,
                             ptrdiff_t in_col, const char *const *label, size_t first_row, sg_error *error);

const char *sg_step_name(int op);

#endif
