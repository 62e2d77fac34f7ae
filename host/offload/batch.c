/* Filling a batch, and waiting for one. */
#include "offload/backend.h"

#include "base/clock.h"

#include <string.h>

#define MOST_NS      30000000000u   /* of a batch on a GPU: it needs milliseconds */
#define MOST_SLOW_NS 3600000000000u /* of what is none, under sanitizers too */

enum mr_status mr_backend_wait(const struct mr_backend *backend, void *state,
                               struct mr_offload_batch *batch, struct mr_error *error)
{
    uint64_t most = backend == mr_backend_cuda() ? MOST_NS : MOST_SLOW_NS;
    uint64_t until = mr_clock_ns() + most;
    enum mr_status status;

    while ((status = backend->poll(state, batch, error)) == MR_AGAIN)
        if (mr_clock_ns() > until) {
            if (backend->abandon)
                backend->abandon(state);
            return mr_fail(error, MR_ERR_LIMIT, "device %s: it has not answered for %.0f s",
                           backend->name, (double)most * 1e-9);
        }
    return status;
}

static uint64_t room_of(uint32_t len)
{
    return ((uint64_t)len + 15) / 16 * 16;
}

bool mr_batch_has_room_for(const struct mr_offload_batch *batch, const struct mr_view *views)
{
    uint64_t n_bytes = batch->n_bytes;

    for (uint32_t v = 0; v < batch->n_views; v++)
        n_bytes += room_of(views[v].len);
    return batch->n_messages < batch->messages_max && n_bytes <= batch->bytes_max;
}

bool mr_batch_has_room(const struct mr_offload_batch *batch, uint32_t len)
{
    const struct mr_view views[MR_VIEWS_MAX] = {{NULL, len}};

    return mr_batch_has_room_for(batch, views);
}

bool mr_batch_reserve_views(struct mr_offload_batch *batch, const struct mr_view *views,
                            uint8_t **to)
{
    if (!mr_batch_has_room_for(batch, views))
        return false;
    for (uint32_t v = 0; v < batch->n_views; v++) {
        uint32_t len = views[v].len, room = (uint32_t)room_of(len);
        *mr_batch_view(batch, v, batch->n_messages) =
            (struct mr_batch_message){batch->n_bytes, len};
        to[v] = batch->bytes + batch->n_bytes;
        memset(to[v] + len, 0, room - len);
        batch->n_bytes += room;
    }
    batch->n_messages++;
    return true;
}

uint8_t *mr_batch_reserve(struct mr_offload_batch *batch, uint32_t len)
{
    const struct mr_view views[MR_VIEWS_MAX] = {{NULL, len}};
    uint8_t *at[MR_VIEWS_MAX] = {NULL};

    return mr_batch_reserve_views(batch, views, at) ? at[0] : NULL;
}

bool mr_batch_add(struct mr_offload_batch *batch, const void *bytes, uint32_t len)
{
    uint8_t *at = mr_batch_reserve(batch, len);

    if (at && len)
        memcpy(at, bytes, len);
    return at != NULL;
}
