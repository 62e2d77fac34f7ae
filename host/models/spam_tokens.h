/* The tokens of a scored text (kernels/bayes_table.h), as hashes. */
#ifndef MR_MODELS_SPAM_TOKENS_H
#define MR_MODELS_SPAM_TOKENS_H

#include "kernels/bayes_table.h"

/* So many bytes behind a text are readable (they are not looked at). */
#define MR_SPAM_SLACK 64u
/* No text has more tokens: two bytes and one between them. */
#define MR_SPAM_TOKENS_MAX (MR_BAYES_TEXT_BYTES / 3 + 1)

/* Writes the hashes of the tokens of the first MR_BAYES_TEXT_BYTES bytes, in order, and returns how
 * many there are. `hashes` has room for MR_SPAM_TOKENS_MAX. With `buckets` each token's bucket is
 * fetched into the cache. All three give the same; mr_spam_tokens() takes the fastest that the
 * processor can. */
uint32_t mr_spam_tokens(const uint8_t *text, uint32_t len, uint64_t *hashes,
                        const struct mr_bayes_entry *buckets, uint32_t bucket_log2);
uint32_t mr_spam_tokens_scalar(const uint8_t *text, uint32_t len, uint64_t *hashes);
uint32_t mr_spam_tokens_sse2(const uint8_t *text, uint32_t len, uint64_t *hashes,
                             const struct mr_bayes_entry *buckets, uint32_t bucket_log2);

#endif
