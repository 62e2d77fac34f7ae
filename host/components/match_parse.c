/* Reading patterns: a constant ("hello", "/hello/i") or a file of lines "id:/regex/flags{ext}" as
 * hsbench has them. */
#include "components/match.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXTENDED "(?x)"

/* A stretch of text being read; `at` goes from `start` to `end`. */
struct reader {
    const struct mr_match_set *set;
    struct mr_bind_error *error;
    const char *start, *at, *end;
    uint32_t line; /* 0: a constant */
};

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

/* About the byte at reader->at. */
__attribute__((format(printf, 2, 3))) static enum mr_status refuse(const struct reader *reader,
                                                                   const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    refuse_at(reader->set, reader->line,
              (uint32_t)(reader->at - reader->start) + (reader->line ? 1 : 0), reader->error,
              format, arguments);
    va_end(arguments);
    return MR_ERR_PROGRAM;
}

static enum mr_status no_memory(struct mr_bind_error *error)
{
    error->argument = 0;
    error->offset = -1;
    snprintf(error->text, sizeof error->text, "out of memory while patterns are read");
    return MR_ERR_MEMORY;
}

/* ---- flags ---- */

static enum mr_status flag(const struct reader *reader, struct mr_match_pattern *pattern,
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
        return refuse(reader, "flag 'P' (prefilter) reports messages that do not match; leave it "
                              "out, or write a pattern that needs no prefilter");
    case 'C':
    case 'Q':
        return refuse(reader,
                      "flag '%c' (combinations of patterns) is not supported: combine the "
                      "results of several f_match() in the program",
                      *reader->at);
    default:
        if (*reader->at > ' ' && *reader->at <= '~')
            return refuse(reader, "unknown flag '%c'; known are i m s x 8 W V H L O", *reader->at);
        return refuse(reader,
                      "unexpected byte 0x%02x among the flags; known are i m s x 8 W V H L "
                      "O",
                      (unsigned char)*reader->at);
    }
    return MR_OK;
}

/* One "name=number" of {min_length=3,max_offset=10}. */
static enum mr_status parameter(struct reader *reader, struct hs_expr_ext *ext)
{
    static const char *const names[] = {"min_offset", "max_offset", "min_length", "edit_distance",
                                        "hamming_distance"};
    enum { N = sizeof names / sizeof names[0] };
    const char *start = reader->at;
    int which = 0;

    while (which < N && strncmp(reader->at, names[which], strlen(names[which])))
        which++;
    if (which == N || reader->at[strlen(names[which])] != '=')
        return refuse(reader, "expected min_offset=, max_offset=, min_length=, edit_distance= or "
                              "hamming_distance=");
    reader->at += strlen(names[which]) + 1;
    if (*reader->at < '0' || *reader->at > '9')
        return refuse(reader, "expected a number");
    unsigned long long value = 0;
    for (; *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        value = value * 10 + (unsigned)(*reader->at - '0');
        if (value > UINT32_MAX) {
            reader->at = start;
            return refuse(reader, "%s is too large", names[which]);
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

static enum mr_status parameters(struct reader *reader, struct hs_expr_ext *ext)
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
        return refuse(reader, "expected ',' or '}'");
    reader->at++;
    return MR_OK;
}

/* ---- one pattern ---- */

/* Memory that the copies of `n` patterns of `len` bytes together may take. */
static size_t copy_bytes(size_t n, size_t len)
{
    return 2 * len + n * (sizeof EXTENDED + 3);
}

static char *copy(char **memory, const char *text, size_t len)
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

/* "/regex/flags{ext}" from reader->at to reader->end. The byte at `end` is a NUL. */
static enum mr_status delimited(struct reader *reader, struct mr_match_pattern *pattern,
                                char **memory)
{
    const char *written = reader->at, *regex = reader->at + 1;
    const char *slash = memrchr(reader->at, '/', (size_t)(reader->end - reader->at));
    bool extended = false;
    enum mr_status status = MR_OK;

    if (reader->at == reader->end || *reader->at != '/')
        return refuse(reader, "expected '/': a pattern is written /regex/flags");
    if (slash == reader->at) {
        reader->at = reader->end;
        return refuse(reader, "the '/' that ends the regex is missing%s",
                      reader->line ? "" : " (a literal slash at the start is written \\/)");
    }
    const char *nul = memchr(regex, '\0', (size_t)(slash - regex));
    if (nul) {
        reader->at = nul;
        return refuse(reader, "a NUL byte; write \\x00");
    }
    if (slash == regex) {
        reader->at = slash;
        return refuse(reader, "the regex is empty");
    }
    for (reader->at = slash + 1; reader->at < reader->end && *reader->at != '{'; reader->at++)
        if ((status = flag(reader, pattern, &extended)))
            return status;
    if (reader->at < reader->end && (status = parameters(reader, &pattern->ext)))
        return status;
    if (reader->at < reader->end)
        return refuse(reader, "unexpected text behind the pattern");
    pattern->added = extended ? sizeof EXTENDED - 1 : 0;
    size_t len = (size_t)(slash - regex);
    pattern->regex = extended ? copy_extended(memory, regex, len) : copy(memory, regex, len);
    pattern->text = copy(memory, written, (size_t)(reader->end - written));
    pattern->line = reader->line;
    pattern->column = (uint32_t)(regex - reader->start) + (reader->line ? 1 : 0);
    return MR_OK;
}

/* The verbs that do in a pattern what flags 8 and W do beside it. */
static void leading_verbs(struct mr_match_pattern *pattern)
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

static enum mr_status read_constant(struct mr_match_set *set, const struct mr_constant *constant,
                                    struct mr_bind_error *error)
{
    const char *text = constant->value.b.ptr;
    size_t len = constant->value.b.len;
    struct reader reader = {set, error, text, text, text + len, 0};

    set->patterns = calloc(1, sizeof *set->patterns);
    set->memory = malloc(copy_bytes(1, len));
    if (!set->patterns || !set->memory)
        return no_memory(error);
    char *memory = set->memory;
    set->n = 1;
    set->patterns[0].id = 1;
    set->patterns[0].flags = HS_FLAG_SINGLEMATCH;
    if (len && *text == '/') {
        enum mr_status status = delimited(&reader, &set->patterns[0], &memory);
        if (status)
            return status;
    } else {
        const char *nul = memchr(text, '\0', len);
        if (!len)
            return refuse(&reader, "the pattern is empty");
        if (nul) {
            reader.at = nul;
            return refuse(&reader, "a NUL byte; write \\x00");
        }
        set->patterns[0].regex = set->patterns[0].text = copy(&memory, text, len);
    }
    leading_verbs(&set->patterns[0]);
    return MR_OK;
}

/* ---- files ---- */

static enum mr_status refuse_file(struct mr_bind_error *error, const char *path, const char *reason)
{
    error->argument = 0;
    error->offset = -1;
    snprintf(error->text, sizeof error->text, "pattern file %.300s: %s", path, reason);
    return MR_ERR_PROGRAM;
}

/* Reads the whole file, and puts a NUL behind it. */
static enum mr_status slurp(const char *path, char **out, size_t *out_len,
                            struct mr_bind_error *error)
{
    size_t capacity = 65536, len = 0;
    char *bytes = malloc(capacity + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum mr_status status = MR_OK;
    ssize_t n = 1;

    if (fd < 0)
        status = refuse_file(error, path, strerror(errno));
    else if (!bytes)
        status = no_memory(error);
    while (!status && n) {
        n = read(fd, bytes + len, capacity - len);
        if (n < 0 && errno != EINTR)
            status = refuse_file(error, path, strerror(errno));
        len += n > 0 ? (size_t)n : 0;
        if (len > MR_MATCH_MAX_FILE_BYTES)
            status = refuse_file(error, path, "it is larger than 16 MiB");
        if (status || len < capacity)
            continue;
        char *more = realloc(bytes, 2 * capacity + 1);
        if (more) {
            bytes = more;
            capacity *= 2;
        } else {
            status = no_memory(error);
        }
    }
    if (fd >= 0)
        close(fd);
    if (status) {
        free(bytes);
        return status;
    }
    bytes[len] = '\0';
    *out = bytes;
    *out_len = len;
    return MR_OK;
}

/* "id:" at reader->at. */
static enum mr_status pattern_id(struct reader *reader, uint32_t *id)
{
    uint64_t value = 0;
    const char *start = reader->at;

    for (; *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        value = value * 10 + (unsigned)(*reader->at - '0');
        if (value > UINT32_MAX) {
            reader->at = start;
            return refuse(reader, "the id is out of range: 0 to %u", UINT32_MAX);
        }
    }
    if (reader->at == start)
        return refuse(reader, "expected a line id:/regex/flags, beginning with a number");
    if (*reader->at != ':')
        return refuse(reader, "expected ':' behind the id");
    reader->at++;
    *id = (uint32_t)value;
    return MR_OK;
}

static int by_id(const void *left, const void *right)
{
    const struct mr_match_pattern *a = left, *b = right;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

/* Sorts by id; refuses the first line that uses an id of an earlier one. */
static enum mr_status sort(struct mr_match_set *set, struct mr_bind_error *error)
{
    const struct mr_match_pattern *twice = NULL;

    qsort(set->patterns, set->n, sizeof *set->patterns, by_id);
    for (uint32_t i = 1; i < set->n; i++)
        if (set->patterns[i].id == set->patterns[i - 1].id &&
            (!twice || set->patterns[i].line < twice->line))
            twice = &set->patterns[i];
    if (!twice)
        return MR_OK;
    struct mr_match_pattern at_id = *twice;
    at_id.column = 1;
    return mr_match_refuse(set, &at_id, 0, error, "id %u is already used in line %u", twice->id,
                           twice[-1].line);
}

/* One line without its end. Lines without a pattern leave *pattern alone and *used false. */
static enum mr_status read_line(struct reader *reader, struct mr_match_pattern *pattern,
                                char **memory, bool *used)
{
    *used = false;
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t'))
        reader->at++;
    if (reader->at == reader->end || *reader->at == '#')
        return MR_OK;
    memset(pattern, 0, sizeof *pattern);
    pattern->flags = HS_FLAG_SINGLEMATCH;
    enum mr_status status = pattern_id(reader, &pattern->id);
    if (!status)
        status = delimited(reader, pattern, memory);
    if (!status)
        leading_verbs(pattern);
    *used = !status;
    return status;
}

static enum mr_status read_lines(struct mr_match_set *set, char *text, size_t len, char *memory,
                                 struct mr_bind_error *error)
{
    char *at = text, *end = text + len;
    uint32_t line = 0;

    if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        at += 3;
    while (at < end) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop)
            stop = end;
        char *last = stop;
        while (last > at && (last[-1] == ' ' || last[-1] == '\t' || last[-1] == '\r'))
            last--;
        *last = '\0'; /* whoever looks at one byte more sees the end */
        struct reader reader = {set, error, at, at, last, ++line};
        bool used;
        enum mr_status status = read_line(&reader, &set->patterns[set->n], &memory, &used);
        if (status)
            return status;
        if (used && set->n == MR_MATCH_MAX_PATTERNS) {
            reader.at = at;
            return refuse(&reader, "more than %u patterns", MR_MATCH_MAX_PATTERNS);
        }
        set->n += used;
        at = stop + 1;
    }
    return set->n ? sort(set, error) : refuse_file(error, set->file, "it holds no pattern");
}

static enum mr_status read_file(struct mr_match_set *set, const char *path,
                                struct mr_bind_error *error)
{
    char *text = NULL;
    size_t len = 0, lines = 1;
    enum mr_status status = slurp(path, &text, &len, error);

    if (status)
        return status;
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    /* one more than there may be, to see it */
    size_t n = lines < MR_MATCH_MAX_PATTERNS ? lines : MR_MATCH_MAX_PATTERNS + 1;
    size_t path_bytes = strlen(path) + 1;
    set->patterns = malloc(n * sizeof *set->patterns);
    set->memory = malloc(path_bytes + copy_bytes(lines, len));
    if (set->patterns && set->memory) {
        memcpy(set->memory, path, path_bytes);
        set->file = set->memory;
        status = read_lines(set, text, len, set->memory + path_bytes, error);
    } else {
        status = no_memory(error);
    }
    free(text);
    return status;
}

enum mr_status mr_match_set_read(struct mr_match_set *set, const struct mr_constant *constant,
                                 struct mr_bind_error *error)
{
    memset(set, 0, sizeof *set);
    if (constant->is_file)
        return read_file(set, constant->value.b.ptr, error);
    return read_constant(set, constant, error);
}

void mr_match_set_free(struct mr_match_set *set)
{
    free(set->patterns);
    free(set->memory);
    memset(set, 0, sizeof *set);
}
