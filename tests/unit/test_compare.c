/* What `millrace compare` advises. */
// layers: engine
#include "engine/compare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *verdict(const char *device, double gbit, double cores, double messages)
{
    static char text[512];
    struct mr_compare_side cpu = {.device = "cpu", .seconds = 3, .gbit = 10, .cores = 16};
    struct mr_compare_side other = {
        .device = device, .seconds = 3, .gbit = gbit, .cores = cores, .device_messages = messages};

    mr_compare_verdict(&cpu, &other, text, sizeof text);
    return text;
}

static void advice(void **state)
{
    (void)state;
    assert_non_null(strstr(verdict("gpu", 50, 6, 9), "take the GPU: 5.00 times"));
    assert_non_null(strstr(verdict("gpu", 4, 6, 9), "stay on the CPU: it is 2.5 times as fast"));
    assert_non_null(strstr(verdict("gpu", 0, 6, 9), "stay on the CPU"));
    assert_non_null(strstr(verdict("gpu", 10, 6, 9), "leaves 10.0 cores"));
    assert_non_null(
        strstr(verdict("gpu", 10, 15, 9), "stay on the CPU: the GPU makes no difference"));
    assert_non_null(strstr(verdict("gpu", 50, 6, 0), "stay on the CPU: nothing of this program"));
    /* of a GPU nothing is said where there was none */
    for (double gbit = 1; gbit < 100; gbit *= 3)
        assert_non_null(strstr(verdict("tables", gbit, 6, 9), "GPU is worth it was not measured"));
    assert_non_null(strstr(verdict("tables", 2, 6, 9), "5.0 times as fast as searching"));
}

/* In some milliseconds it is starting, and the wait for the only batch, that is measured. */
static void brief_runs(void **state)
{
    (void)state;
    static const double seconds[][2] = {{0.02, 3}, {3, 0.02}, {0.02, 0.02}, {3, 3}};
    static const char *const devices[] = {"gpu", "tables"};
    struct mr_compare_side cpu = {.device = "cpu", .cores = 16};
    struct mr_compare_side other = {.gbit = 10, .cores = 6, .device_messages = 9};
    char text[512];

    for (size_t d = 0; d < sizeof devices / sizeof *devices; d++) {
        other.device = devices[d];
        for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
            cpu.seconds = seconds[i][0];
            other.seconds = seconds[i][1];
            for (cpu.gbit = 1; cpu.gbit < 200; cpu.gbit *= 3) {
                mr_compare_verdict(&cpu, &other, text, sizeof text);
                const char *brief = strstr(text, "; but runs of 0.02 s say little");
                assert_int_equal(brief != NULL, i < 3);
            }
        }
    }
    other.device_messages = 0; /* that does not depend on how long it took */
    cpu.seconds = 0.02;
    mr_compare_verdict(&cpu, &other, text, sizeof text);
    assert_null(strstr(text, "say little"));
}

/* What a device that fails leaves to the CPU is no measurement of the device. */
static void failures(void **state)
{
    (void)state;
    struct mr_compare_side cpu = {.device = "cpu", .gbit = 10, .cores = 16},
                           other = {.device = "gpu",
                                    .gbit = 50,
                                    .cores = 6,
                                    .device_messages = 0,
                                    .failed = 100};
    char text[512];

    mr_compare_verdict(&cpu, &other, text, sizeof text);
    assert_non_null(
        strstr(text, "not measured: the device failed, or was late, with 100 messages"));
    other.device_messages = 900;
    mr_compare_verdict(&cpu, &other, text, sizeof text);
    assert_non_null(strstr(text, "not measured: the device failed"));
    other.device_messages = 100000;
    mr_compare_verdict(&cpu, &other, text, sizeof text);
    assert_non_null(strstr(text, "take the GPU"));
    other.device_messages = other.failed = 0; /* nothing fits a batch */
    other.too_long = 29;
    mr_compare_verdict(&cpu, &other, text, sizeof text);
    assert_non_null(
        strstr(text, "not measured: the device was given nothing, for all 29 messages"));
    assert_non_null(strstr(text, "--batch"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(advice), cmocka_unit_test(brief_runs),
                                       cmocka_unit_test(failures)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
