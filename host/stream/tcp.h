/* TCP assembly of one flow, seen from the middle.
 *
 * Both ends' states are inferred from the packets that pass (as mOS does). Each direction delivers
 * its bytes in order, exactly once, as chunks. What is delivered does not depend on how the bytes
 * were cut into segments nor on their order within the window. Knows no tables and no threads: the
 * caller brings the state and the sink.
 *
 * Holes. Segments behind a hole are held. The hole is told as a GAP and delivery goes on
 *  - when the receiver has acknowledged it, and since that was first seen more than 64 KiB (an
 *    unscaled window) of new data came behind it in 16 packets or more, or 3 s passed with 32
 *    packets: a packet that the capture misplaced by less than that still finds its place;
 *  - when a limit on held bytes or segments is reached, or the buffer pool is empty;
 *  - when the flow ends.
 * A flow without any acknowledgment in sight waits for the last two. Holes of both directions that
 * are given up together (the other's was acknowledged 16 packets ago or more, or the flow ends)
 * are, and what is held behind them comes, in the order of the packets: of a dialog with losses on
 * both sides the answers stand behind what they answer.
 *
 * Windows. Data beyond the window that the receiver granted (as far as seen) is held apart: an
 * acknowledgment that shows it was taken lets it in, data that comes within the window displaces
 * it. So neither a lost nor a late acknowledgment loses data, and nobody plants bytes that the
 * receiver throws away. Data in a SYN is treated the same until the SYN is answered.
 *
 * Reset. A valid RST makes the flow "closed" at once but the END chunk is told when the flow
 * expires (timeout_closed_ns), is reused or finished: what was under way is still delivered, and a
 * sender that goes on after "its" RST shows that somebody else sent it.
 *
 * Reuse. A SYN with another number opens a new flow (sink->renew) when the old one is closed,
 * reset, or half closed and silent for a second. On an established one it is an anomaly until the
 * other side answers it with a SYN-ACK: then it was real, and the old flow is over (tcp_reuse).
 * A SYN with the same number opens one when the old one is closed and silent for a second; before,
 * when the other side answers it with a SYN-ACK. Both may be second copies of old packets (two
 * taps), and then are none: so the SYN must be 100 ms behind the first packet of the closed flow;
 * or time went back so far, or to before that flow, or by a second where it is not closed: another
 * capture begins.
 */
#ifndef MR_STREAM_TCP_H
#define MR_STREAM_TCP_H

#include "millrace/component.h"
#include "millrace/packet.h"
#include "stream/pieces.h"

struct mr_tcp_config {
    uint64_t depth; /* of a direction's stream: bytes from this offset on pass uninspected, as does
                       all of a flow from the packet flow->bypass_from on. Nothing of them is
                       held, compared, nor told (but for one GAP of MR_GAP_REST where the depth
                       is reached); flow->uninspected counts them. default UINT64_MAX */
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

/* The first bytes of what was delivered last, to tell a retransmission from an injection. */
#define MR_TCP_SAMPLES      2
#define MR_TCP_SAMPLE_BYTES 64

struct mr_tcp_sample {
    uint32_t seq;
    uint32_t len; /* 0: unused */
    uint8_t bytes[MR_TCP_SAMPLE_BYTES];
};

/* The state of one flow: all zero is a new one. Defined here so that tables can embed it. All
 * numbers are sequence numbers unless they say otherwise. */
struct mr_tcp_direction {
    uint32_t flags;        /* tcp_parts.h */
    uint32_t next_seq;     /* next byte to deliver */
    uint32_t acked;        /* highest acknowledgment by the other side */
    uint32_t edge;         /* end of the window that the other side has granted */
    uint64_t delivered;    /* stream offset of next_seq */
    struct mr_pieces held; /* segments out of order */
    uint32_t isn;          /* first byte of the stream: the SYN's number + 1 */
    uint32_t alternate;    /* the same of a SYN that did not fit, until somebody answers it */
    uint32_t fin_seq;      /* of the FIN: end of the data */
    uint32_t deep_end;     /* of data behind the depth that came before its turn, or window */
    uint32_t urgent_seq;   /* the byte announced as urgent, when it is taken out of the stream */
    uint32_t window;       /* bytes, as last advertised by this side */
    uint8_t window_shift;
    uint8_t next_sample;
    uint8_t odd_acks;   /* acknowledgments in a row of what was never sent, as far as seen, */
    uint32_t odd_since; /* while the other side's packets stood at this number */
};

/* What every packet looks at comes first. */
struct mr_tcp {
    uint32_t flags; /* tcp_parts.h; not 0 as soon as there was a packet */
    uint32_t rst_seq;
    struct mr_tcp_direction side[2]; /* [MR_TO_SERVER]: what the client sends */
    struct mr_tcp_sample samples[2][MR_TCP_SAMPLES];
};

/* An endpoint's state as RFC 9293 names them, inferred from what has passed. */
#define MR_TCP_STATE_LIST(X)                                                                       \
    X(MR_TCP_CLOSED, "closed")                                                                     \
    X(MR_TCP_LISTEN, "listen")                                                                     \
    X(MR_TCP_SYN_SENT, "syn_sent")                                                                 \
    X(MR_TCP_SYN_RECEIVED, "syn_recv")                                                             \
    X(MR_TCP_ESTABLISHED, "established")                                                           \
    X(MR_TCP_FIN_WAIT_1, "fin_wait1")                                                              \
    X(MR_TCP_FIN_WAIT_2, "fin_wait2")                                                              \
    X(MR_TCP_CLOSE_WAIT, "close_wait")                                                             \
    X(MR_TCP_CLOSING, "closing")                                                                   \
    X(MR_TCP_LAST_ACK, "last_ack")                                                                 \
    X(MR_TCP_TIME_WAIT, "time_wait")

enum mr_tcp_state {
#define X(name, text) name,
    MR_TCP_STATE_LIST(X)
#undef X
};

/* The state of the end that sends in this direction: [MR_TO_SERVER] is the client. */
enum mr_tcp_state mr_tcp_endpoint_state(const struct mr_tcp *tcp, enum mr_direction sender);
const char *mr_tcp_state_name(enum mr_tcp_state state);

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
    void (*buffer_put)(void *user, struct mr_buffer *buffer); /* never NULL */
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
