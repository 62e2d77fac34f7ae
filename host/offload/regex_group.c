/* Patterns without a factor run over every message; one DFA for several of them reads a message
 * once. How large the DFA of a union becomes only building it tells: groups take patterns, the
 * smallest first, in steps that double for as long as they fit and halve where they do not. */
#include "offload/regex_pattern.h"

#include <stdlib.h>
#include <string.h>

#define GROUP_PATTERNS_MAX 250u

struct grouping {
    const struct mr_regex_pattern *patterns;
    struct mr_compiled *compiled;
    const struct mr_regex_limits *limits;
    const uint32_t *members; /* all that are to be grouped, in order */
    struct mr_arena arena;
};

struct sized {
    uint32_t states, pattern;
};

static int by_states(const void *left, const void *right)
{
    const struct sized *a = left, *b = right;
    if (a->states != b->states)
        return a->states < b->states ? -1 : 1;
    return a->pattern < b->pattern ? -1 : a->pattern > b->pattern;
}

/* The DFA of members[0..n), laid out; MR_ERR_LIMIT if it is too large. */
static enum mr_status build(struct grouping *g, const uint32_t *members, uint32_t n,
                            struct mr_laid_out *out)
{
    struct mr_nfa parts[GROUP_PATTERNS_MAX], all;
    struct mr_dfa dfa;
    enum mr_status status = MR_OK;
    uint32_t max = n == 1 ? 2 * g->limits->dfa_states_max : g->limits->group_states_max;

    mr_arena_reset(&g->arena);
    for (uint32_t i = 0; i < n && !status; i++)
        status = mr_regex_nfa_of(&g->patterns[members[i]], g->limits, &g->arena, &parts[i]);
    if (!status)
        status = mr_nfa_union(parts, n, &g->arena, &all);
    if (!status)
        status = mr_dfa_build(&all, max, true, &g->arena, &dfa);
    if (!status)
        status = mr_dfa_minimise(&dfa, &g->arena);
    return status ? status : mr_layout_group(&dfa, members, out);
}

/* The largest group that begins with members[0], of up to `left`; *taken 0: it is too large alone.
 */
static enum mr_status take(struct grouping *g, const uint32_t *members, uint32_t left,
                           struct mr_laid_out *group, uint32_t *taken)
{
    uint32_t step = 1;
    bool growing = true;

    *taken = 0;
    while (step) {
        struct mr_laid_out larger;
        uint32_t n = *taken + step;
        enum mr_status status =
            n > left || n > GROUP_PATTERNS_MAX ? MR_ERR_LIMIT : build(g, members, n, &larger);
        if (status == MR_OK) {
            free(group->data);
            *group = larger;
            *taken = n;
            step = growing ? 2 * step : step / 2;
        } else if (status == MR_ERR_LIMIT) {
            growing = false;
            step /= 2;
        } else {
            return status;
        }
    }
    return MR_OK;
}

static void to_cpu(struct grouping *g, const uint32_t *members, uint32_t n, const char *why)
{
    for (uint32_t i = 0; i < n; i++) {
        struct mr_regex_place *place = &g->compiled[members[i]].place;
        place->tier = MR_TIER_CPU;
        place->why = why;
    }
}

/* Groups may take half of the room for tables; they are made from small to large. */
static enum mr_status make_groups(struct grouping *g, uint32_t n, struct mr_laid_out *groups,
                                  uint32_t *n_groups)
{
    uint64_t room = g->limits->tables_bytes_max / 2;

    for (uint32_t at = 0, taken; at < n; at += taken) {
        struct mr_laid_out group = {0};
        enum mr_status status = take(g, &g->members[at], n - at, &group, &taken);
        if (status) {
            free(group.data);
            return status;
        }
        if (!taken || group.header.bytes > room) {
            to_cpu(g, &g->members[at], taken ? taken : 1,
                   taken ? "it has no factor, and there is no room for more DFAs that always run"
                         : "it has no factor, and its DFA is too large to run always");
            free(group.data);
            taken = taken ? taken : 1;
            continue;
        }
        room -= group.header.bytes;
        for (uint32_t i = 0; i < taken; i++)
            g->compiled[g->members[at + i]].place.bytes = group.header.bytes;
        groups[(*n_groups)++] = group;
    }
    return MR_OK;
}

enum mr_status mr_regex_group(const struct mr_regex_pattern *patterns, struct mr_compiled *compiled,
                              uint32_t n, const struct mr_regex_limits *limits,
                              struct mr_laid_out **groups, uint32_t *n_groups)
{
    struct sized *order = malloc((n + 1) * sizeof *order);
    uint32_t *members = malloc((n + 1) * sizeof *members), count = 0;
    enum mr_status status = MR_ERR_MEMORY;

    *n_groups = 0;
    *groups = calloc(n + 1, sizeof **groups);
    if (order && members && *groups) {
        struct grouping g = {patterns, compiled, limits, members, {0}};
        for (uint32_t i = 0; i < n; i++)
            if (compiled[i].place.tier == MR_TIER_GROUP)
                order[count++] = (struct sized){compiled[i].place.n_states, i};
        qsort(order, count, sizeof *order, by_states);
        for (uint32_t i = 0; i < count; i++)
            members[i] = order[i].pattern;
        mr_arena_init(&g.arena, 0);
        status = make_groups(&g, count, *groups, n_groups);
        mr_arena_free(&g.arena);
    }
    free(order);
    free(members);
    return status;
}
