/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiles factors: chooses each one's gram, fills bitmap and buckets.
 */
#include "kernels/factor_table.h"

#include <stdlib.h>
#include <string.h>

#define FACTORS_SMALL   10000u
#define USES_LOG2       16 /* grams are counted by hash */
#define BUCKET_LOG2_MIN 4

/* One choice per factor: where its gram stands and which slot its id got. */
struct choice {
    uint32_t gram;
    uint32_t slot;
    uint16_t at;
};

static uint32_t fold_byte(uint32_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static uint32_t gram_of(const uint8_t *p, uint32_t gram_bytes)
{
    uint32_t gram = 0;

    for (uint32_t i = 0; i < gram_bytes; i++)
        gram |= fold_byte(p[i]) << 8 * i;
    return gram;
}

/* How common bytes are in traffic, roughly: the higher, the better a gram without them. */
static uint32_t commonness(uint32_t gram)
{
    static const char common[] = " etaoinsrhldcumf\r\n0./-=";
    uint32_t sum = 0;

    for (; gram != 0; gram >>= 8)
        sum += memchr(common, (int)(gram & 0xff), sizeof(common)) != NULL ? 1 : 0;
    return sum + (gram == 0);
}

/* The gram that the fewest factors use so far, the least common of them. */
static void choose(const struct mr_factor *factor, uint32_t gram_bytes, uint32_t *uses,
                   struct choice *choice)
{
    uint32_t best = UINT32_MAX;

    for (uint32_t at = 0; at + gram_bytes <= factor->len; at++) {
        uint32_t gram = gram_of(factor->bytes + at, gram_bytes);
        uint32_t used = uses[mr_gram_bit(gram, USES_LOG2)];
        uint32_t cost = (used < UINT32_MAX / 16 ? used : UINT32_MAX / 16) * 8 + commonness(gram);
        if (cost < best) {
            best = cost;
            choice->gram = gram;
            choice->at = (uint16_t)at;
        }
    }
    uses[mr_gram_bit(choice->gram, USES_LOG2)]++;
}

static int compare_ids(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return a < b ? -1 : a > b;
}

static enum mr_status check(const struct mr_factor *factors, uint32_t n, uint32_t gram_bytes,
                            struct mr_error *error)
{
    if (gram_bytes < MR_GRAM_BYTES_MIN || gram_bytes > MR_GRAM_BYTES_MAX)
        return mr_fail(error, MR_ERR_LIMIT, "grams of %u bytes, they have %d or %d", gram_bytes,
                       MR_GRAM_BYTES_MIN, MR_GRAM_BYTES_MAX);
    if (n > MR_FACTORS_MAX)
        return mr_fail(error, MR_ERR_LIMIT, "%u factors, at most %u fit into a table", n,
                       MR_FACTORS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        if (factors[i].len < gram_bytes || factors[i].len > MR_FACTOR_BYTES_MAX)
            return mr_fail(error, MR_ERR_LIMIT, "factor %u has %u bytes, it must have %u to %d", i,
                           factors[i].len, gram_bytes, MR_FACTOR_BYTES_MAX);
    }
    return MR_OK;
}

/* Gives equal ids one slot; the sorted ids are left in ids[]. Returns how many. */
static uint32_t number_ids(const struct mr_factor *factors, uint32_t n, struct choice *choices,
                           uint32_t *ids)
{
    uint32_t n_ids = 0;

    for (uint32_t i = 0; i < n; i++)
        ids[i] = factors[i].id;
    qsort(ids, n, sizeof(*ids), compare_ids);
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || ids[i] != ids[n_ids - 1])
            ids[n_ids++] = ids[i];
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *id = bsearch(&factors[i].id, ids, n_ids, sizeof(*ids), compare_ids);
        choices[i].slot = (uint32_t)(id - ids);
    }
    return n_ids;
}

static uint32_t place(uint64_t *used, uint64_t bytes)
{
    uint64_t at = *used;

    *used = (at + bytes + 15) & ~15ull;
    return (uint32_t)at;
}

/* Sizes and offsets; the sum of literals fits, for each factor and their number are limited. */
static uint64_t lay_out(struct mr_factor_table *table, const struct mr_factor *factors, uint32_t n)
{
    uint64_t used = sizeof(*table), literals = 0;

    for (uint32_t i = 0; i < n; i++)
        literals += factors[i].len;
    table->n_entries = n;
    table->bitmap_log2 = n <= FACTORS_SMALL ? 18 : 20;
    table->bucket_log2 = BUCKET_LOG2_MIN;
    while (1u << table->bucket_log2 < 2 * n)
        table->bucket_log2++;
    table->bitmap_at = place(&used, 1u << (table->bitmap_log2 - 3));
    table->buckets_at = place(&used, (((uint64_t)1 << table->bucket_log2) + 1) * 4);
    table->entries_at = place(&used, (uint64_t)n * sizeof(struct mr_factor_entry));
    table->literals_at = place(&used, literals);
    table->ids_at = place(&used, (uint64_t)table->n_slots * 4);
    return used;
}

static void fill(struct mr_factor_table *table, const struct mr_factor *factors,
                 const struct choice *choices, const uint32_t *ids)
{
    uint8_t *base = (uint8_t *)table, *literals = base + table->literals_at;
    uint32_t *bitmap = (uint32_t *)(void *)(base + table->bitmap_at);
    uint32_t *buckets = (uint32_t *)(void *)(base + table->buckets_at);
    struct mr_factor_entry *entries = (struct mr_factor_entry *)(void *)(base + table->entries_at);
    uint32_t literal = 0, n_buckets = 1u << table->bucket_log2;

    for (uint32_t i = 0; i < table->n_entries; i++) {
        uint32_t bit = mr_gram_bit(choices[i].gram, table->bitmap_log2);
        bitmap[bit >> 5] |= 1u << (bit & 31);
        buckets[mr_gram_bucket(choices[i].gram, table->bucket_log2)]++;
    }
    for (uint32_t b = 1; b <= n_buckets; b++) /* ends of the buckets; filling moves them down */
        buckets[b] += buckets[b - 1];
    for (uint32_t i = 0; i < table->n_entries; i++) {
        uint32_t *end = &buckets[mr_gram_bucket(choices[i].gram, table->bucket_log2)];
        entries[--*end] = (struct mr_factor_entry){
            .gram = choices[i].gram,
            .literal = literal,
            .len = (uint16_t)factors[i].len,
            .gram_at = choices[i].at,
            .slot = choices[i].slot | (factors[i].caseless ? MR_FACTOR_CASELESS : 0),
        };
        for (uint32_t k = 0; k < factors[i].len; k++) {
            uint8_t byte = factors[i].bytes[k];
            literals[literal + k] = factors[i].caseless ? (uint8_t)fold_byte(byte) : byte;
        }
        literal += factors[i].len;
    }
    if (table->n_slots != 0)
        memcpy(base + table->ids_at, ids, (size_t)table->n_slots * 4);
}

enum mr_status mr_factor_table_compile(const struct mr_factor *factors, uint32_t n_factors,
                                       uint32_t gram_bytes, struct mr_factor_table **table,
                                       struct mr_error *error)
{
    enum mr_status status = check(factors, n_factors, gram_bytes, error);
    struct mr_factor_table layout = {0};
    struct choice *choices = NULL;
    uint32_t *ids = NULL, *uses = NULL;
    uint64_t bytes;

    *table = NULL;
    if (status != MR_OK)
        return status;
    choices = calloc((size_t)n_factors + 1, sizeof(*choices));
    ids = calloc((size_t)n_factors + 1, sizeof(*ids));
    uses = calloc((size_t)1 << USES_LOG2, sizeof(*uses));
    if (choices == NULL || ids == NULL || uses == NULL)
        goto no_memory;
    for (uint32_t i = 0; i < n_factors; i++)
        choose(&factors[i], gram_bytes, uses, &choices[i]);
    layout.gram_mask = gram_bytes == 4 ? 0xffffffffu : 0xffffffu;
    layout.n_slots = number_ids(factors, n_factors, choices, ids);
    bytes = lay_out(&layout, factors, n_factors);
    *table = aligned_alloc(16, bytes);
    if (*table == NULL)
        goto no_memory;
    memset(*table, 0, bytes);
    layout.bytes = (uint32_t)bytes;
    **table = layout;
    fill(*table, factors, choices, ids);
    goto done;
no_memory:
    status = mr_fail(error, MR_ERR_MEMORY, "no memory for a table of %u factors", n_factors);
done:
    free(choices);
    free(ids);
    free(uses);
    return status;
}

void mr_factor_table_free(struct mr_factor_table *table)
{
    free(table);
}

/* A gram's bit is the top of its hash: half as many bits, and two neighbours become one. */
void mr_factor_table_narrow(struct mr_factor_table *table, uint32_t bitmap_log2)
{
    uint32_t *bitmap = (uint32_t *)(void *)((uint8_t *)table + table->bitmap_at);

    for (; table->bitmap_log2 > bitmap_log2 && table->bitmap_log2 > 5; table->bitmap_log2--)
        for (uint32_t bit = 0; bit < 1u << (table->bitmap_log2 - 1); bit += 32) {
            uint64_t two = bitmap[bit / 16] | (uint64_t)bitmap[bit / 16 + 1] << 32;
            uint32_t word = 0;
            for (uint32_t i = 0; i < 32; i++)
                word |= (uint32_t)((two >> (2 * i) & 3) != 0) << i;
            bitmap[bit / 32] = word;
        }
}

/* ---- on the host ---- */

static bool stands_at(const uint8_t *bytes, const uint8_t *literal, uint32_t len, bool caseless)
{
    for (uint32_t i = 0; i < len; i++)
        if ((caseless ? fold_byte(bytes[i]) : bytes[i]) != literal[i])
            return false;
    return true;
}

void mr_factor_table_search(const struct mr_factor_table *table, const uint8_t *bytes, uint32_t len,
                            uint32_t *found)
{
    const uint8_t *base = (const uint8_t *)table;
    const uint32_t *bitmap = (const uint32_t *)(const void *)(base + table->bitmap_at);
    const uint32_t *buckets = (const uint32_t *)(const void *)(base + table->buckets_at);
    const uint32_t *ids = (const uint32_t *)(const void *)(base + table->ids_at);
    const struct mr_factor_entry *entries =
        (const struct mr_factor_entry *)(const void *)(base + table->entries_at);
    uint32_t gram_bytes = table->gram_mask >> 24 ? 4 : 3;

    for (uint32_t at = 0; table->n_entries && at < len && len - at >= gram_bytes; at++) {
        uint32_t gram = gram_of(bytes + at, gram_bytes);
        uint32_t bit = mr_gram_bit(gram, table->bitmap_log2);
        uint32_t bucket = mr_gram_bucket(gram, table->bucket_log2);
        if (!(bitmap[bit >> 5] >> (bit & 31) & 1))
            continue;
        for (uint32_t i = buckets[bucket]; i < buckets[bucket + 1]; i++) {
            const struct mr_factor_entry *entry = &entries[i];
            uint32_t id = ids[entry->slot & ~MR_FACTOR_CASELESS];
            if (entry->gram == gram && entry->gram_at <= at &&
                len - (at - entry->gram_at) >= entry->len &&
                stands_at(bytes + at - entry->gram_at, base + table->literals_at + entry->literal,
                          entry->len, entry->slot & MR_FACTOR_CASELESS))
                found[id >> 5] |= 1u << (id & 31);
        }
    }
}
