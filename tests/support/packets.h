/* Packets and capture files made in memory, for tests: frames layer by layer with right lengths and
 * checksums, and pcap and pcapng files of every flavour.
 *
 *     struct pk_frame f;
 *     pk_start(&f);
 *     pk_ethernet(&f);
 *     pk_vlan(&f, 7);
 *     pk_ipv4(&f, "10.0.0.1", "10.0.0.2");
 *     pk_tcp(&f, 1025, 25, 1000, 0, MR_TCP_SYN);
 *     pk_payload(&f, "EHLO x\r\n", 8);
 *     pk_finish(&f);
 *
 * Layers are added outermost first. pk_finish() fills in what the layers leave open: types of the
 * next layer, lengths, checksums. What a test wants wrong it changes afterwards, at f.data.
 */
#ifndef MR_TEST_PACKETS_H
#define MR_TEST_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PK_FRAME_MAX  70000
#define PK_LAYERS_MAX 32

enum pk_layer_kind {
    PK_ETHERNET,
    PK_VLAN,
    PK_MPLS,
    PK_SLL,
    PK_SLL2,
    PK_NULL,
    PK_LOOP,
    PK_IPV4,
    PK_IPV6,
    PK_EXTENSION,
    PK_GRE,
    PK_VXLAN,
    PK_TCP,
    PK_UDP,
    PK_ICMP,
    PK_ICMPV6,
    PK_PAYLOAD
};

struct pk_layer {
    enum pk_layer_kind kind;
    uint32_t at;
};

struct pk_frame {
    uint8_t data[PK_FRAME_MAX];
    uint32_t len;
    uint32_t n_layers;
    struct pk_layer layers[PK_LAYERS_MAX];
};

void pk_start(struct pk_frame *f);

/* Link layers. A frame of raw IP begins with pk_ipv4() or pk_ipv6(). */
void pk_ethernet(struct pk_frame *f);
void pk_vlan(struct pk_frame *f, uint16_t id);         /* 802.1Q */
void pk_vlan_service(struct pk_frame *f, uint16_t id); /* 802.1ad */
void pk_mpls(struct pk_frame *f, uint32_t label);      /* the last of a stack is its bottom */
void pk_sll(struct pk_frame *f);                       /* Linux cooked v1 */
void pk_sll2(struct pk_frame *f);                      /* Linux cooked v2 */
void pk_null(struct pk_frame *f, bool big_endian, uint8_t family); /* 2, 10, 24, 28, 30 */
void pk_loop(struct pk_frame *f);

/* Networks. Returns the offset of the header. */
uint32_t pk_ipv4(struct pk_frame *f, const char *src, const char *dst);
uint32_t pk_ipv4_options(struct pk_frame *f, const char *src, const char *dst, const void *options,
                         uint32_t len); /* len: multiple of 4, at most 40 */
uint32_t pk_ipv6(struct pk_frame *f, const char *src, const char *dst);
/* An IPv6 extension header of `kind` (0, 43, 44, 51, 60, ...) and `len` bytes in all; the bytes
 * behind the first two are zero, to be set by the caller at the offset returned. */
uint32_t pk_extension(struct pk_frame *f, uint8_t kind, uint32_t len);
/* Makes the last IPv4 layer a fragment; offset in bytes. For IPv6: pk_extension(f, 44, 8) first. */
void pk_fragment(struct pk_frame *f, uint32_t id, uint32_t offset, bool more);

/* Tunnels. GRE version 0 with the optional fields that `flags` asks for (0x8000 checksum, 0x2000
 * key, 0x1000 sequence); VXLAN adds its UDP layer itself and wants an Ethernet layer behind it. */
uint32_t pk_gre(struct pk_frame *f, uint16_t flags);
uint32_t pk_vxlan(struct pk_frame *f, uint32_t vni);

/* Transports. */
uint32_t pk_tcp(struct pk_frame *f, uint16_t sport, uint16_t dport, uint32_t seq, uint32_t ack,
                uint8_t flags);
uint32_t pk_tcp_options(struct pk_frame *f, uint16_t sport, uint16_t dport, uint32_t seq,
                        uint32_t ack, uint8_t flags, const void *options, uint32_t len);
uint32_t pk_udp(struct pk_frame *f, uint16_t sport, uint16_t dport);
uint32_t pk_icmp(struct pk_frame *f, uint8_t type, uint8_t code);
uint32_t pk_icmpv6(struct pk_frame *f, uint8_t type, uint8_t code);
void pk_payload(struct pk_frame *f, const void *bytes, uint32_t len);
void pk_fill(struct pk_frame *f, uint32_t len); /* a payload of that many changing bytes */

void pk_finish(struct pk_frame *f);
/* Bytes behind the end of the datagram, as Ethernet pads; after pk_finish(). */
void pk_pad(struct pk_frame *f, uint32_t len);

/* The Internet checksum of bytes, straightforward: the reference for the engine's own. */
uint16_t pk_checksum(const void *bytes, uint32_t len, uint32_t start);

/* Short cuts: Ethernet, IPv4, TCP or UDP, payload; finished. */
void pk_tcp4(struct pk_frame *f, const char *src, uint16_t sport, const char *dst, uint16_t dport,
             uint32_t seq, uint32_t ack, uint8_t flags, const void *payload, uint32_t len);
void pk_udp4(struct pk_frame *f, const char *src, uint16_t sport, const char *dst, uint16_t dport,
             const void *payload, uint32_t len);

/* A capture file in memory. */
struct pk_capture {
    uint8_t *bytes; /* the file so far */
    size_t len, room;
    bool big_endian, nanosecond, pcapng;
};

/* Begins a pcap file (pk_capture_free() in the end). */
void pk_pcap(struct pk_capture *c, uint32_t link_type, bool nanosecond, bool big_endian);
/* A record; wire_len 0 means len. */
void pk_pcap_bytes(struct pk_capture *c, uint64_t time_ns, const void *bytes, uint32_t len,
                   uint32_t wire_len);
void pk_pcap_frame(struct pk_capture *c, uint64_t time_ns, const struct pk_frame *f);

/* Begins a pcapng file, or (c already begun) a new section, which may have another byte order. */
void pk_ng(struct pk_capture *c);
void pk_ng_section(struct pk_capture *c, bool big_endian);
/* resolution: as if_tsresol; -1: no such option. */
void pk_ng_interface(struct pk_capture *c, uint16_t link_type, uint32_t snaplen, int resolution);
void pk_ng_packet(struct pk_capture *c, uint32_t interface, uint64_t time, const void *bytes,
                  uint32_t len, uint32_t wire_len);
void pk_ng_simple(struct pk_capture *c, const void *bytes, uint32_t len, uint32_t wire_len);
void pk_ng_obsolete(struct pk_capture *c, uint16_t interface, uint64_t time, const void *bytes,
                    uint32_t len, uint32_t wire_len);
void pk_ng_block(struct pk_capture *c, uint32_t type, const void *body, uint32_t len);

/* Appends bytes as they are; integers in the file's byte order. */
void pk_raw(struct pk_capture *c, const void *bytes, size_t len);
void pk_raw16(struct pk_capture *c, uint16_t v);
void pk_raw32(struct pk_capture *c, uint32_t v);

/* Writes the file to `path`; false when that fails. */
bool pk_save(const struct pk_capture *c, const char *path);
void pk_capture_free(struct pk_capture *c);

#endif
