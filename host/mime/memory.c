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

/* Blocks are counted by their size, so that what is given back can be taken again. */
static void *take(struct mr_mime_decoder *d, size_t bytes, void **handle)
{
    void *got = NULL;

    if (bytes <= d->limits.memory_bytes - d->taken)
        got = d->memory.get(d->memory.user, bytes, handle);
    if (got)
        d->taken += bytes;
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
        struct mime_block *block = take(d, want, &handle);
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
        d->taken -= space->capacity;
    }
    space->data = space->own;
    space->capacity = space->own_bytes;
}

bool mime_room(struct mr_mime_decoder *d, struct mime_space *space, size_t more)
{
    size_t want = space->len + more, len = space->len;
    void *handle;

    if (want <= space->capacity)
        return true;
    if (want < 2 * space->capacity)
        want = 2 * space->capacity;
    uint8_t *larger = take(d, want, &handle);
    if (!larger)
        return false;
    memcpy(larger, space->data, len);
    put_space(d, space);
    space->data = larger;
    space->capacity = want;
    space->handle = handle;
    return true;
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
    d->coded.len = d->utf8.len = d->text.len = d->hidden.len = 0;
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

struct mr_mime_decoder *mr_mime_open(const struct mr_mime_limits *limits)
{
    static const struct mr_mime_limits none = {0};
    size_t bytes = OWN_BYTES + TEXT_BYTES + 2 * SPARE_BYTES + SMALL_BYTES;
    struct mr_mime_decoder *d = calloc(1, sizeof *d);
    uint8_t *memory = malloc(bytes);

    if (!limits)
        limits = &none;
    if (!d || !memory) {
        free(memory);
        free(d);
        return NULL;
    }
    mime_converters_open(&d->converters);
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
    if (d->limits.memory_bytes < bytes)
        d->limits.memory_bytes = (uint32_t)bytes;
    d->taken = bytes;
    d->own = memory;
    d->own_bytes = OWN_BYTES;
    memory = own(&d->text, memory + OWN_BYTES, TEXT_BYTES);
    memory = own(&d->coded, memory, SPARE_BYTES);
    memory = own(&d->utf8, memory, SPARE_BYTES);
    own(&d->hidden, memory, SMALL_BYTES);
    mime_forget(d);
    return d;
}

void mr_mime_release(struct mr_mime_decoder *decoder)
{
    mime_forget(decoder);
    decoder->memory = heap;
    decoder->result = (struct mr_mime){.mail = (const uint8_t *)""};
}

void mr_mime_close(struct mr_mime_decoder *decoder)
{
    if (!decoder)
        return;
    mime_forget(decoder);
    mime_converters_close(&decoder->converters);
    free(decoder->own);
    free(decoder);
}
