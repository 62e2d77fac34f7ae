/* `millrace explain`: a plan in words. */
#include "analog/print.h"

#define LINE_BYTES 512

static const char *order_text(enum mr_order order)
{
    static const char *const texts[] = {[MR_ORDER_NONE] = "any order",
                                        [MR_ORDER_CONTEXT] = "state per key",
                                        [MR_ORDER_TOTAL] = "state over all"};
    return texts[order];
}

/* Where the call may run. */
static const char *backends_text(const struct mr_op *op)
{
    if (op->function->device && op->site == MR_NO_INDEX)
        return "cpu (no attribute that comes in)";
    return op->function->backends ? op->function->backends : "cpu";
}

static void print_op(const struct mr_plan *plan, const struct mr_plan_rule *rule,
                     const struct mr_op *op, FILE *to)
{
    char line[LINE_BYTES];

    analog_op_text(plan, rule, op, line, sizeof line);
    if (op->kind != MR_OP_CALL) {
        fprintf(to, "        %s\n", line);
        return;
    }
    fprintf(to, "        %-58s  %s; %s; %s\n", line, order_text(op->function->order),
            op->function->shape == MR_SHAPE_EXPAND ? "none or several" : "one each",
            backends_text(op));
}

static void print_rule(const struct mr_plan *plan, const struct mr_plan_rule *rule, FILE *to)
{
    fprintf(to, "      %s%s%s -> %s\n", rule->label, rule->label[0] ? ": " : "",
            plan->predicates[rule->trigger].name, plan->predicates[rule->head].name);
    for (uint32_t i = 0; i < rule->n_ops; i++)
        print_op(plan, rule, &rule->ops[i], to);
}

static void print_keys(const struct mr_plan *plan, const struct mr_plan_key *keys, uint32_t n,
                       FILE *to)
{
    for (uint32_t k = 0; k < n; k++)
        fprintf(to, "%s%s(%u)", k ? ", " : "", plan->predicates[keys[k].predicate].name,
                keys[k].column + 1);
}

/* Where the tuples go on to, one line a branch. */
static void print_fork(const struct mr_plan *plan, const struct mr_plan_stage *stage, FILE *to)
{
    char names[LINE_BYTES];

    fputs(stage->ships ? "    ship\n" : "    fork\n", to);
    for (uint32_t segment = 0; segment < plan->n_segments; segment++) {
        const char *before = NULL;
        for (uint32_t r = 0; r < stage->n_rules; r++) {
            const struct mr_plan_predicate *head = &plan->predicates[stage->rules[r].head];
            if (head->segment != segment)
                continue;
            analog_programs_text(plan, analog_segment_users(plan, segment), names, sizeof names);
            if (before)
                fprintf(to, "%s%s", before, head->name);
            else
                fprintf(to, "      to %s: %s", names, head->name);
            before = ", ";
        }
        if (before)
            fputc('\n', to);
    }
}

static void print_passes(const struct mr_plan *plan, const struct mr_plan_stage *stage, FILE *to)
{
    for (uint32_t i = 0; i < stage->n_passes; i++)
        fprintf(to, "%s%s",
                i ? ", " : "      (goes on as well: ", plan->predicates[stage->passes[i]].name);
    if (stage->n_passes)
        fputs(")\n", to);
}

static void print_stage(const struct mr_plan *plan, const struct mr_plan_stage *stage, FILE *to)
{
    char names[LINE_BYTES];

    if (stage->fork) {
        print_fork(plan, stage, to);
        return;
    }
    analog_programs_text(plan, stage->users, names, sizeof names);
    fprintf(to, "    component %s: %s", stage->name, analog_kind_text(stage->kind));
    if (stage->n_keys) {
        fputs(" by ", to);
        print_keys(plan, stage->keys, stage->n_keys, to);
    }
    fprintf(to, "%s%s%s%s%s\n", stage->one_at_a_time ? ", one key at a time" : "",
            stage->recursive ? ", recursive" : "", names[0] ? "   [" : "", names,
            names[0] ? "]" : "");
    for (uint32_t r = 0; r < stage->n_rules; r++)
        print_rule(plan, &stage->rules[r], to);
    print_passes(plan, stage, to);
    if (!stage->n_rules)
        fputs("      (everything passes through)\n", to);
}

static void print_predicates(const struct mr_plan *plan, const struct predicate_set *set,
                             uint32_t segment, FILE *to)
{
    char live[LINE_BYTES], dead[LINE_BYTES];

    for (uint32_t p = 0; p < plan->n_predicates; p++) {
        const struct mr_plan_predicate *predicate = &plan->predicates[p];
        if (!in_set(set, p) || predicate->segment != segment)
            continue;
        analog_predicate_text(predicate, true, live, sizeof live);
        analog_predicate_text(predicate, false, dead, sizeof dead);
        fprintf(to, "    | %s%s%s\n", live, dead[0] ? "   dead: " : "", dead);
    }
}

static void print_group(const struct mr_plan *plan, const struct flow *flow, uint32_t index,
                        FILE *to)
{
    const struct mr_plan_group *group = &plan->groups[index];

    fprintf(to, "  group %u: %s", index + 1, analog_kind_text(group->kind));
    if (group->n_keys) {
        fputs(" by ", to);
        print_keys(plan, group->keys, group->n_keys, to);
        fprintf(to, " (%s)", mr_type_name(group->key_type));
    }
    if (group->one_at_a_time)
        fputs(", one key at a time", to);
    if (group->by_packet)
        fputs(", packet by packet", to);
    if (analog_n_components(plan, group) > 1)
        fprintf(to, ", %u components fused%s", analog_n_components(plan, group),
                group->n_keys ? " (the key stays the same)" : "");
    if (group->context_bytes)
        fprintf(to, ", %u bytes of state per key", group->context_bytes);
    fputc('\n', to);
    if (group->parent != MR_NO_INDEX)
        fprintf(to, "    (not fused with group %u: %s)\n", group->parent + 1,
                analog_split_text(plan, flow, index));
    for (uint32_t s = 0; s < group->n_stages; s++) {
        uint32_t stage = group->first_stage + s;
        if (s)
            print_predicates(plan, &flow->before[stage], plan->stages[stage].segment, to);
        print_stage(plan, &plan->stages[stage], to);
    }
}

/* What the program at the end of a segment derives. */
static void print_leaving(const struct mr_plan *plan, const struct predicate_set *set,
                          uint32_t segment, FILE *to)
{
    bool any = false;

    for (uint32_t p = 0; p < plan->n_predicates; p++)
        any |= plan->predicates[p].segment == segment && plan->predicates[p].leaves;
    if (!any)
        return;
    if (plan->n_programs > 1)
        fprintf(to, "  from %s\n",
                plan->programs[__builtin_ctzll(analog_segment_users(plan, segment))].name);
    print_predicates(plan, set, segment, to);
}

void mr_plan_print_text(const struct mr_plan *plan, FILE *to)
{
    struct flow flow;
    uint32_t dead = 0, all = 0;

    analog_flow(plan, &flow);
    for (uint32_t i = 0; i < plan->n_programs; i++)
        fprintf(to, "program %s: %u rule%s, %u components with packet capture\n",
                plan->programs[i].name, plan->programs[i].n_rules,
                plan->programs[i].n_rules == 1 ? "" : "s", plan->programs[i].n_components);
    fprintf(to, "at most %d tokens in flight (--tokens)\n\n", MR_DEFAULT_TOKENS);
    fputs("  packet capture: serial\n", to);
    for (uint32_t g = 0; g < plan->n_groups; g++) {
        uint32_t first = plan->groups[g].first_stage;
        print_predicates(plan, &flow.before[first], plan->stages[first].segment, to);
        print_group(plan, &flow, g, to);
    }
    for (uint32_t segment = 0; segment < plan->n_segments; segment++)
        print_leaving(plan, &flow.before[plan->n_stages], segment, to);
    fputs("  events\n", to);
    for (uint32_t p = 0; p < plan->n_predicates; p++) {
        dead += analog_dead_attributes(&plan->predicates[p]);
        all += plan->predicates[p].arity;
    }
    fprintf(to, "\n%u of %u attributes are dead: read by nobody, stored nowhere\n", dead, all);
}
