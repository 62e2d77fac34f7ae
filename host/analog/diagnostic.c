/* Messages about a program: collected with the line they speak of, printed in source order. */
#include "analog/diagnostic.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MESSAGES  100u /* of errors, and of warnings */
#define TEXT_BYTES    600u
#define EXCERPT_BYTES 100u /* of a line that is shown */
#define TAB_CHARS     4u

struct message {
    bool is_error;
    uint32_t source, line, column, sequence;
    const char *file;
    char *text, *hint;
    char *excerpt;
    uint32_t shown_column; /* in characters */
    uint32_t caret, width; /* in the excerpt, in characters */
};

struct mr_diagnostics {
    struct mr_arena arena;
    struct message messages[2 * MAX_MESSAGES];
    uint32_t n, errors, warnings, n_sources;
    struct message *last; /* NULL: it was one too many */
};

struct mr_diagnostics *mr_diagnostics_new(void)
{
    struct mr_diagnostics *d = calloc(1, sizeof *d);
    if (d)
        mr_arena_init(&d->arena, 0);
    return d;
}

void mr_diagnostics_free(struct mr_diagnostics *d)
{
    if (!d)
        return;
    mr_arena_free(&d->arena);
    free(d);
}

uint32_t mr_diagnostics_errors(const struct mr_diagnostics *d)
{
    return d->errors;
}

uint32_t analog_source_index(struct mr_diagnostics *d)
{
    return ++d->n_sources;
}

bool analog_enough(const struct compile *compile)
{
    return compile->diagnostics->errors >= MAX_MESSAGES || compile->no_memory;
}

/* Bytes of the character at `s`: 1 also for what is not UTF-8. */
static uint32_t character(const unsigned char *s, size_t len)
{
    uint32_t n = s[0] < 0x80                   ? 1
                 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                               : 1;
    if (n > len)
        return 1;
    for (uint32_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 1;
    return n;
}

/* Nothing of the program may steer the terminal: control characters (also the two-byte ones of
 * Latin-1) and broken UTF-8 are not shown. */
static bool is_plain(const unsigned char *s, uint32_t n)
{
    if (n == 1)
        return s[0] >= 0x20 && s[0] < 0x7f;
    return !(s[0] == 0xc2 && s[1] < 0xa0);
}

static char *plain_copy(struct mr_diagnostics *d, const char *text)
{
    size_t len = strlen(text);
    char *copy = mr_arena_string(&d->arena, text, len);

    for (size_t i = 0; copy && i < len;) {
        uint32_t n = character((unsigned char *)copy + i, len - i);
        if (!is_plain((unsigned char *)copy + i, n))
            memset(copy + i, '?', n);
        i += n;
    }
    return copy;
}

struct line {
    const char *text;
    size_t len;
};

static struct line find_line(const struct source *source, uint32_t number)
{
    const char *at = source->text, *end = source->text + source->len;

    for (uint32_t line = 1; line < number; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline)
            return (struct line){end, 0};
        at = newline + 1;
    }
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    size_t len = (size_t)((newline ? newline : end) - at);
    if (len && at[len - 1] == '\r')
        len--;
    return (struct line){at, len};
}

/* The line around the place, in characters that take one column each. */
static void make_excerpt(struct mr_diagnostics *d, struct message *message, struct line line,
                         const struct mr_where *where)
{
    size_t from = where->column ? where->column - 1 : 0;
    size_t to = from + (where->length ? where->length : 1);
    size_t start = 0, i = 0;
    char shown[TAB_CHARS * EXCERPT_BYTES + 16];
    uint32_t used = 0, columns = 0, characters = 0;

    if (from > line.len)
        from = line.len;
    if (line.len > EXCERPT_BYTES && from > EXCERPT_BYTES / 2)
        start = from - EXCERPT_BYTES / 2;
    message->width = 0;
    if (start) {
        memcpy(shown, "...", used = 3);
        columns = 3;
    }
    while (i < line.len && i < start + EXCERPT_BYTES) {
        const unsigned char *s = (const unsigned char *)line.text + i;
        uint32_t n = character(s, line.len - i), wide = 1;
        if (i < from)
            characters++;
        if (i >= start) {
            wide = *s == '\t' ? TAB_CHARS - (columns % TAB_CHARS) : 1;
            if (i >= from && i < to)
                message->width += wide;
            if (i == from || (i < from && i + n > from))
                message->caret = columns;
            if (*s == '\t')
                memset(shown + used, ' ', wide);
            else if (is_plain(s, n))
                memcpy(shown + used, s, n);
            else
                shown[used] = '?';
            used += *s == '\t' ? wide : is_plain(s, n) ? n : 1;
            columns += wide;
        }
        i += n;
    }
    if (from >= line.len)
        message->caret = columns;
    if (i < line.len) {
        memcpy(shown + used, "...", 3);
        used += 3;
    }
    if (!message->width)
        message->width = 1;
    message->shown_column = characters + 1;
    message->excerpt = mr_arena_string(&d->arena, shown, used);
}

static const struct source *find_source(const struct compile *compile, const char *file)
{
    const struct source *source = compile->sources;
    while (source && source->name != file)
        source = source->next;
    return source;
}

static bool same_message(const struct message *a, const struct message *b)
{
    return a->source == b->source && a->line == b->line && a->column == b->column &&
           !strcmp(a->text, b->text) &&
           (a->file && b->file ? !strcmp(a->file, b->file) : a->file == b->file);
}

static void __attribute__((format(printf, 4, 0)))
add(struct compile *compile, bool is_error, const struct mr_where *where, const char *format,
    va_list args)
{
    struct mr_diagnostics *d = compile->diagnostics;
    char text[TEXT_BYTES];
    uint32_t *count = is_error ? &d->errors : &d->warnings;

    d->last = NULL;
    if (*count >= MAX_MESSAGES)
        return;
    vsnprintf(text, sizeof text, format, args);
    const struct source *source = where->file ? find_source(compile, where->file) : NULL;
    struct message *message = &d->messages[d->n];
    *message = (struct message){.is_error = is_error,
                                .source = source ? source->index : 0,
                                .line = where->line,
                                .column = where->column,
                                .shown_column = where->column,
                                .sequence = d->n,
                                .file = where->file ? plain_copy(d, where->file) : NULL,
                                .text = plain_copy(d, text)};
    if (!message->text) {
        (*count)++; /* an error stays an error, even when there is no memory to say which */
        return;
    }
    for (uint32_t i = 0; i < d->n; i++)
        if (same_message(&d->messages[i], message))
            return;
    if (source && where->line)
        make_excerpt(d, message, find_line(source, where->line), where);
    (*count)++;
    d->n++;
    d->last = message;
}

void analog_error(struct compile *compile, const struct mr_where *where, const char *format, ...)
{
    va_list args;

    if (compile->trying)
        return;
    va_start(args, format);
    add(compile, true, where, format, args);
    va_end(args);
}

void analog_warning(struct compile *compile, const struct mr_where *where, const char *format, ...)
{
    va_list args;

    if (compile->trying)
        return;
    va_start(args, format);
    add(compile, false, where, format, args);
    va_end(args);
}

void analog_hint(struct compile *compile, const char *format, ...)
{
    struct mr_diagnostics *d = compile->diagnostics;
    char text[TEXT_BYTES];
    va_list args;

    if (!d->last || compile->trying)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    d->last->hint = plain_copy(d, text);
}

void analog_too_many(struct compile *compile, const struct mr_where *where, enum limit limit)
{
    static const struct {
        uint32_t most;
        const char *what;
    } limits[] = {
        [LIMIT_COMPONENTS] = {MAX_COMPONENTS, "components"},
        [LIMIT_RULES] = {MAX_RULES, "rules"},
        [LIMIT_PARAMETERS] = {MAX_PARAMETERS, "parameters"},
        [LIMIT_PREDICATES] = {MAX_PREDICATES, "predicates"},
        [LIMIT_TABLES] = {MAX_TABLES, "tables"},
        [LIMIT_ALARMS] = {MAX_STATEMENTS, "alarms"},
        [LIMIT_SHIPS] = {MAX_STATEMENTS, "statements ship(...)"},
        [LIMIT_OPERATIONS] = {MAX_OPS, "operations"},
    };

    compile->incomplete = true;
    if (compile->told >> limit & 1)
        return;
    compile->told |= 1u << limit;
    analog_error(compile, where, "a program has at most %u %s", limits[limit].most,
                 limits[limit].what);
}

void analog_not_yet(struct compile *compile, const struct mr_where *where, const char *what)
{
    analog_error(compile, where, "not yet: this version does not run %s", what);
}

static int compare(const void *left, const void *right)
{
    const struct message *a = left, *b = right;
    if (a->source != b->source)
        return a->source < b->source ? -1 : 1;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return a->sequence < b->sequence ? -1 : 1;
}

static void print_message(const struct message *message, FILE *to, bool color)
{
    const char *bold = color ? "\033[1m" : "", *off = color ? "\033[0m" : "";
    const char *severity = message->is_error ? "error" : "warning";
    const char *tone = !color ? "" : message->is_error ? "\033[1;31m" : "\033[1;35m";

    fputs(bold, to);
    if (message->file)
        fprintf(to, "%s:", message->file);
    if (message->file && message->line)
        fprintf(to, "%u:%u:", message->line, message->shown_column);
    fprintf(to, "%s%s%s%s:%s %s\n", off, message->file ? " " : "", tone, severity, off,
            message->text);
    if (message->excerpt) {
        fprintf(to, "%5u | %s\n      | %*s%s^", message->line, message->excerpt,
                (int)message->caret, "", color ? "\033[1;32m" : "");
        for (uint32_t i = 1; i < message->width; i++)
            fputc('~', to);
        fprintf(to, "%s\n", off);
    }
    if (message->hint)
        fprintf(to, "%s %shint:%s %s\n", message->excerpt ? "      =" : "  =", bold, off,
                message->hint);
}

void mr_diagnostics_print(const struct mr_diagnostics *d, FILE *to, bool color)
{
    struct message sorted[2 * MAX_MESSAGES];

    memcpy(sorted, d->messages, d->n * sizeof *sorted);
    qsort(sorted, d->n, sizeof *sorted, compare);
    for (uint32_t i = 0; i < d->n; i++)
        print_message(&sorted[i], to, color);
    if (d->errors >= MAX_MESSAGES)
        fprintf(to, "error: stopped after %u errors\n", MAX_MESSAGES);
}
