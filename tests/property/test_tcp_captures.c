/* Invariant I4 on real captures: cut into other segments, shuffled over a few places and doubled,
 * the flows deliver the same bytes. And on all of them: no crash, no invariant violated, the same
 * packets twice give the same streams. Needs MR_SHARED_DATA. */
// layers: stream capture packet base
// threads: 1
#include "capture/dpdk.h"
#include "capture/source.h"
#include "packet/decode.h"
#include "stream/fragment.h"
#include "tcp_rig.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_FLOWS 4096
#define MAX_CUT   64

/* A 5-tuple's packets; each owns its frame. */
struct tuple {
    struct mr_endpoint a, b;
    struct mr_packet *packets;
    int n, room;
};

static struct tuple tuples[MAX_FLOWS];
static int n_tuples;
static uint64_t random_state = 1;
static uint32_t files, flows, shuffled;

static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 11) % below);
}

static struct tuple *tuple_of(const struct mr_packet *packet)
{
    for (int i = 0; i < n_tuples; i++) {
        struct tuple *t = &tuples[i];
        if ((!memcmp(&t->a, &packet->src, sizeof t->a) &&
             !memcmp(&t->b, &packet->dst, sizeof t->b)) ||
            (!memcmp(&t->b, &packet->src, sizeof t->a) &&
             !memcmp(&t->a, &packet->dst, sizeof t->b)))
            return t;
    }
    if (n_tuples == MAX_FLOWS)
        return NULL;
    tuples[n_tuples] = (struct tuple){.a = packet->src, .b = packet->dst};
    return &tuples[n_tuples++];
}

static void keep(const struct mr_packet *packet)
{
    struct tuple *t = tuple_of(packet);

    if (!t)
        return;
    if (t->n == t->room) {
        t->room = t->room * 2 + 16;
        t->packets = realloc(t->packets, (size_t)t->room * sizeof *t->packets);
        assert_non_null(t->packets);
    }
    uint8_t *copy = malloc(packet->len);
    assert_non_null(copy);
    memcpy(copy, packet->data, packet->len);
    t->packets[t->n] = *packet;
    t->packets[t->n++].data = copy;
}

static void forget(void)
{
    for (int i = 0; i < n_tuples; i++) {
        for (int k = 0; k < tuples[i].n; k++)
            free((void *)(uintptr_t)tuples[i].packets[k].data);
        free(tuples[i].packets);
    }
    n_tuples = 0;
}

/* All TCP packets of a file, with fragments put together. */
static void read_file(const char *path)
{
    static struct mr_burst burst;
    const struct mr_fragment_config config = {.policy = MR_OVERLAP_BSD};
    struct mr_decoder decoder = {.checksum = MR_CHECKSUM_NONE};
    struct mr_secret secret;
    struct mr_buffers *pool;
    struct mr_fragments *fragments;
    struct mr_source *source;
    struct mr_error error;
    uint64_t number = 0;

    assert_int_equal(mr_secret_draw(&secret, 1), MR_OK);
    assert_int_equal(mr_buffers_new(&pool, 64u << 20), MR_OK);
    assert_int_equal(mr_fragments_new(&fragments, &config, pool, &secret), MR_OK);
    if (mr_source_open_file(&source, path, 0, &error) == MR_OK) {
        while (source->ops->read(source, &burst, 256, &error) == MR_OK) {
            for (uint32_t i = 0; i < burst.n; i++) {
                struct mr_packet packet = burst.packets[i], whole;
                struct mr_fragment_view view;
                struct mr_buffer *buffer = NULL;
                uint32_t given_up;
                packet.number = ++number;
                enum mr_drop drop = mr_decode(&decoder, &packet, &view);
                if (drop == MR_DROP_NONE && packet.flags & MR_PACKET_FRAGMENT) {
                    drop = mr_fragments_add(fragments, &packet, &view, &whole, &buffer, &given_up);
                    packet = whole;
                    if (drop == MR_DROP_NONE)
                        drop = mr_decode_ip(&decoder, &packet, &view);
                }
                if (drop == MR_DROP_NONE && packet.src.protocol == 6 &&
                    !(packet.flags & MR_PACKET_FRAGMENT))
                    keep(&packet);
                mr_buffers_put(pool, buffer);
            }
            mr_burst_release(&burst);
        }
        source->ops->close(source);
        files++;
    }
    mr_fragments_free(fragments);
    mr_buffers_free(pool);
}

static struct rig *play(const struct mr_packet *packets, int n)
{
    struct rig *r = rig_new();

    /* some captures have segments that differ where they overlap; the other policies decide then
     * by how the bytes were cut */
    r->config.policy = MR_OVERLAP_FIRST;
    for (int i = 0; i < n; i++)
        rig_packet(r, &packets[i]);
    rig_finish(r, MR_FLOW_END_SHUTDOWN);
    return r;
}

/* Cuts a packet's payload at random into at most MAX_CUT packets that share its frame. */
static int cut(const struct mr_packet *packet, struct mr_packet *to)
{
    int n = 0;
    uint32_t at = 0, most = 1 + draw(packet->payload_len / 4 + 16);

    if (packet->tcp_flags & (MR_TCP_SYN | MR_TCP_RST | MR_TCP_URG) || !packet->payload_len ||
        packet->flags & MR_PACKET_TRUNCATED) {
        to[0] = *packet;
        return 1;
    }
    while (at < packet->payload_len) {
        uint32_t len = n == MAX_CUT - 1 ? packet->payload_len - at : 1 + draw(most);
        if (len > packet->payload_len - at)
            len = packet->payload_len - at;
        to[n] = *packet;
        to[n].tcp_seq += at;
        to[n].payload_offset += at;
        to[n].payload_len = len;
        at += len;
        if (at < packet->payload_len)
            to[n].tcp_flags &= (uint8_t) ~(MR_TCP_FIN | MR_TCP_PSH);
        n++;
    }
    return n;
}

static bool same_stream(const struct rig_stream *x, const struct rig_stream *y)
{
    return x->n == y->n && (!x->n || !memcmp(x->items, y->items, x->n * sizeof *x->items));
}

static void compare(const char *name, const char *how, const struct rig *x, const struct rig *y)
{
    bool same = x->n_flows == y->n_flows && !x->broken && !y->broken;

    for (int i = 0; same && i < x->n_flows; i++) {
        same = x->flows[i]->end_reason == y->flows[i]->end_reason;
        for (int d = 0; d < 2; d++)
            same &= same_stream(&x->flows[i]->streams[d], &y->flows[i]->streams[d]);
    }
    if (!same) {
        fprintf(stderr, "%s, port %u to %u, %s: %d and %d flows, %zu/%zu and %zu/%zu bytes\n", name,
                x->flows[0]->flow.client.port, x->flows[0]->flow.server.port, how, x->n_flows,
                y->n_flows, x->flows[0]->streams[C].n, x->flows[0]->streams[S].n,
                y->flows[0]->streams[C].n, y->flows[0]->streams[S].n);
        for (int d = 0; d < 2; d++) {
            const struct rig_stream *a = &x->flows[0]->streams[d], *b = &y->flows[0]->streams[d];
            size_t at = 0;
            while (at < a->n && at < b->n && a->items[at] == b->items[at])
                at++;
            if (at < a->n || at < b->n)
                fprintf(stderr, "direction %d differs from byte %zu on\n", d, at);
        }
        fail();
    }
}

/* The tuple's packets cut, and shuffled over `displacement` places (but for the first three). */
static struct rig *play_changed(const struct tuple *t, uint32_t displacement)
{
    struct mr_packet *changed = calloc((size_t)t->n * (MAX_CUT + 1), sizeof *changed);
    struct rig *r;
    int n = 0;

    assert_non_null(changed);
    for (int i = 0; i < t->n; i++) {
        n += cut(&t->packets[i], changed + n);
        if (displacement && i > 3 && draw(8) == 0)
            changed[n++] = t->packets[i]; /* and once more as it was */
    }
    for (int i = 3; displacement && i < n; i++) {
        int other = i + (int)draw(displacement);
        struct mr_packet packet = changed[i];
        if (other >= n)
            continue;
        memmove(changed + i, changed + i + 1, (size_t)(other - i) * sizeof *changed);
        changed[other] = packet;
    }
    r = play(changed, n);
    free(changed);
    return r;
}

/* Do two packets carry different bytes for the same place? */
static bool contradicts(const struct mr_packet *x, const struct mr_packet *y)
{
    int64_t offset = (int32_t)(y->tcp_seq - x->tcp_seq);
    int64_t from = offset > 0 ? offset : 0;
    int64_t to =
        offset + y->payload_len < x->payload_len ? offset + y->payload_len : x->payload_len;

    return from < to && !memcmp(&x->src, &y->src, sizeof x->src) &&
           memcmp(x->data + x->payload_offset + from, y->data + y->payload_offset + (from - offset),
                  (size_t)(to - from));
}

static bool contradictions(const struct tuple *t)
{
    for (int i = 0; i < t->n; i++)
        for (int k = 0; k < i; k++)
            if (contradicts(&t->packets[i], &t->packets[k]))
                return true;
    return false;
}

/* Is it one plain connection, of which order does not matter? Bytes that differ, SYNs on the way,
 * a beginning that was not captured, resets with bytes behind them: there order decides. */
static bool plain(const struct tuple *t, const struct rig *r)
{
    int syns = 0;

    for (int i = 0; i < t->n; i++)
        syns += (t->packets[i].tcp_flags & (MR_TCP_SYN | MR_TCP_ACK)) == MR_TCP_SYN;
    return r->n_flows == 1 && r->n_anomalies == 0 && syns == 1 && t->n > 4 &&
           t->packets[0].tcp_flags == MR_TCP_SYN && t->packets[1].tcp_flags & MR_TCP_SYN &&
           !contradictions(t);
}

static void check_tuple(const char *name, const struct tuple *t)
{
    struct rig *r = play(t->packets, t->n);
    struct rig *again = play(t->packets, t->n);

    flows++;
    compare(name, "twice", r, again);
    rig_free(again);
    for (int i = 0; i < 3; i++) {
        struct rig *changed = play_changed(t, 0);
        compare(name, "cut", r, changed);
        rig_free(changed);
    }
    bool shuffle = plain(t, r);
    for (int i = 0; i < 10 && shuffle; i++) {
        struct rig *changed = play_changed(t, 2 + draw(7));
        compare(name, "shuffled", r, changed);
        rig_free(changed);
        shuffled++;
    }
    rig_free(r);
}

static void check_folder(const char *root, const char *folder)
{
    char path[4096];
    struct dirent *entry;

    snprintf(path, sizeof path, "%s/captures/%s", root, folder);
    DIR *dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        if (!strstr(entry->d_name, ".pcap"))
            continue;
        snprintf(path, sizeof path, "%s/captures/%s/%s", root, folder, entry->d_name);
        read_file(path);
        for (int i = 0; i < n_tuples; i++)
            check_tuple(entry->d_name, &tuples[i]);
        forget();
    }
    if (dir)
        closedir(dir);
}

static void real_captures(void **state)
{
    (void)state;
    static const char *const folders[] = {"tcp_reassembly", "frag", "smtp",       "http",
                                          "sip_rtp",        "tls",  "tunnel_vlan"};
    const char *root = getenv("MR_SHARED_DATA");
    struct mr_dpdk_config config = {.max_packets = 5000};
    struct mr_error error;

    if (!root) {
        print_message("SKIP: MR_SHARED_DATA is unset: no real captures\n");
        skip();
    }
    assert_int_equal(mr_dpdk_start(&config, &error), MR_OK);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        check_folder(root, folders[i]);
    mr_dpdk_stop();
    print_message("%u captures, %u flows, %u shuffled runs\n", files, flows, shuffled);
    assert_true(files > 50 && shuffled > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(real_captures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
