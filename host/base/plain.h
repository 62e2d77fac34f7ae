/* Bytes that come from files or the wire, printed for people: a terminal obeys none of them. */
#ifndef MR_BASE_PLAIN_H
#define MR_BASE_PLAIN_H

#include <stddef.h>
#include <stdio.h>

/* Writes them as they are, but control bytes (C0, DEL, C1 in either form) and what is not UTF-8 as
 * \xNN. */
void mr_print_plain(FILE *to, const void *bytes, size_t len);

#endif
