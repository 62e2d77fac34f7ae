/* What an EAL that is linked in finds out by itself as it starts, with something cheaper in front
 * of it (scripts/cmake/dpdk.cmake).
 *
 * CPUs: it looks for files of /sys which sandboxes (gVisor, and with it many machines with GPUs)
 * and some containers do not have, and would not start: what this process may run on is there. It
 * asks for each of 1024 CPUs whether there is one, and for the 128 that it was built for on which
 * of 32 nodes they are, a system call each, before it asks whether there is such a CPU: half of the
 * processor time of a short run. So those that have a folder are looked for, once, and for one that
 * is not there the answer is 0 anyway.
 *
 * Traces: it compares the names of its 500 trace points each with each, and writes a description of
 * them, for traces which nobody here can turn on: a twentieth of a short run.
 */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int __real_eal_cpu_detected(unsigned cpu);
int __wrap_eal_cpu_detected(unsigned cpu);
unsigned __real_eal_cpu_core_id(unsigned cpu);
unsigned __wrap_eal_cpu_core_id(unsigned cpu);
unsigned __real_eal_cpu_socket_id(unsigned cpu);
unsigned __wrap_eal_cpu_socket_id(unsigned cpu);
int __wrap_eal_trace_init(void);

static cpu_set_t in_sys, allowed; /* of the machine, as the EAL is one for a process */
static pthread_once_t looked = PTHREAD_ONCE_INIT;

static void look(void)
{
    DIR *folder = opendir("/sys/devices/system/cpu");

    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        CPU_ZERO(&allowed);
    if (!folder)
        return;
    for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        char *end = NULL;
        unsigned long cpu =
            strncmp(entry->d_name, "cpu", 3) ? CPU_SETSIZE : strtoul(entry->d_name + 3, &end, 10);
        if (end && end != entry->d_name + 3 && !*end && cpu < CPU_SETSIZE &&
            __real_eal_cpu_detected((unsigned)cpu))
            CPU_SET(cpu, &in_sys);
    }
    closedir(folder);
}

static bool is_in_sys(unsigned cpu)
{
    pthread_once(&looked, look);
    return cpu < CPU_SETSIZE && CPU_ISSET(cpu, &in_sys);
}

__attribute__((used)) int __wrap_eal_cpu_detected(unsigned cpu)
{
    return is_in_sys(cpu) || (cpu < CPU_SETSIZE && CPU_ISSET(cpu, &allowed));
}

/* Only told to those who ask; nobody does. */
__attribute__((used)) unsigned __wrap_eal_cpu_core_id(unsigned cpu)
{
    return is_in_sys(cpu) ? __real_eal_cpu_core_id(cpu) : 0;
}

__attribute__((used)) unsigned __wrap_eal_cpu_socket_id(unsigned cpu)
{
    return __wrap_eal_cpu_detected(cpu) ? __real_eal_cpu_socket_id(cpu) : 0;
}

__attribute__((used)) int __wrap_eal_trace_init(void)
{
    return 0;
}
