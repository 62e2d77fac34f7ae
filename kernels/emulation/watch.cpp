/* SPDX-License-Identifier: Apache-2.0
 *
 * A shadow of the memory that kernels touch: for each word its last write and two reads, each with
 * the lane and the lane's time. Time is counted in barriers of the block and, between lanes of a
 * warp, by what each knows of the others' __syncwarp.
 */
#include "kernels/emulation/watch.h"

#include "kernels/emulation/collective.h"
#include "kernels/emulation/control.h"

#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>

#ifndef MR_WATCH
#define MR_WATCH 0
#endif

#define CHUNK_LOG2  20 /* of memory, for one piece of the shadow */
#define CHUNK_WORDS ((size_t{1} << CHUNK_LOG2) / 4)
#define CHUNKS_LOG2 12
#define CHUNKS      (1u << CHUNKS_LOG2)
#define WORD_BYTES  4u

enum touch { TOUCH_READ, TOUCH_WRITE, TOUCH_ATOMIC };

/* One access. Stamps are drawn when a grid begins, when a block does, and at each barrier, so that
 * one number says whether it was in this grid, in this block, and since the last barrier. */
struct record {
    uint32_t stamp; /* 0: none */
    uint32_t time;  /* of the lane: its calls of __syncwarp and one */
    int32_t code;   /* where the program is, from CODE_ORIGIN */
    uint16_t lane;
    uint8_t bytes; /* of the word: bits */
    enum touch how : 8;
};
#define CODE_ORIGIN (reinterpret_cast<uintptr_t>(&mr_emulation_watches))

struct word {
    struct record write, reads[2];
};

struct chunk {
    uintptr_t number;
    struct word *words; /* NULL: free */
};

static struct chunk chunks[CHUNKS];
static uint32_t n_chunks;
static struct chunk *last_chunk = &chunks[0];

static struct {
    const unsigned char *stacks, *dynamic;
    size_t stacks_bytes, dynamic_bytes;
    uint32_t stamp, block_stamp, grid_stamp; /* the last one, those of the beginnings */
    struct record own;                       /* of the running lane, but for what it does */
    /* [lane][other lane of its warp]: up to which of its times the other is known to be through */
    uint32_t known[EMU_THREADS_MAX][32];
} now;

static uint32_t one_in = 1; /* grid of so many */
static uint64_t random_state;

/* Other threads may run host code of the same files meanwhile. */
static thread_local bool is_running;

extern "C" {
extern unsigned char __start_mr_shared[] __attribute__((weak));
extern unsigned char __stop_mr_shared[] __attribute__((weak));
}

extern "C" bool mr_emulation_watches(void)
{
    return MR_WATCH != 0;
}

void watch_one_in(uint32_t n)
{
    one_in = n;
}

/* ---- the shadow ---- */

static struct chunk *find_chunk(uintptr_t number)
{
    uint32_t at = static_cast<uint32_t>(number * 0x9e3779b97f4a7c15u >> (64 - CHUNKS_LOG2));

    while (chunks[at].words != nullptr && chunks[at].number != number)
        at = (at + 1) % CHUNKS;
    return &chunks[at];
}

static void drop_chunks(void)
{
    for (struct chunk &chunk : chunks) {
        if (chunk.words != nullptr)
            munmap(chunk.words, CHUNK_WORDS * sizeof(struct word));
        chunk = {};
    }
    n_chunks = 0;
}

/* There is none yet, or another one was used last; NULL: there is no memory for it. */
__attribute__((noinline)) static struct chunk *turn_to(uintptr_t number)
{
    struct chunk *chunk;

    if (n_chunks > CHUNKS / 2)
        drop_chunks(); /* forgets a part of this grid */
    chunk = find_chunk(number);
    if (chunk->words == nullptr) {
        void *map = mmap(nullptr, CHUNK_WORDS * sizeof(struct word), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED)
            return nullptr;
        chunk->number = number;
        chunk->words = static_cast<struct word *>(map);
        n_chunks++;
    }
    return last_chunk = chunk;
}

/* The shadow of a word; NULL: there is no memory for it. */
static inline struct word *shadow_of(uintptr_t address)
{
    struct chunk *chunk = last_chunk;

    if (chunk->number != address >> CHUNK_LOG2 || chunk->words == nullptr) {
        chunk = turn_to(address >> CHUNK_LOG2);
        if (chunk == nullptr)
            return nullptr;
    }
    return &chunk->words[address / WORD_BYTES % CHUNK_WORDS];
}

void watch_forget(const void *at, size_t bytes)
{
    uintptr_t first = reinterpret_cast<uintptr_t>(at) >> CHUNK_LOG2;
    uintptr_t last = (reinterpret_cast<uintptr_t>(at) + bytes - 1) >> CHUNK_LOG2;

    for (uintptr_t number = first; number <= last && n_chunks != 0; number++) {
        struct chunk *chunk = find_chunk(number);
        if (chunk->words != nullptr)
            madvise(chunk->words, CHUNK_WORDS * sizeof(struct word), MADV_DONTNEED);
    }
}

static inline bool is_within(const void *at, const unsigned char *begin, size_t bytes)
{
    return reinterpret_cast<uintptr_t>(at) - reinterpret_cast<uintptr_t>(begin) < bytes;
}

static bool is_shared(const void *at)
{
    return is_within(at, now.dynamic, now.dynamic_bytes) ||
           is_within(at, __start_mr_shared,
                     static_cast<size_t>(__stop_mr_shared - __start_mr_shared));
}

/* ---- the running grid ---- */

static uint32_t next_stamp(void)
{
    if (++now.stamp == 0) { /* all that is known would be of the future */
        drop_chunks();
        now.stamp = now.block_stamp = now.grid_stamp = 1;
    }
    return now.stamp;
}

void watch_grid(const void *stacks, size_t bytes)
{
    now.stacks = static_cast<const unsigned char *>(stacks);
    now.stacks_bytes = bytes;
    now.grid_stamp = next_stamp();
    is_running = MR_WATCH != 0 && (one_in < 2 || emu_random(&random_state) % one_in == 0);
}

void watch_grid_end(void)
{
    is_running = false;
}

void watch_block(uint32_t n_lanes, const void *dynamic, size_t dynamic_bytes)
{
    now.dynamic = static_cast<const unsigned char *>(dynamic);
    now.dynamic_bytes = dynamic_bytes;
    now.block_stamp = next_stamp();
    for (uint32_t i = 0; i < n_lanes; i++) {
        for (uint32_t k = 0; k < 32; k++)
            now.known[i][k] = k == i % 32 ? 1 : 0;
    }
}

/* Whatever changes its time lets others run first. */
void watch_turn(uint32_t lane)
{
    now.own.stamp = now.stamp;
    now.own.time = now.known[lane][lane % 32];
    now.own.lane = static_cast<uint16_t>(lane);
}

void watch_barrier(void)
{
    (void)next_stamp();
}

void watch_syncwarp(uint32_t first, uint32_t mask)
{
    uint32_t all[32] = {};

    for (uint32_t i = 0; i < 32; i++) {
        for (uint32_t k = 0; (mask >> i & 1) != 0 && k < 32; k++)
            all[k] = now.known[first + i][k] > all[k] ? now.known[first + i][k] : all[k];
    }
    for (uint32_t i = 0; i < 32; i++) {
        for (uint32_t k = 0; (mask >> i & 1) != 0 && k < 32; k++)
            now.known[first + i][k] = all[k] + (k == i ? 1 : 0);
    }
}

/* ---- reports ---- */

static void say_place(char *text, size_t bytes, const struct record *r)
{
    Dl_info info;
    struct link_map *map = nullptr; // l_addr: how far it lies from where it was linked to, 0 without PIE
    uintptr_t code = CODE_ORIGIN + static_cast<uintptr_t>(intptr_t{r->code});

    if (dladdr1(reinterpret_cast<const void *>(code), &info, reinterpret_cast<void **>(&map),
                RTLD_DL_LINKMAP) != 0 && map != nullptr)
        snprintf(text, bytes, "%s 0x%zx", info.dli_fname, static_cast<size_t>(code - map->l_addr - 1));
    else
        snprintf(text, bytes, "0x%zx", static_cast<size_t>(code));
}

static const char *verb(const struct record *r)
{
    return r->how == TOUCH_READ ? "reads" : r->how == TOUCH_WRITE ? "writes" : "changes by an atomic";
}

[[noreturn]] static void report(const struct record *own, const struct record *other,
                                uintptr_t address, const char *why)
{
    const void *at = reinterpret_cast<const void *>(address);
    char here[512], there[512];

    say_place(here, sizeof(here), own);
    say_place(there, sizeof(there), other);
    is_running = false;
    mr_emu_fault(nullptr, 0,
                 "race: it %s what thread %u%s %s, %s memory at %p, %s (addr2line -ife %s; -ife %s)",
                 verb(own), other->lane, other->stamp < now.block_stamp ? " of another block" : "",
                 verb(other), is_shared(at) ? "shared" : "device", at, why, here, there);
}

/* ---- accesses ---- */

/* Has the access happened before whatever the lane of `own` does now? */
static inline bool is_before(const struct record *r, const struct record *own, uintptr_t address)
{
    if (r->stamp < now.grid_stamp)
        return true;
    if (r->stamp < now.block_stamp) /* another block's, whose shared memory was another one */
        return is_shared(reinterpret_cast<const void *>(address));
    return r->stamp < now.stamp || r->lane == own->lane ||
           (r->lane / 32 == own->lane / 32 && r->time <= now.known[own->lane][r->lane % 32]);
}

static inline void check(const struct record *own, const struct record *other, uintptr_t address)
{
    if (other->stamp < now.grid_stamp || (other->bytes & own->bytes) == 0 ||
        (own->how == TOUCH_ATOMIC && other->how == TOUCH_ATOMIC) || is_before(other, own, address))
        return;
    report(own, other, address,
           other->stamp < now.block_stamp ? "and blocks have no order"
                                          : "with no barrier of both between");
}

/* By the same lane at the same time: reads then are one. */
static inline bool is_same(const struct record *x, const struct record *y)
{
    return x->stamp == y->stamp && x->lane == y->lane && x->time == y->time;
}

static inline bool is_known(const struct record *r, const struct record *own)
{
    return is_same(r, own) && (own->bytes & ~r->bytes) == 0;
}

/* Remembers a read: in place of one that need not be known any more, if there is one. */
static inline void keep_read(struct word *word, const struct record *own, uintptr_t address)
{
    for (struct record &r : word->reads) {
        if (is_same(&r, own)) {
            r.bytes = static_cast<uint8_t>(r.bytes | own->bytes);
            return;
        }
    }
    for (struct record &r : word->reads) {
        if (is_before(&r, own, address)) {
            r = *own;
            return;
        }
    }
    word->reads[own->lane & 1] = *own;
}

static inline void touch_word(uintptr_t address, const struct record *own)
{
    struct word *word = shadow_of(address);

    if (word == nullptr)
        return;
    if (own->how == TOUCH_READ) {
        if (is_known(&word->reads[0], own) || is_known(&word->reads[1], own))
            return;
        check(own, &word->write, address);
        keep_read(word, own, address);
        return;
    }
    check(own, &word->write, address);
    check(own, &word->reads[0], address);
    check(own, &word->reads[1], address);
    word->write = *own;
}

static inline struct record own_record(enum touch how, const void *code)
{
    struct record own = now.own;

    own.code = static_cast<int32_t>(reinterpret_cast<uintptr_t>(code) - CODE_ORIGIN);
    own.how = how;
    return own;
}

static inline void touch(const void *at, size_t bytes, enum touch how, const void *code)
{
    uintptr_t first = reinterpret_cast<uintptr_t>(at), end = first + bytes;

    if (!is_running || is_within(at, now.stacks, now.stacks_bytes))
        return;
    struct record own = own_record(how, code);
    for (uintptr_t a = first & ~uintptr_t{WORD_BYTES - 1}; a < end; a += WORD_BYTES) {
        uint32_t from = a < first ? static_cast<uint32_t>(first - a) : 0;
        uint32_t to = end - a < WORD_BYTES ? static_cast<uint32_t>(end - a) : WORD_BYTES;
        own.bytes = static_cast<uint8_t>((1u << to) - (1u << from));
        touch_word(a, &own);
    }
}

void watch_atomic(const void *at, size_t bytes, const void *code)
{
    touch(at, bytes, TOUCH_ATOMIC, code);
}

void watch_read_only(const void *at, size_t bytes, const void *code)
{
    static const char why[] = "and __ldg is for device memory that no lane of the grid writes";
    uintptr_t end = reinterpret_cast<uintptr_t>(at) + bytes;
    struct record own = own_record(TOUCH_READ, code);

    if (is_shared(at))
        report(&own, &own, reinterpret_cast<uintptr_t>(at), why);
    if (!is_running)
        return;
    for (uintptr_t a = end - bytes; a < end; a += WORD_BYTES) {
        const struct word *word = shadow_of(a);
        if (word != nullptr && word->write.stamp >= now.grid_stamp)
            report(&own, &word->write, a, why);
    }
}

/* ---- what the compiler calls ---- */

#if MR_WATCH
#define CODE __builtin_return_address(0)
#define HOOK(name, n, how)                                                                         \
    void name##n(void *at);                                                                        \
    void name##n(void *at)                                                                         \
    {                                                                                              \
        touch(at, n, how, CODE);                                                                   \
    }
#define HOOKS(n)                                                                                   \
    HOOK(__tsan_read, n, TOUCH_READ)                                                               \
    HOOK(__tsan_write, n, TOUCH_WRITE)                                                             \
    HOOK(__tsan_unaligned_read, n, TOUCH_READ)                                                     \
    HOOK(__tsan_unaligned_write, n, TOUCH_WRITE)
extern "C" {
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
void __tsan_read_range(void *at, unsigned long bytes);
void __tsan_write_range(void *at, unsigned long bytes);
void *__tsan_memcpy(void *to, const void *from, unsigned long bytes); /* clang's */
void *__tsan_memset(void *to, int value, unsigned long bytes);
void __tsan_init(void);
void __tsan_func_entry(void *);
void __tsan_func_exit(void);
void __tsan_read_range(void *at, unsigned long bytes)
{
    touch(at, bytes, TOUCH_READ, CODE);
}
void __tsan_write_range(void *at, unsigned long bytes)
{
    touch(at, bytes, TOUCH_WRITE, CODE);
}
void *__tsan_memcpy(void *to, const void *from, unsigned long bytes)
{
    touch(from, bytes, TOUCH_READ, CODE);
    touch(to, bytes, TOUCH_WRITE, CODE);
    return memcpy(to, from, bytes);
}
void *__tsan_memset(void *to, int value, unsigned long bytes)
{
    touch(to, bytes, TOUCH_WRITE, CODE);
    return memset(to, value, bytes);
}
void __tsan_init(void)
{
}
void __tsan_func_entry(void *)
{
}
void __tsan_func_exit(void)
{
}
}
#endif
