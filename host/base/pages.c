/* Large pages that are there before they are needed. The system moves a page from one address to
 * another with its entry in the page table alone (mremap); its lock is held for a few instructions.
 */
#include "base/pages.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NICE 10

struct mr_pages {
    pthread_mutex_t lock;
    pthread_cond_t change;
    pthread_t thread;
    bool ending, failed; /* failed: there is no memory; nothing is made ready any more */
    int64_t expected;
    uint32_t n_ready, n_taken;
    void *ready[MR_MOST_READY_PAGES];
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
    if (before)
        munmap(memory, before);
    munmap(page + MR_LARGE_PAGE_BYTES, MR_LARGE_PAGE_BYTES - before);
    (void)madvise(page, MR_LARGE_PAGE_BYTES, MADV_HUGEPAGE);
    /* where the system gives small pages, they are there as well */
    for (uint64_t at = 0; at < MR_LARGE_PAGE_BYTES; at += MR_PAGE_BYTES)
        ((volatile uint8_t *)page)[at] = 0;
    return page;
}

static bool is_behind(const struct mr_pages *pages)
{
    return !pages->failed && pages->n_ready < MR_MOST_READY_PAGES &&
           pages->n_ready < pages->expected;
}

static void *make_ready(void *argument)
{
    struct mr_pages *pages = argument;

    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    pthread_mutex_lock(&pages->lock);
    while (!pages->ending) {
        if (!is_behind(pages)) {
            pthread_cond_wait(&pages->change, &pages->lock);
            continue;
        }
        pthread_mutex_unlock(&pages->lock);
        void *page = make();
        pthread_mutex_lock(&pages->lock);
        if (page)
            pages->ready[pages->n_ready++] = page; /* only this thread adds to them */
        else
            pages->failed = true;
        pthread_cond_broadcast(&pages->change);
    }
    pthread_mutex_unlock(&pages->lock);
    return NULL;
}

enum mr_status mr_pages_new(struct mr_pages **out)
{
    struct mr_pages *pages = calloc(1, sizeof *pages);

    if (!pages)
        return MR_ERR_MEMORY;
    pthread_mutex_init(&pages->lock, NULL);
    pthread_cond_init(&pages->change, NULL);
    if (pthread_create(&pages->thread, NULL, make_ready, pages)) {
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
    pthread_mutex_lock(&pages->lock);
    pages->ending = true;
    pthread_cond_broadcast(&pages->change);
    pthread_mutex_unlock(&pages->lock);
    pthread_join(pages->thread, NULL);
    for (uint32_t i = 0; i < pages->n_ready; i++)
        munmap(pages->ready[i], MR_LARGE_PAGE_BYTES);
    pthread_cond_destroy(&pages->change);
    pthread_mutex_destroy(&pages->lock);
    free(pages);
}

/* Under the lock. */
static void expect(struct mr_pages *pages, int64_t n)
{
    pages->expected += n;
    if (is_behind(pages))
        pthread_cond_broadcast(&pages->change);
}

void mr_pages_expect(struct mr_pages *pages, int64_t n)
{
    pthread_mutex_lock(&pages->lock);
    expect(pages, n);
    pthread_mutex_unlock(&pages->lock);
}

bool mr_pages_take(struct mr_pages *pages, void *at)
{
    void *page = NULL;

    pthread_mutex_lock(&pages->lock);
    if (pages->n_ready && pages->n_taken < MR_MOST_TAKEN_PAGES) {
        page = pages->ready[--pages->n_ready];
        pages->n_taken++;
    }
    expect(pages, -1);
    pthread_mutex_unlock(&pages->lock);
    if (!page)
        return false;
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
    pthread_mutex_lock(&pages->lock);
    pages->n_taken -= n;
    pthread_mutex_unlock(&pages->lock);
}

void mr_pages_settle(struct mr_pages *pages)
{
    pthread_mutex_lock(&pages->lock);
    while (is_behind(pages))
        pthread_cond_wait(&pages->change, &pages->lock);
    pthread_mutex_unlock(&pages->lock);
}
