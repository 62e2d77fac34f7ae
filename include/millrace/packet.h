/* SPDX-License-Identifier: Apache-2.0
 *
 * What the engine knows of one packet, flow and stretch of stream, as components see it.
 *
 * Lifetime: everything here is borrowed and lives until the token (the burst) it belongs to
 * closes, that is at least until the call that hands it over returns and every stage behind it is
 * done with the same token. Who wants to keep bytes longer copies them.
 */
#ifndef MILLRACE_PACKET_H
#define MILLRACE_PACKET_H

#include <stdbool.h>
#include <stdint.h>

/* One end of a conversation. Compared and hashed as 24 raw bytes: unused bytes are zero. */
struct mr_endpoint {
    uint8_t address[16]; /* network order; IPv4 in the first 4 bytes, the rest zero */
    uint16_t port;       /* host order; 0 where the transport has none */
    uint8_t family;      /* 4 or 6 */
    uint8_t protocol;    /* IP protocol number (6 TCP, 17 UDP, ...) */
    uint32_t zone;       /* VLAN ids of the frame: outer | inner << 12; 0 when untagged */
};

/* The same for both directions of a flow: a <= b by memcmp of the endpoints.
 * `hash` is keyed with a secret drawn at start. Equality is that of a and b. */
struct mr_flow_key {
    struct mr_endpoint a, b;
    uint64_t hash;
};

enum mr_packet_flag {
    MR_PACKET_FRAGMENT = 1 << 0,    /* an IP fragment that completes nothing: it has no payload */
    MR_PACKET_REASSEMBLED = 1 << 1, /* a datagram put together from fragments */
    MR_PACKET_TRUNCATED = 1 << 2,   /* captured shorter than it was on the wire */
    MR_PACKET_BAD_CHECKSUM = 1 << 3,
    MR_PACKET_TICK = 1 << 4, /* not a packet: the origin of what a timer brings forth; len is 0 */
    MR_PACKET_TUNNELED = 1 << 5,
    MR_PACKET_STRAY_TIME = 1 << 6 /* stamped far off those before it: timers do not follow it */
};

#define MR_TCP_FIN 0x01
#define MR_TCP_SYN 0x02
#define MR_TCP_RST 0x04
#define MR_TCP_PSH 0x08
#define MR_TCP_ACK 0x10
#define MR_TCP_URG 0x20

/* A decoded packet. Offsets count from `data`; payload is what stands behind the transport header
 * (behind the IP header for transports that the decoder does not know), with Ethernet padding cut
 * off. Offsets are of the innermost headers when there is a tunnel. */
struct mr_packet {
    const uint8_t *data; /* the frame, contiguous */
    uint64_t time_ns;    /* capture time since the epoch */
    uint64_t number;     /* 1-based, over all inputs of a run, counted before any drop */
    uint32_t len;        /* captured bytes at data */
    uint32_t wire_len;   /* bytes on the wire */
    uint32_t l3_offset;  /* IP header */
    uint32_t l4_offset;  /* transport header */
    uint32_t payload_offset;
    uint32_t payload_len;
    uint32_t tcp_seq, tcp_ack; /* host order; 0 unless protocol is TCP */
    uint16_t tcp_window;
    uint16_t tcp_urgent;
    uint16_t vlan[3]; /* ids, outermost first */
    uint8_t n_vlan;
    uint8_t tcp_flags;
    uint8_t flags; /* enum mr_packet_flag */
    uint8_t ttl;
    uint16_t interface; /* which input, counted from 0 */
    uint16_t link_type; /* LINKTYPE_ number of the frame, as in a capture file */
    struct mr_endpoint src, dst;
};

/* How a flow came to its end, in Suricata's words where it has them. */
#define MR_FLOW_END_LIST(X)                                                                        \
    X(MR_FLOW_OPEN, "open")                                                                        \
    X(MR_FLOW_END_FIN, "fin")           /* both sides closed */                                    \
    X(MR_FLOW_END_RESET, "reset")       /* RST */                                                  \
    X(MR_FLOW_END_TIMEOUT, "timeout")   /* silent for too long, in packet time */                  \
    X(MR_FLOW_END_REUSED, "tcp_reuse")  /* a new SYN on a closed 5-tuple */                        \
    X(MR_FLOW_END_FORCED, "forced")     /* evicted: a table was full */                            \
    X(MR_FLOW_END_SHUTDOWN, "shutdown") /* the input ended first */

enum mr_flow_end {
#define X(name, text) name,
    MR_FLOW_END_LIST(X)
#undef X
};

enum mr_direction { MR_TO_SERVER = 0, MR_TO_CLIENT = 1 };

/* A flow as the stream layer sees it. `client` is who sent the SYN; for a flow picked up in the
 * middle, who sent the first packet unless the ports say otherwise. Counters count packets and
 * wire bytes per direction. The engine owns it. A batch of rows is assembled before others see its
 * first row: but for key, first_*, client and server (mr_flow_turned_after()), these are what is
 * known at its end. */
struct mr_flow {
    /* what every packet changes, together */
    const struct mr_flow_key *key;
    uint64_t last_ns;
    uint64_t packets[2], bytes[2];
    const char *state;     /* static string: "new", "established", "closed" */
    uint8_t end;           /* enum mr_flow_end */
    uint8_t midstream;     /* picked up in the middle; a SYN that comes late may take that back */
    uint8_t tcp_flags[2];  /* all flags seen, or-ed */
    uint8_t depth_reached; /* by 1 << enum mr_direction */
    uint8_t bypass_asked;  /* for the packet bypass_from and later ones */
    uint8_t bypassed;      /* since a packet that passed */
    uint8_t interface;     /* live: of the packet that opened it */

    struct mr_endpoint client, server;
    uint64_t first_ns;
    uint64_t first_packet; /* number of the packet that opened it */
    uint64_t gap_bytes[2];
    uint64_t uninspected[2];  /* stream bytes that were let pass: behind the depth, or bypassed */
    uint64_t turned_at[2];    /* packets, by their numbers, at which client and server changed
                                 places: mr_flow_turned_after(); 0: none */
    uint64_t bypass_from;     /* the runtime's: the number of the first packet that passes */
    const char *app_protocol; /* static string, "smtp"; NULL while unknown, "failed" when given up:
                                 mr_flow_speaks() sets it, mr_flow_protocol() knows it at a row */
};

/* At packet `number` the client was who is the server now, and the other way round. */
static inline bool mr_flow_turned_after(const struct mr_flow *flow, uint64_t number)
{
    return (number < flow->turned_at[0]) != (number < flow->turned_at[1]);
}

enum mr_chunk_kind {
    MR_CHUNK_DATA, /* the next bytes of the direction, in order, without hole or overlap */
    MR_CHUNK_GAP,  /* `gap` bytes of the direction are lost for good; len is 0 */
    MR_CHUNK_END   /* the flow is over, flow->end says why; len is 0, direction means nothing */
};

/* The `gap` where a direction's depth (--depth) is reached: the rest is not inspected. */
#define MR_GAP_REST UINT64_MAX

/* A stretch of one direction of a stream. */
struct mr_chunk {
    const uint8_t *data;
    uint32_t len;
    uint8_t kind;      /* enum mr_chunk_kind */
    uint8_t direction; /* enum mr_direction */
    uint8_t midstream; /* of its flow, as far as was known at this chunk */
    uint64_t gap;
    uint64_t offset; /* of data[0] in the direction's stream; the first byte after SYN is 0 */
    struct mr_flow *flow;
};

#endif
