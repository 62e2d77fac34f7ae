// layers: base metrics packet capture
/* DPDK's environment: starts once, silently, leaves nothing behind, and its pool counts right. */
#include "base/clock.h"
#include "capture/dpdk.h"

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PACKETS 10000u

static int start(void **state)
{
    (void)state;
    struct mr_dpdk_config config = {.max_packets = PACKETS};
    struct mr_error error = {0};
    cpu_set_t before, after;
    sched_getaffinity(0, sizeof before, &before);
    uint64_t begin = mr_clock_ns();
    if (mr_dpdk_start(&config, &error)) {
        print_message("%s\n", error.text);
        return -1;
    }
    print_message("started %s in %.1f ms\n", mr_dpdk_version(),
                  (double)(mr_clock_ns() - begin) / 1e6);
    sched_getaffinity(0, sizeof after, &after);
    return memcmp(&before, &after, sizeof before) ? -1 : 0;
}

static int stop(void **state)
{
    (void)state;
    mr_dpdk_stop();
    return 0;
}

static void starts_once(void **state)
{
    (void)state;
    struct mr_dpdk_config config = {.max_packets = 10};
    struct mr_error error = {0};
    assert_int_equal(mr_dpdk_start(&config, &error), MR_ERR_START);
    assert_non_null(strstr(error.text, "twice"));
}

static void leaves_no_folder(void **state)
{
    (void)state;
    assert_int_equal(access(rte_eal_get_runtime_dir(), F_OK), -1);
}

static void gives_all_packets_and_no_more(void **state)
{
    (void)state;
    static void *packets[PACKETS + 1];
    struct rte_mempool *pool = mr_dpdk_pool();
    assert_int_equal(mr_dpdk_packets_in_use(), 0);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < PACKETS; i++) {
            assert_int_equal(rte_mempool_get(pool, &packets[i]), 0);
            struct rte_mbuf *mbuf = packets[i];
            assert_ptr_equal(mbuf->pool, pool);
            assert_int_equal(rte_mbuf_refcnt_read(mbuf), 1);
        }
        assert_int_not_equal(rte_mempool_get(pool, &packets[PACKETS]), 0);
        assert_int_equal(mr_dpdk_packets_in_use(), PACKETS);
        rte_mempool_put_bulk(pool, packets, PACKETS);
        assert_int_equal(mr_dpdk_packets_in_use(), 0);
    }
    /* all different */
    assert_int_equal(rte_mempool_get_bulk(pool, packets, PACKETS), 0);
    for (uint32_t i = 0; i < PACKETS; i++)
        ((struct rte_mbuf *)packets[i])->data_len = (uint16_t)i;
    for (uint32_t i = 0; i < PACKETS; i++)
        assert_int_equal(((struct rte_mbuf *)packets[i])->data_len, i);
    rte_mempool_put_bulk(pool, packets, PACKETS);
}

static void last_in_first_out(void **state)
{
    (void)state;
    void *packet, *again;
    rte_mempool_get(mr_dpdk_pool(), &packet);
    rte_mempool_put(mr_dpdk_pool(), packet);
    rte_mempool_get(mr_dpdk_pool(), &again);
    assert_ptr_equal(packet, again);
    rte_mempool_put(mr_dpdk_pool(), again);
}

static void threads_register(void **state)
{
    (void)state;
    assert_int_equal(mr_dpdk_thread_register(), MR_OK);
    assert_int_equal(mr_dpdk_thread_register(), MR_OK);
    mr_dpdk_thread_unregister();
}

/* In a child: an unprivileged user without a home, and two environments at the same time. */
static int child_starts(void)
{
    pid_t child = fork();
    if (child == 0) {
        setenv("HOME", "/nonexistent", 1);
        unsetenv("XDG_RUNTIME_DIR");
        if (geteuid() == 0 && (setgid(65534) || setuid(65534)))
            _exit(3);
        struct mr_dpdk_config config = {.max_packets = 1000};
        struct mr_error error = {0};
        int result = mr_dpdk_start(&config, &error) ? 1 : 0;
        if (!result)
            mr_dpdk_stop();
        else
            fprintf(stderr, "%s\n", error.text);
        _exit(result);
    }
    return child;
}

static void unprivileged_and_concurrent(void **state)
{
    (void)state;
    pid_t children[3];
    for (int i = 0; i < 3; i++)
        children[i] = child_starts();
    for (int i = 0; i < 3; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

int main(void)
{
    /* before the environment of this process is there to be inherited */
    const struct CMUnitTest apart[] = {
        cmocka_unit_test(unprivileged_and_concurrent),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_once),
        cmocka_unit_test(leaves_no_folder),
        cmocka_unit_test(gives_all_packets_and_no_more),
        cmocka_unit_test(last_in_first_out),
        cmocka_unit_test(threads_register),
    };
    int failed = cmocka_run_group_tests_name("dpdk apart", apart, NULL, NULL);
    return failed + cmocka_run_group_tests_name("dpdk", tests, start, stop);
}
