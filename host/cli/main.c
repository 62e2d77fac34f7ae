/* millrace: finds the command and hands over. */
#include "cli/cli.h"

#include "base/plain.h"
#include "millrace/version.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help_text[] =
    "millrace " MR_VERSION ": stateful traffic inspection, described in ANALOG\n"
    "\n"
    "usage: millrace COMMAND [OPTION...]\n"
    "\n"
    "  run         inspect traffic with one or several programs\n"
    "              millrace run -p pipelines/smtp_regex.analog -r mails.pcap -l logs\n"
    "  scale       run one job with several numbers of workers and compare\n"
    "              millrace scale -p FILE -r CAPTURE --workers 1..4\n"
    "  compare     run one job on the CPU only and with a GPU, and say what is worth it\n"
    "              millrace compare -p FILE -r CAPTURE\n"
    "  check       read programs and report all their errors\n"
    "              millrace check my.analog\n"
    "  explain     show what programs compile to (text, --dot, --svg)\n"
    "              millrace explain my.analog --svg > my.svg\n"
    "  ctl         change the programs of a running engine, or ask it (run --control PATH)\n"
    "              millrace ctl --control PATH load|replace|unload|reload|list|stats|\n"
    "              tables|reopen|stop\n"
    "  components  list the functions that programs can call\n"
    "  doctor      tell what this machine lacks for capturing, and the command that mends it\n"
    "  patterns    say how the patterns of a file would be decided on a GPU\n"
    "  train       learn from mails what spam looks like\n"
    "              millrace train spam --ham DIR --spam DIR -o my.model\n"
    "  model       show what a model was trained on: millrace model show FILE\n"
    "  score       judge mails on disk: millrace score -m my.model FILE...\n"
    "  version     print the version\n"
    "  help        print this; help COMMAND, or COMMAND --help: the options of a command\n"
    "\n"
    "Exit codes: 0 fine, 1 wrong option, 2 error in a program or pattern, 3 a capture cannot be\n"
    "read (what was read is inspected and written), 4 events cannot be written, 5 the engine\n"
    "cannot start on this machine, 6 internal error.\n";

int mr_cli_exit_code(enum mr_status status)
{
    switch (status) {
    case MR_OK:
    case MR_EOF:
        return MR_EXIT_OK;
    case MR_ERR_USAGE:
        return MR_EXIT_USAGE;
    case MR_ERR_PROGRAM:
        return MR_EXIT_PROGRAM;
    case MR_ERR_INPUT:
        return MR_EXIT_INPUT;
    case MR_ERR_OUTPUT:
        return MR_EXIT_OUTPUT;
    case MR_ERR_START:
    case MR_ERR_MEMORY:
    case MR_ERR_LIMIT:
        return MR_EXIT_START;
    case MR_AGAIN:
    case MR_ERR_INTERNAL:
        break;
    }
    return MR_EXIT_INTERNAL;
}

int mr_cli_fail(const struct mr_error *error)
{
    if (error->text[0]) { /* names of files may be anybody's */
        fputs("millrace: ", stderr);
        mr_print_plain(stderr, error->text, strlen(error->text));
        fputc('\n', stderr);
    }
    return mr_cli_exit_code(error->status);
}

bool mr_cli_is_setting(const char *text)
{
    const char *equals = strchr(text, '='), *colon = strchr(text, ':');

    if (!equals)
        return false;
    if (!colon || colon > equals)
        return equals > text;
    return colon > text && equals > colon + 1;
}

void mr_cli_catch_signals(void (*handler)(int number))
{
    struct sigaction action = {.sa_handler = handler}, before;

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (!sigaction(SIGHUP, NULL, &before) && before.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
}

static int version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("millrace " MR_VERSION);
    return MR_EXIT_OK;
}

static int help(int argc, char **argv);

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"run", mr_cli_run},
    {"scale", mr_cli_scale},
    {"compare", mr_cli_compare},
    {"check", mr_cli_check},
    {"explain", mr_cli_explain},
    {"ctl", mr_cli_ctl},
    {"components", mr_cli_components},
    {"doctor", mr_cli_doctor},
    {"patterns", mr_cli_patterns},
    {"train", mr_cli_train},
    {"model", mr_cli_model},
    {"score", mr_cli_score},
    {"version", version},
    {"help", help},
    {"--version", version},
    {"-V", version},
    {"--help", help},
    {"-h", help},
    {"--list-functions", mr_cli_components},
};

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(name, commands[i].name))
            return &commands[i];
    return NULL;
}

static int no_command(const char *name)
{
    fprintf(stderr,
            "millrace: there is no command '%s'; use run, scale, compare, check, explain, ctl, "
            "components, doctor, patterns, train, model, score, version or help\n",
            name);
    return MR_EXIT_USAGE;
}

/* `help COMMAND` is `COMMAND --help`. */
static int help(int argc, char **argv)
{
    const struct command *about = argc > 1 ? find(argv[1]) : NULL;
    char option[] = "--help";

    if (about && about->run != help)
        return about->run(2, (char *[]){argv[1], option, NULL});
    if (argc > 1 && !about)
        return no_command(argv[1]);
    fputs(help_text, stdout);
    return MR_EXIT_OK;
}

/* Whatever a command wrote to standard output, also by way of argp, which ends the process itself:
 * it arrived, or the exit code says so. */
static void end_output(void)
{
    bool lost = ferror(stdout);

    if (!fflush(stdout) && !lost)
        return;
    fprintf(stderr, "millrace: standard output cannot be written%s%s\n", lost ? "" : ": ",
            lost ? "" : strerror(errno));
    _exit(MR_EXIT_OUTPUT);
}

int main(int argc, char **argv)
{
    atexit(end_output);
    signal(SIGXFSZ,
           SIG_IGN); /* a limit on files (ulimit -f) fails the write, as a full disk does */
    if (argc < 2) {
        fputs(help_text, stderr);
        return MR_EXIT_USAGE;
    }
    const struct command *command = find(argv[1]);
    if (command && argc == 3 && !strcmp(argv[2], "-h"))
        return help(2, (char *[]){argv[0], argv[1], NULL});
    if (command && argc == 3 && (!strcmp(argv[2], "-V") || !strcmp(argv[2], "--version")))
        return version(argc, argv);
    if (command)
        return command->run(argc - 1, argv + 1);
    if (argv[1][0] == '-')
        return mr_cli_run(argc, argv); /* `millrace -r FILE ...` runs, as Suricata's users expect */
    return no_command(argv[1]);
}
