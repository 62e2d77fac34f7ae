/* Numbers as people give them: digits, and nothing else. */
#ifndef MR_BASE_NUMBER_H
#define MR_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* The number that `text` begins with, and what follows it. NULL: it begins with no digit (a sign
 * and a blank are none), or the number is over `most`. */
const char *mr_read_digits(const char *text, uint64_t most, uint64_t *number);

/* Is `text` a number from `least` to `most`, and nothing else? */
bool mr_read_number(const char *text, uint64_t least, uint64_t most, uint64_t *number);

/* Can `text` be a port: a number from 1 to 65535, or the name of a service? getaddrinfo() takes the
 * low 16 bits of any number. */
bool mr_may_be_port(const char *text);

#endif
