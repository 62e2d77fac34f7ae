/* How much a capture thread may have accepted that no token has taken yet, so that an overload
 * costs packets and not time.
 *
 * What waits shall be worked off in MR_BACKLOG_NS: a thread accepts no more than were worked off in
 * that time of late (but MR_BACKLOG_LEAST always). What is refused stays with the device, which
 * drops what it has no room for; and once the thread has been behind for that long, it reads and
 * drops what the device holds, time after time: those packets are older than what follows them. So
 * what is inspected is never much older than twice that time, however slow the programs, and when
 * the overload ends nothing old is left to be done first.
 *
 * A change of programs is no overload: intake stands still for it, and what comes in that time is
 * promised to be inspected. From its begin on nothing is refused or dropped for its age, until all
 * of it was worked off: so also not what came while that went on. Programs that do not catch up are
 * overloaded: after MR_BACKLOG_CATCH_UP times the change the rule holds again.
 *
 * Owned by one thread. Times are of the machine's monotonic clock.
 */
#ifndef MR_ENGINE_BACKLOG_H
#define MR_ENGINE_BACKLOG_H

#include <stdbool.h>
#include <stdint.h>

#define MR_BACKLOG_NS    250000000u
#define MR_BACKLOG_LEAST 1024u /* packets */
/* Programs that can do a quarter more than comes have caught up by then. */
#define MR_BACKLOG_CATCH_UP 4u

/* Starts with zero. */
struct mr_backlog {
    uint64_t since_ns, done; /* begin of the period under way, and what was worked off by then */
    uint64_t rate;           /* worked off in the period before, brought to its nominal length */
    uint64_t behind_ns;      /* since when the thread is behind; 0: it is not */
    uint64_t swept_ns;       /* when mr_backlog_stale() was last true */
    uint64_t over_ns;        /* when nothing to speak of was waiting */
    uint64_t excused_ns;     /* nothing is too old until then */
};

/* Intake stood still for a change, from begun_ns to ended_ns (before begun_ns: it still does). To
 * be said again and again, before the next two are asked. */
void mr_backlog_change(struct mr_backlog *backlog, uint64_t begun_ns, uint64_t ended_ns,
                       uint64_t now_ns);

/* Is what waits excused, because of a change? */
bool mr_backlog_excused(const struct mr_backlog *backlog, uint64_t now_ns);

/* `waiting` packets are all that may wait; `done` were worked off so far. */
bool mr_backlog_full(struct mr_backlog *backlog, uint64_t waiting, uint64_t done, uint64_t now_ns);

/* The thread can accept nothing. True: it is to drop what the device has, at most `held` packets (0
 * where that is not known: never true). */
bool mr_backlog_stale(struct mr_backlog *backlog, uint64_t held, uint64_t now_ns);

/* The device is empty; so many accepted packets wait. */
void mr_backlog_over(struct mr_backlog *backlog, uint64_t waiting, uint64_t now_ns);

#endif
