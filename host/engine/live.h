/* Live capture: ports, their capture threads, and how bursts come from there to the runtime.
 *
 * A capture thread (rx.c) reads one queue of a port, stamps the time, sifts, and hands bursts
 * through a ring to the intake turn (live.c), which merges the rings by time into tokens. Bursts
 * come from a bounded list and go back to it. When none is free, packets stay with the network card
 * or the kernel, which drops and counts; where the device does not count, the thread reads and
 * drops them itself (NO_TOKEN), as it does with those that are too old (backlog.h). So an overload
 * never blocks workers, nothing that was accepted is lost, and nothing waits for long.
 *
 * Order: packets that came through one queue keep their order. Between queues it is that of their
 * stamps as far as both are there when the turn merges. A flow stays in one queue where the device
 * spreads symmetrically; where it does not, or has fewer queues than were asked for, capture
 * threads hand packets to each other by a symmetric hash of their addresses.
 */
#ifndef MR_ENGINE_LIVE_H
#define MR_ENGINE_LIVE_H

#include "base/spsc.h"
#include "base/ticks.h"
#include "capture/port.h"
#include "engine/backlog.h"
#include "engine/sift.h"
#include "packet/burst.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <yajl/yajl_gen.h>

#define MR_RX_BURSTS 64   /* of a capture thread */
#define MR_RX_INBOX  1024 /* packets between two capture threads */
/* Turns of the threads of a live engine, where they share cores: a packet waits for some of them.
 */
#define MR_LIVE_SLICE_NS 200000u

struct mr_engine;
struct mr_token;

/* What a capture thread fills and the intake turn empties. */
struct mr_rx_burst {
    struct mr_burst burst;
    struct mr_buffer *kept[MR_BURST_USUAL]; /* that packet i lies in; linked */
    uint64_t arrived_ticks;                 /* of its first packet */
    uint32_t at;                            /* the turn has taken so many */
};

/* The account of one queue. received = processed + the sum of dropped + waiting. */
struct mr_live_account {
    const char *port;
    uint32_t queue;
    uint64_t received, bytes, processed, handed_over, waiting;
    uint64_t unknown; /* read, but the device says it never came: 0, once capture has ended */
    uint64_t dropped[MR_N_DROPS];
};

/* A capture thread. */
struct mr_rx {
    _Alignas(64) struct mr_metrics metrics; /* its own account, but for the device's misses */
    struct mr_live *live;
    struct mr_port *port;
    uint32_t port_index, queue; /* queue: of the thread; the device has some or all of them */
    bool polls;                 /* the device has that queue */
    bool spreads;               /* hands packets to the port's other threads */
    struct mr_sift sift;
    struct mr_rx_burst *bursts; /* [MR_RX_BURSTS] */
    struct mr_rx_burst *open;   /* being filled */
    struct mr_backlog backlog;
    uint64_t accepted;        /* packets put into bursts */
    struct mr_spsc out, back; /* bursts to the intake turn, and from there */
    struct mr_spsc *inboxes;  /* [threads of the port]: from each of them */
    struct mr_rx *siblings;   /* thread 0 of the port */
    uint32_t n_siblings;
    uint64_t idle_since_ns, nap_ns; /* 0: not idle */
    uint64_t stop_ns;               /* reading ends then; 0: it goes on */
    uint64_t first_ns;              /* when the first packet came; 0: none has */
    bool behind;                    /* there may be packets, but nothing to put them into */
    _Atomic uint32_t asleep;        /* futex: waits for its inboxes */
    _Atomic uint64_t handed_over;   /* to siblings */
    _Atomic uint64_t read;          /* from the device */
    pthread_t thread;
    bool started;

    _Alignas(64) struct mr_metrics device;   /* what the device dropped; of who reports, as the */
    uint64_t unknown;                        /* next: read, but not counted by the device */
    struct mr_live_account now, told;        /* the output turn's: for stats events */
    _Alignas(64) struct mr_rx_burst *taking; /* the intake turn's from here */
    _Atomic uint64_t processed;
};

struct mr_live_port {
    struct mr_port *port;
    struct mr_rx *rx; /* [n_rx] */
    uint32_t n_rx;
    bool told, down;          /* said: that it is gone; that it is down */
    _Atomic uint32_t gone;    /* the device is */
    _Atomic uint32_t polling; /* threads that still read from the device */
};

struct mr_live {
    struct mr_engine *engine;
    struct mr_live_port *ports; /* [n_ports] */
    uint32_t n_ports;
    uint32_t nappers; /* capture threads that nothing wakes */
    struct mr_ticks ticks;
    _Atomic uint64_t offset_ns; /* of packet time to the monotonic clock; grows only */
    uint64_t looked_ns;         /* when the system's clock was looked at; monotonic */
    uint64_t back_ns;           /* said: it was set back by so much */
    uint64_t end_ns;            /* monotonic: --duration; 0: none */
    _Atomic uint32_t stopping;  /* no further reading */
    _Atomic uint32_t running;   /* capture threads */
    uint64_t packets;           /* numbered; the intake turn's, as the next */
    uint64_t second;            /* of packet time, that the runtime knows */
    uint64_t set_ns;            /* packet time when the system's clock was set ahead last; or 0 */
    bool ended;                 /* threads are gone */
    bool crowded;               /* as many threads as cores: who waits for something sleeps */
    uint32_t unbalanced;        /* accounts that made no sense, at intervals */
    pthread_mutex_t ask_lock;   /* devices are asked, and what they said is read, by one
                                   thread at a time */
};

/* Opens the ports of the engine's configuration; NULL when there are none. */
enum mr_status mr_live_open(struct mr_live **out, struct mr_engine *engine, struct mr_error *error);
/* Starts ports and threads, and then sends a line on each port to `diagnostics`. */
enum mr_status mr_live_start(struct mr_live *live, struct mr_error *error);
/* Ends them (workers are gone); the accounts are final then. */
void mr_live_finish(struct mr_live *live);
void mr_live_close(struct mr_live *live); /* NULL is allowed */

/* Runtime hooks. */
enum mr_status mr_live_read(void *user, struct mr_metrics *metrics, struct mr_token *token);
bool mr_live_ready(void *user);

/* What live capture takes at the most; after mr_live_open(). */
struct mr_engine_config;
/* How many packets a port may hold at the same time, besides those in its device's rings. */
uint32_t mr_live_packets(const struct mr_engine_config *config);
struct mr_live_memory {
    uint64_t packets, rings, bursts;
};
void mr_live_memory(const struct mr_live *live, struct mr_live_memory *memory);

/* Adds all counters, after asking the devices for what they dropped. Any thread. */
void mr_live_metrics(struct mr_live *live, struct mr_metrics *sum);
/* Looks whether the account of each queue makes sense. The output turn, or after the run. */
void mr_live_check(struct mr_live *live);
uint64_t mr_live_now_ns(const struct mr_live *live); /* packet time */
/* What a port is called in events; NULL: there is no such port. */
const char *mr_live_interface(const struct mr_live *live, uint32_t port);

/* Of all ports. */
uint32_t mr_live_queues(const struct mr_live *live);
/* The account of queue `i`, counted over all ports; false behind the last one. Any thread; while
 * packets come, `waiting` is what is on its way. */
bool mr_live_account(struct mr_live *live, uint32_t i, struct mr_live_account *account);
/* In the output turn: the same as of the last mr_live_interval_begin(), and the difference to the
 * one before that. What waits, and fragments that are held, may have become fewer. */
void mr_live_interval_begin(struct mr_live *live);
bool mr_live_interval(const struct mr_live *live, uint32_t i, bool difference,
                      struct mr_live_account *account);

/* "ports": the accounts of all queues, as JSON. */
void mr_live_put_accounts(struct mr_live *live, yajl_gen g);

/* For the summary and for -T. */
void mr_live_print_accounts(struct mr_live *live, FILE *to);
void mr_live_print_plan(const struct mr_live *live, FILE *to);

/* ---- rx.c ---- */
void *mr_rx_main(void *rx);
void mr_rx_wake(struct mr_rx *rx);
/* While nothing comes it looks again and again, instead of being woken. Of a port that is open. */
bool mr_rx_naps(const struct mr_rx *rx);

#endif
