/* Large pages made ready by a thread, and moved to where they are wanted. */
// layers: base
#include "base/pages.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define N       5
#define ROUNDS  24
#define THREADS 4

static uint8_t *addresses(void)
{
    uint8_t *memory = mmap(NULL, (N + 1) * MR_LARGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

static uint8_t *aligned(uint8_t *memory)
{
    return memory + -(uintptr_t)memory % MR_LARGE_PAGE_BYTES;
}

static bool is_there(uint8_t *page)
{
    unsigned char there[MR_LARGE_PAGE_BYTES / MR_PAGE_BYTES];
    assert_int_equal(mincore(page, MR_LARGE_PAGE_BYTES, there), 0);
    for (size_t i = 0; i < sizeof there; i++)
        if (!(there[i] & 1))
            return false;
    return true;
}

static void pages_come_ready_and_clean(void **state)
{
    struct mr_pages *pages = NULL;
    uint8_t *memory = addresses(), *first = aligned(memory);
    (void)state;

    assert_int_equal(mr_pages_new(&pages), MR_OK);
    for (int round = 0; round < 3; round++) {
        memset(first, 1, MR_PAGE_BYTES); /* stays as it is: what is taken lies behind it */
        mr_pages_expect(pages, N - 1);
        mr_pages_settle(pages);
        for (uint64_t i = 1; i < N; i++) {
            uint8_t *page = first + i * MR_LARGE_PAGE_BYTES;
            assert_false(is_there(page));
            assert_true(mr_pages_take(pages, page));
            assert_true(is_there(page));
            for (uint64_t at = 0; at < MR_LARGE_PAGE_BYTES; at += 512)
                assert_int_equal(page[at], 0);
            memset(page, 0xff, MR_LARGE_PAGE_BYTES);
        }
        assert_int_equal(first[1], 1);
        assert_int_equal(munmap(memory, (N + 1) * MR_LARGE_PAGE_BYTES), 0);
        mr_pages_gone(pages, N - 1);
        memory = addresses();
        first = aligned(memory);
    }
    munmap(memory, (N + 1) * MR_LARGE_PAGE_BYTES);
    mr_pages_free(pages);
}

static void without_one_memory_stays_as_it_is(void **state)
{
    struct mr_pages *pages = NULL;
    uint8_t *memory = addresses(), *first = aligned(memory);
    (void)state;

    assert_int_equal(mr_pages_new(&pages), MR_OK);
    assert_false(mr_pages_take(pages, first)); /* nobody has expected one */
    first[0] = 1;
    assert_int_equal(first[MR_PAGE_BYTES], 0);
    mr_pages_expect(pages, 1); /* makes good for it */
    mr_pages_settle(pages);
    assert_false(mr_pages_take(pages, first + MR_LARGE_PAGE_BYTES));
    assert_int_equal(first[0], 1);
    munmap(memory, (N + 1) * MR_LARGE_PAGE_BYTES);
    mr_pages_free(pages);
}

static void what_is_ready_serves_others(void **state)
{
    struct mr_pages *pages = NULL;
    uint8_t *memory = addresses(), *first = aligned(memory);
    (void)state;

    assert_int_equal(mr_pages_new(&pages), MR_OK);
    mr_pages_expect(pages, 3);
    mr_pages_settle(pages);
    mr_pages_expect(pages, -3); /* they stay, for others */
    for (uint64_t i = 0; i < 3; i++)
        assert_true(mr_pages_take(pages, first + i * MR_LARGE_PAGE_BYTES));
    assert_false(mr_pages_take(pages, first + 3 * MR_LARGE_PAGE_BYTES));
    munmap(memory, (N + 1) * MR_LARGE_PAGE_BYTES);
    mr_pages_free(pages);
    mr_pages_free(NULL);
}

/* Threads take what is ready at the same time; each page has one owner, and all of it is clean. */
static void *take_some(void *argument)
{
    struct mr_pages *pages = argument;
    uint8_t *memory = addresses(), *first = aligned(memory);
    uint32_t taken = 0;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint8_t *page = first + i % N * MR_LARGE_PAGE_BYTES;
        if (i && i % N == 0) { /* the addresses anew */
            munmap(memory, (N + 1) * MR_LARGE_PAGE_BYTES);
            mr_pages_gone(pages, taken);
            memory = addresses();
            first = aligned(memory);
            taken = 0;
            continue;
        }
        mr_pages_expect(pages, 1);
        mr_pages_settle(pages);
        taken += mr_pages_take(pages, page);
        for (uint64_t at = 0; at < MR_LARGE_PAGE_BYTES; at += MR_LARGE_PAGE_BYTES / 8) {
            if (page[at])
                return argument;
            page[at] = 1;
        }
    }
    munmap(memory, (N + 1) * MR_LARGE_PAGE_BYTES);
    mr_pages_gone(pages, taken);
    return NULL;
}

static void several_threads_take_each_its_own(void **state)
{
    pthread_t threads[THREADS];
    struct mr_pages *pages = NULL;
    (void)state;

    assert_int_equal(mr_pages_new(&pages), MR_OK);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_some, pages), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong = pages;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    mr_pages_free(pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pages_come_ready_and_clean),
                                       cmocka_unit_test(without_one_memory_stays_as_it_is),
                                       cmocka_unit_test(what_is_ready_serves_others),
                                       cmocka_unit_test(several_threads_take_each_its_own)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
