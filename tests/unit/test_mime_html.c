/* HTML to text, hidden text, links. */
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
static char *mail; /* the result borrows it */

static const struct mr_mime *html(const char *body)
{
    free(mail);
    assert_true(asprintf(&mail, "Content-Type: text/html; charset=utf-8\n\n%s", body) > 0);
    return mr_mime_decode(decoder, NULL, (const uint8_t *)mail, strlen(mail));
}

static void assert_text(struct mr_mime_text text, const char *want)
{
    if (text.len != strlen(want) || memcmp(text.ptr, want, text.len) != 0)
        fail_msg("\"%.*s\" instead of \"%s\"", (int)text.len, (const char *)text.ptr, want);
}

static void test_text(void **state)
{
    static const char *const pairs[][2] = {
        {"<p>one</p><p>two  \n three</p>", "one\ntwo three"},
        {"V<b></b>ia<!-- x -->g<x>ra", "Viagra"},
        {"a<br>b<BR/>c", "a\nb\nc"},
        {"a&nbsp;b&amp;c&lt;d&#228;&#xe4;&#8364;&#128;&euro;", "a b&c<dää€€€"},
        {"AT&T &unknown; &amp &#; 1 < 2 <3", "AT&T &unknown; & &#; 1 < 2 <3"},
        {"a<script>if (a<b) x(\"</p>\")</script>b<style>p{}</style>c", "abc"},
        {"a<!-->b<!--x--->c<!doctype html>d<?php echo ?>e", "abcde"},
        {"<a href=\"x>y\">link</a> <img alt='>'>end", "link end"},
        {"soft&shy;hy&#8203;phen", "softhyphen"},
        {"<title>T</title><body>b", "T\nb"},
        {"open <b", "open"},
        {"open <!-- comment", "open"},
        {"open <script> never", "open"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_text(html(pairs[i][0])->text, pairs[i][1]);
    const struct mr_mime *m = html("V<!-- -->iagra <!-- --> x<qq>y</qq> <img src=a><form>");
    assert_int_equal(m->html.comment_in_word, 2);
    assert_int_equal(m->html.comments, 2);
    assert_int_equal(m->html.images, 1);
    assert_int_equal(m->html.forms, 1);
    assert_int_equal(m->html.parts, 1);
}

static void test_hidden(void **state)
{
    static const char *const hidden[] = {
        "<div style=\"display: none\">x</div>",
        "<span style='DISPLAY:NONE !important;color:red'>x</span>",
        "<p style=\"font-size:0px\">x</p>",
        "<p style=\"font-size:1px\">x</p>",
        "<font color=white>x</font>",
        "<font color='#fefefe'>x</font>",
        "<body bgcolor=#000000><font color=black>x</font></body>",
        "<table bgcolor=red><tr><td><span style=\"color:#f00\">x</span></table>",
        "<div style=\"visibility:hidden\"><b><i>x</i></b></div>",
        "<p hidden>x</p>",
        "<p style=\"opacity:0\">x</p>",
        "<p style=\"color:rgb(255, 255, 255)\">x</p>",
        "<p style=\"mso-hide:all\">x</p>",
    };
    static const char *const seen[] = {
        "<div style=\"display:block\">x</div>",
        "<div style=\"display:none\"></div>x",
        "<p style=\"display:none\"><p>x",
        "<font color=red>x</font>",
        "<body bgcolor=black><font color=white>x</font>",
        "<p style=\"font-size:12px\">x</p>",
        "<p style=\"opacity:0.9\">x</p>",
    };
    char text[300];
    (void)state;

    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        snprintf(text, sizeof text, "before %s after", hidden[i]);
        const struct mr_mime *m = html(text);
        assert_int_equal(m->n_hidden, 1);
        assert_text(m->hidden[0].text, "x");
        assert_null(memchr(m->text.ptr, 'x', m->text.len));
        assert_non_null(memmem(m->text.ptr, m->text.len, "after", 5));
    }
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        const struct mr_mime *m = html(seen[i]);
        assert_int_equal(m->n_hidden, 0);
        assert_text(m->text, "x");
    }
    assert_text(html("a <u hidden>b</u>c<u hidden>d</u> e")->text, "a c e");
    const struct mr_mime *m = html("a<u hidden>b c</u>d<u hidden>e</u>");
    assert_text(m->text, "ad");
    assert_int_equal(m->n_hidden, 2);
    assert_text(m->hidden[0].text, "b c");
    assert_text(m->hidden[1].text, "e");
}

static void assert_links(const struct mr_mime *m, const char *want)
{
    char all[2000] = "";

    for (uint32_t i = 0; i < m->n_links; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%c%.*s ", "HLT"[m->links[i].kind],
                 (int)m -> links[i].url.len, (const char *)m->links[i].url.ptr);
    assert_string_equal(all, want);
}

static void test_links(void **state)
{
    (void)state;
    assert_links(html("<a href=\"http://a/?x=1&amp;y=2\">t</a><img src=b.png><form action=' c '>"
                      "<body background=d>"),
                 "Hhttp://a/?x=1&y=2 Lb.png Hc Ld ");
    assert_links(html("see <b>http://www.example.com/a</b>"), "Thttp://www.example.com/a ");
    static const char *const texts[][2] = {
        {"go to http://a.b/c, or (https://d.e/f) or <ftp://g.h>.",
         "Thttp://a.b/c Thttps://d.e/f Tftp://g.h "},
        {"www.example.com/x. HTTP://UP.COM", "Twww.example.com/x THTTP://UP.COM "},
        {"http://en.wikipedia.org/wiki/A_(b)", "Thttp://en.wikipedia.org/wiki/A_(b) "},
        {"a:b ://x mailto:a@b http:// http:/x xwww.a.b @www.c.d", ""},
        {"http://www.a.b/http://c.d", "Thttp://www.a.b/http://c.d "},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        free(mail);
        assert_true(asprintf(&mail, "Subject: x\n\n%s", texts[i][0]) > 0);
        assert_links(mr_mime_decode(decoder, NULL, (const uint8_t *)mail, strlen(mail)),
                     texts[i][1]);
    }
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
    free(mail);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_hidden),
        cmocka_unit_test(test_links),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
