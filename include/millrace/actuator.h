/* SPDX-License-Identifier: Apache-2.0
 *
 * Write an actuator: what carries out f_block() and f_rateLimit() of a program, on a switch, in a
 * firewall, in the kernel, and ship(p, "@NODE"), over whatever leads to other nodes. One constant
 * struct mr_actuator in one file, named in the table of host/engine/actuators.c; --actuator NAME
 * chooses it. The one that is built in, `log`, only lets the `action` event be written that every
 * action has.
 *
 * Threads: calls come one at a time, from the output turn, in the order of the events. They must
 * not block: who talks to something slow queues, within a bound, and refuses what does not fit.
 */
#ifndef MILLRACE_ACTUATOR_H
#define MILLRACE_ACTUATOR_H

#include "millrace/packet.h"
#include "millrace/status.h"

#define MR_ACTUATOR_ABI 1

enum mr_actuation_kind { MR_ACTUATE_BLOCK, MR_ACTUATE_RATE_LIMIT };

/* Borrowed for the call. */
struct mr_actuation {
    enum mr_actuation_kind kind;
    struct mr_endpoint a, b; /* the flow, both directions */
    uint64_t time_ns;        /* packet time */
    uint64_t seconds;        /* how long; 0: until somebody takes it back */
    uint64_t bits_per_s;     /* RATE_LIMIT */
};

/* A tuple for another node: ship(p, "@NODE"). Borrowed for the call. */
struct mr_shipment {
    const char *node;      /* as the program has it, without the @: "host:port" */
    const char *program;   /* whose tuple it is */
    const char *predicate; /* its name */
    const char *record;    /* its `action` event, one line of JSON that holds the tuple */
    size_t record_bytes;
    uint64_t time_ns; /* packet time */
};

struct mr_actuator {
    uint32_t abi;   /* MR_ACTUATOR_ABI */
    uint32_t bytes; /* sizeof(struct mr_actuator) */
    const char *name;
    const char *summary;
    /* (optional) Start-up. `argument` is what stands behind the colon of --actuator NAME:ARGUMENT,
     * or NULL. *state is handed to the others. */
    enum mr_status (*open)(const char *argument, void **state, struct mr_error *error);
    void (*close)(void *state);
    /* Another status than MR_OK: it was not done; counted. */
    enum mr_status (*apply)(void *state, const struct mr_actuation *actuation);
    /* (optional) Sends a tuple to another node; status as above. Without it nothing is shipped, and
     * each tuple is counted as an action that failed. */
    enum mr_status (*ship)(void *state, const struct mr_shipment *shipment);
};

#endif
