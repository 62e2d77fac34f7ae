/* CPUs that a process may use: quotas of control groups of both versions, as files say them. */
// layers: base
// threads: 1
#include "base/cores.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char root[64];

static void put(const char *path, const char *text)
{
    char command[512];

    snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s%s')\"", root, path);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "%s%s", root, path);
    FILE *file = fopen(command, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make(void **state)
{
    (void)state;
    strcpy(root, "/tmp/mr_cores_XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int clean(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void version_2(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/system.slice/millrace.service\n");
    assert_int_equal(mr_cores_of_quota(root), UINT32_MAX); /* no files */
    put("/sys/fs/cgroup/system.slice/millrace.service/cpu.max", "max 100000\n");
    assert_int_equal(mr_cores_of_quota(root), UINT32_MAX);
    put("/sys/fs/cgroup/system.slice/millrace.service/cpu.max", "250000 100000\n");
    assert_int_equal(mr_cores_of_quota(root), 3);
    put("/sys/fs/cgroup/system.slice/cpu.max", "200000 100000\n"); /* of all in it */
    assert_int_equal(mr_cores_of_quota(root), 2);
    put("/sys/fs/cgroup/cpu.max", "10000 100000\n"); /* of a container, seen from inside */
    assert_int_equal(mr_cores_of_quota(root), 1);
    put("/proc/self/cgroup", "0::/\n");
    assert_int_equal(mr_cores_of_quota(root), 1);
}

static void version_1(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "9:name=systemd:/x\n4:cpuset:/x\n1:cpu,cpuacct:/docker/0123\n0::/\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(mr_cores_of_quota(root), UINT32_MAX);
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000\n");
    assert_int_equal(mr_cores_of_quota(root), 2);
}

static void nonsense(void **state)
{
    (void)state;
    static const char *const limits[] = {"", "x y\n", "5\n", "5 0\n", "-5 100000\n", "0 100000\n"};

    put("/proc/self/cgroup", "\n:\n::\n0::\n");
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        put("/sys/fs/cgroup/cpu.max", limits[i]);
        assert_int_equal(mr_cores_of_quota(root), UINT32_MAX);
    }
    assert_int_equal(mr_cores_of_quota("/nowhere"), UINT32_MAX);
}

static void affinity(void **state)
{
    (void)state;
    cpu_set_t before, one;

    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &before))
            CPU_SET(cpu, &one);
    assert_true(mr_cores() >= 1 && mr_cores() <= (uint32_t)CPU_COUNT(&before));
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(mr_cores(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(version_2, make, clean),
        cmocka_unit_test_setup_teardown(version_1, make, clean),
        cmocka_unit_test_setup_teardown(nonsense, make, clean),
        cmocka_unit_test(affinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
