/* Keeping and merging the largest flows. */
#include "metrics/top.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum mr_status mr_top_init(struct mr_top *top, uint32_t capacity)
{
    memset(top, 0, sizeof *top);
    top->capacity = capacity < MR_TOP_MOST ? capacity : MR_TOP_MOST;
    top->flows = calloc(top->capacity + 1, sizeof *top->flows);
    return top->flows ? MR_OK : MR_ERR_MEMORY;
}

void mr_top_free(struct mr_top *top)
{
    free(top->flows);
    top->flows = NULL;
    top->capacity = top->n = 0;
}

static void lock(struct mr_top *top)
{
    while (atomic_exchange_explicit(&top->lock, 1, memory_order_acquire))
        sched_yield();
}

static void unlock(struct mr_top *top)
{
    atomic_store_explicit(&top->lock, 0, memory_order_release);
}

/* Which of two stands first: a total order over flows, so that the same flows get in in any run. */
static int order(const struct mr_top_flow *x, const struct mr_top_flow *y)
{
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    if (x->first_packet != y->first_packet)
        return x->first_packet < y->first_packet ? -1 : 1;
    int client = memcmp(&x->client, &y->client, sizeof x->client);
    return client ? client : memcmp(&x->server, &y->server, sizeof x->server);
}

static bool same(const struct mr_top_flow *x, const struct mr_top_flow *y)
{
    /* who is the client may have become clear only later */
    return x->first_packet == y->first_packet &&
           ((!memcmp(&x->client, &y->client, sizeof x->client) &&
             !memcmp(&x->server, &y->server, sizeof x->server)) ||
            (!memcmp(&x->client, &y->server, sizeof x->client) &&
             !memcmp(&x->server, &y->client, sizeof x->server)));
}

/* Puts a flow among the n sorted ones; returns how many there are then. */
static uint32_t insert(struct mr_top_flow *flows, uint32_t n, uint32_t capacity,
                       const struct mr_top_flow *flow)
{
    uint32_t at = 0;

    while (at < n && !same(&flows[at], flow))
        at++;
    if (at < n && order(&flows[at], flow) <= 0)
        return n;
    if (at == n) {
        if (n < capacity)
            n++;
        else if (order(&flows[--at], flow) <= 0)
            return n;
    }
    for (; at && order(flow, &flows[at - 1]) < 0; at--)
        flows[at] = flows[at - 1];
    flows[at] = *flow;
    return n;
}

void mr_top_tell(struct mr_top *top, const struct mr_top_flow *flow)
{
    if (!mr_top_may(top, flow->bytes))
        return;
    lock(top);
    top->n = insert(top->flows, top->n, top->capacity, flow);
    unlock(top);
    if (top->n == top->capacity)
        top->least = top->flows[top->n - 1].bytes;
}

uint32_t mr_top_merge(struct mr_top *tops, uint32_t n_tops, struct mr_top_flow *flows,
                      uint32_t capacity)
{
    uint32_t n = 0;

    for (uint32_t t = 0; t < n_tops && capacity; t++) {
        lock(&tops[t]);
        for (uint32_t i = 0; i < tops[t].n; i++)
            n = insert(flows, n, capacity, &tops[t].flows[i]);
        unlock(&tops[t]);
    }
    return n;
}
