/* Arithmetic, logic, strings and fields of rows: one value at a time. */
#include "runtime/compute.h"

#include "runtime/table.h"

#include <string.h>

/* The value of a row's column, in memory that outlives the row. */
static bool copy_field(struct mr_exec *exec, const struct mr_row *row, uint32_t column,
                       enum mr_type type, union mr_value *result)
{
    uint32_t len = mr_value_bytes_of(type, row->values[column]);

    *result = row->values[column];
    if (!len)
        return true;
    void *copy = mr_exec_alloc(exec, len);
    if (!copy)
        return false;
    memcpy(copy, result->b.ptr, len);
    result->b.ptr = copy;
    return true;
}

static int64_t shift(int64_t value, int64_t by, bool left)
{
    if (by < 0 || by > 63)
        return 0;
    return left ? (int64_t)((uint64_t)value << by) : value >> by;
}

/* Wrapping 64-bit arithmetic; false: division by zero. */
static bool compute_int(enum mr_compute compute, int64_t x, int64_t y, int64_t *result)
{
    uint64_t a = (uint64_t)x, b = (uint64_t)y;

    switch (compute) {
    case MR_COMPUTE_ADD:
        *result = (int64_t)(a + b);
        return true;
    case MR_COMPUTE_SUB:
        *result = (int64_t)(a - b);
        return true;
    case MR_COMPUTE_MUL:
        *result = (int64_t)(a * b);
        return true;
    case MR_COMPUTE_DIV:
    case MR_COMPUTE_MOD:
        if (!y)
            return false;
        if (y == -1) /* INT64_MIN / -1 wraps */
            *result = compute == MR_COMPUTE_DIV ? (int64_t)(0 - a) : 0;
        else
            *result = compute == MR_COMPUTE_DIV ? x / y : x % y;
        return true;
    case MR_COMPUTE_SHL:
    case MR_COMPUTE_SHR:
        *result = shift(x, y, compute == MR_COMPUTE_SHL);
        return true;
    case MR_COMPUTE_BIT_AND:
        *result = (int64_t)(a & b);
        return true;
    case MR_COMPUTE_BIT_OR:
        *result = (int64_t)(a | b);
        return true;
    case MR_COMPUTE_BIT_XOR:
        *result = (int64_t)(a ^ b);
        return true;
    case MR_COMPUTE_BIT_NOT:
        *result = (int64_t)~a;
        return true;
    case MR_COMPUTE_NEGATE:
        *result = (int64_t)(0 - a);
        return true;
    case MR_COMPUTE_AND:
        *result = x && y;
        return true;
    case MR_COMPUTE_OR:
        *result = x || y;
        return true;
    case MR_COMPUTE_NOT:
        *result = !x;
        return true;
    default:
        return false;
    }
}

static bool compute_real(enum mr_compute compute, double x, double y, double *result)
{
    switch (compute) {
    case MR_COMPUTE_ADD:
        *result = x + y;
        return true;
    case MR_COMPUTE_SUB:
        *result = x - y;
        return true;
    case MR_COMPUTE_MUL:
        *result = x * y;
        return true;
    case MR_COMPUTE_DIV:
        *result = x / y;
        return y < 0 || y > 0;
    case MR_COMPUTE_NEGATE:
        *result = -x;
        return true;
    default:
        return false;
    }
}

static bool concat(struct mr_exec *exec, union mr_value x, union mr_value y, union mr_value *result)
{
    uint64_t len = (uint64_t)x.b.len + y.b.len;
    uint8_t *bytes = len <= UINT32_MAX ? mr_exec_alloc(exec, len ? len : 1) : NULL;

    if (!bytes)
        return false;
    if (x.b.len)
        memcpy(bytes, x.b.ptr, x.b.len);
    if (y.b.len)
        memcpy(bytes + x.b.len, y.b.ptr, y.b.len);
    *result = mr_value_bytes(bytes, (uint32_t)len);
    return true;
}

bool mr_compute_value(struct mr_exec *exec, const struct mr_op *op, union mr_value x,
                      union mr_value y, union mr_value *result)
{
    enum mr_type type = op->args[0].type;

    switch (op->compute) {
    case MR_COMPUTE_COPY:
        *result = x;
        return true;
    case MR_COMPUTE_STREAM_BYTES: {
        const struct mr_chunk *chunk = x.b.ptr;
        *result = mr_value_bytes(chunk->data, chunk->len);
        return true;
    }
    case MR_COMPUTE_TO_REAL:
        result->d = (double)x.i;
        return true;
    case MR_COMPUTE_CONCAT:
        return concat(exec, x, y, result);
    case MR_COMPUTE_FIELD:
        return copy_field(exec, x.b.ptr, (uint32_t)y.i, op->type, result);
    case MR_COMPUTE_EQ:
    case MR_COMPUTE_NE:
    case MR_COMPUTE_LT:
    case MR_COMPUTE_LE:
    case MR_COMPUTE_GT:
    case MR_COMPUTE_GE: {
        static const enum mr_compare as_compare[] = {MR_EQ, MR_NE, MR_LT, MR_LE, MR_GT, MR_GE};
        enum mr_compare compare = as_compare[op->compute - MR_COMPUTE_EQ];
        *result = mr_value_int(mr_compare_holds(compare, mr_value_compare(type, x, y)));
        return true;
    }
    default:
        break;
    }
    if (type == MR_TYPE_REAL)
        return compute_real(op->compute, x.d, y.d, &result->d);
    return compute_int(op->compute, x.i, y.i, &result->i);
}
