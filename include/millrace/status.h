/* SPDX-License-Identifier: Apache-2.0
 *
 * Statuses: every function that can fail returns one. Zero is success, everything else negative.
 * The list is the only place where a status is named; mr_status_text() is generated from it.
 */
#ifndef MILLRACE_STATUS_H
#define MILLRACE_STATUS_H

#define MR_STATUS_LIST(X)                                                                          \
    X(MR_OK, 0, "success")                                                                         \
    X(MR_EOF, -1, "end of input")                                                                  \
    X(MR_AGAIN, -2, "nothing at the moment")                                                       \
    X(MR_ERR_USAGE, -3, "bad option or argument")                                                  \
    X(MR_ERR_PROGRAM, -4, "error in a program, a model or a pattern")                              \
    X(MR_ERR_INPUT, -5, "input cannot be read")                                                    \
    X(MR_ERR_OUTPUT, -6, "output cannot be written")                                               \
    X(MR_ERR_START, -7, "the engine cannot start on this machine")                                 \
    X(MR_ERR_MEMORY, -8, "out of memory")                                                          \
    X(MR_ERR_LIMIT, -9, "a configured limit is reached")                                           \
    X(MR_ERR_INTERNAL, -10, "internal error")

enum mr_status {
#define X(name, value, text) name = (value),
    MR_STATUS_LIST(X)
#undef X
};

/* The status in words; never NULL. */
const char *mr_status_text(enum mr_status status);

#define MR_ERROR_TEXT_BYTES 1024

/* What went wrong, for a person: one sentence that says what, where and what to do.
 * Owned by the caller; functions that take one fill it when they fail and leave it alone when
 * they succeed. NULL is allowed wherever one is taken. */
struct mr_error {
    enum mr_status status;
    char text[MR_ERROR_TEXT_BYTES];
};

/* Fills `error` (unless NULL) from a printf format and returns `status`, so that a failing
 * function can end with `return mr_fail(error, MR_ERR_INPUT, "...")`. */
enum mr_status mr_fail(struct mr_error *error, enum mr_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
