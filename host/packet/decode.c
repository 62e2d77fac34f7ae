/* Entry points of decoding; and the commonest packets by far, decoded in one go. */
#include "packet/checksum.h"
#include "packet/walk.h"

#define ETHERNET     1
#define ETHERNET_LEN 14u
#define IPV4_LEN     20u
#define TCP_LEN      20u
#define UDP_LEN      8u

/* What the decoder fills, so that a packet says nothing of the one before it in its place. */
static void clear(struct mr_packet *packet)
{
    packet->l3_offset = 0;
    packet->l4_offset = 0;
    packet->payload_offset = 0;
    packet->payload_len = 0;
    packet->tcp_seq = 0;
    packet->tcp_ack = 0;
    packet->tcp_window = 0;
    packet->tcp_urgent = 0;
    packet->tcp_flags = 0;
    packet->ttl = 0;
    packet->src = (struct mr_endpoint){0};
    packet->dst = (struct mr_endpoint){0};
}

/* Field by field: a struct made elsewhere and copied would be read before its parts are stored. */
static inline void set_ipv4(struct mr_endpoint *endpoint, const uint8_t *address, uint16_t port,
                            uint8_t protocol)
{
    memcpy(endpoint->address, address, 4);
    memset(endpoint->address + 4, 0, 12);
    endpoint->port = port;
    endpoint->family = 4;
    endpoint->protocol = protocol;
    endpoint->zone = 0;
}

/* Apart, like all that is not done for each packet: who calls it has no registers to save. */
static __attribute__((noinline)) bool sums_right(const struct mr_decoder *decoder,
                                                 const uint8_t *ip, uint32_t len, bool summed)
{
    if (decoder->checksum == MR_CHECKSUM_AUTO && decoder->seen < MR_CHECKSUM_SAMPLE)
        return false; /* they are being counted */
    uint8_t tail[4] = {0, ip[9], (uint8_t)(len >> 8), (uint8_t)len};
    if (mr_sum_fold(mr_sum_20(ip)) != 0xffff)
        return false;
    return !summed ||
           mr_sum_fold(mr_sum(ip + IPV4_LEN, len) + mr_sum(ip + 12, 8) + mr_sum(tail, 4)) == 0xffff;
}

/* Are the sums of both headers right, or not to be looked at? `summed`: the second has one. */
static inline bool sums_fit(const struct mr_decoder *decoder, const uint8_t *ip, uint32_t len,
                            bool summed)
{
    return !mr_checksum_wanted(decoder) || sums_right(decoder, ip, len, summed);
}

/* What both have in common. */
static inline void set_plain(struct mr_packet *packet, const uint8_t *ip, uint32_t header_len,
                             uint32_t payload_len)
{
    const uint8_t *transport = ip + IPV4_LEN;

    packet->l3_offset = ETHERNET_LEN;
    packet->l4_offset = ETHERNET_LEN + IPV4_LEN;
    packet->payload_offset = ETHERNET_LEN + IPV4_LEN + header_len;
    packet->payload_len = payload_len;
    packet->vlan[0] = packet->vlan[1] = packet->vlan[2] = 0;
    packet->n_vlan = 0;
    packet->flags = 0;
    packet->ttl = ip[8];
    set_ipv4(&packet->src, ip + 12, mr_be16(transport), ip[9]);
    set_ipv4(&packet->dst, ip + 16, mr_be16(transport + 2), ip[9]);
}

static inline bool plain_tcp(const struct mr_decoder *decoder, struct mr_packet *packet,
                             const uint8_t *ip, uint32_t len)
{
    const uint8_t *tcp = ip + IPV4_LEN;

    if (len < TCP_LEN)
        return false;
    uint32_t header_len = (tcp[12] >> 4) * 4u;
    if (header_len < TCP_LEN || len < header_len || !sums_fit(decoder, ip, len, true))
        return false;
    packet->tcp_seq = mr_be32(tcp + 4);
    packet->tcp_ack = mr_be32(tcp + 8);
    packet->tcp_window = mr_be16(tcp + 14);
    packet->tcp_urgent = mr_be16(tcp + 18);
    packet->tcp_flags = tcp[13];
    set_plain(packet, ip, header_len, len - header_len);
    return true;
}

static inline bool plain_udp(const struct mr_decoder *decoder, struct mr_packet *packet,
                             const uint8_t *ip, uint32_t left)
{
    const uint8_t *udp = ip + IPV4_LEN;

    if (left < UDP_LEN)
        return false;
    uint32_t len = mr_be16(udp + 4);
    if (len < UDP_LEN || len > left || mr_udp_may_be_tunnel(mr_be16(udp), mr_be16(udp + 2)) ||
        !sums_fit(decoder, ip, len, udp[6] | udp[7]))
        return false;
    packet->tcp_seq = 0;
    packet->tcp_ack = 0;
    packet->tcp_window = 0;
    packet->tcp_urgent = 0;
    packet->tcp_flags = 0;
    set_plain(packet, ip, UDP_LEN, len - UDP_LEN);
    return true;
}

/* A whole frame of Ethernet, IPv4 without options and not a fragment, and TCP or UDP, with nothing
 * wrong. False: it is not one, and the packet is as it was. */
static inline bool plain(const struct mr_decoder *decoder, struct mr_packet *packet)
{
    const uint8_t *frame = packet->data, *ip = frame + ETHERNET_LEN;

    if (packet->link_type != ETHERNET || packet->len < ETHERNET_LEN + IPV4_LEN ||
        mr_be16(frame + 12) != MR_ETHER_IPV4 || ip[0] != 0x45 || mr_be16(ip + 6) & 0x3fff)
        return false;
    uint32_t total = mr_be16(ip + 2);
    if (total > packet->len - ETHERNET_LEN || total < IPV4_LEN)
        return false;
    if (__builtin_expect(ip[9] == MR_IP_TCP, 1))
        return plain_tcp(decoder, packet, ip, total - IPV4_LEN);
    return ip[9] == MR_IP_UDP && plain_udp(decoder, packet, ip, total - IPV4_LEN);
}

static __attribute__((noinline)) enum mr_drop
decode_any(struct mr_decoder *decoder, struct mr_packet *packet, struct mr_fragment_view *fragment)
{
    struct mr_walk w = {.decoder = decoder,
                        .packet = packet,
                        .fragment = fragment,
                        .end = packet->len,
                        .cut = packet->len < packet->wire_len};
    clear(packet);
    packet->vlan[0] = packet->vlan[1] = packet->vlan[2] = 0;
    packet->n_vlan = 0;
    packet->flags = 0;
    return mr_decode_link(&w);
}

enum mr_drop mr_decode(struct mr_decoder *decoder, struct mr_packet *packet,
                       struct mr_fragment_view *fragment)
{
    return plain(decoder, packet) ? MR_DROP_NONE : decode_any(decoder, packet, fragment);
}

enum mr_drop mr_decode_ip(struct mr_decoder *decoder, struct mr_packet *packet,
                          struct mr_fragment_view *fragment)
{
    struct mr_walk w = {.decoder = decoder,
                        .packet = packet,
                        .fragment = fragment,
                        .at = packet->l3_offset,
                        .end = packet->len,
                        .cut = packet->len < packet->wire_len};
    if (packet->l3_offset >= packet->len)
        return MR_DROP_TRUNCATED;
    packet->flags &= (uint8_t) ~(MR_PACKET_FRAGMENT | MR_PACKET_BAD_CHECKSUM);
    clear(packet);
    return packet->data[w.at] >> 4 == 6 ? mr_decode_ipv6(&w) : mr_decode_ipv4(&w);
}
