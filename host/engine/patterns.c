/* Reads a file of patterns as f_match does, compiles it for devices, says where each pattern landed
 * and why, and compares with Hyperscan. */
#include "engine/patterns.h"

#ifdef MR_HAVE_HYPERSCAN

#include "base/clock.h"
#include "base/cores.h"
#include "components/match.h"
#include "offload/placement.h"
#include "offload/regex_check.h"

#include <stdlib.h>
#include <string.h>

struct work {
    const struct mr_patterns_options *options;
    FILE *out;
    struct mr_match_config match;
    struct mr_regex_pattern *patterns;
    struct mr_regex_set *regex;
    enum mr_device_wish wish;
    const struct mr_backend *backend;
};

/* ---- Hyperscan as the oracle ---- */

static void search(void *context, const uint8_t *bytes, uint32_t len, uint32_t *matches,
                   uint32_t *unfit)
{
    const struct work *w = context;
    mr_match_device.search(&w->match, bytes, len, matches, unfit);
}

/* ---- steps ---- */

static bool refused(struct work *w, const struct mr_match_pattern *pattern, bool thorough)
{
    struct mr_match_pattern copy = *pattern;
    struct mr_match_set one = {.patterns = &copy, .n = 1, .file = w->match.set.file};
    struct mr_match_groups groups = {.n = 0};
    struct mr_bind_error why = {.text = ""};
    hs_expr_info_t *info = NULL;
    hs_compile_error_t *fault = NULL;
    const struct hs_expr_ext *ext = pattern->ext.flags ? &pattern->ext : NULL;
    bool parses =
        hs_expression_ext_info(pattern->regex, pattern->flags, ext, &info, &fault) == HS_SUCCESS;

    hs_free_compile_error(fault);
    free(info);
    if (parses && (!thorough || mr_match_compile(&groups, &one, &why) == MR_OK)) {
        mr_match_groups_free(&groups);
        return false;
    }
    if (!why.text[0]) /* for its sentence */
        mr_match_compile(&groups, &one, &why);
    mr_match_groups_free(&groups);
    fprintf(w->out, "%-10u refused     %s\n", pattern->id, why.text);
    return true;
}

/* Parsing finds almost all of them; only when the rest is refused together each is compiled. */
static void skip_refused(struct work *w)
{
    struct mr_bind_error why;

    for (int thorough = 0; thorough < 2; thorough++) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < w->match.set.n; i++)
            if (!refused(w, &w->match.set.patterns[i], thorough))
                w->match.set.patterns[kept++] = w->match.set.patterns[i];
        w->match.set.n = kept;
        if (!kept || mr_match_compile(&w->match.groups, &w->match.set, &why) == MR_OK)
            return;
        mr_match_groups_free(&w->match.groups);
    }
}

static enum mr_status read_patterns(struct work *w, struct mr_error *error)
{
    const char *file = w->options->file;
    struct mr_constant constant = {.type = MR_TYPE_STRING,
                                   .value = mr_value_bytes(file, (uint32_t)strlen(file)),
                                   .is_file = true};
    struct mr_bind_error why;
    uint64_t began = mr_clock_ns();
    enum mr_status status = mr_match_set_read(&w->match.set, &constant, &why);

    if (!status && w->options->skip_refused) {
        skip_refused(w);
        if (!w->match.groups.n)
            return mr_fail(error, MR_ERR_PROGRAM, "%s: Hyperscan refuses all patterns", file);
    } else if (!status) {
        status = mr_match_compile(&w->match.groups, &w->match.set, &why);
    }
    if (status)
        return mr_fail(error, status, "%s", why.text);
    fprintf(w->out, "%u patterns; Hyperscan compiled them in %.2f s\n", w->match.set.n,
            (double)(mr_clock_ns() - began) * 1e-9);
    return MR_OK;
}

static enum mr_status compile(struct work *w, struct mr_error *error)
{
    uint32_t threads = w->options->threads ? w->options->threads : mr_cores();

    w->patterns = calloc((size_t)w->match.set.n + 1, sizeof *w->patterns);
    if (!w->patterns)
        return mr_fail(error, MR_ERR_MEMORY, "no memory for %u patterns", w->match.set.n);
    for (uint32_t i = 0; i < w->match.set.n; i++) {
        struct mr_device_pattern pattern = mr_match_device.pattern(&w->match, i);
        w->patterns[i] = (struct mr_regex_pattern){pattern.regex, pattern.flags};
    }
    return mr_regex_compile(w->regex, w->patterns, w->match.set.n, &mr_regex_limits_default,
                            threads, error);
}

static void print_patterns(const struct work *w)
{
    for (uint32_t i = 0; i < w->match.set.n; i++) {
        const struct mr_regex_place *p = &w->regex->places[i];
        fprintf(w->out, "%-10u %-11s", w->match.set.patterns[i].id, mr_regex_tier_name(p->tier));
        if (p->n_factors)
            fprintf(w->out, " %u factor%s of %u bytes or more;", p->n_factors,
                    p->n_factors == 1 ? "" : "s", p->factor_len_min);
        if (p->n_states)
            fprintf(w->out, " %u states;", p->n_states);
        if (p->bytes)
            fprintf(w->out, " %u bytes;", p->bytes);
        fprintf(w->out, "%s%s\n", p->why ? " " : "", p->why ? p->why : "");
    }
}

static void print_tiers(const struct work *w)
{
    static const char *const meaning[MR_TIERS] = {
        "a literal is the pattern",
        "a literal, then its own DFA",
        "a literal, then a bit-parallel NFA",
        "a literal, then the CPU",
        "no literal: a DFA of several patterns reads every message",
        "no literal: a bit-parallel NFA reads every message",
        "the CPU reads every message for it",
    };

    fprintf(w->out, "compiled for devices in %.2f s: automata %.2f MB, literals %.2f MB\n",
            (double)w->regex->compile_ns * 1e-9, (double)w->regex->table->bytes * 1e-6,
            (double)(w->regex->factors->bytes + w->regex->factors_3->bytes) * 1e-6);
    for (int t = 0; t < MR_TIERS; t++)
        if (w->regex->tiers[t])
            fprintf(w->out, "%8u %-11s %s\n", w->regex->tiers[t],
                    mr_regex_tier_name((enum mr_regex_tier)t), meaning[t]);
}

/* What was asked for, or what there is; the reason why not in one line. */
static enum mr_status choose_backend(struct work *w, struct mr_error *error)
{
    enum mr_device_wish wish = w->wish;
    struct mr_error why = {
        .text = "this build has no GPU back end (scripts/build release makes one where nvcc is)"};
    void *state = NULL;

    w->backend = wish == MR_DEVICE_EMULATED                          ? mr_backend_emulated()
                 : wish == MR_DEVICE_CPU || wish == MR_DEVICE_TABLES ? &mr_backend_cpu
                                                                     : mr_backend_cuda();
    if (wish == MR_DEVICE_EMULATED && !w->backend)
        return mr_fail(error, MR_ERR_START,
                       "this build has no emulated device: it needs a C++ "
                       "compiler");
    struct mr_backend_config config = {
        .work = {.set = w->regex}, .bytes_max = 4096, .messages_max = 16, .matches_each = 16};
    if (w->backend && w->backend->probe(&why) == MR_OK &&
        w->backend->open(&config, &state, &why) == MR_OK) {
        w->backend->close(state);
        return MR_OK;
    }
    fprintf(w->out, "%s; the CPU does it\n", why.text);
    w->backend = &mr_backend_cpu;
    return MR_OK;
}

static enum mr_status check(struct work *w, struct mr_error *error)
{
    struct mr_regex_oracle oracle = {w, search};
    struct mr_regex_checked checked;
    uint64_t began = mr_clock_ns();
    enum mr_status status = choose_backend(w, error);

    if (!status)
        status = mr_regex_check(w->regex, w->patterns, w->backend, &oracle, w->options->samples,
                                &checked, error);
    if (status)
        return status;
    fprintf(w->out,
            "checked against Hyperscan on %lu texts, %lu bytes, in %.2f s (%s): "
            "%u patterns differ\n",
            (unsigned long)checked.texts, (unsigned long)checked.bytes,
            (double)(mr_clock_ns() - began) * 1e-9, w->backend->name, checked.demoted);
    return checked.demoted ? mr_fail(error, MR_ERR_PROGRAM,
                                     "%u patterns differ from Hyperscan and "
                                     "would stay on the CPU",
                                     checked.demoted)
                           : MR_OK;
}

enum mr_status mr_patterns_report(const struct mr_patterns_options *options, FILE *out,
                                  struct mr_error *error)
{
    struct mr_regex_set regex = {0};
    struct work w = {.options = options, .out = out, .regex = &regex};

    if (!mr_device_wish_parse(options->device, &w.wish))
        return mr_fail(
            error, MR_ERR_USAGE,
            "--device %s: there is no such device; use cpu, gpu, auto, tables or emulated",
            options->device);
    enum mr_status status = read_patterns(&w, error);
    if (!status)
        status = compile(&w, error);
    if (!status) {
        print_tiers(&w);
        if (options->samples)
            status = check(&w, error);
        if (options->list)
            print_patterns(&w);
    }
    mr_regex_set_free(&regex);
    mr_match_groups_free(&w.match.groups);
    mr_match_set_free(&w.match.set);
    free(w.patterns);
    return status;
}

#else

enum mr_status mr_patterns_report(const struct mr_patterns_options *options, FILE *out,
                                  struct mr_error *error)
{
    (void)options, (void)out;
    return mr_fail(error, MR_ERR_START, "this build has no Hyperscan, and so no patterns");
}

#endif
