/* Subset construction (Rabin, Scott 1959) over classes of bytes that no state tells apart. */
#include "offload/regex_automaton.h"

#include <stdlib.h>
#include <string.h>

#define ACCEPT_SETS_MAX 4000u

struct subsets {
    const struct mr_nfa *nfa;
    struct mr_arena *arena;
    struct mr_dfa *to;
    bool many;
    uint32_t words, states_max; /* of a set of states: one bit more than states, "accepted" */
    uint64_t *sets;             /* of each DFA state */
    uint32_t *slots, n_slots;   /* hash table: number of state + 1 */
    uint64_t *follow;           /* [nfa state]: where it leads */
    uint64_t *reach;            /* [class]: states entered by it */
    uint32_t next_capacity;
};

/* ---- classes ---- */

static void find_classes(const struct mr_nfa *nfa, struct mr_dfa *dfa)
{
    uint32_t n = 1;

    memset(dfa->classes, 0, sizeof dfa->classes);
    for (uint32_t s = 1; s < nfa->n && n < 256; s++) {
        const struct mr_byte_set *set = &nfa->sets[s];
        if (!memcmp(set, &nfa->sets[s - 1], sizeof *set))
            continue;
        int16_t inside[256]; /* the new class of those of a class that are in the set */
        bool seen_out[256] = {false};
        for (uint32_t c = 0; c < n; c++)
            inside[c] = -1;
        for (unsigned byte = 0; byte < 256; byte++)
            seen_out[dfa->classes[byte]] |= !mr_byte_in(set, byte);
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t old = dfa->classes[byte];
            if (!mr_byte_in(set, byte) || !seen_out[old])
                continue;
            if (inside[old] < 0)
                inside[old] = (int16_t)n++;
            dfa->classes[byte] = (uint8_t)inside[old];
        }
    }
    dfa->n_classes = n;
}

/* ---- states ---- */

static uint64_t hash(const uint64_t *set, uint32_t words)
{
    uint64_t h = 0;

    for (uint32_t i = 0; i < words; i++)
        h = (h ^ set[i]) * 0x9e3779b97f4a7c15ull, h ^= h >> 29;
    return h;
}

/* The patterns that the states with `flag` in the set accept, as the number of their set. */
static bool intern(struct subsets *s, const uint64_t *set, uint8_t flag, uint32_t *number)
{
    struct mr_dfa *dfa = s->to;
    uint32_t found[256], n = 0;

    for (uint32_t w = 0; w < s->words; w++)
        for (uint64_t bits = set[w]; bits; bits &= bits - 1) {
            uint32_t state = w * 64 + (uint32_t)__builtin_ctzll(bits);
            bool accepted = state == s->nfa->n && flag == MR_ACCEPT_NOW;
            if (state == s->nfa->n ? !accepted : !(s->nfa->accepts[state] & flag))
                continue;
            uint32_t pattern = s->nfa->patterns && !accepted ? s->nfa->patterns[state] : 0;
            if (n && found[n - 1] == pattern)
                continue;
            if (n == 256)
                return false;
            found[n++] = pattern;
        }
    for (uint32_t i = 0; i < dfa->n_accepts; i++)
        if (dfa->accepts[i][0] == n && !memcmp(&dfa->accepts[i][1], found, n * sizeof *found)) {
            *number = i;
            return true;
        }
    uint32_t *fresh = mr_arena_alloc(s->arena, (n + 1) * sizeof *fresh);
    if (!fresh || dfa->n_accepts == ACCEPT_SETS_MAX)
        return false;
    fresh[0] = n;
    memcpy(&fresh[1], found, n * sizeof *found);
    *number = dfa->n_accepts;
    dfa->accepts[dfa->n_accepts++] = fresh;
    return true;
}

/* The state of a set, new if need be; MR_ERR_LIMIT when that is one too many. */
static enum mr_status state_of(struct subsets *s, const uint64_t *set, uint32_t *state)
{
    struct mr_dfa *dfa = s->to;
    uint32_t slot = (uint32_t)hash(set, s->words) & (s->n_slots - 1);

    for (; s->slots[slot]; slot = (slot + 1) & (s->n_slots - 1)) {
        *state = s->slots[slot] - 1;
        if (!memcmp(&s->sets[(size_t)*state * s->words], set, s->words * sizeof *set))
            return MR_OK;
    }
    if (dfa->n == s->states_max)
        return MR_ERR_LIMIT;
    *state = dfa->n++;
    s->slots[slot] = dfa->n;
    memcpy(&s->sets[(size_t)*state * s->words], set, s->words * sizeof *set);
    return intern(s, set, MR_ACCEPT_NOW, &dfa->now[*state]) &&
                   intern(s, set, MR_ACCEPT_AT_END, &dfa->at_end[*state])
               ? MR_OK
               : MR_ERR_LIMIT;
}

static bool accepts_now(const struct subsets *s, const uint64_t *set)
{
    for (uint32_t w = 0; w < s->words; w++)
        for (uint64_t bits = set[w]; bits; bits &= bits - 1) {
            uint32_t state = w * 64 + (uint32_t)__builtin_ctzll(bits);
            if (state == s->nfa->n || (s->nfa->accepts[state] & MR_ACCEPT_NOW))
                return true;
        }
    return false;
}

static enum mr_status expand(struct subsets *s, uint32_t state, uint64_t *both, uint64_t *target)
{
    struct mr_dfa *dfa = s->to;
    const uint64_t *set = &s->sets[(size_t)state * s->words];
    enum mr_status status = MR_OK;
    bool accepted = set[s->nfa->n / 64] >> (s->nfa->n % 64) & 1;

    memset(both, 0, s->words * sizeof *both);
    for (uint32_t w = 0; w < s->words; w++)
        for (uint64_t bits = set[w]; bits && !accepted; bits &= bits - 1) {
            const uint64_t *from =
                &s->follow[(size_t)(w * 64 + (uint32_t)__builtin_ctzll(bits)) * s->words];
            for (uint32_t i = 0; i < s->words; i++)
                both[i] |= from[i];
        }
    for (uint32_t c = 0; c < dfa->n_classes && !status; c++) {
        for (uint32_t i = 0; i < s->words; i++)
            target[i] = both[i] & s->reach[(size_t)c * s->words + i];
        if (accepted || (!s->many && accepts_now(s, target))) {
            memset(target, 0, s->words * sizeof *target);
            target[s->nfa->n / 64] = (uint64_t)1 << (s->nfa->n % 64);
        }
        status = state_of(s, target, &dfa->next[(size_t)state * dfa->n_classes + c]);
    }
    return status;
}

static bool prepare(struct subsets *s)
{
    const struct mr_nfa *nfa = s->nfa;
    struct mr_dfa *dfa = s->to;
    size_t words = s->words, states = s->states_max;

    s->n_slots = 64;
    while (s->n_slots < 2 * s->states_max)
        s->n_slots *= 2;
    s->sets = mr_arena_alloc(s->arena, states * words * sizeof *s->sets);
    s->slots = mr_arena_zalloc(s->arena, s->n_slots * sizeof *s->slots);
    s->follow = mr_arena_zalloc(s->arena, (nfa->n + 1) * words * sizeof *s->follow);
    s->reach = mr_arena_zalloc(s->arena, dfa->n_classes * words * sizeof *s->reach);
    dfa->next = mr_arena_alloc(s->arena, states * dfa->n_classes * sizeof *dfa->next);
    dfa->now = mr_arena_alloc(s->arena, states * sizeof *dfa->now);
    dfa->at_end = mr_arena_alloc(s->arena, states * sizeof *dfa->at_end);
    dfa->accepts = mr_arena_alloc(s->arena, ACCEPT_SETS_MAX * sizeof *dfa->accepts);
    if (!s->sets || !s->slots || !s->follow || !s->reach || !dfa->next || !dfa->now ||
        !dfa->at_end || !dfa->accepts)
        return false;
    for (uint32_t state = 0; state < nfa->n; state++) {
        for (uint32_t e = nfa->first[state]; e < nfa->first[state + 1]; e++)
            s->follow[state * words + nfa->edges[e] / 64] |= (uint64_t)1 << (nfa->edges[e] % 64);
        for (unsigned byte = 0; byte < 256 && state; byte++)
            if (mr_byte_in(&nfa->sets[state], byte))
                s->reach[dfa->classes[byte] * words + state / 64] |= (uint64_t)1 << (state % 64);
    }
    return true;
}

enum mr_status mr_dfa_build(const struct mr_nfa *nfa, uint32_t states_max, bool many,
                            struct mr_arena *arena, struct mr_dfa *dfa)
{
    struct subsets s = {.nfa = nfa,
                        .arena = arena,
                        .to = dfa,
                        .many = many,
                        .words = nfa->n / 64 + 1,
                        .states_max = states_max};
    uint64_t *scratch = mr_arena_zalloc(arena, 3 * s.words * sizeof *scratch);
    enum mr_status status = scratch ? MR_OK : MR_ERR_MEMORY;

    *dfa = (struct mr_dfa){0};
    find_classes(nfa, dfa);
    if (!status && !prepare(&s))
        status = MR_ERR_MEMORY;
    uint32_t empty;
    if (!status)
        intern(&s, scratch, MR_ACCEPT_NOW, &empty);
    if (!status) {
        scratch[0] = 1;
        status = state_of(&s, scratch, &dfa->start);
    }
    for (uint32_t state = 0; !status && state < dfa->n; state++)
        status = expand(&s, state, scratch + s.words, scratch + 2 * s.words);
    return status;
}

enum mr_status mr_nfa_union(const struct mr_nfa *parts, uint32_t n, struct mr_arena *arena,
                            struct mr_nfa *all)
{
    uint32_t states = 1, edges = 0, at = 0;

    for (uint32_t i = 0; i < n; i++) {
        states += parts[i].n - 1;
        edges += parts[i].first[parts[i].n];
    }
    *all = (struct mr_nfa){
        .n = states,
        .sets = mr_arena_zalloc(arena, states * sizeof *all->sets),
        .first = mr_arena_zalloc(arena, (states + 1) * sizeof *all->first),
        .edges = mr_arena_alloc(arena, (edges + 1) * sizeof *all->edges),
        .accepts = mr_arena_zalloc(arena, states),
        .patterns = mr_arena_zalloc(arena, states * sizeof *all->patterns),
    };
    if (!all->sets || !all->first || !all->edges || !all->accepts || !all->patterns)
        return MR_ERR_MEMORY;
    for (uint32_t i = 0, base = 0; i < n; base += parts[i++].n - 1)
        for (uint32_t e = 0; e < parts[i].first[1]; e++)
            all->edges[at++] = parts[i].edges[e] + base;
    all->first[1] = at;
    for (uint32_t i = 0, base = 0; i < n; base += parts[i++].n - 1)
        for (uint32_t s = 1; s < parts[i].n; s++) {
            all->sets[base + s] = parts[i].sets[s];
            all->accepts[base + s] = parts[i].accepts[s];
            all->patterns[base + s] = i;
            for (uint32_t e = parts[i].first[s]; e < parts[i].first[s + 1]; e++)
                all->edges[at++] = parts[i].edges[e] + base;
            all->first[base + s + 1] = at;
        }
    return MR_OK;
}
