/* The flow event, field by field as Suricata has it. */
#include "output/eve.h"

#include <string.h>

static const char *const end_names[] = {
#define X(name, text) [name] = text,
    MR_FLOW_END_LIST(X)
#undef X
};

static void text(struct mr_eve *eve, const char *key, const char *value)
{
    mr_eve_string(eve, key, value, strlen(value));
}

static void flags_text(struct mr_eve *eve, const char *key, uint8_t flags)
{
    static const char hex[] = "0123456789abcdef";
    const char digits[2] = {hex[flags >> 4], hex[flags & 15]};
    mr_eve_string(eve, key, digits, sizeof digits);
}

/* TCP's states, as far as a flow's state and the flags of both sides tell them. */
static const char *tcp_state(const struct mr_flow *flow)
{
    uint8_t client = flow->tcp_flags[MR_TO_SERVER], server = flow->tcp_flags[MR_TO_CLIENT];

    if (flow->state && !strcmp(flow->state, "established"))
        return (client | server) & MR_TCP_FIN ? "fin_wait1" : "established";
    if (flow->state && !strcmp(flow->state, "closed"))
        return "closed";
    if (server & MR_TCP_SYN)
        return "syn_recv";
    if (client & MR_TCP_SYN)
        return "syn_sent";
    return "none";
}

static void tcp(struct mr_eve *eve, const struct mr_flow *flow)
{
    static const char *const names[8] = {"fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"};
    static const uint8_t order[8] = {1, 0, 2, 3, 4, 5, 6, 7};
    uint8_t client = flow->tcp_flags[MR_TO_SERVER], server = flow->tcp_flags[MR_TO_CLIENT];

    mr_eve_object(eve, "tcp");
    flags_text(eve, "tcp_flags", client | server);
    flags_text(eve, "tcp_flags_ts", client);
    flags_text(eve, "tcp_flags_tc", server);
    for (int i = 0; i < 8; i++)
        if ((client | server) >> order[i] & 1)
            mr_eve_bool(eve, names[order[i]], true);
    text(eve, "state", tcp_state(flow));
    if (flow->gap_bytes[MR_TO_SERVER])
        mr_eve_bool(eve, "ts_gap", true);
    if (flow->gap_bytes[MR_TO_CLIENT])
        mr_eve_bool(eve, "tc_gap", true);
    mr_eve_end(eve);
}

void mr_eve_flow(struct mr_eve *eve, const struct mr_flow *flow, bool never_alerted)
{
    size_t end = flow->end < sizeof end_names / sizeof end_names[0] ? flow->end : MR_FLOW_OPEN;
    /* whole seconds apart, as Suricata counts */
    uint64_t first_s = flow->first_ns / 1000000000u, last_s = flow->last_ns / 1000000000u;

    /* a flow has a packet: without one nobody counted (no f_processTCP, no f_flowCount) */
    bool counted = flow->packets[MR_TO_SERVER] || flow->packets[MR_TO_CLIENT];

    mr_eve_object(eve, "flow");
    if (counted) {
        mr_eve_int(eve, "pkts_toserver", (int64_t)flow->packets[MR_TO_SERVER]);
        mr_eve_int(eve, "pkts_toclient", (int64_t)flow->packets[MR_TO_CLIENT]);
        mr_eve_int(eve, "bytes_toserver", (int64_t)flow->bytes[MR_TO_SERVER]);
        mr_eve_int(eve, "bytes_toclient", (int64_t)flow->bytes[MR_TO_CLIENT]);
    }
    mr_eve_time(eve, "start", flow->first_ns);
    if (counted) {
        mr_eve_time(eve, "end", flow->last_ns);
        mr_eve_int(eve, "age", last_s > first_s ? (int64_t)(last_s - first_s) : 0);
    }
    if (counted || flow->state)
        text(eve, "state", flow->state ? flow->state : "new");
    text(eve, "reason", end_names[end]);
    if (flow->bypassed)
        text(eve, "bypass", "local");
    if (flow->depth_reached)
        mr_eve_bool(eve, "depth_reached", true);
    if (flow->bypassed || flow->depth_reached) {
        mr_eve_int(eve, "uninspected_toserver", (int64_t)flow->uninspected[MR_TO_SERVER]);
        mr_eve_int(eve, "uninspected_toclient", (int64_t)flow->uninspected[MR_TO_CLIENT]);
    }
    if (never_alerted)
        mr_eve_bool(eve, "alerted", false);
    mr_eve_end(eve);
    if (counted && flow->client.protocol == 6)
        tcp(eve, flow);
}
