/* Whoever watches a run: the progress bar, and whether the terminal is still there. */
#include "cli/cli.h"

#include "base/clock.h"
#include "millrace/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define AGAIN_NS 1000000000u /* what comes sooner may be one wish, told twice */

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

/* ---- hanging up ---- */

static bool had_terminal, has_file; /* set before any signal comes */
static volatile sig_atomic_t rotated;

/* Does the process have a terminal? With as many files open as may be nobody can tell. */
static bool has_terminal(bool unknown)
{
    int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0 || ((errno == EMFILE || errno == ENFILE) && unknown);
}

bool mr_cli_is_rotation(int number)
{
    return number == SIGHUP && has_file && (!had_terminal || has_terminal(true));
}

void mr_cli_end_by(struct mr_engine *engine, int number)
{
    sigset_t one;

    mr_engine_abandon(engine);
    signal(number, SIG_DFL);
    sigemptyset(&one);
    sigaddset(&one, number);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL); /* in its handler it is blocked */
    raise(number);
    _exit(128 + number); /* the first process of a container is not ended by signals */
}

bool mr_cli_is_impatient(void)
{
    static _Atomic uint64_t first_ns;
    uint64_t now_ns = mr_clock_ns(), none = 0;

    return !atomic_compare_exchange_strong_explicit(&first_ns, &none, now_ns, memory_order_relaxed,
                                                    memory_order_relaxed) &&
           now_ns - none >= AGAIN_NS;
}

static void on_early(int number)
{
    int error = errno;

    if (mr_cli_is_rotation(number))
        rotated = 1;
    else
        mr_cli_end_by(NULL, number);
    errno = error;
}

void mr_cli_catch_early(bool file)
{
    static const int all[] = {SIGHUP, SIGINT, SIGTERM};
    struct sigaction action = {.sa_handler = on_early, .sa_flags = SA_RESTART}, before;

    had_terminal = has_terminal(false);
    has_file = file;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!sigaction(all[i], NULL, &before) && before.sa_handler != SIG_IGN)
            sigaction(all[i], &action, NULL);
}

bool mr_cli_rotated_early(void)
{
    return rotated;
}
