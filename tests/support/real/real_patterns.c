/* Where real patterns come from, and how they are written there. */
#include "real_patterns.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LINE_MAX_BYTES 65536

/* Under a sanitizer all takes five times as long: every fourth pattern does. Threads only share out
 * who compiles which: fewer do for that. */
#if defined(__SANITIZE_THREAD__)
#define STEP 16
#elif defined(__SANITIZE_ADDRESS__)
#define STEP 4
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STEP 4
#endif
#endif
#ifndef STEP
#define STEP 1
#endif

static const char *folder(const char *name)
{
    static char path[512];
    const char *root = getenv("MR_SHARED_DATA");

    if (!root)
        return NULL;
    snprintf(path, sizeof path, "%s/%s", root, name);
    return access(path, R_OK) ? NULL : path;
}

uint32_t mr_real_draw(uint64_t *random, uint32_t below)
{
    uint64_t x = *random += 0x9e3779b97f4a7c15ull;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return (uint32_t)((x ^ x >> 31) % below);
}

void mr_real_mutate(uint64_t *random, uint8_t *text, uint32_t *len, uint32_t capacity)
{
    static const char likely[] = "\n a0A_-.\x80\xc3";
    uint32_t at = *len ? mr_real_draw(random, *len) : 0;
    uint8_t byte = mr_real_draw(random, 3)
                       ? (uint8_t)likely[mr_real_draw(random, sizeof likely - 1)]
                       : (uint8_t)mr_real_draw(random, 256);

    switch (*len ? mr_real_draw(random, 5) : 1) {
    case 0:
        text[at] = byte;
        break;
    case 1:
        if (*len == capacity)
            break;
        memmove(text + at + 1, text + at, *len - at);
        text[at] = byte;
        (*len)++;
        break;
    case 2:
        memmove(text + at, text + at + 1, *len - at - 1);
        (*len)--;
        break;
    case 3:
        text[at] ^= 0x20;
        break;
    default:
        if (2 * *len - at > capacity)
            break;
        memcpy(text + *len, text + at, *len - at);
        *len += *len - at;
    }
}

/* ---- reading patterns ---- */

static void read_file(struct mr_match_set *set, const char *path)
{
    struct mr_bind_error error;
    struct mr_constant constant = {.type = MR_TYPE_STRING,
                                   .value = mr_value_bytes(path, (uint32_t)strlen(path)),
                                   .is_file = true};
    enum mr_status status = mr_match_set_read(set, &constant, &error);

    unlink(path);
    if (status)
        fail_msg("%s", error.text);
}

static FILE *scratch(char *path, size_t size)
{
    snprintf(path, size, "/tmp/mr_real_%d", (int)getpid());
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    return file;
}

void mr_real_read(struct mr_match_set *set, const char *lines)
{
    char path[64];
    FILE *file = scratch(path, sizeof path);

    fputs(lines, file);
    assert_int_equal(fclose(file), 0);
    read_file(set, path);
}

static void each_line(const char *path, void (*take)(void *, char *), void *context)
{
    static char line[LINE_MAX_BYTES];
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = '\0';
        take(context, line);
    }
    fclose(file);
}

static void each_file(const char *path, void (*take)(void *, const char *), void *context)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, NULL, alphasort);
    char file[1024];

    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            take(context, file);
        free(entries[i]);
    }
    free(entries);
}

struct lines {
    FILE *to;
    unsigned n, seen;
};

/* Expressions of Unicode classes and edit distances take Hyperscan minutes to compile and stay on
 * the CPU anyway: a few do. */
static void hscollider_line(void *context, char *line)
{
    struct lines *lines = context;
    char *slash = strrchr(line, '/');

    if (*line < '0' || *line > '9' || !slash || strchr(slash, 'P') ||
        ((strchr(slash, 'W') || strstr(slash, "distance")) &&
         lines->n++ % (getenv("MR_LARGE") ? 10 : 40)))
        return;
    fprintf(lines->to, "%s\n", line);
}

static void hscollider_file(void *context, const char *path)
{
    each_line(path, hscollider_line, context);
}

/* A content is a literal, "|0D 0A|" within it bytes. */
static void snort_content(struct lines *lines, const char *at, const char *end)
{
    bool hex = false;

    fprintf(lines->to, "%u:/", lines->n++);
    for (; at < end; at++) {
        unsigned value;
        if (*at == '|') {
            hex = !hex;
        } else if (!hex) {
            at += *at == '\\' && at + 1 < end;
            fprintf(lines->to, "\\x%02x", (unsigned char)*at);
        } else if (*at != ' ' && sscanf(at, "%2x", &value) == 1) {
            fprintf(lines->to, "\\x%02x", value);
            at++;
        }
    }
}

/* pcre:"/regex/flags", all of them, and one in four contents. */
static void snort_line(void *context, char *line)
{
    struct lines *lines = context;
    unsigned step = getenv("MR_LARGE") ? 1 : 4;

    for (const char *at = line; *line != '#' && (at = strstr(at, "content:\""));) {
        at += strlen("content:\"");
        const char *begin = at, *end = at;
        while (*end && *end != '"')
            end += *end == '\\' && end[1] ? 2 : 1;
        const char *stop = strchr(end, ';');
        const char *nocase = strstr(end, "nocase");
        at = end;
        if (lines->seen++ % step)
            continue;
        snort_content(lines, begin, end);
        fprintf(lines->to, "/%s\n", nocase && stop && nocase < stop ? "i" : "");
    }
    for (const char *at = line; (at = strstr(at, "pcre:\"/"));) {
        at += strlen("pcre:\"");
        const char *end = strstr(at, "\",");
        if (!end)
            end = strstr(at, "\";");
        const char *slash = end ? memrchr(at, '/', (size_t)(end - at)) : NULL;
        if (!slash || slash == at)
            break;
        fprintf(lines->to, "%u:%.*s", lines->n++, (int)(slash + 1 - at), at);
        for (const char *flag = slash + 1; flag < end; flag++)
            if (strchr("ismx", *flag))
                fputc(*flag, lines->to);
        fputc('\n', lines->to);
        at = end;
    }
}

/* body NAME /regex/flags */
static void spamassassin_line(void *context, char *line)
{
    struct lines *lines = context;
    int at = 0;
    char kind[16];

    if (sscanf(line, " %15s %*s %n", kind, &at) != 1 || !at || line[at] != '/' ||
        (strcmp(kind, "body") && strcmp(kind, "rawbody") && strcmp(kind, "full")))
        return;
    const char *slash = strrchr(line + at, '/');
    if (slash > line + at + 1 && strspn(slash + 1, "ismx") == strlen(slash + 1))
        fprintf(lines->to, "%u:%s\n", lines->n++, line + at);
}

static void spamassassin_file(void *context, const char *path)
{
    size_t len = strlen(path);

    if (len > 3 && !strcmp(path + len - 3, ".cf"))
        each_line(path, spamassassin_line, context);
}

/* With or without slashes; one in eight, for the short run's sake. */
static void anmlzoo_line(void *context, char *line)
{
    struct lines *lines = context;
    const char *slash = strrchr(line, '/');

    if (!*line || (!getenv("MR_LARGE") && lines->n++ % 8))
        return;
    if (*line == '/' && slash > line && strspn(slash + 1, "ismx") == strlen(slash + 1))
        fprintf(lines->to, "%u:%s\n", lines->n, line);
    else if (!strchr(line, '/'))
        fprintf(lines->to, "%u:/%s/s\n", lines->n, line);
    lines->n += getenv("MR_LARGE") ? 1 : 0;
}

static const char *const zoo[] = {"Brill", "ClamAV", "Dotstar", "PowerEN", "Protomata", "Snort"};

static void zoo_file(void *context, const char *path)
{
    each_line(path, anmlzoo_line, context);
}

bool mr_real_patterns(enum mr_real_set which, struct mr_match_set *set)
{
    static const char *const folders[] = {
        "patterns/hyperscan_hscollider/tools/hscollider/test_cases/pcre",
        "patterns/snort_community", "patterns/spamassassin_rules/rules", "patterns/anmlzoo"};
    const char *at = folder(folders[which]);
    char path[64], file[700];

    if (!at) {
        print_message("SKIP: no %s: set MR_SHARED_DATA to the folder of real data\n",
                      folders[which]);
        return false;
    }
    struct lines lines = {scratch(path, sizeof path), 0, 0};
    if (which == MR_REAL_HSCOLLIDER) {
        each_file(at, hscollider_file, &lines);
    } else if (which == MR_REAL_SNORT) {
        snprintf(file, sizeof file, "%s/snort3-community.rules", at);
        each_line(file, snort_line, &lines);
    } else if (which == MR_REAL_SPAMASSASSIN) {
        each_file(at, spamassassin_file, &lines);
    } else {
        for (size_t i = 0; i < sizeof zoo / sizeof zoo[0]; i++) {
            snprintf(file, sizeof file, "%s/%s/regex", at, zoo[i]);
            each_file(file, zoo_file, &lines);
        }
    }
    assert_int_equal(fclose(lines.to), 0);
    read_file(set, path);
    for (uint32_t i = 0; i * STEP < set->n; i++)
        set->patterns[i] = set->patterns[i * STEP];
    set->n = (set->n + STEP - 1) / STEP;
    return true;
}

static bool refused(const struct mr_match_pattern *pattern, bool thorough)
{
    struct mr_match_set one = {.patterns = (struct mr_match_pattern *)pattern, .n = 1};
    struct mr_match_groups groups;
    struct mr_bind_error error;
    hs_expr_info_t *info = NULL;
    hs_compile_error_t *fault = NULL;
    hs_error_t status = hs_expression_ext_info(
        pattern->regex, pattern->flags, pattern->ext.flags ? &pattern->ext : NULL, &info, &fault);

    hs_free_compile_error(fault);
    free(info);
    if (status || !thorough)
        return status != HS_SUCCESS;
    status = mr_match_compile(&groups, &one, &error) ? HS_INVALID : HS_SUCCESS;
    mr_match_groups_free(&groups);
    return status != HS_SUCCESS;
}

/* Parsing finds almost all; only when the rest is refused together each is compiled alone. */
uint32_t mr_real_compile(struct mr_match_set *set, struct mr_match_groups *groups)
{
    struct mr_bind_error error;
    uint32_t dropped = 0;

    for (int thorough = 0; thorough < 2; thorough++) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < set->n; i++)
            if (!refused(&set->patterns[i], thorough))
                set->patterns[kept++] = set->patterns[i];
        dropped += set->n - kept;
        set->n = kept;
        if (!mr_match_compile(groups, set, &error))
            return dropped;
        mr_match_groups_free(groups);
    }
    fail_msg("%s", error.text);
    return dropped;
}

struct mr_regex_pattern mr_real_regex(const struct mr_match_pattern *pattern)
{
    uint32_t flags = pattern->flags;

    return (struct mr_regex_pattern){
        .regex = pattern->regex,
        .flags = (flags & HS_FLAG_CASELESS ? MR_REGEX_CASELESS : 0u) |
                 (flags & HS_FLAG_MULTILINE ? MR_REGEX_MULTILINE : 0u) |
                 (flags & HS_FLAG_DOTALL ? MR_REGEX_DOTALL : 0u) |
                 (flags & HS_FLAG_UTF8 ? MR_REGEX_UTF8 : 0u) |
                 (flags & HS_FLAG_UCP ? MR_REGEX_UCP : 0u) |
                 (pattern->ext.flags ? MR_REGEX_OTHER : 0u),
    };
}

/* ---- texts ---- */

struct texts {
    void (*take)(void *context, const uint8_t *bytes, uint32_t len);
    void *context;
    uint32_t n, every;
};

static void take_file(void *context, const char *path)
{
    static uint8_t bytes[1 << 20];
    struct texts *texts = context;
    FILE *file = texts->n++ % texts->every ? NULL : fopen(path, "rb");

    if (!file)
        return;
    texts->take(texts->context, bytes, (uint32_t)fread(bytes, 1, sizeof bytes, file));
    fclose(file);
}

/* Inputs of a megabyte, in pieces of the size of packets. */
static void take_pieces(void *context, const char *path)
{
    static uint8_t bytes[1 << 20];
    struct texts *texts = context;
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    size_t n = fread(bytes, 1, sizeof bytes, file);
    for (size_t at = 0; at < n; at += 1460)
        if (texts->n++ % texts->every == 0)
            texts->take(texts->context, bytes + at, (uint32_t)(n - at < 1460 ? n - at : 1460));
    fclose(file);
}

/* id="bytes": ends, or id:bytes; escapes as C has them. */
static void corpus_line(void *context, char *line)
{
    struct texts *texts = context;
    char *at = line + strspn(line, "0123456789");
    uint8_t *to = (uint8_t *)line;
    uint32_t len = 0;

    if (at == line || (*at != '=' && *at != ':'))
        return;
    char stop = *at == '=' ? '"' : '\0';
    for (at += stop ? 2 : 1; *at && *at != stop; at++) {
        unsigned value;
        if (*at != '\\' || !at[1]) {
            to[len++] = (uint8_t)*at;
        } else if (*++at == 'x' && sscanf(at + 1, "%2x", &value) == 1) {
            to[len++] = (uint8_t)value;
            at += 2;
        } else {
            to[len++] = *at == 'n' ? '\n' : *at == 'r' ? '\r' : *at == 't' ? '\t' : (uint8_t)*at;
        }
    }
    if (texts->n++ % texts->every == 0)
        texts->take(texts->context, to, len);
}

static void corpus_file(void *context, const char *path)
{
    each_line(path, corpus_line, context);
}

void mr_real_texts(enum mr_real_set which,
                   void (*take)(void *context, const uint8_t *bytes, uint32_t len), void *context)
{
    static const char *const mails[] = {"easy_ham", "hard_ham", "spam", "spam_2"};
    bool large = getenv("MR_LARGE") != NULL;
    struct texts texts = {take, context, 0, 1};
    char path[800];

    if (which == MR_REAL_HSCOLLIDER) {
        texts.every = large ? 1 : 3;
        each_file(folder("patterns/hyperscan_hscollider/tools/hscollider/test_cases/corpora"),
                  corpus_file, &texts);
        return;
    }
    for (size_t i = 0; which == MR_REAL_ANMLZOO && i < sizeof zoo / sizeof zoo[0]; i++) {
        texts.every = large ? 1 : 25;
        snprintf(path, sizeof path, "%s/%s/inputs", folder("patterns/anmlzoo"), zoo[i]);
        each_file(path, take_pieces, &texts);
    }
    texts.every = large ? 4 : 100;
    for (int i = 0; i < 4 && folder("spam/spamassassin"); i++) {
        snprintf(path, sizeof path, "%s/%s", folder("spam/spamassassin"), mails[i]);
        each_file(path, take_file, &texts);
    }
    texts.every = 1;
    if (folder("patterns/l7filter/testing/data"))
        each_file(folder("patterns/l7filter/testing/data"), take_file, &texts);
}

/* ---- by hand ---- */

const char *mr_real_by_hand(void)
{
    return "1:/abc/\n2:/abc/i\n3:/ab/\n4:/a.c/\n5:/a.c/s\n6:/^abc/\n7:/^abc/m\n8:/abc$/\n"
           "9:/abc$/m\n10:/abc\\z/\n11:/abc\\Z/\n12:/\\Aabc/\n13:/\\babc\\b/\n14:/\\Babc\\B/\n"
           "15:/foo\\n^bar/m\n16:/foo$\\nbar/m\n17:/foo$\\n/\n18:/foo\\n$/\n19:/foo\\n$/m\n"
           "20:/foo\\n\\z/\n21:/[^a]b/\n22:/[a-f]{3,5}x/\n23:/(ab|cd)+e/\n24:/(a|b)*c\\b/\n"
           "25:/x{2,}y?z/\n26:/\\d+\\s\\w+/\n27:/\\D\\S\\W/\n28:/\\ha\\v/\n29:/[[:alpha:]]1/\n"
           "30:/[[:^alpha:]]1/\n31:/[[:punct:]][[:space:]]/\n32:/[[:print:]]{2}[[:cntrl:]]/\n"
           "33:/[[:graph:][:blank:]]!/\n34:/\\x41\\x{42}\\103?C/\n35:/\\Qa.b\\E\\.c/\n"
           "36:/(?i)ab(?-i)c/\n37:/(?i:ab)c/\n38:/a(?i)b|c/\n39:/(?s).x./\n40:/(?m)^x$/\n"
           "41:/(?x) a b # c/\n42:/a(?#comment)b/\n43:/(?P<n>a)b|(?<m>c)d/\n44:/a{,3}/\n45:/a{x/\n"
           "46:/a{0}b/\n47:/(a{2}){3}/\n48:/(a?b){2,4}c/\n49:/(|a)b(|c)d/\n50:/a|^b|c$/\n"
           "51:/(^|x)a($|y)/\n52:/(^a|b\\b)c?d/\n53:/(\\b|x)foo(\\b|x)/\n54:/a\\b\\b\\nb/\n"
           "55:/(a|\\b)+c/\n56:/(foo\\b|bar)*baz/\n57:/\\Bx|y\\B/\n58:/a\\B-|_\\b /\n"
           "59:/\\xe9a/\n60:/[\\x80-\\xff]{2}/\n61:/\\xe9/i\n62:/[^\\x00-\\x7f]a/\n"
           "63:/\xc3\xa9/8\n64:/./8\n65:/[^a]b/8\n66:/a.b/8s\n67:/[\xc3\xa0-\xc3\xbf]x/8\n"
           "68:/\\x{20ac}k/8\n69:/k/i8\n70:/[ks]x/i8\n71:/[^k]x/i8\n72:/\\w\\W/8\n73:/\\s\\S/8\n"
           "74:/[\\x{80}-\\x{10ffff}]a/8\n75:/a[\\x{100}-\\x{ffff}]/8\n76:/\\bx\\b/8\n77:/\\Bx/8\n"
           "78:/x\\B/8\n79:/(*UTF8)a.c/\n80:/\\ca\\e\\a\\f\\t/\n81:/[\\b]a/\n82:/[]a]b/\n"
           "83:/[^]a]b/\n84:/[a-]b/\n85:/[-a]b/\n86:/[\\w-]:/\n87:/[a\\]b]c/\n88:/a+?b*?c??d/\n"
           "89:/a.{10}b/\n90:/a.{10}b/s\n91:/a.{30}b/s\n92:/[ab]{40}c/\n93:/x.*y.*z/\n"
           "94:/x.*y.*z/s\n95:/x[^y]*y[^z]*z/i\n96:/^a.*b$/ms\n97:/^[^:]+: "
           ".*$/m\n98:/\\r\\n\\r\\n/\n"
           "99:/\\$\\^\\.\\//\n100:/GET|POST|PUT/\n101:/GET|POST|PUT/i\n102:/(http|ftp)s?:\\/\\//"
           "i\n"
           "103:/ab\\n$/\n104:/ab$\\n?/\n105:/(a$)|(b\\n\\Z)/\n106:/\\n^a/m\n107:/a\\n^/m\n"
           "108:/^\\n/m\n109:/x\\n\\n$/\n110:/x$\\n\\n/m\n111:/AbC/\n112:/aBcDeF/\n"
           "113:/(?i)abcd(?-i)EFGH/\n114:/[Aa]bcd/\n115:/[Aa][Bb][Cc][Dd]/\n116:/\\N+x/\n"
           "117:/a\\Rb/\n118:/.*abc/\n119:/.+abc.*/s\n120:/(a|b|c|d|e)(f|g|h)ij/\n"
           "121:/a[^\\n]*\\n/\n122:/\\w+@\\w+\\.com\\b/i\n123:/^$/mV\n124:/a*/V\n125:/\\b/V\n"
           "126:/[a-z]{2}\\d{2}\\b/i\n127:/(.)(..)x/s\n128:/a(b(c(d)?)?)?e/\n"
           "129:/(aa|aab)(b|)c/\n130:/\\x00\\x01/\n131:/(?:a|b)(?:\\b|c)(?:d|$)/\n"
           "132:/(^foo|^bar)baz/m\n133:/foo(?:\\z|\\n)bar?/\n134:/foo(?:$|\\n)x?/\n"
           "135:/^\\w$/i8\n136:/[^\\w]/i8\n137:/^[[:upper:]0]$/i8\n138:/[^[:lower:]k]/i8\n"
           "139:/^[\\Ws]$/i8\n140:/[^J-L]/i8\n141:/^\\x4b$/i8\n142:/^[[:^graph:]]$/i8\n"
           "143:/^x(?#one){2}(?#two)$/\n144:/^a(?#x)(?#y)*b$/\n145:/a (?#c) {3}b/x\n"
           "146:/^[^\\x{80}-\\x{10ffff}]$/i8\n147:/^[\\W\\x{17f}]$/i8\n"
           "148:/^\\Qab\\E(?#c){2}$/\n149:/a\\Q\\E(?#c){2}$/\n150:/^\\Qab\\E {2}$/x\n";
}
