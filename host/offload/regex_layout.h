/* Writing automata into the one block that devices read. */
#ifndef MR_OFFLOAD_REGEX_LAYOUT_H
#define MR_OFFLOAD_REGEX_LAYOUT_H

#include "offload/regex_automaton.h"

/* An automaton as bytes, and what its header will say: offsets in `header` count from `data`. */
struct mr_laid_out {
    struct mr_automaton header;
    uint8_t *data; /* the heap's; free() */
};

/* MR_ERR_MEMORY, or MR_ERR_LIMIT with *why where the form has no room for it. */
enum mr_status mr_layout_dfa(const struct mr_dfa *dfa, struct mr_laid_out *out);
enum mr_status mr_layout_nfa(const struct mr_nfa *nfa, struct mr_laid_out *out, const char **why);
/* patterns[i]: the number that goes into the table for pattern i of the DFA. */
enum mr_status mr_layout_group(const struct mr_dfa *dfa, const uint32_t *patterns,
                               struct mr_laid_out *out);

/* One block of all; automata without data (literals, CPU) have a header only. */
enum mr_status mr_layout_table(const struct mr_laid_out *automata, uint32_t n, uint32_t n_patterns,
                               struct mr_regex_table **table);

#endif
