// layers: stream packet base
/* IP reassembly fed with any sequence of fragments. Checked while it runs: what is put together has
 * the bytes of its fragments (every fragment of a datagram carries the bytes that belong there,
 * unless the input asks for others), its header tells its length, limits hold, and all buffers
 * come back. */
#include "packet/decode.h"
#include "stream/fragment.h"

#include <stdlib.h>
#include <string.h>

#define MAX_RECORDS  4000
#define EXPERIMENTAL 253

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t byte_at(uint32_t id, uint32_t offset)
{
    return (uint8_t)((id * 31 + offset) * 2654435761u >> 24);
}

/* The record as a packet with one fragment in frame[]; true when its bytes are the right ones. */
static bool make(const uint8_t *record, uint8_t *frame, struct mr_packet *packet,
                 struct mr_fragment_view *view)
{
    bool v6 = record[0] & 1, right = !(record[0] & 2);
    uint32_t header = v6 ? 40u + 8u * (record[0] >> 2 & 3) : 20u + 4u * (record[0] >> 2 & 3);
    uint32_t frame_header = header + (v6 ? 8 : 0);
    uint32_t id = record[1] & 7;
    uint32_t offset = (uint32_t)(record[2] << 8 | record[3]) & 0xfff8;
    uint32_t len = record[4] * (record[0] & 16 ? 8u : 1u) * (record[0] & 32 ? 16u : 1u);

    if (!(record[0] & 64))
        offset &= 0xff;
    memset(frame, 0, frame_header);
    frame[0] = (uint8_t)(v6 ? 0x60 : 0x40 | header / 4);
    if (v6)
        frame[6] = header > 40 ? 60 : 44;
    for (uint32_t at = 40; v6 && at < header; at += 8)
        frame[at] = at + 8 < header ? 60 : 44;
    frame[9] = v6 ? 0 : EXPERIMENTAL;
    for (uint32_t i = 0; i < len; i++)
        frame[frame_header + i] = right ? byte_at(id, offset + i) : record[5];
    *packet = (struct mr_packet){.data = frame,
                                 .len = frame_header + len,
                                 .flags = MR_PACKET_FRAGMENT,
                                 .src = {.family = v6 ? 6 : 4},
                                 .dst = {.address = {1}, .family = v6 ? 6 : 4}};
    *view = (struct mr_fragment_view){.id = id,
                                      .offset = offset,
                                      .payload_offset = frame_header,
                                      .payload_len = len,
                                      .next_protocol = EXPERIMENTAL,
                                      .more = record[1] & 128,
                                      .unfragmentable_len = header};
    return right;
}

static void check_whole(struct mr_packet *whole, const struct mr_buffer *buffer, uint32_t id,
                        bool right)
{
    struct mr_decoder decoder = {.checksum = MR_CHECKSUM_ALL};
    struct mr_fragment_view view;

    if (whole->data != buffer->data || whole->len > buffer->capacity)
        abort();
    if (mr_decode_ip(&decoder, whole, &view) != MR_DROP_NONE)
        abort();
    if (whole->payload_offset + whole->payload_len != whole->len)
        abort();
    for (uint32_t i = 0; right && i < whole->payload_len; i++)
        if (whole->data[whole->payload_offset + i] != byte_at(id, i))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t frame[128 + 255 * 128];
    struct mr_secret secret;
    struct mr_buffers *pool;
    struct mr_fragments *fragments;
    struct mr_buffers_usage usage;
    bool right = true;
    uint64_t now_ns = 1000000000000;
    int64_t held = 0;

    if (size < 4)
        return 0;
    const struct mr_fragment_config config = {.policy = (enum mr_overlap_policy)(data[0] % 6),
                                              .max_datagrams = data[1] % 16 + 1u,
                                              .max_fragments = data[2] < 128 ? 0 : data[2] & 31,
                                              .max_bytes =
                                                  data[3] < 128 ? 0 : (data[3] & 127) * 1024u + 1};
    if (mr_secret_draw(&secret, 1) || mr_buffers_new(&pool, 1u << 20) ||
        mr_fragments_new(&fragments, &config, pool, &secret))
        abort();
    data += 4;
    size -= 4;
    for (int n = 0; size >= 7 && n < MAX_RECORDS; data += 7, size -= 7, n++) {
        struct mr_packet packet, whole;
        struct mr_fragment_view view;
        struct mr_buffer *buffer = NULL;
        uint32_t given_up, before = mr_fragments_held(fragments);
        right &= make(data, frame, &packet, &view);
        now_ns += data[6] < 250 ? data[6] * 10000000u : 0u - (uint64_t)data[6] * 200000000u;
        packet.time_ns = now_ns;
        enum mr_drop reason =
            mr_fragments_add(fragments, &packet, &view, &whole, &buffer, &given_up);
        held += (reason == MR_DROP_FRAGMENT_HELD) - (int64_t)given_up;
        if ((reason == MR_DROP_NONE) != (buffer != NULL) || given_up > before)
            abort();
        if (reason == MR_DROP_NONE) {
            held -= before - given_up - mr_fragments_held(fragments); /* they are in it */
            check_whole(&whole, buffer, view.id, right);
            mr_buffers_put(pool, buffer);
        }
        if (held != mr_fragments_held(fragments))
            abort();
    }
    mr_fragments_free(fragments);
    mr_buffers_usage(pool, &usage);
    if (usage.used_bytes)
        abort();
    mr_buffers_free(pool);
    return 0;
}
