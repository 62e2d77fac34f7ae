/* Reading a file ahead: pieces of it, by offset, each into a block of its own, by any number of
 * threads beside the one that takes packets from them in order.
 *
 * A piece is best taken by the thread that read it, in whose cache it lies. So each thread reads
 * one and then waits (with other work) until it is the one that is wanted. One object serves all
 * files of a run, one after the other.
 */
#ifndef MR_CAPTURE_AHEAD_H
#define MR_CAPTURE_AHEAD_H

#include "capture/blocks.h"
#include "millrace/status.h"

#include <stdbool.h>
#include <stdint.h>

#define MR_AHEAD_THREADS 64u /* more of them take what others have read */

struct mr_ahead;

enum mr_status mr_ahead_new(struct mr_ahead **out); /* MR_ERR_MEMORY */
void mr_ahead_free(struct mr_ahead *ahead);         /* when nobody uses it; NULL is allowed */

/* Any thread (counted from 0): reads the next piece that nobody has, unless the thread has one that
 * is not taken yet. True: the thread may well go and take packets: what is wanted now is its own,
 * or nobody's; with `help`, also what another one has read. Never waits for another thread. */
bool mr_ahead_read(struct mr_ahead *ahead, uint32_t thread, bool help);

/* ---- for the reader, in its turn ---- */

/* A file of which `bytes` are known to be there, read from its beginning. Borrows both. */
void mr_ahead_open(struct mr_ahead *ahead, int fd, struct mr_blocks *blocks, uint64_t bytes);

/* Nobody reads the file any more when this returns. */
void mr_ahead_close(struct mr_ahead *ahead);

/* Says that piece `index` of the file is what is wanted: all before it is taken. */
void mr_ahead_want(struct mr_ahead *ahead, uint64_t index);

/* Gives the piece wanted, which stands at bytes[MR_BLOCK_BYTES .. + *len), and its reference;
 * reads it, where nobody has. Shorter than a piece: the file ended there, or could not be read on.
 * MR_AGAIN: another thread is reading it, or there is no block. */
enum mr_status mr_ahead_take(struct mr_ahead *ahead, struct mr_block **block, uint32_t *len);

#endif
