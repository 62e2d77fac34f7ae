/* The text of a mail that is scored: what its fields, parts, links and visible and hidden words
 * say, as pieces of the kinds below (the format is that of kernels/bayes_table.h). */
#ifndef MR_MODELS_SPAM_TEXT_H
#define MR_MODELS_SPAM_TEXT_H

#include "mime/mime.h"
#include "models/spam_tokens.h"

/* What of the header section counts; a model says with which it was trained. */
enum mr_spam_fields {
    MR_SPAM_FIELDS_ALL,    /* all but dates and what spam filters and mail folders add */
    MR_SPAM_FIELDS_SENDER, /* only what the sender's program writes: no Received, no list fields */
    MR_SPAM_FIELDS_NONE,   /* the body only */
    MR_SPAM_N_FIELDS
};

enum mr_spam_kind {
    MR_SPAM_BODY = 1,
    MR_SPAM_HIDDEN,
    MR_SPAM_SUBJECT,
    MR_SPAM_FROM,
    MR_SPAM_TO, /* and Cc */
    MR_SPAM_REPLY_TO,
    MR_SPAM_RETURN_PATH,
    MR_SPAM_RECEIVED,
    MR_SPAM_MESSAGE_ID,
    MR_SPAM_CONTENT_TYPE,
    MR_SPAM_MAILER,
    MR_SPAM_NAMES, /* of the fields */
    MR_SPAM_PARTS, /* types, charsets, encodings */
    MR_SPAM_FILE,  /* names of attachments */
    MR_SPAM_LINK,
    MR_SPAM_HOST,       /* of links, label by label */
    MR_SPAM_FACTS,      /* counts of parts, links, images ..., anomalies */
    MR_SPAM_OTHER = 128 /* 128 to 255: other fields, by a hash of their names */
};

/* Room for a text and what tokenising may read behind it. */
#define MR_SPAM_TEXT_ROOM (MR_BAYES_TEXT_BYTES + MR_SPAM_SLACK)

/* Writes the text of a mail and returns its length, at most MR_BAYES_TEXT_BYTES: of longer mails
 * the body is cut first. `out` has room for MR_SPAM_TEXT_ROOM bytes. */
uint32_t mr_spam_text(const struct mr_mime *mail, enum mr_spam_fields fields, uint8_t *out);

/* Is this field written by collectors, filters or mail folders, so that it says nothing of the
 * mail itself? */
bool mr_spam_field_ignored(const uint8_t *name, uint32_t len);

#endif
