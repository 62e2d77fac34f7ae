/* Arenas, the buffer pool, keyed hashing, counters' names. */
// layers: base metrics
#include "base/arena.h"
#include "base/buffers.h"
#include "base/hash.h"
#include "base/number.h"
#include "metrics/metrics.h"

#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void arena_aligns_reuses_and_keeps_its_cap(void **state)
{
    struct mr_arena arena;
    (void)state;
    mr_arena_init(&arena, 256 * 1024);
    for (int round = 0; round < 3; round++) {
        size_t held = arena.held_bytes;
        for (size_t n = 1; n < 300; n++) {
            uint8_t *p = mr_arena_alloc(&arena, n);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            memset(p, 0xa5, n);
        }
        if (round)
            assert_int_equal(arena.held_bytes, held); /* after the first round no heap */
        mr_arena_reset(&arena);
    }
    assert_null(mr_arena_alloc(&arena, 1 << 20));
    assert_null(mr_arena_alloc(&arena, SIZE_MAX));
    assert_string_equal(mr_arena_string(&arena, "abcdef", 3), "abc");
    uint8_t *zeroed = mr_arena_zalloc(&arena, 100);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zeroed[i], 0);
    mr_arena_free(&arena);
    assert_int_equal(arena.held_bytes, 0);
}

static void pool_hands_out_what_was_asked_for_up_to_its_cap(void **state)
{
    struct mr_buffers *pool = NULL;
    struct mr_buffers_usage usage;
    (void)state;
    assert_int_equal(mr_buffers_new(&pool, 1 << 20), MR_OK);
    struct mr_buffer *small = mr_buffers_get(pool, 1), *large = mr_buffers_get(pool, 500000);
    assert_non_null(small);
    assert_non_null(large);
    assert_true(small->capacity >= 1 && large->capacity >= 500000);
    assert_int_equal(small->len, 0);
    memset(large->data, 1, large->capacity);
    assert_null(mr_buffers_get(pool, 600000)); /* over the cap */
    assert_null(mr_buffers_get(pool, (size_t)65 << 20));
    mr_buffers_usage(pool, &usage);
    assert_int_equal(usage.refused, 2);
    mr_buffers_put(pool, large);
    /* what is listed in one class makes room for another */
    struct mr_buffer *largest = mr_buffers_get(pool, 600000);
    assert_null(largest); /* 1 MiB and the small one do not fit */
    mr_buffers_put(pool, small);
    largest = mr_buffers_get(pool, 600000);
    assert_non_null(largest);
    mr_buffers_usage(pool, &usage);
    assert_int_equal(usage.used_bytes, largest->capacity);
    mr_buffers_put(pool, largest);
    mr_buffers_put(pool, NULL);
    mr_buffers_usage(pool, &usage);
    assert_int_equal(usage.used_bytes, 0);
    assert_true(usage.peak_bytes <= usage.cap_bytes);
    mr_buffers_free(pool);
}

static void *churn(void *argument)
{
    struct mr_buffers *pool = argument;
    struct mr_buffer *held[8] = {0};
    uint64_t random = (uintptr_t)&pool | 1;
    for (int i = 0; i < 20000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        struct mr_buffer **slot = &held[random % 8];
        mr_buffers_put(pool, *slot);
        *slot = mr_buffers_get(pool, random >> 20 & 0x3fff);
        if (*slot)
            (*slot)->data[0] = (uint8_t)i;
    }
    for (int i = 0; i < 8; i++)
        mr_buffers_put(pool, held[i]);
    return NULL;
}

static void pool_is_thread_safe(void **state)
{
    struct mr_buffers *pool = NULL;
    struct mr_buffers_usage usage;
    pthread_t threads[4];
    (void)state;
    assert_int_equal(mr_buffers_new(&pool, 200000), MR_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, pool), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    mr_buffers_usage(pool, &usage);
    assert_int_equal(usage.used_bytes, 0);
    assert_true(usage.peak_bytes <= 200000);
    mr_buffers_free(pool);
}

static void hashes_are_keyed_and_flow_keys_symmetric(void **state)
{
    struct mr_secret one, same, other, drawn;
    (void)state;
    assert_int_equal(mr_secret_draw(&one, 1), MR_OK);
    assert_int_equal(mr_secret_draw(&same, 1), MR_OK);
    assert_int_equal(mr_secret_draw(&other, 2), MR_OK);
    assert_int_equal(mr_secret_draw(&drawn, 0), MR_OK);
    assert_true(mr_hash_bytes(&one, "abc", 3) == mr_hash_bytes(&same, "abc", 3));
    assert_true(mr_hash_bytes(&one, "abc", 3) != mr_hash_bytes(&other, "abc", 3));
    assert_true(mr_hash_bytes(&one, "abc", 3) != mr_hash_bytes(&drawn, "abc", 3));

    struct mr_endpoint x = {{192, 0, 2, 1}, 25, 4, 6, 0}, y = {{192, 0, 2, 2}, 4711, 4, 6, 0};
    struct mr_flow_key there, back;
    mr_flow_key_make(&one, &x, &y, &there);
    mr_flow_key_make(&one, &y, &x, &back);
    assert_memory_equal(&there, &back, sizeof there);
    y.zone = 7;
    mr_flow_key_make(&one, &x, &y, &back);
    assert_true(there.hash != back.hash);
}

static void counters_have_names_and_add_up(void **state)
{
    struct mr_metrics a = {0}, b = {0}, sum = {0};
    (void)state;
    for (int i = 0; i < MR_N_COUNTERS; i++) {
        assert_true(strlen(mr_counter_name((enum mr_counter)i)) > 0);
        assert_true(strlen(mr_counter_text((enum mr_counter)i)) > 0);
    }
    for (int i = 0; i < MR_N_DROPS; i++)
        assert_true(strlen(mr_drop_name((enum mr_drop)i)) && strlen(mr_drop_text((enum mr_drop)i)));
    mr_metrics_drop(&a, MR_DROP_CHECKSUM, 3);
    mr_metrics_drop(&b, MR_DROP_CHECKSUM, 4);
    mr_metrics_drop(&b, MR_DROP_NOT_IP, 1);
    mr_metrics_sum(&sum, &a);
    mr_metrics_sum(&sum, &b);
    assert_int_equal(sum.drops[MR_DROP_CHECKSUM], 7);
    assert_int_equal(sum.counters[MR_COUNT_PACKETS_DROPPED], 8);
}

static void numbers_are_digits_and_nothing_else(void **state)
{
    static const char *const wrong[] = {"",
                                        " 5",
                                        "+5",
                                        "-5",
                                        "5 ",
                                        "5x",
                                        "0x5",
                                        "x",
                                        "1",
                                        "21",
                                        "5\n",
                                        "200",
                                        "18446744073709551621"}; /* 5 in 64 bits */
    uint64_t number;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(mr_read_number(wrong[i], 2, 20, &number));
    assert_true(mr_read_number("2", 2, 20, &number) && number == 2);
    assert_true(mr_read_number("0020", 2, 20, &number) && number == 20);
    assert_true(mr_read_number("0", 0, 0, &number) && number == 0);
    assert_true(mr_read_number("18446744073709551615", 0, UINT64_MAX, &number) &&
                number == UINT64_MAX);
    assert_false(mr_read_number("18446744073709551616", 0, UINT64_MAX, &number));
    assert_false(mr_read_number("9", 0, 8, &number));
    assert_string_equal(mr_read_digits("7..9", 9, &number), "..9");
    assert_int_equal(number, 7);
}

static uint64_t resident_bytes(void)
{
    unsigned long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &all, &resident), 2);
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Where longer buffers are wanted, what the heap has left between shorter ones goes back to the
 * system: both together would be more than the cap. */
static void keeps_its_cap(uint32_t bytes, uint64_t beyond)
{
    enum { CAP = 64 << 20, STAY = 16, LARGE = 4 << 20 };
    static struct mr_buffer *small[CAP / 1024];
    struct mr_buffer *large[CAP / LARGE - 1];
    struct mr_buffers *pool = NULL;
    size_t n = CAP / bytes;

    malloc_trim(0); /* what earlier pools left in the heap would be counted as this one's room */
    uint64_t before = resident_bytes();
    assert_int_equal(mr_buffers_new(&pool, CAP), MR_OK);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(small[i] = mr_buffers_get_for_token(pool, bytes));
        memset(small[i]->data, (int)(i / STAY % 255 + 1), bytes);
    }
    for (size_t i = 0; i < n; i++)
        if (i % STAY)
            mr_buffers_put(pool, small[i]);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        assert_non_null(large[i] = mr_buffers_get_for_token(pool, LARGE));
        memset(large[i]->data, 1, LARGE);
    }
    if (beyond)
        assert_in_range(resident_bytes() - before, 0, CAP + beyond);
    for (size_t i = 0; i < n; i += STAY) /* what stayed is as it was */
        for (size_t k = 0; k < bytes; k++)
            if (small[i]->data[k] != i / STAY % 255 + 1)
                fail_msg("%u bytes: buffer %zu lost its byte %zu", bytes, i, k);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        mr_buffers_put(pool, large[i]);
    for (size_t i = 0; i < n; i += STAY)
        mr_buffers_put(pool, small[i]);
    mr_buffers_free(pool);
}

static void pool_keeps_its_cap_where_classes_change(void **state)
{
    (void)state;
    uint64_t share = 1 << 20;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    share = 0; /* another heap */
#endif
    /* of short ones that stay, the rest of their pages stay as well */
    keeps_its_cap(2048, 16 * share);
    keeps_its_cap(4096, 16 * share);
    keeps_its_cap(8192, 16 * share);
    keeps_its_cap(16384, 8 * share);
    keeps_its_cap(32768, 8 * share);
    keeps_its_cap(1024, 32 * share);
}

static uint64_t bytes_given_back(struct mr_buffers *pool, size_t capacity, struct mr_buffer **got)
{
    struct mr_buffers_usage before, after;

    mr_buffers_usage(pool, &before);
    assert_non_null(*got = mr_buffers_get_for_token(pool, capacity));
    memset((*got)->data, 1, (*got)->capacity);
    mr_buffers_usage(pool, &after);
    assert_in_range(after.used_bytes + after.listed_bytes, 0, after.cap_bytes);
    return before.used_bytes + before.listed_bytes + (*got)->capacity - after.used_bytes -
           after.listed_bytes;
}

/* The one that wants a longer buffer gives back what it needs, not all that lies listed: the rest
 * of them would be a pause of the worker. */
static void pool_gives_back_only_what_is_missing(void **state)
{
    (void)state;
    enum { CAP = 16 << 20, PIECE = 256 << 10, MOST = CAP / 512 };
    static const size_t classes[][2] = {
        {32 << 10, 64 << 10}, {512, 1024}, {2048, 1 << 20}, {8192, 16384}, {64 << 10, 2048},
    };
    static struct mr_buffer *listed[MOST], *got[MOST];

    for (size_t k = 0; k < sizeof classes / sizeof *classes; k++) {
        size_t from = classes[k][0], to = classes[k][1], n = CAP / from, m = CAP / to;
        struct mr_buffers *pool = NULL;
        assert_int_equal(mr_buffers_new(&pool, CAP), MR_OK);
        for (size_t i = 0; i < n; i++)
            assert_non_null(listed[i] = mr_buffers_get_for_token(pool, from));
        for (size_t i = 0; i < n; i++)
            mr_buffers_put(pool, listed[i]);
        for (size_t i = 0; i < m; i++)
            assert_in_range(bytes_given_back(pool, to, &got[i]), 0, PIECE + from + to);
        assert_null(mr_buffers_get_for_token(pool, from));
        for (size_t i = 0; i < m; i++)
            mr_buffers_put(pool, got[i]);
        mr_buffers_free(pool);
    }
}

/* Of a long one only a part is given back; all of it is there again for who takes it. */
static void pool_gives_back_long_buffers_in_pieces(void **state)
{
    (void)state;
    enum { CAP = 16 << 20, SMALL = 32 << 10, N = CAP / SMALL, PIECE = 256 << 10 };
    static struct mr_buffer *small[N];
    struct mr_buffer *large = NULL;
    struct mr_buffers *pool = NULL;
    uint64_t given;

    assert_int_equal(mr_buffers_new(&pool, CAP), MR_OK);
    for (int filled = 0; filled <= N; filled += N / 4) {
        given = bytes_given_back(pool, CAP, &large);
        assert_in_range(given, 0, CAP);
        for (uint32_t i = 0; i < large->capacity; i += 4096)
            assert_int_equal(large->data[i], 1);
        assert_null(mr_buffers_get_for_token(pool, SMALL));
        mr_buffers_put(pool, large);
        for (int i = 0; i < filled; i++)
            assert_in_range(bytes_given_back(pool, SMALL, &small[i]), 0, 2 * PIECE + SMALL);
        if (filled)
            assert_null(mr_buffers_get_for_token(pool, CAP)); /* a part of it is others' */
        for (int i = 0; i < filled; i++) {
            assert_int_equal(small[i]->data[SMALL - 1], 1);
            mr_buffers_put(pool, small[i]);
        }
    }
    mr_buffers_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_aligns_reuses_and_keeps_its_cap),
        cmocka_unit_test(pool_hands_out_what_was_asked_for_up_to_its_cap),
        cmocka_unit_test(pool_is_thread_safe),
        cmocka_unit_test(pool_keeps_its_cap_where_classes_change),
        cmocka_unit_test(pool_gives_back_only_what_is_missing),
        cmocka_unit_test(pool_gives_back_long_buffers_in_pieces),
        cmocka_unit_test(hashes_are_keyed_and_flow_keys_symmetric),
        cmocka_unit_test(numbers_are_digits_and_nothing_else),
        cmocka_unit_test(counters_have_names_and_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
