/* Filling blocks. What straddles the end of a block is moved to the start of the next. */
#include "capture/reader.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* How long a read from a pipe may keep its caller, who has a stop flag to look at. */
#define POLL_MS 100

/* As much as is read at a time: what the kernel has copied is still in the second-level cache when
 * it is worked on, together with what it was copied from. */
#define READ_BYTES (128u << 10)

#define PIECE_END  (MR_BLOCK_BYTES + MR_PIECE_BYTES)

enum mr_status mr_reader_open(struct mr_reader *r, int fd, bool regular, uint32_t max_blocks,
                              struct mr_ahead *ahead, uint64_t bytes)
{
    *r = (struct mr_reader){.fd = fd, .regular = regular, .ahead = ahead};
    r->blocks = mr_blocks_new(max_blocks);
    if (!r->blocks)
        return MR_ERR_MEMORY;
    if (ahead) { /* as if a piece before the first were all taken */
        mr_ahead_open(ahead, fd, r->blocks, bytes);
        r->piece = UINT64_MAX;
        r->at = r->end = PIECE_END;
        r->base = 0 - (uint64_t)PIECE_END;
    } else {
        r->block = mr_block_get(r->blocks);
    }
    return MR_OK;
}

void mr_reader_settle(struct mr_reader *r)
{
    if (r->holders)
        mr_block_references(r->block, (int16_t)r->holders);
    r->holders = 0;
}

void mr_reader_close(struct mr_reader *r)
{
    mr_reader_settle(r);
    if (r->ahead)
        mr_ahead_close(r->ahead);
    if (r->block)
        mr_block_references(r->block, -1);
    mr_blocks_close(r->blocks);
    *r = (struct mr_reader){.fd = -1};
}

/* Goes on in a new block, at `at`, which begins with what is not taken of the old one. */
static void move(struct mr_reader *r, struct mr_block *next, uint32_t at)
{
    uint32_t left = mr_reader_left(r);
    if (left)
        memcpy(next->bytes + at, mr_reader_bytes(r), left);
    mr_reader_settle(r);
    if (r->block)
        mr_block_references(r->block, -1);
    r->block = next;
    r->base += (uint64_t)r->at - at;
    r->at = at;
    r->end = at + left;
}

static enum mr_status change_block(struct mr_reader *r)
{
    struct mr_block *next = mr_block_get(r->blocks);
    if (!next)
        return MR_AGAIN;
    move(r, next, 0);
    return MR_OK;
}

/* The same with the next piece that was read ahead. */
static enum mr_status change_piece(struct mr_reader *r)
{
    struct mr_block *next;
    uint32_t len;

    mr_ahead_want(r->ahead, r->piece + 1);
    if (!r->patient)
        return MR_AGAIN; /* the burst ends: who has read the next piece takes that */
    enum mr_status status = mr_ahead_take(r->ahead, &next, &len);
    if (status)
        return status;
    move(r, next, MR_BLOCK_BYTES - mr_reader_left(r));
    r->end += len;
    r->piece++;
    return MR_OK;
}

/* Reads once, what the block has room for, within limits. */
static enum mr_status read_once(struct mr_reader *r, int *error)
{
    struct pollfd ready = {.fd = r->fd, .events = POLLIN};
    if (!r->regular && poll(&ready, 1, r->patient ? POLL_MS : 0) <= 0)
        return MR_AGAIN; /* nothing there, or a signal */
    uint32_t room = (r->ahead ? PIECE_END : MR_BLOCK_BYTES) - r->end;
    uint32_t most = room < READ_BYTES ? room : READ_BYTES;
    uint8_t *to = r->block->bytes + r->end;
    ssize_t n =
        r->ahead ? pread(r->fd, to, most, (off_t)(r->base + r->end)) : read(r->fd, to, most);
    if (n > 0) {
        r->end += (uint32_t)n;
        return MR_OK;
    }
    if (n == 0)
        return MR_EOF;
    if (errno == EINTR || errno == EAGAIN)
        return MR_AGAIN;
    *error = errno;
    return MR_ERR_INPUT;
}

/* Takes what is there of the bytes to be passed over. */
static void pass_over(struct mr_reader *r)
{
    uint64_t n = mr_reader_left(r) < r->skip ? mr_reader_left(r) : r->skip;
    r->at += (uint32_t)n;
    r->skip -= n;
}

enum mr_status mr_reader_fill(struct mr_reader *r, uint32_t n, int *error)
{
    enum mr_status status = MR_OK;
    pass_over(r);
    while (status == MR_OK && (r->skip || mr_reader_left(r) < n)) {
        if (r->ahead && r->end == PIECE_END) {
            status = change_piece(r);
            pass_over(r);
            continue;
        }
        if (!r->ahead && (r->end == MR_BLOCK_BYTES || MR_BLOCK_BYTES - r->at < n))
            status = change_block(r);
        if (status == MR_OK)
            status = read_once(r, error);
        pass_over(r);
    }
    return status;
}
