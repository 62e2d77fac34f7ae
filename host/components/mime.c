/* The component "mime": what a mail says once its encodings are undone, as columns for f_match and
 * others. A mail is read once, whoever asks first. The decoder is host/mime. */
#include "mail_read.h"
#include "smtp_mail.h"

#include "millrace/list.h"

#include <stdlib.h>
#include <string.h>

#define MOST_CONTENT (32u << 20) /* of one part: more is cut */

enum counter { MAILS, PARTS, ANOMALIES, NO_MEMORY };

static const char *const counters[] = {"mails", "parts", "anomalies", "no_memory", NULL};

/* A row's mail, read; the result lives until the next. */
static const struct mr_mime *read_mail(struct mr_call *call, uint32_t row)
{
    const struct mr_mime *mime =
        mr_mail_read(call, call->thread, call->args[0][row], mr_sharers(call) > 1);

    mr_count(call, MAILS, 1);
    mr_count(call, PARTS, mime->n_parts);
    mr_count(call, ANOMALIES, (uint64_t)__builtin_popcountll(mime->anomalies));
    mr_count(call, NO_MEMORY, mime->anomalies >> MR_MIME_NO_MEMORY & 1);
    return mime;
}

/* Bytes that live as long as results do; false: no memory. */
static bool keep(struct mr_call *call, const void *bytes, size_t len, union mr_value *value)
{
    *value = mr_value_bytes("", 0);
    if (!len)
        return true;
    struct mr_buffer *buffer = len > 4096 ? mr_buffer_get(call->runtime, len) : NULL;
    void *copy = buffer ? buffer->data : len > 4096 ? NULL : mr_alloc(call, len);
    if (!copy) {
        mr_count(call, NO_MEMORY, 1);
        return false;
    }
    memcpy(copy, bytes, len);
    if (buffer)
        mr_keep(call, buffer);
    *value = mr_value_bytes(copy, (uint32_t)len);
    return true;
}

static void call_text(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_mime *mime = read_mail(call, row);
        keep(call, mime->text.ptr, mime->text.len, &call->out[row]);
        mr_mime_release(call->thread);
    }
}

static void call_hidden(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_mime *mime = read_mail(call, row);
        const struct mr_mime_hidden *last = mime->n_hidden ? mime->hidden + mime->n_hidden - 1 : 0;
        /* they stand behind one another */
        keep(call, last ? mime->hidden[0].text.ptr : (const uint8_t *)"",
             last ? last->at + last->text.len : 0, &call->out[row]);
        mr_mime_release(call->thread);
    }
}

static bool same_name(struct mr_mime_text name, union mr_value wanted)
{
    const uint8_t *text = wanted.b.ptr;

    if (name.len != wanted.b.len)
        return false;
    for (uint32_t i = 0; i < name.len; i++)
        if ((name.ptr[i] | 32) != (text[i] | 32))
            return false;
    return true;
}

static void call_header(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_mime *mime = read_mail(call, row);
        union mr_value value;
        for (uint32_t i = 0; i < mime->parts[0].n_headers; i++) {
            const struct mr_mime_header *header = &mime->headers[i];
            if (same_name(header->name, call->args[1][row]) &&
                keep(call, header->value.ptr, header->value.len, &value))
                mr_yield(call, row, value);
        }
        mr_mime_release(call->thread);
    }
}

static void call_links(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_mime *mime = read_mail(call, row);
        union mr_value value;
        for (uint32_t i = 0; i < mime->n_links; i++)
            if (keep(call, mime->links[i].url.ptr, mime->links[i].url.len, &value))
                mr_yield(call, row, value);
        mr_mime_release(call->thread);
    }
}

static size_t element(uint8_t *to, const void *bytes, size_t len)
{
    struct mr_element e = {MR_TYPE_STRING, bytes, (uint32_t)len};
    return mr_list_write(to, &e);
}

/* Name, type, size and SHA-256 of one part. */
static bool describe(struct mr_call *call, const struct mr_mime_part *part, union mr_value *list)
{
    struct mr_mime_digest digest;
    char hex[64];
    uint8_t *to = mr_alloc(call, part->filename.len + part->type.len + 200);
    size_t n = 0;

    if (!to) {
        mr_count(call, NO_MEMORY, 1);
        return false;
    }
    mr_mime_part_digest(part, MR_MIME_SHA256, &digest);
    mr_mail_hex(hex, digest.sha256, sizeof digest.sha256);
    union mr_value size = mr_value_int((int64_t)digest.size);
    struct mr_element e;
    mr_element_of(MR_TYPE_INT, &size, &e);
    n += element(to, part->filename.ptr, part->filename.len);
    n += element(to + n, part->type.ptr, part->type.len);
    n += mr_list_write(to + n, &e);
    n += element(to + n, hex, sizeof hex);
    *list = mr_value_bytes(to, (uint32_t)n);
    return true;
}

static void call_parts(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_mime *mime = read_mail(call, row);
        union mr_value value;
        for (uint32_t i = 0; i < mime->n_parts; i++)
            if (mime->parts[i].kind == MR_MIME_LEAF && describe(call, &mime->parts[i], &value))
                mr_yield(call, row, value);
        mr_mime_release(call->thread);
    }
}

static void gather(void *user, const uint8_t *bytes, size_t len)
{
    struct mr_buffer *to = user;
    size_t most = to->capacity - to->len;

    len = len < most ? len : most;
    memcpy(to->data + to->len, bytes, len);
    to->len += (uint32_t)len;
}

/* Nothing that is decoded is longer than what it was made of. */
static void call_content(struct mr_call *call)
{
    for (uint32_t row = 0; row < call->n; row++) {
        const struct mr_mime *mime = read_mail(call, row);
        for (uint32_t i = 0; i < mime->n_parts; i++) {
            const struct mr_mime_part *part = &mime->parts[i];
            size_t want = part->body.len < MOST_CONTENT ? part->body.len : MOST_CONTENT;
            if (part->kind != MR_MIME_LEAF || !want)
                continue;
            struct mr_buffer *buffer = mr_buffer_get(call->runtime, want);
            if (!buffer) {
                mr_count(call, NO_MEMORY, 1);
                continue;
            }
            mr_mime_content(part, gather, buffer, NULL);
            mr_yield(call, row, mr_value_bytes(buffer->data, buffer->len));
            mr_keep(call, buffer);
        }
        mr_mime_release(call->thread);
    }
}

static enum mr_status thread_open(const void *config, void **thread)
{
    (void)config;
    *thread = mr_mime_open(NULL);
    return *thread ? MR_OK : MR_ERR_MEMORY;
}

static void thread_close(void *thread)
{
    mr_mime_close(thread);
}

#define FUNCTION(NAME, SUMMARY, SHAPE, RESULT, CALL, N, ...)                                       \
    {                                                                                              \
        .name = NAME, .summary = SUMMARY, .args = {__VA_ARGS__}, .n_args = N, .result = RESULT,    \
        .shape = SHAPE, .pure = true, .shares = true, .backends = "cpu", .counters = counters,     \
        .thread_open = thread_open, .thread_close = thread_close, .call = CALL                     \
    }

static const struct mr_function functions[] = {
    FUNCTION("f_mimeText", "the text of a mail: decoded, UTF-8, without HTML's tags", MR_SHAPE_MAP,
             MR_TYPE_STRING, call_text, 1, MR_TYPE_STRING),
    FUNCTION("f_mimeHidden", "the text of a mail's HTML that its reader does not see", MR_SHAPE_MAP,
             MR_TYPE_STRING, call_hidden, 1, MR_TYPE_STRING),
    FUNCTION("f_mimeHeader", "the fields of a mail with this name, decoded, UTF-8", MR_SHAPE_EXPAND,
             MR_TYPE_STRING, call_header, 2, MR_TYPE_STRING, MR_TYPE_STRING),
    FUNCTION("f_mimeLinks", "the links of a mail, of its text and its HTML", MR_SHAPE_EXPAND,
             MR_TYPE_STRING, call_links, 1, MR_TYPE_STRING),
    FUNCTION("f_mimeParts", "of each part of a mail a list: file name, type, size, SHA-256",
             MR_SHAPE_EXPAND, MR_TYPE_LIST, call_parts, 1, MR_TYPE_STRING),
    FUNCTION("f_mimeContent", "what each part of a mail holds, its encoding undone",
             MR_SHAPE_EXPAND, MR_TYPE_STRING, call_content, 1, MR_TYPE_STRING),
};

extern const struct mr_component mr_component_mime;
const struct mr_component mr_component_mime = {
    .abi = MR_COMPONENT_ABI,
    .bytes = sizeof(struct mr_component),
    .name = "mime",
    .summary = "mails taken apart: text, fields, links, parts",
    .functions = functions,
    .n_functions = sizeof functions / sizeof *functions,
};
