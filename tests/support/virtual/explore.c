/* The machine that tries all interleavings: see explore.h. One search at a time, one real thread.
 */
#define MR_VIRTUAL_MACHINE
#include "virtual/explore.h"

#include "kernels/emulation/fiber.h"
#include "virtual/threads.h"

#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#define STORES       8      /* a thread's buffer; the oldest goes when it is full */
#define MOST_CHOICES 100000 /* of one run */
#define MOST_POINTS  200000 /* of one run: nobody gets on */
#define MOST_NAPS    64     /* how often all may wait in one run: nobody will end it */

enum thread_state {
    READY,
    WAITS_FOR_WRITE,
    WAITS_FOR_MUTEX,
    WAITS_ON_FUTEX,
    NAPS_ON_FUTEX, /* with a time-out */
    WAITS_FOR_END,
    ENDED
};

struct store {
    volatile void *at;
    uint64_t value;
    size_t bytes;
};

struct thread {
    struct fiber fiber;
    enum thread_state state;
    const volatile void *what; /* mutex or futex */
    uint32_t whom;             /* WAITS_FOR_END */
    uint64_t writes;           /* WAITS_FOR_WRITE: how many there had been */
    void *(*entry)(void *);
    void *argument;
    uint32_t index;
    struct store stores[STORES];
    uint32_t n_stores;
};

struct choice {
    uint8_t taken, options;
};

static struct {
    struct mr_explore *e;
    struct thread threads[MR_EXPLORE_THREADS];
    uint32_t n_threads, current;
    struct fiber outside;
    bool have_stacks, running;
    uint64_t writes, points;
    uint32_t deviations, naps;
    uint64_t random;
    struct choice *choices;
    uint32_t n_choices, at_choice;
} m;

static void leave_run(void)
{
    struct thread *t = &m.threads[m.current];
    m.running = false;
    fiber_switch(&t->fiber, &m.outside, false);
}

void mr_explore_bug(const char *what)
{
    if (!m.e->bug)
        m.e->bug = what;
    if (m.running)
        leave_run(); /* this fiber is never resumed */
}

/* ---- memory ---- */

static void write_now(volatile void *at, uint64_t value, size_t bytes)
{
    m.writes++; /* whatever stood there: that may be garbage, and another in each run */
    mr_virtual_poke(at, value, bytes);
}

static void drain_one(struct thread *t)
{
    struct store store = t->stores[0];
    t->n_stores--;
    memmove(t->stores, t->stores + 1, t->n_stores * sizeof *t->stores);
    write_now(store.at, store.value, store.bytes);
}

static void drain(struct thread *t)
{
    while (t->n_stores)
        drain_one(t);
}

/* ---- choosing ---- */

static bool may_run(const struct thread *t)
{
    switch (t->state) {
    case READY:
        return true;
    case WAITS_FOR_WRITE:
        return t->writes != m.writes;
    case WAITS_FOR_MUTEX:
        return !mr_virtual_peek(t->what, sizeof(int));
    case WAITS_FOR_END:
        return m.threads[t->whom].state == ENDED;
    default:
        return false;
    }
}

static uint32_t choose(uint32_t options)
{
    if (options == 1)
        return 0;
    if (m.e->seed) { /* mostly straight on */
        m.random ^= m.random << 13;
        m.random ^= m.random >> 7;
        m.random ^= m.random << 17;
        return m.random >> 32 & 15 ? 0 : (uint32_t)(m.random >> 40) % options;
    }
    if (m.at_choice == m.n_choices) {
        if (m.n_choices == MOST_CHOICES) {
            mr_explore_bug("too many choices in one run");
            return 0;
        }
        m.choices[m.n_choices++] = (struct choice){0, (uint8_t)options};
    }
    const struct choice *c = &m.choices[m.at_choice++];
    if (c->options != options)
        mr_explore_bug("the case does not do the same in every run");
    return c->taken < options ? c->taken : 0;
}

static void switch_to(uint32_t next)
{
    struct thread *from = &m.threads[m.current];

    m.threads[next].state = READY;
    if (next == m.current)
        return;
    m.current = next;
    fiber_switch(&from->fiber, &m.threads[next].fiber, from->state == ENDED);
}

struct way {
    uint32_t thread, drains; /* how many of its stores; 0: it goes on */
};

/* What may happen next: first what costs nothing (*free_ones), then what counts as a deviation. */
static uint32_t list_ways(struct way *ways, uint32_t *free_ones)
{
    bool bounded = m.deviations >= m.e->bound && !m.e->seed, on = may_run(&m.threads[m.current]);
    uint32_t n = 0;

    for (uint32_t i = 0; i < m.n_threads; i++) {
        uint32_t t = (m.current + i) % m.n_threads;
        if (may_run(&m.threads[t]) && (!on || !i || !bounded))
            ways[n++] = (struct way){t, 0};
    }
    *free_ones = on ? 1 : n;
    for (uint32_t t = 0; t < m.n_threads && !bounded && n; t++)
        for (uint32_t i = 1; i <= m.threads[t].n_stores; i++)
            ways[n++] = (struct way){t, i};
    return n;
}

/* Time passes: all stores arrive. False: there were none. */
static bool drain_all(void)
{
    bool any = false;
    for (uint32_t t = 0; t < m.n_threads; t++) {
        any = any || m.threads[t].n_stores;
        drain(&m.threads[t]);
    }
    return any;
}

/* Nobody goes on: who spins tries again, and the time-outs of futexes come. False: there is none,
 * or it is no use. */
static bool wake_naps(void)
{
    bool any = false;
    for (uint32_t t = 0; t < m.n_threads && m.naps < MOST_NAPS; t++)
        if (m.threads[t].state == NAPS_ON_FUTEX || m.threads[t].state == WAITS_FOR_WRITE) {
            m.threads[t].state = READY;
            any = true;
        }
    m.naps += any;
    return any;
}

/* The search chooses who goes on. */
static void point(void)
{
    if (++m.points > MOST_POINTS)
        mr_explore_bug("nobody gets on");
    for (;;) {
        struct way ways[MR_EXPLORE_THREADS * (STORES + 1)];
        uint32_t free_ones, n = list_ways(ways, &free_ones);

        if (!n && (drain_all() || wake_naps()))
            continue;
        if (!n) {
            mr_explore_bug("all threads wait");
            return;
        }
        uint32_t chosen = choose(n);
        m.deviations += chosen >= free_ones;
        if (!ways[chosen].drains) {
            switch_to(ways[chosen].thread);
            return;
        }
        for (uint32_t i = 0; i < ways[chosen].drains; i++)
            drain_one(&m.threads[ways[chosen].thread]);
    }
}

void mr_explore_point(void)
{
    if (m.running)
        point();
}

static void point_before(int order)
{
    if (!m.e->ordered_only || order != memory_order_relaxed)
        point();
}

static void wait_for(enum thread_state state)
{
    m.threads[m.current].state = state;
    point();
}

/* ---- what threads.h asks for ---- */

static bool broken(enum mr_breakage breakage, const volatile void *at)
{
    return m.e->breakage == breakage && m.e->broken == at;
}

uint64_t mr_virtual_load(const volatile void *at, size_t bytes, int order)
{
    if (!m.running)
        return mr_virtual_peek(at, bytes);
    point_before(order);
    if (broken(MR_BREAK_LOADS_ZERO, at))
        return 0;
    const struct thread *t = &m.threads[m.current];
    for (uint32_t i = t->n_stores; i-- > 0;)
        if (t->stores[i].at == at)
            return t->stores[i].value;
    return mr_virtual_peek(at, bytes);
}

void mr_virtual_store(volatile void *at, uint64_t value, size_t bytes, int order)
{
    if (!m.running) {
        mr_virtual_poke(at, value, bytes);
        return;
    }
    point_before(order);
    struct thread *t = &m.threads[m.current];
    bool whole = order == memory_order_seq_cst && m.e->breakage != MR_BREAK_WEAK_STORES;
    if (!m.e->store_buffers || whole) {
        drain(t);
        write_now(at, value, bytes);
        return;
    }
    if (t->n_stores == STORES)
        drain_one(t);
    t->stores[t->n_stores++] = (struct store){at, value, bytes};
}

/* The old value, read for a change that follows. */
static uint64_t read_for_change(volatile void *at, size_t bytes)
{
    if (!m.running)
        return mr_virtual_peek(at, bytes);
    point();
    drain(&m.threads[m.current]);
    uint64_t old = mr_virtual_peek(at, bytes);
    if (broken(MR_BREAK_TORN, at))
        point();
    return old;
}

static uint64_t cut(uint64_t value, size_t bytes)
{
    return bytes < 8 ? value & (((uint64_t)1 << 8 * bytes) - 1) : value;
}

uint64_t mr_virtual_exchange(volatile void *at, uint64_t value, size_t bytes)
{
    uint64_t old = read_for_change(at, bytes);
    write_now(at, value, bytes);
    return old;
}

uint64_t mr_virtual_add(volatile void *at, uint64_t value, size_t bytes)
{
    uint64_t old = read_for_change(at, bytes);
    write_now(at, cut(old + value, bytes), bytes);
    return old;
}

bool mr_virtual_compare_exchange(volatile void *at, void *expected, uint64_t desired, size_t bytes)
{
    uint64_t old = read_for_change(at, bytes);
    if (old != mr_virtual_peek(expected, bytes)) {
        mr_virtual_poke(expected, old, bytes);
        return false;
    }
    write_now(at, desired, bytes);
    return true;
}

int mr_virtual_lock(pthread_mutex_t *mutex)
{
    if (!m.running)
        return 0;
    point();
    while (mr_virtual_peek(mutex, sizeof(int))) {
        m.threads[m.current].what = mutex;
        wait_for(WAITS_FOR_MUTEX);
    }
    drain(&m.threads[m.current]);
    mr_virtual_poke(mutex, 1, sizeof(int));
    return 0;
}

int mr_virtual_unlock(pthread_mutex_t *mutex)
{
    if (!m.running)
        return 0;
    drain(&m.threads[m.current]);
    mr_virtual_poke(mutex, 0, sizeof(int));
    m.writes++;
    return 0;
}

static void enter(void *argument)
{
    struct thread *t = argument;
    t->entry(t->argument);
    t->state = ENDED; /* what it has stored may take a while yet */
    bool all = true;
    for (uint32_t i = 0; i < m.n_threads; i++)
        all = all && m.threads[i].state == ENDED;
    if (all) {
        drain_all();
        leave_run();
    }
    point();
    abort(); /* nobody goes on with a thread that ended */
}

static bool add_thread(void *(*entry)(void *), void *argument)
{
    if (m.n_threads == MR_EXPLORE_THREADS)
        return false;
    struct thread *t = &m.threads[m.n_threads];
    t->state = READY;
    t->entry = entry;
    t->argument = argument;
    t->index = m.n_threads++;
    t->n_stores = 0;
    fiber_prepare(&t->fiber, enter, t);
    return true;
}

int mr_virtual_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*entry)(void *),
                      void *argument)
{
    (void)attributes;
    drain(&m.threads[m.current]);
    *thread = m.n_threads;
    return add_thread(entry, argument) ? 0 : 1;
}

int mr_virtual_join(pthread_t thread, void **result)
{
    (void)result;
    m.threads[m.current].whom = (uint32_t)thread;
    if (m.threads[thread].state != ENDED)
        wait_for(WAITS_FOR_END);
    drain(&m.threads[thread]);
    return 0;
}

/* FUTEX_WAIT and FUTEX_WAKE. Time-outs come when nothing else does. */
long mr_virtual_syscall(long number, ...)
{
    va_list list;
    va_start(list, number);
    const volatile void *at = va_arg(list, const volatile void *);
    int operation = va_arg(list, int) & FUTEX_CMD_MASK;
    uint32_t value = va_arg(list, uint32_t);
    const struct timespec *at_most = va_arg(list, const struct timespec *);
    va_end(list);

    if (!m.running || number != SYS_futex)
        return 0;
    point();
    drain(&m.threads[m.current]);
    if (operation == FUTEX_WAIT) {
        if ((uint32_t)mr_virtual_peek(at, 4) == value) {
            m.threads[m.current].what = at;
            wait_for(at_most ? NAPS_ON_FUTEX : WAITS_ON_FUTEX);
        }
        return 0;
    }
    for (uint32_t i = 0; i < m.n_threads && value; i++)
        if ((m.threads[i].state == WAITS_ON_FUTEX || m.threads[i].state == NAPS_ON_FUTEX) &&
            m.threads[i].what == at) {
            m.threads[i].state = READY;
            value--;
        }
    return 0;
}

void mr_virtual_pause(void)
{
    if (!m.running)
        return;
    m.threads[m.current].writes = m.writes;
    wait_for(WAITS_FOR_WRITE);
}

void mr_virtual_prefetch(const volatile void *at, bool changes)
{
    (void)at; /* nobody sees anything of it */
    (void)changes;
}

/* ---- the search ---- */

static void *start(void *argument)
{
    struct thread *t = argument;
    m.e->thread(m.e->user, t->index);
    return NULL;
}

static void run_once(void)
{
    struct mr_explore *e = m.e;

    m.n_threads = m.current = 0;
    m.writes = m.points = 0;
    m.deviations = m.naps = 0;
    m.at_choice = 0;
    e->set_up(e->user);
    for (uint32_t i = 0; i < e->n_threads; i++)
        add_thread(start, &m.threads[i]);
    m.current = choose(e->n_threads);
    m.running = true;
    fiber_switch(&m.outside, &m.threads[m.current].fiber, false);
    if (!e->bug && !e->check(e->user))
        e->bug = "the check after the run failed";
    if (e->tear_down)
        e->tear_down(e->user);
    e->runs++;
    e->points += m.points;
}

/* The next schedule in order; false: that was the last. */
static bool advance(void)
{
    while (m.n_choices &&
           m.choices[m.n_choices - 1].taken + 1 >= m.choices[m.n_choices - 1].options)
        m.n_choices--;
    if (!m.n_choices)
        return false;
    m.choices[m.n_choices - 1].taken++;
    return true;
}

static void describe(struct mr_explore *e)
{
    size_t at = 0;
    for (uint32_t i = 0; i < m.n_choices && at + 32 < sizeof e->schedule; i++)
        if (m.choices[i].taken)
            at += (size_t)snprintf(e->schedule + at, sizeof e->schedule - at, "%u:%u ", i,
                                   m.choices[i].taken);
}

bool mr_explore(struct mr_explore *e)
{
    if (!m.have_stacks) {
        struct fiber fibers[MR_EXPLORE_THREADS];
        m.choices = malloc(MOST_CHOICES * sizeof *m.choices);
        if (!m.choices || !fiber_stacks_alloc(fibers, MR_EXPLORE_THREADS))
            abort();
        for (uint32_t i = 0; i < MR_EXPLORE_THREADS; i++)
            m.threads[i].fiber = fibers[i];
        m.have_stacks = true;
    }
#if defined(__SANITIZE_ADDRESS__)
    if (e->breakage) /* what a run that was given up held is lost */
        __lsan_disable();
#endif
    m.e = e;
    m.random = e->seed * 0x9e3779b97f4a7c15u;
    m.n_choices = 0;
    e->runs = e->points = 0;
    e->bug = NULL;
    e->complete = false;
    do {
        run_once();
        if (!e->bug && !e->seed)
            e->complete = !advance();
    } while (!e->bug && !e->complete && (!e->most_runs || e->runs < e->most_runs));
    if (e->bug)
        describe(e);
#if defined(__SANITIZE_ADDRESS__)
    if (e->breakage)
        __lsan_enable();
#endif
    return !e->bug;
}
