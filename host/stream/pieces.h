/* Pieces of a row of bytes that came out of order: kept in pool buffers, sorted, without overlaps,
 * until what stands before them has come. TCP numbers its rows by sequence numbers, IP by offsets
 * in the datagram; both count modulo 2^32 here, and all pieces of a row lie within 2^31.
 *
 * Pieces keep the bounds that a receiver's own queue would have, since overlap policies decide by
 * bounds; only when there are too many are neighbours joined.
 */
#ifndef MR_STREAM_PIECES_H
#define MR_STREAM_PIECES_H

#include "stream/overlap.h"

enum {
    MR_PIECE_WEAK = 1 << 0, /* loses all overlaps with pieces that are not */
    MR_PIECE_VOID = 1 << 1, /* stands for bytes that nobody gets; has no data, wins no overlap */
    MR_PIECE_FAR = 1 << 2,  /* WEAK, and the user's */
    MR_PIECE_DOUBT = 1 << 3 /* WEAK, until it is acknowledged */
};

/* A piece that comes. */
struct mr_piece {
    uint32_t start, len;
    const uint8_t *data;
    uint32_t marks;
    uint16_t order; /* the number of its packet, modulo 2^16: for who compares two rows */
};

/* A piece that is kept. Its bytes stand at buffer->data + skip. */
struct mr_kept {
    uint32_t start, len;
    uint32_t skip;
    uint16_t marks;
    uint16_t order;           /* of the last packet that was joined to it */
    struct mr_buffer *buffer; /* NULL: VOID */
};

/* The index of a row, at the beginning of a pool buffer: kept[first..n). */
struct mr_piece_index {
    uint32_t first, n, room;
    uint32_t n_weak;
    uint32_t received; /* bytes that were ever kept, modulo 2^32 */
    /* the user's: the TCP assembler's settling of holes */
    bool settling;
    uint32_t settle_seq, settle_received;
    uint64_t settle_ns, settle_packets;
    struct mr_kept kept[];
};

/* A row. All zero is an empty one; it never has an index without pieces. */
struct mr_pieces {
    struct mr_buffer *index;
    uint32_t bytes; /* kept */
};

/* Where memory comes from, what is allowed, and what happened. */
struct mr_piece_rules {
    void *user;
    struct mr_buffer *(*get)(void *user, size_t capacity);
    void (*put)(void *user, struct mr_buffer *buffer);
    bool (*new_wins)(enum mr_overlap_policy policy, int64_t start_delta, int64_t end_delta);
    enum mr_overlap_policy policy;
    uint32_t max_bytes, max_pieces;
    bool differed; /* set where bytes that came twice were not the same */
};

static inline bool mr_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

/* Of pieces of two rows: did this one come before that one? Never is each before the other. */
static inline bool mr_came_before(const struct mr_kept *a, const struct mr_kept *b)
{
    uint16_t after = (uint16_t)(b->order - a->order);
    return after && after < 1u << 15;
}

static inline bool mr_not_after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline struct mr_piece_index *mr_piece_index(const struct mr_pieces *row)
{
    return (struct mr_piece_index *)(void *)row->index->data;
}

/* The first and the last piece; NULL when there is none. */
static inline struct mr_kept *mr_pieces_front(const struct mr_pieces *row)
{
    return row->index ? &mr_piece_index(row)->kept[mr_piece_index(row)->first] : NULL;
}

static inline struct mr_kept *mr_pieces_last(const struct mr_pieces *row)
{
    return row->index ? &mr_piece_index(row)->kept[mr_piece_index(row)->n - 1] : NULL;
}

static inline uint32_t mr_pieces_count(const struct mr_pieces *row)
{
    return row->index ? mr_piece_index(row)->n - mr_piece_index(row)->first : 0;
}

/* Copies a piece in; overlaps are decided by the rules. False: no room or no buffer; then a part
 * of it may be in. */
bool mr_pieces_insert(struct mr_pieces *row, struct mr_piece_rules *rules, struct mr_piece piece);

/* Takes the first or the last piece out (there is one); gives its buffer to the caller. */
struct mr_kept mr_pieces_shift(struct mr_pieces *row, const struct mr_piece_rules *rules);
struct mr_kept mr_pieces_pop(struct mr_pieces *row, const struct mr_piece_rules *rules);

/* Drops what stands before `start`; everything. */
void mr_pieces_trim(struct mr_pieces *row, const struct mr_piece_rules *rules, uint32_t start);
void mr_pieces_clear(struct mr_pieces *row, const struct mr_piece_rules *rules);

/* Takes the marks WEAK, FAR and DOUBT from pieces that end before or at `acked`, and WEAK and FAR
 * from those without DOUBT that begin before `edge`. */
void mr_pieces_strengthen(struct mr_pieces *row, uint32_t acked, uint32_t edge);
void mr_pieces_strengthen_all(struct mr_pieces *row);

/* Does a piece end at `at`, or have it inside? */
bool mr_pieces_cover(const struct mr_pieces *row, uint32_t at);

/* The first piece that shares bytes with [start, start + len), or NULL. */
const struct mr_kept *mr_pieces_overlap(const struct mr_pieces *row, uint32_t start, uint32_t len);

#endif
