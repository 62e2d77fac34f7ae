/* Filling a batch. */
#include "offload/backend.h"

#include <string.h>

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
