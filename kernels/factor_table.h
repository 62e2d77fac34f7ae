/* SPDX-License-Identifier: Apache-2.0
 *
 * The compiled table of literal factors: what a message must contain before a pattern is tried on
 * it. Made on the host, never changed, one block of offsets that is copied to a device as it is.
 *
 * Every factor is entered under one of its grams of 4 bytes (or 3: of a table one or the other),
 * case folded. The bitmap says of any gram
 * whether some factor may be entered under it (one hash, false hits allowed); buckets, by another
 * hash, lead to the entries, which are exact.
 */
#ifndef MR_FACTOR_TABLE_H
#define MR_FACTOR_TABLE_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define MR_BOTH static __host__ __device__ __forceinline__
#else
#define MR_BOTH static inline
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define MR_GRAM_BYTES_MIN   3
#define MR_GRAM_BYTES_MAX   4
#define MR_FACTOR_BYTES_MAX 1024
#define MR_FACTORS_MAX      (1u << 20)

struct mr_factor {
    const uint8_t *bytes; /* borrowed during the call */
    uint32_t len;         /* that of a gram to MR_FACTOR_BYTES_MAX */
    uint32_t id;          /* the caller's; several factors may share one */
    bool caseless;        /* ASCII letters match both ways */
};

/* Offsets count from the beginning of this struct. */
struct mr_factor_table {
    uint32_t bytes;       /* all of it, a multiple of 16 */
    uint32_t n_slots;     /* different ids */
    uint32_t n_entries;   /* factors */
    uint32_t bitmap_log2; /* bits: 2^18, 2^20 beyond 10,000 factors; less when narrowed */
    uint32_t bucket_log2;
    uint32_t bitmap_at;   /* u32 words, 16-byte aligned */
    uint32_t buckets_at;  /* u32[2^bucket_log2 + 1]: first entry of each */
    uint32_t entries_at;  /* struct mr_factor_entry[n_entries], 16-byte aligned */
    uint32_t literals_at; /* bytes; those of caseless factors are folded */
    uint32_t ids_at;      /* u32[n_slots] */
    uint32_t gram_mask;   /* of a gram in 32 bits: its bytes */
    uint32_t reserved;
};

/* 16 bytes, so that a thread reads one with one load. */
struct mr_factor_entry {
    uint32_t gram;    /* folded */
    uint32_t literal; /* from literals_at on */
    uint16_t len;
    uint16_t gram_at; /* of the gram within the factor */
    uint32_t slot;    /* bit 31: caseless */
};
#define MR_FACTOR_CASELESS 0x80000000u

/* Compiles, with grams of so many bytes; *table is given to the caller, who calls
 * mr_factor_table_free(). No factors is MR_OK. */
enum mr_status mr_factor_table_compile(const struct mr_factor *factors, uint32_t n_factors,
                                       uint32_t gram_bytes, struct mr_factor_table **table,
                                       struct mr_error *error);
void mr_factor_table_free(struct mr_factor_table *table);

/* For a device with little shared memory: a bitmap of at most 2^bitmap_log2 bits, 5 or more, in the
 * place of the larger one. It passes more grams, and what is found stays the same. */
void mr_factor_table_narrow(struct mr_factor_table *table, uint32_t bitmap_log2);

/* What a device would find in one message: sets the bits of the ids in found[]. */
void mr_factor_table_search(const struct mr_factor_table *table, const uint8_t *bytes, uint32_t len,
                            uint32_t *found);

/* Four bytes at once: A-Z become a-z, all others stay. */
MR_BOTH uint32_t mr_fold4(uint32_t x)
{
    uint32_t low = x & 0x7f7f7f7fu;
    uint32_t from_a = low + 0x3f3f3f3fu, beyond_z = low + 0x25252525u; /* bit 7: >= 'A', > 'Z' */
    return x | ((from_a & ~beyond_z & ~x & 0x80808080u) >> 2);
}

MR_BOTH uint32_t mr_gram_bit(uint32_t gram, uint32_t bitmap_log2)
{
    return (gram * 0x9e3779b1u) >> (32 - bitmap_log2);
}

MR_BOTH uint32_t mr_gram_bucket(uint32_t gram, uint32_t bucket_log2)
{
    return ((gram ^ gram >> 15) * 0x85ebca77u) >> (32 - bucket_log2);
}

#ifdef __cplusplus
}
#endif

#endif
