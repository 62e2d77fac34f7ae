/* Tables in rules: joins, aggregates, facts, and the types of their attributes. */
#include "analog/lower.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

/* ---- joins ---- */

/* What the attributes of the atom are compared with. */
struct bound {
    struct mr_operand values[MAX_ARITY]; /* of bound columns */
    const struct expr *args[MAX_ARITY];
    uint64_t set;    /* columns that have a value */
    uint64_t in_key; /* of these: those that the index compares */
};

/* The index over these columns (any order), made when there is none yet and room for one. */
static uint32_t index_over(struct mr_plan_table *table, uint64_t set)
{
    struct mr_plan_index fresh = {.n = 0};

    for (uint32_t i = 0; i < table->n_indexes; i++) {
        uint64_t columns = 0;
        for (uint32_t k = 0; k < table->indexes[i].n; k++)
            columns |= (uint64_t)1 << table->indexes[i].columns[k];
        if (columns == set)
            return i;
    }
    if (table->n_indexes == MR_MAX_INDEXES)
        return MR_NO_INDEX;
    for (uint32_t c = 0; c < MAX_ARITY; c++)
        if (set >> c & 1)
            fresh.columns[fresh.n++] = c;
    table->indexes[table->n_indexes] = fresh;
    return table->n_indexes++;
}

/* The primary key where all of it is bound, else as many bound columns as an index has. */
static uint32_t choose_index(struct table *table, struct bound *bound)
{
    const struct predicate *p = table->predicate;
    const struct mr_plan_index *primary = &table->plan->indexes[0];
    uint64_t key = 0, set = 0;
    uint32_t n = 0;

    for (uint32_t k = 0; k < primary->n; k++)
        if (p->types[primary->columns[k]] != MR_TYPE_NODE)
            key |= (uint64_t)1 << primary->columns[k];
    if ((key & bound->set) == key) {
        bound->in_key = key;
        return 0;
    }
    for (uint32_t c = 0; c < p->arity && n < MR_INDEX_COLUMNS; c++)
        if (bound->set >> c & 1 && p->types[c] != MR_TYPE_REAL) {
            set |= (uint64_t)1 << c;
            n++;
        }
    uint32_t index = set ? index_over(table->plan, set) : MR_NO_INDEX;
    bound->in_key = index == MR_NO_INDEX ? 0 : set;
    return index;
}

/* What of the atom has a value before the table is asked. */
static void find_bound(struct lowering *l, struct atom *atom, struct bound *bound)
{
    const struct predicate *p = atom->predicate;
    uint32_t i = 0;

    for (struct expr *arg = atom->args; arg; arg = arg->next, i++) {
        bool is_constant = arg->kind == EXPR_NULL || analog_literal(l->compile, arg);
        bool is_variable = arg->kind == EXPR_NAME && !is_constant;
        bound->args[i] = arg;
        analog_check_location(l, arg, p->types[i]);
        if (arg->kind == EXPR_WILDCARD)
            continue;
        if (!is_variable && !is_constant) {
            analog_fail(l);
            analog_error(l->compile, &arg->where,
                         "here stand variables, literals and _, not expressions");
            analog_hint(l->compile, "name the attribute and compare it behind %s(...)", atom->name);
            continue;
        }
        if (is_variable && !analog_variable(l, arg->u.name) &&
            !(arg->u.name[0] >= 'a' && arg->u.name[0] <= 'z'))
            continue; /* gets its value from the row */
        struct mr_operand value = analog_lower(l, arg, p->types[i]);
        if (!analog_convert(l, &value, p->types[i], &arg->where)) {
            analog_fail(l);
            analog_error(l->compile, &arg->where, "attribute %u of %s is of type %s, this is %s",
                         i + 1, atom->name, mr_type_name(p->types[i]), mr_type_name(value.type));
            value = analog_poison();
        }
        if (p->types[i] == MR_TYPE_NODE)
            continue; /* there is one */
        bound->values[i] = value;
        bound->set |= (uint64_t)1 << i;
    }
}

/* The value of a column of the row. */
static struct mr_operand field(struct lowering *l, struct mr_operand row, uint32_t column,
                               enum mr_type type, const struct mr_where *where)
{
    if (type == MR_TYPE_NODE) /* stored nowhere */
        return (struct mr_operand){.reg = MR_NO_REGISTER, .type = type};
    struct mr_op *op = analog_new_op(l, MR_OP_COMPUTE, where);
    if (!op)
        return analog_poison();
    op->compute = MR_COMPUTE_FIELD;
    op->n_args = 2;
    op->args[0] = row;
    op->args[1] = (struct mr_operand){
        .reg = MR_NO_REGISTER, .type = MR_TYPE_INT, .constant = mr_value_int(column)};
    return analog_result(l, op, type);
}

void analog_lower_join(struct lowering *l, struct atom *atom)
{
    struct table *table = atom->predicate ? atom->predicate->table : NULL;
    struct bound *bound = analog_scratch(l->compile, sizeof *bound);

    if (!table || !bound) {
        l->unsure = true;
        analog_fail(l);
        return;
    }
    find_bound(l, atom, bound);
    uint32_t index = l->compile->trying ? MR_NO_INDEX : choose_index(table, bound);
    struct mr_op *op = analog_new_op(l, MR_OP_JOIN, &atom->where);
    if (!op)
        return;
    op->table = table->index;
    op->by = index;
    if (index != MR_NO_INDEX) {
        const struct mr_plan_index *columns = &table->plan->indexes[index];
        for (uint32_t k = 0; k < columns->n; k++)
            if (bound->in_key >> columns->columns[k] & 1)
                op->args[op->n_args++] = bound->values[columns->columns[k]];
    }
    struct mr_operand row = analog_result(l, op, MR_TYPE_ANY);
    if (row.reg == MR_NO_REGISTER)
        return;
    for (uint32_t i = 0; i < atom->n_args; i++) {
        const struct expr *arg = bound->args[i];
        enum mr_type type = atom->predicate->types[i];
        if (bound->set >> i & 1) {
            if (!(bound->in_key >> i & 1))
                analog_lower_test(l, MR_EQ, field(l, row, i, type, &arg->where), bound->values[i],
                                  &arg->where);
            continue;
        }
        if (arg->kind != EXPR_NAME || analog_literal(l->compile, arg) ||
            (arg->u.name[0] >= 'a' && arg->u.name[0] <= 'z'))
            continue;
        struct mr_operand value = field(l, row, i, type, &arg->where);
        const struct variable *known = analog_variable(l, arg->u.name);
        if (!known)
            analog_bind_variable(l, arg, value);
        else if (type != MR_TYPE_NODE)
            analog_lower_test(l, MR_EQ, value, known->value, &arg->where);
    }
}

/* The head's rows of a group are found by what names it. */
uint32_t analog_group_index(struct lowering *l)
{
    const struct predicate *head = l->rule->head.predicate;
    const struct expr *arg = l->rule->head.args;
    struct bound bound = {.set = 0};

    if (l->compile->trying)
        return MR_NO_INDEX;
    for (uint32_t i = 0; arg; arg = arg->next, i++)
        if (arg->kind != EXPR_AGGREGATE && head->types[i] != MR_TYPE_NODE)
            bound.set |= (uint64_t)1 << i;
    return choose_index(head->table, &bound);
}

/* ---- aggregates ---- */

static const struct {
    const char *name;
    enum mr_aggregate_kind kind;
} aggregates[] = {
    {"a_COUNT", MR_AGGREGATE_COUNT}, {"a_SUM", MR_AGGREGATE_SUM}, {"a_MIN", MR_AGGREGATE_MIN},
    {"a_MAX", MR_AGGREGATE_MAX},     {"a_AVG", MR_AGGREGATE_AVG}, {"a_LIST", MR_AGGREGATE_LIST},
};

static bool can_be_aggregated(enum mr_aggregate_kind kind, enum mr_type type)
{
    switch (kind) {
    case MR_AGGREGATE_COUNT:
        return true;
    case MR_AGGREGATE_SUM:
    case MR_AGGREGATE_AVG:
        return type == MR_TYPE_INT || type == MR_TYPE_REAL;
    case MR_AGGREGATE_MIN:
    case MR_AGGREGATE_MAX:
        return type == MR_TYPE_INT || type == MR_TYPE_REAL || type == MR_TYPE_STRING;
    case MR_AGGREGATE_LIST:
        return type != MR_TYPE_PACKET && type != MR_TYPE_STREAM && type != MR_TYPE_NODE;
    }
    return false;
}

static bool aggregate_kind(struct lowering *l, const struct expr *expr,
                           enum mr_aggregate_kind *kind)
{
    struct nearest nearest = {.wanted = expr->u.aggregate.name};

    for (size_t i = 0; i < sizeof aggregates / sizeof *aggregates; i++) {
        if (!strcasecmp(aggregates[i].name, expr->u.aggregate.name)) {
            *kind = aggregates[i].kind;
            if (*kind == MR_AGGREGATE_COUNT || expr->u.aggregate.of)
                return true;
            analog_fail(l);
            analog_error(l->compile, &expr->where, "%s needs a variable", aggregates[i].name);
            analog_hint(l->compile, "write %s<C>", aggregates[i].name);
            return false;
        }
        analog_nearest(&nearest, aggregates[i].name);
    }
    analog_fail(l);
    analog_error(l->compile, &expr->where, "there is no aggregate %s", expr->u.aggregate.name);
    if (nearest.name)
        analog_hint(l->compile, "did you mean %s?", nearest.name);
    else
        analog_hint(l->compile, "there are a_COUNT, a_SUM, a_MIN, a_MAX, a_AVG and a_LIST");
    return false;
}

static void add_aggregate(struct lowering *l, enum mr_aggregate_kind kind, uint32_t column,
                          enum mr_type type)
{
    struct mr_plan_rule *code = &l->rule->code;

    if (!code->aggregates)
        code->aggregates = analog_keep(l->compile, l->rule->head.n_args * sizeof *code->aggregates);
    if (code->aggregates)
        code->aggregates[code->n_aggregates++] =
            (struct mr_plan_aggregate){.kind = kind, .column = column, .type = type};
}

struct mr_operand analog_lower_aggregate(struct lowering *l, struct expr *expr, uint32_t column,
                                         enum mr_type *result)
{
    struct mr_operand value = {
        .reg = MR_NO_REGISTER, .type = MR_TYPE_INT, .constant = mr_value_int(1)};
    enum mr_aggregate_kind kind;

    *result = MR_TYPE_ANY;
    if (!aggregate_kind(l, expr, &kind))
        return analog_poison();
    if (expr->u.aggregate.of)
        value = analog_lower(l, expr->u.aggregate.of, MR_TYPE_INT);
    if (value.type == MR_TYPE_STREAM)
        analog_convert(l, &value, MR_TYPE_STRING, &expr->where);
    if (value.type == MR_TYPE_ANY)
        return value; /* reported */
    if (!can_be_aggregated(kind, value.type)) {
        assert(expr->u.aggregate.of); /* a count, which has none, is of anything */
        analog_fail(l);
        analog_error(l->compile, &expr->where, "%s takes %s, %s is %s", expr->u.aggregate.name,
                     kind == MR_AGGREGATE_LIST                              ? "a value"
                     : kind == MR_AGGREGATE_MIN || kind == MR_AGGREGATE_MAX ? "numbers or strings"
                                                                            : "numbers",
                     expr->u.aggregate.of->u.name, mr_type_name(value.type));
        return analog_poison();
    }
    if (kind == MR_AGGREGATE_COUNT) /* whatever is counted */
        value = (struct mr_operand){
            .reg = MR_NO_REGISTER, .type = MR_TYPE_INT, .constant = mr_value_int(1)};
    *result = kind == MR_AGGREGATE_LIST  ? MR_TYPE_LIST
              : kind == MR_AGGREGATE_AVG ? MR_TYPE_REAL
                                         : value.type;
    add_aggregate(l, kind, column, value.type);
    return value;
}

/* ---- facts ---- */

/* The value of an argument of a fact; ANY: reported. */
static enum mr_type fact_value(struct compile *compile, const struct expr *arg, uint32_t i,
                               union mr_value *value)
{
    const struct literal *literal = analog_literal(compile, arg);

    *value = mr_value_int(0);
    if (literal && !literal->constant.is_file) {
        *value = literal->constant.value;
        return literal->constant.type;
    }
    if (arg->kind == EXPR_NULL) {
        *value = mr_value_bytes("", 0);
        return MR_TYPE_STRING;
    }
    if (i == 0 && arg->located && arg->kind == EXPR_NAME)
        return MR_TYPE_NODE;
    const struct parameter *parameter =
        arg->kind == EXPR_NAME ? analog_parameter(compile, arg->u.name) : NULL;
    if (parameter && parameter->broken) /* reported */
        return MR_TYPE_ANY;
    analog_error(compile, &arg->where, "a fact consists of literals");
    analog_hint(compile, "write a number, a \"string\" or a param; the location may be @N");
    return MR_TYPE_ANY;
}

static void lower_fact(struct compile *compile, const struct fact *fact, union mr_value *values)
{
    struct predicate *p = fact->atom.predicate;
    uint32_t i = 0;

    for (const struct expr *arg = fact->atom.args; arg; arg = arg->next, i++) {
        enum mr_type type = fact_value(compile, arg, i, &values[i]);
        if (type == MR_TYPE_ANY)
            continue;
        if (!p->typed || p->types[i] == MR_TYPE_ANY) {
            p->types[i] = type;
        } else if (type == MR_TYPE_INT && p->types[i] == MR_TYPE_REAL) {
            values[i].d = (double)values[i].i;
        } else if (type != p->types[i]) {
            analog_error(compile, &arg->where, "attribute %u of %s is %s here, but %s in line %u",
                         i + 1, p->name, mr_type_name(type), mr_type_name(p->types[i]),
                         p->where.line);
            if (type == MR_TYPE_REAL && p->types[i] == MR_TYPE_INT)
                analog_hint(compile, "make it real there as well: 1.0 instead of 1");
        }
        if (!p->names[i] && arg->kind == EXPR_NAME && type == MR_TYPE_NODE)
            p->names[i] = arg->u.name;
    }
    p->typed = true;
}

void analog_lower_facts(struct compile *compile)
{
    for (struct table *t = compile->program.tables; t; t = t->next) {
        if (!t->predicate || !t->n_facts)
            continue;
        size_t row = t->predicate->arity;
        union mr_value *values = analog_keep(compile, t->n_facts * row * sizeof *values);
        if (!values)
            return;
        t->plan->facts = values;
        for (const struct fact *f = compile->program.facts; f && !analog_enough(compile);
             f = f->next)
            if (f->atom.predicate == t->predicate)
                lower_fact(compile, f, values + row * t->plan->n_facts++);
    }
}

/* ---- what a table can keep ---- */

/* The type that a key was written with; ANY: any, or not known. */
static bool written_type(const char *name, enum mr_type *type)
{
    static const struct {
        const char *name;
        enum mr_type type;
    } known[] = {
        {"str", MR_TYPE_STRING},  {"string", MR_TYPE_STRING},   {"int", MR_TYPE_INT},
        {"int32", MR_TYPE_INT},   {"uint32", MR_TYPE_INT},      {"int64", MR_TYPE_INT},
        {"uint64", MR_TYPE_INT},  {"bool", MR_TYPE_ANY},        {"real", MR_TYPE_REAL},
        {"double", MR_TYPE_REAL}, {"ipv4", MR_TYPE_ADDRESS},    {"addr", MR_TYPE_ADDRESS},
        {"flow", MR_TYPE_FLOW},   {"address", MR_TYPE_ADDRESS}, {"list", MR_TYPE_LIST},
        {"cid", MR_TYPE_ANY},     {"id", MR_TYPE_ANY},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcasecmp(known[i].name, name) != 0)
            continue;
        *type = known[i].type;
        return true;
    }
    return false;
}

static void check_key(struct compile *compile, const struct table *table,
                      const struct table_key *key)
{
    enum mr_type type = table->predicate->types[key->index - 1], written;

    if (type == MR_TYPE_REAL) {
        analog_error(compile, &key->where, "attribute %lld of %s is real, which cannot be a key",
                     (long long)key->index, table->name);
        return;
    }
    if (!key->type)
        return;
    if (!written_type(key->type, &written)) {
        analog_error(compile, &key->type_where, "there is no type %s", key->type);
        analog_hint(compile, "there are str, int, double, addr, flow and list");
    } else if (written != MR_TYPE_ANY && type != MR_TYPE_ANY && type != MR_TYPE_NODE &&
               type != written) {
        analog_error(compile, &key->type_where, "attribute %lld of %s is of type %s, not %s",
                     (long long)key->index, table->name, mr_type_name(type), mr_type_name(written));
    }
}

void analog_check_tables(struct compile *compile)
{
    for (const struct table *t = compile->program.tables; t; t = t->next) {
        const struct predicate *p = t->predicate;
        if (!p)
            continue;
        for (uint32_t i = 0; i < p->arity; i++) {
            if (p->types[i] != MR_TYPE_PACKET && p->types[i] != MR_TYPE_STREAM)
                continue;
            analog_error(compile, p->typed_by ? &p->typed_by->head.where : &t->where,
                         "attribute %u of %s is of type %s, which a table cannot keep", i + 1,
                         t->name, mr_type_name(p->types[i]));
            analog_hint(compile, "keep what functions make of it: its flow, its addresses");
        }
        for (const struct table_key *key = t->keys; key; key = key->next)
            if (key->index >= 1 && key->index <= p->arity)
                check_key(compile, t, key);
    }
}
