/* The MIME decoder: one mail a test, what is to come of it. */
// layers: mime
#include "mime/mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct mr_mime_decoder *decoder;

/* In memory of exactly its size, so that reading beyond it shows. */
static uint8_t *copy;

static const struct mr_mime *read_mail(const char *mail, size_t len)
{
    free(copy);
    copy = malloc(len ? len : 1);
    memcpy(copy, mail, len);
    return mr_mime_decode(decoder, NULL, copy, len);
}

static const struct mr_mime *mail(const char *text)
{
    return read_mail(text, strlen(text));
}

static void assert_text(struct mr_mime_text text, const char *want)
{
    if (text.len != strlen(want) || memcmp(text.ptr, want, text.len) != 0)
        fail_msg("\"%.*s\" instead of \"%s\"", (int)text.len, (const char *)text.ptr, want);
}

static void assert_field(const struct mr_mime *m, const char *name, const char *want)
{
    uint32_t cursor = 0;
    const struct mr_mime_header *header = mr_mime_field(m, 0, name, &cursor);
    assert_non_null(header);
    assert_text(header->value, want);
}

/* The named ones and no others. */
static void assert_anomalies(const struct mr_mime *m, uint64_t want)
{
    for (int i = 0; i < MR_MIME_N_ANOMALIES; i++)
        if ((m->anomalies ^ want) >> i & 1)
            fail_msg("%s: %s", mr_mime_anomaly_text((enum mr_mime_anomaly)i),
                     want >> i & 1 ? "missing" : "not expected");
}

#define BIT(name) ((uint64_t)1 << MR_MIME_##name)

static void test_fields(void **state)
{
    (void)state;
    const struct mr_mime *m = mail("From: a@b\r\nSubject: one\r\n two\r\n\tthree\r\nX-Empty:\r\n"
                                   "Subject : second\r\n\r\nbody\r\n");
    assert_int_equal(m->n_headers, 4);
    assert_true(m->header_complete);
    assert_field(m, "subject", "one two\tthree");
    assert_field(m, "X-EMPTY", "");
    uint32_t cursor = 0;
    mr_mime_field(m, 0, "subject", &cursor);
    assert_text(mr_mime_field(m, 0, "subject", &cursor)->value, "second");
    assert_null(mr_mime_field(m, 0, "subject", &cursor));
    assert_text(m->text, "body\n");
    assert_anomalies(m, 0);

    m = mail("From me Mon Jan  1 00:00:00 2001\nSubject: mbox\n\nx");
    assert_field(m, "subject", "mbox");
    m = mail("Subject: x\nthis is no field\nTo: y\n");
    assert_int_equal(m->n_headers, 1);
    assert_text(m->text, "this is no field\nTo: y\n");
    assert_anomalies(m, BIT(MALFORMED_MSG));
    m = mail("");
    assert_int_equal(m->n_parts, 1);
    assert_false(m->header_complete);
    m = mail("Subject: Gr\xc3\xbc\xc3\x9f"
             "e\nX: Gr\xfc\xdf"
             "e \x80\n\n");
    assert_field(m, "subject", "Grüße");
    assert_field(m, "x", "Grüße €");
}

static void test_words(void **state)
{
    static const char *const pairs[][2] = {
        {"=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"},
        {"=?UTF-8?b?R3LDvMOfZQ==?=", "Grüße"},
        {"=?iso-8859-1?q?a_b=5F?= c", "a b_ c"},
        {"a =?utf-8?q?b?= =?utf-8?q?c?= d", "a bc d"},
        {"=?utf-8?q?b?=\r\n =?utf-8?q?c?=", "bc"},
        {"=?utf-8?B?R3LD?= =?utf-8?B?vMOfZQ==?=", "Grüße"}, /* a character cut in two */
        {"=?utf-8*en?q?x?=", "x"},
        {"=?koi8-r?B?8NLJ18XU?=", "Привет"},
        {"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"},
        {"=?gb2312?B?1tC5+g==?=", "中国"},
        {"=?windows-1252?Q?=80?=", "€"},
        {"\"=?utf-8?q?quoted?=\" <a@b>", "\"quoted\" <a@b>"},
        {"=?utf-8?q?a b?=", "a b"},
    };
    char text[256];
    (void)state;

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        snprintf(text, sizeof text, "Subject: %s\r\n\r\n", pairs[i][0]);
        const struct mr_mime *m = mail(text);
        assert_field(m, "subject", pairs[i][1]);
        assert_anomalies(m, 0);
    }
    const struct mr_mime *m = mail("Subject: =?utf-8?x?y?= =?utf-8?q?open\n\n");
    assert_field(m, "subject", "=?utf-8?x?y?= =?utf-8?q?open");
    assert_anomalies(m, BIT(INVALID_WORD));
}

static void test_parameters(void **state)
{
    static const char *const pairs[][2] = {
        {"filename=a.txt", "a.txt"},
        {"filename=\"a b.txt\"; size=5", "a b.txt"},
        {"filename=a b.txt", "a b.txt"},
        {"filename=a.txt (a comment)", "a.txt"},
        {"FileName = \"a.txt\"", "a.txt"},
        {"filename=\"a\\\"b\"", "a\"b"},
        {"filename=\"C:\\dir\\a.txt\"", "C:\\dir\\a.txt"},
        {"filename*=utf-8'de'%c3%bc.txt", "ü.txt"},
        {"filename=x; filename*=iso-8859-1''%fc.txt", "ü.txt"},
        {"filename*0=\"a\"; filename*1=\"b\"; filename*2=c", "abc"},
        {"filename*1=b; filename*0=a", "ab"},
        {"filename*0*=utf-8''%e2%82; filename*1*=%ac; filename*2=.txt", "€.txt"},
        {"filename=\"=?utf-8?q?=C3=BC?=.txt\"", "ü.txt"},
        {"filename=\"\xfc\"", "ü"},
        {"; ;filename=a", "a"},
    };
    char text[512];
    (void)state;

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        snprintf(text, sizeof text, "Content-Disposition: attachment; %s\r\n\r\n", pairs[i][0]);
        const struct mr_mime *m = mail(text);
        assert_text(m->parts[0].filename, pairs[i][1]);
        assert_text(m->parts[0].disposition, "attachment");
        assert_true(m->parts[0].is_file);
    }
    const struct mr_mime *m =
        mail("Content-Type: (c) Text/HTML (d) ; Charset=\"UTF-8\"; name=n\n\n");
    assert_text(m->parts[0].type, "text/html");
    assert_text(m->parts[0].charset, "utf-8");
    assert_text(m->parts[0].filename, "n");
    assert_true(m->parts[0].is_html);
    assert_text(mail("Content-Type: text\n\n")->parts[0].type, "text/plain");
    m = mail("Content-Type: image/png\nContent-Type: text/html\n\n");
    assert_text(m->parts[0].type, "image/png");
    assert_anomalies(m, BIT(DUPLICATE_FIELDS));
    /* readers disagree about which one counts */
    m = mail("Content-Type: multipart/mixed; boundary=a; x=1; x=2; Boundary=b\n\n"
             "--a\n\none\n--a--\n--b\n\ntwo\n--b--\n");
    assert_int_equal(m->n_parts, 2);
    assert_text(m->text, "one");
    assert_anomalies(m, BIT(DUPLICATE_PARAMETERS));
    assert_anomalies(mail("Content-Disposition: a; filename*0=a; filename*0=b; filename*1=c\n\n"),
                     BIT(DUPLICATE_PARAMETERS));
    assert_anomalies(mail("Content-Disposition: a; filename*=x; filename=y\n\n"), 0);
}

static void test_multipart(void **state)
{
    (void)state;
    const struct mr_mime *m =
        mail("Content-Type: multipart/mixed; boundary=\"a\"\r\n\r\npreamble\r\n--a\r\n\r\nfirst\r\n"
             "--a  \r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n"
             "Content-Type: text/plain\r\n\r\nsecond\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n"
             "<p>third</p>\r\n--b--\r\nepilogue\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n"
             "Subject: inner\r\n\r\nfourth\r\n--a--\r\nend\r\n");
    static const struct {
        const char *type, *body;
        unsigned parent, depth, kind;
    } want[] = {
        {"multipart/mixed", NULL, 0, 0, MR_MIME_MULTIPART},
        {"text/plain", "first", 0, 1, MR_MIME_LEAF},
        {"multipart/alternative", NULL, 0, 1, MR_MIME_MULTIPART},
        {"text/plain", "second\r\n", 2, 2, MR_MIME_LEAF},
        {"text/html", "<p>third</p>", 2, 2, MR_MIME_LEAF},
        {"message/rfc822", "Subject: inner\r\n\r\nfourth", 0, 1, MR_MIME_MESSAGE},
        {"text/plain", "fourth", 5, 2, MR_MIME_LEAF},
    };
    assert_int_equal(m->n_parts, sizeof want / sizeof *want);
    for (unsigned i = 0; i < m->n_parts; i++) {
        assert_text(m->parts[i].type, want[i].type);
        if (want[i].body)
            assert_text(m->parts[i].body, want[i].body);
        assert_int_equal(m->parts[i].parent, want[i].parent);
        assert_int_equal(m->parts[i].depth, want[i].depth);
        assert_int_equal(m->parts[i].kind, want[i].kind);
    }
    assert_text(m->text, "first\nsecond\nthird\nfourth");
    assert_anomalies(m, 0);

    /* the outer delimiter ends the inner multipart; none ends the outer one */
    m = mail("Content-Type: multipart/mixed; boundary=a\n\n--a\n"
             "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--a\n\ntwo");
    assert_int_equal(m->n_parts, 4);
    assert_int_equal(m->parts[3].parent, 0);
    assert_text(m->text, "one\ntwo");
    assert_anomalies(m, BIT(NO_END));
    /* a delimiter among the fields ends them */
    m = mail("Content-Type: multipart/mixed; boundary=a\n\n--a\nX: y\n--a\n\ntwo\n--a--\n");
    assert_int_equal(m->n_parts, 3);
    assert_text(m->text, "two");
    /* a boundary that ends in -- */
    m = mail("Content-Type: multipart/mixed; boundary=\"a--\"\n\n--a--\n\none\n--a----\nend");
    assert_text(m->text, "one");
    assert_anomalies(m, 0);
    m = mail("Content-Type: multipart/mixed\n\n--a\n\none\n");
    assert_text(m->text, "--a\n\none\n");
    assert_anomalies(m, BIT(NO_BOUNDARY));
    m = mail("Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: x\n\none\n--a--\n");
    assert_int_equal(m->parts[1].kind, MR_MIME_MESSAGE);
    assert_text(m->text, "one");
}

static void test_encodings(void **state)
{
    static const struct {
        const char *encoding, *body, *text;
        uint64_t anomalies;
    } cases[] = {
        {"base64", "SGVs\r\nbG8=\r\n", "Hello", 0},
        {"BASE64", "SGVsbG8h", "Hello!", 0},
        {"(a comment (in one)) base64 (too)", "SGVsbG8h", "Hello!", 0},
        {"base64", "SGV*sbG8h", "Hello!", BIT(INVALID_BASE64)},
        {"base64", "SGVsbG8", "Hello", BIT(INVALID_BASE64)},
        {"base64", "SGVsbG8=\r\n-- \r\na list\r\n", "Hello", BIT(INVALID_BASE64)},
        {"base64", "NA=\r\n=Mg\r\n==\r\n", "42", BIT(INVALID_BASE64)},
        {"quoted-printable", "a=3Db=\r\nc=  \r\nd=0Ae", "a=bcd\ne", 0},
        {"quoted-printable", "a=3db=zz=", "a=b=zz", BIT(INVALID_QP)},
        {"x-uuencode", "begin 644 a\n%2&5L;&\\\n`\nend\n", "Hello", 0},
        {"x-uuencode", "begin 644 a\n%2&5L;&\\\n", "Hello", BIT(INVALID_UU)},
        {"8bit", "caf\xe9", "café", 0},
        {"what", "x", "x", BIT(UNKNOWN_ENCODING)},
    };
    char text[512];
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text,
                 "Content-Transfer-Encoding: %s\r\nContent-Type: text/plain; "
                 "charset=iso-8859-1\r\n\r\n%s",
                 cases[i].encoding, cases[i].body);
        const struct mr_mime *m = mail(text);
        assert_text(m->text, cases[i].text);
        assert_anomalies(m, cases[i].anomalies);
    }
}

static void test_uuencoded_files(void **state)
{
    struct mr_mime_digest digest;
    (void)state;
    const struct mr_mime *m =
        mail("Subject: x\n\nbefore\nbegin 644 hello.txt\n%2&5L;&\\\n`\nend\nbetween\n"
             "begin 755 no data\nthis is text\nbegin 600 b\n!80\n\nend\nafter\n");
    assert_int_equal(m->n_parts, 3);
    assert_text(m->text, "before\nbetween\nbegin 755 no data\nthis is text\nafter\n");
    assert_text(m->parts[1].filename, "hello.txt");
    assert_text(m->parts[2].filename, "b");
    mr_mime_part_digest(&m->parts[1], MR_MIME_SHA256, &digest);
    assert_int_equal(digest.size, 5);
    assert_int_equal(digest.sha256[0], 0x18); /* of "Hello" */
    assert_int_equal(digest.sha256[31], 0x69);
}

static void test_charsets(void **state)
{
    static const struct {
        const char *charset, *body, *text;
        uint64_t anomalies;
    } cases[] = {
        {"utf-8", "\xef\xbb\xbfx", "x", 0},
        {"UTF8", "\xe2\x82\xac", "€", 0},
        {"utf-8", "a\xff\xe2\x82z", "a\xef\xbf\xbd\xef\xbf\xbdz", BIT(INVALID_CHARACTER)},
        {"utf-8", "\xed\xa0\x80\xc0\x80",
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", BIT(INVALID_CHARACTER)},
        {"us-ascii", "\xe4", "ä", BIT(INVALID_CHARACTER)},
        {"windows-1251", "\xcf\xf0", "Пр", 0},
        {"cp1251", "\xcf\xf0", "Пр", 0},
        {"iso-8859-15", "\xa4", "€", 0},
        {"windows-1253", "\xaa", "\xef\xbf\xbd", BIT(INVALID_CHARACTER)},
        {"big5", "\xa4\xa4", "中", 0},
        {"shift_jis", "\x93\xfa", "日", 0},
        {"euc-kr", "\xc7\xd1", "한", 0},
        {"euc-jp", "\xc6\xfc", "日", 0},
        {"utf-7", "+AOQ-x", "äx", 0},
        {"gb2312", "\xd6\xd0\xff", "中\xef\xbf\xbd", BIT(INVALID_CHARACTER)},
        {"x-no-such", "\xe4", "ä", BIT(UNKNOWN_CHARSET)},
    };
    char text[512];
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "Content-Type: text/plain; charset=%s\n\n%s", cases[i].charset,
                 cases[i].body);
        const struct mr_mime *m = mail(text);
        assert_text(m->text, cases[i].text);
        assert_anomalies(m, cases[i].anomalies);
    }
}

static void test_long(void **state)
{
    char *text = calloc(1, 8000), long_name[400];
    (void)state;

    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    snprintf(text, 8000, "Content-Disposition: attachment; filename=%s\n\n", long_name);
    const struct mr_mime *m = mail(text);
    assert_int_equal(m->parts[0].filename.len, 255);
    assert_anomalies(m, BIT(LONG_FILENAME));
    snprintf(text, 8000, "X%s: y\n\n", long_name);
    assert_anomalies(mail(text), BIT(LONG_HEADER_NAME));
    snprintf(text, 8000, "Subject: x\n %2100s\n\n%999s\n", long_name, "y");
    assert_anomalies(mail(text), BIT(LONG_HEADER_VALUE) | BIT(LONG_LINE));
    snprintf(text, 8000, "Content-Transfer-Encoding: base64\n\n%77s\n", "");
    assert_anomalies(mail(text), BIT(LONG_ENC_LINE));
    snprintf(text, 8000,
             "Content-Type: multipart/mixed; boundary=%.200s\n\n--%.200s\n\nx\n--%.200s--\n",
             long_name, long_name, long_name);
    m = mail(text);
    assert_text(m->text, "x");
    assert_anomalies(m, BIT(LONG_BOUNDARY));
    assert_anomalies(read_mail("Subject: a\0b\n\n", 14), BIT(NUL_BYTES));
    free(text);
}

static void test_digest(void **state)
{
    static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf};
    struct mr_mime_digest digest;
    (void)state;
    const struct mr_mime *m =
        mail("Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\nYWJj\n");
    mr_mime_part_digest(&m->parts[0], MR_MIME_SHA256 | MR_MIME_MD5 | MR_MIME_SHA1, &digest);
    assert_int_equal(digest.size, 3);
    assert_memory_equal(digest.sha256, abc, sizeof abc);
    assert_int_equal(digest.md5[0], 0x90);
    assert_int_equal(digest.sha1[0], 0xa9);
    assert_int_equal(m->text.len, 0);
}

static int setup(void **state)
{
    (void)state;
    decoder = mr_mime_open(NULL);
    return !decoder;
}

static int teardown(void **state)
{
    (void)state;
    mr_mime_close(decoder);
    free(copy);
    return 0;
}

/* A uuencoded file right before a delimiter: the line end between them is the delimiter's. */
static void test_uuencoded_file_at_end(void **state)
{
    (void)state;
    const struct mr_mime *m = mail("Content-Type: multipart/mixed; boundary=b\n\n--b\n\n"
                                   "see\nbegin 644 x\n!80``\n`\nend\n--b--\n");
    assert_int_equal(m->n_parts, 3);
    assert_text(m->parts[2].filename, "x");
    assert_text(m->text, "see\n");
    m = mail("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
             "begin 644 x\r\n!80``\r\n`\r\nend\r\n--b\r\n\r\nrest\r\n--b--\r\n");
    assert_int_equal(m->n_parts, 4);
    assert_true(m->parts[2].body.ptr + m->parts[2].body.len ==
                m->parts[1].body.ptr + m->parts[1].body.len);
    assert_text(m->text, "rest");
    char text[400], name[260];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    memcpy(name + 254, "\xc3\xa4", 2);
    snprintf(text, sizeof text, "Subject: x\n\nbegin 644 %s\n!80``\n`\nend\n", name);
    m = mail(text);
    assert_int_equal(m->parts[1].filename.len, 254);
    assert_anomalies(m, BIT(LONG_FILENAME));
}

/* Words may decode to nothing, so that less is left of a value than stands there. */
static void test_short_content_id(void **state)
{
    (void)state;
    const struct mr_mime *m = mail("Content-ID: <=?utf-8?q?\?=\n\n");
    assert_text(m->parts[0].content_id, "");
    m = mail("Content-ID: <a@b>\n\n");
    assert_text(m->parts[0].content_id, "a@b");
}

/* The byte order of a mail is its own: no mail before it matters. */
static void test_utf16(void **state)
{
    static const char big[] = "Content-Type: text/plain; charset=utf-16\n\n\xfe\xff\0a\0\xe4";
    static const char little[] = "Content-Type: text/plain; charset=utf-16\n\n\xff\xfe"
                                 "a\0\xe4";
    static const char none[] = "Content-Type: text/plain; charset=utf-16le\n\na\0\xe4";
    static const char marked[] = "Content-Type: text/plain; charset=utf-16be\n\n\0a\0\xe4";
    static const char pairs[] = "Content-Type: text/plain; charset=utf-16be\n\n"
                                "\xd8\x3d\xde\0\xd8\x3d\0a\xde\0\0";
    (void)state;

    for (int i = 0; i < 2; i++) {
        assert_text(read_mail(big, sizeof big - 1)->text, "a\xc3\xa4");
        assert_text(read_mail(little, sizeof little)->text, "a\xc3\xa4");
        assert_text(read_mail(none, sizeof none)->text, "a\xc3\xa4");
        assert_text(read_mail(marked, sizeof marked - 1)->text, "a\xc3\xa4");
    }
    const struct mr_mime *m = read_mail(pairs, sizeof pairs - 1);
    assert_text(m->text, "\xf0\x9f\x98\x80\xef\xbf\xbd"
                         "a\xef\xbf\xbd\xef\xbf\xbd");
    assert_true(m->anomalies & BIT(INVALID_CHARACTER));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),     cmocka_unit_test(test_words),
        cmocka_unit_test(test_parameters), cmocka_unit_test(test_multipart),
        cmocka_unit_test(test_encodings),  cmocka_unit_test(test_uuencoded_files),
        cmocka_unit_test(test_charsets),   cmocka_unit_test(test_long),
        cmocka_unit_test(test_digest),     cmocka_unit_test(test_uuencoded_file_at_end),
        cmocka_unit_test(test_utf16),      cmocka_unit_test(test_short_content_id),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
