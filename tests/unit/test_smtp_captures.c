/* Real captures, decoded and put together by the lower layers: detector and SMTP processor make the
 * same of them however their streams are cut. */
// layers: components stream packet
#include "flow_rig.h"

#include "base/hash.h"
#include "packet/decode.h"
#include "stream/tcp.h"

#include <dirent.h>
#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

#define MAX_FLOWS 64

/* A chunk of its own memory. */
struct piece_of_flow {
    enum mr_chunk_kind kind;
    uint8_t direction;
    uint64_t gap;
    uint8_t *bytes;
    size_t n;
};

struct captured_flow {
    struct mr_flow_key key;
    struct mr_flow flow;
    struct mr_tcp tcp;
    struct piece_of_flow *pieces;
    size_t n, capacity;
};

struct capture {
    struct captured_flow *flows[MAX_FLOWS];
    size_t n_flows;
    struct captured_flow *current;
    struct outcome memory;
    struct mr_secret secret;
};

/* ---- from packets to chunks ---- */

static void on_chunk(void *user, const struct mr_chunk *chunk, struct mr_buffer *buffer)
{
    struct capture *capture = user;
    struct captured_flow *f = capture->current;

    if (f->n == f->capacity) {
        f->capacity = f->capacity ? 2 * f->capacity : 64;
        f->pieces = realloc(f->pieces, f->capacity * sizeof *f->pieces);
        assert_non_null(f->pieces);
    }
    struct piece_of_flow *piece = &f->pieces[f->n++];
    *piece = (struct piece_of_flow){.kind = (enum mr_chunk_kind)chunk->kind,
                                    .direction = chunk->direction,
                                    .gap = chunk->gap,
                                    .bytes = malloc(chunk->len ? chunk->len : 1),
                                    .n = chunk->len};
    assert_non_null(piece->bytes);
    if (chunk->len)
        memcpy(piece->bytes, chunk->data, chunk->len);
    outcome_put(&capture->memory, buffer);
}

static struct captured_flow *add_flow(struct capture *capture, const struct mr_flow_key *key)
{
    struct captured_flow *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_true(capture->n_flows < MAX_FLOWS);
    f->key = *key;
    f->flow.key = &f->key;
    capture->flows[capture->n_flows++] = f;
    return f;
}

static struct mr_tcp *on_renew(void *user, struct mr_flow **flow)
{
    struct capture *capture = user;

    capture->current = add_flow(capture, &capture->current->key);
    *flow = &capture->current->flow;
    return &capture->current->tcp;
}

static void on_stream_anomaly(void *user, const char *name)
{
    (void)user;
    (void)name;
}

static struct mr_buffer *stream_get(void *user, size_t capacity)
{
    return outcome_get(&((struct capture *)user)->memory, capacity);
}

static void stream_put(void *user, struct mr_buffer *buffer)
{
    outcome_put(&((struct capture *)user)->memory, buffer);
}

static struct mr_tcp_sink sink_of(struct capture *capture)
{
    return (struct mr_tcp_sink){capture,           on_chunk,   on_renew,
                                on_stream_anomaly, stream_get, stream_put};
}

static void on_packet(struct capture *capture, const struct mr_packet *packet)
{
    struct mr_tcp_config config;
    struct mr_tcp_sink sink = sink_of(capture);
    struct mr_flow_key key;

    mr_tcp_config_default(&config);
    mr_flow_key_make(&capture->secret, &packet->src, &packet->dst, &key);
    capture->current = NULL;
    for (size_t i = capture->n_flows; i-- > 0 && !capture->current;)
        if (!memcmp(&capture->flows[i]->key, &key, sizeof key))
            capture->current = capture->flows[i];
    if (!capture->current)
        capture->current = add_flow(capture, &key);
    mr_tcp_packet(&capture->current->tcp, &capture->current->flow, packet, &config, &sink);
}

static uint32_t word(const uint8_t *p, bool swapped)
{
    return swapped ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
                   : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* A classic capture file. False: it is none. */
static bool read_capture(struct capture *capture, const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t head[24], record[16], *frame = malloc(1 << 18);
    struct mr_decoder decoder = {.checksum = MR_CHECKSUM_NONE};
    uint64_t number = 0;

    assert_non_null(file);
    assert_non_null(frame);
    bool swapped = false, usable = fread(head, 1, 24, file) == 24;
    if (usable) {
        swapped = head[0] == 0xa1;
        usable = word(head, swapped) == 0xa1b2c3d4 || word(head, swapped) == 0xa1b23c4d;
    }
    while (usable && fread(record, 1, 16, file) == 16) {
        uint32_t len = word(record + 8, swapped);
        if (len > 1 << 18 || fread(frame, 1, len, file) != len)
            break;
        uint8_t *exact = malloc(len ? len : 1);
        assert_non_null(exact);
        memcpy(exact, frame, len);
        struct mr_packet packet = {.data = exact,
                                   .len = len,
                                   .wire_len = word(record + 12, swapped),
                                   .number = ++number,
                                   .time_ns = 1000000000ull * word(record, swapped) +
                                              1000ull * word(record + 4, swapped),
                                   .link_type = (uint16_t)word(head + 20, swapped)};
        struct mr_fragment_view fragment;
        if (mr_decode(&decoder, &packet, &fragment) == MR_DROP_NONE &&
            !(packet.flags & MR_PACKET_FRAGMENT) && packet.src.protocol == 6)
            on_packet(capture, &packet);
        free(exact);
    }
    fclose(file);
    free(frame);
    struct mr_tcp_config config;
    struct mr_tcp_sink sink = sink_of(capture);
    mr_tcp_config_default(&config);
    for (size_t i = 0; i < capture->n_flows; i++) {
        capture->current = capture->flows[i];
        mr_tcp_finish(&capture->current->tcp, &capture->current->flow, MR_FLOW_END_SHUTDOWN,
                      &config, &sink);
        mr_tcp_release(&capture->current->tcp, &sink);
    }
    assert_int_equal(capture->memory.in_use, 0);
    return usable;
}

/* ---- from chunks to mails and events ---- */

static uint64_t seed = 3;

static size_t below(size_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed % n);
}

/* most: of a chunk; 0: as captured. */
static char *inspect(const struct captured_flow *f, size_t most, uint64_t *mails)
{
    struct flow_rig rig;

    flow_rig_open(&rig, f->flow.server.port, f->flow.midstream);
    for (size_t k = 0; k < f->n; k++) {
        const struct piece_of_flow *p = &f->pieces[k];
        if (p->kind != MR_CHUNK_DATA)
            flow_rig_chunk(&rig, p->kind, p->direction, NULL, 0, p->gap);
        for (size_t at = 0; at < p->n;) {
            size_t n = most ? 1 + below(most) : p->n;
            if (n > p->n - at)
                n = p->n - at;
            flow_rig_chunk(&rig, MR_CHUNK_DATA, p->direction, p->bytes + at, n, 0);
            at += n;
        }
    }
    *mails = rig.yields;
    return flow_rig_close(&rig, false);
}

static void release(struct capture *capture)
{
    for (size_t i = 0; i < capture->n_flows; i++) {
        for (size_t k = 0; k < capture->flows[i]->n; k++)
            free(capture->flows[i]->pieces[k].bytes);
        free(capture->flows[i]->pieces);
        free(capture->flows[i]);
    }
}

static uint64_t check_file(const char *path, const char *name)
{
    struct capture capture = {.n_flows = 0};
    uint64_t mails, total = 0;

    assert_int_equal(mr_secret_draw(&capture.secret, 1), MR_OK);
    if (!read_capture(&capture, path)) {
        release(&capture);
        return 0;
    }
    for (size_t i = 0; i < capture.n_flows; i++) {
        char *whole = inspect(capture.flows[i], 0, &mails);
        total += mails;
        for (int round = 0; round < 4; round++) {
            char *cut = inspect(capture.flows[i], round ? 100 * (size_t)round : 1, &mails);
            if (strcmp(whole, cut))
                print_error("%s, flow %zu, round %d\n", name, i, round);
            assert_string_equal(whole, cut);
            free(cut);
        }
        free(whole);
    }
    release(&capture);
    return total;
}

static void real_captures(void **state)
{
    /* how many mails there are, counted by hand with another tool */
    static const struct {
        const char *name;
        uint64_t mails;
    } known[] = {
        {"zeek__smtp.pcap", 2},
        {"zeek__smtp-one-side-only.pcap", 2},
        {"zeek__smtp__rfc3030-bdat-0-last.pcap", 0},
        {"zeek__smtp__rfc3030-bdat-multipart-chunked.pcap", 1},
        {"zeek__smtp-mail-transactions-invalid.pcap", 2},
        {"zeek__tls__smtp-starttls.pcap", 0},
        {"suricata-verify__smtp-bdat-pipelined-next-mail__input.pcap", 2},
        {"suricata-verify__smtp-bdat-bad-tail-reply-queue__input.pcap", 1},
    };
    const char *data = getenv("MR_SHARED_DATA");
    char folder[4096], path[8192];
    size_t files = 0, found = 0;
    (void)state;

    if (!data) {
        print_message("SKIP: MR_SHARED_DATA is not set: no real captures\n");
        skip();
    }
    snprintf(folder, sizeof folder, "%s/captures/smtp", data);
    DIR *list = opendir(folder);
    if (!list) {
        print_message("SKIP: %s cannot be read\n", folder);
        skip();
    }
    struct dirent *entry;
    while ((entry = readdir(list))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        uint64_t mails = check_file(path, entry->d_name);
        files++;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            if (strcmp(known[i].name, entry->d_name))
                continue;
            found++;
            if (mails != known[i].mails)
                fail_msg("%s: %llu mails", entry->d_name, (unsigned long long)mails);
        }
    }
    closedir(list);
    assert_true(files > 0);
    assert_int_equal(found, sizeof known / sizeof *known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_captures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
