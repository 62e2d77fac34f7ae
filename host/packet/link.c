/* Link layers, and what stands between them and IP: VLAN tags, MPLS labels, LLC, PPP. */
#include "packet/walk.h"

#define ETHERNET_HEADER 14u
#define VLAN_TAGS_MAX   3
#define TYPE_MIN        1536u /* smaller ones are the length of an 802.3 frame */
#define SLL_HEADER      16u
#define SLL2_HEADER     20u
#define SLL_LLC         4

enum link_type {
    LINK_NULL = 0,
    LINK_ETHERNET = 1,
    LINK_PPP = 9,
    LINK_RAW_BSD = 12,
    LINK_RAW_OPENBSD = 14,
    LINK_RAW = 101,
    LINK_LOOP = 108,
    LINK_LINUX_SLL = 113,
    LINK_IPV4 = 228,
    LINK_IPV6 = 229,
    LINK_LINUX_SLL2 = 276
};

enum mr_drop mr_decode_ethernet(struct mr_walk *w)
{
    if (mr_walk_left(w) < ETHERNET_HEADER)
        return MR_DROP_TRUNCATED;
    uint16_t type = mr_be16(mr_walk_bytes(w) + 12);
    w->at += ETHERNET_HEADER;
    return mr_decode_type(w, type < TYPE_MIN ? MR_ETHER_LLC : type);
}

/* The tags of one frame; the packet takes the first three, of all frames it is in. */
static enum mr_drop vlan(struct mr_walk *w)
{
    struct mr_packet *packet = w->packet;
    for (int tags = 1; tags <= VLAN_TAGS_MAX; tags++) {
        const uint8_t *tag = mr_walk_bytes(w);
        if (mr_walk_left(w) < 4)
            return MR_DROP_TRUNCATED;
        if (packet->n_vlan < VLAN_TAGS_MAX)
            packet->vlan[packet->n_vlan++] = mr_be16(tag) & 0xfff;
        uint16_t type = mr_be16(tag + 2);
        w->at += 4;
        if (type != MR_ETHER_VLAN && type != MR_ETHER_VLAN_SERVICE && type != MR_ETHER_VLAN_OLD)
            return mr_decode_type(w, type < TYPE_MIN ? MR_ETHER_LLC : type);
    }
    return MR_DROP_TUNNEL_DEPTH;
}

/* Labels do not say what they carry: a first nibble of 4 or 6 is IP, one of 0 a pseudo-wire's
 * control word with Ethernet behind it. */
static enum mr_drop mpls(struct mr_walk *w)
{
    bool bottom = false;
    for (int labels = 0; !bottom; labels++) {
        if (mr_walk_left(w) < 5)
            return MR_DROP_TRUNCATED;
        if (labels == MR_DECODE_DEPTH)
            return MR_DROP_TUNNEL_DEPTH;
        bottom = mr_walk_bytes(w)[2] & 1;
        w->at += 4;
    }
    switch (mr_walk_bytes(w)[0] >> 4) {
    case 4:
        return mr_decode_ipv4(w);
    case 6:
        return mr_decode_ipv6(w);
    case 0:
        if (++w->depth > MR_DECODE_DEPTH)
            return MR_DROP_TUNNEL_DEPTH;
        if (mr_walk_left(w) < 4)
            return MR_DROP_TRUNCATED;
        w->at += 4;
        return mr_decode_ethernet(w);
    default:
        return MR_DROP_NOT_IP;
    }
}

/* 802.2 with SNAP, which names an Ethernet type. */
static enum mr_drop llc(struct mr_walk *w)
{
    static const uint8_t snap[6] = {0xaa, 0xaa, 3, 0, 0, 0};
    const uint8_t *header = mr_walk_bytes(w);
    if (mr_walk_left(w) < 8 || memcmp(header, snap, sizeof snap) != 0)
        return MR_DROP_NOT_IP;
    uint16_t type = mr_be16(header + 6);
    w->at += 8;
    return type < TYPE_MIN ? MR_DROP_NOT_IP : mr_decode_type(w, type);
}

enum mr_drop mr_decode_ppp(struct mr_walk *w)
{
    const uint8_t *header = mr_walk_bytes(w);
    uint32_t left = mr_walk_left(w), n = 0;
    if (left >= 2 && header[0] == 0xff && header[1] == 3)
        n = 2; /* address and control, which may be left out */
    if (left < n + 2)
        return MR_DROP_TRUNCATED;
    bool one_byte = header[n] & 1;
    uint16_t protocol = one_byte ? header[n] : mr_be16(header + n);
    w->at += n + (one_byte ? 1 : 2);
    if (protocol == 0x21)
        return mr_decode_ipv4(w);
    return protocol == 0x57 ? mr_decode_ipv6(w) : MR_DROP_NOT_IP;
}

static enum mr_drop pppoe(struct mr_walk *w)
{
    const uint8_t *header = mr_walk_bytes(w);
    if (mr_walk_left(w) < 6)
        return MR_DROP_TRUNCATED;
    if (header[0] != 0x11 || header[1] != 0)
        return MR_DROP_NOT_IP;
    w->at += 6;
    return mr_decode_ppp(w);
}

enum mr_drop mr_decode_type(struct mr_walk *w, uint16_t ether_type)
{
    switch (ether_type) {
    case MR_ETHER_IPV4:
        return mr_decode_ipv4(w);
    case MR_ETHER_IPV6:
        return mr_decode_ipv6(w);
    case MR_ETHER_VLAN:
    case MR_ETHER_VLAN_SERVICE:
    case MR_ETHER_VLAN_OLD:
        return vlan(w);
    case MR_ETHER_MPLS:
    case MR_ETHER_MPLS_MULTICAST:
        return mpls(w);
    case MR_ETHER_PPPOE:
        return pppoe(w);
    case MR_ETHER_PPP:
        return mr_decode_ppp(w);
    case MR_ETHER_TEB:
        /* Ethernet in Ethernet by this type alone is nothing that exists */
        return w->depth ? mr_decode_ethernet(w) : MR_DROP_NOT_IP;
    case MR_ETHER_LLC:
        return llc(w);
    default:
        return MR_DROP_NOT_IP;
    }
}

static enum mr_drop raw(struct mr_walk *w)
{
    if (!mr_walk_left(w))
        return MR_DROP_TRUNCATED;
    switch (mr_walk_bytes(w)[0] >> 4) {
    case 4:
        return mr_decode_ipv4(w);
    case 6:
        return mr_decode_ipv6(w);
    default:
        return MR_DROP_NOT_IP;
    }
}

/* Four bytes with the capturing system's number for the address family, in its byte order. */
static enum mr_drop null(struct mr_walk *w)
{
    if (mr_walk_left(w) < 4)
        return MR_DROP_TRUNCATED;
    uint32_t family = mr_be32(mr_walk_bytes(w));
    if (family > 0xffff)
        family = __builtin_bswap32(family);
    w->at += 4;
    switch (family) {
    case 2:
        return mr_decode_ipv4(w);
    case 10: /* Linux */
    case 24: /* NetBSD, OpenBSD */
    case 28: /* FreeBSD */
    case 30: /* macOS */
        return mr_decode_ipv6(w);
    default:
        return MR_DROP_NOT_IP;
    }
}

/* Linux cooked: the header of `len` bytes has an Ethernet type at `type_at`. */
static enum mr_drop cooked(struct mr_walk *w, uint32_t len, uint32_t type_at)
{
    if (mr_walk_left(w) < len)
        return MR_DROP_TRUNCATED;
    uint16_t type = mr_be16(mr_walk_bytes(w) + type_at);
    w->at += len;
    if (type == SLL_LLC)
        type = MR_ETHER_LLC;
    else if (type < TYPE_MIN)
        return MR_DROP_NOT_IP;
    return mr_decode_type(w, type);
}

enum mr_drop mr_decode_link(struct mr_walk *w)
{
    switch (w->packet->link_type) {
    case LINK_ETHERNET:
        return mr_decode_ethernet(w);
    case LINK_RAW:
    case LINK_RAW_BSD:
    case LINK_RAW_OPENBSD:
    case LINK_IPV4:
    case LINK_IPV6:
        return raw(w);
    case LINK_NULL:
    case LINK_LOOP:
        return null(w);
    case LINK_LINUX_SLL:
        return cooked(w, SLL_HEADER, 14);
    case LINK_LINUX_SLL2:
        return cooked(w, SLL2_HEADER, 0);
    case LINK_PPP:
        return mr_decode_ppp(w);
    default:
        return MR_DROP_LINK_TYPE;
    }
}

bool mr_link_type_supported(uint16_t link_type)
{
    struct mr_packet packet = {.data = (const uint8_t *)"", .link_type = link_type};
    struct mr_walk w = {.packet = &packet};
    return mr_decode_link(&w) != MR_DROP_LINK_TYPE;
}

const char *mr_link_type_name(uint16_t link_type)
{
    static const struct {
        uint16_t number;
        const char *name;
    } names[] = {
        {LINK_NULL, "BSD loopback"},
        {LINK_ETHERNET, "Ethernet"},
        {6, "token ring"},
        {8, "SLIP"},
        {LINK_PPP, "PPP"},
        {10, "FDDI"},
        {LINK_RAW_BSD, "raw IP"},
        {LINK_RAW_OPENBSD, "raw IP"},
        {50, "PPP in HDLC framing"},
        {LINK_RAW, "raw IP"},
        {104, "Cisco HDLC"},
        {105, "IEEE 802.11"},
        {107, "Frame Relay"},
        {LINK_LOOP, "OpenBSD loopback"},
        {LINK_LINUX_SLL, "Linux cooked"},
        {117, "OpenBSD pflog"},
        {119, "IEEE 802.11 with Prism header"},
        {127, "IEEE 802.11 with radiotap"},
        {187, "Bluetooth HCI"},
        {189, "USB"},
        {192, "per-packet information"},
        {195, "IEEE 802.15.4"},
        {197, "Endace ERF"},
        {201, "Bluetooth HCI with direction"},
        {220, "USB"},
        {227, "CAN bus"},
        {LINK_IPV4, "raw IPv4"},
        {LINK_IPV6, "raw IPv6"},
        {230, "IEEE 802.15.4"},
        {239, "Linux netfilter log"},
        {247, "InfiniBand"},
        {249, "USB"},
        {251, "Bluetooth low energy"},
        {252, "Wireshark upper-layer PDU"},
        {253, "Linux netlink"},
        {LINK_LINUX_SLL2, "Linux cooked version 2"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].number == link_type)
            return names[i].name;
    }
    return "unknown";
}
