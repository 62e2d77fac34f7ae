/* Patterns of f_match: read from a constant or a file, compiled to Hyperscan databases. Start-up
 * only; what comes out is immutable and shared by all workers. */
#ifndef MR_COMPONENTS_MATCH_H
#define MR_COMPONENTS_MATCH_H

#include "millrace/component.h"
#include <stdatomic.h>

#include <hs.h>

#define MR_MATCH_MAX_PATTERNS   65536u
#define MR_MATCH_MAX_FILE_BYTES ((size_t)16 << 20)

struct mr_match_pattern {
    uint32_t id;
    uint32_t flags;         /* HS_FLAG_ */
    const char *regex;      /* with a NUL */
    uint32_t added;         /* bytes at the start of regex that nobody wrote, "(?x)" */
    const char *text;       /* as it was written, for alerts, with a NUL */
    uint32_t line, column;  /* where its regex begins: in the file from 1 on; in a constant line is
                               0 and column the offset */
    struct hs_expr_ext ext; /* flags 0: none */
};

/* The patterns of one call site, ids ascending. */
struct mr_match_set {
    struct mr_match_pattern *patterns;
    uint32_t n;
    const char *file; /* path, or NULL */
    char *memory;     /* what regex, text and file point to */
};

/* Reads the patterns of the constant. MR_ERR_PROGRAM fills *error: offset for a constant,
 * "file:line:column: " before the sentence for a file. mr_match_set_free() in any case. */
enum mr_status mr_match_set_read(struct mr_match_set *set, const struct mr_constant *constant,
                                 struct mr_bind_error *error);
void mr_match_set_free(struct mr_match_set *set);

/* Fills *error about a byte of a pattern (`offset` of its regex) and returns MR_ERR_PROGRAM. */
enum mr_status mr_match_refuse(const struct mr_match_set *set,
                               const struct mr_match_pattern *pattern, uint32_t offset,
                               struct mr_bind_error *error, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Lines of a pattern file that are refused as well as the one that a message is about. */
struct mr_match_others {
    uint32_t lines[8]; /* the first of them, ascending */
    uint32_t n;        /* of all */
};
void mr_match_others_add(struct mr_match_others *others, uint32_t line);
/* Adds them to the sentence in *error; nothing where there are none. */
void mr_match_others_tell(const struct mr_match_others *others, struct mr_bind_error *error);
/* Adds the patterns that Hyperscan refuses, but for those whose id was used before: they are told.
 */
void mr_match_others_refused(struct mr_match_others *others, const struct mr_match_set *set);

/* The byte of a regex that Hyperscan's message is about; 0 when that cannot be told. */
uint32_t mr_match_position(const char *message, const char *regex);

/* Patterns that are scanned for in one pass. A match reports the pattern's index in the set. */
struct mr_match_group {
    hs_database_t *database;
    bool utf8; /* sees well-formed UTF-8 only: of other bytes Hyperscan makes what it likes */
};

struct mr_match_groups {
    struct mr_match_group groups[2];
    uint32_t n;
    hs_scratch_t *scratch; /* fits all of them; to be cloned */
};

/* Compiles a set; mr_match_groups_free() in any case. Says in *error why not. */
enum mr_status mr_match_compile(struct mr_match_groups *groups, const struct mr_match_set *set,
                                struct mr_bind_error *error);
/* The same for the patterns that only[set->n] names; NULL: for all. */
enum mr_status mr_match_compile_some(struct mr_match_groups *groups, const struct mr_match_set *set,
                                     const uint8_t *only, struct mr_bind_error *error);
void mr_match_groups_free(struct mr_match_groups *groups);

/* What devices do of f_match: match_device.c. */
extern const struct mr_device_op mr_match_device;

/* How the patterns are divided between a device and f_match; immutable once others can see it. */
struct mr_match_split {
    struct mr_match_split *before; /* the one that it took the place of: calls may still go by it */
    bool always; /* some pattern is never so much as hinted at: every row is scanned for it */
    struct mr_match_groups rest; /* those that the device does not decide */
    uint8_t own[];               /* [set.n] enum mr_device_part */
};

/* What f_match has of one call site. */
struct mr_match_config {
    struct mr_match_set set;
    struct mr_match_groups groups;
    bool any_utf8;                          /* a group wants UTF-8 */
    _Atomic(struct mr_match_split *) split; /* NULL: no device was asked */
};

/* Frees it and all before it; NULL is allowed. */
void mr_match_split_free(struct mr_match_split *split);

/* Whether bytes are well-formed UTF-8. */
bool mr_match_utf8(const uint8_t *bytes, size_t len);

#endif
