/* How flows begin: handshakes of three, four and five ways, data in a SYN, pick-up in the middle,
 * and a new connection on an old one's ports. */
#include "stream/tcp_parts.h"

#define REUSE_IDLE_NS   1000000000u
#define DUPLICATE_NS    100000000u /* a tap's second copy of a packet comes within this */
#define OLD_RANGE_BYTES (1 << 20)
#define ACK_RANGE       (1u << 30)

#define OPTION_END      0
#define OPTION_NOP      1
#define OPTION_WSCALE   3
#define MAX_SHIFT       14

void tcp_set_base(struct pass *p, uint8_t d, uint32_t base)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];

    side->isn = side->next_seq = base;
    side->flags |= SIDE_BASE;
    if (side->acked - base > ACK_RANGE)
        side->flags &= ~(uint32_t)SIDE_ACKED;
    if (side->edge - base > ACK_RANGE * 2)
        side->flags &= ~(uint32_t)SIDE_EDGE;
    if (side->flags & SIDE_FIN && side->fin_seq - base > ACK_RANGE)
        side->flags &= ~(uint32_t)SIDE_FIN;
    const struct mr_piece_rules rules = tcp_rules(p->sink);
    mr_pieces_trim(&side->held, &rules, base);
    tcp_drain(p, d);
}

/* The window scale of a SYN, or -1. */
static int window_scale(const struct mr_packet *packet)
{
    uint32_t at = packet->l4_offset + 20;
    uint32_t end = packet->payload_offset < packet->len ? packet->payload_offset : packet->len;

    while (at < end) {
        uint8_t kind = packet->data[at];
        if (kind == OPTION_END)
            break;
        if (kind == OPTION_NOP) {
            at++;
            continue;
        }
        if (at + 1 >= end || packet->data[at + 1] < 2)
            break;
        if (kind == OPTION_WSCALE && packet->data[at + 1] == 3 && at + 2 < end)
            return packet->data[at + 2] < MAX_SHIFT ? packet->data[at + 2] : MAX_SHIFT;
        at += packet->data[at + 1];
    }
    return -1;
}

/* The sender's SYN says where its bytes begin: takes it, drops what does not fit any more. */
static void take_syn(struct pass *p, uint32_t base)
{
    struct mr_tcp_direction *side = &p->tcp->side[p->from];
    int shift = window_scale(p->packet);

    if (side->flags & SIDE_SYN_DATA)
        tcp_clear_held(p->sink, side);
    side->flags &= ~(uint32_t)(SIDE_SCALE | SIDE_SYN_DATA);
    side->flags |= SIDE_SYN;
    if (shift >= 0) {
        side->flags |= SIDE_SCALE;
        side->window_shift = (uint8_t)shift;
    }
    if (!(side->flags & SIDE_BASE) || side->isn != base)
        tcp_set_base(p, p->from, base);
}

/* A SYN with another number than the one before. True: it takes the other's place. */
static bool other_isn(struct pass *p, uint32_t base, bool answers)
{
    struct mr_tcp_direction *side = &p->tcp->side[p->from];
    const struct mr_tcp_direction *other = &p->tcp->side[!p->from];

    if (!answers && !side->delivered && !(other->flags & (SIDE_SYN | SIDE_BASE | SIDE_ACKED))) {
        /* nobody has answered: the sender begins anew; the answer tells which one holds */
        side->alternate = side->isn;
        side->flags |= SIDE_ALTERNATE;
        return true;
    }
    side->alternate = base;
    side->flags |= SIDE_ALTERNATE;
    if (answers)
        anomaly(p, p->tcp->flags & TCP_ESTABLISHED ? "stream.est_synack_resend_with_diff_seq"
                                                   : "stream.3whs_synack_seq_mismatch");
    else
        anomaly(p, p->tcp->flags & TCP_ESTABLISHED ? "stream.est_syn_resend_diff_seq"
                                                   : "stream.3whs_syn_resend_diff_seq_on_syn_recv");
    return false;
}

/* The SYN-ACK answers the other side's SYN: does it name its number? */
static bool answer_fits(struct pass *p)
{
    struct mr_tcp_direction *other = &p->tcp->side[!p->from];
    uint32_t ack = p->packet->tcp_ack;

    if (!(other->flags & SIDE_BASE) || ack == other->isn)
        return true;
    if (other->flags & SIDE_ALTERNATE && ack == other->alternate &&
        !(p->tcp->flags & TCP_ESTABLISHED)) {
        tcp_clear_held(p->sink, other);
        other->flags &= ~(uint32_t)(SIDE_SYN_DATA | SIDE_ALTERNATE);
        tcp_set_base(p, !p->from, ack);
        return true;
    }
    if (mr_before(other->isn, ack) &&
        (mr_not_after(ack, other->next_seq) || mr_pieces_cover(&other->held, ack)))
        return true; /* data in the SYN, or a late repetition */
    anomaly(p, "stream.3whs_synack_with_wrong_ack");
    return false;
}

/* What a SYN-ACK says about the other side's SYN. */
static void answered(struct pass *p)
{
    struct mr_tcp_direction *other = &p->tcp->side[!p->from];
    uint32_t ack = p->packet->tcp_ack;

    if (!(other->flags & SIDE_BASE))
        tcp_set_base(p, !p->from, ack);
    if (other->flags & SIDE_SYN)
        other->flags |= SIDE_SYN_ACKED;
    if (other->flags & SIDE_SYN_DATA) {
        other->flags &= ~(uint32_t)SIDE_SYN_DATA;
        if (ack == other->isn) {
            tcp_clear_held(p->sink, other);
            anomaly(p, "stream.3whs_synack_tfo_data_ignored");
        }
    }
    if (!(other->flags & SIDE_ACKED) || mr_before(other->acked, ack)) {
        other->acked = ack;
        other->flags |= SIDE_ACKED;
    }
    uint32_t edge = ack + p->packet->tcp_window;
    if (!(other->flags & SIDE_EDGE) || mr_before(other->edge, edge)) {
        other->edge = edge;
        other->flags |= SIDE_EDGE;
    }
    tcp_edge_moved(p, !p->from);
}

void tcp_on_syn(struct pass *p)
{
    const struct mr_packet *packet = p->packet;
    struct mr_tcp_direction *side = &p->tcp->side[p->from];
    struct mr_tcp_direction *other = &p->tcp->side[!p->from];
    bool answers = packet->tcp_flags & MR_TCP_ACK;
    uint32_t base = packet->tcp_seq + 1;

    if (answers && !answer_fits(p))
        return;
    if (!(side->flags & SIDE_SYN)) {
        if (side->flags & SIDE_BASE && base != side->isn && (side->delivered || side->held.index)) {
            other_isn(p, base, answers);
            return;
        }
        take_syn(p, base);
    } else if (base != side->isn) {
        if (!other_isn(p, base, answers))
            return;
        take_syn(p, base);
    }
    if (!answers && !p->from)
        p->flow->midstream = 0;
    else if (!(p->tcp->flags & TCP_PICKED_UP) && !(other->flags & SIDE_SYN))
        p->flow->midstream = 1;
    p->tcp->flags |= TCP_PICKED_UP;
    if (!(p->tcp->flags & TCP_ESTABLISHED)) {
        side->window = packet->tcp_window;
        if (other->flags & SIDE_SYN && !(side->flags & SIDE_EDGE)) {
            side->edge = side->isn + other->window;
            side->flags |= SIDE_EDGE;
        }
    }
    if (answers)
        answered(p);
    if (!packet->payload_len)
        return;
    struct mr_piece piece = {
        .start = base, .len = packet->payload_len, .data = packet->data + packet->payload_offset};
    if (answers || side->delivered || side->flags & SIDE_ACKED) {
        tcp_on_data(p, p->from, piece);
    } else if (!side->held.index) {
        piece.marks = MR_PIECE_WEAK;
        if (tcp_hold(p, p->from, piece))
            side->flags |= SIDE_SYN_DATA;
    }
}

bool tcp_pick_up(struct pass *p)
{
    struct mr_tcp_direction *side = &p->tcp->side[p->from];

    if (side->flags & SIDE_BASE)
        return true;
    if (p->tcp->side[!p->from].flags & SIDE_SYN)
        return false; /* its SYN-ACK may be late */
    tcp_set_base(p, p->from, p->packet->tcp_seq);
    return true;
}

static bool renew(struct pass *p, enum mr_flow_end reason)
{
    struct mr_flow *flow = NULL;

    mr_tcp_finish(p->tcp, p->flow, reason, p->config, p->sink);
    struct mr_tcp *tcp = p->sink->renew(p->sink->user, &flow);
    if (!tcp || !flow)
        return false;
    p->tcp = tcp;
    p->flow = flow;
    return true;
}

/* The SYN of a flow comes again: of a connection that begins from the same number, or only late?
 * The first when the other side answers it anew: see confirmed(). Nothing that its sender alone
 * says tells that, or it could have the old stream end where it likes. A second copy of the packet,
 * which has its second copies of answers, must not count: it is near the first. Where time goes
 * back another capture begins, or the same once more, and of the flow the end may not have been
 * seen; a copy is never before what it copies. */
static void same_again(struct pass *p, bool over)
{
    struct mr_tcp_direction *side = &p->tcp->side[p->from];
    const struct mr_flow *flow = p->flow;
    uint64_t now_ns = p->packet->time_ns;
    bool back = over ? now_ns + DUPLICATE_NS < flow->last_ns ||
                           (now_ns <= flow->first_ns && now_ns < flow->last_ns)
                     : now_ns + REUSE_IDLE_NS < flow->last_ns;

    if (back || (over && now_ns > flow->first_ns + DUPLICATE_NS)) {
        side->alternate = side->isn;
        side->flags |= SIDE_ALTERNATE;
    }
}

/* A SYN or SYN-ACK on a flow that is over or half over. */
static void reuse_closed(struct pass *p, bool over)
{
    const struct mr_tcp_direction *side = &p->tcp->side[p->from];
    bool answers = p->packet->tcp_flags & MR_TCP_ACK;
    bool idle = p->packet->time_ns >= p->flow->last_ns + REUSE_IDLE_NS;
    bool same = side->flags & SIDE_BASE && p->packet->tcp_seq + 1 == side->isn;

    if (over && (!same || idle))
        renew(p, MR_FLOW_END_REUSED);
    else if (!over && idle && !same && !answers)
        renew(p, MR_FLOW_END_REUSED);
    else if (same && !answers)
        same_again(p, over);
}

/* Does this SYN-ACK answer a SYN that did not fit the flow? */
static bool confirmed(const struct pass *p, bool over)
{
    const struct mr_tcp_direction *side = &p->tcp->side[p->from];
    const struct mr_tcp_direction *other = &p->tcp->side[!p->from];

    return (over || p->tcp->flags & TCP_ESTABLISHED) && other->flags & SIDE_ALTERNATE &&
           p->packet->tcp_ack == other->alternate &&
           (other->alternate == other->isn || p->packet->tcp_seq + 1 != side->isn);
}

/* A SYN-ACK makes a new flow whose SYN went by on the old one. Where that was the old one's again,
 * the new one is not picked up in the middle. */
static void renew_after_syn(struct pass *p)
{
    const struct mr_tcp_direction *side = &p->tcp->side[!p->from];
    struct mr_tcp_direction syn = {.flags = SIDE_BASE | SIDE_SYN | (side->flags & SIDE_SCALE),
                                   .isn = side->isn,
                                   .next_seq = side->isn,
                                   .window = UINT16_MAX, /* no SYN grants more */
                                   .window_shift = side->window_shift};
    bool same = side->alternate == side->isn;

    if (renew(p, MR_FLOW_END_REUSED) && same)
        p->tcp->side[MR_TO_SERVER] = syn;
}

/* A SYN or SYN-ACK on a known flow. */
static void check_syn(struct pass *p, bool over)
{
    const struct mr_packet *packet = p->packet;
    const struct mr_tcp_direction *side = &p->tcp->side[p->from];
    const struct mr_tcp_direction *other = &p->tcp->side[!p->from];
    bool answers = packet->tcp_flags & MR_TCP_ACK;

    if (packet->tcp_flags & MR_TCP_FIN)
        return;
    if (answers && confirmed(p, over))
        renew_after_syn(p);
    else if (answers && !(side->flags & SIDE_SYN) && other->flags & SIDE_BASE &&
             packet->tcp_ack == other->isn)
        return; /* a late answer: it is of this connection */
    else if (over || (side->flags | other->flags) & SIDE_FIN)
        reuse_closed(p, over);
    else if (!answers && p->tcp->flags & TCP_ESTABLISHED && side->flags & SIDE_BASE &&
             packet->tcp_seq + 1 == side->isn)
        same_again(p, false);
}

void tcp_check_reuse(struct pass *p)
{
    const struct mr_packet *packet = p->packet;
    const struct mr_tcp_direction *side = &p->tcp->side[p->from];
    const struct mr_tcp_direction *other = &p->tcp->side[!p->from];
    bool over = p->tcp->flags & (TCP_ENDED | TCP_RESET) || (side->flags & other->flags & SIDE_FIN);

    if (packet->tcp_flags & MR_TCP_RST)
        return;
    if (packet->tcp_flags & MR_TCP_SYN) {
        check_syn(p, over);
        return;
    }
    if (!packet->payload_len || !(packet->tcp_flags & MR_TCP_ACK))
        return;
    if (p->tcp->flags & TCP_ENDED) {
        /* bytes that cannot be of the old connection: of a new one whose SYN was not captured */
        int64_t offset = (int32_t)(packet->tcp_seq - side->next_seq);
        if (p->config->midstream && side->flags & SIDE_BASE && side->delivered < INT32_MAX &&
            (offset > OLD_RANGE_BYTES || offset < -(int64_t)side->delivered - OLD_RANGE_BYTES))
            renew(p, MR_FLOW_END_REUSED);
    } else if (side->flags & SIDE_ALTERNATE && packet->tcp_seq == side->alternate &&
               p->tcp->flags & TCP_ESTABLISHED && !p->flow->packets[!p->from]) {
        renew(p, MR_FLOW_END_REUSED); /* one side only is seen: nobody else can confirm the SYN */
    }
}
