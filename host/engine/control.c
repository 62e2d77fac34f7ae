/* The control socket: one thread serves all clients. Each may send lines of JSON of bounded length
 * and is answered a line for each; who sends something else, or nothing for too long, is let go.
 * Commands that take their time are done on another thread (control_job.c), one after the other as
 * they came; who asked for it is told meanwhile how far it is. The control thread also runs the
 * commands of --at-packet, for which intake waits.
 */
#include "engine/control_job.h"
#include "engine/control_socket.h"

#include "base/clock.h"
#include "base/number.h"
#include "base/replace.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CLIENTS   8
#define REQUEST_BYTES (64u * 1024)
#define IDLE_NS       ((uint64_t)30 * 1000000000u)
#define ANSWER_NS     ((uint64_t)5 * 1000000000u)  /* an answer of which nothing is taken */
#define ALL_NS        ((uint64_t)60 * 1000000000u) /* one that is taken slowly */
#define MOST_UNSENT   ((uint64_t)128 << 20)   /* bytes of answers: nobody gets another one then */
#define FIRST_WORD_NS ((uint64_t)1000000000u) /* who waits is told so, then now and then */
#define NEXT_WORD_NS  ((uint64_t)5 * 1000000000u)
#define NO_CLIENT     UINT32_MAX

enum client_state {
    CLIENT_TALKS,
    CLIENT_WAITS, /* its first line is a command that takes its time: for its turn */
    CLIENT_RUNS   /* for the answer */
};

struct client {
    int fd; /* -1: nobody */
    enum client_state state;
    bool progress; /* wants to be told */
    uint64_t heard_ns, since_ns, told_ns, turn;
    size_t line_bytes; /* of that first line */
    char *out;         /* an answer that it has not taken yet: no line is looked at before */
    size_t out_bytes, out_at;
    uint64_t out_ns; /* since then */
    size_t len;
    char line[REQUEST_BYTES];
};

/* A command of --at-packet. */
enum at_state { AT_AHEAD, AT_DUE, AT_DONE };

struct at {
    uint64_t packet;
    const char *command;
    _Atomic uint32_t state;
};

struct mr_control {
    struct mr_engine *engine;
    pthread_t thread;
    bool started;
    struct mr_control_socket socket;
    int wake; /* -1: none */
    bool nap; /* accept nobody for a round */
    _Atomic uint32_t over;
    struct at *at;
    uint32_t n_at, next_at; /* the latter in the intake turn */
    struct mr_error at_error;
    struct mr_job *job;
    bool job_runs;
    uint32_t job_client; /* who asked for it; NO_CLIENT: that one is gone */
    uint64_t turns;
    struct client clients[MAX_CLIENTS];
};

static void wake(const struct mr_control *control)
{
    uint64_t one = 1;
    if (write(control->wake, &one, sizeof one) < 0)
        return; /* it is awake already */
}

/* ---- clients ---- */

/* What it waits for does not begin any more; what has begun is carried out. */
static void let_go(struct mr_control *control, struct client *client)
{
    if (client->state == CLIENT_RUNS)
        control->job_client = NO_CLIENT;
    close(client->fd);
    free(client->out);
    client->out = NULL;
    client->fd = -1;
    client->state = CLIENT_TALKS;
}

/* As many as there may be are here. What does not fit into an empty socket is no loss to us. */
static void refuse(int fd)
{
    char line[128];
    int len = snprintf(line, sizeof line,
                       "{\"ok\":false,\"status\":%d,\"error\":\"%d clients are connected already: "
                       "try again later\"}\n",
                       MR_ERR_START, MAX_CLIENTS);

    (void)!send(fd, line, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

static void accept_client(struct mr_control *control)
{
    int fd = accept4(control->socket.listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0) { /* no file is free: whoever waits goes on waiting, and must not keep us busy */
        control->nap = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        return;
    }
    for (uint32_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *client = &control->clients[i];
        if (client->fd >= 0)
            continue;
        client->fd = fd;
        client->state = CLIENT_TALKS;
        client->len = 0;
        client->heard_ns = mr_clock_ns();
        return;
    }
    refuse(fd);
}

static bool is_over(const struct mr_control *control)
{
    return atomic_load_explicit(&control->over, memory_order_acquire);
}

/* What its socket takes of the answer; false: it is gone. */
static bool hand_out(struct client *client)
{
    while (client->out_at < client->out_bytes) {
        ssize_t n = send(client->fd, client->out + client->out_at,
                         client->out_bytes - client->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        client->out_at += (size_t)n;
        client->heard_ns = mr_clock_ns();
    }
    free(client->out);
    client->out = NULL;
    return true;
}

/* Takes the text over, which is sent as the client takes it: nobody else waits for that. */
static bool answer(struct client *client, char *text)
{
    if (!text)
        return false;
    client->out = text;
    client->out_bytes = strlen(text);
    client->out_at = 0;
    client->heard_ns = client->out_ns = mr_clock_ns();
    return hand_out(client);
}

static void drop_line(struct client *client, size_t n)
{
    client->len -= n + 1;
    memmove(client->line, client->line + n + 1, client->len);
}

/* Whose next line can be looked at. */
static bool has_line(const struct client *client)
{
    return client->fd >= 0 && client->state == CLIENT_TALKS && !client->out &&
           memchr(client->line, '\n', client->len);
}

/* One line, if there is a whole one: then it is another client's turn. false: the client is to go.
 */
static bool serve_line(struct mr_control *control, struct client *client)
{
    if (has_line(client)) {
        size_t n = (size_t)((char *)memchr(client->line, '\n', client->len) - client->line);
        if (mr_command_takes_time(client->line, n, &client->progress)) {
            client->state = CLIENT_WAITS;
            client->line_bytes = n;
            client->turn = control->turns++;
            client->since_ns = mr_clock_ns();
            client->told_ns = 0;
            return true;
        }
        char *text = mr_command_request(control->engine, client->line, n);
        drop_line(client, n);
        return answer(client, text);
    }
    if (client->len < REQUEST_BYTES)
        return true;
    answer(client, strdup("{\"ok\":false,\"status\":-1,\"error\":\"a request has at most 65536 "
                          "bytes\"}\n"));
    return false;
}

static bool serve(struct mr_control *control, struct client *client)
{
    ssize_t n =
        recv(client->fd, client->line + client->len, REQUEST_BYTES - client->len, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    client->heard_ns = mr_clock_ns();
    if (n <= 0)
        return false;
    client->len += (size_t)n;
    return serve_line(control, client);
}

static bool has_room(const struct mr_control *control)
{
    uint64_t unsent = 0;

    for (uint32_t i = 0; i < MAX_CLIENTS; i++)
        unsent += control->clients[i].out ? control->clients[i].out_bytes : 0;
    return unsent <= MOST_UNSENT;
}

static void look_after(struct mr_control *control, struct client *client, short revents)
{
    bool good = true;

    if (client->out)
        good = !revents || hand_out(client);
    else if (!has_room(control))
        good = !(revents & (POLLHUP | POLLERR)), client->heard_ns = mr_clock_ns(); /* it waits */
    else if (has_line(client))
        good = serve_line(control, client);
    else if (revents && client->state == CLIENT_TALKS)
        good = serve(control, client);
    else
        good = !revents; /* it hung up */
    if (!good)
        let_go(control, client);
}

/* ---- commands that take their time ---- */

/* The next one in turn. */
static void begin_job(struct mr_control *control)
{
    uint32_t first = NO_CLIENT;

    for (uint32_t i = 0; i < MAX_CLIENTS && !control->job_runs; i++) {
        const struct client *client = &control->clients[i];
        if (client->fd >= 0 && client->state == CLIENT_WAITS &&
            (first == NO_CLIENT || client->turn < control->clients[first].turn))
            first = i;
    }
    if (first == NO_CLIENT)
        return;
    struct client *client = &control->clients[first];
    if (!mr_job_begin(control->job, client->line, client->line_bytes))
        return; /* no memory at the moment: tried again */
    client->state = CLIENT_RUNS;
    control->job_runs = true;
    control->job_client = first;
}

static void finish_job(struct mr_control *control)
{
    bool over = false;
    char *text = control->job_runs ? mr_job_answer(control->job, &over) : NULL;

    if (!over)
        return;
    control->job_runs = false;
    if (control->job_client != NO_CLIENT) {
        struct client *client = &control->clients[control->job_client];
        client->state = CLIENT_TALKS;
        drop_line(client, client->line_bytes);
        if (!answer(client, text))
            let_go(control, client);
    } else {
        free(text);
    }
}

/* To who waits and wants to know. What does not fit into the socket is no loss. */
static void tell_progress(struct mr_control *control)
{
    uint64_t now_ns = mr_clock_ns();

    for (uint32_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *client = &control->clients[i];
        char line[160];
        if (client->fd < 0 || client->state == CLIENT_TALKS || !client->progress ||
            now_ns - client->since_ns < FIRST_WORD_NS || now_ns - client->told_ns < NEXT_WORD_NS)
            continue;
        const char *step =
            atomic_load_explicit(&control->engine->change_step, memory_order_relaxed);
        int len = snprintf(line, sizeof line, "{\"progress\":\"%s\",\"seconds\":%llu}\n",
                           client->state == CLIENT_WAITS ? "waiting until another command is done"
                           : step                        ? step
                                                         : "at it",
                           (unsigned long long)((now_ns - client->since_ns) / 1000000000u));
        client->told_ns = now_ns;
        (void)!send(client->fd, line, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

/* ---- --at-packet ---- */

static void run_at(struct mr_control *control, struct at *at)
{
    char *copy = strdup(at->command), *rest = NULL;
    const char *words[MR_MAX_WORDS];
    uint32_t n = 0;
    enum mr_status status = MR_ERR_MEMORY;

    for (char *word = copy ? strtok_r(copy, " ", &rest) : NULL; word && n < MR_MAX_WORDS;
         word = strtok_r(NULL, " ", &rest))
        words[n++] = word;
    char *text = mr_command_run(control->engine, words, n, &status);
    if (status) {
        fprintf(stderr, "millrace: --at-packet %s: %s", at->command, text ? text : "\n");
        if (!control->at_error.status)
            mr_fail(&control->at_error, status, "--at-packet %s failed", at->command);
    }
    free(text);
    free(copy);
    atomic_store_explicit(&at->state, AT_DONE, memory_order_release);
}

uint32_t mr_control_burst(struct mr_engine *engine, uint64_t packets, uint32_t burst)
{
    struct mr_control *control = engine->control;

    while (control && control->next_at < control->n_at) {
        struct at *at = &control->at[control->next_at];
        uint32_t state = atomic_load_explicit(&at->state, memory_order_acquire);
        if (state == AT_AHEAD && packets + 1 < at->packet)
            return at->packet - 1 - packets < burst ? (uint32_t)(at->packet - 1 - packets) : burst;
        if (state == AT_AHEAD) {
            atomic_store_explicit(&at->state, AT_DUE, memory_order_release);
            wake(control);
        }
        if (state != AT_DONE)
            return 0;
        control->next_at++;
    }
    return burst;
}

enum mr_status mr_control_result(struct mr_engine *engine, struct mr_error *error)
{
    const struct mr_control *control = engine->control;

    if (!control)
        return MR_OK;
    if (control->at_error.status) {
        if (error)
            *error = control->at_error;
        return control->at_error.status;
    }
    if (atomic_load_explicit(&engine->stop_asked, memory_order_relaxed))
        return MR_OK;
    for (uint32_t i = 0; i < control->n_at; i++)
        if (atomic_load_explicit(&control->at[i].state, memory_order_acquire) == AT_AHEAD)
            return mr_fail(error, MR_ERR_USAGE,
                           "--at-packet %llu:%s was not run: the captures have fewer packets",
                           (unsigned long long)control->at[i].packet, control->at[i].command);
    return MR_OK;
}

static enum mr_status read_at(struct mr_control *control, struct mr_error *error)
{
    const struct mr_engine_config *config = &control->engine->config;

    control->at = calloc(config->n_at_packets + 1, sizeof *control->at);
    if (!control->at)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory");
    for (uint32_t i = 0; i < config->n_at_packets; i++) {
        struct at *at = &control->at[control->n_at++];
        const char *end = mr_read_digits(config->at_packets[i], UINT64_MAX, &at->packet);
        at->command = end ? end + 1 : "";
        if (!end || *end != ':' || !at->packet || (i && at->packet < control->at[i - 1].packet))
            return mr_fail(error, MR_ERR_USAGE,
                           "--at-packet %s: write NUMBER:COMMAND, numbers ascending",
                           config->at_packets[i]);
    }
    return MR_OK;
}

/* ---- the thread ---- */

static void look_round(struct mr_control *control)
{
    bool nap = control->nap;
    struct pollfd polls[MAX_CLIENTS + 2] = {
        {.fd = control->wake, .events = POLLIN},
        {.fd = nap ? -1 : control->socket.listener, .events = POLLIN}};
    uint64_t count, now_ns;

    bool busy = control->job_runs, ready = false, room = has_room(control);

    control->nap = false;
    for (uint32_t i = 0; i < MAX_CLIENTS; i++) {
        const struct client *client = &control->clients[i];
        bool talks = client->state == CLIENT_TALKS;
        polls[i + 2] = (struct pollfd){.fd = client->fd,
                                       .events = client->out     ? POLLOUT
                                                 : talks && room ? POLLIN
                                                                 : 0};
        busy = busy || (client->fd >= 0 && !talks);
        ready = ready || (room && has_line(client));
    }
    if (poll(polls, MAX_CLIENTS + 2, ready ? 0 : nap || busy ? 100 : 1000) < 0)
        return;
    now_ns = mr_clock_ns(); /* what this thread does itself is no client's idleness */
    if (polls[0].revents && read(control->wake, &count, sizeof count) < 0)
        return;
    for (uint32_t i = 0; i < control->n_at; i++)
        if (atomic_load_explicit(&control->at[i].state, memory_order_acquire) == AT_DUE)
            run_at(control, &control->at[i]);
    for (uint32_t i = 0; i < MAX_CLIENTS; i++) {
        if (polls[i + 2].fd >= 0)
            look_after(control, &control->clients[i], polls[i + 2].revents);
    }
    if (polls[1].revents)
        accept_client(control);
    finish_job(control);
    begin_job(control);
    tell_progress(control);
    for (uint32_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *client = &control->clients[i];
        bool idle = now_ns > client->heard_ns &&
                    now_ns - client->heard_ns > (client->out ? ANSWER_NS : IDLE_NS);
        bool slow = client->out && now_ns > client->out_ns && now_ns - client->out_ns > ALL_NS;
        if (client->fd >= 0 && client->state == CLIENT_TALKS && (idle || slow))
            let_go(control, client);
    }
}

static void *control_main(void *argument)
{
    struct mr_control *control = argument;

    while (!is_over(control))
        look_round(control);
    return NULL;
}

/* ---- opening and closing ---- */

enum mr_status mr_control_open(struct mr_engine *engine, struct mr_error *error)
{
    struct mr_control *control;
    enum mr_status status;

    if (!engine->config.control && !engine->config.n_at_packets)
        return MR_OK;
    engine->control = control = calloc(1, sizeof *control);
    if (!control)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory");
    control->engine = engine;
    control->socket.listener = -1;
    for (uint32_t i = 0; i < MAX_CLIENTS; i++)
        control->clients[i].fd = -1;
    control->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (control->wake < 0)
        return mr_fail(error, MR_ERR_START, "--control: %s", strerror(errno));
    if ((status = read_at(control, error)))
        return status;
    const char *path = engine->config.control;
    const char *coming[] = {engine->config.extract, mr_writer_folder(engine->config.log_folder),
                            NULL};
    if (engine->config.plan_only)
        return path ? mr_control_socket_check(path, mr_coming(coming), error) : MR_OK;
    if (path && (status = mr_control_socket_open(&control->socket, path, MAX_CLIENTS, error)))
        return status;
    if ((status = mr_job_new(&control->job, engine, control->wake)))
        return mr_fail(error, status, "cannot start the thread of the control socket's commands");
    if (pthread_create(&control->thread, NULL, control_main, control))
        return mr_fail(error, MR_ERR_START, "cannot start the thread of the control socket");
    control->started = true;
    return MR_OK;
}

void mr_control_close(struct mr_engine *engine)
{
    struct mr_control *control = engine->control;

    if (!control)
        return;
    atomic_store_explicit(&control->over, 1, memory_order_release);
    if (control->started) {
        wake(control);
        pthread_join(control->thread, NULL);
    }
    if (control->job) { /* what has begun is carried out, and told */
        mr_job_end(control->job);
        finish_job(control);
        mr_job_free(control->job);
    }
    for (uint32_t i = 0; i < MAX_CLIENTS; i++)
        if (control->clients[i].fd >= 0)
            let_go(control, &control->clients[i]);
    mr_control_socket_close(&control->socket, engine->config.control);
    if (control->wake >= 0)
        close(control->wake);
    free(control->at);
    free(control);
    engine->control = NULL;
}
