/* Headers of datagrams put together: IPv4 and IPv6. */
#include "stream/fragment_build.h"

#define MAX_DATAGRAM_BYTES 65535u
#define IPV4_HEADER_BYTES  20u
#define IPV4_DONT_FRAGMENT 0x40

#define NEXT_HEADER_AT     6 /* in the IPv6 header */
#define AUTHENTICATION     51

static void put16(uint8_t *to, uint32_t v)
{
    to[0] = (uint8_t)(v >> 8);
    to[1] = (uint8_t)v;
}

uint32_t mr_fragment_room(const struct mr_packet *packet, const struct mr_fragment_view *view)
{
    uint32_t len = view->unfragmentable_len;

    if (packet->src.family == 4)
        return len < IPV4_HEADER_BYTES || len > 60 ? 0 : MAX_DATAGRAM_BYTES - len;
    if (len < MR_IPV6_HEADER_BYTES || len >= MAX_DATAGRAM_BYTES)
        return 0;
    return MAX_DATAGRAM_BYTES - (len - MR_IPV6_HEADER_BYTES);
}

static void ipv4_header(uint8_t *header, uint32_t len, uint32_t payload_len)
{
    uint32_t sum = 0;

    put16(header + 2, len + payload_len);
    header[6] &= IPV4_DONT_FRAGMENT;
    header[7] = 0;
    put16(header + 10, 0);
    for (uint32_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)header[i] << 8 | header[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    put16(header + 10, ~sum & 0xffff);
}

/* Extension headers before the fragment header stay; the last of them names what follows now. */
static bool ipv6_header(uint8_t *header, uint32_t len, uint8_t next_protocol, uint32_t payload_len)
{
    uint32_t next_at = NEXT_HEADER_AT, at = MR_IPV6_HEADER_BYTES;

    while (at < len) {
        if (at + 2 > len)
            return false;
        uint32_t units = header[at + 1];
        uint32_t extension = header[next_at] == AUTHENTICATION ? (units + 2) * 4 : (units + 1) * 8;
        next_at = at;
        at += extension;
    }
    if (at != len)
        return false;
    header[next_at] = next_protocol;
    put16(header + 4, len - MR_IPV6_HEADER_BYTES + payload_len);
    return true;
}

bool mr_fragment_header(uint8_t *header, uint32_t len, uint8_t family, uint8_t next_protocol,
                        uint32_t payload_len)
{
    if (family == 6)
        return ipv6_header(header, len, next_protocol, payload_len);
    ipv4_header(header, len, payload_len);
    return true;
}
