/* millrace patterns: what a file of patterns compiles to. */
#include "engine/patterns.h"
#include "base/number.h"
#include "cli/cli.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char help_text[] =
    "usage: millrace patterns FILE [OPTION...]\n"
    "\n"
    "Compiles a file of patterns (lines id:/regex/flags, as f_match(MAIL, @FILE) takes them) with\n"
    "Hyperscan and for devices, and says how each pattern would be decided on a device, and why.\n"
    "\n"
    "  --list            a line for each pattern\n"
    "  --skip-refused    go on without the patterns that Hyperscan refuses, and name them\n"
    "  --check N         draw N texts from each pattern, search them with Hyperscan and with the\n"
    "                    device, and compare\n"
    "  --device NAME     for the check: cpu, gpu, auto, emulated; auto by default: a GPU if there "
    "is\n"
    "                    one\n"
    "  --threads N       that compile; all cores by default\n"
    "\n"
    "exit codes: 0 fine, 1 wrong option, 2 a pattern is wrong, or the device and Hyperscan "
    "differ\n";

static int number(const char *option, const char *text, uint32_t *out)
{
    uint64_t value;

    if (!mr_read_number(text, 0, 1000000, &value)) {
        fprintf(stderr, "millrace: --%s wants a number up to 1000000, not '%s'\n", option, text);
        return 0;
    }
    *out = (uint32_t)value;
    return 1;
}

int mr_cli_patterns(int argc, char **argv)
{
    static const struct option known[] = {{"list", no_argument, NULL, 'l'},
                                          {"skip-refused", no_argument, NULL, 's'},
                                          {"check", required_argument, NULL, 'c'},
                                          {"device", required_argument, NULL, 'd'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct mr_patterns_options options = {.device = "auto"};
    struct mr_error error = {0};
    int option;

    while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (option) {
        case 'l':
            options.list = true;
            break;
        case 's':
            options.skip_refused = true;
            break;
        case 'c':
            if (!number("check", optarg, &options.samples))
                return MR_EXIT_USAGE;
            break;
        case 't':
            if (!number("threads", optarg, &options.threads))
                return MR_EXIT_USAGE;
            break;
        case 'd':
            options.device = optarg;
            break;
        case 'h':
            fputs(help_text, stdout);
            return MR_EXIT_OK;
        default:
            return MR_EXIT_USAGE;
        }
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "millrace: patterns wants one file; millrace patterns --help\n");
        return MR_EXIT_USAGE;
    }
    options.file = argv[optind];
    return mr_patterns_report(&options, stdout, &error) ? mr_cli_fail(&error) : MR_EXIT_OK;
}
