/* What passes uninspected: bytes behind the depth, and flows that are bypassed. The assembler goes
 * on to follow the numbers, so that the flow's end is seen; it keeps, compares and tells nothing.
 */
#include "stream/tcp_parts.h"

static void advance(struct pass *p, uint8_t d, uint32_t len)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];

    side->next_seq += len;
    side->delivered += len;
    p->flow->uninspected[d] += len;
}

void tcp_pass_by(struct pass *p, uint8_t d, uint32_t len)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];

    if (!(side->flags & SIDE_DEEP)) {
        struct mr_chunk chunk = {.kind = MR_CHUNK_GAP,
                                 .direction = d,
                                 .gap = MR_GAP_REST,
                                 .offset = side->delivered,
                                 .flow = p->flow};
        side->flags |= SIDE_DEEP;
        p->flow->depth_reached |= (uint8_t)(1u << d);
        tcp_clear_held(p->sink, side);
        p->sink->chunk(p->sink->user, &chunk, NULL);
    }
    advance(p, d, len);
}

void tcp_deliver_rest(struct pass *p, uint8_t d, const uint8_t *data, uint32_t len,
                      struct mr_buffer *buffer)
{
    uint32_t first = tcp_inspected(p, &p->tcp->side[d], len);

    if (first)
        tcp_deliver(p, d, data, first, buffer);
    else if (buffer)
        p->sink->buffer_put(p->sink->user, buffer);
    tcp_pass_by(p, d, len - first);
}

void tcp_pass_data(struct pass *p, uint8_t d, const struct mr_piece *piece)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    uint32_t end = piece->start + piece->len;

    /* holes are none of our business any more */
    if (!(side->flags & SIDE_BASE) || !mr_before(side->next_seq, end) ||
        end - side->next_seq > TCP_FAR_FROM_ANYTHING)
        return;
    /* what no receiver takes moves nothing, unless it is acknowledged later */
    if (side->flags & SIDE_EDGE && !mr_before(piece->start, side->edge)) {
        if (side->flags & SIDE_DEEPER) /* deep_end says how far that goes */
            return;
        if (!(side->flags & SIDE_AHEAD) || mr_before(side->deep_end, end))
            side->deep_end = end;
        side->flags |= SIDE_AHEAD;
        return;
    }
    advance(p, d, end - side->next_seq);
    if (side->flags & SIDE_AHEAD && !mr_before(side->next_seq, side->deep_end))
        side->flags &= ~(uint32_t)SIDE_AHEAD;
}

bool tcp_was_sent(const struct mr_tcp_direction *side, uint32_t seq)
{
    return mr_pieces_cover(&side->held, seq) ||
           (side->flags & (SIDE_DEEPER | SIDE_AHEAD) && mr_not_after(seq, side->deep_end));
}

/* Data behind the depth is not kept: remembers how far it goes. */
static void note_deeper(struct mr_tcp_direction *side, uint32_t end)
{
    if (!(side->flags & SIDE_DEEPER) || mr_before(side->deep_end, end))
        side->deep_end = end;
    side->flags |= SIDE_DEEPER;
}

bool tcp_too_deep(struct pass *p, uint8_t d, struct mr_piece *piece)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];

    if (!(side->flags & SIDE_BASE) || mr_before(piece->start, side->next_seq))
        return false;
    uint64_t offset = side->delivered + (piece->start - side->next_seq);
    if (offset >= p->config->depth) {
        note_deeper(side, piece->start + piece->len);
        return true;
    }
    if (piece->len > p->config->depth - offset) {
        note_deeper(side, piece->start + piece->len);
        piece->len = (uint32_t)(p->config->depth - offset);
    }
    return false;
}

void tcp_check_depth(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    bool fin_ahead = side->flags & SIDE_FIN && mr_before(side->next_seq, side->fin_seq);

    if (!(side->flags & SIDE_BASE) ||
        (side->delivered < p->config->depth && !(side->flags & SIDE_DEEP)))
        return;
    if (!fin_ahead && !(side->flags & SIDE_DEEPER))
        return;
    uint32_t to = side->next_seq;
    if (fin_ahead)
        to = side->fin_seq;
    else if (!(side->flags & SIDE_FIN) && mr_before(to, side->deep_end))
        to = side->deep_end; /* and once only: the numbers come round */
    side->flags &= ~(uint32_t)SIDE_DEEPER;
    tcp_pass_by(p, d, to - side->next_seq);
}

void tcp_bypass(struct pass *p)
{
    p->flow->bypass_asked = 0;
    p->flow->bypassed = 1;
    for (uint8_t d = 0; d < 2; d++) {
        p->tcp->side[d].flags |= SIDE_DEEP;
        tcp_clear_held(p->sink, &p->tcp->side[d]);
    }
}
