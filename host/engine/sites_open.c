/* Sites come, with what their functions ask for found out, and go. */
#include "engine/sites.h"

#include <stdlib.h>
#include <string.h>

#define SLOW_LATE_NS 30000000000u /* of what is no GPU */

static void done(void *context)
{
    const struct mr_site *site = context;

    if (site->engine->runtime)
        mr_runtime_notify(site->engine->runtime);
}

void mr_site_free(struct mr_site *site)
{
    struct mr_offload *offload = atomic_load(&site->offload);

    if (offload && !mr_offload_close(offload))
        return; /* its thread may look at all of this */
    mr_site_uncompile(site);
    pthread_mutex_destroy(&site->lock);
    free(site->parts);
    free(site->call_parts);
    free(site);
}

static void release(struct mr_site *site)
{
    if (!site || --site->owners)
        return;
    if (mr_keeper_remove(site->engine->keeper, site))
        mr_keeper_end(site->engine->keeper, site);
}

/* The view that the part wants, a new one if there is none; false: there are too many. */
static bool find_view(struct mr_site *site, const struct mr_plan_site *from, uint32_t call,
                      struct mr_site_part *part)
{
    const struct mr_device_op *op = part->op;
    uint32_t v = 0;

    for (; v < site->work.n_views; v++) {
        uint32_t by = site->view_calls[v];
        if (by == MR_NO_INDEX
                ? !op->view
                : from->calls[by]->function->device->view == op->view &&
                      op->view_key(from->calls[by]->config) == op->view_key(part->config))
            break;
    }
    part->view = v;
    if (v < site->work.n_views)
        return true;
    if (v == MR_VIEWS_MAX)
        return false;
    site->view_calls[site->work.n_views++] = op->view ? call : MR_NO_INDEX;
    return true;
}

/* The model of the part among those of the site: two that are equal are one. */
static bool find_model(struct mr_site *site, struct mr_site_part *part)
{
    struct mr_offload_work *work = &site->work;
    const struct mr_spam_model *model = part->op->model(part->config);
    uint32_t i = 0;

    while (i < work->n_models &&
           (work->models[i].view != part->view ||
            memcmp(work->models[i].model->checksum, model->checksum, sizeof model->checksum) != 0))
        i++;
    part->model = i;
    if (i < work->n_models)
        return true;
    if (i == MR_MODELS_MAX)
        return false;
    work->models[work->n_models++] = (struct mr_offload_model){model, part->view};
    return true;
}

static void add_part(struct mr_site *site, const struct mr_plan_site *from, uint32_t call)
{
    struct mr_site_part *part = &site->parts[site->n_parts++];

    part->op = from->calls[call]->function->device;
    part->config = from->calls[call]->config;
    bool good = find_view(site, from, call, part);
    if (good && part->op->work == MR_DEVICE_BAYES) {
        good = find_model(site, part);
    } else if (good) { /* one view is searched */
        for (struct mr_site_part *other = site->parts; other < part; other++)
            if (other->op && other->op->work == MR_DEVICE_REGEX)
                good = good && other->view == part->view;
        site->work.set_view = good ? part->view : site->work.set_view;
    }
    atomic_init(&part->off, !good);
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
    mr_placement_init(&site->placement, engine->device.wish, engine->config.offload_deadline_ns);
    snprintf(site->name, sizeof site->name, "%s of %s", predicate->attributes[from->column].name,
             predicate->name);
    site->n_calls = from->n_calls;
    site->parts = calloc(from->n_calls, sizeof *site->parts);
    site->call_parts = calloc(from->n_calls, sizeof *site->call_parts);
    if (!site->parts || !site->call_parts) {
        mr_site_free(site);
        return NULL;
    }
    for (uint32_t c = 0; c < from->n_calls; c++) {
        uint32_t p = 0;
        while (p < site->n_parts && site->parts[p].config != from->calls[c]->config)
            p++;
        if (p == site->n_parts)
            add_part(site, from, c);
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

/* 0: as usual. A device that is wrong on purpose is to lose nothing: samples would let it. */
static uint32_t check_every(const struct mr_engine *engine)
{
    uint32_t wanted = engine->config.offload_check_every;

    return wanted || !engine->device.faults.wrong ? wanted : 1;
}

static enum mr_status open_offload(struct mr_site *site, struct mr_error *error)
{
    const struct mr_engine *engine = site->engine;
    struct mr_offload *offload = NULL;
    struct mr_offload_config config = {
        .work = site->work,
        .backend = engine->device.backend,
        .n_slots = engine->config.offload_slots,
        .bytes_max = engine->config.offload_bytes,
        .messages_max = engine->config.offload_messages,
        .deadline_ns = engine->config.offload_deadline_ns,
        .late_ns = engine->config.offload_late_ns                ? engine->config.offload_late_ns
                   : engine->device.backend != mr_backend_cuda() ? SLOW_LATE_NS
                                                                 : 0,
        .check_every = check_every(engine),
        .insist = true,
        .faults = engine->device.faults,
        .log = mr_site_say,
        .done = done,
        .context = site,
    };
    enum mr_status status = mr_offload_open(&config, &offload, error);

    if (!status)
        atomic_store(&site->offload, offload);
    return status;
}

enum mr_status mr_site_start(struct mr_site *site)
{
    const struct mr_engine *engine = site->engine;
    uint64_t n = atomic_load(&site->open_failures);
    struct mr_error error = {0};
    enum mr_status status;

    mr_site_uncompile(site);
    if (n < engine->device.faults.load)
        status = mr_fail(&error, MR_ERR_START, "it cannot be used (on purpose)");
    else
        status = mr_site_compile(site, engine->device.backend, &error);
    if (!status)
        status = open_offload(site, &error);
    if (status == MR_ERR_START)
        atomic_fetch_add(&site->open_failures, 1);
    if (status && !n)
        fprintf(engine->config.diagnostics, "millrace: device: %s: %s; the CPU does it%s\n",
                site->name, error.text,
                status == MR_ERR_START ? ", and the device is tried again" : "");
    return status;
}

enum mr_status mr_sites_open(struct mr_sites **out, struct mr_engine *engine,
                             const struct mr_plan *plan, const struct mr_sites *before,
                             struct mr_error *error)
{
    *out = NULL;
    if (!engine->device.backend || !plan->n_sites)
        return MR_OK;
    if (!engine->keeper && mr_keeper_open(&engine->keeper, error))
        return error->status;
    struct mr_sites *sites = calloc(1, sizeof *sites);
    if (sites)
        sites->list = calloc(plan->n_sites, sizeof(struct mr_site *));
    bool good = sites && sites->list;
    for (uint32_t i = 0; good && i < plan->n_sites; i++) {
        struct mr_site *site = site_new(engine, plan, &plan->sites[i]);
        struct mr_site *same = site ? find_same(before, site) : NULL;
        if (same) {
            same->owners++;
            mr_site_free(site);
            site = same;
        } else if (site) {
            mr_keeper_add(engine->keeper, site,
                          mr_keeper_start(engine->keeper, site) == MR_ERR_START);
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
