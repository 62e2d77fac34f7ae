/* Parts: where they begin and end, and what they are. A line is compared with the delimiters of all
 * multiparts that are open by its hash, so that their number does not matter. */
#include "decoder.h"

#include <string.h>

static uint32_t hash(const uint8_t *p, size_t n)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 16777619u;
    return h ^ h >> 15;
}

static int level_of(struct mr_mime_decoder *d, const uint8_t *p, size_t n)
{
    uint32_t h = hash(p, n);

    d->result.work += n;
    for (unsigned i = d->buckets[h % MIME_BUCKETS]; i; i = d->levels[i - 1].below) {
        const struct mime_level *level = &d->levels[i - 1];
        d->result.work++;
        if (level->hash == h && level->len == n && !memcmp(level->boundary, p, n))
            return (int)i - 1;
    }
    return -1;
}

int mime_delimiter(struct mr_mime_decoder *d, const uint8_t *line, const uint8_t *line_end,
                   bool *last)
{
    if (!d->n_levels || line_end - line < 3 || line[0] != '-' || line[1] != '-')
        return -1;
    line += 2;
    /* blanks behind it are none of it (RFC 2046, 5.1.1) */
    for (int i = 0; i < 64 && line_end > line && mime_blank(line_end[-1]); i++)
        line_end--;
    size_t n = (size_t)(line_end - line);
    if (!n || n > MIME_MAX_BOUNDARY + 2)
        return -1;
    *last = false;
    int level = n <= MIME_MAX_BOUNDARY ? level_of(d, line, n) : -1;
    if (level < 0 && n > 2 && line[n - 1] == '-' && line[n - 2] == '-') {
        *last = true;
        level = level_of(d, line, n - 2);
    }
    return level;
}

static void push_level(struct mr_mime_decoder *d, uint32_t part, struct mr_mime_text boundary)
{
    struct mime_level *level = &d->levels[d->n_levels++];

    level->part = part;
    level->boundary = boundary.ptr;
    level->len = (uint8_t)boundary.len;
    level->hash = hash(boundary.ptr, boundary.len);
    level->below = d->buckets[level->hash % MIME_BUCKETS];
    d->buckets[level->hash % MIME_BUCKETS] = (uint8_t)d->n_levels;
}

static void pop_level(struct mr_mime_decoder *d)
{
    const struct mime_level *level = &d->levels[--d->n_levels];
    d->buckets[level->hash % MIME_BUCKETS] = level->below;
}

static void encoding_of(struct mr_mime_decoder *d, struct mr_mime_part *part,
                        struct mr_mime_text value)
{
    const uint8_t *end = value.ptr + value.len, *begin = mime_skip(value.ptr, end), *p = begin;

    while (p < end && *p != ';' && *p != '(' && !mime_blank(*p))
        p++;
    value = mime_trimmed(begin, p);
    if (mime_is(value, "base64"))
        part->encoding = MR_MIME_BASE64;
    else if (mime_is(value, "quoted-printable"))
        part->encoding = MR_MIME_QUOTED_PRINTABLE;
    else if (mime_is(value, "x-uuencode") || mime_is(value, "uuencode") || mime_is(value, "x-uue"))
        part->encoding = MR_MIME_UUENCODE;
    else if (value.len && !mime_is(value, "7bit") && !mime_is(value, "8bit") &&
             !mime_is(value, "binary"))
        mime_raise(d, MIME_BIT(UNKNOWN_ENCODING));
}

/* The fields that say what a part is; the first of each counts. */
static struct mr_mime_text describe(struct mr_mime_decoder *d, struct mr_mime_part *part)
{
    enum { TYPE = 1, ENCODING = 2, DISPOSITION = 4, ID = 8 };
    struct mr_mime_text boundary = mime_text(NULL, 0);
    unsigned seen = 0;

    for (uint32_t i = 0; i < part->n_headers; i++) {
        const struct mr_mime_header *header = &d->headers[part->first_header + i];
        unsigned which = 0;
        if (header->name.len < 10 || mime_lower(header->name.ptr[0]) != 'c')
            continue;
        if (mime_is(header->name, "content-type"))
            which = TYPE;
        else if (mime_is(header->name, "content-transfer-encoding"))
            which = ENCODING;
        else if (mime_is(header->name, "content-disposition"))
            which = DISPOSITION;
        else if (mime_is(header->name, "content-id"))
            which = ID;
        if (seen & which) {
            mime_raise(d, MIME_BIT(DUPLICATE_FIELDS));
            continue;
        }
        seen |= which;
        if (which == TYPE)
            mime_content_type(d, part, header->raw, &boundary);
        else if (which == ENCODING)
            encoding_of(d, part, header->raw);
        else if (which == DISPOSITION)
            mime_disposition(d, part, header->raw);
        else if (which == ID && header->value.len > 2 && header->value.ptr[0] == '<')
            part->content_id = mime_text(header->value.ptr + 1, header->value.len - 2);
    }
    return boundary;
}

static bool starts(struct mr_mime_text text, const char *with)
{
    size_t n = strlen(with);
    return text.len >= n && !memcmp(text.ptr, with, n);
}

/* A new part; MIME_NO_PART: there is no room. */
static uint32_t new_part(struct mr_mime_decoder *d, uint32_t parent, const char *type)
{
    uint32_t n = d->result.n_parts;
    struct mr_mime_part *array =
        mime_grow(d, d->parts, n, &d->parts_room, sizeof *d->parts, d->limits.parts);
    struct mr_mime_text none = mime_text(NULL, 0);

    if (!array)
        return MIME_NO_PART;
    d->parts = array;
    array[n] = (struct mr_mime_part){
        .parent = parent,
        .first_header = d->result.n_headers,
        .depth = n ? (uint8_t)(array[parent].depth + 1) : 0,
        .type = mime_text(type, strlen(type)),
        .charset = none,
        .disposition = none,
        .filename = none,
        .content_id = none,
        .body = none,
        .text = none,
    };
    d->result.n_parts++;
    return n;
}

/* Decides what a part is whose header section was read. */
static void classify(struct mr_mime_decoder *d, uint32_t part, struct mr_mime_text boundary)
{
    struct mr_mime_part *p = &d->parts[part];
    bool multipart = starts(p->type, "multipart/");
    bool message = (mime_is(p->type, "message/rfc822") || mime_is(p->type, "message/global")) &&
                   p->encoding == MR_MIME_IDENTITY;
    bool deep = (multipart || message) && p->depth >= d->limits.depth;

    if (deep)
        mime_raise(d, MIME_BIT(TOO_DEEP));
    if (multipart && !boundary.len)
        mime_raise(d, MIME_BIT(NO_BOUNDARY));
    if (multipart && boundary.len && !deep) {
        p->kind = MR_MIME_MULTIPART;
        push_level(d, part, boundary);
        return;
    }
    if (message && !deep) {
        p->kind = MR_MIME_MESSAGE;
        p->is_file = p->filename.len || mime_is(p->disposition, "attachment");
        return;
    }
    /* what cannot be taken apart is text, so that patterns are still found in it */
    p->is_text = starts(p->type, "text/") || multipart || message;
    p->is_html = mime_is(p->type, "text/html") || mime_is(p->type, "text/xhtml");
    p->is_file = !p->is_text || p->filename.len || mime_is(p->disposition, "attachment");
}

/* Nothing more is taken apart. */
static void pop_levels(struct mr_mime_decoder *d)
{
    while (d->n_levels)
        pop_level(d);
}

void mime_begin_part(struct mr_mime_decoder *d, uint32_t parent)
{
    bool digest = d->result.n_parts && mime_is(d->parts[parent].type, "multipart/digest");

    if (new_part(d, parent, digest ? "message/rfc822" : "text/plain") == MIME_NO_PART)
        pop_levels(d);
    else
        d->reading.in_header = d->reading.top = true;
}

void mime_header_ends(struct mr_mime_decoder *d)
{
    struct mime_reading *r = &d->reading;
    uint32_t part = d->result.n_parts - 1;
    struct mr_mime_part *p = &d->parts[part];

    r->in_header = false;
    classify(d, part, describe(d, p));
    p->body_at = mime_where(r, r->at);
    d->open[d->n_open++] = part;
    r->leaf = p->kind == MR_MIME_LEAF ? part : MIME_NO_PART;
    r->encoded = p->encoding == MR_MIME_BASE64 || p->encoding == MR_MIME_QUOTED_PRINTABLE;
    r->may_have_uu = p->is_text && !p->is_html && p->encoding == MR_MIME_IDENTITY;
    r->in_uu = false;
    mime_pass_begin(d, part);
    if (p->kind != MR_MIME_MESSAGE)
        return;
    if (d->result.n_parts == d->limits.parts)
        mime_raise(d, MIME_BIT(TOO_MANY_PARTS));
    else
        mime_begin_part(d, part);
}

/* What of a body is in memory. */
static void find_body(const struct mr_mime_decoder *d, struct mr_mime_part *p)
{
    uint64_t len = d->result.len, at = p->body_at < len ? p->body_at : len;

    p->body.ptr = d->result.mail + at;
    p->body.len = (uint32_t)(p->body_bytes < len - at ? p->body_bytes : len - at);
}

static bool has_text(const struct mr_mime_part *part)
{
    return part->kind == MR_MIME_LEAF && part->is_text;
}

static void end_body(struct mr_mime_part *p, uint64_t where)
{
    p->body_bytes = where > p->body_at ? where - p->body_at : 0;
}

/* Ends the bodies of all open parts in `part`, which stays open; MIME_NO_PART: of all. */
static void end_parts(struct mr_mime_decoder *d, uint32_t part, uint64_t where)
{
    while (d->n_open && d->open[d->n_open - 1] != part) {
        uint32_t i = d->open[--d->n_open];
        struct mr_mime_part *p = &d->parts[i], *last = &d->parts[d->result.n_parts - 1];
        end_body(p, where);
        find_body(d, p);
        /* a uuencoded file in it took the line end that is the delimiter's */
        if (last > p && last->parent == i && last->body_at + last->body_bytes > where) {
            end_body(last, where);
            find_body(d, last);
        }
        mime_pass_end(d, i);
        if (has_text(p))
            mime_part_text(d, i);
    }
    d->reading.leaf = MIME_NO_PART;
    d->reading.in_uu = false;
}

void mime_delimited(struct mr_mime_decoder *d, int level, bool last, const uint8_t *lf)
{
    struct mime_reading *r = &d->reading;
    uint32_t part = d->levels[level].part;
    const uint8_t *line = r->at;
    bool full = !last && d->result.n_parts >= d->limits.parts;

    if (!full) {
        /* the line end in front of it is its own */
        mime_pass(d, line, false);
        end_parts(d, part, mime_where(r, line) - r->line_end);
        while (d->n_levels > (uint32_t)level + 1) {
            mime_raise(d, MIME_BIT(NO_END));
            pop_level(d);
        }
    }
    mime_line_done(r, line, lf);
    r->at = lf ? lf + 1 : r->end;
    if (full) {
        mime_raise(d, MIME_BIT(TOO_MANY_PARTS));
        pop_levels(d);
    } else if (last) {
        pop_level(d);
    } else {
        mime_begin_part(d, part);
    }
}

void mime_uu_file(struct mr_mime_decoder *d, uint64_t end)
{
    struct mime_reading *r = &d->reading;
    uint32_t file = MIME_NO_PART;

    r->in_uu = false;
    if (d->result.n_parts >= d->limits.parts)
        mime_raise(d, MIME_BIT(TOO_MANY_PARTS));
    else
        file = new_part(d, r->leaf, "application/octet-stream");
    mime_pass_uu_end(d, file);
    if (file == MIME_NO_PART)
        return;
    struct mr_mime_part *p = &d->parts[file];
    p->encoding = MR_MIME_UUENCODE;
    p->is_file = true;
    p->body_at = r->uu_at;
    end_body(p, end);
    find_body(d, p);
    struct mr_mime_text name = mime_to_utf8(d, mime_text(NULL, 0), r->uu_name, r->uu_name_len);
    mime_cut_filename(d, &name);
    p->filename = mime_keep(d, name.ptr, name.len);
}

static void fix_hidden(struct mr_mime_decoder *d)
{
    for (uint32_t i = 0; i < d->result.n_hidden; i++) {
        uint32_t at = d->hides[i].at;
        uint32_t end = i + 1 < d->result.n_hidden ? d->hides[i + 1].at : (uint32_t)d->hidden.len;
        /* also without any: all hidden text begins where the first does */
        d->hides[i].text = (struct mr_mime_text){d->hidden.data + at, end - at};
    }
}

void mime_begin_mail(struct mr_mime_decoder *d, const struct mr_mime_memory *memory)
{
    mr_mime_release(d);
    if (memory)
        d->memory = *memory;
    d->n_levels = d->n_open = 0;
    memset(d->buckets, 0, sizeof d->buckets);
    memset(&d->reading, 0, offsetof(struct mime_reading, uu_name));
    d->reading.leaf = MIME_NO_PART;
    mime_begin_part(d, 0);
}

const struct mr_mime *mime_end_mail(struct mr_mime_decoder *d)
{
    struct mr_mime *result = &d->result;

    result->bytes = mime_where(&d->reading, d->reading.end);
    if (d->n_levels)
        mime_raise(d, MIME_BIT(NO_END));
    end_parts(d, MIME_NO_PART, result->bytes);
    for (uint32_t i = 0; i < result->n_parts; i++)
        if (has_text(&d->parts[i]))
            d->parts[i].text = mime_text(d->text.data + d->parts[i].text_at, d->parts[i].text.len);
    fix_hidden(d);
    result->headers = d->headers;
    result->parts = d->parts;
    result->links = d->links;
    result->hidden = d->hides;
    result->text = mime_text(d->text.data, d->text.len);
    return result;
}

const struct mr_mime *mr_mime_decode(struct mr_mime_decoder *decoder,
                                     const struct mr_mime_memory *memory, const uint8_t *mail,
                                     size_t len)
{
    struct mr_mime_decoder *d = decoder;
    struct mime_reading *r = &d->reading;

    if (!mail || len > UINT32_MAX)
        len = mail ? UINT32_MAX : 0;
    mime_begin_mail(d, memory);
    d->result.mail = mime_text(mail, len).ptr;
    d->result.len = len;
    r->window = r->at = d->result.mail;
    r->end = r->at + len;
    r->stays = r->last = true;
    mime_lines(d);
    return mime_end_mail(d);
}

void mime_find_bodies(struct mr_mime_decoder *d)
{
    for (uint32_t i = 0; i < d->result.n_parts; i++)
        find_body(d, &d->parts[i]);
}

const char *mr_mime_anomaly_text(enum mr_mime_anomaly anomaly)
{
    static const char *const texts[] = {
#define X(name, text) text,
        MR_MIME_ANOMALY_LIST(X)
#undef X
    };
    return texts[anomaly];
}
