/* What is done with each message of a batch. A message is one thing with one or more views, each a
 * piece of bytes in the batch: a mail as it came and the text of it, say. Whoever wants the same
 * view shares it, and all of a batch crosses to a device at once. */
#ifndef MR_OFFLOAD_WORK_H
#define MR_OFFLOAD_WORK_H

#include "models/spam_model.h"
#include "offload/regex.h"

#include <stdbool.h>

#define MR_VIEWS_MAX  4u /* of a message */
#define MR_MODELS_MAX 4u /* of a batch */

struct mr_view {
    const void *bytes;
    uint32_t len;
};

/* A view is summed up by a model of spam. */
struct mr_offload_model {
    const struct mr_spam_model *model;
    uint32_t view;
};

/* Everything is borrowed until the back end is closed. */
struct mr_offload_work {
    const struct mr_regex_set *set; /* NULL, or none of patterns: nothing is searched */
    uint32_t set_view;              /* which view is searched */
    struct mr_offload_model models[MR_MODELS_MAX];
    uint32_t n_models;
    uint32_t n_views; /* of each message; 0 stands for 1 */
};

static inline uint32_t mr_offload_views(const struct mr_offload_work *work)
{
    return work->n_views ? work->n_views : 1;
}

static inline uint32_t mr_offload_patterns(const struct mr_offload_work *work)
{
    return work->set ? work->set->n : 0;
}

#endif
