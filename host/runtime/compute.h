/* What COMPUTE and TEST operations say about one row. */
#ifndef MR_RUNTIME_COMPUTE_H
#define MR_RUNTIME_COMPUTE_H

#include "runtime/exec.h"

/* `order` as of mr_value_compare(). */
static inline bool mr_compare_holds(enum mr_compare compare, int order)
{
    switch (compare) {
    case MR_EQ:
        return order == 0;
    case MR_NE:
        return order != 0;
    case MR_LT:
        return order < 0;
    case MR_LE:
        return order <= 0;
    case MR_GT:
        return order > 0;
    case MR_GE:
        return order >= 0;
    }
    return false;
}

/* One value of a COMPUTE operation; false: the row vanishes. */
bool mr_compute_value(struct mr_exec *exec, const struct mr_op *op, union mr_value x,
                      union mr_value y, union mr_value *result);

#endif
