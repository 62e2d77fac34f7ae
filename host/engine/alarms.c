/* Alarms: limits in packet time, syslog, commands. */
#include "engine/alarms.h"

#include "base/address.h"
#include "base/number.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S     1000000000ull
#define FACILITY     16 /* local0 */
#define SYSLOG_BYTES 16384
#define HOST_BYTES   256

/* A limit counts in windows that begin with the first alarm in them. */
struct limit {
    uint64_t start_ns;
    uint32_t told;
};

struct mr_alarms {
    const struct mr_plan *plan;
    struct limit *limits;     /* [n_alarms of the plan] */
    struct mr_command **told; /* [n_alarms]: what runs, NULL: nothing */
    struct mr_commands *commands;
    int syslog; /* -1: nobody wants it */
    struct sockaddr_un
        local; /* its address, where it is a socket of this machine; else AF_UNSPEC */
    char host[256];
};

static int connect_local(const char *path, struct sockaddr_un *address, struct mr_error *error)
{
    if (strlen(path) >= sizeof address->sun_path) {
        mr_fail(error, MR_ERR_USAGE,
                "--syslog %.80s...: the path of a socket has at most %zu bytes", path,
                sizeof address->sun_path - 1);
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, strlen(path));
    if (fd >= 0 && !connect(fd, mr_address(address), sizeof *address))
        return fd;
    mr_fail(error, MR_ERR_OUTPUT,
            "cannot reach syslog at %s: %s; start a syslog daemon, or give --syslog HOST:PORT",
            path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

enum mr_status mr_syslog_check(const char *where, struct mr_error *error)
{
    const char *colon = where ? strrchr(where, ':') : NULL;

    if (!where || where[0] == '/')
        return MR_OK;
    if (!colon || colon == where || colon - where >= HOST_BYTES)
        return mr_fail(error, MR_ERR_USAGE,
                       "--syslog %s: give HOST:PORT or the path of a socket, from / on", where);
    if (!mr_may_be_port(colon + 1))
        return mr_fail(error, MR_ERR_USAGE,
                       "--syslog %s: %s is no port; give a number from 1 to 65535 or the name of a "
                       "service",
                       where, colon[1] ? colon + 1 : "nothing");
    return MR_OK;
}

/* `where` was checked. */
static int connect_remote(const char *where, struct mr_error *error)
{
    struct addrinfo wanted = {.ai_socktype = SOCK_DGRAM}, *found = NULL;
    char host[HOST_BYTES];
    const char *colon = strrchr(where, ':');
    int fd = -1;

    bool brackets = where[0] == '[' && colon > where && colon[-1] == ']';
    snprintf(host, sizeof host, "%.*s", (int)(colon - where) - (brackets ? 2 : 0),
             where + (brackets ? 1 : 0));
    int failed = getaddrinfo(host, colon + 1, &wanted, &found);
    if (failed) {
        mr_fail(error, MR_ERR_USAGE, "--syslog %s: %s", where, gai_strerror(failed));
        return -1;
    }
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    if (fd < 0)
        mr_fail(error, MR_ERR_OUTPUT, "--syslog %s: %s", where, strerror(errno));
    return fd;
}

enum mr_status mr_alarms_open(struct mr_alarms **out, const struct mr_plan *plan,
                              const char *syslog, struct mr_commands_tie *tie, FILE *diagnostics,
                              struct mr_error *error)
{
    bool commands = false, syslogs = false;

    struct mr_alarms *a = calloc(1, sizeof *a);
    *out = a;
    if (!a)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for alarms");
    *a = (struct mr_alarms){.plan = plan, .syslog = -1};
    a->limits = calloc(plan->n_alarms + 1, sizeof *a->limits);
    a->told = calloc(plan->n_alarms + 1, sizeof *a->told);
    if (!a->limits || !a->told)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for alarms");
    if (gethostname(a->host, sizeof a->host - 1) || !a->host[0])
        strcpy(a->host, "-");
    for (uint32_t i = 0; i < plan->n_alarms; i++) {
        const struct mr_plan_alarm *alarm = &plan->alarms[i];
        syslogs |= alarm->syslog;
        if (!alarm->n_command)
            continue;
        commands = true;
        a->told[i] = mr_command_new(alarm->command, alarm->n_command, alarm->timeout_s);
        if (!a->told[i])
            return mr_fail(error, MR_ERR_MEMORY, "out of memory for commands of alarms");
    }
    if (syslogs) {
        const char *where = syslog ? syslog : "/dev/log";
        struct mr_error why = {.status = MR_ERR_OUTPUT};
        a->syslog =
            where[0] == '/' ? connect_local(where, &a->local, &why) : connect_remote(where, &why);
        if (a->syslog < 0)
            return mr_fail(error, why.status, "%s", why.text);
    }
    if (commands && mr_commands_new(&a->commands, tie, diagnostics))
        return mr_fail(error, MR_ERR_START, "cannot start the thread for commands of alarms");
    return MR_OK;
}

/* A daemon that was started anew has another socket under the same name. Over UDP "refused" is said
 * of an earlier datagram, in place of sending this one. */
static bool hand_over(const struct mr_alarms *a, const char *text, size_t len)
{
    if (send(a->syslog, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return true;
    if (errno != ECONNREFUSED && errno != ECONNRESET && errno != ENOTCONN)
        return false;
    if (a->local.sun_family == AF_UNIX &&
        connect(a->syslog, mr_address(&a->local), sizeof a->local))
        return false;
    return send(a->syslog, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* RFC 5424; severity 1 is an alert, 2 a warning, the others notices. The time is the packet's. */
static bool send_syslog(const struct mr_alarms *a, const struct mr_plan_alarm *alarm,
                        uint64_t time_ns, const char *event, size_t len)
{
    char text[SYSLOG_BYTES], stamp[32];
    time_t seconds = (time_t)(time_ns / NS_PER_S);
    int severity = alarm->severity == 1 ? 1 : alarm->severity == 2 ? 4 : 5;
    struct tm utc;

    gmtime_r(&seconds, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    int head = snprintf(text, sizeof text, "<%d>1 %s.%06uZ %s millrace %d alarm - ",
                        FACILITY * 8 + severity, stamp, (unsigned)(time_ns % NS_PER_S / 1000),
                        a->host, (int)getpid());
    if (len && event[len - 1] == '\n')
        len--;
    if (head < 0 || (size_t)head + len > sizeof text)
        return false;
    memcpy(text + head, event, len);
    return hand_over(a, text, (size_t)head + len);
}

static bool within(struct limit *limit, const struct mr_plan_alarm *alarm, uint64_t time_ns)
{
    uint64_t window_ns = alarm->limit_s * NS_PER_S;
    uint64_t away_ns =
        time_ns > limit->start_ns ? time_ns - limit->start_ns : limit->start_ns - time_ns;

    if (!alarm->limit)
        return true;
    if (!limit->told || away_ns >= window_ns) /* stamps may go back as well */
        *limit = (struct limit){.start_ns = time_ns};
    if (limit->told == alarm->limit)
        return false;
    limit->told++;
    return true;
}

bool mr_alarms_tell(struct mr_alarms *a, uint32_t index, uint64_t time_ns, const char *event,
                    size_t len, struct mr_metrics *metrics)
{
    const struct mr_plan_alarm *alarm = &a->plan->alarms[index];

    if (!within(&a->limits[index], alarm, time_ns)) {
        mr_metrics_add(metrics, MR_COUNT_ALARMS_LIMITED, 1);
        return false;
    }
    mr_metrics_add(metrics, MR_COUNT_ALARMS, 1);
    if (alarm->syslog && !send_syslog(a, alarm, time_ns, event, len))
        mr_metrics_add(metrics, MR_COUNT_ALARMS_SYSLOG_LOST, 1);
    if (a->told[index] && !mr_commands_push(a->commands, a->told[index], event, len))
        mr_metrics_add(metrics, MR_COUNT_ALARM_COMMANDS_LOST, 1);
    return true;
}

/* The alarm of a predicate of the same name, of a program of the same name; 0: none. */
static uint32_t alarm_in(const struct mr_plan *plan, const char *program, const char *predicate)
{
    for (uint32_t p = 0; p < plan->n_predicates; p++) {
        const struct mr_plan_predicate *other = &plan->predicates[p];
        if (other->leaves && other->alarm && !strcmp(other->name, predicate) &&
            !strcmp(plan->programs[other->program].name, program))
            return other->alarm;
    }
    return 0;
}

void mr_alarms_carry(struct mr_alarms *to, struct mr_alarms *from)
{
    if (from->commands) {
        struct mr_commands *idle = to->commands;
        to->commands = from->commands;
        from->commands = idle;
    }
    for (uint32_t p = 0; p < to->plan->n_predicates; p++) {
        const struct mr_plan_predicate *predicate = &to->plan->predicates[p];
        uint32_t other =
            predicate->leaves && predicate->alarm
                ? alarm_in(from->plan, to->plan->programs[predicate->program].name, predicate->name)
                : 0;
        if (other)
            to->limits[predicate->alarm - 1] = from->limits[other - 1];
    }
}

static void add_usage(struct mr_metrics *metrics, struct mr_commands_usage usage)
{
    mr_metrics_add(metrics, MR_COUNT_ALARM_COMMANDS_RUN, usage.run);
    mr_metrics_add(metrics, MR_COUNT_ALARM_COMMANDS_FAILED, usage.failed);
    mr_metrics_add(metrics, MR_COUNT_ALARM_COMMANDS_LOST, usage.lost);
}

void mr_alarms_count(const struct mr_alarms *a, struct mr_metrics *metrics)
{
    if (a && a->commands)
        add_usage(metrics, mr_commands_used(a->commands));
}

void mr_alarms_close(struct mr_alarms *a, struct mr_metrics *metrics)
{
    struct mr_commands_usage usage = {0};

    if (!a)
        return;
    mr_commands_free(a->commands, &usage);
    if (metrics)
        add_usage(metrics, usage);
    for (uint32_t i = 0; a->told && i < a->plan->n_alarms; i++)
        mr_command_release(a->told[i]);
    if (a->syslog >= 0)
        close(a->syslog);
    free(a->told);
    free(a->limits);
    free(a);
}
