// layers: base metrics packet capture
// threads: 1
/* Real captures, where they are at hand (MR_SHARED_DATA): as many packets as capinfos counts, and
 * no reader goes outside a packet (under a sanitizer). */
#include "capture/dpdk.h"
#include "capture/source.h"
#include "packet/decode.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct mr_burst burst;
static uint32_t files, damaged;

static int start(void **state)
{
    (void)state;
    struct mr_dpdk_config config = {.max_packets = 5000};
    struct mr_error error;
    return mr_dpdk_start(&config, &error) ? -1 : 0;
}

static int stop(void **state)
{
    (void)state;
    mr_dpdk_stop();
    return 0;
}

/* Decodes every packet from a copy that ends where it ends. */
static void decode_all(struct mr_decoder *decoder)
{
    for (uint32_t i = 0; i < burst.n; i++) {
        struct mr_packet packet = burst.packets[i];
        struct mr_fragment_view view;
        uint8_t *copy = malloc(packet.len ? packet.len : 1);
        assert_non_null(copy);
        memcpy(copy, packet.data, packet.len);
        packet.data = copy;
        if (mr_decode(decoder, &packet, &view) == MR_DROP_NONE) {
            assert_true(packet.l3_offset < packet.l4_offset);
            assert_true(packet.l4_offset <= packet.payload_offset);
            assert_true(packet.payload_offset + packet.payload_len <= packet.len);
            assert_true(packet.src.family == 4 || packet.src.family == 6);
            assert_int_equal(packet.src.family, packet.dst.family);
        }
        free(copy);
    }
}

static int64_t count(const char *path)
{
    struct mr_source *source;
    struct mr_error error = {0};
    struct mr_decoder decoder = {.checksum = MR_CHECKSUM_AUTO};
    enum mr_status status;
    int64_t n = 0;
    if (mr_source_open_file(&source, path, 0, &error))
        fail_msg("%s", error.text);
    while ((status = source->ops->read(source, &burst, 256, &error)) == MR_OK) {
        n += burst.n;
        decode_all(&decoder);
        mr_burst_release(&burst);
    }
    source->ops->close(source);
    if (status == MR_ERR_INPUT) {
        damaged++;
        print_message("%s\n", error.text);
    } else {
        assert_int_equal(status, MR_EOF);
    }
    return n;
}

/* Compares with what capinfos says of all captures of a folder: lines of "path<TAB>packets". */
static void compare(const char *folder)
{
    char command[4096], line[4096];
    snprintf(command, sizeof command, "capinfos -T -M -r -c '%s'/*.pcap* 2>/dev/null", folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    while (fgets(line, sizeof line, pipe)) {
        char *tab = strchr(line, '\t');
        if (!tab)
            continue;
        *tab = 0;
        int64_t expected = strtoll(tab + 1, NULL, 10), found = count(line);
        if (found != expected)
            fail_msg("%s: %lld packets, capinfos counts %lld", line, (long long)found,
                     (long long)expected);
        files++;
    }
    pclose(pipe);
}

static void counts_are_those_of_capinfos(void **state)
{
    (void)state;
    const char *data = getenv("MR_SHARED_DATA");
    char path[3000];
    struct dirent *entry;
    if (!data || system("command -v capinfos >/dev/null 2>&1")) {
        print_message("SKIP: real captures are not compared: %s\n",
                      data ? "capinfos is missing (wireshark-common)" : "MR_SHARED_DATA is unset");
        skip();
    }
    snprintf(path, sizeof path, "%s/captures", data);
    DIR *folder = opendir(path);
    if (!folder) {
        print_message("SKIP: %s has no captures\n", data);
        skip();
    }
    while ((entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/captures/%s", data, entry->d_name);
        struct stat about;
        if (stat(path, &about) == 0 && S_ISDIR(about.st_mode))
            compare(path);
    }
    closedir(folder);
    print_message("%u captures, %u of them damaged\n", files, damaged);
    assert_true(files > 0);
    assert_int_equal(mr_dpdk_packets_in_use(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_capinfos),
    };
    return cmocka_run_group_tests_name("source, real captures", tests, start, stop);
}
