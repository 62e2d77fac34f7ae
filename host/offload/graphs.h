/* Captured work of one batch's memory: where the same kernels and copies are queued again and
 * again, a graph of them is launched by one call instead of by some thirty. Grids and sizes are
 * part of a graph, so batches are rounded up to a few shapes, and there is a graph for each shape
 * that has come twice; the one that was not used for longest makes room. One thread at a time. */
#ifndef MR_OFFLOAD_GRAPHS_H
#define MR_OFFLOAD_GRAPHS_H

#include "kernels/device.h"

#include <stdbool.h>
#include <stdint.h>

#define MR_GRAPHS 8

/* What grids and copies of a batch depend on. */
struct mr_shape {
    uint32_t n_bytes, n_messages;
};

/* The smallest shape into which the batch fits: bytes a power of two, messages a power of two or
 * half as many again, neither over `max`. */
struct mr_shape mr_shape_of(struct mr_shape batch, struct mr_shape max);

struct mr_graphs {
    const struct mr_device *device;
    bool off; /* the device does not capture, or nobody wants it to: all is queued piece by piece */
    uint64_t turn, launched;
    struct {
        struct mr_shape shape;
        uint64_t turn; /* used last; 0: never */
        void *graph;   /* NULL: the shape came once */
    } entries[MR_GRAPHS];
};

/* Does what enqueue() queues on the stream for this shape. enqueue() is told whether it is
 * captured; it and this return the device's error code. */
int mr_graphs_launch(struct mr_graphs *graphs, struct mr_shape shape, void *stream,
                     int (*enqueue)(void *context, struct mr_shape shape, bool captured),
                     void *context);
void mr_graphs_free(struct mr_graphs *graphs);

#endif
