/* IP inside IP: plain, GRE, VXLAN, Geneve, GTP-U, Teredo. */
#include "packet/walk.h"

#define GRE_CHECKSUM          0x8000u
#define GRE_ROUTING           0x4000u
#define GRE_KEY               0x2000u
#define GRE_SEQUENCE          0x1000u
#define GRE_ACK               0x0080u /* version 1 */
#define GRE_VERSION           0x0007u
#define ERSPAN_2              8u /* bytes of its header */
#define ERSPAN_3              12u
#define ERSPAN_3_TAG          8u
#define VXLAN_HEADER          8u
#define VXLAN_VALID           0x08

#define GENEVE_HEADER         8u
#define GENEVE_CONTROL        0x80

#define GTP_HEADER            8u
#define GTP_OPTIONAL          4u   /* bytes that any of the three flags brings along */
#define GTP_VERSION_1         0x30 /* and not GTP' */
#define GTP_FLAGS             0x07
#define GTP_EXTENDED          0x04
#define GTP_G_PDU             255
#define GTP_EXTENSIONS        8 /* headers at most */

#define TEREDO_AUTHENTICATION 13u /* bytes, without its two variable parts */
#define TEREDO_ORIGIN         8u

/* Decodes what is inside, at the outer packet's w->at + header_len. `certain`: it is known to be a
 * tunnel, so that what is wrong inside is a reason to drop it. */
static enum mr_drop inside(const struct mr_walk *outer, uint32_t header_len, uint16_t type,
                           bool certain)
{
    struct mr_packet before = *outer->packet;
    struct mr_walk w = *outer;
    if (++w.depth > MR_DECODE_DEPTH)
        return MR_DROP_TUNNEL_DEPTH;
    if (header_len > mr_walk_left(&w))
        return MR_DROP_TRUNCATED;
    w.at += header_len;
    enum mr_drop drop = mr_decode_type(&w, type);
    if (drop == MR_DROP_NONE) {
        w.packet->flags |= MR_PACKET_TUNNELED;
    } else if (drop == MR_DROP_NOT_IP ||
               (!certain && (drop == MR_DROP_TRUNCATED || drop == MR_DROP_BAD_HEADER))) {
        *w.packet = before;
        drop = MR_DROP_NONE;
    }
    return drop;
}

/* Enhanced GRE, which carries PPP (RFC 2637). */
static enum mr_drop gre_1(const struct mr_walk *w, uint32_t flags)
{
    struct mr_walk inner = *w;
    uint32_t header_len = 12 + (flags & GRE_ACK ? 4u : 0u);
    if (!(flags & GRE_KEY) || !(flags & GRE_SEQUENCE))
        return MR_DROP_NONE; /* an acknowledgement only */
    if (mr_walk_left(w) < header_len)
        return MR_DROP_TRUNCATED;
    uint32_t len = mr_be16(mr_walk_bytes(w) + 4);
    if (len <= mr_walk_left(w) - header_len) {
        inner.end = w->at + header_len + len;
        inner.cut = false;
    }
    return inside(&inner, header_len, MR_ETHER_PPP, true);
}

static enum mr_drop gre(const struct mr_walk *w)
{
    const uint8_t *header = mr_walk_bytes(w);
    if (mr_walk_left(w) < 4)
        return MR_DROP_TRUNCATED;
    uint32_t flags = mr_be16(header);
    uint32_t header_len = 4;
    uint16_t type = mr_be16(header + 2);
    if ((flags & GRE_VERSION) == 1)
        return gre_1(w, flags);
    if ((flags & GRE_VERSION) != 0 || (flags & GRE_ROUTING))
        return MR_DROP_NONE; /* nobody takes these any more: not a tunnel for us */
    header_len += (flags & GRE_CHECKSUM ? 4u : 0u) + (flags & GRE_KEY ? 4u : 0u) +
                  (flags & GRE_SEQUENCE ? 4u : 0u);
    if (type == MR_ETHER_ERSPAN) { /* without a sequence number: type I, which has no header */
        header_len += flags & GRE_SEQUENCE ? ERSPAN_2 : 0u;
        type = MR_ETHER_TEB;
    } else if (type == MR_ETHER_ERSPAN_3) {
        header_len += ERSPAN_3;
        if (mr_walk_left(w) < header_len)
            return MR_DROP_TRUNCATED;
        header_len += header[header_len - 1] & 1 ? ERSPAN_3_TAG : 0u;
        type = MR_ETHER_TEB;
    }
    return inside(w, header_len, type, true);
}

enum mr_drop mr_decode_tunnel(const struct mr_walk *w, uint8_t protocol)
{
    switch (protocol) {
    case MR_IP_IPV4:
        return inside(w, 0, MR_ETHER_IPV4, true);
    case MR_IP_IPV6:
        return inside(w, 0, MR_ETHER_IPV6, true);
    case MR_IP_GRE:
        return gre(w);
    default:
        return MR_DROP_NONE;
    }
}

/* What stands behind the UDP header, which w->at still points to. */
struct behind {
    const uint8_t *bytes;
    uint32_t len, udp_header;
};

static struct behind behind_udp(const struct mr_walk *w)
{
    const struct mr_packet *packet = w->packet;
    return (struct behind){packet->data + packet->payload_offset, packet->payload_len,
                           packet->payload_offset - w->at};
}

/* RFC 7348. */
static enum mr_drop vxlan(const struct mr_walk *w)
{
    struct behind b = behind_udp(w);
    if (b.len < VXLAN_HEADER || !(b.bytes[0] & VXLAN_VALID))
        return MR_DROP_NONE;
    return inside(w, b.udp_header + VXLAN_HEADER, MR_ETHER_TEB, false);
}

/* RFC 8926: version 0, options, any Ethernet type. */
static enum mr_drop geneve(const struct mr_walk *w)
{
    struct behind b = behind_udp(w);
    if (b.len < GENEVE_HEADER || b.bytes[0] >> 6 || b.bytes[1] & GENEVE_CONTROL)
        return MR_DROP_NONE;
    uint32_t header_len = GENEVE_HEADER + (b.bytes[0] & 0x3fu) * 4;
    uint16_t type = mr_be16(b.bytes + 2);
    if (b.len < header_len ||
        (type != MR_ETHER_TEB && type != MR_ETHER_IPV4 && type != MR_ETHER_IPV6))
        return MR_DROP_NONE;
    return inside(w, b.udp_header + header_len, type, false);
}

/* IP of the version that the byte in front says; 0: none. */
static uint16_t ip_type(const uint8_t *bytes)
{
    return bytes[0] >> 4 == 4 ? MR_ETHER_IPV4 : bytes[0] >> 4 == 6 ? MR_ETHER_IPV6 : 0;
}

/* 3GPP TS 29.281: user data in mobile networks. */
static enum mr_drop gtp_u(const struct mr_walk *w)
{
    struct behind b = behind_udp(w);
    struct mr_walk inner = *w;
    uint32_t at = GTP_HEADER;

    if (b.len < GTP_HEADER || (b.bytes[0] & 0xf0) != GTP_VERSION_1 || b.bytes[1] != GTP_G_PDU)
        return MR_DROP_NONE;
    uint32_t end = GTP_HEADER + mr_be16(b.bytes + 2);
    if (b.bytes[0] & GTP_FLAGS)
        at += GTP_OPTIONAL;
    if (at >= b.len || (end > b.len && !w->cut) || at >= end)
        return MR_DROP_NONE;
    uint8_t next = b.bytes[0] & GTP_EXTENDED ? b.bytes[at - 1] : 0;
    for (int i = 0; next; i++) {
        uint32_t len = b.bytes[at] * 4u;
        if (!len || i == GTP_EXTENSIONS || at + len >= b.len || at + len >= end)
            return MR_DROP_NONE;
        at += len;
        next = b.bytes[at - 1];
    }
    uint16_t type = ip_type(b.bytes + at);
    if (!type)
        return MR_DROP_NONE;
    if (end <= b.len) {
        inner.end = w->packet->payload_offset + end;
        inner.cut = false;
    }
    return inside(&inner, b.udp_header + at, type, false);
}

/* RFC 4380: IPv6 behind what servers and relays add. */
static enum mr_drop teredo(const struct mr_walk *w)
{
    struct behind b = behind_udp(w);
    uint32_t at = 0;

    if (b.len > TEREDO_AUTHENTICATION && mr_be16(b.bytes) == 1)
        at += TEREDO_AUTHENTICATION + b.bytes[2] + b.bytes[3];
    if (b.len > at + TEREDO_ORIGIN && mr_be16(b.bytes + at) == 0)
        at += TEREDO_ORIGIN;
    if (at >= b.len || ip_type(b.bytes + at) != MR_ETHER_IPV6)
        return MR_DROP_NONE;
    return inside(w, b.udp_header + at, MR_ETHER_IPV6, false);
}

enum mr_drop mr_decode_udp_tunnel(const struct mr_walk *w)
{
    uint16_t from = w->packet->src.port;

    switch (w->packet->dst.port) {
    case MR_PORT_VXLAN:
    case MR_PORT_VXLAN_LINUX:
        return vxlan(w);
    case MR_PORT_GENEVE:
        return geneve(w);
    case MR_PORT_GTP_U:
        return gtp_u(w);
    case MR_PORT_TEREDO:
        return teredo(w);
    default:
        return from == MR_PORT_TEREDO ? teredo(w) : MR_DROP_NONE;
    }
}
