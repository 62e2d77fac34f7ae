/* Plans in words: registers, operations, predicates. */
#include "analog/print.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define STRING_CHARS 40u

/* A text that grows to a limit and is cut there. */
struct text {
    char *at;
    size_t room; /* with the terminating NUL */
};

static void put(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *text, const char *format, ...)
{
    va_list args;

    if (text->room < 2)
        return;
    va_start(args, format);
    int n = vsnprintf(text->at, text->room, format, args);
    va_end(args);
    if (n < 0)
        return;
    size_t used = (size_t)n < text->room ? (size_t)n : text->room - 1;
    text->at += used;
    text->room -= used;
}

const char *analog_kind_text(enum mr_stage_kind kind)
{
    static const char *const texts[] = {[MR_STAGE_PARALLEL] = "parallel",
                                        [MR_STAGE_CONTEXT] = "context-ordered",
                                        [MR_STAGE_SERIAL] = "serial"};
    return texts[kind];
}

const char *analog_split_text(const struct mr_plan *plan, const struct flow *flow, uint32_t index)
{
    const struct mr_plan_group *group = &plan->groups[index];
    const struct mr_plan_group *parent = &plan->groups[group->parent];
    struct mr_plan_key *keys = NULL;
    uint32_t n_keys = 0;
    enum join join = JOIN_KIND;

    for (uint32_t s = 0; s < plan->n_stages; s++)
        n_keys += plan->stages[s].n_keys;
    keys = malloc((n_keys + 1) * sizeof *keys);
    if (keys)
        join = analog_join(plan, flow, parent, group->first_stage, keys, &n_keys);
    free(keys);
    switch (join) {
    case JOIN_ONE:
        return "only one of them runs for one key at a time";
    case JOIN_SEVERAL:
        return "a predicate has several keys";
    case JOIN_KEY:
        return "the key is another value";
    case JOIN_DEVICE:
        return "a device may be asked in between";
    case JOIN_KIND:
    case JOIN_YES:
        break;
    }
    return group->kind == MR_STAGE_PARALLEL    ? "the order no longer matters"
           : group->kind == MR_STAGE_SERIAL    ? "from here on everything is in one order"
           : parent->kind == MR_STAGE_PARALLEL ? "from here on there is an order for each key"
                                               : "the order is that of each key";
}

void analog_register_name(const struct mr_plan *plan, const struct mr_plan_rule *rule, uint32_t reg,
                          char *text, size_t bytes)
{
    const struct mr_plan_predicate *trigger = &plan->predicates[rule->trigger];
    const struct mr_plan_predicate *head = &plan->predicates[rule->head];

    if (reg < trigger->arity) {
        snprintf(text, bytes, "%s", trigger->attributes[reg].name);
        return;
    }
    for (uint32_t c = 0; c < head->arity; c++) {
        if (rule->head_args[c].reg != reg)
            continue;
        snprintf(text, bytes, "%s", head->attributes[c].name);
        return;
    }
    snprintf(text, bytes, "$%u", reg);
}

static void put_string(struct text *text, const unsigned char *s, uint32_t len)
{
    put(text, "\"");
    for (uint32_t i = 0; i < len && i < STRING_CHARS; i++) {
        if (s[i] == '"' || s[i] == '\\')
            put(text, "\\%c", s[i]);
        else if (s[i] >= 0x20 && s[i] < 0x7f)
            put(text, "%c", s[i]);
        else
            put(text, "\\x%02x", s[i]);
    }
    put(text, len > STRING_CHARS ? "...\"" : "\"");
}

static void put_operand(struct text *text, const struct mr_plan *plan,
                        const struct mr_plan_rule *rule, const struct mr_operand *operand)
{
    char name[MAX_NAME_BYTES + 16];

    if (operand->reg != MR_NO_REGISTER) {
        analog_register_name(plan, rule, operand->reg, name, sizeof name);
        put(text, "%s", name);
    } else if (operand->type == MR_TYPE_INT) {
        put(text, "%" PRId64, operand->constant.i);
    } else if (operand->type == MR_TYPE_REAL) {
        put(text, "%g", operand->constant.d);
    } else {
        put_string(text, operand->constant.b.ptr, operand->constant.b.len);
    }
}

const char *mr_compute_sign(enum mr_compute compute)
{
    static const char *const signs[] = {
        [MR_COMPUTE_ADD] = "+",     [MR_COMPUTE_SUB] = "-",     [MR_COMPUTE_MUL] = "*",
        [MR_COMPUTE_DIV] = "/",     [MR_COMPUTE_MOD] = "%",     [MR_COMPUTE_SHL] = "<<",
        [MR_COMPUTE_SHR] = ">>",    [MR_COMPUTE_BIT_AND] = "&", [MR_COMPUTE_BIT_OR] = "|",
        [MR_COMPUTE_BIT_XOR] = "^", [MR_COMPUTE_BIT_NOT] = "~", [MR_COMPUTE_NEGATE] = "-",
        [MR_COMPUTE_EQ] = "==",     [MR_COMPUTE_NE] = "!=",     [MR_COMPUTE_LT] = "<",
        [MR_COMPUTE_LE] = "<=",     [MR_COMPUTE_GT] = ">",      [MR_COMPUTE_GE] = ">=",
        [MR_COMPUTE_AND] = "&&",    [MR_COMPUTE_OR] = "||",     [MR_COMPUTE_NOT] = "!",
        [MR_COMPUTE_CONCAT] = "+",
    };
    return signs[compute];
}

static void put_compute(struct text *text, const struct mr_plan *plan,
                        const struct mr_plan_rule *rule, const struct mr_op *op)
{
    switch (op->compute) {
    case MR_COMPUTE_COPY:
        put_operand(text, plan, rule, &op->args[0]);
        return;
    case MR_COMPUTE_FIELD:
        put_operand(text, plan, rule, &op->args[0]);
        put(text, ".%" PRId64, op->args[1].constant.i + 1);
        return;
    case MR_COMPUTE_STREAM_BYTES:
    case MR_COMPUTE_TO_REAL:
        put(text, op->compute == MR_COMPUTE_TO_REAL ? "real of " : "bytes of ");
        put_operand(text, plan, rule, &op->args[0]);
        return;
    default:
        break;
    }
    if (op->n_args == 1) {
        put(text, "%s", mr_compute_sign(op->compute));
        put_operand(text, plan, rule, &op->args[0]);
        return;
    }
    put_operand(text, plan, rule, &op->args[0]);
    put(text, " %s ", mr_compute_sign(op->compute));
    put_operand(text, plan, rule, &op->args[1]);
}

/* "row of t(column = value, ...)" */
static void put_join(struct text *text, const struct mr_plan *plan, const struct mr_plan_rule *rule,
                     const struct mr_op *op)
{
    const struct mr_plan_table *table = &plan->tables[op->table];
    const struct mr_plan_predicate *p = &plan->predicates[table->predicate];

    put(text, "rows of %s(", table->name);
    for (uint32_t i = 0; i < op->n_args; i++) {
        put(text, "%s%s: ", i ? ", " : "", p->attributes[table->indexes[op->by].columns[i]].name);
        put_operand(text, plan, rule, &op->args[i]);
    }
    put(text, ")");
}

void analog_op_text(const struct mr_plan *plan, const struct mr_plan_rule *rule,
                    const struct mr_op *op, char *buffer, size_t bytes)
{
    struct text text = {buffer, bytes};
    char name[MAX_NAME_BYTES + 16];

    buffer[0] = '\0';
    if (op->kind != MR_OP_TEST && op->result != MR_NO_REGISTER) {
        analog_register_name(plan, rule, op->result, name, sizeof name);
        put(&text, "%s = ", name);
    }
    if (op->kind == MR_OP_COMPUTE) {
        put_compute(&text, plan, rule, op);
    } else if (op->kind == MR_OP_JOIN) {
        put_join(&text, plan, rule, op);
    } else if (op->kind == MR_OP_TEST) {
        put_operand(&text, plan, rule, &op->args[0]);
        put(&text, " %s ",
            mr_compute_sign((enum mr_compute)(MR_COMPUTE_EQ + (op->compare - MR_EQ))));
        put_operand(&text, plan, rule, &op->args[1]);
    } else {
        put(&text, "%s(", op->function->name);
        for (uint32_t i = 0; i < op->n_args; i++) {
            put(&text, "%s", i ? ", " : "");
            put_operand(&text, plan, rule, &op->args[i]);
        }
        put(&text, ")");
    }
}

/* The node has no storage either, but that is nobody's news. */
static bool is_dead(const struct mr_plan_attribute *attribute)
{
    return !attribute->live && attribute->type != MR_TYPE_NODE;
}

uint32_t analog_dead_attributes(const struct mr_plan_predicate *predicate)
{
    uint32_t n = 0;
    for (uint32_t c = 0; c < predicate->arity; c++)
        n += is_dead(&predicate->attributes[c]);
    return n;
}

void analog_predicate_text(const struct mr_plan_predicate *predicate, bool live, char *buffer,
                           size_t bytes)
{
    struct text text = {buffer, bytes};
    const char *before = "";

    buffer[0] = '\0';
    if (live)
        put(&text, "%s(", predicate->name);
    for (uint32_t c = 0; c < predicate->arity; c++) {
        if (is_dead(&predicate->attributes[c]) == live)
            continue;
        put(&text, "%s%s", before, predicate->attributes[c].name);
        before = ", ";
    }
    if (live)
        put(&text, ")");
}

void analog_programs_text(const struct mr_plan *plan, uint64_t users, char *buffer, size_t bytes)
{
    struct text text = {buffer, bytes};
    const char *before = "";

    buffer[0] = '\0';
    for (uint32_t i = 0; plan->n_programs > 1 && i < plan->n_programs; i++) {
        if (!(users >> i & 1))
            continue;
        put(&text, "%s%s", before, plan->programs[i].name);
        before = ", ";
    }
}

uint64_t analog_segment_users(const struct mr_plan *plan, uint32_t segment)
{
    for (uint32_t s = 0; s < plan->n_stages; s++)
        if (plan->stages[s].segment == segment)
            return plan->stages[s].users;
    for (uint32_t p = 0; p < plan->n_predicates; p++) /* no stage: the end of one program */
        if (plan->predicates[p].segment == segment)
            return (uint64_t)1 << plan->predicates[p].program;
    return 0;
}

static bool leads_to(const struct mr_plan *plan, const struct mr_plan_stage *stage,
                     uint32_t segment)
{
    for (uint32_t r = 0; stage->fork && r < stage->n_rules; r++)
        if (plan->predicates[stage->rules[r].head].segment == segment)
            return true;
    return false;
}

static uint32_t last_before(const struct mr_plan *plan, uint32_t segment, uint32_t end)
{
    for (uint32_t s = end; s--;)
        if (plan->stages[s].segment == segment)
            return s;
    for (uint32_t s = end; s--;)
        if (leads_to(plan, &plan->stages[s], segment))
            return s;
    return MR_NO_INDEX;
}

uint32_t analog_stage_before(const struct mr_plan *plan, uint32_t stage)
{
    return last_before(plan, plan->stages[stage].segment, stage);
}

uint32_t analog_last_stage(const struct mr_plan *plan, uint32_t segment)
{
    return last_before(plan, segment, plan->n_stages);
}

uint32_t analog_n_components(const struct mr_plan *plan, const struct mr_plan_group *group)
{
    uint32_t n = 0;
    for (uint32_t s = 0; s < group->n_stages; s++)
        n += !plan->stages[group->first_stage + s].fork;
    return n;
}
