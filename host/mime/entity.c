/* Character references of HTML. */
#include "decoder.h"

#include <string.h>

static const struct name {
    char name[9];
    uint16_t code;
} names[] = {
#define X(name, code) {name, code},
#include "entities.def"
#undef X
};

static uint32_t named(const char *name)
{
    size_t low = 0, high = sizeof names / sizeof *names;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, names[middle].name);
        if (!order)
            return names[middle].code;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return 0;
}

/* As browsers do: what lies in 0x80 to 0x9f is windows-1252. */
static uint32_t number(uint32_t code)
{
    static const uint16_t windows[32] = {
        0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
        0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
        0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};

    if (code >= 0x80 && code < 0xa0)
        return windows[code - 0x80];
    return !code || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0xfffd : code;
}

static size_t numeric(const uint8_t *in, size_t n, uint8_t *out, size_t *written)
{
    size_t i = 2, begin;
    bool hexadecimal = n > 2 && mime_lower(in[2]) == 'x';
    uint32_t code = 0;

    begin = i += hexadecimal;
    for (; i < n && i < begin + 12; i++) {
        uint8_t c = mime_lower(in[i]);
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if (hexadecimal && c >= 'a' && c <= 'f')
            digit = c - 'a' + 10u;
        else
            break;
        if (code <= 0x10ffff)
            code = code * (hexadecimal ? 16 : 10) + digit;
    }
    if (i == begin)
        return 0;
    *written = mime_put_utf8(out, number(code));
    return i < n && in[i] == ';' ? i + 1 : i;
}

size_t mime_entity(const uint8_t *in, size_t n, uint8_t *out, size_t *written)
{
    char name[9];
    size_t i = 1, len = 0;

    if (n > 1 && in[1] == '#')
        return numeric(in, n, out, written);
    while (
        i < n && len < sizeof name - 1 &&
        ((in[i] >= '0' && in[i] <= '9') || (mime_lower(in[i]) >= 'a' && mime_lower(in[i]) <= 'z')))
        name[len++] = (char)in[i++];
    name[len] = 0;
    uint32_t code = len ? named(name) : 0;
    /* without its semicolon only what was always read so */
    bool closed = i < n && in[i] == ';';
    if (!code || (!closed && code > 0xff))
        return 0;
    *written = mime_put_utf8(out, code);
    return closed ? i + 1 : i;
}
