/* Trains a model of spam from mails on disk, measures it, and chooses its threshold. */
#ifndef MR_MODELS_SPAM_TRAIN_H
#define MR_MODELS_SPAM_TRAIN_H

#include "models/spam_model.h"
#include "models/spam_text.h"

struct mr_spam_training {
    const char *const *ham, *const *spam; /* files, mailboxes, folders */
    uint32_t n_ham, n_spam;
    const char *output;     /* NULL: only measure */
    const char *roc;        /* (optional) the points of the curve go there, as text */
    const char *judged;     /* (optional) a line for each mail: fold, ham or spam, score, name */
    uint32_t folds;         /* of the measurement; 0: none, and the threshold is 0.5 */
    double false_positives; /* share of ham that may be called spam */
    enum mr_spam_fields fields;
    uint32_t min_mails;  /* tokens of fewer mails are left out */
    uint32_t max_tokens; /* more: only those of more mails; 0: no bound */
    bool no_chi_square;  /* the regression alone */
    const char *date;    /* YYYY-MM-DD; NULL: today */
    const char *note;    /* NULL: none */
    bool progress;       /* to stderr */
};

/* Prints what it finds to `out`. */
enum mr_status mr_spam_train(const struct mr_spam_training *training, FILE *out,
                             struct mr_error *error);

#endif
