#include "smtp_header.h"

#include <string.h>
#include <strings.h>

#define HEADER_BYTES (64u << 10) /* of the mail: the section is not looked for any further */
#define VALUE_BYTES  1024u       /* kept of a value */
#define MAX_VALUES   128u        /* of one field */
#define FOUND_BYTES  (32u << 10) /* kept in all */

/* At the beginning of the buffer. */
struct found {
    uint32_t complete;
    uint32_t values[MR_SMTP_N_FIELDS];
};

/* A value; its bytes follow. */
struct entry {
    uint16_t len;
    uint16_t field;
};

static bool blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct mr_smtp_text trimmed(const uint8_t *begin, const uint8_t *end)
{
    while (begin < end && blank(*begin))
        begin++;
    while (begin < end && blank(end[-1]))
        end--;
    return (struct mr_smtp_text){begin, (uint32_t)(end - begin)};
}

static void add(struct mr_buffer **to, const struct mr_smtp_memory *memory,
                enum mr_smtp_field field, struct mr_smtp_text value)
{
    struct found found;
    struct entry entry = {0, (uint16_t)field};
    uint32_t most = value.len < VALUE_BYTES ? value.len : VALUE_BYTES;

    memcpy(&found, (*to)->data, sizeof found);
    if (!value.len || found.values[field] >= MAX_VALUES ||
        !mr_smtp_room(to, memory, sizeof entry + most, FOUND_BYTES))
        return;
    uint8_t *out = (*to)->data + (*to)->len + sizeof entry;
    bool folded = false;
    for (uint32_t i = 0; i < value.len && entry.len < most; i++) {
        bool end = value.ptr[i] == '\r' || value.ptr[i] == '\n';
        folded = field == MR_SMTP_FIELD_RECEIVED && (end || (folded && blank(value.ptr[i])));
        if (!end && !folded)
            out[entry.len++] = value.ptr[i];
    }
    memcpy(out - sizeof entry, &entry, sizeof entry);
    (*to)->len += (uint32_t)sizeof entry + entry.len;
    found.values[field]++;
    memcpy((*to)->data, &found, sizeof found);
}

bool mr_smtp_header_add(struct mr_buffer **to, const struct mr_smtp_memory *memory,
                        enum mr_smtp_field field, const void *bytes, size_t len)
{
    struct found found;
    struct entry entry = {(uint16_t)len, (uint16_t)field};

    memcpy(&found, (*to)->data, sizeof found);
    if (len > VALUE_BYTES || found.values[field] >= MAX_VALUES ||
        !mr_smtp_room(to, memory, sizeof entry + len, FOUND_BYTES))
        return false;
    memcpy((*to)->data + (*to)->len, &entry, sizeof entry);
    if (len)
        memcpy((*to)->data + (*to)->len + sizeof entry, bytes, len);
    (*to)->len += (uint32_t)(sizeof entry + len);
    found.values[field]++;
    memcpy((*to)->data, &found, sizeof found);
    return true;
}

/* Addresses stand between commas that are neither quoted nor in a comment nor in brackets. */
static void add_addresses(struct mr_buffer **to, const struct mr_smtp_memory *memory,
                          enum mr_smtp_field field, struct mr_smtp_text list)
{
    const uint8_t *begin = list.ptr, *end = list.ptr + list.len;
    bool quoted = false, angle = false;
    uint32_t comment = 0;

    for (const uint8_t *p = list.ptr; p < end; p++) {
        if (*p == '\\' && (quoted || comment) && end - p > 1)
            p++;
        else if (*p == '"' && !comment)
            quoted = !quoted;
        else if (quoted)
            continue;
        else if (*p == '(')
            comment++;
        else if (*p == ')' && comment)
            comment--;
        else if (comment)
            continue;
        else if (*p == '<' || *p == '>')
            angle = *p == '<';
        else if (*p == ',' && !angle) {
            add(to, memory, field, trimmed(begin, p));
            begin = p + 1;
        }
    }
    add(to, memory, field, trimmed(begin, end));
}

/* One header field with its continuation lines. */
static void field(struct mr_buffer **to, const struct mr_smtp_memory *memory, const uint8_t *p,
                  const uint8_t *end)
{
    static const char *const names[MR_SMTP_HEADER_FIELDS] = {
        "from", "to", "cc", "subject", "date", "message-id", "received"};
    const uint8_t *colon = memchr(p, ':', (size_t)(end - p));
    struct found found;

    if (!colon)
        return;
    struct mr_smtp_text name = trimmed(p, colon);
    struct mr_smtp_text value = trimmed(colon + 1, end);
    memcpy(&found, (*to)->data, sizeof found);
    for (unsigned i = 0; i < MR_SMTP_HEADER_FIELDS; i++) {
        if (strlen(names[i]) != name.len || strncasecmp(names[i], (const char *)name.ptr, name.len))
            continue;
        if (i == MR_SMTP_FIELD_TO || i == MR_SMTP_FIELD_CC)
            add_addresses(to, memory, (enum mr_smtp_field)i, value);
        else if (i == MR_SMTP_FIELD_RECEIVED || !found.values[i])
            add(to, memory, (enum mr_smtp_field)i, value);
    }
}

struct mr_buffer *mr_smtp_header_scan(const uint8_t *mail, size_t len,
                                      const struct mr_smtp_memory *memory)
{
    struct mr_buffer *to = memory->get(memory->user, 512);
    struct found found = {0};

    if (!to)
        return NULL;
    memcpy(to->data, &found, sizeof found);
    to->len = sizeof found;
    const uint8_t *end = mail + (len < HEADER_BYTES ? len : HEADER_BYTES);
    const uint8_t *begin = mail; /* of the field that is open */
    bool complete = false;
    for (const uint8_t *p = mail; p < end && !complete;) {
        const uint8_t *lf = memchr(p, '\n', (size_t)(end - p));
        complete = lf == p || (*p == '\r' && lf == p + 1);
        if (p > begin && *p != ' ' && *p != '\t') {
            field(&to, memory, begin, p);
            begin = p;
        }
        p = lf ? lf + 1 : end;
    }
    if (!complete && begin < end)
        field(&to, memory, begin, end);
    memcpy(&found, to->data, sizeof found);
    found.complete = complete;
    memcpy(to->data, &found, sizeof found);
    return to;
}

bool mr_smtp_header_next(const struct mr_buffer *found, enum mr_smtp_field wanted, uint32_t *cursor,
                         struct mr_smtp_text *value)
{
    if (!*cursor)
        *cursor = sizeof(struct found);
    while (*cursor < found->len) {
        struct entry entry;
        memcpy(&entry, found->data + *cursor, sizeof entry);
        *value = (struct mr_smtp_text){found->data + *cursor + sizeof entry, entry.len};
        *cursor += (uint32_t)sizeof entry + entry.len;
        if (entry.field == wanted)
            return true;
    }
    return false;
}

bool mr_smtp_header_complete(const struct mr_buffer *found)
{
    struct found head;
    memcpy(&head, found->data, sizeof head);
    return head.complete;
}
