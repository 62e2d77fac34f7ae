/* What of style sheets and colours hides text. Only what stands in the tag itself is looked at. */
#include "html.h"

#include <stdlib.h>
#include <string.h>

#define MOST_STYLE 512u
#define CLOSE      16 /* colours that nobody can tell apart: so much in each of red, green, blue */

static const struct colour {
    const char *name;
    uint32_t rgb;
} colours[] = {
    {"white", 0xffffff},   {"black", 0},         {"red", 0xff0000},   {"blue", 0x0000ff},
    {"green", 0x008000},   {"yellow", 0xffff00}, {"gray", 0x808080},  {"grey", 0x808080},
    {"silver", 0xc0c0c0},  {"maroon", 0x800000}, {"navy", 0x000080},  {"olive", 0x808000},
    {"purple", 0x800080},  {"teal", 0x008080},   {"aqua", 0x00ffff},  {"lime", 0x00ff00},
    {"fuchsia", 0xff00ff}, {"snow", 0xfffafa},   {"ivory", 0xfffff0}, {"whitesmoke", 0xf5f5f5}};

static int hex(uint8_t c)
{
    c = mime_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_colour(const uint8_t *p, size_t n, uint32_t *colour)
{
    uint32_t rgb = 0;

    if (n != 3 && n != 6)
        return false;
    for (size_t i = 0; i < n; i++) {
        int digit = hex(p[i]);
        if (digit < 0)
            return false;
        rgb = rgb << 4 | (uint32_t)digit;
        if (n == 3)
            rgb = rgb << 4 | (uint32_t)digit;
    }
    *colour = rgb;
    return true;
}

/* rgb(1,2,3) without blanks */
static bool rgb_colour(const uint8_t *p, const uint8_t *end, uint32_t *colour)
{
    uint32_t rgb = 0;

    for (int i = 0; i < 3; i++) {
        uint32_t part = 0;
        const uint8_t *begin = p;
        for (; p < end && *p >= '0' && *p <= '9' && p - begin < 4; p++)
            part = part * 10 + (*p - '0');
        if (p == begin || p == end || part > 255 || *p != (i < 2 ? ',' : ')'))
            return false;
        p++;
        rgb = rgb << 8 | part;
    }
    *colour = rgb;
    return true;
}

bool mime_colour(struct mr_mime_text text, uint32_t *colour)
{
    text = mime_trimmed(text.ptr, text.ptr + text.len);
    if (text.len && text.ptr[0] == '#')
        return hex_colour(text.ptr + 1, text.len - 1, colour);
    for (size_t i = 0; i < sizeof colours / sizeof *colours; i++) {
        if (mime_is(text, colours[i].name)) {
            *colour = colours[i].rgb;
            return true;
        }
    }
    if (text.len > 4 && mime_is(mime_text(text.ptr, 4), "rgb("))
        return rgb_colour(text.ptr + 4, text.ptr + text.len, colour);
    return hex_colour(text.ptr, text.len, colour);
}

/* A font of no size, or of one that cannot be read: 0, 0px, 1px, 0.1em. */
static bool tiny(struct mr_mime_text value)
{
    char number[16];
    char *unit;

    if (!value.len || value.ptr[0] < '.' || value.ptr[0] > '9' || value.len >= sizeof number)
        return false;
    memcpy(number, value.ptr, value.len);
    number[value.len] = 0;
    double size = strtod(number, &unit);
    if (!strcmp(unit, "px") || !strcmp(unit, "pt"))
        return size <= 1;
    return size <= 0.1 || (!strcmp(unit, "%") && size <= 5);
}

static void declaration(struct mime_look *look, struct mr_mime_text name, struct mr_mime_text value)
{
    if (value.len > 10 && !memcmp(value.ptr + value.len - 10, "!important", 10))
        value.len -= 10;
    if (mime_is(name, "display"))
        look->hidden |= mime_is(value, "none");
    else if (mime_is(name, "visibility"))
        look->hidden |= mime_is(value, "hidden");
    else if (mime_is(name, "mso-hide"))
        look->hidden |= mime_is(value, "all");
    else if (mime_is(name, "opacity"))
        look->hidden |= value.len && value.ptr[0] == '0' && tiny(value);
    else if (mime_is(name, "font-size"))
        look->hidden |= tiny(value);
    else if (mime_is(name, "color"))
        mime_colour(value, &look->ink);
    else if (mime_is(name, "background-color") || mime_is(name, "background"))
        mime_colour(value, &look->paper);
}

void mime_style(struct mime_look *look, struct mr_mime_text declarations)
{
    uint8_t plain[MOST_STYLE];
    size_t n = 0;

    for (uint32_t i = 0; i < declarations.len && n < sizeof plain; i++)
        if (!mime_blank(declarations.ptr[i]))
            plain[n++] = mime_lower(declarations.ptr[i]);
    for (const uint8_t *p = plain, *end = plain + n; p < end;) {
        const uint8_t *semicolon = memchr(p, ';', (size_t)(end - p));
        const uint8_t *stop = semicolon ? semicolon : end;
        const uint8_t *colon = memchr(p, ':', (size_t)(stop - p));
        if (colon)
            declaration(look, mime_text(p, (size_t)(colon - p)),
                        mime_text(colon + 1, (size_t)(stop - colon - 1)));
        p = stop < end ? stop + 1 : end;
    }
}

static bool near(uint32_t a, uint32_t b)
{
    for (unsigned shift = 0; shift < 24; shift += 8) {
        int difference = (int)(a >> shift & 255) - (int)(b >> shift & 255);
        if (difference >= CLOSE || difference <= -CLOSE)
            return false;
    }
    return true;
}

bool mime_invisible(const struct mime_look *look)
{
    return look->hidden || near(look->ink, look->paper);
}
