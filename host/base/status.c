/* Statuses in words, and the one way to fill a struct mr_error. */
#include "millrace/status.h"

#include <stdarg.h>
#include <stdio.h>

const char *mr_status_text(enum mr_status status)
{
    switch (status) {
#define X(name, value, text)                                                                       \
    case name:                                                                                     \
        return text;
        MR_STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}

enum mr_status mr_fail(struct mr_error *error, enum mr_status status, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error->status = status;
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return status;
}
