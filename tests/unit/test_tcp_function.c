/* f_processTCP as programs call it: settings, chunks, contexts, deadlines, memory that runs out. */
// layers: harness engine stream
#include "harness/harness.h"
#include "stream/tcp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const struct mr_component mr_component_tcp;

#define A      MR_TCP_ACK
#define FA     (MR_TCP_FIN | MR_TCP_ACK)
#define SECOND 1000000000ull
#define START  (1700000000 * SECOND)
#define MAX    16
#define CLIENT 0
#define SERVER 1

/* Packets that are handed over in one call. */
struct batch {
    struct mr_packet packets[MAX];
    struct mr_packet *pointers[MAX];
    union mr_value values[MAX];
    uint32_t keys[MAX];
    uint32_t n;
};

static const struct mr_endpoint ends[2] = {
    {.address = {10, 0, 0, 1}, .port = 40000, .family = 4, .protocol = 6},
    {.address = {10, 0, 0, 2}, .port = 25, .family = 4, .protocol = 6}};

static void add(struct batch *b, int from, uint32_t seq, uint32_t ack, uint8_t flags,
                const char *bytes)
{
    uint32_t i = b->n++;

    b->packets[i] = (struct mr_packet){.data = (const uint8_t *)bytes,
                                       .len = (uint32_t)strlen(bytes),
                                       .wire_len = 40 + (uint32_t)strlen(bytes),
                                       .payload_len = (uint32_t)strlen(bytes),
                                       .time_ns = START + i,
                                       .number = i + 1,
                                       .tcp_seq = seq,
                                       .tcp_ack = ack,
                                       .tcp_window = 65535,
                                       .tcp_flags = flags,
                                       .src = ends[from],
                                       .dst = ends[!from]};
    b->pointers[i] = &b->packets[i];
    b->values[i] = mr_value_bytes(&b->packets[i], sizeof b->packets[i]);
}

static void open_connection(struct batch *b, uint32_t client_isn, uint32_t server_isn)
{
    add(b, CLIENT, client_isn, 0, MR_TCP_SYN, "");
    add(b, SERVER, server_isn, client_isn + 1, MR_TCP_SYN | A, "");
    add(b, CLIENT, client_isn + 1, server_isn + 1, A, "");
}

static uint32_t run(struct mr_harness *h, struct batch *b, enum mr_cause cause)
{
    struct mr_harness_rows rows = {.n = b->n,
                                   .args = {b->values},
                                   .packets = b->pointers,
                                   .keys = b->keys,
                                   .cause = cause,
                                   .now_ns = START};
    uint32_t n = mr_harness_call(h, &rows);
    b->n = 0;
    return n;
}

static struct mr_harness *open_function(const char *settings)
{
    struct mr_constant text = {.type = MR_TYPE_STRING};
    if (settings)
        text.value = mr_value_bytes(settings, (uint32_t)strlen(settings));
    return mr_harness_new(mr_harness_find(&mr_component_tcp, "f_processTCP"), &text,
                          settings ? 1 : 0);
}

static const struct mr_chunk *chunk_of(struct mr_harness *h, uint32_t i)
{
    return mr_harness_results(h)[i].value.b.ptr;
}

static void expect_data(struct mr_harness *h, uint32_t i, uint32_t row, int direction,
                        const char *bytes)
{
    const struct mr_chunk *c = chunk_of(h, i);

    assert_int_equal(mr_harness_results(h)[i].row, row);
    assert_int_equal(c->kind, MR_CHUNK_DATA);
    assert_int_equal(c->direction, direction);
    assert_int_equal(c->len, strlen(bytes));
    assert_memory_equal(c->data, bytes, c->len);
}

static void chunks_of_a_connection(void **state)
{
    (void)state;
    struct mr_harness *h = open_function(NULL);
    struct batch b = {0};

    open_connection(&b, 100, 500);
    add(&b, CLIENT, 103, 501, A, "cd");
    add(&b, CLIENT, 101, 501, A, "ab");
    add(&b, SERVER, 501, 105, A, "xyz");
    assert_int_equal(run(h, &b, MR_CAUSE_DATA), 3);
    expect_data(h, 0, 4, MR_TO_SERVER, "ab");
    expect_data(h, 1, 4, MR_TO_SERVER, "cd"); /* from a buffer that lives as long */
    expect_data(h, 2, 5, MR_TO_CLIENT, "xyz");
    assert_int_equal(mr_harness_deadline(h, 0), START + 5 + 600 * SECOND);
    add(&b, CLIENT, 105, 504, FA, "");
    add(&b, SERVER, 504, 106, FA, "");
    assert_int_equal(run(h, &b, MR_CAUSE_DATA), 1);
    assert_int_equal(chunk_of(h, 0)->kind, MR_CHUNK_END);
    assert_int_equal(chunk_of(h, 0)->flow->end, MR_FLOW_END_FIN);
    add(&b, SERVER, 504, 106, FA, "");
    assert_int_equal(run(h, &b, MR_CAUSE_DATA), 0);
    assert_non_null(mr_harness_slot(h, 0)); /* TIME_WAIT */
    b.n = 1;
    assert_int_equal(run(h, &b, MR_CAUSE_EXPIRE), 0);
    assert_null(mr_harness_slot(h, 0));
    mr_harness_free(h);
}

static void reuse_renews_the_context(void **state)
{
    (void)state;
    struct mr_harness *h = open_function(NULL);
    struct batch b = {0};

    open_connection(&b, 100, 500);
    add(&b, CLIENT, 101, 501, A, "old");
    add(&b, CLIENT, 104, 501, FA, "");
    add(&b, SERVER, 501, 105, FA, "");
    open_connection(&b, 7000, 9000);
    add(&b, CLIENT, 7001, 9001, A, "new");
    assert_int_equal(run(h, &b, MR_CAUSE_DATA), 3);
    const struct mr_harness_result *results = mr_harness_results(h);
    expect_data(h, 0, 3, MR_TO_SERVER, "old");
    assert_int_equal(chunk_of(h, 1)->kind, MR_CHUNK_END);
    expect_data(h, 2, 9, MR_TO_SERVER, "new");
    assert_ptr_equal(results[0].context, results[1].context);
    assert_ptr_not_equal(results[1].context, results[2].context);
    assert_int_equal(chunk_of(h, 2)->offset, 0);
    mr_harness_free(h);
}

static void contexts_that_go(void **state)
{
    (void)state;
    static const enum mr_cause causes[] = {MR_CAUSE_EXPIRE, MR_CAUSE_EVICT, MR_CAUSE_SHUTDOWN};
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        struct mr_harness *h = open_function("");
        struct batch b = {0};
        open_connection(&b, 100, 500);
        add(&b, CLIENT, 103, 501, A, "cd");
        assert_int_equal(run(h, &b, MR_CAUSE_DATA), 0);
        b.n = 1;
        assert_int_equal(run(h, &b, causes[i]), 3);
        assert_int_equal(chunk_of(h, 0)->kind, MR_CHUNK_GAP);
        assert_int_equal(chunk_of(h, 0)->gap, 2);
        expect_data(h, 1, 0, MR_TO_SERVER, "cd");
        assert_int_equal(chunk_of(h, 2)->kind, MR_CHUNK_END);
        assert_int_equal(mr_harness_counter(h, 1), 1);
        assert_int_equal(mr_harness_counter(h, 2), 2);
        mr_harness_free(h);
    }
}

/* What is still held when a context is closed goes back (the harness aborts when it does not). */
static void closed_while_holding(void **state)
{
    (void)state;
    struct mr_harness *h = open_function(NULL);
    struct batch b = {0};

    open_connection(&b, 100, 500);
    add(&b, CLIENT, 103, 501, A, "cd");
    add(&b, SERVER, 503, 101, A, "cd");
    assert_int_equal(run(h, &b, MR_CAUSE_DATA), 0);
    mr_harness_free(h);
}

static void what_is_no_tcp(void **state)
{
    (void)state;
    struct mr_harness *h = open_function(NULL);
    struct batch b = {0};

    open_connection(&b, 100, 500);
    for (uint32_t i = 0; i < b.n; i++)
        b.packets[i].src.protocol = 17;
    assert_int_equal(run(h, &b, MR_CAUSE_DATA), 0);
    add(&b, CLIENT, 100, 100, A, "x");
    b.packets[0].flags = MR_PACKET_FRAGMENT;
    assert_int_equal(run(h, &b, MR_CAUSE_DATA), 0);
    assert_int_equal(mr_harness_flow(h, 0)->packets[0], 0);
    mr_harness_free(h);
}

static void token_memory_runs_out(void **state)
{
    (void)state;
    struct mr_harness *h = open_function(NULL);
    struct batch b = {0};

    mr_harness_token_bytes(h, sizeof(struct mr_chunk));
    open_connection(&b, 100, 500);
    add(&b, CLIENT, 103, 501, A, "cd");
    add(&b, CLIENT, 101, 501, A, "ab");
    assert_int_equal(run(h, &b, MR_CAUSE_DATA), 1);
    assert_int_equal(mr_harness_counter(h, 5), 1);
    mr_harness_free(h);
}

static void buffers_run_out(void **state)
{
    (void)state;
    struct mr_harness *h = open_function(NULL);
    struct batch b = {0};

    mr_harness_buffer_bytes(h, 100);
    open_connection(&b, 100, 500);
    add(&b, CLIENT, 103, 501, A, "cd");
    assert_int_equal(run(h, &b, MR_CAUSE_DATA), 2); /* a gap, and the bytes */
    assert_int_equal(mr_harness_counter(h, 4), 1);
    mr_harness_free(h);
}

static void anomalies_are_events(void **state)
{
    (void)state;
    struct mr_harness *h = open_function(NULL);
    struct batch b = {0};

    open_connection(&b, 100, 500);
    add(&b, CLIENT, 101, 501, A, "GOOD");
    add(&b, CLIENT, 101, 501, A, "EVIL");
    assert_int_equal(run(h, &b, MR_CAUSE_DATA), 1);
    assert_non_null(strstr(mr_harness_events(h), "stream.reassembly_overlap_different_data"));
    mr_harness_free(h);
}

static void settings(void **state)
{
    (void)state;
    struct mr_harness *h =
        open_function(" policy=last , midstream=no,timeout=60,timeout-new=5,timeout-closed=1,"
                      "held=64k,segments=100,urgent=oob,");
    struct batch b = {0};

    add(&b, CLIENT, 100, 100, A, "midstream");
    assert_int_equal(run(h, &b, MR_CAUSE_DATA), 0);
    assert_int_equal(mr_harness_deadline(h, 0), START + 5 * SECOND);
    open_connection(&b, 100, 500);
    assert_int_equal(run(h, &b, MR_CAUSE_DATA), 0);
    assert_int_equal(mr_harness_deadline(h, 0), START + 2 + 60 * SECOND);
    add(&b, CLIENT, 102, 501, A, "old");
    add(&b, CLIENT, 102, 501, A, "new");
    add(&b, CLIENT, 101, 501, A, "!");
    assert_int_equal(run(h, &b, MR_CAUSE_DATA), 2);
    expect_data(h, 1, 2, MR_TO_SERVER, "new");
    mr_harness_free(h);
}

static void settings_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int offset;
        const char *says;
    } cases[] = {
        {"polcy=bsd", 0, "there is no setting \"polcy\""},
        {"midstream=no, plicy=bsd", 14, "there is no setting \"plicy\""},
        {"policy=macos", 7, "\"policy\" wants first, last"},
        {"policy", 6, "\"policy\" wants a value"},
        {"policy=", 7, "\"policy\" wants a value"},
        {"midstream=maybe", 10, "yes or no"},
        {"timeout=0", 8, "1 to 86400 seconds"},
        {"timeout=86401", 8, "1 to 86400 seconds"},
        {"timeout=1x", 8, "1 to 86400 seconds"},
        {"timeout=99999999999999999999", 8, "1 to 86400 seconds"},
        {"timeout-new=-1", 12, "1 to 86400 seconds"},
        {"timeout-closed=", 15, "wants a value"},
        {"held=1", 5, "4k to 64m"},
        {"held=4g", 5, "4k to 64m"},
        {"held=99999999999m", 5, "4k to 64m"},
        {"segments=1", 9, "16 to 65536"},
        {"urgent=drop", 7, "inline or oob"},
        {"=", 0, "there is no setting \"\""},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=1", 0,
         "there is no setting \"aaaa"},
    };
    const struct mr_function *f = mr_harness_find(&mr_component_tcp, "f_processTCP");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mr_constant text = {
            .type = MR_TYPE_STRING,
            .value = mr_value_bytes(cases[i].text, (uint32_t)strlen(cases[i].text))};
        struct mr_bind_error error = {.offset = -1};
        void *config = NULL;
        assert_int_equal(f->bind(&text, 1, &config, &error), MR_ERR_PROGRAM);
        assert_int_equal(error.offset, cases[i].offset);
        assert_non_null(strstr(error.text, cases[i].says));
    }
    struct mr_constant file = {
        .type = MR_TYPE_STRING, .value = MR_VALUE_TEXT("settings"), .is_file = true};
    struct mr_bind_error error = {.offset = -1};
    void *config = NULL;
    assert_int_equal(f->bind(&file, 1, &config, &error), MR_ERR_PROGRAM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_of_a_connection),
        cmocka_unit_test(reuse_renews_the_context),
        cmocka_unit_test(contexts_that_go),
        cmocka_unit_test(closed_while_holding),
        cmocka_unit_test(what_is_no_tcp),
        cmocka_unit_test(token_memory_runs_out),
        cmocka_unit_test(buffers_run_out),
        cmocka_unit_test(anomalies_are_events),
        cmocka_unit_test(settings),
        cmocka_unit_test(settings_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
