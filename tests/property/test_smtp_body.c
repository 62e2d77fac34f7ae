/* The bytes of a mail: against a plain reference, cut at random; and in linear time. */
// layers: components
#include "smtp_script.h"

#include <setjmp.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static uint64_t seed = 7;

static uint32_t below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed % n);
}

/* Lines end with CRLF; a line that is a dot ends the mail; a dot at the beginning of another line
 * goes. Returns how many bytes belong to the mail with its end, 0: it does not end. */
static size_t reference(const uint8_t *p, size_t n, struct text *out)
{
    bool line_start = true;

    for (size_t i = 0; i < n; i++) {
        if (line_start && p[i] == '.') {
            if (n - i >= 3 && p[i + 1] == '\r' && p[i + 2] == '\n')
                return i + 3;
            line_start = false;
            continue;
        }
        text_add(out, &p[i], 1);
        line_start = p[i] == '\n' && i > 0 && p[i - 1] == '\r';
    }
    return 0;
}

static size_t random_bytes(uint8_t *p, size_t most)
{
    static const char *const parts[] = {
        "\r\n",
        "\r\n.",
        "\n.",
        "\r.",
        ".\r\n",
        "\r",
        "\n",
        ".",
        "\0",
        "a",
        "text of a line that is longer than a vector",
        "\r\n.\r\r\n",
        "\r\n.a",
        "\r\n..\r\n",
        ("0123456789012345678901234567890123456789012345678901234567"
         "890123456789\r\n")};
    size_t n = 0, want = below((uint32_t)most);
    uint32_t kinds = 2 + below(sizeof parts / sizeof *parts - 1);

    while (n < want) {
        const char *part = parts[below(kinds)];
        size_t len = *part ? strlen(part) : 1;
        if (below(5) == 0 && kinds > 10) {
            part = parts[14];
            len = strlen(part);
        }
        if (len > most - n)
            break;
        memcpy(p + n, part, len);
        n += len;
    }
    return n;
}

static void as_the_reference(void **state)
{
    enum { MOST = 600 };
    (void)state;
    for (int round = 0; round < 40000; round++) {
        uint8_t *in = malloc(MOST);
        assert_non_null(in);
        size_t n = random_bytes(in, MOST), used = 0;
        struct text expected = {0};
        struct outcome o = {0};
        struct mr_smtp_memory memory = {.user = &o, .get = outcome_get, .put = outcome_put};
        struct mr_smtp_body body;
        bool ended = false;
        text_add(&expected, "", 0);
        size_t end = reference(in, n, &expected);
        mr_smtp_body_begin(&body, 1u << 20, below(2) ? 64 : 0);
        while (used < n && !ended) {
            size_t chunk = 1 + below(below(2) ? 5 : 300);
            if (chunk > n - used)
                chunk = n - used;
            uint8_t *exact = malloc(chunk);
            assert_non_null(exact);
            memcpy(exact, in + used, chunk);
            size_t took = mr_smtp_body_data(&body, &memory, exact, chunk, &ended);
            free(exact);
            assert_true(took == chunk || ended);
            used += took;
        }
        assert_int_equal(ended, end != 0);
        if (ended)
            assert_int_equal(used, end);
        /* a dot, or a dot and a CR, at the very end of the bytes may still be held back */
        size_t got = body.buffer ? body.buffer->len : 0;
        assert_int_equal(got, body.bytes);
        if (ended)
            assert_int_equal(got, expected.n);
        else
            assert_in_range(expected.n - got, 0, 1);
        assert_memory_equal(body.buffer ? (char *)body.buffer->data : "", expected.p, got);
        outcome_put(&o, body.buffer);
        free(expected.p);
        free(in);
    }
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Feeds `unit` until n bytes are there, in packets, and returns the time it took. */
static double feed(const char *before, const char *unit, uint8_t direction, size_t n)
{
    struct run run = {0};
    size_t len = strlen(unit);
    uint8_t *bytes = malloc(n);

    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)unit[i % len];
    run_open(&run, NULL, 0);
    struct script script = script_parse(before);
    for (size_t k = 0; k < script.n; k++)
        run_piece(&run, &script.pieces[k]);
    script_free(&script);
    double start = seconds();
    for (size_t at = 0; at < n; at += 1460)
        run_bytes(&run, direction, bytes + at, n - at < 1460 ? n - at : 1460);
    free(run_close(&run));
    double took = seconds() - start;
    free(bytes);
    return took;
}

/* Twice the bytes take about twice the time, whatever the bytes. Tried several times, since the
 * machine may be busy. */
/* A mail without anything odd from which bytes are missing: what stands beside the hole is not
 * known, so nothing is odd there. Its end is found unless the hole takes any
 * of it: with its CR missing, any byte may have stood there. */
static void holes_are_not_odd(void **state)
{
    static const char mail[] = "Subject: x\r\n\r\none\r\n..\r\n..two\r\n\r\nthree.\r\n.\r\n";
    const uint8_t *bytes = (const uint8_t *)mail;
    const size_t n = sizeof mail - 1;

    (void)state;
    for (size_t from = 0; from < n; from++) {
        for (size_t to = from + 1; to < n; to++) {
            struct outcome o = {0};
            struct mr_smtp_memory memory = {.user = &o, .get = outcome_get, .put = outcome_put};
            struct mr_smtp_body body;
            bool ended;
            mr_smtp_body_begin(&body, 1024, 0);
            assert_int_equal(mr_smtp_body_data(&body, &memory, bytes, from, &ended), from);
            assert_false(ended);
            mr_smtp_body_gap(&body, to - from);
            mr_smtp_body_data(&body, &memory, bytes + to, n - to, &ended);
            if (body.oddities)
                fail_msg("without bytes %zu to %zu: oddities %x", from, to, body.oddities);
            assert_int_equal(ended, to <= n - 5);
            outcome_put(&o, body.buffer);
        }
    }
}

static void linear_time(void **state)
{
    static const char hello[] = "S: 220 mx ESMTP\nC: EHLO x\nS: 250 mx\n";
    static const char in_data[] =
        "S: 220 mx ESMTP\nC: EHLO x\nS: 250 mx\nC: MAIL FROM:<a>\nS: 250 ok\nC: RCPT TO:<b>\n"
        "S: 250 ok\nC: DATA\nS: 354 go\n";
    static const struct {
        const char *before, *unit;
        uint8_t direction;
    } cases[] = {
        {in_data, "\n.", MR_TO_SERVER},
        {in_data, "\r\n.\r\r", MR_TO_SERVER},
        {in_data, "\r\n..", MR_TO_SERVER},
        {in_data, "x", MR_TO_SERVER},
        {hello, "RCPT TO:<x@y>\r\n", MR_TO_SERVER},
        {hello, "MAIL FROM:<x@y>\r\n", MR_TO_SERVER},
        {hello, "\n", MR_TO_SERVER},
        {hello, "x", MR_TO_SERVER},
        {hello, "BDAT 1\r\nx", MR_TO_SERVER},
        {hello, "BDAT 1 LAST\r\nx", MR_TO_SERVER},
        {hello, "BDAT 0 LAST\r\n", MR_TO_SERVER},
        {hello, "DATA\r\n.\r\n", MR_TO_SERVER},
        {hello, "AUTH LOGIN\r\nx\r\n", MR_TO_SERVER},
        {hello, "STARTTLS\r\n", MR_TO_SERVER},
        {hello, "250 ok\r\n", MR_TO_CLIENT},
        {hello, "250-ok\r\n", MR_TO_CLIENT},
        {hello, "354 ok\r\n", MR_TO_CLIENT},
        {hello, "\n", MR_TO_CLIENT},
        {"", "DATA\r\nx\r\n.\r\n", MR_TO_SERVER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double ratio = 0;
        for (int attempt = 0; attempt < 5; attempt++) {
            double one = feed(cases[i].before, cases[i].unit, cases[i].direction, 1 << 20);
            double two = feed(cases[i].before, cases[i].unit, cases[i].direction, 2 << 20);
            ratio = one > 0 ? two / one : 0;
            if (ratio < 3.0 || two < 0.005)
                break;
            if (attempt == 4) {
                print_error("%zu: twice the bytes take %.1f times the time (%.3f s)\n", i, ratio,
                            two);
                fail();
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_reference),
        cmocka_unit_test(holes_are_not_odd),
        cmocka_unit_test(linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
