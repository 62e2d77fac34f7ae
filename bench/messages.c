/* Reading a file of messages. */
#include "messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((long)1 << 30)

static long slurp(struct messages *messages, const char *path)
{
    FILE *file = fopen(path, "rbe");
    long size = -1;

    if (file && !fseek(file, 0, SEEK_END) && (size = ftell(file)) > 0 && size <= FILE_MAX &&
        !fseek(file, 0, SEEK_SET)) {
        messages->file = malloc((size_t)size);
        if (!messages->file || fread(messages->file, 1, (size_t)size, file) != (size_t)size)
            size = -1;
    }
    if (file)
        fclose(file);
    return size;
}

/* Walks over the records; with `keep` notes them. False: the file is cut off. */
static bool walk(struct messages *messages, long size, bool keep)
{
    messages->n = 0;
    for (long at = 0; at < size;) {
        uint32_t len;
        if (size - at < 4)
            return false;
        memcpy(&len, messages->file + at, 4);
        at += 4;
        if ((long)len > size - at)
            return false;
        if (keep) {
            messages->at[messages->n] = messages->file + at;
            messages->len[messages->n] = len;
            messages->bytes += len;
        }
        messages->n++;
        at += (long)len;
    }
    return true;
}

bool messages_read(struct messages *messages, const char *path)
{
    *messages = (struct messages){.n = 0};
    long size = slurp(messages, path);
    bool good = size > 0 && walk(messages, size, false);

    if (good) {
        messages->at = malloc(messages->n * sizeof *messages->at);
        messages->len = malloc(messages->n * sizeof *messages->len);
        good = messages->at && messages->len && walk(messages, size, true);
    }
    if (!good)
        fprintf(stderr, "%s: cannot be read as messages\n", path);
    return good;
}

void messages_free(struct messages *messages)
{
    free(messages->file);
    free((void *)messages->at);
    free(messages->len);
}
