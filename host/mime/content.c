/* Transfer encodings: base64, quoted-printable (RFC 2045, 6), uuencode (POSIX). */
#include "decoder.h"

#include <string.h>

/* The value of a byte; line ends and blanks (0xfd) are skipped. */
#define NONE 0xffu
#define PAD  0xfeu
static const uint8_t sextet[256] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfd, 0xfd, 0xff, 0xff, 0xfd, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3e, 0xff, 0xff, 0xff, 0x3f,
    0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff,
    0xff, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
    0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f, 0x30, 0x31, 0x32, 0x33, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
};

/* What an incomplete group holds. */
static size_t flush(struct mime_base64 *state, uint8_t *out)
{
    size_t n = 0;

    if (state->n == 2) {
        out[n++] = (uint8_t)(state->bits >> 4);
    } else if (state->n == 3) {
        out[n++] = (uint8_t)(state->bits >> 10);
        out[n++] = (uint8_t)(state->bits >> 2);
    }
    state->n = 0;
    return n;
}

size_t mime_base64_decode(struct mime_base64 *state, const uint8_t *in, size_t n, uint8_t *out)
{
    const uint8_t *end = in + n;
    uint8_t *begin = out;

    while (in < end) {
        if (!state->n && !state->padded) {
            while (end - in >= 8) {
                uint32_t a = sextet[in[0]], b = sextet[in[1]], c = sextet[in[2]], e = sextet[in[3]];
                uint32_t f = sextet[in[4]], g = sextet[in[5]], h = sextet[in[6]], i = sextet[in[7]];
                if ((a | b | c | e | f | g | h | i) & 0x80)
                    break;
                uint64_t bits = (uint64_t)(a << 18 | b << 12 | c << 6 | e) << 24 |
                                (f << 18 | g << 12 | h << 6 | i);
                bits = __builtin_bswap64(bits << 16);
                memcpy(out, &bits, 6);
                in += 8;
                out += 6;
            }
            if (in == end)
                break;
        }
        uint8_t value = sextet[*in++];
        if (state->ended) {
            state->odd |= value < 64 || value == NONE;
        } else if (value < 64) {
            state->odd |= state->padded;
            state->bits = state->bits << 6 | value;
            if (++state->n == 4) {
                *out++ = (uint8_t)(state->bits >> 16);
                *out++ = (uint8_t)(state->bits >> 8);
                *out++ = (uint8_t)state->bits;
                state->n = 0;
            }
        } else if (value == PAD) {
            state->odd |= state->n == 1;
            out += flush(state, out);
            state->padded = true;
        } else if (state->padded && (value == NONE || in[-1] == ' ')) {
            /* What mailing lists put behind it is not base64; another group would be. */
            state->odd = state->ended = true;
        } else if (value == NONE) {
            state->odd = true;
        }
    }
    return (size_t)(out - begin);
}

size_t mime_base64_end(struct mime_base64 *state, uint8_t *out)
{
    state->odd |= state->n != 0;
    return flush(state, out);
}

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
