/* Reading a file or a pipe into blocks, so that what is asked for lies in one piece. */
#ifndef MR_CAPTURE_READER_H
#define MR_CAPTURE_READER_H

#include "capture/ahead.h"
#include "capture/blocks.h"
#include "millrace/status.h"

#include <stdbool.h>
#include <stdint.h>

/* The bytes at block->bytes[at .. end) are read and not yet taken. */
struct mr_reader {
    int fd;
    bool regular; /* a file on a disk: never blocks for long */
    bool patient; /* wait a little when nothing is there; go on behind what was read ahead */
    struct mr_ahead *ahead; /* NULL: nobody reads ahead */
    uint64_t piece;         /* ... the one that stands in `block`, at its end */
    struct mr_blocks *blocks;
    struct mr_block *block;
    uint32_t at, end;
    uint32_t holders; /* of `block`, not yet in its reference count */
    uint64_t base;    /* offset in the file of block->bytes[0] (may be less than nothing) */
    uint64_t skip;    /* bytes still to be passed over */
};

enum mr_status mr_reader_fill(struct mr_reader *r, uint32_t n, int *error);

/* Makes n bytes (at most MR_BLOCK_BYTES) stand at mr_reader_bytes(). MR_AGAIN: nothing to read
 * for the moment, a signal came, all blocks are held by packets, another thread is reading what
 * comes next, or (unless patient) a piece read ahead ends. MR_EOF: fewer than n are
 * left. MR_ERR_INPUT: reading failed, *error is the errno. */
static inline enum mr_status mr_reader_need(struct mr_reader *r, uint32_t n, int *error)
{
    if (__builtin_expect(r->end - r->at >= n && !r->skip, 1))
        return MR_OK;
    return mr_reader_fill(r, n, error);
}

static inline const uint8_t *mr_reader_bytes(const struct mr_reader *r)
{
    return r->block->bytes + r->at;
}

/* What is read and not taken. */
static inline uint32_t mr_reader_left(const struct mr_reader *r)
{
    return r->end - r->at;
}

static inline uint64_t mr_reader_offset(const struct mr_reader *r)
{
    return r->base + r->at;
}

/* Takes n bytes that stand there. */
static inline void mr_reader_take(struct mr_reader *r, uint32_t n)
{
    r->at += n;
}

/* Passes over n bytes, however many, when the next ones are needed. */
static inline void mr_reader_skip(struct mr_reader *r, uint64_t n)
{
    r->skip += n;
}

/* Counts who was told to hold the current block: before a burst is given away. */
void mr_reader_settle(struct mr_reader *r);

/* Takes the descriptor; MR_ERR_MEMORY closes nothing. `ahead` (may be NULL) is for a regular file,
 * of which `bytes` are known to be there, from its beginning. */
enum mr_status mr_reader_open(struct mr_reader *r, int fd, bool regular, uint32_t max_blocks,
                              struct mr_ahead *ahead, uint64_t bytes);
void mr_reader_close(struct mr_reader *r); /* not the descriptor */

#endif
