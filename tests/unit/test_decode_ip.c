// layers: base metrics packet
/* Decoding IP: fragments, IPv6 extension headers, datagrams put together from fragments. */
#include "decoding.h"

static void ipv4_fragments(void **state)
{
    (void)state;
    static const struct {
        uint32_t offset;
        bool more;
    } parts[] = {{0, true}, {1480, true}, {65528, false}, {8, false}};
    for (size_t i = 0; i < 4; i++) {
        begin_ethernet();
        pk_vlan(&frame, 77);
        pk_ipv4_options(&frame, "10.0.0.1", "10.0.0.2", "\1\1\1\0", 4);
        pk_fragment(&frame, 0xbeef, parts[i].offset, parts[i].more);
        pk_udp(&frame, 1025, 25);
        pk_fill(&frame, 16);
        pk_finish(&frame);
        pk_pad(&frame, 20);
        assert_int_equal(decode(1), MR_DROP_NONE);
        assert_int_equal(packet.flags, MR_PACKET_FRAGMENT);
        assert_int_equal(packet.payload_len, 0);
        assert_int_equal(packet.src.port, 0);
        assert_int_equal(packet.src.protocol, 17);
        assert_int_equal(packet.dst.zone, 77);
        assert_int_equal(view.id, 0xbeef);
        assert_int_equal(view.offset, parts[i].offset);
        assert_int_equal(view.more, parts[i].more);
        assert_int_equal(view.payload_offset, 14 + 4 + 24);
        assert_int_equal(view.payload_len, 24);
        assert_int_equal(view.next_protocol, 17);
        assert_int_equal(view.unfragmentable_len, 24);
        /* nothing whole can be made of a part that was not captured as a whole */
        assert_int_equal(decode_cut(1, frame.len - 21), MR_DROP_TRUNCATED);
    }
}

static void ipv6_extension_headers(void **state)
{
    (void)state;
    begin_ethernet();
    v6();
    pk_extension(&frame, 0, 8);
    pk_extension(&frame, 60, 24);
    pk_extension(&frame, 43, 8);
    pk_extension(&frame, 44, 8); /* an atomic fragment */
    pk_extension(&frame, 51, 24);
    pk_extension(&frame, 60, 16);
    tcp("deep");
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_endpoints(6, 6, 0);
    expect_payload("deep");
    assert_int_equal(packet.l4_offset, 14 + 40 + 8 + 24 + 8 + 8 + 24 + 16);
    /* rerouted: the final destination is not known, nothing can be summed */
    begin_ethernet();
    v6();
    uint32_t routing = pk_extension(&frame, 43, 24);
    tcp("x");
    frame.data[routing + 3] = 1;
    frame.data[frame.len - 1]++;
    assert_int_equal(decode(1), MR_DROP_NONE);
    /* but not so a packet within */
    begin_ethernet();
    v6();
    routing = pk_extension(&frame, 43, 24);
    pk_ipv4(&frame, "192.0.2.1", "192.0.2.2");
    tcp("x");
    assert_int_equal(decode(1), MR_DROP_NONE);
    frame.data[routing + 3] = 1;
    assert_int_equal(decode(1), MR_DROP_NONE);
    frame.data[frame.len - 1]++;
    assert_int_equal(decode(1), MR_DROP_CHECKSUM);
    /* hop-by-hop options come first or not at all */
    begin_ethernet();
    v6();
    pk_extension(&frame, 60, 8);
    pk_extension(&frame, 0, 8);
    tcp("x");
    assert_int_equal(decode(1), MR_DROP_BAD_HEADER);
    /* as many as are walked, and no end of them */
    begin_ethernet();
    v6();
    for (int i = 0; i < 15; i++)
        pk_extension(&frame, 60, 8);
    tcp("x");
    assert_int_equal(decode(1), MR_DROP_NONE);
    begin_ethernet();
    v6();
    for (int i = 0; i < 20; i++)
        pk_extension(&frame, 60, 8);
    tcp("x");
    assert_int_equal(decode(1), MR_DROP_TUNNEL_DEPTH);
    /* one that is longer than the rest */
    begin_ethernet();
    v6();
    uint32_t at = pk_extension(&frame, 60, 8);
    tcp("x");
    frame.data[at + 1] = 200;
    assert_int_equal(decode(1), MR_DROP_TRUNCATED);
}

static void ipv6_fragments(void **state)
{
    (void)state;
    begin_ethernet();
    v6();
    pk_extension(&frame, 0, 8);
    pk_extension(&frame, 44, 8);
    pk_fragment(&frame, 0xdeadbeef, 1280, true);
    pk_udp(&frame, 1025, 25);
    pk_fill(&frame, 32);
    pk_finish(&frame);
    assert_int_equal(decode(1), MR_DROP_NONE);
    assert_int_equal(packet.flags, MR_PACKET_FRAGMENT);
    assert_int_equal(packet.src.protocol, 17);
    assert_int_equal(view.id, 0xdeadbeef);
    assert_int_equal(view.offset, 1280);
    assert_true(view.more);
    assert_int_equal(view.payload_offset, 14 + 40 + 8 + 8);
    assert_int_equal(view.payload_len, 40);
    assert_int_equal(view.next_protocol, 17);
    assert_int_equal(view.unfragmentable_len, 48);
}

static void ipv6_no_next_header(void **state)
{
    (void)state;
    begin_ethernet();
    v6();
    pk_payload(&frame, "", 0);
    pk_finish(&frame);
    frame.data[14 + 6] = 59;
    pk_pad(&frame, 6);
    assert_int_equal(decode(1), MR_DROP_NONE);
    assert_int_equal(packet.payload_len, 0);
    expect_endpoints(6, 59, 0);
}

static void reassembled_datagrams(void **state)
{
    (void)state;
    struct mr_decoder decoder = {.checksum = MR_CHECKSUM_ALL};
    for (int family = 4; family <= 6; family += 2) {
        pk_start(&frame);
        family == 4 ? v4() : v6();
        tcp("whole");
        packet = (struct mr_packet){.data = frame.data,
                                    .len = frame.len,
                                    .wire_len = frame.len,
                                    .n_vlan = 1,
                                    .vlan = {12},
                                    .flags = MR_PACKET_REASSEMBLED};
        assert_int_equal(mr_decode_ip(&decoder, &packet, &view), MR_DROP_NONE);
        assert_int_equal(packet.flags, MR_PACKET_REASSEMBLED);
        expect_endpoints((uint8_t)family, 6, 12);
        expect_payload("whole");
    }
    packet.len = 0;
    assert_int_equal(mr_decode_ip(&decoder, &packet, &view), MR_DROP_TRUNCATED);
}

/* Decodes `len` bytes from `at` on of a frame of which `wire` were on the wire. */
static enum mr_drop decode_as(uint16_t link_type, uint32_t at, uint32_t len, uint32_t wire,
                              enum mr_checksum_policy policy, struct mr_packet *out)
{
    struct mr_decoder decoder = {.checksum = policy, .seen = MR_CHECKSUM_SAMPLE};
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, frame.data + at, len);
    memset(out, 0, sizeof *out);
    *out = (struct mr_packet){
        .data = copy, .len = len, .wire_len = wire, .link_type = link_type, .ttl = 0xa5};
    memset(&out->src, 0xa5, sizeof out->src);
    memset(&out->dst, 0xa5, sizeof out->dst);
    enum mr_drop drop = mr_decode(&decoder, out, &view);
    free(copy);
    return drop;
}

/* Plain TCP in Ethernet is decoded in one go; the same datagram as raw IP layer by layer. Both must
 * say the same, whatever is wrong with it. */
static void one_go_or_layer_by_layer(void **state)
{
    (void)state;
    uint32_t seed = 7, kept = 0, dropped = 0;
    for (int round = 0; round < 30000; round++) {
        struct mr_packet whole, layers;
        begin_ethernet();
        v4();
        tcp(round & 1 ? "some payload" : "");
        seed = seed * 1664525u + 1013904223u;
        uint32_t at = (seed >> 8) % 40; /* the version is what makes it raw IP */
        if (round % 3)
            frame.data[14 + at] ^= (uint8_t)(1u << (seed >> 24 & (at ? 7 : 3)));
        if (round % 7 == 0)
            frame.data[14 + 12 + 20] = (uint8_t)(seed >> 16); /* the header's length */
        pk_pad(&frame, seed >> 12 & 15);
        uint32_t cut = round % 5 ? 0 : (seed >> 4) % 30;
        uint32_t len = frame.len > cut + 14 ? frame.len - cut : frame.len;
        uint32_t wire = round % 2 ? frame.len : len;
        enum mr_checksum_policy policy = (enum mr_checksum_policy)(round % 3);
        enum mr_drop one = decode_as(1, 0, len, wire, policy, &whole);
        enum mr_drop other = decode_as(101, 14, len - 14, wire - 14, policy, &layers);
        assert_int_equal(one, other);
        kept += one == MR_DROP_NONE;
        dropped += one != MR_DROP_NONE;
        if (one != MR_DROP_NONE)
            continue;
        layers.l3_offset += 14;
        layers.l4_offset += 14;
        layers.payload_offset += 14;
        layers.data = whole.data;
        layers.len += 14;
        layers.wire_len += 14;
        layers.link_type = 1;
        assert_memory_equal(&whole, &layers, sizeof whole);
    }
    assert_true(kept > 10000 && dropped > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_fragments),        cmocka_unit_test(ipv6_extension_headers),
        cmocka_unit_test(ipv6_fragments),        cmocka_unit_test(ipv6_no_next_header),
        cmocka_unit_test(reassembled_datagrams), cmocka_unit_test(one_go_or_layer_by_layer),
    };
    return cmocka_run_group_tests_name("decode IP", tests, NULL, NULL);
}
