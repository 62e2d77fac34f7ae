/* The plan of several programs, put together from the tree of their stages. */
#include "analog/flow.h"
#include "analog/merge.h"

#include <assert.h>
#include <string.h>

static const struct program_parts *parts_of(const struct merge *merge, uint32_t program)
{
    return analog_parts(merge->programs[program]);
}

/* ---- predicates ---- */

/* Those that come into a segment or are spoken of in it. */
static void collect(const struct mr_plan *chain, const struct flow *flow,
                    const struct segment *segment, struct predicate_set *set)
{
    *set = flow->before[segment->first_stage];
    for (uint32_t s = segment->first_stage; s < segment->end_stage; s++) {
        const struct mr_plan_stage *stage = &chain->stages[s];
        for (uint32_t k = 0; k < stage->n_keys; k++)
            add_to_set(set, stage->keys[k].predicate);
        for (uint32_t r = 0; r < stage->n_rules; r++) {
            add_to_set(set, stage->rules[r].trigger);
            add_to_set(set, stage->rules[r].head);
            for (uint32_t i = 0; i < stage->rules[r].n_ops; i++)
                if (stage->rules[r].ops[i].kind == MR_OP_JOIN)
                    add_to_set(set, chain->tables[stage->rules[r].ops[i].table].predicate);
        }
    }
}

bool analog_segments(struct merge *merge)
{
    struct flow *flow = analog_scratch(merge->compile, sizeof *flow);

    for (struct segment *segment = merge->segments; flow && segment; segment = segment->next) {
        const struct mr_plan *chain = parts_of(merge, segment->program)->chain;
        struct predicate_set set;
        segment->predicates =
            analog_scratch(merge->compile, (chain->n_predicates + 1) * sizeof *segment->predicates);
        if (!segment->predicates)
            return false;
        analog_flow(chain, flow);
        collect(chain, flow, segment, &set);
        if (segment == merge->segments) /* packets come also where nobody looks at them */
            add_to_set(&set, chain->input);
        for (uint32_t p = 0; p < chain->n_predicates; p++) /* alone it keeps those it never uses */
            segment->predicates[p] =
                in_set(&set, p) || merge->n_programs == 1 ? merge->n_predicates++ : MR_NO_INDEX;
    }
    return flow != NULL;
}

static bool make_predicates(struct merge *merge, struct mr_plan *plan)
{
    struct compile *compile = merge->compile;

    plan->predicates = analog_keep(compile, (merge->n_predicates + 1) * sizeof *plan->predicates);
    if (!plan->predicates)
        return false;
    plan->n_predicates = merge->n_predicates;
    for (const struct segment *segment = merge->segments; segment; segment = segment->next) {
        const struct mr_plan *chain = parts_of(merge, segment->program)->chain;
        for (uint32_t p = 0; p < chain->n_predicates; p++) {
            const struct mr_plan_predicate *from = &chain->predicates[p];
            if (segment->predicates[p] == MR_NO_INDEX)
                continue;
            struct mr_plan_predicate *to = &plan->predicates[segment->predicates[p]];
            *to = *from;
            to->segment = segment->index;
            to->program = segment->program;
            to->leaves = segment->leaf && from->leaves;
            if (from->table != MR_NO_TABLE)
                to->table += merge->first_table[segment->program];
            if (from->alarm)
                to->alarm += merge->first_alarm[segment->program];
            to->attributes = analog_keep(compile, (from->arity + 1) * sizeof *to->attributes);
            if (!to->attributes)
                return false;
            memcpy(to->attributes, from->attributes, from->arity * sizeof *to->attributes);
        }
    }
    assert(merge->segments); /* there is at least one program */
    plan->input = merge->segments->predicates[0];
    return true;
}

/* ---- stages ---- */

static struct mr_plan_key *map_keys(struct merge *merge, const struct segment *segment,
                                    const struct mr_plan_key *keys, uint32_t n)
{
    struct mr_plan_key *mapped = analog_keep(merge->compile, (n + 1) * sizeof *mapped);

    for (uint32_t k = 0; mapped && k < n; k++)
        mapped[k] = (struct mr_plan_key){.predicate = segment->predicates[keys[k].predicate],
                                         .column = keys[k].column};
    return mapped;
}

static bool copy_rule(struct merge *merge, const struct segment *segment,
                      const struct mr_plan_rule *from, struct mr_plan_rule *to)
{
    *to = *from;
    to->trigger = segment->predicates[from->trigger];
    to->head = segment->predicates[from->head];
    to->ops = analog_keep(merge->compile, (from->n_ops + 1) * sizeof *to->ops);
    if (!to->ops) {
        to->n_ops = 0;
        return false;
    }
    memcpy(to->ops, from->ops, from->n_ops * sizeof *to->ops);
    for (uint32_t i = 0; i < to->n_ops; i++) {
        analog_bound_share(to->ops[i].bound);
        to->ops[i].table += merge->first_table[segment->program];
    }
    return true;
}

static bool copy_stage(struct merge *merge, const struct entry *entry, struct mr_plan_stage *to)
{
    const struct segment *segment = entry->segment;
    const struct mr_plan_stage *from =
        &parts_of(merge, entry->program)->chain->stages[entry->stage];

    *to = *from;
    to->n_rules = to->n_passes = 0;
    to->keys = map_keys(merge, segment, from->keys, from->n_keys);
    to->rules = analog_keep(merge->compile, (from->n_rules + 1) * sizeof *to->rules);
    to->passes = analog_keep(merge->compile, (from->n_passes + 1) * sizeof *to->passes);
    to->timers = analog_keep(merge->compile, (from->n_timers + 1) * sizeof *to->timers);
    if (!to->keys || !to->rules || !to->passes || !to->timers)
        return false;
    for (uint32_t i = 0; i < from->n_timers; i++) {
        to->timers[i] = from->timers[i];
        to->timers[i].predicate = segment->predicates[from->timers[i].predicate];
    }
    for (uint32_t i = 0; i < from->n_passes; i++)
        to->passes[to->n_passes++] = segment->predicates[from->passes[i]];
    for (uint32_t r = 0; r < from->n_rules; r++)
        if (!copy_rule(merge, segment, &from->rules[r], &to->rules[to->n_rules++]))
            return false;
    return true;
}

/* The predicate of one program that another calls `predicate`; both have come the same way. */
static uint32_t counterpart(const struct program_parts *from, uint32_t predicate,
                            const struct program_parts *to)
{
    for (uint32_t p = 0; p < to->chain->n_predicates; p++)
        if (to->canonical[p] == from->canonical[predicate])
            return p;
    return MR_NO_INDEX;
}

/* A rule that hands the tuples of a predicate to a branch. */
static bool copying_rule(struct merge *merge, const struct mr_plan_predicate *predicate,
                         uint32_t trigger, uint32_t head, struct mr_plan_rule *rule)
{
    *rule = (struct mr_plan_rule){
        .label = "", .trigger = trigger, .head = head, .n_registers = predicate->arity};
    rule->head_args = analog_keep(merge->compile, (predicate->arity + 1) * sizeof *rule->head_args);
    rule->ops = analog_keep(merge->compile, sizeof *rule->ops);
    if (!rule->head_args || !rule->ops)
        return false;
    for (uint32_t c = 0; c < predicate->arity; c++)
        rule->head_args[c] = (struct mr_operand){.reg = c, .type = predicate->attributes[c].type};
    return true;
}

/* Hands what is shipped to those who receive it; for another node it goes on as well. */
static bool make_ships(struct merge *merge, const struct entry *entry, struct flow *flow,
                       struct mr_plan_stage *to)
{
    const struct segment *segment = entry->segment;
    const struct mr_plan *chain = parts_of(merge, segment->program)->chain;

    *to = (struct mr_plan_stage){
        .name = "ship", .kind = MR_STAGE_PARALLEL, .fork = true, .ships = true};
    to->keys = analog_keep(merge->compile, sizeof *to->keys);
    to->passes = analog_keep(merge->compile, (chain->n_ships + 1) * sizeof *to->passes);
    to->rules = analog_keep(merge->compile, (chain->n_ships + 1) * sizeof *to->rules);
    if (!to->keys || !to->passes || !to->rules)
        return false;
    analog_flow(chain, flow);
    for (uint32_t s = 0; s < chain->n_ships; s++) {
        uint32_t p = chain->ships[s].predicate, target = analog_target(merge, &chain->ships[s]);
        if (target == MR_NO_INDEX || !in_set(&flow->before[segment->end_stage], p))
            continue;
        const struct mr_plan_receive *receive =
            analog_receiver(merge, target, chain->predicates[p].name);
        if (!copying_rule(merge, &chain->predicates[p], segment->predicates[p],
                          merge->entrances[target]->predicates[receive->predicate],
                          &to->rules[to->n_rules++]))
            return false;
        if (chain->predicates[p].node)
            to->passes[to->n_passes++] = segment->predicates[p];
    }
    return true;
}

static bool make_fork(struct merge *merge, const struct entry *entry, struct flow *flow,
                      struct mr_plan_stage *to)
{
    const struct segment *segment = entry->segment;
    const struct program_parts *parts = parts_of(merge, segment->program);
    const struct mr_plan *chain = parts->chain;
    uint32_t most = 0;

    *to = (struct mr_plan_stage){.name = "fork", .kind = MR_STAGE_PARALLEL, .fork = true};
    for (const struct segment *b = segment->branches; b; b = b->next_branch)
        most += chain->n_predicates;
    to->keys = analog_keep(merge->compile, sizeof *to->keys);
    to->passes = analog_keep(merge->compile, sizeof *to->passes);
    to->rules = analog_keep(merge->compile, (most + 1) * sizeof *to->rules);
    if (!to->keys || !to->passes || !to->rules)
        return false;
    analog_flow(chain, flow);
    for (const struct segment *b = segment->branches; b; b = b->next_branch)
        for (uint32_t p = 0; p < chain->n_predicates; p++) {
            if (!in_set(&flow->before[segment->end_stage], p))
                continue;
            uint32_t other = counterpart(parts, p, parts_of(merge, b->program));
            if (!copying_rule(merge, &chain->predicates[p], segment->predicates[p],
                              b->predicates[other], &to->rules[to->n_rules++]))
                return false;
        }
    return true;
}

static bool make_stages(struct merge *merge, struct mr_plan *plan)
{
    struct flow *flow = analog_scratch(merge->compile, sizeof *flow);

    plan->stages = analog_keep(merge->compile, (merge->n_entries + 1) * sizeof *plan->stages);
    if (!flow || !plan->stages)
        return false;
    for (const struct entry *entry = merge->entries; entry; entry = entry->next) {
        struct mr_plan_stage *to = &plan->stages[plan->n_stages++];
        bool good = entry->ships  ? make_ships(merge, entry, flow, to)
                    : entry->fork ? make_fork(merge, entry, flow, to)
                                  : copy_stage(merge, entry, to);
        to->segment = entry->segment->index;
        to->users = entry->users;
        if (!good)
            return false;
    }
    return true;
}

/* ---- groups ---- */

/* As it is in its own program, where it begins with the same stage. */
static bool lane_group(struct merge *merge, const struct entry *entry, struct mr_plan_group *group)
{
    const struct mr_plan *chain = parts_of(merge, entry->program)->chain;
    const struct mr_plan_group *from = chain->groups;

    while (from->first_stage != entry->stage)
        from++;
    group->kind = from->kind;
    group->one_at_a_time = from->one_at_a_time;
    group->key_type = from->key_type;
    group->n_keys = from->n_keys;
    group->keys = map_keys(merge, entry->segment, from->keys, from->n_keys);
    return group->keys != NULL;
}

/* The group in which what the segment begins with comes about: where its first stage in an earlier
 * group stands, or else the fork that leads to it. */
static uint32_t parent_group(const struct mr_plan *plan, const struct merge *merge, uint32_t group)
{
    const struct mr_plan_stage *first = &plan->stages[plan->groups[group].first_stage];
    const struct segment *segment = merge->segments;

    for (uint32_t g = group; g--;)
        for (uint32_t s = 0; s < plan->groups[g].n_stages; s++)
            if (plan->stages[plan->groups[g].first_stage + s].segment == first->segment)
                return g;
    for (; segment; segment = segment->next)
        for (const struct segment *b = segment->branches; b; b = b->next_branch)
            for (uint32_t g = 0; b->index == first->segment && g < group; g++)
                for (uint32_t s = 0; s < plan->groups[g].n_stages; s++) {
                    const struct mr_plan_stage *stage =
                        &plan->stages[plan->groups[g].first_stage + s];
                    if (stage->fork && stage->segment == segment->index)
                        return g;
                }
    for (uint32_t g = group; g--;) /* the last that ships to it */
        for (uint32_t s = 0; s < plan->groups[g].n_stages; s++) {
            const struct mr_plan_stage *stage = &plan->stages[plan->groups[g].first_stage + s];
            for (uint32_t r = 0; stage->ships && r < stage->n_rules; r++)
                if (plan->predicates[stage->rules[r].head].segment == first->segment)
                    return g;
        }
    return MR_NO_INDEX;
}

static bool make_groups(struct merge *merge, struct mr_plan *plan)
{
    const struct entry *before = NULL;
    uint32_t stage = 0;

    plan->groups = analog_keep(merge->compile, (plan->n_stages + 1) * sizeof *plan->groups);
    if (!plan->groups)
        return false;
    for (const struct entry *entry = merge->entries; entry; before = entry, entry = entry->next) {
        struct mr_plan_group *group = plan->n_groups ? &plan->groups[plan->n_groups - 1] : NULL;
        if (before && before->place.phase == entry->place.phase &&
            before->place.part == entry->place.part) {
            assert(group);
            group->n_stages++;
        } else {
            group = &plan->groups[plan->n_groups++];
            *group = (struct mr_plan_group){
                .first_stage = stage, .n_stages = 1, .kind = MR_STAGE_PARALLEL};
            if (entry->place.part == PART_PARALLEL)
                group->keys = analog_keep(merge->compile, sizeof *group->keys);
            else if (!lane_group(merge, entry, group))
                return false;
            if (!group->keys)
                return false;
        }
        stage++;
    }
    for (uint32_t g = 0; g < plan->n_groups; g++)
        plan->groups[g].parent = parent_group(plan, merge, g);
    return true;
}

/* ---- tables ---- */

/* Stages with tables belong to one program each, so a table is that of one segment. */
static uint32_t table_predicate(const struct merge *merge, uint32_t program, uint32_t predicate)
{
    for (const struct segment *segment = merge->segments; segment; segment = segment->next)
        if (segment->program == program && segment->predicates[predicate] != MR_NO_INDEX)
            return segment->predicates[predicate];
    return MR_NO_PREDICATE;
}

static uint32_t table_group(const struct mr_plan *plan, uint32_t table)
{
    for (uint32_t g = 0; g < plan->n_groups; g++)
        for (uint32_t s = 0; s < plan->groups[g].n_stages; s++) {
            const struct mr_plan_stage *stage = &plan->stages[plan->groups[g].first_stage + s];
            for (uint32_t r = 0; r < stage->n_rules; r++)
                if (analog_rule_touches(plan, &stage->rules[r], table))
                    return g;
        }
    return MR_NO_INDEX; /* no rule of it is ever triggered */
}

static bool make_tables(struct merge *merge, struct mr_plan *plan)
{
    plan->tables = analog_keep(merge->compile, (plan->n_tables + 1) * sizeof *plan->tables);
    plan->alarms = analog_keep(merge->compile, (plan->n_alarms + 1) * sizeof *plan->alarms);
    if (!plan->tables || !plan->alarms)
        return false;
    for (uint32_t i = 0; i < merge->n_programs; i++) {
        const struct mr_plan *chain = parts_of(merge, i)->chain;
        for (uint32_t a = 0; a < chain->n_alarms; a++)
            plan->alarms[merge->first_alarm[i] + a] = chain->alarms[a];
        for (uint32_t t = 0; t < chain->n_tables; t++) {
            uint32_t index = merge->first_table[i] + t;
            struct mr_plan_table *table = &plan->tables[index];
            *table = chain->tables[t];
            table->program = i;
            table->predicate = table_predicate(merge, i, table->predicate);
            if (table->kind != MR_TABLE_CONSTANT)
                table->group = table_group(plan, index);
        }
    }
    return true;
}

/* ---- the whole ---- */

static bool make_programs(struct merge *merge, struct mr_plan *plan)
{
    struct compile *compile = merge->compile;

    plan->programs = analog_keep(compile, merge->n_programs * sizeof *plan->programs);
    plan->sources = analog_keep(compile, merge->n_programs * sizeof(struct mr_program *));
    plan->name = "";
    if (!plan->programs || !plan->sources)
        return false;
    for (uint32_t i = 0; i < merge->n_programs; i++) {
        const struct mr_plan *chain = parts_of(merge, i)->chain;
        plan->programs[i] = chain->programs[0];
        plan->n_rules += chain->n_rules;
        plan->n_components += chain->n_components;
        merge->first_table[i] = plan->n_tables;
        plan->n_tables += chain->n_tables;
        merge->first_alarm[i] = plan->n_alarms;
        plan->n_alarms += chain->n_alarms;
        plan->name =
            i ? analog_keep_format(compile, "%s, %s", plan->name, chain->name) : chain->name;
        if (!plan->name)
            return false;
        plan->sources[i] = mr_program_share(merge->programs[i]);
        plan->n_programs++;
    }
    return true;
}

struct mr_plan *analog_assemble(struct merge *merge)
{
    struct mr_plan *plan = analog_keep(merge->compile, sizeof *plan);

    if (!plan)
        return NULL;
    plan->memory = merge->compile->memory;
    plan->n_segments = merge->n_segments;
    if (make_programs(merge, plan) && make_predicates(merge, plan) && make_stages(merge, plan) &&
        make_groups(merge, plan) && make_tables(merge, plan))
        return plan;
    analog_release(plan);
    return NULL;
}
