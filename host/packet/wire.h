/* Reading integers of the wire, at any alignment, and the numbers that headers are told by. */
#ifndef MR_PACKET_WIRE_H
#define MR_PACKET_WIRE_H

#include <stdint.h>
#include <string.h>

static inline uint16_t mr_be16(const uint8_t *at)
{
    uint16_t v;
    memcpy(&v, at, 2);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap16(v) : v;
}

static inline uint32_t mr_be32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, 4);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap32(v) : v;
}

enum mr_ether_type {
    MR_ETHER_IPV4 = 0x0800,
    MR_ETHER_TEB = 0x6558, /* Ethernet in GRE */
    MR_ETHER_VLAN = 0x8100,
    MR_ETHER_IPV6 = 0x86dd,
    MR_ETHER_PPP = 0x880b, /* in GRE version 1 */
    MR_ETHER_MPLS = 0x8847,
    MR_ETHER_MPLS_MULTICAST = 0x8848,
    MR_ETHER_PPPOE = 0x8864,
    MR_ETHER_VLAN_SERVICE = 0x88a8, /* 802.1ad */
    MR_ETHER_ERSPAN = 0x88be,       /* types I and II */
    MR_ETHER_ERSPAN_3 = 0x22eb,
    MR_ETHER_VLAN_OLD = 0x9100, /* what QinQ used before 802.1ad */
    MR_ETHER_LLC = 1            /* an 802.3 frame: LLC follows; no real type is below 1536 */
};

enum mr_ip_protocol {
    MR_IP_HOP_BY_HOP = 0,
    MR_IP_ICMP = 1,
    MR_IP_IPV4 = 4,
    MR_IP_TCP = 6,
    MR_IP_UDP = 17,
    MR_IP_IPV6 = 41,
    MR_IP_ROUTING = 43,
    MR_IP_FRAGMENT = 44,
    MR_IP_GRE = 47,
    MR_IP_AH = 51,
    MR_IP_ICMPV6 = 58,
    MR_IP_NONE = 59,
    MR_IP_DESTINATION = 60,
    MR_IP_MOBILITY = 135,
    MR_IP_HIP = 139,
    MR_IP_SHIM6 = 140
};

#define MR_PORT_VXLAN       4789
#define MR_PORT_VXLAN_LINUX 8472 /* what Linux takes unless told otherwise */
#define MR_PORT_GENEVE      6081
#define MR_PORT_GTP_U       2152
#define MR_PORT_TEREDO      3544

#endif
