/* A capture thread: reads one queue, and nothing holds it up. */
#include "engine/internal.h"

#include "base/clock.h"
#include "base/slice.h"
#include "capture/dpdk.h"
#include "capture/spread.h"

#include <linux/futex.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Without packets a thread spins, then lets others run (where cores are scarce: naps), then sleeps:
 * until a packet comes where the device can wake it, else for a millisecond at a time. */
#define SPIN_NS       20000u
#define SPIN_SHORT_NS 2000u /* where others want the core */
#define YIELD_NS      500000u
#define SLEEP_NS      100000000u /* at most, to look whether it should stop */
#define NAP_FIRST_NS  50000u
#define NAP_LAST_NS   1000000u
/* Where nothing came for so long, the first packet may wait longer: naps are such that an idle
 * engine takes under 2 % of a core, hence longer ones where more threads take them, but not so long
 * that a card's ring (4,096 frames) overflows at once. */
#define QUIET_NS       1000000000u
#define QUIET_EACH_NS  2000000u
#define QUIET_LEAST_NS 3000000u
#define QUIET_MOST_NS  10000000u
#define LAST_NS        100000000u /* for reading, once capture stops */
/* Drivers that work on several packets at once give none to who asks for few, and may ask for a
 * whole number of their steps. */
#define ASK_LEAST 32u
#define ASK_STEP  8u
#define SPREAD    64u    /* packets at a time */
#define BEHIND_NS 50000u /* no burst is free: the workers need the core more */

static bool stopping(const struct mr_rx *rx)
{
    return atomic_load_explicit(&rx->live->stopping, memory_order_relaxed);
}

static void take_nap(uint64_t ns)
{
    struct timespec nap = {.tv_nsec = (long)ns};
    nanosleep(&nap, NULL);
}

/* From the device. */
static uint32_t receive(struct mr_rx *rx, struct rte_mbuf **mbufs, uint32_t max)
{
    uint32_t n = mr_port_receive(rx->port, rx->queue, mbufs, max);
    if (n)
        atomic_store_explicit(&rx->read, atomic_load_explicit(&rx->read, memory_order_relaxed) + n,
                              memory_order_relaxed);
    return n;
}

/* ---- bursts ---- */

/* Is what waits excused, because of a change of programs? */
static bool is_excused(struct mr_rx *rx, uint64_t now_ns)
{
    uint64_t begun_ns = 0, ended_ns = 0;
    mr_runtime_hold(rx->live->engine->runtime, &begun_ns, &ended_ns);
    mr_backlog_change(&rx->backlog, begun_ns, ended_ns, now_ns);
    return mr_backlog_excused(&rx->backlog, now_ns);
}

/* Packets that were accepted, and that no token has taken yet. */
static uint64_t count_waiting(const struct mr_rx *rx)
{
    return rx->accepted - atomic_load_explicit(&rx->processed, memory_order_acquire);
}

/* Have as many been accepted as may wait? */
static bool is_full(struct mr_rx *rx)
{
    uint64_t waiting = count_waiting(rx);
    if (waiting < MR_BACKLOG_LEAST)
        return false;
    uint64_t now_ns = mr_clock_ns();
    is_excused(rx, now_ns);
    return mr_backlog_full(&rx->backlog, waiting, rx->accepted - waiting, now_ns);
}

/* NULL: nothing can be accepted. */
static struct mr_rx_burst *open_burst(struct mr_rx *rx)
{
    if (is_full(rx))
        return NULL;
    if (!rx->open) {
        rx->open = mr_spsc_take_consumer(&rx->back);
        if (rx->open)
            rx->open->burst.n = rx->open->at = 0;
    }
    return rx->open;
}

/* Hands the burst over; there is room for all that there are. */
static void close_burst(struct mr_rx *rx)
{
    if (!rx->open || !rx->open->burst.n)
        return;
    (void)mr_spsc_put_producer(&rx->out, rx->open);
    rx->open = NULL;
    mr_runtime_notify(rx->live->engine->runtime);
}

/* ---- packets ---- */

/* The bytes of a frame in several pieces, in one. */
static const uint8_t *join_pieces(struct mr_rx *rx, const struct rte_mbuf *mbuf,
                                  struct mr_buffer **kept)
{
    struct mr_buffer *buffer = mr_buffers_get_for_token(rx->live->engine->buffers, mbuf->pkt_len);
    if (!buffer)
        return NULL;
    const void *bytes = rte_pktmbuf_read(mbuf, 0, mbuf->pkt_len, buffer->data);
    if (bytes != buffer->data)
        memcpy(buffer->data, bytes, mbuf->pkt_len);
    buffer->next = NULL;
    *kept = buffer;
    return buffer->data;
}

static enum mr_drop describe(struct mr_rx *rx, const struct rte_mbuf *mbuf, uint64_t now_ns,
                             struct mr_packet *packet, struct mr_buffer **kept)
{
    const struct mr_port_facts *facts = mr_port_facts(rx->port);
    struct mr_buffer *pieces = NULL;
    const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
    enum mr_drop reason = MR_DROP_NONE;

    *kept = NULL;
    if (mbuf->nb_segs > 1 && !(data = join_pieces(rx, mbuf, &pieces)))
        reason = MR_DROP_NO_BUFFER;
    else if (mbuf->pkt_len >= facts->packet_bytes && facts->kind != MR_PORT_CARD)
        reason = MR_DROP_TRUNCATED; /* it filled its frame to the last byte: there was more */
    if (reason != MR_DROP_NONE) {
        mr_metrics_drop(&rx->metrics, reason, 1);
        *kept = pieces;
        return reason;
    }
    packet->data = data;
    packet->len = packet->wire_len = mbuf->pkt_len;
    packet->time_ns = now_ns;
    packet->number = 1;
    packet->interface = (uint16_t)rx->port_index;
    packet->link_type = facts->link_type;
    reason = mr_sift_packet(&rx->sift, &rx->metrics, packet, kept);
    if (pieces) {
        pieces->next = *kept;
        *kept = pieces;
    }
    return reason;
}

/* Before it is said what became of them: an account read in between shows packets on their way. */
static void count_received(struct mr_rx *rx, uint32_t n)
{
    if (!rx->first_ns)
        rx->first_ns = mr_clock_ns();
    mr_metrics_add(&rx->metrics, MR_COUNT_PACKETS_RECEIVED, n);
}

static void give_buffers(struct mr_rx *rx, struct mr_buffer *list)
{
    while (list) {
        struct mr_buffer *next = list->next;
        mr_buffers_put(rx->live->engine->buffers, list);
        list = next;
    }
}

/* Takes n packets that stand behind those of the open burst in. */
static void take(struct mr_rx *rx, uint32_t n)
{
    struct mr_rx_burst *b = rx->open;
    struct mr_burst *burst = &b->burst;
    uint32_t to = burst->n, end = to + n;
    uint64_t bytes = 0, now_ns = mr_live_now_ns(rx->live);

    count_received(rx, n);
    if (!to)
        b->arrived_ticks = mr_ticks_now(&rx->live->ticks);
    for (uint32_t i = to; i < end; i++) {
        struct rte_mbuf *mbuf = burst->mbufs[i];
        if (i + 1 < end)
            __builtin_prefetch(rte_pktmbuf_mtod(burst->mbufs[i + 1], void *));
        bytes += mbuf->pkt_len;
        if (describe(rx, mbuf, now_ns, &burst->packets[to], &b->kept[to]) != MR_DROP_NONE) {
            give_buffers(rx, b->kept[to]);
            rte_pktmbuf_free(mbuf);
            continue;
        }
        burst->mbufs[to++] = mbuf;
    }
    rx->accepted += to - burst->n;
    burst->n = to;
    mr_metrics_add(&rx->metrics, MR_COUNT_BYTES_RECEIVED, bytes);
    if (to > MR_BURST_USUAL - ASK_LEAST)
        close_burst(rx);
}

static void drop_all(struct mr_rx *rx, struct rte_mbuf **mbufs, uint32_t n, enum mr_drop reason)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += mbufs[i]->pkt_len;
    count_received(rx, n);
    mr_metrics_add(&rx->metrics, MR_COUNT_BYTES_RECEIVED, bytes);
    mr_metrics_drop(&rx->metrics, reason, n);
    rte_pktmbuf_free_bulk(mbufs, n);
}

/* ---- one round ---- */

/* Reads from the device and hands to each thread of the port what is its. */
static uint32_t poll_and_spread(struct mr_rx *rx)
{
    struct rte_mbuf *mbufs[SPREAD];
    uint32_t n = receive(rx, mbufs, SPREAD);
    uint64_t handed = 0;

    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *data = rte_pktmbuf_mtod(mbufs[i], const uint8_t *);
        uint32_t to = mr_spread(data, mbufs[i]->data_len) % rx->n_siblings;
        struct mr_rx *sibling = &rx->siblings[to];
        if (!mr_spsc_put_producer(&sibling->inboxes[rx->queue], mbufs[i]))
            drop_all(rx, &mbufs[i], 1, MR_DROP_RING_FULL);
        else
            handed += sibling != rx;
    }
    for (uint32_t i = 0; handed && i < rx->n_siblings; i++)
        if (&rx->siblings[i] != rx)
            mr_rx_wake(&rx->siblings[i]);
    if (handed)
        atomic_fetch_add_explicit(&rx->handed_over, handed, memory_order_relaxed);
    return n;
}

static uint32_t empty_inboxes(struct mr_rx *rx)
{
    uint32_t total = 0;
    for (uint32_t from = 0; from < rx->n_siblings; from++) {
        struct mr_rx_burst *b = open_burst(rx);
        struct rte_mbuf *mbuf;
        uint32_t n = 0;
        if (!b) {
            rx->behind = true;
            break;
        }
        while (b->burst.n + n < MR_BURST_USUAL &&
               (mbuf = mr_spsc_take_consumer(&rx->inboxes[from])))
            b->burst.mbufs[b->burst.n + n++] = mbuf;
        if (n)
            take(rx, n);
        total += n;
    }
    return total;
}

/* What waited in the device for too long. */
static uint32_t drop_stale(struct mr_rx *rx, uint32_t most)
{
    struct rte_mbuf *mbufs[64];
    uint32_t total = 0, n = 0;
    do {
        n = receive(rx, mbufs, 64);
        drop_all(rx, mbufs, n, MR_DROP_NO_TOKEN);
        total += n;
    } while (n && total < most);
    return total;
}

/* Nothing can be accepted. */
static uint32_t fall_behind(struct mr_rx *rx)
{
    const struct mr_port_facts *facts = mr_port_facts(rx->port);
    uint32_t held = facts->ring_frames ? facts->ring_frames : mr_port_own_packets(facts->kind);
    struct rte_mbuf *mbufs[64];
    rx->behind = true;
    if (facts->tells_missed) {
        uint64_t now_ns = mr_clock_ns();
        is_excused(rx, now_ns);
        if (mr_backlog_stale(&rx->backlog, held, now_ns))
            return drop_stale(rx, held);
        take_nap(BEHIND_NS);
        return 0;
    }
    uint32_t n = receive(rx, mbufs, 64);
    drop_all(rx, mbufs, n, MR_DROP_NO_TOKEN);
    return n;
}

/* Of all threads of the port: has one of them no room for a round of packets? */
static bool inboxes_full(const struct mr_rx *rx)
{
    for (uint32_t i = 0; i < rx->n_siblings; i++)
        if (mr_spsc_size_any(&rx->siblings[i].inboxes[rx->queue]) > MR_RX_INBOX - SPREAD)
            return true;
    return false;
}

/* Where a device counts what it drops, packets that nobody has room for stay there for as long as
 * a change of programs excuses them. */
static bool leave_with_device(struct mr_rx *rx)
{
    if (!inboxes_full(rx) || !mr_port_facts(rx->port)->tells_missed ||
        !is_excused(rx, mr_clock_ns()))
        return false;
    rx->behind = true;
    take_nap(BEHIND_NS);
    return true;
}

static uint32_t round_of_reading(struct mr_rx *rx, bool polling)
{
    uint32_t n = 0;
    if (rx->spreads) {
        if (polling && !leave_with_device(rx))
            n = poll_and_spread(rx);
        return n + empty_inboxes(rx);
    }
    if (!polling)
        return 0;
    struct mr_rx_burst *b = open_burst(rx);
    if (!b)
        return fall_behind(rx);
    n = receive(rx, b->burst.mbufs + b->burst.n, (MR_BURST_USUAL - b->burst.n) & ~(ASK_STEP - 1));
    if (n)
        take(rx, n);
    return n;
}

/* ---- waiting ---- */

void mr_rx_wake(struct mr_rx *rx)
{
    /* sequentially consistent: who falls asleep looks once more after announcing it */
    if (atomic_exchange_explicit(&rx->asleep, 0, memory_order_seq_cst))
        syscall(SYS_futex, &rx->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static bool inboxes_empty(const struct mr_rx *rx)
{
    for (uint32_t i = 0; i < rx->n_siblings; i++)
        if (mr_spsc_size_any(&rx->inboxes[i]))
            return false;
    return true;
}

/* Nothing wakes it, or not all that it waits for. */
bool mr_rx_naps(const struct mr_rx *rx)
{
    return rx->polls &&
           (!mr_port_wakes(rx->port, rx->queue) || (rx->n_siblings > 1 && rx->spreads));
}

static void sleep_for_inboxes(struct mr_rx *rx)
{
    struct timespec most = {.tv_nsec = SLEEP_NS};
    atomic_store_explicit(&rx->asleep, 1, memory_order_seq_cst);
    if (inboxes_empty(rx) && !stopping(rx))
        syscall(SYS_futex, &rx->asleep, FUTEX_WAIT_PRIVATE, 1, &most, NULL, 0);
    atomic_store_explicit(&rx->asleep, 0, memory_order_seq_cst);
}

static uint64_t longest_nap(const struct mr_rx *rx, uint64_t now_ns)
{
    uint64_t ns = rx->live->nappers * (uint64_t)QUIET_EACH_NS;
    if (now_ns - rx->idle_since_ns < QUIET_NS)
        return NAP_LAST_NS;
    return ns < QUIET_LEAST_NS ? QUIET_LEAST_NS : ns < QUIET_MOST_NS ? ns : QUIET_MOST_NS;
}

static void sleep_for_device(struct mr_rx *rx, uint64_t now_ns)
{
    uint64_t most_ns = SLEEP_NS;
    if (mr_port_starved(rx->port)) { /* it has packets, but we have nothing to put them in */
        rx->behind = true;
        take_nap(BEHIND_NS);
        return;
    }
    if (mr_rx_naps(rx)) {
        uint64_t longest_ns = longest_nap(rx, now_ns);
        if (rx->nap_ns)
            rx->nap_ns *= 2;
        else /* who waits for siblings has little time */
            rx->nap_ns = rx->spreads ? NAP_FIRST_NS : NAP_LAST_NS;
        most_ns = rx->nap_ns = rx->nap_ns < longest_ns ? rx->nap_ns : longest_ns;
    }
    if (!mr_port_wait(rx->port, rx->queue, most_ns))
        atomic_store_explicit(&rx->live->ports[rx->port_index].gone, 1, memory_order_relaxed);
}

/* No packet this round. */
static void idle(struct mr_rx *rx)
{
    uint64_t now_ns = mr_clock_ns();

    /* without room in the pool the device may have packets; asking costs something */
    if (!rx->behind && !(mr_backlog_excused(&rx->backlog, now_ns) && mr_port_starved(rx->port)))
        mr_backlog_over(&rx->backlog, count_waiting(rx), now_ns);
    /* a burst waits for company only as long as the one before it waits, too */
    if (mr_spsc_size_any(&rx->out) == 0)
        close_burst(rx);
    if (!rx->idle_since_ns)
        rx->idle_since_ns = now_ns;
    bool crowded = rx->live->crowded;
    if (now_ns - rx->idle_since_ns < (crowded ? SPIN_SHORT_NS : SPIN_NS)) {
        for (int i = 0; i < 16; i++)
            __builtin_ia32_pause();
    } else if (now_ns - rx->idle_since_ns < YIELD_NS) {
        if (crowded) /* more is on its way: nobody has to wake us for it */
            take_nap(NAP_FIRST_NS);
        else
            sched_yield();
    } else if (mr_spsc_size_any(&rx->out) >= MR_RX_BURSTS / 2) {
        /* intake stands still: bursts of one packet each would soon be the last */
        take_nap(NAP_FIRST_NS);
    } else {
        close_burst(rx);
        if (rx->polls)
            sleep_for_device(rx, now_ns);
        else
            sleep_for_inboxes(rx);
    }
}

/* ---- the thread ---- */

/* When capture stops, threads read what has come already, but not for ever, and go on until what
 * they were handed is sifted. `dry`: there was nothing to read just now. */
static bool finished(struct mr_rx *rx, bool *polling, bool dry)
{
    struct mr_live_port *port = &rx->live->ports[rx->port_index];
    bool stop = stopping(rx) || atomic_load_explicit(&port->gone, memory_order_relaxed);

    if (!stop)
        return false;
    uint64_t now_ns = mr_clock_ns();
    if (!rx->stop_ns) { /* it has slept perhaps: looks once more */
        rx->stop_ns = now_ns + LAST_NS;
        return false;
    }
    if (*polling && !dry && now_ns < rx->stop_ns)
        return false;
    if (*polling) {
        *polling = false;
        atomic_fetch_sub_explicit(&port->polling, 1, memory_order_acq_rel);
    }
    return !atomic_load_explicit(&port->polling, memory_order_acquire) &&
           (!rx->spreads || inboxes_empty(rx));
}

void *mr_rx_main(void *argument)
{
    struct mr_rx *rx = argument;
    struct mr_live *live = rx->live;
    bool polling = rx->polls;
    char name[16];

    snprintf(name, sizeof name, "mr-rx-%u.%u", rx->port_index % 1000, rx->queue % 1000);
    prctl(PR_SET_NAME, name);
    prctl(PR_SET_TIMERSLACK, 1000); /* naps of 50 microseconds are meant to be short */
    mr_thread_slice(MR_LIVE_SLICE_NS);
    mr_dpdk_thread_register();
    for (uint32_t n = 0; !finished(rx, &polling, n == 0 && !rx->behind);) {
        rx->behind = false;
        n = round_of_reading(rx, polling);
        if (n)
            rx->idle_since_ns = rx->nap_ns = 0;
        else
            idle(rx);
    }
    close_burst(rx);
    mr_dpdk_thread_unregister();
    atomic_fetch_sub_explicit(&live->running, 1, memory_order_acq_rel);
    mr_runtime_notify(live->engine->runtime);
    return NULL;
}
