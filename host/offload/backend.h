/* Back ends: who does what is to be done (work.h) with a batch of messages: searches them for a
 * compiled set of patterns, sums up their tokens by models of spam. The same batch has the same
 * answer whoever does it.
 *
 * A batch belongs to one back end from batch_new() to batch_free(), and to one thread at a time;
 * between submit() and the poll() that ends it nobody touches it. submit() and poll() of one back
 * end come from one thread. A status that is an error says that the batch was not searched: its
 * messages are still there, and are the caller's to search. After one the back end is to be closed;
 * it can be opened again.
 */
#ifndef MR_OFFLOAD_BACKEND_H
#define MR_OFFLOAD_BACKEND_H

#include "kernels/bayes.h"
#include "kernels/regex_kernels.h"
#include "offload/work.h"

#include <stdatomic.h>

/* Of redo[]: what of a message is to be done anew, its answers mean nothing. */
#define MR_REDO_SEARCH 1u    /* more was found than there was room for */
#define MR_REDO_ALL    0xffu /* the batch has failed */

struct mr_offload_batch {
    uint8_t *bytes; /* views begin at multiples of 16 */
    uint32_t n_bytes, bytes_max;
    struct mr_batch_message *messages; /* [n_views][messages_max]: where they are */
    uint32_t n_messages, messages_max, n_views;

    /* After poll() has returned MR_OK. */
    const struct mr_regex_match *matches; /* in any order, each once */
    uint32_t n_matches;
    const struct mr_bayes_sums *sums; /* mr_batch_sums() */
    uint32_t sums_each;               /* of one model */
    uint8_t *redo;                    /* [messages_max] */
    uint64_t device_ns;               /* on the device, copies included */
    uint64_t kernels_ns;              /* of these without copies */
};

/* The sums of a message by a model; n_known is MR_BAYES_NONE: they are to be computed anew. */
static inline const struct mr_bayes_sums *mr_batch_sums(const struct mr_offload_batch *batch,
                                                        uint32_t model, uint32_t message)
{
    return &batch->sums[(size_t)model * batch->sums_each + message];
}

static inline struct mr_batch_message *mr_batch_view(const struct mr_offload_batch *batch,
                                                     uint32_t view, uint32_t message)
{
    return &batch->messages[(size_t)view * batch->messages_max + message];
}

struct mr_backend_config {
    struct mr_offload_work work;
    uint32_t bytes_max; /* of a batch, a multiple of 16 */
    uint32_t messages_max;
    uint32_t matches_each; /* room for matches: so many for each message, and some more */
    int device;            /* its number */
};

struct mr_backend {
    const char *name;
    /* Is there such a device here? MR_ERR_START: *error says why not, in one line; MR_ERR_LIMIT: it
     * has kept the caller waiting for that. */
    enum mr_status (*probe)(struct mr_error *error);
    /* MR_ERR_START: there is no such device here; *error says why in one line. */
    enum mr_status (*open)(const struct mr_backend_config *config, void **state,
                           struct mr_error *error);
    void (*close)(void *state); /* batches have been freed */
    enum mr_status (*batch_new)(void *state, struct mr_offload_batch **batch,
                                struct mr_error *error);
    void (*batch_free)(void *state, struct mr_offload_batch *batch);
    enum mr_status (*submit)(void *state, struct mr_offload_batch *batch, struct mr_error *error);
    /* MR_AGAIN: not yet. */
    enum mr_status (*poll)(void *state, struct mr_offload_batch *batch, struct mr_error *error);
    /* Somebody else's work has taken the device from all who have it open: to be closed, as after
     * an error. NULL: that cannot be. */
    bool (*is_broken)(void *state);
    /* A batch never ends: nobody is to open the device again in this process (MR_ERR_LIMIT, at
     * once), where the next call would wait as well. NULL: that cannot be. */
    void (*abandon)(void *state);
};

/* Waits for a batch that was submitted, which is for those who may wait. MR_ERR_LIMIT: it takes
 * longer than any device needs. Then batch and state are to be left to the device, for whoever
 * frees them waits as well; and the device is abandoned. */
enum mr_status mr_backend_wait(const struct mr_backend *backend, void *state,
                               struct mr_offload_batch *batch, struct mr_error *error);

extern const struct mr_backend mr_backend_cpu;
/* NULL where the build has none. */
const struct mr_backend *mr_backend_cuda(void);
const struct mr_backend *mr_backend_emulated(void);

/* Calls of a device that may never return (device_calls.c). A thread that others wait for has them
 * watched; each of the calls of a back end counts for itself. */
struct mr_call_watch {
    _Atomic uint64_t since_ns; /* a call is under way since; 0: none */
    uint64_t seen_ns, n_seen;  /* of who looks: this one, so often */
};
/* The calls of this thread from now on. */
void mr_calls_watch(struct mr_call_watch *watch);
/* For who looks now and then, one at a time: was the same call under way at more looks than that?
 * Then the thread does nothing more, should it come back: it is left with all that it has. Looks,
 * as a machine or a process that was stopped has not waited. */
bool mr_call_leave(struct mr_call_watch *watch, uint64_t most_looks);
void mr_call_begin(void);
void mr_call_end(void);
/* On purpose. */
_Noreturn void mr_call_hang(void);
/* Nobody is to open a device again that has not come back; without waiting for who opens it now. */
void mr_devices_forsake(void);
/* Has that been said? Then a thread may come back out of a call later, and what calls read or write
 * is to stay; and no other call is to be made that nobody watches. */
bool mr_devices_hang(void);

/* The device back end for a runtime; for the two above. */
struct mr_device;
struct mr_device_backend {
    const struct mr_device *device;
    const struct mr_factor_filter *filter;
    const struct mr_regex_kernels *kernels;
    const struct mr_bayes *bayes;
    bool no_graphs; /* everything is queued piece by piece, for comparison */
};
enum mr_status mr_device_open(const struct mr_device_backend *backend,
                              const struct mr_backend_config *config, void **state,
                              struct mr_error *error);
/* MR_ERR_LIMIT: the device's driver has not answered after so long, and a thread is left in the
 * call. 0: as long as it takes. */
enum mr_status mr_device_probe(const struct mr_device *device, uint64_t most_ns,
                               struct mr_error *error);
void mr_device_close(void *state);
void mr_device_abandon(void *state);
/* The calls below and close(), watched. */
void mr_call_close(void *state);
enum mr_status mr_call_batch_new(void *state, struct mr_offload_batch **batch,
                                 struct mr_error *error);
void mr_call_batch_free(void *state, struct mr_offload_batch *batch);
enum mr_status mr_call_submit(void *state, struct mr_offload_batch *batch, struct mr_error *error);
enum mr_status mr_call_poll(void *state, struct mr_offload_batch *batch, struct mr_error *error);
enum mr_status mr_device_batch_new(void *state, struct mr_offload_batch **batch,
                                   struct mr_error *error);
void mr_device_batch_free(void *state, struct mr_offload_batch *batch);
enum mr_status mr_device_submit(void *state, struct mr_offload_batch *batch,
                                struct mr_error *error);
enum mr_status mr_device_poll(void *state, struct mr_offload_batch *batch, struct mr_error *error);

bool mr_device_is_broken(void *state);

/* For a message of one view that is so long. */
bool mr_batch_has_room(const struct mr_offload_batch *batch, uint32_t len);
/* For one of several. */
bool mr_batch_has_room_for(const struct mr_offload_batch *batch, const struct mr_view *views);
/* Appends a message; the bytes of its views are to be copied to where `to` says. False: there is no
 * room. */
bool mr_batch_reserve_views(struct mr_offload_batch *batch, const struct mr_view *views,
                            uint8_t **to);
/* The same for a batch of one view; NULL: there is no room. */
uint8_t *mr_batch_reserve(struct mr_offload_batch *batch, uint32_t len);
/* The same with the bytes; false: there is no room. */
bool mr_batch_add(struct mr_offload_batch *batch, const void *bytes, uint32_t len);

#endif
