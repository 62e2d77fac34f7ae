/* Deadlines of contexts where tables are told of the time as their lanes have to do with it. */
// layers: runtime base
// threads: 1
#include "runtime/context.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NS   1000000000ull
#define HOUR (3600 * NS)
#define MOST 40

static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* A table with the contexts of some keys. */
struct side {
    struct mr_context_table table;
    struct mr_context *contexts[MOST];
};

static void set_deadline(struct side *side, uint32_t key, uint64_t deadline_ns)
{
    struct mr_context **c = &side->contexts[key];

    if (!*c) {
        *c = mr_contexts_add(&side->table, key, &key, sizeof key);
        assert_non_null(*c);
        (*c)->flow.first_packet = key;
    }
    mr_contexts_deadline(&side->table, *c, deadline_ns);
}

/* The keys whose deadlines have passed, as bits. */
static uint64_t expire(struct side *side, uint64_t now_ns)
{
    struct mr_context *expired[MR_CONTEXT_SLICE];
    uint64_t keys = 0;

    for (bool more = true; more;) {
        uint32_t n = mr_contexts_expire(&side->table, now_ns, expired, &more);
        for (uint32_t i = 0; i < n; i++) {
            keys |= 1ull << expired[i]->flow.first_packet;
            side->contexts[expired[i]->flow.first_packet] = NULL;
            mr_contexts_unlink(&side->table, expired[i]);
            mr_contexts_release(&side->table, expired[i]);
        }
    }
    return keys;
}

/* A gate tells a lane of the time when it is at work or has something to do, which depends on lanes
 * and bursts: what rings does not, also where packet time goes back. */
static void what_rings_does_not_depend_on_what_a_table_was_told(void **state)
{
    uint64_t rung = 0;
    (void)state;

    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct side always = {0}, seldom = {0};
        struct mr_context_caps caps;
        uint64_t now = 1700000000 * NS, told = now;

        random_state = seed * 0x9e3779b97f4a7c15u;
        assert_int_equal(mr_context_caps(&caps, MOST), MR_OK);
        mr_contexts_init(&always.table, &caps, 1, 8, 0);
        mr_contexts_init(&seldom.table, &caps, 1, 8, 0);
        for (int step = 0; step < 1000; step++) {
            uint64_t r = next_random();
            if (r % 40 < 2 && now - told > HOUR) /* to the very second that a table knows */
                now = told;
            else if (r % 40 == 0) /* further than by an hour: else time does not follow */
                now -= HOUR + NS + (r >> 8) % (3 * HOUR);
            else
                now += NS + (r >> 8) % (r % 10 ? 30 * NS : 2 * HOUR); /* each second once */
            for (uint64_t n = next_random() % 4; n; n--) { /* before the tick, and behind it */
                uint32_t key = (uint32_t)(next_random() % MOST);
                uint64_t deadline = now - 300 * NS + next_random() % (600 * NS); /* stamps differ */
                set_deadline(&always, key, deadline);
                set_deadline(&seldom, key, deadline);
            }
            uint64_t want = expire(&always, now), got = 0;
            bool busy = next_random() % 8 == 0;
            if (busy || seldom.table.next_deadline_ns <= now ||
                mr_contexts_ahead(&seldom.table, now)) {
                got = expire(&seldom, now);
                told = now;
            }
            assert_int_equal(got, want);
            rung += (uint64_t)__builtin_popcountll(want);
        }
        mr_contexts_free(&always.table);
        mr_contexts_free(&seldom.table);
    }
    assert_true(rung > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_rings_does_not_depend_on_what_a_table_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
