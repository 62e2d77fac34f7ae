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
    const void *config;         /* the binding's */
    uint32_t view;              /* of a message */
    uint32_t first, n;          /* MR_DEVICE_REGEX: its patterns among all of the site */
    uint32_t model;             /* MR_DEVICE_BAYES: which of the work's models */
    _Atomic uint32_t off;       /* the CPU does it */
    _Atomic uint32_t n_demoted; /* patterns, by checks while it ran */
};

#define MR_DEMOTED_MOST 16u /* of a binding: with more it is left to the CPU */

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
    /* NULL: it is on the CPU; until then the compiled set, and what was checked, are the starter's
     */
    _Atomic(struct mr_offload *) offload;
    _Atomic uint64_t open_failures, opened_late;
    _Atomic uint32_t resettle; /* some patterns were demoted */
    /* the keeper's */
    struct mr_site *next;
    uint64_t retry_at_ns, retry_ns;
    _Atomic uint64_t waiting; /* bytes that the CPU is at */
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
 * them. MR_ERR_START: the device failed. (sites_compile.c) */
enum mr_status mr_site_compile(struct mr_site *site, const struct mr_backend *backend,
                               struct mr_error *error);
void mr_site_uncompile(struct mr_site *site);
/* Patterns that were demoted since become the functions' own; then the rest goes to the device
 * again. */
void mr_site_settle_again(struct mr_site *site);
/* Compiles and opens it. MR_ERR_START: the device failed, it may be tried again; said once. */
enum mr_status mr_site_start(struct mr_site *site);
/* Nobody uses it any more. May wait for a device that is late. */
void mr_site_free(struct mr_site *site);

/* ---- sites_keep.c: a thread for what nobody is to wait for ---- */
enum mr_status mr_keeper_open(struct mr_keeper **keeper, struct mr_error *error);
void mr_keeper_close(struct mr_keeper *keeper); /* NULL is allowed; behind all sites */
/* `again`: it could not be started and is to be tried again, less and less often. */
void mr_keeper_add(struct mr_keeper *keeper, struct mr_site *site, bool again);
/* Starts it in the keeper's thread. MR_ERR_LIMIT, said: the device does not answer, and the site is
 * left alone as what a call of it may still use. */
enum mr_status mr_keeper_start(struct mr_keeper *keeper, struct mr_site *site);
/* Waits while the keeper is at it. False: it does not come back from the device, and has it. */
bool mr_keeper_remove(struct mr_keeper *keeper, struct mr_site *site);
/* Frees it, in a thread of its own where that takes time. */
void mr_keeper_end(struct mr_keeper *keeper, struct mr_site *site);
void mr_keeper_wake(struct mr_keeper *keeper);
/* Held by who compiles for functions, and checks. */
void mr_keeper_lock(struct mr_keeper *keeper);
void mr_keeper_unlock(struct mr_keeper *keeper);

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

/* The same site by site: the table of --stats, a member "device" of JSON, Prometheus. As for
 * mr_sites_metrics(). (sites_report.c) */
struct mr_site_figures {
    const char *name;
    char what[64]; /* it does */
    bool on_cpu;
    struct mr_offload_counters counters;
};
struct yajl_gen_t;
void mr_sites_print_stats(const struct mr_engine *engine, FILE *to);
void mr_sites_put(const struct mr_engine *engine, struct yajl_gen_t *g);
void mr_sites_prometheus(const struct mr_engine *engine, FILE *to);

/* The hooks of the runtime. */
struct mr_device_hooks mr_sites_hooks(void);

/* What the site has counted is added to *sum. */
void mr_site_count(const struct mr_site *site, struct mr_offload_counters *sum);

#endif
