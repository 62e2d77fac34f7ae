/* Tokens: what is one, and that masks and bytes find the same in any text. */
// layers: models
#include "models/spam_tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N(a) (sizeof(a) / sizeof(a)[0])

static uint64_t state = 7;

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

/* The hash of one token, by a text of nothing else. */
static uint64_t hash_of(const char *token, uint32_t kind)
{
    uint8_t text[128] = {MR_BAYES_MARK, (uint8_t)(0x10 | kind >> 4), (uint8_t)(0x10 | (kind & 15))};
    uint64_t hashes[8];

    memcpy(text + 3, token, strlen(token));
    assert_int_equal(mr_spam_tokens_scalar(text, 3 + (uint32_t)strlen(token), hashes), 1);
    return hashes[0];
}

static void what_is_a_token(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        const char *tokens[6];
    } cases[] = {
        {"", {NULL}},
        {"a b  c", {NULL}},
        {"free money", {"free", "money"}},
        {"FREE Money", {"free", "money"}},
        {"--free-- 'money' ...", {"free", "money"}},
        {"a.b.example $1,000 !!!", {"a.b.example", "$1", "000", "!!!"}},
        {"don't _x_ _yy_", {"don't", "yy"}},
        {"\xc3\xa9\xc3\xa9", {"\xc3\xa9\xc3\xa9"}},
        {"0123456789012345678901234567890123456789", {"0123456789012345678901234567890123456789"}},
        {"01234567890123456789012345678901234567890 ab", {"ab"}},
        {"12345678 1234567 123456789", {"12345678", "1234567", "123456789"}},
    };

    for (size_t i = 0; i < N(cases); i++) {
        uint8_t text[256] = {MR_BAYES_MARK, 0x10, 0x12};
        uint64_t hashes[128];
        uint32_t n, want = 0, len = 3 + (uint32_t)strlen(cases[i].text);
        memcpy(text + 3, cases[i].text, len - 3);
        n = mr_spam_tokens(text, len, hashes, NULL, 0);
        for (; want < N(cases[i].tokens) && cases[i].tokens[want]; want++) {
            assert_true(want < n);
            assert_true(hashes[want] == hash_of(cases[i].tokens[want], 2));
        }
        assert_int_equal(n, want);
    }
    assert_true(hash_of("word", 1) != hash_of("word", 2));
    assert_true(hash_of("word", 1) != hash_of("words", 1));
    assert_true(hash_of("abcdefgh", 1) != hash_of("abcdefgi", 1));
}

/* Few kinds of bytes, so that runs of every length and marks at every place are many. */
static uint8_t draw_byte(uint32_t mood)
{
    static const uint8_t some[] = {'a', 'Z', '9',  '-',  '.',  '\'',         '_', '!',
                                   '$', ' ', 0x80, '@',  '[',  '`',          '{', '/',
                                   ':', 0,   0xff, 0x11, 0x1f, MR_BAYES_MARK};

    if (mood == 0)
        return (uint8_t)draw(256);
    if (mood == 1)
        return draw(60) ? 'x' : some[draw(N(some))];
    return some[draw(N(some))];
}

static void masks_find_what_bytes_find(void **unused)
{
    static uint8_t text[MR_BAYES_TEXT_BYTES + 200 + MR_SPAM_SLACK];
    static uint64_t want[MR_SPAM_TOKENS_MAX], sse2[MR_SPAM_TOKENS_MAX], best[MR_SPAM_TOKENS_MAX];

    (void)unused;
    for (uint32_t round = 0; round < 4000; round++) {
        uint32_t len = round < 3900 ? draw(300) : MR_BAYES_TEXT_BYTES - 100 + draw(300);
        uint32_t mood = draw(3);
        for (uint32_t i = 0; i < len + MR_SPAM_SLACK; i++)
            text[i] = draw_byte(mood); /* also behind the end */
        uint32_t n = mr_spam_tokens_scalar(text, len, want);
        assert_true(n <= MR_SPAM_TOKENS_MAX);
        assert_int_equal(mr_spam_tokens_sse2(text, len, sse2, NULL, 0), n);
        assert_int_equal(mr_spam_tokens(text, len, best, NULL, 0), n);
        assert_memory_equal(want, sse2, n * sizeof *want);
        assert_memory_equal(want, best, n * sizeof *want);
    }
}

static void every_byte_is_classified(void **unused)
{
    (void)unused;
    for (uint32_t c = 0; c < 256; c++) {
        uint8_t text[64 + MR_SPAM_SLACK];
        uint64_t a[64], b[64], d[64];
        memset(text, 'q', sizeof text);
        text[5] = text[31] = text[32] = text[40] = (uint8_t)c;
        uint32_t n = mr_spam_tokens_scalar(text, 64, a);
        assert_int_equal(mr_spam_tokens_sse2(text, 64, b, NULL, 0), n);
        assert_int_equal(mr_spam_tokens(text, 64, d, NULL, 0), n);
        assert_memory_equal(a, b, n * sizeof *a);
        assert_memory_equal(a, d, n * sizeof *a);
    }
}

static void folding(void **unused)
{
    (void)unused;
    for (uint64_t c = 0; c < 256; c++) {
        uint64_t want = c >= 'A' && c <= 'Z' ? c + 32 : c;
        for (uint32_t at = 0; at < 64; at += 8)
            assert_true(mr_bayes_fold8(c << at) == want << at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_a_token),
        cmocka_unit_test(folding),
        cmocka_unit_test(every_byte_is_classified),
        cmocka_unit_test(masks_find_what_bytes_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
