/* The Internet checksum (RFC 1071). Sums are of 16-bit words in the machine's byte order; the
 * ones' complement sum does not mind, as long as all of it is in the same. */
#ifndef MR_PACKET_CHECKSUM_H
#define MR_PACKET_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The sum of bytes, not folded: at most 2^33 for each 8 bytes, so that sums may be added up. */
uint64_t mr_sum(const uint8_t *bytes, size_t len);

/* To 16 bits; 0xffff of data with its own right checksum in it. */
static inline uint16_t mr_sum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    uint32_t low = (uint32_t)sum;
    low = (low & 0xffff) + (low >> 16);
    low = (low & 0xffff) + (low >> 16);
    return (uint16_t)low;
}

/* The sum of an IPv4 header of 20 bytes, or as much of a longer one. */
static inline uint64_t mr_sum_20(const uint8_t *bytes)
{
    uint32_t w[5];
    memcpy(w, bytes, sizeof w);
    return (uint64_t)w[0] + w[1] + w[2] + w[3] + w[4];
}

#endif
