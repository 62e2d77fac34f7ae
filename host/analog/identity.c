/* When two stages do the same: each stage is written down with everything that decides what it does
 * and what reaches it, and hashed together with the one before. Names do not matter; predicates
 * are numbered by their first use. What was read from files counts by its contents.
 */
#include "analog/diagnostic.h"
#include "analog/flow.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

/* A stage as bytes, in scratch memory that grows. */
struct record {
    struct compile *compile;
    const struct mr_plan *plan;
    uint32_t *canonical;
    uint32_t n_canonical;
    uint8_t *bytes;
    size_t len, capacity;
};

static void put(struct record *record, const void *bytes, size_t len)
{
    if (record->len + len > record->capacity) {
        size_t wanted = 2 * (record->len + len) + 1024;
        uint8_t *grown = analog_scratch(record->compile, wanted);
        if (!grown)
            return; /* reported */
        if (record->len)
            memcpy(grown, record->bytes, record->len);
        record->bytes = grown;
        record->capacity = wanted;
    }
    if (len)
        memcpy(record->bytes + record->len, bytes, len);
    record->len += len;
}

static void put_number(struct record *record, uint64_t number)
{
    put(record, &number, sizeof number);
}

/* At its first use a predicate is described; and where it stands in the program's own order, which
 * decides in which order its tuples come. */
static void put_predicate(struct record *record, uint32_t index)
{
    const struct mr_plan_predicate *predicate = &record->plan->predicates[index];
    uint32_t rank = 0;

    if (record->canonical[index] != MR_NO_INDEX) {
        put_number(record, record->canonical[index]);
        return;
    }
    for (uint32_t p = 0; p < index; p++)
        rank += record->canonical[p] != MR_NO_INDEX;
    record->canonical[index] = record->n_canonical++;
    put_number(record, record->canonical[index]);
    put_number(record, rank);
    put_number(record, predicate->arity);
    put_number(record, predicate->watched);
    if (predicate->watched) /* by this program, and not by others */
        put(record, record->plan->name, strlen(record->plan->name));
    for (uint32_t c = 0; c < predicate->arity; c++)
        put_number(record, predicate->attributes[c].type);
}

static void put_keys(struct record *record, const struct mr_plan_key *keys, uint32_t n)
{
    put_number(record, n);
    for (uint32_t k = 0; k < n; k++) {
        put_predicate(record, keys[k].predicate);
        put_number(record, keys[k].column);
    }
}

static void put_operand(struct record *record, const struct mr_operand *operand)
{
    put_number(record, operand->reg);
    put_number(record, operand->type);
    if (operand->reg != MR_NO_REGISTER)
        return;
    if (operand->type == MR_TYPE_STRING) {
        put_number(record, operand->constant.b.len);
        put(record, operand->constant.b.ptr, operand->constant.b.len);
    } else {
        put_number(record, (uint64_t)operand->constant.i);
    }
}

static void put_op(struct record *record, const struct mr_op *op)
{
    put_number(record, op->kind);
    put_number(record, op->result);
    put_number(record, op->type);
    put_number(record, op->n_args);
    put_number(record, op->compare);
    put_number(record, op->compute);
    put_number(record, (uint64_t)(uintptr_t)op->function);
    if (op->kind == MR_OP_JOIN) {
        put_number(record, op->table);
        put_number(record, op->by);
    }
    for (uint32_t i = 0; i < op->n_args; i++)
        if (!op->bound || !(op->bound->file_args >> i & 1))
            put_operand(record, &op->args[i]);
    if (op->bound && op->bound->file_args) {
        put_number(record, op->bound->file_args);
        put(record, op->bound->contents, sizeof op->bound->contents);
    }
}

static void put_rule(struct record *record, const struct mr_plan_rule *rule)
{
    put_predicate(record, rule->trigger);
    put_predicate(record, rule->head);
    put_number(record, rule->n_registers);
    put_number(record, rule->deletes);
    put_number(record, rule->on_delete);
    put_number(record, rule->refreshes);
    put_number(record, rule->n_aggregates);
    for (uint32_t a = 0; a < rule->n_aggregates; a++) {
        put_number(record, rule->aggregates[a].kind);
        put_number(record, rule->aggregates[a].column);
    }
    for (uint32_t c = 0; c < record->plan->predicates[rule->head].arity; c++)
        put_operand(record, &rule->head_args[c]);
    put_number(record, rule->n_ops);
    for (uint32_t i = 0; i < rule->n_ops; i++) {
        rule->ops[i].index = i;
        put_op(record, &rule->ops[i]);
    }
}

/* Tables are not shared: a stage that touches one is another in each program. It is the same when
 * the table is declared in the same way. */
static void put_tables(struct record *record, const struct mr_plan_stage *stage)
{
    const struct mr_plan *plan = record->plan;

    for (uint32_t t = 0; t < plan->n_tables; t++) {
        const struct mr_plan_table *table = &plan->tables[t];
        bool touched = false;
        for (uint32_t r = 0; r < stage->n_rules; r++)
            touched |= analog_rule_touches(plan, &stage->rules[r], t);
        if (!touched)
            continue;
        put(record, plan->name, strlen(plan->name));
        put(record, table->name, strlen(table->name));
        put_number(record, t);
        put_number(record, table->kind);
        put_number(record, table->lifetime_ns);
        put_number(record, table->max_rows);
        put_number(record, table->n_indexes);
        for (uint32_t i = 0; i < table->n_indexes; i++) {
            put_number(record, table->indexes[i].n);
            for (uint32_t k = 0; k < table->indexes[i].n; k++)
                put_number(record, table->indexes[i].columns[k]);
        }
        put_predicate(record, table->predicate);
        for (uint32_t f = 0; f < table->n_facts * plan->predicates[table->predicate].arity; f++) {
            uint32_t column = f % plan->predicates[table->predicate].arity;
            struct mr_operand fact = {
                .reg = MR_NO_REGISTER,
                .type = plan->predicates[table->predicate].attributes[column].type,
                .constant = table->facts[f]};
            put_operand(record, &fact);
        }
    }
}

static void put_stage(struct record *record, const struct mr_plan_stage *stage)
{
    put_tables(record, stage);
    put_number(record, stage->n_timers);
    for (uint32_t t = 0; t < stage->n_timers; t++) {
        put(record, record->plan->name, strlen(record->plan->name));
        put_number(record, stage->timers[t].period);
        put_number(record, stage->timers[t].count);
    }
    put_number(record, stage->kind);
    put_number(record, stage->one_at_a_time);
    put_number(record, stage->recursive);
    put_keys(record, stage->keys, stage->n_keys);
    put_number(record, stage->n_passes);
    for (uint32_t i = 0; i < stage->n_passes; i++)
        put_predicate(record, stage->passes[i]);
    put_number(record, stage->n_rules);
    for (uint32_t r = 0; r < stage->n_rules; r++)
        put_rule(record, &stage->rules[r]);
}

/* Whether a rule of the stage may let the flow of its row pass from some packet on. */
static bool lets_pass(const struct record *record, const struct mr_plan_stage *stage)
{
    uint8_t uses = MR_FLOW_BYPASSES;

    if (record->compile->config && record->compile->config->bypass_encrypted)
        uses |= MR_FLOW_ENCRYPTED;
    for (uint32_t r = 0; r < stage->n_rules; r++)
        for (uint32_t i = 0; i < stage->rules[r].n_ops; i++) {
            const struct mr_op *op = &stage->rules[r].ops[i];
            if (op->kind == MR_OP_CALL && op->function->flow_use & uses)
                return true;
        }
    return false;
}

/* Where a flow is let pass, nothing of it leaves the assembler at the beginning of the group any
 * more: the group is the same only with all that may ask for it. */
static void put_what_lets_pass(struct record *record, const struct mr_plan_group *group)
{
    uint32_t end = group->first_stage;

    for (uint32_t s = group->first_stage; s < group->first_stage + group->n_stages; s++)
        if (lets_pass(record, &record->plan->stages[s]))
            end = s + 1;
    for (uint32_t s = group->first_stage; s < end; s++)
        put_stage(record, &record->plan->stages[s]);
}

/* A group is the same only with all keys at its entry, also those that later stages want there. */
static void put_group(struct record *record, uint32_t stage)
{
    for (uint32_t g = 0; g < record->plan->n_groups; g++) {
        const struct mr_plan_group *group = &record->plan->groups[g];
        if (group->first_stage != stage)
            continue;
        put_number(record, group->kind);
        put_number(record, group->one_at_a_time);
        put_number(record, group->key_type);
        put_keys(record, group->keys, group->n_keys);
        put_what_lets_pass(record, group);
    }
}

bool analog_identities(struct compile *compile, struct program_parts *parts)
{
    struct mr_plan *plan = parts->chain;
    struct record record = {.compile = compile, .plan = plan};
    uint8_t before[16] = {0};

    parts->canonical = analog_keep(compile, (plan->n_predicates + 1) * sizeof *parts->canonical);
    if (!parts->canonical)
        return false;
    record.canonical = parts->canonical;
    for (uint32_t p = 0; p < plan->n_predicates; p++)
        parts->canonical[p] = MR_NO_INDEX;
    put_predicate(&record, plan->input);
    if (plan->n_receives) /* it stands behind other programs, and shares nothing */
        put(&record, plan->name, strlen(plan->name));
    for (uint32_t r = 0; r < plan->n_receives; r++)
        put_predicate(&record, plan->receives[r].predicate);
    for (uint32_t s = 0; s < plan->n_stages; s++) {
        put(&record, before, sizeof before);
        put_stage(&record, &plan->stages[s]);
        put_group(&record, s);
        if (compile->no_memory)
            return false;
        mr_hash128_public(record.bytes, record.len, before);
        memcpy(plan->stages[s].identity, before, sizeof before);
        record.len = 0;
    }
    return true;
}
