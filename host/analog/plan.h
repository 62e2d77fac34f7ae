/* The plan: what a program compiles to. Immutable once bound; the runtime only reads it.
 *
 * A program is a chain of stages (its components). Neighbouring stages with one context key are
 * fused into a group; between groups tuples are exchanged in token order. Group 0 is entered by the
 * `input` tuple of every packet. Rules are compiled to short lists of operations over registers:
 * registers 0..arity-1 are the attributes of the tuple that triggers the rule, the others hold what
 * the operations produce. A dead attribute (read by nobody downstream) has no storage.
 */
#ifndef MR_ANALOG_PLAN_H
#define MR_ANALOG_PLAN_H

#include "millrace/component.h"

#include <stdbool.h>
#include <stdint.h>

#define MR_MAX_REGISTERS  256
#define MR_DEFAULT_TOKENS 1000 /* in flight, unless --tokens says otherwise */
#define MR_MAX_KEYS       8    /* of one predicate in one component */
#define MR_NO_REGISTER    UINT32_MAX
#define MR_NO_PREDICATE   UINT32_MAX

/* Where in which file; for messages. */
struct mr_where {
    const char *file; /* NULL: not from a program */
    uint32_t line, column, length;
};

struct mr_plan_attribute {
    const char *name; /* as the first rule that derives it calls it, "FLOW_ID" */
    enum mr_type type;
    bool live; /* false: no storage anywhere */
};

struct mr_plan_predicate {
    const char *name;
    uint32_t arity;
    struct mr_plan_attribute *attributes;
    bool leaves; /* its tuples leave the last stage: they become events */
};

enum mr_op_kind { MR_OP_CALL, MR_OP_TEST, MR_OP_COMPUTE };

enum mr_compare { MR_EQ, MR_NE, MR_LT, MR_LE, MR_GT, MR_GE };

enum mr_compute {
    MR_COMPUTE_COPY,         /* also a variable assigned to another */
    MR_COMPUTE_STREAM_BYTES, /* stream -> string */
    MR_COMPUTE_TO_REAL,      /* int -> real */
    MR_COMPUTE_ADD,
    MR_COMPUTE_SUB,
    MR_COMPUTE_MUL,
    MR_COMPUTE_DIV,
    MR_COMPUTE_MOD,
    MR_COMPUTE_SHL,
    MR_COMPUTE_SHR,
    MR_COMPUTE_BIT_AND,
    MR_COMPUTE_BIT_OR,
    MR_COMPUTE_BIT_XOR,
    MR_COMPUTE_BIT_NOT,
    MR_COMPUTE_NEGATE,
    /* booleans are ints 0 and 1 */
    MR_COMPUTE_EQ,
    MR_COMPUTE_NE,
    MR_COMPUTE_LT,
    MR_COMPUTE_LE,
    MR_COMPUTE_GT,
    MR_COMPUTE_GE,
    MR_COMPUTE_AND,
    MR_COMPUTE_OR,
    MR_COMPUTE_NOT,
    MR_COMPUTE_CONCAT /* string + string; memory of the token */
};

struct mr_operand {
    uint32_t reg; /* MR_NO_REGISTER: the constant */
    enum mr_type type;
    union mr_value constant;
};

/* One operation of a rule, run over all rows of a batch. Integer arithmetic wraps; division by
 * zero makes the row vanish. */
struct mr_op {
    enum mr_op_kind kind;
    uint32_t result;   /* register; MR_NO_REGISTER: nobody reads it */
    enum mr_type type; /* of the result; of both operands for TEST */
    struct mr_operand args[8];
    uint32_t n_args;
    /* CALL */
    const struct mr_function *function;
    const void *config;      /* from bind() */
    uint32_t binding;        /* 0.. of the plan: index of per-worker states and counters */
    uint32_t context_offset; /* of its slot in the group's context */
    /* TEST and COMPUTE */
    enum mr_compare compare; /* a row that fails vanishes */
    enum mr_compute compute;
    uint64_t live_after[MR_MAX_REGISTERS / 64]; /* registers still read after this operation */
    struct mr_where where;
};

struct mr_plan_rule {
    const char *label;            /* "" when it has none */
    uint32_t trigger;             /* predicate */
    uint32_t head;                /* predicate */
    struct mr_operand *head_args; /* [arity of head]; those of dead attributes are not read */
    struct mr_op *ops;
    uint32_t n_ops;
    uint32_t n_registers;
    uint64_t live_at_start[MR_MAX_REGISTERS / 64];
    struct mr_where where;
};

enum mr_stage_kind { MR_STAGE_PARALLEL, MR_STAGE_CONTEXT, MR_STAGE_SERIAL };

struct mr_plan_key {
    uint32_t predicate;
    uint32_t column; /* 0-based */
};

struct mr_plan_stage {
    const char *name;
    enum mr_stage_kind kind;
    bool one_at_a_time;       /* serial_context_order: at most one execution over all keys */
    struct mr_plan_key *keys; /* as the program has them; the runtime goes by the group's */
    uint32_t n_keys;
    /* Rules such that who derives a predicate stands before who is triggered by it; where that is
     * impossible, `recursive`, and the runtime iterates to the fixpoint with set semantics. */
    struct mr_plan_rule *rules;
    uint32_t n_rules;
    bool recursive;
    struct mr_where where;
};

/* Stages run by one worker in one go, on one context. A stage without rules, through which
 * everything passes, may stand in a group of any kind. */
struct mr_plan_group {
    uint32_t first_stage, n_stages;
    enum mr_stage_kind kind;
    bool one_at_a_time;
    /* At its entry: one for each predicate that comes in and triggers a rule, several for one that
     * stands under several keys (then the group has one stage). What has no key here triggers
     * nothing in the group and passes on. */
    struct mr_plan_key *keys;
    uint32_t n_keys;
    enum mr_type key_type;
    uint32_t context_bytes; /* all slots of its functions */
};

struct mr_plan {
    const char *name; /* file name without folder and suffix */
    const char *path;
    struct mr_plan_predicate *predicates;
    uint32_t n_predicates;
    uint32_t input; /* predicate of captured packets: input(@N, PKT, SRC, DST) */
    struct mr_plan_stage *stages;
    uint32_t n_stages;
    struct mr_plan_group *groups;
    uint32_t n_groups;
    uint32_t n_bindings;            /* CALL operations, counted over the plan */
    uint32_t n_rules, n_components; /* as the papers count: components include packet capture */
    void *memory;                   /* the compiler's */
};

static inline bool mr_register_live(const uint64_t *set, uint32_t reg)
{
    return set[reg / 64] >> (reg % 64) & 1;
}

#endif
