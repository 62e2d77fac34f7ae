/* At load: does a device sum up texts as the host does? */
#ifndef MR_OFFLOAD_BAYES_CHECK_H
#define MR_OFFLOAD_BAYES_CHECK_H

#include "offload/backend.h"

struct mr_bayes_checked {
    uint32_t texts;
    uint32_t known;     /* tokens of theirs that the model has */
    uint32_t different; /* texts */
};

/* Sums up texts of common and random words, of every length, with the back end and on the host.
 * What is said of a model with different ones is to be ignored. */
enum mr_status mr_bayes_check(const struct mr_spam_model *model, const struct mr_backend *backend,
                              struct mr_bayes_checked *checked, struct mr_error *error);

#endif
