/* Expressions to operations: types, conversions, registers. */
#include "analog/lower.h"

#include <string.h>
#include <strings.h>

static struct mr_operand constant_operand(enum mr_type type, union mr_value value)
{
    return (struct mr_operand){.reg = MR_NO_REGISTER, .type = type, .constant = value};
}

void analog_fail(struct lowering *lowering)
{
    lowering->failed = true;
}

struct variable *analog_variable(struct lowering *lowering, const char *name)
{
    for (uint32_t i = 0; i < lowering->n_variables; i++)
        if (!strcmp(lowering->variables[i].name, name))
            return &lowering->variables[i];
    return NULL;
}

/* Room for one more operation; NULL: reported. The source is the call of a CALL. */
static struct mr_op *new_op(struct lowering *l, enum mr_op_kind kind, const struct mr_where *where,
                            struct expr *source)
{
    struct compile *compile = l->compile;

    if (compile->n_ops == MAX_OPS) {
        analog_too_many(compile, where, LIMIT_OPERATIONS);
        analog_fail(l);
        return NULL;
    }
    if (l->n_ops == l->capacity) {
        uint32_t capacity = l->capacity ? 2 * l->capacity : 8;
        struct mr_op *ops = analog_scratch(compile, capacity * sizeof *ops);
        struct expr **sources = analog_scratch(compile, capacity * sizeof *sources);
        if (!ops || !sources) {
            analog_fail(l);
            return NULL;
        }
        if (l->n_ops) {
            memcpy(ops, l->ops, l->n_ops * sizeof *ops);
            memcpy(sources, l->sources, l->n_ops * sizeof *sources);
        }
        l->ops = ops;
        l->sources = sources;
        l->capacity = capacity;
    }
    compile->n_ops++;
    l->sources[l->n_ops] = source;
    struct mr_op *op = &l->ops[l->n_ops++];
    *op = (struct mr_op){.kind = kind, .result = MR_NO_REGISTER, .where = *where};
    return op;
}

/* Gives the operation a register for its result, and returns it as a value. */
static struct mr_operand result_of(struct lowering *l, struct mr_op *op, enum mr_type type)
{
    if (l->n_registers == MR_MAX_REGISTERS) {
        analog_error(l->compile, &op->where, "this rule computes more than %d values",
                     MR_MAX_REGISTERS);
        analog_hint(l->compile, "split it into two rules");
        analog_fail(l);
        return analog_poison();
    }
    op->type = type;
    op->result = l->n_registers++;
    return (struct mr_operand){.reg = op->result, .type = type};
}

static struct mr_operand compute(struct lowering *l, enum mr_compute what, enum mr_type type,
                                 const struct mr_operand *args, uint32_t n,
                                 const struct mr_where *where)
{
    struct mr_op *op = new_op(l, MR_OP_COMPUTE, where, NULL);
    if (!op)
        return analog_poison();
    op->compute = what;
    op->n_args = n;
    memcpy(op->args, args, n * sizeof *args);
    return result_of(l, op, type);
}

struct mr_op *analog_new_op(struct lowering *l, enum mr_op_kind kind, const struct mr_where *where)
{
    return new_op(l, kind, where, NULL);
}

struct mr_operand analog_result(struct lowering *l, struct mr_op *op, enum mr_type type)
{
    return result_of(l, op, type);
}

bool analog_convert(struct lowering *l, struct mr_operand *value, enum mr_type wanted,
                    const struct mr_where *where)
{
    if (value->type == wanted || value->type == MR_TYPE_ANY || wanted == MR_TYPE_ANY)
        return true;
    if (value->type == MR_TYPE_INT && wanted == MR_TYPE_REAL) {
        if (value->reg == MR_NO_REGISTER) {
            int64_t i = value->constant.i;
            value->constant.d = (double)i;
            value->type = MR_TYPE_REAL;
        } else {
            *value = compute(l, MR_COMPUTE_TO_REAL, MR_TYPE_REAL, value, 1, where);
        }
        return true;
    }
    if (value->type == MR_TYPE_STREAM && wanted == MR_TYPE_STRING) {
        uint32_t stream = value->reg;
        if (l->bytes_of[stream]) {
            *value = (struct mr_operand){.reg = l->bytes_of[stream], .type = MR_TYPE_STRING};
            return true;
        }
        *value = compute(l, MR_COMPUTE_STREAM_BYTES, MR_TYPE_STRING, value, 1, where);
        if (value->reg != MR_NO_REGISTER)
            l->bytes_of[stream] = value->reg;
        return true;
    }
    return false;
}

static bool upper_case(const char *name)
{
    return (name[0] >= 'A' && name[0] <= 'Z') || name[0] == '_';
}

static void unknown_name(struct lowering *l, const struct expr *expr)
{
    const char *name = expr->u.name;
    struct nearest nearest = {.wanted = name};
    bool upper = upper_case(name);

    const struct parameter *parameter = analog_parameter(l->compile, name);

    analog_fail(l);
    if ((upper && l->unsure) || (parameter && parameter->broken) ||
        l->compile->told >> LIMIT_PARAMETERS & 1)
        return; /* follows from what is reported */
    for (uint32_t i = 0; i < l->n_variables; i++)
        analog_nearest(&nearest, l->variables[i].name);
    for (struct parameter *p = l->compile->program.parameters; p; p = p->next)
        analog_nearest(&nearest, p->name);
    analog_error(l->compile, &expr->where,
                 upper ? "%s has no value here" : "there is no parameter %s", name);
    if (!strcasecmp(name, "true") || !strcasecmp(name, "false"))
        analog_hint(l->compile, "truth is told by strings: write \"%s\"", name);
    else if (nearest.name)
        analog_hint(l->compile, "did you mean %s?", nearest.name);
    else if (upper)
        analog_hint(l->compile,
                    "assign it first: %s = ..., or name it in the predicate that "
                    "triggers the rule",
                    name);
    else
        analog_hint(l->compile, "variables begin with an upper-case letter, strings with \"");
}

/* ---- calls ---- */

static void argument_error(struct lowering *l, const struct mr_function *function, uint32_t i,
                           const struct mr_where *where, enum mr_type found)
{
    char signature[256];

    analog_fail(l);
    analog_signature(function, signature, sizeof signature);
    analog_error(l->compile, where, "argument %u of %s must be of type %s, this is %s", i + 1,
                 function->name, mr_type_name(function->args[i]), mr_type_name(found));
    analog_hint(l->compile, "%s", signature);
}

static struct mr_operand constant_argument(struct lowering *l, const struct mr_function *function,
                                           uint32_t i, struct expr *arg)
{
    const struct literal *literal = analog_literal(l->compile, arg);
    if (!literal && arg->kind == EXPR_NAME && !upper_case(arg->u.name) &&
        !analog_variable(l, arg->u.name)) {
        unknown_name(l, arg); /* a parameter was meant */
        return analog_poison();
    }
    if (!literal) {
        analog_fail(l);
        analog_error(l->compile, &arg->where, "argument %u of %s must be a constant", i + 1,
                     function->name);
        analog_hint(l->compile, "write a literal, a param, or a file as @\"path\"");
        return analog_poison();
    }
    struct mr_operand value = constant_operand(literal->constant.type, literal->constant.value);
    if (!analog_convert(l, &value, function->args[i], &arg->where)) {
        argument_error(l, function, i, &arg->where, value.type);
        return analog_poison();
    }
    return value;
}

static struct mr_operand lower_call(struct lowering *l, struct expr *expr)
{
    const struct mr_function *function = expr->u.call.function;
    struct mr_operand args[8];
    uint32_t i = 0;

    if (!function) {
        for (struct expr *arg = expr->u.call.args; arg; arg = arg->next)
            analog_lower(l, arg, MR_TYPE_STRING);
        analog_fail(l);
        return analog_poison();
    }
    for (struct expr *arg = expr->u.call.args; arg; arg = arg->next, i++) {
        if (i + function->n_constant >= function->n_args) {
            args[i] = constant_argument(l, function, i, arg);
            continue;
        }
        const struct literal *literal = analog_literal(l->compile, arg);
        if (literal && literal->constant.is_file) {
            analog_fail(l);
            analog_error(l->compile, &arg->where, "argument %u of %s cannot be a file", i + 1,
                         function->name);
            args[i] = analog_poison();
            continue;
        }
        args[i] = analog_lower(l, arg, function->args[i]);
        if (!analog_convert(l, &args[i], function->args[i], &arg->where)) {
            argument_error(l, function, i, &arg->where, args[i].type);
            if (args[i].type == MR_TYPE_ADDRESS && function->args[i] == MR_TYPE_STRING)
                analog_hint(l->compile, "f_IPtoSTR makes a string of an address");
        }
    }
    struct mr_op *op = new_op(l, MR_OP_CALL, &expr->u.call.where, expr);
    if (!op)
        return analog_poison();
    op->function = function;
    op->n_args = i;
    memcpy(op->args, args, i * sizeof *args);
    return result_of(l, op, function->result);
}

/* ---- operators ---- */

/* What somebody who compares these may have meant. */
static void comparison_hint(struct lowering *l, const struct mr_operand *a,
                            const struct mr_operand *b)
{
    const struct mr_operand *other = a->type == MR_TYPE_STRING ? b : a;

    if (a->type != MR_TYPE_STRING && b->type != MR_TYPE_STRING)
        return;
    if (other->type == MR_TYPE_ADDRESS)
        analog_hint(l->compile, "f_IPtoSTR makes a string of an address");
    else if (other->type == MR_TYPE_INT && other->reg == MR_NO_REGISTER &&
             (uint64_t)other->constant.i < 2)
        analog_hint(l->compile, "truth is told by strings: compare with \"true\"");
}

/* Makes both sides one type. False: reported. */
static bool unify(struct lowering *l, struct mr_operand *a, struct mr_operand *b,
                  const struct mr_where *where, const char *operator)
{
    if (a->type == MR_TYPE_STREAM && b->type == MR_TYPE_STREAM)
        analog_convert(l, a, MR_TYPE_STRING, where);
    if (analog_convert(l, a, b->type, where) || analog_convert(l, b, a->type, where))
        return true;
    analog_fail(l);
    analog_error(l->compile, where, "%s cannot be applied to %s and %s", operator,
                 mr_type_name(a->type), mr_type_name(b->type));
    comparison_hint(l, a, b);
    return false;
}

static bool comparable(enum mr_type type, bool order)
{
    switch (type) {
    case MR_TYPE_ANY:
    case MR_TYPE_INT:
    case MR_TYPE_REAL:
    case MR_TYPE_STRING:
        return true;
    case MR_TYPE_ADDRESS:
    case MR_TYPE_FLOW:
    case MR_TYPE_LIST:
        return !order;
    default:
        return false;
    }
}

/* Types of a comparison. False: reported. */
static bool check_comparison(struct lowering *l, enum mr_compare compare, struct mr_operand *a,
                             struct mr_operand *b, const struct mr_where *where)
{
    const char *text = mr_compute_sign((enum mr_compute)(MR_COMPUTE_EQ + (compare - MR_EQ)));
    bool order = compare != MR_EQ && compare != MR_NE;

    if (!unify(l, a, b, where, text))
        return false;
    if (comparable(a->type, order) && comparable(b->type, order))
        return true;
    analog_fail(l);
    analog_error(l->compile, where, "%s cannot compare values of type %s", text,
                 mr_type_name(a->type));
    return false;
}

void analog_lower_sides(struct lowering *l, struct expr *left, struct expr *right,
                        struct mr_operand *a, struct mr_operand *b)
{
    *a = left->kind == EXPR_NULL ? analog_poison() : analog_lower(l, left, MR_TYPE_STRING);
    enum mr_type of_left = a->type == MR_TYPE_STREAM ? MR_TYPE_STRING : a->type;
    *b = analog_lower(l, right, of_left == MR_TYPE_ANY ? MR_TYPE_STRING : of_left);
    enum mr_type of_right = b->type == MR_TYPE_STREAM ? MR_TYPE_STRING : b->type;
    if (left->kind == EXPR_NULL)
        *a = analog_lower(l, left, of_right == MR_TYPE_ANY ? MR_TYPE_STRING : of_right);
}

void analog_lower_test(struct lowering *l, enum mr_compare compare, struct mr_operand left,
                       struct mr_operand right, const struct mr_where *where)
{
    if (!check_comparison(l, compare, &left, &right, where))
        return;
    struct mr_op *op = new_op(l, MR_OP_TEST, where, NULL);
    if (!op)
        return;
    op->compare = compare;
    op->type = left.type;
    op->n_args = 2;
    op->args[0] = left;
    op->args[1] = right;
}

static bool is_zero(const struct mr_operand *value)
{
    if (value->reg != MR_NO_REGISTER)
        return false;
    return value->type == MR_TYPE_REAL ? !(value->constant.d < 0 || value->constant.d > 0)
                                       : value->type == MR_TYPE_INT && !value->constant.i;
}

/* Arithmetic on int and real, bits on int, truth on int, + on strings. */
static struct mr_operand lower_operator(struct lowering *l, struct expr *expr)
{
    const struct mr_where *where = &expr->u.node.where;
    enum mr_compute op = expr->op;
    bool unary = expr->kind == EXPR_UNARY;
    struct mr_operand args[2];

    if (unary)
        args[1] = args[0] = analog_lower(l, expr->u.node.left, MR_TYPE_INT);
    else
        analog_lower_sides(l, expr->u.node.left, expr->u.node.right, &args[0], &args[1]);
    if (op >= MR_COMPUTE_EQ && op <= MR_COMPUTE_GE) {
        enum mr_compare compare = (enum mr_compare)(MR_EQ + (op - MR_COMPUTE_EQ));
        if (!check_comparison(l, compare, &args[0], &args[1], where))
            return analog_poison();
        return compute(l, op, MR_TYPE_INT, args, 2, where);
    }
    if (op == MR_COMPUTE_ADD && (args[0].type == MR_TYPE_STREAM || args[1].type == MR_TYPE_STREAM))
        for (int i = 0; i < 2; i++)
            analog_convert(l, &args[i], MR_TYPE_STRING, where);
    if (!unary && !unify(l, &args[0], &args[1], where, mr_compute_sign(op)))
        return analog_poison();
    enum mr_type type = args[0].type == MR_TYPE_ANY ? args[1].type : args[0].type;
    bool arithmetic = op == MR_COMPUTE_ADD || op == MR_COMPUTE_SUB || op == MR_COMPUTE_MUL ||
                      op == MR_COMPUTE_DIV || op == MR_COMPUTE_NEGATE;
    if (type == MR_TYPE_ANY)
        return analog_poison();
    if (type == MR_TYPE_STRING && op == MR_COMPUTE_ADD)
        op = MR_COMPUTE_CONCAT;
    else if (type != MR_TYPE_INT && !(type == MR_TYPE_REAL && arithmetic)) {
        analog_fail(l);
        analog_error(l->compile, where, "%s takes %s, this is %s", mr_compute_sign(op),
                     arithmetic ? "numbers" : "integers", mr_type_name(type));
        if (type == MR_TYPE_STRING && !arithmetic)
            analog_hint(l->compile, "truth is told by strings: compare with \"true\"");
        return analog_poison();
    }
    if ((op == MR_COMPUTE_DIV || op == MR_COMPUTE_MOD) && is_zero(&args[1])) {
        analog_fail(l);
        analog_error(l->compile, where, "this is a division by zero");
        analog_hint(l->compile, "it has no value: the rule would never fire");
        return analog_poison();
    }
    return compute(l, op, type, args, unary ? 1 : 2, where);
}

/* ---- names and literals ---- */

static struct mr_operand lower_null(struct lowering *l, const struct expr *expr,
                                    enum mr_type wanted)
{
    if (wanted == MR_TYPE_ANY)
        wanted = MR_TYPE_STRING;
    if (wanted == MR_TYPE_INT || wanted == MR_TYPE_REAL)
        return constant_operand(wanted, mr_value_int(0)); /* all bits zero: also 0.0 */
    if (wanted == MR_TYPE_STRING)
        return constant_operand(wanted, mr_value_bytes("", 0));
    analog_fail(l);
    analog_error(l->compile, &expr->where, "null is no value of type %s", mr_type_name(wanted));
    analog_hint(l->compile, "where a function has no value, its rule does not fire");
    return analog_poison();
}

struct mr_operand analog_lower(struct lowering *l, struct expr *expr, enum mr_type wanted)
{
    const struct literal *literal = analog_literal(l->compile, expr);
    struct variable *variable;

    if (literal && literal->constant.is_file) {
        analog_fail(l);
        analog_error(l->compile, &expr->where, "a file can only be an argument of a function");
        return analog_poison();
    }
    if (literal)
        return constant_operand(literal->constant.type, literal->constant.value);
    switch (expr->kind) {
    case EXPR_NULL:
        return lower_null(l, expr, wanted);
    case EXPR_NAME:
        variable = analog_variable(l, expr->u.name);
        if (variable)
            return variable->value;
        unknown_name(l, expr);
        return analog_poison();
    case EXPR_CALL:
        return lower_call(l, expr);
    case EXPR_UNARY:
    case EXPR_BINARY:
        return lower_operator(l, expr);
    case EXPR_WILDCARD:
        analog_fail(l);
        analog_error(l->compile, &expr->where, "_ has no value");
        analog_hint(l->compile, "give the attribute a name where the tuple comes in");
        return analog_poison();
    default:
        analog_fail(l);
        analog_error(l->compile, &expr->where, "an aggregate can only stand in a head");
        return analog_poison();
    }
}

void analog_lower_condition(struct lowering *l, struct expr *expr)
{
    struct mr_operand a, b;

    if (expr->kind == EXPR_BINARY && expr->op == MR_COMPUTE_AND) {
        analog_lower_condition(l, expr->u.node.left);
        analog_lower_condition(l, expr->u.node.right);
        return;
    }
    if (expr->kind == EXPR_BINARY && expr->op >= MR_COMPUTE_EQ && expr->op <= MR_COMPUTE_GE) {
        analog_lower_sides(l, expr->u.node.left, expr->u.node.right, &a, &b);
        analog_lower_test(l, (enum mr_compare)(MR_EQ + (expr->op - MR_COMPUTE_EQ)), a, b,
                          &expr->u.node.where);
        return;
    }
    if (expr->kind == EXPR_CALL) {
        a = analog_lower(l, expr, MR_TYPE_INT);
        if (a.type == MR_TYPE_ANY)
            return;
        analog_fail(l);
        analog_error(l->compile, &expr->u.call.where, "nothing is done with the result of %s",
                     expr->u.call.name);
        analog_hint(l->compile, "write X = %s(...), or compare it: %s(...) == ...",
                    expr->u.call.name, expr->u.call.name);
        return;
    }
    a = analog_lower(l, expr, MR_TYPE_INT);
    if (a.type != MR_TYPE_INT && a.type != MR_TYPE_ANY) {
        analog_fail(l);
        analog_error(l->compile, &expr->where,
                     "a condition is expected, this is a value of type %s", mr_type_name(a.type));
        if (a.type == MR_TYPE_STRING)
            analog_hint(l->compile, "truth is told by strings: compare with \"true\"");
        return;
    }
    b = constant_operand(MR_TYPE_INT, mr_value_int(0));
    analog_lower_test(l, MR_NE, a, b, &expr->where);
}
