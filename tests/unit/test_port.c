// layers: base metrics packet capture ports
/* Ports: how they are named, which thread a frame goes to, the ring between two threads, and a
 * virtual device from its opening to its account. */
#include "base/spsc.h"
#include "capture/dpdk.h"
#include "capture/port.h"
#include "capture/source.h"
#include "capture/spread.h"
#include "packets.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_mbuf.h>

static void names(void **state)
{
    (void)state;
    assert_int_equal(mr_port_kind_of("eth0"), MR_PORT_KERNEL);
    assert_int_equal(mr_port_kind_of("eth0.5"), MR_PORT_KERNEL);
    assert_int_equal(mr_port_kind_of("eth0,framesz=2048"), MR_PORT_KERNEL);
    assert_int_equal(mr_port_kind_of("xdp:eth0"), MR_PORT_XDP);
    assert_int_equal(mr_port_kind_of("0000:3b:00.0"), MR_PORT_CARD);
    assert_int_equal(mr_port_kind_of("3b:00.1"), MR_PORT_CARD);
    assert_int_equal(mr_port_kind_of("3b:00.1x"), MR_PORT_KERNEL);
    assert_int_equal(mr_port_kind_of("net_null0,size=64"), MR_PORT_VIRTUAL);
}

/* An IPv4 or IPv6 frame with `tags` VLAN tags from host x to host y; ports do not matter. */
static uint32_t frame(uint8_t *to, int family, int tags, uint8_t x, uint8_t y, uint8_t port)
{
    uint32_t at = 12;
    memset(to, 0, 128);
    for (int i = 0; i < tags; i++, at += 4) {
        to[at] = i + 1 < tags ? 0x88 : 0x81;
        to[at + 1] = i + 1 < tags ? 0xa8 : 0x00;
    }
    to[at] = family == 4 ? 0x08 : 0x86;
    to[at + 1] = family == 4 ? 0x00 : 0xdd;
    at += 2;
    uint32_t address = at + (family == 4 ? 12 : 8), len = family == 4 ? 4 : 16;
    memset(to + address, 7, 2 * (size_t)len);
    to[address + len - 1] = x;
    to[address + 2 * len - 1] = y;
    to[at + (family == 4 ? 20 : 40)] = port;
    return at + 60;
}

static void both_directions_to_one_thread(void **state)
{
    (void)state;
    uint8_t bytes[128];
    for (int family = 4; family <= 6; family += 2) {
        uint32_t threads[4] = {0};
        for (int host = 1; host <= 200; host++) {
            uint32_t first = mr_spread(bytes, frame(bytes, family, 0, (uint8_t)host, 1, 9));
            threads[first % 4]++;
            for (int tags = 0; tags <= 3; tags++) {
                assert_int_equal(mr_spread(bytes, frame(bytes, family, tags, 1, (uint8_t)host, 3)),
                                 first);
                assert_int_equal(mr_spread(bytes, frame(bytes, family, tags, (uint8_t)host, 1, 4)),
                                 first);
            }
        }
        for (int i = 0; i < 4; i++) /* 50 each, were they spread evenly */
            assert_in_range(threads[i], 25, 75);
    }
}

static void no_byte_behind_the_end(void **state)
{
    (void)state;
    uint8_t whole[128];
    for (int family = 4; family <= 6; family += 2)
        for (uint32_t tags = 0; tags <= 4; tags++)
            for (uint32_t len = 0; len < frame(whole, family, (int)tags, 1, 2, 3); len++) {
                uint8_t *part = malloc(len ? len : 1); /* for the address sanitizer */
                assert_non_null(part);
                memcpy(part, whole, len);
                mr_spread(part, len);
                free(part);
            }
}

#define ITEMS 200000u

static void *produce(void *ring)
{
    for (uintptr_t i = 1; i <= ITEMS;)
        if (mr_spsc_put_producer(ring, (void *)i))
            i++;
        else
            sched_yield(); /* to who takes, where both share a core */
    return NULL;
}

static void a_ring_between_two_threads(void **state)
{
    (void)state;
    struct mr_spsc ring;
    pthread_t thread;
    uintptr_t expected = 1;
    assert_int_equal(mr_spsc_init(&ring, 5), MR_OK);
    for (uintptr_t i = 1; i <= 8; i++) /* rounded up */
        assert_true(mr_spsc_put_producer(&ring, (void *)i));
    assert_false(mr_spsc_put_producer(&ring, &ring));
    assert_int_equal(mr_spsc_size_any(&ring), 8);
    for (uintptr_t i = 1; i <= 8; i++)
        assert_ptr_equal(mr_spsc_take_consumer(&ring), (void *)i);
    assert_null(mr_spsc_take_consumer(&ring));
    assert_int_equal(pthread_create(&thread, NULL, produce, &ring), 0);
    while (expected <= ITEMS) {
        void *item = mr_spsc_take_consumer(&ring);
        if (item)
            assert_ptr_equal(item, (void *)expected++);
        else
            sched_yield();
    }
    pthread_join(thread, NULL);
    assert_int_equal(mr_spsc_size_any(&ring), 0);
    mr_spsc_free(&ring);
}

/* More than the pool holds at a time, freed by bursts and one by one. */
static void a_virtual_device(void **state)
{
    (void)state;
    struct mr_dpdk_config dpdk = {.max_packets = 16};
    struct mr_port_config config = {.name = "net_null0,size=100", .queues = 2, .packets = 100};
    struct mr_error error = {0};
    struct mr_port *port;
    struct mr_port_counts counts;
    static struct mr_burst burst;
    uint64_t read = 0;

    if (mr_dpdk_start(&dpdk, &error))
        fail_msg("%s", error.text);
    assert_int_equal(mr_dpdk_thread_register(), MR_OK);
    if (mr_port_open(&port, &config, &error) || mr_port_start(port, &error))
        fail_msg("%s", error.text);
    const struct mr_port_facts *facts = mr_port_facts(port);
    assert_int_equal(facts->kind, MR_PORT_VIRTUAL);
    assert_false(facts->symmetric); /* it hashes nothing */
    assert_false(facts->tells_missed);
    for (int round = 0; round < 500; round++) {
        burst.n = burst.n_mbufs = mr_port_receive(port, 0, burst.mbufs, 32);
        assert_int_equal(burst.n, 32);
        read += burst.n;
        assert_int_equal(burst.mbufs[0]->pkt_len, 100);
        if (round % 3 == 0)
            for (; burst.n_mbufs; burst.n_mbufs--)
                rte_pktmbuf_free(burst.mbufs[burst.n_mbufs - 1]);
        mr_burst_release(&burst);
    }
    struct rte_mbuf *held[100];
    uint32_t n = 0;
    while (!mr_port_starved(port)) {
        uint32_t more = mr_port_receive(port, 0, held + n, 100 - n < 7 ? 100 - n : 7);
        n += more;
        read += more;
    }
    assert_int_equal(n, 100);
    assert_int_equal(mr_port_receive(port, 0, burst.mbufs, 1), 0);
    rte_pktmbuf_free_bulk(held, n);
    assert_false(mr_port_starved(port));
    mr_port_counts(port, 0, &counts);
    assert_int_equal(counts.received, read);
    assert_int_equal(counts.missed, 0);
    mr_port_close(port);

    config.name = "net_nosuch0";
    assert_int_equal(mr_port_open(&port, &config, &error), MR_ERR_START);
    assert_non_null(strstr(
        error.text, "-i net_nosuch0: this program has no driver of DPDK for net_nosuch0; it has "));
    config.name = "nosuch0";
    assert_int_equal(mr_port_open(&port, &config, &error), MR_ERR_INPUT);
    assert_non_null(strstr(error.text, "there is no such interface; there are: "));
    mr_dpdk_thread_unregister();
    mr_dpdk_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(both_directions_to_one_thread),
        cmocka_unit_test(no_byte_behind_the_end),
        cmocka_unit_test(a_ring_between_two_threads),
        cmocka_unit_test(a_virtual_device),
    };
    return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
