/* Header sections: lines to fields, fields to values. */
#include "decoder.h"

#include <string.h>
#include <strings.h>

#define LONG_NAME  75u
#define LONG_VALUE 2000u

bool mime_is(struct mr_mime_text text, const char *name)
{
    return strlen(name) == text.len && !strncasecmp(name, (const char *)text.ptr, text.len);
}

bool mime_same(struct mr_mime_text a, struct mr_mime_text b)
{
    if (a.len != b.len)
        return false;
    for (uint32_t i = 0; i < a.len; i++)
        if (mime_lower(a.ptr[i]) != mime_lower(b.ptr[i]))
            return false;
    return true;
}

/* A name of a field: printable ASCII; blanks may stand before the colon (RFC 5322, 4.5), which is
 * not looked for in long lines. Returns the colon, or NULL. */
static const uint8_t *colon_of(const uint8_t *line, const uint8_t *end)
{
    const uint8_t *p = line;

    if (end - line > MIME_LONG_LINE)
        end = line + MIME_LONG_LINE;
    while (p<end && * p> ' ' && *p < 127 && *p != ':')
        p++;
    if (p == line)
        return NULL;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p < end && *p == ':' ? p : NULL;
}

/* What makes a value more than the bytes that stand there. */
static bool plain(struct mr_mime_text raw, bool folded)
{
    return !folded && mime_ascii(raw.ptr, raw.len) && !memmem(raw.ptr, raw.len, "=?", 2);
}

/* Line ends go, the blanks behind them stay. */
static struct mr_mime_text unfold(struct mr_mime_decoder *d, struct mr_mime_text raw)
{
    uint8_t *out = raw.len ? mime_alloc(d, raw.len) : NULL;
    size_t n = 0;

    if (!out)
        return mime_text(NULL, 0);
    for (const uint8_t *p = raw.ptr, *end = p + raw.len; p < end;) {
        const uint8_t *lf = memchr(p, '\n', (size_t)(end - p));
        const uint8_t *stop = lf ? lf : end;
        size_t len = (size_t)(stop - p);
        if (lf && len && stop[-1] == '\r')
            len--;
        memcpy(out + n, p, len);
        n += len;
        p = lf ? lf + 1 : end;
    }
    return mime_text(out, n);
}

struct mr_mime_text mime_value(struct mr_mime_decoder *d, struct mr_mime_text raw)
{
    bool folded = memchr(raw.ptr, '\n', raw.len) != NULL;

    d->result.work += raw.len;
    if (plain(raw, folded))
        return raw;
    if (folded)
        raw = unfold(d, raw);
    if (memmem(raw.ptr, raw.len, "=?", 2)) {
        mime_words(d, raw);
        return mime_keep(d, d->utf8.data, d->utf8.len);
    }
    if (mime_ascii(raw.ptr, raw.len))
        return raw;
    struct mr_mime_text out = mime_to_utf8(d, mime_text(NULL, 0), raw.ptr, raw.len);
    return out.ptr == raw.ptr ? raw : mime_keep(d, out.ptr, out.len);
}

/* A field as it stands, in memory that stays. */
static bool stay(struct mr_mime_decoder *d, const uint8_t **begin, const uint8_t **end)
{
    size_t len = (size_t)(*end - *begin);

    if (d->reading.stays)
        return true;
    struct mr_mime_text copy = mime_keep(d, *begin, len);
    *begin = copy.ptr;
    *end = copy.ptr + copy.len;
    return copy.len > 0;
}

static void add(struct mr_mime_decoder *d, const uint8_t *begin, const uint8_t *end)
{
    uint32_t n = d->result.n_headers;

    if (end - begin > MIME_FIELD_BYTES)
        end = begin + MIME_FIELD_BYTES;
    d->reading.header_bytes += (size_t)(end - begin);
    if (memchr(begin, '\0', (size_t)(end - begin)))
        mime_raise(d, MIME_BIT(NUL_BYTES));
    if (n >= d->limits.headers || d->reading.header_bytes > MIME_HEADER_BYTES) {
        mime_raise(d, MIME_BIT(TOO_MANY_HEADERS));
        return;
    }
    struct mr_mime_header *array =
        mime_grow(d, d->headers, n, &d->headers_room, sizeof *d->headers, d->limits.headers);
    if (!array || !stay(d, &begin, &end))
        return;
    const uint8_t *colon = colon_of(begin, end);
    if (!colon)
        return;
    d->headers = array;
    struct mr_mime_header *header = &array[n];
    header->name = mime_trimmed(begin, colon);
    header->raw = mime_trimmed(colon + 1, end);
    if (header->name.len > LONG_NAME)
        mime_raise(d, MIME_BIT(LONG_HEADER_NAME));
    if (header->raw.len > LONG_VALUE)
        mime_raise(d, MIME_BIT(LONG_HEADER_VALUE));
    header->value = mime_value(d, header->raw);
    d->result.n_headers++;
    d->parts[d->result.n_parts - 1].n_headers++;
}

/* The field that is open ends before `at`. */
static void close_field(struct mr_mime_decoder *d, const uint8_t *at)
{
    struct mime_reading *r = &d->reading;

    if (!r->in_field)
        return;
    r->in_field = false;
    if (r->stays)
        add(d, r->field, at);
    else if (d->field.len)
        add(d, d->field.data, d->field.data + d->field.len);
}

/* A line, or a piece of one, of the field that is open. */
static void extend(struct mr_mime_decoder *d, const uint8_t *from, const uint8_t *to)
{
    if (d->reading.in_field && !d->reading.stays)
        mime_append(d, &d->field, from, (size_t)(to - from), MIME_FIELD_BYTES);
}

/* An envelope line of mbox files; only at the beginning of a mail. */
static bool envelope(const uint8_t *line, const uint8_t *end)
{
    return (end - line >= 5 && !memcmp(line, "From ", 5)) ||
           (end - line >= 6 && !memcmp(line, ">From ", 6));
}

/* A line that continues no field. False: it is none of the header section. */
static bool header_line(struct mr_mime_decoder *d, const uint8_t *at, const uint8_t *stop)
{
    struct mime_reading *r = &d->reading;
    bool last;

    close_field(d, at);
    if (*at == '-' && mime_delimiter(d, at, stop, &last) >= 0)
        return false;
    if (colon_of(at, stop)) {
        r->in_field = true;
        r->field = at;
        d->field.len = 0;
    } else if (!(r->top && d->result.n_parts == 1 && envelope(at, stop))) {
        /* As most readers do: what is no field begins the body. */
        mime_raise(d, MIME_BIT(MALFORMED_MSG));
        return false;
    }
    return true;
}

bool mime_header_lines(struct mr_mime_decoder *d, bool *complete)
{
    struct mime_reading *r = &d->reading;

    *complete = false;
    while (r->at < r->end) {
        const uint8_t *at = r->at;
        const uint8_t *lf = memchr(at, '\n', (size_t)(r->end - at));
        const uint8_t *next = lf ? lf + 1 : r->end, *stop = lf ? lf : r->end;
        if (!lf && !r->last && !r->in_line && next - at < MIME_LINE_BYTES)
            return false;
        if (stop > at && stop[-1] == '\r')
            stop--;
        if (!r->in_line) {
            if (stop - at > MIME_LONG_LINE)
                mime_raise(d, MIME_BIT(LONG_LINE));
            if (stop == at && lf) {
                close_field(d, at);
                *complete = true;
            } else if (!((*at == ' ' || *at == '\t') && r->in_field) && !header_line(d, at, stop)) {
                return true;
            }
            r->top = false;
        }
        extend(d, at, next);
        d->result.work += (size_t)(next - at);
        mime_line_done(r, at, lf);
        r->at = next;
        if (*complete)
            return true;
    }
    if (r->last)
        close_field(d, r->end);
    return r->last;
}

const struct mr_mime_header *mr_mime_field(const struct mr_mime *mime, uint32_t part,
                                           const char *name, uint32_t *cursor)
{
    const struct mr_mime_part *p = &mime->parts[part];

    while (*cursor < p->n_headers) {
        const struct mr_mime_header *header = &mime->headers[p->first_header + (*cursor)++];
        if (mime_is(header->name, name))
            return header;
    }
    return NULL;
}
