/* SMTP sessions and what the parser must make of them, as they are and cut at every byte. */
// layers: components
#include "smtp_sessions.h"

#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

static const struct mr_smtp_limits *limits_of(const struct smtp_session_case *c)
{
    return c->limits.mail_bytes ? &c->limits : NULL;
}

static unsigned failures; /* all of them are shown */

static void check(const struct smtp_session_case *c, char *got, const char *how, size_t where)
{
    const char *text = got ? got : "";

    if (strcmp(text, c->expected) && ++failures <= 10)
        print_error("\"%s\" %s %zu:\n--- expected\n%s--- got\n%s", c->name, how, where, c->expected,
                    text);
    free(got);
}

static void as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SMTP_SESSIONS; i++) {
        const struct smtp_session_case *c = &smtp_sessions[i];
        struct script script = script_parse(c->script);
        struct run run = {0};
        run_open(&run, limits_of(c), c->flags);
        for (size_t k = 0; k < script.n; k++)
            run_piece(&run, &script.pieces[k]);
        check(c, run_close(&run), "as written", 0);
        script_free(&script);
    }
    assert_int_equal(failures, 0);
}

/* Every piece in chunks of n bytes. */
static void in_small_chunks(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SMTP_SESSIONS; i++) {
        const struct smtp_session_case *c = &smtp_sessions[i];
        for (size_t n = 1; n <= 3; n++) {
            struct script script = script_parse(c->script);
            struct run run = {0};
            run_open(&run, limits_of(c), c->flags);
            for (size_t k = 0; k < script.n; k++) {
                const struct piece *piece = &script.pieces[k];
                for (size_t at = 0; at < piece->n; at += n)
                    run_bytes(&run, piece->direction, piece->bytes + at,
                              n < piece->n - at ? n : piece->n - at);
                if (piece->gap)
                    run_piece(&run, piece);
            }
            check(c, run_close(&run), "in chunks of", n);
            script_free(&script);
        }
    }
    assert_int_equal(failures, 0);
}

/* One cut, at every place there is. */
static void cut_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SMTP_SESSIONS; i++) {
        const struct smtp_session_case *c = &smtp_sessions[i];
        struct script script = script_parse(c->script);
        for (size_t where = 0; where < script.n; where++) {
            for (size_t cut = 1; cut < script.pieces[where].n; cut++) {
                struct run run = {0};
                run_open(&run, limits_of(c), c->flags);
                for (size_t k = 0; k < script.n; k++) {
                    const struct piece *p = &script.pieces[k];
                    if (k != where) {
                        run_piece(&run, p);
                        continue;
                    }
                    run_bytes(&run, p->direction, p->bytes, cut);
                    run_bytes(&run, p->direction, p->bytes + cut, p->n - cut);
                }
                check(c, run_close(&run), "cut in piece", where);
            }
        }
        script_free(&script);
    }
    assert_int_equal(failures, 0);
}

/* Of a line that stands between two holes no more comes: what stands behind them does not wait for
 * the session's end. */
static void a_line_between_holes_keeps_nothing_waiting(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        uint32_t mails;
    } cases[] = {
        /* DATA is lost */
        {"S: 220 mx\nC: EHLO a\nS: 250 ok\nC: MAIL FROM:<a@x>\nS: 250 ok\nC: RCPT TO:<b@y>\nS: 250 "
         "ok\n"
         "C~ 6\nS: 354 go\nC! Subj\nC~ 100\nC: rest\nC: .\nS: 250 ok\n",
         1},
        /* the end of a mail is */
        {"S: 220 mx\nC: EHLO a\nS: 250 ok\nC: MAIL FROM:<a@x>\nS: 250 ok\nC: RCPT TO:<b@y>\nS: 250 "
         "ok\n"
         "C: DATA\nS: 354 go\nC: one\nC~ 10\nS: 250 ok\nC! tw\nC~ 100\nC: MAIL FROM:<c@x>\nS: 250 "
         "ok\n"
         "C: RCPT TO:<b@y>\nS: 250 ok\nC: DATA\nS: 354 go\nC: three\nC: .\nS: 550 no\n",
         2},
        /* DATA is, and only the client is seen */
        {"C: EHLO a\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC~ 6\nC! Sub\nC~ 40\nC: Subject: "
         "rest\nC: .\n"
         "C: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC: two\nC: .\n",
         2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct script script = script_parse(cases[i].script);
        struct run run = {0};
        run_open(&run, NULL, 0);
        for (size_t k = 0; k < script.n; k++)
            run_piece(&run, &script.pieces[k]);
        assert_int_equal(run.outcome.n_mails, cases[i].mails);
        free(run_close(&run));
        script_free(&script);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_written),
        cmocka_unit_test(in_small_chunks),
        cmocka_unit_test(cut_once),
        cmocka_unit_test(a_line_between_holes_keeps_nothing_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
