/* AF_XDP: which queues of an interface are read, and what stands against that; and what stays at
 * the interface when a process ends without taking it away. */
#include "capture/port_parts.h"

#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* ---- what outlives the process ---- */

/* A signal handler finds it here. Ports are opened and closed by one thread. */
static struct {
    _Atomic int number; /* of the interface; 0: no program of ours is there */
    _Atomic bool promiscuous;
    char name[IFNAMSIZ];
} left[RTE_MAX_ETHPORTS];

void mr_port_xdp_attached(const struct mr_port *port)
{
    memcpy(left[port->id].name, port->interface, sizeof left[port->id].name);
    atomic_store(&left[port->id].number, port->number);
}

void mr_port_xdp_detached(const struct mr_port *port)
{
    atomic_store(&left[port->id].number, 0);
}

void mr_port_xdp_promiscuous(const struct mr_port *port, bool promiscuous)
{
    atomic_store(&left[port->id].promiscuous, promiscuous);
}

/* What `ip link set DEV xdpdrv off` asks, or with another flag xdpgeneric: the kernel has it in the
 * one mode or the other. Done when the message is sent. */
static void detach(int number, uint32_t mode)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg link;
        struct nlattr xdp, fd_head;
        int32_t fd;
        struct nlattr flags_head;
        uint32_t flags;
    } ask = {
        .head = {.nlmsg_len = sizeof ask, .nlmsg_type = RTM_SETLINK, .nlmsg_flags = NLM_F_REQUEST},
        .link = {.ifi_family = AF_UNSPEC, .ifi_index = number},
        .xdp = {.nla_len = sizeof ask - offsetof(__typeof__(ask), xdp),
                .nla_type = IFLA_XDP | NLA_F_NESTED},
        .fd_head = {.nla_len = sizeof(struct nlattr) + sizeof ask.fd, .nla_type = IFLA_XDP_FD},
        .fd = -1,
        .flags_head = {.nla_len = sizeof(struct nlattr) + sizeof ask.flags,
                       .nla_type = IFLA_XDP_FLAGS},
        .flags = mode,
    };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd >= 0) {
        (void)send(fd, &ask, sizeof ask, 0);
        close(fd);
    }
}

static void be_modest(const char name[IFNAMSIZ])
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return;
    memcpy(request.ifr_name, name, IFNAMSIZ);
    if (!ioctl(fd, SIOCGIFFLAGS, &request)) {
        request.ifr_flags &= (short)~IFF_PROMISC;
        (void)ioctl(fd, SIOCSIFFLAGS, &request);
    }
    close(fd);
}

void mr_ports_abandon(void)
{
    for (uint32_t i = 0; i < RTE_MAX_ETHPORTS; i++) {
        int number = atomic_load(&left[i].number);
        if (number) {
            detach(number, XDP_FLAGS_DRV_MODE);
            detach(number, XDP_FLAGS_SKB_MODE);
        }
        if (number && atomic_load(&left[i].promiscuous))
            be_modest(left[i].name);
    }
}
