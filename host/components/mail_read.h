/* A mail taken apart, once for all functions that look into it. */
#ifndef MR_COMPONENTS_MAIL_READ_H
#define MR_COMPONENTS_MAIL_READ_H

#include "millrace/component.h"
#include "mime/mime.h"

/* Memory of a call for a decoder. */
struct mr_mime_memory mr_mail_memory(void *runtime);

/* What another function has read of it already, or what the decoder reads now. Valid until the
 * decoder is released or reads the next one. `keep`: others will want it; of a mail that is shared
 * (mr_share()) it is theirs then too. Never NULL. */
const struct mr_mime *mr_mail_read(struct mr_call *call, struct mr_mime_decoder *decoder,
                                   union mr_value mail, bool keep);

/* `mime` is what was read of a mail, as it came, of which `kept`, shared, is in memory: found from
 * now on. It lives until the token closes. */
void mr_mail_was_read(struct mr_call *call, union mr_value kept, const struct mr_mime *mime);

#endif
