/* Which stamps packet time follows. */
// layers: packet
#include "packet/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND 1000000000u
#define HOUR   (3600ull * SECOND)
#define BEGIN  (1000000 * HOUR)

/* How many of n frames, `step_ns` apart, it does not follow before it does. */
static uint32_t doubted(struct mr_packet_clock *clock, uint64_t time_ns, uint64_t step_ns,
                        uint32_t n)
{
    uint32_t before = 0;

    for (uint32_t i = 0; i < n; i++, time_ns += step_ns) {
        bool follows = mr_packet_clock_follows(clock, time_ns);
        assert_true(follows || before == i); /* once it follows it goes on */
        before += !follows;
    }
    return before;
}

static void usual_ones_are_followed(void **state)
{
    (void)state;
    struct mr_packet_clock clock = {0};
    assert_int_equal(doubted(&clock, BEGIN, SECOND, 100), 0);
    assert_int_equal(doubted(&clock, BEGIN, 0, 3), 0); /* late by less than an hour */
    assert_int_equal(clock.last_ns, BEGIN + 99ull * SECOND);
    assert_int_equal(doubted(&clock, BEGIN + 20 * HOUR, 24 * HOUR, 100), 0);
}

static void stamps_may_begin_at_zero(void **state)
{
    (void)state;
    struct mr_packet_clock clock = {0};
    assert_int_equal(doubted(&clock, 0, SECOND, 100), 0);
}

static void a_few_that_are_far_off_are_not(void **state)
{
    (void)state;
    static const uint64_t off[] = {0, 1, BEGIN - 2 * HOUR, BEGIN + 25 * HOUR, UINT64_MAX / 2};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        struct mr_packet_clock clock = {0};
        for (uint32_t round = 0; round < 10; round++) {
            assert_int_equal(doubted(&clock, BEGIN, 0, 1), 0);
            assert_int_equal(doubted(&clock, off[i], 0, 15), 15);
        }
        assert_int_equal(clock.last_ns, BEGIN);
        assert_int_equal(doubted(&clock, BEGIN, 0, 1), 0);
        assert_int_equal(doubted(&clock, off[i], SECOND, 40), 15); /* now they are enough */
        assert_int_equal(clock.last_ns, off[i] + 39ull * SECOND);
    }
}

static void those_that_do_not_agree_are_none(void **state)
{
    (void)state;
    struct mr_packet_clock clock = {0};
    assert_int_equal(doubted(&clock, BEGIN, 0, 1), 0);
    assert_int_equal(doubted(&clock, BEGIN + 30 * HOUR, 2 * HOUR, 100), 100);
    assert_int_equal(doubted(&clock, BEGIN + SECOND, 0, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_ones_are_followed),
        cmocka_unit_test(stamps_may_begin_at_zero),
        cmocka_unit_test(a_few_that_are_far_off_are_not),
        cmocka_unit_test(those_that_do_not_agree_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
