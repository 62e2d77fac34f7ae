// layers: base metrics packet
/* Decoding any bytes under any link type: never outside the frame, and what it says of a packet
 * lies inside it. The first two bytes of the input choose the link type and how much is missing. */
#include "packet/decode.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void check(const struct mr_packet *packet, const struct mr_fragment_view *view)
{
    static const struct mr_endpoint zero;
    REQUIRE(packet->l3_offset < packet->len);
    REQUIRE(packet->l4_offset <= packet->payload_offset);
    REQUIRE((uint64_t)packet->payload_offset + packet->payload_len <= packet->len);
    REQUIRE(packet->n_vlan <= 3);
    REQUIRE(packet->src.family == packet->dst.family);
    REQUIRE(packet->src.protocol == packet->dst.protocol);
    REQUIRE(packet->src.zone == packet->dst.zone);
    if (packet->src.family == 4)
        REQUIRE(memcmp(packet->src.address + 4, zero.address, 12) == 0);
    else
        REQUIRE(packet->src.family == 6);
    if (packet->flags & MR_PACKET_FRAGMENT) {
        REQUIRE((uint64_t)view->payload_offset + view->payload_len <= packet->len);
        REQUIRE(view->payload_offset ==
                packet->l3_offset + view->unfragmentable_len + (packet->src.family == 6 ? 8 : 0));
        REQUIRE(packet->payload_len == 0 && view->offset <= 65535);
        REQUIRE(!(packet->flags & MR_PACKET_TRUNCATED));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t types[] = {1, 1, 1, 0, 9, 12, 14, 101, 108, 113, 228, 229, 276, 105};
    if (size < 2)
        return 0;
    uint16_t link_type = types[data[0] % (sizeof types / sizeof types[0])];
    struct mr_fragment_view view = {0};
    for (int policy = MR_CHECKSUM_AUTO; policy <= MR_CHECKSUM_NONE; policy++) {
        struct mr_decoder decoder = {.checksum = (enum mr_checksum_policy)policy};
        struct mr_packet packet;
        memset(&packet, 0xa5, sizeof packet);
        packet.data = data + 2;
        packet.len = (uint32_t)size - 2;
        packet.wire_len = packet.len + (data[1] & 1 ? data[1] : 0);
        packet.link_type = link_type;
        if (mr_decode(&decoder, &packet, &view) == MR_DROP_NONE)
            check(&packet, &view);
        /* as a datagram put together from fragments */
        packet.l3_offset = data[1] % 16;
        packet.n_vlan = 0;
        memset(packet.vlan, 0, sizeof packet.vlan);
        packet.flags = MR_PACKET_REASSEMBLED;
        if (mr_decode_ip(&decoder, &packet, &view) == MR_DROP_NONE) {
            check(&packet, &view);
            REQUIRE(packet.flags & MR_PACKET_REASSEMBLED);
        }
    }
    return 0;
}
