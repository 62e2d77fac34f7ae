#include "mail_read.h"

/* The key under which a mail that was read is kept with it. */
static const char key;

static void *get(void *user, size_t bytes, void **handle)
{
    struct mr_buffer *buffer = mr_buffer_get(user, bytes);

    *handle = buffer;
    return buffer ? buffer->data : NULL;
}

static void put(void *user, void *handle)
{
    mr_buffer_put(user, handle);
}

struct mr_mime_memory mr_mail_memory(void *runtime)
{
    return (struct mr_mime_memory){runtime, get, put};
}

const struct mr_mime *mr_mail_read(struct mr_call *call, struct mr_mime_decoder *decoder,
                                   union mr_value mail, bool keep)
{
    struct mr_mime_memory memory = mr_mail_memory(call->runtime);
    const struct mr_mime *before = mr_shared(call, mail, &key);

    if (before)
        return before;
    const struct mr_mime *mime =
        mr_mime_decode(decoder, &memory, mail.b.len ? mail.b.ptr : "", mail.b.len);
    if (!keep || !mr_is_shared(call, mail) || mime->anomalies >> MR_MIME_NO_MEMORY & 1)
        return mime; /* where memory was short others may have better luck */
    void *copy = mr_share_alloc(call, mr_mime_copy_bytes(mime));
    return copy ? mr_share_made(call, mail, &key, mr_mime_copy(mime, copy)) : mime;
}

void mr_mail_was_read(struct mr_call *call, union mr_value kept, const struct mr_mime *mime)
{
    mr_share_made(call, kept, &key, mime);
}
