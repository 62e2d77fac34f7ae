/* Tokens: 64 bytes at a time are classified into bit masks; runs are found where bits change. */
#include "models/spam_tokens.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* ---- the oracle: byte by byte, as the contract says it ---- */

static uint64_t hash_bytes(const uint8_t *bytes, uint32_t len, uint32_t kind)
{
    uint64_t hash = mr_bayes_hash_begin(kind, len);

    for (uint32_t at = 0; at < len; at += 8) {
        uint64_t word = 0;
        for (uint32_t i = 0; i < 8 && at + i < len; i++)
            word |= (uint64_t)bytes[at + i] << 8 * i;
        hash = mr_bayes_hash_word(hash, mr_bayes_fold8(word));
    }
    return mr_bayes_hash_end(hash);
}

uint32_t mr_spam_tokens_scalar(const uint8_t *text, uint32_t len, uint64_t *hashes)
{
    uint32_t n = 0, kind = 0;

    if (len > MR_BAYES_TEXT_BYTES)
        len = MR_BAYES_TEXT_BYTES;
    for (uint32_t at = 0; at < len;) {
        uint32_t begin = at, end;
        if (text[at] == MR_BAYES_MARK && len - at > 2)
            kind = mr_bayes_kind(text[at + 1], text[at + 2]);
        while (at < len && mr_bayes_is_token(text[at]))
            at++;
        end = at;
        at += at == begin;
        if (end - begin > MR_BAYES_TOKEN_BYTES)
            continue;
        while (begin < end && mr_bayes_is_edge(text[begin]))
            begin++;
        while (begin < end && mr_bayes_is_edge(text[end - 1]))
            end--;
        if (end - begin >= 2)
            hashes[n++] = hash_bytes(text + begin, end - begin, kind);
    }
    return n;
}

/* ---- by masks ---- */

struct masks {
    uint64_t token, mark; /* bit i: byte i is one */
};

static inline uint64_t load8(const uint8_t *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* May read up to 7 bytes behind the token. */
static inline uint64_t hash_words(const uint8_t *bytes, uint32_t len, uint32_t kind)
{
    uint64_t hash = mr_bayes_hash_begin(kind, len);

    for (; len > 8; len -= 8, bytes += 8)
        hash = mr_bayes_hash_word(hash, mr_bayes_fold8(load8(bytes)));
    hash = mr_bayes_hash_word(hash, mr_bayes_fold8(load8(bytes) & ~(uint64_t)0 >> (64 - 8 * len)));
    return mr_bayes_hash_end(hash);
}

struct sink {
    const uint8_t *text;
    uint32_t len;
    uint64_t *hashes;
    uint32_t n;
    const struct mr_bayes_entry *buckets;
    uint32_t bucket_log2;
    uint32_t kind;
    uint32_t begin; /* of the run that is open */
};

static inline void put(struct sink *sink, uint32_t end)
{
    uint32_t begin = sink->begin;
    const uint8_t *text = sink->text;

    if (end - begin > MR_BAYES_TOKEN_BYTES)
        return;
    while (begin < end && mr_bayes_is_edge(text[begin]))
        begin++;
    while (begin < end && mr_bayes_is_edge(text[end - 1]))
        end--;
    if (end - begin < 2)
        return;
    uint64_t hash = hash_words(text + begin, end - begin, sink->kind);
    sink->hashes[sink->n++] = hash;
    if (sink->buckets)
        __builtin_prefetch(sink->buckets +
                           (size_t)mr_bayes_bucket(hash, sink->bucket_log2) * MR_BAYES_SLOTS);
}

/* The runs that end in these 64 bytes, and the one that stays open; returns whether one does. */
static inline uint64_t take(struct sink *sink, struct masks m, uint32_t at, uint64_t open)
{
    uint64_t changes = m.token ^ (m.token << 1 | open), events = changes | m.mark;

    for (; events; events &= events - 1) {
        uint64_t bit = events & -events;
        uint32_t here = at + (uint32_t)__builtin_ctzll(events);
        if (changes & bit) {
            if (m.token & bit)
                sink->begin = here;
            else
                put(sink, here);
        }
        if ((m.mark & bit) && sink->len - here > 2)
            sink->kind = mr_bayes_kind(sink->text[here + 1], sink->text[here + 2]);
    }
    return m.token >> 63;
}

#ifdef __x86_64__

/* One step of either width: letters, digits and the rest by comparison; 0x80 and above by sign. */
#define CLASSIFY(set1, or, sub, min, eq, x)                                                        \
    or (or (or (eq(min(sub(or (x, set1(0x20)), set1('a')), set1(25)),                              \
                   sub(or (x, set1(0x20)), set1('a'))),                                            \
                eq(min(sub(x, set1('0')), set1(9)), sub(x, set1('0')))),                           \
            or (eq(min(sub(x, set1('-')), set1(1)), sub(x, set1('-'))), eq(x, set1('_')))),        \
        or (or (eq(x, set1('!')), eq(x, set1('$'))), or (eq(x, set1('\'')), x)))

static inline struct masks masks_sse2(const uint8_t *bytes)
{
    struct masks m = {0, 0};

    for (uint32_t i = 0; i < 4; i++) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(bytes + 16 * i));
        __m128i token =
            CLASSIFY(_mm_set1_epi8, _mm_or_si128, _mm_sub_epi8, _mm_min_epu8, _mm_cmpeq_epi8, x);
        __m128i mark = _mm_cmpeq_epi8(x, _mm_set1_epi8(MR_BAYES_MARK));
        m.token |= (uint64_t)(uint32_t)_mm_movemask_epi8(token) << 16 * i;
        m.mark |= (uint64_t)(uint32_t)_mm_movemask_epi8(mark) << 16 * i;
    }
    return m;
}

__attribute__((target("avx2"))) static inline struct masks masks_avx2(const uint8_t *bytes)
{
    struct masks m = {0, 0};

    for (uint32_t i = 0; i < 2; i++) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(bytes + 32 * i));
        __m256i token = CLASSIFY(_mm256_set1_epi8, _mm256_or_si256, _mm256_sub_epi8,
                                 _mm256_min_epu8, _mm256_cmpeq_epi8, x);
        __m256i mark = _mm256_cmpeq_epi8(x, _mm256_set1_epi8(MR_BAYES_MARK));
        m.token |= (uint64_t)(uint32_t)_mm256_movemask_epi8(token) << 32 * i;
        m.mark |= (uint64_t)(uint32_t)_mm256_movemask_epi8(mark) << 32 * i;
    }
    return m;
}

#else

static inline struct masks masks_sse2(const uint8_t *bytes)
{
    struct masks m = {0, 0};

    for (uint32_t i = 0; i < 64; i++) {
        m.token |= (uint64_t)mr_bayes_is_token(bytes[i]) << i;
        m.mark |= (uint64_t)(bytes[i] == MR_BAYES_MARK) << i;
    }
    return m;
}

#endif

/* The last bytes of a text, those behind it left out. */
static inline struct masks cut(struct masks m, uint32_t left)
{
    uint64_t keep = left < 64 ? ((uint64_t)1 << left) - 1 : ~(uint64_t)0;

    return (struct masks){m.token & keep, m.mark & keep};
}

#define TOKENS(masks_of)                                                                           \
    uint64_t open = 0;                                                                             \
    struct sink sink = {                                                                           \
        .text = text, .hashes = hashes, .buckets = buckets, .bucket_log2 = bucket_log2};           \
    if (len > MR_BAYES_TEXT_BYTES)                                                                 \
        len = MR_BAYES_TEXT_BYTES;                                                                 \
    sink.len = len;                                                                                \
    for (uint32_t at = 0; at < len; at += 64)                                                      \
        open = take(&sink, cut(masks_of(text + at), len - at), at, open);                          \
    if (open)                                                                                      \
        put(&sink, len);                                                                           \
    return sink.n

uint32_t mr_spam_tokens_sse2(const uint8_t *text, uint32_t len, uint64_t *hashes,
                             const struct mr_bayes_entry *buckets, uint32_t bucket_log2)
{
    TOKENS(masks_sse2);
}

#ifdef __x86_64__

__attribute__((target("avx2,bmi"))) static uint32_t
tokens_avx2(const uint8_t *text, uint32_t len, uint64_t *hashes,
            const struct mr_bayes_entry *buckets, uint32_t bucket_log2)
{
    TOKENS(masks_avx2);
}

uint32_t mr_spam_tokens(const uint8_t *text, uint32_t len, uint64_t *hashes,
                        const struct mr_bayes_entry *buckets, uint32_t bucket_log2)
{
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"))
        return tokens_avx2(text, len, hashes, buckets, bucket_log2);
    return mr_spam_tokens_sse2(text, len, hashes, buckets, bucket_log2);
}

#else

uint32_t mr_spam_tokens(const uint8_t *text, uint32_t len, uint64_t *hashes,
                        const struct mr_bayes_entry *buckets, uint32_t bucket_log2)
{
    return mr_spam_tokens_sse2(text, len, hashes, buckets, bucket_log2);
}

#endif
