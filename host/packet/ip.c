/* IPv4 and IPv6: lengths, fragments, extension headers. */
#include "packet/checksum.h"
#include "packet/walk.h"

#define IPV4_HEADER    20u
#define IPV6_HEADER    40u
#define EXTENSIONS_MAX 16
#define MORE_FRAGMENTS 0x2000u
#define IPV4_OFFSET    0x1fffu

/* The layer that begins at w->at has `len` bytes by its own account: what is behind is padding,
 * what is missing was not captured. False: it claims more than the frame had on the wire. */
static inline bool bound(struct mr_walk *w, uint32_t len)
{
    uint32_t left = mr_walk_left(w);
    if (len > left)
        return w->cut;
    w->end = w->at + len;
    w->cut = false;
    return true;
}

static inline void set_endpoints(struct mr_walk *w, const uint8_t *addresses, uint8_t family)
{
    struct mr_packet *packet = w->packet;
    uint32_t zone = (packet->vlan[0] & 0xfffu) | (packet->vlan[1] & 0xfffu) << 12;
    uint32_t bytes = family == 4 ? 4 : 16;
    packet->l3_offset = w->at;
    packet->src = (struct mr_endpoint){.family = family, .zone = zone};
    packet->dst = (struct mr_endpoint){.family = family, .zone = zone};
    memcpy(packet->src.address, addresses, bytes);
    memcpy(packet->dst.address, addresses + bytes, bytes);
}

/* A fragment is at w->at: the packet says whose, the view says which part. */
static enum mr_drop fragment(struct mr_walk *w, uint8_t protocol, uint32_t id, uint32_t offset,
                             bool more, uint32_t unfragmentable_len)
{
    struct mr_packet *packet = w->packet;
    if (w->cut)
        return MR_DROP_TRUNCATED; /* nothing whole can be made of it */
    packet->flags &= (uint8_t)~MR_PACKET_TRUNCATED;
    packet->flags |= MR_PACKET_FRAGMENT;
    packet->src.protocol = packet->dst.protocol = protocol;
    packet->l4_offset = packet->payload_offset = w->at;
    packet->payload_len = 0;
    *w->fragment = (struct mr_fragment_view){.id = id,
                                             .offset = offset,
                                             .payload_offset = w->at,
                                             .payload_len = mr_walk_left(w),
                                             .next_protocol = protocol,
                                             .more = more,
                                             .unfragmentable_len = unfragmentable_len};
    return MR_DROP_NONE;
}

enum mr_drop mr_decode_ipv4(struct mr_walk *w)
{
    const uint8_t *header = mr_walk_bytes(w);
    uint32_t left = mr_walk_left(w);
    if (left < IPV4_HEADER)
        return MR_DROP_TRUNCATED;
    uint32_t header_len = (header[0] & 15u) * 4, total = mr_be16(header + 2);
    if (header[0] >> 4 != 4 || header_len < IPV4_HEADER)
        return MR_DROP_BAD_HEADER;
    if (left < header_len)
        return MR_DROP_TRUNCATED;
    /* 0: too long for the field, of a host that leaves cutting it up to its network card */
    if (total && total < header_len)
        return MR_DROP_BAD_HEADER;
    if (total && !bound(w, total))
        return MR_DROP_TRUNCATED;
    set_endpoints(w, header + 12, 4);
    w->packet->ttl = header[8];
    w->rerouted = false;
    if (mr_checksum_wanted(w->decoder)) {
        uint64_t sum = mr_sum_20(header);
        if (header_len > IPV4_HEADER)
            sum += mr_sum(header + IPV4_HEADER, header_len - IPV4_HEADER);
        if (mr_sum_fold(sum) != 0xffff && !mr_checksum_pardon(w, mr_be16(header + 10) == 0))
            return MR_DROP_CHECKSUM;
    }
    w->at += header_len;
    uint32_t part = mr_be16(header + 6);
    if (part & (MORE_FRAGMENTS | IPV4_OFFSET))
        return fragment(w, header[9], mr_be16(header + 4), (part & IPV4_OFFSET) * 8,
                        part & MORE_FRAGMENTS, header_len);
    return mr_decode_transport(w, header[9]);
}

/* The length of the extension header at `header`, 2 bytes of which are there. */
static uint32_t extension_len(uint8_t kind, const uint8_t *header)
{
    return kind == MR_IP_AH ? (header[1] + 2u) * 4 : (header[1] + 1u) * 8;
}

/* Walks the extension headers and goes on with what they lead to. */
static enum mr_drop extensions(struct mr_walk *w, uint8_t kind)
{
    for (int i = 0; i < EXTENSIONS_MAX; i++) {
        const uint8_t *header = mr_walk_bytes(w);
        uint32_t left = mr_walk_left(w), len;
        switch (kind) {
        case MR_IP_HOP_BY_HOP:
            if (i > 0)
                return MR_DROP_BAD_HEADER;
            break;
        case MR_IP_ROUTING:
            w->rerouted = left >= 4 && header[3] > 0;
            break;
        case MR_IP_FRAGMENT:
            if (left < 8)
                return MR_DROP_TRUNCATED;
            w->at += 8;
            uint32_t part = mr_be16(header + 2);
            kind = header[0];
            if (part & 0xfff9) /* otherwise a fragment in name only (RFC 6946) */
                return fragment(w, kind, mr_be32(header + 4), part & 0xfff8, part & 1,
                                w->at - 8 - w->packet->l3_offset);
            continue;
        case MR_IP_AH:
        case MR_IP_DESTINATION:
        case MR_IP_MOBILITY:
        case MR_IP_HIP:
        case MR_IP_SHIM6:
            break;
        default:
            return mr_decode_transport(w, kind);
        }
        if (left < 8 || (len = extension_len(kind, header)) > left)
            return MR_DROP_TRUNCATED;
        kind = header[0];
        w->at += len;
    }
    return MR_DROP_TUNNEL_DEPTH;
}

enum mr_drop mr_decode_ipv6(struct mr_walk *w)
{
    const uint8_t *header = mr_walk_bytes(w);
    if (mr_walk_left(w) < IPV6_HEADER)
        return MR_DROP_TRUNCATED;
    if (header[0] >> 4 != 6)
        return MR_DROP_BAD_HEADER;
    uint32_t len = mr_be16(header + 4);
    /* 0: a jumbogram, or as with IPv4 */
    if ((len || header[6] == MR_IP_NONE) && !bound(w, IPV6_HEADER + len))
        return MR_DROP_TRUNCATED;
    set_endpoints(w, header + 8, 6);
    w->packet->ttl = header[7];
    w->rerouted = false;
    w->at += IPV6_HEADER;
    return extensions(w, header[6]);
}
