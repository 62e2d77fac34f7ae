/* Models of spam: the file, and what a text's sums mean by it.
 *
 * A file is one block: struct mr_spam_model, then 2^bucket_log2 buckets of MR_BAYES_SLOTS entries.
 * Little-endian, offsets only, used as it is by every back end. It holds hashes of tokens, never
 * text of a mail. It is checked as a whole when it is read: what mr_spam_model_read() gives is safe
 * to search, whoever made the file. Immutable then; any number of threads may use it.
 */
#ifndef MR_MODELS_SPAM_MODEL_H
#define MR_MODELS_SPAM_MODEL_H

#include "kernels/bayes_table.h"

#include <stdio.h>

#define MR_SPAM_MODEL_MAGIC   "MRSPAM\r\n"
#define MR_SPAM_MODEL_VERSION 1u
#define MR_SPAM_BUCKETS_MIN   4u /* log2 */
#define MR_SPAM_BUCKETS_MAX   22u

/* How a rule did on mails that it was not trained on. */
struct mr_spam_figures {
    uint32_t folds; /* 0: not measured */
    uint32_t n_ham, n_spam, ham_called_spam, spam_missed;
    uint32_t reserved;
    double one_less_auc; /* area above the ROC curve */
};

struct mr_spam_model {
    char magic[8];
    uint32_t version;
    uint32_t header_bytes; /* sizeof(struct mr_spam_model): the buckets begin there */
    uint64_t bytes;        /* of the file */
    uint8_t checksum[16];  /* XXH3 over this header with zeros here and XXH3 of the buckets */
    uint32_t bucket_log2;
    uint32_t n_entries;
    uint32_t fields; /* enum mr_spam_fields */
    uint32_t n_ham, n_spam, n_duplicates;
    /* z = bias + weight / sqrt(n_known) + mix * (ln P(spam) - ln P(ham)), the latter by chi-square
     * and within +-700; score = 1 / (1 + exp(-z)); spam: score >= threshold. */
    double bias, mix, threshold;
    double false_positives; /* the rate that the threshold was chosen for */
    struct mr_spam_figures figures;
    char created[16]; /* YYYY-MM-DD */
    char note[368];   /* for people: what it was trained on; ends with NUL */
};

/* Reads and checks a file; *model is given to the caller: mr_spam_model_free(). MR_ERR_PROGRAM: it
 * is no model, or a corrupt one; MR_ERR_INPUT: it cannot be read. */
enum mr_status mr_spam_model_read(const char *path, struct mr_spam_model **model,
                                  struct mr_error *error);
void mr_spam_model_free(struct mr_spam_model *model);

/* The checks alone, over a file's bytes (16-byte aligned). NULL: it is sound; else what is wrong.
 */
const char *mr_spam_model_check(const void *bytes, size_t n);

/* Fills in the checksum and writes, by a temporary file beside it. */
enum mr_status mr_spam_model_write(struct mr_spam_model *model, const char *path,
                                   struct mr_error *error);

/* A model of so many buckets without entries, to be filled by add(); NULL: out of memory. */
struct mr_spam_model *mr_spam_model_new(uint32_t bucket_log2);

enum mr_spam_added {
    MR_SPAM_ADDED,
    MR_SPAM_CLASHES, /* another token has this fingerprint here: left out */
    MR_SPAM_NO_ROOM  /* the table must be larger */
};
enum mr_spam_added mr_spam_model_add(struct mr_spam_model *model, uint64_t hash,
                                     struct mr_bayes_entry entry);

/* The card. */
void mr_spam_model_show(const struct mr_spam_model *model, const char *path, FILE *out);

static inline const struct mr_bayes_entry *mr_spam_buckets(const struct mr_spam_model *model)
{
    return (const struct mr_bayes_entry *)(const void *)((const uint8_t *)model +
                                                         model->header_bytes);
}

/* ---- scoring ---- */

/* The sums of a text, by the table (the contract: kernels/bayes_table.h). `scratch` is the
 * thread's; MR_SPAM_SLACK bytes behind the text are readable. */
struct mr_spam_scratch;
struct mr_spam_scratch *mr_spam_scratch_new(void);
void mr_spam_scratch_free(struct mr_spam_scratch *scratch);
void mr_spam_sums(const struct mr_spam_model *model, struct mr_spam_scratch *scratch,
                  const uint8_t *text, uint32_t len, struct mr_bayes_sums *sums);
/* From hashes instead of a text; the same. */
void mr_spam_sums_of(const struct mr_spam_model *model, struct mr_spam_scratch *scratch,
                     const uint64_t *hashes, uint32_t n, struct mr_bayes_sums *sums);

/* The one place where sums become a score, whoever summed: z, and its score in 0 .. 1. */
double mr_spam_z(const struct mr_spam_model *model, const struct mr_bayes_sums *sums);
double mr_spam_score(double z);

/* ln of the probability that chi-square with 2n degrees of freedom exceeds 2m. */
double mr_spam_chi_square(double m, uint32_t n);

#endif
