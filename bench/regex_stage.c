/* What the regex stage costs over Hyperscan alone: f_match's batch function beside hs_scan() with
 * the same databases, over the same messages in memory. Rounds of both in turn on each thread, CPU
 * time of the thread; alerts are switched off, as with --events program. `scripts/bench regex` runs
 * it over sets of 1, 150 and 1,200 PCREs and 150 and 5,000 literals (bench/regex.py). Aim: the
 * stage costs at most 10 % over hs_scan(); measured: 0 to 3 %.
 *
 * usage: regex_stage PATTERNS MESSAGES [ROUNDS [THREADS]]
 * Prints a JSON object: medians of the times of a pass, and of the ratio of two neighbouring ones;
 * "stage" with batches of 32 rows, "stage_one" with batches of one. Exit code 2: both do not find
 * the same.
 */
#include "messages.h"

#include "components/match.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH      32u
#define ROUNDS_MAX 101u

extern const struct mr_component mr_component_match;

/* ---- the engine's services, as far as f_match wants them ---- */

enum { MATCHES = 2 }; /* of its counters */

struct mr_event *mr_event_open(struct mr_call *call, uint32_t row, const char *type)
{
    (void)call, (void)row, (void)type;
    return NULL;
}

bool mr_event_wanted(const struct mr_call *call, const char *type)
{
    (void)call, (void)type;
    return false;
}

void mr_event_string(struct mr_event *event, const char *key, const void *bytes, size_t len)
{
    (void)event, (void)key, (void)bytes, (void)len;
}

void mr_event_int(struct mr_event *event, const char *key, int64_t value)
{
    (void)event, (void)key, (void)value;
}

void mr_event_object(struct mr_event *event, const char *key)
{
    (void)event, (void)key;
}

void mr_event_end(struct mr_event *event)
{
    (void)event;
}

void mr_event_close(struct mr_event *event)
{
    (void)event;
}

const struct mr_device_answer *mr_device_answer(struct mr_call *call, uint32_t row)
{
    (void)call, (void)row;
    return NULL;
}

void mr_device_checked(struct mr_call *call, uint32_t row, const uint32_t *indices, uint32_t n)
{
    (void)call, (void)row, (void)indices, (void)n;
}

void mr_count(struct mr_call *call, uint32_t index, uint64_t n)
{
    if (index == MATCHES)
        *(uint64_t *)call->runtime += n;
}

/* ---- passes ---- */

enum pass { RAW, STAGE, STAGE_ONE, PASSES };

struct work {
    const struct messages *messages;
    const struct mr_function *function;
    const void *config;
    const struct mr_match_groups *groups;
    uint32_t rounds;
    pthread_barrier_t start;
};

struct worker {
    pthread_t thread;
    struct work *work;
    hs_scratch_t *scratch;
    void *state; /* f_match's */
    union mr_value *rows, *out;
    double ns[PASSES][ROUNDS_MAX];
    uint64_t found[PASSES];
    bool failed;
};

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)id, (void)from, (void)to, (void)flags;
    ++*(uint64_t *)context;
    return 0;
}

static uint64_t raw(struct worker *w)
{
    const struct messages *m = w->work->messages;
    uint64_t found = 0;

    for (uint32_t i = 0; i < m->n; i++)
        for (uint32_t g = 0; g < w->work->groups->n; g++)
            w->failed |= hs_scan(w->work->groups->groups[g].database, (const char *)m->at[i],
                                 m->len[i], 0, w->scratch, on_match, &found) != HS_SUCCESS;
    return found;
}

static uint64_t stage(struct worker *w, uint32_t batch)
{
    uint64_t found = 0;
    const union mr_value *args[1];
    struct mr_call call = {.function = w->work->function,
                           .config = w->work->config,
                           .thread = w->state,
                           .args = args,
                           .n_args = 1,
                           .out = w->out,
                           .runtime = &found};

    for (uint32_t i = 0; i < w->work->messages->n; i += call.n) {
        uint32_t left = w->work->messages->n - i;
        args[0] = w->rows + i;
        call.n = left < batch ? left : batch;
        w->work->function->call(&call);
    }
    return found;
}

static void *run(void *memory)
{
    struct worker *w = memory;

    for (uint32_t round = 0; round <= w->work->rounds; round++)
        for (int k = 0; k < PASSES; k++) {
            enum pass pass = (enum pass)((k + (int)round) % PASSES);
            pthread_barrier_wait(&w->work->start);
            double began = cpu_ns();
            w->found[pass] = pass == RAW ? raw(w) : stage(w, pass == STAGE ? BATCH : 1);
            if (round) /* the first is for caches and the clock */
                w->ns[pass][round - 1] = cpu_ns() - began;
        }
    return NULL;
}

static bool open_worker(struct worker *w, struct work *work)
{
    const struct messages *m = work->messages;

    w->work = work;
    w->rows = malloc(m->n * sizeof *w->rows);
    w->out = malloc(BATCH * sizeof *w->out);
    if (!w->rows || !w->out || hs_clone_scratch(work->groups->scratch, &w->scratch) ||
        work->function->thread_open(work->config, &w->state))
        return false;
    for (uint32_t i = 0; i < m->n; i++)
        w->rows[i] = mr_value_bytes(m->at[i], m->len[i]);
    return true;
}

static void close_worker(struct worker *w)
{
    if (w->work)
        w->work->function->thread_close(w->state);
    hs_free_scratch(w->scratch);
    free(w->rows);
    free(w->out);
}

/* ---- results ---- */

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* Of all threads and rounds; `over` PASSES: of the times, else of the ratio to that pass. */
static double median(const struct worker *workers, uint32_t n, uint32_t rounds, enum pass pass,
                     enum pass over)
{
    double *values = malloc((size_t)n * rounds * sizeof *values), result;
    uint32_t count = 0;

    if (!values)
        return 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t r = 0; r < rounds; r++)
            values[count++] =
                workers[i].ns[pass][r] / (over == PASSES ? 1 : workers[i].ns[over][r]);
    qsort(values, count, sizeof *values, by_size);
    result = (values[(count - 1) / 2] + values[count / 2]) / 2;
    free(values);
    return result;
}

static int print(const struct work *work, const struct worker *workers, uint32_t n,
                 uint32_t n_patterns, double compile_s)
{
    double ns[PASSES];

    for (int pass = 0; pass < PASSES; pass++)
        ns[pass] = median(workers, n, work->rounds, (enum pass)pass, PASSES);
    for (uint32_t i = 0; i < n; i++)
        if (workers[i].failed || workers[i].found[RAW] != workers[i].found[STAGE] ||
            workers[i].found[RAW] != workers[i].found[STAGE_ONE]) {
            fprintf(stderr, "hs_scan finds %lu, the stage %lu and %lu\n",
                    (unsigned long)workers[i].found[RAW], (unsigned long)workers[i].found[STAGE],
                    (unsigned long)workers[i].found[STAGE_ONE]);
            return 2;
        }
    printf("{\"patterns\": %u, \"messages\": %u, \"bytes\": %lu, \"threads\": %u, \"rounds\": %u, "
           "\"matches\": %lu, \"compile_seconds\": %.3f, \"raw_ns\": %.0f, \"stage_ns\": %.0f, "
           "\"stage_one_ns\": %.0f, \"stage_over_raw\": %.4f, \"stage_one_over_raw\": %.4f, "
           "\"raw_gbit_per_core\": %.4f, \"stage_gbit_per_core\": %.4f}\n",
           n_patterns, work->messages->n, (unsigned long)work->messages->bytes, n, work->rounds,
           (unsigned long)workers[0].found[RAW], compile_s, ns[RAW], ns[STAGE], ns[STAGE_ONE],
           median(workers, n, work->rounds, STAGE, RAW),
           median(workers, n, work->rounds, STAGE_ONE, RAW),
           (double)work->messages->bytes * 8 / ns[RAW],
           (double)work->messages->bytes * 8 / ns[STAGE]);
    return 0;
}

static int measure(struct work *work, uint32_t n_threads, uint32_t n_patterns, double compile_s)
{
    struct worker *workers = calloc(n_threads, sizeof *workers);
    bool good = workers && !pthread_barrier_init(&work->start, NULL, n_threads);
    uint32_t started = 0;
    int code = 2;

    for (uint32_t i = 0; good && i < n_threads; i++)
        good = open_worker(&workers[i], work);
    for (; good && started < n_threads; started++)
        if (pthread_create(&workers[started].thread, NULL, run, &workers[started]))
            exit(2); /* the others wait at the barrier for it */
    for (uint32_t i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    if (good)
        code = print(work, workers, n_threads, n_patterns, compile_s);
    for (uint32_t i = 0; workers && i < n_threads; i++)
        close_worker(&workers[i]);
    free(workers);
    return code;
}

static uint32_t number(const char *text, uint32_t max)
{
    unsigned long value = strtoul(text, NULL, 10);
    return value < 1 ? 1 : value > max ? max : (uint32_t)value;
}

int main(int argc, char **argv)
{
    struct messages messages = {.n = 0};
    struct mr_match_set set = {.n = 0};
    struct mr_match_groups groups = {.n = 0};
    struct mr_bind_error error = {.text = "no memory"};
    void *config = NULL;

    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: regex_stage PATTERNS MESSAGES [ROUNDS [THREADS]]\n");
        return 1;
    }
    const struct mr_function *function = mr_component_match.functions;
    struct mr_constant file = {.type = MR_TYPE_STRING,
                               .value = mr_value_bytes(argv[1], (uint32_t)strlen(argv[1])),
                               .is_file = true};
    struct work work = {.messages = &messages,
                        .function = function,
                        .groups = &groups,
                        .rounds = argc > 3 ? number(argv[3], ROUNDS_MAX) : 9};
    int code = 2;
    struct timespec began, ended;
    if (messages_read(&messages, argv[2])) {
        clock_gettime(CLOCK_MONOTONIC, &began);
        bool good =
            !mr_match_set_read(&set, &file, &error) && !mr_match_compile(&groups, &set, &error);
        clock_gettime(CLOCK_MONOTONIC, &ended);
        good = good && !function->bind(&file, 1, &config, &error);
        work.config = config;
        if (good)
            code = measure(&work, argc > 4 ? number(argv[4], 1024) : 1, set.n,
                           (double)(ended.tv_sec - began.tv_sec) +
                               (double)(ended.tv_nsec - began.tv_nsec) * 1e-9);
        else
            fprintf(stderr, "%s\n", error.text);
    }
    if (config)
        function->unbind(config);
    mr_match_groups_free(&groups);
    mr_match_set_free(&set);
    messages_free(&messages);
    return code;
}
