/* Commands of alarms. A command is never given to a shell. It gets nothing of the engine's open
 * files but standard error; its standard output goes nowhere, since events may go there. */
#include "engine/command.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLOTS       128u
#define INPUT_BYTES 16384u
#define NS_PER_S    1000000000ull
#define AT_END_S    30 /* for all that is queued when the run is over */
#define STARTS      (-1)
#define IN_HURRY_S  2 /* where somebody asked for the end, and waits */

extern char **environ;

struct mr_command {
    _Atomic uint32_t holders;
    uint32_t timeout_s;
    bool told;     /* that it cannot be started */
    char *words[]; /* then NULL, then their bytes */
};

struct slot {
    struct mr_command *command;
    uint32_t len;
    char input[INPUT_BYTES];
};

struct mr_commands {
    pthread_t thread;
    struct mr_commands_tie *tie;
    FILE *diagnostics;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct slot *slots;
    struct slot *running; /* a copy of the one under way */
    uint32_t first, n;
    bool ended;
    _Atomic uint64_t until_ns; /* of everything, once the run has ended; 0: it has not */
    bool hurried;              /* until_ns is that of who is in a hurry */
    uint64_t cut;              /* killed then */
    _Atomic uint64_t begun, failed, lost;
};

struct mr_command *mr_command_new(const char *const *words, uint32_t n, uint32_t timeout_s)
{
    size_t list = (n + 1) * sizeof(char *), bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += strlen(words[i]) + 1;
    struct mr_command *command = malloc(sizeof *command + list + bytes);
    if (!command)
        return NULL;
    char *to = (char *)&command->words[n + 1];
    atomic_init(&command->holders, 1);
    command->timeout_s = timeout_s;
    command->told = false;
    for (uint32_t i = 0; i < n; i++) {
        command->words[i] = to;
        to = stpcpy(to, words[i]) + 1;
    }
    command->words[n] = NULL;
    return command;
}

void mr_command_release(struct mr_command *command)
{
    if (command && atomic_fetch_sub_explicit(&command->holders, 1, memory_order_acq_rel) == 1)
        free(command);
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* When all is to be over; UINT64_MAX while the engine runs. */
static uint64_t end_ns(struct mr_commands *c)
{
    uint64_t until_ns = atomic_load_explicit(&c->until_ns, memory_order_relaxed);

    if (!until_ns)
        return UINT64_MAX;
    if (!c->hurried && atomic_load_explicit(&c->tie->hurry, memory_order_relaxed)) {
        uint64_t soon_ns = mr_clock_ns() + IN_HURRY_S * NS_PER_S;
        c->hurried = true;
        until_ns = soon_ns < until_ns ? soon_ns : until_ns;
        atomic_store_explicit(&c->until_ns, until_ns, memory_order_relaxed);
    }
    return until_ns;
}

/* 0, or why it cannot be started. */
static int start(const struct slot *slot, pid_t *pid, int *input)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC))
        return errno;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, ends[0], STDIN_FILENO);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    char *const *words = slot->command->words;
    int failed = posix_spawnp(pid, words[0], &files, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    close(ends[0]);
    if (failed) {
        close(ends[1]);
        return failed;
    }
    *input = ends[1];
    return 0;
}

/* Writes what the command takes until the deadline; a command need not read it. */
static void feed(struct mr_commands *c, int fd, const char *bytes, size_t len, uint64_t deadline_ns)
{
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
            continue;
        }
        uint64_t now = mr_clock_ns();
        if ((n < 0 && errno != EAGAIN && errno != EINTR) || now >= deadline_ns || now >= end_ns(c))
            break;
        struct pollfd one = {.fd = fd, .events = POLLOUT};
        poll(&one, 1, 10);
    }
    close(fd);
}

/* True: the command ended by itself and well. */
static bool await(struct mr_commands *c, pid_t pid, uint64_t deadline_ns)
{
    const struct timespec nap = {.tv_nsec = 2000000};
    int status = 0;

    for (;;) {
        pid_t found = waitpid(pid, &status, WNOHANG);
        if (found == pid)
            return WIFEXITED(status) && !WEXITSTATUS(status);
        if (found < 0 && errno != EINTR)
            return false;
        uint64_t until_ns = end_ns(c), now = mr_clock_ns();
        c->cut += now >= until_ns;
        if (now >= until_ns || now >= deadline_ns)
            break;
        nanosleep(&nap, NULL);
    }
    kill(-pid, SIGKILL); /* what it has started as well */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return false;
}

static void run(struct mr_commands *c, const struct slot *slot)
{
    uint64_t deadline_ns = mr_clock_ns() + slot->command->timeout_s * NS_PER_S;
    int input = -1;
    pid_t pid = -1;

    count(&c->begun, 1);
    atomic_store(&c->tie->group, STARTS);
    int why = atomic_load(&c->tie->over) ? ECANCELED : start(slot, &pid, &input);
    atomic_store(&c->tie->group, why ? 0 : pid);
    if (why) {
        count(&c->failed, 1);
        if (!slot->command->told && why != ECANCELED)
            fprintf(c->diagnostics,
                    "millrace: the command %s of an alarm cannot be started: %s; it goes on, and "
                    "counts them (alarm_commands_failed)\n",
                    slot->command->words[0], strerror(why));
        slot->command->told = true;
        return;
    }
    feed(c, input, slot->input, slot->len, deadline_ns);
    if (!await(c, pid, deadline_ns))
        count(&c->failed, 1);
    atomic_store(&c->tie->group, 0);
}

static void *thread_main(void *argument)
{
    struct mr_commands *c = argument;
    sigset_t all;

    sigfillset(
        &all); /* signals are the engine's; a command that does not read is no reason to die */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->n && !c->ended)
            pthread_cond_wait(&c->more, &c->lock);
        if (!c->n || mr_clock_ns() >= end_ns(c))
            break;
        *c->running = c->slots[c->first];
        c->first = (c->first + 1) % SLOTS;
        c->n--;
        pthread_mutex_unlock(&c->lock);
        run(c, c->running);
        mr_command_release(c->running->command);
        pthread_mutex_lock(&c->lock);
    }
    count(&c->lost, c->n); /* there was no time for them any more */
    for (; c->n; c->n--, c->first = (c->first + 1) % SLOTS)
        mr_command_release(c->slots[c->first].command);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

enum mr_status mr_commands_new(struct mr_commands **out, struct mr_commands_tie *tie,
                               FILE *diagnostics)
{
    struct mr_commands *c = calloc(1, sizeof *c);

    if (!c)
        return MR_ERR_MEMORY;
    c->tie = tie;
    c->diagnostics = diagnostics;
    c->slots = calloc(SLOTS, sizeof *c->slots);
    c->running = calloc(1, sizeof *c->running);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->more, NULL);
    if (!c->slots || !c->running || pthread_create(&c->thread, NULL, thread_main, c)) {
        free(c->slots);
        free(c->running);
        free(c);
        return MR_ERR_START;
    }
    *out = c;
    return MR_OK;
}

bool mr_commands_push(struct mr_commands *c, struct mr_command *command, const void *input,
                      size_t len)
{
    bool good = len <= INPUT_BYTES;

    if (!good)
        return false;
    pthread_mutex_lock(&c->lock);
    good = c->n < SLOTS;
    if (good) {
        struct slot *slot = &c->slots[(c->first + c->n++) % SLOTS];
        atomic_fetch_add_explicit(&command->holders, 1, memory_order_relaxed);
        slot->command = command;
        slot->len = (uint32_t)len;
        memcpy(slot->input, input, len);
        pthread_cond_signal(&c->more);
    }
    pthread_mutex_unlock(&c->lock);
    return good;
}

struct mr_commands_usage mr_commands_used(const struct mr_commands *c)
{
    return (struct mr_commands_usage){.run = atomic_load_explicit(&c->begun, memory_order_relaxed),
                                      .failed =
                                          atomic_load_explicit(&c->failed, memory_order_relaxed),
                                      .lost = atomic_load_explicit(&c->lost, memory_order_relaxed)};
}

/* One that is just being started is known in a moment; its thread does not run signal handlers. */
void mr_commands_abandon(struct mr_commands_tie *tie)
{
    const struct timespec nap = {.tv_nsec = 1000000};
    int32_t group;

    atomic_store(&tie->over, 1);
    for (int i = 0; (group = atomic_load(&tie->group)) == STARTS && i < 1000; i++)
        nanosleep(&nap, NULL);
    if (group > 0)
        kill(-group, SIGKILL);
}

void mr_commands_free(struct mr_commands *c, struct mr_commands_usage *usage)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->ended = true;
    atomic_store_explicit(&c->until_ns, mr_clock_ns() + AT_END_S * NS_PER_S, memory_order_relaxed);
    pthread_cond_signal(&c->more);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    struct mr_commands_usage used = mr_commands_used(c);
    if (c->cut || used.lost)
        fprintf(c->diagnostics,
                "millrace: commands of alarms had %d s at the end: %llu killed, %llu not begun; "
                "they are counted (alarm_commands_failed, alarm_commands_lost)\n",
                c->hurried ? IN_HURRY_S : AT_END_S, (unsigned long long)c->cut,
                (unsigned long long)used.lost);
    if (usage)
        *usage = used;
    pthread_cond_destroy(&c->more);
    pthread_mutex_destroy(&c->lock);
    free(c->slots);
    free(c->running);
    free(c);
}
