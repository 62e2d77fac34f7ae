/* Back ends: who searches a batch of messages for a compiled set of patterns. The same batch has
 * the same answer whoever does it.
 *
 * A batch belongs to one back end from batch_new() to batch_free(), and to one thread at a time;
 * between submit() and the poll() that ends it nobody touches it. submit() and poll() of one back
 * end come from one thread. A status that is an error says that the batch was not searched: its
 * messages are still there, and are the caller's to search. After one the back end is to be closed;
 * it can be opened again.
 */
#ifndef MR_OFFLOAD_BACKEND_H
#define MR_OFFLOAD_BACKEND_H

#include "kernels/regex_kernels.h"
#include "offload/regex.h"

#include <stdbool.h>

struct mr_batch {
    uint8_t *bytes; /* messages begin at multiples of 16 */
    uint32_t n_bytes, bytes_max;
    struct mr_batch_message *messages;
    uint32_t n_messages, messages_max;

    /* After poll() has returned MR_OK. Matches of messages to be redone mean nothing. */
    const struct mr_regex_match *matches; /* in any order, each once */
    uint32_t n_matches;
    uint8_t *redo;       /* [messages_max]: 1: too much was found, search it anew */
    uint64_t device_ns;  /* on the device, copies included */
    uint64_t kernels_ns; /* of these without copies */
};

struct mr_backend_config {
    const struct mr_regex_set *set; /* borrowed until close() */
    uint32_t bytes_max;             /* of a batch, a multiple of 16 */
    uint32_t messages_max;
    uint32_t matches_each; /* room for matches: so many for each message, and some more */
    int device;            /* its number */
};

struct mr_backend {
    const char *name;
    /* Is there such a device here? MR_ERR_START: *error says why not, in one line. */
    enum mr_status (*probe)(struct mr_error *error);
    /* MR_ERR_START: there is no such device here; *error says why in one line. */
    enum mr_status (*open)(const struct mr_backend_config *config, void **state,
                           struct mr_error *error);
    void (*close)(void *state); /* batches have been freed */
    enum mr_status (*batch_new)(void *state, struct mr_batch **batch, struct mr_error *error);
    void (*batch_free)(void *state, struct mr_batch *batch);
    enum mr_status (*submit)(void *state, struct mr_batch *batch, struct mr_error *error);
    /* MR_AGAIN: not yet. */
    enum mr_status (*poll)(void *state, struct mr_batch *batch, struct mr_error *error);
};

extern const struct mr_backend mr_backend_cpu;
/* NULL where the build has none. */
const struct mr_backend *mr_backend_cuda(void);
const struct mr_backend *mr_backend_emulated(void);

/* The device back end for a runtime; for the two above. */
struct mr_device;
struct mr_device_backend {
    const struct mr_device *device;
    const struct mr_factor_filter *filter;
    const struct mr_regex_kernels *kernels;
    bool no_graphs; /* everything is queued piece by piece, for comparison */
};
enum mr_status mr_device_open(const struct mr_device_backend *backend,
                              const struct mr_backend_config *config, void **state,
                              struct mr_error *error);
enum mr_status mr_device_probe(const struct mr_device *device, struct mr_error *error);
void mr_device_close(void *state);
enum mr_status mr_device_batch_new(void *state, struct mr_batch **batch, struct mr_error *error);
void mr_device_batch_free(void *state, struct mr_batch *batch);
enum mr_status mr_device_submit(void *state, struct mr_batch *batch, struct mr_error *error);
enum mr_status mr_device_poll(void *state, struct mr_batch *batch, struct mr_error *error);

bool mr_batch_has_room(const struct mr_batch *batch, uint32_t len);
/* Appends a message, whose bytes are to be copied to what it returns; NULL: there is no room. */
uint8_t *mr_batch_reserve(struct mr_batch *batch, uint32_t len);
/* The same with the bytes; false: there is no room. */
bool mr_batch_add(struct mr_batch *batch, const void *bytes, uint32_t len);

#endif
