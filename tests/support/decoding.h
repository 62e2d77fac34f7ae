/* What tests of decoding have in common: one frame, decoded from a copy that ends where the frame
 * ends. Included once by each of them. */
#ifndef MR_TEST_DECODING_H
#define MR_TEST_DECODING_H

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

/* Decodes the first `len` bytes of the frame, from a copy that ends there, so that a sanitizer sees
 * each byte read behind. What the decoder must fill is rubbish before. */
static inline enum mr_drop decode_cut(uint16_t link_type, uint32_t len)
{
    struct mr_decoder decoder = {.checksum = MR_CHECKSUM_ALL};
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, frame.data, len);
    memset(&packet, 0xa5, sizeof packet);
    packet.data = copy;
    packet.len = len;
    packet.wire_len = frame.len;
    packet.link_type = link_type;
    enum mr_drop drop = mr_decode(&decoder, &packet, &view);
    free(copy);
    packet.data = frame.data;
    return drop;
}

static inline enum mr_drop decode(uint16_t link_type)
{
    return decode_cut(link_type, frame.len);
}

static inline struct mr_endpoint endpoint(const void *address, uint8_t family, uint16_t port,
                                          uint8_t protocol, uint32_t zone)
{
    struct mr_endpoint e;
    memset(&e, 0, sizeof e);
    memcpy(e.address, address, family == 4 ? 4 : 16);
    e.family = family;
    e.port = port;
    e.protocol = protocol;
    e.zone = zone;
    return e;
}

#define V6_A "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
#define V6_B "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2"

/* Both endpoints, byte for byte: 10.0.0.1:1025 -> 10.0.0.2:25, or 2001:db8::1 -> ::2. */
static inline void expect_endpoints(uint8_t family, uint8_t protocol, uint32_t zone)
{
    bool ports = protocol == 6 || protocol == 17;
    struct mr_endpoint src =
        endpoint(family == 4 ? "\x0a\0\0\1" : V6_A, family, ports ? 1025 : 0, protocol, zone);
    struct mr_endpoint dst =
        endpoint(family == 4 ? "\x0a\0\0\2" : V6_B, family, ports ? 25 : 0, protocol, zone);
    assert_memory_equal(&packet.src, &src, sizeof src);
    assert_memory_equal(&packet.dst, &dst, sizeof dst);
}

static inline void expect_payload(const char *text)
{
    assert_int_equal(packet.payload_len, strlen(text));
    assert_memory_equal(packet.data + packet.payload_offset, text, strlen(text));
}

static inline void v4(void)
{
    pk_ipv4(&frame, "10.0.0.1", "10.0.0.2");
}

static inline void v6(void)
{
    pk_ipv6(&frame, "2001:db8::1", "2001:db8::2");
}

static inline void tcp(const char *payload)
{
    pk_tcp(&frame, 1025, 25, 0x01020304, 0xfffffffe, MR_TCP_PSH | MR_TCP_ACK);
    pk_payload(&frame, payload, (uint32_t)strlen(payload));
    pk_finish(&frame);
}

static inline void begin_ethernet(void)
{
    pk_start(&frame);
    pk_ethernet(&frame);
}

#endif
