/* Compiled sets in a folder: what comes out of it is what was compiled, and whatever is wrong with
 * a file or the folder costs a line and another compilation. */
// layers: base offload
// threads: 1
#include "offload/regex_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct mr_regex_pattern patterns[] = {{"needle", 0},
                                                   {"password: \\w+", MR_REGEX_CASELESS},
                                                   {"^GET /", 0},
                                                   {"x\\d+y", 0},
                                                   {"abc[^\\n]{5}d", 0},
                                                   {"[a-c]{4}\\b", 0},
                                                   {".", 0},
                                                   {"(a)\\1", 0}};
#define N (uint32_t)(sizeof patterns / sizeof *patterns)

struct folder {
    char path[64], file[256];
};

static uint32_t files(struct folder *f)
{
    DIR *dir = opendir(f->path);
    struct dirent *entry;
    uint32_t n = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.') {
            snprintf(f->file, sizeof f->file, "%.50s/%.200s", f->path, entry->d_name);
            n++;
        }
    closedir(dir);
    return n;
}

static int setup(void **state)
{
    struct folder *f = calloc(1, sizeof *f);

    snprintf(f->path, sizeof f->path, "/tmp/test_regex_cacheXXXXXX");
    *state = f;
    return mkdtemp(f->path) ? 0 : -1;
}

static int teardown(void **state)
{
    struct folder *f = *state;

    chmod(f->path, 0700);
    while (files(f))
        unlink(f->file);
    rmdir(f->path);
    free(f);
    return 0;
}

static void same_tables(const struct mr_regex_set *a, const struct mr_regex_set *b)
{
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->tiers, b->tiers, sizeof a->tiers);
    assert_int_equal(a->table->bytes, b->table->bytes);
    assert_memory_equal(a->table, b->table, a->table->bytes);
    assert_int_equal(a->factors->bytes, b->factors->bytes);
    assert_memory_equal(a->factors, b->factors, a->factors->bytes);
    assert_int_equal(a->factors_3->bytes, b->factors_3->bytes);
    assert_memory_equal(a->factors_3, b->factors_3, a->factors_3->bytes);
    for (uint32_t i = 0; i < a->n; i++) {
        const struct mr_regex_place *p = &a->places[i], *q = &b->places[i];
        assert_true(p->tier == q->tier && p->n_factors == q->n_factors &&
                    p->factor_len_min == q->factor_len_min && p->n_states == q->n_states &&
                    p->bytes == q->bytes);
        assert_true(!p->why == !q->why);
        if (p->why)
            assert_string_equal(p->why, q->why);
    }
}

/* Compiles by way of the folder; the set must be what it is without one. */
static struct mr_regex_cached take(const char *folder, uint32_t n)
{
    struct mr_regex_set set, right;
    struct mr_regex_cached cached;
    struct mr_error error = {0};

    assert_int_equal(mr_regex_compile_cached(&set, patterns, n, &mr_regex_limits_default, 1, folder,
                                             &cached, &error),
                     MR_OK);
    assert_int_equal(mr_regex_compile(&right, patterns, n, &mr_regex_limits_default, 1, &error),
                     MR_OK);
    same_tables(&right, &set);
    mr_regex_set_free(&set);
    mr_regex_set_free(&right);
    return cached;
}

static void comes_back(void **state)
{
    struct folder *f = *state;

    for (uint32_t n = 0; n <= N; n++) {
        struct mr_regex_cached cached = take(f->path, n);
        assert_false(cached.loaded);
        assert_string_equal(cached.note, "");
        cached = take(f->path, n);
        assert_true(cached.loaded);
        assert_string_equal(cached.note, "");
        assert_int_equal(files(f), n + 1);
    }
}

/* Every single byte of a file may be wrong. */
static void damage_is_noticed(void **state)
{
    struct folder *f = *state;
    struct stat is;
    long step = 1;

    take(f->path, N);
    assert_int_equal(files(f), 1);
    for (long at = 0; !stat(f->file, &is) && at < is.st_size; at += step) {
        int fd = open(f->file, O_RDWR);
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= (uint8_t)(1 + at % 255);
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        struct mr_regex_cached cached = take(f->path, N);
        assert_false(cached.loaded);
        assert_non_null(strstr(cached.note, f->file));
        assert_null(strchr(cached.note, '\n'));
        assert_true(take(f->path, N).loaded); /* mended */
        step = at < 120 ? 1 : is.st_size / 60 + 1;
    }
}

static void cut_files_are_noticed(void **state)
{
    struct folder *f = *state;
    static const long lengths[] = {0, 1, 50, 100, 1000};

    take(f->path, N);
    assert_int_equal(files(f), 1);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(truncate(f->file, lengths[i]), 0);
        struct mr_regex_cached cached = take(f->path, N);
        assert_false(cached.loaded);
        assert_non_null(strstr(cached.note, "damaged"));
    }
}

static void files_of_others_are_not_used(void **state)
{
    struct folder *f = *state;

    take(f->path, N);
    assert_int_equal(files(f), 1);
    assert_int_equal(chmod(f->file, 0666), 0);
    struct mr_regex_cached cached = take(f->path, N);
    assert_false(cached.loaded);
    assert_non_null(strstr(cached.note, "others"));
    assert_true(take(f->path, N).loaded); /* written anew */
    assert_int_equal(unlink(f->file), 0);
    assert_int_equal(symlink("/etc/passwd", f->file), 0);
    assert_false(take(f->path, N).loaded);
    assert_true(take(f->path, N).loaded);
}

static void folders_that_do_not_work(void **state)
{
    struct folder *f = *state;
    char path[256];

    assert_false(take(NULL, N).loaded);
    struct mr_regex_cached cached = take("/proc/nowhere/at/all", N);
    assert_true(cached.note[0] && !cached.loaded);
    snprintf(path, sizeof path, "%s/a", f->path);
    assert_string_equal(take(path, 1).note, "");
    snprintf(path, sizeof path, "rm -r %s/a", f->path);
    assert_int_equal(system(path), 0);
    cached = take("/dev/null", N);
    assert_true(cached.note[0] && !cached.loaded);
}

/* Beyond its bound the oldest files go; what is not of the cache stays. */
static void folder_is_bounded(void **state)
{
    struct folder *f = *state;
    char path[256], other[256];

    take(f->path, N);
    assert_int_equal(files(f), 1);
    snprintf(other, sizeof other, "%s/other", f->path);
    close(open(other, O_CREAT | O_WRONLY, 0600));
    for (uint32_t i = 0; i < MR_CACHE_FILES_MAX + 20; i++) {
        const struct timespec old[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
        snprintf(path, sizeof path, "%s/%032x.mrx", f->path, i + 1);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        assert_true(fd >= 0 && !futimens(fd, old));
        close(fd);
    }
    take(f->path, 1);
    assert_int_equal(files(f), MR_CACHE_FILES_MAX + 1);
    assert_true(take(f->path, N).loaded); /* it is young */
    snprintf(path, sizeof path, "%s/%032x.mrx", f->path, 22);
    assert_int_not_equal(access(path, F_OK), 0);
    snprintf(path, sizeof path, "%s/%032x.mrx", f->path, 23);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(cut_files_are_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(files_of_others_are_not_used, setup, teardown),
        cmocka_unit_test_setup_teardown(folders_that_do_not_work, setup, teardown),
        cmocka_unit_test_setup_teardown(folder_is_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
