/* Executing tasks of a lane: contexts for the rows, timers, shutdown, and the end of contexts. */
#include "runtime/by_row.h"
#include "runtime/exec.h"
#include "runtime/table_set.h"

#include <stdlib.h>
#include <string.h>

/* ---- the end of contexts ---- */

static void close_slots(struct mr_exec *exec, struct mr_context *c)
{
    for (const struct mr_closer *closer = exec->closers[exec->group]; closer->close; closer++)
        closer->close(c->slots + closer->offset, exec);
}

static void close_ended(struct mr_exec *exec)
{
    while (exec->ended) {
        struct mr_context *c = exec->ended;
        exec->ended = c->next_ended;
        mr_contexts_unlink(exec->contexts, c);
        close_slots(exec, c);
        if (c->owns_flow && exec->hooks->flow_closed) {
            mr_metrics_add(exec->metrics, MR_COUNT_FLOWS, 1);
            exec->hooks->flow_closed(exec->hooks->user, exec, c->end_origin, c->end_ordinal,
                                     &c->flow, c->left);
        }
        mr_contexts_release(exec->contexts, c);
    }
    exec->last_ended = NULL;
}

void mr_exec_end_context(struct mr_exec *exec, struct mr_context *c, struct mr_packet *origin,
                         uint32_t ordinal)
{
    if (c->ended)
        return;
    c->ended = true;
    c->end_origin = origin;
    c->end_ordinal = ordinal;
    c->next_ended = NULL;
    if (exec->last_ended)
        exec->last_ended->next_ended = c;
    else
        exec->ended = c;
    exec->last_ended = c;
}

/* ---- running ---- */

/* A copy of a context's flow for what leaves the lane: the living one belongs to the lane. */
static struct mr_flow *copy_flow(struct mr_exec *exec, const struct mr_context *c,
                                 const struct mr_flow *flow, const char *protocol, uint64_t number)
{
    struct {
        struct mr_flow flow;
        struct mr_flow_key key;
    } *both = mr_exec_alloc(exec, sizeof *both);

    if (!both)
        return NULL;
    both->flow = *flow;
    both->key = c->key;
    both->flow.key = &both->key;
    both->flow.app_protocol = protocol;
    if (mr_flow_turned_after(flow, number)) {
        both->flow.client = flow->server;
        both->flow.server = flow->client;
    }
    memset(both->flow.turned_at, 0, sizeof both->flow.turned_at);
    return &both->flow;
}

/* Chunks name their flow as well. */
static void detach_chunks(struct mr_exec *exec, struct mr_tuples *t)
{
    const struct mr_plan_predicate *p = &exec->plan->predicates[t->predicate];

    for (uint32_t c = 0; c < p->arity; c++) {
        const union mr_value *from = t->columns[c];
        if (p->attributes[c].type != MR_TYPE_STREAM || !from || !t->n)
            continue;
        /* a column of its own: other lanes may be reading this one */
        union mr_value *to = mr_exec_alloc(exec, t->n * sizeof *to);
        struct mr_chunk *copies = mr_exec_alloc(exec, t->n * sizeof *copies);
        if (!to || !copies) {
            t->n = 0;
            return;
        }
        for (uint32_t row = 0; row < t->n; row++) {
            copies[row] = *(const struct mr_chunk *)from[row].b.ptr;
            copies[row].flow = t->flows[row];
            to[row] = from[row];
            to[row].b.ptr = &copies[row];
        }
        t->columns[c] = to;
    }
}

/* Rows that nobody assembled have the flow that stood under the key when the batch began. */
static struct mr_context *of_packet(uint8_t *slots, uint64_t number)
{
    struct mr_context *c = mr_context_of_slots(slots);

    while (c->successor && number > c->end_origin->number)
        c = c->successor;
    return c;
}

/* Batches whose rows are those that a stage began with share its column of flows: before it is
 * written to each gets its own, or (no memory, counted there) goes. */
static void own_flows(struct mr_exec *exec, struct mr_tuples *t)
{
    struct mr_flow **own = t->n ? mr_exec_alloc(exec, t->n * sizeof *own) : NULL;

    if (own)
        t->flows = memcpy(own, t->flows, t->n * sizeof *own);
    else
        t->n = 0;
}

static void detach(struct mr_exec *exec, struct mr_tuples *from)
{
    bool flows = exec->plan->groups[exec->group].key_type == MR_TYPE_FLOW;

    for (struct mr_tuples *t = from; t; t = t->next) {
        const struct mr_context *last = NULL;
        const struct mr_flow *copied = NULL;
        bool before = false; /* of the copy: client and server changed places later */
        struct mr_flow *copy = NULL;
        if (t->synthetic)
            t->n = 0; /* nobody has said anything about the context: the row was only a question */
        if (flows && t->contexts)
            own_flows(exec, t);
        for (uint32_t row = 0; flows && t->contexts && row < t->n; row++) {
            uint64_t number = t->origins[row]->number;
            struct mr_context *c = t->contexts[row] ? of_packet(t->contexts[row], number) : NULL;
            const struct mr_flow *flow = c && c->owns_flow ? &c->flow : t->flows[row];
            const char *protocol = c && flow ? mr_exec_protocol_of(c, flow, number) : NULL;
            if (!c || !flow || (!c->owns_flow && protocol == flow->app_protocol))
                continue; /* a flow that comes from further up stays as it is */
            c->left = c->left || c->owns_flow;
            bool turned = mr_flow_turned_after(flow, number);
            if (last != c || copied != flow || before != turned ||
                (copy && copy->app_protocol != protocol))
                copy = copy_flow(exec, c, flow, protocol, number);
            before = turned;
            last = c;
            copied = flow;
            t->flows[row] = copy;
        }
        detach_chunks(exec, t);
        t->contexts = NULL;
    }
}

static void run_from(struct mr_exec *exec, uint32_t stage, struct mr_tuples *in)
{
    struct mr_tuples *before = exec->last_output;
    const struct mr_plan_group *g = &exec->plan->groups[exec->group];
    mr_exec_stages(exec, stage, g->first_stage + g->n_stages, in);
    detach(exec, before ? before->next : exec->outputs);
    mr_exec_settle_protocols(exec);
}

static void run(struct mr_exec *exec, struct mr_tuples *in)
{
    run_from(exec, exec->plan->groups[exec->group].first_stage, in);
}

static struct mr_tick_origin tick_origin(uint64_t time_ns, uint64_t number,
                                         struct mr_tick_place place)
{
    return (struct mr_tick_origin){
        .packet = {.data = (const uint8_t *)"",
                   .time_ns = time_ns,
                   .number = number,
                   .flags = MR_PACKET_TICK},
        .place = place,
    };
}

struct mr_packet *mr_exec_tick_origin(struct mr_exec *exec, uint64_t time_ns, uint64_t number,
                                      struct mr_tick_place place)
{
    struct mr_tick_origin *origin = mr_exec_alloc(exec, sizeof *origin);
    if (!origin)
        return NULL;
    *origin = tick_origin(time_ns, number, place);
    return &origin->packet;
}

/* Contexts that ring at the same tick stand in an order that is the same in every run: by group,
 * and behind what its tables have to say (table_time.c). */
static struct mr_tick_place place_of(const struct mr_exec *exec, const struct mr_context *c)
{
    struct mr_tick_place place = mr_context_place(c);

    place.sub |= (uint64_t)exec->group << 56 | (uint64_t)1 << 55;
    return place;
}

/* A context that is handed to its functions for a reason other than a tuple. */
struct asked {
    struct mr_context *context;
    struct mr_packet *origin;
    struct mr_tick_place place;
    uint64_t deadline_ns;
};

static int by_place(const void *x, const void *y)
{
    const struct asked *a = x, *b = y;
    if (a->place.sub != b->place.sub)
        return a->place.sub < b->place.sub ? -1 : 1;
    return a->place.tie < b->place.tie ? -1 : a->place.tie > b->place.tie;
}

/* The rows that stand for contexts, a batch for each predicate, in the order of their numbers. */
static struct mr_tuples *rows_of(struct mr_exec *exec, const struct asked *asked, uint32_t n)
{
    struct mr_tuples *list = NULL;

    for (uint32_t i = 0; i < n; i++)
        for (struct mr_saved_row *row = asked[i].context->row; row; row = mr_saved_row_next(row)) {
            struct mr_tuples **at = &list;
            while (*at && (*at)->predicate < row->predicate)
                at = &(*at)->next;
            struct mr_tuples *t = *at;
            if (!t || t->predicate != row->predicate) {
                t = mr_tuples_new(exec, row->predicate, n - i, MR_WITH_CONTEXTS);
                if (!t)
                    continue;
                t->synthetic = true;
                t->next = *at;
                *at = t;
            }
            mr_saved_row_append(exec, asked[i].context, row, asked[i].origin, t);
        }
    return list;
}

struct mr_exec_mark mr_exec_mark(const struct mr_exec *exec)
{
    return (struct mr_exec_mark){exec->chunk, exec->chunk ? exec->chunk->len : 0, exec->shared,
                                 exec->last_output, exec->last_record};
}

void mr_exec_rewind(struct mr_exec *exec, const struct mr_exec_mark *mark)
{
    for (struct mr_tuples *t = mark->last_output ? mark->last_output->next : exec->outputs; t;
         t = t->next)
        if (t->n)
            return;
    if (exec->last_record != mark->last_record || exec->shared != mark->shared || !exec->chunk)
        return;
    exec->last_output = mark->last_output;
    if (mark->last_output)
        mark->last_output->next = NULL;
    else
        exec->outputs = NULL;
    exec->chunk->len = exec->chunk == mark->chunk ? mark->len : 0;
}

static void end(struct mr_exec *exec, struct mr_context *c, enum mr_cause cause,
                struct mr_packet *origin)
{
    if (c->owns_flow && c->flow.end == MR_FLOW_OPEN)
        c->flow.end = cause == MR_CAUSE_EXPIRE  ? MR_FLOW_END_TIMEOUT
                      : cause == MR_CAUSE_EVICT ? MR_FLOW_END_FORCED
                                                : MR_FLOW_END_SHUTDOWN;
    mr_exec_end_context(exec, c, origin, 0);
}

static void end_asked(struct mr_exec *exec, struct asked *asked, enum mr_cause cause)
{
    struct mr_context *c = asked->context;

    if (cause == MR_CAUSE_EXPIRE && c->deadline_ns > asked->deadline_ns && !c->ended) {
        mr_contexts_deadline(exec->contexts, c, c->deadline_ns);
        return;
    }
    end(exec, c, cause, asked->origin);
}

/* There is no memory to ask its functions: it goes without a word of theirs, and what is told of
 * its flow is told, or counted as lost. */
static void end_unasked(struct mr_exec *exec, struct mr_context *c, enum mr_cause cause,
                        uint64_t number, struct mr_tick_place place)
{
    struct mr_tick_origin origin = tick_origin(exec->now_ns, number, place);

    end(exec, c, cause, &origin.packet);
    close_ended(exec); /* now: the origin is gone then */
}

/* Hands contexts to their functions; closes them unless a function set a later deadline. */
static void ask(struct mr_exec *exec, struct mr_context *const *contexts, uint32_t n,
                enum mr_cause cause, uint64_t number)
{
    struct asked asked[MR_CONTEXT_SLICE];
    struct mr_exec_mark mark = mr_exec_mark(exec);
    uint32_t kept = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct mr_context *c = contexts[i];
        struct mr_tick_place place = place_of(exec, c);
        struct mr_packet *origin = mr_exec_tick_origin(exec, exec->now_ns, number, place);
        if (origin) {
            asked[kept++] = (struct asked){c, origin, place, c->deadline_ns};
            continue;
        }
        end_unasked(exec, c, cause, number, place);
    }
    if (kept > 1)
        qsort(asked, kept, sizeof *asked, by_place);
    struct mr_tuples *rows = rows_of(exec, asked, kept);
    if (rows) {
        exec->cause = cause;
        run(exec, rows);
        exec->cause = MR_CAUSE_DATA;
    }
    for (uint32_t i = 0; i < kept; i++)
        end_asked(exec, &asked[i], cause);
    close_ended(exec);
    mr_exec_rewind(exec, &mark);
}

/* ---- tasks ---- */

uint64_t mr_exec_late_columns(const struct mr_exec *exec, uint32_t group, uint32_t predicate)
{
    const struct mr_plan_group *g = &exec->plan->groups[group];
    const struct mr_plan_predicate *p = &exec->plan->predicates[predicate];
    uint64_t late = 0;

    if (g->by_packet)
        return 0;
    for (uint32_t s = g->first_stage; s < g->first_stage + g->n_stages; s++) {
        const struct mr_plan_stage *stage = &exec->plan->stages[s];
        if (stage->by_row || stage->recursive || stage->shares_table)
            return 0;
    }
    for (uint32_t c = 0; c < p->arity; c++)
        late |= (uint64_t)p->attributes[c].live << c;
    for (uint32_t k = 0; k < g->n_keys; k++)
        if (g->keys[k].predicate == predicate)
            late &= ~((uint64_t)1 << g->keys[k].column);
    return late;
}

/* Rows that have not moved: rules that let few of them pass move only the numbers of these. */
static void make_late(struct mr_exec *exec, struct mr_tuples *t)
{
    if (t->late || t->n > MR_EVERY)
        return;
    t->late = mr_exec_late_columns(exec, exec->group, t->predicate);
    t->at = exec->every;
}

static void run_lane(struct mr_exec *exec, struct mr_tuples *in)
{
    mr_exec_attach(exec, in);
    for (struct mr_tuples *t = in; t; t = t->next)
        make_late(exec, t);
    run(exec, in);
    close_ended(exec);
}

/* As if every packet were a burst, for each context. */
static void run_by_packet(struct mr_exec *exec, struct mr_tuples *in)
{
    struct mr_tuples *before = exec->last_output, *part;

    in = mr_tuples_merge(exec, in);
    while ((part = mr_exec_cut(exec, in)))
        run_lane(exec, part);
    mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, mr_tuples_rows(in));
    struct mr_tuples **first = before ? &before->next : &exec->outputs;
    *first = mr_tuples_by_predicate(mr_tuples_merge(exec, *first));
    exec->last_output = before;
    for (struct mr_tuples *t = *first; t; t = t->next)
        exec->last_output = t;
}

/* Rows without contexts, one by one, and what follows from them may be much. */
static bool in_slices(const struct mr_exec *exec, const struct mr_plan_group *g)
{
    bool sliced = exec->tables && exec->tables != exec->constants && g->kind == MR_STAGE_SERIAL &&
                  !g->context_bytes && !g->by_packet;

    for (uint32_t s = g->first_stage; sliced && s < g->first_stage + g->n_stages; s++)
        sliced = !exec->plan->stages[s].shares_table;
    return sliced;
}

bool mr_exec_lane_go_on(struct mr_exec *exec, uint32_t group)
{
    struct mr_tuples *before = exec->last_output;

    exec->group = group;
    bool done = mr_exec_follow_up(exec);
    detach(exec, before ? before->next : exec->outputs);
    return done;
}

bool mr_exec_lane(struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
                  struct mr_tuples *in)
{
    const struct mr_plan_group *g = &exec->plan->groups[group];
    bool done = true;

    exec->group = group;
    exec->contexts = contexts;
    exec->cause = MR_CAUSE_DATA;
    if (in && in->n)
        mr_contexts_begin(contexts, in->origins[0]->number);
    if (in_slices(exec, g)) {
        mr_exec_attach(exec, in);
        mr_exec_follow(exec, g->first_stage, g->first_stage + g->n_stages, in, false);
        done = mr_exec_lane_go_on(exec, group);
    } else if (g->by_packet && mr_tuples_rows(in) > 1) {
        run_by_packet(exec, in);
    } else {
        run_lane(exec, in);
    }
    exec->contexts = NULL;
    return done;
}

bool mr_exec_lane_tick(struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
                       uint64_t now_ns, uint64_t number)
{
    struct mr_context *expired[MR_CONTEXT_SLICE];
    uint32_t epoch = mr_context_epoch(contexts->epoch_shift, number - 1);
    bool more;

    exec->group = group;
    exec->contexts = contexts;
    exec->now_ns = now_ns;
    /* what a partition may admit follows from what it has when the epoch begins: also in a lane
     * that had nothing to do in it yet */
    if ((int32_t)(epoch - contexts->epoch) > 0)
        contexts->epoch = epoch;
    uint32_t n = mr_contexts_expire(contexts, now_ns, expired, &more);
    if (n)
        ask(exec, expired, n, MR_CAUSE_EXPIRE, number);
    exec->contexts = NULL;
    return more;
}

bool mr_exec_lane_evict(struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
                        uint64_t now_ns, uint64_t number)
{
    struct mr_context *evicted[MR_CONTEXT_SLICE];
    bool more;

    exec->group = group;
    exec->contexts = contexts;
    exec->now_ns = now_ns;
    uint32_t n = mr_contexts_evict(contexts, evicted, &more);
    if (n) {
        mr_metrics_add(exec->metrics, MR_COUNT_FLOWS_EVICTED, n);
        ask(exec, evicted, n, MR_CAUSE_EVICT, number);
    }
    exec->contexts = NULL;
    return more;
}

/* The next ones of those that the token closes; *more as in mr_contexts_close(). */
static uint32_t next_closed(struct mr_exec *exec, struct mr_context *closed[MR_CONTEXT_SLICE],
                            bool *more)
{
    struct mr_context_table *contexts = exec->contexts;
    const struct mr_token *token = exec->token;
    uint32_t n = mr_contexts_close(contexts, token->close_end, closed, more);

    if (!*more && token->close_end != UINT64_MAX)
        *more = n || !mr_contexts_look_behind(contexts, token->close_share);
    return n;
}

bool mr_exec_lane_shutdown(struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
                           uint64_t now_ns, uint64_t number)
{
    struct mr_context *all[MR_CONTEXT_SLICE];
    bool more;

    exec->group = group;
    exec->contexts = contexts;
    exec->now_ns = now_ns;
    uint32_t n = next_closed(exec, all, &more);
    if (n)
        ask(exec, all, n, MR_CAUSE_SHUTDOWN, number);
    exec->contexts = NULL;
    return more;
}

bool mr_exec_lane_close(struct mr_exec *exec, uint32_t group, struct mr_context_table *contexts,
                        const bool *stages, uint64_t now_ns, uint64_t number)
{
    const struct mr_plan_group *g = &exec->plan->groups[group];
    struct mr_context *all[MR_CONTEXT_SLICE];
    struct asked asked[MR_CONTEXT_SLICE];
    uint32_t n_asked = 0;
    bool more;

    exec->group = group;
    exec->contexts = contexts;
    exec->now_ns = now_ns;
    uint32_t n = next_closed(exec, all, &more);
    for (uint32_t i = 0; i < n; i++) {
        struct mr_tick_place place = place_of(exec, all[i]);
        struct mr_packet *origin = mr_exec_tick_origin(exec, exec->now_ns, number, place);
        if (origin) /* else it goes without a word: counted */
            asked[n_asked++] = (struct asked){all[i], origin, place, all[i]->deadline_ns};
    }
    if (n_asked > 1)
        qsort(asked, n_asked, sizeof *asked, by_place);
    for (uint32_t s = g->first_stage; s < g->first_stage + g->n_stages; s++) {
        struct mr_tuples *rows = mr_last_row_possible(exec->plan, group, s, stages)
                                     ? mr_tuples_new(exec, mr_last_row_predicate(exec->plan, s),
                                                     n_asked, MR_WITH_CONTEXTS)
                                     : NULL;
        for (uint32_t i = 0; rows && i < n_asked; i++)
            mr_last_row_append(exec, s, asked[i].context, asked[i].origin, rows);
        if (!rows || !rows->n)
            continue;
        exec->cause = MR_CAUSE_SHUTDOWN;
        run_from(exec, s, rows);
        exec->cause = MR_CAUSE_DATA;
        for (uint32_t i = 0; i < n_asked; i++)
            mr_last_row_done(asked[i].context);
    }
    close_ended(exec);
    exec->contexts = NULL;
    return more;
}
