/* Numbers, addresses and times as text, without printf where it counts. */
#include "output/eve_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324"
                                  "25262728293031323334353637383940414243444546474849"
                                  "50515253545556575859606162636465666768697071727374"
                                  "75767778798081828384858687888990919293949596979899";

static void two_digits(char *to, unsigned value)
{
    memcpy(to, digit_pairs + 2 * (size_t)value, 2);
}

size_t mr_text_uint(char *to, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;

    while (value >= 100) {
        at -= 2;
        two_digits(digits + at, (unsigned)(value % 100));
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        two_digits(digits + at, (unsigned)value);
    } else {
        digits[--at] = (char)('0' + value);
    }
    memcpy(to, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

size_t mr_text_int(char *to, int64_t value)
{
    if (value >= 0)
        return mr_text_uint(to, (uint64_t)value);
    *to = '-';
    return 1 + mr_text_uint(to + 1, 0 - (uint64_t)value);
}

size_t mr_text_real(char *to, double value)
{
    if (!isfinite(value))
        return 0;
    int len = snprintf(to, MR_TEXT_BYTES, "%.15g", value);
    if (strtod(to, NULL) != value)
        len = snprintf(to, MR_TEXT_BYTES, "%.17g", value);
    char *comma = strchr(to, ','); /* some locale's decimal point */
    if (comma)
        *comma = '.';
    return (size_t)len;
}

static size_t ipv4(char *to, const uint8_t *address)
{
    char *start = to;

    for (int i = 0; i < 4; i++) {
        to += mr_text_uint(to, address[i]);
        *to++ = '.';
    }
    return (size_t)(to - start) - 1;
}

static size_t ipv6(char *to, const uint8_t *address)
{
    static const char hex[] = "0123456789abcdef";
    char *start = to;

    for (int i = 0; i < 16; i++) {
        *to++ = hex[address[i] >> 4];
        *to++ = hex[address[i] & 15];
        if (i & 1)
            *to++ = ':';
    }
    return (size_t)(to - start) - 1;
}

size_t mr_text_address(char *to, const struct mr_endpoint *endpoint)
{
    if (endpoint->family == 4)
        return ipv4(to, endpoint->address);
    if (endpoint->family == 6)
        return ipv6(to, endpoint->address);
    return 0;
}

size_t mr_text_endpoint(char *to, const struct mr_endpoint *endpoint)
{
    bool brackets = endpoint->family == 6 && endpoint->port;
    size_t len = brackets;

    *to = '[';
    len += mr_text_address(to + len, endpoint);
    if (len == 0 || !endpoint->port)
        return len;
    if (brackets)
        to[len++] = ']';
    to[len++] = ':';
    return len + mr_text_uint(to + len, endpoint->port);
}

/* Days since 1970-01-01 to a date of the Gregorian calendar. Years are counted from March on, so
 * that the leap day is the last of its year. */
static void put_date(char date[10], uint64_t day)
{
    uint64_t from_0000 = day + 719468; /* days from 0000-03-01 to the epoch */
    uint64_t era = from_0000 / 146097, of_era = from_0000 % 146097; /* 400 years */
    uint64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned from_march = (unsigned)((5 * of_year + 2) / 153);
    unsigned day_of_month = (unsigned)(of_year - (153 * from_march + 2) / 5 + 1);
    unsigned month = from_march < 10 ? from_march + 3 : from_march - 9;
    unsigned year = (unsigned)(era * 400 + year_of_era) + (month <= 2);

    two_digits(date, year / 100 % 100);
    two_digits(date + 2, year % 100);
    date[4] = '-';
    two_digits(date + 5, month);
    date[7] = '-';
    two_digits(date + 8, day_of_month);
}

void mr_text_time(char to[MR_TEXT_TIME_BYTES], struct mr_text_clock *clock, uint64_t time_ns)
{
    uint64_t seconds = time_ns / 1000000000u;
    unsigned micros = (unsigned)(time_ns % 1000000000u / 1000u);
    uint64_t day = seconds / 86400;
    unsigned of_day = (unsigned)(seconds % 86400);

    if (clock->day != day + 1) {
        put_date(clock->date, day);
        clock->day = day + 1;
    }
    memcpy(to, clock->date, sizeof clock->date);
    memcpy(to + 10, "T00:00:00.000000+0000", 21);
    two_digits(to + 11, of_day / 3600);
    two_digits(to + 14, of_day / 60 % 60);
    two_digits(to + 17, of_day % 60);
    two_digits(to + 20, micros / 10000);
    two_digits(to + 22, micros / 100 % 100);
    two_digits(to + 24, micros % 100);
}
