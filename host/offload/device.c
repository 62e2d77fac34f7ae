/* A back end on a device: tables are copied there once, every batch has its own memory and stream.
 * All work of a batch is queued at once, from the copy in to the copy out: the bytes of all views,
 * as many as there are, and then a graph of the rest, for batches rounded up to a shape: where the
 * views are, the kernels of all kinds of work, and one copy of what they say. What rounding adds
 * are messages without bytes; what is said of those is left out in the end. */
#include "offload/device_parts.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS_EACH 4u /* for each processor */

static enum mr_status failed(const struct mr_device_state *d, int code, struct mr_error *error,
                             const char *what)
{
    return mr_fail(error, MR_ERR_START, "device %s: %s: %s (%d)", d->backend.device->name, what,
                   d->backend.device->error_text(code), code);
}

/* ---- the device ---- */

void mr_device_close(void *state)
{
    struct mr_device_state *d = state;

    if (!d)
        return;
    mr_device_regex_unload(d);
    mr_device_bayes_unload(d);
    mr_device_leave(d->users, d->backend.device, d->config.device);
    free(d);
}

void mr_device_abandon(void *state)
{
    const struct mr_device_state *d = state;
    mr_device_forsake(d->users);
}

bool mr_device_is_broken(void *state)
{
    const struct mr_device_state *d = state;
    return atomic_load(&d->users->failed);
}

/* With this batch. Was it the batch alone, or does every call fail from now on? */
static enum mr_status failed_with(const struct mr_device_state *d, const struct mr_device_batch *b,
                                  int code, struct mr_error *error, const char *what)
{
    int now = d->backend.device->query(b->began);

    if (now && now != MR_DEVICE_BUSY)
        atomic_store(&d->users->failed, true);
    return failed(d, code, error, what);
}

int mr_device_upload(const struct mr_device_state *d, const void *from, size_t bytes, void **to)
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

static int load(struct mr_device_state *d)
{
    int processors = 1, code = d->backend.device->use(d->config.device);

    if (!code)
        code = d->backend.device->processors(d->config.device, &processors);
    d->n_blocks_max = BLOCKS_EACH * (uint32_t)processors;
    if (!code)
        code = mr_device_regex_load(d);
    return code ? code : mr_device_bayes_load(d);
}

/* After a call has failed: do all of them from now on? Not where there is too little memory, be it
 * for what is asked here: others who have the device open can go on. */
static bool all_fail(const struct mr_device *device)
{
    void *event = NULL;
    int code = device->event_new(&event);

    if (!code)
        device->event_free(event);
    return code && code != MR_DEVICE_NO_MEMORY;
}

enum mr_status mr_device_open(const struct mr_device_backend *backend,
                              const struct mr_backend_config *config, void **state,
                              struct mr_error *error)
{
    struct mr_device_state *d = calloc(1, sizeof *d);
    bool hangs;
    int n = 0;

    *state = NULL;
    if (!d)
        return mr_fail(error, MR_ERR_MEMORY, "no memory for a device's back end");
    d->users = mr_device_enter(backend->device, &hangs);
    if (!d->users) {
        free(d);
        if (hangs)
            return mr_fail(error, MR_ERR_LIMIT,
                           "device %s: it was given up, since it did not answer",
                           backend->device->name);
        return mr_fail(error, MR_ERR_START,
                       "device %s: it has failed, and others have not given it back yet",
                       backend->device->name);
    }
    d->backend = *backend;
    d->config = *config;
    int code = backend->device->count(&n);
    enum mr_status status = MR_OK;
    if (code)
        status = failed(d, code, error, "it cannot be used");
    else if (config->device >= n)
        status = mr_fail(error, MR_ERR_START, "device %s: number %d is wanted and there are %d",
                         backend->device->name, config->device, n);
    else if ((code = load(d)) != 0) {
        if (all_fail(backend->device))
            atomic_store(&d->users->failed, true);
        status = failed(d, code, error, "kernels and tables cannot be loaded there");
    }
    if (status) {
        mr_device_close(d);
        return status;
    }
    *state = d;
    return MR_OK;
}

/* ---- a batch's memory ---- */

void mr_device_batch_free(void *state, struct mr_offload_batch *batch)
{
    const struct mr_device_state *d = state;
    const struct mr_device *device = d->backend.device;
    struct mr_device_batch *b = (struct mr_device_batch *)batch;

    if (!b)
        return;
    if (b->submitted) /* the device may still be at it; if it has failed this does not wait */
        device->wait(b->ended);
    mr_graphs_free(&b->graphs);
    mr_device_regex_give(d, b);
    void *theirs[] = {b->bytes, b->messages, b->results};
    void *pinned[] = {batch->bytes, batch->messages, b->host_results};
    void *events[] = {b->began, b->copied, b->searched, b->ended};
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
        device->free_memory(theirs[i]);
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

void *mr_device_take(struct mr_device_taking *t, bool pinned, uint64_t n, size_t size)
{
    void *at = NULL;

    if (!t->code)
        t->code = pinned ? t->device->host_alloc(&at, (size_t)n * size)
                         : t->device->alloc(&at, (size_t)n * size);
    return t->code ? NULL : at;
}

static void take_all(struct mr_device_state *d, struct mr_device_batch *b,
                     struct mr_device_taking *t)
{
    const struct mr_backend_config *config = &d->config;
    uint64_t n = config->messages_max, n_views = b->batch.n_views;
    size_t results = mr_device_result_bytes(d, n);

    b->batch.bytes = mr_device_take(t, true, config->bytes_max, 1);
    b->batch.messages = mr_device_take(t, true, n * n_views, sizeof *b->batch.messages);
    b->host_results = mr_device_take(t, true, results, 1);
    b->results = mr_device_take(t, false, results, 1);
    b->bytes = mr_device_take(t, false, config->bytes_max, 1);
    b->messages = mr_device_take(t, false, n * n_views, sizeof *b->messages);
    mr_device_regex_take(d, b, t);
    void **events[] = {&b->began, &b->copied, &b->searched, &b->ended};
    if (!t->code)
        t->code = t->device->stream_new(&b->stream);
    for (size_t i = 0; i < sizeof events / sizeof *events && !t->code; i++)
        t->code = t->device->event_new(events[i]);
}

enum mr_status mr_device_batch_new(void *state, struct mr_offload_batch **batch,
                                   struct mr_error *error)
{
    struct mr_device_state *d = state;
    struct mr_device_batch *b = calloc(1, sizeof *b);
    struct mr_device_taking t = {d->backend.device, 0};

    *batch = NULL;
    if (!b || !(b->batch.redo = calloc(d->config.messages_max, 1))) {
        free(b);
        return mr_fail(error, MR_ERR_MEMORY, "no memory for a batch");
    }
    b->owner = d;
    b->graphs = (struct mr_graphs){.device = d->backend.device, .off = d->backend.no_graphs};
    b->batch.bytes_max = d->config.bytes_max;
    b->batch.messages_max = d->config.messages_max;
    b->batch.n_views = mr_offload_views(&d->config.work);
    take_all(d, b, &t);
    if (t.code) {
        if (all_fail(d->backend.device))
            atomic_store(&d->users->failed, true);
        mr_device_batch_free(d, &b->batch);
        return failed(d, t.code, error, "memory for a batch");
    }
    *batch = &b->batch;
    return MR_OK;
}

/* ---- working ---- */

/* What of a batch depends on its shape only. */
static int enqueue(void *context, struct mr_shape shape, bool captured)
{
    const struct mr_device_batch *b = context;
    const struct mr_device_state *d = b->owner;
    const struct mr_device *device = d->backend.device;
    int (*record)(void *event, void *stream) = captured ? device->record_captured : device->record;
    int code = 0;

    for (uint32_t v = 0; v < b->batch.n_views && !code; v++) {
        size_t first = (size_t)v * b->batch.messages_max;
        code = device->copy_in(b->messages + first, b->batch.messages + first,
                               shape.n_messages * sizeof *b->batch.messages, b->stream);
    }
    if (!code)
        code = record(b->copied, b->stream);
    if (!code)
        code = mr_device_regex_enqueue(b, shape);
    if (!code)
        code = mr_device_bayes_enqueue(b, shape);
    if (!code)
        code = record(b->searched, b->stream);
    return code ? code
                : device->copy_out(b->host_results, b->results,
                                   mr_device_result_bytes(d, shape.n_messages), b->stream);
}

enum mr_status mr_device_submit(void *state, struct mr_offload_batch *batch, struct mr_error *error)
{
    struct mr_device_state *d = state;
    struct mr_device_batch *b = (struct mr_device_batch *)batch;
    const struct mr_device *device = d->backend.device;
    struct mr_shape max = {batch->bytes_max, batch->messages_max};
    int code = device->use(d->config.device);

    b->shape = mr_shape_of((struct mr_shape){batch->n_bytes, batch->n_messages}, max);
    for (uint32_t v = 0; v < batch->n_views; v++)
        for (uint32_t m = batch->n_messages; m < b->shape.n_messages; m++)
            *mr_batch_view(batch, v, m) = (struct mr_batch_message){batch->n_bytes, 0};
    if (!code)
        code = device->record(b->began, b->stream);
    if (!code)
        code = device->copy_in(b->bytes, batch->bytes, batch->n_bytes, b->stream);
    if (!code)
        code = mr_graphs_launch(&b->graphs, b->shape, b->stream, enqueue, b);
    if (!code)
        code = device->record(b->ended, b->stream);
    b->submitted = true;
    return code ? failed_with(d, b, code, error, "a batch cannot be started") : MR_OK;
}

enum mr_status mr_device_poll(void *state, struct mr_offload_batch *batch, struct mr_error *error)
{
    struct mr_device_state *d = state;
    struct mr_device_batch *b = (struct mr_device_batch *)batch;
    const struct mr_device *device = d->backend.device;
    int code = device->query(b->ended);

    if (code == MR_DEVICE_BUSY)
        return MR_AGAIN;
    if (!code)
        code = device->elapsed_ns(&batch->device_ns, b->began, b->ended);
    if (!code && device->elapsed_ns(&batch->kernels_ns, b->copied, b->searched))
        batch->kernels_ns = 0; /* only a figure */
    if (code)
        return failed_with(d, b, code, error, "a batch failed");
    mr_call_end(); /* from here on the batch's memory is written to, which is not ours if we are
                      late */
    b->submitted = false;
    memset(batch->redo, 0, batch->n_messages);
    mr_device_regex_collect(b);
    mr_device_bayes_collect(b);
    return MR_OK;
}
