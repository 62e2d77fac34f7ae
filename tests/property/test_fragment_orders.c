/* IP reassembly: datagrams of random bytes, cut at random, several under way at the same time,
 * their fragments shuffled and doubled (IPv4: and overlapping with the same bytes): each comes out
 * once as it was, whatever the policy. */
// layers: stream packet base
#include "packet/decode.h"
#include "stream/fragment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DATAGRAMS    8
#define MAX_BYTES    20000
#define MAX_PARTS    20000
#define EXPERIMENTAL 253

struct part {
    uint32_t datagram, offset, len;
};

static uint8_t bytes[DATAGRAMS][MAX_BYTES];
static uint32_t lengths[DATAGRAMS];
static struct part parts[MAX_PARTS];
static uint32_t n_parts;
static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 11) % below);
}

static void add(uint32_t datagram, uint32_t offset, uint32_t len)
{
    if (n_parts < MAX_PARTS)
        parts[n_parts++] = (struct part){datagram, offset, len};
}

static void cut(uint32_t datagram, bool overlaps)
{
    uint32_t len = lengths[datagram], most = 1 + draw(100);

    for (uint32_t at = 0; at < len;) {
        uint32_t part = 8 * (1 + draw(most));
        if (part > len - at)
            part = len - at;
        if (!at && part == len)
            part = 8; /* in one it would be no fragment */
        add(datagram, at, part);
        if (overlaps && draw(6) == 0 && at) {
            uint32_t back = 8 * draw(at / 8 + 1);
            if (back < at || part + back < len) /* in one, again */
                add(datagram, at - back, part + back);
        }
        at += part;
    }
}

static void shuffle(void)
{
    for (uint32_t i = n_parts; i > 1; i--) {
        uint32_t other = draw(i);
        struct part part = parts[i - 1];
        parts[i - 1] = parts[other];
        parts[other] = part;
    }
}

static enum mr_drop send_part(struct mr_fragments *fragments, const struct part *part, bool v6,
                              struct mr_packet *whole, struct mr_buffer **buffer)
{
    uint32_t header = v6 ? 40 : 20, given_up;
    uint8_t *frame = malloc(header + part->len);
    enum mr_drop reason;

    assert_non_null(frame);
    memset(frame, 0, header);
    frame[0] = v6 ? 0x60 : 0x45;
    frame[v6 ? 6 : 9] = v6 ? 44 : EXPERIMENTAL;
    memcpy(frame + header, bytes[part->datagram] + part->offset, part->len);
    const struct mr_packet packet = {.data = frame,
                                     .len = header + part->len,
                                     .flags = MR_PACKET_FRAGMENT,
                                     .src = {.family = v6 ? 6 : 4},
                                     .dst = {.family = v6 ? 6 : 4}};
    const struct mr_fragment_view view = {.id = part->datagram,
                                          .offset = part->offset,
                                          .payload_offset = header,
                                          .payload_len = part->len,
                                          .next_protocol = EXPERIMENTAL,
                                          .more =
                                              part->offset + part->len != lengths[part->datagram],
                                          .unfragmentable_len = header};
    reason = mr_fragments_add(fragments, &packet, &view, whole, buffer, &given_up);
    assert_int_equal(given_up, 0);
    free(frame);
    return reason;
}

static void check(uint64_t seed)
{
    bool v6 = seed & 1;
    const struct mr_fragment_config config = {.policy = (enum mr_overlap_policy)(seed % 6),
                                              .max_fragments = MAX_PARTS};
    struct mr_secret secret;
    struct mr_buffers *pool;
    struct mr_fragments *fragments;
    uint32_t times[DATAGRAMS] = {0};

    random_state = seed * 0x9e3779b97f4a7c15u | 1;
    n_parts = 0;
    for (uint32_t d = 0; d < DATAGRAMS; d++) {
        lengths[d] = 9 + draw(draw(2) ? MAX_BYTES - 9 : 400);
        for (uint32_t i = 0; i < lengths[d]; i++)
            bytes[d][i] = (uint8_t)draw(256);
        cut(d, !v6);
    }
    shuffle();
    assert_int_equal(mr_secret_draw(&secret, seed), MR_OK);
    assert_int_equal(mr_buffers_new(&pool, 64u << 20), MR_OK);
    assert_int_equal(mr_fragments_new(&fragments, &config, pool, &secret), MR_OK);
    for (uint32_t i = 0; i < n_parts; i++) {
        const struct part *part = &parts[i];
        struct mr_packet whole;
        struct mr_buffer *buffer = NULL;
        uint32_t header = v6 ? 40 : 20, d = part->datagram;
        if (times[d])
            continue;
        if (draw(10) == 0) /* doubled */
            assert_int_not_equal(send_part(fragments, part, v6, &whole, &buffer),
                                 MR_DROP_FRAGMENT_OVERLAP);
        if (!buffer)
            send_part(fragments, part, v6, &whole, &buffer);
        if (!buffer)
            continue;
        times[d]++;
        assert_int_equal(whole.len, header + lengths[d]);
        assert_memory_equal(whole.data + header, bytes[d], lengths[d]);
        mr_buffers_put(pool, buffer);
    }
    for (uint32_t d = 0; d < DATAGRAMS; d++)
        assert_int_equal(times[d], 1);
    assert_int_equal(mr_fragments_held(fragments), 0);
    mr_fragments_free(fragments);
    mr_buffers_free(pool);
}

static void any_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 600; seed++)
        check(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
