/* SPDX-License-Identifier: BSD-3-Clause */
#include "events/law.h"

#include <math.h>

sg_status sg_events_law_prepare(sg_law *law, const char *name, int is_mass, sg_error *error)
{
    if (!isfinite(law->centre) || !isfinite(law->spread))
        return sg_fail(error, SG_ERR_VALUE, name, "expected finite numbers, got %g and %g", law->centre, law->spread);
    if (law->kind == SG_LAW_FIXED)
        law->low = law->high = law->centre;
    if (isnan(law->low) || isnan(law->high))
        return sg_fail(error, SG_ERR_VALUE, name, "expected limits that are numbers, got %g and %g", law->low, law->high);
    if (is_mass && law->low < 0)
        return sg_fail(error, SG_ERR_VALUE, name, "expected a mass of at least 0 GeV, got %g", law->low);
    if (law->kind != SG_LAW_FIXED && !(law->low < law->high))
        return sg_fail(error, SG_ERR_VALUE, name, "expected low < high, got %g and %g GeV", law->low, law->high);
    if (law->kind != SG_LAW_GAUSSIAN && !(isfinite(law->low) && isfinite(law->high)))
        return sg_fail(error, SG_ERR_VALUE, name, "expected finite limits, got %g and %g GeV", law->low, law->high);

    switch (law->kind) {
    case SG_LAW_FIXED: law->a = law->centre; break;
    case SG_LAW_UNIFORM:
        law->a = law->low;
        law->b = law->high - law->low;
        break;
    case SG_LAW_BREIT_WIGNER: {
        if (!is_mass)
            return sg_fail(error, SG_ERR_VALUE, name, "a Breit-Wigner law is one of masses");
        if (law->centre <= 0 || law->spread <= 0)
            return sg_fail(error, SG_ERR_VALUE, name, "expected a mass and a width > 0 GeV, got %g and %g", law->centre,
                           law->spread);
        double scale = law->centre * law->spread;
        law->a       = law->centre * law->centre;
        law->b       = scale;
        law->c       = atan((law->low - law->centre) * (law->low + law->centre) / scale);
        law->d       = atan((law->high - law->centre) * (law->high + law->centre) / scale) - law->c;
        break;
    }
    case SG_LAW_GAUSSIAN:
        if (law->spread <= 0)
            return sg_fail(error, SG_ERR_VALUE, name, "expected a standard deviation > 0 GeV, got %g", law->spread);
        /* The share of draws inside the limits is the speed of the rejection. */
        if (erf((law->high - law->centre) / law->spread * M_SQRT1_2) -
                erf((law->low - law->centre) / law->spread * M_SQRT1_2) < 2e-3)
            return sg_fail(error, SG_ERR_VALUE, name,
                           "less than 0.1 %% of the Gaussian of mean %g and standard deviation %g lies between %g and %g GeV",
                           law->centre, law->spread, law->low, law->high);
        law->a = law->centre;
        law->b = law->spread;
        break;
    }
    return SG_OK;
}
