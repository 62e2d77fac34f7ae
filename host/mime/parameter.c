/* Content-Type and Content-Disposition with their parameters (RFC 2045, 2183, 2231). */
#include "decoder.h"

#include <string.h>

#define MOST_PARAMETERS 64u /* of the limit: what a stack frame has room for */
#define LONG_BOUNDARY   70u
#define LONG_FILENAME   255u

/* One as it stands: name*section*=value. */
struct parameter {
    struct mr_mime_text name, value;
    int section;   /* -1: none */
    bool extended; /* %xx, and in the first section charset'language' */
    bool quoted;
};

struct list {
    struct parameter parameters[MOST_PARAMETERS];
    uint32_t n;
};

const uint8_t *mime_skip(const uint8_t *p, const uint8_t *end)
{
    uint32_t open = 0;

    for (; p < end; p++) {
        if (open && *p == '\\' && end - p > 1)
            p++;
        else if (*p == '(')
            open++;
        else if (*p == ')' && open)
            open--;
        else if (!open && !mime_blank(*p))
            break;
    }
    return p;
}

/* The value at p; returns what follows it. Mailers forget to quote values with blanks. */
static const uint8_t *value_at(const uint8_t *p, const uint8_t *end, struct parameter *parameter)
{
    const uint8_t *begin = p;

    parameter->quoted = p < end && *p == '"';
    if (parameter->quoted) {
        for (p = ++begin; p < end && *p != '"'; p++)
            if (*p == '\\' && end - p > 1)
                p++;
        parameter->value = mime_text(begin, (size_t)((p < end ? p : end) - begin));
        return p < end ? p + 1 : end;
    }
    while (p < end && *p != ';' && !(*p == '(' && p > begin && mime_blank(p[-1])))
        p++;
    parameter->value = mime_trimmed(begin, p);
    return p;
}

/* Takes name*0* apart. */
static void name_parts(struct parameter *parameter)
{
    const uint8_t *name = parameter->name.ptr, *end = name + parameter->name.len;
    const uint8_t *star;

    parameter->section = -1;
    parameter->extended = false;
    if (end > name && end[-1] == '*') {
        parameter->extended = true;
        end--;
    }
    star = memchr(name, '*', (size_t)(end - name));
    if (star && end - star >= 2 && end - star <= 4) {
        int section = 0;
        for (const uint8_t *p = star + 1; p < end && section >= 0; p++)
            section = *p >= '0' && *p <= '9' ? section * 10 + (*p - '0') : -1;
        if (section >= 0) {
            parameter->section = section;
            end = star;
        }
    }
    parameter->name = mime_text(name, (size_t)(end - name));
}

static void read_list(struct mr_mime_decoder *d, const uint8_t *p, const uint8_t *end,
                      struct list *list)
{
    uint32_t limit =
        d->limits.parameters < MOST_PARAMETERS ? d->limits.parameters : MOST_PARAMETERS;

    list->n = 0;
    d->result.work += (size_t)(end - p);
    while (p < end) {
        while (p < end && (*p == ';' || mime_blank(*p)))
            p++;
        p = mime_skip(p, end);
        const uint8_t *begin = p;
        while (p < end && *p != '=' && *p != ';')
            p++;
        if (p == end || *p == ';')
            continue;
        struct parameter parameter = {.name = mime_trimmed(begin, p)};
        p = value_at(mime_skip(p + 1, end), end, &parameter);
        while (p < end && *p != ';' && parameter.quoted && (mime_blank(*p) || *p == '('))
            p = *p == '(' ? mime_skip(p, end) : p + 1;
        name_parts(&parameter);
        if (list->n == limit) {
            mime_raise(d, MIME_BIT(TOO_MANY_PARAMETERS));
            return;
        }
        list->parameters[list->n++] = parameter;
    }
}

static const struct parameter *find(const struct list *list, const char *name, int section,
                                    int extended)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct parameter *p = &list->parameters[i];
        if (p->section == section && (extended < 0 || p->extended == (extended > 0)) &&
            mime_is(p->name, name))
            return p;
    }
    return NULL;
}

/* Does it come once more? Readers disagree about which one counts. */
static bool repeated(const struct list *list, const struct parameter *p)
{
    for (const struct parameter *q = p + 1; q < list->parameters + list->n; q++)
        if (q->section == p->section && q->extended == p->extended && mime_same(q->name, p->name))
            return true;
    return false;
}

/* In front of a quote or a backslash a backslash goes; in the path of a file it stays. */
static size_t unquote(uint8_t *out, struct mr_mime_text from)
{
    size_t n = 0;

    for (uint32_t i = 0; i < from.len; i++) {
        if (from.ptr[i] == '\\' && i + 1 < from.len &&
            (from.ptr[i + 1] == '"' || from.ptr[i + 1] == '\\'))
            i++;
        if (from.ptr[i] != '\r' && from.ptr[i] != '\n')
            out[n++] = from.ptr[i];
    }
    return n;
}

static int hex(uint8_t c)
{
    c = mime_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t percent(uint8_t *out, struct mr_mime_text from)
{
    size_t n = 0;

    for (uint32_t i = 0; i < from.len; i++) {
        if (from.ptr[i] == '%' && i + 2 < from.len && hex(from.ptr[i + 1]) >= 0 &&
            hex(from.ptr[i + 2]) >= 0) {
            out[n++] = (uint8_t)(hex(from.ptr[i + 1]) << 4 | hex(from.ptr[i + 2]));
            i += 2;
        } else {
            out[n++] = from.ptr[i];
        }
    }
    return n;
}

/* charset'language' in front of an extended value. */
static struct mr_mime_text charset_of(struct mr_mime_text *value)
{
    const uint8_t *first = memchr(value->ptr, '\'', value->len), *second;
    struct mr_mime_text charset;

    if (!first)
        return mime_text(NULL, 0);
    second = memchr(first + 1, '\'', (size_t)(value->ptr + value->len - first - 1));
    if (!second)
        return mime_text(NULL, 0);
    charset = mime_text(value->ptr, (size_t)(first - value->ptr));
    *value = mime_text(second + 1, (size_t)(value->ptr + value->len - second - 1));
    return charset;
}

/* The value of a parameter in UTF-8: name*, name*0..., name; "" where it is missing. */
static struct mr_mime_text get(struct mr_mime_decoder *d, const struct list *list, const char *name)
{
    const struct parameter *p = find(list, name, -1, 1);
    struct mr_mime_text charset = mime_text(NULL, 0), value;
    bool coded = false;
    int section = -1;

    if (!p && (p = find(list, name, 0, -1)) != NULL)
        section = 0;
    if (!p && !(p = find(list, name, -1, 0)))
        return charset;
    if (repeated(list, p))
        mime_raise(d, MIME_BIT(DUPLICATE_PARAMETERS));
    if (section < 0 && !p->extended && mime_ascii(p->value.ptr, p->value.len) &&
        !memchr(p->value.ptr, '\\', p->value.len) && !memchr(p->value.ptr, '\n', p->value.len) &&
        !memmem(p->value.ptr, p->value.len, "=?", 2))
        return p->value;
    d->coded.len = 0;
    while (p) {
        value = p->value;
        if (p->extended && section <= 0)
            charset = charset_of(&value);
        if (!mime_room(d, &d->coded, value.len))
            break;
        uint8_t *out = d->coded.data + d->coded.len;
        d->coded.len += p->extended ? percent(out, value) : unquote(out, value);
        coded |= p->extended;
        p = section < 0 ? NULL : find(list, name, ++section, -1);
    }
    if (!coded && memmem(d->coded.data, d->coded.len, "=?", 2)) {
        /* not allowed here, and usual */
        value = mime_keep(d, d->coded.data, d->coded.len);
        mime_words(d, value);
        return mime_keep(d, d->utf8.data, d->utf8.len);
    }
    value = mime_to_utf8(d, charset, d->coded.data, d->coded.len);
    return mime_keep(d, value.ptr, value.len);
}

static struct mr_mime_text lower(struct mr_mime_decoder *d, struct mr_mime_text from)
{
    uint8_t *out = from.len ? mime_alloc(d, from.len) : NULL;

    for (uint32_t i = 0; out && i < from.len; i++)
        out[i] = mime_lower(from.ptr[i]);
    return mime_text(out, out ? from.len : 0);
}

void mime_cut_filename(struct mr_mime_decoder *d, struct mr_mime_text *name)
{
    if (name->len <= LONG_FILENAME)
        return;
    mime_raise(d, MIME_BIT(LONG_FILENAME));
    name->len = LONG_FILENAME;
    while (name->len && (name->ptr[name->len] & 0xc0) == 0x80)
        name->len--;
}

static void set_filename(struct mr_mime_decoder *d, struct mr_mime_part *part,
                         struct mr_mime_text name)
{
    mime_cut_filename(d, &name);
    if (name.len)
        part->filename = name;
}

/* The types that are usual, so that they need no copy. */
static struct mr_mime_text type_of(struct mr_mime_decoder *d, const uint8_t *p, const uint8_t *end)
{
    static const char *const usual[] = {"text/plain", "text/html", "multipart/alternative",
                                        "multipart/mixed", "application/octet-stream"};
    struct mr_mime_text type = mime_trimmed(p, end);

    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (mime_is(type, usual[i]))
            return mime_text(usual[i], type.len);
    return lower(d, type);
}

static const uint8_t *token_end(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p != ';' && *p != '(' && !mime_blank(*p))
        p++;
    return p;
}

void mime_content_type(struct mr_mime_decoder *d, struct mr_mime_part *part,
                       struct mr_mime_text value, struct mr_mime_text *boundary)
{
    const uint8_t *end = value.ptr + value.len, *begin = mime_skip(value.ptr, end);
    const uint8_t *p = token_end(begin, end);
    struct list list;

    /* no type, as in "text": RFC 2045, 5.2 */
    if (memchr(begin, '/', (size_t)(p - begin)))
        part->type = type_of(d, begin, p);
    while (p < end && *p != ';')
        p++;
    read_list(d, p, end, &list);
    part->charset = lower(d, get(d, &list, "charset"));
    *boundary = get(d, &list, "boundary");
    if (boundary->len > LONG_BOUNDARY)
        mime_raise(d, MIME_BIT(LONG_BOUNDARY));
    if (boundary->len > MIME_MAX_BOUNDARY)
        boundary->len = 0;
    if (!part->filename.len)
        set_filename(d, part, get(d, &list, "name"));
}

void mime_disposition(struct mr_mime_decoder *d, struct mr_mime_part *part,
                      struct mr_mime_text value)
{
    const uint8_t *end = value.ptr + value.len, *begin = mime_skip(value.ptr, end);
    const uint8_t *p = token_end(begin, end);
    struct list list;

    part->disposition = lower(d, mime_text(begin, (size_t)(p - begin)));
    while (p < end && *p != ';')
        p++;
    read_list(d, p, end, &list);
    set_filename(d, part, get(d, &list, "filename"));
}
