/* Patterns compiled for a device: what decides, for each message, which patterns match it
 * somewhere. The same answer as Hyperscan in block mode with HS_FLAG_SINGLEMATCH; what this
 * compiler does not express exactly is left to the caller, on the CPU, with the reason.
 *
 * Start-up only. What is compiled is immutable, made of offsets, and copied to a device as it is.
 */
#ifndef MR_OFFLOAD_REGEX_H
#define MR_OFFLOAD_REGEX_H

#include "kernels/factor_table.h"
#include "kernels/regex_table.h"
#include "millrace/status.h"

#include <stddef.h>
#include <stdint.h>

enum mr_regex_flag {
    MR_REGEX_CASELESS = 1,
    MR_REGEX_MULTILINE = 2,
    MR_REGEX_DOTALL = 4,
    MR_REGEX_EXTENDED = 8,
    MR_REGEX_UTF8 = 16, /* matches nothing in a message that is not UTF-8: the caller sees to it */
    MR_REGEX_UCP = 32,
    MR_REGEX_OTHER = 64, /* anything more: stays on the CPU */
};

/* A pattern's id is its index. */
struct mr_regex_pattern {
    const char *regex; /* with a NUL; borrowed during the call. Hyperscan accepts it. */
    uint32_t flags;
};

/* Where a pattern is decided, from cheap to dear. */
enum mr_regex_tier {
    MR_TIER_LITERAL,    /* a factor is the pattern */
    MR_TIER_DFA,        /* a factor, then its own DFA */
    MR_TIER_NFA,        /* a factor, then its positions as bits */
    MR_TIER_FACTOR_CPU, /* a factor, then the CPU */
    MR_TIER_GROUP,      /* no factor: a DFA of several patterns over every message */
    MR_TIER_ALWAYS_NFA, /* no factor: bits over every message */
    MR_TIER_CPU,        /* every message goes to the CPU for it */
    MR_TIERS
};

const char *mr_regex_tier_name(enum mr_regex_tier tier);

struct mr_regex_place {
    enum mr_regex_tier tier;
    const char *why;         /* not in the tier above it; constant text or NULL */
    uint32_t n_factors;      /* any of which must be in a message */
    uint32_t factor_len_min; /* of the shortest */
    uint32_t n_states;       /* of its DFA, or positions of its NFA */
    uint32_t bytes;          /* of its automaton; for a group the whole group's */
};

struct mr_regex_limits {
    uint32_t dfa_states_max;   /* of one pattern, before it is made smaller */
    uint32_t group_states_max; /* of a group, the same */
    uint32_t tables_bytes_max; /* all automata: what fits a device's cache */
    uint32_t positions_max;    /* of one pattern, repeats written out */
};

extern const struct mr_regex_limits mr_regex_limits_default;

struct mr_regex_set {
    uint32_t n;
    struct mr_regex_place *places;     /* n of them */
    struct mr_factor_table *factors;   /* of 4 bytes and more; ids are patterns */
    struct mr_factor_table *factors_3; /* of exactly 3 bytes */
    struct mr_regex_table *table;      /* automata */
    uint32_t tiers[MR_TIERS];          /* patterns in each */
    uint64_t compile_ns;
    char *texts; /* of a set from the cache: what places[].why point to */
};

/* Compiles on up to `n_threads` threads. mr_regex_set_free() in any case; MR_ERR_MEMORY only. */
enum mr_status mr_regex_compile(struct mr_regex_set *set, const struct mr_regex_pattern *patterns,
                                uint32_t n, const struct mr_regex_limits *limits,
                                uint32_t n_threads, struct mr_error *error);
void mr_regex_set_free(struct mr_regex_set *set);

/* What a device would answer for one message, computed here: the bits of patterns that match, and
 * of those that the CPU must decide. Both have (n + 31) / 32 words and are overwritten. For tests,
 * checks at load and the sample at run time. */
void mr_regex_search(const struct mr_regex_set *set, const uint8_t *bytes, uint32_t len,
                     uint32_t *matches, uint32_t *undecided);

/* A text that the pattern matches, or nearly (conditions such as \b are left to luck), drawn with
 * *random (changed): up to `capacity` bytes. 0: it is not understood here, or was too long. */
uint32_t mr_regex_sample(const struct mr_regex_pattern *pattern, uint64_t *random, uint8_t *bytes,
                         uint32_t capacity);

#endif
