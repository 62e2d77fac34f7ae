/* What the harness's files share. */
#ifndef MR_TESTS_HARNESS_INTERNAL_H
#define MR_TESTS_HARNESS_INTERNAL_H

#include "base/buffers.h"
#include "base/hash.h"
#include "harness/harness.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_KEYS     1024
#define MAX_COUNTERS 64
#define MAX_DEPTH    8

struct block {
    struct block *next;
    _Alignas(16) uint8_t bytes[];
};

/* A context slot; `next` links those that close when the call is over. */
struct slot {
    struct slot *next;
    _Alignas(16) uint8_t bytes[];
};

struct context {
    struct slot *slot;
    struct mr_flow flow;
    struct mr_flow_key key;
    uint64_t deadline_ns;
    bool ended;
};

struct mr_event {
    struct mr_harness *harness;
    const char *path[MAX_DEPTH];
    bool array[MAX_DEPTH];
    uint32_t depth;
};

struct mr_harness {
    const struct mr_function *function;
    void *config, *thread;
    struct mr_buffers *buffers;
    struct mr_secret secret;
    size_t token_bytes, token_used;
    struct block *blocks;
    struct mr_buffer *kept;
    struct slot *closing;
    struct context *contexts;
    const uint32_t *keys; /* of the call under way; NULL: all 0 */
    uint8_t **rows;       /* of the call under way */
    uint32_t n_rows;
    struct mr_harness_result *results;
    uint32_t n_results, capacity;
    struct mr_event event;
    bool event_open;
    struct mr_mail_settings mail;
    const char *off_type;
    bool all_off;
    char *text;
    size_t text_len, text_capacity;
    uint64_t counters[MAX_COUNTERS];
    uint64_t refused;
};

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "harness: %s:%d: %s\n", __FILE__, __LINE__, #condition);               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
