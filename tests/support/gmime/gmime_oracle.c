#include "gmime_oracle.h"

#include <string.h>

static void collect(GMimeObject *parent, GMimeObject *part, gpointer leaves)
{
    (void)parent;
    if (GMIME_IS_MESSAGE_PART(part)) {
        GMimeMessage *message = g_mime_message_part_get_message((GMimeMessagePart *)part);
        GMimeObject *root = message ? g_mime_message_get_mime_part(message) : NULL;
        if (root && GMIME_IS_MULTIPART(root))
            g_mime_multipart_foreach((GMimeMultipart *)root, collect, leaves);
        else if (root)
            collect(part, root, leaves);
    } else if (GMIME_IS_PART(part)) {
        g_ptr_array_add(leaves, part);
    }
}

/* All runs of blanks become one. */
static char *squeezed(const char *text, size_t len)
{
    GString *s = g_string_sized_new(len + 1);

    for (size_t i = 0; i < len; i++) {
        bool blank = strchr(" \t\r\n", text[i]) != NULL && text[i];
        if (!blank)
            g_string_append_c(s, text[i]);
        else if (s->len && s->str[s->len - 1] != ' ')
            g_string_append_c(s, ' ');
    }
    while (s->len && s->str[s->len - 1] == ' ')
        g_string_truncate(s, s->len - 1);
    return g_string_free(s, FALSE);
}

static bool equal(const char *a, struct mr_mime_text b)
{
    return strlen(a) == b.len && (!b.len || !memcmp(a, b.ptr, b.len));
}

static void piece(void *user, const uint8_t *bytes, size_t len)
{
    g_byte_array_append(user, bytes, (guint)len);
}

static bool bit(uint64_t anomalies, enum mr_mime_anomaly anomaly)
{
    return anomalies >> anomaly & 1;
}

/* Charsets that both mean the same by. */
static bool comparable(const struct mr_mime *mime, const struct mr_mime_part *part)
{
    static const char *const same[] = {"utf-8", "koi8-r", "windows-1252", "iso-8859-15"};

    if (part->is_html || bit(mime->anomalies, MR_MIME_INVALID_CHARACTER))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(same); i++)
        if (equal(same[i], part->charset))
            return true;
    return false;
}

static enum difference compare_text(const struct mr_mime *mime, const struct mr_mime_part *part,
                                    GMimePart *leaf, char **what)
{
    enum difference result = SAME;
    char *text;

    if (!GMIME_IS_TEXT_PART(leaf) || !comparable(mime, part) ||
        !(text = g_mime_text_part_get_text(GMIME_TEXT_PART(leaf))))
        return SAME;
    char *a = squeezed(text, strlen(text));
    char *b = squeezed((const char *)part->text.ptr, part->text.len);
    if (strcmp(a, b) != 0 && !(part->text.len && memchr(part->text.ptr, 0, part->text.len))) {
        *what = g_strdup_printf("GMime [%.200s] here [%.200s]", a, b);
        result = TEXT;
    }
    g_free(a);
    g_free(b);
    g_free(text);
    return result;
}

static enum difference compare_leaf(const struct mr_mime *mime, const struct mr_mime_part *part,
                                    GMimePart *leaf, char **what)
{
    GMimeContentType *type = g_mime_object_get_content_type(GMIME_OBJECT(leaf));
    char *name = g_mime_content_type_get_mime_type(type);
    const char *file = g_mime_part_get_filename(leaf);
    GMimeDataWrapper *content = g_mime_part_get_content(leaf);
    GMimeStream *stream = g_mime_stream_mem_new();
    GByteArray *ours = g_byte_array_new(), *theirs;
    enum difference result = SAME;
    uint64_t anomalies = 0;

    for (char *p = name; *p; p++)
        *p = g_ascii_tolower(*p);
    file = file ? file : "";
    if (content)
        g_mime_data_wrapper_write_to_stream(content, stream);
    theirs = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
    mr_mime_content(part, piece, ours, &anomalies);
    if (!equal(name, part->type)) {
        *what = g_strdup_printf("GMime %s here %.*s", name, (int)part->type.len, part->type.ptr);
        result = TYPE;
    } else if (!equal(file, part->filename) && !bit(mime->anomalies, MR_MIME_INVALID_WORD)) {
        *what = g_strdup_printf("GMime [%s] here [%.*s]", file, (int)part->filename.len,
                                part->filename.ptr);
        result = FILENAME;
    } else if (anomalies) {
        result = SAME;
    } else if (theirs->len != ours->len ||
               (ours->len && memcmp(theirs->data, ours->data, ours->len) != 0)) {
        *what = g_strdup_printf("GMime %u bytes, here %u, of %s", theirs->len, ours->len, name);
        result = CONTENT;
    } else {
        result = compare_text(mime, part, leaf, what);
    }
    g_byte_array_unref(ours);
    g_object_unref(stream);
    g_free(name);
    return result;
}

static enum difference compare_subject(const struct mr_mime *mime, GMimeMessage *message,
                                       char **what)
{
    uint32_t cursor = 0;
    const struct mr_mime_header *header = mr_mime_field(mime, 0, "subject", &cursor);
    const char *subject = g_mime_message_get_subject(message);
    enum difference result = SAME;

    if (!header || bit(mime->anomalies, MR_MIME_INVALID_WORD) ||
        bit(mime->anomalies, MR_MIME_INVALID_CHARACTER))
        return SAME;
    char *a = squeezed(subject ? subject : "", subject ? strlen(subject) : 0);
    char *b = squeezed((const char *)header->value.ptr, header->value.len);
    /* GMime drops or marks what it cannot convert; we read charsets as their supersets */
    bool same_charset = true;
    char *raw = g_strndup((const char *)header->raw.ptr, header->raw.len);
    for (uint32_t i = 0; i < header->raw.len; i++)
        same_charset &= header->raw.ptr[i] < 0x80;
    if (same_charset && !strcasestr(raw, "=?iso-") && strcmp(a, b) != 0) {
        *what = g_strdup_printf("GMime [%s] here [%s]", a, b);
        result = SUBJECT;
    }
    g_free(raw);
    g_free(a);
    g_free(b);
    return result;
}

static bool our_leaf(const struct mr_mime *mime, uint32_t i)
{
    const struct mr_mime_part *part = &mime->parts[i];
    bool in_text = i && mime->parts[part->parent].kind == MR_MIME_LEAF;
    return part->kind == MR_MIME_LEAF && !in_text;
}

enum difference oracle_compare(struct mr_mime_decoder *decoder, const char *mail, size_t len,
                               char **what)
{
    GMimeStream *stream = g_mime_stream_mem_new_with_buffer(mail, len);
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);
    GPtrArray *leaves = g_ptr_array_new();
    const struct mr_mime *mime = mr_mime_decode(decoder, NULL, (const uint8_t *)mail, len);
    enum difference result = NO_MESSAGE;
    uint32_t n = 0;

    *what = NULL;
    if (len > 5 && !memcmp(mail, "From ", 5))
        g_mime_parser_set_format(parser, GMIME_FORMAT_MBOX);
    GMimeMessage *message = g_mime_parser_construct_message(parser, NULL);
    if (message) {
        g_mime_message_foreach(message, collect, leaves);
        result = compare_subject(mime, message, what);
        for (uint32_t i = 0; i < mime->n_parts; i++)
            n += our_leaf(mime, i);
        if (!result && n != leaves->len) {
            *what = g_strdup_printf("GMime %u here %u", leaves->len, n);
            result = LEAVES;
        }
        n = 0;
        for (uint32_t i = 0; i < mime->n_parts && !result; i++)
            if (our_leaf(mime, i))
                result = compare_leaf(mime, &mime->parts[i], leaves->pdata[n++], what);
        g_object_unref(message);
    }
    g_ptr_array_unref(leaves);
    g_object_unref(parser);
    g_object_unref(stream);
    return result;
}

/* ---- mails ---- */

static const char *const names[] = {"report.pdf",
                                    "Rechnung März.docx",
                                    "счёт за июль.xls",
                                    "請求書.txt",
                                    "a \"quoted\" name.txt",
                                    ("a very long name that needs more than one line of a header "
                                     "section since it has over a hundred characters.zip")};
static const char *const texts[] = {"Hello,\r\nplain text.\r\n", "Grüße aus Köln – €5\r\n",
                                    "Привет, мир\r\n", "=3D looks encoded = is not\r\n",
                                    "From the beginning\r\n.\r\n--\r\n-- \r\nsignature\r\n"};

static GMimeObject *random_leaf(GRand *r, GPtrArray *contents)
{
    static const GMimeContentEncoding encodings[] = {GMIME_CONTENT_ENCODING_BASE64,
                                                     GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE};
    static const char *const types[] = {"application/pdf", "image/png", "text/plain", "text/html",
                                        "message/x-odd"};
    int kind = g_rand_int_range(r, 0, G_N_ELEMENTS(types));
    bool text = !strncmp(types[kind], "text", 4);
    char **pair = g_strsplit(types[kind], "/", 2);
    GMimePart *part = text ? (GMimePart *)g_mime_text_part_new_with_subtype(pair[1])
                           : g_mime_part_new_with_type(pair[0], pair[1]);
    GByteArray *bytes = g_byte_array_new();
    int n = g_rand_int_range(r, 1, text ? 20 : 3000);

    g_strfreev(pair);
    for (int i = 0; i < n; i++) {
        const char *line = texts[g_rand_int_range(r, 0, G_N_ELEMENTS(texts))];
        guint8 byte = (guint8)g_rand_int(r);
        if (text)
            g_byte_array_append(bytes, (const guint8 *)line, (guint)strlen(line));
        else
            g_byte_array_append(bytes, &byte, 1);
    }
    GMimeStream *stream = g_mime_stream_mem_new_with_buffer((const char *)bytes->data, bytes->len);
    GMimeDataWrapper *content =
        g_mime_data_wrapper_new_with_stream(stream, GMIME_CONTENT_ENCODING_DEFAULT);
    g_mime_part_set_content(part, content);
    /* quoted-printable is for text: line ends change on the way */
    g_mime_part_set_content_encoding(part, encodings[text ? g_rand_int_range(r, 0, 2) : 0]);
    if (text)
        g_mime_text_part_set_charset(GMIME_TEXT_PART(part), "utf-8");
    if (g_rand_boolean(r))
        g_mime_part_set_filename(part, names[g_rand_int_range(r, 0, G_N_ELEMENTS(names))]);
    g_object_unref(content);
    g_object_unref(stream);
    g_ptr_array_add(contents, bytes);
    return GMIME_OBJECT(part);
}

static GMimeObject *random_part(GRand *r, GPtrArray *contents, int depth)
{
    static const char *const kinds[] = {"mixed", "alternative", "related"};

    if (depth > 4 ||
        (depth && g_rand_int_range(r, 0, 3))) /* none at the root: a line end is added there */
        return random_leaf(r, contents);
    GMimeMultipart *multipart =
        g_mime_multipart_new_with_subtype(kinds[g_rand_int_range(r, 0, G_N_ELEMENTS(kinds))]);
    for (int n = g_rand_int_range(r, 1, 5); n; n--) {
        GMimeObject *part = random_part(r, contents, depth + 1);
        g_mime_multipart_add(multipart, part);
        g_object_unref(part);
    }
    return GMIME_OBJECT(multipart);
}

GByteArray *oracle_mail(uint32_t seed, GPtrArray *contents)
{
    static const char *const subjects[] = {"plain",
                                           ("Grüße – viele davon, so dass die Zeile für ein "
                                            "einziges kodiertes Wort viel zu lang wird"),
                                           "Счёт", "請求書をお送りします"};
    GRand *r = g_rand_new_with_seed(seed);
    GMimeMessage *message = g_mime_message_new(TRUE);
    GMimeFormatOptions *format = g_mime_format_options_new();
    GMimeStream *stream = g_mime_stream_mem_new();
    GMimeObject *part = random_part(r, contents, 0);

    if (g_rand_boolean(r))
        g_mime_format_options_set_newline_format(format, GMIME_NEWLINE_FORMAT_DOS);
    if (g_rand_boolean(r))
        g_mime_format_options_set_param_encoding_method(format,
                                                        GMIME_PARAM_ENCODING_METHOD_RFC2047);
    g_mime_message_add_mailbox(message, GMIME_ADDRESS_TYPE_FROM, "Jörg Müller", "j@example.org");
    g_mime_message_add_mailbox(message, GMIME_ADDRESS_TYPE_TO, "somebody", "s@example.org");
    g_mime_message_set_subject(message, subjects[g_rand_int_range(r, 0, G_N_ELEMENTS(subjects))],
                               "utf-8");
    g_mime_message_set_mime_part(message, part);
    g_mime_object_write_to_stream(GMIME_OBJECT(message), format, stream);
    GByteArray *mail = g_byte_array_ref(g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream)));
    GByteArray *copy = g_byte_array_new();
    g_byte_array_append(copy, mail->data, mail->len);
    g_byte_array_unref(mail);
    g_object_unref(part);
    g_object_unref(stream);
    g_object_unref(message);
    g_mime_format_options_free(format);
    g_rand_free(r);
    return copy;
}
