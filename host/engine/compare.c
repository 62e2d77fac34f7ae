/* Is a GPU worth it, and what is one told. */
#include "engine/compare.h"

#include "offload/backend.h"

#include <stdio.h>
#include <string.h>

#define WORTH_IT 1.1 /* times the throughput: less is noise */
#define SOME     0.1 /* messages: with more that a device left undone its times are not its own */
#define FREE     0.7 /* of the cores: at the same throughput that is worth it as well */
#define BRIEF    0.5 /* seconds: in less it is starting, and the last batch, that is measured */

bool mr_compare_gpu(struct mr_error *why)
{
    const struct mr_backend *gpu = mr_backend_cuda();

    if (!gpu) {
        mr_fail(why, MR_ERR_START,
                "this build has no GPU back end (scripts/build release makes one where nvcc is)");
        return false;
    }
    return gpu->probe(why) == MR_OK;
}

/* Of a back end that is no GPU: it only says how the ways to search compare on this CPU. */
static void without_gpu(const struct mr_compare_side *other, double ratio, char *text, size_t size)
{
    const char *name =
        !strcmp(other->device, "tables") ? "a GPU's tables on the CPU" : "with the emulated device";

    if (ratio >= WORTH_IT)
        snprintf(text, size,
                 "for this pattern set searching %s is %.2f times as fast as Hyperscan; whether a "
                 "GPU is worth it was not measured",
                 name, ratio);
    else if (ratio > 1 / WORTH_IT)
        snprintf(text, size,
                 "for this pattern set stay on the CPU with Hyperscan: searching %s makes no "
                 "difference; whether a GPU is worth it was not measured",
                 name);
    else
        snprintf(text, size,
                 "for this pattern set stay on the CPU with Hyperscan: it is %.1f times as fast as "
                 "searching %s; whether a GPU is worth it was not measured",
                 1 / (ratio > 1e-9 ? ratio : 1e-9), name);
}

/* Both sides were measured. */
static void judge(const struct mr_compare_side *cpu, const struct mr_compare_side *other,
                  char *text, size_t size)
{
    double ratio = cpu->gbit > 0 ? other->gbit / cpu->gbit : 0;
    double seconds = cpu->seconds < other->seconds ? cpu->seconds : other->seconds;

    if (strcmp(other->device, "gpu") != 0)
        without_gpu(other, ratio, text, size);
    else if (ratio >= WORTH_IT)
        snprintf(text, size,
                 "for this pattern set take the GPU: %.2f times the throughput, with %.1f cores "
                 "instead of %.1f",
                 ratio, other->cores, cpu->cores);
    else if (ratio <= 1 / WORTH_IT)
        snprintf(text, size,
                 "for this pattern set stay on the CPU: it is %.1f times as fast as the GPU",
                 1 / (ratio > 1e-9 ? ratio : 1e-9));
    else if (other->cores < FREE * cpu->cores)
        snprintf(text, size,
                 "for this pattern set the GPU is no faster, but leaves %.1f cores for other work: "
                 "take it if they are needed",
                 cpu->cores - other->cores);
    else
        snprintf(text, size, "for this pattern set stay on the CPU: the GPU makes no difference");
    size_t used = strlen(text);
    if (seconds < BRIEF)
        snprintf(text + used, size - used,
                 "; but runs of %.2g s say little: give more traffic (-r, several times)", seconds);
}

void mr_compare_verdict(const struct mr_compare_side *cpu, const struct mr_compare_side *other,
                        char *text, size_t size)
{
    if (other->failed > SOME * other->device_messages)
        snprintf(text, size,
                 "not measured: the device failed, or was late, with %.0f messages, which the CPU "
                 "has searched; what the run said of it tells why",
                 other->failed);
    else if (other->device_messages <= 0 && other->too_long > 0)
        snprintf(text, size,
                 "not measured: the device was given nothing, for all %.0f messages were longer "
                 "than a batch, and the CPU has searched them; give --batch more bytes",
                 other->too_long);
    else if (other->device_messages <= 0)
        snprintf(
            text, size,
            "stay on the CPU: nothing of this program was searched elsewhere (it has no "
            "f_match or f_spamScore in a parallel component, or nothing that is for a device)");
    else
        judge(cpu, other, text, size);
}
