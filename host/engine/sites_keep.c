/* What sites need while the engine runs and nobody is to wait for: patterns divided anew after a
 * difference, devices that could not be used at first, and the end of sites whose device is late.
 * One thread, which sleeps while there is nothing to do; one more for each late end. Sites are
 * started there as well: who waits for that can leave it in a call that does not come back. */
#include "engine/sites.h"

#include "base/clock.h"

#include <stdlib.h>

#define RETRY_NS      200000000u /* first, then twice as long each time */
#define RETRY_MOST_NS 16000000000u
#define LOOK_NS       100000000u   /* at a start under way, so often */
#define HANGS_NS      30000000000u /* a single call of a GPU; on purpose it is found out sooner */
#define HANG_NS       10000000000u

/* A site that goes, with its thread. */
struct going {
    struct going *next;
    struct mr_site *site;
    pthread_t thread;
};

struct mr_keeper {
    struct mr_site *sites; /* that are there */
    const struct mr_site *busy;
    struct mr_site *first; /* to be started, and somebody waits */
    enum mr_status first_status;
    struct mr_call_watch calls;
    bool left; /* the thread, in such a call */
    struct going *going;
    pthread_mutex_t lock, compiling;
    pthread_cond_t changed;
    pthread_t thread;
    bool stop;
};

/* ---- what is to be done ---- */

static bool wants_opening(const struct mr_site *site)
{
    return site->retry_ns && !atomic_load(&site->offload);
}

static void open_again(struct mr_site *site)
{
    site->retry_at_ns = mr_clock_ns() + site->retry_ns;
    site->retry_ns = site->retry_ns < RETRY_MOST_NS / 2 ? 2 * site->retry_ns : RETRY_MOST_NS;
    enum mr_status status = mr_site_start(site);
    if (status) {
        if (status != MR_ERR_LIMIT)
            return;
        site->retry_ns = 0; /* it will not be better */
        mr_site_say(site, "the device is not tried any more: it does not answer");
        return;
    }
    atomic_fetch_add(&site->opened_late, 1);
    mr_site_say(site, "the device is in use now");
}

/* The next one, or when to look again. Under the lock. */
static struct mr_site *next_site(struct mr_keeper *keeper, uint64_t *until)
{
    uint64_t now = mr_clock_ns();

    *until = UINT64_MAX;
    for (struct mr_site *site = keeper->sites; site; site = site->next) {
        if (atomic_load(&site->resettle) || (wants_opening(site) && site->retry_at_ns <= now))
            return site;
        if (wants_opening(site) && site->retry_at_ns < *until)
            *until = site->retry_at_ns;
    }
    return NULL;
}

static void sleep_until(struct mr_keeper *keeper, uint64_t until)
{
    struct timespec at = {(time_t)(until / 1000000000), (long)(until % 1000000000)};

    if (until == UINT64_MAX)
        pthread_cond_wait(&keeper->changed, &keeper->lock);
    else
        pthread_cond_timedwait(&keeper->changed, &keeper->lock, &at);
}

/* Under the lock. */
static void start_first(struct mr_keeper *keeper)
{
    struct mr_site *site = keeper->first;

    pthread_mutex_unlock(&keeper->lock);
    enum mr_status status = mr_site_start(site);
    pthread_mutex_lock(&keeper->lock);
    keeper->first_status = status;
    keeper->first = NULL;
    pthread_cond_broadcast(&keeper->changed);
}

static void *keep(void *memory)
{
    struct mr_keeper *keeper = memory;
    uint64_t until;

    mr_calls_watch(&keeper->calls);
    pthread_mutex_lock(&keeper->lock);
    while (!keeper->stop) {
        if (keeper->first) {
            start_first(keeper);
            continue;
        }
        struct mr_site *site = next_site(keeper, &until);
        if (!site) {
            sleep_until(keeper, until);
            continue;
        }
        keeper->busy = site;
        pthread_mutex_unlock(&keeper->lock);
        if (atomic_exchange(&site->resettle, 0))
            mr_site_settle_again(site);
        else
            open_again(site);
        pthread_mutex_lock(&keeper->lock);
        keeper->busy = NULL;
        pthread_cond_broadcast(&keeper->changed);
    }
    pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

/* ---- others ---- */

/* Looks. */
static uint64_t hangs_after(const struct mr_engine *engine)
{
    if (engine->device.faults.hang)
        return HANG_NS / LOOK_NS;
    return engine->device.backend == mr_backend_cuda() ? HANGS_NS / LOOK_NS : UINT64_MAX;
}

/* Under the lock: a while, or until something has changed. True: the thread is left alone. */
static bool wait_for_it(struct mr_keeper *keeper, const struct mr_engine *engine)
{
    uint64_t until = mr_clock_ns() + LOOK_NS;
    struct timespec at = {(time_t)(until / 1000000000), (long)(until % 1000000000)};

    pthread_cond_timedwait(&keeper->changed, &keeper->lock, &at);
    if (!keeper->left && mr_call_leave(&keeper->calls, hangs_after(engine))) {
        keeper->left = true;
        mr_devices_forsake();
    }
    return keeper->left;
}

enum mr_status mr_keeper_start(struct mr_keeper *keeper, struct mr_site *site)
{
    const struct mr_engine *engine = site->engine;
    bool left;

    pthread_mutex_lock(&keeper->lock);
    if (!(left = keeper->left)) {
        keeper->first = site;
        pthread_cond_broadcast(&keeper->changed);
        while (keeper->first && !left)
            left = wait_for_it(keeper, engine);
    }
    enum mr_status status = left ? MR_ERR_LIMIT : keeper->first_status;
    pthread_mutex_unlock(&keeper->lock);
    if (left) {
        atomic_fetch_add(&site->open_failures, 1);
        fprintf(engine->config.diagnostics,
                "millrace: device: %s: it does not answer and is given up; the CPU does it\n",
                site->name);
    }
    return status;
}

void mr_keeper_lock(struct mr_keeper *keeper)
{
    pthread_mutex_lock(&keeper->compiling);
}

void mr_keeper_unlock(struct mr_keeper *keeper)
{
    pthread_mutex_unlock(&keeper->compiling);
}

void mr_keeper_wake(struct mr_keeper *keeper)
{
    pthread_mutex_lock(&keeper->lock);
    pthread_cond_broadcast(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
}

void mr_keeper_add(struct mr_keeper *keeper, struct mr_site *site, bool again)
{
    pthread_mutex_lock(&keeper->lock);
    site->retry_ns = again ? RETRY_NS : 0;
    site->retry_at_ns = mr_clock_ns() + RETRY_NS;
    site->next = keeper->sites;
    keeper->sites = site;
    pthread_cond_broadcast(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
}

bool mr_keeper_remove(struct mr_keeper *keeper, struct mr_site *site)
{
    struct mr_site **at = &keeper->sites;

    pthread_mutex_lock(&keeper->lock);
    while (*at && *at != site)
        at = &(*at)->next;
    if (*at)
        *at = site->next;
    bool left = keeper->left;
    while (keeper->busy == site && !left)
        left = wait_for_it(keeper, site->engine);
    bool is_its = left && (keeper->busy == site || keeper->first == site);
    pthread_mutex_unlock(&keeper->lock);
    return !is_its;
}

static void *end(void *memory)
{
    mr_site_free(((struct going *)memory)->site);
    return NULL;
}

void mr_keeper_end(struct mr_keeper *keeper, struct mr_site *site)
{
    struct mr_offload *offload = atomic_load(&site->offload);
    struct going *going = offload && !mr_offload_stop(offload) ? calloc(1, sizeof *going) : NULL;

    if (!going) {
        mr_site_free(site);
        return;
    }
    going->site = site;
    if (pthread_create(&going->thread, NULL, end, going)) {
        free(going);
        mr_site_free(site);
        return;
    }
    pthread_mutex_lock(&keeper->lock);
    going->next = keeper->going;
    keeper->going = going;
    pthread_mutex_unlock(&keeper->lock);
}

enum mr_status mr_keeper_open(struct mr_keeper **out, struct mr_error *error)
{
    struct mr_keeper *keeper = calloc(1, sizeof *keeper);
    pthread_condattr_t clock;

    *out = NULL;
    if (!keeper)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for the device");
    pthread_mutex_init(&keeper->lock, NULL);
    pthread_mutex_init(&keeper->compiling, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper->changed, &clock);
    pthread_condattr_destroy(&clock);
    if (pthread_create(&keeper->thread, NULL, keep, keeper)) {
        free(keeper);
        return mr_fail(error, MR_ERR_START, "no thread for the device");
    }
    *out = keeper;
    return MR_OK;
}

void mr_keeper_close(struct mr_keeper *keeper)
{
    if (!keeper)
        return;
    pthread_mutex_lock(&keeper->lock);
    keeper->stop = true;
    pthread_cond_broadcast(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
    if (!keeper->left)
        pthread_join(keeper->thread, NULL);
    else
        pthread_detach(keeper->thread);
    while (keeper->going) {
        struct going *going = keeper->going;
        keeper->going = going->next;
        pthread_join(going->thread, NULL);
        free(going);
    }
    if (keeper->left) /* its thread has it */
        return;
    pthread_mutex_destroy(&keeper->lock);
    pthread_mutex_destroy(&keeper->compiling);
    pthread_cond_destroy(&keeper->changed);
    free(keeper);
}
