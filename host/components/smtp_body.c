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
    HOLE,          /* behind missing bytes */
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

/* How many bytes are plain from i on, one by one. `after_cr`, `after_lf`: the byte in front of i.
 */
static size_t plain_bytes(const uint8_t *p, size_t i, size_t n, bool after_cr, bool after_lf)
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
/* The same of many bytes at once: each is looked at beside the one in front of it, which is another
 * load of the same line and so costs less than to carry bits from block to block. The last block
 * overlaps what is done already. The first byte is plain, and n is more than a block. Vectors of 32
 * bytes: on the processors at hand faster than 64, whose comparisons all want the same unit. */
#define PLAIN_RUN(isa, vector, mask_of)                                                            \
    __attribute__((target(#isa))) static inline vector breaks_##isa(const uint8_t *p)              \
    {                                                                                              \
        vector v, w;                                                                               \
        memcpy(&v, p, sizeof v);                                                                   \
        memcpy(&w, p - 1, sizeof w);                                                               \
        return (vector)(((v == '\n') ^ (w == '\r')) | ((w == '\n') & ((v == '.') | (v == 0))));    \
    }                                                                                              \
    __attribute__((target(#isa))) static size_t plain_run_##isa(const uint8_t *p, size_t n)        \
    {                                                                                              \
        const size_t block = sizeof(vector);                                                       \
        size_t i = 1;                                                                              \
        for (; n - i >= 4 * block; i += 4 * block)                                                 \
            if (mask_of((breaks_##isa(p + i) | breaks_##isa(p + i + block)) |                      \
                        (breaks_##isa(p + i + 2 * block) | breaks_##isa(p + i + 3 * block))))      \
                break;                                                                             \
        for (; n - i >= block; i += block) {                                                       \
            uint32_t mask = mask_of(breaks_##isa(p + i));                                          \
            if (mask)                                                                              \
                return i + (unsigned)__builtin_ctz(mask);                                          \
        }                                                                                          \
        uint32_t mask = mask_of(breaks_##isa(p + n - block));                                      \
        return mask ? n - block + (unsigned)__builtin_ctz(mask) : n;                               \
    }

typedef int8_t bytes16 __attribute__((vector_size(16)));
typedef int8_t bytes32 __attribute__((vector_size(32)));
#define MASK_SSE2(v) ((uint32_t)_mm_movemask_epi8((__m128i)(v)))
#define MASK_AVX2(v) ((uint32_t)_mm256_movemask_epi8((__m256i)(v)))

PLAIN_RUN(sse2, bytes16, MASK_SSE2)
PLAIN_RUN(avx2, bytes32, MASK_AVX2)
#endif

/* How many bytes are plain: every CR has its LF, every LF its CR, and no line begins with a dot or
 * a NUL. The one behind them, if any, needs a closer look. State: one of the plain ones. */
static size_t plain_run(uint8_t state, const uint8_t *p, size_t n)
{
    bool after_cr = state == CR, after_lf = state == LINE_START;

#if defined(__x86_64__)
    if (n > sizeof(bytes32)) {
        if (!plain_bytes(p, 0, 1, after_cr, after_lf))
            return 0;
        return __builtin_cpu_supports("avx2") ? plain_run_avx2(p, n) : plain_run_sse2(p, n);
    }
#endif
    return plain_bytes(p, 0, n, after_cr, after_lf);
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
        /* As a rule the hole ended with its CR. But who made it may have put any byte there: a dot
         * behind it is not the end of the mail, unless the replies say so. */
        body->lf_behind_hole = from == HOLE;
        if (from != HOLE)
            note(body, MR_SMTP_BARE_LF);
        return BARE_LF;
    case '\0':
        return from == TEXT || from == HOLE ? TEXT : NULS;
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
    if (c == '\n' && !(from == DOT_AFTER_LF && body->lf_behind_hole))
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

    if (before || !body->lf_behind_hole)
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
    body->state = HOLE;
}
