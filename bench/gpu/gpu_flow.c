/* Batches that are filled already one after the other through the back end, several at once: what
 * the device does with all copies, sized and queued in several ways. */
#include "gpu_bench.h"

#include "base/clock.h"

#define SLOTS 6

struct flow {
    struct mr_offload_batch *batches[SLOTS];
    void *state;
    uint64_t bytes, n, device_ns, kernels_ns, wall_ns;
};

/* Less the messages that the host would have to do: nobody does them here. */
static uint64_t done_bytes(const struct mr_offload_batch *batch)
{
    uint64_t bytes = batch->n_bytes;

    for (uint32_t m = 0; m < batch->n_messages; m++)
        if (batch->redo[m])
            bytes -= (batch->messages[m].len + 15u) / 16 * 16;
    return bytes;
}

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
                f->bytes += done_bytes(f->batches[i]);
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
    return status ? kit_refuse(&error) : 0;
}

int part_flow(struct kit *kit)
{
    double best = 0, gbit;
    int code = 0;

    fprintf(kit->out, "\"batches\": [");
    for (uint32_t bytes = kit->batch_bytes / 8; bytes <= 2 * kit->batch_bytes && !code; bytes *= 2)
        for (int no_graphs = 0; no_graphs < 2 && !code; no_graphs++) {
            code = batches(kit, bytes / 16 * 16, no_graphs,
                           bytes > kit->batch_bytes / 8 || no_graphs ? ",\n   " : "\n   ", &gbit);
            best = gbit > best ? gbit : best;
        }
    fprintf(kit->out, "],\n  \"best_gbit_per_s\": %.3f", best);
    return code ? code : kit_callers(kit);
}
