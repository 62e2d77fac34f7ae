/* The callers' side: filling batches, taking them back. */
#include "offload/slots.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLOSE_LEAST_NS 1000000000u /* how long close() waits for the device ... */
#define CLOSE_MOST_NS  5000000000u
#define CALL_LEAST_NS  10000000000u /* ... and for a single call of it to come back, of one */
#define CALL_MOST_NS   30000000000u /* that may be as slow as this */

const char *mr_close_name(enum mr_close why)
{
    static const char *const names[MR_CLOSES] = {"bytes", "messages", "age", "flush"};
    return names[why];
}

const char *mr_fall_name(enum mr_fall why)
{
    static const char *const names[MR_FALLS] = {"no_slot",       "too_long", "device_down",
                                                "device_failed", "late",     "overflow"};
    return names[why];
}

const char *mr_trouble_name(enum mr_trouble what)
{
    static const char *const names[MR_TROUBLES] = {"open", "launch", "lost", "late"};
    return names[what];
}

/* ---- opening and closing ---- */

static void set_defaults(struct mr_offload_config *config)
{
    config->n_slots = config->n_slots ? config->n_slots : 6;
    config->bytes_max = config->bytes_max ? (config->bytes_max + 15) & ~15u : 2u << 20;
    config->messages_max = config->messages_max ? config->messages_max : 8192;
    config->late_ns = config->late_ns ? config->late_ns : 250000000;
    config->retry_ns = config->retry_ns ? config->retry_ns : 1000000000;
    config->check_every = config->check_every ? config->check_every : 4096;
}

uint64_t mr_offload_call_ns(const struct mr_offload *o)
{
    return o->config.late_ns < CALL_LEAST_NS  ? CALL_LEAST_NS
           : o->config.late_ns > CALL_MOST_NS ? CALL_MOST_NS
                                              : o->config.late_ns;
}

/* Under the lock: how long a call is waited for that is under way, or may yet begin. One that did
 * not come back while the engine ran will hardly do so now. */
static uint64_t call_until(const struct mr_offload *o, uint64_t now)
{
    return o->hangs ? 0 : (o->lent ? o->lent_ns : now) + mr_offload_call_ns(o);
}

bool mr_offload_stop(struct mr_offload *o)
{
    bool idle = true;
    int code = 0;

    pthread_mutex_lock(&o->lock);
    uint64_t until = call_until(o, mr_clock_ns());
    struct timespec at = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    o->stop = true;
    o->stop_by_ns = UINT64_MAX; /* until close() says when */
    pthread_cond_signal(&o->work);
    while (o->lent && !o->hangs && !code)
        code = pthread_cond_timedwait(&o->done, &o->lock, &at);
    for (uint32_t i = 0; i < o->config.n_slots; i++)
        idle &= !o->slots[i].running;
    pthread_mutex_unlock(&o->lock);
    return idle;
}

/* The thread ends, or not: then it must find nothing of its caller any more. */
static bool stop_thread(struct mr_offload *o)
{
    uint64_t wait = o->config.late_ns < CLOSE_LEAST_NS  ? CLOSE_LEAST_NS
                    : o->config.late_ns > CLOSE_MOST_NS ? CLOSE_MOST_NS
                                                        : o->config.late_ns;
    int code = 0;

    pthread_mutex_lock(&o->lock);
    uint64_t now = mr_clock_ns(), until = call_until(o, now) + wait;
    struct timespec at = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    o->stop = true;
    o->stop_by_ns = now + wait;
    pthread_cond_signal(&o->work);
    while (!o->ended && !code)
        code = pthread_cond_timedwait(&o->done, &o->lock, &at);
    bool ended = o->ended;
    if (!ended && !o->hangs && o->config.log)
        o->config.log(o->config.context, "a call of the device does not come back: it is given "
                                         "up, with its thread and memory");
    if (!ended) {
        o->config.log = NULL;
        o->config.done = NULL;
    }
    pthread_mutex_unlock(&o->lock);
    if (ended)
        pthread_join(o->thread, NULL);
    else
        pthread_detach(o->thread);
    return ended;
}

static void stop_guard(struct mr_offload *o)
{
    if (!o->has_guard)
        return;
    pthread_mutex_lock(&o->lock);
    o->closing = true;
    pthread_cond_signal(&o->closes);
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->guard, NULL);
}

/* The device is still at a batch, and has not failed. */
static bool is_stuck(const struct mr_offload *o)
{
    for (uint32_t i = 0; o->slots && i < o->config.n_slots; i++)
        if (o->slots[i].running && !o->down)
            return true;
    return false;
}

/* What a device that does not answer may still write to belongs to it as long as the process lives:
 * it can be neither used again nor given back, and is found here by who looks for lost memory. The
 * one thing that outlives its engine, as the device does. */
static struct mr_offload *_Atomic left_to_devices;

static void leave(struct mr_offload *o)
{
    o->left = atomic_load(&left_to_devices);
    while (!atomic_compare_exchange_weak(&left_to_devices, &o->left, o))
        ;
}

bool mr_offload_close(struct mr_offload *offload)
{
    if (!offload)
        return true;
    stop_guard(offload);
    if (offload->has_thread && !stop_thread(offload))
        return false;
    bool stuck = is_stuck(offload), hangs = mr_devices_hang();
    if (!stuck && !hangs)
        mr_slots_close(offload);
    else if (!hangs && offload->config.log)
        offload->config.log(offload->config.context,
                            "the device does not answer any more: it is given up, its memory left");
    for (uint32_t i = 0; offload->slots && i < offload->config.n_slots; i++)
        free(offload->slots[i].tags);
    if (offload->has_lock) {
        pthread_mutex_destroy(&offload->lock);
        pthread_cond_destroy(&offload->work);
        pthread_cond_destroy(&offload->done);
        pthread_cond_destroy(&offload->closes);
    }
    free(offload->demoted);
    if (stuck || hangs) {
        leave(offload); /* with its slots, and their batches */
        return true;
    }
    free(offload->slots);
    free(offload);
    return true;
}

/* Patterns and models. */
static uint32_t demotable(const struct mr_offload *o)
{
    return mr_offload_patterns(&o->config.work) + o->config.work.n_models;
}

static bool take_memory(struct mr_offload *o)
{
    pthread_condattr_t clock;

    o->slots = calloc(o->config.n_slots, sizeof *o->slots);
    o->demoted = calloc(demotable(o) / 32 + 1, sizeof *o->demoted);
    if (!o->slots || !o->demoted)
        return false;
    for (uint32_t i = 0; i < o->config.n_slots; i++) {
        o->slots[i].tags = calloc(o->config.messages_max, sizeof *o->slots[i].tags);
        if (!o->slots[i].tags)
            return false;
    }
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    o->has_lock = !pthread_mutex_init(&o->lock, NULL) && !pthread_cond_init(&o->work, &clock) &&
                  !pthread_cond_init(&o->done, &clock) && !pthread_cond_init(&o->closes, &clock);
    pthread_condattr_destroy(&clock);
    return o->has_lock;
}

enum mr_status mr_offload_open(const struct mr_offload_config *config, struct mr_offload **offload,
                               struct mr_error *error)
{
    struct mr_offload *o = calloc(1, sizeof *o);

    *offload = NULL;
    if (!o)
        return mr_fail(error, MR_ERR_MEMORY, "no memory for the offload");
    o->config = *config;
    set_defaults(&o->config);
    o->retry_ns = o->config.retry_ns;
    if (!take_memory(o)) {
        mr_offload_close(o);
        return mr_fail(error, MR_ERR_MEMORY, "no memory for %u batches of the offload",
                       config->n_slots);
    }
    enum mr_status status = mr_slots_open(o, error);
    if (status && config->insist) {
        mr_slots_fail(o, error);
        status = MR_OK;
    }
    if (!status) {
        o->has_thread = !pthread_create(&o->thread, NULL, mr_submit_thread, o);
        if (!o->has_thread)
            status = mr_fail(error, MR_ERR_START, "no thread for the offload");
        else if (config->backend->abandon) /* what is no device does not hang */
            o->has_guard = !pthread_create(&o->guard, NULL, mr_guard_thread, o);
    }
    if (status) {
        mr_offload_close(o);
        return status;
    }
    *offload = o;
    return MR_OK;
}

/* ---- filling ---- */

/* Under the lock: a batch with room for the views; NULL, with the reason, if there is none. */
static struct mr_slot *slot_for(struct mr_offload *o, const struct mr_view *views, uint64_t now,
                                enum mr_fall *why)
{
    uint64_t room = 0;

    for (uint32_t v = 0; v < mr_offload_views(&o->config.work); v++)
        room += ((uint64_t)views[v].len + 15) / 16 * 16;
    *why = room > o->config.bytes_max ? MR_FALL_TOO_LONG : MR_FALL_DOWN;
    if (o->down || room > o->config.bytes_max)
        return NULL;
    if (o->filling && !mr_batch_has_room_for(o->filling->batch, views))
        mr_slot_close(o,
                      o->filling->batch->n_messages == o->config.messages_max ? MR_CLOSE_MESSAGES
                                                                              : MR_CLOSE_BYTES,
                      now);
    for (uint32_t i = 0; !o->filling && i < o->config.n_slots; i++) {
        if (o->slots[i].state != MR_SLOT_FREE)
            continue;
        o->filling = &o->slots[i];
        o->filling->state = MR_SLOT_FILLING;
        o->filling->batch->n_bytes = o->filling->batch->n_messages = 0;
        atomic_store(&o->filling->writers, 0);
        o->filling->opened_ns = now;
        o->filling->first = o->n_messages;
        pthread_cond_signal(&o->work); /* its age counts from here */
    }
    *why = MR_FALL_NO_SLOT;
    return o->filling;
}

/* Under the lock: room for a message; NULL, counted, if it is not taken. */
static struct mr_slot *reserve(struct mr_offload *o, const struct mr_view *views, uint64_t tag,
                               uint64_t now, uint8_t **to)
{
    enum mr_fall why;
    struct mr_slot *slot = slot_for(o, views, now, &why);

    if (!slot) {
        o->counters.falls[why]++;
        return NULL;
    }
    slot->tags[slot->batch->n_messages] = tag;
    mr_batch_reserve_views(slot->batch, views, to);
    atomic_fetch_add_explicit(&slot->writers, 1, memory_order_relaxed);
    o->n_messages++;
    if (slot->batch->n_messages == o->config.messages_max)
        mr_slot_close(o, MR_CLOSE_MESSAGES, now);
    else if (slot->batch->n_bytes == o->config.bytes_max)
        mr_slot_close(o, MR_CLOSE_BYTES, now);
    return slot;
}

/* Its message is copied: the last one into a closed batch tells the thread. */
static void copied(struct mr_offload *o, struct mr_slot *slot)
{
    if (atomic_fetch_sub(&slot->writers, 1) != (MR_SLOT_SEALED | 1))
        return;
    pthread_mutex_lock(&o->lock);
    pthread_cond_signal(&o->work);
    pthread_mutex_unlock(&o->lock);
}

uint32_t mr_offload_add_many(struct mr_offload *offload, const struct mr_view *views,
                             const uint64_t *tags, uint32_t n)
{
    struct mr_offload *o = offload;
    uint32_t n_views = mr_offload_views(&o->config.work), taken = 0;
    uint64_t now = mr_clock_ns();
    uint8_t *to[MR_OFFLOAD_MANY][MR_VIEWS_MAX];
    struct mr_slot *slots[MR_OFFLOAD_MANY];

    pthread_mutex_lock(&o->lock);
    for (uint32_t i = 0; i < n; i++) {
        slots[i] = reserve(o, views + (size_t)i * n_views, tags[i], now, to[i]);
        taken |= (uint32_t)(slots[i] != NULL) << i;
    }
    pthread_mutex_unlock(&o->lock);
    for (uint32_t i = 0; i < n; i++) {
        if (!slots[i])
            continue;
        for (uint32_t v = 0; v < n_views; v++) {
            const struct mr_view *view = &views[(size_t)i * n_views + v];
            if (view->len)
                memcpy(to[i][v], view->bytes, view->len);
        }
        copied(o, slots[i]);
    }
    return taken;
}

enum mr_status mr_offload_add(struct mr_offload *offload, const void *bytes, uint32_t len,
                              uint64_t tag)
{
    const struct mr_view views[MR_VIEWS_MAX] = {{bytes, len}};

    return mr_offload_add_many(offload, views, &tag, 1) ? MR_OK : MR_AGAIN;
}

void mr_offload_flush(struct mr_offload *offload)
{
    pthread_mutex_lock(&offload->lock);
    if (offload->filling)
        mr_slot_close(offload, MR_CLOSE_FLUSH, mr_clock_ns());
    pthread_mutex_unlock(&offload->lock);
}

/* ---- taking back ---- */

static struct mr_slot *oldest_done(struct mr_offload *o)
{
    struct mr_slot *oldest = NULL;

    for (uint32_t i = 0; i < o->config.n_slots; i++)
        if (o->slots[i].state == MR_SLOT_DONE && (!oldest || o->slots[i].number < oldest->number))
            oldest = &o->slots[i];
    return oldest;
}

bool mr_offload_take(struct mr_offload *offload, struct mr_offload_done *done)
{
    uint64_t every = offload->config.check_every;

    pthread_mutex_lock(&offload->lock);
    struct mr_slot *slot = oldest_done(offload);
    if (slot) {
        slot->state = MR_SLOT_TAKEN;
        atomic_fetch_sub(&offload->n_done, 1);
        *done = (struct mr_offload_done){
            .batch = slot->batch,
            .tags = slot->tags,
            .check_first = (every - slot->first % every) % every,
            .check_every = (uint32_t)every,
            .slot = (uint32_t)(slot - offload->slots),
        };
    }
    pthread_mutex_unlock(&offload->lock);
    return slot != NULL;
}

void mr_offload_release(struct mr_offload *offload, const struct mr_offload_done *done)
{
    struct mr_slot *slot = &offload->slots[done->slot];

    pthread_mutex_lock(&offload->lock);
    slot->state = slot->running ? MR_SLOT_ABANDONED : MR_SLOT_FREE;
    pthread_cond_signal(&offload->work);
    pthread_mutex_unlock(&offload->lock);
}

bool mr_offload_ready(const struct mr_offload *offload)
{
    return atomic_load(&offload->n_done) != 0;
}

bool mr_offload_wait(struct mr_offload *offload, uint64_t timeout_ns)
{
    uint64_t until = mr_clock_ns() + timeout_ns;
    struct timespec at = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    int code = 0;

    pthread_mutex_lock(&offload->lock);
    while (!oldest_done(offload) && !code)
        code = pthread_cond_timedwait(&offload->done, &offload->lock, &at);
    bool there = oldest_done(offload) != NULL;
    pthread_mutex_unlock(&offload->lock);
    return there;
}

/* ---- checks and counters ---- */

bool mr_offload_demote(struct mr_offload *offload, uint32_t pattern)
{
    uint32_t bit = 1u << (pattern & 31);

    if (pattern >= demotable(offload) ||
        (atomic_fetch_or(&offload->demoted[pattern >> 5], bit) & bit))
        return false;
    pthread_mutex_lock(&offload->lock);
    offload->counters.demoted++;
    pthread_mutex_unlock(&offload->lock);
    return true;
}

bool mr_offload_demoted(const struct mr_offload *offload, uint32_t pattern)
{
    return atomic_load(&offload->demoted[pattern >> 5]) >> (pattern & 31) & 1;
}

void mr_offload_checked(struct mr_offload *offload, uint32_t different)
{
    pthread_mutex_lock(&offload->lock);
    offload->counters.checked++;
    offload->counters.different += different;
    pthread_mutex_unlock(&offload->lock);
}

void mr_offload_count(struct mr_offload *offload, struct mr_offload_counters *counters)
{
    pthread_mutex_lock(&offload->lock);
    *counters = offload->counters;
    pthread_mutex_unlock(&offload->lock);
}

uint64_t mr_offload_memory(const struct mr_offload *offload)
{
    const struct mr_offload_config *c = &offload->config;
    uint64_t each =
        mr_offload_views(&c->work) * sizeof(struct mr_batch_message) + sizeof(uint64_t) + 16 +
        c->work.n_models * sizeof(struct mr_bayes_sums) +
        (mr_offload_patterns(&c->work) ? MR_MATCHES_EACH * sizeof(struct mr_regex_match) : 0);

    return c->n_slots * (c->bytes_max + c->messages_max * each);
}

void mr_offload_sum(struct mr_offload_counters *sum, const struct mr_offload_counters *counters)
{
    uint64_t *to = (uint64_t *)(void *)sum;
    const uint64_t *from = (const uint64_t *)(const void *)counters;
    uint64_t age = sum->age_max_ns > counters->age_max_ns ? sum->age_max_ns : counters->age_max_ns;

    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
    sum->age_max_ns = age;
}
