/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of a spam model, and the steps that every scorer takes: what a token is, what its hash
 * is, where its entry lies. The same bytes lie in a model file, in host memory and on a device.
 *
 * A scored text is pieces of text: each begins with MR_BAYES_MARK and two bytes whose low halves
 * name its kind (subject, body, link ...); a mark holds until the next one. A run is a longest
 * sequence of token bytes; one of at most MR_BAYES_TOKEN_BYTES, less dashes, dots, quotes and
 * underscores at its ends, is a token if 2 bytes are left. ASCII letters are folded. What counts
 * is the set of entries that a text's tokens have.
 */
#ifndef MR_BAYES_TABLE_H
#define MR_BAYES_TABLE_H

#include "kernels/factor_table.h" /* MR_BOTH */

#define MR_BAYES_MARK        1u
#define MR_BAYES_TEXT_BYTES  65536u /* longer texts are scored as far as this */
#define MR_BAYES_TOKEN_BYTES 40u
#define MR_BAYES_WORDS       (MR_BAYES_TOKEN_BYTES / 8)
#define MR_BAYES_SLOTS       4u  /* entries in a bucket of 64 bytes */
#define MR_BAYES_PROBES      32u /* an entry lies in its bucket or in one of the 31 behind it */
#define MR_BAYES_NONE        0xffffffffu
#define MR_BAYES_ONE         16777216 /* 1.0 in Q24 */

/* 16 bytes, so that a thread reads one with one load. */
struct mr_bayes_entry {
    uint32_t fingerprint; /* 0: free, and so are the rest of its bucket and all that lies behind */
    int32_t spam, ham;    /* ln f and ln(1-f), Q24; both 0: not in the chi-square sums */
    int32_t weight;       /* of the logistic sum, Q24 */
} __attribute__((aligned(16)));

/* Of one text: sums over the entries of its tokens, each once. */
struct mr_bayes_sums {
    int64_t spam, ham, weight; /* Q24 */
    uint32_t n_known;          /* entries; MR_BAYES_NONE: too many for a device, redo it */
    uint32_t n_strong;         /* of these in the chi-square sums */
};

MR_BOTH bool mr_bayes_is_token(uint32_t c)
{
    return (c | 0x20) - 'a' < 26 || c - '0' < 10 || c >= 0x80 || c == '!' || c == '$' ||
           c == '\'' || c == '-' || c == '.' || c == '_';
}

MR_BOTH bool mr_bayes_is_edge(uint32_t c)
{
    return c == '\'' || c == '-' || c == '.' || c == '_';
}

MR_BOTH uint32_t mr_bayes_kind(uint32_t first, uint32_t second)
{
    return (first & 15) << 4 | (second & 15);
}

/* Eight bytes at once: A-Z become a-z, all others stay. */
MR_BOTH uint64_t mr_bayes_fold8(uint64_t x)
{
    uint64_t low = x & 0x7f7f7f7f7f7f7f7full;
    uint64_t from_a = low + 0x3f3f3f3f3f3f3f3full, beyond_z = low + 0x2525252525252525ull;
    return x | ((from_a & ~beyond_z & ~x & 0x8080808080808080ull) >> 2);
}

/* The hash of a token: begin, then each 8 bytes of it (little-endian, folded, zeros behind the
 * last), then end. */
MR_BOTH uint64_t mr_bayes_hash_begin(uint32_t kind, uint32_t len)
{
    return (kind + 1) * 0x9e3779b97f4a7c15ull ^ len * 0xc2b2ae3d27d4eb4full;
}

MR_BOTH uint64_t mr_bayes_hash_word(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0xff51afd7ed558ccdull;
    return hash ^ hash >> 32;
}

MR_BOTH uint64_t mr_bayes_hash_end(uint64_t hash)
{
    hash *= 0xc4ceb9fe1a85ec53ull;
    return hash ^ hash >> 29;
}

MR_BOTH uint32_t mr_bayes_fingerprint(uint64_t hash)
{
    uint32_t low = (uint32_t)hash;
    return low != 0 ? low : 1;
}

MR_BOTH uint32_t mr_bayes_bucket(uint64_t hash, uint32_t bucket_log2)
{
    return (uint32_t)(hash >> 32) >> (32 - bucket_log2); /* bucket_log2: 1 to 31 */
}

#endif
