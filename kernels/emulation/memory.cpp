/* SPDX-License-Identifier: Apache-2.0
 *
 * Pieces of memory: guard | front slack | bytes | back slack (alignment to 256) | guard.
 */
#include "kernels/emulation/memory.h"

#include "kernels/emulation/sanitizers.h"
#include "kernels/emulation/watch.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

#define PAGE_BYTES  65536u /* a multiple of every processor's */
#define ALIGN_BYTES 256u   /* as CUDA aligns */
#define POISON      0xA5

struct piece {
    struct piece *next;
    enum memory_kind kind;
    unsigned char *map;
    size_t map_bytes; /* guards included; 0: registered, not ours */
    unsigned char *at;
    size_t bytes;
};

static struct piece *pieces;

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

void *memory_alloc(size_t bytes, enum memory_kind kind)
{
    size_t room = round_up(bytes, ALIGN_BYTES), open = round_up(room, PAGE_BYTES);
    struct piece *p;
    void *map;

    if (bytes == 0 || bytes > SIZE_MAX / 4)
        return nullptr;
    p = static_cast<struct piece *>(calloc(1, sizeof(*p)));
    if (p == nullptr)
        return nullptr;
    p->map_bytes = open + 2 * PAGE_BYTES;
    map = mmap(nullptr, p->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        free(p);
        return nullptr;
    }
    p->map = static_cast<unsigned char *>(map);
    if (mprotect(p->map + PAGE_BYTES, open, PROT_READ | PROT_WRITE) != 0) {
        munmap(map, p->map_bytes);
        free(p);
        return nullptr;
    }
    p->kind = kind;
    p->bytes = bytes;
    p->at = p->map + PAGE_BYTES + open - room;
    memset(p->map + PAGE_BYTES, POISON, open);
    sanitizer_forbid(p->map + PAGE_BYTES, open - room);
    sanitizer_forbid(p->at + bytes, room - bytes);
    if (kind == MEMORY_DEVICE)
        mprotect(p->map + PAGE_BYTES, open, PROT_NONE);
    p->next = pieces;
    pieces = p;
    return p->at;
}

bool memory_register(void *at, size_t bytes)
{
    struct piece *p = static_cast<struct piece *>(calloc(1, sizeof(*p)));

    if (p == nullptr)
        return false;
    p->kind = MEMORY_REGISTERED;
    p->at = static_cast<unsigned char *>(at);
    p->bytes = bytes;
    p->next = pieces;
    pieces = p;
    return true;
}

static void release(struct piece *p)
{
    watch_forget(p->at, p->bytes);
    if (p->map_bytes != 0) {
        sanitizer_allow(p->map, p->map_bytes);
        munmap(p->map, p->map_bytes);
    }
    free(p);
}

bool memory_free(void *at, enum memory_kind kind)
{
    for (struct piece **link = &pieces; *link != nullptr; link = &(*link)->next) {
        struct piece *p = *link;
        if (p->at != at || p->kind != kind)
            continue;
        *link = p->next;
        release(p);
        return true;
    }
    return false;
}

void memory_free_all(void)
{
    while (pieces != nullptr) {
        struct piece *next = pieces->next;
        release(pieces);
        pieces = next;
    }
}

static bool inside(const void *at, size_t bytes, bool device)
{
    uintptr_t first = reinterpret_cast<uintptr_t>(at);

    for (const struct piece *p = pieces; p != nullptr; p = p->next) {
        uintptr_t begin = reinterpret_cast<uintptr_t>(p->at);
        if ((p->kind == MEMORY_DEVICE) == device && first >= begin && first - begin <= p->bytes &&
            bytes <= p->bytes - (first - begin))
            return true;
    }
    return false;
}

bool memory_is_device(const void *at, size_t bytes)
{
    return inside(at, bytes, true);
}

bool memory_is_pinned(const void *at, size_t bytes)
{
    return inside(at, bytes, false);
}

bool memory_touches_device(const void *at, size_t bytes)
{
    uintptr_t first = reinterpret_cast<uintptr_t>(at);

    for (const struct piece *p = pieces; p != nullptr; p = p->next) {
        uintptr_t begin = reinterpret_cast<uintptr_t>(p->map);
        if (p->kind == MEMORY_DEVICE && first < begin + p->map_bytes && first + bytes > begin)
            return true;
    }
    return false;
}

static void protect(int how)
{
    for (const struct piece *p = pieces; p != nullptr; p = p->next) {
        if (p->kind == MEMORY_DEVICE)
            mprotect(p->map + PAGE_BYTES, p->map_bytes - 2 * PAGE_BYTES, how);
    }
}

void memory_open(void)
{
    protect(PROT_READ | PROT_WRITE);
}

void memory_close(void)
{
    protect(PROT_NONE);
}

__attribute__((no_sanitize("address"))) static bool poisoned(const unsigned char *at, size_t bytes)
{
    const volatile unsigned char *p = at;

    for (size_t i = 0; i < bytes; i++) {
        if (p[i] != POISON)
            return false;
    }
    return true;
}

const void *memory_overwritten(void)
{
    for (const struct piece *p = pieces; p != nullptr; p = p->next) {
        size_t front, back;
        if (p->kind != MEMORY_DEVICE)
            continue;
        front = static_cast<size_t>(p->at - p->map) - PAGE_BYTES;
        front = front < ALIGN_BYTES ? front : ALIGN_BYTES;
        back = round_up(p->bytes, ALIGN_BYTES) - p->bytes;
        if (!poisoned(p->at - front, front) || !poisoned(p->at + p->bytes, back))
            return p->at;
    }
    return nullptr;
}
