/* Measures a device: `cuda`, or `emulated` to see that the measuring works (its times mean
 * nothing). What is computed is checked as well. scripts/run-gpu-checks calls it.
 *
 * usage: gpu_bench [--device cuda|emulated] [--patterns FILE --messages FILE] [--model FILE]
 *                  [--seconds S] [--batch BYTES] [--copy BYTES] [--threads N] PART...
 * Parts: micro; with messages assemble; with patterns and messages also stages, flow, latency; with
 * a model of spam and messages score. Prints a JSON object. Exit codes: 0 fine, 1 usage, 2
 * something failed or was wrong, 5 there is no such device.
 */
#include "gpu_bench.h"

#include "base/clock.h"
#include "components/match.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int kit_fail(const struct kit *kit, const char *what, int code)
{
    if (code)
        fprintf(stderr, "gpu_bench: %s: %s: %s (%d)\n", kit->backend->name, what,
                kit->parts.device->error_text(code), code);
    return code ? 2 : 0;
}

int kit_refuse(const struct mr_error *error)
{
    fprintf(stderr, "gpu_bench: %s\n", error->text);
    return 2;
}

/* ---- times ---- */

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

double kit_quantile(double *values, size_t n, double q)
{
    qsort(values, n, sizeof *values, by_size);
    return n ? values[(size_t)(q * (double)(n - 1) + 0.5)] : 0;
}

static int repeat(const struct kit *kit, int (*work)(void *context, void *stream), void *context,
                  uint32_t n, double *ns)
{
    const struct mr_device *device = kit->parts.device;
    uint64_t took = 0;
    int code = device->record(kit->from, kit->stream);

    for (uint32_t i = 0; i < n && !code; i++)
        code = work(context, kit->stream);
    if (!code)
        code = device->record(kit->to, kit->stream);
    if (!code)
        code = device->wait(kit->to);
    if (!code)
        code = device->elapsed_ns(&took, kit->from, kit->to);
    *ns = (double)took / n;
    return code;
}

int kit_time(const struct kit *kit, int (*work)(void *context, void *stream), void *context,
             double *ns)
{
    enum { GROUPS = 5, MOST = 1000 };
    double values[GROUPS];
    int code = repeat(kit, work, context, 1, &values[0]); /* the first is dearer */

    if (!code)
        code = repeat(kit, work, context, 2, &values[0]);
    double fit = kit->seconds * 1e9 / GROUPS / (values[0] > 100 ? values[0] : 100);
    for (int g = 0; g < GROUPS && !code; g++)
        code = repeat(kit, work, context,
                      fit < 1      ? 1
                      : fit > MOST ? MOST
                                   : (uint32_t)fit,
                      &values[g]);
    *ns = code ? 0 : kit_quantile(values, GROUPS, 0.5);
    return code;
}

void kit_fill(const struct kit *kit, struct mr_offload_batch *batch, uint32_t *next)
{
    batch->n_bytes = batch->n_messages = 0;
    for (uint32_t tried = 0; tried < batch->messages_max; tried++) {
        uint32_t i = *next % kit->messages.n;
        if (kit->messages.len[i] <= batch->bytes_max / 2 &&
            !mr_batch_add(batch, kit->messages.at[i], kit->messages.len[i]))
            return;
        ++*next;
    }
}

/* ---- the device ---- */

static int open_device(struct kit *kit, const char *name)
{
    const struct mr_device_backend emulated = {.device = &mr_device_emulated,
                                               .filter = &mr_factor_filter_emulated,
                                               .kernels = &mr_regex_kernels_emulated,
                                               .bayes = &mr_bayes_emulated};
    int n = 0, code = 0;

    kit->parts = emulated;
    kit->transfer = &mr_transfer_emulated;
    kit->backend = mr_backend_emulated();
    if (!strcmp(name, "cuda")) {
#ifdef MR_HAVE_CUDA
        kit->parts = (struct mr_device_backend){.device = &mr_device_cuda,
                                                .filter = &mr_factor_filter_cuda,
                                                .kernels = &mr_regex_kernels_cuda,
                                                .bayes = &mr_bayes_cuda};
        kit->transfer = &mr_transfer_cuda;
        kit->backend = mr_backend_cuda();
#else
        fprintf(stderr, "gpu_bench: built without CUDA\n");
        return 5;
#endif
    } else if (strcmp(name, "emulated")) {
        return 1;
    }
    const struct mr_device *device = kit->parts.device;
    if ((code = device->count(&n)) != 0 || !n) {
        fprintf(stderr, "gpu_bench: no GPU can be used: %s\n", device->error_text(code));
        return 5;
    }
    if (!(code = device->use(0)) && !(code = device->processors(0, &kit->processors)) &&
        !(code = device->stream_new(&kit->stream)) && !(code = device->event_new(&kit->from)))
        code = device->event_new(&kit->to);
    return kit_fail(kit, "opening", code);
}

static void close_device(struct kit *kit)
{
    if (kit->from)
        kit->parts.device->event_free(kit->from);
    if (kit->to)
        kit->parts.device->event_free(kit->to);
    if (kit->stream)
        kit->parts.device->stream_free(kit->stream);
}

/* ---- patterns ---- */

static uint32_t flags_of(const struct mr_match_pattern *pattern)
{
    const uint32_t known =
        HS_FLAG_CASELESS | HS_FLAG_MULTILINE | HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH;
    return (pattern->flags & HS_FLAG_CASELESS ? MR_REGEX_CASELESS : 0) |
           (pattern->flags & HS_FLAG_MULTILINE ? MR_REGEX_MULTILINE : 0) |
           (pattern->flags & HS_FLAG_DOTALL ? MR_REGEX_DOTALL : 0) |
           (pattern->flags & ~known || pattern->ext.flags ? MR_REGEX_OTHER : 0);
}

static int read_patterns(struct kit *kit, const char *path)
{
    struct mr_constant file = {.type = MR_TYPE_STRING,
                               .value = mr_value_bytes(path, (uint32_t)strlen(path)),
                               .is_file = true};
    struct mr_match_set set;
    struct mr_bind_error wrong = {.text = ""};
    struct mr_error error = {0};
    struct mr_regex_pattern *patterns = NULL;
    enum mr_status status = mr_match_set_read(&set, &file, &wrong);

    if (status) {
        snprintf(error.text, sizeof error.text, "%.200s", wrong.text);
    } else if (!(patterns = calloc(set.n, sizeof *patterns))) {
        status = MR_ERR_MEMORY;
    } else {
        for (uint32_t i = 0; i < set.n; i++)
            patterns[i] =
                (struct mr_regex_pattern){set.patterns[i].regex, flags_of(&set.patterns[i])};
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        status = mr_regex_compile(&kit->set, patterns, set.n, &mr_regex_limits_default,
                                  cores > 0 ? (uint32_t)cores : 1, &error);
    }
    if (status)
        fprintf(stderr, "gpu_bench: %s: %s\n", path, error.text);
    free(patterns);
    mr_match_set_free(&set);
    return status ? 2 : 0;
}

static int read_model(struct kit *kit, const char *path)
{
    struct mr_error error = {0};

    if (!mr_spam_model_read(path, &kit->model, &error))
        return 0;
    fprintf(stderr, "gpu_bench: %s\n", error.text);
    return 2;
}

static void print_set(const struct kit *kit)
{
    fprintf(kit->out, ",\n \"patterns\": %u, \"compile_seconds\": %.3f, \"table_bytes\": %lu",
            kit->set.n, (double)kit->set.compile_ns * 1e-9,
            (unsigned long)(kit->set.table->bytes + kit->set.factors->bytes +
                            kit->set.factors_3->bytes));
    for (int t = 0; t < MR_TIERS; t++)
        fprintf(kit->out, "%s\"%s\": %u", t ? ", " : ", \"tiers\": {",
                mr_regex_tier_name((enum mr_regex_tier)t), kit->set.tiers[t]);
    fprintf(kit->out, "},\n \"messages\": %u, \"message_bytes\": %lu", kit->messages.n,
            (unsigned long)kit->messages.bytes);
}

/* ---- the command line ---- */

static const struct {
    const char *name;
    int (*run)(struct kit *kit);
    bool wants_patterns, wants_model, wants_messages;
} parts[] = {
    {"micro", part_micro, false, false, false},      {"stages", part_stages, true, false, true},
    {"flow", part_flow, true, false, true},          {"latency", part_latency, true, false, true},
    {"assemble", part_assemble, false, false, true}, {"score", part_score, false, true, true},
};

static int run_part(struct kit *kit, const char *name)
{
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strcmp(parts[i].name, name))
            continue;
        if ((parts[i].wants_patterns && !kit->set.n) || (parts[i].wants_model && !kit->model) ||
            (parts[i].wants_messages && !kit->messages.n))
            return 1;
        uint64_t began = mr_clock_ns();
        fprintf(kit->out, ",\n \"%s\": {", name);
        int code = parts[i].run(kit);
        fprintf(kit->out, ",\n  \"took_seconds\": %.2f}", (double)(mr_clock_ns() - began) * 1e-9);
        return code;
    }
    return 1;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"device", required_argument, NULL, 'd'},
                                          {"patterns", required_argument, NULL, 'p'},
                                          {"messages", required_argument, NULL, 'm'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"batch", required_argument, NULL, 'b'},
                                          {"copy", required_argument, NULL, 'c'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"model", required_argument, NULL, 'M'},
                                          {NULL, 0, NULL, 0}};
    struct kit kit = {.seconds = 0.2,
                      .batch_bytes = 2u << 20,
                      .copy_bytes = 64u << 20,
                      .threads = 4,
                      .out = stdout};
    const char *device = "cuda", *patterns = NULL, *messages = NULL, *model = NULL;
    int option, code = 0;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'd')
            device = optarg;
        else if (option == 'p')
            patterns = optarg;
        else if (option == 'm')
            messages = optarg;
        else if (option == 'M')
            model = optarg;
        else if (option == 's')
            kit.seconds = strtod(optarg, NULL);
        else if (option == 'b')
            kit.batch_bytes = (uint32_t)strtoul(optarg, NULL, 10) / 16 * 16;
        else if (option == 'c')
            kit.copy_bytes = strtoul(optarg, NULL, 10) / 4096 * 4096;
        else if (option == 't')
            kit.threads = (uint32_t)strtoul(optarg, NULL, 10);
        else
            code = 1;
    }
    if (code || optind == argc || kit.seconds <= 0 || !kit.batch_bytes || !kit.copy_bytes ||
        !kit.threads || kit.threads > 256) {
        fprintf(stderr, "gpu_bench: wrong options; see the head of bench/gpu/gpu_bench.c\n");
        return 1;
    }
    if (messages && !messages_read(&kit.messages, messages))
        code = 2;
    if (!code && patterns)
        code = read_patterns(&kit, patterns);
    if (!code && model)
        code = read_model(&kit, model);
    if (!code)
        code = open_device(&kit, device);
    if (!code) {
        fprintf(kit.out, "{\"device\": \"%s\", \"processors\": %d, \"batch_bytes\": %u",
                kit.backend->name, kit.processors, kit.batch_bytes);
        if (kit.set.n)
            print_set(&kit);
        for (int i = optind; i < argc && !code; i++)
            code = run_part(&kit, argv[i]);
        fprintf(kit.out, "}\n");
    }
    close_device(&kit);
    mr_regex_set_free(&kit.set);
    mr_spam_model_free(kit.model);
    messages_free(&kit.messages);
    return code;
}
