/* `millrace explain --dot`: a plan for graphviz. */
#include "analog/print.h"

#define LINE_BYTES 512

/* Text inside a quoted label; what is not plain ASCII is not passed on. */
static void put_escaped(const char *text, FILE *to)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fputc('\\', to);
        fputc(c >= 0x20 && c < 0x7f ? c : '?', to);
    }
}

static void print_ops(const struct mr_plan *plan, const struct mr_plan_rule *rule, FILE *to)
{
    char line[LINE_BYTES];

    for (uint32_t i = 0; i < rule->n_ops; i++) {
        const struct mr_op *op = &rule->ops[i];
        analog_op_text(plan, rule, op, line, sizeof line);
        fputs("    ", to);
        put_escaped(line, to);
        if (op->kind == MR_OP_CALL) {
            fputs("  [", to);
            put_escaped(op->function->backends ? op->function->backends : "cpu", to);
            fputc(']', to);
        }
        fputs("\\l", to);
    }
}

static void print_stage(const struct mr_plan *plan, uint32_t index, FILE *to)
{
    const struct mr_plan_stage *stage = &plan->stages[index];
    char names[LINE_BYTES];

    if (stage->fork) {
        fprintf(to, "    stage%u [label=\"fork\", shape=diamond];\n", index);
        return;
    }
    analog_programs_text(plan, stage->users, names, sizeof names);
    fprintf(to, "    stage%u [label=\"%s (%s%s%s)%s", index, stage->name,
            analog_kind_text(stage->kind), stage->one_at_a_time ? ", one key at a time" : "",
            stage->recursive ? ", recursive" : "", names[0] ? "  " : "");
    put_escaped(names, to);
    fputs("\\l", to);
    for (uint32_t r = 0; r < stage->n_rules; r++) {
        const struct mr_plan_rule *rule = &stage->rules[r];
        fprintf(to, "  %s%s%s -> %s\\l", rule->label, rule->label[0] ? ": " : "",
                plan->predicates[rule->trigger].name, plan->predicates[rule->head].name);
        print_ops(plan, rule, to);
    }
    fputs("\"];\n", to);
}

static void print_group(const struct mr_plan *plan, uint32_t index, FILE *to)
{
    static const char *const colors[] = {[MR_STAGE_PARALLEL] = "#e8f0fb",
                                         [MR_STAGE_CONTEXT] = "#e6f4ea",
                                         [MR_STAGE_SERIAL] = "#fdf0e1"};
    const struct mr_plan_group *group = &plan->groups[index];

    fprintf(to, "  subgraph cluster_group%u {\n    style=\"filled,rounded\"; fillcolor=\"%s\";\n",
            index + 1, colors[group->kind]);
    fprintf(to, "    label=\"group %u: %s", index + 1, analog_kind_text(group->kind));
    for (uint32_t k = 0; k < group->n_keys; k++)
        fprintf(to, "%s%s(%u)", k ? ", " : " by ", plan->predicates[group->keys[k].predicate].name,
                group->keys[k].column + 1);
    fprintf(to, "%s\";\n", analog_n_components(plan, group) > 1 ? ", fused" : "");
    for (uint32_t s = 0; s < group->n_stages; s++)
        print_stage(plan, group->first_stage + s, to);
    fputs("  }\n", to);
}

/* From one stage (MR_NO_INDEX: packet capture) to another (n_stages: events), with what goes there
 * of a segment. */
static void print_edge(const struct mr_plan *plan, const struct flow *flow, uint32_t from,
                       uint32_t stage, uint32_t segment, FILE *to)
{
    char live[LINE_BYTES], dead[LINE_BYTES];

    if (from != MR_NO_INDEX)
        fprintf(to, "  stage%u -> ", from);
    else
        fputs("  capture -> ", to);
    if (stage < plan->n_stages)
        fprintf(to, "stage%u [label=\"", stage);
    else
        fputs("events [label=\"", to);
    for (uint32_t p = 0; p < plan->n_predicates; p++) {
        if (!in_set(&flow->before[stage], p) || plan->predicates[p].segment != segment)
            continue;
        analog_predicate_text(&plan->predicates[p], true, live, sizeof live);
        analog_predicate_text(&plan->predicates[p], false, dead, sizeof dead);
        fprintf(to, "  %s\\l%s%s%s", live, dead[0] ? "  dead: " : "", dead, dead[0] ? "\\l" : "");
    }
    fputs("\"];\n", to);
}

static bool is_end(const struct mr_plan *plan, uint32_t segment)
{
    for (uint32_t p = 0; p < plan->n_predicates; p++)
        if (plan->predicates[p].segment == segment && plan->predicates[p].leaves)
            return true;
    return plan->n_segments == 1;
}

void mr_plan_print_dot(const struct mr_plan *plan, FILE *to)
{
    struct flow flow;

    analog_flow(plan, &flow);
    fputs("digraph \"", to);
    put_escaped(plan->name, to);
    fputs("\" {\n  node [shape=box, style=\"filled,rounded\", fillcolor=white, "
          "fontname=\"monospace\", fontsize=10];\n"
          "  edge [fontname=\"monospace\", fontsize=10];\n"
          "  graph [fontname=\"monospace\", fontsize=11, labeljust=l];\n"
          "  capture [label=\"packet capture (serial)\"];\n  events [label=\"events\"];\n",
          to);
    for (uint32_t g = 0; g < plan->n_groups; g++)
        print_group(plan, g, to);
    for (uint32_t s = 0; s < plan->n_stages; s++)
        print_edge(plan, &flow, analog_stage_before(plan, s), s, plan->stages[s].segment, to);
    for (uint32_t segment = 0; segment < plan->n_segments; segment++)
        if (is_end(plan, segment))
            print_edge(plan, &flow, analog_last_stage(plan, segment), plan->n_stages, segment, to);
    fputs("}\n", to);
}
