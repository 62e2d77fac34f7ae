/* base64 contents against a decoder that takes one character after the other. */
// layers: mime
#include "mime/mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST 50000

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct gathered {
    uint8_t bytes[MOST];
    size_t n;
};

static void gather(void *user, const uint8_t *bytes, size_t len)
{
    struct gathered *to = user;

    assert_true(len <= sizeof to->bytes - to->n);
    memcpy(to->bytes + to->n, bytes, len);
    to->n += len;
}

/* Without padding: what is not in the alphabet is skipped. */
static void slowly(const char *in, size_t n, struct gathered *to, bool *odd)
{
    uint32_t bits = 0, have = 0;

    to->n = 0;
    for (size_t i = 0; i < n; i++) {
        const char *at = in[i] ? strchr(alphabet, in[i]) : NULL;
        if (!at) {
            *odd |= !in[i] || !strchr("\r\n\t ", in[i]);
            continue;
        }
        bits = bits << 6 | (uint32_t)(at - alphabet);
        have += 6;
        if (have >= 8)
            to->bytes[to->n++] = (uint8_t)(bits >> (have -= 8));
    }
    *odd |= have != 0;
}

static void check(const char *in, size_t n)
{
    static struct gathered got, want;
    char *exact = malloc(n ? n : 1);
    struct mr_mime_part part = {.kind = MR_MIME_LEAF, .encoding = MR_MIME_BASE64};
    uint64_t anomalies = 0;
    bool odd = false;

    memcpy(exact, in, n);
    part.body = (struct mr_mime_text){(const uint8_t *)exact, (uint32_t)n};
    got.n = 0;
    uint64_t n_told = mr_mime_content(&part, gather, &got, &anomalies);
    assert_int_equal(n_told, got.n);
    slowly(in, n, &want, &odd);
    free(exact);
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.bytes, want.bytes, want.n);
    assert_int_equal(anomalies >> MR_MIME_INVALID_BASE64 & 1, odd);
}

/* Every byte at every place of a group of 32, and before and behind it. */
static void test_every_byte(void **state)
{
    char text[100];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = alphabet[i * 7 % 64];
    for (size_t at = 0; at < sizeof text; at++)
        for (int c = 0; c < 256; c++) {
            char was = text[at];
            if (c == '=')
                continue;
            text[at] = (char)c;
            check(text, sizeof text);
            text[at] = was;
        }
}

/* Lines of any length, now and then with something between, in pieces over their ends. */
static void test_lines(void **state)
{
    static char text[MOST];
    uint32_t random = 1;

    (void)state;
    for (int round = 0; round < 200; round++) {
        size_t n = (size_t)(random >> 8) % sizeof text, line = 1 + (random >> 4) % 120;
        for (size_t i = 0; i < n; i++) {
            random = random * 1664525u + 1013904223u;
            uint32_t r = random >> 16;
            text[i] = alphabet[r % 64];
            if (i % line == line - 1)
                text[i] = '\n';
            else if (i % line == line - 2 && round % 2)
                text[i] = '\r';
            else if (r % 5000 == 1)
                text[i] = " -\t\0"[r / 5000 % 4];
        }
        check(text, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
