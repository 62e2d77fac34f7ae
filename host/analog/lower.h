/* One rule on its way to operations over registers. */
#ifndef MR_ANALOG_LOWER_H
#define MR_ANALOG_LOWER_H

#include "analog/diagnostic.h"

struct variable {
    const char *name;
    struct mr_operand value;
};

struct lowering {
    struct compile *compile;
    struct rule *rule;
    struct mr_op *ops; /* growing; scratch */
    struct expr **sources;
    uint32_t n_ops, capacity;
    uint32_t n_registers;
    struct variable variables[MR_MAX_REGISTERS];
    uint32_t n_variables;
    uint32_t bytes_of[MR_MAX_REGISTERS]; /* register of a stream -> that of its bytes; 0: none */
    bool failed;                         /* reported */
    bool unsure; /* parts of the rule were not understood: a name may have a value after all */
};

/* A value of type ANY stands for one whose error was reported: it fits everywhere. */
static inline struct mr_operand analog_poison(void)
{
    return (struct mr_operand){.reg = MR_NO_REGISTER, .type = MR_TYPE_ANY};
}

/* ---- lower_expr.c ---- */

/* The value of an expression; null becomes a value of type `wanted`. */
struct mr_operand analog_lower(struct lowering *lowering, struct expr *expr, enum mr_type wanted);

/* The value as one of another type, where one is read as the other; false: it is not. */
bool analog_convert(struct lowering *lowering, struct mr_operand *value, enum mr_type wanted,
                    const struct mr_where *where);

/* Rows for which the expression is not true vanish. */
void analog_lower_condition(struct lowering *lowering, struct expr *expr);

/* Rows for which the comparison fails vanish. */
void analog_lower_test(struct lowering *lowering, enum mr_compare compare, struct mr_operand left,
                       struct mr_operand right, const struct mr_where *where);

/* Both sides of a comparison; null takes the type of the other side. */
void analog_lower_sides(struct lowering *lowering, struct expr *left, struct expr *right,
                        struct mr_operand *a, struct mr_operand *b);

/* An operation and its result's register, for lower_join.c. NULL: reported. */
struct mr_op *analog_new_op(struct lowering *lowering, enum mr_op_kind kind,
                            const struct mr_where *where);
struct mr_operand analog_result(struct lowering *lowering, struct mr_op *op, enum mr_type type);

struct variable *analog_variable(struct lowering *lowering, const char *name);

void analog_fail(struct lowering *lowering);

/* ---- types.c ---- */
void analog_bind_variable(struct lowering *lowering, const struct expr *name,
                          struct mr_operand value);
void analog_check_location(struct lowering *lowering, const struct expr *arg, enum mr_type type);

/* ---- lower_join.c ---- */

/* A table in the body. */
void analog_lower_join(struct lowering *lowering, struct atom *atom);

/* An aggregate in the head, as what is aggregated; adds to the rule's code. *result: the type of
 * the attribute. */
/* The index of the head's table by which a view finds its rows of a group. */
uint32_t analog_group_index(struct lowering *lowering);
struct mr_operand analog_lower_aggregate(struct lowering *lowering, struct expr *expr,
                                         uint32_t column, enum mr_type *result);

/* Types of tables that have facts, and the facts' values. */
void analog_lower_facts(struct compile *compile);

/* Types that a table can keep, and those that its keys were written with. */
void analog_check_tables(struct compile *compile);

#endif
