/* Bytes to lines to parts: the window is read line by line, each once. */
#include "decoder.h"

#include <string.h>

#define LONG_ENCODED_LINE 76u

/* "begin 644 name" in text, at reading.at. */
static bool uu_begins(struct mime_reading *r, const uint8_t *end)
{
    const uint8_t *line = r->at, *p = line + 6;

    if (end - line < 11 || end - line > MIME_LONG_LINE || memcmp(line, "begin ", 6))
        return false;
    while (p < end && *p >= '0' && *p <= '7')
        p++;
    if (p - line < 9 || p - line > 10 || p == end || *p != ' ')
        return false;
    struct mr_mime_text name = mime_trimmed(p, end);
    memcpy(r->uu_name, name.ptr, name.len);
    r->uu_name_len = name.len;
    return name.len > 0;
}

/* A line of text that may belong to a uuencoded file; `next` is behind it. */
static void uu_line(struct mr_mime_decoder *d, const uint8_t *stop, const uint8_t *next)
{
    struct mime_reading *r = &d->reading;
    const uint8_t *line = r->at;

    if (r->in_uu && stop - line == 3 && !memcmp(line, "end", 3)) {
        mime_pass_uu(d, line, stop);
        mime_uu_file(d, mime_where(r, next));
    } else if (r->in_uu && mime_uu_claim(line, stop) < 0) {
        r->in_uu = false;
    } else if (r->in_uu) {
        mime_pass_uu(d, line, stop);
    }
    if (!r->in_uu && uu_begins(r, stop)) {
        r->in_uu = true;
        r->uu_at = mime_where(r, line);
        mime_pass_uu(d, NULL, NULL);
        mime_pass_uu(d, line, stop);
    }
}

/* Until a header section begins. */
static void body_lines(struct mr_mime_decoder *d)
{
    struct mime_reading *r = &d->reading;
    bool last;

    while (r->at < r->end && !r->in_header) {
        const uint8_t *line = r->at;
        const uint8_t *lf = memchr(line, '\n', (size_t)(r->end - line));
        const uint8_t *next = lf ? lf + 1 : r->end, *stop = lf ? lf : r->end;
        if (!lf && !r->last && !r->in_line && next - line < MIME_LINE_BYTES)
            return;
        d->result.work += (size_t)(next - line);
        if (!r->in_line) {
            if (stop > line && stop[-1] == '\r')
                stop--;
            size_t len = (size_t)(stop - line);
            if (len > LONG_ENCODED_LINE) {
                if (len > MIME_LONG_LINE)
                    mime_raise(d, MIME_BIT(LONG_LINE));
                if (r->leaf != MIME_NO_PART && r->encoded)
                    mime_raise(d, MIME_BIT(LONG_ENC_LINE));
            }
            int level = *line == '-' ? mime_delimiter(d, line, stop, &last) : -1;
            if (level >= 0) {
                mime_delimited(d, level, last, lf);
                continue;
            }
            if (r->may_have_uu && r->leaf != MIME_NO_PART && (r->in_uu || *line == 'b'))
                uu_line(d, stop, next);
        }
        mime_line_done(r, line, lf);
        r->at = next;
    }
}

void mime_lines(struct mr_mime_decoder *d)
{
    struct mime_reading *r = &d->reading;
    bool complete;

    for (;;) {
        body_lines(d);
        if (!r->in_header || !mime_header_lines(d, &complete))
            return;
        if (d->result.n_parts == 1)
            d->result.header_complete = complete;
        mime_header_ends(d);
    }
}
