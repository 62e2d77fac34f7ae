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
#include <sys/mman.h>

#include <cmocka.h>

#define NS   1000000000ull
#define MOST 300

static uint64_t random_state;

/* A table of one lane. */
static void init(struct mr_context_table *table, uint64_t max_contexts, uint32_t context_bytes,
                 uint32_t row_bytes)
{
    struct mr_context_caps caps;

    assert_int_equal(mr_context_caps(&caps, max_contexts), MR_OK);
    mr_contexts_init(table, &caps, 1, context_bytes, row_bytes);
}

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

#define MANY 60000u

static uint64_t hash_of(uint32_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15u;
}

static void finds_what_was_added_and_recycles(void **state)
{
    struct mr_context_table table;
    (void)state;
    init(&table, 1000, 64, 256);
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
    for (uint64_t i = 0; i < 998; i++) {
        int len = snprintf(key, sizeof key, "k%llu", (unsigned long long)i);
        assert_non_null(mr_contexts_find(&table, i * 0x9e3779b97f4a7c15u, key, (uint32_t)len));
    }
    mr_contexts_free(&table);
}

/* All that are too many. A call looks a partition through, or hands some out. */
static uint32_t evict(struct mr_context_table *table, struct mr_context *evicted[MR_CONTEXT_SLICE])
{
    uint32_t n = 0;
    bool more = true;

    while (more) {
        uint64_t before = table->strain;
        uint32_t some = mr_contexts_evict(table, evicted + n, &more);
        assert_true(!some || table->strain == before);
        n += some;
    }
    return n;
}

static void the_longest_unused_go_first(void **state)
{
    struct mr_context_table table;
    struct mr_context *evicted[MR_CONTEXT_SLICE], *made[10];
    (void)state;
    init(&table, 3, 0, 0); /* epochs of one packet */
    assert_int_equal(evict(&table, evicted), 0);
    for (uint32_t i = 0; i < 5; i++) {
        mr_contexts_begin(&table, i + 1);
        made[i] = mr_contexts_add(&table, 100 - i, &i, sizeof i);
    }
    mr_contexts_begin(&table, 6);
    mr_contexts_touch(&table, made[1]);
    assert_int_equal(evict(&table, evicted), 2);
    assert_ptr_equal(evicted[0], made[0]);
    assert_ptr_equal(evicted[1], made[2]);
    for (uint32_t i = 0; i < 2; i++) {
        mr_contexts_unlink(&table, evicted[i]);
        mr_contexts_release(&table, evicted[i]);
    }
    assert_int_equal(evict(&table, evicted), 0);
    /* who is used meanwhile, or was there before under the same place, is not who was listed */
    mr_contexts_begin(&table, 7);
    mr_contexts_touch(&table, made[3]);
    for (uint32_t i = 5; i < 7; i++)
        made[i] = mr_contexts_add(&table, 100 - i, &i, sizeof i);
    assert_int_equal(evict(&table, evicted), 2);
    assert_ptr_equal(evicted[0], made[4]);
    assert_ptr_equal(evicted[1], made[1]);
    mr_contexts_free(&table);
}

/* The same keys, used and ended in the same order, in tables of any number of lanes. */
static uint32_t evict_in_lanes(uint64_t max_contexts, uint32_t lanes, uint32_t *order,
                               uint32_t most)
{
    enum { STEPS = 60000, KEYS = 20000 };
    static struct mr_context *known[KEYS];
    struct mr_context_caps caps;
    struct mr_context_table *tables = calloc(lanes, sizeof *tables);
    uint32_t n = 0, bits = 31 - (uint32_t)__builtin_clz(lanes), epoch = 0;

    assert_non_null(tables);
    memset(known, 0, sizeof known);
    assert_int_equal(mr_context_caps(&caps, max_contexts), MR_OK);
    for (uint32_t l = 0; l < lanes; l++)
        mr_contexts_init(&tables[l], &caps, lanes, 8, 0);
    random_state = 4711;
    for (uint32_t step = 1; step <= STEPS; step++) {
        for (uint32_t l = 0; mr_context_epoch(caps.epoch_shift, step) != epoch && l < lanes; l++)
            for (bool more = true; more;) {
                struct mr_context *evicted[MR_CONTEXT_SLICE];
                uint32_t gone = mr_contexts_evict(&tables[l], evicted, &more);
                for (uint32_t i = 0; i < gone; i++) {
                    uint32_t key = (uint32_t)evicted[i]->flow.first_packet;
                    assert_true(n < most);
                    order[n++] = step << 15 ^ key;
                    known[key] = NULL;
                    mr_contexts_unlink(&tables[l], evicted[i]);
                    mr_contexts_release(&tables[l], evicted[i]);
                }
            }
        epoch = mr_context_epoch(caps.epoch_shift, step);
        uint64_t r = next_random();
        uint32_t i = (uint32_t)(r % 5 ? r >> 8 : (r >> 8) % 300) % KEYS;
        uint64_t hash = hash_of(i);
        struct mr_context_table *table = &tables[mr_context_lane(hash, bits)];
        mr_contexts_begin(table, step);
        assert_ptr_equal(mr_contexts_find(table, hash, &i, sizeof i), known[i]);
        if (!known[i]) {
            known[i] = mr_contexts_add(table, hash, &i, sizeof i);
            assert_non_null(known[i]);
            known[i]->flow.first_packet = i;
        } else if (r >> 40 & 7) {
            mr_contexts_touch(table, known[i]);
        } else {
            mr_contexts_unlink(table, known[i]);
            mr_contexts_release(table, known[i]);
            known[i] = NULL;
        }
    }
    for (uint32_t l = 0; l < lanes; l++)
        mr_contexts_free(&tables[l]);
    free(tables);
    return n;
}

static int by_value(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

static void lanes_evict_the_same(void **state)
{
    enum { MOST_GONE = 100000 };
    uint32_t *expected = calloc(MOST_GONE, sizeof *expected);
    uint32_t *found = calloc(MOST_GONE, sizeof *found);
    (void)state;
    assert_non_null(expected);
    assert_non_null(found);
    for (uint64_t most = 1000; most <= 9000; most += 2000) {
        uint32_t n = evict_in_lanes(most, 1, expected, MOST_GONE);
        assert_true(n > 1000);
        qsort(expected, n, sizeof *expected, by_value);
        struct mr_context_caps caps;
        mr_context_caps(&caps, most);
        for (uint32_t lanes = 2; lanes <= caps.partitions; lanes *= 2) {
            assert_int_equal(evict_in_lanes(most, lanes, found, MOST_GONE), n);
            qsort(found, n, sizeof *found, by_value);
            assert_memory_equal(found, expected, n * sizeof *found);
        }
    }
    free(expected);
    free(found);
}

static void a_partition_admits_so_many_within_an_epoch(void **state)
{
    struct mr_context_table table;
    struct mr_context *evicted[MR_CONTEXT_SLICE];
    uint32_t made = 0, gone = 0;
    bool more = true;
    (void)state;
    init(&table, 100, 0, 0);
    mr_contexts_begin(&table, 1);
    while (mr_contexts_add(&table, hash_of(made), &made, sizeof made))
        made++;
    assert_int_equal(made, 100 + table.surge);
    mr_contexts_begin(&table, 1000); /* evicted at first: else the next epoch would begin full */
    while (more) {
        uint64_t before = table.strain;
        uint32_t n = mr_contexts_evict(&table, evicted, &more);
        assert_true(!n || table.strain == before); /* looks a partition through, or hands out */
        for (uint32_t i = 0; i < n; i++) {
            mr_contexts_unlink(&table, evicted[i]);
            mr_contexts_release(&table, evicted[i]);
        }
        gone += n;
    }
    assert_int_equal(gone, table.surge);
    assert_int_equal(table.n_contexts, 100);
    assert_null(mr_contexts_add(&table, 7, &made, sizeof made));
    mr_contexts_begin(&table, 2000);
    assert_non_null(mr_contexts_add(&table, 7, &made, sizeof made));
    mr_contexts_free(&table);
}

static void caps_share_out_what_was_asked_for(void **state)
{
    (void)state;
    for (uint64_t n = 0; n <= (uint64_t)1 << 30; n = n * 5 / 4 + 1) {
        struct mr_context_caps caps;
        assert_int_equal(mr_context_caps(&caps, n), MR_OK);
        uint64_t all = (uint64_t)caps.partitions * caps.share, asked = n ? n : 1;
        assert_true(all >= asked);
        assert_true(all <= asked + asked / 3 + 1);
        assert_true(caps.epoch_shift <= 12 && (uint64_t)1 << caps.epoch_shift <= asked / 16 + 1);
        assert_int_equal(caps.partitions & (caps.partitions - 1), 0);
    }
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
    struct mr_context_caps caps = {.partitions = 1, .share = KEYS, .surge = 1};
    mr_contexts_init(&table, &caps, 1, 24, 0);
    for (int step = 0; step < 60000; step++) {
        uint32_t i = (uint32_t)(next_random() % KEYS);
        mr_contexts_begin(&table, (uint64_t)step);
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

static void all_is_found_while_the_table_grows(void **state)
{
    static struct mr_context *made[MANY];
    struct mr_context_table table;
    uint32_t growing = 0;
    (void)state;
    memset(made, 0, sizeof made);
    init(&table, MANY, 8, 0);
    assert_true(table.tags.mask < table.most);
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
        growing += table.old.entries != NULL;
        if (i % 1000 && !(table.old.entries && growing % 50 == 0))
            continue;
        for (uint32_t k = 0; k <= i; k++)
            assert_ptr_equal(mr_contexts_find(&table, hash_of(k), &k, sizeof k), made[k]);
    }
    assert_in_range(growing, 500, 6000); /* it takes its time, and comes to an end */
    assert_null(table.old.entries);
    assert_int_equal(table.tags.mask, table.most);
    mr_contexts_free(&table);
}

/* Pages of the table of tags that are there. */
static uint64_t pages_there(const struct mr_context_table *table)
{
    static unsigned char there[4096];
    uint64_t n = 0, bytes = (table->tags.mask + 1) * sizeof(uint64_t);

    assert_true(bytes / MR_PAGE_BYTES <= sizeof there);
    assert_int_equal(mincore(table->tags.entries, bytes, there), 0);
    for (uint64_t i = 0; i < bytes / MR_PAGE_BYTES; i++)
        n += there[i] & 1;
    return n;
}

/* Looking ahead for flows touches no page that tags have not come to yet, and putting tags in none
 * but those that were asked for. */
static void what_has_not_moved_is_not_looked_for(void **state)
{
    static struct mr_flow_key keys[1000];
    static union mr_value values[1000];
    struct mr_context_table table;
    uint32_t i = 0, looks = 0;
    (void)state;

    for (uint32_t k = 0; k < 1000; k++) {
        keys[k].hash = hash_of(MANY + k);
        values[k] = mr_value_bytes(&keys[k], sizeof keys[k]);
    }
    init(&table, MANY, 8, 0);
    while (!table.old.entries || (table.tags.mask + 1) * sizeof(uint64_t) < 64 * MR_PAGE_BYTES) {
        assert_non_null(mr_contexts_add(&table, hash_of(i), &i, sizeof i));
        i++;
    }
    assert_int_equal(pages_there(&table), 0);
    for (; table.old.entries; i++) {
        struct mr_contexts_asked asked = {0};
        static uint8_t *found[1000];
        for (uint32_t row = 0 - MR_LOOK_AHEAD; i % 64 == 0 && row + MR_LOOK_AHEAD < 1000;
             row += MR_LOOK_STEP)
            mr_contexts_look_ahead(&table, &asked, values, 1000, row, found);
        looks += i % 64 == 0;
        assert_non_null(mr_contexts_add(&table, hash_of(i), &i, sizeof i));
        if (table.old.entries)
            assert_true(pages_there(&table) <= table.touched / MR_PAGE_BYTES);
    }
    assert_true(looks > 10);
    mr_contexts_free(&table);
}

/* Clusters around the end of the table, and others, come and go while it grows. */
static void crowded_tables_grow(void **state)
{
    static struct mr_context *known[MANY];
    struct mr_context_caps caps = {.partitions = 1, .share = MANY, .surge = 1};
    struct mr_context_table table;
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        random_state = seed * 0x9e3779b97f4a7c15u;
        memset(known, 0, sizeof known);
        mr_contexts_init(&table, &caps, 1, 8, 0);
        for (uint32_t step = 0; step < 3 * MANY; step++) {
            uint32_t i = (uint32_t)(next_random() % MANY);
            mr_contexts_begin(&table, step);
            uint64_t hash = i % 64 ? hash_of(i) : UINT64_MAX - (uint64_t)(i % 1024) * (1ull << 38);
            assert_ptr_equal(mr_contexts_find(&table, hash, &i, sizeof i), known[i]);
            if (!known[i]) {
                known[i] = mr_contexts_add(&table, hash, &i, sizeof i);
                assert_non_null(known[i]);
            } else if (next_random() % 8 == 0) {
                mr_contexts_unlink(&table, known[i]);
                mr_contexts_release(&table, known[i]);
                known[i] = NULL;
            }
        }
        assert_int_equal(table.tags.mask, table.most);
        mr_contexts_free(&table);
    }
}

/* Where large pages are ready in time, all but the first ones are taken: of contexts, of tags. */
static void many_contexts_lie_on_large_pages(void **state)
{
    enum { KEYS = 100000 };
    struct mr_context_table table;
    (void)state;

    init(&table, KEYS, 64, 0);
    assert_int_equal(mr_pages_new(&table.pages), MR_OK);
    for (uint32_t i = 0; i < KEYS; i++) {
        struct mr_context *c = mr_contexts_add(&table, hash_of(i), &i, sizeof i);
        assert_non_null(c);
        memset(c->slots, 0xff, 64);
        mr_contexts_begin(&table, (uint64_t)i + 1);
        mr_pages_settle(table.pages);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        assert_non_null(mr_contexts_find(&table, hash_of(i), &i, sizeof i));
    uint64_t contexts = (uint64_t)KEYS * table.stride / MR_LARGE_PAGE_BYTES; /* less the first */
    assert_int_equal(table.tags.mask + 1, 262144);
    assert_int_equal(table.taken, contexts + 1);
    struct mr_pages *pages = table.pages;
    mr_contexts_free(&table);
    mr_pages_free(pages);
}

/* Pages of a table that are there. */
static uint32_t resident(const struct mr_context_table *table, uint8_t *pages)
{
    uint32_t n = 0, all = (uint32_t)(table->mapped_bytes / MR_PAGE_BYTES);

    if (!table->memory)
        return 0;
    assert_int_equal(mincore(table->memory, (size_t)all * MR_PAGE_BYTES, pages), 0);
    for (uint32_t i = 0; i < all; i++)
        n += pages[i] & 1;
    return n;
}

/* Who makes contexts pays for the pages that are touched first, some microseconds each or, where
 * the system is slow to give them, many: no burst of new contexts touches much more than what they
 * lie on, neither the first one nor while tags move. */
static void no_burst_touches_many_pages(void **state)
{
    enum { KEYS = 150000, BURST = 256, FEW = 28 };
    struct mr_context_table table;
    (void)state;

    init(&table, KEYS, 64, 0);
    uint8_t *pages = malloc(table.mapped_bytes / MR_PAGE_BYTES);
    assert_non_null(pages);
    uint32_t most = FEW + BURST * table.stride / MR_PAGE_BYTES + 1, before = 0;
    uint64_t strain = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        assert_non_null(mr_contexts_add(&table, hash_of(i), &i, sizeof i));
        mr_contexts_begin(&table, (uint64_t)i + 1);
        if ((i + 1) % BURST)
            continue;
        uint32_t now = resident(&table, pages);
        if (now > before) { /* else some were given back */
            assert_in_range(now - before, 1, most);
            assert_in_range(table.strain - strain, 64 * (now - before), 10000); /* a turn's end */
        }
        before = now;
        strain = table.strain;
    }
    free(pages);
    mr_contexts_free(&table);
}

/* With all of its memory taken before, a table behaves as any other and touches no page first, nor
 * gives one back. */
static void what_is_preallocated_is_there(void **state)
{
    enum { KEYS = 150000 };
    struct mr_context_table table, other;
    (void)state;

    init(&table, KEYS, 64, 0);
    init(&other, KEYS, 64, 0);
    assert_true(mr_contexts_preallocate(&table));
    uint32_t all = (uint32_t)(table.mapped_bytes / MR_PAGE_BYTES);
    uint8_t *pages = malloc(all);
    assert_non_null(pages);
    assert_int_equal(resident(&table, pages), all);
    for (uint32_t i = 0; i < KEYS; i++) {
        struct mr_context *c = mr_contexts_add(&table, hash_of(i), &i, sizeof i);
        struct mr_context *o = mr_contexts_add(&other, hash_of(i), &i, sizeof i);
        assert_true(c && o);
        mr_contexts_begin(&table, (uint64_t)i + 1);
        mr_contexts_begin(&other, (uint64_t)i + 1);
        assert_int_equal((uint8_t *)c - table.contexts, (uint8_t *)o - other.contexts);
    }
    assert_true(table.strain < other.strain);
    assert_int_equal(table.tags.mask, table.most); /* it has grown */
    assert_int_equal(resident(&table, pages), all);
    free(pages);
    mr_contexts_free(&table);
    mr_contexts_free(&other);
}

static void memory_is_as_planned(void **state)
{
    struct mr_context_table table;
    (void)state;
    struct mr_context_caps caps;
    assert_int_equal(mr_context_caps(&caps, 1000), MR_OK);
    mr_contexts_init(&table, &caps, 1, 100, 10);
    assert_int_equal(table.mapped_bytes, mr_contexts_bytes(&caps, 1, 100, 10));
    assert_true(table.mapped_bytes >= 1000 * (sizeof(struct mr_context) + 100 + 10));
    assert_null(table.tags.entries); /* nothing is taken before the first context */
    struct mr_context *last = NULL;
    for (uint32_t i = 0; i < 1000; i++) {
        last = mr_contexts_add(&table, i * 0x9e3779b97f4a7c15u, &i, sizeof i);
        memset(last->slots, 1, 100);
        memset(mr_context_row_memory(&table, last), 2, 10);
    }
    uint8_t *end = table.memory + table.mapped_bytes;
    assert_true(mr_context_row_memory(&table, last) + 10 <= end);
    assert_int_equal(mr_context_caps(&caps, (uint64_t)1 << 40), MR_ERR_LIMIT);
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
        init(&table, MOST, 8, 0);
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
        cmocka_unit_test(the_longest_unused_go_first),
        cmocka_unit_test(lanes_evict_the_same),
        cmocka_unit_test(a_partition_admits_so_many_within_an_epoch),
        cmocka_unit_test(crowded_tables_find_the_right_one),
        cmocka_unit_test(all_is_found_while_the_table_grows),
        cmocka_unit_test(what_has_not_moved_is_not_looked_for),
        cmocka_unit_test(crowded_tables_grow),
        cmocka_unit_test(caps_share_out_what_was_asked_for),
        cmocka_unit_test(memory_is_as_planned),
        cmocka_unit_test(many_contexts_lie_on_large_pages),
        cmocka_unit_test(no_burst_touches_many_pages),
        cmocka_unit_test(what_is_preallocated_is_there),
        cmocka_unit_test(deadlines_ring_once_and_in_time),
    };
#if defined(__SANITIZE_THREAD__) /* there are others in this one only */
    cmocka_set_test_filter("many_contexts_lie_on_large_pages");
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
