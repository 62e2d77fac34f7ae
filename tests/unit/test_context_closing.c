/* Contexts of a table in the order in which they are closed, and how many at a time. */
// layers: runtime base
// threads: 1
#include "runtime/context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

#define SLICE 1024u /* what a call may look at */

/* Nothing is handed out, and a call does so much at most. */
static void put_in_order(struct mr_context_table *table)
{
    struct mr_context *closed[MR_CONTEXT_SLICE];
    uint32_t calls = 0;

    for (bool more = true; more; calls++) {
        uint64_t before = table->strain;
        assert_int_equal(mr_contexts_close(table, 0, closed, &more), 0);
        assert_true(table->strain - before <= SLICE);
    }
    assert_true(calls >= table->n_made / SLICE + 1);
}

static uint64_t place_behind(struct mr_context_table *table, uint32_t n)
{
    uint32_t calls = 1, left = table->n_closing < n ? table->n_closing : n;

    for (; !mr_contexts_look_behind(table, n); calls++)
        assert_true(calls <= n / SLICE);
    assert_true(calls >= left / SLICE);
    return table->closing_end;
}

/* The oldest packet first, of one packet by key, wherever they lie, and cut anywhere. */
static void they_are_closed_by_their_places(void **state)
{
    enum { KEYS = 8000 };
    struct mr_context_caps caps;
    struct mr_context_table table;
    struct mr_context *closed[MR_CONTEXT_SLICE];
    (void)state;

    for (uint32_t round = 0; round < 30; round++) {
        uint64_t last = 0;
        uint32_t n = 0, left = 0, cuts = 0;
        bool more;
        random_state = round + 1;
        assert_int_equal(mr_context_caps(&caps, KEYS), MR_OK);
        mr_contexts_init(&table, &caps, 1, 8, 0);
        for (uint32_t i = 0; i < KEYS; i++) {
            struct mr_context *c =
                mr_contexts_add(&table, (i + 1) * 0x9e3779b97f4a7c15u, &i, sizeof i);
            assert_non_null(c);
            /* in order, in the opposite one, and anyhow */
            c->flow.first_packet = round % 3 == 0   ? i / 2
                                   : round % 3 == 1 ? KEYS - i
                                                    : next_random() % 100;
            left++;
            if (next_random() % 4)
                continue;
            mr_contexts_unlink(&table, c); /* its place is used again */
            mr_contexts_release(&table, c);
            left--;
        }
        put_in_order(&table);
        assert_int_equal(table.n_closing, left);
        for (uint64_t end = 0; left; cuts++) {
            uint32_t share = 1 + (uint32_t)(next_random() % (cuts % 8 == 3 ? 2500 : 500)),
                     before = left;
            end = place_behind(&table, share);
            for (more = true; more;) {
                n = mr_contexts_close(&table, end, closed, &more);
                for (uint32_t i = 0; i < n; i++) {
                    uint64_t place = mr_context_place(closed[i]).sub;
                    assert_true(place >= last && place < end && place < 1ull << 55);
                    last = place;
                    if (round & 1) /* at the end of the input; else they stay */
                        mr_contexts_unlink(&table, closed[i]);
                }
                left -= n;
            }
            assert_int_equal(before - left, before < share ? before : share);
            assert_int_equal(table.n_closing, left);
        }
        assert_true(cuts > 5);
        assert_int_equal(mr_contexts_close(&table, UINT64_MAX, closed, &more), 0);
        assert_true(table.n_contexts == 0 || !(round & 1));
        mr_contexts_free(&table);
    }
}

/* The more a context has the fewer are handed out at a time, and the more an end counts. */
static void large_ones_come_a_few_at_a_time(void **state)
{
    enum { KEYS = 1000 };
    static const uint32_t bytes[] = {8, 900, 20000};
    struct mr_context *some[MR_CONTEXT_SLICE];
    struct mr_context_table table;
    struct mr_context_caps caps;
    (void)state;

    for (uint32_t i = 0; i < 4 * sizeof bytes / sizeof *bytes; i++) {
        uint32_t left = KEYS, cost;
        bool more = true;
        assert_int_equal(mr_context_caps(&caps, i % 4 == 3 ? 400 : KEYS), MR_OK);
        mr_contexts_init(&table, &caps, 1, bytes[i / 4], 0);
        cost = table.stride / 128 < 32 ? table.stride / 128 : 32; /* or one of the least, 4 */
        mr_contexts_begin(&table, 1);
        for (uint32_t key = 0; key < KEYS; key++) {
            struct mr_context *c =
                mr_contexts_add(&table, (key + 1) * 0x9e3779b97f4a7c15u, &key, sizeof key);
            if (c)
                mr_contexts_deadline(&table, c, 5000000000u);
            left -= !c;
        }
        while (more) {
            uint32_t n = i % 4 == 0   ? mr_contexts_expire(&table, 9000000000u, some, &more)
                         : i % 4 == 1 ? mr_contexts_all(&table, some, &more)
                         : i % 4 == 2 ? mr_contexts_close(&table, UINT64_MAX - 1, some, &more)
                                      : mr_contexts_evict(&table, some, &more);
            assert_true(n <= 32 || (n <= 256 && n * table.stride <= 128 * 1024));
            uint64_t before = table.strain;
            for (uint32_t k = 0; k < n; k++) {
                mr_contexts_unlink(&table, some[k]);
                mr_contexts_release(&table, some[k]);
            }
            assert_true(table.strain - before >= (uint64_t)n * (cost < 4 ? 4 : cost));
            left -= n;
        }
        assert_int_equal(left, table.n_contexts);
        assert_true(i % 4 == 3 ? !table.n_over : !left);
        mr_contexts_free(&table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_closed_by_their_places),
        cmocka_unit_test(large_ones_come_a_few_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
