/* More patterns than a block has threads and more pairs than all warps take in one round, most of
 * them of few patterns, whose tables are copied to shared memory: the same as on the host, and no
 * races where the kernels use their shared memory anew. */
// layers: offload
// threads: 1
#include "kernels/emulation/control.h"
#include "offload/backend.h"
#include "test_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PATTERNS = 700, MESSAGES = 400, WORDS = 24, FREQUENT = 8, LONG = 5000 };

static uint64_t random_state = 11;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % below;
}

static void compile(struct mr_regex_set *set)
{
    static char texts[PATTERNS][24];
    struct mr_regex_pattern patterns[PATTERNS];
    struct mr_error error = {0};

    for (uint32_t i = 0; i < PATTERNS; i++) {
        snprintf(texts[i], sizeof texts[i], i % 2 ? "w%03u[0-4]+x" : "w%03u[0-4].{0,9}x", i);
        patterns[i] = (struct mr_regex_pattern){texts[i], 0};
    }
    assert_int_equal(mr_regex_compile(set, patterns, PATTERNS, &mr_regex_limits_default, 1, &error),
                     MR_OK);
    assert_int_equal(set->tiers[MR_TIER_CPU], 0);
}

static void fill(struct mr_offload_batch *batches[2])
{
    static char text[LONG + WORDS * 16];

    for (uint32_t m = 0; m < MESSAGES; m++) {
        int len = 0;
        for (uint32_t w = 0; w < WORDS; w++)
            len +=
                snprintf(text + len, sizeof text - (size_t)len, "w%03u%u%s ",
                         draw(4) ? draw(FREQUENT) : draw(PATTERNS), draw(10), draw(2) ? "x" : "y");
        if (m % 16 == 0) { /* one that a whole warp reads */
            memset(text + len, '.', LONG);
            len += LONG;
        }
        for (int i = 0; i < 2; i++)
            assert_true(mr_batch_add(batches[i], (const uint8_t *)text, (uint32_t)len));
    }
}

static void search(const struct mr_backend *backend, void *state, struct mr_offload_batch *batch)
{
    struct mr_error error = {0};
    char report[2048] = "";
    enum mr_status status = backend->submit(state, batch, &error);

    while (!status && (status = backend->poll(state, batch, &error)) == MR_AGAIN)
        status = MR_OK;
    mr_emulation_report(report, sizeof report);
    if (status)
        fail_msg("%s; %s", error.text, report);
}

/* How many pairs both have; they have the same. */
static uint32_t compare(struct mr_offload_batch *batches[2])
{
    static uint8_t found[2][MESSAGES][PATTERNS];
    uint32_t n = 0;

    memset(found, 0, sizeof found);
    for (int i = 0; i < 2; i++)
        for (uint32_t k = 0; k < batches[i]->n_matches; k++, n++) {
            const struct mr_regex_match *match = &batches[i]->matches[k];
            assert_true(match->message < MESSAGES && match->pattern < PATTERNS);
            assert_int_equal(found[i][match->message][match->pattern]++, 0);
        }
    assert_memory_equal(found[0], found[1], sizeof found[0]);
    return n / 2;
}

static enum mr_status open_device(const struct mr_backend_config *config, void **state,
                                  struct mr_error *error)
{
    struct mr_device_backend backend = test_parts();
    return mr_device_open(&backend, config, state, error);
}

static void many(void **unused)
{
    static const struct mr_backend device = {.name = "device",
                                             .open = open_device,
                                             .close = mr_device_close,
                                             .batch_new = mr_device_batch_new,
                                             .batch_free = mr_device_batch_free,
                                             .submit = mr_device_submit,
                                             .poll = mr_device_poll};
    const struct mr_backend *backends[2] = {&mr_backend_cpu, &device};
    struct mr_regex_set set;
    struct mr_backend_config config = {
        .work = {.set = &set}, .bytes_max = 1u << 18, .messages_max = MESSAGES, .matches_each = 64};
    struct mr_offload_batch *batches[2];
    struct mr_error error = {0};
    void *states[2];

    (void)unused;
    compile(&set);
    for (int i = 0; i < 2; i++)
        if (backends[i]->open(&config, &states[i], &error) ||
            backends[i]->batch_new(states[i], &batches[i], &error))
            fail_msg("%s", error.text);
    for (uint64_t seed = 0; seed < 3; seed++) {
        for (int i = 0; i < 2; i++)
            batches[i]->n_bytes = batches[i]->n_messages = 0;
        fill(batches);
        mr_emulation_seed(seed);
        for (int i = 0; i < 2; i++)
            search(backends[i], states[i], batches[i]);
        assert_in_range(compare(batches), MESSAGES, MESSAGES * WORDS);
    }
    mr_emulation_seed(0);
    for (int i = 0; i < 2; i++) {
        backends[i]->batch_free(states[i], batches[i]);
        backends[i]->close(states[i]);
    }
    mr_regex_set_free(&set);
}

/* So many literals that their table is too large for the blocks of a smaller GPU as it is. */
static void more_than_small_blocks_hold(void **unused)
{
    enum { LITERALS = 10500 };
    static char texts[LITERALS][12];
    static struct mr_regex_pattern patterns[LITERALS];
    const struct mr_device_backend parts = test_parts();
    struct mr_regex_set set;
    struct mr_backend_config config = {
        .work = {.set = &set}, .bytes_max = 1u << 16, .messages_max = 64, .matches_each = 64};
    struct mr_offload_batch *batch;
    struct mr_error error = {0};
    uint32_t unloaded = mr_emulation_unloaded();
    void *state;

    (void)unused;
    for (uint32_t i = 0; i < LITERALS; i++) {
        snprintf(texts[i], sizeof texts[i], "<%05u>", i * 7919 % 99991);
        patterns[i] = (struct mr_regex_pattern){texts[i], 0};
    }
    assert_int_equal(
        mr_regex_compile(&set, patterns, LITERALS, &mr_regex_limits_default, 2, &error), MR_OK);
    for (uint32_t kib = 99; kib < 300; kib += 128) { /* 99 and 227 */
        mr_emulation_shared(kib * 1024);
        if (mr_device_open(&parts, &config, &state, &error) ||
            mr_device_batch_new(state, &batch, &error))
            fail_msg("%s", error.text);
        for (uint32_t m = 0; m < 64; m++)
            assert_true(mr_batch_add(batch, texts[m * 160], 7));
        struct mr_backend backend = {.submit = mr_device_submit, .poll = mr_device_poll};
        search(&backend, state, batch);
        assert_int_equal(batch->n_matches, 64);
        for (uint32_t k = 0; k < 64; k++) {
            assert_int_equal(batch->matches[k].pattern, batch->matches[k].message * 160);
            assert_int_equal(batch->redo[k], 0);
        }
        mr_device_batch_free(state, batch);
        mr_device_close(state);
    }
    mr_emulation_shared(0);
    assert_int_equal(mr_emulation_unloaded(), unloaded); /* all kernels were loaded before */
    mr_regex_set_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many),
                                       cmocka_unit_test(more_than_small_blocks_hold)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
