/* The text of a mail that is scored (models/spam_text.h), made once for all who score it. */
#ifndef MR_ENGINE_MAIL_TEXT_H
#define MR_ENGINE_MAIL_TEXT_H

#include "components/mail_read.h"
#include "models/spam_text.h"

/* One thread's. */
struct mr_mail_reader {
    struct mr_mime_decoder *decoder;
    uint8_t room[MR_SPAM_TEXT_ROOM];
};

struct mr_mail_text {
    const uint8_t *bytes; /* MR_SPAM_SLACK more can be read behind */
    uint32_t len;
};

/* Valid until the reader is used again. `keep`: others will want it; of a mail that is shared
 * (mr_share()) it stays until the token closes then, for every call with the same `fields`. */
struct mr_mail_text mr_mail_text(struct mr_call *call, struct mr_mail_reader *reader,
                                 union mr_value mail, enum mr_spam_fields fields, bool keep);

#endif
