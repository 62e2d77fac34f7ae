/* Decoding a frame, link layer to transport.
 *
 * Link types (LINKTYPE_ numbers): Ethernet 1, null 0, raw IP 101 (and 12, 14), IPv4 228, IPv6 229,
 * loop 108, Linux cooked v1 113 and v2 276, PPP 9. Encapsulations: 802.1Q and 802.1ad (three deep
 * in one frame), MPLS (8 labels), PPPoE, GRE (versions 0 and 1, Ethernet, ERSPAN, PPP and IP
 * payloads), VXLAN (UDP 4789, 8472), Geneve (6081), GTP-U (2152), Teredo (3544), IP in IP, at most
 * MR_DECODE_DEPTH of them; packets describe the innermost IP. Transports: TCP, UDP, ICMP, ICMPv6;
 * of others the IP payload. IPv6 extension headers are walked (RFC 8200), at most 15. What has more
 * of one of these is dropped as MR_DROP_TUNNEL_DEPTH.
 */
#ifndef MR_PACKET_DECODE_H
#define MR_PACKET_DECODE_H

#include "metrics/metrics.h"
#include "millrace/packet.h"

#define MR_DECODE_DEPTH 8

/* As Suricata's -k: ALL drops packets with a wrong IPv4, TCP, UDP or ICMP checksum, NONE does not
 * look. AUTO samples the first MR_CHECKSUM_SAMPLE transport checksums of the input: when one in
 * MR_CHECKSUM_SHARE of them is wrong, the capturing host left them to its network card, and AUTO
 * stops looking; otherwise it drops as ALL. While it samples it keeps packets whose checksum is
 * wrong just as such a host leaves it, and all of an input that has shown no right one so far (it
 * was rewritten after the capture), with MR_PACKET_BAD_CHECKSUM set. */
#define MR_CHECKSUM_SAMPLE 1000
#define MR_CHECKSUM_SHARE  10
enum mr_checksum_policy { MR_CHECKSUM_AUTO, MR_CHECKSUM_ALL, MR_CHECKSUM_NONE };

/* One for each input; one thread at a time. */
struct mr_decoder {
    enum mr_checksum_policy checksum;
    bool host;          /* an interface that this machine sends from, or another one inside of it:
                           AUTO always keeps packets whose checksum is wrong just so */
    uint32_t seen, bad; /* for AUTO */
};

/* An IP fragment as the decoder hands it on: which bytes of the datagram it carries. Valid after
 * mr_decode() when the packet's flags have MR_PACKET_FRAGMENT. */
struct mr_fragment_view {
    uint32_t id;
    uint32_t offset;         /* of its payload in the datagram's payload */
    uint32_t payload_offset; /* of its payload in packet->data */
    uint32_t payload_len;
    uint8_t next_protocol; /* IPv4 protocol; IPv6: next header of the fragment header */
    bool more;
    uint32_t unfragmentable_len; /* IPv6: bytes from the IP header to the fragment header; IPv4:
                                    header bytes */
};

/* Fills what the source left open of `packet` (but for its number). MR_DROP_NONE: the packet is
 * usable (a fragment has MR_PACKET_FRAGMENT set and *fragment filled). Otherwise the reason to drop
 * it. Never reads outside data[0..len).
 *
 * MR_PACKET_TRUNCATED is set when bytes of the datagram were not captured: payload_len is what is
 * there, and the transport's checksum was not looked at. Where a datagram should be longer than
 * its frame was on the wire it is dropped. An IPv4 length of 0 (or IPv6, of a host that leaves
 * cutting segments up to its network card) stands for all that was captured. A tunnel without IP
 * in it is described itself. */
enum mr_drop mr_decode(struct mr_decoder *decoder, struct mr_packet *packet,
                       struct mr_fragment_view *fragment);

/* Decodes from an IP header at packet->data + l3_offset on: for datagrams put together from
 * fragments, whose zone, times and numbers are already set. */
enum mr_drop mr_decode_ip(struct mr_decoder *decoder, struct mr_packet *packet,
                          struct mr_fragment_view *fragment);

/* For messages: "Ethernet", "IEEE 802.11 with radiotap"; "unknown" where we have no name. */
const char *mr_link_type_name(uint16_t link_type);
bool mr_link_type_supported(uint16_t link_type);

#endif
