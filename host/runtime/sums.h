/* Sums that do not depend on the order in which values were added, and from which what was added
 * can be taken away again without a trace. A value has its owner. */
#ifndef MR_RUNTIME_SUMS_H
#define MR_RUNTIME_SUMS_H

#include <stdbool.h>
#include <stdint.h>

/* Of integers: 128 bits in two's complement. Start with zero. */
struct mr_int_sum {
    uint64_t low, high;
};

void mr_int_sum_add(struct mr_int_sum *sum, int64_t value, bool away);
/* The nearest that 64 bits hold. */
int64_t mr_int_sum_value(const struct mr_int_sum *sum);
/* The sum by n, which is not 0. */
double mr_int_sum_mean(const struct mr_int_sum *sum, uint64_t n);

/* Of reals: a number in fixed point, wide enough for 2^64 of the largest and exact to the smallest
 * one. Start with zero. */
#define MR_REAL_SUM_WORDS 34u

struct mr_real_sum {
    uint64_t words[MR_REAL_SUM_WORDS]; /* two's complement, lowest first, in units of 2^-1074 */
    uint64_t n_infinite[2], n_nan;     /* infinities: above, below */
};

void mr_real_sum_add(struct mr_real_sum *sum, double value, bool away);
/* Rounded once, to the nearest, to even where two are as near. */
double mr_real_sum_value(const struct mr_real_sum *sum);

#endif
