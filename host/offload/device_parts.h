/* What the parts of the device back end share: device.c (memory, copies, streams), device_regex.c
 * and device_bayes.c (tables, kernels, results of one kind of work). */
#ifndef MR_OFFLOAD_DEVICE_PARTS_H
#define MR_OFFLOAD_DEVICE_PARTS_H

#include "kernels/device.h"
#include "offload/backend.h"
#include "offload/graphs.h"

#include <stdatomic.h>

/* One factor table and what its filter writes. */
struct mr_device_factors {
    const struct mr_factor_table *host;
    struct mr_factor_table *table;
    uint32_t bitmap_log2; /* there */
};

/* device_users.c: who has something on a device. A kernel that fails takes the device from all of
 * them until it is reset, which takes their memory: the last one to leave does it. Any thread. */

struct mr_device_users {
    const char *name; /* of the runtime */
    uint32_t n;
    _Atomic bool failed;
    _Atomic bool hangs; /* calls may never return: nobody enters it any more */
};
/* NULL: it has failed, and others have not left it yet; or (*hangs) they never will. */
struct mr_device_users *mr_device_enter(const struct mr_device *device, bool *hangs);
/* After everything there has been given back. */
void mr_device_forsake(struct mr_device_users *users);
void mr_device_leave(struct mr_device_users *users, const struct mr_device *device, int which);

struct mr_device_state {
    struct mr_device_users *users;
    struct mr_device_backend backend;
    struct mr_backend_config config;
    struct mr_device_factors factors[2];
    struct mr_regex_table *table;
    struct mr_bayes_entry *entries[MR_MODELS_MAX];
    uint32_t n_blocks_max;
    uint32_t bitmap_log2_max; /* of a factor table there */
};

struct mr_device_filtered {
    uint32_t *seen;
    struct mr_factor_pair *pairs;
    struct mr_factor_counts *counts;
};

struct mr_device_batch {
    struct mr_offload_batch batch;
    const struct mr_device_state *owner;
    void *stream, *began, *copied, *searched, *ended;
    struct mr_graphs graphs;
    struct mr_shape shape; /* of the batch that is under way */
    /* the device's */
    uint8_t *bytes;
    struct mr_batch_message *messages; /* [n_views][messages_max], as on the host */
    struct mr_device_filtered filtered[2];
    uint32_t *order, *starts, *seen, *results;
    /* pinned */
    uint32_t *host_results;
    struct mr_regex_match *matches;
    uint32_t pairs_capacity, matches_capacity;
    bool submitted;
};

/* What is copied back, in words, for a shape of n messages: a head (the number of matches), the
 * sums of n messages for each model, and where patterns are searched three words for each message:
 * whether a match found no room, and the states of both filters. */
enum { MR_RESULT_MATCHES, MR_RESULT_HEAD = 4 };
enum { MR_RESULT_OVERFLOWS, MR_RESULT_STATES, MR_RESULTS = 3 };
#define MR_SUMS_WORDS (sizeof(struct mr_bayes_sums) / 4)

static inline struct mr_bayes_sums *mr_device_sums(uint32_t *results, struct mr_shape shape,
                                                   uint32_t model)
{
    return (struct mr_bayes_sums *)(void *)(results + MR_RESULT_HEAD) +
           (size_t)model * shape.n_messages;
}

/* One of MR_RESULTS of each message. */
static inline uint32_t *mr_device_result(const struct mr_device_state *d, uint32_t *results,
                                         struct mr_shape shape, uint32_t which)
{
    return results + MR_RESULT_HEAD +
           (d->config.work.n_models * MR_SUMS_WORDS + which) * (size_t)shape.n_messages;
}

static inline size_t mr_device_result_bytes(const struct mr_device_state *d, uint64_t n_messages)
{
    size_t each = d->config.work.n_models * MR_SUMS_WORDS +
                  (mr_offload_patterns(&d->config.work) ? MR_RESULTS : 0);
    return (MR_RESULT_HEAD + each * (size_t)n_messages) * 4;
}

static inline const struct mr_batch_message *mr_device_view(const struct mr_device_batch *b,
                                                            uint32_t view)
{
    return b->messages + (size_t)view * b->batch.messages_max;
}

/* The first error of many calls. */
struct mr_device_taking {
    const struct mr_device *device;
    int code;
};

/* Memory; NULL when this or something before it has failed. */
void *mr_device_take(struct mr_device_taking *taking, bool pinned, uint64_t n, size_t size);
/* Copies a table to the device, by way of pinned memory. */
int mr_device_upload(const struct mr_device_state *d, const void *from, size_t bytes, void **to);

/* Each kind of work: its tables, a batch's memory, its kernels queued on the stream, and what came
 * of them, when the batch is back. */
int mr_device_regex_load(struct mr_device_state *d);
void mr_device_regex_unload(struct mr_device_state *d);
void mr_device_regex_take(const struct mr_device_state *d, struct mr_device_batch *b,
                          struct mr_device_taking *taking);
void mr_device_regex_give(const struct mr_device_state *d, struct mr_device_batch *b);
int mr_device_regex_enqueue(const struct mr_device_batch *b, struct mr_shape shape);
void mr_device_regex_collect(struct mr_device_batch *b);

int mr_device_bayes_load(struct mr_device_state *d);
void mr_device_bayes_unload(struct mr_device_state *d);
int mr_device_bayes_enqueue(const struct mr_device_batch *b, struct mr_shape shape);
void mr_device_bayes_collect(struct mr_device_batch *b);

#endif
