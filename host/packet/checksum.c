/* Summing bytes as fast as they come from the cache: 32-bit words are added up in 64-bit lanes,
 * which cannot overflow, so that no carries need care. */
#include "packet/checksum.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static uint64_t sum_words(const uint8_t *bytes, size_t len)
{
    uint64_t sum = 0, tail = 0, word;
    for (; len >= 8; len -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        sum += (word & 0xffffffff) + (word >> 32);
    }
    memcpy(&tail, bytes, len);
    return sum + (tail & 0xffffffff) + (tail >> 32);
}

#if defined(__x86_64__)

/* The halves of each 64-bit lane, into sums of their own. */
static inline __m128i add_128(__m128i sum, __m128i v)
{
    sum = _mm_add_epi64(sum, _mm_unpacklo_epi32(v, _mm_setzero_si128()));
    return _mm_add_epi64(sum, _mm_unpackhi_epi32(v, _mm_setzero_si128()));
}

static uint64_t total_128(__m128i sum)
{
    uint64_t parts[2];
    memcpy(parts, &sum, sizeof parts);
    return parts[0] + parts[1];
}

static uint64_t sum_sse2(const uint8_t *bytes, size_t len)
{
    __m128i a = _mm_setzero_si128(), b = a;
    for (; len >= 32; len -= 32, bytes += 32) {
        a = add_128(a, _mm_loadu_si128((const __m128i *)(const void *)bytes));
        b = add_128(b, _mm_loadu_si128((const __m128i *)(const void *)(bytes + 16)));
    }
    return total_128(_mm_add_epi64(a, b)) + sum_words(bytes, len);
}

__attribute__((target("avx2"))) static inline __m256i add_256(__m256i sum, __m256i v)
{
    sum = _mm256_add_epi64(sum, _mm256_unpacklo_epi32(v, _mm256_setzero_si256()));
    return _mm256_add_epi64(sum, _mm256_unpackhi_epi32(v, _mm256_setzero_si256()));
}

__attribute__((target("avx2"))) static uint64_t sum_avx2(const uint8_t *bytes, size_t len)
{
    __m256i a = _mm256_setzero_si256(), b = a;
    for (; len >= 64; len -= 64, bytes += 64) {
        a = add_256(a, _mm256_loadu_si256((const __m256i *)(const void *)bytes));
        b = add_256(b, _mm256_loadu_si256((const __m256i *)(const void *)(bytes + 32)));
    }
    a = _mm256_add_epi64(a, b);
    __m128i both = _mm_add_epi64(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    return total_128(both) + sum_words(bytes, len);
}

uint64_t mr_sum(const uint8_t *bytes, size_t len)
{
    if (len < 64)
        return sum_words(bytes, len);
    if (len >= 256 && __builtin_cpu_supports("avx2"))
        return sum_avx2(bytes, len);
    return sum_sse2(bytes, len);
}

#else

uint64_t mr_sum(const uint8_t *bytes, size_t len)
{
    return sum_words(bytes, len);
}

#endif
