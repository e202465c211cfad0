/* SPDX-License-Identifier: BSD-3-Clause */
#include "events/top_pair.h"

#include <math.h>

#define GEV2_PB 0.3893793721e9 /* (hbar c)^2 [GeV^2 pb], CODATA 2018 */
#define PI 3.14159265358979323846

static sg_status positive(const char *name, double value, const char *unit, sg_error *error)
{
    if (isfinite(value) && value > 0)
        return SG_OK;
    return sg_fail(error, SG_ERR_VALUE, name, "expected a finite number > 0%s, got %g", unit, value);
}

static sg_status not_negative(const char *name, double value, const char *unit, sg_error *error)
{
    if (isfinite(value) && value >= 0)
        return SG_OK;
    return sg_fail(error, SG_ERR_VALUE, name, "expected a finite number >= 0%s, got %g", unit, value);
}

/* A Breit-Wigner law within `cut` widths; a fixed mass where that is no interval. */
static sg_law mass_law(double mass, double width, double cut)
{
    double  reach = cut * width;
    sg_law law    = {.kind = reach > 0 ? SG_LAW_BREIT_WIGNER : SG_LAW_FIXED, .centre = mass, .spread = width};
    law.low       = fmax(mass - reach, 0);
    law.high      = mass + reach;
    return law;
}

sg_status sg_events_top_pair_prepare(sg_top_pair *t, sg_error *error)
{
    SG_TRY(positive("energy", t->energy, " GeV", error));
    SG_TRY(positive("mass", t->mass, " GeV", error));
    SG_TRY(positive("alpha_s", t->alpha_s, "", error));
    if (!(t->energy > 2 * t->mass))
        return sg_fail(error, SG_ERR_VALUE, "energy", "expected more than the threshold 2 mass = %.10g GeV, got %.10g", 2 * t->mass,
                       t->energy);
    if (!(t->channels & (SG_TOP_GG | SG_TOP_QQ)) || t->channels & ~(SG_TOP_GG | SG_TOP_QQ))
        return sg_fail(error, SG_ERR_VALUE, "channels", "expected 1 (g g), 2 (q qbar) or 3 (both), got %d", t->channels);
    if (t->n_x < 2)
        return sg_fail(error, SG_ERR_VALUE, "pdf", "expected at least 2 knots, got %zu", t->n_x);
    double S       = t->energy * t->energy;
    t->inverse     = S / (4 * t->mass * t->mass);
    t->log_inverse = log(t->inverse);
    t->per_log_x   = (double)(t->n_x - 1) / t->log_inverse;
    t->factor      = GEV2_PB * PI * t->alpha_s * t->alpha_s * (t->inverse - 1) / S;
    return SG_OK;
}

sg_status sg_events_top_pair_prepare_decays(sg_top_pair *t, sg_error *error)
{
    SG_TRY(not_negative("width", t->width, " GeV", error));
    SG_TRY(positive("w_mass", t->w_mass, " GeV", error));
    SG_TRY(not_negative("w_width", t->w_width, " GeV", error));
    SG_TRY(not_negative("b_mass", t->b_mass, " GeV", error));
    SG_TRY(not_negative("cut", t->cut, " widths", error));
    SG_TRY(not_negative("jet_stochastic", t->jet_stochastic, " sqrt(GeV)", error));
    SG_TRY(not_negative("jet_constant", t->jet_constant, "", error));
    SG_TRY(not_negative("lepton_resolution", t->lepton_resolution, "", error));
    SG_TRY(not_negative("met_resolution", t->met_resolution, " GeV", error));
    if (!(t->leptonic >= 0 && t->leptonic <= 1))
        return sg_fail(error, SG_ERR_VALUE, "leptonic", "expected a probability from 0 to 1, got %g", t->leptonic);
    if (t->decays < SG_TOP_SEMILEPTONIC || t->decays > SG_TOP_INCLUSIVE)
        return sg_fail(error, SG_ERR_VALUE, "decays", "expected 0 to %d, got %d", SG_TOP_INCLUSIVE, (int)t->decays);
    double lightest = t->mass - t->cut * t->width, heaviest = t->w_mass + t->cut * t->w_width;
    if (!(lightest > heaviest + t->b_mass))
        return sg_fail(error, SG_ERR_VALUE, "mass",
                       "t -> b W is closed: the lightest top within %g widths has %.6g GeV, the heaviest W and the b together %.6g",
                       t->cut, lightest, heaviest + t->b_mass);
    t->top = mass_law(t->mass, t->width, t->cut);
    t->w   = mass_law(t->w_mass, t->w_width, t->cut);
    SG_TRY(sg_events_law_prepare(&t->top, "width", 1, error));
    return sg_events_law_prepare(&t->w, "w_width", 1, error);
}

sg_status sg_events_top_pair_integrand(void *context, size_t n, const double *x, double *f, sg_error *error)
{
    (void)error;
    sg_top_pair_f64_now()->density(n, context, x, f);
    return SG_OK;
}
