/* Mails that are longer than what is kept of them (--max-mail): from there on they are read as they
 * come, so that events and whoever asks for text, links or parts learn of all of it. */
#ifndef MR_COMPONENTS_SMTP_OVER_H
#define MR_COMPONENTS_SMTP_OVER_H

#include "mime/mime.h"
#include "smtp_body.h"

/* The next bytes that are not kept (a mr_smtp_memory.over). `lender`: this worker's decoder. Where
 * there is no memory for a reader, or nobody asks, they are passed over. */
void mr_smtp_over(struct mr_call *call, const struct mr_mime_decoder *lender,
                  struct mr_smtp_body *body, const uint8_t *bytes, size_t len);

/* The mail is over; `kept`, shared, is what is kept of it. What was read lives until the token
 * closes, and is found by all who read `kept` (mail_read.h). */
const struct mr_mime *mr_smtp_over_end(struct mr_call *call, const struct mr_mime_decoder *lender,
                                       void *reader, union mr_value kept);

/* There will be no mail. `user`: call->runtime. */
void mr_smtp_over_drop(void *user, void *reader);

#endif
