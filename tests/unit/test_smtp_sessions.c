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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_written),
        cmocka_unit_test(in_small_chunks),
        cmocka_unit_test(cut_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
