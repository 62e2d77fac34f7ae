/* A port: packets as they come, from an interface of the kernel (net_af_packet, net_af_xdp), from a
 * network card by its PCI address, or from a virtual device of DPDK by its arguments.
 *
 * A port has queues; each is read by one thread, which must be registered with DPDK
 * (mr_dpdk_thread_register()). Nothing is ever sent: no transmit queue is set up (but for
 * net_af_xdp, which wants them in pairs). Packets are mbufs of the port's own pool, which other
 * threads may free.
 */
#ifndef MR_CAPTURE_PORT_H
#define MR_CAPTURE_PORT_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stdint.h>

#define MR_PORT_QUEUES_MAX 64

struct mr_port;
struct rte_mbuf;

/* How -i names it. */
enum mr_port_kind {
    MR_PORT_KERNEL, /* "eth0": by net_af_packet; "eth0,framesz=2048": with arguments for it */
    MR_PORT_XDP,    /* "xdp:eth0": by net_af_xdp, which takes the packets away from the kernel */
    MR_PORT_CARD,   /* "0000:3b:00.0", "3b:00.0": bound to vfio-pci or the like */
    MR_PORT_VIRTUAL /* "net_null0,size=64": a vdev with its arguments */
};

struct mr_port_config {
    const char *name; /* copied */
    uint16_t index;   /* counted from 0 */
    uint32_t queues;  /* wanted */
    uint32_t packets; /* that may be held at the same time, besides the device's own */
    bool promiscuous;
};

/* What became of the wishes. */
struct mr_port_facts {
    const char *name;
    char interface[32]; /* the same without "xdp:", and without arguments, for those who read events
                         */
    enum mr_port_kind kind;
    const char *driver;
    uint32_t queues;       /* that the device has for us */
    bool symmetric;        /* both directions of a flow come in the same queue (one queue: true) */
    bool tells_missed;     /* it counts what it had to drop itself */
    bool counts_by_queue;  /* mr_port_counts() */
    uint16_t link_type;    /* of its packets, as capture files number them */
    uint32_t mtu;          /* of an interface of the kernel; 0: not known */
    uint32_t packet_bytes; /* of the longest packet that fits */
    uint32_t ring_frames;  /* of a queue of the kernel; 0: not known */
    uint64_t pool_bytes, ring_bytes; /* memory at the most */
};

enum mr_port_kind mr_port_kind_of(const char *name);
/* Do both names mean the same interface, card or device? Its packets would come twice. */
bool mr_port_same(const char *a, const char *b);
/* How many packets a queue of such a port holds itself, besides those of its config. */
uint32_t mr_port_own_packets(enum mr_port_kind kind);

/* Has this process the rights that interfaces of the kernel want? */
bool mr_port_may_capture(void);
/* How much the kernel's rings may take together: what may be locked (RLIMIT_MEMLOCK). */
uint64_t mr_port_ring_limit(void);

/* Opens a port and sets up its queues; with mr_port_start() packets begin to arrive. Needs
 * mr_dpdk_start(), for cards with their addresses. MR_ERR_INPUT: there is no such interface, or it
 * is down; MR_ERR_START: a right or a driver is missing. In one sentence, with what to do. */
enum mr_status mr_port_open(struct mr_port **out, const struct mr_port_config *config,
                            struct mr_error *error);
enum mr_status mr_port_start(struct mr_port *port, struct mr_error *error);
/* Reading ends; counters stay. */
void mr_port_stop(struct mr_port *port);
/* All packets must be free. NULL is allowed. */
void mr_port_close(struct mr_port *port);
/* For who ends the process without closing its ports: what the kernel would not undo is undone, of
 * all of them (AF_XDP: its program at the interface, which stays promiscuous). Async-signal-safe.
 */
void mr_ports_abandon(void);

const struct mr_port_facts *mr_port_facts(const struct mr_port *port);

/* Takes up to `max` packets out of a queue; 0: there is none, or no buffer for one (then
 * mr_port_starved() says so and the packets stay where they are). The queue's thread only. */
uint32_t mr_port_receive(struct mr_port *port, uint32_t queue, struct rte_mbuf **packets,
                         uint32_t max);
bool mr_port_starved(const struct mr_port *port);
/* Is the interface down? It is captured from again once it is up. Any thread. */
bool mr_port_down(const struct mr_port *port);

/* Does the device wake who sleeps for this queue? (Interfaces of the kernel do.) */
bool mr_port_wakes(const struct mr_port *port, uint32_t queue);
/* Sleeps for `most_ns`, or until a packet arrives where the device wakes. false: the device is
 * gone. */
bool mr_port_wait(struct mr_port *port, uint32_t queue, uint64_t most_ns);

/* What the device counted since mr_port_start(). */
struct mr_port_counts {
    uint64_t received; /* packets that came for this queue, with those below */
    uint64_t missed;   /* dropped by the device since its ring was full */
    uint64_t damaged;  /* dropped by the device as damaged (only of queue 0) */
};

/* Of one queue where the device tells them apart (the kernel does), else of the whole port for
 * queue 0 and nothing for the others. One thread at a time. */
void mr_port_counts(struct mr_port *port, uint32_t queue, struct mr_port_counts *counts);

#endif
