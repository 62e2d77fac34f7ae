/* Context tables against a plain model: finding, adding, who is evicted, deadlines that
 * ring once and in time, whatever leaps packet time makes. */
// layers: runtime base
#include "runtime/context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NS   1000000000ull
#define MOST 300

static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void finds_what_was_added_and_recycles(void **state)
{
    struct mr_context_table table;
    (void)state;
    assert_int_equal(mr_contexts_init(&table, 1000, 64, 256), MR_OK);
    assert_null(mr_contexts_find(&table, 1, "a", 1));
    struct mr_context *a = mr_contexts_add(&table, 1, "a", 1);
    struct mr_context *b = mr_contexts_add(&table, 1, "b", 1); /* same hash, other key */
    assert_ptr_equal(mr_contexts_find(&table, 1, "a", 1), a);
    assert_ptr_equal(mr_contexts_find(&table, 1, "b", 1), b);
    memset(a->slots, 0xff, 64);
    mr_contexts_unlink(&table, a);
    assert_null(mr_contexts_find(&table, 1, "a", 1));
    mr_contexts_release(&table, a);
    struct mr_context *c = mr_contexts_add(&table, 2, "c", 1);
    assert_ptr_equal(c, a); /* the memory again, clean */
    for (int i = 0; i < 64; i++)
        assert_int_equal(c->slots[i], 0);
    char key[16];
    for (uint64_t i = 0; i < 998; i++) { /* grows */
        int len = snprintf(key, sizeof key, "k%llu", (unsigned long long)i);
        assert_non_null(mr_contexts_add(&table, i * 0x9e3779b97f4a7c15u, key, (uint32_t)len));
    }
    assert_true(mr_contexts_full(&table));
    assert_null(mr_contexts_add(&table, 77, "over", 4));
    for (uint64_t i = 0; i < 998; i++) {
        int len = snprintf(key, sizeof key, "k%llu", (unsigned long long)i);
        assert_non_null(mr_contexts_find(&table, i * 0x9e3779b97f4a7c15u, key, (uint32_t)len));
    }
    mr_contexts_free(&table);
}

static void the_victim_was_not_used_of_late(void **state)
{
    struct mr_context_table table;
    (void)state;
    assert_int_equal(mr_contexts_init(&table, 3, 0, 0), MR_OK);
    assert_null(mr_contexts_victim(&table));
    table.batch = 1;
    struct mr_context *a = mr_contexts_add(&table, 1, "a", 1);
    struct mr_context *b = mr_contexts_add(&table, 2, "b", 1);
    struct mr_context *c = mr_contexts_add(&table, 3, "c", 1);
    mr_contexts_touch(&table, a);
    mr_contexts_touch(&table, b);
    mr_contexts_touch(&table, c);
    assert_null(mr_contexts_victim(&table)); /* the task under way uses all of them */
    table.batch = 2;
    assert_ptr_equal(mr_contexts_victim(&table), a); /* the hand has taken the marks away */
    mr_contexts_touch(&table, b);
    table.batch = 3;
    assert_ptr_equal(mr_contexts_victim(&table), c);
    mr_contexts_unlink(&table, c);
    mr_contexts_release(&table, c);
    assert_ptr_equal(mr_contexts_victim(&table), a);
    mr_contexts_touch(&table, a);
    table.batch = 4;
    assert_ptr_equal(mr_contexts_victim(&table), b);
    mr_contexts_free(&table);
}

/* Thousands of keys with few different hashes, against a plain list. */
static void crowded_tables_find_the_right_one(void **state)
{
    enum { KEYS = 4000 };
    static struct mr_context *known[KEYS];
    struct mr_context_table table;
    (void)state;
    random_state = 77;
    memset(known, 0, sizeof known);
    assert_int_equal(mr_contexts_init(&table, KEYS, 24, 0), MR_OK);
    for (int step = 0; step < 60000; step++) {
        uint32_t i = (uint32_t)(next_random() % KEYS);
        /* homes near the end of the table as well, so that clusters wrap around */
        uint64_t hash = (i % 3 ? UINT64_MAX - (uint64_t)(i % 50) * (1ull << 32) : i % 7) ^ i % 2;
        assert_ptr_equal(mr_contexts_find(&table, hash, &i, sizeof i), known[i]);
        if (known[i]) {
            mr_contexts_unlink(&table, known[i]);
            mr_contexts_release(&table, known[i]);
            known[i] = NULL;
        } else {
            known[i] = mr_contexts_add(&table, hash, &i, sizeof i);
            assert_non_null(known[i]);
        }
        if (step % 3000)
            continue;
        uint32_t n = 0, all = 0;
        bool more = true;
        for (uint32_t k = 0; k < KEYS; k++)
            n += known[k] != NULL;
        struct mr_context *slice[MR_CONTEXT_SLICE];
        while (more)
            all += mr_contexts_all(&table, slice, &more);
        assert_int_equal(all, n);
        assert_int_equal(table.n_contexts, n);
    }
    mr_contexts_free(&table);
}

#define MANY 60000u

static uint64_t hash_of(uint32_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15u;
}

static void all_is_found_while_the_table_grows(void **state)
{
    static struct mr_context *made[MANY];
    struct mr_context_table table;
    (void)state;
    assert_int_equal(mr_contexts_init(&table, MANY, 8, 0), MR_OK);
    uint64_t first = table.mask;
    assert_true(first < table.most);
    for (uint32_t i = 0; i < MANY; i++) {
        made[i] = mr_contexts_add(&table, hash_of(i), &i, sizeof i);
        assert_non_null(made[i]);
        uint32_t gone = i / 2; /* some end before, some after their tags have moved */
        if (i % 3 == 0 && made[gone]) {
            mr_contexts_unlink(&table, made[gone]);
            mr_contexts_release(&table, made[gone]);
            made[gone] = NULL;
        }
        uint32_t any = (uint32_t)(next_random() % (i + 1));
        assert_ptr_equal(mr_contexts_find(&table, hash_of(any), &any, sizeof any), made[any]);
        if (i && table.mask != first) {
            for (uint32_t k = 0; k <= i; k++)
                assert_ptr_equal(mr_contexts_find(&table, hash_of(k), &k, sizeof k), made[k]);
            first = table.mask;
        }
    }
    assert_int_equal(table.mask, table.most);
    for (uint32_t k = 0; k < MANY; k++)
        assert_ptr_equal(mr_contexts_find(&table, hash_of(k), &k, sizeof k), made[k]);
    mr_contexts_free(&table);
}

static void memory_is_as_planned(void **state)
{
    struct mr_context_table table;
    (void)state;
    assert_int_equal(mr_contexts_init(&table, 1000, 100, 10), MR_OK);
    assert_int_equal(table.mapped_bytes, mr_contexts_bytes(1000, 100, 10));
    assert_true(table.mapped_bytes >= 1000 * (sizeof(struct mr_context) + 100 + 10));
    assert_null(table.entries); /* nothing is taken before the first context */
    struct mr_context *last = NULL;
    for (uint32_t i = 0; i < 1000; i++) {
        last = mr_contexts_add(&table, i * 0x9e3779b97f4a7c15u, &i, sizeof i);
        memset(last->slots, 1, 100);
        memset(mr_context_row_memory(&table, last), 2, 10);
    }
    uint8_t *end = table.memory + table.mapped_bytes;
    assert_true(mr_context_row_memory(&table, last) + 10 <= end);
    assert_int_equal(mr_contexts_init(&table, (uint64_t)1 << 40, 0, 0), MR_ERR_LIMIT);
    mr_contexts_free(&table);
}

/* Each key's deadline as a model, beside the table; time leaps by fractions of a second to hours.
 */
static void deadlines_ring_once_and_in_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct mr_context_table table;
        struct mr_context *contexts[MOST] = {0};
        uint64_t deadline[MOST] = {0}, now = 1700000000ull * NS, rung = 0;
        struct mr_context *expired[MR_CONTEXT_SLICE];

        random_state = seed * 0x9e3779b97f4a7c15u;
        mr_contexts_init(&table, MOST, 8, 0);
        for (int step = 0; step < 2000; step++) {
            uint32_t i = (uint32_t)(next_random() % MOST);
            if (!contexts[i]) {
                contexts[i] = mr_contexts_add(&table, i, &i, sizeof i);
                contexts[i]->flow.first_packet = i;
            }
            uint64_t r = next_random();
            deadline[i] = r % 10 ? now + (r >> 8) % (r & 64 ? 3 * NS : 4000 * NS) : 0;
            mr_contexts_deadline(&table, contexts[i], deadline[i]);
            if (step % 3)
                continue;
            r = next_random();
            now += (r >> 8) % (r % 50 ? NS * 2 : 5000 * NS);
            bool due = false; /* a table that says it has nothing to do must have nothing */
            for (uint32_t k = 0; k < MOST; k++)
                due |= deadline[k] && deadline[k] / NS + 1 <= now / NS;
            if (due)
                assert_true(table.next_deadline_ns <= now);
            for (bool more = true; more;) {
                uint32_t n = mr_contexts_expire(&table, now, expired, &more);
                for (uint32_t k = 0; k < n; k++) {
                    uint64_t key = expired[k]->flow.first_packet;
                    assert_true(deadline[key] && deadline[key] / NS + 1 <= now / NS);
                    deadline[key] = 0;
                    contexts[key] = NULL;
                    mr_contexts_unlink(&table, expired[k]);
                    mr_contexts_release(&table, expired[k]);
                    rung++;
                }
            }
            for (uint32_t k = 0; k < MOST; k++) /* none was forgotten */
                assert_false(deadline[k] && deadline[k] / NS + 1 <= now / NS);
        }
        assert_true(rung > 50);
        mr_contexts_free(&table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_added_and_recycles),
        cmocka_unit_test(the_victim_was_not_used_of_late),
        cmocka_unit_test(crowded_tables_find_the_right_one),
        cmocka_unit_test(all_is_found_while_the_table_grows),
        cmocka_unit_test(memory_is_as_planned),
        cmocka_unit_test(deadlines_ring_once_and_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
