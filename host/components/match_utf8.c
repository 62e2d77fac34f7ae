/* Whether a message is UTF-8 (RFC 3629), for patterns that ask for it. */
#include "components/match.h"

#include <string.h>

bool mr_match_utf8(const uint8_t *bytes, size_t len)
{
    size_t at = 0;

    while (at < len) {
        uint64_t eight;
        while (len - at >= 8 && (memcpy(&eight, bytes + at, 8), !(eight & 0x8080808080808080u)))
            at += 8;
        if (at == len)
            break;
        uint8_t lead = bytes[at++];
        if (lead < 0x80)
            continue;
        if (lead < 0xc2 || lead > 0xf4)
            return false;
        uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        for (int more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3; more; more--) {
            if (at == len || bytes[at] < low || bytes[at] > high)
                return false;
            at++;
            low = 0x80;
            high = 0xbf;
        }
    }
    return true;
}
