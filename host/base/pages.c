/* Large pages that are there before they are needed. The system moves a page from one address to
 * another with its entry in the page table alone (mremap); its lock is held for a few instructions.
 *
 * The thread runs where a core has nothing else to do: it takes none from a worker, not even for
 * the four milliseconds that a turn lasts. Therefore nobody may ever wait for it: what it shares
 * with others are atomic numbers, and its page faults take no lock of the whole address space. */
#include "base/pages.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

struct mr_pages {
    pthread_t thread;
    sem_t change;
    pthread_mutex_t making;      /* the thread, and who settles; never a worker */
    _Atomic bool ending, failed; /* failed: there is no memory; nothing is made ready any more */
    _Atomic int64_t expected;
    _Atomic int64_t n_ready; /* or more: until some that were taken are counted */
    _Atomic uint32_t n_taken;
    _Atomic(void *) ready[MR_MOST_READY_PAGES]; /* NULL: none here */
};

/* NULL: there is no memory. */
static void *make(void)
{
    uint8_t *memory = mmap(NULL, 2 * MR_LARGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    uint64_t before = -(uintptr_t)memory % MR_LARGE_PAGE_BYTES;
    uint8_t *page = memory + before;
    /* The first fault of a mapping may lock the address space as long as it lasts: that of a small
     * page, which goes at once. */
    *(volatile uint8_t *)(page + MR_LARGE_PAGE_BYTES) = 0;
    if (before)
        munmap(memory, before);
    munmap(page + MR_LARGE_PAGE_BYTES, MR_LARGE_PAGE_BYTES - before);
    (void)madvise(page, MR_LARGE_PAGE_BYTES, MADV_HUGEPAGE);
    /* where the system gives small pages, they are there as well */
    for (uint64_t at = 0; at < MR_LARGE_PAGE_BYTES; at += MR_PAGE_BYTES)
        ((volatile uint8_t *)page)[at] = 0;
    return page;
}

static bool is_behind(struct mr_pages *pages)
{
    int64_t n = atomic_load_explicit(&pages->n_ready, memory_order_acquire);

    return !atomic_load_explicit(&pages->failed, memory_order_relaxed) && n < MR_MOST_READY_PAGES &&
           n < atomic_load_explicit(&pages->expected, memory_order_relaxed);
}

static void add(struct mr_pages *pages, void *page)
{
    uint32_t i = 0;

    while (atomic_load_explicit(&pages->ready[i], memory_order_relaxed))
        i = (i + 1) % MR_MOST_READY_PAGES; /* one is free: nobody else adds to them meanwhile */
    atomic_store_explicit(&pages->ready[i], page, memory_order_release);
    atomic_fetch_add_explicit(&pages->n_ready, 1, memory_order_release);
}

/* False: all that are expected are ready. */
static bool make_one_ready(struct mr_pages *pages)
{
    pthread_mutex_lock(&pages->making);
    bool behind = is_behind(pages);
    void *page = behind ? make() : NULL;
    if (page)
        add(pages, page);
    else if (behind)
        atomic_store_explicit(&pages->failed, true, memory_order_relaxed);
    pthread_mutex_unlock(&pages->making);
    return behind;
}

static void *make_ready(void *argument)
{
    struct mr_pages *pages = argument;
    const struct sched_param none = {0};

    (void)pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
    while (!atomic_load_explicit(&pages->ending, memory_order_relaxed))
        if (!make_one_ready(pages))
            (void)sem_wait(&pages->change);
    return NULL;
}

enum mr_status mr_pages_new(struct mr_pages **out)
{
    struct mr_pages *pages = calloc(1, sizeof *pages);

    if (!pages)
        return MR_ERR_MEMORY;
    pthread_mutex_init(&pages->making, NULL);
    if (sem_init(&pages->change, 0, 0) || pthread_create(&pages->thread, NULL, make_ready, pages)) {
        free(pages);
        return MR_ERR_START;
    }
    *out = pages;
    return MR_OK;
}

void mr_pages_free(struct mr_pages *pages)
{
    if (!pages)
        return;
    atomic_store_explicit(&pages->ending, true, memory_order_relaxed);
    (void)sem_post(&pages->change);
    pthread_join(pages->thread, NULL);
    for (uint32_t i = 0; i < MR_MOST_READY_PAGES; i++) {
        void *page = atomic_load_explicit(&pages->ready[i], memory_order_relaxed);
        if (page)
            munmap(page, MR_LARGE_PAGE_BYTES);
    }
    sem_destroy(&pages->change);
    pthread_mutex_destroy(&pages->making);
    free(pages);
}

void mr_pages_expect(struct mr_pages *pages, int64_t n)
{
    atomic_fetch_add_explicit(&pages->expected, n, memory_order_relaxed);
    if (is_behind(pages))
        (void)sem_post(&pages->change);
}

/* One that is ready; NULL: none. */
static void *take_ready(struct mr_pages *pages)
{
    if (atomic_load_explicit(&pages->n_ready, memory_order_relaxed) <= 0)
        return NULL;
    for (uint32_t i = 0; i < MR_MOST_READY_PAGES; i++) {
        if (!atomic_load_explicit(&pages->ready[i], memory_order_relaxed))
            continue;
        void *page = atomic_exchange_explicit(&pages->ready[i], NULL, memory_order_acquire);
        if (!page)
            continue;
        atomic_fetch_sub_explicit(&pages->n_ready, 1, memory_order_relaxed);
        return page;
    }
    return NULL;
}

bool mr_pages_take(struct mr_pages *pages, void *at)
{
    void *page = NULL;

    if (atomic_fetch_add_explicit(&pages->n_taken, 1, memory_order_relaxed) < MR_MOST_TAKEN_PAGES)
        page = take_ready(pages);
    mr_pages_expect(pages, -1);
    if (!page) {
        mr_pages_gone(pages, 1);
        return false;
    }
    if (mremap(page, MR_LARGE_PAGE_BYTES, MR_LARGE_PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, at) ==
        at)
        return true;
    /* too many mappings, perhaps: small pages then, should the place have been cleared already */
    munmap(page, MR_LARGE_PAGE_BYTES);
    (void)mmap(at, MR_LARGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    mr_pages_gone(pages, 1);
    return false;
}

void mr_pages_gone(struct mr_pages *pages, uint32_t n)
{
    atomic_fetch_sub_explicit(&pages->n_taken, n, memory_order_relaxed);
}

void mr_pages_settle(struct mr_pages *pages)
{
    while (make_one_ready(pages))
        ;
}
