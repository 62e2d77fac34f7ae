/* A mail in pieces: they are windows, and what is left of one, a line without end, is carried on to
 * the next. */
#include "decoder.h"

#include <string.h>

/* Reads what is in memory for now; returns what is left of it. */
static size_t window(struct mr_mime_decoder *d, const uint8_t *bytes, size_t n, bool last)
{
    struct mime_reading *r = &d->reading;

    r->window = r->at = r->passed = bytes;
    r->end = bytes + n;
    r->last = last;
    mime_lines(d);
    mime_pass(d, r->at, last);
    r->window_at += (uint64_t)(r->at - bytes);
    r->window = r->at;
    return (size_t)(r->end - r->at);
}

/* More of the line that is carried; returns how many bytes it took. */
static size_t carry(struct mr_mime_decoder *d, const uint8_t *bytes, size_t n)
{
    size_t room = sizeof d->carried - d->n_carried, some = n < room ? n : room;
    const uint8_t *lf = memchr(bytes, '\n', some);

    if (lf)
        some = (size_t)(lf - bytes) + 1;
    memcpy(d->carried + d->n_carried, bytes, some);
    d->n_carried += (uint32_t)some;
    if (lf || d->n_carried == sizeof d->carried) {
        window(d, d->carried, d->n_carried, false);
        d->n_carried = 0;
    }
    return some;
}

void mr_mime_feed(struct mr_mime_decoder *decoder, const void *bytes, size_t len)
{
    struct mr_mime_decoder *d = decoder;
    const uint8_t *p = bytes;

    while (len && d->n_carried) {
        size_t took = carry(d, p, len);
        p += took;
        len -= took;
    }
    size_t left = len ? window(d, p, len, false) : 0;
    if (left)
        memcpy(d->carried, p + len - left, left);
    d->n_carried += (uint32_t)left;
}

static void begin(struct mr_mime_decoder *d, unsigned content_hashes, unsigned body_hashes)
{
    d->n_carried = 0;
    d->pass = d->own_pass;
    mime_pass_open(d, content_hashes, body_hashes);
}

void mr_mime_begin(struct mr_mime_decoder *decoder, const struct mr_mime_memory *memory,
                   unsigned content_hashes, unsigned body_hashes)
{
    mime_begin_mail(decoder, memory);
    begin(decoder, content_hashes, body_hashes);
}

const struct mr_mime *mr_mime_end(struct mr_mime_decoder *decoder, const void *kept, size_t len)
{
    struct mr_mime_decoder *d = decoder;

    window(d, d->carried, d->n_carried, true);
    const struct mr_mime *result = mime_end_mail(d);
    d->result.mail = mime_text(kept, len).ptr;
    d->result.len = len;
    mime_find_bodies(d);
    return result;
}

struct mr_mime_decoder *mr_mime_begin_within(const struct mr_mime_memory *memory,
                                             const struct mr_mime_limits *limits,
                                             unsigned content_hashes, unsigned body_hashes)
{
    void *handle = NULL, *bytes = memory->get(memory->user, mime_decoder_bytes(), &handle);

    if (!bytes)
        return NULL;
    struct mr_mime_decoder *d = mime_decoder_in(bytes, limits);
    d->within = handle;
    mime_begin_mail(d, memory);
    begin(d, content_hashes, body_hashes);
    return d;
}

void mr_mime_lend(struct mr_mime_decoder *decoder, const struct mr_mime_memory *memory,
                  const struct mr_mime_decoder *lender)
{
    decoder->memory = *memory;
    if (lender)
        decoder->converters = lender->converters;
}

void mr_mime_end_within(struct mr_mime_decoder *decoder, void (*keep)(void *user, void *handle),
                        void *user)
{
    struct mr_mime_memory memory = decoder->memory;
    void *within = decoder->within;

    if (keep)
        mime_give(decoder, keep, user);
    else
        mime_forget(decoder);
    if (keep)
        keep(user, within);
    else
        memory.put(memory.user, within);
}
