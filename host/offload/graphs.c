/* Which graph, and making it. */
#include "offload/graphs.h"

#include <stddef.h>

static uint32_t power_of_two(uint32_t n)
{
    uint32_t power = 1;

    while (power < n && power < 1u << 31)
        power *= 2;
    return n ? power : 0;
}

static uint32_t at_most(uint32_t n, uint32_t max)
{
    return n < max ? n : max;
}

struct mr_shape mr_shape_of(struct mr_shape batch, struct mr_shape max)
{
    uint32_t messages = power_of_two(batch.n_messages), less = messages / 4 * 3;

    if (batch.n_messages <= less)
        messages = less;
    return (struct mr_shape){at_most(power_of_two(batch.n_bytes), max.n_bytes),
                             at_most(messages, max.n_messages)};
}

static int capture(const struct mr_graphs *graphs, struct mr_shape shape, void *stream,
                   int (*enqueue)(void *context, struct mr_shape shape, bool captured),
                   void *context, void **graph)
{
    int code = graphs->device->capture_begin(stream), ended;

    *graph = NULL;
    if (code)
        return code;
    code = enqueue(context, shape, true);
    ended = graphs->device->capture_end(graph, stream);
    if (code && *graph) {
        graphs->device->graph_free(*graph);
        *graph = NULL;
    }
    return code ? code : ended;
}

/* The entry of this shape, or the one that is to be its. */
static size_t entry_of(struct mr_graphs *graphs, struct mr_shape shape)
{
    size_t oldest = 0;

    for (size_t i = 0; i < MR_GRAPHS; i++) {
        if (graphs->entries[i].turn && graphs->entries[i].shape.n_bytes == shape.n_bytes &&
            graphs->entries[i].shape.n_messages == shape.n_messages)
            return i;
        if (graphs->entries[i].turn < graphs->entries[oldest].turn)
            oldest = i;
    }
    if (graphs->entries[oldest].graph)
        graphs->device->graph_free(graphs->entries[oldest].graph);
    graphs->entries[oldest].graph = NULL;
    graphs->entries[oldest].turn = 0;
    graphs->entries[oldest].shape = shape;
    return oldest;
}

int mr_graphs_launch(struct mr_graphs *graphs, struct mr_shape shape, void *stream,
                     int (*enqueue)(void *context, struct mr_shape shape, bool captured),
                     void *context)
{
    if (graphs->off)
        return enqueue(context, shape, false);
    size_t i = entry_of(graphs, shape);
    bool again = graphs->entries[i].turn != 0;
    void **graph = &graphs->entries[i].graph;

    graphs->entries[i].turn = ++graphs->turn;
    /* A device that cannot capture this is none the worse: nothing was queued. */
    if (again && !*graph && capture(graphs, shape, stream, enqueue, context, graph))
        graphs->off = true;
    if (!*graph)
        return enqueue(context, shape, false);
    graphs->launched++;
    return graphs->device->graph_launch(*graph, stream);
}

void mr_graphs_free(struct mr_graphs *graphs)
{
    for (size_t i = 0; i < MR_GRAPHS; i++)
        if (graphs->entries[i].graph)
            graphs->device->graph_free(graphs->entries[i].graph);
    *graphs = (struct mr_graphs){.off = true};
}
