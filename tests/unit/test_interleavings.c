/* The deque under all interleavings of small cases, on a machine with and without store buffers;
 * and that the search finds what it is for, on machines that are broken. */
// layers: explored
#include "base/deque.h"
#include "virtual/explore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MOST_ITEMS 4

struct deque_case {
    struct mr_deque deque;
    const char *owner;   /* what it does: '+' pushes the next item, '-' pops */
    const char *thieves; /* how often each tries, one digit each */
    uintptr_t pushed;
    int taken[MOST_ITEMS + 1];
};

static void took(struct deque_case *c, void *item)
{
    if (item)
        c->taken[(uintptr_t)item]++;
}

static void deque_set_up(void *user)
{
    struct deque_case *c = user;
    if (mr_deque_init(&c->deque, MOST_ITEMS))
        mr_explore_bug("no memory");
    c->pushed = 0;
    memset(c->taken, 0, sizeof c->taken);
}

static void deque_thread(void *user, uint32_t index)
{
    struct deque_case *c = user;
    if (index) {
        for (char n = c->thieves[index - 1]; n > '0'; n--)
            took(c, mr_deque_steal_any(&c->deque));
        return;
    }
    for (const char *what = c->owner; *what; what++)
        if (*what == '+')
            (void)mr_deque_push_owner(&c->deque, (void *)++c->pushed);
        else
            took(c, mr_deque_pop_owner(&c->deque));
}

/* What is left is there, and every item is there once. */
static bool deque_check(void *user)
{
    struct deque_case *c = user;
    void *item;
    while ((item = mr_deque_pop_owner(&c->deque)))
        took(c, item);
    for (uintptr_t i = 1; i <= c->pushed; i++)
        if (c->taken[i] != 1)
            return false;
    return !mr_deque_size_any(&c->deque);
}

static void deque_tear_down(void *user)
{
    mr_deque_free(&((struct deque_case *)user)->deque);
}

static struct mr_explore deque_search(struct deque_case *c)
{
    return (struct mr_explore){.set_up = deque_set_up,
                               .thread = deque_thread,
                               .check = deque_check,
                               .tear_down = deque_tear_down,
                               .user = c,
                               .n_threads = 1 + (uint32_t)strlen(c->thieves),
                               .bound = 3};
}

static const struct deque_case deque_cases[] = {
    {.owner = "+-", .thieves = "1"},      {.owner = "++--", .thieves = "2"},
    {.owner = "+-+-", .thieves = "2"},    {.owner = "++-+-", .thieves = "2"},
    {.owner = "+--+", .thieves = "1"},    {.owner = "+-", .thieves = "11"},
    {.owner = "++--", .thieves = "11"},   {.owner = "+++", .thieves = "21"},
    {.owner = "+++---", .thieves = "11"},
};

static void no_item_is_lost_or_taken_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof deque_cases / sizeof *deque_cases; i++)
        for (int buffers = 0; buffers < 2; buffers++) {
            struct deque_case c = deque_cases[i];
            struct mr_explore search = deque_search(&c);
            search.store_buffers = buffers;
            search.bound = strlen(c.thieves) + strlen(c.owner) > 6 ? 3 : 4;
            if (!mr_explore(&search))
                fail_msg("owner %s, thieves %s, %s: %s after %llu runs; schedule %s", c.owner,
                         c.thieves, buffers ? "store buffers" : "no buffers", search.bug,
                         (unsigned long long)search.runs, search.schedule);
            assert_true(search.complete);
            print_message("owner %-6s thieves %-2s %s: %llu runs\n", c.owner, c.thieves,
                          buffers ? "store buffers" : "in order     ",
                          (unsigned long long)search.runs);
        }
}

/* Without the fence in pop (and in push) an item is taken twice. */
static void a_deque_without_fences_is_found_out(void **state)
{
    struct deque_case c = {.owner = "++--", .thieves = "2"};
    struct mr_explore search = deque_search(&c);
    (void)state;
    search.store_buffers = true;
    search.breakage = MR_BREAK_WEAK_STORES;
    assert_false(mr_explore(&search));
    print_message("found after %llu runs: %s\n", (unsigned long long)search.runs, search.bug);
    search.store_buffers = false; /* in order the same code is right: it is the buffers */
    assert_true(mr_explore(&search));
    assert_true(search.complete);
}

/* With a compare-exchange that is not one two take the same item. */
static void a_torn_top_is_found_out(void **state)
{
    struct deque_case c = {.owner = "+-", .thieves = "1"};
    struct mr_explore search = deque_search(&c);
    (void)state;
    search.breakage = MR_BREAK_TORN;
    search.broken = &c.deque.top;
    assert_false(mr_explore(&search));
    print_message("found after %llu runs: %s\n", (unsigned long long)search.runs, search.bug);
}

/* The machine itself: Dekker's store and load pass each other in buffers, and nowhere else. */
struct dekker {
    _Atomic uint32_t flags[2];
    uint32_t seen[2];
};

static void dekker_set_up(void *user)
{
    *(struct dekker *)user = (struct dekker){.seen = {1, 1}};
}

static void dekker_thread(void *user, uint32_t index)
{
    struct dekker *d = user;
    atomic_store_explicit(&d->flags[index], 1, memory_order_release);
    d->seen[index] = atomic_load_explicit(&d->flags[!index], memory_order_acquire);
}

static bool dekker_check(void *user)
{
    struct dekker *d = user;
    return d->seen[0] || d->seen[1];
}

static void buffers_let_loads_pass_stores(void **state)
{
    struct dekker d;
    struct mr_explore search = {.set_up = dekker_set_up,
                                .thread = dekker_thread,
                                .check = dekker_check,
                                .user = &d,
                                .n_threads = 2,
                                .bound = 4};
    (void)state;
    assert_true(mr_explore(&search));
    assert_true(search.complete && search.runs > 5);
    search.store_buffers = true;
    assert_false(mr_explore(&search));
}

/* Two threads that wait for each other. */
static void wait_thread(void *user, uint32_t index)
{
    struct dekker *d = user;
    while (!atomic_load_explicit(&d->flags[!index], memory_order_acquire))
        __builtin_ia32_pause();
    atomic_store_explicit(&d->flags[index], 1, memory_order_release);
}

static void waiting_for_each_other_is_found_out(void **state)
{
    struct dekker d;
    struct mr_explore search = {.set_up = dekker_set_up,
                                .thread = wait_thread,
                                .check = dekker_check,
                                .user = &d,
                                .n_threads = 2,
                                .bound = 1};
    (void)state;
    assert_false(mr_explore(&search));
    assert_string_equal(search.bug, "all threads wait");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_let_loads_pass_stores),
        cmocka_unit_test(waiting_for_each_other_is_found_out),
        cmocka_unit_test(no_item_is_lost_or_taken_twice),
        cmocka_unit_test(a_deque_without_fences_is_found_out),
        cmocka_unit_test(a_torn_top_is_found_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
