/* Pieces out of order: a sorted index over pool buffers, and who wins where they overlap. */
#include "stream/pieces.h"

#include <string.h>

#define FIRST_ROOM       8
#define JOIN_LIMIT_BYTES 65536

static uint32_t end_of(const struct mr_kept *k)
{
    return k->start + k->len;
}

static void put(const struct mr_piece_rules *rules, struct mr_buffer *buffer)
{
    if (buffer)
        rules->put(rules->user, buffer);
}

static void put_index(struct mr_pieces *row, const struct mr_piece_rules *rules)
{
    put(rules, row->index);
    *row = (struct mr_pieces){0};
}

/* An index with room for one more piece at its end; NULL when there is none to be had. */
static struct mr_piece_index *make_room(struct mr_pieces *row, const struct mr_piece_rules *rules)
{
    struct mr_piece_index *index = row->index ? mr_piece_index(row) : NULL;

    if (index && index->n < index->room)
        return index;
    if (index && index->first > index->room / 4) {
        index->n -= index->first;
        memmove(index->kept, index->kept + index->first, index->n * sizeof *index->kept);
        index->first = 0;
        return index;
    }
    size_t room = index ? (size_t)index->room * 2 : FIRST_ROOM;
    struct mr_buffer *buffer =
        rules->get(rules->user, sizeof *index + room * sizeof(struct mr_kept));
    if (!buffer)
        return NULL;
    room = (buffer->capacity - sizeof *index) / sizeof(struct mr_kept);
    struct mr_piece_index *larger = (struct mr_piece_index *)(void *)buffer->data;
    if (index) {
        memcpy(larger, index, sizeof *index + index->n * sizeof *index->kept);
        put(rules, row->index);
    } else {
        memset(larger, 0, sizeof *larger);
    }
    larger->room = (uint32_t)room;
    row->index = buffer;
    return larger;
}

/* Keeps the part [start, end) of a piece as number `at`, counted from the first; false: no room or
 * no buffer. */
static bool keep(struct mr_pieces *row, const struct mr_piece_rules *rules,
                 const struct mr_piece *piece, uint32_t start, uint32_t end, uint32_t at)
{
    uint32_t len = end - start;
    struct mr_buffer *buffer = NULL;

    if (row->bytes + (uint64_t)len > rules->max_bytes)
        return false;
    struct mr_piece_index *index = make_room(row, rules);
    if (!index)
        return false;
    if (!(piece->marks & MR_PIECE_VOID)) {
        buffer = rules->get(rules->user, len);
        if (!buffer)
            return false;
        memcpy(buffer->data, piece->data + (start - piece->start), len);
        buffer->len = len;
    }
    struct mr_kept *kept = index->kept + index->first;
    uint32_t n = index->n - index->first;
    if (!at && index->first) {
        index->first--;
        kept--;
    } else {
        memmove(kept + at + 1, kept + at, (n - at) * sizeof *kept);
        index->n++;
    }
    kept[at] = (struct mr_kept){.start = start,
                                .len = len,
                                .marks = (uint16_t)piece->marks,
                                .order = piece->order,
                                .buffer = buffer};
    index->n_weak += piece->marks & MR_PIECE_WEAK;
    index->received += len;
    row->bytes += len;
    return true;
}

static void remove_at(struct mr_pieces *row, const struct mr_piece_rules *rules, uint32_t at)
{
    struct mr_piece_index *index = mr_piece_index(row);
    struct mr_kept *kept = index->kept + index->first;
    uint32_t n = index->n - index->first;

    put(rules, kept[at].buffer);
    row->bytes -= kept[at].len;
    index->n_weak -= kept[at].marks & MR_PIECE_WEAK;
    memmove(kept + at, kept + at + 1, (n - at - 1) * sizeof *kept);
    index->n--;
}

/* The number of the first piece that ends behind `start`. */
static uint32_t lower_bound(const struct mr_piece_index *index, uint32_t start)
{
    uint32_t low = index->first, high = index->n;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (mr_before(start, end_of(&index->kept[middle])))
            high = middle;
        else
            low = middle + 1;
    }
    return low - index->first;
}

/* Does the piece win what it shares with a kept one? */
static bool wins(struct mr_piece_rules *rules, const struct mr_kept *k,
                 const struct mr_piece *piece, uint32_t start, uint32_t end)
{
    if ((k->marks | piece->marks) & MR_PIECE_VOID)
        return false;
    if (memcmp(k->buffer->data + k->skip + (start - k->start), piece->data + (start - piece->start),
               end - start))
        rules->differed = true;
    if ((k->marks ^ piece->marks) & MR_PIECE_WEAK)
        return k->marks & MR_PIECE_WEAK;
    return rules->new_wins(rules->policy, (int32_t)(piece->start - k->start),
                           (int32_t)(piece->start + piece->len - end_of(k)));
}

/* Takes [start, end), at one end of a kept piece, away from it. True when the piece is gone. */
static bool cut(struct mr_pieces *row, const struct mr_piece_rules *rules, uint32_t at,
                uint32_t start, uint32_t end)
{
    struct mr_piece_index *index = mr_piece_index(row);
    struct mr_kept *k = &index->kept[index->first + at];

    if (start == k->start && end == end_of(k)) {
        remove_at(row, rules, at);
        return true;
    }
    row->bytes -= end - start;
    if (start == k->start) {
        k->start += end - start;
        k->skip += end - start;
    }
    k->len -= end - start;
    return false;
}

/* Appends b to its neighbour a when they fit together; takes b's buffer then. */
static bool append(const struct mr_piece_rules *rules, struct mr_kept *a, const struct mr_kept *b)
{
    if (end_of(a) != b->start || a->marks != b->marks || a->marks & MR_PIECE_VOID ||
        a->len + b->len > JOIN_LIMIT_BYTES)
        return false;
    if (a->buffer->capacity - a->skip - a->len < b->len) {
        uint32_t wanted = (a->len + b->len) * 2;
        struct mr_buffer *larger =
            rules->get(rules->user, wanted < JOIN_LIMIT_BYTES ? wanted : JOIN_LIMIT_BYTES);
        if (!larger)
            return false;
        memcpy(larger->data, a->buffer->data + a->skip, a->len);
        put(rules, a->buffer);
        a->buffer = larger;
        a->skip = 0;
    }
    memcpy(a->buffer->data + a->skip + a->len, b->buffer->data + b->skip, b->len);
    a->len += b->len;
    a->order = mr_came_before(a, b) ? b->order : a->order;
    a->buffer->len = a->skip + a->len;
    put(rules, b->buffer);
    return true;
}

/* Joins neighbours, so that fewer pieces remain; true when some could be joined. */
static bool join(struct mr_pieces *row, const struct mr_piece_rules *rules)
{
    struct mr_piece_index *index = mr_piece_index(row);
    uint32_t last = index->first, n = index->n;

    for (uint32_t i = index->first + 1; i < n; i++) {
        struct mr_kept k = index->kept[i];
        if (append(rules, &index->kept[last], &k))
            index->n_weak -= k.marks & MR_PIECE_WEAK;
        else
            index->kept[++last] = k;
    }
    index->n = last + 1;
    return index->n < n;
}

/* The piece wins [from, to) amid a kept one, number `at`. As a rule that stays one, with the new
 * bytes in it; but bytes that are strong do not become weak by where they lie. False: no room. */
static bool put_amid(struct mr_pieces *row, const struct mr_piece_rules *rules,
                     const struct mr_piece *piece, uint32_t from, uint32_t to, uint32_t at)
{
    const struct mr_kept k = mr_pieces_front(row)[at];
    uint8_t *bytes = k.buffer->data + k.skip;

    if (!(k.marks & ~piece->marks & MR_PIECE_WEAK)) {
        memcpy(bytes + (from - k.start), piece->data + (from - piece->start), to - from);
        return true;
    }
    const struct mr_piece behind = {.start = to,
                                    .len = k.start + k.len - to,
                                    .data = bytes + (to - k.start),
                                    .marks = k.marks,
                                    .order = k.order};
    cut(row, rules, at, from, k.start + k.len);
    return keep(row, rules, piece, from, to, at + 1) &&
           keep(row, rules, &behind, to, to + behind.len, at + 2);
}

/* mr_pieces_insert(), but for an empty index that it may leave behind. */
static bool insert(struct mr_pieces *row, struct mr_piece_rules *rules,
                   const struct mr_piece *piece)
{
    uint32_t start = piece->start, end = piece->start + piece->len;
    uint32_t at = 0;

    if (row->index) {
        if (mr_pieces_count(row) >= rules->max_pieces && !join(row, rules))
            return false;
        at = lower_bound(mr_piece_index(row), start);
    }
    while (start != end && at < mr_pieces_count(row)) {
        struct mr_kept *k = mr_pieces_front(row) + at;
        uint32_t k_start = k->start, k_end = end_of(k);
        if (!mr_before(k_start, end))
            break;
        uint32_t from = mr_before(start, k_start) ? k_start : start;
        uint32_t to = mr_before(end, k_end) ? end : k_end;
        if (wins(rules, k, piece, from, to)) {
            if (mr_before(k_start, from) && mr_before(to, k_end))
                return put_amid(row, rules, piece, from, to, at);
            if (!cut(row, rules, at, from, to) && mr_before(k_start, from))
                at++;
        } else {
            if (mr_before(start, k_start)) {
                if (!keep(row, rules, piece, start, k_start, at))
                    return false;
                at++;
            }
            at++;
            start = mr_before(end, k_end) ? end : k_end;
        }
    }
    return start == end || keep(row, rules, piece, start, end, at);
}

bool mr_pieces_insert(struct mr_pieces *row, struct mr_piece_rules *rules, struct mr_piece piece)
{
    bool done = insert(row, rules, &piece);

    if (row->index && !mr_pieces_count(row))
        put_index(row, rules);
    return done;
}

struct mr_kept mr_pieces_shift(struct mr_pieces *row, const struct mr_piece_rules *rules)
{
    struct mr_piece_index *index = mr_piece_index(row);
    struct mr_kept k = index->kept[index->first++];

    row->bytes -= k.len;
    index->n_weak -= k.marks & MR_PIECE_WEAK;
    if (index->first == index->n)
        put_index(row, rules);
    return k;
}

struct mr_kept mr_pieces_pop(struct mr_pieces *row, const struct mr_piece_rules *rules)
{
    struct mr_piece_index *index = mr_piece_index(row);
    struct mr_kept k = index->kept[--index->n];

    row->bytes -= k.len;
    index->n_weak -= k.marks & MR_PIECE_WEAK;
    if (index->first == index->n)
        put_index(row, rules);
    return k;
}

void mr_pieces_trim(struct mr_pieces *row, const struct mr_piece_rules *rules, uint32_t start)
{
    struct mr_kept *front;

    while ((front = mr_pieces_front(row)) && mr_before(front->start, start)) {
        if (mr_not_after(end_of(front), start))
            put(rules, mr_pieces_shift(row, rules).buffer);
        else
            cut(row, rules, 0, front->start, start);
    }
}

void mr_pieces_clear(struct mr_pieces *row, const struct mr_piece_rules *rules)
{
    if (!row->index)
        return;
    const struct mr_piece_index *index = mr_piece_index(row);
    for (uint32_t i = index->first; i < index->n; i++)
        put(rules, index->kept[i].buffer);
    put_index(row, rules);
}

static void strengthen(struct mr_piece_index *index, struct mr_kept *k)
{
    index->n_weak -= k->marks & MR_PIECE_WEAK;
    k->marks &= MR_PIECE_VOID;
}

void mr_pieces_strengthen(struct mr_pieces *row, uint32_t acked, uint32_t edge)
{
    if (!row->index)
        return;
    struct mr_piece_index *index = mr_piece_index(row);
    for (uint32_t i = index->first; i < index->n && index->n_weak; i++) {
        struct mr_kept *k = &index->kept[i];
        if (!mr_before(k->start, edge))
            break;
        if (!(k->marks & MR_PIECE_DOUBT) || mr_not_after(end_of(k), acked))
            strengthen(index, k);
    }
}

void mr_pieces_strengthen_all(struct mr_pieces *row)
{
    if (!row->index)
        return;
    struct mr_piece_index *index = mr_piece_index(row);
    for (uint32_t i = index->first; i < index->n && index->n_weak; i++)
        strengthen(index, &index->kept[i]);
}

bool mr_pieces_cover(const struct mr_pieces *row, uint32_t at)
{
    return mr_pieces_overlap(row, at - 1, 1) != NULL;
}

const struct mr_kept *mr_pieces_overlap(const struct mr_pieces *row, uint32_t start, uint32_t len)
{
    if (!row->index)
        return NULL;
    uint32_t at = lower_bound(mr_piece_index(row), start);
    const struct mr_kept *k = mr_pieces_front(row) + at;
    return at < mr_pieces_count(row) && mr_before(k->start, start + len) ? k : NULL;
}
