/* A worker: its own deque first, then fresh bursts, then other workers' deques, then sleep. */
#include "runtime/internal.h"

#include "packet/clock.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SPINS
#define SPINS 300 /* pauses without work before a worker sleeps: another may want its core */
#endif
#define PATIENCE      (SPINS / 2) /* pauses until more bursts are taken in than a few */
#define MOST_PAUSES   32          /* between two rounds without work */
#define MOST_BURSTS   4           /* in one intake turn ... */
#define MOST_STRAIGHT 16      /* ... or so many small ones that take the straight way together */
#define SLEEP_NS      1000000 /* at most; then it looks again ... */
#define DOUBLINGS     6       /* ... and sleeps twice as long, so often, where it will be woken */
#define LARGE_BURST   8       /* packets: its times are taken always ... */
#define MEASURED_EACH 16      /* ... and of smaller ones in a row so many times less */
#define EMPTY_READS   64      /* bursts without a packet before the turn is given up */

#define TOKEN_CHUNKS  4       /* of memory that a token may want, or one a worker ... */
#define BROUGHT_BYTES 4500ull /* ... and for each packet: buffers double when they grow */

static uint64_t next_random(struct mr_worker *worker)
{
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    return worker->random;
}

void mr_worker_maybe_yield(struct mr_worker *worker)
{
    if (!worker->runtime->config.yield_seed)
        return;
    uint64_t r = next_random(worker);
    if (!(r & 7))
        sched_yield();
    if (!(r & 0x3ff)) {
        struct timespec nap = {.tv_nsec = (long)(r >> 10 & 0xffff)};
        nanosleep(&nap, NULL);
    }
}

void mr_runtime_wake(struct mr_runtime *runtime, bool all)
{
    if (!atomic_load_explicit(&runtime->sleepers, memory_order_seq_cst))
        return;
    atomic_fetch_add_explicit(&runtime->epoch, 1, memory_order_seq_cst);
    syscall(SYS_futex, &runtime->epoch, FUTEX_WAKE_PRIVATE, all ? INT32_MAX : 1, NULL, NULL, 0);
}

void mr_runtime_notify(struct mr_runtime *runtime)
{
    /* an access that writes: who announces a sleep after it sees what the source has */
    if (atomic_fetch_add_explicit(&runtime->sleepers, 0, memory_order_seq_cst))
        mr_runtime_wake(runtime, false);
}

void mr_worker_push(struct mr_worker *worker, struct mr_task *task)
{
    /* never refused: the deque holds every lane and all batches that may be queued */
    (void)mr_deque_push_owner(&worker->deque, task);
    if (mr_runtime_cheap(worker->runtime))
        return; /* who sleeps looks again soon enough */
    if (!mr_runtime_quiet(worker->runtime) || mr_deque_size_any(&worker->deque) > 1)
        mr_runtime_wake(worker->runtime, false);
}

static void run_task(struct mr_worker *worker, struct mr_task *task, enum mr_batch_way way)
{
    mr_worker_maybe_yield(worker);
    worker->way = way;
    if (task->kind == MR_TASK_LANE)
        mr_phase_run_lane(worker, (struct mr_lane *)(void *)task);
    else if (task->kind == MR_TASK_GATE)
        mr_gate_run(worker, (struct mr_gate *)(void *)task);
    else
        mr_phase_run_batch(worker, (struct mr_batch *)(void *)task);
    worker->way = MR_WAY_TAKEN_IN;
}

static struct mr_task *steal(struct mr_worker *worker)
{
    struct mr_runtime *runtime = worker->runtime;
    uint32_t n = runtime->config.workers;

    if (n < 2)
        return NULL;
    uint32_t victim = (uint32_t)(next_random(worker) % n);
    for (uint32_t i = 0; i < n; i++, victim = (victim + 1) % n) {
        if (victim == worker->index)
            continue;
        struct mr_task *task = mr_deque_steal_any(&runtime->workers[victim].deque);
        if (!task && atomic_load_explicit(&runtime->workers[victim].mail, memory_order_relaxed)) {
            mr_worker_open_mail(worker, &runtime->workers[victim]);
            task = mr_deque_pop_owner(&worker->deque);
        }
        if (task) {
            mr_metrics_add(&worker->metrics, MR_COUNT_STEALS, 1);
            return task;
        }
    }
    mr_metrics_add(&worker->metrics, MR_COUNT_FAILED_STEALS, 1);
    return NULL;
}

/* Packet time is that of this packet, unless it came a little late. */
static void follow_time(struct mr_runtime *runtime, uint64_t time_ns)
{
    uint64_t last_ns = runtime->last_time_ns;

    if (last_ns > time_ns && last_ns - time_ns <= MR_CLOCK_BACK_NS)
        return;
    if (time_ns < last_ns) /* the clock was ahead, or another capture begins */
        runtime->second = time_ns < 1000000000u ? 0 : time_ns / 1000000000u - 1;
    runtime->last_time_ns = time_ns;
}

/* Most packets: passes over those that come one after the other within a second and an epoch;
 * returns the first that does not, or the burst's end. */
static uint32_t pass_usual(struct mr_runtime *runtime, const struct mr_token *token, uint32_t i)
{
    uint64_t last_ns = runtime->last_time_ns, end_ns = (runtime->second + 1) * 1000000000u;
    uint64_t last = runtime->last_packet;
    uint32_t shift = runtime->caps.epoch_shift, epoch = runtime->context_epoch;

    for (; i < token->burst.n && last_ns; i++) {
        const struct mr_packet *packet = &token->burst.packets[i];
        if (packet->time_ns < last_ns || packet->time_ns >= end_ns || packet->number <= last ||
            mr_context_epoch(shift, packet->number) != epoch)
            break;
        last_ns = packet->time_ns;
        last = packet->number;
    }
    runtime->last_time_ns = last_ns;
    runtime->last_packet = last;
    return i;
}

/* Where packet time passes a second within the burst, or an epoch ends. */
static void find_ticks(struct mr_worker *worker, struct mr_token *token)
{
    struct mr_runtime *runtime = worker->runtime;

    token->n_ticks = 0;
    for (uint32_t i = pass_usual(runtime, token, 0); i < token->burst.n;
         i = pass_usual(runtime, token, i + 1)) {
        const struct mr_packet *packet = &token->burst.packets[i];
        uint64_t second = packet->time_ns / 1000000000u;
        if (packet->number > runtime->last_packet)
            runtime->last_packet = packet->number;
        uint32_t epoch = mr_context_epoch(runtime->caps.epoch_shift, packet->number);
        struct mr_tick tick = {.position = i,
                               .epoch = epoch != runtime->context_epoch,
                               .time_ns = runtime->last_time_ns,
                               .number = packet->number};
        runtime->context_epoch = epoch;
        if (!(packet->flags & MR_PACKET_STRAY_TIME)) {
            follow_time(runtime, packet->time_ns);
            tick.second = second > runtime->second;
            if (tick.second) {
                runtime->second = second;
                tick.time_ns = packet->time_ns;
            }
        }
        if (tick.second || tick.epoch)
            token->ticks[token->n_ticks++] = tick;
    }
    if (token->clock_ns > runtime->last_time_ns)
        runtime->last_time_ns = token->clock_ns;
    if (token->clock_ns / 1000000000u > runtime->second) { /* before the packet that comes next */
        runtime->second = token->clock_ns / 1000000000u;
        token->ticks[token->n_ticks++] = (struct mr_tick){.position = token->burst.n,
                                                          .second = true,
                                                          .time_ns = token->clock_ns,
                                                          .number = runtime->last_packet + 1};
    }
    token->end_ns = runtime->last_time_ns;
    token->end_number = runtime->last_packet;
}

/* A clock costs as much as a whole tuple: of trains of small bursts that follow each other at once
 * some are measured, and stand for the others. */
static bool is_measured(struct mr_worker *worker, const struct mr_token *first)
{
    if (first->burst.n >= LARGE_BURST || worker->runtime->config.workers > 1)
        return true;
    if (worker->unmeasured_left--)
        return false;
    worker->unmeasured_left = MEASURED_EACH - 1;
    return true;
}

/* What is there at the moment, packets or not. False: nothing, and nothing will come any more. */
static bool read_burst(struct mr_worker *worker, struct mr_token *token)
{
    struct mr_runtime *runtime = worker->runtime;
    const struct mr_runtime_hooks *hooks = &runtime->config.hooks;
    enum mr_status status = MR_OK;

    for (uint32_t i = 0; i < EMPTY_READS && !status && !token->burst.n && !token->clock_ns; i++) {
        bool stop = atomic_load_explicit(&runtime->stop, memory_order_relaxed);
        status = stop ? MR_EOF : hooks->intake(hooks->user, &worker->metrics, token);
    }
    if (status != MR_EOF)
        return true;
    atomic_store_explicit(&runtime->input_over, MR_INPUT_OVER, memory_order_relaxed);
    return token->burst.n || token->clock_ns;
}

/* The token closes contexts. False: others are under way; it begins when they are done, so that
 * memory is there, and nobody works in a lane. */
static bool take_closing(struct mr_runtime *runtime, struct mr_token *token)
{
    bool over = atomic_load_explicit(&runtime->input_over, memory_order_relaxed);

    if (atomic_load_explicit(&runtime->in_flight_now, memory_order_acquire) > 1)
        return false;
    token->closing = over ? NULL : runtime->closing;
    if (!mr_closing_next(runtime, token))
        return true;
    token->last = over;
    if (over)
        atomic_store_explicit(&runtime->input_over, MR_INPUT_CLOSED, memory_order_relaxed);
    else
        atomic_store_explicit(&runtime->hold, MR_HOLD_DRAIN, memory_order_release);
    return true;
}

/* In the intake turn: a burst with its token, or NULL. */
static struct mr_token *take_in(struct mr_worker *worker, uint32_t limit, bool alone)
{
    struct mr_runtime *runtime = worker->runtime;
    struct mr_token *token;

    uint32_t input = atomic_load_explicit(&runtime->input_over, memory_order_relaxed);
    uint32_t hold = atomic_load_explicit(&runtime->hold, memory_order_acquire);
    if (input == MR_INPUT_CLOSED || (input == MR_INPUT_OPEN && hold == MR_HOLD_DRAIN))
        return NULL;
    token = mr_runtime_token_get(runtime, worker->index, limit, alone);
    if (!token)
        return NULL;
    token->closing = NULL;
    token->burst.n = token->burst.n_mbufs = 0;
    token->bytes = 0;
    token->last = token->closes = false;
    token->clock_ns = token->arrived_ticks = 0;
    bool closes = input == MR_INPUT_OVER || hold == MR_HOLD_CLOSE || !read_burst(worker, token);
    if (closes ? !take_closing(runtime, token) : !token->burst.n && !token->clock_ns) {
        mr_runtime_token_put(runtime, token, alone);
        return NULL;
    }
    token->number = runtime->next_number++;
    if (!token->closes) /* whose time is not in the account */
        mr_runtime_judge(runtime);
    find_ticks(worker, token);
    mr_metrics_add(&worker->metrics, MR_COUNT_TOKENS, 1);
    mr_metrics_add(&worker->metrics, MR_COUNT_PACKETS_PROCESSED, token->burst.n);
    mr_metrics_add(&worker->metrics, MR_COUNT_BYTES_PROCESSED, token->bytes);
    return token;
}

/* Of memory that a token may want while it lives, or leave behind for longer. */
static uint64_t token_bytes(const struct mr_runtime *runtime)
{
    uint64_t workers = runtime->config.workers;

    return (workers > TOKEN_CHUNKS ? workers : TOKEN_CHUNKS) * MR_CHUNK_BYTES +
           runtime->config.burst * BROUGHT_BYTES;
}

/* What was taken in in one turn: a train of tokens that take the straight way together, and tokens
 * that do not. */
struct taken {
    struct mr_token *tokens[MOST_STRAIGHT];
    uint32_t n, straight; /* of all, and of the train, which comes first */
    uint32_t rows;        /* packets of the train */
    uint64_t started;     /* ticks; 0: the train is not measured */
};

/* May the token that was taken in last join the train, or begin one? */
static bool joins(struct mr_runtime *runtime, const struct taken *taken,
                  const struct mr_token *token)
{
    return taken->straight == taken->n - 1 &&
           (!taken->straight || taken->rows + token->burst.n <= MR_BURST_USUAL) &&
           mr_phase_is_straight(runtime, token, taken->n) &&
           (taken->straight || mr_gates_take(runtime));
}

/* How many tokens may be taken in a row now. What was read ahead is taken by who has read it, more
 * than one burst or not. */
static uint32_t most_in_a_row(const struct mr_runtime *runtime, const struct taken *taken)
{
    uint32_t burst = runtime->config.burst;

    if (taken->straight)
        return taken->straight < taken->n || taken->rows + burst > MR_BURST_USUAL ? 0
                                                                                  : MOST_STRAIGHT;
    return runtime->config.hooks.ahead ? MOST_BURSTS : 1;
}

/* At least one burst, if there is one, and more as long as they are full: behind another one there
 * is nothing to be had. `room`: so many tokens memory has room for. */
static void take_some_in(struct mr_worker *worker, uint32_t limit, uint32_t room,
                         struct taken *taken)
{
    struct mr_runtime *runtime = worker->runtime;
    uint32_t tokens = runtime->config.tokens;
    struct mr_token *token;

    do {
        token = take_in(worker, limit, runtime->config.workers == 1 || taken->straight);
        if (!token)
            return;
        taken->tokens[taken->n++] = token;
        bool straight = joins(runtime, taken, token);
        if (straight && !taken->straight) {
            limit = room < tokens ? room : tokens; /* they are soon gone */
            taken->started = is_measured(worker, token) ? mr_ticks_now(&runtime->ticks) : 0;
        }
        taken->straight += straight;
        taken->rows += straight ? token->burst.n : 0;
        token->admitted_ticks = straight ? taken->started : mr_ticks_now(&runtime->ticks);
        if (!token->arrived_ticks)
            token->arrived_ticks = token->admitted_ticks;
    } while (token->burst.n == runtime->config.burst && taken->n < most_in_a_row(runtime, taken));
}

/* Takes a burst in, if it is nobody else's turn and fewer than `limit` tokens are under way.
 * `help`: also of what another worker has prepared. */
static bool intake(struct mr_worker *worker, uint32_t limit, bool help)
{
    struct mr_runtime *runtime = worker->runtime;
    const struct mr_runtime_hooks *hooks = &runtime->config.hooks;

    if (mr_runtime_cheap(runtime))
        limit = 1;
    /* what is under way wants memory: better packets wait than that results are lost */
    uint32_t room = mr_buffers_room(runtime->config.buffers, token_bytes(runtime));
    limit = room < limit ? room : limit;
    uint32_t input = atomic_load_explicit(&runtime->input_over, memory_order_relaxed);
    limit = input == MR_INPUT_OVER ? 1 : limit;
    if (atomic_load_explicit(&runtime->in_flight_now, memory_order_relaxed) >= limit ||
        input == MR_INPUT_CLOSED ||
        (!input && hooks->ahead && !hooks->ahead(hooks->user, worker->index, help)) ||
        /* looked at before it is tried for: many who try would keep it from who has it */
        atomic_load_explicit(&runtime->intake_turn, memory_order_relaxed) ||
        (runtime->config.workers > 1 &&
         atomic_exchange_explicit(&runtime->intake_turn, 1, memory_order_acquire)))
        return false;
    struct taken taken;
    taken.n = taken.straight = taken.rows = 0;
    take_some_in(worker, limit, room, &taken);
    if (taken.straight) {
        worker->measured = taken.started;
        worker->now = taken.started;
        mr_phase_straight(worker, taken.tokens, taken.straight, taken.rows);
    } else if (taken.n) {
        worker->now = taken.tokens[taken.n - 1]->admitted_ticks;
    }
    atomic_store_explicit(&runtime->intake_turn, 0, memory_order_release);
    for (uint32_t i = taken.straight; i < taken.n; i++)
        mr_phase_start(worker, taken.tokens[i]);
    return taken.n;
}

static bool any_work(struct mr_runtime *runtime)
{
    for (uint32_t i = 0; i < runtime->config.workers; i++)
        if (mr_deque_size_any(&runtime->workers[i].deque) ||
            atomic_load_explicit(&runtime->workers[i].mail, memory_order_seq_cst))
            return true;
    const struct mr_runtime_hooks *hooks = &runtime->config.hooks;
    if (hooks->device.ready && hooks->device.ready(hooks->user))
        return true;
    uint32_t limit = mr_runtime_cheap(runtime) ? 1 : runtime->config.window;
    if (hooks->ready && hooks->ready(hooks->user) &&
        atomic_load_explicit(&runtime->in_flight_now, memory_order_relaxed) < limit)
        return true;
    return atomic_load_explicit(&runtime->finished, memory_order_seq_cst) != 0;
}

/* True: nobody has woken it. */
static bool sleep_a_little(struct mr_worker *worker, uint32_t doublings)
{
    struct mr_runtime *runtime = worker->runtime;
    struct timespec at_most = {.tv_nsec = SLEEP_NS};
    bool slept = false;

    if (runtime->config.hooks.ready || mr_runtime_cheap(runtime))
        at_most.tv_nsec <<= doublings < DOUBLINGS ? doublings : DOUBLINGS;

    atomic_store_explicit(&worker->asleep, 1, memory_order_seq_cst);
    /* where but few tokens may be under way, everybody may wait for these */
    bool room = mr_worker_take_back(worker, worker);
    atomic_fetch_add_explicit(&runtime->sleepers, 1, memory_order_seq_cst);
    uint32_t epoch = atomic_load_explicit(&runtime->epoch, memory_order_seq_cst);
    if (!room && !any_work(runtime)) {
        mr_metrics_add(&worker->metrics, MR_COUNT_PARKS, 1);
        syscall(SYS_futex, &runtime->epoch, FUTEX_WAIT_PRIVATE, epoch, &at_most, NULL, 0);
        slept = atomic_load_explicit(&runtime->epoch, memory_order_relaxed) == epoch;
    }
    atomic_fetch_sub_explicit(&runtime->sleepers, 1, memory_order_seq_cst);
    atomic_store_explicit(&worker->asleep, 0, memory_order_relaxed);
    return slept;
}

/* One round: something done, or not. A burst of one's own is better than a stolen lane, whose
 * packets lie in another cache, as long as there is room for more bursts at all. But of many bursts
 * the packets leave the second-level cache before their lanes run: `patient`: but a few. Whom all
 * wait for may have lost its core to another program: who sleeps lends it his. */
static bool round_of_work(struct mr_worker *worker, bool patient)
{
    struct mr_runtime *runtime = worker->runtime;
    uint32_t window = patient ? runtime->config.few : runtime->config.window;
    struct mr_task *task = NULL;

    mr_worker_take_back(worker, worker);
    mr_worker_open_mail(worker, worker);
    if (mr_answers_take(worker)) {
        worker->now = 0;
        return true;
    }
    if (worker->oldest_first) {
        worker->oldest_first = false;
        if (intake(worker, window, true))
            return true;
        task = mr_deque_steal_any(&worker->deque);
    }
    if (!task)
        task = mr_deque_pop_owner(&worker->deque);
    if (task) {
        mr_metrics_add(&worker->metrics, MR_COUNT_LOCAL_RUNS, 1);
        run_task(worker, task, MR_WAY_LOCAL);
        return true;
    }
    worker->now = 0;
    if (intake(worker, window, false))
        return true;
    task = steal(worker);
    if (task) {
        run_task(worker, task, MR_WAY_STOLEN);
        return true;
    }
    return intake(worker, window, true);
}

/* Pauses, the longer the longer there has been nothing to do: who looks into others' deques all the
 * time takes their cache lines away. Gives the number of pauses. */
static uint32_t give_way(uint32_t idle)
{
    uint32_t n = idle < MOST_PAUSES ? 1 + idle / 2 : MOST_PAUSES;
    for (uint32_t i = 0; i < n; i++)
        __builtin_ia32_pause();
    return n;
}

void mr_worker_run(struct mr_worker *worker)
{
    struct mr_runtime *runtime = worker->runtime;
    const struct mr_runtime_hooks *hooks = &runtime->config.hooks;
    uint32_t idle = 0, spins = runtime->config.spins ? runtime->config.spins : SPINS;
    /* a source that does not wait, or a device, is not kept waiting */
    bool lends = !hooks->ready && !hooks->device.ready, slept = false;

    atomic_store_explicit(&worker->asleep, 0, memory_order_relaxed);
    while (!atomic_load_explicit(&runtime->finished, memory_order_acquire)) {
        if (atomic_load_explicit(&runtime->hold, memory_order_acquire) == MR_HOLD_DRAIN &&
            !atomic_load_explicit(&runtime->in_flight_now, memory_order_acquire)) {
            mr_phase_settle_measures(worker);
            mr_swap_park(runtime);
        }
        if (hooks->pulse)
            hooks->pulse(hooks->user, worker->index);
        worker->leaving = MR_LEAVING_STEPS;
        slept = slept && atomic_load_explicit(&runtime->in_flight_now, memory_order_relaxed) >=
                             runtime->config.few;
        if (round_of_work(worker, lends ? !slept : idle < PATIENCE)) {
            idle = 0;
            continue;
        }
        worker->unmeasured_left = 0; /* what comes now has not waited behind others */
        bool superfluous = mr_runtime_cheap(runtime) &&
                           atomic_load_explicit(&runtime->in_flight_now, memory_order_relaxed);
        if (idle < spins && superfluous)
            idle = spins;
        if (idle < spins) {
            idle += give_way(idle);
        } else {
            slept = sleep_a_little(worker, idle++ - spins) || slept;
        }
    }
    atomic_store_explicit(&worker->asleep, 1, memory_order_seq_cst);
    mr_worker_take_back(worker, worker);
    mr_phase_settle_measures(worker);
    mr_buffers_put(runtime->config.buffers, worker->exec.spare);
    worker->exec.spare = NULL;
}
