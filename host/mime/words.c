/* Encoded words (RFC 2047), wherever they stand: also where they may not, since mailers do not
 * care. */
#include "decoder.h"

#include <string.h>

#define MOST_WORD 1024 /* bytes of one, with its end */

struct word {
    struct mr_mime_text charset, bytes;
    bool base64;
    const uint8_t *end;
};

/* =?charset?B?bytes?= at p. Blanks in the bytes are let through, as mailers do. *ends: the first ?=
 * that was found behind an earlier word, so that nothing is looked through twice; NULL at first. */
static bool word_at(struct mr_mime_decoder *d, const uint8_t *p, const uint8_t *end,
                    const uint8_t **ends, struct word *word)
{
    const uint8_t *charset = p + 2, *q = charset;

    while (q < end && q - charset < 64 && *q > ' ' && *q != '?')
        q++;
    if (q == charset || end - q < 4 || *q != '?' || q[2] != '?')
        return false;
    uint8_t how = mime_lower(q[1]);
    if (how != 'b' && how != 'q')
        return false;
    const uint8_t *star = memchr(charset, '*', (size_t)(q - charset)); /* RFC 2231, 5: language */
    word->charset = mime_text(charset, (size_t)((star ? star : q) - charset));
    word->base64 = how == 'b';
    const uint8_t *bytes = q + 3;
    if (!*ends || *ends < bytes) {
        *ends = memmem(bytes, (size_t)(end - bytes), "?=", 2);
        *ends = *ends ? *ends : end;
        d->result.work += (size_t)(*ends - bytes);
    }
    if (*ends == end || *ends - bytes > MOST_WORD - 2)
        return false;
    word->bytes = mime_text(bytes, (size_t)(*ends - bytes));
    word->end = *ends + 2;
    return true;
}

/* Adds to the words that one conversion shall take: a character may be cut between two. */
static void gather(struct mr_mime_decoder *d, const struct word *word)
{
    struct mime_space *to = &d->coded;
    bool odd = false;

    if (!mime_room(d, to, word->bytes.len + 8))
        return;
    uint8_t *out = to->data + to->len;
    if (word->base64) {
        struct mime_base64 state = {0};
        size_t n = mime_base64_decode(&state, word->bytes.ptr, word->bytes.len, out);
        to->len += n + mime_base64_end(&state, out + n);
        odd = state.odd;
    } else {
        to->len += mime_quoted_decode(word->bytes.ptr, word->bytes.len, out, true, &odd, NULL);
    }
    if (odd)
        mime_raise(d, MIME_BIT(INVALID_WORD));
}

/* Appends to a value under construction. */
struct value {
    uint8_t *data;
    size_t len, room;
};

static void append(struct value *value, const uint8_t *bytes, size_t len)
{
    if (len > value->room - value->len)
        len = value->room - value->len;
    memcpy(value->data + value->len, bytes, len);
    value->len += len;
}

static void flush(struct mr_mime_decoder *d, struct value *value, struct mr_mime_text charset)
{
    struct mr_mime_text text = mime_to_utf8(d, charset, d->coded.data, d->coded.len);

    append(value, text.ptr, text.len);
    d->coded.len = 0;
}

static void raw(struct mr_mime_decoder *d, struct value *value, const uint8_t *p,
                const uint8_t *end)
{
    struct mr_mime_text text = mime_to_utf8(d, mime_text(NULL, 0), p, (size_t)(end - p));
    append(value, text.ptr, text.len);
}

/* Every byte becomes at most three; so nothing is ever too long for the room. */
void mime_words(struct mr_mime_decoder *d, struct mr_mime_text from)
{
    struct value value = {.room = 3 * (size_t)from.len + 4};
    const uint8_t *p = from.ptr, *end = p + from.len, *begin = p;
    struct word word;
    struct mr_mime_text charset = mime_text(NULL, 0);
    const uint8_t *ends = NULL;
    bool open = false; /* words in d->coded wait */

    value.data = mime_alloc(d, value.room);
    d->coded.len = 0;
    d->result.work += from.len;
    while (value.data && p < end) {
        const uint8_t *q = memmem(p, (size_t)(end - p), "=?", 2);
        if (!q)
            break;
        if (!word_at(d, q, end, &ends, &word)) {
            mime_raise(d, MIME_BIT(INVALID_WORD));
            p = q + 2;
            continue;
        }
        const uint8_t *r = begin;
        while (r < q && mime_blank(*r))
            r++;
        bool adjacent = open && r == q; /* blanks between words are none */
        if (open && (!adjacent || !mime_same(charset, word.charset)))
            flush(d, &value, charset);
        if (!adjacent)
            raw(d, &value, begin, q);
        charset = word.charset;
        gather(d, &word);
        open = true;
        begin = p = word.end;
    }
    if (open)
        flush(d, &value, charset);
    if (value.data)
        raw(d, &value, begin, end);
    d->utf8.len = 0;
    if (value.data && mime_room(d, &d->utf8, value.len)) {
        memcpy(d->utf8.data, value.data, value.len);
        d->utf8.len = value.len;
    }
}
