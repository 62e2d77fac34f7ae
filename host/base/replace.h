/* Files that are written beside the old one and take its place as a whole. */
#ifndef MR_BASE_REPLACE_H
#define MR_BASE_REPLACE_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stdio.h>

/* May a file take the place of what is at `path`? Not that of a device, a pipe or a link such as
 * /dev/stdout: for root, rename() would do it, and the machine would be without. MR_ERR_OUTPUT with
 * a sentence: no. */
enum mr_status mr_may_replace(const char *path, struct mr_error *error);

/* Could `path` be written: what is there, or, where nothing is, something new in its folder? The
 * folders `coming` (NULL: none; else up to a NULL) are there by then, if they can be made, each
 * after those behind it. 0, or errno says why not. Nothing is opened, made or locked. */
int mr_may_write(const char *path, const char *const *coming);

/* Such folders, where the first of them may be NULL. */
static inline const char *const *mr_coming(const char *folders[])
{
    return folders[0] ? folders : folders + 1;
}

/* The same of a file: a folder there is none (EISDIR). */
int mr_may_write_file(const char *path, const char *const *coming);

/* Could a file take that place, being made beside it? */
int mr_may_put(const char *path, const char *const *coming);

struct mr_replacement {
    FILE *file;       /* to be written */
    const char *path; /* whose place it shall take; borrowed */
    char *name;       /* until then */
};

/* Begins a file that shall take that place: PATH with a number behind it, always a new one, so that
 * nothing else beside it is touched. False: errno says why. */
bool mr_replace_begin(struct mr_replacement *new, const char *path);

/* What was written takes the place, if all of it was; else it is removed. Closes the file. False:
 * errno says why. */
bool mr_replace_end(struct mr_replacement *new);

#endif
