/* The pcap format: a header of 24 bytes, then packets with a header of 16 each. */
#include "capture/file.h"

enum mr_status mr_pcap_open(struct mr_file *file, struct mr_error *error)
{
    struct mr_pcap *pcap = &file->pcap;
    int number = 0;
    enum mr_status status = mr_reader_need(&file->reader, 24, &number);
    if (status)
        return mr_file_status(file, status, number, "its file header", error);
    const uint8_t *header = mr_reader_bytes(&file->reader);

    uint32_t magic = mr_file_u32(header, false);
    pcap->swapped = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1 || magic == 0x34cdb2a1;
    magic = mr_file_u32(header, pcap->swapped);
    pcap->fraction_ns = magic == 0xa1b23c4d ? 1 : 1000;
    pcap->record_bytes = magic == 0xa1b2cd34 ? 24 : 16; /* the patched libpcap of around 1999 */
    uint16_t major = mr_file_u16(header + 4, pcap->swapped);
    uint16_t minor = mr_file_u16(header + 6, pcap->swapped);
    if (major != 2)
        return mr_fail(error, MR_ERR_INPUT,
                       "%s is a pcap file of version %u.%u; versions 2.3 and 2.4 can be read",
                       file->name, major, minor);
    /* the upper half says how long a frame check sequence the frames have: it lies behind the IP
     * datagram and is cut off with the padding */
    pcap->link_type = (uint16_t)mr_file_u32(header + 20, pcap->swapped);
    mr_reader_take(&file->reader, 24);
    return MR_OK;
}

static enum mr_status next(struct mr_file *file, struct mr_record *record, struct mr_error *error)
{
    const struct mr_pcap *pcap = &file->pcap;
    struct mr_reader *reader = &file->reader;
    int number = 0;
    enum mr_status status = mr_reader_need(reader, pcap->record_bytes, &number);
    if (status)
        return mr_file_status(file, status, number, "the header of a packet", error);
    const uint8_t *header = mr_reader_bytes(reader);
    uint32_t len = mr_file_u32(header + 8, pcap->swapped);
    if (len > MR_RECORD_MAX)
        return mr_file_damaged(file, error, "its record claims %u bytes, and none has over %u", len,
                               MR_RECORD_MAX);
    status = mr_reader_need(reader, pcap->record_bytes + len, &number);
    if (status)
        return mr_file_status(file, status, number, "a packet", error);

    header = mr_reader_bytes(reader);
    record->time_ns = mr_file_u32(header, pcap->swapped) * 1000000000ull +
                      (uint64_t)mr_file_u32(header + 4, pcap->swapped) * pcap->fraction_ns;
    record->wire_len = mr_file_u32(header + 12, pcap->swapped);
    record->len = len;
    record->data = header + pcap->record_bytes;
    record->link_type = pcap->link_type;
    mr_reader_take(reader, pcap->record_bytes + len);
    return MR_OK;
}

static void close_nothing(struct mr_file *file)
{
    (void)file;
}

const struct mr_format mr_format_pcap = {"pcap", next, close_nothing};
