/* How many CPUs this process may use: those of its affinity mask (taskset, cpusets), and no more
 * than the CPU time of its control group comes to (docker --cpus, systemd's CPUQuota=), rounded up.
 * More threads would stand still together whenever that time is used up. */
#ifndef MR_BASE_CORES_H
#define MR_BASE_CORES_H

#include <stdint.h>

/* At least 1. To be asked before DPDK is started, which narrows the mask of its thread. */
uint32_t mr_cores(void);

/* The quota of the process's control group and those above it, in whole CPUs; UINT32_MAX: none.
 * Version 2 (cpu.max) and 1 (cpu.cfs_quota_us), cgroups(7). `root` stands before /proc and /sys:
 * "", or a folder in tests. */
uint32_t mr_cores_of_quota(const char *root);

#endif
