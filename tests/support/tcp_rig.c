/* The rig around the TCP assembler (see the header). */
#include "tcp_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BROKEN(r, ...)                                                                             \
    do {                                                                                           \
        fprintf(stderr, "rig: " __VA_ARGS__);                                                      \
        fputc('\n', stderr);                                                                       \
        (r)->broken = true;                                                                        \
    } while (0)

static struct rig_flow *flow_of(struct rig *r, const struct mr_flow *flow)
{
    for (int i = r->n_flows; i-- > 0;)
        if (&r->flows[i]->flow == flow)
            return r->flows[i];
    BROKEN(r, "a chunk of no flow");
    return r->flows[r->n_flows - 1];
}

static void push(struct rig *r, struct rig_stream *s, const uint8_t *bytes, uint64_t n)
{
    if (r->count_only) {
        s->n += n;
        return;
    }
    if (n > 1u << 28) {
        BROKEN(r, "%llu bytes at once", (unsigned long long)n);
        return;
    }
    if (s->n + n > s->room) {
        s->room = (s->n + n) * 2;
        s->items = realloc(s->items, s->room * sizeof *s->items);
        if (!s->items)
            abort();
    }
    for (uint64_t i = 0; i < n; i++)
        s->items[s->n++] = bytes ? bytes[i] : RIG_LOST;
}

static void on_chunk(void *user, const struct mr_chunk *chunk, struct mr_buffer *buffer)
{
    struct rig *r = user;
    struct rig_flow *f = flow_of(r, chunk->flow);

    if (f->ends)
        BROKEN(r, "a chunk after the end");
    if (chunk->kind == MR_CHUNK_END) {
        f->ends++;
        f->end_reason = chunk->flow->end;
        if (chunk->flow->end == MR_FLOW_OPEN)
            BROKEN(r, "an end without reason");
    } else {
        struct rig_stream *s = &f->streams[chunk->direction];
        if (chunk->offset != s->n)
            BROKEN(r, "offset %llu where %zu was due", (unsigned long long)chunk->offset, s->n);
        if (chunk->kind == MR_CHUNK_DATA ? !chunk->len : !chunk->gap || chunk->len)
            BROKEN(r, "an empty chunk");
        if (f->rests[chunk->direction])
            BROKEN(r, "a chunk behind the depth");
        if (chunk->gap == MR_GAP_REST) {
            f->rests[chunk->direction]++;
            return;
        }
        if (chunk->gap > INT32_MAX)
            BROKEN(r, "a gap of %llu bytes", (unsigned long long)chunk->gap);
        push(r, s, chunk->data, chunk->kind == MR_CHUNK_DATA ? chunk->len : chunk->gap);
    }
    if (buffer) {
        if (chunk->data < buffer->data || chunk->data + chunk->len > buffer->data + buffer->len)
            BROKEN(r, "a chunk outside its buffer");
        r->buffers_out--;
        mr_buffers_put(r->pool, buffer);
    }
}

static struct rig_flow *add_flow(struct rig *r)
{
    struct rig_flow *f = calloc(1, sizeof *f);
    if (!f || r->n_flows == RIG_MAX_FLOWS) {
        free(f);
        return NULL;
    }
    f->flow.key = &r->key;
    f->flow.client = r->ends[S]; /* as the runtime leaves it: not to be trusted */
    f->flow.first_ns = r->now_ns;
    f->flow.first_packet = r->number;
    r->flows[r->n_flows++] = f;
    return f;
}

static struct mr_tcp *on_renew(void *user, struct mr_flow **flow)
{
    struct rig *r = user;

    if (!rig_last(r)->ends)
        BROKEN(r, "renewed before the end was told");
    struct rig_flow *f = add_flow(r);
    if (!f)
        return NULL;
    *flow = &f->flow;
    return &f->tcp;
}

static void on_anomaly(void *user, const char *name)
{
    struct rig *r = user;
    if (r->n_anomalies < RIG_MAX_ANOMALIES)
        r->anomalies[r->n_anomalies++] = name;
}

static struct mr_buffer *on_get(void *user, size_t capacity)
{
    struct rig *r = user;
    struct mr_buffer *buffer = r->no_buffers ? NULL : mr_buffers_get(r->pool, capacity);
    if (buffer) {
        r->buffers_out++;
        memset(buffer->data, 0xa5, capacity);
    }
    return buffer;
}

static void on_put(void *user, struct mr_buffer *buffer)
{
    struct rig *r = user;
    if (!buffer)
        BROKEN(r, "no buffer put");
    r->buffers_out--;
    mr_buffers_put(r->pool, buffer);
}

struct rig *rig_new(void)
{
    struct rig *r = calloc(1, sizeof *r);

    if (!r || mr_buffers_new(&r->pool, 64u << 20) != MR_OK)
        abort();
    mr_tcp_config_default(&r->config);
    r->sink = (struct mr_tcp_sink){.user = r,
                                   .chunk = on_chunk,
                                   .renew = on_renew,
                                   .anomaly = on_anomaly,
                                   .buffer_get = on_get,
                                   .buffer_put = on_put};
    r->ends[C] =
        (struct mr_endpoint){.address = {10, 0, 0, 1}, .port = 40000, .family = 4, .protocol = 6};
    r->ends[S] =
        (struct mr_endpoint){.address = {10, 0, 0, 2}, .port = 25, .family = 4, .protocol = 6};
    r->key.a = r->ends[C];
    r->key.b = r->ends[S];
    r->now_ns = 1700000000000000000u;
    r->step_ns = 100000;
    r->window = 65535;
    add_flow(r);
    return r;
}

void rig_free(struct rig *r)
{
    for (int i = 0; i < r->n_flows; i++) {
        mr_tcp_release(&r->flows[i]->tcp, &r->sink);
        free(r->flows[i]->streams[0].items);
        free(r->flows[i]->streams[1].items);
        free(r->flows[i]);
    }
    if (r->buffers_out)
        BROKEN(r, "%u buffers were not returned", r->buffers_out);
    bool broken = r->broken;
    mr_buffers_free(r->pool);
    free(r);
    if (broken)
        abort();
}

struct rig_flow *rig_last(struct rig *r)
{
    return r->flows[r->n_flows - 1];
}

void rig_packet(struct rig *r, const struct mr_packet *packet)
{
    struct rig_flow *f = rig_last(r);
    r->deadline_ns = mr_tcp_packet(&f->tcp, &f->flow, packet, &r->config, &r->sink);
}

void rig_send_options(struct rig *r, int from, uint32_t seq, uint32_t ack, uint8_t flags,
                      const void *options, size_t options_len, const void *bytes, size_t len)
{
    uint32_t headers = 40 + (uint32_t)options_len;
    uint32_t wire = headers + (uint32_t)len, captured = wire - r->cut_off;
    uint8_t *frame = malloc(captured);

    if (!frame)
        abort();
    memset(frame, 0, headers);
    frame[0] = 0x45;
    frame[2] = (uint8_t)(wire >> 8);
    frame[3] = (uint8_t)wire;
    if (options_len)
        memcpy(frame + 40, options, options_len);
    if (len > r->cut_off)
        memcpy(frame + headers, bytes, len - r->cut_off);
    struct mr_packet packet = {.data = frame,
                               .time_ns = r->now_ns,
                               .number = ++r->number,
                               .len = captured,
                               .wire_len = wire,
                               .l4_offset = 20,
                               .payload_offset = headers,
                               .payload_len = (uint32_t)len - r->cut_off,
                               .tcp_seq = seq,
                               .tcp_ack = ack,
                               .tcp_window = r->window,
                               .tcp_urgent = flags & MR_TCP_URG ? r->urgent : 0,
                               .tcp_flags = flags,
                               .flags = r->cut_off ? MR_PACKET_TRUNCATED : 0,
                               .src = r->ends[from],
                               .dst = r->ends[!from]};
    r->cut_off = 0;
    rig_packet(r, &packet);
    r->now_ns += r->step_ns;
    memset(frame, 0xee, captured);
    free(frame);
}

void rig_send(struct rig *r, int from, uint32_t seq, uint32_t ack, uint8_t flags, const void *bytes,
              size_t len)
{
    rig_send_options(r, from, seq, ack, flags, NULL, 0, bytes, len);
}

void rig_open(struct rig *r, uint32_t client_isn, uint32_t server_isn)
{
    rig_send(r, C, client_isn, 0, MR_TCP_SYN, "", 0);
    rig_send(r, S, server_isn, client_isn + 1, MR_TCP_SYN | MR_TCP_ACK, "", 0);
    rig_send(r, C, client_isn + 1, server_isn + 1, MR_TCP_ACK, "", 0);
}

void rig_finish(struct rig *r, enum mr_flow_end reason)
{
    struct rig_flow *f = rig_last(r);
    mr_tcp_finish(&f->tcp, &f->flow, reason, &r->config, &r->sink);
}

const char *rig_text_of(struct rig *r, int flow, int direction)
{
    static char text[4][1 << 16];
    static int next;
    char *to = text[next = (next + 1) % 4];
    const struct rig_stream *s = &r->flows[flow]->streams[direction];
    size_t n = s->n < sizeof text[0] - 1 ? s->n : sizeof text[0] - 1;

    for (size_t i = 0; i < n; i++)
        to[i] = s->items[i] == RIG_LOST ? '_' : (char)s->items[i];
    to[n] = 0;
    return to;
}

const char *rig_text(struct rig *r, int direction)
{
    return rig_text_of(r, r->n_flows - 1, direction);
}

int rig_anomaly(const struct rig *r, const char *name)
{
    int n = 0;
    for (int i = 0; i < r->n_anomalies; i++)
        n += !strcmp(r->anomalies[i], name);
    return n;
}
