/* Real patterns and texts for them, from the folder that MR_SHARED_DATA names; and some patterns
 * by hand that together use everything the grammar has. Needs Hyperscan. */
#ifndef MR_TEST_REAL_PATTERNS_H
#define MR_TEST_REAL_PATTERNS_H

#include "components/match.h"
#include "offload/regex.h"

enum mr_real_set { MR_REAL_HSCOLLIDER, MR_REAL_SNORT, MR_REAL_SPAMASSASSIN, MR_REAL_ANMLZOO };

/* Lines "id:/regex/flags". */
const char *mr_real_by_hand(void);

/* Reads lines of that form; fails the test when there is an error in them. */
void mr_real_read(struct mr_match_set *set, const char *lines);

/* The patterns of a set; false, and said aloud, where the data is missing. */
bool mr_real_patterns(enum mr_real_set which, struct mr_match_set *set);

/* Takes out of the set what Hyperscan refuses, returns how many those were, and compiles the rest
 * as f_match does. */
uint32_t mr_real_compile(struct mr_match_set *set, struct mr_match_groups *groups);

/* The same pattern for the device's compiler. */
struct mr_regex_pattern mr_real_regex(const struct mr_match_pattern *pattern);

/* Texts that belong to a set: corpora, mails, inputs, samples of protocols. MR_LARGE in the
 * environment: all of them, else some. */
void mr_real_texts(enum mr_real_set which,
                   void (*take)(void *context, const uint8_t *bytes, uint32_t len), void *context);

uint32_t mr_real_draw(uint64_t *random, uint32_t below);

/* Changes, inserts, removes or repeats a few bytes. */
void mr_real_mutate(uint64_t *random, uint8_t *text, uint32_t *len, uint32_t capacity);

#endif
