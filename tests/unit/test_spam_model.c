/* Models: what is learned from plain examples, files that are damaged in every way, chi-square. */
// layers: models
#include "models/spam_mails.h"
#include "models/spam_model.h"
#include "models/spam_set.h"
#include "models/spam_train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static uint64_t state = 11;

static uint32_t draw(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

static char folder[] = "/tmp/millrace-test-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[64];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* A mailbox of mails whose words are drawn from two vocabularies that overlap. */
static void write_mailbox(const char *name, bool spam, uint32_t n)
{
    FILE *file = fopen(path_of(name), "w");

    assert_non_null(file);
    for (uint32_t i = 0; i < n; i++) {
        fprintf(file, "From x@y.example Mon Jan  1 10:00:00 2001\nSubject: s%u\n\n", draw(50));
        for (uint32_t w = 0; w < 40; w++)
            fprintf(file, "%s%c%c%s",
                    draw(3) ? "both"
                    : spam  ? "offer"
                            : "meeting",
                    'a' + draw(20), 'a' + draw(10), w % 8 == 7 ? "\n" : " ");
        fprintf(file, "\n");
    }
    assert_int_equal(fclose(file), 0);
}

static enum mr_status train(const char *output, FILE *out, struct mr_error *error)
{
    static char ham[64], spam[64], model[64];
    const char *hams[] = {ham}, *spams[] = {spam};
    struct mr_spam_training t = {.ham = hams,
                                 .spam = spams,
                                 .n_ham = 1,
                                 .n_spam = 1,
                                 .output = model,
                                 .folds = 5,
                                 .false_positives = 0.01,
                                 .fields = MR_SPAM_FIELDS_SENDER,
                                 .min_mails = 2,
                                 .date = "2001-02-03",
                                 .note = "drawn words"};

    snprintf(ham, sizeof ham, "%s", path_of("ham.mbox"));
    snprintf(spam, sizeof spam, "%s", path_of("spam.mbox"));
    snprintf(model, sizeof model, "%s", path_of(output));
    return mr_spam_train(&t, out, error);
}

static void *slurp(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    void *bytes = aligned_alloc(64, (size_t)1 << 20);

    assert_non_null(file);
    *n = fread(bytes, 1, (size_t)1 << 20, file);
    fclose(file);
    return bytes;
}

static void spill(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static double score(const struct mr_spam_model *model, const char *body)
{
    static uint8_t text[MR_SPAM_TEXT_ROOM];
    struct mr_spam_scratch *scratch = mr_spam_scratch_new();
    struct mr_mime_decoder *decoder = mr_mime_open(NULL);
    struct mr_bayes_sums sums;
    const struct mr_mime *mail = mr_mime_decode(decoder, NULL, (const uint8_t *)body, strlen(body));
    uint32_t n = mr_spam_text(mail, (enum mr_spam_fields)model->fields, text);

    mr_spam_sums(model, scratch, text, n, &sums);
    mr_mime_close(decoder);
    mr_spam_scratch_free(scratch);
    return mr_spam_score(mr_spam_z(model, &sums));
}

static void learns_and_repeats(void **unused)
{
    char report[4096] = "";
    FILE *out = fmemopen(report, sizeof report, "w");
    struct mr_error error = {MR_OK, ""};
    struct mr_spam_model *model;
    size_t n, again;

    (void)unused;
    write_mailbox("ham.mbox", false, 200);
    write_mailbox("spam.mbox", true, 150);
    assert_int_equal(train("one.model", out, &error), MR_OK);
    assert_int_equal(train("two.model", out, &error), MR_OK);
    fclose(out);
    assert_non_null(strstr(report, "200 ham, 150 spam; 0 duplicates"));
    void *a = slurp(path_of("one.model"), &n), *b = slurp(path_of("two.model"), &again);
    assert_int_equal(n, again);
    assert_memory_equal(a, b, n);
    free(a);
    free(b);
    assert_int_equal(mr_spam_model_read(path_of("one.model"), &model, &error), MR_OK);
    assert_true(model->figures.one_less_auc < 0.01);
    assert_int_equal(model->n_ham, 200);
    assert_string_equal(model->note, "drawn words");
    double spam =
        score(model, "Subject: x\n\nofferaa offerbb offercc bothaa bothbb offerdd offeree\n");
    double ham =
        score(model, "Subject: x\n\nmeetingaa meetingbb meetingcc bothaa bothbb meetingdd\n");
    assert_true(spam >= model->threshold && ham < model->threshold && ham < 0.1);
    mr_spam_model_free(model);
}

static void duplicates_count_once(void **unused)
{
    static const char first[] = "Subject: a\n\nthe words of this mail are many 17\n";
    static const char copy[] = "Subject: b\n\nthe WORDS of this mail: are many 23 !\n";
    static const char other[] = "Subject: a\n\nquite something else stands in here\n";
    struct mr_spam_set *set = mr_spam_set_new(MR_SPAM_FIELDS_ALL);

    (void)unused;
    assert_int_equal(mr_spam_set_add(set, false, (const uint8_t *)first, strlen(first)), MR_OK);
    assert_int_equal(mr_spam_set_add(set, true, (const uint8_t *)copy, strlen(copy)), MR_OK);
    assert_int_equal(mr_spam_set_add(set, true, (const uint8_t *)other, strlen(other)), MR_OK);
    assert_int_equal(mr_spam_set_examples(set).n_mails, 2);
    assert_int_equal(mr_spam_set_duplicates(set), 1);
    mr_spam_set_free(set);
}

/* Mails that differ in a few words of many stay in one fold. */
static void alike_stay_together(void **unused)
{
    struct mr_spam_set *set = mr_spam_set_new(MR_SPAM_FIELDS_ALL);
    uint8_t fold[64];
    char mail[8192];

    (void)unused;
    for (uint32_t family = 0; family < 12; family++)
        for (uint32_t copy = 0; copy < 5; copy++) {
            size_t n = (size_t)snprintf(mail, sizeof mail, "Subject: x\n\n");
            for (uint32_t w = 0; w < 200; w++)
                n += (size_t)snprintf(mail + n, sizeof mail - n, "w%c%c%c ", 'a' + family,
                                      'a' + w % 26, 'a' + w / 26);
            n +=
                (size_t)snprintf(mail + n, sizeof mail - n, "copy%c%c\n", 'a' + family, 'a' + copy);
            assert_int_equal(mr_spam_set_add(set, false, (const uint8_t *)mail, n), MR_OK);
        }
    assert_int_equal(mr_spam_set_examples(set).n_mails, 60);
    assert_int_equal(mr_spam_set_folds(set, 4, fold), 12);
    for (uint32_t i = 0; i < 60; i++)
        assert_int_equal(fold[i], fold[i / 5 * 5]);
    mr_spam_set_free(set);
}

static enum mr_status note_mail(void *user, const char *name, const uint8_t *mail, size_t len,
                                struct mr_error *error)
{
    char *to = user;

    (void)error;
    snprintf(to + strlen(to), 512 - strlen(to), "%s=%.*s|", strrchr(name, '/') + 1, (int)len,
             (const char *)mail);
    return MR_OK;
}

static void mailboxes(void **unused)
{
    static const struct {
        const char *bytes, *mails;
    } cases[] = {
        {"", "m=|"},
        {"A: 1\n\nx\n\nFrom me at 10:00\n", "m=A: 1\n\nx\n\nFrom me at 10:00\n|"},
        {"From a@b Mon 10:00:00\nA: 1\n\nx\n", "m=A: 1\n\nx\n|"},
        {"From a@b Mon 10:00:00\nA\n\nFrom a@b Mon 10:00:00\nB\n", "m#1=A\n\n|m#2=B\n|"},
        {"From a@b Mon 10:00:00\nA\n\nFrom prose to verse\nB\n",
         "m=A\n\nFrom prose to verse\nB\n|"},
        {"From a@b Mon 10:00:00\nA\nFrom a@b Mon 10:00:00\nB\n",
         "m=A\nFrom a@b Mon 10:00:00\nB\n|"},
        {"From a@b Mon 10:00:00", "m=|"},
    };
    struct mr_error error;

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char got[512] = "";
        spill(path_of("m"), cases[i].bytes, strlen(cases[i].bytes));
        assert_int_equal(mr_spam_mails(path_of("m"), note_mail, got, &error), MR_OK);
        assert_string_equal(got, cases[i].mails);
    }
    assert_int_equal(mr_spam_mails(path_of("absent"), note_mail, NULL, &error), MR_ERR_INPUT);
}

/* No single damaged byte goes unnoticed, nor a cut, nor bytes behind the end. */
static void damaged_files_are_refused(void **unused)
{
    size_t n;
    struct mr_error error = {MR_OK, ""};
    struct mr_spam_model *model;

    (void)unused;
    uint8_t *bytes = slurp(path_of("one.model"), &n);
    assert_null(mr_spam_model_check(bytes, n));
    for (uint32_t round = 0; round < 3000; round++) {
        size_t at = round < 512 ? round : draw((uint32_t)n);
        uint8_t was = bytes[at];
        bytes[at] ^= (uint8_t)(1 + draw(255));
        assert_non_null(mr_spam_model_check(bytes, n));
        bytes[at] = was;
    }
    for (uint32_t round = 0; round < 300; round++)
        assert_non_null(mr_spam_model_check(bytes, draw((uint32_t)n)));
    assert_non_null(mr_spam_model_check(bytes, n + 64));
    spill(path_of("bad.model"), bytes, n - 1);
    assert_int_equal(mr_spam_model_read(path_of("bad.model"), &model, &error), MR_ERR_PROGRAM);
    assert_non_null(strstr(error.text, "bad.model: "));
    assert_int_equal(mr_spam_model_read(path_of("absent"), &model, &error), MR_ERR_INPUT);
    assert_int_equal(mr_spam_model_read(folder, &model, &error), MR_ERR_INPUT);
    free(bytes);
}

/* Right checksums, wrong content: made by somebody who means harm. */
static void forged_files_are_refused(void **unused)
{
    static const struct {
        size_t at;
        uint32_t value;
    } forgeries[] = {
        {offsetof(struct mr_spam_model, fields), 99},
        {offsetof(struct mr_spam_model, n_entries), 3},
        {offsetof(struct mr_spam_model, threshold) + 4, 0x7ff80000},
        {offsetof(struct mr_spam_model, bias) + 4, 0x7ff00000},
        {sizeof(struct mr_spam_model) + 4, 0x80000000},
    };
    struct mr_spam_model *model, *good;
    struct mr_error error;

    (void)unused;
    for (size_t i = 0; i < sizeof forgeries / sizeof *forgeries; i++) {
        assert_int_equal(mr_spam_model_read(path_of("one.model"), &good, &error), MR_OK);
        memcpy((uint8_t *)good + forgeries[i].at, &forgeries[i].value, 4);
        assert_int_equal(mr_spam_model_write(good, path_of("forged.model"), &error), MR_OK);
        assert_int_equal(mr_spam_model_read(path_of("forged.model"), &model, &error),
                         MR_ERR_PROGRAM);
        mr_spam_model_free(good);
    }
}

/* Every entry is found again, and nothing else; full tables say so. */
static void tables(void **unused)
{
    struct mr_spam_scratch *scratch = mr_spam_scratch_new();
    struct mr_spam_model *model = mr_spam_model_new(6);
    uint64_t hashes[240];
    uint32_t n = 0, tries = 0;
    int64_t weight = 0;
    struct mr_bayes_sums sums;

    (void)unused;
    for (; n < 240 && tries < 1000; tries++) {
        uint64_t hash = (uint64_t)draw(1u << 31) << 33 ^ draw(1u << 31);
        struct mr_bayes_entry entry = {0, -(int32_t)n, -1, (int32_t)n * 3};
        if (mr_spam_model_add(model, hash, entry) != MR_SPAM_ADDED)
            continue;
        weight += 3 * n;
        hashes[n++] = hash;
    }
    assert_int_equal(n, 240);
    assert_int_equal(mr_spam_model_add(model, hashes[5], (struct mr_bayes_entry){0}),
                     MR_SPAM_CLASHES);
    mr_spam_sums_of(model, scratch, hashes, n, &sums);
    assert_int_equal(sums.n_known, n);
    assert_int_equal(sums.n_strong, n - 1);
    assert_int_equal(sums.weight, weight);
    assert_int_equal(sums.ham, -(int64_t)n);
    hashes[1] = hashes[0]; /* twice counts once */
    mr_spam_sums_of(model, scratch, hashes, n, &sums);
    assert_int_equal(sums.n_known, n - 1);
    for (uint32_t i = 0; i < n; i++)
        hashes[i] ^= 1; /* strangers */
    mr_spam_sums_of(model, scratch, hashes, n, &sums);
    assert_int_equal(sums.n_known, 0);
    for (; tries < 3000; tries++)
        if (mr_spam_model_add(model, (uint64_t)draw(1u << 31) << 33 ^ draw(1u << 31),
                              (struct mr_bayes_entry){0}) == MR_SPAM_NO_ROOM)
            break;
    assert_true(tries < 3000);
    mr_spam_model_free(model);
    mr_spam_scratch_free(scratch);
}

/* Against tables of the chi-square distribution, and in the far tails. */
static void chi_square(void **unused)
{
    (void)unused;
    assert_true(fabs(exp(mr_spam_chi_square(5.991465 / 2, 1)) - 0.05) < 1e-6);
    assert_true(fabs(exp(mr_spam_chi_square(18.30704 / 2, 5)) - 0.05) < 1e-6);
    assert_true(fabs(exp(mr_spam_chi_square(135.8067 / 2, 50)) - 0.01) < 1e-6);
    assert_true(mr_spam_chi_square(0, 10) == 0 && mr_spam_chi_square(5, 0) == 0);
    double far = mr_spam_chi_square(20000, 1000); /* nearly m^(n-1)/(n-1)! e^-m */
    double term = 999 * log(20000) - lgamma(1000) - 20000;
    assert_true(far > term && far < term + 0.1);
    assert_true(mr_spam_chi_square(350000, 21845) < -200000);
    for (uint32_t n = 1; n < 400; n++) /* the less, the more likely */
        assert_true(mr_spam_chi_square(n, n) <= mr_spam_chi_square(n, n + 1));
}

static int open_folder(void **unused)
{
    (void)unused;
    return !mkdtemp(folder);
}

static int close_folder(void **unused)
{
    static const char *const names[] = {"ham.mbox",  "spam.mbox",    "one.model", "two.model",
                                        "bad.model", "forged.model", "m"};

    (void)unused;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(path_of(names[i]));
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_and_repeats),
        cmocka_unit_test(duplicates_count_once),
        cmocka_unit_test(alike_stay_together),
        cmocka_unit_test(mailboxes),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(forged_files_are_refused),
        cmocka_unit_test(tables),
        cmocka_unit_test(chi_square),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
