/* Messages in memory, for benchmarks: read from a file of records, a length in four bytes (little
 * endian) and so many bytes each. bench/messages.py writes such files. */
#ifndef MR_BENCH_MESSAGES_H
#define MR_BENCH_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

struct messages {
    uint8_t *file; /* what the rest points into */
    const uint8_t **at;
    uint32_t *len;
    uint32_t n;
    uint64_t bytes;
};

/* False, and told on standard error: the file cannot be read or holds something else.
 * messages_free() in any case. */
bool messages_read(struct messages *messages, const char *path);
void messages_free(struct messages *messages);

#endif
