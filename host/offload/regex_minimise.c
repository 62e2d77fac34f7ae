/* The smallest automaton that accepts the same: states are split for as long as some of one block
 * lead into different blocks. Then bytes that no state tells apart any more become one class. */
#include "offload/regex_automaton.h"

#include <string.h>

#define STEPS_MAX ((uint64_t)40000000) /* where it takes longer, the automaton stays as it is */

struct blocks {
    const struct mr_dfa *dfa;
    uint32_t *of, *fresh; /* block of each state, before and after a round */
    uint32_t *slots;      /* hash table of states that stand for their block; number + 1 */
    uint32_t n_slots, n;
};

static bool alike(const struct blocks *b, uint32_t x, uint32_t y)
{
    const struct mr_dfa *dfa = b->dfa;

    if (b->of[x] != b->of[y])
        return false;
    for (uint32_t c = 0; c < dfa->n_classes; c++)
        if (b->of[dfa->next[(size_t)x * dfa->n_classes + c]] !=
            b->of[dfa->next[(size_t)y * dfa->n_classes + c]])
            return false;
    return true;
}

static uint32_t signature(const struct blocks *b, uint32_t x)
{
    uint64_t h = b->of[x];

    for (uint32_t c = 0; c < b->dfa->n_classes; c++)
        h = (h ^ b->of[b->dfa->next[(size_t)x * b->dfa->n_classes + c]]) * 0x9e3779b97f4a7c15ull,
        h ^= h >> 31;
    return (uint32_t)h & (b->n_slots - 1);
}

/* One round; returns how many blocks there are. */
static uint32_t split(struct blocks *b)
{
    uint32_t n = 0;

    memset(b->slots, 0, b->n_slots * sizeof *b->slots);
    for (uint32_t state = 0; state < b->dfa->n; state++) {
        uint32_t slot = signature(b, state);
        while (b->slots[slot] && !alike(b, b->slots[slot] - 1, state))
            slot = (slot + 1) & (b->n_slots - 1);
        if (b->slots[slot]) {
            b->fresh[state] = b->fresh[b->slots[slot] - 1];
        } else {
            b->slots[slot] = state + 1;
            b->fresh[state] = n++;
        }
    }
    uint32_t *old = b->of;
    b->of = b->fresh;
    b->fresh = old;
    return n;
}

/* Blocks become states, the first state of each speaks for it. */
static void merge_states(struct mr_dfa *dfa, const uint32_t *block, uint32_t n)
{
    uint32_t k = dfa->n_classes, seen = 0;

    for (uint32_t state = 0; state < dfa->n && seen < n; state++) {
        if (block[state] != seen)
            continue;
        for (uint32_t c = 0; c < k; c++)
            dfa->next[(size_t)seen * k + c] = block[dfa->next[(size_t)state * k + c]];
        dfa->now[seen] = dfa->now[state];
        dfa->at_end[seen++] = dfa->at_end[state];
    }
    dfa->start = block[dfa->start];
    dfa->n = n;
}

static void merge_classes(struct mr_dfa *dfa)
{
    uint32_t map[256], n = 0, old = dfa->n_classes, first[256];

    for (uint32_t c = 0; c < old; c++) {
        uint32_t same = 0;
        for (; same < n; same++) {
            uint32_t state = 0;
            while (state < dfa->n && dfa->next[(size_t)state * old + c] ==
                                         dfa->next[(size_t)state * old + first[same]])
                state++;
            if (state == dfa->n)
                break;
        }
        if (same == n)
            first[n++] = c;
        map[c] = same;
    }
    for (uint32_t state = 0; state < dfa->n; state++)
        for (uint32_t c = 0; c < n; c++)
            dfa->next[(size_t)state * n + c] = dfa->next[(size_t)state * old + first[c]];
    for (unsigned byte = 0; byte < 256; byte++)
        dfa->classes[byte] = (uint8_t)map[dfa->classes[byte]];
    dfa->n_classes = n;
}

enum mr_status mr_dfa_minimise(struct mr_dfa *dfa, struct mr_arena *arena)
{
    struct blocks b = {.dfa = dfa, .n_slots = 16};
    uint64_t steps = 0, each = (uint64_t)dfa->n * dfa->n_classes;
    uint32_t n = 0, before;

    while (b.n_slots < 2 * dfa->n)
        b.n_slots *= 2;
    b.of = mr_arena_alloc(arena, dfa->n * sizeof *b.of);
    b.fresh = mr_arena_alloc(arena, dfa->n * sizeof *b.fresh);
    b.slots = mr_arena_alloc(arena, b.n_slots * sizeof *b.slots);
    if (!b.of || !b.fresh || !b.slots)
        return MR_ERR_MEMORY;
    for (uint32_t state = 0; state < dfa->n; state++)
        b.of[state] = dfa->now[state] * dfa->n_accepts + dfa->at_end[state];
    do {
        before = n;
        n = split(&b);
        steps += each;
    } while (n != before && n < dfa->n && steps < STEPS_MAX);
    if (n == before)
        merge_states(dfa, b.of, n);
    merge_classes(dfa);
    return MR_OK;
}
