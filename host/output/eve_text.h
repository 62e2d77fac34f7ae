/* Turning values into the text that EVE records hold. Nothing here allocates. */
#ifndef MR_OUTPUT_EVE_TEXT_H
#define MR_OUTPUT_EVE_TEXT_H

#include "millrace/packet.h"

#include <stddef.h>

/* Large enough for each of the functions below; none of them writes a NUL but mr_text_real(). */
#define MR_TEXT_BYTES 64

size_t mr_text_uint(char *to, uint64_t value);
size_t mr_text_int(char *to, int64_t value);
/* The shortest of 15 or 17 digits that reads back the same; 0 when it is no finite number. */
size_t mr_text_real(char *to, double value);

/* IPv4 dotted, IPv6 as Suricata writes it: eight groups of four digits. 0: neither. */
size_t mr_text_address(char *to, const struct mr_endpoint *endpoint);
/* The same with the port, unless that is 0: "192.0.2.1:25", "[2001:0db8:...]:25". */
size_t mr_text_endpoint(char *to, const struct mr_endpoint *endpoint);

/* "2013-05-09T11:02:07.123456+0000". The date of the last call is kept. */
#define MR_TEXT_TIME_BYTES 31
struct mr_text_clock {
    uint64_t day; /* since the epoch, plus 1; 0: none yet */
    char date[10];
};
void mr_text_time(char to[MR_TEXT_TIME_BYTES], struct mr_text_clock *clock, uint64_t time_ns);

/* UTF-8: how many of the bytes are well-formed from the start on, at most `max`, ending between
 * two characters. */
size_t mr_utf8_prefix(const uint8_t *bytes, size_t len, size_t max);

/* Copies to `to`, each ill-formed sequence (its longest well-formed start, or one byte) replaced by
 * U+FFFD; stops before a character that would pass `max` bytes. Returns the bytes written, *taken
 * the bytes read. */
size_t mr_utf8_repair(char *to, size_t max, const uint8_t *bytes, size_t len, size_t *taken);

#endif
