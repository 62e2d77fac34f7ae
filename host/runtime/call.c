/* The services of millrace/component.h that are the runtime's: results, memory, contexts, counters.
 * (Events are the engine's: they are made in its output format.) */
#include "runtime/exec.h"

#include <assert.h>
#include <immintrin.h>
#include <stdlib.h>

#define MAX_YIELDS (1u << 20) /* of one call */

static struct mr_exec *exec_of(const struct mr_call *call)
{
    return call->runtime;
}

static __attribute__((noinline, cold)) bool grow(struct mr_yields *y)
{
    uint32_t capacity = y->capacity ? y->capacity * 2 : 1024;
    if (capacity > MAX_YIELDS)
        return false;
    union mr_value *values = realloc(y->values, capacity * sizeof *values);
    if (values)
        y->values = values;
    uint32_t *rows = realloc(y->rows, capacity * sizeof *rows);
    if (rows)
        y->rows = rows;
    uint8_t **contexts = realloc(y->contexts, capacity * sizeof *contexts);
    if (contexts)
        y->contexts = contexts;
    if (!values || !rows || !contexts)
        return false;
    y->capacity = capacity;
    return true;
}

void mr_exec_yield(struct mr_exec *exec, uint32_t row, union mr_value value, uint8_t *context)
{
    struct mr_yields *y = &exec->yields;

    if (y->n == y->capacity && !grow(y)) {
        mr_metrics_add(exec->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, 1);
        return;
    }
    y->values[y->n] = value;
    y->rows[y->n] = row;
    y->contexts[y->n] = context;
    y->n++;
}

void mr_yield_of(struct mr_call *call, uint32_t row, union mr_value value,
                 const struct mr_transaction *transaction)
{
    struct mr_yields *y = &exec_of(call)->yields;
    uint32_t n = y->n;

    mr_yield(call, row, value);
    if (!transaction || y->n == n)
        return;
    if (y->n_of == y->capacity_of) {
        uint32_t capacity = y->capacity_of ? y->capacity_of * 2 : 64;
        struct mr_yield_of *of = realloc(y->of, capacity * sizeof *of);
        if (!of) {
            mr_metrics_add(exec_of(call)->metrics, MR_COUNT_TOKEN_MEMORY_REFUSED, 1);
            return;
        }
        y->of = of;
        y->capacity_of = capacity;
    }
    y->of[y->n_of++] = (struct mr_yield_of){n, transaction};
}

bool mr_exec_yield_transactions(struct mr_exec *exec, const struct mr_transaction **old,
                                const struct mr_transaction ***fresh)
{
    const struct mr_yields *y = &exec->yields;
    const struct mr_transaction **all;

    *fresh = NULL;
    if (!old && !y->n_of)
        return true; /* most yields */
    all = mr_exec_alloc(exec, y->n * sizeof *all);
    if (!all)
        return false;
    for (uint32_t i = 0; i < y->n; i++)
        all[i] = old ? old[y->rows[i]] : NULL;
    for (uint32_t i = 0; i < y->n_of; i++)
        all[y->of[i].at] = y->of[i].transaction;
    *fresh = all;
    return true;
}

void mr_yield_each(struct mr_call *call, const union mr_value *values)
{
    exec_of(call)->yields.each = values;
}

void mr_yield(struct mr_call *call, uint32_t row, union mr_value value)
{
    mr_exec_yield(exec_of(call), row, value, call->contexts ? call->contexts[row] : NULL);
}

void *mr_alloc(struct mr_call *call, size_t bytes)
{
    return mr_exec_alloc(exec_of(call), bytes);
}

uint64_t mr_hash(const struct mr_call *call, const void *bytes, size_t len)
{
    return mr_hash_bytes(exec_of(call)->secret, bytes, len);
}

struct mr_flow *mr_flow_of(const struct mr_call *call, uint32_t row)
{
    if (call->contexts && call->contexts[row]) {
        struct mr_context *c = mr_context_of_slots(call->contexts[row]);
        if (c->owns_flow)
            return &c->flow;
    }
    return exec_of(call)->call_flows[row];
}

void mr_context_ahead(const struct mr_call *call, uint32_t row)
{
    if (row >= call->n || !call->contexts || !call->contexts[row])
        return;
    __builtin_prefetch(call->contexts[row] + call->context_offset, 1);
    __builtin_prefetch(&mr_context_of_slots(call->contexts[row])->flow, 1);
}

bool mr_flow_bypass(struct mr_call *call, uint32_t row)
{
    static_assert(MR_BYPASS_PACKETS >= MR_BURST_MAX, "a token's packets are nearer together");
    struct mr_context *c = NULL;

    if (call->contexts && call->contexts[row])
        c = mr_context_of_slots(call->contexts[row]);
    if (!c || !c->owns_flow)
        return false;
    uint64_t from = call->packets[row]->number + MR_BYPASS_PACKETS;
    /* a stage may ask for an earlier row of the batch than one before it has */
    if (!c->flow.bypassed && (!c->flow.bypass_asked || from < c->flow.bypass_from)) {
        c->flow.bypass_asked = 1;
        c->flow.bypass_from = from;
    }
    return true;
}

void mr_flow_encrypted(struct mr_call *call, uint32_t row)
{
    if (mr_exec_config(exec_of(call))->bypass_encrypted)
        mr_flow_bypass(call, row);
}

uint64_t mr_stream_depth(const struct mr_call *call)
{
    uint64_t depth = mr_exec_config(exec_of(call))->depth;
    return depth ? depth : UINT64_MAX;
}

/* hand_on() for as many rows as are fours; returns their number. */
__attribute__((target("avx2"))) static uint32_t
replace_avx2(uint8_t **rows, uint32_t n, const uint8_t *gone, const uint8_t *slots)
{
    const __m256i from = _mm256_set1_epi64x((int64_t)(uintptr_t)gone);
    const __m256i to = _mm256_set1_epi64x((int64_t)(uintptr_t)slots);
    uint32_t i = 0;

    for (; i + 4 <= n; i += 4) {
        __m256i *at = (__m256i *)(void *)(rows + i), four = _mm256_loadu_si256(at);
        _mm256_storeu_si256(at, _mm256_blendv_epi8(four, to, _mm256_cmpeq_epi64(four, from)));
    }
    return i;
}

/* Rows of the call from `row` on that have the context `old` get `fresh`. */
static void hand_on(struct mr_call *call, uint32_t row, const struct mr_context *old,
                    struct mr_context *fresh)
{
    uint8_t **rows = call->contexts + row, *slots = fresh->slots;
    const uint8_t *gone = old->slots;
    uint32_t i = 0, n = call->n - row;

    if (__builtin_cpu_supports("avx2"))
        i = replace_avx2(rows, n, gone, slots);
    for (; i < n; i++)
        rows[i] = rows[i] == gone ? slots : rows[i];
}

void mr_context_renew(struct mr_call *call, uint32_t row)
{
    struct mr_exec *exec = exec_of(call);
    struct mr_context *old = mr_context_of_slots(call->contexts[row]);
    struct mr_context *fresh =
        mr_exec_renew_context(exec, old, call->packets[row], mr_exec_call_ordinal(exec, row));

    if (fresh != old)
        hand_on(call, row, old, fresh);
}

void mr_context_end(struct mr_call *call, uint32_t row)
{
    struct mr_exec *exec = exec_of(call);
    struct mr_context *old = mr_context_of_slots(call->contexts[row]);
    uint32_t next = row + 1, ordinal = mr_exec_call_ordinal(exec, row);

    while (next < call->n && call->contexts[next] != old->slots)
        next++;
    if (next == call->n) {
        mr_exec_end_context(exec, old, call->packets[row], ordinal);
        return;
    }
    /* what comes later under the key begins anew, in this burst as in the next */
    struct mr_context *fresh = mr_exec_renew_context(exec, old, call->packets[row], ordinal);
    if (fresh != old)
        hand_on(call, next, old, fresh);
}

void mr_context_deadline(struct mr_call *call, uint32_t row, uint64_t deadline_ns)
{
    struct mr_context *c = mr_context_of_slots(call->contexts[row]);
    uint64_t number = call->packets[row]->number;

    /* another function may have been called for a later packet of the burst already */
    if (c->ended || number < c->deadline_packet)
        return;
    c->deadline_packet = number;
    mr_contexts_deadline(exec_of(call)->contexts, c, deadline_ns);
}

void mr_count(struct mr_call *call, uint32_t index, uint64_t n)
{
    struct mr_exec *exec = exec_of(call);
    if (index >= MR_MAX_COUNTERS || exec->call_asks)
        return;
    _Atomic uint64_t *counter = &exec->bindings[exec->call_op->binding].counters[index];
    uint64_t v = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, v + n, memory_order_relaxed);
}

struct mr_buffer *mr_buffer_get(void *runtime, size_t capacity)
{
    return mr_buffers_get(((struct mr_exec *)runtime)->buffers, capacity);
}

void mr_buffer_put(void *runtime, struct mr_buffer *buffer)
{
    mr_buffers_put(((struct mr_exec *)runtime)->buffers, buffer);
}

void mr_keep(struct mr_call *call, struct mr_buffer *buffer)
{
    struct mr_exec *exec = exec_of(call);

    mr_buffers_keep(exec->buffers, buffer);
    mr_token_keep(exec->token, buffer);
}
