/* The writer: batches, failures of the file under it, and what it tells of them. */
// layers: base output
#include "output/writer.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static char *path(const char *name)
{
    static char text[256];
    snprintf(text, sizeof text, "%s/%s", folder, name);
    return text;
}

static int make(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/mr_writer_XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int clean(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static char *slurp(const char *name, size_t *len)
{
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *len = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*len + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *len, file), *len);
    bytes[*len] = '\0';
    fclose(file);
    return bytes;
}

/* n records "I xxxx...\n" of `len` bytes */
static void write_records(struct mr_writer *writer, uint32_t n, size_t len)
{
    char *record = malloc(len + 16);
    assert_non_null(record);
    for (uint32_t i = 0; i < n; i++) {
        int head = snprintf(record, 16, "%07u ", i);
        memset(record + head, 'x', len - (size_t)head);
        record[len - 1] = '\n';
        mr_writer_record(writer, record, len);
    }
    free(record);
}

static void check_records(const char *name, uint32_t n, size_t len)
{
    size_t size;
    char *bytes = slurp(name, &size);
    assert_int_equal(size, n * len);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(strtoul(bytes + i * len, NULL, 10), i);
        assert_int_equal(bytes[i * len + len - 1], '\n');
    }
    free(bytes);
}

static void batches_and_large_records(void **state)
{
    (void)state;
    static const struct {
        uint32_t n;
        size_t len;
    } cases[] = {{0, 10},     {1, 10}, {100000, 10}, {3000, 1000}, {3, 1 << 20}, {3, (1 << 20) + 1},
                 {2, 5 << 20}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mr_writer *writer = NULL;
        struct mr_error error;
        uint64_t written, lost;
        const char *failure;
        assert_int_equal(mr_writer_open(&writer, path("new"), false, &error), MR_OK);
        write_records(writer, cases[i].n, cases[i].len);
        mr_writer_flush(writer);
        mr_writer_flush(writer);
        mr_writer_state(writer, &written, &lost, &failure);
        assert_int_equal(written, cases[i].n);
        assert_int_equal(lost, 0);
        assert_null(failure);
        assert_int_equal(mr_writer_close(writer, &error), MR_OK);
        /* each time the file of before is truncated */
        check_records(path("new/eve.json"), cases[i].n, cases[i].len);
    }
}

static void closing_flushes(void **state)
{
    (void)state;
    struct mr_writer *writer = NULL;

    assert_int_equal(mr_writer_open(&writer, folder, false, NULL), MR_OK);
    write_records(writer, 5, 100);
    assert_int_equal(mr_writer_close(writer, NULL), MR_OK);
    check_records(path("eve.json"), 5, 100);
    assert_int_equal(mr_writer_close(NULL, NULL), MR_OK);
}

static void no_folder_counts_only(void **state)
{
    (void)state;
    struct mr_writer *writer = NULL;
    uint64_t written, lost;

    assert_int_equal(mr_writer_open(&writer, NULL, false, NULL), MR_OK);
    write_records(writer, 20000, 100);
    mr_writer_flush(writer);
    mr_writer_state(writer, &written, &lost, NULL);
    assert_int_equal(written, 20000);
    assert_int_equal(lost, 0);
    assert_int_equal(mr_writer_close(writer, NULL), MR_OK);
}

static void expect_refused(const char *where, const char *words)
{
    struct mr_writer *writer = NULL;
    struct mr_error error = {MR_OK, ""};
    enum mr_status status = mr_writer_open(&writer, where, false, &error);
    assert_int_equal(status, MR_ERR_OUTPUT);
    assert_int_equal(error.status, MR_ERR_OUTPUT);
    assert_null(writer);
    assert_non_null(strstr(error.text, where));
    if (!strstr(error.text, words))
        fail_msg("\"%s\" is not in \"%s\"", words, error.text);
}

static void places_that_cannot_be_written(void **state)
{
    (void)state;
    FILE *file = fopen(path("file"), "w");
    assert_non_null(file);
    fclose(file);
    expect_refused(path("missing/new"), "does not exist");
    expect_refused(path("file"), "not a folder");
    expect_refused(path("file/new"), "Not a directory");
    assert_int_equal(mkdir(path("taken"), 0755), 0);
    assert_int_equal(mkdir(path("taken/eve.json"), 0755), 0);
    expect_refused(path("taken"), "Is a directory");
    assert_int_equal(symlink("nowhere", path("dangling")), 0);
    expect_refused(path("dangling"), "No such file");
    assert_int_equal(mkdir(path("closed"), 0555), 0);
    bool root = geteuid() == 0;
    if (root)
        assert_int_equal(seteuid(65534), 0);
    expect_refused(path("closed"), "ermission denied");
    if (root)
        assert_int_equal(seteuid(0), 0);
}

static void a_full_disk_is_counted_and_told_once(void **state)
{
    (void)state;
    struct mr_writer *writer = NULL;
    struct mr_error error;
    uint64_t written, lost;
    const char *failure;

    if (access("/dev/full", W_OK)) {
        print_message("SKIP: there is no /dev/full\n");
        skip();
    }
    assert_int_equal(symlink("/dev/full", path("eve.json")), 0);
    assert_int_equal(mr_writer_open(&writer, folder, false, &error), MR_OK);
    write_records(writer, 1, 2 << 20);
    write_records(writer, 20000, 100);
    mr_writer_flush(writer);
    mr_writer_state(writer, &written, &lost, &failure);
    assert_int_equal(written, 0);
    assert_int_equal(lost, 20001);
    assert_non_null(strstr(failure, "No space left"));
    assert_int_equal(mr_writer_close(writer, &error), MR_ERR_OUTPUT);
    assert_non_null(strstr(error.text, "20001 of 20001 records are lost"));
}

static int child_with_file_limit(const char *where)
{
    struct mr_writer *writer = NULL;
    struct mr_error error;
    uint64_t written, lost;
    const char *failure;

    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){2048, 2048}))
        return 5;
    if (mr_writer_open(&writer, where, false, &error))
        return 1;
    write_records(writer, 30, 100);
    mr_writer_flush(writer);
    mr_writer_state(writer, &written, &lost, &failure);
    if (written != 20 || lost != 10 || !failure || !strstr(failure, "File too large"))
        return 2;
    write_records(writer, 30, 100);
    if (mr_writer_close(writer, &error) != MR_ERR_OUTPUT)
        return 3;
    return strstr(error.text, "40 of 60 records are lost") ? 0 : 4;
}

/* A disk that fills up in the middle of a record: a limit on the file's size does the same. */
static void no_torn_record_is_left(void **state)
{
    (void)state;
    fflush(stdout);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(child_with_file_limit(folder));
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    check_records(path("eve.json"), 20, 100); /* of the 2,048 bytes that fit */
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
}

/* Standard output is a pipe that nobody empties for a while: short writes, interruptions. */
static void short_writes_and_interruptions(void **state)
{
    (void)state;
    static const int modes[] = {0, O_NONBLOCK};

    for (int mode = 0; mode < 2; mode++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t reader = fork();
        assert_true(reader >= 0);
        if (reader == 0) {
            char bytes[1000];
            size_t total = 0;
            ssize_t n;
            close(ends[1]);
            while ((n = read(ends[0], bytes, sizeof bytes)) > 0) {
                total += (size_t)n;
                if (total % 37000 == 0)
                    usleep(2000);
            }
            _exit(total == 3000000 ? 0 : 1);
        }
        close(ends[0]);
        int saved = dup(STDOUT_FILENO);
        fflush(stdout);
        dup2(ends[1], STDOUT_FILENO);
        close(ends[1]);
        fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | modes[mode]);
        struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */
        sigaction(SIGALRM, &action, NULL);
        ualarm(1000, 1000);
        struct mr_writer *writer = NULL;
        enum mr_status opened = mr_writer_open(&writer, "-", false, NULL);
        write_records(writer, 30000, 100);
        uint64_t written, lost;
        mr_writer_flush(writer);
        mr_writer_state(writer, &written, &lost, NULL);
        enum mr_status closed = mr_writer_close(writer, NULL);
        ualarm(0, 0);
        dup2(saved, STDOUT_FILENO);
        close(saved);
        assert_int_equal(opened, MR_OK);
        assert_int_equal(closed, MR_OK);
        assert_int_equal(written, 30000);
        assert_int_equal(lost, 0);
        int status;
        assert_int_equal(waitpid(reader, &status, 0), reader);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

static void a_reader_that_left_is_no_loop(void **state)
{
    (void)state;
    int ends[2];
    struct mr_writer *writer = NULL;
    struct mr_error error;

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    int saved = dup(STDOUT_FILENO);
    fflush(stdout);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    enum mr_status opened = mr_writer_open(&writer, "-", false, NULL);
    write_records(writer, 30000, 100);
    enum mr_status closed = mr_writer_close(writer, &error);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(opened, MR_OK);
    assert_int_equal(closed, MR_ERR_OUTPUT);
    assert_non_null(strstr(error.text, "cannot write standard output: Broken pipe"));
    assert_non_null(strstr(error.text, "30000 of 30000"));
}

/* logrotate: the file gets another name, the writer is told, and nothing is lost or written twice.
 */
static void a_renamed_file_is_opened_again(void **state)
{
    (void)state;
    struct mr_writer *writer = NULL;
    char old[256];

    assert_int_equal(mr_writer_open(&writer, folder, false, NULL), MR_OK);
    write_records(writer, 3, 100);
    assert_int_equal(mr_writer_reopen(writer, NULL), MR_OK); /* the same file */
    check_records(path("eve.json"), 3, 100);
    snprintf(old, sizeof old, "%s", path("eve.json.1"));
    assert_int_equal(rename(path("eve.json"), old), 0);
    assert_false(mr_writer_is_removed(writer));
    assert_int_equal(mr_writer_reopen(writer, NULL), MR_OK);
    write_records(writer, 4, 100);
    assert_int_equal(mr_writer_reopen(writer, NULL), MR_OK);
    check_records(path("eve.json"), 4, 100);
    check_records(path("eve.json.1"), 3, 100);
    assert_int_equal(unlink(path("eve.json")), 0);
    assert_true(mr_writer_is_removed(writer));
    assert_int_equal(mr_writer_reopen(writer, NULL), MR_OK);
    assert_false(mr_writer_is_removed(writer));
    write_records(writer, 5, 100);
    assert_int_equal(mr_writer_close(writer, NULL), MR_OK);
    check_records(path("eve.json"), 5, 100);
}

/* Where the new one cannot be had, that is said, and the old one is gone on with. */
static void what_cannot_be_opened_again(void **state)
{
    (void)state;
    struct mr_writer *writer = NULL, *other = NULL;
    struct mr_error error;
    char logs[256], moved[256];

    snprintf(logs, sizeof logs, "%s", path("logs"));
    snprintf(moved, sizeof moved, "%s", path("moved"));
    assert_int_equal(mr_writer_open(&writer, logs, false, NULL), MR_OK);
    assert_int_equal(rename(logs, moved), 0);
    assert_int_equal(mr_writer_open(&other, logs, false, NULL), MR_OK);
    assert_int_equal(mr_writer_reopen(writer, &error), MR_ERR_OUTPUT);
    assert_non_null(strstr(error.text, "another run is writing"));
    write_records(writer, 2, 100);
    assert_int_equal(mr_writer_close(writer, NULL), MR_OK);
    assert_int_equal(mr_writer_close(other, NULL), MR_OK);
    check_records(path("moved/eve.json"), 2, 100);
    check_records(path("logs/eve.json"), 0, 100);
}

static void check_state(const struct mr_writer *writer, uint64_t written, uint64_t lost)
{
    uint64_t got_written, got_lost;

    mr_writer_state(writer, &got_written, &got_lost, NULL);
    assert_int_equal(got_written, written);
    assert_int_equal(got_lost, lost);
}

/* Who removes the file wants what is in it gone, and not what comes: also what waited to be written
 * goes to a new one, whoever asks for it, and none of it is lost. */
static void what_waited_when_it_was_removed(void **state)
{
    (void)state;
    struct mr_writer *writer = NULL;

    for (int asked = 0; asked < 3; asked++) {
        assert_int_equal(mr_writer_open(&writer, folder, false, NULL), MR_OK);
        write_records(writer, 3, 100);
        mr_writer_flush(writer);
        assert_false(mr_writer_was_made_again(writer));
        write_records(writer, 4, 100);
        assert_int_equal(unlink(path("eve.json")), 0);
        if (asked == 1)
            mr_writer_flush(writer);
        else if (asked == 2)
            assert_int_equal(mr_writer_reopen(writer, NULL), MR_OK);
        if (asked) {
            check_records(path("eve.json"), 4, 100);
            assert_true(mr_writer_was_made_again(writer));
            assert_false(mr_writer_was_made_again(writer));
            check_state(writer, 7, 0);
        }
        assert_int_equal(mr_writer_close(writer, NULL), MR_OK);
        check_records(path("eve.json"), 4, 100);
    }
}

/* It was removed with its folder, and cannot be made again: what is written nobody could read, so
 * it is lost, and not what comes once it can be. */
static void what_is_written_to_no_file_is_lost(void **state)
{
    (void)state;
    struct mr_writer *writer = NULL;
    struct mr_error error;
    char logs[256];
    const char *failure;

    snprintf(logs, sizeof logs, "%s", path("logs"));
    assert_int_equal(mr_writer_open(&writer, logs, false, NULL), MR_OK);
    write_records(writer, 3, 100);
    mr_writer_flush(writer);
    assert_int_equal(unlink(path("logs/eve.json")) | rmdir(logs), 0);
    close(open(logs, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    mr_writer_flush(writer); /* nothing is lost by that */
    mr_writer_state(writer, NULL, NULL, &failure);
    assert_null(failure);
    write_records(writer, 20000, 100); /* more than a batch */
    mr_writer_record(writer, "{}\n", 3);
    assert_int_equal(mr_writer_reopen(writer, &error), MR_ERR_OUTPUT);
    check_state(writer, 3, 20001);
    write_records(writer, 2, 100);
    mr_writer_flush(writer);
    check_state(writer, 3, 20003);
    assert_int_equal(unlink(logs), 0);
    write_records(writer, 5, 100);
    mr_writer_flush(writer);
    check_state(writer, 8, 20003);
    assert_int_equal(mr_writer_close(writer, &error), MR_ERR_OUTPUT);
    check_records(path("logs/eve.json"), 5, 100);
    assert_non_null(strstr(error.text, "eve.json: it was removed and cannot be made again: "));
    assert_non_null(strstr(error.text, "it is not a folder"));
    assert_non_null(strstr(error.text, "20003 of 20011 records are lost"));
}

/* The disk is full, has room again, and then the file is removed: each time what stops it now. */
static void each_failure_is_told_by_its_own_cause(void **state)
{
    (void)state;
    struct mr_writer *writer = NULL;
    struct mr_error error;
    const char *failure;
    char name[256];

    if (access("/dev/full", W_OK)) {
        print_message("SKIP: there is no /dev/full\n");
        skip();
    }
    snprintf(name, sizeof name, "%s", path("each/eve.json"));
    assert_int_equal(mkdir(path("each"), 0700), 0);
    assert_int_equal(symlink("/dev/full", name), 0);
    assert_int_equal(mr_writer_open(&writer, path("each"), false, &error), MR_OK);
    write_records(writer, 1, 100);
    mr_writer_flush(writer);
    mr_writer_state(writer, NULL, NULL, &failure);
    assert_non_null(failure);
    assert_non_null(strstr(failure, "No space left"));
    assert_int_equal(unlink(name), 0);
    assert_int_equal(mr_writer_reopen(writer, &error), MR_OK);
    mr_writer_flush(writer); /* nothing was written: it is not known to go */
    mr_writer_state(writer, NULL, NULL, &failure);
    assert_non_null(failure);
    write_records(writer, 2, 100);
    mr_writer_flush(writer);
    mr_writer_state(writer, NULL, NULL, &failure);
    assert_null(failure);
    assert_int_equal(unlink(name) | rmdir(path("each")), 0);
    close(open(path("each"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    write_records(writer, 3, 100);
    mr_writer_flush(writer);
    mr_writer_state(writer, NULL, NULL, &failure);
    assert_non_null(failure);
    assert_non_null(strstr(failure, "it was removed and cannot be made again"));
    assert_int_equal(mr_writer_close(writer, &error), MR_ERR_OUTPUT);
    assert_non_null(strstr(error.text, "No space left")); /* the first */
    assert_non_null(strstr(error.text, "4 of 6 records are lost"));
}

/* A pipe that nobody reads has taken its place: opening it must not wait for who will. */
static void a_pipe_without_reader_is_not_waited_for(void **state)
{
    (void)state;
    struct mr_writer *writer = NULL;
    struct mr_error error;
    char old[256];

    strcpy(old, path("eve.json.1"));
    assert_int_equal(mr_writer_open(&writer, folder, false, NULL), MR_OK);
    assert_int_equal(rename(path("eve.json"), old), 0);
    assert_int_equal(mkfifo(path("eve.json"), 0600), 0);
    alarm(10);
    assert_int_equal(mr_writer_reopen(writer, &error), MR_ERR_OUTPUT);
    alarm(0);
    write_records(writer, 2, 100);
    assert_int_equal(mr_writer_close(writer, NULL), MR_OK);
    check_records(old, 2, 100);
}

/* Live, a run that begins again goes on behind what the one before wrote; also behind half a line.
 */
static void what_is_there_is_written_on(void **state)
{
    (void)state;
    struct mr_writer *writer = NULL;
    size_t size;

    FILE *file = fopen(path("eve.json"), "w");
    assert_non_null(file);
    fputs("{\"half\"", file);
    fclose(file);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mr_writer_open(&writer, folder, true, NULL), MR_OK);
        mr_writer_record(writer, "{}\n", 3);
        assert_int_equal(mr_writer_close(writer, NULL), MR_OK);
    }
    char *bytes = slurp(path("eve.json"), &size);
    assert_string_equal(bytes, "{\"half\"\n{}\n{}\n");
    free(bytes);
}

/* Who copies and truncates the file finds no hole in it. */
static void a_truncated_file_has_no_hole(void **state)
{
    (void)state;
    struct mr_writer *writer = NULL;

    assert_int_equal(mr_writer_open(&writer, folder, false, NULL), MR_OK);
    write_records(writer, 7, 100);
    mr_writer_flush(writer);
    assert_int_equal(truncate(path("eve.json"), 0), 0);
    write_records(writer, 3, 100);
    assert_int_equal(mr_writer_close(writer, NULL), MR_OK);
    check_records(path("eve.json"), 3, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(batches_and_large_records, make, clean),
        cmocka_unit_test_setup_teardown(closing_flushes, make, clean),
        cmocka_unit_test(no_folder_counts_only),
        cmocka_unit_test_setup_teardown(places_that_cannot_be_written, make, clean),
        cmocka_unit_test_setup_teardown(a_full_disk_is_counted_and_told_once, make, clean),
        cmocka_unit_test_setup_teardown(no_torn_record_is_left, make, clean),
        cmocka_unit_test(short_writes_and_interruptions),
        cmocka_unit_test(a_reader_that_left_is_no_loop),
        cmocka_unit_test_setup_teardown(a_renamed_file_is_opened_again, make, clean),
        cmocka_unit_test_setup_teardown(what_cannot_be_opened_again, make, clean),
        cmocka_unit_test_setup_teardown(what_waited_when_it_was_removed, make, clean),
        cmocka_unit_test_setup_teardown(what_is_written_to_no_file_is_lost, make, clean),
        cmocka_unit_test_setup_teardown(each_failure_is_told_by_its_own_cause, make, clean),
        cmocka_unit_test_setup_teardown(a_pipe_without_reader_is_not_waited_for, make, clean),
        cmocka_unit_test_setup_teardown(what_is_there_is_written_on, make, clean),
        cmocka_unit_test_setup_teardown(a_truncated_file_has_no_hole, make, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
