/* Scores: tokens to entries to sums to a number. */
#include "models/spam_model.h"
#include "models/spam_tokens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SEEN_MAX (1u << 16) /* twice the tokens that a text may have, and more */

struct mr_spam_scratch {
    uint64_t hashes[MR_SPAM_TOKENS_MAX];
    uint32_t seen[SEEN_MAX]; /* entries + 1, by open addressing; zero between texts */
};

struct mr_spam_scratch *mr_spam_scratch_new(void)
{
    return calloc(1, sizeof(struct mr_spam_scratch));
}

void mr_spam_scratch_free(struct mr_spam_scratch *scratch)
{
    free(scratch);
}

static inline uint32_t find(const struct mr_bayes_entry *entries, uint32_t bucket_log2,
                            uint64_t hash)
{
    uint32_t fingerprint = mr_bayes_fingerprint(hash);
    uint32_t bucket = mr_bayes_bucket(hash, bucket_log2), last = (1u << bucket_log2) - 1;

    for (uint32_t probe = 0; probe < MR_BAYES_PROBES; probe++, bucket = (bucket + 1) & last)
        for (uint32_t i = 0; i < MR_BAYES_SLOTS; i++) {
            uint32_t at = bucket * MR_BAYES_SLOTS + i;
            if (entries[at].fingerprint == fingerprint)
                return at;
            if (!entries[at].fingerprint)
                return MR_BAYES_NONE;
        }
    return MR_BAYES_NONE;
}

static inline bool first_time(uint32_t *seen, uint32_t mask, uint32_t entry)
{
    for (uint32_t slot = (entry * 0x9e3779b1u) >> 16 & mask;; slot = (slot + 1) & mask) {
        if (!seen[slot]) {
            seen[slot] = entry + 1;
            return true;
        }
        if (seen[slot] == entry + 1)
            return false;
    }
}

void mr_spam_sums_of(const struct mr_spam_model *model, struct mr_spam_scratch *scratch,
                     const uint64_t *hashes, uint32_t n, struct mr_bayes_sums *sums)
{
    const struct mr_bayes_entry *entries = mr_spam_buckets(model);
    uint32_t bucket_log2 = model->bucket_log2, slots = 256;
    struct mr_bayes_sums s = {0, 0, 0, 0, 0};

    while (slots < 2 * n && slots < SEEN_MAX)
        slots *= 2;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = find(entries, bucket_log2, hashes[i]);
        if (at == MR_BAYES_NONE || !first_time(scratch->seen, slots - 1, at))
            continue;
        s.spam += entries[at].spam;
        s.ham += entries[at].ham;
        s.weight += entries[at].weight;
        s.n_known++;
        s.n_strong += entries[at].spam != 0;
    }
    memset(scratch->seen, 0, slots * sizeof scratch->seen[0]);
    *sums = s;
}

void mr_spam_sums(const struct mr_spam_model *model, struct mr_spam_scratch *scratch,
                  const uint8_t *text, uint32_t len, struct mr_bayes_sums *sums)
{
    uint32_t n =
        mr_spam_tokens(text, len, scratch->hashes, mr_spam_buckets(model), model->bucket_log2);

    mr_spam_sums_of(model, scratch, scratch->hashes, n, sums);
}

/* Q(2m, 2n) = exp(-m) * (1 + m + m^2/2! ... m^(n-1)/(n-1)!), in logarithms: the sum is scaled down
 * whenever it grows large. */
double mr_spam_chi_square(double m, uint32_t n)
{
    double sum = 1, term = 1, scale = 0;

    if (!n || m <= 0)
        return 0;
    for (uint32_t i = 1; i < n; i++) {
        term *= m / i;
        sum += term;
        if (term < sum * 1e-18 && i > m)
            break;
        if (sum > 0x1p600) {
            sum *= 0x1p-600;
            term *= 0x1p-600;
            scale += 600 * 0.693147180559945309417;
        }
    }
    double result = scale + log(sum) - m;
    return result < 0 ? result : 0;
}

double mr_spam_z(const struct mr_spam_model *model, const struct mr_bayes_sums *sums)
{
    double known = sums->n_known ? sums->n_known : 1;
    double z = model->bias + (double)sums->weight / MR_BAYES_ONE / sqrt(known);
    /* ln f of many spam words sums up to little: the chance of as little is P(spam) */
    double spam = mr_spam_chi_square(-(double)sums->spam / MR_BAYES_ONE, sums->n_strong);
    double ham = mr_spam_chi_square(-(double)sums->ham / MR_BAYES_ONE, sums->n_strong);
    double odds = spam - ham;

    odds = odds > 700 ? 700 : odds < -700 ? -700 : odds;
    return z + model->mix * odds;
}

double mr_spam_score(double z)
{
    return 1 / (1 + exp(-z));
}
