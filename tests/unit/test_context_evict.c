/* Evicting contexts: how much a call looks at. */
// layers: runtime base
#include "runtime/context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MANY 60000u
#define MOST (1024 + MR_CONTEXT_SLICE) /* passed over, and handed out */

static uint64_t hash_of(uint32_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15u;
}

/* Makes contexts until all partitions have too many. Gives the next key. */
static uint32_t overfill(struct mr_context_table *table, uint32_t key)
{
    while (table->n_over < 1u << table->partition_bits) {
        assert_non_null(mr_contexts_add(table, hash_of(key), &key, sizeof key));
        key++;
    }
    return key;
}

/* Evicts all that are too many; gives the most entries of lists that a call has looked at. */
static uint64_t most_looked_at(struct mr_context_table *table)
{
    struct mr_context *evicted[MR_CONTEXT_SLICE];
    uint32_t before[1024] = {0};
    uint64_t most = 0;

    for (bool more = true; more;) {
        uint64_t looked_at = 0;
        for (uint32_t p = 0; p < 1u << table->partition_bits; p++)
            before[p] = table->partitions[p].next_oldest;
        uint32_t n = mr_contexts_evict(table, evicted, &more);
        for (uint32_t p = 0; p < 1u << table->partition_bits; p++)
            if (table->partitions[p].next_oldest > before[p])
                looked_at += table->partitions[p].next_oldest - before[p];
        most = looked_at > most ? looked_at : most;
        for (uint32_t i = 0; i < n; i++) {
            mr_contexts_unlink(table, evicted[i]);
            mr_contexts_release(table, evicted[i]);
        }
    }
    return most;
}

/* Who was used since the list was made is passed over: so many in a call, of all partitions. */
static void used_ones_are_passed_over_in_slices(void **state)
{
    struct mr_context_table table;
    struct mr_context_caps caps;

    (void)state;
    assert_int_equal(mr_context_caps(&caps, MANY), MR_OK);
    mr_contexts_init(&table, &caps, 1, 0, 0);
    mr_contexts_begin(&table, 1);
    uint32_t key = overfill(&table, 0);
    mr_contexts_begin(&table, 100000);
    most_looked_at(&table);
    assert_int_equal(table.n_over, 0);
    mr_contexts_begin(&table, 200000);
    for (uint32_t p = 0; p < 1u << table.partition_bits; p++) {
        const struct mr_context_old *list = &table.oldest[(uint64_t)p * table.most_oldest];
        const struct mr_context_partition *partition = &table.partitions[p];
        assert_true(partition->n_oldest - partition->next_oldest > 100);
        for (uint32_t i = partition->next_oldest; i + 20 < partition->n_oldest; i++)
            mr_contexts_touch(&table, mr_context_at(&table, list[i].index));
    }
    overfill(&table, key);
    assert_in_range(most_looked_at(&table), 1, MOST);
    assert_int_equal(table.n_over, 0);
    mr_contexts_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(used_ones_are_passed_over_in_slices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
