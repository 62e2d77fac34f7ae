/* The component "mime": what programs see of a mail. */
// layers: components harness
#include "harness/harness.h"

#include "millrace/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const struct mr_component mr_component_mime;

static const char mail[] =
    "From: a@b\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nReceived: one\r\nReceived: two\r\n"
    "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\n"
    /* <p>in<b></b>voice <u hidden>secret</u><a href="http://a.b/">go</a> */
    "PHA+aW48Yj48L2I+dm9pY2UgPHUgaGlkZGVuPnNlY3JldDwvdT48YSBocmVmPSJodHRwOi8vYS5i\r\n"
    "LyI+Z288L2E+\r\n--x\r\nContent-Type: application/pdf; name=a.pdf\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--x--\r\n";

/* The results of a function for the mail (and, if not NULL, one more argument), one a line. */
static char *results(const char *name, const char *argument, const char *text)
{
    struct mr_harness *h = mr_harness_new(mr_harness_find(&mr_component_mime, name), NULL, 0);
    union mr_value a = mr_value_bytes(text, (uint32_t)strlen(text));
    union mr_value b = mr_value_bytes(argument, argument ? (uint32_t)strlen(argument) : 0);
    struct mr_harness_rows rows = {.n = 1, .args = {&a, &b}};
    char *all = calloc(1, 10000), *at = all;
    uint32_t n = mr_harness_call(h, &rows);

    for (uint32_t i = 0; i < n; i++) {
        union mr_value value = mr_harness_results(h)[i].value;
        at += sprintf(at, "%.*s\n", (int)value.b.len, (const char *)value.b.ptr);
    }
    mr_harness_free(h);
    return all;
}

static void assert_results(const char *name, const char *argument, const char *want)
{
    char *got = results(name, argument, mail);
    assert_string_equal(got, want);
    free(got);
}

static void test_functions(void **state)
{
    (void)state;
    assert_results("f_mimeText", NULL, "invoice go\n");
    assert_results("f_mimeHidden", NULL, "secret\n");
    assert_results("f_mimeHeader", "SUBJECT", "Grüße\n");
    assert_results("f_mimeHeader", "received", "one\ntwo\n");
    assert_results("f_mimeHeader", "absent", "");
    assert_results("f_mimeLinks", NULL, "http://a.b/\n");
    assert_results("f_mimeContent", NULL,
                   "<p>in<b></b>voice <u hidden>secret</u><a href=\"http://a.b/\">go</a>\nabc\n");
}

static void test_parts(void **state)
{
    struct mr_harness *h =
        mr_harness_new(mr_harness_find(&mr_component_mime, "f_mimeParts"), NULL, 0);
    union mr_value a = MR_VALUE_TEXT(mail);
    struct mr_harness_rows rows = {.n = 1, .args = {&a}};
    static const char *const want[] = {
        "a.pdf", "application/pdf", NULL,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"};
    struct mr_element e = {0};
    uint32_t offset = 0;
    int64_t size;
    (void)state;

    assert_int_equal(mr_harness_call(h, &rows), 2);
    for (size_t i = 0; i < 4; i++) {
        assert_true(mr_list_next(mr_harness_results(h)[1].value, &offset, &e));
        if (want[i]) {
            assert_int_equal(e.len, strlen(want[i]));
            assert_memory_equal(e.bytes, want[i], e.len);
        } else {
            memcpy(&size, e.bytes, sizeof size);
            assert_int_equal(size, 3);
        }
    }
    assert_false(mr_list_next(mr_harness_results(h)[1].value, &offset, &e));
    mr_harness_free(h);
}

/* Long results are in buffers, and there may be none. */
static void test_memory(void **state)
{
    size_t n = 300000;
    char *text = malloc(n);
    (void)state;

    memset(text, 'x', n);
    memcpy(text, "Subject: y\n\n", 12);
    for (int round = 0; round < 2; round++) {
        struct mr_harness *h =
            mr_harness_new(mr_harness_find(&mr_component_mime, "f_mimeText"), NULL, 0);
        union mr_value a = mr_value_bytes(text, (uint32_t)n);
        struct mr_harness_rows rows = {.n = 1, .args = {&a}};
        if (round)
            mr_harness_buffer_bytes(h, 4096);
        assert_int_equal(mr_harness_call(h, &rows), 1);
        assert_int_equal(mr_harness_results(h)[0].value.b.len, round ? 0 : n - 12);
        mr_harness_free(h);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
