/* One pattern: the cheapest tier that decides it exactly. */
#include "offload/regex_pattern.h"

#include <string.h>

static bool keep_factors(const struct mr_regex_factors *from, struct mr_arena *keep,
                         struct mr_compiled *out)
{
    out->factors = *from;
    out->place.n_factors = from->n;
    out->place.factor_len_min = from->n ? UINT32_MAX : 0;
    for (uint32_t i = 0; i < from->n; i++) {
        uint8_t *bytes = mr_arena_alloc(keep, from->v[i].len);
        if (!bytes)
            return false;
        memcpy(bytes, from->v[i].bytes, from->v[i].len);
        out->factors.v[i].bytes = bytes;
        if (from->v[i].len < out->place.factor_len_min)
            out->place.factor_len_min = from->v[i].len;
    }
    return true;
}

/* Tree to NFA; MR_ERR_LIMIT with *why. */
static enum mr_status make_nfa(const struct mr_tree *tree, const struct mr_regex_limits *limits,
                               struct mr_arena *arena, struct mr_nfa *nfa, const char **why)
{
    struct mr_positions positions;
    enum mr_status status =
        mr_regex_positions(tree->root, limits->positions_max, arena, &positions, why);

    if (!status && positions.nullable) {
        *why = "it matches without a byte";
        return MR_ERR_LIMIT;
    }
    if (!status)
        status = mr_regex_resolve(&positions, 2 * limits->positions_max, arena, nfa, why);
    return status;
}

/* A DFA if it is small enough, else an NFA; the place says which. */
static enum mr_status make_automaton(const struct mr_nfa *nfa, const struct mr_regex_limits *limits,
                                     struct mr_arena *arena, struct mr_compiled *out)
{
    bool factor = out->factors.n != 0;
    struct mr_dfa dfa;
    const char *why;
    enum mr_status status = mr_dfa_build(nfa, limits->dfa_states_max, false, arena, &dfa);

    if (!status)
        status = mr_dfa_minimise(&dfa, arena);
    if (!status) {
        out->place.tier = factor ? MR_TIER_DFA : MR_TIER_GROUP;
        out->place.n_states = dfa.n;
        return factor ? mr_layout_dfa(&dfa, &out->automaton) : MR_OK;
    }
    if (status != MR_ERR_LIMIT)
        return status;
    out->place.why = "its DFA has too many states";
    out->place.n_states = nfa->n;
    status = mr_layout_nfa(nfa, &out->automaton, &why);
    out->place.tier = factor ? MR_TIER_NFA : MR_TIER_ALWAYS_NFA;
    if (status == MR_ERR_LIMIT) {
        out->place.tier = factor ? MR_TIER_FACTOR_CPU : MR_TIER_CPU;
        out->place.why = "its DFA has too many states, and there are more than 256 positions";
        return MR_OK;
    }
    return status;
}

void mr_regex_compile_one(const struct mr_regex_pattern *pattern,
                          const struct mr_regex_limits *limits, struct mr_arena *arena,
                          struct mr_arena *keep, struct mr_compiled *out)
{
    struct mr_tree tree;
    struct mr_regex_factors factors;
    struct mr_nfa nfa;

    *out = (struct mr_compiled){.place = {.tier = MR_TIER_CPU}};
    mr_arena_reset(arena);
    if (mr_regex_parse(pattern->regex, pattern->flags, arena, &tree, &out->place.why))
        return;
    out->status = mr_regex_find_factors(tree.root, arena, &factors);
    if (!out->status && !keep_factors(&factors, keep, out))
        out->status = MR_ERR_MEMORY;
    if (out->status)
        return;
    if (factors.whole) {
        out->place.tier = MR_TIER_LITERAL;
        out->automaton.header.kind = MR_AUTOMATON_LITERAL;
        return;
    }
    enum mr_status status = make_nfa(&tree, limits, arena, &nfa, &out->place.why);
    if (!status)
        out->status = make_automaton(&nfa, limits, arena, out);
    else if (factors.n)
        out->place.tier = MR_TIER_FACTOR_CPU;
    out->place.bytes = out->automaton.header.bytes;
}

enum mr_status mr_regex_nfa_of(const struct mr_regex_pattern *pattern,
                               const struct mr_regex_limits *limits, struct mr_arena *arena,
                               struct mr_nfa *nfa)
{
    struct mr_tree tree;
    const char *why;
    enum mr_status status = mr_regex_parse(pattern->regex, pattern->flags, arena, &tree, &why);

    return status ? status : make_nfa(&tree, limits, arena, nfa, &why);
}
