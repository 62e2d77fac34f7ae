/* From a frame to a whole datagram, or to the reason why there is none. */
#include "engine/sift.h"

#include "engine/internal.h"

enum mr_status mr_sift_open(struct mr_sift *sift, struct mr_engine *engine, struct mr_error *error)
{
    struct mr_fragment_config config = {
        .policy = MR_OVERLAP_BSD,
        .timeout_ns = 30u * 1000000000ull,
        .max_datagrams = 4096,
        .max_fragments = 1024,
    };
    const char *policy = engine->config.defrag_policy;

    if (policy && !mr_overlap_policy_parse(policy, &config.policy))
        return mr_fail(error, MR_ERR_USAGE,
                       "--defrag-policy: there is no policy '%s'; use first, last, bsd, linux, "
                       "windows or solaris",
                       policy);
    mr_sift_input(sift, engine);
    if (mr_fragments_new(&sift->fragments, &config, engine->buffers, &engine->secret))
        return mr_fail(error, MR_ERR_MEMORY, "out of memory for IP reassembly");
    return MR_OK;
}

void mr_sift_close(struct mr_sift *sift)
{
    mr_fragments_free(sift->fragments);
    sift->fragments = NULL;
}

void mr_sift_input(struct mr_sift *sift, const struct mr_engine *engine)
{
    sift->decoder = (struct mr_decoder){
        .checksum = engine->config.checksum == MR_ENGINE_CHECKSUM_ALL    ? MR_CHECKSUM_ALL
                    : engine->config.checksum == MR_ENGINE_CHECKSUM_NONE ? MR_CHECKSUM_NONE
                                                                         : MR_CHECKSUM_AUTO};
    sift->packets = sift->decoded = 0;
}

/* A fragment: MR_DROP_NONE when *packet is now the whole datagram. Apart, so that other packets do
 * not pay for its registers. */
static __attribute__((noinline)) enum mr_drop
reassemble(struct mr_sift *sift, struct mr_metrics *metrics, struct mr_packet *packet,
           struct mr_fragment_view *view, struct mr_buffer **kept)
{
    enum mr_drop reason = MR_DROP_NONE;

    /* a datagram may hold a tunnel whose inner packet is a fragment again: bounded by depth */
    for (int depth = 0; reason == MR_DROP_NONE && packet->flags & MR_PACKET_FRAGMENT; depth++) {
        struct mr_packet whole;
        struct mr_buffer *buffer = NULL;
        uint32_t timed_out = 0;

        if (depth == MR_DECODE_DEPTH)
            return MR_DROP_TUNNEL_DEPTH;
        reason = mr_fragments_add(sift->fragments, packet, view, &whole, &buffer, &timed_out);
        if (timed_out) { /* they were counted as held: the account moves, the sum stays */
            _Atomic uint64_t *held = &metrics->drops[MR_DROP_FRAGMENT_HELD];
            _Atomic uint64_t *late = &metrics->drops[MR_DROP_FRAGMENT_TIMEOUT];
            atomic_fetch_sub_explicit(held, timed_out, memory_order_relaxed);
            atomic_fetch_add_explicit(late, timed_out, memory_order_relaxed);
        }
        if (reason != MR_DROP_NONE)
            return reason;
        buffer->next = *kept;
        *kept = buffer;
        *packet = whole;
        reason = mr_decode_ip(&sift->decoder, packet, view);
        mr_metrics_add(metrics, MR_COUNT_DATAGRAMS_REASSEMBLED, 1);
    }
    return reason;
}

enum mr_drop mr_sift_packet(struct mr_sift *sift, struct mr_metrics *metrics,
                            struct mr_packet *packet, struct mr_buffer **kept)
{
    struct mr_fragment_view view;

    *kept = NULL;
    sift->packets++;
    if (!sift->first_ns || packet->time_ns < sift->first_ns)
        sift->first_ns = packet->time_ns;
    if (packet->time_ns > sift->last_ns)
        sift->last_ns = packet->time_ns;
    enum mr_drop reason = mr_decode(&sift->decoder, packet, &view);
    if (reason == MR_DROP_NONE && packet->flags & MR_PACKET_FRAGMENT)
        reason = reassemble(sift, metrics, packet, &view, kept);
    if (reason == MR_DROP_LINK_TYPE)
        sift->link_type = packet->link_type;
    else
        sift->decoded++;
    if (reason != MR_DROP_NONE)
        mr_metrics_drop(metrics, reason, 1);
    return reason;
}
