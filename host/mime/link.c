/* Links: those of attributes as they are given, those of text by their scheme. */
#include "decoder.h"

#include <string.h>

#define MOST_URL 2048u

void mime_add_link(struct mr_mime_decoder *d, uint32_t part, enum mr_mime_link_kind kind,
                   struct mr_mime_text url)
{
    uint32_t n = d->result.n_links;

    url = mime_trimmed(url.ptr, url.ptr + url.len);
    if (!url.len)
        return;
    if (n >= d->limits.links) {
        mime_raise(d, MIME_BIT(TOO_MANY_LINKS));
        return;
    }
    struct mr_mime_link *array =
        mime_grow(d, d->links, n, &d->links_room, sizeof *d->links, d->limits.links);
    if (!array)
        return;
    d->links = array;
    array[n] = (struct mr_mime_link){.part = part, .kind = (uint8_t)kind};
    if (url.len > MOST_URL)
        for (url.len = MOST_URL; url.len && (url.ptr[url.len] & 0xc0) == 0x80;)
            url.len--;
    array[n].url = mime_keep(d, url.ptr, url.len);
    d->result.n_links++;
}

static bool url_byte(uint8_t c)
{
    return c > ' ' && c != 127 && c != '<' && c != '>' && c != '"' && c != '`' && c != '{' &&
           c != '}' && c != '|' && c != '\\' && c != '^';
}

static bool letter(uint8_t c)
{
    c = mime_lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80;
}

/* Where the scheme in front of the :// at `colon` begins; NULL: it is none that counts. */
static const uint8_t *scheme(const uint8_t *in, const uint8_t *colon)
{
    static const char *const schemes[] = {"https", "http", "ftp"};

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t n = strlen(schemes[i]);
        if ((size_t)(colon - in) >= n && mime_is(mime_text(colon - n, n), schemes[i]))
            return colon - n;
    }
    return NULL;
}

/* The address from p on, without what ends the sentence it stands in. */
static const uint8_t *url_end(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *begin = p;
    bool open = false;

    for (; p < end && url_byte(*p); p++)
        open |= *p == '(';
    while (p > begin && (memchr(".,;:!?'*", p[-1], 8) || (!open && p[-1] == ')') || p[-1] == ']'))
        p--;
    return p;
}

/* The next www. at p or behind. Points are rarer in text than what a search for four bytes looks
 * at. */
static const uint8_t *find_www(const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 4) {
        const uint8_t *point = memchr(p + 3, '.', (size_t)(end - p - 3));
        if (!point)
            break;
        if (!memcmp(point - 3, "www", 3))
            return point - 3;
        p = point - 2;
    }
    return NULL;
}

void mime_text_links(struct mr_mime_decoder *d, uint32_t part, const uint8_t *in, size_t n)
{
    const uint8_t *end = in + n, *at = in; /* what stands before `at` is taken */

    d->result.work += n;
    for (const uint8_t *p = in; p < end;) {
        const uint8_t *colon = memchr(p, ':', (size_t)(end - p));
        /* www. without a scheme, up to there */
        for (const uint8_t *w = p, *stop = colon ? colon : end; (w = find_www(w, stop)) != NULL;) {
            if (w >= at && (w == in || (!letter(w[-1]) && w[-1] != '/' && w[-1] != '@'))) {
                const uint8_t *e = url_end(w, end);
                if (e - w > 6)
                    mime_add_link(d, part, MR_MIME_LINK_TEXT, mime_text(w, (size_t)(e - w)));
                at = e > w + 4 ? e : w + 4;
            }
            w += 4;
        }
        if (!colon)
            break;
        p = colon + 1;
        const uint8_t *begin = end - colon >= 4 && colon[1] == '/' && colon[2] == '/' && colon >= at
                                   ? scheme(at, colon)
                                   : NULL;
        if (!begin)
            continue;
        const uint8_t *e = url_end(begin, end);
        if (e > colon + 3)
            mime_add_link(d, part, MR_MIME_LINK_TEXT, mime_text(begin, (size_t)(e - begin)));
        at = e > p ? e : p;
        p = at;
    }
}
