/* The functions of single packets, called as the runtime calls them. */
// layers: base harness engine
#include "harness/harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const struct mr_component mr_component_packet;

#define N 5

struct fixture {
    struct mr_packet packets[N];
    struct mr_packet *pointers[N];
    union mr_value values[N];
};

static struct mr_endpoint v4(uint8_t last, uint16_t port, uint8_t protocol)
{
    return (struct mr_endpoint){
        .address = {192, 0, 2, last}, .port = port, .family = 4, .protocol = protocol};
}

static struct mr_endpoint v6(uint8_t last, uint16_t port)
{
    struct mr_endpoint endpoint = {.port = port, .family = 6, .protocol = 6};
    endpoint.address[0] = 0x20;
    endpoint.address[1] = 0x01;
    endpoint.address[2] = 0x0d;
    endpoint.address[3] = 0xb8;
    endpoint.address[15] = last;
    return endpoint;
}

static void prepare(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    for (uint32_t i = 0; i < N; i++) {
        f->packets[i].src = v4((uint8_t)(i + 1), (uint16_t)(1000 + i), 6);
        f->packets[i].dst = v4(9, 25, 6);
        f->packets[i].wire_len = 100 * (i + 1);
        f->pointers[i] = &f->packets[i];
        f->values[i] = mr_value_bytes(&f->packets[i], sizeof f->packets[i]);
    }
}

static struct mr_harness *open_function(const char *name, const char *constant)
{
    struct mr_constant text = {.type = MR_TYPE_STRING};
    if (constant)
        text.value = mr_value_bytes(constant, (uint32_t)strlen(constant));
    return mr_harness_new(mr_harness_find(&mr_component_packet, name), &text, constant ? 1 : 0);
}

static struct mr_harness_rows rows_of(const struct fixture *f)
{
    return (struct mr_harness_rows){
        .n = N, .args = {f->values}, .packets = (struct mr_packet *const *)f->pointers};
}

static void fragments_and_ticks_yield_nothing(void **state)
{
    (void)state;
    struct fixture f;
    struct mr_harness *h = open_function("f_processIpFrag", NULL);

    prepare(&f);
    f.packets[1].flags = MR_PACKET_FRAGMENT;
    f.packets[2].flags = MR_PACKET_TICK;
    f.packets[3].flags = MR_PACKET_REASSEMBLED | MR_PACKET_TRUNCATED;
    struct mr_harness_rows rows = rows_of(&f);
    assert_int_equal(mr_harness_call(h, &rows), 3);
    const struct mr_harness_result *results = mr_harness_results(h);
    static const uint32_t expected[] = {0, 3, 4};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(results[i].row, expected[i]);
        assert_ptr_equal(results[i].value.b.ptr, &f.packets[expected[i]]);
    }
    mr_harness_free(h);
}

static void every_protocol_has_a_name(void **state)
{
    (void)state;
    static const struct {
        uint8_t number;
        const char *name;
    } known[] = {{1, "ICMP"}, {6, "TCP"}, {17, "UDP"}, {58, "ICMPv6"}, {132, "SCTP"}};
    struct fixture f;
    struct mr_harness *h = open_function("f_getTransportProtocol", NULL);

    prepare(&f);
    struct mr_harness_rows rows = rows_of(&f);
    for (unsigned number = 0; number < 256; number++) {
        char digits[8];
        bool found = false;
        f.packets[4].src.protocol = (uint8_t)number;
        assert_int_equal(mr_harness_call(h, &rows), N);
        union mr_value v = mr_harness_results(h)[4].value;
        assert_true(v.b.len > 0 && v.b.len == strlen(v.b.ptr));
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            if (known[i].number == number) {
                assert_string_equal(v.b.ptr, known[i].name);
                found = true;
            }
        snprintf(digits, sizeof digits, "%u", number);
        const char *text = v.b.ptr;
        if (!found && text[0] >= '0' && text[0] <= '9')
            assert_string_equal(text, digits);
    }
    mr_harness_free(h);
}

static void addresses_are_those_of_the_packet(void **state)
{
    (void)state;
    struct fixture f;
    struct mr_harness *src = open_function("f_getSrcIPAddr", NULL);
    struct mr_harness *dst = open_function("f_getDstIPAddr", NULL);

    prepare(&f);
    struct mr_harness_rows rows = rows_of(&f);
    assert_int_equal(mr_harness_call(src, &rows), N);
    assert_int_equal(mr_harness_call(dst, &rows), N);
    for (int i = 0; i < N; i++) {
        assert_ptr_equal(mr_harness_results(src)[i].value.b.ptr, &f.packets[i].src);
        assert_ptr_equal(mr_harness_results(dst)[i].value.b.ptr, &f.packets[i].dst);
        assert_int_equal(mr_harness_results(dst)[i].value.b.len, sizeof(struct mr_endpoint));
    }
    mr_harness_free(src);
    mr_harness_free(dst);
}

static void flow_ids_do_not_know_directions(void **state)
{
    (void)state;
    struct mr_endpoint ends[][2] = {
        {v4(1, 1000, 6), v4(9, 25, 6)}, {v4(9, 25, 6), v4(1, 1000, 6)},
        {v4(1, 1001, 6), v4(9, 25, 6)}, {v6(1, 1000), v6(2, 25)},
        {v6(2, 25), v6(1, 1000)},
    };
    union mr_value left[N], right[N];
    static const char *const names[] = {"f_getTCPFlowId", "f_getUDPFlowId"};

    for (int i = 0; i < N; i++) {
        left[i] = mr_value_bytes(&ends[i][0], sizeof ends[i][0]);
        right[i] = mr_value_bytes(&ends[i][1], sizeof ends[i][1]);
    }
    struct mr_harness_rows rows = {.n = N, .args = {left, right}};
    for (int which = 0; which < 2; which++) {
        struct mr_harness *h = open_function(names[which], NULL);
        assert_int_equal(mr_harness_call(h, &rows), N);
        const struct mr_flow_key *keys[N];
        for (int i = 0; i < N; i++) {
            assert_int_equal(mr_harness_results(h)[i].value.b.len, sizeof *keys[i]);
            keys[i] = mr_harness_results(h)[i].value.b.ptr;
            assert_true(memcmp(&keys[i]->a, &keys[i]->b, sizeof keys[i]->a) <= 0);
        }
        assert_memory_equal(keys[0], keys[1], sizeof *keys[0]);
        assert_memory_equal(keys[3], keys[4], sizeof *keys[0]);
        assert_memory_not_equal(keys[0], keys[2], sizeof *keys[0]);
        assert_true(keys[0]->hash != keys[2]->hash && keys[0]->hash != keys[3]->hash);
        mr_harness_free(h);
    }
}

static void without_memory_there_is_no_flow_id(void **state)
{
    (void)state;
    struct mr_endpoint a = v4(1, 1, 6), b = v4(2, 2, 6);
    union mr_value left[N], right[N];
    struct mr_harness *h = open_function("f_getTCPFlowId", NULL);

    for (int i = 0; i < N; i++) {
        left[i] = mr_value_bytes(&a, sizeof a);
        right[i] = mr_value_bytes(&b, sizeof b);
    }
    struct mr_harness_rows rows = {.n = N, .args = {left, right}};
    mr_harness_token_bytes(h, 3 * sizeof(struct mr_flow_key));
    assert_int_equal(mr_harness_call(h, &rows), 3);
    assert_int_equal(mr_harness_refused(h), 2);
    mr_harness_token_bytes(h, 0);
    assert_int_equal(mr_harness_call(h, &rows), 0);
    mr_harness_free(h);
}

static void traffic_counts_packets(void **state)
{
    (void)state;
    struct fixture f;
    struct mr_harness *h = open_function("f_traffic", "input");

    prepare(&f);
    f.packets[4].flags = MR_PACKET_TICK;
    f.packets[4].wire_len = 0;
    struct mr_harness_rows rows = rows_of(&f);
    assert_int_equal(mr_harness_call(h, &rows), N);
    for (int i = 0; i < N; i++)
        assert_int_equal(mr_harness_results(h)[i].value.i, 1);
    assert_int_equal(mr_harness_call(h, &rows), N);
    assert_int_equal(mr_harness_counter(h, 0), 8);
    assert_int_equal(mr_harness_counter(h, 1), 2000);
    mr_harness_free(h);
}

static void addresses_as_text(void **state)
{
    (void)state;
    struct mr_endpoint longest = {.port = 65535, .family = 6};
    memset(longest.address, 0xff, 16);
    struct mr_endpoint mapped = {.family = 6, .port = 65535};
    memset(mapped.address + 10, 0xff, 6);
    struct mr_endpoint ends[] = {v4(1, 25, 6), v4(255, 0, 1), v6(1, 25), v6(1, 0), longest, mapped};
    static const char *const expected[] = {"192.0.2.1:25",
                                           "192.0.2.255",
                                           "[2001:db8::1]:25",
                                           "2001:db8::1",
                                           "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                                           "[::ffff:255.255.255.255]:65535"};
    union mr_value values[6];
    struct mr_harness *h = open_function("f_IPtoSTR", NULL);

    for (int i = 0; i < 6; i++)
        values[i] = mr_value_bytes(&ends[i], sizeof ends[i]);
    struct mr_harness_rows rows = {.n = 6, .args = {values}};
    assert_int_equal(mr_harness_call(h, &rows), 6);
    for (int i = 0; i < 6; i++) {
        union mr_value v = mr_harness_results(h)[i].value;
        assert_int_equal(v.b.len, strlen(expected[i]));
        assert_memory_equal(v.b.ptr, expected[i], v.b.len);
    }
    mr_harness_token_bytes(h, 0);
    assert_int_equal(mr_harness_call(h, &rows), 6);
    assert_int_equal(mr_harness_results(h)[0].value.b.len, 0);
    mr_harness_free(h);
}

static void empty_batches_are_harmless(void **state)
{
    (void)state;
    static const union mr_value none[1];

    for (uint32_t i = 0; i < mr_component_packet.n_functions; i++) {
        const struct mr_function *function = &mr_component_packet.functions[i];
        struct mr_harness *h = open_function(function->name, function->n_constant ? "name" : NULL);
        struct mr_harness_rows rows = {.n = 0, .args = {none, none}};
        assert_int_equal(mr_harness_call(h, &rows), 0);
        mr_harness_free(h);
        assert_true(function->summary && function->backends && function->call);
        assert_int_equal(function->pure, !!strcmp(function->name, "f_traffic"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fragments_and_ticks_yield_nothing),
        cmocka_unit_test(every_protocol_has_a_name),
        cmocka_unit_test(addresses_are_those_of_the_packet),
        cmocka_unit_test(flow_ids_do_not_know_directions),
        cmocka_unit_test(without_memory_there_is_no_flow_id),
        cmocka_unit_test(traffic_counts_packets),
        cmocka_unit_test(addresses_as_text),
        cmocka_unit_test(empty_batches_are_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
