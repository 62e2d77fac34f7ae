/* What goes at the end of the input, or at a swap: at once, where there is memory for what comes of
 * it, else in slices: what comes of ten million flows has no room in the memory of one token.
 *
 * Contexts are closed in the order of their places, which is that of the records about them: phase
 * by phase, and within one the earliest first. A token closes those of all lanes up to a place that
 * has few before it, and when it has left, and its memory is there again, the next one is made. So
 * what comes out does not depend on where it is cut. That order has its price: a million contexts
 * that lie anyhow take a second. */
#include "runtime/internal.h"

#define CLOSED_BYTES 4096u /* of memory that closing one may take: of a flow event, 1,150 */
#define LEAST_CLOSED 256u  /* by a token, however little memory there is ... */
#ifndef MOST_CLOSED
#define MOST_CLOSED 16384u     /* ... or however much: their records stay in the cache */
#define AT_ONCE     UINT32_MAX /* in one token, where memory has room */
#endif

static uint32_t most_closed(const struct mr_runtime *runtime, uint64_t left)
{
    uint64_t seed = runtime->config.yield_seed;
    uint32_t most = mr_buffers_room(runtime->config.buffers, CLOSED_BYTES);

    most = most > LEAST_CLOSED ? most : LEAST_CLOSED;
    if (seed && left / (1 + seed % 16) < most)
        return 1 + (uint32_t)(left / (1 + seed % 16)); /* tests that want workers to meet */
    if (left <= most && left <= AT_ONCE)
        return most;
    return most < MOST_CLOSED ? most : MOST_CLOSED;
}

static uint64_t left_in(const struct mr_phase *phase)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < phase->n_lanes; i++) {
        const struct mr_context_table *contexts = &phase->lanes[i].contexts;
        n += contexts->closes ? contexts->n_closing : contexts->n_contexts;
    }
    return n;
}

/* A place that no lane has more contexts before than its share, and one lane at least one. */
static uint64_t end_of_slice(const struct mr_phase *phase)
{
    uint64_t end = UINT64_MAX, first = UINT64_MAX;

    for (uint32_t i = 0; i < phase->n_lanes; i++) {
        const struct mr_context_table *contexts = &phase->lanes[i].contexts;
        if (!contexts->closing)
            continue;
        uint64_t place = mr_context_place(contexts->closing).sub;
        first = place < first ? place : first;
        end = contexts->closing_end < end ? contexts->closing_end : end;
    }
    return end > first ? end : first + 1;
}

bool mr_closing_next(struct mr_runtime *runtime, struct mr_token *token)
{
    uint32_t next = 0;
    uint64_t left = 0;

    token->closes = true;
    token->close_phase = 0;
    token->close_end = UINT64_MAX;
    token->close_share = 0;
    for (uint32_t i = 1; i < runtime->n_phases; i++) {
        if (token->closing && token->closing->phases[i] == MR_CLOSES_NOTHING)
            continue;
        uint64_t n = left_in(&runtime->phases[i]);
        left += n;
        if (n && !next)
            next = i;
    }
    uint32_t most = most_closed(runtime, left);
    if (left <= most)
        return true;
    struct mr_phase *phase = &runtime->phases[next];
    token->close_phase = next;
    token->close_share = most / phase->n_lanes + 1;
    /* the first one only brings them in order */
    token->close_end = phase->closes ? end_of_slice(phase) : 0;
    phase->closes = true;
    return false;
}
