/* Mails on disk. */
#include "models/spam_mails.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX ((size_t)1 << 32)
#define DEPTH_MAX      32

struct walk {
    mr_spam_each *each;
    void *user;
    struct mr_error *error;
};

/* "From ADDRESS ... 12:34 ...": the time tells it from prose. */
static bool is_separator(const uint8_t *line, const uint8_t *end)
{
    const uint8_t *stop = memchr(line, '\n', (size_t)(end - line));

    stop = stop ? stop : end;
    if (stop - line < 16 || stop - line > 300 || memcmp(line, "From ", 5) != 0)
        return false;
    for (const uint8_t *at = line + 5; at + 5 <= stop; at++)
        if (isdigit(at[0]) && isdigit(at[1]) && at[2] == ':' && isdigit(at[3]) && isdigit(at[4]))
            return true;
    return false;
}

static const uint8_t *line_after(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));

    return stop ? stop + 1 : end;
}

/* Where the next mail of a mailbox begins; `end`: there is none. */
static const uint8_t *next_mail(const uint8_t *at, const uint8_t *end)
{
    while ((at = memmem(at, (size_t)(end - at), "\nFrom ", 6))) {
        bool empty = at[-1] == '\n' || (at[-1] == '\r' && at[-2] == '\n');
        if (empty && is_separator(at + 1, end))
            return at + 1;
        at++;
    }
    return end;
}

static enum mr_status mails_of(const struct walk *walk, const char *path, const uint8_t *bytes,
                               size_t n)
{
    const uint8_t *at = bytes, *end = bytes + n;
    enum mr_status status = MR_OK;
    char name[4200];

    if (n < 5 || memcmp(bytes, "From ", 5) != 0)
        return walk->each(walk->user, path, bytes, n, walk->error);
    for (unsigned long i = 1; at < end && !status; i++) {
        const uint8_t *begin = line_after(at, end);
        const uint8_t *next = begin < end ? next_mail(begin, end) : end;
        if (i == 1 && next == end)
            snprintf(name, sizeof name, "%s", path);
        else
            snprintf(name, sizeof name, "%s#%lu", path, i);
        status = walk->each(walk->user, name, begin, (size_t)(next - begin), walk->error);
        at = next;
    }
    return status;
}

static enum mr_status fail(const struct walk *walk, const char *path, const char *what)
{
    return mr_fail(walk->error, MR_ERR_INPUT,
                   "cannot read mails from %s: %s; give a file with a mail, a mailbox (mbox) or a "
                   "folder of both",
                   path, what);
}

static enum mr_status file(const struct walk *walk, const char *path, size_t size)
{
    FILE *in = size < FILE_BYTES_MAX ? fopen(path, "rb") : NULL;
    uint8_t *bytes;
    enum mr_status status;

    if (!in)
        return fail(walk, path, size < FILE_BYTES_MAX ? strerror(errno) : "it is over 4 GiB");
    bytes = malloc(size + 1);
    if (!bytes)
        status = mr_fail(walk->error, MR_ERR_MEMORY, "%s: no memory for it", path);
    else if (fread(bytes, 1, size, in) != size)
        status = fail(walk, path, "it cannot be read to its end");
    else
        status = mails_of(walk, path, bytes, size);
    free(bytes);
    fclose(in);
    return status;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum mr_status visit(const struct walk *walk, const char *path, uint32_t depth)
{
    struct dirent **entries = NULL;
    enum mr_status status = MR_OK;
    struct stat about;
    char name[4096];

    if (stat(path, &about))
        return fail(walk, path, strerror(errno));
    if (S_ISREG(about.st_mode))
        return file(walk, path, (size_t)about.st_size);
    if (!S_ISDIR(about.st_mode))
        return fail(walk, path, "it is neither a file nor a folder");
    if (depth > DEPTH_MAX)
        return fail(walk, path, "folders are nested too deep");
    int n = scandir(path, &entries, visible, by_bytes);
    if (n < 0)
        return fail(walk, path, strerror(errno));
    for (int i = 0; i < n; i++) {
        int len = snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (!status)
            status = len > 0 && (size_t)len < sizeof name ? visit(walk, name, depth + 1)
                                                          : fail(walk, path, "a name is too long");
        free(entries[i]);
    }
    free(entries);
    return status;
}

enum mr_status mr_spam_mails(const char *path, mr_spam_each *each, void *user,
                             struct mr_error *error)
{
    const struct walk walk = {each, user, error};

    return visit(&walk, path, 0);
}
