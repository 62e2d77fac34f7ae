/* A mail that comes in pieces is read as it is in one: mails made of all that makes a difference,
 * cut anywhere, and byte by byte; the SpamAssassin corpus where it is there. And however long it
 * is, it takes no more memory. */
// layers: mime
#include "mime_same.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MADE     400
#define CUTTINGS 6

static uint32_t state_of_random = 1;

static uint32_t below(uint32_t n)
{
    state_of_random = state_of_random * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(state_of_random >> 8) * n >> 24);
}

/* ---- mails ---- */

struct text {
    char *bytes;
    size_t len, room;
};

static void put(struct text *to, const char *bytes, size_t len)
{
    if (to->room < to->len + len) {
        to->room = 2 * (to->len + len);
        to->bytes = realloc(to->bytes, to->room);
        assert_non_null(to->bytes);
    }
    memcpy(to->bytes + to->len, bytes, len);
    to->len += len;
}

static void line(struct text *to, const char *text)
{
    put(to, text, strlen(text));
    put(to, "\r\n", 2);
}

static void many(struct text *to, const char *text, unsigned n)
{
    while (n--)
        put(to, text, strlen(text));
}

static const char *const snippets[] = {
    "From a@example.org Thu Jan  1\r\n",
    "Subject: =?iso-8859-1?q?J=F6rg?=\r\n =?utf-8?b?w7Y=?=\r\n",
    "Content-Type: multipart/mixed; boundary=one\r\n\r\npreamble\r\n",
    "Content-Type: multipart/alternative; boundary=\"two\"\r\n\r\n",
    "Content-Type: multipart/digest; boundary=three\r\n\r\n",
    "--one\r\n",
    "--two\r\n",
    "--three\r\n",
    "\r\n--one--\r\n",
    "--two-- \t\r\n",
    "\n--one\n",
    "\r\r\n--one\r\n",
    "\r\n",
    "\n",
    "\r",
    "Content-Type: message/rfc822; name=m\r\n\r\nSubject: inner\r\n\r\n",
    "Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n",
    "Content-Type: text/html; charset=iso-8859-1\r\n",
    "Content-Type: application/octet-stream; name*=utf-8''%e2%82%ac\r\n",
    "Content-Transfer-Encoding: base64\r\n\r\n",
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
    "Content-Transfer-Encoding: x-uuencode\r\n\r\n",
    "AAECAwQFBgcICQoLDA0ODw==\r\nnot base64!\r\n",
    "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5\r\n",
    "a=20b=\r\nc=3d=3D==zz=  \t \r\n=4",
    "=   =41 =\n=e4=0",
    "begin 644 data.txt\r\n#86)C\r\n`\r\nend\r\n",
    "begin 644 x\n#86)C\n",
    "end\r\n",
    "<p style=\"display:none\">hidden</p><a href=\"http://x.example/\">x</a>\r\n",
    "see www.example.org and http://y.example/z.\r\n",
    "X-Folded: one\r\n\ttwo\r\n  three\r\n",
    "no field\r\n",
    "\xe4\xf6\xfc \xc3\xa4\r\n",
};
#define N_SNIPPETS (sizeof snippets / sizeof *snippets)

static void make_mail(struct text *mail)
{
    mail->len = 0;
    for (unsigned n = 3 + below(25); n; n--) {
        const char *text = snippets[below(N_SNIPPETS)];
        put(mail, text, strlen(text));
        if (!below(25))
            many(mail, below(2) ? "x" : "= ", 900 + below(3000));
        if (!below(60))
            many(mail, "X-Long: 0123456789abcdef\r\n 0123456789abcdef", 3000);
        if (!below(40))
            put(mail, "\0", 1);
    }
}

/* ---- reading them ---- */

static const struct mr_mime *in_pieces(struct mr_mime_decoder *d, const char *mail, size_t len,
                                       size_t most, const char *kept, size_t n_kept)
{
    mr_mime_begin(d, NULL, MR_MIME_SHA256, MR_MIME_SHA256);
    while (len) {
        size_t n = 1 + below((uint32_t)most);
        n = n < len ? n : len;
        char *exact = malloc(n); /* so that sanitizers see who looks further, or later */
        memcpy(exact, mail, n);
        mr_mime_feed(d, exact, n);
        free(exact);
        mail += n;
        len -= n;
    }
    return mr_mime_end(d, kept, n_kept);
}

static void assert_same_body(const struct mr_mime *whole, const struct mr_mime *pieces)
{
    struct mr_mime_digest want;

    mr_mime_bytes_digest(whole->parts[0].body.ptr, whole->parts[0].body.len, MR_MIME_SHA256, &want);
    assert_memory_equal(pieces->body->sha256, want.sha256, sizeof want.sha256);
}

static void assert_same(struct mr_mime_decoder *one, struct mr_mime_decoder *other,
                        const char *mail, size_t len, size_t most, const char *name)
{
    const struct mr_mime *whole = mr_mime_decode(one, NULL, (const uint8_t *)mail, len);
    const struct mr_mime *pieces = in_pieces(other, mail, len, most, mail, len);

    if (!mime_same_but_work(whole, pieces) || !mime_same_contents(whole, pieces)) {
        FILE *file = fopen("mail.differs", "wb");
        if (file) {
            fwrite(mail, 1, len, file);
            fclose(file);
        }
        fail_msg("%s: in pieces of %zu bytes at most it differs (mail.differs)", name, most);
    }
    assert_same_body(whole, pieces);
    assert_true(pieces->work <= 2 * whole->work + 8 * len + 5000);
}

static void assert_same_in_all(struct mr_mime_decoder *d[2], const char *mail, size_t len,
                               const char *name)
{
    static const size_t most[CUTTINGS] = {1, 2, 7, 100, 2000, 100000};

    for (unsigned i = 0; i < CUTTINGS; i++)
        assert_same(d[0], d[1], mail, len, most[i], name);
}

static void test_made(void **state)
{
    struct mr_mime_limits tight = {6, 5, 4, 3, 3, 700, 0};
    struct mr_mime_decoder *d[2] = {mr_mime_open(NULL), mr_mime_open(NULL)};
    struct mr_mime_decoder *small[2] = {mr_mime_open(&tight), mr_mime_open(&tight)};
    struct text mail = {0};
    char name[32];
    (void)state;

    for (unsigned i = 0; i < MADE; i++) {
        make_mail(&mail);
        snprintf(name, sizeof name, "mail %u", i);
        assert_same_in_all(d, mail.bytes, mail.len, name);
        assert_same_in_all(small, mail.bytes, mail.len, name);
    }
    free(mail.bytes);
    for (unsigned i = 0; i < 2; i++) {
        mr_mime_close(d[i]);
        mr_mime_close(small[i]);
    }
}

static size_t read_file(const char *path, char *to, size_t room)
{
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(to, 1, room, file) : 0;

    if (file)
        fclose(file);
    return n;
}

static void test_corpus(void **state)
{
    static const char *const folders[] = {"easy_ham", "easy_ham_2", "hard_ham", "spam", "spam_2"};
    const char *data = getenv("MR_SHARED_DATA");
    struct mr_mime_decoder *d[2] = {mr_mime_open(NULL), mr_mime_open(NULL)};
    char *mail = malloc(1u << 20), path[1024];
    unsigned mails = 0;
    (void)state;

    for (size_t i = 0; data && i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof path, "%s/spam/spamassassin/%s", data, folders[i]);
        DIR *dir = opendir(path);
        for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
            snprintf(path, sizeof path, "%s/spam/spamassassin/%s/%s", data, folders[i],
                     entry->d_name);
            size_t len = entry->d_name[0] == '.' ? 0 : read_file(path, mail, 1u << 20);
            if (!len)
                continue;
            assert_same(d[0], d[1], mail, len, ++mails % 8 ? 3000 : 1, entry->d_name);
        }
        if (dir)
            closedir(dir);
    }
    free(mail);
    mr_mime_close(d[0]);
    mr_mime_close(d[1]);
    if (!mails) {
        print_message("SKIPPED: no SpamAssassin corpus (MR_SHARED_DATA): it is not cut\n");
        skip();
    }
    print_message("SpamAssassin: %u mails\n", mails);
}

/* ---- memory ---- */

static size_t taken, peak, n_taken;

static void *get(void *user, size_t bytes, void **handle)
{
    uint64_t *block = malloc(16 + bytes);
    (void)user;

    assert_non_null(block);
    block[0] = bytes;
    taken += bytes;
    n_taken++;
    peak = taken > peak ? taken : peak;
    *handle = block;
    return block + 2;
}

static void give(void *user, void *handle)
{
    (void)user;
    taken -= *(uint64_t *)handle;
    n_taken--;
    free(handle);
}

/* Text of 3 MB (more than what is kept of it) and an attachment of `mb` MB; returns the peak. */
static size_t peak_of(struct mr_mime_decoder *lender, unsigned mb, struct text *content)
{
    static const struct mr_mime_memory memory = {NULL, get, give};
    struct mr_mime_limits limits = {.text_bytes = 1u << 20};
    struct text head = {0};
    struct mr_mime_digest want;

    taken = peak = 0;
    struct mr_mime_decoder *d = mr_mime_begin_within(&memory, &limits, MR_MIME_SHA256, 0);
    mr_mime_lend(d, &memory, lender);
    line(&head, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
                "Content-Type: text/html; charset=iso-8859-1\r\n");
    many(&head, "<b>\xe4 text</b> of a line\r\n", 100000);
    line(&head, "\r\n--b\r\nContent-Type: a/b; name=f\r\n");
    mr_mime_feed(d, head.bytes, head.len);
    content->len = 0;
    many(content, "0123456789abcdef0123456789abcdef", mb << 15);
    for (size_t at = 0; at < content->len; at += 1 << 15)
        mr_mime_feed(d, content->bytes + at, 1 << 15);
    mr_mime_feed(d, "\r\n--b--\r\n", 9);
    const struct mr_mime *m = mr_mime_end(d, head.bytes, 1000);
    assert_int_equal(m->n_parts, 3);
    assert_int_equal(m->bytes, head.len + content->len + 9);
    assert_int_equal(m->anomalies & ~((uint64_t)1 << MR_MIME_LONG_LINE),
                     (uint64_t)1 << MR_MIME_TEXT_CUT);
    assert_true(m->text.len > 500000 && m->text.len <= 1u << 20);
    mr_mime_bytes_digest(content->bytes, content->len, MR_MIME_SHA256, &want);
    assert_memory_equal(m->parts[2].digest->sha256, want.sha256, sizeof want.sha256);
    assert_int_equal(m->parts[2].digest->size, content->len);
    assert_int_equal(m->parts[2].body.len, 0);
    assert_int_equal(m->parts[1].body.len, 1000 - m->parts[1].body_at);
    mr_mime_end_within(d, NULL, NULL);
    assert_int_equal(n_taken, 0);
    free(head.bytes);
    return peak;
}

static void test_memory(void **state)
{
    struct mr_mime_decoder *lender = mr_mime_open(NULL);
    struct text content = {0};
    (void)state;

    size_t small = peak_of(lender, 1, &content), large = peak_of(lender, 30, &content);
    assert_int_equal(small, large);
    assert_true(large < 8u << 20);
    free(content.bytes);
    mr_mime_close(lender);
}

/* Where the decoder's limit is met, too: what there is memory for is the same. */
static void test_limit(void **state)
{
    struct mr_mime_limits limits = {.text_bytes = 1u << 20, .memory_bytes = 3u << 20};
    struct mr_mime_decoder *d[2] = {mr_mime_open(&limits), mr_mime_open(&limits)};
    struct text mail = {0};
    unsigned refused = 0;
    (void)state;

    for (unsigned lines = 3000; lines <= 27000; lines += 3000) {
        mail.len = 0;
        line(&mail, "Content-Type: text/plain; charset=iso-8859-1\r\n");
        many(&mail,
             "\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4 \xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4 "
             "\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\r\n",
             lines);
        assert_same(d[0], d[1], mail.bytes, mail.len, 500, "text");
        assert_same(d[0], d[1], mail.bytes, mail.len, 3000, "text");
        assert_same(d[0], d[1], mail.bytes, mail.len, 1u << 20, "text");
        const struct mr_mime *m = mr_mime_decode(d[0], NULL, (const uint8_t *)mail.bytes, mail.len);
        refused += m->anomalies >> MR_MIME_NO_MEMORY & 1;
    }
    assert_in_range(refused, 1, 8);
    free(mail.bytes);
    mr_mime_close(d[0]);
    mr_mime_close(d[1]);
}

/* A result that outlives its decoder: what it lies in is handed over. */
static void hold(void *user, void *handle)
{
    void ***to = user;
    *(*to)++ = handle;
}

static void test_kept(void **state)
{
    static const struct mr_mime_memory memory = {NULL, get, give};
    struct mr_mime_decoder *lender = mr_mime_open(NULL), *other = mr_mime_open(NULL);
    void *handles[64], **at = handles;
    struct text mail = {0};
    (void)state;

    line(&mail, "Subject: =?utf-8?q?=C3=A4?=\r\nContent-Type: text/plain; charset=iso-8859-1\r\n");
    many(&mail, "\xe4 http://x.example/y\r\n", 20000);
    struct mr_mime_decoder *d = mr_mime_begin_within(&memory, NULL, MR_MIME_SHA256, 0);
    mr_mime_lend(d, &memory, lender);
    for (size_t i = 0; i < mail.len; i += 1000)
        mr_mime_feed(d, mail.bytes + i, mail.len - i < 1000 ? mail.len - i : 1000);
    const struct mr_mime *m = mr_mime_end(d, mail.bytes, mail.len);
    mr_mime_end_within(d, hold, &at);
    assert_int_equal(n_taken, at - handles);
    assert_true(
        mime_same_but_work(mr_mime_decode(other, NULL, (const uint8_t *)mail.bytes, mail.len), m));
    while (at > handles)
        give(NULL, *--at);
    assert_int_equal(taken, 0);
    free(mail.bytes);
    mr_mime_close(lender);
    mr_mime_close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made),  cmocka_unit_test(test_corpus), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_limit), cmocka_unit_test(test_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
