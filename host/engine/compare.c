/* Is a GPU worth it, and what is one told. */
#include "engine/compare.h"

#include "offload/backend.h"

#include <stdio.h>
#include <string.h>

#define WORTH_IT 1.1 /* times the throughput: less is noise */
#define FREE     0.7 /* of the cores: at the same throughput that is worth it as well */

bool mr_compare_gpu(struct mr_error *why)
{
    const struct mr_backend *gpu = mr_backend_cuda();

    if (!gpu) {
        mr_fail(why, MR_ERR_START, "this build has no GPU back end (it was made without nvcc)");
        return false;
    }
    return gpu->probe(why) == MR_OK;
}

static const char *name_of(const struct mr_compare_side *side)
{
    return !strcmp(side->device, "gpu")      ? "the GPU"
           : !strcmp(side->device, "tables") ? "the device's tables searched on the CPU"
                                             : "the emulated device";
}

void mr_compare_verdict(const struct mr_compare_side *cpu, const struct mr_compare_side *other,
                        char *text, size_t size)
{
    double ratio = cpu->gbit > 0 ? other->gbit / cpu->gbit : 0;
    bool gpu = !strcmp(other->device, "gpu");

    if (other->device_messages <= 0)
        snprintf(text, size,
                 "nothing of this program was searched on %s: stay on the CPU (the program has no "
                 "f_match in a parallel component, or its patterns are none for a device)",
                 name_of(other));
    else if (ratio >= WORTH_IT)
        snprintf(text, size,
                 "for this pattern set take %s: %.2f times the throughput, with %.1f "
                 "cores instead of %.1f",
                 name_of(other), ratio, other->cores, cpu->cores);
    else if (gpu && ratio > 1 / WORTH_IT && other->cores < FREE * cpu->cores)
        snprintf(text, size,
                 "for this pattern set the GPU is no faster, but leaves %.1f cores for "
                 "other work: take it if they are needed",
                 cpu->cores - other->cores);
    else if (ratio > 1 / WORTH_IT)
        snprintf(text, size, "for this pattern set stay on the CPU: %s makes no difference",
                 name_of(other));
    else
        snprintf(text, size,
                 "for this pattern set stay on the CPU: with Hyperscan it is %.1f times "
                 "as fast as %s",
                 1 / (ratio > 1e-9 ? ratio : 1e-9), name_of(other));
}
