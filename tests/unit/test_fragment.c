/* IP reassembly, case by case: order, limits, time, overlaps, hostile numbers; IPv4 and IPv6. */
// layers: stream packet base
#include "packet/decode.h"
#include "packets.h"
#include "stream/fragment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND       1000000000ull
#define EXPERIMENTAL 253 /* an IP protocol of which nothing is decoded */

/* A table, and what the last fragment came to. */
struct world {
    struct mr_buffers *pool;
    struct mr_secret secret;
    struct mr_fragments *fragments;
    struct mr_decoder decoder;
    uint64_t now_ns;
    uint32_t given_up, all_given_up;
    struct mr_packet whole;
    struct mr_buffer *buffer;
    bool v6;
    uint8_t extensions; /* IPv6: how many extension headers before the fragment header */
};

static struct world *world_new(const struct mr_fragment_config *config)
{
    struct world *w = calloc(1, sizeof *w);
    const struct mr_fragment_config none = {.policy = MR_OVERLAP_BSD};

    assert_non_null(w);
    assert_int_equal(mr_secret_draw(&w->secret, 7), MR_OK);
    assert_int_equal(mr_buffers_new(&w->pool, 256u << 20), MR_OK);
    assert_int_equal(mr_fragments_new(&w->fragments, config ? config : &none, w->pool, &w->secret),
                     MR_OK);
    w->now_ns = 1700000000 * SECOND;
    w->decoder.checksum = MR_CHECKSUM_ALL;
    return w;
}

static void world_free(struct world *w)
{
    struct mr_buffers_usage usage;

    mr_buffers_put(w->pool, w->buffer);
    mr_fragments_free(w->fragments);
    mr_buffers_usage(w->pool, &usage);
    assert_int_equal(usage.used_bytes, 0);
    mr_buffers_free(w->pool);
    free(w);
}

/* A fragment with `bytes` at `offset` of datagram `id`. The datagram is one of an unknown
 * transport, so that its payload may be anything. */
static enum mr_drop send_from(struct world *w, const char *src, uint32_t id, uint32_t offset,
                              bool more, const void *bytes, uint32_t len)
{
    struct pk_frame *f = malloc(sizeof *f);
    struct mr_fragment_view view;

    assert_non_null(f);
    pk_start(f);
    pk_ethernet(f);
    if (w->v6) {
        pk_ipv6(f, "2001:db8::1", "2001:db8::2");
        for (int i = 0; i < w->extensions; i++)
            pk_extension(f, i % 2 ? 60 : 43, 8 + 8 * (uint32_t)i);
        f->data[pk_extension(f, 44, 8)] = EXPERIMENTAL;
    } else {
        f->data[pk_ipv4(f, src, "10.0.0.2") + 9] = EXPERIMENTAL;
    }
    pk_fragment(f, id, offset, more);
    pk_payload(f, bytes, len);
    pk_finish(f);
    struct mr_packet packet = {
        .data = f->data, .len = f->len, .wire_len = f->len, .link_type = 1, .time_ns = w->now_ns};
    assert_int_equal(mr_decode(&w->decoder, &packet, &view), MR_DROP_NONE);
    assert_true(packet.flags & MR_PACKET_FRAGMENT);
    mr_buffers_put(w->pool, w->buffer);
    w->buffer = NULL;
    enum mr_drop reason =
        mr_fragments_add(w->fragments, &packet, &view, &w->whole, &w->buffer, &w->given_up);
    w->all_given_up += w->given_up;
    memset(f->data, 0xee, f->len);
    free(f);
    return reason;
}

static enum mr_drop send_part(struct world *w, uint32_t id, uint32_t offset, bool more,
                              const char *bytes)
{
    return send_from(w, "10.0.0.1", id, offset, more, bytes, (uint32_t)strlen(bytes));
}

/* The last fragment completed a datagram with this payload. */
static void expect_whole(struct world *w, const char *payload)
{
    struct mr_fragment_view view;

    assert_non_null(w->buffer);
    assert_int_equal(mr_decode_ip(&w->decoder, &w->whole, &view), MR_DROP_NONE);
    assert_false(w->whole.flags & MR_PACKET_FRAGMENT);
    assert_true(w->whole.flags & MR_PACKET_REASSEMBLED);
    assert_int_equal(w->whole.payload_len, strlen(payload));
    assert_memory_equal(w->whole.data + w->whole.payload_offset, payload, strlen(payload));
    assert_int_equal(w->whole.time_ns, w->now_ns);
}

#define HELD MR_DROP_FRAGMENT_HELD
#define DONE MR_DROP_NONE

static void all_orders(void **state)
{
    (void)state;
    static const char *parts[] = {"aaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccc", "ddd"};
    static const uint32_t offsets[] = {0, 8, 24, 32};
    for (int v6 = 0; v6 < 2; v6++) {
        struct world *w = world_new(NULL);
        w->v6 = v6;
        for (int code = 0; code < 256; code++) { /* permutations of four */
            int order[4] = {code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6};
            if (((1 << order[0]) | (1 << order[1]) | (1 << order[2]) | (1 << order[3])) != 15)
                continue;
            for (int i = 0; i < 4; i++) {
                int n = order[i];
                assert_int_equal(send_part(w, 77, offsets[n], n != 3, parts[n]),
                                 i < 3 ? HELD : DONE);
                assert_int_equal(mr_fragments_held(w->fragments), i < 3 ? i + 1 : 0);
            }
            expect_whole(w, "aaaaaaaabbbbbbbbbbbbbbbbccccccccddd");
        }
        assert_int_equal(w->all_given_up, 0);
        world_free(w);
    }
}

static void who_belongs_together(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    assert_int_equal(send_part(w, 1, 0, true, "aaaaaaaa"), HELD);
    assert_int_equal(send_part(w, 2, 8, false, "b"), HELD);
    assert_int_equal(send_from(w, "10.0.0.9", 1, 8, false, "b", 1), HELD);
    assert_int_equal(send_part(w, 1, 8, false, "c"), DONE);
    expect_whole(w, "aaaaaaaac");
    world_free(w);
}

static void ipv6_keeps_its_extension_headers(void **state)
{
    (void)state;
    for (uint8_t extensions = 0; extensions < 4; extensions++) {
        struct world *w = world_new(NULL);
        w->v6 = true;
        w->extensions = extensions;
        assert_int_equal(send_part(w, 0xdeadbeef, 8, false, "bb"), HELD);
        assert_int_equal(send_part(w, 0xdeadbeef, 0, true, "aaaaaaaa"), DONE);
        expect_whole(w, "aaaaaaaabb");
        world_free(w);
    }
}

static void hostile_numbers(void **state)
{
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        struct world *w = world_new(NULL);
        w->v6 = v6;
        assert_int_equal(send_part(w, 1, 65528, false, "12345678"), MR_DROP_FRAGMENT_BAD);
        assert_int_equal(send_part(w, 2, 65528, true, "12345678"), MR_DROP_FRAGMENT_BAD);
        assert_int_equal(send_part(w, 3, 0, true, "1234567"), MR_DROP_FRAGMENT_BAD);
        assert_int_equal(send_part(w, 4, 8, true, ""), MR_DROP_FRAGMENT_BAD);
        assert_int_equal(send_part(w, 5, 8, false, ""), MR_DROP_FRAGMENT_BAD);
        assert_int_equal(mr_fragments_held(w->fragments), 0);
        world_free(w);
    }
}

static void the_largest_datagram(void **state)
{
    (void)state;
    for (int v6 = 0; v6 < 2; v6++) {
        struct world *w = world_new(NULL);
        uint32_t total = v6 ? 65535 : 65515;
        char *bytes = calloc(1, 65536);
        assert_non_null(bytes);
        w->v6 = v6;
        for (uint32_t at = 0; at < total; at += 1480) {
            uint32_t len = total - at < 1480 ? total - at : 1480;
            memset(bytes, 'a' + (int)(at / 1480), len);
            assert_int_equal(send_from(w, "10.0.0.1", 9, at, at + len < total, bytes, len),
                             at + len < total ? HELD : DONE);
        }
        struct mr_fragment_view view;
        assert_int_equal(mr_decode_ip(&w->decoder, &w->whole, &view), MR_DROP_NONE);
        assert_int_equal(w->whole.payload_len, total);
        for (uint32_t at = 0; at < total; at++)
            assert_int_equal(w->buffer->data[w->whole.payload_offset + at], 'a' + at / 1480);
        free(bytes);
        world_free(w);
    }
}

static void tiny_fragments(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    char all[1025] = {0};
    for (uint32_t i = 0; i < 128; i++) {
        char part[9] = {0};
        memset(part, (int)('a' + i % 26), 8);
        memcpy(all + i * 8, part, 8);
        assert_int_equal(send_part(w, 1, i * 8, i != 127, part), i == 127 ? DONE : HELD);
    }
    expect_whole(w, all);
    world_free(w);
}

static void ends_that_disagree(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    assert_int_equal(send_part(w, 1, 16, false, "cc"), HELD);
    assert_int_equal(send_part(w, 1, 24, false, "dd"), MR_DROP_FRAGMENT_BAD);
    assert_int_equal(send_part(w, 1, 8, false, "bb"), MR_DROP_FRAGMENT_BAD);
    assert_int_equal(send_part(w, 1, 24, true, "dddddddd"), MR_DROP_FRAGMENT_BAD);
    assert_int_equal(send_part(w, 1, 16, false, "cc"), HELD); /* again */
    assert_int_equal(send_part(w, 1, 0, true, "aaaaaaaabbbbbbbb"), DONE);
    expect_whole(w, "aaaaaaaabbbbbbbbcc");
    world_free(w);

    w = world_new(NULL);
    w->v6 = true;
    assert_int_equal(send_part(w, 1, 16, false, "cc"), HELD);
    assert_int_equal(send_part(w, 1, 24, false, "dd"), MR_DROP_FRAGMENT_BAD);
    assert_int_equal(w->given_up, 1);
    assert_int_equal(send_part(w, 1, 0, true, "aaaaaaaabbbbbbbb"), MR_DROP_FRAGMENT_BAD);
    world_free(w);
}

static void ipv6_refuses_overlaps(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    w->v6 = true;
    assert_int_equal(send_part(w, 1, 0, true, "aaaaaaaabbbbbbbb"), HELD);
    assert_int_equal(send_part(w, 1, 0, true, "aaaaaaaabbbbbbbb"), HELD); /* a repetition */
    assert_int_equal(send_part(w, 1, 24, false, "d"), HELD);
    assert_int_equal(mr_fragments_held(w->fragments), 3);
    assert_int_equal(send_part(w, 1, 8, true, "bbbbbbbbcccccccc"), MR_DROP_FRAGMENT_OVERLAP);
    assert_int_equal(w->given_up, 3);
    assert_int_equal(mr_fragments_held(w->fragments), 0);
    assert_int_equal(send_part(w, 1, 16, true, "cccccccc"), MR_DROP_FRAGMENT_OVERLAP);
    w->now_ns += 31 * SECOND; /* forgotten */
    assert_int_equal(send_part(w, 1, 0, true, "aaaaaaaa"), HELD);
    assert_int_equal(send_part(w, 1, 0, true, "aaaaaaaX"), MR_DROP_FRAGMENT_OVERLAP);
    world_free(w);
}

static void time_runs_out(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    assert_int_equal(send_part(w, 1, 0, true, "aaaaaaaa"), HELD);
    w->now_ns += 20 * SECOND;
    assert_int_equal(send_part(w, 1, 8, true, "bbbbbbbb"), HELD);
    assert_int_equal(send_part(w, 2, 8, false, "b"), HELD);
    assert_int_equal(mr_fragments_held(w->fragments), 3);
    w->now_ns += 11 * SECOND; /* 31 s since the first one of datagram 1 */
    assert_int_equal(send_part(w, 1, 16, false, "c"), HELD);
    assert_int_equal(w->given_up, 2);
    assert_int_equal(send_part(w, 2, 0, true, "aaaaaaaa"), DONE);
    expect_whole(w, "aaaaaaaab");
    assert_int_equal(mr_fragments_held(w->fragments), 1);
    world_free(w);
}

static void time_goes_back(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    assert_int_equal(send_part(w, 1, 0, true, "aaaaaaaa"), HELD);
    w->now_ns -= 5 * SECOND; /* a little: nothing happens */
    assert_int_equal(send_part(w, 2, 0, true, "aaaaaaaa"), HELD);
    assert_int_equal(send_part(w, 1, 8, false, "b"), DONE);
    assert_int_equal(send_part(w, 3, 0, true, "aaaaaaaa"), HELD);
    w->now_ns -= 3600 * SECOND; /* another capture: what waited will wait in vain */
    assert_int_equal(send_part(w, 4, 0, true, "aaaaaaaa"), HELD);
    assert_int_equal(w->given_up, 2);
    w->now_ns = 0;
    assert_int_equal(send_part(w, 5, 0, true, "aaaaaaaa"), HELD);
    w->now_ns = UINT64_MAX;
    assert_int_equal(send_part(w, 6, 0, true, "aaaaaaaa"), HELD);
    assert_int_equal(w->all_given_up, 4);
    world_free(w);
}

static void too_many_datagrams(void **state)
{
    (void)state;
    const struct mr_fragment_config config = {.policy = MR_OVERLAP_FIRST, .max_datagrams = 4};
    struct world *w = world_new(&config);
    for (uint32_t id = 0; id < 4; id++)
        assert_int_equal(send_part(w, id, 0, true, "aaaaaaaa"), HELD);
    assert_int_equal(send_part(w, 0, 8, true, "bbbbbbbb"), HELD); /* used: 1 is the oldest now */
    assert_int_equal(send_part(w, 4, 0, true, "aaaaaaaa"), HELD);
    assert_int_equal(w->given_up, 1);
    assert_int_equal(send_part(w, 0, 16, false, "c"), DONE);
    expect_whole(w, "aaaaaaaabbbbbbbbc");
    assert_int_equal(send_part(w, 1, 8, false, "b"), HELD); /* it is gone */
    world_free(w);
}

static void too_many_fragments(void **state)
{
    (void)state;
    const struct mr_fragment_config config = {.max_fragments = 4};
    struct world *w = world_new(&config);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(send_part(w, 1, 16 + 16 * i, true, "aaaaaaaa"), HELD);
    assert_int_equal(send_part(w, 1, 0, true, "aaaaaaaa"), MR_DROP_FRAGMENT_LIMIT);
    assert_int_equal(w->given_up, 4);
    assert_int_equal(send_part(w, 1, 0, true, "aaaaaaaa"), MR_DROP_FRAGMENT_LIMIT);
    world_free(w);
}

static void too_many_bytes(void **state)
{
    (void)state;
    const struct mr_fragment_config config = {.max_bytes = 200000};
    struct world *w = world_new(&config);
    struct mr_buffers_usage usage;
    char part[1481] = {0};
    memset(part, 'x', 1480);
    uint32_t held = 0;
    for (uint32_t id = 0; id < 500; id++)
        held += send_part(w, id, 1480, true, part) == HELD;
    assert_int_equal(held, 500);
    mr_buffers_usage(w->pool, &usage);
    assert_true(usage.used_bytes <= 200000);
    assert_int_equal(w->all_given_up + mr_fragments_held(w->fragments), 500);
    assert_int_equal(send_part(w, 499, 0, true, part), HELD); /* the newest is still there */
    assert_int_equal(send_part(w, 499, 2960, false, "end"), DONE);
    world_free(w);

    const struct mr_fragment_config nothing = {.max_bytes = 100};
    w = world_new(&nothing);
    assert_int_equal(send_part(w, 1, 0, true, "aaaaaaaa"), MR_DROP_FRAGMENT_LIMIT);
    world_free(w);
}

static void cut_off_by_the_capture(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    uint8_t frame[34 + 16] = {[14] = 0x45};
    const struct mr_packet packet = {.data = frame,
                                     .len = sizeof frame,
                                     .l3_offset = 14,
                                     .flags = MR_PACKET_FRAGMENT | MR_PACKET_TRUNCATED,
                                     .src = {.family = 4},
                                     .dst = {.family = 4}};
    const struct mr_fragment_view view = {
        .payload_offset = 34, .payload_len = 16, .more = true, .unfragmentable_len = 20};
    assert_int_equal(
        mr_fragments_add(w->fragments, &packet, &view, &w->whole, &w->buffer, &w->given_up),
        MR_DROP_TRUNCATED);
    world_free(w);
}

/* A fragment that is its whole datagram has nothing to do with others of the same number. */
static void atomic_fragments(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct mr_packet packet;
    uint8_t frame[40 + 8 + 5] = {[0] = 0x60, [5] = 13, [6] = 44, [40] = 253};
    const struct mr_fragment_view view = {.id = 1,
                                          .payload_offset = 48,
                                          .payload_len = 5,
                                          .next_protocol = 253,
                                          .unfragmentable_len = 40};
    memcpy(frame + 48, "hello", 5);
    w->v6 = true;
    assert_int_equal(send_part(w, 1, 0, true, "aaaaaaaa"), HELD);
    packet = (struct mr_packet){.data = frame,
                                .len = sizeof frame,
                                .flags = MR_PACKET_FRAGMENT,
                                .time_ns = w->now_ns,
                                .src = {.address = {0x20, 1, 0xd, 0xb8, [15] = 1}, .family = 6},
                                .dst = {.address = {0x20, 1, 0xd, 0xb8, [15] = 2}, .family = 6}};
    assert_int_equal(
        mr_fragments_add(w->fragments, &packet, &view, &w->whole, &w->buffer, &w->given_up), DONE);
    expect_whole(w, "hello");
    assert_int_equal(send_part(w, 1, 8, false, "b"), DONE);
    expect_whole(w, "aaaaaaaab");
    world_free(w);
}

/* ---- overlaps: the layout that Novak and Sturges published, in units of 8 bytes ---- */

static const struct {
    uint32_t at, len;
    char fill;
} layout[] = {
    {0, 3, 'A'},  {4, 2, 'B'},  {6, 3, 'C'},  {10, 1, 'D'}, {13, 2, 'E'}, {15, 3, 'F'},
    {18, 2, 'G'}, {20, 2, 'H'}, {22, 1, 'I'}, {1, 4, 'J'},  {6, 3, 'K'},  {9, 3, 'L'},
    {12, 3, 'M'}, {16, 1, 'N'}, {19, 1, 'O'}, {20, 1, 'P'}, {22, 2, 'Q'},
};

static void published_overlaps(void **state)
{
    (void)state;
    static const struct {
        const char *policy, *result; /* one letter a unit */
    } cases[] = {
        {"bsd", "AAAJJBCCCLLLMMMFFFGGHHIQ"},     {"linux", "AAAJJBKKKLLLMMMFFFGGPHQQ"},
        {"windows", "AAAJBBCCCLLLMEEFFFGGHHIQ"}, {"solaris", "AAAJBBCCCLLLMMMFFFGGHHIQ"},
        {"first", "AAAJBBCCCLDLMEEFFFGGHHIQ"},   {"last", "AJJJJBKKKLLLMMMFNFGOPHQQ"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct mr_fragment_config config = {0};
        assert_true(mr_overlap_policy_parse(cases[c].policy, &config.policy));
        struct world *w = world_new(&config);
        size_t n = sizeof layout / sizeof *layout;
        for (size_t i = 0; i < n; i++) {
            char part[33];
            memset(part, layout[i].fill, sizeof part);
            assert_int_equal(
                send_from(w, "10.0.0.1", 1, layout[i].at * 8, i + 1 < n, part, layout[i].len * 8),
                i + 1 < n ? HELD : DONE);
        }
        char expected[193] = {0};
        for (int i = 0; i < 192; i++)
            expected[i] = cases[c].result[i / 8];
        expect_whole(w, expected);
        world_free(w);
    }
    enum mr_overlap_policy policy;
    assert_false(mr_overlap_policy_parse("macos", &policy));
    assert_false(mr_overlap_policy_parse("", &policy));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_orders),
        cmocka_unit_test(who_belongs_together),
        cmocka_unit_test(ipv6_keeps_its_extension_headers),
        cmocka_unit_test(hostile_numbers),
        cmocka_unit_test(the_largest_datagram),
        cmocka_unit_test(tiny_fragments),
        cmocka_unit_test(ends_that_disagree),
        cmocka_unit_test(ipv6_refuses_overlaps),
        cmocka_unit_test(time_runs_out),
        cmocka_unit_test(time_goes_back),
        cmocka_unit_test(too_many_datagrams),
        cmocka_unit_test(too_many_fragments),
        cmocka_unit_test(too_many_bytes),
        cmocka_unit_test(cut_off_by_the_capture),
        cmocka_unit_test(atomic_fragments),
        cmocka_unit_test(published_overlaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
