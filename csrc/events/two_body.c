/* SPDX-License-Identifier: BSD-3-Clause */
#include "events/two_body.h"

#include <math.h>

sg_status sg_events_two_body_prepare(sg_two_body *decay, int mass_given, sg_error *error)
{
    static const char *const name[] = {"mass", "m1", "m2"};
    for (int i = mass_given; i < 3; i++)
        SG_TRY(sg_events_law_prepare(&decay->mass[i], name[i], 1, error));
    sg_law *parent = &decay->mass[0], *one = &decay->mass[1], *two = &decay->mass[2];
    if (!(parent->high > one->low + two->low))
        return sg_fail(error, SG_ERR_VALUE, "mass",
                       "the decay is closed: expected more than m1 + m2 = %.10g GeV, got at most %.10g", one->low + two->low,
                       parent->high);
    if (mass_given && !(parent->low > one->low + two->low))
        return sg_fail(error, SG_ERR_VALUE, "mass",
                       "the decay is closed: expected more than m1 + m2 = %.10g GeV, got %.10g", one->low + two->low,
                       parent->low);
    if (parent->kind != SG_LAW_FIXED && !mass_given)
        parent->low = fmax(parent->low, one->low + two->low);
    double left_one = parent->high - two->low, left_two = parent->high - one->low;
    if (one->kind != SG_LAW_FIXED)
        one->high = fmin(one->high, left_one);
    if (two->kind != SG_LAW_FIXED)
        two->high = fmin(two->high, left_two);
    decay->random_mass = 0;
    for (int i = mass_given; i < 3; i++) {
        SG_TRY(sg_events_law_prepare(&decay->mass[i], name[i], 1, error));
        decay->random_mass |= decay->mass[i].kind != SG_LAW_FIXED;
    }
    decay->moving = 0;
    for (int i = 0; i < 3; i++) {
        SG_TRY(sg_events_law_prepare(&decay->momentum[i], "momentum", 0, error));
        decay->moving |= decay->momentum[i].kind != SG_LAW_FIXED || decay->momentum[i].centre != 0;
    }
    return SG_OK;
}
