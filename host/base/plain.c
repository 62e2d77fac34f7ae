#include "base/plain.h"

#include <stdint.h>
#include <unistd.h>

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

size_t mr_plain_json(const char *json, size_t len, size_t *skip, char escape[8])
{
    const uint8_t *p = (const uint8_t *)json;
    size_t n = 0;

    for (*skip = 0; n < len; n++) {
        bool c1 = p[n] == 0xc2 && n + 1 < len && p[n + 1] >= 0x80 && p[n + 1] < 0xa0;
        if (!c1 && p[n] != 0x7f)
            continue;
        *skip = c1 ? 2 : 1;
        snprintf(escape, 8, "\\u%04x", p[n + c1]);
        break;
    }
    return n;
}

bool mr_print_json(FILE *to, const char *json, size_t len)
{
    size_t n, skip;
    char escape[8];

    if (!isatty(fileno(to)))
        return fwrite(json, 1, len, to) == len;
    for (; len; json += n + skip, len -= n + skip) {
        n = mr_plain_json(json, len, &skip, escape);
        fwrite(json, 1, n, to);
        if (skip)
            fputs(escape, to);
    }
    return !ferror(to);
}
