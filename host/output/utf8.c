/* UTF-8 as RFC 3629 defines it: no surrogates, no overlong forms, nothing above U+10FFFF. */
#include "output/eve_text.h"

#include <string.h>

/* The length of the character at `at`, of which `left` bytes are there; 0 when it is ill-formed,
 * and then *bad is how many bytes of it belong together. */
static size_t character(const uint8_t *at, size_t left, size_t *bad)
{
    uint8_t lead = at[0];
    uint8_t low = 0x80, high = 0xbf; /* what the second byte may be */
    size_t need;

    *bad = 1;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    if (lead < 0xe0) {
        need = 2;
    } else if (lead < 0xf0) {
        need = 3;
        low = lead == 0xe0 ? 0xa0 : 0x80;
        high = lead == 0xed ? 0x9f : 0xbf;
    } else {
        need = 4;
        low = lead == 0xf0 ? 0x90 : 0x80;
        high = lead == 0xf4 ? 0x8f : 0xbf;
    }
    for (size_t i = 1; i < need; i++) {
        if (i == left || at[i] < low || at[i] > high)
            return 0;
        *bad = i + 1;
        low = 0x80;
        high = 0xbf;
    }
    return need;
}

size_t mr_utf8_prefix(const uint8_t *bytes, size_t len, size_t max)
{
    size_t at = 0, bad;

    for (;;) {
        uint64_t eight;
        while (len - at >= 8 && max - at >= 8 &&
               (memcpy(&eight, bytes + at, 8), !(eight & 0x8080808080808080u)))
            at += 8;
        if (at == len)
            return at;
        size_t n = character(bytes + at, len - at, &bad);
        if (n == 0 || n > max - at)
            return at;
        at += n;
    }
}

size_t mr_utf8_repair(char *to, size_t max, const uint8_t *bytes, size_t len, size_t *taken)
{
    size_t at = 0, used = 0;

    while (at < len) {
        size_t n = mr_utf8_prefix(bytes + at, len - at, max - used);
        size_t bad;
        memcpy(to + used, bytes + at, n);
        at += n;
        used += n;
        /* the end, no room for one more character, or something ill-formed */
        if (at == len || character(bytes + at, len - at, &bad) || max - used < 3)
            break;
        memcpy(to + used, "\xef\xbf\xbd", 3);
        at += bad;
        used += 3;
    }
    *taken = at;
    return used;
}
