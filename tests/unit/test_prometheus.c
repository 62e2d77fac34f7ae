/* Prometheus' text format, byte for byte. */
// layers: metrics
#include "metrics/prometheus.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void text_is_escaped(void **state)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    const struct mr_prometheus_label labels[] = {{"path", "C:\\a \"b\"\nc"}, {"id", "1"}};

    (void)state;
    assert_non_null(to);
    mr_prometheus_family(to, "a_total", "counter", "back\\slash,\nline and \"quote\"");
    mr_prometheus_count(to, "a_total", "", labels, 2, UINT64_MAX);
    mr_prometheus_sample(to, "a_total", "_sum", labels, 1, 0.25);
    mr_prometheus_sample(to, "a_total", "", NULL, 0, NAN);
    mr_prometheus_sample(to, "a_total", "", NULL, 0, INFINITY);
    mr_prometheus_sample(to, "a_total", "", NULL, 0, -INFINITY);
    fclose(to);
    assert_string_equal(text, "# HELP a_total back\\\\slash,\\nline and \"quote\"\n"
                              "# TYPE a_total counter\n"
                              "a_total{path=\"C:\\\\a \\\"b\\\"\\nc\",id=\"1\"} "
                              "18446744073709551615\n"
                              "a_total_sum{path=\"C:\\\\a \\\"b\\\"\\nc\"} 0.25\n"
                              "a_total NaN\na_total +Inf\na_total -Inf\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(text_is_escaped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
