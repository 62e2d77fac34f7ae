/* The note of a mail: what its events tell later. A few header fields as they stand, unfolded,
 * within bounds; and what smtp_mail.c adds of its parts. */
#ifndef MR_COMPONENTS_SMTP_HEADER_H
#define MR_COMPONENTS_SMTP_HEADER_H

#include "smtp_parser.h"

enum mr_smtp_field {
    MR_SMTP_FIELD_FROM, /* the order in which mr_smtp_header_next() is asked for them */
    MR_SMTP_FIELD_TO,   /* one value for each address */
    MR_SMTP_FIELD_CC,
    MR_SMTP_FIELD_SUBJECT,
    MR_SMTP_FIELD_DATE,
    MR_SMTP_FIELD_MESSAGE_ID,
    MR_SMTP_FIELD_RECEIVED, /* one value for each host, as they stand; folds leave no blanks */
    MR_SMTP_HEADER_FIELDS,  /* those above are found by mr_smtp_header_scan() */
    MR_SMTP_FIELD_ATTACHMENT = MR_SMTP_HEADER_FIELDS, /* names, UTF-8 */
    MR_SMTP_FIELD_URL,
    MR_SMTP_FIELD_SUBJECT_MD5, /* as text */
    MR_SMTP_FIELD_BODY_MD5,
    MR_SMTP_FIELD_FROM_DECODED, /* where it is not what stands there */
    MR_SMTP_FIELD_SUBJECT_DECODED,
    MR_SMTP_FIELD_FILE, /* struct mr_smtp_file and the name */
    MR_SMTP_N_FIELDS
};

/* Scans the header section at the beginning of a mail. Gives a buffer with what was found, also
 * when nothing was; NULL: no memory. */
struct mr_buffer *mr_smtp_header_scan(const uint8_t *mail, size_t len,
                                      const struct mr_smtp_memory *memory);

/* Adds a value to a note, as it is; false: there is no room. */
bool mr_smtp_header_add(struct mr_buffer **to, const struct mr_smtp_memory *memory,
                        enum mr_smtp_field field, const void *bytes, size_t len);

/* The next value of a field; *cursor is 0 at first. False: no more. */
bool mr_smtp_header_next(const struct mr_buffer *found, enum mr_smtp_field field, uint32_t *cursor,
                         struct mr_smtp_text *value);

/* The empty line behind the header section was seen. */
bool mr_smtp_header_complete(const struct mr_buffer *found);

#endif
