/* Protocol detection: what the first bytes say, however they are cut; and that the SMTP processor
 * behind it loses nothing and tells nothing too much. */
// layers: components
#include "flow_rig.h"
#include "smtp_sessions.h"

#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

/* A flow, as a script of smtp_script.h, and what it is: after all bytes, and at its end. */
static const struct {
    const char *script;
    uint16_t port;
    const char *answer, *at_end;
} flows[] = {
    {"S: 220 mx.example ESMTP Postfix\n", 4711, "SMTP", "SMTP"},
    {"S: 220 mx\nC: EHLO x\n", 4711, "SMTP", "SMTP"},
    {"S: 220-mx\nS: 220 smtp ready\n", 21, "SMTP", "SMTP"},
    {"C: HELO x\n", 4711, "SMTP", "SMTP"},
    {"C: mail from:<a@x>\n", 4711, "SMTP", "SMTP"},
    {"S: 250 2.1.0 Ok\n", 4711, "SMTP", "SMTP"},
    {"C: QUIT\n", 25, "SMTP", "SMTP"},
    {"C: QUIT\n", 21, "SMTP", "FTP"},
    {"C: QUIT\n", 110, "SMTP", "POP3"},
    {"C: QUIT\n", 4711, "SMTP", "UNKNOWN"},
    {"S: 220 hello\n", 25, "SMTP", "SMTP"},
    {"S: 220 hello\n", 21, "SMTP", "FTP"},
    {"S: 220 ProFTPD ready\n", 4711, "FTP", "FTP"},
    {"S: 220 files here\nC: USER anonymous\n", 4711, "FTP", "FTP"},
    {"C* 200 some line of a mail \\r\\n\n", 25, "SMTP", "SMTP"},
    {"C* 200 some line of a mail \\r\\n\n", 4711, "UNKNOWN", "UNKNOWN"},
    {"C* 200 some line of a mail \\r\\n\nS: 250 ok\n", 25, "SMTP", "SMTP"},
    {"C! \\x01\\x02\\x03\nS! \\x01\\x02\\x03\n", 25, "", "UNKNOWN"},
    {"C: GET / HTTP/1.1\n", 25, "HTTP", "HTTP"},
    {"C: options / HTTP/1.1\n", 25, "HTTP", "HTTP"},
    {"S: HTTP/1.0 200 OK\n", 4711, "HTTP", "HTTP"},
    {"C: OPTIONS sip:a@b SIP/2.0\n", 4711, "SIP", "SIP"},
    {"C: INVITE sip:a@b SIP/2.0\n", 4711, "SIP", "SIP"},
    {"S: SIP/2.0 200 OK\n", 4711, "SIP", "SIP"},
    {"C: OPTIONS * RTSP/1.0\n", 4711, "RTSP", "RTSP"},
    {"C! \\x16\\x03\\x01\\x02\\0\\x01\\0\\x01\\xfc\n", 4711, "TLS", "TLS"},
    {"S! \\x16\\x03\\x03\\0\\x7a\\x02\n", 4711, "TLS", "TLS"},
    {"S: SSH-2.0-OpenSSH_9.2\n", 4711, "SSH", "SSH"},
    {"C: SSH-2.0-x\n", 25, "SSH", "SSH"},
    {"S: +OK POP3 ready\n", 4711, "POP3", "POP3"},
    {"S: +OK\nC: CAPA\n", 4711, "POP3", "POP3"},
    {"S: * OK IMAP4rev1\n", 4711, "IMAP", "IMAP"},
    {"C: a1 LOGIN x y\n", 4711, "IMAP", "IMAP"},
    {"C: NICK x\n", 4711, "IRC", "IRC"},
    {"S: :irc.example NOTICE * :hi\n", 4711, "IRC", "IRC"},
    {"C! \\0\\0\\0\\x85\\xffSMBr\n", 4711, "SMB", "SMB"},
    {"C! "
     "\\0\\x1d\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0\\x07example\\x03com\\0\\0\\x01\\0\\x01"
     "\n",
     4711, "DNS", "DNS"},
    {"C! \\x03\\0\\0\\x13\\x0e\\xe0\\0\\0\n", 4711, "RDP", "RDP"},
    {"C! \\x10\\x0c\\0\\x04MQTT\\x04\n", 4711, "MQTT", "MQTT"},
    {"C! *1\\r\\n$4\\r\\nPING\\r\\n\nS: +PONG\n", 4711, "REDIS", "REDIS"},
    {"C: CAPABILITIES\n", 4711, "NNTP", "NNTP"},
    {"S! \\x4a\\0\\0\\0\\x0a8.0.31\\0\n", 4711, "MYSQL", "MYSQL"},
    {"C! \\0\\0\\0\\x08\\x04\\xd2\\x16\\x2f\n", 4711, "POSTGRESQL", "POSTGRESQL"},
    {"S: RFB 003.008\n", 4711, "VNC", "VNC"},
    {"C: <?xml version='1.0'?><stream:stream to='x'>\n", 4711, "XMPP", "XMPP"},
    {"C! \\x13\nC! BitTorrent protocol\n", 4711, "BITTORRENT", "BITTORRENT"},
    {"S! \\xff\\xfd\\x18\\xff\\xfd\\x20\n", 4711, "TELNET", "TELNET"},
    {"C~ 10\nC: EHLO x\n", 4711, "SMTP", "SMTP"},
    {"C! EH\nC~ 10\n", 4711, "SMTP", "UNKNOWN"},
    {"C! EH\nC~ 10\nC! x\n", 25, "SMTP", "SMTP"},
    {"S: 220 mx SMTP\nC: STARTTLS\nS: 220 go\nC! \\x16\\x03\\x01\nS! "
     "\\x16\\x03\\x03\\0\\x01\\x02\n",
     4711, "TLS", "SMTP"},
    {"S: 220 mx SMTP\nC: STARTTLS\nS: 454 no\nC! \\x16\\x03\\x01\nS! "
     "\\x16\\x03\\x03\\0\\x01\\x02\n",
     4711, "SMTP", "SMTP"},
};

static void feed(struct flow_rig *rig, const struct script *script, size_t most)
{
    for (size_t k = 0; k < script->n; k++) {
        const struct piece *p = &script->pieces[k];
        if (p->gap)
            flow_rig_chunk(rig, MR_CHUNK_GAP, p->direction, NULL, 0, p->gap);
        for (size_t at = 0; at < p->n; at += most)
            flow_rig_chunk(rig, MR_CHUNK_DATA, p->direction, p->bytes + at,
                           most < p->n - at ? most : p->n - at, 0);
    }
}

static void first_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++) {
        for (size_t most = 1; most <= 1000000; most *= 10) {
            struct script script = script_parse(flows[i].script);
            struct flow_rig rig;
            flow_rig_open(&rig, flows[i].port, false);
            feed(&rig, &script, most);
            if (strcmp(rig.last_data_answer, flows[i].answer))
                print_error("in chunks of %zu: %s", most, flows[i].script);
            assert_string_equal(rig.last_data_answer, flows[i].answer);
            flow_rig_chunk(&rig, MR_CHUNK_END, 0, NULL, 0, 0);
            if (strcmp(rig.last_answer, flows[i].at_end))
                print_error("at the end, in chunks of %zu: %s", most, flows[i].script);
            assert_string_equal(rig.last_answer, flows[i].at_end);
            /* the runtime's row for a context that goes is answered like the end */
            flow_rig_chunk(&rig, MR_CHUNK_GAP, 0, NULL, 0, 0);
            assert_string_equal(rig.last_answer, flows[i].at_end);
            free(flow_rig_close(&rig, false));
            script_free(&script);
        }
    }
}

/* Flows of other protocols leave no trace at the SMTP processor. */
static void other_protocols_are_silent(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof flows / sizeof *flows; i++) {
        struct script script = script_parse(flows[i].script);
        struct flow_rig rig;
        if (strcmp(flows[i].at_end, "SMTP")) {
            flow_rig_open(&rig, flows[i].port, false);
            feed(&rig, &script, 1);
            flow_rig_chunk(&rig, MR_CHUNK_END, 0, NULL, 0, 0);
            assert_int_equal(rig.yields, 0);
            assert_int_equal(rig.events.n, 0);
            free(flow_rig_close(&rig, false));
        }
        script_free(&script);
    }
}

/* Sessions behind the detector: every cut, batches of several chunks, with and without a port that
 * helps, give the same mails, events and anomalies as bytes that come whole. */
static void sessions_behind_the_detector(void **state)
{
    static const uint16_t ports[] = {25, 21, 4711};
    (void)state;
    for (size_t i = 0; i < 3 * N_SMTP_SESSIONS; i++) {
        const struct smtp_session_case *c = &smtp_sessions[i / 3];
        struct script script = script_parse(c->script);
        struct flow_rig rig;
        bool midstream = c->flags & MR_SMTP_MIDSTREAM;
        flow_rig_open(&rig, ports[i % 3], midstream);
        feed(&rig, &script, SIZE_MAX);
        char *whole = flow_rig_close(&rig, true);
        if (strstr(c->expected, "mail ") && (!midstream || ports[i % 3] == 25))
            if (!strstr(whole, "email={")) {
                print_error("\"%s\", port %u: %s", c->name, ports[i % 3], whole);
                fail();
            }
        for (size_t most = 1; most <= 4; most++) {
            flow_rig_open(&rig, ports[i % 3], midstream);
            feed(&rig, &script, most);
            char *cut = flow_rig_close(&rig, true);
            if (strcmp(whole, cut))
                print_error("\"%s\" in chunks of %zu, port %u\n", c->name, most, ports[i % 3]);
            assert_string_equal(whole, cut);
            free(cut);
        }
        for (size_t where = 0; where < script.n && where < 4; where++) {
            for (size_t at = 1; at < script.pieces[where].n; at++) {
                struct piece all = script.pieces[where];
                flow_rig_open(&rig, ports[i % 3], midstream);
                for (size_t k = 0; k < script.n; k++) {
                    struct script one = {&script.pieces[k], 1, 1};
                    if (k == where) {
                        flow_rig_chunk(&rig, MR_CHUNK_DATA, all.direction, all.bytes, at, 0);
                        flow_rig_chunk(&rig, MR_CHUNK_DATA, all.direction, all.bytes + at,
                                       all.n - at, 0);
                    } else {
                        feed(&rig, &one, SIZE_MAX);
                    }
                }
                char *cut = flow_rig_close(&rig, true);
                if (strcmp(whole, cut))
                    print_error("\"%s\" piece %zu cut at %zu\n", c->name, where, at);
                assert_string_equal(whole, cut);
                free(cut);
            }
        }
        free(whole);
        script_free(&script);
    }
}

/* The rows of a flow in one call, or each in its own. */
static void batches(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SMTP_SESSIONS; i++) {
        const struct smtp_session_case *c = &smtp_sessions[i];
        struct script script = script_parse(c->script);
        struct flow_rig rig;
        flow_rig_open(&rig, 25, c->flags & MR_SMTP_MIDSTREAM);
        feed(&rig, &script, SIZE_MAX);
        char *single = flow_rig_close(&rig, true);
        struct mr_chunk chunks[FLOW_RIG_ROWS];
        uint32_t n = 0;
        flow_rig_open(&rig, 25, c->flags & MR_SMTP_MIDSTREAM);
        for (size_t k = 0; k < script.n; k++) {
            const struct piece *p = &script.pieces[k];
            chunks[n++] = (struct mr_chunk){.data = p->bytes,
                                            .len = (uint32_t)p->n,
                                            .kind = p->gap ? MR_CHUNK_GAP : MR_CHUNK_DATA,
                                            .direction = p->direction,
                                            .gap = p->gap,
                                            .flow = &rig.flow};
            if (n == FLOW_RIG_ROWS || k + 1 == script.n) {
                flow_rig_batch(&rig, chunks, n);
                n = 0;
            }
        }
        char *batch = flow_rig_close(&rig, true);
        assert_string_equal(single, batch);
        free(single);
        free(batch);
        script_free(&script);
    }
}

/* Chunks that a token had no memory for never come; the offset of the next one tells. That is a
 * hole as any other: what stands behind it does not go on what stood before. */
static void lost_chunks(void **state)
{
    static const struct {
        const char *before, *behind;
        uint8_t hole; /* in which direction */
        uint16_t port;
        const char *answer; /* as with a hole that was told */
    } flows_with_holes[] = {
        {"C! EH\n", "C! LO x\\r\\n\n", MR_TO_SERVER, 4711, "UNKNOWN"},
        {"C! EH\n", "C! LO x\\r\\n\n", MR_TO_SERVER, 25, "SMTP"},
        {"C! GE\n", "C! T / HTTP/1.1\\r\\n\n", MR_TO_SERVER, 4711, "UNKNOWN"},
        {"S! 22\n", "S! 0 mx ESMTP\\r\\n\n", MR_TO_CLIENT, 21, "FTP"},
        {"S! 22\n", "C! EHLO x\\r\\n\n", MR_TO_SERVER, 4711, "SMTP"},
        {"", "C! EHLO x\\r\\n\n", MR_TO_SERVER, 4711, "SMTP"},
        {"C! \\x16\\x03\\x01\\0\\x06\\x01\\0\\0\\x02\\x03\\x03\n", "C! \\x17\\x03\\x03\\0\\x01x\n",
         MR_TO_SERVER, 4711, "TLS"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof flows_with_holes / sizeof *flows_with_holes; i++) {
        bool bypassed[2];
        for (int told = 0; told < 2; told++) {
            struct script before = script_parse(flows_with_holes[i].before);
            struct script behind = script_parse(flows_with_holes[i].behind);
            uint8_t in = flows_with_holes[i].hole;
            struct flow_rig rig;
            flow_rig_open(&rig, flows_with_holes[i].port, false);
            feed(&rig, &before, SIZE_MAX);
            if (told)
                flow_rig_chunk(&rig, MR_CHUNK_GAP, in, NULL, 0, 10);
            else
                rig.at[in] += 10;
            feed(&rig, &behind, SIZE_MAX);
            assert_string_equal(rig.last_data_answer, flows_with_holes[i].answer);
            bypassed[told] = rig.flow.bypass_asked;
            free(flow_rig_close(&rig, true));
            script_free(&before);
            script_free(&behind);
        }
        assert_int_equal(bypassed[0], bypassed[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_bytes),
        cmocka_unit_test(lost_chunks),
        cmocka_unit_test(other_protocols_are_silent),
        cmocka_unit_test(sessions_behind_the_detector),
        cmocka_unit_test(batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
