/* IP inside IP: plain, GRE, VXLAN. */
#include "packet/walk.h"

#define GRE_CHECKSUM 0x8000u
#define GRE_ROUTING  0x4000u
#define GRE_KEY      0x2000u
#define GRE_SEQUENCE 0x1000u
#define GRE_ACK      0x0080u /* version 1 */
#define GRE_VERSION  0x0007u
#define ERSPAN_2     8u /* bytes of its header */
#define ERSPAN_3     12u
#define ERSPAN_3_TAG 8u
#define VXLAN_HEADER 8u
#define VXLAN_VALID  0x08

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

enum mr_drop mr_decode_vxlan(const struct mr_walk *w)
{
    uint32_t udp_header = w->packet->payload_offset - w->at;
    if (w->packet->payload_len < VXLAN_HEADER ||
        !(w->packet->data[w->packet->payload_offset] & VXLAN_VALID))
        return MR_DROP_NONE;
    return inside(w, udp_header + VXLAN_HEADER, MR_ETHER_TEB, false);
}
