/* Walks over TLS records. */
#include "tls_records.h"

#define CHANGE_CIPHER_SPEC 20
#define APPLICATION_DATA   23
#define HEARTBEAT          24
#define MOST_BYTES         (16384 + 2048) /* of a record of TLS 1.2, encrypted */

bool mr_tls_records(struct mr_tls_records *r, const uint8_t *bytes, uint32_t n)
{
    while (n && !r->lost) {
        if (r->left) {
            uint32_t step = r->left < n ? r->left : n;
            r->left = (uint16_t)(r->left - step);
            bytes += step;
            n -= step;
            continue;
        }
        uint8_t byte = *bytes++;
        n--;
        if (r->have < sizeof r->header) {
            r->header[r->have++] = byte;
            continue;
        }
        r->have = 0;
        r->left = (uint16_t)(r->header[3] << 8 | byte);
        r->lost = r->header[0] < CHANGE_CIPHER_SPEC || r->header[0] > HEARTBEAT ||
                  r->header[1] != 3 || r->left > MOST_BYTES;
        if (!r->lost && r->header[0] == APPLICATION_DATA)
            return true;
    }
    return false;
}
