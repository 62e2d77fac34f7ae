/* Compiling patterns to Hyperscan databases, and telling what Hyperscan says against them. */
#include "components/match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What hs_compile_ext_multi() wants, for one group. */
struct columns {
    const char **regexes;
    unsigned *flags, *ids;
    const struct hs_expr_ext **exts;
    uint32_t *patterns; /* index in the set */
    uint32_t n;
};

static enum mr_status fail(struct mr_bind_error *error, enum mr_status status, const char *text)
{
    error->argument = 1;
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
    free(columns->patterns);
}

static bool columns_new(struct columns *columns, uint32_t n)
{
    *columns = (struct columns){
        .regexes = malloc(n * sizeof *columns->regexes),
        .flags = malloc(n * sizeof *columns->flags),
        .ids = malloc(n * sizeof *columns->ids),
        .exts = malloc(n * sizeof *columns->exts),
        .patterns = malloc(n * sizeof *columns->patterns),
    };
    return columns->regexes && columns->flags && columns->ids && columns->exts && columns->patterns;
}

/* ---- errors ---- */

/* Where in the regex Hyperscan saw it: its sentences end in "... at index 12." */
static uint32_t position(const char *message)
{
    const char *at = strstr(message, " index ");
    return at ? (uint32_t)strtoul(at + strlen(" index "), NULL, 10) : 0;
}

static bool refused_alone(const struct mr_match_pattern *pattern)
{
    hs_expr_info_t *info = NULL;
    hs_compile_error_t *fault = NULL;
    hs_error_t status = hs_expression_ext_info(
        pattern->regex, pattern->flags, pattern->ext.flags ? &pattern->ext : NULL, &info, &fault);
    if (fault)
        hs_free_compile_error(fault);
    free(info);
    return status != HS_SUCCESS;
}

static void append(struct mr_bind_error *error, const char *text)
{
    size_t len = strlen(error->text);
    snprintf(error->text + len, sizeof error->text - len, "%s", text);
}

/* Who mends one pattern wants to know how many more are waiting: names their lines. */
static void tell_others(const struct mr_match_set *set, uint32_t first, struct mr_bind_error *error)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < set->n; i++) {
        char text[32];
        if (i == first || !refused_alone(&set->patterns[i]))
            continue;
        n++;
        snprintf(text, sizeof text, "%s%u", n == 1 ? "; refused as well: lines " : ", ",
                 set->patterns[i].line);
        if (n <= 8)
            append(error, text);
    }
    if (n > 8) {
        char text[48];
        snprintf(text, sizeof text, " and %u more", n - 8);
        append(error, text);
    }
}

static enum mr_status refused(const struct mr_match_set *set, const struct columns *columns,
                              const hs_compile_error_t *fault, struct mr_bind_error *error)
{
    const char *message = fault->message ? fault->message : "no reason given";
    int len = (int)strlen(message);

    while (len && (message[len - 1] == '.' || message[len - 1] == '\n'))
        len--;
    if (fault->expression < 0 || (uint32_t)fault->expression >= columns->n) {
        char text[256];
        snprintf(text, sizeof text, "Hyperscan refuses the patterns together: %.*s", len, message);
        return fail(error, MR_ERR_PROGRAM, text);
    }
    uint32_t which = columns->patterns[fault->expression];
    const struct mr_match_pattern *pattern = &set->patterns[which];
    const char *hint = strstr(message, "HS_FLAG_ALLOWEMPTY") ? " (flag V)" : "";
    mr_match_refuse(set, pattern, position(message), error, "Hyperscan refuses the pattern: %.*s%s",
                    len, message, hint);
    if (set->file)
        tell_others(set, which, error);
    return MR_ERR_PROGRAM;
}

/* ---- groups ---- */

/* Patterns of one group share this. */
static uint32_t group_of(const struct mr_match_pattern *pattern, enum mr_match_grouping grouping)
{
    return pattern->flags & (grouping == MR_MATCH_GROUP_FLAGS ? UINT32_MAX : HS_FLAG_UTF8);
}

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

enum mr_status mr_match_compile(struct mr_match_groups *groups, const struct mr_match_set *set,
                                enum mr_match_grouping grouping, struct mr_bind_error *error)
{
    struct columns columns = {.n = 0};
    bool *done = calloc(set->n, sizeof *done);
    enum mr_status status = MR_OK;

    *groups = (struct mr_match_groups){.groups = malloc(set->n * sizeof *groups->groups)};
    if (hs_valid_platform())
        status = fail(error, MR_ERR_START,
                      "Hyperscan needs a processor with SSSE3, and this one has none");
    else if (!columns_new(&columns, set->n) || !done || !groups->groups)
        status = fail(error, MR_ERR_MEMORY, "out of memory while patterns are compiled");
    for (uint32_t first = 0; !status && first < set->n; first++) {
        if (done[first])
            continue;
        columns.n = 0;
        for (uint32_t i = first; i < set->n; i++) {
            const struct mr_match_pattern *pattern = &set->patterns[i];
            if (done[i] || group_of(pattern, grouping) != group_of(&set->patterns[first], grouping))
                continue;
            done[i] = true;
            columns.regexes[columns.n] = pattern->regex;
            columns.flags[columns.n] = pattern->flags;
            columns.ids[columns.n] = i;
            columns.exts[columns.n] = pattern->ext.flags ? &pattern->ext : NULL;
            columns.patterns[columns.n++] = i;
        }
        status = compile_group(groups, set, &columns, error);
    }
    columns_free(&columns);
    free(done);
    return status;
}

void mr_match_groups_free(struct mr_match_groups *groups)
{
    for (uint32_t i = 0; i < groups->n; i++)
        hs_free_database(groups->groups[i].database);
    hs_free_scratch(groups->scratch);
    free(groups->groups);
    *groups = (struct mr_match_groups){.groups = NULL};
}
