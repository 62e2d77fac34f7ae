/* Equality and order of values. */
#include "runtime/exec.h"

#include <math.h>
#include <string.h>

bool mr_value_equal(enum mr_type type, union mr_value x, union mr_value y)
{
    return mr_value_compare(type, x, y) == 0;
}

/* A number that is none is equal to nothing, itself included. */
static int compare_reals(double x, double y)
{
    return x < y ? -1 : x == y ? 0 : 1;
}

int mr_value_compare(enum mr_type type, union mr_value x, union mr_value y)
{
    switch (type) {
    case MR_TYPE_REAL:
        return compare_reals(x.d, y.d);
    case MR_TYPE_LIST:
    case MR_TYPE_STRING: {
        uint32_t len = x.b.len < y.b.len ? x.b.len : y.b.len;
        int order = len ? memcmp(x.b.ptr, y.b.ptr, len) : 0;
        return order ? order : x.b.len < y.b.len ? -1 : x.b.len > y.b.len;
    }
    case MR_TYPE_ADDRESS:
        return memcmp(x.b.ptr, y.b.ptr, sizeof(struct mr_endpoint));
    case MR_TYPE_FLOW:
        return memcmp(x.b.ptr, y.b.ptr, 2 * sizeof(struct mr_endpoint));
    case MR_TYPE_PACKET:
    case MR_TYPE_STREAM:
        return x.b.ptr < y.b.ptr ? -1 : x.b.ptr > y.b.ptr;
    case MR_TYPE_ANY:
    case MR_TYPE_NODE:
    case MR_TYPE_INT:
        break;
    }
    return x.i < y.i ? -1 : x.i > y.i;
}

int mr_value_order(enum mr_type type, union mr_value x, union mr_value y)
{
    if (type == MR_TYPE_REAL && (isnan(x.d) || isnan(y.d)))
        return (isnan(x.d) != 0) - (isnan(y.d) != 0);
    return mr_value_compare(type, x, y);
}
