/* What a mail holds, for its events: its parts read (host/mime), files handed over to be extracted,
 * the note filled, and the note written into events. */
#ifndef MR_COMPONENTS_SMTP_MAIL_H
#define MR_COMPONENTS_SMTP_MAIL_H

#include "mime/mime.h"
#include "smtp_header.h"

/* A file in a mail; its name (UTF-8) follows. */
struct mr_smtp_file {
    uint64_t size;
    uint8_t md5[16], sha1[20], sha256[32];
    bool truncated; /* the mail ends before it */
    bool stored;    /* handed over to --extract */
    bool unread;    /* its bytes were not looked at: size and hashes are not known */
};

struct mr_smtp_reading {
    struct mr_call *call;
    uint32_t row;
    struct mr_mime_decoder *decoder;
    const struct mr_smtp_memory *memory;
    const struct mr_mime *whole; /* what was read of it as it came (smtp_over.h), or NULL */
    uint64_t work;               /* set: bytes looked at, however often, those hashed included */
    uint32_t not_stored; /* set: mails and files that --extract would have, but they are not kept */
    bool quiet;          /* for an alert: there is no row, and nothing is told but by the note */
};

/* Hashes of files that are wanted: MR_MIME_x ored. */
unsigned mr_smtp_file_hashes(const struct mr_mail_settings *settings);

/* Is there anybody who wants to know of every mail? */
bool mr_smtp_mail_wanted(const struct mr_call *call);

/* Reads the mail, tells its anomalies, hands over files; they refer to the bytes until the token
 * closes. Gives the note; NULL: there was no memory. */
struct mr_buffer *mr_smtp_mail_note(struct mr_smtp_reading *reading, const uint8_t *mail,
                                    size_t len, bool incomplete);

/* The object `email`. `all`: as in `smtp` events; else as Suricata has it in `fileinfo` events,
 * where it stands once for each file: from, to, cc, attachment, url. */
void mr_smtp_mail_write(struct mr_event *event, const struct mr_smtp_mail *mail, bool all);

/* The object `fileinfo` of the next file; false: no more. */
bool mr_smtp_mail_next_file(const struct mr_buffer *note, uint32_t *cursor,
                            struct mr_smtp_file *file, struct mr_smtp_text *name);
void mr_smtp_mail_write_file(struct mr_event *event, const struct mr_mail_settings *settings,
                             const struct mr_smtp_file *file, struct mr_smtp_text name,
                             uint32_t transaction);

/* Lower-case digits, two a byte. */
void mr_mail_hex(char *to, const uint8_t *bytes, size_t n);

#endif
