/* Exact sums. */
#include "runtime/sums.h"

#include <math.h>
#include <string.h>

__extension__ typedef __int128 wide;
__extension__ typedef unsigned __int128 unsigned_wide;
__extension__ typedef __float128 wide_real;

static wide wide_of(const struct mr_int_sum *sum)
{
    return (wide)((unsigned_wide)sum->high << 64 | sum->low);
}

void mr_int_sum_add(struct mr_int_sum *sum, int64_t value, bool away)
{
    unsigned_wide old = (unsigned_wide)wide_of(sum), change = (unsigned_wide)(wide)value;
    unsigned_wide fresh = away ? old - change : old + change;

    sum->low = (uint64_t)fresh;
    sum->high = (uint64_t)(fresh >> 64);
}

int64_t mr_int_sum_value(const struct mr_int_sum *sum)
{
    wide value = wide_of(sum);
    return value > INT64_MAX ? INT64_MAX : value < INT64_MIN ? INT64_MIN : (int64_t)value;
}

double mr_int_sum_mean(const struct mr_int_sum *sum, uint64_t n)
{
    /* 113 bits hold any sum of 2^49 values, and the quotient is too far from the middle between two
     * doubles for the second rounding to matter */
    return (double)((wide_real)wide_of(sum) / (wide_real)n);
}

/* ---- reals ---- */

#define FRACTION 52u

static void add_word(struct mr_real_sum *sum, uint32_t at, uint64_t word)
{
    while (word && at < MR_REAL_SUM_WORDS) {
        sum->words[at] += word;
        word = sum->words[at] < word; /* the carry */
        at++;
    }
}

static void subtract_word(struct mr_real_sum *sum, uint32_t at, uint64_t word)
{
    while (word && at < MR_REAL_SUM_WORDS) {
        uint64_t old = sum->words[at];
        sum->words[at] = old - word;
        word = old < word;
        at++;
    }
}

void mr_real_sum_add(struct mr_real_sum *sum, double value, bool away)
{
    uint64_t bits, fraction;
    uint64_t one = away ? UINT64_MAX : 1;

    memcpy(&bits, &value, sizeof bits);
    uint32_t exponent = bits >> FRACTION & 0x7ff;
    bool negative = bits >> 63;
    fraction = bits & (((uint64_t)1 << FRACTION) - 1);
    if (exponent == 0x7ff) {
        if (fraction)
            sum->n_nan += one;
        else
            sum->n_infinite[negative] += one;
        return;
    }
    if (exponent)
        fraction |= (uint64_t)1 << FRACTION;
    uint32_t shift = exponent ? exponent - 1 : 0, at = shift / 64, by = shift % 64;
    uint64_t low = fraction << by, high = by ? fraction >> (64 - by) : 0;
    void (*step)(struct mr_real_sum *, uint32_t, uint64_t) =
        negative != away ? subtract_word : add_word;
    step(sum, at, low);
    step(sum, at + 1, high);
}

/* Bits [at, at + 64) of a number, below its lowest bit there is nothing. */
static uint64_t bits_at(const uint64_t *words, uint32_t at)
{
    uint32_t word = at / 64, by = at % 64;
    uint64_t low = words[word] >> by;
    return by && word + 1 < MR_REAL_SUM_WORDS ? low | words[word + 1] << (64 - by) : low;
}

static bool any_below(const uint64_t *words, uint32_t at)
{
    for (uint32_t w = 0; w < at / 64; w++)
        if (words[w])
            return true;
    return at % 64 && words[at / 64] << (64 - at % 64);
}

double mr_real_sum_value(const struct mr_real_sum *sum)
{
    uint64_t words[MR_REAL_SUM_WORDS];
    bool negative = sum->words[MR_REAL_SUM_WORDS - 1] >> 63;
    uint32_t top = MR_REAL_SUM_WORDS;

    if (sum->n_nan || (sum->n_infinite[0] && sum->n_infinite[1]))
        return (double)NAN;
    if (sum->n_infinite[0] || sum->n_infinite[1])
        return sum->n_infinite[1] ? -(double)INFINITY : (double)INFINITY;
    memcpy(words, sum->words, sizeof words);
    for (uint32_t w = 0, carry = 1; negative && w < MR_REAL_SUM_WORDS; w++) {
        words[w] = ~words[w] + carry;
        carry = carry && !words[w];
    }
    while (top && !words[top - 1])
        top--;
    if (!top)
        return 0;
    uint32_t highest = 64 * top - 1 - (uint32_t)__builtin_clzll(words[top - 1]);
    uint32_t lowest = highest > FRACTION ? highest - FRACTION : 0; /* of the bits that stay */
    uint64_t kept = bits_at(words, lowest) & (((uint64_t)2 << FRACTION) - 1);
    if (lowest) {
        bool half = words[(lowest - 1) / 64] >> (lowest - 1) % 64 & 1;
        kept += half && (kept & 1 || any_below(words, lowest - 1));
    }
    double value = ldexp((double)kept, (int)lowest - 1074);
    return negative ? -value : value;
}
