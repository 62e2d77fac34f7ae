/* What the parser makes of a program. Names and literals live in the plan's memory, nodes in
 * scratch memory. Passes behind the parser fill in what is marked so.
 */
#ifndef MR_ANALOG_AST_H
#define MR_ANALOG_AST_H

#include "analog/plan.h"

#define MAX_PREDICATES 1024u
#define MAX_ARITY      MR_MAX_ARITY

struct source;
struct predicate;

struct predicate_set {
    uint64_t words[MAX_PREDICATES / 64];
};

static inline bool in_set(const struct predicate_set *set, uint32_t predicate)
{
    return set->words[predicate / 64] >> (predicate % 64) & 1;
}

static inline void add_to_set(struct predicate_set *set, uint32_t predicate)
{
    set->words[predicate / 64] |= (uint64_t)1 << (predicate % 64);
}

enum expr_kind {
    EXPR_LITERAL,
    EXPR_NULL,
    EXPR_NAME,     /* a variable, or a parameter */
    EXPR_WILDCARD, /* _ */
    EXPR_CALL,
    EXPR_UNARY,
    EXPR_BINARY,
    EXPR_AGGREGATE /* a_MIN<C> in a head */
};

struct literal {
    struct mr_constant constant;
    struct mr_where where;
    const char *raw; /* a string as it stands in the file, between the quotes; NULL: no such */
    uint32_t raw_len;
};

struct expr {
    enum expr_kind kind;
    enum mr_compute op; /* unary and binary */
    struct mr_where where;
    struct expr *next; /* in a list of arguments */
    uint32_t depth;
    bool located; /* written with @ */
    union {
        struct literal literal;
        const char *name;
        struct {
            const char *name;
            struct expr *of; /* NULL: * */
        } aggregate;
        struct {
            const char *name;
            struct mr_where where; /* of the name */
            struct expr *args;
            uint32_t n_args;
            const struct mr_function *function; /* resolve; NULL: reported */
        } call;
        struct {
            struct expr *left, *right; /* right: NULL when unary */
            struct mr_where where;     /* of the operator */
        } node;
    } u;
};

struct atom {
    const char *name;
    struct mr_where where; /* of the name */
    struct expr *args;
    uint32_t n_args;
    struct predicate *predicate; /* resolve; NULL: reported */
};

enum term_kind {
    TERM_ATOM,
    TERM_ASSIGN, /* VAR = e: assigns or tests; with `always`, VAR := e */
    TERM_TEST,   /* an expression that must not be zero */
    TERM_RANGE   /* e in (low, high] */
};

struct term {
    enum term_kind kind;
    struct mr_where where;
    struct term *next;
    struct atom atom;
    struct expr *left, *right; /* ASSIGN: variable and value; TEST: left; RANGE: left in .. */
    struct expr *high;
    bool always;
    bool low_included, high_included;
};

struct rule {
    const char *label; /* "" when it has none */
    struct mr_where where;
    struct atom head;
    struct term *terms;
    uint32_t n_terms;
    bool deletes;
    bool broken; /* part of it was not understood: reported */
    struct rule *next;
    /* views.c */
    bool made;      /* for another trigger than the program's first: := tests what has a value */
    bool on_delete; /* also for rows that go */
    bool view;      /* tells the value of a group of a view */
    bool refreshes; /* the same, of one that is kept in a table */
    /* resolve */
    struct term *trigger; /* NULL: reported */
    /* types */
    bool typed;
    struct mr_plan_rule code; /* ops is NULL when there were errors */
    struct expr **sources;    /* [code.n_ops] the call a CALL was made of */
    /* chain */
    bool reached; /* a tuple can trigger it */
};

struct key {
    const char *name;
    struct mr_where where, index_where;
    int64_t index; /* 1-based */
    struct key *next;
    struct predicate *predicate; /* resolve; NULL: reported */
};

struct component {
    const char *name;
    struct mr_where where;
    enum mr_stage_kind kind;
    bool one_at_a_time;
    bool broken; /* its header was not understood: reported */
    struct key *keys;
    uint32_t n_keys;
    struct rule *rules;
    uint32_t n_rules;
    struct component *next;
    /* chain */
    struct predicate_set arriving;
    struct predicate_set passes; /* of what triggers rules here: goes on to a later component */
    struct rule **order; /* rules that can be triggered: who derives before who is triggered */
    uint32_t n_order;
    bool recursive;
};

struct parameter {
    const char *name;
    struct mr_where where;
    bool broken; /* its value was not understood: reported */
    struct literal value;
    struct parameter *next;
};

struct table_key {
    int64_t index; /* 1-based */
    struct mr_where where;
    const char *type; /* as it is written; NULL: not */
    struct mr_where type_where;
    struct table_key *next;
};

/* materialize(...) */
struct table {
    const char *name;
    struct mr_where where;
    struct table_key *keys;
    struct table *next;
    uint32_t index; /* in the plan */
    /* resolve */
    struct predicate *predicate; /* NULL: nobody uses it */
    uint32_t n_facts;
    bool written; /* some rule inserts or deletes rows */
    struct mr_plan_table *plan;
};

/* watch(p), watchmod(p, "a") */
struct watch {
    const char *name;
    struct mr_where where;
    uint8_t what; /* enum mr_watch */
    struct watch *next;
};

/* alarm(p, ...) */
struct alarm {
    const char *name;
    struct mr_where where;
    struct mr_plan_alarm *plan;
    struct alarm *next;
};

/* ship(p, "PROGRAM"), ship(p, "@NODE") */
struct ship {
    const char *name, *to;
    struct mr_where where;
    struct ship *next;
};

/* receive p(@N, TYPE NAME, ...) */
struct receive {
    struct atom atom; /* without arguments */
    enum mr_type types[MAX_ARITY];
    const char *names[MAX_ARITY];
    struct receive *next;
};

/* A rule without a body. */
struct fact {
    struct atom atom;
    struct fact *next;
};

struct predicate {
    const char *name;
    uint32_t arity, index;
    struct mr_where where; /* the place that fixed arity */
    bool derived;          /* stands in the head of a rule, or is `input` */
    bool typed;            /* types hold */
    enum mr_type *types;
    const char **names;          /* of attributes; NULL: nobody named it yet */
    const struct rule *typed_by; /* NULL: `input`, or a fact */
    struct table *table;         /* NULL: its tuples are events */
    bool hidden;                 /* made by the compiler */
    uint8_t watched;
    uint32_t alarm;   /* 1 + index in the plan; 0: none */
    bool shipped;     /* to programs */
    const char *node; /* shipped there; NULL: nowhere */
    struct predicate *next;
};

struct ast_program {
    struct component *components;
    uint32_t n_components, n_rules;
    struct parameter *parameters;
    struct table *tables;
    uint32_t n_tables;
    struct fact *facts, *last_fact;
    struct watch *watches;
    struct alarm *alarms;
    uint32_t n_alarms;
    struct ship *ships;
    struct receive *receives;
    uint32_t n_ships, n_receives;
    struct predicate *periodic;   /* NULL: no rule waits for it */
    struct predicate *predicates; /* `input` first */
    uint32_t n_predicates;
    struct predicate_set leaving; /* chain: what comes out of the last component */
};

#endif
