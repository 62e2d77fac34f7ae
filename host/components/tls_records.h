/* Records of TLS (RFC 8446 5.1, RFC 5246 6.2): finds the point from which on everything is
 * encrypted, in a direction's bytes however they are cut. Keeps no bytes but a record's header. */
#ifndef MR_COMPONENTS_TLS_RECORDS_H
#define MR_COMPONENTS_TLS_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

/* All zero: at the beginning of a record. */
struct mr_tls_records {
    uint16_t left;     /* of the record under way */
    uint8_t header[4]; /* all but the last byte */
    uint8_t have;      /* bytes of the header */
    bool lost;         /* this is no TLS, or a hole was in it */
};

/* The next bytes; true when they contain the header of a record of application data: the handshake
 * is over (TLS 1.3 hides the end of its handshake in such records). */
bool mr_tls_records(struct mr_tls_records *records, const uint8_t *bytes, uint32_t n);

#endif
