/* Intake: from a source to a token's burst. Reads, decodes, puts fragments together, and drops what
 * cannot be inspected, with a reason. Runs in the runtime's intake turn, so one worker at a time.
 */
#include "engine/internal.h"

#include "base/clock.h"
#include "capture/ahead.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRESS_NS 100000000u

static uint64_t size_of_inputs(const struct mr_engine_config *config)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < config->n_inputs; i++) {
        struct stat status;
        if (stat(config->inputs[i], &status) || !S_ISREG(status.st_mode))
            return 0;
        total += (uint64_t)status.st_size;
    }
    return total;
}

enum mr_status mr_intake_open(struct mr_engine *engine, struct mr_error *error)
{
    struct mr_intake *in = &engine->intake;

    in->engine = engine;
    in->total_bytes = size_of_inputs(&engine->config);
    if (engine->config.workers > 1 && mr_ahead_new(&in->ahead))
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for reading ahead");
    return mr_sift_open(&in->sift, engine, error);
}

void mr_intake_close(struct mr_engine *engine)
{
    struct mr_intake *in = &engine->intake;
    if (in->source)
        in->source->ops->close(in->source);
    in->source = NULL;
    mr_ahead_free(in->ahead);
    in->ahead = NULL;
    mr_sift_close(&in->sift);
}

enum mr_status mr_engine_check_input(const struct mr_engine *engine, uint32_t input,
                                     struct mr_error *error)
{
    const char *path = engine->config.inputs[input];
    struct mr_source *source = NULL;
    struct stat about;

    if (!strcmp(path, "-"))
        return MR_OK;
    if (stat(path, &about) || access(path, R_OK))
        return mr_fail(error, MR_ERR_INPUT, "cannot open %s: %s", path, strerror(errno));
    if (!S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode))
        return MR_OK;
    enum mr_status status = mr_source_open_file(&source, path, 0, error);
    if (!status)
        source->ops->close(source);
    return status;
}

static void note_error(struct mr_engine *engine, const struct mr_error *error)
{
    if (!engine->input_error.status)
        engine->input_error = *error;
}

/* Nothing was inspected of the input that is read. editcap can cut a header off, and only that. */
static void foreign_link_type(struct mr_intake *in, const char *input)
{
    const char *name = mr_link_type_name(in->sift.link_type);
    bool named = strcmp(name, "unknown") != 0;

    mr_fail(&in->engine->input_error, MR_ERR_INPUT,
            "%s: link type %u%s%s%s is not supported, so none of its %llu packets was inspected; "
            "capture on an Ethernet, raw IP or Linux cooked device, or, where IP begins N bytes "
            "into each packet, use editcap -F pcap -C N -T rawip FILE NEW",
            input, in->sift.link_type, named ? " (" : "", named ? name : "", named ? ")" : "",
            (unsigned long long)in->sift.packets);
}

/* The current input is read to its end (or to where it is damaged). */
static void close_input(struct mr_intake *in)
{
    struct mr_engine *engine = in->engine;
    struct mr_source_progress progress = {0};

    in->source->ops->progress(in->source, &progress);
    in->finished_bytes += progress.bytes_done;
    if (in->sift.packets && !in->sift.decoded && !engine->input_error.status)
        foreign_link_type(in, progress.name);
    in->source->ops->close(in->source);
    in->source = NULL;
}

static enum mr_status open_next(struct mr_intake *in)
{
    struct mr_engine *engine = in->engine;
    while (!in->source) {
        struct mr_error error = {0};
        if (in->next_input == engine->config.n_inputs)
            return MR_EOF;
        uint32_t i = in->next_input++;
        mr_sift_input(&in->sift, engine);
        if (mr_source_open_ahead(&in->source, engine->config.inputs[i], (uint16_t)i, in->ahead,
                                 &error)) {
            in->source = NULL;
            note_error(engine, &error);
        }
    }
    return MR_OK;
}

static void show_progress(struct mr_intake *in)
{
    const struct mr_engine_config *config = &in->engine->config;
    if (!config->progress)
        return;
    uint64_t now = mr_clock_ns();
    if (now < in->next_progress_ns)
        return;
    in->next_progress_ns = now + PROGRESS_NS;
    struct mr_source_progress progress = {0};
    in->source->ops->progress(in->source, &progress);
    config->progress(config->progress_user, in->finished_bytes + progress.bytes_done,
                     in->total_bytes, in->packets);
}

/* Numbers and sifts what was read; keeps the good ones together at the front. */
static void sift(struct mr_intake *in, struct mr_metrics *metrics, struct mr_token *token)
{
    struct mr_burst *burst = &token->burst;
    uint32_t n = 0;
    uint64_t bytes = 0, kept_bytes = 0, jumps = 0;

    for (uint32_t i = 0; i < burst->n; i++) {
        struct mr_packet *packet = &burst->packets[i];
        struct mr_buffer *kept;
        bool stray = !mr_packet_clock_follows(&in->clock, packet->time_ns);
        if (i + 2 < burst->n)
            __builtin_prefetch(burst->packets[i + 2].data);
        packet->number = ++in->packets;
        bytes += packet->wire_len;
        jumps += stray;
        enum mr_drop reason = mr_sift_packet(&in->sift, metrics, packet, &kept);
        while (kept) {
            struct mr_buffer *next = kept->next;
            /* of what is dropped nothing waits for a token, which may not come for long */
            if (reason == MR_DROP_NONE)
                mr_token_keep(token, kept);
            else
                mr_buffers_put(in->engine->buffers, kept);
            kept = next;
        }
        if (reason != MR_DROP_NONE)
            continue;
        kept_bytes += packet->wire_len;
        if (stray)
            packet->flags |= MR_PACKET_STRAY_TIME;
        if (n != i)
            burst->packets[n] = *packet;
        n++;
    }
    mr_metrics_add(metrics, MR_COUNT_PACKETS_RECEIVED, burst->n);
    mr_metrics_add(metrics, MR_COUNT_BYTES_RECEIVED, bytes);
    if (jumps)
        mr_metrics_add(metrics, MR_COUNT_TIME_JUMPS, jumps);
    in->bytes += bytes;
    token->bytes = kept_bytes;
    burst->n = n;
    if (!n)
        mr_burst_release(burst);
}

bool mr_intake_ahead(void *user, uint32_t worker, bool help)
{
    struct mr_engine *engine = user;

    return !engine->intake.ahead || mr_ahead_read(engine->intake.ahead, worker, help);
}

enum mr_status mr_intake_read(void *user, struct mr_metrics *metrics, struct mr_token *token)
{
    struct mr_engine *engine = user;
    struct mr_intake *in = &engine->intake;
    struct mr_error error = {0};

    if (!engine->first_burst_ns)
        engine->first_burst_ns = mr_clock_ns();
    for (;;) {
        uint32_t burst = mr_control_burst(engine, in->packets, engine->config.burst);
        enum mr_status status = burst ? open_next(in) : MR_AGAIN;
        if (status)
            return status;
        status = in->source->ops->read(in->source, &token->burst, burst, &error);
        if (status == MR_AGAIN)
            return status;
        if (status == MR_OK)
            break;
        if (status != MR_EOF)
            note_error(engine, &error);
        close_input(in);
    }
    sift(in, metrics, token);
    show_progress(in);
    return MR_OK;
}
