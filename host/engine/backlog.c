/* The measure of what may wait. */
#include "engine/backlog.h"

bool mr_backlog_full(struct mr_backlog *b, uint64_t waiting, uint64_t done, uint64_t now_ns)
{
    uint64_t passed_ns = now_ns - b->since_ns;

    if (!b->since_ns || passed_ns >= MR_BACKLOG_NS) {
        b->rate = b->since_ns
                      ? (uint64_t)((double)(done - b->done) * MR_BACKLOG_NS / (double)passed_ns)
                      : 0;
        b->since_ns = now_ns;
        b->done = done;
    }
    /* after a quiet time the period under way tells more than the one before */
    uint64_t now = done - b->done, most = b->rate > now ? b->rate : now;
    return waiting >= (most > MR_BACKLOG_LEAST ? most : MR_BACKLOG_LEAST);
}

bool mr_backlog_stale(struct mr_backlog *b, uint64_t held, uint64_t now_ns)
{
    if (!b->behind_ns) {
        b->behind_ns = b->swept_ns = now_ns;
        return false;
    }
    /* where all of it is worked off soon enough nothing is gained */
    if (held <= b->rate || now_ns - b->swept_ns < MR_BACKLOG_NS)
        return false;
    b->swept_ns = now_ns;
    return true;
}

void mr_backlog_over(struct mr_backlog *b)
{
    b->behind_ns = 0;
}
