/* millrace ctl: one command for a running engine, over its control socket. */
#include "cli/cli.h"

#include "base/address.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/plain.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <yajl/yajl_gen.h>
#include <yajl/yajl_tree.h>

#define DEFAULT_PATH "/run/millrace.sock"
#define MAX_WORDS    4
#define SECOND_NS    ((uint64_t)1000000000u)
#define MAX_ANSWER   ((size_t)256 * 1024 * 1024)

struct arguments {
    const char *path;
    const char *words[MAX_WORDS];
    uint32_t n_words, timeout_s;
    bool verbose;
};

static const struct argp_option options[] = {
    {"control", 'c', "PATH", 0,
     "the socket of the engine (run --control PATH); else $MILLRACE_CONTROL, else " DEFAULT_PATH,
     0},
    {"timeout", 't', "SECONDS", 0,
     "give up when the engine says nothing for so long (30); 0: never. While it is at a command it "
     "says so every five seconds",
     0},
    {"verbose", 'v', NULL, 0, "tell what the engine is at, also where that is no terminal", 0},
    {0}};

static error_t parse(int option, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    uint64_t seconds;

    switch (option) {
    case 'c':
        a->path = text;
        break;
    case 't':
        if (!mr_read_number(text, 0, 86400, &seconds))
            argp_failure(state, MR_EXIT_USAGE, 0, "--timeout %s: give 0 to 86400 seconds", text);
        a->timeout_s = (uint32_t)seconds;
        break;
    case 'v':
        a->verbose = true;
        break;
    case ARGP_KEY_ARG:
        if (a->n_words == MAX_WORDS)
            argp_failure(state, MR_EXIT_USAGE, 0, "'%s': too many words for a command", text);
        a->words[a->n_words++] = text;
        break;
    case ARGP_KEY_END:
        if (!a->n_words)
            argp_failure(
                state, MR_EXIT_USAGE, 0,
                "no command given; use load, replace, unload, reload, list, stats, tables, "
                "reopen or stop");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int fail(int code, const char *path, const char *why, const char *what_to_do)
{
    fprintf(stderr, "millrace ctl: %s: %s; %s\n", path, why, what_to_do);
    return code;
}

/* The engine may run in another folder: it gets whole paths. NULL: no memory. */
static char *whole_path(const char *word)
{
    const char *equals = strchr(word, '='), *slash = strchr(word, '/');
    const char *file = equals && (!slash || equals < slash) ? equals + 1 : word;
    char *absolute = realpath(file, NULL), *all = NULL;

    if (!absolute) /* the engine will say what is wrong with it */
        return strdup(word);
    if (asprintf(&all, "%.*s%s", (int)(file - word), word, absolute) < 0)
        all = NULL;
    free(absolute);
    return all;
}

/* The request as one line; NULL: it is no text, or there is no memory. */
static char *make_request(const struct arguments *a)
{
    yajl_gen g = yajl_gen_alloc(NULL);
    const unsigned char *text;
    size_t len;
    char *line = NULL;
    bool good = g != NULL;

    if (!g)
        return NULL;
    yajl_gen_config(g, yajl_gen_validate_utf8, 1);
    yajl_gen_map_open(g);
    yajl_gen_string(g, (const unsigned char *)"command", 7);
    yajl_gen_array_open(g);
    for (uint32_t i = 0; i < a->n_words; i++) {
        bool is_file = i + 1 == a->n_words && i > 0 &&
                       (!strcmp(a->words[0], "load") || !strcmp(a->words[0], "replace"));
        char *word = is_file ? whole_path(a->words[i]) : strdup(a->words[i]);
        good = good && word &&
               yajl_gen_string(g, (const unsigned char *)word, strlen(word)) == yajl_gen_status_ok;
        free(word);
    }
    yajl_gen_array_close(g);
    yajl_gen_string(g, (const unsigned char *)"progress", 8);
    yajl_gen_bool(g, 1);
    yajl_gen_map_close(g);
    yajl_gen_get_buf(g, &text, &len);
    if (good && asprintf(&line, "%.*s\n", (int)len, (const char *)text) < 0)
        line = NULL;
    yajl_gen_free(g);
    return line;
}

static bool send_all(int fd, const char *text)
{
    size_t len = strlen(text);

    while (len) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

/* A member of an answer; NULL: it is not there, or of another type. */
static yajl_val member(yajl_val tree, const char *name, yajl_type type)
{
    const char *path[] = {name, NULL};
    return tree ? yajl_tree_get(tree, path, type) : NULL;
}

/* Tells of a line that says how far the engine is; false: it is another one. */
static bool show_progress(const char *line, bool verbose)
{
    yajl_val tree = yajl_tree_parse(line, NULL, 0);
    yajl_val step = member(tree, "progress", yajl_t_string);
    yajl_val seconds = member(tree, "seconds", yajl_t_number);

    if (step && verbose)
        fprintf(stderr, "millrace ctl: %s, %lld s\n", step->u.string,
                seconds ? (long long)seconds->u.number.i : 0);
    yajl_tree_free(tree);
    return step != NULL;
}

/* For as long as connect() and answers may take; 0: for ever. */
static bool be_patient(int fd, uint64_t ns)
{
    struct timeval patience = {(time_t)(ns / SECOND_NS), (suseconds_t)(ns % SECOND_NS / 1000)};

    return !setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) &&
           !setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

/* Connects, or errno says why not. Who was suspended meanwhile has the rest of the time. */
static bool reach(int fd, const struct sockaddr_un *address, uint64_t most_ns)
{
    uint64_t until_ns = mr_clock_ns() + most_ns, left_ns = most_ns;

    while (be_patient(fd, left_ns)) {
        if (!connect(fd, mr_address(address), sizeof *address))
            return be_patient(fd, most_ns);
        if (errno != EINTR)
            return false;
        uint64_t now_ns = mr_clock_ns();
        if (most_ns && now_ns + 1000 > until_ns) {
            errno = EAGAIN;
            return false;
        }
        left_ns = most_ns ? until_ns - now_ns : 0;
    }
    return false;
}

/* The first line that is an answer; NULL: it did not come, errno says why (0: the other side hung
 * up). */
static char *receive_answer(int fd, bool verbose)
{
    size_t len = 0, room = 65536;
    char *line = malloc(room), *end;

    while (line) {
        ssize_t n = recv(fd, line + len, room - len - 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        errno = n ? errno : 0;
        if (n <= 0)
            break;
        size_t known = len;
        len += (size_t)n;
        line[len] = '\0';
        while ((end = memchr(line + known, '\n', len - known))) {
            *end = '\0';
            if (!show_progress(line, verbose))
                return line;
            known = 0;
            len -= (size_t)(end + 1 - line);
            memmove(line, end + 1, len + 1);
        }
        if (len + 1 < room)
            continue;
        char *grown = room < MAX_ANSWER ? realloc(line, room * 2) : NULL;
        if (!grown)
            break;
        line = grown;
        room *= 2;
    }
    free(line);
    return NULL;
}

/* An engine that refuses us answers before it has heard what we want, and hangs up. */
static char *exchange(int fd, const char *request, bool verbose)
{
    if (!send_all(fd, request) && errno != EPIPE && errno != ECONNRESET)
        return NULL;
    return receive_answer(fd, verbose);
}

/* Copies a value of the answer, as it stands there, to standard output. */
static void show_value(yajl_val value, yajl_gen g)
{
    switch (value->type) {
    case yajl_t_string:
        yajl_gen_string(g, (const unsigned char *)value->u.string, strlen(value->u.string));
        break;
    case yajl_t_number:
        yajl_gen_number(g, value->u.number.r, strlen(value->u.number.r));
        break;
    case yajl_t_object:
        yajl_gen_map_open(g);
        for (size_t i = 0; i < value->u.object.len; i++) {
            const char *key = value->u.object.keys[i];
            yajl_gen_string(g, (const unsigned char *)key, strlen(key));
            show_value(value->u.object.values[i], g);
        }
        yajl_gen_map_close(g);
        break;
    case yajl_t_array:
        yajl_gen_array_open(g);
        for (size_t i = 0; i < value->u.array.len; i++)
            show_value(value->u.array.values[i], g);
        yajl_gen_array_close(g);
        break;
    case yajl_t_null:
        yajl_gen_null(g);
        break;
    default:
        yajl_gen_bool(g, value->type == yajl_t_true);
    }
}

static int show_result(yajl_val result)
{
    yajl_gen g = yajl_gen_alloc(NULL);
    const unsigned char *text;
    size_t len;

    if (!g)
        return MR_EXIT_START;
    yajl_gen_config(g, yajl_gen_beautify, 1);
    if (result && result->u.object.len) {
        show_value(result, g);
        yajl_gen_get_buf(g, &text, &len);
        mr_print_json(stdout, (const char *)text, len); /* tables have what came from the wire */
    }
    yajl_gen_free(g);
    return MR_EXIT_OK;
}

static int show(const char *line, const char *path)
{
    yajl_val tree = yajl_tree_parse(line, NULL, 0);
    yajl_val good = member(tree, "ok", yajl_t_any);
    int code;

    if (!good) {
        yajl_tree_free(tree);
        return fail(MR_EXIT_START, path, "what answers is no engine",
                    "give the path of run --control");
    }
    yajl_val messages = member(tree, "diagnostics", yajl_t_string);
    if (messages)
        fprintf(stderr, "%s", messages->u.string);
    if (YAJL_IS_TRUE(good)) {
        code = show_result(member(tree, "result", yajl_t_object));
    } else {
        yajl_val why = member(tree, "error", yajl_t_string);
        yajl_val number = member(tree, "status", yajl_t_number);
        enum mr_status status = number ? (enum mr_status)number->u.number.i : MR_ERR_INTERNAL;
        fprintf(stderr, "millrace ctl: %s\n", why ? why->u.string : "no reason given");
        code = status == MR_EOF ? MR_EXIT_START : mr_cli_exit_code(status);
    }
    yajl_tree_free(tree);
    return code;
}

static int ask(const struct arguments *a)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = a->path, *is_it_there = "is an engine running with --control and this path?";
    char *request, *line = NULL;
    int code, fd = -1;

    if (!*path || strlen(path) >= sizeof address.sun_path)
        return fail(MR_EXIT_USAGE, path, "no path of a socket", "give --control PATH");
    memcpy(address.sun_path, path, strlen(path));
    request = make_request(a);
    if (!request)
        return fail(MR_EXIT_USAGE, path, "the command is no UTF-8 text", "use other names");
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !reach(fd, &address, a->timeout_s * SECOND_NS))
        code = errno == EAGAIN /* as many wait as may, or it is stopped */
                   ? fail(MR_EXIT_START, path, "the engine takes no clients", "try again later")
                   : fail(MR_EXIT_START, path, strerror(errno),
                          errno == EACCES || errno == EPERM
                              ? "it is for whoever runs the engine (and root)"
                              : is_it_there);
    else if (!(line = exchange(fd, request, a->verbose)))
        code =
            errno == EAGAIN || errno == EWOULDBLOCK
                ? fail(MR_EXIT_START, path, "the engine says nothing",
                       "it may carry the command out all the same: `millrace ctl list` will tell")
                : fail(MR_EXIT_START, path, "the engine went away without an answer", is_it_there);
    else
        code = show(line, path);
    if (fd >= 0)
        close(fd);
    free(line);
    free(request);
    return code;
}

int mr_cli_ctl(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "COMMAND [WORD...]",
        .doc = "Changes the programs of a running engine, or asks it.\v"
               "load [NAME=]FILE      one more program\n"
               "replace NAME FILE     another text for a program\n"
               "unload NAME           a program goes\n"
               "reload                all programs and their pattern files again\n"
               "list                  the programs\n"
               "stats                 counters, as JSON\n"
               "tables [PROGRAM]      what their tables hold, as JSON\n"
               "reopen                eve.json was renamed: events go to a new one\n"
               "stop                  ends the run: what was read is inspected and written\n\n"
               "The new programs are compiled while the old ones run, and take over between two "
               "bursts of packets. If there is an error, nothing changes; exit code 2 when it is "
               "one in a program."};
    struct arguments a = {.path = getenv("MILLRACE_CONTROL"), .timeout_s = 30};

    a.verbose = isatty(STDERR_FILENO);
    if (!a.path)
        a.path = DEFAULT_PATH;
    argp_err_exit_status = MR_EXIT_USAGE;
    argv[0] = (char[]){"millrace ctl"};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    return ask(&a);
}
