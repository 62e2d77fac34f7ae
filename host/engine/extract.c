/* --extract: mails and attachments as files, written in the output turn beside their events; and
 * what is wanted of mails otherwise.
 *
 * Names are hashes, so that no sender chooses one, and the same file is written once. A file has
 * its name when it is complete. */
#include "engine/internal.h"

#include "base/clock.h"
#include "base/replace.h"
#include "runtime/exec.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_BYTES ((uint64_t)1 << 30)
#define MOST_NAME     100u
#define LEAST_MAIL    ((uint64_t)64 << 10)
#define MOST_MAIL     ((uint64_t)64 << 20)
#define PART_TRIES    100u
#define BLOCK_BYTES   4096u /* what a file takes on a disk is a multiple, however short it is */

struct mr_extraction {
    void (*write)(const void *what, mr_piece *piece, void *user);
    const void *what;
    char name[MOST_NAME + 1];
};

struct mr_extractor {
    int folder;
    const char *path;
    uint64_t left;    /* bytes that may be written, in whole blocks */
    uint64_t failed;  /* files */
    uint64_t limited; /* files left out for the limit */
    int error;        /* errno of the first failure */
    char part[32];    /* the name of a file until it is complete */
};

/* A file being written. */
struct writing {
    int fd, error;
    uint64_t left, written;
    bool limited;
};

/* ---- what is wanted ---- */

static bool take_word(const char **list, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(*list, word, n) != 0 || ((*list)[n] && (*list)[n] != ','))
        return false;
    *list += n + ((*list)[n] == ',');
    return true;
}

static enum mr_status read_settings(struct mr_engine *engine, struct mr_error *error)
{
    struct mr_mail_settings *mail = &engine->mail;
    const char *list = engine->config.email_md5 ? engine->config.email_md5 : "";

    while (*list) {
        if (take_word(&list, "subject"))
            mail->subject_md5 = true;
        else if (take_word(&list, "body"))
            mail->body_md5 = true;
        else
            return mr_fail(error, MR_ERR_USAGE,
                           "--email-md5 %s: there is `%s`; known are subject and body",
                           engine->config.email_md5, list);
    }
    list = engine->config.file_hashes ? engine->config.file_hashes : "sha256";
    while (*list) {
        if (take_word(&list, "md5"))
            mail->file_md5 = true;
        else if (take_word(&list, "sha1"))
            mail->file_sha1 = true;
        else if (take_word(&list, "sha256"))
            mail->file_sha256 = true;
        else if (!take_word(&list, "none"))
            return mr_fail(error, MR_ERR_USAGE,
                           "--file-hash %s: there is `%s`; known are md5, sha1, sha256 and none",
                           engine->config.file_hashes, list);
    }
    mail->extract = engine->config.extract != NULL;
    mail->most_bytes = (uint32_t)engine->config.max_mail;
    if (engine->config.max_mail &&
        (engine->config.max_mail < LEAST_MAIL || engine->config.max_mail > MOST_MAIL))
        return mr_fail(error, MR_ERR_USAGE, "--max-mail %llu: give 64k to 64m",
                       (unsigned long long)engine->config.max_mail);
    return MR_OK;
}

const struct mr_mail_settings *mr_mail_settings(const struct mr_call *call)
{
    const struct mr_event *event = mr_exec_worker_state(call->runtime);
    return &event->engine->mail;
}

/* ---- handing over ---- */

static bool good_name(const char *name)
{
    size_t n = strlen(name);

    if (!n || n > MOST_NAME || !isalnum((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '.')
            return false;
    return true;
}

bool mr_extract(struct mr_call *call, uint32_t row, const char *name,
                void (*write)(const void *what, mr_piece *piece, void *user), const void *what)
{
    struct mr_exec *exec = call->runtime;
    const struct mr_event *event = mr_exec_worker_state(exec);

    if (!event->engine->extractor || !good_name(name))
        return false;
    struct mr_extraction *extraction = mr_alloc(call, sizeof *extraction);
    if (!extraction ||
        !mr_exec_record(exec, call->packets[row], mr_exec_call_ordinal(exec, row), "", 0))
        return false;
    *extraction = (struct mr_extraction){.write = write, .what = what};
    memcpy(extraction->name, name, strlen(name) + 1);
    exec->last_record->extraction = extraction;
    return true;
}

/* ---- writing ---- */

/* A file of our own, under a name of its own: another engine may extract into the same folder, and
 * what somebody else has put there is not written into. */
static int open_part(struct mr_extractor *x)
{
    int fd = -1;

    for (uint32_t i = 0; i < PART_TRIES && fd < 0; i++) {
        snprintf(x->part, sizeof x->part, ".millrace-part-%08x", (unsigned)mr_clock_ns());
        fd = openat(x->folder, x->part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    return fd;
}

enum mr_status mr_extractor_open(struct mr_engine *engine, struct mr_error *error)
{
    const char *path = engine->config.extract;
    enum mr_status status = read_settings(engine, error);

    if (status || !path)
        return status;
    struct stat there;
    const char *coming[] = {mr_writer_folder(engine->config.log_folder), NULL};
    int why = !engine->config.plan_only                        ? 0
              : !stat(path, &there) && !S_ISDIR(there.st_mode) ? ENOTDIR
                                                               : mr_may_write(path, coming);
    if (why)
        return mr_fail(error, MR_ERR_OUTPUT, "cannot write into %s for --extract: %s", path,
                       strerror(why));
    if (engine->config.plan_only)
        return MR_OK;
    if (mkdir(path, 0777) && errno != EEXIST)
        return mr_fail(error, MR_ERR_OUTPUT, "cannot make the folder %s for --extract: %s", path,
                       strerror(errno));
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return mr_fail(error, MR_ERR_OUTPUT, "cannot use %s for --extract: %s", path,
                       strerror(errno));
    struct mr_extractor *x = calloc(1, sizeof *x);
    if (!x) {
        close(folder);
        return mr_fail(error, MR_ERR_MEMORY, "out of memory");
    }
    *x = (struct mr_extractor){.folder = folder,
                               .path = path,
                               .left = engine->config.extract_bytes ? engine->config.extract_bytes
                                                                    : DEFAULT_BYTES};
    int probe = open_part(x);
    if (probe < 0) {
        status = mr_fail(error, MR_ERR_OUTPUT, "cannot write into %s for --extract: %s", path,
                         strerror(errno));
        close(folder);
        free(x);
        return status;
    }
    close(probe);
    unlinkat(folder, x->part, 0);
    engine->extractor = x;
    return MR_OK;
}

static void put_piece(void *user, const uint8_t *bytes, size_t len)
{
    struct writing *w = user;

    if (len > w->left - w->written)
        w->limited = true;
    while (len && !w->error && !w->limited) {
        ssize_t n = write(w->fd, bytes, len);
        if (n < 0 && errno != EINTR)
            w->error = errno;
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
            w->written += (uint64_t)n;
        }
    }
}

static void write_file(struct mr_extractor *x, const struct mr_extraction *extraction,
                       struct writing *w)
{
    w->fd = open_part(x);
    if (w->fd < 0) {
        w->error = errno;
        return;
    }
    extraction->write(extraction->what, put_piece, w);
    if (close(w->fd) && !w->error)
        w->error = errno;
    if (!w->error && !w->limited && renameat(x->folder, x->part, x->folder, extraction->name))
        w->error = errno;
    if (w->error || w->limited)
        unlinkat(x->folder, x->part, 0);
}

void mr_extractor_write(struct mr_engine *engine, const struct mr_extraction *extraction,
                        struct mr_metrics *metrics)
{
    struct mr_extractor *x = engine->extractor;
    struct writing w = {.left = x->left / BLOCK_BYTES * BLOCK_BYTES};
    struct stat there;

    if (!fstatat(x->folder, extraction->name, &there, AT_SYMLINK_NOFOLLOW)) {
        mr_metrics_add(metrics, MR_COUNT_FILES_EXTRACTED, 1);
        mr_metrics_add(metrics, MR_COUNT_FILES_EXTRACTED_BEFORE, 1);
        return;
    }
    w.limited = !w.left; /* one without a byte takes a block as well */
    if (!w.limited)
        write_file(x, extraction, &w);
    if (w.error || w.limited) {
        mr_metrics_add(metrics, MR_COUNT_FILES_NOT_EXTRACTED, 1);
        x->error = x->error ? x->error : w.error;
        x->failed += w.error != 0;
        x->limited += !w.error;
        return;
    }
    x->left -= w.written ? (w.written + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES : BLOCK_BYTES;
    mr_metrics_add(metrics, MR_COUNT_FILES_EXTRACTED, 1);
}

enum mr_status mr_extractor_close(struct mr_engine *engine, struct mr_error *error)
{
    struct mr_extractor *x = engine->extractor;
    enum mr_status status = MR_OK;

    if (!x)
        return MR_OK;
    if (x->failed)
        status = mr_fail(error, MR_ERR_OUTPUT, "cannot write into %s: %s; %llu files are missing",
                         x->path, strerror(x->error), (unsigned long long)x->failed);
    else if (x->limited)
        status =
            mr_fail(error, MR_ERR_OUTPUT,
                    "%llu files are missing in %s: the limit is reached; raise --extract-limit",
                    (unsigned long long)x->limited, x->path);
    close(x->folder);
    free(x);
    engine->extractor = NULL;
    return status;
}
