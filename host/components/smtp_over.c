#include "smtp_over.h"

#include "mail_read.h"
#include "smtp_mail.h"

/* Of text so much is kept as of mails, but never less than whoever judges text looks at. */
#define LEAST_TEXT (1u << 20)
#define MOST_TEXT  (16u << 20)

static struct mr_mime_decoder *begin(struct mr_call *call, uint32_t kept)
{
    const struct mr_mail_settings *settings = mr_mail_settings(call);
    struct mr_mime_memory memory = mr_mail_memory(call->runtime);
    struct mr_mime_limits limits = {.text_bytes = kept < LEAST_TEXT  ? LEAST_TEXT
                                                  : kept > MOST_TEXT ? MOST_TEXT
                                                                     : kept};
    unsigned hashes = mr_smtp_file_hashes(settings);

    if (mr_sharers(call))
        hashes |= MR_MIME_SHA256; /* f_mimeParts() */
    return mr_mime_begin_within(&memory, &limits, hashes, settings->body_md5 ? MR_MIME_MD5 : 0);
}

void mr_smtp_over(struct mr_call *call, const struct mr_mime_decoder *lender,
                  struct mr_smtp_body *body, const uint8_t *bytes, size_t len)
{
    struct mr_mime_memory memory = mr_mail_memory(call->runtime);
    uint64_t passed = body->bytes - len - (body->buffer ? body->buffer->len : 0);

    if (!lender || (!body->reader && passed)) /* what was passed over is missing for good */
        return;
    if (!body->reader) {
        if (!mr_smtp_mail_wanted(call) && !mr_transactions_wanted(call) && !mr_sharers(call))
            return;
        body->reader = begin(call, body->limit);
        if (!body->reader) {
            body->no_memory = true;
            return;
        }
        mr_mime_lend(body->reader, &memory, lender);
        if (body->buffer)
            mr_mime_feed(body->reader, body->buffer->data, body->buffer->len);
    }
    mr_mime_lend(body->reader, &memory, lender);
    mr_mime_feed(body->reader, bytes, len);
}

static void keep(void *user, void *handle)
{
    mr_keep(user, handle);
}

const struct mr_mime *mr_smtp_over_end(struct mr_call *call, const struct mr_mime_decoder *lender,
                                       void *reader, union mr_value kept)
{
    struct mr_mime_memory memory = mr_mail_memory(call->runtime);

    mr_mime_lend(reader, &memory, lender);
    const struct mr_mime *mime = mr_mime_end(reader, kept.b.ptr, kept.b.len);
    mr_mime_end_within(reader, keep, call);
    mr_mail_was_read(call, kept, mime);
    return mime;
}

void mr_smtp_over_drop(void *user, void *reader)
{
    struct mr_mime_memory memory = mr_mail_memory(user);

    mr_mime_lend(reader, &memory, NULL);
    mr_mime_end_within(reader, NULL, NULL);
}
