/* Lines to parts. One pass over the mail: a line is compared with the delimiters of all multiparts
 * that are open by its hash, so that their number does not matter. */
#include "decoder.h"

#include <string.h>

#define LONG_LINE         998u
#define LONG_ENCODED_LINE 76u
#define NO_PART           UINT32_MAX

/* Where the reading stands. */
struct reading {
    struct mr_mime_decoder *d;
    const uint8_t *at, *end;
    uint32_t leaf;     /* the part whose body is being read, if it is a leaf; else NO_PART */
    bool encoded;      /* its lines ought to be short */
    bool may_have_uu;  /* uuencoded files in it become parts */
    const uint8_t *uu; /* where one began, or NULL */
    struct mr_mime_text uu_name;
};

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
    const uint8_t *p = value.ptr, *end = p + value.len;

    while (p < end && *p != ';' && *p != '(' && !mime_blank(*p))
        p++;
    value = mime_trimmed(value.ptr, p);
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

/* A new part, whose body begins at r->at; NO_PART: there is no room. */
static uint32_t new_part(struct reading *r, uint32_t parent, const char *type)
{
    struct mr_mime_decoder *d = r->d;
    uint32_t n = d->result.n_parts;
    struct mr_mime_part *array =
        mime_grow(d, d->parts, n, &d->parts_room, sizeof *d->parts, d->limits.parts);
    struct mr_mime_text none = mime_text(NULL, 0);

    if (!array)
        return NO_PART;
    d->parts = array;
    array[n] = (struct mr_mime_part){
        .parent = parent,
        .depth = n ? (uint8_t)(array[parent].depth + 1) : 0,
        .type = mime_text(type, strlen(type)),
        .charset = none,
        .disposition = none,
        .filename = none,
        .content_id = none,
        .body = mime_text(NULL, 0),
        .text = none,
    };
    d->result.n_parts++;
    return n;
}

/* Decides what a part is whose header section was read. */
static void classify(struct reading *r, uint32_t part, struct mr_mime_text boundary)
{
    struct mr_mime_decoder *d = r->d;
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

/* Reads the header section at r->at as that of a new part in `parent`; the parts of messages right
 * behind it, too. False: no more parts. */
static bool begin_part(struct reading *r, uint32_t parent)
{
    struct mr_mime_decoder *d = r->d;
    bool complete;

    for (;;) {
        bool digest = d->result.n_parts && mime_is(d->parts[parent].type, "multipart/digest");
        uint32_t part = new_part(r, parent, digest ? "message/rfc822" : "text/plain");
        if (part == NO_PART)
            return false;
        r->at = mime_headers(d, part, r->at, r->end, &complete);
        if (!part)
            d->result.header_complete = complete;
        classify(r, part, describe(d, &d->parts[part]));
        struct mr_mime_part *p = &d->parts[part];
        p->body = (struct mr_mime_text){r->at, 0};
        d->open[d->n_open++] = part;
        r->leaf = p->kind == MR_MIME_LEAF ? part : NO_PART;
        r->encoded = p->encoding == MR_MIME_BASE64 || p->encoding == MR_MIME_QUOTED_PRINTABLE;
        r->may_have_uu = p->is_text && !p->is_html && p->encoding == MR_MIME_IDENTITY;
        r->uu = NULL;
        if (p->kind != MR_MIME_MESSAGE)
            return true;
        if (d->result.n_parts == d->limits.parts) {
            mime_raise(d, MIME_BIT(TOO_MANY_PARTS));
            return true;
        }
        parent = part;
    }
}

/* Ends the bodies of all open parts in `part`, which stays open; NO_PART: of all. */
static void end_parts(struct reading *r, uint32_t part, const uint8_t *where)
{
    struct mr_mime_decoder *d = r->d;

    while (d->n_open && d->open[d->n_open - 1] != part) {
        uint32_t i = d->open[--d->n_open];
        struct mr_mime_part *p = &d->parts[i], *last = &d->parts[d->result.n_parts - 1];
        p->body.len = where > p->body.ptr ? (uint32_t)(where - p->body.ptr) : 0;
        /* a uuencoded file in it took the line end that is the delimiter's */
        if (last > p && last->parent == i && last->body.ptr + last->body.len > where)
            last->body.len = where > last->body.ptr ? (uint32_t)(where - last->body.ptr) : 0;
    }
    r->leaf = NO_PART;
    r->uu = NULL;
}

/* A delimiter of `level` at `line`; what follows it is at `next`. */
static void delimited(struct reading *r, int level, bool last, const uint8_t *line,
                      const uint8_t *next)
{
    struct mr_mime_decoder *d = r->d;
    uint32_t part = d->levels[level].part;

    if (!last && d->result.n_parts >= d->limits.parts) {
        mime_raise(d, MIME_BIT(TOO_MANY_PARTS));
        while (d->n_levels)
            pop_level(d);
        r->at = next;
        return;
    }
    /* the line end in front of it is its own */
    const uint8_t *where = line;
    if (where > d->result.mail && where[-1] == '\n')
        where--;
    if (where < line && where > d->result.mail && where[-1] == '\r')
        where--;
    end_parts(r, part, where);
    while (d->n_levels > (uint32_t)level + 1) {
        mime_raise(d, MIME_BIT(NO_END));
        pop_level(d);
    }
    r->at = next;
    if (last) {
        pop_level(d);
    } else if (!begin_part(r, part)) {
        while (d->n_levels)
            pop_level(d);
    }
}

/* "begin 644 name" in text. */
static bool uu_begins(const uint8_t *line, const uint8_t *end, struct mr_mime_text *name)
{
    const uint8_t *p = line + 6;

    if (end - line < 11 || memcmp(line, "begin ", 6))
        return false;
    while (p < end && *p >= '0' && *p <= '7')
        p++;
    if (p - line < 9 || p - line > 10 || p == end || *p != ' ')
        return false;
    *name = mime_trimmed(p, end);
    return name->len > 0;
}

/* A line of text that may belong to a uuencoded file; `next` is behind it. */
static void uu_line(struct reading *r, const uint8_t *line, const uint8_t *stop,
                    const uint8_t *next)
{
    struct mr_mime_decoder *d = r->d;

    if (r->uu && stop - line == 3 && !memcmp(line, "end", 3)) {
        uint32_t text = r->leaf, limit = d->limits.parts;
        const uint8_t *begin = r->uu;
        r->uu = NULL;
        if (d->result.n_parts >= limit) {
            mime_raise(d, MIME_BIT(TOO_MANY_PARTS));
            return;
        }
        uint32_t file = new_part(r, text, "application/octet-stream");
        if (file == NO_PART)
            return;
        struct mr_mime_part *p = &d->parts[file];
        p->first_header = d->result.n_headers;
        p->encoding = MR_MIME_UUENCODE;
        p->is_file = true;
        p->body = mime_text(begin, (size_t)(next - begin));
        struct mr_mime_text name =
            mime_to_utf8(d, mime_text(NULL, 0), r->uu_name.ptr, r->uu_name.len);
        mime_cut_filename(d, &name);
        p->filename = mime_keep(d, name.ptr, name.len);
    } else if (r->uu && mime_uu_claim(line, stop) < 0) {
        r->uu = NULL;
    }
    if (!r->uu && uu_begins(line, stop, &r->uu_name))
        r->uu = line;
}

static void read_lines(struct reading *r)
{
    struct mr_mime_decoder *d = r->d;
    bool last;

    while (r->at < r->end) {
        const uint8_t *line = r->at;
        const uint8_t *lf = memchr(line, '\n', (size_t)(r->end - line));
        const uint8_t *next = lf ? lf + 1 : r->end, *stop = lf ? lf : r->end;
        if (stop > line && stop[-1] == '\r')
            stop--;
        size_t len = (size_t)(stop - line);
        d->result.work += (size_t)(next - line);
        if (len > LONG_ENCODED_LINE) {
            if (len > LONG_LINE)
                mime_raise(d, MIME_BIT(LONG_LINE));
            if (r->leaf != NO_PART && r->encoded)
                mime_raise(d, MIME_BIT(LONG_ENC_LINE));
        }
        int level = *line == '-' ? mime_delimiter(d, line, stop, &last) : -1;
        if (level >= 0) {
            delimited(r, level, last, line, next);
            continue;
        }
        if (r->may_have_uu && r->leaf != NO_PART && (r->uu || *line == 'b'))
            uu_line(r, line, stop, next);
        r->at = next;
    }
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

static bool has_text(const struct mr_mime_part *part)
{
    return part->kind == MR_MIME_LEAF && part->is_text;
}

const struct mr_mime *mr_mime_decode(struct mr_mime_decoder *decoder,
                                     const struct mr_mime_memory *memory, const uint8_t *mail,
                                     size_t len)
{
    struct mr_mime_decoder *d = decoder;
    struct reading r = {.d = d, .leaf = NO_PART};

    mr_mime_release(d);
    if (memory)
        d->memory = *memory;
    if (!mail || len > UINT32_MAX)
        len = mail ? UINT32_MAX : 0;
    d->result.mail = mime_text(mail, len).ptr;
    d->result.len = len;
    d->n_levels = d->n_open = 0;
    memset(d->buckets, 0, sizeof d->buckets);
    r.at = d->result.mail;
    r.end = r.at + len;
    begin_part(&r, 0);
    read_lines(&r);
    if (d->n_levels)
        mime_raise(d, MIME_BIT(NO_END));
    end_parts(&r, NO_PART, r.end);
    for (uint32_t i = 0; i < d->result.n_parts; i++)
        if (has_text(&d->parts[i]))
            mime_part_text(d, i);
    for (uint32_t i = 0; i < d->result.n_parts; i++)
        if (has_text(&d->parts[i]))
            d->parts[i].text = mime_text(d->text.data + d->parts[i].text_at, d->parts[i].text.len);
    fix_hidden(d);
    d->result.headers = d->headers;
    d->result.parts = d->parts;
    d->result.links = d->links;
    d->result.hidden = d->hides;
    d->result.text = mime_text(d->text.data, d->text.len);
    return &d->result;
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
