/* A symmetric hash of addresses. */
#include "capture/spread.h"

#include <string.h>

#define MAX_TAGS 3

static uint32_t u16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static uint64_t word(const uint8_t *at, uint32_t len)
{
    uint64_t v = 0;
    memcpy(&v, at, len);
    return v;
}

/* The finaliser of MurmurHash3: every bit of the input moves every bit of the output. */
static uint64_t mix(uint64_t v)
{
    v ^= v >> 33;
    v *= 0xff51afd7ed558ccdu;
    v ^= v >> 33;
    v *= 0xc4ceb9fe1a85ec53u;
    return v ^ v >> 33;
}

uint32_t mr_spread(const uint8_t *frame, uint32_t len)
{
    uint32_t at = 12;
    for (int tags = 0; at + 2 <= len; tags++, at += 4) {
        uint32_t type = u16(frame + at);
        if (tags == MAX_TAGS || (type != 0x8100 && type != 0x88a8 && type != 0x9100))
            break;
    }
    if (at + 2 > len)
        return 0;
    uint32_t type = u16(frame + at);
    at += 2;
    uint64_t hash = 0;
    if (type == 0x0800 && at + 20 <= len)
        hash = mix(word(frame + at + 12, 4)) + mix(word(frame + at + 16, 4));
    else if (type == 0x86dd && at + 40 <= len)
        hash = mix(word(frame + at + 8, 8) ^ mix(word(frame + at + 16, 8))) +
               mix(word(frame + at + 24, 8) ^ mix(word(frame + at + 32, 8)));
    return (uint32_t)(mix(hash) >> 32);
}
