/* Tables as devices read them: states are renumbered so that what a step must ask is one
 * comparison. */
#include "offload/regex_layout.h"

#include <stdlib.h>
#include <string.h>

static void *data_new(struct mr_laid_out *out, uint64_t bytes)
{
    bytes = (bytes + 15) & ~15ull;
    if (bytes > UINT32_MAX / 2)
        return NULL;
    out->header.bytes = (uint32_t)bytes;
    out->data = calloc(1, bytes);
    return out->data;
}

/* ---- DFAs ---- */

/* New numbers: `accept` and `dead` first (if there are), then the rest, those for which `late`
 * holds last. Returns where the late ones begin. */
static uint32_t renumber(const struct mr_dfa *dfa, bool group, uint32_t *number)
{
    uint32_t n = MR_DFA_DEAD + 1, late;

    for (uint32_t s = 0; s < dfa->n; s++)
        number[s] = UINT32_MAX;
    for (uint32_t s = 0; s < dfa->n && !group; s++)
        if (dfa->now[s])
            number[s] = MR_DFA_ACCEPT;
    for (uint32_t s = 0; s < dfa->n; s++) {
        bool dead = !dfa->now[s] && !dfa->at_end[s];
        for (uint32_t c = 0; c < dfa->n_classes && dead; c++)
            dead = dfa->next[(size_t)s * dfa->n_classes + c] == s;
        if (dead)
            number[s] = MR_DFA_DEAD;
    }
    for (uint32_t s = 0; s < dfa->n; s++)
        if (number[s] == UINT32_MAX && !dfa->at_end[s] && !dfa->now[s])
            number[s] = n++;
    late = n;
    for (uint32_t s = 0; s < dfa->n; s++)
        if (number[s] == UINT32_MAX)
            number[s] = n++;
    return late;
}

static uint32_t states_of(const struct mr_dfa *dfa, const uint32_t *number)
{
    uint32_t n = 2;

    for (uint32_t s = 0; s < dfa->n; s++)
        n = number[s] >= n ? number[s] + 1 : n;
    return n;
}

static void put(uint8_t *data, bool wide, size_t index, uint32_t value)
{
    if (wide)
        ((uint16_t *)(void *)(data + 256))[index] = (uint16_t)value;
    else
        data[256 + index] = (uint8_t)value;
}

static void fill(const struct mr_dfa *dfa, const uint32_t *number, bool wide, uint8_t *data)
{
    uint32_t k = dfa->n_classes;

    memcpy(data, dfa->classes, 256);
    for (uint32_t c = 0; c < k; c++) {
        put(data, wide, (size_t)MR_DFA_ACCEPT * k + c, MR_DFA_ACCEPT);
        put(data, wide, (size_t)MR_DFA_DEAD * k + c, MR_DFA_DEAD);
    }
    for (uint32_t s = 0; s < dfa->n; s++)
        for (uint32_t c = 0; c < k; c++)
            put(data, wide, (size_t)number[s] * k + c, number[dfa->next[(size_t)s * k + c]]);
}

static void head(const struct mr_dfa *dfa, const uint32_t *number, uint32_t late,
                 struct mr_laid_out *out)
{
    out->header.n_states = (uint16_t)states_of(dfa, number);
    out->header.n_classes = (uint16_t)dfa->n_classes;
    out->header.start = (uint16_t)number[dfa->start];
    out->header.end_from = (uint16_t)late;
}

enum mr_status mr_layout_dfa(const struct mr_dfa *dfa, struct mr_laid_out *out)
{
    uint32_t *number = malloc((size_t)dfa->n * sizeof *number);
    enum mr_status status = MR_ERR_MEMORY;

    *out = (struct mr_laid_out){0};
    if (!number)
        return status;
    uint32_t late = renumber(dfa, false, number), n = states_of(dfa, number);
    bool wide = n > 256;
    if (n > MR_DFA_STATES_MAX) {
        status = MR_ERR_LIMIT;
    } else if (data_new(out, 256 + (uint64_t)n * dfa->n_classes * (wide ? 2 : 1))) {
        fill(dfa, number, wide, out->data);
        head(dfa, number, late, out);
        out->header.kind = wide ? MR_AUTOMATON_DFA16 : MR_AUTOMATON_DFA8;
        status = MR_OK;
    }
    free(number);
    return status;
}

/* Behind the states: which lists each accepts, the lists' offsets, the lists. */
enum mr_status mr_layout_group(const struct mr_dfa *dfa, const uint32_t *patterns,
                               struct mr_laid_out *out)
{
    uint32_t *number = malloc((size_t)dfa->n * sizeof *number);
    enum mr_status status = MR_ERR_MEMORY;

    *out = (struct mr_laid_out){0};
    if (!number)
        return status;
    uint32_t late = renumber(dfa, true, number), n = states_of(dfa, number);
    uint64_t which_at = (256 + (uint64_t)n * dfa->n_classes * 2 + 15) & ~15ull,
             lists_at = (which_at + (uint64_t)n * 4 + 15) & ~15ull,
             bytes = lists_at + (uint64_t)dfa->n_accepts * 4;
    for (uint32_t i = 0; i < dfa->n_accepts; i++)
        bytes += 4 * ((uint64_t)dfa->accepts[i][0] + 1);
    if (n > MR_DFA_STATES_MAX) {
        status = MR_ERR_LIMIT;
    } else if (data_new(out, bytes)) {
        uint16_t *which = (uint16_t *)(void *)(out->data + which_at);
        uint32_t *lists = (uint32_t *)(void *)(out->data + lists_at), *at = lists + dfa->n_accepts;
        fill(dfa, number, true, out->data);
        head(dfa, number, late, out);
        for (uint32_t s = 0; s < dfa->n; s++) {
            which[2 * number[s]] = (uint16_t)dfa->now[s];
            which[2 * number[s] + 1] = (uint16_t)dfa->at_end[s];
        }
        for (uint32_t i = 0; i < dfa->n_accepts; i++) {
            lists[i] = (uint32_t)((uint8_t *)at - out->data);
            *at++ = dfa->accepts[i][0];
            for (uint32_t k = 0; k < dfa->accepts[i][0]; k++)
                *at++ = patterns[dfa->accepts[i][1 + k]];
        }
        out->header.kind = MR_AUTOMATON_GROUP;
        out->header.pattern = (uint32_t)which_at;
        out->header.lists_at = (uint32_t)lists_at;
        out->header.n_lists = dfa->n_accepts;
        status = MR_OK;
    }
    free(number);
    return status;
}

/* ---- NFAs ---- */

static void set_bit(uint32_t *row, uint32_t bit)
{
    row[bit >> 5] |= 1u << (bit & 31);
}

/* A state that every byte enters and that the start leads to needs no bit: it is always on. */
static bool is_prefix(const struct mr_nfa *nfa, uint32_t state)
{
    bool from_start = false, from_itself = false;

    if (!state)
        return false;
    for (int i = 0; i < 4; i++)
        if (nfa->sets[state].words[i] != ~0ull)
            return false;
    for (uint32_t e = nfa->first[0]; e < nfa->first[1]; e++)
        from_start |= nfa->edges[e] == state;
    for (uint32_t e = nfa->first[state]; e < nfa->first[state + 1]; e++)
        from_itself |= nfa->edges[e] == state;
    /* whatever it leads to, the start does, or it would be entered a byte early */
    for (uint32_t e = nfa->first[state]; e < nfa->first[state + 1]; e++) {
        bool also = false;
        for (uint32_t k = nfa->first[0]; k < nfa->first[1]; k++)
            also |= nfa->edges[k] == nfa->edges[e];
        if (!also)
            return false;
    }
    return from_start && from_itself && !nfa->accepts[state];
}

static uint32_t classes_of(const struct mr_nfa *nfa, uint8_t *classes, uint8_t *first_byte)
{
    uint32_t n = 0;

    for (unsigned byte = 0; byte < 256; byte++) {
        uint32_t c = 0;
        for (; c < n; c++) {
            uint32_t s = 1;
            while (s < nfa->n &&
                   mr_byte_in(&nfa->sets[s], byte) == mr_byte_in(&nfa->sets[s], first_byte[c]))
                s++;
            if (s == nfa->n)
                break;
        }
        if (c == n)
            first_byte[n++] = (uint8_t)byte;
        classes[byte] = (uint8_t)c;
    }
    return n;
}

static void nfa_rows(const struct mr_nfa *nfa, uint32_t words, uint32_t *rows, uint32_t *reach,
                     uint32_t *leads, const uint8_t *first_byte, uint32_t n_classes)
{
    set_bit(rows + MR_NFA_INIT * words, 0);
    for (uint32_t s = 0; s < nfa->n; s++) {
        bool always = is_prefix(nfa, s);
        for (uint32_t e = nfa->first[s]; e < nfa->first[s + 1]; e++) {
            uint32_t to = nfa->edges[e];
            if (always) {
                set_bit(rows + MR_NFA_EACH * words, to);
            } else if (to == s + 1) {
                set_bit(rows + MR_NFA_SHIFT * words, s);
            } else if (to == s) {
                set_bit(rows + MR_NFA_STAY * words, s);
            } else {
                set_bit(rows + MR_NFA_EXCEPTIONS * words, s);
                set_bit(leads + s * words, to);
            }
        }
        if (nfa->accepts[s] & MR_ACCEPT_NOW)
            set_bit(rows + MR_NFA_ACCEPT_NOW * words, s);
        if (nfa->accepts[s] & MR_ACCEPT_AT_END)
            set_bit(rows + MR_NFA_ACCEPT_AT_END * words, s);
        for (uint32_t c = 0; c < n_classes && s; c++)
            if (mr_byte_in(&nfa->sets[s], first_byte[c]))
                set_bit(reach + c * words, s);
    }
}

enum mr_status mr_layout_nfa(const struct mr_nfa *nfa, struct mr_laid_out *out, const char **why)
{
    uint32_t words = (nfa->n + 31) / 32;
    uint8_t classes[256], first_byte[256];

    *out = (struct mr_laid_out){0};
    *why = NULL;
    if (words > MR_NFA_WORDS_MAX) {
        *why = "more than 256 positions";
        return MR_ERR_LIMIT;
    }
    while (words & (words - 1)) /* as kernels have it unrolled */
        words++;
    uint32_t n_classes = classes_of(nfa, classes, first_byte);
    if (!data_new(out, 256 + (uint64_t)(MR_NFA_ROWS + n_classes + nfa->n) * words * 4))
        return MR_ERR_MEMORY;
    uint32_t *rows = (uint32_t *)(void *)(out->data + 256);
    memcpy(out->data, classes, 256);
    nfa_rows(nfa, words, rows, rows + MR_NFA_ROWS * words, rows + (MR_NFA_ROWS + n_classes) * words,
             first_byte, n_classes);
    out->header.kind = MR_AUTOMATON_NFA;
    out->header.n_states = (uint16_t)nfa->n;
    out->header.n_classes = (uint16_t)n_classes;
    out->header.end_from = (uint16_t)words;
    return MR_OK;
}

/* ---- the block ---- */

enum mr_status mr_layout_table(const struct mr_laid_out *automata, uint32_t n, uint32_t n_patterns,
                               struct mr_regex_table **table)
{
    uint64_t at = sizeof **table, bytes = at + (uint64_t)n * sizeof(struct mr_automaton);

    bytes = (bytes + 15) & ~15ull;
    for (uint32_t i = 0; i < n; i++)
        bytes += automata[i].header.bytes;
    *table = bytes < UINT32_MAX / 2 ? aligned_alloc(16, bytes) : NULL;
    if (!*table)
        return MR_ERR_MEMORY;
    memset(*table, 0, bytes);
    **table = (struct mr_regex_table){.bytes = (uint32_t)bytes,
                                      .n_patterns = n_patterns,
                                      .n_automata = n,
                                      .automata_at = (uint32_t)at,
                                      .n_always = n - n_patterns};
    struct mr_automaton *headers = (struct mr_automaton *)(void *)((uint8_t *)*table + at);
    at = (at + (uint64_t)n * sizeof *headers + 15) & ~15ull;
    for (uint32_t i = 0; i < n; i++) {
        headers[i] = automata[i].header;
        headers[i].at = (uint32_t)at;
        if (headers[i].kind == MR_AUTOMATON_NFA && headers[i].end_from > (*table)->nfa_words)
            (*table)->nfa_words = headers[i].end_from;
        if (automata[i].data)
            memcpy((uint8_t *)*table + at, automata[i].data, headers[i].bytes);
        at += headers[i].bytes;
    }
    return MR_OK;
}
