/* Keyed hashing for tables that an attacker could aim at: XXH3 with a secret drawn at start. */
#ifndef MR_BASE_HASH_H
#define MR_BASE_HASH_H

#include "millrace/packet.h"
#include "millrace/status.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct mr_secret {
    uint8_t bytes[192];
};

/* Draws a secret from the kernel (seed 0), or derives it from `seed` so that a run can be repeated
 * exactly. */
enum mr_status mr_secret_draw(struct mr_secret *secret, uint64_t seed);

uint64_t mr_hash_bytes(const struct mr_secret *secret, const void *bytes, size_t len);

/* Of one number, in a few instructions: two multiplications with the secret, halves folded. */
static inline uint64_t mr_hash_number(const struct mr_secret *secret, uint64_t number)
{
    __extension__ typedef unsigned __int128 wide;
    uint64_t keys[4];

    memcpy(keys, secret->bytes, sizeof keys);
    wide x = (wide)(number ^ keys[0]) * (keys[1] | 1);
    x = (wide)((uint64_t)x ^ (uint64_t)(x >> 64) ^ keys[2]) * (keys[3] | 1);
    return (uint64_t)x ^ (uint64_t)(x >> 64);
}

/* 16 bytes of hash, for keys too long to keep: a collision is not to be expected. */
void mr_hash128_bytes(const struct mr_secret *secret, const void *bytes, size_t len,
                      uint8_t hash[16]);

/* Not keyed: the same in every run. Only where nobody gains by choosing its input. */
uint64_t mr_hash_public(const void *bytes, size_t len);
void mr_hash128_public(const void *bytes, size_t len, uint8_t hash[16]);

/* Fills the key of the flow between two endpoints: a <= b, hash over both. */
void mr_flow_key_make(const struct mr_secret *secret, const struct mr_endpoint *x,
                      const struct mr_endpoint *y, struct mr_flow_key *key);

#endif
