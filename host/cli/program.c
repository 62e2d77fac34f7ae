/* millrace check, explain, components: what can be said of a program without traffic. */
#include "cli/cli.h"

#include "millrace/engine.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SETTINGS 1024

enum { OPT_SET = 256, OPT_DOT, OPT_SVG };

struct arguments {
    const char *program;
    const char *settings[MAX_SETTINGS];
    uint32_t n_settings;
    enum mr_explain_format format;
};

static const struct argp_option check_options[] = {
    {"set", OPT_SET, "NAME=VALUE", 0, "give a param of the program another value", 0}, {0}};

static const struct argp_option explain_options[] = {
    {"set", OPT_SET, "NAME=VALUE", 0, "give a param of the program another value", 0},
    {"dot", OPT_DOT, 0, 0, "as a graph for graphviz", 0},
    {"svg", OPT_SVG, 0, 0, "as a finished drawing", 0},
    {0}};

static error_t parse(int option, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (option) {
    case OPT_SET:
        if (!strchr(text, '='))
            argp_failure(state, MR_EXIT_USAGE, 0, "--set %s: write NAME=VALUE", text);
        if (a->n_settings == MAX_SETTINGS)
            argp_failure(state, MR_EXIT_USAGE, 0, "more than %d --set", MAX_SETTINGS);
        a->settings[a->n_settings++] = text;
        break;
    case OPT_DOT:
        a->format = MR_EXPLAIN_DOT;
        break;
    case OPT_SVG:
        a->format = MR_EXPLAIN_SVG;
        break;
    case ARGP_KEY_ARG:
        if (a->program)
            argp_failure(state, MR_EXIT_USAGE, 0, "'%s': one program at a time", text);
        a->program = text;
        break;
    case ARGP_KEY_END:
        if (!a->program)
            argp_failure(state, MR_EXIT_USAGE, 0, "no program given");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int flush_output(void)
{
    if (!fflush(stdout) && !ferror(stdout))
        return MR_EXIT_OK;
    fprintf(stderr, "millrace: standard output cannot be written: %s\n", strerror(errno));
    return MR_EXIT_OUTPUT;
}

int mr_cli_check(int argc, char **argv)
{
    static const struct argp argp = {
        .options = check_options,
        .parser = parse,
        .args_doc = "PROGRAM",
        .doc = "Reads a program and reports all its errors; exit code 2 when there are any."};
    struct arguments *a = calloc(1, sizeof *a);

    if (!a)
        return MR_EXIT_START;
    argp_err_exit_status = MR_EXIT_USAGE;
    argv[0] = (char[]){"millrace check"};
    argp_parse(&argp, argc, argv, 0, NULL, a);
    enum mr_status status = mr_program_check(a->program, a->settings, a->n_settings, stderr);
    int code = mr_cli_exit_code(status);
    if (!status) {
        printf("%s: no errors\n", a->program);
        code = flush_output();
    }
    free(a);
    return code;
}

int mr_cli_explain(int argc, char **argv)
{
    static const struct argp argp = {
        .options = explain_options,
        .parser = parse,
        .args_doc = "PROGRAM",
        .doc = "Shows what a program compiles to: stages, groups, keys, functions, back ends."};
    struct arguments *a = calloc(1, sizeof *a);

    if (!a)
        return MR_EXIT_START;
    argp_err_exit_status = MR_EXIT_USAGE;
    argv[0] = (char[]){"millrace explain"};
    argp_parse(&argp, argc, argv, 0, NULL, a);
    enum mr_status status =
        mr_program_explain(a->program, a->settings, a->n_settings, a->format, stdout, stderr);
    int code = status ? mr_cli_exit_code(status) : flush_output();
    free(a);
    return code;
}

int mr_cli_components(int argc, char **argv)
{
    (void)argv;
    if (argc > 1 && strcmp(argv[1], "--help")) {
        fprintf(stderr, "millrace components: takes no argument\n");
        return MR_EXIT_USAGE;
    }
    mr_components_print(stdout);
    return flush_output();
}
