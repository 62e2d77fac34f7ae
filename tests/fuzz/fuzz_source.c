// layers: base metrics packet capture
/* Any bytes as a capture file, read with bursts of changing size while some are held: no byte of a
 * packet lies outside the input, every packet comes back, and the end is told twice alike. The
 * first byte of the input chooses between a file and a pipe. */
#include "capture/ahead.h"
#include "capture/dpdk.h"
#include "capture/source.h"

#include <fcntl.h>
#include <rte_mbuf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

#define HELD      4
#define PIPE_ROOM 65536u

/* The input as something to be opened: a path, whose descriptor the caller closes. */
static int offer(const uint8_t *data, size_t size, bool as_pipe, char *path, size_t path_bytes)
{
    int ends[2] = {-1, -1};
    if (!as_pipe) {
        ends[0] = memfd_create("capture", MFD_CLOEXEC);
        REQUIRE(ends[0] >= 0 && write(ends[0], data, size) == (ssize_t)size);
    } else {
        REQUIRE(pipe(ends) == 0 && write(ends[1], data, size) == (ssize_t)size);
    }
    snprintf(path, path_bytes, "/proc/self/fd/%d", ends[0]);
    return as_pipe ? ends[1] : -1;
}

static void look(const struct mr_burst *burst)
{
    for (uint32_t i = 0; i < burst->n; i++) {
        const struct mr_packet *packet = &burst->packets[i];
        uint32_t sum = 0;
        for (uint32_t at = 0; at < packet->len; at++)
            sum += packet->data[at];
        REQUIRE(sum <= packet->len * 255u);
        REQUIRE(packet->wire_len >= packet->len && packet->len <= 262144);
        REQUIRE(packet->interface == 7);
    }
}

static void read_all(struct mr_source *source, size_t size)
{
    static struct mr_burst held[HELD], empty;
    struct mr_error error = {0};
    enum mr_status status;
    uint64_t bytes = 0, turn = 0;
    for (;;) {
        struct mr_burst *burst = &held[turn % HELD];
        look(burst);
        mr_burst_release(burst);
        status = source->ops->read(source, burst, 1 + turn++ * 5 % 256, &error);
        if (status != MR_OK && status != MR_AGAIN)
            break;
        for (uint32_t i = 0; i < burst->n; i++)
            bytes += burst->packets[i].len;
    }
    REQUIRE(bytes <= size);
    REQUIRE(status == MR_EOF || (status == MR_ERR_INPUT && error.text[0]));
    REQUIRE(source->ops->read(source, &empty, 1, NULL) == status && empty.n == 0);
    source->ops->close(source);
    for (int i = 0; i < HELD; i++) {
        look(&held[i]);
        mr_burst_release(&held[i]);
    }
    REQUIRE(mr_dpdk_packets_in_use() == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mr_source *source = NULL;
    struct mr_error error = {0};
    char path[64];
    if (!mr_dpdk_pool()) {
        struct mr_dpdk_config config = {.max_packets = 2048};
        REQUIRE(mr_dpdk_start(&config, &error) == MR_OK);
        atexit(mr_dpdk_stop);
    }
    if (size < 1)
        return 0;
    bool as_pipe = data[0] & 1 && size <= PIPE_ROOM;
    int writer = offer(data + 1, size - 1, as_pipe, path, sizeof path);
    int reader = atoi(path + strlen("/proc/self/fd/"));
    if (writer >= 0) {
        /* opening a pipe's path again would wait for writers of its own, so: as standard input */
        REQUIRE(dup2(reader, STDIN_FILENO) == STDIN_FILENO);
        close(writer);
        close(reader);
        reader = -1;
        snprintf(path, sizeof path, "-");
    }
    struct mr_ahead *ahead = NULL;
    REQUIRE(!(data[0] & 2) || mr_ahead_new(&ahead) == MR_OK);
    enum mr_status status = mr_source_open_ahead(&source, path, 7, ahead, &error);
    for (uint32_t i = 0; ahead && i < data[0] >> 6; i++)
        (void)mr_ahead_read(ahead, i, false);
    if (status == MR_OK)
        read_all(source, size);
    else
        REQUIRE(status == MR_ERR_INPUT && error.text[0]);
    if (reader >= 0)
        close(reader);
    mr_ahead_free(ahead);
    return 0;
}
