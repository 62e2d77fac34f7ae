/* Homes: whose cache has what.
 *
 * Who takes a burst in has its packets, and what is derived from them, in the cache. A lane that
 * has work of several bursts therefore goes to the home of the next one, unless that one sleeps or
 * the work is smaller than what the lane itself takes along; and what a token held is given back
 * at its home, where it is taken again. */
#include "runtime/internal.h"

bool mr_worker_is_elsewhere(const struct mr_worker *worker, const struct mr_work *work)
{
    return work->home != worker->index && work->rows >= worker->runtime->config.home_rows &&
           work->n_tickets == 1 &&
           !atomic_load_explicit(&worker->runtime->workers[work->home].asleep,
                                 memory_order_relaxed);
}

void mr_worker_send(struct mr_worker *worker, struct mr_task *first, struct mr_task *last,
                    uint32_t home)
{
    struct mr_worker *to = &worker->runtime->workers[home];
    struct mr_task *head = NULL; /* mostly so: a look at it would fetch the line a second time */

    do {
        last->next_mail = head;
    } while (!atomic_compare_exchange_weak_explicit(&to->mail, &head, first, memory_order_seq_cst,
                                                    memory_order_relaxed));
    mr_runtime_wake(worker->runtime, false);
}

void mr_worker_open_mail(struct mr_worker *worker, struct mr_worker *of)
{
    struct mr_task *task = NULL;

    if (atomic_load_explicit(&of->mail, memory_order_relaxed))
        task = atomic_exchange_explicit(&of->mail, NULL, memory_order_seq_cst);
    for (struct mr_task *next; task; task = next) {
        next = task->next_mail;
        (void)mr_deque_push_owner(&worker->deque, task);
    }
}

bool mr_worker_take_back(struct mr_worker *worker, struct mr_worker *of)
{
    struct mr_token *token = NULL;
    bool any;

    if (atomic_load_explicit(&of->spent, memory_order_seq_cst))
        token = atomic_exchange_explicit(&of->spent, NULL, memory_order_seq_cst);
    any = token != NULL;
    for (struct mr_token *next; token; token = next) {
        next = token->next_free;
        mr_gate_release(worker, token, false);
    }
    return any;
}

void mr_worker_give_back(struct mr_worker *worker, struct mr_token *token)
{
    struct mr_worker *home = &worker->runtime->workers[token->home];

    if (home == worker || token->last ||
        atomic_load_explicit(&home->asleep, memory_order_relaxed)) {
        mr_gate_release(worker, token, worker->runtime->config.workers == 1);
        return;
    }
    struct mr_token *head = NULL; /* as above */
    do {
        token->next_free = head;
    } while (!atomic_compare_exchange_weak_explicit(&home->spent, &head, token,
                                                    memory_order_seq_cst, memory_order_relaxed));
    /* it falls asleep, or is gone: it says so before it looks for the last time */
    if (atomic_load_explicit(&home->asleep, memory_order_seq_cst))
        mr_worker_take_back(worker, home);
}
