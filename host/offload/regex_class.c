/* Characters, escapes and classes of a regex, as PCRE writes them. What is not surely understood
 * is refused with a reason. */
#include "offload/regex_tree.h"

#include <string.h>

#define NO_CHARACTER (MR_POINT_MAX + 1)

static uint32_t refuse(struct mr_regex_reader *reader, const char *why)
{
    if (!reader->why)
        reader->why = why;
    return NO_CHARACTER;
}

static uint32_t max_point(const struct mr_regex_reader *reader)
{
    return reader->utf8 ? MR_POINT_MAX : 0xff;
}

/* ---- named classes ---- */

/* Ranges as pairs of characters: "az" is a to z. */
static const struct {
    const char *name;
    uint8_t n;
    uint8_t ranges[10];
} named[] = {
    {"alnum", 6, "azAZ09"},
    {"alpha", 4, "azAZ"},
    {"ascii", 2, {0, 127}},
    {"blank", 4, "\t\t  "},
    {"cntrl", 4, {0, 31, 127, 127}},
    {"digit", 2, "09"},
    {"graph", 2, "!~"},
    {"lower", 2, "az"},
    {"print", 2, " ~"},
    {"punct", 8, "!/:@[`{~"},
    {"space", 4, "\t\r  "},
    {"upper", 2, "AZ"},
    {"word", 8, "azAZ09__"},
    {"xdigit", 6, "09afAF"},
};

/* The complement is added as ranges that are whole by themselves: only what it leaves out counts.
 */
static void add_named(struct mr_regex_reader *reader, const char *name, size_t len, bool negate)
{
    bool cased = len == 5 && (!memcmp(name, "upper", 5) || !memcmp(name, "lower", 5));

    if (cased && (reader->flags & MR_REGEX_CASELESS))
        name = "alpha";
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        if (strlen(named[i].name) != len || memcmp(named[i].name, name, len))
            continue;
        if (!negate) {
            for (int k = 0; k < named[i].n; k += 2)
                mr_points_add(&reader->points, named[i].ranges[k], named[i].ranges[k + 1]);
            return;
        }
        for (uint32_t point = 0, from = 0; point <= 0x80; point++) {
            bool in = false;
            for (int k = 0; k < named[i].n; k += 2)
                in |= named[i].ranges[k] <= point && point <= named[i].ranges[k + 1];
            if (in && from < point)
                mr_points_add(&reader->points, from, point - 1);
            if (in)
                from = point + 1;
            if (point == 0x80)
                mr_points_add(&reader->points, from, max_point(reader));
        }
        return;
    }
    refuse(reader, "an unknown POSIX class");
}

/* \h, \v: spaces beyond ASCII are among them. */
static void add_spaces(struct mr_regex_reader *reader, bool vertical)
{
    struct mr_points *points = &reader->points;

    if (vertical) {
        mr_points_add(points, 10, 13);
        mr_points_add(points, 0x85, 0x85);
        if (reader->utf8)
            mr_points_add(points, 0x2028, 0x2029);
        return;
    }
    mr_points_add(points, 9, 9);
    mr_points_add(points, 32, 32);
    mr_points_add(points, 0xa0, 0xa0);
    if (!reader->utf8)
        return;
    static const uint32_t ranges[][2] = {{0x1680, 0x1680}, {0x180e, 0x180e}, {0x2000, 0x200a},
                                         {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        mr_points_add(points, ranges[i][0], ranges[i][1]);
}

/* ---- escapes ---- */

static int hex_digit(unsigned c)
{
    if (c - '0' < 10)
        return (int)(c - '0');
    c |= 0x20;
    return c - 'a' < 6 ? (int)(c - 'a') + 10 : -1;
}

static uint32_t number_in_braces(struct mr_regex_reader *reader, uint32_t base)
{
    uint32_t value = 0, digits = 0;

    for (reader->at++; reader->at < reader->end && *reader->at != '}'; reader->at++, digits++) {
        int digit = hex_digit(*reader->at);
        if (digit < 0 || (uint32_t)digit >= base || value > MR_POINT_MAX)
            return refuse(reader, "a number in braces that is none");
        value = value * base + (uint32_t)digit;
    }
    if (reader->at == reader->end || !digits)
        return refuse(reader, "a number in braces that does not end");
    reader->at++;
    return value;
}

static uint32_t hexadecimal(struct mr_regex_reader *reader)
{
    uint32_t value = 0;

    if (reader->at < reader->end && *reader->at == '{')
        return number_in_braces(reader, 16);
    for (int i = 0; i < 2 && reader->at < reader->end && hex_digit(*reader->at) >= 0; i++)
        value = value * 16 + (uint32_t)hex_digit(*reader->at++);
    return value;
}

/* After the first digit. */
static uint32_t octal(struct mr_regex_reader *reader, uint32_t first, bool in_class)
{
    uint32_t value = first, digits = 1;

    while (digits < 3 && reader->at < reader->end && *reader->at >= '0' && *reader->at <= '7') {
        value = value * 8 + (*reader->at++ - '0');
        digits++;
    }
    if (!in_class && first)
        return refuse(reader, "a back reference, or an octal number that looks like one");
    if (first > 7 || value > 0xff)
        return refuse(reader, "an octal number out of range");
    return value;
}

static bool class_escape(struct mr_regex_reader *reader, uint8_t c)
{
    switch (c) {
    case 'd':
    case 'D':
        add_named(reader, "digit", 5, c == 'D');
        return true;
    case 's':
    case 'S':
        add_named(reader, "space", 5, c == 'S');
        return true;
    case 'w':
    case 'W':
        add_named(reader, "word", 4, c == 'W');
        return true;
    case 'h':
    case 'v':
        add_spaces(reader, c == 'v');
        return true;
    default:
        return false;
    }
}

uint32_t mr_regex_escape(struct mr_regex_reader *reader, bool in_class)
{
    static const char names[] = "aefnrt";
    static const uint8_t values[] = {7, 27, 12, 10, 13, 9};
    uint32_t point;

    if (reader->at == reader->end)
        return refuse(reader, "a backslash at the end");
    uint8_t c = *reader->at;
    if (class_escape(reader, c)) {
        reader->at++;
        return NO_CHARACTER;
    }
    const char *name = c ? strchr(names, c) : NULL;
    if (c >= 0x80 && reader->utf8) {
        point = mr_regex_literal(reader);
    } else {
        reader->at++;
        if (name)
            point = values[name - names];
        else if (c == 'x')
            point = hexadecimal(reader);
        else if (c == 'o' && reader->at < reader->end && *reader->at == '{')
            point = number_in_braces(reader, 8);
        else if (c >= '0' && c <= '9')
            point = octal(reader, c - (uint32_t)'0', in_class);
        else if (c == 'c' && reader->at < reader->end && *reader->at < 0x80) {
            uint8_t key = *reader->at++;
            point = (key >= 'a' && key <= 'z' ? key - 32u : key) ^ 64u;
        } else if (c == 'b' && in_class)
            point = 8;
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
            return refuse(reader, "an escape that is not expressed here");
        else
            point = c;
    }
    if (reader->why)
        return NO_CHARACTER;
    if (point > max_point(reader) || (point >= 0xd800 && point < 0xe000))
        return refuse(reader, "a character out of range");
    mr_points_add_written(&reader->points, point, point);
    return point;
}

/* ---- characters and classes ---- */

uint32_t mr_regex_literal(struct mr_regex_reader *reader)
{
    uint32_t c = *reader->at++;

    if (!reader->utf8 || c < 0x80)
        return c;
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    if (c < 0xc2 || c > 0xf4 || reader->end - reader->at < more)
        return refuse(reader, "it is not UTF-8");
    for (c &= 0x3fu >> more; more; more--) {
        if ((*reader->at & 0xc0) != 0x80)
            return refuse(reader, "it is not UTF-8");
        c = c << 6 | (*reader->at++ & 0x3fu);
    }
    return c;
}

struct mr_node *mr_regex_take_points(struct mr_regex_reader *reader, bool negate)
{
    struct mr_points *points = &reader->points;

    if ((reader->flags & MR_REGEX_CASELESS) && !mr_points_fold(points, reader->utf8))
        refuse(reader, "letters beyond ASCII without case");
    mr_points_normalise(points, negate, max_point(reader));
    if (points->failed)
        refuse(reader, "a class of too many ranges");
    return reader->why ? NULL : mr_points_node(reader, points);
}

struct mr_node *mr_regex_dot(struct mr_regex_reader *reader)
{
    mr_points_clear(&reader->points);
    if (!(reader->flags & MR_REGEX_DOTALL))
        mr_points_add(&reader->points, '\n', '\n');
    mr_points_normalise(&reader->points, true, max_point(reader));
    return mr_points_node(reader, &reader->points);
}

/* [:name:] or [:^name:]; false: it is none. */
static bool posix_class(struct mr_regex_reader *reader)
{
    const uint8_t *at = reader->at + 1;

    if (reader->end - reader->at < 4 || (*at != ':' && *at != '.' && *at != '='))
        return false;
    for (const uint8_t *stop = at + 1; stop + 1 < reader->end && *stop != ']'; stop++) {
        if (*stop != *at || stop[1] != ']')
            continue;
        bool negate = at[1] == '^';
        if (*at != ':')
            refuse(reader, "a collating element");
        else
            add_named(reader, (const char *)at + 1 + negate, (size_t)(stop - at - 1 - negate),
                      negate);
        reader->at = stop + 2;
        return true;
    }
    return false;
}

/* One character or class within a class. */
static uint32_t element(struct mr_regex_reader *reader)
{
    if (*reader->at == '[' && posix_class(reader))
        return NO_CHARACTER;
    if (*reader->at == '\\') {
        reader->at++;
        if (reader->at < reader->end && (*reader->at == 'Q' || *reader->at == 'E'))
            return refuse(reader, "\\Q or \\E in a class");
        return mr_regex_escape(reader, true);
    }
    uint32_t point = mr_regex_literal(reader);
    if (!reader->why)
        mr_points_add_written(&reader->points, point, point);
    return point;
}

struct mr_node *mr_regex_class(struct mr_regex_reader *reader)
{
    bool negate = reader->at < reader->end && *reader->at == '^';

    mr_points_clear(&reader->points);
    reader->at += negate;
    for (bool first = true; !reader->why; first = false) {
        if (reader->at == reader->end) {
            refuse(reader, "a class that does not end");
            break;
        }
        if (*reader->at == ']' && !first)
            break;
        uint32_t low = element(reader);
        if (reader->why || reader->end - reader->at < 2 || reader->at[0] != '-' ||
            reader->at[1] == ']')
            continue;
        reader->at++;
        uint32_t high = element(reader);
        if (low > MR_POINT_MAX || high > MR_POINT_MAX || low > high)
            refuse(reader, "a range from or to a class");
        else
            mr_points_add_written(&reader->points, low, high);
    }
    if (reader->why)
        return NULL;
    reader->at++;
    return mr_regex_take_points(reader, negate);
}
