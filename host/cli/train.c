/* millrace train: makes a model. */
#include "base/number.h"
#include "cli/cli.h"
#include "models/spam_train.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATHS_MAX 64

static const char help_text[] =
    "usage: millrace train spam --ham PATH... --spam PATH... [-o MODEL] [OPTION...]\n"
    "\n"
    "Learns from mails of both kinds what spam looks like. PATH is a file with a mail, a mailbox\n"
    "(mbox) or a folder of both; mails whose bodies have the same words count once. The same "
    "mails\n"
    "give the same model. Without -o it only measures.\n"
    "\n"
    "  --ham PATH, --spam PATH   where the mails are; may be repeated\n"
    "  -o, --output MODEL        the model goes there\n"
    "  --cross-validate K        learn K times from all but a K-th of the mails and judge those\n"
    "                            (10); mails that are nearly alike stay together. 0: do not "
    "measure\n"
    "  --false-positives RATE    the threshold calls at most this share of ham spam (0.001)\n"
    "  --fields all|sender|none  what of the header section counts: all of it but dates and what\n"
    "                            filters and mail folders add (right for mails of one's own\n"
    "                            servers only); what the sender's program writes, as Subject,\n"
    "                            From, Content-Type (default); nothing\n"
    "  --min-mails N             leave out tokens of fewer mails (3)\n"
    "  --max-tokens N            at most so many tokens, those of most mails (200000; 0: no "
    "bound)\n"
    "  --rule both|logistic      the regression with Robinson-Fisher chi-square (default) or "
    "alone\n"
    "  --roc FILE                the curve: threshold, ham called spam, spam found\n"
    "  --judged FILE             each mail's fold, kind, score when it was not learned from, and "
    "name\n"
    "  --date YYYY-MM-DD         on the model's card, in place of today\n"
    "  --note TEXT               on the model's card: what the mails are, what the limits\n"
    "  -q, --quiet               no progress\n"
    "\n"
    "exit codes: 0 fine, 1 wrong option, 3 mails cannot be read, 4 the model cannot be written\n";

enum { HAM = 256, SPAM, FOLDS, RATE, FIELDS, MIN_MAILS, MAX_TOKENS, RULE, ROC, JUDGED, DATE, NOTE };

static const struct option known[] = {{"ham", required_argument, NULL, HAM},
                                      {"spam", required_argument, NULL, SPAM},
                                      {"output", required_argument, NULL, 'o'},
                                      {"cross-validate", required_argument, NULL, FOLDS},
                                      {"false-positives", required_argument, NULL, RATE},
                                      {"fields", required_argument, NULL, FIELDS},
                                      {"min-mails", required_argument, NULL, MIN_MAILS},
                                      {"max-tokens", required_argument, NULL, MAX_TOKENS},
                                      {"rule", required_argument, NULL, RULE},
                                      {"roc", required_argument, NULL, ROC},
                                      {"judged", required_argument, NULL, JUDGED},
                                      {"date", required_argument, NULL, DATE},
                                      {"note", required_argument, NULL, NOTE},
                                      {"quiet", no_argument, NULL, 'q'},
                                      {"help", no_argument, NULL, 'h'},
                                      {NULL, 0, NULL, 0}};

static bool refuse(const char *option, const char *wants, const char *text)
{
    fprintf(stderr, "millrace: --%s wants %s, not '%s'\n", option, wants, text);
    return false;
}

static bool number(const char *option, const char *text, uint32_t max, uint32_t *out)
{
    uint64_t value;
    char wants[64];

    snprintf(wants, sizeof wants, "a number up to %u", max);
    if (!mr_read_number(text, 0, max, &value))
        return refuse(option, wants, text);
    *out = (uint32_t)value;
    return true;
}

static bool path(const char **paths, uint32_t *n, const char *text)
{
    if (*n == PATHS_MAX) {
        fprintf(stderr, "millrace: train takes at most %d paths of a kind; use a folder\n",
                PATHS_MAX);
        return false;
    }
    paths[(*n)++] = text;
    return true;
}

static bool fields(const char *text, enum mr_spam_fields *out)
{
    static const char *const names[] = {"all", "sender", "none"};

    for (uint32_t i = 0; i < MR_SPAM_N_FIELDS; i++)
        if (!strcmp(text, names[i])) {
            *out = (enum mr_spam_fields)i;
            return true;
        }
    return refuse("fields", "all, sender or none", text);
}

static bool rate(const char *text, double *out)
{
    char *end;

    *out = strtod(text, &end);
    if (!strchr("0123456789.", *text) || end == text || *end || !(*out >= 0 && *out < 1))
        return refuse("false-positives", "a share below 1, such as 0.001", text);
    return true;
}

static bool rule(const char *text, bool *no_chi_square)
{
    *no_chi_square = !strcmp(text, "logistic");
    return *no_chi_square || !strcmp(text, "both") || refuse("rule", "both or logistic", text);
}

static bool date(const char *text, const char **out)
{
    *out = text;
    if (strlen(text) == 10 && strspn(text, "0123456789-") == 10)
        return true;
    return refuse("date", "YYYY-MM-DD", text);
}

static bool take(struct mr_spam_training *t, const char **ham, const char **spam, int option)
{
    switch (option) {
    case HAM:
        return path(ham, &t->n_ham, optarg);
    case SPAM:
        return path(spam, &t->n_spam, optarg);
    case 'o':
        t->output = optarg;
        return true;
    case FOLDS:
        return number("cross-validate", optarg, 255, &t->folds) &&
               (t->folds != 1 || refuse("cross-validate", "0, or 2 to 255", optarg));
    case RATE:
        return rate(optarg, &t->false_positives);
    case FIELDS:
        return fields(optarg, &t->fields);
    case MIN_MAILS:
        return number("min-mails", optarg, 1000000, &t->min_mails);
    case MAX_TOKENS:
        return number("max-tokens", optarg, 10000000, &t->max_tokens);
    case RULE:
        return rule(optarg, &t->no_chi_square);
    case ROC:
        t->roc = optarg;
        return true;
    case JUDGED:
        t->judged = optarg;
        return true;
    case DATE:
        return date(optarg, &t->date);
    case NOTE:
        t->note = optarg;
        return true;
    case 'q':
        t->progress = false;
        return true;
    default:
        return false;
    }
}

int mr_cli_train(int argc, char **argv)
{
    const char *ham[PATHS_MAX], *spam[PATHS_MAX];
    struct mr_spam_training t = {.ham = ham,
                                 .spam = spam,
                                 .folds = 10,
                                 .false_positives = 0.001,
                                 .fields = MR_SPAM_FIELDS_SENDER,
                                 .min_mails = 3,
                                 .max_tokens = 200000,
                                 .progress = isatty(STDERR_FILENO)};
    struct mr_error error = {MR_OK, ""};
    int option;

    while ((option = getopt_long(argc, argv, "o:qh", known, NULL)) != -1) {
        if (option == 'h') {
            fputs(help_text, stdout);
            return MR_EXIT_OK;
        }
        if (!take(&t, ham, spam, option))
            return MR_EXIT_USAGE;
    }
    if (optind + 1 != argc || strcmp(argv[optind], "spam") != 0) {
        fprintf(stderr, "millrace: train what? There is `train spam`; millrace train --help\n");
        return MR_EXIT_USAGE;
    }
    if (!t.n_ham || !t.n_spam) {
        fprintf(stderr, "millrace: train spam wants --ham PATH and --spam PATH\n");
        return MR_EXIT_USAGE;
    }
    if (mr_spam_train(&t, stdout, &error))
        return mr_cli_fail(&error);
    if (t.output)
        printf("model          %s\n", t.output);
    return MR_EXIT_OK;
}
