// layers: stream base
/* The TCP assembler fed with any sequence of packets. Checked while it runs (tcp_rig.c): offsets
 * contiguous, one END a flow and nothing behind it, chunks inside their buffers, all buffers
 * returned; and what is held stays within its limits.
 *
 * Input: 4 bytes of settings, then records of 9 bytes, one a packet; numbers count from where the
 * sender's last packet ended, so that sensible connections are not far away. */
#include "tcp_rig.h"

#include <stdlib.h>
#include <string.h>

#define MAX_RECORDS 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t bytes[70000];

static void fill(void)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 24);
}

static void configure(struct rig *r, const uint8_t *settings)
{
    r->config.policy = (enum mr_overlap_policy)(settings[0] % 6);
    r->config.midstream = !(settings[0] & 64);
    r->config.urgent_inline = !(settings[0] & 128);
    r->config.max_held_bytes = settings[1] < 128 ? 1u << 20 : settings[1] * 16u;
    r->config.max_held_segments = settings[2] < 128 ? 1024 : settings[2] % 32 + 1u;
    r->count_only = true;
}

static int32_t signed16(const uint8_t *at)
{
    return (int16_t)(at[0] << 8 | at[1]);
}

static void check_limits(const struct rig *r)
{
    const struct rig_flow *f = r->flows[r->n_flows - 1];

    for (int d = 0; d < 2; d++) {
        const struct mr_pieces *held = &f->tcp.side[d].held;
        uint32_t count = mr_pieces_count(held), sum = 0;
        const struct mr_kept *k = mr_pieces_front(held);
        if (held->bytes > r->config.max_held_bytes || (held->index && !count))
            abort();
        for (uint32_t i = 0; i < count; i++) {
            if (!k[i].len || (i && mr_before(k[i].start, k[i - 1].start + k[i - 1].len)))
                abort();
            sum += k[i].len;
        }
        if (sum != held->bytes)
            abort();
    }
    if (r->broken)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t next[2] = {1000, 0xfffffff0u};

    if (size < 4)
        return 0;
    if (!bytes[1])
        fill();
    struct rig *r = rig_new();
    configure(r, data);
    next[C] += (uint32_t)data[3] << 24;
    data += 4;
    size -= 4;
    for (int n = 0; size >= 9 && n < MAX_RECORDS; data += 9, size -= 9, n++) {
        int from = data[0] & 1, shift = data[0] >> 1 & 3;
        uint32_t seq = next[from] + (uint32_t)(signed16(data + 2) * (1 << shift * 5));
        uint32_t ack = next[!from] + (uint32_t)(signed16(data + 4) * (1 << shift * 5));
        uint32_t len = data[6] * (data[0] & 8 ? 200u : 1u);
        const uint8_t options[] = {1, 3, 3, data[8]};
        r->window = (uint16_t)(data[7] << 8 | data[8]);
        r->no_buffers = (data[0] & 0xf0) == 0xf0;
        r->step_ns = data[0] & 16 ? 100000 : (uint64_t)data[8] * 50000000;
        r->urgent = data[8];
        r->cut_off = (data[0] & 0xe0) == 0x20 && len ? data[8] % len : 0;
        rig_send_options(r, from, seq, ack, data[1], options, data[1] & MR_TCP_SYN ? 4 : 0,
                         bytes + (data[0] & 32 ? seq % 1000 : 0), len);
        if (!(data[0] & 64))
            next[from] = seq + len + ((data[1] & (MR_TCP_SYN | MR_TCP_FIN)) != 0);
        check_limits(r);
    }
    rig_finish(r, MR_FLOW_END_SHUTDOWN);
    if (rig_last(r)->ends != 1)
        abort();
    rig_free(r);
    return 0;
}
