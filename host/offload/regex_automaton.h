/* Automata on their way from a tree to tables. Compile time; memory is the arena's. */
#ifndef MR_OFFLOAD_REGEX_AUTOMATON_H
#define MR_OFFLOAD_REGEX_AUTOMATON_H

#include "offload/regex_tree.h"

/* ---- positions, with conditions on the way between them ---- */

#define MR_POSITION_START 0u

struct mr_edge {
    uint32_t from, to;
    uint32_t mask; /* enum mr_assertion: all must hold in between */
};

/* Position 0 is before the first byte; the others are one byte of their set each. */
struct mr_positions {
    uint32_t n, n_edges, n_lasts;
    struct mr_byte_set *sets;
    struct mr_edge *edges;
    struct mr_edge *lasts; /* from: where a match may end, under mask; `to` means nothing */
    uint32_t used;         /* assertions that occur */
    bool nullable;         /* some text matches without a byte */
};

/* Glushkov's positions (Glushkov 1961) of a tree, repeats written out. MR_ERR_LIMIT with *why. */
enum mr_status mr_regex_positions(const struct mr_node *root, uint32_t positions_max,
                                  struct mr_arena *arena, struct mr_positions *positions,
                                  const char **why);

/* ---- without conditions, over the whole message ---- */

enum { MR_ACCEPT_NOW = 1, MR_ACCEPT_AT_END = 2 };

/* State 0 is before the first byte. A state that accepts now has no edges. */
struct mr_nfa {
    uint32_t n;
    struct mr_byte_set *sets; /* the byte on which a state is entered */
    uint32_t *first;          /* n + 1: its edges begin here */
    uint32_t *edges;
    uint8_t *accepts;
    uint32_t *patterns; /* of the states that accept: which pattern; NULL: there is one */
};

/* Decides every condition by what stands on its sides, and lets a match begin anywhere. */
enum mr_status mr_regex_resolve(const struct mr_positions *positions, uint32_t states_max,
                                struct mr_arena *arena, struct mr_nfa *nfa, const char **why);

/* The union, with the number of each part's pattern: parts[i] is pattern i. */
enum mr_status mr_nfa_union(const struct mr_nfa *parts, uint32_t n, struct mr_arena *arena,
                            struct mr_nfa *all);

/* ---- deterministic ---- */

/* Complete; no state leads into state 0's set but by edges. For one pattern state
 * MR_STATE_ACCEPT is final. */
struct mr_dfa {
    uint32_t n, n_classes;
    uint8_t classes[256];
    uint32_t start;
    uint32_t *next;     /* [n x n_classes] */
    uint32_t n_accepts; /* different sets of patterns; set 0 is empty */
    uint32_t *now;      /* [n]: which set is accepted here */
    uint32_t *at_end;   /* [n]: which set more, at the end of the message */
    uint32_t **accepts; /* sets: number, then patterns ascending */
};

/* MR_ERR_LIMIT when there are more states; MR_ERR_MEMORY. `many`: states that accept go on. */
enum mr_status mr_dfa_build(const struct mr_nfa *nfa, uint32_t states_max, bool many,
                            struct mr_arena *arena, struct mr_dfa *dfa);
/* The smallest one that accepts the same (Moore 1956), and with as few classes as it needs. */
enum mr_status mr_dfa_minimise(struct mr_dfa *dfa, struct mr_arena *arena);

/* ---- what a message must contain ---- */

#define MR_FACTORS_EACH 24u /* of one pattern */

struct mr_regex_factor {
    const uint8_t *bytes;
    uint32_t len;
    bool caseless; /* bytes are folded */
};

struct mr_regex_factors {
    uint32_t n; /* 0: none was found */
    struct mr_regex_factor v[MR_FACTORS_EACH];
    bool whole; /* a message matches if it contains one of them, exactly */
};

/* Any message that matches contains one of the factors, which are as long and as few as can be. */
enum mr_status mr_regex_find_factors(const struct mr_node *root, struct mr_arena *arena,
                                     struct mr_regex_factors *factors);

#endif
