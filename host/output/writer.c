/* The writer of eve.json: one buffer, one write a megabyte. The ends of the records in the buffer
 * are kept, so that after a failing write the whole records that made it are known, and the torn
 * one is taken out of the file again. */
#include "output/writer.h"

#include "base/plain.h"
#include "base/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_BYTES   ((size_t)1 << 20)
#define BATCH_RECORDS 8192
#define FILE_NAME     "eve.json"
#define FAILURE_BYTES 512

struct mr_writer {
    int fd;          /* -1: records are thrown away */
    bool owns_fd;    /* false: standard output */
    bool seekable;   /* a torn record can be cut off */
    bool anew;       /* what is in the file goes when the first record comes, or before */
    bool torn;       /* the file ends within a line */
    bool terminal;   /* which would obey control characters that came from the wire */
    bool gone;       /* whoever read us has left: writing on is of no use */
    bool made_again; /* after it was removed; nobody was told yet */
    size_t len;      /* bytes in the buffer */
    uint32_t n;      /* records in the buffer */
    uint64_t written, lost;
    bool failing;                /* since the last writing */
    char failure[FAILURE_BYTES]; /* of it, or of the one before; "" when there was none */
    char first[FAILURE_BYTES];   /* of all */
    char *name;                  /* for messages, and of the file */
    char *folder;                /* of the file; NULL: there is none */
    size_t ends[BATCH_RECORDS];
    char buffer[BATCH_BYTES];
};

/* ---- opening ---- */

static enum mr_status refuse_folder(const char *folder, int why, struct mr_error *error)
{
    if (why == ENOENT)
        return mr_fail(error, MR_ERR_OUTPUT,
                       "cannot make the log folder %s: the folder that it should stand in does not "
                       "exist; make that first",
                       folder);
    return mr_fail(error, MR_ERR_OUTPUT, "cannot make the log folder %s: %s", folder,
                   strerror(why));
}

/* What is there is a folder. */
static enum mr_status check_folder(const char *folder, struct mr_error *error)
{
    struct stat status;

    if (stat(folder, &status))
        return mr_fail(error, MR_ERR_OUTPUT, "cannot use the log folder %s: %s", folder,
                       strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return mr_fail(error, MR_ERR_OUTPUT,
                       "cannot use the log folder %s: it is not a folder; give another with -l",
                       folder);
    return MR_OK;
}

static enum mr_status make_folder(const char *folder, struct mr_error *error)
{
    if (mkdir(folder, 0777) == 0)
        return MR_OK;
    return errno == EEXIST ? check_folder(folder, error) : refuse_folder(folder, errno, error);
}

static int refuse(struct mr_error *error, const char *name)
{
    mr_fail(error, MR_ERR_OUTPUT, "cannot write %s: %s", name, strerror(errno));
    return -1;
}

/* Where a run was killed, or the machine, the file may end within a line. */
static bool ends_torn(const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    char last = '\n';

    if (fd < 0)
        return false; /* it may be written only */
    if (lseek(fd, -1, SEEK_END) >= 0 && read(fd, &last, 1) != 1)
        last = '\n';
    close(fd);
    return last != '\n';
}

/* The file, locked: of two runs each would write into what the other writes. Appending also keeps
 * it whole for who copies and truncates it meanwhile. -1: it cannot be had. */
static int take(const char *name, int flags, struct stat *file, struct mr_error *error)
{
    int fd;

    do
        fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0666);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return refuse(error, name);
    if (fstat(fd, file))
        file->st_mode = 0;
    if (!S_ISREG(file->st_mode) || !flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK)
        return fd; /* not all can lock */
    mr_fail(error, MR_ERR_OUTPUT, "another run is writing %s: give another folder with -l", name);
    close(fd);
    return -1;
}

static enum mr_status open_file(struct mr_writer *writer, const char *folder, bool append,
                                struct mr_error *error)
{
    struct stat file;

    writer->folder = strdup(folder);
    if (!writer->folder || asprintf(&writer->name, "%s/" FILE_NAME, folder) < 0) {
        writer->name = NULL;
        return mr_fail(error, MR_ERR_MEMORY, "out of memory");
    }
    enum mr_status status = make_folder(folder, error);
    if (status)
        return status;
    writer->fd = take(writer->name, 0, &file, error);
    if (writer->fd < 0)
        return MR_ERR_OUTPUT;
    writer->owns_fd = true;
    writer->seekable = S_ISREG(file.st_mode);
    writer->anew = writer->seekable && !append;
    writer->torn = writer->seekable && append && ends_torn(writer->name);
    return MR_OK;
}

enum mr_status mr_writer_check(const char *folder, struct mr_error *error)
{
    char *name = NULL;
    enum mr_status status = MR_OK;
    int why;

    if (!folder || !strcmp(folder, "-"))
        return MR_OK;
    if (access(folder, F_OK)) {
        why = mr_may_write(folder, NULL);
        return why ? refuse_folder(folder, why, error) : MR_OK;
    }
    status = check_folder(folder, error);
    if (status)
        return status;
    if (asprintf(&name, "%s/" FILE_NAME, folder) < 0)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory");
    why = mr_may_write_file(name, NULL);
    if (why)
        status = mr_fail(error, MR_ERR_OUTPUT, "cannot write %s: %s", name, strerror(why));
    free(name);
    return status;
}

enum mr_status mr_writer_open(struct mr_writer **out, const char *folder, bool append,
                              struct mr_error *error)
{
    struct mr_writer *writer = malloc(sizeof *writer);
    enum mr_status status = MR_OK;

    if (!writer)
        return mr_fail(error, MR_ERR_MEMORY, "out of memory");
    memset(writer, 0, offsetof(struct mr_writer, ends)); /* the big arrays stay untouched */
    writer->fd = -1;
    if (folder && !strcmp(folder, "-")) {
        writer->name = strdup("standard output");
        writer->fd = STDOUT_FILENO;
        writer->terminal = isatty(STDOUT_FILENO);
        if (!writer->name)
            status = mr_fail(error, MR_ERR_MEMORY, "out of memory");
    } else if (folder) {
        status = open_file(writer, folder, append, error);
    }
    if (status) {
        free(writer->folder);
        free(writer->name);
        free(writer);
        return status;
    }
    *out = writer;
    return MR_OK;
}

/* ---- writing ---- */

static void note(struct mr_writer *writer)
{
    writer->failing = true;
    if (!writer->first[0])
        memcpy(writer->first, writer->failure, sizeof writer->first);
}

static void note_failure(struct mr_writer *writer, int reason)
{
    snprintf(writer->failure, sizeof writer->failure, "cannot write %s: %s", writer->name,
             strerror(reason));
    note(writer);
    writer->gone |= reason == EPIPE || reason == EBADF;
}

static void note_removal(struct mr_writer *writer, const struct mr_error *error)
{
    snprintf(writer->failure, sizeof writer->failure,
             "cannot write %s: it was removed and cannot be made again: %.256s", writer->name,
             error->text);
    note(writer);
}

/* Writes all of `bytes`, or as many as go; 0 or what stopped it. */
static int write_all(int fd, const char *bytes, size_t len, size_t *done)
{
    *done = 0;
    while (*done < len) {
        ssize_t n = write(fd, bytes + *done, len - *done);
        if (n > 0)
            *done += (size_t)n;
        else if (n == 0)
            return ENOSPC; /* not known to happen; must not loop */
        else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            if (poll(&ready, 1, -1) < 0 && errno != EINTR)
                return errno;
        } else if (errno != EINTR)
            return errno;
    }
    return 0;
}

/* The same for a terminal; *done counts the bytes given. */
static int show_all(int fd, const char *bytes, size_t len, size_t *done)
{
    size_t part, skip;
    char escape[8];
    int reason = 0;

    for (*done = 0; *done < len; *done += skip) {
        size_t n = mr_plain_json(bytes + *done, len - *done, &skip, escape);
        reason = write_all(fd, bytes + *done, n, &part);
        *done += part;
        if (!reason && skip)
            reason = write_all(fd, escape, strlen(escape), &part);
        if (reason)
            break;
    }
    return reason;
}

/* After a write that stopped at `done`: what is in, what is lost, and no torn line left behind
 * where that can be helped. */
static void settle(struct mr_writer *writer, size_t done)
{
    uint32_t n = 0;

    while (n < writer->n && writer->ends[n] <= done)
        n++;
    size_t whole = n ? writer->ends[n - 1] : 0;
    writer->written += n;
    writer->lost += writer->n - n;
    if (done > whole) {
        off_t end = writer->seekable ? lseek(writer->fd, -(off_t)(done - whole), SEEK_CUR) : -1;
        writer->torn = end < 0 || ftruncate(writer->fd, end);
    }
}

bool mr_writer_is_removed(const struct mr_writer *writer)
{
    struct stat file, named;

    if (!writer->owns_fd || !writer->seekable || fstat(writer->fd, &file) || file.st_nlink)
        return false;
    /* one that never had a name of its own is still reached by a link such as /dev/stdout */
    return stat(writer->name, &named) || named.st_dev != file.st_dev || named.st_ino != file.st_ino;
}

/* The file of that name takes the place of the one that was renamed or removed. */
static enum mr_status open_again(struct mr_writer *writer, struct mr_error *error)
{
    struct stat file;

    if (make_folder(writer->folder, error))
        return MR_ERR_OUTPUT;
    /* of a pipe that has taken its place nobody may be the reader: packets do not wait for that */
    int fd = take(writer->name, O_NONBLOCK, &file, error);
    if (fd < 0)
        return MR_ERR_OUTPUT;
    if (close(writer->fd) && errno != EINTR)
        note_failure(writer, errno);
    writer->fd = fd;
    writer->anew = writer->gone = false;
    writer->seekable = S_ISREG(file.st_mode);
    writer->torn = writer->seekable && ends_torn(writer->name);
    return MR_OK;
}

enum mr_status mr_writer_begin(struct mr_writer *writer, struct mr_error *error)
{
    bool anew = writer->anew;

    writer->anew = false;
    if (!anew || !ftruncate(writer->fd, 0))
        return MR_OK;
    refuse(error, writer->name);
    return MR_ERR_OUTPUT;
}

/* Is there a file to write to? Who removes the one of a run wants what is in it gone, and not what
 * comes: that goes to a new one. Where that cannot be made, nobody could read what was written. */
static bool make_again(struct mr_writer *writer, struct mr_error *error)
{
    if (!mr_writer_is_removed(writer))
        return true;
    if (open_again(writer, error))
        return false;
    return writer->made_again = true;
}

/* Writes `bytes`, which hold the records that `ends` tells. */
static void emit(struct mr_writer *writer, const char *bytes, size_t len)
{
    struct mr_error error;
    size_t done = 0;
    bool there = make_again(writer, &error);
    int reason = there && mr_writer_begin(writer, NULL) ? errno : 0;

    if (!there) {
        note_removal(writer, &error);
        settle(writer, 0);
        writer->n = 0;
        writer->len = 0;
        return;
    }
    if (!writer->gone && !reason && writer->torn) {
        /* a line that an earlier failure tore is ended first */
        reason = write_all(writer->fd, "\n", 1, &done);
        writer->torn = reason != 0;
        done = 0;
    }
    if (!writer->gone && !reason)
        reason = writer->terminal ? show_all(writer->fd, bytes, len, &done)
                                  : write_all(writer->fd, bytes, len, &done);
    if (reason)
        note_failure(writer, reason);
    else if (!writer->gone)
        writer->failing = false;
    settle(writer, done);
    writer->n = 0;
    writer->len = 0;
}

void mr_writer_flush(struct mr_writer *writer)
{
    struct mr_error error;

    if (writer->n)
        emit(writer, writer->buffer, writer->len);
    else
        make_again(writer, &error); /* nothing is lost where it cannot be */
}

void mr_writer_record(struct mr_writer *writer, const char *bytes, size_t len)
{
    if (writer->fd < 0) {
        writer->written++;
        return;
    }
    if (len > BATCH_BYTES - writer->len || writer->n == BATCH_RECORDS)
        mr_writer_flush(writer);
    if (len > BATCH_BYTES) { /* goes out by itself */
        writer->ends[writer->n++] = len;
        emit(writer, bytes, len);
        return;
    }
    memcpy(writer->buffer + writer->len, bytes, len);
    writer->len += len;
    writer->ends[writer->n++] = writer->len;
}

/* ---- another file of that name ---- */

enum mr_status mr_writer_reopen(struct mr_writer *writer, struct mr_error *error)
{
    struct stat file, before;

    if (!writer->owns_fd)
        return MR_OK;
    mr_writer_flush(writer);
    if (!stat(writer->name, &file) && !fstat(writer->fd, &before) && file.st_dev == before.st_dev &&
        file.st_ino == before.st_ino)
        return MR_OK;
    return open_again(writer, error);
}

bool mr_writer_was_made_again(struct mr_writer *writer)
{
    bool made_again = writer->made_again;

    writer->made_again = false;
    return made_again;
}

/* ---- telling and closing ---- */

void mr_writer_state(const struct mr_writer *writer, uint64_t *written, uint64_t *lost,
                     const char **failure)
{
    if (written)
        *written = writer->written;
    if (lost)
        *lost = writer->lost;
    if (failure)
        *failure = writer->failing ? writer->failure : NULL;
}

enum mr_status mr_writer_close(struct mr_writer *writer, struct mr_error *error)
{
    enum mr_status status = MR_OK;

    if (!writer)
        return MR_OK;
    mr_writer_flush(writer);
    /* what is no file cannot be synced; that is no failure */
    if (writer->owns_fd && !writer->gone && fdatasync(writer->fd) && errno != EINVAL &&
        errno != EROFS)
        note_failure(writer, errno);
    if (writer->owns_fd && close(writer->fd) && errno != EINTR)
        note_failure(writer, errno);
    if (writer->lost)
        status = mr_fail(error, MR_ERR_OUTPUT, "%s; %llu of %llu records are lost", writer->first,
                         (unsigned long long)writer->lost,
                         (unsigned long long)writer->lost + writer->written);
    else if (writer->first[0])
        status = mr_fail(error, MR_ERR_OUTPUT, "%s", writer->first);
    free(writer->folder);
    free(writer->name);
    free(writer);
    return status;
}
