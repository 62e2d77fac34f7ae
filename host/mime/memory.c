/* A decoder's memory: what it was made with, and bounded blocks that one mail adds. */
#include "decoder.h"

#include <stdlib.h>
#include <string.h>

#define OWN_BYTES   (96u << 10)
#define TEXT_BYTES  (64u << 10)
#define SPARE_BYTES (48u << 10)
#define SMALL_BYTES (8u << 10)
#define BLOCK_BYTES (64u << 10)
#define HEADERS     128u
#define PARTS       32u

static void *heap_get(void *user, size_t bytes, void **handle)
{
    (void)user;
    *handle = malloc(bytes);
    return *handle;
}

static void heap_put(void *user, void *handle)
{
    (void)user;
    free(handle);
}

static const struct mr_mime_memory heap = {NULL, heap_get, heap_put};

/* Blocks are counted by their size, so that what is given back can be taken again. Not counted is
 * what stands for bytes of a mail that is in memory as a whole: how it is cut must not decide what
 * there is memory for. */
static void *take(struct mr_mime_decoder *d, size_t bytes, bool counted, void **handle)
{
    void *got = NULL;

    if (!counted || bytes <= d->limits.memory_bytes - d->taken)
        got = d->memory.get(d->memory.user, bytes, handle);
    if (got)
        d->taken += counted ? bytes : 0;
    else
        mime_raise(d, MIME_BIT(NO_MEMORY));
    return got;
}

void *mime_alloc(struct mr_mime_decoder *d, size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes > d->left) {
        size_t want = bytes + sizeof(struct mime_block) + 16;
        void *handle;
        if (want < BLOCK_BYTES)
            want = BLOCK_BYTES;
        struct mime_block *block = take(d, want, true, &handle);
        if (!block)
            return NULL;
        *block = (struct mime_block){d->blocks, handle, want};
        d->blocks = block;
        d->at = (uint8_t *)block + 32;
        d->left = want - 32;
    }
    void *result = d->at;
    d->at += bytes;
    d->left -= bytes;
    return result;
}

static void put_space(struct mr_mime_decoder *d, struct mime_space *space)
{
    if (space->data != space->own) {
        d->memory.put(d->memory.user, space->handle);
        d->taken -= space->apart ? 0 : space->capacity;
    }
    space->data = space->own;
    space->capacity = space->own_bytes;
}

/* `most`: it never needs more. */
static bool room(struct mr_mime_decoder *d, struct mime_space *space, size_t more, size_t most)
{
    size_t want = space->len + more, len = space->len;
    void *handle;

    if (want <= space->capacity)
        return true;
    if (want < 2 * space->capacity)
        want = 2 * space->capacity < most ? 2 * space->capacity : most;
    uint8_t *larger = take(d, want, !space->apart, &handle);
    if (!larger)
        return false;
    if (len)
        memcpy(larger, space->data, len);
    put_space(d, space);
    space->data = larger;
    space->capacity = want;
    space->handle = handle;
    return true;
}

bool mime_room(struct mr_mime_decoder *d, struct mime_space *space, size_t more)
{
    return room(d, space, more, SIZE_MAX);
}

void mime_append(struct mr_mime_decoder *d, struct mime_space *space, const uint8_t *bytes,
                 size_t len, size_t limit)
{
    size_t most = limit - space->len;

    len = len < most ? len : most;
    if (!len || !room(d, space, len, limit))
        return;
    memcpy(space->data + space->len, bytes, len);
    space->len += len;
}

void *mime_grow(struct mr_mime_decoder *d, void *array, uint32_t n, uint32_t *room, size_t bytes,
                uint32_t limit)
{
    uint32_t more = 2 * *room < limit ? 2 * *room : limit;

    if (n < *room)
        return array;
    void *larger = more > n ? mime_alloc(d, more * bytes) : NULL;
    if (!larger)
        return NULL;
    memcpy(larger, array, n * bytes);
    *room = more;
    return larger;
}

struct mr_mime_text mime_keep(struct mr_mime_decoder *d, const void *bytes, size_t len)
{
    void *copy = len ? mime_alloc(d, len) : NULL;

    if (!copy)
        return mime_text(NULL, 0);
    memcpy(copy, bytes, len);
    return mime_text(copy, len);
}

void mime_forget(struct mr_mime_decoder *d)
{
    while (d->blocks) {
        struct mime_block *block = d->blocks;
        d->blocks = block->next;
        d->taken -= block->bytes;
        d->memory.put(d->memory.user, block->handle);
    }
    put_space(d, &d->coded);
    put_space(d, &d->utf8);
    put_space(d, &d->text);
    put_space(d, &d->hidden);
    put_space(d, &d->field);
    put_space(d, &d->body);
    d->coded.len = d->utf8.len = d->text.len = d->hidden.len = 0;
    d->field.len = d->body.len = 0;
    d->at = d->own;
    d->left = d->own_bytes;
    d->headers_room = HEADERS;
    d->parts_room = PARTS;
    d->links_room = d->hides_room = PARTS;
    d->headers = mime_alloc(d, HEADERS * sizeof *d->headers);
    d->parts = mime_alloc(d, PARTS * sizeof *d->parts);
    d->links = mime_alloc(d, PARTS * sizeof *d->links);
    d->hides = mime_alloc(d, PARTS * sizeof *d->hides);
}

static uint8_t *own(struct mime_space *space, uint8_t *at, size_t bytes)
{
    space->own = space->data = at;
    space->own_bytes = space->capacity = bytes;
    return at + bytes;
}

static uint32_t limit_or(uint32_t limit, uint32_t otherwise)
{
    return limit ? limit : otherwise;
}

static void keep_space(struct mr_mime_decoder *d, struct mime_space *space,
                       void (*keep)(void *user, void *handle), void *user)
{
    if (space->data != space->own)
        keep(user, space->handle);
    (void)d;
}

void mime_give(struct mr_mime_decoder *d, void (*keep)(void *user, void *handle), void *user)
{
    struct mime_block *next;

    for (struct mime_block *block = d->blocks; block; block = next) {
        next = block->next;
        keep(user, block->handle);
    }
    keep_space(d, &d->text, keep, user);
    keep_space(d, &d->hidden, keep, user);
    put_space(d, &d->coded);
    put_space(d, &d->utf8);
    put_space(d, &d->field);
    put_space(d, &d->body);
}

#define DECODER_BYTES ((sizeof(struct mr_mime_decoder) + 15) & ~(size_t)15)
#define OWN_ALL       (OWN_BYTES + TEXT_BYTES + 2 * SPARE_BYTES + SMALL_BYTES)

size_t mime_decoder_bytes(void)
{
    return DECODER_BYTES + OWN_ALL + mime_pass_bytes();
}

struct mr_mime_decoder *mime_decoder_in(void *memory, const struct mr_mime_limits *limits)
{
    static const struct mr_mime_limits none = {0};
    struct mr_mime_decoder *d = memory;
    uint8_t *at = (uint8_t *)memory + DECODER_BYTES;

    if (!limits)
        limits = &none;
    memset(d, 0, sizeof *d);
    for (unsigned i = 0; i < MIME_CONVERTERS; i++)
        d->converters.iconv[i] = (void *)-1;
    d->memory = heap;
    d->limits = (struct mr_mime_limits){
        .headers = limit_or(limits->headers, 2000),
        .parts = limit_or(limits->parts, 1000),
        .depth = limit_or(limits->depth, 50),
        .parameters = limit_or(limits->parameters, 64),
        .links = limit_or(limits->links, 1000),
        .text_bytes = limit_or(limits->text_bytes, 16u << 20),
        .memory_bytes = limit_or(limits->memory_bytes, 64u << 20),
    };
    if (d->limits.depth > MIME_MAX_DEPTH)
        d->limits.depth = MIME_MAX_DEPTH;
    if (d->limits.memory_bytes < OWN_ALL)
        d->limits.memory_bytes = OWN_ALL;
    d->taken = OWN_ALL;
    d->own = at;
    d->own_bytes = OWN_BYTES;
    at = own(&d->text, at + OWN_BYTES, TEXT_BYTES);
    at = own(&d->coded, at, SPARE_BYTES);
    at = own(&d->utf8, at, SPARE_BYTES);
    at = own(&d->hidden, at, SMALL_BYTES);
    d->field.apart = d->body.apart = true;
    d->own_pass = (struct mime_pass *)(void *)at;
    mime_forget(d);
    return d;
}

struct mr_mime_decoder *mr_mime_open(const struct mr_mime_limits *limits)
{
    void *memory = malloc(mime_decoder_bytes());

    if (!memory)
        return NULL;
    struct mr_mime_decoder *d = mime_decoder_in(memory, limits);
    mime_converters_open(&d->converters);
    return d;
}

void mr_mime_release(struct mr_mime_decoder *decoder)
{
    mime_forget(decoder);
    decoder->memory = heap;
    decoder->pass = NULL;
    decoder->result = (struct mr_mime){.mail = (const uint8_t *)""};
}

void mr_mime_close(struct mr_mime_decoder *decoder)
{
    if (!decoder)
        return;
    mime_forget(decoder);
    mime_converters_close(&decoder->converters);
    free(decoder);
}
