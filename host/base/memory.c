/* Reads lines of /proc such as "VmHWM:     1234 kB". */
#include "base/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_bytes(const char *path, const char *name, uint64_t *bytes)
{
    char line[128];
    bool found = false;
    FILE *file = fopen(path, "re");

    while (file && !found && fgets(line, sizeof line, file)) {
        found = !strncmp(line, name, strlen(name));
        if (found)
            *bytes = strtoull(line + strlen(name), NULL, 10) << 10;
    }
    if (file)
        fclose(file);
    return found;
}

/* Not getrusage(): that begins with what the process was before this program. */
uint64_t mr_memory_peak(void)
{
    uint64_t bytes;
    return read_bytes("/proc/self/status", "VmHWM:", &bytes) ? bytes : 0;
}

uint64_t mr_memory_available(void)
{
    uint64_t bytes;
    return read_bytes("/proc/meminfo", "MemAvailable:", &bytes) ? bytes : UINT64_MAX;
}
