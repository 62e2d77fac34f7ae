/* A result that outlives its decoder: one block of memory, into which all points that does not
 * point into the mail. */
#include "mime.h"

#include <string.h>

/* Where the texts of a result lie that is being copied. */
struct copying {
    const struct mr_mime *from;
    const uint8_t *text, *hidden; /* the copies */
    uint8_t *at;                  /* room for other texts */
};

static size_t rounded(size_t bytes)
{
    return (bytes + 15) & ~(size_t)15;
}

static bool within(struct mr_mime_text text, const uint8_t *begin, size_t len)
{
    size_t at = (size_t)((uintptr_t)text.ptr - (uintptr_t)begin);
    return at <= len && text.len <= len - at;
}

static size_t hidden_bytes(const struct mr_mime *m)
{
    const struct mr_mime_hidden *last = m->n_hidden ? &m->hidden[m->n_hidden - 1] : NULL;
    return last ? last->at + last->text.len : 0;
}

/* What of a text must be copied by itself. */
static size_t spare(const struct mr_mime *m, struct mr_mime_text text)
{
    return within(text, m->mail, m->len) || within(text, m->text.ptr, m->text.len) ? 0 : text.len;
}

size_t mr_mime_copy_bytes(const struct mr_mime *m)
{
    size_t bytes = rounded(sizeof *m) + rounded(m->n_headers * sizeof *m->headers) +
                   rounded(m->n_parts * sizeof *m->parts) + rounded(m->n_links * sizeof *m->links) +
                   rounded(m->n_hidden * sizeof *m->hidden) + m->text.len + hidden_bytes(m);

    for (uint32_t i = 0; i < m->n_headers; i++)
        bytes += spare(m, m->headers[i].name) + spare(m, m->headers[i].raw) +
                 spare(m, m->headers[i].value);
    for (uint32_t i = 0; i < m->n_parts; i++) {
        const struct mr_mime_part *p = &m->parts[i];
        bytes += spare(m, p->type) + spare(m, p->charset) + spare(m, p->disposition) +
                 spare(m, p->filename) + spare(m, p->content_id) + spare(m, p->body) +
                 spare(m, p->text);
        bytes += p->digest ? sizeof *p->digest : 0;
    }
    bytes += m->body ? sizeof *m->body : 0;
    for (uint32_t i = 0; i < m->n_links; i++)
        bytes += spare(m, m->links[i].url);
    return bytes;
}

static const uint8_t *put(struct copying *c, const void *bytes, size_t len)
{
    const uint8_t *to = c->at;

    if (len)
        memcpy(c->at, bytes, len);
    c->at += len;
    return to;
}

static void *put_array(struct copying *c, const void *array, size_t bytes)
{
    void *to = c->at;

    if (bytes)
        memcpy(to, array, bytes);
    c->at += rounded(bytes);
    return to;
}

/* In front of the texts, which are not aligned. */
static const struct mr_mime_digest *put_digest(struct copying *c,
                                               const struct mr_mime_digest *digest)
{
    return digest ? (const void *)put(c, digest, sizeof *digest) : NULL;
}

static void move(struct copying *c, struct mr_mime_text *text)
{
    const struct mr_mime *m = c->from;

    if (within(*text, m->mail, m->len))
        return;
    if (within(*text, m->text.ptr, m->text.len))
        text->ptr = c->text + (text->ptr - m->text.ptr);
    else
        text->ptr = text->len ? put(c, text->ptr, text->len) : (const uint8_t *)"";
}

const struct mr_mime *mr_mime_copy(const struct mr_mime *m, void *memory)
{
    struct copying c = {.from = m, .at = memory};
    struct mr_mime *copy = put_array(&c, m, sizeof *m);
    struct mr_mime_header *headers = put_array(&c, m->headers, m->n_headers * sizeof *m->headers);
    struct mr_mime_part *parts = put_array(&c, m->parts, m->n_parts * sizeof *m->parts);
    struct mr_mime_link *links = put_array(&c, m->links, m->n_links * sizeof *m->links);
    struct mr_mime_hidden *hidden = put_array(&c, m->hidden, m->n_hidden * sizeof *m->hidden);

    copy->body = put_digest(&c, m->body);
    for (uint32_t i = 0; i < m->n_parts; i++)
        parts[i].digest = put_digest(&c, m->parts[i].digest);
    c.text = put(&c, m->text.ptr, m->text.len);
    c.hidden = put(&c, m->n_hidden ? m->hidden[0].text.ptr : NULL, hidden_bytes(m));
    for (uint32_t i = 0; i < m->n_headers; i++) {
        move(&c, &headers[i].name);
        move(&c, &headers[i].raw);
        move(&c, &headers[i].value);
    }
    for (uint32_t i = 0; i < m->n_parts; i++) {
        move(&c, &parts[i].type);
        move(&c, &parts[i].charset);
        move(&c, &parts[i].disposition);
        move(&c, &parts[i].filename);
        move(&c, &parts[i].content_id);
        move(&c, &parts[i].body);
        move(&c, &parts[i].text);
    }
    for (uint32_t i = 0; i < m->n_links; i++)
        move(&c, &links[i].url);
    for (uint32_t i = 0; i < m->n_hidden; i++) /* they stand behind one another */
        hidden[i].text.ptr = c.hidden + hidden[i].at;
    copy->headers = headers;
    copy->parts = parts;
    copy->links = links;
    copy->hidden = hidden;
    copy->text.ptr = c.text;
    return copy;
}
