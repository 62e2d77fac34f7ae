/* What control groups leave of memory, by files as Linux has them. */
// layers: base
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char root[64];

/* Makes the folders on the way as well. */
static void put(const char *name, const char *text)
{
    char path[512];

    snprintf(path, sizeof path, "%s%s", root, name);
    for (char *at = strchr(path + strlen(root) + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(path, 0700);
        *at = '/';
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/memory.XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

static void no_groups_allow_all(void **state)
{
    (void)state;
    assert_true(mr_memory_allowed(root) == UINT64_MAX);
    put("/proc/self/cgroup", "0::/\n");
    assert_true(mr_memory_allowed(root) == UINT64_MAX);
    put("/proc/self/cgroup", "broken\n\n:\n0::/a\n");
    put("/sys/fs/cgroup/a/memory.max", "max\n");
    put("/sys/fs/cgroup/a/memory.current", "1000\n");
    assert_true(mr_memory_allowed(root) == UINT64_MAX);
}

/* Of the second version: the narrowest group on the way up counts. */
static void the_narrowest_group_counts(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a/b.slice/c\n");
    put("/sys/fs/cgroup/a/b.slice/c/memory.max", "9000\n");
    put("/sys/fs/cgroup/a/b.slice/c/memory.current", "4000\n");
    assert_int_equal(mr_memory_allowed(root), 5000);
    put("/sys/fs/cgroup/a/b.slice/c/memory.stat", "anon 1\ninactive_file 500\nactive_file 9\n");
    assert_int_equal(mr_memory_allowed(root), 5509);
    put("/sys/fs/cgroup/a/memory.max", "6000\n");
    put("/sys/fs/cgroup/a/memory.current", "4500\n");
    assert_int_equal(mr_memory_allowed(root), 1500);
    put("/sys/fs/cgroup/a/memory.current", "7000\n"); /* lowered since */
    assert_int_equal(mr_memory_allowed(root), 0);
}

static void the_first_version_counts_as_well(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "9:name=systemd:/x\n4:memory:/on/the/host\n0::/\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "3000\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1000\n");
    put("/sys/fs/cgroup/memory/memory.stat",
        "inactive_file 7\ntotal_inactive_file 300\ntotal_active_file 4\n");
    assert_int_equal(mr_memory_allowed(root), 2304);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_groups_allow_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_narrowest_group_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_version_counts_as_well, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
