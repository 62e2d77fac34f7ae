/* What the parts of a port share. */
#ifndef MR_CAPTURE_PORT_PARTS_H
#define MR_CAPTURE_PORT_PARTS_H

#include "capture/port.h"

#include <net/if.h>
#include <stdatomic.h>

struct rte_mempool;

struct mr_port_queue {
    int fd; /* of the kernel's socket, -1: not known */
    struct mr_port_counts counts;
    uint64_t look_ns; /* when its thread looks after the interface next */
};

struct mr_port {
    struct mr_port_facts facts;
    struct rte_mempool *pool;
    char *name;
    char interface[IFNAMSIZ]; /* kernel, XDP */
    char device[512];         /* as DPDK knows it: "net_af_packet0,iface=..." */
    uint16_t id;              /* DPDK's */
    bool opened, started, promiscuous;
    bool was_promiscuous; /* by somebody else */
    bool cable;           /* one end of a virtual one */
    bool loopback;        /* the kernel shows each packet twice: as it leaves, and as it comes */
    int number;           /* the kernel's, of the interface, which keeps it whatever it is called */
    _Atomic bool down;    /* the interface is, since a thread looked last */
    uint32_t room;        /* of a packet's buffer */
    uint16_t frames;      /* descriptors of a queue that are asked for */
    struct mr_port_queue queues[MR_PORT_QUEUES_MAX];
};

/* ---- port_xdp.c ---- */

/* Which queues, then port->device and room. `fd`: any socket of the network. */
enum mr_status mr_port_xdp_plan(struct mr_port *port, int fd, uint32_t threads,
                                const char *arguments, struct mr_error *error);

/* From the time that the interface may have our program until the driver has taken it away. */
void mr_port_xdp_attached(const struct mr_port *port);
void mr_port_xdp_detached(const struct mr_port *port);
/* The port's flag, which outlives its socket. */
void mr_port_xdp_promiscuous(const struct mr_port *port, bool promiscuous);

/* ---- vdev.c ---- */

/* Why a virtual device did not open, in words, and what would; `why` is DPDK's. */
enum mr_status mr_port_vdev_refused(const struct mr_port *port, const char *why,
                                    struct mr_error *error);

/* ---- port_kernel.c: interfaces of the kernel ---- */

/* Is it there, is it up, may we? Then port->device, room and the ring's size. */
enum mr_status mr_port_kernel_prepare(struct mr_port *port, const struct mr_port_config *config,
                                      struct mr_error *error);
/* The sockets that belong to us, before and after the driver opened its own. */
#define MR_PORT_FDS 1024
struct mr_port_fds {
    int fd[MR_PORT_FDS];
    uint32_t n;
};
void mr_port_kernel_list(struct mr_port_fds *fds);
/* Finds the queues' sockets among those that were not in `before`. */
void mr_port_kernel_find(struct mr_port *port, const struct mr_port_fds *before);
void mr_port_kernel_start(struct mr_port *port);
bool mr_port_kernel_wait(struct mr_port *port, uint32_t queue, uint64_t most_ns);
/* Where no socket tells what becomes of the interface (net_af_xdp): looks, now and then. */
bool mr_port_kernel_there(struct mr_port *port, uint32_t queue);
void mr_port_kernel_counts(struct mr_port_queue *queue);
/* Where the sockets are known: no packet comes in between the two; then counting begins anew. */
void mr_port_kernel_shut(struct mr_port *port);
void mr_port_kernel_open(struct mr_port *port);

#endif
