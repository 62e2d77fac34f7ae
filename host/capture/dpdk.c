/* DPDK's environment: the one place that starts and stops it.
 *
 * DPDK is one for a process and so is the state here, the only mutable state at file scope. */
#include "capture/dpdk.h"
#include "capture/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mempool.h>
#include <rte_version.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_ARGUMENTS 64
#define HEAP_MIB      16 /* of DPDK's own; packets lie elsewhere (pool.c) */

/* The EAL keeps pointers to its arguments. */
struct environment {
    struct rte_mempool *pool;
    char arguments[MAX_ARGUMENTS][64];
    char *argv[MAX_ARGUMENTS];
    int argc;
    bool started;
    _Atomic int thread; /* of the starter */
    sem_t done;
    int result, error; /* of rte_eal_init(): its rte_errno is the thread's */
};

static struct environment environment;

static void argument(struct environment *e, const char *text)
{
    snprintf(e->arguments[e->argc], sizeof e->arguments[0], "%s", text);
    e->argv[e->argc] = e->arguments[e->argc];
    e->argc++;
}

/* Some CPU that this process may use: the EAL wants one for its main thread. */
static int allowed_cpu(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (CPU_ISSET((size_t)cpu, &set))
                return cpu;
        }
    }
    return 0;
}

uint64_t mr_dpdk_hugepages_free(void)
{
    static const struct {
        const char *file;
        uint64_t bytes;
    } sizes[] = {
        {"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", 2ull << 20},
        {"/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", 1ull << 30},
    };
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char line[32];
        FILE *file = fopen(sizes[i].file, "re");
        if (!file)
            continue;
        if (fgets(line, sizeof line, file))
            bytes += strtoull(line, NULL, 10) * sizes[i].bytes;
        fclose(file);
    }
    return bytes;
}

/* Memory and buses. Cards want memory that they can reach themselves, which the EAL hands out. */
static void set_memory(struct environment *e, const struct mr_dpdk_config *config)
{
    char text[64];
    uint64_t heap = HEAP_MIB;
    if (!config->n_cards) {
        argument(e, "--no-pci");
    } else {
        heap += config->card_bytes >> 20;
        for (uint32_t i = 0; i < config->n_cards && e->argc + 8 < MAX_ARGUMENTS; i++) {
            argument(e, "-a");
            argument(e, config->cards[i]);
        }
    }
    if (config->n_cards && !config->no_huge && mr_dpdk_hugepages_free()) {
        argument(e, "--in-memory"); /* hugepages come back however this process ends */
        return;
    }
    argument(e, "--no-huge");
    argument(e, "--iova-mode=va");
    snprintf(text, sizeof text, "-m%llu", (unsigned long long)heap);
    argument(e, text);
}

static void set_arguments(struct environment *e, const struct mr_dpdk_config *config)
{
    char text[64];
    e->argc = 0;
    argument(e, "millrace");
    set_memory(e, config);
    argument(e, "--no-telemetry");
    argument(e, "--no-shconf"); /* no files that another process could look into */
    snprintf(text, sizeof text, "--lcores=0@%d", allowed_cpu());
    argument(e, text);
    snprintf(text, sizeof text, "--file-prefix=millrace-%d", (int)getpid());
    argument(e, text);
    argument(e, config->verbose ? "--log-level=info" : "--log-level=error");
}

/* The EAL's main thread: pins itself, and ends with its affinity. The threads that the EAL starts
 * inherit its signal mask, so that the process's signals go to the engine's threads. */
static void *starter(void *p)
{
    struct environment *e = p;
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGURG);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    atomic_store(&e->thread, (int)syscall(SYS_gettid));
    e->result = rte_eal_init(e->argc, e->argv);
    e->error = rte_errno;
    sem_post(&e->done);
    return NULL;
}

static void nothing(int signal)
{
    (void)signal;
}

/* Is that thread asleep for a given time? The kernel says which system call it is in. */
static bool sleeping(int thread)
{
    char path[64], text[32] = {0};
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", thread);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0 || text[0] < '0' || text[0] > '9')
        return false;
    long call = strtol(text, NULL, 10);
#ifdef SYS_nanosleep
    if (call == SYS_nanosleep)
        return true;
#endif
    return call == SYS_clock_nanosleep;
}

/* Now and half a millisecond. */
static struct timespec soon(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 500000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    return until;
}

/* Waits until the starter is through. Where the processor does not tell the frequency of its time
 * stamp counter (AMD, most virtual machines) the EAL measures it across a sleep of 0.1 s, most of
 * its whole start. It goes by the time that it really slept, so a signal that ends the sleep after
 * two milliseconds costs no more than precision, of which there is plenty. Its other sleeps are of
 * microseconds, in loops. */
static void wait_for_start(struct environment *e)
{
    struct sigaction wake = {.sa_handler = nothing, .sa_flags = SA_RESTART}, before;
    bool watching = sigaction(SIGURG, &wake, &before) == 0, restore = watching;
    int asleep = 0, wakes = 0;

    for (;;) {
        struct timespec until = soon();
        if ((watching ? sem_timedwait(&e->done, &until) : sem_wait(&e->done)) == 0)
            break;
        int thread = atomic_load(&e->thread);
        asleep = watching && thread && sleeping(thread) ? asleep + 1 : 0;
        if (asleep == 4) {
            syscall(SYS_tgkill, getpid(), thread, SIGURG);
            asleep = 0;
            watching = ++wakes < 8;
        }
    }
    if (restore)
        sigaction(SIGURG, &before, NULL);
}

/* The EAL made it, and it is empty since nothing is shared with other processes. The one above it
 * may be in /tmp, where it would be in the way of other users. */
static void remove_runtime_folder(void)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", rte_eal_get_runtime_dir());
    rmdir(path);
    char *slash = strrchr(path, '/');
    if (slash && geteuid() != 0) {
        *slash = 0;
        rmdir(path);
    }
}

/* What net_af_xdp is made of, where it is linked, talks to standard error as it likes. */
typedef int print_t(int level, const char *format, va_list arguments);
__attribute__((weak)) print_t *libbpf_set_print(print_t *);
__attribute__((weak)) print_t *libxdp_set_print(print_t *);

enum mr_status mr_dpdk_start(const struct mr_dpdk_config *config, struct mr_error *error)
{
    struct environment *e = &environment;
    pthread_t thread;

    if (e->started)
        return mr_fail(error, MR_ERR_START, "DPDK cannot be started twice in one process");
    set_arguments(e, config);
    sem_init(&e->done, 0, 0);
    int failure = pthread_create(&thread, NULL, starter, e);
    if (failure) {
        sem_destroy(&e->done);
        return mr_fail(error, MR_ERR_START, "cannot start a thread: %s", strerror(failure));
    }
    e->started = true;
    wait_for_start(e);
    pthread_join(thread, NULL);
    sem_destroy(&e->done);
    if (e->result < 0)
        return mr_fail(error, MR_ERR_START,
                       "%s cannot start on this machine: %s (its own messages "
                       "stand above)",
                       rte_version(), rte_strerror(e->error));
    remove_runtime_folder();
    if (!config->verbose) { /* what goes wrong with a port is said by us */
        rte_log_set_level_pattern("pmd.*", RTE_LOG_CRIT);
        rte_log_set_level_pattern("lib.*", RTE_LOG_CRIT);
        if (libbpf_set_print)
            libbpf_set_print(NULL);
        if (libxdp_set_print)
            libxdp_set_print(NULL);
    }
    struct mr_pool_config pool = {.name = "millrace_packets", .packets = config->max_packets};
    enum mr_status status = mr_pool_new(&e->pool, &pool, error);
    if (status)
        rte_eal_cleanup();
    return status;
}

void mr_dpdk_stop(void)
{
    struct environment *e = &environment;
    if (!e->pool)
        return;
    mr_pool_free(e->pool);
    e->pool = NULL;
    rte_eal_cleanup();
}

enum mr_status mr_dpdk_thread_register(void)
{
    if (rte_lcore_id() != LCORE_ID_ANY)
        return MR_OK;
    return rte_thread_register() == 0 ? MR_OK : MR_ERR_LIMIT;
}

void mr_dpdk_thread_unregister(void)
{
    rte_thread_unregister();
}

struct rte_mempool *mr_dpdk_pool(void)
{
    return environment.pool;
}

uint32_t mr_dpdk_packets_in_use(void)
{
    return environment.pool ? rte_mempool_in_use_count(environment.pool) : 0;
}

uint64_t mr_dpdk_memory_bytes(uint32_t max_packets)
{
    return ((uint64_t)HEAP_MIB << 20) + mr_pool_memory_bytes(max_packets, 0);
}

const char *mr_dpdk_version(void)
{
    return rte_version();
}
