/* All interleavings of a small case, up to a bound: a stateless search in the manner of CHESS
 * (Musuvathi et al., OSDI 2008). See threads.h for how code comes to run on it.
 *
 * A case is run again and again from the start. Before each access to shared memory the machine
 * may go on with another thread; the search tries every choice at every such point, as long as no
 * run takes a running thread off more often than the bound says. With store buffers (x86: each
 * thread sees its own stores at once, others only when they have drained) a drain at a point of the
 * machine's choosing counts as well. What no thread ever ends is found too: a run in which all
 * wait, or in which nobody gets on.
 */
#ifndef MR_VIRTUAL_EXPLORE_H
#define MR_VIRTUAL_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_EXPLORE_THREADS 6

/* A machine broken on purpose: what a search must find if it is worth anything. */
enum mr_breakage {
    MR_BREAK_NOTHING,
    MR_BREAK_LOADS_ZERO,  /* loads of the place say 0: a check that is not there */
    MR_BREAK_TORN,        /* read-modify-write of the place in two steps */
    MR_BREAK_WEAK_STORES, /* sequentially consistent stores are buffered like all others */
};

struct mr_explore {
    /* the case */
    void (*set_up)(void *user); /* before each run; on no virtual thread */
    void (*thread)(void *user, uint32_t index);
    bool (*check)(void *user);     /* after each run that ended; false: a bug */
    void (*tear_down)(void *user); /* after each run, also one that was given up; may be NULL */
    void *user;
    uint32_t n_threads;

    /* the search */
    uint32_t bound;     /* switches away from a thread that could go on, and drains, in a run */
    bool store_buffers; /* x86-TSO instead of sequential consistency */
    bool ordered_only;  /* no choice before relaxed accesses: for big cases */
    uint64_t most_runs; /* 0: until all is tried */
    uint64_t seed;      /* not 0: most_runs at random instead, bound or not */
    enum mr_breakage breakage;
    const volatile void *broken; /* the place; set_up may set it */

    /* what came of it */
    uint64_t runs, points;
    bool complete;      /* all within the bound was tried */
    const char *bug;    /* NULL: none found */
    char schedule[512]; /* of the run with the bug: "choice:taken" where not the first */
};

/* True when no bug was found. */
bool mr_explore(struct mr_explore *explore);

/* A point where the search may choose: for code under test that is not compiled with threads.h. */
void mr_explore_point(void);
/* The run is wrong: it ends here, and the search. */
void mr_explore_bug(const char *what);

#endif
