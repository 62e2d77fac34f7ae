/* The cap of anomalies for each flow where functions have no state of it. */
// layers: engine base
#include "engine/anomaly_caps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MANY 100000u

static bool ask(struct mr_anomaly_caps *caps, uint32_t number)
{
    uint8_t key[MR_ANOMALY_KEY_BYTES] = {0};

    memcpy(key + (number & 1 ? 0 : 8), &number, sizeof number); /* many fall into one bucket */
    return mr_anomaly_caps_admit(caps, key);
}

static void so_many_and_no_more(void **state)
{
    struct mr_anomaly_caps *caps = mr_anomaly_caps_new();

    (void)state;
    assert_non_null(caps);
    for (uint32_t i = 0; i < 40; i++)
        for (uint32_t flow = 1; flow <= 5; flow++)
            assert_int_equal(ask(caps, flow), i < MR_MAX_ANOMALIES);
    mr_anomaly_caps_free(caps);
}

static void those_in_use_are_remembered(void **state)
{
    struct mr_anomaly_caps *caps = mr_anomaly_caps_new();
    uint32_t told = 0, again = 0;

    (void)state;
    assert_non_null(caps);
    for (uint32_t i = 0; i < MANY; i++) {
        told += ask(caps, 1);
        assert_true(ask(caps, 2 * i + 3)); /* one that comes once */
    }
    assert_int_equal(told, MR_MAX_ANOMALIES);
    for (uint32_t i = 0; i < MR_MAX_ANOMALIES; i++)
        again += ask(caps, 3); /* forgotten long ago */
    assert_int_equal(again, MR_MAX_ANOMALIES);
    assert_false(ask(caps, 3));
    mr_anomaly_caps_free(caps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_and_no_more),
        cmocka_unit_test(those_in_use_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
