/* What the stages of a run cost, packet by packet: written by `millrace_recorded` (record_costs.c),
 * read by simulate.c. One file: the header, the tokens, the packets of all tokens in order. Times
 * are nanoseconds. Only for the machine that wrote it.
 */
#ifndef MR_BENCH_COSTS_H
#define MR_BENCH_COSTS_H

#include <stdint.h>

#define COSTS_MAGIC 0x3174736f63726d00u

struct costs_header {
    uint64_t magic;
    uint64_t n_tokens, n_packets;
    uint64_t rest_ns; /* of the run on one worker: what none of the times below holds */
};

struct costs_token {
    uint32_t n;         /* packets */
    uint32_t intake_ns; /* reading and decoding, in the intake turn */
    uint32_t split_ns;  /* onto lanes, before the gate */
    uint32_t retire_ns; /* output, in the turn of the last gate */
    uint32_t ticks_ns;  /* timers, on all lanes together */
};

struct costs_packet {
    uint32_t flow;     /* of its key's hash; 0: it reached no lane */
    uint32_t front_ns; /* its share of the parallel group before the lanes */
    uint32_t lane_ns;  /* its share of the lane's batch, by bytes */
    uint32_t back_ns;  /* of the parallel group behind the lanes; 0: nothing went on to it */
};

#endif
