/* Running one rule over one batch: the interpreter of plan operations. Values stay where they are;
 * what filters or multiplies rows moves only the 16-byte cells of registers that are still read. */
#include "runtime/aggregate.h"
#include "runtime/compute.h"
#include "runtime/exec.h"
#include "runtime/table_set.h"

#include <assert.h>
#include <string.h>

/* Rows in flight through a rule: registers are columns. */
struct frame {
    uint32_t n;
    struct mr_packet **origins;
    struct mr_flow **flows;
    uint8_t **contexts;
    uint32_t *ordinals;
    const struct mr_transaction **transactions;
    bool synthetic;
    uint64_t late; /* of the trigger's registers: as in struct mr_tuples */
    const uint32_t *at;
    union mr_value *registers[MR_MAX_REGISTERS];
};

static union mr_value *new_column(struct mr_exec *exec, uint32_t n)
{
    return mr_exec_alloc(exec, (size_t)n * sizeof(union mr_value));
}

/* An operand as a column: the register, or the constant repeated. NULL when memory is out. */
static const union mr_value *operand_column(struct mr_exec *exec, const struct frame *frame,
                                            const struct mr_operand *operand)
{
    if (operand->reg != MR_NO_REGISTER)
        return frame->registers[operand->reg];
    union mr_value *column = new_column(exec, frame->n);
    for (uint32_t row = 0; column && row < frame->n; row++)
        column[row] = operand->constant;
    return column;
}

static inline union mr_value operand_value(const struct frame *frame,
                                           const struct mr_operand *operand, uint32_t row)
{
    return operand->reg == MR_NO_REGISTER ? operand->constant : frame->registers[operand->reg][row];
}

static bool is_late(const struct frame *frame, uint32_t reg)
{
    return reg < 64 && frame->late >> reg & 1;
}

/* Fetches what the operation reads. */
static bool fetch_operands(struct mr_exec *exec, struct frame *frame, const struct mr_op *op)
{
    for (uint32_t a = 0; a < op->n_args; a++) {
        uint32_t reg = op->args[a].reg;
        if (!is_late(frame, reg))
            continue;
        if (frame->at != exec->every)
            frame->registers[reg] =
                mr_tuples_fetch(exec, frame->registers[reg], frame->at, frame->n);
        if (!frame->registers[reg])
            return false;
        frame->late &= ~((uint64_t)1 << reg);
    }
    return true;
}

/* Rebuilds the frame from rows[0..n) of the old one; `live` says which registers go along.
 * `contexts`: the new rows' contexts where they differ from the old rows', else NULL. */
static bool gather(struct mr_exec *exec, struct frame *frame, const uint32_t *rows, uint32_t n,
                   const uint64_t *live, uint32_t n_registers, uint8_t *const *contexts)
{
    struct mr_packet **origins = mr_exec_alloc(exec, n * sizeof *origins);
    struct mr_flow **flows = mr_exec_alloc(exec, n * sizeof *flows);
    uint8_t **new_contexts = NULL;
    uint32_t *ordinals = NULL;

    if (frame->ordinals) {
        ordinals = mr_exec_alloc(exec, n * sizeof *ordinals);
        for (uint32_t i = 0; ordinals && i < n; i++)
            ordinals[i] = frame->ordinals[rows[i]];
    }
    const struct mr_transaction **transactions =
        frame->transactions ? mr_exec_alloc(exec, n * sizeof *transactions) : NULL;
    if (frame->contexts)
        new_contexts = mr_exec_alloc(exec, n * sizeof *new_contexts);
    if (!origins || !flows || (frame->contexts && !new_contexts) ||
        (frame->transactions && !transactions))
        return false;
    for (uint32_t i = 0; transactions && i < n; i++)
        transactions[i] = frame->transactions[rows[i]];
    for (uint32_t i = 0; i < n; i++) {
        origins[i] = frame->origins[rows[i]];
        flows[i] = frame->flows[rows[i]];
        if (!new_contexts)
            continue;
        new_contexts[i] = contexts ? contexts[i] : frame->contexts[rows[i]];
        struct mr_context *c = new_contexts[i] ? mr_context_of_slots(new_contexts[i]) : NULL;
        if (c && c->owns_flow)
            flows[i] = &c->flow;
    }
    frame->late &= live[0];
    if (frame->late) {
        uint32_t *at = mr_exec_alloc(exec, n * sizeof *at);
        if (!at)
            return false;
        for (uint32_t i = 0; i < n; i++)
            at[i] = frame->at[rows[i]];
        frame->at = at;
    }
    for (uint32_t r = 0; r < n_registers; r++) {
        if (!mr_register_live(live, r) || is_late(frame, r))
            continue; /* others may never have been set */
        const union mr_value *old = frame->registers[r];
        if (!old)
            continue;
        union mr_value *column = new_column(exec, n);
        if (!column)
            return false;
        for (uint32_t i = 0; i < n; i++)
            column[i] = old[rows[i]];
        frame->registers[r] = column;
    }
    frame->origins = origins;
    frame->flows = flows;
    frame->contexts = new_contexts;
    frame->ordinals = ordinals;
    frame->transactions = transactions;
    frame->n = n;
    return true;
}

/* Every row yielded once, in its own context: nothing has to move. */
static bool unchanged(const struct frame *frame, const struct mr_yields *yields)
{
    if (yields->n != frame->n)
        return false;
    for (uint32_t i = 0; i < yields->n; i++)
        if (yields->rows[i] != i)
            return false;
    return !frame->contexts ||
           !memcmp(yields->contexts, frame->contexts, yields->n * sizeof *yields->contexts);
}

/* Goes on with the rows that were yielded, and what was yielded as the result. */
static bool take_yields(struct mr_exec *exec, struct frame *frame, const struct mr_op *op,
                        uint32_t n_registers)
{
    struct mr_yields *yields = &exec->yields;
    uint32_t n = yields->n;
    const struct mr_transaction **transactions;

    if (!n) {
        frame->n = 0;
        return true;
    }
    if (!mr_exec_yield_transactions(exec, frame->transactions, &transactions))
        return false;
    frame->transactions = NULL; /* not to be moved */
    union mr_value *out = NULL;
    if (op->result != MR_NO_REGISTER) {
        out = new_column(exec, n);
        if (!out)
            return false;
        memcpy(out, yields->values, n * sizeof *out);
        frame->registers[op->result] = NULL; /* not to be moved */
    }
    if (!unchanged(frame, yields) &&
        !gather(exec, frame, yields->rows, n, op->live_after, n_registers,
                frame->contexts ? yields->contexts : NULL))
        return false;
    if (out)
        frame->registers[op->result] = out;
    frame->transactions = transactions;
    return true;
}

static bool run_call(struct mr_exec *exec, struct frame *frame, const struct mr_op *op,
                     uint32_t n_registers)
{
    const struct mr_function *function = op->function;
    struct mr_exec_call *prepared = &exec->calls[op->binding];
    const union mr_value **columns = prepared->columns;
    struct mr_call *call = &prepared->call;

    call->config = op->config;
    call->thread = exec->bindings[op->binding].thread;
    call->n = frame->n;
    call->cause = function->order == MR_ORDER_NONE ? MR_CAUSE_DATA : exec->cause;
    call->packets = frame->origins;
    call->now_ns = exec->now_ns;
    call->contexts = frame->contexts;
    call->runtime = exec; /* a swap hands calls on to another worker */
    for (uint32_t a = 0; a < op->n_args; a++) {
        if (prepared->bound[a])
            continue;
        columns[a] = operand_column(exec, frame, &op->args[a]);
        if (!columns[a])
            return false;
    }
    exec->call_flows = frame->flows;
    exec->call_ordinals = frame->ordinals;
    exec->call_op = op;
    exec->call_asks = frame->synthetic && function->order == MR_ORDER_NONE;
    exec->call_first = columns[0];
    if (function->shape == MR_SHAPE_MAP) {
        /* what nobody reads goes where it is overwritten again and again, not through the cache */
        call->out = op->result == MR_NO_REGISTER && frame->n <= exec->yields.capacity
                        ? exec->yields.values
                        : new_column(exec, frame->n);
        if (!call->out)
            return false;
        function->call(call);
        if (op->result != MR_NO_REGISTER)
            frame->registers[op->result] = call->out;
        return true;
    }
    struct mr_yields *yields = &exec->yields;
    yields->n = yields->n_of = 0;
    yields->each = NULL;
    function->call(call);
    if (yields->each) {
        if (op->result != MR_NO_REGISTER)
            frame->registers[op->result] = (union mr_value *)(uintptr_t)yields->each;
        if (function->order != MR_ORDER_NONE)
            frame->synthetic = false;
        return true;
    }
    if (function->order != MR_ORDER_NONE)
        frame->synthetic = false; /* what is yielded for a timer is as real as anything */
    return take_yields(exec, frame, op, n_registers);
}

/* A join that has more rows, and where it goes on: with the rows as they were before it. */
struct mr_rule_level {
    struct mr_rule_level *below;
    uint32_t op, row;
    const struct mr_row *found;
    struct frame frame;
};

/* The rule fires for each row of a table that has the wanted values. In slices: for the next ones,
 * and what the join has left goes on later. */
static bool run_join(struct mr_exec *exec, const struct mr_plan_rule *rule, struct frame *frame,
                     uint32_t i, struct mr_rule_run *slices, struct mr_rule_level *level)
{
    const struct mr_op *op = &rule->ops[i];
    struct mr_table *table = exec->tables ? exec->tables->tables[op->table] : NULL;
    uint32_t row = level ? level->row : 0, most = slices ? MR_JOINED_AT_ONCE : UINT32_MAX;
    const struct mr_row *found = level ? level->found : NULL;

    exec->yields.n = exec->yields.n_of = 0;
    for (; table && row < frame->n; row++) {
        union mr_value key[MR_INDEX_COLUMNS];
        for (uint32_t k = 0; k < op->n_args; k++)
            key[k] = operand_value(frame, &op->args[k], row);
        if (!found)
            found = mr_table_find(table, op->by, key);
        for (; found && exec->yields.n < most; found = mr_table_next(table, found, op->by))
            mr_exec_yield(exec, row, mr_value_bytes(found, 0),
                          frame->contexts ? frame->contexts[row] : NULL);
        if (found)
            break;
    }
    if (found && !level) {
        level = mr_exec_alloc(exec, sizeof *level);
        if (!level)
            return false;
        *level = (struct mr_rule_level){.below = slices->top, .op = i};
        level->frame = *frame;
        slices->top = level;
    } else if (level && !found) {
        slices->top = level->below;
    }
    if (found) {
        level->row = row;
        level->found = found;
    }
    exec->left -= exec->yields.n;
    return take_yields(exec, frame, op, rule->n_registers);
}

/* Keeps the rows that pass; no copy when all of them do. */
static bool keep(struct mr_exec *exec, struct frame *frame, const uint32_t *rows, uint32_t n,
                 const struct mr_op *op, uint32_t n_registers)
{
    if (n == frame->n)
        return true;
    if (!n) {
        frame->n = 0;
        return true;
    }
    return gather(exec, frame, rows, n, op->live_after, n_registers, NULL);
}

/* Is the operation a comparison of strings with a constant, for equality? Most tests are. */
static bool is_string_equality(const struct mr_op *op)
{
    return op->type == MR_TYPE_STRING && (op->compare == MR_EQ || op->compare == MR_NE) &&
           op->args[0].reg != MR_NO_REGISTER && op->args[1].reg == MR_NO_REGISTER;
}

/* Which of n strings are (or are not) the constant: their number. What functions answer are often
 * the same bytes at the same place again and again: looked at once. */
static uint32_t select_equal(const union mr_value *column, uint32_t n, union mr_value constant,
                             bool equal, uint32_t *rows)
{
    const void *last = NULL;
    uint32_t last_len = UINT32_MAX, kept = 0;
    bool same = false;

    for (uint32_t row = 0; row < n; row++) {
        const void *ptr = column[row].b.ptr;
        uint32_t len = column[row].b.len;
        if (ptr != last || len != last_len) {
            same = len == constant.b.len;
            if (same && len) {
                assert(ptr && constant.b.ptr);
                same = !memcmp(ptr, constant.b.ptr, len);
            }
            last = ptr;
            last_len = len;
        }
        rows[kept] = row;
        kept += same == equal;
    }
    return kept;
}

/* Room for row numbers that are not needed behind this operation. */
static uint32_t *scratch_rows(struct mr_exec *exec, uint32_t n)
{
    return n <= exec->yields.capacity ? exec->yields.rows
                                      : mr_exec_alloc(exec, n * sizeof(uint32_t));
}

static bool run_test(struct mr_exec *exec, struct frame *frame, const struct mr_op *op,
                     uint32_t n_registers)
{
    uint32_t *rows = scratch_rows(exec, frame->n);
    uint32_t n = 0;

    if (!rows)
        return false;
    if (is_string_equality(op)) {
        n = select_equal(frame->registers[op->args[0].reg], frame->n, op->args[1].constant,
                         op->compare == MR_EQ, rows);
        return keep(exec, frame, rows, n, op, n_registers);
    }
    for (uint32_t row = 0; row < frame->n; row++) {
        int order = mr_value_compare(op->type, operand_value(frame, &op->args[0], row),
                                     operand_value(frame, &op->args[1], row));
        rows[n] = row;
        n += mr_compare_holds(op->compare, order);
    }
    return keep(exec, frame, rows, n, op, n_registers);
}

/* The commonest of all: no row vanishes. */
static bool run_stream_bytes(struct mr_exec *exec, struct frame *frame, const struct mr_op *op)
{
    const union mr_value *in = frame->registers[op->args[0].reg];
    union mr_value *out = new_column(exec, frame->n);

    if (!out)
        return false;
    for (uint32_t row = 0; row < frame->n; row++) {
        const struct mr_chunk *chunk = in[row].b.ptr;
        out[row] = mr_value_bytes(chunk->data, chunk->len);
    }
    if (op->result != MR_NO_REGISTER)
        frame->registers[op->result] = out;
    return true;
}

static bool run_compute(struct mr_exec *exec, struct frame *frame, const struct mr_op *op,
                        uint32_t n_registers)
{
    if (op->compute == MR_COMPUTE_STREAM_BYTES && op->args[0].reg != MR_NO_REGISTER)
        return run_stream_bytes(exec, frame, op);
    uint32_t *rows = scratch_rows(exec, frame->n);
    union mr_value *out = new_column(exec, frame->n);
    uint32_t n = 0;

    if (!rows || !out)
        return false;
    const union mr_value none = {.b = {0, 0, 0}};
    for (uint32_t row = 0; row < frame->n; row++) {
        union mr_value x = operand_value(frame, &op->args[0], row);
        union mr_value y = op->n_args > 1 ? operand_value(frame, &op->args[1], row) : none;
        out[row] = none;
        rows[n] = row;
        n += mr_compute_value(exec, op, x, y, &out[row]);
    }
    if (op->result != MR_NO_REGISTER)
        frame->registers[op->result] = out;
    return keep(exec, frame, rows, n, op, n_registers);
}

/* The head: columns are the registers themselves. */
static struct mr_tuples *derive(struct mr_exec *exec, const struct mr_plan_rule *rule,
                                struct frame *frame)
{
    const struct mr_plan_predicate *head = &exec->plan->predicates[rule->head];
    size_t columns = (head->arity + 1) * sizeof(union mr_value *);
    struct mr_tuples *t = mr_exec_alloc(exec, sizeof *t + columns);

    if (!t)
        return NULL;
    *t = (struct mr_tuples){
        .predicate = rule->head,
        .n = frame->n,
        .origins = frame->origins,
        .contexts = frame->contexts,
        .flows = frame->flows,
        .ordinals = frame->ordinals,
        .transactions = frame->transactions,
        .synthetic = frame->synthetic,
        .columns = (union mr_value **)(void *)(t + 1),
        .at = frame->at,
    };
    for (uint32_t c = 0; c < head->arity; c++) {
        t->columns[c] = NULL;
        if (!head->attributes[c].live)
            continue;
        const struct mr_operand *operand = &rule->head_args[c];
        if (operand->reg != MR_NO_REGISTER) {
            t->columns[c] = frame->registers[operand->reg];
            t->late |= (uint64_t)is_late(frame, operand->reg) << c;
            continue;
        }
        t->columns[c] = new_column(exec, frame->n);
        if (!t->columns[c])
            return NULL;
        for (uint32_t row = 0; row < frame->n; row++)
            t->columns[c][row] = operand->constant;
    }
    return t;
}

/* The contexts of a batch, a copy unless nobody else looks at them any more; rows behind the end of
 * their context have its successor, also when it ended only after they were given it. */
static uint8_t **rule_contexts(struct mr_exec *exec, const struct mr_tuples *in, bool last)
{
    uint8_t **contexts = last ? in->contexts : mr_exec_alloc(exec, in->n * sizeof *contexts);

    if (!contexts)
        return NULL;
    if (!last)
        memcpy(contexts, in->contexts, in->n * sizeof *contexts);
    for (uint32_t row = 0; exec->ended && row < in->n; row++) {
        struct mr_context *c = contexts[row] ? mr_context_of_slots(contexts[row]) : NULL;
        /* who has a successor has ended, and `ended` lies where the key was looked at just now */
        while (c && c->ended && c->successor && c->end_origin != in->origins[row] &&
               mr_order_compare(mr_order_of(c->end_origin), mr_order_of(in->origins[row])) < 0)
            c = c->successor;
        if (c)
            contexts[row] = c->slots;
    }
    return contexts;
}

/* The rows that trigger the rule. False: no memory. */
static bool start(struct mr_exec *exec, struct frame *frame, const struct mr_plan_rule *rule,
                  const struct mr_tuples *in, bool last)
{
    uint32_t arity = exec->plan->predicates[rule->trigger].arity;

    memset(frame->registers, 0, rule->n_registers * sizeof *frame->registers);
    frame->n = in->n;
    frame->origins = in->origins;
    frame->flows = in->flows;
    frame->contexts = in->contexts;
    frame->ordinals = in->ordinals;
    frame->transactions = rule->view ? NULL : in->transactions; /* of all rows of its group */
    frame->synthetic = in->synthetic;
    frame->late = in->late;
    frame->at = in->at;
    for (uint32_t c = 0; c < arity; c++)
        frame->registers[c] = in->columns[c];
    /* a renewal belongs to this rule's rows only */
    return !in->contexts || (frame->contexts = rule_contexts(exec, in, last)) != NULL;
}

/* The head with its aggregates; `nothing`: the tables had no row for it, so all counts are 0. */
static struct mr_tuples *derive_aggregates(struct mr_exec *exec, const struct mr_plan_rule *rule,
                                           struct frame *frame, bool nothing)
{
    struct mr_tuples *result = derive(exec, rule, frame);

    result = result ? mr_aggregate(exec, rule, result) : NULL;
    for (uint32_t a = 0; result && nothing && a < rule->n_aggregates; a++)
        result->columns[rule->aggregates[a].column][0] = mr_value_int(0);
    return result;
}

/* The operations from number `i` on, which is that of the join that goes on (`level`) if there is
 * one. *joined: there was a join. */
static bool run_ops(struct mr_exec *exec, const struct mr_plan_rule *rule, struct frame *frame,
                    uint32_t i, struct mr_rule_run *slices, struct mr_rule_level *level,
                    bool *joined)
{
    bool ok = true;

    for (; ok && frame->n && i < rule->n_ops; i++, level = NULL) {
        const struct mr_op *op = &rule->ops[i];
        if (frame->late && !fetch_operands(exec, frame, op))
            return false;
        if (op->result < 64)
            frame->late &= ~((uint64_t)1 << op->result);
        exec->call_transactions = op->about ? frame->transactions : NULL;
        switch (op->kind) {
        case MR_OP_CALL:
            ok = run_call(exec, frame, op, rule->n_registers);
            break;
        case MR_OP_TEST:
            ok = run_test(exec, frame, op, rule->n_registers);
            break;
        case MR_OP_COMPUTE:
            ok = run_compute(exec, frame, op, rule->n_registers);
            break;
        case MR_OP_JOIN:
            *joined = true;
            ok = run_join(exec, rule, frame, i, slices, level);
            break;
        }
    }
    return ok;
}

/* The tables had no row for it, and all that the head tells is known of the tuple itself. */
static bool counts_nothing(const struct mr_plan_rule *rule, const struct mr_tuples *in, bool joined)
{
    return joined && rule->counts_nothing && !in->synthetic;
}

struct mr_tuples *mr_exec_rule(struct mr_exec *exec, const struct mr_plan_rule *rule,
                               const struct mr_tuples *in, bool last)
{
    struct frame rows;
    bool joined = false, nothing = false;

    bool ok =
        start(exec, &rows, rule, in, last) && run_ops(exec, rule, &rows, 0, NULL, NULL, &joined);
    if (ok && !rows.n && counts_nothing(rule, in, joined)) {
        nothing = true;
        ok = start(exec, &rows, rule, in, last);
    }
    struct mr_tuples *result = !ok || !rows.n       ? NULL
                               : rule->n_aggregates ? derive_aggregates(exec, rule, &rows, nothing)
                                                    : derive(exec, rule, &rows);
    if (!result && (!ok || rows.n))
        mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, in->n);
    return result;
}

/* ---- in slices ---- */

bool mr_exec_rule_slice(struct mr_exec *exec, struct mr_rule_run *run)
{
    struct mr_rule_level *level = run->top;
    struct mr_exec_mark mark = mr_exec_mark(exec);
    struct frame rows;
    bool ok = level || start(exec, &rows, run->rule, run->in, false);

    if (level)
        rows = level->frame;
    ok = ok && run_ops(exec, run->rule, &rows, level ? level->op : 0, run, level, &run->joined);
    struct mr_tuples *piece = ok && rows.n ? derive(exec, run->rule, &rows) : NULL;
    if (piece)
        mr_tuples_list_add(&run->pieces, piece);
    else if (!ok || rows.n)
        run->failed = true;
    else if (level && run->top == level) /* what nothing came of */
        mr_exec_rewind(exec, &mark);
    return run->failed || !run->top;
}

struct mr_tuples *mr_exec_rule_result(struct mr_exec *exec, struct mr_rule_run *run)
{
    const struct mr_plan_rule *rule = run->rule;
    struct mr_tuples *result = run->failed ? NULL : run->pieces.first;
    bool wanted = run->failed || result;
    struct frame rows;

    if (!wanted && counts_nothing(rule, run->in, run->joined)) {
        wanted = true;
        if (start(exec, &rows, rule, run->in, false))
            result = derive_aggregates(exec, rule, &rows, true);
    } else if (result && rule->n_aggregates) {
        result = mr_aggregate_all(exec, rule, &run->pieces);
    }
    if (!result && wanted)
        mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, run->in->n);
    return result;
}
