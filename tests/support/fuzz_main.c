/* A driver for fuzz targets where libFuzzer is not at hand (gcc): runs every file of a corpus
 * folder, then seeded random mutations of them for some seconds. The first failing input is written
 * to crash-input in the current folder before it is run, so that it survives the crash.
 *
 * usage: fuzz_x [-seconds N] [-seed N] FILE|FOLDER... */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX_BYTES (1u << 16)
#define MAX_SEEDS       4096

struct seed {
    uint8_t *bytes;
    size_t len;
};

static struct seed seeds[MAX_SEEDS];
static size_t n_seeds;
static uint64_t random_state = 1;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void add_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || n_seeds == MAX_SEEDS) {
        if (file)
            fclose(file);
        return;
    }
    uint8_t *bytes = malloc(INPUT_MAX_BYTES);
    if (bytes) {
        size_t len = fread(bytes, 1, INPUT_MAX_BYTES, file);
        seeds[n_seeds++] = (struct seed){bytes, len};
    }
    fclose(file);
}

static void add_path(const char *path)
{
    struct stat status;
    if (stat(path, &status))
        return;
    if (!S_ISDIR(status.st_mode)) {
        add_file(path);
        return;
    }
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        add_file(name);
    }
    if (folder)
        closedir(folder);
}

/* Copies a random seed into `to` and changes it: bytes flipped, ranges cut, doubled or taken from
 * another seed. */
static size_t mutate(uint8_t *to)
{
    const struct seed *from = &seeds[next_random() % n_seeds];
    size_t len = from->len;
    memcpy(to, from->bytes, len);
    for (uint64_t round = 1 + next_random() % 6; round; round--) {
        size_t at = len ? next_random() % len : 0;
        size_t count = 1 + next_random() % 16;
        switch (next_random() % 6) {
        case 0:
            if (len)
                to[at] = (uint8_t)next_random();
            break;
        case 1:
            if (len)
                to[at] ^= (uint8_t)(1u << next_random() % 8);
            break;
        case 2:
            if (count > len - at)
                count = len - at;
            memmove(to + at, to + at + count, len - at - count);
            len -= count;
            break;
        case 3:
            if (count > len - at)
                count = len - at;
            if (len + count <= INPUT_MAX_BYTES) {
                memmove(to + at + count, to + at, len - at);
                len += count;
            }
            break;
        case 4: {
            const struct seed *other = &seeds[next_random() % n_seeds];
            size_t start = other->len ? next_random() % other->len : 0;
            if (count * 8 <= other->len - start)
                count *= 8;
            if (count > other->len - start)
                count = other->len - start;
            if (at + count <= INPUT_MAX_BYTES && at + count <= len)
                memcpy(to + at, other->bytes + start, count);
            break;
        }
        default:
            if (len)
                to[at] = (uint8_t)("\0\xff\r\n.:=\x7f"[next_random() % 8]);
            break;
        }
    }
    return len;
}

static void run(const uint8_t *bytes, size_t len)
{
    uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees the first byte too many */
    if (!exact)
        return;
    memcpy(exact, bytes, len);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

int main(int argc, char **argv)
{
    long seconds = 0;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-seconds") && i + 1 < argc)
            seconds = strtol(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "-seed") && i + 1 < argc)
            random_state = strtoull(argv[++i], NULL, 10) | 1;
        else
            add_path(argv[i]);
    }
    if (!n_seeds) {
        fprintf(stderr, "no seed input found\n");
        return 1;
    }
    for (size_t i = 0; i < n_seeds; i++)
        run(seeds[i].bytes, seeds[i].len);
    static uint8_t input[INPUT_MAX_BYTES];
    time_t end = time(NULL) + seconds;
    unsigned long runs = 0;
    while (seconds && time(NULL) < end) {
        for (int i = 0; i < 64; i++, runs++) {
            size_t len = mutate(input);
            run(input, len);
        }
    }
    printf("%zu seeds, %lu mutations\n", n_seeds, runs);
    for (size_t i = 0; i < n_seeds; i++)
        free(seeds[i].bytes);
    return 0;
}
