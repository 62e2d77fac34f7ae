/* Which capture thread gets a frame where the device cannot decide: by a hash of the IP addresses
 * that is the same for both directions. Ports have no part in it, so that the fragments of a
 * datagram go where the rest of its flow goes. */
#ifndef MR_CAPTURE_SPREAD_H
#define MR_CAPTURE_SPREAD_H

#include <stdint.h>

/* Of an Ethernet frame with up to three VLAN tags; 0 for what is not IP. */
uint32_t mr_spread(const uint8_t *frame, uint32_t len);

#endif
