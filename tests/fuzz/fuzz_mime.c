/* The MIME decoder: any bytes. Besides what the sanitizers see: what it says lies within the mail,
 * is UTF-8, is the same again from a used decoder and with little memory is never more than with
 * much; work is linear; a copy says the same, and so does the mail in pieces; all memory is given
 * back.
 *
 * Input: a byte of flags, then the mail. */
// layers: mime
#include "mime_same.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t taken, cap;

static void *get(void *user, size_t bytes, void **handle)
{
    (void)user;
    if (bytes > cap - taken)
        return NULL;
    uint64_t *block = malloc(16 + bytes);
    if (!block)
        abort();
    block[0] = bytes;
    taken += bytes;
    *handle = block;
    return block + 2;
}

static void put(void *user, void *handle)
{
    (void)user;
    taken -= *(uint64_t *)handle;
    free(handle);
}

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #what);                         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_utf8(struct mr_mime_text text)
{
    for (uint32_t i = 0; i < text.len;) {
        uint8_t c = text.ptr[i];
        uint32_t more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3, code = c & (0x7f >> more);
        CHECK(c < 0x80 || (c >= 0xc2 && c <= 0xf4));
        CHECK(more < text.len - i);
        for (uint32_t k = 1; k <= more; k++) {
            CHECK((text.ptr[i + k] & 0xc0) == 0x80);
            code = code << 6 | (text.ptr[i + k] & 0x3f);
        }
        if (more == 2)
            CHECK(code >= 0x800 && (code < 0xd800 || code > 0xdfff));
        i += more + 1;
    }
}

static uint64_t sum; /* of what pieces held */

static void piece(void *user, const uint8_t *bytes, size_t len)
{
    (void)user;
    for (size_t i = 0; i < len; i++)
        sum = sum * 31 + bytes[i];
}

static uint64_t check(const struct mr_mime *m, const uint8_t *mail, size_t len)
{
    sum = m->anomalies + m->n_parts + m->n_headers + m->n_hidden + m->n_links;
    CHECK(m->n_parts >= 1);
    CHECK(m->work <= 200 * (uint64_t)len + 20000);
    check_utf8(m->text);
    piece(NULL, m->text.ptr, m->text.len);
    for (uint32_t i = 0; i < m->n_headers; i++)
        check_utf8(m->headers[i].value);
    for (uint32_t i = 0; i < m->n_parts; i++) {
        const struct mr_mime_part *p = &m->parts[i];
        CHECK(i ? p->parent < i : !p->parent);
        CHECK(p->first_header + p->n_headers <= m->n_headers);
        CHECK(!p->body.len || (p->body.ptr >= mail && p->body.ptr + p->body.len <= mail + len));
        CHECK(p->text_at + p->text.len <= m->text.len);
        check_utf8(p->text);
        check_utf8(p->filename);
        CHECK(mr_mime_content(p, piece, NULL, &sum) <= p->body.len);
    }
    for (uint32_t i = 0; i < m->n_links; i++)
        check_utf8(m->links[i].url);
    for (uint32_t i = 0; i < m->n_hidden; i++)
        check_utf8(m->hidden[i].text);
    return sum;
}

static void check_copy(struct mr_mime_decoder *decoder, const struct mr_mime_memory *memory,
                       const uint8_t *mail, size_t len)
{
    const struct mr_mime *m = mr_mime_decode(decoder, memory, mail, len);
    void *room = malloc(mr_mime_copy_bytes(m));

    CHECK(room);
    const struct mr_mime *copy = mr_mime_copy(m, room);
    CHECK(mime_same(copy, m));
    mr_mime_release(decoder);
    CHECK(mime_same(copy, mr_mime_decode(decoder, memory, mail, len)));
    free(room);
}

/* Pieces are gone after each call: sanitizers see who looks again. */
static void check_pieces(struct mr_mime_decoder *one, struct mr_mime_decoder *other,
                         const struct mr_mime_memory *memory, const uint8_t *mail, size_t len,
                         uint32_t seed)
{
    const struct mr_mime *whole = mr_mime_decode(one, memory, mail, len);

    mr_mime_begin(other, memory, MR_MIME_SHA256, MR_MIME_SHA256);
    for (size_t at = 0, n; at < len; at += n) {
        seed = seed * 1664525u + 1013904223u;
        n = 1 + (seed >> 8) % (seed >> 30 ? 5 : 2000);
        n = n < len - at ? n : len - at;
        void *piece_of_it = malloc(n);
        CHECK(piece_of_it);
        memcpy(piece_of_it, mail + at, n);
        mr_mime_feed(other, piece_of_it, n);
        free(piece_of_it);
    }
    const struct mr_mime *pieces = mr_mime_end(other, mail, len);
    CHECK(mime_same_but_work(whole, pieces));
    CHECK(mime_same_contents(whole, pieces));
    void *room = malloc(mr_mime_copy_bytes(pieces));
    CHECK(room);
    CHECK(mime_same_contents(whole, mr_mime_copy(pieces, room)));
    free(room);
    mr_mime_release(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mr_mime_memory memory = {NULL, get, put};
    static struct mr_mime_decoder *used, *small, *other;
    struct mr_mime_limits limits = {5, 4, 3, 3, 3, 64, 0};

    if (!size || size > 1u << 16)
        return 0;
    if (!used) {
        used = mr_mime_open(NULL);
        small = mr_mime_open(&limits);
        other = mr_mime_open(NULL);
    }
    cap = SIZE_MAX;
    uint64_t first = check(mr_mime_decode(used, &memory, data + 1, size - 1), data + 1, size - 1);
    uint64_t again = check(mr_mime_decode(used, &memory, data + 1, size - 1), data + 1, size - 1);
    CHECK(first == again);
    check_copy(used, &memory, data + 1, size - 1);
    check_pieces(used, other, &memory, data + 1, size - 1, data[0]);
    check(mr_mime_decode(small, &memory, data + 1, size - 1), data + 1, size - 1);
    mr_mime_release(small);
    cap = taken + 1000 * (size_t)data[0];
    check(mr_mime_decode(used, &memory, data + 1, size - 1), data + 1, size - 1);
    mr_mime_release(used);
    CHECK(!taken);
    return 0;
}
