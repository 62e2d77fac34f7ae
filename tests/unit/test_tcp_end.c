/* How TCP flows end: FIN in and out of order, RST and what is only said to be one, timeouts. */
// layers: stream base
#include "tcp_short.h"

/* Ends the rig; the flow must have ended once, for this reason. */
static void done(struct rig *r, int reason)
{
    rig_finish(r, MR_FLOW_END_TIMEOUT);
    assert_int_equal(rig_last(r)->ends, 1);
    assert_int_equal(rig_last(r)->end_reason, reason);
    /* who closed is closed; who only fell silent keeps his state */
    bool closed = reason == MR_FLOW_END_FIN || reason == MR_FLOW_END_RESET;
    if (reason != MR_FLOW_END_REUSED)
        assert_int_equal(!strcmp(rig_last(r)->flow.state, "closed"), closed);
    rig_free(r);
}

static void fin_with_data(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101, 501, FA, "bye", 3);
    rig_send(r, S, 501, 105, FA, "bye!", 4);
    expect(r, "bye", "bye!");
    done(r, MR_FLOW_END_FIN);
}

static void fin_out_of_order(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, S, 501, 101, FA, "", 0);
    rig_send(r, C, 104, 502, FA, "def", 3);
    assert_int_equal(rig_last(r)->ends, 0);
    rig_send(r, C, 101, 502, A, "abc", 3);
    assert_int_equal(rig_last(r)->ends, 1);
    expect(r, "abcdef", "");
    done(r, MR_FLOW_END_FIN);
}

static void half_closed_goes_on(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101, 501, FA, "request", 7);
    rig_send(r, S, 501, 109, A, "long ", 5);
    rig_send(r, C, 109, 506, A, "", 0);
    rig_send(r, S, 506, 109, A, "answer", 6);
    expect(r, "request", "long answer");
    assert_string_equal(rig_last(r)->flow.state, "established");
    done(r, MR_FLOW_END_TIMEOUT);
}

static void fins_over_a_hole(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101, 501, A, "ab", 2);
    rig_send(r, C, 106, 501, FA, "", 0);
    rig_send(r, S, 501, 107, FA, "", 0);
    rig_send(r, C, 107, 502, A, "", 0);
    assert_int_equal(rig_last(r)->ends, 0);
    assert_string_equal(rig_last(r)->flow.state, "closed");
    assert_int_equal(r->deadline_ns, rig_last(r)->flow.last_ns + 10000000000ull);
    rig_finish(r, MR_FLOW_END_TIMEOUT);
    expect(r, "ab___", "");
    assert_int_equal(rig_last(r)->flow.gap_bytes[C], 3);
    done(r, MR_FLOW_END_FIN);
}

static void a_wrong_fin(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101, 501, A, "ab", 2);
    rig_send(r, C, 103, 501, FA, "", 0); /* injected */
    rig_send(r, C, 103, 501, A, "cd", 2);
    expect(r, "ab", "");
    rig_send(r, S, 501, 105, A, "", 0); /* the server took the data, not the FIN */
    expect(r, "abcd", "");
    assert_int_equal(rig_anomaly(r, "stream.fin_invalid_ack"), 1);
    rig_send(r, C, 105, 501, FA, "e", 1);
    rig_send(r, S, 501, 107, FA, "", 0);
    expect(r, "abcde", "");
    done(r, MR_FLOW_END_FIN);
}

static void bytes_behind_a_fin(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101, 501, FA, "ab", 2);
    rig_send(r, C, 103, 501, A, "cd", 2);
    rig_send(r, S, 501, 104, FA, "", 0); /* takes the FIN: the bytes behind it are nobody's */
    expect(r, "ab", "");
    assert_int_equal(rig_last(r)->ends, 1);
    done(r, MR_FLOW_END_FIN);
}

static void fin_out_of_window(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101 + (200u << 20), 501, FA, "", 0);
    rig_send(r, S, 501, 101, A, "", 0);
    rig_send(r, S, 400, 101, FA, "", 0);
    assert_int_equal(rig_anomaly(r, "stream.fin_out_of_window"), 2);
    rig_send(r, C, 101, 501, A, "ok", 2);
    rig_send(r, C, 103, 501, FA, "", 0);
    rig_send(r, C, 104, 501, FA, "", 0);
    assert_int_equal(rig_anomaly(r, "stream.fin1_fin_wrong_seq"), 1);
    expect(r, "ok", "");
    done(r, MR_FLOW_END_TIMEOUT);
}

static void refused_connection(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "", 0);
    rig_send(r, S, 0, 101, RA, "", 0);
    assert_string_equal(rig_last(r)->flow.state, "closed");
    assert_int_equal(rig_last(r)->flow.end, MR_FLOW_END_RESET);
    assert_int_equal(r->n_anomalies, 0);
    done(r, MR_FLOW_END_RESET);
}

static void reset_answers(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101, 501, A, "abc", 3);
    rig_send(r, S, 501, 104, RA, "", 0);
    assert_string_equal(rig_last(r)->flow.state, "closed");
    rig_send(r, C, 104, 501, A, "under way", 9);
    rig_send(r, S, 501, 0, RST, "", 0);
    expect(r, "abcunder way", "");
    assert_int_equal(r->n_anomalies, 0);
    done(r, MR_FLOW_END_RESET);
}

static void reset_with_data(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, S, 501, 101, A, "abc", 3);
    rig_send(r, S, 504, 101, RA, "No cookie", 9);
    expect(r, "", "abc");
    assert_int_equal(r->n_anomalies, 0);
    done(r, MR_FLOW_END_RESET);
}

static void reset_over_a_hole(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, S, 501, 101, A, "abc", 3);
    rig_send(r, S, 508, 101, A, "fgh", 3);
    rig_send(r, C, 101, 504, RA, "", 0);
    expect(r, "", "abc");
    rig_send(r, S, 504, 101, A, "deXX", 4); /* captured late */
    expect(r, "", "abcdeXXfgh");
    done(r, MR_FLOW_END_RESET);
}

static void reset_before_what_it_follows(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 106, 501, RA, "", 0); /* in the window, but not next */
    rig_send(r, C, 101, 501, A, "abcde", 5);
    expect(r, "abcde", "");
    assert_int_equal(r->n_anomalies, 0);
    done(r, MR_FLOW_END_RESET);
}

static void injected_resets(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101, 501, A, "abc", 3);
    rig_send(r, S, 501, 104, A, "def", 3);
    rig_send(r, S, 9000000, 104, RA, "", 0); /* out of the window */
    assert_int_equal(rig_anomaly(r, "stream.est_packet_out_of_window"), 1);
    assert_int_equal(rig_last(r)->flow.end, MR_FLOW_OPEN);
    rig_send(r, S, 504, 20, RA, "", 0);
    assert_int_equal(rig_anomaly(r, "stream.rst_invalid_ack"), 1);
    assert_int_equal(rig_last(r)->flow.end, MR_FLOW_OPEN);
    rig_send(r, S, 504, 104, RA, "", 0); /* a good forgery */
    assert_int_equal(rig_last(r)->flow.end, MR_FLOW_END_RESET);
    rig_send(r, C, 104, 504, A, "ghi", 3);
    rig_send(r, S, 504, 107, A, "jkl", 3); /* the server knows nothing of it */
    assert_int_equal(rig_anomaly(r, "stream.suspected_rst_inject"), 1);
    assert_int_equal(rig_last(r)->flow.end, MR_FLOW_OPEN);
    assert_string_equal(rig_last(r)->flow.state, "established");
    expect(r, "abcghi", "defjkl");
    done(r, MR_FLOW_END_TIMEOUT);
}

static void injected_refusal(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "", 0);
    rig_send(r, S, 0, 100, RA, "", 0); /* wrong number */
    assert_int_equal(rig_anomaly(r, "stream.rst_invalid_ack"), 1);
    rig_send(r, S, 0, 101, RA, "", 0);
    rig_send(r, S, 0, 101, FA, "", 0);
    rig_send(r, S, 500, 101, SA, "", 0);
    assert_int_equal(rig_anomaly(r, "stream.suspected_rst_inject"), 1);
    rig_send(r, C, 101, 501, A, "GET", 3);
    rig_send(r, S, 501, 104, A, "200", 3);
    expect(r, "GET", "200");
    done(r, MR_FLOW_END_TIMEOUT);
}

static void resets_after_the_end(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101, 501, FA, "", 0);
    rig_send(r, S, 501, 102, FA, "x", 1);
    rig_send(r, C, 101, 501, RST, "", 0);
    rig_send(r, C, 102, 501, RST, "", 0);
    assert_int_equal(rig_last(r)->flow.end, MR_FLOW_END_FIN);
    done(r, MR_FLOW_END_FIN);
}

static void reset_one_sided(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    rig_send(r, C, 100, 0, SYN, "", 0);
    rig_send(r, C, 101, 501, A, "abc", 3);
    rig_send(r, C, 104, 501, RA, "", 0);
    expect(r, "abc", "");
    done(r, MR_FLOW_END_RESET);
}

static void finished_while_open(void **state)
{
    (void)state;
    const enum mr_flow_end reasons[] = {MR_FLOW_END_TIMEOUT, MR_FLOW_END_SHUTDOWN,
                                        MR_FLOW_END_FORCED};
    for (size_t i = 0; i < 3; i++) {
        struct rig *r = opened();
        rig_send(r, C, 104, 501, A, "def", 3);
        rig_send(r, S, 502, 101, A, "b", 1);
        rig_finish(r, reasons[i]);
        expect(r, "___def", "_b");
        rig_send(r, C, 107, 501, A, "ghi", 3); /* nothing comes behind the end */
        expect(r, "___def", "_b");
        done(r, (int)reasons[i]);
    }
}

static void (*rig_chunk)(void *user, const struct mr_chunk *chunk, struct mr_buffer *buffer);
static char order[256];

/* Writes down whose bytes (C, S) and holes (c, s) come one behind the other. */
static void note_order(void *user, const struct mr_chunk *chunk, struct mr_buffer *buffer)
{
    size_t n = strlen(order);
    char what = chunk->direction == C ? 'C' : 'S';

    if (chunk->kind == MR_CHUNK_GAP)
        what |= 0x20;
    if (chunk->kind != MR_CHUNK_END && n + 1 < sizeof order && (!n || order[n - 1] != what))
        memcpy(order + n, (char[2]){what, 0}, 2);
    rig_chunk(user, chunk, buffer);
}

static struct rig *opened_in_order(void)
{
    struct rig *r = opened();

    rig_chunk = r->sink.chunk;
    r->sink.chunk = note_order;
    order[0] = 0;
    return r;
}

static void what_both_sides_held_comes_in_its_order(void **state)
{
    (void)state;
    struct rig *r = opened_in_order();
    rig_send(r, C, 104, 501, A, "def", 3);
    rig_send(r, S, 503, 107, A, "cd", 2);
    rig_send(r, C, 107, 505, A, "ghi", 3);
    rig_send(r, C, 110, 505, A, "jkl", 3);
    rig_send(r, S, 506, 113, A, "f", 1);
    rig_send(r, C, 113, 507, A, "mno", 3);
    assert_string_equal(order, "");
    rig_finish(r, MR_FLOW_END_TIMEOUT);
    expect(r, "___defghijklmno", "__cd_f");
    assert_string_equal(order, "cCsSCsSC");
    done(r, MR_FLOW_END_TIMEOUT);
}

/* Packets are compared modulo 2^16: far apart the order may be another, but all comes. */
static void what_both_sides_held_comes_however_far_apart(void **state)
{
    (void)state;
    for (int n = 32767; n <= 32769; n++) {
        struct rig *r = opened();
        r->step_ns = 1000;
        rig_send(r, C, 104, 501, A, "def", 3);
        for (int i = 1; i < n; i++)
            rig_send(r, C, 101, 501, A, "", 0);
        rig_send(r, S, 503, 101, A, "cd", 2);
        rig_finish(r, MR_FLOW_END_TIMEOUT);
        expect(r, "___def", "__cd");
        done(r, MR_FLOW_END_TIMEOUT);
    }
}

static void holes_of_both_sides_settle_in_their_order(void **state)
{
    (void)state;
    static const char bytes[1000];
    struct rig *r = opened_in_order();
    uint32_t seq = 1101; /* the first 1,000 are lost */
    rig_send(r, C, seq, 501, A, bytes, sizeof bytes);
    rig_send(r, S, 503, seq + 1000, A, "cd", 2);
    for (int i = 0; i < 100; i++) {
        seq += 1000;
        rig_send(r, C, seq, 505, A, bytes, sizeof bytes);
        rig_send(r, S, 505, seq + 1000, A, "", 0);
    }
    assert_string_equal(rig_text(r, S), "__cd");
    assert_string_equal(order, "cCsSC");
    rig_finish(r, MR_FLOW_END_TIMEOUT);
    assert_int_equal(rig_last(r)->flow.gap_bytes[C], 1000);
    rig_free(r);
}

static void acknowledged_but_never_seen(void **state)
{
    (void)state;
    struct rig *r = opened();
    rig_send(r, C, 101, 501, A, "abc", 3);
    rig_send(r, S, 501, 114, A, "", 0);
    rig_finish(r, MR_FLOW_END_SHUTDOWN);
    expect(r, "abc__________", "");
    done(r, MR_FLOW_END_SHUTDOWN);
}

static void nothing_but_an_end(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    done(r, MR_FLOW_END_TIMEOUT);
}

static void time_goes_back(void **state)
{
    (void)state;
    struct rig *r = opened();
    uint64_t last = rig_last(r)->flow.last_ns;
    r->now_ns -= 50000000000u;
    rig_send(r, C, 101, 501, A, "abc", 3);
    assert_int_equal(rig_last(r)->flow.last_ns, last);
    assert_int_equal(r->deadline_ns, last + 600000000000ull);
    expect(r, "abc", "");
    done(r, MR_FLOW_END_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fin_with_data),
        cmocka_unit_test(fin_out_of_order),
        cmocka_unit_test(half_closed_goes_on),
        cmocka_unit_test(fins_over_a_hole),
        cmocka_unit_test(a_wrong_fin),
        cmocka_unit_test(bytes_behind_a_fin),
        cmocka_unit_test(fin_out_of_window),
        cmocka_unit_test(refused_connection),
        cmocka_unit_test(reset_answers),
        cmocka_unit_test(reset_with_data),
        cmocka_unit_test(reset_over_a_hole),
        cmocka_unit_test(reset_before_what_it_follows),
        cmocka_unit_test(injected_resets),
        cmocka_unit_test(injected_refusal),
        cmocka_unit_test(resets_after_the_end),
        cmocka_unit_test(reset_one_sided),
        cmocka_unit_test(finished_while_open),
        cmocka_unit_test(acknowledged_but_never_seen),
        cmocka_unit_test(nothing_but_an_end),
        cmocka_unit_test(time_goes_back),
        cmocka_unit_test(what_both_sides_held_comes_in_its_order),
        cmocka_unit_test(what_both_sides_held_comes_however_far_apart),
        cmocka_unit_test(holes_of_both_sides_settle_in_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
