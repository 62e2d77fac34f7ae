/* Whoever watches a run: the progress bar, and whether the terminal is still there. */
#include "cli/cli.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void mr_cli_progress(void *user, uint64_t done, uint64_t total, uint64_t packets)
{
    (void)user;
    char bar[31];
    if (!total) {
        fprintf(stderr, "\r%llu packets, %.1f MB ", (unsigned long long)packets,
                (double)done / 1e6);
        return;
    }
    unsigned filled = (unsigned)(done >= total ? 30 : done * 30 / total);
    memset(bar, '.', 30);
    memset(bar, '#', filled);
    bar[30] = '\0';
    fprintf(stderr, "\r[%s] %3u %%  %llu packets ", bar,
            (unsigned)(done >= total ? 100 : done * 100 / total), (unsigned long long)packets);
}

void mr_cli_progress_end(void)
{
    fprintf(stderr, "\r%60s\r", "");
}

bool mr_cli_terminal(void)
{
    int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}
