/* millrace scale: one job with different numbers of workers, side by side. Each run is a process of
 * its own (`millrace run`), the numbers take turns round by round, so that a slow moment of the
 * machine hits all alike; what is told are medians. All runs must write the same events. */
#include "cli/cli.h"

#include "base/hash.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_COUNTS  64
#define MAX_ROUNDS  101
#define MAX_PASSED  512
#define MAX_WORKERS 127

static const char help_text[] =
    "usage: millrace scale [--workers LIST] [--rounds R] [--json FILE] [--csv FILE] RUN-OPTION...\n"
    "\n"
    "Runs `millrace run RUN-OPTION...` with each number of workers, R times in turn, checks that "
    "all\n"
    "runs write the same events, and prints threads, speedup, throughput, memory, share of tasks\n"
    "stolen, and how long a tuple waited and was processed: medians.\n"
    "\n"
    "  --workers LIST  e.g. 1,2,4 or 1..8 (default: 1 and each power of two up to the cores)\n"
    "  --rounds R      runs of each (default 3, at most 101)\n"
    "  --json FILE     the table as JSON; --csv FILE: every run, a line each\n"
    "\n"
    "Example: millrace scale -p pipelines/smtp_regex.analog -r mails.pcap --workers 1..4\n";

/* One run, as its process tells. */
struct measure {
    double seconds, cpu_seconds, bytes, packets, memory_bytes, steals, local_runs;
    double tuples, queueing_seconds, processing_seconds;
    uint64_t hash; /* of the events */
};

struct job {
    uint32_t counts[MAX_COUNTS];
    uint32_t n_counts, rounds;
    const char *json, *csv;
    char *passed[MAX_PASSED];
    uint32_t n_passed;
    struct measure *runs; /* [count * rounds + round] */
    char folder[64];
};

/* Set by the signals that end a run: the run under way ends by itself, having got them too. */
static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static int wrong(const char *format, const char *text)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    fprintf(stderr, format, text);
#pragma GCC diagnostic pop
    return MR_EXIT_USAGE;
}

/* ---- options ---- */

static bool add_counts(struct job *job, unsigned long from, unsigned long to)
{
    if (!from || from > to || to > MAX_WORKERS)
        return false;
    for (; from <= to; from++) {
        if (job->n_counts == MAX_COUNTS)
            return false;
        job->counts[job->n_counts++] = (uint32_t)from;
    }
    return true;
}

/* "1,2,4", "1..8" */
static bool read_counts(struct job *job, const char *text)
{
    job->n_counts = 0;
    for (;;) {
        char *end;
        unsigned long from = strtoul(text, &end, 10), to = from;
        if (end == text || *text == '-')
            return false;
        if (!strncmp(end, "..", 2)) {
            text = end + 2;
            to = strtoul(text, &end, 10);
            if (end == text || *text == '-')
                return false;
        }
        if (!add_counts(job, from, to))
            return false;
        if (!*end)
            return true;
        if (*end != ',')
            return false;
        text = end + 1;
    }
}

static void default_counts(struct job *job)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    for (unsigned long n = 1; n <= MAX_WORKERS && (n == 1 || (long)n <= cores); n *= 2)
        add_counts(job, n, n);
}

/* Is argv[*i] this option? Then its value, "" when there is none. */
static const char *value_of(int argc, char **argv, int *i, const char *name)
{
    size_t len = strlen(name);
    if (strncmp(argv[*i], name, len) || (argv[*i][len] && argv[*i][len] != '='))
        return NULL;
    if (argv[*i][len])
        return argv[*i] + len + 1;
    return *i + 1 < argc ? argv[++*i] : "";
}

static int parse(struct job *job, int argc, char **argv)
{
    static const char *const ours[] = {"-l",       "--ordered",        "--json-summary",
                                       "--quiet",  "--prometheus",     "--stats",
                                       "--events", "--stats-interval", "-i"};
    for (int i = 1; i < argc; i++) {
        const char *value;
        for (size_t k = 0; k < sizeof ours / sizeof *ours; k++)
            if (!strcmp(argv[i], ours[k]))
                return wrong("millrace: scale compares events itself and does not take %s\n",
                             argv[i]);
        if ((value = value_of(argc, argv, &i, "--workers"))) {
            if (!read_counts(job, value))
                return wrong("millrace: --workers %s: give numbers from 1 to 127, such as 1,2,4 or "
                             "1..8\n",
                             value);
        } else if ((value = value_of(argc, argv, &i, "--rounds"))) {
            char *end;
            job->rounds = (uint32_t)strtoul(value, &end, 10);
            if (!job->rounds || job->rounds > MAX_ROUNDS || *end || *value == '-')
                return wrong("millrace: --rounds %s: give a number from 1 to 101\n", value);
        } else if ((value = value_of(argc, argv, &i, "--json"))) {
            job->json = value;
        } else if ((value = value_of(argc, argv, &i, "--csv"))) {
            job->csv = value;
        } else if (job->n_passed == MAX_PASSED) {
            return wrong("millrace: too many options from %s on\n", argv[i]);
        } else {
            job->passed[job->n_passed++] = argv[i];
        }
    }
    if (!job->n_passed)
        return wrong("%s", help_text);
    return MR_EXIT_OK;
}

/* ---- one run ---- */

static void path_of(const struct job *job, const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", job->folder, name);
}

static int start(const struct job *job, uint32_t workers)
{
    char count[16], figures[128];
    char *argv[MAX_PASSED + 16];
    uint32_t n = 0;

    path_of(job, "figures", figures);
    snprintf(count, sizeof count, "%u", workers);
    argv[n++] = (char[]){"millrace"};
    argv[n++] = (char[]){"run"};
    for (uint32_t i = 0; i < job->n_passed; i++)
        argv[n++] = job->passed[i];
    char *const ours[] = {"--workers",         count,          "--ordered", "--quiet", "-l",
                          (char *)job->folder, "--prometheus", figures,     NULL};
    memcpy(argv + n, ours, sizeof ours);
    pid_t child = fork();
    if (child < 0)
        return -1;
    if (!child) {
        execv("/proc/self/exe", argv);
        fprintf(stderr, "millrace: cannot run itself: %s\n", strerror(errno));
        _exit(MR_EXIT_START);
    }
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : MR_EXIT_INTERNAL;
}

static bool hash_file(const char *path, uint64_t *hash)
{
    static struct {
        uint64_t before;
        char bytes[1 << 16];
    } block;
    FILE *file = fopen(path, "re");
    size_t n;

    block.before = 0;
    while (file && (n = fread(block.bytes, 1, sizeof block.bytes, file)))
        block.before = mr_hash_public(&block, offsetof(__typeof__(block), bytes) + n);
    bool good = file && !ferror(file);
    if (file)
        fclose(file);
    *hash = block.before;
    return good;
}

/* Adds a line of Prometheus' text to the figures: those of all stages add up. */
static void take_line(struct measure *m, const char *line)
{
    static const struct {
        const char *name;
        size_t offset;
    } wanted[] = {
        {"millrace_run_seconds", offsetof(struct measure, seconds)},
        {"millrace_run_cpu_seconds", offsetof(struct measure, cpu_seconds)},
        {"millrace_bytes_received_total", offsetof(struct measure, bytes)},
        {"millrace_packets_received_total", offsetof(struct measure, packets)},
        {"millrace_memory_peak_bytes", offsetof(struct measure, memory_bytes)},
        {"millrace_steals_total", offsetof(struct measure, steals)},
        {"millrace_local_runs_total", offsetof(struct measure, local_runs)},
        {"millrace_tuples_total", offsetof(struct measure, tuples)},
        {"millrace_stage_queueing_seconds_sum", offsetof(struct measure, queueing_seconds)},
        {"millrace_stage_queueing_hot_seconds_sum", offsetof(struct measure, queueing_seconds)},
        {"millrace_stage_processing_seconds_sum", offsetof(struct measure, processing_seconds)},
    };
    size_t name_len = strcspn(line, "{ ");
    const char *value = strrchr(line, ' ');

    for (size_t i = 0; value && i < sizeof wanted / sizeof *wanted; i++)
        if (strlen(wanted[i].name) == name_len && !strncmp(line, wanted[i].name, name_len))
            *(double *)(void *)((char *)m + wanted[i].offset) += strtod(value, NULL);
}

static int measure(const struct job *job, uint32_t workers, struct measure *m)
{
    char path[128], line[1024];
    int code = start(job, workers);

    if (code || stopped)
        return code < 0 ? MR_EXIT_START : code;
    memset(m, 0, sizeof *m);
    path_of(job, "figures", path);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        take_line(m, line);
    if (file)
        fclose(file);
    path_of(job, "eve.json", path);
    if (!file || !hash_file(path, &m->hash)) {
        fprintf(stderr, "millrace: %s: cannot be read\n", path);
        return MR_EXIT_OUTPUT;
    }
    return MR_EXIT_OK;
}

static int run_all(struct job *job)
{
    struct measure unmeasured;
    int code = measure(job, job->counts[0], &unmeasured); /* page cache, clock */

    for (uint32_t r = 0; !code && !stopped && r < job->rounds; r++)
        for (uint32_t c = 0; !code && !stopped && c < job->n_counts; c++) {
            struct measure *m = &job->runs[c * job->rounds + r];
            code = measure(job, job->counts[c], m);
            if (!code && !stopped && m->hash != unmeasured.hash) {
                fprintf(stderr,
                        "millrace: with %u workers the events differ from those with %u: please "
                        "report this\n",
                        job->counts[c], job->counts[0]);
                code = MR_EXIT_INTERNAL;
            }
        }
    return code;
}

/* ---- what is told ---- */

struct row {
    double seconds, cpu_seconds, speedup, mbit, packets, memory_mib, stolen;
    double queueing_us, processing_us; /* a tuple, over all stages */
};

static struct row row_of(const struct measure *m)
{
    double seconds = m->seconds > 0 ? m->seconds : 1e-9, tasks = m->steals + m->local_runs;
    return (struct row){.seconds = m->seconds,
                        .cpu_seconds = m->cpu_seconds,
                        .mbit = m->bytes * 8 / seconds / 1e6,
                        .packets = m->packets / seconds,
                        .memory_mib = m->memory_bytes / 1048576,
                        .stolen = tasks > 0 ? 100 * m->steals / tasks : 0,
                        .queueing_us = m->tuples > 0 ? 1e6 * m->queueing_seconds / m->tuples : 0,
                        .processing_us =
                            m->tuples > 0 ? 1e6 * m->processing_seconds / m->tuples : 0};
}

static int by_size(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

/* Medians, figure by figure. */
static struct row median_row(const struct job *job, uint32_t count)
{
    double values[MAX_ROUNDS];
    struct row out = {0};
    double *to = (double *)(void *)&out;

    for (size_t figure = 0; figure < sizeof out / sizeof *to; figure++) {
        for (uint32_t r = 0; r < job->rounds; r++) {
            struct row row = row_of(&job->runs[count * job->rounds + r]);
            values[r] = ((double *)(void *)&row)[figure];
        }
        qsort(values, job->rounds, sizeof *values, by_size);
        to[figure] = (values[(job->rounds - 1) / 2] + values[job->rounds / 2]) / 2;
    }
    return out;
}

static void print_table(const struct job *job, FILE *to)
{
    double first = 0;

    fprintf(to, "%8s %8s %9s %9s %10s %12s %10s %8s %12s %12s\n", "threads", "speedup", "wall s",
            "cpu s", "Mbit/s", "packets/s", "memory MiB", "stolen", "tuple waits", "and takes");
    for (uint32_t c = 0; c < job->n_counts; c++) {
        struct row r = median_row(job, c);
        first = c ? first : r.seconds;
        fprintf(to, "%8u %8.2f %9.3f %9.3f %10.1f %12.0f %10.1f %7.1f%% %10.2fus %10.2fus\n",
                job->counts[c], r.seconds > 0 ? first / r.seconds : 0, r.seconds, r.cpu_seconds,
                r.mbit, r.packets, r.memory_mib, r.stolen, r.queueing_us, r.processing_us);
    }
    fprintf(to, "medians of %u rounds; all runs wrote the same events (hash %016llx)\n",
            job->rounds, (unsigned long long)job->runs[0].hash);
}

static void print_json(const struct job *job, FILE *to)
{
    double first = 0;

    fprintf(to, "{\n  \"rounds\": %u,\n  \"hash\": \"%016llx\",\n  \"workers\": [", job->rounds,
            (unsigned long long)job->runs[0].hash);
    for (uint32_t c = 0; c < job->n_counts; c++) {
        struct row r = median_row(job, c);
        first = c ? first : r.seconds;
        fprintf(to,
                "%s\n    {\"threads\": %u, \"speedup\": %.4f, \"seconds\": %.6f, \"cpu_seconds\": "
                "%.6f, \"mbit_per_second\": %.3f, \"packets_per_second\": %.1f, \"memory_mib\": "
                "%.2f, \"stolen_percent\": %.3f, \"tuple_queueing_us\": %.4f, "
                "\"tuple_processing_us\": %.4f}",
                c ? "," : "", job->counts[c], r.seconds > 0 ? first / r.seconds : 0, r.seconds,
                r.cpu_seconds, r.mbit, r.packets, r.memory_mib, r.stolen, r.queueing_us,
                r.processing_us);
    }
    fprintf(to, "\n  ]\n}\n");
}

static void print_csv(const struct job *job, FILE *to)
{
    fprintf(to, "round,threads,seconds,cpu_seconds,mbit_per_second,packets_per_second,memory_mib,"
                "stolen_percent,tuple_queueing_us,tuple_processing_us,hash\n");
    for (uint32_t round = 0; round < job->rounds; round++)
        for (uint32_t c = 0; c < job->n_counts; c++) {
            const struct measure *m = &job->runs[c * job->rounds + round];
            struct row r = row_of(m);
            fprintf(to, "%u,%u,%.6f,%.6f,%.3f,%.1f,%.2f,%.3f,%.4f,%.4f,%016llx\n", round + 1,
                    job->counts[c], r.seconds, r.cpu_seconds, r.mbit, r.packets, r.memory_mib,
                    r.stolen, r.queueing_us, r.processing_us, (unsigned long long)m->hash);
        }
}

static int write_file(const struct job *job, const char *path,
                      void (*print)(const struct job *job, FILE *to))
{
    FILE *to = fopen(path, "we");
    bool good = to;

    if (to) {
        print(job, to);
        good = !ferror(to);
        good = !fclose(to) && good;
    }
    if (!good)
        fprintf(stderr, "millrace: %s: cannot be written: %s\n", path, strerror(errno));
    return good ? MR_EXIT_OK : MR_EXIT_OUTPUT;
}

static void clean_up(const struct job *job)
{
    static const char *const names[] = {"eve.json", "figures", "figures.new"};
    char path[128];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_of(job, names[i], path);
        unlink(path);
    }
    rmdir(job->folder);
}

int mr_cli_scale(int argc, char **argv)
{
    struct job *job = calloc(1, sizeof *job);
    const char *temporary = getenv("TMPDIR");

    if (!job)
        return MR_EXIT_START;
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-?"))) {
        fputs(help_text, stdout);
        free(job);
        return MR_EXIT_OK;
    }
    job->rounds = 3;
    int code = parse(job, argc, argv);
    if (!code && !job->n_counts)
        default_counts(job);
    if (!code) {
        job->runs = calloc((size_t)job->n_counts * job->rounds, sizeof *job->runs);
        snprintf(job->folder, sizeof job->folder, "%.40s/millrace-scale-XXXXXX",
                 temporary && *temporary ? temporary : "/tmp");
        if (!job->runs || !mkdtemp(job->folder)) {
            fprintf(stderr, "millrace: %s: cannot be made: %s\n", job->folder, strerror(errno));
            code = MR_EXIT_OUTPUT;
            job->folder[0] = '\0';
        }
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (!code)
        code = run_all(job);
    if (stopped) {
        fprintf(stderr, "millrace: stopped, so there is no table\n");
        code = code ? code : MR_EXIT_INTERNAL;
    }
    if (!code)
        print_table(job, stdout);
    if (!code && job->json)
        code = write_file(job, job->json, print_json);
    if (!code && job->csv)
        code = write_file(job, job->csv, print_csv);
    if (job->folder[0])
        clean_up(job);
    free(job->runs);
    free(job);
    return code;
}
