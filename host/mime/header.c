/* Header sections: lines to fields, fields to values. */
#include "decoder.h"

#include <string.h>
#include <strings.h>

#define LONG_LINE  998u
#define LONG_NAME  75u
#define LONG_VALUE 2000u

bool mime_is(struct mr_mime_text text, const char *name)
{
    return strlen(name) == text.len && !strncasecmp(name, (const char *)text.ptr, text.len);
}

/* A name of a field: printable ASCII; blanks may stand before the colon (RFC 5322, 4.5). Returns
 * the colon, or NULL. */
static const uint8_t *colon_of(const uint8_t *line, const uint8_t *end)
{
    const uint8_t *p = line;

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

static void add(struct mr_mime_decoder *d, uint32_t part, const uint8_t *begin, const uint8_t *end)
{
    const uint8_t *colon = colon_of(begin, end);
    uint32_t n = d->result.n_headers;

    if (memchr(begin, '\0', (size_t)(end - begin)))
        mime_raise(d, MIME_BIT(NUL_BYTES));
    if (n >= d->limits.headers) {
        mime_raise(d, MIME_BIT(TOO_MANY_HEADERS));
        return;
    }
    struct mr_mime_header *array =
        mime_grow(d, d->headers, n, &d->headers_room, sizeof *d->headers, d->limits.headers);
    if (!array || !colon)
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
    d->parts[part].n_headers++;
}

/* An envelope line of mbox files; only at the beginning of a mail. */
static bool envelope(const uint8_t *line, const uint8_t *end)
{
    return (end - line >= 5 && !memcmp(line, "From ", 5)) ||
           (end - line >= 6 && !memcmp(line, ">From ", 6));
}

const uint8_t *mime_headers(struct mr_mime_decoder *d, uint32_t part, const uint8_t *at,
                            const uint8_t *end, bool *complete)
{
    const uint8_t *field = NULL; /* the one that is open */
    const uint8_t *begin = at;
    bool last, top = true;

    *complete = false;
    d->parts[part].first_header = d->result.n_headers;
    while (at < end) {
        const uint8_t *lf = memchr(at, '\n', (size_t)(end - at));
        const uint8_t *next = lf ? lf + 1 : end, *stop = lf ? lf : end;
        if (stop > at && stop[-1] == '\r')
            stop--;
        if (stop - at > LONG_LINE)
            mime_raise(d, MIME_BIT(LONG_LINE));
        if (stop == at && lf) {
            *complete = true;
            if (field)
                add(d, part, field, at);
            d->result.work += (size_t)(next - begin);
            return next;
        }
        if ((*at == ' ' || *at == '\t') && field) {
            at = next;
            continue;
        }
        if (field)
            add(d, part, field, at);
        field = NULL;
        if (*at == '-' && mime_delimiter(d, at, stop, &last) >= 0)
            break;
        if (colon_of(at, stop)) {
            field = at;
        } else if (!(top && part == 0 && envelope(at, stop))) {
            /* As most readers do: what is no field begins the body. */
            mime_raise(d, MIME_BIT(MALFORMED_MSG));
            break;
        }
        top = false;
        at = next;
    }
    if (field)
        add(d, part, field, at);
    d->result.work += (size_t)(at - begin);
    return at;
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
