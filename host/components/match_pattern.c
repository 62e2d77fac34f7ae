/* Reading one pattern: "/regex/flags{ext}" as hsbench has it, and telling what is wrong in it. */
#include "components/match_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define EXTENDED "(?x)"

/* ---- refusing ---- */

static enum mr_status refuse_at(const struct mr_match_set *set, uint32_t line, uint32_t column,
                                struct mr_bind_error *error, const char *format, va_list arguments)
{
    int head = 0;

    error->argument = 0;
    error->offset = line ? -1 : (int32_t)column;
    if (line)
        head = snprintf(error->text, sizeof error->text, "%.300s:%u:%u: ", set->file, line, column);
    vsnprintf(error->text + head, sizeof error->text - (size_t)head, format, arguments);
    return MR_ERR_PROGRAM;
}

enum mr_status mr_match_refuse(const struct mr_match_set *set,
                               const struct mr_match_pattern *pattern, uint32_t offset,
                               struct mr_bind_error *error, const char *format, ...)
{
    va_list arguments;

    offset = offset > pattern->added ? offset - pattern->added : 0;
    va_start(arguments, format);
    refuse_at(set, pattern->line, pattern->column + offset, error, format, arguments);
    va_end(arguments);
    return MR_ERR_PROGRAM;
}

enum mr_status mr_match_refuse_here(const struct mr_match_reader *reader, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    refuse_at(reader->set, reader->line,
              (uint32_t)(reader->at - reader->start) + (reader->line ? 1 : 0), reader->error,
              format, arguments);
    va_end(arguments);
    return MR_ERR_PROGRAM;
}

void mr_match_others_add(struct mr_match_others *others, uint32_t line)
{
    enum { NAMED = sizeof others->lines / sizeof *others->lines };
    uint32_t at = others->n < NAMED ? others->n : NAMED;

    for (; at && others->lines[at - 1] > line; at--)
        if (at < NAMED)
            others->lines[at] = others->lines[at - 1];
    if (at < NAMED)
        others->lines[at] = line;
    others->n++;
}

void mr_match_others_tell(const struct mr_match_others *others, struct mr_bind_error *error)
{
    enum { NAMED = sizeof others->lines / sizeof *others->lines };
    const size_t size = sizeof error->text;
    size_t len = strlen(error->text);

    for (uint32_t i = 0; i < others->n && i < NAMED && len < size; i++)
        len += (size_t)snprintf(error->text + len, size - len, "%s%u",
                                i ? ", " : "; refused as well: lines ", others->lines[i]);
    if (others->n > NAMED && len < size)
        snprintf(error->text + len, size - len, " and %u more", others->n - NAMED);
}

/* ---- flags ---- */

static enum mr_status flag(const struct mr_match_reader *reader, struct mr_match_pattern *pattern,
                           bool *extended)
{
    switch (*reader->at) {
    case 'i':
        pattern->flags |= HS_FLAG_CASELESS;
        break;
    case 's':
        pattern->flags |= HS_FLAG_DOTALL;
        break;
    case 'm':
        pattern->flags |= HS_FLAG_MULTILINE;
        break;
    case 'x':
        *extended = true;
        break;
    case '8':
        pattern->flags |= HS_FLAG_UTF8;
        break;
    case 'W':
        pattern->flags |= HS_FLAG_UCP;
        break;
    case 'V':
        pattern->flags |= HS_FLAG_ALLOWEMPTY;
        break;
    case 'H': /* report a pattern once: always so */
    case 'L': /* report where a match starts: nobody asks */
    case 'O': /* in order of offsets: nobody sees offsets */
    case 'o':
        break;
    case 'P':
        return mr_match_refuse_here(
            reader, "flag 'P' (prefilter) reports messages that do not match; leave it "
                    "out, or write a pattern that needs no prefilter");
    case 'C':
    case 'Q':
        return mr_match_refuse_here(
            reader,
            "flag '%c' (combinations of patterns) is not supported: combine the "
            "results of several f_match() in the program",
            *reader->at);
    default:
        if (*reader->at > ' ' && *reader->at <= '~')
            return mr_match_refuse_here(reader, "unknown flag '%c'; known are i m s x 8 W V H L O",
                                        *reader->at);
        return mr_match_refuse_here(
            reader,
            "unexpected byte 0x%02x among the flags; known are i m s x 8 W V H L "
            "O",
            (unsigned char)*reader->at);
    }
    return MR_OK;
}

/* One "name=number" of {min_length=3,max_offset=10}. */
static enum mr_status parameter(struct mr_match_reader *reader, struct hs_expr_ext *ext)
{
    static const char *const names[] = {"min_offset", "max_offset", "min_length", "edit_distance",
                                        "hamming_distance"};
    enum { N = sizeof names / sizeof names[0] };
    const char *start = reader->at;
    int which = 0;

    while (which < N && strncmp(reader->at, names[which], strlen(names[which])))
        which++;
    if (which == N || reader->at[strlen(names[which])] != '=')
        return mr_match_refuse_here(
            reader, "expected min_offset=, max_offset=, min_length=, edit_distance= or "
                    "hamming_distance=");
    reader->at += strlen(names[which]) + 1;
    if (*reader->at < '0' || *reader->at > '9')
        return mr_match_refuse_here(reader, "expected a number");
    unsigned long long value = 0;
    for (; *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        value = value * 10 + (unsigned)(*reader->at - '0');
        if (value > UINT32_MAX) {
            reader->at = start;
            return mr_match_refuse_here(reader, "%s is too large", names[which]);
        }
    }
    ext->flags |= 1ull << which; /* HS_EXT_FLAG_ in the order of names */
    switch (which) {
    case 0:
        ext->min_offset = value;
        break;
    case 1:
        ext->max_offset = value;
        break;
    case 2:
        ext->min_length = value;
        break;
    case 3:
        ext->edit_distance = (unsigned)value;
        break;
    default:
        ext->hamming_distance = (unsigned)value;
        break;
    }
    return MR_OK;
}

static enum mr_status parameters(struct mr_match_reader *reader, struct hs_expr_ext *ext)
{
    do {
        reader->at++; /* the brace or the comma */
        while (*reader->at == ' ')
            reader->at++;
        enum mr_status status = parameter(reader, ext);
        if (status)
            return status;
        while (*reader->at == ' ')
            reader->at++;
    } while (*reader->at == ',');
    if (*reader->at != '}')
        return mr_match_refuse_here(reader, "expected ',' or '}'");
    reader->at++;
    return MR_OK;
}

/* ---- one pattern ---- */

size_t mr_match_copy_bytes(size_t n, size_t len)
{
    return 2 * len + n * (sizeof EXTENDED + 3);
}

char *mr_match_copy(char **memory, const char *text, size_t len)
{
    char *to = *memory;

    memcpy(to, text, len);
    to[len] = '\0';
    *memory += len + 1;
    return to;
}

/* Flag x has no HS_FLAG_, but may stand in the regex. A comment that the regex ends in is ended,
 * which Hyperscan asks for and PCRE does not. */
static char *copy_extended(char **memory, const char *regex, size_t len)
{
    char *to = *memory;
    bool comment = memchr(regex, '#', len) && regex[len - 1] != '\\';

    memcpy(to, EXTENDED, sizeof EXTENDED - 1);
    memcpy(to + sizeof EXTENDED - 1, regex, len);
    len += sizeof EXTENDED - 1;
    to[len] = '\n';
    len += comment;
    to[len] = '\0';
    *memory += len + 1;
    return to;
}

enum mr_status mr_match_read_pattern(struct mr_match_reader *reader,
                                     struct mr_match_pattern *pattern, char **memory)
{
    const char *written = reader->at, *regex = reader->at + 1;
    const char *slash = memrchr(reader->at, '/', (size_t)(reader->end - reader->at));
    bool extended = false;
    enum mr_status status = MR_OK;

    if (reader->at == reader->end || *reader->at != '/')
        return mr_match_refuse_here(reader, "expected '/': a pattern is written /regex/flags");
    if (slash == reader->at) {
        reader->at = reader->end;
        return mr_match_refuse_here(
            reader, "the '/' that ends the regex is missing%s",
            reader->line ? "" : " (a literal slash at the start is written \\/)");
    }
    const char *nul = memchr(regex, '\0', (size_t)(slash - regex));
    if (nul) {
        reader->at = nul;
        return mr_match_refuse_here(reader, "a NUL byte; write \\x00");
    }
    if (slash == regex) {
        reader->at = slash;
        return mr_match_refuse_here(reader, "the regex is empty");
    }
    for (reader->at = slash + 1; reader->at < reader->end && *reader->at != '{'; reader->at++)
        if ((status = flag(reader, pattern, &extended)))
            return status;
    if (reader->at < reader->end && (status = parameters(reader, &pattern->ext)))
        return status;
    if (reader->at < reader->end)
        return mr_match_refuse_here(reader, "unexpected text behind the pattern");
    pattern->added = extended ? sizeof EXTENDED - 1 : 0;
    size_t len = (size_t)(slash - regex);
    pattern->regex =
        extended ? copy_extended(memory, regex, len) : mr_match_copy(memory, regex, len);
    pattern->text = mr_match_copy(memory, written, (size_t)(reader->end - written));
    pattern->line = reader->line;
    pattern->column = (uint32_t)(regex - reader->start) + (reader->line ? 1 : 0);
    return MR_OK;
}

void mr_match_leading_verbs(struct mr_match_pattern *pattern)
{
    const char *at = pattern->regex + pattern->added;

    while (at[0] == '(' && at[1] == '*') {
        if (!strncmp(at, "(*UTF8)", 7) || !strncmp(at, "(*UTF)", 6))
            pattern->flags |= HS_FLAG_UTF8;
        at = strchr(at, ')');
        if (!at)
            break;
        at++;
    }
}
