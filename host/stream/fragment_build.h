/* The two header adapters of IP reassembly: what of a fragment's header goes into the datagram's.
 */
#ifndef MR_STREAM_FRAGMENT_BUILD_H
#define MR_STREAM_FRAGMENT_BUILD_H

#include "stream/fragment.h"

#define MR_IPV6_HEADER_BYTES 40

/* The longest that a datagram's payload may be with the header that `view` has; 0: the header is
 * none. */
uint32_t mr_fragment_room(const struct mr_packet *packet, const struct mr_fragment_view *view);

/* Makes header[0..len), a first fragment's, that of a datagram of `payload_len` bytes; false: it is
 * malformed. */
bool mr_fragment_header(uint8_t *header, uint32_t len, uint8_t family, uint8_t next_protocol,
                        uint32_t payload_len);

#endif
