/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const sg_status_entry table[] = {
#define X(name, number, exception, text) {name, #name, exception, text},
    SG_STATUS_LIST(X)
#undef X
};

const sg_status_entry *sg_status_table(size_t *n_entries)
{
    *n_entries = sizeof table / sizeof table[0];
    return table;
}

const char *sg_status_text(sg_status status)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].status == status)
            return table[i].text;
    return "unknown status";
}

sg_status sg_fail(sg_error *error, sg_status status, const char *argument, const char *format, ...)
{
    if (!error)
        return status;
    error->status = status;
    /* Build in locals: an argument of the message may point into *error. */
    char name[sizeof error->argument], message[sizeof error->message];
    snprintf(name, sizeof name, "%s", argument ? argument : "");
    int used = argument ? snprintf(message, sizeof message, "%s: ", name) : 0;
    va_list values;
    va_start(values, format);
    vsnprintf(message + used, sizeof message - (size_t)used, format, values);
    va_end(values);
    memcpy(error->argument, name, sizeof name);
    memcpy(error->message, message, sizeof message);
    return status;
}
