/* What a file is that is no capture, as far as its first bytes tell, and what to do about it. */
#include "capture/file.h"

#include <stdio.h>
#include <string.h>

/* Formats that are known by their first bytes, and the program that unpacks or converts them. */
static const struct {
    const char *magic;
    uint32_t len;
    const char *name, *unpack; /* unpack NULL: a capture of another kind */
} known[] = {
    {"\x1f\x8b", 2, "gzip", "gzip -dc"},
    {"\x28\xb5\x2f\xfd", 4, "zstd", "zstd -dc"},
    {"\xfd"
     "7zXZ",
     5, "xz", "xz -dc"},
    {"BZh", 3, "bzip2", "bzip2 -dc"},
    {"\x04\x22\x4d\x18", 4, "lz4", "lz4 -dc"},
    {"PK\x03\x04", 4, "zip", "unzip -p"},
    {"snoop\0\0\0", 8, "snoop", NULL},
    {"XCP\0", 4, "NetXRay", NULL},
    {"GMBU", 4, "Microsoft Network Monitor", NULL},
    {"RTSS", 4, "Microsoft Network Monitor", NULL},
    {"TRSNIFF data", 12, "Sniffer", NULL},
};

/* No control characters, and for the most part ASCII. */
static bool is_text(const uint8_t *bytes, uint32_t len)
{
    uint32_t ascii = 0;
    for (uint32_t i = 0; i < len; i++) {
        bool blank = bytes[i] == '\t' || bytes[i] == '\n' || bytes[i] == '\r';
        if ((bytes[i] < ' ' && !blank) || bytes[i] == 0x7f)
            return false;
        ascii += bytes[i] < 0x80;
    }
    return ascii >= len / 2 + 1;
}

enum mr_status mr_file_refuse(const struct mr_file *file, const uint8_t *bytes, uint32_t len,
                              struct mr_error *error)
{
    if (len == 0)
        return mr_fail(error, MR_ERR_INPUT, "%s is empty: no capture was written to it",
                       file->name);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (len < known[i].len || memcmp(bytes, known[i].magic, known[i].len) != 0)
            continue;
        if (known[i].unpack)
            return mr_fail(error, MR_ERR_INPUT,
                           "%s is compressed with %s; unpack it on the way in: "
                           "%s FILE | millrace run -p PROGRAM -r -",
                           file->name, known[i].name, known[i].unpack);
        return mr_fail(error, MR_ERR_INPUT,
                       "%s is a capture in %s's format; convert it with Wireshark's: "
                       "editcap -F pcapng FILE NEW",
                       file->name, known[i].name);
    }
    if (is_text(bytes, len))
        return mr_fail(error, MR_ERR_INPUT,
                       "%s is a text file and no capture; pcap and pcapng can be read", file->name);
    char first[4 * 3 + 1] = "";
    for (uint32_t i = 0; i < len && i < 4; i++)
        snprintf(first + (size_t)i * 3, 4, " %02x", bytes[i]);
    return mr_fail(error, MR_ERR_INPUT,
                   "%s is no capture that can be read (pcap or pcapng): it %s the bytes%s",
                   file->name, len < 4 ? "has only" : "begins with", first);
}
