/* What --device and --inject mean on this machine. */
#include "engine/sites.h"

#include "base/number.h"

#include <stdlib.h>
#include <string.h>

/* ---- faults on purpose ---- */

static enum mr_status inject(struct mr_offload_faults *faults, const char *text,
                             struct mr_error *error)
{
    const struct {
        const char *name;
        uint32_t *every;
    } kinds[] = {{"open", &faults->open},   {"launch", &faults->launch}, {"late", &faults->late},
                 {"load", &faults->load},   {"lost", &faults->lost},     {"wrong", &faults->wrong},
                 {"stuck", &faults->stuck}, {"hang", &faults->hang},     {"block", &faults->block}};
    bool good = !strncmp(text, "device:", 7);
    const char *name = good ? text + 7 : text, *behind = name + strcspn(name, ":");
    size_t len = (size_t)(behind - name);
    uint64_t every = 1;

    if (good && *behind) {
        behind += strncmp(behind, ":every ", 7) ? 1 : 7;
        good = mr_read_number(behind, 1, UINT32_MAX, &every);
    }
    for (size_t i = 0; good && i < sizeof kinds / sizeof *kinds; i++)
        if (strlen(kinds[i].name) == len && !strncmp(name, kinds[i].name, len)) {
            *kinds[i].every = (uint32_t)every;
            return MR_OK;
        }
    return mr_fail(error, MR_ERR_USAGE,
                   "--inject %s: write device:KIND or device:KIND:every N; kinds are open, launch, "
                   "load, late, lost, wrong, stuck, hang, block",
                   text);
}

/* ---- the device ---- */

enum mr_status mr_devices_open(struct mr_engine *engine, struct mr_error *error)
{
    const char *text = engine->config.device ? engine->config.device : "auto";
    struct mr_error why = {
        .text = "this build has no GPU back end (scripts/build release makes one where nvcc is)"};

    if (!mr_device_wish_parse(text, &engine->device.wish))
        return mr_fail(
            error, MR_ERR_USAGE,
            "--device %s: there is no such device; use cpu, gpu, auto, tables or emulated", text);
    for (uint32_t i = 0; i < engine->config.n_injections; i++) {
        enum mr_status status = inject(&engine->device.faults, engine->config.injections[i], error);
        if (status)
            return status;
    }
    if (engine->device.wish == MR_DEVICE_CPU)
        return MR_OK;
    if (engine->device.wish == MR_DEVICE_TABLES) {
        engine->device.backend = &mr_backend_cpu;
        return MR_OK;
    }
    if (engine->device.wish == MR_DEVICE_EMULATED) {
        engine->device.backend = mr_backend_emulated();
        return engine->device.backend
                   ? MR_OK
                   : mr_fail(error, MR_ERR_START,
                             "--device emulated: this build has no emulated device: it needs a "
                             "C++ compiler");
    }
    const struct mr_backend *gpu = mr_backend_cuda();
    enum mr_status status = gpu ? gpu->probe(&why) : MR_ERR_START;
    if (!status) {
        engine->device.backend = gpu;
        return MR_OK;
    }
    snprintf(engine->device.why, sizeof engine->device.why, "%s", why.text);
    if (engine->device.wish == MR_DEVICE_GPU || status == MR_ERR_LIMIT)
        fprintf(engine->config.diagnostics, "millrace: --device %s: %s; the CPU does it all\n",
                text, why.text);
    return MR_OK;
}
