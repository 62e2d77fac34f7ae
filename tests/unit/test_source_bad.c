// layers: base metrics packet capture
// threads: 1
/* Files that are damaged or no captures: what is read before the damage, and what is said. */
#include "capture/ahead.h"
#include "capture/dpdk.h"
#include "capture/source.h"
#include "packets.h"

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

static char path[64];
static struct mr_ahead *ahead; /* all of it with and without */
static struct mr_error error;

static int start(void **state)
{
    (void)state;
    struct mr_dpdk_config config = {.max_packets = 5000};
    snprintf(path, sizeof path, "/tmp/millrace-test-bad-%d", (int)getpid());
    return mr_dpdk_start(&config, &error) ? -1 : 0;
}

static int stop(void **state)
{
    (void)state;
    mr_dpdk_stop();
    unlink(path);
    return 0;
}

/* The sentence says all of these things. */
static void expect_words(const char *const *words)
{
    for (; *words; words++) {
        if (!strstr(error.text, *words))
            fail_msg("\"%s\" does not say \"%s\"", error.text, *words);
    }
    assert_int_equal(error.status, MR_ERR_INPUT);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The file cannot be opened as a capture. */
static void refused(const char *name, const char *const *words)
{
    struct mr_source *source = NULL;
    memset(&error, 0, sizeof error);
    assert_int_equal(mr_source_open_ahead(&source, name, 0, ahead, &error), MR_ERR_INPUT);
    assert_null(source);
    expect_words(words);
    assert_int_equal(mr_dpdk_packets_in_use(), 0);
}

static void refused_bytes(const void *bytes, size_t len, const char *const *words)
{
    struct pk_capture c = {0};
    pk_raw(&c, bytes, len);
    assert_true(pk_save(&c, path));
    pk_capture_free(&c);
    refused(path, words);
}

/* `packets` can be read, then it is over. */
static void damaged(struct pk_capture *c, uint32_t packets, const char *const *words)
{
    static struct mr_burst burst;
    struct mr_source *source = NULL;
    uint32_t n = 0;
    enum mr_status status;
    assert_true(pk_save(c, path));
    pk_capture_free(c);
    memset(&error, 0, sizeof error);
    if (mr_source_open_ahead(&source, path, 0, ahead, &error))
        fail_msg("%s", error.text);
    while ((status = source->ops->read(source, &burst, 256, &error)) == MR_OK) {
        assert_int_equal(error.status, MR_OK); /* left alone until it fails */
        n += burst.n;
        mr_burst_release(&burst);
    }
    assert_int_equal(status, MR_ERR_INPUT);
    assert_int_equal(burst.n, 0);
    assert_int_equal(n, packets);
    expect_words(words);
    /* and again: nothing changes */
    assert_int_equal(source->ops->read(source, &burst, 256, NULL), MR_ERR_INPUT);
    source->ops->close(source);
    assert_int_equal(mr_dpdk_packets_in_use(), 0);
}

static void no_captures(void **state)
{
    (void)state;
    refused("/nonexistent/file", WORDS("cannot open /nonexistent/file", "No such file"));
    refused("/tmp", WORDS("/tmp is a folder"));
    refused_bytes("", 0, WORDS(path, "is empty"));
    refused_bytes("hello", 5, WORDS("is a text file"));
    refused_bytes("hi", 2, WORDS("is a text file"));
    refused_bytes("\x1f\x8b\x08\0\0\0\0\0", 8,
                  WORDS("compressed with gzip", "gzip -dc FILE | millrace run -p PROGRAM -r -"));
    refused_bytes("\x28\xb5\x2f\xfd....", 8, WORDS("zstd -dc"));
    refused_bytes("\xfd"
                  "7zXZ\0",
                  6, WORDS("xz -dc"));
    refused_bytes("BZh91AY", 7, WORDS("bzip2 -dc"));
    refused_bytes("snoop\0\0\0\0\0\0\2", 12, WORDS("snoop", "editcap"));
    refused_bytes("\x7f"
                  "ELF\2\1\1\0",
                  8, WORDS("no capture that can be read", "7f 45 4c 46"));
    refused_bytes("\0", 1, WORDS("no capture that can be read"));
    refused_bytes("\xd4\xc3\xb2", 3,
                  WORDS("no capture that can be read", "has only the bytes d4 c3 b2"));
}

static void unreadable(void **state)
{
    (void)state;
    struct pk_capture c;
    if (geteuid() == 0) {
        print_message("SKIP: root may read everything\n");
        skip();
    }
    pk_pcap(&c, 1, false, false);
    assert_true(pk_save(&c, path));
    pk_capture_free(&c);
    chmod(path, 0);
    refused(path, WORDS("cannot open", "Permission denied"));
    unlink(path);
}

static void short_headers(void **state)
{
    (void)state;
    refused_bytes("\xd4\xc3\xb2\xa1\2\0\4\0", 8, WORDS("ends in the middle of its file header"));
    refused_bytes("\xd4\xc3\xb2\xa1\3\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0", 24,
                  WORDS("version 3.1"));
}

static struct pk_capture pcap(uint32_t packets)
{
    struct pk_capture c;
    pk_pcap(&c, 1, false, false);
    for (uint32_t i = 0; i < packets; i++)
        pk_pcap_bytes(&c, i, "0123456789", 10, 0);
    return c;
}

static void pcap_cut(void **state)
{
    (void)state;
    for (size_t left = 1; left < 26; left++) {
        struct pk_capture c = pcap(1000);
        c.len -= 26 - left;
        damaged(&c, 999, WORDS(path, "cut short", "packet 1000", "byte 25998", "999 packets"));
    }
}

static void pcap_huge_records(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {262145, 0x7fffffff, 0xffffffff, 0xfffffff0};
    for (size_t i = 0; i < 4; i++) {
        struct pk_capture c = pcap(3);
        pk_raw32(&c, 1);
        pk_raw32(&c, 1);
        pk_raw32(&c, lengths[i]);
        pk_raw32(&c, 64);
        pk_raw(&c, "some bytes, but not that many", 29);
        damaged(&c, 3, WORDS(path, "damaged at packet 4 (byte 102)", "3 packets before"));
    }
}

static struct pk_capture pcapng(uint32_t packets)
{
    struct pk_capture c;
    pk_ng(&c);
    pk_ng_section(&c, false);
    pk_ng_interface(&c, 1, 0, -1);
    for (uint32_t i = 0; i < packets; i++)
        pk_ng_packet(&c, 0, i, "0123456789", 10, 0);
    return c;
}

static void pcapng_cut(void **state)
{
    (void)state;
    for (size_t left = 1; left < 44; left++) {
        struct pk_capture c = pcapng(5);
        c.len -= 44 - left;
        damaged(&c, 4, WORDS(path, "cut short", "packet 5", "4 packets"));
    }
}

static void pcapng_wrong_lengths(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0, 8, 11, 45, 0x40000000, 0xfffffffc};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct pk_capture c = pcapng(3);
        pk_raw32(&c, 6);
        pk_raw32(&c, lengths[i]);
        pk_raw(&c, "................................", 32);
        damaged(&c, 3, WORDS("damaged at packet 4", "a block of type 6 claims"));
    }
    struct pk_capture c = pcapng(3);
    c.bytes[c.len - 4]++; /* the length at the end */
    damaged(&c, 2, WORDS("a block begins with a length of 44 and ends with 45"));
    c = pcapng(0);
    pk_ng_block(&c, 6, "................", 16);
    damaged(&c, 0, WORDS("type 6 has only 16 bytes"));
    c = pcapng(0);
    pk_ng_block(&c, 3, "", 0);
    damaged(&c, 0, WORDS("type 3 has only 0 bytes"));
    c = pcapng(0);
    pk_ng_block(&c, 1, "....", 4);
    damaged(&c, 0, WORDS("interface description of 4 bytes"));
}

static void pcapng_wrong_packets(void **state)
{
    (void)state;
    struct pk_capture c = pcapng(1);
    pk_ng_packet(&c, 1, 0, "x", 1, 0);
    damaged(&c, 1, WORDS("packet 2", "interface 1, which is not described"));
    c = pcapng(1);
    pk_ng_packet(&c, 0, 0, "x", 1, 0);
    c.bytes[c.len - 36 + 20] = 9; /* claims more than its block has */
    damaged(&c, 1, WORDS("claims 9 bytes, and its block has 4"));
    pk_ng(&c);
    pk_ng_section(&c, false);
    pk_ng_simple(&c, "x", 1, 0);
    damaged(&c, 0, WORDS("interface that is not described"));
    c = pcapng(2);
    pk_ng_block(&c, 0x0a0d0d0a, "not a byte-order mark", 21);
    damaged(&c, 2, WORDS("byte-order mark"));
    static uint8_t big[300000];
    c = pcapng(1);
    pk_ng_packet(&c, 0, 0, big, sizeof big, 0);
    damaged(&c, 1, WORDS("claims 300000 bytes"));
}

static void pcapng_cut_in_a_huge_block(void **state)
{
    (void)state;
    static uint8_t zero[2 << 20];
    struct pk_capture c = pcapng(2);
    pk_ng_block(&c, 10, zero, sizeof zero);
    c.len -= 1000;
    damaged(&c, 2, WORDS("cut short"));
}

static void pcapng_too_many_interfaces(void **state)
{
    (void)state;
    struct pk_capture c = pcapng(0);
    for (int i = 0; i < 65536; i++)
        pk_ng_interface(&c, 1, 0, -1);
    damaged(&c, 0, WORDS("more than 65536 interfaces"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_captures),
        cmocka_unit_test(unreadable),
        cmocka_unit_test(short_headers),
        cmocka_unit_test(pcap_cut),
        cmocka_unit_test(pcap_huge_records),
        cmocka_unit_test(pcapng_cut),
        cmocka_unit_test(pcapng_wrong_lengths),
        cmocka_unit_test(pcapng_wrong_packets),
        cmocka_unit_test(pcapng_cut_in_a_huge_block),
        cmocka_unit_test(pcapng_too_many_interfaces),
    };
    int failed = cmocka_run_group_tests_name("source, bad input", tests, start, NULL);
    if (mr_ahead_new(&ahead))
        return 1;
    failed += cmocka_run_group_tests_name("source, bad input, ahead", tests, NULL, stop);
    mr_ahead_free(ahead);
    return failed;
}
