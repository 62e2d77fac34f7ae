/* Frames made layer by layer. */
#include "packets.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static void put16(uint8_t *to, uint32_t v)
{
    to[0] = (uint8_t)(v >> 8);
    to[1] = (uint8_t)v;
}

static void put32(uint8_t *to, uint32_t v)
{
    put16(to, v >> 16);
    put16(to + 2, v & 0xffff);
}

static uint8_t *add(struct pk_frame *f, enum pk_layer_kind kind, uint32_t len)
{
    if (f->n_layers == PK_LAYERS_MAX || len > PK_FRAME_MAX - f->len)
        abort(); /* a mistake of the test's author */
    uint8_t *at = f->data + f->len;
    memset(at, 0, len);
    f->layers[f->n_layers++] = (struct pk_layer){kind, f->len};
    f->len += len;
    return at;
}

void pk_start(struct pk_frame *f)
{
    f->len = 0;
    f->n_layers = 0;
}

void pk_ethernet(struct pk_frame *f)
{
    memcpy(add(f, PK_ETHERNET, 14), "\x02\0\0\0\0\2\x02\0\0\0\0\1", 12);
}

static void type_of_next(struct pk_frame *f, uint32_t layer, uint16_t type);

static void vlan(struct pk_frame *f, uint16_t id, uint16_t type)
{
    type_of_next(f, f->n_layers - 1, type);
    put16(add(f, PK_VLAN, 4), id);
}

void pk_vlan(struct pk_frame *f, uint16_t id)
{
    vlan(f, id, 0x8100);
}

void pk_vlan_service(struct pk_frame *f, uint16_t id)
{
    vlan(f, id, 0x88a8);
}

void pk_mpls(struct pk_frame *f, uint32_t label)
{
    put32(add(f, PK_MPLS, 4), label << 12 | 64);
}

void pk_sll(struct pk_frame *f)
{
    uint8_t *h = add(f, PK_SLL, 16);
    put16(h + 2, 1);
    put16(h + 4, 6);
}

void pk_sll2(struct pk_frame *f)
{
    uint8_t *h = add(f, PK_SLL2, 20);
    put32(h + 4, 2);
    put16(h + 8, 1);
    h[11] = 6;
}

void pk_null(struct pk_frame *f, bool big_endian, uint8_t family)
{
    add(f, PK_NULL, 4)[big_endian ? 3 : 0] = family;
}

void pk_loop(struct pk_frame *f)
{
    add(f, PK_LOOP, 4)[3] = 2;
}

uint32_t pk_ipv4_options(struct pk_frame *f, const char *src, const char *dst, const void *options,
                         uint32_t len)
{
    uint8_t *h = add(f, PK_IPV4, 20 + len);
    h[0] = (uint8_t)(0x40 | (20 + len) / 4);
    put16(h + 4, 1);
    h[8] = 64;
    if (inet_pton(AF_INET, src, h + 12) != 1 || inet_pton(AF_INET, dst, h + 16) != 1)
        abort();
    if (len)
        memcpy(h + 20, options, len);
    return f->len - 20 - len;
}

uint32_t pk_ipv4(struct pk_frame *f, const char *src, const char *dst)
{
    return pk_ipv4_options(f, src, dst, NULL, 0);
}

uint32_t pk_ipv6(struct pk_frame *f, const char *src, const char *dst)
{
    uint8_t *h = add(f, PK_IPV6, 40);
    h[0] = 0x60;
    h[7] = 64;
    if (inet_pton(AF_INET6, src, h + 8) != 1 || inet_pton(AF_INET6, dst, h + 24) != 1)
        abort();
    return f->len - 40;
}

static void chain(struct pk_frame *f, uint32_t layer, uint8_t protocol);

uint32_t pk_extension(struct pk_frame *f, uint8_t kind, uint32_t len)
{
    chain(f, f->n_layers - 1, kind);
    uint8_t *h = add(f, PK_EXTENSION, len);
    h[1] = (uint8_t)(kind == 44 ? 0 : kind == 51 ? len / 4 - 2 : len / 8 - 1);
    return f->len - len;
}

void pk_fragment(struct pk_frame *f, uint32_t id, uint32_t offset, bool more)
{
    struct pk_layer *layer = &f->layers[f->n_layers - 1];
    uint8_t *h = f->data + layer->at;
    if (layer->kind == PK_IPV4) {
        put16(h + 4, id);
        put16(h + 6, offset / 8 | (more ? 0x2000u : 0));
    } else {
        put16(h + 2, offset | (more ? 1u : 0));
        put32(h + 4, id);
    }
}

uint32_t pk_gre(struct pk_frame *f, uint16_t flags)
{
    uint32_t len = 4;
    for (uint32_t bit = 0x8000; bit >= 0x1000; bit >>= 1)
        len += bit != 0x4000 && (flags & bit) ? 4 : 0;
    put16(add(f, PK_GRE, len), flags);
    return f->len - len;
}

uint32_t pk_vxlan(struct pk_frame *f, uint32_t vni)
{
    pk_udp(f, 49152, 4789);
    uint8_t *h = add(f, PK_VXLAN, 8);
    h[0] = 8;
    put32(h + 4, vni << 8);
    return f->len - 8;
}

uint32_t pk_tcp_options(struct pk_frame *f, uint16_t sport, uint16_t dport, uint32_t seq,
                        uint32_t ack, uint8_t flags, const void *options, uint32_t len)
{
    uint8_t *h = add(f, PK_TCP, 20 + len);
    put16(h, sport);
    put16(h + 2, dport);
    put32(h + 4, seq);
    put32(h + 8, ack);
    h[12] = (uint8_t)((20 + len) / 4 << 4);
    h[13] = flags;
    put16(h + 14, 8192);
    if (len)
        memcpy(h + 20, options, len);
    return f->len - 20 - len;
}

uint32_t pk_tcp(struct pk_frame *f, uint16_t sport, uint16_t dport, uint32_t seq, uint32_t ack,
                uint8_t flags)
{
    return pk_tcp_options(f, sport, dport, seq, ack, flags, NULL, 0);
}

uint32_t pk_udp(struct pk_frame *f, uint16_t sport, uint16_t dport)
{
    uint8_t *h = add(f, PK_UDP, 8);
    put16(h, sport);
    put16(h + 2, dport);
    return f->len - 8;
}

uint32_t pk_icmp(struct pk_frame *f, uint8_t type, uint8_t code)
{
    uint8_t *h = add(f, PK_ICMP, 8);
    h[0] = type;
    h[1] = code;
    return f->len - 8;
}

uint32_t pk_icmpv6(struct pk_frame *f, uint8_t type, uint8_t code)
{
    uint8_t *h = add(f, PK_ICMPV6, 8);
    h[0] = type;
    h[1] = code;
    return f->len - 8;
}

void pk_payload(struct pk_frame *f, const void *bytes, uint32_t len)
{
    uint8_t *at = add(f, PK_PAYLOAD, len);
    if (len)
        memcpy(at, bytes, len);
}

void pk_fill(struct pk_frame *f, uint32_t len)
{
    uint8_t *at = add(f, PK_PAYLOAD, len);
    for (uint32_t i = 0; i < len; i++)
        at[i] = (uint8_t)(i * 7 + i / 251);
}

uint16_t pk_checksum(const void *bytes, uint32_t len, uint32_t start)
{
    const uint8_t *b = bytes;
    uint64_t sum = start;
    for (uint32_t i = 0; i < len; i++)
        sum += i % 2 ? b[i] : (uint32_t)b[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* Tells layer number `layer` that `protocol` follows it. */
static void chain(struct pk_frame *f, uint32_t layer, uint8_t protocol)
{
    uint8_t *h = f->data + f->layers[layer].at;
    switch (f->layers[layer].kind) {
    case PK_IPV4:
        h[9] = protocol;
        break;
    case PK_IPV6:
        h[6] = protocol;
        break;
    case PK_EXTENSION:
        h[0] = protocol;
        break;
    default:
        break;
    }
}

/* Tells layer number `layer` that what follows it has this Ethernet type. */
static void type_of_next(struct pk_frame *f, uint32_t layer, uint16_t type)
{
    uint8_t *h = f->data + f->layers[layer].at;
    switch (f->layers[layer].kind) {
    case PK_ETHERNET:
        put16(h + 12, type);
        break;
    case PK_VLAN:
    case PK_GRE:
        put16(h + 2, type);
        break;
    case PK_SLL:
        put16(h + 14, type);
        break;
    case PK_SLL2:
        put16(h, type);
        break;
    case PK_LOOP:
        h[3] = type == 0x86dd ? 24 : 2;
        break;
    case PK_MPLS:
        h[2] |= 1; /* bottom of the stack */
        break;
    default:
        break;
    }
}

static void link_layers(struct pk_frame *f, uint32_t i)
{
    static const uint8_t protocols[] = {
        [PK_IPV4] = 4, [PK_IPV6] = 41, [PK_GRE] = 47,    [PK_TCP] = 6,
        [PK_UDP] = 17, [PK_ICMP] = 1,  [PK_ICMPV6] = 58, [PK_PAYLOAD] = 0};
    enum pk_layer_kind kind = f->layers[i].kind;
    if (kind == PK_IPV4)
        type_of_next(f, i - 1, 0x0800);
    else if (kind == PK_IPV6)
        type_of_next(f, i - 1, 0x86dd);
    else if (kind == PK_MPLS && f->layers[i - 1].kind != PK_MPLS)
        type_of_next(f, i - 1, 0x8847);
    else if (kind == PK_ETHERNET)
        type_of_next(f, i - 1, 0x6558);
    if (kind < sizeof protocols && protocols[kind])
        chain(f, i - 1, protocols[kind]);
}

static uint32_t pseudo_sum(const struct pk_frame *f, uint32_t layer, uint32_t len, uint8_t protocol)
{
    uint32_t i = layer;
    while (i && f->layers[i].kind != PK_IPV4 && f->layers[i].kind != PK_IPV6)
        i--;
    const uint8_t *h = f->data + f->layers[i].at;
    bool v4 = f->layers[i].kind == PK_IPV4;
    const uint8_t *addresses = h + (v4 ? 12 : 8);
    return (uint16_t)~pk_checksum(addresses, v4 ? 8 : 32, 0) + len + protocol;
}

static void finish_transport(struct pk_frame *f, uint32_t i, uint32_t len)
{
    uint8_t *h = f->data + f->layers[i].at;
    uint16_t sum;
    switch (f->layers[i].kind) {
    case PK_TCP:
        put16(h + 16, 0);
        put16(h + 16, pk_checksum(h, len, pseudo_sum(f, i, len, 6)));
        break;
    case PK_UDP:
        put16(h + 4, len);
        put16(h + 6, 0);
        sum = pk_checksum(h, len, pseudo_sum(f, i, len, 17));
        put16(h + 6, sum ? sum : 0xffff);
        break;
    case PK_ICMP:
        put16(h + 2, 0);
        put16(h + 2, pk_checksum(h, len, 0));
        break;
    case PK_ICMPV6:
        put16(h + 2, 0);
        put16(h + 2, pk_checksum(h, len, pseudo_sum(f, i, len, 58)));
        break;
    default:
        break;
    }
}

void pk_finish(struct pk_frame *f)
{
    for (uint32_t i = 1; i < f->n_layers; i++)
        link_layers(f, i);
    for (uint32_t i = f->n_layers; i--;) {
        uint8_t *h = f->data + f->layers[i].at;
        uint32_t len = f->len - f->layers[i].at;
        if (f->layers[i].kind == PK_IPV4) {
            put16(h + 2, len);
            put16(h + 10, 0);
            put16(h + 10, pk_checksum(h, (h[0] & 15u) * 4, 0));
        } else if (f->layers[i].kind == PK_IPV6) {
            put16(h + 4, len - 40);
        } else if (f->layers[i].kind == PK_GRE && (h[0] & 0x80)) {
            put16(h + 4, 0);
            put16(h + 4, pk_checksum(h, len, 0));
        } else {
            finish_transport(f, i, len);
        }
    }
}

void pk_pad(struct pk_frame *f, uint32_t len)
{
    if (len > PK_FRAME_MAX - f->len)
        abort();
    memset(f->data + f->len, 0xee, len);
    f->len += len;
}

void pk_tcp4(struct pk_frame *f, const char *src, uint16_t sport, const char *dst, uint16_t dport,
             uint32_t seq, uint32_t ack, uint8_t flags, const void *payload, uint32_t len)
{
    pk_start(f);
    pk_ethernet(f);
    pk_ipv4(f, src, dst);
    pk_tcp(f, sport, dport, seq, ack, flags);
    pk_payload(f, payload, len);
    pk_finish(f);
}

void pk_udp4(struct pk_frame *f, const char *src, uint16_t sport, const char *dst, uint16_t dport,
             const void *payload, uint32_t len)
{
    pk_start(f);
    pk_ethernet(f);
    pk_ipv4(f, src, dst);
    pk_udp(f, sport, dport);
    pk_payload(f, payload, len);
    pk_finish(f);
}
