/* millrace check, explain, components: what can be said of a program without traffic. */
#include "cli/cli.h"

#include "millrace/engine.h"

#include <argp.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LIST 1024

enum { OPT_SET = 256, OPT_DOT, OPT_SVG };

struct arguments {
    struct mr_engine_programs programs;
    const char *files[MAX_LIST], *settings[MAX_LIST];
    enum mr_explain_format format;
};

static const struct argp_option check_options[] = {
    {"set", OPT_SET, "[PROGRAM:]NAME=VALUE", 0,
     "give a param of all programs, or of one, another value (@FILE: a file)", 0},
    {0}};

static const struct argp_option explain_options[] = {
    {"set", OPT_SET, "[PROGRAM:]NAME=VALUE", 0,
     "give a param of all programs, or of one, another value (@FILE: a file)", 0},
    {"dot", OPT_DOT, 0, 0, "as a graph for graphviz", 0},
    {"svg", OPT_SVG, 0, 0, "as a finished drawing", 0},
    {0}};

static void add(struct argp_state *state, const char **list, uint32_t *n, const char *text)
{
    if (*n == MAX_LIST)
        argp_failure(state, MR_EXIT_USAGE, 0, "more than %d programs or --set", MAX_LIST);
    list[(*n)++] = text;
}

static error_t parse(int option, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (option) {
    case OPT_SET:
        if (!mr_cli_is_setting(text))
            argp_failure(state, MR_EXIT_USAGE, 0, "--set %s: write NAME=VALUE", text);
        add(state, a->settings, &a->programs.n_settings, text);
        break;
    case OPT_DOT:
        a->format = MR_EXPLAIN_DOT;
        break;
    case OPT_SVG:
        a->format = MR_EXPLAIN_SVG;
        break;
    case ARGP_KEY_ARG:
        add(state, a->files, &a->programs.n_files, text);
        break;
    case ARGP_KEY_END:
        if (!a->programs.n_files)
            argp_failure(state, MR_EXIT_USAGE, 0, "no program given");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int mr_cli_check(int argc, char **argv)
{
    static const struct argp argp = {
        .options = check_options,
        .parser = parse,
        .args_doc = "[NAME=]PROGRAM...",
        .doc = "Reads programs and reports all their errors; exit code 2 when there are any."};
    struct arguments *a = calloc(1, sizeof *a);

    if (!a)
        return MR_EXIT_START;
    argp_err_exit_status = MR_EXIT_USAGE;
    argv[0] = (char[]){"millrace check"};
    a->programs.files = a->files;
    a->programs.settings = a->settings;
    argp_parse(&argp, argc, argv, 0, NULL, a);
    enum mr_status status = mr_program_check(&a->programs, stderr);
    int code = mr_cli_exit_code(status);
    for (uint32_t i = 0; !status && i < a->programs.n_files; i++)
        printf("%s: no errors\n", a->files[i]);
    free(a);
    return code;
}

int mr_cli_explain(int argc, char **argv)
{
    static const struct argp argp = {
        .options = explain_options,
        .parser = parse,
        .args_doc = "[NAME=]PROGRAM...",
        .doc = "Shows what programs compile to: stages, groups, keys, functions, back ends, and "
               "what several programs share."};
    struct arguments *a = calloc(1, sizeof *a);

    if (!a)
        return MR_EXIT_START;
    argp_err_exit_status = MR_EXIT_USAGE;
    argv[0] = (char[]){"millrace explain"};
    a->programs.files = a->files;
    a->programs.settings = a->settings;
    argp_parse(&argp, argc, argv, 0, NULL, a);
    enum mr_status status = mr_program_explain(&a->programs, a->format, stdout, stderr);
    int code = mr_cli_exit_code(status);
    free(a);
    return code;
}

int mr_cli_components(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--help")) {
        puts("usage: millrace components\n\nLists the functions that programs can call.");
        return MR_EXIT_OK;
    }
    if (argc > 1) {
        fprintf(stderr, "millrace components: takes no argument\n");
        return MR_EXIT_USAGE;
    }
    mr_components_print(stdout);
    return MR_EXIT_OK;
}
