/* Which CPUs there are, for an EAL that is linked in: it looks for files of /sys which sandboxes
 * (gVisor, and with it many machines with GPUs) and some containers do not have, and would not
 * start. What this process may run on is there. scripts/cmake/dpdk.cmake puts these in front of
 * the EAL's own functions. */
#include <sched.h>

int __real_eal_cpu_detected(unsigned cpu);
int __wrap_eal_cpu_detected(unsigned cpu);
unsigned __real_eal_cpu_core_id(unsigned cpu);
unsigned __wrap_eal_cpu_core_id(unsigned cpu);

__attribute__((used)) int __wrap_eal_cpu_detected(unsigned cpu)
{
    cpu_set_t set;

    if (__real_eal_cpu_detected(cpu))
        return 1;
    return sched_getaffinity(0, sizeof set, &set) == 0 && cpu < CPU_SETSIZE && CPU_ISSET(cpu, &set);
}

/* Only told to those who ask; nobody does. */
__attribute__((used)) unsigned __wrap_eal_cpu_core_id(unsigned cpu)
{
    return __real_eal_cpu_detected(cpu) ? __real_eal_cpu_core_id(cpu) : 0;
}
