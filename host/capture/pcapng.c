/* The pcapng format: blocks that say their type and length; a section header sets the byte order
 * and forgets the interfaces of the section before. */
#include "capture/file.h"

#include <stdlib.h>
#include <string.h>

enum block_type {
    INTERFACE = 1,
    OBSOLETE_PACKET = 2,
    SIMPLE_PACKET = 3,
    ENHANCED_PACKET = 6,
    SECTION = 0x0a0d0d0a
};

#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define INTERFACES_MAX   65536u
#define TIMED_HEADER     20 /* bytes of a packet block before the packet's own */
#define TIME_MAX_NS      ((uint64_t)INT64_MAX)
#define NS_PER_SECOND    1000000000u
#define OPTION_TSRESOL   9
#define OPTION_TSOFFSET  14

__extension__ typedef unsigned __int128 wide; /* for products of 64-bit times */

/* Times are units since the epoch; nanoseconds = units * multiply / divide >> shift + offset. */
struct mr_interface {
    uint16_t link_type;
    uint32_t snaplen;
    uint32_t shift;
    uint64_t multiply, divide;
    int64_t offset_seconds;
};

static void set_resolution(struct mr_interface *interface, uint8_t resolution)
{
    uint32_t exponent = resolution & 0x7f;
    interface->multiply = NS_PER_SECOND;
    interface->divide = 1;
    interface->shift = 0;
    if (resolution & 0x80) {
        interface->shift = exponent;
        return;
    }
    for (uint32_t i = 0; i < exponent && i < 9; i++)
        interface->multiply /= 10;
    for (uint32_t i = 9; i < exponent && interface->multiply; i++) {
        if (interface->divide > UINT64_MAX / 10)
            interface->multiply = 0; /* all that 64 bits can hold is less than a nanosecond */
        else
            interface->divide *= 10;
    }
}

static uint64_t to_ns(const struct mr_interface *interface, uint32_t high, uint32_t low)
{
    wide units = (uint64_t)high << 32 | low, ns;
    if (interface->divide == 1 && interface->shift == 0)
        ns = units * interface->multiply;
    else if (interface->shift < 94)
        ns = units * interface->multiply / interface->divide >> interface->shift;
    else
        ns = 0; /* less than a nanosecond for all 64 bits of it */
    uint64_t time = ns > TIME_MAX_NS ? TIME_MAX_NS : (uint64_t)ns, offset;
    bool back = interface->offset_seconds < 0;
    uint64_t seconds =
        back ? -(uint64_t)interface->offset_seconds : (uint64_t)interface->offset_seconds;
    if (__builtin_mul_overflow(seconds, NS_PER_SECOND, &offset))
        offset = UINT64_MAX;
    if (back)
        return time > offset ? time - offset : 0;
    return offset > TIME_MAX_NS - time ? TIME_MAX_NS : time + offset;
}

static void read_options(struct mr_interface *interface, const uint8_t *at, uint32_t left,
                         bool swapped)
{
    while (left >= 4) {
        uint32_t code = mr_file_u16(at, swapped), len = mr_file_u16(at + 2, swapped);
        uint32_t padded = (len + 3) & ~3u;
        at += 4;
        left -= 4;
        if (code == 0 || padded > left)
            return;
        if (code == OPTION_TSRESOL && len >= 1) {
            set_resolution(interface, at[0]);
        } else if (code == OPTION_TSOFFSET && len >= 8) {
            uint64_t first = mr_file_u32(at, swapped), second = mr_file_u32(at + 4, swapped);
            bool big = swapped == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
            interface->offset_seconds =
                (int64_t)(big ? first << 32 | second : second << 32 | first);
        }
        at += padded;
        left -= padded;
    }
}

static enum mr_status add_interface(struct mr_file *file, const uint8_t *body, uint32_t len,
                                    struct mr_error *error)
{
    struct mr_pcapng *ng = &file->pcapng;
    if (len < 8)
        return mr_file_damaged(file, error, "an interface description of %u bytes is too short",
                               len);
    if (ng->n_interfaces == INTERFACES_MAX)
        return mr_file_damaged(file, error, "it describes more than %u interfaces", INTERFACES_MAX);
    if (ng->n_interfaces == ng->room) {
        uint32_t room = ng->room ? ng->room * 2 : 4;
        struct mr_interface *more = realloc(ng->interfaces, room * sizeof *more);
        if (!more)
            return mr_fail(error, MR_ERR_MEMORY, "no memory for the interfaces of %s", file->name);
        ng->interfaces = more;
        ng->room = room;
    }
    struct mr_interface *interface = &ng->interfaces[ng->n_interfaces++];
    *interface = (struct mr_interface){.link_type = mr_file_u16(body, ng->swapped),
                                       .snaplen = mr_file_u32(body + 4, ng->swapped)};
    set_resolution(interface, 6);
    read_options(interface, body + 8, len - 8, ng->swapped);
    return MR_OK;
}

/* Enhanced and obsolete packet blocks: interface, time, lengths, and from byte 20 the packet. They
 * differ in the size of the interface number only. */
static enum mr_status timed_packet(struct mr_file *file, const uint8_t *body, uint32_t len,
                                   uint32_t interface_id, struct mr_record *record,
                                   struct mr_error *error)
{
    struct mr_pcapng *ng = &file->pcapng;
    if (interface_id >= ng->n_interfaces)
        return mr_file_damaged(file, error, "it came in on interface %u, which is not described",
                               interface_id);
    const struct mr_interface *interface = &ng->interfaces[interface_id];
    record->len = mr_file_u32(body + 12, ng->swapped);
    if (record->len > len - TIMED_HEADER || record->len > MR_RECORD_MAX)
        return mr_file_damaged(file, error, "it claims %u bytes, and its block has %u", record->len,
                               len - TIMED_HEADER);
    record->wire_len = mr_file_u32(body + 16, ng->swapped);
    record->time_ns =
        to_ns(interface, mr_file_u32(body + 4, ng->swapped), mr_file_u32(body + 8, ng->swapped));
    record->data = body + TIMED_HEADER;
    record->link_type = interface->link_type;
    ng->last_ns = record->time_ns;
    return MR_OK;
}

static enum mr_status simple_packet(struct mr_file *file, const uint8_t *body, uint32_t len,
                                    struct mr_record *record, struct mr_error *error)
{
    const struct mr_pcapng *ng = &file->pcapng;
    if (!ng->n_interfaces)
        return mr_file_damaged(file, error, "it came in on an interface that is not described");
    const struct mr_interface *interface = &ng->interfaces[0];
    record->wire_len = mr_file_u32(body, ng->swapped);
    record->len = record->wire_len < len - 4 ? record->wire_len : len - 4;
    if (interface->snaplen && record->len > interface->snaplen)
        record->len = interface->snaplen;
    if (record->len > MR_RECORD_MAX)
        return mr_file_damaged(file, error, "it claims %u bytes, and none has over %u", record->len,
                               MR_RECORD_MAX);
    record->time_ns = ng->last_ns;
    record->data = body + 4;
    record->link_type = interface->link_type;
    return MR_OK;
}

static bool known(uint32_t type)
{
    return type == SECTION || type == INTERFACE || type == SIMPLE_PACKET ||
           type == ENHANCED_PACKET || type == OBSOLETE_PACKET;
}

/* A block that stands there as a whole. MR_AGAIN: it was no packet. */
static enum mr_status whole_block(struct mr_file *file, uint32_t type, const uint8_t *body,
                                  uint32_t len, struct mr_record *record, struct mr_error *error)
{
    struct mr_pcapng *ng = &file->pcapng;
    enum mr_status status = MR_AGAIN;
    if (type == SECTION)
        ng->n_interfaces = 0;
    else if (type == INTERFACE)
        status = add_interface(file, body, len, error);
    else if (type == SIMPLE_PACKET && len >= 4)
        return simple_packet(file, body, len, record, error);
    else if (type == ENHANCED_PACKET && len >= TIMED_HEADER)
        return timed_packet(file, body, len, mr_file_u32(body, ng->swapped), record, error);
    else if (type == OBSOLETE_PACKET && len >= TIMED_HEADER)
        return timed_packet(file, body, len, mr_file_u16(body, ng->swapped), record, error);
    else if (known(type))
        return mr_file_damaged(file, error, "its block of type %u has only %u bytes", type, len);
    return status == MR_OK ? MR_AGAIN : status;
}

/* Type and length of the next block; a section header may change the byte order. */
static enum mr_status block_header(struct mr_file *file, uint32_t *type, uint32_t *len,
                                   struct mr_error *error)
{
    struct mr_pcapng *ng = &file->pcapng;
    int number = 0;
    enum mr_status status = mr_reader_need(&file->reader, 12, &number);
    if (status)
        return mr_file_status(file, status, number, "a block", error);
    const uint8_t *at = mr_reader_bytes(&file->reader);
    bool swapped = ng->swapped;
    *type = mr_file_u32(at, swapped); /* a section's reads the same either way */
    if (*type == SECTION) {
        uint32_t magic = mr_file_u32(at + 8, false);
        swapped = magic == __builtin_bswap32(BYTE_ORDER_MAGIC);
        if (!swapped && magic != BYTE_ORDER_MAGIC)
            return mr_file_damaged(file, error, "a section header has the byte-order mark %08x",
                                   magic);
    }
    *len = mr_file_u32(at + 4, swapped);
    if (*len < 12 || *len % 4)
        return mr_file_damaged(
            file, error, "a block of type %u claims %u bytes, which no block has", *type, *len);
    if (known(*type) && *len > MR_BLOCK_BYTES)
        return mr_file_damaged(file, error, "a block of type %u claims %u bytes", *type, *len);
    ng->swapped = swapped;
    return MR_OK;
}

static enum mr_status next(struct mr_file *file, struct mr_record *record, struct mr_error *error)
{
    struct mr_reader *reader = &file->reader;
    int number = 0;
    for (;;) {
        uint32_t type = 0, len = 0;
        enum mr_status status = block_header(file, &type, &len, error);
        if (status)
            return status;
        if (!known(type) && len > MR_BLOCK_BYTES) {
            mr_reader_skip(reader, len);
            continue;
        }
        status = mr_reader_need(reader, len, &number);
        if (status)
            return mr_file_status(file, status, number, "a block", error);
        const uint8_t *block = mr_reader_bytes(reader);
        uint32_t trailer = mr_file_u32(block + len - 4, file->pcapng.swapped);
        if (trailer != len)
            return mr_file_damaged(
                file, error, "a block begins with a length of %u and ends with %u", len, trailer);
        status = whole_block(file, type, block + 8, len - 12, record, error);
        if (status != MR_OK && status != MR_AGAIN)
            return status;
        mr_reader_take(reader, len);
        if (status == MR_OK)
            return MR_OK;
    }
}

static void close_interfaces(struct mr_file *file)
{
    free(file->pcapng.interfaces);
}

const struct mr_format mr_format_pcapng = {"pcapng", next, close_interfaces};
