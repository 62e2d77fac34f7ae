/* Asking devices about rows, waiting for them, and handing their answers to functions. */
#include "runtime/answers.h"

#include "runtime/internal.h"

#include <string.h>

#define SITES_MAX 64 /* of a plan; further ones stay on the CPU */

/* ---- asking ---- */

/* The bytes of a row, as its functions will see them. */
static union mr_value bytes_of(const struct mr_plan_site *site, const struct mr_tuples *tuples,
                               uint32_t row)
{
    union mr_value value = tuples->columns[site->column][row];

    if (site->stream) {
        const struct mr_chunk *chunk = value.b.ptr;
        return mr_value_bytes(chunk->data, chunk->len);
    }
    return value;
}

static bool is_of(const struct mr_plan_site *site, const struct mr_tuples *tuples)
{
    for (uint32_t i = 0; i < site->n_predicates; i++)
        if (site->predicates[i] == tuples->predicate)
            return tuples->columns[site->column] != NULL;
    return false;
}

/* Rows of the site in a list of batches, and their bytes. */
static uint64_t measure(const struct mr_plan_site *site, const struct mr_tuples *tuples,
                        uint32_t *rows)
{
    uint64_t bytes = 0;

    for (*rows = 0; tuples; tuples = tuples->next) {
        if (!is_of(site, tuples))
            continue;
        *rows += tuples->n;
        for (uint32_t row = 0; row < tuples->n; row++)
            bytes += bytes_of(site, tuples, row).b.len;
    }
    return bytes;
}

/* The first site of the group stands for all. */
static uint32_t site_in(const struct mr_plan *plan, uint32_t group)
{
    uint32_t i = 0;

    while (i < plan->n_sites && plan->sites[i].group != group)
        i++;
    return i;
}

uint64_t mr_answers_search(struct mr_worker *worker, uint32_t group, const struct mr_tuples *tuples)
{
    const struct mr_runtime_hooks *hooks = &worker->runtime->config.hooks;
    const struct mr_plan *plan = worker->runtime->config.plan;
    uint64_t bytes = 0;
    uint32_t rows;

    for (uint32_t i = 0; i < plan->n_sites; i++)
        if (plan->sites[i].group == group)
            bytes += measure(&plan->sites[i], tuples, &rows);
    hooks->device.searched(hooks->user, site_in(plan, group), bytes, 0);
    return bytes;
}

void mr_answers_searched(struct mr_worker *worker, uint32_t group, uint64_t bytes, uint64_t ticks)
{
    const struct mr_runtime *runtime = worker->runtime;
    const struct mr_runtime_hooks *hooks = &runtime->config.hooks;
    double ns = (double)ticks * mr_ticks_length_ns(&runtime->ticks);

    hooks->device.searched(hooks->user, site_in(runtime->config.plan, group), bytes,
                           (uint64_t)ns + 1);
}

struct mr_call mr_answers_call(struct mr_worker *worker, uint32_t site, uint32_t call)
{
    const struct mr_op *op = worker->runtime->config.plan->sites[site].calls[call];

    return (struct mr_call){.function = op->function,
                            .config = op->config,
                            .thread = worker->exec.bindings[op->binding].thread,
                            .n_args = op->n_args,
                            .runtime = &worker->exec};
}

/* The place of a row in the index: where it is, or where it would be. */
static uint32_t *place_of(const struct mr_asked_batch *asked, uint32_t site, union mr_value bytes)
{
    uint64_t key = ((uint64_t)(uintptr_t)bytes.b.ptr ^ bytes.b.len ^ (uint64_t)site << 56);
    uint32_t at = (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) & asked->mask;

    for (;; at = (at + 1) & asked->mask) {
        uint32_t *place = &asked->index[at];
        const struct mr_asked *row = &asked->rows[*place - 1];
        if (!*place || (row->ptr == bytes.b.ptr && row->len == bytes.b.len && row->site == site))
            return place;
    }
}

/* Rows on their way to the device. */
struct asking {
    struct mr_asked_batch *asked;
    struct mr_device_row rows[MR_DEVICE_ROWS];
    uint32_t site, n, taken;
};

static void send(struct mr_worker *worker, struct asking *a)
{
    const struct mr_runtime_hooks *hooks = &worker->runtime->config.hooks;

    if (!a->n)
        return;
    atomic_fetch_add_explicit(&a->asked->awaited, a->n, memory_order_relaxed);
    uint32_t taken = (uint32_t)__builtin_popcount(
        hooks->device.add(hooks->user, worker, a->site, a->rows, a->n));
    atomic_fetch_sub_explicit(&a->asked->awaited, a->n - taken, memory_order_relaxed);
    a->taken += taken;
    a->n = 0;
}

static void ask_row(struct mr_worker *worker, struct asking *a, struct mr_asked_call *calls,
                    union mr_value bytes)
{
    struct mr_asked_batch *asked = a->asked;
    uint32_t *place = place_of(asked, a->site, bytes);

    if (*place) /* a fork hands the same bytes to several */
        return;
    struct mr_asked *row = &asked->rows[asked->n];
    *place = ++asked->n;
    *row = (struct mr_asked){
        .batch = asked, .ptr = bytes.b.ptr, .len = bytes.b.len, .site = a->site, .calls = calls};
    for (uint32_t c = 0; c < worker->runtime->config.plan->sites[a->site].n_calls; c++)
        calls[c] = (struct mr_asked_call){.capacity = MR_ANSWER_WORDS};
    a->rows[a->n++] = (struct mr_device_row){row->ptr, row->len, (uintptr_t)row};
    if (a->n == MR_DEVICE_ROWS)
        send(worker, a);
}

/* Returns how many were taken; those that were not have no answer. */
static uint32_t ask_site(struct mr_worker *worker, struct mr_asked_batch *asked, uint32_t site,
                         const struct mr_tuples *tuples)
{
    const struct mr_plan_site *s = &worker->runtime->config.plan->sites[site];
    struct asking a;

    a.asked = asked;
    a.site = site;
    a.n = a.taken = 0;
    for (const struct mr_tuples *t = tuples; t; t = t->next) {
        if (!is_of(s, t))
            continue;
        struct mr_asked_call *calls =
            mr_exec_alloc(&worker->exec, (size_t)t->n * s->n_calls * sizeof *calls);
        for (uint32_t row = 0; calls && row < t->n; row++)
            ask_row(worker, &a, &calls[(size_t)row * s->n_calls], bytes_of(s, t, row));
    }
    send(worker, &a);
    return a.taken;
}

/* The sites of the group that want to go to the device, as bits; *n: rows that may. */
static uint64_t wanted_sites(struct mr_worker *worker, const struct mr_token *token, uint32_t group,
                             const struct mr_tuples *tuples, uint32_t *n)
{
    const struct mr_runtime *runtime = worker->runtime;
    const struct mr_runtime_hooks *hooks = &runtime->config.hooks;
    const struct mr_plan *plan = runtime->config.plan;
    uint64_t wanted = 0, now = mr_ticks_now(&runtime->ticks);
    uint64_t waited = now > token->arrived_ticks ? now - token->arrived_ticks : 0;
    uint64_t waited_ns = (uint64_t)((double)waited * mr_ticks_length_ns(&runtime->ticks));
    uint32_t rows;

    *n = 0;
    for (uint32_t i = 0; i < plan->n_sites && i < SITES_MAX; i++) {
        if (plan->sites[i].group != group)
            continue;
        uint64_t bytes = measure(&plan->sites[i], tuples, &rows);
        if (!rows || !hooks->device.wanted(hooks->user, i, bytes, waited_ns))
            continue;
        wanted |= (uint64_t)1 << i;
        *n += rows;
    }
    return wanted;
}

static struct mr_asked_batch *asked_new(struct mr_worker *worker, uint32_t n)
{
    struct mr_exec *exec = &worker->exec;
    struct mr_asked_batch *asked =
        mr_exec_alloc(exec, sizeof *asked + (size_t)n * sizeof asked->rows[0]);
    struct mr_batch *batch = mr_exec_alloc(exec, sizeof *batch);
    uint32_t places = 4;

    while (places < 2 * n && places < 1u << 30)
        places *= 2;
    uint32_t *index = mr_exec_alloc(exec, (size_t)places * sizeof *index);
    if (!asked || !batch || !index)
        return NULL;
    memset(index, 0, (size_t)places * sizeof *index);
    *asked = (struct mr_asked_batch){.batch = batch, .mask = places - 1, .index = index};
    atomic_init(&asked->awaited, 1);
    return asked;
}

bool mr_answers_ask(struct mr_worker *worker, struct mr_token *token, uint32_t group,
                    struct mr_tuples *tuples, struct mr_asked_batch **answers)
{
    uint32_t n;
    uint64_t wanted = wanted_sites(worker, token, group, tuples, &n);
    struct mr_asked_batch *asked = wanted ? asked_new(worker, n) : NULL;

    *answers = NULL;
    if (!asked)
        return false;
    *asked->batch =
        (struct mr_batch){{.kind = MR_TASK_BATCH}, token, tuples, worker->now, group, asked};
    atomic_fetch_add_explicit(&token->pending, 1, memory_order_relaxed);
    uint32_t taken = 0;
    for (uint32_t i = 0; i < SITES_MAX && wanted >> i; i++)
        if (wanted >> i & 1)
            taken += ask_site(worker, asked, i, tuples);
    if (taken && atomic_fetch_sub_explicit(&asked->awaited, 1, memory_order_acq_rel) != 1)
        return true;
    atomic_fetch_sub_explicit(&token->pending, 1, memory_order_relaxed);
    if (taken) /* all are back already */
        *answers = asked;
    return false;
}

/* ---- taking ---- */

uint32_t *mr_answers_room(struct mr_worker *worker, struct mr_asked *asked, uint32_t call,
                          uint32_t n)
{
    struct mr_asked_call *c = &asked->calls[call];

    c->answer.words = c->words;
    if (n <= c->capacity)
        return c->words;
    mr_exec_enter(&worker->exec, asked->batch->batch->token);
    uint32_t *words = mr_exec_alloc(&worker->exec, n * sizeof *words);
    mr_exec_leave(&worker->exec);
    c->answer.words = words;
    return words;
}

void mr_answers_back(struct mr_worker *worker, struct mr_asked *asked)
{
    struct mr_asked_batch *batch = asked->batch;

    if (atomic_fetch_sub_explicit(&batch->awaited, 1, memory_order_acq_rel) != 1)
        return;
    batch->next = worker->answered;
    worker->answered = batch;
}

bool mr_answers_take(struct mr_worker *worker)
{
    const struct mr_runtime_hooks *hooks = &worker->runtime->config.hooks;

    if (!hooks->device.ready || !hooks->device.ready(hooks->user) ||
        !hooks->device.take(hooks->user, worker))
        return false;
    while (worker->answered) {
        struct mr_batch *batch = worker->answered->batch;
        worker->answered = worker->answered->next;
        if (mr_deque_size_any(&worker->deque) < MR_QUEUED_BATCHES)
            mr_worker_push(worker, &batch->task);
        else
            mr_phase_run_batch(worker, batch);
    }
    return true;
}

/* ---- telling functions ---- */

const struct mr_device_answer *mr_device_answer(struct mr_call *call, uint32_t row)
{
    struct mr_exec *exec = call->runtime;
    const struct mr_asked_batch *answers = exec->answers;
    const struct mr_op *op = exec->call_op;

    if (!answers || op->site == MR_NO_INDEX)
        return NULL;
    uint32_t place = *place_of(answers, op->site, exec->call_first[row]);
    const struct mr_asked *asked = place ? &answers->rows[place - 1] : NULL;
    return asked && asked->calls[op->site_call].there ? &asked->calls[op->site_call].answer : NULL;
}

void mr_device_checked(struct mr_call *call, uint32_t row, const uint32_t *indices, uint32_t n)
{
    struct mr_exec *exec = call->runtime;
    const struct mr_op *op = exec->call_op;

    (void)row;
    exec->hooks->device.checked(exec->hooks->user, op->site, op->site_call, indices, n);
}
