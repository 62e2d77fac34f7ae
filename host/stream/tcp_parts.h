/* What the files of the TCP assembler share, and nobody else sees:
 *   tcp.c         one packet: who sent it, accounts, the fast path, the end of the flow
 *   tcp_open.c    SYN: handshakes, pick-up in the middle, reuse of the 5-tuple
 *   tcp_control.c acknowledgments and windows, FIN, RST, endpoint states
 *   tcp_stream.c  data: delivery in order, holes; pieces.c keeps what is out of order
 *   tcp_pass.c    what passes uninspected: behind the depth, and of a bypassed flow
 */
#ifndef MR_STREAM_TCP_PARTS_H
#define MR_STREAM_TCP_PARTS_H

#include "stream/tcp.h"

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* mr_tcp_direction.flags */
enum {
    SIDE_BASE = 1 << 0,       /* isn and next_seq are known */
    SIDE_SYN = 1 << 1,        /* its SYN was seen */
    SIDE_SYN_ACKED = 1 << 2,  /* and the other side acknowledged it */
    SIDE_SCALE = 1 << 3,      /* its SYN offered window scaling: window_shift */
    SIDE_ACKED = 1 << 4,      /* `acked` is known */
    SIDE_EDGE = 1 << 5,       /* `edge` is known */
    SIDE_FIN = 1 << 6,        /* fin_seq is known */
    SIDE_FIN_DONE = 1 << 7,   /* all bytes before the FIN are delivered */
    SIDE_FIN_ACKED = 1 << 8,  /* the other side acknowledged the FIN */
    SIDE_FIN_FIRST = 1 << 9,  /* it closed before the other side did */
    SIDE_ALTERNATE = 1 << 10, /* `alternate` is known */
    SIDE_SYN_DATA = 1 << 11,  /* data of its SYN is held until the SYN is answered */
    SIDE_URGENT = 1 << 12,    /* urgent_seq is known */
    SIDE_DEEP = 1 << 13,      /* what comes passes uninspected: tcp_pass.c */
    SIDE_DEEPER = 1 << 14,    /* there was data behind the depth, which is not reached yet */
    SIDE_AHEAD = 1 << 15      /* there passed data past the window, up to deep_end */
};

/* mr_tcp.flags */
enum {
    TCP_PICKED_UP = 1 << 0,   /* seen a packet that means something */
    TCP_ESTABLISHED = 1 << 1, /* handshake complete, or picked up in the middle */
    TCP_ENDED = 1 << 2,       /* the END chunk was told */
    TCP_RESET = 1 << 3,       /* a valid RST passed */
    TCP_RESET_BY_SERVER = 1 << 4,
    TCP_SEEN = 1 << 6, /* has had a packet */
    TCP_FAST = 1 << 5  /* established and none of the above: packets may take the fast path */
};

/* One call: the flow and what it is called with. */
struct pass {
    struct mr_tcp *tcp;
    struct mr_flow *flow;
    const struct mr_packet *packet; /* NULL: the flow is finished without one */
    const struct mr_tcp_config *config;
    const struct mr_tcp_sink *sink;
    uint8_t from; /* enum mr_direction: who sent the packet */
    bool merging; /* a direction goes on no further than to where the other has an older piece */
};

static inline void anomaly(const struct pass *p, const char *name)
{
    p->sink->anomaly(p->sink->user, name);
}

#define TCP_FAR_FROM_ANYTHING (1 << 30)

/* How held pieces are kept. */
static inline struct mr_piece_rules tcp_rules(const struct mr_tcp_sink *sink)
{
    return (struct mr_piece_rules){
        .user = sink->user, .get = sink->buffer_get, .put = sink->buffer_put};
}

static inline void tcp_clear_held(const struct mr_tcp_sink *sink, struct mr_tcp_direction *side)
{
    const struct mr_piece_rules rules = tcp_rules(sink);
    mr_pieces_clear(&side->held, &rules);
}

#define TCP_UNKNOWN_SHIFT 14 /* of a window whose scale was not seen: the widest */

/* The window that a packet without SYN advertises, in bytes; `other` is the side it is told. */
static inline uint32_t tcp_window(const struct mr_tcp_direction *side,
                                  const struct mr_tcp_direction *other,
                                  const struct mr_packet *packet)
{
    uint32_t shift = TCP_UNKNOWN_SHIFT;

    if (side->flags & SIDE_SYN) {
        bool scaled =
            side->flags & SIDE_SCALE && (!(other->flags & SIDE_SYN) || other->flags & SIDE_SCALE);
        shift = scaled ? side->window_shift : 0;
    }
    return (uint32_t)packet->tcp_window << shift;
}

/* tcp.c */
void tcp_tell_end(struct pass *p, enum mr_flow_end reason);
void tcp_update_state(struct pass *p);

/* tcp_open.c */
/* A SYN, or a SYN-ACK, without FIN and RST. */
void tcp_on_syn(struct pass *p);
/* Does this packet open a new flow on an old one's 5-tuple? Then the old one was ended and *p is
 * about the new one. */
void tcp_check_reuse(struct pass *p);
/* Makes sure that the sender's first byte is known, if it can be known; false: not yet. */
bool tcp_pick_up(struct pass *p);
/* Sets the first byte of a direction. */
void tcp_set_base(struct pass *p, uint8_t d, uint32_t base);

/* tcp_control.c */
enum tcp_ack {
    TCP_ACK_TAKEN,
    TCP_ACK_DOUBTFUL, /* of what cannot have been sent, as far as seen: no receiver would take this
                         packet, but then the capture may have misplaced or missed others */
    TCP_ACK_REFUSED   /* of what was before the beginning: nobody takes this packet */
};

/* The packet's acknowledgment and window. */
enum tcp_ack tcp_on_ack(struct pass *p);
void tcp_on_fin(struct pass *p, uint32_t fin_seq);
void tcp_on_rst(struct pass *p);
/* Its sender went on after a RST: then the RST was not his. */
void tcp_check_reset(struct pass *p);

/* tcp_stream.c */
void tcp_on_data(struct pass *p, uint8_t d, struct mr_piece piece);
/* Keeps a piece; false: no room or no buffer, then a part of it may be in. */
bool tcp_hold(struct pass *p, uint8_t d, struct mr_piece piece);
/* Delivers what is held and in order now; then the FIN, when it is reached. */
void tcp_drain(struct pass *p, uint8_t d);
/* Gives up holes that cannot be filled any more. */
void tcp_settle(struct pass *p, uint8_t d);
/* The capture has cut off `len` bytes that begin at seq: a gap, if they are the next ones. */
void tcp_cut_off(struct pass *p, uint32_t seq, uint32_t len);
/* Delivers everything held of both directions, in the order in which it came, with gaps. */
void tcp_flush(struct pass *p);
/* The window's edge moved: lets in what lay beyond it, and delivers. */
void tcp_edge_moved(struct pass *p, uint8_t d);

/* tcp_pass.c */
/* Of `len` bytes of the stream at next_seq: how many are to be inspected. */
static inline uint32_t tcp_inspected(const struct pass *p, const struct mr_tcp_direction *side,
                                     uint32_t len)
{
    if (UNLIKELY(side->flags & SIDE_DEEP))
        return 0;
    uint64_t room = p->config->depth - side->delivered;
    return LIKELY(len <= room) ? len : (uint32_t)room;
}

/* The next `len` bytes of the stream pass; from here on the direction does. */
void tcp_pass_by(struct pass *p, uint8_t d, uint32_t len);
/* Data of a direction that passes. */
void tcp_pass_data(struct pass *p, uint8_t d, const struct mr_piece *piece);
/* Was data up to `seq` seen that was not delivered yet, held or not? */
bool tcp_was_sent(const struct mr_tcp_direction *side, uint32_t seq);
/* Nothing of the piece needs to be held; else it is cut to what does. */
bool tcp_too_deep(struct pass *p, uint8_t d, struct mr_piece *piece);
/* Is the depth reached, and what lies behind it there or announced? Then the direction passes. */
void tcp_check_depth(struct pass *p, uint8_t d);
/* From here on the whole flow passes. */
void tcp_bypass(struct pass *p);
/* Delivers what is left of `len` bytes before the depth; takes `buffer`. */
void tcp_deliver_rest(struct pass *p, uint8_t d, const uint8_t *data, uint32_t len,
                      struct mr_buffer *buffer);

static inline void tcp_sample(struct mr_tcp *tcp, uint8_t d, const uint8_t *data, uint32_t len)
{
    struct mr_tcp_direction *side = &tcp->side[d];
    struct mr_tcp_sample *sample = &tcp->samples[d][side->next_sample];

    side->next_sample = (uint8_t)((side->next_sample + 1) % MR_TCP_SAMPLES);
    sample->seq = side->next_seq;
    if (LIKELY(len >= MR_TCP_SAMPLE_BYTES)) {
        sample->len = MR_TCP_SAMPLE_BYTES;
        __builtin_memcpy(sample->bytes, data, MR_TCP_SAMPLE_BYTES);
    } else {
        sample->len = len;
        __builtin_memcpy(sample->bytes, data, len);
    }
}

/* Delivers bytes at next_seq of direction d, all of them to be inspected; takes `buffer`. */
static inline void tcp_deliver_to(const struct mr_tcp_sink *sink, struct mr_flow *flow,
                                  struct mr_tcp *tcp, uint8_t d, const uint8_t *data, uint32_t len,
                                  struct mr_buffer *buffer)
{
    struct mr_tcp_direction *side = &tcp->side[d];
    struct mr_chunk chunk = {.data = data,
                             .len = len,
                             .kind = MR_CHUNK_DATA,
                             .direction = d,
                             .offset = side->delivered,
                             .flow = flow};

    tcp_sample(tcp, d, data, len);
    side->next_seq += len;
    side->delivered += len;
    sink->chunk(sink->user, &chunk, buffer);
}

static inline void tcp_deliver(struct pass *p, uint8_t d, const uint8_t *data, uint32_t len,
                               struct mr_buffer *buffer)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];

    if (UNLIKELY(tcp_inspected(p, side, len) < len))
        tcp_deliver_rest(p, d, data, len, buffer);
    else
        tcp_deliver_to(p->sink, p->flow, p->tcp, d, data, len, buffer);
}

#endif
