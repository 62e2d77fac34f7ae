/* Functions on lists, numbers, addresses, hashes, called as the runtime calls them. */
// layers: base harness components
#include "harness/harness.h"
#include "millrace/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

extern const struct mr_component mr_component_values;

/* Calls a function with one row. What it yields as text; NULL: nothing. Valid until the next. */
static const char *call(const char *name, union mr_value x, union mr_value y)
{
    static char text[256];
    const struct mr_function *function = mr_harness_find(&mr_component_values, name);
    struct mr_harness *h = mr_harness_new(function, NULL, 0);
    struct mr_harness_rows rows = {.n = 1, .args = {&x, &y}};
    uint32_t n = mr_harness_call(h, &rows);

    assert_true(n <= 1);
    if (n) {
        union mr_value v = mr_harness_results(h)[0].value;
        if (function->result == MR_TYPE_INT)
            snprintf(text, sizeof text, "%lld", (long long)v.i);
        else
            snprintf(text, sizeof text, "%.*s", (int)v.b.len, v.b.len ? (const char *)v.b.ptr : "");
    }
    mr_harness_free(h);
    return n ? text : NULL;
}

static const union mr_value none = {.b = {0}};

static union mr_value text_value(const char *text)
{
    return mr_value_bytes(text, (uint32_t)strlen(text));
}

/* (7, "seven", -1.5, 192.0.2.1:25) */
static union mr_value example(uint8_t bytes[256])
{
    union mr_value n = mr_value_int(7), s = text_value("seven"), r = {.d = -1.5};
    struct mr_endpoint e = {.address = {192, 0, 2, 1}, .port = 25, .family = 4, .protocol = 6};
    union mr_value a = mr_value_bytes(&e, sizeof e);
    const union mr_value *values[] = {&n, &s, &r, &a};
    static const enum mr_type types[] = {MR_TYPE_INT, MR_TYPE_STRING, MR_TYPE_REAL,
                                         MR_TYPE_ADDRESS};
    uint32_t len = 0;

    for (int i = 0; i < 4; i++) {
        struct mr_element element;
        assert_true(mr_element_of(types[i], values[i], &element));
        len += mr_list_write(bytes + len, &element);
    }
    return mr_value_bytes(bytes, len);
}

static void elements_of_lists(void **state)
{
    uint8_t bytes[256];
    union mr_value list = example(bytes);

    (void)state;
    assert_string_equal(call("f_size", list, none), "4");
    assert_string_equal(call("f_first", list, none), "7");
    assert_string_equal(call("f_last", list, none), "192.0.2.1:25");
    static const char *const items[] = {"7", "seven", "-1.5", "192.0.2.1:25"};
    for (int i = 0; i < 4; i++) {
        assert_string_equal(call("f_item", list, mr_value_int(i + 1)), items[i]);
        assert_string_equal(call("f_item", list, mr_value_int(i - 4)), items[i]);
    }
    static const int64_t outside[] = {0, 5, -5, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        assert_null(call("f_item", list, mr_value_int(outside[i])));
}

static void empty_and_broken_lists(void **state)
{
    uint8_t bytes[256];
    union mr_value list = example(bytes), empty = mr_value_bytes(bytes, 0);

    (void)state;
    assert_string_equal(call("f_size", empty, none), "0");
    assert_null(call("f_first", empty, none));
    assert_null(call("f_last", empty, none));
    assert_string_equal(call("f_removeFirst", none, none), ""); /* nowhere at all */
    assert_string_equal(call("f_removeLast", none, none), "");
    assert_string_equal(call("f_removeFirst", empty, none), "");
    assert_string_equal(call("f_removeLast", empty, none), "");
    for (uint32_t len = 0; len < list.b.len; len++) /* cut anywhere: nothing behind is read */
        assert_true(strtol(call("f_size", mr_value_bytes(bytes, len), none), NULL, 10) < 4);
}

static void shorter_and_longer_lists(void **state)
{
    uint8_t bytes[256], twice[512];
    union mr_value list = example(bytes);
    uint32_t first = MR_LIST_HEAD + 8;

    (void)state;
    struct mr_harness *h =
        mr_harness_new(mr_harness_find(&mr_component_values, "f_removeFirst"), NULL, 0);
    struct mr_harness_rows rows = {.n = 1, .args = {&list}};
    assert_int_equal(mr_harness_call(h, &rows), 1);
    union mr_value rest = mr_harness_results(h)[0].value;
    assert_int_equal(rest.b.len, list.b.len - first);
    assert_memory_equal(rest.b.ptr, bytes + first, rest.b.len);
    mr_harness_free(h);

    memcpy(twice, bytes, list.b.len);
    memcpy(twice + list.b.len, bytes, list.b.len);
    assert_string_equal(call("f_size", mr_value_bytes(twice, 2 * list.b.len), none), "8");
    /* over 64 KiB nothing is made */
    uint8_t *large = calloc(1, MR_LIST_MAX_BYTES);
    assert_non_null(large);
    assert_null(call("f_concat", mr_value_bytes(large, MR_LIST_MAX_BYTES), list));
    free(large);
}

static void texts_as_numbers(void **state)
{
    static const struct {
        const char *text, *number; /* NULL: it is none */
    } cases[] = {{"0", "0"},
                 {"-17", "-17"},
                 {"9223372036854775807", "9223372036854775807"},
                 {"9223372036854775808", NULL},
                 {"99999999999999999999", NULL},
                 {"", NULL},
                 {"12x", NULL},
                 {" 12", NULL},
                 {"-", NULL},
                 {"0x10", NULL},
                 {"00000000000000000000000000000000001", NULL}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = call("f_int", text_value(cases[i].text), none);
        if (cases[i].number)
            assert_string_equal(got ? got : "nothing", cases[i].number);
        else
            assert_null(got);
    }
    assert_null(call("f_int", mr_value_bytes("12\0", 3), none)); /* a byte too many */
}

static void addresses(void **state)
{
    struct mr_endpoint e = {.address = {198, 51, 100, 7}, .port = 8080, .family = 4};
    union mr_value address = mr_value_bytes(&e, sizeof e);

    (void)state;
    assert_string_equal(call("f_host", address, none), "198.51.100.7");
    assert_string_equal(call("f_port", address, none), "8080");
    e = (struct mr_endpoint){.address = {0x20, 1, 0xd, 0xb8, [15] = 1}, .port = 53, .family = 6};
    assert_string_equal(call("f_host", address, none), "2001:db8:0:0:0:0:0:1");
}

/* The vectors of RFC 3174, 7.3, and the digest of nothing. */
static void hashes(void **state)
{
    (void)state;
    assert_string_equal(call("f_sha1", text_value("abc"), none),
                        "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_string_equal(call("f_sha1",
                             text_value("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
                             none),
                        "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    assert_string_equal(call("f_sha1", none, none), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

/* By chance, but the same again for the same packets; rows of one packet differ. */
static void chance(void **state)
{
    struct mr_packet one = {.number = 1, .time_ns = 5}, two = {.number = 2, .time_ns = 5};
    struct mr_packet *packets[] = {&one, &one, &two};
    struct mr_harness *h = mr_harness_new(mr_harness_find(&mr_component_values, "f_rand"), NULL, 0);
    struct mr_harness_rows rows = {.n = 3, .packets = packets};
    int64_t first[3];

    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(mr_harness_call(h, &rows), 3);
        for (int i = 0; i < 3; i++) {
            int64_t x = mr_harness_results(h)[i].value.i;
            assert_true(x >= 0 && (!turn || x == first[i]));
            first[i] = x;
        }
    }
    assert_true(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
    mr_harness_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_of_lists),
        cmocka_unit_test(empty_and_broken_lists),
        cmocka_unit_test(shorter_and_longer_lists),
        cmocka_unit_test(texts_as_numbers),
        cmocka_unit_test(addresses),
        cmocka_unit_test(hashes),
        cmocka_unit_test(chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
