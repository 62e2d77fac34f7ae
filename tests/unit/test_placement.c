/* Where batches are searched: two marks, and what the CPU is learned to take. */
// layers: base offload
#include "offload/placement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void placement(void **state)
{
    (void)state;
    struct mr_placement p;
    enum mr_device_wish wish;

    assert_true(mr_device_wish_parse("auto", &wish) && wish == MR_DEVICE_AUTO);
    assert_false(mr_device_wish_parse("Gpu", &wish));
    mr_placement_init(&p, MR_DEVICE_AUTO, 2000000);
    for (int i = 0; i < 200; i++)
        mr_placement_learn(&p, 10240, 51200); /* 5 ns a byte */
    assert_in_range(p.ns_per_kib, 5100, 5140);
    assert_false(mr_placement_on_device(&p, 300000, 0)); /* 1.5 ms: not yet */
    assert_true(mr_placement_on_device(&p, 330000, 0));  /* 1.65 ms */
    assert_true(mr_placement_on_device(&p, 130000, 0));  /* 0.65 ms: still */
    assert_false(mr_placement_on_device(&p, 110000, 0)); /* 0.55 ms */
    assert_false(mr_placement_on_device(&p, 300000, 0));
    assert_int_equal(p.changes, 2);
    assert_false(mr_placement_on_device(&p, 1000, 1500000)); /* what has waited counts as well */
    assert_true(mr_placement_on_device(&p, 1000, 1700000));
    assert_true(mr_placement_on_device(&p, 1000, 700000));
    assert_false(mr_placement_on_device(&p, 1000, 500000));
    mr_placement_init(&p, MR_DEVICE_GPU, 2000000);
    assert_true(mr_placement_on_device(&p, 0, 0));
    mr_placement_init(&p, MR_DEVICE_CPU, 2000000);
    assert_false(mr_placement_on_device(&p, 1u << 30, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(placement)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
