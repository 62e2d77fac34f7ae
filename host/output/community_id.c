/* Community ID v1: a SHA-1 over the flow's tuple, the smaller endpoint first. */
#include "output/eve.h"

#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <nettle/version.h>
#include <string.h>

enum { ICMP = 1, TCP = 6, UDP = 17, ICMPV6 = 58, SCTP = 132 };

/* seed, two addresses, protocol, a zero byte, two ports */
#define TUPLE_BYTES (2 + 2 * 16 + 2 + 2 * 2)

/* Message types that come in pairs of question and answer. */
static const uint8_t pairs_v4[][2] = {{8, 0}, {13, 14}, {15, 16}, {10, 9}, {17, 18}};
static const uint8_t pairs_v6[][2] = {{128, 129}, {133, 134}, {135, 136},
                                      {130, 131}, {144, 145}, {139, 140}};

/* The type that answers `type`, or that it answers; -1: the message stands alone. */
static int counterpart(uint8_t protocol, uint16_t type)
{
    const uint8_t(*pairs)[2] = protocol == ICMP ? pairs_v4 : pairs_v6;
    size_t n = protocol == ICMP ? sizeof pairs_v4 / 2 : sizeof pairs_v6 / 2;

    for (size_t i = 0; i < n; i++) {
        if (pairs[i][0] == type)
            return pairs[i][1];
        if (pairs[i][1] == type)
            return pairs[i][0];
    }
    return -1;
}

static uint8_t *put16(uint8_t *to, uint16_t value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
    return to + 2;
}

void mr_community_id(const struct mr_endpoint *src, const struct mr_endpoint *dst, uint16_t seed,
                     char text[MR_COMMUNITY_ID_BYTES])
{
    size_t address_bytes = src->family == 4 ? 4 : 16;
    uint8_t protocol = src->protocol;
    uint16_t src_port = src->port, dst_port = dst->port;
    bool has_ports = protocol == TCP || protocol == UDP || protocol == SCTP;
    bool one_way = false;

    if (protocol == ICMP || protocol == ICMPV6) {
        int answer = counterpart(protocol, src_port);
        has_ports = true;
        one_way = answer < 0;
        if (!one_way)
            dst_port = (uint16_t)answer;
    }
    int order = memcmp(src->address, dst->address, address_bytes);
    if (!one_way && (order > 0 || (order == 0 && has_ports && src_port > dst_port))) {
        const struct mr_endpoint *endpoint = src;
        uint16_t port = src_port;
        src = dst;
        dst = endpoint;
        src_port = dst_port;
        dst_port = port;
    }

    uint8_t tuple[TUPLE_BYTES];
    uint8_t *to = put16(tuple, seed);
    memcpy(to, src->address, address_bytes);
    memcpy(to + address_bytes, dst->address, address_bytes);
    to += 2 * address_bytes;
    *to++ = protocol;
    *to++ = 0;
    if (has_ports) {
        to = put16(to, src_port);
        to = put16(to, dst_port);
    }

    struct sha1_ctx sha1;
    uint8_t digest[SHA1_DIGEST_SIZE];
    sha1_init(&sha1);
    sha1_update(&sha1, (size_t)(to - tuple), tuple);
#if NETTLE_VERSION_MAJOR >= 4
    sha1_digest(&sha1, digest);
#else
    sha1_digest(&sha1, sizeof digest, digest);
#endif
    text[0] = '1';
    text[1] = ':';
    base64_encode_raw(text + 2, sizeof digest, digest);
    text[2 + BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE)] = '\0';
}
