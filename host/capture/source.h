/* A source of packets: a capture file, a pipe, later a DPDK port. All sit behind this interface.
 *
 * One thread reads from a source at a time (the engine's intake turn); which one may change from
 * burst to burst.
 */
#ifndef MR_CAPTURE_SOURCE_H
#define MR_CAPTURE_SOURCE_H

#include "millrace/status.h"
#include "packet/burst.h"

#include <stdbool.h>
#include <stdint.h>

struct mr_source;
struct mr_ahead;

/* What a source tells of itself for progress bars and summaries, as of its last read. */
struct mr_source_progress {
    uint64_t bytes_done, bytes_total; /* total 0: not known (a pipe, a port) */
    uint64_t packets;
    int32_t link_type; /* of the last packet; -1 before the first. See mr_link_type_name(). */
    const char *name;
};

struct mr_source_ops {
    /* Puts up to `max` packets into an empty burst. MR_OK: burst->n > 0. MR_AGAIN: nothing now,
     * burst->n is 0: a pipe or a port is silent (after 0.1 s at most), a signal came, another
     * thread is reading what comes next (ahead.h), or so many packets are held that there is no
     * buffer or no file block left (mr_source_memory_bytes()); packets that are let go make it go
     * on. It never says so while nobody holds packets of a file or reads ahead. MR_EOF: the end,
     * burst->n is 0. MR_ERR_INPUT: the input is damaged from here on, burst->n is 0 and *error says
     * what and at which packet and byte; packets before were delivered by earlier calls. Called
     * again, the last two say the same again. */
    enum mr_status (*read)(struct mr_source *source, struct mr_burst *burst, uint32_t max,
                           struct mr_error *error);
    /* From any thread. The name is the source's. */
    void (*progress)(const struct mr_source *source, struct mr_source_progress *progress);
    /* Packets that are still held stay valid. */
    void (*close)(struct mr_source *source);
};

struct mr_source {
    const struct mr_source_ops *ops;
};

/* Opens a capture file: pcap (micro- and nanosecond, either byte order) or pcapng (any section
 * byte order, several interfaces, if_tsresol, simple and enhanced packet blocks, obsolete
 * packet blocks); "-" is standard input, pipes are read as they come. Tells the format by its
 * magic number; of a pipe that has not brought that yet the first read does. Needs mr_dpdk_start().
 * MR_ERR_INPUT with a sentence when it is no capture. */
enum mr_status mr_source_open_file(struct mr_source **out, const char *path, uint16_t interface,
                                   struct mr_error *error);

/* The same, and with several threads that read a regular file ahead (ahead.h). */
enum mr_status mr_source_open_ahead(struct mr_source **out, const char *path, uint16_t interface,
                                    struct mr_ahead *ahead, struct mr_error *error);

/* The most that one file source takes for blocks of file bytes (address space at first; memory as
 * packets in flight pin it, at most about a kilobyte each, 8 to 128 MiB). */
uint64_t mr_source_memory_bytes(uint32_t max_packets);

/* The most packet buffers that are put into use (pool.h) for so many bursts of it, of max_packets
 * altogether: a burst has one for each block that its packets lie in, and blocks follow each other
 * as bursts do. */
uint32_t mr_source_buffers(uint32_t bursts, uint32_t max_packets);

/* Frees what the packets of a burst lie in (burst.h) and empties it. From any thread. */
void mr_burst_release(struct mr_burst *burst);

#endif
