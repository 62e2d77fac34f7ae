/* millrace scale: one job with different numbers of workers, side by side. Each run is a process of
 * its own (`millrace run`), the numbers take turns round by round, so that a slow moment of the
 * machine hits all alike; what is told are medians. All runs must write the same events. */
#include "cli/cli.h"
#include "cli/rerun.h"

#include "base/cores.h"
#include "base/number.h"

#include <stdlib.h>
#include <string.h>

#define MAX_COUNTS  64
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
    "  --json FILE     the table as JSON; --csv FILE: every run, a line each (-: standard output)\n"
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
    struct mr_rerun rerun;
    struct measure *runs; /* [count * rounds + round] */
};

static int wrong(const char *format, const char *text)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    fprintf(stderr, format, text);
#pragma GCC diagnostic pop
    return MR_EXIT_USAGE;
}

/* ---- options ---- */

static bool add_counts(struct job *job, uint64_t from, uint64_t to)
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
        uint64_t from, to;
        const char *end = mr_read_digits(text, MAX_WORKERS, &from);
        to = from;
        if (end && !strncmp(end, "..", 2))
            end = mr_read_digits(end + 2, MAX_WORKERS, &to);
        if (!end || !add_counts(job, from, to))
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
    uint32_t cores = mr_cores();
    add_counts(job, 1, 1);
    for (unsigned long n = 2; n <= MAX_WORKERS && n <= cores; n *= 2)
        add_counts(job, n, n);
}

static int parse(struct job *job, int argc, char **argv)
{
    int code = MR_EXIT_OK;

    for (int i = 1; i < argc && !code; i++) {
        const char *value;
        if ((value = mr_rerun_value(argc, argv, &i, "--workers"))) {
            if (!read_counts(job, value))
                code = wrong("millrace: --workers %s: give numbers from 1 to 127, such as 1,2,4 or "
                             "1..8\n",
                             value);
        } else if ((value = mr_rerun_value(argc, argv, &i, "--rounds"))) {
            code = mr_rerun_rounds(value, &job->rounds);
        } else if ((value = mr_rerun_value(argc, argv, &i, "--json"))) {
            job->json = value;
        } else if ((value = mr_rerun_value(argc, argv, &i, "--csv"))) {
            job->csv = value;
        } else {
            code = mr_rerun_pass(&job->rerun, "scale", argv[i]);
        }
    }
    return code || job->rerun.n_passed ? code : wrong("%s", help_text);
}

/* ---- one run ---- */

static int measure(const struct job *job, uint32_t workers, struct measure *m)
{
    static const struct mr_rerun_figure figures[] = {
        {"millrace_run_seconds", offsetof(struct measure, seconds), NULL, NULL},
        {"millrace_run_cpu_seconds", offsetof(struct measure, cpu_seconds), NULL, NULL},
        {"millrace_bytes_received_total", offsetof(struct measure, bytes), NULL, NULL},
        {"millrace_packets_received_total", offsetof(struct measure, packets), NULL, NULL},
        {"millrace_memory_peak_bytes", offsetof(struct measure, memory_bytes), NULL, NULL},
        {"millrace_steals_total", offsetof(struct measure, steals), NULL, NULL},
        {"millrace_local_runs_total", offsetof(struct measure, local_runs), NULL, NULL},
        {"millrace_tuples_total", offsetof(struct measure, tuples), NULL, NULL},
        {"millrace_stage_queueing_seconds_sum", offsetof(struct measure, queueing_seconds), NULL,
         NULL},
        {"millrace_stage_queueing_hot_seconds_sum", offsetof(struct measure, queueing_seconds),
         NULL, NULL},
        {"millrace_stage_processing_seconds_sum", offsetof(struct measure, processing_seconds),
         NULL, NULL},
    };
    char count[16];
    const char *const more[] = {"--workers", count};
    uint64_t hash = 0;

    snprintf(count, sizeof count, "%u", workers);
    int code = mr_rerun_once(&job->rerun, more, 2, figures, sizeof figures / sizeof *figures, m,
                             sizeof *m, &hash);
    m->hash = hash;
    return code;
}

static int run_all(struct job *job)
{
    struct measure unmeasured;
    int code = measure(job, job->counts[0], &unmeasured); /* page cache, clock */

    for (uint32_t r = 0; !code && !mr_rerun_stopped() && r < job->rounds; r++)
        for (uint32_t c = 0; !code && !mr_rerun_stopped() && c < job->n_counts; c++) {
            struct measure *m = &job->runs[c * job->rounds + r];
            code = measure(job, job->counts[c], m);
            if (!code && !mr_rerun_stopped() && m->hash != unmeasured.hash) {
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

/* Medians, figure by figure. */
static struct row median_row(const struct job *job, uint32_t count)
{
    double values[MR_RERUN_ROUNDS];
    struct row out = {0};
    double *to = (double *)(void *)&out;

    for (size_t figure = 0; figure < sizeof out / sizeof *to; figure++) {
        for (uint32_t r = 0; r < job->rounds; r++) {
            struct row row = row_of(&job->runs[count * job->rounds + r]);
            values[r] = ((double *)(void *)&row)[figure];
        }
        to[figure] = mr_rerun_median(values, job->rounds);
    }
    return out;
}

static void print_table(const void *context, FILE *to)
{
    const struct job *job = context;
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

static void print_json(const void *context, FILE *to)
{
    const struct job *job = context;
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

static void print_csv(const void *context, FILE *to)
{
    const struct job *job = context;
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

int mr_cli_scale(int argc, char **argv)
{
    struct job *job;

    if (mr_rerun_help(argc, argv, help_text))
        return MR_EXIT_OK;
    if (!(job = calloc(1, sizeof *job)))
        return MR_EXIT_START;
    job->rounds = 3;
    int code = parse(job, argc, argv);
    if (!code && !job->n_counts)
        default_counts(job);
    if (!code) {
        job->runs = calloc((size_t)job->n_counts * job->rounds, sizeof *job->runs);
        code = job->runs ? mr_rerun_open(&job->rerun, "scale") : MR_EXIT_START;
    }
    if (!code && mr_rerun_whole(code = run_all(job))) {
        bool output = mr_rerun_to_output(job->json) || mr_rerun_to_output(job->csv);
        print_table(job, output ? stderr : stdout);
        if (job->json)
            code = mr_rerun_write(job->json, print_json, job);
        if (!code && job->csv)
            code = mr_rerun_write(job->csv, print_csv, job);
    }
    mr_rerun_close(&job->rerun);
    free(job->runs);
    free(job);
    return code;
}
