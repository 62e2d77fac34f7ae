/* Patterns on a device: both filters, then what decides the pairs that they found, then what runs
 * over every message. Matches are written straight to pinned memory, for nobody knows beforehand
 * how many to copy. */
#include "offload/device_parts.h"

#include <stdlib.h>
#include <string.h>

#define PAIRS_EACH   32u /* room for pairs: so many for each message, and some more */
#define PAIRS_MORE   1024u
#define MATCHES_MORE 256u
#define PAIRS_OF_ONE 128u /* a message with more is searched on the CPU */

/* A table whose bitmap is too large for the device's blocks goes there narrowed. */
static int load_factors(const struct mr_device_state *d, struct mr_device_factors *factors)
{
    const struct mr_factor_table *host = factors->host;
    struct mr_factor_table *narrow = NULL;

    if (host->bitmap_log2 > d->bitmap_log2_max && (narrow = malloc(host->bytes)) != NULL) {
        memcpy(narrow, host, host->bytes);
        mr_factor_table_narrow(narrow, d->bitmap_log2_max);
        host = narrow;
    }
    factors->bitmap_log2 = host->bitmap_log2; /* too large without memory: its launch is refused */
    int code = mr_device_upload(d, host, host->bytes, (void **)&factors->table);
    free(narrow);
    return code;
}

int mr_device_regex_load(struct mr_device_state *d)
{
    const struct mr_regex_set *set = d->config.work.set;

    if (!mr_offload_patterns(&d->config.work))
        return 0;
    d->factors[0].host = set->factors;
    d->factors[1].host = set->factors_3;
    int code = d->backend.filter->load(d->config.device, &d->bitmap_log2_max);
    if (!code)
        code = d->backend.kernels->load();
    for (int i = 0; i < 2 && !code; i++)
        code = load_factors(d, &d->factors[i]);
    return code ? code : mr_device_upload(d, set->table, set->table->bytes, (void **)&d->table);
}

void mr_device_regex_unload(struct mr_device_state *d)
{
    for (int i = 0; i < 2; i++)
        d->backend.device->free_memory(d->factors[i].table);
    d->backend.device->free_memory(d->table);
}

void mr_device_regex_take(const struct mr_device_state *d, struct mr_device_batch *b,
                          struct mr_device_taking *t)
{
    const struct mr_backend_config *config = &d->config;
    uint64_t n = config->messages_max, patterns = mr_offload_patterns(&config->work);

    if (!patterns)
        return;
    b->pairs_capacity = config->messages_max * PAIRS_EACH + PAIRS_MORE;
    b->matches_capacity = config->messages_max * config->matches_each + MATCHES_MORE;
    b->matches = mr_device_take(t, true, b->matches_capacity, sizeof *b->matches);
    b->seen = mr_device_take(t, false, n * ((patterns + 31) / 32), 4);
    b->order = mr_device_take(t, false, b->pairs_capacity, 4);
    b->starts = mr_device_take(t, false, patterns + 1, 4);
    for (int i = 0; i < 2; i++) {
        struct mr_device_filtered *f = &b->filtered[i];
        f->seen =
            mr_device_take(t, false, n * mr_factor_seen_words(d->factors[i].host->n_slots), 4);
        f->pairs = mr_device_take(t, false, b->pairs_capacity, sizeof *f->pairs);
        f->counts = mr_device_take(t, false, 1, sizeof *f->counts);
    }
}

void mr_device_regex_give(const struct mr_device_state *d, struct mr_device_batch *b)
{
    const struct mr_device *device = d->backend.device;
    void *theirs[] = {b->seen,
                      b->order,
                      b->starts,
                      b->filtered[0].seen,
                      b->filtered[0].pairs,
                      b->filtered[0].counts,
                      b->filtered[1].seen,
                      b->filtered[1].pairs,
                      b->filtered[1].counts};

    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
        device->free_memory(theirs[i]);
    if (b->matches)
        device->host_free(b->matches);
}

static int filter(const struct mr_device_batch *b, struct mr_shape shape, uint32_t which)
{
    const struct mr_device_state *d = b->owner;
    const struct mr_factor_table *host = d->factors[which].host;
    const struct mr_device_filtered *f = &b->filtered[which];
    struct mr_factor_filter_batch batch = {
        .table = d->factors[which].table,
        .bytes = b->bytes,
        .n_bytes = shape.n_bytes,
        .n_messages = shape.n_messages,
        .messages = mr_device_view(b, d->config.work.set_view),
        .seen = f->seen,
        .states = mr_device_result(d, b->results, shape, MR_RESULT_STATES + which),
        .pairs = f->pairs,
        .capacity = b->pairs_capacity,
        .pairs_per_message_max = PAIRS_OF_ONE,
        .counts = f->counts,
        .n_slots = host->n_slots,
        .bitmap_log2 = d->factors[which].bitmap_log2,
        .gram_mask = host->gram_mask,
        .n_blocks_max = d->n_blocks_max,
    };
    return d->backend.filter->enqueue(&batch, b->stream);
}

static uint32_t matches_room(const struct mr_device_batch *b, struct mr_shape shape)
{
    uint64_t room = (uint64_t)shape.n_messages * b->owner->config.matches_each + MATCHES_MORE;
    return room < b->matches_capacity ? (uint32_t)room : b->matches_capacity;
}

int mr_device_regex_enqueue(const struct mr_device_batch *b, struct mr_shape shape)
{
    const struct mr_device_state *d = b->owner;
    const struct mr_regex_kernels *kernels = d->backend.kernels;
    const struct mr_offload_work *work = &d->config.work;

    if (!mr_offload_patterns(work))
        return 0;
    struct mr_regex_batch batch = {
        .table = d->table,
        .bytes = b->bytes,
        .messages = mr_device_view(b, work->set_view),
        .n_messages = shape.n_messages,
        .n_blocks_max = d->n_blocks_max,
        .output = {b->matches, matches_room(b, shape), b->results + MR_RESULT_MATCHES,
                   mr_device_result(d, b->results, shape, MR_RESULT_OVERFLOWS), b->seen,
                   work->set->n},
    };
    int code = kernels->begin(&batch, b->stream);

    for (uint32_t i = 0; i < 2 && !code; i++) {
        const struct mr_device_filtered *f = &b->filtered[i];
        struct mr_regex_pairs pairs = {
            f->pairs,          f->counts,
            b->pairs_capacity, mr_device_result(d, b->results, shape, MR_RESULT_STATES + i),
            b->order,          b->starts};
        code = filter(b, shape, i);
        if (!code)
            code = kernels->verify(&batch, &pairs, b->stream);
    }
    return code ? code : kernels->always(&batch, work->set->table->n_always, b->stream);
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

void mr_device_regex_collect(struct mr_device_batch *b)
{
    const struct mr_device_state *d = b->owner;
    struct mr_offload_batch *batch = &b->batch;

    batch->matches = b->matches;
    batch->n_matches = 0;
    if (!b->matches) /* the set is not to be looked at: it may be gone (mr_offload_stop()) */
        return;
    uint32_t room = matches_room(b, b->shape), n = b->host_results[MR_RESULT_MATCHES];
    const uint32_t *words[MR_RESULTS];
    for (uint32_t i = 0; i < MR_RESULTS; i++)
        words[i] = mr_device_result(d, b->host_results, b->shape, i);
    batch->n_matches = n < room ? n : room;
    if (b->shape.n_messages > batch->n_messages)
        batch->n_matches = keep_real(b->matches, batch->n_matches, batch->n_messages);
    for (uint32_t m = 0; m < batch->n_messages; m++)
        if (words[MR_RESULT_OVERFLOWS][m] ||
            ((words[MR_RESULT_STATES][m] | words[MR_RESULT_STATES + 1][m]) & MR_MESSAGE_OVERFLOW))
            batch->redo[m] = MR_REDO_SEARCH;
}
