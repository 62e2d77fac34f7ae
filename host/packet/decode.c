/* Entry points of decoding, and which layer follows which. */
#include "packet/decode.h"
#include "packet/walk.h"

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

enum mr_drop mr_decode(struct mr_decoder *decoder, struct mr_packet *packet,
                       struct mr_fragment_view *fragment)
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
