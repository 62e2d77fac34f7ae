/* How often does this machine stop a thread that does nothing, and what does memory cost that was
 * never touched? What bench/timers.c measures is to be seen beside it: no program can be better.
 *
 * THREADS threads read clocks for SECONDS; a stop is a millisecond or more between two readings, by
 * the wall clock or in CPU time of the thread (a host that stops a virtual processor without saying
 * so). Of those by the wall clock it says in how many another thread had the core. Then one thread
 * touches the first byte of some large pages, and of as many small ones. At last THREADS threads
 * touch so many MiB of small pages, as many at a time as a worker does whose flows begin, while a
 * thread for idle cores clears large ones, as base/pages.c does, and then change a byte in each
 * line of them, again and again: how many of these tasks, which do nothing else, take over a
 * millisecond of CPU time?
 *
 * usage: stops [-t THREADS] [-s SECONDS] [-m MIB]
 * Prints one JSON object.
 */
#include "base/clock.h"

#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#define NS           1000000000ull
#define LONG_NS      1000000u
#define MOST_THREADS 64
#define LARGE        ((size_t)2 << 20)
#define SMALL        4096u
#define LINE         64u
#define N_PAGES      64u
#define AGAIN        4u
#define TASK_PAGES   24u /* what 256 flows of bench/timers.c lie on */

struct spinner {
    pthread_t thread;
    uint64_t end_ns, stops, preempted, cpu_stops, longest_ns, longest_cpu_ns;
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

static long switches(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

static void *spin(void *argument)
{
    struct spinner *s = argument;
    uint64_t last = clock_ns(CLOCK_MONOTONIC), last_cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    long before = switches();

    while (last < s->end_ns) {
        long changed = switches();
        uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), now = clock_ns(CLOCK_MONOTONIC);
        s->stops += now - last > LONG_NS;
        s->preempted += now - last > LONG_NS && changed != before;
        s->cpu_stops += cpu - last_cpu > LONG_NS;
        s->longest_ns = now - last > s->longest_ns ? now - last : s->longest_ns;
        s->longest_cpu_ns = cpu - last_cpu > s->longest_cpu_ns ? cpu - last_cpu : s->longest_cpu_ns;
        last = now;
        last_cpu = cpu;
        before = changed;
    }
    return NULL;
}

/* Tasks of one kind: of TASK_PAGES pages each. */
struct tasks {
    uint64_t n, over_1ms, longest_ns, cpu_ns;
};

struct toucher {
    pthread_t thread;
    uint64_t mib;
    struct tasks first, again;
    bool failed;
};

/* Private memory that begins with a large page; all + LARGE bytes of it at *memory. NULL: none. */
static uint8_t *addresses(size_t all, int advice, uint8_t **memory)
{
    *memory = mmap(NULL, all + LARGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (*memory == MAP_FAILED)
        return NULL;
    uint8_t *first = *memory + -(uintptr_t)*memory % LARGE;
    (void)madvise(first, all, advice);
    return first;
}

/* All of the memory, a byte in so many each. */
static void pass(uint8_t *memory, size_t all, size_t step, struct tasks *tasks)
{
    for (size_t at = 0; at + TASK_PAGES * SMALL <= all; tasks->n++) {
        uint64_t before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        for (size_t end = at + TASK_PAGES * SMALL; at < end; at += step)
            ++*(volatile uint8_t *)(memory + at);
        uint64_t took = clock_ns(CLOCK_THREAD_CPUTIME_ID) - before;
        tasks->cpu_ns += took;
        tasks->over_1ms += took > LONG_NS;
        tasks->longest_ns = took > tasks->longest_ns ? took : tasks->longest_ns;
    }
}

static void *touch(void *argument)
{
    struct toucher *t = argument;
    size_t all = (size_t)t->mib << 20;
    uint8_t *memory, *first = addresses(all, MADV_NOHUGEPAGE, &memory);

    t->failed = !first;
    if (!first)
        return NULL;
    pass(first, all, SMALL, &t->first);
    for (uint32_t i = 0; i < AGAIN; i++)
        pass(first, all, LINE, &t->again);
    munmap(memory, all + LARGE);
    return NULL;
}

static void add(struct tasks *sum, const struct tasks *tasks)
{
    sum->n += tasks->n;
    sum->cpu_ns += tasks->cpu_ns;
    sum->over_1ms += tasks->over_1ms;
    if (tasks->longest_ns > sum->longest_ns)
        sum->longest_ns = tasks->longest_ns;
}

struct clearer {
    pthread_t thread;
    uint64_t mib;
    _Atomic bool ending;
};

/* On idle cores, as long as the others touch, and at most as much. */
static void *clear(void *argument)
{
    struct clearer *c = argument;
    const struct sched_param none = {0};
    size_t all = (size_t)c->mib << 20;
    uint8_t *memory, *first = addresses(all, MADV_HUGEPAGE, &memory);

    (void)pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
    for (size_t at = 0; first && at < all && !atomic_load(&c->ending); at += LARGE)
        *(volatile uint8_t *)(first + at) = 1;
    if (first)
        munmap(memory, all + LARGE);
    return NULL;
}

/* False: no memory, or no threads. */
static bool touch_all(uint32_t threads, uint64_t mib, struct toucher *sum)
{
    static struct toucher touchers[MOST_THREADS];
    struct clearer clearer = {.mib = mib};

    *sum = (struct toucher){0};
    if (!mib)
        return true;
    if (pthread_create(&clearer.thread, NULL, clear, &clearer))
        return false;
    for (uint32_t i = 0; i < threads; i++) {
        touchers[i].mib = mib / threads;
        if (pthread_create(&touchers[i].thread, NULL, touch, &touchers[i]))
            return false;
    }
    for (uint32_t i = 0; i < threads; i++) {
        const struct toucher *t = &touchers[i];
        pthread_join(t->thread, NULL);
        sum->failed = sum->failed || t->failed;
        add(&sum->first, &t->first);
        add(&sum->again, &t->again);
    }
    atomic_store(&clearer.ending, true);
    pthread_join(clearer.thread, NULL);
    return !sum->failed;
}

static int by_value(const void *x, const void *y)
{
    const uint64_t *a = x, *b = y;
    return *a < *b ? -1 : *a > *b;
}

/* The median of the CPU time that the first touch of a page takes; 0: no memory. */
static double touch_us(size_t page_bytes)
{
    uint64_t took[N_PAGES];
    size_t all = N_PAGES * page_bytes;
    uint8_t *memory,
        *first = addresses(all, page_bytes == LARGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE, &memory);

    if (!first)
        return 0;
    for (uint32_t i = 0; i < N_PAGES; i++) {
        uint64_t before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        *(volatile uint8_t *)(first + i * page_bytes) = 1;
        took[i] = clock_ns(CLOCK_THREAD_CPUTIME_ID) - before;
    }
    munmap(memory, all + LARGE);
    qsort(took, N_PAGES, sizeof *took, by_value);
    uint64_t median = took[N_PAGES / 2];
    return (double)median / 1e3;
}

static void print_tasks(const char *name, const struct tasks *tasks)
{
    printf(", \"%s\": {\"tasks\": %llu, \"over_1ms\": %llu, \"longest_us\": %.0f, "
           "\"cpu_seconds\": %.3f}",
           name, (unsigned long long)tasks->n, (unsigned long long)tasks->over_1ms,
           (double)tasks->longest_ns / 1e3, (double)tasks->cpu_ns / 1e9);
}

int main(int argc, char **argv)
{
    static struct spinner spinners[MOST_THREADS];
    struct spinner sum = {0};
    struct toucher touched;
    unsigned long threads = 1, seconds = 5, mib = 0;
    int option;

    while ((option = getopt(argc, argv, "t:s:m:")) != -1) {
        unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;
        if (option == 't')
            threads = value;
        else if (option == 's')
            seconds = value;
        else if (option == 'm')
            mib = value;
        else
            return 1;
    }
    if (!threads || threads > MOST_THREADS || !seconds || seconds > 3600 || mib > 1u << 20) {
        fprintf(stderr, "usage: stops [-t THREADS] [-s SECONDS] [-m MIB]\n");
        return 1;
    }
    for (uint32_t i = 0; i < threads; i++) {
        spinners[i].end_ns = clock_ns(CLOCK_MONOTONIC) + seconds * NS;
        if (pthread_create(&spinners[i].thread, NULL, spin, &spinners[i]))
            return 2;
    }
    for (uint32_t i = 0; i < threads; i++) {
        const struct spinner *s = &spinners[i];
        pthread_join(s->thread, NULL);
        sum.stops += s->stops;
        sum.preempted += s->preempted;
        sum.cpu_stops += s->cpu_stops;
        sum.longest_ns = s->longest_ns > sum.longest_ns ? s->longest_ns : sum.longest_ns;
        if (s->longest_cpu_ns > sum.longest_cpu_ns)
            sum.longest_cpu_ns = s->longest_cpu_ns;
    }
    double large_us = touch_us(LARGE), small_us = touch_us(SMALL);
    if (!touch_all((uint32_t)threads, mib, &touched))
        return 2;
    printf("{\"threads\": %lu, \"seconds\": %lu, \"stops\": %llu, \"preempted\": %llu, "
           "\"cpu_stops\": %llu, \"longest_us\": %.0f, \"longest_cpu_us\": %.0f, "
           "\"large_page_us\": %.1f, \"small_page_us\": %.1f, "
           "\"task_pages\": %u",
           threads, seconds, (unsigned long long)sum.stops, (unsigned long long)sum.preempted,
           (unsigned long long)sum.cpu_stops, (double)sum.longest_ns / 1e3,
           (double)sum.longest_cpu_ns / 1e3, large_us, small_us, TASK_PAGES);
    print_tasks("first", &touched.first);
    print_tasks("again", &touched.again);
    printf("}\n");
    return 0;
}
