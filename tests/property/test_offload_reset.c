/* A kernel that fails takes the device from all who have it open, until it is reset: also from who
 * has nothing under way. All of them come back to it. */
// layers: base offload
#include "kernels/emulation/control.h"
#include "offload/offload.h"
#include "test_device.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#define USERS    2u
#define PATIENCE 90000u /* times a millisecond */

static const char message[] = "hay, a needle, and hay";

static uint64_t reopened(struct mr_offload *offload)
{
    struct mr_offload_counters counters;

    mr_offload_count(offload, &counters);
    return counters.reopened;
}

/* True: the device has found what is there. */
static bool ask(struct mr_offload *offload)
{
    struct mr_offload_done done;

    if (mr_offload_add(offload, message, sizeof message - 1, 7))
        return false;
    mr_offload_flush(offload);
    while (!mr_offload_take(offload, &done))
        mr_offload_wait(offload, 1000000000);
    assert_int_equal(done.batch->n_messages, 1);
    assert_int_equal(done.tags[0], 7);
    bool answered = !done.batch->redo[0];
    assert_int_equal(done.batch->n_matches, answered);
    mr_offload_release(offload, &done);
    return answered;
}

static void a_failed_device_is_reset(void **state)
{
    const struct mr_regex_pattern pattern = {"needle", 0};
    struct mr_offload *users[USERS];
    struct mr_regex_set set;
    struct mr_error error = {0};
    (void)state;

    assert_int_equal(mr_regex_compile(&set, &pattern, 1, &mr_regex_limits_default, 1, &error),
                     MR_OK);
    struct mr_offload_config config = {.work = {.set = &set},
                                       .backend = mr_backend_emulated(),
                                       .n_slots = 2,
                                       .bytes_max = 1 << 14,
                                       .messages_max = 32,
                                       .deadline_ns = 200000,
                                       .late_ns = 60000000000u,
                                       .retry_ns = 1000000};
    for (uint32_t u = 0; u < USERS; u++) {
        assert_int_equal(mr_offload_open(&config, &users[u], &error), MR_OK);
        assert_true(ask(users[u]));
    }
    for (uint64_t round = 1; round < 4; round++) {
        mr_emulation_fail();
        assert_false(ask(users[0]));
        for (uint32_t u = 0; u < USERS; u++) {
            for (uint32_t i = 0; i < PATIENCE && reopened(users[u]) < round; i++)
                mr_offload_wait(users[u], 1000000);
            assert_int_equal(reopened(users[u]), round);
        }
        for (uint32_t u = 0; u < USERS; u++)
            assert_true(ask(users[u]));
    }
    for (uint32_t u = 0; u < USERS; u++)
        assert_true(mr_offload_close(users[u]));
    mr_regex_set_free(&set);
}

/* It has failed while nobody had it open, or at the opening: who tries again finds it reset. */
static void one_that_failed_before_is_reset(void **unused)
{
    const struct mr_backend *backend = mr_backend_emulated();
    const struct mr_regex_pattern pattern = {"needle", 0};
    struct mr_regex_set set;
    struct mr_error error = {0};
    void *state;
    (void)unused;

    assert_int_equal(mr_regex_compile(&set, &pattern, 1, &mr_regex_limits_default, 1, &error),
                     MR_OK);
    const struct mr_backend_config config = {
        .work = {.set = &set}, .bytes_max = 1 << 12, .messages_max = 8, .matches_each = 1};
    mr_emulation_fail();
    assert_int_equal(backend->open(&config, &state, &error), MR_ERR_START);
    assert_int_equal(backend->open(&config, &state, &error), MR_OK);
    backend->close(state);
    mr_regex_set_free(&set);
}

/* ---- a device without room ---- */

static int answer_code, n_resets;

static int no_event(void **event)
{
    *event = NULL;
    return answer_code;
}

static int count_reset(void)
{
    n_resets++;
    return 0;
}

/* Who finds no memory for a batch does not take the device from others, even where there is none
 * for anything; who finds that it has failed does. */
static void too_little_memory_is_no_failure(void **unused)
{
    const struct mr_backend_config config = {.bytes_max = 1 << 12, .messages_max = 8};
    struct mr_device device = mr_device_emulated;
    struct mr_device_backend backend = {.device = &device,
                                        .filter = &mr_factor_filter_emulated,
                                        .kernels = &mr_regex_kernels_emulated,
                                        .bayes = &mr_bayes_emulated};
    struct mr_offload_batch *batch;
    struct mr_error error = {0};
    void *other, *state;
    (void)unused;

    device.event_new = no_event;
    device.reset = count_reset;
    for (int failed = 0; failed < 2; failed++) {
        assert_int_equal(mr_device_open(&backend, &config, &other, &error), MR_OK);
        assert_int_equal(mr_device_open(&backend, &config, &state, &error), MR_OK);
        answer_code = failed ? 719 : MR_DEVICE_NO_MEMORY;
        assert_int_not_equal(mr_device_batch_new(state, &batch, &error), MR_OK);
        assert_int_equal(mr_device_is_broken(other), failed);
        mr_device_close(state);
        mr_device_close(other);
        assert_int_equal(n_resets, failed);
    }
}

/* ---- a driver that hangs ---- */

static pthread_mutex_t hanging = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool back;

static int hang(int *n)
{
    *n = 1;
    pthread_mutex_lock(&hanging);
    pthread_mutex_unlock(&hanging);
    atomic_store(&back, true);
    return 0;
}

static int no_device(int *n)
{
    *n = 0;
    return 0;
}

/* Who asks whether there is a device is told in time that nobody answers. */
static void a_driver_that_hangs_keeps_nobody(void **unused)
{
    struct mr_device device = mr_device_emulated;
    struct mr_error error = {0};
    (void)unused;

    device.count = hang;
    pthread_mutex_lock(&hanging);
    assert_int_equal(mr_device_probe(&device, 20000000, &error), MR_ERR_LIMIT);
    assert_non_null(strstr(error.text, "has not answered for 0.02 s"));
    assert_false(back);
    pthread_mutex_unlock(&hanging); /* what was left behind ends by itself */
    while (!atomic_load(&back))
        sched_yield();
    assert_int_equal(mr_device_probe(&device, 60000000000u, &error), MR_OK);
    device.count = no_device;
    assert_int_equal(mr_device_probe(&device, 60000000000u, &error), MR_ERR_START);
    assert_non_null(strstr(error.text, "there is none here"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_failed_device_is_reset),
                                       cmocka_unit_test(too_little_memory_is_no_failure),
                                       cmocka_unit_test(one_that_failed_before_is_reset),
                                       cmocka_unit_test(a_driver_that_hangs_keeps_nobody)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
