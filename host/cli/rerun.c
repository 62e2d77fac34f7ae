/* Starting runs, and reading what they leave. */
#include "cli/rerun.h"

#include "base/hash.h"
#include "base/number.h"
#include "base/open.h"
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MORE       8 /* options of a command for one run */
#define PATH_BYTES (MR_RERUN_FOLDER + 16)

/* Set by the signals that end a run. The run under way has perhaps not got them, and SIGHUP would
 * not end it: it has a file of events. */
static volatile sig_atomic_t stopped;
static volatile pid_t under_way; /* 0: none */

static void on_signal(int number)
{
    int error = errno;

    (void)number;
    stopped = 1;
    if (under_way > 0)
        kill(under_way, SIGTERM);
    errno = error;
}

bool mr_rerun_stopped(void)
{
    return stopped;
}

bool mr_rerun_help(int argc, char **argv, const char *text)
{
    if (argc < 2 || (strcmp(argv[1], "--help") && strcmp(argv[1], "-?")))
        return false;
    fputs(text, stdout);
    return true;
}

bool mr_rerun_whole(int code)
{
    if (stopped)
        fprintf(stderr, "millrace: stopped, so there is no table\n");
    return !code && !stopped;
}

static void path_of(const struct mr_rerun *rerun, const char *name, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%s", rerun->folder, name);
}

int mr_rerun_open(struct mr_rerun *rerun, const char *command)
{
    const char *temporary = getenv("TMPDIR");
    int len;

    mr_cli_catch_signals(on_signal);
    len = snprintf(rerun->folder, sizeof rerun->folder, "%s/millrace-%s-XXXXXX",
                   temporary && *temporary ? temporary : "/tmp", command);
    if (len < 0 || (size_t)len >= sizeof rerun->folder) {
        fprintf(stderr, "millrace: TMPDIR: a path of over %d bytes: name a shorter one\n",
                MR_RERUN_FOLDER - 32);
        rerun->folder[0] = '\0';
        return MR_EXIT_OUTPUT;
    }
    if (mkdtemp(rerun->folder))
        return MR_EXIT_OK;
    fprintf(stderr, "millrace: %s: cannot be made: %s\n", rerun->folder, strerror(errno));
    rerun->folder[0] = '\0';
    return MR_EXIT_OUTPUT;
}

void mr_rerun_close(struct mr_rerun *rerun)
{
    if (!rerun->folder[0])
        return;
    /* all that is in it: of a run that was killed also what it wrote beside its figures */
    DIR *folder = opendir(rerun->folder);
    for (struct dirent *file; folder && (file = readdir(folder));)
        unlinkat(dirfd(folder), file->d_name, 0);
    if (folder)
        closedir(folder);
    rmdir(rerun->folder);
}

/* ---- options ---- */

const char *mr_rerun_value(int argc, char **argv, int *i, const char *name)
{
    size_t len = strlen(name);

    if (strncmp(argv[*i], name, len) || (argv[*i][len] && argv[*i][len] != '='))
        return NULL;
    if (argv[*i][len])
        return argv[*i] + len + 1;
    return *i + 1 < argc ? argv[++*i] : "";
}

int mr_rerun_rounds(const char *value, uint32_t *rounds)
{
    uint64_t number;

    if (mr_read_number(value, 1, MR_RERUN_ROUNDS, &number)) {
        *rounds = (uint32_t)number;
        return MR_EXIT_OK;
    }
    fprintf(stderr, "millrace: --rounds %s: give a number from 1 to %d\n", value, MR_RERUN_ROUNDS);
    return MR_EXIT_USAGE;
}

/* One that is set here, or that would keep a run from ending: -l, -lDIR, -qi, --events=LIST. */
static bool is_ours(const char *option)
{
    static const char *const ours[] = {"--ordered",       "--json-summary", "--quiet",
                                       "--prometheus",    "--stats",        "--events",
                                       "--stats-interval"};
    const char *letter = option + 1;

    if (*option == '-' && *letter != '-') {
        letter += strspn(letter, "qv");
        return *letter == 'l' || *letter == 'i' || *letter == 'T';
    }
    for (size_t k = 0; k < sizeof ours / sizeof *ours; k++) {
        size_t len = strlen(ours[k]);
        if (!strncmp(option, ours[k], len) && (!option[len] || option[len] == '='))
            return true;
    }
    return false;
}

/* What the option names that a run reads, or NULL: with one of these letters, behind which a name
 * stands (-rFILE, -qr FILE), or with the long one. */
static const char *names(const struct mr_rerun *rerun, const char *option, const char *letters,
                         const char *text)
{
    const char *before = rerun->n_passed ? rerun->passed[rerun->n_passed - 1] : "";
    const char *last = before + 1 + (*before ? strspn(before + 1, "qv") : 0);
    const char *letter = option + 1 + (*option ? strspn(option + 1, "qv") : 0);
    size_t len = strlen(text);

    if (*before == '-' && *last && strchr(letters, *last) && !last[1])
        return option;
    if (len && !strcmp(before, text))
        return option;
    if (len && !strncmp(option, text, len) && option[len] == '=')
        return option + len + 1;
    return *option == '-' && *letter && strchr(letters, *letter) && letter[1] ? letter + 1 : NULL;
}

/* What was handed over open, and is no file: the second run would find nothing there. Who writes to
 * a pipe with a name may do so again. */
static bool is_read_once(const char *path)
{
    struct stat is;

    if (strncmp(path, "/dev/fd/", 8) != 0 && strcmp(path, "/dev/stdin") != 0)
        return !strcmp(path, "-");
    return !stat(path, &is) && !S_ISREG(is.st_mode);
}

static int read_once(const char *command, const char *what, const char *path)
{
    fprintf(stderr,
            "millrace: %s %s: that can be read once, and %s reads it several times; give a file\n",
            what, path, command);
    return MR_EXIT_USAGE;
}

int mr_rerun_pass(struct mr_rerun *rerun, const char *command, char *option)
{
    const char *capture = names(rerun, option, "r", "");
    const char *program = names(rerun, option, "pc", "--program");
    const char *file = program ? strrchr(program, '=') : NULL; /* behind NAME= */

    if (capture && is_read_once(capture))
        return read_once(command, "-r", capture);
    if (program && is_read_once(file ? file + 1 : program))
        return read_once(command, "-p", program);
    if (!capture && !program && is_ours(option)) {
        fprintf(stderr, "millrace: %s compares events itself and does not take %s\n", command,
                option);
        return MR_EXIT_USAGE;
    }
    if (rerun->n_passed == MR_RERUN_OPTIONS) {
        fprintf(stderr, "millrace: too many options from %s on\n", option);
        return MR_EXIT_USAGE;
    }
    rerun->passed[rerun->n_passed++] = option;
    return MR_EXIT_OK;
}

/* ---- one run ---- */

static int start(const struct mr_rerun *rerun, const char *const *more, uint32_t n_more)
{
    char figures[PATH_BYTES];
    char *argv[MR_RERUN_OPTIONS + MORE + 16];
    uint32_t n = 0;

    path_of(rerun, "figures", figures);
    argv[n++] = (char[]){"millrace"};
    argv[n++] = (char[]){"run"};
    for (uint32_t i = 0; i < rerun->n_passed; i++)
        argv[n++] = rerun->passed[i];
    for (uint32_t i = 0; i < n_more && i < MORE; i++)
        argv[n++] = (char *)(uintptr_t)more[i]; /* execv() changes none of them */
    char *const ours[] = {"--ordered",    "--quiet", "-l", (char *)(uintptr_t)rerun->folder,
                          "--prometheus", figures,   NULL};
    memcpy(argv + n, ours, sizeof ours);
    sigset_t all, before; /* who is told to end is known first, or not begun yet */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t child = stopped ? 0 : fork();
    if (!child && !stopped) {
        signal(SIGTERM, SIG_DFL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        execv("/proc/self/exe", argv);
        fprintf(stderr, "millrace: cannot run itself: %s\n", strerror(errno));
        _exit(MR_EXIT_START);
    }
    under_way = child;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (child <= 0)
        return child;
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    under_way = 0;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    return stopped ? MR_EXIT_OK : MR_EXIT_INTERNAL; /* before it could catch the signal */
}

static bool hash_file(const char *path, uint64_t *hash)
{
    static struct {
        uint64_t before;
        char bytes[1 << 16];
    } block;
    FILE *file = fopen(path, "re");
    size_t n;

    block.before = 0;
    while (file && (n = fread(block.bytes, 1, sizeof block.bytes, file)))
        block.before = mr_hash_public(&block, offsetof(__typeof__(block), bytes) + n);
    bool good = file && !ferror(file);
    if (file)
        fclose(file);
    *hash = block.before;
    return good;
}

static void take_line(const struct mr_rerun_figure *figures, size_t n, const char *line,
                      void *measure)
{
    const char *value = strrchr(line, ' ');
    size_t len = strcspn(line, "{ ");

    for (size_t i = 0; value && i < n; i++)
        if (strlen(figures[i].name) == len && !strncmp(line, figures[i].name, len) &&
            (!figures[i].label || strstr(line, figures[i].label)) &&
            (!figures[i].other || strstr(line, figures[i].other)))
            *(double *)(void *)((char *)measure + figures[i].offset) += strtod(value, NULL);
}

int mr_rerun_once(const struct mr_rerun *rerun, const char *const *more, uint32_t n_more,
                  const struct mr_rerun_figure *figures, size_t n_figures, void *measure,
                  size_t measure_bytes, uint64_t *hash)
{
    char path[PATH_BYTES], line[1024];
    int code = start(rerun, more, n_more);

    if (code || stopped)
        return code < 0 ? MR_EXIT_START : code;
    memset(measure, 0, measure_bytes);
    path_of(rerun, "figures", path);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        take_line(figures, n_figures, line, measure);
    if (file)
        fclose(file);
    path_of(rerun, "eve.json", path);
    if (file && hash_file(path, hash))
        return MR_EXIT_OK;
    fprintf(stderr, "millrace: %s: cannot be read\n", path);
    return MR_EXIT_OUTPUT;
}

/* ---- results ---- */

static int by_size(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

double mr_rerun_median(double *values, uint32_t n)
{
    qsort(values, n, sizeof *values, by_size);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

bool mr_rerun_to_output(const char *path)
{
    return path && !strcmp(path, "-");
}

int mr_rerun_write(const char *path, void (*print)(const void *context, FILE *to),
                   const void *context)
{
    if (mr_rerun_to_output(path)) {
        print(context, stdout);
        return MR_EXIT_OK;
    }
    FILE *to = mr_open_report(path);
    bool good = to;

    if (to) {
        print(context, to);
        good = !ferror(to);
        good = !fclose(to) && good;
    }
    if (!good)
        fprintf(stderr, "millrace: %s: cannot be written: %s\n", path, mr_open_text(errno));
    return good ? MR_EXIT_OK : MR_EXIT_OUTPUT;
}
