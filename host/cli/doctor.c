/* millrace doctor: what is missing on this machine, and the command that mends it. */
#include "cli/cli.h"

#include "millrace/engine.h"

#include <stdio.h>
#include <string.h>

int mr_cli_doctor(int argc, char **argv)
{
    static const char help[] = "usage: millrace doctor [--live]\n"
                               "\n"
                               "Tells what this machine has for inspecting captures and for "
                               "capturing live, and the command\n"
                               "that mends what is missing. Changes nothing.\n"
                               "\n"
                               "Exit codes: 0 captures can be inspected, 5 they cannot; with "
                               "--live also 5 when nothing can\n"
                               "be captured from an interface.\n";
    bool want_live = argc == 2 && !strcmp(argv[1], "--live"), live = false;

    if (argc == 2 && !strcmp(argv[1], "--help")) {
        fputs(help, stdout);
        return MR_EXIT_OK;
    }
    if (argc > 1 && !want_live) {
        fprintf(stderr, "millrace doctor: '%s' is no option\n%s", argv[1], help);
        return MR_EXIT_USAGE;
    }
    enum mr_status status = mr_doctor_print(stdout, &live);
    if (status)
        return mr_cli_exit_code(status);
    return want_live && !live ? MR_EXIT_START : MR_EXIT_OK;
}
