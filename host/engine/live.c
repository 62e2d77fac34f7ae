/* Live capture: opening and ending it, and the intake turn's side: bursts of all queues merged by
 * time into tokens. */
#include "engine/live.h"

#include "base/clock.h"
#include "engine/internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_mbuf.h>

#define SECOND_NS     1000000000u
#define FRAME_HEADERS 23u /* Ethernet and two tags; one more byte would count as cut */

uint64_t mr_live_now_ns(const struct mr_live *live)
{
    return mr_clock_ns() + atomic_load_explicit(&live->offset_ns, memory_order_relaxed);
}

static uint64_t system_offset(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec - mr_clock_ns();
}

const char *mr_live_interface(const struct mr_live *live, uint32_t port)
{
    return port < live->n_ports ? mr_port_facts(live->ports[port].port)->interface : NULL;
}

/* ---- opening ---- */

static void tell(const struct mr_live_port *p, FILE *to)
{
    const struct mr_port_facts *f = mr_port_facts(p->port);
    const char *how = "";
    if (p->n_rx > 1)
        how = p->rx[0].spreads ? ", flows handed over between threads in software"
                               : ", flows spread symmetrically by the device";
    fprintf(to, "millrace: %s: %s, %u queue%s, %u capture thread%s%s; frames up to %u bytes",
            f->name, f->driver, f->queues, f->queues == 1 ? "" : "s", p->n_rx,
            p->n_rx == 1 ? "" : "s", how, f->packet_bytes);
    if (f->ring_frames)
        fprintf(to, ", rings of %u%s", f->ring_frames,
                mr_port_ring_limit() < f->ring_bytes * 2 ? " (ulimit -l, or CAP_IPC_LOCK, for more)"
                                                         : "");
    fprintf(to, "\n");
    if (f->kind == MR_PORT_KERNEL && f->mtu + FRAME_HEADERS > f->packet_bytes)
        fprintf(to,
                "millrace: %s: the MTU of %u lets frames through that do not fit and are dropped "
                "(truncated); where they may come: ip link set %.*s mtu %u\n",
                f->name, f->mtu, (int)strcspn(f->name, ","), f->name,
                f->packet_bytes - FRAME_HEADERS);
}

static enum mr_status open_rx(struct mr_rx *rx, struct mr_engine *engine, struct mr_error *error)
{
    enum mr_status status = mr_sift_open(&rx->sift, engine, error);
    if (status)
        return status;
    rx->sift.decoder.host = mr_port_facts(rx->port)->kind == MR_PORT_KERNEL;
    rx->bursts = calloc(MR_RX_BURSTS, sizeof *rx->bursts);
    rx->inboxes = NULL;
    if (!rx->bursts || mr_spsc_init(&rx->out, MR_RX_BURSTS) ||
        mr_spsc_init(&rx->back, MR_RX_BURSTS))
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for a capture thread");
    for (uint32_t i = 0; i < MR_RX_BURSTS; i++)
        (void)mr_spsc_put_producer(&rx->back, &rx->bursts[i]);
    if (!rx->spreads)
        return MR_OK;
    size_t bytes = rx->n_siblings * sizeof *rx->inboxes;
    rx->inboxes = aligned_alloc(64, bytes);
    if (!rx->inboxes)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for a capture thread");
    memset(rx->inboxes, 0, bytes);
    for (uint32_t i = 0; i < rx->n_siblings; i++)
        if (mr_spsc_init(&rx->inboxes[i], MR_RX_INBOX))
            return mr_fail(error, MR_ERR_MEMORY, "out of memory for a capture thread");
    return MR_OK;
}

static enum mr_status open_port(struct mr_live *live, uint32_t index, struct mr_error *error)
{
    struct mr_engine *engine = live->engine;
    struct mr_live_port *p = &live->ports[index];
    uint32_t threads = engine->config.queues;
    struct mr_port_config config = {
        .name = engine->config.ports[index],
        .index = (uint16_t)index,
        .queues = threads,
        .packets = mr_live_packets(&engine->config),
        .promiscuous = !engine->config.no_promiscuous,
    };
    /* to open it takes the packets away from whoever has them, an engine that runs maybe */
    if (engine->config.plan_only && mr_port_kind_of(config.name) == MR_PORT_XDP)
        return mr_fail(error, MR_ERR_USAGE,
                       "-T: %s cannot be looked at without taking its packets; check with the "
                       "interface's name alone",
                       config.name);
    enum mr_status status = mr_port_open(&p->port, &config, error);
    if (status)
        return status;
    const struct mr_port_facts *facts = mr_port_facts(p->port);
    size_t bytes = threads * sizeof *p->rx;
    p->rx = aligned_alloc(64, bytes);
    if (!p->rx)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for capture threads");
    memset(p->rx, 0, bytes);
    p->n_rx = threads;
    for (uint32_t q = 0; q < threads && !status; q++) {
        struct mr_rx *rx = &p->rx[q];
        rx->live = live;
        rx->port = p->port;
        rx->port_index = index;
        rx->queue = q;
        rx->polls = q < facts->queues;
        rx->spreads = threads > 1 && (facts->queues < threads || !facts->symmetric);
        rx->siblings = p->rx;
        rx->n_siblings = threads;
        p->polling += rx->polls;
        live->nappers += mr_rx_naps(rx);
        status = open_rx(rx, engine, error);
    }
    return status;
}

enum mr_status mr_live_open(struct mr_live **out, struct mr_engine *engine, struct mr_error *error)
{
    enum mr_status status = MR_OK;
    struct mr_live *live = NULL;

    *out = NULL;
    if (!engine->config.n_ports)
        return MR_OK;
    live = calloc(1, sizeof *live);
    if (live)
        live->ports = calloc(engine->config.n_ports, sizeof *live->ports);
    if (!live || !live->ports) {
        free(live);
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for live capture");
    }
    live->engine = engine;
    live->n_ports = engine->config.n_ports;
    pthread_mutex_init(&live->ask_lock, NULL);
    mr_ticks_start(&live->ticks);
    atomic_init(&live->offset_ns, system_offset());
    for (uint32_t i = 0; i < live->n_ports && !status; i++)
        status = open_port(live, i, error);
    if (status) {
        mr_live_close(live);
        return status;
    }
    *out = live;
    return MR_OK;
}

enum mr_status mr_live_start(struct mr_live *live, struct mr_error *error)
{
    if (live->engine->config.duration_ns)
        live->end_ns = mr_clock_ns() + live->engine->config.duration_ns;
    for (uint32_t i = 0; i < live->n_ports; i++) {
        enum mr_status status = mr_port_start(live->ports[i].port, error);
        if (status)
            return status;
    }
    for (uint32_t i = 0; i < live->n_ports; i++)
        for (uint32_t q = 0; q < live->ports[i].n_rx; q++) {
            struct mr_rx *rx = &live->ports[i].rx[q];
            atomic_fetch_add_explicit(&live->running, 1, memory_order_relaxed);
            if (pthread_create(&rx->thread, NULL, mr_rx_main, rx)) {
                atomic_fetch_sub_explicit(&live->running, 1, memory_order_relaxed);
                /* those that run wait for all that poll: for none that never starts */
                for (uint32_t k = q; k < live->ports[i].n_rx; k++)
                    if (live->ports[i].rx[k].polls)
                        atomic_fetch_sub_explicit(&live->ports[i].polling, 1, memory_order_relaxed);
                return mr_fail(error, MR_ERR_START, "cannot start a capture thread for %s",
                               mr_port_facts(rx->port)->name);
            }
            rx->started = true;
        }
    for (uint32_t i = 0; i < live->n_ports; i++)
        tell(&live->ports[i], live->engine->config.diagnostics);
    return MR_OK;
}

/* ---- ending ---- */

static void stop_reading(struct mr_live *live)
{
    if (atomic_exchange_explicit(&live->stopping, 1, memory_order_seq_cst))
        return;
    for (uint32_t i = 0; i < live->n_ports; i++)
        for (uint32_t q = 0; q < live->ports[i].n_rx; q++)
            mr_rx_wake(&live->ports[i].rx[q]);
}

/* What fragments still wait for will not come. */
static void settle_fragments(struct mr_rx *rx)
{
    uint32_t held = mr_fragments_held(rx->sift.fragments);
    atomic_fetch_sub_explicit(&rx->metrics.drops[MR_DROP_FRAGMENT_HELD], held,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&rx->metrics.drops[MR_DROP_FRAGMENT_TIMEOUT], held,
                              memory_order_relaxed);
}

static void release_bursts(struct mr_rx *rx)
{
    for (uint32_t i = 0; rx->bursts && i < MR_RX_BURSTS; i++) {
        struct mr_rx_burst *b = &rx->bursts[i];
        for (uint32_t k = b->at; k < b->burst.n; k++) {
            rte_pktmbuf_free(b->burst.mbufs[k]);
            while (b->kept[k]) {
                struct mr_buffer *next = b->kept[k]->next;
                mr_buffers_put(rx->live->engine->buffers, b->kept[k]);
                b->kept[k] = next;
            }
        }
        b->burst.n = b->at = 0;
    }
}

/* A run begins with the first packet that came, which capture itself may have dropped. */
static void begin_no_later(struct mr_engine *engine, uint64_t first_ns)
{
    if (first_ns && (!engine->first_burst_ns || first_ns < engine->first_burst_ns))
        engine->first_burst_ns = first_ns;
}

void mr_live_finish(struct mr_live *live)
{
    stop_reading(live);
    for (uint32_t i = 0; i < live->n_ports; i++) {
        struct mr_live_port *p = &live->ports[i];
        for (uint32_t q = 0; q < p->n_rx; q++)
            if (p->rx[q].started)
                pthread_join(p->rx[q].thread, NULL);
        for (uint32_t q = 0; q < p->n_rx; q++) {
            p->rx[q].started = false;
            settle_fragments(&p->rx[q]);
            begin_no_later(live->engine, p->rx[q].first_ns);
        }
    }
    live->ended = true;
    struct mr_metrics last = {0};
    mr_live_metrics(live, &last); /* asks the devices while they are open */
    for (uint32_t i = 0; i < live->n_ports; i++)
        mr_port_stop(live->ports[i].port);
}

void mr_live_close(struct mr_live *live)
{
    if (!live)
        return;
    stop_reading(live);
    for (uint32_t i = 0; i < live->n_ports; i++) {
        struct mr_live_port *p = &live->ports[i];
        for (uint32_t q = 0; q < p->n_rx; q++) {
            struct mr_rx *rx = &p->rx[q];
            if (rx->started)
                pthread_join(rx->thread, NULL);
            release_bursts(rx);
            for (uint32_t s = 0; rx->inboxes && s < rx->n_siblings; s++)
                mr_spsc_free(&rx->inboxes[s]);
            free(rx->inboxes);
            free(rx->bursts);
            mr_spsc_free(&rx->out);
            mr_spsc_free(&rx->back);
            mr_sift_close(&rx->sift);
        }
        free(p->rx);
        mr_port_close(p->port);
    }
    pthread_mutex_destroy(&live->ask_lock);
    free(live->ports);
    free(live);
}

/* ---- the intake turn ---- */

static struct mr_rx_burst *burst_of(struct mr_rx *rx)
{
    if (!rx->taking)
        rx->taking = mr_spsc_take_consumer(&rx->out);
    return rx->taking;
}

/* Moves packets up to `until_ns` from the queue's burst to the token's. */
static void move(struct mr_live *live, struct mr_rx *rx, struct mr_token *token, uint32_t max,
                 uint64_t until_ns)
{
    struct mr_rx_burst *from = rx->taking;
    struct mr_burst *to = &token->burst;
    uint32_t first = from->at;

    if (!token->arrived_ticks || from->arrived_ticks < token->arrived_ticks)
        token->arrived_ticks = from->arrived_ticks;
    while (from->at < from->burst.n && to->n < max &&
           from->burst.packets[from->at].time_ns <= until_ns) {
        struct mr_packet *packet = &to->packets[to->n];
        *packet = from->burst.packets[from->at];
        packet->number = ++live->packets;
        if (packet->time_ns < live->set_ns) /* it was on its way when the clock was set */
            packet->time_ns = live->set_ns;
        token->bytes += packet->wire_len;
        to->mbufs[to->n_mbufs++] = from->burst.mbufs[from->at];
        to->n++;
        while (from->kept[from->at]) {
            struct mr_buffer *buffer = from->kept[from->at];
            from->kept[from->at] = buffer->next;
            mr_token_keep(token, buffer);
        }
        from->at++;
    }
    atomic_fetch_add_explicit(&rx->processed, from->at - first, memory_order_release);
    if (from->at == from->burst.n) {
        from->burst.n = from->at = 0;
        rx->taking = NULL;
        (void)mr_spsc_put_producer(&rx->back, from);
    }
}

/* The queue whose next packet is the oldest, and when the next one of another queue came. */
static struct mr_rx *oldest(struct mr_live *live, uint64_t *until_ns)
{
    struct mr_rx *best = NULL;
    uint64_t best_ns = UINT64_MAX;

    *until_ns = UINT64_MAX;
    for (uint32_t i = 0; i < live->n_ports; i++)
        for (uint32_t q = 0; q < live->ports[i].n_rx; q++) {
            struct mr_rx *rx = &live->ports[i].rx[q];
            struct mr_rx_burst *b = burst_of(rx);
            if (!b)
                continue;
            uint64_t ns = b->burst.packets[b->at].time_ns;
            if (ns < best_ns) {
                *until_ns = best_ns;
                best_ns = ns;
                best = rx;
            } else if (ns < *until_ns) {
                *until_ns = ns;
            }
        }
    return best;
}

static void tell_of(const struct mr_live_port *p, const char *what)
{
    fprintf(p->rx->live->engine->config.diagnostics, "millrace: %s: the interface %s\n",
            mr_port_facts(p->port)->name, what);
}

/* A system's clock that is set while the engine runs (after a start without a network, or a pause
 * of the machine) takes packet time along where that goes ahead, as it does when nothing comes. It
 * does not go back: timers would wait, and events for being written. */
static void look_after_clock(struct mr_live *live, uint64_t now_ns)
{
    FILE *to = live->engine->config.diagnostics;

    if (now_ns - live->looked_ns < SECOND_NS)
        return;
    live->looked_ns = now_ns;
    uint64_t before = atomic_load_explicit(&live->offset_ns, memory_order_relaxed);
    int64_t step = (int64_t)(system_offset() - before);
    uint64_t back_ns = step < 0 ? (uint64_t)-step : 0;
    if (step >= SECOND_NS) {
        live->set_ns = now_ns + before + (uint64_t)step;
        atomic_store_explicit(&live->offset_ns, before + (uint64_t)step, memory_order_relaxed);
        fprintf(to,
                "millrace: the system's clock was set %.1f s ahead; events follow it, and "
                "what lives no longer than that ends\n",
                (double)step / SECOND_NS);
    } else if (back_ns >= live->back_ns + SECOND_NS) {
        fprintf(to,
                "millrace: the system's clock was set %.1f s back; the times of events are so much "
                "ahead of it until the engine is started again\n",
                (double)back_ns / SECOND_NS);
    }
    if (back_ns + SECOND_NS <= live->back_ns || back_ns >= live->back_ns + SECOND_NS)
        live->back_ns = back_ns;
}

/* Interfaces that went down, came up, or went away: told once; capture ends with the last one. */
static void look_after_ports(struct mr_live *live)
{
    uint32_t gone = 0;
    for (uint32_t i = 0; i < live->n_ports; i++) {
        struct mr_live_port *p = &live->ports[i];
        bool down = mr_port_down(p->port);
        if (!atomic_load_explicit(&p->gone, memory_order_relaxed)) {
            if (down != p->down)
                tell_of(p, down ? "is down; capture goes on when it is up" : "is up again");
            p->down = down;
            continue;
        }
        gone++;
        if (!p->told && live->n_ports > 1)
            tell_of(p, "went away; capture goes on with the others");
        if (!p->told && !live->engine->input_error.status)
            mr_fail(&live->engine->input_error, MR_ERR_INPUT,
                    "-i %s: the interface went away while it was captured from",
                    mr_port_facts(p->port)->name);
        p->told = true;
    }
    if (gone == live->n_ports)
        stop_reading(live);
}

enum mr_status mr_live_read(void *user, struct mr_metrics *metrics, struct mr_token *token)
{
    struct mr_engine *engine = user;
    struct mr_live *live = engine->live;
    struct mr_rx *rx;
    uint64_t until_ns;
    (void)metrics;

    /* asked before the rings are looked at: what they hold then is all that comes */
    uint32_t running = atomic_load_explicit(&live->running, memory_order_acquire);
    while (token->burst.n < engine->config.burst && (rx = oldest(live, &until_ns)))
        move(live, rx, token, engine->config.burst, until_ns);
    uint64_t now_ns = mr_clock_ns();
    if (atomic_load_explicit(&engine->stop_asked, memory_order_relaxed) ||
        (live->end_ns && now_ns >= live->end_ns))
        stop_reading(live);
    look_after_ports(live);
    look_after_clock(live, now_ns);
    if (token->burst.n) {
        if (!engine->first_burst_ns)
            engine->first_burst_ns = now_ns;
        uint64_t last_ns = token->burst.packets[token->burst.n - 1].time_ns;
        if (last_ns / SECOND_NS > live->second)
            live->second = last_ns / SECOND_NS;
        return MR_OK;
    }
    if (!running)
        return MR_EOF;
    now_ns += atomic_load_explicit(&live->offset_ns, memory_order_relaxed);
    if (now_ns / SECOND_NS <= live->second)
        return MR_AGAIN;
    token->clock_ns = now_ns;
    live->second = token->clock_ns / SECOND_NS;
    return MR_OK;
}

bool mr_live_ready(void *user)
{
    const struct mr_engine *engine = user;
    const struct mr_live *live = engine->live;
    for (uint32_t i = 0; i < live->n_ports; i++)
        for (uint32_t q = 0; q < live->ports[i].n_rx; q++)
            if (mr_spsc_size_any(&live->ports[i].rx[q].out))
                return true;
    return false;
}
