/* Every call of the device and of its kernels fails in turn, once or from then on: what was made is
 * given back, answers are right or are an error, and the device can be opened again. */
// layers: base offload
// threads: 1
#include "offload/backend.h"
#include "test_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define ROUNDS  2u /* batches of one shape: the second is captured and launched */
#define INVALID 1
#define GONE    719

static uint32_t n_calls, fail_at;
static int fail_with;
static bool sticky;
static int made; /* memory, streams, events and graphs */

/* The code that this call is to have; 0: it is done. */
static int turn(void)
{
    n_calls++;
    return n_calls == fail_at || (sticky && fail_at && n_calls > fail_at) ? fail_with : 0;
}

#define CALL(...)                                                                                  \
    int code = turn();                                                                             \
    return code ? code : mr_device_emulated.__VA_ARGS__
#define MAKE(at, ...)                                                                              \
    int code = turn();                                                                             \
    *(at) = NULL;                                                                                  \
    if (!code)                                                                                     \
        code = mr_device_emulated.__VA_ARGS__;                                                     \
    made += !code;                                                                                 \
    return code
/* It goes, whatever is said of it: after an error a device has nothing any more. */
#define FREE(at, ...)                                                                              \
    made -= (at) != NULL;                                                                          \
    mr_device_emulated.__VA_ARGS__;                                                                \
    return turn()

static int count(int *n)
{
    CALL(count(n));
}
static int use(int which)
{
    CALL(use(which));
}
static int processors(int which, int *n)
{
    CALL(processors(which, n));
}
static int reset(void)
{
    n_calls++;
    sticky = false;
    return 0;
}
static int alloc(void **at, size_t bytes)
{
    MAKE(at, alloc(at, bytes));
}
static int free_memory(void *at)
{
    FREE(at, free_memory(at));
}
static int host_alloc(void **at, size_t bytes)
{
    MAKE(at, host_alloc(at, bytes));
}
static int host_free(void *at)
{
    FREE(at, host_free(at));
}
static int stream_new(void **stream)
{
    MAKE(stream, stream_new(stream));
}
static int stream_free(void *stream)
{
    FREE(stream, stream_free(stream));
}
static int event_new(void **event)
{
    MAKE(event, event_new(event));
}
static int event_free(void *event)
{
    FREE(event, event_free(event));
}
static int copy_in(void *device, const void *pinned, size_t bytes, void *stream)
{
    CALL(copy_in(device, pinned, bytes, stream));
}
static int copy_out(void *pinned, const void *device, size_t bytes, void *stream)
{
    CALL(copy_out(pinned, device, bytes, stream));
}
static int clear(void *device, size_t bytes, void *stream)
{
    CALL(clear(device, bytes, stream));
}
static int record(void *event, void *stream)
{
    CALL(record(event, stream));
}
static int query(void *event)
{
    CALL(query(event));
}
static int wait(void *event)
{
    CALL(wait(event));
}
static int elapsed_ns(uint64_t *ns, void *from, void *to)
{
    CALL(elapsed_ns(ns, from, to));
}
static int capture_begin(void *stream)
{
    CALL(capture_begin(stream));
}
static int record_captured(void *event, void *stream)
{
    CALL(record_captured(event, stream));
}
static int capture_end(void **graph, void *stream)
{
    int code = mr_device_emulated.capture_end(graph, stream), failed = turn();

    if (!code && failed) {
        mr_device_emulated.graph_free(*graph);
        *graph = NULL;
    }
    code = code ? code : failed;
    made += !code;
    return code;
}
static int graph_launch(void *graph, void *stream)
{
    CALL(graph_launch(graph, stream));
}
static int graph_free(void *graph)
{
    FREE(graph, graph_free(graph));
}
static const char *error_text(int error)
{
    return mr_device_emulated.error_text(error);
}

static const struct mr_device device = {
    .name = "failing",
    .count = count,
    .use = use,
    .processors = processors,
    .error_text = error_text,
    .reset = reset,
    .alloc = alloc,
    .free_memory = free_memory,
    .host_alloc = host_alloc,
    .host_free = host_free,
    .stream_new = stream_new,
    .stream_free = stream_free,
    .copy_in = copy_in,
    .copy_out = copy_out,
    .clear = clear,
    .event_new = event_new,
    .event_free = event_free,
    .record = record,
    .query = query,
    .wait = wait,
    .elapsed_ns = elapsed_ns,
    .capture_begin = capture_begin,
    .record_captured = record_captured,
    .capture_end = capture_end,
    .graph_launch = graph_launch,
    .graph_free = graph_free,
};

/* ---- kernels ---- */

static int filter_load(int which, uint32_t *bitmap_log2_max)
{
    int code = turn();
    return code ? code : mr_factor_filter_emulated.load(which, bitmap_log2_max);
}
static int filter_enqueue(const struct mr_factor_filter_batch *batch, void *stream)
{
    int code = turn();
    return code ? code : mr_factor_filter_emulated.enqueue(batch, stream);
}
static int regex_load(void)
{
    int code = turn();
    return code ? code : mr_regex_kernels_emulated.load();
}
static int regex_begin(const struct mr_regex_batch *batch, void *stream)
{
    int code = turn();
    return code ? code : mr_regex_kernels_emulated.begin(batch, stream);
}
static int regex_verify(const struct mr_regex_batch *batch, const struct mr_regex_pairs *pairs,
                        void *stream)
{
    int code = turn();
    return code ? code : mr_regex_kernels_emulated.verify(batch, pairs, stream);
}
static int regex_always(const struct mr_regex_batch *batch, uint32_t n_always, void *stream)
{
    int code = turn();
    return code ? code : mr_regex_kernels_emulated.always(batch, n_always, stream);
}

static const struct mr_factor_filter filter = {"failing", filter_load, filter_enqueue};
static const struct mr_regex_kernels kernels = {"failing", regex_load, regex_begin, regex_verify,
                                                regex_always};

/* ---- all of it ---- */

static void look(const struct mr_offload_batch *batch)
{
    bool found[3] = {false};

    for (uint32_t i = 0; i < batch->n_matches; i++) {
        assert_true(batch->matches[i].message < 3 && !found[batch->matches[i].message]);
        found[batch->matches[i].message] = true;
    }
    assert_true(found[0] && !found[1] && found[2]);
    assert_false(batch->redo[0] || batch->redo[1] || batch->redo[2]);
}

/* MR_OK: everything was done, and was right. */
static enum mr_status all(struct mr_regex_set *set, uint32_t rounds)
{
    static const char *const texts[] = {"hay, a needle, and hay", "hay", "ooze 123"};
    const struct mr_device_backend backend = {
        .device = &device, .filter = &filter, .kernels = &kernels, .bayes = &mr_bayes_emulated};
    const struct mr_backend_config config = {
        .work = {.set = set}, .bytes_max = 1 << 12, .messages_max = 8, .matches_each = 4};
    struct mr_offload_batch *batch = NULL;
    struct mr_error error = {0};
    void *state = NULL;
    enum mr_status status = mr_device_open(&backend, &config, &state, &error);

    if (!status)
        status = mr_device_batch_new(state, &batch, &error);
    for (uint32_t round = 0; round < rounds && !status; round++) {
        batch->n_bytes = batch->n_messages = 0;
        for (uint32_t i = 0; i < 3; i++)
            assert_true(mr_batch_add(batch, texts[i], (uint32_t)strlen(texts[i])));
        status = mr_device_submit(state, batch, &error);
        while (!status && (status = mr_device_poll(state, batch, &error)) == MR_AGAIN)
            status = MR_OK;
        if (!status)
            look(batch);
    }
    if (status)
        assert_true(status == MR_ERR_START && error.text[0]);
    if (batch)
        mr_device_batch_free(state, batch);
    if (state)
        mr_device_close(state);
    return status;
}

static void every_call(void **unused)
{
    const struct mr_regex_pattern patterns[] = {{"needle", 0}, {"[0-9]{3}$", 0}};
    static const int codes[] = {INVALID, MR_DEVICE_NO_MEMORY, GONE};
    struct mr_regex_set set;
    struct mr_error error = {0};
    (void)unused;

    assert_int_equal(mr_regex_compile(&set, patterns, 2, &mr_regex_limits_default, 1, &error),
                     MR_OK);
    n_calls = fail_at = 0;
    assert_int_equal(all(&set, ROUNDS), MR_OK);
    uint32_t calls = n_calls;
    for (int mode = 0; mode < 4; mode++)
        for (uint32_t at = 1; at <= calls; at++) {
            n_calls = 0;
            fail_at = at;
            fail_with = codes[mode < 3 ? mode : 2];
            sticky = mode == 3;
            enum mr_status status = all(&set, ROUNDS);
            if (made)
                fail_msg("call %u of %u with %d: %d are left", at, calls, fail_with, made);
            fail_at = 0;
            sticky = false;
            if (all(&set, 0))
                fail_msg("call %u of %u with %d (status %d): it cannot be used any more", at, calls,
                         fail_with, status);
            assert_int_equal(made, 0);
        }
    mr_regex_set_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_call)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
