/* Ports: opened by name, set up as a tap, read in bursts. */
#include "capture/card.h"
#include "capture/dpdk.h"
#include "capture/pool.h"
#include "capture/port_parts.h"

#include <ctype.h>
#include <errno.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CARD_ROOM         (2048 + RTE_PKTMBUF_HEADROOM)
#define CARD_MTU          9000u
#define CARD_FRAMES       4096u /* descriptors of a queue at most */
#define CARD_FRAMES_LEAST 256u
#define XDP_FRAMES        2048u
#define VIRTUAL_ROOM      (16384 + RTE_PKTMBUF_HEADROOM)
#define EARLY_FRAMES      32768u /* where nobody keeps others from coming */

/* A Toeplitz key whose period is 16 bits gives both directions of a flow the same hash (Woo and
 * Park, "Scalable TCP session monitoring with symmetric receive-side scaling", 2012). */
#define SYMMETRIC_BYTES 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a
static const uint8_t symmetric_key[64] = {SYMMETRIC_BYTES, SYMMETRIC_BYTES, SYMMETRIC_BYTES,
                                          SYMMETRIC_BYTES, SYMMETRIC_BYTES, SYMMETRIC_BYTES,
                                          SYMMETRIC_BYTES, SYMMETRIC_BYTES};

/* "0000:3b:00.0" or "3b:00.0": as in the pattern, where x is a hexadecimal digit. */
static bool is_like(const char *name, const char *pattern)
{
    for (; *pattern; name++, pattern++)
        if (*pattern == 'x' ? !isxdigit((unsigned char)*name) : *name != *pattern)
            return false;
    return !*name;
}

static bool is_address(const char *name)
{
    return is_like(name, "xxxx:xx:xx.x") || is_like(name, "xx:xx.x");
}

enum mr_port_kind mr_port_kind_of(const char *name)
{
    if (!strncmp(name, "xdp:", 4))
        return MR_PORT_XDP;
    if (is_address(name))
        return MR_PORT_CARD;
    return !strncmp(name, "net_", 4) ? MR_PORT_VIRTUAL : MR_PORT_KERNEL;
}

bool mr_port_same(const char *a, const char *b)
{
    if (is_address(a) && is_address(b)) {
        struct mr_card one, other;
        mr_card_look(a, &one);
        mr_card_look(b, &other);
        return !strcmp(one.address, other.address);
    }
    a += mr_port_kind_of(a) == MR_PORT_XDP ? 4 : 0;
    b += mr_port_kind_of(b) == MR_PORT_XDP ? 4 : 0;
    size_t len = strcspn(a, ",");
    return len == strcspn(b, ",") && !memcmp(a, b, len);
}

uint32_t mr_port_own_packets(enum mr_port_kind kind)
{
    return kind == MR_PORT_CARD ? CARD_FRAMES : kind == MR_PORT_XDP ? XDP_FRAMES : 0;
}

/* ---- opening ---- */

static enum mr_status find_card(struct mr_port *port, struct mr_error *error)
{
    struct mr_card card;
    mr_card_look(port->name, &card);
    if (rte_eth_dev_get_port_by_name(card.address, &port->id))
        return mr_fail(error, MR_ERR_START,
                       "-i %s: none of DPDK's drivers took this card; with -v they say why",
                       port->name);
    return MR_OK;
}

static enum mr_status probe(struct mr_port *port, struct mr_error *error)
{
    struct mr_port_fds *before = malloc(sizeof *before);
    char name[64];
    if (!before)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for -i %s", port->name);
    mr_port_kernel_list(before);
    int result = rte_dev_probe(port->device);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(port->device, ","), port->device);
    enum mr_status status = MR_OK;
    if (result < 0 || rte_eth_dev_get_port_by_name(name, &port->id)) {
        const char *why = result < 0 ? rte_strerror(-result) : "it has made no port";
        status = port->facts.kind == MR_PORT_VIRTUAL
                     ? mr_port_vdev_refused(port, why, error)
                     : mr_fail(error, MR_ERR_START,
                               "-i %s: DPDK cannot open it (%s): %s; with -v its driver says more",
                               port->name, port->device, why);
    } else {
        port->opened = true;
        if (port->interface[0])
            mr_port_kernel_find(port, before);
    }
    free(before);
    return status;
}

static enum mr_status make_pool(struct mr_port *port, const struct mr_port_config *config,
                                struct mr_error *error)
{
    /* what stands in the device's rings comes on top: it takes a frame for each one it hands us */
    uint32_t packets = config->packets + port->facts.queues * mr_port_own_packets(port->facts.kind);
    char name[32];
    snprintf(name, sizeof name, "millrace_port%u", config->index);
    if (port->facts.kind == MR_PORT_CARD) { /* memory that the card reaches */
        port->pool = rte_pktmbuf_pool_create(name, packets, 256, 0, (uint16_t)port->room,
                                             rte_eth_dev_socket_id(port->id));
        port->facts.pool_bytes = mr_pool_memory_bytes(packets, port->room);
        if (port->pool)
            return MR_OK;
        return mr_fail(error, MR_ERR_START,
                       "-i %s: no memory for %u packets (%.0f MiB): %s; reserve hugepages, e.g. "
                       "echo 1024 > /proc/sys/vm/nr_hugepages",
                       port->name, packets, (double)port->facts.pool_bytes / 1048576,
                       rte_strerror(rte_errno));
    }
    struct mr_pool_config pool = {.name = name,
                                  .packets = packets,
                                  .room = port->room,
                                  .whole = port->facts.kind == MR_PORT_XDP};
    port->facts.pool_bytes = mr_pool_memory_bytes(pool.packets, pool.room);
    return mr_pool_new(&port->pool, &pool, error);
}

/* Is the key that the device hashes with ours? */
static bool hashes_with_our_key(const struct mr_port *port)
{
    uint8_t key[64] = {0};
    struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = sizeof key};
    return rte_eth_dev_rss_hash_conf_get(port->id, &conf) == 0 && conf.rss_key_len >= 36 &&
           !memcmp(key, symmetric_key, 36) && conf.rss_hf;
}

static int set_up_queues(struct mr_port *port)
{
    int result = 0;
    for (uint32_t q = 0; q < port->facts.queues && !result; q++) {
        uint16_t frames = port->frames, none = 0;
        rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &frames, &none);
        result =
            rte_eth_rx_queue_setup(port->id, (uint16_t)q, frames ? frames : 1024,
                                   (unsigned)rte_eth_dev_socket_id(port->id), NULL, port->pool);
    }
    return result;
}

static int configure(struct mr_port *port, const struct rte_eth_dev_info *info, uint32_t queues)
{
    struct rte_eth_conf conf = {0};
    bool spread = queues > 1 && info->flow_type_rss_offloads && port->facts.kind != MR_PORT_KERNEL;
    conf.rxmode.offloads = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
    /* without it a card gives no frame over 1518 bytes; several buffers make a long one */
    if (port->facts.kind == MR_PORT_CARD && conf.rxmode.offloads)
        conf.rxmode.mtu = info->max_mtu < CARD_MTU ? info->max_mtu : CARD_MTU;
    if (spread) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_key = (uint8_t *)(uintptr_t)symmetric_key;
        conf.rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size ? info->hash_key_size : 40;
        conf.rx_adv_conf.rss_conf.rss_hf =
            (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP) & info->flow_type_rss_offloads;
        if (conf.rx_adv_conf.rss_conf.rss_key_len > sizeof symmetric_key)
            conf.rx_adv_conf.rss_conf.rss_key = NULL;
    }
    if (port->facts.kind == MR_PORT_CARD) /* with a tag; it gives whole frames or none */
        port->facts.packet_bytes = (conf.rxmode.mtu ? conf.rxmode.mtu : 1500) + 18;
    /* net_af_xdp has queues in pairs only: those to send stay unused */
    uint16_t senders = port->facts.kind == MR_PORT_XDP ? (uint16_t)queues : 0;
    int result = rte_eth_dev_configure(port->id, (uint16_t)queues, senders, &conf);
    for (uint16_t q = 0; q < senders && !result; q++)
        result = rte_eth_tx_queue_setup(port->id, q, XDP_FRAMES,
                                        (unsigned)rte_eth_dev_socket_id(port->id), NULL);
    if (result)
        return result;
    if (port->facts.kind != MR_PORT_KERNEL)
        port->facts.symmetric = queues == 1 || (spread && port->facts.kind == MR_PORT_CARD &&
                                                hashes_with_our_key(port));
    return set_up_queues(port);
}

static enum mr_status set_up(struct mr_port *port, const struct mr_port_config *config,
                             struct mr_error *error)
{
    struct rte_eth_dev_info info;
    int result = rte_eth_dev_info_get(port->id, &info);
    uint32_t queues = config->queues;
    if (result)
        return mr_fail(error, MR_ERR_START, "-i %s: its driver tells nothing of it: %s", port->name,
                       rte_strerror(-result));
    if (queues > info.max_rx_queues)
        queues = info.max_rx_queues;
    if (queues > 1 && port->facts.kind == MR_PORT_CARD && !info.flow_type_rss_offloads)
        queues = 1; /* the others would stay empty */
    port->facts.queues = queues;
    port->facts.driver = info.driver_name;
    port->frames = CARD_FRAMES;
    enum mr_status status = make_pool(port, config, error);
    if (status)
        return status;
    struct mr_port_fds *before = port->facts.kind == MR_PORT_XDP ? malloc(sizeof *before) : NULL;
    if (before) /* net_af_xdp opens the sockets now */
        mr_port_kernel_list(before);
    result = configure(port, &info, queues);
    if (port->facts.kind == MR_PORT_XDP)
        mr_port_xdp_attached(port);
    if (before)
        mr_port_kernel_find(port, before);
    free(before);
    if (result)
        return mr_fail(error, MR_ERR_START,
                       "-i %s: %s refuses %u receive queues and none to send: %s; %swith -v it "
                       "says more",
                       port->name, info.driver_name, queues, rte_strerror(-result),
                       port->facts.kind == MR_PORT_XDP && port->cable
                           ? "does the other end of this cable send by more queues (ethtool -l)? "
                             "Then ethtool -L it tx 1, where it is; "
                           : "");
    return MR_OK;
}

enum mr_status mr_port_open(struct mr_port **out, const struct mr_port_config *config,
                            struct mr_error *error)
{
    enum mr_status status = MR_OK;
    struct mr_port *port = calloc(1, sizeof *port);

    if (!port || !(port->name = strdup(config->name))) {
        free(port);
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for -i %s", config->name);
    }
    port->facts.name = port->name;
    port->facts.kind = mr_port_kind_of(port->name);
    const char *bare = port->name + (port->facts.kind == MR_PORT_XDP ? 4 : 0);
    snprintf(port->facts.interface, sizeof port->facts.interface, "%.*s", (int)strcspn(bare, ","),
             bare);
    port->facts.queues = config->queues;
    port->facts.link_type = 1; /* Ethernet */
    port->promiscuous = config->promiscuous;
    port->id = config->index;
    for (uint32_t q = 0; q < MR_PORT_QUEUES_MAX; q++)
        port->queues[q].fd = -1;
    switch (port->facts.kind) {
    case MR_PORT_CARD:
        port->room = CARD_ROOM;
        port->facts.tells_missed = true;
        status = find_card(port, error);
        port->opened = !status;
        break;
    case MR_PORT_VIRTUAL:
        port->room = VIRTUAL_ROOM;
        port->facts.packet_bytes = VIRTUAL_ROOM - RTE_PKTMBUF_HEADROOM;
        snprintf(port->device, sizeof port->device, "%s", port->name);
        status = probe(port, error);
        break;
    case MR_PORT_KERNEL:
    case MR_PORT_XDP:
        status = mr_port_kernel_prepare(port, config, error);
        if (!status)
            status = probe(port, error);
        break;
    }
    if (!status)
        status = set_up(port, config, error);
    if (status) {
        mr_port_close(port);
        return status;
    }
    *out = port;
    return MR_OK;
}

/* A driver may fill several rings for one queue (net_vmxnet3, net_bnxt) and hands out no packet
 * unless it finds a buffer to put in its place: one that took all of the pool would be silent.
 * Shorter rings, until it has no more than is its share. */
static int start_within_share(struct mr_port *port)
{
    uint32_t share = port->facts.queues * mr_port_own_packets(port->facts.kind);
    int result = rte_eth_dev_start(port->id);
    while (share && port->frames > CARD_FRAMES_LEAST &&
           (result == -ENOMEM || (!result && rte_mempool_in_use_count(port->pool) > share))) {
        port->frames /= 2;
        if (!result)
            rte_eth_dev_stop(port->id);
        result = set_up_queues(port);
        if (!result)
            result = rte_eth_dev_start(port->id);
    }
    return result;
}

/* A packet socket hears every interface until it is bound to one, and every flow until it has
 * joined the fan-out. What its ring holds by now may be such a packet: it goes, uncounted. */
static void throw_away_early(struct mr_port *port)
{
    struct rte_mbuf *mbufs[64];
    bool known = port->queues[0].fd >= 0;
    uint32_t n;

    if (known)
        mr_port_kernel_shut(port);
    for (uint32_t q = 0; q < port->facts.queues; q++) {
        uint64_t taken = 0;
        do {
            n = mr_port_receive(port, q, mbufs, 64);
            rte_pktmbuf_free_bulk(mbufs, n);
            taken += n;
        } while (n && (known || taken < EARLY_FRAMES));
    }
    if (known)
        mr_port_kernel_open(port);
    else
        rte_eth_stats_reset(port->id);
}

enum mr_status mr_port_start(struct mr_port *port, struct mr_error *error)
{
    int result = start_within_share(port);
    if (result)
        return mr_fail(error, MR_ERR_START, "-i %s: %s does not start: %s", port->name,
                       port->facts.driver, rte_strerror(-result));
    port->started = true;
    if (!strcmp(port->facts.driver, "net_af_packet"))
        throw_away_early(port);
    if (port->interface[0] && port->queues[0].fd >= 0 && port->facts.kind == MR_PORT_KERNEL)
        mr_port_kernel_start(port);
    else if (port->promiscuous) {
        if (port->facts.kind == MR_PORT_XDP)
            mr_port_xdp_promiscuous(port, !port->was_promiscuous);
        rte_eth_promiscuous_enable(port->id); /* what cannot (net_null) gets everything anyway */
    }
    return MR_OK;
}

void mr_port_stop(struct mr_port *port)
{
    /* a flag of the interface, which outlives its socket */
    if (port->started && port->facts.kind == MR_PORT_XDP && port->promiscuous &&
        !port->was_promiscuous) {
        rte_eth_promiscuous_disable(port->id);
        mr_port_xdp_promiscuous(port, false);
    }
    if (port->started)
        rte_eth_dev_stop(port->id);
    port->started = false;
}

void mr_port_close(struct mr_port *port)
{
    if (!port)
        return;
    mr_port_stop(port);
    if (port->opened)
        rte_eth_dev_close(port->id);
    if (port->facts.kind == MR_PORT_XDP)
        mr_port_xdp_detached(port);
    if (port->facts.kind == MR_PORT_CARD)
        rte_mempool_free(port->pool);
    else
        mr_pool_free(port->pool);
    free(port->name);
    free(port);
}

const struct mr_port_facts *mr_port_facts(const struct mr_port *port)
{
    return &port->facts;
}

/* ---- reading ---- */

uint32_t mr_port_receive(struct mr_port *port, uint32_t queue, struct rte_mbuf **packets,
                         uint32_t max)
{
    return rte_eth_rx_burst(port->id, (uint16_t)queue, packets, (uint16_t)max);
}

bool mr_port_starved(const struct mr_port *port)
{
    return rte_mempool_empty(port->pool);
}

bool mr_port_down(const struct mr_port *port)
{
    return atomic_load_explicit(&port->down, memory_order_relaxed);
}

bool mr_port_wakes(const struct mr_port *port, uint32_t queue)
{
    return port->queues[queue].fd >= 0;
}

bool mr_port_wait(struct mr_port *port, uint32_t queue, uint64_t most_ns)
{
    struct timespec nap = {.tv_sec = (time_t)(most_ns / 1000000000u),
                           .tv_nsec = (long)(most_ns % 1000000000u)};
    if (mr_port_wakes(port, queue))
        return mr_port_kernel_wait(port, queue, most_ns);
    nanosleep(&nap, NULL);
    return !port->interface[0] || mr_port_kernel_there(port, queue);
}

void mr_port_counts(struct mr_port *port, uint32_t queue, struct mr_port_counts *counts)
{
    struct mr_port_queue *q = &port->queues[queue];
    struct rte_eth_stats stats;
    if (port->facts.kind == MR_PORT_KERNEL && q->fd >= 0) {
        mr_port_kernel_counts(q);
    } else if (queue == 0 && rte_eth_stats_get(port->id, &stats) == 0) {
        q->counts =
            (struct mr_port_counts){.received = stats.ipackets + stats.imissed + stats.ierrors,
                                    .missed = stats.imissed,
                                    .damaged = stats.ierrors};
    }
    *counts = q->counts;
}
