/* The machine of virtual clocks: see simulate.h. One simulation at a time, one real thread. */
#define MR_VIRTUAL_MACHINE
#include "virtual/simulate.h"

#include "kernels/emulation/fiber.h"
#include "virtual/threads.h"

#include <linux/futex.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LINES     (1u << 18) /* of the table; far more than the runtime shares */
#define LINE_BITS 6

enum state { RUNS, WAITS_FOR_MUTEX, WAITS_ON_FUTEX, WAITS_FOR_END, ENDED };

struct thread {
    struct fiber fiber;
    enum state state;
    const volatile void *what;
    uint32_t whom;
    double accesses; /* time of accesses since work was found last: idle if none is found */
    double slept;    /* clock when it began to wait */
    uint32_t kind;   /* what it waits for */
    void *(*entry)(void *);
    void *argument;
};

struct line {
    uint64_t name;      /* address >> LINE_BITS; 0: free */
    uint64_t sharers;   /* bit i: thread i has it */
    double free_at;     /* when the next transfer of it may begin */
    uint64_t coming_to; /* bit i: thread i has asked for it beforehand ... */
    double there_at;    /* ... and has it then */
};

static struct {
    struct mr_simulate *s;
    struct thread threads[MR_SIMULATE_THREADS];
    double clocks[MR_SIMULATE_THREADS]; /* INFINITY: does not run; time-outs of futexes included */
    uint32_t n, current;
    double horizon; /* the least clock of the others */
    struct fiber outside;
    struct line *lines;
    bool have_stacks, running;
} m;

static void switch_away(void)
{
    struct thread *from = &m.threads[m.current];
    double least = INFINITY, second = INFINITY;
    uint32_t next = m.current;

    for (uint32_t i = 0; i < m.n; i++)
        if (m.clocks[i] < least) {
            second = least;
            least = m.clocks[i];
            next = i;
        } else if (m.clocks[i] < second) {
            second = m.clocks[i];
        }
    if (least == INFINITY) {
        fprintf(stderr, "simulate: all threads wait\n");
        abort();
    }
    m.horizon = second;
    if (next == m.current)
        return;
    m.current = next;
    fiber_switch(&from->fiber, &m.threads[next].fiber, from->state == ENDED);
}

/* Others that are behind go first. */
static void in_turn(void)
{
    while (m.clocks[m.current] > m.horizon)
        switch_away();
}

static void spend(uint32_t kind, double ns)
{
    m.clocks[m.current] += ns;
    m.s->spent[kind] += ns;
}

/* Accesses: scheduling if work follows, waiting if none does. */
static void access_for(double ns)
{
    m.clocks[m.current] += ns;
    m.threads[m.current].accesses += ns;
}

static void settle(uint32_t kind)
{
    m.s->spent[kind] += m.threads[m.current].accesses;
    m.threads[m.current].accesses = 0;
}

/* NULL: nobody has shared it yet, and it shall not be noted. */
static struct line *line_of(const volatile void *at, bool noted)
{
    uint64_t name = (uint64_t)(uintptr_t)at >> LINE_BITS;
    uint64_t i = name * 0x9e3779b97f4a7c15u >> 20 & (LINES - 1);
    for (uint32_t tries = 0; tries < 64; tries++, i = (i + 1) & (LINES - 1)) {
        if (m.lines[i].name == name)
            return &m.lines[i];
        if (!m.lines[i].name && !noted)
            return NULL;
        if (!m.lines[i].name) {
            m.lines[i].name = name;
            return &m.lines[i];
        }
    }
    return &m.lines[i]; /* crowded: two lines count as one */
}

/* The line comes to the thread, unless it has it; gives when it is there. */
static double bring(struct line *line, bool changes, double own)
{
    uint64_t self = (uint64_t)1 << m.current;
    const struct mr_simulate_costs *costs = &m.s->costs;
    double there = m.clocks[m.current];

    if (changes ? line->sharers != self && line->sharers : !(line->sharers & self)) {
        double start = there > line->free_at ? there : line->free_at;
        line->free_at = start + costs->gap;
        there = start + (line->sharers ? costs->miss : own);
    } else if (line->coming_to == self && line->there_at > there) {
        there = line->there_at; /* it was asked for beforehand */
    }
    line->sharers = changes ? self : line->sharers | self;
    return there;
}

static void access_line(const volatile void *at, bool changes, bool whole)
{
    struct line *line = line_of(at, true);
    double own = whole ? m.s->costs.change : m.s->costs.hit;

    in_turn();
    double there = bring(line, changes, own);
    access_for(there > m.clocks[m.current] ? there - m.clocks[m.current] : own);
}

void mr_virtual_prefetch(const volatile void *at, bool changes)
{
    if (!m.running)
        return;
    in_turn();
    struct line *line = line_of(at, false); /* those of flows, packets: charged as a whole */
    if (!line)
        return;
    double there = bring(line, changes, m.s->costs.hit);
    line->coming_to = (uint64_t)1 << m.current;
    line->there_at = there;
    access_for(m.s->costs.hit);
}

/* ---- what threads.h asks for ---- */

uint64_t mr_virtual_load(const volatile void *at, size_t bytes, int order)
{
    (void)order;
    if (m.running)
        access_line(at, false, false);
    return mr_virtual_peek(at, bytes);
}

void mr_virtual_store(volatile void *at, uint64_t value, size_t bytes, int order)
{
    if (m.running)
        access_line(at, true, order == memory_order_seq_cst);
    mr_virtual_poke(at, value, bytes);
}

uint64_t mr_virtual_exchange(volatile void *at, uint64_t value, size_t bytes)
{
    if (m.running)
        access_line(at, true, true);
    uint64_t old = mr_virtual_peek(at, bytes);
    mr_virtual_poke(at, value, bytes);
    return old;
}

uint64_t mr_virtual_add(volatile void *at, uint64_t value, size_t bytes)
{
    if (m.running)
        access_line(at, true, true);
    uint64_t old = mr_virtual_peek(at, bytes);
    mr_virtual_poke(at, old + value, bytes);
    return old;
}

bool mr_virtual_compare_exchange(volatile void *at, void *expected, uint64_t desired, size_t bytes)
{
    if (m.running)
        access_line(at, true, true);
    uint64_t old = mr_virtual_peek(at, bytes);
    if (old != mr_virtual_peek(expected, bytes)) {
        mr_virtual_poke(expected, old, bytes);
        return false;
    }
    mr_virtual_poke(at, desired, bytes);
    return true;
}

/* Stops until somebody sets the clock again. */
static void stop(enum state state, const volatile void *what, double until)
{
    struct thread *t = &m.threads[m.current];
    t->slept = m.clocks[m.current];
    t->state = state;
    t->what = what;
    m.clocks[m.current] = until;
    switch_away();
    t->state = RUNS;
}

static void start_at(uint32_t thread, double clock)
{
    struct thread *t = &m.threads[thread];
    m.clocks[thread] = clock > t->slept ? clock : t->slept;
    m.horizon = m.clocks[thread] < m.horizon ? m.clocks[thread] : m.horizon;
    t->state = RUNS;
}

int mr_virtual_lock(pthread_mutex_t *mutex)
{
    if (!m.running)
        return 0;
    access_line(mutex, true, true);
    while (mr_virtual_peek(mutex, sizeof(int))) {
        stop(WAITS_FOR_MUTEX, mutex, INFINITY);
        m.threads[m.current].accesses += m.clocks[m.current] - m.threads[m.current].slept;
        in_turn();
    }
    mr_virtual_poke(mutex, 1, sizeof(int));
    return 0;
}

int mr_virtual_unlock(pthread_mutex_t *mutex)
{
    if (!m.running)
        return 0;
    access_line(mutex, true, true);
    mr_virtual_poke(mutex, 0, sizeof(int));
    for (uint32_t i = 0; i < m.n; i++)
        if (m.threads[i].state == WAITS_FOR_MUTEX && m.threads[i].what == mutex)
            start_at(i, m.clocks[m.current] + m.s->costs.miss);
    return 0;
}

static void enter(void *argument)
{
    struct thread *t = argument;
    t->entry(t->argument);
    settle(m.s->access_kind);
    if (m.clocks[m.current] > m.s->end)
        m.s->end = m.clocks[m.current];
    for (uint32_t i = 0; i < m.n; i++)
        if (m.threads[i].state == WAITS_FOR_END && m.threads[i].whom == m.current)
            start_at(i, m.clocks[m.current]);
    t->state = ENDED;
    bool all = true;
    for (uint32_t i = 0; i < m.n; i++)
        all = all && m.threads[i].state == ENDED;
    if (all) {
        m.running = false;
        fiber_switch(&t->fiber, &m.outside, true);
    }
    m.clocks[m.current] = INFINITY;
    switch_away();
    abort(); /* nobody goes on with a thread that ended */
}

static bool add_thread(void *(*entry)(void *), void *argument, double clock)
{
    if (m.n == MR_SIMULATE_THREADS)
        return false;
    struct thread *t = &m.threads[m.n];
    struct fiber fiber = t->fiber;
    *t = (struct thread){.fiber = fiber, .entry = entry, .argument = argument};
    m.clocks[m.n++] = clock;
    m.horizon = clock < m.horizon ? clock : m.horizon;
    fiber_prepare(&t->fiber, enter, t);
    return true;
}

int mr_virtual_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*entry)(void *),
                      void *argument)
{
    (void)attributes;
    *thread = m.n;
    return add_thread(entry, argument, m.clocks[m.current]) ? 0 : 1;
}

int mr_virtual_join(pthread_t thread, void **result)
{
    (void)result;
    if (m.threads[thread].state != ENDED) {
        m.threads[m.current].whom = (uint32_t)thread;
        stop(WAITS_FOR_END, NULL, INFINITY);
    }
    return 0;
}

static void sleep_on(const volatile void *at, const struct timespec *at_most)
{
    double now = m.clocks[m.current];
    double until =
        at_most ? now + (double)at_most->tv_sec * 1e9 + (double)at_most->tv_nsec : INFINITY;
    uint32_t kind = m.s->idle_kind(m.s->user);
    settle(kind);
    stop(WAITS_ON_FUTEX, at, until);
    m.s->spent[kind] += m.clocks[m.current] - now;
}

/* FUTEX_WAIT with a relative time-out, and FUTEX_WAKE. */
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
    access_for(m.s->costs.call);
    in_turn();
    if (operation == FUTEX_WAIT) {
        if ((uint32_t)mr_virtual_peek(at, 4) == value)
            sleep_on(at, at_most);
        return 0;
    }
    for (uint32_t i = 0; i < m.n && value; i++)
        if (m.threads[i].state == WAITS_ON_FUTEX && m.threads[i].what == at) {
            start_at(i, m.clocks[m.current] + m.s->costs.wake);
            value--;
        }
    return 0;
}

void mr_virtual_pause(void)
{
    if (!m.running)
        return;
    access_for(m.s->costs.pause); /* whatever it looks at next it looks at in its turn */
    settle(m.s->idle_kind(m.s->user));
}

/* ---- for its users ---- */

void mr_simulate_charge(uint32_t kind, double ns)
{
    if (!m.running)
        return;
    settle(m.s->access_kind);
    spend(kind, ns);
    in_turn();
}

uint32_t mr_simulate_thread(void)
{
    return m.current;
}

double mr_simulate_now(void)
{
    return m.clocks[m.current];
}

static void *first(void *argument)
{
    struct mr_simulate *s = argument;
    s->run(s->user);
    return NULL;
}

void mr_simulate(struct mr_simulate *s)
{
    if (!m.have_stacks) {
        struct fiber fibers[MR_SIMULATE_THREADS];
        m.lines = malloc(LINES * sizeof *m.lines);
        if (!m.lines || !fiber_stacks_alloc(fibers, MR_SIMULATE_THREADS))
            abort();
        for (uint32_t i = 0; i < MR_SIMULATE_THREADS; i++)
            m.threads[i].fiber = fibers[i];
        m.have_stacks = true;
    }
    memset(m.lines, 0, LINES * sizeof *m.lines);
    memset(s->spent, 0, sizeof s->spent);
    m.s = s;
    m.n = m.current = 0;
    m.horizon = INFINITY;
    s->end = 0;
    add_thread(first, s, 0);
    m.horizon = INFINITY;
    m.running = true;
    fiber_switch(&m.outside, &m.threads[0].fiber, false);
    s->n_threads = m.n;
}
