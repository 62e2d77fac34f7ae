/* Interfaces of the kernel: what is there and what it takes, and the sockets behind DPDK's drivers,
 * which let a thread sleep until a packet arrives and tell what the kernel dropped. The drivers
 * give neither, so the sockets are found among the process's own. */
#include "capture/port_parts.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_arp.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <poll.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* The ring of a queue: frames of one size, in blocks that the driver wants to lie end to end, so
 * that a block is a whole number of frames and of pages.
 *
 * Where the kernel joins segments (GRO, or GSO of a sender on this machine) frames have up to 64
 * KB. A DPDK packet has 65,535 bytes with its headroom, so the longest frame that tiles and fits is
 * 65,408: 45 segments of 1,448 bytes, which is all that fits into a datagram, and more of what is
 * left. */
#define RING_BYTES      (64u << 20)
#define LARGE_FRAME     65408u
#define LARGE_BLOCK     (32u * LARGE_FRAME) /* 511 pages */
#define SMALL_BLOCK     65536u
#define FRAME_OVERHEAD  96u /* kernel's header and alignment, link header, tags */
#define DRIVER_OVERHEAD 32u /* what net_af_packet takes off a frame to compare it with a packet */

#define LOOK_NS         200000000u

#define LINK_ETHERNET   1u
#define LINK_RAW_IP     101u

static int query_socket(void)
{
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* `name`: as -i has it. */
static enum mr_status no_interface(const char *name, struct mr_error *error)
{
    char list[512] = "";
    const char *bare = name + (strncmp(name, "xdp:", 4) ? 0 : 4);
    struct if_nameindex *all = if_nameindex();
    for (struct if_nameindex *i = all; i && i->if_name; i++) {
        size_t len = strlen(list);
        snprintf(list + len, sizeof list - len, "%s%s", len ? ", " : "", i->if_name);
    }
    if_freenameindex(all);
    if (!*bare || *bare == ',')
        return mr_fail(error, MR_ERR_USAGE,
                       "-i %s: it names no interface; write %seth0, or what it is called; there "
                       "are: %s",
                       name, bare == name ? "" : "xdp:", list[0] ? list : "none");
    return mr_fail(error, MR_ERR_INPUT, "-i %s: there is no such interface; there are: %s", name,
                   list[0] ? list : "none");
}

/* One setting of ethtool, 0 where it is not known. */
static uint32_t setting(int fd, const char *interface, uint32_t command)
{
    struct ethtool_value value = {.cmd = command};
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    request.ifr_data = (char *)&value;
    return ioctl(fd, SIOCETHTOOL, &request) ? 0 : value.data;
}

/* May frames be longer than the MTU? The ends of a virtual cable get what the other end has not
 * cut. */
static bool joins_segments(int fd, const char *interface)
{
    static const char *const virtual_ones[] = {"veth",        "tun",     "bridge",  "virtio_net",
                                               "openvswitch", "macvlan", "bonding", "team"};
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    request.ifr_data = (char *)&info;
    if (ioctl(fd, SIOCETHTOOL, &request))
        return true; /* lo, and whatever does not say */
    for (size_t i = 0; i < sizeof virtual_ones / sizeof *virtual_ones; i++)
        if (!strcmp(info.driver, virtual_ones[i]))
            return true;
    return setting(fd, interface, ETHTOOL_GGRO) || setting(fd, interface, ETHTOOL_GTSO) ||
           setting(fd, interface, ETHTOOL_GGSO) ||
           setting(fd, interface, ETHTOOL_GFLAGS) & ETH_FLAG_LRO;
}

/* What frames of such an interface begin with, 0: nothing that can be decoded. Tunnels and PPP have
 * no header when a packet socket sees them. */
static uint16_t link_type_of(unsigned hardware)
{
    switch (hardware) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
        return LINK_ETHERNET;
    case ARPHRD_NONE:
    case ARPHRD_RAWIP:
    case ARPHRD_PPP:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
    case ARPHRD_IPGRE:
    case ARPHRD_IP6GRE:
        return LINK_RAW_IP;
    default:
        return 0;
    }
}

/* Exists, is up: its MTU, what its frames are. */
static enum mr_status look_at(struct mr_port *port, int fd, struct mr_error *error)
{
    const char *interface = port->interface;
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    if (ioctl(fd, SIOCGIFFLAGS, &request))
        return no_interface(port->name, error);
    if (!(request.ifr_flags & IFF_UP))
        return mr_fail(error, MR_ERR_INPUT,
                       "-i %s: the interface is down; bring it up with: ip "
                       "link set %s up",
                       interface, interface);
    port->was_promiscuous = request.ifr_flags & IFF_PROMISC;
    port->loopback = request.ifr_flags & IFF_LOOPBACK;
    port->facts.mtu = ioctl(fd, SIOCGIFMTU, &request) ? 1500 : (uint32_t)request.ifr_mtu;
    unsigned hardware = ARPHRD_ETHER;
    if (!ioctl(fd, SIOCGIFHWADDR, &request))
        hardware = request.ifr_hwaddr.sa_family;
    port->facts.link_type = link_type_of(hardware);
    if (!port->facts.link_type || (port->facts.kind == MR_PORT_XDP && hardware != ARPHRD_ETHER))
        return mr_fail(error, MR_ERR_INPUT, "-i %s: its %s (hardware type %u); capture from %s",
                       port->name,
                       port->facts.link_type ? "hardware is not Ethernet, which AF_XDP needs"
                                             : "frames are not those of Ethernet or IP",
                       hardware,
                       port->facts.link_type ? "the interface's name alone, without xdp:"
                                             : "another interface");
    return MR_OK;
}

#define BIT_NET_ADMIN 12
#define BIT_NET_RAW   13
#define BIT_IPC_LOCK  14

/* A packet socket wants CAP_NET_RAW; CAP_NET_ADMIN is wanted by DPDK, which sets a device's address
 * and flags to what they are when it starts it. */
static unsigned long long effective_rights(void)
{
    char line[256];
    unsigned long long rights = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, "CapEff:", 7))
            rights = strtoull(line + 7, NULL, 16);
    if (file)
        fclose(file);
    return rights;
}

bool mr_port_may_capture(void)
{
    unsigned long long rights = effective_rights();
    return rights >> BIT_NET_ADMIN & 1 && rights >> BIT_NET_RAW & 1;
}

uint64_t mr_port_ring_limit(void)
{
    struct rlimit limit;
    if (effective_rights() >> BIT_IPC_LOCK & 1 || getrlimit(RLIMIT_MEMLOCK, &limit) ||
        limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

static enum mr_status may_capture(const char *interface, struct mr_error *error)
{
    char path[256] = "millrace";
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : (ssize_t)strlen(path)] = '\0';
    if (!mr_port_may_capture())
        return mr_fail(
            error, MR_ERR_START,
            "-i %s: capturing needs CAP_NET_RAW and CAP_NET_ADMIN; run as root, or once: "
            "sudo setcap cap_net_raw,cap_net_admin+ep %s",
            interface, path);
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return mr_fail(error, MR_ERR_START, "-i %s: the kernel gives no packet sockets: %s",
                       interface, strerror(errno));
    close(fd);
    return MR_OK;
}

/* The number behind "key=" in the arguments that the user gave. */
static uint32_t argument_number(const char *arguments, const char *key, uint32_t otherwise)
{
    const char *at = arguments ? strstr(arguments, key) : NULL;
    return at ? (uint32_t)strtoul(at + strlen(key), NULL, 10) : otherwise;
}

/* What may stand behind an interface's name, as in "eth0,framesz=2048". */
static enum mr_status check_arguments(const char *name, const char *at, struct mr_error *error)
{
    static const char *const keys[] = {",framesz=", ",blocksz=", ",framecnt="};

    while (at && *at) {
        const char *value = NULL;
        char *end = NULL;
        for (size_t i = 0; i < sizeof keys / sizeof *keys && !value; i++)
            value = strncmp(at, keys[i], strlen(keys[i])) ? NULL : at + strlen(keys[i]);
        if (value && *value >= '1' && *value <= '9' && strtoul(value, &end, 10) <= INT32_MAX &&
            (!*end || *end == ','))
            at = end;
        else
            return mr_fail(error, MR_ERR_USAGE,
                           "-i %s: behind the interface's name there may be framesz=, blocksz= and "
                           "framecnt= with numbers, each after a comma",
                           name);
    }
    return MR_OK;
}

static void plan_ring(struct mr_port *port, uint32_t queues, bool large, const char *arguments)
{
    uint32_t frame = LARGE_FRAME, block = LARGE_BLOCK, mtu = port->facts.mtu;
    if (!large && mtu + FRAME_OVERHEAD <= 32768) {
        for (frame = 2048; frame < mtu + FRAME_OVERHEAD;)
            frame *= 2;
        block = SMALL_BLOCK;
    }
    frame = argument_number(arguments, "framesz=", frame);
    block = argument_number(
        arguments, "blocksz=", block == LARGE_BLOCK && frame != LARGE_FRAME ? SMALL_BLOCK : block);
    uint64_t limit = mr_port_ring_limit() / (2ull * queues), room_for = RING_BYTES;
    if (limit < room_for)
        room_for = limit > block ? limit : block;
    uint32_t frames = frame && block >= frame ? (uint32_t)(room_for / block) * (block / frame) : 1;
    frames = argument_number(arguments, "framecnt=", frames);
    snprintf(port->device, sizeof port->device,
             "net_af_packet%u,iface=%s,qpairs=%u,framesz=%u,blocksz=%u,framecnt=%u", port->id,
             port->interface, queues, frame, block, frames);
    port->facts.ring_bytes = 2ull * queues * frame * frames; /* the driver makes one to send, too */
    port->facts.ring_frames = frames;
    port->facts.packet_bytes = frame > 66 ? frame - 66 : 0; /* TPACKET2_HDRLEN, aligned */
    uint32_t room = frame - DRIVER_OVERHEAD + RTE_PKTMBUF_HEADROOM;
    port->room = room > UINT16_MAX ? UINT16_MAX : room;
}

/* PACKET_FANOUT_HASH takes both directions of a flow for the same since Linux 4.7. */
static bool symmetric_kernel(void)
{
    struct utsname name;
    char *end = name.release;
    if (uname(&name))
        return false;
    unsigned long major = strtoul(name.release, &end, 10);
    unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    return major > 4 || (major == 4 && minor >= 7);
}

enum mr_status mr_port_kernel_prepare(struct mr_port *port, const struct mr_port_config *config,
                                      struct mr_error *error)
{
    const char *name = config->name + (port->facts.kind == MR_PORT_XDP ? 4 : 0);
    const char *arguments = strchr(name, ',');
    size_t len = arguments ? (size_t)(arguments - name) : strlen(name);

    if (!len || len >= sizeof port->interface)
        return no_interface(config->name, error);
    memcpy(port->interface, name, len);
    int fd = query_socket();
    enum mr_status status = look_at(port, fd, error);
    bool large = !status && joins_segments(fd, port->interface);
    if (!status)
        status = may_capture(port->interface, error);
    if (!status && port->facts.kind == MR_PORT_KERNEL)
        status = check_arguments(port->name, arguments, error);
    if (!status && port->facts.kind == MR_PORT_XDP)
        status = mr_port_xdp_plan(port, fd, config->queues, arguments, error);
    close(fd);
    if (status)
        return status;
    port->number = (int)if_nametoindex(port->interface);
    port->facts.tells_missed = true;
    if (port->facts.kind == MR_PORT_KERNEL) {
        plan_ring(port, config->queues, large, arguments);
        port->facts.symmetric = symmetric_kernel();
        port->facts.driver = "net_af_packet";
    }
    return MR_OK;
}

void mr_port_kernel_list(struct mr_port_fds *fds)
{
    DIR *folder = opendir("/proc/self/fd");
    fds->n = 0;
    for (struct dirent *entry; folder && fds->n < MR_PORT_FDS && (entry = readdir(folder));) {
        int fd = (int)strtol(entry->d_name, NULL, 10), domain = 0;
        socklen_t len = sizeof domain;
        if (entry->d_name[0] == '.' || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len))
            continue;
        if (domain == AF_PACKET || domain == AF_XDP)
            fds->fd[fds->n++] = fd;
    }
    if (folder)
        closedir(folder);
}

static int ascending(const void *x, const void *y)
{
    return *(const int *)x - *(const int *)y;
}

void mr_port_kernel_find(struct mr_port *port, const struct mr_port_fds *before)
{
    struct mr_port_fds now;
    uint32_t n = 0;
    mr_port_kernel_list(&now);
    for (uint32_t i = 0; i < now.n; i++) {
        bool old = false;
        for (uint32_t j = 0; j < before->n && !old; j++)
            old = before->fd[j] == now.fd[i];
        if (!old)
            now.fd[n++] = now.fd[i];
    }
    /* opened one after the other, each at the lowest number that was free */
    qsort(now.fd, n, sizeof *now.fd, ascending);
    bool known = n == port->facts.queues;
    for (uint32_t q = 0; q < port->facts.queues; q++)
        port->queues[q].fd = known ? now.fd[q] : -1;
    if (port->facts.kind == MR_PORT_KERNEL)
        port->facts.tells_missed = port->facts.counts_by_queue = known;
}

/* Somebody else's flag, which DPDK takes away when it starts a device. */
static void leave_promiscuous(const char *interface)
{
    struct ifreq request = {0};
    int fd = query_socket();
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    if (!ioctl(fd, SIOCGIFFLAGS, &request)) {
        request.ifr_flags |= IFF_PROMISC;
        ioctl(fd, SIOCSIFFLAGS, &request);
    }
    close(fd);
}

void mr_port_kernel_start(struct mr_port *port)
{
    struct packet_mreq request = {.mr_ifindex = port->number, .mr_type = PACKET_MR_PROMISC};
    if (port->was_promiscuous)
        leave_promiscuous(port->interface);
    /* ends with the socket, however this process ends */
    if (port->promiscuous)
        setsockopt(port->queues[0].fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request);
}

/* What became of the interface: false, it is away. Who has its number may call it otherwise now. */
static bool look_again(struct mr_port *port)
{
    struct ifreq request = {0};
    if (!if_indextoname((unsigned)port->number, request.ifr_name))
        return false;
    int fd = query_socket();
    bool up = !ioctl(fd, SIOCGIFFLAGS, &request) && request.ifr_flags & IFF_UP;
    close(fd);
    atomic_store_explicit(&port->down, !up, memory_order_relaxed);
    return true;
}

bool mr_port_kernel_wait(struct mr_port *port, uint32_t queue, uint64_t most_ns)
{
    int fd = port->queues[queue].fd;
    struct pollfd poll_for = {.fd = fd, .events = POLLIN};
    struct timespec most = {.tv_sec = (time_t)(most_ns / 1000000000u),
                            .tv_nsec = (long)(most_ns % 1000000000u)};
    bool wrong = ppoll(&poll_for, 1, &most, NULL) == 1 && poll_for.revents & (POLLERR | POLLNVAL);
    if (!wrong && port->facts.kind == MR_PORT_XDP)
        return mr_port_kernel_there(port, queue);
    if (!wrong)
        return !mr_port_down(port) || look_again(port);
    /* the interface went down, or away; reading the error clears it */
    int number = 0;
    socklen_t len = sizeof number;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &len);
    if (!look_again(port))
        return false;
    struct timespec nap = {.tv_nsec = 10000000};
    nanosleep(&nap, NULL);
    return true;
}

bool mr_port_kernel_there(struct mr_port *port, uint32_t queue)
{
    uint64_t now_ns = mr_clock_ns();
    if (now_ns < port->queues[queue].look_ns)
        return true;
    port->queues[queue].look_ns = now_ns + LOOK_NS;
    return look_again(port);
}

/* The kernel forgets what it has told. */
void mr_port_kernel_counts(struct mr_port_queue *queue)
{
    struct tpacket_stats_v3 stats = {0}; /* as tpacket_stats where the ring is of version 2 */
    socklen_t len = sizeof stats;
    if (getsockopt(queue->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
        return;
    queue->counts.received += stats.tp_packets;
    queue->counts.missed += stats.tp_drops;
}

static void set_filter(int fd, struct sock_filter *filter, size_t n)
{
    struct sock_fprog program = {.len = (unsigned short)n, .filter = filter};
    setsockopt(fd, SOL_SOCKET, n ? SO_ATTACH_FILTER : SO_DETACH_FILTER, &program, sizeof program);
}

/* A filter takes nothing while it is shut; what it refuses is not counted. */
static void shut_socket(int fd)
{
    struct sock_filter nothing = {.code = BPF_RET | BPF_K};
    set_filter(fd, &nothing, 1);
}

/* Of a loopback interface, packets as they come (PACKET_IGNORE_OUTGOING knows no fan-out). */
static void open_socket(int fd, bool loopback)
{
    struct sock_filter coming[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    set_filter(fd, coming, loopback ? sizeof coming / sizeof *coming : 0);
}

void mr_port_kernel_shut(struct mr_port *port)
{
    struct timespec nap = {.tv_nsec = 1000000}; /* what is on its way past the filter */
    for (uint32_t q = 0; q < port->facts.queues; q++)
        shut_socket(port->queues[q].fd);
    nanosleep(&nap, NULL);
}

void mr_port_kernel_open(struct mr_port *port)
{
    for (uint32_t q = 0; q < port->facts.queues; q++) {
        mr_port_kernel_counts(&port->queues[q]);
        port->queues[q].counts = (struct mr_port_counts){0};
        open_socket(port->queues[q].fd, port->loopback);
    }
}
