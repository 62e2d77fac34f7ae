/* SMTP: dialogs made at random, of which is known what was said. However they are cut and however
 * the directions interleave, the mails and transactions are those; and where bytes are missing, no
 * mail is called whole that is not, and each is of a transaction with a number of its own. */
// layers: components
#include "smtp_script.h"

#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

#define DIALOGS 3000

static uint64_t seed;

static uint32_t below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 11) % n);
}

/* What both sides say, and what comes of it, as smtp_script.h writes it. */
struct dialog {
    struct text said[2], mails, transactions, envelope;
    uint32_t n_mails, n_transactions, accepted, refused;
    bool chunking, willing, open, from_refused, data_refused; /* willing: DATA, MAIL are granted */
    int reply;
};

static void say(struct dialog *d, const char *line, int code)
{
    text_print(&d->said[0], "%s\r\n", line);
    if (code && !below(6))
        text_print(&d->said[1], "%d-more to come\r\n", code);
    if (code)
        text_print(&d->said[1], "%d so be it\r\n", code);
}

static void close_transaction(struct dialog *d, const char *status, bool with_mail, size_t bytes)
{
    if (!d->open)
        return;
    if (!status)
        status = d->from_refused || d->data_refused || (d->refused && !d->accepted) ? "rejected"
                                                                                    : "aborted";
    text_print(&d->transactions, "tx %u %s helo=c.example%s reply=%d", d->n_transactions++, status,
               d->envelope.n ? d->envelope.p : "", d->reply);
    if (with_mail)
        text_print(&d->transactions, " bytes=%zu mail=%u", bytes, d->n_mails);
    text_print(&d->transactions, "\n");
    d->envelope.n = 0;
    d->accepted = d->refused = 0;
    d->open = d->from_refused = d->data_refused = false;
}

static void noise(struct dialog *d)
{
    static const char *const lines[] = {"NOOP", "VRFY somebody", "HELP", "XYZZY", "", "noop  "};

    if (!below(8))
        say(d, lines[below(6)], below(2) ? 250 : 500);
}

/* Amid a transaction: ends it where it is granted (RFC 5321, 4.1.4). What follows may be without
 * MAIL then. */
static void helo(struct dialog *d)
{
    bool granted = below(2);

    say(d, granted ? "EHLO c.example" : "EHLO", granted ? 250 : 501);
    if (granted)
        close_transaction(d, NULL, false, 0);
}

static void envelope(struct dialog *d)
{
    char line[80];
    int code = below(6) ? 250 : 550;

    snprintf(line, sizeof line, below(2) ? "MAIL FROM:<s%u@x>" : "mail from: <s%u@x> SIZE=10",
             d->n_transactions);
    say(d, line, code);
    d->open = true;
    d->reply = code;
    d->from_refused = code != 250;
    text_print(&d->envelope, " from=<s%u@x>", d->n_transactions);
    for (uint32_t n = d->from_refused ? 0 : below(4); n; n--) {
        noise(d);
        if (!below(8))
            helo(d);
        d->open = true;
        code = below(4) ? 250 : 550;
        snprintf(line, sizeof line, "RCPT TO:<r%u@y>", n);
        say(d, line, code);
        d->reply = code;
        *(code == 250 ? &d->accepted : &d->refused) += 1;
        text_print(&d->envelope, code == 250 ? " to=<r%u@y>" : " no=<r%u@y>", n);
    }
}

/* Anything but what may be taken for a command. */
static struct text body(bool lines)
{
    static const char *const parts[] = {"a",     ".",        "..",        "some words", "\r\n",
                                        "\r\n",  "\r\n.",    "\n",        "\r",         "\xff",
                                        "\n.\n", "x: y\r\n", "\r\n..\r\n"};
    struct text t = {0};

    text_add(&t, "", 0);
    for (uint32_t n = below(30); n; n--) {
        const char *part = parts[below(sizeof parts / sizeof *parts)];
        text_add(&t, part, strlen(part));
    }
    if (lines)
        text_add(&t, "\r\n", 2);
    return t;
}

static void mail(struct dialog *d, const struct text *t, const char *kind)
{
    d->n_mails++;
    text_print(&d->mails, "mail%s %zu: ", kind, t->n);
    text_escaped(&d->mails, (const uint8_t *)t->p, t->n);
    text_add(&d->mails, "\n", 1);
}

static void finish(struct dialog *d, const struct text *t, const char *kind, int code)
{
    mail(d, t, kind);
    d->reply = code;
    close_transaction(d, code == 250 ? "accepted" : "rejected", true, t->n);
}

static void by_data(struct dialog *d)
{
    if (!d->willing && !below(6)) {
        say(d, "DATA", 554);
        d->data_refused = true;
        d->reply = 554;
        return;
    }
    struct text t = body(true);
    say(d, "data", 354);
    for (size_t i = 0; i < t.n; i++) {
        bool begins = !i || (i > 1 && t.p[i - 1] == '\n' && t.p[i - 2] == '\r');
        if (begins && t.p[i] == '.')
            text_add(&d->said[0], ".", 1);
        text_add(&d->said[0], &t.p[i], 1);
    }
    int code = below(5) ? 250 : 554;
    say(d, ".", code);
    finish(d, &t, "", code);
    free(t.p);
}

/* MAIL between the chunks of a mail, which ends if it is granted. */
static void again(struct dialog *d, struct text *chunks)
{
    char line[40];
    int code = d->willing || below(2) ? 250 : 503;

    snprintf(line, sizeof line, "MAIL FROM:<again%u@x>", d->n_transactions);
    say(d, line, code);
    if (code != 250)
        return;
    mail(d, chunks, " bdat incomplete");
    close_transaction(d, NULL, true, chunks->n);
    chunks->n = 0;
    text_print(&d->envelope, " from=<%s", line + 11);
    d->open = true;
    d->reply = code;
}

static void by_chunks(struct dialog *d)
{
    struct text all = {0};
    char line[40];

    text_add(&all, "", 0);
    d->open = true;
    for (uint32_t left = 1 + below(3); left; left--) {
        struct text t = body(false);
        int code = !d->chunking ? 503 : left == 1 && !below(5) ? 554 : 250;
        snprintf(line, sizeof line, "BDAT %zu%s", t.n, left == 1 ? " LAST" : "");
        say(d, line, code);
        if (d->chunking)
            text_add(&d->said[0], t.p, t.n);
        text_add(&all, t.p, t.n);
        free(t.p);
        d->reply = code;
        if (d->chunking && left == 1)
            finish(d, &all, " bdat", code);
        else if (d->chunking && !below(8))
            again(d, &all);
        d->data_refused |= !d->chunking;
    }
    free(all.p);
}

static void make(struct dialog *d, bool chunking, bool willing)
{
    *d = (struct dialog){.chunking = chunking, .willing = willing};
    text_print(&d->said[1], "220 mx ESMTP\r\n");
    text_print(&d->said[0], "EHLO c.example\r\n");
    text_print(&d->said[1], "250-mx\r\n%s250 8BITMIME\r\n", d->chunking ? "250-chunking\r\n" : "");
    for (uint32_t n = 1 + below(4); n; n--) {
        noise(d);
        envelope(d);
        noise(d);
        if (d->open && !d->from_refused && !below(8))
            helo(d);
        if (d->accepted ? below(5) : d->chunking && !below(8)) {
            if (d->accepted && below(2))
                by_data(d);
            else
                by_chunks(d);
        }
        if (d->open || !below(5)) {
            say(d, "RSET", 250);
            close_transaction(d, NULL, false, 0);
        }
    }
    say(d, "QUIT", 221);
    text_add(&d->mails, d->transactions.p, d->transactions.n);
    text_add(&d->mails, "", 0);
}

static void drop(struct dialog *d)
{
    free(d->said[0].p);
    free(d->said[1].p);
    free(d->mails.p);
    free(d->transactions.p);
    free(d->envelope.p);
}

/* Both directions in some order, in pieces; of the client's the bytes [hole, hole_end) are lost. */
static char *play(const struct dialog *d, size_t hole, size_t hole_end)
{
    struct run run = {0};
    struct mr_smtp_host host = outcome_host(&run.outcome);
    size_t at[2] = {0, 0};
    uint32_t most = 1 + below(200), lean = 1 + below(9);

    run.outcome.full_text = true;
    run_open(&run, NULL, MR_SMTP_USUAL_PORT);
    while (at[0] < d->said[0].n || at[1] < d->said[1].n) {
        uint8_t to = below(10) < lean;
        to = at[to] == d->said[to].n ? !to : to;
        size_t n = 1 + below(most), left = d->said[to].n - at[to];
        n = n < left ? n : left;
        if (!to && at[0] >= hole && at[0] < hole_end) {
            mr_smtp_gap(run.session, &host, MR_TO_SERVER, hole_end - at[0]);
            at[0] = hole_end;
            continue;
        }
        if (!to && at[0] < hole && at[0] + n > hole)
            n = hole - at[0];
        run_bytes(&run, to, (const uint8_t *)d->said[to].p + at[to], n);
        at[to] += n;
    }
    char *got = run_close(&run);
    if (run.outcome.misnumbered) {
        fprintf(stderr, "--- client, without bytes %zu to %zu\n%s\n--- server\n%s--- got\n%s", hole,
                hole_end, d->said[0].p, d->said[1].p, got);
        fail();
    }
    char *anomalies = got ? strstr(got, "anomaly ") : NULL;
    if (anomalies && (anomalies == got || anomalies[-1] == '\n'))
        *anomalies = 0;
    return got;
}

static void told_as_said(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= DIALOGS; round++) {
        struct dialog d;
        seed = round * 0x9e3779b97f4a7c15u;
        make(&d, below(3), false);
        char *got = play(&d, SIZE_MAX, SIZE_MAX);
        if (strcmp(got ? got : "", d.mails.p)) {
            fprintf(stderr, "dialog %u\n--- client\n%s\n--- server\n%s--- expected\n%s--- got\n%s",
                    (unsigned)round, d.said[0].p, d.said[1].p, d.mails.p, got);
            fail();
        }
        free(got);
        drop(&d);
    }
}

/* Every mail that is told as whole was sent so. (Which reply belongs to which command is best
 * effort then, so servers grant DATA and MAIL between chunks, and say that they know BDAT.) */
static void with_a_hole(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= DIALOGS; round++) {
        struct dialog d;
        seed = round * 0xbf58476d1ce4e5b9u;
        make(&d, true, true);
        size_t hole = below((uint32_t)d.said[0].n), end = hole + 1 + below(below(2) ? 20 : 300);
        char *got = play(&d, hole, end < d.said[0].n ? end : d.said[0].n);
        for (char *line = got, *next; line && !strncmp(line, "mail", 4); line = next) {
            next = strchr(line, '\n') + 1;
            char *copy = strndup(line, (size_t)(next - line));
            bool whole = strncmp(line, "mail incomplete", 15) && strncmp(line, "mail bdat inc", 13);
            if (whole && !strstr(d.mails.p, copy)) {
                fprintf(stderr, "dialog %u, hole %zu to %zu\n--- client\n%s\n--- sent\n%s",
                        (unsigned)round, hole, end, d.said[0].p, d.mails.p);
                fprintf(stderr, "--- got\n%s--- of which this was not sent\n%s", got, copy);
                fail();
            }
            free(copy);
        }
        free(got);
        drop(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(told_as_said),
        cmocka_unit_test(with_a_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
