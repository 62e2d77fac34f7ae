/* Mails a second and core of the MIME decoder, beside GMime on the same mails: part `mime` of
 * scripts/bench. User time; rounds interleaved, so that a slow moment hits both.
 *
 * usage: mime_rate ROUNDS FILE...: a line a round: nanoseconds a mail of ours, of ours with the
 * SHA-256 of each file, of GMime (0: not built with it) */
#include "mime/mime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef MR_HAVE_GMIME
#include <gmime/gmime.h>
#endif

struct mail {
    uint8_t *bytes;
    size_t len;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t seen; /* so that nothing is left out */

static void ours(struct mr_mime_decoder *d, const struct mail *mail, bool hash)
{
    const struct mr_mime *m = mr_mime_decode(d, NULL, mail->bytes, mail->len);
    struct mr_mime_digest digest;

    seen += m->text.len + m->n_parts;
    for (uint32_t i = 0; hash && i < m->n_parts; i++) {
        if (!m->parts[i].is_file)
            continue;
        mr_mime_part_digest(&m->parts[i], MR_MIME_SHA256, &digest);
        seen += digest.size;
    }
}

#ifdef MR_HAVE_GMIME
static void one_part(GMimeObject *parent, GMimeObject *part, gpointer user)
{
    (void)parent, (void)user;
    if (!GMIME_IS_TEXT_PART(part))
        return;
    char *text = g_mime_text_part_get_text(GMIME_TEXT_PART(part));
    seen += text ? strlen(text) : 0;
    g_free(text);
}

/* What a filter would ask for: the subject and the text of all text parts; HTML as it is. */
static void theirs(const struct mail *mail)
{
    GMimeStream *stream = g_mime_stream_mem_new_with_buffer((const char *)mail->bytes, mail->len);
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);
    GMimeMessage *message = g_mime_parser_construct_message(parser, NULL);

    if (message) {
        const char *subject = g_mime_message_get_subject(message);
        seen += subject ? strlen(subject) : 0;
        g_mime_message_foreach(message, one_part, NULL);
        g_object_unref(message);
    }
    g_object_unref(parser);
    g_object_unref(stream);
}
#endif

static bool read_file(const char *path, struct mail *mail)
{
    FILE *file = fopen(path, "rb");

    if (!file)
        return false;
    fseek(file, 0, SEEK_END);
    mail->len = (size_t)ftell(file);
    rewind(file);
    mail->bytes = malloc(mail->len + 1);
    bool good = mail->bytes && fread(mail->bytes, 1, mail->len, file) == mail->len;
    fclose(file);
    return good;
}

static void measure(struct mr_mime_decoder *d, const struct mail *mails, size_t n, long rounds)
{
    for (long round = -1; round < rounds; round++) { /* the first one warms up */
        uint64_t ns[3] = {0}, begin = now_ns();
        for (size_t i = 0; i < n; i++)
            ours(d, &mails[i], false);
        ns[0] = now_ns() - begin;
        begin = now_ns();
        for (size_t i = 0; i < n; i++)
            ours(d, &mails[i], true);
        ns[1] = now_ns() - begin;
#ifdef MR_HAVE_GMIME
        begin = now_ns();
        for (size_t i = 0; i < n; i++)
            theirs(&mails[i]);
        ns[2] = now_ns() - begin;
#endif
        if (round >= 0)
            printf("%llu %llu %llu\n", (unsigned long long)(ns[0] / n),
                   (unsigned long long)(ns[1] / n), (unsigned long long)(ns[2] / n));
    }
}

int main(int argc, char **argv)
{
    size_t n = argc > 2 ? (size_t)argc - 2 : 0, have = 0;
    struct mail *mails = calloc(n + 1, sizeof *mails);
    struct mr_mime_decoder *d = mr_mime_open(NULL);
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    int code = 0;

    if (!n || rounds < 1 || !mails || !d) {
        fprintf(stderr, "usage: mime_rate ROUNDS FILE...\n");
        code = 1;
    }
    for (; !code && have < n; have++) {
        if (!read_file(argv[have + 2], &mails[have])) {
            fprintf(stderr, "mime_rate: cannot read %s\n", argv[have + 2]);
            code = 3;
        }
    }
#ifdef MR_HAVE_GMIME
    g_mime_init();
#endif
    if (!code)
        measure(d, mails, n, rounds);
    for (size_t i = 0; i < have; i++)
        free(mails[i].bytes);
    free(mails);
    mr_mime_close(d);
    return code ? code : seen ? 0 : 6;
}
