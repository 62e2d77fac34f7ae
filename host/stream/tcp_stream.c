/* Data: delivery in order, holes, and what lies beyond the window. */
#include "stream/tcp_parts.h"

#include <string.h>

/* Patience with holes that are acknowledged: so many bytes and packets, or so long and packets. */
#define SETTLE_BYTES         65536u
#define SETTLE_BYTES_PACKETS 16u
#define SETTLE_NS            3000000000u
#define SETTLE_NS_PACKETS    32u

/* While the first byte of a direction is not known: */
#define PENDING_SEGMENTS 16u
#define PENDING_BYTES    65536u

static void gap(struct pass *p, uint8_t d, uint32_t len)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    uint32_t told = tcp_inspected(p, side, len);
    struct mr_chunk chunk = {.kind = MR_CHUNK_GAP,
                             .direction = d,
                             .gap = told,
                             .offset = side->delivered,
                             .flow = p->flow};

    side->next_seq += told;
    side->delivered += told;
    p->flow->gap_bytes[d] += told;
    if (told)
        p->sink->chunk(p->sink->user, &chunk, NULL);
    if (told < len)
        tcp_pass_by(p, d, len - told);
}

static bool behind_fin(const struct mr_tcp_direction *side, uint32_t seq)
{
    return side->flags & SIDE_FIN && !mr_before(seq, side->fin_seq);
}

bool tcp_hold(struct pass *p, uint8_t d, struct mr_piece piece)
{
    struct mr_piece_rules rules = tcp_rules(p->sink);

    if (tcp_too_deep(p, d, &piece))
        return true;
    piece.order = (uint16_t)(p->flow->packets[0] + p->flow->packets[1]);
    rules.new_wins = mr_overlap_new_wins_tcp;
    rules.policy = p->config->policy;
    rules.max_bytes = p->config->max_held_bytes;
    rules.max_pieces = p->config->max_held_segments;
    bool done = mr_pieces_insert(&p->tcp->side[d].held, &rules, piece);
    if (rules.differed)
        anomaly(p, "stream.reassembly_overlap_different_data");
    return done;
}

/* Has the other direction a piece that came before this one? */
static bool other_first(const struct pass *p, uint8_t d, const struct mr_kept *front)
{
    const struct mr_kept *other = mr_pieces_front(&p->tcp->side[!d].held);
    return other && mr_came_before(other, front);
}

void tcp_drain(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    const struct mr_piece_rules rules = tcp_rules(p->sink);
    const struct mr_kept *front;

    while ((front = mr_pieces_front(&side->held)) && front->start == side->next_seq &&
           !(front->marks & MR_PIECE_WEAK) && !behind_fin(side, front->start) &&
           !(p->merging && other_first(p, d, front))) {
        struct mr_kept k = mr_pieces_shift(&side->held, &rules);
        if (side->flags & SIDE_FIN && mr_before(side->fin_seq, k.start + k.len))
            k.len = side->fin_seq - k.start;
        if (k.marks & MR_PIECE_VOID)
            side->next_seq += k.len;
        else
            tcp_deliver(p, d, k.buffer->data + k.skip, k.len, k.buffer);
    }
    tcp_check_depth(p, d);
    if (side->flags & SIDE_FIN && side->next_seq == side->fin_seq &&
        !(side->flags & SIDE_FIN_DONE)) {
        side->flags |= SIDE_FIN_DONE;
        if (p->tcp->side[!d].flags & SIDE_FIN_DONE)
            tcp_tell_end(p, MR_FLOW_END_FIN);
    }
}

/* Gives up the first hole: goes on with what is held behind it. Whoever calls this in a loop relies
 * on one piece less each time; a front that cannot be delivered even now (it lies behind the end,
 * though the last piece does not: half a sequence space between them) is dropped. */
static void give_up_hole(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    uint32_t before = mr_pieces_count(&side->held);
    uint32_t start = mr_pieces_front(&side->held)->start;

    if (!behind_fin(side, start) && !mr_before(start, side->next_seq)) {
        if (start != side->next_seq)
            gap(p, d, start - side->next_seq);
        tcp_drain(p, d);
    }
    if (side->held.index && mr_pieces_count(&side->held) == before) {
        const struct mr_piece_rules rules = tcp_rules(p->sink);
        struct mr_kept k = mr_pieces_shift(&side->held, &rules);
        if (k.buffer)
            p->sink->buffer_put(p->sink->user, k.buffer);
    }
}

/* Has enough passed since the hole was first seen acknowledged? */
static bool settled(const struct pass *p, const struct mr_piece_index *index)
{
    uint64_t packets = p->flow->packets[0] + p->flow->packets[1] - index->settle_packets;

    return (packets >= SETTLE_BYTES_PACKETS &&
            index->received - index->settle_received > SETTLE_BYTES) ||
           (packets >= SETTLE_NS_PACKETS && p->flow->last_ns - index->settle_ns >= SETTLE_NS);
}

/* The front of a direction, if the hole before it is given up now. */
static const struct mr_kept *given_up(const struct pass *p, uint8_t d, const bool of[2])
{
    const struct mr_tcp_direction *side = &p->tcp->side[d];
    const struct mr_kept *front = of[d] ? mr_pieces_front(&side->held) : NULL;

    if (!front || front->marks & MR_PIECE_WEAK || behind_fin(side, front->start) ||
        !mr_not_after(front->start, mr_piece_index(&side->held)->settle_seq))
        return NULL;
    return front;
}

/* A hole that the other direction waits for less long is given up with it, if it has seen as many
 * packets: who reads both learns what was said in the order in which it was said. */
static void settle(struct pass *p, uint8_t d)
{
    const struct mr_pieces *held[2] = {&p->tcp->side[0].held, &p->tcp->side[1].held};
    const struct mr_kept *front[2];
    bool of[2] = {true, true};

    if (held[!d]->index) {
        const struct mr_piece_index *other = mr_piece_index(held[!d]);
        uint64_t packets = p->flow->packets[0] + p->flow->packets[1] - other->settle_packets;
        of[!d] = other->settling && packets >= SETTLE_BYTES_PACKETS;
    }
    while (front[0] = given_up(p, 0, of), front[1] = given_up(p, 1, of), front[0] || front[1]) {
        uint8_t next = !front[0] || (front[1] && mr_came_before(front[1], front[0]));
        p->merging = front[!next] != NULL;
        give_up_hole(p, next);
    }
    p->merging = false;
    for (uint8_t i = 0; i < 2; i++) {
        if (!of[i])
            continue;
        tcp_drain(p, i);
        if (held[i]->index)
            mr_piece_index(held[i])->settling = false;
    }
}

void tcp_settle(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    const struct mr_kept *front = mr_pieces_front(&side->held);

    if (!front || !(side->flags & SIDE_BASE) || !(side->flags & SIDE_ACKED))
        return;
    struct mr_piece_index *index = mr_piece_index(&side->held);
    if (index->settling) {
        if (!settled(p, index))
            return;
        settle(p, d);
        front = mr_pieces_front(&side->held);
        if (!front)
            return;
        index = mr_piece_index(&side->held);
    }
    if (mr_not_after(front->start, side->acked) && front->start != side->next_seq) {
        index->settling = true;
        index->settle_seq = side->acked;
        index->settle_received = index->received;
        index->settle_packets = p->flow->packets[0] + p->flow->packets[1];
        index->settle_ns = p->flow->last_ns;
    }
}

void tcp_edge_moved(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];

    if (!side->held.index || side->flags & SIDE_SYN_DATA)
        return;
    mr_pieces_strengthen(&side->held, side->acked, side->edge);
    if (side->flags & SIDE_BASE)
        tcp_drain(p, d);
}

/* The other side's acknowledgments have gone missing: goes on without a window until the next. */
static void lift_edge(struct mr_tcp_direction *side)
{
    side->flags &= ~(uint32_t)(SIDE_EDGE | SIDE_SYN_DATA);
    mr_pieces_strengthen_all(&side->held);
}

static void drop_last(struct pass *p, uint8_t d)
{
    const struct mr_piece_rules rules = tcp_rules(p->sink);
    struct mr_kept k = mr_pieces_pop(&p->tcp->side[d].held, &rules);

    if (k.buffer)
        p->sink->buffer_put(p->sink->user, k.buffer);
}

/* A limit is reached: makes room by giving up what is worth least. False: nothing is held. */
static bool relieve(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    const struct mr_kept *front = mr_pieces_front(&side->held);

    if (!front)
        return false;
    const struct mr_kept *last = mr_pieces_last(&side->held);
    if (behind_fin(side, last->start) ||
        (last->marks & MR_PIECE_FAR && !(front->marks & MR_PIECE_FAR))) {
        drop_last(p, d);
        return true;
    }
    if (front->marks & MR_PIECE_WEAK)
        lift_edge(side);
    give_up_hole(p, d);
    return true;
}

/* Drops what nobody has acknowledged and nothing reaches, and lets all the rest in. */
static void drop_forlorn(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    const struct mr_kept *last;

    if (side->flags & SIDE_SYN_DATA && !(side->flags & SIDE_ACKED))
        tcp_clear_held(p->sink, side); /* of a SYN that nobody answered */
    if (side->held.index && !(side->flags & SIDE_BASE))
        tcp_set_base(p, d, mr_pieces_front(&side->held)->start);
    while ((last = mr_pieces_last(&side->held)) &&
           (last->marks & MR_PIECE_FAR || behind_fin(side, last->start)))
        drop_last(p, d);
    lift_edge(side);
}

/* What is missing behind the last piece. */
static void flush_end(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    int32_t missing = 0;

    if (!(side->flags & SIDE_BASE) || p->tcp->flags & TCP_ENDED)
        return;
    if (side->flags & SIDE_FIN)
        missing = (int32_t)(side->fin_seq - side->next_seq);
    else if (side->flags & SIDE_ACKED && p->flow->packets[d] &&
             (int32_t)(side->acked - side->next_seq) > 1)
        missing = (int32_t)(side->acked - side->next_seq); /* 1: a FIN that was not captured */
    if (missing > 0 && !(side->flags & SIDE_DEEP))
        gap(p, d, (uint32_t)missing);
    tcp_drain(p, d);
}

void tcp_flush(struct pass *p)
{
    const struct mr_pieces *held[2] = {&p->tcp->side[0].held, &p->tcp->side[1].held};

    if (p->tcp->flags & TCP_ENDED)
        return;
    drop_forlorn(p, MR_TO_SERVER);
    drop_forlorn(p, MR_TO_CLIENT);
    p->merging = true;
    while ((held[0]->index || held[1]->index) && !(p->tcp->flags & TCP_ENDED))
        give_up_hole(p, !held[0]->index || other_first(p, 0, mr_pieces_front(held[0])));
    p->merging = false;
    flush_end(p, MR_TO_SERVER);
    flush_end(p, MR_TO_CLIENT);
}

/* Bytes that were delivered before come again: are they the same, as far as is remembered? */
static void compare_delivered(struct pass *p, uint8_t d, const struct mr_piece *piece)
{
    const struct mr_tcp_direction *side = &p->tcp->side[d];

    if (piece->marks & MR_PIECE_VOID || (piece->len == 1 && piece->start + 1 == side->next_seq))
        return; /* a keep-alive probe carries any byte */
    if (side->delivered < INT32_MAX && mr_before(piece->start, side->isn)) {
        anomaly(p, "stream.reassembly_segment_before_base_seq");
        return;
    }
    for (int i = 0; i < MR_TCP_SAMPLES; i++) {
        const struct mr_tcp_sample *s = &p->tcp->samples[d][i];
        int64_t offset = (int32_t)(s->seq - piece->start);
        int64_t from = offset > 0 ? offset : 0;
        int64_t to = offset + s->len < piece->len ? offset + s->len : piece->len;
        if (from < to &&
            memcmp(piece->data + from, s->bytes + (from - offset), (size_t)(to - from))) {
            anomaly(p, "stream.reassembly_overlap_different_data");
            return;
        }
    }
}

static void hold_pending(struct pass *p, uint8_t d, struct mr_piece piece)
{
    const struct mr_pieces *held = &p->tcp->side[d].held;

    if (!tcp_hold(p, d, piece)) {
        tcp_set_base(p, d, held->index ? mr_pieces_front(held)->start : piece.start);
        tcp_on_data(p, d, piece);
        return;
    }
    if (mr_pieces_count(held) >= PENDING_SEGMENTS || held->bytes > PENDING_BYTES)
        tcp_set_base(p, d, mr_pieces_front(held)->start);
}

/* Where the piece stands to the window. False: so far from anything that it is ignored. */
static bool place(struct pass *p, const struct mr_tcp_direction *side, struct mr_piece *piece)
{
    bool was_far = piece->marks & MR_PIECE_FAR;

    piece->marks &= MR_PIECE_VOID | MR_PIECE_DOUBT;
    if (piece->marks & MR_PIECE_DOUBT)
        piece->marks |= MR_PIECE_WEAK;
    if (!(side->flags & SIDE_EDGE)) {
        if ((int32_t)(piece->start - side->next_seq) < TCP_FAR_FROM_ANYTHING)
            return true;
        anomaly(p, "stream.est_packet_out_of_window");
        return false;
    }
    if (mr_before(piece->start, side->edge))
        return true;
    piece->marks |= MR_PIECE_WEAK;
    /* more than can be held: what reaches there without a hole has lifted the edge before */
    if (piece->start - side->edge > 2 * (uint64_t)p->config->max_held_bytes) {
        piece->marks |= MR_PIECE_FAR;
        if (!was_far)
            anomaly(p, "stream.est_packet_out_of_window");
    }
    return true;
}

/* Can the piece be delivered as it lies in the packet? */
static bool is_next(const struct mr_tcp_direction *side, const struct mr_piece *piece)
{
    const struct mr_kept *front = mr_pieces_front(&side->held);
    uint32_t end = piece->start + piece->len;

    return piece->start == side->next_seq && !(piece->marks & MR_PIECE_WEAK) &&
           (!front || mr_not_after(end, front->start)) &&
           (!(side->flags & SIDE_FIN) || mr_not_after(end, side->fin_seq));
}

/* There is no room for the piece. False: it is not worth what room would cost. */
static bool force(struct pass *p, uint8_t d, struct mr_piece *piece)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    const struct mr_kept *front = mr_pieces_front(&side->held);

    if (behind_fin(side, piece->start) ||
        (piece->marks & MR_PIECE_FAR && front && !(front->marks & MR_PIECE_FAR)))
        return false;
    if (relieve(p, d))
        return true;
    if (piece->marks & MR_PIECE_WEAK)
        return false;
    if (piece->start != side->next_seq)
        gap(p, d, piece->start - side->next_seq);
    else if (side->flags & SIDE_FIN)
        piece->len = side->fin_seq - piece->start;
    return true;
}

void tcp_on_data(struct pass *p, uint8_t d, struct mr_piece piece)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];

    if (UNLIKELY(side->flags & SIDE_DEEP)) {
        tcp_pass_data(p, d, &piece);
        if (side->flags & SIDE_BASE)
            tcp_drain(p, d);
        return;
    }
    if (!(side->flags & SIDE_BASE)) {
        hold_pending(p, d, piece);
        return;
    }
    while (!(p->tcp->flags & TCP_ENDED) && !(side->flags & SIDE_DEEP)) {
        uint32_t old = side->next_seq - piece.start;
        if ((int32_t)old > 0) {
            compare_delivered(p, d, &piece);
            if (old >= piece.len)
                return;
            piece.start += old;
            piece.data += old;
            piece.len -= old;
        }
        if (!place(p, side, &piece))
            return;
        if (is_next(side, &piece)) {
            if (piece.marks & MR_PIECE_VOID)
                side->next_seq += piece.len;
            else
                tcp_deliver(p, d, piece.data, piece.len, NULL);
            break;
        }
        if (tcp_hold(p, d, piece))
            break;
        if (!force(p, d, &piece))
            return;
    }
    if (UNLIKELY(side->flags & SIDE_DEEP))
        tcp_pass_data(p, d, &piece);
    tcp_drain(p, d);
}

void tcp_cut_off(struct pass *p, uint32_t seq, uint32_t len)
{
    struct mr_tcp_direction *side = &p->tcp->side[p->from];
    const struct mr_kept *front = mr_pieces_front(&side->held);

    if (seq != side->next_seq)
        return;
    if (front && mr_before(front->start, seq + len))
        len = front->start - seq;
    if (len)
        gap(p, p->from, len);
    tcp_drain(p, p->from);
}
