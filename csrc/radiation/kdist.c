/* SPDX-License-Identifier: BSD-3-Clause */
#include "radiation/kdist.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

enum { WIDE = 16, NARROW = 8 };

static const char *const side_name[SG_N_ATMOSPHERE] = {"lower", "upper"};

/* -------------------------------------------------------------------------------------------- checks of the input */

static sg_status check_even(const double *x, size_t n, int logarithmic, const char *name, sg_error *error)
{
    for (size_t i = 0; i < n; i++)
        if (!(x[i] > 0 && x[i] < 1e30))
            return sg_fail(error, SG_ERR_VALUE, name, "entry %zu is %g, expected a positive number", i, x[i]);
    double first = logarithmic ? log(x[0]) : x[0], last = logarithmic ? log(x[n - 1]) : x[n - 1];
    double step = (last - first) / (double)(n - 1);
    for (size_t i = 0; i < n; i++) {
        double here = logarithmic ? log(x[i]) : x[i];
        /* Files print about six digits; a hundredth of a step catches a grid of another kind. */
        if (!(fabs(here - first - (double)i * step) <= 0.01 * fabs(step)))
            return sg_fail(error, SG_ERR_VALUE, name, "entry %zu is %g: the grid is not even%s", i, x[i],
                           logarithmic ? " in its logarithm" : "");
    }
    if (logarithmic ? step >= 0 : step <= 0)
        return sg_fail(error, SG_ERR_VALUE, name, "expected %s values", logarithmic ? "descending" : "ascending");
    return SG_OK;
}

static sg_status check_finite(const double *x, size_t n, const char *name, sg_error *error)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return sg_fail(error, SG_ERR_NOT_FINITE, name, "element %zu is not finite", i);
    return SG_OK;
}

static sg_status check_sizes(const sg_kdist_arrays *a, sg_error *error)
{
    const struct { const char *name; size_t value, low, high; } size[] = {
        {"n_temperature", a->n_temperature, 2, 1000}, {"n_pressure", a->n_pressure, 2, 1000},
        {"n_mixing", a->n_mixing, 2, 100},            {"n_band", a->n_band, 1, 1000},
        {"n_g", a->n_g, a->n_band, 100000},           {"n_gas", a->n_gas, 1, 1000},
        {"n_minor_lower", a->n_minor[0], 0, 100000},  {"n_minor_upper", a->n_minor[1], 0, 100000},
        {"n_contributor_lower", a->n_contributor[0], 0, 1000000},
        {"n_contributor_upper", a->n_contributor[1], 0, 1000000},
        {"n_planck", a->planck_fraction ? a->n_planck : 2, 2, 100000},
    };
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        if (size[i].value < size[i].low || size[i].value > size[i].high)
            return sg_fail(error, SG_ERR_VALUE, size[i].name, "expected %zu to %zu, got %zu", size[i].low, size[i].high,
                           size[i].value);
    if (!a->planck_fraction == !a->solar_source)
        return sg_fail(error, SG_ERR_VALUE, "planck_fraction", "a table has either Planck fractions or a solar source");
    return SG_OK;
}

static sg_status check_bands(const sg_kdist_arrays *a, sg_error *error)
{
    int32_t next = 1;
    for (size_t b = 0; b < a->n_band; b++) {
        int32_t first = a->band_limits_g[2 * b], last = a->band_limits_g[2 * b + 1];
        if (first != next || last < first || (size_t)last > a->n_g)
            return sg_fail(error, SG_ERR_VALUE, "bnd_limits_gpt",
                           "band %zu covers g-points %d to %d, expected to start at %d", b, first, last, next);
        next = last + 1;
    }
    if ((size_t)next != a->n_g + 1)
        return sg_fail(error, SG_ERR_VALUE, "bnd_limits_gpt", "the bands end at g-point %d of %zu", next - 1, a->n_g);
    return SG_OK;
}

static size_t band_of(const sg_kdist_arrays *a, int32_t g)
{
    size_t b = 0;
    while (a->band_limits_g[2 * b + 1] < g)
        b++;
    return b;
}

static sg_status check_minor(const sg_kdist_arrays *a, int side, sg_error *error)
{
    char name[48];
    snprintf(name, sizeof name, "minor_limits_gpt_%s", side_name[side]);
    for (size_t i = 0; i < a->n_minor[side]; i++) {
        int32_t first = a->minor_limits_g[side][2 * i], last = a->minor_limits_g[side][2 * i + 1];
        int32_t start = a->minor_start[side][i], gas = a->minor_gas[side][i], by = a->minor_scaling_gas[side][i];
        if (first < 1 || last < first || (size_t)last > a->n_g || band_of(a, first) != band_of(a, last))
            return sg_fail(error, SG_ERR_VALUE, name,
                           "interval %zu covers g-points %d to %d, expected a part of one band", i, first, last);
        if (start < 1 || (size_t)(start + last - first) > a->n_contributor[side])
            return sg_fail(error, SG_ERR_VALUE, name, "interval %zu needs contributors %d to %d of %zu", i, start,
                           start + last - first, a->n_contributor[side]);
        if (gas < 1 || (size_t)gas > a->n_gas || by < 0 || (size_t)by > a->n_gas)
            return sg_fail(error, SG_ERR_VALUE, name, "interval %zu names gas %d scaled by gas %d of %zu", i, gas, by,
                           a->n_gas);
    }
    return SG_OK;
}

static sg_status check_arrays(const sg_kdist_arrays *a, sg_error *error)
{
    SG_TRY(check_sizes(a, error));
    SG_TRY(check_even(a->temp_ref, a->n_temperature, 0, "temp_ref", error));
    SG_TRY(check_even(a->press_ref, a->n_pressure, 1, "press_ref", error));
    if (!(a->press_ref_trop > 0))
        return sg_fail(error, SG_ERR_VALUE, "press_ref_trop", "expected a pressure, got %g Pa", a->press_ref_trop);
    SG_TRY(check_bands(a, error));
    size_t n_cell = a->n_temperature * a->n_mixing;
    SG_TRY(check_finite(a->vmr_ref, a->n_temperature * (a->n_gas + 1) * 2, "vmr_ref", error));
    SG_TRY(check_finite(a->kmajor, n_cell * (a->n_pressure + 1) * a->n_g, "kmajor", error));
    for (int side = 0; side < SG_N_ATMOSPHERE; side++) {
        SG_TRY(check_minor(a, side, error));
        SG_TRY(check_finite(a->kminor[side], n_cell * a->n_contributor[side], side ? "kminor_upper" : "kminor_lower",
                            error));
        if (a->solar_source)
            SG_TRY(check_finite(a->rayleigh[side], n_cell * a->n_g, side ? "rayl_upper" : "rayl_lower", error));
    }
    if (a->planck_fraction) {
        SG_TRY(check_finite(a->planck_fraction, n_cell * (a->n_pressure + 1) * a->n_g, "plank_fraction", error));
        SG_TRY(check_finite(a->totplnk, a->n_band * a->n_planck, "totplnk", error));
    } else {
        SG_TRY(check_finite(a->solar_source, a->n_g, "solar_source", error));
    }
    return SG_OK;
}

/* ------------------------------------------------------------------------------------------------------ gas lists */

#define ALLOCATE(field, count, what) SG_TRY(sg_alloc_array((void *)&(field), (count), sizeof *(field), what, error))

/* Keeps the wanted gases; index[i] = 1-based place of file gas i (1-based) among them, 0 when left out. */
static sg_status keep_gases(const sg_kdist_arrays *a, sg_kdist *k, uint16_t *index, sg_error *error)
{
    size_t characters = 0;
    for (size_t i = 0; i < a->n_gas; i++)
        if (a->gas_wanted[i]) {
            k->n_gas++;
            characters += strlen(a->gas_name[i]) + 1;
        }
    char     *text;
    uint32_t *file_gas;
    ALLOCATE(k->gas_name, k->n_gas + 1, "gas names");
    ALLOCATE(file_gas, k->n_gas + 1, "gas list");
    k->file_gas   = file_gas;
    k->n_gas_file = a->n_gas;
    SG_TRY(sg_alloc_array((void *)&text, characters + 1, 1, "gas names", error));
    k->gas_name[k->n_gas] = text; /* owns the block; freed through this entry */
    size_t n              = 0;
    for (size_t i = 0; i < a->n_gas; i++) {
        index[i + 1] = 0;
        if (!a->gas_wanted[i])
            continue;
        size_t length  = strlen(a->gas_name[i]) + 1;
        k->gas_name[n] = memcpy(text, a->gas_name[i], length);
        file_gas[n]    = (uint32_t)i;
        text += length;
        index[i + 1] = (uint16_t)++n;
        if (strcmp(a->gas_name[i], "h2o") == 0)
            k->h2o = n;
    }
    if (!k->h2o)
        return sg_fail(error, SG_ERR_VALUE, "gases",
                       "h2o is needed: it sets the amount of dry air and scales minor gases");
    return SG_OK;
}

/* Unique pairs of key gases in first-seen order, bands outer, atmospheres inner. A band without key gases uses gas 2
 * twice. */
static sg_status find_flavors(const sg_kdist_arrays *a, sg_kdist *k, const uint16_t *index, uint32_t *band_flavor,
                              int32_t (*file_pair)[2], sg_error *error)
{
    uint16_t(*flavor)[2];
    uint8_t(*used)[SG_N_ATMOSPHERE];
    ALLOCATE(flavor, 2 * a->n_band, "flavors");
    k->flavor = (const uint16_t(*)[2])flavor;
    ALLOCATE(used, 2 * a->n_band, "flavors");
    k->flavor_used = (const uint8_t(*)[SG_N_ATMOSPHERE])used;
    for (size_t b = 0; b < a->n_band; b++)
        for (int side = 0; side < SG_N_ATMOSPHERE; side++) {
            int32_t pair[2] = {a->key_species[4 * b + 2 * (size_t)side], a->key_species[4 * b + 2 * (size_t)side + 1]};
            if (pair[0] == 0 && pair[1] == 0)
                pair[0] = pair[1] = 2;
            for (int j = 0; j < 2; j++) {
                if (pair[j] < 0 || (size_t)pair[j] > a->n_gas)
                    return sg_fail(error, SG_ERR_VALUE, "key_species", "band %zu names gas %d of %zu", b, pair[j],
                                   a->n_gas);
                if (pair[j] && !index[pair[j]])
                    return sg_fail(error, SG_ERR_VALUE, "gases", "%s is a key gas of band %zu and must be given",
                                   a->gas_name[pair[j] - 1], b);
            }
            size_t f = 0;
            while (f < k->n_flavor && (file_pair[f][0] != pair[0] || file_pair[f][1] != pair[1]))
                f++;
            if (f == k->n_flavor) {
                k->n_flavor++;
                for (int j = 0; j < 2; j++) {
                    file_pair[f][j] = pair[j];
                    flavor[f][j]    = index[pair[j]];
                }
            }
            used[f][side]                             = 1;
            band_flavor[2 * b + (size_t)side] = (uint32_t)f;
        }
    return SG_OK;
}

/* ------------------------------------------------------------------------------------------------------- segments */

/* Non-zero when minor interval i of the file stays and touches the segment. */
static int touches(const sg_kdist_arrays *a, int side, size_t i, const uint16_t *index, const sg_kdist_segment *s)
{
    if (!index[a->minor_gas[side][i]])
        return 0;
    size_t first = (size_t)a->minor_limits_g[side][2 * i] - 1, end = (size_t)a->minor_limits_g[side][2 * i + 1];
    return first < s->first_g + s->n_g && end > s->first_g;
}

static sg_status cut_segments(const sg_kdist_arrays *a, sg_kdist *k, const uint16_t *index, const uint32_t *band_flavor,
                              size_t *n_major, size_t *n_minor, sg_error *error)
{
    size_t n = 0;
    for (size_t b = 0; b < a->n_band; b++)
        n += ((size_t)(a->band_limits_g[2 * b + 1] - a->band_limits_g[2 * b]) + WIDE) / WIDE;
    sg_kdist_segment *segment;
    ALLOCATE(segment, n, "segments");
    k->segment       = segment;
    k->n_segment     = n;
    size_t n_cell    = a->n_temperature * a->n_mixing;
    size_t per_major = k->shortwave ? 1 : 2, per_minor = k->shortwave ? 1 : 0;
    *n_major = *n_minor = 0;
    sg_kdist_segment *s = segment;
    for (size_t b = 0; b < a->n_band; b++) {
        size_t first = (size_t)a->band_limits_g[2 * b] - 1, end = (size_t)a->band_limits_g[2 * b + 1];
        for (size_t g = first; g < end; g += WIDE, s++) {
            size_t left = end - g < WIDE ? end - g : WIDE;
            *s          = (sg_kdist_segment){.band    = (uint32_t)b,
                                             .first_g = (uint32_t)g,
                                             .n_g     = (uint32_t)left,
                                             .n_lane  = left > NARROW ? WIDE : NARROW,
                                             .major   = *n_major};
            *n_major += n_cell * (a->n_pressure + 1) * per_major * s->n_lane;
            for (int side = 0; side < SG_N_ATMOSPHERE; side++) {
                s->flavor[side]        = band_flavor[2 * b + (size_t)side];
                s->first_minor[side] = (uint32_t)k->n_minor[side];
                for (size_t i = 0; i < a->n_minor[side]; i++)
                    s->n_minor[side] += (uint32_t)touches(a, side, i, index, s);
                k->n_minor[side] += s->n_minor[side];
                s->minor[side] = *n_minor;
                *n_minor += n_cell * (s->n_minor[side] + per_minor) * s->n_lane;
            }
        }
    }
    for (int side = 0; side < SG_N_ATMOSPHERE; side++) {
        sg_kdist_scaling *scaling;
        ALLOCATE(scaling, k->n_minor[side] + 1, "scalings of minor gases");
        k->scaling[side] = scaling;
        for (s = segment; s < segment + n; s++)
            for (size_t i = 0; i < a->n_minor[side]; i++) {
                if (!touches(a, side, i, index, s))
                    continue;
                int by = index[a->minor_scaling_gas[side][i]], dense = a->minor_density[side][i] != 0;
                *scaling++ = (sg_kdist_scaling){.gas         = index[a->minor_gas[side][i]],
                                                .scaling_gas = (uint16_t)(dense ? by : 0),
                                                .density     = (uint8_t)dense,
                                                .complement  = (uint8_t)(dense && by && a->minor_complement[side][i])};
            }
    }
    return SG_OK;
}

/* --------------------------------------------------------------------------------------------------------- tables */

/* Stores a coefficient; what float cannot hold as a normal number becomes zero (denormals cost hundreds of cycles). */
static void put(const void *array32, const void *array64, size_t i, double value)
{
    ((double *)array64)[i] = fabs(value) < DBL_MIN ? 0.0 : value;
    ((float *)array32)[i]  = fabs(value) < (double)FLT_MIN ? 0.0f : (float)value;
}
#define PUT(k, field, i, value) put((k)->table[0].field, (k)->table[1].field, i, value)

static sg_status allocate_tables(sg_kdist *k, size_t n_major, size_t n_minor, sg_error *error)
{
    for (int precision = 0; precision < 2; precision++) {
        size_t          size = precision ? sizeof(double) : sizeof(float);
        sg_kdist_table *t    = &k->table[precision];
        /* One wide vector more: the last segment may be read as if it were wide. */
        SG_TRY(sg_alloc_array(&t->major, n_major + WIDE, size, "absorption table", error));
        SG_TRY(sg_alloc_array(&t->minor, n_minor + WIDE, size, "minor gas table", error));
        SG_TRY(sg_alloc_array(&t->ratio, k->n_flavor * 2 * k->n_temperature, size, "reference mixing ratios", error));
        SG_TRY(sg_alloc_array(&t->press_grid, k->n_pressure, size, "pressure grid", error));
        SG_TRY(sg_alloc_array(&t->planck, k->n_planck * k->g_stride + 1, size, "Planck table", error));
        SG_TRY(sg_alloc_array(&t->solar, k->g_stride, size, "solar source", error));
    }
    return SG_OK;
}

static void fill_major(const sg_kdist_arrays *a, sg_kdist *k)
{
    size_t per = k->shortwave ? 1 : 2, n_cell = a->n_temperature * (a->n_pressure + 1) * a->n_mixing;
    for (const sg_kdist_segment *s = k->segment; s < k->segment + k->n_segment; s++)
        for (size_t cell = 0; cell < n_cell; cell++)
            for (size_t g = 0; g < s->n_g; g++) {
                size_t from = cell * a->n_g + s->first_g + g, to = s->major + cell * per * s->n_lane + g;
                PUT(k, major, to, a->kmajor[from]);
                if (!k->shortwave)
                    PUT(k, major, to + s->n_lane, a->planck_fraction[from]);
            }
}

static void fill_minor(const sg_kdist_arrays *a, sg_kdist *k, const uint16_t *index)
{
    size_t n_cell = a->n_temperature * a->n_mixing;
    for (const sg_kdist_segment *s = k->segment; s < k->segment + k->n_segment; s++)
        for (int side = 0; side < SG_N_ATMOSPHERE; side++) {
            size_t rows = s->n_minor[side] + (k->shortwave ? 1 : 0), row = 0;
            for (size_t i = 0; i < a->n_minor[side]; i++) {
                if (!touches(a, side, i, index, s))
                    continue;
                size_t first = (size_t)a->minor_limits_g[side][2 * i] - 1,
                       end   = (size_t)a->minor_limits_g[side][2 * i + 1];
                for (size_t cell = 0; cell < n_cell; cell++)
                    for (size_t g = 0; g < s->n_g; g++) {
                        size_t here = s->first_g + g;
                        if (here < first || here >= end)
                            continue;
                        size_t from =
                            cell * a->n_contributor[side] + (size_t)a->minor_start[side][i] - 1 + here - first;
                        PUT(k, minor, s->minor[side] + (cell * rows + row) * s->n_lane + g, a->kminor[side][from]);
                    }
                row++;
            }
            for (size_t cell = 0; k->shortwave && cell < n_cell; cell++)
                for (size_t g = 0; g < s->n_g; g++)
                    PUT(k, minor, s->minor[side] + (cell * rows + row) * s->n_lane + g,
                        a->rayleigh[side][cell * a->n_g + s->first_g + g]);
        }
}

static sg_status fill_rest(const sg_kdist_arrays *a, sg_kdist *k, int32_t (*file_pair)[2], sg_error *error)
{
    for (size_t f = 0; f < k->n_flavor; f++)
        for (size_t side = 0; side < 2; side++)
            for (size_t t = 0; t < a->n_temperature; t++) {
                const double *vmr  = a->vmr_ref + t * (a->n_gas + 1) * 2;
                double over = vmr[2 * (size_t)file_pair[f][0] + side], under = vmr[2 * (size_t)file_pair[f][1] + side];
                if (k->flavor_used[f][side] && !(over > 0 && under > 0))
                    return sg_fail(error, SG_ERR_VALUE, "vmr_ref",
                                   "key gases of flavor %zu have amounts %g and %g at point %zu", f, over, under, t);
                PUT(k, ratio, (f * 2 + side) * a->n_temperature + t, k->flavor_used[f][side] ? over / under : 1.0);
            }
    for (size_t i = 0; i < a->n_pressure; i++)
        PUT(k, press_grid, i, exp(k->log_press_max + (double)i * k->log_press_delta));
    if (k->shortwave) {
        for (size_t g = 0; g < a->n_g; g++)
            k->solar_total += a->solar_source[g];
        if (!(k->solar_total > 0))
            return sg_fail(error, SG_ERR_VALUE, "solar_source", "sums to %g W m-2, expected a positive sum",
                           k->solar_total);
        for (size_t g = 0; g < a->n_g; g++)
            PUT(k, solar, g, a->solar_source[g] / k->solar_total);
    } else {
        for (size_t b = 0; b < a->n_band; b++)
            for (size_t t = 0; t < a->n_planck; t++)
                for (size_t g = k->band_limits_g[2 * b]; g < k->band_limits_g[2 * b + 1]; g++)
                    PUT(k, planck, t * k->g_stride + g, a->totplnk[b * a->n_planck + t]);
    }
    return SG_OK;
}

static sg_status build(const sg_kdist_arrays *a, sg_kdist *k, sg_error *error)
{
    enum { GAS_LIMIT = 1001, BAND_LIMIT = 1000 };
    uint16_t index[GAS_LIMIT];
    uint32_t band_flavor[2 * BAND_LIMIT];
    int32_t  file_pair[2 * BAND_LIMIT][2];
    index[0] = 0;

    k->shortwave       = a->solar_source != NULL;
    k->n_band          = a->n_band;
    k->n_g             = a->n_g;
    k->g_stride        = sg_round_up(a->n_g, WIDE);
    k->n_temperature   = a->n_temperature;
    k->n_pressure      = a->n_pressure;
    k->n_mixing        = a->n_mixing;
    k->n_planck        = k->shortwave ? 0 : a->n_planck;
    k->temp_min        = a->temp_ref[0];
    k->temp_max        = a->temp_ref[a->n_temperature - 1];
    k->temp_delta      = (k->temp_max - k->temp_min) / (double)(a->n_temperature - 1);
    k->press_max       = a->press_ref[0];
    k->press_min       = a->press_ref[a->n_pressure - 1];
    k->press_trop      = a->press_ref_trop;
    k->log_press_max   = log(k->press_max);
    k->log_press_delta = (log(k->press_min) - log(k->press_max)) / (double)(a->n_pressure - 1);
    k->planck_delta    = k->shortwave ? 0 : (k->temp_max - k->temp_min) / (double)(a->n_planck - 1);

    uint32_t *limits;
    ALLOCATE(limits, 2 * a->n_band, "band limits");
    k->band_limits_g = limits;
    for (size_t b = 0; b < a->n_band; b++) {
        limits[2 * b]     = (uint32_t)a->band_limits_g[2 * b] - 1;
        limits[2 * b + 1] = (uint32_t)a->band_limits_g[2 * b + 1];
    }
    size_t n_major, n_minor;
    SG_TRY(keep_gases(a, k, index, error));
    SG_TRY(find_flavors(a, k, index, band_flavor, file_pair, error));
    SG_TRY(cut_segments(a, k, index, band_flavor, &n_major, &n_minor, error));
    SG_TRY(allocate_tables(k, n_major, n_minor, error));
    fill_major(a, k);
    fill_minor(a, k, index);
    return fill_rest(a, k, file_pair, error);
}

sg_status sg_kdist_create(const sg_kdist_arrays *arrays, sg_kdist **kdist, sg_error *error)
{
    *kdist = NULL;
    SG_TRY(check_arrays(arrays, error));
    sg_kdist *k;
    SG_TRY(sg_alloc_array((void *)&k, 1, sizeof *k, "k-distribution", error));
    sg_status status = build(arrays, k, error);
    if (status != SG_OK) {
        sg_kdist_free(k);
        return status;
    }
    *kdist = k;
    return SG_OK;
}

void sg_kdist_free(sg_kdist *k)
{
    if (!k)
        return;
    for (int precision = 0; precision < 2; precision++) {
        sg_free((void *)k->table[precision].major);
        sg_free((void *)k->table[precision].minor);
        sg_free((void *)k->table[precision].ratio);
        sg_free((void *)k->table[precision].press_grid);
        sg_free((void *)k->table[precision].planck);
        sg_free((void *)k->table[precision].solar);
    }
    for (int side = 0; side < SG_N_ATMOSPHERE; side++) {
        sg_free((void *)k->scaling[side]);
    }
    sg_free((void *)k->segment);
    sg_free((void *)k->flavor);
    sg_free((void *)k->flavor_used);
    sg_free((void *)k->band_limits_g);
    sg_free((void *)k->file_gas);
    if (k->gas_name)
        sg_free((void *)k->gas_name[k->n_gas]);
    sg_free((void *)k->gas_name);
    sg_free(k);
}

size_t sg_kdist_fma_count(const sg_kdist *k, int atmosphere)
{
    size_t count = 0;
    for (const sg_kdist_segment *s = k->segment; s < k->segment + k->n_segment; s++)
        count += s->n_g * ((k->shortwave ? 8u + 5u : 16u) + 2u + 5u * (size_t)s->n_minor[atmosphere]);
    return count;
}
