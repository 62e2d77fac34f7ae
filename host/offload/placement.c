/* Two marks, so that it does not go to and fro between them. */
#include "offload/placement.h"

#include <string.h>

bool mr_device_wish_parse(const char *text, enum mr_device_wish *wish)
{
    static const char *const names[] = {"cpu", "gpu", "auto", "emulated", "tables"};

    for (int i = 0; i < 5; i++)
        if (!strcmp(text, names[i])) {
            *wish = (enum mr_device_wish)i;
            return true;
        }
    return false;
}

void mr_placement_init(struct mr_placement *placement, enum mr_device_wish wish,
                       uint64_t deadline_ns)
{
    *placement = (struct mr_placement){
        .wish = wish,
        .deadline_ns = deadline_ns,
        .on_device = wish != MR_DEVICE_CPU && wish != MR_DEVICE_AUTO,
        .ns_per_kib = 5000, /* some hundreds of PCREs; soon learned */
    };
}

void mr_placement_learn(struct mr_placement *placement, uint64_t bytes, uint64_t ns)
{
    uint64_t rate = bytes ? ns * 1024 / bytes : 0;

    if (bytes >= 64) /* of less only the overhead is seen */
        placement->ns_per_kib = (placement->ns_per_kib * 15 + rate) / 16;
}

bool mr_placement_on_device(struct mr_placement *placement, uint64_t waiting_bytes,
                            uint64_t waited_ns)
{
    uint64_t backlog_ns = waited_ns + waiting_bytes / 1024 * placement->ns_per_kib +
                          waiting_bytes % 1024 * placement->ns_per_kib / 1024;
    bool before = placement->on_device;

    if (placement->wish != MR_DEVICE_AUTO)
        return before;
    if (backlog_ns > placement->deadline_ns / 10 * 8)
        placement->on_device = true;
    else if (backlog_ns < placement->deadline_ns / 10 * 3)
        placement->on_device = false;
    placement->changes += placement->on_device != before;
    return placement->on_device;
}
