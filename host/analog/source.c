/* The files of a program: read whole, within a limit, each once. */
#include "analog/diagnostic.h"

#include "base/open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static void *check(struct compile *compile, void *memory)
{
    if (!memory && !compile->no_memory) {
        analog_error(compile, &(struct mr_where){0}, "out of memory while compiling");
        compile->no_memory = true;
    }
    return memory;
}

void *analog_scratch(struct compile *compile, size_t bytes)
{
    return check(compile, mr_arena_zalloc(&compile->scratch, bytes));
}

void *analog_keep(struct compile *compile, size_t bytes)
{
    return check(compile, mr_arena_zalloc(compile->memory, bytes));
}

char *analog_keep_text(struct compile *compile, const char *text, size_t len)
{
    return check(compile, mr_arena_string(compile->memory, text, len));
}

char *analog_keep_format(struct compile *compile, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return analog_keep_text(compile, text, strlen(text));
}

char *analog_path(struct compile *compile, const char *folder, const char *path, size_t len)
{
    size_t prefix = len && path[0] == '/' ? 0 : strlen(folder);
    char *joined = check(compile, mr_arena_alloc(compile->memory, prefix + len + 1));

    if (!joined)
        return NULL;
    memcpy(joined, folder, prefix);
    memcpy(joined + prefix, path, len);
    joined[prefix + len] = '\0';
    return joined;
}

static struct source *new_source(struct compile *compile, const char *name)
{
    struct source *source = analog_scratch(compile, sizeof *source);
    if (!source)
        return NULL;
    const char *slash = strrchr(name, '/');
    source->name = analog_keep_text(compile, name, strlen(name));
    source->folder = analog_keep_text(compile, name, slash ? (size_t)(slash - name) + 1 : 0);
    if (!source->name || !source->folder)
        return NULL;
    source->index = analog_source_index(compile->diagnostics);
    source->next = compile->sources;
    compile->sources = source;
    compile->n_sources++;
    return source;
}

/* Programs are text; a capture or an object file handed in by mistake gets one message. */
static bool check_text(struct compile *compile, struct source *source)
{
    const struct mr_where whole = {.file = source->name};

    compile->source_bytes += source->len;
    if (compile->source_bytes > MAX_SOURCE_BYTES) {
        analog_error(compile, &whole, "the program is larger than %zu bytes", MAX_SOURCE_BYTES);
        source->len = 0;
        return false;
    }
    if (source->len && memchr(source->text, '\0', source->len)) {
        analog_error(compile, &whole, "this is no ANALOG program: it is not a text file");
        source->len = 0;
        return false;
    }
    /* one line, most of it behind a //: what is said about it would be wrong */
    const char *cr = source->len ? memchr(source->text, '\r', source->len) : NULL;
    if (cr && !memchr(source->text, '\n', source->len) && cr + 1 < source->text + source->len) {
        analog_error(compile, &whole, "the lines of this program end with a carriage return alone");
        analog_hint(compile, "lines end with LF or CRLF: tr '\\r' '\\n' < FILE mends them");
        source->len = 0;
        return false;
    }
    if (source->len >= 3 && !memcmp(source->text, "\xef\xbb\xbf", 3)) {
        source->text += 3; /* a byte order mark */
        source->len -= 3;
    }
    return true;
}

/* Reads one byte more than allowed, so that "too large" is seen without reading it all. */
static bool read_all(struct compile *compile, struct source *source, int fd,
                     const struct mr_where *place)
{
    size_t room = MAX_SOURCE_BYTES - compile->source_bytes + 1, len = 0;
    char *text = NULL;
    size_t capacity = 0;

    for (;;) {
        if (len == capacity) {
            size_t wanted = capacity ? capacity * 2 : 16384;
            if (wanted > room)
                wanted = room;
            char *larger = wanted > len ? analog_scratch(compile, wanted) : NULL;
            if (wanted > len && !larger)
                return false;
            if (!larger)
                break;
            if (len)
                memcpy(larger, text, len);
            text = larger;
            capacity = wanted;
        }
        ssize_t n = read(fd, text + len, capacity - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            analog_error(compile, place, "cannot read %s: %s", source->name, strerror(errno));
            return false;
        }
        if (!n)
            break;
        len += (size_t)n;
    }
    source->text = text ? text : "";
    source->len = len;
    return true;
}

static struct source *find_file(struct compile *compile, const struct stat *status)
{
    for (struct source *source = compile->sources; source; source = source->next)
        if (source->inode && source->inode == status->st_ino && source->device == status->st_dev)
            return source;
    return NULL;
}

/* A terminal, or a pipe without a name as of a shell's <(...), which ends when its writer does:
 * these are waited for, where a pipe in a folder may have no writer ever. */
static bool has_writer(int fd)
{
    struct statfs system;
    int flags = fcntl(fd, F_GETFL);

    return (isatty(fd) || (!fstatfs(fd, &system) && system.f_type == PIPEFS_MAGIC)) && flags >= 0 &&
           !fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

struct source *analog_source_open(struct compile *compile, const char *path,
                                  const struct mr_where *from, bool *known)
{
    const struct mr_where whole = {.file = path};
    const struct mr_where *place = from ? from : &whole;
    bool is_stdin = !from && !strcmp(path, "-");
    struct source *source = NULL;
    struct stat status;
    int fd = -1;

    *known = false;
    fd = is_stdin ? STDIN_FILENO : mr_open_read(path);
    if (fd < 0 || fstat(fd, &status)) {
        analog_error(compile, place, "cannot open %s: %s", path, strerror(errno));
        goto done;
    }
    if (S_ISDIR(status.st_mode) ||
        (!is_stdin && !S_ISREG(status.st_mode) && (from || !has_writer(fd)))) {
        analog_error(compile, place, "cannot read %s: it is %s%s", path,
                     S_ISDIR(status.st_mode) ? "a folder" : "no regular file",
                     from ? "" : "; give a file, or - for standard input");
        goto done;
    }
    source = S_ISREG(status.st_mode) ? find_file(compile, &status) : NULL;
    if (source) {
        *known = true;
        if (source->open)
            analog_error(compile, place, "%s includes itself", source->name);
        source = NULL;
        goto done;
    }
    source = new_source(compile, is_stdin ? "<stdin>" : path);
    if (!source || !read_all(compile, source, fd, place)) {
        source = NULL;
        goto done;
    }
    if (S_ISREG(status.st_mode)) {
        source->device = status.st_dev;
        source->inode = status.st_ino;
    }
    if (!check_text(compile, source))
        source = NULL;
done:
    if (fd > STDIN_FILENO)
        close(fd);
    return source;
}

struct source *analog_source_text(struct compile *compile, const char *name, const char *text,
                                  size_t len)
{
    struct source *source = new_source(compile, name);
    if (!source)
        return NULL;
    source->text = len ? text : "";
    source->len = len;
    return check_text(compile, source) ? source : NULL;
}
