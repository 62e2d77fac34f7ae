/* The packet path without a network card: 64-byte packets of so many UDP flows, made as fast as
 * possible, through decoding, flow lookup and counting. One stage after the other is switched on,
 * so that the difference of two lines is what a stage costs. Bursts are as large as the engine's
 * with one worker, and with live capture.
 *
 * usage: packet_path [-f FLOWS] [-n PACKETS] [-w WORKERS] [-l LANES] [-c FILE] [STAGE...]
 *   -c FILE   only writes PACKETS packets as a capture, for others to read
 *   stages    source decode runtime key lookup count; all when none is named
 * Prints a JSON object for each stage. A flow's first packet is dearer than later ones: a context
 * is made, and its memory comes from the kernel for the first time. So each flow has one packet
 * before PACKETS of flows at random, and the two are told apart. Here flows come faster than the
 * thread of base/pages.h clears large pages for them, most of all where other cores are busy: what
 * it has not done the worker does, else a run would measure how many there were. That time is told
 * with the first packets'. Beside it:
 *   dpdk-testpmd --no-huge -m 512 --no-pci --vdev net_null0 -l 0,1 -- --forward-mode=macswap
 *       --total-num-mbufs=8192 --stats-period 1 --auto-start      (packets without a look at them)
 *   ndpiReader -q -i FILE                                         (the same flows, written by -c)
 */
#include "analog/analog.h"
#include "capture/dpdk.h"
#include "capture/source.h"
#include "packet/decode.h"
#include "runtime/runtime.h"

#include <getopt.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define FRAME_BYTES 60 /* 64 on the wire, with the checksum that cards strip */
#define RING_FRAMES 16384
#define LINK_TYPE   1
#define PACKET_NS   100 /* of packet time: ten million a second */

extern const struct mr_component mr_component_packet, mr_component_flow_count;

/* A network card's ring of frames, and what fills it. */
struct source {
    uint8_t (*ring)[64];
    struct rte_mempool *pool;
    struct mr_decoder decoder;
    struct mr_pages *pages;           /* of the run under way, or NULL */
    uint64_t n, limit, flows, random; /* the first `flows` of `limit` packets: one of each flow */
    struct clocks {
        double wall, cpu; /* seconds */
    } begun, made;        /* made: when all flows have had one */
};

static const uint8_t template[64] = {
    2,    0, 0, 0,  0, 1,  2, 0, 0,  0,  0, 2, 8,  0,                      /* Ethernet */
    0x45, 0, 0, 46, 0, 0,  0, 0, 64, 17, 0, 0, 10, 0, 0, 0, 172, 16, 0, 1, /* IPv4 */
    0,    0, 0, 53, 0, 26, 0, 0,                                           /* UDP */
};

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void make_frame(struct source *s, uint8_t *frame)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    uint64_t flow = s->n < s->flows ? s->n : (s->random >> 32) * s->flows >> 32;
    uint8_t name[5] = {(uint8_t)(flow >> 16), (uint8_t)(flow >> 8), (uint8_t)flow,
                       (uint8_t)(flow >> 24 | 0x80), (uint8_t)(flow * 7)};

    memcpy(frame, template, sizeof template);
    memcpy(frame + 27, name, 3);
    memcpy(frame + 34, name + 3, 2);
}

static struct clocks clocks_now(void)
{
    return (struct clocks){seconds_of(CLOCK_MONOTONIC), seconds_of(CLOCK_PROCESS_CPUTIME_ID)};
}

static uint32_t read_burst(struct source *s, struct mr_burst *burst, uint32_t n)
{
    uint64_t until = s->n < s->flows ? s->flows : s->limit;

    if (s->n == s->flows)
        s->made = clocks_now();
    if (s->n < s->flows && s->pages)
        mr_pages_settle(s->pages);
    if (until - s->n < n)
        n = (uint32_t)(until - s->n);
    while (n && rte_mempool_get_bulk(s->pool, (void **)burst->mbufs, n))
        n /= 2;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *frame = s->ring[s->n % RING_FRAMES];
        struct rte_mbuf *mbuf = burst->mbufs[i];
        struct mr_packet *packet = &burst->packets[i];
        make_frame(s, frame);
        rte_pktmbuf_reset(mbuf);
        mbuf->buf_addr = frame;
        mbuf->data_off = 0;
        mbuf->data_len = FRAME_BYTES;
        mbuf->pkt_len = FRAME_BYTES;
        packet->data = frame;
        packet->number = ++s->n;
        packet->time_ns = 1000000000ull + s->n * PACKET_NS;
        packet->len = packet->wire_len = FRAME_BYTES;
        packet->interface = 0;
        packet->link_type = LINK_TYPE;
    }
    burst->n = burst->n_mbufs = n;
    return n;
}

static void decode(struct source *s, struct mr_burst *burst)
{
    struct mr_fragment_view view;
    for (uint32_t i = 0; i < burst->n; i++)
        if (mr_decode(&s->decoder, &burst->packets[i], &view) != MR_DROP_NONE)
            abort(); /* they are all alike */
}

/* ---- the runtime's hooks ---- */

static enum mr_status intake(void *user, struct mr_metrics *metrics, struct mr_token *token)
{
    struct source *s = user;

    (void)metrics;
    if (s->n == s->limit)
        return MR_EOF;
    if (read_burst(s, &token->burst, MR_BURST_USUAL))
        decode(s, &token->burst);
    token->bytes = (uint64_t)token->burst.n * FRAME_BYTES;
    return MR_OK;
}

static void leave(void *user, struct mr_exec *exec, const struct mr_tuples *tuples)
{
    (void)user;
    (void)exec;
    (void)tuples;
}

static void retire(void *user, struct mr_metrics *metrics, struct mr_token *token,
                   const struct mr_record *records)
{
    (void)user;
    (void)metrics;
    (void)records;
    mr_burst_release(&token->burst);
}

/* What a lookup alone costs: a function that needs a context and leaves it alone. */
static void touch(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++)
        call->out[row] = mr_value_int(1);
}

static const struct mr_function touch_function = {
    .name = "f_touch",
    .summary = "1",
    .args = {MR_TYPE_FLOW},
    .n_args = 1,
    .result = MR_TYPE_INT,
    .order = MR_ORDER_CONTEXT,
    .context_key = MR_TYPE_FLOW,
    .context_bytes = 16,
    .silent_end = true,
    .call = touch,
};
static const struct mr_component touch_component = {.abi = MR_COMPONENT_ABI,
                                                    .bytes = sizeof touch_component,
                                                    .name = "touch",
                                                    .summary = "for this bench",
                                                    .functions = &touch_function,
                                                    .n_functions = 1};

#define KEYS(wanted)                                                                               \
    "component keys(parallel) { k1 keyed(@N, FLOW, X) :- input(@N, PKT, SRC, DST),"                \
    " FLOW = f_getUDPFlowId(SRC, DST), X = 0" wanted ". }\n"
#define FLOWS(what)                                                                                \
    "component flows(parallel_context_order, context_keys(keyed(2))) {"                            \
    " f1 kept(@N, COUNT) :- keyed(@N, FLOW, X), COUNT = " what ", COUNT < 0. }\n"

static const struct {
    const char *name, *program;
} stages[] = {
    {"source", NULL},
    {"decode", NULL},
    {"runtime",
     "component none(parallel) { n1 kept(@N, X) :- input(@N, PKT, _, _), X = 0, X == 1. }"},
    {"key", KEYS(", X == 1")},
    {"lookup", KEYS("") FLOWS("f_touch(FLOW)")},
    {"count", KEYS("") FLOWS("f_flowCount(FLOW)")},
};
#define N_STAGES (sizeof stages / sizeof *stages)

static void fail(const char *what, const struct mr_error *error)
{
    fprintf(stderr, "packet_path: %s%s%s\n", what, error ? ": " : "", error ? error->text : "");
    exit(2);
}

static struct mr_plan *compile(const char *text)
{
    const struct mr_component *list[] = {&mr_component_packet, &mr_component_flow_count,
                                         &touch_component};
    struct mr_analog_config config = {.components = list, .n_components = 3};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan = NULL;

    if (!diagnostics ||
        mr_analog_compile_text("bench", text, strlen(text), &config, diagnostics, &plan)) {
        mr_diagnostics_print(diagnostics, stderr, false);
        fail("the program does not compile", NULL);
    }
    mr_diagnostics_free(diagnostics);
    return plan;
}

static void run_program(struct source *s, const char *text, uint32_t workers, uint32_t lanes)
{
    struct mr_runtime_config config = {
        .plan = compile(text),
        .hooks = {.user = s, .intake = intake, .leave = leave, .retire = retire},
        .workers = workers,
        .lanes = lanes,
        .max_contexts = s->flows + s->flows / 16,
    };
    struct mr_buffers *buffers = NULL;
    struct mr_runtime *runtime = NULL;
    struct mr_error error = {0};

    if (mr_buffers_new(&buffers, (uint64_t)1 << 30) || mr_pages_new(&config.pages) ||
        mr_secret_draw(&config.secret, 1))
        fail("out of memory", NULL);
    config.buffers = buffers;
    s->pages = config.pages;
    if (mr_runtime_new(&runtime, &config, &error) || mr_runtime_run(runtime, &error))
        fail("cannot run", &error);
    mr_runtime_free(runtime);
    mr_pages_free(config.pages);
    s->pages = NULL;
    mr_buffers_free(buffers);
    mr_plan_free((struct mr_plan *)(uintptr_t)config.plan);
}

static void run_stage(struct source *s, size_t stage, uint32_t workers, uint32_t lanes)
{
    static struct mr_burst burst;

    s->begun = clocks_now();
    s->n = 0;
    s->random = 88172645463325252u;
    if (stages[stage].program) {
        run_program(s, stages[stage].program, workers, lanes);
    } else {
        workers = 1;
        while (read_burst(s, &burst, MR_BURST_USUAL)) {
            if (!strcmp(stages[stage].name, "decode"))
                decode(s, &burst);
            mr_burst_release(&burst);
        }
    }
    struct clocks now = clocks_now();
    double n = (double)(s->limit - s->flows), wall = now.wall - s->made.wall;
    printf("{\"stage\": \"%s\", \"workers\": %u, \"flows\": %llu, \"packets\": %.0f, "
           "\"seconds\": %.3f, \"mpps\": %.2f, \"cpu_ns_per_packet\": %.1f, "
           "\"cpu_ns_per_first_packet\": %.1f}\n",
           stages[stage].name, workers, (unsigned long long)s->flows, n, wall, n / wall / 1e6,
           (now.cpu - s->made.cpu) / n * 1e9,
           (s->made.cpu - s->begun.cpu) / (double)s->flows * 1e9);
    fflush(stdout);
}

/* The same packets as a capture (pcap, nanoseconds). */
static void write_capture(struct source *s, const char *path)
{
    const uint32_t header[6] = {0xa1b23c4d, 2 | 4 << 16, 0, 0, 65535, LINK_TYPE};
    FILE *file = fopen(path, "wb");
    bool ok = file && fwrite(header, sizeof header, 1, file) == 1;
    uint8_t frame[64];

    s->random = 88172645463325252u;
    for (; ok && s->n < s->limit; s->n++) {
        uint64_t ns = 1000000000ull + (s->n + 1) * PACKET_NS;
        const uint32_t record[4] = {(uint32_t)(ns / 1000000000u), (uint32_t)(ns % 1000000000u),
                                    FRAME_BYTES, FRAME_BYTES};
        make_frame(s, frame);
        ok =
            fwrite(record, sizeof record, 1, file) == 1 && fwrite(frame, FRAME_BYTES, 1, file) == 1;
    }
    if (file && fclose(file))
        ok = false;
    if (!ok)
        fail("cannot write the capture", NULL);
}

int main(int argc, char **argv)
{
    struct source s = {
        .limit = 20000000, .flows = 1000000, .decoder = {.checksum = MR_CHECKSUM_NONE}};
    struct mr_dpdk_config dpdk = {.max_packets = 0};
    struct mr_error error = {0};
    uint32_t workers = 1, lanes = 0;
    const char *capture = NULL;
    int option;

    while ((option = getopt(argc, argv, "f:n:w:l:c:")) != -1) {
        unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;
        if (option == 'f')
            s.flows = value;
        else if (option == 'n')
            s.limit = value;
        else if (option == 'w')
            workers = (uint32_t)value;
        else if (option == 'l')
            lanes = (uint32_t)value;
        else if (option == 'c')
            capture = optarg;
        else
            return 1;
    }
    if (!s.flows || s.flows > UINT32_MAX || !workers) {
        fprintf(stderr, "usage: packet_path [-f FLOWS] [-n PACKETS] [-w WORKERS] [-l LANES] "
                        "[-c FILE] [STAGE...]\n");
        return 1;
    }
    if (capture) {
        write_capture(&s, capture);
        return 0;
    }
    s.limit += s.flows;
    dpdk.max_packets = RING_FRAMES / 2;
    if (mr_dpdk_start(&dpdk, &error))
        fail("DPDK", &error);
    s.pool = mr_dpdk_pool();
    s.ring = aligned_alloc(64, RING_FRAMES * sizeof *s.ring);
    if (!s.ring)
        fail("out of memory", NULL);
    for (size_t stage = 0; stage < N_STAGES; stage++) {
        bool wanted = optind == argc;
        for (int i = optind; i < argc; i++)
            wanted = wanted || !strcmp(argv[i], stages[stage].name);
        if (wanted)
            run_stage(&s, stage, workers, lanes);
    }
    free(s.ring);
    mr_dpdk_stop();
    return 0;
}
