/* Parts of the SMTP processor alone: command lines, reply lines, header fields, and what the
 * component makes of them. */
// layers: components
#include "flow_rig.h"

#include "components/smtp_command.h"
#include "components/smtp_header.h"

#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

/* ---- lines ---- */

static void commands(void **state)
{
    static const struct {
        const char *line;
        enum mr_smtp_verb verb;
        bool well_formed;
        const char *text;
        uint64_t size;
    } cases[] = {
        {"EHLO a.example", MR_SMTP_EHLO, true, "a.example", 0},
        {"helo", MR_SMTP_EHLO, true, "", 0},
        {"EHLOa", MR_SMTP_UNKNOWN, false, "", 0},
        {"LHLO x", MR_SMTP_LHLO, true, "x", 0},
        {"MAIL FROM:<a@x> SIZE=1234 BODY=8BITMIME", MR_SMTP_MAIL, true, "<a@x>", 1234},
        {"MAIL FROM:<a@x> SIZE=99999999999999999999999", MR_SMTP_MAIL, true, "<a@x>", 0},
        {"MAIL FROM:<a@x> SIZE=", MR_SMTP_MAIL, true, "<a@x>", 0},
        {"mail\tfrom\t:\ta@x", MR_SMTP_MAIL, true, "a@x", 0},
        {"MAIL", MR_SMTP_MAIL, false, "", 0},
        {"MAIL FROM", MR_SMTP_MAIL, false, "", 0},
        {"MAIL FROM:", MR_SMTP_MAIL, true, "", 0},
        {"MAIL TO:<a@x>", MR_SMTP_MAIL, false, "", 0},
        {"RCPT TO:<a@x>", MR_SMTP_RCPT, true, "<a@x>", 0},
        {"RCPT TO:<\"a\\\"> b\"@x> X", MR_SMTP_RCPT, true, "<\"a\\\"> b\"@x>", 0},
        {"RCPT TO:<\"never closed> b", MR_SMTP_RCPT, true, "<\"never", 0},
        {"RCPT TO:<\\", MR_SMTP_RCPT, true, "<\\", 0},
        {"DATA", MR_SMTP_DATA, true, "", 0},
        {"DATA  \r\r", MR_SMTP_DATA, true, "", 0},
        {"DATA x", MR_SMTP_DATA, false, "", 0},
        {"BDAT 86 LAST", MR_SMTP_BDAT_LAST, true, "", 86},
        {"BDAT 0086", MR_SMTP_BDAT, true, "", 86},
        {"BDAT 1099511627776", MR_SMTP_BDAT, true, "", 1099511627776},
        {"BDAT 1099511627777", MR_SMTP_BDAT_BAD, false, "", 0},
        {"BDAT 86 LASTX", MR_SMTP_BDAT_BAD, false, "", 0},
        {"BDAT 0x10", MR_SMTP_BDAT_BAD, false, "", 0},
        {"BDAT LAST", MR_SMTP_BDAT_BAD, false, "", 0},
        {"QUIT", MR_SMTP_QUIT, true, "", 0},
        {"RSET now", MR_SMTP_RSET, false, "", 0},
        {"AUTH PLAIN x", MR_SMTP_AUTH, true, "", 0},
        {"STARTTLS", MR_SMTP_STARTTLS, true, "", 0},
        {"NOOP", MR_SMTP_OTHER, true, "", 0},
        {"XFORWARD NAME=x", MR_SMTP_OTHER, true, "", 0},
        {"", MR_SMTP_UNKNOWN, false, "", 0},
        {" \t ", MR_SMTP_UNKNOWN, false, "", 0},
        {"GET / HTTP/1.1", MR_SMTP_UNKNOWN, false, "", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mr_smtp_command command;
        size_t n = strlen(cases[i].line);
        uint8_t *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, cases[i].line, n);
        mr_smtp_parse_command(exact, (uint32_t)n, &command);
        if (command.verb != cases[i].verb || command.well_formed != cases[i].well_formed ||
            command.size != cases[i].size || command.text.len != strlen(cases[i].text) ||
            (command.text.len && memcmp(command.text.ptr, cases[i].text, command.text.len)))
            fail_msg("\"%s\": verb %d, well formed %d, size %llu, text \"%.*s\"", cases[i].line,
                     command.verb, command.well_formed, (unsigned long long)command.size,
                     (int)command.text.len, (const char *)command.text.ptr);
        free(exact);
    }
}

static void replies(void **state)
{
    static const struct {
        const char *line;
        int code;
        bool more;
    } cases[] = {
        {"250 ok", 250, false}, {"250-ok", 250, true}, {"250", 250, false},  {"250 ", 250, false},
        {"25", -1, false},      {"2500", -1, false},   {"150 x", -1, false}, {"650 x", -1, false},
        {"4.7.0 x", -1, false}, {"", -1, false},       {"-25 x", -1, false}, {"999", -1, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool more;
        assert_int_equal(mr_smtp_parse_reply((const uint8_t *)cases[i].line,
                                             (uint32_t)strlen(cases[i].line), &more),
                         cases[i].code);
        assert_int_equal(more, cases[i].more);
    }
    assert_true(mr_smtp_known_code(250));
    assert_false(mr_smtp_known_code(472));
}

/* ---- header fields ---- */

static char *fields(const char *mail, size_t len, struct outcome *o)
{
    static const char names[] = "ftcsdmr";
    struct mr_smtp_memory memory = {.user = o, .get = outcome_get, .put = outcome_put};
    uint8_t *exact = malloc(len ? len : 1);
    struct text t = {0};

    assert_non_null(exact);
    memcpy(exact, mail, len);
    struct mr_buffer *found = mr_smtp_header_scan(exact, len, &memory);
    assert_non_null(found);
    free(exact);
    text_print(&t, mr_smtp_header_complete(found) ? "+" : "-");
    for (unsigned i = 0; i < MR_SMTP_N_FIELDS; i++) {
        struct mr_smtp_text value;
        uint32_t cursor = 0;
        while (mr_smtp_header_next(found, (enum mr_smtp_field)i, &cursor, &value)) {
            text_print(&t, " %c=", names[i]);
            text_escaped(&t, value.ptr, value.len);
        }
    }
    outcome_put(o, found);
    return t.p;
}

static void header_fields(void **state)
{
    static const struct {
        const char *mail, *fields;
    } cases[] = {
        {"From: a <a@x>\r\nTo: b@y, c@z\r\nSubject: s\r\n\r\nTo: body@x\r\n",
         "+ f=a <a@x> t=b@y t=c@z s=s"},
        {"From: a\nto:b\nCC :c\n\nbody", "+ f=a t=b c=c"},
        {"Subject: one\r\n two\r\n\tthree\r\nDate: d\r\n\r\n", "+ s=one two\\x09three d=d"},
        {"To: \"a, b\" <a@x>, (c, d) e@y (\\), f) , <g,h@z>, ,\r\n i@w\r\n\r\n",
         "+ t=\"a, b\" <a@x> t=(c, d) e@y (\\), f) t=<g,h@z> t=i@w"},
        {"To: \"never closed, x\r\nSubject: s\r\n\r\n", "+ t=\"never closed, x s=s"},
        {"To:\r\nCc: \r\n\r\n", "+"},
        {"To: a\r\nTo: b\r\nFrom: x\r\nFrom: y\r\n\r\n", "+ f=x t=a t=b"},
        {"Message-ID: <1@x>\r\nmessage-id: <2@x>\r\n\r\n", "+ m=<1@x>"},
        {"Received: from a\r\n\tby b;\r\n  now\r\nreceived: from c\r\n\r\n",
         "+ r=from aby b;now r=from c"},
        {"\r\nFrom: body", "+"},
        {"\nFrom: body", "+"},
        {"From: a", "- f=a"},
        {"From: a\r\n", "- f=a"},
        {"From: a\r\n\r", "- f=a"},
        {"no colon\r\nFrom a\r\n: x\r\nFrom: b\r\n\r\n", "+ f=b"},
        {" leading\r\nFrom: b\r\n\r\n", "+ f=b"},
        {"", "-"},
        {"\r", "-"},
    };
    struct outcome o = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = fields(cases[i].mail, strlen(cases[i].mail), &o);
        assert_string_equal(got, cases[i].fields);
        free(got);
    }
    assert_int_equal(o.in_use, 0);
}

static void header_bounds(void **state)
{
    struct outcome o = {0};
    struct text t = {0};
    (void)state;
    text_print(&t, "To: ");
    for (int i = 0; i < 100000; i++)
        text_print(&t, "a%d@x,", i);
    text_print(&t, "\r\nSubject: ");
    for (int i = 0; i < 100000; i++)
        text_add(&t, "s", 1);
    text_print(&t, "\r\n\r\n");
    char *got = fields(t.p, t.n, &o);
    assert_true(strlen(got) < (33u << 10));
    assert_null(strstr(got, "a128@x"));
    assert_non_null(strstr(got, "a127@x"));
    free(got);
    free(t.p);
    t = (struct text){0};
    text_print(&t, "Subject: ");
    for (int i = 0; i < 3000; i++)
        text_add(&t, "s\r\n ", 4);
    got = fields(t.p, t.n, &o);
    assert_true(strlen(got) <= 4 + 1024 + 4);
    free(got);
    free(t.p);
    assert_int_equal(o.in_use, 0);
    assert_true(o.peak < (128u << 10));
}

/* ---- the component ---- */

static void feed(struct flow_rig *rig, const char *text)
{
    struct script script = script_parse(text);
    for (size_t k = 0; k < script.n; k++) {
        const struct piece *p = &script.pieces[k];
        flow_rig_chunk(rig, p->gap ? MR_CHUNK_GAP : MR_CHUNK_DATA, p->direction, p->bytes, p->n,
                       p->gap);
    }
    script_free(&script);
}

#define TO_DATA                                                                                    \
    "S: 220 mx ESMTP\nC: EHLO c\nS: 250 mx\nC: MAIL FROM:<a@x>\nS: 250 ok\n"                       \
    "C: RCPT TO:<b@y>\nS: 250 ok\nC: RCPT TO:<c@y>\nS: 550 no\nC: DATA\nS: 354 go\n"

static void events(void **state)
{
    struct flow_rig rig;
    (void)state;
    flow_rig_open(&rig, 25, false);
    feed(&rig,
         TO_DATA "C: From: A <a@x>\nC: To: b@y, d@z\nC: Cc: e@z\nC: Subject: hi\n"
                 "C: Date: today\nC: Message-ID: <1@x>\nC: \nC! bare\\n\\r\\n\nC: .\nS: 250 ok\n");
    assert_int_equal(rig.yields, 1);
    assert_string_equal(rig.flow.app_protocol, "smtp");
    char *got = flow_rig_close(&rig, true);
    assert_string_equal(
        got,
        "mail 92: From: A <a@x>\\r\\nTo: b@y, d@z\\r\\nCc: e@z\\r\\nSubject: hi\\r\\nDate: "
        "today\\r\\nMessage-ID: <1@x>\\r\\n\\r\\nbare\\n\\r\\n\n"
        "anomaly applayer BARE_LF of smtp\n"
        "smtp tx_id=0 smtp={ helo=c mail_from=<a@x> rcpt_to=[ <b@y> end rcpt_rejected=[ <c@y> end "
        "status=accepted reply=250 bytes=92 end email={ status=PARSE_DONE from=A <a@x> to=[ b@y "
        "d@z end cc=[ e@z end subject=hi date=today message_id=<1@x> end\n"
        "smtp\n");
    free(got);
}

static void events_of_transactions(void **state)
{
    struct flow_rig rig;
    (void)state;
    flow_rig_open(&rig, 25, false);
    feed(&rig,
         TO_DATA "C: From: A <a@x>\nC: To: b@y, d@z\nC: Cc: e@z\nC: Subject: hi\n"
                 "C: Date: today\nC: Message-ID: <1@x>\nC: \nC: x\nC: .\nS: 250 ok\n"
                 "C: MAIL FROM:<f@x> SMTPUTF8\nS: 250 ok\nC! BDAT 20\\r\\nSubject: y\\r\\n\n");
    char *got = flow_rig_close(&rig, true);
    assert_string_equal(
        strstr(got, "smtp tx_id"),
        "smtp tx_id=0 smtp={ helo=c mail_from=<a@x> rcpt_to=[ <b@y> end rcpt_rejected=[ <c@y> end "
        "status=accepted reply=250 bytes=88 end email={ status=PARSE_DONE from=A <a@x> to=[ b@y "
        "d@z end cc=[ e@z end subject=hi date=today message_id=<1@x> end\n"
        "smtp tx_id=1 smtp={ helo=c mail_from=<f@x> status=aborted reply=250 smtputf8=true "
        "bytes=12 bdat=true incomplete=true end email={ status=HEADER_STARTED subject=y end\n"
        "smtp\n");
    free(got);
}

/* Anomalies wait for certainty, and come under the right protocol. */
static void anomalies(void **state)
{
    struct flow_rig rig;
    (void)state;
    flow_rig_open(&rig, 4711, false);
    feed(&rig, "S: 220 hello\nC: FOO\nS: 999 what\n");
    assert_int_equal(rig.anomalies, 0);
    feed(&rig, "S: 500 what\nC: EHLO x\nS: 250 x\n");
    assert_int_equal(rig.anomalies, 1);
    feed(&rig, "C: STARTTLS\nS: 220 go\n");
    assert_string_equal(rig.flow.app_protocol, "tls");
    char *got = flow_rig_close(&rig, true);
    assert_string_equal(got, "anomaly applayer INVALID_REPLY of smtp\n"
                             "smtp tx_id=0 smtp={ helo=x status=tls end\n"
                             "tls\n");
    free(got);
}

/* A context that goes without an END chunk: at the end of the input, evicted, or just closed. */
static void without_end(void **state)
{
    struct flow_rig rig;
    (void)state;
    for (int with_row = 0; with_row < 2; with_row++) {
        flow_rig_open(&rig, 25, false);
        feed(&rig, TO_DATA "C: half\n");
        if (with_row) {
            static const struct mr_packet packet = {.flags = MR_PACKET_TICK};
            struct mr_chunk none = {.kind = MR_CHUNK_GAP};
            union mr_value chunk = mr_value_bytes(&none, sizeof none), flow = {0};
            const union mr_value *args[] = {&chunk, &flow};
            struct mr_packet *origin = (struct mr_packet *)(uintptr_t)&packet;
            uint8_t *slot = rig.slot[1];
            struct mr_call call = {.function = mr_component_smtp.functions,
                                   .thread = rig.worker,
                                   .n = 1,
                                   .cause = MR_CAUSE_SHUTDOWN,
                                   .args = args,
                                   .packets = &origin,
                                   .contexts = &slot,
                                   .runtime = &rig};
            call.function->call(&call);
            call.function->call(&call);
            while (rig.n_kept)
                mr_buffer_put(&rig, rig.kept[--rig.n_kept]);
        }
        assert_int_equal(rig.yields, with_row);
        free(flow_rig_close(&rig, false));
    }
}

/* No memory: the flow is not inspected, and that is counted. */
static void no_memory(void **state)
{
    struct flow_rig rig;
    (void)state;
    for (uint64_t after = 1; after < 12; after++) {
        flow_rig_open(&rig, 25, false);
        rig.memory.refuse_after = after;
        feed(&rig, TO_DATA "C: x\nC: .\nS: 250 ok\n");
        flow_rig_chunk(&rig, MR_CHUNK_END, 0, NULL, 0, 0);
        if (after == 1)
            assert_int_equal(rig.yields, 0);
        free(flow_rig_close(&rig, false));
    }
}

/* A mail over what is kept of it, at whose every request for memory there is none: nothing is lost
 * of what was taken, whether it ends, its session ends or its flow goes. */
static void no_memory_over_the_limit(void **state)
{
    static const char *const ends[] = {"C: .\nS: 250 ok\n", "", NULL};
    struct text mail = {0};
    (void)state;
    text_print(&mail, TO_DATA "C: Subject: =?utf-8?q?=C3=A4?=\nC: Content-Type: multipart/mixed; "
                              "boundary=b\nC: \nC: --b\nC: Content-Type: text/html; "
                              "charset=iso-8859-1\nC: \n");
    for (int i = 0; i < 4000; i++)
        text_print(&mail, "C: <a href=\"http://x%d.example/\">\\xe4</a><p hidden>no\n", i);
    text_print(&mail, "C: --b\nC: Content-Type: a/b; name=f\nC: \nC: bytes\nC: --b--\n");
    for (size_t end = 0; end < 3; end++) {
        bool refused = true;
        for (uint64_t after = 6; refused; after++) {
            struct flow_rig rig;
            flow_rig_open(&rig, 25, false);
            rig.settings.most_bytes = 3000;
            rig.memory.refuse_after = after;
            feed(&rig, mail.p);
            if (ends[end])
                feed(&rig, ends[end]);
            if (end < 2)
                flow_rig_chunk(&rig, MR_CHUNK_END, 0, NULL, 0, 0);
            refused = rig.memory.requests >= after;
            if (!refused && !end)
                assert_non_null(strstr(rig.events.p, "attachment=[ f end url=[ x0.example"));
            free(flow_rig_close(&rig, false));
            assert_true(after < 1000);
        }
    }
    free(mail.p);
}

/* Without --max-mail 32 MiB are kept, and of the text of longer mails as much as with --max-mail
 * 32m: the 16 MiB of those that are read as a whole. */
static void text_over_the_usual_limit(void **state)
{
    struct flow_rig rig;
    char *line = malloc(1u << 20);
    (void)state;
    assert_non_null(line);
    for (size_t i = 0; i < 1u << 20; i++)
        line[i] = "0123456789abcdef0123456789abcd\r\n"[i % 32];
    flow_rig_open(&rig, 25, false);
    feed(&rig, TO_DATA "C: Content-Type: multipart/mixed; boundary=b\nC: \nC: --b\nC: \n");
    for (int i = 0; i < 2; i++)
        flow_rig_chunk(&rig, MR_CHUNK_DATA, MR_TO_SERVER, (uint8_t *)line, 1u << 20, 0);
    feed(&rig, "C: http://late.example/x\nC: --b\nC: Content-Type: a/b\nC: \n");
    for (int i = 0; i < 31; i++)
        flow_rig_chunk(&rig, MR_CHUNK_DATA, MR_TO_SERVER, (uint8_t *)line, 1u << 20, 0);
    feed(&rig, "C: --b--\nC: .\nS: 250 ok\n");
    assert_non_null(strstr(rig.events.p, "MAIL_TRUNCATED"));
    assert_non_null(strstr(rig.events.p, "url=[ late.example/x"));
    assert_null(strstr(rig.events.p, "MIME_TEXT_CUT"));
    free(flow_rig_close(&rig, true));
    free(line);
}

/* A client that waits for nobody, whose server is silent: what waits is used up from the front
 * while more is added behind, for as long as it likes. */
static void waiting_for_long(void **state)
{
    enum { ROUNDS = 100000 };
    static const char round[] = "DATA\r\nRSET\r\n";
    struct flow_rig rig;
    (void)state;
    flow_rig_open(&rig, 25, false);
    feed(&rig, "S: 220 mx ESMTP\nC: EHLO c\nS: 250 mx\n");
    for (int i = 0; i < ROUNDS; i++)
        flow_rig_chunk(&rig, MR_CHUNK_DATA, MR_TO_SERVER, (const uint8_t *)round, strlen(round), 0);
    assert_true(rig.memory.peak < 512u << 10);
    flow_rig_chunk(&rig, MR_CHUNK_END, 0, NULL, 0, 0);
    assert_int_equal(rig.counts[1][8], 0);              /* no_memory */
    assert_int_equal(rig.counts[1][5], 1 + 2 * ROUNDS); /* commands */
    free(flow_rig_close(&rig, false));
}

/* What waits behind DATA when a chunk of it is lost, for want of memory or as it is told. */
static char *waiting_without(bool no_memory)
{
    static const char lost[] = "lost\r\nSubject: x\r\n";
    struct flow_rig rig;
    flow_rig_open(&rig, 25, false);
    feed(&rig, "S: 220 mx ESMTP\nC: EHLO c\nS: 250 mx\nC: MAIL FROM:<a@x>\nS: 250 ok\n"
               "C: RCPT TO:<b@y>\nS: 250 ok\nC: DATA\nC: Subject: s\nC: \nC: one\n");
    rig.memory.refuse_after = no_memory ? 1 : 0;
    for (int i = 0; i < 100; i++) /* the first may find room */
        flow_rig_chunk(&rig, no_memory ? MR_CHUNK_DATA : MR_CHUNK_GAP, MR_TO_SERVER,
                       (const uint8_t *)lost, no_memory ? strlen(lost) : 0,
                       no_memory ? 0 : strlen(lost));
    rig.memory.refuse_after = 0;
    feed(&rig, "C: .\nS: 354 go\nS: 250 ok\nC: QUIT\nS: 221 x\n");
    return flow_rig_close(&rig, true);
}

/* A hole stands where it is, not in front of what waits: the mail is told as incomplete. */
static void no_memory_to_wait(void **state)
{
    (void)state;
    char *told = waiting_without(false), *lost = waiting_without(true);
    assert_non_null(strstr(told, "status=accepted"));
    assert_non_null(strstr(told, "incomplete=true"));
    assert_non_null(strstr(lost, "status=accepted"));
    assert_non_null(strstr(lost, "incomplete=true"));
    free(told);
    free(lost);
}

/* A chunk to a server that may not know BDAT, and no memory to hold it: what comes behind it is not
 * taken for it. */
static void no_memory_for_a_chunk_that_waits(void **state)
{
    static const char lost[] = "Subject: lost\r\n\r\n1234567890\r\n";
    struct flow_rig rig;
    (void)state;

    flow_rig_open(&rig, 25, false);
    feed(&rig, "S: 220 mx ESMTP\nC: EHLO c\nS: 250 mx\nC: MAIL FROM:<a@x>\nS: 250 ok\n"
               "C: RCPT TO:<b@y>\nS: 250 ok\nC: BDAT 29 LAST\n");
    assert_int_equal(strlen(lost), 29);
    rig.memory.refuse_after = 1;
    flow_rig_chunk(&rig, MR_CHUNK_DATA, MR_TO_SERVER, (const uint8_t *)lost, strlen(lost), 0);
    rig.memory.refuse_after = 0;
    feed(&rig, "S: 250 ok\nC: MAIL FROM:<second@x>\nS: 250 ok\nC: RCPT TO:<b@y>\nS: 250 ok\n"
               "C: DATA\nS: 354 go\nC: Subject: two\nC: .\nS: 250 ok\nC: QUIT\nS: 221 x\n");
    char *found = flow_rig_close(&rig, true);
    const char *second = strstr(found, "mail_from=<second@x>");
    if (!strstr(found, "incomplete=true") || !second || !strstr(second, "status=accepted"))
        fail_msg("the second mail is not there: %s", found);
    free(found);
}

/* What a script of a session comes to when piece `without` is a gap that is told, or, `silent`, one
 * that only the next piece's offset shows; with the number of gaps. */
static char *session_without(const struct script *script, size_t without, bool silent,
                             uint64_t *gaps)
{
    struct flow_rig rig;
    uint64_t offset[2] = {0};

    flow_rig_open(&rig, 25, false);
    for (size_t k = 0; k < script->n; k++) {
        const struct piece *p = &script->pieces[k];
        struct mr_chunk chunk = {.data = p->bytes,
                                 .len = (uint32_t)p->n,
                                 .direction = p->direction,
                                 .offset = offset[p->direction],
                                 .flow = &rig.flow};
        offset[p->direction] += p->n;
        if (k == without)
            chunk = (struct mr_chunk){.kind = MR_CHUNK_GAP,
                                      .direction = p->direction,
                                      .gap = p->n,
                                      .offset = chunk.offset,
                                      .flow = &rig.flow};
        if (k != without || !silent)
            flow_rig_batch(&rig, &chunk, 1);
    }
    flow_rig_chunk(&rig, MR_CHUNK_END, 0, NULL, 0, 0);
    *gaps = rig.counts[1][7];
    return flow_rig_close(&rig, false);
}

/* A chunk that a token had no memory for is a gap: what follows is not read as if it had not been
 * there (a body as commands, or a command as body). */
static void lost_chunks(void **state)
{
    (void)state;
    struct script script =
        script_parse(TO_DATA "C: Subject: s\nC: \nC: MAIL FROM:<body@x>\nC: QUIT\nC: .\nS: 250 ok\n"
                             "C: MAIL FROM:<f@x>\nS: 250 ok\nC: RCPT TO:<b@y>\nS: 250 ok\n"
                             "C: BDAT 9 LAST\nC! QUIT\\r\\nab\\n\nS: 250 ok\nC: QUIT\nS: 221 x\n");
    uint64_t gaps, silent_gaps;
    for (size_t k = 0; k + 2 < script.n; k++) {
        char *told = session_without(&script, k, false, &gaps);
        char *silent = session_without(&script, k, true, &silent_gaps);
        if (script.pieces[k].direction == MR_TO_SERVER) /* a reply's place is not known */
            assert_string_equal(silent, told);
        assert_int_equal(gaps, 1);
        assert_int_equal(silent_gaps, 1);
        free(told);
        free(silent);
    }
    script_free(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands),
        cmocka_unit_test(replies),
        cmocka_unit_test(header_fields),
        cmocka_unit_test(header_bounds),
        cmocka_unit_test(events),
        cmocka_unit_test(events_of_transactions),
        cmocka_unit_test(anomalies),
        cmocka_unit_test(without_end),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(lost_chunks),
        cmocka_unit_test(no_memory_over_the_limit),
        cmocka_unit_test(text_over_the_usual_limit),
        cmocka_unit_test(waiting_for_long),
        cmocka_unit_test(no_memory_to_wait),
        cmocka_unit_test(no_memory_for_a_chunk_that_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
