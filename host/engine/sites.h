/* Sites of the plan whose bytes go to a device (analog/plan.h, runtime/answers.h,
 * offload/offload.h): each has what its functions ask for, compiled and checked, and batches of its
 * own. Opened beside a running plan as well; what two plans have in common is shared. */
#ifndef MR_ENGINE_SITES_H
#define MR_ENGINE_SITES_H

#include "engine/internal.h"
#include "offload/bayes_check.h"
#include "offload/offload.h"
#include "offload/placement.h"
#include "offload/regex_cache.h"
#include "offload/regex_check.h"

/* What one binding asks for; several calls may share it. */
struct mr_site_part {
    const struct mr_device_op *op;
    const void *config;   /* the binding's */
    uint32_t view;        /* of a message */
    uint32_t first, n;    /* MR_DEVICE_REGEX: its patterns among all of the site */
    uint32_t model;       /* MR_DEVICE_BAYES: which of the work's models */
    _Atomic uint32_t off; /* the CPU does it */
};

struct mr_site {
    uint32_t owners;
    char name[96];
    struct mr_site_part *parts;
    uint32_t n_parts, n_calls;
    uint32_t *call_parts; /* [n_calls] */
    uint32_t *part_of;    /* [patterns] */
    struct mr_regex_pattern *patterns;
    struct mr_regex_set set;
    struct mr_offload_work work;       /* with the set, and with what views messages have */
    uint32_t view_calls[MR_VIEWS_MAX]; /* who makes a view; MR_NO_INDEX: the bytes themselves */
    struct mr_regex_cached cached;
    struct mr_regex_checked checked; /* at load */
    struct mr_bayes_checked models_checked[MR_MODELS_MAX];
    struct mr_offload *offload; /* NULL: it stays on the CPU */
    _Atomic uint64_t waiting;   /* bytes that the CPU is at */
    uint32_t workers;
    pthread_mutex_t lock; /* placement */
    struct mr_placement placement;
    struct mr_engine *engine;
};

struct mr_sites {
    struct mr_site **list; /* [of the plan] */
    uint32_t n;
};

/* What --device means here: finds the back end, or says why there is none. */
enum mr_status mr_devices_open(struct mr_engine *engine, struct mr_error *error);

/* Compiles what the site's functions ask for, checks it with the back end against them, and tells
 * them; `running`: the plan at work, or NULL. (sites_compile.c) */
enum mr_status mr_site_compile(struct mr_site *site, const struct mr_backend *backend,
                               const struct mr_plan *running, struct mr_error *error);
/* One line about the site, for the log of an offload and others. */
void mr_site_say(void *site, const char *line);

/* For a plan; `before`: those of the plan that it is to take the place of, or NULL. What cannot go
 * to a device stays on the CPU, with a line that says why. MR_ERR_MEMORY. */
enum mr_status mr_sites_open(struct mr_sites **sites, struct mr_engine *engine,
                             const struct mr_plan *plan, const struct mr_sites *before,
                             struct mr_error *error);
/* Puts `sites` in the place of those of the engine, which it gives back; what nobody shares of them
 * goes on counting no more: what it has counted is added to engine->past_offload. While no worker
 * works. */
struct mr_sites *mr_sites_install(struct mr_engine *engine, struct mr_sites *sites);
/* NULL is allowed. */
void mr_sites_close(struct mr_sites *sites);

/* Adds what was counted at all sites, those that are gone included. In the output turn, after the
 * run, or in the thread that changes programs. */
void mr_sites_metrics(struct mr_engine *engine, struct mr_metrics *metrics);

/* Bytes of the host's memory that their batches take, about. */
uint64_t mr_sites_memory(const struct mr_engine *engine);

/* For people: what goes where, and what came of it (after mr_metrics_refresh()). */
void mr_sites_print(const struct mr_engine *engine, FILE *to);
void mr_sites_print_work(const struct mr_engine *engine, FILE *to);

/* The hooks of the runtime. */
struct mr_device_hooks mr_sites_hooks(void);

/* What the site has counted is added to *sum. */
void mr_site_count(const struct mr_site *site, struct mr_offload_counters *sum);

#endif
