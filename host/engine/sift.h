/* Sifting: one packet from a source, decoded and put together from its fragments, or the reason to
 * drop it. The same for files and ports; each thread that reads has one of its own. */
#ifndef MR_ENGINE_SIFT_H
#define MR_ENGINE_SIFT_H

#include "packet/decode.h"
#include "stream/fragment.h"

struct mr_engine;

struct mr_sift {
    struct mr_decoder decoder;
    struct mr_fragments *fragments;
    uint64_t packets;           /* since mr_sift_input() */
    uint64_t decoded;           /* of them: not refused for their link type */
    uint16_t link_type;         /* of the last that was */
    uint64_t first_ns, last_ns; /* packet time, of all inputs */
};

/* By the engine's configuration. MR_ERR_USAGE, MR_ERR_MEMORY. */
enum mr_status mr_sift_open(struct mr_sift *sift, struct mr_engine *engine, struct mr_error *error);
void mr_sift_close(struct mr_sift *sift);

/* Another input begins. */
void mr_sift_input(struct mr_sift *sift, const struct mr_engine *engine);

/* Counts the packet when it is dropped. MR_DROP_NONE: *packet is decoded. *kept gets the buffers
 * that were made on the way and which it lies in, linked, or NULL; the caller owns them, dropped or
 * not. */
enum mr_drop mr_sift_packet(struct mr_sift *sift, struct mr_metrics *metrics,
                            struct mr_packet *packet, struct mr_buffer **kept);

#endif
