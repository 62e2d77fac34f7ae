#include "smtp_body.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* What the last bytes were. The first three are the plain states, in which whole runs pass. A dot
 * behind <CR><LF> is not handed on before it is known to be neither stuffing nor the end. */
enum state {
    LINE_START, /* behind <CR><LF>, and at the beginning */
    TEXT,
    CR,
    BARE_LF,
    NULS,          /* behind a line end of any kind and NULs */
    DOT_AFTER_LF,  /* a dot behind a bare LF */
    DOT_AFTER_CR,  /* a dot behind a bare CR */
    DOT_AFTER_NUL, /* a dot behind NULs, or before them */
    DOT,           /* a dot behind <CR><LF>: held back */
    DOT_AFTER_LF_CR,
    DOT_AFTER_CR_CR,
    DOT_AFTER_NUL_CR,
    DOT_CR /* <CR><LF>.<CR>: the dot and the CR are held back */
};

void mr_smtp_body_begin(struct mr_smtp_body *body, uint32_t limit, uint32_t first_capacity)
{
    *body = (struct mr_smtp_body){
        .limit = limit, .first_capacity = first_capacity, .state = LINE_START};
}

bool mr_smtp_room(struct mr_buffer **buffer, const struct mr_smtp_memory *memory, size_t more,
                  size_t limit)
{
    struct mr_buffer *old = *buffer;
    size_t used = old ? old->len : 0, want = used + more;

    if (old && more <= old->capacity - used)
        return true;
    if (want > limit)
        return false;
    if (old && want < 2 * (size_t)old->capacity)
        want = 2 * (size_t)old->capacity < limit ? 2 * (size_t)old->capacity : limit;
    struct mr_buffer *larger = memory->get(memory->user, want);
    if (!larger)
        return false;
    larger->len = (uint32_t)used;
    if (old) {
        memcpy(larger->data, old->data, used);
        memory->put(memory->user, old);
    }
    *buffer = larger;
    return true;
}

/* Returns how many bytes it had room for. */
static size_t keep(struct mr_smtp_body *body, const struct mr_smtp_memory *memory,
                   const uint8_t *bytes, size_t len)
{
    size_t used = body->buffer ? body->buffer->len : 0;

    if (len > body->limit - used) {
        len = body->limit - used;
        body->truncated = true;
    }
    if (!body->buffer && body->first_capacity > len)
        body->buffer = memory->get(memory->user, body->first_capacity);
    if (!mr_smtp_room(&body->buffer, memory, len, body->limit)) {
        body->truncated = body->no_memory = true;
        return 0;
    }
    memcpy(body->buffer->data + used, bytes, len);
    body->buffer->len = (uint32_t)(used + len);
    return len;
}

static void append(struct mr_smtp_body *body, const struct mr_smtp_memory *memory,
                   const uint8_t *bytes, size_t len)
{
    if (!len)
        return;
    body->bytes += len;
    size_t kept = body->truncated ? 0 : keep(body, memory, bytes, len);
    if (kept < len && memory->over)
        memory->over(memory->over_user, body, bytes + kept, len - kept);
}

/* Which of 64 bytes are CR, LF, and either of dot and NUL: bit i for byte i. */
struct marks {
    uint64_t cr, lf, odd;
};

/* Where a run of plain bytes ends among 64, when bits below `from` are known to be plain; 64 when
 * it does not. `after_cr`, `after_lf`: the byte in front of the first. */
static inline unsigned plain_end(struct marks m, uint64_t after_cr, uint64_t after_lf,
                                 unsigned from)
{
    uint64_t odd = m.lf ^ (m.cr << 1 | after_cr);
    odd |= (m.lf << 1 | after_lf) & m.odd;
    odd &= UINT64_MAX << from;
    return odd ? (unsigned)__builtin_ctzll(odd) : 64;
}

/* Blocks of 64 bytes, the last one overlapping what is done already, so that no byte is looked at
 * alone unless there are fewer than 64. */
#define SCAN_BLOCKS(marks_of)                                                                      \
    do {                                                                                           \
        for (; n - i >= 64; i += 64) {                                                             \
            struct marks m = marks_of(p + i);                                                      \
            unsigned end = plain_end(m, after_cr, after_lf, 0);                                    \
            if (end < 64)                                                                          \
                return i + end;                                                                    \
            after_cr = m.cr >> 63;                                                                 \
            after_lf = m.lf >> 63;                                                                 \
        }                                                                                          \
        if (i && i < n)                                                                            \
            return n - 64 + plain_end(marks_of(p + n - 64), 0, 0, (unsigned)(64 - (n - i)));       \
    } while (0)

/* The same byte by byte, from i on. */
static size_t plain_bytes(const uint8_t *p, size_t i, size_t n, uint64_t after_cr,
                          uint64_t after_lf)
{
    for (; i < n; i++) {
        uint8_t c = p[i];
        if ((c == '\n') != after_cr || (after_lf && (c == '.' || c == '\0')))
            break;
        after_lf = c == '\n';
        after_cr = c == '\r';
    }
    return i;
}

#if defined(__x86_64__)
static inline struct marks marks_sse2(const uint8_t *p)
{
    struct marks m = {0, 0, 0};
    for (int k = 0; k < 4; k++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * k));
        __m128i odd = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('.')),
                                   _mm_cmpeq_epi8(v, _mm_setzero_si128()));
        __m128i cr = _mm_cmpeq_epi8(v, _mm_set1_epi8('\r'));
        __m128i lf = _mm_cmpeq_epi8(v, _mm_set1_epi8('\n'));
        m.cr |= (uint64_t)(uint32_t)_mm_movemask_epi8(cr) << (16 * k);
        m.lf |= (uint64_t)(uint32_t)_mm_movemask_epi8(lf) << (16 * k);
        m.odd |= (uint64_t)(uint32_t)_mm_movemask_epi8(odd) << (16 * k);
    }
    return m;
}

static size_t plain_run_sse2(const uint8_t *p, size_t n, uint64_t after_cr, uint64_t after_lf)
{
    size_t i = 0;
    SCAN_BLOCKS(marks_sse2);
    return plain_bytes(p, i, n, after_cr, after_lf);
}

__attribute__((target("avx2"))) static inline struct marks marks_avx2(const uint8_t *p)
{
    struct marks m = {0, 0, 0};
    for (int k = 0; k < 2; k++) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32 * k));
        __m256i odd = _mm256_or_si256(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('.')),
                                      _mm256_cmpeq_epi8(v, _mm256_setzero_si256()));
        __m256i cr = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\r'));
        __m256i lf = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\n'));
        m.cr |= (uint64_t)(uint32_t)_mm256_movemask_epi8(cr) << (32 * k);
        m.lf |= (uint64_t)(uint32_t)_mm256_movemask_epi8(lf) << (32 * k);
        m.odd |= (uint64_t)(uint32_t)_mm256_movemask_epi8(odd) << (32 * k);
    }
    return m;
}

__attribute__((target("avx2"))) static size_t plain_run_avx2(const uint8_t *p, size_t n,
                                                             uint64_t after_cr, uint64_t after_lf)
{
    size_t i = 0;
    SCAN_BLOCKS(marks_avx2);
    return plain_bytes(p, i, n, after_cr, after_lf);
}

__attribute__((target("avx512bw"))) static inline struct marks marks_avx512(const uint8_t *p)
{
    __m512i v = _mm512_loadu_si512(p);
    return (struct marks){
        .cr = _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('\r')),
        .lf = _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('\n')),
        .odd = _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8('.')) | _mm512_testn_epi8_mask(v, v),
    };
}

__attribute__((target("avx512bw"))) static size_t
plain_run_avx512(const uint8_t *p, size_t n, uint64_t after_cr, uint64_t after_lf)
{
    size_t i = 0;
    SCAN_BLOCKS(marks_avx512);
    return plain_bytes(p, i, n, after_cr, after_lf);
}
#endif

/* How many bytes are plain: every CR has its LF, every LF its CR, and no line begins with a dot or
 * a NUL. The one behind them, if any, needs a closer look. State: one of the plain ones. */
static size_t plain_run(uint8_t state, const uint8_t *p, size_t n)
{
    uint64_t after_cr = state == CR, after_lf = state == LINE_START;

#if defined(__x86_64__)
    if (n < 64)
        return plain_bytes(p, 0, n, after_cr, after_lf);
    if (__builtin_cpu_supports("avx512bw"))
        return plain_run_avx512(p, n, after_cr, after_lf);
    return __builtin_cpu_supports("avx2") ? plain_run_avx2(p, n, after_cr, after_lf)
                                          : plain_run_sse2(p, n, after_cr, after_lf);
#else
    return plain_bytes(p, 0, n, after_cr, after_lf);
#endif
}

static uint8_t state_behind(const uint8_t *p, size_t n, uint8_t before)
{
    if (!n)
        return before;
    return p[n - 1] == '\r' ? CR : p[n - 1] == '\n' ? LINE_START : TEXT;
}

static void note(struct mr_smtp_body *body, enum mr_smtp_oddity oddity)
{
    body->oddities = (uint16_t)(body->oddities | 1u << oddity);
}

/* One byte where no dot is open. */
static uint8_t step(struct mr_smtp_body *body, uint8_t c)
{
    uint8_t from = body->state;

    if (from == CR && c != '\n')
        note(body, MR_SMTP_BARE_CR);
    switch (c) {
    case '\r':
        return CR;
    case '\n':
        if (from == CR)
            return LINE_START;
        note(body, MR_SMTP_BARE_LF);
        return BARE_LF;
    case '\0':
        return from == TEXT ? TEXT : NULS;
    case '.':
        switch (from) {
        case LINE_START:
            return DOT;
        case BARE_LF:
            return DOT_AFTER_LF;
        case CR:
            return DOT_AFTER_CR;
        case NULS:
            return DOT_AFTER_NUL;
        default:
            return TEXT;
        }
    default:
        return TEXT;
    }
}

/* One byte behind a dot that stands behind some line end but <CR><LF>. */
static uint8_t step_dot(struct mr_smtp_body *body, uint8_t c)
{
    static const uint8_t lf[] = {MR_SMTP_LF_DOT_LF, MR_SMTP_CR_DOT_LF, MR_SMTP_NUL_DOT};
    uint8_t from = body->state;

    if (c == '\r')
        return (uint8_t)(from + (DOT_AFTER_LF_CR - DOT_AFTER_LF));
    if (c == '\0')
        return DOT_AFTER_NUL;
    if (c == '\n')
        note(body, lf[from - DOT_AFTER_LF]);
    body->state = TEXT;
    return step(body, c);
}

/* One byte behind such a dot and a CR. */
static uint8_t step_dot_cr(struct mr_smtp_body *body, uint8_t c)
{
    static const uint8_t crlf[] = {MR_SMTP_LF_DOT_CRLF, MR_SMTP_CR_DOT_CRLF, MR_SMTP_NUL_DOT};
    static const uint8_t cr[] = {MR_SMTP_LF_DOT_CR, MR_SMTP_CR_DOT_CR, MR_SMTP_NUL_DOT};
    unsigned before = body->state - DOT_AFTER_LF_CR;

    note(body, c == '\n' ? crlf[before] : cr[before]);
    body->state = CR;
    return step(body, c);
}

size_t mr_smtp_body_data(struct mr_smtp_body *body, const struct mr_smtp_memory *memory,
                         const uint8_t *bytes, size_t len, bool *ended)
{
    size_t i = 0, from = 0; /* [from, i) is to be handed on */

    *ended = false;
    while (i < len) {
        if (body->state <= CR) {
            size_t run = plain_run(body->state, bytes + i, len - i);
            body->state = state_behind(bytes + i, run, body->state);
            i += run;
            if (i == len)
                break;
        }
        uint8_t c = bytes[i];
        if (body->state == DOT) {
            if (c == '\r') {
                body->state = DOT_CR;
                from = ++i;
                continue;
            }
            if (c == '\n')
                note(body, MR_SMTP_CRLF_DOT_LF);
            body->state = c == '\0' ? DOT_AFTER_NUL : TEXT;
            if (c != '\0')
                body->state = step(body, c);
        } else if (body->state == DOT_CR) {
            if (c == '\n') {
                *ended = true;
                return i + 1;
            }
            note(body, MR_SMTP_CRLF_DOT_CR);
            append(body, memory, (const uint8_t *)"\r", 1);
            body->state = CR;
            body->state = step(body, c);
        } else if (body->state >= DOT_AFTER_LF_CR) {
            body->state = step_dot_cr(body, c);
        } else if (body->state >= DOT_AFTER_LF) {
            body->state = step_dot(body, c);
        } else {
            body->state = step(body, c);
            if (body->state == DOT) {
                append(body, memory, bytes + from, i - from);
                from = i + 1;
            }
        }
        i++;
    }
    append(body, memory, bytes + from, i - from);
    return len;
}

void mr_smtp_body_chunk(struct mr_smtp_body *body, const struct mr_smtp_memory *memory,
                        const uint8_t *bytes, size_t len)
{
    append(body, memory, bytes, len);
}

void mr_smtp_body_gap(struct mr_smtp_body *body, uint64_t gap)
{
    if (!gap)
        return;
    body->holed = true;
    body->state = TEXT;
}
