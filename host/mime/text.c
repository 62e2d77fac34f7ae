/* Text parts to text. */
#include "decoder.h"

#include <string.h>

void mime_add(struct mr_mime_decoder *d, struct mime_space *space, const uint8_t *bytes, size_t len)
{
    size_t most = d->limits.text_bytes - space->len;

    if (len > most) {
        mime_raise(d, MIME_BIT(TEXT_CUT));
        for (len = most; len && (bytes[len] & 0xc0) == 0x80;)
            len--;
    }
    if (!len || !mime_room(d, space, len))
        return;
    memcpy(space->data + space->len, bytes, len);
    space->len += len;
}

void mime_add_lines(struct mr_mime_decoder *d, const uint8_t *in, size_t n)
{
    const uint8_t *p = in, *end = in + n;

    if (!mime_room(d, &d->text, n < d->limits.text_bytes ? n : 0))
        return;
    while (p < end) {
        const uint8_t *cr = memchr(p, '\r', (size_t)(end - p));
        if (!cr) {
            mime_add(d, &d->text, p, (size_t)(end - p));
            return;
        }
        mime_add(d, &d->text, p, (size_t)(cr - p));
        mime_add(d, &d->text, (const uint8_t *)"\n", 1);
        p = cr + 1;
        if (p < end && *p == '\n')
            p++;
    }
}

/* Whatever of a text is no uuencoded file: those are the parts in it. */
static struct mr_mime_text without_files(struct mr_mime_decoder *d, uint32_t part,
                                         struct mr_mime_text body)
{
    uint64_t begin = d->parts[part].body_at, at = 0;

    d->coded.len = 0;
    if (!mime_room(d, &d->coded, body.len))
        return mime_text(NULL, 0);
    for (uint32_t i = part + 1; i <= d->result.n_parts && at < body.len; i++) {
        const struct mr_mime_part *file = &d->parts[i];
        bool ours = i < d->result.n_parts && file->parent == part;
        uint64_t stop = ours ? file->body_at - begin : body.len;
        size_t n = (size_t)((stop < body.len ? stop : body.len) - at);
        memcpy(d->coded.data + d->coded.len, body.ptr + at, n);
        d->coded.len += n;
        if (!ours)
            break;
        at = file->body_at + file->body_bytes - begin;
    }
    return mime_text(d->coded.data, d->coded.len);
}

static struct mr_mime_text without_encoding(struct mr_mime_decoder *d, struct mr_mime_text body,
                                            uint8_t encoding)
{
    struct mime_base64 state = {0};
    bool odd = false;
    size_t n;

    d->coded.len = 0;
    if (!mime_room(d, &d->coded, body.len + 8))
        return mime_text(NULL, 0);
    if (encoding == MR_MIME_BASE64) {
        n = mime_base64_decode(&state, body.ptr, body.len, d->coded.data);
        n += mime_base64_end(&state, d->coded.data + n);
        if (state.odd)
            mime_raise(d, MIME_BIT(INVALID_BASE64));
    } else {
        n = mime_quoted_decode(body.ptr, body.len, d->coded.data, false, &odd, NULL);
        if (odd)
            mime_raise(d, MIME_BIT(INVALID_QP));
    }
    d->coded.len = n;
    return mime_text(d->coded.data, n);
}

static void to_coded(void *user, const uint8_t *bytes, size_t len)
{
    struct mr_mime_decoder *d = user;

    mime_append(d, &d->coded, bytes, len, SIZE_MAX);
}

void mime_part_text(struct mr_mime_decoder *d, uint32_t part)
{
    struct mr_mime_part p = d->parts[part];
    struct mr_mime_text text,
        body = d->reading.stays ? p.body : mime_text(d->body.data, d->body.len);

    if (d->text.len && d->text.data[d->text.len - 1] != '\n')
        mime_add(d, &d->text, (const uint8_t *)"\n", 1);
    d->parts[part].text_at = (uint32_t)d->text.len;
    d->result.work += body.len;
    if (p.body_bytes > d->limits.text_bytes) {
        body.len = body.len < d->limits.text_bytes ? body.len : d->limits.text_bytes;
        mime_raise(d, MIME_BIT(TEXT_CUT));
    }
    if (p.encoding == MR_MIME_UUENCODE) {
        d->coded.len = 0;
        p.body = body;
        mr_mime_content(&p, to_coded, d, &d->result.anomalies);
        body = mime_text(d->coded.data, d->coded.len);
    } else if (p.encoding != MR_MIME_IDENTITY) {
        body = without_encoding(d, body, p.encoding);
    } else if (part + 1 < d->result.n_parts && d->parts[part + 1].parent == part) {
        body = without_files(d, part, body);
    }
    text = mime_to_utf8(d, p.charset, body.ptr, body.len);
    if (text.len >= 3 && !memcmp(text.ptr, "\xef\xbb\xbf", 3)) /* a byte order mark */
        text = mime_text(text.ptr + 3, text.len - 3);
    if (p.is_html)
        mime_html(d, part, text.ptr, text.len);
    else
        mime_add_lines(d, text.ptr, text.len);
    uint32_t at = d->parts[part].text_at;
    d->parts[part].text.len = (uint32_t)(d->text.len - at);
    mime_text_links(d, part, d->text.data + at, d->text.len - at);
}
