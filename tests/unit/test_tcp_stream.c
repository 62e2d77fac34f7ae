/* The TCP stream: holes, limits, windows, probes, urgent bytes, cut-off captures. */
// layers: stream base
#include "tcp_short.h"

static uint8_t zeros[70000];

static size_t delivered(struct rig *r, int d)
{
    return rig_last(r)->streams[d].n;
}

/* With window scaling: windows up to 1 GiB. */
static struct rig *opened_wide(void)
{
    struct rig *r = rig_new();
    const uint8_t wide[] = {1, 3, 3, 14};
    rig_send_options(r, C, 100, 0, SYN, wide, 4, "", 0);
    rig_send_options(r, S, 500, 101, SA, wide, 4, "", 0);
    rig_send(r, C, 101, 501, A, "", 0);
    rig_send(r, S, 501, 101, A, "", 0);
    return r;
}

static void hole_given_up_after_bytes(void **state)
{
    (void)state;
    struct rig *r = opened_wide();
    rig_send(r, C, 101, 501, A, "ab", 2);
    uint32_t seq = 110; /* 7 bytes are missing */
    rig_send(r, C, seq, 501, A, zeros, 1000);
    rig_send(r, S, 501, seq + 1000, A, "", 0); /* but the server has them */
    seq += 1000;
    for (int i = 0; i < 65; i++, seq += 1000)
        rig_send(r, C, seq, 501, A, zeros, 1000);
    assert_int_equal(delivered(r, C), 2);
    rig_send(r, C, seq, 501, A, zeros, 1000);
    assert_int_equal(delivered(r, C), 2 + 7 + 67000);
    assert_int_equal(rig_last(r)->flow.gap_bytes[C], 7);
    assert_int_equal(rig_last(r)->streams[C].items[8], RIG_LOST);
    rig_free(r);
}

/* What passes uninspected does not depend on the order of segments. */
static void behind_the_depth_in_any_order(void **state)
{
    (void)state;
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        struct rig *r = rig_new();
        r->config.depth = 15;
        rig_open(r, 100, 500);
        for (int k = 0; k < 3; k++)
            rig_send(r, C, 101 + 10 * (uint32_t)orders[i][k], 501, A, zeros, 10);
        rig_finish(r, MR_FLOW_END_TIMEOUT);
        assert_int_equal(delivered(r, C), 15);
        assert_int_equal(r->flows[0]->flow.uninspected[C], 15);
        rig_free(r);
    }
}

/* What was sent past the window that acknowledgments that were not captured have opened may be
 * acknowledged, and closed behind, as where it is kept; what was not sent may not. */
static void behind_the_depth_without_acknowledgments(void **state)
{
    (void)state;
    for (uint32_t depth = 15; depth <= 120015; depth += 120000) {
        struct rig *r = rig_new();
        r->config.depth = depth;
        rig_open(r, 100, 500);
        for (uint32_t seq = 101; seq < 200101; seq += 1000)
            rig_send(r, C, seq, 501, A, zeros, 1000);
        rig_send(r, S, 501, 900000101, A, "", 0);
        assert_int_equal(rig_anomaly(r, "stream.pkt_invalid_ack"), 1);
        rig_send(r, S, 501, 200101, A, "ok", 2);
        rig_send(r, C, 200101, 503, A | MR_TCP_FIN, "", 0);
        rig_send(r, S, 503, 200102, A | MR_TCP_FIN, "", 0);
        assert_int_equal(r->n_anomalies, 1);
        assert_int_equal(delivered(r, C), depth);
        assert_int_equal(r->flows[0]->flow.uninspected[C], 200000 - depth);
        assert_int_equal(r->flows[0]->end_reason, MR_FLOW_END_FIN);
        rig_free(r);
    }
}

static void hole_waits_for_its_acknowledgment(void **state)
{
    (void)state;
    struct rig *r = opened_wide();
    uint32_t seq = 103;
    for (int i = 0; i < 200; i++, seq += 1000) {
        rig_send(r, C, seq, 501, A, zeros, 1000);
        rig_send(r, S, 501, 101, A, "", 0);
    }
    assert_int_equal(delivered(r, C), 0);
    rig_send(r, C, 101, 501, A, "xx", 2);
    assert_int_equal(delivered(r, C), 200002);
    rig_free(r);
}

static void hole_given_up_after_time(void **state)
{
    (void)state;
    struct rig *r = opened();
    r->step_ns = 200000000;
    rig_send(r, C, 106, 501, A, "abc", 3);
    rig_send(r, S, 501, 109, A, "", 0);
    for (uint32_t i = 0; i < 31; i++) {
        expect(r, "", rig_text(r, S));
        rig_send(r, S, 501 + i, 109, A, "x", 1);
    }
    rig_send(r, S, 532, 109, A, "x", 1);
    assert_string_equal(rig_text(r, C), "_____abc");
    rig_free(r);
}

static void a_fast_burst_is_not_time(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 106, 501, A, "fgh", 3);
    rig_send(r, S, 501, 109, A, "", 0); /* captured before the bytes that it acknowledges */
    for (uint32_t i = 0; i < 100; i++)
        rig_send(r, S, 501 + i, 109, A, "x", 1);
    rig_send(r, C, 101, 501, A, "abcde", 5);
    assert_string_equal(rig_text(r, C), "abcdefgh");
    rig_free(r);
}

static void several_holes_settle_at_once(void **state)
{
    (void)state;
    struct rig *r = opened_wide();
    uint32_t seq = 101;
    for (int i = 0; i < 300; i++, seq += 1000) { /* each tenth is lost for the capture */
        if (i % 10)
            rig_send(r, C, seq, 501, A, zeros, 1000);
        rig_send(r, S, 501, seq + 1000, A, "", 0);
    }
    assert_true(delivered(r, C) > 300000 - 140000);
    rig_finish(r, MR_FLOW_END_TIMEOUT);
    assert_int_equal(delivered(r, C), 300000);
    assert_int_equal(rig_last(r)->flow.gap_bytes[C], 30000);
    rig_free(r);
}

static void too_many_bytes_held(void **state)
{
    (void)state;
    struct rig *r = opened_wide();
    r->config.max_held_bytes = 10000;
    for (uint32_t i = 0; i < 10; i++)
        rig_send(r, C, 105 + i * 1000, 501, A, zeros, 1000);
    assert_int_equal(delivered(r, C), 0);
    rig_send(r, C, 10105, 501, A, zeros, 1000);
    assert_int_equal(delivered(r, C), 11004);
    assert_int_equal(rig_last(r)->flow.gap_bytes[C], 4);
    rig_free(r);
}

static void repetitions_take_no_room(void **state)
{
    (void)state;
    struct rig *r = opened_wide();
    r->config.max_held_bytes = 10000;
    for (uint32_t i = 0; i < 500; i++)
        rig_send(r, C, 105 + i % 10 * 1000, 501, A, zeros, 1000);
    assert_int_equal(delivered(r, C), 0);
    rig_send(r, C, 101, 501, A, zeros, 4);
    assert_int_equal(delivered(r, C), 10004);
    rig_free(r);
}

static void too_many_segments_held(void **state)
{
    (void)state;
    struct rig *r = opened();
    r->config.max_held_segments = 16;
    for (uint32_t i = 0; i < 16; i++)
        rig_send(r, C, 103 + i * 2, 501, A, "x", 1);
    expect(r, "", "");
    rig_send(r, C, 200, 501, A, "y", 1);
    expect(r, "__x", "");
    rig_free(r);
}

static void neighbours_are_joined(void **state)
{
    (void)state;
    struct rig *r = opened();
    r->config.max_held_segments = 16;
    char all[3001];
    for (uint32_t i = 0; i < 3000; i++)
        all[i] = (char)('a' + i % 26);
    all[3000] = 0;
    for (uint32_t i = 1; i < 3000; i++) /* far more segments than the limit, but all neighbours */
        rig_send(r, C, 101 + i, 501, A, all + i, 1);
    expect(r, "", "");
    rig_send(r, C, 101, 501, A, all, 1);
    expect(r, all, "");
    rig_free(r);
}

static void no_buffers_left(void **state)
{
    (void)state;
    struct rig *r = opened();
    r->no_buffers = true;
    rig_send(r, C, 103, 501, A, "cd", 2); /* cannot be kept: the hole is given up */
    expect(r, "__cd", "");
    rig_send(r, C, 101, 501, A, "abcdef", 6);
    expect(r, "__cdef", "");
    r->no_buffers = false;
    rig_send(r, C, 110, 501, A, "j", 1);
    r->no_buffers = true;
    rig_send(r, C, 112, 501, A, "l", 1);
    expect(r, "__cdef___j_l", "");
    rig_free(r);
}

static void beyond_the_window(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->window = 10;
    rig_open(r, 100, 500);
    rig_send(r, C, 111, 501, A, "EVIL", 4); /* the server throws it away */
    rig_send(r, C, 101, 501, A, "0123456789", 10);
    expect(r, "0123456789", "");
    rig_send(r, S, 501, 111, A, "", 0); /* a new window; only now these bytes are welcome */
    expect(r, "0123456789EVIL", "");
    rig_free(r);

    r = rig_new();
    r->window = 10;
    rig_open(r, 100, 500);
    rig_send(r, C, 112, 501, A, "EVIL", 4);
    r->window = 20;
    rig_send(r, S, 501, 101, A, "", 0);
    r->window = 10;
    rig_send(r, C, 101, 501, A, "0123456789a", 11);
    expect(r, "0123456789aEVIL", "");
    rig_free(r);
}

static void planted_beyond_the_window(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->window = 10;
    rig_open(r, 100, 500);
    r->config.policy = MR_OVERLAP_FIRST;
    rig_send(r, C, 111, 501, A, "EVIL", 4);
    r->window = 4;
    rig_send(r, C, 101, 501, A, "0123456789", 10);
    rig_send(r, C, 111, 501, A, "GOOD", 4);
    rig_send(r, S, 501, 111, A, "", 0);
    /* both came beyond the window: nothing tells them apart but the policy */
    assert_int_equal(rig_anomaly(r, "stream.reassembly_overlap_different_data"), 1);
    rig_free(r);

    r = rig_new();
    r->window = 10;
    rig_open(r, 100, 500);
    r->config.policy = MR_OVERLAP_FIRST;
    rig_send(r, C, 112, 501, A, "EVIL", 4);
    rig_send(r, C, 105, 501, A, "456789-GOOD", 11); /* begins within: the receiver takes it */
    rig_send(r, C, 101, 501, A, "0123", 4);
    expect(r, "0123456789-GOOD", "");
    rig_free(r);
}

static void late_acknowledgment_loses_nothing(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->window = 10;
    rig_open(r, 100, 500);
    rig_send(r, C, 101, 501, A, "0123456789", 10);
    rig_send(r, C, 111, 501, A, "abcdefghij", 10); /* its leave comes later in the capture */
    expect(r, "0123456789", "");
    rig_send(r, S, 501, 111, A, "", 0);
    expect(r, "0123456789abcdefghij", "");
    assert_int_equal(r->n_anomalies, 0);
    rig_free(r);
}

static void window_probes(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101, 501, A, "ab", 2);
    r->window = 0;
    rig_open(r, 100, 500); /* the same handshake again changes nothing */
    rig_send(r, S, 501, 103, A, "", 0);
    rig_send(r, C, 102, 501, A, "?", 1); /* a keep-alive with a byte that means nothing */
    rig_send(r, C, 102, 501, A, "", 0);
    expect(r, "ab", "");
    assert_int_equal(r->n_anomalies, 0);
    rig_free(r);
}

static void zero_window(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->window = 2;
    rig_open(r, 100, 500);
    rig_send(r, C, 101, 501, A, "ab", 2);
    r->window = 0;
    rig_send(r, S, 501, 103, A, "", 0);
    rig_send(r, C, 103, 501, A, "c", 1); /* a probe with the next byte */
    expect(r, "ab", "");
    rig_send(r, S, 501, 103, A, "", 0); /* refused */
    expect(r, "ab", "");
    rig_send(r, C, 103, 501, A, "c", 1);
    rig_send(r, S, 501, 104, A, "", 0); /* taken */
    expect(r, "abc", "");
    assert_int_equal(r->n_anomalies, 0);
    rig_free(r);
}

static void lost_acknowledgments(void **state)
{
    (void)state;
    struct rig *r = opened(); /* a window of 65,535, and the server's packets are lost */
    r->config.max_held_bytes = 100000;
    uint32_t seq = 101;
    for (int i = 0; i < 300; i++, seq += 1000)
        rig_send(r, C, seq, 501, A, zeros, 1000);
    assert_true(delivered(r, C) > 100000);
    rig_finish(r, MR_FLOW_END_TIMEOUT);
    assert_int_equal(delivered(r, C), 300000);
    assert_int_equal(rig_last(r)->flow.gap_bytes[C], 0);
    rig_free(r);
}

static void a_long_loss_on_both_sides(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101, 501, A, "abc", 3);
    /* 50 MB of which nothing was captured */
    uint32_t seq = 104 + 50000000;
    rig_send(r, C, seq, 501, A, "XYZ", 3);
    expect(r, "abc", "");
    assert_int_equal(rig_anomaly(r, "stream.est_packet_out_of_window"), 1);
    rig_send(r, S, 501, seq + 3, A, "", 0); /* the server has it */
    rig_finish(r, MR_FLOW_END_TIMEOUT);
    assert_int_equal(delivered(r, C), 50000006);
    assert_int_equal(rig_last(r)->flow.gap_bytes[C], 50000000);
    rig_free(r);
}

static void forged_and_far_away(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101, 501, A, "abc", 3);
    rig_send(r, C, 104 + 50000000, 501, A, "XYZ", 3);
    rig_send(r, C, 104, 501, A, "def", 3);
    rig_send(r, S, 501, 107, A, "", 0);
    rig_finish(r, MR_FLOW_END_TIMEOUT); /* nobody took it */
    expect(r, "abcdef", "");
    rig_free(r);
}

static void impossible_acknowledgments(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, S, 501, 101, A, "a", 1);
    rig_send(r, C, 101, 900000000, A, "EVIL", 4); /* no receiver takes a byte of it */
    rig_send(r, C, 101, 400, A, "EVIL", 4);
    assert_int_equal(rig_anomaly(r, "stream.pkt_invalid_ack"), 2);
    rig_send(r, C, 101, 502, A, "GOOD", 4);
    expect(r, "GOOD", "a");
    rig_free(r);
}

static void without_ack(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101, 0, MR_TCP_PSH, "EVIL", 4);
    rig_send(r, C, 101, 0, 0, "EVIL", 4);
    assert_int_equal(rig_anomaly(r, "stream.pkt_without_ack"), 2);
    rig_send(r, C, 101, 501, A, "GOOD", 4);
    expect(r, "GOOD", "");
    rig_free(r);
}

static void window_scales(void **state)
{
    (void)state;
    const uint8_t scale_7[] = {2, 4, 5, 180, 1, 3, 3, 7}, broken[] = {3, 0, 3, 3};
    for (int both = 0; both < 2; both++) {
        struct rig *r = rig_new();
        r->window = 100;
        rig_send_options(r, C, 100, 0, SYN, scale_7, 8, "", 0);
        rig_send_options(r, S, 500, 101, SA, both ? scale_7 : broken, both ? 8 : 4, "", 0);
        rig_send(r, C, 101, 501, A, "", 0);
        rig_send(r, S, 501, 101, A, "", 0);
        rig_send(r, C, 101, 501, A, zeros, 1000);
        rig_send(r, C, 1101, 501, A, "x", 1);
        /* 12,800 bytes, or 100 */
        assert_int_equal(delivered(r, C), both ? 1001 : 1000);
        rig_free(r);
    }
}

/* ---- the urgent byte ---- */

static void urgent_inline(void **state)
{
    (void)state;
    struct rig *r = opened();
    r->urgent = 2;
    rig_send(r, C, 101, 501, UA, "a!b", 3);
    expect(r, "a!b", "");
    rig_free(r);
}

static void urgent_out_of_band(void **state)
{
    (void)state;
    struct rig *r = opened();
    r->config.urgent_inline = false;
    r->urgent = 2; /* points behind the second byte */
    rig_send(r, C, 101, 501, UA, "a!b", 3);
    expect(r, "ab", "");
    r->urgent = 1;
    rig_send(r, C, 107, 501, UA, "!e", 2); /* out of order */
    rig_send(r, C, 104, 501, A, "cdd", 3);
    expect(r, "abcdde", "");
    r->urgent = 4;
    rig_send(r, C, 109, 501, UA, "fg", 2); /* announced ahead */
    rig_send(r, C, 111, 501, A, "h!i", 3);
    r->urgent = 2;
    rig_send(r, C, 111, 501, UA, "h!i", 3); /* again */
    rig_send(r, C, 114, 501, A, "j", 1);
    expect(r, "abcddefghij", "");
    rig_send(r, S, 501, 115, FA, "", 0);
    rig_send(r, C, 115, 502, FA, "", 0);
    assert_int_equal(rig_last(r)->end_reason, MR_FLOW_END_FIN);
    assert_int_equal(r->n_anomalies, 0);
    rig_free(r);
}

/* ---- frames cut off by the capture ---- */

static void cut_off_frames(void **state)
{
    (void)state;
    struct rig *r = opened();
    for (uint32_t i = 0; i < 3; i++) {
        r->cut_off = 7;
        rig_send(r, C, 101 + i * 10, 501, A, "0123456789", 10);
    }
    expect(r, "012_______012_______012_______", "");
    r->cut_off = 2;
    rig_send(r, C, 131, 501, FA, "0123", 4);
    rig_send(r, S, 501, 136, FA, "", 0);
    expect(r, "012_______012_______012_______01__", "");
    assert_int_equal(rig_last(r)->end_reason, MR_FLOW_END_FIN);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hole_given_up_after_bytes),
        cmocka_unit_test(behind_the_depth_in_any_order),
        cmocka_unit_test(behind_the_depth_without_acknowledgments),
        cmocka_unit_test(hole_waits_for_its_acknowledgment),
        cmocka_unit_test(hole_given_up_after_time),
        cmocka_unit_test(a_fast_burst_is_not_time),
        cmocka_unit_test(several_holes_settle_at_once),
        cmocka_unit_test(too_many_bytes_held),
        cmocka_unit_test(repetitions_take_no_room),
        cmocka_unit_test(too_many_segments_held),
        cmocka_unit_test(neighbours_are_joined),
        cmocka_unit_test(no_buffers_left),
        cmocka_unit_test(beyond_the_window),
        cmocka_unit_test(planted_beyond_the_window),
        cmocka_unit_test(late_acknowledgment_loses_nothing),
        cmocka_unit_test(window_probes),
        cmocka_unit_test(zero_window),
        cmocka_unit_test(lost_acknowledgments),
        cmocka_unit_test(a_long_loss_on_both_sides),
        cmocka_unit_test(forged_and_far_away),
        cmocka_unit_test(impossible_acknowledgments),
        cmocka_unit_test(without_ack),
        cmocka_unit_test(window_scales),
        cmocka_unit_test(urgent_inline),
        cmocka_unit_test(urgent_out_of_band),
        cmocka_unit_test(cut_off_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
