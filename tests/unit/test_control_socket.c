/* The control socket in its folder: whoever finds it can connect to it, and one engine has it. */
// layers: base engine
#include "engine/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], path[128];

static int make(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/mr_socket_XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/control", folder);
    return 0;
}

/* Nothing is left but what a test has put there and removes. */
static int clean(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int new_socket(int type)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

static struct sockaddr_un address(void)
{
    struct sockaddr_un there = {.sun_family = AF_UNIX};
    memcpy(there.sun_path, path, strlen(path));
    return there;
}

/* 0 where somebody listens, or why not. What listens here accepts nobody, and may have enough. */
static int try_connect(void)
{
    struct sockaddr_un there = address();
    int fd = new_socket(SOCK_STREAM | SOCK_NONBLOCK), why = 0;

    if (connect(fd, (const struct sockaddr *)(const void *)&there, sizeof there))
        why = errno;
    close(fd);
    return why == EAGAIN ? 0 : why;
}

/* Bound there, and listening or not. */
static int occupy(int type, bool listens)
{
    struct sockaddr_un there = address();
    int fd = new_socket(type);

    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&there, sizeof there), 0);
    if (listens)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* ---- nobody finds one that does not listen ---- */

static _Atomic uint32_t phase; /* odd: it is being opened, or is open; 0: the end */
static _Atomic uint32_t seen, met, refused;

static void *client(void *unused)
{
    (void)unused;
    for (uint32_t now; (now = atomic_load(&phase)); atomic_store(&seen, now)) {
        int why = now & 1 ? try_connect() : ENOENT;
        if (atomic_load(&phase) != now)
            continue;
        if (!why)
            atomic_store(&met, now);
        else if (why != ENOENT)
            atomic_fetch_add(&refused, 1);
    }
    return NULL;
}

static void who_finds_it_can_connect(void **state)
{
    (void)state;
    struct mr_control_socket socket;
    struct mr_error error;
    pthread_t thread;
    uint32_t now = 2;

    atomic_store(&phase, now);
    assert_int_equal(pthread_create(&thread, NULL, client, NULL), 0);
    for (uint32_t i = 0; i < 500; i++) {
        atomic_store(&phase, ++now);
        assert_int_equal(mr_control_socket_open(&socket, path, 8, &error), MR_OK);
        while (!(i % 100) && atomic_load(&met) != now)
            sched_yield();
        atomic_store(&phase, ++now);
        while (atomic_load(&seen) != now)
            sched_yield();
        mr_control_socket_close(&socket, path);
    }
    atomic_store(&phase, 0);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&refused), 0);
}

/* ---- one engine has it ---- */

/* An engine that starts when `begin` ends, and ends when `end` does. 1: it had the socket, and then
 * nobody else; 0: it was refused. */
static int engine(int begin, int end)
{
    struct mr_control_socket socket;
    struct mr_error error = {MR_OK, ""};
    struct stat there;
    char byte;

    if (read(begin, &byte, 1) != 0)
        return 9;
    if (mr_control_socket_open(&socket, path, 8, &error))
        return strstr(error.text, "another engine listens") ? 0 : 2;
    if (read(end, &byte, 1) != 0 || try_connect() || stat(path, &there) ||
        there.st_ino != socket.own.st_ino || (there.st_mode & 0777) != 0600)
        return 3;
    mr_control_socket_close(&socket, path);
    return 1;
}

static void one_has_it(void **state)
{
    (void)state;
    enum { ENGINES = 6 };

    for (uint32_t i = 0; i < 40; i++) {
        int begin[2], end[2], n = 0, one;
        if (i % 4)
            close(occupy(SOCK_STREAM, i & 1)); /* left behind */
        assert_int_equal(pipe2(begin, O_CLOEXEC) | pipe2(end, O_CLOEXEC), 0);
        for (uint32_t e = 0; e < ENGINES; e++) {
            pid_t child = fork();
            assert_true(child >= 0);
            if (child)
                continue;
            close(begin[1]);
            close(end[1]);
            _exit(engine(begin[0], end[0]));
        }
        close(begin[1]);
        for (uint32_t e = 0; e + 1 < ENGINES; e++) { /* all but one are refused */
            assert_true(wait(&one) > 0);
            assert_int_equal(WEXITSTATUS(one), 0);
        }
        close(end[1]);
        assert_true(wait(&n) > 0);
        assert_int_equal(WEXITSTATUS(n), 1);
        close(begin[0]);
        close(end[0]);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

/* ---- what is there already ---- */

static void expect_refused(enum mr_status status, const char *words)
{
    struct mr_control_socket socket;
    struct mr_error error = {MR_OK, ""};

    assert_int_equal(mr_control_socket_open(&socket, path, 8, &error), status);
    assert_int_equal(socket.listener, -1);
    if (!strstr(error.text, words))
        fail_msg("\"%s\" is not in \"%s\"", words, error.text);
}

static void what_is_no_such_socket_stays(void **state)
{
    (void)state;
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    close(fd);
    expect_refused(MR_ERR_START, "no socket");
    assert_int_equal(unlink(path), 0);
    fd = occupy(SOCK_DGRAM, false); /* somebody's, though nobody can connect to it */
    expect_refused(MR_ERR_START, "cannot be found out");
    close(fd);
    assert_int_equal(unlink(path), 0);
}

/* An engine that takes no clients at the moment is there nevertheless, and not waited for. */
static void one_that_is_busy_is_there(void **state)
{
    (void)state;
    struct sockaddr_un there = address();
    int fd = occupy(SOCK_STREAM, true), waiting[8];

    for (size_t i = 0; i < 8; i++) {
        waiting[i] = new_socket(SOCK_STREAM | SOCK_NONBLOCK);
        (void)connect(waiting[i], (const struct sockaddr *)(const void *)&there, sizeof there);
    }
    alarm(120);
    expect_refused(MR_ERR_START, "another engine listens");
    alarm(0);
    for (size_t i = 0; i < 8; i++)
        close(waiting[i]);
    close(fd);
    assert_int_equal(unlink(path), 0);
}

/* Who holds the lock keeps what is left behind from being removed, not an engine from listening.
 * The folder's own lock is of no matter: who starts engines under flock(1) has it. */
static void a_locked_folder(void **state)
{
    (void)state;
    struct mr_control_socket socket;
    struct mr_error error = {MR_OK, ""};
    int outer = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char name[160];

    assert_int_equal(flock(outer, LOCK_EX), 0);
    close(occupy(SOCK_STREAM, true));
    if (mr_control_socket_open(&socket, path, 8, &error))
        fail_msg("%s", error.text);
    mr_control_socket_close(&socket, path);
    close(outer);
    snprintf(name, sizeof name, "%s.lock-mr", path);
    int lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(mr_control_socket_open(&socket, path, 8, NULL), MR_OK);
    mr_control_socket_close(&socket, path);
    close(occupy(SOCK_STREAM, true));
    expect_refused(MR_ERR_START, "cannot be locked: another process has it; remove the socket");
    close(lock);
    assert_int_equal(mr_control_socket_open(&socket, path, 8, NULL), MR_OK);
    mr_control_socket_close(&socket, path);
    assert_int_equal(unlink(name), 0); /* whose it is we do not know */
    assert_int_equal(mkdir(name, 0700), 0);
    close(occupy(SOCK_STREAM, true));
    expect_refused(MR_ERR_START, "cannot be locked: Is a directory; remove the socket");
    assert_int_equal(unlink(path) | rmdir(name), 0);
}

/* A path may have all bytes that an address holds, however short the name in it is. */
static void the_longest_path(void **state)
{
    (void)state;
    enum { MOST = sizeof((struct sockaddr_un *)0)->sun_path - 1 };
    static const size_t names[] = {1, 7, 8, 40};
    struct mr_control_socket socket;
    struct mr_error error = {MR_OK, ""};
    size_t own = strlen(folder);

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char deep[128];
        memset(deep, 'd', sizeof deep);
        memcpy(deep, folder, own);
        deep[own] = '/';
        deep[MOST - names[i] - 1] = 0;
        assert_int_equal(mkdir(deep, 0700), 0);
        memset(path, 's', sizeof path);
        memcpy(path, deep, strlen(deep));
        path[strlen(deep)] = '/';
        path[MOST] = 0;
        for (int left = 0; left < 2; left++) {
            if (left)
                close(occupy(SOCK_STREAM, true));
            if (mr_control_socket_open(&socket, path, 8, &error))
                fail_msg("%s", error.text);
            assert_int_equal(try_connect(), 0);
            expect_refused(MR_ERR_START, "another engine listens");
            mr_control_socket_close(&socket, path);
        }
        path[MOST] = 's';
        path[MOST + 1] = 0;
        expect_refused(MR_ERR_USAGE, "1 to 107 bytes");
        assert_int_equal(rmdir(deep), 0);
    }
}

/* Ours was removed, and another one made: it is not removed at our end. */
static void anothers_stays(void **state)
{
    (void)state;
    struct mr_control_socket ours, other;

    assert_int_equal(mr_control_socket_open(&ours, path, 8, NULL), MR_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mr_control_socket_open(&other, path, 8, NULL), MR_OK);
    mr_control_socket_close(&ours, path);
    assert_int_equal(try_connect(), 0);
    mr_control_socket_close(&other, path);
    assert_int_equal(try_connect(), ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_finds_it_can_connect, make, clean),
        cmocka_unit_test_setup_teardown(one_has_it, make, clean),
        cmocka_unit_test_setup_teardown(what_is_no_such_socket_stays, make, clean),
        cmocka_unit_test_setup_teardown(one_that_is_busy_is_there, make, clean),
        cmocka_unit_test_setup_teardown(a_locked_folder, make, clean),
        cmocka_unit_test_setup_teardown(the_longest_path, make, clean),
        cmocka_unit_test_setup_teardown(anothers_stays, make, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
