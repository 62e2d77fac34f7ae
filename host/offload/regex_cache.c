/* Sets as files: a header, the places of the patterns, why they are there, and the three tables as
 * devices read them. Written beside and renamed, so that nobody ever sees half of one. */
#include "offload/regex_cache.h"

#include "base/clock.h"
#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC   "MRRX"
#define FORMAT  1u
#define SUFFIX  ".mrx"
#define KEY_HEX 32u

struct header {
    char magic[4];
    uint32_t format;
    uint8_t key[16], checksum[16]; /* of all behind the header */
    uint32_t n, texts_bytes, factors_bytes, factors_3_bytes, table_bytes, reserved;
};

/* As it stands in a file: `why` is an offset into the texts, plus one. */
struct place {
    uint32_t tier, why, n_factors, factor_len_min, n_states, bytes;
};

/* ---- what it was compiled from ---- */

static int find_build(struct dl_phdr_info *info, size_t size, void *build)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        const uint8_t *at = (const uint8_t *)(uintptr_t)(info->dlpi_addr + p->p_vaddr);
        const uint8_t *end = at + p->p_memsz;
        while (p->p_type == PT_NOTE && at + sizeof(ElfW(Nhdr)) <= end) {
            ElfW(Nhdr) note;
            memcpy(&note, at, sizeof note);
            const uint8_t *name = at + sizeof note;
            const uint8_t *text = name + ((note.n_namesz + 3) & ~3u);
            if (note.n_type == NT_GNU_BUILD_ID && note.n_descsz <= 16 + 16 &&
                text + note.n_descsz <= end)
                memcpy(build, text, note.n_descsz);
            at = text + ((note.n_descsz + 3) & ~3u);
        }
    }
    return 1; /* the first is the program */
}

/* Another program may compile otherwise. False: no memory. */
static bool make_key(const struct mr_regex_pattern *patterns, uint32_t n,
                     const struct mr_regex_limits *limits, uint8_t key[16])
{
    struct {
        uint8_t build[32];
        struct mr_regex_limits limits;
        uint32_t format, n;
    } head;
    size_t len = sizeof head, at = sizeof head;

    memset(&head, 0, sizeof head);
    dl_iterate_phdr(find_build, head.build);
    head.limits = *limits;
    head.format = FORMAT;
    head.n = n;
    for (uint32_t i = 0; i < n; i++)
        len += strlen(patterns[i].regex) + 1 + sizeof patterns[i].flags;
    char *all = malloc(len);
    if (!all)
        return false;
    memcpy(all, &head, sizeof head);
    for (uint32_t i = 0; i < n; i++) {
        size_t bytes = strlen(patterns[i].regex) + 1;
        memcpy(all + at, patterns[i].regex, bytes);
        memcpy(all + at + bytes, &patterns[i].flags, sizeof patterns[i].flags);
        at += bytes + sizeof patterns[i].flags;
    }
    mr_hash128_public(all, len, key);
    free(all);
    return true;
}

static void path_of(const char *folder, const uint8_t key[16], char *path, size_t size)
{
    int at = snprintf(path, size, "%s/", folder);

    for (int i = 0; i < 16 && at > 0 && (size_t)at < size; i++)
        at += snprintf(path + at, size - (size_t)at, "%02x", key[i]);
    if (at > 0 && (size_t)at < size)
        snprintf(path + at, size - (size_t)at, "%s", SUFFIX);
}

/* ---- reading ---- */

static void *copy_of(const uint8_t **at, uint32_t bytes)
{
    void *copy = aligned_alloc(16, ((size_t)bytes + 15) / 16 * 16);

    if (copy)
        memcpy(copy, *at, bytes);
    *at += bytes;
    return copy;
}

static uint64_t all_bytes(const struct header *h)
{
    return (uint64_t)h->n * sizeof(struct place) + h->texts_bytes + h->factors_bytes +
           h->factors_3_bytes + h->table_bytes;
}

/* What is wrong with the file's bytes; NULL: nothing. */
static const char *complaint(const uint8_t *file, uint64_t len, const uint8_t key[16])
{
    struct header h;
    uint8_t checksum[16];

    if (len < sizeof h)
        return "it is cut off";
    memcpy(&h, file, sizeof h);
    if (memcmp(h.magic, MAGIC, 4) != 0 || h.format != FORMAT || memcmp(h.key, key, 16) != 0)
        return "it is another one";
    if (h.reserved || sizeof h + all_bytes(&h) != len ||
        h.factors_bytes < sizeof(struct mr_factor_table) ||
        h.factors_3_bytes < sizeof(struct mr_factor_table) ||
        h.table_bytes < sizeof(struct mr_regex_table) ||
        (h.texts_bytes &&
         file[sizeof h + (uint64_t)h.n * sizeof(struct place) + h.texts_bytes - 1]))
        return "its sizes do not fit";
    mr_hash128_public(file + sizeof h, len - sizeof h, checksum);
    return memcmp(h.checksum, checksum, 16) != 0 ? "its checksum is wrong" : NULL;
}

/* False: no memory. */
static bool unpack(struct mr_regex_set *set, const uint8_t *file)
{
    struct header h;

    memcpy(&h, file, sizeof h);
    const uint8_t *places = file + sizeof h, *at = places + (uint64_t)h.n * sizeof(struct place);
    *set = (struct mr_regex_set){.n = h.n};
    set->places = calloc((size_t)h.n + 1, sizeof *set->places);
    set->texts = copy_of(&at, h.texts_bytes);
    set->factors = copy_of(&at, h.factors_bytes);
    set->factors_3 = copy_of(&at, h.factors_3_bytes);
    set->table = copy_of(&at, h.table_bytes);
    if (!set->places || !set->texts || !set->factors || !set->factors_3 || !set->table) {
        mr_regex_set_free(set);
        return false;
    }
    for (uint32_t i = 0; i < h.n; i++) {
        struct place p;
        memcpy(&p, places + (uint64_t)i * sizeof p, sizeof p);
        enum mr_regex_tier tier = p.tier < MR_TIERS ? (enum mr_regex_tier)p.tier : MR_TIER_CPU;
        set->places[i] = (struct mr_regex_place){
            .tier = tier,
            .why = p.why && p.why <= h.texts_bytes ? set->texts + p.why - 1 : NULL,
            .n_factors = p.n_factors,
            .factor_len_min = p.factor_len_min,
            .n_states = p.n_states,
            .bytes = p.bytes,
        };
        set->tiers[tier]++;
    }
    return true;
}

/* The whole file, free() it; NULL: there is none, or the reason is in the note. */
static uint8_t *read_file(const char *path, uint64_t *len, struct mr_regex_cached *cached)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat is;
    uint8_t *file = NULL;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &is) || !S_ISREG(is.st_mode) || is.st_uid != geteuid() || is.st_mode & 022 ||
        is.st_size < 0 || (uint64_t)is.st_size > MR_CACHE_BYTES_MAX) {
        snprintf(cached->note, sizeof cached->note,
                 "%.300s is not used: others could have written it", path);
        close(fd);
        return NULL;
    }
    *len = (uint64_t)is.st_size;
    file = malloc(*len + 1);
    for (uint64_t at = 0; file && at < *len;) {
        ssize_t n = read(fd, file + at, *len - at);
        if (n <= 0) {
            *len = at; /* told as cut off */
            break;
        }
        at += (uint64_t)n;
    }
    if (file)
        (void)futimens(fd, NULL); /* used now */
    close(fd);
    return file;
}

static bool load(struct mr_regex_set *set, const char *path, const uint8_t key[16], uint32_t n,
                 struct mr_regex_cached *cached)
{
    uint64_t len = 0;
    uint8_t *file = read_file(path, &len, cached);
    const char *wrong = file ? complaint(file, len, key) : NULL;
    bool good = file && !wrong && unpack(set, file) && set->n == n;

    if (wrong)
        snprintf(cached->note, sizeof cached->note, "%.300s is damaged (%s): compiled anew", path,
                 wrong);
    free(file);
    return good;
}

/* ---- writing ---- */

static bool add_text(char *texts, uint32_t *bytes, const char *why, uint32_t *at)
{
    uint32_t len = (uint32_t)strlen(why) + 1;

    for (uint32_t i = 0; i < *bytes; i += (uint32_t)strlen(texts + i) + 1)
        if (!strcmp(texts + i, why)) {
            *at = i + 1;
            return true;
        }
    if (len > 65536 - *bytes)
        return false;
    memcpy(texts + *bytes, why, len);
    *at = *bytes + 1;
    *bytes += len;
    return true;
}

static void put(uint8_t **at, const void *bytes, size_t len)
{
    memcpy(*at, bytes, len);
    *at += len;
}

/* The set as a file, free() it; NULL: no memory, or it does not fit. */
static uint8_t *pack(const struct mr_regex_set *set, const uint8_t key[16], uint64_t *len)
{
    struct header h = {.magic = MAGIC,
                       .format = FORMAT,
                       .n = set->n,
                       .factors_bytes = set->factors->bytes,
                       .factors_3_bytes = set->factors_3->bytes,
                       .table_bytes = set->table->bytes};
    struct place *places = calloc((size_t)set->n + 1, sizeof *places);
    char *texts = malloc(65536);
    uint8_t *file = NULL;
    bool good = places && texts;

    for (uint32_t i = 0; good && i < set->n; i++) {
        const struct mr_regex_place *p = &set->places[i];
        places[i] =
            (struct place){p->tier, 0, p->n_factors, p->factor_len_min, p->n_states, p->bytes};
        good = !p->why || add_text(texts, &h.texts_bytes, p->why, &places[i].why);
    }
    memcpy(h.key, key, 16);
    *len = sizeof h + all_bytes(&h);
    if (good && *len <= MR_CACHE_BYTES_MAX / 4 && (file = malloc(*len))) {
        uint8_t *at = file + sizeof h;
        put(&at, places, (size_t)set->n * sizeof *places);
        put(&at, texts, h.texts_bytes);
        put(&at, set->factors, h.factors_bytes);
        put(&at, set->factors_3, h.factors_3_bytes);
        put(&at, set->table, h.table_bytes);
        mr_hash128_public(file + sizeof h, *len - sizeof h, h.checksum);
        memcpy(file, &h, sizeof h);
    }
    free(places);
    free(texts);
    return file;
}

static bool write_all(int fd, const uint8_t *bytes, uint64_t len)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (uint64_t)n;
    }
    return true;
}

static void store(const struct mr_regex_set *set, const char *path, const uint8_t key[16],
                  struct mr_regex_cached *cached)
{
    uint64_t len = 0;
    uint8_t *file = pack(set, key, &len);
    char beside[4096 + 8];

    if (!file)
        return;
    snprintf(beside, sizeof beside, "%s.XXXXXX", path);
    int fd = mkostemp(beside, O_CLOEXEC);
    bool good = fd >= 0 && write_all(fd, file, len);
    int code = errno;
    if (fd >= 0 && close(fd) && good) {
        code = errno;
        good = false;
    }
    if (good && rename(beside, path)) {
        code = errno;
        good = false;
    }
    if (fd >= 0 && !good)
        unlink(beside);
    if (!good)
        snprintf(cached->note, sizeof cached->note, "%.300s cannot be written: %s", path,
                 strerror(code));
    free(file);
}

/* ---- the folder ---- */

static bool is_ours(const char *name)
{
    size_t hex = strspn(name, "0123456789abcdef");
    return hex == KEY_HEX && !strncmp(name + hex, SUFFIX, strlen(SUFFIX));
}

/* Removes the file used longest ago, as long as there are too many or too large ones. */
static void bound(const char *folder)
{
    for (uint32_t round = 0; round < MR_CACHE_FILES_MAX; round++) {
        DIR *dir = opendir(folder);
        struct dirent *entry;
        uint64_t bytes = 0, files = 0;
        char oldest[256] = "";
        struct timespec time = {0};
        if (!dir)
            return;
        while ((entry = readdir(dir))) {
            struct stat is;
            if (!is_ours(entry->d_name) ||
                fstatat(dirfd(dir), entry->d_name, &is, AT_SYMLINK_NOFOLLOW))
                continue;
            bytes += (uint64_t)is.st_size;
            files++;
            if (!oldest[0] || is.st_mtim.tv_sec < time.tv_sec ||
                (is.st_mtim.tv_sec == time.tv_sec && is.st_mtim.tv_nsec < time.tv_nsec)) {
                snprintf(oldest, sizeof oldest, "%s", entry->d_name);
                time = is.st_mtim;
            }
        }
        bool many = files > MR_CACHE_FILES_MAX || bytes > MR_CACHE_BYTES_MAX;
        if (many)
            (void)unlinkat(dirfd(dir), oldest, 0);
        closedir(dir);
        if (!many)
            return;
    }
}

/* Makes it, and the one above it if need be. */
static bool make_folder(const char *folder)
{
    char above[4096];
    const char *slash = strrchr(folder, '/');

    if (!mkdir(folder, 0700) || errno == EEXIST)
        return true;
    if (errno != ENOENT || !slash || slash == folder)
        return false;
    snprintf(above, sizeof above, "%.*s", (int)(slash - folder), folder);
    return (!mkdir(above, 0700) || errno == EEXIST) && (!mkdir(folder, 0700) || errno == EEXIST);
}

enum mr_status mr_regex_compile_cached(struct mr_regex_set *set,
                                       const struct mr_regex_pattern *patterns, uint32_t n,
                                       const struct mr_regex_limits *limits, uint32_t n_threads,
                                       const char *folder, struct mr_regex_cached *cached,
                                       struct mr_error *error)
{
    uint64_t began = mr_clock_ns();
    uint8_t key[16];
    char path[4096];

    *cached = (struct mr_regex_cached){0};
    if (folder && !make_folder(folder)) {
        snprintf(cached->note, sizeof cached->note, "the cache folder %.300s cannot be made: %s",
                 folder, strerror(errno));
        folder = NULL;
    }
    if (folder && strlen(folder) + KEY_HEX + sizeof SUFFIX + 8 > sizeof path)
        folder = NULL;
    if (!folder || !make_key(patterns, n, limits, key))
        return mr_regex_compile(set, patterns, n, limits, n_threads, error);
    path_of(folder, key, path, sizeof path);
    if (load(set, path, key, n, cached)) {
        cached->loaded = true;
        set->compile_ns = mr_clock_ns() - began;
        return MR_OK;
    }
    enum mr_status status = mr_regex_compile(set, patterns, n, limits, n_threads, error);
    if (!status) {
        store(set, path, key, cached);
        bound(folder);
    }
    return status;
}
