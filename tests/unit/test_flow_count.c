/* f_flowCount: counts, directions, times and deadlines of flows. */
// layers: base harness components
#include "harness/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NS 1000000000ull
#define N  4

extern const struct mr_component mr_component_flow_count;

struct fixture {
    struct mr_packet packets[N];
    struct mr_packet *pointers[N];
    struct mr_flow_key key;
    union mr_value values[N];
    uint32_t keys[N];
};

static struct mr_endpoint end(uint8_t last, uint16_t port)
{
    return (struct mr_endpoint){
        .address = {192, 0, 2, last}, .port = port, .family = 4, .protocol = 17};
}

/* To the server, back, to the server, back; times 1 s, 3 s, 2 s, 4.5 s. */
static struct mr_harness_rows prepare(struct fixture *f)
{
    static const uint64_t times[N] = {NS, 3 * NS, 2 * NS, 4 * NS + NS / 2};

    memset(f, 0, sizeof *f);
    f->key.a = end(1, 53);
    f->key.b = end(2, 4000);
    for (uint32_t i = 0; i < N; i++) {
        f->packets[i].src = i % 2 ? f->key.a : f->key.b;
        f->packets[i].dst = i % 2 ? f->key.b : f->key.a;
        f->packets[i].wire_len = 100 + i;
        f->packets[i].time_ns = times[i];
        f->packets[i].tcp_flags = (uint8_t)(1 << i);
        f->pointers[i] = &f->packets[i];
        f->values[i] = mr_value_bytes(&f->key, sizeof f->key);
    }
    return (struct mr_harness_rows){.n = N,
                                    .args = {f->values},
                                    .packets = (struct mr_packet *const *)f->pointers,
                                    .keys = f->keys};
}

static struct mr_harness *open_function(int64_t timeout)
{
    struct mr_constant constant = {.type = MR_TYPE_INT, .value = mr_value_int(timeout)};
    return mr_harness_new(mr_harness_find(&mr_component_flow_count, "f_flowCount"), &constant,
                          timeout != 0);
}

static void start_flow(struct mr_harness *h, struct fixture *f)
{
    struct mr_flow *flow = mr_harness_flow(h, 0);
    flow->key = &f->key;
    flow->client = f->key.b;
    flow->server = f->key.a;
    flow->first_ns = flow->last_ns = NS;
}

static void counts_both_directions(void **state)
{
    (void)state;
    struct fixture f;
    struct mr_harness *h = open_function(0);
    struct mr_harness_rows rows = prepare(&f);

    start_flow(h, &f);
    assert_int_equal(mr_harness_call(h, &rows), N);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(mr_harness_results(h)[i].value.i, i + 1);
    const struct mr_flow *flow = mr_harness_flow(h, 0);
    assert_int_equal(flow->packets[0], 2);
    assert_int_equal(flow->packets[1], 2);
    assert_int_equal(flow->bytes[0], 100 + 102);
    assert_int_equal(flow->bytes[1], 101 + 103);
    assert_int_equal(flow->tcp_flags[0], 1 | 4);
    assert_int_equal(flow->tcp_flags[1], 2 | 8);
    assert_int_equal(flow->last_ns, 4 * NS + NS / 2);
    assert_string_equal(flow->state, "established");
    /* to the end of the last packet's second, and a minute */
    assert_int_equal(mr_harness_deadline(h, 0), 5 * NS - 1 + 60 * NS);
    mr_harness_free(h);
}

static void times_never_run_backwards(void **state)
{
    (void)state;
    struct fixture f;
    struct mr_harness *h = open_function(7);
    struct mr_harness_rows rows = prepare(&f);

    start_flow(h, &f);
    rows.n = 3;
    mr_harness_call(h, &rows);
    assert_int_equal(mr_harness_flow(h, 0)->last_ns, 3 * NS);
    assert_int_equal(mr_harness_deadline(h, 0), 4 * NS - 1 + 7 * NS);
    assert_string_equal(mr_harness_flow(h, 0)->state, "established");
    mr_harness_free(h);
}

static void one_direction_is_new(void **state)
{
    (void)state;
    struct fixture f;
    struct mr_harness *h = open_function(0);
    struct mr_harness_rows rows = prepare(&f);

    start_flow(h, &f);
    rows.n = 1;
    mr_harness_call(h, &rows);
    assert_string_equal(mr_harness_flow(h, 0)->state, "new");
    mr_harness_free(h);
}

static void leaves_another_keepers_flow_alone(void **state)
{
    (void)state;
    struct fixture f;
    struct mr_harness *h = open_function(0);
    struct mr_harness_rows rows = prepare(&f);
    static const char theirs[] = "closed";

    start_flow(h, &f);
    mr_harness_flow(h, 0)->state = theirs;
    mr_harness_flow(h, 0)->packets[0] = 9;
    assert_int_equal(mr_harness_call(h, &rows), N);
    assert_int_equal(mr_harness_results(h)[N - 1].value.i, N);
    assert_int_equal(mr_harness_flow(h, 0)->packets[0], 9);
    assert_ptr_equal(mr_harness_flow(h, 0)->state, theirs);
    mr_harness_free(h);
}

static void an_end_counts_nothing(void **state)
{
    (void)state;
    struct fixture f;
    struct mr_harness *h = open_function(0);
    struct mr_harness_rows rows = prepare(&f);

    start_flow(h, &f);
    mr_harness_call(h, &rows);
    rows.n = 1;
    rows.cause = MR_CAUSE_EXPIRE;
    rows.now_ns = 100 * NS;
    mr_harness_call(h, &rows);
    assert_int_equal(mr_harness_results(h)[0].value.i, N);
    assert_int_equal(mr_harness_flow(h, 0)->packets[0] + mr_harness_flow(h, 0)->packets[1], N);
    mr_harness_free(h);
}

static void refuses_timeouts_that_are_none(void **state)
{
    (void)state;
    const struct mr_function *function = mr_harness_find(&mr_component_flow_count, "f_flowCount");
    static const int64_t bad[] = {0, -1, 86401, INT64_MIN};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mr_constant constant = {.type = MR_TYPE_INT, .value = mr_value_int(bad[i])};
        struct mr_bind_error error = {0};
        void *config = NULL;
        assert_int_equal(function->bind(&constant, 1, &config, &error), MR_ERR_PROGRAM);
        assert_string_equal(error.text, "the timeout is 1 to 86400 seconds");
        assert_null(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_both_directions),
        cmocka_unit_test(times_never_run_backwards),
        cmocka_unit_test(one_direction_is_new),
        cmocka_unit_test(leaves_another_keepers_flow_alone),
        cmocka_unit_test(an_end_counts_nothing),
        cmocka_unit_test(refuses_timeouts_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
