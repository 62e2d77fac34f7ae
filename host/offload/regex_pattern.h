/* One pattern on its way into a set. */
#ifndef MR_OFFLOAD_REGEX_PATTERN_H
#define MR_OFFLOAD_REGEX_PATTERN_H

#include "offload/regex_layout.h"

/* What one pattern came to. Its factors are in the arena that it was compiled with. */
struct mr_compiled {
    struct mr_regex_place place;
    struct mr_laid_out automaton;
    struct mr_regex_factors factors;
    enum mr_status status; /* MR_OK, or MR_ERR_MEMORY */
};

/* Chooses the tier and makes the automaton. A pattern without a factor comes out as MR_TIER_GROUP
 * with the number of its states, but without an automaton; the groups make those. `arena` is for
 * scratch, and reset; factors are copied to `keep`. */
void mr_regex_compile_one(const struct mr_regex_pattern *pattern,
                          const struct mr_regex_limits *limits, struct mr_arena *arena,
                          struct mr_arena *keep, struct mr_compiled *out);

/* The NFA of a pattern that came out as MR_TIER_GROUP, in the arena. */
enum mr_status mr_regex_nfa_of(const struct mr_regex_pattern *pattern,
                               const struct mr_regex_limits *limits, struct mr_arena *arena,
                               struct mr_nfa *nfa);

/* Makes DFAs of several patterns each for those in MR_TIER_GROUP. *groups is the caller's to free,
 * and the data in it; places are filled. */
enum mr_status mr_regex_group(const struct mr_regex_pattern *patterns, struct mr_compiled *compiled,
                              uint32_t n, const struct mr_regex_limits *limits,
                              struct mr_laid_out **groups, uint32_t *n_groups);

#endif
