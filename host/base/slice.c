/* sched_setattr(2), which the C library does not have. */
#include "base/slice.h"

#include <linux/sched/types.h>
#include <sys/syscall.h>
#include <unistd.h>

void mr_thread_slice(uint64_t slice_ns)
{
    struct sched_attr attr = {.size = sizeof attr};

    /* policy and niceness stay; real-time threads are left alone */
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) || attr.sched_policy)
        return;
    attr.sched_runtime = slice_ns;
    (void)syscall(SYS_sched_setattr, 0, &attr, 0);
}
