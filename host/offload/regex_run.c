/* What a device computes for one message, on the host. */
#include "offload/regex.h"

#include <string.h>

static void set(uint32_t *bits, uint32_t i)
{
    bits[i >> 5] |= 1u << (i & 31);
}

static bool run_dfa(const struct mr_automaton *a, const uint8_t *data, const uint8_t *bytes,
                    uint32_t len)
{
    uint32_t state = a->start;

    for (uint32_t i = 0; i < len && state > MR_DFA_DEAD; i++)
        state = a->kind == MR_AUTOMATON_DFA8 ? mr_dfa8_step(data, a->n_classes, state, bytes[i])
                                             : mr_dfa16_step(data, a->n_classes, state, bytes[i]);
    return state == MR_DFA_ACCEPT || (state != MR_DFA_DEAD && state >= a->end_from);
}

static bool run_nfa(const struct mr_automaton *a, const uint8_t *data, const uint8_t *bytes,
                    uint32_t len)
{
    uint32_t words = a->end_from, state[MR_NFA_WORDS_MAX], next[MR_NFA_WORDS_MAX], on;
    const uint32_t *rows = (const uint32_t *)(const void *)(data + 256);
    const uint32_t *reach = rows + MR_NFA_ROWS * words, *leads = reach + a->n_classes * words;

    memcpy(state, rows + MR_NFA_INIT * words, words * 4);
    for (uint32_t i = 0; i < len; i++) {
        const uint32_t *into = reach + data[bytes[i]] * words;
        uint32_t carry = 0;
        for (uint32_t w = 0; w < words; w++) {
            uint32_t shift = state[w] & rows[MR_NFA_SHIFT * words + w];
            next[w] = shift << 1 | carry | (state[w] & rows[MR_NFA_STAY * words + w]) |
                      rows[MR_NFA_EACH * words + w];
            carry = shift >> 31;
        }
        for (uint32_t w = 0; w < words; w++)
            for (uint32_t bits = state[w] & rows[MR_NFA_EXCEPTIONS * words + w]; bits;
                 bits &= bits - 1)
                for (uint32_t k = 0; k < words; k++)
                    next[k] |= leads[(w * 32 + (uint32_t)__builtin_ctz(bits)) * words + k];
        on = 0;
        for (uint32_t w = 0; w < words; w++) {
            state[w] = next[w] & into[w];
            on |= state[w] & rows[MR_NFA_ACCEPT_NOW * words + w];
        }
        if (on)
            return true;
    }
    on = 0;
    for (uint32_t w = 0; w < words; w++)
        on |= state[w] & rows[MR_NFA_ACCEPT_AT_END * words + w];
    return on != 0;
}

static void report(const uint8_t *data, const struct mr_automaton *a, uint32_t list,
                   uint32_t *matches)
{
    const uint32_t *lists = (const uint32_t *)(const void *)(data + a->lists_at);
    const uint32_t *patterns = (const uint32_t *)(const void *)(data + lists[list]);

    for (uint32_t i = 0; i < patterns[0]; i++)
        set(matches, patterns[1 + i]);
}

static void run_group(const struct mr_automaton *a, const uint8_t *data, const uint8_t *bytes,
                      uint32_t len, uint32_t *matches)
{
    const uint16_t *which = (const uint16_t *)(const void *)(data + a->pattern);
    uint32_t state = a->start;

    for (uint32_t i = 0; i < len && state != MR_DFA_DEAD; i++) {
        state = mr_dfa16_step(data, a->n_classes, state, bytes[i]);
        if (state >= a->end_from && which[2 * state])
            report(data, a, which[2 * state], matches);
    }
    if (state >= a->end_from && which[2 * state + 1])
        report(data, a, which[2 * state + 1], matches);
}

static bool run(const struct mr_regex_table *table, const struct mr_automaton *a,
                const uint8_t *bytes, uint32_t len)
{
    const uint8_t *data = mr_table_at(table, a->at);

    switch (a->kind) {
    case MR_AUTOMATON_LITERAL:
        return true;
    case MR_AUTOMATON_NFA:
        return run_nfa(a, data, bytes, len);
    default:
        return run_dfa(a, data, bytes, len);
    }
}

/* Patterns in words[]: found by a factor, yet to be decided. */
static void decide(const struct mr_regex_set *set_of, const uint8_t *bytes, uint32_t len,
                   uint32_t *matches, uint32_t *undecided)
{
    const struct mr_automaton *automata = mr_table_automata(set_of->table);

    for (uint32_t w = 0; w < (set_of->n + 31) / 32; w++) {
        uint32_t bits = undecided[w];
        undecided[w] = 0;
        for (; bits; bits &= bits - 1) {
            uint32_t pattern = w * 32 + (uint32_t)__builtin_ctz(bits);
            if (automata[pattern].kind == MR_AUTOMATON_NONE)
                set(undecided, pattern);
            else if (run(set_of->table, &automata[pattern], bytes, len))
                set(matches, pattern);
        }
    }
}

void mr_regex_search(const struct mr_regex_set *set_of, const uint8_t *bytes, uint32_t len,
                     uint32_t *matches, uint32_t *undecided)
{
    const struct mr_automaton *automata = mr_table_automata(set_of->table);
    size_t words = (set_of->n + 31) / 32;

    memset(matches, 0, words * 4);
    memset(undecided, 0, words * 4);
    mr_factor_table_search(set_of->factors, bytes, len, undecided);
    mr_factor_table_search(set_of->factors_3, bytes, len, undecided);
    decide(set_of, bytes, len, matches, undecided);
    for (uint32_t i = set_of->n; i < set_of->table->n_automata; i++) {
        const struct mr_automaton *a = &automata[i];
        const uint8_t *data = mr_table_at(set_of->table, a->at);
        if (a->kind == MR_AUTOMATON_GROUP)
            run_group(a, data, bytes, len, matches);
        else if (run(set_of->table, a, bytes, len))
            set(matches, a->pattern);
    }
    for (uint32_t i = 0; i < set_of->n; i++)
        if (set_of->places[i].tier == MR_TIER_CPU)
            set(undecided, i);
}
