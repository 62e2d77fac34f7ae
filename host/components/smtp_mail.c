#include "smtp_mail.h"

#include "mail_read.h"

#include <string.h>

#define HASH_HEX 64u /* of SHA-256 */

void mr_mail_hex(char *to, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        to[2 * i] = digits[bytes[i] >> 4];
        to[2 * i + 1] = digits[bytes[i] & 15];
    }
}

bool mr_smtp_mail_wanted(const struct mr_call *call)
{
    return mr_event_wanted(call, "smtp") || mr_event_wanted(call, "fileinfo") ||
           mr_event_wanted(call, "anomaly") || mr_mail_settings(call)->extract;
}

/* ---- extraction ---- */

static void write_part(const void *what, mr_piece *piece, void *user)
{
    mr_mime_content(what, piece, user, NULL);
}

/* A whole mail is a part without encoding. */
static bool extract(struct mr_smtp_reading *r, const struct mr_mime_part *part,
                    const uint8_t *sha256, const char *suffix)
{
    char name[HASH_HEX + 8];
    struct mr_mime_part *copy = mr_alloc(r->call, sizeof *copy);

    if (!copy)
        return false;
    *copy = *part;
    mr_mail_hex(name, sha256, 32);
    memcpy(name + HASH_HEX, suffix, strlen(suffix) + 1);
    return mr_extract(r->call, r->row, name, write_part, copy);
}

static void extract_mail(struct mr_smtp_reading *r, const uint8_t *mail, size_t len)
{
    struct mr_mime_part whole = {.body = {mail, (uint32_t)len}};
    struct mr_mime_digest digest;

    mr_mime_bytes_digest(mail, len, MR_MIME_SHA256, &digest);
    r->work += len;
    extract(r, &whole, digest.sha256, ".eml");
}

/* ---- the note ---- */

static void add(struct mr_buffer **note, struct mr_smtp_reading *r, enum mr_smtp_field field,
                struct mr_mime_text text)
{
    uint32_t len = text.len;

    if (len > 1024)
        for (len = 1024; len && (text.ptr[len] & 0xc0) == 0x80;)
            len--;
    if (len)
        mr_smtp_header_add(note, r->memory, field, text.ptr, len);
}

static void add_hex(struct mr_buffer **note, struct mr_smtp_reading *r, enum mr_smtp_field field,
                    const struct mr_mime_digest *digest)
{
    char hex[32];

    mr_mail_hex(hex, digest->md5, 16);
    mr_smtp_header_add(note, r->memory, field, hex, sizeof hex);
}

static void add_md5(struct mr_buffer **note, struct mr_smtp_reading *r, enum mr_smtp_field field,
                    const uint8_t *bytes, size_t len)
{
    struct mr_mime_digest digest;

    mr_mime_bytes_digest(bytes, len, MR_MIME_MD5, &digest);
    add_hex(note, r, field, &digest);
}

/* Suricata writes URLs without their scheme. */
static void add_link(struct mr_buffer **note, struct mr_smtp_reading *r,
                     const struct mr_mime_link *link)
{
    const uint8_t *slashes = memmem(link->url.ptr, link->url.len, "://", 3);
    struct mr_mime_text url = link->url;

    if (slashes && slashes - url.ptr <= 5) {
        url.len -= (uint32_t)(slashes + 3 - url.ptr);
        url.ptr = slashes + 3;
    } else if (link->kind != MR_MIME_LINK_TEXT) {
        return;
    }
    add(note, r, MR_SMTP_FIELD_URL, url);
}

unsigned mr_smtp_file_hashes(const struct mr_mail_settings *settings)
{
    return (settings->file_md5 ? MR_MIME_MD5 : 0) | (settings->file_sha1 ? MR_MIME_SHA1 : 0) |
           (settings->file_sha256 || settings->extract ? MR_MIME_SHA256 : 0);
}

static void read_file(struct mr_smtp_reading *r, const struct mr_mime_part *part,
                      struct mr_smtp_file *file)
{
    const struct mr_mail_settings *settings = mr_mail_settings(r->call);
    struct mr_mime_digest digest;

    mr_mime_part_digest(part, mr_smtp_file_hashes(settings), &digest);
    r->work += part->digest ? 0 : part->body.len;
    file->size = digest.size;
    memcpy(file->md5, digest.md5, sizeof file->md5);
    memcpy(file->sha1, digest.sha1, sizeof file->sha1);
    memcpy(file->sha256, digest.sha256, sizeof file->sha256);
    if (settings->extract && part->body.len == part->body_bytes)
        file->stored = extract(r, part, digest.sha256, "");
    else if (settings->extract)
        r->not_stored++;
}

/* False: there is no room for its event. */
static bool add_file(struct mr_buffer **note, struct mr_smtp_reading *r,
                     const struct mr_mime_part *part, struct mr_smtp_file file)
{
    uint8_t bytes[sizeof file + 256];
    uint32_t name = part->filename.len < 256 ? part->filename.len : 256;

    if (!file.unread)
        read_file(r, part, &file);
    memcpy(bytes, &file, sizeof file);
    memcpy(bytes + sizeof file, part->filename.ptr, name);
    return mr_smtp_header_add(note, r->memory, MR_SMTP_FIELD_FILE, bytes, sizeof file + name);
}

static void add_decoded(struct mr_buffer **note, struct mr_smtp_reading *r,
                        const struct mr_mime *mime, const char *name, enum mr_smtp_field field)
{
    uint32_t cursor = 0;
    const struct mr_mime_header *header = mr_mime_field(mime, 0, name, &cursor);

    if (header && header->value.ptr != header->raw.ptr &&
        (memmem(header->raw.ptr, header->raw.len, "=?", 2)))
        add(note, r, field, header->value);
}

/* Can a file be told of? */
static bool readable(const struct mr_smtp_reading *r, const struct mr_mime *mime, uint32_t i)
{
    const struct mr_mime_part *part = &mime->parts[i];
    unsigned around = 0;

    if (r->whole)
        return part->digest != NULL;
    if (part->kind != MR_MIME_MESSAGE)
        return true;
    for (; i; i = mime->parts[i].parent)
        around += mime->parts[i].kind == MR_MIME_MESSAGE && mime->parts[i].is_file;
    around += mime->parts[0].kind == MR_MIME_MESSAGE && mime->parts[0].is_file;
    return around <= MR_MIME_READ_MESSAGES;
}

static void add_parts(struct mr_buffer **note, struct mr_smtp_reading *r,
                      const struct mr_mime *mime, bool incomplete)
{
    bool files =
        !r->quiet && (mr_mail_settings(r->call)->extract || mr_event_wanted(r->call, "fileinfo"));
    bool all = true, read = true;

    for (uint32_t i = 0; i < mime->n_parts; i++) {
        const struct mr_mime_part *part = &mime->parts[i];
        struct mr_smtp_file file = {
            .truncated = incomplete && part->body_at + part->body_bytes == mime->bytes,
            .unread = !readable(r, mime, i),
        };
        if (!part->is_file)
            continue;
        add(note, r, MR_SMTP_FIELD_ATTACHMENT, part->filename);
        if (!files)
            continue;
        all &= add_file(note, r, part, file);
        read &= !file.unread;
    }
    if (!all && !r->quiet)
        mr_anomaly(r->call, r->row, "applayer", "MIME_TOO_MANY_FILES");
    if (!read && !r->quiet)
        mr_anomaly(r->call, r->row, "applayer", "MIME_TOO_MANY_MESSAGES");
}

struct mr_buffer *mr_smtp_mail_note(struct mr_smtp_reading *reading, const uint8_t *mail,
                                    size_t len, bool incomplete)
{
    struct mr_smtp_reading *r = reading;
    const struct mr_mail_settings *settings = mr_mail_settings(r->call);
    struct mr_buffer *note = mr_smtp_header_scan(mail, len, r->memory);
    uint32_t cursor = 0;

    if (!note || !r->decoder || !len)
        return note;
    const struct mr_mime *mime = r->whole;
    if (!mime)
        mime = mr_mail_read(r->call, r->decoder, mr_value_bytes(mail, (uint32_t)len),
                            mr_sharers(r->call) != 0);
    r->work += mime->work;
    for (unsigned i = 0; i < MR_MIME_N_ANOMALIES && !r->quiet; i++)
        if (mime->anomalies >> i & 1 && !(incomplete && i == MR_MIME_NO_END))
            mr_anomaly(r->call, r->row, "applayer", mr_mime_anomaly_text((enum mr_mime_anomaly)i));
    bool extracts = settings->extract && !r->quiet; /* without a row there is no record for it */
    if (extracts && mime->bytes == len)
        extract_mail(r, mail, len);
    else if (extracts)
        r->not_stored++;
    add_decoded(&note, r, mime, "from", MR_SMTP_FIELD_FROM_DECODED);
    add_decoded(&note, r, mime, "subject", MR_SMTP_FIELD_SUBJECT_DECODED);
    const struct mr_mime_header *subject = mr_mime_field(mime, 0, "subject", &cursor);
    if (settings->subject_md5 && subject)
        add_md5(&note, r, MR_SMTP_FIELD_SUBJECT_MD5, subject->raw.ptr, subject->raw.len);
    if (settings->body_md5 && mime->body)
        add_hex(&note, r, MR_SMTP_FIELD_BODY_MD5, mime->body);
    else if (settings->body_md5)
        add_md5(&note, r, MR_SMTP_FIELD_BODY_MD5, mime->parts[0].body.ptr, mime->parts[0].body.len);
    add_parts(&note, r, mime, incomplete);
    for (uint32_t i = 0; i < mime->n_links; i++)
        add_link(&note, r, &mime->links[i]);
    mr_mime_release(r->decoder);
    return note;
}

/* ---- events ---- */

static void string_field(struct mr_event *event, const char *key, const struct mr_buffer *note,
                         enum mr_smtp_field field)
{
    struct mr_smtp_text value;
    uint32_t cursor = 0;

    if (mr_smtp_header_next(note, field, &cursor, &value))
        mr_event_string(event, key, value.ptr, value.len);
}

static void array_field(struct mr_event *event, const char *key, const struct mr_buffer *note,
                        enum mr_smtp_field field)
{
    struct mr_smtp_text value;
    uint32_t cursor = 0;
    bool any = false;

    while (mr_smtp_header_next(note, field, &cursor, &value)) {
        if (!any)
            mr_event_array(event, key);
        any = true;
        mr_event_string(event, NULL, value.ptr, value.len);
    }
    if (any)
        mr_event_end(event);
}

void mr_smtp_mail_write(struct mr_event *event, const struct mr_smtp_mail *mail, bool all)
{
    const char *status = "PARSE_DONE";
    const struct mr_buffer *note = mail->note;

    mr_event_object(event, "email");
    if (mail->flags & MR_SMTP_MAIL_INCOMPLETE)
        status = note && mr_smtp_header_complete(note) ? "BODY_STARTED" : "HEADER_STARTED";
    mr_event_string(event, "status", status, strlen(status));
    if (note) {
        string_field(event, "from", note, MR_SMTP_FIELD_FROM);
        if (all)
            string_field(event, "from_decoded", note, MR_SMTP_FIELD_FROM_DECODED);
        array_field(event, "to", note, MR_SMTP_FIELD_TO);
        array_field(event, "cc", note, MR_SMTP_FIELD_CC);
        if (all) {
            string_field(event, "subject", note, MR_SMTP_FIELD_SUBJECT);
            string_field(event, "subject_decoded", note, MR_SMTP_FIELD_SUBJECT_DECODED);
            string_field(event, "date", note, MR_SMTP_FIELD_DATE);
            string_field(event, "message_id", note, MR_SMTP_FIELD_MESSAGE_ID);
            array_field(event, "received", note, MR_SMTP_FIELD_RECEIVED);
        }
        array_field(event, "attachment", note, MR_SMTP_FIELD_ATTACHMENT);
        array_field(event, "url", note, MR_SMTP_FIELD_URL);
        if (all) {
            string_field(event, "body_md5", note, MR_SMTP_FIELD_BODY_MD5);
            string_field(event, "subject_md5", note, MR_SMTP_FIELD_SUBJECT_MD5);
        }
    }
    mr_event_end(event);
}

bool mr_smtp_mail_next_file(const struct mr_buffer *note, uint32_t *cursor,
                            struct mr_smtp_file *file, struct mr_smtp_text *name)
{
    if (!mr_smtp_header_next(note, MR_SMTP_FIELD_FILE, cursor, name))
        return false;
    memcpy(file, name->ptr, sizeof *file);
    name->ptr += sizeof *file;
    name->len -= (uint32_t)sizeof *file;
    return true;
}

static void hash_field(struct mr_event *event, const char *key, const uint8_t *bytes, size_t n)
{
    char hex[HASH_HEX];

    mr_mail_hex(hex, bytes, n);
    mr_event_string(event, key, hex, 2 * n);
}

void mr_smtp_mail_write_file(struct mr_event *event, const struct mr_mail_settings *settings,
                             const struct mr_smtp_file *file, struct mr_smtp_text name,
                             uint32_t transaction)
{
    const char *state = file->truncated || file->unread ? "TRUNCATED" : "CLOSED";

    mr_event_object(event, "fileinfo");
    if (name.len)
        mr_event_string(event, "filename", name.ptr, name.len);
    mr_event_bool(event, "gaps", false);
    mr_event_string(event, "state", state, strlen(state));
    if (settings->file_md5 && !file->unread)
        hash_field(event, "md5", file->md5, sizeof file->md5);
    if (settings->file_sha1 && !file->unread)
        hash_field(event, "sha1", file->sha1, sizeof file->sha1);
    if (settings->file_sha256 && !file->unread)
        hash_field(event, "sha256", file->sha256, sizeof file->sha256);
    mr_event_bool(event, "stored", file->stored);
    mr_event_int(event, "size", (int64_t)file->size);
    mr_event_int(event, "tx_id", transaction);
    mr_event_end(event);
}
