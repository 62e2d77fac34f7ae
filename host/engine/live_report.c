/* What live capture tells of itself: its accounts and its memory. */
#include "engine/internal.h"
#include "engine/json.h"

uint32_t mr_live_packets(const struct mr_engine_config *config)
{
    uint32_t window = mr_runtime_window(config->workers, config->tokens);
    return (window + 2 + 4 * config->queues) * MR_BURST_USUAL;
}

void mr_live_memory(const struct mr_live *live, struct mr_live_memory *memory)
{
    *memory = (struct mr_live_memory){0};
    for (uint32_t i = 0; i < live->n_ports; i++) {
        const struct mr_port_facts *facts = mr_port_facts(live->ports[i].port);
        uint64_t threads = live->ports[i].n_rx;
        memory->packets += facts->pool_bytes;
        memory->rings += facts->ring_bytes;
        memory->bursts += threads * MR_RX_BURSTS * sizeof(struct mr_rx_burst) +
                          threads * threads * MR_RX_INBOX * sizeof(void *);
    }
}

static uint64_t read_by(const struct mr_rx *rx)
{
    return atomic_load_explicit(&rx->read, memory_order_relaxed);
}

/* How many packets the device says it gave us, of the queue or of its whole port; and we say. */
static uint64_t delivered(const struct mr_port_counts *counts)
{
    return counts->received - counts->missed - counts->damaged;
}

static uint64_t read_from(const struct mr_live_port *port, const struct mr_rx *rx)
{
    uint64_t sum = 0;
    if (mr_port_facts(port->port)->counts_by_queue)
        return read_by(rx);
    for (uint32_t q = 0; q < port->n_rx; q++)
        sum += read_by(&port->rx[q]);
    return sum;
}

static void set(_Atomic uint64_t *to, uint64_t value)
{
    atomic_store_explicit(to, value, memory_order_relaxed);
}

/* What the device dropped, and at the end what it still has, joins the account of its queue. */
static void ask_device(const struct mr_live *live, const struct mr_live_port *port,
                       struct mr_rx *rx)
{
    struct mr_port_counts counts;
    struct mr_metrics *m = &rx->device;
    uint64_t left = 0;

    /* a device that is not started yet may count what is not ours */
    if (!live->ended && !atomic_load_explicit(&live->running, memory_order_acquire))
        return;
    if (!rx->polls || (rx->queue && !mr_port_facts(port->port)->counts_by_queue))
        return;
    mr_port_counts(port->port, rx->queue, &counts);
    if (live->ended) {
        uint64_t theirs = delivered(&counts), ours = read_from(port, rx);
        left = theirs > ours ? theirs - ours : 0;
        if (mr_port_facts(port->port)->counts_by_queue)
            rx->unknown = ours > theirs ? ours - theirs : 0;
    }
    set(&m->drops[MR_DROP_NIC_MISSED], counts.missed);
    set(&m->drops[MR_DROP_NIC_DAMAGED], counts.damaged);
    set(&m->drops[MR_DROP_NIC_LEFT], left);
    set(&m->counters[MR_COUNT_PACKETS_DROPPED], counts.missed + counts.damaged + left);
    set(&m->counters[MR_COUNT_PACKETS_RECEIVED], counts.missed + counts.damaged + left);
}

/* Are there more packets on their way than have room? `received` is read last, and this thread may
 * have stood still before: a second look tells whether what had come by then has left since. */
void mr_live_check(struct mr_live *live)
{
    struct mr_live_account a, now;

    for (uint32_t i = 0; mr_live_account(live, i, &a); i++) {
        if (a.waiting <= MR_RX_BURSTS * MR_BURST_USUAL)
            continue;
        bool negative = a.waiting > a.received;
        if (!negative && mr_live_account(live, i, &now)) {
            uint64_t out = now.received - now.waiting;
            if (a.received <= out + MR_RX_BURSTS * MR_BURST_USUAL)
                continue;
        }
        live->unbalanced++;
    }
}

void mr_live_metrics(struct mr_live *live, struct mr_metrics *sum)
{
    pthread_mutex_lock(&live->ask_lock);
    for (uint32_t i = 0; i < live->n_ports; i++)
        for (uint32_t q = 0; q < live->ports[i].n_rx; q++)
            ask_device(live, &live->ports[i], &live->ports[i].rx[q]);
    for (uint32_t i = 0; i < live->n_ports; i++)
        for (uint32_t q = 0; q < live->ports[i].n_rx; q++) {
            mr_metrics_sum(sum, &live->ports[i].rx[q].metrics);
            mr_metrics_sum(sum, &live->ports[i].rx[q].device);
        }
    pthread_mutex_unlock(&live->ask_lock);
}

uint32_t mr_live_queues(const struct mr_live *live)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < live->n_ports; i++)
        n += live->ports[i].n_rx;
    return n;
}

/* Queue `i`, counted over all ports. */
static struct mr_rx *find(const struct mr_live *live, uint32_t i)
{
    uint32_t p = 0;
    while (p < live->n_ports && i >= live->ports[p].n_rx)
        i -= live->ports[p++].n_rx;
    return p < live->n_ports ? &live->ports[p].rx[i] : NULL;
}

bool mr_live_account(struct mr_live *live, uint32_t i, struct mr_live_account *account)
{
    const struct mr_rx *rx = find(live, i);
    if (!rx)
        return false;
    pthread_mutex_lock(&live->ask_lock); /* what a device dropped it has received, too */
    const struct mr_metrics *m = &rx->metrics, *device = &rx->device;
    uint64_t out = 0;

    *account = (struct mr_live_account){.port = mr_port_facts(rx->port)->name, .queue = rx->queue};
    /* what comes last on a packet's way is read first, so that nothing is told twice: fragments
     * move from held to too late, which stands behind it */
    account->processed = atomic_load_explicit(&rx->processed, memory_order_acquire);
    out = account->processed;
    for (int d = MR_N_DROPS - 1; d > 0; d--) {
        account->dropped[d] = atomic_load_explicit(&m->drops[d], memory_order_acquire) +
                              atomic_load_explicit(&device->drops[d], memory_order_relaxed);
        out += account->dropped[d];
    }
    account->handed_over = atomic_load_explicit(&rx->handed_over, memory_order_relaxed);
    account->received =
        atomic_load_explicit(&m->counters[MR_COUNT_PACKETS_RECEIVED], memory_order_acquire) +
        atomic_load_explicit(&device->counters[MR_COUNT_PACKETS_RECEIVED], memory_order_relaxed);
    account->bytes =
        atomic_load_explicit(&m->counters[MR_COUNT_BYTES_RECEIVED], memory_order_relaxed);
    account->waiting = account->received - out;
    account->unknown = rx->unknown;
    pthread_mutex_unlock(&live->ask_lock);
    return true;
}

void mr_live_interval_begin(struct mr_live *live)
{
    struct mr_rx *rx;
    for (uint32_t i = 0; (rx = find(live, i)); i++) {
        rx->told = rx->now;
        mr_live_account(live, i, &rx->now);
    }
}

bool mr_live_interval(const struct mr_live *live, uint32_t i, bool difference,
                      struct mr_live_account *account)
{
    const struct mr_rx *rx = find(live, i);
    if (!rx)
        return false;
    *account = rx->now;
    if (!difference)
        return true;
    account->received -= rx->told.received;
    account->bytes -= rx->told.bytes;
    account->processed -= rx->told.processed;
    account->handed_over -= rx->told.handed_over;
    account->waiting -= rx->told.waiting;
    for (int d = 1; d < MR_N_DROPS; d++)
        account->dropped[d] -= rx->told.dropped[d];
    return true;
}

void mr_live_put_accounts(struct mr_live *live, yajl_gen g)
{
    struct mr_live_account a;

    mr_json_string(g, "ports");
    yajl_gen_array_open(g);
    for (uint32_t i = 0; mr_live_account(live, i, &a); i++) {
        yajl_gen_map_open(g);
        mr_json_text(g, "port", a.port);
        mr_json_int(g, "queue", a.queue);
        mr_json_int(g, "received", a.received);
        mr_json_int(g, "bytes", a.bytes);
        mr_json_int(g, "processed", a.processed);
        mr_json_int(g, "waiting", a.waiting);
        mr_json_int(g, "handed_over", a.handed_over);
        mr_json_string(g, "drops");
        yajl_gen_map_open(g);
        for (int d = 1; d < MR_N_DROPS; d++)
            if (a.dropped[d])
                mr_json_counter(g, mr_drop_name((enum mr_drop)d), a.dropped[d]);
        yajl_gen_map_close(g);
        yajl_gen_map_close(g);
    }
    yajl_gen_array_close(g);
}

void mr_live_print_accounts(struct mr_live *live, FILE *to)
{
    struct mr_live_account a;
    uint64_t way = 0;

    for (uint32_t i = 0; mr_live_account(live, i, &a); i++)
        way += a.waiting;
    fprintf(to, "ports       %-16s %5s %14s %14s %14s %14s%s\n", "port", "queue", "received",
            "processed", "dropped", "handed over", way ? "        waiting" : "");
    for (uint32_t i = 0; mr_live_account(live, i, &a); i++) {
        uint64_t dropped = 0;
        for (int d = 1; d < MR_N_DROPS; d++)
            dropped += a.dropped[d];
        fprintf(to, "            %-16s %5u %14llu %14llu %14llu %14llu", a.port, a.queue,
                (unsigned long long)a.received, (unsigned long long)a.processed,
                (unsigned long long)dropped, (unsigned long long)a.handed_over);
        if (way)
            fprintf(to, " %14llu", (unsigned long long)a.waiting);
        fprintf(to, "\n");
        for (int d = 1; d < MR_N_DROPS; d++)
            if (a.dropped[d])
                fprintf(to, "            %-16s %5s %44llu %s\n", "", "",
                        (unsigned long long)a.dropped[d], mr_drop_text((enum mr_drop)d));
    }
}

void mr_live_print_plan(const struct mr_live *live, FILE *to)
{
    for (uint32_t i = 0; i < live->n_ports; i++) {
        const struct mr_port_facts *f = mr_port_facts(live->ports[i].port);
        fprintf(
            to,
            "  %8.1f MiB packet buffers of %s, %.1f MiB its rings, %.1f MiB bursts of %u capture "
            "thread%s\n",
            (double)f->pool_bytes / 1048576, f->name, (double)f->ring_bytes / 1048576,
            (double)live->ports[i].n_rx * MR_RX_BURSTS * sizeof(struct mr_rx_burst) / 1048576,
            live->ports[i].n_rx, live->ports[i].n_rx == 1 ? "" : "s");
    }
}
