/* The back end on the emulated device. */
#include "kernels/device.h"
#include "kernels/emulation/control.h"
#include "offload/backend.h"

#ifdef MR_HAVE_EMULATED

#define WATCHED 8 /* for races between lanes, where the build does that: one grid in so many */

static enum mr_status probe(struct mr_error *error)
{
    return mr_device_probe(&mr_device_emulated, 0, error);
}

static enum mr_status open(const struct mr_backend_config *config, void **state,
                           struct mr_error *error)
{
    mr_emulation_watch(WATCHED);
    static const struct mr_device_backend backend = {
        .device = &mr_device_emulated,
        .filter = &mr_factor_filter_emulated,
        .kernels = &mr_regex_kernels_emulated,
        .bayes = &mr_bayes_emulated,
    };
    mr_call_begin();
    enum mr_status status = mr_device_open(&backend, config, state, error);
    mr_call_end();
    return status;
}

static const struct mr_backend emulated = {
    .name = "emulated",
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

const struct mr_backend *mr_backend_emulated(void)
{
    return &emulated;
}

#else

const struct mr_backend *mr_backend_emulated(void)
{
    return NULL;
}

#endif
