/* TCP, UDP, ICMP and ICMPv6; of other protocols the payload only. */
#include "packet/checksum.h"
#include "packet/walk.h"

#define TCP_HEADER      20u
#define UDP_HEADER      8u
#define ICMP_HEADER     8u
#define ICMP_HEADER_MIN 4u

/* The sum of the addresses, the length and the protocol, as they enter a transport's checksum. */
static inline uint64_t pseudo_header(const struct mr_walk *w, uint32_t len, uint8_t protocol)
{
    const struct mr_packet *packet = w->packet;
    uint32_t a[4], b[4], tail[2] = {len, protocol};
    memcpy(a, packet->src.address, sizeof a);
    memcpy(b, packet->dst.address, sizeof b);
    if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
        tail[0] = __builtin_bswap32(len);
        tail[1] = (uint32_t)protocol << 24;
    }
    return (uint64_t)a[0] + a[1] + a[2] + a[3] + b[0] + b[1] + b[2] + b[3] + tail[0] + tail[1];
}

/* Ones' complement has two zeros. */
static bool same_sum(uint16_t a, uint16_t b)
{
    return a == b || (a + b == 0xffff && (a == 0 || b == 0));
}

/* Is the wrong checksum at `field` that of the pseudo header alone, as hosts leave it that let
 * their network card do the rest (with the length, or without when the card also cuts the
 * segment up), or empty? */
static bool offloaded(const struct mr_walk *w, const uint8_t *field, uint32_t len, uint8_t protocol)
{
    uint16_t found;
    memcpy(&found, field, 2);
    return found == 0 || same_sum(found, mr_sum_fold(pseudo_header(w, len, protocol))) ||
           same_sum(found, mr_sum_fold(pseudo_header(w, 0, protocol)));
}

/* False: the packet is to be dropped for its checksum. */
static inline bool check(struct mr_walk *w, uint32_t len, uint8_t protocol, uint32_t field)
{
    if (!mr_checksum_wanted(w->decoder) || w->cut || w->rerouted)
        return true;
    const uint8_t *bytes = mr_walk_bytes(w);
    uint64_t sum = mr_sum(bytes, len);
    if (protocol != MR_IP_ICMP)
        sum += pseudo_header(w, len, protocol);
    bool good = mr_sum_fold(sum) == 0xffff;
    bool left = !good && offloaded(w, bytes + field, len, protocol);
    bool kept = good || mr_checksum_pardon(w, left);
    struct mr_decoder *decoder = w->decoder;
    if (decoder->seen < MR_CHECKSUM_SAMPLE) {
        decoder->seen++;
        decoder->bad += !good && !(left && decoder->host);
    }
    return kept;
}

/* What is behind the header, which may itself be cut short. */
static inline void set_payload(struct mr_walk *w, uint32_t header_len)
{
    struct mr_packet *packet = w->packet;
    uint32_t left = mr_walk_left(w);
    if (header_len > left)
        header_len = left;
    packet->payload_offset = w->at + header_len;
    packet->payload_len = left - header_len;
    packet->flags &= (uint8_t)~MR_PACKET_TRUNCATED;
    if (w->cut)
        packet->flags |= MR_PACKET_TRUNCATED;
}

static inline enum mr_drop tcp(struct mr_walk *w)
{
    struct mr_packet *packet = w->packet;
    const uint8_t *header = mr_walk_bytes(w);
    uint32_t left = mr_walk_left(w);
    if (left < TCP_HEADER)
        return MR_DROP_TRUNCATED;
    uint32_t header_len = (header[12] >> 4) * 4u;
    if (header_len < TCP_HEADER || (header_len > left && !w->cut))
        return MR_DROP_BAD_HEADER;
    if (!check(w, left, MR_IP_TCP, 16))
        return MR_DROP_CHECKSUM;
    packet->src.port = mr_be16(header);
    packet->dst.port = mr_be16(header + 2);
    packet->tcp_seq = mr_be32(header + 4);
    packet->tcp_ack = mr_be32(header + 8);
    packet->tcp_flags = header[13];
    packet->tcp_window = mr_be16(header + 14);
    packet->tcp_urgent = mr_be16(header + 18);
    set_payload(w, header_len);
    return MR_DROP_NONE;
}

static enum mr_drop udp(struct mr_walk *w)
{
    struct mr_packet *packet = w->packet;
    const uint8_t *header = mr_walk_bytes(w);
    uint32_t left = mr_walk_left(w);
    if (left < UDP_HEADER)
        return MR_DROP_TRUNCATED;
    uint32_t len = mr_be16(header + 4);
    if (len == 0)
        len = left; /* longer than the field can say */
    if (len < UDP_HEADER || (len > left && !w->cut))
        return MR_DROP_BAD_HEADER;
    packet->src.port = mr_be16(header);
    packet->dst.port = mr_be16(header + 2);
    bool summed = header[6] | header[7];
    uint16_t to = packet->dst.port;
    /* over IPv6 only tunnels may go without (RFC 6935) */
    if (packet->src.family == 6 && to != MR_PORT_VXLAN && to != MR_PORT_VXLAN_LINUX &&
        to != MR_PORT_GENEVE && to != MR_PORT_GTP_U)
        summed = true;
    if (len <= left) {
        w->end = w->at + len;
        w->cut = false;
    }
    if (summed && !check(w, len, MR_IP_UDP, 6))
        return MR_DROP_CHECKSUM;
    set_payload(w, UDP_HEADER);
    return mr_decode_udp_tunnel(w);
}

/* ICMP and ICMPv6, whose headers have 8 bytes in all messages that carry a payload. */
static enum mr_drop icmp(struct mr_walk *w, uint8_t protocol)
{
    uint32_t left = mr_walk_left(w);
    if (left < ICMP_HEADER_MIN)
        return MR_DROP_TRUNCATED;
    if (!check(w, left, protocol, 2))
        return MR_DROP_CHECKSUM;
    set_payload(w, ICMP_HEADER);
    return MR_DROP_NONE;
}

enum mr_drop mr_decode_transport(struct mr_walk *w, uint8_t protocol)
{
    struct mr_packet *packet = w->packet;
    packet->src.protocol = packet->dst.protocol = protocol;
    packet->l4_offset = w->at;
    switch (protocol) {
    case MR_IP_TCP:
        return tcp(w);
    case MR_IP_UDP:
        return udp(w);
    case MR_IP_ICMP:
    case MR_IP_ICMPV6:
        return icmp(w, protocol);
    default:
        set_payload(w, 0);
        return mr_decode_tunnel(w, protocol);
    }
}
