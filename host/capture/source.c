/* A capture file as a source of packets. */
#include "capture/dpdk.h"
#include "capture/file.h"
#include "capture/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <rte_mbuf.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Blocks for the packets that may be held at a time, were they of a kilobyte each; within limits,
 * because who holds longer packets gets MR_AGAIN until he lets some go, and is no slower for it. */
#define BYTES_PER_PACKET 1024ull
#define BLOCKS_MIN       16u
#define BLOCKS_MAX       256u

static uint32_t blocks_for(uint32_t max_packets)
{
    uint64_t blocks = max_packets * BYTES_PER_PACKET / MR_PIECE_BYTES;
    return blocks < BLOCKS_MIN ? BLOCKS_MIN : blocks > BLOCKS_MAX ? BLOCKS_MAX : (uint32_t)blocks;
}

uint64_t mr_source_memory_bytes(uint32_t max_packets)
{
    return blocks_for(max_packets) * (uint64_t)MR_BLOCK_BYTES;
}

uint32_t mr_source_buffers(uint32_t bursts, uint32_t max_packets)
{
    uint64_t most = (uint64_t)bursts + blocks_for(max_packets);
    most = (most + MR_POOL_STEP - 1) / MR_POOL_STEP * MR_POOL_STEP;
    return most < max_packets ? (uint32_t)most : max_packets;
}

static struct mr_file *file_of(const struct mr_source *source)
{
    return (struct mr_file *)((char *)(uintptr_t)source - offsetof(struct mr_file, source));
}

enum mr_status mr_file_damaged(const struct mr_file *file, struct mr_error *error,
                               const char *reason, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, reason);
    vsnprintf(text, sizeof text, reason, arguments);
    va_end(arguments);
    return mr_fail(error, MR_ERR_INPUT,
                   "%s is damaged at packet %llu (byte %llu): %s; the %llu packets before it were "
                   "read, and nothing behind it can be",
                   file->name, (unsigned long long)file->packets + 1,
                   (unsigned long long)mr_reader_offset(&file->reader), text,
                   (unsigned long long)file->packets);
}

enum mr_status mr_file_status(struct mr_file *file, enum mr_status status, int error_number,
                              const char *what, struct mr_error *error)
{
    const struct mr_reader *reader = &file->reader;
    unsigned long long at = mr_reader_offset(reader);
    if (status == MR_EOF && (mr_reader_left(reader) || reader->skip))
        return mr_fail(error, MR_ERR_INPUT,
                       "%s ends in the middle of %s (packet %llu, byte %llu), as a recording does "
                       "that was cut short; the %llu packets before it were read",
                       file->name, what, (unsigned long long)file->packets + 1, at,
                       (unsigned long long)file->packets);
    if (status == MR_ERR_INPUT)
        return mr_fail(error, MR_ERR_INPUT, "cannot read %s at byte %llu: %s", file->name, at,
                       strerror(error_number));
    return status;
}

/* Ties the block to a packet buffer as rte_pktmbuf_attach_extbuf() does, since all else in it
 * is as init and free leave it, and no device asks for its bus address. The 16 bits that DPDK has
 * for its length do not say how long a block is; the engine goes by struct mr_packet. */
static void attach(struct mr_file *file, struct rte_mbuf *mbuf)
{
    mbuf->buf_addr = file->reader.block->bytes;
    mbuf->data_off = 0;
    mbuf->ol_flags = RTE_MBUF_F_EXTERNAL;
    mbuf->shinfo = &file->reader.block->shared;
    file->reader.holders++;
}

/* The packet that comes next needs a buffer if it lies in another block than the last one. */
static bool have_spare(struct rte_mempool *pool, struct mr_burst *burst, bool *spare)
{
    if (!*spare && burst->n_mbufs < MR_BURST_MAX)
        *spare = rte_mempool_get(pool, (void **)&burst->mbufs[burst->n_mbufs]) == 0;
    return *spare;
}

/* Tells the format by the first bytes. MR_AGAIN: a pipe has not brought them yet; nobody
 * waits for them here, where he could neither be stopped nor get other programs. */
static enum mr_status detect(struct mr_file *file, struct mr_error *error)
{
    struct mr_reader *reader = &file->reader;
    int number = 0;
    enum mr_status status = mr_reader_need(reader, 4, &number);
    if (status == MR_AGAIN)
        return status;
    if (status == MR_ERR_INPUT)
        return mr_file_status(file, status, number, "its header", error);
    uint32_t magic = status == MR_OK ? mr_file_u32(mr_reader_bytes(reader), false) : 0;
    switch (magic) {
    case 0xa1b2c3d4:
    case 0xd4c3b2a1:
    case 0xa1b23c4d:
    case 0x4d3cb2a1:
    case 0xa1b2cd34:
    case 0x34cdb2a1:
        status = mr_pcap_open(file, error);
        file->format = status ? NULL : &mr_format_pcap;
        return status;
    case 0x0a0d0d0a:
        file->format = &mr_format_pcapng;
        return MR_OK;
    default:
        mr_reader_need(reader, 64, &number); /* as much as there is, for a closer look */
        mr_file_refuse(file, mr_reader_bytes(reader), mr_reader_left(reader), error);
        return MR_ERR_INPUT;
    }
}

static enum mr_status read_burst(struct mr_source *source, struct mr_burst *burst, uint32_t max,
                                 struct mr_error *error)
{
    struct mr_file *file = file_of(source);
    struct rte_mempool *pool = mr_dpdk_pool();
    enum mr_status status = MR_AGAIN;
    const struct mr_block *block = NULL;
    bool spare = false;
    uint32_t n = 0;

    burst->n = burst->n_mbufs = 0;
    max = max < MR_BURST_MAX ? max : MR_BURST_MAX;
    file->reader.patient = true;
    if (!file->format && (status = detect(file, error)))
        return status;

    while (n < max && have_spare(pool, burst, &spare)) {
        struct mr_record record;
        file->reader.patient = n == 0;
        /* what ends a burst that has packets is met again, and told, by the next call */
        status = file->format->next(file, &record, n ? NULL : error);
        if (status)
            break;
        if (block != file->reader.block) {
            block = file->reader.block;
            attach(file, burst->mbufs[burst->n_mbufs++]);
            spare = false;
        }
        struct mr_packet *packet = &burst->packets[n++];
        packet->data = record.data;
        packet->time_ns = record.time_ns;
        packet->number = ++file->packets;
        packet->len = record.len;
        packet->wire_len = record.wire_len < record.len ? record.len : record.wire_len;
        packet->interface = file->interface;
        packet->link_type = record.link_type;
    }
    mr_reader_settle(&file->reader);
    atomic_store_explicit(&file->told_bytes, mr_reader_offset(&file->reader), memory_order_relaxed);
    atomic_store_explicit(&file->told_packets, file->packets, memory_order_relaxed);
    if (n)
        atomic_store_explicit(&file->told_link_type, burst->packets[n - 1].link_type,
                              memory_order_relaxed);
    if (spare)
        rte_mempool_put(pool, burst->mbufs[burst->n_mbufs]);
    burst->n = n;
    return n ? MR_OK : status;
}

static void tell_progress(const struct mr_source *source, struct mr_source_progress *progress)
{
    const struct mr_file *file = file_of(source);
    *progress = (struct mr_source_progress){
        .bytes_done = atomic_load_explicit(&file->told_bytes, memory_order_relaxed),
        .bytes_total = file->bytes_total,
        .packets = atomic_load_explicit(&file->told_packets, memory_order_relaxed),
        .link_type = atomic_load_explicit(&file->told_link_type, memory_order_relaxed),
        .name = file->name};
}

static void close_file(struct mr_source *source)
{
    struct mr_file *file = file_of(source);
    if (file->format)
        file->format->close(file);
    int fd = file->reader.fd;
    mr_reader_close(&file->reader);
    if (fd > STDIN_FILENO)
        close(fd);
    free(file->name);
    free(file);
}

static const struct mr_source_ops file_ops = {read_burst, tell_progress, close_file};

static enum mr_status open_descriptor(const char *path, int *fd, struct stat *status,
                                      struct mr_error *error)
{
    if (strcmp(path, "-") == 0) {
        *fd = STDIN_FILENO;
        if (isatty(STDIN_FILENO))
            return mr_fail(error, MR_ERR_INPUT,
                           "standard input is a terminal: pipe a capture into it, or name a file");
    } else {
        /* a named pipe opens without its writer */
        *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    }
    if (*fd < 0 || fstat(*fd, status))
        return mr_fail(error, MR_ERR_INPUT, "cannot open %s: %s", path, strerror(errno));
    if (S_ISDIR(status->st_mode))
        return mr_fail(error, MR_ERR_INPUT,
                       "%s is a folder: name the capture files in it, one -r each",
                       *fd == STDIN_FILENO ? "standard input" : path);
    return MR_OK;
}

enum mr_status mr_source_open_file(struct mr_source **out, const char *path, uint16_t interface,
                                   struct mr_error *error)
{
    return mr_source_open_ahead(out, path, interface, NULL, error);
}

enum mr_status mr_source_open_ahead(struct mr_source **out, const char *path, uint16_t interface,
                                    struct mr_ahead *ahead, struct mr_error *error)
{
    enum mr_status status;
    struct stat about = {0};
    int fd = -1;
    uint32_t blocks = blocks_for(mr_dpdk_pool()->size);
    struct mr_file *file = calloc(1, sizeof *file);

    if (!file)
        return mr_fail(error, MR_ERR_MEMORY, "no memory to open %s", path);
    file->source.ops = &file_ops;
    file->interface = interface;
    file->reader.fd = -1;
    file->told_link_type = -1;
    status = open_descriptor(path, &fd, &about, error);
    if (status)
        goto out;
    file->name = strdup(fd == STDIN_FILENO ? "standard input" : path);
    /* standard input may stand anywhere in its file, and others go on where we end */
    bool regular = S_ISREG(about.st_mode);
    if (fd == STDIN_FILENO || !regular || about.st_size <= 0)
        ahead = NULL;
    if (!file->name ||
        mr_reader_open(&file->reader, fd, regular, blocks, ahead, (uint64_t)about.st_size)) {
        status = mr_fail(error, MR_ERR_MEMORY, "no memory to read %s", path);
        goto out;
    }
    if (regular) {
        file->bytes_total = (uint64_t)about.st_size;
        posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    file->reader.patient = regular; /* and of pipes not: the first read goes on */
    status = detect(file, error);
    if (status == MR_AGAIN)
        status = MR_OK;
out:
    if (status) {
        file->reader.fd = fd;
        close_file(&file->source);
    } else {
        *out = &file->source;
    }
    return status;
}
