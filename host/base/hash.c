/* Keyed hashing with XXH3 (libxxhash, header-only use). */
#include "base/hash.h"

#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum mr_status mr_secret_draw(struct mr_secret *secret, uint64_t seed)
{
    if (!seed) {
        ssize_t got = getrandom(secret->bytes, sizeof secret->bytes, 0);
        return got == (ssize_t)sizeof secret->bytes ? MR_OK : MR_ERR_START;
    }
    for (size_t i = 0; i < sizeof secret->bytes; i += 8) {
        /* splitmix64 */
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        z ^= z >> 31;
        memcpy(secret->bytes + i, &z, 8);
    }
    return MR_OK;
}

uint64_t mr_hash_bytes(const struct mr_secret *secret, const void *bytes, size_t len)
{
    return XXH3_64bits_withSecret(bytes, len, secret->bytes, sizeof secret->bytes);
}

void mr_hash128_bytes(const struct mr_secret *secret, const void *bytes, size_t len,
                      uint8_t hash[16])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(
        &canonical, XXH3_128bits_withSecret(bytes, len, secret->bytes, sizeof secret->bytes));
    memcpy(hash, canonical.digest, 16);
}

uint64_t mr_hash_public(const void *bytes, size_t len)
{
    return XXH3_64bits(bytes, len);
}

void mr_hash128_public(const void *bytes, size_t len, uint8_t hash[16])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, len));
    memcpy(hash, canonical.digest, 16);
}

void mr_flow_key_make(const struct mr_secret *secret, const struct mr_endpoint *x,
                      const struct mr_endpoint *y, struct mr_flow_key *key)
{
    bool ordered = memcmp(x, y, sizeof *x) <= 0;
    key->a = ordered ? *x : *y;
    key->b = ordered ? *y : *x;
    key->hash = mr_hash_bytes(secret, key, 2 * sizeof *x);
}
