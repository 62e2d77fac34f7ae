/* How passes report: an error or a warning at a place, then at most one hint for it. */
#ifndef MR_ANALOG_DIAGNOSTIC_H
#define MR_ANALOG_DIAGNOSTIC_H

#include "analog/compile.h"

void analog_error(struct compile *compile, const struct mr_where *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void analog_warning(struct compile *compile, const struct mr_where *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says what to write instead. Belongs to the message reported last. */
void analog_hint(struct compile *compile, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* There is one more of something than a program may have: an error, for the first one only. What
 * follows from its absence is not reported. */
void analog_too_many(struct compile *compile, const struct mr_where *where, enum limit limit);

/* "not yet": understood, but this version does not run it. */
void analog_not_yet(struct compile *compile, const struct mr_where *where, const char *what);

/* Has this program errors? (program.c) */
bool analog_failed(const struct compile *compile);

/* So many errors that looking for more is of no use. */
bool analog_enough(const struct compile *compile);

/* A number for a source, so that messages come in the order in which files were read. */
uint32_t analog_source_index(struct mr_diagnostics *diagnostics);

/* ---- nearest.c: the known name that somebody may have meant ---- */

struct nearest {
    const char *wanted;
    const char *name; /* the best so far; NULL: nothing near */
    uint32_t distance;
};

void analog_nearest(struct nearest *nearest, const char *candidate);

/* From first byte of `from` to last of `to`, when both stand in one line; else `from`. */
struct mr_where analog_span(const struct mr_where *from, const struct mr_where *to);

#endif
