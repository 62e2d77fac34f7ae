/* A capture file as the source and its formats share it. */
#ifndef MR_CAPTURE_FILE_H
#define MR_CAPTURE_FILE_H

#include "capture/reader.h"
#include "capture/source.h"

#include <stdatomic.h>

/* No capture holds longer frames; what claims to is damaged. (tcpdump and Wireshark agree.) */
#define MR_RECORD_MAX 262144u

/* One packet as it stands in a file. `data` lies in the reader's current block. */
struct mr_record {
    const uint8_t *data;
    uint64_t time_ns;
    uint32_t len, wire_len;
    uint16_t link_type;
};

struct mr_file;

/* A file format. next() takes one packet from the reader: MR_OK; what mr_reader_need() says when
 * there is none yet; MR_EOF at a proper end; MR_ERR_INPUT. It changes nothing but for MR_OK, so
 * that it can be called again. */
struct mr_format {
    const char *name;
    enum mr_status (*next)(struct mr_file *file, struct mr_record *record, struct mr_error *error);
    void (*close)(struct mr_file *file);
};

/* pcap: what the file header says. */
struct mr_pcap {
    bool swapped;
    uint32_t fraction_ns;  /* of the unit of the fraction: 1000 or 1 */
    uint32_t record_bytes; /* of the header of a record */
    uint16_t link_type;
};

struct mr_interface;

/* pcapng: what the section says so far. */
struct mr_pcapng {
    bool swapped;
    struct mr_interface *interfaces;
    uint32_t n_interfaces, room;
    uint64_t last_ns; /* simple packets have no time of their own */
};

struct mr_file {
    struct mr_source source;
    struct mr_reader reader;
    const struct mr_format *format;
    char *name; /* for messages */
    uint64_t bytes_total, packets;
    uint16_t interface;
    _Atomic uint64_t told_bytes, told_packets; /* for progress(), which any thread may call */
    _Atomic int32_t told_link_type;
    union {
        struct mr_pcap pcap;
        struct mr_pcapng pcapng;
    };
};

extern const struct mr_format mr_format_pcap, mr_format_pcapng;

/* Reads the file header of a pcap file, whose magic number is known to be right. */
enum mr_status mr_pcap_open(struct mr_file *file, struct mr_error *error);

/* Says why a file that begins with these bytes is no capture, and what to do about it. */
enum mr_status mr_file_refuse(const struct mr_file *file, const uint8_t *bytes, uint32_t len,
                              struct mr_error *error);

/* What mr_reader_need() said, as what next() returns, with its sentence: MR_EOF becomes an error
 * when it comes amid `what`. */
enum mr_status mr_file_status(struct mr_file *file, enum mr_status status, int error_number,
                              const char *what, struct mr_error *error);

/* "NAME is damaged at packet N (byte B): REASON; ..." */
enum mr_status mr_file_damaged(const struct mr_file *file, struct mr_error *error,
                               const char *reason, ...) __attribute__((format(printf, 3, 4)));

static inline uint16_t mr_file_u16(const uint8_t *at, bool swapped)
{
    uint16_t v;
    __builtin_memcpy(&v, at, 2);
    return swapped ? __builtin_bswap16(v) : v;
}

static inline uint32_t mr_file_u32(const uint8_t *at, bool swapped)
{
    uint32_t v;
    __builtin_memcpy(&v, at, 4);
    return swapped ? __builtin_bswap32(v) : v;
}

#endif
