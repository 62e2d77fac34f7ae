/* CPUs that we may use, by affinity and by quota. */
#include "base/cores.h"

#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

/* The first line of a file, formatted from what follows; false: there is none. */
__attribute__((format(printf, 3, 4))) static bool first_line(char *line, int size,
                                                             const char *format, ...)
{
    char path[PATH_BYTES];
    va_list arguments;

    va_start(arguments, format);
    int len = vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    FILE *file = len >= 0 && (size_t)len < sizeof path ? fopen(path, "re") : NULL;
    bool found = file && fgets(line, size, file);
    if (file)
        fclose(file);
    return found;
}

/* Of one control group. Where there is none it is negative or a word; nonsense reads as 0. */
static uint32_t quota_of(const char *root, const char *group, bool version_2)
{
    char quota[64], period[64], *end;
    long long quota_us = 0, period_us = 0;

    if (version_2) { /* both in a line */
        if (first_line(quota, sizeof quota, "%s/sys/fs/cgroup%s/cpu.max", root, group)) {
            quota_us = strtoll(quota, &end, 10);
            period_us = strtoll(end, NULL, 10);
        }
    } else if (first_line(quota, sizeof quota, "%s/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", root,
                          group) &&
               first_line(period, sizeof period, "%s/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", root,
                          group)) {
        quota_us = strtoll(quota, NULL, 10);
        period_us = strtoll(period, NULL, 10);
    }
    if (quota_us <= 0 || period_us <= 0)
        return UINT32_MAX;
    long long cores = quota_us / period_us + (quota_us % period_us != 0);
    return cores < UINT32_MAX ? (uint32_t)cores : UINT32_MAX;
}

/* Of the group and all above it. In a container its path may be that of the host, where nothing is
 * mounted: its own files stand at the top then. */
static uint32_t least_quota(const char *root, char *group, bool version_2)
{
    uint32_t least = UINT32_MAX;

    for (;;) {
        char *slash = strrchr(group, '/');
        if (slash && !slash[1])
            *slash = '\0';
        uint32_t quota = quota_of(root, group, version_2);
        least = quota < least ? quota : least;
        if (!(slash = strrchr(group, '/')))
            return least;
        *slash = '\0';
    }
}

/* Is `name` in the list "cpu,cpuacct"? */
static bool names_cpu(const char *list)
{
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (!strncmp(at, "cpu", 3) && (!at[3] || at[3] == ','))
            return true;
    return false;
}

uint32_t mr_cores_of_quota(const char *root)
{
    char path[PATH_BYTES], line[PATH_BYTES];
    uint32_t least = UINT32_MAX;
    int len = snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = len >= 0 && (size_t)len < sizeof path ? fopen(path, "re") : NULL;

    while (file && fgets(line, sizeof line, file)) { /* HIERARCHY:CONTROLLERS:PATH */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        controllers++;
        if (!*controllers || names_cpu(controllers)) {
            uint32_t quota = least_quota(root, group, !*controllers);
            least = quota < least ? quota : least;
        }
    }
    if (file)
        fclose(file);
    return least;
}

uint32_t mr_cores(void)
{
    uint32_t quota = mr_cores_of_quota("");
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;

    if (!sched_getaffinity(0, sizeof set, &set) && CPU_COUNT(&set) > 0)
        n = CPU_COUNT(&set); /* machines of more CPUs than a set holds refuse to tell */
    if (n < 1)
        n = 1;
    return (uint64_t)n < quota ? (uint32_t)n : quota;
}
