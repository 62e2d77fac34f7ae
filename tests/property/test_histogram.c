/* Histograms against sorted values: quantiles within 1/32, sums exact, readers beside the writer.
 */
// layers: base metrics
#include "base/ticks.h"
#include "metrics/stage.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N 20000

static uint64_t seed;

static uint64_t draw(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed ^ seed >> 29) * 0x94d049bb133111ebu >> 3;
}

/* Values of all sizes, few sizes, or one. */
static uint64_t value_of(int kind)
{
    switch (kind) {
    case 0:
        return draw() >> (draw() % 61);
    case 1:
        return draw() % 40;
    case 2:
        return 1000000 + draw() % 64;
    case 3:
        return 12345;
    default:
        return (draw() & 63) ? 500 + draw() % 500 : draw() % (1u << 30);
    }
}

static int compare(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

static uint64_t capped(uint64_t value)
{
    uint64_t most = (1ull << MR_HISTOGRAM_BITS) - 1;
    return value < most ? value : most;
}

static void quantiles_are_close(void **state)
{
    static const double shares[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    uint64_t *values = malloc(N * sizeof *values);
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        struct mr_histogram *h = calloc(2, sizeof *h);
        uint64_t sum = 0;
        for (int i = 0; i < N; i++) {
            values[i] = value_of(kind);
            sum += values[i];
            mr_histogram_add(&h[i & 1], values[i], 1);
        }
        mr_histogram_sum(&h[0], &h[1]); /* two writers */
        qsort(values, N, sizeof *values, compare);
        assert_int_equal(mr_histogram_count(&h[0]), N);
        assert_true(atomic_load(&h[0].sum) == sum);
        assert_true(atomic_load(&h[0].max) == values[N - 1]);
        for (size_t s = 0; s < sizeof shares / sizeof *shares; s++) {
            double rank = shares[s] * N;
            size_t at = rank < 1 ? 0 : (size_t)rank - ((double)(size_t)rank == rank);
            double exact = (double)capped(values[at]);
            double got = (double)capped(mr_histogram_quantile(&h[0], shares[s]));
            double error = got > exact ? got - exact : exact - got;
            if (error > exact / 32)
                fail_msg("kind %d, quantile %g: %g, not %g", kind, shares[s], got, exact);
        }
        free(h);
    }
    free(values);
}

static void every_value_has_its_bucket(void **state)
{
    uint32_t last = 0;
    (void)state;
    for (uint64_t v = 0; v < 1u << 20; v++) {
        uint32_t bucket = mr_histogram_bucket(v);
        assert_true(bucket == last || bucket == last + 1); /* none is left out, none goes back */
        last = bucket;
    }
    assert_int_equal(mr_histogram_bucket((1ull << 40) - 1), MR_HISTOGRAM_BUCKETS - 1);
    assert_int_equal(mr_histogram_bucket(1ull << 40), MR_HISTOGRAM_BUCKETS - 1);
    assert_int_equal(mr_histogram_bucket(UINT64_MAX), MR_HISTOGRAM_BUCKETS - 1);
}

static void weights_and_differences(void **state)
{
    struct mr_histogram *h = calloc(2, sizeof *h);
    (void)state;
    assert_int_equal(mr_histogram_quantile(h, 0.5), 0);
    assert_true(mr_histogram_mean(h) == 0);
    mr_histogram_add(&h[0], 10, 3);
    mr_histogram_add(&h[0], 20, 1);
    assert_int_equal(mr_histogram_count(h), 4);
    assert_true(mr_histogram_mean(h) == 12.5);
    assert_int_equal(mr_histogram_quantile(h, 0.75), 10);
    assert_int_equal(mr_histogram_quantile(h, 0.76), 20);
    mr_histogram_sum(&h[1], &h[0]);
    mr_histogram_add(&h[1], 7, 2);
    mr_histogram_subtract(&h[1], &h[0]);
    assert_int_equal(mr_histogram_count(&h[1]), 2);
    assert_true(mr_histogram_mean(&h[1]) == 7);
    free(h);
}

static void add(struct mr_stage_metrics *m, struct mr_stage_times times, uint64_t tuples)
{
    mr_stage_count(m, tuples > 1 ? MR_WAY_STOLEN : MR_WAY_LOCAL, tuples);
    mr_stage_time(m, &times, 1, tuples);
}

static void a_batch_is_shared_by_its_tuples(void **state)
{
    struct mr_stage_metrics *m = aligned_alloc(64, 2 * sizeof *m);
    (void)state;
    memset(m, 0, 2 * sizeof *m);
    add(&m[0], (struct mr_stage_times){MR_LANE_USUAL, 100, 10, 40}, 4);
    add(&m[0], (struct mr_stage_times){MR_LANE_HOT, 200, 6, 6}, 1);
    add(&m[0], (struct mr_stage_times){MR_LANE_USUAL, 300, 5, 5}, 0); /* counts for itself */
    mr_stage_in_flight(&m[0], 7);
    mr_stage_in_flight(&m[0], 5);
    mr_stage_in_flight(&m[1], 6);
    mr_stage_sum(&m[1], &m[0]);
    assert_int_equal(m[1].most_in_flight, 7); /* no sum */
    assert_int_equal(m[1].batches[MR_WAY_LOCAL], 2);
    assert_int_equal(m[1].batches[MR_WAY_STOLEN], 1);
    assert_int_equal(mr_stage_batches(&m[1]), 3);
    assert_int_equal(m[1].tuples, 5);
    assert_int_equal(mr_histogram_count(&m[1].queued[MR_LANE_USUAL]), 4);
    assert_int_equal(mr_histogram_count(&m[1].queued[MR_LANE_HOT]), 1);
    assert_int_equal(mr_histogram_quantile(&m[1].tuple, 0.5), 10);
    assert_true(mr_histogram_mean(&m[1].tuple) == 46.0 / 5);
    assert_true(mr_histogram_mean(&m[1].batch) == 51.0 / 3);
    free(m);
}

static _Atomic int writing;

static void *write_many(void *argument)
{
    for (uint64_t i = 0; i < 200000; i++)
        mr_histogram_add(argument, i, 1);
    atomic_store(&writing, 0);
    return NULL;
}

static void readers_see_no_more_than_there_is(void **state)
{
    struct mr_histogram *h = calloc(1, sizeof *h);
    pthread_t writer;
    uint64_t before = 0;
    (void)state;
    atomic_store(&writing, 1);
    assert_int_equal(pthread_create(&writer, NULL, write_many, h), 0);
    while (atomic_load(&writing)) {
        uint64_t n = mr_histogram_count(h);
        assert_true(n >= before && n <= 200000);
        before = n;
    }
    pthread_join(writer, NULL);
    assert_int_equal(mr_histogram_count(h), 200000);
    free(h);
}

/* How many ns a millisecond comes to; too few where we were not running between looks at both. */
static double a_millisecond(struct mr_ticks *ticks)
{
    mr_ticks_start(ticks);
    double length = mr_ticks_length_ns(ticks);
    assert_true(length > 0);
    uint64_t before = mr_ticks_now(ticks);
    uint64_t ns = mr_clock_ns();
    while (mr_clock_ns() < ns + 1000000)
        ;
    return (double)(mr_ticks_now(ticks) - before) * length;
}

static void ticks_go_with_the_clock(void **state)
{
    struct mr_ticks ticks;
    (void)state;
    double ns = a_millisecond(&ticks), length = mr_ticks_length_ns(&ticks);
    for (int i = 0; i < 9 && (ns <= 900000 || length <= 0.01 || length >= 1000); i++) {
        ns = a_millisecond(&ticks);
        length = mr_ticks_length_ns(&ticks);
    }
    assert_true(length > 0.01 && length < 1000);
    assert_true(ns > 900000);
    uint64_t before = mr_clock_ns();
    ticks.counter = false; /* without an even counter: nanoseconds */
    assert_true(mr_ticks_length_ns(&ticks) == 1);
    assert_true(mr_ticks_now(&ticks) >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_close),
        cmocka_unit_test(every_value_has_its_bucket),
        cmocka_unit_test(weights_and_differences),
        cmocka_unit_test(a_batch_is_shared_by_its_tuples),
        cmocka_unit_test(readers_see_no_more_than_there_is),
        cmocka_unit_test(ticks_go_with_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
