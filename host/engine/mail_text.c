#include "engine/mail_text.h"

#include <string.h>

/* What is kept with a mail; its bytes follow. */
struct kept {
    struct mr_mail_text text;
};

/* The keys under which it is, one for each choice of fields. */
static const char keys[MR_SPAM_N_FIELDS];

struct mr_mail_text mr_mail_text(struct mr_call *call, struct mr_mail_reader *reader,
                                 union mr_value mail, enum mr_spam_fields fields, bool keep)
{
    const struct kept *before = mr_shared(call, mail, &keys[fields]);

    if (before)
        return before->text;
    const struct mr_mime *mime = mr_mail_read(call, reader->decoder, mail, keep);
    struct mr_mail_text text = {reader->room, mr_spam_text(mime, fields, reader->room)};
    bool whole = !(mime->anomalies >> MR_MIME_NO_MEMORY & 1);
    mr_mime_release(reader->decoder);
    if (!keep || !whole || !mr_is_shared(call, mail))
        return text;
    struct kept *kept = mr_share_alloc(call, sizeof *kept + text.len + MR_SPAM_SLACK);
    if (!kept)
        return text;
    memcpy(kept + 1, text.bytes, text.len + MR_SPAM_SLACK);
    kept->text = (struct mr_mail_text){(const uint8_t *)(kept + 1), text.len};
    before = mr_share_made(call, mail, &keys[fields], kept);
    return before->text;
}
