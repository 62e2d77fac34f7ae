/* The thread that alone talks to the back end: it gives it closed batches, looks for those that are
 * done, closes batches that get too old, and opens a device that has failed anew. Where the device
 * does not do its part a batch is done all the same: all its messages are marked to be redone. */
#include "offload/slots.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define POLL_NS      20000u /* between looks at batches under way */
#define IDLE_NS      50000000u
#define SAY_AGAIN_NS 10000000000u
#define LOOK_NS      1000000000u /* between looks of the guard */
#define RETRIES_LOG2 4           /* how often the time between retries doubles */

static bool every(uint32_t n, uint64_t count)
{
    return n && count % n == 0;
}

static void say(const struct mr_offload *o, const char *what, const char *why)
{
    char line[MR_ERROR_TEXT_BYTES + 128];

    if (!o->config.log)
        return;
    snprintf(line, sizeof line, "%s: %s", what, why);
    o->config.log(o->config.context, line);
}

/* ---- the back end, with faults made on purpose ---- */

static enum mr_status fault(struct mr_error *error, const char *what)
{
    return mr_fail(error, MR_ERR_START, "device: %s (on purpose)", what);
}

void mr_slots_close(struct mr_offload *o)
{
    for (uint32_t i = 0; o->slots && o->state && i < o->config.n_slots; i++) {
        if (o->slots[i].batch)
            o->config.backend->batch_free(o->state, o->slots[i].batch);
        o->slots[i].batch = NULL;
        o->slots[i].running = false;
    }
    if (o->state)
        o->config.backend->close(o->state);
    o->state = NULL;
}

enum mr_status mr_slots_open(struct mr_offload *o, struct mr_error *error)
{
    struct mr_backend_config config = {o->config.work, o->config.bytes_max, o->config.messages_max,
                                       MR_MATCHES_EACH, 0};
    if (every(o->config.faults.hang, o->n_opens + 1))
        mr_call_hang();
    enum mr_status status = every(o->config.faults.open, ++o->n_opens)
                                ? fault(error, "no memory")
                                : o->config.backend->open(&config, &o->state, error);

    for (uint32_t i = 0; !status && i < o->config.n_slots; i++)
        status = o->config.backend->batch_new(o->state, &o->slots[i].batch, error);
    if (status)
        mr_slots_close(o);
    o->lost = false;
    return status;
}

static enum mr_status submit(struct mr_offload *o, struct mr_slot *slot, struct mr_error *error)
{
    uint64_t n = ++o->n_submits;

    slot->late_until_ns =
        every(o->config.faults.late, n) ? slot->closed_ns + 2 * o->config.late_ns : 0;
    if (every(o->config.faults.stuck, n))
        slot->late_until_ns = UINT64_MAX;
    /* who is no device has nobody to see it */
    if (o->config.backend->abandon && every(o->config.faults.block, n))
        mr_call_hang();
    if (o->lost)
        return fault(error, "it is lost");
    if (every(o->config.faults.launch, n))
        return fault(error, "a batch cannot be started");
    return o->config.backend->submit(o->state, slot->batch, error);
}

static void make_wrong(const struct mr_offload *o, struct mr_offload_batch *batch)
{
    if (batch->n_matches)
        batch->n_matches--;
    for (uint32_t i = 0; i < o->config.work.n_models && batch->n_messages; i++)
        ((struct mr_bayes_sums *)(uintptr_t)mr_batch_sums(batch, i, 0))->spam--;
}

/* One that is late on purpose is not done before it was given up, however late we come to look. */
static enum mr_status poll(struct mr_offload *o, struct mr_slot *slot, bool given_up,
                           struct mr_error *error)
{
    if (o->lost)
        return fault(error, "it is lost");
    if (slot->late_until_ns && (!given_up || mr_clock_ns() < slot->late_until_ns))
        return MR_AGAIN;
    enum mr_status status = o->config.backend->poll(o->state, slot->batch, error);
    if (status)
        return status;
    o->n_polls++;
    if (every(o->config.faults.lost, o->n_polls)) {
        o->lost = true;
        return fault(error, "it is lost");
    }
    if (every(o->config.faults.wrong, o->n_polls))
        make_wrong(o, slot->batch);
    return MR_OK;
}

/* ---- slots ---- */

void mr_slot_close(struct mr_offload *o, enum mr_close why, uint64_t now_ns)
{
    struct mr_slot *slot = o->filling;
    uint64_t age = now_ns > slot->opened_ns ? now_ns - slot->opened_ns : 0; /* read by others */

    o->filling = NULL;
    slot->state = MR_SLOT_CLOSED;
    atomic_fetch_or(&slot->writers, MR_SLOT_SEALED);
    slot->closed_ns = now_ns;
    slot->number = o->n_closed++;
    o->counters.closes[why]++;
    o->counters.age_ns += age;
    if (age > o->counters.age_max_ns)
        o->counters.age_max_ns = age;
    pthread_cond_signal(&o->work);
}

static void done(struct mr_offload *o, struct mr_slot *slot)
{
    slot->state = MR_SLOT_DONE;
    atomic_fetch_add(&o->n_done, 1);
    pthread_cond_broadcast(&o->done);
    if (o->config.done)
        o->config.done(o->config.context);
}

static void fall(struct mr_offload *o, struct mr_slot *slot, enum mr_fall why)
{
    memset(slot->batch->redo, MR_REDO_ALL, slot->batch->n_messages);
    slot->batch->n_matches = 0;
    o->counters.falls[why] += slot->batch->n_messages;
    done(o, slot);
}

/* Something of the message is to be done anew. */
static bool overflowed(const struct mr_offload *o, const struct mr_offload_batch *batch,
                       uint32_t message)
{
    bool any = batch->redo[message] != 0;

    for (uint32_t i = 0; i < o->config.work.n_models; i++)
        any |= mr_batch_sums(batch, i, message)->n_known == MR_BAYES_NONE;
    return any;
}

static void succeed(struct mr_offload *o, struct mr_slot *slot, uint64_t now)
{
    const struct mr_offload_batch *batch = slot->batch;
    uint64_t turn = now - slot->closed_ns;

    for (uint32_t m = 0; m < batch->n_messages; m++)
        o->counters.falls[MR_FALL_OVERFLOW] += overflowed(o, batch, m);
    o->counters.turn_ns += turn;
    o->counters.device_ns += batch->device_ns;
    o->counters.kernels_ns += batch->kernels_ns;
    o->turn_ns = (o->turn_ns * 7 + turn) / 8;
    done(o, slot);
}

/* The device has failed: what is there falls back, and it is opened anew in a while. */
static void go_down(struct mr_offload *o, enum mr_trouble what, const struct mr_error *error,
                    uint64_t now)
{
    if (!o->down)
        say(o, "the device is given up for now, the CPU goes on", error->text);
    else if (what == MR_TROUBLE_OPEN && !o->said_open)
        say(o, "the device cannot be used again yet", error->text);
    o->said_open = o->down && what == MR_TROUBLE_OPEN;
    o->counters.troubles[what]++;
    o->down = true;
    o->retry_at_ns = now + o->retry_ns;
    if (o->retry_ns < o->config.retry_ns << RETRIES_LOG2)
        o->retry_ns *= 2;
    if (o->filling)
        mr_slot_close(o, MR_CLOSE_FLUSH, now);
}

void mr_slots_fail(struct mr_offload *o, const struct mr_error *error)
{
    go_down(o, MR_TROUBLE_OPEN, error, mr_clock_ns());
}

/* The device may still be at it. */
static void be_late(struct mr_offload *o, struct mr_slot *slot, uint64_t now)
{
    if (!o->counters.troubles[MR_TROUBLE_LATE] || now - o->said_late_ns > SAY_AGAIN_NS) {
        say(o, "a batch is late, the CPU does it", "the device has not answered in time");
        o->said_late_ns = now;
    }
    o->counters.troubles[MR_TROUBLE_LATE]++;
    fall(o, slot, MR_FALL_LATE);
}

static void lend(struct mr_offload *o)
{
    o->lent = true;
    o->lent_ns = mr_clock_ns();
}

static void give_back(struct mr_offload *o)
{
    o->lent = false;
    if (o->stop)
        pthread_cond_broadcast(&o->done);
}

/* When the last of its batches is back its memory can go. */
static void try_again(struct mr_offload *o, uint64_t now)
{
    struct mr_error error = {0};

    if (now < o->retry_at_ns)
        return;
    for (uint32_t i = 0; i < o->config.n_slots; i++)
        if (o->slots[i].state != MR_SLOT_FREE && o->slots[i].state != MR_SLOT_ABANDONED)
            return;
    lend(o);
    pthread_mutex_unlock(&o->lock); /* nobody gets a slot while it is down */
    mr_slots_close(o);
    enum mr_status status = mr_slots_open(o, &error);
    pthread_mutex_lock(&o->lock);
    give_back(o);
    if (status) {
        go_down(o, MR_TROUBLE_OPEN, &error, mr_clock_ns());
        return;
    }
    for (uint32_t i = 0; i < o->config.n_slots; i++)
        o->slots[i].state = MR_SLOT_FREE;
    o->down = false;
    o->retry_ns = o->config.retry_ns;
    o->counters.reopened++;
    say(o, "the device is in use again", o->config.backend->name);
}

/* Who has nothing under way learns here that others have broken the device: until all have closed
 * it nobody can open it again. */
static void look_at_others(struct mr_offload *o, uint64_t now)
{
    const struct mr_backend *backend = o->config.backend;
    struct mr_error error = {0};

    if (o->down || !backend->is_broken || !backend->is_broken(o->state))
        return;
    (void)mr_fail(&error, MR_ERR_START, "device %s: it has failed with another batch",
                  backend->name);
    go_down(o, MR_TROUBLE_LOST, &error, now);
}

/* ---- rounds ---- */

static struct mr_slot *next_closed(struct mr_offload *o)
{
    struct mr_slot *next = NULL;

    for (uint32_t i = 0; i < o->config.n_slots; i++) {
        struct mr_slot *slot = &o->slots[i];
        if (slot->state == MR_SLOT_CLOSED && atomic_load(&slot->writers) == MR_SLOT_SEALED &&
            (!next || slot->number < next->number))
            next = slot;
    }
    return next;
}

static void start_closed(struct mr_offload *o)
{
    struct mr_slot *slot;
    struct mr_error error = {0};

    while ((slot = next_closed(o)) != NULL) {
        if (o->down || o->stop) {
            fall(o, slot, MR_FALL_DOWN);
            continue;
        }
        slot->state = MR_SLOT_RUNNING;
        slot->running = true;
        lend(o);
        pthread_mutex_unlock(&o->lock);
        enum mr_status status = submit(o, slot, &error);
        pthread_mutex_lock(&o->lock);
        give_back(o);
        if (status) {
            go_down(o, MR_TROUBLE_LAUNCH, &error, mr_clock_ns());
            fall(o, slot, MR_FALL_FAILED);
            continue;
        }
        o->counters.batches++;
        o->counters.messages += slot->batch->n_messages;
        o->counters.bytes += slot->batch->n_bytes;
        o->counters.fill_bytes += o->config.bytes_max;
    }
}

/* One slot that the device has, or may still have. */
static void look_at(struct mr_offload *o, struct mr_slot *slot)
{
    bool abandoned = slot->state == MR_SLOT_ABANDONED;
    struct mr_error error = {0};

    if (o->down) {
        if (!abandoned)
            fall(o, slot, MR_FALL_FAILED);
        return;
    }
    pthread_mutex_unlock(&o->lock);
    enum mr_status status = poll(o, slot, abandoned, &error);
    uint64_t now = mr_clock_ns();
    pthread_mutex_lock(&o->lock);
    if (status == MR_AGAIN) {
        if (!abandoned && now - slot->closed_ns > o->config.late_ns)
            be_late(o, slot, now);
        return;
    }
    if (status) {
        go_down(o, MR_TROUBLE_LOST, &error, now);
        if (!abandoned)
            fall(o, slot, MR_FALL_FAILED);
        return;
    }
    slot->running = false;
    if (abandoned)
        slot->state = MR_SLOT_FREE;
    else
        succeed(o, slot, now);
}

/* Looks at all; whether some are still under way. */
static bool look(struct mr_offload *o)
{
    bool any = false;

    for (uint32_t i = 0; i < o->config.n_slots; i++) {
        struct mr_slot *slot = &o->slots[i];
        if (slot->state == MR_SLOT_RUNNING || slot->state == MR_SLOT_ABANDONED) {
            look_at(o, slot);
            any |= slot->state == MR_SLOT_RUNNING || slot->state == MR_SLOT_ABANDONED;
        }
    }
    /* one of them has broken the device: those before it fall back now and not at the next look */
    for (uint32_t i = 0; o->down && i < o->config.n_slots; i++)
        if (o->slots[i].state == MR_SLOT_RUNNING)
            fall(o, &o->slots[i], MR_FALL_FAILED);
    return any && !o->down;
}

/* When the batch being filled must go, to be back in time. */
static uint64_t must_close_at(const struct mr_offload *o)
{
    uint64_t half = o->config.deadline_ns / 2;

    return o->filling->opened_ns + o->config.deadline_ns - (o->turn_ns < half ? o->turn_ns : half);
}

static void sleep_until(struct mr_offload *o, uint64_t until)
{
    struct timespec at = {(time_t)(until / 1000000000), (long)(until % 1000000000)};

    pthread_cond_timedwait(&o->work, &o->lock, &at);
}

/* At the end: the device is at nothing any more. What nobody has taken will not be taken. */
static bool idle(struct mr_offload *o)
{
    bool all = true;

    for (uint32_t i = 0; i < o->config.n_slots; i++) {
        if (o->slots[i].state == MR_SLOT_DONE && o->slots[i].running)
            o->slots[i].state = MR_SLOT_ABANDONED;
        all &= !o->slots[i].running && o->slots[i].state != MR_SLOT_CLOSED;
    }
    return all;
}

/* ---- without the thread ---- */

static void leave_thread(struct mr_offload *o, uint64_t now)
{
    o->hangs = true;
    if (o->config.backend->abandon)
        mr_devices_forsake();
    say(o, "it does not answer and is given up, the CPU goes on", "a call has not come back");
    o->counters.troubles[MR_TROUBLE_LATE]++;
    o->down = true;
    if (o->filling)
        mr_slot_close(o, MR_CLOSE_FLUSH, now);
}

void *mr_guard_thread(void *memory)
{
    struct mr_offload *o = memory;

    pthread_mutex_lock(&o->lock);
    while (!o->closing) {
        uint64_t now = mr_clock_ns(), next = now + LOOK_NS;
        struct timespec at = {(time_t)(next / 1000000000), (long)(next % 1000000000)};
        if (!o->hangs && mr_call_leave(&o->calls, mr_offload_call_ns(o) / LOOK_NS))
            leave_thread(o, now);
        for (uint32_t i = 0; o->hangs && i < o->config.n_slots; i++)
            if (o->slots[i].state == MR_SLOT_RUNNING ||
                (o->slots[i].state == MR_SLOT_CLOSED &&
                 atomic_load(&o->slots[i].writers) == MR_SLOT_SEALED))
                fall(o, &o->slots[i], MR_FALL_LATE);
        pthread_cond_timedwait(&o->closes, &o->lock, &at);
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* ---- the thread ---- */

void *mr_submit_thread(void *memory)
{
    struct mr_offload *o = memory;

    mr_calls_watch(&o->calls);
    (void)prctl(PR_SET_TIMERSLACK, 1000ul); /* or looks are twice as far apart as they are to be */
    pthread_mutex_lock(&o->lock);
    while (!o->stop || (!o->down && !idle(o) && mr_clock_ns() < o->stop_by_ns)) {
        uint64_t now = mr_clock_ns();
        if (o->filling && (o->stop || now >= must_close_at(o)))
            mr_slot_close(o, o->stop ? MR_CLOSE_FLUSH : MR_CLOSE_AGE, now);
        look_at_others(o, now);
        start_closed(o);
        bool under_way = look(o);
        if (o->down && !o->stop)
            try_again(o, now);
        uint64_t until = now + (under_way ? POLL_NS : IDLE_NS);
        if (o->filling && must_close_at(o) < until)
            until = must_close_at(o);
        if (o->down && o->retry_at_ns > now && o->retry_at_ns < until)
            until = o->retry_at_ns;
        if (!next_closed(o))
            sleep_until(o, until);
    }
    o->ended = true;
    pthread_cond_broadcast(&o->done);
    pthread_mutex_unlock(&o->lock);
    return NULL;
}
