/* Segments out of order: a sorted index over pool buffers, and who wins where they overlap.
 *
 * Entries keep the bounds that the receiver's own queue would have, since policies decide by
 * bounds; only when the index is full are neighbours joined. */
#include "stream/overlap.h"
#include "stream/tcp_parts.h"

#include <string.h>

#define FIRST_ROOM       8
#define JOIN_LIMIT_BYTES 65536

static uint32_t entry_end(const struct held_entry *e)
{
    return e->seq + e->len;
}

static void put_index(const struct mr_tcp_sink *sink, struct mr_tcp_direction *side)
{
    tcp_put_buffer(sink, side->held);
    side->held = NULL;
    side->held_bytes = 0;
}

/* An index with room for one more entry at its end; NULL when there is none to be had. */
static struct held_index *make_room(const struct pass *p, struct mr_tcp_direction *side)
{
    struct held_index *index = side->held ? held_index(side) : NULL;

    if (index && index->n < index->room)
        return index;
    if (index && index->first > index->room / 4) {
        index->n -= index->first;
        memmove(index->entries, index->entries + index->first, index->n * sizeof *index->entries);
        index->first = 0;
        return index;
    }
    size_t room = index ? (size_t)index->room * 2 : FIRST_ROOM;
    struct mr_buffer *buffer =
        p->sink->buffer_get(p->sink->user, sizeof *index + room * sizeof(struct held_entry));
    if (!buffer)
        return NULL;
    room = (buffer->capacity - sizeof *index) / sizeof(struct held_entry);
    struct held_index *larger = (struct held_index *)(void *)buffer->data;
    if (index) {
        memcpy(larger, index, sizeof *index + index->n * sizeof *index->entries);
        tcp_put_buffer(p->sink, side->held);
    } else {
        memset(larger, 0, sizeof *larger);
    }
    larger->room = (uint32_t)room;
    side->held = buffer;
    return larger;
}

/* Inserts the part [start, end) of a piece as entry number `at`, counted from the first; false: no
 * room or no buffer. */
static bool emit(const struct pass *p, struct mr_tcp_direction *side, const struct piece *piece,
                 uint32_t start, uint32_t end, uint32_t at)
{
    uint32_t len = end - start;
    struct mr_buffer *buffer = NULL;

    if (side->held_bytes + (uint64_t)len > p->config->max_held_bytes)
        return false;
    struct held_index *index = make_room(p, side);
    if (!index)
        return false;
    if (!piece->skipped) {
        buffer = p->sink->buffer_get(p->sink->user, len);
        if (!buffer)
            return false;
        memcpy(buffer->data, piece->data + (start - piece->seq), len);
        buffer->len = len;
    }
    struct held_entry *entries = index->entries + index->first;
    uint32_t n = index->n - index->first;
    if (!at && index->first) {
        index->first--;
        entries--;
    } else {
        memmove(entries + at + 1, entries + at, (n - at) * sizeof *entries);
        index->n++;
    }
    entries[at] = (struct held_entry){.seq = start,
                                      .len = len,
                                      .beyond = piece->beyond,
                                      .far_away = piece->far_away,
                                      .skipped = piece->skipped,
                                      .buffer = buffer};
    index->n_beyond += piece->beyond;
    index->received += len;
    side->held_bytes += len;
    return true;
}

static void remove_at(const struct pass *p, struct mr_tcp_direction *side, uint32_t at)
{
    struct held_index *index = held_index(side);
    struct held_entry *entries = index->entries + index->first;
    uint32_t n = index->n - index->first;

    tcp_put_buffer(p->sink, entries[at].buffer);
    side->held_bytes -= entries[at].len;
    index->n_beyond -= entries[at].beyond;
    memmove(entries + at, entries + at + 1, (n - at - 1) * sizeof *entries);
    index->n--;
}

/* The first entry that ends behind seq. */
static uint32_t lower_bound(const struct held_index *index, uint32_t seq)
{
    uint32_t low = index->first, high = index->n;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (seq_lt(seq, entry_end(&index->entries[middle])))
            high = middle;
        else
            low = middle + 1;
    }
    return low - index->first;
}

/* Does the piece win what it shares with the entry? Tells when the bytes differ. */
static bool piece_wins(const struct pass *p, const struct held_entry *e, const struct piece *piece,
                       uint32_t start, uint32_t end)
{
    if (e->skipped || piece->skipped)
        return false;
    if (memcmp(e->buffer->data + e->skip + (start - e->seq), piece->data + (start - piece->seq),
               end - start))
        anomaly(p, "stream.reassembly_overlap_different_data");
    if (e->beyond != piece->beyond)
        return e->beyond;
    return mr_overlap_new_wins_tcp(p->config->policy, (int32_t)(piece->seq - e->seq),
                                   (int32_t)(piece->seq + piece->len - entry_end(e)));
}

/* The piece won [start, end) of entry `at`: cuts the entry. True when the entry is gone. */
static bool cut_entry(const struct pass *p, struct mr_tcp_direction *side, uint32_t at,
                      uint32_t start, uint32_t end)
{
    struct held_index *index = held_index(side);
    struct held_entry *e = &index->entries[index->first + at];

    if (start == e->seq && end == entry_end(e)) {
        remove_at(p, side, at);
        return true;
    }
    side->held_bytes -= end - start;
    if (start == e->seq) {
        e->seq += end - start;
        e->skip += end - start;
    }
    e->len -= end - start;
    return false;
}

/* tcp_hold(), but for what it leaves behind when it fails. */
static bool insert(struct pass *p, uint8_t d, struct piece piece)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    uint32_t start = piece.seq, end = piece.seq + piece.len;
    uint32_t at = 0;

    if (side->held) {
        struct held_index *index = held_index(side);
        if (index->n - index->first >= p->config->max_held_segments && !tcp_held_join(p, d))
            return false;
        at = lower_bound(index, start);
    }
    while (start != end && side->held) {
        struct held_index *index = held_index(side);
        struct held_entry *e = &index->entries[index->first + at];
        if (index->first + at == index->n || !seq_lt(e->seq, end))
            break;
        uint32_t from = seq_lt(start, e->seq) ? e->seq : start;
        uint32_t to = seq_lt(end, entry_end(e)) ? end : entry_end(e);
        if (piece_wins(p, e, &piece, from, to)) {
            if (seq_lt(e->seq, from) && seq_lt(to, entry_end(e))) {
                /* inside: the entry stays one, with the new bytes in it */
                memcpy(e->buffer->data + e->skip + (from - e->seq), piece.data + (from - piece.seq),
                       to - from);
                return true;
            }
            bool in_front = seq_lt(e->seq, from);
            if (!cut_entry(p, side, at, from, to) && in_front)
                at++;
        } else {
            uint32_t old_end = entry_end(e);
            if (seq_lt(start, e->seq)) {
                if (!emit(p, side, &piece, start, e->seq, at))
                    return false;
                at++;
            }
            at++;
            start = seq_lt(end, old_end) ? end : old_end;
        }
    }
    return start == end || emit(p, side, &piece, start, end, at);
}

bool tcp_hold(struct pass *p, uint8_t d, struct piece piece)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    bool done = insert(p, d, piece);

    if (side->held && held_index(side)->first == held_index(side)->n)
        put_index(p->sink, side);
    return done;
}

void tcp_held_trim(struct pass *p, uint8_t d, uint32_t base)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    struct held_entry *front;

    while ((front = held_front(side)) && seq_lt(front->seq, base)) {
        if (seq_le(entry_end(front), base)) {
            struct held_entry e = tcp_held_shift(p, d);
            tcp_put_buffer(p->sink, e.buffer);
        } else {
            cut_entry(p, side, 0, front->seq, base);
        }
    }
}

struct held_entry tcp_held_shift(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    struct held_index *index = held_index(side);
    struct held_entry e = index->entries[index->first++];

    side->held_bytes -= e.len;
    index->n_beyond -= e.beyond;
    if (index->first == index->n)
        put_index(p->sink, side);
    return e;
}

struct held_entry tcp_held_pop(struct pass *p, uint8_t d)
{
    struct mr_tcp_direction *side = &p->tcp->side[d];
    struct held_index *index = held_index(side);
    struct held_entry e = index->entries[--index->n];

    side->held_bytes -= e.len;
    index->n_beyond -= e.beyond;
    if (index->first == index->n)
        put_index(p->sink, side);
    return e;
}

void tcp_held_clear(const struct mr_tcp_sink *sink, struct mr_tcp_direction *side)
{
    if (!side->held)
        return;
    struct held_index *index = held_index(side);
    for (uint32_t i = index->first; i < index->n; i++)
        tcp_put_buffer(sink, index->entries[i].buffer);
    put_index(sink, side);
}

void tcp_held_admit(struct mr_tcp_direction *side, uint32_t edge, bool all)
{
    struct held_index *index = held_index(side);

    for (uint32_t i = index->first; i < index->n && index->n_beyond; i++) {
        struct held_entry *e = &index->entries[i];
        if (!all && !seq_lt(e->seq, edge))
            break;
        index->n_beyond -= e->beyond;
        e->beyond = false;
        e->far_away = false;
    }
}

bool tcp_held_covers(const struct mr_tcp_direction *side, uint32_t seq)
{
    if (!side->held)
        return false;
    const struct held_index *index = held_index(side);
    uint32_t at = index->first + lower_bound(index, seq - 1);
    return at < index->n && seq_lt(index->entries[at].seq, seq);
}

/* Appends entry b to its neighbour a when they fit together; takes b's buffer then. */
static bool append(const struct pass *p, struct held_entry *a, const struct held_entry *b)
{
    if (entry_end(a) != b->seq || a->beyond != b->beyond || a->far_away != b->far_away ||
        a->skipped || b->skipped || a->len + b->len > JOIN_LIMIT_BYTES)
        return false;
    if (a->buffer->capacity - a->skip - a->len < b->len) {
        uint32_t wanted = (a->len + b->len) * 2;
        struct mr_buffer *larger = p->sink->buffer_get(
            p->sink->user, wanted < JOIN_LIMIT_BYTES ? wanted : JOIN_LIMIT_BYTES);
        if (!larger)
            return false;
        memcpy(larger->data, a->buffer->data + a->skip, a->len);
        tcp_put_buffer(p->sink, a->buffer);
        a->buffer = larger;
        a->skip = 0;
    }
    memcpy(a->buffer->data + a->skip + a->len, b->buffer->data + b->skip, b->len);
    a->len += b->len;
    tcp_put_buffer(p->sink, b->buffer);
    return true;
}

bool tcp_held_join(struct pass *p, uint8_t d)
{
    struct held_index *index = held_index(&p->tcp->side[d]);
    uint32_t last = index->first, n = index->n, joined_beyond = 0;

    for (uint32_t i = index->first + 1; i < n; i++) {
        struct held_entry e = index->entries[i];
        if (append(p, &index->entries[last], &e))
            joined_beyond += e.beyond;
        else
            index->entries[++last] = e;
    }
    index->n = last + 1;
    index->n_beyond -= joined_beyond;
    return index->n < n;
}
