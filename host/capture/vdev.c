/* Virtual devices of DPDK that do not open: DPDK says "Bad address", which helps nobody. */
#include "capture/port_parts.h"

#include <rte_devargs.h>
#include <rte_log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Those that a port may be, with what they take. */
static const struct {
    const char *driver, *arguments;
} known[] = {
    {"net_af_packet", "iface=, framesz=, blocksz=, framecnt= and qdisc_bypass="},
    {"net_af_xdp", "iface=, start_queue=, queue_count=, shared_umem=, xdp_prog= and busy_budget="},
    {"net_memif", "role=, id=, bsize=, rsize=, socket=, mac=, secret= and zero-copy="},
    {"net_null", "size=, copy= and no-rx="},
    {"net_pcap", "rx_pcap=, rx_iface=, rx_iface_in= and iface="},
    {"net_ring", "nodeaction="},
    {"net_tap", "iface=, remote=, mac= and persist"},
    {"net_tun", "iface="},
    {"net_vhost", "iface=, queues= and client="},
    {"net_virtio_user", "path=, mac=, queues=, queue_size= and iface="},
};

#define N_KNOWN (sizeof known / sizeof *known)

/* Has this program a driver for devices of that name? */
static bool has_driver(const char *name)
{
    struct rte_devargs devargs = {0};
    uint32_t level = rte_log_get_global_level();

    rte_log_set_global_level(RTE_LOG_EMERG); /* it tells of each that there is not */
    int result = rte_devargs_parse(&devargs, name);
    rte_log_set_global_level(level);
    free(devargs.data); /* all that rte_devargs_reset() does, which is experimental */
    return !result;
}

static void list_drivers(char *list, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < N_KNOWN && len < size; i++)
        if (has_driver(known[i].driver))
            len +=
                (size_t)snprintf(list + len, size - len, "%s%s", len ? ", " : "", known[i].driver);
}

enum mr_status mr_port_vdev_refused(const struct mr_port *port, const char *why,
                                    struct mr_error *error)
{
    char name[64], list[256] = "";
    const char *arguments = strchr(port->name, ',');

    snprintf(name, sizeof name, "%.*s", (int)strcspn(port->name, ","), port->name);
    if (!has_driver(name)) {
        list_drivers(list, sizeof list);
        return mr_fail(error, MR_ERR_START,
                       "-i %s: this program has no driver of DPDK for %s; it has %s, each with a "
                       "number behind it, as net_null0",
                       port->name, name, list[0] ? list : "none");
    }
    for (size_t i = 0; i < N_KNOWN; i++)
        if (!strncmp(name, known[i].driver, strlen(known[i].driver)))
            return mr_fail(error, MR_ERR_START,
                           "-i %s: the driver %s does not open it %s%s; it takes %s; with -v it "
                           "may say more",
                           port->name, known[i].driver,
                           arguments ? "with the arguments " : "without arguments",
                           arguments ? arguments + 1 : "", known[i].arguments);
    return mr_fail(error, MR_ERR_START,
                   "-i %s: its driver does not open it: %s; with -v it may say more", port->name,
                   why);
}
