/* Put in front of a function of DPDK when it is linked statically (scripts/cmake/dpdk.cmake).
 *
 * When it starts, the EAL asks for each of the 128 CPUs that it was built for on which of 32 nodes
 * it is, a system call each, and only then whether the machine has such a CPU at all: half of the
 * processor time of a short run. For a CPU that is not there the answer is 0 anyway.
 */

int eal_cpu_detected(unsigned cpu);
unsigned __real_eal_cpu_socket_id(unsigned cpu);
unsigned __wrap_eal_cpu_socket_id(unsigned cpu);

unsigned __wrap_eal_cpu_socket_id(unsigned cpu)
{
    return eal_cpu_detected(cpu) ? __real_eal_cpu_socket_id(cpu) : 0;
}
