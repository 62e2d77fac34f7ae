/* Which attributes may go to a device: those of tuples that enter a parallel group and that a
 * function with an operation for devices is called on there, as they came, be it in a later
 * component of the group that they were handed on to. Where programs part, the tuples that a fork
 * hands to several of them share their bytes. */
#include "analog/flow.h"

#include <string.h>

#define MAX_HANDS 16 /* that an attribute goes through */

bool analog_wants_device(const struct mr_op *op)
{
    return op->kind == MR_OP_CALL && op->function->device && op->n_args &&
           op->args[0].reg != MR_NO_REGISTER && op->args[0].type == MR_TYPE_STRING;
}

/* The attribute of the trigger that the register holds behind so many operations, its bytes where
 * it is a stream. */
static uint32_t source_of(const struct mr_plan *plan, const struct mr_plan_rule *rule, uint32_t at,
                          uint32_t reg, bool *stream)
{
    while (at-- && reg >= plan->predicates[rule->trigger].arity) {
        const struct mr_op *op = &rule->ops[at];
        if (op->result != reg)
            continue;
        if (op->kind != MR_OP_COMPUTE ||
            (op->compute != MR_COMPUTE_COPY && op->compute != MR_COMPUTE_STREAM_BYTES))
            return MR_NO_INDEX;
        *stream |= op->compute == MR_COMPUTE_STREAM_BYTES;
        reg = op->args[0].reg;
    }
    return reg < plan->predicates[rule->trigger].arity ? reg : MR_NO_INDEX;
}

/* Where an attribute of a predicate at `stage` was when it entered the group that begins at
 * `first`: false when it was computed, or came in several ways. (Of a predicate that both enters
 * and is derived only what was derived has been there: the rest is the function's own.) */
static bool entered(const struct mr_plan *plan, uint32_t first, uint32_t stage,
                    struct device_source *at, int depth)
{
    struct device_source found = {.predicate = MR_NO_INDEX};
    bool derived = false;

    for (uint32_t s = first; s <= stage; s++)
        for (uint32_t r = 0; r < plan->stages[s].n_rules; r++) {
            const struct mr_plan_rule *rule = &plan->stages[s].rules[r];
            struct device_source from = {rule->trigger, 0, at->stream};
            if (rule->head != at->predicate)
                continue;
            from.column =
                source_of(plan, rule, rule->n_ops, rule->head_args[at->column].reg, &from.stream);
            if (plan->stages[s].by_row || plan->stages[s].recursive || depth == MAX_HANDS ||
                from.column == MR_NO_INDEX || !entered(plan, first, s, &from, depth + 1) ||
                (derived && !analog_same_source(&from, &found)))
                return false;
            derived = true;
            found = from;
        }
    if (derived)
        *at = found;
    return true;
}

bool analog_same_source(const struct device_source *a, const struct device_source *b)
{
    return a->predicate == b->predicate && a->column == b->column && a->stream == b->stream;
}

bool analog_device_source(const struct mr_plan *plan, uint32_t first, uint32_t stage,
                          const struct mr_plan_rule *rule, uint32_t op,
                          struct device_source *source)
{
    *source = (struct device_source){.predicate = rule->trigger};
    source->column = source_of(plan, rule, op, rule->ops[op].args[0].reg, &source->stream);
    return source->column != MR_NO_INDEX && entered(plan, first, stage, source, 0);
}

/* Does a fork make both of one tuple? */
static bool siblings(const struct mr_plan *plan, uint32_t p, uint32_t q)
{
    for (uint32_t s = 0; s < plan->n_stages; s++) {
        const struct mr_plan_stage *stage = &plan->stages[s];
        for (uint32_t i = 0; stage->fork && i < stage->n_rules; i++)
            for (uint32_t j = 0; j < stage->n_rules; j++)
                if (stage->rules[i].head == p && stage->rules[j].head == q &&
                    stage->rules[i].trigger == stage->rules[j].trigger)
                    return true;
    }
    return false;
}

/* The site of the attribute in the group, a new one if there is none; NULL: no memory. */
static struct mr_plan_site *site_of(struct compile *compile, struct mr_plan *plan,
                                    const struct mr_plan_site *wanted, uint32_t predicate)
{
    struct mr_plan_site *site = plan->sites, *end = site + plan->n_sites;

    for (; site < end; site++) {
        if (site->group != wanted->group || site->column != wanted->column ||
            site->stream != wanted->stream)
            continue;
        for (uint32_t i = 0; i < site->n_predicates; i++)
            if (site->predicates[i] == predicate)
                return site;
        if (siblings(plan, site->predicates[0], predicate)) {
            site->predicates[site->n_predicates++] = predicate;
            return site;
        }
    }
    *site = *wanted;
    site->calls = analog_keep(compile, plan->n_bindings * sizeof *site->calls);
    site->predicates = analog_keep(compile, plan->n_predicates * sizeof *site->predicates);
    if (!site->calls || !site->predicates)
        return NULL;
    site->predicates[site->n_predicates++] = predicate;
    plan->n_sites++;
    return site;
}

static bool add_rule(struct compile *compile, struct mr_plan *plan, uint32_t group, uint32_t stage,
                     struct mr_plan_rule *rule)
{
    for (uint32_t i = 0; i < rule->n_ops; i++) {
        struct mr_op *op = &rule->ops[i];
        struct device_source source;
        if (!analog_wants_device(op) ||
            !analog_device_source(plan, plan->groups[group].first_stage, stage, rule, i, &source))
            continue;
        struct mr_plan_site wanted = {
            .group = group, .column = source.column, .stream = source.stream};
        struct mr_plan_site *site = site_of(compile, plan, &wanted, source.predicate);
        if (!site)
            return false;
        op->site = (uint32_t)(site - plan->sites);
        op->site_call = site->n_calls;
        site->calls[site->n_calls++] = op;
    }
    return true;
}

static bool add_group(struct compile *compile, struct mr_plan *plan, uint32_t group)
{
    const struct mr_plan_group *g = &plan->groups[group];

    for (uint32_t s = g->first_stage; s < g->first_stage + g->n_stages; s++) {
        struct mr_plan_stage *stage = &plan->stages[s];
        for (uint32_t r = 0; r < stage->n_rules; r++)
            if (!stage->by_row && !stage->recursive &&
                !add_rule(compile, plan, group, s, &stage->rules[r]))
                return false;
    }
    return true;
}

bool analog_sites(struct compile *compile, struct mr_plan *plan)
{
    bool good = true;

    plan->sites = analog_keep(compile, (plan->n_bindings + 1) * sizeof *plan->sites);
    for (uint32_t g = 0; good && plan->sites && g < plan->n_groups; g++)
        if (plan->groups[g].kind == MR_STAGE_PARALLEL)
            good = add_group(compile, plan, g);
    return good && plan->sites;
}
