/* Virtual workers, each with a clock of its own: see threads.h for how code comes to run on them.
 *
 * The thread whose clock is least goes on, so whatever happens happens in the order of virtual
 * time. Accesses to shared memory cost what caches make of them: a line is somebody's, and whoever
 * else wants it waits for it, one after another. What threads do between two accesses costs nothing
 * unless it is charged. The same in every run, but for what memory the heap puts on one line.
 */
#ifndef MR_VIRTUAL_SIMULATE_H
#define MR_VIRTUAL_SIMULATE_H

#include <stdbool.h>
#include <stdint.h>

#define MR_SIMULATE_THREADS 64
#define MR_SIMULATE_KINDS   12

/* In nanoseconds. */
struct mr_simulate_costs {
    double hit;    /* an access to a line that the thread has */
    double change; /* a read-modify-write of one */
    double miss;   /* a line comes over from another core */
    double gap;    /* between two such transfers of one line */
    double pause;  /* one turn of a spin loop */
    double call;   /* a system call */
    double wake;   /* from waking a thread until it runs */
};

struct mr_simulate {
    struct mr_simulate_costs costs;
    void (*run)(void *user);           /* the first thread; it makes the others */
    uint32_t (*idle_kind)(void *user); /* what a thread that finds no work waits for: a kind */
    void *user;
    uint32_t access_kind; /* the kind of what accesses cost */

    /* what came of it, in nanoseconds */
    uint32_t n_threads;
    double end;
    double spent[MR_SIMULATE_KINDS]; /* by kind, over all threads */
};

void mr_simulate(struct mr_simulate *simulate);

/* For code under simulation: time passes for the calling thread. */
void mr_simulate_charge(uint32_t kind, double ns);
uint32_t mr_simulate_thread(void);
/* The calling thread's clock. */
double mr_simulate_now(void);

#endif
