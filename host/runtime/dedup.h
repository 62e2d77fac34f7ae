/* The set of tuples derived so far from one input tuple: what makes recursion end. */
#ifndef MR_RUNTIME_DEDUP_H
#define MR_RUNTIME_DEDUP_H

#include "runtime/tuples.h"

struct mr_dedup;

/* One for a worker, made at start and emptied for each input tuple. NULL: out of memory. */
struct mr_dedup *mr_dedup_new(void);
void mr_dedup_free(struct mr_dedup *seen);
void mr_dedup_clear(struct mr_dedup *seen);

/* The rows of `derived` that the set did not hold, which it holds now; NULL when there are none.
 * Attributes that nobody reads do not count. */
struct mr_tuples *mr_dedup_fresh(struct mr_exec *exec, struct mr_dedup *seen,
                                 struct mr_tuples *derived);

#endif
