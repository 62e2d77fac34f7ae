/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiled automata: what decides whether a message matches a pattern. Made on the host, never
 * changed, one block of offsets that is copied to a device as it is; and the one step that host
 * and devices take through them.
 */
#ifndef MR_REGEX_TABLE_H
#define MR_REGEX_TABLE_H

#include "kernels/factor_table.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mr_automaton_kind {
    MR_AUTOMATON_NONE,    /* the CPU decides */
    MR_AUTOMATON_LITERAL, /* its factor has decided */
    MR_AUTOMATON_DFA8,    /* of one pattern; states of one byte */
    MR_AUTOMATON_DFA16,
    MR_AUTOMATON_GROUP, /* a DFA of several patterns; states of two bytes */
    MR_AUTOMATON_NFA    /* of one pattern; a bit for each position */
};

#define MR_DFA_ACCEPT     0u /* of DFA8 and DFA16: matches, whatever follows */
#define MR_DFA_DEAD       1u /* never will; of GROUP as well */
#define MR_NFA_WORDS_MAX  8u /* u32 words: 256 positions */
#define MR_AUTOMATA_MAX   (1u << 20)
#define MR_DFA_STATES_MAX 65535u
#define MR_NO_ACCEPTS     0u

/* Offsets count from the beginning of struct mr_regex_table. 32 bytes. */
struct mr_automaton {
    uint32_t kind;     /* enum mr_automaton_kind */
    uint32_t at;       /* its data, 16-byte aligned: classes[256], then as its kind has it */
    uint32_t bytes;    /* of the data, a multiple of 16 */
    uint16_t n_states; /* NFA: positions */
    uint16_t n_classes;
    uint16_t start;    /* DFA: the first state */
    uint16_t end_from; /* DFA8, DFA16: states from here on match if the message ends there.
                          GROUP: states from here on accept something, now or at the end.
                          NFA: words of a set: 1, 2, 4 or 8 */
    uint32_t pattern;  /* that it decides; GROUP: u16[2 x n_states] at this offset, which lists
                          of patterns a state accepts now, and which at the end */
    uint32_t lists_at; /* GROUP: u32 offsets of the lists: a number, then patterns */
    uint32_t n_lists;
};

struct mr_regex_table {
    uint32_t bytes; /* all of it, a multiple of 16 */
    uint32_t n_patterns;
    uint32_t n_automata;  /* the first n_patterns are those of the patterns, in their order */
    uint32_t automata_at; /* struct mr_automaton[n_automata] */
    uint32_t n_always;    /* automata that run over every message: the last ones */
    uint32_t nfa_words;   /* of the largest NFA */
    uint32_t reserved[2];
};

/* The data of an NFA behind classes[256], all u32[words] each; a position is a bit. */
enum mr_nfa_row {
    MR_NFA_INIT,       /* before the first byte */
    MR_NFA_SHIFT,      /* positions that lead to the next one */
    MR_NFA_STAY,       /* positions that lead to themselves */
    MR_NFA_EACH,       /* entered at every byte */
    MR_NFA_EXCEPTIONS, /* positions that lead elsewhere as well */
    MR_NFA_ACCEPT_NOW,
    MR_NFA_ACCEPT_AT_END,
    MR_NFA_ROWS /* then reach[n_classes], then where the exceptions lead [n_states] */
};

MR_BOTH const uint8_t *mr_table_at(const struct mr_regex_table *table, uint32_t offset)
{
    return (const uint8_t *)table + offset;
}

MR_BOTH const struct mr_automaton *mr_table_automata(const struct mr_regex_table *table)
{
    return (const struct mr_automaton *)(const void *)mr_table_at(table, table->automata_at);
}

/* One byte further; `classes` is the automaton's data. */
MR_BOTH uint32_t mr_dfa8_step(const uint8_t *classes, uint32_t n_classes, uint32_t state,
                              uint32_t byte)
{
    return classes[256 + state * n_classes + classes[byte]];
}

MR_BOTH uint32_t mr_dfa16_step(const uint8_t *classes, uint32_t n_classes, uint32_t state,
                               uint32_t byte)
{
    const uint16_t *next = (const uint16_t *)(const void *)(classes + 256);
    return next[state * n_classes + classes[byte]];
}

#ifdef __cplusplus
}
#endif

#endif
