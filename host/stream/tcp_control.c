/* What moves without data: acknowledgments, windows, FIN, RST, and the states inferred. */
#include "stream/tcp_parts.h"

#define MAX_ODD_ACKS 16

/* Its sender speaks as one who was answered: what becomes of data in its SYN, when the answer
 * itself was not seen? */
static void settle_syn_data(struct pass *p)
{
    struct mr_tcp_direction *side = &p->tcp->side[p->from];

    side->flags &= ~(uint32_t)SIDE_SYN_DATA;
    if (!side->held.index)
        return;
    if (mr_pieces_cover(&side->held, p->packet->tcp_seq)) {
        mr_pieces_strengthen_all(&side->held);
        tcp_drain(p, p->from);
    } else {
        tcp_clear_held(p->sink, side);
    }
}

/* The other side's FIN is acknowledged, or shown to be none. */
static void ack_fin(struct pass *p, struct mr_tcp_direction *other, uint32_t ack)
{
    if (ack == other->fin_seq + 1) {
        other->flags |= SIDE_FIN_ACKED;
    } else if (mr_before(other->fin_seq + 1, ack) && mr_pieces_cover(&other->held, ack)) {
        other->flags &= ~(uint32_t)(SIDE_FIN | SIDE_FIN_DONE | SIDE_FIN_ACKED | SIDE_FIN_FIRST);
        anomaly(p, "stream.fin_invalid_ack");
        tcp_drain(p, !p->from);
    }
}

/* Can the sender of this acknowledgment have so much? It can when it granted the window for it, or
 * when it was sent to it. When the other side is silent nothing can be said, and the acknowledgment
 * is believed if many of its kind come: packets were lost on the way here. */
static bool plausible(struct pass *p, uint32_t ack)
{
    struct mr_tcp_direction *side = &p->tcp->side[p->from];
    const struct mr_tcp_direction *other = &p->tcp->side[!p->from];
    uint32_t packets = (uint32_t)p->flow->packets[!p->from];

    if (!(other->flags & SIDE_EDGE) || mr_not_after(ack, other->edge) ||
        (other->flags & SIDE_FIN && ack == other->fin_seq + 1) ||
        mr_not_after(ack, other->next_seq) || tcp_was_sent(other, ack) || !packets) {
        side->odd_acks = 0;
        return true;
    }
    if (!side->odd_acks || side->odd_since != packets) {
        side->odd_acks = 0;
        side->odd_since = packets;
    }
    return ++side->odd_acks > MAX_ODD_ACKS;
}

enum tcp_ack tcp_on_ack(struct pass *p)
{
    struct mr_tcp_direction *side = &p->tcp->side[p->from];
    struct mr_tcp_direction *other = &p->tcp->side[!p->from];
    uint32_t ack = p->packet->tcp_ack;
    uint32_t window = tcp_window(side, other, p->packet);

    if (side->flags & SIDE_SYN_DATA)
        settle_syn_data(p);
    if (other->flags & SIDE_BASE) {
        if (other->flags & SIDE_ALTERNATE && ack == other->alternate && ack != other->isn &&
            !other->delivered && !(other->flags & SIDE_SYN_ACKED)) {
            tcp_clear_held(p->sink, other);
            other->flags &= ~(uint32_t)(SIDE_ALTERNATE | SIDE_ACKED | SIDE_EDGE);
            tcp_set_base(p, !p->from, ack);
        }
        if (other->flags & SIDE_SYN && mr_before(ack, other->isn)) {
            anomaly(p, p->tcp->flags & TCP_ESTABLISHED ? "stream.pkt_invalid_ack"
                                                       : "stream.3whs_wrong_seq_wrong_ack");
            return TCP_ACK_REFUSED;
        }
        if (!plausible(p, ack)) {
            anomaly(p, "stream.pkt_invalid_ack");
            return TCP_ACK_DOUBTFUL;
        }
        if (other->flags & SIDE_SYN)
            other->flags |= SIDE_SYN_ACKED;
        if (other->flags & SIDE_FIN)
            ack_fin(p, other, ack);
    }
    if (!(other->flags & SIDE_ACKED) || mr_before(other->acked, ack)) {
        other->acked = ack;
        other->flags |= SIDE_ACKED;
    }
    side->window = window;
    if (!(other->flags & SIDE_EDGE) || mr_before(other->edge, ack + window)) {
        other->edge = ack + window;
        other->flags |= SIDE_EDGE;
    }
    tcp_edge_moved(p, !p->from);
    if (side->flags & SIDE_SYN)
        p->tcp->flags |= TCP_ESTABLISHED;
    return TCP_ACK_TAKEN;
}

void tcp_on_fin(struct pass *p, uint32_t fin_seq)
{
    struct mr_tcp_direction *side = &p->tcp->side[p->from];

    if (p->tcp->flags & TCP_ENDED)
        return;
    if (side->flags & SIDE_FIN) {
        if (fin_seq != side->fin_seq)
            anomaly(p, side->flags & SIDE_FIN_ACKED ? "stream.fin2_fin_wrong_seq"
                                                    : "stream.fin1_fin_wrong_seq");
        return;
    }
    if (side->flags & SIDE_BASE) {
        uint32_t limit =
            (side->flags & SIDE_EDGE ? side->edge : side->next_seq) + p->config->max_held_bytes;
        if (mr_before(fin_seq, side->next_seq) ||
            (!mr_not_after(fin_seq, limit) && !tcp_was_sent(side, fin_seq))) {
            anomaly(p, "stream.fin_out_of_window");
            return;
        }
    }
    side->fin_seq = fin_seq;
    side->flags |= SIDE_FIN;
    if (!(p->tcp->side[!p->from].flags & SIDE_FIN))
        side->flags |= SIDE_FIN_FIRST;
    if (side->flags & SIDE_BASE)
        tcp_drain(p, p->from);
}

/* Would its receiver take this RST? */
static bool rst_valid(struct pass *p)
{
    const struct mr_tcp_direction *side = &p->tcp->side[p->from];
    const struct mr_tcp_direction *other = &p->tcp->side[!p->from];
    uint32_t seq = p->packet->tcp_seq, ack = p->packet->tcp_ack;
    bool has_ack = p->packet->tcp_flags & MR_TCP_ACK;

    if (!(side->flags & SIDE_BASE)) {
        /* the answer to a SYN, or to a side that alone is seen, must name its number */
        if (!(other->flags & SIDE_BASE))
            return false;
        if (has_ack ? ack - other->isn <= other->next_seq - other->isn + other->held.bytes ||
                          (other->flags & SIDE_ALTERNATE && ack == other->alternate)
                    : side->flags & SIDE_ACKED && seq == side->acked)
            return true;
        anomaly(p, "stream.rst_invalid_ack");
        return false;
    }
    if (has_ack && other->flags & SIDE_SYN && mr_before(ack, other->isn)) {
        anomaly(p, "stream.rst_invalid_ack");
        return false;
    }
    uint32_t low = side->next_seq, high = side->next_seq + p->config->max_held_bytes;
    if (side->flags & SIDE_ACKED && mr_before(side->acked, low))
        low = side->acked;
    if (side->flags & SIDE_EDGE)
        high = side->edge;
    if (seq == side->next_seq || seq == side->next_seq + 1 ||
        (mr_not_after(low, seq) && mr_not_after(seq, high)))
        return true;
    if (!mr_before(seq, low) || mr_before(seq, side->isn - 1))
        anomaly(p, "stream.est_packet_out_of_window");
    return false;
}

void tcp_on_rst(struct pass *p)
{
    if (p->tcp->flags & (TCP_RESET | TCP_ENDED))
        return;
    if (!(p->tcp->flags & TCP_PICKED_UP)) {
        anomaly(p, "stream.rst_but_no_session");
        return;
    }
    if (!rst_valid(p))
        return;
    p->tcp->flags |= TCP_RESET | (p->from ? TCP_RESET_BY_SERVER : 0u);
    p->tcp->rst_seq = p->packet->tcp_seq;
    p->flow->end = MR_FLOW_END_RESET;
}

void tcp_check_reset(struct pass *p)
{
    const struct mr_tcp_direction *side = &p->tcp->side[p->from];
    const struct mr_packet *packet = p->packet;
    bool by = p->tcp->flags & TCP_RESET_BY_SERVER;
    bool answers = (packet->tcp_flags & (MR_TCP_SYN | MR_TCP_ACK)) == (MR_TCP_SYN | MR_TCP_ACK);

    if (by != p->from || packet->tcp_flags & MR_TCP_RST)
        return;
    bool goes_on = !(side->flags & SIDE_BASE)
                       ? answers || packet->payload_len
                       : !(packet->tcp_flags & MR_TCP_SYN) && packet->payload_len &&
                             mr_before(p->tcp->rst_seq, packet->tcp_seq + packet->payload_len);
    if (!goes_on)
        return;
    anomaly(p, "stream.suspected_rst_inject");
    p->tcp->flags &= ~(uint32_t)(TCP_RESET | TCP_RESET_BY_SERVER);
    p->flow->end = MR_FLOW_OPEN;
}

enum mr_tcp_state mr_tcp_endpoint_state(const struct mr_tcp *tcp, enum mr_direction sender)
{
    uint32_t own = tcp->side[sender].flags, other = tcp->side[!sender].flags;
    bool fin = own & SIDE_FIN, other_fin = other & SIDE_FIN_DONE, acked = own & SIDE_FIN_ACKED;

    if (tcp->flags & TCP_RESET || !(tcp->flags & TCP_PICKED_UP))
        return MR_TCP_CLOSED;
    if (fin && other_fin) {
        if (!(own & SIDE_FIN_FIRST))
            return acked ? MR_TCP_CLOSED : MR_TCP_LAST_ACK;
        return acked ? MR_TCP_TIME_WAIT : MR_TCP_CLOSING;
    }
    if (fin)
        return acked ? MR_TCP_FIN_WAIT_2 : MR_TCP_FIN_WAIT_1;
    if (other_fin)
        return MR_TCP_CLOSE_WAIT;
    if (tcp->flags & TCP_ESTABLISHED)
        return MR_TCP_ESTABLISHED;
    if (own & SIDE_SYN)
        return other & SIDE_SYN ? (own & SIDE_SYN_ACKED ? MR_TCP_ESTABLISHED : MR_TCP_SYN_RECEIVED)
                                : MR_TCP_SYN_SENT;
    return other & SIDE_SYN ? MR_TCP_SYN_RECEIVED : MR_TCP_LISTEN;
}

const char *mr_tcp_state_name(enum mr_tcp_state state)
{
    static const char *const names[] = {
#define X(name, text) [name] = text,
        MR_TCP_STATE_LIST(X)
#undef X
    };
    return names[state];
}
