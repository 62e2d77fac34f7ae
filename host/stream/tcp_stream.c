/* Data: delivery in order, holes, and what lies beyond the window. */
#include "stream/tcp_parts.h"

#include <string.h>

#define SETTLE_BYTES   65536u
#define SETTLE_PACKETS 32u
#define SETTLE_NS      3000000000u

/* While the first byte of a direction is not known: */
#define PENDING_SEGMENTS  16u
#define PENDING_BYTES     65536u

#define FAR_FROM_ANYTHING (1 << 30)

static void gap(struct pass *p, uint8_t d, uint32_t len)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    struct mr_chunk chunk = {.kind = MR_CHUNK_GAP,
                             .direction = d,
                             .gap = len,
                             .offset = side->delivered,
                             .flow = p->flow};

    side->next_seq += len;
    side->delivered += len;
    p->flow->gap_bytes[d] += len;
    p->sink->chunk(p->sink->user, &chunk, NULL);
}

static void drop_last(struct pass *p, uint8_t d)
{
    struct held_entry e = tcp_held_pop(p, d);
    tcp_put_buffer(p->sink, e.buffer);
}

static bool behind_fin(const struct mr_tcp_direction *side, uint32_t seq)
{
    return side->flags & SIDE_FIN && !seq_lt(seq, side->fin_seq);
}

void tcp_drain(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    struct held_entry *front;

    while ((front = held_front(side)) && front->seq == side->next_seq && !front->beyond &&
           !behind_fin(side, front->seq)) {
        struct held_entry e = tcp_held_shift(p, d);
        if (side->flags & SIDE_FIN && seq_lt(side->fin_seq, e.seq + e.len))
            e.len = side->fin_seq - e.seq;
        if (e.skipped)
            side->next_seq += e.len;
        else
            tcp_deliver(p, d, e.buffer->data + e.skip, e.len, e.buffer);
    }
    if (side->flags & SIDE_FIN && side->next_seq == side->fin_seq &&
        !(side->flags & SIDE_FIN_DONE)) {
        side->flags |= SIDE_FIN_DONE;
        if (p->tcp->side[!d].flags & SIDE_FIN_DONE)
            tcp_tell_end(p, MR_FLOW_END_FIN);
    }
}

/* Gives up the first hole: goes on with what is held behind it. */
static void give_up_hole(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    uint32_t len = held_front(side)->seq - side->next_seq;

    if (len)
        gap(p, d, len);
    tcp_drain(p, d);
}

void tcp_settle(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    uint64_t packets = p->flow->packets[0] + p->flow->packets[1];
    struct held_entry *front = held_front(side);

    if (!front || !(side->flags & SIDE_BASE) || !(side->flags & SIDE_ACKED))
        return;
    struct held_index *index = held_index(side);
    if (index->settling) {
        bool passed = index->received - index->settle_received > SETTLE_BYTES ||
                      (packets - index->settle_packets >= SETTLE_PACKETS &&
                       p->flow->last_ns - index->settle_ns >= SETTLE_NS);
        if (!passed)
            return;
        uint32_t settled = index->settle_seq;
        index->settling = false;
        while ((front = held_front(side)) && !front->beyond && seq_le(front->seq, settled) &&
               !behind_fin(side, front->seq))
            give_up_hole(p, d);
        if (!front)
            return;
        index = held_index(side);
    }
    if (seq_le(front->seq, side->acked) && front->seq != side->next_seq) {
        index->settling = true;
        index->settle_seq = side->acked;
        index->settle_received = index->received;
        index->settle_packets = packets;
        index->settle_ns = p->flow->last_ns;
    }
}

void tcp_edge_moved(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];

    if (side->held && held_index(side)->n_beyond && !(side->flags & SIDE_SYN_DATA)) {
        tcp_held_admit(side, side->edge, !(side->flags & SIDE_EDGE));
        if (side->flags & SIDE_BASE)
            tcp_drain(p, d);
    }
}

/* The other side's acknowledgments have gone missing: goes on without a window until the next. */
static void lift_edge(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];

    side->flags &= ~(uint32_t)(SIDE_EDGE | SIDE_SYN_DATA);
    tcp_held_admit(side, 0, true);
}

/* A limit is reached: makes room by giving up what is worth least. False: nothing is held. */
static bool relieve(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    struct held_entry *front = held_front(side);

    if (!front)
        return false;
    if (!(side->flags & SIDE_BASE)) {
        tcp_set_base(p, d, front->seq);
        return true;
    }
    struct held_index *index = held_index(side);
    const struct held_entry *last = &index->entries[index->n - 1];
    if (behind_fin(side, last->seq) || (last->far_away && !front->far_away)) {
        drop_last(p, d);
        return true;
    }
    if (front->beyond)
        lift_edge(p, d);
    give_up_hole(p, d);
    return true;
}

void tcp_flush(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];

    if (p->tcp->flags & TCP_ENDED)
        return;
    while (side->held) {
        const struct held_index *index = held_index(side);
        const struct held_entry *last = &index->entries[index->n - 1];
        if (!last->far_away && !(side->flags & SIDE_BASE && behind_fin(side, last->seq)))
            break;
        drop_last(p, d);
    }
    if (side->held && side->flags & SIDE_SYN_DATA && !(side->flags & SIDE_ACKED))
        tcp_held_clear(p->sink, side); /* of a SYN that nobody answered */
    if (side->held && !(side->flags & SIDE_BASE))
        tcp_set_base(p, d, held_front(side)->seq);
    if (side->held)
        lift_edge(p, d);
    while (side->held && !(p->tcp->flags & TCP_ENDED))
        give_up_hole(p, d);
    if (!(side->flags & SIDE_BASE) || p->tcp->flags & TCP_ENDED)
        return;
    int32_t missing = 0;
    if (side->flags & SIDE_FIN)
        missing = (int32_t)(side->fin_seq - side->next_seq);
    else if (side->flags & SIDE_ACKED && (int32_t)(side->acked - side->next_seq) > 1)
        missing = (int32_t)(side->acked - side->next_seq); /* 1: a FIN that was not captured */
    if (missing > 0)
        gap(p, d, (uint32_t)missing);
    tcp_drain(p, d);
}

/* Bytes that were delivered before come again: are they the same, as far as is remembered? */
static void compare_delivered(struct pass *p, uint8_t d, const struct piece *piece)
{
    const struct mr_tcp_direction *side = &p->tcp->side[d];

    if (piece->skipped || (piece->len == 1 && piece->seq + 1 == side->next_seq))
        return; /* a keep-alive probe carries any byte */
    if (side->delivered < INT32_MAX && seq_lt(piece->seq, side->isn)) {
        anomaly(p, "stream.reassembly_segment_before_base_seq");
        return;
    }
    for (int i = 0; i < MR_TCP_SAMPLES; i++) {
        const struct mr_tcp_sample *s = &side->samples[i];
        int64_t offset = (int32_t)(s->seq - piece->seq);
        int64_t from = offset > 0 ? offset : 0;
        int64_t to = offset + s->len < piece->len ? offset + s->len : piece->len;
        if (from < to &&
            memcmp(piece->data + from, s->bytes + (from - offset), (size_t)(to - from))) {
            anomaly(p, "stream.reassembly_overlap_different_data");
            return;
        }
    }
}

static void hold_pending(struct pass *p, uint8_t d, struct piece piece)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];

    if (!tcp_hold(p, d, piece)) {
        tcp_set_base(p, d, side->held ? held_front(side)->seq : piece.seq);
        tcp_on_data(p, d, piece);
        return;
    }
    const struct held_index *index = held_index(side);
    if (index->n - index->first >= PENDING_SEGMENTS || side->held_bytes > PENDING_BYTES)
        tcp_set_base(p, d, held_front(side)->seq);
}

/* Where the piece stands to the window. False: so far from anything that it is ignored. */
static bool place(struct pass *p, const struct mr_tcp_direction *side, struct piece *piece)
{
    bool was_far_away = piece->far_away;

    piece->beyond = piece->far_away = false;
    if (!(side->flags & SIDE_EDGE)) {
        if ((int32_t)(piece->seq - side->next_seq) < FAR_FROM_ANYTHING)
            return true;
        anomaly(p, "stream.est_packet_out_of_window");
        return false;
    }
    if (!seq_lt(piece->seq, side->edge)) {
        piece->beyond = true;
        piece->far_away = piece->seq - side->edge > p->config->max_held_bytes;
        if (piece->far_away && !was_far_away)
            anomaly(p, "stream.est_packet_out_of_window");
    }
    return true;
}

void tcp_on_data(struct pass *p, uint8_t d, struct piece piece)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];

    if (!(side->flags & SIDE_BASE)) {
        hold_pending(p, d, piece);
        return;
    }
    while (!(p->tcp->flags & TCP_ENDED)) {
        uint32_t old = side->next_seq - piece.seq;
        if ((int32_t)old > 0) {
            compare_delivered(p, d, &piece);
            if (old >= piece.len)
                return;
            piece.seq += old;
            piece.data += old;
            piece.len -= old;
        }
        if (!place(p, side, &piece))
            return;
        struct held_entry *front = held_front(side);
        uint32_t end = piece.seq + piece.len;
        if (piece.seq == side->next_seq && !piece.beyond && (!front || seq_le(end, front->seq)) &&
            (!(side->flags & SIDE_FIN) || seq_le(end, side->fin_seq))) {
            if (piece.skipped)
                side->next_seq += piece.len;
            else
                tcp_deliver(p, d, piece.data, piece.len, NULL);
            tcp_drain(p, d);
            return;
        }
        if (tcp_hold(p, d, piece)) {
            tcp_drain(p, d);
            return;
        }
        front = held_front(side);
        if (behind_fin(side, piece.seq) || (piece.far_away && front && !front->far_away))
            return; /* nothing worth a hole */
        if (!relieve(p, d)) {
            if (piece.beyond)
                return;
            if (piece.seq != side->next_seq)
                gap(p, d, piece.seq - side->next_seq);
            else if (side->flags & SIDE_FIN && seq_lt(side->fin_seq, end))
                piece.len = side->fin_seq - piece.seq;
        }
    }
}

void tcp_cut_off(struct pass *p, uint32_t seq, uint32_t len)
{
    struct mr_tcp_direction *side = &p->tcp->side[p->from];

    if (seq != side->next_seq)
        return;
    const struct held_entry *front = held_front(side);
    if (front && seq_lt(front->seq, seq + len))
        len = front->seq - seq;
    if (len)
        gap(p, p->from, len);
    tcp_drain(p, p->from);
}
