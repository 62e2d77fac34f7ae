/* millrace score: judges mails on disk. millrace model show: a model's card. */
#include "base/number.h"
#include "base/plain.h"
#include "cli/cli.h"
#include "models/spam_mails.h"
#include "models/spam_model.h"
#include "models/spam_text.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL "pipelines/spam/spamassassin.model" /* from the folder of the repository */

static const char score_help[] =
    "usage: millrace score [-m MODEL] PATH...\n"
    "\n"
    "Judges mails as f_spamScore and f_classify do. PATH is a file with a mail, a mailbox (mbox) "
    "or\n"
    "a folder of both. A line for each mail: score, spam or ham, name.\n"
    "\n"
    "  -m, --model MODEL  made by `millrace train spam`; else that of the SpamAssassin corpus,\n"
    "                     " MODEL " (below this folder or beside the program)\n"
    "  --repeat N         score each mail N times: for measurements\n"
    "\n"
    "exit codes: 0 fine, 1 wrong option, 2 the model is wrong, 3 a mail cannot be read\n";

static const char model_help[] = "usage: millrace model show FILE\n"
                                 "\n"
                                 "Checks a model and prints its card: what it was trained on, how "
                                 "it did, where its threshold is.\n"
                                 "\n"
                                 "exit codes: 0 fine, 1 wrong option, 2 the model is corrupt, 3 it "
                                 "cannot be read\n";

struct scorer {
    struct mr_spam_model *model;
    struct mr_mime_decoder *decoder;
    struct mr_spam_scratch *scratch;
    uint8_t *text;
    uint32_t repeat;
};

static enum mr_status each(void *user, const char *name, const uint8_t *mail, size_t len,
                           struct mr_error *error)
{
    struct scorer *s = user;
    struct mr_bayes_sums sums = {0, 0, 0, 0, 0};

    for (uint32_t i = 0; i < s->repeat; i++) {
        const struct mr_mime *decoded = mr_mime_decode(s->decoder, NULL, mail, len);
        uint32_t n = mr_spam_text(decoded, (enum mr_spam_fields)s->model->fields, s->text);
        mr_mime_release(s->decoder);
        mr_spam_sums(s->model, s->scratch, s->text, n, &sums);
    }
    double score = mr_spam_score(mr_spam_z(s->model, &sums));
    printf("%.17g %s ", score, score >= s->model->threshold ? "spam" : "ham");
    mr_print_plain(stdout, name, strlen(name));
    if (putchar('\n') < 0)
        return mr_fail(error, MR_ERR_OUTPUT, "%s", ""); /* main tells that */
    return MR_OK;
}

/* The model that comes with the program, if it is there. */
static void default_model(char *path, size_t room)
{
    static const char *const from[] = {"/", "/../", "/../../", "/../share/millrace/"};
    char program[2048];
    ssize_t n;

    snprintf(path, room, "%s", MODEL);
    if (!access(path, R_OK))
        return;
    n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0)
        return;
    program[n] = 0;
    *strrchr(program, '/') = 0;
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        snprintf(path, room, "%s%s%s", program, from[i], MODEL);
        if (!access(path, R_OK))
            return;
    }
    snprintf(path, room, "%s", MODEL);
}

static int score_all(struct scorer *s, const char *model, char **paths, int n)
{
    struct mr_error error = {MR_OK, ""};
    enum mr_status status = mr_spam_model_read(model, &s->model, &error);

    s->decoder = mr_mime_open(NULL);
    s->scratch = mr_spam_scratch_new();
    s->text = calloc(1, MR_SPAM_TEXT_ROOM);
    if (!status && (!s->decoder || !s->scratch || !s->text))
        status = mr_fail(&error, MR_ERR_MEMORY, "score: out of memory");
    for (int i = 0; i < n && !status; i++)
        status = mr_spam_mails(paths[i], each, s, &error);
    free(s->text);
    mr_spam_scratch_free(s->scratch);
    mr_mime_close(s->decoder);
    mr_spam_model_free(s->model);
    return status ? mr_cli_fail(&error) : MR_EXIT_OK;
}

int mr_cli_score(int argc, char **argv)
{
    static const struct option known[] = {{"model", required_argument, NULL, 'm'},
                                          {"repeat", required_argument, NULL, 'r'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct scorer scorer = {.repeat = 1};
    char model[4096];
    int option;
    uint64_t repeat;

    default_model(model, sizeof model);
    while ((option = getopt_long(argc, argv, "m:h", known, NULL)) != -1) {
        switch (option) {
        case 'm':
            snprintf(model, sizeof model, "%s", optarg);
            break;
        case 'r':
            if (!mr_read_number(optarg, 1, 1000000, &repeat)) {
                fprintf(stderr, "millrace: --repeat wants 1 to 1000000, not '%s'\n", optarg);
                return MR_EXIT_USAGE;
            }
            scorer.repeat = (uint32_t)repeat;
            break;
        case 'h':
            fputs(score_help, stdout);
            return MR_EXIT_OK;
        default:
            return MR_EXIT_USAGE;
        }
    }
    if (optind == argc) {
        fprintf(stderr, "millrace: score wants mails; millrace score --help\n");
        return MR_EXIT_USAGE;
    }
    return score_all(&scorer, model, argv + optind, argc - optind);
}

int mr_cli_model(int argc, char **argv)
{
    struct mr_spam_model *model;
    struct mr_error error = {MR_OK, ""};

    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        fputs(model_help, stdout);
        return MR_EXIT_OK;
    }
    if (argc != 3 || strcmp(argv[1], "show") != 0) {
        fprintf(stderr, "millrace: model wants `show FILE`; millrace model --help\n");
        return MR_EXIT_USAGE;
    }
    if (mr_spam_model_read(argv[2], &model, &error))
        return mr_cli_fail(&error);
    mr_spam_model_show(model, argv[2], stdout);
    mr_spam_model_free(model);
    return MR_EXIT_OK;
}
