/* Invariant I4: what is delivered does not depend on how the bytes were cut into segments nor on
 * their order within the window.
 *
 * A small network is simulated: two ends that cut their bytes at random, lose and repeat segments,
 * and acknowledge; then a capture of it that shuffles packets over a few places, doubles some, and
 * (in some runs) misses some or a whole side. What the assembler delivers must be what was sent;
 * bytes of which the capture has no copy must be told as gaps, and only those. */
// layers: stream base
#include "tcp_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_BYTES   120000
#define MAX_PACKETS 40000

struct event {
    int from;
    uint32_t seq, ack, at, len; /* at: offset of its bytes in the sender's stream */
    uint16_t window;
    uint8_t flags;
    bool scale; /* has a window scale option */
};

struct side {
    uint8_t bytes[MAX_BYTES];
    uint8_t got[MAX_BYTES];      /* the receiver has it */
    uint8_t captured[MAX_BYTES]; /* the capture has a copy */
    uint32_t len, isn;
    uint32_t sent, received; /* by the receiver, in order */
    uint32_t window;         /* that it grants */
    uint32_t edge;           /* that it has granted to the other side, an offset in its stream */
    bool fin_sent, fin_received;
};

struct sim {
    struct side side[2];
    struct event events[MAX_PACKETS];
    int n;
    bool scaled;
    uint64_t random;
};

static struct sim sim;

static uint32_t draw(uint32_t below)
{
    sim.random ^= sim.random << 13;
    sim.random ^= sim.random >> 7;
    sim.random ^= sim.random << 17;
    return (uint32_t)((sim.random >> 11) % below);
}

static uint32_t draw_isn(void)
{
    switch (draw(3)) {
    case 0:
        return 0u - draw(MAX_BYTES); /* the numbers wrap in the middle */
    case 1:
        return 0x80000000u - draw(MAX_BYTES);
    default:
        return (uint32_t)sim.random;
    }
}

/* A packet of `from` with its bytes [at, at + len), as its state makes it. */
static void emit(int from, uint32_t at, uint32_t len, uint8_t flags)
{
    struct side *own = &sim.side[from], *peer = &sim.side[!from];
    uint32_t window = own->window >> (sim.scaled && !(flags & MR_TCP_SYN) ? 7 : 0);

    if (sim.n == MAX_PACKETS)
        return;
    if (window > 65535)
        window = 65535;
    sim.events[sim.n++] = (struct event){
        .from = from,
        .seq = own->isn + 1 + at - (flags & MR_TCP_SYN ? 1 : 0),
        .ack = flags & MR_TCP_ACK ? peer->isn + 1 + peer->received + peer->fin_received : 0,
        .at = at,
        .len = len,
        .window = (uint16_t)window,
        .flags = flags,
        .scale = flags & MR_TCP_SYN && sim.scaled};
    uint32_t real = window << (sim.scaled && !(flags & MR_TCP_SYN) ? 7 : 0);
    if (peer->edge < peer->received + real)
        peer->edge = peer->received + real;
}

static void receive(int from, uint32_t at, uint32_t len, bool fin)
{
    struct side *s = &sim.side[from];

    memset(s->got + at, 1, len);
    while (s->received < s->len && s->got[s->received])
        s->received++;
    if (fin && s->received == s->len)
        s->fin_received = true;
}

static void send_some(int from)
{
    struct side *s = &sim.side[from];
    uint32_t at = s->sent, most = draw(4) ? 1460 : 40;

    if (s->sent > s->received && (draw(8) == 0 || s->sent == s->len)) /* again, cut differently */
        at = s->received + (draw(2) ? draw(s->sent - s->received) : 0);
    uint32_t end = s->len < s->edge ? s->len : s->edge;
    uint32_t len = end > at ? 1 + draw(most) : 0;
    if (len > end - at)
        len = end - at;
    if (!len && (s->sent < s->len || (s->fin_sent && s->fin_received)))
        return;
    if (!len)
        at = s->len;
    bool fin = at + len == s->len && s->len <= s->edge && (!len || draw(2));
    if (!len && !fin)
        return;
    bool lost = draw(20) == 0;
    emit(from, at, len,
         (uint8_t)(MR_TCP_ACK | (fin ? MR_TCP_FIN : 0) | (draw(2) ? MR_TCP_PSH : 0)));
    if (at + len > s->sent)
        s->sent = at + len;
    s->fin_sent |= fin;
    if (!lost)
        receive(from, at, len, fin);
}

static void open_flow(void)
{
    emit(C, 0, 0, MR_TCP_SYN);
    if (draw(10) == 0)
        emit(C, 0, 0, MR_TCP_SYN);
    switch (draw(6)) {
    case 0: /* four ways */
        emit(S, 0, 0, MR_TCP_SYN);
        emit(C, 0, 0, MR_TCP_SYN | MR_TCP_ACK);
        emit(S, 0, 0, MR_TCP_ACK);
        break;
    case 1: /* both at once */
        emit(S, 0, 0, MR_TCP_SYN);
        emit(S, 0, 0, MR_TCP_SYN | MR_TCP_ACK);
        emit(C, 0, 0, MR_TCP_SYN | MR_TCP_ACK);
        break;
    default:
        emit(S, 0, 0, MR_TCP_SYN | MR_TCP_ACK);
        emit(C, 0, 0, MR_TCP_ACK);
    }
}

/* A whole conversation into sim.events. */
static void simulate(uint64_t seed, bool handshake)
{
    memset(&sim, 0, sizeof sim);
    sim.random = seed * 0x9e3779b97f4a7c15u | 1;
    for (int i = 0; i < 8; i++)
        draw(2);
    sim.scaled = draw(2);
    for (int d = 0; d < 2; d++) {
        struct side *s = &sim.side[d];
        s->len = draw(8) ? draw(draw(3) ? 6000 : MAX_BYTES) : 0;
        s->isn = draw_isn();
        s->window = draw(2) ? 65535 : 2000 + draw(60000);
        for (uint32_t i = 0; i < s->len; i++)
            s->bytes[i] = (uint8_t)draw(256);
    }
    if (handshake)
        open_flow();
    else
        sim.side[0].edge = sim.side[1].edge = 20000;
    for (int i = 0; i < MAX_PACKETS - 100; i++) {
        const struct side *c = &sim.side[C], *s = &sim.side[S];
        if (c->fin_received && s->fin_received)
            break;
        int who = (int)draw(2);
        if (draw(3) == 0)
            emit(who, sim.side[who].sent + sim.side[who].fin_sent, 0, MR_TCP_ACK);
        else
            send_some(who);
    }
    emit(C, sim.side[C].sent + 1, 0, MR_TCP_ACK);
    assert_true(sim.side[C].fin_received && sim.side[S].fin_received);
}

/* What the capture does to the packets. */
struct capture {
    uint32_t displacement; /* a packet moves by at most so many places */
    uint32_t miss;         /* one in so many is missed; 0: none */
    int deaf;              /* a side that is not seen at all; -1: none */
    uint64_t step_ns;
    uint32_t depth; /* 0: none */
};

static int order[MAX_PACKETS * 2];

/* Which packets are captured, and in which order. Returns their number. */
static int capture(const struct capture *how)
{
    static uint32_t keys[MAX_PACKETS * 2];
    int n = 0;

    for (int i = 0; i < sim.n; i++) {
        const struct event *e = &sim.events[i];
        if (e->from == how->deaf || (i && how->miss && draw(how->miss) == 0))
            continue;
        memset(sim.side[e->from].captured + e->at, 1, e->len);
        for (int copies = draw(12) ? 1 : 2; copies; copies--) {
            uint32_t key = (uint32_t)i + (i && how->displacement ? draw(how->displacement) : 0);
            int at = n++;
            for (; at > 0 && keys[at - 1] > key; at--) {
                keys[at] = keys[at - 1];
                order[at] = order[at - 1];
            }
            keys[at] = key;
            order[at] = i;
        }
    }
    return n;
}

static void play_some(struct rig *r, int first, int end)
{
    static const uint8_t scale[] = {1, 3, 3, 7};

    for (int i = first; i < end; i++) {
        const struct event *e = &sim.events[order[i]];
        r->window = e->window;
        rig_send_options(r, e->from, e->seq, e->ack, e->flags, scale, e->scale ? 4 : 0,
                         sim.side[e->from].bytes + e->at, e->len);
    }
}

static void play(struct rig *r, int n)
{
    play_some(r, 0, n);
}

/* Does the stream have what was captured, from its byte `base` on, `most` bytes of it? */
static bool right(const struct rig_stream *got, const struct side *s, uint32_t base, uint32_t most,
                  bool whole)
{
    uint32_t n = s->len - base < most ? s->len - base : most;

    if (got->n > n + 1 || (whole && got->n != n))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        bool there = s->captured[base + i];
        if (i >= got->n) {
            if (there)
                return false;
        } else if (got->items[i] != (there ? s->bytes[base + i] : RIG_LOST)) {
            return false;
        }
    }
    return true;
}

static void run(uint64_t seed, const struct capture *how, int policy, bool must_end)
{
    static const char *const policies[] = {"first", "last", "bsd", "linux", "windows", "solaris"};
    struct rig *r = rig_new();

    mr_overlap_policy_parse(policies[policy], &r->config.policy);
    r->step_ns = how->step_ns;
    uint32_t most = how->depth ? how->depth : UINT32_MAX;
    if (how->depth)
        r->config.depth = how->depth;
    play(r, capture(how));
    struct rig_flow *f = r->flows[0];
    bool ended = f->ends == 1 && f->end_reason == MR_FLOW_END_FIN;
    if (!f->ends)
        rig_finish(r, MR_FLOW_END_TIMEOUT);
    bool good = r->n_flows == 1 && !r->broken && f->ends == 1 && (ended || !must_end) &&
                !rig_anomaly(r, "stream.reassembly_overlap_different_data");
    /* a server that is seen alone, and opens with a SYN of its own, passes for the client */
    int swapped = memcmp(&f->flow.client, &r->ends[C], sizeof r->ends[C]) != 0;
    for (int d = 0; d < 2; d++)
        good &=
            right(&f->streams[d ^ swapped], &sim.side[d], 0, most, !how->miss && d != how->deaf);
    for (int d = 0; d < 2 && !how->miss; d++) {
        uint32_t len = sim.side[d].len;
        good &= f->flow.uninspected[d] == (len > most ? len - most : 0) &&
                (f->flow.depth_reached >> d & 1) == (len > most) && f->rests[d] == (len > most);
    }
    if (!good)
        fprintf(stderr,
                "seed %llu: %d flows, broken %d, ends %d (%d), %zu of %u and %zu of %u, gaps %llu "
                "%llu, uninspected %llu %llu, anomalies %d %s\n",
                (unsigned long long)seed, r->n_flows, r->broken, f->ends, f->end_reason,
                f->streams[C].n, sim.side[C].len, f->streams[S].n, sim.side[S].len,
                (unsigned long long)f->flow.gap_bytes[C], (unsigned long long)f->flow.gap_bytes[S],
                (unsigned long long)f->flow.uninspected[C],
                (unsigned long long)f->flow.uninspected[S], r->n_anomalies,
                r->n_anomalies ? r->anomalies[0] : "");
    assert_true(good);
    rig_free(r);
}

#define SEEDS 1500

static void cut_and_shuffled(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct capture how = {.displacement = (uint32_t)(seed % 32), .deaf = -1, .step_ns = 50000};
        simulate(seed, true);
        run(seed, &how, (int)(seed % 6), true);
    }
}

/* The stream ends at an exact byte, however it was cut; the flow's end is seen all the same. */
static void up_to_a_depth(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct capture how = {.displacement = (uint32_t)(seed % 32),
                              .miss = seed % 5 ? 0 : 30,
                              .deaf = -1,
                              .step_ns = 50000};
        simulate(seed + 50000, true);
        how.depth = 1 + draw(draw(2) ? 2000 : MAX_BYTES);
        run(seed, &how, (int)(seed % 6), !how.miss);
    }
}

/* From some packet on nothing is told but the end; before that all is. */
static void bypassed_from_a_packet_on(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct capture how = {.displacement = (uint32_t)(seed % 32), .deaf = -1, .step_ns = 50000};
        struct rig *r = rig_new();
        simulate(seed + 60000, true);
        int n = capture(&how), before = 1 + (int)draw((uint32_t)n);
        play_some(r, 0, before);
        struct rig_flow *f = r->flows[0];
        size_t told[2] = {f->streams[0].n, f->streams[1].n};
        f->flow.bypass_asked = 1;
        f->flow.bypass_from = r->number + 1;
        play_some(r, before, n);
        if (!f->ends)
            rig_finish(r, MR_FLOW_END_TIMEOUT);
        bool good =
            r->n_flows == 1 && !r->broken && f->ends == 1 && (before == n || f->flow.bypassed);
        for (int d = 0; d < 2 && before < n; d++)
            good &= f->streams[d].n == told[d] &&
                    right(&f->streams[d], &sim.side[d], 0, (uint32_t)told[d], true);
        if (!good)
            fprintf(stderr, "seed %llu, packet %d of %d: %d flows, broken %d, ends %d\n",
                    (unsigned long long)seed, before, n, r->n_flows, r->broken, f->ends);
        assert_true(good);
        rig_free(r);
    }
}

static void slow_and_shuffled(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 3; seed++) {
        struct capture how = {
            .displacement = (uint32_t)(seed % 16), .deaf = -1, .step_ns = 900000000};
        simulate(seed + 10000, true);
        run(seed, &how, (int)(seed % 6), true);
    }
}

static void with_missed_packets(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct capture how = {.displacement = (uint32_t)(seed % 16),
                              .miss = 10 + (uint32_t)(seed % 200),
                              .deaf = -1,
                              .step_ns = 50000};
        simulate(seed + 20000, true);
        run(seed, &how, (int)(seed % 6), false);
    }
}

static void one_side_only(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 2; seed++) {
        struct capture how = {
            .displacement = (uint32_t)(seed % 16), .deaf = (int)(seed & 1), .step_ns = 50000};
        simulate(seed + 30000, true);
        /* the first packet must not be displaced: keep it the seen side's SYN */
        if (how.deaf == C) {
            int first = 0;
            while (first < sim.n && sim.events[first].from == C)
                first++;
            memmove(sim.events, sim.events + first, (size_t)(sim.n - first) * sizeof *sim.events);
            sim.n -= first;
        }
        run(seed, &how, (int)(seed % 6), false);
    }
}

/* Without its beginning: each side begins with its first packet captured. */
static void from_the_middle(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 2; seed++) {
        struct capture how = {.displacement = 0, .deaf = -1, .step_ns = 50000};
        simulate(seed + 40000, false);
        int skip = (int)draw((uint32_t)sim.n / 2 + 1);
        while (skip < sim.n && sim.events[skip].flags & MR_TCP_FIN && !sim.events[skip].len)
            skip++; /* nobody begins with a FIN */
        memmove(sim.events, sim.events + skip, (size_t)(sim.n - skip) * sizeof *sim.events);
        sim.n -= skip;
        uint32_t base[2] = {UINT32_MAX, UINT32_MAX};
        for (int i = 0; i < sim.n; i++)
            if (base[sim.events[i].from] == UINT32_MAX)
                base[sim.events[i].from] = sim.events[i].at;
        struct rig *r = rig_new();
        play(r, capture(&how));
        if (!r->flows[0]->ends)
            rig_finish(r, MR_FLOW_END_TIMEOUT);
        bool good = r->n_flows == 1 && !r->broken;
        for (int d = 0; d < 2; d++)
            if (base[d] <= sim.side[d].len)
                good &= right(&r->flows[0]->streams[d], &sim.side[d], base[d], UINT32_MAX, false);
        if (!good)
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        assert_true(good);
        rig_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_and_shuffled),          cmocka_unit_test(slow_and_shuffled),
        cmocka_unit_test(with_missed_packets),       cmocka_unit_test(one_side_only),
        cmocka_unit_test(from_the_middle),           cmocka_unit_test(up_to_a_depth),
        cmocka_unit_test(bypassed_from_a_packet_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
