// layers: base metrics packet
/* Decoding what is inside tunnels: GRE, ERSPAN, PPTP, VXLAN, Geneve, GTP-U, Teredo, IP in IP,
 * pseudo-wires, PPPoE. */
#include "packet/decode.h"
#include "packets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct pk_frame frame;
static struct mr_packet packet;
static struct mr_fragment_view view;

static enum mr_drop decode(uint16_t link_type)
{
    struct mr_decoder decoder = {.checksum = MR_CHECKSUM_ALL};
    uint8_t *copy = malloc(frame.len);
    assert_non_null(copy);
    memcpy(copy, frame.data, frame.len);
    memset(&packet, 0xa5, sizeof packet);
    packet.data = copy;
    packet.len = packet.wire_len = frame.len;
    packet.link_type = link_type;
    enum mr_drop drop = mr_decode(&decoder, &packet, &view);
    free(copy);
    packet.data = frame.data;
    return drop;
}

static void begin(void)
{
    pk_start(&frame);
    pk_ethernet(&frame);
    pk_ipv4(&frame, "192.0.2.1", "192.0.2.2");
}

/* The innermost datagram of every test. */
static void inner_tcp(const char *payload)
{
    pk_ipv4(&frame, "10.0.0.1", "10.0.0.2");
    pk_tcp(&frame, 1025, 25, 7, 8, MR_TCP_ACK);
    pk_payload(&frame, payload, (uint32_t)strlen(payload));
    pk_finish(&frame);
}

static void expect_inner(const char *payload)
{
    assert_int_equal(packet.flags, MR_PACKET_TUNNELED);
    assert_memory_equal(packet.src.address, "\x0a\0\0\1\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_memory_equal(packet.dst.address, "\x0a\0\0\2\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_int_equal(packet.src.family, 4);
    assert_int_equal(packet.src.protocol, 6);
    assert_int_equal(packet.src.port, 1025);
    assert_int_equal(packet.tcp_seq, 7);
    assert_int_equal(packet.payload_len, strlen(payload));
    assert_memory_equal(packet.data + packet.payload_offset, payload, strlen(payload));
}

/* The tunnel itself is what the packet describes. */
static void expect_outer(uint8_t protocol)
{
    assert_int_equal(packet.flags, 0);
    assert_memory_equal(packet.src.address, "\xc0\0\2\1\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_int_equal(packet.src.protocol, protocol);
    assert_int_equal(packet.l3_offset, 14);
    assert_int_equal(packet.l4_offset, 34);
}

static void gre_with_ip(void **state)
{
    (void)state;
    static const uint16_t flags[] = {0, 0x8000, 0x2000, 0x1000, 0xb000};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        begin();
        pk_gre(&frame, flags[i]);
        inner_tcp("through");
        assert_int_equal(decode(1), MR_DROP_NONE);
        expect_inner("through");
    }
}

static void gre_with_ethernet(void **state)
{
    (void)state;
    begin();
    pk_gre(&frame, 0x2000);
    pk_ethernet(&frame);
    pk_vlan(&frame, 42);
    inner_tcp("bridged");
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_inner("bridged");
    assert_int_equal(packet.n_vlan, 1);
    assert_int_equal(packet.src.zone, 42);
}

static void erspan(void **state)
{
    (void)state;
    /* type I has no header, type II 8 bytes, type III 12 and 8 more when its last bit says so */
    static const struct {
        uint16_t flags, type;
        uint8_t header;
        bool more;
    } cases[] = {{0, 0x88be, 0, false},
                 {0x1000, 0x88be, 8, false},
                 {0x1000, 0x22eb, 12, false},
                 {0x1000, 0x22eb, 20, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t header[20] = {0x10};
        header[11] = cases[i].more;
        begin();
        uint32_t gre = pk_gre(&frame, cases[i].flags);
        pk_payload(&frame, header, cases[i].header);
        pk_ethernet(&frame);
        inner_tcp("mirrored");
        frame.data[gre + 2] = (uint8_t)(cases[i].type >> 8);
        frame.data[gre + 3] = (uint8_t)cases[i].type;
        assert_int_equal(decode(1), MR_DROP_NONE);
        expect_inner("mirrored");
    }
}

static void pptp(void **state)
{
    (void)state;
    /* with and without an acknowledgement, with and without the bytes PPP may leave out */
    for (int variant = 0; variant < 4; variant++) {
        uint8_t header[16] = {0x30, (uint8_t)(variant & 1 ? 0x81 : 0x01), 0x88, 0x0b};
        uint32_t len = variant & 1 ? 16 : 12;
        begin();
        pk_payload(&frame, header, len);
        if (variant & 2)
            pk_payload(&frame, "\x21", 1);
        else
            pk_payload(&frame, "\xff\x03\x00\x21", 4);
        uint32_t inner = frame.len;
        inner_tcp("dialled");
        uint32_t payload = frame.len - inner + (variant & 2 ? 1u : 4u);
        frame.data[34 + 5] = (uint8_t)payload;
        frame.data[14 + 9] = 47;
        frame.data[14 + 10] = frame.data[14 + 11] = 0;
        uint16_t sum = pk_checksum(frame.data + 14, 20, 0);
        frame.data[14 + 10] = (uint8_t)(sum >> 8);
        frame.data[14 + 11] = (uint8_t)sum;
        assert_int_equal(decode(1), MR_DROP_NONE);
        expect_inner("dialled");
        frame.data[34] = 0x20; /* no sequence number: an acknowledgement only */
        assert_int_equal(decode(1), MR_DROP_NONE);
        expect_outer(47);
    }
}

static void gre_without_ip(void **state)
{
    (void)state;
    begin();
    uint32_t gre = pk_gre(&frame, 0);
    inner_tcp("x");
    frame.data[gre + 2] = 0x12; /* a type nobody knows */
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_outer(47);
    assert_int_equal(packet.payload_offset, gre);
    frame.data[gre + 2] = 0x08;
    frame.data[gre + 1] = 5; /* a version nobody knows */
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_outer(47);
}

static void wrong_inside_of_gre(void **state)
{
    (void)state;
    begin();
    uint32_t gre = pk_gre(&frame, 0);
    inner_tcp("x");
    frame.data[frame.len - 1]++;
    assert_int_equal(decode(1), MR_DROP_CHECKSUM);
    frame.data[gre + 4] = 0x41;
    assert_int_equal(decode(1), MR_DROP_BAD_HEADER);
}

static void vxlan(void **state)
{
    (void)state;
    begin();
    pk_vxlan(&frame, 77);
    pk_ethernet(&frame);
    inner_tcp("overlaid");
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_inner("overlaid");
    pk_start(&frame);
    pk_ethernet(&frame);
    pk_ipv6(&frame, "2001:db8::1", "2001:db8::2");
    uint32_t at = pk_vxlan(&frame, 77);
    pk_ethernet(&frame);
    inner_tcp("overlaid");
    frame.data[at - 2] = frame.data[at - 1] = 0; /* without checksum, as tunnels may over IPv6 */
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_inner("overlaid");
}

/* Linux's own default, from before there was a number for it. */
static void vxlan_of_linux(void **state)
{
    (void)state;
    begin();
    uint32_t at = pk_vxlan(&frame, 77);
    pk_ethernet(&frame);
    inner_tcp("overlaid");
    frame.data[at - 6] = 8472 >> 8;
    frame.data[at - 5] = 8472 & 0xff;
    frame.data[at - 2] = frame.data[at - 1] = 0;
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_inner("overlaid");
    frame.data[at] = 0; /* no VXLAN after all */
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_outer(17);
    assert_int_equal(packet.dst.port, 8472);
    pk_start(&frame);
    pk_ethernet(&frame);
    pk_ipv6(&frame, "2001:db8::1", "2001:db8::2");
    at = pk_vxlan(&frame, 77);
    pk_ethernet(&frame);
    inner_tcp("overlaid");
    frame.data[at - 6] = 8472 >> 8;
    frame.data[at - 5] = 8472 & 0xff;
    frame.data[at - 2] = frame.data[at - 1] = 0;
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_inner("overlaid");
}

static void a_port_does_not_make_vxlan(void **state)
{
    (void)state;
    static const char *const payloads[] = {"", "short", "no such thing as a virtual network",
                                           "\x08 but what follows is no frame at all, is it"};
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        pk_udp4(&frame, "192.0.2.1", 1025, "192.0.2.2", 4789, payloads[i],
                (uint32_t)strlen(payloads[i]));
        assert_int_equal(decode(1), MR_DROP_NONE);
        expect_outer(17);
        assert_int_equal(packet.dst.port, 4789);
        assert_int_equal(packet.payload_len, strlen(payloads[i]));
    }
    begin();
    pk_vxlan(&frame, 1);
    pk_ethernet(&frame);
    pk_ipv4(&frame, "10.0.0.1", "10.0.0.2");
    pk_finish(&frame);
    frame.data[34 + 8 + 8 + 14] = 0x4f; /* a header that is not all there */
    frame.data[34 + 6] = frame.data[34 + 7] = 0;
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_outer(17);
}

/* A header of some tunnel behind UDP to `port`. */
static void udp_header(uint16_t from, uint16_t port, const void *header, uint32_t len)
{
    begin();
    pk_udp(&frame, from, port);
    pk_payload(&frame, header, len);
}

static void geneve(void **state)
{
    (void)state;
    /* no options, two of them; Ethernet and plain IP */
    udp_header(49152, 6081, "\0\0\x65\x58\0\0\x4d\0", 8);
    pk_ethernet(&frame);
    inner_tcp("over there");
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_inner("over there");
    udp_header(49152, 6081, "\2\x40\x08\0\0\0\x4d\0options.", 16);
    inner_tcp("plain");
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_inner("plain");
    /* a version to come, a control message, options that do not fit, a type that is none */
    static const char *const others[] = {"\x40\0\x08\0\0\0\0\0", "\0\x80\x08\0\0\0\0\0",
                                         "\x3f\0\x08\0\0\0\0\0", "\0\0\0\1\0\0\0\0"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        udp_header(49152, 6081, others[i], 8);
        inner_tcp("plain");
        assert_int_equal(decode(1), MR_DROP_NONE);
        expect_outer(17);
    }
}

static void gtp_u(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        uint32_t len;
    } headers[] = {
        {"\x30\xff\0\0\0\0\0\1", 8},                                          /* nothing more */
        {"\x32\xff\0\0\0\0\0\1\0\5\0\0", 12},                                 /* numbered */
        {"\x34\xff\0\0\0\0\0\1\0\0\0\x85\1\x10\x09\0", 16},                   /* extended */
        {"\x34\xff\0\0\0\0\0\1\0\0\0\x85\1\x10\x09\x85\2\0\0\0\0\0\0\0", 24}, /* twice */
    };
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        uint8_t header[32];
        uint32_t len = headers[i].len, inside = 20 + 20 + 6;
        memcpy(header, headers[i].header, len);
        header[3] = (uint8_t)(len - 8 + inside);
        udp_header(2152, 2152, header, len);
        inner_tcp("mobile");
        assert_int_equal(decode(1), MR_DROP_NONE);
        expect_inner("mobile");
        header[1] = 1; /* an echo request */
        udp_header(2152, 2152, header, len);
        inner_tcp("mobile");
        assert_int_equal(decode(1), MR_DROP_NONE);
        expect_outer(17);
        header[1] = 255;
        header[3] = 250; /* more than there is */
        udp_header(2152, 2152, header, len);
        inner_tcp("mobile");
        assert_int_equal(decode(1), MR_DROP_NONE);
        expect_outer(17);
    }
    /* extension headers without length, or without end */
    udp_header(2152, 2152, "\x34\xff\0\x40\0\0\0\1\0\0\0\x85\0\x10\x09\0", 16);
    inner_tcp("mobile");
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_outer(17);
}

static void teredo(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        uint32_t len;
    } headers[] = {{"", 0},
                   {"\0\0\x12\x34\1\2\3\4", 8},
                   {"\0\1\2\0ab12345678\0", 15},
                   {"\0\1\0\0"
                    "12345678\0\0\0\x12\x34\1\2\3\4",
                    21}};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        udp_header(i & 1 ? 3544 : 49152, i & 1 ? 49152 : 3544, headers[i].header, headers[i].len);
        pk_ipv6(&frame, "2001:0:c000:201::1", "2001:db8::2");
        pk_tcp(&frame, 1025, 25, 7, 8, MR_TCP_ACK);
        pk_payload(&frame, "six", 3);
        pk_finish(&frame);
        assert_int_equal(decode(1), MR_DROP_NONE);
        assert_int_equal(packet.flags, MR_PACKET_TUNNELED);
        assert_int_equal(packet.src.family, 6);
        assert_int_equal(packet.src.port, 1025);
        assert_int_equal(packet.payload_len, 3);
    }
    udp_header(49152, 3544, "\0\1\xff\xff 12345678\0", 14);
    pk_finish(&frame);
    assert_int_equal(decode(1), MR_DROP_NONE);
    expect_outer(17);
}

static void a_port_does_not_make_a_tunnel(void **state)
{
    (void)state;
    static const uint16_t ports[] = {6081, 2152, 3544};
    static const char noise[] = "\x34\xff\0\x10\x60 anything at all, \x45 but nothing that is IP";
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++)
        for (uint32_t from = 0; from < sizeof noise; from++)
            for (uint32_t len = 0; from + len < sizeof noise; len++) {
                pk_udp4(&frame, "192.0.2.1", 1025, "192.0.2.2", ports[i], noise + from, len);
                assert_int_equal(decode(1), MR_DROP_NONE);
                expect_outer(17);
                assert_int_equal(packet.payload_len, len);
            }
}

static void ip_in_ip(void **state)
{
    (void)state;
    for (int outer = 4; outer <= 6; outer += 2) {
        pk_start(&frame);
        pk_ethernet(&frame);
        if (outer == 4)
            pk_ipv4(&frame, "192.0.2.1", "192.0.2.2");
        else
            pk_ipv6(&frame, "2001:db8::1", "2001:db8::2");
        pk_ipv6(&frame, "2001:db8::3", "2001:db8::4");
        inner_tcp("nested");
        assert_int_equal(decode(1), MR_DROP_NONE);
        expect_inner("nested");
    }
}

static void no_deeper_than(void **state)
{
    (void)state;
    for (uint32_t depth = 1; depth <= MR_DECODE_DEPTH + 1; depth++) {
        begin();
        for (uint32_t i = 1; i < depth; i++)
            pk_ipv4(&frame, "192.0.2.3", "192.0.2.4");
        inner_tcp("x");
        assert_int_equal(decode(1), depth > MR_DECODE_DEPTH ? MR_DROP_TUNNEL_DEPTH : MR_DROP_NONE);
    }
}

static void fragments_in_tunnels(void **state)
{
    (void)state;
    begin();
    pk_gre(&frame, 0);
    uint32_t inner = pk_ipv4(&frame, "10.0.0.1", "10.0.0.2");
    pk_fragment(&frame, 9, 0, true);
    pk_udp(&frame, 1, 2);
    pk_fill(&frame, 16);
    pk_finish(&frame);
    assert_int_equal(decode(1), MR_DROP_NONE);
    assert_int_equal(packet.flags, MR_PACKET_FRAGMENT | MR_PACKET_TUNNELED);
    assert_int_equal(packet.l3_offset, inner);
    assert_int_equal(view.payload_offset, inner + 20);
    assert_int_equal(view.payload_len, 24);
}

static void captured_short(void **state)
{
    (void)state;
    struct mr_decoder decoder = {.checksum = MR_CHECKSUM_ALL};
    begin();
    pk_gre(&frame, 0);
    inner_tcp("0123456789");
    packet = (struct mr_packet){
        .data = frame.data, .len = frame.len - 4, .wire_len = frame.len, .link_type = 1};
    assert_int_equal(mr_decode(&decoder, &packet, &view), MR_DROP_NONE);
    assert_int_equal(packet.flags, MR_PACKET_TRUNCATED | MR_PACKET_TUNNELED);
    assert_int_equal(packet.payload_len, 6);
}

static void pseudo_wire(void **state)
{
    (void)state;
    pk_start(&frame);
    pk_ethernet(&frame);
    pk_mpls(&frame, 100);
    pk_mpls(&frame, 200);
    pk_payload(&frame, "\0\0\0\1", 4); /* control word */
    pk_ethernet(&frame);
    inner_tcp("wired");
    frame.data[14 + 4 + 2] |= 1;
    assert_int_equal(decode(1), MR_DROP_NONE);
    assert_int_equal(packet.payload_len, 5);
    assert_int_equal(packet.src.port, 1025);
}

static void pppoe(void **state)
{
    (void)state;
    pk_start(&frame);
    pk_ethernet(&frame);
    pk_payload(&frame, "\x11\0\0\7\0\0\0\x21", 8);
    inner_tcp("x");
    frame.data[12] = 0x88;
    frame.data[13] = 0x64;
    assert_int_equal(decode(1), MR_DROP_NONE);
    assert_int_equal(packet.src.port, 1025);
    frame.data[14 + 6] = 0xc0; /* LCP */
    assert_int_equal(decode(1), MR_DROP_NOT_IP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gre_with_ip),
        cmocka_unit_test(gre_with_ethernet),
        cmocka_unit_test(erspan),
        cmocka_unit_test(pptp),
        cmocka_unit_test(gre_without_ip),
        cmocka_unit_test(wrong_inside_of_gre),
        cmocka_unit_test(vxlan),
        cmocka_unit_test(vxlan_of_linux),
        cmocka_unit_test(a_port_does_not_make_vxlan),
        cmocka_unit_test(geneve),
        cmocka_unit_test(gtp_u),
        cmocka_unit_test(teredo),
        cmocka_unit_test(a_port_does_not_make_a_tunnel),
        cmocka_unit_test(ip_in_ip),
        cmocka_unit_test(no_deeper_than),
        cmocka_unit_test(fragments_in_tunnels),
        cmocka_unit_test(captured_short),
        cmocka_unit_test(pseudo_wire),
        cmocka_unit_test(pppoe),
    };
    return cmocka_run_group_tests_name("decode tunnels", tests, NULL, NULL);
}
