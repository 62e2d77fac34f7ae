/* Bringing records in order some at a time: the same order as at once, however few steps there are
 * each time, and no more than were granted. */
// layers: runtime analog base
#include "runtime/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define MOST 3000u

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 33) % below;
}

/* `len` says which one it is: the n-th of the list as it was when sorting began. */
static bool in_order(const struct mr_record *x, const struct mr_record *y)
{
    int order = mr_order_compare(x->order, y->order);
    if (order)
        return order < 0;
    if (x->ordinal != y->ordinal)
        return x->ordinal < y->ordinal;
    if (x->sequence != y->sequence)
        return x->sequence < y->sequence;
    return x->len < y->len;
}

/* n records of tasks that leave up to `run` in order; of `kinds` there are equal ones. */
static struct mr_record *fill(struct mr_token *token, uint32_t n, uint32_t run, uint32_t kinds)
{
    struct mr_record *all = calloc(n ? n : 1, sizeof *all);
    uint32_t at = 0;

    assert_non_null(all);
    while (at < n) {
        uint32_t rows = 1 + draw(run), begun = draw(kinds);
        rows = rows < n - at ? rows : n - at;
        for (uint32_t i = 0; i < rows; i++) {
            all[at + i].order.number = begun + i / 2;
            all[at + i].ordinal = draw(2);
            all[at + i].sequence = i % 2;
            all[at + i].next = i + 1 < rows ? &all[at + i + 1] : NULL;
        }
        mr_token_push_records(token, &all[at], &all[at + rows - 1]);
        at += rows;
    }
    at = 0;
    for (struct mr_record *r = atomic_load(&token->records); r; r = r->next)
        r->len = at++;
    return all;
}

static void check(const struct mr_record *list, uint32_t n)
{
    uint32_t found = 0;

    for (; list; list = list->next, found++)
        assert_true(!list->next || in_order(list, list->next));
    assert_int_equal(found, n);
}

static void few_steps_at_a_time(void **state)
{
    static const uint32_t sizes[] = {0, 1, 2, 3, 17, 256, MOST}, runs[] = {1, 5, 300},
                          steps[] = {1, 2, 7, 100, 4096, UINT32_MAX};
    struct mr_token *token = calloc(1, sizeof *token);

    (void)state;
    assert_non_null(token);
    for (uint32_t i = 0; i < 7 * 3 * 6; i++) {
        uint32_t n = sizes[i % 7], granted = steps[i / 21];
        struct mr_record *all = fill(token, n, runs[i / 7 % 3], i % 2 ? 3 : 10000);
        uint64_t calls = 1, most = (uint64_t)n * 34 / granted + 2; /* a merge a level, at most */
        uint32_t left = 0;
        assert_int_equal(mr_token_sort(token, &left), !n); /* nothing is granted: nothing is lost */
        left = granted;
        while (!mr_token_sort(token, &left)) {
            assert_int_equal(left, 0);
            left = granted;
            calls++;
        }
        assert_true(calls <= most);
        uint32_t before = left;
        assert_true(mr_token_sort(token, &left)); /* and nothing more happens */
        assert_int_equal(left, before);
        assert_int_equal(token->sorting.n, n);
        check(token->sorting.sort.whole, n);
        mr_token_forget_records(token);
        check(mr_token_sorted_records(token), 0);
        free(all);
        all = fill(token, n, runs[i / 7 % 3], 100);
        check(mr_token_sorted_records(token), n);
        free(all);
    }
    free(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(few_steps_at_a_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
