/* base64 (RFC 2045, 6.8), as lenient as the programs that people read mail with: what does not
 * belong there is skipped. Whole groups go 32 characters at a time where the processor has AVX2. */
#include "decoder.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

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

/* ---- whole groups ---- */

#ifdef __x86_64__

/* c is in [from, to], where both are ASCII: what is not has the sign of a negative number. */
__attribute__((target("avx2"))) static inline __m256i between(__m256i c, char from, char to)
{
    return _mm256_and_si256(_mm256_cmpgt_epi8(c, _mm256_set1_epi8((char)(from - 1))),
                            _mm256_cmpgt_epi8(_mm256_set1_epi8((char)(to + 1)), c));
}

/* 32 characters to 24 bytes each time, until one of them is none of base64. Writes up to 8 bytes
 * behind those, but never more than it reads. Returns how many characters it took. */
__attribute__((target("avx2"))) static size_t groups_avx2(const uint8_t *in, size_t n, uint8_t *out)
{
    const __m256i order = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1,
                                           2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    const __m256i together = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
    size_t at = 0;

    for (; n - at >= 32; at += 32, out += 24) {
        __m256i c = _mm256_loadu_si256((const void *)(in + at));
        __m256i upper = between(c, 'A', 'Z'), lower = between(c, 'a', 'z');
        __m256i digit = between(c, '0', '9');
        __m256i plus = _mm256_cmpeq_epi8(c, _mm256_set1_epi8('+'));
        __m256i slash = _mm256_cmpeq_epi8(c, _mm256_set1_epi8('/'));
        __m256i letter = _mm256_or_si256(upper, lower), sign = _mm256_or_si256(plus, slash);
        if (_mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(letter, digit), sign)) != -1)
            break;
        /* what must be added to a character for its value */
        __m256i more = _mm256_and_si256(upper, _mm256_set1_epi8(-'A'));
        more = _mm256_or_si256(more, _mm256_and_si256(lower, _mm256_set1_epi8(26 - 'a')));
        more = _mm256_or_si256(more, _mm256_and_si256(digit, _mm256_set1_epi8(52 - '0')));
        more = _mm256_or_si256(more, _mm256_and_si256(plus, _mm256_set1_epi8(62 - '+')));
        more = _mm256_or_si256(more, _mm256_and_si256(slash, _mm256_set1_epi8(63 - '/')));
        /* 6 and 6 bits to 12, 12 and 12 to 24 */
        __m256i twelve = _mm256_maddubs_epi16(_mm256_add_epi8(c, more), _mm256_set1_epi16(0x0140));
        __m256i bits = _mm256_madd_epi16(twelve, _mm256_set1_epi32(0x00011000));
        bits = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(bits, order), together);
        _mm256_storeu_si256((void *)out, bits);
    }
    return at;
}

#endif

static inline uint32_t sextets(const uint8_t *in, uint32_t *bits)
{
    uint32_t a = sextet[in[0]], b = sextet[in[1]], c = sextet[in[2]], d = sextet[in[3]];

    *bits = a << 18 | b << 12 | c << 6 | d;
    return (a | b | c | d) & 0x80;
}

/* Returns how many characters it took; three quarters of that were written. */
static size_t groups(const uint8_t *in, size_t n, uint8_t *out)
{
    size_t at = 0;
    uint32_t first, second;

#ifdef __x86_64__
    if (n >= 32 && __builtin_cpu_supports("avx2")) {
        at = groups_avx2(in, n, out);
        out += at / 4 * 3;
    }
#endif
    for (; n - at >= 8 && !(sextets(in + at, &first) | sextets(in + at + 4, &second)); at += 8) {
        uint64_t bits = __builtin_bswap64(((uint64_t)first << 24 | second) << 16);
        memcpy(out, &bits, 6);
        out += 6;
    }
    if (n - at >= 4 && !sextets(in + at, &first)) {
        *out++ = (uint8_t)(first >> 16);
        *out++ = (uint8_t)(first >> 8);
        *out++ = (uint8_t)first;
        at += 4;
    }
    return at;
}

/* ---- with what stands between them ---- */

size_t mime_base64_decode(struct mime_base64 *state, const uint8_t *in, size_t n, uint8_t *out)
{
    const uint8_t *end = in + n;
    uint8_t *begin = out;

    while (in < end) {
        if (!state->n && !state->padded) {
            size_t taken = groups(in, (size_t)(end - in), out);
            in += taken;
            out += taken / 4 * 3;
            while (in < end && (*in == '\r' || *in == '\n'))
                in++;
            if (in == end)
                break;
            if (taken && in[-1] == '\n')
                continue;
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
