/* Reading the patterns of a call site: a constant ("hello", "/hello/i"), or a file of lines
 * "id:/regex/flags{ext}". */
#include "components/match_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum mr_status no_memory(struct mr_bind_error *error)
{
    error->argument = 0;
    error->offset = -1;
    snprintf(error->text, sizeof error->text, "out of memory while patterns are read");
    return MR_ERR_MEMORY;
}

/* ---- a constant ---- */

static enum mr_status read_constant(struct mr_match_set *set, const struct mr_constant *constant,
                                    struct mr_bind_error *error)
{
    const char *text = constant->value.b.ptr;
    size_t len = constant->value.b.len;
    struct mr_match_reader reader = {set, error, text, text, text + len, 0};

    set->patterns = calloc(1, sizeof *set->patterns);
    set->memory = malloc(mr_match_copy_bytes(1, len));
    if (!set->patterns || !set->memory)
        return no_memory(error);
    char *memory = set->memory;
    set->n = 1;
    set->patterns[0].id = 1;
    set->patterns[0].flags = HS_FLAG_SINGLEMATCH;
    if (len && *text == '/') {
        enum mr_status status = mr_match_read_pattern(&reader, &set->patterns[0], &memory);
        if (status)
            return status;
    } else {
        const char *nul = memchr(text, '\0', len);
        if (!len)
            return mr_match_refuse_here(&reader, "the pattern is empty");
        if (nul) {
            reader.at = nul;
            return mr_match_refuse_here(&reader, "a NUL byte; write \\x00");
        }
        set->patterns[0].regex = set->patterns[0].text = mr_match_copy(&memory, text, len);
    }
    mr_match_leading_verbs(&set->patterns[0]);
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

/* Reads the whole file, and puts a NUL behind it. Nothing is waited for: programs are loaded while
 * the engine runs. */
static enum mr_status slurp(const char *path, char **out, size_t *out_len,
                            struct mr_bind_error *error)
{
    size_t capacity = 65536, len = 0;
    char *bytes = malloc(capacity + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat there;
    enum mr_status status = MR_OK;
    ssize_t n = 1;

    if (fd < 0 || fstat(fd, &there))
        status = refuse_file(error, path, strerror(errno));
    else if (!S_ISREG(there.st_mode))
        status = refuse_file(error, path,
                             S_ISDIR(there.st_mode) ? strerror(EISDIR) : "it is no regular file");
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
static enum mr_status pattern_id(struct mr_match_reader *reader, uint32_t *id)
{
    uint64_t value = 0;
    const char *start = reader->at;

    for (; *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        value = value * 10 + (unsigned)(*reader->at - '0');
        if (value > UINT32_MAX) {
            reader->at = start;
            return mr_match_refuse_here(reader, "the id is out of range: 0 to %u", UINT32_MAX);
        }
    }
    if (reader->at == start)
        return mr_match_refuse_here(reader,
                                    "expected a line id:/regex/flags, beginning with a number");
    if (*reader->at != ':')
        return mr_match_refuse_here(reader, "expected ':' behind the id");
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

/* Sorts by id; refuses the lines that use an id of an earlier one: the first in *error, unless
 * something is wrong already (`status`), the others in *others. */
static enum mr_status sort(struct mr_match_set *set, enum mr_status status,
                           struct mr_match_others *others, struct mr_bind_error *error)
{
    const struct mr_match_pattern *told = NULL, *end = set->patterns + set->n;

    qsort(set->patterns, set->n, sizeof *set->patterns, by_id);
    for (const struct mr_match_pattern *p = set->patterns + 1; p < end && !status; p++)
        if (p->id == p[-1].id && (!told || p->line < told->line))
            told = p;
    for (const struct mr_match_pattern *p = set->patterns + 1; p < end; p++)
        if (p->id == p[-1].id && p != told)
            mr_match_others_add(others, p->line);
    if (!told)
        return status;
    struct mr_match_pattern at_id = *told;
    at_id.column = 1;
    return mr_match_refuse(set, &at_id, 0, error, "id %u is already used in line %u", told->id,
                           told[-1].line);
}

/* One line without its end. Lines without a pattern leave *pattern alone and *used false. */
static enum mr_status read_line(struct mr_match_reader *reader, struct mr_match_pattern *pattern,
                                char **memory, bool *used)
{
    *used = false;
    /* of a file whose lines end with it all but the first would be taken as part of that */
    const char *cr = memchr(reader->at, '\r', (size_t)(reader->end - reader->at));
    if (cr) {
        reader->at = cr;
        return mr_match_refuse_here(reader, "a carriage return amid the line: lines end with LF or "
                                            "CRLF; in a pattern write \\r");
    }
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t'))
        reader->at++;
    if (reader->at == reader->end || *reader->at == '#')
        return MR_OK;
    memset(pattern, 0, sizeof *pattern);
    pattern->flags = HS_FLAG_SINGLEMATCH;
    enum mr_status status = pattern_id(reader, &pattern->id);
    if (!status)
        status = mr_match_read_pattern(reader, pattern, memory);
    if (!status)
        mr_match_leading_verbs(pattern);
    *used = !status;
    return status;
}

/* Goes on behind a line that is refused: who mends it wants to know which others wait. */
static enum mr_status read_lines(struct mr_match_set *set, char *text, size_t len, char *memory,
                                 struct mr_bind_error *error)
{
    char *at = text, *end = text + len;
    struct mr_match_others others = {.n = 0};
    struct mr_bind_error untold;
    enum mr_status status = MR_OK;
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
        struct mr_match_reader reader = {set, status ? &untold : error, at, at, last, ++line};
        bool used;
        enum mr_status one = read_line(&reader, &set->patterns[set->n], &memory, &used);
        if (used && set->n == MR_MATCH_MAX_PATTERNS) {
            reader.at = at;
            return mr_match_refuse_here(&reader, "more than %u patterns", MR_MATCH_MAX_PATTERNS);
        }
        if (one && status)
            mr_match_others_add(&others, line);
        status = status ? status : one;
        set->n += used;
        at = stop + 1;
    }
    if (!set->n && !status)
        return refuse_file(error, set->file, "it holds no pattern");
    status = sort(set, status, &others, error);
    if (status) {
        mr_match_others_refused(&others, set);
        mr_match_others_tell(&others, error);
    }
    return status;
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
    set->memory = malloc(path_bytes + mr_match_copy_bytes(lines, len));
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
