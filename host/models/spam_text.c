/* From a decoded mail to the text that is scored. Facts and fields come first, so that a long body
 * cannot push them out. */
#include "models/spam_text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FIELD_BYTES  2048u  /* of one field; recipients by the thousand say nothing new */
#define FIELDS_BYTES 16384u /* of all fields together */
#define LINKS_BYTES  12288u
#define HIDDEN_BYTES 8192u
#define LINKS_MAX    200u

struct out {
    uint8_t *bytes;
    uint32_t at, end; /* end: of the share that is being filled */
};

struct name {
    const char *text; /* lower case */
    uint32_t len;
};
#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static bool same(const uint8_t *name, uint32_t len, struct name known)
{
    return len == known.len && (name[0] | 0x20) == known.text[0] &&
           !strncasecmp((const char *)name, known.text, len);
}

/* ---- writing ---- */

static bool open_piece(struct out *out, uint32_t kind)
{
    if (out->end - out->at < 3)
        return false;
    out->bytes[out->at++] = MR_BAYES_MARK;
    out->bytes[out->at++] = (uint8_t)(0x10 | kind >> 4);
    out->bytes[out->at++] = (uint8_t)(0x10 | (kind & 15));
    return true;
}

/* Marks in the mail itself must not pass for ours. */
static void put(struct out *out, const void *bytes, uint32_t len)
{
    uint8_t *to = out->bytes + out->at, *mark;

    if (len > out->end - out->at)
        len = out->end - out->at;
    if (!len)
        return;
    memcpy(to, bytes, len);
    out->at += len;
    for (uint8_t *from = to; (mark = memchr(from, MR_BAYES_MARK, (size_t)(to + len - from)));
         from = mark + 1)
        *mark = ' ';
}

static void put_byte(struct out *out, uint8_t byte)
{
    if (out->at < out->end)
        out->bytes[out->at++] = byte;
}

static void piece(struct out *out, uint32_t kind, struct mr_mime_text text, uint32_t max)
{
    if (text.len && open_piece(out, kind))
        put(out, text.ptr, text.len < max ? text.len : max);
}

static void word(struct out *out, const char *text)
{
    put(out, text, (uint32_t)strlen(text));
    put_byte(out, ' ');
}

/* "links.5": between 16 and 31 of them. */
static void count(struct out *out, const char *name, uint64_t n)
{
    char text[48];
    int log2 = n ? 64 - __builtin_clzll(n) : 0;
    int len = snprintf(text, sizeof text, "%s.%d ", name, log2);

    put(out, text, (uint32_t)len);
}

/* "cs_iso-8859-1", with what separates tokens made an underscore. */
static void joined(struct out *out, const char *prefix, struct mr_mime_text text)
{
    char name[MR_BAYES_TOKEN_BYTES + 1];
    size_t n = strlen(prefix);

    memcpy(name, prefix, n);
    for (uint32_t i = 0; i < text.len && n < sizeof name - 1; i++)
        name[n++] = mr_bayes_is_token(text.ptr[i]) ? (char)text.ptr[i] : '_';
    put(out, name, (uint32_t)n);
    put_byte(out, ' ');
}

/* ---- fields ---- */

bool mr_spam_field_ignored(const uint8_t *name, uint32_t len)
{
    static const struct name names[] = {
        NAME("date"),           NAME("delivered-to"),    NAME("status"),
        NAME("x-status"),       NAME("x-keywords"),      NAME("x-uid"),
        NAME("x-uidl"),         NAME("lines"),           NAME("delivery-date"),
        NAME("x-loop"),         NAME("x-beenthere"),     NAME("x-bogosity"),
        NAME("content-length"), NAME("x-evolution"),     NAME("x-folder"),
        NAME("x-received"),     NAME("x-original-date"), NAME("x-original-to"),
        NAME("envelope-to"),
    };

    if (len >= 6 && (!strncasecmp((const char *)name, "x-spam", 6) ||
                     (len >= 9 && !strncasecmp((const char *)name, "x-mozilla", 9))))
        return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (same(name, len, names[i]))
            return true;
    return false;
}

static const struct field {
    struct name name;
    uint8_t kind;
    bool sender; /* written by the sender's program */
} known[] = {
    {NAME("subject"), MR_SPAM_SUBJECT, true},
    {NAME("from"), MR_SPAM_FROM, true},
    {NAME("to"), MR_SPAM_TO, true},
    {NAME("cc"), MR_SPAM_TO, true},
    {NAME("reply-to"), MR_SPAM_REPLY_TO, true},
    {NAME("return-path"), MR_SPAM_RETURN_PATH, false},
    {NAME("received"), MR_SPAM_RECEIVED, false},
    {NAME("message-id"), MR_SPAM_MESSAGE_ID, true},
    {NAME("content-type"), MR_SPAM_CONTENT_TYPE, true},
    {NAME("content-transfer-encoding"), MR_SPAM_CONTENT_TYPE, true},
    {NAME("mime-version"), MR_SPAM_CONTENT_TYPE, true},
    {NAME("x-mailer"), MR_SPAM_MAILER, true},
    {NAME("user-agent"), MR_SPAM_MAILER, true},
    {NAME("x-mimeole"), MR_SPAM_MAILER, true},
    {NAME("organization"), MR_SPAM_OTHER, true},
    {NAME("organisation"), MR_SPAM_OTHER, true},
    {NAME("x-priority"), MR_SPAM_OTHER + 1, true},
    {NAME("x-msmail-priority"), MR_SPAM_OTHER + 2, true},
    {NAME("importance"), MR_SPAM_OTHER + 3, true},
    {NAME("priority"), MR_SPAM_OTHER + 4, true},
    {NAME("in-reply-to"), MR_SPAM_OTHER + 5, true},
    {NAME("references"), MR_SPAM_OTHER + 6, true},
    {NAME("x-accept-language"), MR_SPAM_OTHER + 7, true},
};

static uint32_t kind_of(const struct mr_mime_header *header, bool *sender)
{
    uint32_t hash = 0x811c9dc5u;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (same(header->name.ptr, header->name.len, known[i].name)) {
            *sender = known[i].sender;
            return known[i].kind;
        }
    *sender = false;
    for (uint32_t i = 0; i < header->name.len; i++)
        hash = (hash ^ (header->name.ptr[i] | 0x20u)) * 0x01000193u;
    return MR_SPAM_OTHER + 16 + (hash >> 8) % 112;
}

/* The charset of the first encoded word. */
static void encoded_word(struct out *out, const struct mr_mime_header *header)
{
    const uint8_t *raw = header->raw.ptr, *end = raw + header->raw.len;
    const uint8_t *at = header->raw.len ? memmem(raw, header->raw.len, "=?", 2) : NULL;
    const uint8_t *stop = at ? memchr(at + 2, '?', (size_t)(end - at - 2)) : NULL;

    if (stop && open_piece(out, MR_SPAM_PARTS))
        joined(out, "word_", (struct mr_mime_text){at + 2, (uint32_t)(stop - at - 2)});
}

static void fields_of(struct out *out, const struct mr_mime *mail, enum mr_spam_fields fields)
{
    const struct mr_mime_part *root = &mail->parts[0];

    for (uint32_t pass = 0; pass < 2; pass++) { /* first the values, then the names */
        bool opened = pass && open_piece(out, MR_SPAM_NAMES);
        for (uint32_t i = 0; i < root->n_headers; i++) {
            const struct mr_mime_header *header = &mail->headers[root->first_header + i];
            bool sender;
            uint32_t kind = kind_of(header, &sender);
            if ((fields == MR_SPAM_FIELDS_SENDER && !sender) ||
                mr_spam_field_ignored(header->name.ptr, header->name.len))
                continue;
            if (opened)
                joined(out, "", header->name);
            if (pass)
                continue;
            piece(out, kind, header->value, FIELD_BYTES);
            if (kind == MR_SPAM_SUBJECT || kind == MR_SPAM_FROM)
                encoded_word(out, header);
        }
    }
}

/* ---- parts, links, facts ---- */

static void parts_of(struct out *out, const struct mr_mime *mail)
{
    static const char *const encodings[] = {"as_is", "base64", "quoted", "uuencode"};

    if (!open_piece(out, MR_SPAM_PARTS))
        return;
    for (uint32_t i = 0; i < mail->n_parts && out->at < out->end; i++) {
        const struct mr_mime_part *part = &mail->parts[i];
        joined(out, "type_", part->type);
        if (part->charset.len)
            joined(out, "cs_", part->charset);
        if (part->disposition.len)
            joined(out, "as_", part->disposition);
        if (part->encoding < sizeof encodings / sizeof *encodings)
            word(out, encodings[part->encoding]);
    }
    for (uint32_t i = 0; i < mail->n_parts; i++)
        piece(out, MR_SPAM_FILE, mail->parts[i].filename, 128);
}

static void facts_of(struct out *out, const struct mr_mime *mail)
{
    const struct mr_mime_html *html = &mail->html;
    uint32_t text_len = mail->text.len;

    if (!open_piece(out, MR_SPAM_FACTS))
        return;
    while (text_len && mail->text.ptr[text_len - 1] == '\n')
        text_len--; /* SMTP senders add empty lines */
    count(out, "parts", mail->n_parts);
    count(out, "links", mail->n_links);
    count(out, "hidden", mail->n_hidden);
    count(out, "text", text_len);
    if (html->parts) {
        count(out, "html", html->parts);
        count(out, "tags", html->tags);
        count(out, "comments", html->comments);
        count(out, "images", html->images);
        count(out, "forms", html->forms);
        count(out, "scripts", html->scripts);
        count(out, "split", html->comment_in_word);
    }
    for (uint32_t i = 0; i < MR_MIME_N_ANOMALIES; i++)
        if (mail->anomalies >> i & 1)
            word(out, mr_mime_anomaly_text((enum mr_mime_anomaly)i));
}

/* Whole, and its host label by label: www.shop.example -> www shop example. */
static void link_of(struct out *out, const struct mr_mime_link *link)
{
    static const char *const kinds[] = {"href ", "load ", "text "};
    const uint8_t *at = link->url.ptr, *end = at + (link->url.len < 256 ? link->url.len : 256);
    const uint8_t *slashes = link->url.len > 3 ? memmem(at, (size_t)(end - at), "://", 3) : NULL;

    if (!link->url.len || !open_piece(out, MR_SPAM_LINK))
        return;
    if (link->kind < 3)
        put(out, kinds[link->kind], 5);
    put(out, at, (uint32_t)(end - at));
    if (slashes)
        at = slashes + 3;
    if (!open_piece(out, MR_SPAM_HOST))
        return;
    for (; at < end && *at != '/' && *at != '?'; at++)
        put_byte(out, *at == '.' || *at == MR_BAYES_MARK ? ' ' : *at);
}

uint32_t mr_spam_text(const struct mr_mime *mail, enum mr_spam_fields fields, uint8_t *bytes)
{
    struct out out = {bytes, 0, 0};

    out.end = FIELDS_BYTES;
    facts_of(&out, mail);
    if (fields != MR_SPAM_FIELDS_NONE) {
        parts_of(&out, mail);
        fields_of(&out, mail, fields);
    }
    out.end = out.at + LINKS_BYTES;
    for (uint32_t i = 0; i < mail->n_links && i < LINKS_MAX; i++)
        link_of(&out, &mail->links[i]);
    out.end = out.at + HIDDEN_BYTES;
    for (uint32_t i = 0; i < mail->n_hidden; i++)
        piece(&out, MR_SPAM_HIDDEN, mail->hidden[i].text, HIDDEN_BYTES);
    out.end = MR_BAYES_TEXT_BYTES;
    piece(&out, MR_SPAM_BODY, mail->text, MR_BAYES_TEXT_BYTES);
    return out.at;
}
