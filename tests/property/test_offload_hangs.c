/* A device that never ends a batch: checks at load give it up, and leave it alone with what is its
 * own. The clock runs faster here. */
// layers: base models offload
// wrap: clock_gettime
#include "offload/bayes_check.h"
#include "offload/regex_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static time_t ahead;

int __real_clock_gettime(clockid_t which, struct timespec *now);
int __wrap_clock_gettime(clockid_t which, struct timespec *now);
int __wrap_clock_gettime(clockid_t which, struct timespec *now)
{
    int code = __real_clock_gettime(which, now);

    now->tv_sec += ahead += 100;
    return code;
}

/* ---- the host's back end, whose batches do not end ---- */

static void *state_of_it;
static struct mr_offload_batch *batch_of_it;
static uint32_t n_polls;

static enum mr_status open_it(const struct mr_backend_config *config, void **state,
                              struct mr_error *error)
{
    enum mr_status status = mr_backend_cpu.open(config, state, error);
    state_of_it = *state;
    return status;
}

static enum mr_status batch_new(void *state, struct mr_offload_batch **batch,
                                struct mr_error *error)
{
    enum mr_status status = mr_backend_cpu.batch_new(state, batch, error);
    batch_of_it = *batch;
    return status;
}

static enum mr_status poll_it(void *state, struct mr_offload_batch *batch, struct mr_error *error)
{
    (void)state, (void)batch, (void)error;
    n_polls++;
    return MR_AGAIN;
}

static void batch_free(void *state, struct mr_offload_batch *batch)
{
    (void)state, (void)batch;
    fail_msg("a batch is freed that a device is at");
}

static void close_it(void *state)
{
    (void)state;
    fail_msg("a device is closed that is at a batch");
}

static struct mr_backend hanging(void)
{
    struct mr_backend backend = mr_backend_cpu;

    backend.name = "hanging";
    backend.open = open_it;
    backend.batch_new = batch_new;
    backend.poll = poll_it;
    backend.batch_free = batch_free;
    backend.close = close_it;
    return backend;
}

static void gave_up(enum mr_status status, const struct mr_error *error)
{
    assert_int_equal(status, MR_ERR_LIMIT);
    assert_non_null(strstr(error->text, "device hanging: it has not answered"));
    assert_true(n_polls > 1);
    n_polls = 0;
    mr_backend_cpu.batch_free(state_of_it, batch_of_it);
    mr_backend_cpu.close(state_of_it);
}

static void find_nothing(void *context, const uint8_t *bytes, uint32_t len, uint32_t *matches,
                         uint32_t *unfit)
{
    (void)context, (void)bytes, (void)len, (void)matches, (void)unfit;
}

static void patterns(void **unused)
{
    const struct mr_regex_pattern pattern = {"needle", 0};
    const struct mr_regex_oracle oracle = {NULL, find_nothing};
    const struct mr_backend backend = hanging();
    struct mr_regex_checked checked;
    struct mr_regex_set set;
    struct mr_error error = {0};
    (void)unused;

    assert_int_equal(mr_regex_compile(&set, &pattern, 1, &mr_regex_limits_default, 1, &error),
                     MR_OK);
    gave_up(mr_regex_check(&set, &pattern, &backend, &oracle, 4, &checked, &error), &error);
    mr_regex_set_free(&set);
}

static void models(void **unused)
{
    struct mr_spam_model *model = mr_spam_model_new(8);
    const struct mr_backend backend = hanging();
    struct mr_bayes_checked checked;
    struct mr_error error = {0};
    (void)unused;

    assert_non_null(model);
    gave_up(mr_bayes_check(model, &backend, &checked, &error), &error);
    mr_spam_model_free(model);
}

/* Whoever opens a device behind that would wait as well. */
static void nobody_opens_it_again(void **unused)
{
    struct mr_backend backend = *mr_backend_emulated();
    const struct mr_backend_config config = {.bytes_max = 1024, .messages_max = 16};
    struct mr_offload_batch *batch = NULL;
    struct mr_error error = {0};
    void *state = NULL, *other = NULL;
    (void)unused;

    backend.poll = poll_it;
    assert_int_equal(backend.open(&config, &state, &error), MR_OK);
    assert_int_equal(backend.open(&config, &other, &error), MR_OK);
    backend.close(other);
    assert_int_equal(backend.batch_new(state, &batch, &error), MR_OK);
    assert_int_equal(mr_backend_wait(&backend, state, batch, &error), MR_ERR_LIMIT);
    assert_int_equal(backend.open(&config, &other, &error), MR_ERR_LIMIT);
    assert_non_null(strstr(error.text, "given up"));
    assert_null(other);
    backend.batch_free(state, batch);
    backend.close(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(patterns), cmocka_unit_test(models),
                                       cmocka_unit_test(nobody_opens_it_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
