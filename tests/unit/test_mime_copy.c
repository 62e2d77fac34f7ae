/* A copy of what the MIME decoder says, when the decoder has gone on to another mail. */
// layers: mime
#include "mime_same.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char everything[] =
    "From: =?iso-8859-1?q?J=F6rg?= <j@example.org>\r\n"
    "Subject: one\r\n two\r\n"
    "Content-Type: multipart/mixed; boundary*0=\"o\"; boundary*1=ne\r\n\r\n"
    "preamble\r\n--one\r\n"
    "Content-Type: Text/HTML; charset=ISO-8859-1\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    "<p>Gr=FC=DFe <a href=\"http://x.example/?a&amp;b\">here</a>"
    "<span style=\"display:none\">un=\r\nseen</span> and <img src=\"cid:1\">\r\n"
    "<font size=\"0\">nor this</font></p>\r\n"
    "--one\r\nContent-Type: application/x-thing; name*=utf-8''%e2%82%ac.bin\r\n"
    "Content-ID: <1@here>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    "AAECAwQ=\r\n"
    "--one\r\nContent-Type: message/rfc822\r\n\r\n"
    "Subject: inner\r\n\r\nsee www.inner.example\r\nbegin 644 data.txt\r\n"
    "#86)C\r\n`\r\nend\r\n"
    "--one--\r\n";

/* In memory of exactly the size that was asked for. */
static void assert_copies(const char *mail, size_t len)
{
    struct mr_mime_decoder *decoder = mr_mime_open(NULL), *other = mr_mime_open(NULL);
    const struct mr_mime *read = mr_mime_decode(decoder, NULL, (const uint8_t *)mail, len);
    void *memory = malloc(mr_mime_copy_bytes(read));
    const struct mr_mime *copy = mr_mime_copy(read, memory);

    assert_true(mime_same(copy, read));
    mr_mime_close(decoder); /* whatever points there is gone */
    assert_true(mime_same(copy, mr_mime_decode(other, NULL, (const uint8_t *)mail, len)));
    mr_mime_close(other);
    free(memory);
}

static void test_all_of_it(void **state)
{
    (void)state;
    assert_copies(everything, sizeof everything - 1);
}

/* Mails that end anywhere: empty texts, parts and fields. */
static void test_every_beginning(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof everything; len++) {
        char *mail = malloc(len ? len : 1);
        memcpy(mail, everything, len);
        assert_copies(mail, len);
        free(mail);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_it),
        cmocka_unit_test(test_every_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
