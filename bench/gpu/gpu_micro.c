/* What moving bytes and starting kernels costs on a device. All rates in GB/s (10^9 bytes). */
#include "gpu_bench.h"

#include "base/clock.h"

#include <string.h>

#define SMALLEST 65536u
#define KERNELS  20 /* about as many pieces of work as a batch has */

struct memory {
    const struct kit *kit;
    uint8_t *pinned[2], *device[2];
    uint32_t *sums;
    void *back, *done; /* another stream, for copies both ways; an event */
    size_t bytes;      /* of the copy at hand */
    void *graph;
    struct mr_segment *segments; /* pinned */
    uint32_t n_segments, n_blocks;
};

static int take(struct memory *m)
{
    const struct mr_device *device = m->kit->parts.device;
    size_t bytes = m->kit->copy_bytes;
    int code = 0;

    for (int i = 0; i < 2 && !code; i++) {
        code = device->host_alloc((void **)&m->pinned[i], bytes);
        if (!code)
            code = device->alloc((void **)&m->device[i], bytes);
    }
    if (!code)
        code = device->alloc((void **)&m->sums, 16);
    if (!code)
        code = device->stream_new(&m->back);
    if (!code)
        code = device->event_new(&m->done);
    if (!code)
        code = device->host_alloc((void **)&m->segments, bytes / 64 * sizeof *m->segments);
    for (size_t i = 0; i < bytes && !code; i++)
        m->pinned[0][i] = (uint8_t)(i * 2654435761u >> 13);
    m->n_blocks = 8 * (uint32_t)m->kit->processors;
    return code;
}

static void give(struct memory *m)
{
    const struct mr_device *device = m->kit->parts.device;

    if (m->graph)
        device->graph_free(m->graph);
    for (int i = 0; i < 2; i++) {
        device->free_memory(m->device[i]);
        if (m->pinned[i])
            device->host_free(m->pinned[i]);
    }
    device->free_memory(m->sums);
    if (m->segments)
        device->host_free(m->segments);
    if (m->done)
        device->event_free(m->done);
    if (m->back)
        device->stream_free(m->back);
}

/* ---- copies ---- */

static int copy_in(void *context, void *stream)
{
    struct memory *m = context;
    return m->kit->parts.device->copy_in(m->device[0], m->pinned[0], m->bytes, stream);
}

static int copy_out(void *context, void *stream)
{
    struct memory *m = context;
    return m->kit->parts.device->copy_out(m->pinned[1], m->device[0], m->bytes, stream);
}

/* In, while as much goes out of another place. */
static int copy_both(void *context, void *stream)
{
    struct memory *m = context;
    int code = copy_in(context, stream);
    return code ? code
                : m->kit->parts.device->copy_out(m->pinned[1], m->device[1], m->bytes, m->back);
}

static int copies(struct memory *m)
{
    int code = 0;

    fprintf(m->kit->out, "\"copies\": [");
    for (m->bytes = SMALLEST; m->bytes <= m->kit->copy_bytes && !code; m->bytes *= 4) {
        double in = 1, out = 1, both = 1;
        code = kit_time(m->kit, copy_in, m, &in);
        if (!code)
            code = kit_time(m->kit, copy_out, m, &out);
        if (!code && memcmp(m->pinned[0], m->pinned[1], m->bytes)) {
            fprintf(stderr, "gpu_bench: a copy of %zu bytes came back changed\n", m->bytes);
            return 2;
        }
        if (!code)
            code = kit_time(m->kit, copy_both, m, &both);
        if (!code)
            code = m->kit->parts.device->record(m->done, m->back);
        if (!code)
            code = m->kit->parts.device->wait(m->done);
        fprintf(m->kit->out,
                "%s\n   {\"bytes\": %zu, \"in\": %.3f, \"out\": %.3f, \"in_while_out\": %.3f}",
                m->bytes > SMALLEST ? "," : "", m->bytes, (double)m->bytes / in,
                (double)m->bytes / out, (double)m->bytes / both);
    }
    fprintf(m->kit->out, "]");
    return kit_fail(m->kit, "copies", code);
}

/* ---- kernels that reach into pinned memory ---- */

static int read_mapped(void *context, void *stream)
{
    struct memory *m = context;
    int code = m->kit->parts.device->clear(m->sums, 16, stream);
    return code ? code
                : m->kit->transfer->read(m->pinned[0], m->bytes, m->sums, m->n_blocks, stream);
}

static int write_mapped(void *context, void *stream)
{
    struct memory *m = context;
    return m->kit->transfer->write(m->pinned[1], m->bytes, 7, m->n_blocks, stream);
}

static int zero_copy_is_right(const struct memory *m, uint32_t sum)
{
    const uint32_t *in = (const uint32_t *)(const void *)m->pinned[0];
    const uint32_t *out = (const uint32_t *)(const void *)m->pinned[1];
    uint32_t right = 0;

    for (size_t i = 0; i < m->bytes / 4; i++) {
        right += in[i];
        if (out[i] != 7 + i)
            return 0;
    }
    return sum == right;
}

static int zero_copy(struct memory *m)
{
    const struct mr_device *device = m->kit->parts.device;
    double read = 1, write = 1;
    int code;

    m->bytes = m->kit->copy_bytes;
    if (!(code = kit_time(m->kit, read_mapped, m, &read)))
        code = kit_time(m->kit, write_mapped, m, &write);
    if (!code)
        code = device->copy_out(m->segments, m->sums, 16, m->kit->stream);
    if (!code)
        code = device->record(m->done, m->kit->stream);
    if (!code)
        code = device->wait(m->done);
    if (!code && !zero_copy_is_right(m, *(const uint32_t *)(const void *)m->segments)) {
        fprintf(stderr, "gpu_bench: kernels read or wrote pinned memory wrongly\n");
        return 2;
    }
    fprintf(m->kit->out, ",\n  \"zero_copy\": {\"read\": %.3f, \"write\": %.3f}",
            (double)m->bytes / read, (double)m->bytes / write);
    return kit_fail(m->kit, "zero copy", code);
}

static int gather_segments(void *context, void *stream)
{
    struct memory *m = context;
    return m->kit->transfer->gather(m->segments, m->n_segments, m->device[0], m->n_blocks, stream);
}

static uint32_t room_of(uint32_t len)
{
    return (len + 15) / 16 * 16;
}

/* Segments as packets' buffers have them: every 2,176 bytes, behind 54 bytes of headers. */
static int gather(struct memory *m, uint32_t len, const char *before)
{
    const struct mr_device *device = m->kit->parts.device;
    const size_t stride = 2176, room = m->kit->copy_bytes;
    double ns = 1;
    int code;

    uint32_t n = 0;
    for (size_t at = 54; at + len + 4 <= room; at += stride, n++)
        m->segments[n] = (struct mr_segment){m->pinned[0] + at, n * room_of(len), len};
    m->n_segments = n;
    m->bytes = (size_t)n * room_of(len);
    if (!(code = kit_time(m->kit, gather_segments, m, &ns)))
        code = copy_out(m, m->kit->stream);
    if (!code)
        code = device->record(m->done, m->kit->stream);
    if (!code)
        code = device->wait(m->done);
    for (uint32_t i = 0; i < m->n_segments && !code; i++)
        if (memcmp(m->pinned[1] + m->segments[i].to, m->segments[i].from, len)) {
            fprintf(stderr, "gpu_bench: segment %u was gathered wrongly\n", i);
            return 2;
        }
    fprintf(m->kit->out, "%s{\"segment\": %u, \"rate\": %.3f}", before, len,
            (double)m->n_segments * len / ns);
    return kit_fail(m->kit, "gather", code);
}

/* ---- launches ---- */

static int one_kernel(struct memory *m)
{
    return m->kit->transfer->nothing(m->kit->stream);
}

static int many_kernels(struct memory *m)
{
    int code = 0;
    for (int i = 0; i < KERNELS && !code; i++)
        code = one_kernel(m);
    return code;
}

static int one_graph(struct memory *m)
{
    return m->kit->parts.device->graph_launch(m->graph, m->kit->stream);
}

/* From before the call until the device is known to be through, by looking again and again; and
 * what the call itself takes. Microseconds. */
static int latency(struct memory *m, int (*work)(struct memory *m), double *call_us, double *all_us)
{
    enum { N = 200 };
    static double calls[N], all[N];
    const struct mr_device *device = m->kit->parts.device;
    int code = 0;

    for (int i = 0; i < N && !code; i++) {
        uint64_t began = mr_clock_ns();
        code = work(m);
        calls[i] = (double)(mr_clock_ns() - began) * 1e-3;
        if (!code)
            code = device->record(m->done, m->kit->stream);
        while (!code && (code = device->query(m->done)) == MR_DEVICE_BUSY)
            code = 0;
        /* the loop ends with code 0 only when the event is reached */
        all[i] = (double)(mr_clock_ns() - began) * 1e-3;
    }
    *call_us = kit_quantile(calls, N, 0.5);
    *all_us = kit_quantile(all, N, 0.5);
    return code;
}

static int launches(struct memory *m)
{
    const struct mr_device *device = m->kit->parts.device;
    double us[3][2] = {{0}};
    int code = one_kernel(m), ended; /* it is loaded now, not while it is captured */

    if (!code)
        code = device->capture_begin(m->kit->stream);
    if (!code) {
        code = many_kernels(m);
        ended = device->capture_end(&m->graph, m->kit->stream);
        code = code ? code : ended;
    }
    if (!code)
        code = latency(m, one_kernel, &us[0][0], &us[0][1]);
    if (!code)
        code = latency(m, many_kernels, &us[1][0], &us[1][1]);
    if (!code)
        code = latency(m, one_graph, &us[2][0], &us[2][1]);
    fprintf(m->kit->out,
            ",\n  \"launch_us\": {\"kernel\": {\"call\": %.2f, \"done\": %.2f}, \"%d_kernels\": "
            "{\"call\": %.2f, \"done\": %.2f}, \"graph_of_%d\": {\"call\": %.2f, \"done\": %.2f}}",
            us[0][0], us[0][1], KERNELS, us[1][0], us[1][1], KERNELS, us[2][0], us[2][1]);
    return kit_fail(m->kit, "launches", code);
}

int part_micro(struct kit *kit)
{
    struct memory m = {.kit = kit};
    int code = kit_fail(kit, "memory", take(&m));

    if (!code)
        code = copies(&m);
    if (!code)
        code = zero_copy(&m);
    if (!code)
        code = gather(&m, 1460, ",\n  \"gather\": [");
    if (!code)
        code = gather(&m, 200, ", ");
    if (!code) {
        fprintf(kit->out, "]");
        code = launches(&m);
    }
    give(&m);
    return code;
}
