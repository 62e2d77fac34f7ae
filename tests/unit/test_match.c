/* f_match: syntax of constants and files, refusals and where they point, alerts, counters. */
// layers: base components harness
#include "components/match.h"
#include "harness/harness.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

extern const struct mr_component mr_component_match;

enum { MESSAGES, BYTES, MATCHES, ALERTS_LEFT_OUT, INVALID_UTF8, SCAN_FAILED };

static const char file_name[] = "/tmp/mr_match_patterns";
static char file_path[64];

static void write_file(const void *bytes, size_t len)
{
    FILE *file = fopen(file_path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static struct mr_constant text_constant(const char *text, size_t len)
{
    return (struct mr_constant){.type = MR_TYPE_STRING,
                                .value = mr_value_bytes(text, (uint32_t)len)};
}

static struct mr_constant file_constant(void)
{
    struct mr_constant constant = text_constant(file_path, strlen(file_path));
    constant.is_file = true;
    return constant;
}

static struct mr_harness *match_constant(const char *pattern)
{
    struct mr_constant constant = text_constant(pattern, strlen(pattern));
    return mr_harness_new(mr_harness_find(&mr_component_match, "f_match"), &constant, 1);
}

static struct mr_harness *match_file(const char *text)
{
    struct mr_constant constant = file_constant();
    write_file(text, strlen(text));
    return mr_harness_new(mr_harness_find(&mr_component_match, "f_match"), &constant, 1);
}

static bool matches(struct mr_harness *harness, const char *bytes, size_t len)
{
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, len);
    union mr_value value = mr_value_bytes(exact, (uint32_t)len);
    struct mr_harness_rows rows = {.n = 1, .args = {&value}};
    assert_int_equal(mr_harness_call(harness, &rows), 1);
    union mr_value result = mr_harness_results(harness)[0].value;
    free(exact);
    if (result.b.len == 4 && !memcmp(result.b.ptr, "true", 4))
        return true;
    assert_int_equal(result.b.len, 5);
    assert_memory_equal(result.b.ptr, "false", 5);
    return false;
}

static void constants(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool match;
    } cases[] = {
        {"hello", "say hello", true},
        {"hello", "say Hello", false},
        {"hello", "", false},
        {"h.l+o$", "hollo\n", true},
        {"/hello/i", "say HELLO", true},
        {"/hello/", "hello", true},
        {"/a.b/", "a\nb", false},
        {"/a.b/s", "a\nb", true},
        {"/^b/", "a\nb", false},
        {"/^b/m", "a\nb", true},
        {"/ a \\  b # comment/x", "a b", true},
        {"/ a \\  b # comment/xi", "A B", true},
        {"/a # one\n b/x", "ab", true},
        {"/a/b/", "a/b", true},
        {"/a\\/b/HLOo", "a/b", true},
        {"/\xc3\xa4/8i", "\xc3\x84", true},
        {"/^.$/8", "\xe2\x82\xac", true},
        {"/^.$/", "\xe2\x82\xac", false},
        {"/^\\w$/8W", "\xc3\xa4", true},
        {"/^\\w$/8", "\xc3\xa4", false},
        {"(*UTF8)^.$", "\xe2\x82\xac", true},
        {"/a*/V", "", true},
        {"/a+/{min_length=3}", "aa", false},
        {"/a+/{min_length=3}", "aaa", true},
        {"/a/i{ min_offset=2 , max_offset=3 }", "xxA", true},
        {"/a/i{min_offset=2,max_offset=3}", "Axxx", false},
        {"/hello/{edit_distance=1}", "helo", true},
        {"/hello/{hamming_distance=1}", "hexlo", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mr_harness *h = match_constant(cases[i].pattern);
        if (matches(h, cases[i].text, strlen(cases[i].text)) != cases[i].match)
            fail_msg("%s on %s", cases[i].pattern, cases[i].text);
        mr_harness_free(h);
    }
}

static void an_alert_for_each_pattern_that_matches(void **state)
{
    (void)state;
    struct mr_harness *h = match_file("\xef\xbb\xbf# our patterns\r\n"
                                      "\r\n"
                                      " 30:/o w/\r\n"
                                      "4294967295:/h.*d/{min_length=3}  \r\n"
                                      "\t7:/HELLO/i\r\n"
                                      "0:/nothing/\n"
                                      "#1:/hello/");
    static const union mr_value rows_text[] = {
        {.b = {"hello world", 11, 0}},
        {.b = {NULL, 0, 0}},
        {.b = {"nope", 4, 0}},
        {.b = {"to wit", 6, 0}},
    };
    struct mr_harness_rows rows = {.n = 4, .args = {rows_text}};

    assert_int_equal(mr_harness_call(h, &rows), 4);
    static const char *const expected[] = {"true", "false", "false", "true"};
    for (int i = 0; i < 4; i++)
        assert_string_equal(mr_harness_results(h)[i].value.b.ptr, expected[i]);
#define ALERT(row, id, text)                                                                       \
    "alert row=" row " alert.action=\"allowed\" alert.gid=1 alert.signature_id=" id                \
    " alert.rev=1 alert.signature=\"" text "\" alert.category=\"\" alert.severity=3\n"
    assert_string_equal(mr_harness_events(h), ALERT("0", "7", "/HELLO/i") ALERT("0", "30", "/o w/")
                                                  ALERT("0", "4294967295", "/h.*d/{min_length=3}")
                                                      ALERT("3", "30", "/o w/"));
    assert_int_equal(mr_harness_counter(h, MESSAGES), 4);
    assert_int_equal(mr_harness_counter(h, BYTES), 21);
    assert_int_equal(mr_harness_counter(h, MATCHES), 4);
    assert_int_equal(mr_harness_counter(h, SCAN_FAILED), 0);
    mr_harness_free(h);

    h = match_constant("hello");
    mr_harness_no_events(h, NULL);
    assert_true(matches(h, "hello", 5));
    assert_false(matches(h, "help", 4));
    assert_string_equal(mr_harness_events(h), "");
    mr_harness_free(h);
}

static void alerts_of_a_row_are_limited(void **state)
{
    (void)state;
    char text[8192] = "";
    size_t len = 0;

    for (int i = 199; i >= 0; i--) /* the file need not be sorted */
        len += (size_t)snprintf(text + len, sizeof text - len, "%d:/a%s/\n", i, i < 150 ? "" : "b");
    struct mr_harness *h = match_file(text);
    for (int round = 1; round <= 2; round++) {
        mr_harness_forget_events(h);
        assert_true(matches(h, "xa", 2));
        uint32_t lines = 0;
        const char *events = mr_harness_events(h);
        for (const char *at = events; (at = strchr(at, '\n')); at++)
            lines++;
        assert_int_equal(lines, 64);
        assert_non_null(strstr(events, "alert.signature_id=63 "));
        assert_null(strstr(events, "alert.signature_id=64 "));
        assert_int_equal(mr_harness_counter(h, MATCHES), 150 * round);
        assert_int_equal(mr_harness_counter(h, ALERTS_LEFT_OUT), 86 * round);
    }
    assert_false(matches(h, "b", 1)); /* nothing is left over of the row before */
    mr_harness_free(h);
}

static void only_utf8_is_shown_to_utf8_patterns(void **state)
{
    (void)state;
    struct mr_harness *h = match_file("1:/a/8\n2:/b/\n");

    assert_true(matches(h, "a", 1));
    assert_false(matches(h, "a\xff", 2));
    assert_true(matches(h, "ab\xff", 3));
    assert_int_equal(mr_harness_counter(h, INVALID_UTF8), 2);
    assert_null(strstr(mr_harness_events(h), "row=0 alert.signature_id=1 alert.rev=1 "
                                             "alert.signature=\"/b/\""));
    mr_harness_free(h);

    static const struct {
        const char *bytes;
        bool valid;
    } cases[] = {{"", true},
                 {"plain text of more than eight bytes", true},
                 {"\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", true},
                 {"12345678\x80", false},
                 {"\xc1\xbf", false},
                 {"\xe0\x9f\xbf", false},
                 {"\xed\xa0\x80", false},
                 {"\xf0\x8f\xbf\xbf", false},
                 {"\xf4\x90\x80\x80", false},
                 {"\xf5\x80\x80\x80", false},
                 {"12345678\xe2\x82", false},
                 {"\xe2\x82z", false},
                 {"\xff", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(mr_match_utf8((const uint8_t *)cases[i].bytes, strlen(cases[i].bytes)),
                         cases[i].valid);
}

/* ---- refusals ---- */

static void expect_refused(const struct mr_constant *constant, int32_t offset, const char *words)
{
    const struct mr_function *function = mr_harness_find(&mr_component_match, "f_match");
    struct mr_bind_error error = {77, 77, ""};
    void *config = NULL;

    assert_int_equal(function->bind(constant, 1, &config, &error), MR_ERR_PROGRAM);
    assert_null(config);
    assert_int_equal(error.argument, 0);
    if (error.offset != offset || !strstr(error.text, words))
        fail_msg("at %d: %s (expected at %d: %s)", error.offset, error.text, offset, words);
}

static void refused_constants(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        int32_t offset;
        const char *words;
    } cases[] = {
        {"", 0, "empty"},
        {"//", 1, "the regex is empty"},
        {"//i", 1, "the regex is empty"},
        {"/", 1, "the '/' that ends the regex is missing"},
        {"/abc", 4, "a literal slash at the start is written \\/"},
        {"/abc/q", 5, "unknown flag 'q'; known are i m s x 8 W V H L O"},
        {"/abc/i ", 6, "unexpected byte 0x20 among the flags"},
        {"/abc/P", 5, "prefilter"},
        {"/1 & 2/C", 7, "combinations"},
        {"/abc/iQ", 6, "combinations"},
        {"/abc/{min_length=3", 18, "expected ',' or '}'"},
        {"/abc/{min=3}", 6, "expected min_offset="},
        {"/abc/{min_length=x}", 17, "expected a number"},
        {"/abc/{min_length=4294967296}", 6, "min_length is too large"},
        {"/abc/{min_length=3}i", 19, "unexpected text behind the pattern"},
        {"abc(", 3, "Hyperscan refuses the pattern: Missing close parenthesis"},
        {"/abc(/", 4, "Missing close parenthesis"},
        {"/ abc(/x", 5, "Missing close parenthesis"},
        {"ab[z", 2, "Unterminated character class"},
        {"x(?=y)", 1, "Zero-width assertions are not supported"},
        {"/[(?=]\\(?=x(?<!y)/x", 11, "Zero-width assertions are not supported"},
        {"(a)\\1", 3, "Back-references are unsupported"},
        {"(?P<n>a)(?P=n)", 8, "Back-references are unsupported"},
        {"[]\\]a++]b++", 9, "Possessive quantifiers"},
        {"^a^b", 2, "Embedded start anchors"},
        {"a(?>bc)", 1, "Atomic groups"},
        {"a(?#b", 1, "Unterminated comment"},
        {"a{40000}", 1, "Bounded repeat is too large"},
        {"a*", 0, "(flag V, as in /a*/V)"},
        {"/\xff/8", 1, "UTF-8"},
        {"/abc/{min_offset=5,max_offset=3}", 1, "Hyperscan refuses the pattern"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mr_constant constant = text_constant(cases[i].pattern, strlen(cases[i].pattern));
        expect_refused(&constant, cases[i].offset, cases[i].words);
    }
    struct mr_constant nul = text_constant("a\0b", 3);
    expect_refused(&nul, 1, "a NUL byte; write \\x00");
    nul = text_constant("/a\0b/", 5);
    expect_refused(&nul, 2, "a NUL byte");
}

static void refused_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", ": it holds no pattern"},
        {"# nothing\r\n\r\n", ": it holds no pattern"},
        {"hello\n", ":1:1: expected a line id:/regex/flags"},
        {"1:/a/\n\n  x:/b/\n", ":3:3: expected a line id:/regex/flags"},
        {"12\n", ":1:3: expected ':' behind the id"},
        {"12 :/a/\n", ":1:3: expected ':' behind the id"},
        {"4294967296:/a/\n", ":1:1: the id is out of range"},
        {"99999999999999999999999999:/a/\n", ":1:1: the id is out of range"},
        {"-1:/a/\n", ":1:1: expected a line"},
        {"1:a\n", ":1:3: expected '/'"},
        {"1:\n", ":1:3: expected '/'"},
        {"1:/a\r\n", ":1:5: the '/' that ends the regex is missing"},
        {"1:/a/j\r\n", ":1:6: unknown flag 'j'"},
        {"1:/a/{min_length=3\r\n", ":1:19: expected ',' or '}'"},
        {"5:/a/\n6:/b/\n# c\n6:/c/\n5:/d/\n",
         ":4:1: id 6 is already used in line 2; refused as well: lines 5"},
        {"1:/a/\n1:/b/\n1:/c/\n", ":2:1: id 1 is already used in line 1; refused as well: lines 3"},
        {"1:/a/\n2:/(/\n3:/x*/\n4:/^/\n5:/y?/\n6:/z*/V\n",
         ":2:4: Hyperscan refuses the pattern: Missing close parenthesis for group started at "
         "index 0; refused as well: lines 3, 5"},
        {"1:/a/\n2:/x*/\n3:/^/\n4:/(/\n5:/y?/\n",
         ":2:4: Hyperscan refuses the pattern: Pattern matches empty buffer; use "
         "HS_FLAG_ALLOWEMPTY to enable support (flag V, as in /a*/V); refused as well: lines 4, 5"},
        {"1:/a/\nx\n2:/b/q\n1:/c/\n3:/d(/\n4:/e/\n",
         ":2:1: expected a line id:/regex/flags, beginning with a number; refused as well: lines "
         "3, 4, 5"},
        {"1:/a/\n1:/b(/\n2:/d(/\n2:/e/\n",
         ":2:1: id 1 is already used in line 1; refused as well: lines 3, 4"},
        {"9:/a/\n  8:/b(/\n", ":2:7: Hyperscan refuses the pattern: Missing close parenthesis"},
        {"9:/z(?=a)b/\n8:/b/\n7:/c(/\n2:/(?=d)/8\n",
         ":1:5: Hyperscan refuses the pattern: Zero-width assertions are not supported; refused "
         "as well: lines 3, 4"},
    };
    struct mr_constant constant = file_constant();

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char words[256];
        write_file(cases[i].text, strlen(cases[i].text));
        snprintf(words, sizeof words, "%s%s", file_path, cases[i].words);
        bool whole = !strncmp(cases[i].words, ": ", 2);
        if (whole)
            snprintf(words, sizeof words, "pattern file %s%s", file_path, cases[i].words);
        expect_refused(&constant, -1, words);
    }
    static const struct {
        const char *text, *where;
    } returns[] = {
        {"1:/a/\r2:/b/\r", ":1:6"}, {"# ours\r1:/a/\r", ":1:7"},
        {"\r1:/a/", ":1:1"},        {"1:/a/\r\n2:/b/\r3:/c/\n", ":2:6"},
        {"1:/a\rb/\r\n", ":1:5"},   {"1:/a/ \r2:/b(/", ":1:7"},
    };
    for (size_t i = 0; i < sizeof returns / sizeof returns[0]; i++) {
        char words[256];
        write_file(returns[i].text, strlen(returns[i].text));
        snprintf(words, sizeof words,
                 "%s%s: a carriage return amid the line: lines end with LF or CRLF; in a pattern "
                 "write \\r",
                 file_path, returns[i].where);
        expect_refused(&constant, -1, words);
    }
    write_file("1:/a/\0\n", 7);
    expect_refused(&constant, -1, ":1:6: unexpected byte 0x00 among the flags");
    write_file("1:/a\0b/\n", 8);
    expect_refused(&constant, -1, ":1:5: a NUL byte");
}

static void many_refused_patterns_are_summed_up(void **state)
{
    (void)state;
    char text[4096];
    size_t len = 0;
    struct mr_constant constant = file_constant();

    for (int i = 0; i < 40; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%d:/a%s/\n", 100 - i,
                                i % 2 ? "(?=b)" : "");
    write_file(text, len);
    expect_refused(&constant, -1,
                   ":2:6: Hyperscan refuses the pattern: Zero-width assertions are not supported; "
                   "refused as well: lines 4, 6, 8, 10, 12, 14, 16, 18 and 11 more");
}

static void unreadable_files(void **state)
{
    (void)state;
    struct mr_constant constant = text_constant("/nowhere/patterns", 17);
    constant.is_file = true;
    expect_refused(&constant, -1, "pattern file /nowhere/patterns: No such file");
    constant = text_constant("/tmp", 4);
    constant.is_file = true;
    expect_refused(&constant, -1, "pattern file /tmp: Is a directory");
    char long_path[3000];
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    constant = text_constant(long_path, sizeof long_path - 1);
    constant.is_file = true;
    expect_refused(&constant, -1, "File name too long");
}

static void files_have_limits(void **state)
{
    (void)state;
    size_t len = ((size_t)16 << 20) + 1;
    char *text = malloc(len);
    struct mr_constant constant = file_constant();

    assert_non_null(text);
    memset(text, '#', len);
    write_file(text, len);
    expect_refused(&constant, -1, "larger than 16 MiB");
    write_file(text, len - 1);
    expect_refused(&constant, -1, "holds no pattern");
    size_t used = 0;
    for (unsigned i = 0; i <= MR_MATCH_MAX_PATTERNS; i++)
        used += (size_t)snprintf(text + used, len - used, "%u:/a%u/\n", i, i);
    write_file(text, used);
    expect_refused(&constant, -1, ":65537:1: more than 65536 patterns");
    free(text);
}

/* ---- workers ---- */

struct worker {
    pthread_t id;
    const void *config;
    uint64_t found;
};

static int count(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                 void *context)
{
    (void)id, (void)from, (void)to, (void)flags;
    (*(uint64_t *)context)++;
    return 0;
}

static void *scan_much(void *memory)
{
    struct worker *worker = memory;
    const struct mr_match_groups *groups = worker->config;
    hs_scratch_t *scratch = NULL;

    if (hs_clone_scratch(groups->scratch, &scratch))
        return NULL;
    for (int i = 0; i < 2000; i++)
        for (uint32_t g = 0; g < groups->n; g++)
            hs_scan(groups->groups[g].database, "hello world", 11, 0, scratch, count,
                    &worker->found);
    hs_free_scratch(scratch);
    return NULL;
}

static void workers_share_what_is_compiled(void **state)
{
    (void)state;
    struct mr_match_set set;
    struct mr_match_groups groups;
    struct mr_bind_error error;
    struct mr_constant constant = file_constant();
    struct worker workers[4] = {{.found = 0}};
    static const char text[] = "1:/hello/\n2:/w.*d/8\n3:/none/i\n";

    write_file(text, sizeof text - 1);
    assert_int_equal(mr_match_set_read(&set, &constant, &error), MR_OK);
    assert_int_equal(mr_match_compile(&groups, &set, &error), MR_OK);
    assert_int_equal(groups.n, 2);
    for (int i = 0; i < 4; i++) {
        workers[i].config = &groups;
        assert_int_equal(pthread_create(&workers[i].id, NULL, scan_much, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(workers[i].id, NULL);
        assert_int_equal(workers[i].found, 4000);
    }
    mr_match_groups_free(&groups);
    mr_match_set_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constants),
        cmocka_unit_test(an_alert_for_each_pattern_that_matches),
        cmocka_unit_test(alerts_of_a_row_are_limited),
        cmocka_unit_test(only_utf8_is_shown_to_utf8_patterns),
        cmocka_unit_test(refused_constants),
        cmocka_unit_test(refused_files),
        cmocka_unit_test(many_refused_patterns_are_summed_up),
        cmocka_unit_test(unreadable_files),
        cmocka_unit_test(files_have_limits),
        cmocka_unit_test(workers_share_what_is_compiled),
    };
    snprintf(file_path, sizeof file_path, "%s_%d", file_name, (int)getpid());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(file_path);
    return failed;
}
