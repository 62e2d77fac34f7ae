/* What a capture thread accepts under an overload: a simulated device of a steady rate, and workers
 * of another. No clock is read. */
// layers: engine
#include "engine/backlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define STEP_NS       1000000u /* of the simulation */
#define BURSTS        16384u   /* packets that the engine has room for */
#define BACKLOG_STEPS (MR_BACKLOG_NS / STEP_NS)

struct simulation {
    struct mr_backlog backlog;
    uint64_t now_ns, held, ring; /* packets in the device, and how many it has room for */
    uint64_t accepted, done, missed, stale, most_waiting;
    uint64_t held_ns, released_ns; /* the last change of programs */
};

/* One step: `offered` packets come to the device, and `served` are worked off. */
static void step(struct simulation *s, uint64_t offered, uint64_t served)
{
    s->now_ns += STEP_NS;
    s->held += offered;
    if (s->held > s->ring) {
        s->missed += s->held - s->ring;
        s->held = s->ring;
    }
    while (s->held) {
        uint64_t waiting = s->accepted - s->done;
        mr_backlog_change(&s->backlog, s->held_ns, s->released_ns, s->now_ns);
        if (waiting >= BURSTS || mr_backlog_full(&s->backlog, waiting, s->done, s->now_ns)) {
            if (mr_backlog_stale(&s->backlog, s->ring, s->now_ns)) {
                s->stale += s->held;
                s->held = 0;
            }
            break;
        }
        s->accepted++;
        s->held--;
    }
    if (!s->held)
        mr_backlog_over(&s->backlog, s->accepted - s->done, s->now_ns);
    uint64_t waiting = s->accepted - s->done;
    if (waiting > s->most_waiting)
        s->most_waiting = waiting;
    s->done += waiting < served ? waiting : served;
}

static void run(struct simulation *s, uint64_t ms, uint64_t offered, uint64_t served)
{
    for (uint64_t i = 0; i < ms; i++)
        step(s, offered, served);
}

/* Programs are changed, which takes so long. */
static void change(struct simulation *s, uint64_t ms, uint64_t offered)
{
    s->held_ns = s->now_ns + 1;
    run(s, ms, offered, 0);
    s->released_ns = s->now_ns;
}

/* A tenfold overload of slow programs: what waits is a quarter of a second's work, and within a
 * second after it nothing old is left, here or in the device. */
static void slow_programs(void **state)
{
    struct simulation s = {.now_ns = 5000000000u, .ring = 32768};
    uint64_t a_ms = 8; /* worked off */

    (void)state;
    run(&s, 3000, 1, a_ms);
    assert_int_equal(s.missed + s.stale, 0);
    assert_int_equal(s.done, 3000);
    run(&s, 5000, 10 * a_ms, a_ms);
    assert_true(s.most_waiting <= a_ms * BACKLOG_STEPS + a_ms);
    assert_true(s.stale > 0);
    assert_int_equal(s.done, 3000 + 5000 * a_ms); /* nothing that could be worked off was dropped */
    run(&s, 1000, 1, a_ms);
    assert_int_equal(s.held, 0);
    assert_int_equal(s.accepted, s.done);
    uint64_t lost = s.missed + s.stale;
    run(&s, 1000, 1, a_ms);
    assert_int_equal(s.missed + s.stale, lost);
}

/* Programs that work off the device's ring in no time: nothing of it is thrown away. */
static void fast_programs(void **state)
{
    struct simulation s = {.now_ns = 1, .ring = 4096};

    (void)state;
    run(&s, 2000, 10000, 1000);
    assert_int_equal(s.stale, 0);
    assert_int_equal(s.done, 2000 * 1000);
    assert_true(s.most_waiting <= 1000 * BACKLOG_STEPS + 1000);
}

/* From no load at all to all that the programs can do, at once: nothing is refused for long. */
static void sudden(void **state)
{
    struct simulation s = {.now_ns = 1, .ring = 32768};

    (void)state;
    run(&s, 60000, 0, 500);
    run(&s, 1000, 500, 500);
    assert_int_equal(s.missed + s.stale, 0);
    assert_true(s.done >= 990 * 500);
}

/* Where it is not known what the device holds nothing is dropped for its age. */
static void unknown_ring(void **state)
{
    struct mr_backlog b = {0};

    (void)state;
    for (uint64_t ms = 1; ms < 2000; ms++)
        assert_false(mr_backlog_stale(&b, 0, ms * STEP_NS));
}

/* What comes while programs are changed is kept and worked off, and so is what comes meanwhile. */
static void changes(void **state)
{
    struct simulation s = {.now_ns = 1, .ring = 32768};

    (void)state;
    run(&s, 1000, 10, 13);
    change(&s, 2000, 10);
    assert_true(s.accepted + s.held == s.done + 2000 * 10);
    run(&s, 1000, 10, 13);
    change(&s, 1, 10); /* a short one takes nothing from the one before */
    run(&s, 8000, 10, 13);
    assert_int_equal(s.missed + s.stale, 0);
    assert_int_equal(s.held, 0);
    assert_true(s.done >= s.accepted - 10);
}

/* The promise is made for a change that comes amid an overload, too, and ends: with what was there
 * worked off, or in a multiple of the change. */
static void overload_and_change(void **state)
{
    struct simulation s = {.now_ns = 1, .ring = 32768};
    uint64_t held_ms = 1000, slack_ms = 3 * BACKLOG_STEPS;

    (void)state;
    run(&s, 3000, 10, 10);
    change(&s, held_ms, 80);
    assert_int_equal(s.stale, 0);
    run(&s, MR_BACKLOG_CATCH_UP * held_ms, 80, 8);
    assert_int_equal(s.stale, 0);
    run(&s, slack_ms, 80, 8);
    assert_true(s.stale > 0);
    /* it was worked off since: the change is over and done with */
    run(&s, 8000, 0, 8);
    assert_int_equal(s.held, 0);
    uint64_t stale = s.stale;
    run(&s, 4 * BACKLOG_STEPS, 80, 8);
    assert_true(s.stale > stale);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_programs), cmocka_unit_test(fast_programs),
        cmocka_unit_test(sudden),        cmocka_unit_test(unknown_ring),
        cmocka_unit_test(changes),       cmocka_unit_test(overload_and_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
