/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "base/error.h"
#include "check.h"

static void every_status_has_its_number_and_a_text(void)
{
    size_t                 n;
    const sg_status_entry *table = sg_status_table(&n);
    CHECK(n == 18);
    for (size_t i = 0; i < n; i++) {
        CHECK((size_t)table[i].status == i);
        CHECK(strcmp(sg_status_text(table[i].status), table[i].text) == 0 && *table[i].text);
    }
    CHECK(strcmp(sg_status_text((sg_status)n), "unknown status") == 0);
    CHECK(strcmp(sg_status_text((sg_status)-1), "unknown status") == 0);
}

static void failure_names_the_argument(void)
{
    sg_error error = {0};
    CHECK(sg_fail(&error, SG_ERR_SHAPE, "n_col", "expected %d, got %d", 3, 4) == SG_ERR_SHAPE);
    CHECK(error.status == SG_ERR_SHAPE);
    CHECK(strcmp(error.argument, "n_col") == 0);
    CHECK(strcmp(error.message, "n_col: expected 3, got 4") == 0);
    CHECK(sg_fail(&error, SG_ERR_IO, NULL, "disk full") == SG_ERR_IO);
    CHECK(strcmp(error.argument, "") == 0 && strcmp(error.message, "disk full") == 0);
    CHECK(sg_fail(NULL, SG_ERR_IO, "file", "nobody listens") == SG_ERR_IO);
}

static void message_may_quote_the_report_it_overwrites(void)
{
    sg_error error = {0};
    sg_fail(&error, SG_ERR_VALUE, "inner", "too small");
    sg_fail(&error, SG_ERR_DOMAIN, "outer", "because %s", error.message);
    CHECK(strcmp(error.message, "outer: because inner: too small") == 0);
}

static void long_texts_are_cut_not_overrun(void)
{
    char text[2000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    struct {
        sg_error error;
        char     guard[16];
    } box;
    memset(&box, 7, sizeof box);
    sg_fail(&box.error, SG_ERR_VALUE, text, "%s", text);
    CHECK(strlen(box.error.argument) == sizeof box.error.argument - 1);
    CHECK(strlen(box.error.message) == sizeof box.error.message - 1);
    for (size_t i = 0; i < sizeof box.guard; i++)
        CHECK(box.guard[i] == 7);
}

int main(void)
{
    every_status_has_its_number_and_a_text();
    failure_names_the_argument();
    message_may_quote_the_report_it_overwrites();
    long_texts_are_cut_not_overrun();
    return check_result();
}
