/* Rows of a table are found while its index grows, in slices: those that came before, those that
 * come meanwhile, and not those that went. Rows end in the order of their deadlines, however many
 * there are, and no list of them is ever moved. */
// layers: runtime analog base
// threads: 1
#include "runtime/exec.h"
#include "runtime/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEYS     20000u
#define ROUNDS   200000u
#define LIFETIME 1000000u

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33) % below;
}

static struct mr_row *find(struct mr_table *t, uint32_t key)
{
    const union mr_value value = mr_value_int(key);
    return mr_table_find(t, 0, &value);
}

static void check(struct mr_table *t, const uint32_t *expected)
{
    uint32_t n = 0;

    for (uint32_t key = 0; key < KEYS; key++) {
        const struct mr_row *row = find(t, key);
        assert_int_equal(row != NULL, expected[key] != 0);
        if (row)
            assert_int_equal(row->values[1].i, expected[key]);
        n += row != NULL;
    }
    assert_int_equal(t->n, n);
}

/* First the more come, then the more go. */
static void rows_are_found_while_an_index_grows(void **state)
{
    struct mr_plan_attribute attributes[] = {{.name = "KEY", .type = MR_TYPE_INT, .live = true},
                                             {.name = "VALUE", .type = MR_TYPE_INT, .live = true}};
    struct mr_plan_predicate predicate = {.name = "row", .arity = 2, .attributes = attributes};
    struct mr_plan_table table = {.name = "row",
                                  .lifetime_ns = MR_FOREVER,
                                  .max_rows = MR_FOREVER,
                                  .indexes = {{.n = 1}},
                                  .n_indexes = 1};
    const struct mr_plan plan = {.predicates = &predicate, .tables = &table, .n_tables = 1};
    uint32_t *expected = calloc(KEYS, sizeof *expected);
    struct mr_buffers *pool = NULL;
    struct mr_secret secret;
    struct mr_table t;
    uint64_t random = 1, growing = 0;
    (void)state;

    assert_non_null(expected);
    assert_int_equal(mr_buffers_new(&pool, 1u << 26), MR_OK);
    assert_int_equal(mr_secret_draw(&secret, 1), MR_OK);
    mr_table_init(&t, &plan, 0, pool, &secret);
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        uint32_t key = draw(&random, KEYS);
        if (draw(&random, ROUNDS) > i) {
            const union mr_value values[2] = {mr_value_int(key), mr_value_int(i)};
            struct mr_change change;
            mr_table_put(&t, values, i, (struct mr_order_key){i, 0, 0}, &change);
            assert_int_equal(change.what, expected[key] ? MR_PUT_REPLACED : MR_PUT_ADDED);
            mr_table_release(&t, change.old);
            expected[key] = i;
        } else {
            struct mr_row *row = find(&t, key);
            assert_int_equal(row != NULL, expected[key] != 0);
            if (row)
                mr_table_unlink(&t, row);
            mr_table_release(&t, row);
            expected[key] = 0;
        }
        growing += t.indexes[0].old != NULL;
        if ((t.indexes[0].old && !(growing % 256)) || i == ROUNDS)
            check(&t, expected);
    }
    assert_true(growing > 2048);
    mr_table_free(&t);
    mr_buffers_free(pool);
    free(expected);
}

/* Deadlines come in any order, since a row that is put in again lives longer; some rows go before
 * their time. What ends is always what is due first. */
static void rows_end_in_the_order_of_their_deadlines(void **state)
{
    struct mr_plan_attribute attribute = {.name = "KEY", .type = MR_TYPE_INT, .live = true};
    struct mr_plan_predicate predicate = {.name = "row", .arity = 1, .attributes = &attribute};
    struct mr_plan_table table = {.name = "row",
                                  .lifetime_ns = LIFETIME,
                                  .max_rows = MR_FOREVER,
                                  .indexes = {{.n = 1}},
                                  .n_indexes = 1};
    const struct mr_plan plan = {.predicates = &predicate, .tables = &table, .n_tables = 1};
    uint64_t *deadlines = calloc(KEYS, sizeof *deadlines); /* 0: not there */
    struct mr_buffer *parts[MR_HEAP_PARTS] = {0};
    struct mr_buffers *pool = NULL;
    struct mr_secret secret;
    struct mr_table t;
    uint64_t random = 7, last = 0, n = 0;
    struct mr_row *row;
    (void)state;

    assert_non_null(deadlines);
    assert_int_equal(mr_buffers_new(&pool, 1u << 26), MR_OK);
    assert_int_equal(mr_secret_draw(&secret, 1), MR_OK);
    mr_table_init(&t, &plan, 0, pool, &secret);
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        uint32_t key = draw(&random, KEYS);
        if (draw(&random, 16)) {
            const union mr_value value = mr_value_int(key);
            uint64_t now = i + draw(&random, 1000);
            struct mr_change change;
            mr_table_put(&t, &value, now, (struct mr_order_key){i, 0, 0}, &change);
            assert_int_equal(change.what, deadlines[key] ? MR_PUT_SAME : MR_PUT_ADDED);
            n += !deadlines[key];
            deadlines[key] = now + LIFETIME;
        } else if ((row = find(&t, key))) {
            mr_table_unlink(&t, row);
            mr_table_release(&t, row);
            deadlines[key] = 0;
            n--;
        }
        assert_int_equal(t.n_heap, n);
        for (uint32_t part = 0; part < MR_HEAP_PARTS; part++) {
            assert_true(!parts[part] || parts[part] == t.heap[part]);
            parts[part] = t.heap[part];
        }
    }
    assert_non_null(parts[7]); /* thousands of rows: 64 + 128 + ... */
    while ((row = mr_table_expired(&t, UINT64_MAX - 1))) {
        assert_true(row->deadline_ns >= last);
        assert_int_equal(row->deadline_ns, deadlines[row->values[0].i]);
        last = row->deadline_ns;
        deadlines[row->values[0].i] = 0;
        mr_table_unlink(&t, row);
        mr_table_release(&t, row);
        n--;
    }
    assert_int_equal(n, 0);
    mr_table_free(&t);
    struct mr_buffers_usage usage;
    mr_buffers_usage(pool, &usage);
    assert_int_equal(usage.used_bytes, 0);
    mr_buffers_free(pool);
    free(deadlines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_found_while_an_index_grows),
        cmocka_unit_test(rows_end_in_the_order_of_their_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
