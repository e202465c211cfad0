/* SPDX-License-Identifier: BSD-3-Clause */
/* Gas optics from the tables of a k-distribution: Pincus, Mlawer & Delamere 2019, doi:10.1029/2019MS001621, section
 * 3.
 *
 * One call treats the cells of one layer of a block of columns, because they need the same few table rows: segments
 * of the spectrum are the outer loop, cells the inner one, so a segment's rows stay in the first-level cache while
 * all cells use them. What a cell needs to know, its weights and rows, is computed before, several cells per vector. */
#include "radiation/kernels.h"

#include "base/simd.h"
#include "base/vmath.h"
#include "radiation/lanes.h"

#if SG_REAL_IS_FLOAT
#define SG_TYPED(n) n##_f32
#define REAL_TINY   R(1.17549435e-38)
#else
#define SG_TYPED(n) n##_f64
#define REAL_TINY   R(2.2250738585072014e-308)
#endif

enum { CELLS = SG_RADIATION_COLUMNS };

/* Interpolation of the cells for one pair of key gases in one atmosphere. Index order: reference temperature below
 * and above, pressure below and above, mixing fraction below and above, cell. */
typedef struct cell_weights {
    real    major[2][2][2][CELLS];  /* product of the three linear weights                             */
    real    minor[2][2][CELLS];     /* product of those in temperature and mixing fraction             */
    real    mix[2][CELLS];          /* amount of the key gases, eq. 7 [molecule cm-2]                   */
    int32_t at_major[2][CELLS];     /* row of (T, p below, eta below) in a (n_T, n_p+1, n_eta) table   */
    int32_t at_minor[2][CELLS];     /* row of (T, eta below) in a (n_T, n_eta) table                   */
} cell_weights;

/* The cells of one call, before gases come in. */
typedef struct cell_state {
    real    t_weight[CELLS], p_weight[CELLS];  /* of the upper neighbour in the table                  */
    real    t_index[CELLS];                    /* reference temperature below, whole numbers            */
    real    p_index[SG_N_ATMOSPHERE][CELLS];   /* row of the pressure below, as a member of each atmosphere */
    real    density[CELLS];                    /* 0.01 p / T [hPa K-1]                                  */
    real    per_moist[CELLS];                  /* dry air as a fraction of moist air [1]                */
    real    col_air[CELLS];                    /* dry air and water vapour [molecule cm-2]              */
    int32_t t_row[CELLS];
    int32_t n[SG_N_ATMOSPHERE];
    int32_t list[SG_N_ATMOSPHERE][CELLS];      /* which cells lie in which atmosphere                   */
} cell_state;

static size_t scratch_bytes(const sg_kdist *kdist)
{
    size_t n_minor = kdist->n_minor[0] > kdist->n_minor[1] ? kdist->n_minor[0] : kdist->n_minor[1];
    return sizeof(cell_state) + kdist->n_flavor * sizeof(cell_weights) + n_minor * CELLS * sizeof(real);
}

/* Reads past the end of a row are cut off, the lanes beyond hold zero. */
SG_INLINE vr load(const real *x, size_t i, size_t n)
{
    return i + VL <= n ? vr_load(x + i) : vr_load_n(x + i, n - i);
}

SG_INLINE vr clamp(vr x, real low, real high) { return vr_min(vr_max(x, vr_set1(low)), vr_set1(high)); }

static void find_cells(const sg_kdist *kdist, size_t n, const real *t, const real *p, const real *col_dry,
                       const real *q, cell_state *s)
{
    const vr    one = vr_set1(1), t_min = vr_set1((real)kdist->temp_min), t_step = vr_set1((real)kdist->temp_delta);
    const vr    log_max = vr_set1((real)kdist->log_press_max), per_log = vr_set1((real)(1 / kdist->log_press_delta));
    const real *grid = kdist->table[SG_REAL_BITS == 64].press_grid;
    for (size_t i = 0; i < n; i += VL) {
        vr temperature = load(t, i, n), pressure = load(p, i, n);
        vr t_index = clamp(vr_floor(vr_div(vr_sub(temperature, t_min), t_step)), 0, (real)(kdist->n_temperature - 2));
        vr_store(s->t_index + i, t_index);
        /* Weights from the distance to the point below, not from the place in the whole grid: in float that has
         * digits to spare. */
        vr_store(s->t_weight + i, vr_div(vr_sub(temperature, vr_fma(t_index, t_step, t_min)), t_step));
        vr p_index = vr_floor(vr_mul(vr_sub(vr_log(pressure), log_max), per_log));
        p_index    = clamp(p_index, 0, (real)(kdist->n_pressure - 2));
        vr_store(s->p_index[SG_LOWER] + i, p_index);
        vr_store(s->p_index[SG_UPPER] + i, vr_add(p_index, one));
        vr_store(s->density + i, vr_mul(vr_set1(R(0.01)), vr_div(pressure, temperature)));
        vr_store(s->per_moist + i, vr_div(one, vr_add(one, load(q, i, n))));
        vr_store(s->col_air + i, vr_fma(load(col_dry, i, n), load(q, i, n), load(col_dry, i, n)));
    }
    real below[CELLS];
    s->n[SG_LOWER] = s->n[SG_UPPER] = 0;
    for (size_t c = 0; c < n; c++) {
        below[c] = grid[(int32_t)s->p_index[SG_LOWER][c]];
        int side                        = (double)p[c] > kdist->press_trop ? SG_LOWER : SG_UPPER;
        s->list[side][s->n[side]++]     = (int32_t)c;
        s->t_row[c]                     = (int32_t)s->t_index[c];
    }
    for (size_t i = 0; i < n; i += VL)
        vr_store(s->p_weight + i, vr_mul(vr_log(vr_div(load(p, i, n), vr_load(below + i))), per_log));
}

/* Weights and rows for one pair of key gases: their ratio at each reference temperature gives the mixing fraction
 * eta. */
static void find_weights(const sg_kdist *kdist, size_t n, const cell_state *s, int side, const real *ratio /* (n_T) */,
                         const real *gas_a, const real *gas_b, const real *col_dry, cell_weights *w)
{
    const vr   one = vr_set1(1), half = vr_set1(R(0.5)), least = vr_set1(2 * REAL_TINY),
               n_eta = vr_set1((real)kdist->n_mixing);
    const vr   steps = vr_set1((real)(kdist->n_mixing - 1)), n_p = vr_set1((real)(kdist->n_pressure + 1));
    for (int it = 0; it < 2; it++) {
        real r[CELLS], row_minor[CELLS], row_major[CELLS];
        for (size_t c = 0; c < n; c++)
            r[c] = ratio[s->t_row[c] + it];
        for (size_t i = 0; i < n; i += VL) {
            vr dry = load(col_dry, i, n);
            vr a = gas_a ? vr_mul(load(gas_a, i, n), dry) : dry, b = gas_b ? vr_mul(load(gas_b, i, n), dry) : dry;
            vr mix   = vr_fma(vr_load(r + i), b, a);
            vr eta   = vr_select(vr_lt(least, mix), vr_div(a, mix), half);
            vr place = vr_mul(steps, eta);
            vr whole = vr_floor(place);
            /* As in the original: eta = 1 exactly takes the last but one row alone (weight 0 for the last). */
            vr e1    = vr_sub(place, whole), e0 = vr_sub(one, e1);
            vr index = clamp(whole, 0, (real)(kdist->n_mixing - 2));
            vr t1    = vr_load(s->t_weight + i), t = it ? t1 : vr_sub(one, t1);
            vr p1    = vr_load(s->p_weight + i), p0 = vr_sub(one, p1);
            vr m0 = vr_mul(e0, t), m1 = vr_mul(e1, t);
            vr_store(w->mix[it] + i, mix);
            vr_store(w->minor[it][0] + i, m0);
            vr_store(w->minor[it][1] + i, m1);
            vr_store(w->major[it][0][0] + i, vr_mul(m0, p0));
            vr_store(w->major[it][0][1] + i, vr_mul(m1, p0));
            vr_store(w->major[it][1][0] + i, vr_mul(m0, p1));
            vr_store(w->major[it][1][1] + i, vr_mul(m1, p1));
            vr row = vr_add(vr_load(s->t_index + i), vr_set1((real)it));
            vr_store(row_minor + i, vr_fma(row, n_eta, index));
            vr_store(row_major + i, vr_fma(vr_fma(row, n_p, vr_load(s->p_index[side] + i)), n_eta, index));
        }
        for (size_t c = 0; c < n; c++) {
            w->at_minor[it][c] = (int32_t)row_minor[c];
            w->at_major[it][c] = (int32_t)row_major[c];
        }
    }
}

/* Amounts of the minor gases, scaled by density and by the fraction of a partner (or of everything else) in moist
 * air; one row per interval, in the order in which the segments need them. */
static void find_amounts(const sg_kdist *kdist, size_t n, const cell_state *s, int side, const real *col_dry,
                         const real *vmr, size_t vmr_stride, real (*amount)[CELLS])
{
    const vr one = vr_set1(1);
    for (size_t k = 0; k < kdist->n_minor[side]; k++) {
        sg_kdist_scaling how = kdist->scaling[side][k];
        for (size_t i = 0; i < n; i += VL) {
            vr sum = load(col_dry, i, n);
            if (how.gas)
                sum = vr_mul(load(vmr + (how.gas - 1u) * vmr_stride, i, n), sum);
            if (how.density)
                sum = vr_mul(sum, vr_load(s->density + i));
            if (how.scaling_gas) {
                vr y = vr_mul(load(vmr + (how.scaling_gas - 1u) * vmr_stride, i, n), vr_load(s->per_moist + i));
                sum  = vr_mul(sum, how.complement ? vr_sub(one, y) : y);
            }
            vr_store(amount[k] + i, sum);
        }
    }
}

#define LANES 16
#include "radiation/segment.inc.h"
#undef LANES
#define LANES 8
#include "radiation/segment.inc.h"

/* All cells of one atmosphere in one segment. */
static void segment_cells(const sg_kdist *kdist, const sg_kdist_segment *segment, int side, const cell_state *s,
                          const cell_weights *w, const real (*amount)[CELLS], size_t g_stride, real *tau, real *second)
{
    const sg_kdist_table *table = &kdist->table[SG_REAL_BITS == 64];
    const real           *major = (const real *)table->major + segment->major;
    const real           *minor = (const real *)table->minor + segment->minor[side];
    const int32_t        *list  = s->list[side];
    size_t                n_eta = kdist->n_mixing, n_minor = segment->n_minor[side], n = (size_t)s->n[side];
    tau += segment->first_g;
    second += segment->first_g;
    if (kdist->shortwave)
        (segment->n_lane == 16 ? shortwave_16 : shortwave_8)(w, n, list, major, minor, n_eta, n_minor, amount,
                                                             s->col_air, g_stride, tau, second);
    else
        (segment->n_lane == 16 ? longwave_16 : longwave_8)(w, n, list, major, minor, n_eta, n_minor, amount, g_stride,
                                                           tau, second);
}

static void cells(const sg_kdist *kdist, size_t n, const real *t, const real *p, const real *col_dry, const real *vmr,
                  size_t vmr_stride, size_t g_stride, real *tau, real *second, void *scratch)
{
    cell_state   *s      = scratch;
    cell_weights *w      = (cell_weights *)(s + 1);
    real(*amount)[CELLS] = (real(*)[CELLS])(w + kdist->n_flavor);
    const real *ratio    = kdist->table[SG_REAL_BITS == 64].ratio;
    find_cells(kdist, n, t, p, col_dry, vmr + (kdist->h2o - 1) * vmr_stride, s);
    for (int side = 0; side < SG_N_ATMOSPHERE; side++) {
        if (!s->n[side])
            continue;
        for (size_t f = 0; f < kdist->n_flavor; f++) {
            if (!kdist->flavor_used[f][side])
                continue;
            size_t a = kdist->flavor[f][0], b = kdist->flavor[f][1];
            find_weights(kdist, n, s, side, ratio + (f * 2 + (size_t)side) * kdist->n_temperature,
                         a ? vmr + (a - 1) * vmr_stride : NULL, b ? vmr + (b - 1) * vmr_stride : NULL, col_dry, &w[f]);
        }
        find_amounts(kdist, n, s, side, col_dry, vmr, vmr_stride, amount);
        /* In ascending order: the padding of a segment is overwritten by the next one. */
        for (const sg_kdist_segment *segment = kdist->segment; segment < kdist->segment + kdist->n_segment; segment++)
            segment_cells(kdist, segment, side, s, &w[segment->flavor[side]],
                          (const real(*)[CELLS])(amount + segment->first_minor[side]), g_stride, tau, second);
    }
}

const SG_TYPED(sg_optics_kernels) SG_HOT(sg_radiation_optics) = {scratch_bytes, cells};
