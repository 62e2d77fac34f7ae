// layers: base metrics packet
/* Decoding: link types, VLAN tags, lengths, transports, what is cut or padded. Fragments and
 * extension headers are in test_decode_ip.c, tunnels in test_decode_tunnels.c. */
#include "decoding.h"

static void plain_tcp(void **state)
{
    (void)state;
    begin_ethernet();
    v4();
    tcp("EHLO there\r\n");
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_endpoints(4, 6, 0);
    expect_payload("EHLO there\r\n");
    assert_int_equal(packet.l3_offset, 14);
    assert_int_equal(packet.l4_offset, 34);
    assert_int_equal(packet.payload_offset, 54);
    assert_int_equal(packet.tcp_seq, 0x01020304);
    assert_int_equal(packet.tcp_ack, 0xfffffffe);
    assert_int_equal(packet.tcp_flags, MR_TCP_PSH | MR_TCP_ACK);
    assert_int_equal(packet.tcp_window, 8192);
    assert_int_equal(packet.tcp_urgent, 0);
    assert_int_equal(packet.ttl, 64);
    assert_int_equal(packet.n_vlan, 0);
    assert_int_equal(packet.flags, 0);
}

static void every_link_type(void **state)
{
    (void)state;
    for (int family = 4; family <= 6; family += 2) {
        static const uint16_t types[] = {1, 0, 0, 12, 14, 101, 108, 113, 228, 229, 276, 9};
        for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
            pk_start(&frame);
            if (types[i] == 1)
                pk_ethernet(&frame);
            else if (types[i] == 0)
                pk_null(&frame, i == 1, family == 4 ? 2 : 30);
            else if (types[i] == 108)
                pk_loop(&frame);
            else if (types[i] == 113)
                pk_sll(&frame);
            else if (types[i] == 276)
                pk_sll2(&frame);
            else if (types[i] == 9)
                pk_payload(&frame, family == 4 ? "\xff\x03\0\x21" : "\xff\x03\0\x57", 4);
            uint32_t network = frame.len;
            family == 4 ? v4() : v6();
            tcp("x");
            assert_int_equal(decode(types[i]), MR_DROP_NONE);
            assert_int_equal(packet.l3_offset, network);
            expect_endpoints((uint8_t)family, 6, 0);
            expect_payload("x");
            assert_true(mr_link_type_supported(types[i]));
            assert_string_not_equal(mr_link_type_name(types[i]), "unknown");
        }
    }
}

static void foreign_link_types(void **state)
{
    (void)state;
    begin_ethernet();
    v4();
    tcp("");
    assert_int_equal(decode(105), MR_DROP_LINK_TYPE);
    assert_int_equal(decode(65535), MR_DROP_LINK_TYPE);
    assert_false(mr_link_type_supported(127));
    assert_string_equal(mr_link_type_name(105), "IEEE 802.11");
    assert_string_equal(mr_link_type_name(9999), "unknown");
}

static void null_families(void **state)
{
    (void)state;
    static const uint8_t v6_numbers[] = {10, 24, 28, 30};
    for (size_t i = 0; i < 8; i++) {
        pk_start(&frame);
        pk_null(&frame, i & 1, v6_numbers[i / 2]);
        v6();
        tcp("");
        assert_int_equal(decode(0), MR_DROP_NONE);
        assert_int_equal(packet.src.family, 6);
    }
    pk_start(&frame);
    pk_null(&frame, false, 7);
    v4();
    tcp("");
    assert_int_equal(decode(0), MR_DROP_NOT_IP);
}

static void vlan_tags(void **state)
{
    (void)state;
    for (uint16_t tags = 1; tags <= 4; tags++) {
        begin_ethernet();
        for (uint16_t i = 0; i < tags; i++) {
            uint16_t id = (uint16_t)(0xe000 | (100 + i)); /* the priority does not count */
            i + 1 < tags ? pk_vlan_service(&frame, id) : pk_vlan(&frame, id);
        }
        v4();
        tcp("x");
        if (tags == 4) {
            assert_int_equal(decode(1), MR_DROP_TUNNEL_DEPTH);
            continue;
        }
        assert_int_equal(decode(1), MR_DROP_NONE);
        assert_int_equal(packet.n_vlan, tags);
        for (uint16_t i = 0; i < 3; i++)
            assert_int_equal(packet.vlan[i], i < tags ? 100 + i : 0);
        expect_endpoints(4, 6, tags == 1 ? 100 : 100 | 101 << 12);
    }
    pk_start(&frame);
    pk_sll2(&frame);
    pk_vlan(&frame, 9);
    v4();
    tcp("x");
    assert_int_equal(decode(276), MR_DROP_NONE);
    expect_endpoints(4, 6, 9);
}

static void llc_snap(void **state)
{
    (void)state;
    begin_ethernet();
    pk_payload(&frame, "\xaa\xaa\3\0\0\0\x08\0", 8);
    v4();
    tcp("x");
    frame.data[12] = 0; /* the length of an 802.3 frame */
    frame.data[13] = 60;
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_endpoints(4, 6, 0);
    frame.data[14] = 0x42; /* spanning tree */
    assert_int_equal(decode(1), MR_DROP_NOT_IP);
}

static void mpls_labels(void **state)
{
    (void)state;
    for (uint32_t labels = 1; labels <= MR_DECODE_DEPTH + 1; labels++) {
        begin_ethernet();
        for (uint32_t i = 0; i < labels; i++)
            pk_mpls(&frame, 16 + i);
        labels & 1 ? v4() : v6();
        tcp("x");
        for (uint32_t i = 0; i < labels; i++)
            frame.data[14 + i * 4 + 2] = i + 1 == labels;
        assert_int_equal(decode(1), labels > MR_DECODE_DEPTH ? MR_DROP_TUNNEL_DEPTH : MR_DROP_NONE);
    }
}

static void not_ip(void **state)
{
    (void)state;
    begin_ethernet();
    pk_fill(&frame, 46);
    pk_finish(&frame);
    frame.data[12] = 0x08;
    frame.data[13] = 0x06; /* ARP */
    assert_int_equal(decode(1), MR_DROP_NOT_IP);
    assert_int_equal(decode(101), MR_DROP_NOT_IP);
    frame.data[13] = 0x00;
    assert_int_equal(decode(1), MR_DROP_BAD_HEADER); /* no version 4 */
}

static void padding_is_no_payload(void **state)
{
    (void)state;
    begin_ethernet();
    v4();
    tcp("");
    pk_pad(&frame, 6);
    assert_int_equal(decode(1), MR_DROP_NONE);
    assert_int_equal(packet.payload_len, 0);
    begin_ethernet();
    v6();
    tcp("ab");
    pk_pad(&frame, 100);
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_payload("ab");
    /* cut in the padding: the datagram is whole */
    assert_int_equal(decode_cut(1, frame.len - 50), MR_DROP_NONE);
    assert_int_equal(packet.flags, 0);
}

static void options_are_no_payload(void **state)
{
    (void)state;
    begin_ethernet();
    pk_ipv4_options(&frame, "10.0.0.1", "10.0.0.2", "\1\1\1\0", 4);
    pk_tcp_options(&frame, 1025, 25, 1, 0, MR_TCP_SYN, "\2\4\5\xb4\1\1\1\0", 8);
    pk_payload(&frame, "fast", 4);
    pk_finish(&frame);
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_endpoints(4, 6, 0);
    expect_payload("fast");
    assert_int_equal(packet.l4_offset, 38);
    assert_int_equal(packet.payload_offset, 66);
}

/* Each shorter capture of a frame: the headers have to be there, the payload may be cut. */
static void captured_short(void **state)
{
    (void)state;
    for (int family = 4; family <= 6; family += 2) {
        begin_ethernet();
        pk_vlan(&frame, 5);
        family == 4 ? v4() : v6();
        tcp("0123456789");
        uint32_t headers = frame.len - 10;
        for (uint32_t len = 0; len < frame.len; len++) {
            enum mr_drop drop = decode_cut(1, len);
            if (len < headers) {
                assert_int_equal(drop, MR_DROP_TRUNCATED);
            } else {
                assert_int_equal(drop, MR_DROP_NONE);
                assert_int_equal(packet.payload_len, len - headers);
                assert_int_equal(packet.flags, MR_PACKET_TRUNCATED);
            }
        }
    }
    begin_ethernet();
    v4();
    pk_tcp_options(&frame, 1025, 25, 1, 0, MR_TCP_SYN, "\2\4\5\xb4\1\1\1\0", 8);
    pk_finish(&frame);
    assert_int_equal(decode_cut(1, 14 + 20 + 20), MR_DROP_NONE); /* tcpdump -s 54 */
    assert_int_equal(packet.payload_len, 0);
    assert_int_equal(packet.payload_offset, 54);
    expect_endpoints(4, 6, 0);
}

static void longer_than_its_frame(void **state)
{
    (void)state;
    begin_ethernet();
    v4();
    tcp("0123456789");
    frame.len -= 4; /* on the wire, too */
    assert_int_equal(decode(1), MR_DROP_TRUNCATED);
    begin_ethernet();
    v6();
    tcp("0123456789");
    frame.len -= 4;
    assert_int_equal(decode(1), MR_DROP_TRUNCATED);
}

static void segments_left_to_the_card(void **state)
{
    (void)state;
    struct mr_decoder decoder = {.checksum = MR_CHECKSUM_NONE};
    for (int family = 4; family <= 6; family += 2) {
        begin_ethernet();
        family == 4 ? v4() : v6();
        pk_tcp(&frame, 1025, 25, 1, 0, MR_TCP_ACK);
        pk_fill(&frame, 66000);
        pk_finish(&frame);
        frame.data[family == 4 ? 16 : 18] = frame.data[family == 4 ? 17 : 19] = 0;
        packet = (struct mr_packet){
            .data = frame.data, .len = frame.len, .wire_len = frame.len, .link_type = 1};
        assert_int_equal(mr_decode(&decoder, &packet, &view), MR_DROP_NONE);
        assert_int_equal(packet.payload_len, 66000);
        expect_endpoints((uint8_t)family, 6, 0);
    }
}

static void bad_headers(void **state)
{
    (void)state;
    static const struct {
        uint32_t at;
        uint8_t value;
        enum mr_drop drop;
    } cases[] = {
        {14, 0x44, MR_DROP_BAD_HEADER}, /* IPv4 header of 16 bytes */
        {14, 0x65, MR_DROP_BAD_HEADER}, /* version 6 */
        {17, 19, MR_DROP_BAD_HEADER},   /* shorter than its header */
        {14, 0x4f, MR_DROP_CHECKSUM},   /* header of 60 bytes */
        {46, 0x40, MR_DROP_BAD_HEADER}, /* TCP header of 16 bytes */
        {46, 0xf0, MR_DROP_BAD_HEADER}, /* of 60, which are not there */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin_ethernet();
        v4();
        tcp("0123456789012345678901234567");
        frame.data[cases[i].at] = cases[i].value;
        assert_int_equal(decode(1), cases[i].drop);
    }
}

static void udp_lengths(void **state)
{
    (void)state;
    struct mr_decoder decoder = {.checksum = MR_CHECKSUM_NONE};
    static const struct {
        uint8_t len;
        uint32_t payload;
        enum mr_drop drop;
    } cases[] = {{18, 10, MR_DROP_NONE},      {12, 4, MR_DROP_NONE},     {8, 0, MR_DROP_NONE},
                 {7, 0, MR_DROP_BAD_HEADER},  {0, 10, MR_DROP_NONE}, /* a jumbogram, or left */
                 {19, 0, MR_DROP_BAD_HEADER}, {1, 0, MR_DROP_BAD_HEADER}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pk_udp4(&frame, "10.0.0.1", 1025, "10.0.0.2", 25, "0123456789", 10);
        frame.data[14 + 20 + 5] = cases[i].len;
        packet = (struct mr_packet){
            .data = frame.data, .len = frame.len, .wire_len = frame.len, .link_type = 1};
        assert_int_equal(mr_decode(&decoder, &packet, &view), cases[i].drop);
        if (cases[i].drop == MR_DROP_NONE) {
            assert_int_equal(packet.payload_len, cases[i].payload);
            expect_endpoints(4, 17, 0);
        }
    }
}

static void other_transports(void **state)
{
    (void)state;
    begin_ethernet();
    v4();
    pk_icmp(&frame, 8, 0);
    pk_payload(&frame, "ping", 4);
    pk_finish(&frame);
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_endpoints(4, 1, 0);
    expect_payload("ping");
    begin_ethernet();
    v6();
    pk_icmpv6(&frame, 128, 0);
    pk_payload(&frame, "ping", 4);
    pk_finish(&frame);
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_endpoints(6, 58, 0);
    expect_payload("ping");
    begin_ethernet();
    v4();
    pk_payload(&frame, "whatever", 8);
    pk_finish(&frame);
    frame.data[14 + 9] = 132;
    frame.data[14 + 10] = frame.data[14 + 11] = 0;
    uint16_t sum = pk_checksum(frame.data + 14, 20, 0);
    frame.data[14 + 10] = (uint8_t)(sum >> 8);
    frame.data[14 + 11] = (uint8_t)sum;
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_endpoints(4, 132, 0);
    expect_payload("whatever");
    assert_int_equal(packet.l4_offset, packet.payload_offset);
}

/* What one decoder makes of the frame; offsets from the IP header on. */
static enum mr_drop seen(enum mr_checksum_policy policy, uint16_t link_type, struct mr_packet *out)
{
    struct mr_decoder decoder = {.checksum = policy};
    uint32_t network = link_type == 1 ? 14 : 0, len = frame.len - (14 - network);

    *out = (struct mr_packet){.data = frame.data + (14 - network),
                              .len = len,
                              .wire_len = len,
                              .link_type = link_type,
                              .tcp_seq = 1,
                              .tcp_ack = 2,
                              .tcp_window = 3,
                              .tcp_urgent = 4,
                              .tcp_flags = 5,
                              .flags = 6,
                              .n_vlan = 7};
    enum mr_drop drop = mr_decode(&decoder, out, &view);
    out->l3_offset -= network;
    out->l4_offset -= network;
    out->payload_offset -= network;
    out->data = NULL;
    out->len = out->wire_len = out->link_type = 0;
    return drop;
}

/* Common packets have a way of their own through the decoder when they come in Ethernet frames:
 * what it says is what the long way says, whatever stands in any byte of the headers. */
static void short_way(void **state)
{
    (void)state;
    static const uint8_t values[] = {0, 1, 4, 5, 6, 8, 17, 0x40, 0x45, 0x50, 0x80, 0xb5, 0xff};
    static const enum mr_checksum_policy policies[] = {MR_CHECKSUM_NONE, MR_CHECKSUM_ALL,
                                                       MR_CHECKSUM_AUTO};
    uint32_t good = 0;

    for (int udp = 0; udp < 2; udp++)
        for (uint32_t at = 15; at < 14 + 20 + 20; at++) /* raw frames: 14 tells 4 from 6 */
            for (size_t v = 0; v < sizeof values; v++)
                for (size_t k = 0; k < 3; k++) {
                    if (udp)
                        pk_udp4(&frame, "10.0.0.1", 1025, "10.0.0.2", 4789, "0123456789abcd", 14);
                    else
                        pk_tcp4(&frame, "10.0.0.1", 1025, "10.0.0.2", 25, 7, 8, MR_TCP_ACK, "0123",
                                4);
                    if (udp && at > 16)
                        frame.data[36] = 0; /* no tunnel's port */
                    frame.data[at] = values[v];
                    struct mr_packet brief, full;
                    enum mr_drop drop = seen(policies[k], 1, &brief);
                    assert_int_equal(drop, seen(policies[k], 101, &full));
                    if (drop == MR_DROP_NONE) {
                        assert_memory_equal(&brief, &full, sizeof full);
                        good++;
                    }
                }
    assert_true(good > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_tcp),
        cmocka_unit_test(every_link_type),
        cmocka_unit_test(foreign_link_types),
        cmocka_unit_test(null_families),
        cmocka_unit_test(vlan_tags),
        cmocka_unit_test(llc_snap),
        cmocka_unit_test(mpls_labels),
        cmocka_unit_test(not_ip),
        cmocka_unit_test(padding_is_no_payload),
        cmocka_unit_test(options_are_no_payload),
        cmocka_unit_test(captured_short),
        cmocka_unit_test(longer_than_its_frame),
        cmocka_unit_test(segments_left_to_the_card),
        cmocka_unit_test(bad_headers),
        cmocka_unit_test(udp_lengths),
        cmocka_unit_test(other_transports),
        cmocka_unit_test(short_way),
    };
    return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
