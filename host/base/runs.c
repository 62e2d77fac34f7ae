/* Runs of short buffers: which of its slots are taken, and how many of these touch each page. */
#include "base/runs.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Less than 256 KiB by what the heap puts between two, so that they lie page by page. */
#define RUN_BYTES    (((size_t)256 << 10) - 64)
#define LEAST_PAGE   4096u
#define N_PAGES      ((256 << 10) / LEAST_PAGE)
#define HEADER_BYTES 192
#define WORDS        8 /* 512 slots, more than there are of the shortest */

struct mr_run {
    struct mr_run *next, *previous; /* open ones */
    uint64_t vacant[WORDS];
    uint32_t n_taken;
    uint8_t on_page[N_PAGES];
};
_Static_assert(sizeof(struct mr_run) <= HEADER_BYTES, "the slots lie behind it");

void mr_runs_init(struct mr_runs *runs, size_t bytes)
{
    long page = sysconf(_SC_PAGESIZE);

    *runs = (struct mr_runs){.bytes = bytes,
                             .page_bytes = page > LEAST_PAGE ? (size_t)page : LEAST_PAGE,
                             .n_slots = (uint32_t)((RUN_BYTES - HEADER_BYTES) / bytes)};
    pthread_mutex_init(&runs->lock, NULL);
}

void mr_runs_free(struct mr_runs *runs)
{
    pthread_mutex_destroy(&runs->lock);
}

static void open_run(struct mr_runs *runs, struct mr_run *run)
{
    run->previous = NULL;
    run->next = runs->open;
    if (run->next)
        run->next->previous = run;
    runs->open = run;
}

static void close_run(struct mr_runs *runs, struct mr_run *run)
{
    if (run->next)
        run->next->previous = run->previous;
    if (run->previous)
        run->previous->next = run->next;
    else
        runs->open = run->next;
}

static struct mr_run *new_run(struct mr_runs *runs)
{
    void *memory = NULL;

    if (posix_memalign(&memory, runs->page_bytes, RUN_BYTES))
        return NULL;
    struct mr_run *run = memory;
    *run = (struct mr_run){.on_page = {1}}; /* the header */
    for (uint32_t i = 0; i < runs->n_slots; i++)
        run->vacant[i / 64] |= (uint64_t)1 << i % 64;
    open_run(runs, run);
    return run;
}

static bool full(const struct mr_runs *runs, const struct mr_run *run)
{
    return run->n_taken == runs->n_slots;
}

void *mr_runs_take(struct mr_runs *runs, uint32_t *slot)
{
    uint8_t *memory = NULL;

    pthread_mutex_lock(&runs->lock);
    struct mr_run *run = runs->open ? runs->open : new_run(runs);
    if (run) {
        uint32_t word = 0;
        while (!run->vacant[word])
            word++;
        uint32_t bit = (uint32_t)__builtin_ctzll(run->vacant[word]);
        *slot = word * 64 + bit;
        size_t begin = HEADER_BYTES + *slot * runs->bytes, end = begin + runs->bytes;
        run->vacant[word] &= ~((uint64_t)1 << bit);
        run->n_taken++;
        for (size_t page = begin / runs->page_bytes; page * runs->page_bytes < end; page++)
            run->on_page[page]++;
        if (full(runs, run))
            close_run(runs, run);
        memory = (uint8_t *)run + begin;
    }
    pthread_mutex_unlock(&runs->lock);
    return memory;
}

/* Under the lock: whoever takes the slot next writes to its pages. */
static void give_pages(uint8_t *begin, uint8_t *end)
{
    if (begin < end)
        (void)madvise(begin, (size_t)(end - begin), MADV_DONTNEED);
}

void mr_runs_give(struct mr_runs *runs, void *memory, uint32_t slot)
{
    size_t begin = HEADER_BYTES + slot * runs->bytes, end = begin + runs->bytes;
    size_t page_bytes = runs->page_bytes, pages = RUN_BYTES / page_bytes;
    uint8_t *base = (uint8_t *)memory - begin;
    struct mr_run *run = (struct mr_run *)(void *)base;

    pthread_mutex_lock(&runs->lock);
    if (full(runs, run))
        open_run(runs, run);
    run->vacant[slot / 64] |= (uint64_t)1 << slot % 64;
    bool empty = !--run->n_taken;
    if (empty)
        close_run(runs, run);
    uint8_t *from = NULL, *to = NULL;
    for (size_t page = begin / page_bytes; page * page_bytes < end; page++)
        if (!--run->on_page[page] && page < pages) { /* the last one is in part the heap's */
            from = from ? from : base + page * page_bytes;
            to = base + (page + 1) * page_bytes;
        }
    give_pages(from, to);
    if (empty && pages)
        give_pages(base, base + page_bytes); /* the header's */
    pthread_mutex_unlock(&runs->lock);
    if (empty)
        free(run);
}
