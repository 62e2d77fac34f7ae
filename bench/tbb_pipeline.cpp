/* The yardstick of schedule.c: oneTBB's parallel_pipeline with three filters that do nothing,
 * parallel, serial_in_order, parallel. The first one is also the source: one atomic increment.
 *
 *     tbb_pipeline [--workers N] [--burst N] [--packets N] [--tokens N]
 *
 * A token carries `--burst` tuples; 1 is how Scalanytics used TBB. The tuples lie in a ring that is
 * allocated before, so that no filter allocates. Prints one line of JSON as schedule does.
 */
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include <tbb/global_control.h>
#include <tbb/parallel_pipeline.h>
#include <tbb/task_arena.h>

namespace
{

struct tuple {
    uint64_t number, time_ns, key, value;
};

/* Calls that the compiler can neither see through nor drop. */
__attribute__((noinline)) void first(tuple &t)
{
    asm volatile("" : : "r"(&t) : "memory");
}
__attribute__((noinline)) void second(tuple &t)
{
    asm volatile("" : : "r"(&t) : "memory");
}
__attribute__((noinline)) void third(tuple &t)
{
    asm volatile("" : : "r"(&t) : "memory");
}

double cpu_seconds()
{
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

} // namespace

int main(int argc, char **argv)
{
    uint64_t workers = 1, burst = 1, packets = 2000000, tokens = 1000;
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t n = strtoull(argv[i + 1], nullptr, 10);
        if (!strcmp(argv[i], "--workers") && n)
            workers = n;
        else if (!strcmp(argv[i], "--burst") && n)
            burst = n;
        else if (!strcmp(argv[i], "--packets") && n)
            packets = n;
        else if (!strcmp(argv[i], "--tokens") && n)
            tokens = n;
        else {
            fprintf(stderr, "tbb_pipeline: no %s %s; its first lines name the options\n", argv[i],
                    argv[i + 1]);
            return 1;
        }
    }
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, workers);
    tbb::task_arena arena(static_cast<int>(workers));
    /* twice as many slots as tokens: a slot is free when its turn comes again */
    const uint64_t slots = 2 * tokens, n_tokens = (packets + burst - 1) / burst;
    std::vector<tuple> ring(slots * burst);
    std::atomic<uint64_t> made{0};

    auto source = [&](tbb::flow_control &control) -> tuple * {
        uint64_t number = made.fetch_add(1, std::memory_order_relaxed);
        if (number >= n_tokens) {
            control.stop();
            return nullptr;
        }
        tuple *t = &ring[number % slots * burst];
        for (uint64_t i = 0; i < burst; i++) {
            t[i].number = number * burst + i;
            t[i].time_ns = t[i].number * 10;
            first(t[i]);
        }
        return t;
    };
    auto ordered = [&](tuple *t) {
        for (uint64_t i = 0; i < burst; i++)
            second(t[i]);
        return t;
    };
    auto sink = [&](tuple *t) {
        for (uint64_t i = 0; i < burst; i++)
            third(t[i]);
    };
    double cpu = cpu_seconds();
    auto start = std::chrono::steady_clock::now();
    arena.execute([&] {
        tbb::parallel_pipeline(
            tokens,
            tbb::make_filter<void, tuple *>(tbb::filter_mode::parallel, source) &
                tbb::make_filter<tuple *, tuple *>(tbb::filter_mode::serial_in_order, ordered) &
                tbb::make_filter<tuple *, void>(tbb::filter_mode::parallel, sink));
    });
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    printf("{\"seconds\": %.6f, \"cpu_seconds\": %.6f, \"packets\": %llu}\n", took.count(),
           cpu_seconds() - cpu, static_cast<unsigned long long>(n_tokens * burst));
    return 0;
}
