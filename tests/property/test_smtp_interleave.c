/* SMTP: however the bytes are cut, and however the two directions interleave, the same mails,
 * transactions and anomalies come out. */
// layers: components
#include "smtp_sessions.h"

#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

#define ROUNDS 200

static uint64_t seed = 1;

static uint32_t below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed % n);
}

static void check(const struct smtp_session_case *c, char *got, uint64_t round_seed)
{
    if (strcmp(got ? got : "", c->expected)) {
        print_error("\"%s\" with seed %llu:\n--- expected\n%s--- got\n%s", c->name,
                    (unsigned long long)round_seed, c->expected, got ? got : "");
        free(got);
        fail();
    }
    free(got);
}

/* A piece in chunks of up to `most` bytes. */
static void cut(struct run *run, const struct piece *piece, uint32_t most)
{
    for (size_t at = 0; at < piece->n;) {
        size_t n = 1 + below(most);
        if (n > piece->n - at)
            n = piece->n - at;
        run_bytes(run, piece->direction, piece->bytes + at, n);
        at += n;
    }
    if (piece->gap)
        run_piece(run, piece);
}

static void random_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SMTP_SESSIONS; i++) {
        const struct smtp_session_case *c = &smtp_sessions[i];
        struct script script = script_parse(c->script);
        for (int round = 0; round < ROUNDS; round++) {
            struct run run = {0};
            uint64_t at_start = seed;
            uint32_t most = 1 + below(40);
            run_open(&run, c->limits.mail_bytes ? &c->limits : NULL, c->flags);
            for (size_t k = 0; k < script.n; k++)
                cut(&run, &script.pieces[k], most);
            check(c, run_close(&run), at_start);
        }
        script_free(&script);
    }
}

/* The bytes of a direction, in order. */
static struct text stream_of(const struct script *script, uint8_t direction)
{
    struct text t = {0};
    text_add(&t, "", 0);
    for (size_t k = 0; k < script->n; k++)
        if (script->pieces[k].direction == direction)
            text_add(&t, script->pieces[k].bytes, script->pieces[k].n);
    return t;
}

/* Any order of the two directions against each other, also those that no network could make. */
static void random_interleaving(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SMTP_SESSIONS; i++) {
        const struct smtp_session_case *c = &smtp_sessions[i];
        if (c->timing)
            continue;
        struct script script = script_parse(c->script);
        struct text stream[2] = {stream_of(&script, 0), stream_of(&script, 1)};
        for (int round = 0; round < ROUNDS; round++) {
            struct run run = {0};
            size_t at[2] = {0, 0};
            uint64_t at_start = seed;
            uint32_t most = 1 + below(60), lean = 1 + below(9);
            run_open(&run, c->limits.mail_bytes ? &c->limits : NULL, c->flags);
            while (at[0] < stream[0].n || at[1] < stream[1].n) {
                uint8_t d = below(10) < lean;
                if (at[d] == stream[d].n)
                    d = !d;
                size_t n = 1 + below(most);
                if (n > stream[d].n - at[d])
                    n = stream[d].n - at[d];
                run_bytes(&run, d, (const uint8_t *)stream[d].p + at[d], n);
                at[d] += n;
            }
            check(c, run_close(&run), at_start);
        }
        free(stream[0].p);
        free(stream[1].p);
        script_free(&script);
    }
}

/* When memory is refused from some request on, nothing breaks, everything is given back, and mails
 * are still of a transaction that is told. */
static void refused_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SMTP_SESSIONS; i++) {
        const struct smtp_session_case *c = &smtp_sessions[i];
        struct script script = script_parse(c->script);
        for (uint64_t after = 2; after < 20; after++) {
            struct run run = {0};
            run.outcome.refuse_after = after;
            run_open(&run, c->limits.mail_bytes ? &c->limits : NULL, c->flags);
            assert_non_null(run.session);
            for (size_t k = 0; k < script.n; k++)
                cut(&run, &script.pieces[k], 30);
            free(run_close(&run));
            assert_false(run.outcome.misnumbered);
        }
        script_free(&script);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_cuts),
        cmocka_unit_test(random_interleaving),
        cmocka_unit_test(refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
