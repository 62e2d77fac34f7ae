/* Sets of characters, and the bytes that spell them. In UTF-8 a character is a sequence of byte
 * ranges; a text is known to be UTF-8 as a whole, so what no valid text holds need not be kept out.
 */
#include "offload/regex_tree.h"

#include <stdlib.h>

void mr_points_clear(struct mr_points *points)
{
    points->n = 0;
    points->failed = points->k = points->s = false;
}

/* Letters of ASCII that have a case beyond it. */
#define KELVIN 0x212au
#define LONG_S 0x17fu

static bool is_within(uint32_t point, uint32_t low, uint32_t high)
{
    return low <= point && point <= high;
}

void mr_points_add(struct mr_points *points, uint32_t low, uint32_t high)
{
    if (low > high)
        return;
    if (points->n == MR_POINTS_MAX) {
        points->failed = true;
        return;
    }
    points->ranges[points->n].low = low;
    points->ranges[points->n++].high = high;
}

void mr_points_add_written(struct mr_points *points, uint32_t low, uint32_t high)
{
    mr_points_add(points, low, high);
    points->k |=
        is_within('k', low, high) || is_within('K', low, high) || is_within(KELVIN, low, high);
    points->s |=
        is_within('s', low, high) || is_within('S', low, high) || is_within(LONG_S, low, high);
}

static int by_low(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

void mr_points_normalise(struct mr_points *points, bool negate, uint32_t max)
{
    uint32_t n = 0;

    qsort(points->ranges, points->n, sizeof points->ranges[0], by_low);
    for (uint32_t i = 0; i < points->n; i++) {
        if (n && points->ranges[i].low <= points->ranges[n - 1].high + 1) {
            if (points->ranges[i].high > points->ranges[n - 1].high)
                points->ranges[n - 1].high = points->ranges[i].high;
        } else {
            points->ranges[n++] = points->ranges[i];
        }
    }
    points->n = n;
    if (!negate)
        return;
    uint32_t from = 0;
    n = 0;
    for (uint32_t i = 0; i < points->n; i++) {
        uint32_t low = points->ranges[i].low, next = points->ranges[i].high + 1;
        if (from < low) {
            points->ranges[n].low = from;
            points->ranges[n++].high = low - 1;
        }
        from = next;
    }
    points->n = n;
    if (from <= max)
        mr_points_add(points, from, max);
}

static void fold_range(struct mr_points *points, uint32_t low, uint32_t high, uint32_t first,
                       int shift)
{
    uint32_t from = low > first ? low : first, to = high < first + 25 ? high : first + 25;

    if (from <= to)
        mr_points_add(points, (uint32_t)((int)from + shift), (uint32_t)((int)to + shift));
}

/* All that lies beyond ASCII is folded onto itself and what add_case() adds; of a part nobody here
 * knows. */
static bool folds_beyond_ascii(const struct mr_points *points)
{
    for (uint32_t i = 0; i < points->n; i++) {
        if (points->ranges[i].high < 0x80)
            continue;
        return points->ranges[i].low <= 0x80 && points->ranges[i].high == MR_POINT_MAX;
    }
    return true;
}

static void add_case(struct mr_points *points, uint32_t letter, uint32_t other)
{
    mr_points_add(points, letter, letter);
    mr_points_add(points, letter ^ 0x20, letter ^ 0x20);
    mr_points_add(points, other, other);
}

bool mr_points_fold(struct mr_points *points, bool utf8)
{
    mr_points_normalise(points, false, MR_POINT_MAX);
    const uint32_t n = points->n;

    if (utf8 && !folds_beyond_ascii(points))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t low = points->ranges[i].low, high = points->ranges[i].high;
        fold_range(points, low, high, 'a', 'A' - 'a');
        fold_range(points, low, high, 'A', 'a' - 'A');
    }
    if (utf8 && points->k)
        add_case(points, 'k', KELVIN);
    if (utf8 && points->s)
        add_case(points, 's', LONG_S);
    return true;
}

/* ---- as bytes ---- */

static struct mr_node *range_node(struct mr_regex_reader *reader, uint32_t low, uint32_t high)
{
    struct mr_node *node = mr_node_new(reader, MR_NODE_SET);

    for (uint32_t byte = low; node && byte <= high; byte++)
        mr_byte_add(&node->set, byte);
    return node;
}

/* Any sequence of `n` bytes whose first is in low..high. */
static struct mr_node *any_sequence(struct mr_regex_reader *reader, uint32_t low, uint32_t high,
                                    uint32_t n)
{
    struct mr_node *sequence = mr_node_new(reader, MR_NODE_CONCAT);

    for (uint32_t i = 0; sequence && i < n; i++) {
        struct mr_node *byte = i ? range_node(reader, 0x80, 0xbf) : range_node(reader, low, high);
        if (!byte)
            return NULL;
        mr_node_append(sequence, byte);
    }
    return sequence;
}

static uint32_t encode(uint32_t point, uint8_t *bytes)
{
    uint32_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (uint32_t i = n; i-- > 1; point >>= 6)
        bytes[i] = (uint8_t)(0x80 | (point & 0x3f));
    bytes[0] = (uint8_t)(leads[n] | point);
    return n;
}

/* low..high, of one length, such that they differ in ever more bytes towards the end. */
static bool add_aligned(struct mr_regex_reader *reader, struct mr_node *alt, uint32_t low,
                        uint32_t high)
{
    uint8_t from[4], to[4];
    uint32_t n = encode(low, from);
    struct mr_node *sequence = mr_node_new(reader, MR_NODE_CONCAT);

    encode(high, to);
    for (uint32_t i = 0; sequence && i < n; i++) {
        struct mr_node *byte = range_node(reader, from[i], to[i]);
        if (!byte)
            return false;
        mr_node_append(sequence, byte);
    }
    if (sequence)
        mr_node_append(alt, sequence);
    return sequence != NULL;
}

/* Cuts a range where lengths or continuation bytes change. */
static bool add_range(struct mr_regex_reader *reader, struct mr_node *alt, uint32_t low,
                      uint32_t high)
{
    static const uint32_t lasts[] = {0x7f, 0x7ff, 0xffff};

    for (int i = 0; i < 3; i++)
        if (low <= lasts[i] && high > lasts[i])
            return add_range(reader, alt, low, lasts[i]) &&
                   add_range(reader, alt, lasts[i] + 1, high);
    for (uint32_t bits = 6; bits <= 18 && high > 0x7f; bits += 6) {
        uint32_t mask = ((uint32_t)1 << bits) - 1;
        if (low >> bits == high >> bits)
            continue;
        if (low & mask)
            return add_range(reader, alt, low, low | mask) &&
                   add_range(reader, alt, (low | mask) + 1, high);
        if ((high & mask) != mask)
            return add_range(reader, alt, low, (high & ~mask) - 1) &&
                   add_range(reader, alt, high & ~mask, high);
    }
    return add_aligned(reader, alt, low, high);
}

static bool add_beyond_ascii(struct mr_regex_reader *reader, struct mr_node *alt, uint32_t low,
                             uint32_t high)
{
    static const struct {
        uint32_t low, high, n;
    } leads[] = {{0xc2, 0xdf, 2}, {0xe0, 0xef, 3}, {0xf0, 0xf4, 4}};

    if (low > 0x80 || high < MR_POINT_MAX)
        return add_range(reader, alt, low > 0x80 ? low : 0x80, high);
    for (int i = 0; i < 3; i++) {
        struct mr_node *sequence = any_sequence(reader, leads[i].low, leads[i].high, leads[i].n);
        if (!sequence)
            return false;
        mr_node_append(alt, sequence);
    }
    return true;
}

struct mr_node *mr_points_node(struct mr_regex_reader *reader, const struct mr_points *points)
{
    struct mr_node *set = mr_node_new(reader, MR_NODE_SET), *alt;
    uint32_t bytes_end = reader->utf8 ? 0x80 : 0x100;
    bool beyond = false, within = false;

    if (!set)
        return NULL;
    for (uint32_t i = 0; i < points->n; i++) {
        for (uint32_t p = points->ranges[i].low; p <= points->ranges[i].high && p < bytes_end; p++)
            mr_byte_add(&set->set, p);
        within |= points->ranges[i].low < bytes_end;
        beyond |= points->ranges[i].high >= bytes_end;
    }
    if (!beyond || !reader->utf8)
        return set;
    alt = mr_node_new(reader, MR_NODE_ALT);
    if (!alt)
        return NULL;
    if (within)
        mr_node_append(alt, set);
    for (uint32_t i = 0; i < points->n; i++)
        if (points->ranges[i].high >= 0x80 &&
            !add_beyond_ascii(reader, alt, points->ranges[i].low, points->ranges[i].high))
            return NULL;
    return alt;
}
