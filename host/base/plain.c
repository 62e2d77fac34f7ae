#include "base/plain.h"

#include <stdint.h>

/* The bytes of the character at p that a terminal only shows; 0: it is none. */
static size_t shown(const uint8_t *p, size_t left)
{
    size_t need = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;

    if (need == 1)
        return *p >= ' ' && *p != 0x7f;
    if (need > left || (*p == 0xc2 && p[1] < 0xa0))
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return need;
}

void mr_print_plain(FILE *to, const void *bytes, size_t len)
{
    const uint8_t *p = bytes, *end = p + len;

    while (p < end) {
        size_t n = shown(p, (size_t)(end - p));
        if (n)
            fwrite(p, 1, n, to);
        else
            fprintf(to, "\\x%02x", *p);
        p += n ? n : 1;
    }
}
