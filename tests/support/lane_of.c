/* Prints clients whose flows to 10.1.0.1:25 all fall on one lane, for captures with a hot lane: the
 * hash is keyed, so that only who knows the seed can aim.
 *
 * usage: lane_of SEED LANES N    (LANES: a power of two) */
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    struct mr_secret secret;
    struct mr_endpoint server = {.address = {10, 1, 0, 1}, .port = 25, .family = 4, .protocol = 6};

    if (argc != 4) {
        fprintf(stderr, "usage: lane_of SEED LANES N\n");
        return 1;
    }
    uint64_t lanes = strtoull(argv[2], NULL, 10), wanted = strtoull(argv[3], NULL, 10);
    if (mr_secret_draw(&secret, strtoull(argv[1], NULL, 10)) || !lanes || lanes & (lanes - 1))
        return 1;
    for (uint32_t i = 0; wanted && i < 1u << 24; i++) {
        struct mr_endpoint client = {.address = {10, 2, (uint8_t)(i >> 8), (uint8_t)i},
                                     .port = (uint16_t)(20000 + (i >> 16)),
                                     .family = 4,
                                     .protocol = 6};
        struct mr_flow_key key;
        mr_flow_key_make(&secret, &client, &server, &key);
        if (lanes > 1 && key.hash >> (64 - __builtin_ctzll(lanes)))
            continue;
        printf("10.2.%u.%u %u\n", client.address[2], client.address[3], client.port);
        wanted--;
    }
    return wanted != 0;
}
