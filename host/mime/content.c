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

size_t mime_quoted_decode(const uint8_t *in, size_t n, uint8_t *out, bool word, bool *odd)
{
    const uint8_t *end = in + n;
    uint8_t *begin = out;

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
        if (end - in >= 2 && hex(in[0]) >= 0 && hex(in[1]) >= 0) {
            *out++ = (uint8_t)(hex(in[0]) << 4 | hex(in[1]));
            in += 2;
            continue;
        }
        /* a soft line break, perhaps with blanks that somebody added */
        const uint8_t *p = in;
        while (p < end && p - in < 998 && (*p == ' ' || *p == '\t' || *p == '\r'))
            p++;
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

typedef void piece_function(void *user, const uint8_t *bytes, size_t len);

static uint64_t uu_content(const struct mr_mime_part *part, piece_function *piece, void *user,
                           uint64_t *anomalies)
{
    const uint8_t *p = part->body.ptr, *end = p + part->body.len;
    uint8_t buffer[16384];
    size_t used = 0;
    uint64_t total = 0;
    bool begun = false, ended = false;

    while (p < end && !ended) {
        const uint8_t *lf = memchr(p, '\n', (size_t)(end - p)), *stop = lf ? lf : end;
        if (stop > p && stop[-1] == '\r')
            stop--;
        if (begun && stop - p == 3 && !memcmp(p, "end", 3))
            ended = true;
        else if (begun)
            used += mime_uu_line(p, stop, buffer + used);
        else
            begun = stop - p > 6 && !memcmp(p, "begin ", 6);
        if (used > sizeof buffer - 64 || ended) {
            piece(user, buffer, used);
            total += used;
            used = 0;
        }
        p = lf ? lf + 1 : end;
    }
    if (!ended && anomalies)
        *anomalies |= MIME_BIT(INVALID_UU);
    if (used)
        piece(user, buffer, used);
    return total + used;
}

/* A cut in quoted-printable is made behind a line, or, in endless ones, before a =. */
static size_t quoted_cut(const uint8_t *p, size_t n)
{
    for (size_t i = n; i > n - 1024; i--)
        if (p[i - 1] == '\n')
            return i;
    for (size_t i = n; i > n - 1024; i--)
        if (p[i - 1] == '=')
            return i - 1;
    return n;
}

uint64_t mr_mime_content(const struct mr_mime_part *part,
                         void (*piece)(void *user, const uint8_t *bytes, size_t len), void *user,
                         uint64_t *anomalies)
{
    const uint8_t *p = part->body.ptr, *end = p + part->body.len;
    struct mime_base64 state = {0};
    uint8_t buffer[16384 + 8];
    uint64_t total = 0;
    bool odd = false;

    if (part->encoding == MR_MIME_IDENTITY || part->kind != MR_MIME_LEAF) {
        if (part->body.len)
            piece(user, part->body.ptr, part->body.len);
        return part->body.len;
    }
    if (part->encoding == MR_MIME_UUENCODE)
        return uu_content(part, piece, user, anomalies);
    while (p < end) {
        size_t n = (size_t)(end - p) < 16384 ? (size_t)(end - p) : 16384, got;
        if (part->encoding == MR_MIME_BASE64) {
            got = mime_base64_decode(&state, p, n, buffer);
        } else {
            n = p + n < end ? quoted_cut(p, n) : n;
            got = mime_quoted_decode(p, n, buffer, false, &odd);
        }
        p += n;
        if (p == end)
            got += mime_base64_end(&state, buffer + got);
        if (got)
            piece(user, buffer, got);
        total += got;
    }
    if (anomalies && state.odd)
        *anomalies |= MIME_BIT(INVALID_BASE64);
    if (anomalies && odd)
        *anomalies |= MIME_BIT(INVALID_QP);
    return total;
}
