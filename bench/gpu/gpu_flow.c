/* Batches one after the other through the back end, several at once: what the device does with all
 * copies, sized and queued in several ways. And messages of several threads through mr_offload, as
 * the engine gives them: what it does with assembling, and how long a message is away at half of
 * that. */
#include "gpu_bench.h"

#include "base/clock.h"
#include "offload/offload.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS       6
#define DEADLINE_NS 2000000u

/* ---- batches that are filled already ---- */

static int fail(const struct mr_error *error)
{
    fprintf(stderr, "gpu_bench: %s\n", error->text);
    return 2;
}

struct flow {
    struct mr_offload_batch *batches[SLOTS];
    void *state;
    uint64_t bytes, n, device_ns, kernels_ns, wall_ns;
};

/* Each is given to the device again as soon as it is back. */
static enum mr_status circulate(struct flow *f, double seconds, struct mr_error *error)
{
    uint64_t began = mr_clock_ns(), until = began + (uint64_t)(seconds * 1e9);
    bool under_way[SLOTS] = {false}, any = true, stop = false;
    enum mr_status status = MR_OK;

    *f = (struct flow){.state = f->state,
                       .batches = {f->batches[0], f->batches[1], f->batches[2], f->batches[3],
                                   f->batches[4], f->batches[5]}};
    while (!status && any) {
        any = false;
        for (int i = 0; i < SLOTS && !status; i++) {
            if (!under_way[i]) {
                if (!stop)
                    status = mr_device_submit(f->state, f->batches[i], error);
                under_way[i] = !stop;
            } else if ((status = mr_device_poll(f->state, f->batches[i], error)) == MR_AGAIN) {
                status = MR_OK;
            } else {
                under_way[i] = false;
                f->bytes += f->batches[i]->n_bytes;
                f->device_ns += f->batches[i]->device_ns;
                f->kernels_ns += f->batches[i]->kernels_ns;
                f->n++;
            }
            any |= under_way[i];
        }
        stop = f->n >= SLOTS && mr_clock_ns() >= until;
        any |= !stop;
    }
    f->wall_ns = mr_clock_ns() - began;
    return status;
}

static int batches(const struct kit *kit, uint32_t bytes_max, bool no_graphs, const char *before,
                   double *gbit)
{
    struct mr_device_backend parts = kit->parts;
    struct mr_backend_config config = {.work = {.set = &kit->set},
                                       .bytes_max = bytes_max,
                                       .messages_max = 8192,
                                       .matches_each = 32};
    struct flow f = {.state = NULL};
    struct mr_error error = {0};
    uint32_t next = 0, n_messages = 0;

    parts.no_graphs = no_graphs;
    enum mr_status status = mr_device_open(&parts, &config, &f.state, &error);
    for (int i = 0; i < SLOTS && !status; i++) {
        status = mr_device_batch_new(f.state, &f.batches[i], &error);
        if (!status) {
            kit_fill(kit, f.batches[i], &next);
            n_messages += f.batches[i]->n_messages;
        }
    }
    for (int round = 0; round < 2 && !status; round++) /* the first time graphs are made */
        status = circulate(&f, round ? kit->seconds : kit->seconds / 8, &error);
    *gbit = f.wall_ns ? (double)f.bytes * 8 / (double)f.wall_ns : 0;
    if (!status)
        fprintf(kit->out,
                "%s{\"bytes\": %u, \"messages\": %u, \"graphs\": %s, \"batches\": %lu, "
                "\"gbit_per_s\": %.3f, \"turn_us\": %.2f, \"kernels_us\": %.2f}",
                before, bytes_max, n_messages / SLOTS, no_graphs ? "false" : "true",
                (unsigned long)f.n, *gbit, (double)f.device_ns * 1e-3 / (double)f.n,
                (double)f.kernels_ns * 1e-3 / (double)f.n);
    for (int i = 0; i < SLOTS; i++)
        if (f.batches[i])
            mr_device_batch_free(f.state, f.batches[i]);
    if (f.state)
        mr_device_close(f.state);
    return status ? fail(&error) : 0;
}

/* ---- messages of several threads ---- */

struct crowd {
    const struct kit *kit;
    struct mr_offload *offload;
    _Atomic bool stop;
    _Atomic uint64_t sent, refused;
    uint64_t taken, bytes, matches, redone;
    double *us; /* how long messages were away; NULL: nobody asks */
    size_t n_us, us_max;
    double bytes_per_ns; /* of each thread; 0: as fast as it goes */
};

/* Adds messages; the tag is the time. */
static void *caller(void *memory)
{
    struct crowd *c = memory;
    const struct messages *m = &c->kit->messages;
    uint64_t began = mr_clock_ns();
    double bytes = 0;

    for (uint32_t i = 0; !atomic_load_explicit(&c->stop, memory_order_relaxed); i++) {
        uint32_t k = i % m->n;
        if (m->len[k] > c->kit->batch_bytes / 2)
            continue;
        if (c->bytes_per_ns > 0) {
            bytes += m->len[k];
            while ((double)(mr_clock_ns() - began) * c->bytes_per_ns < bytes &&
                   !atomic_load_explicit(&c->stop, memory_order_relaxed))
                sched_yield();
        }
        if (mr_offload_add(c->offload, m->at[k], m->len[k], mr_clock_ns()) == MR_OK) {
            atomic_fetch_add(&c->sent, 1);
        } else {
            atomic_fetch_add(&c->refused, 1);
            sched_yield();
        }
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
        c->bytes += done.batch->messages[i].len;
        c->redone += done.batch->redo[i];
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
    while (c->taken < atomic_load(&c->sent) && mr_clock_ns() < until) {
        mr_offload_wait(c->offload, 1000000);
        take_one(c);
        mr_offload_flush(c->offload);
    }
    return c->taken == atomic_load(&c->sent);
}

static int run_crowd(struct crowd *c, uint32_t n_threads, double seconds, double *gbit,
                     double *cores)
{
    struct mr_offload_config config = {.work = {.set = &c->kit->set},
                                       .backend = c->kit->backend,
                                       .bytes_max = c->kit->batch_bytes,
                                       .deadline_ns = DEADLINE_NS};
    pthread_t threads[256];
    uint32_t started = 0;
    struct mr_error error = {0};

    if (mr_offload_open(&config, &c->offload, &error))
        return fail(&error);
    uint64_t began = mr_clock_ns(), cpu = mr_clock_cpu_ns();
    while (started < n_threads && !pthread_create(&threads[started], NULL, caller, c))
        started++;
    while (mr_clock_ns() - began < (uint64_t)(seconds * 1e9)) {
        mr_offload_wait(c->offload, 1000000);
        take_one(c);
    }
    double wall = (double)(mr_clock_ns() - began);
    *gbit = (double)c->bytes * 8 / wall;
    *cores = (double)(mr_clock_cpu_ns() - cpu) / wall;
    atomic_store(&c->stop, true);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    bool all = drain(c);
    struct mr_offload_counters n;
    mr_offload_count(c->offload, &n);
    uint64_t errors =
        n.troubles[MR_TROUBLE_OPEN] + n.troubles[MR_TROUBLE_LAUNCH] + n.troubles[MR_TROUBLE_LOST];
    fprintf(c->kit->out,
            "\"threads\": %u, \"gbit_per_s\": %.3f, \"cores\": %.2f, \"messages\": %lu, "
            "\"matches\": %lu, \"redone\": %lu, \"refused\": %lu, \"batches\": %lu, \"fill\": "
            "%.3f, \"errors\": %lu",
            started, *gbit, *cores, (unsigned long)c->taken, (unsigned long)c->matches,
            (unsigned long)c->redone, (unsigned long)atomic_load(&c->refused),
            (unsigned long)n.batches, n.fill_bytes ? (double)n.bytes / (double)n.fill_bytes : 0,
            (unsigned long)errors);
    mr_offload_close(c->offload);
    if (errors || !n.batches) { /* times would be the host's, which does what a device does not */
        fprintf(stderr, "gpu_bench: the device failed %lu times in %lu batches\n",
                (unsigned long)errors, (unsigned long)n.batches);
        return 2;
    }
    if (!all || started < n_threads || !c->taken) {
        fprintf(stderr, "gpu_bench: of %lu messages %lu came back\n",
                (unsigned long)atomic_load(&c->sent), (unsigned long)c->taken);
        return 2;
    }
    return 0;
}

int part_flow(struct kit *kit)
{
    double best = 0, gbit, cores;
    int code = 0;

    fprintf(kit->out, "\"batches\": [");
    for (uint32_t bytes = kit->batch_bytes / 8; bytes <= 2 * kit->batch_bytes && !code; bytes *= 2)
        for (int no_graphs = 0; no_graphs < 2 && !code; no_graphs++) {
            code = batches(kit, bytes / 16 * 16, no_graphs,
                           bytes > kit->batch_bytes / 8 || no_graphs ? ",\n   " : "\n   ", &gbit);
            best = gbit > best ? gbit : best;
        }
    fprintf(kit->out, "],\n  \"best_gbit_per_s\": %.3f,\n  \"callers\": {", best);
    struct crowd crowd = {.kit = kit};
    if (!code)
        code = run_crowd(&crowd, kit->threads, 2 * kit->seconds, &gbit, &cores);
    fprintf(kit->out, "}");
    return code;
}

int part_latency(struct kit *kit)
{
    double gbit = 0, cores, ignored;
    struct crowd full = {.kit = kit}, half = {.kit = kit, .us_max = 4000000};
    int code;

    fprintf(kit->out, "\"full\": {");
    code = run_crowd(&full, kit->threads, kit->seconds, &gbit, &cores);
    fprintf(kit->out, "},\n  \"half\": {");
    half.bytes_per_ns = (gbit > 0 ? gbit : 0.001) / 8 / 2 / kit->threads;
    half.us = malloc(half.us_max * sizeof *half.us);
    if (!half.us)
        code = 2;
    if (!code)
        code = run_crowd(&half, kit->threads, 4 * kit->seconds, &gbit, &ignored);
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
