/* The yardstick: the SMTP job of pipelines/smtp_regex.analog written by hand with libnids and
 * Hyperscan, on one thread.
 *
 * libnids puts fragments and TCP streams together; this program follows commands and replies, cuts
 * what the client sends after an accepted DATA into mails (dots undoubled, up to CRLF.CRLF), gives
 * each to hs_scan() and prints a line for each that matches: flow, bytes, Message-ID. It does what
 * its author would do to be fast: no checksums, big tables, one reused buffer a connection,
 * memchr() for the one byte that matters in a mail, stop at the first match.
 *
 * usage: nids_hyperscan [--checksums] CAPTURE PATTERN
 */
#include <hs/hs.h>
#include <nids.h>

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum state {
    COMMANDS,
    ASKED, /* DATA was sent, its reply did not come yet */
    MAIL
};

struct connection {
    enum state state;
    unsigned unanswered; /* commands */
    char reply[4];       /* the first bytes of the server's current line */
    unsigned reply_len;
    char *bytes; /* the command line or the mail so far */
    size_t len, capacity;
    size_t scanned; /* what lies before holds no end of the mail and no doubled dot */
    struct connection *next;
};

/* libnids hands its callbacks no pointer of ours. */
static struct {
    hs_database_t *database;
    hs_scratch_t *scratch;
    struct connection *spare;
    uint64_t mails, mail_bytes, matches, streams;
} job;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "nids_hyperscan: %s: %s\n", what, why);
    exit(2);
}

static struct connection *connection_new(void)
{
    struct connection *connection = job.spare;

    if (connection) {
        job.spare = connection->next;
    } else {
        connection = calloc(1, sizeof *connection);
        if (!connection)
            die("connection", "out of memory");
    }
    connection->state = COMMANDS;
    connection->unanswered = 1; /* the greeting */
    connection->reply_len = 0;
    connection->len = connection->scanned = 0;
    return connection;
}

static void connection_free(struct connection *connection)
{
    connection->next = job.spare;
    job.spare = connection;
}

static int on_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                    void *found)
{
    (void)id, (void)from, (void)to, (void)flags;
    *(bool *)found = true;
    return 1; /* one match is enough */
}

static void print_match(const struct tuple4 *flow, const char *mail, size_t len)
{
    char client[INET_ADDRSTRLEN], server[INET_ADDRSTRLEN];
    const char *id = memmem(mail, len, "Message-ID: ", 12);
    const char *end = id ? memchr(id, '\r', len - (size_t)(id - mail)) : NULL;

    inet_ntop(AF_INET, &flow->saddr, client, sizeof client);
    inet_ntop(AF_INET, &flow->daddr, server, sizeof server);
    printf("%s:%u -> %s:%u %zu %.*s\n", client, flow->source, server, flow->dest, len,
           end ? (int)(end - id - 12) : 0, end ? id + 12 : "");
}

static void inspect(const struct tuple4 *flow, const char *mail, size_t len)
{
    bool found = false;
    hs_error_t error = hs_scan(job.database, mail, (unsigned)len, 0, job.scratch, on_match, &found);

    if (error != HS_SUCCESS && error != HS_SCAN_TERMINATED)
        die("hs_scan", "failed");
    job.mails++;
    job.mail_bytes += len;
    if (found) {
        job.matches++;
        print_match(flow, mail, len);
    }
}

/* Removes the first `count` bytes. */
static void drop_front(struct connection *connection, size_t count)
{
    connection->len -= count;
    memmove(connection->bytes, connection->bytes + count, connection->len);
    connection->scanned = 0;
}

/* Looks at what is new of a mail. Returns true when the mail was complete and is gone. */
static bool take_mail(struct connection *connection, const struct tuple4 *flow)
{
    char *bytes = connection->bytes;

    for (;;) {
        char *dot = memchr(bytes + connection->scanned, '.', connection->len - connection->scanned);
        if (!dot) {
            connection->scanned = connection->len;
            return false;
        }
        size_t at = (size_t)(dot - bytes);
        connection->scanned = at + 1;
        if (at && (at < 2 || dot[-1] != '\n' || dot[-2] != '\r'))
            continue;
        if (connection->len - at < 3) {
            connection->scanned = at; /* two more bytes decide */
            return false;
        }
        if (dot[1] == '\r' && dot[2] == '\n') {
            inspect(flow, bytes, at);
            connection->state = COMMANDS;
            connection->unanswered++;
            drop_front(connection, at + 3);
            return true;
        }
        memmove(dot, dot + 1, --connection->len - at);
    }
}

/* Takes a command line, if one is complete. */
static bool take_command(struct connection *connection)
{
    char *end = memchr(connection->bytes, '\n', connection->len);

    if (!end)
        return false;
    if (strncasecmp(connection->bytes, "DATA", 4) == 0)
        connection->state = ASKED;
    connection->unanswered++;
    drop_front(connection, (size_t)(end - connection->bytes) + 1);
    return true;
}

static void append(struct connection *connection, const char *bytes, size_t len)
{
    if (connection->capacity - connection->len < len) {
        size_t capacity = (connection->len + len) * 2;
        connection->bytes = realloc(connection->bytes, capacity);
        if (!connection->bytes)
            die("mail", "out of memory");
        connection->capacity = capacity;
    }
    memcpy(connection->bytes + connection->len, bytes, len);
    connection->len += len;
}

/* A reply ends with the line that has no '-' after its code. */
static void take_reply_line(struct connection *connection)
{
    if (connection->reply_len == 4 && connection->reply[3] == '-')
        return;
    if (connection->unanswered && --connection->unanswered)
        return;
    if (connection->state == ASKED)
        connection->state = memcmp(connection->reply, "354", 3) == 0 ? MAIL : COMMANDS;
}

static void take_replies(struct connection *connection, const char *bytes, size_t len)
{
    for (const char *at = bytes, *end = bytes + len; at < end; at++) {
        if (*at == '\n') {
            take_reply_line(connection);
            connection->reply_len = 0;
        } else if (connection->reply_len < 4) {
            connection->reply[connection->reply_len++] = *at;
        }
    }
}

static void take(struct connection *connection, const struct tuple4 *flow)
{
    bool more = true;

    while (more && connection->len && connection->state != ASKED)
        more = connection->state == MAIL ? take_mail(connection, flow) : take_command(connection);
}

static void on_tcp(struct tcp_stream *stream, void **user)
{
    struct connection *connection = *user;

    switch (stream->nids_state) {
    case NIDS_JUST_EST:
        if (stream->addr.dest == 25) {
            stream->server.collect = 1;
            stream->client.collect = 1;
            *user = connection_new();
            job.streams++;
        }
        break;
    case NIDS_DATA:
        if (stream->client.count_new)
            take_replies(connection, stream->client.data, (size_t)stream->client.count_new);
        if (stream->server.count_new)
            append(connection, stream->server.data, (size_t)stream->server.count_new);
        take(connection, &stream->addr);
        break;
    default:
        if (connection)
            connection_free(connection);
        *user = NULL;
        break;
    }
}

static void quiet(int type, int error, void *header, void *data)
{
    (void)type, (void)error, (void)header, (void)data;
}

static double between(const struct timespec *start, const struct timespec *end)
{
    return (double)(end->tv_sec - start->tv_sec) + (double)(end->tv_nsec - start->tv_nsec) / 1e9;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void compile(const char *pattern)
{
    hs_compile_error_t *error;

    if (hs_compile(pattern, HS_FLAG_SINGLEMATCH, HS_MODE_BLOCK, NULL, &job.database, &error) !=
        HS_SUCCESS)
        die(pattern, error->message);
    if (hs_alloc_scratch(job.database, &job.scratch) != HS_SUCCESS)
        die("hs_alloc_scratch", "out of memory");
}

int main(int argc, char **argv)
{
    struct nids_chksum_ctl no_checksums = {.action = NIDS_DONT_CHKSUM};
    struct timespec started, start, end;
    struct rusage before, after;

    clock_gettime(CLOCK_MONOTONIC, &started);
    bool checksums = argc == 4 && strcmp(argv[1], "--checksums") == 0;
    if (argc != 3 + checksums) {
        fprintf(stderr, "usage: nids_hyperscan [--checksums] CAPTURE PATTERN\n");
        return 1;
    }
    compile(argv[argc - 1]);
    nids_params.filename = argv[argc - 2];
    nids_params.n_tcp_streams = 65536;
    nids_params.n_hosts = 65536;
    nids_params.scan_num_hosts = 0;
    nids_params.syslog = quiet;
    if (!nids_init())
        die(nids_params.filename, nids_errbuf);
    if (!checksums)
        nids_register_chksum_ctl(&no_checksums, 1);
    nids_register_tcp(__extension__(void *) on_tcp);

    clock_gettime(CLOCK_MONOTONIC, &start);
    getrusage(RUSAGE_SELF, &before);
    nids_run();
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &end);
    getrusage(RUSAGE_SELF, &after);

    double cpu = seconds(after.ru_utime) - seconds(before.ru_utime) + seconds(after.ru_stime) -
                 seconds(before.ru_stime);
    fprintf(stderr,
            "{\"streams\": %" PRIu64 ", \"mails\": %" PRIu64 ", \"mail_bytes\": %" PRIu64
            ", \"matches\": %" PRIu64
            ", \"start_seconds\": %.6f, \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n",
            job.streams, job.mails, job.mail_bytes, job.matches, between(&started, &start),
            between(&start, &end), cpu);
    hs_free_scratch(job.scratch);
    hs_free_database(job.database);
    while (job.spare) {
        struct connection *connection = job.spare;
        job.spare = connection->next;
        free(connection->bytes);
        free(connection);
    }
    return 0;
}
