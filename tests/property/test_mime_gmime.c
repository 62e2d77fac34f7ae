/* Our decoder beside GMime: on mails that GMime makes (where also what was put in is known), on the
 * SpamAssassin corpus where it is there, and on mutations of both.
 *
 * Mutated mails are broken in ways that readers disagree about; those where we find nothing wrong
 * are to be read alike, but for a few. */
// layers: mime gmime
#ifdef MR_HAVE_GMIME
#include "gmime_oracle.h"
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef MR_HAVE_GMIME

#define GENERATED 1500u
#define MUTATIONS 3u /* of each mail */
#define HARMLESS  ((uint64_t)1 << MR_MIME_LONG_LINE | (uint64_t)1 << MR_MIME_LONG_ENC_LINE)

static const char *const kinds[N_DIFFERENCES] = {"same", "no message", "subject", "leaves",
                                                 "type", "filename",   "content", "text"};

struct tally {
    unsigned mails, of[N_DIFFERENCES];
};

static void count(struct tally *tally, struct mr_mime_decoder *d, const char *name,
                  const char *mail, size_t len, bool show)
{
    char *what = NULL;
    enum difference difference = oracle_compare(d, mail, len, &what);

    tally->mails++;
    tally->of[difference]++;
    if (difference && show)
        print_message("%s: %s: %s\n", name, kinds[difference], what ? what : "");
    g_free(what);
}

static unsigned wrong(const struct tally *tally)
{
    return tally->mails - tally->of[SAME];
}

struct bytes {
    const uint8_t *want, *end;
    bool text; /* line ends are as they travel: without CR on both sides */
    bool differs;
};

static void check_piece(void *user, const uint8_t *bytes, size_t len)
{
    struct bytes *b = user;

    for (size_t i = 0; i < len; i++) {
        if (b->text && bytes[i] == '\r')
            continue;
        while (b->text && b->want < b->end && *b->want == '\r')
            b->want++;
        if (b->want == b->end || *b->want++ != bytes[i])
            b->differs = true;
    }
}

/* What the sender put in comes out, byte by byte. */
static void test_generated(void **state)
{
    struct mr_mime_decoder *d = mr_mime_open(NULL);
    struct tally tally = {0};
    (void)state;

    for (uint32_t seed = 1; seed <= GENERATED; seed++) {
        GPtrArray *contents = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
        GByteArray *mail = oracle_mail(seed, contents);
        char name[32];
        snprintf(name, sizeof name, "mail %u", seed);
        count(&tally, d, name, (const char *)mail->data, mail->len, true);
        const struct mr_mime *mime = mr_mime_decode(d, NULL, mail->data, mail->len);
        assert_int_equal(mime->anomalies & ~HARMLESS, 0);
        unsigned n = 0;
        for (uint32_t i = 0; i < mime->n_parts; i++) {
            const struct mr_mime_part *part = &mime->parts[i];
            if (part->kind != MR_MIME_LEAF)
                continue;
            assert_true(n < contents->len);
            GByteArray *want = contents->pdata[n++];
            struct bytes bytes = {want->data, want->data + want->len, part->is_text, false};
            uint64_t size = mr_mime_content(part, check_piece, &bytes, NULL);
            if (bytes.want != bytes.end || bytes.differs)
                fail_msg("%s, part %u: %u bytes went in, %u came out", name, i, want->len,
                         (unsigned)size);
        }
        assert_int_equal(n, contents->len);
        g_byte_array_unref(mail);
        g_ptr_array_unref(contents);
    }
    assert_int_equal(wrong(&tally), 0);
    mr_mime_close(d);
}

static void mutate(GByteArray *mail, GRand *r)
{
    for (int n = g_rand_int_range(r, 1, 5); n && mail->len > 20; n--) {
        guint at = (guint)g_rand_int_range(r, 0, (int)mail->len), len = 1;
        switch (g_rand_int_range(r, 0, 4)) {
        case 0:
            mail->data[at] = (guint8)g_rand_int(r);
            break;
        case 1:
            mail->data[at] ^= (guint8)(1u << g_rand_int_range(r, 0, 8));
            break;
        case 2: /* a piece goes */
            len = (guint)g_rand_int_range(r, 1, 80);
            g_byte_array_remove_range(mail, at, len < mail->len - at ? len : mail->len - at);
            break;
        default: /* the end goes */
            g_byte_array_set_size(mail, mail->len - (guint)g_rand_int_range(r, 0, 20));
            break;
        }
    }
}

/* Nothing is wrong in what we read: then GMime reads it so too. */
static void count_mutations(struct tally *tally, struct mr_mime_decoder *d, const char *name,
                            const guint8 *mail, size_t len, uint32_t seed)
{
    GRand *r = g_rand_new_with_seed(seed);

    for (unsigned i = 0; i < MUTATIONS; i++) {
        GByteArray *copy = g_byte_array_new();
        g_byte_array_append(copy, mail, (guint)len);
        mutate(copy, r);
        const struct mr_mime *mime = mr_mime_decode(d, NULL, copy->data, copy->len);
        if (!(mime->anomalies & ~HARMLESS))
            count(tally, d, name, (const char *)copy->data, copy->len,
                  getenv("MR_SHOW_DIFFERENCES") != NULL);
        g_byte_array_unref(copy);
    }
    g_rand_free(r);
}

static void test_mutated(void **state)
{
    struct mr_mime_decoder *d = mr_mime_open(NULL);
    struct tally tally = {0};
    (void)state;

    for (uint32_t seed = 1; seed <= GENERATED; seed++) {
        GPtrArray *contents = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
        GByteArray *mail = oracle_mail(seed, contents);
        count_mutations(&tally, d, "mutated", mail->data, mail->len, seed);
        g_byte_array_unref(mail);
        g_ptr_array_unref(contents);
    }
    print_message("mutated mails without an anomaly: %u, read differently %u\n", tally.mails,
                  wrong(&tally));
    assert_true(tally.mails > GENERATED);
    assert_true(wrong(&tally) * 25 < tally.mails);
    mr_mime_close(d);
}

static void test_corpus(void **state)
{
    static const char *const folders[] = {"easy_ham", "easy_ham_2", "hard_ham", "spam", "spam_2"};
    const char *data = getenv("MR_SHARED_DATA");
    struct mr_mime_decoder *d = mr_mime_open(NULL);
    struct tally tally = {0}, mutated = {0};
    (void)state;

    for (size_t i = 0; data && i < G_N_ELEMENTS(folders); i++) {
        char *folder = g_build_filename(data, "spam", "spamassassin", folders[i], NULL);
        GDir *dir = g_dir_open(folder, 0, NULL);
        for (const char *name; dir && (name = g_dir_read_name(dir)) != NULL;) {
            char *path = g_build_filename(folder, name, NULL), *mail;
            gsize len;
            if (g_file_get_contents(path, &mail, &len, NULL)) {
                count(&tally, d, name, mail, len, true);
                count_mutations(&mutated, d, name, (const guint8 *)mail, len, g_str_hash(name));
                g_free(mail);
            }
            g_free(path);
        }
        if (dir)
            g_dir_close(dir);
        g_free(folder);
    }
    mr_mime_close(d);
    if (!tally.mails) {
        print_message(
            "SKIPPED: no SpamAssassin corpus (MR_SHARED_DATA): nothing is compared on it\n");
        skip();
    }
    print_message("SpamAssassin: %u mails, %u read differently; mutated: %u and %u\n", tally.mails,
                  wrong(&tally), mutated.mails, wrong(&mutated));
    assert_int_equal(wrong(&tally), 0);
    assert_true(wrong(&mutated) * 100 < mutated.mails);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_mutated),
        cmocka_unit_test(test_corpus),
    };

    g_mime_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
static void test_nothing(void **state)
{
    (void)state;
    print_message("SKIPPED: libgmime-3.0-dev was missing: mails are not compared with GMime\n");
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
