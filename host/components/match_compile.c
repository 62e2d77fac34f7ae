/* Compiling patterns to Hyperscan databases, and telling what Hyperscan says against them.
 *
 * One database for all flags but 8: one pass over a message beats several. (150 and 2,000 literals
 * with mixed flags over 32 MB of mails: 2.1 and 1.3 GB/s in one database, 1.0 and 0.2 in one for
 * each combination of flags; 617 PCREs of Snort's 0.12 and 0.13.) hs_compile_lit_multi() makes no
 * difference either (1, 150 and 2,000 literals: 8.3, 2.4 and 1.6 GB/s with both). */
#include "components/match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What hs_compile_ext_multi() wants, for one group. */
struct columns {
    const char **regexes;
    unsigned *flags, *ids; /* an id is the pattern's index in the set */
    const struct hs_expr_ext **exts;
    uint32_t n;
};

static enum mr_status fail(struct mr_bind_error *error, enum mr_status status, const char *text)
{
    error->argument = 0;
    error->offset = -1;
    snprintf(error->text, sizeof error->text, "%s", text);
    return status;
}

static void columns_free(struct columns *columns)
{
    free(columns->regexes);
    free(columns->flags);
    free(columns->ids);
    free(columns->exts);
}

static bool columns_new(struct columns *columns, uint32_t n)
{
    *columns = (struct columns){
        .regexes = malloc(n * sizeof *columns->regexes),
        .flags = malloc(n * sizeof *columns->flags),
        .ids = malloc(n * sizeof *columns->ids),
        .exts = malloc(n * sizeof *columns->exts),
    };
    return columns->regexes && columns->flags && columns->ids && columns->exts;
}

/* ---- errors ---- */

/* One refused pattern, and what Hyperscan says of it. */
struct refusal {
    uint32_t which;
    char message[256];
};

static void note(struct refusal *refusal, uint32_t which, const char *message)
{
    if (!message)
        message = "no reason given";
    size_t len = strlen(message);
    while (len && (message[len - 1] == '.' || message[len - 1] == '\n'))
        len--;
    refusal->which = which;
    snprintf(refusal->message, sizeof refusal->message, "%.*s%s", (int)len, message,
             strstr(message, "HS_FLAG_ALLOWEMPTY") ? " (flag V, as in /a*/V)" : "");
}

static hs_error_t compile_alone(const struct mr_match_pattern *pattern, hs_compile_error_t **fault)
{
    const struct hs_expr_ext *ext = pattern->ext.flags ? &pattern->ext : NULL;
    const unsigned id = 0;
    hs_database_t *database = NULL;
    hs_error_t status = hs_compile_ext_multi(&pattern->regex, &pattern->flags, &id, &ext, 1,
                                             HS_MODE_BLOCK, NULL, &database, fault);

    if (!status)
        hs_free_database(database);
    return status;
}

static bool refused_alone(const struct mr_match_pattern *pattern, uint32_t which,
                          struct refusal *refusal)
{
    hs_expr_info_t *info = NULL;
    hs_compile_error_t *fault = NULL;
    hs_error_t status = hs_expression_ext_info(
        pattern->regex, pattern->flags, pattern->ext.flags ? &pattern->ext : NULL, &info, &fault);

    bool may_be_empty = !status && !info->min_width && !(pattern->flags & HS_FLAG_ALLOWEMPTY);
    free(info);
    if (may_be_empty) /* whether it matches what is empty only compiling tells */
        status = compile_alone(pattern, &fault);
    if (status)
        note(refusal, which, fault ? fault->message : NULL);
    hs_free_compile_error(fault);
    return status != HS_SUCCESS;
}

/* Who mends one pattern of a file wants to know which others wait. Makes *refusal the first of
 * them in the file, and the rest `others`. */
static void find_others(const struct mr_match_set *set, struct refusal *refusal,
                        struct mr_match_others *others)
{
    const uint32_t given = refusal->which;

    for (uint32_t i = 0; i < set->n; i++) {
        struct refusal other;
        uint32_t line = set->patterns[i].line;
        if (i == given || !refused_alone(&set->patterns[i], i, &other))
            continue;
        if (line < set->patterns[refusal->which].line) {
            line = set->patterns[refusal->which].line;
            *refusal = other;
        }
        mr_match_others_add(others, line);
    }
}

void mr_match_others_refused(struct mr_match_others *others, const struct mr_match_set *set)
{
    struct refusal ignored;

    for (uint32_t i = 0; i < set->n; i++)
        if ((!i || set->patterns[i].id != set->patterns[i - 1].id) &&
            refused_alone(&set->patterns[i], i, &ignored))
            mr_match_others_add(others, set->patterns[i].line);
}

static enum mr_status refused(const struct mr_match_set *set, const struct columns *columns,
                              const hs_compile_error_t *fault, struct mr_bind_error *error)
{
    struct refusal refusal;
    struct mr_match_others others = {.n = 0};

    if (fault->expression < 0 || (uint32_t)fault->expression >= columns->n) {
        char text[320];
        note(&refusal, 0, fault->message);
        snprintf(text, sizeof text, "Hyperscan refuses the patterns together: %s", refusal.message);
        return fail(error, MR_ERR_PROGRAM, text);
    }
    note(&refusal, columns->ids[fault->expression], fault->message);
    if (set->file)
        find_others(set, &refusal, &others);
    const struct mr_match_pattern *pattern = &set->patterns[refusal.which];
    enum mr_status status =
        mr_match_refuse(set, pattern, mr_match_position(refusal.message, pattern->regex), error,
                        "Hyperscan refuses the pattern: %s", refusal.message);
    mr_match_others_tell(&others, error);
    return status;
}

/* ---- groups ---- */

static enum mr_status compile_group(struct mr_match_groups *groups, const struct mr_match_set *set,
                                    const struct columns *columns, struct mr_bind_error *error)
{
    struct mr_match_group *group = &groups->groups[groups->n];
    hs_compile_error_t *fault = NULL;
    enum mr_status status = MR_OK;

    group->utf8 = columns->flags[0] & HS_FLAG_UTF8;
    group->database = NULL;
    if (hs_compile_ext_multi(columns->regexes, columns->flags, columns->ids, columns->exts,
                             columns->n, HS_MODE_BLOCK, NULL, &group->database, &fault)) {
        status = fault ? refused(set, columns, fault, error)
                       : fail(error, MR_ERR_PROGRAM, "Hyperscan refuses the patterns");
        hs_free_compile_error(fault);
        return status;
    }
    groups->n++;
    if (hs_alloc_scratch(group->database, &groups->scratch))
        status = fail(error, MR_ERR_MEMORY, "out of memory while patterns are compiled");
    return status;
}

/* The patterns with flag 8, or those without it; of those in only[], unless it is NULL. */
static void select_patterns(struct columns *columns, const struct mr_match_set *set,
                            const uint8_t *only, bool utf8)
{
    columns->n = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        const struct mr_match_pattern *pattern = &set->patterns[i];
        if (!(pattern->flags & HS_FLAG_UTF8) == utf8 || (only && !only[i]))
            continue;
        columns->regexes[columns->n] = pattern->regex;
        columns->flags[columns->n] = pattern->flags;
        columns->ids[columns->n] = i;
        columns->exts[columns->n++] = pattern->ext.flags ? &pattern->ext : NULL;
    }
}

enum mr_status mr_match_compile_some(struct mr_match_groups *groups, const struct mr_match_set *set,
                                     const uint8_t *only, struct mr_bind_error *error)
{
    struct columns columns;
    enum mr_status status = MR_OK;

    *groups = (struct mr_match_groups){.n = 0};
    if (!columns_new(&columns, set->n))
        status = fail(error, MR_ERR_MEMORY, "out of memory while patterns are compiled");
    else if (hs_valid_platform())
        status = fail(error, MR_ERR_START,
                      "Hyperscan needs a processor with SSSE3, and this one has none");
    for (int utf8 = 0; !status && utf8 < 2; utf8++) {
        select_patterns(&columns, set, only, utf8);
        if (columns.n)
            status = compile_group(groups, set, &columns, error);
    }
    columns_free(&columns);
    return status;
}

enum mr_status mr_match_compile(struct mr_match_groups *groups, const struct mr_match_set *set,
                                struct mr_bind_error *error)
{
    return mr_match_compile_some(groups, set, NULL, error);
}

void mr_match_groups_free(struct mr_match_groups *groups)
{
    for (uint32_t i = 0; i < groups->n; i++)
        hs_free_database(groups->groups[i].database);
    hs_free_scratch(groups->scratch);
    *groups = (struct mr_match_groups){.n = 0};
}
