/* What functions keep with shared bytes, under all interleavings: whoever asks gets one and the
 * same thing, which is whole. */
// layers: explored
#include "runtime/exec.h"
#include "virtual/explore.h"
#include "virtual/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define THREADS 3

static const char key, other_key;
static const char mail[] = "a mail";

struct made {
    uint32_t by, whole;
};

/* Thread 0 shares, works and goes on; the others are workers that come to the mail later. */
struct share_case {
    struct mr_token *token;
    struct mr_exec exec[THREADS];
    struct mr_call call[THREADS];
    struct mr_buffer chunk[THREADS];
    uint8_t memory[THREADS][4096];
    struct made made[THREADS];
    const struct made *got[THREADS], *other[THREADS];
};

static void set_up(void *user)
{
    struct share_case *c = user;
    struct mr_token *token = c->token;

    memset(token, 0, sizeof *token);
    memset(c, 0, sizeof *c);
    c->token = token;
    for (uint32_t i = 0; i < THREADS; i++) {
        c->chunk[i] = (struct mr_buffer){.data = c->memory[i], .capacity = sizeof c->memory[i]};
        c->exec[i].token = token;
        c->exec[i].sharers = THREADS;
        c->exec[i].chunk = &c->chunk[i];
        c->call[i].runtime = &c->exec[i];
    }
    mr_share(&c->call[0], mr_value_bytes(mail, sizeof mail));
}

static const struct made *ask(struct share_case *c, uint32_t i, const void *under)
{
    union mr_value value = mr_value_bytes(mail, sizeof mail);
    const struct made *there = mr_shared(&c->call[i], value, under);

    if (there)
        return there;
    c->made[i].by = i;
    c->made[i].whole = 1;
    return mr_share_made(&c->call[i], value, under, &c->made[i]);
}

static void thread(void *user, uint32_t index)
{
    struct share_case *c = user;

    if (index == 1) /* one more mail, which may lie in the same bucket */
        mr_share(&c->call[1], mr_value_bytes(mail + 1, 2));
    c->got[index] = ask(c, index, &key);
    if (!c->got[index]->whole)
        mr_explore_bug("what was kept is not whole");
    c->other[index] = mr_shared(&c->call[index], mr_value_bytes(mail, sizeof mail), &other_key);
}

static bool check(void *user)
{
    struct share_case *c = user;

    for (uint32_t i = 0; i < THREADS; i++)
        if (c->got[i] != c->got[0] || c->other[i])
            return false;
    return mr_is_shared(&c->call[0], mr_value_bytes(mail + 1, 2)) &&
           !mr_is_shared(&c->call[0], mr_value_bytes(mail + 1, 3)) &&
           mr_shared(&c->call[0], mr_value_bytes(mail, sizeof mail), &key) == c->got[0];
}

static struct mr_explore search_of(struct share_case *c)
{
    return (struct mr_explore){.set_up = set_up,
                               .thread = thread,
                               .check = check,
                               .user = c,
                               .n_threads = THREADS,
                               .bound = 3};
}

static void all_get_the_same(void **state)
{
    (void)state;
    for (int buffers = 0; buffers < 2; buffers++) {
        struct share_case c = {.token = aligned_alloc(64, sizeof *c.token)};
        struct mr_explore search = search_of(&c);
        search.store_buffers = buffers;
        if (!mr_explore(&search))
            fail_msg("%s after %llu runs; schedule %s", search.bug, (unsigned long long)search.runs,
                     search.schedule);
        assert_true(search.complete);
        print_message("%llu runs\n", (unsigned long long)search.runs);
        free(c.token);
    }
}

/* When the token closes nothing is shared any more. */
static void it_goes_with_the_token(void **state)
{
    struct share_case c = {.token = aligned_alloc(64, sizeof *c.token)};
    (void)state;

    set_up(&c);
    assert_true(mr_is_shared(&c.call[0], mr_value_bytes(mail, sizeof mail)));
    mr_token_forget_shared(c.token);
    assert_false(mr_is_shared(&c.call[0], mr_value_bytes(mail, sizeof mail)));
    assert_ptr_equal(ask(&c, 1, &key), &c.made[1]); /* one's own: nothing is kept */
    assert_null(mr_shared(&c.call[0], mr_value_bytes(mail, sizeof mail), &key));
    free(c.token);
}

/* Contexts that end say nothing, and what that took is given back: not what they shared. */
static void it_stays_when_nothing_came_of_a_task(void **state)
{
    struct share_case c = {.token = aligned_alloc(64, sizeof *c.token)};
    struct mr_exec *exec = &c.exec[0];
    void *before, *after;
    (void)state;

    set_up(&c);
    struct mr_exec_mark mark = mr_exec_mark(exec);
    before = mr_exec_alloc(exec, 64);
    mr_exec_rewind(exec, &mark);
    after = mr_exec_alloc(exec, 64);
    assert_ptr_equal(before, after);
    mark = mr_exec_mark(exec);
    mr_share(&c.call[0], mr_value_bytes(mail + 1, 2));
    ask(&c, 0, &key);
    mr_exec_rewind(exec, &mark);
    memset(mr_exec_alloc(exec, 512), 0xff, 512);
    assert_true(mr_is_shared(&c.call[0], mr_value_bytes(mail + 1, 2)));
    assert_ptr_equal(mr_shared(&c.call[0], mr_value_bytes(mail, sizeof mail), &key), &c.made[0]);
    mark = mr_exec_mark(exec); /* the bytes are known, what is made of them is new */
    mr_share_made(&c.call[0], mr_value_bytes(mail, sizeof mail), &other_key, &c.made[1]);
    mr_exec_rewind(exec, &mark);
    memset(mr_exec_alloc(exec, 512), 0xff, 512);
    assert_ptr_equal(mr_shared(&c.call[0], mr_value_bytes(mail, sizeof mail), &other_key),
                     &c.made[1]);
    free(c.token);
}

/* What others can make anew has but a quarter of the memory, and is not missed. */
static void there_is_memory_for_what_is_needed(void **state)
{
    struct share_case c = {.token = aligned_alloc(64, sizeof *c.token)};
    struct mr_metrics metrics = {0};
    struct mr_buffers *pool;
    uint32_t n = 0;
    (void)state;

    set_up(&c);
    assert_false(mr_buffers_new(&pool, 1u << 20));
    c.exec[0].buffers = pool;
    c.exec[0].metrics = &metrics;
    c.exec[0].chunk = NULL;
    while (n < 64 && mr_share_alloc(&c.call[0], 32768))
        n++;
    assert_in_range(n, 2, 16);
    assert_null(mr_share_alloc(&c.call[0], SIZE_MAX / 2));
    assert_int_equal(atomic_load(&metrics.counters[MR_COUNT_TOKEN_MEMORY_REFUSED]), 0);
    assert_non_null(mr_alloc(&c.call[0], 32768));
    for (struct mr_buffer *next, *b = atomic_load(&c.token->kept); b; b = next) {
        next = b->next;
        mr_buffers_put(pool, b);
    }
    mr_buffers_free(pool);
    free(c.token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_get_the_same),
        cmocka_unit_test(it_goes_with_the_token),
        cmocka_unit_test(it_stays_when_nothing_came_of_a_task),
        cmocka_unit_test(there_is_memory_for_what_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
