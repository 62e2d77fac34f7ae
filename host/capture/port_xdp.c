/* AF_XDP: which queues of an interface are read, and what stands against that. */
#include "capture/port_parts.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define PEER "peer_ifindex" /* what veth calls its other end, among its statistics */

static bool ask(int fd, const char *interface, void *command)
{
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    request.ifr_data = command;
    return !ioctl(fd, SIOCETHTOOL, &request);
}

/* The number of the other end of a virtual cable; 0: it is none, or has none. */
static uint64_t other_end(int fd, const char *interface)
{
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    uint64_t found = 0;

    if (!ask(fd, interface, &info) || strcmp(info.driver, "veth") != 0 || !info.n_stats)
        return 0;
    /* there may be more by the time that we ask for them */
    uint32_t room = 2 * info.n_stats + 64;
    struct ethtool_gstrings *names = calloc(1, sizeof *names + (size_t)room * ETH_GSTRING_LEN);
    struct ethtool_stats *values = calloc(1, sizeof *values + room * sizeof(uint64_t));
    if (names && values) {
        *names = (struct ethtool_gstrings){
            .cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_STATS, .len = info.n_stats};
        *values = (struct ethtool_stats){.cmd = ETHTOOL_GSTATS, .n_stats = info.n_stats};
    }
    if (names && values && ask(fd, interface, names) && ask(fd, interface, values))
        for (uint32_t i = 0; i < names->len && i < values->n_stats && i < room; i++) {
            const char *name = (const char *)names->data + (size_t)i * ETH_GSTRING_LEN;
            if (!strncmp(name, PEER, ETH_GSTRING_LEN))
                found = values->data[i];
        }
    free(names);
    free(values);
    return found;
}

/* The other end, where it lies in this network namespace, and how many queues it sends by; 0:
 * unknown. */
static uint32_t senders(int fd, struct mr_port *port, char name[IFNAMSIZ])
{
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    uint64_t end = other_end(fd, port->interface);

    port->cable = end != 0;
    if (!end || !if_indextoname((unsigned)end, name) ||
        other_end(fd, name) != if_nametoindex(port->interface) || !ask(fd, name, &channels))
        return 0;
    return channels.tx_count + channels.combined_count;
}

/* What AF_XDP reads is what comes into the queues that it was bound to; the rest would pass by, and
 * nobody would count it. net_af_xdp knows only queues that receive and send ("combined"), or one.
 * And a virtual cable takes no XDP program at an end that has fewer queues than the other one sends
 * by.
 */
enum mr_status mr_port_xdp_plan(struct mr_port *port, int fd, uint32_t threads,
                                const char *arguments, struct mr_error *error)
{
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    char other[IFNAMSIZ], more[64] = "", sending[160] = "";
    uint32_t most = 1, all = 1, sent = senders(fd, port, other);

    if (ask(fd, port->interface, &channels)) {
        if (channels.max_combined && channels.combined_count)
            most = channels.combined_count;
        if (channels.combined_count + channels.rx_count)
            all = channels.combined_count + channels.rx_count;
    }
    uint32_t queues = threads < most ? threads : most;
    bool chosen =
        arguments && (strstr(arguments, "start_queue=") || strstr(arguments, "queue_count="));
    if (all > queues && !chosen) {
        if (all <= most && all <= MR_PORT_QUEUES_MAX)
            snprintf(more, sizeof more, "--queues %u, or ", all);
        if (port->cable && !sent)
            snprintf(sending, sizeof sending,
                     ", and of the other end of this cable, where that is: tx %u", queues);
        else if (sent > queues)
            snprintf(sending, sizeof sending,
                     ", and for the other end of this cable: ethtool -L %s tx %u", other, queues);
        return mr_fail(
            error, MR_ERR_INPUT,
            "-i %s: packets come into %u queues, of which AF_XDP would see %u: %sethtool "
            "-L %s %s %u%s",
            port->name, all, queues, more, port->interface,
            channels.combined_count ? "combined" : "rx", queues, sending);
    }
    if (sent > all)
        return mr_fail(error, MR_ERR_INPUT,
                       "-i %s: the other end of this cable, %s, sends by %u queues, and AF_XDP "
                       "wants no more than come in here, %u: ethtool -L %s tx %u",
                       port->name, other, sent, all, other, all);
    snprintf(port->device, sizeof port->device,
             "net_af_xdp%u,iface=%s,start_queue=0,queue_count=%u%s", port->id, port->interface,
             queues, arguments ? arguments : "");
    port->facts.driver = "net_af_xdp";
    port->facts.packet_bytes = 4096 - 256 - RTE_PKTMBUF_HEADROOM; /* one page each */
    port->room = 2048 + RTE_PKTMBUF_HEADROOM;
    return MR_OK;
}
