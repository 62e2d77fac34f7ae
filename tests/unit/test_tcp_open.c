/* How TCP flows open: handshakes, data in a SYN, pick-up in the middle. */
// layers: stream base
#include "tcp_short.h"

static enum mr_tcp_state state_of(struct rig *r, enum mr_direction who)
{
    return mr_tcp_endpoint_state(&rig_last(r)->tcp, who);
}

static void states_follow_the_rfc(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    const struct {
        int from;
        uint32_t seq, ack;
        uint8_t flags;
        enum mr_tcp_state client, server;
    } steps[] = {
        {C, 100, 0, SYN, MR_TCP_SYN_SENT, MR_TCP_SYN_RECEIVED},
        {S, 500, 101, SA, MR_TCP_ESTABLISHED, MR_TCP_SYN_RECEIVED},
        {C, 101, 501, A, MR_TCP_ESTABLISHED, MR_TCP_ESTABLISHED},
        {C, 101, 501, FA, MR_TCP_FIN_WAIT_1, MR_TCP_CLOSE_WAIT},
        {S, 501, 102, A, MR_TCP_FIN_WAIT_2, MR_TCP_CLOSE_WAIT},
        {S, 501, 102, FA, MR_TCP_TIME_WAIT, MR_TCP_LAST_ACK},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        rig_send(r, steps[i].from, steps[i].seq, steps[i].ack, steps[i].flags, "", 0);
        assert_int_equal(state_of(r, MR_TO_SERVER), steps[i].client);
        assert_int_equal(state_of(r, MR_TO_CLIENT), steps[i].server);
    }
    assert_string_equal(mr_tcp_state_name(MR_TCP_SYN_RECEIVED), "syn_recv");
    rig_free(r);
}

static void both_close_at_once(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_open(r, 100, 500);
    rig_send(r, C, 101, 501, FA, "", 0);
    rig_send(r, S, 501, 101, FA, "", 0);
    assert_int_equal(state_of(r, MR_TO_SERVER), MR_TCP_CLOSING);
    assert_int_equal(rig_last(r)->end_reason, MR_FLOW_END_FIN);
    rig_free(r);
}

static void simultaneous_open(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "", 0);
    rig_send(r, S, 500, 0, SYN, "", 0);
    rig_send(r, C, 100, 501, SA, "", 0);
    rig_send(r, S, 500, 101, SA, "", 0);
    rig_send(r, C, 101, 501, A, "ping", 4);
    rig_send(r, S, 501, 105, A, "pong", 4);
    expect_clean(r, "ping", "pong");
    assert_true(client_is(r, C));
    rig_free(r);
}

static void split_handshake_of_four(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 1000, 0, SYN, "", 0);
    rig_send(r, S, 3000, 0, SYN, "", 0);
    rig_send(r, C, 1000, 3001, SA, "", 0);
    rig_send(r, S, 3001, 1001, A, "", 0);
    rig_send(r, C, 1001, 3001, A, "data", 4);
    expect_clean(r, "data", "");
    assert_true(client_is(r, C));
    assert_string_equal(rig_last(r)->flow.state, "established");
    rig_free(r);
}

static void split_handshake_of_five(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 1000, 0, SYN, "", 0);
    rig_send(r, S, 3000, 1001, A, "", 0);
    rig_send(r, S, 3000, 0, SYN, "", 0);
    rig_send(r, C, 1000, 3001, SA, "", 0);
    rig_send(r, S, 3001, 1001, A, "", 0);
    rig_send(r, C, 1001, 3001, A, "data", 4);
    rig_send(r, S, 3001, 1005, A, "yes", 3);
    expect_clean(r, "data", "yes");
    assert_true(client_is(r, C));
    rig_free(r);
}

static void syn_ack_before_syn(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, S, 500, 101, SA, "", 0);
    rig_send(r, C, 100, 0, SYN, "", 0);
    rig_send(r, C, 101, 501, A, "x", 1);
    rig_send(r, S, 501, 102, A, "y", 1);
    expect_clean(r, "x", "y");
    assert_true(client_is(r, C));
    assert_int_equal(rig_last(r)->flow.midstream, 0);
    rig_free(r);
}

static void data_before_its_syn_ack(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "", 0);
    rig_send(r, S, 504, 101, A, "two", 3);
    rig_send(r, S, 501, 101, A, "one", 3);
    expect_clean(r, "", "");
    rig_send(r, S, 500, 101, SA, "", 0);
    expect_clean(r, "", "onetwo");
    rig_free(r);
}

static void syn_ack_never_seen(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "", 0);
    rig_send(r, C, 101, 501, A, "hello", 5);
    rig_send(r, S, 501, 106, A, "a", 1);
    expect_clean(r, "hello", "");
    for (uint32_t i = 0; i < 20; i++)
        rig_send(r, S, 502 + i, 106, A, "b", 1);
    expect_clean(r, "hello", "abbbbbbbbbbbbbbbbbbbb");
    rig_free(r);
}

static void syn_ack_never_seen_and_short(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "", 0);
    rig_send(r, S, 501, 101, A, "one", 3);
    rig_send(r, S, 504, 101, FA, "two", 3);
    rig_send(r, C, 101, 508, FA, "", 0);
    expect_clean(r, "", "");
    rig_finish(r, MR_FLOW_END_TIMEOUT);
    expect_clean(r, "", "onetwo");
    assert_int_equal(rig_last(r)->end_reason, MR_FLOW_END_FIN);
    rig_free(r);
}

static void syn_ack_with_wrong_number(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "", 0);
    rig_send(r, S, 500, 99, SA, "", 0);
    assert_int_equal(rig_anomaly(r, "stream.3whs_synack_with_wrong_ack"), 1);
    rig_send(r, S, 700, 101, SA, "", 0);
    rig_send(r, C, 101, 701, A, "", 0);
    rig_send(r, S, 701, 101, A, "good", 4);
    expect(r, "", "good");
    rig_free(r);
}

static void client_begins_anew(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) { /* which of two SYNs is answered */
        struct rig *r = rig_new();
        rig_send(r, C, 100, 0, SYN, "", 0);
        rig_send(r, C, 9000, 0, SYN, "", 0);
        uint32_t base = first ? 101 : 9001;
        rig_send(r, S, 500, base, SA, "", 0);
        rig_send(r, C, base, 501, A, "abc", 3);
        rig_send(r, S, 501, base + 3, A, "def", 3);
        expect_clean(r, "abc", "def");
        assert_int_equal(r->n_flows, 1);
        rig_free(r);
    }
}

static void two_syn_acks(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) { /* which of them the client takes */
        struct rig *r = rig_new();
        rig_send(r, C, 100, 0, SYN, "", 0);
        rig_send(r, S, 500, 101, SA, "", 0);
        rig_send(r, S, 8000, 101, SA, "", 0);
        uint32_t base = first ? 501 : 8001;
        rig_send(r, C, 101, base, A, "", 0);
        rig_send(r, S, base, 101, A, "def", 3);
        expect(r, "", "def");
        assert_int_equal(rig_anomaly(r, "stream.3whs_synack_seq_mismatch"), 1);
        rig_free(r);
    }
}

static void syn_data_taken(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "GET /", 5);
    expect(r, "", "");
    rig_send(r, S, 500, 106, SA, "", 0);
    expect_clean(r, "GET /", "");
    rig_send(r, S, 501, 106, A, "200", 3); /* before the client's ACK */
    rig_send(r, C, 106, 504, A, " more", 5);
    expect_clean(r, "GET / more", "200");
    rig_free(r);
}

static void syn_data_refused(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "EVIL!", 5);
    rig_send(r, S, 500, 101, SA, "", 0);
    assert_int_equal(rig_anomaly(r, "stream.3whs_synack_tfo_data_ignored"), 1);
    rig_send(r, C, 101, 501, A, "GOOD.", 5);
    expect(r, "GOOD.", "");
    rig_free(r);
}

static void syn_data_partly_taken(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "abcdef", 6);
    rig_send(r, S, 500, 104, SA, "", 0);
    rig_send(r, C, 104, 501, A, "defg", 4);
    expect(r, "abcdefg", "");
    rig_free(r);
}

static void syn_data_one_sided(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "hello ", 6);
    rig_send(r, C, 107, 501, A, "world", 5); /* goes on behind it: it was taken */
    expect_clean(r, "hello world", "");
    rig_free(r);
    r = rig_new();
    rig_send(r, C, 100, 0, SYN, "EVIL!", 5);
    rig_send(r, C, 101, 501, A, "GOOD.", 5); /* sends it again: it was not */
    expect(r, "GOOD.", "");
    rig_free(r);
}

static void syn_data_never_answered(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "hello", 5);
    rig_send(r, C, 100, 0, SYN, "hello", 5);
    rig_finish(r, MR_FLOW_END_SHUTDOWN);
    expect_clean(r, "", "");
    assert_int_equal(rig_last(r)->end_reason, MR_FLOW_END_SHUTDOWN);
    rig_free(r);
}

static void midstream_both_sides(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, S, 5000, 1000, A, "220 hi", 6); /* port 25 serves whoever speaks first */
    assert_true(client_is(r, C));
    assert_int_equal(rig_last(r)->flow.midstream, 1);
    assert_string_equal(rig_last(r)->flow.state, "established");
    rig_send(r, C, 1000, 5006, A, "HELO", 4);
    rig_send(r, S, 5006, 1004, A, "250", 3);
    expect_clean(r, "HELO", "220 hi250");
    rig_free(r);
}

static void midstream_roles(void **state)
{
    (void)state;
    const struct {
        uint16_t src, dst;
        int client; /* of the first packet, sent by C */
    } cases[] = {{40000, 25, C},   {25, 40000, S},    {1883, 50000, S}, {50000, 1883, C},
                 {8080, 12345, C}, {50000, 60000, C}, {22, 25, C}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rig *r = rig_new();
        r->ends[C].port = cases[i].src;
        r->ends[S].port = cases[i].dst;
        rig_send(r, C, 1, 1, A, "x", 1);
        assert_true(client_is(r, cases[i].client));
        rig_free(r);
    }
}

static void midstream_switched_off(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->config.midstream = false;
    rig_send(r, S, 5000, 1000, A, "220 hi", 6);
    rig_send(r, C, 1000, 5006, A, "HELO", 4);
    expect_clean(r, "", "");
    assert_string_equal(rig_last(r)->flow.state, "new");
    rig_open(r, 2000, 6000); /* ... until a SYN comes */
    rig_send(r, C, 2001, 6001, A, "HELO", 4);
    expect_clean(r, "HELO", "");
    assert_int_equal(rig_last(r)->flow.packets[C], 4);
    rig_free(r);
}

static void counters_follow_the_client(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->ends[C].port = 50001;
    r->ends[S].port = 50000;
    rig_send(r, S, 0, 0, RST, "", 0); /* tells nothing: S counts as client for now */
    rig_send(r, C, 100, 0, SYN, "", 0);
    rig_send(r, C, 100, 0, SYN, "", 0);
    assert_true(client_is(r, C));
    assert_int_equal(rig_last(r)->flow.packets[C], 2);
    assert_int_equal(rig_last(r)->flow.packets[S], 1);
    assert_int_equal(rig_anomaly(r, "stream.rst_but_no_session"), 1);
    rig_free(r);
}

static void one_side_only(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++) {
        struct rig *r = rig_new();
        if (who == C)
            rig_send(r, C, 100, 0, SYN, "", 0);
        else
            rig_send(r, S, 100, 8000, SA, "", 0);
        rig_send(r, who, 101, 8000, A, "one", 3);
        rig_send(r, who, 107, 8500, A, "three", 5);
        rig_send(r, who, 104, 8300, A, "two", 3);
        rig_send(r, who, 112, 9000000, FA, "", 0);
        expect_clean(r, who == C ? "onetwothree" : "", who == S ? "onetwothree" : "");
        rig_finish(r, MR_FLOW_END_TIMEOUT);
        assert_int_equal(rig_last(r)->end_reason, MR_FLOW_END_TIMEOUT);
        rig_free(r);
    }
}

static void strays(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 100, FA, "", 0);
    assert_int_equal(rig_anomaly(r, "stream.fin_but_no_session"), 1);
    rig_send(r, C, 100, 0, 0, "null scan", 9);
    rig_send(r, C, 100, 0, SYN | MR_TCP_FIN, "", 0);
    assert_int_equal(rig_anomaly(r, "stream.fin_syn"), 1);
    rig_finish(r, MR_FLOW_END_TIMEOUT);
    expect(r, "", "");
    assert_int_equal(rig_last(r)->ends, 1);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_follow_the_rfc),
        cmocka_unit_test(both_close_at_once),
        cmocka_unit_test(simultaneous_open),
        cmocka_unit_test(split_handshake_of_four),
        cmocka_unit_test(split_handshake_of_five),
        cmocka_unit_test(syn_ack_before_syn),
        cmocka_unit_test(data_before_its_syn_ack),
        cmocka_unit_test(syn_ack_never_seen),
        cmocka_unit_test(syn_ack_never_seen_and_short),
        cmocka_unit_test(syn_ack_with_wrong_number),
        cmocka_unit_test(client_begins_anew),
        cmocka_unit_test(two_syn_acks),
        cmocka_unit_test(syn_data_taken),
        cmocka_unit_test(syn_data_refused),
        cmocka_unit_test(syn_data_partly_taken),
        cmocka_unit_test(syn_data_one_sided),
        cmocka_unit_test(syn_data_never_answered),
        cmocka_unit_test(midstream_both_sides),
        cmocka_unit_test(midstream_roles),
        cmocka_unit_test(midstream_switched_off),
        cmocka_unit_test(counters_follow_the_client),
        cmocka_unit_test(one_side_only),
        cmocka_unit_test(strays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
