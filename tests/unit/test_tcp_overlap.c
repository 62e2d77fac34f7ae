/* TCP segments that overlap with other bytes: who wins, policy by policy, and that it is told. */
// layers: stream base
#include "tcp_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define A         MR_TCP_ACK
#define DIFFERENT "stream.reassembly_overlap_different_data"

static const char *const policies[] = {"first", "last", "bsd", "linux", "windows", "solaris"};

static struct rig *opened(const char *policy)
{
    struct rig *r = rig_new();
    assert_true(mr_overlap_policy_parse(policy, &r->config.policy));
    rig_open(r, 99, 499);
    return r;
}

/* A segment at stream offset 1 + at: offset 0 is kept open so that all of them are held. */
static void put(struct rig *r, uint32_t at, const char *bytes)
{
    rig_send(r, C, 101 + at, 500, A, bytes, strlen(bytes));
}

/* Fills offset 0 and compares what follows. */
static void expect(struct rig *r, const char *bytes)
{
    rig_send(r, C, 100, 500, A, ">", 1);
    assert_string_equal(rig_text(r, C) + 1, bytes);
    rig_free(r);
}

/* The layout that Novak and Sturges published, in units of 8 bytes. */
static void published_layout(void **state)
{
    (void)state;
    static const struct {
        uint32_t at, len;
        char fill;
    } layout[] = {
        {0, 3, 'A'},  {4, 2, 'B'},  {6, 3, 'C'},  {10, 1, 'D'}, {13, 2, 'E'}, {15, 3, 'F'},
        {18, 2, 'G'}, {20, 2, 'H'}, {22, 1, 'I'}, {1, 4, 'J'},  {6, 3, 'K'},  {9, 3, 'L'},
        {12, 3, 'M'}, {16, 1, 'N'}, {19, 1, 'O'}, {20, 1, 'P'}, {22, 2, 'Q'},
    };
    static const char *const results[] = {
        "AAAJBBCCCLDLMEEFFFGGHHIQ", /* first */
        "AJJJJBKKKLLLMMMFNFGOPHQQ", /* last */
        "AAAJJBCCCLLLMMMFFFGGHHIQ", /* bsd */
        "AAAJJBCCCLLLMMMFFFGGHHQQ", /* linux */
        "AAAJJBCCCLLLMMMFFFGGHHIQ", /* windows */
        "AJJJBBKKKLLLMMMFFFGGHHQQ", /* solaris */
    };
    for (size_t p = 0; p < 6; p++) {
        struct rig *r = opened(policies[p]);
        for (size_t i = 0; i < sizeof layout / sizeof *layout; i++) {
            char part[40] = {0};
            memset(part, layout[i].fill, layout[i].len * 8);
            put(r, layout[i].at * 8, part);
        }
        assert_true(rig_anomaly(r, DIFFERENT) >= 8);
        char expected[193] = {0};
        for (int i = 0; i < 192; i++)
            expected[i] = results[p][i / 8];
        expect(r, expected);
    }
}

/* One old segment at 2..6, one new one; all ways in which they can lie to each other. */
static void pairs(void **state)
{
    (void)state;
    static const struct {
        uint32_t at;
        const char *bytes, *results[6]; /* in the order of `policies`; offsets 0..7 */
    } cases[] = {
        /* before, ends inside */
        {0, "nnnn", {"nnoooo", "nnnnoo", "nnnnoo", "nnnnoo", "nnnnoo", "nnoooo"}},
        /* before, ends with it */
        {0, "nnnnnn", {"nnoooo", "nnnnnn", "nnnnnn", "nnnnnn", "nnnnnn", "nnnnnn"}},
        /* before, ends behind */
        {0, "nnnnnnnn", {"nnoooonn", "nnnnnnnn", "nnnnnnnn", "nnnnnnnn", "nnnnnnnn", "nnnnnnnn"}},
        /* same begin, shorter */
        {2, "nn", {"__oooo", "__nnoo", "__oooo", "__oooo", "__oooo", "__oooo"}},
        /* the same place */
        {2, "nnnn", {"__oooo", "__nnnn", "__oooo", "__oooo", "__oooo", "__nnnn"}},
        /* same begin, longer */
        {2, "nnnnnn", {"__oooonn", "__nnnnnn", "__oooonn", "__nnnnnn", "__oooonn", "__nnnnnn"}},
        /* inside */
        {3, "nn", {"__oooo", "__onno", "__oooo", "__oooo", "__oooo", "__oooo"}},
        /* inside, same end */
        {4, "nn", {"__oooo", "__oonn", "__oooo", "__oooo", "__oooo", "__oooo"}},
        /* begins inside, ends behind */
        {4, "nnnn", {"__oooonn", "__oonnnn", "__oooonn", "__oooonn", "__oooonn", "__oonnnn"}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        for (size_t p = 0; p < 6; p++) {
            struct rig *r = opened(policies[p]);
            put(r, 2, "oooo");
            put(r, cases[c].at, cases[c].bytes);
            assert_int_equal(rig_anomaly(r, DIFFERENT), 1);
            rig_send(r, C, 100, 500, A, ">", 1);
            rig_finish(r, MR_FLOW_END_TIMEOUT);
            assert_string_equal(rig_text(r, C) + 1, cases[c].results[p]);
            rig_free(r);
        }
    }
}

/* Three segments: what the first two made of each other decides about the third. */
static void chains(void **state)
{
    (void)state;
    struct rig *r = opened("bsd");
    put(r, 5, "aaaaa");    /* 5..10 */
    put(r, 0, "bbbbbbbb"); /* 0..8 begins before: takes 5..8, a keeps 8..10 */
    put(r, 6, "cccccc");   /* 6..12: behind b's begin, before a's */
    expect(r, "bbbbbbbbcccc");

    r = opened("bsd");
    put(r, 0, "aaa");
    put(r, 3, "bbb");
    put(r, 6, "ccc");
    put(r, 1, "ddddddd"); /* loses against a, wins against b and what it reaches of c */
    expect(r, "aaadddddc");

    r = opened("first");
    put(r, 1, "a");
    put(r, 3, "b");
    put(r, 5, "c");
    put(r, 0, "ddddddd"); /* in pieces */
    expect(r, "dadbdcd");

    r = opened("last");
    put(r, 0, "aaaaaaaaa");
    put(r, 3, "bbb");
    put(r, 4, "c");
    put(r, 8, "dd");
    expect(r, "aaabcbaadd");

    r = opened("linux");
    put(r, 0, "aa");
    put(r, 2, "bb");
    put(r, 0, "cccccc"); /* same begin and longer than a; before b */
    expect(r, "cccccc");
}

static void equal_bytes_are_no_anomaly(void **state)
{
    (void)state;
    for (size_t p = 0; p < 6; p++) {
        struct rig *r = opened(policies[p]);
        put(r, 5, "fghij");
        put(r, 2, "cdefg");
        put(r, 2, "cdefghijkl");
        put(r, 0, "ab");
        put(r, 3, "d");
        assert_int_equal(r->n_anomalies, 0);
        expect(r, "abcdefghijkl");
    }
}

/* Bytes that a receiver takes, amid bytes that it throws away (their acknowledgment is of what was
 * never sent): they are as strong as if they lay alone. */
static void amid_doubtful_bytes(void **state)
{
    (void)state;
    for (int how = 0; how < 2; how++) {
        struct rig *r = opened("first");
        rig_send(r, C, 102, 500 + 200000, A, "dddddddddd", 10); /* 102..112 */
        put(r, 4, "aa");                                        /* 105..107 */
        if (how)
            put(r, 4, "bb"); /* too late */
        rig_send(r, C, 100, 500, A, ">0123", 5);
        assert_string_equal(rig_text(r, C), ">0123aa"); /* and at once */
        assert_int_equal(rig_anomaly(r, DIFFERENT), 2 + how);
        rig_send(r, C, 107, 500, A, "xyz", 3);
        assert_string_equal(rig_text(r, C), ">0123aaxyz");
        rig_free(r);
    }
}

/* Segments at random, good and doubtful, beside a table of bytes: what the first good one, or the
 * last before delivery, says of each byte, and the doubtful ones only where no good one does. */
#define SPAN 80

static uint32_t below(uint64_t *state, uint32_t n)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)((*state >> 11) % n);
}

static void beside_a_table(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= 4000; round++) {
        uint64_t random = round * 0x9e3779b97f4a7c15u;
        bool last = below(&random, 2);
        struct rig *r = opened(last ? "last" : "first");
        uint8_t good[SPAN + 1] = {0};
        char bytes[SPAN + 1];
        uint32_t done = 0, opens_at = below(&random, 40);
        memset(bytes, '_', SPAN);
        bytes[SPAN] = 0;
        for (uint32_t i = 0; i < 40; i++) {
            bool doubtful = !below(&random, 4);
            uint32_t at = 1 + below(&random, SPAN - 1), len = 1 + below(&random, 20);
            char part[20];
            if (i == opens_at)
                at = 0, doubtful = false;
            if (len > SPAN - at)
                len = SPAN - at;
            memset(part, 'a' + (int)(i % 26), sizeof part);
            rig_send(r, C, 100 + at, doubtful ? 200500 : 500, A, part, len);
            for (uint32_t k = at < done ? done : at; k < at + len; k++) {
                bool wins = bytes[k] == '_' || (doubtful ? last && !good[k] : last || !good[k]);
                if (wins)
                    bytes[k] = part[0];
                good[k] |= !doubtful;
            }
            while (i >= opens_at && good[done])
                done++;
            char told = bytes[done];
            bytes[done] = 0;
            assert_string_equal(rig_text(r, C), bytes);
            bytes[done] = told;
        }
        rig_finish(r, MR_FLOW_END_TIMEOUT);
        uint32_t n = SPAN;
        while (bytes[n - 1] == '_')
            n--;
        bytes[n] = 0;
        assert_string_equal(rig_text(r, C), bytes);
        rig_free(r);
    }
}

/* What was delivered stays, whatever the policy. */
static void delivered_bytes_win(void **state)
{
    (void)state;
    for (size_t p = 0; p < 6; p++) {
        struct rig *r = opened(policies[p]);
        rig_send(r, C, 100, 500, A, "GOOD", 4);
        rig_send(r, C, 100, 500, A, "EVIL", 4);
        assert_int_equal(rig_anomaly(r, DIFFERENT), 1);
        rig_send(r, C, 101, 500, A, "XXX", 3);
        assert_int_equal(rig_anomaly(r, DIFFERENT), 2);
        rig_send(r, C, 102, 500, A, "EVIL too", 8);
        assert_int_equal(rig_anomaly(r, DIFFERENT), 3);
        rig_send(r, C, 100, 500, A, "GOODIL", 6);
        assert_int_equal(rig_anomaly(r, DIFFERENT), 3);
        assert_string_equal(rig_text(r, C), "GOODIL too");
        rig_free(r);
    }
}

/* A redirect that outran the real answer, as Quantum Insert does it. */
static void injected_answer(void **state)
{
    (void)state;
    struct rig *r = opened("bsd");
    rig_send(r, S, 500, 100, A, "HTTP/1.1 302 Found\r\n", 20);
    rig_send(r, S, 500, 100, A, "HTTP/1.1 200 OK\r\n\r\nsome text", 28);
    assert_int_equal(rig_anomaly(r, DIFFERENT), 1);
    assert_string_equal(rig_text(r, S), "HTTP/1.1 302 Found\r\nome text");
    rig_free(r);
}

static void across_the_wrap(void **state)
{
    (void)state;
    struct rig *r = rig_new();
    r->config.policy = MR_OVERLAP_LAST;
    rig_open(r, 0xfffffffa, 499);
    rig_send(r, C, 0xfffffffe, 500, A, "34567", 5);
    rig_send(r, C, 0xfffffffd, 500, A, "23", 2);
    rig_send(r, C, 1, 500, A, "ab", 2);
    rig_send(r, C, 0xfffffffb, 500, A, "01", 2);
    assert_string_equal(rig_text(r, C), "012345ab");
    assert_int_equal(rig_anomaly(r, DIFFERENT), 1);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_layout),
        cmocka_unit_test(pairs),
        cmocka_unit_test(chains),
        cmocka_unit_test(equal_bytes_are_no_anomaly),
        cmocka_unit_test(amid_doubtful_bytes),
        cmocka_unit_test(beside_a_table),
        cmocka_unit_test(delivered_bytes_win),
        cmocka_unit_test(injected_answer),
        cmocka_unit_test(across_the_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
