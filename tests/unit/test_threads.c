// layers: engine ports
// wrap: pthread_create mr_events_worker_open
/* Threads that the machine refuses, and workers that cannot open what they need: the run ends with
 * an error at once, though its input never does. DPDK starts once a process: each case is a child.
 */
#include "millrace/engine.h"
#include "millrace/status.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define QUEUES   3
#define WORKERS  3
#define MOST_S   120 /* a run that hangs is killed */
#define NO_ERROR 100 /* a child's exit code: all went well, though something failed */
#define CREATED  101 /* the engine could not even be made */

static _Atomic int fail_thread; /* counts down to the one that fails */
static int fail_worker = -1;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
enum mr_status __real_mr_events_worker_open(void *user, uint32_t worker, void **state);
enum mr_status __wrap_mr_events_worker_open(void *user, uint32_t worker, void **state);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    if (atomic_fetch_sub(&fail_thread, 1) == 1)
        return EAGAIN;
    return __real_pthread_create(thread, attributes, run, argument);
}

enum mr_status __wrap_mr_events_worker_open(void *user, uint32_t worker, void **state)
{
    if ((int)worker == fail_worker) {
        *state = NULL;
        return MR_ERR_MEMORY;
    }
    return __real_mr_events_worker_open(user, worker, state);
}

/* The status (positive) of a run in which something fails, or one of the codes above. */
static int run(int thread, int worker, char *text, size_t size)
{
    const char *program = MR_SOURCE_DIR "/pipelines/flow_count.analog", *port = "net_null0,size=64";
    struct mr_engine_config config = {
        .programs = {.files = &program, .n_files = 1},
        .ports = &port,
        .n_ports = 1,
        .queues = QUEUES,
        .workers = WORKERS,
        .max_flows = 1024,
        .memory_bytes = 64 << 20,
        .event_types = "program",
        .diagnostics = fopen("/dev/null", "we"),
    };
    struct mr_engine *engine = NULL;
    struct mr_error error = {0};

    alarm(MOST_S);
    if (mr_engine_new(&engine, &config, &error)) {
        snprintf(text, size, "%s", error.text);
        return CREATED;
    }
    fail_thread = thread;
    fail_worker = worker;
    enum mr_status status = mr_engine_run(engine, &error);
    snprintf(text, size, "%s", error.text);
    mr_engine_free(engine);
    fclose(config.diagnostics);
    return status ? -(int)status : NO_ERROR;
}

static void check(int thread, int worker, enum mr_status expected, const char *says)
{
    char text[MR_ERROR_TEXT_BYTES] = "";
    int status = 0, pipes[2];

    assert_int_equal(pipe(pipes), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        int code = run(thread, worker, text, sizeof text);
        ssize_t written = write(pipes[1], text, sizeof text);
        _exit(written < 0 ? 1 : code);
    }
    close(pipes[1]);
    ssize_t n = read(pipes[0], text, sizeof text - 1);
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status))
        fail_msg("thread %d, worker %d: killed by signal %d (%d: it hung)", thread, worker,
                 WTERMSIG(status), SIGALRM);
    if (n < 0 || WEXITSTATUS(status) != -(int)expected || !strstr(text, says))
        fail_msg("thread %d, worker %d: status %d, \"%s\"", thread, worker, WEXITSTATUS(status),
                 text);
}

static void capture_threads(void **state)
{
    (void)state;
    for (int i = 1; i <= QUEUES; i++)
        check(i, -1, MR_ERR_START, "cannot start a capture thread for net_null0");
}

static void workers(void **state)
{
    (void)state;
    for (int i = 2; i <= WORKERS; i++) {
        char says[64];
        snprintf(says, sizeof says, "cannot start worker %d of %d", i, WORKERS);
        check(QUEUES + i - 1, -1, MR_ERR_START, says);
    }
}

static void workers_that_cannot_open(void **state)
{
    (void)state;
    for (int i = 0; i < WORKERS; i++) {
        char says[64];
        snprintf(says, sizeof says, "worker %d could not start: ", i + 1);
        check(0, i, MR_ERR_MEMORY, says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capture_threads),
        cmocka_unit_test(workers),
        cmocka_unit_test(workers_that_cannot_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
