/* What Hyperscan reports against what others say: the expressions and corpora that Hyperscan's
 * authors ship with the expected ends of all matches, and PCRE2 on real rules and mails. */
// layers: base components pcre2
#include "components/match.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef MR_HAVE_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif

#define MAX_LINE 65536

/* Under a sanitizer compiling takes five times as long: every fourth pattern does. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STEP 4
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STEP 4
#endif
#endif
#ifndef STEP
#define STEP 1
#endif

static char pattern_path[64];

/* ---- files ---- */

/* The data folder's subfolder, or a loud skip. */
static const char *folder(const char *name)
{
    static char path[512];
    const char *root = getenv("MR_SHARED_DATA");
    if (root)
        snprintf(path, sizeof path, "%s/%s", root, name);
    if (!root || access(path, R_OK)) {
        print_message("SKIP: no %s: set MR_SHARED_DATA to the folder of real data\n", name);
        skip();
    }
    return path;
}

/* The files of a folder in the order of their names; the caller frees the list and the names. */
static int list(const char *path, char ***names)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, NULL, alphasort), kept = 0;
    char **result = malloc((size_t)(n > 0 ? n : 1) * sizeof *result);
    assert_true(n >= 0);
    assert_non_null(result);
    for (int i = 0; i < n; i++) {
        size_t size = strlen(path) + strlen(entries[i]->d_name) + 2;
        if (entries[i]->d_name[0] != '.') {
            result[kept] = malloc(size);
            assert_non_null(result[kept]);
            snprintf(result[kept++], size, "%s/%s", path, entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
    *names = result;
    return kept;
}

static void forget(char **names, int n)
{
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

static void read_patterns(struct mr_match_set *set)
{
    struct mr_bind_error error;
    struct mr_constant constant = {.type = MR_TYPE_STRING,
                                   .value =
                                       mr_value_bytes(pattern_path, (uint32_t)strlen(pattern_path)),
                                   .is_file = true};
    if (mr_match_set_read(set, &constant, &error))
        fail_msg("%s", error.text);
}

/* ---- scanning ---- */

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *context)
{
    (void)from, (void)to, (void)flags;
    ((bool *)context)[id] = true;
    return 0;
}

static void scan(const struct mr_match_groups *groups, const char *bytes, size_t len, bool *found)
{
    for (uint32_t i = 0; i < groups->n; i++)
        if (!groups->groups[i].utf8 || mr_match_utf8((const uint8_t *)bytes, len))
            assert_int_equal(hs_scan(groups->groups[i].database, bytes, (unsigned)len, 0,
                                     groups->scratch, on_match, found),
                             HS_SUCCESS);
}

/* One pattern of a set by itself. */
static bool compile_alone(struct mr_match_groups *groups, const struct mr_match_set *set,
                          uint32_t which)
{
    struct mr_match_set one = {.patterns = &set->patterns[which], .n = 1};
    struct mr_bind_error error;
    if (!mr_match_compile(groups, &one, &error))
        return true;
    mr_match_groups_free(groups);
    return false;
}

/* ---- Hyperscan's own corpora ---- */

struct subject {
    uint32_t pattern; /* index in the set */
    bool has_expectation, match;
    char *bytes;
    size_t len;
};

static struct subject *subjects;
static size_t n_subjects;

static int by_number(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = ((const struct mr_match_pattern *)right)->id;
    return a < b ? -1 : a > b;
}

/* The text with \n, \xNN and the like resolved, up to an unescaped stop character (0: to the end);
 * *at is left behind it. */
static size_t unescape(char *to, const char **at, char stop)
{
    size_t len = 0;
    for (; **at && **at != stop; (*at)++) {
        if (**at != '\\') {
            to[len++] = **at;
            continue;
        }
        (*at)++;
        unsigned value;
        if (**at == 'x' && sscanf(*at + 1, "%2x", &value) == 1) {
            to[len++] = (char)value;
            *at += 2;
        } else if (**at == 'n' || **at == 'r' || **at == 't') {
            to[len++] = **at == 'n' ? '\n' : **at == 'r' ? '\r' : '\t';
        } else if (**at) {
            to[len++] = **at;
        } else {
            break;
        }
    }
    *at += **at == stop && stop;
    return len;
}

/* id="bytes": 3,5   or   id:bytes */
static void read_subject(const struct mr_match_set *set, const char *line)
{
    char *end;
    uint32_t id = (uint32_t)strtoul(line, &end, 10);
    if (end == line || (*end != '=' && *end != ':'))
        return;
    const struct mr_match_pattern *pattern =
        bsearch(&id, set->patterns, set->n, sizeof *set->patterns, by_number);
    if (!pattern)
        return;
    struct subject subject = {.pattern = (uint32_t)(pattern - set->patterns)};
    subject.bytes = malloc(strlen(line) + 1);
    assert_non_null(subject.bytes);
    const char *at = end + 1;
    subject.has_expectation = *end == '=';
    if (subject.has_expectation)
        at++;
    subject.len = unescape(subject.bytes, &at, subject.has_expectation ? '"' : '\0');
    subject.match = at[strcspn(at, "0123456789")] != '\0';
    subjects = realloc(subjects, (n_subjects + 1) * sizeof *subjects);
    assert_non_null(subjects);
    subjects[n_subjects++] = subject;
}

static void each_line(const char *path, void (*take)(void *, const char *), void *context)
{
    static char line[MAX_LINE];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = '\0';
        take(context, line);
    }
    fclose(file);
}

/* Expressions that are in Hyperscan's format but not in ours (prefilter) stay out. */
static void keep_expression(void *to, const char *line)
{
    const char *slash = strrchr(line, '/');
    if (*line >= '0' && *line <= '9' && slash && !strchr(slash, 'P'))
        fprintf(to, "%s\n", line);
}

static void keep_subject(void *set, const char *line)
{
    read_subject(set, line);
}

static void read_all(const char *root, const char *name, void (*take)(void *, const char *),
                     void *context)
{
    char path[600], **names;
    snprintf(path, sizeof path, "%s/%s", root, name);
    int n = list(path, &names);
    assert_true(n > 0);
    for (int i = 0; i < n; i++)
        each_line(names[i], take, context);
    forget(names, n);
}

/* Some expressions follow PCREs older than the one that this Hyperscan follows. */
static uint32_t drop_refused(struct mr_match_set *set)
{
    uint32_t kept = 0, refused = 0;
    for (uint32_t i = 0; i < set->n; i += STEP) {
        struct mr_match_groups groups;
        if (!compile_alone(&groups, set, i)) {
            refused++;
            continue;
        }
        mr_match_groups_free(&groups);
        set->patterns[kept++] = set->patterns[i];
    }
    set->n = kept;
    return refused;
}

struct outcome {
    size_t pairs, expectations, wrong, different;
};

/* Unicode classes take long to compile together: a thousand take minutes. Every n-th pattern, so
 * that kinds and flags mix. */
#define COMPANY 4

/* A company of patterns on all subjects, together and each alone: where Hyperscan's authors say
 * what is to come, it comes; and whether a pattern matches does not depend on its company. */
static void judge(const struct mr_match_set *set, uint32_t first, uint32_t stride, bool *together,
                  struct outcome *outcome)
{
    struct mr_match_pattern patterns[COMPANY];
    struct mr_match_set company = {.patterns = patterns, .n = 0};
    struct mr_match_groups groups;
    struct mr_bind_error error;

    for (uint32_t i = first; i < set->n; i += stride)
        patterns[company.n++] = set->patterns[i];
    const uint32_t n = company.n;

    if (mr_match_compile(&groups, &company, &error))
        fail_msg("%s", error.text);
    memset(together, 0, n * n_subjects);
    for (size_t s = 0; s < n_subjects; s++)
        scan(&groups, subjects[s].bytes, subjects[s].len, together + s * n);
    mr_match_groups_free(&groups);
    for (uint32_t p = 0; p < n; p++) {
        assert_true(compile_alone(&groups, &company, p));
        for (size_t s = 0; s < n_subjects; s++) {
            bool match = false;
            bool own = subjects[s].pattern == first + p * stride;
            if (!own && s % 16 != p % 16) /* others' subjects: a sample, for time's sake */
                continue;
            scan(&groups, subjects[s].bytes, subjects[s].len, &match);
            outcome->pairs++;
            outcome->different += match != together[s * n + p];
            if (!own || !subjects[s].has_expectation)
                continue;
            outcome->expectations++;
            if (match == subjects[s].match)
                continue;
            outcome->wrong++;
            print_message("%u:%s on subject %zu: %d\n", company.patterns[p].id,
                          company.patterns[p].text, s, match);
        }
        mr_match_groups_free(&groups);
    }
}

static void corpora_of_hyperscan(void **state)
{
    (void)state;
    const char *root = folder("patterns/hyperscan_hscollider/tools/hscollider/test_cases");
    struct mr_match_set set;
    struct outcome outcome = {0};
    FILE *patterns = fopen(pattern_path, "wb");

    assert_non_null(patterns);
    read_all(root, "pcre", keep_expression, patterns);
    assert_int_equal(fclose(patterns), 0);
    read_patterns(&set);
    uint32_t refused = drop_refused(&set);
    read_all(root, "corpora", keep_subject, &set);
    bool *together = malloc(COMPANY * n_subjects);
    assert_non_null(together);
    const uint32_t stride = (set.n + COMPANY - 1) / COMPANY;
    for (uint32_t first = 0; first < stride; first++)
        judge(&set, first, stride, together, &outcome);
    print_message("%u patterns (%u refused), %zu subjects, %zu expectations, %zu pairs\n", set.n,
                  refused, n_subjects, outcome.expectations, outcome.pairs);
    assert_true(set.n > 1000 / STEP && outcome.expectations > 7000 / (2 * STEP));
    assert_int_equal(outcome.wrong, 0);
    assert_int_equal(outcome.different, 0);
    for (size_t s = 0; s < n_subjects; s++)
        free(subjects[s].bytes);
    free(subjects);
    free(together);
    mr_match_set_free(&set);
}

/* ---- PCRE2 on mails ---- */

#ifdef MR_HAVE_PCRE2

struct rules {
    FILE *to;
    unsigned n;
};

/* pcre:"/regex/flags" of Snort's rules, with those of Snort's flags that are PCRE's. */
static void snort_rule(void *context, const char *line)
{
    struct rules *rules = context;
    for (const char *at = line; (at = strstr(at, "pcre:\"/"));) {
        at += strlen("pcre:\"");
        const char *end = strstr(at, "\",");
        if (!end)
            end = strstr(at, "\";");
        const char *slash = end ? memrchr(at, '/', (size_t)(end - at)) : NULL;
        if (!slash || slash == at)
            break;
        fprintf(rules->to, "%u:%.*s", rules->n++, (int)(slash + 1 - at), at);
        for (const char *flag = slash + 1; flag < end; flag++)
            if (strchr("ismx", *flag))
                fputc(*flag, rules->to);
        fputc('\n', rules->to);
        at = end;
    }
}

/* body NAME /regex/flags */
static void spamassassin_rule(void *context, const char *line)
{
    struct rules *rules = context;
    int at = 0;
    char kind[16];
    if (sscanf(line, " %15s %*s %n", kind, &at) != 1 || !at || line[at] != '/' ||
        (strcmp(kind, "body") && strcmp(kind, "rawbody") && strcmp(kind, "full")))
        return;
    const char *slash = strrchr(line + at, '/');
    if (slash > line + at + 1 && strspn(slash + 1, "ismx") == strlen(slash + 1))
        fprintf(rules->to, "%u:%s\n", rules->n++, line + at);
}

#define MAX_MAILS 60

static struct subject mails[MAX_MAILS];
static int n_mails;

static void read_mails(const char *path, int wanted)
{
    char **names;
    int n = list(path, &names);
    for (int i = 0; i < wanted && i < n && n_mails < MAX_MAILS; i++) {
        FILE *file = fopen(names[(size_t)i * (size_t)n / (size_t)wanted], "rb");
        assert_non_null(file);
        struct subject *mail = &mails[n_mails++];
        mail->bytes = malloc(20000);
        assert_non_null(mail->bytes);
        mail->len = fread(mail->bytes, 1, 20000, file);
        fclose(file);
    }
    forget(names, n);
}

static pcre2_code *pcre(const struct mr_match_pattern *pattern)
{
    int error;
    PCRE2_SIZE offset;
    uint32_t options = (pattern->flags & HS_FLAG_CASELESS ? PCRE2_CASELESS : 0) |
                       (pattern->flags & HS_FLAG_DOTALL ? PCRE2_DOTALL : 0) |
                       (pattern->flags & HS_FLAG_MULTILINE ? PCRE2_MULTILINE : 0);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern->regex, PCRE2_ZERO_TERMINATED, options,
                                     &error, &offset, NULL);
    if (code)
        pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    return code;
}

struct tally {
    size_t patterns, refused, pairs, matches, too_hard, different;
};

static void compare(const struct mr_match_set *set, uint32_t which, pcre2_match_data *match,
                    struct tally *tally)
{
    struct mr_match_groups groups;
    pcre2_code *code = pcre(&set->patterns[which]);

    if (!code || !compile_alone(&groups, set, which)) {
        tally->refused++;
        pcre2_code_free(code);
        return;
    }
    tally->patterns++;
    for (int i = 0; i < n_mails; i++) {
        bool ours = false;
        int theirs = pcre2_match(code, (PCRE2_SPTR)mails[i].bytes, mails[i].len, 0, 0, match, NULL);
        if (theirs < 0 && theirs != PCRE2_ERROR_NOMATCH) {
            tally->too_hard++;
            continue;
        }
        scan(&groups, mails[i].bytes, mails[i].len, &ours);
        tally->pairs++;
        tally->matches += ours;
        if (ours != (theirs >= 0)) {
            tally->different++;
            print_message("mail %d: %s: ours %d\n", i, set->patterns[which].text, ours);
        }
    }
    mr_match_groups_free(&groups);
    pcre2_code_free(code);
}

static void mails_with_pcre2(void **state)
{
    (void)state;
    static const char *const kinds[] = {"easy_ham", "hard_ham", "spam", "spam_2"};
    char path[600], **names;
    struct mr_match_set set;
    struct rules rules = {fopen(pattern_path, "wb"), 0};
    struct tally tally = {0};

    const char *root = folder("spam/spamassassin");
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", root, kinds[i]);
        read_mails(path, MAX_MAILS / 4);
    }
    assert_int_equal(n_mails, MAX_MAILS);
    assert_non_null(rules.to);
    snprintf(path, sizeof path, "%s/snort3-community.rules", folder("patterns/snort_community"));
    each_line(path, snort_rule, &rules);
    int n = list(folder("patterns/spamassassin_rules/rules"), &names);
    for (int i = 0; i < n; i++)
        if (strlen(names[i]) > 3 && !strcmp(names[i] + strlen(names[i]) - 3, ".cf"))
            each_line(names[i], spamassassin_rule, &rules);
    forget(names, n);
    assert_int_equal(fclose(rules.to), 0);
    read_patterns(&set);
    pcre2_match_data *match = pcre2_match_data_create(32, NULL);
    for (uint32_t p = 0; p < set.n; p += STEP)
        compare(&set, p, match, &tally);
    print_message(
        "%zu patterns on %d mails: %zu pairs, %zu matches, %zu patterns refused by one of "
        "the two, %zu pairs too hard for PCRE2\n",
        tally.patterns, n_mails, tally.pairs, tally.matches, tally.refused, tally.too_hard);
    assert_true(tally.patterns > 700 / STEP && tally.matches > 100);
    assert_int_equal(tally.different, 0);
    pcre2_match_data_free(match);
    mr_match_set_free(&set);
    for (int i = 0; i < n_mails; i++)
        free(mails[i].bytes);
}

#else

static void mails_with_pcre2(void **state)
{
    (void)state;
    print_message("SKIP: built without PCRE2 (libpcre2-dev)\n");
    skip();
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(corpora_of_hyperscan),
        cmocka_unit_test(mails_with_pcre2),
    };
    snprintf(pattern_path, sizeof pattern_path, "/tmp/mr_match_oracle_%d", (int)getpid());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(pattern_path);
    return failed;
}
