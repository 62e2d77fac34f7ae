/* A ring of pieces: claimed under a lock, filled beside it, taken in order. */
#include "capture/ahead.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RING (2 * MR_AHEAD_THREADS) /* pieces that are read and not taken, at most */

enum { EMPTY, READING, READY };

struct piece {
    _Atomic uint32_t state;
    uint32_t len;
    struct mr_block *block;
};

/* Pieces are numbered through all files, so that a number says for ever whether it is taken. */
struct mr_ahead {
    _Alignas(64) _Atomic uint64_t wanted;
    _Atomic uint64_t next; /* that nobody reads yet; changed under the lock */
    _Alignas(64) pthread_mutex_t lock;
    pthread_cond_t idle;
    uint32_t reading; /* threads */
    int fd;           /* -1: no file */
    struct mr_blocks *blocks;
    uint64_t first, end; /* of the file, as far as it is known */
    struct piece pieces[RING];
    struct {
        _Alignas(64) uint64_t piece; /* 1 + its number; 0: none yet */
    } threads[MR_AHEAD_THREADS];
};

enum mr_status mr_ahead_new(struct mr_ahead **out)
{
    struct mr_ahead *ahead = aligned_alloc(64, sizeof *ahead);

    *out = ahead;
    if (!ahead)
        return MR_ERR_MEMORY;
    memset(ahead, 0, sizeof *ahead);
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->idle, NULL);
    ahead->fd = -1;
    return MR_OK;
}

void mr_ahead_free(struct mr_ahead *ahead)
{
    if (!ahead)
        return;
    pthread_cond_destroy(&ahead->idle);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}

void mr_ahead_open(struct mr_ahead *ahead, int fd, struct mr_blocks *blocks, uint64_t bytes)
{
    pthread_mutex_lock(&ahead->lock);
    uint64_t next = atomic_load_explicit(&ahead->next, memory_order_relaxed);
    ahead->fd = fd;
    ahead->blocks = blocks;
    ahead->first = next;
    ahead->end = next + (bytes + MR_PIECE_BYTES - 1) / MR_PIECE_BYTES;
    atomic_store_explicit(&ahead->wanted, next, memory_order_release);
    pthread_mutex_unlock(&ahead->lock);
}

void mr_ahead_close(struct mr_ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    ahead->end = ahead->first; /* nobody begins another */
    while (ahead->reading)
        pthread_cond_wait(&ahead->idle, &ahead->lock);
    uint64_t next = atomic_load_explicit(&ahead->next, memory_order_relaxed);
    for (uint64_t i = next - ahead->first > RING ? next - RING : ahead->first; i < next; i++) {
        struct piece *piece = &ahead->pieces[i % RING];
        if (atomic_exchange_explicit(&piece->state, EMPTY, memory_order_acquire) == READY)
            mr_block_references(piece->block, -1);
    }
    ahead->fd = -1;
    atomic_store_explicit(&ahead->wanted, next, memory_order_release);
    pthread_mutex_unlock(&ahead->lock);
}

/* The next piece is this thread's to read; NULL: there is none, too many are read already, or there
 * is no block. `known`: only what the file is known to have. */
static struct piece *claim(struct mr_ahead *ahead, bool known, uint64_t *number)
{
    struct piece *piece = NULL;

    pthread_mutex_lock(&ahead->lock);
    uint64_t next = atomic_load_explicit(&ahead->next, memory_order_relaxed);
    uint64_t wanted = atomic_load_explicit(&ahead->wanted, memory_order_acquire);
    struct mr_block *block = NULL;
    if ((known ? next < ahead->end : next == wanted) && next - wanted < RING)
        block = mr_block_get(ahead->blocks);
    if (block) {
        *number = next;
        piece = &ahead->pieces[next % RING];
        piece->block = block;
        atomic_store_explicit(&piece->state, READING, memory_order_relaxed);
        atomic_store_explicit(&ahead->next, next + 1, memory_order_release);
        ahead->reading++;
    }
    pthread_mutex_unlock(&ahead->lock);
    return piece;
}

/* As much of the piece as there is. What stopped it is met again by who takes the piece. */
static void fill(struct mr_ahead *ahead, struct piece *piece, uint64_t number)
{
    off_t at = (off_t)((number - ahead->first) * MR_PIECE_BYTES);
    uint32_t len = 0;

    while (len < MR_PIECE_BYTES) {
        ssize_t n = pread(ahead->fd, piece->block->bytes + MR_BLOCK_BYTES + len,
                          MR_PIECE_BYTES - len, at + (off_t)len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (uint32_t)n;
    }
    piece->len = len;
    atomic_store_explicit(&piece->state, READY, memory_order_release);
    pthread_mutex_lock(&ahead->lock);
    if (!--ahead->reading)
        pthread_cond_signal(&ahead->idle);
    pthread_mutex_unlock(&ahead->lock);
}

bool mr_ahead_read(struct mr_ahead *ahead, uint32_t thread, bool help)
{
    uint64_t wanted = atomic_load_explicit(&ahead->wanted, memory_order_acquire);

    if (thread < MR_AHEAD_THREADS) {
        uint64_t *mine = &ahead->threads[thread].piece, number;
        if (*mine == wanted + 1)
            return true;
        if (*mine <= wanted) {
            struct piece *piece = claim(ahead, true, &number);
            if (piece) {
                fill(ahead, piece, number);
                *mine = number + 1;
                wanted = atomic_load_explicit(&ahead->wanted, memory_order_acquire);
                if (number == wanted)
                    return true;
            }
        }
    }
    if (wanted == atomic_load_explicit(&ahead->next, memory_order_acquire))
        return true; /* beyond what the file was known to have, or there is no file */
    return help && atomic_load_explicit(&ahead->pieces[wanted % RING].state,
                                        memory_order_relaxed) != READING;
}

void mr_ahead_want(struct mr_ahead *ahead, uint64_t index)
{
    atomic_store_explicit(&ahead->wanted, ahead->first + index, memory_order_release);
}

enum mr_status mr_ahead_take(struct mr_ahead *ahead, struct mr_block **block, uint32_t *len)
{
    uint64_t number = atomic_load_explicit(&ahead->wanted, memory_order_relaxed);
    struct piece *piece = &ahead->pieces[number % RING];

    if (number == atomic_load_explicit(&ahead->next, memory_order_acquire)) {
        struct piece *own = claim(ahead, false, &number);
        if (own)
            fill(ahead, own, number);
    }
    if (number == atomic_load_explicit(&ahead->next, memory_order_acquire) ||
        atomic_load_explicit(&piece->state, memory_order_acquire) != READY)
        return MR_AGAIN;
    *block = piece->block;
    *len = piece->len;
    atomic_store_explicit(&piece->state, EMPTY, memory_order_relaxed);
    return MR_OK;
}
