/* millrace compare: the same job searched on the CPU only and with a GPU, in turn, round by round,
 * each run a process of its own (`millrace run --device ...`). All must write the same events.
 * Where there is no GPU, back ends on the CPU are compared, and what is missing is said. */
#include "cli/cli.h"
#include "cli/rerun.h"

#include "engine/compare.h"
#include "engine/json.h"

#include <stdlib.h>
#include <string.h>

#define SIDES 3

static const char help_text[] =
    "usage: millrace compare [--with LIST] [--rounds R] [--json FILE] RUN-OPTION...\n"
    "\n"
    "Is a GPU worth it for your program, patterns, models and traffic? Runs `millrace run "
    "RUN-OPTION...`\n"
    "R times with --device cpu (Hyperscan) and with --device gpu in turn, checks that all runs "
    "write\n"
    "the same events, and prints throughput, latency, CPU cores, GPU use, the share of copies, and "
    "what\n"
    "to do: medians. On a machine without a GPU it compares Hyperscan with the tables that a GPU "
    "would\n"
    "use, searched on the CPU, and says what is missing.\n"
    "\n"
    "  --with LIST    instead: gpu, tables, emulated (a GPU's kernels on the CPU, slow), or "
    "several "
    "of\n"
    "                 them with commas between\n"
    "  --rounds R     runs of each (default 3, at most 101)\n"
    "  --json FILE    the table and the verdict as JSON (-: standard output; the table: standard "
    "error)\n"
    "\n"
    "Useful options of run: --workers N, --batch, --deadline, several -r.\n"
    "Example: millrace compare -p my.analog -r mails.pcap --workers 4\n";

/* One run, as its process tells; all of them doubles. */
struct measure {
    double seconds, cpu_seconds, bytes, packets, p50, p90, p99;
    double searched, scored, classified; /* messages, by who asks about them */
    double device_messages, copy_ns, kernel_ns;
    double no_slot, too_long, down, failed, late, overflow;
};

static const struct mr_rerun_figure figures[] = {
#define FIGURE(name, member)                                                                       \
    {                                                                                              \
        "millrace_" name, offsetof(struct measure, member), NULL, NULL                             \
    }
#define LABELLED(name, member, label, other)                                                       \
    {                                                                                              \
        "millrace_" name, offsetof(struct measure, member), label, other                           \
    }
    FIGURE("run_seconds", seconds),
    FIGURE("run_cpu_seconds", cpu_seconds),
    FIGURE("bytes_received_total", bytes),
    FIGURE("packets_received_total", packets),
    LABELLED("function_total", searched, "function=\"f_match\"", "counter=\"messages\""),
    LABELLED("function_total", scored, "function=\"f_spamScore\"", "counter=\"mails\""),
    LABELLED("function_total", classified, "function=\"f_classify\"", "counter=\"mails\""),
    LABELLED("packet_latency_seconds", p50, "quantile=\"0.5\"", NULL),
    LABELLED("packet_latency_seconds", p90, "quantile=\"0.9\"", NULL),
    LABELLED("packet_latency_seconds", p99, "quantile=\"0.99\"", NULL),
    FIGURE("device_messages_total", device_messages),
    FIGURE("device_copy_ns_total", copy_ns),
    FIGURE("device_kernel_ns_total", kernel_ns),
    FIGURE("device_no_slot_total", no_slot),
    FIGURE("device_too_long_total", too_long),
    FIGURE("device_down_total", down),
    FIGURE("device_failed_total", failed),
    FIGURE("device_late_total", late),
    FIGURE("device_overflow_total", overflow),
};

struct job {
    struct mr_rerun rerun;
    const char *devices[SIDES];
    uint32_t n_sides, rounds;
    const char *json;
    bool gpu;
    struct mr_error missing; /* a GPU, and why */
    uint64_t hash;
    struct measure (*runs)[MR_RERUN_ROUNDS]; /* [side][round] */
    struct mr_compare_side sides[SIDES];
    char verdict[512];
};

/* ---- options ---- */

static int wrong_side(const char *text)
{
    fprintf(stderr,
            "millrace: --with %s: give gpu, tables or emulated, or two of them with a comma "
            "between\n",
            text);
    return MR_EXIT_USAGE;
}

static int read_sides(struct job *job, const char *text)
{
    static const char *const known[] = {"gpu", "tables", "emulated"};
    const char *at = text;

    job->n_sides = 1;
    for (;;) {
        size_t len = strcspn(at, ","), k = 0;
        while (k < 3 && (strlen(known[k]) != len || strncmp(known[k], at, len)))
            k++;
        for (uint32_t i = 1; k < 3 && i < job->n_sides; i++)
            k = job->devices[i] == known[k] ? 3 : k;
        if (k == 3 || job->n_sides == SIDES)
            return wrong_side(text);
        job->devices[job->n_sides++] = known[k];
        if (!at[len])
            return MR_EXIT_OK;
        at += len + 1;
    }
}

static int parse(struct job *job, int argc, char **argv)
{
    int code = MR_EXIT_OK;

    for (int i = 1; i < argc && !code; i++) {
        const char *value;
        if ((value = mr_rerun_value(argc, argv, &i, "--with"))) {
            code = read_sides(job, value);
        } else if ((value = mr_rerun_value(argc, argv, &i, "--rounds"))) {
            code = mr_rerun_rounds(value, &job->rounds);
        } else if ((value = mr_rerun_value(argc, argv, &i, "--json"))) {
            job->json = value;
        } else if (mr_rerun_value(argc, argv, &i, "--device")) {
            fprintf(stderr,
                    "millrace: compare sets --device itself; --with names what to compare\n");
            code = MR_EXIT_USAGE;
        } else {
            code = mr_rerun_pass(&job->rerun, "compare", argv[i]);
        }
    }
    if (code || job->rerun.n_passed)
        return code;
    fputs(help_text, stderr);
    return MR_EXIT_USAGE;
}

/* The CPU, and what was asked for, or what there is. */
static int choose_sides(struct job *job)
{
    job->gpu = mr_compare_gpu(&job->missing);
    job->devices[0] = "cpu";
    if (job->n_sides < 2) {
        job->devices[1] = job->gpu ? "gpu" : "tables";
        job->n_sides = 2;
    }
    if (job->gpu)
        return MR_EXIT_OK;
    bool wanted = false;
    for (uint32_t s = 1; s < job->n_sides; s++)
        wanted |= !strcmp(job->devices[s], "gpu");
    fprintf(stderr, "millrace: no GPU here (%s): %s\n", job->missing.text,
            wanted ? "there is nothing to compare with; leave out --with, and back ends on the CPU "
                     "are compared"
                   : "nothing can be said of one, back ends on the CPU are compared");
    return wanted ? MR_EXIT_START : MR_EXIT_OK;
}

/* ---- runs ---- */

static int run_all(struct job *job)
{
    struct measure unmeasured;
    int code = MR_EXIT_OK;

    for (uint32_t round = 0; round <= job->rounds && !code;
         round++) /* the first: page cache, clock */
        for (uint32_t s = 0; s < job->n_sides && !code && !mr_rerun_stopped(); s++) {
            const char *const more[] = {"--device", job->devices[s]};
            uint64_t hash;
            code = mr_rerun_once(&job->rerun, more, 2, figures, sizeof figures / sizeof *figures,
                                 round ? &job->runs[s][round - 1] : &unmeasured, sizeof unmeasured,
                                 &hash);
            if (code || mr_rerun_stopped())
                break;
            if (!round && !s)
                job->hash = hash;
            if (hash != job->hash) {
                fprintf(
                    stderr,
                    "millrace: with --device %s the events differ from those of the CPU: please "
                    "report this\n",
                    job->devices[s]);
                code = MR_EXIT_INTERNAL;
            }
        }
    return code;
}

static double over(double part, double all)
{
    return all > 0 ? part / all : 0;
}

static struct mr_compare_side side_of(const char *device, const struct measure *m)
{
    double busy = m->copy_ns + m->kernel_ns, messages = m->searched;

    /* several may ask about one message, which goes to the device once */
    messages = m->scored > messages ? m->scored : messages;
    messages = m->classified > messages ? m->classified : messages;
    return (struct mr_compare_side){
        .device = device,
        .seconds = m->seconds,
        .gbit = over(m->bytes * 8e-9, m->seconds),
        .messages = over(messages, m->seconds),
        .packets = over(m->packets, m->seconds),
        .p50_us = m->p50 * 1e6,
        .p90_us = m->p90 * 1e6,
        .p99_us = m->p99 * 1e6,
        .cores = over(m->cpu_seconds, m->seconds),
        .device_messages = m->device_messages,
        .device_share = over(m->device_messages, messages),
        .kernels_share = over(m->kernel_ns * 1e-9, m->seconds),
        .copy_share = over(m->copy_ns, busy),
        .left = m->no_slot + m->too_long + m->down + m->failed + m->late + m->overflow,
        .failed = m->down + m->failed + m->late,
        .too_long = m->too_long,
    };
}

/* Medians, figure by figure. */
static void sum_up(struct job *job)
{
    double values[MR_RERUN_ROUNDS];

    for (uint32_t s = 0; s < job->n_sides; s++) {
        struct measure middle;
        double *to = (double *)(void *)&middle;
        for (size_t figure = 0; figure < sizeof middle / sizeof *to; figure++) {
            for (uint32_t r = 0; r < job->rounds; r++)
                values[r] = ((const double *)(const void *)&job->runs[s][r])[figure];
            to[figure] = mr_rerun_median(values, job->rounds);
        }
        job->sides[s] = side_of(job->devices[s], &middle);
    }
    mr_compare_verdict(&job->sides[0], &job->sides[1], job->verdict, sizeof job->verdict);
}

/* ---- what is told ---- */

static const char *title_of(const char *device)
{
    return !strcmp(device, "cpu")      ? "Hyperscan"
           : !strcmp(device, "gpu")    ? "GPU"
           : !strcmp(device, "tables") ? "tables"
                                       : "emulated";
}

static void print_table(const void *context, FILE *to)
{
    const struct job *job = context;

    fprintf(to, "%-10s %9s %9s %11s %10s %10s %10s %7s %9s %9s %8s\n", "searched", "wall s",
            "Gbit/s", "messages/s", "p50 us", "p90 us", "p99 us", "cores", "on device", "computing",
            "copying");
    for (uint32_t s = 0; s < job->n_sides; s++) {
        const struct mr_compare_side *side = &job->sides[s];
        fprintf(to, "%-10s %9.3f %9.3f %11.0f %10.0f %10.0f %10.0f %7.2f", title_of(side->device),
                side->seconds, side->gbit, side->messages, side->p50_us, side->p90_us, side->p99_us,
                side->cores);
        if (s)
            fprintf(to, " %8.1f%% %8.1f%% %7.1f%%", 100 * side->device_share,
                    100 * side->kernels_share, 100 * side->copy_share);
        fprintf(to, "\n");
    }
    fprintf(to,
            "medians of %u rounds in turn; all runs wrote the same events (hash %016llx)\n"
            "latency is of packets, from being read until their results are out; computing: of the "
            "time; copying:\nof what the device was busy\n"
            "verdict: %s\n",
            job->rounds, (unsigned long long)job->hash, job->verdict);
}

static void put_side(const struct job *job, const struct mr_compare_side *side, yajl_gen g)
{
    const struct {
        const char *name;
        double value;
    } values[] = {
        {"seconds", side->seconds},
        {"gbit_per_s", side->gbit},
        {"messages_per_s", side->messages},
        {"packets_per_s", side->packets},
        {"p50_us", side->p50_us},
        {"p90_us", side->p90_us},
        {"p99_us", side->p99_us},
        {"cores", side->cores},
        {"device_messages", side->device_messages},
        {"device_share", side->device_share},
        {"kernels_share", side->kernels_share},
        {"copy_share", side->copy_share},
        {"left_to_cpu", side->left},
        {"speedup", over(side->gbit, job->sides[0].gbit)},
    };

    yajl_gen_map_open(g);
    mr_json_text(g, "device", side->device);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        mr_json_real(g, values[i].name, values[i].value);
    }
    yajl_gen_map_close(g);
}

static void print_json(const void *context, FILE *to)
{
    const struct job *job = context;
    yajl_gen g = yajl_gen_alloc(NULL);
    const unsigned char *text;
    char hash[24];
    size_t len;

    if (!g)
        return;
    yajl_gen_config(g, yajl_gen_beautify, 1);
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)job->hash);
    yajl_gen_map_open(g);
    mr_json_string(g, "gpu");
    yajl_gen_bool(g, job->gpu);
    mr_json_text(g, "missing", job->gpu ? "" : job->missing.text);
    mr_json_string(g, "rounds");
    yajl_gen_integer(g, job->rounds);
    mr_json_text(g, "hash", hash);
    mr_json_string(g, "sides");
    yajl_gen_array_open(g);
    for (uint32_t s = 0; s < job->n_sides; s++)
        put_side(job, &job->sides[s], g);
    yajl_gen_array_close(g);
    mr_json_text(g, "verdict", job->verdict);
    yajl_gen_map_close(g);
    yajl_gen_get_buf(g, &text, &len);
    fwrite(text, 1, len, to);
    yajl_gen_free(g);
}

int mr_cli_compare(int argc, char **argv)
{
    struct job *job;

    if (mr_rerun_help(argc, argv, help_text))
        return MR_EXIT_OK;
    if (!(job = calloc(1, sizeof *job)))
        return MR_EXIT_START;
    job->rounds = 3;
    int code = parse(job, argc, argv);
    if (!code)
        code = choose_sides(job);
    if (!code) {
        job->runs = calloc(SIDES, sizeof *job->runs);
        code = job->runs ? mr_rerun_open(&job->rerun, "compare") : MR_EXIT_START;
    }
    if (!code && mr_rerun_whole(code = run_all(job))) {
        sum_up(job);
        print_table(job, mr_rerun_to_output(job->json) ? stderr : stdout);
        code = job->json ? mr_rerun_write(job->json, print_json, job) : MR_EXIT_OK;
    }
    mr_rerun_close(&job->rerun);
    free(job->runs);
    free(job);
    return code;
}
