/* The state of decoding one frame, handed from layer to layer. Inside this folder only. */
#ifndef MR_PACKET_WALK_H
#define MR_PACKET_WALK_H

#include "packet/decode.h"
#include "packet/wire.h"

struct mr_walk {
    struct mr_decoder *decoder;
    struct mr_packet *packet;
    struct mr_fragment_view *fragment;
    uint32_t at;   /* where the next header begins, in packet->data */
    uint32_t end;  /* behind the last byte of the present layer that was captured */
    bool cut;      /* bytes of the present layer behind `end` were not captured */
    bool rerouted; /* the IPv6 destination is not the final one: nothing can be summed */
    uint8_t depth; /* encapsulations so far */
};

static inline const uint8_t *mr_walk_bytes(const struct mr_walk *w)
{
    return w->packet->data + w->at;
}

static inline uint32_t mr_walk_left(const struct mr_walk *w)
{
    return w->end - w->at;
}

/* Each decodes its layer at w->at and all that follows. Drop reasons as of mr_decode(). */
enum mr_drop mr_decode_link(struct mr_walk *w);
enum mr_drop mr_decode_ethernet(struct mr_walk *w);
enum mr_drop mr_decode_ppp(struct mr_walk *w);
enum mr_drop mr_decode_type(struct mr_walk *w, uint16_t ether_type);
enum mr_drop mr_decode_ipv4(struct mr_walk *w);
enum mr_drop mr_decode_ipv6(struct mr_walk *w);
enum mr_drop mr_decode_transport(struct mr_walk *w, uint8_t protocol);
/* What lies in a tunnel, if `protocol` is one. The packet describes the tunnel's own datagram
 * already, and does so again when there is no IP inside. */
enum mr_drop mr_decode_tunnel(const struct mr_walk *w, uint8_t protocol);
/* The same behind a UDP header, where a port makes a tunnel likely but not certain. */
enum mr_drop mr_decode_udp_tunnel(const struct mr_walk *w);
/* Is this a port that makes it likely? */
static inline bool mr_udp_may_be_tunnel(uint16_t from, uint16_t to)
{
    return to == MR_PORT_VXLAN || to == MR_PORT_VXLAN_LINUX || to == MR_PORT_GENEVE ||
           to == MR_PORT_GTP_U || to == MR_PORT_TEREDO || from == MR_PORT_TEREDO;
}

/* Does the policy want checksums looked at? */
static inline bool mr_checksum_wanted(const struct mr_decoder *decoder)
{
    if (decoder->checksum == MR_CHECKSUM_AUTO)
        return decoder->seen < MR_CHECKSUM_SAMPLE ||
               decoder->bad < MR_CHECKSUM_SAMPLE / MR_CHECKSUM_SHARE;
    return decoder->checksum == MR_CHECKSUM_ALL;
}

/* A checksum is wrong. `offloaded`: in the way of one that the capturing host left to its network
 * card. False: the packet is to be dropped. */
static inline bool mr_checksum_pardon(struct mr_walk *w, bool offloaded)
{
    const struct mr_decoder *decoder = w->decoder;
    if (decoder->checksum != MR_CHECKSUM_AUTO)
        return false;
    if (decoder->seen >= MR_CHECKSUM_SAMPLE && !(decoder->host && offloaded))
        return false;
    /* a recording without a single good one was rewritten (made anonymous) after the capture */
    if (!offloaded && decoder->seen != decoder->bad)
        return false;
    w->packet->flags |= MR_PACKET_BAD_CHECKSUM;
    return true;
}

#endif
