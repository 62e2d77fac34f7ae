/* Hostile mails: the work they make is linear in their length, by count and not by the clock;
 * memory stays within the cap; what was left out is told. */
// layers: mime
#include "mime/mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST_WORK 40u /* looks at each byte */

struct text {
    char *bytes;
    size_t len, room;
};

static void add(struct text *t, const char *format, ...)
{
    va_list list;

    if (t->room - t->len < 4096)
        t->bytes = realloc(t->bytes, t->room = 2 * t->room + 8192);
    va_start(list, format);
    t->len += (size_t)vsnprintf(t->bytes + t->len, 4096, format, list);
    va_end(list);
}

static void repeat(struct text *t, const char *what, size_t n)
{
    while (n--)
        add(t, "%s", what);
}

/* ---- mails that get longer with n ---- */

static void many_parts(struct text *t, unsigned n)
{
    add(t, "Content-Type: multipart/mixed; boundary=b\n\n");
    for (unsigned i = 0; i < n; i++)
        add(t, "--b\n\npart %u\n", i);
    add(t, "--b--\n");
}

static void deep_parts(struct text *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        add(t, "Content-Type: multipart/mixed; boundary=b%u\n\n--b%u\n", i, i);
    add(t, "\ntext\n");
    for (unsigned i = n; i-- > 0;)
        add(t, "--b%u--\n", i);
}

static void deep_messages(struct text *t, unsigned n)
{
    repeat(t, "Content-Type: message/rfc822\n\n", n);
}

static void one_boundary(struct text *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        add(t, "Content-Type: multipart/mixed; boundary=b\n\n--b\n");
}

/* Lines that look like delimiters, below as many multiparts as can be. */
static void near_delimiters(struct text *t, unsigned n)
{
    deep_parts(t, 60);
    t->len -= 60;
    for (unsigned i = 0; i < n; i++)
        add(t, "--b%u-\n--\n-----\n", i % 70);
}

static void long_line(struct text *t, unsigned n)
{
    add(t, "Subject: x\n\n");
    repeat(t, "0123456789", n);
}

static void long_boundary(struct text *t, unsigned n)
{
    add(t, "Content-Type: multipart/mixed; boundary=\"");
    repeat(t, "bbbbbbbbbb", n);
    add(t, "\"\n\n--");
    repeat(t, "bbbbbbbbbb", n);
    add(t, "\n\nx\n");
}

static void many_fields(struct text *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        add(t, "X-%u: =?utf-8?q?a?= =?utf-8?q?b?=\n", i);
}

static void folded_field(struct text *t, unsigned n)
{
    add(t, "Subject:");
    repeat(t, " x\n", n);
}

static void open_words(struct text *t, unsigned n)
{
    add(t, "Subject: ");
    repeat(t, "=?utf-8?q?", n);
}

/* Each could end where the next but 150 begin. */
static void endless_words(struct text *t, unsigned n)
{
    add(t, "Subject: ");
    repeat(t, "=?a?q?x", n);
}

static void many_parameters(struct text *t, unsigned n)
{
    add(t, "Content-Type: text/plain");
    for (unsigned i = 0; i < n; i++)
        add(t, "; name*%u=a", i);
    add(t, "\n\n");
}

static void open_comments(struct text *t, unsigned n)
{
    add(t, "Content-Type: text/plain; a=");
    repeat(t, "(", n);
    add(t, "\n\n");
}

static void quoted_ends(struct text *t, unsigned n)
{
    add(t, "Content-Transfer-Encoding: quoted-printable\n\n");
    repeat(t, "=          ", n);
}

static void html_head(struct text *t)
{
    add(t, "Content-Type: text/html\n\n");
}

static void open_comments_html(struct text *t, unsigned n)
{
    html_head(t);
    repeat(t, "<!--", n);
}

static void open_scripts(struct text *t, unsigned n)
{
    html_head(t);
    repeat(t, "<script></scrip", n);
}

static void open_quotes(struct text *t, unsigned n)
{
    html_head(t);
    repeat(t, "<a href=\"x>", n);
}

static void deep_html(struct text *t, unsigned n)
{
    html_head(t);
    repeat(t, "<div><font color=white>x", n);
    repeat(t, "</div>", n);
}

static void many_links(struct text *t, unsigned n)
{
    html_head(t);
    repeat(t, "<a href=x>http://www.www.www.a.b", n);
}

static void entities(struct text *t, unsigned n)
{
    html_head(t);
    repeat(t, "&amp&#99999999999999;&", n);
}

static void www(struct text *t, unsigned n)
{
    add(t, "Subject: x\n\n");
    repeat(t, "www.,,,,::://", n);
}

static void uu_begins(struct text *t, unsigned n)
{
    add(t, "Subject: x\n\n");
    repeat(t, "begin 644 x\n", n);
    repeat(t, "begin 644 x\n!80``\n`\nend\n", n);
}

static const struct bomb {
    const char *name;
    void (*make)(struct text *t, unsigned n);
    int anomaly; /* that it raises; -1: none needs to be */
    unsigned n;
} bombs[] = {
    {"10,000 parts", many_parts, MR_MIME_TOO_MANY_PARTS, 10000},
    {"depth 1,000", deep_parts, MR_MIME_TOO_DEEP, 1000},
    {"messages in messages", deep_messages, MR_MIME_TOO_DEEP, 10000},
    {"multiparts of one boundary", one_boundary, MR_MIME_TOO_MANY_PARTS, 10000},
    {"near delimiters", near_delimiters, MR_MIME_TOO_DEEP, 20000},
    {"an endless line", long_line, MR_MIME_LONG_LINE, 100000},
    {"an endless boundary", long_boundary, MR_MIME_LONG_BOUNDARY, 50000},
    {"fields", many_fields, MR_MIME_TOO_MANY_HEADERS, 20000},
    {"a folded field", folded_field, MR_MIME_LONG_HEADER_VALUE, 200000},
    {"words that do not end", open_words, MR_MIME_INVALID_WORD, 50000},
    {"endless words", endless_words, MR_MIME_INVALID_WORD, 50000},
    {"parameters", many_parameters, MR_MIME_TOO_MANY_PARAMETERS, 20000},
    {"comments that do not end", open_comments, MR_MIME_LONG_LINE, 200000},
    {"soft line breaks", quoted_ends, MR_MIME_INVALID_QP, 50000},
    {"<!--", open_comments_html, -1, 100000},
    {"<script>", open_scripts, -1, 50000},
    {"quotes", open_quotes, -1, 50000},
    {"deep HTML", deep_html, -1, 50000},
    {"links", many_links, MR_MIME_TOO_MANY_LINKS, 50000},
    {"entities", entities, -1, 50000},
    {"www.", www, -1, 50000},
    {"uuencoded files", uu_begins, MR_MIME_TOO_MANY_PARTS, 20000},
};

/* ---- memory that counts ---- */

struct pool {
    size_t taken, peak, cap;
    unsigned blocks;
};

struct block {
    size_t bytes;
    size_t unused;
};

static void *get(void *user, size_t bytes, void **handle)
{
    struct pool *pool = user;

    if (bytes > pool->cap - pool->taken)
        return NULL;
    struct block *block = malloc(sizeof *block + bytes);
    assert_non_null(block);
    block->bytes = bytes;
    pool->taken += bytes;
    pool->blocks++;
    pool->peak = pool->taken > pool->peak ? pool->taken : pool->peak;
    *handle = block;
    return block + 1;
}

static void put(void *user, void *handle)
{
    struct pool *pool = user;
    struct block *block = handle;

    pool->taken -= block->bytes;
    pool->blocks--;
    free(block);
}

static void test_linear(void **state)
{
    struct mr_mime_decoder *d = mr_mime_open(NULL);
    (void)state;

    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        struct pool pool = {.cap = SIZE_MAX};
        struct mr_mime_memory memory = {&pool, get, put};
        struct text small = {0}, large = {0};
        bombs[i].make(&small, bombs[i].n / 4);
        bombs[i].make(&large, bombs[i].n);
        uint64_t little = mr_mime_decode(d, &memory, (const uint8_t *)small.bytes, small.len)->work;
        const struct mr_mime *m =
            mr_mime_decode(d, &memory, (const uint8_t *)large.bytes, large.len);
        if (bombs[i].anomaly >= 0 && !(m->anomalies >> bombs[i].anomaly & 1))
            fail_msg("%s: no %s", bombs[i].name,
                     mr_mime_anomaly_text((enum mr_mime_anomaly)bombs[i].anomaly));
        if (m->work > MOST_WORK * large.len || m->work / large.len > 2 * (little / small.len) + 2)
            fail_msg("%s: %zu bytes make work of %llu, %zu of %llu", bombs[i].name, small.len,
                     (unsigned long long)little, large.len, (unsigned long long)m->work);
        assert_true(pool.peak < 8 * large.len + (1u << 20));
        assert_true(m->n_parts <= 1000);
        mr_mime_release(d);
        assert_int_equal(pool.blocks, 0);
        free(small.bytes);
        free(large.bytes);
    }
    mr_mime_close(d);
}

/* Small limits and little memory: what there is stays readable. */
static void test_small(void **state)
{
    struct mr_mime_limits limits = {.headers = 3,
                                    .parts = 4,
                                    .depth = 2,
                                    .parameters = 2,
                                    .links = 2,
                                    .text_bytes = 100,
                                    .memory_bytes = 1};
    (void)state;

    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        struct text text = {0};
        struct mr_mime_decoder *d = mr_mime_open(&limits);
        bombs[i].make(&text, 2000);
        const struct mr_mime *m = mr_mime_decode(d, NULL, (const uint8_t *)text.bytes, text.len);
        assert_true(m->n_parts >= 1 && m->n_parts <= 4);
        assert_true(m->n_headers <= 3);
        assert_true(m->n_links <= 2);
        assert_true(m->text.len <= 100);
        mr_mime_close(d);
        free(text.bytes);
    }
}

/* No more memory at any moment: never anything but a result and an anomaly. */
static void test_no_memory(void **state)
{
    struct mr_mime_decoder *d = mr_mime_open(NULL);
    (void)state;

    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        struct text text = {0};
        bombs[i].make(&text, bombs[i].n / 2);
        for (size_t cap = 0; cap < 1u << 20; cap = 2 * cap + 50000) {
            struct pool pool = {.cap = cap};
            struct mr_mime_memory memory = {&pool, get, put};
            const struct mr_mime *m =
                mr_mime_decode(d, &memory, (const uint8_t *)text.bytes, text.len);
            assert_true(m->n_parts >= 1);
            mr_mime_release(d);
            assert_int_equal(pool.taken, 0);
        }
        free(text.bytes);
    }
    mr_mime_close(d);
}

/* Hidden text that there is no memory for, then some that there is room for. */
static void test_hidden_no_memory(void **state)
{
    struct pool pool = {.cap = 0};
    struct mr_mime_memory memory = {&pool, get, put};
    struct mr_mime_decoder *d = mr_mime_open(NULL);
    struct text text = {0};
    (void)state;

    html_head(&text);
    add(&text, "<b hidden>");
    repeat(&text, "0123456789", 1000);
    add(&text, "</b>seen<b hidden>hidden</b>");
    const struct mr_mime *m = mr_mime_decode(d, &memory, (const uint8_t *)text.bytes, text.len);
    assert_true(m->anomalies >> MR_MIME_NO_MEMORY & 1);
    assert_int_equal(m->n_hidden, 2);
    assert_int_equal(m->hidden[0].text.len, 0);
    /* all of it begins where the first does: f_mimeHidden reads it so */
    assert_ptr_equal(m->hidden[0].text.ptr + m->hidden[1].at, m->hidden[1].text.ptr);
    assert_memory_equal(m->hidden[1].text.ptr, "hidden", 6);
    mr_mime_close(d);
    free(text.bytes);
}

/* More text than the limit: as much as fits, up to a whole character. */
static void test_text_limit(void **state)
{
    struct mr_mime_limits limits = {.text_bytes = 5};
    struct mr_mime_decoder *d = mr_mime_open(&limits);
    const char *mail = "Content-Type: text/plain; charset=utf-8\n\n1234\xc3\xa4\xc3\xa4";
    (void)state;

    const struct mr_mime *m = mr_mime_decode(d, NULL, (const uint8_t *)mail, strlen(mail));
    assert_int_equal(m->text.len, 4);
    assert_true(m->anomalies >> MR_MIME_TEXT_CUT & 1);
    mr_mime_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),     cmocka_unit_test(test_small),
        cmocka_unit_test(test_no_memory),  cmocka_unit_test(test_hidden_no_memory),
        cmocka_unit_test(test_text_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
