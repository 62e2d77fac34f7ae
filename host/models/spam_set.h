/* A set of mails to learn from: each as the set of its tokens; duplicates are left out, and mails
 * that are nearly alike know of each other, so that a measurement can keep them together. */
#ifndef MR_MODELS_SPAM_SET_H
#define MR_MODELS_SPAM_SET_H

#include "models/spam_learn.h"
#include "models/spam_text.h"

struct mr_spam_set;

/* NULL: out of memory. */
struct mr_spam_set *mr_spam_set_new(enum mr_spam_fields fields);
void mr_spam_set_free(struct mr_spam_set *set);

/* Adds a mail, unless its body has the words of one that was added before. MR_ERR_LIMIT: 4 million
 * mails or 2^31 tokens are there already. */
enum mr_status mr_spam_set_add(struct mr_spam_set *set, bool is_spam, const uint8_t *mail,
                               size_t len);

/* After the last mail. Borrows from the set. */
struct mr_spam_examples mr_spam_set_examples(const struct mr_spam_set *set);
const uint64_t *mr_spam_set_hashes(const struct mr_spam_set *set); /* [n_tokens] */
uint32_t mr_spam_set_duplicates(const struct mr_spam_set *set);

/* fold[mail], below n_folds, for each mail: mails that are nearly alike (a sketch of their
 * sequences of four words agrees) get the same, folds are about equally large. Returns how many
 * groups of such mails there are; 0: out of memory. */
uint32_t mr_spam_set_folds(const struct mr_spam_set *set, uint32_t n_folds, uint8_t *fold);

#endif
