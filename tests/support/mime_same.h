/* Do two results of the MIME decoder say the same? All of it. */
#ifndef MR_TEST_MIME_SAME_H
#define MR_TEST_MIME_SAME_H

#include "mime/mime.h"

#include <string.h>

static inline bool mime_same_text(struct mr_mime_text x, struct mr_mime_text y)
{
    return x.len == y.len && !memcmp(x.ptr, y.ptr, x.len);
}

static inline bool mime_same_part(const struct mr_mime_part *x, const struct mr_mime_part *y)
{
    return x->parent == y->parent && x->first_header == y->first_header &&
           x->n_headers == y->n_headers && x->kind == y->kind && x->encoding == y->encoding &&
           x->depth == y->depth && x->is_text == y->is_text && x->is_html == y->is_html &&
           x->is_file == y->is_file && x->text_at == y->text_at &&
           mime_same_text(x->type, y->type) && mime_same_text(x->charset, y->charset) &&
           mime_same_text(x->disposition, y->disposition) &&
           mime_same_text(x->filename, y->filename) &&
           mime_same_text(x->content_id, y->content_id) && mime_same_text(x->body, y->body) &&
           x->body_at == y->body_at && x->body_bytes == y->body_bytes &&
           mime_same_text(x->text, y->text);
}

static inline bool mime_same_but_work(const struct mr_mime *x, const struct mr_mime *y)
{
    bool same = x->len == y->len && x->bytes == y->bytes &&
                x->header_complete == y->header_complete && x->n_headers == y->n_headers &&
                x->n_parts == y->n_parts && x->n_links == y->n_links &&
                x->n_hidden == y->n_hidden && !memcmp(&x->html, &y->html, sizeof x->html) &&
                mime_same_text(x->text, y->text) && x->anomalies == y->anomalies;

    for (uint32_t i = 0; same && i < x->n_headers; i++)
        same = mime_same_text(x->headers[i].name, y->headers[i].name) &&
               mime_same_text(x->headers[i].raw, y->headers[i].raw) &&
               mime_same_text(x->headers[i].value, y->headers[i].value);
    for (uint32_t i = 0; same && i < x->n_parts; i++)
        same = mime_same_part(&x->parts[i], &y->parts[i]);
    for (uint32_t i = 0; same && i < x->n_links; i++)
        same = x->links[i].part == y->links[i].part && x->links[i].kind == y->links[i].kind &&
               mime_same_text(x->links[i].url, y->links[i].url);
    for (uint32_t i = 0; same && i < x->n_hidden; i++)
        same = x->hidden[i].part == y->hidden[i].part && x->hidden[i].at == y->hidden[i].at &&
               mime_same_text(x->hidden[i].text, y->hidden[i].text);
    return same;
}

static inline bool mime_same(const struct mr_mime *x, const struct mr_mime *y)
{
    return mime_same_but_work(x, y) && x->work == y->work;
}

/* Does `pieces`, read with SHA-256, say of its parts' contents what `whole` has of them? */
static inline bool mime_same_contents(const struct mr_mime *whole, const struct mr_mime *pieces)
{
    for (uint32_t i = 0; i < whole->n_parts; i++) {
        struct mr_mime_digest want;
        const struct mr_mime_digest *have = pieces->parts[i].digest;
        mr_mime_part_digest(&whole->parts[i], MR_MIME_SHA256, &want);
        if (!have && whole->parts[i].kind == MR_MIME_LEAF)
            return false;
        if (have && (have->size != want.size || have->anomalies != want.anomalies ||
                     memcmp(have->sha256, want.sha256, sizeof want.sha256) != 0))
            return false;
    }
    return true;
}

#endif
