/* Which CPUs there are, put in front of what an EAL that is linked in finds out by itself
 * (scripts/cmake/dpdk.cmake). It looks for files of /sys which sandboxes (gVisor, and with it many
 * machines with GPUs) and some containers do not have, and would not start: what this process may
 * run on is there. And it asks for each of the 128 CPUs that it was built for on which of 32 nodes
 * it is, a system call each, before it asks whether there is such a CPU: half of the processor time
 * of a short run. For a CPU that is not there the answer is 0 anyway.
 */
#include <sched.h>

int __real_eal_cpu_detected(unsigned cpu);
int __wrap_eal_cpu_detected(unsigned cpu);
unsigned __real_eal_cpu_core_id(unsigned cpu);
unsigned __wrap_eal_cpu_core_id(unsigned cpu);
unsigned __real_eal_cpu_socket_id(unsigned cpu);
unsigned __wrap_eal_cpu_socket_id(unsigned cpu);

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

__attribute__((used)) unsigned __wrap_eal_cpu_socket_id(unsigned cpu)
{
    return __wrap_eal_cpu_detected(cpu) ? __real_eal_cpu_socket_id(cpu) : 0;
}
