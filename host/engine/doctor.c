/* millrace doctor: what this machine can do, from reading files to network cards. */
#include "capture/doctor.h"

#include "capture/dpdk.h"
#include "engine/internal.h"

#define SOME_PACKETS 1024

enum mr_status mr_doctor_print(FILE *to, bool *live)
{
    struct mr_dpdk_config config = {.max_packets = SOME_PACKETS};
    struct mr_error error = {0};
    enum mr_status status = mr_dpdk_start(&config, &error);

    fprintf(to, "%-8s%-13s", status ? "missing" : "ok", "files");
    if (status)
        fprintf(to, "captures cannot be inspected: %s\n", error.text);
    else
        fprintf(to, "captures can be inspected with -r (%s)\n", mr_dpdk_version());
    *live = mr_doctor_capture(to);
    if (!status)
        mr_dpdk_stop();
    return status;
}
