/* A back end on a device: tables are copied there once, every batch has its own memory and stream.
 * All work of a batch is queued at once, from the copy in to the copy out: the message bytes, as
 * many as there are, and then a graph of the rest, for batches rounded up to a shape. What that
 * adds are messages without bytes; matches of theirs are left out in the end. Matches are written
 * straight to pinned memory, for nobody knows beforehand how many to copy. */
#include "kernels/device.h"
#include "offload/backend.h"
#include "offload/graphs.h"

#include <stdlib.h>
#include <string.h>

#define PAIRS_EACH   32u /* room for pairs: so many for each message, and some more */
#define PAIRS_MORE   1024u
#define MATCHES_MORE 256u
#define PAIRS_OF_ONE 128u /* a message with more is searched on the CPU */
#define BLOCKS_EACH  4u   /* for each processor */

/* One factor table and what its filter writes. */
struct factors {
    const struct mr_factor_table *host;
    struct mr_factor_table *table;
};

struct device_state {
    struct mr_device_backend backend;
    struct mr_backend_config config;
    struct factors factors[2];
    struct mr_regex_table *table;
    uint32_t n_blocks_max;
};

struct filtered {
    uint32_t *seen;
    struct mr_factor_pair *pairs;
    struct mr_factor_counts *counts;
};

/* What is copied back: the number of matches, and for each message of the shape whether a match
 * found no room, and the states of both filters. */
enum { N_MATCHES = 0, RESULT_HEAD = 4, OVERFLOWS = 0, STATES = 1, RESULTS = 3 }; /* words */

struct device_batch {
    struct mr_batch batch;
    const struct device_state *owner;
    void *stream, *began, *copied, *searched, *ended;
    struct mr_graphs graphs;
    struct mr_shape shape; /* of the batch that is under way */
    /* the device's */
    uint8_t *bytes;
    struct mr_batch_message *messages;
    struct filtered filtered[2];
    uint32_t *order, *starts, *seen, *results;
    /* pinned */
    uint32_t *host_results;
    struct mr_regex_match *matches;
    uint32_t pairs_capacity, matches_capacity;
    bool submitted;
};

static enum mr_status failed(const struct device_state *d, int code, struct mr_error *error,
                             const char *what)
{
    return mr_fail(error, MR_ERR_START, "device %s: %s: %s (%d)", d->backend.device->name, what,
                   d->backend.device->error_text(code), code);
}

/* ---- the device ---- */

void mr_device_close(void *state)
{
    struct device_state *d = state;

    if (!d)
        return;
    for (int i = 0; i < 2; i++)
        d->backend.device->free_memory(d->factors[i].table);
    d->backend.device->free_memory(d->table);
    free(d);
}

/* Copies a table there, by way of pinned memory. */
static int upload(const struct device_state *d, const void *from, size_t bytes, void **to)
{
    const struct mr_device *device = d->backend.device;
    void *pinned = NULL, *stream = NULL, *event = NULL;
    int code = device->alloc(to, bytes);

    if (!code)
        code = device->host_alloc(&pinned, bytes);
    if (!code)
        code = device->stream_new(&stream);
    if (!code)
        code = device->event_new(&event);
    if (!code) {
        memcpy(pinned, from, bytes);
        code = device->copy_in(*to, pinned, bytes, stream);
    }
    if (!code)
        code = device->record(event, stream);
    if (!code)
        code = device->wait(event);
    if (event)
        device->event_free(event);
    if (stream)
        device->stream_free(stream);
    if (pinned)
        device->host_free(pinned);
    return code;
}

static int load(struct device_state *d)
{
    const struct mr_regex_set *set = d->config.set;
    int processors = 1, code = d->backend.device->use(d->config.device);

    if (!code)
        code = d->backend.device->processors(d->config.device, &processors);
    d->n_blocks_max = BLOCKS_EACH * (uint32_t)processors;
    d->factors[0].host = set->factors;
    d->factors[1].host = set->factors_3;
    for (int i = 0; i < 2 && !code; i++)
        code =
            upload(d, d->factors[i].host, d->factors[i].host->bytes, (void **)&d->factors[i].table);
    return code ? code : upload(d, set->table, set->table->bytes, (void **)&d->table);
}

enum mr_status mr_device_probe(const struct mr_device *device, struct mr_error *error)
{
    int n = 0, code = device->count(&n);

    if (code)
        return mr_fail(error, MR_ERR_START, "device %s: it cannot be used: %s (%d)", device->name,
                       device->error_text(code), code);
    return n > 0 ? MR_OK
                 : mr_fail(error, MR_ERR_START, "device %s: there is none here", device->name);
}

enum mr_status mr_device_open(const struct mr_device_backend *backend,
                              const struct mr_backend_config *config, void **state,
                              struct mr_error *error)
{
    struct device_state *d = calloc(1, sizeof *d);
    int n = 0;

    *state = NULL;
    if (!d)
        return mr_fail(error, MR_ERR_MEMORY, "no memory for a device's back end");
    d->backend = *backend;
    d->config = *config;
    int code = backend->device->count(&n);
    enum mr_status status = MR_OK;
    if (code)
        status = failed(d, code, error, "it cannot be used");
    else if (config->device >= n)
        status = mr_fail(error, MR_ERR_START, "device %s: number %d is wanted and there are %d",
                         backend->device->name, config->device, n);
    else if ((code = load(d)) != 0)
        status = failed(d, code, error, "patterns cannot be copied there");
    if (status) {
        mr_device_close(d);
        return status;
    }
    *state = d;
    return MR_OK;
}

/* ---- a batch's memory ---- */

void mr_device_batch_free(void *state, struct mr_batch *batch)
{
    const struct device_state *d = state;
    const struct mr_device *device = d->backend.device;
    struct device_batch *b = (struct device_batch *)batch;

    if (!b)
        return;
    if (b->submitted) /* the device may still be at it; if it has failed this does not wait */
        device->wait(b->ended);
    mr_graphs_free(&b->graphs);
    void *theirs[] = {b->bytes, b->messages, b->order, b->starts, b->seen, b->results};
    void *pinned[] = {batch->bytes, batch->messages, b->matches, b->host_results};
    void *events[] = {b->began, b->copied, b->searched, b->ended};
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
        device->free_memory(theirs[i]);
    for (int i = 0; i < 2; i++) {
        device->free_memory(b->filtered[i].seen);
        device->free_memory(b->filtered[i].pairs);
        device->free_memory(b->filtered[i].counts);
    }
    for (size_t i = 0; i < sizeof pinned / sizeof *pinned; i++)
        if (pinned[i])
            device->host_free(pinned[i]);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i])
            device->event_free(events[i]);
    if (b->stream)
        device->stream_free(b->stream);
    free(batch->redo);
    free(b);
}

/* The first error of many calls. */
struct taking {
    const struct mr_device *device;
    int code;
};

static void *take(struct taking *t, bool pinned, uint64_t n, size_t size)
{
    void *at = NULL;

    if (!t->code)
        t->code = pinned ? t->device->host_alloc(&at, (size_t)n * size)
                         : t->device->alloc(&at, (size_t)n * size);
    return t->code ? NULL : at;
}

static void take_all(struct device_state *d, struct device_batch *b, struct taking *t)
{
    const struct mr_backend_config *config = &d->config;
    uint64_t n = config->messages_max, patterns = config->set->n;

    b->batch.bytes = take(t, true, config->bytes_max, 1);
    b->batch.messages = take(t, true, n, sizeof *b->batch.messages);
    b->matches = take(t, true, b->matches_capacity, sizeof *b->matches);
    b->host_results = take(t, true, RESULT_HEAD + RESULTS * n, 4);
    b->results = take(t, false, RESULT_HEAD + RESULTS * n, 4);
    b->bytes = take(t, false, config->bytes_max, 1);
    b->messages = take(t, false, n, sizeof *b->messages);
    b->seen = take(t, false, n * ((patterns + 31) / 32), 4);
    b->order = take(t, false, b->pairs_capacity, 4);
    b->starts = take(t, false, patterns + 1, 4);
    for (int i = 0; i < 2; i++) {
        struct filtered *f = &b->filtered[i];
        f->seen = take(t, false, n * mr_factor_seen_words(d->factors[i].host->n_slots), 4);
        f->pairs = take(t, false, b->pairs_capacity, sizeof *f->pairs);
        f->counts = take(t, false, 1, sizeof *f->counts);
    }
    void **events[] = {&b->began, &b->copied, &b->searched, &b->ended};
    if (!t->code)
        t->code = t->device->stream_new(&b->stream);
    for (size_t i = 0; i < sizeof events / sizeof *events && !t->code; i++)
        t->code = t->device->event_new(events[i]);
}

enum mr_status mr_device_batch_new(void *state, struct mr_batch **batch, struct mr_error *error)
{
    struct device_state *d = state;
    struct device_batch *b = calloc(1, sizeof *b);
    struct taking t = {d->backend.device, 0};

    *batch = NULL;
    if (!b || !(b->batch.redo = calloc(d->config.messages_max, 1))) {
        free(b);
        return mr_fail(error, MR_ERR_MEMORY, "no memory for a batch");
    }
    b->owner = d;
    b->graphs = (struct mr_graphs){.device = d->backend.device, .off = d->backend.no_graphs};
    b->batch.bytes_max = d->config.bytes_max;
    b->batch.messages_max = d->config.messages_max;
    b->pairs_capacity = d->config.messages_max * PAIRS_EACH + PAIRS_MORE;
    b->matches_capacity = d->config.messages_max * d->config.matches_each + MATCHES_MORE;
    take_all(d, b, &t);
    if (t.code) {
        mr_device_batch_free(d, &b->batch);
        return failed(d, t.code, error, "memory for a batch");
    }
    *batch = &b->batch;
    return MR_OK;
}

/* ---- searching ---- */

/* One of RESULTS of each message of the shape. */
static uint32_t *result(uint32_t *results, struct mr_shape shape, int which)
{
    return results + RESULT_HEAD + (size_t)which * shape.n_messages;
}

static int filter(const struct device_state *d, const struct device_batch *b, struct mr_shape shape,
                  int which)
{
    const struct mr_factor_table *host = d->factors[which].host;
    const struct filtered *f = &b->filtered[which];
    struct mr_factor_filter_batch batch = {
        .table = d->factors[which].table,
        .bytes = b->bytes,
        .n_bytes = shape.n_bytes,
        .n_messages = shape.n_messages,
        .messages = b->messages,
        .seen = f->seen,
        .states = result(b->results, shape, STATES + which),
        .pairs = f->pairs,
        .capacity = b->pairs_capacity,
        .pairs_per_message_max = PAIRS_OF_ONE,
        .counts = f->counts,
        .n_slots = host->n_slots,
        .bitmap_log2 = host->bitmap_log2,
        .gram_mask = host->gram_mask,
        .n_blocks_max = d->n_blocks_max,
    };
    return d->backend.filter->enqueue(&batch, b->stream);
}

static uint32_t matches_room(const struct device_batch *b, struct mr_shape shape)
{
    uint64_t room = (uint64_t)shape.n_messages * b->owner->config.matches_each + MATCHES_MORE;
    return room < b->matches_capacity ? (uint32_t)room : b->matches_capacity;
}

static int search(const struct device_state *d, const struct device_batch *b, struct mr_shape shape)
{
    const struct mr_regex_kernels *kernels = d->backend.kernels;
    struct mr_regex_batch batch = {
        .table = d->table,
        .bytes = b->bytes,
        .messages = b->messages,
        .n_messages = shape.n_messages,
        .n_blocks_max = d->n_blocks_max,
        .output = {b->matches, matches_room(b, shape), b->results + N_MATCHES,
                   result(b->results, shape, OVERFLOWS), b->seen, d->config.set->n},
    };
    int code = kernels->begin(&batch, b->stream);

    for (int i = 0; i < 2 && !code; i++) {
        const struct filtered *f = &b->filtered[i];
        struct mr_regex_pairs pairs = {f->pairs,          f->counts,
                                       b->pairs_capacity, result(b->results, shape, STATES + i),
                                       b->order,          b->starts};
        code = filter(d, b, shape, i);
        if (!code)
            code = kernels->verify(&batch, &pairs, b->stream);
    }
    return code ? code : kernels->always(&batch, d->config.set->table->n_always, b->stream);
}

/* What of a batch depends on its shape only. */
static int enqueue(void *context, struct mr_shape shape, bool captured)
{
    const struct device_batch *b = context;
    const struct device_state *d = b->owner;
    const struct mr_device *device = d->backend.device;
    int (*record)(void *event, void *stream) = captured ? device->record_captured : device->record;
    int code = device->copy_in(b->messages, b->batch.messages,
                               shape.n_messages * sizeof *b->batch.messages, b->stream);

    if (!code)
        code = record(b->copied, b->stream);
    if (!code)
        code = search(d, b, shape);
    if (!code)
        code = record(b->searched, b->stream);
    return code ? code
                : device->copy_out(b->host_results, b->results,
                                   (RESULT_HEAD + RESULTS * (size_t)shape.n_messages) * 4,
                                   b->stream);
}

enum mr_status mr_device_submit(void *state, struct mr_batch *batch, struct mr_error *error)
{
    struct device_state *d = state;
    struct device_batch *b = (struct device_batch *)batch;
    const struct mr_device *device = d->backend.device;
    struct mr_shape max = {batch->bytes_max, batch->messages_max};
    int code = device->use(d->config.device);

    b->shape = mr_shape_of((struct mr_shape){batch->n_bytes, batch->n_messages}, max);
    for (uint32_t m = batch->n_messages; m < b->shape.n_messages; m++)
        batch->messages[m] = (struct mr_batch_message){batch->n_bytes, 0};
    if (!code)
        code = device->record(b->began, b->stream);
    if (!code)
        code = device->copy_in(b->bytes, batch->bytes, batch->n_bytes, b->stream);
    if (!code)
        code = mr_graphs_launch(&b->graphs, b->shape, b->stream, enqueue, b);
    if (!code)
        code = device->record(b->ended, b->stream);
    b->submitted = true;
    return code ? failed(d, code, error, "a batch cannot be started") : MR_OK;
}

/* Those of messages that were only added to fill the shape go. */
static uint32_t keep_real(struct mr_regex_match *matches, uint32_t n, uint32_t n_messages)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < n; i++)
        if (matches[i].message < n_messages)
            matches[kept++] = matches[i];
    return kept;
}

enum mr_status mr_device_poll(void *state, struct mr_batch *batch, struct mr_error *error)
{
    struct device_state *d = state;
    struct device_batch *b = (struct device_batch *)batch;
    const struct mr_device *device = d->backend.device;
    int code = device->query(b->ended);

    if (code == MR_DEVICE_BUSY)
        return MR_AGAIN;
    if (!code)
        code = device->elapsed_ns(&batch->device_ns, b->began, b->ended);
    if (!code && device->elapsed_ns(&batch->kernels_ns, b->copied, b->searched))
        batch->kernels_ns = 0; /* only a figure */
    if (code)
        return failed(d, code, error, "a batch failed");
    b->submitted = false;
    uint32_t room = matches_room(b, b->shape), n = b->host_results[N_MATCHES];
    const uint32_t *overflows = result(b->host_results, b->shape, OVERFLOWS);
    const uint32_t *states[2] = {result(b->host_results, b->shape, STATES),
                                 result(b->host_results, b->shape, STATES + 1)};
    batch->matches = b->matches;
    batch->n_matches = n < room ? n : room;
    if (b->shape.n_messages > batch->n_messages)
        batch->n_matches = keep_real(b->matches, batch->n_matches, batch->n_messages);
    for (uint32_t m = 0; m < batch->n_messages; m++)
        batch->redo[m] = overflows[m] || ((states[0][m] | states[1][m]) & MR_MESSAGE_OVERFLOW);
    return MR_OK;
}
