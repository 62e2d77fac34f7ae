/* The measure of what may wait. */
#include "engine/backlog.h"

void mr_backlog_change(struct mr_backlog *b, uint64_t begun_ns, uint64_t ended_ns, uint64_t now_ns)
{
    uint64_t end_ns = ended_ns < begun_ns ? now_ns : ended_ns;
    uint64_t until_ns = end_ns + MR_BACKLOG_CATCH_UP * (end_ns - begun_ns) + MR_BACKLOG_NS;

    /* A short change after a long one takes nothing away from it. */
    if (begun_ns && end_ns > b->over_ns && until_ns > b->excused_ns)
        b->excused_ns = until_ns;
}

bool mr_backlog_excused(const struct mr_backlog *b, uint64_t now_ns)
{
    return now_ns < b->excused_ns;
}

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
    return waiting >= (most > MR_BACKLOG_LEAST ? most : MR_BACKLOG_LEAST) &&
           !mr_backlog_excused(b, now_ns);
}

bool mr_backlog_stale(struct mr_backlog *b, uint64_t held, uint64_t now_ns)
{
    if (!b->behind_ns) {
        b->behind_ns = b->swept_ns = now_ns;
        return false;
    }
    if (mr_backlog_excused(b, now_ns)) {
        b->swept_ns = now_ns; /* what is there then is given its time */
        return false;
    }
    /* where all of it is worked off soon enough nothing is gained */
    if (held <= b->rate || now_ns - b->swept_ns < MR_BACKLOG_NS)
        return false;
    b->swept_ns = now_ns;
    return true;
}

void mr_backlog_over(struct mr_backlog *b, uint64_t waiting, uint64_t now_ns)
{
    b->behind_ns = 0;
    if (waiting < MR_BACKLOG_LEAST) {
        b->excused_ns = 0;
        b->over_ns = now_ns;
    }
}
