/* The largest flows against exact counts, whoever was told of which flow. */
// layers: metrics base
#include "metrics/top.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_FLOWS 3000

static uint64_t seed;

static uint64_t draw(uint64_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return ((seed ^ seed >> 29) * 0x94d049bb133111ebu >> 16) % below;
}

static struct mr_top_flow flow_of(uint32_t i, uint64_t bytes)
{
    struct mr_top_flow flow = {.first_packet = 1 + i / 2, .bytes = bytes, .packets = bytes / 100};
    flow.client.port =
        (uint16_t)i; /* two flows begin with one packet's number, in two tunnels say */
    flow.server.port = 25;
    return flow;
}

static int larger_first(const void *x, const void *y)
{
    const struct mr_top_flow *a = x, *b = y;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    if (a->first_packet != b->first_packet)
        return a->first_packet < b->first_packet ? -1 : 1;
    return memcmp(&a->client, &b->client, sizeof a->client);
}

/* Flows that grow in steps, told to a worker drawn for each step, and at their end. */
static void exactly_the_largest(void **state)
{
    static struct mr_top_flow exact[N_FLOWS], got[MR_TOP_MOST];
    (void)state;
    for (seed = 1; seed < 40; seed += 2) {
        struct mr_top tops[5];
        uint32_t workers = 1 + (uint32_t)draw(5), capacity = 1 + (uint32_t)draw(40);
        uint32_t n_flows = 1 + (uint32_t)draw(N_FLOWS);
        for (uint32_t w = 0; w < workers; w++)
            assert_int_equal(mr_top_init(&tops[w], capacity), MR_OK);
        for (uint32_t i = 0; i < n_flows; i++)
            exact[i] = flow_of(i, 0);
        for (uint32_t left = n_flows * 4; left; left--) {
            struct mr_top_flow *flow = &exact[draw(n_flows)];
            flow->bytes += draw(draw(2) ? 10 : 100000); /* many of one size */
            flow->packets++;
            struct mr_top_flow told = *flow;
            if (draw(9) == 0) { /* its ends were mistaken for each other at first */
                told.client = flow->server;
                told.server = flow->client;
            }
            mr_top_tell(&tops[draw(workers)], &told);
        }
        for (uint32_t i = 0; i < n_flows; i++)
            mr_top_tell(&tops[draw(workers)], &exact[i]);
        qsort(exact, n_flows, sizeof *exact, larger_first);
        uint32_t n = mr_top_merge(tops, workers, got, capacity);
        assert_int_equal(n, n_flows < capacity ? n_flows : capacity);
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(got[i].bytes, exact[i].bytes);
            assert_int_equal(got[i].first_packet, exact[i].first_packet);
            assert_int_equal(got[i].packets, exact[i].packets);
        }
        for (uint32_t w = 0; w < workers; w++)
            mr_top_free(&tops[w]);
    }
}

static _Atomic int writing;

static void *tell_many(void *argument)
{
    for (uint32_t i = 0; i < 30000; i++) {
        struct mr_top_flow flow = flow_of(i % 500, i);
        mr_top_tell(argument, &flow);
    }
    atomic_store(&writing, 0);
    return NULL;
}

static void readers_see_whole_flows(void **state)
{
    struct mr_top top;
    pthread_t writer;
    (void)state;
    assert_int_equal(mr_top_init(&top, 10), MR_OK);
    atomic_store(&writing, 1);
    assert_int_equal(pthread_create(&writer, NULL, tell_many, &top), 0);
    while (atomic_load(&writing)) {
        struct mr_top_flow flows[10];
        uint32_t n = mr_top_merge(&top, 1, flows, 10);
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(flows[i].packets, flows[i].bytes / 100);
            assert_true(!i || flows[i].bytes < flows[i - 1].bytes);
        }
    }
    pthread_join(writer, NULL);
    struct mr_top_flow flows[3];
    assert_int_equal(mr_top_merge(&top, 1, flows, 3), 3);
    assert_int_equal(flows[0].bytes, 29999);
    assert_int_equal(flows[2].bytes, 29997);
    mr_top_free(&top);
}

static void none_are_kept(void **state)
{
    struct mr_top top;
    struct mr_top_flow flow = flow_of(1, 1000);
    (void)state;
    assert_int_equal(mr_top_init(&top, 0), MR_OK);
    mr_top_tell(&top, &flow);
    assert_int_equal(mr_top_merge(&top, 1, &flow, 1), 0);
    mr_top_free(&top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_the_largest),
        cmocka_unit_test(readers_see_whole_flows),
        cmocka_unit_test(none_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
