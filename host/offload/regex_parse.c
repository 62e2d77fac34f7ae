/* Reads a regex: alternatives, sequences, groups and repeats. */
#include "offload/regex_tree.h"

#include <string.h>

static struct mr_node *alternatives(struct mr_regex_reader *reader);

static struct mr_node *refuse(struct mr_regex_reader *reader, const char *why)
{
    if (!reader->why)
        reader->why = why;
    return NULL;
}

struct mr_node *mr_node_new(struct mr_regex_reader *reader, enum mr_node_kind kind)
{
    struct mr_node *node = mr_arena_zalloc(reader->arena, sizeof *node);

    if (!node)
        return refuse(reader, "no memory");
    node->kind = kind;
    return node;
}

void mr_node_append(struct mr_node *parent, struct mr_node *child)
{
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
}

static bool starts(const struct mr_regex_reader *reader, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(reader->end - reader->at) >= len && !memcmp(reader->at, text, len);
}

static struct mr_node *assertion(struct mr_regex_reader *reader, enum mr_assertion which)
{
    struct mr_node *node = mr_node_new(reader, MR_NODE_ASSERT);

    if (node)
        node->assertion = which;
    return node;
}

static struct mr_node *character(struct mr_regex_reader *reader, uint32_t point)
{
    if (reader->why)
        return NULL;
    mr_points_clear(&reader->points);
    mr_points_add_written(&reader->points, point, point);
    return mr_regex_take_points(reader, false);
}

/* ---- groups ---- */

static bool mode_letter(struct mr_regex_reader *reader, uint8_t letter, bool on)
{
    uint32_t flag = letter == 'i'   ? MR_REGEX_CASELESS
                    : letter == 'm' ? MR_REGEX_MULTILINE
                    : letter == 's' ? MR_REGEX_DOTALL
                    : letter == 'x' ? MR_REGEX_EXTENDED
                                    : 0;
    reader->flags = on ? reader->flags | flag : reader->flags & ~flag;
    return flag != 0;
}

/* (?i-s) or the head of (?i-s:...), behind the question mark; true: a group follows. */
static bool modes(struct mr_regex_reader *reader)
{
    bool on = true;

    for (; reader->at < reader->end && *reader->at != ')' && *reader->at != ':'; reader->at++) {
        if (*reader->at == '-' && on)
            on = false;
        else if (!mode_letter(reader, *reader->at, on))
            refuse(reader, "a kind of group that is not expressed here");
        if (reader->why)
            return false;
    }
    if (reader->at == reader->end) {
        refuse(reader, "a group that does not end");
        return false;
    }
    return *reader->at++ == ':';
}

static void name(struct mr_regex_reader *reader, uint8_t stop)
{
    while (reader->at < reader->end && *reader->at != stop)
        reader->at++;
    if (reader->at == reader->end)
        refuse(reader, "a name that does not end");
    else
        reader->at++;
}

/* What stands behind "(?"; *empty: it was no group. */
static void group_head(struct mr_regex_reader *reader, bool *empty)
{
    *empty = false;
    if (starts(reader, "=") || starts(reader, "!") || starts(reader, "<=") ||
        starts(reader, "<!")) {
        refuse(reader, "look-around");
    } else if (starts(reader, ">")) {
        refuse(reader, "an atomic group");
    } else if (starts(reader, "P<")) {
        name(reader, '>');
    } else if (starts(reader, "<")) {
        name(reader, '>');
    } else if (starts(reader, "'")) {
        reader->at++;
        name(reader, '\'');
    } else {
        *empty = !modes(reader);
    }
}

/* Behind '('. */
static struct mr_node *group(struct mr_regex_reader *reader)
{
    uint32_t flags = reader->flags;
    bool empty = false;

    if (starts(reader, "*"))
        return refuse(reader, "a verb");
    if (starts(reader, "?")) {
        reader->at++;
        group_head(reader, &empty);
        if (empty && !reader->why)
            return mr_node_new(reader, MR_NODE_EMPTY);
    }
    if (++reader->nesting > MR_NESTING_MAX)
        return refuse(reader, "groups nested too deeply");
    struct mr_node *node = reader->why ? NULL : alternatives(reader);
    reader->nesting--;
    if (node && reader->at == reader->end)
        return refuse(reader, "a group that does not end");
    reader->at++;
    reader->flags = flags;
    return node;
}

/* ---- items ---- */

/* Comments, and with flag x white space and lines of comment. A repeat behind them is one of what
 * stands before them. */
static void skip_comments(struct mr_regex_reader *reader)
{
    while (reader->at < reader->end && !reader->why) {
        uint8_t c = *reader->at;
        if (starts(reader, "(?#")) {
            name(reader, ')');
        } else if (!(reader->flags & MR_REGEX_EXTENDED)) {
            return;
        } else if (c == '#') {
            while (reader->at < reader->end && *reader->at != '\n')
                reader->at++;
        } else if (c != ' ' && (c < 9 || c > 13)) {
            return;
        } else {
            reader->at++;
        }
    }
}

static struct mr_node *quoted(struct mr_regex_reader *reader)
{
    struct mr_node *all = mr_node_new(reader, MR_NODE_CONCAT);

    while (all && reader->at < reader->end && !starts(reader, "\\E")) {
        struct mr_node *node = character(reader, mr_regex_literal(reader));
        if (!node)
            return NULL;
        mr_node_append(all, node);
    }
    reader->at += starts(reader, "\\E") ? 2 : 0;
    skip_comments(reader);
    if (starts(reader, "*") || starts(reader, "+") || starts(reader, "?") || starts(reader, "{"))
        return refuse(reader, "a repeat of a quotation's last character");
    return all;
}

static struct mr_node *escape(struct mr_regex_reader *reader)
{
    bool negate = false;

    switch (reader->at < reader->end ? *reader->at : 0) {
    case 'A':
        reader->at++;
        return assertion(reader, MR_AT_TEXT_START);
    case 'z':
        reader->at++;
        return assertion(reader, MR_AT_TEXT_END);
    case 'Z':
        reader->at++;
        return assertion(reader, MR_AT_LAST_LINE_END);
    case 'b':
        reader->at++;
        return assertion(reader, MR_AT_WORD_EDGE);
    case 'B':
        reader->at++;
        return assertion(reader, MR_AT_NO_WORD_EDGE);
    case 'Q':
        reader->at++;
        return quoted(reader);
    default:
        mr_points_clear(&reader->points);
        mr_regex_escape(reader, false);
        return reader->why ? NULL : mr_regex_take_points(reader, negate);
    }
}

static struct mr_node *item(struct mr_regex_reader *reader)
{
    switch (*reader->at) {
    case '(':
        reader->at++;
        return group(reader);
    case '[':
        reader->at++;
        return mr_regex_class(reader);
    case '\\':
        reader->at++;
        return escape(reader);
    case '.':
        reader->at++;
        return mr_regex_dot(reader);
    case '^':
        reader->at++;
        return assertion(reader,
                         reader->flags & MR_REGEX_MULTILINE ? MR_AT_LINE_START : MR_AT_TEXT_START);
    case '$':
        reader->at++;
        return assertion(reader,
                         reader->flags & MR_REGEX_MULTILINE ? MR_AT_LINE_END : MR_AT_LAST_LINE_END);
    case '*':
    case '+':
    case '?':
        return refuse(reader, "a repeat of nothing");
    default:
        return character(reader, mr_regex_literal(reader));
    }
}

/* ---- repeats ---- */

/* {2}, {2,} or {2,5} at reader->at; false: a brace that means itself. */
static bool braces(const struct mr_regex_reader *reader, uint32_t *min, uint32_t *max,
                   const uint8_t **behind)
{
    const uint8_t *at = reader->at + 1;
    uint64_t numbers[2] = {0, 0};
    uint32_t digits[2] = {0, 0}, which = 0;

    for (; at < reader->end && *at != '}'; at++) {
        if (*at == ',' && which == 0 && digits[0]) {
            which = 1;
        } else if (*at >= '0' && *at <= '9' && digits[which] < 6) {
            numbers[which] = numbers[which] * 10 + (*at - (uint64_t)'0');
            digits[which]++;
        } else {
            return false;
        }
    }
    if (at == reader->end || !digits[0])
        return false;
    *min = (uint32_t)numbers[0];
    *max = which == 0 ? *min : digits[1] ? (uint32_t)numbers[1] : MR_REPEAT_ENDLESS;
    *behind = at + 1;
    return true;
}

static bool repeat_follows(struct mr_regex_reader *reader, uint32_t *min, uint32_t *max)
{
    const uint8_t *behind = reader->at + 1;

    if (reader->at == reader->end)
        return false;
    *min = 0;
    *max = MR_REPEAT_ENDLESS;
    switch (*reader->at) {
    case '*':
        break;
    case '+':
        *min = 1;
        break;
    case '?':
        *max = 1;
        break;
    case '{':
        if (!braces(reader, min, max, &behind))
            return false;
        break;
    default:
        return false;
    }
    reader->at = behind;
    if (starts(reader, "+"))
        refuse(reader, "a possessive repeat");
    else if (starts(reader, "?")) /* lazy: the same messages match */
        reader->at++;
    if (*min > *max)
        refuse(reader, "a repeat whose bounds are turned");
    return !reader->why;
}

static struct mr_node *repeated(struct mr_regex_reader *reader, struct mr_node *node)
{
    uint32_t min, max;

    while (node && !reader->why) {
        skip_comments(reader);
        if (!repeat_follows(reader, &min, &max))
            break;
        struct mr_node *repeat = mr_node_new(reader, MR_NODE_REPEAT);
        if (!repeat)
            return NULL;
        repeat->min = min;
        repeat->max = max;
        mr_node_append(repeat, node);
        node = repeat;
    }
    return reader->why ? NULL : node;
}

static struct mr_node *sequence(struct mr_regex_reader *reader)
{
    struct mr_node *all = mr_node_new(reader, MR_NODE_CONCAT);

    while (all && !reader->why) {
        skip_comments(reader);
        if (reader->at == reader->end || *reader->at == '|' || *reader->at == ')')
            break;
        struct mr_node *node = reader->why ? NULL : repeated(reader, item(reader));
        if (node)
            mr_node_append(all, node);
    }
    return reader->why ? NULL : all;
}

/* Up to the ')' or the end. */
static struct mr_node *alternatives(struct mr_regex_reader *reader)
{
    struct mr_node *first = sequence(reader), *all;

    if (!first || reader->at == reader->end || *reader->at != '|')
        return first;
    all = mr_node_new(reader, MR_NODE_ALT);
    if (!all)
        return NULL;
    mr_node_append(all, first);
    while (reader->at < reader->end && *reader->at == '|') {
        reader->at++;
        struct mr_node *next = sequence(reader);
        if (!next)
            return NULL;
        mr_node_append(all, next);
    }
    return all;
}

/* (*UTF8) and the like, at the very start. */
static void verbs(struct mr_regex_reader *reader)
{
    while (starts(reader, "(*")) {
        if (starts(reader, "(*UTF8)") || starts(reader, "(*UTF)"))
            reader->utf8 = true;
        else
            refuse(reader, "a verb");
        while (reader->at < reader->end && *reader->at++ != ')')
            ;
    }
}

enum mr_status mr_regex_parse(const char *regex, uint32_t flags, struct mr_arena *arena,
                              struct mr_tree *tree, const char **why)
{
    struct mr_regex_reader reader = {
        .at = (const uint8_t *)regex,
        .end = (const uint8_t *)regex + strlen(regex),
        .flags = flags,
        .arena = arena,
        .utf8 = (flags & MR_REGEX_UTF8) != 0,
    };

    if (flags & MR_REGEX_UCP)
        refuse(&reader, "Unicode properties (flag W)");
    if (flags & MR_REGEX_OTHER)
        refuse(&reader, "bounds of offset or length, or an edit distance");
    verbs(&reader);
    tree->root = reader.why ? NULL : alternatives(&reader);
    tree->utf8 = reader.utf8;
    if (!reader.why && reader.at < reader.end)
        refuse(&reader, "a ')' too many");
    *why = reader.why;
    return reader.why ? MR_ERR_PROGRAM : MR_OK;
}
