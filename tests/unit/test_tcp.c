/* The TCP assembler, case by case: how flows open, deliver and end. */
// layers: stream base
#include "tcp_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define A      MR_TCP_ACK
#define PA     (MR_TCP_PSH | MR_TCP_ACK)
#define FA     (MR_TCP_FIN | MR_TCP_ACK)
#define SA     (MR_TCP_SYN | MR_TCP_ACK)
#define SYN    MR_TCP_SYN
#define RST    MR_TCP_RST

#define S_(ns) ((ns)*1000000000ull)

static void expect(struct rig *r, const char *c, const char *s)
{
    assert_string_equal(rig_text(r, C), c);
    assert_string_equal(rig_text(r, S), s);
    assert_false(r->broken);
}

static void a_whole_connection(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    const struct mr_flow *flow = &rig_last(r)->flow;

    rig_send(r, C, 1000, 0, SYN, "", 0);
    assert_string_equal(flow->state, "new");
    assert_int_equal(r->deadline_ns, flow->last_ns + S_(30));
    rig_send(r, S, 5000, 1001, SA, "", 0);
    assert_string_equal(flow->state, "new");
    rig_send(r, C, 1001, 5001, A, "", 0);
    assert_string_equal(flow->state, "established");
    assert_int_equal(r->deadline_ns, flow->last_ns + S_(600));
    rig_send(r, C, 1001, 5001, PA, "hello", 5);
    rig_send(r, S, 5001, 1006, PA, "world!", 6);
    rig_send(r, C, 1006, 5007, FA, "", 0);
    rig_send(r, S, 5007, 1007, A, "", 0);
    assert_int_equal(rig_last(r)->ends, 0);
    rig_send(r, S, 5007, 1007, PA, "late", 4);
    rig_send(r, S, 5011, 1007, FA, "", 0);
    expect(r, "hello", "world!late");
    assert_int_equal(rig_last(r)->ends, 1);
    assert_int_equal(rig_last(r)->end_reason, MR_FLOW_END_FIN);
    rig_send(r, C, 1007, 5012, A, "", 0);
    assert_string_equal(flow->state, "closed");
    assert_int_equal(r->deadline_ns, flow->last_ns + S_(10));
    rig_finish(r, MR_FLOW_END_TIMEOUT);
    assert_int_equal(rig_last(r)->ends, 1);
    assert_int_equal(flow->end, MR_FLOW_END_FIN);
    assert_int_equal(flow->packets[C], 5);
    assert_int_equal(flow->packets[S], 5);
    assert_int_equal(flow->bytes[C], 5 * 40 + 5);
    assert_int_equal(flow->bytes[S], 5 * 40 + 10);
    assert_int_equal(flow->tcp_flags[C], SYN | PA | FA);
    assert_int_equal(flow->midstream, 0);
    assert_memory_equal(&flow->client, &r->ends[C], sizeof r->ends[C]);
    assert_memory_equal(&flow->server, &r->ends[S], sizeof r->ends[S]);
    assert_int_equal(r->n_anomalies, 0);
    rig_free(r);
}

static void out_of_order(void **state)
{
    (void)state;
    struct rig *r = rig_new();

    rig_open(r, 1000, 5000);
    rig_send(r, C, 1007, 5001, A, "c", 1);
    rig_send(r, C, 1004, 5001, A, "bbb", 3);
    expect(r, "", "");
    rig_send(r, C, 1001, 5001, A, "aaa", 3);
    expect(r, "aaabbbc", "");
    rig_send(r, C, 1001, 5001, A, "aaabbbcd", 8); /* a repetition with more */
    expect(r, "aaabbbcd", "");
    assert_int_equal(r->n_anomalies, 0);
    rig_free(r);
}

static void numbers_wrap(void **state)
{
    (void)state;
    struct rig *r = rig_new();

    rig_open(r, 0xfffffffd, 0xffffffff);
    rig_send(r, C, 1, 0, A, "defgh", 5);
    rig_send(r, C, 0xfffffffe, 0, A, "abc", 3);
    rig_send(r, S, 0, 6, A, "xyz", 3);
    rig_send(r, C, 6, 3, FA, "", 0);
    rig_send(r, S, 3, 7, FA, "", 0);
    expect(r, "abcdefgh", "xyz");
    assert_int_equal(rig_last(r)->end_reason, MR_FLOW_END_FIN);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_connection),
        cmocka_unit_test(out_of_order),
        cmocka_unit_test(numbers_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
