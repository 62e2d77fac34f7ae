/* The work-stealing deque: order, refusal when full, and every item taken exactly once while
 * thieves are at work. */
// layers: base
#include "base/deque.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void *item(uintptr_t n)
{
    return (void *)n;
}

static void owner_takes_newest_thief_oldest(void **state)
{
    struct mr_deque deque;
    (void)state;
    assert_int_equal(mr_deque_init(&deque, 4), MR_OK);
    assert_null(mr_deque_pop_owner(&deque));
    assert_null(mr_deque_steal_any(&deque));
    for (uintptr_t i = 1; i <= 4; i++)
        assert_true(mr_deque_push_owner(&deque, item(i)));
    assert_false(mr_deque_push_owner(&deque, item(5)));
    assert_int_equal(mr_deque_size_any(&deque), 4);
    assert_ptr_equal(mr_deque_pop_owner(&deque), item(4));
    assert_ptr_equal(mr_deque_steal_any(&deque), item(1));
    assert_ptr_equal(mr_deque_steal_any(&deque), item(2));
    assert_ptr_equal(mr_deque_pop_owner(&deque), item(3));
    assert_null(mr_deque_pop_owner(&deque));
    assert_null(mr_deque_steal_any(&deque));
    for (uintptr_t i = 1; i <= 1000; i++) { /* round the ring many times */
        assert_true(mr_deque_push_owner(&deque, item(i)));
        assert_ptr_equal(i & 1 ? mr_deque_pop_owner(&deque) : mr_deque_steal_any(&deque), item(i));
    }
    mr_deque_free(&deque);
}

#define ITEMS   200000u
#define THIEVES 3

struct race {
    struct mr_deque deque;
    _Atomic uint8_t *taken;
    _Atomic uint32_t done;
};

static void take(struct race *race, void *what)
{
    if (what)
        atomic_fetch_add_explicit(&race->taken[(uintptr_t)what], 1, memory_order_relaxed);
}

static void *thief(void *argument)
{
    struct race *race = argument;
    while (!atomic_load_explicit(&race->done, memory_order_acquire))
        take(race, mr_deque_steal_any(&race->deque));
    return NULL;
}

static void every_item_once(void **state)
{
    static struct race race;
    pthread_t threads[THIEVES];
    uint64_t random = 88172645463325252u;
    uintptr_t next = 1;

    (void)state;
    race.taken = calloc(ITEMS + 1, sizeof *race.taken);
    assert_non_null(race.taken);
    assert_int_equal(mr_deque_init(&race.deque, 64), MR_OK);
    for (int i = 0; i < THIEVES; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thief, &race), 0);
    while (next <= ITEMS) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if (random & 3 && mr_deque_push_owner(&race.deque, item(next)))
            next++;
        else
            take(&race, mr_deque_pop_owner(&race.deque));
    }
    while (mr_deque_size_any(&race.deque))
        take(&race, mr_deque_pop_owner(&race.deque));
    atomic_store_explicit(&race.done, 1, memory_order_release);
    for (int i = 0; i < THIEVES; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t i = 1; i <= ITEMS; i++)
        assert_int_equal(race.taken[i], 1);
    mr_deque_free(&race.deque);
    free((void *)race.taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owner_takes_newest_thief_oldest),
        cmocka_unit_test(every_item_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
