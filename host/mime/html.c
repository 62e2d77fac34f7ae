/* HTML to text: tags go, blocks become lines, what cannot be seen is put aside.
 *
 * One pass over the bytes; the elements that are open are known to a depth of 64, which is enough
 * to say how text looks. A tag, comment or script that does not end lasts to the end, as in
 * browsers: so nothing is looked at twice. */
#include "html.h"

#include <string.h>

enum {
    BLOCK = 1,  /* its text stands on lines of its own */
    EMPTY = 2,  /* has no end tag */
    RAW = 4,    /* what is in it is no text */
    CLOSES = 8, /* begins where one of the same name ends */
};

/* Sorted. */
static const struct known {
    char name[11];
    uint8_t how;
} known[] = {
    {"a", 0},
    {"abbr", 0},
    {"acronym", 0},
    {"address", BLOCK},
    {"area", EMPTY},
    {"b", 0},
    {"base", EMPTY},
    {"basefont", EMPTY},
    {"bgsound", EMPTY},
    {"big", 0},
    {"blockquote", BLOCK},
    {"body", BLOCK},
    {"br", BLOCK | EMPTY},
    {"button", 0},
    {"caption", BLOCK},
    {"center", BLOCK},
    {"cite", 0},
    {"code", 0},
    {"col", EMPTY},
    {"dd", BLOCK | CLOSES},
    {"del", 0},
    {"dir", BLOCK},
    {"div", BLOCK},
    {"dl", BLOCK},
    {"dt", BLOCK | CLOSES},
    {"em", 0},
    {"embed", EMPTY},
    {"fieldset", BLOCK},
    {"font", 0},
    {"form", BLOCK},
    {"frame", EMPTY},
    {"h1", BLOCK},
    {"h2", BLOCK},
    {"h3", BLOCK},
    {"h4", BLOCK},
    {"h5", BLOCK},
    {"h6", BLOCK},
    {"head", BLOCK},
    {"hr", BLOCK | EMPTY},
    {"html", BLOCK},
    {"i", 0},
    {"iframe", BLOCK},
    {"img", EMPTY},
    {"input", EMPTY},
    {"ins", 0},
    {"kbd", 0},
    {"label", 0},
    {"layer", BLOCK},
    {"legend", BLOCK},
    {"li", BLOCK | CLOSES},
    {"link", EMPTY},
    {"map", 0},
    {"marquee", BLOCK},
    {"menu", BLOCK},
    {"meta", EMPTY},
    {"nobr", 0},
    {"noscript", BLOCK},
    {"object", 0},
    {"ol", BLOCK},
    {"option", BLOCK | CLOSES},
    {"p", BLOCK | CLOSES},
    {"param", EMPTY},
    {"pre", BLOCK},
    {"s", 0},
    {"samp", 0},
    {"script", RAW},
    {"select", BLOCK},
    {"small", 0},
    {"span", 0},
    {"strike", 0},
    {"strong", 0},
    {"style", RAW},
    {"sub", 0},
    {"sup", 0},
    {"table", BLOCK},
    {"tbody", BLOCK},
    {"td", BLOCK | CLOSES},
    {"textarea", 0},
    {"tfoot", BLOCK},
    {"th", BLOCK | CLOSES},
    {"thead", BLOCK},
    {"title", BLOCK},
    {"tr", BLOCK | CLOSES},
    {"tt", 0},
    {"u", 0},
    {"ul", BLOCK},
    {"var", 0},
    {"wbr", EMPTY},
};
#define N_KNOWN (sizeof known / sizeof *known)
#define UNKNOWN ((uint8_t)N_KNOWN)

struct html {
    struct mr_mime_decoder *d;
    uint32_t part;
    const uint8_t *in, *end;
    struct mime_element open[MIME_MAX_ELEMENTS];
    uint32_t n_open, deeper; /* elements that are open beyond those */
    struct mime_look look;   /* of the text that comes */
    bool invisible;
    bool gap[2];     /* blanks wait in front of the next text, of the next hidden text */
    bool line[2];    /* ... and a new line */
    uint8_t last[2]; /* the last byte of text, of hidden text; 0: none in this part */
    bool marked;     /* the last thing was a comment or an unknown tag, behind a letter */
    bool fresh;      /* hidden text has just begun */
};

static bool letter(uint8_t c)
{
    c = mime_lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80;
}

static void note_hidden(struct html *h)
{
    struct mr_mime_decoder *d = h->d;
    uint32_t n = d->result.n_hidden;
    struct mr_mime_hidden *array =
        mime_grow(d, d->hides, n, &d->hides_room, sizeof *d->hides, d->limits.links);

    if (!array)
        return;
    d->hides = array;
    array[n] = (struct mr_mime_hidden){.part = h->part, .at = (uint32_t)d->hidden.len};
    d->result.n_hidden++;
}

/* Bytes without blanks. */
static void put(struct html *h, const uint8_t *bytes, size_t len)
{
    struct mime_space *to = h->invisible ? &h->d->hidden : &h->d->text;
    uint8_t *last = &h->last[h->invisible];

    if (h->marked) {
        h->d->result.html.comment_in_word +=
            !h->gap[h->invisible] && !h->line[h->invisible] && letter(*bytes);
        h->marked = false;
    }
    if (h->invisible && h->fresh) {
        note_hidden(h);
        *last = 0;
    }
    h->fresh = h->fresh && !h->invisible;
    bool gap = h->gap[h->invisible], line = h->line[h->invisible];
    if ((gap || line) && *last && *last != '\n')
        mime_add(h->d, to, (const uint8_t *)(line ? "\n" : " "), 1);
    h->gap[h->invisible] = h->line[h->invisible] = false;
    mime_add(h->d, to, bytes, len);
    *last = bytes[len - 1];
}

static void mark(struct html *h)
{
    h->marked = !h->gap[h->invisible] && !h->line[h->invisible] && letter(h->last[h->invisible]);
}

static void look_again(struct html *h)
{
    bool was = h->invisible;

    h->invisible = mime_invisible(&h->look);
    h->fresh |= h->invisible && !was;
}

/* A reference: its character, blanks that take no room, or nothing. Returns what follows it. */
static const uint8_t *reference(struct html *h, const uint8_t *p)
{
    uint8_t out[4];
    size_t n, used = mime_entity(p, (size_t)(h->end - p), out, &n);

    if (!used) {
        put(h, p, 1);
        return p + 1;
    }
    if ((n == 1 && mime_blank(out[0])) || (n == 2 && !memcmp(out, "\xc2\xa0", 2)))
        h->gap[h->invisible] = true;
    else if (!(n == 2 && !memcmp(out, "\xc2\xad", 2)) &&
             !(n == 3 && !memcmp(out, "\xe2\x80", 2) && out[2] >= 0x8b && out[2] <= 0x8f))
        put(h, out, n);
    return p + used;
}

/* 1: a blank; 2: what ends a run of text otherwise. */
static const uint8_t classes[256] = {
    ['\t'] = 1, ['\n'] = 1, ['\f'] = 1, ['\r'] = 1, [' '] = 1, ['<'] = 2, ['&'] = 2, ['\0'] = 1};

static const uint8_t *text(struct html *h, const uint8_t *p)
{
    const uint8_t *begin = p;

    if (classes[*p] == 1) {
        while (p < h->end && classes[*p] == 1)
            p++;
        h->gap[h->invisible] = true;
        return p;
    }
    while (p < h->end && !classes[*p])
        p++;
    put(h, begin, (size_t)(p - begin));
    return p;
}

static uint8_t element(const uint8_t *name, size_t len)
{
    char lower[11];
    size_t low = 0, high = N_KNOWN;

    if (!len || len >= sizeof lower)
        return UNKNOWN;
    for (size_t i = 0; i < len; i++)
        lower[i] = (char)mime_lower(name[i]);
    lower[len] = 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(lower, known[middle].name);
        if (!order)
            return (uint8_t)middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return UNKNOWN;
}

static void link_of(struct html *h, enum mr_mime_link_kind kind, struct mr_mime_text value)
{
    uint8_t out[2048];
    size_t n = 0, written;

    for (uint32_t i = 0; i < value.len && n < sizeof out - 4;) {
        size_t used =
            value.ptr[i] == '&' ? mime_entity(value.ptr + i, value.len - i, out + n, &written) : 0;
        if (used) {
            n += written;
            i += (uint32_t)used;
        } else if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == '\t') {
            i++;
        } else {
            out[n++] = value.ptr[i++];
        }
    }
    mime_add_link(h->d, h->part, kind, mime_text(out, n));
}

static void attribute(struct html *h, struct mr_mime_text name, struct mr_mime_text value)
{
    switch (mime_lower(name.ptr[0])) {
    case 'h':
        if (mime_is(name, "href"))
            link_of(h, MR_MIME_LINK_HREF, value);
        else if (mime_is(name, "hidden"))
            h->look.hidden = true;
        break;
    case 'a':
        if (mime_is(name, "action"))
            link_of(h, MR_MIME_LINK_HREF, value);
        break;
    case 's':
        if (mime_is(name, "src"))
            link_of(h, MR_MIME_LINK_LOAD, value);
        else if (mime_is(name, "style"))
            mime_style(&h->look, value);
        break;
    case 'b':
        if (mime_is(name, "background"))
            link_of(h, MR_MIME_LINK_LOAD, value);
        else if (mime_is(name, "bgcolor"))
            mime_colour(value, &h->look.paper);
        break;
    case 'c':
        if (mime_is(name, "color"))
            mime_colour(value, &h->look.ink);
        break;
    case 't':
        if (mime_is(name, "text"))
            mime_colour(value, &h->look.ink);
        break;
    default:
        break;
    }
}

static bool ends_name(uint8_t c)
{
    return mime_blank(c) || c == '>' || c == '/' || c == '=' || c == '\f';
}

/* The attributes from p on; returns what follows the tag, or the end. */
static const uint8_t *attributes(struct html *h, const uint8_t *p, bool wanted)
{
    const uint8_t *end = h->end;

    while (p < end && *p != '>') {
        if (ends_name(*p)) {
            p++;
            continue;
        }
        const uint8_t *begin = p;
        struct mr_mime_text value = mime_text(NULL, 0);
        while (p < end && !ends_name(*p))
            p++;
        struct mr_mime_text name = mime_text(begin, (size_t)(p - begin));
        while (p < end && mime_blank(*p))
            p++;
        if (p < end && *p == '=') {
            p++;
            while (p < end && mime_blank(*p))
                p++;
            begin = p;
            if (p < end && (*p == '"' || *p == '\'')) {
                p = memchr(begin + 1, *begin, (size_t)(end - begin - 1));
                if (!p)
                    return end;
                value = mime_text(begin + 1, (size_t)(p - begin - 1));
                p++;
            } else {
                while (p < end && !mime_blank(*p) && *p != '>')
                    p++;
                value = mime_text(begin, (size_t)(p - begin));
            }
        }
        if (wanted)
            attribute(h, name, value);
    }
    return p < end ? p + 1 : end;
}

static void restore(struct html *h)
{
    static const struct mime_look first = {0x000000, 0xffffff, false};

    h->look = h->n_open ? h->open[h->n_open - 1].look : first;
    look_again(h);
}

static void close_element(struct html *h, uint8_t name)
{
    if (h->deeper) {
        h->deeper--;
        return;
    }
    for (uint32_t i = h->n_open; i-- > 0;) {
        if (h->open[i].name == name) {
            h->n_open = i;
            break;
        }
    }
    restore(h);
}

/* Behind </name of what is no text. */
static const uint8_t *raw_end(const uint8_t *p, const uint8_t *end, const char *name)
{
    size_t n = strlen(name);

    while ((p = memchr(p, '<', (size_t)(end - p))) != NULL) {
        if ((size_t)(end - p) > n + 1 && p[1] == '/' && mime_is(mime_text(p + 2, n), name))
            return p;
        p++;
    }
    return end;
}

static void open_element(struct html *h, uint8_t name)
{
    if (name == UNKNOWN || known[name].how & (EMPTY | RAW)) {
        restore(h);
        return;
    }
    if (h->n_open < MIME_MAX_ELEMENTS)
        h->open[h->n_open++] = (struct mime_element){name, h->look};
    else
        h->deeper++;
    look_again(h);
}

static const uint8_t *start_tag(struct html *h, const uint8_t *p)
{
    const uint8_t *begin = p;

    while (p < h->end && !ends_name(*p))
        p++;
    uint8_t name = element(begin, (size_t)(p - begin));
    const char *text_name = name == UNKNOWN ? "" : known[name].name;
    unsigned how = name == UNKNOWN ? 0 : known[name].how;
    if (name == UNKNOWN)
        mark(h);
    if (how & BLOCK)
        h->line[0] = h->line[1] = true;
    if (how & CLOSES && h->n_open && h->open[h->n_open - 1].name == name && !h->deeper)
        close_element(h, name);
    h->d->result.html.tags++;
    h->d->result.html.images += !strcmp(text_name, "img");
    h->d->result.html.forms += !strcmp(text_name, "form");
    h->d->result.html.scripts += !strcmp(text_name, "script");
    p = attributes(h, p, true);
    open_element(h, name);
    return how & RAW ? raw_end(p, h->end, text_name) : p;
}

static const uint8_t *end_tag(struct html *h, const uint8_t *p)
{
    const uint8_t *begin = p;

    while (p < h->end && !ends_name(*p))
        p++;
    uint8_t name = element(begin, (size_t)(p - begin));
    p = attributes(h, p, false);
    if (name == UNKNOWN) {
        mark(h);
        return p;
    }
    if (known[name].how & BLOCK)
        h->line[0] = h->line[1] = true;
    if (!(known[name].how & (EMPTY | RAW)))
        close_element(h, name);
    return p;
}

static const uint8_t *comment(struct html *h, const uint8_t *p)
{
    size_t n = (size_t)(h->end - p);
    const uint8_t *close;

    h->d->result.html.comments++;
    mark(h);
    if (n >= 2 && p[0] == '-' && p[1] == '-') {
        if (n > 2 && p[2] == '>')
            return p + 3;
        close = memmem(p + 2, n - 2, "-->", 3);
        return close ? close + 3 : h->end;
    }
    close = memchr(p, '>', n);
    return close ? close + 1 : h->end;
}

static const uint8_t *tag(struct html *h, const uint8_t *p)
{
    uint8_t c = h->end - p > 1 ? mime_lower(p[1]) : 0;

    if (c >= 'a' && c <= 'z')
        return start_tag(h, p + 1);
    if (c == '/')
        return end_tag(h, p + 2);
    if (c == '!' || c == '?')
        return comment(h, p + 2);
    put(h, p, 1);
    return p + 1;
}

void mime_html(struct mr_mime_decoder *d, uint32_t part, const uint8_t *in, size_t n)
{
    struct html h = {.d = d, .part = part, .in = in, .end = in + n};

    d->result.html.parts++;
    d->result.work += n;
    restore(&h);
    for (const uint8_t *p = in; p < h.end;)
        p = *p == '<' ? tag(&h, p) : *p == '&' ? reference(&h, p) : text(&h, p);
}
