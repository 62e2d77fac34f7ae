/* What a lane remembers, from one plan to the next. Where nothing changes for a group its tables go
 * over as they are; where a stage came or went the slots of each context are laid out anew. */
#include "runtime/internal.h"
#include "runtime/table_set.h"

#include <stdlib.h>
#include <string.h>

uint32_t mr_group_in(const struct mr_plan *plan, const struct mr_plan *from, uint32_t group)
{
    const struct mr_plan_stage *first = &from->stages[from->groups[group].first_stage];
    const struct mr_plan_stage *same = mr_stage_in(plan, first);

    for (uint32_t g = 0; same && g < plan->n_groups; g++)
        if (&plan->stages[plan->groups[g].first_stage] == same)
            return g;
    return MR_NO_GROUP;
}

uint32_t mr_measured_in(const struct mr_plan *plan, const struct mr_plan *from, uint32_t group)
{
    const struct mr_plan_group *old = &from->groups[group];
    uint32_t to = mr_group_in(plan, from, group);

    for (uint32_t s = 0; to == MR_NO_GROUP && s < old->n_stages; s++) {
        const struct mr_plan_stage *stage = &from->stages[old->first_stage + s];
        const struct mr_plan_stage *same = stage->fork ? NULL : mr_stage_in(plan, stage);
        for (uint32_t g = 0; same && g < plan->n_groups; g++)
            if (same >= &plan->stages[plan->groups[g].first_stage] &&
                same < &plan->stages[plan->groups[g].first_stage + plan->groups[g].n_stages])
                to = g;
    }
    return to;
}

/* A piece of a context that goes from one place to another. */
struct move {
    uint32_t from, to, bytes;
};

/* How a group's contexts change. */
struct change {
    const struct mr_plan *old, *fresh;
    uint32_t old_group, fresh_group;
    struct move *moves;
    uint32_t n_moves;
    struct mr_closer *closers; /* of what is gone; the last one without `close` */
    uint32_t n_closers;
    uint32_t *predicates; /* [of old] -> of fresh, where they come into the group */
    bool same_slots, same_rows, same_predicates;
};

static void add_moves(struct change *change, const struct mr_op *old, const struct mr_op *fresh)
{
    if (old->function->order != MR_ORDER_NONE)
        change->moves[change->n_moves++] =
            (struct move){old->context_offset, fresh->context_offset, old->function->context_bytes};
    change->moves[change->n_moves++] = (struct move){old->anomaly_offset, fresh->anomaly_offset, 1};
    change->same_slots = change->same_slots && old->context_offset == fresh->context_offset &&
                         old->anomaly_offset == fresh->anomaly_offset;
}

static void compare_stage(struct change *change, const struct mr_plan_stage *stage)
{
    const struct mr_plan_stage *fresh = mr_stage_in(change->fresh, stage);

    for (uint32_t r = 0; r < stage->n_rules; r++) {
        if (fresh && change->predicates[stage->rules[r].trigger] == MR_NO_PREDICATE)
            change->predicates[stage->rules[r].trigger] = fresh->rules[r].trigger;
        for (uint32_t i = 0; i < stage->rules[r].n_ops; i++) {
            const struct mr_op *op = &stage->rules[r].ops[i];
            const struct mr_op *same = fresh ? mr_op_in(&fresh->rules[r], op) : NULL;
            if (op->kind != MR_OP_CALL)
                continue;
            if (same) {
                add_moves(change, op, same);
                continue;
            }
            change->same_slots = false;
            if (op->function->context_close)
                change->closers[change->n_closers++] =
                    (struct mr_closer){op->function->context_close, op->context_offset};
        }
    }
}

static bool same_row(const struct mr_plan_predicate *x, const struct mr_plan_predicate *y)
{
    for (uint32_t i = 0; i < x->arity; i++)
        if (x->attributes[i].live != y->attributes[i].live)
            return false;
    return true;
}

/* False: no memory. */
static bool compare(struct change *change)
{
    const struct mr_plan_group *old = &change->old->groups[change->old_group];
    const struct mr_plan_group *fresh = &change->fresh->groups[change->fresh_group];
    uint32_t n = change->old->n_bindings;

    change->moves = calloc(2 * (size_t)n + 1, sizeof *change->moves);
    change->closers = calloc((size_t)n + 1, sizeof *change->closers);
    change->predicates = calloc(change->old->n_predicates, sizeof *change->predicates);
    if (!change->moves || !change->closers || !change->predicates)
        return false;
    for (uint32_t p = 0; p < change->old->n_predicates; p++)
        change->predicates[p] = MR_NO_PREDICATE;
    for (uint32_t k = 0; k < old->n_keys; k++)
        change->predicates[old->keys[k].predicate] = fresh->keys[k].predicate;
    change->same_slots = old->context_bytes == fresh->context_bytes;
    for (uint32_t s = 0; s < old->n_stages; s++)
        if (!change->old->stages[old->first_stage + s].fork)
            compare_stage(change, &change->old->stages[old->first_stage + s]);
    change->same_rows = mr_saved_row_bytes(change->old, change->old_group) ==
                        mr_saved_row_bytes(change->fresh, change->fresh_group);
    change->same_predicates = true;
    for (uint32_t p = 0; p < change->old->n_predicates; p++) {
        uint32_t other = change->predicates[p];
        if (other == MR_NO_PREDICATE)
            continue;
        change->same_predicates = change->same_predicates && other == p;
        change->same_rows = change->same_rows && same_row(&change->old->predicates[p],
                                                          &change->fresh->predicates[other]);
    }
    return true;
}

static void change_free(struct change *change)
{
    free(change->moves);
    free(change->closers);
    free(change->predicates);
}

/* ---- one context ---- */

/* What a row that was never kept would have held. */
static union mr_value usual_value(enum mr_type type, const struct mr_context *c,
                                  uint32_t n_addresses)
{
    switch (type) {
    case MR_TYPE_ADDRESS:
        return mr_value_bytes(n_addresses ? &c->flow.server : &c->flow.client,
                              sizeof(struct mr_endpoint));
    case MR_TYPE_FLOW:
        return mr_value_bytes(&c->key, sizeof c->key);
    case MR_TYPE_STRING:
    case MR_TYPE_LIST:
        return mr_value_bytes("", 0);
    default:
        return mr_value_int(0);
    }
}

/* The row as the new plan wants it: attributes may have come to life. */
static void make_row(const struct change *change, struct mr_exec *exec,
                     const struct mr_context *old, const struct mr_saved_row *row,
                     struct mr_context *c)
{
    const struct mr_plan_group *g = &change->fresh->groups[change->fresh_group];
    uint32_t predicate = row ? change->predicates[row->predicate] : MR_NO_PREDICATE;
    const struct mr_plan_attribute *kept = NULL;
    union mr_value values[MR_MAX_ARITY] = {0};
    union mr_value *columns[MR_MAX_ARITY] = {0};
    struct mr_tuples t = {.n = 1, .columns = columns};

    if (predicate == MR_NO_PREDICATE) {
        row = NULL;
        predicate = g->n_keys ? g->keys[0].predicate
                              : change->fresh->stages[g->first_stage].rules[0].trigger;
    }
    const struct mr_plan_predicate *p = &change->fresh->predicates[predicate];
    if (row) {
        kept = change->old->predicates[row->predicate].attributes;
        mr_saved_row_read(&change->old->predicates[row->predicate], old, row, values);
    }
    for (uint32_t i = 0, n_addresses = 0; i < p->arity; i++) {
        if (!kept || !kept[i].live)
            values[i] = usual_value(p->attributes[i].type, c, n_addresses);
        columns[i] = &values[i];
        n_addresses += p->attributes[i].type == MR_TYPE_ADDRESS;
    }
    t.predicate = predicate;
    mr_saved_row_make(exec, c, &t, 0);
}

static bool carry_context(const struct change *change, struct mr_exec *exec,
                          struct mr_context_table *to, const struct mr_context *old)
{
    struct mr_context *c = old->is_flow
                               ? mr_contexts_add_flow(to, &old->key)
                               : mr_contexts_add(to, old->key.hash, &old->key, old->key_len);
    if (!c)
        return false;
    const struct mr_flow_key *key = c->flow.key;
    c->flow = old->flow;
    c->flow.key = key;
    c->epoch = old->epoch;
    c->left = old->left;
    c->told = old->told;
    c->owns_flow = old->owns_flow;
    for (uint32_t i = 0; i < change->n_moves; i++)
        memcpy(c->slots + change->moves[i].to, old->slots + change->moves[i].from,
               change->moves[i].bytes);
    if (old->deadline_ns)
        mr_contexts_deadline(to, c, old->deadline_ns);
    if (to->row_bytes) {
        struct mr_saved_row *row = old->row;
        do
            make_row(change, exec, old, row, c);
        while (row && (row = mr_saved_row_next(row)));
    }
    return true;
}

/* ---- a table ---- */

static void renumber_rows(const struct change *change, struct mr_context *c)
{
    struct mr_saved_row *last = NULL, *next;

    for (struct mr_saved_row *row = c->row; row; row = next) {
        next = mr_saved_row_next(row);
        row->predicate = change->predicates[row->predicate];
        if (row->predicate != MR_NO_PREDICATE)
            last = row;
        else if (!last)
            c->row = next;
        else
            last->next = next ? (uint32_t)((uint8_t *)next - (uint8_t *)last) : 0;
    }
}

/* Contexts lie where they lay; only the numbers of predicates may have changed. Into a serial group
 * come rows of any predicate, also of such as the new plan does not have. */
static void hand_over(const struct change *change, struct mr_context_table *from,
                      struct mr_context_table *to)
{
    struct mr_context *all[MR_CONTEXT_SLICE];
    struct mr_context_table table = *to;
    bool serial = change->old->groups[change->old_group].kind == MR_STAGE_SERIAL;
    bool more = from->row_bytes && (serial || !change->same_predicates);

    *to = *from;
    *from = table;
    to->closes = false; /* of what went: what stays is closed another time */
    while (more) {
        uint32_t n = mr_contexts_all(to, all, &more);
        for (uint32_t i = 0; i < n; i++)
            renumber_rows(change, all[i]);
    }
}

static void close_gone(const struct change *change, struct mr_exec *exec, struct mr_context *c)
{
    for (uint32_t i = 0; i < change->n_closers; i++)
        change->closers[i].close(c->slots + change->closers[i].offset, exec);
}

/* The other slots. */
static void close_kept(const struct change *change, struct mr_exec *exec,
                       const struct mr_exec *old_exec, struct mr_context *c)
{
    for (const struct mr_closer *closer = old_exec->closers[change->old_group]; closer->close;
         closer++) {
        bool gone = false;
        for (uint32_t k = 0; k < change->n_closers; k++)
            gone = gone || change->closers[k].offset == closer->offset;
        if (!gone)
            closer->close(c->slots + closer->offset, exec);
    }
}

static bool stays(const struct change *change)
{
    return change->same_slots && change->same_rows;
}

/* What there is no memory for is closed without a word; returns how much. */
static uint64_t carry_table(const struct change *change, struct mr_exec *exec,
                            const struct mr_exec *old_exec, struct mr_context_table *from,
                            struct mr_context_table *to)
{
    struct mr_context *all[MR_CONTEXT_SLICE];
    bool more = from->n_contexts;
    uint64_t lost = 0;

    if (stays(change)) {
        hand_over(change, from, to);
        return 0;
    }
    to->now_second = from->now_second;
    to->epoch = from->epoch;
    exec->contexts = to;
    while (more) {
        uint32_t n = mr_contexts_all(from, all, &more);
        for (uint32_t i = 0; i < n; i++) {
            close_gone(change, exec, all[i]);
            if (carry_context(change, exec, to, all[i]))
                continue;
            close_kept(change, exec, old_exec, all[i]);
            lost++;
        }
    }
    exec->contexts = NULL;
    return lost;
}

/* ---- all of them ---- */

struct mr_carry {
    struct mr_runtime *old, *fresh;
    struct change *changes; /* [n] of the phases of old */
    uint32_t n;
    uint32_t *tables; /* mr_carried_tables() */
};

static struct mr_phase *phase_of(struct mr_runtime *runtime, uint32_t group)
{
    for (uint32_t i = 1; i < runtime->n_phases; i++)
        if (runtime->phases[i].lane_group == group)
            return &runtime->phases[i];
    return NULL;
}

enum mr_status mr_carry_new(struct mr_carry **out, struct mr_runtime *old, struct mr_runtime *fresh)
{
    struct mr_carry *carry = calloc(1, sizeof *carry);

    if (!carry)
        return MR_ERR_MEMORY;
    *carry = (struct mr_carry){.old = old,
                               .fresh = fresh,
                               .changes = calloc(old->n_phases, sizeof *carry->changes),
                               .n = old->n_phases,
                               .tables = mr_carried_tables(old->config.plan, fresh->config.plan)};
    *out = carry;
    if (!carry->changes || !carry->tables)
        return MR_ERR_MEMORY;
    for (uint32_t i = 1; i < old->n_phases; i++) {
        struct change *change = &carry->changes[i];
        *change = (struct change){.old = old->config.plan,
                                  .fresh = fresh->config.plan,
                                  .old_group = old->phases[i].lane_group};
        change->fresh_group = mr_group_in(change->fresh, change->old, change->old_group);
        if (change->fresh_group != MR_NO_GROUP && !compare(change))
            return MR_ERR_MEMORY;
    }
    return MR_OK;
}

void mr_carry_free(struct mr_carry *carry)
{
    if (!carry)
        return;
    for (uint32_t i = 1; carry->changes && i < carry->n; i++)
        change_free(&carry->changes[i]);
    free(carry->changes);
    free(carry->tables);
    free(carry);
}

void mr_carry_kept(const struct mr_carry *carry, bool *kept)
{
    for (uint32_t i = 1; i < carry->n; i++) {
        const struct mr_phase *to = phase_of(carry->fresh, carry->changes[i].fresh_group);
        if (to && stays(&carry->changes[i]))
            kept[to - carry->fresh->phases] = true;
    }
}

void mr_carry_run(struct mr_carry *carry)
{
    struct mr_exec *exec = &carry->fresh->workers[0].exec;

    for (uint32_t i = 1; i < carry->old->n_phases; i++) {
        struct mr_phase *from = &carry->old->phases[i];
        struct mr_phase *to = phase_of(carry->fresh, carry->changes[i].fresh_group);
        for (uint32_t l = 0; to && l < from->n_lanes; l++) {
            to->lanes[l].tuples = from->lanes[l].tuples;
            mr_carry_tables(from->lanes[l].tables, carry->changes[i].old, to->lanes[l].tables,
                            carry->changes[i].fresh, carry->tables);
            uint64_t lost = carry_table(&carry->changes[i], exec, &carry->old->workers[0].exec,
                                        &from->lanes[l].contexts, &to->lanes[l].contexts);
            mr_metrics_add(&carry->old->workers[0].metrics, MR_COUNT_CONTEXTS_REFUSED, lost);
        }
    }
}
