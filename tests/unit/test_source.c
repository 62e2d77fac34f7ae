// layers: base metrics packet capture
// threads: 1
/* Reading captures: every flavour of pcap and pcapng, blocks and who holds them. Damaged files are
 * in test_source_bad.c, pipes and threads in test_source_live.c. */
#include "capture/ahead.h"
#include "capture/dpdk.h"
#include "capture/source.h"
#include "packets.h"

#include <rte_mbuf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define POOL   20000u
#define SECOND 1000000000ull

static char path[64];
static struct mr_ahead *ahead; /* all of it with and without */
static struct mr_burst burst;

static int start(void **state)
{
    (void)state;
    struct mr_dpdk_config config = {.max_packets = POOL};
    struct mr_error error;
    snprintf(path, sizeof path, "/tmp/millrace-test-source-%d", (int)getpid());
    return mr_dpdk_start(&config, &error) ? -1 : 0;
}

static int stop(void **state)
{
    (void)state;
    mr_dpdk_stop();
    unlink(path);
    return 0;
}

static struct mr_source *open_capture(struct pk_capture *c)
{
    struct mr_source *source = NULL;
    struct mr_error error = {0};
    assert_true(pk_save(c, path));
    pk_capture_free(c);
    if (mr_source_open_ahead(&source, path, 3, ahead, &error))
        fail_msg("%s", error.text);
    return source;
}

static enum mr_status read_burst(struct mr_source *source, uint32_t max)
{
    struct mr_error error = {0};
    burst.n = 0;
    enum mr_status status = source->ops->read(source, &burst, max, &error);
    if (status == MR_ERR_INPUT)
        print_message("%s\n", error.text);
    assert_int_equal(status == MR_OK, burst.n > 0);
    return status;
}

/* A packet of the burst, in the source's words. */
static void expect(uint32_t i, uint64_t time_ns, uint32_t len, uint32_t wire_len,
                   uint16_t link_type)
{
    assert_true(i < burst.n);
    const struct mr_packet *packet = &burst.packets[i];
    assert_int_equal(packet->time_ns, time_ns);
    assert_int_equal(packet->len, len);
    assert_int_equal(packet->wire_len, wire_len);
    assert_int_equal(packet->link_type, link_type);
    assert_int_equal(packet->interface, 3);
}

static void expect_end(struct mr_source *source)
{
    mr_burst_release(&burst);
    assert_int_equal(read_burst(source, 256), MR_EOF);
    assert_int_equal(read_burst(source, 256), MR_EOF);
    source->ops->close(source);
    assert_int_equal(mr_dpdk_packets_in_use(), 0);
}

static void pcap_flavours(void **state)
{
    (void)state;
    for (int flavour = 0; flavour < 4; flavour++) {
        bool nanosecond = flavour & 1;
        struct pk_capture c;
        pk_pcap(&c, 1, nanosecond, flavour & 2);
        pk_pcap_bytes(&c, 1700000000 * SECOND + 123456789, "first", 5, 0);
        pk_pcap_bytes(&c, 4294967295 * SECOND + 999999999, "second!", 7, 1500);
        pk_pcap_bytes(&c, 0, "", 0, 60);
        pk_pcap_bytes(&c, 1, "abc", 3, 1); /* shorter on the wire than captured: nonsense */
        struct mr_source *source = open_capture(&c);
        assert_int_equal(read_burst(source, 256), MR_OK);
        assert_int_equal(burst.n, 4);
        expect(0, 1700000000 * SECOND + (nanosecond ? 123456789 : 123456000), 5, 5, 1);
        expect(1, 4294967295 * SECOND + (nanosecond ? 999999999 : 999999000), 7, 1500, 1);
        expect(2, 0, 0, 60, 1);
        expect(3, nanosecond, 3, 3, 1);
        assert_memory_equal(burst.packets[1].data, "second!", 7);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(burst.packets[i].number, i + 1);
            assert_true(burst.packets[i].data >= rte_pktmbuf_mtod(burst.mbufs[0], uint8_t *));
        }
        assert_int_equal(burst.n_mbufs, 1); /* they lie in one block */
        assert_int_equal(mr_dpdk_packets_in_use(), 1);
        expect_end(source);
    }
}

static void pcap_absurd_times(void **state)
{
    (void)state;
    struct pk_capture c;
    pk_pcap(&c, 1, false, false);
    pk_raw32(&c, 5);
    pk_raw32(&c, 4294967295); /* microseconds of a second */
    pk_raw32(&c, 0);
    pk_raw32(&c, 0);
    struct mr_source *source = open_capture(&c);
    assert_int_equal(read_burst(source, 256), MR_OK);
    expect(0, 5 * SECOND + 4294967295000ull, 0, 0, 1);
    expect_end(source);
}

static void pcap_odd_headers(void **state)
{
    (void)state;
    struct pk_capture c = {0};
    pk_raw32(&c, 0xa1b2cd34); /* with eight more bytes in each record */
    pk_raw(&c, "\2\0\4\0\0\0\0\0\0\0\0\0\xff\xff\0\0", 16);
    pk_raw32(&c, 0x24000001); /* frames have a check sequence of four bytes */
    pk_raw32(&c, 7);
    pk_raw32(&c, 8);
    pk_raw32(&c, 4);
    pk_raw32(&c, 4);
    pk_raw(&c, "\1\0\0\0\0\0\0\0good", 12);
    struct mr_source *source = open_capture(&c);
    assert_int_equal(read_burst(source, 256), MR_OK);
    expect(0, 7 * SECOND + 8000, 4, 4, 1);
    assert_memory_equal(burst.packets[0].data, "good", 4);
    expect_end(source);
}

static void pcapng_packets(void **state)
{
    (void)state;
    for (int big_endian = 0; big_endian < 2; big_endian++) {
        struct pk_capture c;
        pk_ng(&c);
        pk_ng_section(&c, big_endian);
        pk_ng_interface(&c, 1, 0, -1);
        pk_ng_interface(&c, 101, 0, 9);
        pk_ng_packet(&c, 0, 1700000000123456, "enhanced", 8, 100);
        pk_ng_block(&c, 5, "interface statistics", 20);
        pk_ng_packet(&c, 1, 1700000000123456789, "nano", 4, 0);
        pk_ng_simple(&c, "simple", 6, 0);
        pk_ng_block(&c, 0x80000bad, "unknown", 7);
        pk_ng_obsolete(&c, 1, 3, "old", 3, 9);
        pk_ng_section(&c, !big_endian); /* forgets the interfaces, turns the bytes around */
        pk_ng_interface(&c, 113, 2, 3);
        pk_ng_packet(&c, 0, 1001, "", 0, 77);
        pk_ng_simple(&c, "cut by snaplen", 14, 14);
        struct mr_source *source = open_capture(&c);
        assert_int_equal(read_burst(source, 256), MR_OK);
        assert_int_equal(burst.n, 6);
        expect(0, 1700000000123456000, 8, 100, 1);
        expect(1, 1700000000123456789, 4, 4, 101);
        expect(2, 1700000000123456789, 6, 6, 1); /* has no time: that of the one before */
        expect(3, 3, 3, 9, 101);
        expect(4, 1001000000, 0, 77, 113);
        expect(5, 1001000000, 2, 14, 113);
        assert_memory_equal(burst.packets[0].data, "enhanced", 8);
        assert_memory_equal(burst.packets[2].data, "simple", 6);
        assert_memory_equal(burst.packets[5].data, "cu", 2);
        expect_end(source);
    }
}

static void pcapng_resolutions(void **state)
{
    (void)state;
    static const struct {
        int resolution;
        uint64_t time, ns;
    } cases[] = {
        {0, 5, 5000000000},
        {3, 5, 5000000},
        {9, 5, 5},
        {12, 5999, 5},
        {127, UINT64_MAX, 0},
        {0x80 | 10, 1536, 1500000000},
        {0x80 | 32, 0x180000000, 1500000000},
        {0x80 | 127, UINT64_MAX, 0},
        {0x80 | 0, 2, 2000000000},
        {0, UINT64_MAX, INT64_MAX}, /* after the end of time */
        {6, UINT64_MAX, INT64_MAX},
        {0x80 | 1, UINT64_MAX, INT64_MAX},
    };
    struct pk_capture c;
    pk_ng(&c);
    pk_ng_section(&c, false);
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pk_ng_interface(&c, 1, 0, cases[i].resolution);
        pk_ng_packet(&c, i, cases[i].time, "x", 1, 0);
    }
    struct mr_source *source = open_capture(&c);
    assert_int_equal(read_burst(source, 256), MR_OK);
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect(i, cases[i].ns, 1, 1, 1);
    expect_end(source);
}

static void pcapng_time_offset(void **state)
{
    (void)state;
    static const struct {
        int64_t offset;
        uint64_t ns;
    } cases[] = {{100, 101 * SECOND}, {-1, 0}, {-5, 0}, {INT64_MAX, INT64_MAX}, {INT64_MIN, 0}};
    for (int big_endian = 0; big_endian < 2; big_endian++) {
        struct pk_capture c;
        pk_ng(&c);
        pk_ng_section(&c, big_endian);
        for (uint32_t i = 0; i < 5; i++) {
            struct pk_capture body = {.big_endian = big_endian};
            uint64_t offset = (uint64_t)cases[i].offset;
            pk_raw16(&body, 1);
            pk_raw16(&body, 0);
            pk_raw32(&body, 0);
            pk_raw16(&body, 14);
            pk_raw16(&body, 8);
            pk_raw32(&body, (uint32_t)(big_endian ? offset >> 32 : offset));
            pk_raw32(&body, (uint32_t)(big_endian ? offset : offset >> 32));
            pk_ng_block(&c, 1, body.bytes, (uint32_t)body.len);
            pk_capture_free(&body);
            pk_ng_packet(&c, i, 1000000, "x", 1, 0);
        }
        struct mr_source *source = open_capture(&c);
        assert_int_equal(read_burst(source, 256), MR_OK);
        for (uint32_t i = 0; i < 5; i++)
            expect(i, cases[i].ns, 1, 1, 1);
        expect_end(source);
    }
}

static void pcapng_huge_unknown_block(void **state)
{
    (void)state;
    static uint8_t zero[3 << 20];
    struct pk_capture c;
    pk_ng(&c);
    pk_ng_section(&c, false);
    pk_ng_interface(&c, 1, 0, -1);
    pk_ng_block(&c, 10, zero, sizeof zero); /* decryption secrets may be long */
    pk_ng_packet(&c, 0, 1, "behind", 6, 0);
    struct mr_source *source = open_capture(&c);
    assert_int_equal(read_burst(source, 256), MR_OK);
    assert_memory_equal(burst.packets[0].data, "behind", 6);
    expect_end(source);
}

static uint8_t byte_of(uint32_t packet, uint32_t at)
{
    return (uint8_t)(packet * 31 + at * 7 + (at >> 8));
}

static uint32_t len_of(uint32_t packet)
{
    /* mostly small, some that fill half a block */
    return packet % 97 == 0 ? 200000 + packet * 11 % 60000 : packet * 131 % 3000;
}

static struct pk_capture many(uint32_t n, bool pcapng)
{
    static uint8_t bytes[262144];
    struct pk_capture c;
    if (pcapng) {
        pk_ng(&c);
        pk_ng_section(&c, false);
        pk_ng_interface(&c, 1, 0, 9);
    } else {
        pk_pcap(&c, 1, true, false);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t len = len_of(i);
        for (uint32_t at = 0; at < len; at++)
            bytes[at] = byte_of(i, at);
        if (pcapng)
            pk_ng_packet(&c, 0, i, bytes, len, 0);
        else
            pk_pcap_bytes(&c, i, bytes, len, 0);
    }
    return c;
}

static void check_content(const struct mr_packet *packet)
{
    uint32_t i = (uint32_t)packet->number - 1;
    assert_int_equal(packet->time_ns, i);
    assert_int_equal(packet->len, len_of(i));
    for (uint32_t at = 0; at < packet->len; at += at % 64 == 0 ? 1 : 13)
        assert_int_equal(packet->data[at], byte_of(i, at));
}

#define HELD 40

/* Bursts are kept for a while, so that a block reused too early shows. */
static void content_across_blocks(void **state)
{
    (void)state;
    static struct mr_burst held[HELD];
    const uint32_t n = 3000;
    for (int pcapng = 0; pcapng < 2; pcapng++) {
        struct pk_capture c = many(n, pcapng);
        size_t bytes = c.len;
        struct mr_source *source = open_capture(&c);
        uint32_t seen = 0, next = 0, agains = 0;
        enum mr_status status;
        memset(held, 0, sizeof held);
        while ((status = read_burst(source, 1 + seen % 17)) != MR_EOF) {
            struct mr_burst *oldest = &held[next++ % HELD];
            if (status == MR_AGAIN)
                agains++;
            else
                assert_int_equal(status, MR_OK);
            seen += burst.n;
            for (uint32_t i = 0; i < oldest->n; i++)
                check_content(&oldest->packets[i]);
            mr_burst_release(oldest);
            *oldest = burst;
        }
        for (uint32_t i = 0; i < HELD; i++) {
            for (uint32_t k = 0; k < held[i].n; k++)
                check_content(&held[i].packets[k]);
            mr_burst_release(&held[i]);
        }
        assert_int_equal(seen, n);
        struct mr_source_progress progress;
        source->ops->progress(source, &progress);
        assert_int_equal(progress.bytes_done, bytes);
        assert_int_equal(progress.bytes_total, bytes);
        assert_int_equal(progress.packets, n);
        assert_string_equal(progress.name, path);
        expect_end(source);
    }
}

static void held_packets_make_it_wait(void **state)
{
    (void)state;
    static struct mr_burst held[2000];
    static uint8_t bytes[60000];
    struct pk_capture c;
    const uint32_t n = 2000;
    pk_pcap(&c, 1, false, false);
    for (uint32_t i = 0; i < n; i++)
        pk_pcap_bytes(&c, i, bytes, sizeof bytes, 0);
    struct mr_source *source = open_capture(&c);
    uint32_t seen = 0, kept = 0, waits = 0;
    enum mr_status status;
    while ((status = read_burst(source, 1)) != MR_EOF) {
        if (status == MR_AGAIN) {
            waits++;
            assert_true(kept > 100); /* never while nobody holds anything */
            while (kept)
                mr_burst_release(&held[--kept]);
            continue;
        }
        assert_int_equal(status, MR_OK);
        seen++;
        held[kept++] = burst;
    }
    while (kept)
        mr_burst_release(&held[--kept]);
    assert_int_equal(seen, n);
    assert_true(waits > 1);
    expect_end(source);
}

static void no_buffers_make_it_wait(void **state)
{
    (void)state;
    enum { LEFT = 5 };
    static struct mr_burst held[LEFT];
    static struct rte_mbuf *others[POOL - LEFT];
    struct pk_capture c;
    const uint32_t n = 256 * LEFT * 2 + 100;
    pk_pcap(&c, 1, false, false);
    for (uint32_t i = 0; i < n; i++)
        pk_pcap_bytes(&c, i, "x", 1, 0);
    assert_int_equal(rte_mempool_get_bulk(mr_dpdk_pool(), (void **)others, POOL - LEFT), 0);
    struct mr_source *source = open_capture(&c);
    uint32_t seen = 0, kept = 0, waits = 0;
    enum mr_status status;
    while ((status = read_burst(source, 256)) != MR_EOF) {
        if (status == MR_AGAIN) {
            waits++;
            assert_int_equal(mr_dpdk_packets_in_use(), POOL);
            while (kept)
                mr_burst_release(&held[--kept]);
            continue;
        }
        seen += burst.n;
        assert_true(kept < LEFT);
        held[kept++] = burst;
    }
    while (kept)
        mr_burst_release(&held[--kept]);
    rte_mempool_put_bulk(mr_dpdk_pool(), (void **)others, POOL - LEFT);
    assert_int_equal(seen, n);
    assert_int_equal(waits, 2);
    expect_end(source);
}

static void packets_outlive_their_source(void **state)
{
    (void)state;
    struct pk_capture c = many(40, false);
    struct mr_source *source = open_capture(&c);
    assert_int_equal(read_burst(source, 40), MR_OK);
    assert_int_equal(burst.n, 40);
    source->ops->close(source);
    for (uint32_t i = 0; i < burst.n; i++)
        check_content(&burst.packets[i]);
    mr_burst_release(&burst);
    assert_int_equal(burst.n, 0);
    assert_int_equal(burst.n_mbufs, 0);
    assert_int_equal(mr_dpdk_packets_in_use(), 0);
}

static void packets_may_be_shared(void **state)
{
    (void)state;
    struct pk_capture c = many(10, false);
    struct mr_source *source = open_capture(&c);
    assert_int_equal(read_burst(source, 10), MR_OK);
    struct rte_mbuf *shared = burst.mbufs[0];
    const struct mr_packet packet = burst.packets[5];
    rte_mbuf_refcnt_update(shared, 1);
    mr_burst_release(&burst);
    assert_int_equal(mr_dpdk_packets_in_use(), 1);
    check_content(&packet);
    rte_pktmbuf_free(shared);
    expect_end(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pcap_flavours),
        cmocka_unit_test(pcap_absurd_times),
        cmocka_unit_test(pcap_odd_headers),
        cmocka_unit_test(pcapng_packets),
        cmocka_unit_test(pcapng_resolutions),
        cmocka_unit_test(pcapng_time_offset),
        cmocka_unit_test(pcapng_huge_unknown_block),
        cmocka_unit_test(content_across_blocks),
        cmocka_unit_test(held_packets_make_it_wait),
        cmocka_unit_test(no_buffers_make_it_wait),
        cmocka_unit_test(packets_outlive_their_source),
        cmocka_unit_test(packets_may_be_shared),
    };
    int failed = cmocka_run_group_tests_name("source", tests, start, NULL);
    if (mr_ahead_new(&ahead))
        return 1;
    failed += cmocka_run_group_tests_name("source, ahead", tests, NULL, stop);
    mr_ahead_free(ahead);
    return failed;
}
