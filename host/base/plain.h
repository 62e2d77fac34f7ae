/* Bytes that come from files or the wire, printed for people: a terminal obeys none of them. */
#ifndef MR_BASE_PLAIN_H
#define MR_BASE_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Writes them as they are, but control bytes (C0, DEL, C1 in either form) and what is not UTF-8 as
 * \xNN. */
void mr_print_plain(FILE *to, const void *bytes, size_t len);

/* JSON for a terminal: how many bytes at its beginning can go there as they are. What follows, if
 * anything does, is one of the control characters that JSON allows in strings (DEL, C1): *skip is
 * how many bytes it has, `escape` what JSON calls it. */
size_t mr_plain_json(const char *json, size_t len, size_t *skip, char escape[8]);

/* Writes JSON: as it is, but to a terminal. False: not all of it. */
bool mr_print_json(FILE *to, const char *json, size_t len);

#endif
