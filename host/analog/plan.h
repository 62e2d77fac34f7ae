/* The plan: what programs compile to. Immutable once bound; the runtime only reads it.
 *
 * A program is a chain of stages (its components). Neighbouring stages with one context key are
 * fused into a group; between groups tuples are exchanged in token order. Group 0 is entered by the
 * `input` tuple of every packet.
 *
 * The chains of several programs make a tree: leading stages that are the same are there once, and
 * where programs part a *fork* (a stage that only copies) gives each branch its own tuples. A piece
 * of the tree between two forks is a segment; predicates belong to one, so a tuple's predicate says
 * all about where it goes. Stages stand in one list, each behind those it depends on; those of a
 * group stand together and may be of several branches. Rules are compiled to short lists of
 * operations over registers: registers 0..arity-1 are the attributes of the tuple that triggers the
 * rule, the others hold what the operations produce. A dead attribute (read by nobody downstream)
 * has no storage.
 */
#ifndef MR_ANALOG_PLAN_H
#define MR_ANALOG_PLAN_H

#include "millrace/component.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MR_MAX_REGISTERS  256
#define MR_DEFAULT_TOKENS 1000 /* in flight, unless --tokens says otherwise */
#define MR_MAX_KEYS       8    /* of one predicate in one component */
#define MR_MAX_ARITY      64u  /* attributes of a predicate */
#define MR_MAX_PROGRAMS   64   /* in one plan */
#define MR_NO_REGISTER    UINT32_MAX
#define MR_NO_PREDICATE   UINT32_MAX
#define MR_NO_INDEX       UINT32_MAX

struct mr_bound;
struct mr_program;
#define MR_NO_TABLE      UINT32_MAX
#define MR_MAX_INDEXES   16 /* of a table, the primary key's included */
#define MR_INDEX_COLUMNS 8

/* Where in which file; for messages. */
struct mr_where {
    const char *file; /* NULL: not from a program */
    uint32_t line, column, length;
};

struct mr_plan_attribute {
    const char *name; /* as the first rule that derives it calls it, "FLOW_ID" */
    enum mr_type type;
    bool live;  /* false: no storage anywhere */
    bool about; /* may have been made of a transaction */
};

#define MR_MAX_COMMAND 32

/* What happens when a tuple of a predicate leaves its program, beside the event (an alert). */
struct mr_plan_alarm {
    const char *message;
    uint32_t severity; /* 1: the worst */
    bool syslog;
    const char *command[MR_MAX_COMMAND + 1]; /* a file and its arguments, then NULL */
    uint32_t n_command, timeout_s;
    uint32_t limit, limit_s; /* so many in so many seconds of packet time; 0: no limit */
};

/* ship(p, "PROGRAM") and receive p(...), of a plan of one program. */
struct mr_plan_ship {
    uint32_t predicate;
    const char *to;
    struct mr_where where;
};

struct mr_plan_receive {
    uint32_t predicate;
    struct mr_where where;
};

struct mr_plan_predicate {
    const char *name;
    uint32_t arity;
    struct mr_plan_attribute *attributes;
    bool leaves; /* its tuples leave the last stage: they become events */
    uint32_t segment;
    uint32_t program; /* leaves: whose result it is */
    uint32_t table;   /* its tuples are rows of this table; MR_NO_TABLE: they are events */
    uint32_t alarm;   /* 1 + index of the alarm that its tuples raise when they leave; 0: none */
    const char *node; /* its tuples are shipped there when they leave; NULL: they are not */
    uint8_t watched;  /* enum mr_watch, or-ed: what becomes an event of its own */
};

enum mr_watch { MR_WATCH_ADD = 1, MR_WATCH_DELETE = 2 };

/* Who may touch a table, and where its rows are. */
enum mr_table_kind {
    MR_TABLE_CONSTANT, /* holds its facts and nothing else: read from anywhere */
    MR_TABLE_GLOBAL,   /* in the only lane of a serial group */
    MR_TABLE_BY_KEY    /* the rows of a key in the lane of that key */
};

/* Rows with equal values in these columns are found together, in the order of insertion. */
struct mr_plan_index {
    uint32_t columns[MR_INDEX_COLUMNS];
    uint32_t n;
};

#define MR_FOREVER UINT64_MAX

struct mr_plan_table {
    const char *name;
    uint32_t program;
    uint32_t predicate; /* MR_NO_PREDICATE: nobody touches it */
    enum mr_table_kind kind;
    uint32_t group;       /* all stages that touch it; constant ones: 0 */
    uint64_t lifetime_ns; /* packet time since the row was put in last; MR_FOREVER */
    uint64_t max_rows;    /* by key: of each key; MR_FOREVER: no limit */
    struct mr_plan_index indexes[MR_MAX_INDEXES]; /* [0]: the primary key */
    uint32_t n_indexes;
    uint32_t key_column;         /* by key: the column that holds the key of the group */
    uint32_t limit_index;        /* by key and limited: the index over that column */
    const union mr_value *facts; /* [n_facts * arity] */
    uint32_t n_facts;
    struct mr_where where;
};

/* A timer of a stage: `periodic` tuples at the multiples of its period. */
struct mr_plan_timer {
    uint32_t predicate; /* periodic(@N, E, SECONDS, TIMES) */
    uint32_t period;    /* seconds of packet time; 0: once, at the start */
    uint64_t count;     /* how often; UINT64_MAX: for ever */
};

enum mr_op_kind { MR_OP_CALL, MR_OP_TEST, MR_OP_COMPUTE, MR_OP_JOIN };

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
    MR_COMPUTE_CONCAT, /* string + string; memory of the token */
    MR_COMPUTE_FIELD   /* row of a table, constant column -> its value; memory of the token */
};

/* How programs write an operator; NULL for what has no sign. */
const char *mr_compute_sign(enum mr_compute compute);

struct mr_operand {
    uint32_t reg; /* MR_NO_REGISTER: the constant */
    enum mr_type type;
    union mr_value constant;
};

/* One operation of a rule, run over all rows of a batch. Integer arithmetic wraps; division by
 * zero makes the row vanish. */
struct mr_op {
    enum mr_op_kind kind;
    bool about;        /* reads what may have been made of a transaction */
    uint32_t result;   /* register; MR_NO_REGISTER: nobody reads it */
    enum mr_type type; /* of the result; of both operands for TEST */
    struct mr_operand args[8];
    uint32_t n_args;
    /* CALL */
    const struct mr_function *function;
    const void *config;     /* from bind(): bound's */
    struct mr_bound *bound; /* NULL: nothing to keep */
    uint32_t index;         /* among the operations of the rule before the dead ones were dropped */
    uint32_t binding;       /* 0.. of the plan: index of per-worker states and counters */
    uint32_t context_offset; /* of its slot in the group's context */
    uint32_t anomaly_offset; /* of the byte there that counts the anomalies it told */
    uint32_t site;           /* whose answers it may ask for; MR_NO_INDEX: none */
    uint32_t site_call;      /* and which of the site's calls it is */
    /* JOIN: the rule fires for each row of the table that has the values of args in the columns of
     * the index. The result is the row: only MR_COMPUTE_FIELD reads it. */
    uint32_t table;
    uint32_t by; /* its index; MR_NO_INDEX: all rows */
    /* TEST and COMPUTE */
    enum mr_compare compare; /* a row that fails vanishes */
    enum mr_compute compute;
    uint64_t live_after[MR_MAX_REGISTERS / 64]; /* registers still read after this operation */
    struct mr_where where;
};

enum mr_aggregate_kind {
    MR_AGGREGATE_COUNT,
    MR_AGGREGATE_SUM,
    MR_AGGREGATE_MIN,
    MR_AGGREGATE_MAX,
    MR_AGGREGATE_AVG,
    MR_AGGREGATE_LIST
};

/* In the head of a rule: over all rows that the rule fires for on behalf of one tuple and that
 * agree in the other columns of the head. Sums are exact, whatever the order: of integers the
 * nearest that 64 bits hold, of reals rounded once; averages are the sum by the count, and real. */
struct mr_plan_aggregate {
    enum mr_aggregate_kind kind;
    uint32_t column;   /* of the head */
    enum mr_type type; /* of what is aggregated */
};

struct mr_plan_rule {
    const char *label;            /* "" when it has none */
    uint32_t trigger;             /* predicate */
    uint32_t head;                /* predicate */
    struct mr_operand *head_args; /* [arity of head]; those of dead attributes are not read */
    struct mr_op *ops;
    uint32_t n_ops;
    uint32_t n_registers;
    struct mr_plan_aggregate *aggregates;
    uint32_t n_aggregates;
    bool counts_nothing; /* fires with counts of 0 where no row is left */
    bool deletes;        /* the rows of the head's table with the key of the head go */
    bool on_delete;      /* runs for rows that go from the trigger's table as for new ones */
    bool refreshes;      /* where no row is left, the head's row goes from its table */
    /* Views (views.c): what triggers the rule names a group, whose value it tells. `running`: that
     * is kept up to date by rules that feed it, and `ops` are for when there was no memory for it.
     */
    bool view, running;
    bool feeds;           /* a running view: runs when a row comes or goes, not in turn; its head is
                             the group and then the values of the view's aggregates but counts */
    uint32_t group_index; /* refreshes: over columns of the head's table that are of the group */
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
    /* Predicates that trigger rules here and go on nevertheless: a later component of the program
     * waits for them as well. */
    uint32_t *passes;
    uint32_t n_passes;
    bool by_row;       /* tables or aggregates: one tuple after the other, each to its fixpoint */
    bool shares_table; /* that rules change, with a later stage of its group: from here on the group
                          runs for one origin after the other */
    struct mr_plan_timer *timers;
    uint32_t n_timers;
    struct mr_where where;
    uint32_t segment;
    uint64_t users;       /* set of programs */
    bool fork;            /* its rules only hand tuples to the branches behind it */
    bool ships;           /* a fork at the end of a program: to other programs */
    uint8_t identity[16]; /* of the stage and all before it: equal in two plans when they do the
                             same. Forks have none */
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
    bool by_packet; /* a function changes contexts or flows that others look at before it: the
                       packets of a context go through the whole group one by one (mr_flow_use) */
    uint32_t context_bytes; /* all slots of its functions */
    uint32_t parent;        /* the group its tuples come from; MR_NO_INDEX: packet capture */
};

/* Bytes that may go to a device: an attribute of tuples that enter a parallel group, and the calls
 * there that ask for it. Several predicates: a fork made them of one tuple. */
struct mr_plan_site {
    uint32_t group, column;
    bool stream; /* the attribute is a stream: its data */
    uint32_t *predicates;
    uint32_t n_predicates;
    const struct mr_op **calls;
    uint32_t n_calls;
};

/* One of the programs of a plan. */
struct mr_plan_program {
    const char *name; /* file name without folder and suffix, or as the user calls it */
    const char *path;
    uint32_t n_rules, n_components;
};

struct mr_plan {
    const char *name; /* of all programs */
    struct mr_plan_program *programs;
    uint32_t n_programs;
    uint32_t n_segments;
    struct mr_plan_predicate *predicates;
    uint32_t n_predicates;
    uint32_t input; /* predicate of captured packets: input(@N, PKT, SRC, DST) */
    struct mr_plan_table *tables;
    uint32_t n_tables;
    struct mr_plan_alarm *alarms;
    uint32_t n_alarms;
    struct mr_plan_ship *ships;
    uint32_t n_ships;
    struct mr_plan_receive *receives; /* not empty: `input` does not come */
    uint32_t n_receives;
    struct mr_plan_stage *stages;
    uint32_t n_stages;
    struct mr_plan_group *groups;
    uint32_t n_groups;
    struct mr_plan_site *sites;
    uint32_t n_sites;
    uint32_t n_bindings;            /* CALL operations, counted over the plan */
    uint32_t n_rules, n_components; /* as the papers count: components include packet capture */
    void *memory;                   /* the compiler's, as is what it keeps alive: */
    struct mr_program **sources;    /* [n_programs] */
};

/* The rules of a stage in another plan that does the same are in the same order, and so are their
 * operations but for those dropped: the one that `op` is there; NULL: dropped. */
static inline const struct mr_op *mr_op_in(const struct mr_plan_rule *rule, const struct mr_op *op)
{
    for (uint32_t i = 0; i < rule->n_ops; i++)
        if (rule->ops[i].index == op->index)
            return &rule->ops[i];
    return NULL;
}

/* The stage of `plan` that does the same as `stage` does in another one, and in the same place;
 * NULL: there is none. */
static inline const struct mr_plan_stage *mr_stage_in(const struct mr_plan *plan,
                                                      const struct mr_plan_stage *stage)
{
    for (uint32_t s = 0; s < plan->n_stages && !stage->fork; s++)
        if (!plan->stages[s].fork &&
            !memcmp(plan->stages[s].identity, stage->identity, sizeof stage->identity))
            return &plan->stages[s];
    return NULL;
}

static inline bool mr_register_live(const uint64_t *set, uint32_t reg)
{
    return set[reg / 64] >> (reg % 64) & 1;
}

#endif
