/* What sites need before they can send anything: patterns compiled for the device, models, and the
 * proof that it answers as the CPU does. */
#include "engine/sites.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 4 /* texts drawn from each pattern at load */

static_assert((int)MR_DEVICE_CASELESS == MR_REGEX_CASELESS &&
                  (int)MR_DEVICE_MULTILINE == MR_REGEX_MULTILINE &&
                  (int)MR_DEVICE_DOTALL == MR_REGEX_DOTALL &&
                  (int)MR_DEVICE_UTF8 == MR_REGEX_UTF8 && (int)MR_DEVICE_UCP == MR_REGEX_UCP &&
                  (int)MR_DEVICE_OTHER == MR_REGEX_OTHER &&
                  MR_ANSWER_UNDECIDED == MR_REGEX_UNDECIDED,
              "what components say is what is compiled");

/* ---- what is right ---- */

struct oracle {
    const struct mr_site *site;
    uint32_t *matches, *unfit; /* of one part */
};

static void put_bits(uint32_t *to, uint32_t first, const uint32_t *from, uint32_t n)
{
    for (uint32_t w = 0; w < (n + 31) / 32; w++)
        for (uint32_t left = from[w]; left; left &= left - 1) {
            uint32_t at = first + w * 32 + (uint32_t)__builtin_ctz(left);
            to[at >> 5] |= 1u << (at & 31);
        }
}

static void search(void *context, const uint8_t *bytes, uint32_t len, uint32_t *matches,
                   uint32_t *unfit)
{
    const struct oracle *oracle = context;

    for (uint32_t p = 0; p < oracle->site->n_parts; p++) {
        const struct mr_site_part *part = &oracle->site->parts[p];
        if (part->op->work != MR_DEVICE_REGEX)
            continue;
        memset(oracle->matches, 0, (part->n / 32 + 1) * sizeof(uint32_t));
        memset(oracle->unfit, 0, (part->n / 32 + 1) * sizeof(uint32_t));
        part->op->search(part->config, bytes, len, oracle->matches, oracle->unfit);
        put_bits(matches, part->first, oracle->matches, part->n);
        put_bits(unfit, part->first, oracle->unfit, part->n);
    }
}

static enum mr_status check(struct mr_site *site, const struct mr_backend *backend,
                            struct mr_error *error)
{
    size_t words = site->set.n / 32 + 2;
    struct oracle oracle = {site, calloc(words, 4), calloc(words, 4)};
    struct mr_regex_oracle right = {&oracle, search};
    enum mr_status status =
        oracle.matches && oracle.unfit
            ? mr_regex_check(&site->set, site->patterns, backend, &right, SAMPLES, &site->checked,
                             error)
            : mr_fail(error, MR_ERR_MEMORY, "no memory to check %u patterns", site->set.n);

    free(oracle.matches);
    free(oracle.unfit);
    return status;
}

/* ---- telling the functions ---- */

/* What the site has of the patterns of a part, less what other sites and checks have taken from it:
 * tells the binding, unless it knows. */
static enum mr_status settle_part(const struct mr_site *site, const struct mr_site_part *part,
                                  struct mr_error *error)
{
    const struct mr_offload *offload = atomic_load(&site->offload);
    uint8_t *parts = malloc((size_t)part->n + 1);
    const uint8_t *before = part->op->settled(part->config);
    enum mr_status status = parts ? MR_OK : MR_ERR_MEMORY;
    bool known = before != NULL;

    for (uint32_t i = 0; parts && i < part->n; i++) {
        enum mr_regex_tier tier = site->set.places[part->first + i].tier;
        parts[i] = tier == MR_TIER_CPU          ? MR_DEVICE_NEVER
                   : tier == MR_TIER_FACTOR_CPU ? MR_DEVICE_HINTS
                                                : MR_DEVICE_DECIDES;
        if (offload && mr_offload_demoted(offload, part->first + i))
            parts[i] = MR_DEVICE_NEVER;
        if (before && before[i] > parts[i])
            parts[i] = before[i];
        known = known && before[i] == parts[i];
    }
    if (!status && !known)
        status = part->op->settle((void *)(uintptr_t)part->config, parts);
    free(parts);
    return status ? mr_fail(error, MR_ERR_MEMORY,
                            "the patterns left to the CPU cannot be compiled by themselves")
                  : MR_OK;
}

void mr_site_settle_again(struct mr_site *site)
{
    struct mr_error error = {0};

    mr_keeper_lock(site->engine->keeper);
    for (uint32_t p = 0; p < site->n_parts; p++) {
        struct mr_site_part *part = &site->parts[p];
        uint32_t n = atomic_load(&part->n_demoted);
        if (part->op->work != MR_DEVICE_REGEX || !n || n > MR_DEMOTED_MOST)
            continue;
        if (settle_part(site, part, &error))
            mr_site_say(site, error.text);
        else if (atomic_load(&part->n_demoted) == n) { /* else there is more to do */
            atomic_store(&part->off, 0);
            if (atomic_load(&part->n_demoted) != n) /* one more, which set it before that */
                atomic_store(&part->off, 1);
        }
    }
    mr_keeper_unlock(site->engine->keeper);
}

void mr_site_say(void *context, const char *line)
{
    const struct mr_site *site = context;

    fprintf(site->engine->config.diagnostics, "millrace: device: %s: %s\n", site->name, line);
}

/* Where compiled sets are kept; NULL: nowhere. */
static const char *cache_folder(const struct mr_engine *engine, char *path, size_t size)
{
    const char *given = engine->config.cache, *base = getenv("XDG_CACHE_HOME");

    if (engine->config.plan_only) /* writes nothing */
        return NULL;
    if (given)
        return strcmp(given, "none") != 0 ? given : NULL;
    if (base && base[0] == '/')
        return snprintf(path, size, "%s/millrace", base) < (int)size ? path : NULL;
    base = getenv("HOME");
    if (!base || base[0] != '/')
        return NULL;
    return snprintf(path, size, "%s/.cache/millrace", base) < (int)size ? path : NULL;
}

/* The patterns of all parts in a row. */
static enum mr_status gather(struct mr_site *site, uint32_t *n_patterns, struct mr_error *error)
{
    uint32_t n = 0;

    for (uint32_t p = 0; p < site->n_parts; p++) {
        struct mr_site_part *part = &site->parts[p];
        if (part->op->work != MR_DEVICE_REGEX)
            continue;
        part->first = n;
        part->n = part->op->n_patterns(part->config);
        n += part->n;
    }
    site->patterns = calloc((size_t)n + 1, sizeof *site->patterns);
    site->part_of = calloc((size_t)n + 1, sizeof *site->part_of);
    if (!site->patterns || !site->part_of)
        return mr_fail(error, MR_ERR_MEMORY, "no memory for %u patterns", n);
    for (uint32_t p = 0; p < site->n_parts; p++)
        for (uint32_t i = 0; i < site->parts[p].n; i++) {
            struct mr_device_pattern pattern = site->parts[p].op->pattern(site->parts[p].config, i);
            uint32_t at = site->parts[p].first + i;
            site->patterns[at] = (struct mr_regex_pattern){pattern.regex, pattern.flags};
            site->part_of[at] = p;
        }
    *n_patterns = n;
    return MR_OK;
}

static enum mr_status compile_patterns(struct mr_site *site, const struct mr_backend *backend,
                                       struct mr_error *error)
{
    char folder[1024];
    uint32_t n = 0;
    enum mr_status status = gather(site, &n, error);

    if (status || !n)
        return status;
    status = mr_regex_compile_cached(
        &site->set, site->patterns, n, &mr_regex_limits_default, site->engine->cores,
        cache_folder(site->engine, folder, sizeof folder), &site->cached, error);
    if (site->cached.note[0])
        mr_site_say(site, site->cached.note);
    if (!status)
        status = check(site, backend, error);
    for (uint32_t p = 0; !status && p < site->n_parts; p++)
        if (site->parts[p].op->work == MR_DEVICE_REGEX)
            status = settle_part(site, &site->parts[p], error);
    site->work.set = &site->set;
    return status;
}

static enum mr_status check_models(struct mr_site *site, const struct mr_backend *backend,
                                   struct mr_error *error)
{
    for (uint32_t i = 0; i < site->work.n_models; i++) {
        struct mr_bayes_checked *checked = &site->models_checked[i];
        enum mr_status status = mr_bayes_check(site->work.models[i].model, backend, checked, error);
        if (status)
            return status;
        for (uint32_t p = 0; checked->different && p < site->n_parts; p++)
            if (site->parts[p].op->work == MR_DEVICE_BAYES && site->parts[p].model == i)
                atomic_store(&site->parts[p].off, 1);
    }
    return MR_OK;
}

enum mr_status mr_site_compile(struct mr_site *site, const struct mr_backend *backend,
                               struct mr_error *error)
{
    mr_keeper_lock(site->engine->keeper);
    enum mr_status status = compile_patterns(site, backend, error);
    if (!status)
        status = check_models(site, backend, error);
    mr_keeper_unlock(site->engine->keeper);
    return status;
}

void mr_site_uncompile(struct mr_site *site)
{
    mr_regex_set_free(&site->set);
    free(site->part_of);
    free(site->patterns);
    site->set = (struct mr_regex_set){0};
    site->work.set = NULL;
    site->part_of = NULL;
    site->patterns = NULL;
}
