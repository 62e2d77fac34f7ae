/* How often does this machine stop a thread that does nothing, and what does memory cost that was
 * never touched? What bench/timers.c measures is to be seen beside it: no program can be better.
 *
 * THREADS threads read clocks for SECONDS; a stop is a millisecond or more between two readings, by
 * the wall clock or in CPU time of the thread (a host that stops a virtual processor without saying
 * so). Of those by the wall clock it says in how many another thread had the core. Then one thread
 * touches the first byte of some large pages, and of as many small ones.
 *
 * usage: stops [-t THREADS] [-s SECONDS]
 * Prints one JSON object.
 */
#include "base/clock.h"

#include <getopt.h>
#include <pthread.h>
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
#define N_PAGES      64u

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

static int by_value(const void *x, const void *y)
{
    const uint64_t *a = x, *b = y;
    return *a < *b ? -1 : *a > *b;
}

/* The median of the CPU time that the first touch of a page takes; 0: no memory. */
static double touch_us(size_t page_bytes)
{
    uint64_t took[N_PAGES];
    size_t all = N_PAGES * page_bytes + LARGE;
    uint8_t *memory =
        mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return 0;
    uint8_t *first = memory + -(uintptr_t)memory % LARGE;
    (void)madvise(first, N_PAGES * page_bytes,
                  page_bytes == LARGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (uint32_t i = 0; i < N_PAGES; i++) {
        uint64_t before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        *(volatile uint8_t *)(first + i * page_bytes) = 1;
        took[i] = clock_ns(CLOCK_THREAD_CPUTIME_ID) - before;
    }
    munmap(memory, all);
    qsort(took, N_PAGES, sizeof *took, by_value);
    uint64_t median = took[N_PAGES / 2];
    return (double)median / 1e3;
}

int main(int argc, char **argv)
{
    static struct spinner spinners[MOST_THREADS];
    struct spinner sum = {0};
    unsigned long threads = 1, seconds = 5;
    int option;

    while ((option = getopt(argc, argv, "t:s:")) != -1) {
        unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;
        if (option == 't')
            threads = value;
        else if (option == 's')
            seconds = value;
        else
            return 1;
    }
    if (!threads || threads > MOST_THREADS || !seconds || seconds > 3600) {
        fprintf(stderr, "usage: stops [-t THREADS] [-s SECONDS]\n");
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
    printf("{\"threads\": %lu, \"seconds\": %lu, \"stops\": %llu, \"preempted\": %llu, "
           "\"cpu_stops\": %llu, \"longest_us\": %.0f, \"longest_cpu_us\": %.0f, "
           "\"large_page_us\": %.1f, \"small_page_us\": %.1f}\n",
           threads, seconds, (unsigned long long)sum.stops, (unsigned long long)sum.preempted,
           (unsigned long long)sum.cpu_stops, (double)sum.longest_ns / 1e3,
           (double)sum.longest_cpu_ns / 1e3, touch_us(LARGE), touch_us(SMALL));
    return 0;
}
