/* Models of spam on a device: their tables, and the sums of each message. */
#include "offload/device_parts.h"

#include <stddef.h>

int mr_device_bayes_load(struct mr_device_state *d)
{
    int code = d->config.work.n_models ? d->backend.bayes->load() : 0;

    for (uint32_t i = 0; i < d->config.work.n_models && !code; i++) {
        const struct mr_spam_model *model = d->config.work.models[i].model;
        code = mr_device_upload(d, mr_spam_buckets(model),
                                ((size_t)MR_BAYES_SLOTS << model->bucket_log2) *
                                    sizeof(struct mr_bayes_entry),
                                (void **)&d->entries[i]);
    }
    return code;
}

void mr_device_bayes_unload(struct mr_device_state *d)
{
    for (uint32_t i = 0; i < MR_MODELS_MAX; i++)
        d->backend.device->free_memory(d->entries[i]);
}

int mr_device_bayes_enqueue(const struct mr_device_batch *b, struct mr_shape shape)
{
    const struct mr_device_state *d = b->owner;
    int code = 0;

    for (uint32_t i = 0; i < d->config.work.n_models && !code; i++) {
        const struct mr_offload_model *work = &d->config.work.models[i];
        struct mr_bayes_batch batch = {
            .entries = d->entries[i],
            .bucket_log2 = work->model->bucket_log2,
            .bytes = b->bytes,
            .n_messages = shape.n_messages,
            .messages = mr_device_view(b, work->view),
            .sums = mr_device_sums(b->results, shape, i),
            .n_blocks_max = d->n_blocks_max,
        };
        code = d->backend.bayes->enqueue(&batch, b->stream);
    }
    return code;
}

void mr_device_bayes_collect(struct mr_device_batch *b)
{
    b->batch.sums = mr_device_sums(b->host_results, b->shape, 0);
    b->batch.sums_each = b->shape.n_messages;
}
