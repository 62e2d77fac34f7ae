// layers: base metrics packet
/* Checksums: the sum against a straightforward one, known vectors, and what each policy does. */
#include "packet/checksum.h"
#include "packet/decode.h"
#include "packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct pk_frame frame;

static uint16_t reference(const uint8_t *bytes, size_t len)
{
    uint16_t sum = (uint16_t)~pk_checksum(bytes, (uint32_t)len, 0);
    return (uint16_t)(sum << 8 | sum >> 8); /* words of the machine's order, here little-endian */
}

static void sums_of_every_length_and_alignment(void **state)
{
    (void)state;
    static uint8_t bytes[4096 + 64];
    uint64_t random = 1;
    for (size_t i = 0; i < sizeof bytes; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(random >> 56);
    }
    for (size_t len = 0; len <= 4096; len += len < 600 ? 1 : 37) {
        for (size_t at = 0; at < 9; at++)
            assert_int_equal(mr_sum_fold(mr_sum(bytes + at, len)), reference(bytes + at, len));
    }
}

static void carries_do_not_get_lost(void **state)
{
    (void)state;
    static uint8_t bytes[65536];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = 0xff;
    assert_int_equal(mr_sum_fold(mr_sum(bytes, sizeof bytes)), 0xffff);
    bytes[0] = 0;
    assert_int_equal(mr_sum_fold(mr_sum(bytes, sizeof bytes)), reference(bytes, sizeof bytes));
    assert_int_equal(mr_sum_fold(UINT64_MAX), 0xffff);
    assert_int_equal(mr_sum_fold(0), 0);
    assert_int_equal(mr_sum_fold(0x1ffff), 1);
}

static void known_vectors(void **state)
{
    (void)state;
    /* the example of RFC 1071, and an IPv4 header with its checksum in it */
    static const uint8_t rfc[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    static const uint8_t header[20] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                                       0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
    assert_int_equal(mr_sum_fold(mr_sum(rfc, sizeof rfc)), 0xf2dd);
    assert_int_equal(mr_sum_fold(mr_sum_20(header)), 0xffff);
}

/* Decodes `frame` under a policy of its own. */
static enum mr_drop decode(enum mr_checksum_policy policy, struct mr_packet *packet)
{
    struct mr_decoder decoder = {.checksum = policy};
    struct mr_fragment_view view;
    *packet = (struct mr_packet){
        .data = frame.data, .len = frame.len, .wire_len = frame.len, .link_type = 1};
    return mr_decode(&decoder, packet, &view);
}

enum kind { TCP4, UDP4, ICMP4, TCP6, UDP6, ICMP6, N_KINDS };

static void make(enum kind kind, uint32_t payload)
{
    pk_start(&frame);
    pk_ethernet(&frame);
    if (kind < TCP6)
        pk_ipv4(&frame, "192.0.2.1", "198.51.100.7");
    else
        pk_ipv6(&frame, "2001:db8::1", "2001:db8:ffff::7");
    if (kind == TCP4 || kind == TCP6)
        pk_tcp(&frame, 40000, 25, 1, 1, MR_TCP_ACK);
    else if (kind == UDP4 || kind == UDP6)
        pk_udp(&frame, 40000, 53);
    else if (kind == ICMP4)
        pk_icmp(&frame, 8, 0);
    else
        pk_icmpv6(&frame, 128, 0);
    pk_fill(&frame, payload);
    pk_finish(&frame);
}

static void every_transport_is_verified(void **state)
{
    (void)state;
    struct mr_packet packet;
    for (enum kind kind = 0; kind < N_KINDS; kind++) {
        for (uint32_t len = 0; len <= 1400; len += 7) {
            make(kind, len);
            assert_int_equal(decode(MR_CHECKSUM_ALL, &packet), MR_DROP_NONE);
            assert_int_equal(packet.flags, 0);
            frame.data[frame.len - 1] ^= 0x10;
            assert_int_equal(decode(MR_CHECKSUM_ALL, &packet), MR_DROP_CHECKSUM);
            assert_int_equal(decode(MR_CHECKSUM_NONE, &packet), MR_DROP_NONE);
            assert_int_equal(packet.flags, 0);
        }
    }
}

static void a_sum_that_comes_out_zero(void **state)
{
    (void)state;
    /* UDP sends 0xffff for it; try payloads until one gives it */
    struct mr_packet packet;
    uint32_t found = 0;
    for (uint32_t i = 0; i < 65536 * 2 && !found; i++) {
        uint8_t payload[4] = {(uint8_t)(i >> 8), (uint8_t)i, (uint8_t)(i >> 16), 0};
        pk_udp4(&frame, "10.0.0.1", 1, "10.0.0.2", 2, payload, 4);
        found = frame.data[40] == 0xff && frame.data[41] == 0xff;
    }
    assert_true(found);
    assert_int_equal(decode(MR_CHECKSUM_ALL, &packet), MR_DROP_NONE);
}

static void udp_without_checksum(void **state)
{
    (void)state;
    struct mr_packet packet;
    make(UDP4, 10);
    frame.data[40] = frame.data[41] = 0;
    assert_int_equal(decode(MR_CHECKSUM_ALL, &packet), MR_DROP_NONE);
    make(UDP6, 10);
    frame.data[60] = frame.data[61] = 0;
    assert_int_equal(decode(MR_CHECKSUM_ALL, &packet), MR_DROP_CHECKSUM);
}

static void wrong_ipv4_header(void **state)
{
    (void)state;
    struct mr_packet packet;
    make(TCP4, 10);
    frame.data[14 + 8]--; /* the TTL, which no transport's checksum covers */
    assert_int_equal(decode(MR_CHECKSUM_ALL, &packet), MR_DROP_CHECKSUM);
    assert_int_equal(decode(MR_CHECKSUM_NONE, &packet), MR_DROP_NONE);
    pk_start(&frame);
    pk_ethernet(&frame);
    pk_ipv4_options(&frame, "10.0.0.1", "10.0.0.2", "\x94\x04\0\0\1\1\1\0", 8);
    pk_tcp(&frame, 1, 2, 0, 0, 0);
    pk_finish(&frame);
    assert_int_equal(decode(MR_CHECKSUM_ALL, &packet), MR_DROP_NONE);
    frame.data[14 + 20]++; /* in the options */
    assert_int_equal(decode(MR_CHECKSUM_ALL, &packet), MR_DROP_CHECKSUM);
}

/* What a host leaves that hands the rest to its network card: the pseudo header's sum. */
static void leave_to_card(uint32_t len)
{
    uint32_t sum = len + 6;
    const uint8_t *addresses = frame.data + 14 + 12;
    sum += (uint16_t)~pk_checksum(addresses, 8, 0);
    sum = (sum & 0xffff) + (sum >> 16);
    frame.data[14 + 20 + 16] = (uint8_t)(sum >> 8);
    frame.data[14 + 20 + 17] = (uint8_t)sum;
}

static void offloaded_are_kept_while_sampling(void **state)
{
    (void)state;
    struct mr_packet packet;
    for (int with_length = 0; with_length < 2; with_length++) {
        make(TCP4, 100);
        leave_to_card(with_length ? 120 : 0);
        assert_int_equal(decode(MR_CHECKSUM_AUTO, &packet), MR_DROP_NONE);
        assert_int_equal(packet.flags, MR_PACKET_BAD_CHECKSUM);
        assert_int_equal(decode(MR_CHECKSUM_ALL, &packet), MR_DROP_CHECKSUM);
    }
}

/* Feeds n packets, every `share`th of them wrong; returns how many were dropped. */
static uint32_t feed(struct mr_decoder *decoder, uint32_t n, uint32_t share, bool offloaded)
{
    uint32_t dropped = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct mr_fragment_view view;
        make(TCP4, 20);
        if (share && i % share == share - 1) {
            if (offloaded)
                leave_to_card(40);
            else
                frame.data[frame.len - 1]++;
        }
        struct mr_packet packet = {
            .data = frame.data, .len = frame.len, .wire_len = frame.len, .link_type = 1};
        dropped += mr_decode(decoder, &packet, &view) == MR_DROP_CHECKSUM;
    }
    return dropped;
}

static void auto_learns_from_a_sample(void **state)
{
    (void)state;
    struct mr_decoder good = {.checksum = MR_CHECKSUM_AUTO};
    assert_int_equal(feed(&good, 1000, 20, false), 50);
    assert_int_equal(feed(&good, 1000, 20, false), 50); /* goes on verifying */
    assert_int_equal(feed(&good, 100, 10, true), 10);   /* and is strict by then */
    struct mr_decoder bad = {.checksum = MR_CHECKSUM_AUTO};
    assert_int_equal(feed(&bad, 1000, 5, false), 200);
    assert_int_equal(feed(&bad, 1000, 5, false), 0); /* stopped */
    struct mr_decoder host = {.checksum = MR_CHECKSUM_AUTO};
    assert_int_equal(feed(&host, 3000, 2, true), 0);
}

/* An interface of a host: what the host left to its card is never wrong there, and what is wrong
 * otherwise always. */
static void a_host_is_known(void **state)
{
    (void)state;
    struct mr_decoder host = {.checksum = MR_CHECKSUM_AUTO, .host = true};
    assert_int_equal(feed(&host, 2000, 0, false), 0);
    assert_int_equal(feed(&host, 2000, 2, true), 0);
    assert_int_equal(feed(&host, 100, 10, false), 10);
    struct mr_decoder other = {.checksum = MR_CHECKSUM_AUTO, .host = true};
    assert_int_equal(feed(&other, 2000, 2, true), 0);
    assert_int_equal(feed(&other, 100, 10, false), 10);
    struct mr_decoder strict = {.checksum = MR_CHECKSUM_ALL, .host = true};
    assert_int_equal(feed(&strict, 100, 10, true), 10);
}

/* Made anonymous after the capture, say: not one is right. The first right one ends that. */
static void inputs_without_a_right_one_are_kept(void **state)
{
    (void)state;
    struct mr_decoder decoder = {.checksum = MR_CHECKSUM_AUTO};
    assert_int_equal(feed(&decoder, 500, 1, false), 0);
    assert_int_equal(feed(&decoder, 1, 0, false), 0);
    assert_int_equal(feed(&decoder, 10, 1, false), 10);
    struct mr_decoder strict = {.checksum = MR_CHECKSUM_ALL};
    assert_int_equal(feed(&strict, 10, 1, false), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_of_every_length_and_alignment),
        cmocka_unit_test(carries_do_not_get_lost),
        cmocka_unit_test(known_vectors),
        cmocka_unit_test(every_transport_is_verified),
        cmocka_unit_test(a_sum_that_comes_out_zero),
        cmocka_unit_test(udp_without_checksum),
        cmocka_unit_test(wrong_ipv4_header),
        cmocka_unit_test(offloaded_are_kept_while_sampling),
        cmocka_unit_test(auto_learns_from_a_sample),
        cmocka_unit_test(a_host_is_known),
        cmocka_unit_test(inputs_without_a_right_one_are_kept),
    };
    return cmocka_run_group_tests_name("checksum", tests, NULL, NULL);
}
