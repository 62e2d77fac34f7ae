/* Conditions such as \b are about the bytes on both sides. Here every position becomes one state
 * for each kind of byte that a condition of the pattern tells apart, so that each condition is
 * decided when states are connected; a condition on what comes after the match is decided by
 * states that look at one byte more. */
#include "offload/regex_automaton.h"

#include <stdlib.h>
#include <string.h>

enum kind { OTHER, WORD, NEWLINE, LAST_NEWLINE, KINDS, START, END };

struct resolver {
    struct mr_arena *arena;
    const struct mr_positions *from;
    bool words, newlines, last_newlines; /* which kinds are told apart */
    uint32_t n, states_max;
    struct mr_byte_set *sets;
    uint8_t *kinds, *accepts;
    uint32_t *state_of; /* [position x KINDS]; 0: none */
    uint32_t prefix[KINDS], suffix[KINDS];
    struct mr_edge *edges;
    uint32_t n_edges, edges_capacity;
    const char *why;
};

static bool stop(struct resolver *r, const char *why)
{
    if (!r->why)
        r->why = why;
    return false;
}

static struct mr_byte_set kind_set(const struct resolver *r, enum kind kind)
{
    struct mr_byte_set set = {{0}};

    for (unsigned byte = 0; byte < 256; byte++) {
        bool letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
        bool word = r->words && (letter || (byte >= '0' && byte <= '9') || byte == '_');
        bool newline = r->newlines && byte == '\n';
        enum kind is = word ? WORD : newline ? NEWLINE : OTHER;
        if (is == kind || (newline && kind == LAST_NEWLINE && r->last_newlines))
            mr_byte_add(&set, byte);
    }
    return set;
}

static bool holds(uint32_t mask, enum kind before, enum kind after)
{
    bool newline_before = before == NEWLINE || before == LAST_NEWLINE;
    bool newline_after = after == NEWLINE || after == LAST_NEWLINE;

    if (before == LAST_NEWLINE && after != END)
        return false;
    if ((mask & MR_AT_TEXT_START) && before != START)
        return false;
    if ((mask & MR_AT_LINE_START) && before != START && !newline_before)
        return false;
    if ((mask & MR_AT_LAST_LINE_END) && after != END && after != LAST_NEWLINE)
        return false;
    if ((mask & MR_AT_LINE_END) && after != END && !newline_after)
        return false;
    if ((mask & MR_AT_TEXT_END) && after != END)
        return false;
    bool edge = (before == WORD) != (after == WORD);
    return !((mask & MR_AT_WORD_EDGE) && !edge) && !((mask & MR_AT_NO_WORD_EDGE) && edge);
}

/* ---- states and edges ---- */

static uint32_t add_state(struct resolver *r, const struct mr_byte_set *set, enum kind kind)
{
    struct mr_byte_set of_kind = kind_set(r, kind), both;
    uint64_t any = 0;

    for (int i = 0; i < 4; i++) {
        both.words[i] = set->words[i] & of_kind.words[i];
        any |= both.words[i];
    }
    if (!any)
        return 0;
    if (r->n == r->states_max) {
        stop(r, "too many states when its conditions are decided");
        return 0;
    }
    r->sets[r->n] = both;
    r->kinds[r->n] = (uint8_t)kind;
    return r->n++;
}

static void add_edge(struct resolver *r, uint32_t from, uint32_t to)
{
    if (r->n_edges == r->edges_capacity) {
        uint32_t wanted = r->edges_capacity ? 2 * r->edges_capacity : 64;
        struct mr_edge *fresh = mr_arena_alloc(r->arena, wanted * sizeof *fresh);
        if (!fresh) {
            stop(r, "no memory");
            return;
        }
        if (r->n_edges)
            memcpy(fresh, r->edges, r->n_edges * sizeof *fresh);
        r->edges = fresh;
        r->edges_capacity = wanted;
    }
    r->edges[r->n_edges++] = (struct mr_edge){from, to, 0};
}

/* From one state to every state of a position that the condition lets it. */
static void connect(struct resolver *r, uint32_t state, uint32_t mask, const uint32_t *targets)
{
    for (int kind = 0; kind < KINDS && !r->why; kind++)
        if (targets[kind] && holds(mask, (enum kind)r->kinds[state], (enum kind)kind))
            add_edge(r, state, targets[kind]);
}

/* States of a position; START's is state 0. */
static void each_state(struct resolver *r, uint32_t position, uint32_t mask,
                       const uint32_t *targets)
{
    if (position == MR_POSITION_START) {
        connect(r, 0, mask, targets);
        for (int kind = 0; kind < KINDS; kind++)
            if (r->prefix[kind])
                connect(r, r->prefix[kind], mask, targets);
        return;
    }
    for (int kind = 0; kind < KINDS; kind++)
        if (r->state_of[position * KINDS + (uint32_t)kind])
            connect(r, r->state_of[position * KINDS + (uint32_t)kind], mask, targets);
}

static void add_states(struct resolver *r)
{
    static const struct mr_byte_set all = {{~0ull, ~0ull, ~0ull, ~0ull}};
    const struct mr_positions *p = r->from;
    bool floats = false;

    r->n = 1;
    r->kinds[0] = START;
    for (uint32_t i = 0; i < p->n_edges; i++)
        floats |= p->edges[i].from == MR_POSITION_START && !(p->edges[i].mask & MR_AT_TEXT_START);
    for (int kind = 0; kind < LAST_NEWLINE && floats; kind++)
        r->prefix[kind] = add_state(r, &all, (enum kind)kind);
    for (uint32_t i = 1; i < p->n && !r->why; i++)
        for (int kind = 0; kind < KINDS; kind++)
            r->state_of[i * KINDS + (uint32_t)kind] = add_state(r, &p->sets[i], (enum kind)kind);
    for (int kind = 0; kind < KINDS && p->used; kind++)
        r->suffix[kind] = add_state(r, &all, (enum kind)kind);
}

/* A match may end in `state` if the condition holds with what comes. */
static void accept(struct resolver *r, uint32_t state, uint32_t mask)
{
    enum kind before = (enum kind)r->kinds[state];
    bool always = true;

    if (!mask) {
        r->accepts[state] |= before == LAST_NEWLINE ? MR_ACCEPT_AT_END : MR_ACCEPT_NOW;
        return;
    }
    if (holds(mask, before, END))
        r->accepts[state] |= MR_ACCEPT_AT_END;
    else
        always = false;
    for (int kind = 0; kind < KINDS; kind++)
        if (r->suffix[kind] && !holds(mask, before, (enum kind)kind))
            always = false;
    if (always)
        r->accepts[state] |= MR_ACCEPT_NOW;
    else
        connect(r, state, mask, r->suffix);
}

static void connect_all(struct resolver *r)
{
    const struct mr_positions *p = r->from;

    for (int kind = 0; kind < KINDS; kind++) {
        if (!r->prefix[kind])
            continue;
        add_edge(r, 0, r->prefix[kind]);
        connect(r, r->prefix[kind], 0, r->prefix);
    }
    for (uint32_t i = 0; i < p->n_edges && !r->why; i++)
        each_state(r, p->edges[i].from, p->edges[i].mask, &r->state_of[p->edges[i].to * KINDS]);
    for (uint32_t i = 0; i < p->n_lasts && !r->why; i++)
        for (uint32_t kind = 0; kind < KINDS; kind++)
            if (r->state_of[p->lasts[i].from * KINDS + kind])
                accept(r, r->state_of[p->lasts[i].from * KINDS + kind], p->lasts[i].mask);
    for (uint32_t kind = 0; kind < KINDS; kind++)
        if (r->suffix[kind])
            r->accepts[r->suffix[kind]] = kind == LAST_NEWLINE ? MR_ACCEPT_AT_END : MR_ACCEPT_NOW;
}

/* ---- what is left when useless states are gone ---- */

static int by_ends(const void *left, const void *right)
{
    const struct mr_edge *a = left, *b = right;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    return a->to < b->to ? -1 : a->to > b->to;
}

/* Marks what `seeds` reach, along the edges or against them. */
static void reach(const struct resolver *r, bool *marked, bool backwards)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t k = 0; k < r->n_edges; k++) {
            const struct mr_edge *e = &r->edges[backwards ? r->n_edges - 1 - k : k];
            uint32_t from = backwards ? e->to : e->from, to = backwards ? e->from : e->to;
            if (marked[from] && !marked[to])
                marked[to] = changed = true;
        }
    }
}

static void emit(struct resolver *r, struct mr_nfa *nfa)
{
    bool *there = mr_arena_zalloc(r->arena, r->n), *useful = mr_arena_zalloc(r->arena, r->n);
    uint32_t *number = mr_arena_zalloc(r->arena, r->n * sizeof *number), kept = 0;

    nfa->first = mr_arena_zalloc(r->arena, (r->n + 1) * sizeof *nfa->first);
    nfa->edges = mr_arena_alloc(r->arena, (r->n_edges + 1) * sizeof *nfa->edges);
    nfa->sets = r->sets;
    nfa->accepts = r->accepts;
    nfa->patterns = NULL;
    if (!there || !useful || !number || !nfa->first || !nfa->edges) {
        stop(r, "no memory");
        return;
    }
    for (uint32_t i = 0; i < r->n_edges; i++)
        if (!(r->accepts[r->edges[i].from] & MR_ACCEPT_NOW))
            r->edges[kept++] = r->edges[i];
    r->n_edges = kept;
    if (kept)
        qsort(r->edges, kept, sizeof *r->edges, by_ends);
    there[0] = true;
    reach(r, there, false);
    for (uint32_t i = 0; i < r->n; i++)
        useful[i] = r->accepts[i] != 0;
    reach(r, useful, true);
    nfa->n = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        if (i && !(there[i] && useful[i]))
            continue;
        number[i] = nfa->n;
        nfa->sets[nfa->n] = r->sets[i];
        nfa->accepts[nfa->n++] = r->accepts[i];
    }
    uint32_t n = 0, from = 0;
    for (uint32_t i = 0; i < r->n_edges; i++) {
        const struct mr_edge *e = &r->edges[i];
        if (!(there[e->from] && useful[e->to]) || (i && !by_ends(e, e - 1)))
            continue;
        while (from < number[e->from])
            nfa->first[++from] = n;
        nfa->edges[n++] = number[e->to];
    }
    while (from < nfa->n)
        nfa->first[++from] = n;
}

enum mr_status mr_regex_resolve(const struct mr_positions *positions, uint32_t states_max,
                                struct mr_arena *arena, struct mr_nfa *nfa, const char **why)
{
    struct resolver r = {.arena = arena, .from = positions, .states_max = states_max};
    uint32_t used = positions->used;

    r.words = used & (MR_AT_WORD_EDGE | MR_AT_NO_WORD_EDGE);
    r.last_newlines = used & MR_AT_LAST_LINE_END;
    r.newlines = r.last_newlines || (used & (MR_AT_LINE_START | MR_AT_LINE_END));
    r.sets = mr_arena_zalloc(arena, states_max * sizeof *r.sets);
    r.kinds = mr_arena_zalloc(arena, states_max);
    r.accepts = mr_arena_zalloc(arena, states_max);
    r.state_of = mr_arena_zalloc(arena, positions->n * KINDS * sizeof *r.state_of);
    if (!r.sets || !r.kinds || !r.accepts || !r.state_of)
        stop(&r, "no memory");
    if (!r.why)
        add_states(&r);
    if (!r.why)
        connect_all(&r);
    if (!r.why)
        emit(&r, nfa);
    *why = r.why;
    return r.why ? MR_ERR_LIMIT : MR_OK;
}
