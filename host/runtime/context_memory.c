/* The memory of a table of contexts: what it consists of, and how it grows.
 *
 * The table of tags begins small, so that few flows have their tags on few pages, and becomes eight
 * times as large when it is half full. Tags move from one place to eight that go on in order, some
 * at each context that is made, so that nobody waits for it. All ranges are filled from
 * the front: small pages, as they are touched, as long as tables are small, then large ones that
 * another thread has made ready (base/pages.h). */
#include "runtime/context_tags.h"

#include "packet/burst.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define LINE          64u
#define PAIR          128u /* lines that come from memory together, on most machines */
#define LARGE         MR_LARGE_PAGE_BYTES
#define MOST_AHEAD    32u /* large pages that are expected for contexts */
#define MOST_CONTEXTS ((uint64_t)1 << 30)
#define SPARE         MR_BURST_MAX /* contexts that ended in the batch under way: one a row */
#define FIRST_ENTRIES 4096u        /* or fewer: a table grows in whole steps */
#define LARGE_STAGE   65536u       /* entries: from so many on a stage is of large pages */
#define GROWTH_BITS   3u
#define MOVED_AT_ONCE 4u      /* entries; a context is made at a time */
#define TOUCHED       16384u  /* bytes that tags move to: they are there before the first is read */
#define FRESH         4u      /* tuples: what a context costs that is made in new memory ... */
#define PAGE_COST     64u     /* ... and what each small page costs that it touches first */
#define SLICE_BYTES   131072u /* of contexts that are handed out at a time ... */
#define LEAST_SLICE   32u     /* ... but so many in any case */
#define RELEASED      262144u /* entries given back at a time: a large page of them */

/* Of these shares differ by chance little enough, and one is looked through in a moment. */
#define USUAL_PARTITIONS 256u
#define MOST_PARTITIONS  65536u
#define LEAST_SHARE      512u
#define MOST_SHARE       8192u
#define MOST_EPOCH_SHIFT 12u /* 4,096 packets: what a table may have too many within one */
#define LEAST_OLDEST     64u

static uint64_t up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static uint32_t bits_of(uint64_t n)
{
    return 63 - (uint32_t)__builtin_clzll(n);
}

/* ---- the plan ---- */

/* Keys are spread by a keyed hash, so that shares differ by chance only: six standard deviations
 * more than the mean hold nearly always. */
static uint64_t share_of(uint64_t n, uint32_t partitions)
{
    if (partitions == 1)
        return n;
    uint64_t mean = (n + partitions - 1) / partitions, deviation = 1;
    while (deviation * deviation < mean)
        deviation++;
    return mean + 6 * deviation + 8;
}

enum mr_status mr_context_caps(struct mr_context_caps *caps, uint64_t max_contexts)
{
    uint32_t partitions = 1, shift = 0;

    if (max_contexts > MOST_CONTEXTS)
        return MR_ERR_LIMIT;
    if (!max_contexts)
        max_contexts = 1;
    while (partitions < USUAL_PARTITIONS && max_contexts / (2 * partitions) >= LEAST_SHARE)
        partitions *= 2;
    while (partitions < MOST_PARTITIONS && max_contexts / partitions > MOST_SHARE)
        partitions *= 2;
    while (shift < MOST_EPOCH_SHIFT && max_contexts >> (shift + 5))
        shift++; /* at most a sixteenth of the cap */
    *caps = (struct mr_context_caps){
        .partitions = partitions,
        .share = (uint32_t)share_of(max_contexts, partitions),
        .surge = (uint32_t)share_of(1u << MOST_EPOCH_SHIFT, partitions),
        .epoch_shift = shift,
    };
    return MR_OK;
}

/* What a table consists of: partitions, lists of the oldest, tags, contexts. */
struct layout {
    uint64_t bytes;
    uint64_t n_entries;   /* that the table of tags grows to */
    uint64_t tags_offset; /* where it begins: small stages, then large ones */
    uint32_t partitions, capacity, most_oldest, stride, row_offset;
};

/* What the table of tags begins with, when n is what it grows to. */
static uint64_t first_entries(uint64_t n)
{
    while (n > FIRST_ENTRIES)
        n >>= GROWTH_BITS;
    return n;
}

static uint64_t stage_bytes(uint64_t n)
{
    return up(n * sizeof(uint64_t), n < LARGE_STAGE ? MR_PAGE_BYTES : LARGE);
}

static uint64_t partitions_bytes(uint64_t partitions)
{
    return up(partitions * sizeof(struct mr_context_partition), MR_PAGE_BYTES);
}

static uint64_t oldest_bytes(uint64_t partitions, uint32_t most)
{
    return up(partitions * most * sizeof(struct mr_context_old), MR_PAGE_BYTES);
}

static struct layout lay_out(const struct mr_context_caps *caps, uint32_t lanes,
                             uint32_t context_bytes, uint32_t row_bytes)
{
    uint32_t partitions = caps->partitions / lanes;
    uint64_t most = (uint64_t)partitions * (caps->share + caps->surge), small = 0, large = 0;
    struct layout l = {.n_entries = 8, .partitions = partitions, .most_oldest = caps->share / 4};

    if (l.most_oldest < LEAST_OLDEST)
        l.most_oldest = LEAST_OLDEST;
    l.capacity = (uint32_t)most + SPARE;
    l.row_offset = (uint32_t)up(offsetof(struct mr_context, slots) + context_bytes, LINE);
    l.stride = (uint32_t)up(l.row_offset + row_bytes, PAIR);
    while (l.n_entries / 4 * 3 < most) /* at most three quarters full */
        l.n_entries *= 2;
    for (uint64_t n = first_entries(l.n_entries); n <= l.n_entries; n <<= GROWTH_BITS) {
        uint64_t *sum = n < LARGE_STAGE ? &small : &large; /* all lie one behind another */
        *sum += stage_bytes(n);
    }
    uint64_t lists = partitions_bytes(partitions) + oldest_bytes(partitions, l.most_oldest);
    uint64_t contexts = (uint64_t)l.capacity * l.stride;
    uint64_t begin = up(lists + small, contexts < LARGE ? MR_PAGE_BYTES : LARGE);
    l.tags_offset = begin - small;
    l.bytes = begin + large + contexts;
    return l;
}

uint64_t mr_contexts_bytes(const struct mr_context_caps *caps, uint32_t lanes,
                           uint32_t context_bytes, uint32_t row_bytes)
{
    return lay_out(caps, lanes, context_bytes, row_bytes).bytes;
}

static struct mr_context_tags tags_of(uint64_t *entries, uint64_t n)
{
    return (struct mr_context_tags){entries, n - 1, 64 - bits_of(n)};
}

/* Until three eighths of the entries are in use nothing is done about more of them. */
static void watch_tags(struct mr_context_table *table)
{
    uint64_t n = table->tags.mask + 1;
    table->tags_steps = 0;
    table->look_at_tags = table->tags.mask < table->most ? (uint32_t)(n / 8 * 3) : UINT32_MAX;
}

static uint32_t cost_on_small_pages(uint32_t stride)
{
    return FRESH + (uint32_t)((uint64_t)stride * PAGE_COST / MR_PAGE_BYTES);
}

static uint32_t slice_of(uint32_t stride)
{
    uint32_t n = SLICE_BYTES / stride;

    n = n < LEAST_SLICE ? LEAST_SLICE : n;
    return n < MR_CONTEXT_SLICE ? n : MR_CONTEXT_SLICE;
}

void mr_contexts_init(struct mr_context_table *table, const struct mr_context_caps *caps,
                      uint32_t lanes, uint32_t context_bytes, uint32_t row_bytes)
{
    struct layout l = lay_out(caps, lanes, context_bytes, row_bytes);

    *table = (struct mr_context_table){
        .tags = tags_of(NULL, first_entries(l.n_entries)),
        .lane_bits = bits_of(lanes),
        .partition_bits = bits_of(l.partitions),
        .context_bytes = context_bytes,
        .row_bytes = row_bytes,
        .stride = l.stride,
        .row_offset = l.row_offset,
        .slice = slice_of(l.stride),
        .epoch_shift = caps->epoch_shift,
        .share = caps->share,
        .surge = caps->surge,
        .capacity = l.capacity,
        .most_oldest = l.most_oldest,
        .fresh = cost_on_small_pages(l.stride),
        .most = l.n_entries - 1,
        .mapped_bytes = l.bytes,
        .tags_offset = l.tags_offset,
        .backed_bytes = LARGE, /* a small table has no more than what it touches */
        .look_at = (uint32_t)(LARGE / 2 / l.stride),
        .free = MR_NO_CONTEXT,
        .next_deadline_ns = UINT64_MAX,
    };
    memset(table->wheel, 0xff, sizeof table->wheel); /* MR_NO_CONTEXT */
    watch_tags(table);
}

void mr_contexts_free(struct mr_context_table *table)
{
    if (table->memory)
        munmap(table->memory, up(table->mapped_bytes, MR_PAGE_BYTES));
    if (table->pages) {
        mr_pages_expect(table->pages, -(int64_t)table->expected - table->expected_for_tags);
        mr_pages_gone(table->pages, table->taken);
    }
    table->expected = table->expected_for_tags = table->taken = 0;
    table->memory = NULL;
    table->tags.entries = table->old.entries = NULL;
    table->contexts = NULL;
}

/* Addresses that begin with a large page; NULL: there are none. */
static uint8_t *addresses(uint64_t bytes)
{
    uint8_t *memory = mmap(NULL, bytes + LARGE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    uint64_t before = -(uintptr_t)memory % LARGE, used = up(before + bytes, MR_PAGE_BYTES);
    if (before)
        munmap(memory, before);
    munmap(memory + used, bytes + LARGE - used);
    /* else some systems clear a large page at the first touch, while a worker waits for it */
    (void)madvise(memory + before, bytes, MADV_NOHUGEPAGE);
    return memory + before;
}

bool mr_contexts_map(struct mr_context_table *table)
{
    uint64_t partitions = (uint64_t)1 << table->partition_bits;
    uint8_t *memory = addresses(table->mapped_bytes);

    if (!memory)
        return false;
    table->memory = memory;
    table->partitions = (struct mr_context_partition *)(void *)memory;
    table->oldest = (struct mr_context_old *)(void *)(memory + partitions_bytes(partitions));
    table->tags.entries = (uint64_t *)(void *)(memory + table->tags_offset);
    table->contexts = memory + table->mapped_bytes - (uint64_t)table->capacity * table->stride;
    return true;
}

/* By large pages, where there are some. */
static bool touch(uint8_t *memory, uint64_t bytes)
{
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    if (!madvise(memory, bytes, MADV_POPULATE_WRITE))
        return true;
    if (errno != EINVAL)
        return false;
    for (uint64_t at = 0; at < bytes; at += MR_PAGE_BYTES) /* Linux before 5.14 */
        ((volatile uint8_t *)memory)[at] = 0;
    return true;
}

bool mr_contexts_preallocate(struct mr_context_table *table)
{
    uint64_t bytes = up(table->mapped_bytes, MR_PAGE_BYTES);

    if (!mr_contexts_map(table) || !touch(table->memory, bytes))
        return false;
    table->preallocated = true;
    table->pages = NULL;
    table->fresh = FRESH;
    table->backed_bytes = (uint64_t)table->capacity * table->stride;
    table->look_at = UINT32_MAX;
    return true;
}

/* ---- growing ---- */

static void expect(struct mr_context_table *table, uint32_t *expected, uint32_t n)
{
    if (table->pages)
        mr_pages_expect(table->pages, n);
    *expected += n;
}

/* A large page that was expected, if it is ready. */
static bool take(struct mr_context_table *table, uint32_t *expected, uint8_t *at)
{
    bool taken = table->pages && mr_pages_take(table->pages, at);

    table->taken += taken;
    --*expected;
    return taken;
}

/* Contexts have come to the last page that they may touch, or (before the first large one) half
 * way there. The more there are the more pages are expected. */
void mr_contexts_look_after(struct mr_context_table *table)
{
    uint64_t all = (uint64_t)table->capacity * table->stride, backed = table->backed_bytes;
    uint64_t whole = all / LARGE * LARGE; /* behind them less than a large page */
    uint64_t ahead = 1 + backed / LARGE / 4;

    if (table->expected && table->n_made >= backed / table->stride) {
        bool large = take(table, &table->expected, table->contexts + backed);
        table->fresh = large ? FRESH : cost_on_small_pages(table->stride);
        backed += LARGE;
    }
    if (ahead > MOST_AHEAD)
        ahead = MOST_AHEAD;
    if (backed >= whole)
        ahead = 0;
    else if (ahead > (whole - backed) / LARGE)
        ahead = (whole - backed) / LARGE;
    if (ahead > table->expected)
        expect(table, &table->expected, (uint32_t)ahead - table->expected);
    table->backed_bytes = backed;
    table->look_at = ahead ? (uint32_t)(backed / table->stride) : UINT32_MAX;
}

static uint64_t *next_entries(const struct mr_context_table *table)
{
    return table->tags.entries + stage_bytes(table->tags.mask + 1) / sizeof(uint64_t);
}

/* To the next size: entries are moved from the first free one on, so that no cluster of them is
 * ever in two tables. */
static void begin_to_grow(struct mr_context_table *table)
{
    uint64_t n = (table->tags.mask + 1) << GROWTH_BITS, *entries = next_entries(table);

    table->old = table->tags;
    table->tags = tags_of(entries, n);
    table->old_begin = table->moved = table->old_released = table->touched = 0;
    while (table->old.entries[table->old_begin])
        table->old_begin++;
    watch_tags(table);
}

/* From three eighths to half full the pages of the next table are got ready, one after another;
 * what comes while tags move makes it three quarters. */
void mr_contexts_look_after_tags(struct mr_context_table *table)
{
    uint64_t n = table->tags.mask + 1, next = n << GROWTH_BITS;
    uint32_t pages = next < LARGE_STAGE ? 0 : (uint32_t)(stage_bytes(next) / LARGE);

    if (table->tags_steps > pages) {
        begin_to_grow(table);
        return;
    }
    if (table->tags_steps)
        (void)take(table, &table->expected_for_tags,
                   (uint8_t *)next_entries(table) + (table->tags_steps - 1) * LARGE);
    else
        expect(table, &table->expected_for_tags, pages);
    table->tags_steps++;
    table->look_at_tags = (uint32_t)(n / 8 * 3 + n / 8 * table->tags_steps / (pages + 1));
}

static void release_old(struct mr_context_table *table, uint64_t end)
{
    uint64_t *first = table->old.entries + table->old_released;

    if (!table->preallocated)
        (void)madvise(first, (end - table->old_released) * sizeof *first, MADV_DONTNEED);
    table->old_released = end;
}

/* The pages that tags move to next. Where no large one was ready, each would be read first, and
 * then be there once more to be written to, of which all cores must hear: ten times as long. */
static void touch_ahead(struct mr_context_table *table)
{
    uint64_t all = (table->tags.mask + 1) * sizeof(uint64_t);
    uint64_t piece = all < TOUCHED ? all : TOUCHED;
    uint64_t begin = (table->old_begin << GROWTH_BITS) * sizeof(uint64_t) / piece * piece;
    uint64_t end = ((table->moved + 2 * MOVED_AT_ONCE) << GROWTH_BITS) * sizeof(uint64_t) + piece;

    if (table->preallocated)
        return;
    for (; table->touched < end && table->touched < all; table->touched += piece)
        (void)madvise((uint8_t *)table->tags.entries + (begin + table->touched) % all, piece,
                      MADV_POPULATE_WRITE); /* Linux before 5.14: as they are touched */
}

void mr_contexts_go_on_growing(struct mr_context_table *table)
{
    struct mr_context_tags *old = &table->old;
    uint64_t n = old->mask + 1, at = (table->old_begin + table->moved) & old->mask;

    touch_ahead(table);
    for (uint32_t i = 0; i < MOVED_AT_ONCE || old->entries[at]; i++) {
        if (table->moved >= n && !old->entries[at]) {
            table->old_released = 0;
            release_old(table, n);
            *old = (struct mr_context_tags){0};
            return;
        }
        if (old->entries[at])
            mr_tag_insert(&table->tags, old->entries[at]);
        old->entries[at] = 0;
        table->moved++;
        at = (at + 1) & old->mask;
    }
    if (!table->old_released)
        table->old_released = RELEASED; /* the first ones stay, for a cluster around the end */
    if (table->moved < n && at >= table->old_released + RELEASED)
        release_old(table, table->old_released + RELEASED);
}
