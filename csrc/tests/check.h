/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of the C tests: a failed one prints where and what; main returns check_result(). */
#ifndef SG_TESTS_CHECK_H
#define SG_TESTS_CHECK_H

#include <stdio.h>

static int check_failures;

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            check_failures++;                                                         \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);   \
        }                                                                             \
    } while (0)

static inline int check_result(void) { return check_failures != 0; }

#endif
