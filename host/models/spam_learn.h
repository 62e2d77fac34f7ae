/* Learns what tokens say from mails of both kinds: chi-square probabilities (Robinson, Fisher) and
 * weights of a logistic regression, in one thread, always with the same result. */
#ifndef MR_MODELS_SPAM_LEARN_H
#define MR_MODELS_SPAM_LEARN_H

#include "models/spam_model.h"

/* Mails as sets of token numbers. */
struct mr_spam_examples {
    uint32_t n_mails, n_tokens;
    const size_t *first;    /* [n_mails + 1]: where the tokens of a mail begin in tokens[] */
    const uint32_t *tokens; /* below n_tokens, each once in a mail */
    const bool *is_spam;
};

/* What was learned: entries[token].fingerprint is 1 where the token is in the model, else 0. */
struct mr_spam_learned {
    struct mr_bayes_entry *entries; /* [n_tokens] */
    uint32_t n_known;
    double bias;
};

/* How much the chi-square odds add to z (a thousandth part of their range decides nothing alone).
 */
#define MR_SPAM_MIX 0.01

/* Learns from the mails with use[mail] != 0; tokens of fewer than min_mails of them are left out.
 * *learned is given to the caller, who frees entries. Only MR_ERR_MEMORY. */
enum mr_status mr_spam_learn(const struct mr_spam_examples *examples, const uint8_t *use,
                             uint32_t min_mails, struct mr_spam_learned *learned);

/* The sums of a mail by what was learned. */
void mr_spam_learned_sums(const struct mr_spam_examples *examples, uint32_t mail,
                          const struct mr_spam_learned *learned, struct mr_bayes_sums *sums);

#endif
