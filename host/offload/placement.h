/* Where a batch of messages is searched: on the CPU while it keeps up, on the device when it does
 * not, and back only when it is well ahead again (Kargus, CCS 2012). One owner at a time. */
#ifndef MR_OFFLOAD_PLACEMENT_H
#define MR_OFFLOAD_PLACEMENT_H

#include <stdbool.h>
#include <stdint.h>

/* TABLES: what a device would read, searched on the CPU; to be compared. */
enum mr_device_wish {
    MR_DEVICE_CPU,
    MR_DEVICE_GPU,
    MR_DEVICE_AUTO,
    MR_DEVICE_EMULATED,
    MR_DEVICE_TABLES
};

/* "cpu", "gpu", "auto", "emulated", "tables"; false: none of them. */
bool mr_device_wish_parse(const char *text, enum mr_device_wish *wish);

struct mr_placement {
    enum mr_device_wish wish;
    uint64_t deadline_ns;
    bool on_device;
    uint64_t changes;
    uint64_t ns_per_kib; /* of the CPU, learned */
};

void mr_placement_init(struct mr_placement *placement, enum mr_device_wish wish,
                       uint64_t deadline_ns);

/* What the CPU took for so many bytes. */
void mr_placement_learn(struct mr_placement *placement, uint64_t bytes, uint64_t ns);

/* With so many bytes waiting for the CPU, which have waited so long already: to the device? When
 * that comes to over 0.8 of the deadline yes, until it is below 0.3. */
bool mr_placement_on_device(struct mr_placement *placement, uint64_t waiting_bytes,
                            uint64_t waited_ns);

#endif
