/* What the passes of one compilation share: memory, sources, the program so far.
 * Errors are reported and remembered; a pass goes on as far as it makes sense.
 */
#ifndef MR_ANALOG_COMPILE_H
#define MR_ANALOG_COMPILE_H

#include "analog/analog.h"
#include "analog/ast.h"
#include "base/arena.h"

#include <sys/types.h>

#define MAX_SOURCE_BYTES ((size_t)1024 * 1024) /* all files of a program together */
#define MAX_SOURCES      64u
#define MAX_DEPTH        16u /* of includes */
#define MAX_COMPONENTS   256u
#define MAX_RULES        4096u
#define MAX_PARAMETERS   256u
#define MAX_TABLES       256u
#define MAX_STATEMENTS   1024u  /* alarms; what is shipped */
#define MAX_TERMS        512u   /* of a rule */
#define MAX_OPS          65536u /* of a program */
#define MAX_NAME_BYTES   128u

/* One file. Name and folder live as long as the plan; the text until the compilation ends. */
struct source {
    const char *name;   /* as messages call it */
    const char *folder; /* "" or ending in '/': what relative paths in it count from */
    const char *text;
    size_t len;
    uint32_t index; /* order in messages */
    uint32_t depth;
    bool open; /* being parsed: including it again is a cycle */
    dev_t device;
    ino_t inode; /* 0: not a file */
    struct source *next;
};

/* What a program has a bounded number of; diagnostic.c has the names. */
enum limit {
    LIMIT_COMPONENTS,
    LIMIT_RULES,
    LIMIT_PARAMETERS,
    LIMIT_PREDICATES,
    LIMIT_TABLES,
    LIMIT_ALARMS,
    LIMIT_SHIPS,
    LIMIT_OPERATIONS
};

struct program_memory;
struct program_parts;

struct compile {
    const struct mr_analog_config *config; /* NULL when programs become a plan */
    struct mr_diagnostics *diagnostics;
    struct mr_arena scratch;       /* gone when the plan stands */
    struct mr_arena *memory;       /* the program's, or the plan's */
    struct program_memory *shared; /* that memory, if it is a program's */
    struct source *sources;
    uint32_t n_sources;
    size_t source_bytes;
    struct ast_program program;
    uint32_t n_ops;
    bool no_memory;
    bool trying;     /* types of a rule that cannot be known yet: reports nothing, makes nothing */
    bool lenient;    /* programs that another ships to may be missing */
    bool incomplete; /* syntax errors: what is missing may stand in what was not understood */
    uint32_t errors_before; /* of other programs */
    uint32_t told;          /* set of enum limit: that there are more was said */
};

/* Zeroed memory; NULL after reporting that there is none left (once). */
void *analog_scratch(struct compile *compile, size_t bytes);
void *analog_keep(struct compile *compile, size_t bytes);
char *analog_keep_text(struct compile *compile, const char *text, size_t len);

/* printf into the plan's memory; NULL as above. */
char *analog_keep_format(struct compile *compile, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- source.c ---- */

/* The text of a file ("-": standard input), registered; `from` names the include statement, NULL
 * for the program itself. NULL: reported; or, with *known set, included before. */
struct source *analog_source_open(struct compile *compile, const char *path,
                                  const struct mr_where *from, bool *known);

/* The same for text in memory, which is borrowed. */
struct source *analog_source_text(struct compile *compile, const char *name, const char *text,
                                  size_t len);

/* A relative path counts from the folder of the file it stands in. In the plan's memory. */
char *analog_path(struct compile *compile, const char *folder, const char *path, size_t len);

/* ---- resolve.c ---- */

/* NULL: there is no parameter of this name. */
struct parameter *analog_parameter(struct compile *compile, const char *name);

/* "f_match(string, constant string) -> string"; what may be left out stands in brackets. */
void analog_signature(const struct mr_function *function, char *text, size_t bytes);

/* The literal that an expression is, directly or as a parameter; NULL: it is none. */
const struct literal *analog_literal(struct compile *compile, const struct expr *expr);

struct predicate *analog_find_predicate(const struct compile *compile, const char *name);
struct predicate *analog_new_predicate(struct compile *compile, const struct atom *atom);

/* Looks the predicate of an atom up, or makes it known; false: reported. */
bool analog_resolve_atom(struct compile *compile, struct atom *atom);

/* ---- resolve_table.c ---- */
bool analog_resolve_periodic(struct compile *compile, struct atom *atom); /* false: reported */
void analog_resolve_facts(struct compile *compile);
void analog_resolve_tables(struct compile *compile); /* keys, watches */

/* ---- ship.c ---- */
void analog_resolve_receives(struct compile *compile); /* before the rules */
void analog_resolve_ships(struct compile *compile);    /* behind them */
void analog_check_ships(struct compile *compile);      /* what is shipped leaves the program */
bool analog_plan_ships(struct compile *compile, struct mr_plan *plan);

/* ---- event_names.c ---- */
void analog_check_events(struct compile *compile); /* names of what leaves the program */

/* ---- views.c ---- */

/* A rule whose body has only tables: a rule for the change of each of them, and what recomputes
 * aggregates. */
void analog_view(struct compile *compile, struct component *component, struct rule *rule);
/* Views that are kept up to date as their tables change. */
void analog_running(struct mr_plan *plan);

/* ---- the passes, in their order ---- */

void analog_parse(struct compile *compile, struct source *source);
void analog_parameters(struct compile *compile); /* --set */
void analog_resolve(struct compile *compile);    /* predicates, functions, keys */
void analog_types(struct compile *compile);      /* rules -> operations over registers */
void analog_chain(struct compile *compile);      /* which tuple reaches which component */
void analog_orders(struct compile *compile);     /* functions with state stand where they may */
void analog_bind(struct compile *compile);       /* constant arguments -> configurations */
void analog_unbind(struct compile *compile);     /* of all rules; after errors */
struct mr_plan *analog_plan(struct compile *compile, const char *path, const char *name);
void analog_fuse(struct compile *compile, struct mr_plan *plan);              /* stages -> groups */
void analog_place(struct compile *compile, struct mr_plan *plan);             /* tables -> groups */
bool analog_identities(struct compile *compile, struct program_parts *parts); /* false: reported */

/* ---- and those that make a plan of several ---- */

struct mr_plan *analog_merge(struct compile *compile, struct mr_program *const *programs,
                             uint32_t n_programs); /* NULL: reported */
void analog_contexts(struct mr_plan *plan);        /* where the slots of functions lie; by_packet */
bool analog_live(struct compile *compile, struct mr_plan *plan); /* false: reported */
void analog_about(struct mr_plan *plan); /* which calls read what was made of a transaction */
bool analog_sites(struct compile *compile, struct mr_plan *plan); /* what may go to a device */
/* Is it a call on bytes of the tuple that a device could answer? */
bool analog_wants_device(const struct mr_op *op);

/* ---- program.c: what plans share ---- */

/* What a program consists of when its passes are through. */
struct program_parts {
    struct mr_plan *chain; /* fused, but nothing is dead yet, and no slots are laid out */
    uint32_t *canonical;   /* [n_predicates] number by first use in the stages; MR_NO_INDEX: none */
};

/* Gives back what a plan keeps alive, but not its memory. */
void analog_release(const struct mr_plan *plan);

const struct program_parts *analog_parts(const struct mr_program *program);

/* A configuration and who keeps it. */
struct mr_bound {
    uint32_t owners;
    const struct mr_function *function;
    void *config;
    struct program_memory *memory; /* its constants lie there */
    uint32_t file_args;            /* set of the operation's arguments that name a file */
    uint8_t contents[16];          /* a hash of what these files hold */
};

/* Takes the configuration; NULL: reported, and it is unbound. */
struct mr_bound *analog_bound(struct compile *compile, const struct mr_function *function,
                              void *config);
struct mr_bound *analog_bound_share(struct mr_bound *bound); /* NULL is allowed, as below */
void analog_bound_release(struct mr_bound *bound);

#endif
