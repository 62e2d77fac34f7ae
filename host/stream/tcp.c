/* One packet of a flow: who sent it, the accounts, the fast path, and the end of the flow. */
#include "stream/tcp_parts.h"

#include <string.h>

#define SECOND_NS 1000000000u

void mr_tcp_config_default(struct mr_tcp_config *config)
{
    *config = (struct mr_tcp_config){
        .depth = UINT64_MAX,
        .policy = MR_OVERLAP_BSD,
        .midstream = true,
        .max_held_bytes = 1 << 20,
        .max_held_segments = 1024,
        .timeout_new_ns = 30ull * SECOND_NS,
        .timeout_established_ns = 600ull * SECOND_NS,
        .timeout_closed_ns = 10ull * SECOND_NS,
        .urgent_inline = true,
    };
}

static inline bool endpoint_equal(const struct mr_endpoint *a, const struct mr_endpoint *b)
{
    return !memcmp(a, b, sizeof *a);
}

/* Which end of a flow picked up in the middle serves? The one with the well-known port, else the
 * one whose port no system hands out by itself; true: the packet's sender. */
static bool sender_serves(const struct mr_packet *packet)
{
    uint16_t src = packet->src.port, dst = packet->dst.port;

    if ((src < 1024) != (dst < 1024))
        return src < 1024;
    if ((src < 32768) != (dst < 32768))
        return src < 32768;
    return false;
}

/* The first packet that means something decides who the client is. */
static void identify(struct pass *p)
{
    const struct mr_packet *packet = p->packet;
    struct mr_flow *flow = p->flow;
    /* what decides it for good; SYN with FIN opens nothing */
    bool syn = (packet->tcp_flags & (MR_TCP_SYN | MR_TCP_RST | MR_TCP_FIN)) == MR_TCP_SYN;
    bool answers = packet->tcp_flags & MR_TCP_ACK;
    bool serves = syn ? answers : sender_serves(packet);
    bool first = !(p->tcp->flags & TCP_SEEN);

    if (syn || first) {
        const struct mr_endpoint *client = serves ? &packet->dst : &packet->src;
        if (!endpoint_equal(&flow->client, client)) {
            /* packets before this one were taken for the other side's, also by who saw some that
             * did not come here */
            uint64_t packets = flow->packets[0], bytes = flow->bytes[0];
            uint8_t flags = flow->tcp_flags[0];
            flow->packets[0] = flow->packets[1];
            flow->packets[1] = packets;
            flow->bytes[0] = flow->bytes[1];
            flow->bytes[1] = bytes;
            flow->tcp_flags[0] = flow->tcp_flags[1];
            flow->tcp_flags[1] = flags;
            flow->turned_at[!first] = packet->number;
        }
        flow->client = *client;
        flow->server = serves ? packet->src : packet->dst;
    }
    p->from = endpoint_equal(&packet->src, &flow->client) ? MR_TO_SERVER : MR_TO_CLIENT;
}

static inline void account(struct mr_flow *flow, const struct mr_packet *packet, uint8_t from)
{
    flow->packets[from]++;
    flow->bytes[from] += packet->wire_len;
    flow->tcp_flags[from] |= packet->tcp_flags;
    if (LIKELY(packet->time_ns > flow->last_ns))
        flow->last_ns = packet->time_ns;
    if (UNLIKELY(!flow->first_ns))
        flow->first_ns = packet->time_ns;
}

void tcp_update_state(struct pass *p)
{
    struct mr_tcp *tcp = p->tcp;
    bool closed =
        tcp->flags & (TCP_ENDED | TCP_RESET) || tcp->side[0].flags & tcp->side[1].flags & SIDE_FIN;

    tcp->flags &= ~(uint32_t)TCP_FAST;
    if (closed) {
        p->flow->state = "closed";
    } else if (tcp->flags & TCP_ESTABLISHED) {
        p->flow->state = "established";
        tcp->flags |= TCP_FAST;
    } else {
        p->flow->state = "new";
    }
}

void tcp_tell_end(struct pass *p, enum mr_flow_end reason)
{
    if (p->tcp->flags & TCP_ENDED)
        return;
    p->tcp->flags |= TCP_ENDED;
    tcp_clear_held(p->sink, &p->tcp->side[0]);
    tcp_clear_held(p->sink, &p->tcp->side[1]);
    p->flow->end = (uint8_t)reason;
    if (!p->flow->state)
        p->flow->state = "new";
    if (reason == MR_FLOW_END_FIN || reason == MR_FLOW_END_RESET)
        tcp_update_state(p); /* a flow that only fell silent keeps the state it was in */
    struct mr_chunk chunk = {.kind = MR_CHUNK_END, .flow = p->flow};
    p->sink->chunk(p->sink->user, &chunk, NULL);
}

static uint64_t deadline(const struct pass *p)
{
    const struct mr_tcp *tcp = p->tcp;
    const struct mr_tcp_config *c = p->config;
    uint64_t timeout = c->timeout_new_ns;

    if (tcp->flags & (TCP_ENDED | TCP_RESET) || tcp->side[0].flags & tcp->side[1].flags & SIDE_FIN)
        timeout = c->timeout_closed_ns;
    else if (tcp->flags & TCP_ESTABLISHED)
        timeout = c->timeout_established_ns;
    return p->flow->last_ns + timeout;
}

/* What a packet's payload was on the wire, where the capture has cut it off. */
static uint32_t wire_payload(const struct mr_packet *packet)
{
    uint32_t at = packet->l3_offset;

    if (!(packet->flags & MR_PACKET_TRUNCATED) || packet->payload_offset < at ||
        packet->len < at + 6)
        return packet->payload_len;
    uint32_t total = packet->src.family == 4
                         ? (uint32_t)packet->data[at + 2] << 8 | packet->data[at + 3]
                         : ((uint32_t)packet->data[at + 4] << 8 | packet->data[at + 5]) + 40;
    uint32_t headers = packet->payload_offset - at;
    return total > headers + packet->payload_len ? total - headers : packet->payload_len;
}

/* Payload, with the urgent byte taken out where the configuration wants that. */
static void payload(struct pass *p, uint32_t marks)
{
    const struct mr_packet *packet = p->packet;
    struct mr_tcp_direction *side = &p->tcp->side[p->from];
    struct mr_piece piece = {.start = packet->tcp_seq,
                             .len = packet->payload_len,
                             .data = packet->data + packet->payload_offset,
                             .marks = marks};

    if (packet->tcp_flags & MR_TCP_URG && !p->config->urgent_inline) {
        side->urgent_seq = packet->tcp_seq + packet->tcp_urgent - (packet->tcp_urgent ? 1 : 0);
        side->flags |= SIDE_URGENT;
    }
    uint32_t offset = side->urgent_seq - piece.start;
    if (UNLIKELY(side->flags & SIDE_URGENT) && offset < piece.len) {
        struct mr_piece before = piece, urgent = piece;
        before.len = offset;
        urgent.start += offset;
        urgent.data += offset;
        urgent.len = 1;
        urgent.marks |= MR_PIECE_VOID;
        piece.start += offset + 1;
        piece.data += offset + 1;
        piece.len -= offset + 1;
        if (before.len)
            tcp_on_data(p, p->from, before);
        tcp_on_data(p, p->from, urgent);
    }
    if (piece.len)
        tcp_on_data(p, p->from, piece);
    if (side->flags & SIDE_BASE && mr_before(side->urgent_seq, side->next_seq))
        side->flags &= ~(uint32_t)SIDE_URGENT;
}

/* Everything but a plain packet of an established flow. */
static void process(struct pass *p)
{
    const struct mr_packet *packet = p->packet;
    struct mr_tcp *tcp = p->tcp;

    if (tcp->flags & TCP_RESET)
        tcp_check_reset(p);
    if (packet->tcp_flags & MR_TCP_RST) {
        tcp_on_rst(p);
        return;
    }
    if (packet->tcp_flags & MR_TCP_SYN) {
        if (packet->tcp_flags & MR_TCP_FIN)
            anomaly(p, "stream.fin_syn");
        else
            tcp_on_syn(p);
        return;
    }
    if (!(packet->tcp_flags & MR_TCP_ACK)) {
        if (packet->payload_len || packet->tcp_flags & MR_TCP_FIN)
            anomaly(p, "stream.pkt_without_ack"); /* no receiver takes it */
        return;
    }
    if (!(tcp->flags & TCP_PICKED_UP)) {
        bool stray = packet->tcp_flags & MR_TCP_FIN && !packet->payload_len;
        if (stray)
            anomaly(p, "stream.fin_but_no_session");
        if (stray || !p->config->midstream)
            return;
        tcp->flags |= TCP_PICKED_UP | TCP_ESTABLISHED;
        p->flow->midstream = 1;
    }
    enum tcp_ack ack = tcp_on_ack(p);
    if (ack == TCP_ACK_REFUSED)
        return;
    bool known = tcp_pick_up(p);
    uint32_t wire_len = wire_payload(packet);
    if (packet->payload_len)
        payload(p, ack == TCP_ACK_DOUBTFUL ? MR_PIECE_DOUBT : 0);
    if (UNLIKELY(wire_len > packet->payload_len) && known && !(tcp->flags & TCP_ENDED))
        tcp_cut_off(p, packet->tcp_seq + packet->payload_len, wire_len - packet->payload_len);
    if (packet->tcp_flags & MR_TCP_FIN)
        tcp_on_fin(p, packet->tcp_seq + wire_len);
}

/* Can the fast path judge this acknowledgment? It must repeat or advance within what was delivered;
 * a side that is never seen takes any. */
static inline bool plain_ack(const struct mr_tcp_direction *other, uint32_t ack)
{
    const uint32_t usual = SIDE_BASE | SIDE_ACKED | SIDE_EDGE;

    if (LIKELY((other->flags & usual) == usual))
        return ack - other->acked <= other->next_seq - other->acked;
    return (other->flags & usual) == (usual & ~(uint32_t)SIDE_BASE) &&
           !mr_before(ack, other->acked);
}

/* A plain packet of an established flow with nothing out of the ordinary: the one that comes a
 * million times a second. False: it is not one. */
static inline bool fast(struct mr_tcp *tcp, struct mr_flow *flow, const struct mr_packet *packet,
                        const struct mr_tcp_config *config, const struct mr_tcp_sink *sink,
                        uint8_t from)
{
    struct mr_tcp_direction *side = &tcp->side[from], *other = &tcp->side[!from];
    const uint32_t odd = SIDE_SYN_DATA | SIDE_URGENT | SIDE_FIN | SIDE_ALTERNATE | SIDE_DEEP;
    const uint8_t control = MR_TCP_SYN | MR_TCP_FIN | MR_TCP_RST | MR_TCP_URG | MR_TCP_ACK;
    uint32_t ack = packet->tcp_ack;

    if ((packet->tcp_flags & control) != MR_TCP_ACK || !(tcp->flags & TCP_FAST) ||
        (side->flags | other->flags) & odd || !(side->flags & SIDE_BASE) || side->held.index ||
        other->held.index || packet->flags & MR_PACKET_TRUNCATED || flow->bypass_asked ||
        !plain_ack(other, ack))
        return false;
    if (packet->payload_len &&
        (packet->tcp_seq != side->next_seq ||
         packet->payload_len > config->depth - side->delivered ||
         (side->flags & SIDE_EDGE && !mr_before(packet->tcp_seq, side->edge))))
        return false;
    account(flow, packet, from);
    uint32_t edge = ack + tcp_window(side, other, packet);
    other->acked = ack;
    if (mr_before(other->edge, edge))
        other->edge = edge;
    if (packet->payload_len)
        tcp_deliver_to(sink, flow, tcp, from, packet->data + packet->payload_offset,
                       packet->payload_len, NULL);
    return true;
}

/* Any packet. Apart from the above, which shall not pay for what this needs. */
static __attribute__((noinline)) uint64_t slow(struct mr_tcp *tcp, struct mr_flow *flow,
                                               const struct mr_packet *packet,
                                               const struct mr_tcp_config *config,
                                               const struct mr_tcp_sink *sink, uint8_t from)
{
    struct pass pass = {
        .tcp = tcp, .flow = flow, .packet = packet, .config = config, .sink = sink, .from = from};
    struct pass *p = &pass;

    if (UNLIKELY(flow->bypass_asked) && packet->number >= flow->bypass_from)
        tcp_bypass(p);
    if (tcp->flags & TCP_PICKED_UP)
        tcp_check_reuse(p);
    if (!(p->tcp->flags & TCP_PICKED_UP))
        identify(p);
    p->tcp->flags |= TCP_SEEN;
    account(p->flow, packet, p->from);
    if (!(p->tcp->flags & TCP_ENDED)) {
        process(p);
        for (uint8_t d = 0; d < 2; d++) {
            if (p->tcp->side[d].held.index)
                tcp_settle(p, d);
        }
        tcp_update_state(p);
    }
    return deadline(p);
}

uint64_t mr_tcp_packet(struct mr_tcp *tcp, struct mr_flow *flow, const struct mr_packet *packet,
                       const struct mr_tcp_config *config, const struct mr_tcp_sink *sink)
{
    uint8_t from = endpoint_equal(&packet->src, &flow->client) ? MR_TO_SERVER : MR_TO_CLIENT;

    if (LIKELY(fast(tcp, flow, packet, config, sink, from)))
        return flow->last_ns + config->timeout_established_ns;
    return slow(tcp, flow, packet, config, sink, from);
}

void mr_tcp_finish(struct mr_tcp *tcp, struct mr_flow *flow, enum mr_flow_end reason,
                   const struct mr_tcp_config *config, const struct mr_tcp_sink *sink)
{
    struct pass pass = {.tcp = tcp, .flow = flow, .config = config, .sink = sink};

    if (tcp->flags & TCP_ENDED)
        return;
    if (tcp->flags & TCP_RESET)
        reason = MR_FLOW_END_RESET;
    else if (tcp->side[0].flags & tcp->side[1].flags & SIDE_FIN)
        reason = MR_FLOW_END_FIN;
    tcp_flush(&pass);
    tcp_tell_end(&pass, reason);
}

void mr_tcp_release(struct mr_tcp *tcp, const struct mr_tcp_sink *sink)
{
    tcp_clear_held(sink, &tcp->side[0]);
    tcp_clear_held(sink, &tcp->side[1]);
}
