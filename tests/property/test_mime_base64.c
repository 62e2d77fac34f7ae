/* Base64 undone many bytes at a time is what it is byte by byte, however it is cut, damaged and
 * broken into lines. */
// layers: mime
#include "mime/decoder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS  20000
#define LONGEST 400

static uint64_t seed = 1;

static uint32_t below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

struct result {
    struct mime_base64 state;
    size_t len;
    uint8_t bytes[LONGEST + 8];
};

/* In pieces of at most `most` bytes; memory ends where it says. */
static void decode(struct result *result, const uint8_t *in, size_t n, size_t most)
{
    *result = (struct result){.len = 0};
    for (size_t at = 0; at < n;) {
        size_t piece = 1 + below((uint32_t)most);
        if (piece > n - at)
            piece = n - at;
        uint8_t *from = malloc(piece), *to = malloc(piece + 4);
        memcpy(from, in + at, piece);
        size_t got = mime_base64_decode(&result->state, from, piece, to);
        memcpy(result->bytes + result->len, to, got);
        result->len += got;
        at += piece;
        free(from);
        free(to);
    }
    result->len += mime_base64_end(&result->state, result->bytes + result->len);
}

static void make(uint8_t *text, size_t n)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char others[] = " \t\r\n=-*";
    uint32_t line = below(2) ? 76 : 1 + below(90), end = 1 + below(2), odd = below(4);

    for (size_t i = 0; i < n; i++) {
        size_t column = i % (line + end);
        text[i] = (uint8_t)letters[below(64)];
        if (column >= line)
            text[i] = column + 1 == line + end ? '\n' : '\r';
        if (odd == 1 && !below(50))
            text[i] = (uint8_t)others[below(7)];
        if (odd == 2 && !below(50))
            text[i] = (uint8_t)below(256);
    }
}

static void test_any_cut(void **state)
{
    uint8_t text[LONGEST];
    struct result whole, pieces, bytes;
    (void)state;

    for (int round = 0; round < ROUNDS; round++) {
        size_t n = below(LONGEST);
        make(text, n);
        decode(&bytes, text, n, 1);
        decode(&pieces, text, n, 100);
        decode(&whole, text, n, LONGEST);
        assert_int_equal(bytes.len, pieces.len);
        assert_int_equal(bytes.len, whole.len);
        assert_memory_equal(bytes.bytes, pieces.bytes, bytes.len);
        assert_memory_equal(bytes.bytes, whole.bytes, bytes.len);
        assert_int_equal(bytes.state.odd, pieces.state.odd);
        assert_int_equal(bytes.state.odd, whole.state.odd);
    }
}

/* Every byte at every place of a group of characters: those that have no value are none. */
static void test_each_byte(void **state)
{
    struct result bytes, whole;
    uint8_t text[72];
    (void)state;

    for (unsigned c = 0; c < 256; c++)
        for (size_t at = 0; at < 32; at++) {
            memset(text, 'k', sizeof text);
            text[at] = (uint8_t)c;
            decode(&bytes, text, sizeof text, 1);
            whole = (struct result){.len = 0};
            uint8_t *to = malloc(sizeof text + 4);
            whole.len = mime_base64_decode(&whole.state, text, sizeof text, to);
            memcpy(whole.bytes, to, whole.len);
            free(to);
            whole.len += mime_base64_end(&whole.state, whole.bytes + whole.len);
            assert_int_equal(bytes.len, whole.len);
            assert_memory_equal(bytes.bytes, whole.bytes, bytes.len);
            assert_int_equal(bytes.state.odd, whole.state.odd);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut),
        cmocka_unit_test(test_each_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
