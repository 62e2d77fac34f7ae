/* Transfer encodings: quoted-printable (RFC 2045, 6), uuencode (POSIX); contents in pieces. */
#include "decoder.h"

#include <string.h>

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = mime_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t mime_quoted_decode(const uint8_t *in, size_t n, uint8_t *out, bool word, bool *odd,
                          size_t *waits)
{
    const uint8_t *end = in + n;
    uint8_t *begin = out;

    if (waits)
        *waits = 0;
    while (in < end) {
        const uint8_t *stop = memchr(in, '=', (size_t)(end - in));
        size_t len = (size_t)((stop ? stop : end) - in);
        memcpy(out, in, len);
        if (word)
            for (size_t i = 0; i < len; i++)
                out[i] = out[i] == '_' ? ' ' : out[i];
        out += len;
        if (!stop)
            break;
        in = stop + 1;
        int high = end - in >= 2 ? hex(in[0]) : -1, low = high >= 0 ? hex(in[1]) : -1;
        if (high >= 0 && low >= 0) {
            *out++ = (uint8_t)((unsigned)high << 4 | (unsigned)low);
            in += 2;
            continue;
        }
        /* a soft line break, perhaps with blanks that somebody added */
        const uint8_t *p = in;
        while (p < end && p - in < MIME_LONG_LINE && (*p == ' ' || *p == '\t' || *p == '\r'))
            p++;
        if (waits && (p == end || (end - in == 1 && hex(*in) >= 0))) {
            *waits = (size_t)(end - stop);
            break;
        }
        if (p == end || *p == '\n') {
            in = p == end ? p : p + 1;
        } else {
            *odd = true;
            *out++ = '=';
        }
    }
    return (size_t)(out - begin);
}

/* Each of the characters that uuencode writes; a blank is as good as a grave accent. */
static bool uu(uint8_t c)
{
    return c >= ' ' && c <= '`';
}

int mime_uu_claim(const uint8_t *line, const uint8_t *end)
{
    if (line == end) /* a line of a blank that somebody cut off */
        return 0;
    if (!uu(*line))
        return -1;
    int len = (*line - ' ') & 63, need = (len + 2) / 3 * 4;
    /* blanks at the end may be gone; some add a checksum */
    if (end - line - 1 > need + 2 || end - line - 1 < need - 3)
        return -1;
    for (const uint8_t *p = line + 1; p < end; p++)
        if (!uu(*p))
            return -1;
    return len;
}

size_t mime_uu_line(const uint8_t *line, const uint8_t *end, uint8_t *out)
{
    int claim = mime_uu_claim(line, end);
    size_t len = claim < 0 ? 0 : (size_t)claim, n = 0;

    for (const uint8_t *p = line + 1; n < len; p += 4) {
        uint32_t bits = 0;
        for (int i = 0; i < 4; i++)
            bits = bits << 6 | (p + i < end ? (p[i] - 32u) & 63 : 0);
        for (int i = 16; i >= 0 && n < len; i -= 8)
            out[n++] = (uint8_t)(bits >> i);
    }
    return n;
}

/* ---- in pieces ---- */

#define PIECE_BYTES 16384u

static void hand_on(struct mime_content *c, const uint8_t *bytes, size_t n)
{
    if (!n)
        return;
    c->size += n;
    c->piece(c->user, bytes, n);
}

static void base64_feed(struct mime_content *c, const uint8_t *in, size_t n)
{
    uint8_t out[PIECE_BYTES + 8];

    while (n) {
        size_t some = n < PIECE_BYTES ? n : PIECE_BYTES;
        hand_on(c, out, mime_base64_decode(&c->base64, in, some, out));
        in += some;
        n -= some;
    }
}

/* At most 999 bytes wait: a = and the blanks that may stand before a line end. */
static void quoted_feed(struct mime_content *c, const uint8_t *in, size_t n)
{
    uint8_t out[PIECE_BYTES];
    size_t waits;

    while (n) {
        if (c->n_kept) {
            size_t some = sizeof c->kept - c->n_kept;
            some = n < some ? n : some;
            memcpy(c->kept + c->n_kept, in, some);
            in += some;
            n -= some;
            size_t all = c->n_kept + some;
            hand_on(c, out, mime_quoted_decode(c->kept, all, out, false, &c->odd, &waits));
            memmove(c->kept, c->kept + all - waits, waits);
            c->n_kept = (uint32_t)waits;
            continue;
        }
        size_t some = n < PIECE_BYTES ? n : PIECE_BYTES;
        hand_on(c, out, mime_quoted_decode(in, some, out, false, &c->odd, &waits));
        if (some == n) {
            memcpy(c->kept, in + n - waits, waits);
            c->n_kept = (uint32_t)waits;
            return;
        }
        in += some - waits;
        n -= some - waits;
    }
}

static void uu_content_line(struct mime_content *c, const uint8_t *line, const uint8_t *stop)
{
    uint8_t out[64];

    if (stop > line && stop[-1] == '\r')
        stop--;
    if (c->ended)
        return;
    if (!c->begun)
        c->begun = stop - line > 6 && !memcmp(line, "begin ", 6);
    else if (stop - line == 3 && !memcmp(line, "end", 3))
        c->ended = true;
    else
        hand_on(c, out, mime_uu_line(line, stop, out));
}

/* Of a line that is longer than what can be one its beginning is enough. */
static void uu_feed(struct mime_content *c, const uint8_t *in, size_t n)
{
    const uint8_t *end = in + n;

    while (in < end) {
        const uint8_t *lf = memchr(in, '\n', (size_t)(end - in)), *stop = lf ? lf : end;
        if (!lf || c->n_kept) {
            size_t some = sizeof c->kept - c->n_kept;
            some = (size_t)(stop - in) < some ? (size_t)(stop - in) : some;
            memcpy(c->kept + c->n_kept, in, some);
            c->n_kept += (uint32_t)some;
        }
        if (lf && c->n_kept) {
            uu_content_line(c, c->kept, c->kept + c->n_kept);
            c->n_kept = 0;
        } else if (lf) {
            uu_content_line(c, in, stop);
        }
        in = lf ? lf + 1 : end;
    }
}

void mime_content_begin(struct mime_content *c, uint8_t encoding, mr_mime_piece *piece, void *user)
{
    c->piece = piece;
    c->user = user;
    c->size = 0;
    c->base64 = (struct mime_base64){0};
    c->n_kept = 0;
    c->encoding = encoding;
    c->odd = c->begun = c->ended = false;
}

void mime_content_feed(struct mime_content *c, const uint8_t *bytes, size_t n)
{
    switch (c->encoding) {
    case MR_MIME_BASE64:
        base64_feed(c, bytes, n);
        break;
    case MR_MIME_QUOTED_PRINTABLE:
        quoted_feed(c, bytes, n);
        break;
    case MR_MIME_UUENCODE:
        uu_feed(c, bytes, n);
        break;
    default:
        hand_on(c, bytes, n);
        break;
    }
}

uint64_t mime_content_end(struct mime_content *c)
{
    uint8_t out[MIME_LINE_BYTES];

    switch (c->encoding) {
    case MR_MIME_BASE64:
        hand_on(c, out, mime_base64_end(&c->base64, out));
        return c->base64.odd ? MIME_BIT(INVALID_BASE64) : 0;
    case MR_MIME_QUOTED_PRINTABLE:
        hand_on(c, out, mime_quoted_decode(c->kept, c->n_kept, out, false, &c->odd, NULL));
        return c->odd ? MIME_BIT(INVALID_QP) : 0;
    case MR_MIME_UUENCODE:
        if (c->n_kept)
            uu_content_line(c, c->kept, c->kept + c->n_kept);
        return c->ended ? 0 : MIME_BIT(INVALID_UU);
    default:
        return 0;
    }
}

uint64_t mr_mime_content(const struct mr_mime_part *part, mr_mime_piece *piece, void *user,
                         uint64_t *anomalies)
{
    struct mime_content c;
    bool leaf = part->kind == MR_MIME_LEAF;

    mime_content_begin(&c, leaf ? part->encoding : MR_MIME_IDENTITY, piece, user);
    mime_content_feed(&c, part->body.ptr, part->body.len);
    uint64_t wrong = mime_content_end(&c);
    if (anomalies)
        *anomalies |= wrong;
    return c.size;
}
