/* TCP assembly of one flow, seen from the middle.
 *
 * Both ends' states are inferred from the packets that pass (as mOS does). Each direction delivers
 * its bytes in order, exactly once, as chunks; a hole that can no longer be filled (the
 * receiver acknowledged past it and the data does not come, or a limit is reached) is a GAP chunk.
 * What is delivered does not depend on how the bytes were cut into segments nor on their order
 * within the window. Knows no tables and no threads: the caller brings the state and the sink.
 */
#ifndef MR_STREAM_TCP_H
#define MR_STREAM_TCP_H

#include "millrace/component.h"
#include "millrace/packet.h"
#include "stream/fragment.h"

struct mr_tcp_config {
    enum mr_overlap_policy policy;   /* default MR_OVERLAP_BSD, as Suricata */
    bool midstream;                  /* pick up flows without a SYN; default true */
    uint32_t max_held_bytes;         /* out of order, a direction; default 1 MiB */
    uint32_t max_held_segments;      /* default 1,024 */
    uint64_t timeout_new_ns;         /* no handshake yet; default 30 s */
    uint64_t timeout_established_ns; /* default 600 s */
    uint64_t timeout_closed_ns;      /* TIME_WAIT; default 10 s */
    bool urgent_inline;              /* urgent byte stays in the stream; default true */
};

void mr_tcp_config_default(struct mr_tcp_config *config);

/* The state of one flow: all zero is a new one. Defined here so that tables can embed it. */
struct mr_tcp_direction {
    uint32_t isn;      /* sequence number of the first byte of the stream */
    uint32_t next_seq; /* next byte to deliver */
    uint32_t acked;    /* highest acknowledgment by the other side */
    uint32_t fin_seq;
    uint64_t delivered;     /* stream offset of next_seq */
    struct mr_buffer *held; /* segments out of order, by sequence */
    uint32_t held_bytes, held_segments;
    uint16_t window;
    uint8_t window_shift;
    uint8_t state; /* enum of tcp.c */
    uint8_t flags;
};

struct mr_tcp {
    struct mr_tcp_direction side[2]; /* [MR_TO_SERVER]: what the client sends */
    uint8_t state;
    uint8_t flags;
};

/* What happens to a flow, told while mr_tcp_packet() runs. All pointers borrowed. */
struct mr_tcp_sink {
    void *user;
    /* Bytes in order, a gap, or the end. chunk is only valid during the call; chunk->data lives as
     * long as the packet, or, when `buffer` is not NULL, in that buffer, which is given to the
     * callee. */
    void (*chunk)(void *user, const struct mr_chunk *chunk, struct mr_buffer *buffer);
    /* A SYN on a closed 5-tuple: a new flow under the same key. Returns its zeroed state and sets
     * *flow; the END chunk of the old one was told before. */
    struct mr_tcp *(*renew)(void *user, struct mr_flow **flow);
    /* Something odd; the name is a static string in Suricata's style, "stream.pkt_...". */
    void (*anomaly)(void *user, const char *name);
    struct mr_buffer *(*buffer_get)(void *user, size_t capacity);
    void (*buffer_put)(void *user, struct mr_buffer *buffer);
};

/* One packet of the flow. Keeps flow->client/server, counters, times, state and end up to date.
 * Returns the packet time at which the flow expires unless another packet comes. After the END
 * chunk the state may be given further packets (they are counted, and answer retransmissions of
 * FIN) until it expires. */
uint64_t mr_tcp_packet(struct mr_tcp *tcp, struct mr_flow *flow, const struct mr_packet *packet,
                       const struct mr_tcp_config *config, const struct mr_tcp_sink *sink);

/* The flow is over without a packet: delivers what is held (after GAP chunks) and the END chunk
 * with this reason, unless the flow had its END before. */
void mr_tcp_finish(struct mr_tcp *tcp, struct mr_flow *flow, enum mr_flow_end reason,
                   const struct mr_tcp_config *config, const struct mr_tcp_sink *sink);

/* Gives back held buffers through buffer_put, delivering nothing. */
void mr_tcp_release(struct mr_tcp *tcp, const struct mr_tcp_sink *sink);

#endif
