/* Messages of several threads through mr_offload, as the engine gives them: what the device does
 * with assembling, how long a message is away at half of that, and what assembling alone comes to,
 * with a back end that has done every batch at once. */
#include "gpu_bench.h"

#include "base/clock.h"
#include "offload/offload.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE_NS 2000000u
#define THREADS_MAX 256
#define BURST       16u /* rows of a batch that a worker has at once */

struct crowd {
    const struct kit *kit;
    const struct mr_backend *backend;
    uint32_t n_threads, n_slots; /* 0: as many as the engine has */
    uint32_t burst;              /* messages that a thread adds at once */
    struct mr_offload *offload;
    _Atomic bool stop;
    uint64_t sent, refused, taken, bytes, bytes_back, matches, redone;
    double *us; /* how long messages were away; NULL: nobody asks */
    size_t n_us, us_max;
    double bytes_per_ns; /* of each thread; 0: as fast as it goes */
    double gbit, gbit_back, cores;
    struct mr_offload_counters n;
};

struct caller {
    pthread_t thread;
    struct crowd *crowd;
    uint32_t first; /* message */
    uint64_t sent, refused;
};

/* Adds messages; the tag is the time. */
static void *call(void *memory)
{
    struct caller *own = memory;
    const struct crowd *c = own->crowd;
    const struct messages *m = &c->kit->messages;
    uint64_t began = mr_clock_ns();
    double bytes = 0;
    struct mr_view views[MR_OFFLOAD_MANY];
    uint64_t tags[MR_OFFLOAD_MANY];
    uint32_t n = 0;

    for (uint32_t i = own->first; !atomic_load_explicit(&c->stop, memory_order_relaxed); i++) {
        uint32_t k = i % m->n;
        if (m->len[k] > c->kit->batch_bytes / 2)
            continue;
        if (c->bytes_per_ns > 0) {
            bytes += m->len[k];
            while ((double)(mr_clock_ns() - began) * c->bytes_per_ns < bytes &&
                   !atomic_load_explicit(&c->stop, memory_order_relaxed))
                sched_yield();
        }
        views[n] = (struct mr_view){m->at[k], m->len[k]};
        tags[n++] = mr_clock_ns();
        if (n < c->burst)
            continue;
        uint32_t taken =
            (uint32_t)__builtin_popcount(mr_offload_add_many(c->offload, views, tags, n));
        own->sent += taken;
        own->refused += n - taken;
        if (taken < n)
            sched_yield();
        n = 0;
    }
    return NULL;
}

static void take_one(struct crowd *c)
{
    struct mr_offload_done done;
    uint64_t now = mr_clock_ns();

    if (!mr_offload_take(c->offload, &done))
        return;
    for (uint32_t i = 0; i < done.batch->n_messages; i++) {
        if (c->us && c->n_us < c->us_max)
            c->us[c->n_us++] = (double)(now - done.tags[i]) * 1e-3;
        if (done.batch->redo[i]) /* by nobody here: it is no work that was done */
            c->redone++;
        else
            c->bytes += done.batch->messages[i].len;
        c->bytes_back += done.batch->messages[i].len;
    }
    c->taken += done.batch->n_messages;
    c->matches += done.batch->n_matches;
    mr_offload_release(c->offload, &done);
}

/* Until all that was sent is back. False: something was lost. */
static bool drain(struct crowd *c)
{
    uint64_t until = mr_clock_ns() + 5000000000u;

    mr_offload_flush(c->offload);
    while (c->taken < c->sent && mr_clock_ns() < until) {
        mr_offload_wait(c->offload, 1000000);
        take_one(c);
        mr_offload_flush(c->offload);
    }
    return c->taken == c->sent;
}

static void print_crowd(const struct crowd *c)
{
    fprintf(c->kit->out,
            "\"threads\": %u, \"slots\": %u, \"batch_bytes\": %u, \"at_once\": %u, \"gbit_per_s\": "
            "%.3f, \"cores\": %.2f, "
            "\"gbit_per_core\": %.3f, "
            "\"messages\": %lu, \"matches\": %lu, \"redone\": %lu, \"refused\": %lu, "
            "\"batches\": %lu, \"fill\": %.3f, \"late\": %lu",
            c->n_threads, c->n_slots ? c->n_slots : 6, c->kit->batch_bytes, c->burst, c->gbit,
            c->cores, c->cores > 0 ? c->gbit / c->cores : 0, (unsigned long)c->taken,
            (unsigned long)c->matches, (unsigned long)c->redone, (unsigned long)c->refused,
            (unsigned long)c->n.batches,
            c->n.fill_bytes ? (double)c->n.bytes / (double)c->n.fill_bytes : 0,
            (unsigned long)c->n.troubles[MR_TROUBLE_LATE]);
}

/* Prints members of an object. Exit code 2: something was lost, or done by nobody but the host. */
static int run_crowd(struct crowd *c, double seconds)
{
    struct mr_offload_config config = {.work = {.set = c->kit->set.n ? &c->kit->set : NULL},
                                       .backend = c->backend,
                                       .n_slots = c->n_slots,
                                       .bytes_max = c->kit->batch_bytes,
                                       .deadline_ns = DEADLINE_NS};
    static struct caller callers[THREADS_MAX];
    uint32_t started = 0;
    struct mr_error error = {0};

    if (mr_offload_open(&config, &c->offload, &error))
        return kit_refuse(&error);
    uint64_t began = mr_clock_ns(), cpu = mr_clock_cpu_ns();
    for (; started < c->n_threads; started++) {
        callers[started] =
            (struct caller){.crowd = c, .first = c->kit->messages.n / c->n_threads * started};
        if (pthread_create(&callers[started].thread, NULL, call, &callers[started]))
            break;
    }
    while (mr_clock_ns() - began < (uint64_t)(seconds * 1e9)) {
        mr_offload_wait(c->offload, 1000000);
        take_one(c);
    }
    double wall = (double)(mr_clock_ns() - began);
    c->gbit = (double)c->bytes * 8 / wall;
    c->gbit_back = (double)c->bytes_back * 8 / wall;
    c->cores = (double)(mr_clock_cpu_ns() - cpu) / wall;
    atomic_store(&c->stop, true);
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(callers[i].thread, NULL);
        c->sent += callers[i].sent;
        c->refused += callers[i].refused;
    }
    bool all = drain(c);
    mr_offload_count(c->offload, &c->n);
    print_crowd(c);
    mr_offload_close(c->offload);
    uint64_t errors = c->n.troubles[MR_TROUBLE_OPEN] + c->n.troubles[MR_TROUBLE_LAUNCH] +
                      c->n.troubles[MR_TROUBLE_LOST];
    if (errors ||
        !c->n.batches) { /* times would be the host's, which does what a device does not */
        fprintf(stderr, "gpu_bench: the device failed %lu times in %lu batches\n",
                (unsigned long)errors, (unsigned long)c->n.batches);
        return 2;
    }
    if (!all || started < c->n_threads || !c->taken) {
        fprintf(stderr, "gpu_bench: of %lu messages %lu came back\n", (unsigned long)c->sent,
                (unsigned long)c->taken);
        return 2;
    }
    return 0;
}

/* As the engine does it, and then with more slots and larger batches. */
int kit_callers(struct kit *kit)
{
    static const struct {
        uint32_t slots, batches;
    } shapes[] = {{12, 1}, {6, 2}, {12, 2}, {24, 1}};
    const uint32_t bytes = kit->batch_bytes;
    /* the emulated one would be at it for long, and says nothing by it */
    const size_t n = kit->backend == mr_backend_emulated() ? 0 : sizeof shapes / sizeof *shapes;
    struct crowd crowd = {
        .kit = kit, .backend = kit->backend, .n_threads = kit->threads, .burst = BURST};

    fprintf(kit->out, ",\n  \"callers\": {");
    int code = run_crowd(&crowd, 2 * kit->seconds);
    fprintf(kit->out, "},\n  \"callers_otherwise\": [");
    for (size_t i = 0; i < n && !code; i++) {
        struct crowd other = {.kit = kit,
                              .backend = kit->backend,
                              .n_threads = kit->threads,
                              .burst = BURST,
                              .n_slots = shapes[i].slots};
        kit->batch_bytes = shapes[i].batches * bytes;
        fprintf(kit->out, "%s\n   {", i ? "," : "");
        code = run_crowd(&other, kit->seconds);
        fprintf(kit->out, "}");
    }
    kit->batch_bytes = bytes;
    fprintf(kit->out, "]");
    return code;
}

int part_latency(struct kit *kit)
{
    struct crowd full = {
        .kit = kit, .backend = kit->backend, .n_threads = kit->threads, .burst = 1};
    struct crowd half = full;
    int code;

    fprintf(kit->out, "\"full\": {");
    code = run_crowd(&full, kit->seconds);
    fprintf(kit->out, "},\n  \"half\": {");
    half.bytes_per_ns = (full.gbit_back > 0 ? full.gbit_back : 0.001) / 8 / 2 / kit->threads;
    half.us_max = 4000000;
    half.us = malloc(half.us_max * sizeof *half.us);
    if (!half.us)
        code = 2;
    if (!code)
        code = run_crowd(&half, 4 * kit->seconds);
    if (!code)
        fprintf(kit->out,
                "},\n  \"deadline_us\": %u, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, "
                "\"p999_us\": %.1f",
                DEADLINE_NS / 1000, kit_quantile(half.us, half.n_us, 0.5),
                kit_quantile(half.us, half.n_us, 0.9), kit_quantile(half.us, half.n_us, 0.99),
                kit_quantile(half.us, half.n_us, 0.999));
    else
        fprintf(kit->out, "}");
    free(half.us);
    return code;
}

/* ---- assembling alone ---- */

static enum mr_status open_nothing(const struct mr_backend_config *config, void **state,
                                   struct mr_error *error)
{
    struct mr_backend_config *kept = malloc(sizeof *kept);

    (void)error;
    if (!kept)
        return MR_ERR_MEMORY;
    *kept = *config;
    *state = kept;
    return MR_OK;
}

static void free_batch(void *state, struct mr_offload_batch *batch)
{
    (void)state;
    if (batch) {
        free(batch->bytes);
        free(batch->messages);
        free(batch->redo);
    }
    free(batch);
}

static enum mr_status new_batch(void *state, struct mr_offload_batch **batch,
                                struct mr_error *error)
{
    const struct mr_backend_config *config = state;
    struct mr_offload_batch *b = calloc(1, sizeof *b);

    (void)error;
    *batch = b;
    if (!b)
        return MR_ERR_MEMORY;
    *b =
        (struct mr_offload_batch){.bytes = aligned_alloc(4096, (config->bytes_max + 4095) & ~4095u),
                                  .bytes_max = config->bytes_max,
                                  .messages_max = config->messages_max,
                                  .n_views = 1,
                                  .messages = calloc(config->messages_max, sizeof *b->messages),
                                  .redo = calloc(config->messages_max, 1)};
    return b->bytes && b->messages && b->redo ? MR_OK : MR_ERR_MEMORY;
}

static enum mr_status at_once(void *state, struct mr_offload_batch *batch, struct mr_error *error)
{
    (void)state, (void)batch, (void)error;
    return MR_OK;
}

static const struct mr_backend nothing = {.name = "nothing",
                                          .open = open_nothing,
                                          .close = free,
                                          .batch_new = new_batch,
                                          .batch_free = free_batch,
                                          .submit = at_once,
                                          .poll = at_once};

int part_assemble(struct kit *kit)
{
    struct mr_regex_set set = kit->set;
    int code = 0;

    kit->set.n = 0; /* there is nothing to be found */
    fprintf(kit->out, "\"rates\": [");
    for (uint32_t n = 1, most = kit->threads; n <= most && !code;
         n = n < most && 2 * n > most ? most : 2 * n)
        for (uint32_t burst = 1; burst <= BURST && !code; burst += BURST - 1) {
            struct crowd crowd = {.kit = kit, .backend = &nothing, .n_threads = n, .burst = burst};
            fprintf(kit->out, "%s\n   {", n * burst > 1 ? "," : "");
            code = run_crowd(&crowd, kit->seconds);
            fprintf(kit->out, "}");
        }
    fprintf(kit->out, "]");
    kit->set = set;
    return code;
}
