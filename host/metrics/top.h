/* The largest flows, exactly: every worker keeps the `capacity` largest of those it was told of,
 * and readers merge. No sketch is needed, since flows carry their own exact totals: a flow is told
 * when it ends, with its final totals, and while it lives each time it has grown by a good deal.
 *
 * Who is among the N largest (N <= capacity) of all flows ended is certain, whichever worker was
 * told of which: a table drops a flow only for `capacity` larger ones, and totals only grow. Flows
 * still alive stand with what was last told of them, less than MR_TOP_STEP_BYTES behind.
 *
 * One writer a table; anyone may read at any time (a lock that the writer takes only for a flow
 * that gets in). */
#ifndef MR_METRICS_TOP_H
#define MR_METRICS_TOP_H

#include "millrace/packet.h"
#include "millrace/status.h"

#include <stdatomic.h>

#define MR_TOP_MOST       256u /* flows of a table at most */
#define MR_TOP_STEP_BYTES (1u << 20)

struct mr_top_flow {
    struct mr_endpoint client, server;
    uint64_t first_packet; /* with the endpoints: which flow */
    uint64_t bytes, packets, uninspected;
    const char *app_protocol; /* static string or NULL */
};

struct mr_top {
    _Alignas(64) _Atomic uint32_t lock;
    uint32_t n, capacity;
    uint64_t least; /* bytes of the smallest, once it is full; the writer's */
    struct mr_top_flow *flows;
};

/* 0 flows: none are kept. */
enum mr_status mr_top_init(struct mr_top *top, uint32_t capacity);
void mr_top_free(struct mr_top *top);

/* Could a flow of so many bytes be among them? Writer only, and cheap. */
static inline bool mr_top_may(const struct mr_top *top, uint64_t bytes)
{
    return bytes >= top->least && top->capacity;
}

/* Writer only. Copies the flow; of one that is there already, the larger totals stay. */
void mr_top_tell(struct mr_top *top, const struct mr_top_flow *flow);

/* The `capacity` largest of n tables, largest first, into flows[]; returns how many. Flows of one
 * size stand in the order of their first packet. */
uint32_t mr_top_merge(struct mr_top *tops, uint32_t n, struct mr_top_flow *flows,
                      uint32_t capacity);

#endif
