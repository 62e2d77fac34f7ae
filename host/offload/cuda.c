/* The back end on an NVIDIA GPU. */
#include "kernels/device.h"
#include "offload/backend.h"

#ifdef MR_HAVE_CUDA

#define PROBE_NS 30000000000u /* a host with many GPUs that sleep may take half of it */

static enum mr_status probe(struct mr_error *error)
{
    return mr_device_probe(&mr_device_cuda, PROBE_NS, error);
}

static enum mr_status open(const struct mr_backend_config *config, void **state,
                           struct mr_error *error)
{
    static const struct mr_device_backend backend = {
        .device = &mr_device_cuda,
        .filter = &mr_factor_filter_cuda,
        .kernels = &mr_regex_kernels_cuda,
        .bayes = &mr_bayes_cuda,
    };
    mr_call_begin();
    enum mr_status status = mr_device_open(&backend, config, state, error);
    mr_call_end();
    return status;
}

static const struct mr_backend cuda = {
    .name = "cuda",
    .probe = probe,
    .open = open,
    .close = mr_call_close,
    .batch_new = mr_call_batch_new,
    .batch_free = mr_call_batch_free,
    .submit = mr_call_submit,
    .poll = mr_call_poll,
    .is_broken = mr_device_is_broken,
    .abandon = mr_device_abandon,
};

const struct mr_backend *mr_backend_cuda(void)
{
    return &cuda;
}

#else

const struct mr_backend *mr_backend_cuda(void)
{
    return NULL;
}

#endif
