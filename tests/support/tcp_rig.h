/* A rig around the TCP assembler, for tests: packets made by hand go in, and what was delivered is
 * kept, flow by flow, and checked while it comes (offsets without hole or overlap, one END, all
 * buffers returned).
 *
 *     struct rig *r = rig_new();
 *     rig_send(r, C, 1000, 0, MR_TCP_SYN, "", 0);
 *     rig_send(r, S, 5000, 1001, MR_TCP_SYN | MR_TCP_ACK, "", 0);
 *     rig_send(r, C, 1001, 5001, MR_TCP_ACK, "GET", 3);
 *     assert_string_equal(rig_text(r, C), "GET");
 *     rig_free(r);
 */
#ifndef MR_TEST_TCP_RIG_H
#define MR_TEST_TCP_RIG_H

#include "base/buffers.h"
#include "stream/tcp.h"

enum { C = MR_TO_SERVER, S = MR_TO_CLIENT };

/* One direction as it was delivered: bytes, and RIG_LOST for each byte told as a gap. */
#define RIG_LOST (-1)

struct rig_stream {
    int16_t *items;
    size_t n, room;
};

struct rig_flow {
    struct mr_tcp tcp;
    struct mr_flow flow;
    struct rig_stream streams[2];
    int rests[2]; /* MR_GAP_REST was told */
    int ends;
    int end_reason;
};

#define RIG_MAX_FLOWS     64
#define RIG_MAX_ANOMALIES 256

struct rig {
    struct mr_tcp_config config;
    struct mr_tcp_sink sink;
    struct mr_buffers *pool;
    struct mr_flow_key key;
    struct mr_endpoint ends[2]; /* [C], [S] */
    struct rig_flow *flows[RIG_MAX_FLOWS];
    int n_flows;
    const char *anomalies[RIG_MAX_ANOMALIES];
    int n_anomalies;
    uint64_t now_ns, step_ns; /* each packet is step_ns after the one before */
    uint64_t number;
    uint64_t deadline_ns; /* what the last packet returned */
    uint32_t buffers_out;
    bool no_buffers; /* the pool gives none */
    bool count_only; /* streams keep no items, only their number: gaps may be huge */
    bool broken;     /* an invariant was violated; the reason is on stderr */
    uint16_t window;
    uint16_t urgent;
    uint32_t cut_off; /* so many bytes of the next packet's payload are not captured */
};

struct rig *rig_new(void);
void rig_free(struct rig *r); /* fails the test when buffers are missing */

/* A packet from C or S; the frame is made for it and its memory is given back (and overwritten)
 * before the call returns. */
void rig_send(struct rig *r, int from, uint32_t seq, uint32_t ack, uint8_t flags, const void *bytes,
              size_t len);
/* The same with TCP options. */
void rig_send_options(struct rig *r, int from, uint32_t seq, uint32_t ack, uint8_t flags,
                      const void *options, size_t options_len, const void *bytes, size_t len);
/* Any packet, as it is. */
void rig_packet(struct rig *r, const struct mr_packet *packet);
/* SYN, SYN-ACK, ACK with these initial numbers. */
void rig_open(struct rig *r, uint32_t client_isn, uint32_t server_isn);
void rig_finish(struct rig *r, enum mr_flow_end reason);

/* The newest flow. */
struct rig_flow *rig_last(struct rig *r);
/* What the newest flow, or flow i, delivered in a direction, with '_' for a lost byte. Valid until
 * the next call. */
const char *rig_text(struct rig *r, int direction);
const char *rig_text_of(struct rig *r, int flow, int direction);
int rig_anomaly(const struct rig *r, const char *name); /* how often */

#endif
