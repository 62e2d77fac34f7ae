/* Ports that come back: when a SYN on a known 5-tuple is a new flow, and when it is not. */
// layers: stream base
#include "tcp_short.h"

static void close_by_fin(struct rig *r, uint32_t c, uint32_t s)
{
    rig_send(r, C, c, s, FA, "", 0);
    rig_send(r, S, s, c + 1, FA, "", 0);
    rig_send(r, C, c + 1, s + 1, A, "", 0);
}

static void reuse_after_fin(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_open(r, 100, 500);
    rig_send(r, C, 101, 501, A, "first", 5);
    close_by_fin(r, 106, 501);
    rig_open(r, 7000, 9000);
    assert_int_equal(r->n_flows, 2);
    rig_send(r, C, 7001, 9001, A, "second", 6);
    close_by_fin(r, 7007, 9001);
    assert_string_equal(rig_text_of(r, 0, C), "first");
    assert_string_equal(rig_text_of(r, 1, C), "second");
    assert_int_equal(r->flows[0]->end_reason, MR_FLOW_END_FIN);
    assert_int_equal(r->flows[1]->end_reason, MR_FLOW_END_FIN);
    assert_int_equal(r->flows[0]->flow.packets[C], 5);
    assert_int_equal(r->flows[1]->flow.packets[C], 5);
    assert_int_equal(r->n_anomalies, 0);
    rig_free(r);
}

static void reuse_in_the_other_direction(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_open(r, 100, 500);
    close_by_fin(r, 101, 501);
    rig_send(r, S, 9000, 0, SYN, "", 0);
    assert_int_equal(r->n_flows, 2);
    assert_true(client_is(r, S));
    rig_free(r);
}

static void reuse_after_reset(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_open(r, 100, 500);
    rig_send(r, C, 101, 501, A, "x", 1);
    rig_send(r, S, 501, 102, RA, "", 0);
    assert_string_equal(rig_last(r)->flow.state, "closed");
    assert_int_equal(rig_last(r)->ends, 0);
    rig_open(r, 7000, 9000);
    assert_int_equal(r->n_flows, 2);
    assert_int_equal(r->flows[0]->end_reason, MR_FLOW_END_RESET);
    rig_send(r, C, 7001, 9001, A, "y", 1);
    expect_clean(r, "y", "");
    rig_free(r);
}

static void late_syn_is_no_reuse(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_open(r, 100, 500);
    close_by_fin(r, 101, 501);
    rig_send(r, C, 100, 0, SYN, "", 0);  /* the same SYN again */
    rig_send(r, S, 500, 101, SA, "", 0); /* and its answer */
    rig_send(r, S, 501, 102, FA, "", 0); /* and a FIN */
    rig_send(r, C, 101, 501, A, "x", 1); /* and an old byte */
    assert_int_equal(r->n_flows, 1);
    r->now_ns += 2000000000u;
    rig_send(r, C, 100, 0, SYN, "", 0); /* seconds later: somebody who starts from a fixed number */
    assert_int_equal(r->n_flows, 2);
    rig_free(r);
}

/* A connection from 100 and 500, the numbers of all connections of these two. */
static void fixed_numbers(struct rig *r, const char *text)
{
    uint32_t len = (uint32_t)strlen(text);

    rig_open(r, 100, 500);
    rig_send(r, S, 501, 101, A, "220", 3);
    rig_send(r, C, 101, 504, A, text, len);
    close_by_fin(r, 101 + len, 504);
}

static void reuse_with_fixed_numbers(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->step_ns = 20000000;
    for (int i = 0; i < 12; i++)
        fixed_numbers(r, i % 2 ? "odd" : "even");
    assert_int_equal(r->n_flows, 12);
    for (int i = 0; i < 12; i++) {
        assert_string_equal(rig_text_of(r, i, C), i % 2 ? "odd" : "even");
        assert_string_equal(rig_text_of(r, i, S), "220");
        assert_int_equal(r->flows[i]->end_reason, MR_FLOW_END_FIN);
        assert_int_equal(r->flows[i]->flow.midstream, 0);
        assert_memory_equal(&r->flows[i]->flow.client, &r->ends[C], sizeof r->ends[C]);
    }
    assert_int_equal(r->n_anomalies, 0);
    rig_free(r);
}

static void reuse_with_fixed_numbers_after_reset(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->step_ns = 30000000;
    for (int i = 0; i < 3; i++) {
        rig_open(r, 100, 500);
        rig_send(r, C, 101, 501, A, "x", 1);
        rig_send(r, S, 501, 102, RA, "", 0);
    }
    assert_int_equal(r->n_flows, 3);
    expect_clean(r, "x", "");
    rig_free(r);
}

static void reuse_of_the_clients_number(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_open(r, 100, 500);
    rig_send(r, C, 101, 501, A, "first", 5);
    close_by_fin(r, 106, 501);
    rig_open(r, 100, 9000); /* at once, but no server answers twice with two numbers */
    rig_send(r, C, 101, 9001, A, "second", 6);
    assert_int_equal(r->n_flows, 2);
    expect_clean(r, "second", "");
    rig_free(r);
}

/* Its sender alone cannot say that it is a new one: an end that ignores the RST (RFC 5961) and the
 * SYN goes on with the old one, and what lies in front of that is old to it. */
static void one_side_begins_nothing_anew(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        struct rig *r = rig_new();
        r->step_ns = 50000000;
        rig_open(r, 100, 500);
        rig_send(r, S, 501, 101, A, "220", 3);
        rig_send(r, C, 101, 504, A, "first", 5);
        if (reset)
            rig_send(r, C, 106, 0, RST, "", 0);
        else
            close_by_fin(r, 106, 504);
        rig_send(r, C, 100, 0, SYN, "", 0);
        rig_send(r, C, 101, 504, A, "worst", 5);
        assert_int_equal(r->n_flows, 1);
        assert_string_equal(rig_text_of(r, 0, C), "first");
        rig_free(r);
    }
}

/* The same capture once more: its time begins again. */
static void reuse_when_time_goes_back(void **state)
{
    (void)state;
    for (int live = 0; live < 2; live++) {
        struct rig *r = rig_new();
        uint64_t begin_ns = r->now_ns;
        r->step_ns = live ? 500000000 : 20000;
        for (int i = 0; i < 2; i++) {
            r->now_ns = begin_ns;
            if (!live) {
                fixed_numbers(r, "text");
                continue;
            }
            rig_open(r, 100, 500);
            rig_send(r, S, 501, 101, A, "220", 3);
            rig_send(r, C, 101, 504, A, "text", 4); /* and there it ends */
        }
        assert_int_equal(r->n_flows, 2);
        for (int i = 0; i < 2; i++) {
            assert_string_equal(rig_text_of(r, i, C), "text");
            assert_string_equal(rig_text_of(r, i, S), "220");
        }
        assert_int_equal(r->n_anomalies, 0);
        rig_free(r);
    }
}

/* A tap that sees everything twice, the second time a little later. */
static void second_copies_are_no_reuse(void **state)
{
    (void)state;
    static const uint64_t skews_ns[] = {1000, 900000, 3000000, 90000000, 80000000};
    for (size_t i = 0; i < sizeof skews_ns / sizeof *skews_ns; i++) {
        struct rig *r = rig_new();
        uint64_t begin_ns = r->now_ns;
        r->step_ns = 100000;
        if (i < 4) { /* longer than the whole connection */
            fixed_numbers(r, "text");
            r->now_ns = begin_ns + skews_ns[i];
            fixed_numbers(r, "text");
        } else { /* shorter: its SYN comes into an established flow */
            rig_open(r, 100, 500);
            rig_send(r, S, 501, 101, A, "220", 3);
            r->now_ns = begin_ns + skews_ns[i];
            rig_open(r, 100, 500);
            rig_send(r, S, 501, 101, A, "220", 3);
            rig_send(r, C, 101, 504, A, "text", 4);
            close_by_fin(r, 105, 504);
        }
        assert_int_equal(r->n_flows, 1);
        expect_clean(r, "text", "220");
        rig_free(r);
    }
}

/* A SYN that was late on the way: a closed end resets it, one in TIME-WAIT acknowledges what it
 * has. */
static void late_syn_is_not_answered_anew(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    fixed_numbers(r, "text");
    r->now_ns += 300000000;
    rig_send(r, C, 100, 0, SYN, "", 0);
    rig_send(r, S, 505, 106, A, "", 0);
    rig_send(r, C, 106, 0, RST, "", 0);
    rig_send(r, S, 0, 101, RA, "", 0);
    assert_int_equal(r->n_flows, 1);
    expect_clean(r, "text", "220");
    rig_free(r);
}

static void reuse_of_half_closed(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_open(r, 100, 500);
    rig_send(r, C, 101, 501, FA, "", 0);
    rig_send(r, C, 7000, 0, SYN, "", 0); /* at once: not yet */
    assert_int_equal(r->n_flows, 1);
    r->now_ns += 3000000000u;
    rig_send(r, C, 8000, 0, SYN, "", 0);
    assert_int_equal(r->n_flows, 2);
    assert_int_equal(r->flows[0]->end_reason, MR_FLOW_END_REUSED);
    rig_free(r);
}

static void syn_in_an_established_flow(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_open(r, 100, 500);
    rig_send(r, C, 101, 501, A, "ab", 2);
    rig_send(r, C, 7000, 0, SYN, "", 0); /* spoofed */
    rig_send(r, S, 7000, 0, SYN, "", 0);
    assert_int_equal(r->n_flows, 1);
    assert_int_equal(rig_anomaly(r, "stream.est_syn_resend_diff_seq"), 2);
    rig_send(r, C, 103, 501, A, "cd", 2);
    rig_send(r, S, 501, 105, A, "ok", 2);
    expect(r, "abcd", "ok");
    rig_free(r);
}

static void syn_in_an_established_flow_confirmed(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_open(r, 100, 500);
    rig_send(r, C, 101, 501, A, "ab", 2);
    rig_send(r, C, 7000, 0, SYN, "", 0); /* the client forgot the old one; its RST was lost */
    rig_send(r, S, 9000, 7001, SA, "", 0);
    assert_int_equal(r->n_flows, 2);
    assert_int_equal(r->flows[0]->end_reason, MR_FLOW_END_REUSED);
    rig_send(r, C, 7001, 9001, A, "new", 3);
    rig_send(r, S, 9001, 7004, A, "yes", 3);
    expect(r, "new", "yes");
    assert_true(client_is(r, C));
    rig_free(r);
}

static void reuse_seen_from_one_side(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "", 0);
    rig_send(r, C, 101, 501, A, "old", 3);
    rig_send(r, C, 7000, 0, SYN, "", 0);
    assert_int_equal(r->n_flows, 1);
    rig_send(r, C, 7001, 9001, A, "new", 3);
    assert_int_equal(r->n_flows, 2);
    assert_string_equal(rig_text_of(r, 0, C), "old");
    assert_string_equal(rig_text_of(r, 1, C), "new");
    rig_free(r);
}

static void reuse_without_its_syn(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_open(r, 100, 500);
    rig_send(r, C, 101, 501, A, "old", 3);
    close_by_fin(r, 104, 501);
    rig_send(r, C, 40000000, 90000000, A, "new", 3);
    assert_int_equal(r->n_flows, 2);
    assert_int_equal(rig_last(r)->flow.midstream, 1);
    expect_clean(r, "new", "");
    rig_free(r);
}

static void reuse_beyond_all_flows(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    for (uint32_t i = 0; i < RIG_MAX_FLOWS + 3; i++) { /* the sink gives no more */
        rig_open(r, 100 + i * 1000, 500);
        close_by_fin(r, 101 + i * 1000, 501);
    }
    assert_int_equal(r->n_flows, RIG_MAX_FLOWS);
    assert_false(r->broken);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reuse_after_fin),
        cmocka_unit_test(reuse_in_the_other_direction),
        cmocka_unit_test(reuse_after_reset),
        cmocka_unit_test(late_syn_is_no_reuse),
        cmocka_unit_test(reuse_with_fixed_numbers),
        cmocka_unit_test(reuse_with_fixed_numbers_after_reset),
        cmocka_unit_test(reuse_of_the_clients_number),
        cmocka_unit_test(one_side_begins_nothing_anew),
        cmocka_unit_test(reuse_when_time_goes_back),
        cmocka_unit_test(second_copies_are_no_reuse),
        cmocka_unit_test(late_syn_is_not_answered_anew),
        cmocka_unit_test(reuse_of_half_closed),
        cmocka_unit_test(syn_in_an_established_flow),
        cmocka_unit_test(syn_in_an_established_flow_confirmed),
        cmocka_unit_test(reuse_seen_from_one_side),
        cmocka_unit_test(reuse_without_its_syn),
        cmocka_unit_test(reuse_beyond_all_flows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
