/* What sites need before they can send anything: a device, patterns compiled for it, and the proof
 * that it answers as the CPU does. */
#include "engine/sites.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOW_LATE_NS 30000000000u /* of what is no GPU */
#define SAMPLES      4            /* texts drawn from each pattern at load */

static_assert((int)MR_DEVICE_CASELESS == MR_REGEX_CASELESS &&
                  (int)MR_DEVICE_MULTILINE == MR_REGEX_MULTILINE &&
                  (int)MR_DEVICE_DOTALL == MR_REGEX_DOTALL &&
                  (int)MR_DEVICE_UTF8 == MR_REGEX_UTF8 && (int)MR_DEVICE_UCP == MR_REGEX_UCP &&
                  (int)MR_DEVICE_OTHER == MR_REGEX_OTHER &&
                  MR_ANSWER_UNDECIDED == MR_REGEX_UNDECIDED,
              "what components say is what is compiled");

/* ---- faults on purpose ---- */

static enum mr_status inject(struct mr_offload_faults *faults, const char *text,
                             struct mr_error *error)
{
    const struct {
        const char *name;
        uint32_t *every;
    } kinds[] = {{"open", &faults->open}, {"launch", &faults->launch}, {"late", &faults->late},
                 {"lost", &faults->lost}, {"wrong", &faults->wrong},   {"stuck", &faults->stuck}};
    bool good = !strncmp(text, "device:", 7);
    const char *name = good ? text + 7 : text, *behind = name + strcspn(name, ":");
    size_t len = (size_t)(behind - name);
    unsigned long every = 1;

    if (good && *behind) {
        char *end;
        behind += strncmp(behind, ":every ", 7) ? 1 : 7;
        every = strtoul(behind, &end, 10);
        good = *behind >= '1' && *behind <= '9' && !*end && every <= UINT32_MAX;
    }
    for (size_t i = 0; good && i < sizeof kinds / sizeof *kinds; i++)
        if (strlen(kinds[i].name) == len && !strncmp(name, kinds[i].name, len)) {
            *kinds[i].every = (uint32_t)every;
            return MR_OK;
        }
    return mr_fail(error, MR_ERR_USAGE,
                   "--inject %s: write device:KIND or device:KIND:every N; kinds are open, launch, "
                   "late, lost, wrong, stuck",
                   text);
}

/* ---- the device ---- */

enum mr_status mr_devices_open(struct mr_engine *engine, struct mr_error *error)
{
    const char *text = engine->config.device ? engine->config.device : "auto";
    struct mr_error why = {.text = "this build has no GPU back end (it was made without nvcc)"};

    if (!mr_device_wish_parse(text, &engine->device.wish))
        return mr_fail(
            error, MR_ERR_USAGE,
            "--device %s: there is no such device; use cpu, gpu, auto, tables or emulated", text);
    for (uint32_t i = 0; i < engine->config.n_injections; i++) {
        enum mr_status status = inject(&engine->device.faults, engine->config.injections[i], error);
        if (status)
            return status;
    }
    if (engine->device.wish == MR_DEVICE_CPU)
        return MR_OK;
    if (engine->device.wish == MR_DEVICE_TABLES) {
        engine->device.backend = &mr_backend_cpu;
        return MR_OK;
    }
    if (engine->device.wish == MR_DEVICE_EMULATED) {
        engine->device.backend = mr_backend_emulated();
        return engine->device.backend
                   ? MR_OK
                   : mr_fail(error, MR_ERR_START,
                             "--device emulated: this build has no emulated device: it needs a "
                             "C++ compiler");
    }
    const struct mr_backend *gpu = mr_backend_cuda();
    if (gpu && gpu->probe(&why) == MR_OK) {
        engine->device.backend = gpu;
        return MR_OK;
    }
    snprintf(engine->device.why, sizeof engine->device.why, "%s", why.text);
    if (engine->device.wish == MR_DEVICE_GPU)
        fprintf(engine->config.diagnostics, "millrace: --device gpu: %s; the CPU does it all\n",
                why.text);
    return MR_OK;
}

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

/* Is the binding at work already? */
static bool at_work(const struct mr_plan *running, const void *config)
{
    for (uint32_t i = 0; running && i < running->n_sites; i++)
        for (uint32_t c = 0; c < running->sites[i].n_calls; c++)
            if (running->sites[i].calls[c]->config == config)
                return true;
    return false;
}

static enum mr_status settle_part(const struct mr_site *site, const struct mr_site_part *part,
                                  const struct mr_plan *running, struct mr_error *error)
{
    uint8_t *parts = malloc((size_t)part->n + 1);
    const uint8_t *before = part->op->settled(part->config);
    enum mr_status status = parts ? MR_OK : MR_ERR_MEMORY;
    bool fits = before != NULL;

    for (uint32_t i = 0; parts && i < part->n; i++) {
        enum mr_regex_tier tier = site->set.places[part->first + i].tier;
        parts[i] = tier == MR_TIER_CPU          ? MR_DEVICE_NEVER
                   : tier == MR_TIER_FACTOR_CPU ? MR_DEVICE_HINTS
                                                : MR_DEVICE_DECIDES;
        fits = fits && before[i] >= parts[i];
    }
    if (!status && !fits && (before || at_work(running, part->config)))
        status = mr_fail(error, MR_ERR_START,
                         "its patterns are at work and divided otherwise between device and CPU: "
                         "start the engine anew");
    else if (!status && !fits &&
             (status = part->op->settle((void *)(uintptr_t)part->config, parts)))
        mr_fail(error, status, "the patterns left to the CPU cannot be compiled by themselves");
    free(parts);
    return status;
}

static void say(void *context, const char *line)
{
    const struct mr_site *site = context;

    fprintf(site->engine->config.diagnostics, "millrace: device: %s: %s\n", site->name, line);
}

/* Where compiled sets are kept; NULL: nowhere. */
static const char *cache_folder(const struct mr_engine *engine, char *path, size_t size)
{
    const char *given = engine->config.cache, *base = getenv("XDG_CACHE_HOME");

    if (given)
        return strcmp(given, "none") != 0 ? given : NULL;
    if (base && base[0] == '/')
        return snprintf(path, size, "%s/millrace", base) < (int)size ? path : NULL;
    base = getenv("HOME");
    if (!base || base[0] != '/')
        return NULL;
    return snprintf(path, size, "%s/.cache/millrace", base) < (int)size ? path : NULL;
}

/* Compiles and checks what the site's functions ask for, and tells them. */
static enum mr_status compile(struct mr_site *site, const struct mr_backend *backend,
                              const struct mr_plan *running, struct mr_error *error)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    char folder[1024];
    uint32_t n = 0;

    for (uint32_t p = 0; p < site->n_parts; p++) {
        site->parts[p].first = n;
        site->parts[p].n = site->parts[p].op->n_patterns(site->parts[p].config);
        n += site->parts[p].n;
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
    enum mr_status status = mr_regex_compile_cached(
        &site->set, site->patterns, n, &mr_regex_limits_default, cores > 0 ? (uint32_t)cores : 1,
        cache_folder(site->engine, folder, sizeof folder), &site->cached, error);
    if (site->cached.note[0])
        say(site, site->cached.note);
    if (!status)
        status = check(site, backend, error);
    for (uint32_t p = 0; !status && p < site->n_parts; p++)
        status = settle_part(site, &site->parts[p], running, error);
    return status;
}

/* ---- sites ---- */

static void done(void *context)
{
    const struct mr_site *site = context;

    if (site->engine->runtime)
        mr_runtime_notify(site->engine->runtime);
}

static void release(struct mr_site *site)
{
    if (!site || --site->owners)
        return;
    if (site->offload && !mr_offload_close(site->offload))
        return; /* its thread may look at all of this */
    mr_regex_set_free(&site->set);
    pthread_mutex_destroy(&site->lock);
    free(site->parts);
    free(site->call_parts);
    free(site->part_of);
    free(site->patterns);
    free(site);
}

/* Its calls, and the bindings behind them, each once. NULL: no memory. */
static struct mr_site *site_new(struct mr_engine *engine, const struct mr_plan *plan,
                                const struct mr_plan_site *from)
{
    struct mr_site *site = calloc(1, sizeof *site);
    const struct mr_plan_predicate *predicate = &plan->predicates[from->predicates[0]];

    if (!site)
        return NULL;
    site->owners = 1;
    site->engine = engine;
    site->workers = engine->config.workers;
    pthread_mutex_init(&site->lock, NULL);
    snprintf(site->name, sizeof site->name, "%s of %s", predicate->attributes[from->column].name,
             predicate->name);
    site->n_calls = from->n_calls;
    site->parts = calloc(from->n_calls, sizeof *site->parts);
    site->call_parts = calloc(from->n_calls, sizeof *site->call_parts);
    if (!site->parts || !site->call_parts) {
        release(site);
        return NULL;
    }
    for (uint32_t c = 0; c < from->n_calls; c++) {
        uint32_t p = 0;
        while (p < site->n_parts && site->parts[p].config != from->calls[c]->config)
            p++;
        if (p == site->n_parts)
            site->parts[site->n_parts++] = (struct mr_site_part){
                .op = from->calls[c]->function->device, .config = from->calls[c]->config};
        site->call_parts[c] = p;
    }
    return site;
}

static bool same_parts(const struct mr_site *a, const struct mr_site *b)
{
    bool same = a->n_parts == b->n_parts && a->n_calls == b->n_calls &&
                !memcmp(a->call_parts, b->call_parts, a->n_calls * sizeof *a->call_parts);

    for (uint32_t p = 0; same && p < a->n_parts; p++)
        same = a->parts[p].config == b->parts[p].config;
    return same;
}

/* One that does the same already. */
static struct mr_site *find_same(const struct mr_sites *before, const struct mr_site *site)
{
    for (uint32_t i = 0; before && i < before->n; i++)
        if (same_parts(before->list[i], site))
            return before->list[i];
    return NULL;
}

static void start(struct mr_site *site, const struct mr_plan *running)
{
    const struct mr_engine *engine = site->engine;
    struct mr_error error = {0};
    struct mr_offload_config config = {
        .set = &site->set,
        .backend = engine->device.backend,
        .n_slots = engine->config.offload_slots,
        .bytes_max = engine->config.offload_bytes,
        .messages_max = engine->config.offload_messages,
        .deadline_ns = engine->config.offload_deadline_ns,
        .late_ns = engine->config.offload_late_ns                ? engine->config.offload_late_ns
                   : engine->device.backend != mr_backend_cuda() ? SLOW_LATE_NS
                                                                 : 0,
        .check_every = engine->config.offload_check_every,
        .insist = true,
        .faults = engine->device.faults,
        .log = say,
        .done = done,
        .context = site,
    };
    enum mr_status status = compile(site, engine->device.backend, running, &error);

    mr_placement_init(&site->placement, engine->device.wish, config.deadline_ns);
    if (!status)
        status = mr_offload_open(&config, &site->offload, &error);
    if (status)
        fprintf(engine->config.diagnostics, "millrace: device: %s: %s; the CPU does it\n",
                site->name, error.text);
}

enum mr_status mr_sites_open(struct mr_sites **out, struct mr_engine *engine,
                             const struct mr_plan *plan, const struct mr_sites *before,
                             struct mr_error *error)
{
    *out = NULL;
    if (!engine->device.backend || !plan->n_sites)
        return MR_OK;
    struct mr_sites *sites = calloc(1, sizeof *sites);
    if (sites)
        sites->list = calloc(plan->n_sites, sizeof(struct mr_site *));
    bool good = sites && sites->list;
    for (uint32_t i = 0; good && i < plan->n_sites; i++) {
        struct mr_site *site = site_new(engine, plan, &plan->sites[i]);
        struct mr_site *same = site ? find_same(before, site) : NULL;
        if (same) {
            same->owners++;
            release(site);
            site = same;
        } else if (site) {
            start(site, before ? engine->plan : NULL);
        }
        if ((good = site != NULL))
            sites->list[sites->n++] = site;
    }
    if (!good) {
        mr_sites_close(sites);
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for the device");
    }
    *out = sites;
    return MR_OK;
}

void mr_sites_close(struct mr_sites *sites)
{
    for (uint32_t i = 0; sites && i < sites->n; i++)
        release(sites->list[i]);
    if (sites)
        free(sites->list);
    free(sites);
}
