/* Reads lines of /proc such as "VmHWM:     1234 kB", and what control groups allow. */
#include "base/memory.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_bytes(const char *path, const char *name, unsigned shift, uint64_t *bytes)
{
    char line[128];
    bool found = false;
    FILE *file = fopen(path, "re");

    while (file && !found && fgets(line, sizeof line, file)) {
        char *end, *at = line + strlen(name);
        if (strncmp(line, name, strlen(name)) != 0)
            continue;
        *bytes = strtoull(at, &end, 10) << shift;
        found = end != at; /* "max" is no number: there is no limit */
    }
    if (file)
        fclose(file);
    return found;
}

/* Not getrusage(): that begins with what the process was before this program. */
uint64_t mr_memory_peak(void)
{
    uint64_t bytes;
    return read_bytes("/proc/self/status", "VmHWM:", 10, &bytes) ? bytes : 0;
}

/* ---- control groups ---- */

/* How a hierarchy tells a group's limit, what it has, and what of that are pages of files that the
 * system takes back for others. */
struct hierarchy {
    const char *mount, *limit, *usage, *cache[2];
};

/* Linux's Documentation/admin-guide: cgroup-v2.rst, cgroup-v1/memory.rst */
static const struct hierarchy v2 = {
    "/sys/fs/cgroup", "memory.max", "memory.current", {"inactive_file ", "active_file "}};
static const struct hierarchy v1 = {"/sys/fs/cgroup/memory",
                                    "memory.limit_in_bytes",
                                    "memory.usage_in_bytes",
                                    {"total_inactive_file ", "total_active_file "}};

static uint64_t left_in_group(const struct hierarchy *h, const char *root, const char *group)
{
    uint64_t limit = 0, usage = 0;
    char path[2 * PATH_MAX];

    snprintf(path, sizeof path, "%s%s%s/%s", root, h->mount, group, h->limit);
    if (!read_bytes(path, "", 0, &limit))
        return UINT64_MAX;
    snprintf(path, sizeof path, "%s%s%s/%s", root, h->mount, group, h->usage);
    read_bytes(path, "", 0, &usage);
    snprintf(path, sizeof path, "%s%s%s/memory.stat", root, h->mount, group);
    for (int i = 0; i < 2; i++) {
        uint64_t cache = 0;
        read_bytes(path, h->cache[i], 0, &cache);
        usage -= cache < usage ? cache : usage;
    }
    return limit - (usage < limit ? usage : limit);
}

/* In a container the path may be that of the host, and the group what is mounted: the last step. */
static uint64_t left_on_the_way(const struct hierarchy *h, const char *root, char *group)
{
    uint64_t least = UINT64_MAX;

    for (char *end = group + strcspn(group, "\n"); end; end = strrchr(group, '/')) {
        *end = '\0';
        uint64_t left = left_in_group(h, root, group);
        if (left < least)
            least = left;
    }
    return least;
}

uint64_t mr_memory_allowed(const char *root)
{
    uint64_t least = UINT64_MAX;
    char line[PATH_MAX];

    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *file = fopen(line, "re");
    while (file && fgets(line, sizeof line, file)) { /* "4:memory:/group", "0::/group" */
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        bool one = !strcmp(controllers + 1, "memory"), two = controllers[1] == '\0';
        uint64_t left = one || two ? left_on_the_way(one ? &v1 : &v2, root, group) : UINT64_MAX;
        if (left < least)
            least = left;
    }
    if (file)
        fclose(file);
    return least;
}

uint64_t mr_memory_available(void)
{
    uint64_t there, allowed = mr_memory_allowed("");

    if (!read_bytes("/proc/meminfo", "MemAvailable:", 10, &there))
        return allowed;
    return there < allowed ? there : allowed;
}
