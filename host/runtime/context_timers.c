/* Deadlines of contexts: a wheel of one-second slots, swept in slices. */
#include "runtime/context_tags.h"

#define SWEEP_STEPS   256u /* timers looked at in a slice */
#define NS_PER_SECOND 1000000000u

void mr_contexts_prefetch_timers(const struct mr_context_table *table, const struct mr_context *c)
{
    if (!c->armed_second)
        return;
    if (c->timer_previous != MR_NO_CONTEXT)
        __builtin_prefetch(&mr_context_at(table, c->timer_previous)->timer_next, 1);
    if (c->timer_next != MR_NO_CONTEXT)
        __builtin_prefetch(&mr_context_at(table, c->timer_next)->timer_previous, 1);
}

void mr_contexts_disarm(struct mr_context_table *table, struct mr_context *c)
{
    if (!c->armed_second)
        return;
    if (c->timer_previous != MR_NO_CONTEXT)
        mr_context_at(table, c->timer_previous)->timer_next = c->timer_next;
    else
        table->wheel[c->armed_second % MR_WHEEL_SLOTS] = c->timer_next;
    if (c->timer_next != MR_NO_CONTEXT)
        mr_context_at(table, c->timer_next)->timer_previous = c->timer_previous;
    c->armed_second = 0;
    table->n_timers--;
}

static void arm(struct mr_context_table *table, struct mr_context *c)
{
    /* never behind the slot visited last: it would wait a whole turn of the wheel */
    uint64_t second = c->deadline_ns / NS_PER_SECOND + 1;
    if (second <= table->now_second)
        second = table->now_second + 1;
    uint32_t slot = (uint32_t)(second % MR_WHEEL_SLOTS);
    c->armed_second = second;
    c->timer_previous = MR_NO_CONTEXT;
    c->timer_next = table->wheel[slot];
    if (c->timer_next != MR_NO_CONTEXT)
        mr_context_at(table, c->timer_next)->timer_previous = c->index;
    table->wheel[slot] = c->index;
    table->occupied[slot / 64] |= 1ull << slot % 64;
    table->n_timers++;
    if (second * NS_PER_SECOND < table->next_deadline_ns)
        table->next_deadline_ns = second * NS_PER_SECOND;
}

void mr_contexts_deadline(struct mr_context_table *table, struct mr_context *context,
                          uint64_t deadline_ns)
{
    context->deadline_ns = deadline_ns;
    if (!context->in_table)
        return;
    if (!deadline_ns) {
        mr_contexts_disarm(table, context);
        return;
    }
    /* A later deadline waits until the old one rings: one move a timeout, not one a packet. */
    if (context->armed_second && deadline_ns / NS_PER_SECOND + 1 >= context->armed_second)
        return;
    mr_contexts_disarm(table, context);
    arm(table, context);
}

/* Before the first slot that holds a timer nothing rings. */
static uint64_t first_deadline(struct mr_context_table *table)
{
    for (uint64_t i = 1; table->n_timers && i <= MR_WHEEL_SLOTS;) {
        uint64_t second = table->now_second + i;
        uint32_t slot = (uint32_t)(second % MR_WHEEL_SLOTS);
        uint64_t rest = table->occupied[slot / 64] >> slot % 64;
        if (!rest) {
            i += 64 - slot % 64;
            continue;
        }
        uint32_t skip = (uint32_t)__builtin_ctzll(rest);
        if (skip) {
            i += skip;
            continue;
        }
        if (table->wheel[slot] != MR_NO_CONTEXT)
            return second * NS_PER_SECOND;
        table->occupied[slot / 64] &= ~(1ull << slot % 64);
        i++;
    }
    return UINT64_MAX;
}

/* Packet time is behind: a broken stamp was believed, or an older capture follows. Timers are set
 * anew, those of the time before among them; what is due by now rings then, as in a table that was
 * not told of that time. */
static void turn_back(struct mr_context_table *table, uint64_t now)
{
    table->now_second = now ? now - 1 : 0;
    table->next_deadline_ns = UINT64_MAX;
    table->turning = true;
    table->turn_next = 0;
}

/* A slice of that. */
static void go_on_turning(struct mr_context_table *table)
{
    uint32_t end = table->n_made;

    if (end - table->turn_next > SWEEP_STEPS)
        end = table->turn_next + SWEEP_STEPS;
    for (; table->turn_next < end; table->turn_next++) {
        struct mr_context *c = mr_context_at(table, table->turn_next);
        if (!c->in_table || !c->armed_second)
            continue;
        mr_contexts_disarm(table, c);
        arm(table, c);
    }
    table->turning = table->turn_next < table->n_made;
}

/* Begins to look at the slots that time has passed; false: nothing can be due in them. */
static bool begin_sweep(struct mr_context_table *table, uint64_t now_ns)
{
    uint64_t now = now_ns / NS_PER_SECOND, steps = now - table->now_second;

    if (now <= table->now_second)
        return false;
    table->now_second = now;
    if (table->next_deadline_ns > now_ns)
        return false;
    table->sweeping = true;
    table->sweep_second = now - (steps > MR_WHEEL_SLOTS ? MR_WHEEL_SLOTS : steps) + 1;
    table->sweep_next = table->wheel[table->sweep_second % MR_WHEEL_SLOTS];
    return true;
}

uint32_t mr_contexts_expire(struct mr_context_table *table, uint64_t now_ns,
                            struct mr_context *expired[MR_CONTEXT_SLICE], bool *more)
{
    uint32_t n = 0, steps = 0;

    *more = false;
    if (!table->turning && !table->sweeping && mr_contexts_ahead(table, now_ns))
        turn_back(table, now_ns / NS_PER_SECOND);
    if (table->turning) {
        go_on_turning(table);
        *more = table->turning;
        if (table->turning)
            return 0;
    }
    if (!table->sweeping && !begin_sweep(table, now_ns))
        return 0;
    while (table->sweep_second <= table->now_second) {
        if (table->sweep_next == MR_NO_CONTEXT) {
            table->sweep_second++;
            table->sweep_next = table->wheel[table->sweep_second % MR_WHEEL_SLOTS];
            continue;
        }
        if (n == table->slice || steps++ == SWEEP_STEPS) {
            *more = true;
            table->strain += steps;
            return n;
        }
        struct mr_context *c = mr_context_at(table, table->sweep_next);
        table->sweep_next = c->timer_next;
        if (c->timer_next != MR_NO_CONTEXT)
            __builtin_prefetch(&mr_context_at(table, c->timer_next)->deadline_ns);
        if (c->armed_second > table->now_second)
            continue; /* a later turn of the wheel */
        mr_contexts_disarm(table, c);
        if (c->deadline_ns / NS_PER_SECOND + 1 <= table->now_second)
            expired[n++] = c;
        else
            arm(table, c); /* at the head of a slot, so that the sweep does not meet it again */
    }
    table->sweeping = false;
    table->next_deadline_ns = first_deadline(table);
    table->strain += steps;
    return n;
}
