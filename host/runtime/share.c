/* What functions keep with bytes that many look into, found by where the bytes lie: two lists that
 * only grow until the token closes, so that nobody waits for anybody. */
#include "runtime/exec.h"

/* What one of them made. */
struct mr_shared_made {
    struct mr_shared_made *next;
    const void *key, *made;
};

/* Bytes, and what was made of them. */
struct mr_shared {
    struct mr_shared *next; /* in its bucket */
    const void *ptr;
    uint32_t len;
    _Atomic(struct mr_shared_made *) made;
};

static _Atomic(struct mr_shared *) *bucket_of(struct mr_token *token, union mr_value value)
{
    uint64_t hash = (uint64_t)(uintptr_t)value.b.ptr * 0x9e3779b97f4a7c15ull;
    return &token->shared[hash >> 32 & (MR_SHARED_BUCKETS - 1)];
}

static struct mr_shared *find(struct mr_token *token, union mr_value value)
{
    struct mr_shared *s = atomic_load_explicit(bucket_of(token, value), memory_order_acquire);

    while (s && (s->ptr != value.b.ptr || s->len != value.b.len))
        s = s->next;
    return s;
}

static const struct mr_shared_made *find_made(const struct mr_shared_made *made, const void *key)
{
    while (made && made->key != key)
        made = made->next;
    return made;
}

uint32_t mr_sharers(const struct mr_call *call)
{
    return ((const struct mr_exec *)call->runtime)->sharers;
}

void mr_share(struct mr_call *call, union mr_value value)
{
    struct mr_exec *exec = call->runtime;

    if (!exec->sharers)
        return;
    struct mr_shared *fresh = mr_exec_alloc(exec, sizeof *fresh);
    if (!fresh)
        return;
    _Atomic(struct mr_shared *) *bucket = bucket_of(exec->token, value);
    exec->shared++;
    atomic_store_explicit(&exec->token->any_shared, 1, memory_order_relaxed);
    *fresh = (struct mr_shared){.ptr = value.b.ptr, .len = value.b.len};
    fresh->next = atomic_load_explicit(bucket, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(bucket, &fresh->next, fresh, memory_order_release,
                                                  memory_order_relaxed))
        ;
}

bool mr_is_shared(const struct mr_call *call, union mr_value value)
{
    return find(((const struct mr_exec *)call->runtime)->token, value) != NULL;
}

const void *mr_shared(struct mr_call *call, union mr_value value, const void *key)
{
    struct mr_exec *exec = call->runtime;
    struct mr_shared *s = find(exec->token, value);
    const struct mr_shared_made *made =
        s ? find_made(atomic_load_explicit(&s->made, memory_order_acquire), key) : NULL;

    return made ? made->made : NULL;
}

/* Above a quarter of the cap, memory is for what cannot be made anew. */
void *mr_share_alloc(struct mr_call *call, size_t bytes)
{
    struct mr_exec *exec = call->runtime;
    struct mr_buffers_usage usage;

    mr_buffers_usage(exec->buffers, &usage);
    return bytes <= usage.cap_bytes && usage.used_bytes + bytes <= usage.cap_bytes / 4
               ? mr_exec_alloc(exec, bytes)
               : NULL;
}

const void *mr_share_made(struct mr_call *call, union mr_value value, const void *key,
                          const void *made)
{
    struct mr_exec *exec = call->runtime;
    struct mr_shared *s = find(exec->token, value);
    struct mr_shared_made *fresh = s ? mr_exec_alloc(exec, sizeof *fresh) : NULL;

    if (!fresh)
        return made;
    exec->shared++;
    *fresh = (struct mr_shared_made){.key = key, .made = made};
    fresh->next = atomic_load_explicit(&s->made, memory_order_acquire);
    do {
        const struct mr_shared_made *before = find_made(fresh->next, key);
        if (before)
            return before->made;
    } while (!atomic_compare_exchange_weak_explicit(&s->made, &fresh->next, fresh,
                                                    memory_order_release, memory_order_acquire));
    return made;
}

void mr_token_share_with(struct mr_token *to, const struct mr_token *from)
{
    if (!atomic_load_explicit(&from->any_shared, memory_order_relaxed))
        return;
    atomic_store_explicit(&to->any_shared, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < MR_SHARED_BUCKETS; i++)
        atomic_store_explicit(&to->shared[i],
                              atomic_load_explicit(&from->shared[i], memory_order_relaxed),
                              memory_order_relaxed);
}

void mr_token_forget_shared(struct mr_token *token)
{
    if (!atomic_load_explicit(&token->any_shared, memory_order_relaxed))
        return;
    atomic_store_explicit(&token->any_shared, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < MR_SHARED_BUCKETS; i++)
        atomic_store_explicit(&token->shared[i], NULL, memory_order_relaxed);
}

uint32_t mr_plan_sharers(const struct mr_plan *plan)
{
    uint32_t n = 0;

    for (uint32_t g = 0; g < plan->n_groups; g++) {
        struct mr_group_calls at = {0};
        const struct mr_op *op;
        while ((op = mr_group_next_call(plan, g, &at)))
            n += op->function->shares;
    }
    return n;
}
