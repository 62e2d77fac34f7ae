/* What each kernel stage takes for a batch, in turn over many batches of the messages: the back end
 * as it is, with marks on the stream around what it queues. Its answers are compared with those of
 * the same tables searched on the host. */
#include "gpu_bench.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* In the order in which a batch goes through them. */
enum { FILTER, VERIFY, FILTER_3, VERIFY_3, ALWAYS, STAGES };

static const char *const names[STAGES] = {"filter", "verify", "filter_3", "verify_3", "always"};

/* The kernels with a mark before and behind; one batch at a time. */
static struct {
    struct mr_device_backend inner;
    void *from[STAGES], *to[STAGES];
    int filters, verifies;
} marked;

static int load_filter(int device, uint32_t *bitmap_log2_max)
{
    return marked.inner.filter->load(device, bitmap_log2_max);
}

static int load_kernels(void)
{
    return marked.inner.kernels->load();
}

static int marked_filter(const struct mr_factor_filter_batch *batch, void *stream)
{
    int stage = marked.filters++ ? FILTER_3 : FILTER;
    int code = marked.inner.device->record(marked.from[stage], stream);

    if (!code)
        code = marked.inner.filter->enqueue(batch, stream);
    return code ? code : marked.inner.device->record(marked.to[stage], stream);
}

static int marked_begin(const struct mr_regex_batch *batch, void *stream)
{
    marked.filters = marked.verifies = 0;
    return marked.inner.kernels->begin(batch, stream);
}

static int marked_verify(const struct mr_regex_batch *batch, const struct mr_regex_pairs *pairs,
                         void *stream)
{
    int stage = marked.verifies++ ? VERIFY_3 : VERIFY;
    int code = marked.inner.device->record(marked.from[stage], stream);

    if (!code)
        code = marked.inner.kernels->verify(batch, pairs, stream);
    return code ? code : marked.inner.device->record(marked.to[stage], stream);
}

static int marked_always(const struct mr_regex_batch *batch, uint32_t n_always, void *stream)
{
    int code = marked.inner.device->record(marked.from[ALWAYS], stream);

    if (!code)
        code = marked.inner.kernels->always(batch, n_always, stream);
    return code ? code : marked.inner.device->record(marked.to[ALWAYS], stream);
}

struct sums {
    double ns[STAGES], device_ns, kernels_ns;
    uint64_t bytes, batches, matches, redo;
};

static enum mr_status one_batch(void *state, struct mr_offload_batch *batch, struct sums *sums,
                                struct mr_error *error)
{
    enum mr_status status = mr_device_submit(state, batch, error);

    while (!status && (status = mr_device_poll(state, batch, error)) == MR_AGAIN)
        status = MR_OK;
    if (status)
        return status;
    for (int stage = 0; stage < STAGES; stage++) {
        uint64_t ns = 0;
        if (!marked.inner.device->elapsed_ns(&ns, marked.from[stage], marked.to[stage]))
            sums->ns[stage] += (double)ns;
    }
    sums->device_ns += (double)batch->device_ns;
    sums->kernels_ns += (double)batch->kernels_ns;
    sums->bytes += batch->n_bytes;
    sums->matches += batch->n_matches;
    for (uint32_t i = 0; i < batch->n_messages; i++)
        sums->redo += batch->redo[i];
    sums->batches++;
    return MR_OK;
}

/* ---- the same on the host ---- */

/* Matches as bits, those of messages that are to be redone left out. */
static void bits_of(const struct mr_offload_batch *batch, uint32_t n_words, const uint8_t *redo,
                    uint32_t *bits)
{
    memset(bits, 0, (size_t)batch->n_messages * n_words * 8);
    for (uint32_t i = 0; i < batch->n_matches; i++) {
        const struct mr_regex_match *match = &batch->matches[i];
        uint32_t pattern = match->pattern & ~MR_REGEX_UNDECIDED;
        uint32_t *row = bits + (size_t)match->message * 2 * n_words;
        if (redo[match->message])
            continue;
        row += match->pattern & MR_REGEX_UNDECIDED ? n_words : 0;
        row[pattern >> 5] |= 1u << (pattern & 31);
    }
}

/* Do the host and the device say the same about the batch? */
static int compare(const struct kit *kit, const struct mr_backend_config *config,
                   const struct mr_offload_batch *batch)
{
    struct mr_error error = {0};
    struct mr_offload_batch *host = NULL;
    void *state = NULL;
    uint32_t n_words = (kit->set.n + 31) / 32;
    size_t bytes = (size_t)batch->n_messages * n_words * 8;
    uint32_t *bits[2] = {malloc(bytes), malloc(bytes)};
    uint8_t *redo = malloc(batch->n_messages);
    int code = 2;

    if (bits[0] && bits[1] && redo && !mr_backend_cpu.open(config, &state, &error) &&
        !mr_backend_cpu.batch_new(state, &host, &error)) {
        for (uint32_t i = 0; i < batch->n_messages; i++)
            mr_batch_add(host, batch->bytes + batch->messages[i].offset, batch->messages[i].len);
        enum mr_status status = mr_backend_cpu.submit(state, host, &error);
        while (!status && (status = mr_backend_cpu.poll(state, host, &error)) == MR_AGAIN)
            status = MR_OK;
        for (uint32_t i = 0; i < batch->n_messages && !status; i++)
            redo[i] = batch->redo[i] | host->redo[i];
        if (!status) {
            bits_of(batch, n_words, redo, bits[0]);
            bits_of(host, n_words, redo, bits[1]);
            code = memcmp(bits[0], bits[1], bytes) ? 2 : 0;
        }
        fprintf(stderr, "%s",
                code ? "gpu_bench: the device finds something else than the host\n" : "");
    }
    if (host)
        mr_backend_cpu.batch_free(state, host);
    if (state)
        mr_backend_cpu.close(state);
    free(bits[0]);
    free(bits[1]);
    free(redo);
    return code;
}

/* ---- the part ---- */

static void print(const struct kit *kit, const struct sums *sums, const char *name)
{
    double bytes = (double)sums->bytes;

    fprintf(kit->out, "\"%s\": {\"batches\": %lu, \"bytes\": %lu, \"matches\": %lu, \"redo\": %lu",
            name, (unsigned long)sums->batches, (unsigned long)sums->bytes,
            (unsigned long)sums->matches, (unsigned long)sums->redo);
    for (int stage = 0; stage < STAGES; stage++)
        fprintf(kit->out, ", \"%s\": {\"us\": %.2f, \"gb_per_s\": %.3f}", names[stage],
                sums->ns[stage] * 1e-3 / (double)sums->batches,
                sums->ns[stage] > 0 ? bytes / sums->ns[stage] : 0);
    fprintf(kit->out,
            ", \"kernels_gb_per_s\": %.3f, \"with_copies_gb_per_s\": %.3f, \"copy_share\": %.4f}",
            sums->kernels_ns > 0 ? bytes / sums->kernels_ns : 0,
            sums->device_ns > 0 ? bytes / sums->device_ns : 0,
            sums->device_ns > 0 ? 1 - sums->kernels_ns / sums->device_ns : 0);
}

/* Bytes that no gram fits: what the filter takes for looking alone. */
static void fill_with_nothing(struct mr_offload_batch *batch)
{
    batch->n_bytes = batch->n_messages = 0;
    for (uint8_t *at; (at = mr_batch_reserve(batch, batch->bytes_max > 65536 ? 4096 : 256));)
        memset(at, 0xfe, batch->messages[batch->n_messages - 1].len);
}

static int measure(struct kit *kit, void *state, struct mr_offload_batch *batch,
                   const struct mr_backend_config *config)
{
    struct sums sums = {.bytes = 0}, nothing = {.bytes = 0};
    struct mr_error error = {0};
    uint32_t next = 0;

    kit_fill(kit, batch, &next);
    enum mr_status status = one_batch(state, batch, &(struct sums){.bytes = 0}, &error);
    int code = status ? 0 : compare(kit, config, batch);
    uint64_t until = mr_clock_ns() + (uint64_t)(kit->seconds * 1e9);
    do {
        kit_fill(kit, batch, &next);
        if (!status)
            status = one_batch(state, batch, &sums, &error);
    } while (!status && mr_clock_ns() < until);
    fill_with_nothing(batch);
    for (int i = 0; i < 5 && !status; i++)
        status = one_batch(state, batch, &nothing, &error);
    if (status) {
        fprintf(stderr, "gpu_bench: %s\n", error.text);
        return 2;
    }
    print(kit, &sums, "messages");
    fprintf(kit->out, ",\n  ");
    print(kit, &nothing, "nothing_hits");
    return code;
}

int part_stages(struct kit *kit)
{
    const struct mr_factor_filter filter = {"marked", load_filter, marked_filter};
    const struct mr_regex_kernels kernels = {"marked", load_kernels, marked_begin, marked_verify,
                                             marked_always};
    struct mr_device_backend parts = {.device = kit->parts.device,
                                      .filter = &filter,
                                      .kernels = &kernels,
                                      .bayes = kit->parts.bayes,
                                      .no_graphs = true};
    struct mr_backend_config config = {.work = {.set = &kit->set},
                                       .bytes_max = kit->batch_bytes,
                                       .messages_max = 8192,
                                       .matches_each = 32};
    struct mr_error error = {0};
    struct mr_offload_batch *batch = NULL;
    void *state = NULL;
    int code = 0;

    marked.inner = kit->parts;
    for (int stage = 0; stage < STAGES && !code; stage++) {
        code = kit->parts.device->event_new(&marked.from[stage]);
        if (!code)
            code = kit->parts.device->event_new(&marked.to[stage]);
    }
    code = kit_fail(kit, "events", code);
    if (!code && (mr_device_open(&parts, &config, &state, &error) ||
                  mr_device_batch_new(state, &batch, &error))) {
        fprintf(stderr, "gpu_bench: %s\n", error.text);
        code = 2;
    }
    if (!code)
        code = measure(kit, state, batch, &config);
    if (batch)
        mr_device_batch_free(state, batch);
    if (state)
        mr_device_close(state);
    for (int stage = 0; stage < STAGES; stage++) {
        if (marked.from[stage])
            kit->parts.device->event_free(marked.from[stage]);
        if (marked.to[stage])
            kit->parts.device->event_free(marked.to[stage]);
    }
    return code;
}
