/* Filling a batch. */
#include "offload/backend.h"

#include <string.h>

static uint64_t room_of(uint32_t len)
{
    return ((uint64_t)len + 15) / 16 * 16;
}

bool mr_batch_has_room(const struct mr_batch *batch, uint32_t len)
{
    return batch->n_messages < batch->messages_max &&
           batch->n_bytes + room_of(len) <= batch->bytes_max;
}

uint8_t *mr_batch_reserve(struct mr_batch *batch, uint32_t len)
{
    uint8_t *at = batch->bytes + batch->n_bytes;

    if (!mr_batch_has_room(batch, len))
        return NULL;
    batch->messages[batch->n_messages++] = (struct mr_batch_message){batch->n_bytes, len};
    memset(at + len, 0, room_of(len) - len);
    batch->n_bytes += (uint32_t)room_of(len);
    return at;
}

bool mr_batch_add(struct mr_batch *batch, const void *bytes, uint32_t len)
{
    uint8_t *at = mr_batch_reserve(batch, len);

    if (at && len)
        memcpy(at, bytes, len);
    return at != NULL;
}
