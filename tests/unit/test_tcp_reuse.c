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
        cmocka_unit_test(reuse_of_half_closed),
        cmocka_unit_test(syn_in_an_established_flow),
        cmocka_unit_test(syn_in_an_established_flow_confirmed),
        cmocka_unit_test(reuse_seen_from_one_side),
        cmocka_unit_test(reuse_without_its_syn),
        cmocka_unit_test(reuse_beyond_all_flows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
