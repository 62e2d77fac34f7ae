/* millrace run: options to a configuration, signals, the progress bar, the summary. */
#include "cli/cli.h"
#include "cli/run_options.h"

#include "base/number.h"
#include "millrace/engine.h"

#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_LIST    4096
#define DEFAULT_TOP 10
#define MAX_PORTS   32

struct arguments {
    struct mr_engine_config config;
    const char *inputs[MAX_LIST];
    const char *ports[MAX_PORTS];
    const char *programs[MAX_LIST];
    const char *settings[MAX_LIST];
    const char *summary, *tables;
    const char *at_packets[MAX_LIST];
    const char *injections[MAX_PORTS];
    bool quiet, stats;
};

/* A number with bounds, or an end with exit code 1. */
static uint64_t number(struct argp_state *state, const char *option, const char *text,
                       uint64_t least, uint64_t most)
{
    uint64_t value;

    if (!mr_read_number(text, least, most, &value))
        argp_failure(state, MR_EXIT_USAGE, 0, "%s %s: give a number from %llu to %llu", option,
                     text, (unsigned long long)least, (unsigned long long)most);
    return value;
}

/* A number of bytes, with k, m or g behind it. */
static uint64_t bytes(struct argp_state *state, const char *option, const char *text)
{
    static const char units[] = "kmg";
    char digits[24];
    size_t len = strlen(text);
    const char *unit = len && text[len - 1] ? strchr(units, text[len - 1]) : NULL;

    snprintf(digits, sizeof digits, "%.*s", (int)(unit ? len - 1 : len), text);
    if (len >= sizeof digits || !*digits)
        argp_failure(state, MR_EXIT_USAGE, 0, "%s %s: give a number of bytes, such as 1m", option,
                     text);
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    return number(state, option, digits, 0, (uint64_t)1 << 40 >> shift) << shift;
}

static void add(struct argp_state *state, const char **list, uint32_t *n, uint32_t most,
                const char *text)
{
    if (*n == most)
        argp_failure(state, MR_EXIT_USAGE, 0, "more than %u of one option", most);
    list[(*n)++] = text;
}

static void set_checksum(struct argp_state *state, struct mr_engine_config *config,
                         const char *text)
{
    static const struct {
        const char *name;
        enum mr_engine_checksum policy;
    } policies[] = {{"auto", MR_ENGINE_CHECKSUM_AUTO},
                    {"all", MR_ENGINE_CHECKSUM_ALL},
                    {"none", MR_ENGINE_CHECKSUM_NONE}};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
        if (!strcmp(text, policies[i].name)) {
            config->checksum = policies[i].policy;
            return;
        }
    argp_failure(state, MR_EXIT_USAGE, 0, "-k %s: give all, auto or none", text);
}

static void set_batch(struct argp_state *state, struct mr_engine_config *config, const char *text)
{
    char size[32];
    const char *colon = strchr(text, ':');

    snprintf(size, sizeof size, "%.*s", (int)(colon ? colon - text : (long)strlen(text)), text);
    uint64_t n = bytes(state, "--batch", size);
    if (n < 16 || n > 256u << 20)
        argp_failure(state, MR_EXIT_USAGE, 0, "--batch %s: give 16 bytes to 256m", text);
    config->offload_bytes = (uint32_t)n;
    if (colon)
        config->offload_messages = (uint32_t)number(state, "--batch :N", colon + 1, 1, 1u << 20);
}

/* Options about the device; false: another one. */
static bool parse_device(int option, const char *text, struct argp_state *state,
                         struct mr_engine_config *c)
{
    switch (option) {
    case OPT_DEVICE:
        c->device = text;
        return true;
    case OPT_CACHE:
        c->cache = text;
        return true;
    case OPT_BATCH:
        set_batch(state, c, text);
        return true;
    case OPT_DEADLINE:
        c->offload_deadline_ns = number(state, "--deadline", text, 0, 1000000) * 1000;
        c->offload_deadline_set = true;
        return true;
    case OPT_SLOTS:
        c->offload_slots = (uint32_t)number(state, "--slots", text, 1, 64);
        return true;
    case OPT_LATE:
        c->offload_late_ns = number(state, "--late", text, 1, 1000000) * 1000000;
        return true;
    case OPT_CHECK_EVERY:
        c->offload_check_every = (uint32_t)number(state, "--check-every", text, 1, 1u << 30);
        return true;
    default:
        return false;
    }
}

/* Options that say how, in numbers. */
static error_t parse_bound(int option, const char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    struct mr_engine_config *c = &a->config;

    if (parse_device(option, text, state, c))
        return 0;
    switch (option) {
    case OPT_STATS_INTERVAL:
        c->stats_interval_s = (uint32_t)number(state, "--stats-interval", text, 1, 86400);
        return 0;
    case OPT_AT_PACKET:
        add(state, a->at_packets, &c->n_at_packets, MAX_LIST, text);
        return 0;
    case OPT_MAX_FLOWS:
        c->max_flows = number(state, "--max-flows", text, 1, 1u << 30);
        return 0;
    case OPT_TOP:
        c->top = (uint32_t)number(state, "--top", text, 0, 256);
        return 0;
    case OPT_PREALLOCATE:
        c->preallocate = true;
        return 0;
    case OPT_BYPASS_ENCRYPTED:
        c->programs.bypass_encrypted = true;
        return 0;
    case OPT_EXTRACT_LIMIT:
        c->extract_bytes = bytes(state, "--extract-limit", text);
        if (c->extract_bytes < 4096)
            argp_failure(state, MR_EXIT_USAGE, 0,
                         "--extract-limit %s: no file fits into that, as files count in blocks of "
                         "4 KiB; give 4k or more",
                         text);
        return 0;
    case OPT_MAX_MAIL:
        c->max_mail = bytes(state, "--max-mail", text);
        return 0;
    case OPT_DEPTH:
        c->depth = bytes(state, "--depth", text);
        return 0;
    case OPT_WORKERS:
        c->workers = (uint32_t)number(state, "--workers", text, 1, 127);
        return 0;
    case OPT_TOKENS:
        c->tokens = (uint32_t)number(state, "--tokens", text, 1, 1u << 20);
        return 0;
    case OPT_MEMORY:
        c->memory_bytes = number(state, "--memory", text, 16, 1u << 22) << 20;
        return 0;
    case OPT_QUEUES:
        c->queues = (uint32_t)number(state, "--queues", text, 1, 64);
        return 0;
    case OPT_DURATION:
        c->duration_ns = number(state, "--duration", text, 1, 1u << 30) * 1000000000u;
        return 0;
    case OPT_LANES:
        c->lanes = (uint32_t)number(state, "--lanes", text, 1, 1u << 16);
        return 0;
    case OPT_BURST:
        c->burst = (uint32_t)number(state, "--burst", text, 1, 1024);
        return 0;
    case OPT_SEED:
        c->seed = number(state, "--seed", text, 0, UINT64_MAX);
        return 0;
    case OPT_YIELD:
        c->yield_seed = number(state, "--yield", text, 0, UINT64_MAX);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* What is missing when all options are read, or would do nothing. */
static void check_complete(const struct arguments *a, struct argp_state *state)
{
    const char *live = a->config.queues           ? "--queues"
                       : a->config.duration_ns    ? "--duration"
                       : a->config.no_promiscuous ? "--no-promiscuous"
                                                  : NULL;

    if (!a->config.programs.n_files)
        argp_failure(state, MR_EXIT_USAGE, 0,
                     "no program given; use -p FILE, e.g. -p pipelines/smtp_regex.analog");
    if (!a->config.n_inputs && !a->config.n_ports && !a->config.plan_only)
        argp_failure(state, MR_EXIT_USAGE, 0,
                     "nothing to inspect; give a capture with -r FILE or an interface with -i "
                     "IFACE");
    if (a->config.n_inputs && a->config.n_ports)
        argp_failure(state, MR_EXIT_USAGE, 0,
                     "files (-r) and live capture (-i) exclude each other: give one of them");
    if (a->config.n_inputs && live)
        argp_failure(state, MR_EXIT_USAGE, 0,
                     "%s is for live capture (-i) and does nothing with files (-r): leave it out",
                     live);
}

/* Options that say where results go; false: another one. */
static bool parse_result(int option, const char *text, struct argp_state *state,
                         struct arguments *a)
{
    switch (option) {
    case OPT_INJECT:
        add(state, a->injections, &a->config.n_injections, MAX_PORTS, text);
        return true;
    case OPT_CONTROL:
        a->config.control = text;
        return true;
    case OPT_ACTUATOR:
        a->config.actuator = text;
        return true;
    case OPT_EXTRACT:
        a->config.extract = text;
        return true;
    case OPT_EMAIL_MD5:
        a->config.email_md5 = text;
        return true;
    case OPT_FILE_HASH:
        a->config.file_hashes = text;
        return true;
    case OPT_SYSLOG:
        a->config.syslog = text;
        return true;
    case OPT_DUMP_TABLES:
        a->tables = text;
        return true;
    case OPT_SUMMARY:
        a->summary = text;
        return true;
    default:
        return false;
    }
}

static void refuse_empty(int option, const char *text, struct argp_state *state)
{
    for (const struct argp_option *o = mr_run_options; text && !*text && (o->key || o->doc); o++)
        if (option && o->key == option)
            argp_failure(state, MR_EXIT_USAGE, 0, "%s%s: nothing stands behind it",
                         o->name ? "--" : "-", o->name ? o->name : (char[]){(char)option, 0});
}

static error_t parse(int option, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    struct mr_engine_config *c = &a->config;

    refuse_empty(option, text, state);
    switch (option) {
    case 'p':
    case 'c':
        add(state, a->programs, &c->programs.n_files, MAX_LIST, text);
        break;
    case 'r':
        add(state, a->inputs, &c->n_inputs, MAX_LIST, text);
        break;
    case 'i':
        add(state, a->ports, &c->n_ports, MAX_PORTS, text);
        break;
    case OPT_SET:
        if (!mr_cli_is_setting(text))
            argp_failure(state, MR_EXIT_USAGE, 0, "--set %s: write NAME=VALUE", text);
        add(state, a->settings, &c->programs.n_settings, MAX_LIST, text);
        break;
    case 'T':
        c->plan_only = true;
        break;
    case 'l':
        c->log_folder = text;
        break;
    case OPT_EVENTS:
        c->event_types = text;
        break;
    case OPT_ORDERED:
        c->ordered = true;
        break;
    case 'q':
        a->quiet = true;
        break;
    case OPT_STATS:
        a->stats = true;
        break;
    case OPT_PROMETHEUS:
        c->prometheus = text;
        break;
    case 'k':
        set_checksum(state, c, text);
        break;
    case OPT_DEFRAG:
        c->defrag_policy = text;
        break;
    case OPT_NO_PROMISCUOUS:
        c->no_promiscuous = true;
        break;
    case OPT_NO_HUGE:
        c->no_huge = true;
        break;
    case 'v':
        c->verbose = true;
        break;
    case OPT_LIST_FUNCTIONS:
        mr_components_print(stdout);
        exit(MR_EXIT_OK);
    case ARGP_KEY_ARG:
        argp_failure(state, MR_EXIT_USAGE, 0, "'%s' is no option; captures are given with -r",
                     text);
        break;
    case ARGP_KEY_END:
        check_complete(a, state);
        break;
    default:
        return parse_result(option, text, state, a) ? 0 : parse_bound(option, text, state);
    }
    return 0;
}

/* ---- signals ---- */

/* A signal handler has no other way to its engine. */
static struct mr_engine *volatile running;

static void on_signal(int number)
{
    int error = errno;
    struct mr_engine *engine = running;

    if (engine && mr_cli_is_rotation(number))
        mr_engine_reopen(engine);
    else if (mr_cli_is_impatient())
        mr_cli_end_by(engine, number);
    else if (engine)
        mr_engine_stop(engine);
    errno = error;
}

/* -T: also every capture that cannot be read. */
static int check_files(const struct mr_engine *engine, const struct arguments *a)
{
    int code = mr_cli_check_reports(a->summary, a->tables, &a->config);

    for (uint32_t i = 0; i < a->config.n_inputs; i++) {
        struct mr_error error = {0};
        if (mr_engine_check_input(engine, i, &error))
            code = mr_cli_fail(&error);
    }
    return code;
}

static int run(struct arguments *a)
{
    struct mr_engine *engine = NULL;
    struct mr_error error = {0};
    bool bar = !a->quiet && isatty(STDERR_FILENO);

    if (bar)
        a->config.progress = mr_cli_progress;
    mr_cli_catch_early(strcmp(a->config.log_folder, "-") != 0);
    enum mr_status status = mr_engine_new(&engine, &a->config, &error);
    if (status)
        return mr_cli_fail(&error);
    if (a->config.plan_only) {
        mr_engine_print_plan(engine, stdout);
        int code = check_files(engine, a);
        mr_engine_free(engine);
        return code;
    }
    int code = mr_cli_check_reports(a->summary, a->tables, &a->config);
    if (code) {
        mr_engine_free(engine);
        return code;
    }
    running = engine;
    mr_cli_catch_signals(on_signal);
    if (mr_cli_rotated_early())
        mr_engine_reopen(engine);
    signal(SIGPIPE, SIG_IGN);
    status = mr_engine_run(engine, &error);
    if (bar)
        mr_cli_progress_end();
    if (status)
        code = mr_cli_fail(&error);
    if (!a->quiet && (!status || mr_engine_packets(engine)))
        mr_engine_print_summary(engine, stderr);
    if (a->stats && (!status || mr_engine_packets(engine)))
        mr_engine_print_stats(engine, stderr);
    int output = mr_cli_write_reports(engine, a->summary, a->tables);
    code = code ? code : output;
    running = NULL;
    mr_engine_free(engine);
    return code;
}

int mr_cli_run(int argc, char **argv)
{
    static const struct argp argp = {
        .options = mr_run_options,
        .parser = parse,
        .doc = "Inspects traffic with ANALOG programs.\v"
               "Example: millrace run -p pipelines/smtp_regex.analog -r mails.pcap -l logs\n\n"
               "Exit codes: 0 fine, 1 wrong option, 2 error in a program or pattern, 3 a capture "
               "cannot be read (what was read is inspected and written), 4 events cannot be "
               "written, 5 the engine cannot start on this machine, 6 internal error.\n"};
    struct arguments *a = calloc(1, sizeof *a);

    if (!a)
        return MR_EXIT_START;
    a->config.top = DEFAULT_TOP;
    argp_err_exit_status = MR_EXIT_USAGE;
    argv[0] = (char[]){"millrace run"};
    a->config.inputs = a->inputs;
    a->config.ports = a->ports;
    a->config.programs.files = a->programs;
    a->config.at_packets = a->at_packets;
    a->config.injections = a->injections;
    a->config.programs.settings = a->settings;
    argp_parse(&argp, argc, argv, 0, NULL, a);
    if (!a->config.log_folder) {
        a->config.log_folder = "-";
        if (!a->config.event_types)
            a->config.event_types = "program";
    }
    int code = run(a);
    free(a);
    return code;
}
